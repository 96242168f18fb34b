"""WATCH over several shards: no write skew, no lost update, no refusal without a change."""

from __future__ import annotations

import pytest
from watch import Client, Clock, Model, Writer

SKEW = (Client("a", "b", on=0), Client("b", "a", on=0))
COUNTERS = (Client("a", "a"), Client("a", "a"), Writer("", "a"))

SOUND = {
    "write skew": SKEW,
    "write skew among three": (*SKEW, Client("c", "ab", on=0), Writer("", "c")),
    "write skew over three keys": (
        Client("ab", "c", on=0),
        Client("bc", "a", on=0),
        Client("ca", "b", on=0),
    ),
    "lost update": COUNTERS,
    "lost update from three": (*COUNTERS, Client("a", "a")),
    "what was watched before": (Client("a", "c", on=0, before="b"), Writer("", "b")),
    "watched before and again": (
        Client("a", "b", on=0, before="ab"),
        Client("b", "a", on=0, before="a"),
        Writer("", "a"),
    ),
    "a deadline": (Client("a", "b", on=0), Client("a", "b", on=0), Clock("", "a")),
}

DEFECTS = {
    "only the commands' shards": SKEW,
    "the flag is read before the take": COUNTERS,
    "the flag is set by a message": COUNTERS,
    "records have no epoch": SOUND["what was watched before"],
    "the flag is stored": SOUND["what was watched before"],
    "what had expired before counts": SOUND["a deadline"],
    "no look at the deadlines": SOUND["a deadline"],
}


@pytest.mark.parametrize("name", SOUND)
def test_every_interleaving_ends_well(name: str) -> None:
    outcome = Model(*SOUND[name]).explore()
    assert outcome.sound, (outcome.violation, outcome.trace)
    assert outcome.states > 30


@pytest.mark.parametrize("defect", DEFECTS)
def test_the_model_notices_a_defect(defect: str) -> None:
    outcome = Model(*DEFECTS[defect], defects=frozenset({defect})).explore()
    assert not outcome.sound
