"""S1 to S4: order, no lost message, no lost wake-up, no forgotten backlog."""

from __future__ import annotations

import pytest
from stream_park import Model

DEFECTS = [
    "wake before mark",
    "look before announce",
    "push passes the backlog",
    "backlog is not announced",
    "room is not looked at again",
    "pops once",
]


@pytest.mark.parametrize("entries", [1, 2, 4])
def test_every_interleaving_delivers_all_in_order(entries: int) -> None:
    outcome = Model(6, entries).explore()
    assert outcome.sound, (outcome.violation, outcome.trace)
    assert outcome.states > 100


@pytest.mark.parametrize("defect", DEFECTS)
def test_the_model_notices_a_defect(defect: str) -> None:
    assert not Model(6, 2, frozenset({defect})).explore().sound
