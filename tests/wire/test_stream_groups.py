"""Consumer groups of streams: XGROUP, XREADGROUP without waiting, XACK, XPENDING, XCLAIM and
XAUTOCLAIM with every option, and what XINFO tells of them. Times are compared coarsely."""

from __future__ import annotations

import pytest
from harness.cases import (
    Case,
    Do,
    Key,
    Pipe,
    Step,
    case,
    in_both_protocols,
    mask_stream,
    mask_stream_activity,
)
from harness.client import Connection, connections
from harness.compare import Oracle
from harness.process import Server

NEW = "XREADGROUP GROUP g a STREAMS $0 >"
ACTIVITY = ["CONSUMERS $0 g", "STREAM $0 FULL COUNT 1"]
ALL = " ".join(f"${at}" for at in range(10))
NAMES = ["b", "aa", "a", "B", "0", "\x7f", "c" * 300, "n" * 600]
COUNTS = ["0", "-1", "x", "''", "1.5", "9223372036854775807", "9223372036854775808"]


def timed(command: str) -> Do:
    return Do(command, mask=mask_stream)


def _fill(count: int, key: str = "$0") -> Pipe:
    return Pipe([f"XADD {key} {at}-1 f v{at}" for at in range(1, count + 1)])


def _state(key: str = "$0", group: str = "g") -> list[Step | str]:
    """Everything that is known of a group."""
    return [
        f"XPENDING {key} {group}",
        timed(f"XPENDING {key} {group} - + 100"),
        timed(f"XINFO GROUPS {key}"),
        timed(f"XINFO STREAM {key} FULL"),
    ]


def _delivered(count: int) -> list[Step | str]:
    """Entries 1-1 to `count`-1, the odd ones delivered to a, the even ones to b."""
    reads = [f"XREADGROUP GROUP g {'ab'[at % 2]} COUNT 1 STREAMS $0 >" for at in range(count)]
    return [_fill(count), "XGROUP CREATE $0 g 0", Pipe(reads)]


