"""WATCH: what EXEC must hold to read its flag (optimistic transactions over several shards).

A watcher has one flag. Any change of a watched key sets it in place, under that key's baton. EXEC
takes the shards of its commands and of its watched keys, and only then reads the flag and looks at
the watched keys' deadlines. A client here watches keys, reads them, and if all of them are as it
expects writes others; a writer changes keys without a condition.

Keys are letters, each on a shard of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import explore
from taking import FREE, give, held, move, put, release, take_closed


class World(NamedTuple):
    owners: tuple[int, ...]
    at: tuple[str, ...]
    done: tuple[int, ...]  # keys that are watched, or read
    values: tuple[int, ...]
    versions: tuple[int, ...]  # of each key: what an observer outside of time would see
    watchers: tuple[frozenset[int], ...]  # of each key
    flags: tuple[bool, ...]
    seen: tuple[tuple[int, ...], ...]  # versions when they were watched
    read: tuple[tuple[int, ...], ...]  # values that were read
    late: frozenset[tuple[int, int]] = frozenset()  # flags that a defect sets by a message
    expired: bool = False  # the time of key `a` is over
    ticket: int = FREE
    hush: bool = False
    executed: int = 0
    wrong: str = ""


@dataclass(frozen=True)
class Client:
    """WATCH and GET `watched`; then, in EXEC, adds 1 to `written` if every value read is `on`."""

    watched: str
    written: str
    on: int | None = None


@dataclass(frozen=True)
class Writer(Client):
    """Adds 1 in one call, from wherever: a command, a script, an in-process call."""


@dataclass(frozen=True)
class Clock(Client):
    """Lets the deadline of key `a` pass."""


class Model:
    def __init__(self, *agents: Client, defects: frozenset[str] = frozenset()):
        self.agents, self.defects = agents, defects
        self.keys = sorted({key for agent in agents for key in agent.watched + agent.written})

    def explore(self) -> explore.Outcome:
        n, keys = len(self.agents), len(self.keys)
        starts = {Writer: "write", Clock: "tick"}
        at = tuple(starts.get(type(agent), "watch") for agent in self.agents)
        zeros, nothing = (0,) * keys, ((),) * n
        nobody = (frozenset[int](),) * keys
        start = World(
            (FREE,) * keys, at, (0,) * n, zeros, zeros, nobody, (False,) * n, nothing, nothing
        )
        return explore.explore(start, self.steps, self.finished, self.broken)

    def steps(self, world: World) -> Iterator[explore.Step]:
        for i, at in enumerate(world.at):
            if at != "end":
                for after in getattr(self, "at_" + at)(world, i, self.agents[i]):
                    yield f"{i}:{at}", after
        for who, key in world.late:
            late = world.late - {(who, key)}
            yield "message", world._replace(late=late, flags=put(world.flags, who, True))

    def shards(self, keys: str) -> list[int]:
        return [self.keys.index(key) for key in keys]

    # ---- WATCH and GET, one shard each -------------------------------------------------------

    def at_watch(self, world: World, i: int, agent: Client) -> Iterator[World]:
        if world.done[i] == len(agent.watched):
            yield move(world, i, "get", done=put(world.done, i, 0))
            return
        key = self.shards(agent.watched)[world.done[i]]
        if world.owners[key] == FREE:
            yield move(give(world, key, i), i, "watching")

    def at_watching(self, world: World, i: int, agent: Client) -> Iterator[World]:
        key = self.shards(agent.watched)[world.done[i]]
        watchers = put(world.watchers, key, world.watchers[key] | {i})
        seen = put(world.seen, i, (*world.seen[i], world.versions[key]))
        world = world._replace(watchers=watchers, seen=seen, done=self.next(world, i))
        yield move(release(world, i), i, "watch")

    def at_get(self, world: World, i: int, agent: Client) -> Iterator[World]:
        if world.done[i] == len(agent.watched):
            goes_on = all(agent.on in (None, value) for value in world.read[i])
            yield move(world, i, "exec" if goes_on else "end")
            return
        key = self.shards(agent.watched)[world.done[i]]
        if world.owners[key] == FREE:
            read = put(world.read, i, (*world.read[i], world.values[key]))
            yield world._replace(read=read, done=self.next(world, i))

    @staticmethod
    def next(world: World, i: int) -> tuple[int, ...]:
        return put(world.done, i, world.done[i] + 1)

    # ---- EXEC --------------------------------------------------------------------------------

    def at_exec(self, world: World, i: int, agent: Client) -> Iterator[World]:
        if "the flag is read before the take" in self.defects and world.flags[i]:
            yield move(world, i, "end")
        else:
            yield move(world, i, "take")

    def at_take(self, world: World, i: int, agent: Client) -> Iterator[World]:
        only = "only the commands' shards" in self.defects
        keys = agent.written if only else agent.written + agent.watched
        yield from take_closed(world, i, set(self.shards(keys)), "check")

    def at_check(self, world: World, i: int, agent: Client) -> Iterator[World]:
        """An instant of its own: what EXEC does not hold can change behind it."""
        early = "the flag is read before the take" in self.defects
        unlooked = "no look at the deadlines" in self.defects
        stale = world.expired and "a" in agent.watched and not unlooked
        dirty = (world.flags[i] and not early) or stale
        yield move(release(world, i), i, "end") if dirty else move(world, i, "run")

    def at_run(self, world: World, i: int, agent: Client) -> Iterator[World]:
        now = tuple(world.versions[key] for key in self.shards(agent.watched))
        if now != world.seen[i]:
            world = world._replace(wrong="EXEC ran, and what it watched had changed")
        world = world._replace(executed=world.executed + 1)
        yield move(release(self.write(world, i, agent.written), i), i, "end")

    def write(self, world: World, i: int, keys: str) -> World:
        for key in self.shards(keys):
            assert key in held(world, i)
            base = world.values[key]
            if self.agents[i].on is None and self.keys[key] in self.agents[i].watched:
                base = world.read[i][self.agents[i].watched.index(self.keys[key])]
            world = world._replace(
                values=put(world.values, key, base + 1),
                versions=put(world.versions, key, world.versions[key] + 1),
            )
            for watcher in world.watchers[key] - {i}:
                world = self.flag(world, watcher, key)
        return world

    def flag(self, world: World, watcher: int, key: int) -> World:
        if "the flag is set by a message" in self.defects:
            return world._replace(late=world.late | {(watcher, key)})
        return world._replace(flags=put(world.flags, watcher, True))

    # ---- others ------------------------------------------------------------------------------

    def at_write(self, world: World, i: int, agent: Client) -> Iterator[World]:
        yield from take_closed(world, i, set(self.shards(agent.written)), "written")

    def at_written(self, world: World, i: int, agent: Client) -> Iterator[World]:
        world = world._replace(executed=world.executed + 1)
        yield move(release(self.write(world, i, agent.written), i), i, "end")

    def at_tick(self, world: World, i: int, agent: Client) -> Iterator[World]:
        """No clock that EXEC reads under its batons passes the deadline while it runs."""
        key = self.keys.index("a")
        if world.owners[key] == FREE:
            versions = put(world.versions, key, world.versions[key] + 1)
            yield move(world, i, "end", expired=True, versions=versions)

    # ---- what must hold ----------------------------------------------------------------------

    @staticmethod
    def finished(world: World) -> bool:
        return set(world.at) == {"end"} and not world.late

    def broken(self, world: World) -> str | None:
        if not self.finished(world):
            return None
        if all(agent.on == 0 for agent in self.agents) and sum(world.values) > 1:
            return "write skew"
        counted = {key for agent in self.agents for key in agent.written}
        counts = all(agent.on is None for agent in self.agents) and len(counted) == 1
        if counts and sum(world.values) != world.executed:
            return "lost update"
        return world.wrong or None
