"""Deadlines of fields: HEXPIRE and its kin, and what every other command does with such fields.

redis-server 7.0 does not know these commands. The expectations are those of Redis 7.4: its command
reference (HEXPIRE, HPEXPIRE, HEXPIREAT, HPEXPIREAT, HTTL, HPTTL, HEXPIRETIME, HPEXPIRETIME,
HPERSIST), and the order of checks of its src/t_hash.c.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from harness.cases import case, play
from harness.client import Connection
from harness.process import Server
from harness.resp import Reply

FAR_MS = 33177117420123  # in the year 3021
FAR_S = 33177117420
MOST_MS = (1 << 46) - 1

NOT_INTEGER = "ERR value is not an integer or out of range"
NEGATIVE = "ERR invalid expire time, must be >= 0"
MISPLACED = "ERR Mandatory argument FIELDS is missing or not at the right position"
TOO_FEW = "ERR Parameter `numFields` should be greater than 0"
NOT_POSITIVE = "ERR Number of fields must be a positive integer"
MISMATCH = "ERR The `numfields` parameter must match the number of arguments"
WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"


def _arity(command: str) -> str:
    return f"ERR wrong number of arguments for '{command}' command"


def _invalid(command: str) -> str:
    return f"ERR invalid expire time in '{command}' command"


def plain(reply: Reply) -> object:
    """A reply as Python would write it, a map as RESP2 has it."""
    kind, value = reply
    if kind == "map":
        return [plain(item) for pair in value for item in pair]
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return value.decode() if isinstance(value, bytes) else value


Script = list[tuple[str, object]]

SCRIPTS: dict[str, Script] = {
    "absent": [
        ("HEXPIRE $0 10 FIELDS 2 a b", [-2, -2]),
        ("HPEXPIRE $0 10 NX FIELDS 1 a", [-2]),
        (f"HEXPIREAT $0 {FAR_S} FIELDS 1 a", [-2]),
        ("HPEXPIREAT $0 0 FIELDS 1 a", [-2]),
        ("HTTL $0 FIELDS 2 a b", [-2, -2]),
        ("HPTTL $0 FIELDS 1 a", [-2]),
        ("HEXPIRETIME $0 FIELDS 1 a", [-2]),
        ("HPEXPIRETIME $0 FIELDS 1 a", [-2]),
        ("HPERSIST $0 FIELDS 3 a a a", [-2, -2, -2]),
        ("EXISTS $0", 0),
    ],
    "set-and-read": [
        ("HSET $0 a 1 b 2 c 3", 3),
        (f"HPEXPIREAT $0 {FAR_MS} FIELDS 2 a x", [1, -2]),
        (f"hexpireat $0 {FAR_S} fields 1 b", [1]),
        ("HPEXPIRETIME $0 FIELDS 4 a b c x", [FAR_MS, FAR_S * 1000, -1, -2]),
        ("HEXPIRETIME $0 FIELDS 4 a b c x", [FAR_S + 1, FAR_S, -1, -2]),
        ("HPERSIST $0 FIELDS 5 a a c x b", [1, -1, -1, -2, 1]),
        ("HPEXPIRETIME $0 FIELDS 3 a b c", [-1, -1, -1]),
        ("HPERSIST $0 FIELDS 1 a", [-1]),
        ("HMGET $0 a b c", ["1", "2", "3"]),
    ],
    "conditions": [
        ("HSET $0 a 1 b 2", 2),
        ("HPEXPIREAT $0 33000000000000 XX FIELDS 1 a", [0]),
        ("HPEXPIREAT $0 33000000000000 GT FIELDS 1 a", [0]),
        ("HPEXPIREAT $0 33000000000000 LT FIELDS 1 a", [1]),
        ("HPEXPIREAT $0 33000000000000 LT FIELDS 1 a", [0]),
        ("HPEXPIREAT $0 33000000000000 GT FIELDS 1 a", [0]),
        ("HPEXPIREAT $0 33000000000001 NX FIELDS 2 a b", [0, 1]),
        ("HPEXPIRETIME $0 FIELDS 2 a b", [33000000000000, 33000000000001]),
        ("HPEXPIREAT $0 33000000000001 GT FIELDS 2 a b", [1, 0]),
        ("HPEXPIREAT $0 33000000000000 lt FIELDS 2 a b", [1, 1]),
        ("HPEXPIREAT $0 33000000000000 xx FIELDS 3 a b c", [1, 1, -2]),
        ("HPEXPIREAT $0 33000000000002 Gt FIELDS 1 a", [1]),
        ("HPEXPIRETIME $0 FIELDS 2 a b", [33000000000002, 33000000000000]),
        ("HPERSIST $0 FIELDS 1 a", [1]),
        ("HPEXPIREAT $0 33000000000003 GT FIELDS 2 a b", [0, 1]),
    ],
    "named-twice": [
        ("HSET $0 a 1 b 2", 2),
        (f"HPEXPIREAT $0 {FAR_MS} NX FIELDS 3 a b a", [1, 1, 0]),
        (f"HPEXPIREAT $0 {FAR_MS} XX FIELDS 2 a a", [1, 1]),
        (f"HPEXPIREAT $0 {FAR_MS + 1} GT FIELDS 3 a a b", [1, 0, 1]),
        (f"HPEXPIREAT $0 {FAR_MS} LT FIELDS 2 a a", [1, 0]),
        (f"HPEXPIREAT $0 {FAR_MS} FIELDS 2 a a", [1, 1]),
        ("HEXPIREAT $0 1 FIELDS 3 a a b", [2, -2, 2]),
        ("EXISTS $0", 0),
    ],
    "past": [
        ("HSET $0 a 1 b 2 c 3 d 4", 4),
        (f"HPEXPIREAT $0 {FAR_MS} FIELDS 1 c", [1]),
        ("HEXPIREAT $0 1 FIELDS 2 a x", [2, -2]),
        ("HEXPIREAT $0 1 GT FIELDS 2 b c", [0, 0]),
        ("HEXPIREAT $0 1 NX FIELDS 2 b c", [2, 0]),
        ("HPEXPIREAT $0 0 XX FIELDS 2 c d", [2, 0]),
        ("HGETALL $0", ["d", "4"]),
        ("HEXPIRE $0 0 LT FIELDS 1 d", [2]),
        ("EXISTS $0", 0),
        ("HSET $0 a 1", 1),
        ("HPEXPIRE $0 0 FIELDS 1 a", [2]),
        ("TYPE $0", "none"),
    ],
    "past-of-many": [
        ("HSET $0 a 1 b 2 c 3", 3),
        (f"HPEXPIREAT $0 {FAR_MS} NX FIELDS 4 a b a c", [1, 1, 0, 1]),
        ("HEXPIREAT $0 1 FIELDS 4 a a b x", [2, -2, 2, -2]),
        ("HMGET $0 a b c", [None, None, "3"]),
        ("HPEXPIRETIME $0 FIELDS 3 a b c", [-2, -2, FAR_MS]),
    ],
    "long-values": [
        (f"HSET $0 a {'v' * 1500} b {'w' * 5000} c 3", 3),
        (f"HPEXPIREAT $0 {FAR_MS} NX FIELDS 5 a b a c b", [1, 1, 0, 1, 0]),
        (f"HPEXPIREAT $0 {FAR_MS + 1} FIELDS 3 b c b", [1, 1, 1]),
        ("HPEXPIRETIME $0 FIELDS 3 a b c", [FAR_MS, FAR_MS + 1, FAR_MS + 1]),
        ("HPERSIST $0 FIELDS 4 b a b c", [1, 1, -1, 1]),
        ("HMGET $0 a b c", ["v" * 1500, "w" * 5000, "3"]),
    ],
    "limits": [
        ("HSET $0 a 1", 1),
        (f"HPEXPIREAT $0 {MOST_MS} FIELDS 1 a", [1]),
        ("HPEXPIRETIME $0 FIELDS 1 a", [MOST_MS]),
        ("HEXPIRETIME $0 FIELDS 1 a", [MOST_MS // 1000 + 1]),
        (f"HPEXPIREAT $0 {MOST_MS + 1} FIELDS 1 a", _invalid("hpexpireat")),
        (f"HPEXPIRE $0 {MOST_MS} FIELDS 1 a", _invalid("hpexpire")),
        (f"HEXPIREAT $0 {MOST_MS // 1000} FIELDS 1 a", [1]),
        (f"HEXPIREAT $0 {MOST_MS // 1000 + 1} FIELDS 1 a", _invalid("hexpireat")),
        (f"HEXPIRE $0 {MOST_MS // 1000} FIELDS 1 a", _invalid("hexpire")),
        ("HEXPIRE $0 9223372036854775807 FIELDS 1 a", _invalid("hexpire")),
        ("HPEXPIRE $0 9223372036854775807 FIELDS 1 a", _invalid("hpexpire")),
        ("HEXPIRE $0 9223372036854775808 FIELDS 1 a", NOT_INTEGER),
        ("HEXPIRE $0 -1 FIELDS 1 a", NEGATIVE),
        ("HPEXPIREAT $0 -9223372036854775808 FIELDS 1 a", NEGATIVE),
        ("HPEXPIREAT $0 -9223372036854775809 FIELDS 1 a", NOT_INTEGER),
        ("HPEXPIRETIME $0 FIELDS 1 a", [MOST_MS // 1000 * 1000]),
    ],
    "order-of-checks": [
        ("SET $1 v", "OK"),
        ("HSET $0 a 1", 1),
        ("HEXPIRE $1 x NX FIELDS 0 a", WRONG_TYPE),
        ("HEXPIRE $0 x FIELD 0 a", NOT_INTEGER),
        ("HEXPIRE $0 '' FIELDS 1 a", NOT_INTEGER),
        ("HEXPIRE $0 1.5 FIELDS 1 a", NOT_INTEGER),
        ("HEXPIRE $0 -1 FIELD 0 a", NEGATIVE),
        ("HEXPIRE $0 99999999999999 FIELD 0 a", _invalid("hexpire")),
        ("HEXPIRE $0 10 FIELD x a", MISPLACED),
        ("HEXPIRE $0 10 1 a b", MISPLACED),
        ("HEXPIRE $0 10 NX XX FIELDS 1 a", MISPLACED),
        ("HEXPIRE $0 10 NX GT 1 a", MISPLACED),
        ("HEXPIRE $0 10 FIELDS NX 1 a", TOO_FEW),
        ("HEXPIRE $0 10 ZZ FIELDS 1 a", MISPLACED),
        ("HEXPIRE $0 10 FIELDS 0 a", TOO_FEW),
        ("HEXPIRE $0 10 FIELDS -1 a", TOO_FEW),
        ("HEXPIRE $0 10 FIELDS x a", TOO_FEW),
        ("HEXPIRE $0 10 FIELDS 9223372036854775808 a", TOO_FEW),
        ("HEXPIRE $0 10 FIELDS 2 a", MISMATCH),
        ("HEXPIRE $0 10 FIELDS 1 a b", MISMATCH),
        ("HEXPIRE $0 10 NX FIELDS 1", MISMATCH),
        ("HEXPIRE $0 10 FIELDS 9223372036854775807 a", MISMATCH),
        ("HEXPIRE $2 10 FIELDS 2 a", MISMATCH),
        ("HEXPIRE $2 x FIELDS 1 a", NOT_INTEGER),
        ("HEXPIRE $0 10 FIELDS 1", _arity("hexpire")),
        ("HPEXPIRE $0 10 NX FIELDS", _arity("hpexpire")),
        ("HEXPIREAT $0", _arity("hexpireat")),
        ("HPEXPIREAT", _arity("hpexpireat")),
        ("HTTL $0 FIELDS 1 a", [-1]),
    ],
    **{
        f"order-of-checks-{verb.lower()}": [
            ("SET $1 v", "OK"),
            ("HSET $0 a 1", 1),
            (f"{verb} $1 FIELD 0 a", WRONG_TYPE),
            (f"{verb} $0 FIELD 0 a", MISPLACED),
            (f"{verb} $0 1 a b", MISPLACED),
            (f"{verb} $0 FIELDS 0 a", NOT_POSITIVE),
            (f"{verb} $0 FIELDS -1 a", NOT_POSITIVE),
            (f"{verb} $0 FIELDS x a", NOT_POSITIVE),
            (f"{verb} $0 FIELDS 2 a", MISMATCH),
            (f"{verb} $0 FIELDS 1 a b", MISMATCH),
            (f"{verb} $2 FIELDS 3 a b", MISMATCH),
            (f"{verb} $0 FIELDS 1", _arity(verb.lower())),
            (f"{verb} $0", _arity(verb.lower())),
            (f"{verb} $0 fields 2 a b", [-1, -2]),
        ]
        for verb in ("HTTL", "HPTTL", "HEXPIRETIME", "HPEXPIRETIME", "HPERSIST")
    },
    "wrong-types": [
        ("RPUSH $1 a", 1),
        ("HEXPIRE $1 10 FIELDS 1 a", WRONG_TYPE),
        ("HPEXPIRE $1 10 FIELDS 1 a", WRONG_TYPE),
        ("HEXPIREAT $1 10 FIELDS 1 a", WRONG_TYPE),
        ("HPEXPIREAT $1 10 FIELDS 1 a", WRONG_TYPE),
    ],
    "writes-and-deadlines": [
        ("HSET $0 a 1 b 2 c 3 d 4 e 5", 5),
        (f"HPEXPIREAT $0 {FAR_MS} FIELDS 5 a b c d e", [1, 1, 1, 1, 1]),
        ("HSET $0 a 9 f 6", 1),
        ("HSETNX $0 b 9", 0),
        ("HINCRBY $0 c 10", 13),
        ("HINCRBYFLOAT $0 d 0.5", "4.5"),
        ("HPEXPIRETIME $0 FIELDS 6 a b c d e f", [-1, FAR_MS, FAR_MS, FAR_MS, FAR_MS, -1]),
        ("HMSET $0 b 8", "OK"),
        ("HDEL $0 e", 1),
        ("HSET $0 e 5", 1),
        ("HPEXPIRETIME $0 FIELDS 3 b d e", [-1, FAR_MS, -1]),
        ("HINCRBY $0 c x", NOT_INTEGER),
        ("HINCRBY $0 d 1", "ERR hash value is not an integer"),
        ("HMGET $0 a b c d e f", ["9", "8", "13", "4.5", "5", "6"]),
    ],
    "copy-and-rename": [
        ("HSET $0 a 1 b 2", 2),
        (f"HPEXPIREAT $0 {FAR_MS} FIELDS 1 a", [1]),
        ("COPY $0 $1", 1),
        ("HPERSIST $0 FIELDS 1 a", [1]),
        ("HPEXPIRETIME $1 FIELDS 2 a b", [FAR_MS, -1]),
        ("RENAME $1 $2", "OK"),
        ("HPEXPIRETIME $2 FIELDS 2 a b", [FAR_MS, -1]),
        ("COPY $0 $2 REPLACE", 1),
        ("HPEXPIRETIME $2 FIELDS 2 a b", [-1, -1]),
        (f"HPEXPIREAT $2 {FAR_MS} FIELDS 1 b", [1]),
        ("MOVE $2 9", 1),
        ("SELECT 9", "OK"),
        ("HPEXPIRETIME $2 FIELDS 2 a b", [-1, FAR_MS]),
        ("DEL $2", 1),
        ("SELECT 0", "OK"),
        ("EXPIRE $0 1000", 1),
        (f"HPEXPIREAT $0 {FAR_MS} FIELDS 1 b", [1]),
        ("PERSIST $0", 1),
        ("HPEXPIRETIME $0 FIELDS 2 a b", [-1, FAR_MS]),
    ],
}

LARGE = f"HSET $0 filler {'x' * 900}"


def _play(server: Server, script: Script, protocol: int, large: bool) -> None:
    steps = [f"HELLO {protocol}", *([LARGE] if large else []), *(line for line, _ in script)]
    entries = play(case("script", *steps), server)[-len(script) :]
    for entry, (line, expected) in zip(entries, script, strict=True):
        assert plain(entry.replies[0]) == expected, line


# Not of a hash, or of all of it.
SMALL_ONLY = {"absent", "named-twice", "past", "wrong-types"}


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize(
    ("name", "large"),
    [
        (name, large)
        for name in SCRIPTS
        for large in (False, True)
        if not large or (name not in SMALL_ONLY and not name.startswith("order-of-checks"))
    ],
)
def test_scripts(ours: Server, name: str, protocol: int, large: bool) -> None:
    _play(ours, SCRIPTS[name], protocol, large)


@pytest.mark.parametrize("protocol", [2, 3])
def test_shapes(ours: Server, protocol: int) -> None:
    with ours.connect() as connection:
        connection.do("HELLO", protocol)
        connection.do("HSET", "h", "a", "1")
        for command in (
            ("HEXPIRE", "h", 1000, "FIELDS", 1, "a"),
            ("HTTL", "h", "FIELDS", 1, "a"),
            ("HPERSIST", "h", "FIELDS", 1, "a"),
            ("HTTL", "absent", "FIELDS", 1, "a"),
        ):
            reply = connection.do(*command)
            assert reply.kind == "array"
            assert [item.kind for item in reply.value] == ["integer"]


@pytest.mark.parametrize("size", [3, 100, 3000])
def test_relative_deadlines(ours: Server, size: int) -> None:
    """Seconds are rounded up."""
    names = [f"f{at}" for at in range(size)]
    with ours.connect() as connection:
        connection.do("HSET", "h", *(part for name in names for part in (name, "v")))
        before = time.time()
        assert plain(connection.do("HEXPIRE", "h", 100, "FIELDS", size, *names)) == [1] * size
        assert plain(connection.do("HPEXPIRE", "h", 50_500, "FIELDS", 1, "f1")) == [1]
        after = time.time()
        times = plain(connection.do("HPEXPIRETIME", "h", "FIELDS", size, *names))
        assert isinstance(times, list)
        assert 1000 * before + 99_999 <= times[0] <= 1000 * after + 100_001
        assert 1000 * before + 50_499 <= times[1] <= 1000 * after + 50_501
        assert set(times[2:]) == {times[0]}
        seconds = plain(connection.do("HTTL", "h", "FIELDS", 2, "f0", "f1"))
        assert isinstance(seconds, list)
        passed = time.time() - before
        assert 100 - passed <= seconds[0] <= 100
        assert 50.5 - passed <= seconds[1] <= 51
        left = plain(connection.do("HPTTL", "h", "FIELDS", 2, "f0", "f1"))
        assert isinstance(left, list)
        assert 90_000 < left[0] <= 100_000
        assert 40_500 < left[1] <= 50_500


# ---- What is due --------------------------------------------------------------------------------


@contextmanager
def _without_active_expiry(server: Server) -> Iterator[Connection]:
    with server.connect() as connection:
        connection.do("DEBUG", "SET-ACTIVE-EXPIRE", "0")
        connection.do("CONFIG", "RESETSTAT")
        try:
            yield connection
        finally:
            connection.do("DEBUG", "SET-ACTIVE-EXPIRE", "1")


def _info(connection: Connection, section: str, name: str) -> str:
    text = connection.do("INFO", section).value
    text = (text[4:] if text[:4] == b"txt:" else text).decode()
    lines = dict(line.split(":", 1) for line in text.split("\r\n") if ":" in line)
    return lines[name]


def _make(connection: Connection, key: str, due: str, others: str, large: bool) -> None:
    """A hash of fields that are due and others, each with its name as the value."""
    for name in due + others:
        connection.do("HSET", key, name, name * (700 if large else 1))
    for name in due:
        connection.do("HPEXPIRE", key, 1, "FIELDS", 1, name)
    time.sleep(0.004)


def _expect(connection: Connection, *script: tuple[tuple[object, ...], object]) -> None:
    for command, expected in script:
        assert plain(connection.do(*command)) == expected, command  # type: ignore[arg-type]


def test_a_due_field_is_deleted_by_what_asks_for_it(ours: Server) -> None:
    for large in (False, True):
        with _without_active_expiry(ours) as connection:
            connection.do("DEL", "h")
            _make(connection, "h", "abcd", "", large)
            _expect(
                connection,
                (("EXISTS", "h"), 1),
                (("HLEN", "h"), 4),
                (("HTTL", "h", "FIELDS", 1, "a"), [-2]),
                (("HPERSIST", "h", "FIELDS", 1, "a"), [-2]),
                (("HLEN", "h"), 4),
                (("HEXISTS", "h", "a"), 0),
                (("HLEN", "h"), 3),
                (("HGET", "h", "b"), None),
                (("HLEN", "h"), 2),
                (("HSTRLEN", "h", "c"), 0),
                (("HLEN", "h"), 1),
                (("HMGET", "h", "d", "x", "d"), [None, None, None]),
                (("EXISTS", "h"), 0),
            )
            assert _info(connection, "stats", "expired_subkeys") == "4"


def test_a_due_field_is_not_there_for_who_reads_the_whole_hash(ours: Server) -> None:
    for large in (False, True):
        with _without_active_expiry(ours) as connection:
            value = "c" * (700 if large else 1)
            connection.do("DEL", "h", "all")
            _make(connection, "h", "ab", "c", large)
            _make(connection, "all", "ab", "", large)
            _expect(
                connection,
                (("HGETALL", "h"), ["c", value]),
                (("HKEYS", "h"), ["c"]),
                (("HVALS", "h"), [value]),
                (("HSCAN", "h", "0"), ["0", ["c", value]]),
                (("HSCAN", "h", "0", "NOVALUES"), ["0", ["c"]]),
                (("HGETALL", "all"), []),
                (("HSCAN", "all", "0"), ["0", []]),
                (("HLEN", "h"), 3),
                (("HLEN", "all"), 2),
                (("COPY", "h", "copy", "REPLACE"), 1),
                (("HLEN", "copy"), 3),
                (("HKEYS", "copy"), ["c"]),
                (("HRANDFIELD", "h", 9), ["c"]),
                (("HLEN", "h"), 1),
                (("HRANDFIELD", "all"), None),
                (("EXISTS", "all"), 0),
                (("HRANDFIELD", "copy", -3), ["c", "c", "c"]),
                (("HLEN", "copy"), 1),
                (("DEL", "copy"), 1),
            )
            assert _info(connection, "stats", "expired_subkeys") == "6"


def test_sort_does_not_see_due_fields(ours: Server) -> None:
    with _without_active_expiry(ours) as connection:
        connection.do("RPUSH", "list", "1", "2")
        for number in ("1", "2"):
            connection.do("HSET", f"w:{number}", "by", 3 - int(number), "get", f"g{number}")
        sort = ("SORT", "list", "BY", "w:*->by", "GET", "w:*->get")
        assert plain(connection.do(*sort)) == ["g2", "g1"]
        connection.do("HPEXPIRE", "w:2", 1, "FIELDS", 2, "by", "get")
        time.sleep(0.004)
        assert plain(connection.do(*sort)) == [None, "g1"]
        assert plain(connection.do("HLEN", "w:2")) == 2


def test_writes_to_due_fields(ours: Server) -> None:
    for large in (False, True):
        with _without_active_expiry(ours) as connection:
            connection.do("DEL", "h", "one")
            _make(connection, "h", "abcdefg", "z", large)
            _make(connection, "one", "a", "", large)
            _expect(
                connection,
                (("HSET", "h", "a", "1"), 0),
                (("HDEL", "h", "b"), 1),
                (("HSETNX", "h", "c", "3"), 1),
                (("HINCRBY", "h", "d", "4"), 4),
                (("HINCRBYFLOAT", "h", "e", "0.5"), "0.5"),
                (("HPEXPIREAT", "h", FAR_MS, "NX", "FIELDS", 1, "f"), [0]),
                (("HPEXPIREAT", "h", FAR_MS, "GT", "FIELDS", 1, "f"), [1]),
                (("HPEXPIREAT", "h", 1, "FIELDS", 1, "g"), [2]),
                (("HMGET", "h", "a", "b", "c", "d", "e"), ["1", None, "3", "4", "0.5"]),
                (("HPEXPIRETIME", "h", "FIELDS", 5, *"acdef"), [-1, -1, -1, -1, FAR_MS]),
                (("HLEN", "h"), 6),
                (("HINCRBY", "one", "a", "5"), 5),
                (("HTTL", "one", "FIELDS", 1, "a"), [-1]),
            )


def test_active_expiry_of_fields(ours: Server) -> None:
    keys = ours.spread(6)
    with ours.connect() as connection:
        connection.do("CONFIG", "RESETSTAT")
        for at, key in enumerate(keys):
            fields = [f"f{n}" for n in range(10 if at % 2 else 500)]
            connection.do("HSET", key, *(part for name in fields for part in (name, "v")))
            connection.do("HPEXPIRE", key, 20, "FIELDS", len(fields), *fields)
            if at < 3:
                connection.do("HSET", key, "stays", "v")
        expected = [1, 1, 1, 0, 0, 0]
        deadline = time.monotonic() + 10
        while [plain(connection.do("HLEN", key)) for key in keys] != expected:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert _info(connection, "stats", "expired_subkeys") == str(3 * 10 + 3 * 500)
        assert _info(connection, "stats", "expired_keys") == "0"
        assert plain(connection.do("DBSIZE")) == 3
        assert _info(connection, "keyspace", "db0").endswith(",subexpiry=0")


def test_info_counts_hashes_whose_fields_expire(ours: Server) -> None:
    keys = ours.spread(4)
    with ours.connect() as connection:

        def count() -> str:
            return _info(connection, "keyspace", "db0").rsplit(",", 1)[1]

        for key in keys:
            connection.do("HSET", key, "a", "1", "b", "2")
        assert count() == "subexpiry=0"
        for key in keys:
            connection.do("HEXPIRE", key, 1000, "FIELDS", 2, "a", "b")
        assert count() == "subexpiry=4"
        connection.do("HPERSIST", keys[0], "FIELDS", 2, "a", "b")
        connection.do("HDEL", keys[1], "a")
        connection.do("HDEL", keys[2], "a")
        connection.do("HSET", keys[2], "b", "3")
        assert count() == "subexpiry=2"
        connection.do("SET", keys[1], "v")
        connection.do("COPY", keys[3], keys[0], "REPLACE")
        assert count() == "subexpiry=2"
        connection.do("FLUSHDB")
        connection.do("SET", keys[0], "v")
        assert count() == "subexpiry=0"


def test_encodings(ours: Server) -> None:
    """listpackex stays, also when no field has a deadline any more, or never had."""
    with ours.connect() as connection:

        def encoding() -> object:
            return plain(connection.do("OBJECT", "ENCODING", "h"))

        connection.do("HSET", "h", "a", "1", "b", "2")
        assert encoding() == "listpack"
        connection.do("HEXPIRE", "h", "x", "FIELDS", 1, "a")
        connection.do("HTTL", "h", "FIELDS", 1, "a")
        connection.do("HPERSIST", "h", "FIELDS", 1, "a")
        assert encoding() == "listpack"
        connection.do("HEXPIRE", "h", 1000, "FIELDS", 1, "absent")
        assert encoding() == "listpackex"
        connection.do("HEXPIRE", "h", 1000, "FIELDS", 1, "a")
        connection.do("HPERSIST", "h", "FIELDS", 1, "a")
        connection.do("HSET", "h", "c", "3")
        assert encoding() == "listpackex"
        connection.do("COPY", "h", "copy")
        connection.do("RENAME", "copy", "h")
        assert encoding() == "listpackex"
        connection.do("HSET", "h", "c", "x" * 65)
        assert encoding() == "hashtable"
        connection.do("HEXPIRE", "h", 1000, "FIELDS", 1, "a")
        assert encoding() == "hashtable"


def test_memory_usage_knows_the_second_tree(ours: Server) -> None:
    with ours.connect() as connection:
        names = [f"f{at}" for at in range(2000)]
        connection.do("HSET", "h", *(part for name in names for part in (name, "v")))
        before = connection.do("MEMORY", "USAGE", "h").value
        connection.do("HEXPIRE", "h", 1000, "FIELDS", len(names), *names)
        after = connection.do("MEMORY", "USAGE", "h").value
        assert after >= before + 2000 * 8
        connection.do("HPERSIST", "h", "FIELDS", len(names), *names)
        assert connection.do("MEMORY", "USAGE", "h").value < after - 2000 * 8


def test_a_pause_of_writes_keeps_due_fields(ours: Server) -> None:
    with ours.connect() as connection, ours.connect() as other:
        connection.do("HSET", "h", "a", "1", "b", "2")
        connection.do("HPEXPIRE", "h", 30, "FIELDS", 1, "a")
        other.do("CLIENT", "PAUSE", 10_000, "WRITE")
        try:
            time.sleep(0.25)
            _expect(
                connection,
                (("HGET", "h", "a"), None),
                (("HGETALL", "h"), ["b", "2"]),
                (("HRANDFIELD", "h", 5), ["b"]),
                (("HLEN", "h"), 2),
            )
        finally:
            other.do("CLIENT", "UNPAUSE")
        assert plain(connection.do("HGET", "h", "a")) is None
        assert plain(connection.do("HLEN", "h")) == 1