def _group_cases() -> list[Case]:
    return [
        case(
            "xgroup-create",
            *("XGROUP CREATE $0 g 0", "XGROUP CREATE $0 g $ MKSTREAM", "TYPE $0", "XLEN $0"),
            *("XGROUP CREATE $0 g 0", "XGROUP CREATE $0 g x", "XGROUP CREATE $0 h x", _fill(3)),
            *("XGROUP CREATE $0 h $", "XGROUP CREATE $0 i 2-1", "XGROUP CREATE $0 j 2"),
            timed("XINFO GROUPS $0"),
            *("XGROUP CREATE $0 k 0 MKSTREAM", "XGROUP CREATE $0 l 0 mkstream ENTRIESREAD 2"),
            *("XGROUP CREATE $0 m 99 ENTRIESREAD 99", "XGROUP CREATE $0 n 0 ENTRIESREAD -1"),
            *("XGROUP CREATE $0 o 0 ENTRIESREAD -2", "XGROUP CREATE $0 o 0 ENTRIESREAD x"),
            *("XGROUP CREATE $0 o 0 ENTRIESREAD", "XGROUP CREATE $0 o 0 FOO"),
            "XGROUP CREATE $0 o 0 FOO 1",
            *("XGROUP CREATE $0 o - ", "XGROUP CREATE $0 o +", "XGROUP CREATE $0 o >"),
            "XGROUP CREATE $0 o (1",
            *("XGROUP CREATE $0 o 1-1-1", "XGROUP CREATE $0 '' 0", "XGROUP CREATE $0 o"),
            "XGROUP CREATE $0",
            "XGROUP CREATE $0 p 1 ENTRIESREAD 1 ENTRIESREAD 2",
            "XGROUP CREATE $0 q 1 ENTRIESREAD 1 MKSTREAM",
            "XGROUP CREATE $0 r 18446744073709551615-18446744073709551615",
            timed("XINFO GROUPS $0"),
            *("SET $1 s", "XGROUP CREATE $1 g 0", "XGROUP CREATE $1 g 0 MKSTREAM"),
            "XGROUP CREATE $1 g x",
            *("XGROUP CREATE $2 g x MKSTREAM", "EXISTS $2", "XGROUP CREATE $2 g 5-5 MKSTREAM"),
            "XADD $2 1-1 f v",
            *("XREADGROUP GROUP g c STREAMS $2 >", "XADD $2 6-1 f v"),
            "XREADGROUP GROUP g c STREAMS $2 >",
            *(timed("XINFO STREAM $2 FULL"), "XGROUP CREATE $3 g 0 ENTRIESREAD x", "GET $1"),
            "EXISTS $3",
            *("XGROUP FOO $0 g", "XGROUP", "XGROUP CREATE", "XGROUP FOO"),
        ),
        case("xgroup-help", "XGROUP HELP", "XGROUP HELP x"),
        case(
            "xgroup-setid",
            *(*_delivered(4), "XGROUP SETID $0 g 0", timed("XINFO GROUPS $0"), NEW),
            "XGROUP SETID $0 g $",
            *(NEW, timed("XINFO GROUPS $0"), "XGROUP SETID $0 g 2-1"),
            "XREADGROUP GROUP g b STREAMS $0 >",
            *("XGROUP SETID $0 g 1 ENTRIESREAD 1", timed("XINFO GROUPS $0")),
            "XGROUP SETID $0 g 3-1 ENTRIESREAD 100",
            *(timed("XINFO GROUPS $0"), "XGROUP SETID $0 g 0 ENTRIESREAD x"),
            "XGROUP SETID $0 g 0 ENTRIESREAD -1",
            *("XGROUP SETID $0 g 0 ENTRIESREAD -5", "XGROUP SETID $0 g 0 ENTRIESREAD"),
            "XGROUP SETID $0 g x",
            *("XGROUP SETID $0 none 0", "XGROUP SETID $9 g 0", "XGROUP SETID $9 g x"),
            "XGROUP SETID $0 g 0 MKSTREAM",
            *("XGROUP SETID $0 g 0 FOO 1", "XGROUP SETID $0 g", "XGROUP SETID $0 none x"),
            "SET $1 s",
            *("XGROUP SETID $1 g 0", *_state()),
        ),
        case(
            "xgroup-destroy",
            *(*_delivered(3), "XGROUP CREATE $0 h 0", "XGROUP DESTROY $0 g", "XGROUP DESTROY $0 g"),
            NEW,
            *(timed("XINFO GROUPS $0"), "XGROUP DESTROY $9 g", "XGROUP DESTROY $0"),
            "XGROUP DESTROY $0 g x",
            *("SET $1 s", "XGROUP DESTROY $1 g", "XGROUP CREATE $0 g 0", NEW, "XPENDING $0 g"),
            "XLEN $0",
            *("XGROUP DESTROY $0 h", "XTRIM $0 MAXLEN 0", "XGROUP DESTROY $0 g", "EXISTS $0"),
        ),
        case(
            "xgroup-consumers",
            *(_fill(5), "XGROUP CREATE $0 g 0", "XGROUP CREATECONSUMER $0 g a"),
            "XGROUP CREATECONSUMER $0 g a",
            *(timed("XINFO CONSUMERS $0 g"), "XGROUP CREATECONSUMER $0 g ''"),
            "XGROUP CREATECONSUMER $0 g A",
            *("XGROUP CREATECONSUMER $0 none a", "XGROUP CREATECONSUMER $9 g a"),
            "XGROUP CREATECONSUMER $0 g",
            *("XGROUP DELCONSUMER $0 g A", "XGROUP DELCONSUMER $0 g A"),
            "XREADGROUP GROUP g b COUNT 3 STREAMS $0 >",
            *("XREADGROUP GROUP g a COUNT 1 STREAMS $0 >", timed("XINFO CONSUMERS $0 g")),
            "XPENDING $0 g",
            *("XGROUP DELCONSUMER $0 g b", "XPENDING $0 g", timed("XINFO CONSUMERS $0 g")),
            *_state(),
            *("XGROUP DELCONSUMER $0 none a", "XGROUP DELCONSUMER $9 g a"),
            "XGROUP DELCONSUMER $0 g",
            *("SET $1 s", "XGROUP DELCONSUMER $1 g a", "XGROUP CREATECONSUMER $1 g a"),
            "XINFO CONSUMERS $0 none",
            *("XGROUP DELCONSUMER $0 g a", "XPENDING $0 g", "XGROUP CREATECONSUMER $0 g a x"),
        ),
    ]


