"""Unions, intersections and differences of sorted sets and sets on different shards, as replies and
stored: WEIGHTS, AGGREGATE, WITHSCORES, LIMIT, every error and what it leaves."""

from __future__ import annotations

from itertools import product

import pytest
from harness.cases import Case, Key, Sleep, case, in_both_protocols
from harness.compare import Oracle
from harness.process import Server

FILL = [
    *("ZADD $0 1 a 2 b 3 c 4 d", "ZADD $1 10 b 20 c -5 e", "ZADD $2 0.5 c 7 f inf g -inf h"),
    *("SADD $3 a c e x", "SADD $4 1 2 3 c", "SET $5 string", "RPUSH $6 a b"),
]
# Sources by their numbers: $7 and $8 are missing keys.
SOURCES = [
    *("1 $0", "1 $3", "1 $7", "2 $0 $1", "2 $1 $0", "2 $0 $0", "3 $0 $1 $2", "2 $0 $3", "2 $3 $4"),
    *("2 $0 $7", "2 $7 $0", "3 $7 $0 $8", "4 $4 $3 $2 $1", "5 $0 $1 $2 $3 $4", "2 $2 $2"),
    "2 $7 $8",
    "3 $4 $4 $4",
]
BAD = [
    *("0 $0", "-1 $0", "x $0", "1.5 $0", "'' $0", "2 $0", "3 $0 $1", "9223372036854775807 $0"),
    "1 $5",
    *("2 $0 $5", "2 $5 $0", "2 $7 $5", "2 $5 $7", "1 $6", "1 $0 $1", "1 $0 FOO"),
    "9223372036854775808 $0",
    *("1 $0 WEIGHTS", "2 $0 $1 WEIGHTS 1", "1 $0 WEIGHTS x", "1 $0 WEIGHTS nan", "1 $0 WEIGHTS ''"),
    *("1 $0 WEIGHTS 1 2", "1 $0 AGGREGATE", "1 $0 AGGREGATE FOO", "1 $0 AGGREGATE SUM MIN"),
    *("1 $0 WITHSCORES x", "1 $0 LIMIT 1", "1 $5 WEIGHTS x", "0 $5"),
    "2 $0 $1 WEIGHTS 1 x AGGREGATE FOO",
    *("1 $0 AGGREGATE MAX AGGREGATE", "4294967297 $0", "2147483648 $0", "1 $0 AGGREGATE ''"),
]
OPTIONS = [
    *("WEIGHTS 2 3", "WEIGHTS -1 0.5", "WEIGHTS 0 1", "WEIGHTS inf 1", "WEIGHTS -inf 0"),
    "WEIGHTS 65536 1024",
    *("AGGREGATE SUM", "AGGREGATE MIN", "aggregate max", "WEIGHTS 2 -3 AGGREGATE MIN"),
    *("AGGREGATE MAX WEIGHTS 1 100", "WEIGHTS 1 2 WEIGHTS 3 4", "AGGREGATE MIN AGGREGATE MAX"),
]
READS = ["ZUNION", "ZINTER", "ZDIFF"]


def _dump(key: str = "$9") -> str:
    return f"ZRANGE {key} 0 -1 WITHSCORES"


def _store_steps(verb: str, words: str) -> list[str]:
    return ["ZADD $9 5 old", f"{verb}STORE $9 {words}", _dump(), "DEL $9"]


def _read_cases() -> list[Case]:
    cases = []
    for verb in READS:
        name = verb.lower()
        cases += in_both_protocols(
            f"{name}-sources",
            *FILL,
            *(f"{verb} {words}" for words in SOURCES),
            *(f"{verb} {words} WITHSCORES" for words in SOURCES),
        )
        cases.append(
            case(
                f"{name}-options",
                *FILL,
                *(
                    f"{verb} {words} {options} WITHSCORES"
                    for words, options in product(("2 $0 $1", "2 $0 $2", "2 $2 $3"), OPTIONS)
                ),
                *(f"{verb} {words}" for words in BAD),
                *(
                    f"{verb} 1 $0 withscores {o}"
                    for o in ("WITHSCORES", "WEIGHTS 2", "AGGREGATE MIN")
                ),
            )
        )
    return cases


