"""Members and scores of sorted sets: ZADD with every option, scores at their limits, ranks, pops,
random members, ZSCAN, and the encodings. Ranges and the commands over several sets have files of
their own."""

from __future__ import annotations

from itertools import product

import pytest
from harness.cases import (
    MASKED,
    Case,
    Do,
    Key,
    Mask,
    Pipe,
    Sleep,
    case,
    in_both_protocols,
    mask_remaining,
    unordered,
    unordered_pairs,
)
from harness.compare import Oracle
from harness.process import Server
from harness.resp import Reply

PLAIN_SCORES = [
    *("0", "+0", "-0", "-0.0", "1", "-1", "1.5", "+1.5", "-2.25", "1e3", "1E3", "0x10", "0x1p-3"),
    *("100", "007", "1e15", "-1e15", "9007199254740991", "9007199254740992", "9007199254740993"),
    *("-9007199254740992", "4503599627370497", "4503599627370495.5", "1e16", "1e21", "1e22"),
    *("1.7976931348623157e308", "-1.7976931348623157e308", "2.2250738585072014e-308", "1.5e-10"),
    *("12345678.9", "0.30000000000000004", "1.0000000000000002", "3.14159265358979", "1e-4"),
    *("inf", "+inf", "-inf", "Inf", "INF", "infinity", "-Infinity"),
]
# Those whose text is another one in 7.4, which prints the fewest digits that read back.
LONG_SCORES = [
    *("0.1", "-0.1", "3.3", "9223372036854774784", "9223372036854775807", "18446744073709551616"),
    *("123456789012345678", "99999999999999999999", "1e17", "1e18", "1e19", "1e20", "1e23"),
    *("1e300", "-1e300", "5e-324", "1e-5", "1e-6", "1e-7", "1.5e-300", "123456789.123456789"),
]
BAD_SCORES = [
    *("nan", "-nan", "NaN", "nan(1)", "''", "' 1'", "'1 '", "1a", "a", "1e", "e1", "0x", "1,5"),
    "--1",
    *("1e309", "-1e309", "1e-400", "infx", "in", "1_0", "(1", "[1", "+", "-", "+inf+", "1.2.3"),
]
ADD_OPTIONS = ["NX", "XX", "GT", "LT", "CH", "INCR"]


def _sets_of(options: list[str]) -> list[str]:
    chosen = product((False, True), repeat=len(options))
    return [" ".join(o for o, taken in zip(options, row, strict=True) if taken) for row in chosen]


def _dump(key: str = "$0") -> str:
    return f"ZRANGE {key} 0 -1 WITHSCORES"


def _members(count: int, size: int = 0) -> list[bytes]:
    return [b"m%d" % at + b"." * max(0, size - len(b"m%d" % at)) for at in range(count)]


def _add(key: int, members: list[bytes]) -> tuple:
    pairs = [part for at, member in enumerate(members) for part in (at * 7 % 100, member)]
    return ("ZADD", Key(key), *pairs)


def sample_of(members: set[bytes], pairs: bool = False) -> Mask:
    """Any members of a set: all that is kept of them is how many there are and their shape."""

    def known(item: Reply) -> Reply:
        if item.kind == "array":
            return Reply("array", (known(item.value[0]), MASKED, *item.value[2:]))
        return MASKED if item.value in members else item

    def mask(reply: Reply) -> Reply:
        if not isinstance(reply.value, tuple):
            return known(reply)
        items = list(map(known, reply.value))
        if pairs and reply.value and reply.value[0].kind != "array":
            items[1::2] = [MASKED] * len(items[1::2])
        return Reply(reply.kind, tuple(items))

    return mask


