"""CPU of every command that works, SCAN, and loop gaps beside 10,000 connections.

Both servers run at the same time and are played the same bytes over as many connections, in turns;
ratios are taken within a round. Every reply is counted and none may be an error. Sampled keys are
read back: after a command that writes they hold what they hold in Redis, and not what they held
before.
"""

from __future__ import annotations

import contextlib
import random
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from gaps import LIMIT_US, SLICE_S, Control, Slice, longest_us, over
from harness import (
    REDIS,
    ServerProcess,
    Subject,
    Unavailable,
    WrongData,
    apart,
    fill,
    median,
    paired_ratio,
    raise_descriptors,
    require_key_count,
    running,
)
from replay import PIPELINE, batches, replay
from report import Figure, Options, Section, Table, main, number
from resp import ReplyError, Wire, encode
from workloads import (
    AFTERWARDS,
    KEYS,
    ONE_THIRD,
    SETUPS,
    Command,
    Workload,
    key,
    unplayed,
    workloads,
)

CONNECTIONS = 50
SAMPLE = 200
QUICK_PART = 20  # of the commands of a turn
OURS = Subject("kevyrt")


# Prepared bytes


def _numbers(workload: Workload, connection: int, count: int) -> Iterator[int]:
    """Keys of a connection's own, so that the order among connections leaves no trace."""
    own = range(connection, KEYS, CONNECTIONS)
    draws = random.Random(connection)
    if workload.once:
        yield from draws.sample(own, min(count, len(own)))
    else:
        for _ in range(count):
            yield draws.choice(own)


@dataclass
class Play:
    """A workload as bytes, and the keys that it names."""

    workload: Workload
    count: int
    file: Path
    sample: list[int]


