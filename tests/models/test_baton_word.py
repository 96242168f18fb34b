"""Mutual exclusion, fairness, no lost wake-up and no dead end of the baton's word."""

from __future__ import annotations

import pytest
from baton_word import Model

SOUND = {
    "takers": ("take drop take drop", "take drop", "take drop"),
    "yield": ("take yield drop", "take drop take drop", "take drop"),
    "two yields": ("take yield drop", "take yield drop", "take drop"),
    "deadlines": ("timed drop take drop", "timed drop", "take drop"),
    "deadlines behind a closed door": ("take yield drop", "timed drop", "timed drop"),
    "close": ("take close", "take drop take drop", "timed drop"),
    "close behind a closed door": ("take yield close", "take drop", "take drop"),
    "hush": ("hush", "take yield drop", "take drop"),
    "hush and deadlines": ("hush", "timed drop", "take drop take drop"),
}

DEFECTS = {
    "drop wakes nobody": SOUND["takers"],
    "take forgets sleepers": SOUND["takers"],
    "withdrawal forgets sleepers": SOUND["deadlines"],
    "door stays closed": SOUND["yield"],
    "doors read late": SOUND["two yields"],
}


@pytest.mark.parametrize("name", SOUND)
def test_every_interleaving_ends_well(name: str) -> None:
    outcome = Model(*SOUND[name]).explore()
    assert outcome.sound, (outcome.violation, outcome.trace)
    assert outcome.states > 500


RIVALS = ("take drop", "take drop " * 2, "take drop " * 3)


def test_a_waiter_is_overtaken_a_bounded_number_of_times() -> None:
    """Once while the door is open (BARGES is 1 here), then once by each rival of its cohort."""
    outcome = Model(*RIVALS, bound=3).explore()
    assert outcome.sound, (outcome.violation, outcome.trace)


def test_without_counting_turns_two_rivals_could_starve_a_third() -> None:
    outcome = Model(*RIVALS, bound=3, defects=frozenset({"turns are not counted"})).explore()
    assert not outcome.sound


@pytest.mark.parametrize("defect", DEFECTS)
def test_the_model_notices_a_defect(defect: str) -> None:
    outcome = Model(*DEFECTS[defect], defects=frozenset({defect})).explore()
    assert not outcome.sound
