"""What the append-only log costs, beside redis-server with the same settings.

Both write their log on the disk that holds temporary files. CPU is that of all threads, so the
log's own is in it. With `always` each reply says that its write is synced; throughput is what the
load sees. Before each turn the keys hold other values, and afterwards a sample is read back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import loadgen
from harness import (
    KEVYRT_EPOLL,
    KEVYRT_URING,
    REDIS,
    Placement,
    ServerProcess,
    Subject,
    apart,
    fill,
    for_two_threads,
    median,
    paired_ratio,
    running,
)
from report import Figure, Options, Section, Table, main, number
from wire import KEYS, PRIMED, Comparison, check_set

QUICK_KEYS = 10_000
EVERYSEC_GOAL = 1 / 3
SHARDS = 4
SHARD_GOAL = 1.0


@dataclass(frozen=True)
class Load:
    """How many clients, how many requests each sends at once, how many in all."""

    clients: int
    pipeline: int
    requests: int
    goal: float  # our throughput against Redis's

    @property
    def name(self) -> str:
        return f"{self.clients} clients, P={self.pipeline}"


LOADS = (
    Load(50, 1, 100_000, 1.4),
    Load(200, 1, 200_000, 1.3),
    Load(50, 16, 800_000, 2.5),
    Load(50, 64, 1_600_000, 2.5),
)


def logged(subject: Subject, sync: str, threads: int = 1) -> Subject:
    """With a log that is not rewritten meanwhile."""
    options = ("--appendonly", "yes", "--appendfsync", sync, "--auto-aof-rewrite-percentage", "0")
    return Subject(subject.kind, subject.io, threads, options, subject.program)


# everysec


def everysec(options: Options) -> Section:
    theirs = logged(REDIS, "everysec")
    ours = [logged(subject, "everysec") for subject in (KEVYRT_URING, KEVYRT_EPOLL)]
    comparison = Comparison(options, (theirs, *ours), (64, 1), KEYS, apart())
    figures = [
        Figure(
            f"SET P={pipeline}, {subject.io}: CPU against Redis",
            comparison.ratio(subject, theirs, "set", pipeline),
            "",
            EVERYSEC_GOAL if pipeline == 64 else None,
            beside=comparison.cpu_text((subject, theirs), "set", pipeline),
        )
        for pipeline in (64, 1)
        for subject in ours
    ]
    return comparison.section("The log, appendfsync everysec", figures)


# always


@dataclass(frozen=True)
class Observation:
    """One subject's turn in one round."""

    subject: str
    load: str
    rps: float
    p50_ms: float
    p99_ms: float
    server_ns: float  # CPU per command


def _turn(server: ServerProcess, load: Load, quick: bool, at: Placement) -> Observation:
    keys = QUICK_KEYS if quick else KEYS
    wanted = load.requests // (20 if quick else 1)
    requests = loadgen.whole_batches(wanted, load.pipeline, load.clients)
    fill(server, 0, keys, at.client, PRIMED)
    before = server.cpu_ns()
    seen = loadgen.run(server.port, "set", load.pipeline, requests, keys, at.client, load.clients)
    spent = server.cpu_ns() - before
    check_set(server, keys, requests)
    return Observation(
        server.subject.name, load.name, seen.rps, seen.p50_ms, seen.p99_ms, spent / requests
    )


class _Turns:
    """All observations of some subjects, interleaved."""

    def __init__(self, options: Options, subjects: Sequence[Subject], at: Placement) -> None:
        self.observations: list[Observation] = []
        with running(subjects, at.server) as (servers, self.missing):
            for load in LOADS:
                for _ in range(options.rounds):
                    for server in servers.values():
                        self.observations.append(_turn(server, load, options.quick, at))

    def rps(self, subject: Subject, load: Load) -> list[float]:
        wanted = (subject.name, load.name)
        return [o.rps for o in self.observations if (o.subject, o.load) == wanted]

    def beside(self, subjects: Sequence[Subject], load: Load) -> str:
        medians = ((s.name, median(self.rps(s, load))) for s in subjects)
        return ", ".join(f"{name} {number(value)}/s" for name, value in medians)

    def table(self) -> Table:
        groups: dict[tuple[str, str], list[Observation]] = {}
        for o in self.observations:
            groups.setdefault((o.load, o.subject), []).append(o)
        fields = ("rps", "p50_ms", "p99_ms", "server_ns")
        rows = [
            [subject, load, *(number(median([getattr(o, f) for o in group])) for f in fields)]
            for (load, subject), group in groups.items()
        ]
        headers = ("subject", "load", "requests/s", "p50 ms", "p99 ms", "server CPU ns")
        return Table("Medians over the rounds", headers, rows)


def _section(title: str, turns: _Turns, figures: list[Figure], at: Placement) -> Section:
    notes = [f"{at}.", *(f"not measured: {reason}" for reason in turns.missing)]
    return Section(title, figures, [turns.table()], notes, [asdict(o) for o in turns.observations])


def always(options: Options) -> Section:
    at = apart()
    theirs = logged(REDIS, "always")
    ours = [logged(subject, "always") for subject in (KEVYRT_URING, KEVYRT_EPOLL)]
    turns = _Turns(options, (theirs, *ours), at)
    figures = [
        Figure(
            f"SET, {load.name}, {subject.io}: throughput against Redis",
            paired_ratio(turns.rps(subject, load), turns.rps(theirs, load)),
            "",
            load.goal,
            at_least=True,
            beside=turns.beside((subject, theirs), load),
        )
        for load in LOADS
        for subject in ours
    ]
    return _section("The log, appendfsync always", turns, figures, at)


def always_shards(options: Options) -> Section:
    at = for_two_threads()
    one, more = (logged(KEVYRT_URING, "always", threads) for threads in (1, SHARDS))
    turns = _Turns(options, (one, more), at)
    figures = [
        Figure(
            f"SET, {load.name}: throughput of {SHARDS} shards against one",
            paired_ratio(turns.rps(more, load), turns.rps(one, load)),
            "",
            SHARD_GOAL,
            at_least=True,
            beside=turns.beside((more, one), load),
        )
        for load in LOADS
    ]
    return _section("The log, appendfsync always, several shards", turns, figures, at)


if __name__ == "__main__":
    main(__doc__, everysec, always, always_shards)
