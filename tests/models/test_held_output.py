"""J3: nothing leaves before it is safe, and nothing waits for what is."""

from __future__ import annotations

import pytest
from held_output import Model

DEFECTS = [
    "replies pass each other",
    "looks before it publishes",
    "looks once",
    "wakes before it stores",
]


def test_every_interleaving_sends_all_in_time() -> None:
    outcome = Model(5).explore()
    assert outcome.sound, (outcome.violation, outcome.trace)
    assert outcome.states > 100


@pytest.mark.parametrize("defect", DEFECTS)
def test_the_model_notices_a_defect(defect: str) -> None:
    assert not Model(5, frozenset({defect})).explore().sound
