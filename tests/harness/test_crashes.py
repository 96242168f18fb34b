"""The judge of crashes finds what is wrong: damage that is done to a log between kill and start."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.crash_check import Event, Judge
from harness.crash_ops import CLAIM, COUNT, MOVE, POP, PUT, READ, Effect, Op, Value
from harness.crash_rounds import Kind, Life
from harness.linearize import NO_ANSWER
from harness.matrix import REDIS
from harness.model import AnError

ROUNDS = 3
CALLS = 1000
Entry = tuple[bytes, list[bytes]]
NEVER = float("inf")


# ---- Damage to a log of redis-server's -----------------------------------------------------------


def entries_of(log: bytes) -> Iterator[Entry]:
    """The commands of a log: their bytes and their words."""
    at = 0
    while at < len(log):
        start = at
        count = re.compile(rb"\*(\d+)\r\n").match(log, at)
        assert count is not None, log[at : at + 40]
        at = count.end()
        words = []
        for _ in range(int(count[1])):
            length = re.compile(rb"\$(\d+)\r\n").match(log, at)
            assert length is not None
            words.append(log[length.end() : length.end() + int(length[1])])
            at = length.end() + int(length[1]) + 2
        yield log[start:at], words


def changed(change: Callable[[list[Entry]], list[Entry]]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = max((folder / "appendonlydir").glob("*.incr.aof"))
        log = path.read_bytes()
        # A kill may have torn the last command.
        whole = log[: log.rfind(b"\r\n*") + 2]
        path.write_bytes(b"".join(data for data, _ in change(list(entries_of(whole)))))

    return damage


def cut(entries: list[Entry]) -> list[Entry]:
    """The last third is missing, but not half a transaction."""
    end = len(entries) * 2 // 3
    while any(words[0] in (b"MULTI", b"EXEC") for _, words in entries[end - 1 : end + 1]):
        end -= 1
    open_at = max((i for i in range(end) if entries[i][1] == [b"MULTI"]), default=-1)
    close_at = max((i for i in range(end) if entries[i][1] == [b"EXEC"]), default=-1)
    return entries[: open_at if open_at > close_at else end]


def without_one(entries: list[Entry]) -> list[Entry]:
    """A command in the middle is missing."""
    at = next(i for i in range(len(entries) // 2, 0, -1) if entries[i][1][0] == b"MSET")
    return entries[:at] + entries[at + 1 :]


def halved(entries: list[Entry]) -> list[Entry]:
    """The last transaction over several keys has lost a command, and nothing is behind it."""
    end = max(i for i in range(len(entries)) if _ends_transaction(entries, i))
    at = max(i for i in range(end) if entries[i][1] == [b"MULTI"])
    return [*entries[: at + 1], *entries[at + 2 : end + 1]]


def _ends_transaction(entries: list[Entry], at: int) -> bool:
    """Of a client's, that is; Redis makes its own of what one command does."""
    names = {words[0] for _, words in entries[at - 2 : at]}
    puts = {b"RPUSH", b"XADD", b"APPEND", b"HSET", b"SADD", b"ZADD"}
    return entries[at][1] == [b"EXEC"] and names <= puts


def swapped(entries: list[Entry]) -> list[Entry]:
    """Two commands of one client on one list have changed places."""
    pushes: dict[tuple[bytes, bytes], list[int]] = {}
    for at, (_, words) in enumerate(entries):
        if words[0] == b"RPUSH" and b":list:" in words[1]:
            pushes.setdefault((words[1], words[2].partition(b".")[0]), []).append(at)
    first, second = max(pushes.values(), key=len)[:2]
    entries[first], entries[second] = entries[second], entries[first]
    return entries


DAMAGE = {
    "lost": cut,
    "no prefix": without_one,
    "half": halved,
    "cycle|order": swapped,
}

needs_redis = pytest.mark.skipif(
    shutil.which("redis-server") is None, reason="redis-server is not installed"
)


@needs_redis
@pytest.mark.parametrize("fsync", ["always", "no"])
def test_redis_loses_nothing_to_a_kill(fsync: str) -> None:
    """With everysec it may: it answers before it writes while a sync takes its time."""
    with Life(Kind(REDIS, fsync), "sound") as life:
        for _ in range(ROUNDS):
            assert not life.round(calls=CALLS)
        kinds = (PUT, MOVE, COUNT, CLAIM, READ, "transactions", "unanswered")
        assert all(life.seen[kind] for kind in kinds), life.seen


