"""Who only looks on sees the one order in which everything happens.

What MONITOR shows, played on a sequential model line by line, gives the answers that the clients
got. What a client keeps of its reads until it is told that they are out of date is never stale.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from harness.client import Connection, connections
from harness.histories import batches_of, play_all, transactions
from harness.linearize import Call, Recorder
from harness.model import Model, plain
from harness.players import WirePlayer
from harness.process import Server
from harness.resp import OK, Reply, encode_all

ROUNDS = 8
CLIENTS = 4
CALLS = 20
# What the model has no need to play: it gets the body of a transaction line by line.
NOT_PLAYED = {"MULTI", "EXEC", "WATCH", "UNWATCH"}

LINE = re.compile(rb'[\d.]+ \[\d+ (\S+)\] (".*")$')
WORD = re.compile(rb'"((?:[^"\\]|\\.)*)"')


# ---- MONITOR -------------------------------------------------------------------------------------


def test_what_monitor_shows_explains_every_answer(subject: Server) -> None:
    played = 0
    for number in range(ROUNDS):
        keys = subject.spread(3 * ROUNDS)[3 * number : 3 * number + 3]
        choose = random.Random(f"monitor {number}")
        depth = choose.choice([1, 2, 8])
        batches = [batches_of(choose, transactions, keys, i, CALLS, depth) for i in range(CLIENTS)]
        recorder = Recorder()
        players = [WirePlayer(i, recorder, subject) for i in range(CLIENTS)]
        addresses = {player.address(): player.name for player in players}
        with subject.connect() as monitor:
            assert monitor.do("MONITOR") == OK
            play_all(players, batches)
            assert subject.control().do("ECHO", f"end {number}").kind == "bulk"
            lines = list(_lines_until(monitor, f"end {number}".encode()))
        played += _replay(lines, addresses, recorder.calls)
    assert played > ROUNDS * CLIENTS


def _lines_until(monitor: Connection, end: bytes) -> Iterator[tuple[str, tuple[bytes, ...]]]:
    """(address, command) of every line before the one that echoes the end."""
    while True:
        match = LINE.match(monitor.read().value)
        assert match is not None
        words = tuple(WORD.findall(match[2]))
        if words == (b"ECHO", end):
            return
        yield match[1].decode(), words


def _replay(
    lines: list[tuple[str, tuple[bytes, ...]]], addresses: dict[str, Any], calls: list[Call]
) -> int:
    """Plays the lines, and compares with what each client was answered, in its order."""
    answers = {
        name: _single_steps([c for c in calls if c.client == name]) for name in range(CLIENTS)
    }
    model = Model()
    played = 0
    for at, (address, words) in enumerate(lines):
        name = words[0].decode().upper()
        if address not in addresses or name in NOT_PLAYED:
            continue
        command, answer = answers[addresses[address]].pop(0)
        shown = tuple(word.decode() for word in words)
        assert shown == tuple(map(str, command)), f"line {at} is out of its client's order"
        expected = model.execute((name, *words[1:]))
        assert answer == expected, f"line {at}: {command} answered {answer}, not {expected}"
        played += 1
    left = {name: steps for name, steps in answers.items() if steps}
    assert not left, f"MONITOR did not show {left}"
    return played


def _single_steps(calls: list[Call]) -> list[tuple[tuple, Any]]:
    """Commands with their answers; those of a transaction one by one, none of one that failed."""
    steps: list[tuple[tuple, Any]] = []
    for call in calls:
        if call.command[0] != "EXEC":
            steps.append((call.command, call.answer))
        elif call.answer is not None:
            steps += zip(call.command[1:], call.answer, strict=True)
    return [step for step in steps if step[0][0] not in NOT_PLAYED]


# ---- CLIENT TRACKING -----------------------------------------------------------------------------


class Cache:
    """What a client remembers of its reads; invalidations and replies come in one stream."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.kept: dict[bytes, bytes | None] = {}
        self.seen: Counter[str] = Counter()

    def read(self, keys: list[str]) -> None:
        """Asks for keys in one write."""
        self.connection.send(encode_all(("GET", key) for key in keys))
        for key in keys:
            self.kept[key.encode()] = plain(self.reply())
            self.seen["read"] += 1

    def reply(self) -> Reply:
        """The next reply that is no invalidation."""
        while (reply := self.connection.read()).kind == "push":
            kind, keys = reply.value
            assert kind.value == b"invalidate", reply
            for key in keys.value:
                self.seen["invalidated"] += self.kept.pop(key.value, self) is not self
        return reply


@pytest.mark.parametrize("mode", ["default", "BCAST"])
def test_what_a_client_keeps_is_never_stale(subject: Server, mode: str) -> None:
    choose = random.Random(f"tracking {mode}")
    keys = subject.spread(9)
    options = [mode] if mode == "BCAST" else []
    with connections(subject.address, 4) as (reader, *writers):
        assert reader.do("HELLO", 3).kind == "map"
        assert reader.do("CLIENT", "TRACKING", "ON", *options) == OK
        cache = Cache(reader)
        for number in range(60):
            writes = [_writes(choose, keys, f"{number}.{i}") for i in range(len(writers))]
            for writer, commands in zip(writers, writes, strict=True):
                writer.send(encode_all(commands))
            for _ in range(choose.randint(1, 4)):
                cache.read(choose.choices(keys, k=choose.randint(1, 12)))
            for writer, commands in zip(writers, writes, strict=True):
                assert all(reply.kind != "error" for reply in writer.read_many(len(commands)))
            # Behind the writers' answers nothing is on its way any more.
            cache.connection.send(encode_all([("PING",)]))
            assert cache.reply().value == b"PONG"
            kept = list(cache.kept.items())
            now = writers[0].pipeline([("GET", key) for key, _ in kept])
            stale = [pair for pair, reply in zip(kept, now, strict=True) if pair[1] != reply.value]
            assert not stale, f"round {number}: kept, but not so any more: {stale}"
            cache.seen["kept"] += len(kept)
        assert all(cache.seen[what] > 100 for what in ("read", "invalidated", "kept")), cache.seen


def _writes(choose: random.Random, keys: list[str], stamp: str) -> list[tuple]:
    commands: list[tuple] = []
    for _ in range(choose.randint(0, 3)):
        key, other = choose.sample(keys, 2)
        commands += choose.choice(
            [
                [("SET", key, stamp)],
                [("DEL", key)],
                [("MSET", key, stamp, other, stamp)],
                [("MULTI",), ("SET", key, stamp), ("APPEND", other, "+"), ("EXEC",)],
            ]
        )
    return commands
