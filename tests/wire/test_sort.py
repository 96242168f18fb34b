"""SORT and SORT_RO of lists, sets and sorted sets: BY and GET through keys and fields on every
shard, LIMIT, ALPHA, STORE, numbers at their limits, and every error."""

from __future__ import annotations

import random

import pytest
from harness.cases import Case, Do, Key, Pipe, Sleep, case, in_both_protocols, unordered
from harness.cases import Command as Words
from harness.compare import Oracle
from harness.process import Server

LIST = "RPUSH $0 3 1 2 10 -5 2.5 1"
FILL = [
    *(LIST, "SADD $1 7 3 11 -2", "ZADD $2 3 30 1 10 2 20 2 5", "RPUSH $3 c a b aa d"),
    "SET $5 string",
    "HSET $6 f v",
    Pipe([f"SET w_{name} {weight}" for weight, name in enumerate(("d", "b", "a", "c", "aa"), 1)]),
    Pipe(
        [
            f"HSET h_{name} rank {9 - at} name the-{name}"
            for at, name in enumerate(("a", "b", "c", "aa"))
        ]
    ),
    Pipe([f"SET n_{name} name{name}" for name in ("1", "2", "3", "-5", "30", "10", "a", "c")]),
    *("SET w_x y", "RPUSH l_a 1 2", "SET w_3 3.5", "SET w_1 -1", "SET w_2 100", "SET w_10 1e3"),
]
ORDERS = [
    *("", "ASC", "DESC", "asc", "ALPHA", "DESC ALPHA", "alpha desc", "ASC DESC", "DESC ASC"),
    "ALPHA ALPHA",
    *("LIMIT 0 3", "LIMIT 2 2 DESC", "LIMIT 1 1 ALPHA"),
]
LIMITS = [
    *("0 0", "0 1", "1 2", "0 -1", "2 -1", "-1 2", "-5 3", "100 1", "6 5", "7 1", "3 100", "-1 -1"),
    "0 100",
    *("9223372036854775807 1", "0 9223372036854775807", "-9223372036854775808 3"),
    "5 9223372036854775807",
    *("x 1", "1 x", "1", "", "1.5 2", "9223372036854775808 1", "'' 1", "0 1 LIMIT 1 2"),
]


def _order_cases() -> list[Case]:
    return [
        case(
            "sort-orders",
            *FILL,
            *(
                f"{verb} {key} {order}"
                for verb in ("SORT", "SORT_RO")
                for key in ("$0", "$1", "$2")
                for order in ORDERS
            ),
            *(f"SORT $3 ALPHA {order}" for order in ORDERS),
            *("SORT $3", "SORT $3 DESC", "SORT $9", "SORT_RO $9", "SORT $9 STORE $4", "EXISTS $4"),
        ),
        *in_both_protocols(
            "sort-shapes",
            *FILL,
            "SORT $0",
            "SORT $9",
            "SORT $0 GET n_*",
            "SORT $0 LIMIT 9 1",
            "SORT $3",
        ),
        case(
            "sort-limits",
            *FILL,
            *(f"SORT $0 LIMIT {limit}" for limit in LIMITS),
            *(f"SORT $0 BY nosort LIMIT {limit}" for limit in LIMITS),
            *(f"SORT $2 BY nosort LIMIT {limit}" for limit in LIMITS),
            *(f"SORT $2 BY nosort DESC LIMIT {limit}" for limit in LIMITS),
            *(f"SORT $1 LIMIT {limit} DESC" for limit in LIMITS),
            *(f"SORT $9 LIMIT {limit}" for limit in LIMITS),
        ),
        case(
            "sort-numbers",
            (
                "RPUSH",
                Key(0),
                "inf",
                "-inf",
                "1e300",
                "-1e300",
                "0x10",
                "1e-300",
                "+5",
                "-0",
                "0",
                "007",
                "1.5",
            ),
            *("SORT $0", "SORT $0 DESC", "SORT $0 ALPHA LIMIT 0 3"),
            "RPUSH $1 9007199254740993 9007199254740992",
            *("RPUSH $1 9223372036854775807 -9223372036854775808", "SORT $1", "SORT $1 DESC"),
            *(
                step
                for text in (
                    "x",
                    "nan",
                    "1x",
                    "''",
                    "' 1'",
                    "'1 '",
                    "0x",
                    "--1",
                    "infinity",
                    "1,5",
                    # Last: in a pipeline Redis takes the next number for out of range, too.
                    "1e400",
                    "1e-400",
                )
                for step in (
                    "DEL $2",
                    f"RPUSH $2 3 {text} 2",
                    "SORT $2",
                    f"SET w_t {text}",
                    "RPUSH $3 t",
                    "SORT $3 BY w_*",
                )
            ),
            ("RPUSH", Key(4), b"1\x00", b"2"),
            "SORT $4",
            ("RPUSH", Key(5), b"b\x00b", b"b\x00a", b"b", b"", b"a"),
            "SORT $5 ALPHA",
        ),
    ]


