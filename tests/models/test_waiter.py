"""A waiter is answered once, no element is lost, its memory is freed once and out of its queues."""

from __future__ import annotations

import explore
import pytest
from waiter import Model

SOUND = {
    "two elements": ("element element", ""),
    "three elements": ("element element element", ""),
    "tried in vain": ("vain element vain", ""),
    "an element and the timer": ("element", "timer"),
    "the timer alone": ("", "timer"),
    "tried in vain at the deadline": ("vain vain element", "timer"),
    "unblocked": ("", "unblock"),
    "unblocked at the deadline": ("vain", "timer unblock"),
    "killed": ("", "kill"),
    "killed when it is tried": ("vain vain element", "kill"),
    "the key is gone": ("gone gone", "timer kill"),
    "gone, and there again": ("gone element", "timer unblock kill"),
    "all at once": ("element vain gone element", "timer unblock kill"),
}

DEFECTS = {
    "trying is no swap": SOUND["an element and the timer"],
    "the claim is no swap": SOUND["killed when it is tried"],
    "the time-out is no swap": SOUND["an element and the timer"],
    "the time-out comes once": ("vain", "timer"),
    "who tries holds one baton": ("vain element", ""),
    "it leaves its queues without the batons": SOUND["an element and the timer"],
    "free at the claim": SOUND["two elements"],
    "unblock has no reference": SOUND["unblocked at the deadline"],
    "the dead stay in their queues": SOUND["killed"],
    "the dead give up": ("vain vain", "kill"),
}


def run(claimers: str, events: str, defects: frozenset[str] = frozenset()) -> explore.Outcome:
    return Model(claimers, events, defects).explore()


@pytest.mark.parametrize("name", SOUND)
def test_every_interleaving_ends_well(name: str) -> None:
    outcome = run(*SOUND[name])
    assert outcome.sound, (outcome.violation, outcome.trace)
    assert outcome.states > 3


@pytest.mark.parametrize("defect", DEFECTS)
def test_the_model_notices_a_defect(defect: str) -> None:
    assert not run(*DEFECTS[defect], defects=frozenset({defect})).sound
