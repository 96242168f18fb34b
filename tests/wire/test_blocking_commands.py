"""BLMOVE, BRPOPLPUSH, BLMPOP, BZPOPMIN, BZPOPMAX, BZMPOP, XREAD and XREADGROUP: what they wait for,
who is served by what, and in which order. Connection 0 pushes, the others wait.
"""

from __future__ import annotations

import pytest
from harness.cases import (
    Begin,
    Case,
    Command,
    Do,
    Read,
    Send,
    Silent,
    Sleep,
    Step,
    case,
    in_both_protocols,
    mask_field,
    mask_stream,
)
from harness.compare import Oracle
from harness.process import Server

TIMEOUTS = ["x", "''", "-1", "-0.5", "nan", "1e30", "inf", "-inf", "' 1'"]
MOVED = ["LRANGE $0 0 -1", "LRANGE $1 0 -1"]
PING = b"PING\r\n"


def _hello(on: int) -> Do:
    return Do("HELLO 3", on=on, mask=mask_field(b"id"))


# ---- What does not wait --------------------------------------------------------------------------


def _at_once() -> list[Case]:
    """Every command with something there, and what it says of its arguments."""
    return [
        *in_both_protocols(
            "blmove-at-once", "RPUSH $0 a b c d", "BLMOVE $0 $1 LEFT RIGHT 0", *MOVED,
            "BLMOVE $0 $1 right left 0.5", *MOVED, "BLMOVE $0 $0 LEFT RIGHT 1", *MOVED,
            "BRPOPLPUSH $0 $1 0", *MOVED, "BRPOPLPUSH $1 $1 1e1", "BRPOPLPUSH $0 $2 0x1",
            *MOVED, "EXISTS $0", "LRANGE $2 0 -1", "BLMOVE $1 $2 UP LEFT 0",
            "BLMOVE $1 $2 LEFT UP x", "BLMOVE $1 $2 LEFT", "BRPOPLPUSH $1 $2",
            *(f"BLMOVE $1 $2 LEFT LEFT {timeout}" for timeout in TIMEOUTS),
            *(f"BRPOPLPUSH $1 $2 {timeout}" for timeout in TIMEOUTS), *MOVED,
            "SET $3 s", "BLMOVE $3 $1 LEFT LEFT 0", "BLMOVE $1 $3 LEFT LEFT 0",
            "BRPOPLPUSH $3 $1 x", "BRPOPLPUSH $1 $3 0", "BLMOVE $3 $9 LEFT LEFT 0", *MOVED,
        ),
        *in_both_protocols(
            "blmpop-at-once", "RPUSH $1 a b c d e f", "BLMPOP 0 3 $0 $1 $2 LEFT",
            "BLMPOP 0.01 2 $0 $1 RIGHT COUNT 2", "BLMPOP 1 1 $1 left count 2",
            "RPUSH $0 x", "BLMPOP 0 2 $1 $0 LEFT COUNT 5", "BLMPOP 0 2 $1 $0 LEFT COUNT 5",
            "EXISTS $0 $1", "RPUSH $0 a b", "BLMPOP 0 0 $0 LEFT", "BLMPOP 0 -1 $0 LEFT",
            "BLMPOP 0 x $0 LEFT", "BLMPOP 0 2 $0 LEFT", "BLMPOP 0 1 $0 UP", "BLMPOP x 1 $0 UP",
            "BLMPOP x 0 $0 LEFT", "BLMPOP 0 1 $0 LEFT COUNT 0", "BLMPOP 0 1 $0 LEFT COUNT",
            "BLMPOP x 1 $0 LEFT COUNT x", "BLMPOP 0 1 $0 LEFT COUNT 1 COUNT 1",
            "BLMPOP 0 1 $0 LEFT 5", "BLMPOP 0 1 $0", "BLMPOP 0 9223372036854775807 $0 LEFT",
            *(f"BLMPOP {timeout} 1 $0 LEFT" for timeout in TIMEOUTS), "LRANGE $0 0 -1",
            "SET $3 s", "BLMPOP 0 2 $3 $0 LEFT", "BLMPOP x 2 $3 $0 LEFT", "BLMPOP 0 2 $0 $3 LEFT",
        ),
        *in_both_protocols(
            "bzpop-at-once", "ZADD $1 1 a 2.5 b 3 c inf d -inf e", "BZPOPMIN $1 0",
            "BZPOPMAX $0 $1 $2 0", "BZPOPMIN $2 $1 0.5", "BZPOPMAX $1 1", "BZPOPMIN $1 0",
            "EXISTS $1", "ZADD $0 1 a 1 b 1 c", "BZPOPMIN $0 0", "BZPOPMAX $0 0", "BZPOPMIN 0",
            "BZPOPMAX $0", *(f"BZPOPMIN $0 $1 {timeout}" for timeout in TIMEOUTS),
            *(f"BZPOPMAX $0 {timeout}" for timeout in TIMEOUTS), "ZRANGE $0 0 -1",
            "SET $3 s", "BZPOPMIN $3 $0 0", "BZPOPMAX $3 $0 x", "BZPOPMIN $0 $3 0",
        ),
        *in_both_protocols(
            "bzmpop-at-once", "ZADD $1 1 a 2.5 b 3 c inf d -inf e", "BZMPOP 0 1 $1 MIN",
            "BZMPOP 0.1 3 $0 $1 $2 MAX COUNT 2", "BZMPOP 0 1 $1 min count 9", "EXISTS $1",
            "ZADD $0 1 a 2 b", "BZMPOP 0 0 $0 MIN", "BZMPOP 0 -1 $0 MIN", "BZMPOP 0 x $0 MIN",
            "BZMPOP 0 2 $0 MIN", "BZMPOP 0 1 $0 MID", "BZMPOP x 1 $0 MID", "BZMPOP x 0 $0 MIN",
            "BZMPOP 0 1 $0 MIN COUNT 0", "BZMPOP 0 1 $0 MIN COUNT", "BZMPOP x 1 $0 MIN COUNT x",
            "BZMPOP 0 1 $0 MIN COUNT 1 COUNT 1", "BZMPOP 0 1 $0 MIN 5", "BZMPOP 0 1 $0",
            *(f"BZMPOP {timeout} 1 $0 MIN" for timeout in TIMEOUTS), "ZRANGE $0 0 -1",
            "SET $3 s", "BZMPOP 0 2 $3 $0 MIN", "BZMPOP x 2 $3 $0 MIN", "BZMPOP 0 2 $0 $3 MIN",
        ),
    ]  # fmt: skip


