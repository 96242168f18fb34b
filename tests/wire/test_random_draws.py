"""Random results are even: SRANDMEMBER, SPOP, HRANDFIELD, ZRANDMEMBER and RANDOMKEY.

Every form that a value has is drawn from: packed, a tree, and a tree of which 99 of 100 elements
are gone, some of its parts crowded and others empty. What was drawn how often is held against
chi-square; a server that is right fails a whole run with a chance under 1e-9. Redis is not asked:
its draws favour what lies alone in a bucket.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from harness.client import Connection
from harness.process import Server

Start = Callable[..., Server]
Draws = Iterable[list[bytes]]

DEVIATIONS = 7.5  # of the normal distribution: 3e-14, and there are some hundred tests in a run
EXPECTED = 40  # how often each is drawn
LARGE = 100_000
LEFT = 1000


def critical(freedom: int) -> float:
    """What chi-square of so many degrees of freedom does not exceed (Wilson and Hilferty)."""
    part = 2 / (9 * freedom)
    return freedom * (1 - part + DEVIATIONS * part**0.5) ** 3


def assert_even(draws: Draws, names: list[bytes], size: int) -> None:
    """Draws of `size` names at a time: those of one draw differ, and each came about as often."""
    counts: Counter[bytes] = Counter()
    total = 0
    for drawn in draws:
        assert len(drawn) == len(set(drawn)) == size
        counts.update(drawn)
        total += size
    assert counts.keys() <= set(names)
    expected = total / len(names)
    assert expected >= 0.7 * EXPECTED, "too few to tell"
    squares = sum((counts[name] - expected) ** 2 for name in names)
    # Without replacement the counts vary less: by the part that is not drawn.
    spread = (len(names) - size) / (len(names) - 1)
    assert squares / (expected * spread) < critical(len(names) - 1)


# ---- Values -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Family:
    draw: str
    add: str
    remove: str
    all: tuple[str, ...]
    before: tuple[str, ...] = ()  # the member
    behind: tuple[str, ...] = ()

    def element(self, name: bytes) -> list[bytes | str]:
        return [*self.before, name, *self.behind]


FAMILIES = [
    Family("SRANDMEMBER", "SADD", "SREM", ("SMEMBERS", "k")),
    Family("HRANDFIELD", "HSET", "HDEL", ("HKEYS", "k"), behind=("value",)),
    Family("ZRANDMEMBER", "ZADD", "ZREM", ("ZRANGE", "k", "0", "-1"), before=("7",)),
]


def _value(reply: Any) -> Any:
    assert reply.kind != "error", reply
    if reply.kind in ("array", "set"):
        return [_value(part) for part in reply.value]
    return reply.value


def _names(count: int) -> list[bytes]:
    return [b"m:%d" % i for i in range(count)]


def _in_parts(names: list[bytes]) -> Iterator[list[bytes]]:
    for first in range(0, len(names), 5000):
        yield names[first : first + 5000]


def _fill(connection: Connection, family: Family, names: list[bytes]) -> None:
    for part in _in_parts(names):
        elements = [word for name in part for word in family.element(name)]
        assert connection.do(family.add, "k", *elements).value == len(part)


def _thin_out(connection: Connection, family: Family) -> list[bytes]:
    """What is left, as it lies in the tree: all of its beginning, the rest here and there."""
    there = _value(connection.do(*family.all))
    crowd, rest = there[: LEFT // 2], there[LEFT // 2 :]
    left = set(crowd + rest[:: len(rest) // (LEFT // 2)][: LEFT // 2])
    for part in _in_parts([name for name in there if name not in left]):
        assert connection.do(family.remove, "k", *part).value == len(part)
    return [name for name in there if name in left]


def _packed(connection: Connection, family: Family) -> list[bytes]:
    _fill(connection, family, _names(9))
    return _names(9)


def _tree(connection: Connection, family: Family) -> list[bytes]:
    _fill(connection, family, _names(600))
    return _names(600)


def _sparse(connection: Connection, family: Family) -> list[bytes]:
    _fill(connection, family, _names(LARGE))
    return _thin_out(connection, family)


FORMS = [_packed, _tree, _sparse]
Form = Callable[[Connection, Family], list[bytes]]


def _repeat(
    connection: Connection, times: int, *commands: tuple[str | bytes, ...]
) -> Iterator[Any]:
    """What the last of the commands replies each time."""
    for first in range(0, times, 1000):
        batch = min(1000, times - first)
        replies = connection.pipeline(list(commands) * batch)
        yield from map(_value, replies[len(commands) - 1 :: len(commands)])


def _sizes(count: int) -> list[int]:
    """Few of them, which are drawn and drawn again, and many, which are chosen in one pass."""
    return sorted({1, max(1, count // 10), count // 2, count - count // 10 - 1})


# ---- Tests --------------------------------------------------------------------------------------


@pytest.fixture
def connection(own: Start) -> Iterator[Connection]:
    server = own()
    if server.is_redis:
        pytest.skip("Redis draws otherwise")
    with server.connect() as connection:
        yield connection


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__[1:])
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.draw.lower())
def test_draws_are_even(connection: Connection, family: Family, form: Form) -> None:
    names = form(connection, family)
    count = len(names)
    one_by_one = _repeat(connection, EXPECTED * count, (family.draw, "k"))
    assert_even(([name] for name in one_by_one), names, 1)
    with_repeats = _value(connection.do(family.draw, "k", str(-EXPECTED * count)))
    assert len(with_repeats) == EXPECTED * count
    assert_even(([name] for name in with_repeats), names, 1)
    for size in _sizes(count):
        times = -(-EXPECTED * count // size)
        draws = _repeat(connection, times, (family.draw, "k", str(size)))
        assert_even(draws, names, size)
    for size in (count, count + 1, 10 * count):
        everything = _value(connection.do(family.draw, "k", str(size)))
        assert sorted(everything) == sorted(names)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__[1:])
def test_pops_are_even(connection: Connection, form: Form) -> None:
    names = form(connection, FAMILIES[0])
    count = len(names)
    again = ("COPY", "k", "taken", "REPLACE")
    if form is not _sparse:
        one_by_one = _repeat(connection, EXPECTED * count, again, ("SPOP", "taken"))
        assert_even(([name] for name in one_by_one), names, 1)
    for size in _sizes(count)[form is _sparse :]:
        times = -(-EXPECTED * count // size)
        draws = _repeat(connection, times, again, ("SPOP", "taken", str(size)))
        assert_even(draws, names, size)
        connection.do(*again)
        popped = _value(connection.do("SPOP", "taken", str(size)))
        assert sorted(popped + _value(connection.do("SMEMBERS", "taken"))) == sorted(names)


def _set_keys(connection: Connection, names: list[bytes]) -> None:
    for part in _in_parts(names):
        assert (
            connection.do("MSET", *[word for name in part for word in (name, "v")]).kind != "error"
        )


@pytest.mark.parametrize("left", [1, 12, LEFT])
def test_random_keys_are_even(connection: Connection, left: int) -> None:
    """Also of a keyspace that has shrunk, where they are still found at once."""
    names = _names(LARGE)
    _set_keys(connection, names[:left])
    shrunk = False
    for _ in range(2):
        start = time.monotonic()
        keys = list(_repeat(connection, EXPECTED * left, ("RANDOMKEY",)))
        assert time.monotonic() - start < 10
        if left > 1:
            assert_even(([key] for key in keys), names[:left], 1)
        else:
            assert set(keys) == {names[0]}
        if shrunk:
            break
        _set_keys(connection, names[left:])
        for part in _in_parts(names[left:]):
            assert connection.do("DEL", *part).value == len(part)
        shrunk = True


def test_a_test_that_finds_what_is_uneven() -> None:
    """A name in a hundred that comes twice as often is seen, and what is even is not."""
    names = _names(100)
    even = [[name] for name in names] * EXPECTED * 10
    assert_even(even, names, 1)
    with pytest.raises(AssertionError):
        assert_even(even + [[names[3]]] * EXPECTED * 10, names, 1)
    with pytest.raises(AssertionError):
        assert_even([[names[0], names[0]]], names, 2)
