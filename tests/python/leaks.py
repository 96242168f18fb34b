"""Calls of every kind, each of which leaves everything as it found it."""

from __future__ import annotations

import asyncio
import contextlib
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
        self.loop = asyncio.new_event_loop()
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
        self.loop.close()


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
        session.execute("DEL", kit.key)
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


def _methods(kit: Kit) -> None:
    server = kit.server
    server.hset(kit.key, mapping={"a": kit.value, "b": kit.number})
    server.hgetall(kit.key)
    server.zrange("zset", 0, -1, withscores=True)
    server.mget("large", kit.key[:0] + "nobody", "list"[:0])
    server.sort("list", desc=True)
    list(server.scan_iter("*", count=3))
    _failing(kevyrt.WrongTypeError, lambda: server.incr(kit.key))
    _failing(kevyrt.WrongTypeError, lambda: server.mset({kit.key: 1}) and server.llen("large"))
    _failing(TypeError, lambda: server.hset(kit.key, mapping={"a": kit}))
    _failing(TypeError, lambda: server.zadd("zset", {kit: 1}))  # type: ignore[dict-item]
    server.delete(kit.key)
    with_text = server.database(2, decode_responses=True)
    with_text.set(kit.key, kit.value.hex())
    assert with_text.get(kit.key) == kit.value.hex()
    with_text.delete(kit.key)


def _mapping(kit: Kit) -> None:
    server = kit.server
    server[kit.key] = kit.value
    assert server[kit.key] == kit.value and kit.key in server and len(server) > 5
    view = server.get_view("large")
    assert view is not None and len(view) == len(kit.large)
    _failing(KeyError, lambda: server["nobody"])
    server.setdefault(kit.key, 1)
    server.pop(kit.key)
    list(server.items())[:0]


def _pipelines(kit: Kit) -> None:
    with kit.server.pipeline() as pipe:
        pipe.set(kit.key, kit.value).get(kit.key).lrange("list", 0, -1)
        assert len(pipe.execute()) == 3
        pipe.set(kit.key, 1).lpush("large", 1)
        _failing(kevyrt.ResponseError, pipe.execute)
        pipe.set(kit.key, 2)
    forgotten = kit.server.pipeline(transaction=False)
    forgotten.get("large").hgetall("hash")
    del forgotten
    kit.server.transaction(lambda pipe: pipe.incr("n"), kit.key)
    kit.server.delete(kit.key, "n")


def _aio(kit: Kit) -> None:
    aio = kit.server.aio

    async def main() -> None:
        await aio.set(kit.key, kit.value)
        await asyncio.gather(*(aio.get("large") for _ in range(3)))
        waiting = asyncio.ensure_future(aio.blpop("nobody"))
        await asyncio.sleep(0)
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting
        assert await aio.blpop("nobody", timeout=0.0005) is None
        with contextlib.suppress(kevyrt.WrongTypeError):
            await aio.llen("large")
        await aio.delete(kit.key)

    kit.loop.run_until_complete(main())


def _rewinding(kit: Kit) -> None:
    with kit.server.checkpoint() as checkpoint:
        kit.server.delete("list", "large")
        checkpoint.rewind()
        kit.server.set("large", 1)
    _failing(kevyrt.PersistenceError, lambda: (kit.server.checkpoint(), kit.server.checkpoint()))


CALLS: dict[str, Callable[[Kit], Any]] = {
    "methods": _methods,
    "mapping": _mapping,
    "pipelines": _pipelines,
    "aio": _aio,
    "rewinding": _rewinding,
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
