"""The pytest fixture `kevyrt`: how long a test waits for a server of 10,000 keys to be as it was.

The peer is the fastest that a fixture of a server of its own can do: redis-server is emptied and
filled again by one MSET, whose bytes are made beforehand, over loopback.
"""

from __future__ import annotations

import importlib
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from harness import (
    KEY_FORMAT,
    REDIS,
    VALUE_BYTES,
    ServerProcess,
    Unavailable,
    WrongData,
    apart,
    find_kevyrt,
    median,
)
from report import Figure, Options, Section, main, number

KEYS = 10_000
FEW = 10
TURNS = 200
QUICK_TURNS = 20
GOAL_MS = 1.0
NAMES = [KEY_FORMAT.format(i) for i in range(KEYS)]
VALUE, OTHER = b"b" * VALUE_BYTES, b"o" * VALUE_BYTES
LONGER = b"l" * (VALUE_BYTES + 64)


@dataclass(frozen=True)
class Change:
    """What a test does to the server, before it is put back."""

    what: str
    make: Callable[[Any], object]


def _set_all(server: Any, value: bytes) -> None:
    for name in NAMES:
        server.set(name, value)


def _flush_and_fill(server: Any) -> None:
    server.execute("FLUSHALL")
    _set_all(server, OTHER)


CHANGES = (
    Change("nothing changed", lambda server: None),
    Change(f"{FEW} keys changed", lambda server: [server.set(n, OTHER) for n in NAMES[:FEW]]),
    Change("all keys overwritten", lambda server: _set_all(server, OTHER)),
    Change("all keys overwritten, longer", lambda server: _set_all(server, LONGER)),
    Change("all keys deleted", lambda server: server.execute("DEL", *NAMES)),
    Change("FLUSHALL", lambda server: server.execute("FLUSHALL")),
    Change("FLUSHALL and filled", _flush_and_fill),
)


def _require_data(server: Any) -> None:
    if server.execute("DBSIZE") != KEYS or server.execute("MGET", *NAMES) != [VALUE] * KEYS:
        raise WrongData("the server is not as it was")


@dataclass(frozen=True)
class Turn:
    before_ms: float  # a test: what the fixture does before it
    after_ms: float


def _turn(server: Any, change: Change) -> Turn:
    """With everything that the fixture does: settings, clients, clock, data."""
    way_back = importlib.import_module("kevyrt.pytest_plugin")._WayBack
    began = time.perf_counter()
    back = way_back(server, True)
    ready = time.perf_counter()
    change.make(server)
    changed = time.perf_counter()
    back.go()
    return Turn((ready - began) * 1e3, (time.perf_counter() - changed) * 1e3)


def _turns(threads: int, change: Change, count: int) -> list[Turn]:
    kevyrt = find_kevyrt()
    with kevyrt.Server(threads=threads) as server:
        _set_all(server, VALUE)
        done = [_turn(server, change) for _ in range(count)]
        _require_data(server)
    return done


# ---- The peer ------------------------------------------------------------------------------------


def _request(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(w), w) for w in words)


@contextmanager
def _connection(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield connection


def _redis_ms(count: int) -> float | None:
    pairs = [word for name in NAMES for word in (name.encode(), VALUE)]
    again = _request(b"FLUSHALL") + _request(b"MSET", *pairs)
    done, expected = [], b"+OK\r\n+OK\r\n"
    try:
        with ServerProcess(REDIS, apart().server) as server, _connection(server.port) as connection:
            for _ in range(count):
                began = time.perf_counter()
                connection.sendall(again)
                answer = b""
                while len(answer) < len(expected) and (piece := connection.recv(len(expected))):
                    answer += piece
                done.append((time.perf_counter() - began) * 1e3)
                if answer != expected:
                    raise WrongData(f"redis-server answered {answer!r}")
    except Unavailable:
        return None
    return median(done)


def fixture(options: Options) -> Section:
    turns = QUICK_TURNS if options.quick else TURNS
    section = Section(
        "The pytest fixture",
        notes=[
            f"medians of {turns} turns of all that the fixture `kevyrt` does behind a test, with "
            f"{KEYS:,} keys of 16 bytes with values of {VALUE_BYTES}; redis-server: FLUSHALL and "
            "one MSET of all keys over loopback, whatever has changed.",
        ],
    )
    peer = _redis_ms(turns)
    beside = "" if peer is None else f"redis-server {number(peer)} ms"
    for threads in (1, 3):
        before: list[float] = []
        for change in CHANGES:
            done = _turns(threads, change, turns)
            before += [turn.before_ms for turn in done]
            what = f"{threads} shard{'s' if threads > 1 else ''}: back, {change.what}"
            value = median([turn.after_ms for turn in done])
            section.figures.append(Figure(what, value, "ms", GOAL_MS, beside=beside))
            section.raw += [{"what": what, **vars(turn)} for turn in done]
        what = f"{threads} shard{'s' if threads > 1 else ''}: before a test"
        section.figures.append(Figure(what, median(before), "ms", GOAL_MS))
    return section


if __name__ == "__main__":
    main(__doc__, fixture)
