"""Streams, their backlog and the park pair (csrc/ring/stream.c), one atomic operation a step.

One producer pushes numbered messages through a ring of `entries` with a backlog behind it; the
consumer's thread drains, announces that it parks, looks once more and sleeps on its event. With a
backlog left, the producer's own thread sleeps too, until the consumer makes it come round.
`defects` puts operations into the wrong order or leaves them out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import explore


class World(NamedTuple):
    # shared
    ring: tuple[int, ...] = ()
    dirty: bool = False
    parked: bool = False
    signalled: bool = False  # the consumer's eventfd
    backed_up: bool = False
    called: bool = False  # the producer's eventfd
    # producer
    producer: str = "push"
    pushed: int = 0
    backlog: tuple[int, ...] = ()
    after: str = ""
    # consumer
    consumer: str = "look"
    taken: int = 0


class Model:
    def __init__(self, messages: int, entries: int, defects: frozenset[str] = frozenset()):
        self.messages, self.entries, self.defects = messages, entries, defects

    def explore(self) -> explore.Outcome:
        return explore.explore(World(), self.steps, self.finished, self.broken)

    def steps(self, world: World) -> Iterator[explore.Step]:
        for side in ("producer", "consumer"):
            at = getattr(world, side)
            for after in getattr(self, f"{side}_{at}")(world):
                yield f"{side}:{at}", after

    # ---- producer: stream_push, stream_advance, stream_wake ----------------------------------

    def producer_push(self, world: World) -> Iterator[World]:
        if world.pushed == self.messages:
            yield world._replace(producer="advance")
            return
        message = world.pushed
        world = world._replace(pushed=message + 1)
        overtakes = "push passes the backlog" in self.defects
        if (not world.backlog or overtakes) and len(world.ring) < self.entries:
            at = "wake_first" if "wake before mark" in self.defects else "mark"
            yield world._replace(ring=(*world.ring, message), producer=at, after="push")
        else:
            yield world._replace(backlog=(*world.backlog, message), producer="wake", after="push")

    def producer_wake_first(self, world: World) -> Iterator[World]:
        yield self.woken(world)._replace(producer="mark_last")

    def producer_mark_last(self, world: World) -> Iterator[World]:
        yield world._replace(dirty=True, producer=world.after)

    def producer_mark(self, world: World) -> Iterator[World]:
        yield world._replace(dirty=True, producer="wake")

    @staticmethod
    def woken(world: World) -> World:
        return world._replace(parked=False, signalled=True) if world.parked else world

    def producer_wake(self, world: World) -> Iterator[World]:
        yield self.woken(world)._replace(producer=world.after)

    def producer_advance(self, world: World) -> Iterator[World]:
        """Moves one message; what is left over is announced, then looked at once more."""
        if not world.backlog:
            yield world._replace(producer="idle", backed_up=False)
        elif len(world.ring) < self.entries:
            yield self.moved(world)
        elif "backlog is not announced" in self.defects:
            yield world._replace(producer="idle")
        else:
            yield world._replace(producer="announce")

    def producer_announce(self, world: World) -> Iterator[World]:
        yield world._replace(producer="recheck", backed_up=True)

    @staticmethod
    def moved(world: World) -> World:
        ring, backlog = (*world.ring, world.backlog[0]), world.backlog[1:]
        return world._replace(ring=ring, backlog=backlog, producer="mark", after="advance")

    def producer_recheck(self, world: World) -> Iterator[World]:
        if len(world.ring) < self.entries and "room is not looked at again" not in self.defects:
            yield self.moved(world)
        else:
            yield world._replace(producer="idle")

    def producer_idle(self, world: World) -> Iterator[World]:
        if world.called:
            yield world._replace(called=False, producer="advance")

    # ---- consumer: inbox_collect, stream_pop, stream_backed_up, inbox_park -------------------

    def consumer_look(self, world: World) -> Iterator[World]:
        if world.dirty:
            yield world._replace(dirty=False, consumer="pop")
        elif "look before announce" in self.defects:
            yield world._replace(consumer="announce_last")
        else:
            yield world._replace(consumer="announce")

    def consumer_pop(self, world: World) -> Iterator[World]:
        if not world.ring:
            yield world._replace(consumer="room")
            return
        message, ring = world.ring[0], world.ring[1:]
        taken = world.taken + 1 if message == world.taken else -1
        once = "pops once" in self.defects
        yield world._replace(ring=ring, taken=taken, consumer="room" if once else "pop")

    def consumer_room(self, world: World) -> Iterator[World]:
        called = world.called or world.backed_up
        yield world._replace(backed_up=False, called=called, consumer="look")

    def consumer_announce(self, world: World) -> Iterator[World]:
        yield world._replace(parked=True, consumer="again")

    def consumer_again(self, world: World) -> Iterator[World]:
        if world.dirty:
            yield world._replace(parked=False, consumer="look")
        else:
            yield world._replace(consumer="sleep")

    def consumer_announce_last(self, world: World) -> Iterator[World]:
        yield world._replace(parked=True, consumer="sleep")

    def consumer_sleep(self, world: World) -> Iterator[World]:
        if world.signalled:
            yield world._replace(signalled=False, parked=False, consumer="look")

    # ---- what must hold ----------------------------------------------------------------------

    def finished(self, world: World) -> bool:
        return world.taken == self.messages and world.producer == "idle"

    @staticmethod
    def broken(world: World) -> str | None:
        return "S1: out of order" if world.taken == -1 else None
