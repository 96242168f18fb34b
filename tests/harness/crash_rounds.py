"""Rounds of load, SIGKILL and restart on one folder, each of which is judged.

Clients write on connections, and sessions in the process if a program embeds the server; meanwhile
rewrites and snapshots are asked for, so that kills meet them. After the kill the server may be
killed again while it loads. What is there in the end must be a prefix of some order of the calls
(`crash_check.py`), what was there before the round must be as it was, and now and then
`redis-server` must load the same files.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.client import Connection
from harness.crash_check import Event, Judge
from harness.crash_ops import Ops, Value, dump
from harness.crash_writer import events_of, start_writers, stop_writers
from harness.linearize import NO_ANSWER
from harness.matrix import MATRIX, REDIS, Configuration
from harness.model import plain
from harness.process import C_SERVER, Server
from harness.resp import CLOSED, Reply, encode_all

CLIENTS = 4
SESSIONS = 3
DEPTHS = (1, 1, 2, 4, 16)
ROUND_S = 0.25
JOIN_TIMEOUT_S = 30
# How long after a rewrite was asked for it is killed, in rounds that aim at it.
AIM_S = 0.03
WRITER = [sys.executable, str(Path(__file__).with_name("crash_writer.py"))]


@dataclass(frozen=True)
class Kind:
    """What is crashed: a configuration, the promises of its log, and who writes."""

    configuration: Configuration
    fsync: str = "everysec"
    preamble: str = "yes"
    embedded: bool = False
    extra: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        base = "log" if self.preamble == "no" else "rdb"
        who = "-sessions" if self.embedded else ""
        return f"{self.configuration.name}-{self.fsync}-{base}{who}"

    def options(self) -> list[str]:
        return [
            *("--appendonly", "yes", "--appendfsync", self.fsync),
            *("--aof-use-rdb-preamble", self.preamble),
            *("--auto-aof-rewrite-min-size", "128kb"),
            *self.extra,
        ]


def _kinds() -> list[Kind]:
    """Each reactor with one shard and with three, each promise, each form of a base; and programs
    that embed the server, unless the server under test is a C program."""
    shapes = [c for c in MATRIX if not c.is_redis and "tiny" not in c.name]
    kinds = []
    for fsync in ("always", "everysec", "no"):
        for preamble in ("yes", "no"):
            kinds += [Kind(shape, fsync, preamble) for shape in shapes]
            if not C_SERVER:
                some = shapes if fsync != "no" else shapes[:1]
                kinds += [Kind(shape, fsync, preamble, embedded=True) for shape in some]
    return kinds


KINDS = _kinds()


# ---- Clients -------------------------------------------------------------------------------------


class Load:
    """Clients on connections, each in a thread of its own, until the server is gone."""

    def __init__(self, server: Server, name: str, seed: str, clients: int = CLIENTS) -> None:
        self.events: list[Event] = []
        self._failures: list[BaseException] = []
        self._connections = [server.connect() for _ in range(clients)]
        self._threads = [
            threading.Thread(target=self._work, args=(f"client{i}", name, seed, c), daemon=True)
            for i, c in enumerate(self._connections)
        ]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """After the kill."""
        for thread in self._threads:
            thread.join(JOIN_TIMEOUT_S)
        for connection in self._connections:
            connection.close()
        assert not self._failures, self._failures
        assert not any(thread.is_alive() for thread in self._threads), "a client hangs"

    def _work(self, client: str, name: str, seed: str, connection: Connection) -> None:
        try:
            self._play(client, name, seed, connection)
        except BaseException as failure:
            self._failures.append(failure)

    def _play(self, client: str, name: str, seed: str, connection: Connection) -> None:
        choose = random.Random(f"{seed} {name} {client} depth")
        ops = iter(Ops(name, client, seed))
        number, is_open = 0, True
        while is_open:
            batch = [next(ops) for _ in range(choose.choice(DEPTHS))]
            invoked = time.monotonic()
            connection.send(encode_all(r for op in batch for r in _requests(op.commands)))
            for op in batch:
                answer = _answer(connection, len(op.commands)) if is_open else NO_ANSWER
                is_open = answer is not NO_ANSWER
                returned = time.monotonic() if is_open else float("inf")
                self.events.append(Event(client, number, op, invoked, returned, answer))
                number += 1


def _requests(commands: Sequence[Any]) -> list[Any]:
    return list(commands) if len(commands) == 1 else [("MULTI",), *commands, ("EXEC",)]


def _read(connection: Connection) -> Reply:
    # A kill may end the stream inside a reply.
    try:
        return connection.read()
    except AssertionError:
        return CLOSED


def _answer(connection: Connection, commands: int) -> Any:
    replies = [_read(connection)]
    while CLOSED not in replies and commands > 1 and len(replies) < commands + 2:
        replies.append(_read(connection))
    return NO_ANSWER if CLOSED in replies else plain(replies[-1])


# ---- Rounds --------------------------------------------------------------------------------------


class Life:
    """A folder and the server in it, from crash to crash."""

    def __init__(
        self,
        kind: Kind,
        seed: str,
        *,
        damage: Callable[[Path], None] | None = None,
        promises: Callable[[Event, float], bool] = lambda event, killed: True,
        rewrites: bool = True,
        wrapper: Sequence[str] = (),
    ) -> None:
        """`damage` is done to the folder after each kill; `promises` says whether an answered call
        must be there if the kill came at `killed`."""
        self.kind = kind
        self.seen: Counter[str] = Counter()
        self._seed = f"{seed} {kind.name}"
        self._choose = random.Random(self._seed)
        self._damage = damage
        self._promises = promises
        self._rewrites = rewrites
        self._before: dict[str, Value] = {}
        self._rounds = 0
        program = WRITER if kind.embedded else None
        self.server = Server(kind.configuration, kind.options(), program=program, wrapper=wrapper)

    def __enter__(self) -> Life:
        return self

    def __exit__(self, failure: object, *exc: object) -> None:
        if failure is None:
            self.server.stop()
        else:
            self.server.kill()

    def round(self, *, calls: int = 0, redis_loads_it: bool = False) -> list[str]:
        """One crash, after so many calls at least; returns what is wrong afterwards."""
        self._rounds += 1
        name = f"r{self._rounds}"
        events, killed = self._play_and_kill(name, calls)
        if self._damage is not None:
            self._damage(self.server.folder)
        copy = self._copy() if redis_loads_it else None
        for _ in range(self._choose.choice([0, 0, 1, 2])):
            self.server.crash_while_starting(self._choose.random() * 0.08)
            self.seen["killed while loading"] += 1
        self.server.restart()
        state = dump(self.server.control())
        return [*self._judge(name, events, state, killed), *self._compare(copy, state)]

    def _play_and_kill(self, name: str, calls: int) -> tuple[list[Event], float]:
        folder = self.server.folder
        load = Load(self.server, name, self._seed)
        if self.kind.embedded:
            start_writers(folder, name, self._seed, SESSIONS)
        self._disturb(time.monotonic() + self._choose.uniform(0.2, 1) * ROUND_S)
        while len(load.events) < calls and self.server.alive:
            time.sleep(0.001)
        killed = time.monotonic()
        self.server.crash()
        load.join()
        events = load.events
        if self.kind.embedded:
            stop_writers(folder, name)
            events += events_of(folder, name, self._seed)
        return events, killed

    def _disturb(self, end: float) -> None:
        """Asks for rewrites and snapshots until it is time; every other round ends in one."""
        with self.server.connect() as connection:
            while (left := end - time.monotonic()) > 0:
                time.sleep(min(left, self._choose.random() * 0.1))
                words = self._choose.choice([("BGREWRITEAOF",)] * 3 + [("BGSAVE",), ("PING",)])
                if not self._rewrites:
                    continue
                self.seen[words[0].lower()] += connection.do(*words).kind == "simple"
            if self._rewrites and self._choose.random() < 0.5:
                connection.do("BGREWRITEAOF")
                time.sleep(self._choose.random() * AIM_S)

    def _judge(
        self, name: str, events: list[Event], state: dict[str, Value], killed: float
    ) -> list[str]:
        mine, others = {}, {}
        for key, value in state.items():
            (mine if key.startswith(f"{name}:") else others)[key] = value
        judge = Judge(events, mine, lambda event: self._promises(event, killed))
        self.seen += judge.seen
        self.seen["rounds"] += 1
        complaints = list(judge.complaints)
        others = _lasting(others)
        for key in sorted(others.keys() | self._before.keys()):
            if others.get(key) != self._before.get(key):
                complaints.append(
                    f"changed: {key} was {self._before.get(key)}, is {others.get(key)}"
                )
        self._before = _lasting(state)
        return [f"{self._seed} {name}: {complaint}" for complaint in complaints]

    def _copy(self) -> Path:
        copy = Path(tempfile.mkdtemp(prefix="krt-"))
        shutil.copytree(self.server.folder / "appendonlydir", copy / "appendonlydir")
        return copy

    def _compare(self, copy: Path | None, state: dict[str, Value]) -> list[str]:
        """What redis-server makes of the files of the moment of the kill."""
        if copy is None:
            return []
        self.seen["loaded by redis-server"] += 1
        with contextlib.ExitStack() as stack:
            stack.callback(shutil.rmtree, copy)
            redis = stack.enter_context(Server(REDIS, ["--appendonly", "yes"], files=copy))
            theirs = _lasting(dump(redis.control()))
        ours = _lasting(state)
        different = [k for k in theirs.keys() | ours.keys() if theirs.get(k) != ours.get(k)]
        return [f"redis-server: {k}: {theirs.get(k)} for {ours.get(k)}" for k in different[:5]]


def _lasting(state: dict[str, Value]) -> dict[str, Value]:
    return {key: value for key, value in state.items() if value.tokens != ("short",)}


def play_rounds(life: Life, rounds: int, *, redis_every: int = 4) -> None:
    """So many crashes, none of which leaves anything wrong."""
    for number in range(rounds):
        is_shared = not life.server.is_redis and number % redis_every == 0
        complaints = life.round(redis_loads_it=is_shared)
        assert not complaints, "\n".join(complaints)
