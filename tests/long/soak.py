"""Nothing grows: over a hundred thousand starts and stops, and over ten million calls.

    ./test --long soak [--rounds STARTS]

After a warm-up, descriptors, threads and mappings are what they were, and memory is flat: no later
tenth of the run needs more than the first one but for a little.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "python"))

from hammering import Hammer, hectic
from leaks import CALLS, Kit, start_and_stop, total_references
from resources import Held, held, settled

import kevyrt

STARTS = 100_000
CALLS_IN_ALL = 10_000_000
TENTHS = 10
GROWTH_ALLOWED = 4 << 20
MAPPINGS_ALLOWED = 16


def check_flat(seen: list[Held], what: str) -> None:
    first, last = seen[0], seen[-1]
    print(what, *(f"{at.rss_bytes >> 10}K/{at.mappings}" for at in seen))
    assert last.descriptors == first.descriptors, seen
    assert last.threads == first.threads, seen
    assert last.mappings <= first.mappings + MAPPINGS_ALLOWED, seen
    # Late growth is a leak; what only the first tenths add is the allocator finding its size.
    half = seen[len(seen) // 2]
    assert last.rss_bytes - half.rss_bytes < GROWTH_ALLOWED, seen


def tenths(work: Callable[[], object], times: int) -> list[Held]:
    """What is held behind each tenth, of which the first is the warm-up."""
    seen: list[Held] = []
    for _ in range(TENTHS + 1):
        for _ in range(times // TENTHS):
            work()
        first = seen[0] if seen else held()
        seen.append(settled(first.threads, first.mappings + MAPPINGS_ALLOWED))
    return seen


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("io", ["io_uring", "epoll"])
def test_starts_and_stops(io: Any, threads: int, pytestconfig: pytest.Config) -> None:
    """Together they are a hundred thousand, each with a call and a client."""
    times = (pytestconfig.getoption("--rounds") or STARTS) // 4
    began = time.monotonic()
    check_flat(tenths(lambda: start_and_stop(io, threads), times), f"{io} {threads}")
    print(f"{times * (TENTHS + 1) // TENTHS} starts in {time.monotonic() - began:.0f} s")


@pytest.mark.timeout(7200)
def test_starts_with_a_log(pytestconfig: pytest.Config) -> None:
    times = (pytestconfig.getoption("--rounds") or STARTS) // 20
    with tempfile.TemporaryDirectory() as folder:

        def work() -> None:
            with kevyrt.Server(port=None, appendonly=True, dir=folder) as server:
                server.set("k", "v")

        check_flat(tenths(work, times), "with a log")


def plain_calls(server: kevyrt.Server) -> Callable[[], None]:
    """Five calls of those that are called most."""
    get, put, execute = server.get, server.set, server.execute
    value = os.urandom(300)

    def work() -> None:
        put("key", value)
        get("key")
        execute("INCR", "n")
        execute("MGET", "key", "n", "nobody")
        get("nobody")

    return work


@pytest.mark.timeout(7200)
def test_ten_million_calls() -> None:
    with kevyrt.Server(threads=2) as server:
        before = total_references()
        check_flat(tenths(plain_calls(server), CALLS_IN_ALL // 5), "ten million calls")
        after = total_references()
    assert after - before < 10_000


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", CALLS)
def test_calls_of_every_kind(name: str, pytestconfig: pytest.Config) -> None:
    times = (pytestconfig.getoption("--rounds") or STARTS) // (20 if name == "copies" else 5)
    with kevyrt.Server(threads=2) as server, Kit(server) as kit:
        check_flat(tenths(lambda: CALLS[name](kit), times), name)


@pytest.fixture
def deadline(duration_s: float) -> Iterator[float]:
    yield time.monotonic() + duration_s


@pytest.mark.timeout(0)
def test_hammering(deadline: float, seed: int) -> None:
    """The invariants of tests/python/hammering.py, for as long as --minutes says."""
    threads = threading.active_count()
    rounds = 0
    while time.monotonic() < deadline:
        settings: dict[str, Any] = {"threads": 1 + rounds % 4, "io": ["auto", "epoll"][rounds % 2]}
        with kevyrt.Server(**settings) as server, hectic():
            Hammer(server, turns=1500, seed=seed + rounds).play()
        rounds += 1
    assert threading.active_count() <= threads
    print(f"{rounds} rounds")
