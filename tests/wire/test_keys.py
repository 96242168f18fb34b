"""Keys of any type, by name: DEL, UNLINK, EXISTS, TYPE, TOUCH, RENAME, MOVE, COPY; and SWAPDB."""

from __future__ import annotations

import pytest
from harness.cases import Case, Do, Sleep, case, mask_field, mask_remaining, unordered
from harness.compare import Oracle
from harness.process import Server

SECONDS = mask_remaining(1000)
BIG = "x" * 5000

NO_DATABASES = ("16", "-1", "99999999999", "-99999999999", "9223372036854775808", "x", "1.0", "''")

RESP3 = Do("HELLO 3", mask=mask_field(b"id"))
SHARDS = [(0, 1), (1, 2), (0, 3)]  # of the case's keys: neighbours lie on different shards


def _rename_cases() -> list[Case]:
    cases = []
    for verb in ("RENAME", "RENAMENX"):
        name = verb.lower()
        for a, b in SHARDS:
            cases.append(
                case(
                    f"{name}-{a}-{b}",
                    f"{verb} ${a} ${b}",
                    f"SET ${a} one",
                    f"{verb} ${a} ${b}",
                    f"MGET ${a} ${b}",
                    f"SET ${a} {BIG} EX 1000",
                    f"{verb} ${a} ${b}",
                    f"MGET ${a} ${b}",
                    Do(f"TTL ${a}", mask=SECONDS),
                    Do(f"TTL ${b}", mask=SECONDS),
                    f"SET ${b} two EX 3000",
                    f"{verb} ${b} ${a}",
                    f"MGET ${a} ${b}",
                    Do(f"TTL ${a}", mask=SECONDS),
                    Do(f"TTL ${b}", mask=SECONDS),
                    "DBSIZE",
                )
            )
        cases += [
            case(
                f"{name}-itself",
                f"{verb} $0 $0",
                "SET $0 v EX 1000",
                f"{verb} $0 $0",
                "GET $0",
                Do("TTL $0", mask=SECONDS),
            ),
            case(f"{name}-arity", verb, f"{verb} a", f"{verb} a b c"),
            case(
                f"{name}-expired",
                "SET $0 v PX 15",
                "SET $1 w",
                "SET $2 u PX 15",
                Sleep(0.02),
                f"{verb} $0 $1",
                f"{verb} $0 $0",
                f"{verb} $1 $2",
                "MGET $0 $1 $2",
            ),
            case(
                f"{name}-other-database",
                "SET $0 v",
                "SELECT 1",
                f"{verb} $0 $1",
                "SET $0 w",
                f"{verb} $0 $1",
                "SELECT 0",
                "MGET $0 $1",
            ),
        ]
    return cases


def _copy_cases() -> list[Case]:
    cases = []
    for a, b in SHARDS:
        cases.append(
            case(
                f"copy-{a}-{b}",
                f"COPY ${a} ${b}",
                f"SET ${a} one",
                f"COPY ${a} ${b}",
                f"COPY ${a} ${b}",
                f"SET ${a} other",
                f"MGET ${a} ${b}",
                f"SET ${a} {BIG} EX 1000",
                f"COPY ${a} ${b}",
                f"COPY ${a} ${b} REPLACE",
                f"SET ${a} short KEEPTTL",
                f"MGET ${a} ${b}",
                Do(f"TTL ${a}", mask=SECONDS),
                Do(f"TTL ${b}", mask=SECONDS),
                f"SET ${a} plain",
                f"copy ${a} ${b} replace",
                f"TTL ${b}",
                "DBSIZE",
            )
        )
    return [
        *cases,
        case(
            "copy-to-database",
            "SET $0 v EX 1000",
            "COPY $0 $1 DB 3",
            "COPY $0 $0 DB 3",
            "COPY $0 $0 db 3",
            "COPY $0 $1 DB 3 REPLACE",
            "COPY $0 $1 REPLACE DB 4 DB 3",
            "EXISTS $0 $1",
            "SELECT 3",
            "MGET $0 $1",
            Do("TTL $0", mask=SECONDS),
            "COPY $0 $2 DB 0",
            "SELECT 0",
            "MGET $0 $1 $2",
        ),
        case(
            "copy-options",
            "SET $0 v",
            "COPY $0 $1 REPLACE REPLACE",
            "COPY $0 $1 FOO",
            "COPY $0 $1 DB",
            "COPY $0 $1 REPLACE DB",
            "COPY $0 $1 DB 16 FOO",
            "COPY $0 $1 FOO DB 16",
            "COPY $0 $0",
            "COPY $0 $0 REPLACE",
            "COPY $0 $0 DB 0",
            "COPY $5 $5",
            "COPY $0 $0 DB 1",
            *(f"COPY $0 $1 DB {number}" for number in NO_DATABASES),
            "EXISTS $0 $1",
        ),
        case("copy-arity", "COPY", "COPY a"),
        case(
            "copy-expired",
            "SET $0 v PX 15",
            "SET $1 w",
            "SET $2 u PX 15",
            Sleep(0.02),
            "COPY $0 $1",
            "COPY $0 $1 REPLACE",
            "COPY $1 $2",
            "MGET $0 $1 $2",
        ),
    ]