def _read_cases() -> list[Case]:
    return [
        *in_both_protocols(
            "xreadgroup",
            *(_fill(6), "XGROUP CREATE $0 g 0", "XREADGROUP GROUP g a COUNT 2 STREAMS $0 >"),
            *("XREADGROUP GROUP g b COUNT 1 STREAMS $0 >", "XREADGROUP GROUP g a STREAMS $0 0"),
            *("XREADGROUP GROUP g a STREAMS $0 1-1", "XREADGROUP GROUP g a STREAMS $0 2-1"),
            *("XREADGROUP GROUP g a COUNT 1 STREAMS $0 0", "XREADGROUP GROUP g b STREAMS $0 0-0"),
            *("XREADGROUP GROUP g none STREAMS $0 0", "XREADGROUP GROUP g c STREAMS $0 100"),
            *("XREADGROUP GROUP g a NOACK COUNT 1 STREAMS $0 >", "XPENDING $0 g", NEW, NEW),
            *("XDEL $0 2-1 5-1", "XREADGROUP GROUP g a STREAMS $0 0", "XACK $0 g 1-1", *_state()),
            *(timed("XINFO CONSUMERS $0 g"), "XADD $0 7-1 f v", "XADD $0 8-1 f v"),
            "XADD $1 1-1 f v",
            *("XGROUP CREATE $1 g 0", "XREADGROUP GROUP g a STREAMS $0 $1 > >"),
            "XREADGROUP GROUP g a STREAMS $0 $1 > 0",
            "XREADGROUP GROUP g a STREAMS $1 $0 0 >",
            "XREADGROUP GROUP g a COUNT 1 STREAMS $0 $1 0 0",
            *(f"XREADGROUP GROUP g a COUNT {count} STREAMS $0 0" for count in COUNTS),
            *(f"XREADGROUP GROUP g a COUNT {count} STREAMS $0 >" for count in COUNTS),
            timed("XPENDING $1 g - + 5"),
        ),
        case(
            "xreadgroup-refused",
            *(_fill(2), "XGROUP CREATE $0 g 0", "XREADGROUP GROUP none a STREAMS $0 >"),
            "XADD $2 1-1 f v",
            *("XREADGROUP GROUP g a STREAMS $9 >", "XREADGROUP GROUP g a STREAMS $0 $9 > >"),
            "XPENDING $0 g",
            *("XREADGROUP GROUP g a STREAMS $0 $2 > >", "XREADGROUP GROUP g a STREAMS $2 $0 > >"),
            "XPENDING $0 g",
            *("XREADGROUP GROUP g a STREAMS $0", "XREADGROUP GROUP g a STREAMS"),
            "XREADGROUP GROUP g a",
            *("XREADGROUP GROUP g", "XREADGROUP", "XREADGROUP STREAMS $0 >"),
            "XREADGROUP COUNT 1 STREAMS $0 >",
            *("XREADGROUP GROUP g a STREAMS $0 > >", "XREADGROUP GROUP g a STREAMS $0 $2 >"),
            *("XREADGROUP GROUP g a STREAMS $0 $", "XREADGROUP GROUP g a STREAMS $0 x"),
            "XREADGROUP GROUP g a STREAMS $0 +",
            *("XREADGROUP GROUP g a STREAMS $0 -", "XREADGROUP GROUP g a FOO STREAMS $0 >"),
            "XREADGROUP GROUP g STREAMS $0 >",
            "XREADGROUP COUNT 1 GROUP g a NOACK STREAMS $0 0",
            "XREADGROUP GROUP g a GROUP none b STREAMS $0 0",
            "XREADGROUP NOACK GROUP g a STREAMS $0 > x",
            *("XREADGROUP GROUP g a COUNT STREAMS $0 >", "SET $1 s"),
            *("XREADGROUP GROUP g a STREAMS $1 >", "XREADGROUP GROUP g a STREAMS $0 $1 > >"),
            "XPENDING $0 g",
            *("XREADGROUP GROUP g a STREAMS $9 0", "XREADGROUP GROUP none a STREAMS $0 0"),
            "XREAD STREAMS $0 >",
            *("XREADGROUP GROUP none a STREAMS $0 x", "XREADGROUP GROUP '' '' STREAMS $0 >"),
            "XGROUP CREATE $0 '' 0",
            *("XREADGROUP GROUP '' '' STREAMS $0 >", timed("XINFO STREAM $0 FULL")),
        ),
        case(
            "xack",
            *(*_delivered(6), "XACK $0 g 1-1", "XACK $0 g 1-1", "XACK $0 g 2-1 3-1 3-1 99"),
            "XACK $0 g x",
            *("XACK $0 g 4-1 x", "XPENDING $0 g", "XACK $0 none 4-1", "XACK $9 g 4-1"),
            *("XACK $9 g x", "XACK $0 g"),
            *("XACK $0", "XACK", "SET $1 s", "XACK $1 g 1-1", "XACK $1 g x", "XACK $0 g 4"),
            *("XACK $0 g -", *_state()),
            *("XACK $0 g 4-1 5-1 6-1", "XPENDING $0 g", "XPENDING $0 g - + 10"),
            timed("XINFO CONSUMERS $0 g"),
        ),
    ]


