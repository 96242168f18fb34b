"""Hashes: fields, numbers, random fields, HSCAN, and the names of their encodings."""

from __future__ import annotations

import pytest
from harness.cases import (
    MASKED,
    Case,
    Do,
    Key,
    Mask,
    case,
    in_both_protocols,
    mask_remaining,
    unordered,
    unordered_pairs,
)
from harness.compare import Oracle
from harness.process import Server
from harness.resp import Reply

LONG = [b"v" * size for size in (63, 64, 65, 500, 990, 1000, 1001, 70000)]
MANY = [part for at in range(1500) for part in (b"field-%04d" % at, b"value %d" % (at * 7))]
INTEGERS = [
    "0",
    "1",
    "-1",
    "5",
    "9223372036854775807",
    "-9223372036854775808",
    "x",
    "1.5",
    "",
    " 1",
]
FLOATS = ["0.1", "-0.1", "1e3", "5.0e3", "3", "inf", "nan", "x", "", " 1", "1e400", "0x10"]


def _all(key: int = 0) -> Do:
    return Do(f"HGETALL ${key}", mask=unordered_pairs)


def _drawn(names: set[bytes], values: set[bytes] = frozenset()) -> Mask:
    def mask(reply: Reply) -> Reply:
        if isinstance(reply.value, tuple):
            return Reply(reply.kind, tuple(map(mask, reply.value)))
        return MASKED if reply.value in names | values else reply

    return mask


def _found(reply: Reply) -> Reply:
    if reply.kind != "array":
        return reply
    cursor, items = reply.value
    return Reply("array", (cursor, unordered_pairs(items)))


def _basics() -> list[Case]:
    return [
        *in_both_protocols(
            "hash-fields", "HSET $0 a 1 b 2 a 3", "HSET $0 a 4 c 5", "HSET $0 '' '' d 6",
            _all(), "HGET $0 a", "HGET $0 x", "HGET $1 a", "HGET $0 ''", "HMGET $0 a x b ''",
            "HMGET $1 a b", "HLEN $0", "HLEN $1", "HEXISTS $0 a", "HEXISTS $0 x", "HEXISTS $1 a",
            "HSTRLEN $0 a", "HSTRLEN $0 x", "HSTRLEN $1 a", Do("HKEYS $0", mask=unordered),
            Do("HVALS $0", mask=unordered), "HKEYS $1", "HVALS $1", "HGETALL $1", "HSETNX $0 a 9",
            "HSETNX $0 e 9", "HSETNX $1 e 9", "HMSET $1 e 1 f 2", _all(1), "HDEL $0 a x a",
            "HDEL $2 a", "HDEL $0 b c d e", _all(), "HDEL $0 ''", "EXISTS $0", "HSET $0 a",
            "HSET $0 a 1 b", "HMSET $0 a", "HMSET $0 a 1 b", "EXISTS $0",
        ),
        case("hash-keeps-deadline", "HSET $0 a 1", "EXPIRE $0 100", "HSET $0 b 1", "HDEL $0 a",
             Do("TTL $0", mask=mask_remaining(1000)), "HDEL $0 b", "HSET $0 c 1", "TTL $0"),
        case("hash-is-no-other-type", "SET $0 v", "HSET $0 a 1", "HSET $0 a", "HMSET $0 a 1",
             "HSETNX $0 a 1", "HGET $0 a", "HMGET $0 a", "HDEL $0 a", "HLEN $0", "HEXISTS $0 a",
             "HSTRLEN $0 a", "HKEYS $0", "HVALS $0", "HGETALL $0", "HINCRBY $0 a 1",
             "HINCRBY $0 a x", "HINCRBYFLOAT $0 a 1", "HINCRBYFLOAT $0 a x", "HRANDFIELD $0",
             "HRANDFIELD $0 x", "HSCAN $0 0", "HSCAN $0 x", "GET $0", "HSET $1 a 1", "GET $1",
             "LPUSH $1 a", "TYPE $1"),
    ]  # fmt: skip


def _numbers() -> list[Case]:
    return [
        *in_both_protocols(
            "hincrby", *(f"HINCRBY $0 a '{step}'" for step in INTEGERS),
            *(f"HINCRBY $0 b '{step}'" for step in INTEGERS), "HSET $0 c x d 1.5 e ' 1' f 01 g ''",
            *(f"HINCRBY $0 {name} 1" for name in "cdefg"), _all(), "HINCRBY $1 a x", "EXISTS $1",
        ),
        *in_both_protocols(
            "hincrbyfloat", *(f"HINCRBYFLOAT $0 a '{step}'" for step in FLOATS),
            *(f"HINCRBYFLOAT $0 b '{step}'" for step in FLOATS), "HSET $0 c x d 1.5 e ' 1' f 01",
            *(f"HINCRBYFLOAT $0 {name} 0.25" for name in "cdef"), "HSET $0 g 1.7e4932",
            "HINCRBYFLOAT $0 g 1.7e4932", _all(), "HINCRBYFLOAT $1 a x", "EXISTS $1",
        ),
    ]  # fmt: skip