def _timeouts() -> list[Case]:
    return in_both_protocols(
        "blocking-times-out", "BLMOVE $0 $1 LEFT LEFT 0.01", "BRPOPLPUSH $0 $1 0.001",
        "BLMPOP 0.01 2 $0 $1 LEFT COUNT 9", "BZPOPMIN $0 $1 0.01", "BZPOPMAX $0 0.01",
        "BZMPOP 0.01 3 $0 $1 $0 MIN", "XREAD BLOCK 1 STREAMS $0 $", "XADD $0 1-1 f v",
        "XREAD BLOCK 10 STREAMS $0 $1 $ 0", "XREAD BLOCK 10 STREAMS $0 1-1", "XGROUP CREATE $0 g $",
        "XREADGROUP GROUP g c BLOCK 10 STREAMS $0 >",
        Do("XINFO CONSUMERS $0 g", mask=mask_stream), "PING",
    )  # fmt: skip


# ---- What serves whom ----------------------------------------------------------------------------

LIST_PUSHES: dict[str, list[Command]] = {
    "lpush": ["LPUSH $0 a b"],
    "rpush": ["RPUSH $0 a b"],
    "lmove": ["RPUSH $1 a b", "LMOVE $1 $0 LEFT RIGHT"],
    "rpoplpush": ["RPUSH $1 a b", "RPOPLPUSH $1 $0"],
    "blmove": ["RPUSH $1 a b", "BLMOVE $1 $0 RIGHT RIGHT 0"],
    "rename": ["RPUSH $1 a b", "RENAME $1 $0"],
    "renamenx": ["RPUSH $1 a b", "RENAMENX $1 $0"],
    "copy": ["RPUSH $1 a b", "COPY $1 $0"],
    "copy-replace": ["RPUSH $1 a b", "COPY $1 $0 REPLACE"],
    "copy-from-database": ["SELECT 9", "RPUSH $0 a b", "COPY $0 $0 DB 0", "SELECT 0"],
    "move": ["SELECT 9", "RPUSH $0 a b", "MOVE $0 0", "SELECT 0"],
    "sort": ["RPUSH $1 b a", "SORT $1 ALPHA STORE $0"],
    "swapdb": ["SELECT 9", "RPUSH $0 a b", "SELECT 0", "SWAPDB 0 9"],
}
ZSET_PUSHES: dict[str, list[Command]] = {
    "zadd": ["ZADD $0 2 a 1.5 b"],
    "zincrby": ["ZINCRBY $0 2 a"],
    "zunionstore": ["ZADD $1 2 a 1 b", "ZUNIONSTORE $0 2 $1 $2"],
    "zinterstore": ["ZADD $1 2 a 1 b", "ZADD $2 1 a 3 b", "ZINTERSTORE $0 2 $1 $2"],
    "zdiffstore": ["ZADD $1 2 a 1 b", "ZDIFFSTORE $0 2 $1 $2"],
    "zrangestore": ["ZADD $1 2 a 1 b", "ZRANGESTORE $0 $1 0 -1"],
    "geoadd": ["GEOADD $0 13.4 52.5 berlin 2.35 48.85 paris"],
    "georadius": ["GEOADD $1 13.4 52.5 a", "GEORADIUS $1 13.4 52.5 9 km STORE $0"],
    "geosearchstore": ["GEOADD $1 1 1 a", "GEOSEARCHSTORE $0 $1 FROMMEMBER a BYRADIUS 9 km"],
    "rename": ["ZADD $1 2 a 1 b", "RENAME $1 $0"],
    "renamenx": ["ZADD $1 2 a 1 b", "RENAMENX $1 $0"],
    "copy": ["ZADD $1 2 a 1 b", "COPY $1 $0"],
    "copy-replace": ["ZADD $1 2 a 1 b", "COPY $1 $0 REPLACE"],
    "move": ["SELECT 9", "ZADD $0 2 a 1 b", "MOVE $0 0", "SELECT 0"],
    "swapdb": ["SELECT 9", "ZADD $0 2 a 1 b", "SELECT 0", "SWAPDB 9 0"],
}
STREAM_PUSHES: dict[str, list[Command]] = {
    "xadd": ["XADD $0 5-1 f v"],
    "rename": ["XADD $1 5-1 f v", "RENAME $1 $0"],
    "renamenx": ["XADD $1 5-1 f v", "RENAMENX $1 $0"],
    "copy": ["XADD $1 5-1 f v", "COPY $1 $0"],
    "move": ["SELECT 9", "XADD $0 5-1 f v", "MOVE $0 0", "SELECT 0"],
    "swapdb": ["SELECT 9", "XADD $0 5-1 f v", "SELECT 0", "SWAPDB 0 9"],
}
WAITS: list[tuple[str, dict[str, list[Command]], Command]] = [
    ("blmove", LIST_PUSHES, "BLMOVE $0 $5 LEFT RIGHT 0"),
    ("brpoplpush", LIST_PUSHES, "BRPOPLPUSH $0 $5 0"),
    ("blmpop", LIST_PUSHES, "BLMPOP 0 3 $6 $0 $7 LEFT COUNT 2"),
    ("bzpopmin", ZSET_PUSHES, "BZPOPMIN $0 0"),
    ("bzpopmax", ZSET_PUSHES, "BZPOPMAX $6 $0 0"),
    ("bzmpop", ZSET_PUSHES, "BZMPOP 0 2 $6 $0 MAX COUNT 2"),
    ("xread", STREAM_PUSHES, "XREAD BLOCK 0 STREAMS $6 $0 0 $"),
]
STATE = ["EXISTS $0 $1 $5", "TYPE $0"]