def _store_cases() -> list[Case]:
    cases = []
    for verb in READS:
        name = f"{verb.lower()}store"
        steps = [step for words in SOURCES for step in _store_steps(verb, words)]
        pairs = product(("2 $0 $1", "2 $2 $0", "3 $2 $3 $0"), OPTIONS)
        options = [step for words, o in pairs for step in _store_steps(verb, f"{words} {o}")]
        cases += [
            case(f"{name}-sources", *FILL, *steps),
            case(
                f"{name}-options",
                *FILL,
                *options,
                "ZADD $9 5 old",
                *(f"{verb}STORE $9 {words}" for words in BAD),
                f"{verb}STORE $9 1 $0 WITHSCORES",
                _dump(),
            ),
            case(
                f"{name}-targets",
                *FILL,
                *(f"{verb}STORE $0 2 $0 $1", _dump("$0"), f"{verb}STORE $1 2 $0 $1", _dump("$1")),
                *(f"{verb}STORE $3 1 $3", "TYPE $3", _dump("$3"), f"{verb}STORE $5 1 $2"),
                "TYPE $5",
                *("EXPIRE $5 1000", f"{verb}STORE $5 1 $4", "TTL $5", "EXPIRE $5 1000"),
                *(f"{verb}STORE $5 1 $7", "EXISTS $5", "SET $5 string", f"{verb}STORE $5 1 $7"),
                *("EXISTS $5", "SET $5 s", f"{verb}STORE $5 1 $6", "GET $5"),
                f"{verb}STORE $6 1 $5",
                *("LLEN $6", f"{verb}STORE $8 1 $2", _dump("$8"), f"{verb}STORE $2 1 $7"),
                "EXISTS $2",
                *("OBJECT ENCODING $8", "PEXPIRE $8 15", Sleep(0.02), f"{verb}STORE $9 1 $8"),
                "EXISTS $9",
            ),
            case(
                f"{name}-arity",
                *(f"{verb}STORE", f"{verb}STORE $0", f"{verb}STORE $0 1", verb, f"{verb} 1"),
            ),
        ]
    return cases


def _cardinality_cases() -> list[Case]:
    limits = ["0", "1", "2", "100", "-1", "x", "''", "9223372036854775807", "9223372036854775808"]
    return in_both_protocols(
        "zintercard",
        *FILL,
        *(f"ZINTERCARD {words}" for words in SOURCES),
        *(f"ZINTERCARD {words} LIMIT 1" for words in SOURCES),
        *(f"ZINTERCARD {words}" for words in BAD),
        *(f"ZINTERCARD 2 $0 $1 LIMIT {limit}" for limit in limits),
        *(f"ZINTERCARD 1 $0 limit {limit}" for limit in limits),
        *("ZINTERCARD 2 $0 $5 LIMIT x", "ZINTERCARD 2 $0 $1 LIMIT"),
        "ZINTERCARD 1 $0 LIMIT 1 LIMIT 2",
        *("ZINTERCARD 1 $0 FOO 1", "ZINTERCARD", "ZINTERCARD 1", "ZINTERCARD 0 $0 LIMIT 1"),
        "ZINTERCARD x",
    )


