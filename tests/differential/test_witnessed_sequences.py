"""What random sequences of every family do, as others see it, is what it is on redis-server: which
watched keys they change, which kept reads they make stale, which events they raise, and whom that
waits they serve with what."""

from __future__ import annotations

import contextlib

import pytest
from harness.compare import Oracle
from harness.families import families
from harness.ordered_sequences import Family
from harness.process import Server
from harness.sequences import Sequence, sequences
from harness.witnesses import Serving, Sight, Waiters, Witnesses, first_other_sight, notify
from hypothesis import HealthCheck, Phase, given, settings

EXAMPLES = 3
LONG_EXAMPLES = 1000
FAMILIES = [Family("keys", sequences), *families()]
# Those of whose values somebody may wait, and what moves keys.
WAITED_FOR = {"keys", "lists", "sorted-sets", "positions", "streams", "consumer-groups"}


def _compare(
    family: Family,
    ours: Witnesses | Waiters,
    theirs: Witnesses | Waiters,
    examples: int,
) -> list[Sight | Serving]:
    seen: list[Sight | Serving] = []

    @settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
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
    return seen


def _examples(long_run: bool) -> int:
    return LONG_EXAMPLES if long_run else EXAMPLES


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
@pytest.mark.timeout(600)
def test_what_others_see(few: Server, oracle: Oracle, family: Family, long_run: bool) -> None:
    with contextlib.ExitStack() as stack:
        for server in (few, oracle.server):
            notify(server)
            stack.callback(server.control().do, "CONFIG", "SET", "notify-keyspace-events", "")
        ours, theirs = Witnesses(few, stack), Witnesses(oracle.server, stack)
        seen = _compare(family, ours, theirs, _examples(long_run))
    assert any(sight.changed for sight in seen)
    assert any(sight.invalidated for sight in seen)
    assert any(sight.notified for sight in seen)


@pytest.mark.parametrize(
    "family", [f for f in FAMILIES if f.name in WAITED_FOR], ids=lambda family: family.name
)
@pytest.mark.timeout(600)
def test_who_is_served(few: Server, oracle: Oracle, family: Family, long_run: bool) -> None:
    with contextlib.ExitStack() as stack:
        ours, theirs = Waiters(few, stack), Waiters(oracle.server, stack)
        seen = _compare(family, ours, theirs, _examples(long_run))
    answers = [answer for serving in seen for _, _, answer in serving.answers]
    assert None in answers
    assert family.name == "keys" or any(answer and answer.kind == "array" for answer in answers)