@needs_redis
@pytest.mark.parametrize("found", DAMAGE)
def test_damage_is_found(found: str) -> None:
    damage = changed(DAMAGE[found])
    may_lose = found != "lost"
    with Life(
        Kind(REDIS, "always"),
        "damaged",
        damage=damage,
        rewrites=False,
        promises=lambda event, killed: not may_lose,
    ) as life:
        complaints = life.round(calls=CALLS)
    assert any(re.search(rf": (?:{found}): ", complaint) for complaint in complaints), complaints


# ---- Events made up ------------------------------------------------------------------------------


def put(client: str, number: int, keys: list[str], at: float, *, answer: object = b"OK") -> Event:
    token = f"{client}.{number}"
    effects = tuple(Effect((key,), token) for key in keys)
    op = Op(PUT, tuple(("RPUSH", key, token) for key in keys), effects)
    returned = NEVER if answer is NO_ANSWER else at + 1
    return Event(client, number, op, at, returned, answer)


def complaints(events: list[Event], state: dict[str, list[str]], *, promised: bool = False) -> str:
    values = {key: Value(tuple(tokens), -1) for key, tokens in state.items()}
    judge = Judge(events, values, lambda event: promised)
    return " ".join(complaint.partition(":")[0] for complaint in judge.complaints)


A, B, Q = "r:list:a", "r:list:b", "r:queue:popped"


def test_what_is_answered_may_be_lost_or_not() -> None:
    events = [put("c", 1, [A], 1), put("c", 2, [B], 3)]
    assert complaints(events, {A: ["c.1"], B: ["c.2"]}, promised=True) == ""
    assert complaints(events, {A: ["c.1"]}) == ""
    assert complaints(events, {A: ["c.1"]}, promised=True) == "lost"
    assert complaints(events, {B: ["c.2"]}).split(" no ") == ["no prefix", "prefix"]


def test_an_earlier_answer_comes_first() -> None:
    events = [put("c", 1, [A], 1), put("d", 1, [B], 3)]
    assert complaints(events, {B: ["d.1"]}) == "no prefix"
    overlapping = [put("c", 1, [A], 1), put("d", 1, [B], 1.5)]
    assert complaints(overlapping, {B: ["d.1"]}) == ""


def test_a_transaction_is_whole() -> None:
    events = [put("c", 1, [A, B], 1, answer=NO_ANSWER)]
    assert complaints(events, {}) == complaints(events, {A: ["c.1"], B: ["c.1"]}) == ""
    assert complaints(events, {A: ["c.1"]}) == "half"


def test_refused_is_not_done() -> None:
    events = [put("c", 1, [A], 1, answer=AnError), put("c", 2, [A], 3)]
    assert complaints(events, {A: ["c.2"]}, promised=True) == ""
    assert complaints(events, {A: ["c.1", "c.2"]}) == "refused and done"


def test_a_read_ties_what_it_saw_to_what_follows() -> None:
    read = Op(READ, (("LRANGE", A, -12, -1),), keys=(A,))
    events = [
        put("c", 1, [A], 1, answer=NO_ANSWER),
        Event("d", 1, read, 1, 2, (b"c.1",)),
        put("d", 2, [B], 3),
    ]
    assert complaints(events, {A: ["c.1"], B: ["d.2"]}) == complaints(events, {A: ["c.1"]}) == ""
    assert complaints(events, {B: ["d.2"]}) == "no prefix"


def test_orders_agree() -> None:
    events = [put(c, n, [A, B], 1) for c in "cd" for n in (1,)]
    assert complaints(events, {A: ["c.1", "d.1"], B: ["c.1", "d.1"]}) == ""
    assert complaints(events, {A: ["c.1", "d.1"], B: ["d.1", "c.1"]}) == "cycle"


def test_tokens_are_somebodys_and_once() -> None:
    events = [put("c", 1, [A], 1)]
    assert complaints(events, {A: ["c.1", "x.9"]}) == "invented"
    assert complaints(events, {A: ["c.1", "c.1"]}).startswith("twice")


def test_a_pop_is_for_good() -> None:
    push = Op(PUT, (("RPUSH", Q, "c.1"),), (Effect((Q, Q.replace("queue", "done")), "c.1"),))
    pop = Op(POP, (("BLPOP", Q, "0.1"),), keys=(Q,))
    pushed = Event("c", 1, push, 1, 2, 1)
    popped = Event("d", 1, pop, 1, 3, (Q.encode(), b"c.1"))
    maybe = Event("d", 1, pop, 1, NEVER, NO_ANSWER)
    assert complaints([pushed, popped], {}, promised=True) == ""
    assert complaints([pushed, popped], {Q: ["c.1"]}, promised=True) == "lost"
    assert complaints([pushed, maybe], {}, promised=True) == ""
    assert complaints([pushed], {}, promised=True) == "lost"
