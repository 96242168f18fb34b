"""Streams without their groups: XADD and XTRIM with every way to trim, ids at their limits, ranges,
XREAD without waiting, XDEL, XSETID and XINFO STREAM."""

from __future__ import annotations

import pytest
from harness.cases import (
    Case,
    Do,
    Key,
    Mask,
    Pipe,
    Sleep,
    case,
    in_both_protocols,
    mask_id,
    mask_remaining,
    mask_stream,
)
from harness.compare import Oracle
from harness.process import Server
from harness.resp import Reply

MAX = 18446744073709551615
BAD_IDS = [
    *("x", "1-x", "x-1", "1-1-1", "''", "-1", "1-", "-", "+", "--", "1.5", "' 1-1'", "'1-1 '"),
    *("1-+1", "$"),
    *(">", "18446744073709551616", "18446744073709551616-0", "1-18446744073709551616", "(1-1"),
    *("0x1", "**"),
    *("*-1", "*-*", "1-**", "123456789012345678901234567890-1", "1_0", "1--1", "+1-1"),
]
ALL = "XRANGE $0 - +"


def _info(key: str = "$0", words: str = "") -> Do:
    return Do(f"XINFO STREAM {key} {words}".strip(), mask=mask_stream)


def _fill(count: int, key: str = "$0", fields: str = "f v") -> Pipe:
    return Pipe([f"XADD {key} {at}-1 {fields}{at}" for at in range(1, count + 1)])


def _ids(reply: Reply) -> Reply:
    """The ids of entries, or the error."""
    if reply.kind != "array":
        return reply
    return Reply("array", tuple(entry.value[0] for entry in reply.value))


def ids(command: str, mask: Mask = _ids) -> Do:
    return Do(command, mask=mask)


def _id_cases() -> list[Case]:
    good = [
        *("0-1", "0-2", "1", "1-5", "1-6", "01-07", "2-*", "2-*", "2-0", "2-1", "2-2", "1-9", "0"),
        *("0-0", "3-00"),
        *("3-*", "0-*", "2-*", "5-18446744073709551614", "5-*", "5-*", "5-18446744073709551615"),
        "6-*",
        *(f"{MAX}-*", f"{MAX}-5", f"{MAX}-*", f"{MAX}-{MAX}", f"{MAX}-{MAX}", f"{MAX}-*", "*"),
        *("1-1", f"{MAX}"),
    ]
    return [
        case(
            "xadd-ids",
            *(f"XADD $0 {id_} f v{at}" for at, id_ in enumerate(good)),
            *(ALL, "XLEN $0", _info(), "XADD $1 0-0 f v", "EXISTS $1", "XADD $1 0-* f v"),
            "XADD $1 0 f v",
            *("XADD $2 0 f v", "EXISTS $2", "XADD $2 *-* f v", "EXISTS $2", "XADD $3 0-* a b"),
            "XRANGE $3 - +",
        ),
        case(
            "stream-ids-refused",
            "XADD $0 5-5 f v",
            *(f"XADD $0 {id_} f v" for id_ in BAD_IDS),
            *(f"XRANGE $0 {id_} +" for id_ in BAD_IDS),
            *(f"XREVRANGE $0 + {id_}" for id_ in BAD_IDS),
            *(f"XDEL $0 {id_}" for id_ in BAD_IDS),
            *(f"XDEL $0 5-5 {id_}" for id_ in BAD_IDS[:3]),
            *(f"XSETID $0 {id_}" for id_ in BAD_IDS),
            *(f"XTRIM $0 MINID {id_}" for id_ in BAD_IDS),
            *(f"XADD $0 MINID {id_} 9-9 f v" for id_ in BAD_IDS[:4]),
            *(f"XREAD STREAMS $0 {id_}" for id_ in BAD_IDS if id_ != "+"),
            *("XLEN $0", ALL),
        ),
        case(
            "stream-ids-as-strtoull-reads-them",
            *(
                ("XADD", Key(0), id_, "f", "v")
                for id_ in (
                    *(" 1-1", "1-+2", "\t1- 3", "01-04", "+2-0", "2-\n1", "1\x00-9", "2-1\x00x"),
                    *(
                        "3--0",
                        "3--1",
                        "3- -1",
                        "4- +5",
                        "4-05",
                        "\x0b5-1",
                        "5- 2 ",
                        "6-0x1",
                        "0" * 126 + "7",
                    ),
                    *("0" * 128 + "8", "8--01", "9-1"),
                )
            ),
            *(ALL, _info(), ("XRANGE", Key(0), "(01", " 4-5"), ("XDEL", Key(0), " 4-5", "8--01")),
            ALL,
        ),
        case(
            "xadd-ids-of-the-clock",
            *(Do("XADD $0 * f v", mask=mask_id), Do("XADD $0 * f v", mask=mask_id), "XLEN $0"),
            *("XADD $0 1-1 f v", "XADD $0 99999999999999-3 f v", "XADD $0 * f v", "XADD $0 * f v"),
            *("XADD $0 99999999999999-* f v", Do("XADD $1 MAXLEN 1 * f v", mask=mask_id)),
            *(Do("XADD $1 MAXLEN 1 * f v", mask=mask_id), "XLEN $1", "XADD $2 NOMKSTREAM * f v"),
            *(Do("XADD $2 * f v g w", mask=mask_id), Do("XADD $2 NOMKSTREAM * f v", mask=mask_id)),
            *("XLEN $2", "XADD $3 99999999999999-18446744073709551615 f v", "XADD $3 * f v"),
        ),
    ]


