"""Commands that wait, and transactions: nobody waits inside one, and what one makes ready is served
at its end, as a change like any other.
"""

from __future__ import annotations

import pytest
from harness.cases import Begin, Case, Do, Read, Silent, case, in_both_protocols
from harness.compare import Oracle
from harness.process import Server
from test_blocking_commands import GROUPS, OF_ONE, STATE, WAITS


def _in_transactions() -> list[Case]:
    """Inside MULTI nobody waits."""
    return [
        *in_both_protocols(
            "blocking-in-multi", "MULTI", "BLMOVE $0 $1 LEFT LEFT 0", "BRPOPLPUSH $0 $1 0",
            "BLMPOP 0 2 $0 $1 LEFT", "BZPOPMIN $0 $1 0", "BZPOPMAX $0 0", "BZMPOP 0 1 $0 MIN",
            "XREAD BLOCK 0 STREAMS $0 $1 $ 0", "XREADGROUP GROUP g c BLOCK 0 STREAMS $0 >", "EXEC",
            "MULTI", "RPUSH $0 a b", "BLMOVE $0 $1 LEFT LEFT 0", "BRPOPLPUSH $0 $1 0",
            "BLMPOP 0 2 $0 $1 LEFT", "ZADD $2 1 a 2 b 3 c", "BZPOPMIN $2 0", "BZPOPMAX $2 0",
            "BZMPOP 0 1 $2 MIN", "XADD $3 1-1 f v", "XREAD BLOCK 0 STREAMS $3 0",
            "XREAD BLOCK 0 STREAMS $3 $", "EXEC",
        ),
    ]  # fmt: skip


def _served_in_exec() -> list[Case]:
    cases = []
    for name, pushes, wait in WAITS:
        for push, commands in pushes.items():
            steps = [Begin(wait, on=1), "MULTI", *commands, "EXEC", Read(on=1), *STATE]
            cases.append(case(f"{name}-by-{push}-in-exec", *steps))
    return [
        *cases,
        case(
            "blocking-only-the-end-of-exec-counts", Begin("BLMPOP 0 1 $0 LEFT COUNT 9", on=1),
            "MULTI", "RPUSH $0 a", "DEL $0", "EXEC", Silent(on=1),
            "MULTI", "RPUSH $0 a", "SET $0 s", "EXEC", Silent(on=1),
            "MULTI", "DEL $0", "RPUSH $0 b", "LPUSH $0 c", "RPUSH $0 d", "EXEC",
            Read(on=1), "EXISTS $0",
        ),
        case(
            "blocking-keys-of-exec-in-order", Begin("BLMPOP 0 3 $0 $1 $2 LEFT", on=1), "MULTI",
            "RPUSH $2 c", "RPUSH $1 b", "EXEC", Read(on=1), "EXISTS $1", "EXISTS $2",
        ),
        case(
            "blocking-orders-of-keys-in-exec", Begin("BLMOVE $0 $9 LEFT RIGHT 0", on=1),
            Begin("BLMOVE $1 $9 LEFT RIGHT 0", on=2), Begin("BLMOVE $2 $9 LEFT RIGHT 0", on=3),
            "MULTI", "RPUSH $1 b", "RPUSH $2 c", "RPUSH $0 a", "EXEC", Read(on=1), Read(on=2),
            Read(on=3), "LRANGE $9 0 -1",
        ),
        case(
            "xread-both-of-exec", Begin("XREAD BLOCK 0 STREAMS $0 $", on=1),
            Begin("XREAD BLOCK 0 COUNT 1 STREAMS $0 $", on=2), "MULTI", "XADD $0 1-1 f a",
            "XADD $0 2-1 f b", "EXEC", Read(on=1), Read(on=2),
        ),
    ]  # fmt: skip


def _ends_in_exec() -> list[Case]:
    group = GROUPS[:1]
    wait = Begin(OF_ONE, on=1)
    return [
        case("xreadgroup-ended-by-exec", *group, wait, "MULTI", "DEL $0", "EXEC", Read(on=1)),
        case("xreadgroup-of-a-group-made-anew", *group, wait, "MULTI", "XGROUP DESTROY $0 g",
             *group, "EXEC", Silent(on=1), "XADD $0 1-1 f v", Read(on=1)),
        case("xreadgroup-of-a-stream-made-anew", *group, wait, "MULTI", "DEL $0", "XADD $0 9-1 f v",
             "XGROUP CREATE $0 g 0", "EXEC", Read(on=1), "XPENDING $0 g"),
    ]  # fmt: skip


def _watched() -> list[Case]:
    """A served pop is a change like any other."""
    return [
        case(
            "blocking-served-is-seen-by-watch", Begin("BLMOVE $0 $1 LEFT LEFT 0", on=1),
            Do("WATCH $1", on=2), "RPUSH $0 a", Read(on=1), Do("MULTI", on=2), Do("PING", on=2),
            Do("EXEC", on=2),
        ),
        case(
            "blocking-untouched-is-seen-by-watch", Begin("BLMOVE $0 $1 LEFT LEFT 0", on=1),
            Do("WATCH $2", on=2), "RPUSH $0 a", Read(on=1), Do("MULTI", on=2), Do("PING", on=2),
            Do("EXEC", on=2),
        ),
    ]  # fmt: skip


CASES = [
    *_in_transactions(),
    *_served_in_exec(),
    *_ends_in_exec(),
    *_watched(),
]


@pytest.mark.parametrize("a_case", CASES, ids=lambda a_case: a_case.name)
def test_blocking_transactions(subject: Server, oracle: Oracle, a_case: Case) -> None:
    oracle.check(a_case, subject)