def _served() -> list[Case]:
    cases = []
    for name, pushes, wait in WAITS:
        for push, commands in pushes.items():
            steps: list[Step | Command] = [Begin(wait, on=1), *commands, Read(on=1), *STATE]
            cases.append(case(f"{name}-by-{push}", *steps))
        cases.append(case(f"{name}-and-resp3", _hello(1), *steps))
    return cases


def _chains() -> list[Case]:
    return [
        case(
            "blmove-chain", Begin("BLMOVE $1 $2 LEFT RIGHT 0", on=2),
            Begin("BLMOVE $0 $1 LEFT RIGHT 0", on=1), Begin("BRPOPLPUSH $2 $3 0", on=3),
            "RPUSH $0 a b", Read(on=1), Read(on=2), Read(on=3),
            *(f"LRANGE ${at} 0 -1" for at in range(4)),
        ),
        case(
            "blmove-circle", Begin("BLMOVE $0 $1 LEFT RIGHT 0", on=1),
            Begin("BLMOVE $1 $0 LEFT RIGHT 0", on=2), "RPUSH $0 a", Read(on=1), Read(on=2), *MOVED,
        ),
        case(
            "blmove-circle-of-four", *(
                Begin(f"BLMOVE ${at} ${(at + 1) % 4} RIGHT LEFT 0", on=at + 1) for at in range(4)
            ),
            "RPUSH $2 a", *(Read(on=at + 1) for at in range(4)),
            *(f"LRANGE ${at} 0 -1" for at in range(4)),
        ),
        case(
            "blmove-to-itself", Begin("BLMOVE $0 $0 LEFT RIGHT 0", on=1),
            Begin("BLMPOP 0 1 $0 LEFT", on=2), "RPUSH $0 a b", Read(on=1), Read(on=2), *MOVED,
        ),
        case(
            "blmove-into-what-another-waits-for", Begin("BLMPOP 0 2 $1 $2 RIGHT COUNT 9", on=2),
            Begin("BLMOVE $0 $1 RIGHT LEFT 0", on=1), "RPUSH $0 a b c", Read(on=1), Read(on=2),
            *MOVED,
        ),
        *in_both_protocols(
            "blmove-to-another-type", "SET $1 s", Begin("BLMOVE $0 $1 LEFT RIGHT 0", on=1),
            Begin("BRPOPLPUSH $0 $1 0", on=2), "RPUSH $0 a b", Read(on=1), Read(on=2),
            "LRANGE $0 0 -1", "GET $1",
        ),
        case(
            "blmove-to-another-type-and-one-behind", "SET $1 s",
            Begin("BLMOVE $0 $1 LEFT RIGHT 0", on=1), Begin("BLMPOP 0 1 $0 LEFT COUNT 5", on=2),
            "RPUSH $0 a b", Read(on=1), Read(on=2), "EXISTS $0", "GET $1",
        ),
    ]  # fmt: skip


