"""Commands that wait: what is served is notified as if its client had asked for it then."""

from __future__ import annotations

import pytest
from harness.cases import Begin, Case, Do, Read, case
from harness.compare import Oracle
from harness.process import Server


def _notified() -> list[Case]:
    cases = []
    on, off = "CONFIG SET notify-keyspace-events EA", "CONFIG SET notify-keyspace-events ''"
    for name, wait, push, events in [
        ("blmove", "BLMOVE $0 $1 LEFT RIGHT 0", "RPUSH $0 a", 4),
        ("blmpop", "BLMPOP 0 1 $0 LEFT", "RPUSH $0 a b", 2),
        ("bzpopmin", "BZPOPMIN $0 0", "ZADD $0 1 a", 3),
        ("bzmpop", "BZMPOP 0 1 $0 MAX COUNT 2", "ZADD $0 1 a 2 b 3 c", 2),
    ]:
        steps = [on, Do("PSUBSCRIBE __keyevent@0__:*", on=2), Begin(wait, on=1), push, Read(on=1)]
        cases.append(case(f"{name}-served-notifies", *steps, Read(events, on=2), off))
    return cases


@pytest.mark.parametrize("a_case", _notified(), ids=lambda a_case: a_case.name)
def test_blocking_notifications(subject: Server, oracle: Oracle, a_case: Case) -> None:
    oracle.check(a_case, subject)
