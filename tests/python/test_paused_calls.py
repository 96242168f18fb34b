"""CLIENT PAUSE and callers in process: they wait as connections do, without the GIL."""

from __future__ import annotations

import threading
import time

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
