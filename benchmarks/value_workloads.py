"""What benchmarks/values.py plays: commands of values with many elements, and how to fill those."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from harness import KEY_FORMAT
from workloads import Command

ELEMENTS = 200_000
MANY = 200_000  # commands of a turn
RANGE = 100  # elements that a range replies
ITEM = b"v" * 16
OTHER = b"w" * 16
SPREAD = 7_919  # prime: n * SPREAD % count goes over all numbers, near ones far apart


def member(number: int) -> str:
    return f"element:{number:012d}"


def entry_id(number: int) -> str:
    return f"1-{number + 1}"


# Shapes of data


@dataclass(frozen=True)
class Shape:
    """How many elements a key has; all keys together have ELEMENTS."""

    name: str
    each: int

    def key(self, number: int) -> str:
        return KEY_FORMAT.format(number // self.each)

    def place(self, number: int) -> int:
        return number % self.each

    def start(self, number: int) -> int:
        """A place with RANGE elements from it on."""
        return self.place(number) % (self.each - RANGE + 1)


SHAPES = (Shape("one key", ELEMENTS), Shape(f"{ELEMENTS // RANGE:,} keys", RANGE))

Line = Callable[[Shape, int, Random], Command]


def _list(shape: Shape, n: int, _: Random) -> Command:
    return ("RPUSH", shape.key(n), f"item:{n:011d}")


def _set(shape: Shape, n: int, _: Random) -> Command:
    return ("SADD", shape.key(n), member(n))


def _hash(shape: Shape, n: int, _: Random) -> Command:
    return ("HSET", shape.key(n), member(n), ITEM)


def _zset(shape: Shape, n: int, _: Random) -> Command:
    return ("ZADD", shape.key(n), n * SPREAD % ELEMENTS, member(n))


def _stream(shape: Shape, n: int, _: Random) -> Command:
    return ("XADD", shape.key(n), entry_id(n), "myfield", ITEM)


SETUPS: dict[str, Line | None] = {
    "nothing": None,
    "list": _list,
    "set": _set,
    "hash": _hash,
    "zset": _zset,
    "stream": _stream,
}


# What is there, of the key of an element and of that element: to be alike on both servers


def _list_state(shape: Shape, n: int) -> list[Command]:
    return [("LLEN", shape.key(n)), ("LINDEX", shape.key(n), shape.place(n) // 2)]


def _set_state(shape: Shape, n: int) -> list[Command]:
    return [("SCARD", shape.key(n)), ("SISMEMBER", shape.key(n), member(n))]


def _set_size(shape: Shape, n: int) -> list[Command]:
    return [("SCARD", shape.key(n))]


def _hash_state(shape: Shape, n: int) -> list[Command]:
    return [("HLEN", shape.key(n)), ("HGET", shape.key(n), member(n))]


def _zset_state(shape: Shape, n: int) -> list[Command]:
    return [("ZCARD", shape.key(n)), ("ZSCORE", shape.key(n), member(n))]


def _stream_state(shape: Shape, n: int) -> list[Command]:
    return [("XLEN", shape.key(n)), ("XRANGE", shape.key(n), entry_id(n), entry_id(n))]


def _stream_size(shape: Shape, n: int) -> list[Command]:
    return [("XLEN", shape.key(n))]


# Commands


@dataclass(frozen=True)
class Workload:
    """A command, and how it is played.

    `once`: no number comes twice. `writes`: it changes what `state` asks for, on both alike; what
    does not write leaves it. `exact`: the replies of both have as many bytes.
    """

    name: str
    line: Line
    setup: str
    state: Callable[[Shape, int], list[Command]]
    writes: bool = False
    count: int = MANY
    once: bool = False
    exact: bool = True

    @property
    def command(self) -> str:
        return re.match("[A-Z]+", self.name)[0]


def _reads() -> Iterator[Workload]:
    def lrange(s: Shape, n: int, _: Random) -> Command:
        return ("LRANGE", s.key(n), 0, RANGE - 1)

    def hget(s: Shape, n: int, _: Random) -> Command:
        return ("HGET", s.key(n), member(n))

    def zrange(s: Shape, n: int, _: Random) -> Command:
        return ("ZRANGE", s.key(n), s.start(n), s.start(n) + RANGE - 1)

    def by_score(s: Shape, n: int, draws: Random) -> Command:
        return ("ZRANGEBYSCORE", s.key(n), draws.randrange(ELEMENTS), "+inf", "LIMIT", 0, 10)

    def xrange(s: Shape, n: int, _: Random) -> Command:
        first = n - s.place(n) + s.start(n)
        return ("XRANGE", s.key(n), entry_id(first), "+", "COUNT", RANGE)

    yield Workload("LRANGE of 100", lrange, "list", _list_state, count=MANY // 10)
    yield Workload("HGET", hget, "hash", _hash_state)
    yield Workload("ZRANGE of 100", zrange, "zset", _zset_state, count=MANY // 10)
    yield Workload("ZRANGEBYSCORE LIMIT 0 10", by_score, "zset", _zset_state, count=MANY // 2)
    yield Workload("XRANGE of 100", xrange, "stream", _stream_state, count=MANY // 10)


def _writes() -> Iterator[Workload]:
    def hset(s: Shape, n: int, _: Random) -> Command:
        return ("HSET", s.key(n), member(n), OTHER)

    def zadd(s: Shape, n: int, draws: Random) -> Command:
        return ("ZADD", s.key(n), draws.randrange(ELEMENTS), member(n))

    def xadd(s: Shape, n: int, _: Random) -> Command:
        return ("XADD", s.key(n), "*", "myfield", ITEM)

    for name in ("LPUSH", "RPUSH"):
        yield Workload(name, _push(name), "nothing", _list_state, writes=True)
    yield Workload("SADD", _set, "nothing", _set_state, writes=True)
    yield Workload("HSET", hset, "nothing", _hash_state, writes=True)
    yield Workload("HSET, field there", hset, "hash", _hash_state, writes=True)
    yield Workload("ZADD", zadd, "nothing", _zset_state, writes=True)
    yield Workload("ZADD, member there", zadd, "zset", _zset_state, writes=True)
    yield Workload("XADD", xadd, "nothing", _stream_size, writes=True, exact=False)


def _push(name: str) -> Line:
    return lambda s, n, _: (name, s.key(n), ITEM)


def _pops() -> Iterator[Workload]:
    """Half of what is there."""
    for name, setup, state in (("LPOP", "list", _list_state), ("SPOP", "set", _set_size)):
        line: Line = lambda s, n, _, name=name: (name, s.key(n))  # noqa: E731
        yield Workload(name, line, setup, state, writes=True, count=MANY // 2, once=True)


def workloads() -> list[Workload]:
    return [*_writes(), *_pops(), *_reads()]
