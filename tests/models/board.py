"""The board (channels and their listeners): one more baton, above all, outside sets and hush.

A call with a closed set takes the board at its first publication and keeps it to its end. A call
with an open set may still have to wait for batons, so it takes the board for a look-up only and
drops it, and takes it again as the last thing of all. What a call publishes leaves together when it
is complete, under the board; then the board drops, and then the batons. Who holds the board waits
for nothing. There is one ordered stream for each listening shard, and its thread gives what comes
to its clients. It drains its stream behind each take and before it executes a
client's command, behind the take of the board too if the command reads the board, and right after
each reply.

Call     `set a` and `publish` in one closed set.
Script   the same with an open set, under the ticket.
Thread   a shard thread with clients x, y, ...: each operation is a run of commands that it has
         parsed and takes one set for: `x subscribe`, `x unsubscribe`, `x publish`, `x read a`.

Keys are letters, each on a shard of its own. A client's output is the replies and messages in it;
each reply knows the messages that must come before it: all that were published when what it tells
of became visible, and what the client itself published before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
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

Message = tuple[int, int, int, int]  # agent, operation, command: the call; then its number there


class World(NamedTuple):
    owners: tuple[int, ...]  # the last one is of the board
    at: tuple[str, ...]
    done: tuple[int, ...]
    part: tuple[int, ...]  # commands of the running operation that are done
    kept: tuple[tuple[Message, ...], ...]  # what each agent has still to put on the board
    before: tuple[frozenset[Message], ...]  # of each key's value: what was published before it
    streams: tuple[tuple[Message, ...], ...]  # of each agent
    clients: frozenset[str] = frozenset()  # who is registered
    since: tuple[tuple[str, int], ...] = ()
    until: tuple[tuple[str, int], ...] = ()
    past: tuple[tuple[str, frozenset[Message]], ...] = ()  # what each client has published
    output: tuple[tuple[str, tuple[Message, ...]], ...] = ()  # the messages in each output
    log: tuple[Message, ...] = ()  # everything that was ever on the board
    ticket: int = FREE
    hush: bool = False
    wrong: str = ""


@dataclass(frozen=True)
class Call:
    operations: tuple[str, ...]


@dataclass(frozen=True)
class Script(Call):
    pass


@dataclass(frozen=True)
class Thread(Call):
    pass


def put_for(pairs: tuple[tuple[str, object], ...], who: str, what: object) -> tuple:
    return tuple(sorted({**dict(pairs), who: what}.items(), key=lambda pair: pair[0]))


class Model:
    def __init__(self, *agents: Call, keys: int = 2, defects: frozenset[str] = frozenset()):
        self.agents, self.keys, self.defects = agents, keys, defects
        self.board = keys
        self.home = {
            command.split()[0]: i
            for i, agent in enumerate(agents)
            if isinstance(agent, Thread)
            for operation in agent.operations
            for command in operation.split(", ")
        }

    def explore(self) -> explore.Outcome:
        n = len(self.agents)
        first = {Call: "take", Script: "ticket", Thread: "idle"}
        start = World(
            owners=(FREE,) * (self.keys + 1),
            at=tuple(first[type(agent)] for agent in self.agents),
            done=(0,) * n,
            part=(0,) * n,
            kept=((),) * n,
            before=(frozenset[Message](),) * self.keys,
            streams=((),) * n,
        )
        return explore.explore(start, self.steps, self.finished, self.broken)

    def steps(self, world: World) -> Iterator[explore.Step]:
        for i, at in enumerate(world.at):
            if at != "end":
                for after in getattr(self, "at_" + at)(world, i, self.agents[i]):
                    yield f"{i}:{at}", after

    # ---- the board and its streams -----------------------------------------------------------

    def publish(self, world: World, message: Message) -> World:
        streams = world.streams
        for thread in {self.home[client] for client in world.clients}:
            streams = put(streams, thread, (*streams[thread], message))
        return world._replace(streams=streams, log=(*world.log, message))

    def drain(self, world: World, i: int) -> World:
        stream = world.streams[i]
        if "a stream for each publisher" in self.defects:
            stream = tuple(sorted(stream))  # in the order in which one looks into them
        world = world._replace(streams=put(world.streams, i, ()))
        for message in stream:
            for client in sorted(world.clients):
                if self.home[client] == i:
                    world = self.deliver(world, client, message)
        return world

    @staticmethod
    def deliver(world: World, client: str, message: Message) -> World:
        index, seen = world.log.index(message), dict(world.output).get(client, ())
        if index < dict(world.since)[client]:
            return world._replace(wrong="a message from before the subscription")
        if seen and world.log.index(seen[-1]) >= index:
            return world._replace(wrong="another order than the board's")
        return world._replace(output=put_for(world.output, client, (*seen, message)))

    @staticmethod
    def reply(world: World, client: str, behind: frozenset[Message]) -> World:
        behind |= dict(world.past).get(client, frozenset())
        since = dict(world.since).get(client, len(world.log))
        until = dict(world.until).get(client, len(world.log))
        seen = dict(world.output).get(client, ())
        for message in behind - set(seen):
            if message not in world.log or since <= world.log.index(message) < until:
                return world._replace(wrong="a reply has passed a message")
        return world

    def drop(self, world: World, i: int, at: str, written: str) -> World:
        """The end of a call: its effects are visible from here on."""
        for key in written:
            behind = frozenset(world.log) | frozenset(world.kept[i])
            world = world._replace(before=put(world.before, ord(key) - ord("a"), behind))
        return move(release(world, i), i, at)

    # ---- Call and Script ---------------------------------------------------------------------

    @staticmethod
    def written(agent: Call) -> str:
        return "".join(op[-1] for op in agent.operations if op.startswith("set"))

    def at_take(self, world: World, i: int, agent: Call) -> Iterator[World]:
        wanted = {ord(key) - ord("a") for key in self.written(agent)}
        yield from take_closed(world, i, wanted, "run")

    def at_ticket(self, world: World, i: int, agent: Call) -> Iterator[World]:
        yield from take_ticket(world, i, "run")

    def at_run(self, world: World, i: int, agent: Call) -> Iterator[World]:
        """The effects of closed calls are stamped when they are dropped: sets are no steps here."""
        if world.done[i] == len(agent.operations):
            yield move(world, i, "last")
            return
        operation = agent.operations[world.done[i]]
        step = world._replace(done=put(world.done, i, world.done[i] + 1))
        lacks = [] if operation == "publish" else missing(world, i, [ord(operation[-1]) - ord("a")])
        if lacks:  # a script only
            yield from take_open(world, i, lacks)
        elif operation != "publish":
            yield step
        else:
            yield from self.announce(world, step, i, (i, 0, 0, world.done[i]))

    def announce(self, world: World, step: World, i: int, message: Message) -> Iterator[World]:
        owner = world.owners[self.board]
        hushed = world.hush and world.ticket != i and "the board is hushed" in self.defects
        keeps = world.ticket != i or "an open set keeps the board" in self.defects
        kept = step._replace(kept=put(step.kept, i, (*step.kept[i], message)))
        if "published after the drop" in self.defects:
            yield kept
        elif owner not in (FREE, i) or hushed:
            return
        elif not keeps:  # looks who listens, and drops the board in the same instant
            yield kept
        elif owner == FREE:
            yield give(world, self.board, i)
        elif "each publication leaves by itself" in self.defects:
            yield give(self.publish(step, message), self.board, FREE)
        else:
            yield kept

    def at_last(self, world: World, i: int, agent: Call) -> Iterator[World]:
        owner = world.owners[self.board]
        late = "published after the drop" in self.defects and held(world, i) - {self.board}
        if owner == i:
            for message in world.kept[i]:
                world = self.publish(world, message)
            yield give(world._replace(kept=put(world.kept, i, ())), self.board, FREE)
        elif world.kept[i] and not late:
            if owner == FREE:
                yield give(world, self.board, i)
        else:
            after = "return" if world.ticket == i else "end"
            yield self.drop(world, i, "last" if late else after, self.written(agent))

    def at_return(self, world: World, i: int, agent: Call) -> Iterator[World]:
        yield from drop_ticket(world, i, "end")

    # ---- Thread ------------------------------------------------------------------------------

    @staticmethod
    def commands(world: World, i: int, agent: Call) -> list[list[str]]:
        return [command.split() for command in agent.operations[world.done[i]].split(", ")]

    def at_idle(self, world: World, i: int, agent: Call) -> Iterator[World]:
        if world.streams[i]:
            yield self.drain(world, i)
        if world.done[i] < len(agent.operations):
            yield move(world, i, "take_run")

    def at_take_run(self, world: World, i: int, agent: Call) -> Iterator[World]:
        commands = self.commands(world, i, agent)
        wanted = {ord(words[2]) - ord("a") for words in commands if words[1] == "read"}
        yield from take_closed(world, i, wanted, "drain")

    def at_drain(self, world: World, i: int, agent: Call) -> Iterator[World]:
        skips = "no drain after the take" in self.defects
        yield move(world if skips else self.drain(world, i), i, "command")

    def at_command(self, world: World, i: int, agent: Call) -> Iterator[World]:
        client, what, *_ = self.commands(world, i, agent)[world.part[i]]
        if what == "read":
            yield move(world, i, "execute")
        elif world.owners[self.board] == FREE:
            if what == "subscribe" and "acknowledged before it is registered" in self.defects:
                yield move(self.registered(world, client), i, "register")
            else:
                yield move(give(world, self.board, i), i, "look")

    def at_register(self, world: World, i: int, agent: Call) -> Iterator[World]:
        if world.owners[self.board] == FREE:
            yield move(give(world, self.board, i), i, "look")

    def at_look(self, world: World, i: int, agent: Call) -> Iterator[World]:
        """Behind the take of the board: what is on it already comes before what it says."""
        what = self.commands(world, i, agent)[world.part[i]][1]
        skips = f"no drain before {what}" in self.defects
        yield move(world if skips else self.drain(world, i), i, "execute")

    @staticmethod
    def registered(world: World, client: str) -> World:
        return world._replace(since=put_for(world.since, client, len(world.log)))

    def at_execute(self, world: World, i: int, agent: Call) -> Iterator[World]:
        client, what, *key = self.commands(world, i, agent)[world.part[i]]
        on_board = frozenset(world.log)
        if what == "read":
            world = self.reply(world, client, world.before[ord(key[0]) - ord("a")])
        elif what == "subscribe":
            world = world._replace(clients=world.clients | {client})
            if client not in dict(world.since):
                world = self.registered(world, client)
        elif what == "unsubscribe":
            world = self.reply(world, client, on_board)
            world = world._replace(
                clients=world.clients - {client},
                until=put_for(world.until, client, len(world.log)),
            )
        else:
            message = (i, world.done[i], world.part[i], 0)
            world = self.reply(self.publish(world, message), client, on_board)
            own = dict(world.past).get(client, frozenset()) | {message}
            world = world._replace(past=put_for(world.past, client, own))
        if world.owners[self.board] == i:
            world = give(world, self.board, FREE)
        yield move(world, i, "after")

    def at_after(self, world: World, i: int, agent: Call) -> Iterator[World]:
        if "no drain after a reply" not in self.defects:
            world = self.drain(world, i)
        part = world.part[i] + 1
        if part < len(self.commands(world, i, agent)):
            yield move(world, i, "command", part=put(world.part, i, part))
        else:
            done = put(world.done, i, world.done[i] + 1)
            world = world._replace(done=done, part=put(world.part, i, 0))
            yield move(release(world, i), i, "idle")

    # ---- what must hold ----------------------------------------------------------------------

    def finished(self, world: World) -> bool:
        idle = all(
            world.at[i] == "idle" and world.done[i] == len(agent.operations)
            if isinstance(agent, Thread)
            else world.at[i] == "end"
            for i, agent in enumerate(self.agents)
        )
        return idle and not any(world.streams)

    def broken(self, world: World) -> str | None:
        if world.wrong or not self.finished(world):
            return world.wrong or None
        calls = [call for call, _messages in groupby(world.log, lambda message: message[:3])]
        if len(calls) != len(set(calls)):
            return "what a call publishes is not in one piece"
        for client, since in world.since:
            until = dict(world.until).get(client, len(world.log))
            if dict(world.output).get(client, ()) != world.log[since:until]:
                return f"{client} has missed a message"
        if set(world.owners) != {FREE} or world.hush or world.ticket != FREE:
            return "something is left behind"
        return None
