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
from harness.process import C_SERVER, Server, StartFailed
from harness.resp import CLOSED, Reply, encode_all

CLIENTS = 4
SESSIONS = 3
DEPTHS = (1, 1, 2, 4, 16)
ROUND_S = 0.25
JOIN_TIMEOUT_S = 30
# How long after a rewrite was asked for it is killed, in rounds that aim at it.
AIM_S = 0.03
# What appendfsync everysec may lose to a machine that stops, and a bit for a busy one.
UNSYNCED_S = 2.0
WRITER = [sys.executable, str(Path(__file__).with_name("crash_writer.py"))]


@dataclass(frozen=True)
class Kind:
    """What is crashed: a configuration, the promises of its log, and who writes."""

    configuration: Configuration
    fsync: str = "everysec"
    preamble: str = "yes"
    embedded: bool = False
    disk: str = ""

    @property
    def name(self) -> str:
        base = "log" if self.preamble == "no" else "rdb"
        who = "-sessions" if self.embedded else ""
        disk = f"-{self.disk}" if self.disk else ""
        return f"{self.configuration.name}-{self.fsync}-{base}{who}{disk}"

    def options(self) -> list[str]:
        return [
            *("--appendonly", "yes", "--appendfsync", self.fsync),
            *("--aof-use-rdb-preamble", self.preamble),
            *("--auto-aof-rewrite-min-size", "128kb"),
        ]

    def promises(self, event: Event, killed: float) -> bool:
        """Whether an answered call must be there if the kill came at `killed`. A process that is
        killed has written everything; a machine loses what was not synced."""
        if not self.disk or self.fsync == "always":
            return True
        return self.fsync == "everysec" and event.returned < killed - UNSYNCED_S


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

# What befalls the disk, in the words of the C server's option --debug-disk: after so many calls the
# machine stops, and what was not synced is lost, torn, or there; before that a sync fails and says
# so only once, or there is no more room, or writes are short.
DISKS: dict[str, Callable[[random.Random], str]] = {
    "power": lambda choose: "",
    "sync": lambda choose: f",fail=sync:{choose.randrange(1, 200)}:1:EIO",
    "write": lambda choose: f",fail=write:{choose.randrange(1, 200)}:{choose.choice([1, 5])}:EIO",
    "full": lambda choose: f",capacity={choose.randrange(10_000, 300_000)}",
    "short": lambda choose: ",short",
}


def disk_kinds() -> list[Kind]:
    shapes = [c for c in MATRIX if c.name in ("io_uring-3-auto", "epoll-1", "epoll-3-never")]
    return [
        Kind(shape, fsync, preamble, disk=disk)
        for disk in DISKS
        for fsync in ("always", "everysec", "no")
        for shape, preamble in zip(shapes, ("yes", "no", "yes"), strict=True)
    ]


def _plan(kind: Kind, choose: random.Random) -> str:
    calls = choose.choice([30, 300, 2000])
    plan = f"seed={choose.randrange(1 << 30)},crash={choose.randrange(5, calls)},power"
    return plan + DISKS[kind.disk](choose)


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
        promises: Callable[[Event, float], bool] | None = None,
        rewrites: bool = True,
        program: Sequence[str] | None = None,
    ) -> None:
        """`damage` is done to the folder after each kill; `promises` is as Kind.promises; `program`
        is the C server, for kinds with a disk of their own."""
        self.kind = kind
        self.seen: Counter[str] = Counter()
        self._seed = f"{seed} {kind.name}"
        self._choose = random.Random(self._seed)
        self._damage = damage
        self._promises = promises or kind.promises
        self._rewrites = rewrites
        self._before: dict[str, Value] = {}
        self._rounds = 0
        self._program = WRITER if kind.embedded else program
        self.server = Server(kind.configuration, kind.options(), program=self._program)

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
            if self.kind.disk:
                self._start_on_bad_disk()
                self.server.crash()
            else:
                self.server.crash_while_starting(self._choose.random() * 0.08)
                self.seen["killed while loading"] += 1
        self.server.restart(program=self._program)
        state = dump(self.server.control())
        return [*self._judge(name, events, state, killed), *self._compare(copy, state)]

    def _start_on_bad_disk(self) -> bool:
        """Whether it has come so far that it answers."""
        assert self._program is not None
        plan = _plan(self.kind, self._choose)
        try:
            self.server.restart(program=[*self._program, "--debug-disk", plan])
        except StartFailed:
            self.seen["failed while loading"] += 1
        return self.server.alive

    def _play_and_kill(self, name: str, calls: int) -> tuple[list[Event], float]:
        folder, killed = self.server.folder, time.monotonic()
        events: list[Event] = []
        if self.kind.disk and not self._start_on_bad_disk():
            return events, killed
        try:
            load = Load(self.server, name, self._seed)
        except OSError:
            # On a bad disk it may end at any moment.
            assert self.kind.disk, "the server does not listen"
            self.server.crash()
            return events, killed
        if self.kind.embedded:
            start_writers(folder, name, self._seed, SESSIONS)
        with contextlib.suppress(OSError):
            self._disturb(load, calls)
        killed = time.monotonic()
        self.server.crash()
        load.join()
        events = load.events
        if self.kind.embedded:
            stop_writers(folder, name)
            events += events_of(folder, name, self._seed)
        return events, killed

    def _disturb(self, load: Load, calls: int) -> None:
        """Asks for rewrites and snapshots until it is time; every other round ends in one."""
        end = time.monotonic() + self._choose.uniform(0.2, 1) * self._length_s()
        with self.server.connect() as connection:
            while self.server.alive and (left := end - time.monotonic()) > 0:
                time.sleep(min(left, self._choose.random() * 0.1))
                words = self._choose.choice([("BGREWRITEAOF",)] * 3 + [("BGSAVE",), ("PING",)])
                if self._rewrites:
                    self.seen[words[0].lower()] += connection.do(*words).kind == "simple"
            if self._rewrites and self._choose.random() < 0.5:
                connection.do("BGREWRITEAOF")
                time.sleep(self._choose.random() * AIM_S)
        while len(load.events) < calls and self.server.alive:
            time.sleep(0.001)

    def _length_s(self) -> float:
        """Now and then so long that something is promised though it is synced every second."""
        is_long = self.kind.disk and self.kind.fsync == "everysec" and self._choose.random() < 0.2
        return 2 * UNSYNCED_S if is_long else ROUND_S

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
        is_shared = not (life.server.is_redis or life.kind.disk) and number % redis_every == 0
        complaints = life.round(redis_loads_it=is_shared)
        assert not complaints, "\n".join(complaints)
