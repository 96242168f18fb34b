"""The other string commands (parts, numbers, GETEX and its kin, LCS), against the oracle."""

from __future__ import annotations

import random

import pytest
from harness.cases import Case, Do, Key, Pipe, case, mask_field, mask_remaining
from harness.compare import Oracle
from harness.process import Server

FUTURE_S = 33177117420
SECONDS = mask_remaining(1000)
MILLISECONDS = mask_remaining(1)

NUMBERS = ["0", "1", "-1", "9223372036854775807", "-9223372036854775808", "9223372036854775808"]
NO_NUMBERS = ["", "x", " 1", "1 ", "+1", "01", "1.0", "1e3", "0x1"]
FLOATS = [
    *("0", "-0", "1", "1.5", "-1.5", "0.1", "3.0e3", "5.0e-3", "1e20", "1e-20", "1e4000", "1e5000"),
    *("0x10", "0x1p-3", "inf", "-inf", "+inf", "infinity", "nan", "", " 1", "1 ", "1,5", "x", "."),
    *("10.50", "+5", "1e", "00.10", "123456789012345678901234567890", "0.00000000000000001"),
    "1" * 60,
]
OFFSETS = [0, 1, 2, 4, 5, 6, 100, -1, -2, -5, -6, -100]
GETEX_OPTIONS = [
    *("", "PERSIST", "EX 100", "px 100000", f"EXAT {FUTURE_S}", f"PXAT {FUTURE_S}000", "EXAT 1"),
    *("PXAT 1", "EX 0", "EX -1", "EX x", "EX", "KEEPTTL", "NX", "PERSIST EX 10", "EX 10 PERSIST"),
    *("EX 10 PX 10", "EX 10 EX 20", "PERSIST PERSIST", "EX 9223372036854775807", "GET", "''"),
]


def _number_cases() -> list[Case]:
    values = [*NUMBERS, *NO_NUMBERS]
    by = [("SET", Key(0), "10"), *(("INCRBY", Key(0), v) for v in values), "GET $0"]
    down = [("SET", Key(0), "10"), *(("DECRBY", Key(0), v) for v in values), "GET $0"]
    of = [
        step
        for v in values
        for step in (("SET", Key(1), v), "DECR $1", "INCRBY $1 5", "DECRBY $1 7", "GET $1")
    ]
    return [
        case("incrby-numbers", *by),
        case("decrby-numbers", *down),
        case("incr-decr-of-values", *of),
        case("decr-missing", "DECR $0", "DECRBY $1 5", "INCRBY $2 5", "MGET $0 $1 $2"),
        case("numbers-keep-ttl", "SET $0 5 EX 100", "DECR $0", Do("TTL $0", mask=SECONDS)),
        case("numbers-arity", "DECR", "DECR a b", "INCRBY a", "DECRBY a 1 2", "INCRBYFLOAT a"),
    ]


def _float_cases() -> list[Case]:
    steps: list = []
    for value in FLOATS:
        steps += [
            ("SET", Key(0), "10.5"),
            ("INCRBYFLOAT", Key(0), value),
            ("SET", Key(1), value),
            ("INCRBYFLOAT", Key(1), "1.25"),
            "MGET $0 $1",
        ]
    seeded = random.Random(5)
    many = [
        (
            "INCRBYFLOAT",
            Key(seeded.randrange(3)),
            repr(seeded.uniform(-1, 1) * 10 ** seeded.randrange(-8, 9)),
        )
        for _ in range(300)
    ]
    return [
        case("incrbyfloat-values", *steps),
        case("incrbyfloat-many", Pipe(many), "MGET $0 $1 $2"),
        case("incrbyfloat-missing", "INCRBYFLOAT $0 0.1", "INCRBYFLOAT $0 -0.1", "GET $0"),
        case("incrbyfloat-zero", "SET $0 -1", "INCRBYFLOAT $0 1", "INCRBYFLOAT $0 -0", "GET $0"),
        case(
            "incrbyfloat-keeps-ttl",
            "SET $0 5 EX 100",
            "INCRBYFLOAT $0 1",
            Do("TTL $0", mask=SECONDS),
        ),
        case(
            "incrbyfloat-overflow",
            ("SET", Key(0), "1e4932"),
            ("INCRBYFLOAT", Key(0), "1e4932"),
            ("INCRBYFLOAT", Key(0), "-1e4932"),
            "STRLEN $0",
        ),
    ]