def _pending_cases() -> list[Case]:
    bounds = [
        *("- + 10", "- + 2", "2 4 10", "(2-1 (4-1 10", "2-1 2-1 1", "- + 0", "- + -1", "- + -100"),
        "(1 + 10",
        *("+ - 10", "5 1 10", "100 + 10", "(18446744073709551615-18446744073709551615 + 10"),
        "- (0-0 10",
        *("- (0-1 10", "x + 10", "- x 10", "- + x", "- + 1.5", "- + ''", "(- + 10", "- (+ 10"),
        *("- +", "-", "$ + 5"),
        *("- + 9223372036854775807", "- + 9223372036854775808", "- + 10 a", "- + 10 b", "- + 1 b"),
        "- + 10 none",
        *("- + 10 a b", "- + 10 ''", "IDLE 0 - + 10", "idle 0 - + 10 a", "IDLE 100000000 - + 10"),
        "IDLE x - + 10",
        *("IDLE 100000000 - + 10 a", "IDLE -1 - + 10", "IDLE 0 - +", "IDLE 0 -", "IDLE 0", "IDLE"),
        "IDLE 0 - + 10 a b",
        *("IDLE '' - + 10", "IDLE 9223372036854775807 - + 10", "IDLE 9223372036854775808 - + 10"),
        "FOO 0 - + 10",
        *("IDLE 0 x + 10", "IDLE 0 - + x", "IDLE 0 - + 10 none", "IDLE 0 (1-1 3 10"),
    ]
    return in_both_protocols(
        "xpending",
        *(*_delivered(6), "XPENDING $0 g"),
        *(timed(f"XPENDING $0 g {words}") for words in bounds),
        "XCLAIM $0 g a 0 2-1 IDLE 200000 RETRYCOUNT 7 JUSTID",
        timed("XPENDING $0 g IDLE 200000 - + 10"),
        *(timed("XPENDING $0 g IDLE 300000 - + 10"), timed("XPENDING $0 g IDLE 100000 - + 10 b")),
        *("XGROUP CREATECONSUMER $0 g idle", "XPENDING $0 g", "XPENDING $0 none", "XPENDING $9 g"),
        "XPENDING $0",
        *("XPENDING $0 none - + 10", "XPENDING $9 g - + 10", "XPENDING $9 g x + 10"),
        "XPENDING $0 none x + 10",
        *("SET $1 s", "XPENDING $1 g", "XPENDING $1 g - + 10", "XPENDING $1 g - + x", "XPENDING"),
        "XDEL $0 1-1",
        *("XPENDING $0 g", timed("XPENDING $0 g - + 2"), "XTRIM $0 MAXLEN 0", "XPENDING $0 g"),
    )