def _time_cases() -> list[Case]:
    """Ids before, at and behind the time of the first entry, which moves when all have gone."""
    ranges = (
        "- 999",
        "0 999-9",
        "- 1000-0",
        "1000 1000",
        "999-5 1000-1",
        "- +",
        "1001 +",
        "2000 +",
    )
    return [
        case(
            "stream-times",
            *("XADD $0 1000-0 f a", "XADD $0 1000-1 f b", "XADD $0 5000000000000-7 f c"),
            *(f"XRANGE $0 {part}" for part in ranges),
            *(f"XREVRANGE $0 {' '.join(reversed(part.split()))}" for part in ranges),
            *(
                f"XREAD STREAMS $0 {id_}"
                for id_ in ("0", "999-99", "1000", "1000-1", "5000000000000")
            ),
            *("XDEL $0 999-0 0-1 1000-0", ALL, "XTRIM $0 MINID 5", "XTRIM $0 MINID 2000", ALL),
            *("XDEL $0 5000000000000-7", ALL, "XADD $0 5000000000000-8 f d", ALL),
            *("XREVRANGE $0 5000000000000-7 -", "XRANGE $0 - 1000", _info(), "COPY $0 $1"),
            *("XADD $1 6000000000000-0 f e", "XRANGE $1 - +"),
        ),
    ]


