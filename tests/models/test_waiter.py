"""A waiter is retired once: one reply, no element lost, memory freed once and not while linked."""

from __future__ import annotations

import explore
import pytest
from waiter import Model

SOUND = {
    "two claimers": (2, 2, ""),
    "three claimers": (3, 3, ""),
    "a claimer and the timer": (1, 2, "timer"),
    "the timer alone": (0, 2, "timer"),
    "unblocked": (0, 1, "unblock"),
    "unblocked at the deadline": (0, 2, "timer unblock"),
    "killed": (0, 2, "kill"),
    "killed when it is claimed": (2, 3, "kill"),
    "unblocked and killed": (1, 2, "unblock kill"),
    "all at once": (2, 3, "timer unblock kill"),
}

DEFECTS = {
    "the claim is no swap": SOUND["two claimers"],
    "the time-out is no swap": SOUND["a claimer and the timer"],
    "unlink without the baton": SOUND["a claimer and the timer"],
    "free at the claim": SOUND["two claimers"],
    "a message has no reference": SOUND["two claimers"],
    "unblock has no reference": SOUND["unblocked at the deadline"],
    "the word to unlink has no reference": SOUND["killed when it is claimed"],
    "the word's link is taken for granted": SOUND["killed when it is claimed"],
    "the dead leave their links": SOUND["killed"],
}


def run(
    claimers: int, shards: int, events: str, defects: frozenset[str] = frozenset()
) -> explore.Outcome:
    return Model(claimers, shards, events, defects).explore()


@pytest.mark.parametrize("name", SOUND)
def test_every_interleaving_ends_well(name: str) -> None:
    outcome = run(*SOUND[name])
    assert outcome.sound, (outcome.violation, outcome.trace)
    assert outcome.states > 5


@pytest.mark.parametrize("defect", DEFECTS)
def test_the_model_notices_a_defect(defect: str) -> None:
    assert not run(*DEFECTS[defect], defects=frozenset({defect})).sound
