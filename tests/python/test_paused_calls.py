"""CLIENT PAUSE and callers in process: they wait as connections do, without the GIL."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable

import pytest

import kevyrt


def _pause(server: kevyrt.Server, ms: int, mode: str) -> float:
    assert server.execute("CLIENT", "PAUSE", str(ms), mode) is not None
    return time.monotonic()


def test_writes_wait(server: kevyrt.Server) -> None:
    server.set("key", "old")
    start = _pause(server, 150, "WRITE")
    assert server.get("key") == b"old"
    assert server.set("key", "new") is True
    assert time.monotonic() - start > 0.14
    assert server.get("key") == b"new"


def test_all_wait(server: kevyrt.Server) -> None:
    server.set("key", "value")
    start = _pause(server, 100, "ALL")
    assert server.get("key") == b"value"
    assert time.monotonic() - start > 0.09


def test_others_run_meanwhile_and_unpause_wakes(server: kevyrt.Server) -> None:
    done = threading.Event()

    def write() -> None:
        server.set("key", "new")
        done.set()

    _pause(server, 100_000, "WRITE")
    thread = threading.Thread(target=write)
    thread.start()
    assert not done.wait(0.05)
    assert server.get("key") is None
    server.execute("CLIENT", "UNPAUSE")
    assert done.wait(5)
    thread.join()
    assert server.get("key") == b"new"


def test_a_stop_ends_the_wait() -> None:
    server = kevyrt.Server()
    server.start()
    errors: list[BaseException] = []

    def write() -> None:
        try:
            server.set("key", "new")
        except kevyrt.Error as error:
            errors.append(error)

    _pause(server, 100_000, "WRITE")
    thread = threading.Thread(target=write)
    thread.start()
    time.sleep(0.03)
    server.stop()
    thread.join(5)
    assert not thread.is_alive()
    assert len(errors) == 1


class Raised(Exception):
    pass


def _interrupted(call: Callable[[], object], delay: float) -> None:
    def interrupt(*_: object) -> None:
        raise Raised

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(Raised):
            signal.setitimer(signal.ITIMER_REAL, delay)
            call()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("delay", [0.0001, 0.03])
def test_a_handler_that_raises_ends_the_wait(server: kevyrt.Server, delay: float) -> None:
    server.set("key", "old")
    with server.session() as session:
        _pause(server, 100_000, "WRITE")
        for call in (
            lambda: server.set("key", "new"),
            lambda: server.execute("INCR", "key"),
            lambda: server.delete("key"),
            lambda: session.execute("APPEND", "key", "x"),
        ):
            _interrupted(call, delay)
        assert server.get("key") == b"old"
        server.execute("CLIENT", "UNPAUSE")
        assert session.execute("APPEND", "key", "er") == 5


def test_handlers_run_while_it_waits(server: kevyrt.Server) -> None:
    """One that does not raise lets it wait on; it may even be what ends the pause."""

    def unpause(*_: object) -> None:
        server.execute("CLIENT", "UNPAUSE")

    before = signal.signal(signal.SIGALRM, unpause)
    _pause(server, 100_000, "WRITE")
    signal.setitimer(signal.ITIMER_REAL, 0.03)
    try:
        assert server.set("key", "new") is True
    finally:
        signal.signal(signal.SIGALRM, before)