def _xadd_cases() -> list[Case]:
    return [
        case(
            "xadd-syntax",
            *("XADD $0 1-1", "XADD $0 1-1 f", "XADD $0 1-1 f v g", "XADD $0 * f"),
            "XADD $0 NOMKSTREAM 1-1 f",
            *("XADD $0 MAXLEN 1-1 f v", "XADD $0 MAXLEN 5 f v", "XADD $0 MAXLEN x 1-1 f v"),
            "XADD $0 FOO 1-1 f v",
            *("XADD $0 MAXLEN -1 1-1 f v", "XADD $0 MAXLEN = -1 1-1 f v"),
            "XADD $0 MAXLEN ~ x 1-1 f v",
            *("XADD $0 MAXLEN ~ 1 LIMIT 1-1 f v", "XADD $0 MAXLEN ~ 1 LIMIT x 1-1 f v"),
            "XADD $0 LIMIT 1 1-1 f v",
            *("XADD $0 MAXLEN ~ 1 LIMIT -1 1-1 f v", "XADD $0 MAXLEN = 1 LIMIT 1 1-1 f v"),
            *("XADD $0 MAXLEN 1 LIMIT 1 1-1 f v", "XADD $0 MAXLEN 1 MINID 1 1-1 f v"),
            "XADD $0 MAXLEN ~ = 1 1-1 f v",
            *("XADD $0 MAXLEN 1 MAXLEN 2 1-1 f v", "XADD $0 MINID 1 MAXLEN 1 1-1 f v"),
            "XADD $0 MAXLEN = ~ 1 1-1 f v",
            *("XADD $0 MINID ~ x 1-1 f v", "XADD $0 MINID 1-1-1 1-1 f v"),
            *("XADD $0 MINID - 1-1 f v", "XADD $0 MAXLEN"),
            *("XADD $0 MAXLEN ~", "XADD $0 MAXLEN ~ 1", "XADD $0 MAXLEN ~ 1 LIMIT"),
            "XADD $0 MAXLEN 1 1-1",
            *("XADD $0 NOMKSTREAM NOMKSTREAM 1-1 f v", "XADD", "XADD $0"),
            *("XADD $0 1-1 f v NOMKSTREAM", "EXISTS $0"),
            *("XADD $0 nomkstream maxlen ~ 10 limit 5 1-1 f v", "EXISTS $0"),
            *("XADD $0 maxlen = 10 1-1 f v", ALL),
            "XADD $0 MAXLEN 9223372036854775808 2-1 f v",
            "XADD $0 MAXLEN 9223372036854775807 2-1 f v",
            "XADD $0 MAXLEN ~ 1 LIMIT 9223372036854775808 3-1 f v",
            *("XADD $0 MINID 0 MINID 0 4-1 f v", "XLEN $0"),
            *("XADD $1 MAXLEN 0 1-1 f v", "XLEN $1", "EXISTS $1", _info("$1"), "XADD $1 1-1 f v"),
            "XADD $1 1-2 f v",
            *("SET $2 string", "XADD $2 1-1 f v", "XADD $2 x f v", "XADD $2 NOMKSTREAM 1-1 f v"),
            "XADD $2 1-1 f",
            *("XADD $2 MAXLEN x 1-1 f v", "XADD $2 0-0 f v", "XADD $3 NOMKSTREAM 0-0 f v"),
            "GET $2",
            *("XADD $3 NOMKSTREAM x f v", "XADD $3 NOMKSTREAM 1-1 f v", "EXISTS $3"),
        ),
        case(
            "xadd-fields",
            ("XADD", Key(0), "1-1", b"", b""),
            ("XADD", Key(0), "1-2", b"\x00\xff\r\n", bytes(range(256))),
            ("XADD", Key(0), "1-3", "f", "1", "f", "2", "f", "f"),
            ("XADD", Key(0), "1-4", b"", b"", b"", b"x"),
            ("XADD", Key(0), "1-5", "number", "123456789", "negative", "-5", "zeros", "007"),
            ("XADD", Key(0), "1-6", *(f"x{at}" for at in range(400))),
            ("XADD", Key(0), "1-7", "a" * 63, "b" * 64, "c" * 4095, "d" * 4096),
            ("XADD", Key(0), "1-8", "same", "1"),
            ("XADD", Key(0), "1-9", "same", "2"),
            ("XADD", Key(0), "1-10", "same", "3", "other", "4"),
            (
                "XADD",
                Key(0),
                "1-11",
                "same",
                "9223372036854775807",
                "other",
                "-9223372036854775808",
            ),
            *(ALL, "XREVRANGE $0 + - COUNT 3", "XDEL $0 1-8 1-1", ALL, "XLEN $0", "TYPE $0"),
            "OBJECT ENCODING $0",
        ),
        case(
            "xadd-many-names",
            "CONFIG SET stream-node-max-entries 30",
            Pipe([f"XADD $0 {at}-1 name{at % 90} {at} other{at % 7} v" for at in range(1, 301)]),
            *("XLEN $0", ALL, "XREVRANGE $0 + - COUNT 7", _info(), "XTRIM $0 MAXLEN ~ 100"),
            ("XADD", Key(0), "400-1", *(f"{'long' * 30}{at}" for at in range(400))),
            ("XADD", Key(0), "400-2", *(f"{'long' * 30}{at}" for at in range(400))),
            ("XADD", Key(0), "400-3", "x" * 40_000, "y", "x" * 40_000, "z"),
            *("COPY $0 $1", "XDEL $0 250-1 400-1", ALL, "XRANGE $1 240 251", "XRANGE $1 300 +"),
            "CONFIG SET stream-node-max-entries 100",
        ),
        case(
            "xadd-nomkstream",
            *("XADD $0 NOMKSTREAM 1-1 f v", "EXISTS $0", "XADD $0 1-1 f v"),
            *("XADD $0 NOMKSTREAM 1-2 f v", "XLEN $0"),
            *("XTRIM $0 MAXLEN 0", "EXISTS $0", "XADD $0 NOMKSTREAM 1-3 f v", "XLEN $0"),
            "XADD $0 1-1 f v",
            *("EXPIRE $0 1000", "XADD $0 2-1 f v", Do("TTL $0", mask=mask_remaining(1000))),
            "PEXPIRE $0 15",
            *(Sleep(0.02), "XADD $0 NOMKSTREAM 3-1 f v", "XLEN $0", "XADD $0 0-5 f v", ALL),
        ),
    ]