def _claim_cases() -> list[Case]:
    claims = [
        *("a 0 2-1", "b 0 1-1 2-1 3-1", "c 0 4-1 JUSTID", "c 0 5-1 RETRYCOUNT 9"),
        "c 0 6-1 IDLE 500000",
        *("c 0 7-1 IDLE 500000 RETRYCOUNT 3 JUSTID", "c 0 8-1 TIME 1000000", "d 0 9-1"),
        "d 0 9-1 FORCE",
        *("d 0 10-1 FORCE JUSTID", "e 0 99-1", "e 0 99-1 FORCE", "e 100000000 1-1"),
        "e 100000000 1-1 FORCE",
        *("e 400000 6-1 7-1 1-1", "e 0 1-1 1-1 JUSTID", "f 0 8-1 TIME 99999999999999"),
        "f 0 8-1 IDLE -5",
        *("f 0 8-1 LASTID 8-1", "f 0 8-1 LASTID 10-1", "f 0 8-1 LASTID 3-1", "f 0 8-1 LASTID x"),
        "f 0 8-1 TIME -1",
        *("f 0 8-1 IDLE x", "f 0 8-1 TIME x", "f 0 8-1 RETRYCOUNT x", "f 0 8-1 RETRYCOUNT -1"),
        "f 0 8-1 RETRYCOUNT 0",
        *("f 0 8-1 IDLE", "f 0 8-1 TIME", "f 0 8-1 RETRYCOUNT", "f 0 8-1 LASTID", "f 0 8-1 FOO"),
        "f 0 8-1 JUSTID 9-1",
        *("f x 8-1", "f -1 8-1", "f '' 8-1", "f 1.5 8-1", "f 0 x", "f 0 8-1 x", "f 0", "f"),
        "f 0 8-1 FORCE FORCE",
        *("f 0 8-1 idle 1 retrycount 2 force justid", "f 0 JUSTID", "f 0 8-1 RETRYCOUNT 4 IDLE 0"),
        "'' 0 8-1",
        *("f 9223372036854775808 8-1", "f 0 8-1 IDLE 9223372036854775807"),
        "f 0 8-1 RETRYCOUNT 9223372036854775807",
        *("f 0 8-1 RETRYCOUNT 9223372036854775808", "f 0 8-1 TIME 0", "f 0 8-1 LASTID 0-0 JUSTID"),
    ]
    steps: list[Step | str] = []
    for at, words in enumerate(claims):
        steps.append(f"XCLAIM $0 g {words}")
        if at % 4 == 3:
            steps.append(timed("XPENDING $0 g - + 100"))
    return [
        *in_both_protocols(
            "xclaim",
            *(*_delivered(8), "XADD $0 9-1 f v9", "XADD $0 10-1 f v10"),
            *steps,
            *(timed("XINFO GROUPS $0"), timed("XINFO CONSUMERS $0 g")),
            timed("XINFO STREAM $0 FULL"),
            *("XCLAIM $0 none a 0 1-1", "XCLAIM $9 g a 0 1-1", "XCLAIM $9 g a x 1-1"),
            "XCLAIM $0 none a x 1-1",
            *("SET $1 s", "XCLAIM $1 g a 0 1-1", "XCLAIM $1 g a x y", "XCLAIM", "XCLAIM $0 g"),
        ),
        case(
            "xclaim-deleted",
            *(*_delivered(6), "XDEL $0 2-1 3-1", "XCLAIM $0 g c 0 1-1 2-1", "XPENDING $0 g"),
            *("XCLAIM $0 g c 0 3-1 JUSTID", "XPENDING $0 g", "XCLAIM $0 g c 100000000 5-1"),
            "XDEL $0 5-1",
            *("XCLAIM $0 g c 100000000 5-1", timed("XPENDING $0 g - + 9")),
            *("XCLAIM $0 g c 0 5-1 FORCE", "XPENDING $0 g"),
            *("XREADGROUP GROUP g a STREAMS $0 0", "XTRIM $0 MAXLEN 1"),
            *("XREADGROUP GROUP g c STREAMS $0 0", *_state()),
        ),
        *in_both_protocols(
            "xautoclaim",
            *(*_delivered(10), "XAUTOCLAIM $0 g c 0 0 COUNT 3"),
            "XAUTOCLAIM $0 g c 0 4-1 COUNT 2 JUSTID",
            *(timed("XPENDING $0 g - + 100"), "XDEL $0 2-1 7-1 9-1"),
            "XAUTOCLAIM $0 g d 0 0 COUNT 2",
            *("XAUTOCLAIM $0 g d 0 3-1 COUNT 5", "XAUTOCLAIM $0 g d 0 (8-1"),
            "XAUTOCLAIM $0 g d 0 - JUSTID",
            *("XAUTOCLAIM $0 g d 100000000 0", "XAUTOCLAIM $0 g d 0 0"),
            timed("XPENDING $0 g - + 100"),
            *("XAUTOCLAIM $0 g d 0 +", "XAUTOCLAIM $0 g d 0 $", "XAUTOCLAIM $0 g d 0 x"),
            "XAUTOCLAIM $0 g d x 0",
            *("XAUTOCLAIM $0 g d -1 0 COUNT 1", "XAUTOCLAIM $0 g d '' 0", "XAUTOCLAIM $0 g d 0"),
            "XAUTOCLAIM $0 g d",
            *(
                f"XAUTOCLAIM $0 g d 0 0 COUNT {count} JUSTID"
                for count in (*COUNTS, "1152921504606846975")
            ),
            *("XAUTOCLAIM $0 g d 0 0 COUNT", "XAUTOCLAIM $0 g d 0 0 FOO"),
            "XAUTOCLAIM $0 g d 0 0 justid count 1 FOO",
            *("XAUTOCLAIM $0 g d 0 0 COUNT 1 COUNT 2 JUSTID JUSTID", "XAUTOCLAIM $0 none d 0 0"),
            "XAUTOCLAIM $9 g d 0 0",
            *("XAUTOCLAIM $9 g d x 0", "XAUTOCLAIM $0 none d 0 x", "SET $1 s"),
            *("XAUTOCLAIM $1 g d 0 0", "XAUTOCLAIM"),
            *("XAUTOCLAIM $0 g d 0 100", timed("XINFO CONSUMERS $0 g")),
            "XDEL $0 1-1 3-1 4-1 5-1 6-1 8-1",
            *("XAUTOCLAIM $0 g c 0 0 COUNT 2", "XAUTOCLAIM $0 g c 0 0", "XPENDING $0 g", *_state()),
            *("XCLAIM $0 g c 0 10-1 IDLE 300000", "XAUTOCLAIM $0 g d 200000 0"),
            "XAUTOCLAIM $0 g c 200000 0",
        ),
        case(
            "xautoclaim-of-many",
            *(_fill(250), "XGROUP CREATE $0 g 0", "XREADGROUP GROUP g a COUNT 240 STREAMS $0 >"),
            *("XAUTOCLAIM $0 g b 0 0 JUSTID", "XAUTOCLAIM $0 g b 0 101-1 COUNT 120 JUSTID"),
            "XPENDING $0 g",
            ("XDEL", Key(0), *(f"{at}-1" for at in range(1, 200, 2))),
            *("XAUTOCLAIM $0 g c 0 0 COUNT 50", "XPENDING $0 g"),
            "XAUTOCLAIM $0 g c 100000000 0 COUNT 5 JUSTID",
            *("XREADGROUP GROUP g b COUNT 5 STREAMS $0 150", "XPENDING $0 g"),
            timed("XINFO GROUPS $0"),
            *(timed("XINFO STREAM $0 FULL COUNT 2"), timed("XINFO STREAM $0 FULL")),
            "XGROUP DELCONSUMER $0 g b",
            *("XPENDING $0 g", "XACK $0 g 2-1 4-1 6-1", "XPENDING $0 g"),
            timed("XPENDING $0 g - + 3"),
        ),
    ]