def _range_cases() -> list[Case]:
    get = [f"GETRANGE $0 {start} {end}" for start in OFFSETS for end in OFFSETS]
    more = [f"SUBSTR $1 {start} {end}" for start in OFFSETS for end in (0, -1, 3)]
    return [
        case("getrange-all", "SET $0 hello", Pipe(get), Pipe(more)),
        case(
            "getrange-of-large",
            ("SET", Key(0), bytes(range(256)) * 100),
            "GETRANGE $0 250 260",
            "GETRANGE $0 0 -1",
            "GETRANGE $0 -5000 -1",
            "STRLEN $0",
        ),
        case(
            "getrange-numbers",
            "SET $0 hello",
            *(f"GETRANGE $0 {n} 2" for n in ("x", "''", "1.5", "9223372036854775808")),
            "GETRANGE $0 0 9223372036854775807",
            "GETRANGE $0 -9223372036854775808 -1",
            "GETRANGE $1 x 1",
        ),
        case(
            "setrange",
            "SETRANGE $0 5 hello",
            "GET $0",
            "SETRANGE $0 0 HELLO",
            "SETRANGE $0 8 ''",
            "GET $0",
            "SETRANGE $0 100 x",
            "GET $0",
            "STRLEN $0",
            "SETRANGE $1 0 ''",
            "SETRANGE $1 3 ''",
            "EXISTS $1",
            "SETRANGE $1 -1 x",
            "SETRANGE $1 x x",
            "SETRANGE $1 -1 ''",
            "SETRANGE $1 536870912 x",
            "SETRANGE $1 536870911 ''",
            "SETRANGE $1 9223372036854775807 x",
            "SETRANGE $0 536870911 xy",
            "EXISTS $1",
            "STRLEN $0",
        ),
        case(
            "setrange-grows",
            *(
                step
                for n in (10, 480, 490, 520, 5000)
                for step in (f"SETRANGE $0 {n} abc", "GET $0")
            ),
        ),
        case(
            "setrange-keeps-ttl", "SET $0 a EX 100", "SETRANGE $0 600 b", Do("TTL $0", mask=SECONDS)
        ),
        case(
            "append",
            "APPEND $0 ''",
            "EXISTS $0",
            "APPEND $0 Hello",
            "APPEND $0 ' World'",
            "GET $0",
            ("APPEND", Key(0), b"\x00\xff" * 400),
            "GET $0",
            "SET $1 12",
            "APPEND $1 3",
            "INCR $1",
            "GET $1",
            "SET $2 a EX 100",
            "APPEND $2 b",
            Do("TTL $2", mask=SECONDS),
        ),
        case(
            "append-steps",
            Pipe([f"APPEND ${i % 3} {'ab' * (i % 17)}" for i in range(600)]),
            "MGET $0 $1 $2",
        ),
        case("append-many", Pipe([("APPEND", Key(0), b"x" * 100)] * 300), "STRLEN $0", "GET $0"),
        case("strlen", "STRLEN $0", "SET $0 hello", "STRLEN $0", "SET $0 ''", "STRLEN $0"),
        case(
            "ranges-arity",
            *("STRLEN", "STRLEN a b", "APPEND a", "APPEND a b c", "SETRANGE a 1", "GETRANGE a 1"),
            *("SUBSTR a 1", "SUBSTR a 1 2 3", "GETRANGE a 1 2 3"),
        ),
    ]


def _getex_cases() -> list[Case]:
    steps: list = []
    for options in GETEX_OPTIONS:
        steps += [
            "SET $0 v EX 1000",
            f"GETEX $0 {options}",
            Do("PTTL $0", mask=MILLISECONDS),
            "SET $1 w",
            f"GETEX $1 {options}",
            Do("PTTL $1", mask=MILLISECONDS),
            f"GETEX $2 {options}",
        ]
    return [
        case("getex-options", *steps),
        case(
            "getex-large",
            ("SET", Key(0), b"x" * 9000),
            "GETEX $0 EX 100",
            "GETEX $0 PERSIST",
            "TTL $0",
        ),
        case("getex-arity", "GETEX", "GETDEL", "GETDEL a b", "GETSET a", "GETSET a b c"),
        case(
            "getdel",
            "SET $0 v",
            "GETDEL $0",
            "GETDEL $0",
            "EXISTS $0",
            ("SET", Key(1), b"y" * 9000),
            "GETDEL $1",
        ),
        case(
            "getset",
            "GETSET $0 a",
            "GETSET $0 b",
            "SET $0 c EX 100",
            "GETSET $0 d",
            "TTL $0",
            "GET $0",
        ),
    ]


