"""Blocking commands beside redis-server: from a push to the reply of who waited, and many waiters.

Latency is that of tools/wake.c, over two connections whose shards are chosen; every popped value
is compared. Waiters are those of tools/waiters.c, one for each connection that the limit of
descriptors allows, each of them on several keys of its own.
"""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import (
    REDIS,
    Placement,
    ServerProcess,
    Subject,
    Unavailable,
    WrongData,
    apart,
    context_switches,
    for_two_threads,
    median,
    paired_ratio,
    percentile,
    pinned,
    raise_descriptors,
    running,
    tool,
)
from replay import batches, play, replay, require_commands
from report import Figure, Options, Section, Table, main, number
from resp import Wire, encode

OURS = Subject("kevyrt")
OURS_TWO = Subject("kevyrt", threads=2)

TURNS = 2_000
WAKE_ROUNDS = 9  # where the scheduler puts the threads differs from turn to turn
QUICK_TURNS = 200
PAUSE_US = 200
TOOL_TIME_OUT_S = 120

KEYS_WITH_WAITERS = 100_000
QUICK_KEYS_WITH_WAITERS = 5_000
QUICK_CONNECTIONS = 1_000
SPARE_DESCRIPTORS = 200
LOW_MS, HIGH_MS = 2_000, 6_000
LATE_GOAL_MS = 2.0
EARLY_US = 2_000  # both servers round a deadline to a millisecond
QUIET_S = 2.0
QUIET_MORE = 2  # than without waiters
PAIRS = 200_000
QUICK_PAIRS = 20_000
PAIR_KEYS = 1_000
PAIR_CONNECTIONS = 50
PAIR_GOAL = 1.02
PAIR_ROUNDS = 9


# From the push to the reply


def _shard_counts(wire: Wire, field: str) -> list[int]:
    """`keys` or `connections` of each shard; nothing for a server without shards."""
    lines = wire.info("kevyrt").items()
    shards = sorted((name, line) for name, line in lines if re.fullmatch(r"shard\d+", name))
    return [int(dict(f.split("=") for f in line.split(","))[field]) for _, line in shards]


def _keys_by_shard(wire: Wire, shards: int) -> dict[int, str]:
    """A key on each shard: where the number of keys rises when it is written."""
    found: dict[int, str] = {}
    for n in range(1_000):
        before = _shard_counts(wire, "keys")
        wire.call("SET", f"wake:{n}", "")
        after = _shard_counts(wire, "keys")
        wire.call("DEL", f"wake:{n}")
        rose = [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if b > a]
        found.setdefault(rose[0] if rose else 0, f"wake:{n}")
        if len(found) == shards:
            return found
    raise WrongData("keys lie on too few shards")


def _open_on(server: ServerProcess, wire: Wire, shard: int, stack: contextlib.ExitStack) -> int:
    """The descriptor of a connection on this shard; others that come meanwhile stay open."""
    for _ in range(16):
        before = _shard_counts(wire, "connections")
        connection = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(b"PING\r\n")
        connection.recv(64)
        after = _shard_counts(wire, "connections")
        if not after or after[shard] > before[shard]:
            return connection.fileno()
    raise WrongData(f"{server.subject.name}: no connection comes to shard {shard}")


@dataclass(frozen=True)
class Way:
    """Shards of the waiter's connection, of the pusher's, and of the key."""

    name: str
    waiter: int
    pusher: int
    key: int


WAYS = (
    Way("waiter, pusher and key on one shard", 0, 0, 0),
    Way("pusher and key on the other shard", 0, 1, 1),
    Way("only the key on the other shard", 0, 0, 1),
)


def _wake(server: ServerProcess, way: Way, turns: int, cores: Sequence[int]) -> list[int]:
    """Nanoseconds of each turn. A server without shards has everything on one."""
    shards = server.subject.threads
    with contextlib.ExitStack() as stack:
        wire = stack.enter_context(server.connect())
        key = _keys_by_shard(wire, shards)[way.key % shards]
        pair = [_open_on(server, wire, s % shards, stack) for s in (way.waiter, way.pusher)]
        arguments = [str(tool("wake")), *map(str, pair), key, str(turns), str(PAUSE_US)]
        done = subprocess.run(
            pinned(arguments, cores),
            pass_fds=pair,
            capture_output=True,
            text=True,
            timeout=TOOL_TIME_OUT_S,
        )
        if done.returncode != 0:
            raise WrongData(f"{server.subject.name}: wake: {done.stderr.strip()}")
        if wire.call("EXISTS", key) != 0:
            raise WrongData(f"{server.subject.name}: something is left in {key}")
    return [int(line) for line in done.stdout.split()]


def _wake_figure(way: Way, ratio: float | None, beside: str) -> Figure:
    return Figure(f"{way.name}: p50 against Redis's", ratio, "", 1.0, beside=beside)