def _range_cases() -> list[Case]:
    bounds = [
        *("- +", "1 5", "2-1 4-1", "(2-1 4-1", "2-1 (4-1", "(2-1 (4-1", "(1 +", "- (5", "(2 (2"),
        *("2 2", "3-1 3-1"),
        *("(3-1 3-1", "+ -", "5 1", "0-0 0-0", "4-2 +", "100 +", "(3-0 3", f"(3-{MAX} 4"),
        *(f"3 (3-{MAX}", "- -"),
        *("+ +", "- (0-1", "(- +", "- (+", f"({MAX}-{MAX} +", "- (0-0", "(0-0 +", "(x +", "( +"),
        "- (",
        *("3 3-1", "3-0 3-0", "3-1 3-2", f"0-0 {MAX}-{MAX}", "(1 1"),
    ]
    counts = [
        "0",
        "1",
        "2",
        "100",
        "-1",
        "-100",
        "x",
        "''",
        "1.5",
        "9223372036854775807",
        "9223372036854775808",
    ]
    swapped = [" ".join(reversed(b.split())) for b in bounds]
    return [
        *in_both_protocols(
            "xrange",
            *("XADD $0 1-1 a 1", "XADD $0 2-1 a 2", "XADD $0 3-0 a 3", "XADD $0 3-1 a 4"),
            "XADD $0 3-2 b 5",
            *("XADD $0 4-1 c 6 d 7", "XADD $0 5-9 e 8"),
            *(f"XRANGE $0 {b}" for b in bounds),
            *(f"XREVRANGE $0 {b}" for b in swapped),
            *(f"XRANGE $0 - + COUNT {count}" for count in counts),
            *(f"XREVRANGE $0 + - COUNT {count}" for count in counts),
            *("XRANGE $0 (2 + COUNT 2", "XREVRANGE $0 (4 - count 2", "XRANGE $9 - +"),
            "XREVRANGE $9 + -",
            *("XRANGE $0 - + COUNT", "XRANGE $0 - + FOO 1", "XRANGE $0 - + COUNT 1 COUNT 2"),
            "XRANGE $9 x +",
            *("XRANGE $9 - + COUNT x", "XRANGE $0 - + COUNT 1 2", "XRANGE $0 -", "XRANGE $0"),
            "XREVRANGE $0 +",
            *("XRANGE $9 - + COUNT 0", "XREVRANGE $9 + - COUNT -1", "XRANGE $0 x + COUNT y"),
            "XREVRANGE",
            *("SET $1 s", "XRANGE $1 - +", "XREVRANGE $1 + -", "XRANGE $1 x +", "XLEN $1"),
            "XDEL $1 1-1",
            *("XRANGE $1 - + COUNT x", "XRANGE $1 - + COUNT 0", "XDEL $1 x", "XTRIM $1 MAXLEN 1"),
            "XSETID $1 1-1",
            *("XTRIM $1 MAXLEN x", "XREAD STREAMS $1 0", "XREAD STREAMS $0 $1 0 0"),
            *("XINFO STREAM $1", "XSETID $1 x"),
            *("XREAD STREAMS $1 $0 x 0", "XREAD STREAMS $1 $", "XLEN $9", "XLEN", "XLEN $0 x"),
            "XDEL $9 1-1",
        ),
        case(
            "xrange-among-many",
            Pipe([f"XADD $0 {at // 7}-{at} n {at}" for at in range(1, 2001)]),
            *("XLEN $0", ids(ALL), "XRANGE $0 100 101", "XRANGE $0 (100-705 101"),
            "XREVRANGE $0 200 199-1399",
            *("XRANGE $0 - + COUNT 3", "XREVRANGE $0 + - COUNT 3"),
            ids("XRANGE $0 50 120 COUNT 200"),
            *(ids("XREVRANGE $0 120 50 COUNT 200"), "XREAD COUNT 2 STREAMS $0 285-1998"),
            "XREAD STREAMS $0 285-1999",
            Do("XINFO STREAM $0", mask=mask_stream),
            ("XDEL", Key(0), *(f"{at // 7}-{at}" for at in range(1, 2001, 3))),
            *("XLEN $0", ids("XRANGE $0 - + COUNT 300"), ids("XREVRANGE $0 + - COUNT 300")),
            _info(),
            ("XDEL", Key(0), *(f"{at // 7}-{at}" for at in range(1, 1500))),
            *("XLEN $0", ids("XRANGE $0 - + COUNT 5"), _info(), ids("XREVRANGE $0 + - COUNT 5")),
            ("XDEL", Key(0), *(f"{at // 7}-{at}" for at in range(1500, 2001))),
            *("XLEN $0", "EXISTS $0", _info(), "XADD $0 285-* f v", "XADD $0 1-1 f v", ALL),
        ),
    ]


