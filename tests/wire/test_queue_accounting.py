"""No element of a queue is lost or received twice, whoever dies.

The long version is `./test --long queues`; tests/harness/queues.py says what is counted.
"""

from __future__ import annotations

import pytest
from harness.blockers import hurry
from harness.embedded import EMBEDDED, Embedded
from harness.process import C_SERVER, Server
from harness.queues import CONSUMERS, run_queues

SECONDS = 0.35
KEYS = 3 + CONSUMERS + 1


@pytest.mark.parametrize("reliable", [False, True], ids=["taken", "moved"])
def test_every_element_is_accounted_for(subject: Server, reliable: bool) -> None:
    hurry(subject)
    account = run_queues(
        subject, subject.spread(KEYS), "short", SECONDS, reliable=reliable, sessions=False
    )
    kinds = ("BLMOVE", "BRPOPLPUSH") if reliable else ("BLPOP", "BRPOP", "BLMPOP", "BLMOVE")
    account.require(*kinds, "timed out", "died", "client kill")


@pytest.mark.parametrize("name", EMBEDDED)
def test_with_sessions_in_the_process(name: str) -> None:
    if C_SERVER:
        pytest.skip("the server under test is a C program")
    with Embedded(**EMBEDDED[name]) as place:
        for reliable in (False, True):
            account = run_queues(
                place, place.spread(KEYS), "sessions", SECONDS / 2, reliable=reliable, sessions=True
            )
            account.require("BLMOVE", "timed out", "died", "client kill")