def _add_option_cases() -> list[Case]:
    """Every set of options on a missing key, a missing member, and higher, lower, equal scores."""
    cases = []
    for options in _sets_of(ADD_OPTIONS):
        name = options.lower().replace(" ", "-") or "none"
        cases.append(
            case(
                f"zadd-option-{name}",
                f"ZADD $0 {options} 1 a",
                _dump(),
                "ZADD $1 5 a 5 b 5 c",
                f"ZADD $1 {options} 6 a",
                f"ZADD $1 {options} 4 b",
                f"ZADD $1 {options} 5 c",
                f"ZADD $1 {options} 7 d",
                f"ZADD $1 {options} 8 a 2 b 5 c 9 e 1 e",
                f"ZADD $1 {options} inf a",
                f"ZADD $1 {options} -inf a",
                f"ZADD $1 {options} -inf b",
                f"ZADD $1 {options} inf b",
                _dump("$1"),
                f"ZADD $2 {options} 1",
                f"ZADD $2 {options}",
                f"ZADD $2 {options} x a",
                "EXISTS $2",
                "SET $3 string",
                f"ZADD $3 {options} 1 a",
                f"ZADD $3 {options} x a",
                f"ZADD $3 {options} 1 a 2",
                "GET $3",
            )
        )
    return cases


def _score_cases() -> list[Case]:
    long = "long" * 20
    plain = [
        step
        for at, score in enumerate(PLAIN_SCORES)
        for step in (
            f"ZADD $0 {score} m{at}",
            f"ZSCORE $0 m{at}",
            f"ZADD $1 INCR {score} n{at}",
            f"ZADD $2 {score} {long}{at}",
            f"ZSCORE $2 {long}{at}",
        )
    ]
    return [
        *in_both_protocols(
            "zadd-scores",
            *plain,
            *("ZRANGE $0 0 -1", "ZRANGE $2 0 -1", _dump("$0"), _dump("$1"), _dump("$2")),
            *(f"ZINCRBY $0 {score} m0" for score in ("1", "0.5", "-1e3", "1e22", "inf", "0", "1")),
        ),
        case(
            "zadd-scores-of-many-digits",
            *(f"ZADD $0 {score} m{at}" for at, score in enumerate(LONG_SCORES)),
            *(f"ZADD $1 {score} {long}{at}" for at, score in enumerate(LONG_SCORES)),
            *(f"ZSCORE $0 m{at}" for at, score in enumerate(LONG_SCORES)),
            *("ZRANGE $0 0 -1", "ZRANGE $1 0 -1", _dump("$1")),
            *(f"ZINCRBY $2 {score} m" for score in ("0.1", "0.2", "1e17", "-1e17", "3.3e-9")),
        ),
        *in_both_protocols(
            "zset-replies-with-many-digits",
            *("ZADD $0 0.1 a 0.2 b 0.7 c 1e17 d", "ZADD $1 XX INCR 1 a", "ZADD $0 INCR 0.2 a"),
            *("ZSCORE $0 a", "ZMSCORE $0 a none", "ZRANGE $0 0 0 WITHSCORES", "ZSCAN $0 0 MATCH c"),
            *("ZREVRANGE $0 0 0 WITHSCORES", "ZRANGEBYSCORE $0 0.7 1 WITHSCORES"),
            "ZRANK $0 c WITHSCORE",
            *("ZREVRANGEBYSCORE $0 0.7 0.7 WITHSCORES", "ZUNION 2 $0 $0 WITHSCORES", "ZPOPMIN $0"),
            *("ZMPOP 1 $0 MAX", "ZPOPMAX $0", "ZRANDMEMBER $0 1 WITHSCORES", "ZPOPMAX $0 1"),
        ),
        case(
            "zadd-scores-refused",
            *(f"ZADD $0 {score} a" for score in BAD_SCORES),
            *(f"ZADD $0 1 a {score} b" for score in BAD_SCORES),
            *(f"ZADD $0 INCR {score} a" for score in BAD_SCORES),
            *(f"ZINCRBY $0 {score} a" for score in BAD_SCORES),
            "EXISTS $0",
            ("ZADD", Key(0), b"1\x00", b"a"),
            ("ZADD", Key(0), b"\xff", b"a"),
            ("ZADD", Key(0), b"1" * 400, b"a"),
            ("ZADD", Key(0), b"0." + b"1" * 400, b"a"),
            ("ZADD", Key(0), b"0" * 400, b"b"),
            "ZCARD $0",
        ),
        case(
            "zadd-infinities-meet",
            *("ZADD $0 inf a", "ZADD $0 INCR -inf a", "ZINCRBY $0 -inf a", "ZSCORE $0 a"),
            *("ZADD $0 -inf b", "ZINCRBY $0 inf b", "ZADD $0 INCR +inf b", "ZINCRBY $0 -inf b"),
            *("ZINCRBY $0 5 a", "ZADD $0 GT INCR -inf a", "ZADD $0 LT INCR inf b", "ZCARD $0"),
            *("ZADD $1 1e308 a", "ZINCRBY $1 1e308 a", "ZSCORE $1 a", "ZINCRBY $1 -inf a"),
            *("ZADD $2 INCR -inf new", "ZADD $2 XX INCR inf other", _dump("$2")),
        ),
    ]


