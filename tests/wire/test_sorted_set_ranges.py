"""Ranges of sorted sets by rank, by score and by member: ZRANGE with every option, its older
siblings, ZCOUNT, ZLEXCOUNT, ZREMRANGEBY*, and ZRANGESTORE over two shards."""

from __future__ import annotations

from itertools import product

import pytest
from harness.cases import Case, Key, Sleep, Step, case, in_both_protocols
from harness.cases import Command as Words
from harness.compare import Oracle
from harness.process import Server

RANKS = ["0", "1", "3", "6", "7", "100", "-1", "-2", "-7", "-8", "-100"]
BAD_RANKS = ["x", "1.5", "''", "9223372036854775808", "' 1'", "+1", "(1", "inf"]
SCORES = [
    *("-inf", "+inf", "inf", "1", "(1", "2", "(2", "2.5", "(4", "4", "(-inf", "(+inf", "(inf"),
    "0x2",
    *("-1e300", "(1e300", "5", "100"),
]
BAD_SCORES = [
    "x",
    "''",
    "nan",
    "(nan",
    "(",
    "((1",
    "[1",
    "1x",
    "' 1'",
    "'1 '",
    "-",
    "+",
    "(x",
    "1)",
]
LEXES = ["-", "+", "[a", "(a", "[c", "(c", "[bb", "(bb", "[", "(", "[zz", "(zz"]
BAD_LEXES = ["a", "''", "--", "-a", "+x", "{a", "' [a'", "1"]
LIMITS = [
    *("0 2", "1 1", "2 100", "0 0", "0 -1", "1 -1", "3 -5", "-1 2", "-1 -1", "100 1", "7 1", "6 1"),
    *("0 9223372036854775807", "9223372036854775807 1"),
    "-9223372036854775808 -9223372036854775808",
]
BAD_LIMITS = ["x 1", "1 x", "'' 1", "1", "", "9223372036854775808 1", "0 1.5", "0 1 2"]

# Scores and members, with equal scores and both infinities.
MEMBERS = "1 a 2 b 2 bb 2 c 4 d inf e -inf f"
LEX_MEMBERS = "0 a 0 b 0 bb 0 bbb 0 c 0 '' 0 z"


def _fill(key: str = "$0") -> str:
    return f"ZADD {key} {MEMBERS}"


def _pairs(values: list[str]) -> list[tuple[str, str]]:
    return list(product(values, repeat=2))


def _rank_cases() -> list[Case]:
    pairs = _pairs(RANKS)
    bad = [("0", b) for b in BAD_RANKS] + [(b, "0") for b in BAD_RANKS]
    removals: list[Step | Words] = []
    for low, high in pairs:
        removals += [_fill(), f"ZREMRANGEBYRANK $0 {low} {high}", "ZRANGE $0 0 -1", "DEL $0"]
    return [
        case(
            "zrange-ranks",
            _fill(),
            *(f"ZRANGE $0 {low} {high}" for low, high in pairs),
            *(f"ZREVRANGE $0 {low} {high}" for low, high in pairs),
            *(f"ZRANGE $0 {low} {high} REV" for low, high in pairs),
            *(f"ZRANGE $0 {low} {high} WITHSCORES" for low, high in pairs[::7]),
        ),
        case(
            "zrange-ranks-refused",
            _fill(),
            *(f"ZRANGE $0 {low} {high}" for low, high in bad),
            *(f"ZREVRANGE $0 {low} {high}" for low, high in bad),
            *(f"ZREMRANGEBYRANK $0 {low} {high}" for low, high in bad),
            *(f"ZRANGE $9 {low} {high}" for low, high in bad),
            *("ZRANGE $0 0 9223372036854775807", "ZRANGE $0 -9223372036854775808 -1", "ZCARD $0"),
            *("SET $1 string", "ZRANGE $1 x 1", "ZREVRANGE $1 0 y", "ZREMRANGEBYRANK $1 x 1"),
        ),
        case("zremrangebyrank", *removals),
    ]