def _lag_cases() -> list[Case]:
    """How many entries a group has read and has to read, where deletions hide and show it."""
    info = timed("XINFO GROUPS $0")
    return [
        case(
            "xinfo-groups-lag",
            *("XGROUP CREATE $0 g 0 MKSTREAM", info, _fill(5), info),
            *("XREADGROUP GROUP g a COUNT 2 STREAMS $0 >", info),
            *("XDEL $0 1-1", info, "XDEL $0 4-1", info),
            *("XREADGROUP GROUP g a COUNT 1 STREAMS $0 >", info, NEW, info),
            *("XADD $0 6-1 f v", info, "XTRIM $0 MAXLEN 1", info, NEW, info, "XDEL $0 6-1", info),
            *("XADD $0 7-1 f v", info),
            *("XGROUP SETID $0 g 0", info, "XGROUP SETID $0 g 7-1", info, "XGROUP SETID $0 g 3-5"),
            info,
            *("XGROUP SETID $0 g 6-1 ENTRIESREAD 6", info, "XGROUP CREATE $0 h 7-1"),
            *("XGROUP CREATE $0 i 5", info),
            *("XSETID $0 10 ENTRIESADDED 20", info, "XSETID $0 11 MAXDELETEDID 9", info, NEW, info),
            *("XADD $0 12 f v", info),
        ),
        case(
            "xinfo-groups-lag-of-trimmed",
            *(_fill(10), "XGROUP CREATE $0 g 0", "XGROUP CREATE $0 h 5-1", "XGROUP CREATE $0 i $"),
            *(info, "XTRIM $0 MAXLEN 6"),
            *(info, "XREADGROUP GROUP g a COUNT 1 STREAMS $0 >"),
            *("XREADGROUP GROUP h a COUNT 1 STREAMS $0 >", info),
            *("XTRIM $0 MINID 9", info, "XREADGROUP GROUP g a COUNT 1 STREAMS $0 >", info),
            *("XDEL $0 10-1", info),
            *("XREADGROUP GROUP h a STREAMS $0 >", info, "XADD $0 11-1 f v", info),
            "XREADGROUP GROUP i a NOACK STREAMS $0 >",
            *(info, "XTRIM $0 MAXLEN 0", info, "XADD $0 12 f v", info, "XGROUP CREATE $0 j 11-5"),
            *("XGROUP CREATE $0 k 0", info),
        ),
    ]


