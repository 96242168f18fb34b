"""Hit rates of a cache under maxmemory, on Zipf traces, beside redis-server with as many keys.

A trace is replayed as a cache is used: GET, and SET behind a miss. Redis and kevyrt need different
memory per key, so a budget in bytes would compare that: each server's budget is first adjusted
until it keeps the same number of keys. The clock of LRU counts seconds, so the trace is replayed
at a pace that takes several.
"""

from __future__ import annotations

import bisect
import contextlib
import itertools
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from harness import REDIS, Subject, apart, running
from report import Figure, Options, Section, Table, main
from resp import Wire

KEYS = 100_000
KEPT = 10_000
STEPS = 300_000
QUICK_STEPS = 60_000
PIPELINE = 100
TRIALS = 8
PACE_S = 12.0
QUICK_PACE_S = 3.0
VALUE = b"v" * 64
EXPONENTS = (0.7, 1.0, 1.3)
POLICIES = ("allkeys-lru", "allkeys-lfu", "allkeys-random")
SUBJECTS = (REDIS, Subject("kevyrt"), Subject("kevyrt", threads=2))
SHIFT = 4  # the trace's favourites change so many times


def _trace(exponent: float, steps: int) -> list[int]:
    """Zipf draws whose ranks belong to other keys in each part of the trace."""
    weights = itertools.accumulate((rank + 1) ** -exponent for rank in range(KEYS))
    cumulated = list(weights)
    draws = random.Random(7)
    keys = []
    for part in range(SHIFT):
        names = list(range(KEYS))
        random.Random(part // 2).shuffle(names)
        for _ in range(steps // SHIFT):
            rank = bisect.bisect_left(cumulated, draws.random() * cumulated[-1])
            keys.append(names[min(rank, KEYS - 1)])
    return keys


def _name(key: int) -> bytes:
    return b"key:%012d" % key


def _used(wire: Wire) -> int:
    return int(wire.info("memory")["used_memory"])


def _kept(wire: Wire) -> int:
    """How many keys of a stream of new ones stay."""
    for first in range(0, 3 * KEPT, PIPELINE):
        wire.pipeline([("SET", _name(KEYS + i), VALUE) for i in range(first, first + PIPELINE)])
    return wire.call("DBSIZE")


def _set_budget(wire: Wire, policy: str) -> None:
    """As many bytes as KEPT keys need here, found by trial."""
    wire.call("FLUSHALL")
    wire.call("CONFIG", "SET", "maxmemory", 0, "maxmemory-policy", policy)
    empty = _used(wire)
    for first in range(0, KEPT, PIPELINE):
        wire.pipeline([("SET", _name(i), VALUE) for i in range(first, first + PIPELINE)])
    budget, closest = _used(wire), (KEYS, 0)
    for _ in range(TRIALS):
        wire.call("CONFIG", "SET", "maxmemory", budget)
        short = KEPT - _kept(wire)
        closest = min(closest, (abs(short), budget))
        budget += short * (budget - empty) // KEPT
    wire.call("CONFIG", "SET", "maxmemory", closest[1])
    wire.call("FLUSHALL")


class Cache:
    """A server in use as a cache."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.hits = self.asked = 0

    def ask(self, keys: Sequence[int], counts: bool) -> None:
        values = self.wire.pipeline([("GET", _name(key)) for key in keys])
        missing = [key for key, value in zip(keys, values, strict=True) if value is None]
        if missing:
            self.wire.pipeline([("SET", _name(key), VALUE) for key in missing])
        if counts:
            self.asked += len(keys)
            self.hits += len(keys) - len(missing)

    @property
    def rate(self) -> float:
        return self.hits / self.asked


def _replay(caches: Sequence[Cache], trace: Sequence[int], pace_s: float) -> None:
    """All caches side by side; hits count behind the first quarter."""
    start = time.monotonic()
    for first in range(0, len(trace), PIPELINE):
        for cache in caches:
            cache.ask(trace[first : first + PIPELINE], first >= len(trace) // 4)
        ahead = pace_s * first / len(trace) - (time.monotonic() - start)
        if ahead > 0.002:
            time.sleep(ahead)


@dataclass(frozen=True)
class Result:
    policy: str
    exponent: float
    rates: dict[Subject, float]
    kept: dict[Subject, int]

    def row(self) -> list[str]:
        shown = [f"{rate:.4f} ({self.kept[subject]:,})" for subject, rate in self.rates.items()]
        return [self.policy, str(self.exponent), *shown]

    def ratios(self) -> list[float]:
        """Ours over Redis's."""
        return [rate / self.rates[REDIS] for key, rate in self.rates.items() if key != REDIS]


def _measure(wires: dict[Subject, Wire], policy: str, exponent: float, options: Options) -> Result:
    trace = _trace(exponent, QUICK_STEPS if options.quick else STEPS)
    caches = {}
    for subject, wire in wires.items():
        _set_budget(wire, policy)
        caches[subject] = Cache(wire)
    _replay(list(caches.values()), trace, QUICK_PACE_S if options.quick else PACE_S)
    kept = {subject: wire.call("DBSIZE") for subject, wire in wires.items()}
    return Result(policy, exponent, {key: cache.rate for key, cache in caches.items()}, kept)


def _figures(results: Sequence[Result]) -> list[Figure]:
    ratios = [ratio for result in results for ratio in result.ratios()]
    mean = statistics.mean(ratios) if ratios else None
    return [
        Figure("hit rate over Redis's, mean", mean, "", 1.0, at_least=True),
        Figure("hit rate over Redis's, least", min(ratios, default=None), ""),
    ]


def eviction(options: Options) -> Section:
    exponents = EXPONENTS[1:2] if options.quick else EXPONENTS
    with contextlib.ExitStack() as stack:
        servers, missing = stack.enter_context(running(SUBJECTS, apart().server))
        wires = {key: stack.enter_context(server.connect()) for key, server in servers.items()}
        results = [
            _measure(wires, policy, exponent, options)
            for policy in POLICIES
            for exponent in exponents
        ]
    headers = ("policy", "exponent", *(f"{subject.name} (keys kept)" for subject in wires))
    table = Table("Hit rates", headers, [result.row() for result in results])
    notes = [
        f"{KEYS:,} keys, of which about {KEPT:,} fit; {STEPS:,} steps in {PACE_S:.0f} s.",
        *(f"not measured: {reason}" for reason in missing),
    ]
    return Section("Eviction", _figures(results), [table], notes)


if __name__ == "__main__":
    main(__doc__, eviction)