def _orders() -> list[Case]:
    return [
        case(
            "blocking-first-come-first-served",
            *(Begin("BLMPOP 0 1 $0 LEFT", on=at) for at in range(1, 5)), "RPUSH $0 a b c",
            *(Read(on=at) for at in range(1, 4)), Silent(on=4), "EXISTS $0", "RPUSH $0 d e",
            Read(on=4), "LRANGE $0 0 -1",
        ),
        case(
            "blocking-first-come-over-keys", Begin("BZPOPMIN $0 $1 0", on=1),
            Begin("BZPOPMIN $1 $0 0", on=2), Begin("BZPOPMAX $1 0", on=3), "ZADD $1 1 a",
            Read(on=1), "ZADD $0 1 b", Read(on=2), "ZADD $0 5 c", Silent(on=3), "ZADD $1 1 d 2 e",
            Read(on=3), "ZRANGE $1 0 -1",
        ),
        case(
            "blocking-on-all-shards",
            Begin("BLMPOP 0 10 $0 $1 $2 $3 $4 $5 $6 $7 $8 $9 LEFT", on=1),
            Begin("BZPOPMIN $9 $8 $7 $6 $5 $4 $3 $2 $1 $0 0", on=2), "RPUSH $7 a", Read(on=1),
            "ZADD $3 1 a", Read(on=2), "EXISTS $3 $7",
        ),
        case(
            "blocking-one-key-twice", Begin("BLMPOP 0 3 $0 $0 $0 LEFT", on=1),
            Begin("BZPOPMIN $0 $0 0", on=2), "RPUSH $0 a", Read(on=1), "ZADD $0 1 a", Read(on=2),
        ),
        case(
            "blocking-types-on-one-key", Begin("BLMPOP 0 1 $0 LEFT", on=1),
            Begin("BZPOPMIN $0 0", on=2), Begin("XREAD BLOCK 0 STREAMS $0 $", on=3),
            "ZADD $0 1 a", Read(on=2), Silent(on=1), Silent(on=3), "XADD $0 1-1 f v", Read(on=3),
            "DEL $0", "SET $0 s", "APPEND $0 t", "DEL $0", "RPUSH $0 a", Read(on=1),
        ),
        case(
            "blocking-another-type-in-between", Begin("BLMPOP 0 1 $0 LEFT", on=1), "SET $0 s",
            "SADD $1 a", "RENAME $1 $0", Silent(on=1), "HSET $2 f v", "COPY $2 $0 REPLACE",
            Silent(on=1), "DEL $0", "RPUSH $0 a", Read(on=1),
        ),
        case(
            "blocking-in-its-own-database", Do("SELECT 3", on=1), Begin("BLMPOP 0 1 $0 LEFT", on=1),
            "RPUSH $0 a", Silent(on=1), "MOVE $0 3", Read(on=1), "EXISTS $0", Do("EXISTS $0", on=1),
        ),
        case(
            "blocking-holds-what-follows", Begin("BZPOPMIN $0 0", on=1), Send(PING, on=1),
            Silent(on=1), "ZADD $0 1 a", Read(2, on=1), Begin("BLMPOP 0 1 $0 LEFT", on=1),
            Send(PING * 3, on=1), "RPUSH $0 a", Read(4, on=1),
        ),
        case(
            "blocking-gone", Begin("BLMPOP 0 1 $0 LEFT", on=1), Begin("BLMPOP 0 1 $0 LEFT", on=2),
            Do("QUIT", on=3), Sleep(0.01), "RPUSH $0 a b c", Read(on=1), Read(on=2),
            "LRANGE $0 0 -1",
        ),
    ]  # fmt: skip


