"""Values and keys of every size come back byte for byte, alone and mixed with small ones."""

from __future__ import annotations

import random

import pytest
from harness.process import Server
from harness.resp import OK, bulk, encode, integer

SIZES = [0, 1, 63, 64, 65, 512, 4096, 16_383, 16_384, 16_385, 32_768, 65_535, 65_536, 1 << 20]
HUGE = 20 << 20


def _value(size: int, seed: int = 0) -> bytes:
    return random.Random(f"{size}:{seed}").randbytes(size)


@pytest.mark.parametrize("size", SIZES)
def test_value_comes_back(subject: Server, size: int) -> None:
    value = _value(size)
    with subject.connect() as connection:
        for key in subject.spread(3):
            assert connection.do("SET", key, value) == OK
            assert connection.do("GET", key) == bulk(value)
            assert connection.do("SET", key, "small", "GET") == bulk(value)
            assert connection.do("GET", key) == bulk("small")


def test_all_sizes_in_one_pipeline(subject: Server) -> None:
    keys = subject.spread(6)
    stored: dict[str, bytes] = {}
    commands, expected = [], []
    for at, size in enumerate(SIZES * 3):
        key = keys[at % len(keys)]
        stored[key] = _value(size, at)
        commands += [("SET", key, stored[key]), ("GET", key), ("MGET", *keys[:3])]
        expected += [OK, bulk(stored[key])]
        expected.append(tuple(stored.get(k) for k in keys[:3]))
    with subject.connect() as connection:
        replies = connection.pipeline(commands)
    for reply, wanted in zip(replies, expected, strict=True):
        if isinstance(wanted, tuple) and not hasattr(wanted, "kind"):
            assert tuple(item.value for item in reply.value) == wanted
        else:
            assert reply == wanted


def test_huge_value(subject: Server) -> None:
    value = _value(HUGE)
    first, second, *_ = subject.spread(2)
    with subject.connect() as connection:
        assert connection.do("SET", first, value) == OK
        # Read twice at once and overwritten behind: what was asked first is what arrives.
        connection.send(
            encode("GET", first) + encode("MGET", second, first) + encode("SET", first, "x")
        )
        connection.send(encode("GET", first))
        assert connection.read() == bulk(value)
        none, again = connection.read().value
        assert none.value is None and again == bulk(value)
        assert connection.read_many(2) == [OK, bulk("x")]


def test_huge_value_in_pieces(subject: Server) -> None:
    value = _value(2 << 20, 1)
    key = subject.spread(2)[1]
    request = encode("SET", key, value) + encode("GET", key)
    with subject.connect() as connection:
        for at in range(0, len(request), 30_011):
            connection.send(request[at : at + 30_011])
        assert connection.read_many(2) == [OK, bulk(value)]


def test_abandoned_huge_value_leaves_nothing(subject: Server) -> None:
    """A client that goes away inside a large bulk changes no key."""
    key = subject.spread(1)[0]
    with subject.connect() as connection:
        assert connection.do("SET", key, "kept") == OK
        for end in ("close", "reset"):
            other = subject.connect()
            other.send(encode("SET", key, _value(3 << 20))[: 2 << 20])
            getattr(other, end)()
        assert connection.do("GET", key) == bulk("kept")


@pytest.mark.parametrize("size", [0, 1, 255, 256, 65_536, 100_000])
def test_key_sizes(subject: Server, size: int) -> None:
    key, near = b"k" * size, b"k" * size + b"x"
    with subject.connect() as connection:
        assert connection.do("MSET", key, "a", near, "b") == OK
        assert connection.do("GET", key) == bulk("a")
        assert connection.do("GET", near) == bulk("b")
        assert connection.do("EXPIRE", key, 100) == integer(1)
        assert connection.do("DEL", key, near, b"k" * size + b"y") == integer(2)
        assert connection.do("DBSIZE") == integer(0)


def test_binary_keys_are_distinct(subject: Server) -> None:
    keys = [bytes([a, b]) for a in range(256) for b in (0, 10, 13, 255)]
    with subject.connect() as connection:
        assert connection.do("MSET", *(part for key in keys for part in (key, key[::-1]))) == OK
        values = connection.do("MGET", *keys).value
        assert [v.value for v in values] == [key[::-1] for key in keys]
        assert connection.do("DBSIZE") == integer(len(keys))