def _read_cases() -> list[Case]:
    counts = ["0", "1", "2", "-1", "100", "9223372036854775807"]
    return [
        *in_both_protocols(
            "xread",
            *("XADD $0 1-1 a 1", "XADD $0 2-1 a 2", "XADD $0 2-2 b 3", "XADD $1 5-5 c 4"),
            "XADD $2 9-9 d 5 e 6",
            *("XREAD STREAMS $0 0", "XREAD STREAMS $0 1", "XREAD STREAMS $0 2-1"),
            "XREAD STREAMS $0 2-2",
            *("XREAD STREAMS $0 2", f"XREAD STREAMS $0 2-{MAX}", "XREAD STREAMS $0 1-1"),
            "XREAD STREAMS $0 $",
            *("XREAD STREAMS $0 $1 $2 0 0 0", "XREAD STREAMS $2 $0 $1 0 2-2 0"),
            "XREAD STREAMS $0 $0 0 2-1",
            *("XREAD STREAMS $9 0", "XREAD STREAMS $9 $0 0 0", "XREAD STREAMS $0 $1 $ $"),
            "XREAD STREAMS $9 $",
            *(f"XREAD COUNT {count} STREAMS $0 $2 0 0" for count in counts),
            *("XREAD COUNT x STREAMS $0 0", "XREAD COUNT STREAMS $0 0"),
            "XREAD COUNT 1.5 STREAMS $0 0",
            *("XREAD COUNT 9223372036854775808 STREAMS $0 0", "XREAD STREAMS", "XREAD STREAMS $0"),
            "XREAD",
            *("XREAD STREAMS $0 $1 0", "XREAD STREAMS $0 0 0"),
            *("XREAD COUNT 1 STREAMS $0 $1 $2 0 0", "XREAD COUNT 1"),
            *("XREAD $0 0", "XREAD FOO STREAMS $0 0", "XREAD STREAMS $0 >"),
            "XREAD NOACK STREAMS $0 0",
            *("XREAD GROUP g c STREAMS $0 0", "XREAD COUNT 1 COUNT 2 STREAMS $0 0"),
            "xread streams $0 1-1 ",
            *("XREAD COUNT 1", "XREAD STREAMS STREAMS 0", "XREAD STREAMS $0 0-0 $1"),
            *(),
            *("XREAD STREAMS $0 +", "XREAD STREAMS $9 +"),
            *("XREAD STREAMS $0 $2 + 0", "XREAD COUNT 1 STREAMS $0 $1 + +", "XDEL $0 2-2"),
            "XREAD STREAMS $0 $1 + 9",
            *("XTRIM $1 MAXLEN 0", "XREAD STREAMS $1 +", "XREAD STREAMS $1 0"),
        ),
        *in_both_protocols(
            "xread-with-block",
            *("XADD $0 1-1 a 1", "XADD $0 2-1 a 2", "XADD $1 5-5 c 4"),
            *("XREAD BLOCK 0 STREAMS $0 0", "XREAD COUNT 1 BLOCK 10 STREAMS $0 $1 0 0"),
            *("XREAD BLOCK 10 COUNT 1 STREAMS $9 $0 $1 0 1 $", "XREAD block 1 streams $0 1"),
            *(
                f"XREAD BLOCK {timeout} STREAMS $0 0"
                for timeout in (
                    *("x", "''", "-1", "1.5", "9223372036854775807", "9223372036854775808"),
                    "9000000000000000000",
                )
            ),
            *(
                "XREAD BLOCK STREAMS $0 0",
                "XREAD STREAMS $0 0 BLOCK",
                "XREAD BLOCK 1",
                "XREAD BLOCK",
            ),
            *("XREAD BLOCK x STREAMS $9 0", "XREAD BLOCK 1 BLOCK x STREAMS $0 0"),
            *("SET $2 s", "XREAD BLOCK 1 STREAMS $0 $2 0 0", "XREAD BLOCK 1 STREAMS $0 x"),
        ),
        case(
            "xread-many-streams",
            Pipe([f"XADD ${at % 10} {at}-1 f v{at}" for at in range(1, 41)]),
            f"XREAD COUNT 2 STREAMS {' '.join(f'${at % 10}' for at in range(40))} "
            f"{' '.join(str(at) for at in range(40))}",
            f"XREAD STREAMS {' '.join(f'${at % 10}' for at in range(40))} {'39 ' * 39}x",
        ),
    ]