# ---- Streams -------------------------------------------------------------------------------------


def _streams() -> list[Case]:
    return [
        *in_both_protocols(
            "xread-waits-from-the-end", "XADD $0 1-1 f v", "XADD $1 7-7 f v", _hello(2),
            Begin("XREAD BLOCK 0 STREAMS $0 $1 $ $", on=1),
            Begin("XREAD COUNT 1 BLOCK 0 STREAMS $1 $0 $ $", on=2), "XADD $0 2-1 f w",
            Read(on=1), Read(on=2), Begin("XREAD BLOCK 0 STREAMS $9 $", on=1),
            "XADD $9 0-1 f v", Read(on=1),
        ),
        case(
            "xread-waits-for-more", "XADD $0 1-1 f v", Begin("XREAD BLOCK 0 STREAMS $0 5-5", on=1),
            "XADD $0 2-1 f v", "XADD $0 5-5 f v", Silent(on=1), "XADD $0 5-6 f v", Read(on=1),
        ),
        case(
            "xread-waits-through-deletion", "XADD $0 9-1 f v",
            Begin("XREAD BLOCK 0 STREAMS $0 $", on=1), "DEL $0", Silent(on=1), "XADD $0 1-1 f v",
            Silent(on=1), "SET $0 s", Silent(on=1), "DEL $0", "XADD $0 10-1 f v", Read(on=1),
        ),
        case(
            "xread-serves-everybody",
            *(Begin("XREAD BLOCK 0 STREAMS $0 0", on=at) for at in range(1, 5)),
            "XADD $0 1-1 f v", *(Read(on=at) for at in range(1, 5)),
        ),
        *in_both_protocols(
            "xreadgroup-waits", "XGROUP CREATE $0 g $ MKSTREAM", "XGROUP CREATE $0 h $", _hello(2),
            Begin("XREADGROUP GROUP g a BLOCK 0 STREAMS $0 >", on=1),
            Begin("XREADGROUP GROUP g b BLOCK 0 COUNT 1 STREAMS $0 >", on=2),
            Begin("XREADGROUP GROUP h a BLOCK 0 NOACK STREAMS $0 >", on=3),
            "XADD $0 1-1 f v", Read(on=1), Read(on=3), Silent(on=2), "XADD $0 2-1 f w", Read(on=2),
            "XPENDING $0 g", "XPENDING $0 h", Do("XINFO GROUPS $0", mask=mask_stream),
            Do("XINFO CONSUMERS $0 g", mask=mask_stream),
        ),
        case(
            "xreadgroup-waits-on-several", "XGROUP CREATE $0 g $ MKSTREAM",
            "XGROUP CREATE $1 g $ MKSTREAM", "XGROUP CREATE $2 g $ MKSTREAM",
            Begin("XREADGROUP GROUP g a BLOCK 0 STREAMS $0 $1 $2 > > >", on=1), "XADD $2 1-1 f v",
            Read(on=1), "XPENDING $2 g", "XREADGROUP GROUP g a BLOCK 0 STREAMS $0 $2 0 >",
        ),
        case(
            "xreadgroup-at-once", "XGROUP CREATE $0 g 0 MKSTREAM",
            "XREADGROUP GROUP g a BLOCK 0 STREAMS $0 0", "XADD $0 1-1 f v",
            "XREADGROUP GROUP g a BLOCK 0 STREAMS $0 >",
            "XREADGROUP GROUP g a BLOCK 0 STREAMS $0 0",
            "XREADGROUP GROUP g a BLOCK 0 STREAMS $0 9",
        ),
        case(
            "xreadgroup-of-a-group-set-back", "XADD $0 1-1 f v", "XGROUP CREATE $0 g $",
            Begin("XREADGROUP GROUP g a BLOCK 0 STREAMS $0 >", on=1), "XGROUP SETID $0 g 0",
            Silent(on=1), "XADD $0 2-1 f v", Read(on=1),
        ),
    ]  # fmt: skip


