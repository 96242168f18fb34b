"""What a key-value server answers, in a few lines of Python: the sequential truth.

Commands are tuples of text and bytes; answers are the plain values of replies (`plain`). Errors
are the exception class itself, so that a model can say *an error* without its text.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from harness.resp import Reply, to_bytes

Command = tuple[Any, ...]

LIMIT = 1 << 63


class AnError:
    """Stands for any error reply."""


class Model:
    """SET, GET, INCR, DEL, EXISTS, MSET and MGET on one database."""

    def __init__(self, data: dict[bytes, bytes] | None = None) -> None:
        self.data = dict(data or {})

    def execute(self, command: Command) -> Any:
        handlers: dict[str, Callable[..., Any]] = {
            "SET": self._set,
            "GET": self._get,
            "INCR": self._incr,
            "DEL": self._del,
            "EXISTS": self._exists,
            "MSET": self._mset,
            "MGET": self._mget,
        }
        return handlers[command[0]](*map(to_bytes, command[1:]))

    def frozen(self) -> frozenset[tuple[bytes, bytes]]:
        return frozenset(self.data.items())

    def _set(self, key: bytes, value: bytes) -> bytes:
        self.data[key] = value
        return b"OK"

    def _get(self, key: bytes) -> bytes | None:
        return self.data.get(key)

    def _incr(self, key: bytes) -> int | type[AnError]:
        text = self.data.get(key, b"0")
        try:
            number = int(text)
        except ValueError:
            return AnError
        if str(number).encode() != text or not -LIMIT <= number < LIMIT - 1:
            return AnError
        self.data[key] = b"%d" % (number + 1)
        return number + 1

    def _del(self, *keys: bytes) -> int:
        return sum(self.data.pop(key, None) is not None for key in keys)

    def _exists(self, *keys: bytes) -> int:
        return sum(key in self.data for key in keys)

    def _mset(self, *pairs: bytes) -> bytes:
        self.data.update(zip(pairs[::2], pairs[1::2], strict=True))
        return b"OK"

    def _mget(self, *keys: bytes) -> tuple[bytes | None, ...]:
        return tuple(self.data.get(key) for key in keys)


def plain(reply: Reply) -> Any:
    """The value that the model speaks of."""
    if reply.kind == "error":
        return AnError
    if isinstance(reply.value, tuple):
        return tuple(plain(item) for item in reply.value)
    return reply.value


def random_command(choose: random.Random, keys: list[str], stamp: str) -> Command:
    """One command on some of the keys; every value written is unlike any other."""
    kind = choose.choice(["SET", "GET", "GET", "INCR", "INCR", "DEL", "EXISTS", "MSET", "MGET"])
    some = choose.choices(keys, k=choose.randint(1, min(5, len(keys))))
    if kind == "SET":
        return ("SET", some[0], _value(choose, stamp))
    if kind in ("GET", "INCR"):
        return (kind, some[0])
    if kind == "MSET":
        return ("MSET", *(part for key in some for part in (key, _value(choose, stamp))))
    return (kind, *some)


def _value(choose: random.Random, stamp: str) -> str:
    size = choose.choice([0, 0, 0, 0, 40, 300, 5000])
    return stamp + "." * size if choose.random() < 0.6 else str(choose.randrange(10**6))
