"""B1: no deadlock over several batons, and nothing torn, with open sets too."""

from __future__ import annotations

import pytest
from baton_set import Publisher, Script, Shard, Static, explore_agents

COORDINATORS = (Static((0, 2)), Shard((0, 1), own=1), Shard((1, 2), own=2))
SCRIPTS = (Script((2,), extra=(1, 0)), Script((1,), extra=(0,)), Script((0,), extra=(2,)))

SOUND = {
    "coordinators": COORDINATORS,
    "a script among coordinators": (*COORDINATORS, Script((2,), extra=(0,))),
    "two scripts": (*COORDINATORS[:2], SCRIPTS[0], Script((0,), extra=(2, 1))),
    "three scripts": (Static((0, 1, 2)), Shard((0, 2), own=2), *SCRIPTS),
    "a script with a declared set": (*COORDINATORS[:2], Script((0, 2), extra=(1,))),
}
PUBLISHERS = (
    Publisher((0,), board=3),
    Publisher((1,), board=3),
    Static((0, 1, 2)),
    Script((2,), extra=(0, 1, 3)),
)

DEFECTS = {
    "no ticket": (SCRIPTS[0], SCRIPTS[2], COORDINATORS[0]),
    "no hush": SOUND["a script among coordinators"],
    "hush is ignored": SOUND["a script among coordinators"],
    "hush wakes nobody": SOUND["two scripts"],
    "a script drops and starts again": SOUND["a script among coordinators"],
    "a shard waits for a lower one": COORDINATORS,
}


@pytest.mark.parametrize("name", SOUND)
def test_every_interleaving_ends_well(name: str) -> None:
    outcome = explore_agents(*SOUND[name])
    assert outcome.sound, (outcome.violation, outcome.trace)
    assert outcome.states > 100


def test_the_board_is_taken_last_and_outside_hush() -> None:
    outcome = explore_agents(*PUBLISHERS, batons=4)
    assert outcome.sound, (outcome.violation, outcome.trace)


def test_a_hushed_board_would_deadlock() -> None:
    hushed = frozenset({"the board is hushed"})
    assert not explore_agents(*PUBLISHERS, batons=4, defects=hushed).sound


@pytest.mark.parametrize("defect", DEFECTS)
def test_the_model_notices_a_defect(defect: str) -> None:
    outcome = explore_agents(*DEFECTS[defect], defects=frozenset({defect}))
    assert not outcome.sound
