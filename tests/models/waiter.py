"""One waiter: its state, its references and its registrations, one atomic operation a step.

The waiter is in a queue of each shard. Its state leaves WAITING by compare-and-swap. Who may have
something for it holds the batons of all its keys and runs its command again: TRYING, and then back
to WAITING, or CLAIMED with an answer. Its owner's timer makes it TIMED_OUT; its owner that ends
makes it CANCELLED, also from TRYING. CLIENT UNBLOCK claims it with all batons. An expiry that
leaves it nothing to wait for (`gone`) holds one baton only and claims it where it is; it stays in
its queues.

References are the owner's, one of the registrations, and one of each foreign thread that looks at
it. That of the registrations goes on with the post that brings the answer, or with the departure
that takes the waiter out of its queues when the batons are next held.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import explore
from taking import FREE, put

WAITING, TRYING, CLAIMED = "waiting", "trying", "claimed"
TIMED_OUT, CANCELLED = "timed out", "cancelled"
UNBLOCKER = 100  # as an owner of batons


class World(NamedTuple):
    owners: tuple[int, ...]  # of the batons
    elements: tuple[bool, ...]  # of each shard
    claimers: tuple[str, ...]
    linked: bool = True  # in its queues
    references: int = 2
    state: str = WAITING
    freed: int = 0
    owner: str = "idle"
    armed: bool = False  # the timer
    posts: frozenset[tuple[str, bool]] = frozenset()  # the answer; is it linked still?
    departing: bool = False
    on_card: bool = True  # the waiter is found through the client's card
    doomed: bool = False
    dead: bool = False
    replies: tuple[str, ...] = ()
    unblock: str = "end"
    unblocked: bool = False  # CLIENT UNBLOCK has answered 1
    kill: str = "end"
    wrong: str = ""


class Model:
    """`claimers` have, each on a shard of its own, an `element`, nothing after all (`vain`), or the
    news that the key is `gone`; `events` are what else may come: timer, unblock, kill."""

    def __init__(self, claimers: str = "", events: str = "", defects: frozenset[str] = frozenset()):
        self.claimers, self.defects = claimers.split(), defects
        shards = max(len(self.claimers), 2)
        self.start = World(
            owners=(FREE,) * shards,
            elements=tuple(what == "element" for what in self.claimers),
            claimers=("start",) * len(self.claimers),
            armed="timer" in events,
            unblock="start" if "unblock" in events else "end",
            kill="start" if "kill" in events else "end",
        )

    def explore(self) -> explore.Outcome:
        return explore.explore(self.start, self.steps, self.finished, self.broken)

    def steps(self, world: World) -> Iterator[explore.Step]:
        for i, at in enumerate(world.claimers):
            if at != "end":
                for after in getattr(self, "claimer_" + at)(world, i):
                    yield f"{self.claimers[i]} {i}:{at}", after
        for who in ("owner", "unblock", "kill"):
            at = getattr(world, who)
            if at != "end" or (who == "owner" and world.posts):
                for after in getattr(self, f"{who}_{at}")(world):
                    yield f"{who}:{at}", after
        if world.departing and set(world.owners) == {FREE}:
            yield "departure", self.put(world._replace(linked=False, departing=False))

    # ---- memory, state, batons ---------------------------------------------------------------

    @staticmethod
    def put(world: World) -> World:
        left = world.references - 1
        if left < 0 or world.freed:
            return world._replace(wrong="put what is freed")
        if left == 0 and world.linked:
            return world._replace(wrong="freed while it is in a queue")
        return world._replace(references=left, freed=world.freed + (left == 0))

    @staticmethod
    def swap(world: World, before: str, after: str) -> World | None:
        """The compare-and-swap of the state; None if it fails."""
        if world.freed:
            return world._replace(wrong="used after it was freed")
        return world._replace(state=after) if world.state == before else None

    def take(self, world: World, who: int) -> World | None:
        """All batons of its keys; that they are taken one by one is growing_sets.py's matter."""
        whole = set(world.owners) == {FREE}
        gone = who < len(self.claimers) and self.claimers[who] == "gone"
        if gone or (who != UNBLOCKER and "who tries holds one baton" in self.defects):
            free = world.owners[who] == FREE
            return world._replace(owners=put(world.owners, who, who)) if free else None
        return world._replace(owners=(who,) * len(world.owners)) if whole else None

    @staticmethod
    def drop(world: World, who: int) -> World:
        owners = tuple(FREE if owner == who else owner for owner in world.owners)
        return world._replace(owners=owners)

    # ---- who has something for it ------------------------------------------------------------

    @staticmethod
    def at_claimer(world: World, i: int, at: str) -> World:
        return world._replace(claimers=put(world.claimers, i, at))

    def claimer_start(self, world: World, i: int) -> Iterator[World]:
        if (taken := self.take(world, i)) is not None:
            yield self.at_claimer(taken, i, "swap" if world.linked else "drop")

    def claimer_swap(self, world: World, i: int) -> Iterator[World]:
        """It has found the waiter in a queue: it must be there as long as the baton is held."""
        gone = self.claimers[i] == "gone"
        swapped = self.swap(world, WAITING, CLAIMED if gone else TRYING)
        if swapped is None:
            yield self.at_claimer(world, i, "drop")
        elif world.owner == "end":
            yield world._replace(wrong="somebody who is gone is served")
        elif gone:
            posts = swapped.posts | {("gone", True)}
            yield self.at_claimer(swapped._replace(posts=posts), i, "drop")
        elif "trying is no swap" in self.defects and not swapped.wrong:
            yield self.at_claimer(world, i, "store")
        else:
            yield self.at_claimer(swapped, i, "run")

    def claimer_store(self, world: World, i: int) -> Iterator[World]:
        yield self.at_claimer(world._replace(state=TRYING), i, "run")

    def claimer_run(self, world: World, i: int) -> Iterator[World]:
        """Only the command itself tells whether it is served."""
        if self.claimers[i] == "vain":
            yield self.at_claimer(world, i, "go_on")
        else:
            world = world._replace(elements=put(world.elements, i, False))
            yield self.at_claimer(world, i, "claim")

    def claimer_go_on(self, world: World, i: int) -> Iterator[World]:
        yield self.at_claimer(self.swap(world, TRYING, WAITING) or world, i, "drop")

    def claimer_claim(self, world: World, i: int) -> Iterator[World]:
        claimed = self.swap(world, TRYING, CLAIMED)
        if claimed is None and "the claim is no swap" in self.defects:
            claimed = world._replace(state=CLAIMED)
        if claimed is None:  # its owner is gone: what the command did stays done
            yield self.at_claimer(world, i, "drop")
        else:
            posts = claimed.posts | {(f"element {i}", False)}
            yield self.at_claimer(claimed._replace(linked=False, posts=posts), i, "posted")

    def claimer_posted(self, world: World, i: int) -> Iterator[World]:
        free = "free at the claim" in self.defects
        yield self.at_claimer(self.put(world) if free else world, i, "drop")

    def claimer_drop(self, world: World, i: int) -> Iterator[World]:
        yield self.at_claimer(self.drop(world, i), i, "end")

    # ---- the owner's thread ------------------------------------------------------------------

    def owner_idle(self, world: World) -> Iterator[World]:
        if world.armed:
            yield self.alarm(world)
        if world.doomed:
            yield world._replace(owner="forget", dead=True, armed=False)
        for post in world.posts:
            replies = (*world.replies, post[0])
            world_after = world._replace(posts=world.posts - {post}, replies=replies, armed=False)
            yield self.received(world_after, post[1])._replace(owner="detach")

    def received(self, world: World, linked: bool) -> World:
        return self.depart(world) if linked else self.put(world)

    def depart(self, world: World) -> World:
        if "it leaves its queues without the batons" in self.defects:
            return self.put(world._replace(linked=False))
        return world._replace(departing=True)

    def alarm(self, world: World) -> World:
        """While somebody tries, or if the post is on its way, it is not over yet."""
        timed_out = self.swap(world, WAITING, TIMED_OUT)
        if "the time-out is no swap" in self.defects:
            timed_out = world._replace(state=TIMED_OUT)
        if timed_out is not None:
            timed_out = timed_out._replace(replies=(*world.replies, "nil"), armed=False)
            return self.depart(timed_out)._replace(owner="detach")
        once = "the time-out comes once" in self.defects
        return world._replace(armed=world.state == TRYING and not once)

    def owner_forget(self, world: World) -> Iterator[World]:
        yield self.forgotten(world, WAITING, "forget_try")

    def owner_forget_try(self, world: World) -> Iterator[World]:
        """Claimed meanwhile: a post is on its way. Else somebody has tried in vain meanwhile."""
        again = "forget_last" if "the dead give up" in self.defects else "forget"
        yield self.forgotten(world, TRYING, "detach" if world.state == CLAIMED else again)

    def owner_forget_last(self, world: World) -> Iterator[World]:
        yield self.forgotten(world, WAITING, "detach")

    def forgotten(self, world: World, before: str, otherwise: str) -> World:
        cancelled = self.swap(world, before, CANCELLED)
        if cancelled is None:
            return world._replace(owner=otherwise)
        leaves = "the dead stay in their queues" not in self.defects
        return (self.depart(cancelled) if leaves else cancelled)._replace(owner="detach")

    def owner_detach(self, world: World) -> Iterator[World]:
        yield self.put(world._replace(on_card=False, owner="end"))

    def owner_end(self, world: World) -> Iterator[World]:
        """Posts that come late find a dead generation."""
        for post in world.posts:
            yield self.received(world._replace(posts=world.posts - {post}), post[1])

    # ---- CLIENT UNBLOCK and CLIENT KILL ------------------------------------------------------

    def unblock_start(self, world: World) -> Iterator[World]:
        """Under the leaf lock of the cards."""
        if not world.on_card:
            yield world._replace(unblock="end")
        else:
            counted = 0 if "unblock has no reference" in self.defects else 1
            yield world._replace(references=world.references + counted, unblock="take")

    def unblock_take(self, world: World) -> Iterator[World]:
        if (taken := self.take(world, UNBLOCKER)) is not None:
            yield taken._replace(unblock="swap")

    def unblock_swap(self, world: World) -> Iterator[World]:
        claimed = self.swap(world, WAITING, CLAIMED)
        if claimed is None:
            yield world._replace(unblock="drop")
        else:
            posts = claimed.posts | {("unblocked", False)}
            yield claimed._replace(linked=False, posts=posts, unblock="drop", unblocked=True)

    def unblock_drop(self, world: World) -> Iterator[World]:
        counted = "unblock has no reference" not in self.defects
        world = self.put(world) if counted else world
        yield self.drop(world, UNBLOCKER)._replace(unblock="end")

    def kill_start(self, world: World) -> Iterator[World]:
        yield world._replace(doomed=True, kill="end")

    # ---- what must hold ----------------------------------------------------------------------

    @staticmethod
    def finished(world: World) -> bool:
        ends = {world.owner, world.unblock, world.kill, *world.claimers}
        return ends == {"end"} and not world.posts and not world.departing

    def broken(self, world: World) -> str | None:
        if world.wrong:
            return world.wrong
        if len(world.replies) > 1:
            return "two replies"
        return self.ended_badly(world) if self.finished(world) else None

    def ended_badly(self, world: World) -> str | None:
        if not world.replies and not world.dead:
            return "no reply"
        if world.freed != 1 or world.references or world.linked:
            return "the memory is not freed"
        popped = self.start.elements.count(True) - world.elements.count(True)
        told = world.replies[0] if world.replies else ""
        if popped > 1 or (popped and not world.dead and not told.startswith("element")):
            return "an element is dropped"
        if world.unblocked and told not in ("unblocked", ""):
            return "UNBLOCK answered 1 and the client got something else"
        return None