def _refusal_cases() -> list[Case]:
    reads = [
        *("ZCARD {}", "ZSCORE {} a", "ZMSCORE {} a b", "ZRANK {} a", "ZREVRANK {} a"),
        "ZREM {} a b",
        *("ZINCRBY {} 1 a", "ZADD {} 1 a", "ZADD {} XX 1 a", "ZADD {} INCR 1 a", "ZPOPMIN {}"),
        *("ZPOPMAX {}", "ZPOPMIN {} 2", "ZPOPMAX {} 0", "ZPOPMIN {} -1", "ZPOPMIN {} x"),
        *("ZRANDMEMBER {}", "ZRANDMEMBER {} 2", "ZRANDMEMBER {} -2", "ZRANDMEMBER {} 0 WITHSCORES"),
        *("ZSCAN {} 0", "ZMPOP 1 {} MIN", "ZMPOP 1 {} MAX COUNT 2", "ZRANDMEMBER {} x"),
        *("ZCOUNT {} 0 1", "ZLEXCOUNT {} - +", "ZRANGE {} 0 -1", "ZREVRANGE {} 0 -1"),
        *("ZRANGEBYSCORE {} 0 1", "ZREVRANGEBYSCORE {} 1 0", "ZRANGEBYLEX {} - +"),
        *("ZREVRANGEBYLEX {} + -", "ZREMRANGEBYRANK {} 0 -1", "ZREMRANGEBYSCORE {} 0 1"),
        *("ZREMRANGEBYLEX {} - +", "ZRANGE {} 0 1 BYSCORE", "ZRANGE {} - + BYLEX"),
        *("ZRANGESTORE $4 {} 0 -1", "ZUNIONSTORE $4 2 $3 {}", "ZINTERSTORE $4 1 {}"),
        "ZDIFF 2 $3 {}",
        *("ZDIFFSTORE $4 1 {}", "ZUNION 1 {}", "ZINTER 2 $3 {}", "ZINTERCARD 1 {}"),
        "ZUNION 2 $2 {}",
    ]
    names = [
        *("ZADD", "ZCARD", "ZCOUNT", "ZDIFF", "ZDIFFSTORE", "ZINCRBY", "ZINTER", "ZINTERCARD"),
        *("ZINTERSTORE", "ZLEXCOUNT", "ZMPOP", "ZMSCORE", "ZPOPMAX", "ZPOPMIN", "ZRANDMEMBER"),
        "ZRANGE",
        *("ZRANGEBYLEX", "ZRANGEBYSCORE", "ZRANGESTORE", "ZRANK", "ZREM", "ZREMRANGEBYLEX"),
        *("ZREMRANGEBYRANK", "ZREMRANGEBYSCORE", "ZREVRANGE", "ZREVRANGEBYLEX", "ZREVRANGEBYSCORE"),
        *("ZREVRANK", "ZSCAN", "ZSCORE", "ZUNION", "ZUNIONSTORE"),
    ]
    writers = ["GET $0", "INCR $0", "APPEND $0 x", "HGET $0 a", "LLEN $0", "SCARD $0"]
    return [
        *in_both_protocols("zset-missing-keys", *(r.format("$0") for r in reads)),
        *in_both_protocols(
            "zset-wrong-types",
            "SET $0 string",
            "ZADD $3 1 a",
            *(r.format("$0") for r in reads),
            *("GET $0", _dump("$3"), "EXISTS $4"),
        ),
        case("zset-is-no-other-type", "ZADD $0 1 a", *writers, "TYPE $0", _dump()),
        case(
            "zset-arity",
            *names,
            *(f"{name} $0" for name in names if name not in ("ZCARD", "ZPOPMIN", "ZPOPMAX")),
            *(f"{name} $0 a" for name in names),
            *("ZCARD $0 a b", "ZSCORE $0 a b", "ZINCRBY $0 1 a b", "ZRANK $0 a b c"),
            "ZCOUNT $0 0 1 2",
            *("ZLEXCOUNT $0 - + x", "ZREVRANGE $0 0 1 2 3", "ZREMRANGEBYRANK $0 0 1 2"),
            *("ZREMRANGEBYLEX $0 - + x", "ZREMRANGEBYSCORE $0 0 1 2", "ZPOPMIN $0 1 2"),
            *("ZPOPMAX $0 1 2", "ZRANDMEMBER $0 1 WITHSCORES x", "ZREVRANK $0 a b c"),
        ),
    ]


