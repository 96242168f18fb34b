"""Random histories of concurrent clients, checked for an order that explains them.

    ./test --long histories --minutes 30 --configurations epoll-3-never --seed 7

Connections that are reset and killed, sessions in the process, waiters, transactions, listeners:
see tests/harness/histories.py. A failure shows its history and its seed; the same seed makes the
same calls, but how they overlap is decided anew.
"""

from __future__ import annotations

import contextlib
import time
from itertools import count

import pytest
from harness.embedded import EMBEDDED, Embedded
from harness.histories import KEYS_EACH, PROFILES, Tally, history, message_history
from harness.matrix import ORDER_MATRIX, Configuration
from harness.process import C_SERVER, Server

GROUPS = 16
HISTORIES_PER_TURN = 10


@pytest.mark.timeout(0)
def test_histories(pytestconfig: pytest.Config, duration_s: float, seed: int) -> None:
    deadline = time.monotonic() + duration_s
    wanted = set(filter(None, pytestconfig.getoption("--configurations").split(",")))
    tallies: dict[str, Tally] = {}
    with contextlib.ExitStack() as stack:
        places: dict[str, Server | Embedded] = {}
        for configuration in _chosen(wanted):
            places[configuration.name] = stack.enter_context(Server(configuration))
        if not wanted and not C_SERVER:
            for name, options in EMBEDDED.items():
                places[name] = stack.enter_context(Embedded(**options))
        for turn in count():
            for name, place in places.items():
                tally = tallies.setdefault(name, Tally())
                _turn(name, place, tally, f"{seed} {turn}")
            if time.monotonic() > deadline:
                break
    for name, tally in tallies.items():
        print(f"{name}: {dict(tally.seen)}")
        tally.require("committed", "served", "timed out", "unanswered", "gone", "receive")


def _chosen(wanted: set[str]) -> list[Configuration]:
    return [c for c in ORDER_MATRIX if c.name in wanted or (not wanted and not c.is_redis)]


def _turn(name: str, place: Server | Embedded, tally: Tally, seed: str) -> None:
    spread = place.spread(KEYS_EACH * GROUPS)
    sessions = place.session if isinstance(place, Embedded) else None
    again = isinstance(place, Embedded) or not place.is_redis
    for number in range(HISTORIES_PER_TURN):
        first = number % GROUPS * KEYS_EACH
        keys = spread[first : first + KEYS_EACH]
        for kind, profile in PROFILES.items():
            label = f"{seed} {name} {kind} {number}"
            tally.check(history(place, profile, keys, label, sessions=sessions), label, again=again)
        label = f"{seed} {name} messages {number}"
        tally.check(message_history(place, keys, label), label, again=again)
