"""Plays random histories on a server and asks whether one order of single steps explains them.

A *profile* makes the calls: transactions with WATCH, lists with clients that block, or messages.
A *player* is one client, in a thread of its own (tests/harness/players.py). Some players are killed
on the way, by a reset of their own or by CLIENT KILL, with whatever is in flight then.

Everything random comes from the seed but the interleaving, which is the server's.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from harness.linearize import (
    BLOCKING,
    NO_ANSWER,
    Call,
    Recorder,
    Undecided,
    explain,
    order_of,
)
from harness.model import Command, Model
from harness.players import (
    ConnectedPlayer,
    Listener,
    Place,
    Player,
    SessionPlayer,
    WirePlayer,
)

KEYS_EACH = 3
JOIN_TIMEOUT_S = 40
# When at the latest somebody is killed: most histories are over soon after.
LAST_MOMENT_S = 0.002
# What a call that blocks may wait: long enough to be served, short enough for many histories.
TIMEOUTS = ("0.004", "0.01", "0.02")


# ---- Profiles ------------------------------------------------------------------------------------


class Profile(Protocol):
    """Makes what a client does next: a few calls that belong together."""

    def __call__(self, choose: random.Random, keys: Sequence[str], stamp: str) -> list[Command]: ...


def transactions(choose: random.Random, keys: Sequence[str], stamp: str) -> list[Command]:
    """Strings: plain calls, EXEC of a few of them, and EXEC that depends on what was read."""
    kind = choose.random()
    if kind < 0.4:
        return [_on_strings(choose, keys, stamp)]
    if kind < 0.5:
        return [choose.choice([("UNWATCH",), ("WATCH", choose.choice(keys))])]
    body = [_on_strings(choose, keys, f"{stamp}.{i}") for i in range(choose.randint(1, 4))]
    if kind < 0.65:
        return [("EXEC", *body)]
    watched = choose.sample(keys, choose.randint(1, 2))
    reads: list[Command] = [("GET", key) for key in watched if choose.random() < 0.7]
    return [("WATCH", *watched), *reads, ("EXEC", *body)]


def _on_strings(choose: random.Random, keys: Sequence[str], stamp: str) -> Command:
    kind = choose.choice(["SET", "SET", "GET", "INCR", "MSET", "MGET", "DEL", "RENAME", "COPY"])
    first, second = choose.sample(keys, 2)
    forms: dict[str, Command] = {
        "SET": ("SET", first, stamp),
        "MSET": ("MSET", *(part for key in keys for part in (key, stamp))),
        "MGET": ("MGET", *keys),
        "DEL": ("DEL", first, second),
        "RENAME": ("RENAME", first, second),
        "COPY": ("COPY", first, second, *choose.choice([(), ("REPLACE",)])),
    }
    return forms.get(kind, (kind, first))


def lists(choose: random.Random, keys: Sequence[str], stamp: str) -> list[Command]:
    """Lists: pushes, pops, moves, waiters, and a string here and there."""
    kind = choose.random()
    if kind < 0.4:
        return [_waits(choose, keys)]
    if kind < 0.85:
        return [_on_lists(choose, keys, stamp)]
    body = [_on_lists(choose, keys, f"{stamp}.{i}") for i in range(choose.randint(1, 3))]
    if choose.random() < 0.3:
        body.append(_waits(choose, keys))
    watch: list[Command] = [("WATCH", choose.choice(keys))] if choose.random() < 0.3 else []
    return [*watch, ("EXEC", *body)]


def _waits(choose: random.Random, keys: Sequence[str]) -> Command:
    timeout = choose.choice(TIMEOUTS)
    kind = choose.choice(["BLPOP", "BRPOP", "BLMOVE"])
    if kind == "BLMOVE":
        return (kind, *choose.choices(keys, k=2), *_ends(choose), timeout)
    return (kind, *choose.sample(keys, choose.randint(1, len(keys))), timeout)


def _ends(choose: random.Random) -> list[str]:
    return choose.choices(["LEFT", "RIGHT"], k=2)


def _on_lists(choose: random.Random, keys: Sequence[str], stamp: str) -> Command:
    kind = choose.choices(
        ["LPUSH", "RPUSH", "LPOP", "RPOP", "LRANGE", "LMOVE", "RENAME", "COPY", "DEL", "SET"],
        [5, 5, 1, 1, 1, 2, 1, 1, 1, 0.5],
    )[0]
    first, second = choose.sample(keys, 2)
    forms: dict[str, Command] = {
        "LPUSH": ("LPUSH", first, *(f"{stamp}{c}" for c in "ab"[: choose.randint(1, 2)])),
        "RPUSH": ("RPUSH", first, *(f"{stamp}{c}" for c in "ab"[: choose.randint(1, 2)])),
        "LRANGE": ("LRANGE", first, 0, -1),
        "LMOVE": ("LMOVE", first, second, *_ends(choose)),
        "RENAME": ("RENAME", first, second),
        "COPY": ("COPY", first, second),
        "DEL": ("DEL", first, second),
        "SET": ("SET", first, stamp),
    }
    return forms.get(kind, (kind, first))


def publishing(choose: random.Random, keys: Sequence[str], stamp: str) -> list[Command]:
    """Writes and messages in turn; the last two keys are channels."""
    *names, left, right = keys
    channel, key = choose.choice([left, right]), choose.choice(names)
    publish: Command = ("PUBLISH", channel, stamp)
    return choose.choice(
        [
            [("SET", key, stamp), publish],
            [("EXEC", ("SET", key, stamp), publish)],
            [("EXEC", publish, ("MSET", *(p for k in names for p in (k, stamp))))],
            [publish],
        ]
    )


PROFILES: dict[str, Profile] = {"transactions": transactions, "lists": lists}


# ---- Histories -----------------------------------------------------------------------------------


def play_all(
    players: Sequence[Player],
    batches: Sequence[list[list[Command]]],
    meanwhile: Callable[[], None] = lambda: None,
) -> None:
    """Every player in a thread of its own, all beginning at once; `meanwhile` runs beside them."""
    barrier = threading.Barrier(len(players) + 1)
    failures: list[BaseException] = []

    def work(player: Player, own: list[list[Command]]) -> None:
        try:
            barrier.wait(JOIN_TIMEOUT_S)
            player.play(own)
        except BaseException as failure:
            failures.append(failure)
        finally:
            player.done.set()

    threads = [
        threading.Thread(target=work, args=pair, daemon=True)
        for pair in zip(players, batches, strict=True)
    ]
    for thread in threads:
        thread.start()
    try:
        barrier.wait(JOIN_TIMEOUT_S)
        meanwhile()
        for thread in threads:
            thread.join(JOIN_TIMEOUT_S)
    finally:
        for player in players:
            player.close()
    assert not failures, failures
    assert not any(thread.is_alive() for thread in threads), "a player hangs"


def batches_of(
    choose: random.Random, profile: Profile, keys: Sequence[str], name: Any, count: int, depth: int
) -> list[list[Command]]:
    """So many calls as a profile makes them, cut anywhere into batches of at most `depth`."""
    calls: list[Command] = []
    while len(calls) < count:
        calls += profile(choose, keys, f"{name}.{len(calls)}")
    batches: list[list[Command]] = []
    left = calls[:count]
    while left:
        size = choose.randint(1, depth)
        batches.append(left[:size])
        left = left[size:]
    return batches


class Tally:
    """What was checked, so that a run that met nothing of interest can be told."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()

    def check(self, calls: list[Call], name: str, *, again: bool) -> None:
        """Fails unless some order explains the calls."""
        self.seen["histories"] += 1
        try:
            order = order_of(calls, model=Model(again=again))
        except Undecided:
            self.seen["undecided"] += 1
            return
        assert order is not None, f"{name}: no order explains\n{explain(calls)}"
        for call in calls:
            self.seen[_kind_of(call)] += 1

    def require(self, *kinds: str) -> None:
        missing = [kind for kind in kinds if not self.seen[kind]]
        assert not missing, f"nothing of {missing} was seen: {dict(self.seen)}"
        wide = self.seen["undecided"]
        assert wide * 20 <= self.seen["histories"], f"too many are undecided: {dict(self.seen)}"


