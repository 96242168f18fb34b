"""Random histories of concurrent clients, checked for an order that explains them.

    ./test --long histories --minutes 30 --configurations epoll-3-never --seed 7

Connections that are reset and killed, sessions in the process, waiters, transactions, listeners:
see tests/harness/histories.py. A failure shows its history and its seed; the same seed makes the
same calls, but how they overlap is decided anew.
"""

from __future__ import annotations

import contextlib
import threading
import time
from itertools import count

import pytest
from harness.client import Connection, connections
from harness.embedded import EMBEDDED, Embedded
from harness.histories import KEYS_EACH, PROFILES, Tally, history, message_history
from harness.matrix import MATRIX, ORDER_MATRIX, Configuration
from harness.process import C_SERVER, Server
from harness.resp import encode

GROUPS = 16
HISTORIES_PER_TURN = 10
KILLS = 250
MESSAGES = 200


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


@pytest.mark.parametrize("configuration", MATRIX, ids=lambda configuration: configuration.name)
def test_who_is_killed_and_not_counted_receives_nothing(configuration: Configuration) -> None:
    """Others on the same channel and shard go on; a message that PUBLISH counts without the killed
    one does not reach it."""
    with Server(configuration) as server, connections(server.address, 5) as others:
        publisher, killer, *stay = others
        for other in stay:
            assert other.do("SUBSCRIBE", "c").kind == "array"
        partly = 0
        for number in range(KILLS):
            with server.connect() as victim:
                own_id = victim.do("CLIENT", "ID").value
                assert victim.do("SUBSCRIBE", "c").kind == "array"
                work = threading.Thread(target=_publish_many, args=(publisher,))
                work.start()
                time.sleep(0.0002 + number % 10 * 0.0001)
                assert killer.do("CLIENT", "KILL", "ID", own_id).value == 1
                work.join()
                counts = [reply.value for reply in publisher.read_many(MESSAGES)]
                got = [int(reply.value[2].value) for reply in victim.read_until_closed()]
            for other in stay:
                other.read_many(MESSAGES)
            wrong = [at for at in got if counts[at] <= len(stay)]
            assert not wrong, f"kill {number}: {len(wrong)} messages were received and not counted"
            partly += 0 < len(got) < MESSAGES
        assert partly > 0, "nobody was killed between two messages"


def _publish_many(publisher: Connection) -> None:
    for at in range(MESSAGES):
        publisher.send(encode("PUBLISH", "c", at))


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
        calls = message_history(place, keys, label)
        tally.check(calls, label, again=again)
