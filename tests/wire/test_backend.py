"""Which reactor is chosen, and what is said about it, where io_uring may not be used."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest
from harness.matrix import Configuration
from harness.process import Server, StartFailed
from harness.resp import OK, bulk, text_of
from harness.seccomp import WRAPPER, io_uring_errno

TESTS = Path(__file__).resolve().parents[1]


def _fields(server: Server) -> dict[str, str]:
    lines = text_of(server.control().do("INFO", "kevyrt")).split("\r\n")
    return dict(line.split(":", 1) for line in lines if ":" in line)


def test_wrapper_forbids_io_uring() -> None:
    """The tests below prove something only if the filter works."""
    probe = f"import sys; sys.path.insert(0, {str(TESTS)!r})\n"
    probe += "from harness.seccomp import io_uring_errno; print(io_uring_errno())"
    command = [*WRAPPER, sys.executable, "-c", probe]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert int(result.stdout) == errno.EPERM


def test_auto_falls_back_and_says_why() -> None:
    with Server(Configuration("auto-2", "auto", 2), wrapper=WRAPPER) as server:
        fields = _fields(server)
        assert fields["io_backend"] == "epoll"
        reason = fields["io_backend_reason"]
        assert "io_uring" in reason
        assert "not permitted" in reason or "EPERM" in reason
        with server.connect() as connection:
            assert connection.do("SET", "k", "v") == OK
            assert connection.do("GET", "k") == bulk("v")


def test_io_uring_that_cannot_be_had_fails_with_the_reason() -> None:
    with pytest.raises(StartFailed) as failure:
        Server(Configuration("io_uring-1", "io_uring", 1), wrapper=WRAPPER)
    assert failure.value.returncode not in (0, None)
    assert "io_uring" in failure.value.output
    assert "not permitted" in failure.value.output or "EPERM" in failure.value.output


def test_auto_takes_io_uring_where_it_is_allowed() -> None:
    if io_uring_errno() in (errno.EPERM, errno.ENOSYS):
        pytest.skip("io_uring is not available here")
    with Server(Configuration("auto-1", "auto", 1)) as server:
        assert _fields(server)["io_backend"] == "io_uring"


def test_epoll_when_asked_for() -> None:
    with Server(Configuration("epoll-1", "epoll", 1)) as server:
        assert _fields(server)["io_backend"] == "epoll"