def _pop_cases() -> list[Case]:
    counts = [
        "0",
        "1",
        "2",
        "100",
        "-1",
        "x",
        "1.5",
        "''",
        "9223372036854775807",
        "9223372036854775808",
    ]
    fill = "ZADD $0 1 a 2 b 2 c 3 d 4.5 e inf f -inf g"
    return [
        *in_both_protocols(
            "zpop",
            *(
                step
                for pop in ("ZPOPMIN $0", "ZPOPMAX $0")
                for step in (fill, *[pop] * 8, "EXISTS $0")
            ),
        ),
        *in_both_protocols(
            "zpop-counts",
            *(
                step
                for verb, count in product(("ZPOPMIN", "ZPOPMAX"), counts)
                for step in (fill, f"{verb} $0 {count}", "ZCARD $0", "EXISTS $0")
            ),
        ),
        *in_both_protocols(
            "zmpop",
            *("ZADD $0 1 a 2 b 3 c", "ZADD $1 10 x", "ZADD $2 5 p 6 q", "SET $5 string"),
            *("ZMPOP 1 $0 MIN", "ZMPOP 1 $0 max COUNT 1", "ZMPOP 3 $4 $1 $0 MAX"),
            "ZMPOP 2 $1 $0 MIN",
            *("EXISTS $0 $1", "ZMPOP 3 $0 $1 $2 MIN count 10", "EXISTS $2", "ZMPOP 3 $0 $1 $2 MIN"),
            *("ZMPOP 2 $0 $5 MIN", "ZADD $0 1 a", "ZMPOP 2 $0 $5 MIN", "ZMPOP 2 $5 $0 MIN"),
            *("ZMPOP 0 $0 MIN", "ZMPOP -1 $0 MIN", "ZMPOP x $0 MIN", "ZMPOP 2 $0 MIN"),
            "ZMPOP 3 $0 $1 MIN",
            *("ZMPOP 1 $0 MID", "ZMPOP 1 $0", "ZMPOP 1 $0 MIN COUNT", "ZMPOP 1 $0 MIN COUNT 0"),
            *("ZMPOP 1 $0 MIN COUNT -1", "ZMPOP 1 $0 MIN COUNT x", "ZMPOP 1 $0 MIN MAX"),
            *("ZMPOP 1 $0 MIN COUNT 1 COUNT 2", "ZMPOP 1 $0 MIN COUNT 1 x", "ZMPOP 1 $0 $1 MIN"),
            *("ZMPOP 9223372036854775807 $0 MIN", "ZMPOP 9223372036854775808 $0 MIN"),
            *("ZMPOP 1.0 $0 MIN", "ZMPOP 1 $0 MIN FOO 1"),
        ),
        case(
            "zpop-of-many",
            _add(0, _members(2000)),
            *("ZPOPMIN $0 700", "ZPOPMAX $0 700", "ZCARD $0", "ZPOPMIN $0", "ZPOPMAX $0"),
            *("ZMPOP 1 $0 MAX COUNT 500", "ZPOPMIN $0 2000", "EXISTS $0"),
        ),
    ]


