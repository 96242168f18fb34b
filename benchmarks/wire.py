"""CPU per command, throughput and latency over the wire, beside redis-server and the I/O floor.

Every subject of a comparison runs at the same time and is idle but for its turn; rounds go
A B C A B C, and ratios are taken within a round. Before each SET run the keys hold other values,
and afterwards a sample is read back: it must hold as many of redis-benchmark's values as chance
says. Each GET must have been a hit.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import loadgen
from harness import (
    FLOOR_EPOLL,
    FLOOR_URING,
    KEVYRT_EPOLL,
    KEVYRT_URING,
    REACTORS,
    REDIS,
    Placement,
    ServerProcess,
    Subject,
    WrongData,
    apart,
    fill,
    for_two_threads,
    median,
    paired_ratio,
    read_values,
    require_key_count,
    running,
)
from report import Figure, Options, Section, Table, main, number

KEYS = 100_000
MANY_KEYS = 1_000_000
REQUESTS = {64: 2_000_000, 16: 1_000_000, 1: 200_000}
TESTS = ("set", "get")
SAMPLE = 2_000
SIGMAS = 6.0
PRIMED = "p"  # what keys hold before they are written
SUBJECTS = (REDIS, KEVYRT_URING, KEVYRT_EPOLL, FLOOR_URING, FLOOR_EPOLL)
CPU_GOALS = {(64, "io_uring"): 0.25, (64, "epoll"): 0.25, (16, "io_uring"): 0.40}
CPU_GOALS |= {(16, "epoll"): 0.40, (1, "io_uring"): 0.90, (1, "epoll"): 0.95}
FLOOR_GOAL = 2.0
TWO_THREADS_GOALS = {64: 1.3, 1: 1.25}


@dataclass(frozen=True)
class Observation:
    """One subject's turn in one round."""

    subject: str
    test: str
    pipeline: int
    keys: int
    rps: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    server_ns: float  # CPU per command
    client_ns: float


def total_ns(observation: Observation) -> float:
    return observation.server_ns + observation.client_ns


def server_ns(observation: Observation) -> float:
    return observation.server_ns


def rps(observation: Observation) -> float:
    return observation.rps


# One turn


def check_set(server: ServerProcess, keys: int, requests: int) -> None:
    """As many sampled keys hold the load's value as `requests` random writes over `keys` reach."""
    expected = 1 - math.exp(-requests / keys)
    tolerance = SIGMAS * math.sqrt(expected * (1 - expected) / SAMPLE) + 1 / SAMPLE
    with server.connect() as wire:
        require_key_count(server, wire, keys)
        values = read_values(server, wire, random.sample(range(keys), SAMPLE))
    written = sum(value != PRIMED.encode() * len(value) for value in values) / SAMPLE
    if abs(written - expected) > tolerance:
        raise WrongData(
            f"{server.subject.name}: {written:.1%} of the keys written, expected {expected:.1%}"
        )


def _hits(server: ServerProcess) -> int | None:
    with server.connect() as wire:
        hits = wire.info("stats").get("keyspace_hits")
    return None if hits is None else int(hits)


def _check_get(server: ServerProcess, before: int | None, requests: int) -> None:
    after = _hits(server)
    if before is None or after is None:
        raise WrongData(f"{server.subject.name}: INFO has no keyspace_hits")
    if after - before != requests:
        raise WrongData(f"{server.subject.name}: {after - before} hits of {requests} GETs")


def _turn(
    server: ServerProcess, test: str, pipeline: int, requests: int, keys: int, at: Placement
) -> Observation:
    stores = server.subject.stores
    if stores and test == "set":
        fill(server, 0, keys, at.client, PRIMED)
    hits = _hits(server) if stores else None
    before = server.cpu_ns()
    load = loadgen.run(server.port, test, pipeline, requests, keys, at.client)
    spent = server.cpu_ns() - before
    if stores and test == "set":
        check_set(server, keys, requests)
    elif stores:
        _check_get(server, hits, requests)
    return Observation(
        subject=server.subject.name,
        test=test,
        pipeline=pipeline,
        keys=keys,
        rps=load.rps,
        p50_ms=load.p50_ms,
        p99_ms=load.p99_ms,
        p999_ms=load.p999_ms,
        server_ns=spent / requests,
        client_ns=load.client_cpu_ns / requests,
    )


