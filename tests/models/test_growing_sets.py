"""Serving waiters: no deadlock, no lost wake-up, nobody serves where it is not in the room."""

from __future__ import annotations

import pytest
from growing_sets import Call, Model, Script, Waiter

CHAIN = (Waiter(keys="b", into="c"), Waiter(keys="c", into="a"))

SOUND = {
    "one hop": (Call(("push c",)), Call(("push a",)), Waiter(keys="c", into="a")),
    "a chain downwards": (*CHAIN, Call(("push b",)), Call(("push a", "push c"))),
    "a circle": (Waiter(keys="a", into="b"), Waiter(keys="b", into="a"), Call(("push a",))),
    "first come first served": (Waiter(keys="b"), Waiter(keys="b"), Call(("push b", "push b"))),
    "several keys": (Waiter(keys="ba"), Call(("push a",)), Call(("push b",), own=1)),
    "who leaves": (
        Waiter(keys="ab", timed=True),
        Waiter(keys="b", into="a", timed=True),
        Call(("push b",)),
        Call(("pop a",)),
    ),
    "a transaction": (
        Waiter(keys="a", into="b"),
        Waiter(keys="b"),
        Call(("push a", "push c", "pop a", "push a")),
    ),
    "shard threads": (
        Waiter(keys="c", into="a", own=2),
        Call(("push c",), own=2),
        Call(("push b", "push c"), own=1),
    ),
    "a script": (
        Waiter(keys="c", into="a"),
        Script(("push c",), declared="b"),
        Call(("push a",), own=0),
        Call(("push c",)),
    ),
    "two scripts": (
        Waiter(keys="b", into="a"),
        Script(("push c", "push b"), declared="c"),
        Script(("push a", "pop c"), declared="a"),
    ),
    "all at once": (
        *CHAIN,
        Waiter(keys="cb", own=1, timed=True),
        Script(("push b",), declared="c"),
        Call(("push b", "push c"), own=1),
    ),
    "a chain, and others that come and go": (
        *CHAIN,
        Waiter(keys="a", timed=True),
        Call(("push b",), own=1),
        Call(("move c b", "push a")),
    ),
    "a script that moves": (
        *CHAIN,
        Script(("push b", "move a b"), declared=""),
        Call(("push c",)),
    ),
}

DEFECTS = {
    "no second look": SOUND["a chain downwards"],
    "serves with its own mask": SOUND["one hop"],
    "extends behind its effect": (
        Waiter(keys="c", into="a"),
        Call(("push c",)),
        Call(("push a", "push c")),
    ),
    "the hint is read before the take": SOUND["one hop"],
    "serves after its drop": (Waiter(keys="b"), Call(("push b",)), Call(("pop b",))),
    "registers after a drop": (Waiter(keys="b"), Call(("push b",))),
    "what serving makes ready is forgotten": SOUND["a chain downwards"],
    "a dead link hides who is behind": (
        Waiter(keys="a", timed=True),
        Waiter(keys="a"),
        Call(("push a",)),
    ),
    "last come first served": SOUND["first come first served"],
}


@pytest.mark.parametrize("name", SOUND)
def test_every_interleaving_ends_well(name: str) -> None:
    outcome = Model(*SOUND[name]).explore()
    assert outcome.sound, (outcome.violation, outcome.trace)
    assert outcome.states > 50


@pytest.mark.parametrize("defect", DEFECTS)
def test_the_model_notices_a_defect(defect: str) -> None:
    outcome = Model(*DEFECTS[defect], defects=frozenset({defect})).explore()
    assert not outcome.sound
