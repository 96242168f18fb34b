"""What others see of one client's commands: who watches, who keeps what it read, who listens.

A sequence is played command by command. Before each, a watcher watches every word of the sequence
that may be a key and a reader reads them; after it, the watcher's EXEC, the reader's invalidations
and the listener's notifications are what the command has been seen to do.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from harness.client import Connection
from harness.process import Server
from harness.resp import OK, Reply, encode, to_bytes
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


def _waits(command: tuple) -> bool:
    """A deadline that passes is noticed when each server likes."""
    return command[0] == "DEBUG" or (command[0] == "PEXPIRE" and command[2:] == ("1",))


def notify(server: Server) -> None:
    assert server.control().do("CONFIG", "SET", "notify-keyspace-events", NOTIFICATIONS) == OK


def first_other_sight(ours: list[Sight], theirs: list[Sight]) -> str | None:
    """What was seen otherwise first, with what went before, or None."""
    for at, (mine, expected) in enumerate(zip(ours, theirs, strict=True)):
        if mine != expected:
            before = "\n".join(f"  {sight.command}" for sight in theirs[:at])
            return f"ours:  {mine}\nredis: {expected}\nafter\n{before}"
    return None