CASES = [
    *_rename_cases(),
    *_copy_cases(),
    case(
        "move",
        "MOVE $0 1",
        "SET $0 v EX 1000",
        f"SET $1 {BIG}",
        "SET $2 here",
        "MOVE $0 1",
        "MOVE $1 1",
        "MOVE $0 1",
        "EXISTS $0 $1",
        "SELECT 1",
        "MGET $0 $1",
        Do("TTL $0", mask=SECONDS),
        "SET $2 there",
        "MOVE $2 0",
        "GET $2",
        "SELECT 0",
        "GET $2",
        "DBSIZE",
    ),
    case("move-arity", "MOVE", "MOVE a", "MOVE a 1 2"),
    case(
        "move-database",
        "SET $0 v",
        *(f"MOVE $0 {number}" for number in NO_DATABASES),
        *(f"MOVE $1 {number}" for number in ("0", "1", "16", "x")),
        "MOVE $0 0",
        "SELECT 2",
        "MOVE $0 2",
        "MOVE $0 0",
    ),
    case(
        "move-expired",
        "SET $0 v PX 15",
        "SET $1 v",
        "SELECT 1",
        "SET $1 w PX 15",
        "SELECT 0",
        Sleep(0.02),
        "MOVE $0 1",
        "MOVE $1 1",
        "EXISTS $0 $1",
        "SELECT 1",
        "MGET $0 $1",
    ),
    case(
        "unlink",
        "UNLINK $0",
        "MSET $0 a $1 b $2 c",
        f"SET $3 {BIG}",
        "UNLINK $0 $0 $1 $5",
        "unlink $3",
        "EXISTS $0 $1 $2 $3",
        "UNLINK",
        "DEL",
        "DBSIZE",
    ),
    case(
        "touch",
        "TOUCH $0",
        "MSET $0 a $1 b",
        "TOUCH $0 $1 $1 $2",
        "SET $2 c PX 15",
        Sleep(0.02),
        "TOUCH $2",
        "TOUCH",
    ),
    case(
        "type",
        "TYPE $0",
        "SET $0 v",
        "TYPE $0",
        RESP3,
        "TYPE $0",
        "TYPE $1",
        "SET $1 w PX 15",
        Sleep(0.02),
        "TYPE $1",
        "TYPE",
        "TYPE a b",
    ),
    case("randomkey", "RANDOMKEY", "SET only v", "RANDOMKEY", "RANDOMKEY a"),
    case(
        "randomkey-resp3",
        RESP3,
        "RANDOMKEY",
        "SET gone v PX 15",
        "SET only v",
        Sleep(0.02),
        "RANDOMKEY",
        "RANDOMKEY",
        "RANDOMKEY",
        "SELECT 5",
        "RANDOMKEY",
    ),
    case(
        "swapdb",
        "MSET $0 a $1 b",
        "SET $2 c EX 1000",
        "SWAPDB 0 1",
        "DBSIZE",
        "SET $0 other",
        "SELECT 1",
        "MGET $0 $1 $2",
        Do("TTL $2", mask=SECONDS),
        "SWAPDB 1 0",
        "GET $0",
        "DBSIZE",
        "SELECT 0",
        "DBSIZE",
        "SWAPDB 0 0",
        "DBSIZE",
        "swapdb 3 15",
    ),
    case(
        "swapdb-seen-by-others",
        Do("SET $0 a"),
        Do("GET $0", on=1),
        Do("SELECT 2", on=1),
        Do("GET $0", on=1),
        Do("SWAPDB 0 2"),
        Do("GET $0", on=1),
        Do("GET $0"),
    ),
    case("swapdb-arity", "SWAPDB", "SWAPDB 1", "SWAPDB 1 2 3"),
    case(
        "swapdb-numbers",
        *(f"SWAPDB {number} 1" for number in NO_DATABASES),
        *(f"SWAPDB 1 {number}" for number in NO_DATABASES),
        "SWAPDB x y",
        "SWAPDB 16 y",
    ),
    case(
        "flush-sync-async",
        "SET $0 v",
        "FLUSHALL NOW",
        "FLUSHDB SYNC ASYNC",
        "FLUSHALL sync async",
        "DBSIZE",
        "FLUSHDB sync",
        "DBSIZE",
        "MSET $0 a $1 b",
        "SELECT 1",
        "SET $2 c",
        "FLUSHDB Async",
        "DBSIZE",
        "SELECT 0",
        "DBSIZE",
        "FLUSHALL ASYNC",
        "DBSIZE",
    ),
    case(
        "keys",
        "KEYS *",
        "MSET key:1 a key:2 b other c '' d",
        Do("KEYS *", mask=unordered),
        Do("KEYS key:*", mask=unordered),
        Do("KEYS key:[^2]", mask=unordered),
        Do("KEYS ?????", mask=unordered),
        "KEYS ''",
        "KEYS nothing*",
        "KEYS ''",
        "KEYS",
        "KEYS a b",
        "SET gone v PX 15",
        Sleep(0.02),
        Do("KEYS *o*", mask=unordered),
        "SELECT 1",
        "KEYS *",
        RESP3,
        "KEYS *",
    ),
]


