"""Histories of transactions, waiters and messages have an order that explains them.

Clients send batches, block, are reset and are killed; keys lie on different shards. The long
version is `./test --long histories`.
"""

from __future__ import annotations

import time
from collections import Counter

import pytest
from harness.blockers import hurry
from harness.client import Connection, connections
from harness.embedded import EMBEDDED, Embedded
from harness.histories import (
    KEYS_EACH,
    PROFILES,
    Tally,
    history,
    message_history,
)
from harness.linearize import Call, explain, order_of
from harness.model import plain
from harness.process import C_SERVER, Server
from harness.resp import encode_all

# How many of each kind; waiters take their time.
HISTORIES = {"transactions": 40, "lists": 14, "messages": 24}
GROUPS = 16
SEED = 20

MUST_SEE = {
    "transactions": ("committed", "aborted", "unanswered", "gone", "rename", "copy"),
    "lists": ("committed", "served", "timed out", "unanswered", "gone", "rename", "copy"),
    "messages": ("committed", "publish", "receive", "drained", "unanswered", "gone"),
}


def _keys(spread: list[str], number: int) -> list[str]:
    """Others than those of the history before, where someone killed may still be waiting."""
    first = number % GROUPS * KEYS_EACH
    return spread[first : first + KEYS_EACH]


@pytest.mark.parametrize("profile", PROFILES)
def test_an_order_explains_what_connections_saw(order_subject: Server, profile: str) -> None:
    hurry(order_subject)
    tally = Tally()
    spread = order_subject.spread(KEYS_EACH * GROUPS)
    for number in range(HISTORIES[profile]):
        seed = f"{SEED} {profile} {number}"
        calls = history(order_subject, PROFILES[profile], _keys(spread, number), seed)
        tally.check(calls, seed, again=not order_subject.is_redis)
    tally.require(*MUST_SEE[profile])


def test_an_order_explains_what_listeners_saw(order_subject: Server) -> None:
    tally = Tally()
    spread = order_subject.spread(KEYS_EACH * GROUPS)
    for number in range(HISTORIES["messages"]):
        seed = f"{SEED} messages {number}"
        calls = message_history(order_subject, _keys(spread, number), seed)
        tally.check(calls, seed, again=not order_subject.is_redis)
    tally.require(*MUST_SEE["messages"])


@pytest.mark.parametrize("size", [1, 10])
def test_no_write_skew(order_subject: Server, size: int) -> None:
    """Each watches one key, reads it and writes the other: never do both succeed from one state."""
    keys = order_subject.spread(4)
    commits: Counter[int] = Counter()
    with connections(order_subject.address, 2) as clients:
        for number in range(120 // size):
            x, y = keys[number % 3], keys[number % 3 + 1]
            assert order_subject.control().do("DEL", x, y).kind == "integer"
            calls: list[Call] = []
            invoked = time.perf_counter()
            for at, (watched, written) in enumerate([(x, y), (y, x)]):
                clients[at].send(encode_all(_skew(watched, written, f"{at}") * size))
            for at, (watched, written) in enumerate([(x, y), (y, x)]):
                calls += _skew_calls(clients[at], at, watched, written, size, invoked)
            order = order_of(calls)
            assert order is not None, f"no order explains\n{explain(calls)}"
            committed = sum(c.command[0] == "EXEC" and c.answer is not None for c in calls)
            commits[committed] += 1
    assert sum(commits.values()) == 120 // size
    assert commits[0] == 0, "one of two always succeeds"


def _skew(watched: str, written: str, value: str) -> list[tuple]:
    return [("WATCH", watched), ("GET", watched), ("MULTI",), ("SET", written, value), ("EXEC",)]


def _skew_calls(
    connection: Connection, client: int, watched: str, written: str, size: int, invoked: float
) -> list[Call]:
    calls = []
    for _ in range(size):
        watch, read, multi, queued, done = map(plain, connection.read_many(5))
        assert (watch, multi, queued) == (b"OK", b"OK", b"QUEUED")
        commands = [("WATCH", watched), ("GET", watched), ("EXEC", ("SET", written, f"{client}"))]
        now = time.perf_counter()
        for command, answer in zip(commands, (watch, read, done), strict=True):
            calls.append(Call(client, command, invoked, now, answer))
    return calls


def test_a_message_is_there_when_its_publisher_has_its_answer(order_subject: Server) -> None:
    """What the listener asks after that comes behind the message."""
    with connections(order_subject.address, 4) as (listener, *publishers):
        assert listener.do("HELLO", 3).kind == "map"
        assert listener.do("SUBSCRIBE", "c").kind == "push"
        for number in range(60):
            publisher = publishers[number % 3]
            assert publisher.do("PUBLISH", "c", number).value == 1
            listener.send(encode_all([("PING",)]))
            message, pong = listener.read_many(2)
            assert message.kind == "push", "the message came late"
            assert (message.value[2].value, pong.value) == (b"%d" % number, b"PONG")


# ---- In the process ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EMBEDDED)
def test_an_order_explains_what_callers_in_the_process_saw(name: str) -> None:
    """Every other client is a session."""
    if C_SERVER:
        pytest.skip("the server under test is a C program")
    tally = Tally()
    with Embedded(**EMBEDDED[name]) as place:
        spread = place.spread(KEYS_EACH * GROUPS)
        for kind, profile in PROFILES.items():
            for number in range(HISTORIES[kind]):
                seed = f"{SEED} {name} {kind} {number}"
                calls = history(place, profile, _keys(spread, number), seed, sessions=place.session)
                tally.check(calls, seed, again=True)
    tally.require("committed", "aborted", "served", "timed out", "rename", "copy")