def _score_cases() -> list[Case]:
    pairs = _pairs(SCORES)
    bad = [("0", b) for b in BAD_SCORES] + [(b, "0") for b in BAD_SCORES]
    removals: list[Step | Words] = []
    for low, high in pairs[::3]:
        removals += [_fill(), f"ZREMRANGEBYSCORE $0 {low} {high}", "ZRANGE $0 0 -1", "DEL $0"]
    verbs = [
        *("ZCOUNT $0 {}", "ZRANGEBYSCORE $0 {}", "ZREVRANGEBYSCORE $0 {}", "ZRANGE $0 {} BYSCORE"),
        *("ZRANGE $0 {} BYSCORE REV", "ZREMRANGEBYSCORE $0 {}"),
    ]
    return [
        case(
            "zrange-scores",
            _fill(),
            *(v.format(f"{low} {high}") for low, high in pairs for v in verbs[:3]),
        ),
        case(
            "zrange-byscore",
            _fill(),
            *(v.format(f"{low} {high}") for low, high in pairs[::2] for v in verbs[3:5]),
        ),
        case(
            "zrange-scores-refused",
            _fill(),
            *(v.format(f"{low} {high}") for low, high in bad for v in verbs),
            *(
                v.format(f"{low} {high}").replace("$0", "$9")
                for low, high in bad[:4]
                for v in verbs
            ),
            "SET $1 string",
            *(v.format("x 1").replace("$0", "$1") for v in verbs),
            "ZCARD $0",
        ),
        case("zremrangebyscore", *removals),
        case(
            "zrange-scores-limited",
            _fill(),
            *(
                f"{verb} LIMIT {limit}"
                for limit in LIMITS + BAD_LIMITS
                for verb in (
                    "ZRANGEBYSCORE $0 -inf +inf",
                    "ZREVRANGEBYSCORE $0 4 (1",
                    "ZRANGEBYSCORE $0 (1 2 WITHSCORES",
                    "ZRANGE $0 1 4 BYSCORE",
                    "ZRANGE $0 4 1 BYSCORE REV WITHSCORES",
                    "ZRANGEBYSCORE $9 1 2",
                    "ZRANGEBYSCORE $0 5 6",
                )
            ),
        ),
    ]


def _lex_cases() -> list[Case]:
    pairs = _pairs(LEXES)
    bad = [("-", b) for b in BAD_LEXES] + [(b, "+") for b in BAD_LEXES]
    removals: list[Step | Words] = []
    for low, high in pairs[::3]:
        removals += [f"ZADD $0 {LEX_MEMBERS}", f"ZREMRANGEBYLEX $0 {low} {high}", "ZRANGE $0 0 -1"]
    verbs = [
        *("ZLEXCOUNT $0 {}", "ZRANGEBYLEX $0 {}", "ZREVRANGEBYLEX $0 {}", "ZRANGE $0 {} BYLEX"),
        *("ZRANGE $0 {} BYLEX REV", "ZREMRANGEBYLEX $0 {}"),
    ]
    return [
        case(
            "zrange-lex",
            f"ZADD $0 {LEX_MEMBERS}",
            *(v.format(f"{low} {high}") for low, high in pairs for v in verbs[:3]),
            *(v.format(f"{low} {high}") for low, high in pairs[::3] for v in verbs[3:5]),
        ),
        case(
            "zrange-lex-refused",
            f"ZADD $0 {LEX_MEMBERS}",
            *(v.format(f"{low} {high}") for low, high in bad for v in verbs),
            *(v.format("a b").replace("$0", "$9") for v in verbs),
            "SET $1 string",
            *(v.format("a b").replace("$0", "$1") for v in verbs),
            *("ZRANGE $0 - + BYLEX WITHSCORES", "ZRANGEBYLEX $0 - + WITHSCORES", "ZCARD $0"),
        ),
        case("zremrangebylex", *removals),
        case(
            "zrange-lex-among-scores",
            *(
                step
                for members in ("1 a 2 b 2 bb 2.5 c 3 d", "1 z 2 a 2 c 3 bb 4 b 5 zz", "-0 b 0 a")
                for step in (
                    "DEL $0",
                    f"ZADD $0 {members}",
                    *(v.format(f"{low} {high}") for low, high in pairs[::2] for v in verbs[:5]),
                )
            ),
        ),
        case(
            "zrange-lex-limited",
            f"ZADD $0 {LEX_MEMBERS}",
            *(
                f"{verb} LIMIT {limit}"
                for limit in LIMITS + BAD_LIMITS
                for verb in (
                    "ZRANGEBYLEX $0 - +",
                    "ZREVRANGEBYLEX $0 [c (a",
                    "ZRANGE $0 [b [c BYLEX",
                    "ZRANGE $0 + - BYLEX REV",
                    "ZRANGEBYLEX $9 - +",
                )
            ),
        ),
        case(
            "zrange-lex-binary",
            (
                "ZADD",
                Key(0),
                0,
                b"",
                0,
                b"\x00",
                0,
                b"\x00a",
                0,
                b"\x7f",
                0,
                b"\x80",
                0,
                b"\xff\xff",
            ),
            *("ZRANGEBYLEX $0 - +", "ZRANGEBYLEX $0 [ [", "ZRANGEBYLEX $0 ( +", "ZLEXCOUNT $0 ( ("),
            *(
                (verb, Key(0), low, high)
                for verb in ("ZRANGEBYLEX", "ZLEXCOUNT")
                for low in (b"[\x00", b"(\x00", b"[\x80", b"(\x7f")
                for high in (b"[\xff", b"(\xff\xff", b"[\xff\xff", b"+", b"-", b"(\x80")
            ),
        ),
    ]