def _trim_cases() -> list[Case]:
    lengths = ["=", "~", ""]
    exact = [
        *("MAXLEN 30", "MAXLEN = 25", "MAXLEN 30", "MAXLEN 9223372036854775807", "MINID 20"),
        "MINID = 22-1",
        *("MINID 22-2", "MINID 0-0", "MINID 25-1", f"MINID {MAX}-{MAX}", "MAXLEN 0"),
    ]
    rough = [
        *("MAXLEN ~ 95", "MAXLEN ~ 91", "MAXLEN ~ 90", "MAXLEN ~ 81", "MAXLEN ~ 55 LIMIT 10"),
        "MAXLEN ~ 55 LIMIT 9",
        *("MAXLEN ~ 55 LIMIT 19", "MAXLEN ~ 55 LIMIT 0", "MINID ~ 45", "MINID ~ 49-9"),
        *("MINID ~ 50-1", "MINID ~ 50-2"),
        *("MINID ~ 51-2 LIMIT 10", "MINID ~ 80 LIMIT 10", "MINID ~ 80 LIMIT 0"),
        *("MAXLEN ~ 1 LIMIT 1", "MAXLEN ~ 1"),
        *("MAXLEN ~ 0", "MINID ~ 1000"),
    ]
    refused = [
        *("MAXLEN x", "MAXLEN -1", "MAXLEN", "MINID", "MAXLEN ~", "MAXLEN = ", "MAXLEN 1 MINID 1"),
        *("FOO 1", "1"),
        *("MAXLEN ~ 1 LIMIT", "MAXLEN ~ 1 LIMIT x", "MAXLEN ~ 1 LIMIT -1", "MAXLEN 1 LIMIT 1"),
        "MAXLEN = 1 LIMIT 1",
        *("MAXLEN 1 x", "LIMIT 1", "MAXLEN ~ 1 LIMIT 1 x", "MINID x", "MINID 1 LIMIT 3"),
        *("MAXLEN 1 MAXLEN 2", ""),
        *("LIMIT 1 MAXLEN ~ 1", "NOMKSTREAM MAXLEN 1", "MAXLEN 9223372036854775808", "MINID -"),
        *("MINID +", "MINID $"),
        *("MINID ~ 1 MAXLEN ~ 1", "MAXLEN 1.5", "MAXLEN ''", "MAXLEN '' 1"),
    ]
    return [
        case(
            "xtrim-exact",
            _fill(50),
            *(
                step
                for words in exact
                for step in (f"XTRIM $0 {words}", "XLEN $0", "XRANGE $0 - + COUNT 1")
            ),
            *(_info(), "EXISTS $0", "XADD $0 50-1 f v", "XADD $0 50-2 f v", "XTRIM $9 MAXLEN 0"),
            "XTRIM $9 MINID 5",
        ),
        case(
            "xtrim-approximate",
            "CONFIG SET stream-node-max-entries 10",
            _fill(100),
            *(
                step
                for words in rough
                for step in (f"XTRIM $0 {words}", "XLEN $0", "XRANGE $0 - + COUNT 1")
            ),
            *("XLEN $0", "XADD $0 MAXLEN ~ 5 101-1 f v", "XLEN $0"),
            "CONFIG SET stream-node-max-entries 100",
        ),
        case(
            "xtrim-approximate-after-deletions",
            "CONFIG SET stream-node-max-entries 10",
            _fill(60),
            ("XDEL", Key(0), *(f"{at}-1" for at in range(2, 30, 2))),
            *("XLEN $0", "XTRIM $0 MAXLEN ~ 42", "XLEN $0", "XTRIM $0 MAXLEN ~ 41", "XLEN $0"),
            "XTRIM $0 MAXLEN 38",
            *("XLEN $0", "XTRIM $0 MAXLEN ~ 36", "XLEN $0", "XTRIM $0 MINID ~ 31", "XLEN $0"),
            ids(ALL),
            *("XADD $0 MAXLEN ~ 22 61-1 f v", "XLEN $0", "XADD $0 MINID ~ 45 LIMIT 10 62-1 f v"),
            "XLEN $0",
            *("XADD $0 MINID = 55 63-1 f v", ids(ALL), "XADD $0 MAXLEN = 2 64-1 f v", ALL),
            "CONFIG SET stream-node-max-entries 100",
        ),
        case(
            "xadd-trims",
            *("CONFIG SET stream-node-max-entries 10", "XADD $0 MAXLEN = 3 1-1 f v"),
            "XADD $0 MAXLEN 3 2-1 f v",
            *(
                f"XADD $0 MAXLEN {how} 3 {at}-{n} f v"
                for at in range(3, 9)
                for n, how in enumerate(lengths)
            ),
            *("XLEN $0", *(f"XADD $0 MAXLEN ~ 3 {at}-1 f v" for at in range(10, 40)), "XLEN $0"),
            *(
                f"XADD $0 MINID {how} {at}-1 {at}-9 f v"
                for at in range(41, 44)
                for how in ("=", "")
            ),
            *("XLEN $0", ids(ALL), "XADD $0 MINID 44-2 44-1 f v", "XLEN $0", "EXISTS $0"),
            "XADD $0 MINID 100 45 f v",
            *("XLEN $0", _info(), "XADD $0 MINID ~ 100 LIMIT 1 46 f v"),
            "XADD $0 MAXLEN ~ 0 LIMIT 0 47 f v",
            *("XLEN $0", "CONFIG SET stream-node-max-entries 100"),
        ),
        case(
            "xtrim-default-nodes",
            _fill(350),
            *("XTRIM $0 MAXLEN ~ 300", "XLEN $0", "XTRIM $0 MAXLEN ~ 250", "XLEN $0"),
            "XTRIM $0 MINID ~ 200 LIMIT 50",
            *("XLEN $0", "XTRIM $0 MINID ~ 201", "XLEN $0", "XTRIM $0 MAXLEN 120", "XLEN $0"),
            _info(),
        ),
        case(
            "xtrim-refused",
            *("XADD $0 1-1 f v", *(f"XTRIM $0 {words}" for words in refused), "XLEN $0", "XTRIM"),
            "XTRIM $9 MAXLEN x",
            *("XTRIM $9 FOO", "XTRIM $0 maxlen = 1", "XTRIM $0 minid ~ 1 limit 10"),
        ),
    ]