def _large_cases() -> list[Case]:
    many = [part for at in range(2000) for part in (at, f"m{at:04}")]
    odd = [part for at in range(1, 2000, 2) for part in (at * 2, f"m{at:04}")]
    long = [part for at in range(30) for part in (at, f"{at:02}" + "." * 1500)]
    return [
        case(
            "zset-stores-of-many",
            ("ZADD", Key(0), *many),
            ("ZADD", Key(1), *odd),
            ("ZADD", Key(2), *long),
            ("SADD", Key(3), *(f"m{at:04}" for at in range(0, 2000, 5))),
            *("ZUNIONSTORE $4 2 $0 $1", "ZCARD $4", "ZRANGE $4 0 -1 WITHSCORES"),
            "OBJECT ENCODING $4",
            *("ZINTERSTORE $5 2 $0 $1 WEIGHTS 1 -1", "ZCARD $5", "ZRANGE $5 0 20 WITHSCORES"),
            *("ZDIFFSTORE $6 2 $0 $1", "ZCARD $6", "ZRANGE $6 -20 -1 WITHSCORES"),
            "ZINTERCARD 3 $0 $1 $3",
            *("ZINTERSTORE $7 3 $3 $0 $1 AGGREGATE MAX", "ZRANGE $7 0 -1 WITHSCORES"),
            "ZDIFF 2 $1 $3",
            *("ZUNIONSTORE $4 2 $2 $2", "OBJECT ENCODING $4", "ZRANGE $4 0 -1 WITHSCORES"),
            *("ZDIFFSTORE $4 2 $0 $0", "EXISTS $4", "ZINTERSTORE $4 2 $2 $0", "EXISTS $4"),
            *("ZUNION 2 $3 $1", "ZINTER 2 $1 $3 WITHSCORES", "ZINTERCARD 2 $0 $1 LIMIT 700"),
            *("ZREMRANGEBYRANK $0 100 -1", "ZDIFFSTORE $8 1 $0", "OBJECT ENCODING $8"),
            "ZUNIONSTORE $8 1 $0",
            "OBJECT ENCODING $8",
        ),
        case(
            "zset-stores-of-integers",
            ("SADD", Key(0), *range(-3, 9)),
            ("SADD", Key(1), *range(4, 700, 3)),
            ("ZADD", Key(2), *(part for at in range(0, 20, 2) for part in (at / 2, at))),
            *("ZUNIONSTORE $3 2 $0 $2", _dump("$3"), "ZINTERSTORE $3 2 $1 $2 WEIGHTS 5 1"),
            _dump("$3"),
            *("ZDIFFSTORE $3 2 $0 $2", _dump("$3"), "ZINTERCARD 3 $0 $1 $2"),
            "ZINTERSTORE $3 2 $0 $1",
            *(_dump("$3"), "ZDIFFSTORE $3 3 $1 $0 $2", "ZCARD $3", "ZRANGE $3 0 5 WITHSCORES"),
        ),
    ]


CASES = [
    *_read_cases(),
    *_store_cases(),
    *_cardinality_cases(),
    *_large_cases(),
    # Sums are taken from the smallest set to the largest, which shows where digits are lost.
    case(
        "zset-stores-order-of-sums",
        *("ZADD $0 9007199254740992 a 1 x 1 y", "ZADD $1 1 a 1 z", "ZADD $2 1 a"),
        "SADD $3 a p q r",
        *("ZUNION 3 $0 $1 $2 WITHSCORES", "ZUNION 3 $2 $1 $0 WITHSCORES"),
        "ZINTER 3 $0 $1 $2 WITHSCORES",
        *("ZUNION 2 $3 $0 WITHSCORES", "ZUNION 4 $3 $0 $1 $2 WITHSCORES"),
        "ZINTER 3 $1 $0 $3 WITHSCORES",
        *("ZADD $2 2 b 3 c 4 d", "ZINTER 3 $0 $1 $2 WITHSCORES", "ZUNION 3 $2 $0 $1 WITHSCORES"),
    ),
    *in_both_protocols(
        "zset-stores-infinite",
        *("ZADD $0 inf a -inf b 1e308 c 0 d", "ZADD $1 -inf a inf b 1e308 c -0 d"),
        "SADD $2 a b c d",
        *("ZUNION 2 $0 $1 WITHSCORES", "ZINTER 2 $0 $1 WITHSCORES", "ZUNIONSTORE $3 2 $0 $1"),
        *("ZRANGE $3 0 -1 WITHSCORES", "ZUNION 2 $0 $1 WEIGHTS 0 1 WITHSCORES", "ZSCORE $3 a"),
        "ZUNION 2 $0 $1 WEIGHTS -1 0 AGGREGATE MAX WITHSCORES",
        "ZINTER 1 $2 WEIGHTS inf WITHSCORES",
        *("ZUNION 2 $0 $1 AGGREGATE MIN WITHSCORES", "ZUNION 2 $2 $0 WEIGHTS -inf inf WITHSCORES"),
        *("ZINTERSTORE $4 2 $0 $1 WEIGHTS inf -inf AGGREGATE MAX", "ZRANGE $4 0 -1 WITHSCORES"),
    ),
]


@pytest.mark.parametrize("a_case", CASES, ids=lambda c: c.name)
def test_sorted_set_stores(a_case: Case, subject: Server, oracle: Oracle) -> None:
    oracle.check(a_case, subject)
