"""What others see of one client's commands: who watches, who keeps what it read, who listens, who
waits.

A sequence is played command by command. With `Witnesses`, before each, a watcher watches every word
of the sequence that may be a key and a reader reads them; after it, the watcher's EXEC, the
reader's invalidations and the listener's notifications are what the command has been seen to do.
With `Waiters`, before each, clients wait in three ways for the words that may be keys of this
command; what they are served is what it has been seen to do.
"""

from __future__ import annotations

import contextlib
import select
import time
from collections.abc import Iterator
from dataclasses import dataclass

from harness.blockers import BLOCKED_DEADLINE_S, blocked_clients
from harness.cases import shortest_doubles
from harness.client import Connection
from harness.process import Server
from harness.resp import OK, Reply, array, bulk, encode, to_bytes
from harness.sequences import Sequence

KEY_BYTES = 40
NOTIFICATIONS = "KEA"


@dataclass(frozen=True)
class Sight:
    """A command, whether the watcher's EXEC failed, and what the others were sent."""

    command: tuple
    changed: bool
    invalidated: tuple[bytes | None, ...]
    notified: tuple[tuple[bytes, bytes], ...]


class Witnesses:
    def __init__(self, server: Server, stack: contextlib.ExitStack) -> None:
        self.actor, self._watcher, self._reader, self._listener = (
            stack.enter_context(server.connect()) for _ in range(4)
        )
        for connection in (self._reader, self._listener):
            assert connection.do("HELLO", 3).kind == "map"
        assert self._reader.do("CLIENT", "TRACKING", "ON") == OK
        assert self._listener.do("PSUBSCRIBE", "__key*__:*").kind == "push"

    def play(self, sequence: Sequence) -> Iterator[Sight]:
        commands = [command for _, batch in sequence for command in batch if not _waits(command)]
        keys = sorted(
            {to_bytes(w) for c in commands for w in c[1:4] if len(to_bytes(w)) < KEY_BYTES}
        )
        self.actor.pipeline([("FLUSHALL",), ("SELECT", 0)])
        self._pushes(self._reader)
        self._pushes(self._listener)
        for command in commands:
            yield self._see(command, keys)

    def _see(self, command: tuple, keys: list[bytes]) -> Sight:
        if keys:
            assert self._watcher.do("WATCH", *keys) == OK
            self._reader.send(encode("EXISTS", *keys))
            self._pushes(self._reader, "integer")
        self.actor.do(*command)
        done = self._watcher.pipeline([("MULTI",), ("EXEC",)])[-1]
        return Sight(
            command,
            done.value is None,
            tuple(sorted(self._invalidated(), key=repr)),
            tuple(self._notified()),
        )

    def _invalidated(self) -> Iterator[bytes | None]:
        """None: everything."""
        for push in self._pushes(self._reader):
            kind, keys = push
            assert kind.value == b"invalidate"
            if keys.value is None:
                yield None
            else:
                yield from (key.value for key in keys.value)

    def _notified(self) -> Iterator[tuple[bytes, bytes]]:
        for push in self._pushes(self._listener):
            _, _, channel, text = (part.value for part in push)
            yield channel, text

    def _pushes(self, connection: Connection, last: str = "simple") -> list[tuple[Reply, ...]]:
        """All that has been pushed before a reply of this kind; asks for one if nobody has."""
        if last == "simple":
            connection.send(encode("PING"))
        pushes = []
        while (reply := connection.read()).kind == "push":
            pushes.append(reply.value)
        assert reply.kind == last, reply
        return pushes


@dataclass(frozen=True)
class Serving:
    """A command, and who was served what: None is who waited in vain."""

    command: tuple
    answers: tuple[tuple[str, bytes, Reply | None], ...]


WAYS = {
    "list": lambda key: ("BLPOP", key, 0),
    "sorted set": lambda key: ("BZPOPMAX", key, 0),
    "stream": lambda key: ("XREAD", "BLOCK", 0, "STREAMS", key, "$"),
}
KEYS_OF_A_COMMAND = 3


class Waiters:
    def __init__(self, server: Server, stack: contextlib.ExitStack) -> None:
        self._server = server
        self.actor = stack.enter_context(server.connect())
        self._waiters = {
            (way, number): stack.enter_context(server.connect())
            for way in WAYS
            for number in range(KEYS_OF_A_COMMAND)
        }
        self._ids = {
            place: connection.do("CLIENT", "ID").value
            for place, connection in self._waiters.items()
        }

    def play(self, sequence: Sequence) -> Iterator[Serving]:
        commands = [command for _, batch in sequence for command in batch if not _waits(command)]
        self.actor.pipeline([("FLUSHALL",), ("SELECT", 0)])
        for command in commands:
            yield self._see(command)

    def _see(self, command: tuple) -> Serving:
        words = [to_bytes(word) for word in (*command[1:3], *command[3:][-1:])]
        keys = dict(enumerate(dict.fromkeys(word for word in words if len(word) < KEY_BYTES)))
        places = [(way, number) for way in WAYS for number in keys]
        for way, number in places:
            self._waiters[way, number].send(encode(*WAYS[way](keys[number])))
        early = self._await_waiters(places)
        self.actor.do(*command)
        unblocks = [("CLIENT", "UNBLOCK", self._ids[place]) for place in places]
        blocked = [reply.value == 1 for reply in self._server.control().pipeline(unblocks)]
        answers = []
        for (way, number), waited in zip(places, blocked, strict=True):
            reply = early.get((way, number)) or self._waiters[way, number].read()
            assert not waited or reply.kind == "null-array", reply
            in_vain = waited or reply == _nothing_of(keys[number])
            answers.append((way, keys[number], None if in_vain else shortest_doubles(reply)))
        return Serving(command, tuple(answers))

    def _await_waiters(self, places: list[tuple[str, int]]) -> dict[tuple[str, int], Reply]:
        """Returns when all of them wait or have their answer: what they have."""
        early: dict[tuple[str, int], Reply] = {}
        deadline = time.monotonic() + BLOCKED_DEADLINE_S
        while blocked_clients(self._server) + len(early) != len(places):
            assert time.monotonic() < deadline, "who is told to wait neither waits nor answers"
            sockets = {self._waiters[place].sock: place for place in places if place not in early}
            for sock in select.select(list(sockets), [], [], 0)[0]:
                early[sockets[sock]] = self._waiters[sockets[sock]].read()
        return early


def _nothing_of(key: bytes) -> Reply:
    """What 7.0 serves of a stream that is empty again behind the XADD; later ones let wait on."""
    return array(array(bulk(key), array()))


def _waits(command: tuple) -> bool:
    """A deadline that passes is noticed when each server likes."""
    return command[0] == "DEBUG" or (command[0] == "PEXPIRE" and command[2:] == ("1",))


def notify(server: Server) -> None:
    assert server.control().do("CONFIG", "SET", "notify-keyspace-events", NOTIFICATIONS) == OK


def first_other_sight(
    ours: list[Sight] | list[Serving], theirs: list[Sight] | list[Serving]
) -> str | None:
    """What was seen otherwise first, with what went before, or None."""
    for at, (mine, expected) in enumerate(zip(ours, theirs, strict=True)):
        if mine != expected:
            before = "\n".join(f"  {sight.command}" for sight in theirs[:at])
            return f"ours:  {mine}\nredis: {expected}\nafter\n{before}"
    return None