def _set_id_cases() -> list[Case]:
    return [
        case(
            "xsetid",
            *("XSETID $0 1-1", "XADD $0 5-5 f v", "XADD $0 6-6 f v", "XSETID $0 6-6"),
            *("XSETID $0 6-5", "XSETID $0 1"),
            *("XSETID $0 10", _info(), "XADD $0 9-9 f v", "XADD $0 10-* f v"),
            "XSETID $0 11 ENTRIESADDED 3",
            *(_info(), "XSETID $0 11 ENTRIESADDED 2", "XSETID $0 11 ENTRIESADDED -1"),
            "XSETID $0 11 ENTRIESADDED x",
            *("XSETID $0 12 ENTRIESADDED 100 MAXDELETEDID 11-0", _info()),
            "XSETID $0 12 MAXDELETEDID 13",
            *("XSETID $0 12 MAXDELETEDID 12-0", "XSETID $0 12 MAXDELETEDID 12-1"),
            "XSETID $0 12 MAXDELETEDID x",
            *(_info(), "XSETID $0 20 MAXDELETEDID 15 ENTRIESADDED 5", _info()),
            "XSETID $0 5 MAXDELETEDID 1",
            *("XSETID $0 30 ENTRIESADDED", "XSETID $0 30 MAXDELETEDID", "XSETID $0 30 FOO 1"),
            "XSETID $0 30 entriesadded 50",
            *("XSETID $0 30 ENTRIESADDED 60 ENTRIESADDED 70", _info(), "XSETID", "XSETID $0"),
            "XSETID $9 1-1 FOO 1",
            *("XSETID $9 x", "XSETID $0 0-0", f"XSETID $0 {MAX}-{MAX}", "XADD $0 * f v"),
            *("XSETID $0 -", "XSETID $0 +"),
            *("XSETID $0 30 ENTRIESADDED 9223372036854775808", "XADD $1 1-1 f v", "XDEL $1 1-1"),
            *("XSETID $1 1-0", _info("$1"), "XADD $2 1-1 f v", "XDEL $2 1-1", "XSETID $2 0-5"),
            *("XSETID $2 2-0 MAXDELETEDID 3", "XSETID $2 2 ENTRIESADDED 0", _info("$2")),
            *("XSETID $2 3 MAXDELETEDID 2-5", "XADD $2 3-1 f v", _info("$2"), "XADD $3 5-5 f v"),
            *("XSETID $3 6 ENTRIESADDED 5 MAXDELETEDID 0-0", _info("$3"), "XDEL $3 5-5"),
            _info("$3"),
        ),
        case(
            "xdel",
            *(_fill(5), "XDEL $0 3-1 3-1 9-9", _info(), "XDEL $0 1-1", _info(), "XDEL $0 5-1 4-1"),
            *(_info(), ALL),
            *("XADD $0 5-1 f v", "XADD $0 5-2 f v", "XDEL $0 2-1 5-2", "XLEN $0", "EXISTS $0"),
            *(_info(), "XDEL $0 5-2"),
            *("XADD $0 6 f v", _info(), "XDEL $0", "XDEL", "XDEL $0 x", "XDEL $0 6 x", "XDEL $0 6"),
            *("XDEL $0 6-0", ALL),
            *("XREAD STREAMS $0 0", "XTRIM $0 MAXLEN 0", "XADD $1 1 f v", "XADD $1 1-1 f v"),
            *("XDEL $1 1", "XRANGE $1 - +"),
        ),
    ]