def _random_cases() -> list[Case]:
    few, many = {b"abcde"[i : i + 1] for i in range(5)}, set(_members(300))
    steps: list = ["ZADD $0 1 a 2 b 3 c 4 d 5 e", _add(1, _members(300))]
    for key, members in (("$0", few), ("$1", many)):
        steps.append(Do(f"ZRANDMEMBER {key}", mask=sample_of(members)))
        for count in ("1", "3", "-3", "-20", "0", "299", "100"):
            steps.append(Do(f"ZRANDMEMBER {key} {count}", mask=sample_of(members)))
            pairs = sample_of(members, pairs=True)
            steps.append(Do(f"ZRANDMEMBER {key} {count} WITHSCORES", mask=pairs))
        steps.append(Do(f"ZRANDMEMBER {key} 300", mask=unordered))
    return [
        *in_both_protocols(
            "zrandmember",
            *steps,
            Do("ZRANDMEMBER $0 7", mask=unordered),
            *("ZADD $3 2 only", "ZRANDMEMBER $3", "ZRANDMEMBER $3 -3"),
            "ZRANDMEMBER $3 5 withscores",
            *("ZRANDMEMBER $3 -3 WITHSCORES", "ZRANDMEMBER $3 x", "ZRANDMEMBER $3 1 FOO"),
            *("ZRANDMEMBER $3 1 WITHSCORES FOO", "ZRANDMEMBER $3 x FOO", "ZRANDMEMBER $3 1.0"),
            *("ZRANDMEMBER $3 9223372036854775807", "ZRANDMEMBER $3 -9223372036854775808"),
            "ZRANDMEMBER $3 9223372036854775808",
            "ZRANDMEMBER $3 9223372036854775807 WITHSCORES",
            *("ZRANDMEMBER $3 -4611686018427387904 WITHSCORES", "ZRANDMEMBER $4 1 FOO"),
            "ZRANDMEMBER $3 -9223372036854775807 WITHSCORES",
        ),
    ]


def _scan_items(reply: Reply) -> Reply:
    """The cursor as it is, members and scores as a multiset."""
    if reply.kind != "array" or len(reply.value) != 2:
        return reply
    return Reply("array", (reply.value[0], unordered_pairs(reply.value[1])))


SCANS = [
    *("ZSCAN $0 0", "ZSCAN $0 0 COUNT 100", "ZSCAN $0 0 MATCH a*", "ZSCAN $0 0 MATCH z* COUNT 1"),
    *("ZSCAN $0 0 match [ab]? count 5", "ZSCAN $0 0 MATCH", "ZSCAN $0 0 COUNT"),
    "ZSCAN $0 0 COUNT 0",
    *("ZSCAN $0 0 COUNT -1", "ZSCAN $0 0 COUNT x", "ZSCAN $0 0 FOO 1", "ZSCAN $0 x", "ZSCAN $0 -1"),
    *("ZSCAN $0 18446744073709551616", "ZSCAN $0 0 TYPE zset"),
    "ZSCAN $0 0 COUNT 1 COUNT 2 MATCH ab",
    *("ZSCAN $9 x", "ZSCAN $9 0 FOO 1", "ZSCAN $9 0 COUNT 0", "ZSCAN $9 5", "ZSCAN $0 0 COUNT 1.5"),
    *("ZSCAN $0 0 MATCH ''", "ZSCAN $0 0 MATCH *", "ZSCAN $0 0 x", "ZSCAN $0 ''", "ZSCAN $0 ' 0'"),
]


