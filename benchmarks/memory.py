"""Resident bytes per key of 16-byte keys with 64-byte values, beside redis-server.

At a million keys, in the worst phase between 0.5 and 4 million, and at the peak while growing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness import (
    REDIS,
    ServerProcess,
    Subject,
    apart,
    fill,
    forget_peak,
    memory_bytes,
    read_values,
    require_key_count,
    running,
)
from report import Figure, Options, Section, Table, main, number

MILLION = 1_000_000
PHASE_FROM = 500_000
PHASE_TO = 4 * MILLION
STEP = 25_000
QUICK_STEP = 250_000
AT_MILLION_GOAL = 105.0
WORST_GOAL = 110.0
PEAK_GOAL = 115.0
LETTER = "m"
OURS = Subject("kevyrt")


@dataclass(frozen=True)
class Sample:
    """What a server of this many keys holds, over what it held without any."""

    keys: int
    resident_per_key: float
    peak_per_key: float


def _check(server: ServerProcess, keys: int) -> None:
    with server.connect() as wire:
        require_key_count(server, wire, keys)
        read_values(server, wire, range(0, keys, max(keys // 1_000, 1)))


def _grow(server: ServerProcess, step: int, cores: Sequence[int]) -> list[Sample]:
    """Fills step by step, a sample after each."""
    forget_peak(server.pid)
    empty = memory_bytes(server.pid, "VmRSS")
    samples = []
    for first in range(0, PHASE_TO, step):
        fill(server, first, step, cores, LETTER)
        keys = first + step
        resident = memory_bytes(server.pid, "VmRSS") - empty
        peak = memory_bytes(server.pid, "VmHWM") - empty
        samples.append(Sample(keys, resident / keys, peak / keys))
    _check(server, PHASE_TO)
    return samples


@dataclass(frozen=True)
class Extremes:
    at_million: float
    worst: Sample
    peak: Sample


def _extremes(samples: Sequence[Sample]) -> Extremes:
    phase = [sample for sample in samples if sample.keys >= PHASE_FROM]
    return Extremes(
        at_million=next(s.resident_per_key for s in phase if s.keys == MILLION),
        worst=max(phase, key=lambda sample: sample.resident_per_key),
        peak=max(phase, key=lambda sample: sample.peak_per_key),
    )


def _figures(extremes: dict[Subject, Extremes]) -> list[Figure]:
    ours = extremes.get(OURS)
    redis = extremes.get(REDIS)
    rows = (
        ("Resident at a million keys", AT_MILLION_GOAL, lambda e: e.at_million),
        ("Worst phase, 0.5 to 4 million", WORST_GOAL, lambda e: e.worst.resident_per_key),
        ("Peak while growing", PEAK_GOAL, lambda e: e.peak.peak_per_key),
    )
    return [
        Figure(
            what,
            value(ours) if ours else None,
            "bytes per key",
            goal,
            beside=f"redis {number(value(redis))}" if redis else "",
        )
        for what, goal, value in rows
    ]


def _row(subject: Subject, e: Extremes) -> list[str]:
    worst = f"{number(e.worst.resident_per_key)} at {e.worst.keys:,}"
    peak = f"{number(e.peak.peak_per_key)} at {e.peak.keys:,}"
    return [subject.name, number(e.at_million), worst, peak]


def memory(options: Options) -> Section:
    at = apart()
    step = QUICK_STEP if options.quick else STEP
    extremes: dict[Subject, Extremes] = {}
    raw = []
    with running((REDIS, OURS), at.server) as (servers, missing):
        for subject, server in servers.items():
            samples = _grow(server, step, at.client)
            extremes[subject] = _extremes(samples)
            raw += [{"subject": subject.name, **vars(sample)} for sample in samples]
    headers = ("subject", "at a million", "worst phase", "peak")
    rows = [_row(subject, found) for subject, found in extremes.items()]
    table = Table("Bytes per key over the empty server", headers, rows)
    notes = [f"sampled every {step:,} keys.", *(f"not measured: {reason}" for reason in missing)]
    return Section("Memory", _figures(extremes), [table], notes, raw)


if __name__ == "__main__":
    main(__doc__, memory)
