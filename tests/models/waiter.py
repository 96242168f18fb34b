"""One waiter: its state, its references and its links, one atomic operation a step.

The waiter is linked on one key of each shard. Its state leaves WAITING once, by compare-and-swap:
CLAIMED by who has an element for it (a holder of the shard), TIMED_OUT by its owner's timer,
CANCELLED by CLIENT UNBLOCK from any thread or by its owner when the connection dies. References are
the owner's, one of each link, and one of each message, each word to unlink and each foreign thread
that looks at it. Its owner alone retires the reply; then it sends the shards word to unlink, which
they do under their batons.

Agents: a claimer on each shard with an element, the shards that unlink, the owner's thread,
CLIENT UNBLOCK, CLIENT KILL.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import explore
from taking import FREE, put

WAITING, CLAIMED, TIMED_OUT, CANCELLED = "waiting", "claimed", "timed out", "cancelled"
SHARD, UNBLOCKER = 100, 200  # owners of batons beside the claimers; the source of a cancellation


class World(NamedTuple):
    owners: tuple[int, ...]  # of the batons
    elements: tuple[bool, ...]  # of each shard
    claimers: tuple[str, ...]
    unlinking: tuple[str, ...]  # each shard's word to unlink: "", "sent", "room"
    links: frozenset[int]
    references: int
    state: str = WAITING
    freed: int = 0
    owner: str = "idle"
    answer: str = ""  # what the owner is about to retire
    claimed_on: int = FREE
    timer: bool = False
    messages: frozenset[tuple[str, int]] = frozenset()  # to the owner: what, from which shard
    on_card: bool = True  # the waiter is found through the client's card
    doomed: bool = False
    dead: bool = False
    replies: tuple[str, ...] = ()
    unblock: str = "end"
    unblocked: bool = False  # CLIENT UNBLOCK has answered 1
    kill: str = "end"
    wrong: str = ""


class Model:
    def __init__(
        self,
        claimers: int = 0,
        shards: int = 2,
        events: str = "",
        defects: frozenset[str] = frozenset(),
    ):
        """`events` names what else may come: timer, unblock, kill."""
        self.shards, self.defects = shards, defects
        self.start = World(
            owners=(FREE,) * shards,
            elements=tuple(shard < claimers for shard in range(shards)),
            claimers=("start",) * claimers,
            unlinking=("",) * shards,
            links=frozenset(range(shards)),
            references=1 + shards,
            timer="timer" in events,
            unblock="start" if "unblock" in events else "end",
            kill="start" if "kill" in events else "end",
        )

    def explore(self) -> explore.Outcome:
        return explore.explore(self.start, self.steps, self.finished, self.broken)

    def steps(self, world: World) -> Iterator[explore.Step]:
        for i, at in enumerate(world.claimers):
            if at != "end":
                for after in getattr(self, "claimer_" + at)(world, i):
                    yield f"claimer {i}:{at}", after
        for shard, at in enumerate(world.unlinking):
            if at:
                for after in getattr(self, "shard_" + at)(world, shard):
                    yield f"shard {shard}:{at}", after
        for who in ("owner", "unblock", "kill"):
            at = getattr(world, who)
            if at != "end" or (who == "owner" and world.messages):
                for after in getattr(self, f"{who}_{at}")(world):
                    yield f"{who}:{at}", after

    # ---- memory ------------------------------------------------------------------------------

    @staticmethod
    def put_reference(world: World) -> World:
        left = world.references - 1
        if left < 0 or world.freed:
            return world._replace(wrong="put what is freed")
        if left == 0 and world.links:
            return world._replace(wrong="freed while linked")
        return world._replace(references=left, freed=world.freed + (left == 0))

    @staticmethod
    def swap(world: World, state: str) -> World | None:
        """The compare-and-swap from WAITING; None if another was first."""
        if world.freed:
            return world._replace(wrong="used after it was freed")
        return world._replace(state=state) if world.state == WAITING else None

    # ---- who claims --------------------------------------------------------------------------

    def at_claimer(self, world: World, i: int, at: str) -> World:
        return world._replace(claimers=put(world.claimers, i, at))

    def claimer_start(self, world: World, i: int) -> Iterator[World]:
        if world.owners[i] == FREE:
            world = world._replace(owners=put(world.owners, i, i))
            yield self.at_claimer(world, i, "swap" if i in world.links else "drop")

    def claimer_swap(self, world: World, i: int) -> Iterator[World]:
        """It has read the link: the waiter must be there as long as it holds the baton."""
        claimed = self.swap(world, CLAIMED)
        if claimed is None:
            yield self.at_claimer(world, i, "drop")
        elif "the claim is no swap" in self.defects and not claimed.wrong:
            yield self.at_claimer(world, i, "store")
        else:
            yield self.at_claimer(claimed, i, "deliver")

    def claimer_store(self, world: World, i: int) -> Iterator[World]:
        yield self.at_claimer(world._replace(state=CLAIMED), i, "deliver")

    def claimer_deliver(self, world: World, i: int) -> Iterator[World]:
        counted = 0 if "a message has no reference" in self.defects else 1
        world = world._replace(
            elements=put(world.elements, i, False),
            references=world.references + counted,
            messages=world.messages | {("claimed", i)},
        )
        yield self.at_claimer(world, i, "unlink")

    def claimer_unlink(self, world: World, i: int) -> Iterator[World]:
        world = self.put_reference(world._replace(links=world.links - {i}))
        if "free at the claim" in self.defects:
            at_once = world._replace(freed=1)
            world = at_once._replace(wrong="freed while linked") if world.links else at_once
        yield self.at_claimer(world, i, "drop")

    def claimer_drop(self, world: World, i: int) -> Iterator[World]:
        yield self.at_claimer(world._replace(owners=put(world.owners, i, FREE)), i, "end")

    # ---- the shards that unlink --------------------------------------------------------------

    def shard_sent(self, world: World, shard: int) -> Iterator[World]:
        if world.owners[shard] == FREE:
            world = world._replace(owners=put(world.owners, shard, SHARD))
            yield world._replace(unlinking=put(world.unlinking, shard, "room"))

    def shard_room(self, world: World, shard: int) -> Iterator[World]:
        """A claim on this shard that the owner did not know of may have unlinked it before."""
        if world.freed:
            world = world._replace(wrong="used after it was freed")
        linked = shard in world.links or "the word's link is taken for granted" in self.defects
        world = world._replace(links=world.links - {shard})
        world = self.put_reference(world) if linked else world
        counted = "the word to unlink has no reference" not in self.defects
        world = self.put_reference(world) if counted else world
        world = world._replace(owners=put(world.owners, shard, FREE))
        yield world._replace(unlinking=put(world.unlinking, shard, ""))

    # ---- the owner's thread ------------------------------------------------------------------

    def owner_idle(self, world: World) -> Iterator[World]:
        if world.timer:
            yield self.time_out(world._replace(timer=False))
        if world.doomed:
            cancelled = self.swap(world, CANCELLED)
            yield (cancelled or world)._replace(owner="retire", dead=True)
        for message in world.messages:
            what, shard = message
            world_after = world._replace(messages=world.messages - {message}, claimed_on=shard)
            answer = f"element {shard}" if what == "claimed" else "unblocked"
            yield self.put_reference(world_after)._replace(owner="retire", answer=answer)

    def time_out(self, world: World) -> World:
        if "the time-out is no swap" in self.defects:
            return world._replace(state=TIMED_OUT, owner="retire", answer="nil")
        timed_out = self.swap(world, TIMED_OUT)
        if timed_out is None:
            return world  # the message of who was first is on its way
        return timed_out._replace(owner="retire", answer="nil")

    def owner_retire(self, world: World) -> Iterator[World]:
        replies = world.replies if world.dead else (*world.replies, world.answer)
        yield world._replace(replies=replies, on_card=False, owner="unlink", answer="")

    def owner_unlink(self, world: World) -> Iterator[World]:
        """Not where it was claimed, if the owner knows it: there it is unlinked already."""
        if "unlink without the baton" in self.defects:
            for shard in world.links:
                world = self.put_reference(world._replace(links=world.links - {shard}))
        elif world.dead and "the dead leave their links" in self.defects:
            pass
        else:
            shards = set(range(self.shards)) - {world.claimed_on}
            words = tuple("sent" if shard in shards else "" for shard in range(self.shards))
            counted = "the word to unlink has no reference" not in self.defects
            references = world.references + (len(shards) if counted else 0)
            world = world._replace(unlinking=words, references=references)
        yield world._replace(owner="put")

    def owner_put(self, world: World) -> Iterator[World]:
        yield self.put_reference(world)._replace(owner="end")

    def owner_end(self, world: World) -> Iterator[World]:
        """Messages that come late find a dead generation."""
        for message in world.messages:
            yield self.put_reference(world._replace(messages=world.messages - {message}))

    # ---- CLIENT UNBLOCK and CLIENT KILL ------------------------------------------------------

    def unblock_start(self, world: World) -> Iterator[World]:
        """Under the leaf lock of the cards."""
        if not world.on_card:
            yield world._replace(unblock="end")
        else:
            counted = 0 if "unblock has no reference" in self.defects else 1
            yield world._replace(references=world.references + counted, unblock="swap")

    def unblock_swap(self, world: World) -> Iterator[World]:
        cancelled = self.swap(world, CANCELLED)
        if cancelled is None:
            yield world._replace(unblock="put")
        else:
            messages = cancelled.messages | {("cancelled", UNBLOCKER)}
            yield cancelled._replace(messages=messages, unblock="end", unblocked=True)

    def unblock_put(self, world: World) -> Iterator[World]:
        yield self.put_reference(world)._replace(unblock="end")

    def kill_start(self, world: World) -> Iterator[World]:
        yield world._replace(doomed=True, kill="end")

    # ---- what must hold ----------------------------------------------------------------------

    @staticmethod
    def finished(world: World) -> bool:
        ends = {world.owner, world.unblock, world.kill, *world.claimers}
        return ends == {"end"} and not world.messages and not any(world.unlinking)

    def broken(self, world: World) -> str | None:
        if world.wrong:
            return world.wrong
        if len(world.replies) > 1:
            return "two replies"
        return self.ended_badly(world) if self.finished(world) else None

    def ended_badly(self, world: World) -> str | None:
        if not world.replies and not world.dead:
            return "no reply"
        if world.freed != 1 or world.references or world.links:
            return "the memory is not freed"
        popped = self.start.elements.count(True) - world.elements.count(True)
        if popped != (world.state == CLAIMED):
            return "elements taken without a claim, or not taken for it"
        told = world.replies[0] if world.replies else ""
        if popped and not told.startswith("element") and not world.dead:
            return "a claimed element is dropped"
        if world.unblocked and told not in ("unblocked", ""):
            return "UNBLOCK answered 1 and the client got something else"
        return None