CASES = [
    *_group_cases(),
    *_read_cases(),
    *_pending_cases(),
    *_claim_cases(),
    *_lag_cases(),
    *in_both_protocols(
        "xinfo-consumers",
        *(*_delivered(5), "XGROUP CREATECONSUMER $0 g idle", timed("XINFO CONSUMERS $0 g")),
        *("XACK $0 g 1-1", timed("XINFO CONSUMERS $0 g"), timed("XINFO GROUPS $0")),
        *(timed("XINFO STREAM $0 FULL"), timed("XINFO STREAM $0 FULL COUNT 1")),
        "XGROUP CREATE $0 empty $",
        *(timed("XINFO STREAM $0 FULL COUNT 0"), timed("XINFO GROUPS $0")),
        "XINFO CONSUMERS $0 empty",
        *("XINFO CONSUMERS $0 none", "XINFO GROUPS $9", "XINFO CONSUMERS $9 none"),
        timed("XINFO STREAM $0"),
    ),
    case(
        "xreadgroup-of-nothing-makes-a-consumer",
        *("XGROUP CREATE $0 g $ MKSTREAM", "XREADGROUP GROUP g fresh STREAMS $0 >"),
        *(timed("XINFO CONSUMERS $0 g"), "XGROUP CREATECONSUMER $0 g fresh"),
        *("XREADGROUP GROUP g old STREAMS $0 0", "XGROUP CREATECONSUMER $0 g old"),
        *("XCLAIM $0 g claims 0 1-1", "XGROUP CREATECONSUMER $0 g claims"),
        *("XAUTOCLAIM $0 g takes 0 0", "XGROUP CREATECONSUMER $0 g takes"),
    ),
    *in_both_protocols(
        "xinfo-consumers-activity",
        *(*_delivered(2), "XGROUP CREATECONSUMER $0 g idle"),
        *(Do(f"XINFO {words}", mask=mask_stream_activity) for words in ACTIVITY),
    ),
    *in_both_protocols(
        "xreadgroup-of-many-streams",
        *(f"XADD ${at} {at + 1}-1 f v{at}" for at in range(10)),
        *(f"XGROUP CREATE ${at} g 0" for at in range(10)),
        f"XREADGROUP GROUP g a STREAMS {ALL} {'> ' * 9}x",
        f"XREADGROUP GROUP g a COUNT 1 STREAMS {ALL} $0 $1 {'> ' * 12}",
        f"XREADGROUP GROUP g a STREAMS {ALL} {'> 0 ' * 5}",
        *("XADD $0 9-1 f v", "XADD $0 9-2 f v", "XADD $0 9-3 f v", "XADD $3 9-1 f v"),
        "XREADGROUP GROUP g b COUNT 2 STREAMS $0 $0 $3 $0 > > > 0",
        "XREADGROUP GROUP g b STREAMS $0 $3 $0 0 > >",
        *(
            timed("XPENDING $0 g - + 9 b"),
            "DEL $9",
            f"XREADGROUP GROUP g a STREAMS {ALL} {'> ' * 10}",
        ),
        "XREADGROUP GROUP g a STREAMS $0 $0 > 18446744073709551615-18446744073709551615",
    ),
    case(
        "xreadgroup-with-block",
        *(*_delivered(2), "XADD $0 3-1 f v", "XREADGROUP GROUP g a BLOCK x STREAMS $0 >"),
        *("XREADGROUP GROUP g a BLOCK -1 STREAMS $0 >", "XREADGROUP GROUP g a BLOCK STREAMS $0 >"),
        *("XREADGROUP GROUP g a BLOCK 9223372036854775808 STREAMS $0 >", "XLEN $0"),
        "XREADGROUP BLOCK 1 GROUP none a STREAMS $0 >",
        *("XREADGROUP BLOCK 0 GROUP g a STREAMS $0 >", "XREADGROUP BLOCK 0 GROUP g a STREAMS $0 0"),
        *(
            "XREADGROUP BLOCK 10 GROUP g a STREAMS $0 >",
            "XREADGROUP BLOCK 10 GROUP g c STREAMS $0 9",
        ),
    ),
    case(
        "stream-groups-elsewhere",
        *(*_delivered(5), "XGROUP CREATE $0 h 2-1 ENTRIESREAD 2", "XDEL $0 3-1", "COPY $0 $1"),
        *("XACK $0 g 1-1 2-1", *_state("$1"), *_state("$0"), "RENAME $1 $2", *_state("$2")),
        *("XREADGROUP GROUP g b STREAMS $2 0", "XREADGROUP GROUP h b STREAMS $2 >", *_state("$2")),
        *("EXPIRE $2 100000", "XGROUP CREATE $2 i $", "TTL $2", "XTRIM $2 MAXLEN 0", "TTL $2"),
        *("SET $0 s", "COPY $2 $0 REPLACE", *_state("$0"), "OBJECT ENCODING $0"),
    ),
    case(
        "stream-groups-of-any-name",
        "XADD $0 1-1 f v",
        *(f"XGROUP CREATE $0 {name} 0" for name in NAMES),
        *(f"XGROUP CREATECONSUMER $0 {NAMES[-1]} {name}" for name in NAMES),
        *(timed("XINFO GROUPS $0"), timed(f"XINFO CONSUMERS $0 {NAMES[-1]}")),
        f"XREADGROUP GROUP {NAMES[-1]} {NAMES[2]} STREAMS $0 >",
        timed("XINFO STREAM $0 FULL"),
        *(f"XPENDING $0 {NAMES[0]}x", f"XGROUP SETID $0 {NAMES[-1]}x 0"),
        f"XREADGROUP GROUP {NAMES[-1]}x a STREAMS $0 >",
        f"XCLAIM $0 {NAMES[-1]} {NAMES[-1]} 0 1-1 {NAMES[-1]}",
    ),
    case(
        "stream-groups-of-many",
        Pipe([f"XADD $0 {at}-1 f v{at}" for at in range(1, 301)]),
        Pipe([f"XGROUP CREATE $0 g{at} {at * 4}" for at in range(30)]),
        Pipe([f"XREADGROUP GROUP g{at % 30} c{at % 7} COUNT 9 STREAMS $0 >" for at in range(200)]),
        Pipe([f"XPENDING $0 g{at}" for at in range(30)]),
        Pipe([f"XACK $0 g{at % 30} {at}-1 {at + 1}-1" for at in range(1, 300, 3)]),
        Pipe([f"XPENDING $0 g{at}" for at in range(30)]),
        *("XREADGROUP GROUP g0 c0 COUNT 5 STREAMS $0 0", "XREADGROUP GROUP g7 c3 STREAMS $0 100"),
        *(timed("XINFO GROUPS $0"), timed("XPENDING $0 g3 - + 20")),
        timed("XPENDING $0 g0 (50 200 9 c2"),
        *("XTRIM $0 MAXLEN 10", "XPENDING $0 g5", "XAUTOCLAIM $0 g5 c9 0 0 COUNT 10", "DEL $0"),
        "EXISTS $0",
    ),
]


