"""The log's queue, its tickets, and who sleeps for them (csrc/aof/queue.c), one atomic operation a
step.

Pushers queue a chunk each, or a gap where memory was refused, and wait until their ticket is safe.
The thread takes all, writes, tells, and parks. Pushers of one shard push one after the other, as
they hold its baton; a gap makes everything behind it worthless, so nothing more becomes safe. The
log may be closed once all have pushed: the thread ends behind what is queued.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import explore
from taking import put


class World(NamedTuple):
    # shared
    queue: tuple[int, ...] = ()
    started: int = 0
    gaps: int = 0
    parked: bool = False
    safe: int = 0
    told: int = 0
    sleepers: int = 0
    # pushers
    pushers: tuple[str, ...] = ()
    tickets: tuple[int, ...] = ()
    seen: tuple[int, ...] = ()
    pushed: tuple[int, ...] = ()  # who has been past its push, in the order of a shard
    acknowledged: frozenset[int] = frozenset()
    # the thread
    thread: str = "begin"
    batch: tuple[int, ...] = ()
    position: int = 0
    taken_gaps: int = 0
    frozen: bool = False
    written: frozenset[int] = frozenset()
    # who closes
    closer: str = "close"
    closing: bool = False
    saw_closing: bool = False  # the thread's


class Model:
    """`pushers` are words: `a` or `b`, the shard, and `!` for a gap: "a b a!"; or then `close`."""

    def __init__(self, pushers: str, defects: frozenset[str] = frozenset()):
        words = [word for word in pushers.split() if word != "close"]
        self.closes = "close" in pushers
        self.shards = [word[0] for word in words]
        self.is_gap = ["!" in word for word in words]
        self.defects = defects
        count = len(self.shards)
        self.start = World(pushers=("start",) * count, tickets=(0,) * count, seen=(0,) * count)

    def explore(self) -> explore.Outcome:
        return explore.explore(self.start, self.steps, self.finished, self.broken)

    def steps(self, world: World) -> Iterator[explore.Step]:
        for i, at in enumerate(world.pushers):
            if at not in ("end", "asleep"):
                for after in getattr(self, "pusher_" + at)(world, i):
                    yield f"{i}:{at}", after
            if world.frozen and at == "asleep":
                yield f"{i}:gives up", self.at(world, i, "leave")
        if self.closes and world.closer == "close" and len(world.pushed) == len(self.shards):
            yield "closes", world._replace(closing=True, closer="ring")
        if world.closer == "ring":
            yield "closer rings", self.rung(world)._replace(closer="end")
        if world.thread not in ("asleep", "end"):
            for after in getattr(self, "thread_" + world.thread)(world):
                yield f"thread:{world.thread}", after

    def at(self, world: World, i: int, at: str) -> World:
        return world._replace(pushers=put(world.pushers, i, at))

    # ---- aof_push ----------------------------------------------------------------------------

    def before(self, i: int) -> list[int]:
        """Who has the shard's baton before."""
        return [j for j in range(i) if self.shards[j] == self.shards[i]]

    def pusher_start(self, world: World, i: int) -> Iterator[World]:
        if all(j in world.pushed for j in self.before(i)):
            if self.is_gap[i]:
                yield self.at(world._replace(gaps=world.gaps + 1), i, "count")
            elif "counted behind the push" in self.defects:
                yield self.at(world, i, "push")
            else:
                yield self.at(world, i, "count")

    def pusher_count(self, world: World, i: int) -> Iterator[World]:
        world = world._replace(started=world.started + 1)
        late = "counted behind the push" in self.defects or self.is_gap[i]
        early = "the ticket is taken before the push" in self.defects
        yield self.at(world, i, "ticket" if late or early else self.push_or_ring())

    def push_or_ring(self) -> str:
        return "ring" if "rung before the push" in self.defects else "push"

    def pusher_push(self, world: World, i: int) -> Iterator[World]:
        world = world._replace(queue=(*world.queue, i))
        if "counted behind the push" in self.defects:
            yield self.at(world, i, "count")
        elif "the ticket is taken before the push" in self.defects:
            yield self.at(world._replace(pushed=(*world.pushed, i)), i, "ring")
        else:
            yield self.at(world, i, "ticket")

    def pusher_ticket(self, world: World, i: int) -> Iterator[World]:
        world = world._replace(tickets=put(world.tickets, i, world.started))
        if "the ticket is taken before the push" in self.defects and not self.is_gap[i]:
            yield self.at(world, i, "push")
            return
        world = world._replace(pushed=(*world.pushed, i))
        rung = "rung before the push" in self.defects and not self.is_gap[i]
        yield self.at(world, i, "look" if rung else "ring")

    def pusher_ring(self, world: World, i: int) -> Iterator[World]:
        """The load and the swap of `parked` in one: between them only another ring may come."""
        first = "rung before the push" in self.defects and not self.is_gap[i]
        yield self.at(self.rung(world), i, "push" if first else "look")

    @staticmethod
    def rung(world: World) -> World:
        thread = "unpark" if world.parked and world.thread == "asleep" else world.thread
        return world._replace(parked=False, thread=thread)

    # ---- aof_wait ----------------------------------------------------------------------------

    def safe(self, world: World, i: int) -> bool:
        return world.safe >= world.tickets[i]

    def acknowledge(self, world: World, i: int, at: str) -> World:
        return self.at(world._replace(acknowledged=world.acknowledged | {i}), i, at)

    def pusher_look(self, world: World, i: int) -> Iterator[World]:
        if self.safe(world, i):
            yield self.acknowledge(world, i, "end")
        elif "who waits counts itself too late" in self.defects:
            yield self.at(world, i, "read_told")
        else:
            yield self.at(world._replace(sleepers=world.sleepers + 1), i, "read_told")

    def pusher_read_told(self, world: World, i: int) -> Iterator[World]:
        yield self.at(world._replace(seen=put(world.seen, i, world.told)), i, "look_again")

    def pusher_look_again(self, world: World, i: int) -> Iterator[World]:
        late = "who waits counts itself too late" in self.defects
        if self.safe(world, i) and "who waits looks once" not in self.defects:
            yield self.acknowledge(world, i, "end" if late else "leave")
        else:
            yield self.at(world, i, "late" if late else "sleep")

    def pusher_late(self, world: World, i: int) -> Iterator[World]:
        yield self.at(world._replace(sleepers=world.sleepers + 1), i, "sleep")

    def pusher_sleep(self, world: World, i: int) -> Iterator[World]:
        yield self.at(world, i, "asleep" if world.told == world.seen[i] else "read_told")

    def pusher_leave(self, world: World, i: int) -> Iterator[World]:
        yield self.at(world._replace(sleepers=world.sleepers - 1), i, "end")

    # ---- the thread --------------------------------------------------------------------------

    def thread_begin(self, world: World) -> Iterator[World]:
        yield world._replace(saw_closing=world.closing, thread="take")

    def thread_take(self, world: World) -> Iterator[World]:
        if "gaps are taken first" in self.defects:
            yield world._replace(taken_gaps=world.gaps, gaps=0, thread="take_queue")
        else:
            yield from self.thread_take_queue(world._replace(thread="take_gaps"))

    def thread_take_queue(self, world: World) -> Iterator[World]:
        then = "take_gaps" if world.thread == "take_gaps" else "write"
        yield world._replace(batch=world.queue, queue=(), thread=then)

    def thread_take_gaps(self, world: World) -> Iterator[World]:
        yield world._replace(taken_gaps=world.gaps, gaps=0, thread="write")

    def thread_write(self, world: World) -> Iterator[World]:
        """A batch that may have a gap in it is given up as a whole."""
        nothing = not world.batch and not world.taken_gaps
        frozen = world.frozen or world.taken_gaps > 0
        written = world.written if frozen else world.written | set(world.batch)
        position = world.position + len(world.batch) + world.taken_gaps
        world = world._replace(batch=(), taken_gaps=0, frozen=frozen, position=position)
        late = "it looks for the close behind the take" in self.defects
        closing = world.closing if late else world.saw_closing
        if nothing:
            yield world._replace(thread="end" if closing else "announce")
        else:
            yield world._replace(written=written, thread="begin" if frozen else "tell")

    def thread_tell(self, world: World) -> Iterator[World]:
        if "sleepers are looked for too early" in self.defects:
            yield world._replace(thread="tell_late" if world.sleepers else "store")
        else:
            yield world._replace(safe=world.position, thread="sleepers")

    def thread_store(self, world: World) -> Iterator[World]:
        yield world._replace(safe=world.position, thread="begin")

    def thread_tell_late(self, world: World) -> Iterator[World]:
        yield world._replace(safe=world.position, thread="wake")

    def thread_sleepers(self, world: World) -> Iterator[World]:
        yield world._replace(thread="wake" if world.sleepers else "begin")

    def thread_wake(self, world: World) -> Iterator[World]:
        woken = tuple("read_told" if at == "asleep" else at for at in world.pushers)
        yield world._replace(told=world.told + 1, pushers=woken, thread="begin")

    def thread_announce(self, world: World) -> Iterator[World]:
        blind = "it parks without another look" in self.defects
        yield world._replace(parked=True, thread="sleep" if blind else "look")

    def thread_look(self, world: World) -> Iterator[World]:
        called = bool(world.queue) or world.gaps > 0 or world.closing
        yield world._replace(thread="unpark" if called else "sleep")

    def thread_sleep(self, world: World) -> Iterator[World]:
        yield world._replace(thread="asleep" if world.parked else "unpark")

    def thread_unpark(self, world: World) -> Iterator[World]:
        yield world._replace(parked=False, thread="begin")

    # ---- what must hold ----------------------------------------------------------------------

    def finished(self, world: World) -> bool:
        ends = [world.closer, world.thread] if self.closes else []
        return {*world.pushers, *ends} == {"end"}

    def broken(self, world: World) -> str | None:
        if any(i not in world.written for i in world.acknowledged):
            return "something is acknowledged that is not written"
        if world.thread == "end" and (world.queue or world.gaps):
            return "the thread has ended with something in its queue"
        for i in world.written:
            if any(self.is_gap[j] for j in self.before(i)):
                return "something is written behind a gap"
        return None
