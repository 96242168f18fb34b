"""Sets of batons, ticket and hush (csrc/ring/baton_set.c): rule B1.

A baton here is an owner or none; waiting for it is one step that is possible when it is free (that
the word delivers this is proved in baton_word.py). Kinds of agents:

Static     knows its set: waits in ascending order, drops everything when hushed.
Shard      holds its own baton before it learns its set: tries what is missing; if that fails it
           drops all and goes on as a Static.
Script     holds the ticket: takes what it declares as a Static does, has effects, then extends in
           any order.
Publisher  has effects under one baton, then waits for the board, which is above all others and
           outside hush.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import explore

FREE = -1


class World(NamedTuple):
    owners: tuple[int, ...]
    at: tuple[str, ...]
    ticket: int = FREE
    hush: bool = False
    asleep: frozenset[tuple[int, int]] = frozenset()  # (agent, baton): woken by its drop or by hush
    torn: bool = False

    def move(self, i: int, at: str, **changes: object) -> World:
        ats = (*self.at[:i], at, *self.at[i + 1 :])
        return self._replace(at=ats, **changes)  # type: ignore[arg-type]

    def give(self, baton: int, owner: int) -> World:
        owners = (*self.owners[:baton], owner, *self.owners[baton + 1 :])
        return self._replace(owners=owners)

    def missing(self, i: int, wanted: tuple[int, ...]) -> list[int]:
        return [b for b in wanted if self.owners[b] != i]

    def release(self, i: int) -> World:
        held = {b for b, owner in enumerate(self.owners) if owner == i}
        owners = tuple(FREE if owner == i else owner for owner in self.owners)
        asleep = frozenset(pair for pair in self.asleep if pair[1] not in held)
        return self._replace(owners=owners, asleep=asleep)


@dataclass(frozen=True)
class Static:
    wanted: tuple[int, ...]

    def steps(self, world: World, i: int, defects: frozenset[str]) -> Iterator[World]:
        at = world.at[i]
        if at == "start":
            yield from self.acquire(world, i, defects)
        elif at == "run":
            yield world.release(i).move(i, "end")

    def acquire(self, world: World, i: int, defects: frozenset[str]) -> Iterator[World]:
        missing = world.missing(i, tuple(sorted(self.wanted)))
        obeys = world.hush and world.ticket != i and "hush is ignored" not in defects
        if not missing:
            yield world.move(i, "run")
        elif any(pair[0] == i for pair in world.asleep):
            return
        elif obeys:
            if i in world.owners:
                yield world.release(i)
        elif world.owners[missing[0]] == FREE:
            yield world.give(missing[0], i)
        else:
            yield world._replace(asleep=world.asleep | {(i, missing[0])})


@dataclass(frozen=True)
class Shard(Static):
    own: int

    def steps(self, world: World, i: int, defects: frozenset[str]) -> Iterator[World]:
        at = world.at[i]
        if at == "start":
            if world.owners[self.own] == FREE and not world.hush:
                yield world.give(self.own, i).move(i, "borrow")
        elif at == "borrow":
            missing = world.missing(i, self.wanted)
            if not missing:
                yield world.move(i, "run")
            elif world.owners[missing[0]] == FREE and not world.hush:
                yield world.give(missing[0], i)
            elif "a shard waits for a lower one" not in defects:
                yield world.release(i).move(i, "coordinate")
        elif at == "coordinate":
            yield from self.acquire(world, i, defects)
        else:
            yield from Static.steps(self, world, i, defects)


@dataclass(frozen=True)
class Script(Static):
    extra: tuple[int, ...]

    def steps(self, world: World, i: int, defects: frozenset[str]) -> Iterator[World]:
        at = world.at[i]
        if at == "start":
            if "no ticket" in defects:
                yield world.move(i, "declared")
            elif world.ticket == FREE:
                yield world.move(i, "declared", ticket=i)
        elif at == "declared":
            yield from self.acquire(world, i, defects)
        elif at == "run":
            yield from self.extend(world, i, defects)
        elif at == "dropped":
            hush = world.hush and world.ticket != i
            yield world.move(i, "end", ticket=FREE, hush=hush)

    def extend(self, world: World, i: int, defects: frozenset[str]) -> Iterator[World]:
        missing = world.missing(i, self.extra)
        if not missing:
            yield world.release(i).move(i, "dropped")
        elif world.owners[missing[0]] == FREE:
            yield world.give(missing[0], i)
        elif "a script drops and starts again" in defects:
            yield world.release(i).move(i, "declared", torn=True)
        elif world.ticket == i and not world.hush and "no hush" not in defects:
            woken = world._replace(hush=True, asleep=frozenset())
            yield world._replace(hush=True) if "hush wakes nobody" in defects else woken


@dataclass(frozen=True)
class Publisher(Static):
    board: int

    def steps(self, world: World, i: int, defects: frozenset[str]) -> Iterator[World]:
        at = world.at[i]
        if at == "run":
            blocked = world.hush and "the board is hushed" in defects
            if world.owners[self.board] == FREE and not blocked:
                yield world.give(self.board, i).move(i, "publish")
        elif at == "publish":
            yield world.release(i).move(i, "end")
        else:
            yield from Static.steps(self, world, i, defects)


def explore_agents(
    *agents: Static, batons: int = 3, defects: frozenset[str] = frozenset()
) -> explore.Outcome:
    def steps(world: World) -> Iterator[explore.Step]:
        for i, agent in enumerate(agents):
            for after in agent.steps(world, i, defects):
                yield f"{i}:{world.at[i]}", after

    def finished(world: World) -> bool:
        return all(at == "end" for at in world.at)

    def broken(world: World) -> str | None:
        if world.torn:
            return "torn: dropped with an effect visible"
        if finished(world) and (set(world.owners) != {FREE} or world.hush):
            return "something is left behind"
        return None

    start = World((FREE,) * batons, ("start",) * len(agents))
    return explore.explore(start, steps, finished, broken)
