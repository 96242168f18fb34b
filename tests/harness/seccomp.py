"""Runs a program that may not use io_uring, as containers forbid it.

    python seccomp.py program argument ...

A seccomp filter makes io_uring's three system calls fail with EPERM, then the program replaces
this one. The numbers are the same on every architecture that we build for.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys
from pathlib import Path

WRAPPER = (sys.executable, str(Path(__file__).resolve()))

IO_URING_CALLS = (425, 426, 427)

PR_SET_NO_NEW_PRIVS = 38
PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2
SECCOMP_RET_ALLOW = 0x7FFF0000
SECCOMP_RET_ERRNO = 0x00050000

BPF_LOAD_WORD = 0x20
BPF_JUMP_EQUAL = 0x15
BPF_RETURN = 0x06
OFFSET_OF_NUMBER = 0


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def _instruction(code: int, jump_true: int, jump_false: int, operand: int) -> bytes:
    return struct.pack("HBBI", code, jump_true, jump_false, operand)


def _filter() -> bytes:
    code = _instruction(BPF_LOAD_WORD, 0, 0, OFFSET_OF_NUMBER)
    for at, number in enumerate(IO_URING_CALLS):
        to_refusal = len(IO_URING_CALLS) - at
        code += _instruction(BPF_JUMP_EQUAL, to_refusal, 0, number)
    code += _instruction(BPF_RETURN, 0, 0, SECCOMP_RET_ALLOW)
    code += _instruction(BPF_RETURN, 0, 0, SECCOMP_RET_ERRNO | errno.EPERM)
    return code


def forbid_io_uring() -> None:
    """From here on, in this process and what it becomes, io_uring is refused with EPERM."""
    libc = ctypes.CDLL(None, use_errno=True)
    code = _filter()
    program = _Program(len(code) // 8, code)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_NO_NEW_PRIVS)")
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_SECCOMP)")


def io_uring_errno() -> int:
    """What io_uring_setup says about no parameters: EFAULT where it is allowed."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall(IO_URING_CALLS[0], 1, None)
    return ctypes.get_errno()


if __name__ == "__main__":
    forbid_io_uring()
    os.execvp(sys.argv[1], sys.argv[1:])
