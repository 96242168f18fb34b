"""Values of a million elements and more: resident memory, ranks, and what deleting them holds up.

Memory is beside redis-server, of a process of its own for each value. Ranks are asked of a sorted
set of 10 million members on both. Loop gaps are the server's own (benchmarks/gaps.py), beside the
control's.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from gaps import LIMIT_US, SLICE_S, Control, Slice, longest_us, over
from harness import (
    KEY_FORMAT,
    REDIS,
    Placement,
    ServerProcess,
    Subject,
    Unavailable,
    WrongData,
    apart,
    median,
    memory_bytes,
    running,
)
from replay import PIPELINE, batches, lacking, replay
from report import Figure, Options, Section, main, number
from resp import Wire, encode
from workloads import Command

MILLION = 1_000_000
MANY = 10 * MILLION
QUICK = 100_000
BATCH = 100  # elements of a command
CHUNK = 20_000  # commands of a file
SAMPLE = 200
SPREAD = 7_919  # prime: n * SPREAD % count goes over all numbers, near ones far apart
KEY = "value"
OURS = Subject("kevyrt")


def member(number: int) -> str:
    return f"member:{number:09d}"


# Kinds of values. Lines are encoded: some are the same again and again


@dataclass(frozen=True)
class Kind:
    """What a value is made of; `sample` is a command about one element, with its reply."""

    name: str
    lines: Callable[[int], Iterator[bytes]]
    size: Command
    sample: Callable[[int, int], tuple[Command, Any]]

    @property
    def write(self) -> str:
        """The command that makes it."""
        return next(self.lines(1)).split(b"\r\n")[2].decode()


def _batched(name: str, words: Callable[[int, int], Command]) -> Callable[[int], Iterator[bytes]]:
    """Elements in the order of their numbers, BATCH in a command."""

    def lines(count: int) -> Iterator[bytes]:
        for first in range(0, count, BATCH):
            numbers = range(first, min(first + BATCH, count))
            yield encode(name, KEY, *(word for n in numbers for word in words(n, count)))

    return lines


FIELDS = [(f"f{i}", f"value:{i:02d}") for i in range(10)]


def _hashes(count: int) -> Iterator[bytes]:
    pairs = [word for pair in FIELDS for word in pair]
    head, tail = encode("HSET", KEY_FORMAT.format(0), *pairs).split(b"000000000000")
    for n in range(count):
        yield b"%s%012d%s" % (head, n, tail)


def _stream(count: int) -> Iterator[bytes]:
    line = encode("XADD", KEY, "*", "sensor", 1234, "temperature", "19.8", "humidity", 45)
    for _ in range(count):
        yield line


def _is_member(n: int, _: int) -> tuple[Command, int]:
    return ("SISMEMBER", KEY, member(n)), 1


HASHES = Kind(
    "hashes of 10 small fields",
    _hashes,
    ("DBSIZE",),
    lambda n, _: (("HGET", KEY_FORMAT.format(n), "f7"), b"value:07"),
)
INTEGERS = Kind(
    "a set of integers",
    _batched("SADD", lambda n, count: (n * SPREAD % count,)),
    ("SCARD", KEY),
    lambda n, _: (("SISMEMBER", KEY, n), 1),
)
SET = Kind(
    "a set of 16-byte strings",
    _batched("SADD", lambda n, count: (member(n * SPREAD % count),)),
    ("SCARD", KEY),
    _is_member,
)
ZSET = Kind(
    "a sorted set of 16-byte members",
    _batched("ZADD", lambda n, count: (n * SPREAD % count, member(n))),
    ("ZCARD", KEY),
    lambda n, count: (("ZSCORE", KEY, member(n)), b"%d" % (n * SPREAD % count)),
)
LIST = Kind(
    "a list of 16-byte items",
    _batched("RPUSH", lambda n, _: (member(n),)),
    ("LLEN", KEY),
    lambda n, _: (("LINDEX", KEY, n), member(n).encode()),
)
HASH = Kind(
    "a hash of small fields",
    _batched("HSET", lambda n, _: (member(n), "v")),
    ("HLEN", KEY),
    lambda n, _: (("HGET", KEY, member(n)), b"v"),
)
STREAM = Kind(
    "a stream of 3 fields",
    _stream,
    ("XLEN", KEY),
    lambda _, count: (("XLEN", KEY), count),
)


def _build(server: ServerProcess, kind: Kind, count: int, cores: Sequence[int]) -> None:
    """Fills the value over one connection, and reads some of it back."""
    lines = kind.lines(count)
    with tempfile.TemporaryDirectory(prefix="kevyrt-large-") as folder:
        file = Path(folder) / "play"
        while chunk := list(islice(lines, CHUNK)):
            file.write_bytes(batches([chunk]))
            replay(server, file, len(chunk), cores)
    with server.connect() as wire:
        _read_back(server, wire, kind, count)


def _read_back(server: ServerProcess, wire: Wire, kind: Kind, count: int) -> None:
    size = wire.call(*kind.size)
    if size != count:
        raise WrongData(f"{server.subject.name}: {kind.name}: {size} of {count} are there")
    looks, expected = zip(
        *(kind.sample(n, count) for n in range(0, count, count // SAMPLE)), strict=True
    )
    for look, found, right in zip(looks, wire.pipeline(looks), expected, strict=True):
        if found != right:
            raise WrongData(f"{server.subject.name}: {look} is {found!r}, not {right!r}")


def _missing(cores: Sequence[int], names: set[str]) -> dict[str, str]:
    """Commands that a server does not have."""
    with running((REDIS, OURS), cores) as (servers, unavailable):
        if unavailable:
            raise Unavailable("; ".join(unavailable))
        return lacking(servers, names)


def _missing_notes(missing: dict[str, str]) -> list[str]:
    return [f"{subject} does not have {name}." for name, subject in missing.items()]


# Memory


def _resident(subject: Subject, kind: Kind, count: int, at: Placement) -> float:
    """Bytes per element over the empty server."""
    with ServerProcess(subject, at.server) as server:
        empty = memory_bytes(server.pid, "VmRSS")
        _build(server, kind, count, at.client)
        return (memory_bytes(server.pid, "VmRSS") - empty) / count


def memory(options: Options) -> Section:
    at = apart()
    count = QUICK if options.quick else MILLION
    kinds = (HASHES, INTEGERS, SET, ZSET, LIST, STREAM)
    missing = _missing(at.server, {kind.write for kind in kinds})
    section = Section(f"Memory of {count:,} elements", notes=_missing_notes(missing))
    for kind in kinds:
        what = f"{kind.name}: resident bytes per element"
        if kind.write in missing:
            section.figures.append(Figure(what, None, ""))
            continue
        redis, ours = (_resident(subject, kind, count, at) for subject in (REDIS, OURS))
        section.figures.append(Figure(what, ours, "", redis, beside=f"redis {redis:.2f}"))
        section.raw.append({"kind": kind.name, "redis": redis, "ours": ours})
    return section


# Ranks

RANK_GOAL_NS = 5_000
RANK_COMMANDS = 200_000
CONNECTIONS = 50
RANK_LINES: dict[str, Callable[[int], bytes]] = {
    "ZRANK": lambda n: encode("ZRANK", KEY, member(n)),
    "ZRANGE by rank": lambda n: encode("ZRANGE", KEY, n, n),
}


def _rank_lines(name: str, count: int, commands: int) -> list[list[bytes]]:
    draws = Random(1)
    each = commands // CONNECTIONS // PIPELINE * PIPELINE
    line = RANK_LINES[name]
    return [[line(draws.randrange(count)) for _ in range(each)] for _ in range(CONNECTIONS)]


def _check_ranks(servers: dict[Subject, ServerProcess], count: int) -> None:
    """Scores are all numbers below the count, so ranks are scores."""
    for server in servers.values():
        with server.connect() as wire:
            for n in range(0, count, count // SAMPLE):
                rank = n * SPREAD % count
                found = wire.call("ZRANK", KEY, member(n)), wire.call("ZRANGE", KEY, rank, rank)
                if found != (rank, [member(n).encode()]):
                    raise WrongData(f"{server.subject.name}: rank {rank}: {found}")


def ranks(options: Options) -> Section:
    at = apart()
    count = QUICK if options.quick else MANY
    section = Section(f"Ranks among {count:,} members", notes=[f"{at}; P=64."])
    with (
        running((REDIS, OURS), at.server) as (servers, unavailable),
        tempfile.TemporaryDirectory(prefix="kevyrt-ranks-") as folder,
    ):
        if unavailable:
            raise Unavailable("; ".join(unavailable))
        for server in servers.values():
            _build(server, ZSET, count, at.client)
        _check_ranks(servers, count)
        file = Path(folder) / "play"
        for name in RANK_LINES:
            lines = _rank_lines(name, count, RANK_COMMANDS // (10 if options.quick else 1))
            file.write_bytes(batches(lines))
            commands = sum(map(len, lines))
            cpu: dict[Subject, list[float]] = {subject: [] for subject in servers}
            for _ in range(options.rounds):
                for subject, server in servers.items():
                    done = replay(server, file, commands, at.client)
                    cpu[subject].append(done.cpu_ns / commands)
            section.raw += [{"command": name, "subject": s.name, "ns": cpu[s]} for s in cpu]
            beside = f"redis {number(median(cpu[REDIS]))} ns"
            section.figures.append(
                Figure(f"{name}: CPU", median(cpu[OURS]), "ns", RANK_GOAL_NS, beside=beside)
            )
    return section


# Deleting

SETTLE_S = 0.5
FREED_PART = 0.1  # of what is held with the value may be left


def _held(wire: Wire) -> int:
    """What the server has from its allocator, values that wait to be freed included."""
    return int(wire.info("memory")["allocator_active"])


def _watch_deletion(server: ServerProcess, control: Control) -> list[Slice]:
    """Slices of 50 ms from DEL on, until the value has been freed, and some more."""
    slices: list[Slice] = []
    with server.connect() as wire:
        full = _held(wire)
        longest_us(wire)
        control.longest_us()
        if wire.call("DEL", KEY) != 1:
            raise WrongData(f"{server.subject.name}: there was nothing to delete")
        end = time.monotonic() + 60
        settled = None
        while time.monotonic() < (settled or end):
            time.sleep(SLICE_S)
            slices.append(Slice(longest_us(wire), control.longest_us()))
            held = _held(wire)
            if settled is None and held < FREED_PART * full:
                settled = time.monotonic() + SETTLE_S
        if settled is None:
            raise WrongData(f"{server.subject.name}: {held:,} bytes are not freed")
    return slices


def _deletion_figure(kind: Kind, count: int, slices: Sequence[Slice]) -> Figure:
    ours = [s.server_us for s in slices]
    control = [s.control_us for s in slices]
    beside = (
        f"of {len(slices)}; longest {number(max(ours))} µs; "
        f"control: {over(control)}, longest {number(max(control))} µs"
    )
    what = f"{kind.name}, {count:,}: slices with a gap over 1 ms"
    return Figure(what, over(ours), "", over(control), beside=beside)


def deletions(options: Options) -> Section:
    at = apart()
    count = QUICK if options.quick else MANY
    kinds = (LIST, SET, HASH, ZSET, STREAM)
    missing = _missing(at.server, {kind.write for kind in kinds})
    section = Section("Loop gaps while a large value is deleted", notes=_missing_notes(missing))
    for kind in kinds:
        if kind.write in missing:
            what = f"{kind.name}, {count:,}: slices with a gap over 1 ms"
            section.figures.append(Figure(what, None, ""))
            continue
        with ServerProcess(OURS, at.server) as server, Control(at.client) as control:
            _build(server, kind, count, at.client)
            slices = _watch_deletion(server, control)
        section.figures.append(_deletion_figure(kind, count, slices))
        section.raw += [{"kind": kind.name, **asdict(s)} for s in slices]
    section.notes.append(f"{at}; a slice is 50 ms; its limit is {LIMIT_US:,} µs.")
    return section


if __name__ == "__main__":
    main(__doc__, memory, ranks, deletions)
