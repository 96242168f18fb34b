"""A server in this process, for tests whose clients are connections and sessions at once."""

from __future__ import annotations

import contextlib
import importlib
import sys
from typing import Any

from harness.client import Connection
from harness.model import AnError, Command

THREADS = 3
# One of every way to reach a shard, on both reactors.
EMBEDDED = {
    f"{io}-{borrow}-sessions": {"io": io, "borrow": borrow}
    for io in ("io_uring", "epoll")
    for borrow in ("auto", "never")
}


class Embedded:
    """Runs from `__enter__` to `__exit__`; meanwhile threads hand the interpreter on so often that
    short calls overlap."""

    is_redis = False

    def __init__(self, io: str, borrow: str) -> None:
        self._options = {"threads": THREADS, "io": io, "debug_borrow": borrow}
        self._stack = contextlib.ExitStack()
        self._spread: list[str] = []

    def __enter__(self) -> Embedded:
        kevyrt = importlib.import_module("kevyrt")
        self.server = self._stack.enter_context(
            kevyrt.Server(**self._options, enable_debug_command="yes")
        )
        self._control = self._stack.enter_context(self.connect())
        self._stack.callback(sys.setswitchinterval, sys.getswitchinterval())
        sys.setswitchinterval(1e-6)
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def connect(self) -> Connection:
        return Connection(("127.0.0.1", self.server.port))

    def control(self) -> Connection:
        return self._control

    def session(self) -> Any:
        return self.server.session()

    def spread(self, count: int) -> list[str]:
        """`count` keys, neighbours on different shards."""
        if len(self._spread) < count:
            self._spread = self._find_spread(count)
        return self._spread[:count]

    def _find_spread(self, count: int) -> list[str]:
        found: list[list[str]] = [[] for _ in range(THREADS)]
        for i in range(count * 50):
            found[self._control.do("DEBUG", "KEVYRT-SHARD", f"key:{i}").value].append(f"key:{i}")
        return [found[i % THREADS][i // THREADS] for i in range(count)]


def execute(session: Any, command: Command) -> Any:
    """A session's answer to a command, in the words of the model."""
    try:
        return _plain(session.execute(*command))
    except importlib.import_module("kevyrt").ResponseError:
        return AnError


def _plain(reply: Any) -> Any:
    if isinstance(reply, list):
        return tuple(map(_plain, reply))
    if isinstance(reply, Exception):
        return AnError
    return reply.encode() if isinstance(reply, str) else reply
