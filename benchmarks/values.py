"""CPU of the commands of values with many elements, beside redis-server, of one key and of many.

Both servers run at the same time and are played the same bytes over as many connections, in turns;
ratios are taken within a round. Every reply is counted and none may be an error. Sampled elements
are read before and after: they are alike on both servers, and if the command writes other than
before.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

from harness import (
    REDIS,
    ServerProcess,
    Subject,
    Unavailable,
    WrongData,
    apart,
    median,
    paired_ratio,
    running,
)
from replay import PIPELINE, batches, lacking, replay
from report import Figure, Options, Section, main, number
from resp import encode
from value_workloads import ELEMENTS, SETUPS, SHAPES, Shape, Workload, workloads
from workloads import ONE_HALF

CONNECTIONS = 50
SAMPLE = 100
QUICK_PART = 20  # of the commands of a turn
OURS = Subject("kevyrt")


# Prepared bytes


@dataclass
class Play:
    """A workload on data of a shape, as bytes, and some of the elements that it names."""

    workload: Workload
    shape: Shape
    count: int
    file: Path
    sample: list[int]

    @property
    def name(self) -> str:
        return f"{self.workload.name}, {self.shape.name}"


def _numbers(workload: Workload, connection: int, count: int, draws: Random) -> list[int]:
    """Elements of a connection's own, so that the order among connections leaves no trace."""
    own = range(connection, ELEMENTS, CONNECTIONS)
    return draws.sample(own, count) if workload.once else draws.choices(own, k=count)


def _prepare(workload: Workload, shape: Shape, part: int, folder: Path) -> Play:
    each = max(1, workload.count // part // CONNECTIONS // PIPELINE) * PIPELINE
    lines, named = [], set()
    for connection in range(CONNECTIONS):
        draws = Random(connection)
        drawn = _numbers(workload, connection, each, draws)
        named.update(drawn)
        lines.append([encode(*workload.line(shape, n, draws)) for n in drawn])
    file = folder / "play"
    file.write_bytes(batches(lines))
    sample = Random(1).sample(sorted(named), min(SAMPLE, len(named)))
    return Play(workload, shape, each * CONNECTIONS, file, sample)


def _prepare_setups(shape: Shape, folder: Path) -> dict[str, Path]:
    """Played over one connection: the order of elements is that of their numbers."""
    files = {}
    for name, line in SETUPS.items():
        if line:
            files[name] = folder / name
            commands = [encode(*line(shape, n, Random())) for n in range(ELEMENTS)]
            files[name].write_bytes(batches([commands]))
    return files


# One turn


@dataclass
class Turn:
    """What a server did in one round."""

    subject: str
    what: str
    cpu_ns: float  # per command
    reply_bytes: int


class Player:
    """Plays workloads on one shape of data, and sets them up only where something has changed."""

    def __init__(self, shape: Shape, folder: Path, cores: Sequence[int]) -> None:
        self._setups = _prepare_setups(shape, folder)
        self._cores = cores
        self._holds: dict[Subject, str] = {}

    def _set_up(self, server: ServerProcess, setup: str) -> None:
        if self._holds.get(server.subject) == setup:
            return
        with server.connect() as wire:
            wire.call("FLUSHALL")
        if setup in self._setups:
            replay(server, self._setups[setup], ELEMENTS, self._cores)
        self._holds[server.subject] = setup

    def turn(self, server: ServerProcess, play: Play) -> tuple[Turn, list[object]]:
        workload = play.workload
        looks = [look for n in play.sample for look in workload.state(play.shape, n)]
        self._set_up(server, workload.setup)
        with server.connect() as wire:
            before = wire.pipeline(looks)
            done = replay(server, play.file, play.count, self._cores)
            after = wire.pipeline(looks)
        if workload.writes:
            self._holds.pop(server.subject)
        if (before != after) != workload.writes:
            raise WrongData(f"{server.subject.name}: other elements than there should be")
        cpu_ns = done.cpu_ns / play.count
        return Turn(server.subject.name, play.name, cpu_ns, done.reply_bytes), after


def _compare(servers: dict[Subject, ServerProcess], player: Player, play: Play) -> list[Turn]:
    """A turn of each server; their elements, and where it must be so their replies, are alike."""
    try:
        turns, states = zip(*(player.turn(servers[s], play) for s in (REDIS, OURS)), strict=True)
    except WrongData as error:
        raise WrongData(f"{play.name}: {error}") from None
    if states[0] != states[1]:
        raise WrongData(f"{play.name}: sampled elements are not what they are in Redis")
    if play.workload.exact and turns[0].reply_bytes != turns[1].reply_bytes:
        raise WrongData(
            f"{play.name}: replies of {turns[1].reply_bytes} bytes, "
            f"Redis's of {turns[0].reply_bytes}"
        )
    return list(turns)


# Figures


def _figure(play: Play, turns: Sequence[Turn]) -> Figure:
    ours = [t.cpu_ns for t in turns if t.subject == OURS.name]
    redis = [t.cpu_ns for t in turns if t.subject == REDIS.name]
    beside = f"kevyrt {number(median(ours))} ns, redis {number(median(redis))} ns"
    return Figure(play.name, paired_ratio(ours, redis), "", ONE_HALF, beside=beside)


def _measure(
    servers: dict[Subject, ServerProcess],
    shape: Shape,
    cores: Sequence[int],
    options: Options,
    section: Section,
    missing: dict[str, str],
) -> None:
    part = QUICK_PART if options.quick else 1
    with tempfile.TemporaryDirectory(prefix="kevyrt-values-") as folder:
        player = Player(shape, Path(folder), cores)
        for workload in workloads():
            if workload.command in missing:
                section.figures.append(Figure(f"{workload.name}, {shape.name}", None, "", ONE_HALF))
                continue
            play = _prepare(workload, shape, part, Path(folder))
            turns = [t for _ in range(options.rounds) for t in _compare(servers, player, play)]
            section.figures.append(_figure(play, turns))
            section.raw += [asdict(turn) for turn in turns]


def values(options: Options) -> Section:
    at = apart()
    title = f"Values of many elements, P=64, one thread, {ELEMENTS:,} elements"
    section = Section(title, notes=[f"{at}; server CPU per command, against Redis's."])
    with running((REDIS, OURS), at.server) as (servers, unavailable):
        if unavailable:
            raise Unavailable("; ".join(unavailable))
        missing = lacking(servers, {workload.command for workload in workloads()})
        for shape in SHAPES:
            _measure(servers, shape, at.client, options, section, missing)
    section.notes += [f"{subject} does not have {name}." for name, subject in missing.items()]
    return section


if __name__ == "__main__":
    main(__doc__, values)
