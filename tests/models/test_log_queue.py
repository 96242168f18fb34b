"""A ticket covers what was pushed, becomes safe, and nobody sleeps for ever."""

from __future__ import annotations

import explore
import pytest
from log_queue import Model

SOUND = {
    "one": "a",
    "two of a shard": "a a",
    "two shards": "a b",
    "a gap": "a!",
    "a gap before": "a! a",
    "a gap beside": "a! b",
    "a gap between": "a a! a",
    "a close": "a b close",
    "a close behind a gap": "a a! close",
}

DEFECTS = {
    "counted behind the push": "a b",
    "the ticket is taken before the push": "a b",
    "rung before the push": "a",
    "who waits counts itself too late": "a",
    "who waits looks once": "a",
    "sleepers are looked for too early": "a",
    "it parks without another look": "a",
    "gaps are taken first": "a! a",
    "it looks for the close behind the take": "a close",
}


def run(pushers: str, defects: frozenset[str] = frozenset()) -> explore.Outcome:
    return Model(pushers, defects).explore()


@pytest.mark.parametrize("name", SOUND)
def test_every_interleaving_ends_well(name: str) -> None:
    outcome = run(SOUND[name])
    assert outcome.sound, (outcome.violation, outcome.trace)
    assert outcome.states > 10


@pytest.mark.parametrize("defect", DEFECTS)
def test_the_model_notices_a_defect(defect: str) -> None:
    assert not run(DEFECTS[defect], frozenset({defect})).sound