class Comparison:
    """All observations of some subjects at some depths, and what figures ask of them."""

    def __init__(
        self,
        options: Options,
        subjects: Sequence[Subject],
        pipelines: Sequence[int],
        keys: int,
        at: Placement,
    ) -> None:
        self.observations: list[Observation] = []
        self.at = at
        with running(subjects, at.server) as (servers, self.missing):
            for pipeline in pipelines:
                wanted = REQUESTS[pipeline] // (10 if options.quick else 1)
                requests = loadgen.whole_batches(wanted, pipeline)
                for _ in range(options.rounds):
                    for test in TESTS:
                        for server in servers.values():
                            self.observations.append(
                                _turn(server, test, pipeline, requests, keys, at)
                            )

    def of(self, subject: Subject, test: str, pipeline: int) -> list[Observation]:
        wanted = (subject.name, test, pipeline)
        return [o for o in self.observations if (o.subject, o.test, o.pipeline) == wanted]

    def ratio(
        self,
        ours: Subject,
        theirs: Subject,
        test: str,
        pipeline: int,
        measure: Callable[[Observation], float] = server_ns,
    ) -> float | None:
        """The median of ours against theirs in the same round."""
        return paired_ratio(
            [measure(o) for o in self.of(ours, test, pipeline)],
            [measure(o) for o in self.of(theirs, test, pipeline)],
        )

    def cpu_text(self, subjects: Sequence[Subject], test: str, pipeline: int) -> str:
        texts = []
        for subject in subjects:
            value = median([o.server_ns for o in self.of(subject, test, pipeline)])
            texts.append(f"{subject.name} {number(value)} ns")
        return ", ".join(texts)

    def section(self, title: str, figures: list[Figure]) -> Section:
        notes = [f"{self.at}.", *(f"not measured: {reason}" for reason in self.missing)]
        raw = [asdict(observation) for observation in self.observations]
        return Section(title, figures, [self._table()], notes, raw)

    def _table(self) -> Table:
        headers = ("subject", "test", "P", "server CPU ns", "client CPU ns", "requests/s")
        headers += ("p50 ms", "p99 ms", "p99.9 ms")
        groups: dict[tuple[int, str, str], list[Observation]] = {}
        for o in self.observations:
            groups.setdefault((o.pipeline, o.test, o.subject), []).append(o)
        rows = [self._row(group) for group in groups.values()]
        return Table("Medians over the rounds, CPU per command", headers, rows)

    @staticmethod
    def _row(group: list[Observation]) -> list[str]:
        fields = ("server_ns", "client_ns", "rps", "p50_ms", "p99_ms", "p999_ms")
        medians = [number(median([getattr(o, name) for o in group])) for name in fields]
        return [group[0].subject, group[0].test.upper(), str(group[0].pipeline), *medians]


# What the goals ask


def _one_thread_figures(comparison: Comparison, pipeline: int, test: str) -> list[Figure]:
    figures = []
    name = f"{test.upper()} P={pipeline}"
    for ours, floor in REACTORS:
        figures.append(
            Figure(
                f"{name}, {ours.io}: CPU against Redis",
                comparison.ratio(ours, REDIS, test, pipeline),
                "",
                CPU_GOALS[pipeline, ours.io],
                beside=comparison.cpu_text((ours, REDIS), test, pipeline),
            )
        )
        if pipeline == 64:
            figures.append(
                Figure(
                    f"{name}, {ours.io}: CPU against the floor",
                    comparison.ratio(ours, floor, test, pipeline),
                    "",
                    FLOOR_GOAL,
                    beside=comparison.cpu_text((ours, floor), test, pipeline),
                )
            )
        if pipeline == 1:
            ratio = comparison.ratio(ours, REDIS, test, pipeline, total_ns)
            figures.append(
                Figure(f"{name}, {ours.io}: both ends' CPU against Redis", ratio, "", 1.0)
            )
    return figures


def one_thread(options: Options) -> Section:
    comparison = Comparison(options, SUBJECTS, tuple(REQUESTS), KEYS, apart())
    figures = [
        figure
        for pipeline in REQUESTS
        for test in TESTS
        for figure in _one_thread_figures(comparison, pipeline, test)
    ]
    return comparison.section("The wire, one thread, 100,000 keys", figures)


def many_keys(options: Options) -> Section:
    comparison = Comparison(options, (REDIS, KEVYRT_URING, KEVYRT_EPOLL), (64,), MANY_KEYS, apart())
    figures = [
        Figure(
            f"{test.upper()} P=64, {ours.io}: CPU against Redis",
            comparison.ratio(ours, REDIS, test, 64),
            "",
            0.25,
            beside=comparison.cpu_text((ours, REDIS), test, 64),
        )
        for ours in (KEVYRT_URING, KEVYRT_EPOLL)
        for test in TESTS
    ]
    return comparison.section("The wire, one thread, a million keys", figures)


def two_threads(options: Options) -> Section:
    pairs = [(one, Subject("kevyrt", one.io, 2)) for one in (KEVYRT_URING, KEVYRT_EPOLL)]
    subjects = [subject for pair in pairs for subject in pair]
    comparison = Comparison(options, subjects, tuple(TWO_THREADS_GOALS), KEYS, for_two_threads())
    figures = []
    for pipeline, goal in TWO_THREADS_GOALS.items():
        for test in TESTS:
            for one, two in pairs:
                name = f"{test.upper()} P={pipeline}, {one.io}"
                cpu = comparison.ratio(two, one, test, pipeline)
                beside = comparison.cpu_text((two, one), test, pipeline)
                figures.append(Figure(f"{name}: CPU", cpu, "", goal, beside=beside))
                more = comparison.ratio(two, one, test, pipeline, rps)
                figures.append(Figure(f"{name}: throughput", more, "", 1.0, at_least=True))
    return comparison.section("The wire, two threads against one", figures)


if __name__ == "__main__":
    main(__doc__, one_thread, many_keys, two_threads)