def _set_cases() -> list[Case]:
    times = ["100", "0", "-1", "x", "", "1.5", "9223372036854775807", "9223372036854775"]
    return [
        case("setnx", "SETNX $0 a", "SETNX $0 b", "GET $0", "SETNX a", "SETNX a b c"),
        case(
            "setex-times",
            *(
                step
                for t in times
                for step in (
                    ("SETEX", Key(0), t, "v"),
                    ("PSETEX", Key(1), t, "w"),
                    Do("TTL $0", mask=SECONDS),
                    Do("PTTL $1", mask=MILLISECONDS),
                    "MGET $0 $1",
                )
            ),
        ),
        case("setex-arity", "SETEX a 1", "SETEX a 1 b c", "PSETEX a 1", "PSETEX"),
        case("setex-over", "SET $0 a", "SETEX $0 100 b", "GET $0", Do("TTL $0", mask=SECONDS)),
        case(
            "msetnx",
            "MSETNX $0 a $1 b $2 c",
            "MSETNX $3 d $1 x",
            "MGET $0 $1 $2 $3",
            "MSETNX $4 a $4 b",
            "GET $4",
            "MSETNX $5",
            "MSETNX",
            "MSETNX $5 a $6",
            "EXISTS $5 $6",
        ),
        case(
            "msetnx-many",
            ("MSETNX", *(f"m{i // 2}" for i in range(200))),
            ("MSETNX", *(f"n{i // 2}" for i in range(200)), "m1", "x"),
            "DBSIZE",
        ),
    ]


def _lcs_cases() -> list[Case]:
    seeded = random.Random(11)
    pairs = [("ohmytext", "mynewtext"), ("", "abc"), ("abc", ""), ("same", "same"), ("ab", "xy")]
    pairs += [
        tuple("".join(seeded.choices("abc", k=seeded.randrange(40))) for _ in range(2))
        for _ in range(25)
    ]
    steps: list = []
    for a, b in pairs:
        steps += [
            ("MSET", Key(0), a, Key(1), b),
            "LCS $0 $1",
            "LCS $0 $1 LEN",
            "LCS $0 $1 IDX",
            "LCS $0 $1 idx MINMATCHLEN 3",
            "LCS $0 $1 IDX MINMATCHLEN 2 WITHMATCHLEN",
        ]
    errors = [
        *("LCS $0 $1 FOO", "LCS $0 $1 LEN IDX", "LCS $0 $1 IDX MINMATCHLEN", "LCS $0", "LCS"),
        *(
            "LCS $0 $1 IDX MINMATCHLEN x",
            "LCS $0 $1 IDX MINMATCHLEN -5",
            "LCS $0 $0 IDX",
            "LCS $2 $3",
        ),
        *("LCS $2 $3 IDX", "LCS $2 $3 LEN", "LCS $0 $1 WITHMATCHLEN"),
    ]
    return [
        case("lcs-pairs", *steps),
        case(
            "lcs-resp3",
            Do("HELLO 3", mask=mask_field(b"id")),
            "MSET $0 ohmytext $1 mynewtext",
            "LCS $0 $1 IDX WITHMATCHLEN",
        ),
        case("lcs-errors", "MSET $0 abc $1 abd", *errors),
        case(
            "lcs-too-large",
            ("SET", Key(0), b"x" * 20000),
            "LCS $0 $0 LEN",
        ),
    ]


CASES = [
    *_number_cases(),
    *_float_cases(),
    *_range_cases(),
    *_getex_cases(),
    *_set_cases(),
    *_lcs_cases(),
]


@pytest.mark.parametrize("a_case", CASES, ids=lambda c: c.name)
def test_string_commands(a_case: Case, subject: Server, oracle: Oracle) -> None:
    oracle.check(a_case, subject)


def test_appending_takes_constant_time_per_byte(subject: Server) -> None:
    """Ten thousand times 4 KiB: copied each time it would be 200 GB."""
    with subject.connect() as connection:
        piece = b"0123456789abcdef" * 256
        for _ in range(20):
            replies = connection.pipeline([("APPEND", "large", piece)] * 500)
        assert replies[-1].value == 10000 * len(piece)
        part = connection.do("GETRANGE", "large", 40_000_000, 40_000_015)
        assert part.value == piece[:16]