def _kind_of(call: Call) -> str:
    if call.answer is NO_ANSWER:
        return "unanswered"
    if call.command[0] == "EXEC":
        return "aborted" if call.answer is None else "committed"
    if call.command[0] in BLOCKING:
        return "timed out" if call.answer is None else "served"
    return call.command[0].lower()


def choose_victims(choose: random.Random, count: int) -> tuple[dict[int, int], int | None]:
    """Whom it hits: {player that resets: after which batch}, and who is killed, if anybody."""
    kind = choose.random()
    if kind < 0.4:
        return {}, None
    victim = choose.randrange(count)
    return ({victim: choose.randrange(4)}, None) if kind < 0.7 else ({}, victim)


def _leaves_or_comes(choose: random.Random, channels: Sequence[str]) -> Command:
    return (choose.choice(["SUBSCRIBE", "UNSUBSCRIBE"]), choose.choice(channels))


def history(
    place: Place,
    profile: Profile,
    keys: Sequence[str],
    seed: str,
    *,
    sessions: Callable[[], Any] | None = None,
    clients: int = 6,
    calls: int = 9,
    victims: bool = True,
) -> list[Call]:
    """Clients on connections, some of which may die; every other one a session in the process if
    there are such."""
    choose = random.Random(seed)
    assert place.control().do("DEL", *keys).kind == "integer"
    recorder = Recorder()
    resets, killed = choose_victims(choose, clients) if victims else ({}, None)
    depth = choose.choice([1, 1, 2, 4, 8])
    batches = [batches_of(choose, profile, keys, i, calls, depth) for i in range(clients)]
    moment = choose.random() * LAST_MOMENT_S
    players: list[Player] = []
    for i in range(clients):
        if sessions is not None and i % 2:
            players.append(SessionPlayer(i, recorder, sessions()))
        else:
            players.append(WirePlayer(i, recorder, place, resets.get(i)))

    def kill() -> None:
        if killed is not None:
            time.sleep(moment)
            players[killed].kill()

    play_all(players, batches, kill)
    return recorder.calls


