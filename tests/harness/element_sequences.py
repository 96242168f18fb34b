"""Random sequences for lists, sets and hashes: few keys on several shards, keys of other types,
deadlines that pass between two commands, near-misses of every argument.

The names of encodings, which 7.0 gives otherwise, are kept out of them; the wire cases have them.
"""

from __future__ import annotations

from hypothesis import strategies as st

from harness.cases import MASKED, Mask, unordered, unordered_pairs
from harness.ordered_sequences import KEYS, Family, numbers, sequences_of, some, timeouts
from harness.resp import Reply
from harness.strategies import command

ELEMENTS = ["a", "b", "c", "", "0", "1", "-7", "007", "9223372036854775807", b"\x00\xff", "1.5"]
ELEMENTS += ["m" * 64, "n" * 65, "o" * 990, "p" * 1001, "q" * 5000]

_key = st.sampled_from(KEYS)
_element = st.sampled_from(ELEMENTS)
_elements = st.lists(_element, min_size=1, max_size=6)
_many = st.integers(60, 300).map(lambda count: tuple(f"many{at:03}" for at in range(count)))
_pairs = st.lists(st.tuples(_element, _element), min_size=1, max_size=5)
_many_pairs = _many.map(lambda names: tuple(part for name in names for part in (name, name[:5])))
_index = numbers(0, 1, 2, -1, -2, 5, 100, -100)
_count = numbers(0, 1, 2, 5, 200, -1)
_end = st.sampled_from(["LEFT", "RIGHT", "left", "UP"])


@st.composite
def _inputs(draw: st.DrawFn) -> tuple:
    """How many keys, and the keys: now and then not as many."""
    keys = draw(st.lists(_key, min_size=1, max_size=3))
    wrong = draw(st.integers(0, 15))
    return (str(len(keys) if wrong else draw(st.integers(-1, 4))), *keys)


def _one_of(*names: str) -> st.SearchStrategy:
    return st.sampled_from(names)


LISTS = [
    command(_one_of("LPUSH", "RPUSH"), _key, _elements),
    command(_one_of("LPUSH", "RPUSH"), _key, _elements),
    command(_one_of("LPUSH", "RPUSH"), _key, _many),
    command(_one_of("LPUSHX", "RPUSHX"), _key, _elements),
    command(_one_of("LPOP", "RPOP"), _key, st.lists(_count, max_size=1)),
    command("LLEN", _key),
    command("LRANGE", _key, "0", "-1"),
    command(_one_of("LRANGE", "LTRIM", "LRANGE"), _key, _index, _index),
    command("LINDEX", _key, _index),
    command("LSET", _key, _index, _element),
    command("LINSERT", _key, _one_of("BEFORE", "after", "AT"), _element, _element),
    command("LREM", _key, _index, _element),
    command("LMOVE", _key, _key, _end, _end),
    command("RPOPLPUSH", _key, _key),
    command("BLMOVE", _key, _key, _end, _end, timeouts()),
    command("BRPOPLPUSH", _key, _key, timeouts()),
    command("BLMPOP", timeouts(), _inputs(), _end, some(("COUNT", "2"), "COUNT", most=1)),
    command("LMPOP", _inputs(), _end, some(("COUNT", "2"), ("COUNT", "0"), "COUNT", most=1)),
    command(
        *("LPOS", _key, _element),
        some(("RANK", "1"), ("RANK", "-2"), ("COUNT", "0"), ("MAXLEN", "5"), "RANK", most=3),
    ),
]

SETS = [
    command("SADD", _key, _elements),
    command("SADD", _key, _elements),
    command("SADD", _key, _many),
    command("SADD", _key, st.lists(numbers(0, 1, 2, 3, 500, -5), min_size=1, max_size=9)),
    command("SREM", _key, _elements),
    command("SMOVE", _key, _key, _element),
    command("SISMEMBER", _key, _element),
    command("SMISMEMBER", _key, _elements),
    command(_one_of("SCARD", "SMEMBERS"), _key),
    command(_one_of("SINTER", "SUNION", "SDIFF"), st.lists(_key, min_size=1, max_size=3)),
    command(
        _one_of("SINTERSTORE", "SUNIONSTORE", "SDIFFSTORE"),
        *(_key, st.lists(_key, min_size=1, max_size=3)),
    ),
    command("SINTERCARD", _inputs(), some(("LIMIT", "2"), ("LIMIT", "-1"), "LIMIT", most=1)),
    command("SRANDMEMBER", _key, "1000000"),
    command("SPOP", _key, "1000000"),
    command("SSCAN", _key, "0", "COUNT", "5000"),
]

HASHES = [
    command(_one_of("HSET", "HMSET"), _key, _pairs),
    command("HSET", _key, _pairs),
    command("HSET", _key, _many_pairs),
    command("HSET", _key, _elements),
    command("HSETNX", _key, _element, _element),
    command("HDEL", _key, _elements),
    command(_one_of("HGET", "HEXISTS", "HSTRLEN"), _key, _element),
    command("HMGET", _key, _elements),
    command(_one_of("HLEN", "HGETALL", "HKEYS", "HVALS"), _key),
    command("HINCRBY", _key, _element, numbers(1, -1, 5, 100)),
    command("HINCRBYFLOAT", _key, _element, numbers(1, "0.5", "-1e3", "inf")),
    command("HRANDFIELD", _key, "1000000"),
    command("HSCAN", _key, "0", "COUNT", "5000"),
]

FIRST_LISTS = [("RPUSH", "key:0", *ELEMENTS[:9]), ("RPUSH", "key:1", *ELEMENTS)]
FIRST_SETS = [("SADD", "key:0", "1", "2", "3"), ("SADD", "key:1", *ELEMENTS)]
FIRST_HASHES = [
    ("HSET", "key:0", "a", "1", "b", "2.5", "c", "x"),
    ("HSET", "key:1", *(part for name in ELEMENTS for part in (name, name))),
]


def _scanned(mask: Mask) -> Mask:
    def scanned(reply: Reply) -> Reply:
        if reply.kind != "array":
            return reply
        cursor, items = reply.value
        return Reply("array", (cursor, mask(items)))

    return scanned


def _hidden(reply: Reply) -> Reply:
    return MASKED


FAMILIES = [
    Family("lists", sequences_of(LISTS, FIRST_LISTS), {"OBJECT": _hidden}),
    Family(
        "sets",
        sequences_of(SETS, FIRST_SETS),
        {
            "OBJECT": _hidden,
            "SSCAN": _scanned(unordered),
            **dict.fromkeys(
                ("SMEMBERS", "SINTER", "SUNION", "SDIFF", "SRANDMEMBER", "SPOP"), unordered
            ),
        },
    ),
    Family(
        "hashes",
        sequences_of(HASHES, FIRST_HASHES),
        {
            "OBJECT": _hidden,
            "HGETALL": unordered_pairs,
            "HSCAN": _scanned(unordered_pairs),
            **dict.fromkeys(("HKEYS", "HVALS", "HRANDFIELD"), unordered),
        },
    ),
]