def _prepare(workload: Workload, part: int, folder: Path) -> Play:
    whole = PIPELINE * max(1, workload.count // part // PIPELINE)
    connections = min(CONNECTIONS, whole // PIPELINE)
    each = whole // connections
    lines, named = [], set()
    for connection in range(connections):
        drawn = list(_numbers(workload, connection, each * workload.takes))
        named.update(drawn)
        groups = zip(*[iter(drawn)] * workload.takes, strict=True)
        lines.append([encode(*workload.line(*group)) for group in groups])
    file = folder / "play"
    file.write_bytes(batches(lines))
    sample = random.Random(1).sample(sorted(named), min(SAMPLE, len(named)))
    return Play(workload, sum(map(len, lines)), file, sample)


def _prepare_setups(folder: Path) -> dict[str, Path]:
    files = {}
    for name, line in SETUPS.items():
        if line:
            files[name] = folder / name
            own = [range(connection, KEYS, CONNECTIONS) for connection in range(CONNECTIONS)]
            steps = [line, *AFTERWARDS.get(name, ())]
            commands = [[encode(*step(n)) for n in numbers for step in steps] for numbers in own]
            files[name].write_bytes(batches(commands))
    return files


# One turn


State = list[tuple[object, ...]]


def _state(wire: Wire, play: Play) -> State:
    """What sampled keys hold, under both of their names, and which of them have a deadline."""
    sample = play.sample
    lines = [play.workload.look(n) for n in sample] + [("GET", f"new:{n}") for n in sample]
    values = wire.pipeline([*lines, *(("TTL", key(n)) for n in sample)])
    third = len(sample)
    deadlines = [ttl if ttl < 0 else "later" for ttl in values[2 * third :]]
    return list(zip(values[:third], values[third : 2 * third], deadlines, strict=True))


@dataclass
class Turn:
    """What a server did in one round."""

    subject: str
    command: str
    cpu_ns: float  # per command
    reply_bytes: int


class Player:
    """Plays workloads on both servers, and sets them up only where something has changed."""

    def __init__(self, folder: Path, cores: Sequence[int]) -> None:
        self._setups = _prepare_setups(folder)
        self._cores = cores
        self._holds: dict[Subject, str] = {}

    def _set_up(self, server: ServerProcess, wire: Wire, setup: str) -> None:
        if self._holds.get(server.subject) == setup:
            return
        wire.call("FLUSHALL")
        if setup in self._setups:
            count = KEYS * (1 + len(AFTERWARDS.get(setup, ())))
            replay(server, self._setups[setup], count, self._cores)
            require_key_count(server, wire, KEYS)
        self._holds[server.subject] = setup

    def turn(self, server: ServerProcess, play: Play) -> tuple[Turn, State]:
        workload = play.workload
        with server.connect() as wire:
            self._set_up(server, wire, workload.setup)
            before = _state(wire, play)
            try:
                done = replay(server, play.file, play.count, self._cores)
            except WrongData as error:
                raise WrongData(f"{workload.name}: {error}") from None
            after = _state(wire, play)
        if workload.writes:
            self._holds.pop(server.subject)
        if (before != after) != workload.writes:
            raise WrongData(
                f"{server.subject.name}: {workload.name} left other keys than it should"
            )
        turn = Turn(server.subject.name, workload.name, done.cpu_ns / play.count, done.reply_bytes)
        return turn, after


def _compare(servers: dict[Subject, ServerProcess], player: Player, play: Play) -> list[Turn]:
    """A turn of each server; their keys, and where it must be so their replies, are alike."""
    turns, states = zip(*(player.turn(servers[s], play) for s in (REDIS, OURS)), strict=True)
    workload = play.workload
    if states[0] != states[1]:
        raise WrongData(f"{workload.name}: sampled keys are not what they are in Redis")
    if workload.exact and turns[0].reply_bytes != turns[1].reply_bytes:
        raise WrongData(
            f"{workload.name}: replies of {turns[1].reply_bytes} bytes, "
            f"Redis's of {turns[0].reply_bytes}"
        )
    return list(turns)


# Figures


@dataclass
class Result:
    workload: Workload
    ours_ns: float
    redis_ns: float
    ratio: float


def _result(workload: Workload, turns: Sequence[Turn]) -> Result:
    ours = [t.cpu_ns for t in turns if t.subject == OURS.name]
    redis = [t.cpu_ns for t in turns if t.subject == REDIS.name]
    return Result(workload, median(ours), median(redis), paired_ratio(ours, redis))


def _beside(result: Result) -> str:
    return f"kevyrt {number(result.ours_ns)} ns, redis {number(result.redis_ns)} ns"


def _figures(results: Sequence[Result]) -> list[Figure]:
    """The highest ratio of each class, and whatever else falls short."""
    figures = []
    for goal in sorted({r.workload.goal for r in results}):
        group = sorted((r for r in results if r.workload.goal == goal), key=lambda r: -r.ratio)
        kind = "GET- and SET-like" if goal == ONE_THIRD else "others"
        worst = group[0]
        what = f"{kind}, the highest of {len(group)}: {worst.workload.name}"
        figures.append(Figure(what, worst.ratio, "", goal, beside=_beside(worst)))
        for r in group[1:]:
            if r.ratio > goal:
                figures.append(Figure(r.workload.name, r.ratio, "", goal, beside=_beside(r)))
    return figures


def _table(results: Sequence[Result]) -> Table:
    rows = [
        [r.workload.name, number(r.ours_ns), number(r.redis_ns), number(r.ratio)]
        for r in sorted(results, key=lambda r: -r.ratio / r.workload.goal)
    ]
    headers = ("command", "kevyrt ns", "redis ns", "ratio")
    return Table("Server CPU per command, P=64, medians over the rounds", headers, rows)


def commands(options: Options) -> Section:
    at = apart()
    section = Section("Every command, P=64, one thread", notes=[f"{at}."])
    played = workloads()
    results = []
    with (
        tempfile.TemporaryDirectory(prefix="kevyrt-commands-") as folder,
        running((REDIS, OURS), at.server) as (servers, missing),
    ):
        if missing:
            raise Unavailable("; ".join(missing))
        player = Player(Path(folder), at.client)
        for workload in played:
            play = _prepare(workload, QUICK_PART if options.quick else 1, Path(folder))
            turns = [t for _ in range(options.rounds) for t in _compare(servers, player, play)]
            results.append(_result(workload, turns))
            section.raw += [asdict(turn) for turn in turns]
    section.figures += _figures(results)
    section.tables.append(_table(results))
    reasons = (f"{name} ({reason})" for name, reason in unplayed(played).items())
    section.notes.append(f"not played: {', '.join(reasons)}.")
    return section


# SCAN

SCAN_KEYS = 1_000_000
QUICK_SCAN_KEYS = 100_000
COUNTS = (100, 1_000)
ELEMENT = len(b"$16\r\n") + 16 + len(b"\r\n")


class Scanner:
    """Goes through all keys, of 16 bytes each, and looks at them only when the time is taken."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._input = self._socket.makefile("rb", buffering=1 << 20)

    def page(self, cursor: bytes, count: int) -> tuple[bytes, bytes]:
        self._socket.sendall(encode("SCAN", cursor, "COUNT", count))
        self._input.readline()
        self._input.readline()
        following = self._input.readline().rstrip()
        elements = int(self._input.readline()[1:])
        return following, self._input.read(elements * ELEMENT)

    def all(self, count: int) -> tuple[float, set[bytes]]:
        pages = []
        start = time.perf_counter()
        cursor, page = self.page(b"0", count)
        while pages.append(page) or cursor != b"0":
            cursor, page = self.page(cursor, count)
        took_s = time.perf_counter() - start
        text = b"".join(pages)
        return took_s, {text[at : at + 16] for at in range(5, len(text), ELEMENT)}

    def close(self) -> None:
        self._input.close()
        self._socket.close()


def _scan(server: ServerProcess, count: int, keys: int) -> float:
    with contextlib.closing(Scanner(server.port)) as scanner:
        took_s, found = scanner.all(count)
    if len(found) != keys:
        raise WrongData(f"{server.subject.name}: SCAN found {len(found)} of {keys} keys")
    return took_s


def scan(options: Options) -> Section:
    at = apart()
    keys = QUICK_SCAN_KEYS if options.quick else SCAN_KEYS
    section = Section(f"SCAN over {keys:,} keys", notes=[f"{at}."])
    with running((REDIS, OURS), at.server) as (servers, missing):
        if missing:
            raise Unavailable("; ".join(missing))
        for server in servers.values():
            fill(server, 0, keys, at.client, "s")
        for count in COUNTS:
            times: dict[Subject, list[float]] = {REDIS: [], OURS: []}
            for _ in range(options.rounds):
                for subject, server in servers.items():
                    times[subject].append(_scan(server, count, keys))
            ours, redis = median(times[OURS]), median(times[REDIS])
            beside = f"kevyrt {number(ours)} s, redis {number(redis)} s"
            ratio = paired_ratio(times[OURS], times[REDIS])
            section.figures.append(
                Figure(f"COUNT {count}: time against Redis", ratio, "", 1.0, beside=beside)
            )
            section.raw.append({"count": count, "ours_s": times[OURS], "redis_s": times[REDIS]})
    return section


# Gaps beside many connections

CROWD = 10_000
QUICK_CROWD = 1_000
WATCHED: list[Command] = [("CONFIG", "GET", "*"), ("INFO",), ("CLIENT", "LIST")]
WATCH_S = 5.0
QUICK_WATCH_S = 0.5
SPARE_DESCRIPTORS = 200


@contextlib.contextmanager
def _crowd(server: ServerProcess, wire: Wire, count: int) -> Iterator[None]:
    """So many connections, each of which has been answered."""
    wire.call("CONFIG", "SET", "maxclients", count + SPARE_DESCRIPTORS)
    with contextlib.ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            for _ in range(count)
        ]
        for each in sockets:
            each.sendall(encode("PING"))
        for each in sockets:
            if each.recv(64) != b"+PONG\r\n":
                raise WrongData(f"{server.subject.name}: a connection has no answer")
        connected = int(wire.info("clients")["connected_clients"])
        if connected < count:
            raise WrongData(f"{server.subject.name}: {connected} of {count} connections")
        yield


def _watch(server: ServerProcess, words: Command, control: Control, seconds: float) -> list[Slice]:
    """The longest gaps of both loops in slices of 50 ms that are full of the command."""
    slices = []
    with server.connect() as asking, server.connect() as looking:
        end = time.monotonic() + seconds
        longest_us(looking)
        control.longest_us()
        while time.monotonic() < end:
            slice_end = time.monotonic() + SLICE_S
            while time.monotonic() < slice_end:
                asking.call(*words)
            slices.append(Slice(longest_us(looking), control.longest_us()))
    return slices


def _gap_figure(words: Command, slices: Sequence[Slice]) -> Figure:
    ours = [s.server_us for s in slices]
    control = [s.control_us for s in slices]
    beside = (
        f"of {len(slices)}; median {number(median(ours))} µs, longest {number(max(ours))} µs; "
        f"control: longest {number(max(control))} µs"
    )
    what = f"{' '.join(map(str, words))}: slices with a gap over 1 ms"
    return Figure(what, over(ours), "", over(control), beside=beside)


def crowd(options: Options) -> Section:
    at = apart()
    count = QUICK_CROWD if options.quick else CROWD
    seconds = QUICK_WATCH_S if options.quick else WATCH_S
    section = Section(f"Loop gaps beside {count:,} connections", notes=[f"{at}."])
    wanted = count + 2 * SPARE_DESCRIPTORS
    if (allowed := raise_descriptors(wanted)) < wanted:
        raise Unavailable(f"{wanted} descriptors are needed, {allowed} allowed")
    with (
        ServerProcess(OURS, at.server) as server,
        server.connect() as wire,
        _crowd(server, wire, count),
        Control(at.client) as control,
    ):
        for words in WATCHED:
            try:
                slices = _watch(server, words, control, seconds)
            except ReplyError as error:
                section.notes.append(f"not measured: {' '.join(words)}: {error}")
                continue
            section.figures.append(_gap_figure(words, slices))
            section.raw += [{"command": " ".join(words), **vars(s)} for s in slices]
    section.notes.append(f"a slice is 50 ms; its limit is {LIMIT_US:,} µs.")
    return section


if __name__ == "__main__":
    main(__doc__, commands, scan, crowd)