@pytest.mark.parametrize("a_case", CASES, ids=lambda c: c.name)
def test_keys(a_case: Case, subject: Server, oracle: Oracle) -> None:
    oracle.check(a_case, subject)


def test_random_keys_come_from_everywhere(subject: Server) -> None:
    """Every key of a small database is drawn: a shard that is left out would show."""
    names = {b"random:%d" % i for i in range(30)}
    with subject.connect() as connection:
        connection.do("MSET", *(word for name in names for word in (name, "v")))
        drawn = {r.value for r in connection.pipeline([("RANDOMKEY",)] * 1000)}
    assert drawn == names


def test_large_values_go_and_come(subject: Server) -> None:
    """Megabytes renamed, copied and moved are the same bytes; unlinked, they are gone."""
    value = bytes(range(256)) * 8192
    with subject.connect() as connection:
        assert connection.do("SET", "large:0", value).value == b"OK"
        for i in range(1, 8):
            verb = "RENAME" if i % 2 else "COPY"
            connection.do(verb, f"large:{i - 1}", f"large:{i}")
        connection.do("MOVE", "large:7", "1")
        connection.do("SELECT", "1")
        assert connection.do("GET", "large:7").value == value
        assert connection.do("UNLINK", "large:7").value == 1
        connection.do("SELECT", "0")
        values = connection.pipeline([("GET", f"large:{i}") for i in range(8)])
        present = [i for i, reply in enumerate(values) if reply.value == value]
        assert present == [1, 3, 5]
        assert connection.do("GET", "large:5").value == value
        assert connection.do("UNLINK", *(f"large:{i}" for i in range(8))).value == 3
        assert connection.do("DBSIZE").value == 0