def message_history(place: Place, keys: Sequence[str], seed: str) -> list[Call]:
    """Two publishers and two listeners on the same two channels; one of them may die."""
    choose = random.Random(seed)
    assert place.control().do("DEL", *keys).kind == "integer"
    recorder = Recorder()
    channels = [f"{seed}:left", f"{seed}:right"]
    reset = choose.choice([None, None, 0, 1])
    killed = choose.choice([None, None, 0, 1, 2, 3])
    moment = choose.random() * LAST_MOMENT_S
    publishers = [WirePlayer(i, recorder, place, 2 if reset == i else None) for i in range(2)]
    listeners = [Listener(f"listener {i}", recorder, place, channels) for i in range(2)]
    players: list[ConnectedPlayer] = [*publishers, *listeners]
    depth = choose.choice([1, 2, 5])
    batches = [batches_of(choose, publishing, [*keys, *channels], i, 7, depth) for i in range(2)]
    calls = [
        [*[("MGET", *keys)] * 4],
        [_leaves_or_comes(choose, channels) for _ in range(5)],
    ]

    def end_some_then_listeners() -> None:
        if killed is not None and reset is None:
            time.sleep(moment)
            players[killed].kill()
        for publisher in publishers:
            publisher.done.wait(JOIN_TIMEOUT_S)
        for listener in listeners:
            listener.publishers_ended()

    play_all(players, [*batches, *([own] for own in calls)], end_some_then_listeners)
    return recorder.calls