def _option_cases() -> list[Case]:
    """ZRANGE with every set of options, and its older siblings with theirs, in both protocols."""
    options = ["BYSCORE", "BYLEX", "REV", "WITHSCORES", "LIMIT 1 2"]
    sets = [
        " ".join(o for o, taken in zip(options, row, strict=True) if taken)
        for row in product((False, True), repeat=len(options))
    ]
    steps = [
        f"ZRANGE $0 {bounds} {chosen}" for chosen in sets for bounds in ("1 3", "4 1", "- +", "+ -")
    ]
    return in_both_protocols(
        "zrange-options",
        _fill(),
        *steps,
        *("ZRANGE $0 0 -1 withscores rev", "ZRANGE $0 0 -1 FOO"),
        "ZRANGE $0 0 -1 WITHSCORES WITHSCORES",
        *("ZRANGE $0 0 -1 LIMIT", "ZRANGE $0 0 -1 LIMIT 1", "ZRANGE $0 x y BYSCORE LIMIT z w"),
        *("ZRANGE $0 1 2 BYSCORE BYLEX", "ZRANGE $0 - + BYLEX BYSCORE"),
        "ZRANGE $0 2 1 REV REV BYSCORE",
        *("ZRANGE $0 1 2 BYSCORE LIMIT 0 1 LIMIT 1 1", "ZRANGE $0 0 -1 LIMIT 0 -1"),
        "ZRANGE $0 0 -1 BY",
        *("ZRANGE $0 0 -1 LIMIT 0 0", "ZRANGE $0 0 -1 LIMIT x 1", "ZRANGE $0 0 -1 LIMIT 2 -1"),
        *("ZREVRANGE $0 0 -1 WITHSCORES", "ZREVRANGE $0 0 -1 REV", "ZREVRANGE $0 0 -1 BYSCORE"),
        *("ZREVRANGE $0 0 -1 LIMIT 0 1", "ZRANGEBYSCORE $0 1 2 REV"),
        "ZRANGEBYSCORE $0 1 2 BYSCORE",
        *("ZRANGEBYSCORE $0 1 2 withscores limit 1 1", "ZRANGEBYSCORE $0 1 4 LIMIT 1 2 WITHSCORES"),
        *("ZREVRANGEBYSCORE $0 2 1 WITHSCORES", "ZREVRANGEBYSCORE $0 2 1 WITHSCORES LIMIT 0 1"),
        *("ZRANGEBYLEX $0 - + FOO", "ZRANGEBYLEX $0 - + BYLEX", "ZREVRANGEBYLEX $0 + - LIMIT 0 2"),
        *("ZREVRANGEBYLEX $0 + - REV", "ZRANGEBYLEX $0 - +", "ZRANGE $9 0 -1 WITHSCORES"),
        *("ZRANGEBYSCORE $0 5 1", "ZREVRANGEBYSCORE $0 1 5", "ZRANGE $0 0 -1 STORE $1"),
        "ZRANGE $0 2 0 REV",
    )


