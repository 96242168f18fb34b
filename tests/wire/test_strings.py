"""GET, SET with every option, INCR, MGET, MSET, DEL and EXISTS, against the oracle."""

from __future__ import annotations

from itertools import combinations

import pytest
from harness.cases import Case, Do, Key, Pipe, case, mask_remaining
from harness.compare import Oracle
from harness.process import Server

FUTURE_S = 33177117420
FUTURE_MS = FUTURE_S * 1000

SET_OPTIONS = {
    "ex": "EX 100",
    "px": "PX 100000",
    "exat": f"EXAT {FUTURE_S}",
    "pxat": f"PXAT {FUTURE_MS}",
    "keepttl": "KEEPTTL",
    "nx": "NX",
    "xx": "XX",
    "get": "GET",
}

SECONDS = mask_remaining(1000)
MILLISECONDS = mask_remaining(1)


def _set_option_cases() -> list[Case]:
    """Every set of up to three options on a missing key, on a key and on a key with a deadline."""
    cases = []
    for count in (1, 2, 3):
        for names in combinations(SET_OPTIONS, count):
            options = " ".join(SET_OPTIONS[name] for name in names)
            cases.append(
                case(
                    f"set-{'-'.join(names)}",
                    f"SET $0 a {options}",
                    "GET $0",
                    Do("TTL $0", mask=SECONDS),
                    "SET $1 old",
                    f"SET $1 new {options}",
                    "GET $1",
                    Do("PTTL $1", mask=MILLISECONDS),
                    "SET $2 old EX 1000",
                    f"SET $2 new {options}",
                    "GET $2",
                    Do("PTTL $2", mask=MILLISECONDS),
                    "DBSIZE",
                )
            )
    return cases


def _set_number_cases() -> list[Case]:
    numbers = [
        *("0", "-1", "1.5", "abc", "''", "' 1'", "'1 '", "+1", "01", "0x10", "1e3"),
        *("9223372036854775807", "9223372036854775808", "-9223372036854775808", "9223372036854775"),
        *("9223372036854776", "99999999999999999999999999"),
    ]
    return [
        case(
            f"set-{option.lower()}-number-{at}",
            "SET $0 old",
            f"SET $0 new {option} {number}",
            "GET $0",
        )
        for option in ("EX", "PX", "EXAT", "PXAT")
        for at, number in enumerate(numbers)
    ]


def _incr_cases() -> list[Case]:
    values = [
        *("0", "-1", "9223372036854775806", "9223372036854775807", "-9223372036854775808"),
        *("9223372036854775808", "-9223372036854775809", "1.0", "abc", "''", "' 1'", "'1 '", "+1"),
        *("01", "-0", "00", "1e2", "0x1", "-", "123456789012345678901234567890"),
    ]
    return [
        case(f"incr-of-{at}", ("SET", Key(0), value.strip("'")), "INCR $0", "INCR $0", "GET $0")
        for at, value in enumerate(values)
    ]


