"""WATCH: what EXEC must hold to read its flag (optimistic transactions over several shards).

A watcher has one word: a flag, and an epoch that ends when it ceases to watch. Any change of a
watched key sets the flag in place, under that key's baton, by a compare-and-swap and only in the
epoch of the record that it found; a record that is left behind is taken away later. EXEC takes the
shards of its commands and of its watched keys, and only then reads the flag and looks at the
watched keys' deadlines. A client here watches keys, reads them, and if all of them are as it
expects writes others; a writer changes keys without a condition.

Keys are letters, each on a shard of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import explore
from taking import FREE, give, held, move, put, release, take_closed

Record = tuple[int, int]  # client, epoch


class World(NamedTuple):
    owners: tuple[int, ...]
    at: tuple[str, ...]
    done: tuple[int, ...]  # keys that are watched, or read
    values: tuple[int, ...]
    versions: tuple[int, ...]  # of each key: what an observer outside of time would see
    watchers: tuple[frozenset[Record], ...]  # of each key
    words: tuple[tuple[int, bool], ...]  # of each client: epoch and flag
    marks: tuple[tuple[Record, ...], ...]  # whom each agent has still to tell of its change
    seen: tuple[tuple[int, ...], ...]  # versions when they were watched
    read: tuple[tuple[int, ...], ...]  # values that were read
    loaded: frozenset[int] = frozenset()  # agents that have read the word of the first of them
    late: frozenset[Record] = frozenset()  # flags that a defect sets by a message
    expired: bool = False  # the time of key `a` is over
    was_over: frozenset[int] = frozenset()  # for whom it was when they began to watch
    ticket: int = FREE
    hush: bool = False
    executed: int = 0
    wrong: str = ""


@dataclass(frozen=True)
class Client:
    """WATCH and GET `watched`; then, in EXEC, adds 1 to `written` if every value read is `on`.

    First it has watched the keys `before`, and given that up."""

    watched: str
    written: str
    on: int | None = None
    before: str = ""


@dataclass(frozen=True)
class Writer(Client):
    """Adds 1 in one call, from wherever: a command, a script, an in-process call."""


@dataclass(frozen=True)
class Clock(Client):
    """Lets the deadline of key `a` pass."""


class Model:
    def __init__(self, *agents: Client, defects: frozenset[str] = frozenset()):
        self.agents, self.defects = agents, defects
        named = "".join(agent.before + agent.watched + agent.written for agent in agents)
        self.keys = sorted(set(named))

    def explore(self) -> explore.Outcome:
        n, keys = len(self.agents), len(self.keys)
        starts = {Writer: "write", Clock: "tick"}
        zeros, nothing = (0,) * keys, ((),) * n
        start = World(
            owners=(FREE,) * keys,
            at=tuple(starts.get(type(agent), "before") for agent in self.agents),
            done=(0,) * n,
            values=zeros,
            versions=zeros,
            watchers=(frozenset[Record](),) * keys,
            words=((0, False),) * n,
            marks=nothing,
            seen=nothing,
            read=nothing,
        )
        return explore.explore(start, self.steps, self.finished, self.broken)

    def steps(self, world: World) -> Iterator[explore.Step]:
        for i, at in enumerate(world.at):
            if at != "end":
                for after in getattr(self, "at_" + at)(world, i, self.agents[i]):
                    yield f"{i}:{at}", after
        for record in world.late:
            late = world.late - {record}
            yield "message", self.flag(world._replace(late=late), record)
        for key, records in enumerate(world.watchers):
            left = {record for record in records if record[1] != world.words[record[0]][0]}
            if left and world.owners[key] == FREE:
                watchers = put(world.watchers, key, records - left)
                yield "departure", world._replace(watchers=watchers)

    def shards(self, keys: str) -> list[int]:
        return [self.keys.index(key) for key in keys]

    # ---- WATCH and GET, one shard each -------------------------------------------------------

    def at_before(self, world: World, i: int, agent: Client) -> Iterator[World]:
        if world.done[i] == len(agent.before):
            epoch = 1 if agent.before and "records have no epoch" not in self.defects else 0
            words = put(world.words, i, (epoch, False))
            yield move(world, i, "watch", words=words, done=put(world.done, i, 0))
            return
        key = self.shards(agent.before)[world.done[i]]
        if world.owners[key] == FREE:
            watchers = put(world.watchers, key, world.watchers[key] | {(i, 0)})
            yield world._replace(watchers=watchers, done=self.next(world, i))

    def at_watch(self, world: World, i: int, agent: Client) -> Iterator[World]:
        if world.done[i] == len(agent.watched):
            yield move(world, i, "get", done=put(world.done, i, 0))
            return
        key = self.shards(agent.watched)[world.done[i]]
        if world.owners[key] == FREE:
            yield move(give(world, key, i), i, "watching")

    def at_watching(self, world: World, i: int, agent: Client) -> Iterator[World]:
        key = self.shards(agent.watched)[world.done[i]]
        watchers = put(world.watchers, key, world.watchers[key] | {(i, world.words[i][0])})
        seen = put(world.seen, i, (*world.seen[i], world.versions[key]))
        world = world._replace(watchers=watchers, seen=seen, done=self.next(world, i))
        if world.expired and self.keys[key] == "a":
            world = world._replace(was_over=world.was_over | {i})
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
        if "the flag is read before the take" in self.defects and world.words[i][1]:
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
        counts = i not in world.was_over or "what had expired before counts" in self.defects
        stale = world.expired and "a" in agent.watched and counts and not unlooked
        dirty = (world.words[i][1] and not early) or stale
        if dirty and self.versions(world, agent) == world.seen[i]:
            world = world._replace(wrong="EXEC was refused, and nothing had changed")
        yield move(release(world, i), i, "end") if dirty else move(world, i, "run")

    def versions(self, world: World, agent: Client) -> tuple[int, ...]:
        return tuple(world.versions[key] for key in self.shards(agent.watched))

    def at_run(self, world: World, i: int, agent: Client) -> Iterator[World]:
        if self.versions(world, agent) != world.seen[i]:
            world = world._replace(wrong="EXEC ran, and what it watched had changed")
        yield move(self.write(world, i, agent.written), i, "mark")

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
            told = {record for record in world.watchers[key] if record[0] != i}
            if "the flag is set by a message" in self.defects:
                world = world._replace(late=world.late | told)
            else:
                marks = (*world.marks[i], *sorted(told))
                world = world._replace(marks=put(world.marks, i, marks))
        return world._replace(executed=world.executed + 1)

    def at_mark(self, world: World, i: int, agent: Client) -> Iterator[World]:
        """The load and the swap of the word; the batons are held still."""
        if not world.marks[i]:
            yield move(release(world, i), i, "end")
            return
        record, *rest = world.marks[i]
        fits = world.words[record[0]][0] == record[1]
        if i not in world.loaded and fits:
            yield world._replace(loaded=world.loaded | {i})
            return
        if i in world.loaded and (fits or "the flag is stored" in self.defects):
            world = self.flag(world, record)
        yield world._replace(marks=put(world.marks, i, tuple(rest)), loaded=world.loaded - {i})

    @staticmethod
    def flag(world: World, record: Record) -> World:
        epoch = world.words[record[0]][0]
        return world._replace(words=put(world.words, record[0], (epoch, True)))

    # ---- others ------------------------------------------------------------------------------

    def at_write(self, world: World, i: int, agent: Client) -> Iterator[World]:
        yield from take_closed(world, i, set(self.shards(agent.written)), "written")

    def at_written(self, world: World, i: int, agent: Client) -> Iterator[World]:
        yield move(self.write(world, i, agent.written), i, "mark")

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