def _wakes(options: Options, ours: Subject, ways: Sequence[Way], at: Placement) -> Section:
    """The p50 of each turn; the ratio is taken within a round."""
    section = Section("")
    turns = QUICK_TURNS if options.quick else TURNS
    rounds = 1 if options.quick else max(WAKE_ROUNDS, options.rounds)
    rows = []
    with running((REDIS, ours), at.server) as (servers, missing):
        if missing:
            raise Unavailable("; ".join(missing))
        require_commands(servers, "BLPOP")
        for way in ways:
            seen: dict[Subject, list[list[int]]] = {ours: [], REDIS: []}
            for _ in range(rounds):
                for subject, server in servers.items():
                    seen[subject].append(_wake(server, way, turns, at.client))
            halves = {s: [percentile(r, 50) / 1e3 for r in runs] for s, runs in seen.items()}
            beside = ", ".join(f"{s.name} {number(median(v))} µs" for s, v in halves.items())
            ratio = paired_ratio(halves[ours], halves[REDIS])
            section.figures.append(_wake_figure(way, ratio, beside))
            for subject, runs in seen.items():
                marks = [median([percentile(r, p) / 1e3 for r in runs]) for p in (50, 99, 99.9)]
                rows.append([way.name, subject.name, *map(number, marks)])
                section.raw.append({"way": way.name, "subject": subject.name, "ns": runs})
    headers = ("way", "subject", "p50 µs", "p99 µs", "p99.9 µs")
    section.tables.append(
        Table(f"From LPUSH to BLPOP's reply, {ours.threads} threads", headers, rows)
    )
    return section


def wake(options: Options) -> Section:
    section = Section("LPUSH to a waiting BLPOP, until its reply")
    for ours, ways, at in (
        (OURS, WAYS[:1], apart()),
        (OURS_TWO, WAYS[1:], for_two_threads()),
    ):
        section.notes.append(f"{ours.threads} threads: {at}.")
        try:
            part = _wakes(options, ours, ways, at)
        except Unavailable as reason:
            section.notes.append(f"not measured: {ours.threads} threads: {reason}")
            section.figures += [_wake_figure(way, None, "") for way in ways]
            continue
        section.figures += part.figures
        section.tables += part.tables
        section.raw += part.raw
    return section


# Many waiters


@dataclass(frozen=True)
class Crowd:
    connections: int
    keys_each: int

    @property
    def name(self) -> str:
        return (
            f"{self.connections:,} waiting connections on "
            f"{self.connections * self.keys_each:,} keys"
        )


