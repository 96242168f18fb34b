"""EXPIRE, PEXPIRE, TTL, PTTL and what happens when the time has come."""

from __future__ import annotations

import time
from itertools import combinations

import pytest
from harness.cases import Case, Do, Pipe, Sleep, Until, case, mask_remaining
from harness.compare import Oracle
from harness.process import Server
from harness.resp import Reply, integer

SECONDS = mask_remaining(1000)
MILLISECONDS = mask_remaining(1)
NULL = Reply("null-bulk", None)


def _option_cases() -> list[Case]:
    cases = []
    options = ("NX", "XX", "GT", "LT")
    for count in (1, 2, 3):
        for chosen in combinations(options, count):
            text = " ".join(chosen)
            for verb, factor in (("EXPIRE", 1), ("PEXPIRE", 1000)):
                cases.append(
                    case(
                        f"{verb.lower()}-{'-'.join(chosen).lower()}",
                        "MSET $0 a $1 b $2 c",
                        f"EXPIRE $1 {1000}",
                        f"EXPIRE $2 {3000}",
                        *(f"{verb} ${key} {2000 * factor} {text}" for key in range(4)),
                        *(Do(f"TTL ${key}", mask=SECONDS) for key in range(4)),
                    )
                )
    return cases


def _number_cases() -> list[Case]:
    numbers = [
        *("0", "-1", "1.5", "abc", "''", "9223372036854775807", "-9223372036854775808"),
        *("9223372036854775808", "9223372036854775", "9223372036854776", "-9223372036854775"),
        *("-9223372036854776", "100 FOO", "100 NX FOO", "100 ''"),
    ]
    return [
        case(
            f"{verb.lower()}-number-{at}",
            "SET $0 v",
            f"{verb} $0 {number}",
            f"{verb} $1 {number}",
            "EXISTS $0",
        )
        for verb in ("EXPIRE", "PEXPIRE")
        for at, number in enumerate(numbers)
    ]


FAR_S = 33177117420  # in the year 3021


def _absolute_cases() -> list[Case]:
    cases = []
    for verb, factor in (("EXPIREAT", 1), ("PEXPIREAT", 1000)):
        times = [FAR_S * factor, (FAR_S + 1000) * factor]
        cases += [
            case(
                f"{verb.lower()}-{option.lower() or 'plain'}",
                "MSET $0 a $1 b $2 c",
                f"{verb} $1 {times[0]}",
                f"{verb} $2 {times[1] + factor}",
                *(f"{verb} ${key} {times[1]} {option}" for key in range(4)),
                *(f"{asked} ${key}" for asked in ("EXPIRETIME", "PEXPIRETIME") for key in range(4)),
                *(Do(f"TTL ${key}", mask=SECONDS) for key in range(4)),
            )
            for option in ("", "NX", "XX", "GT", "LT", "XX GT", "xx lt")
        ]
        cases.append(
            case(
                f"{verb.lower()}-past-and-wrong",
                "MSET $0 a $1 b $2 c",
                f"{verb} $0 1",
                f"{verb} $1 0",
                f"{verb} $2 -5",
                f"{verb} $3 1",
                "EXISTS $0 $1 $2",
                verb,
                f"{verb} a",
                *(
                    f"{verb} $0 {number}"
                    for number in ("x", "1.5", "''", "9223372036854775807", "100 FOO", "1 NX GT")
                ),
                "SET $0 v",
                f"{verb} $0 9223372036854775807",
                "EXISTS $0",
            )
        )
    return cases