def _encoding_cases() -> list[Case]:
    edges = [
        *("OBJECT ENCODING $0", "ZADD $0 1 a", "OBJECT ENCODING $0", "TYPE $0", "ZREM $0 a"),
        _add(0, _members(127)),
        "OBJECT ENCODING $0",
        *("ZADD $0 5 m5 1 last", "ZCARD $0", "OBJECT ENCODING $0", "ZADD $0 5 m5"),
        *("OBJECT ENCODING $0", "ZINCRBY $0 1 more", "OBJECT ENCODING $0", "ZREM $0 more last"),
        *("ZCARD $0", "OBJECT ENCODING $0", _dump()),
        ("ZADD", Key(1), 1, b"x" * 64),
        "OBJECT ENCODING $1",
        ("ZADD", Key(1), "XX", 1, b"x" * 65),
        *("OBJECT ENCODING $1", "ZCARD $1"),
        ("ZADD", Key(1), 2, b"x" * 65),
        *("OBJECT ENCODING $1", _dump("$1"), "ZPOPMAX $1", "OBJECT ENCODING $1"),
        ("ZADD", Key(2), 2, b"x" * 65),
        *("OBJECT ENCODING $2", "DEL $2"),
        _add(2, _members(128)),
        "OBJECT ENCODING $2",
        _add(3, _members(129)),
        *("OBJECT ENCODING $3", "ZREMRANGEBYRANK $3 0 -2", "OBJECT ENCODING $3"),
        ("ZINCRBY", Key(4), "1", b"y" * 65),
        "OBJECT ENCODING $4",
    ]
    settings = [
        *("CONFIG SET zset-max-listpack-entries 3", "ZADD $0 1 a 2 b 3 c", "OBJECT ENCODING $0"),
        *("ZADD $0 4 d", "OBJECT ENCODING $0", "CONFIG SET zset-max-listpack-entries 0"),
        *("ZADD $1 1 a", "OBJECT ENCODING $1", "CONFIG SET zset-max-ziplist-entries 128"),
        *("CONFIG SET zset-max-listpack-value 3", "ZADD $2 1 abc", "OBJECT ENCODING $2"),
        *("ZADD $2 1 abcd", "OBJECT ENCODING $2", "CONFIG SET zset-max-listpack-value 64"),
        *("ZADD $0 5 e", "OBJECT ENCODING $0", "OBJECT ENCODING $0"),
    ]
    return [case("zset-encodings", *edges), case("zset-encoding-settings", *settings)]