def _store_cases() -> list[Case]:
    """ZRANGESTORE from one shard to another and back, over what was there, and onto itself."""
    ranges = [
        *("0 -1", "1 2", "-2 -1 REV", "5 1", "0 1 REV", "1 4 BYSCORE", "(1 (4 BYSCORE LIMIT 1 1"),
        *("4 1 BYSCORE REV LIMIT 0 2", "- + BYLEX", "[b (d BYLEX LIMIT 0 3", "+ - BYLEX REV"),
        "100 200",
        *("(inf +inf BYSCORE", "x 1", "1 x BYSCORE", "a b BYLEX", "0 -1 WITHSCORES"),
        "0 -1 LIMIT 0 1",
        *("0 -1 FOO", "0", "1 2 BYSCORE LIMIT 0 -1", "1 2 BYSCORE LIMIT -1 2", "0 -1 LIMIT 1"),
        "0 -1 REV",
    ]
    return [
        case(
            f"zrangestore-{source}-to-{target}",
            _fill(f"${source}"),
            *(
                step
                for words in ranges
                for step in (
                    f"ZADD ${target} 9 old 10 older",
                    f"EXPIRE ${target} 1000",
                    f"ZRANGESTORE ${target} ${source} {words}",
                    f"ZRANGE ${target} 0 -1 WITHSCORES",
                    f"TTL ${target}",
                    f"DEL ${target}",
                )
            ),
            f"ZRANGE ${source} 0 -1 WITHSCORES",
        )
        for source, target in ((0, 1), (2, 1), (0, 3))
    ] + [
        case(
            "zrangestore-corners",
            *(_fill(), "ZRANGESTORE $0 $0 1 3", "ZRANGE $0 0 -1", "ZRANGESTORE $0 $0 5 9"),
            "EXISTS $0",
            *("SET $1 string", "ZRANGESTORE $1 $0 0 -1", "EXISTS $1", "SET $1 string", _fill()),
            *("ZRANGESTORE $1 $0 1 2", "TYPE $1", "SET $1 string", "ZRANGESTORE $2 $1 0 -1"),
            "GET $1",
            *("ZRANGESTORE $2 $1 x y", "ZRANGESTORE $0 $1 0 -1", "ZCARD $0"),
            "ZRANGESTORE $2 $9 0 -1",
            *("ZRANGESTORE $0 $9 0 -1", "EXISTS $0", "ZRANGESTORE", "ZRANGESTORE $0 $1 0"),
            ("ZADD", Key(3), *(part for at in range(300) for part in (at, f"m{at}"))),
            *("ZRANGESTORE $4 $3 10 20", "OBJECT ENCODING $4", "ZRANGESTORE $4 $3 0 127"),
            *("OBJECT ENCODING $4", "ZRANGESTORE $4 $3 0 128", "OBJECT ENCODING $4", "ZCARD $4"),
            ("ZADD", Key(5), 1, "x" * 100, 2, "short"),
            *("ZRANGESTORE $6 $5 1 1", "OBJECT ENCODING $6", "ZRANGESTORE $6 $5 0 0"),
            "OBJECT ENCODING $6",
        )
    ]


