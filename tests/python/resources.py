"""What this process holds: descriptors, threads, mappings, memory."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class _Mallinfo(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def _mallinfo() -> Callable[[], Any] | None:
    function = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if function is not None:
        function.restype = _Mallinfo
    return function


_MALLINFO = _mallinfo()


class Held(NamedTuple):
    descriptors: int
    threads: int
    mappings: int
    rss_bytes: int


def held() -> Held:
    with open("/proc/self/maps") as maps:
        mappings = sum(1 for _ in maps)
    with open("/proc/self/statm") as statm:
        rss = int(statm.read().split()[1]) * PAGE_BYTES
    threads = len(os.listdir("/proc/self/task"))
    return Held(len(os.listdir("/proc/self/fd")), threads, mappings, rss)


def settled(threads: int, mappings: int = sys.maxsize, timeout_s: float = 10) -> Held:
    """Once there are no more than that, if that comes to be.

    A thread that was joined is listed for a moment; what a flush detached is freed by a thread.
    """
    deadline = time.monotonic() + timeout_s
    while (now := held()).threads > threads or now.mappings > mappings:
        if time.monotonic() > deadline:
            break
        time.sleep(0.001)
    return now


def heap_bytes() -> int:
    """What malloc has given out; 0 where it does not tell."""
    if _MALLINFO is None:
        return 0
    info = _MALLINFO()
    return int(info.uordblks + info.hblkhd)


def python_blocks() -> int:
    gc.collect()
    return sys.getallocatedblocks()


class Growth(NamedTuple):
    blocks: int
    heap_bytes: int


def growth(work: Callable[[], object], times: int, warm_up: int = 100) -> Growth:
    """How much more is held after so many repetitions."""
    for _ in range(warm_up):
        work()
    blocks, heap = python_blocks(), heap_bytes()
    for _ in range(times):
        work()
    return Growth(python_blocks() - blocks, heap_bytes() - heap)