def _random() -> list[Case]:
    names, values = {b"a", b"b", b"c"}, {b"1", b"2", b"3"}
    drawn = _drawn(names, values)
    return in_both_protocols(
        "hrandfield", "HRANDFIELD $0", "HRANDFIELD $0 2", "HRANDFIELD $0 -2 WITHVALUES",
        "HSET $0 a 1 b 2 c 3", Do("HRANDFIELD $0", mask=drawn),
        *(Do(f"HRANDFIELD $0 {count}", mask=drawn) for count in ("0", "1", "2", "-4", "x")),
        *(Do(f"HRANDFIELD $0 {count} WITHVALUES", mask=drawn) for count in ("0", "1", "2", "-4")),
        Do("HRANDFIELD $0 3", mask=unordered), Do("HRANDFIELD $0 100", mask=unordered),
        "HRANDFIELD $0 1 WITHSCORES", "HRANDFIELD $0 1 WITHVALUES 1",
        "HRANDFIELD $0 9223372036854775807 WITHVALUES", "HRANDFIELD $0 -9223372036854775808",
        "HRANDFIELD $0 -9223372036854775807 WITHVALUES", "HLEN $0",
    )  # fmt: skip


def _scan() -> list[Case]:
    def scan(words: str) -> Do:
        return Do(words, mask=_found)

    return [
        *in_both_protocols(
            "hscan", "HSCAN $0 0", "HSET $0 a1 1 a2 2 b1 3", scan("HSCAN $0 0"),
            scan("HSCAN $0 0 MATCH a*"), scan("HSCAN $0 0 COUNT 100 MATCH *1"), "HSCAN $0 x",
            "HSCAN $0 0 COUNT 0", "HSCAN $0 0 COUNT x", "HSCAN $0 0 FOO", "HSCAN $1 0 FOO",
            "HSCAN $1 x", "HSCAN $0 0 TYPE hash",
        ),
        case("hscan-of-many", ("HSET", Key(0), *MANY), scan("HSCAN $0 0 COUNT 5000"),
             scan("HSCAN $0 0 COUNT 5000 MATCH *7")),
    ]  # fmt: skip


def _large() -> list[Case]:
    long = [part for at, value in enumerate(LONG) for part in (b"f%d" % at, value)]
    turned = [part for at, value in enumerate(LONG) for part in (value, b"%d" % at)]
    return [
        case("hash-of-long-fields", ("HSET", Key(0), *long), ("HSET", Key(0), *turned), _all(),
             *(("HGET", Key(0), name) for name in (*long[::2], *turned[::2])),
             ("HSET", Key(0), "f0", LONG[-1]), ("HSET", Key(0), "f7", "short"), "COPY $0 $1",
             ("HDEL", Key(0), *turned[::2]), "HLEN $0", _all(), _all(1)),
        case("hash-of-many", ("HSET", Key(0), *MANY), "HLEN $0", ("HMGET", Key(0), *MANY[::74]),
             ("HSET", Key(0), *MANY[:400:2], *MANY[:400:2]), ("HDEL", Key(0), *MANY[::3]),
             "HLEN $0", "RENAME $0 $1", _all(1), ("HDEL", Key(1), *MANY[::2]), "EXISTS $1"),
    ]  # fmt: skip


CASES = [*_basics(), *_numbers(), *_random(), *_scan(), *_large()]


@pytest.mark.parametrize("a_case", CASES, ids=lambda a_case: a_case.name)
def test_hashes(subject: Server, oracle: Oracle, a_case: Case) -> None:
    oracle.check(a_case, subject)


def test_hscan_without_values(ours: Server) -> None:
    """NOVALUES is newer than the oracle: command reference of HSCAN, since 7.4."""
    with ours.connect() as connection:
        connection.do("HSET", "hash:scanned", "a", "1", "b", "2")
        _, names = connection.do("HSCAN", "hash:scanned", "0", "NOVALUES").value
        assert sorted(name.value for name in names.value) == [b"a", b"b"]
        connection.do("DEL", "hash:scanned")


def test_encodings(ours: Server) -> None:
    with ours.connect() as connection:

        def encoding(*fields: object) -> str:
            connection.do("DEL", "hash:named")
            for at in range(0, len(fields), 2):
                connection.do("HSET", "hash:named", *fields[at : at + 2])
            return connection.do("OBJECT", "ENCODING", "hash:named").value.decode()

        assert encoding(*(f"f{at // 2}" for at in range(2 * 512))) == "listpack"
        assert encoding(*(f"f{at // 2}" for at in range(2 * 513))) == "hashtable"
        assert encoding("f", "v" * 64, "g" * 64, "w") == "listpack"
        assert encoding("f", "v" * 65) == "hashtable"
        assert encoding("f" * 65, "v") == "hashtable"
        connection.do("CONFIG", "SET", "hash-max-listpack-entries", "1")
        try:
            assert encoding("f", "v") == "listpack"
            assert encoding("f", "v", "g", "w") == "hashtable"
        finally:
            connection.do("CONFIG", "SET", "hash-max-listpack-entries", "512")
        connection.do("DEL", "hash:named")