def _info_cases() -> list[Case]:
    return [
        *in_both_protocols(
            "xinfo-stream",
            *(_info(), "XADD $0 1-1 a 1 b 2", _info(), "XADD $0 2-1 c 3", _info(), "XDEL $0 1-1"),
            _info(),
            *("XADD $0 3-1 d 4", _info(words="FULL"), _info(words="FULL COUNT 1")),
            _info(words="full count 0"),
            *(_info(words="FULL COUNT -1"), _info(words="FULL COUNT x"), _info(words="FULL COUNT")),
            _info(words="FOO"),
            *(_info(words="FULL FOO 1"), _info(words="FULL COUNT 1 x"), _info(words="COUNT 1")),
            *("XINFO", "XINFO FOO"),
            *("XINFO STREAM", "XINFO STREAM $9 FULL", "SET $1 s", "XINFO STREAM $1"),
            "XINFO STREAM $1 FULL COUNT x",
            *("XTRIM $0 MAXLEN 0", _info(), _info(words="FULL"), "XINFO FOO $0"),
        ),
        case(
            "xinfo-stream-full-counts",
            _fill(30),
            *(_info(words="FULL"), _info(words="FULL COUNT 20"), _info(words="FULL COUNT 0")),
            _info(words="FULL COUNT 3"),
        ),
    ]


def _large_cases() -> list[Case]:
    cases = []
    for count, size in ((200, 100), (30, 1500), (6, 70_000)):
        value = "v" * size
        cases.append(
            case(
                f"stream-of-{count}-values-of-{size}",
                *(
                    ("XADD", Key(0), f"{at}-1", "n", at, f"f{at % 3}", f"{value}{at}")
                    for at in range(1, count + 1)
                ),
                *("XLEN $0", ALL, "XREVRANGE $0 + - COUNT 2"),
                f"XREAD COUNT 2 STREAMS $0 {count - 2}-1",
                *("COPY $0 $1", "XDEL $0 2-1 4-1", "XLEN $0", ids("XRANGE $0 - + COUNT 5")),
                "XTRIM $0 MAXLEN 3",
                *(ids(ALL), "RENAME $0 $2", ids("XRANGE $2 - +"), "XLEN $1", ids("XRANGE $1 - +")),
                "UNLINK $2",
                *("XADD $1 1-1 f v", f"XADD $1 {count}-2 f v", "XLEN $1", "DEL $1"),
                "EXISTS $0 $1 $2",
            )
        )
    return cases


CASES = [
    *_id_cases(),
    *_time_cases(),
    *_xadd_cases(),
    *_range_cases(),
    *_read_cases(),
    *_trim_cases(),
    *_set_id_cases(),
    *_info_cases(),
    *_large_cases(),
    case("xinfo-help", "XINFO HELP", "XINFO HELP x"),
    case(
        "stream-is-no-other-type",
        *("XADD $0 1-1 f v", "GET $0", "LLEN $0", "ZCARD $0", "HGET $0 f", "SCARD $0", "INCR $0"),
        *("TYPE $0", ALL),
    ),
    case(
        "stream-copies",
        *(_fill(3), "COPY $0 $1", "XADD $0 9 f v", _info("$0"), _info("$1"), "XRANGE $1 - +"),
        *("XADD $1 4-1 f v", "XADD $1 3-1 f v", "XDEL $1 1-1", ALL, "DEL $0", "XRANGE $1 - +"),
        *(
            "RENAME $1 $2",
            "XRANGE $2 - +",
            "XADD $2 4-2 g w",
            _info("$2"),
            "MOVE $2 3",
            "EXISTS $2",
        ),
        *("SELECT 3", "XRANGE $2 - +", "XADD $2 4-3 g w", "XTRIM $2 MAXLEN 2", _info("$2")),
        *("DEL $2", "SELECT 0", "SET $2 s", "GET $2"),
    ),
    case(
        "stream-pipeline-over-shards",
        Pipe([f"XADD ${at % 10} {at}-1 f v{at} n {at}" for at in range(1, 301)]),
        Pipe([f"XLEN ${at}" for at in range(10)]),
        Pipe([f"XRANGE ${at} - + COUNT 3" for at in range(10)]),
        Pipe([f"XTRIM ${at} MAXLEN 5" for at in range(10)]),
        Pipe(
            [
                f"XREAD COUNT 2 STREAMS ${at} ${(at + 1) % 10} ${(at + 2) % 10} 0 0 0"
                for at in range(10)
            ]
        ),
    ),
]


@pytest.mark.parametrize("a_case", CASES, ids=lambda c: c.name)
def test_streams(a_case: Case, subject: Server, oracle: Oracle) -> None:
    oracle.check(a_case, subject)