def _large_cases() -> list[Case]:
    """The same ranges among many members, several hundred of them with equal scores."""
    count = 2000
    pairs = [part for at in range(count) for part in (at // 300 * 10, f"{at * 7919 % count:04}")]
    same = [part for at in range(count) for part in (0, f"{at * 7919 % count:04}")]
    sorted_ = [part for at in range(count) for part in (at // 3, f"{at:04}")]
    long = [part for at in range(150) for part in (at % 5, f"{at:03}" + "." * 300)]
    return [
        case(
            "zrange-among-many",
            ("ZADD", Key(0), *pairs),
            ("ZADD", Key(1), *same),
            ("ZADD", Key(2), *long),
            ("ZADD", Key(3), *sorted_),
            *(
                f"{verb} {b}"
                for verb in ("ZLEXCOUNT $3", "ZRANGEBYLEX $3", "ZREVRANGEBYLEX $3")
                for b in ("- +", "+ -", "[0500 (0510", "(0510 [0500", "[1999 +", "- (0003", "[a +")
            ),
            *("ZREMRANGEBYLEX $3 (0100 [1900", "ZRANGE $3 0 -1"),
            *(
                f"ZRANGE $0 {at} {at + 3} WITHSCORES"
                for at in (0, 1, 299, 300, 997, 1996, 1999, 2000)
            ),
            *(f"ZREVRANGE $0 {at} {at + 3}" for at in (0, 1, 299, 300, 997, 1996, 1999, 2000)),
            *(
                f"ZCOUNT $0 {b}"
                for b in ("0 0", "(0 10", "10 (20", "-inf +inf", "60 100", "(60 100", "5 5")
            ),
            *(
                f"ZRANGEBYSCORE $0 {b} LIMIT 297 6"
                for b in ("0 10", "(0 20", "10 (60", "60 60", "7 8")
            ),
            *(
                f"ZREVRANGEBYSCORE $0 {b} LIMIT 150 4"
                for b in ("60 0", "60 (50", "(20 10", "0 -inf")
            ),
            *(
                f"ZLEXCOUNT $1 {b}"
                for b in ("- +", "[0500 [0600", "(0500 (0600", "[1999 +", "- (0000", "(1 (2")
            ),
            *(f"ZRANGEBYLEX $1 {b} LIMIT 90 5" for b in ("- +", "[0500 [0600", "(1 +", "[1999 +")),
            *(
                f"ZREVRANGEBYLEX $1 {b} LIMIT 90 5"
                for b in ("+ -", "[0600 [0500", "+ (1", "[0010 -")
            ),
            *("ZRANGE $1 0 -1", "ZRANGE $2 40 44 WITHSCORES", "ZRANGEBYSCORE $2 (1 3 LIMIT 20 3"),
            *("ZREMRANGEBYRANK $0 100 1799", "ZCARD $0", "ZRANGE $0 98 102 WITHSCORES"),
            "ZRANK $0 0005",
            *("ZREMRANGEBYLEX $1 [0100 (1900", "ZCARD $1", "ZRANGE $1 98 102"),
            "ZREMRANGEBYLEX $1 - +",
            *("EXISTS $1", "ZREMRANGEBYSCORE $2 1 (4", "ZCARD $2", "ZRANGE $2 28 31 WITHSCORES"),
            *("ZREMRANGEBYSCORE $0 -inf inf", "EXISTS $0", "ZREMRANGEBYRANK $2 0 -1", "EXISTS $2"),
        ),
    ]


CASES = [
    *_rank_cases(),
    *_score_cases(),
    *_lex_cases(),
    *_option_cases(),
    *_store_cases(),
    *_large_cases(),
    case(
        "zrange-of-expired",
        *(_fill(), "PEXPIRE $0 15", Sleep(0.02), "ZRANGE $0 0 -1", "ZCOUNT $0 -inf inf"),
        *(_fill("$1"), _fill(), "PEXPIRE $0 15", Sleep(0.02), "ZRANGESTORE $1 $0 0 -1"),
        "EXISTS $1",
        *(_fill("$1"), "PEXPIRE $1 15", Sleep(0.02), "ZREMRANGEBYRANK $1 0 -1", "DBSIZE"),
    ),
]


@pytest.mark.parametrize("a_case", CASES, ids=lambda c: c.name)
def test_sorted_set_ranges(a_case: Case, subject: Server, oracle: Oracle) -> None:
    oracle.check(a_case, subject)