def _by_cases() -> list[Case]:
    patterns = [
        *("w_*", "h_*->rank", "h_*->none", "none_*", "nosort", "constant", "''", "*", "h_*->"),
        *("->rank", "*->rank"),
        *("l_*", "w_*_*", "h_*->*", "w_a", "n*sort", "h_*-rank", "h_*>rank", "'* '", "$0", "x->y"),
    ]
    gets = [
        *("#", "n_*", "h_*->name", "h_*->none", "none_*", "l_*", "w_*", "constant", "''", "*"),
        *("h_*->", "# GET n_* GET #"),
        *("h_*->name GET h_*->rank", "##", "n_* GET none_* GET w_*", "h_a->name", "$5", "h_*->*"),
    ]
    return [
        case(
            "sort-by",
            *FILL,
            *(f"SORT {key} BY {pattern}" for pattern in patterns[:4] for key in ("$0", "$2", "$3")),
            *(f"SORT $3 BY {pattern} DESC" for pattern in patterns),
            *(
                f"SORT $3 BY {pattern} ALPHA"
                for pattern in ("h_*->name", "w_*", "nosort", "constant", "h_*->rank")
            ),
            *(f"SORT $3 BY {pattern} GET # LIMIT 1 3" for pattern in patterns),
            *("RPUSH $4 x a", "SORT $4 BY w_*", "SORT $4 BY w_* ALPHA", "SORT $4 BY w_* BY nosort"),
            "SORT $3 BY",
            *("SORT $2 BY nosort", "SORT $2 BY nosort DESC", "SORT $2 BY none_* DESC"),
            "SORT $0 BY nosort DESC",
            *("SORT $0 BY nosort GET #", Do("SORT $1 BY nosort", mask=unordered)),
            "SORT $1 BY none_*",
            *("SORT_RO $3 BY w_* GET # GET w_*", "SORT_RO $3 BY h_*->rank DESC"),
            "SORT $2 BY nosort GET # ALPHA",
        ),
        *in_both_protocols(
            "sort-get",
            *FILL,
            *(f"SORT $3 ALPHA GET {get}" for get in gets),
            *(f"SORT $0 GET {get} LIMIT 1 2" for get in gets),
            *("SORT $2 GET # GET n_* DESC", "SORT $1 GET # GET n_*"),
            *("SORT $3 BY w_* GET h_*->name GET w_*", "SORT $0 GET"),
            *("SORT $9 GET #", "SORT_RO $3 ALPHA GET # GET h_*->rank", "SORT $3 ALPHA GET # GET"),
        ),
        case(
            "sort-expired-weights",
            *("RPUSH $0 a b c", "SET w_a 3", "SET w_b 1 PX 15", "SET w_c 2", "HSET h_a f 1"),
            *("PEXPIRE h_a 15", Sleep(0.02)),
            *("SORT $0 BY w_* GET # GET w_*", "SORT $0 ALPHA GET h_*->f", "EXISTS w_b h_a"),
            *("PEXPIRE $0 15", Sleep(0.02)),
            *("SORT $0 ALPHA", "SORT $0 ALPHA STORE $1", "EXISTS $0 $1", "RPUSH $2 5"),
            *("PEXPIRE $2 15", Sleep(0.02)),
            *("RPUSH $0 2 1", "SORT $0 STORE $2", "TTL $2", "LRANGE $2 0 -1"),
        ),
    ]


