"""Reading and rewriting files: how long a start takes, and what a rewrite does to who is served.

The files are written by redis-server, copied for each start, and both servers read the same. A
start is timed from the process to the first PONG, less that of a start with nothing to read. What
was read is counted and sampled.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import gaps
import loadgen
from durability import logged
from harness import (
    KEVYRT_URING,
    REDIS,
    Placement,
    ServerProcess,
    Subject,
    Unavailable,
    WrongData,
    apart,
    fill,
    forget_peak,
    median,
    memory_bytes,
    paired_ratio,
    read_values,
    require_key_count,
)
from report import Figure, Options, Section, Table, main, number
from resp import Wire

KEYS = 1_000_000
COMMANDS = 5_000_000  # in the log that is replayed: each key is written so often
QUICK_SHARE = 20
LOAD_TIMEOUT_S = 120.0
SHUTDOWN_TIMEOUT_S = 60.0
REPLAY_GOAL = 1_500_000.0
LOAD_GOAL = 1.0
LETTER = "f"

REWRITE_KEYS = 5_000_000
REWRITE_LIST = 10_000_000
LIST_BATCH = 1_000
READS = 300_000  # one at a time
OVERWRITES = 5_000_000  # sixteen at once, so that most of what is rewritten changes meanwhile
P999_GOAL = 2.0
MEMORY_GOAL = 1.15
REWRITE_TIMEOUT_S = 300.0


# Starts


@contextmanager
def _source(subject: Subject, rounds: int, keys: int, at: Placement) -> Iterator[Path]:
    """The folder that redis-server leaves behind with so many keys, written so often."""
    with tempfile.TemporaryDirectory(prefix="kevyrt-benchmark-") as name:
        with ServerProcess(subject, at.server, Path(name)) as server:
            for _ in range(rounds):
                fill(server, 0, keys, at.client, LETTER)
            with server.connect() as wire:
                if "--appendonly" not in subject.options:
                    wire.call("SAVE")
        yield Path(name)


def _start_s(subject: Subject, source: Path | None, keys: int, at: Placement) -> float:
    """Seconds until it answers, with what is there."""
    with tempfile.TemporaryDirectory(prefix="kevyrt-benchmark-") as name:
        folder = Path(name) / "data"
        if source is None:
            folder.mkdir()
        else:
            shutil.copytree(source, folder)
        began = time.perf_counter()
        with ServerProcess(subject, at.server, folder, LOAD_TIMEOUT_S) as server:
            took = time.perf_counter() - began
            if source is not None:
                with server.connect() as wire:
                    require_key_count(server, wire, keys)
                    read_values(server, wire, range(0, keys, max(keys // 1_000, 1)))
    return took


def _starts(
    subjects: Sequence[Subject], source: Path, keys: int, rounds: int, at: Placement
) -> dict[Subject, list[float]]:
    """Seconds that reading takes, in each round."""
    seen: dict[Subject, list[float]] = {subject: [] for subject in subjects}
    for _ in range(rounds):
        for subject in subjects:
            empty = _start_s(subject, None, 0, at)
            seen[subject].append(max(_start_s(subject, source, keys, at) - empty, 1e-9))
    return seen


def _starts_table(what: str, seen: dict[Subject, list[float]], count: int) -> Table:
    rows = [
        [subject.name, number(median(times)), number(count / (median(times) or 1))]
        for subject, times in seen.items()
    ]
    return Table(f"Medians over the rounds, {count:,} {what}", ("subject", "s", f"{what}/s"), rows)


def starts(options: Options) -> Section:
    at = apart()
    share = QUICK_SHARE if options.quick else 1
    keys, commands = KEYS // share, COMMANDS // share
    section = Section("Reading files at the start", notes=[f"{at}."])
    logs = (logged(REDIS, "no"), logged(KEVYRT_URING, "no"))
    with _source(logs[0], commands // keys, keys, at) as source:
        seen = _starts(logs, source, keys, options.rounds, at)
    rate = median([commands / s for s in seen[logs[1]]])
    beside = f"redis {number(median([commands / s for s in seen[logs[0]]]))}/s"
    section.figures.append(
        Figure("replay of SET, one shard", rate, "/s", REPLAY_GOAL, at_least=True, beside=beside)
    )
    section.tables.append(_starts_table("commands", seen, commands))
    dumps = (REDIS, KEVYRT_URING)
    with _source(REDIS, 1, keys, at) as source:
        seen = _starts(dumps, source, keys, options.rounds, at)
    ratio = paired_ratio(seen[dumps[1]], seen[dumps[0]])
    beside = ", ".join(f"{s.name} {number(median(times))} s" for s, times in seen.items())
    what = f"RDB file of {keys:,} keys: time against Redis"
    section.figures.append(Figure(what, ratio, "", LOAD_GOAL, beside=beside))
    section.tables.append(_starts_table("keys", seen, keys))
    return section


# Rewriting


@dataclass(frozen=True)
class Load:
    """What is asked of the server meanwhile."""

    test: str
    pipeline: int
    requests: int


LOADS = (Load("get", 1, READS), Load("set", 16, OVERWRITES))


@dataclass(frozen=True)
class Served:
    """What a load saw while something was, or was not, going on."""

    p99_ms: float
    p999_ms: float
    slices: list[gaps.Slice]
    peak: float  # resident memory at its highest, against what it was before


def _fill_all(server: ServerProcess, keys: int, elements: int, at: Placement) -> None:
    fill(server, 0, keys, at.client, LETTER)
    with server.connect() as wire:
        for first in range(0, elements, LIST_BATCH):
            values = [f"element:{n:012d}" for n in range(first, first + LIST_BATCH)]
            wire.call("RPUSH", "the list", *values)
        if wire.call("LLEN", "the list") != elements:
            raise WrongData(f"{server.subject.name}: the list is not whole")


def _is_rewriting(wire: Wire) -> bool:
    return wire.info("persistence")["aof_rewrite_in_progress"] == "1"


def _await_rewrite(wire: Wire) -> None:
    deadline = time.monotonic() + REWRITE_TIMEOUT_S
    while _is_rewriting(wire):
        if time.monotonic() > deadline:
            raise Unavailable("the rewrite does not end")
        time.sleep(0.05)
    if wire.info("persistence")["aof_last_bgrewrite_status"] != "ok":
        raise WrongData("the rewrite failed")


def _slices(load: Future[loadgen.Load], wire: Wire, control: gaps.Control) -> list[gaps.Slice]:
    """One every 50 ms for as long as the load goes on, without the first, which began before."""
    slices = [gaps.Slice(gaps.longest_us(wire), control.longest_us())]
    while not load.done():
        time.sleep(gaps.SLICE_S)
        slices.append(gaps.Slice(gaps.longest_us(wire), control.longest_us()))
    return slices[1:]


def _served(
    server: ServerProcess, load: Load, keys: int, share: int, at: Placement, begin: bool
) -> Served:
    """Loads the server while it rewrites, or does not."""
    before = memory_bytes(server.pid, "VmRSS")
    forget_peak(server.pid)
    requests = loadgen.whole_batches(load.requests // share, load.pipeline)
    arguments = (server.port, load.test, load.pipeline, requests, keys, at.client)
    with (
        server.connect() as wire,
        gaps.Control(at.client) as control,
        ThreadPoolExecutor(1) as pool,
    ):
        if begin:
            wire.call("BGREWRITEAOF")
        running = pool.submit(loadgen.run, *arguments)
        slices = _slices(running, wire, control)
        seen = running.result()
        if begin:
            _await_rewrite(wire)
    return Served(seen.p99_ms, seen.p999_ms, slices, memory_bytes(server.pid, "VmHWM") / before)


def rewriting(options: Options) -> Section:
    at = apart()
    share = QUICK_SHARE if options.quick else 1
    keys, elements = REWRITE_KEYS // share, REWRITE_LIST // share
    section = Section(
        "Rewriting the log under load", notes=[f"{at}; {keys:,} keys, a list of {elements:,}."]
    )
    ours = logged(KEVYRT_URING, "everysec")
    seen: dict[tuple[str, bool], list[Served]] = {}
    with ServerProcess(ours, at.server) as server:
        _fill_all(server, keys, elements, at)
        for _ in range(options.rounds):
            for load in LOADS:
                for begin in (False, True):
                    served = _served(server, load, keys, share, at, begin)
                    seen.setdefault((load.test, begin), []).append(served)
    section.figures += _rewriting_figures(seen)
    rows = [
        [test.upper(), "rewriting" if begin else "not", *_medians(runs)]
        for (test, begin), runs in seen.items()
    ]
    headers = ("load", "meanwhile", "p99 ms", "p99.9 ms", "longest gap µs", "memory at its peak")
    section.tables.append(Table("Medians over the rounds", headers, rows))
    return section


def _medians(runs: Sequence[Served]) -> list[str]:
    measures: tuple[Callable[[Served], float], ...] = (
        lambda s: s.p99_ms,
        lambda s: s.p999_ms,
        lambda s: float(max(part.server_us for part in s.slices)),
        lambda s: s.peak,
    )
    return [number(median([measure(s) for s in runs])) for measure in measures]


def _rewriting_figures(seen: dict[tuple[str, bool], list[Served]]) -> list[Figure]:
    with_, without = seen["get", True], seen["get", False]
    slices = [part for served in with_ for part in served.slices]
    control = gaps.over([part.control_us for part in slices])
    longest = max(part.server_us for part in slices)
    p999 = paired_ratio([s.p999_ms for s in with_], [s.p999_ms for s in without])
    overwritten = median([s.peak for s in seen["set", True]])
    return [
        Figure(
            "slices of 50 ms with a gap over 1 ms, GET",
            gaps.over([part.server_us for part in slices]),
            "",
            control,
            beside=f"longest {longest} µs; without: "
            f"{gaps.over([p.server_us for s in without for p in s.slices])}; control: {control}",
        ),
        Figure("p99.9 of GET against that without", p999, "", P999_GOAL),
        Figure("memory under uniform overwrite, against before", overwritten, "", MEMORY_GOAL),
    ]


if __name__ == "__main__":
    main(__doc__, starts, rewriting)
