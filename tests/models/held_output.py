"""Output that waits for the log (csrc/shard/journal/), one atomic operation a step.

A shard thread makes replies, each with the ticket of a chunk that it has queued, and flushes: what
is safe leaves, the rest is held. Then it publishes what the first of it waits for, looks at `safe`
once more, and sleeps. The log's thread makes chunk after chunk safe: it stores `safe`, then looks
what is waited for, and wakes. `defects` puts operations into the wrong order or leaves them out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import explore

NOTHING = 99


class World(NamedTuple):
    # shared
    queued: int = 0
    safe: int = 0
    awaited: int = NOTHING
    signalled: bool = False
    # the shard thread
    shard: str = "work"
    held: tuple[int, ...] = ()  # tickets of replies, in order
    sent: int = 0
    looked: int = NOTHING  # what it is about to publish
    # the log's thread
    log: str = "take"
    written: int = 0


class Model:
    def __init__(self, replies: int, defects: frozenset[str] = frozenset()) -> None:
        self.replies, self.defects = replies, defects

    def explore(self) -> explore.Outcome:
        return explore.explore(World(), self.steps, self.finished, self.broken)

    def finished(self, world: World) -> bool:
        return world.sent == self.replies

    @staticmethod
    def broken(world: World) -> str | None:
        return "a reply left before it was safe" if world.sent > world.safe else None

    def steps(self, world: World) -> Iterator[explore.Step]:
        for side in ("shard", "log"):
            at = getattr(world, side)
            for after in getattr(self, f"{side}_{at}")(world):
                yield f"{side}:{at}", after

    # ---- the shard thread: a turn, phase_flush, held_publish, the sleep --------------------------

    def shard_work(self, world: World) -> Iterator[World]:
        """A turn with a command, while there are some, or one that finds nothing to do."""
        yield world._replace(shard="flush", signalled=False)
        if world.queued < self.replies:
            queued = world.queued + 1
            yield world._replace(
                shard="flush", signalled=False, queued=queued, held=(*world.held, queued)
            )

    def shard_flush(self, world: World) -> Iterator[World]:
        """Sends up to the first mark that is not safe."""
        if "replies pass each other" in self.defects:
            left = tuple(world.held[:1])
        else:
            left = tuple(ticket for ticket in world.held if ticket > world.safe)
        sent = world.sent + len(world.held) - len(left)
        looked = left[0] if left else NOTHING
        first = "recheck" if "looks before it publishes" in self.defects else "publish"
        yield world._replace(shard=first, held=left, sent=sent, looked=looked)

    def shard_publish(self, world: World) -> Iterator[World]:
        early = {"looks before it publishes", "looks once"} & self.defects
        yield world._replace(shard="sleep" if early else "recheck", awaited=world.looked)

    def shard_recheck(self, world: World) -> Iterator[World]:
        if world.looked <= world.safe:
            yield world._replace(shard="work")
        elif "looks before it publishes" in self.defects:
            yield world._replace(shard="publish")
        else:
            yield world._replace(shard="sleep")

    def shard_sleep(self, world: World) -> Iterator[World]:
        """Commands come in by themselves; else only the log wakes it."""
        if world.signalled or world.queued < self.replies:
            yield world._replace(shard="work")

    # ---- the log's thread: aof_tell, journal_note_safe -------------------------------------------

    def log_take(self, world: World) -> Iterator[World]:
        if world.written < world.queued:
            at = "wake_first" if "wakes before it stores" in self.defects else "store"
            yield world._replace(log=at, written=world.queued)

    def log_store(self, world: World) -> Iterator[World]:
        after = "take" if "wakes before it stores" in self.defects else "wake"
        yield world._replace(log=after, safe=world.written)

    @staticmethod
    def woken(world: World) -> World:
        return world._replace(signalled=True) if world.awaited <= world.written else world

    def log_wake(self, world: World) -> Iterator[World]:
        yield self.woken(world)._replace(log="take")

    def log_wake_first(self, world: World) -> Iterator[World]:
        yield self.woken(world)._replace(log="store")
