"""What random sequences of every family do, as others see it, is what it is on redis-server: which
watched keys they change, which kept reads they make stale, which events they raise."""

from __future__ import annotations

import contextlib

import pytest
from harness.compare import Oracle
from harness.families import families
from harness.ordered_sequences import Family
from harness.process import Server
from harness.sequences import Sequence, sequences
from harness.witnesses import Sight, Witnesses, first_other_sight, notify
from hypothesis import HealthCheck, given, settings

EXAMPLES = 3
LONG_EXAMPLES = 1000
FAMILIES = [Family("keys", sequences), *families()]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
@pytest.mark.timeout(600)
def test_witnessed_sequences(
    subject: Server, oracle: Oracle, family: Family, long_run: bool
) -> None:
    examples = LONG_EXAMPLES if long_run else EXAMPLES
    seen: list[Sight] = []
    with contextlib.ExitStack() as stack:
        for server in (subject, oracle.server):
            notify(server)
            stack.callback(server.control().do, "CONFIG", "SET", "notify-keyspace-events", "")
        ours, theirs = Witnesses(subject, stack), Witnesses(oracle.server, stack)

        @settings(
            max_examples=examples,
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(family.sequences)
        def compare(sequence: Sequence) -> None:
            mine, expected = list(ours.play(sequence)), list(theirs.play(sequence))
            difference = first_other_sight(mine, expected)
            assert difference is None, difference
            seen.extend(mine)

        try:
            compare()
        finally:
            for witnesses in (ours, theirs):
                witnesses.actor.pipeline(family.after)
    assert seen