CASES = [
    *_set_option_cases(),
    *_set_number_cases(),
    *_incr_cases(),
    case("get-missing", "GET $0", "GET $1", "EXISTS $0"),
    case("get-set-get", "SET $0 v", "GET $0", "SET $0 w", "GET $0", "GET $1"),
    case("get-arity", "GET", "GET a b", "get", "GeT a b c"),
    case("set-arity", "SET", "SET k", "set k", "SeT"),
    case(
        "set-syntax",
        "SET $0 v FOO",
        "SET $0 v EX",
        "SET $0 v PX",
        "SET $0 v NX EX",
        "SET $0 v ''",
        "GET $0",
    ),
    case("set-options-lower-case", "set $0 v ex 100 nx", "set $0 w xx keepttl get", "GET $0"),
    case(
        "set-option-twice",
        "SET $0 v NX NX",
        "SET $0 w GET GET",
        "SET $0 v EX 10 EX 20",
        "SET $0 v XX XX",
    ),
    case("set-nx-xx-order", "SET $0 v XX NX", "SET $0 v NX XX", "SET $0 v GET XX NX"),
    case("set-nx-get-twice", "SET $0 a NX GET", "SET $0 b NX GET", "GET $0"),
    case("set-xx-get-old", "SET $0 a XX GET", "EXISTS $0", "SET $0 b", "SET $0 c XX GET", "GET $0"),
    case("set-option-as-value", "SET $0 EX", "GET $0", "SET $0 NX NX", "SET NX XX", "GET NX"),
    case(
        "set-exat-past",
        "SET $0 v EXAT 1",
        "GET $0",
        "TTL $0",
        "EXISTS $0",
        "SET $1 v PXAT 1",
        "GET $1",
    ),
    case("set-exat-past-over-old", "SET $0 v", "SET $0 w EXAT 1 GET", "GET $0", "EXISTS $0"),
    case("set-clears-ttl", "SET $0 v EX 100", "SET $0 w", "TTL $0"),
    case("set-keepttl-missing", "SET $0 v KEEPTTL", "TTL $0"),
    case("set-keepttl-keeps", "SET $0 v EX 100", "SET $0 w KEEPTTL", Do("TTL $0", mask=SECONDS)),
    case(
        "set-empty",
        ("SET", Key(0), b""),
        "GET $0",
        ("SET", b"", b"v"),
        ("GET", b""),
        ("EXISTS", b""),
    ),
    case(
        "set-binary",
        ("SET", b"\x00\r\n\xff", bytes(range(256))),
        ("GET", b"\x00\r\n\xff"),
        ("GET", b"\x00"),
    ),
    case("incr-missing", "INCR $0", "INCR $0", "GET $0", "INCR $1"),
    case("incr-keeps-ttl", "SET $0 1 EX 100", "INCR $0", Do("TTL $0", mask=SECONDS)),
    case("incr-arity", "INCR", "INCR a b"),
    case("incr-many", Pipe([f"INCR ${i % 5}" for i in range(500)]), "MGET $0 $1 $2 $3 $4"),
    case("mset-mget-spread", "MSET $0 a $1 b $2 c $3 d", "MGET $0 $1 $2 $3 $4", "DBSIZE"),
    case("mset-repeated-key", "MSET $0 a $1 b $0 c", "MGET $0 $1 $0 $0", "DBSIZE"),
    case("mset-clears-ttl", "SET $0 v EX 100", "MSET $1 x $0 y", "TTL $0"),
    case(
        "mset-arity", "MSET", "MSET a", "MSET a b c", "MSET $0 a $1", "EXISTS $0", "mset a b c d e"
    ),
    case("mget-arity", "MGET", "mget"),
    case("mget-one", "SET $0 v", "MGET $0", "MGET $1", "MGET $1 $1"),
    case(
        "mget-hundreds",
        Pipe([f"SET ${i % 10} {i}" for i in range(10)]),
        "MGET " + "$0 $1 $2 $3 $4 $5 $6 $7 $8 $9 " * 50,
    ),
    case(
        "mset-mget-plain-keys",
        ("MSET", *(f"m{i // 2}" for i in range(400))),
        ("MGET", *(f"m{i}" for i in range(250))),
    ),
    case("del-one", "SET $0 v", "DEL $0", "DEL $0", "GET $0"),
    case("del-spread", "MSET $0 a $1 b $2 c", "DEL $0 $1 $2 $3", "DBSIZE"),
    case("del-repeated", "MSET $0 a $1 b", "DEL $0 $0 $1 $0", "DBSIZE"),
    case("del-arity", "DEL", "del"),
    case("exists-spread", "MSET $0 a $1 b $2 c", "EXISTS $0 $1 $2 $3"),
    case("exists-repeated", "SET $0 v", "EXISTS $0 $0 $1 $0", "EXISTS"),
    case(
        "shards-in-one-pipeline",
        Pipe(
            [
                "SET $0 a",
                "MSET $1 b $2 c",
                "INCR $3",
                "MGET $0 $1 $2 $3",
                "DEL $0 $2",
                "EXISTS $0 $1 $2 $3",
                "GET $1",
            ]
        ),
    ),
    case(
        "error-inside-pipeline",
        Pipe(["SET $0 a", "INCR $0", "SET $1", "NOPE", "GET $0", "INCR $1"]),
    ),
]


@pytest.mark.parametrize("a_case", CASES, ids=lambda c: c.name)
def test_strings(a_case: Case, subject: Server, oracle: Oracle) -> None:
    oracle.check(a_case, subject)
