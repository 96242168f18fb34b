"""Producers and consumers for as long as one likes, with an account of every element.

    ./test --long queues --minutes 30 --configurations io_uring-3-never --seed 7

Connections are reset and killed, sessions take part in the process: see tests/harness/queues.py.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from itertools import count

import pytest
from harness.embedded import EMBEDDED, Embedded
from harness.matrix import ORDER_MATRIX
from harness.process import C_SERVER, Server
from harness.queues import CONSUMERS, run_queues

SECONDS_EACH = 5.0
KEYS = 3 + CONSUMERS + 1


@pytest.mark.timeout(0)
def test_queues(pytestconfig: pytest.Config, duration_s: float, seed: int) -> None:
    deadline = time.monotonic() + duration_s
    wanted = set(filter(None, pytestconfig.getoption("--configurations").split(",")))
    seen: Counter[str] = Counter()
    with contextlib.ExitStack() as stack:
        places: list[Server | Embedded] = [
            stack.enter_context(Server(c))
            for c in ORDER_MATRIX
            if c.name in wanted or (not wanted and not c.is_redis)
        ]
        if not wanted and not C_SERVER:
            places += [stack.enter_context(Embedded(**options)) for options in EMBEDDED.values()]
        for turn in count():
            for place in places:
                for reliable in (False, True):
                    account = run_queues(
                        place,
                        place.spread(KEYS),
                        f"{seed} {turn}",
                        min(SECONDS_EACH, duration_s / (2 * len(places))),
                        reliable=reliable,
                        sessions=isinstance(place, Embedded),
                    )
                    seen += account.seen
                    seen["pushed"] += len(account.pushed)
            if time.monotonic() > deadline:
                break
    print(f"nothing lost: {dict(seen)}")
    assert all(seen[kind] for kind in ("BLPOP", "BLMOVE", "died", "client kill", "pushed"))