@pytest.mark.parametrize("a_case", CASES, ids=lambda c: c.name)
def test_stream_groups(a_case: Case, subject: Server, oracle: Oracle) -> None:
    oracle.check(a_case, subject)


READERS = {
    "XREAD COUNT 2 STREAMS {key} 0": True,
    "XREAD STREAMS {key} $": True,
    "XREADGROUP GROUP streams count NOACK STREAMS {key} >": True,
    "XREADGROUP GROUP block block STREAMS {key} >": True,
    "XREAD BLOCK 1 STREAMS {key} $": False,
    "XREADGROUP GROUP streams group COUNT 3 BLOCK 1 STREAMS {key} >": False,
    "XREADGROUP GROUP group streams BLOCK 1 NOACK STREAMS {key} >": False,
    "XREADGROUP GROUP count block COUNT 1 BLOCK 1 STREAMS {key} >": False,
}


def _forwarded(control: Connection) -> int:
    text = control.do("INFO", "everything").value
    return int(text.partition(b"forwarded_requests:")[2].split()[0])


@pytest.mark.parametrize("line", READERS)
def test_only_what_waits_stays_at_home(line: str, ours: Server) -> None:
    """Whatever the names are; a reader that does not wait goes where its stream is."""
    keys = ours.spread(6)
    never = ours.configuration.borrow == "never" and ours.configuration.threads > 1
    group = line.split()[2]
    with connections(ours.address, 2) as (control, reader):
        for key in keys:
            control.do("XGROUP", "CREATE", key, group, "$", "MKSTREAM")
        before = _forwarded(control)
        for key in keys:
            reply = reader.do(*line.format(key=key).split())
            assert reply.kind == "null-array", reply
        forwarded = _forwarded(control) - before
        if never and READERS[line]:
            assert forwarded == len(keys) * 2 // 3
        elif not READERS[line]:
            assert forwarded == 0
