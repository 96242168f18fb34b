"""Calls of every kind, each of which leaves everything as it found it."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any

import kevyrt


class Kit:
    """A server with keys of every kind, and objects to pass."""

    def __init__(self, server: kevyrt.Server) -> None:
        self.server = server
        self.session = server.session()
        # Made at run time: constants would be immortal.
        self.key = "".join(["k", "ey"])
        self.value = bytes(range(200)) * 2
        self.buffer = bytearray(self.value)
        self.number = 10**12 + len(self.key)
        self.large = "x" * 20_000
        server.execute("SET", "large", self.large)
        server.execute("RPUSH", "list", *range(20))
        server.execute("HSET", "hash", *range(20))
        server.execute("SADD", "set", *range(20))
        server.execute("ZADD", "zset", *range(20))
        server.execute("XADD", "stream", "1-1", "f", "v")
        self.snapshot = server.snapshot()
        self.data = self.snapshot.to_bytes()

    def __enter__(self) -> Kit:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.session.close()


def _failing(kind: type[BaseException], call: Callable[[], object]) -> None:
    try:
        call()
    except kind:
        return
    raise AssertionError(f"no {kind.__name__}")


def _get_and_set(kit: Kit) -> None:
    kit.server.set(kit.key, kit.value)
    assert kit.server.get(kit.key) == kit.value
    kit.server.set(kit.key, kit.buffer)
    kit.server.set(kit.number, kit.number)
    kit.server.get("nobody")
    kit.server.get("large")
    kit.server.delete(kit.key, kit.number)


def _set_options(kit: Kit) -> None:
    kit.server.set(kit.key, kit.value, ex=100)
    kit.server.set(kit.key, 1.5, px=100_000, get=True)
    kit.server.set(kit.key, "x", nx=True)
    kit.server.delete(kit.key)


def _errors(kit: Kit) -> None:
    server = kit.server
    _failing(kevyrt.WrongTypeError, lambda: server.get("list"))
    _failing(kevyrt.ResponseError, lambda: server.execute("NOSUCH", kit.value))
    _failing(kevyrt.ResponseError, lambda: server.execute("INCR", "large"))
    _failing(TypeError, lambda: server.execute("SET", kit.key, object()))
    _failing(TypeError, lambda: server.execute("MSET", *[kit.buffer] * 30, None))
    _failing(TypeError, lambda: server.set(kit.key))  # type: ignore[call-overload]
    _failing(TypeError, lambda: server.set(kit.key, kit.value, bogus=1))  # type: ignore[call-overload]
    _failing(ValueError, lambda: server.execute("GET", kit.key, db=99))
    _failing(UnicodeEncodeError, lambda: server.get("\ud800"))
    _failing(TypeError, lambda: server.execute())
    _failing(OSError, lambda: server.adopt(99999))


def _replies(kit: Kit) -> None:
    execute = kit.server.execute
    execute("LRANGE", "list", 0, -1)
    execute("HGETALL", "hash")
    execute("SMEMBERS", "set")
    execute("ZRANGE", "zset", 0, -1, "WITHSCORES")
    execute("XRANGE", "stream", "-", "+")
    execute("XINFO", "STREAM", "stream", "FULL")
    execute("COMMAND", "INFO", "get", "nosuch", "xadd")
    execute("CONFIG", "GET", "*")
    execute("INFO")


def _sessions(kit: Kit) -> None:
    with kit.server.session() as session:
        session.execute("SELECT", 3)
        session.execute("WATCH", kit.key)
        session.execute("MULTI")
        session.execute("SET", kit.key, kit.value)
        session.execute("INCR", kit.key)
        replies = session.execute("EXEC")
        assert isinstance(replies[1], kevyrt.ResponseError)
        session.execute("FLUSHDB")
    _failing(RuntimeError, lambda: session.execute("PING"))
    kit.session.execute("MULTI")
    _failing(kevyrt.ResponseError, lambda: kit.session.execute("NOSUCH"))
    _failing(kevyrt.ExecAbortError, lambda: kit.session.execute("EXEC"))


def _waiting(kit: Kit) -> None:
    assert kit.server.execute("BLPOP", "nobody", "none", 0.0005) is None
    assert kit.session.execute("BZPOPMIN", "nobody", 0.0005) is None
    kit.server.wait(0.0001)


def _copies(kit: Kit) -> None:
    snapshot = kit.server.snapshot()
    assert len(snapshot.to_bytes()) == len(snapshot)
    kit.server.restore(snapshot)
    kit.server.restore(kit.data)
    _failing(kevyrt.DamagedError, lambda: kit.server.restore(kit.data[:30]))
    _failing(FileNotFoundError, lambda: kit.server.restore("/nonexistent/file"))
    _failing(OSError, lambda: kit.server.save("/nonexistent/file"))
    _failing(kevyrt.PersistenceError, lambda: kit.server.rewrite_aof())


def _looks(kit: Kit) -> None:
    kit.server.stats()
    repr(kit.server)
    kit.server.url  # noqa: B018
    kit.server.port  # noqa: B018
    kit.server.running  # noqa: B018


CALLS: dict[str, Callable[[Kit], Any]] = {
    "get-and-set": _get_and_set,
    "set-options": _set_options,
    "errors": _errors,
    "replies": _replies,
    "sessions": _sessions,
    "waiting": _waiting,
    "copies": _copies,
    "looks": _looks,
}


def start_and_stop(io: Any = "auto", threads: int = 1) -> None:
    """A server, a call, a client, the end."""
    with kevyrt.Server(io=io, threads=threads) as server:
        server.set("k", "v")
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
            client.sendall(b"GET k\r\n")
            assert client.recv(100) == b"$1\r\nv\r\n"


def total_references() -> int:
    """Of a debug build of Python; 0 otherwise."""
    count = getattr(sys, "gettotalrefcount", None)
    return count() if count else 0
