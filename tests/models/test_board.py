"""The board: no deadlock, one order of messages, nothing missed, no reply passes a message."""

from __future__ import annotations

import pytest
from board import Call, Model, Script, Thread

LISTENER = Thread(("x subscribe", "x read a"))
PUBLISHERS = (Call(("publish", "set a")), Call(("set b", "publish")))

SOUND = {
    "publishers": (*PUBLISHERS, Call(("set a", "publish", "set b", "publish"))),
    "a reader": (LISTENER, PUBLISHERS[0]),
    "two listening shards": (
        Thread(("x subscribe",)),
        Thread(("y subscribe",)),
        *PUBLISHERS,
    ),
    "two clients of one shard": (
        Thread(("x subscribe", "y subscribe, x read a")),
        *PUBLISHERS,
    ),
    "a transaction": (LISTENER, PUBLISHERS[1], Call(("publish", "set a", "publish"))),
    "who publishes and listens": (
        Thread(("x subscribe", "x publish, x read b")),
        Thread(("y subscribe, y publish",)),
        PUBLISHERS[1],
    ),
    "who leaves": (
        Thread(("x subscribe", "x unsubscribe, x read a")),
        *PUBLISHERS,
    ),
    "a script": (LISTENER, Script(("publish", "set b", "set a")), *PUBLISHERS),
    "two scripts": (
        Script(("set b", "publish", "set a", "publish")),
        Script(("publish", "set a", "set b")),
        Call(("set a", "publish")),
        Thread(("x subscribe",)),
    ),
}

DEFECTS = {
    "an open set keeps the board": (Script(("publish", "set a")), PUBLISHERS[0]),
    "the board is hushed": (Script(("set b", "publish", "set a")), PUBLISHERS[0]),
    "no drain after the take": SOUND["a reader"],
    "no drain before publish": SOUND["who publishes and listens"],
    "no drain before subscribe": SOUND["two clients of one shard"],
    "no drain before unsubscribe": SOUND["who leaves"],
    "no drain after a reply": SOUND["who publishes and listens"],
    "a stream for each publisher": SOUND["two listening shards"],
    "acknowledged before it is registered": SOUND["two listening shards"],
    "each publication leaves by itself": SOUND["a transaction"],
    "published after the drop": SOUND["a reader"],
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