def _crowd(options: Options) -> Crowd:
    """Server and client are limited alike; what connections lack, each makes up in keys."""
    allowed = raise_descriptors(KEYS_WITH_WAITERS + SPARE_DESCRIPTORS) - SPARE_DESCRIPTORS
    connections = min(KEYS_WITH_WAITERS, QUICK_CONNECTIONS if options.quick else allowed)
    wanted = QUICK_KEYS_WITH_WAITERS if options.quick else KEYS_WITH_WAITERS
    return Crowd(connections, -(-wanted // connections))


def _admit(server: ServerProcess, crowd: Crowd) -> None:
    with server.connect() as wire:
        wire.call("CONFIG", "SET", "maxclients", crowd.connections + SPARE_DESCRIPTORS // 2)


def _require_waiting(server: ServerProcess, crowd: Crowd) -> None:
    with server.connect() as wire:
        deadline = time.monotonic() + TOOL_TIME_OUT_S
        while (waiting := int(wire.info("clients")["blocked_clients"])) < crowd.connections:
            if time.monotonic() > deadline:
                raise WrongData(f"{server.subject.name}: {waiting} of {crowd.connections} wait")
            time.sleep(0.05)


@contextlib.contextmanager
def _waiting(server: ServerProcess, crowd: Crowd, cores: Sequence[int]) -> Iterator[None]:
    """So many waiters, for as long as the block lasts; all of them still wait at its end."""
    _admit(server, crowd)
    arguments = [server.port, crowd.connections, crowd.keys_each, 0, 0]
    command = pinned([str(tool("waiters")), *map(str, arguments)], cores)
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            if process.stdout.readline() != "ready\n":
                raise WrongData(f"{server.subject.name}: waiters: {process.stderr.read().strip()}")
            _require_waiting(server, crowd)
            yield
            _require_waiting(server, crowd)
        finally:
            process.stdin.close()
            process.wait(TOOL_TIME_OUT_S)


def _pairs_file(folder: str, pairs: int) -> tuple[Path, int]:
    """LPUSH and LPOP of the same key, one behind the other, on keys of each connection's own."""
    lines = []
    for connection in range(PAIR_CONNECTIONS):
        own = range(connection, PAIR_KEYS, PAIR_CONNECTIONS)
        drawn = [own[i % len(own)] for i in range(pairs // PAIR_CONNECTIONS)]
        keys = [f"list:{n:011d}" for n in drawn]
        lines.append([encode(*c) for k in keys for c in (("LPUSH", k, "element"), ("LPOP", k))])
    file = Path(folder) / "pairs"
    file.write_bytes(batches(lines))
    return file, sum(map(len, lines))


def _pair_costs(
    options: Options, subject: Subject, crowd: Crowd, at: Placement
) -> list[list[float]]:
    """CPU per pair in turns of two servers of the same kind: without waiters, and with."""
    costs: list[list[float]] = [[], []]
    pairs = QUICK_PAIRS if options.quick else PAIRS
    rounds = 1 if options.quick else max(PAIR_ROUNDS, options.rounds)
    with (
        tempfile.TemporaryDirectory(prefix="kevyrt-waiting-") as folder,
        ServerProcess(subject, at.server) as empty,
        ServerProcess(subject, at.server) as full,
        contextlib.ExitStack() as stack,
    ):
        require_commands({subject: full}, "BLPOP")
        stack.enter_context(_waiting(full, crowd, at.client))
        file, count = _pairs_file(folder, pairs)
        for _ in range(rounds):
            for server, spent in zip((empty, full), costs, strict=True):
                done = replay(server, file, count, at.client)
                spent.append(2 * done.cpu_ns / count)
                with server.connect() as wire:
                    if wire.call("DBSIZE") != 0:
                        raise WrongData(f"{subject.name}: elements are left")
    return costs


def _quiet(subject: Subject, crowd: Crowd, at: Placement) -> tuple[int, int]:
    """Context switches of the server in two seconds: without waiters, and with."""
    with ServerProcess(subject, at.server) as server:
        counts = []
        for waiters in (contextlib.nullcontext(), _waiting(server, crowd, at.client)):
            with waiters:
                time.sleep(QUIET_S / 2)
                before = context_switches(server.pid)
                time.sleep(QUIET_S)
                counts.append(context_switches(server.pid) - before)
    return counts[0], counts[1]


def _lateness_us(subject: Subject, crowd: Crowd, at: Placement) -> list[int]:
    """How late each time-out was; none may be early by more than rounding."""
    with ServerProcess(subject, at.server) as server:
        _admit(server, crowd)
        arguments = (crowd.connections, crowd.keys_each, LOW_MS, HIGH_MS)
        played = play(server, "waiters", *arguments, cores=at.client)
    late = [int(line) for line in played.said.split()]
    if len(late) != crowd.connections or min(late) < -EARLY_US:
        raise WrongData(f"{subject.name}: {len(late)} time-outs, one {min(late)} µs late")
    return late


def crowd(options: Options) -> Section:
    at, many = apart(), _crowd(options)
    section = Section("Many waiters", notes=[f"{at}; {many.name}."])
    rows = []
    for subject in (OURS, REDIS):
        try:
            costs = _pair_costs(options, subject, many, at)
            idle, switches = _quiet(subject, many, at)
            late = _lateness_us(subject, many, at)
        except Unavailable as reason:
            section.notes.append(f"not measured: {subject.name}: {reason}")
            if subject == OURS:
                section.figures += _crowd_figures([None] * 8)
            continue
        ratio = paired_ratio(costs[1], costs[0])
        marks = [percentile(late, p) / 1e3 for p in (50, 99, 100)]
        row = [*map(median, costs), ratio, idle, switches, *marks]
        rows.append([subject.name, *map(number, row)])
        section.raw.append({"subject": subject.name, "pairs": costs, "late_us": late})
        if subject == OURS:
            section.figures += _crowd_figures(row)
    headers = ("subject", "pair ns", "with waiters", "ratio", "wake-ups in 2 s", "with waiters")
    headers += ("late p50 ms", "p99", "max")
    section.tables.append(Table("LPUSH and LPOP of other keys; rest; time-outs", headers, rows))
    return section


def _crowd_figures(row: Sequence[float | None]) -> list[Figure]:
    without, beside, ratio, idle, switches, _, late_ms, longest_ms = row
    cpu = f"{number(beside)} ns, without waiters {number(without)} ns"
    rest, at_most = f"without waiters {number(idle)}", (idle or 0) + QUIET_MORE
    late = f"longest {number(longest_ms)} ms"
    return [
        Figure("LPUSH and LPOP of other keys: CPU with waiters", ratio, "", PAIR_GOAL, beside=cpu),
        Figure("wake-ups in 2 s while all wait", switches, "", at_most, beside=rest),
        Figure("time-outs: p99 of lateness", late_ms, "ms", LATE_GOAL_MS, beside=late),
    ]


if __name__ == "__main__":
    main(__doc__, wake, crowd)