# What ends a wait of XREADGROUP on $0: its stream or group is no more, or there is something else.
GONE: dict[str, list[Step | Command]] = {
    "del": ["DEL $0"],
    "unlink": ["UNLINK $0"],
    "destroy": ["XGROUP DESTROY $0 g"],
    "rename": ["RENAME $0 $1"],
    "rename-over": ["XADD $1 1-1 f v", "RENAME $1 $0"],
    "move": ["MOVE $0 9"],
    "expiry": ["PEXPIRE $0 5"],
    "expiry-in-the-past": ["EXPIREAT $0 1"],
}
EMPTIED: dict[str, list[Step | Command]] = {
    "flushall": ["FLUSHALL"],
    "flushdb": ["FLUSHDB"],
    "swapdb": ["SWAPDB 0 9"],
}
REPLACED: dict[str, list[Step | Command]] = {
    "set": ["SET $0 s"],
    "rename": ["SET $1 s", "RENAME $1 $0"],
    "copy": ["RPUSH $1 a", "COPY $1 $0 REPLACE"],
    "store": ["SADD $1 a", "SUNIONSTORE $0 $1 $2"],
}
GROUPS = ["XGROUP CREATE $0 g $ MKSTREAM", "XGROUP CREATE $3 g $ MKSTREAM"]
OF_ONE = "XREADGROUP GROUP g a BLOCK 0 STREAMS $0 >"
OF_TWO = "XREADGROUP GROUP g a BLOCK 0 STREAMS $3 $0 > >"


def _ends() -> list[Case]:
    cases = []
    for name, wait, how, ends in [
        ("xreadgroup", OF_ONE, "ended", GONE | EMPTIED),
        ("xreadgroup", OF_ONE, "replaced", REPLACED),
        ("xreadgroup-of-two", OF_TWO, "ended", GONE),
        ("xreadgroup-of-two", OF_TWO, "emptied", EMPTIED),
        ("xreadgroup-of-two", OF_TWO, "replaced", REPLACED),
    ]:
        for by, steps in ends.items():
            first: list[Step | Command] = [*GROUPS, Begin(wait, on=1)]
            cases.append(case(f"{name}-{how}-by-{by}", *first, *steps, Read(on=1), "EXISTS $0 $3"))
    return [
        *cases,
        case("xreadgroup-goes-on", *GROUPS, Begin(OF_ONE, on=1), Begin(OF_TWO, on=2),
             "XGROUP DESTROY $0 h", "XGROUP CREATE $0 h 0", "XGROUP DESTROY $0 h",
             "XTRIM $0 MAXLEN 0", "XGROUP DELCONSUMER $0 g a", Silent(on=1), "XADD $0 1-1 f v",
             Read(on=1), Silent(on=2), "XADD $3 1-1 f v", Read(on=2)),
    ]  # fmt: skip


CASES = [
    *_at_once(),
    *_timeouts(),
    *_served(),
    *_chains(),
    *_orders(),
    *_streams(),
    *_ends(),
]


@pytest.mark.parametrize("a_case", CASES, ids=lambda a_case: a_case.name)
def test_blocking_commands(subject: Server, oracle: Oracle, a_case: Case) -> None:
    oracle.check(a_case, subject)