def _large_cases() -> list[Case]:
    cases = []
    for count, size in ((200, 0), (2000, 0), (200, 100), (20, 1500), (4, 70_000)):
        members = _members(count, size)
        some = members[:: max(1, count // 7)]
        cases.append(
            case(
                f"zset-of-{count}-members-of-{size}",
                _add(0, members),
                *("ZCARD $0", "OBJECT ENCODING $0", "ZRANGE $0 0 -1"),
                *(("ZSCORE", Key(0), m) for m in some),
                *(("ZRANK", Key(0), m) for m in some),
                *(("ZREVRANK", Key(0), m) for m in some),
                ("ZMSCORE", Key(0), *some, b"none"),
                *(("ZINCRBY", Key(0), 1000 + at, m) for at, m in enumerate(some)),
                *(("ZADD", Key(0), "CH", -at, m, at, m + b"+") for at, m in enumerate(some)),
                *("ZRANGE $0 -20 -1 WITHSCORES", "ZRANGE $0 0 20 WITHSCORES", "ZCARD $0"),
                *("COPY $0 $1", "RENAME $0 $2", "ZCARD $1", "ZRANGE $2 3 5 WITHSCORES"),
                ("ZREM", Key(2), *members[::2]),
                *("ZCARD $2", "ZRANGE $2 0 9", "ZRANGEBYSCORE $2 10 (50 LIMIT 3 5"),
                ("ZREM", Key(2), *members, *(m + b"+" for m in some)),
                *("EXISTS $2", "ZCARD $1", "UNLINK $1"),
            )
        )
    return cases


CASES = [
    *_add_option_cases(),
    *_score_cases(),
    *_refusal_cases(),
    *_pop_cases(),
    *_random_cases(),
    *_encoding_cases(),
    *_large_cases(),
    *in_both_protocols(
        "zscan",
        "ZADD $0 1 a 2 ab 3 abc 0.5 b -inf bb 1e22 z",
        *(Do(scan, mask=_scan_items) for scan in SCANS),
    ),
    case(
        "zadd-syntax",
        *("ZADD $0 FOO 1 a", "ZADD $0 NX", "ZADD $0 NX 1", "ZADD $0 1 a 2", "ZADD $0 NX XX 1 a 2"),
        *("ZADD $0 nx ch 1 a", "ZADD $0 Xx Ch iNcR 1 a", "ZADD $0 NX NX 1 b", "ZADD $0 CH CH 1 b"),
        *("ZADD $0 1 NX", "ZADD $0 1 a NX 2", "ZADD $0 1 a NX 2 b", "ZADD $0 INCR 1 a 2 b"),
        *("ZADD $0 GT LT 1 a", "ZADD $0 NX GT 1 a", "ZADD $0 LT NX 1 a", "ZADD $0 NX XX GT LT x a"),
        *("ZADD $0 INCR NX XX 1 a 2 b", "ZADD $0 INCR x a x b", _dump(), "ZADD $1 '' a"),
        "EXISTS $1",
    ),
    case(
        "zadd-repeats",
        *("ZADD $0 1 a 2 a 3 a", _dump(), "ZADD $0 CH 4 a 3 a", "ZADD $0 CH 5 a 6 b 7 b", _dump()),
        *("ZADD $0 NX 9 c 8 c", "ZADD $0 XX CH 1 a 1 a 1 z", "ZADD $0 GT CH 9 a 8 a 10 a", _dump()),
    ),
    case(
        "zadd-failing-halfway",
        *("ZADD $0 1 a", "ZADD $0 2 a 3 b x c", _dump(), "ZADD $0 2 b nan c 4 d", _dump()),
        *("ZADD $0 inf i", "ZADD $0 5 j 6 k y l", _dump(), "ZINCRBY $0 nan a", "ZINCRBY $0 -inf i"),
    ),
    *in_both_protocols(
        "zscore-zmscore",
        *("ZADD $0 1 a 2.5 b inf c -inf d", "ZSCORE $0 a", "ZSCORE $0 b", "ZSCORE $0 c"),
        *("ZSCORE $0 d", "ZSCORE $0 none", "ZMSCORE $0 a none b c d a", "ZMSCORE $0 none"),
        *("ZSCORE $0 ''", "ZADD $0 7 ''", "ZSCORE $0 ''", "ZMSCORE $0 '' a"),
        *("ZINCRBY $0 2 a", "ZINCRBY $0 -0.5 fresh", "ZADD $0 INCR 3 b", "ZADD $0 NX INCR 3 b"),
        *("ZADD $0 XX INCR 1 none", "ZADD $0 GT INCR -1 b", "ZADD $0 LT INCR 1 b"),
        "ZADD $0 CH INCR 1 b",
    ),
    *in_both_protocols(
        "zrank",
        "ZADD $0 1 a 2 b 2 c 3 d",
        *(
            f"{verb} $0 {m}"
            for verb in ("ZRANK", "ZREVRANK")
            for m in ("a", "b", "c", "d", "e", "''")
        ),
        *(f"{verb} $0 {m} WITHSCORE" for verb in ("ZRANK", "ZREVRANK") for m in ("a", "c", "none")),
        *("ZRANK $1 a WITHSCORE", "ZREVRANK $0 b withscore", "ZRANK $0 a WITHSCORES"),
        *("ZRANK $0 a FOO", "ZREVRANK $1 a FOO", "SET $2 s", "ZRANK $2 a WITHSCORE"),
        "ZRANK $2 a FOO",
        *("ZADD $3 1.5 x", "ZRANK $3 x WITHSCORE"),
    ),
    case(
        "zrank-of-equal-scores",
        ("ZADD", Key(0), *(part for m in range(300) for part in (0, f"{m * 7919 % 300:03}"))),
        *(f"ZRANK $0 {m:03}" for m in (0, 1, 127, 128, 129, 299)),
        *(f"ZREVRANK $0 {m:03}" for m in (0, 1, 127, 128, 129, 299)),
        *("ZRANK $0 300", "ZREM $0 000 150 299", "ZRANK $0 151", "ZREVRANK $0 149", "ZRANK $0 298"),
    ),
    case(
        "zrem",
        *("ZADD $0 1 a 2 b 3 c", "ZREM $0 a none a b", _dump(), "ZREM $0 none", "ZREM $0 c c"),
        *("EXISTS $0", "ZREM $0 c", "ZADD $0 1 a", "EXPIRE $0 100", "ZREM $0 a", "ZADD $0 1 a"),
        "TTL $0",
    ),
    case(
        "zset-binary-members",
        ("ZADD", Key(0), 1, b"", 1, b"\x00", 1, b"\x00\x00", 1, b"\xff", 1, b"a\r\nb", 1, b"a"),
        (
            "ZADD",
            Key(0),
            1,
            bytes(range(256)),
            1,
            b"12",
            1,
            b"012",
            1,
            b"-5",
            1,
            b"9223372036854775807",
        ),
        *("ZRANGE $0 0 -1", "ZREVRANGE $0 0 -1", "ZCARD $0", "ZSCORE $0 12", "ZRANK $0 -5"),
        ("ZRANK", Key(0), b"\x00\x00"),
        (
            "ZREM",
            Key(0),
            b"\x00",
            bytes(range(256)),
            b"9223372036854775807",
            b"9223372036854775808",
        ),
        *("ZRANGE $0 0 -1", "OBJECT ENCODING $0"),
    ),
    case(
        "zset-keys-in-between",
        *("ZADD $0 1 a EX", "EXPIRE $0 1000", "ZADD $0 2 b", "ZADD $0 1 a", "EXPIRE $0 1000"),
        *("ZINCRBY $0 3 a", Do("TTL $0", mask=mask_remaining(1000)), "COPY $0 $1", "ZADD $0 9 z"),
        *(_dump("$0"), _dump("$1"), "RENAME $1 $2", _dump("$2"), "EXISTS $1", "SET $2 s", "GET $2"),
        *("PEXPIRE $0 15", Sleep(0.02), "ZCARD $0", "ZADD $0 XX 1 a", "ZADD $0 1 new", _dump()),
    ),
    case(
        "zset-pipeline-over-shards",
        Pipe([f"ZADD ${at % 10} {at} m{at % 37}" for at in range(300)]),
        Pipe([f"ZCARD ${at}" for at in range(10)]),
        Pipe([_dump(f"${at}") for at in range(10)]),
        Pipe([f"ZPOPMIN ${at % 10}" for at in range(60)]),
        Pipe([f"ZINCRBY ${at % 10} 0.5 m{at % 5}" for at in range(60)]),
        *(_dump(f"${at}") for at in range(3)),
    ),
]


@pytest.mark.parametrize("a_case", CASES, ids=lambda c: c.name)
def test_sorted_sets(a_case: Case, subject: Server, oracle: Oracle) -> None:
    oracle.check(a_case, subject)
