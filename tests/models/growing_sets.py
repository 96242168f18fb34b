"""Sets that grow with who waits (blocking commands): a call serves only where it is in the room.

A call that may make keys ready looks, under its batons, at the waiters of these keys. Serving a
waiter executes its command again, which needs the shards of all its keys and may make its
destination ready, and so on: all these shards are the closure. If more is needed than is held, the
call drops all, takes the sum in ascending order and looks again, for waiters came and went
meanwhile. Only then comes its first effect. It serves once, when it is complete and before it
drops. While nobody waits for keys of several shards there is nothing to look at; that too is known
only behind the take.

Call     runs its operations (`push a`, `pop a`, `move a b`) in one set; with `own` it is a shard
         thread that holds its baton before it learns its set.
Script   the same with an open set, under the ticket.
Waiter   BLPOP of `keys`, or BLMOVE of one key `into` another. With `timed` its timer may fire.

Keys are letters; the key number n lies on shard n modulo the number of batons.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import explore
from taking import (
    FREE,
    drop_ticket,
    give,
    held,
    missing,
    move,
    put,
    release,
    take_closed,
    take_open,
    take_ticket,
)

WAITING, CLAIMED, TIMED_OUT = "waiting", "claimed", "timed out"


class World(NamedTuple):
    owners: tuple[int, ...]
    at: tuple[str, ...]
    wanted: tuple[frozenset[int], ...]  # the set of each agent so far
    done: tuple[int, ...]  # operations of each agent that have run
    ready: tuple[str, ...]  # the keys that the call of each agent has made ready, in order
    state: tuple[str, ...]  # of each waiter
    got: tuple[str, ...]  # the elements that each agent has taken or been given
    lists: tuple[str, ...]  # the elements of each key
    links: tuple[tuple[int, ...], ...]  # the waiters of each key, first come first
    ticket: int = FREE
    hush: bool = False
    wrong: str = ""


@dataclass(frozen=True)
class Call:
    operations: tuple[str, ...]
    own: int = FREE
    keys = ""
    into = ""
    timed = False

    def all_keys(self) -> str:
        return "".join(operation.split(" ", 1)[1].replace(" ", "") for operation in self.operations)

    def may_make_ready(self) -> str:
        return "".join(op[-1] for op in self.operations if not op.startswith("pop"))


@dataclass(frozen=True)
class Script(Call):
    declared: str = ""


@dataclass(frozen=True)
class Waiter(Call):
    operations: tuple[str, ...] = ()
    keys: str = ""
    into: str = ""
    timed: bool = False

    def all_keys(self) -> str:
        return self.keys + self.into

    def may_make_ready(self) -> str:
        return self.into


class Model:
    def __init__(self, *agents: Call, batons: int = 3, defects: frozenset[str] = frozenset()):
        self.agents, self.batons, self.defects = agents, batons, defects
        letters = [letter for agent in agents for letter in agent.all_keys()]
        self.key_count = max(ord(letter) - ord("a") for letter in letters) + 1

    def explore(self) -> explore.Outcome:
        n, keys = len(self.agents), self.key_count
        empty = ("",) * n
        sets = tuple(self.declared(agent) for agent in self.agents)
        ats = tuple("ticket" if isinstance(agent, Script) else "start" for agent in self.agents)
        lists, links = ("",) * keys, ((),) * keys
        start = World((FREE,) * self.batons, ats, sets, (0,) * n, empty, empty, empty, lists, links)
        return explore.explore(start, self.steps, self.finished, self.broken)

    def steps(self, world: World) -> Iterator[explore.Step]:
        for i, at in enumerate(world.at):
            if at != "end":
                for after in getattr(self, "at_" + at)(world, i, self.agents[i]):
                    yield f"{i}:{at}", after

    # ---- keys --------------------------------------------------------------------------------

    def shard(self, key: str) -> int:
        return (ord(key) - ord("a")) % self.batons

    def shards(self, keys: str) -> frozenset[int]:
        return frozenset(self.shard(key) for key in keys)

    def declared(self, agent: Call) -> frozenset[int]:
        keys = agent.declared if isinstance(agent, Script) else agent.all_keys()
        return self.shards(keys)

    @staticmethod
    def waiters(world: World, key: str) -> list[int]:
        links = world.links[ord(key) - ord("a")]
        return [waiter for waiter in links if world.state[waiter] == WAITING]

    def closure(self, world: World, keys: str, rooms: frozenset[int]) -> frozenset[int]:
        """The shards that serving `keys` needs, as far as who holds `rooms` can see."""
        seen, todo, needs = "", keys, self.shards(keys)
        while todo:
            key, todo = todo[0], todo[1:]
            if key not in seen and self.shard(key) in rooms:
                waiting = [self.agents[waiter] for waiter in self.waiters(world, key)]
                todo += "".join(agent.into for agent in waiting)
                needs |= self.shards("".join(agent.all_keys() for agent in waiting))
            seen += key
        return needs

    def somebody_reaches(self, world: World) -> bool:
        """The hint: does anybody wait who needs more than one shard?"""
        linked = {waiter for links in world.links for waiter in links}
        return any(len(self.shards(self.agents[w].all_keys())) > 1 for w in linked)

    def push(self, world: World, i: int, key: str, element: str) -> World:
        number = ord(key) - ord("a")
        lists = put(world.lists, number, world.lists[number] + element)
        ready = world.ready[i] + ("" if key in world.ready[i] else key)
        return world._replace(lists=lists, ready=put(world.ready, i, ready))

    @staticmethod
    def pop(world: World, key: str) -> tuple[str, World]:
        number = ord(key) - ord("a")
        elements = world.lists[number]
        return elements[:1], world._replace(lists=put(world.lists, number, elements[1:]))

    @staticmethod
    def receive(world: World, i: int, element: str) -> World:
        return world._replace(got=put(world.got, i, world.got[i] + element))

    def unlink(self, world: World, waiter: int, rooms: frozenset[int]) -> World:
        links = tuple(
            tuple(w for w in links if w != waiter or number % self.batons not in rooms)
            for number, links in enumerate(world.links)
        )
        return world._replace(links=links)

    # ---- taking the set ----------------------------------------------------------------------

    def at_start(self, world: World, i: int, agent: Call) -> Iterator[World]:
        if "the hint is read before the take" in self.defects and not self.somebody_reaches(world):
            yield move(world, i, "take_blind")
        elif agent.own == FREE:
            yield move(world, i, "take")
        elif world.owners[agent.own] == FREE and not world.hush:
            yield move(give(world, agent.own, i), i, "borrow")

    def at_borrow(self, world: World, i: int, agent: Call) -> Iterator[World]:
        """Holds its own baton, and may only try the others."""
        lacks = missing(world, i, world.wanted[i])
        if not lacks:
            yield move(world, i, "look")
        elif world.owners[lacks[0]] == FREE and not world.hush:
            yield give(world, lacks[0], i)
        else:
            yield move(release(world, i), i, "take")

    def at_take(self, world: World, i: int, agent: Call) -> Iterator[World]:
        grown = world.wanted[i] != self.declared(agent)
        once = grown and "no second look" in self.defects
        yield from take_closed(world, i, world.wanted[i], "run" if once else "look")

    def at_take_blind(self, world: World, i: int, agent: Call) -> Iterator[World]:
        yield from take_closed(world, i, world.wanted[i], "run")

    def at_look(self, world: World, i: int, agent: Call) -> Iterator[World]:
        needs = self.closure(world, agent.may_make_ready(), held(world, i))
        blind = {"serves with its own mask", "extends behind its effect"} & self.defects
        if needs <= world.wanted[i] or blind:
            yield move(world, i, "run")
        else:
            world = world._replace(wanted=put(world.wanted, i, world.wanted[i] | needs))
            yield move(release(world, i), i, "take")

    def at_ticket(self, world: World, i: int, agent: Call) -> Iterator[World]:
        yield from take_ticket(world, i, "declare")

    def at_declare(self, world: World, i: int, agent: Call) -> Iterator[World]:
        yield from take_closed(world, i, world.wanted[i], "run")

    # ---- running -----------------------------------------------------------------------------

    def at_run(self, world: World, i: int, agent: Call) -> Iterator[World]:
        if isinstance(agent, Waiter):
            yield self.execute_or_wait(world, i, agent)
        elif world.done[i] == len(agent.operations):
            yield move(world, i, "close" if isinstance(agent, Script) else "serve")
        else:
            operation, *keys = agent.operations[world.done[i]].split()
            lacks = missing(world, i, self.shards("".join(keys)))
            if lacks:  # a script only
                yield from take_open(world, i, lacks)
            else:
                yield self.operate(world, i, operation, keys)

    def operate(self, world: World, i: int, operation: str, keys: list[str]) -> World:
        element = chr(ord("A") + 8 * i + world.done[i])  # no other push has it
        world = world._replace(done=put(world.done, i, world.done[i] + 1))
        if operation == "push":
            return self.push(world, i, keys[0], element)
        element, world = self.pop(world, keys[0])
        if operation == "move":
            return self.push(world, i, keys[1], element) if element else world
        return self.receive(world, i, element)

    def execute_or_wait(self, world: World, i: int, agent: Waiter) -> World:
        filled = [key for key in agent.keys if world.lists[ord(key) - ord("a")]]
        if filled and not world.done[i]:
            element, world = self.pop(world, filled[0])
            world = self.receive(world, i, element)
            world = self.push(world, i, agent.into, element) if agent.into else world
            return move(world, i, "serve")
        if "registers after a drop" in self.defects and not world.done[i]:
            world = world._replace(done=put(world.done, i, 1))
            return move(release(world, i), i, "take")
        links = world.links
        for key in agent.keys:
            number = ord(key) - ord("a")
            links = put(links, number, (*links[number], i))
        world = world._replace(links=links, state=put(world.state, i, WAITING))
        return move(release(world, i), i, "blocked")

    # ---- serving -----------------------------------------------------------------------------

    def at_close(self, world: World, i: int, agent: Call) -> Iterator[World]:
        """A script waits for the closure now: it may."""
        lacks = missing(world, i, self.closure(world, world.ready[i], held(world, i)))
        if lacks:
            yield from take_open(world, i, lacks)
        else:
            yield move(world, i, "serve")

    def at_serve(self, world: World, i: int, agent: Call) -> Iterator[World]:
        if "serves after its drop" in self.defects and world.ready[i]:
            yield move(release(world, i), i, "late")
        elif "extends behind its effect" in self.defects:
            needs = self.closure(world, world.ready[i], held(world, i))
            lacks = missing(world, i, needs)[::-1]
            if not lacks:
                yield self.serve(world, i)
            elif world.owners[lacks[0]] == FREE:
                yield give(world, lacks[0], i)
        else:
            yield self.serve(world, i)

    def at_late(self, world: World, i: int, agent: Call) -> Iterator[World]:
        yield from take_closed(world, i, world.wanted[i], "late_serve")

    def at_late_serve(self, world: World, i: int, agent: Call) -> Iterator[World]:
        yield self.serve(world, i)

    def serve(self, world: World, i: int) -> World:
        """Serves one waiter of the first key that is ready, or is done with that key."""
        if not world.ready[i]:
            after = "return" if isinstance(self.agents[i], Script) else "end"
            return move(release(world, i), i, after)
        key = world.ready[i][0]
        waiting = self.waiters(world, key)
        links = world.links[ord(key) - ord("a")]
        if "a dead link hides who is behind" in self.defects and links[:1] != tuple(waiting[:1]):
            waiting = []
        if not waiting or not world.lists[ord(key) - ord("a")]:
            return world._replace(ready=put(world.ready, i, world.ready[i][1:]))
        newest = "last come first served" in self.defects
        return self.claim(world, i, waiting[-1 if newest else 0], key)

    def claim(self, world: World, i: int, waiter: int, key: str) -> World:
        """Executes the command of the waiter again, in the rooms that are held."""
        agent, rooms = self.agents[waiter], held(world, i)
        if not self.shards(agent.all_keys()) <= rooms:
            return world._replace(wrong="serves where it is not in the room")
        if waiter != self.waiters(world, key)[0]:
            return world._replace(wrong="serves out of turn")
        world = world._replace(state=put(world.state, waiter, CLAIMED))
        source = next(k for k in agent.keys if world.lists[ord(k) - ord("a")])
        element, world = self.pop(world, source)
        world = self.receive(self.unlink(world, waiter, rooms), waiter, element)
        if not agent.into:
            return world
        moved = self.push(world, i, agent.into, element)
        chain = "what serving makes ready is forgotten" not in self.defects
        return moved if chain else moved._replace(ready=world.ready)

    def at_return(self, world: World, i: int, agent: Call) -> Iterator[World]:
        yield from drop_ticket(world, i, "end")

    # ---- a waiter's end ----------------------------------------------------------------------

    def at_blocked(self, world: World, i: int, agent: Call) -> Iterator[World]:
        if world.state[i] == CLAIMED:
            yield move(world, i, "leave")
        elif agent.timed:
            yield move(world, i, "leave", state=put(world.state, i, TIMED_OUT))

    def at_leave(self, world: World, i: int, agent: Call) -> Iterator[World]:
        linked = [number for number, links in enumerate(world.links) if i in links]
        rooms = frozenset(number % self.batons for number in linked)
        world = world._replace(wanted=put(world.wanted, i, rooms))
        yield move(world, i, "unlink" if linked else "end")

    def at_unlink(self, world: World, i: int, agent: Call) -> Iterator[World]:
        yield from take_closed(world, i, world.wanted[i], "unlinked")

    def at_unlinked(self, world: World, i: int, agent: Call) -> Iterator[World]:
        world = self.unlink(world, i, held(world, i))
        yield move(release(world, i), i, "end")

    # ---- what must hold ----------------------------------------------------------------------

    @staticmethod
    def finished(world: World) -> bool:
        """Who still waits has nothing to take: see `broken`."""
        return all(
            at == "end" or (at == "blocked" and state == WAITING)
            for at, state in zip(world.at, world.state, strict=True)
        )

    def broken(self, world: World) -> str | None:
        if world.wrong:
            return world.wrong
        for number, elements in enumerate(world.lists):
            key = chr(ord("a") + number)
            in_the_room = world.owners[self.shard(key)] != FREE
            if elements and not in_the_room and self.waiters(world, key):
                return f"{key} has an element and a waiter, and nobody is in the room"
        return self.left_behind(world) if self.finished(world) else None

    def left_behind(self, world: World) -> str | None:
        pushed = [
            chr(ord("A") + 8 * i + n)
            for i, agent in enumerate(self.agents)
            for n, operation in enumerate(agent.operations)
            if operation.startswith("push")
        ]
        takers = zip(world.got, self.agents, strict=True)
        taken = "".join(got for got, agent in takers if not agent.into)
        if sorted(taken + "".join(world.lists)) != pushed:
            return "an element is lost, or was taken twice"
        if set(world.owners) != {FREE} or world.hush or world.ticket != FREE:
            return "something is left behind"
        ended = [i for i, at in enumerate(world.at) if at == "end"]
        if any(i in links for links in world.links for i in ended):
            return "a waiter that has left is still linked"
        return None
