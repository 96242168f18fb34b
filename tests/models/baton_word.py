"""The baton's word (csrc/ring/baton.c), one atomic operation a step.

Agents run scripts of operations: "take", "timed" (a take whose deadline may pass at any moment),
"yield", "drop", "close", "hush" (the ticket's holder: raise, take, drop, lower).

A swap of the word that is decided from the word alone and tried again when it fails is one step: it
takes effect when it succeeds, and then what was decided from is what is there. Everything else is a
step of its own: the look at `doors`, falling asleep (compare and sleep are one in the kernel),
counting `doors`, each wake-up. Spinning needs no steps: a thread that spins is one that is not
scheduled.

`defects` switches off single lines of the protocol, to show that the exploration would notice.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import explore

BARGES = 1


class Word(NamedTuple):
    held: bool = False
    closed: bool = False
    fair: bool = False
    hush: bool = False
    asleep: bool = False
    gated: bool = False
    parity: bool = False
    inside: int = 0
    next: int = 0


class Agent(NamedTuple):
    script: tuple[str, ...]
    at: str = "idle"
    inside: bool = False
    parity: bool = False
    slept: bool = False
    timed: bool = False
    ticket: bool = False
    seen: Word | int | None = None  # what it compares with when it falls asleep
    overtaken: int = 0
    owes: tuple[str, ...] = ()  # wake-ups, before it goes on at `then`
    then: str = ""


class World(NamedTuple):
    agents: tuple[Agent, ...]
    word: Word = Word()
    doors: int = 0
    barges: int = 0
    hush: int = 0  # the set's generation
    room: int = -1  # who is in
    on_word: frozenset[int] = frozenset()
    on_doors: frozenset[int] = frozenset()
    on_hush: frozenset[int] = frozenset()


REGISTERED = {"wait", "futex_word", "asleep_word", "gate", "futex_doors", "asleep_doors"}
WAKE_ALL = {"doors": "on_doors", "word": "on_word", "hush": "on_hush"}


def left_by(word: Word, inside: bool, defects: frozenset[str]) -> Word:
    if not inside:
        return word._replace(next=word.next - 1)
    word = word._replace(inside=word.inside - 1)
    if word.inside:
        return word
    word = word._replace(asleep=False)
    if word.fair and "door stays closed" in defects:
        return word
    parity = word.next > 0 and not word.parity
    return word._replace(fair=False, gated=False, inside=word.next, next=0, parity=parity)


class Model:
    """All steps of all agents from a world."""

    def __init__(self, *scripts: str, defects: frozenset[str] = frozenset(), bound: int = 0):
        self.start = World(tuple(Agent(tuple(script.split())) for script in scripts))
        self.defects = defects
        self.overtaking_bound = bound  # 0: not counted

    def explore(self) -> explore.Outcome:
        return explore.explore(self.start, self.steps, self.finished, self.broken)

    def steps(self, world: World) -> Iterator[explore.Step]:
        for i, agent in enumerate(world.agents):
            if agent.at == "idle" and not agent.script:
                continue
            for after in getattr(self, "at_" + agent.at)(world, i, agent):
                yield f"{i}:{agent.at}", after

    # ---- helpers -----------------------------------------------------------------------------

    @staticmethod
    def put(world: World, i: int, **changes: object) -> World:
        agents = list(world.agents)
        agents[i] = agents[i]._replace(**changes)  # type: ignore[arg-type]
        return world._replace(agents=tuple(agents))

    @staticmethod
    def rest(world: World, i: int, script: tuple[str, ...]) -> World:
        """Agent i has nothing to do with the baton; its old locals must not tell states apart."""
        agents = list(world.agents)
        agents[i] = Agent(script)
        return world._replace(agents=tuple(agents))

    def owe(self, world: World, i: int, owes: tuple[str, ...], then: str) -> World:
        changes = {"at": "owe", "owes": owes, "then": then} if owes else {"at": then}
        return self.put(world, i, **changes)

    def enter(self, world: World, i: int) -> World:
        """Everybody else who is registered has been overtaken once more."""
        if world.room != -1:
            return world._replace(room=99)
        if self.overtaking_bound:
            for j, other in enumerate(world.agents):
                if j != i and other.at in REGISTERED:
                    world = self.put(world, j, overtaken=other.overtaken + 1)
        fresh = {"inside": False, "parity": False, "slept": False, "timed": False, "overtaken": 0}
        return self.put(world._replace(room=i), i, **fresh)

    # ---- taking ------------------------------------------------------------------------------

    def at_idle(self, world: World, i: int, agent: Agent) -> Iterator[World]:
        if agent.script[0] == "hush":
            world = world._replace(hush=world.hush + 1)
            yield self.put(world, i, at="raise", ticket=True)
        else:
            yield from self.enlist(world, i, agent.script[0] == "timed")

    def enlist(self, world: World, i: int, timed: bool = False) -> Iterator[World]:
        word, ticket = world.word, world.agents[i].ticket
        inside = ticket or not word.fair
        if word.closed:
            yield self.rest(world, i, ())
        elif word.hush and not ticket:
            yield self.put(world, i, at="hushed")
        elif inside and not word.held:
            world = world._replace(word=word._replace(held=True))
            at = "room" if word == Word() else "limit"
            yield self.enter(self.put(world, i, at=at), i)
        else:
            joined = {"inside": word.inside + 1} if inside else {"next": word.next + 1}
            world = world._replace(word=word._replace(**joined))
            yield self.put(world, i, at="wait", inside=inside, parity=word.parity, timed=timed)

    def at_limit(self, world: World, i: int, agent: Agent) -> Iterator[World]:
        word = world.word
        overtook = bool(word.inside) and not word.fair
        barges = world.barges + 1 if overtook else 0
        if barges >= BARGES:
            world = world._replace(word=word._replace(fair=True))
            barges = 0
        yield self.put(world._replace(barges=barges), i, at="room")

    def at_wait(self, world: World, i: int, agent: Agent) -> Iterator[World]:
        word = world.word
        inside = agent.inside or word.parity != agent.parity
        if word.closed:
            yield self.rest(world, i, ())
        elif word.hush and not agent.ticket:
            yield self.withdraw(world, i, inside, "hushed")
        elif inside and not word.held:
            yield self.take_turn(world, i, inside)
        else:
            if agent.timed:
                yield self.withdraw(world, i, inside, "missed")
            if inside:
                asleep = word._replace(asleep=True)
                world = world._replace(word=asleep)
                yield self.put(world, i, at="futex_word", seen=asleep, slept=True, inside=True)
            elif "doors read late" in self.defects:
                yield self.put(world._replace(word=word._replace(gated=True)), i, at="late_doors")
            else:
                yield self.put(world, i, at="gate", seen=world.doors)

    def left(self, world: World, i: int, inside: bool, keeps: str) -> Word:
        word = world.word
        if world.agents[i].slept and keeps not in self.defects:
            word = word._replace(asleep=True)
        return left_by(word, inside, self.defects)

    def take_turn(self, world: World, i: int, inside: bool) -> World:
        after = self.left(world, i, inside, "take forgets sleepers")._replace(held=True)
        opened = ("count", "doors") if world.word.gated and not after.gated else ()
        world = self.enter(self.put(world, i, seen=None), i)._replace(word=after)
        uncounted = "turns are not counted" in self.defects
        return self.owe(world, i, opened, "room" if uncounted else "limit")

    def withdraw(self, world: World, i: int, inside: bool, then: str) -> World:
        after = self.left(world, i, inside, "withdrawal forgets sleepers")
        owes = ("count", "doors") if world.word.gated and not after.gated else ()
        if after.asleep and not after.held:
            owes += ("word",)
        script = world.agents[i].script
        if then == "missed":  # BATON_BUSY: goes on behind the drop that it does not need
            script, then = script[script.index("drop") + 1 :], "idle"
        world = self.rest(world._replace(word=after), i, script)
        return self.owe(world, i, owes, then)

    # ---- sleeping and waking -----------------------------------------------------------------

    def at_futex_word(self, world: World, i: int, agent: Agent) -> Iterator[World]:
        if world.word == agent.seen:
            world = world._replace(on_word=world.on_word | {i})
            yield self.put(world, i, at="asleep_word", seen=None)
        else:
            yield self.put(world, i, at="wait", seen=None)

    def at_asleep_word(self, world: World, i: int, agent: Agent) -> Iterator[World]:
        if agent.timed:
            yield self.put(world._replace(on_word=world.on_word - {i}), i, at="wait")

    def at_gate(self, world: World, i: int, agent: Agent) -> Iterator[World]:
        word = world.word
        if word.closed or word.hush or word.parity != agent.parity:
            yield self.put(world, i, at="wait", seen=None)
        else:
            yield self.put(world._replace(word=word._replace(gated=True)), i, at="futex_doors")

    def at_late_doors(self, world: World, i: int, agent: Agent) -> Iterator[World]:
        yield self.put(world, i, at="futex_doors", seen=world.doors)

    def at_futex_doors(self, world: World, i: int, agent: Agent) -> Iterator[World]:
        if world.doors == agent.seen:
            world = world._replace(on_doors=world.on_doors | {i})
            yield self.put(world, i, at="asleep_doors", seen=None)
        else:
            yield self.put(world, i, at="wait", seen=None)

    def at_asleep_doors(self, world: World, i: int, agent: Agent) -> Iterator[World]:
        if agent.timed:
            yield self.put(world._replace(on_doors=world.on_doors - {i}), i, at="wait")

    def at_owe(self, world: World, i: int, agent: Agent) -> Iterator[World]:
        first, rest = agent.owes[0], agent.owes[1:]
        changes = {"owes": rest} if rest else {"owes": (), "at": agent.then, "then": ""}
        world = self.put(world, i, **changes)
        if first == "count":
            yield world._replace(doors=world.doors + 1)
        elif first == "one":
            choices = [frozenset({j}) for j in world.on_word] or [frozenset[int]()]
            for woken in choices:
                yield self.wake(world, woken, "on_word")
        else:
            queue = WAKE_ALL[first]
            yield self.wake(world, getattr(world, queue), queue)

    def wake(self, world: World, woken: frozenset[int], queue: str) -> World:
        world = world._replace(**{queue: getattr(world, queue) - woken})
        for j in woken:
            world = self.put(world, j, at="hushed" if queue == "on_hush" else "wait")
        return world

    # ---- in the room -------------------------------------------------------------------------

    def at_room(self, world: World, i: int, agent: Agent) -> Iterator[World]:
        operation, word = agent.script[1], world.word
        if agent.ticket:
            yield self.drop(world, i, "lower", agent.script)
        elif operation == "drop":
            yield self.drop(world, i, "idle", agent.script[2:])
        elif operation == "close":
            world = world._replace(word=Word(closed=True), room=-1)
            yield self.owe(self.rest(world, i, ()), i, ("count", "doors", "word"), "idle")
        elif not word.inside and not word.next:  # a yield that nobody wants
            yield self.put(world, i, script=(agent.script[0], *agent.script[2:]))
        else:
            world = world._replace(barges=0)
            yield self.drop(world, i, "idle", ("take", *agent.script[2:]), fair=True)

    def drop(
        self, world: World, i: int, then: str, script: tuple[str, ...], fair: bool = False
    ) -> World:
        word = world.word
        closes = word.fair or (fair and bool(word.inside))
        after = word._replace(held=False, asleep=False, fair=closes)
        wakes = word.asleep and "drop wakes nobody" not in self.defects
        world = self.put(world._replace(word=after, room=-1), i, script=script)
        return self.owe(world, i, ("one",) if wakes else (), then)

    # ---- hush --------------------------------------------------------------------------------

    def at_raise(self, world: World, i: int, agent: Agent) -> Iterator[World]:
        world = world._replace(word=world.word._replace(hush=True))
        yield self.owe(world, i, ("count", "doors", "word"), "with_ticket")

    def at_with_ticket(self, world: World, i: int, agent: Agent) -> Iterator[World]:
        world = self.put(world, i, script=("take", *agent.script))
        yield from self.enlist(world, i)

    def at_lower(self, world: World, i: int, agent: Agent) -> Iterator[World]:
        world = world._replace(word=world.word._replace(hush=False))
        yield self.put(world, i, at="lowered")

    def at_lowered(self, world: World, i: int, agent: Agent) -> Iterator[World]:
        world = self.rest(world._replace(hush=world.hush + 1), i, agent.script[2:])
        yield self.owe(world, i, ("hush",), "idle")

    def at_hushed(self, world: World, i: int, agent: Agent) -> Iterator[World]:
        """baton_set_wait_hush."""
        if world.hush % 2 == 0:
            yield self.put(world, i, at="idle")
        else:
            yield self.put(world._replace(on_hush=world.on_hush | {i}), i, at="asleep_hush")

    def at_asleep_hush(self, world: World, i: int, agent: Agent) -> Iterator[World]:
        return iter(())

    # ---- what must hold ----------------------------------------------------------------------

    @staticmethod
    def finished(world: World) -> bool:
        return all(agent.at == "idle" and not agent.script for agent in world.agents)

    def broken(self, world: World) -> str | None:
        word = world.word
        if world.room == 99:
            return "two in the room"
        if world.room != -1 and not (word.held or word.closed):
            return "N1: in the room without HELD"
        if word.fair and not word.inside:
            return "N2: a closed door with nobody inside"
        if word.next and not word.fair:
            return "N2: a next cohort behind an open door"
        worst = max(agent.overtaken for agent in world.agents)
        if self.overtaking_bound and worst > self.overtaking_bound:
            return f"a waiter was overtaken {worst} times"
        if self.finished(world) and not word.closed and word != Word():
            return f"everybody left, and the word is {word}"
        return None
