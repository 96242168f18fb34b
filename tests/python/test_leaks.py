"""Nothing is left behind: by calls of every kind, by sessions, by servers that start and stop.

The long forms are a campaign, tests/long/soak.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from leaks import CALLS, Kit, start_and_stop
from resources import growth, held, settled

import kevyrt

TIMES = 400
# A block per call would be 400. What the interpreter and asyncio keep varies by up to 180.
BLOCKS_ALLOWED = 200
HEAP_ALLOWED = 32 * 1024
ROUNDS = 4


def check_flat(work: Callable[[], object], times: int = TIMES, heap: int = HEAP_ALLOWED) -> None:
    """A leak is seen in every round; what threads free later, and what grows once, is not."""
    seen = []
    for _ in range(ROUNDS):
        grown = growth(work, times)
        if grown.blocks < BLOCKS_ALLOWED and grown.heap_bytes < heap:
            return
        seen.append(grown)
    raise AssertionError(seen)


@pytest.mark.parametrize("name", CALLS)
def test_calls(name: str) -> None:
    """Also those that fail: what an error leaves on the way out is the easiest to forget."""
    with kevyrt.Server(threads=2) as server, Kit(server) as kit:
        check_flat(lambda: CALLS[name](kit))


def test_arguments_keep_their_references() -> None:
    with kevyrt.Server() as server, Kit(server) as kit:
        objects: list[Any] = [kit.key, kit.value, kit.buffer, kit.number, None, True]
        before = [sys.getrefcount(each) for each in objects]
        for call in CALLS.values():
            for _ in range(20):
                call(kit)
        after = [sys.getrefcount(each) for each in objects]
    # None and True are everybody's.
    assert all(abs(new - old) < 20 for old, new in zip(before, after, strict=True)), (before, after)
    assert after[:4] == before[:4]


@pytest.mark.parametrize("io", ["io_uring", "epoll"])
@pytest.mark.parametrize("threads", [1, 3])
def test_starts_and_stops(io: Any, threads: int) -> None:
    """After a warm-up everything is flat."""
    try:
        start_and_stop(io, threads)
    except OSError as error:
        pytest.skip(str(error))
    for _ in range(60):
        start_and_stop(io, threads)
    before = settled(1)
    for _ in range(240):
        start_and_stop(io, threads)
    after = settled(before.threads)
    assert after.descriptors == before.descriptors
    assert after.threads == before.threads
    assert after.mappings <= before.mappings + 8, (before, after)
    assert after.rss_bytes - before.rss_bytes < 4 << 20, (before, after)


def test_a_session_whose_last_answer_is_late() -> None:
    """What is late keeps the server, until somebody gives it up."""

    async def watch(server: kevyrt.Server) -> None:
        pipe = server.aio.pipeline()
        await pipe.watch("k")
        await pipe.reset()

    def work() -> None:
        with kevyrt.Server(port=None) as server:
            server.faults.add("UNWATCH", delay=3600)
            asyncio.run(watch(server))

    check_flat(work, times=20)


def test_servers_that_never_start() -> None:
    def work() -> None:
        kevyrt.Server(threads=4, maxclients=50)
        with contextlib.suppress(ValueError):
            kevyrt.Server(threads=99)
        with contextlib.suppress(ValueError):
            kevyrt.Server(no_such_setting=1)

    check_flat(work)


def test_starts_that_fail() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = kevyrt.Server(port=taken.getsockname()[1], threads=3)

        def work() -> None:
            with pytest.raises(OSError, match="in use"):
                server.start()

        before = held()
        check_flat(work, times=100)
        after = settled(before.threads)
    assert after.descriptors == before.descriptors and after.threads <= before.threads


@pytest.mark.parametrize("end", ["close", "peer", "drop"])
def test_adopted_sockets(end: str) -> None:
    """Whoever ends a connection, its descriptor goes with it."""
    with kevyrt.Server() as server:

        def work() -> None:
            ours, theirs = socket.socketpair()
            server.adopt(theirs.detach())
            ours.sendall(b"QUIT\r\n" if end == "peer" else b"PING\r\n")
            assert ours.recv(100) in (b"+OK\r\n", b"+PONG\r\n")
            if end == "drop":
                with contextlib.suppress(kevyrt.ResponseError):
                    server.execute("CLIENT", "KILL", "TYPE", "normal")
            ours.close()

        work()
        before = held()
        for _ in range(300):
            work()
        _await(lambda: held().descriptors <= before.descriptors)


def _await(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
