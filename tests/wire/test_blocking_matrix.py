"""Commands that block, combined: with pipelines, transactions, keys of other shards, and every end
that a wait can have.

Each test has one command and one end, and plays all shapes of pipeline on keys of every shard at
once, a connection for each. Replies come in order, each exactly once, what stands behind the wait
does not overtake it, nothing is lost to who has left, and the connection works on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from harness.blockers import BLOCKERS, Blocker, await_blocked, hurry, values
from harness.client import Connection
from harness.model import Command
from harness.process import Server
from harness.resp import CLOSED, OK, encode_all, to_bytes

SHARDS = 3
KEYS_EACH = 6
SHORT_S = 0.02
SECOND_S = 0.005
LONG_S = 30.0
# A time-out may come this much early: servers count in milliseconds, from a clock read before.
EARLY_S = 0.004

Expected = list[tuple[Command, Any]]


@dataclass
class Waiter:
    """A connection with a pipeline around one command that blocks, and the keys that it uses."""

    blocker: Blocker
    token: str
    key: str
    target: str
    flag: str
    done: str
    counter: str
    other: str
    before: Expected = field(default_factory=list)
    behind: Expected = field(default_factory=list)

    def open(self, connection: Connection, protocol: int) -> None:
        self.connection = connection
        assert connection.do("HELLO", protocol).kind in ("array", "map")
        self.id = connection.do("CLIENT", "ID").value

    def send(self, middle: list[Command]) -> None:
        commands = [c for c, _ in self.before] + middle + [c for c, _ in self.behind]
        self.connection.send(encode_all(commands))

    def block(self, seconds: float) -> Command:
        return self.blocker.block(self.key, self.target, seconds)

    def answer(self) -> Any:
        return self.blocker.answer(self.key, self.token)

    def check(self, middle: list[Any], *, flag: bytes | None) -> None:
        """Reads all replies; those to the commands in the middle are these."""
        expected = [value for _, value in self.before] + middle
        expected += [value for _, value in self.behind]
        wanted = [_with_flag(value, flag) for value in expected]
        got = [values(reply) for reply in self.connection.read_many(len(wanted))]
        assert got == wanted
        self.check_alive()

    def check_before(self) -> None:
        got = [values(reply) for reply in self.connection.read_many(len(self.before))]
        assert got == [value for _, value in self.before]

    def check_alive(self) -> None:
        assert self.connection.do("ECHO", self.token).value == to_bytes(self.token)


class _Flag:
    """Stands for what the flag has been set to before the wait ended."""


def _with_flag(value: Any, flag: bytes | None) -> Any:
    if isinstance(value, tuple):
        return tuple(_with_flag(item, flag) for item in value)
    return flag if value is _Flag else value


# ---- Shapes of pipelines -------------------------------------------------------------------------


def _some_before(w: Waiter) -> Expected:
    return [
        (("SET", w.other, w.token), b"OK"),
        (("INCR", w.counter), 1),
        (("MGET", w.other, w.counter), (to_bytes(w.token), b"1")),
    ]


def _some_behind(w: Waiter) -> Expected:
    return [
        (("GET", w.flag), _Flag),
        (("SET", w.done, w.token), b"OK"),
        (("MGET", w.flag, w.done), (_Flag, to_bytes(w.token))),
        (("ECHO", f"behind {w.token}"), to_bytes(f"behind {w.token}")),
    ]


def _many(w: Waiter, count: int) -> Expected:
    keys = (w.other, w.counter)
    return [(("SET", keys[i % 2], i), b"OK") for i in range(count)]


def _transaction(w: Waiter) -> Expected:
    return [
        (("MULTI",), b"OK"),
        (("GET", w.flag), b"QUEUED"),
        (("SET", w.done, w.token), b"QUEUED"),
        (("EXEC",), (_Flag, b"OK")),
    ]


def _second_wait(w: Waiter) -> Expected:
    return [(("BLPOP", f"{w.flag}:never", SECOND_S), None)]


SHAPES: dict[str, Callable[[Waiter], tuple[Expected, Expected]]] = {
    "alone": lambda w: ([], []),
    "behind": lambda w: ([], _some_behind(w)),
    "around": lambda w: (_some_before(w), _some_behind(w)),
    "long": lambda w: (_many(w, 40), [*_many(w, 40), *_some_behind(w)]),
    "transaction": lambda w: (_some_before(w), _transaction(w)),
    "twice": lambda w: (_many(w, 3), [*_second_wait(w), *_some_behind(w)]),
}


def _waiters(server: Server, blocker: Blocker) -> list[Waiter]:
    """Every shape on keys of every shard."""
    waiters = []
    keys = server.spread(len(SHAPES) * SHARDS * KEYS_EACH)
    for shape in SHAPES.values():
        for turn in range(SHARDS):
            first = len(waiters) * KEYS_EACH
            own = keys[first : first + KEYS_EACH]
            roles = [own[(i + turn) % SHARDS + i // SHARDS * SHARDS] for i in range(KEYS_EACH)]
            waiter = Waiter(blocker, f"token {len(waiters)}", *roles)
            waiter.before, waiter.behind = shape(waiter)
            waiters.append(waiter)
    return waiters


# ---- Playing -------------------------------------------------------------------------------------


@contextmanager
def _playing(
    server: Server, blocker: Blocker, middle: Callable[[Waiter], list[Command]], *, filled: bool
) -> Iterator[tuple[list[Waiter], Connection]]:
    """All waiters have sent their pipelines; the other connection is for who serves them."""
    hurry(server)
    await_blocked(server, 0)
    waiters = _waiters(server, blocker)
    connections = [server.connect() for _ in waiters]
    with server.connect() as pusher:
        try:
            prepare = [blocker.prepare(w.key) for w in waiters if blocker.prepare]
            if filled:
                prepare += [blocker.fill(w.key, w.token) for w in waiters]
            for reply in pusher.pipeline(prepare):
                assert reply.kind != "error", reply
            for i, (waiter, connection) in enumerate(zip(waiters, connections, strict=True)):
                waiter.open(connection, 2 + i % 2)
                waiter.send(middle(waiter))
            yield waiters, pusher
        finally:
            for connection in connections:
                connection.close()
    await_blocked(server, 0)


def _nothing_is_done(waiters: list[Waiter], pusher: Connection) -> None:
    """What stands behind the waits has not been executed."""
    assert pusher.do("EXISTS", *(w.done for w in waiters)).value == 0, "a wait was overtaken"


def _raise_flags(waiters: list[Waiter], pusher: Connection) -> None:
    assert pusher.do("MSET", *(part for w in waiters for part in (w.flag, "up"))) == OK


def _moved(waiters: list[Waiter], pusher: Connection, taken: bool) -> None:
    """What came is where the command puts it, exactly once."""
    for w in waiters:
        streams = w.blocker.name.startswith("x")
        left, arrived = pusher.pipeline([w.blocker.count(w.key), ("EXISTS", w.target)])
        assert left.value == (1 if streams or not taken else 0), w
        moves = w.blocker.answer(w.key, "x") == b"x"
        assert arrived.value == (1 if taken and moves else 0), w


pytestmark = pytest.mark.parametrize("blocker", BLOCKERS, ids=lambda blocker: blocker.name)


def test_ready(subject: Server, blocker: Blocker) -> None:
    """There is something already, so nobody waits."""
    with _playing(subject, blocker, lambda w: [w.block(LONG_S)], filled=True) as (waiters, pusher):
        for waiter in waiters:
            waiter.check([waiter.answer()], flag=None)
        _moved(waiters, pusher, taken=True)


@pytest.mark.parametrize("transaction", [False, True], ids=["push", "multi"])
def test_served(subject: Server, blocker: Blocker, transaction: bool) -> None:
    with _playing(subject, blocker, lambda w: [w.block(LONG_S)], filled=False) as (
        waiters,
        pusher,
    ):
        await_blocked(subject, len(waiters))
        _nothing_is_done(waiters, pusher)
        pushes = [
            command
            for w in waiters
            for command in (("SET", w.flag, "up"), blocker.fill(w.key, w.token))
        ]
        if transaction:
            replies = pusher.pipeline([("MULTI",), *pushes, ("EXEC",)])[-1].value
        else:
            replies = pusher.pipeline(pushes)
        assert [values(reply) for reply in replies] == _pushed(blocker) * len(waiters)
        for waiter in waiters:
            waiter.check([waiter.answer()], flag=b"up")
        _moved(waiters, pusher, taken=True)


def _pushed(blocker: Blocker) -> list[Any]:
    return [b"OK", b"1-1" if blocker.name.startswith("x") else 1]


def test_timed_out(subject: Server, blocker: Blocker) -> None:
    started = time.monotonic()
    with _playing(subject, blocker, lambda w: [w.block(SHORT_S)], filled=False) as (
        waiters,
        pusher,
    ):
        for waiter in waiters:
            waiter.check([None], flag=None)
        assert time.monotonic() - started >= SHORT_S - EARLY_S, "a time-out came early"
        # Who has timed out gets nothing more.
        for reply in pusher.pipeline([blocker.fill(w.key, w.token) for w in waiters]):
            assert reply.kind != "error"
        _moved(waiters, pusher, taken=False)
        for waiter in waiters:
            waiter.check_alive()


@pytest.mark.parametrize("how", ["TIMEOUT", "ERROR"])
def test_unblocked(subject: Server, blocker: Blocker, how: str) -> None:
    with _playing(subject, blocker, lambda w: [w.block(LONG_S)], filled=False) as (
        waiters,
        pusher,
    ):
        await_blocked(subject, len(waiters))
        _nothing_is_done(waiters, pusher)
        _raise_flags(waiters, pusher)
        replies = pusher.pipeline([("CLIENT", "UNBLOCK", w.id, how) for w in waiters])
        assert {reply.value for reply in replies} == {1}
        error = b"-UNBLOCKED client unblocked via CLIENT UNBLOCK"
        for waiter in waiters:
            waiter.check([None if how == "TIMEOUT" else error], flag=b"up")


def test_inside_a_transaction(subject: Server, blocker: Blocker) -> None:
    def middle(w: Waiter) -> list[Command]:
        return [("MULTI",), w.block(LONG_S), ("SET", w.other, "in"), ("EXEC",)]

    for filled in (False, True):
        subject.flush()
        with _playing(subject, blocker, middle, filled=filled) as (waiters, pusher):
            for w in waiters:
                inside = (w.answer() if filled else None, b"OK")
                w.check([b"OK", b"QUEUED", b"QUEUED", inside], flag=None)
            if filled:
                _moved(waiters, pusher, taken=True)


@pytest.mark.parametrize("how", ["reset", "kill"])
def test_waiter_has_left(subject: Server, blocker: Blocker, how: str) -> None:
    """Nothing goes to who has left, and nothing that it had sent behind its wait happens."""
    with _playing(subject, blocker, lambda w: [w.block(LONG_S)], filled=False) as (
        waiters,
        pusher,
    ):
        await_blocked(subject, len(waiters))
        for waiter in waiters:
            waiter.check_before()
        if how == "reset":
            for waiter in waiters:
                waiter.connection.reset()
            await_blocked(subject, 0)
        kills = [("CLIENT", "KILL", "ID", w.id) for w in waiters if how == "kill"]
        fills = [blocker.fill(w.key, w.token) for w in waiters]
        replies = [reply.value for reply in pusher.pipeline(kills + fills)]
        assert replies == [1] * len(kills) + _pushed(blocker)[1:] * len(fills)
        _moved(waiters, pusher, taken=False)
        _nothing_is_done(waiters, pusher)
        for waiter in waiters if how == "kill" else []:
            assert waiter.connection.read() == CLOSED


def test_pusher_has_left(subject: Server, blocker: Blocker) -> None:
    """Who serves resets its connection at once: the push has happened or not, and if it has, the
    waiter has what was pushed."""
    seconds = SHORT_S * 2
    with _playing(subject, blocker, lambda w: [w.block(seconds)], filled=False) as (
        waiters,
        observer,
    ):
        for waiter in waiters:
            with subject.connect() as pusher:
                pusher.send(encode_all([blocker.fill(waiter.key, waiter.token)]))
                pusher.reset()
        for waiter in waiters:
            waiter.check_before()
            got = values(waiter.connection.read())
            assert got in (None, waiter.answer())
            waiter.before = []
            waiter.check([], flag=None)
            if got is not None:
                _moved([waiter], observer, taken=True)


def test_key_has_had_another_type(subject: Server, blocker: Blocker) -> None:
    """A value of another type serves nobody; what comes after it does."""
    with _playing(subject, blocker, lambda w: [w.block(LONG_S)], filled=False) as (
        waiters,
        pusher,
    ):
        await_blocked(subject, len(waiters))
        if blocker.name == "xreadgroup":
            # It is told when its group is gone.
            return _end(waiters, pusher)
        for command in ("SADD", "ZADD" if blocker.count("")[0] == "LLEN" else "RPUSH"):
            score = [1] if command == "ZADD" else []
            replies = pusher.pipeline([(command, w.key, *score, "member") for w in waiters])
            assert {reply.value for reply in replies} == {1}
            _nothing_is_done(waiters, pusher)
            assert pusher.do("DEL", *(w.key for w in waiters)).value == len(waiters)
        _raise_flags(waiters, pusher)
        replies = pusher.pipeline([blocker.fill(w.key, w.token) for w in waiters])
        assert [reply.value for reply in replies] == _pushed(blocker)[1:] * len(waiters)
        for waiter in waiters:
            waiter.check([waiter.answer()], flag=b"up")
        _moved(waiters, pusher, taken=True)


def _end(waiters: list[Waiter], pusher: Connection) -> None:
    """The group is gone with its key."""
    _raise_flags(waiters, pusher)
    assert pusher.do("DEL", *(w.key for w in waiters)).value == len(waiters)
    for waiter in waiters:
        waiter.check_before()
        got = values(waiter.connection.read())
        assert got.startswith(b"-"), got
        waiter.before = []
        waiter.check([], flag=b"up")