def _store_cases() -> list[Case]:
    commands = [
        *("SORT $0 STORE $4", "SORT $1 DESC STORE $4", "SORT $2 STORE $4 LIMIT 1 2"),
        "SORT $3 ALPHA STORE $4",
        *("SORT $3 ALPHA GET # GET n_* STORE $4", "SORT $9 STORE $4"),
        *("SORT $0 LIMIT 50 1 STORE $4", "SORT $3 STORE $4"),
        *("SORT $1 BY nosort STORE $4", "SORT $1 BY nosort LIMIT 0 2 STORE $4"),
        "SORT $2 BY nosort STORE $4",
        *("SORT $2 BY nosort DESC LIMIT 1 2 STORE $4", "SORT $0 BY nosort STORE $4"),
        "SORT $3 BY w_* GET h_*->name STORE $4",
        *("SORT $0 STORE", "SORT $0 STORE $8 STORE $4", "SORT $0 GET none_* STORE $4"),
        *("SORT_RO $0 STORE $4", "SORT $6 STORE $4"),
        *("SORT $0 STORE $4 FOO", "SORT $0 store $4 LIMIT 0 0"),
    ]
    return [
        case(
            "sort-store",
            *FILL,
            *(
                step
                for command in commands
                for step in ("RPUSH $4 old", command, "LRANGE $4 0 -1", "DEL $4")
            ),
            *("EXPIRE $0 1000", "SORT $0 STORE $0", "LRANGE $0 0 -1", "TTL $0", "SORT $1 STORE $1"),
            "TYPE $1",
            *("SORT $0 STORE $5", "TYPE $5", "SORT $2 STORE $6", "LRANGE $6 0 -1"),
            *("OBJECT ENCODING $6", "SET $5 s"),
            *("SORT $9 STORE $5", "EXISTS $5", "SORT $7 STORE $5", "SORT $3 STORE $0"),
            *("LRANGE $0 0 -1", "EXISTS $8"),
        ),
    ]


def _error_cases() -> list[Case]:
    return [
        case(
            "sort-refused",
            *FILL,
            *(f"{verb} {key}" for verb in ("SORT", "SORT_RO") for key in ("$5", "$6", "$7")),
            *(
                f"{verb} $5 {words}"
                for verb in ("SORT", "SORT_RO")
                for words in ("FOO", "LIMIT x 1", "BY", "STORE $4")
            ),
            *("SORT", "SORT_RO", "SORT $0 FOO", "SORT $0 BY w_* FOO", "SORT $0 LIMIT 1"),
            *("SORT $0 ASC 1", "SORT $9 FOO"),
            *("SORT $0 GET # FOO", "SORT $0 ''", "SORT_RO $0 STORE", "SORT_RO $0 FOO"),
            "SORT $3 LIMIT x y STORE $4",
            *("SORT $3 LIMIT 0 1", "SORT $3 LIMIT 0 0", "SORT $3 BY none_*", "SORT $3 BY n_*"),
            "SORT $0 BY n_* ALPHA",
        ),
    ]


def _large_cases() -> list[Case]:
    draw = random.Random(1)
    numbers = draw.sample(range(-5000, 5000), 2000)
    words = [
        f"{draw.randrange(10**6):06}" + "." * draw.choice((0, 0, 0, 100, 1500)) for _ in range(300)
    ]
    weights: Words = ("MSET", *(part for at in range(300) for part in (f"w_{at}", at * 7919 % 300)))
    return [
        case(
            "sort-of-many",
            ("RPUSH", Key(0), *numbers),
            ("SADD", Key(1), *numbers),
            ("RPUSH", Key(2), *words, "z" * 70_000),
            ("SADD", Key(3), *range(300)),
            ("ZADD", Key(4), *(part for at in range(300) for part in (at % 10, at))),
            weights,
            *("SORT $0", "SORT $1 DESC", "SORT $0 LIMIT 990 10", "SORT $1 LIMIT 1990 100 DESC"),
            "SORT $2 ALPHA",
            *("SORT $3 BY w_*", "SORT $3 BY w_* LIMIT 100 20 GET # GET w_*"),
            "SORT $4 BY w_* DESC LIMIT 0 5",
            *("SORT $4 BY nosort LIMIT 100 20", "SORT $4 BY nosort LIMIT 100 20 DESC"),
            "SORT $0 ALPHA LIMIT 0 30",
            *("SORT $0 STORE $5", "LLEN $5", "LRANGE $5 500 510", "OBJECT ENCODING $5"),
            "SORT $5 DESC LIMIT 0 3",
        ),
    ]


CASES = [*_order_cases(), *_by_cases(), *_store_cases(), *_error_cases(), *_large_cases()]


@pytest.mark.parametrize("a_case", CASES, ids=lambda c: c.name)
def test_sort(a_case: Case, subject: Server, oracle: Oracle) -> None:
    oracle.check(a_case, subject)
