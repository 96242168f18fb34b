"""How long calls took: distributions that can be added, subtracted and asked for percentiles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, repr=False)
class Latency:
    """How many calls took how long.

    Times are of the command alone, without sockets and without what a client does. Of short
    commands one call in eight is measured, and stands for the others. Times are rounded up by at
    most 1/32; what takes longer than a second counts as 1.07 seconds.

    Attributes:
        counts: pairs (longest time in nanoseconds, calls) in ascending order; a call that took so
            long, and longer than the pair before says, counts in it.

    >>> latency = Latency(((100, 90), (2000, 10)))
    >>> latency.count, latency.percentile(50), latency.percentile(99)
    (100, 100, 2000)
    """

    counts: tuple[tuple[int, int], ...] = ()

    @property
    def count(self) -> int:
        """How many calls there were."""
        return sum(calls for _, calls in self.counts)

    def percentile(self, percent: float) -> int | None:
        """The time in nanoseconds that `percent` (0 to 100) of the calls did not exceed.

        None if there were none, or `latency-tracking` is off.
        """
        wanted, seen = percent / 100 * self.count, 0
        for ns, calls in self.counts:
            seen += calls
            if seen >= wanted:
                return ns
        return None

    @property
    def p50_ns(self) -> int | None:
        """The median, in nanoseconds; None without calls."""
        return self.percentile(50)

    @property
    def p99_ns(self) -> int | None:
        """What 99 of 100 calls did not exceed, in nanoseconds; None without calls."""
        return self.percentile(99)

    @property
    def p999_ns(self) -> int | None:
        """What 999 of 1000 calls did not exceed, in nanoseconds; None without calls."""
        return self.percentile(99.9)

    def __add__(self, other: Latency) -> Latency:
        return Latency.sum((self, other))

    def __sub__(self, earlier: Latency) -> Latency:
        """The calls since `earlier`. Everything, if the counts began anew since."""
        before: Mapping[int, int] = dict(earlier.counts)
        now = dict(self.counts)
        if any(now.get(ns, 0) < calls for ns, calls in before.items()):
            return self
        left = ((ns, calls - before.get(ns, 0)) for ns, calls in self.counts)
        return Latency(tuple((ns, calls) for ns, calls in left if calls))

    @staticmethod
    def sum(parts: Iterable[Latency]) -> Latency:
        """All of them together."""
        sums: dict[int, int] = {}
        for part in parts:
            for ns, calls in part.counts:
                sums[ns] = sums.get(ns, 0) + calls
        return Latency(tuple(sorted(sums.items())))

    def __repr__(self) -> str:
        return (
            f"<kevyrt.Latency {self.count} calls, p50 {self.p50_ns} ns, p99 {self.p99_ns} ns, "
            f"p99.9 {self.p999_ns} ns>"
        )