CASES = [
    *_option_cases(),
    *_absolute_cases(),
    case(
        "expiretime",
        "EXPIRETIME $0",
        "PEXPIRETIME $0",
        "SET $0 v",
        "EXPIRETIME $0",
        "PEXPIRETIME $0",
        *(
            step
            for ms in (499, 500, 999, 0)
            for step in (
                f"PEXPIREAT $0 {FAR_S * 1000 + ms}",
                "EXPIRETIME $0",
                "PEXPIRETIME $0",
            )
        ),
        "EXPIRETIME",
        "EXPIRETIME a b",
        "PEXPIRETIME",
    ),
    case(
        "persist",
        "PERSIST $0",
        "SET $0 v",
        "PERSIST $0",
        "EXPIRE $0 1000",
        "persist $0",
        "TTL $0",
        "GET $0",
        ("SET", "big", "x" * 5000, "EX", "1000"),
        "PERSIST big",
        "TTL big",
        "STRLEN big",
        "SET $1 v PX 15",
        Sleep(0.02),
        "PERSIST $1",
        "PERSIST",
        "PERSIST a b",
    ),
    *_number_cases(),
    case(
        "time-goes-on-within-a-pipeline",
        Pipe(["SET $0 v", "PEXPIRE $0 1", "DEBUG SLEEP 0.003", "EXISTS $0", "SET $0 w NX"]),
    ),
    case("ttl-of-missing-and-plain", "TTL $0", "PTTL $0", "SET $0 v", "TTL $0", "PTTL $0"),
    case(
        "ttl-rounds",
        "SET $0 v PX 100000",
        Do("TTL $0", mask=SECONDS),
        Do("PTTL $0", mask=MILLISECONDS),
    ),
    case(
        "ttl-arity",
        "TTL",
        "TTL a b",
        "PTTL",
        "PTTL a b",
        "EXPIRE",
        "EXPIRE a",
        "PEXPIRE a",
        "expire",
    ),
    case("expire-then-set", "SET $0 v", "EXPIRE $0 100", "SET $0 w", "TTL $0"),
    case("expire-past-deletes", "SET $0 v", "EXPIRE $0 -1", "EXISTS $0", "DBSIZE", "TTL $0"),
    case("expire-missing", "EXPIRE $0 10", "PEXPIRE $0 10"),
    case(
        "expire-lower-case",
        "SET $0 v",
        "expire $0 100 nx",
        "expire $0 200 Gt",
        Do("ttl $0", mask=SECONDS),
    ),
    case(
        "expired-is-gone",
        "MSET $0 a $1 b $2 c $3 d",
        *(f"PEXPIRE ${key} 30" for key in range(3)),
        Sleep(0.06),
        "GET $0",
        "EXISTS $0 $1 $2 $3",
        "MGET $0 $1 $2 $3",
        "TTL $1",
        "DEL $2",
        "SET $0 new NX GET",
        "INCR $1",
        "PTTL $1",
    ),
    case(
        "expired-set-xx",
        "SET $0 v PX 20",
        Sleep(0.04),
        "SET $0 w XX",
        "SET $0 w KEEPTTL GET",
        "TTL $0",
    ),
    case("expired-expire", "SET $0 v PX 20", Sleep(0.04), "EXPIRE $0 100", "PTTL $0"),
    case("lazy-expiry", "SET $0 v PX 25", Until("GET $0", NULL, 2.0), "TTL $0"),
]


@pytest.mark.parametrize("a_case", CASES, ids=lambda c: c.name)
def test_expiry(a_case: Case, subject: Server, oracle: Oracle) -> None:
    oracle.check(a_case, subject)


def test_active_expiry_empties_the_database(subject: Server) -> None:
    """Nobody touches the keys after their time has come; DBSIZE reaches 0 all the same."""
    keys = 3000
    with subject.connect() as connection:
        commands = [("SET", f"active:{i}", "v", "PX", 100 + i % 100) for i in range(keys)]
        assert {reply.value for reply in connection.pipeline(commands)} == {b"OK"}
        deadline = time.monotonic() + 8
        while (size := connection.do("DBSIZE")) != integer(0):
            assert time.monotonic() < deadline, f"{size.value} of {keys} keys are still there"
            time.sleep(0.02)


def test_active_expiry_leaves_the_others(subject: Server) -> None:
    with subject.connect() as connection:
        commands = [("SET", f"mixed:{i}", i, *(("PX", 60) if i % 2 else ())) for i in range(400)]
        connection.pipeline(commands)
        time.sleep(0.1)
        deadline = time.monotonic() + 8
        while (size := connection.do("DBSIZE")) != integer(200):
            assert 200 < size.value <= 400 and time.monotonic() < deadline, size
            time.sleep(0.02)
        values = connection.do("MGET", *(f"mixed:{i}" for i in range(400))).value
        assert [v.value for v in values] == [None if i % 2 else b"%d" % i for i in range(400)]
