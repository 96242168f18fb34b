"""In-process calls: their price, their delay while the wire is busy, and what they cost the wire.

A call is timed in a loop of many and the same loop without a call is subtracted.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import itertools
import os
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import loadgen
from harness import (
    KEY_FORMAT,
    VALUE_BYTES,
    WrongData,
    find_kevyrt,
    median,
    paired_ratio,
    percentile,
    thread_cpu_ns,
)
from report import Figure, Options, Section, Table, main, number

KEYS = 100_000
HOT_CALLS = 200_000
REPEATS = 3  # of every timed loop in a round
VALUE = b"i" * VALUE_BYTES
GET_HOT_GOAL_NS = 80.0
GET_RANDOM_GOAL_NS = 250.0
SET_GOAL_NS = 100.0

PACE_NS = 100_000
PACED_CALLS = 50_000
PACED_GOAL_US = 150.0
MGET_KEYS = 2_000
SLOW_CLIENTS = 2
PIPELINE = 64

TIGHT_REQUESTS = 2_000_000
TIGHT_BURST = 1_000
TIGHT_THROUGHPUT_GOAL = 0.80
TIGHT_CPU_GOAL = 1.20
PR_SET_TIMERSLACK = 29

Get = Callable[[bytes], Any]
Set = Callable[[bytes, bytes], Any]


# The price of a call


@dataclass(frozen=True)
class Cache:
    name: str
    get: Get
    set: Set | None


def _lru_cached(keys: Sequence[bytes]) -> Get:
    cached = functools.lru_cache(maxsize=2 * len(keys))(lambda key: VALUE)
    for key in keys:
        cached(key)
    return cached


def _cachetools(keys: Sequence[bytes]) -> list[Cache]:
    try:
        import cachetools
    except ImportError:
        return []
    caches = {
        "cachetools LRUCache": cachetools.LRUCache(2 * len(keys)),
        "cachetools TTLCache": cachetools.TTLCache(2 * len(keys), 3600),
    }
    for cache in caches.values():
        cache.update(dict.fromkeys(keys, VALUE))
    return [Cache(name, c.__getitem__, c.__setitem__) for name, c in caches.items()]


def _caches(server: Any, keys: Sequence[bytes]) -> list[Cache]:
    plain = dict.fromkeys(keys, VALUE)
    return [
        Cache("kevyrt", server.get, server.set),
        Cache("dict", plain.get, plain.__setitem__),
        Cache("functools.lru_cache", _lru_cached(keys), None),
        *_cachetools(keys),
        Cache("an empty C call", callable, None),
    ]


def _time_loop(keys: Iterable[bytes]) -> int:
    began = time.perf_counter_ns()
    for _ in keys:
        pass
    return time.perf_counter_ns() - began


def _time_gets(get: Get, keys: Iterable[bytes]) -> int:
    began = time.perf_counter_ns()
    for key in keys:
        get(key)
    return time.perf_counter_ns() - began


def _time_sets(store: Set, keys: Iterable[bytes]) -> int:
    value = VALUE
    began = time.perf_counter_ns()
    for key in keys:
        store(key, value)
    return time.perf_counter_ns() - began


@dataclass(frozen=True)
class Price:
    """Nanoseconds: the loop alone, and each cache's call with the loop subtracted."""

    loop: float
    calls: dict[str, float]


def _price(
    calls: dict[str, Callable[[Iterable[bytes]], int]],
    keys: Callable[[], Iterable[bytes]],
    count: int,
    rounds: int,
) -> Price:
    """Interleaves the calls round by round and takes the medians."""
    loops: list[float] = []
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds * REPEATS):
        loops.append(_time_loop(keys()) / count)
        for name, timed in calls.items():
            times[name].append(timed(keys()) / count)
    loop = median(loops)
    return Price(loop, {name: median(values) - loop for name, values in times.items()})


def _fresh(keys: Sequence[bytes]) -> list[bytes]:
    """Equal keys in objects of their own, allocated in this order: a caller's key is new and near,
    so the misses that a loop over them measures are the cache's own."""
    return [bytes(bytearray(key)) for key in keys]


def _prices(server: Any, options: Options) -> dict[str, Price]:
    keys = [KEY_FORMAT.format(number).encode() for number in range(KEYS)]
    for key in keys:
        server.set(key, VALUE)
    shuffled = _fresh(random.sample(keys, KEYS))
    caches = _caches(server, keys)
    gets = {c.name: functools.partial(_time_gets, c.get) for c in caches}
    sets = {c.name: functools.partial(_time_sets, c.set) for c in caches if c.set}
    count = HOT_CALLS // (10 if options.quick else 1)

    def hot() -> Iterable[bytes]:
        return itertools.repeat(keys[0], count)

    prices = {
        "get, one hot key": _price(gets, hot, count, options.rounds),
        "get, random keys": _price(gets, lambda: shuffled, KEYS, options.rounds),
        "set, one hot key": _price(sets, hot, count, options.rounds),
        "set, random keys": _price(sets, lambda: shuffled, KEYS, options.rounds),
    }
    if not all(server.get(key) == VALUE for key in keys):
        raise WrongData("kevyrt: a key does not hold the value that was set in process")
    return prices


def _price_figures(prices: dict[str, Price]) -> list[Figure]:
    goals = {
        "get, one hot key": GET_HOT_GOAL_NS,
        "get, random keys": GET_RANDOM_GOAL_NS,
        "set, one hot key": SET_GOAL_NS,
    }
    return [
        Figure(
            what,
            prices[what].calls["kevyrt"],
            "ns",
            goal,
            beside=f"dict {number(prices[what].calls['dict'])} ns",
        )
        for what, goal in goals.items()
    ]


def _price_table(prices: dict[str, Price]) -> Table:
    names = prices["get, one hot key"].calls
    rows = [[name, *(number(p.calls.get(name)) for p in prices.values())] for name in names]
    rows.append(["the loop, already subtracted", *(number(p.loop) for p in prices.values())])
    return Table("Nanoseconds for a call", ("call", *prices), rows)


# A server in this process, its shard on a core of its own


@dataclass(frozen=True)
class Host:
    """A server in this process; the load and the caller run on other cores than its shard."""

    server: Any
    shard_threads: frozenset[int]
    load_cores: tuple[int, ...]
    where: str

    def shard_cpu_ns(self) -> int:
        times = thread_cpu_ns(os.getpid())
        return sum(times[thread] for thread in self.shard_threads)


@contextlib.contextmanager
def _hosted() -> Iterator[Host]:
    """Threads inherit the cores of the thread that starts them: first the shard's, then ours."""
    usable = sorted(os.sched_getaffinity(0))
    shard, load = usable[0], usable[1 % len(usable)]
    caller = usable[2 % len(usable)] if len(usable) > 2 else load
    before = set(thread_cpu_ns(os.getpid()))
    os.sched_setaffinity(0, {shard})
    try:
        with find_kevyrt().Server() as server:
            os.sched_setaffinity(0, {caller})
            threads = frozenset(set(thread_cpu_ns(os.getpid())) - before)
            for number in range(KEYS):
                server.set(KEY_FORMAT.format(number).encode(), VALUE)
            where = f"shard on core {shard}, load on core {load}, caller on core {caller}."
            yield Host(server, threads, (load,), where)
    finally:
        os.sched_setaffinity(0, usable)


# The delay of a paced call while the wire is busy


def _paced_us(get: Get, calls: int) -> list[float]:
    """Each call by itself, one per slot of 100 us; a late one skips the slots that it missed."""
    key = KEY_FORMAT.format(0).encode()
    clock = time.perf_counter_ns
    delays = []
    slot = clock()
    for _ in range(calls):
        slot += PACE_NS
        early = slot - clock()
        if early > 0:
            time.sleep(early / 1e9)
        else:
            slot -= early
        began = clock()
        get(key)
        delays.append((clock() - began) / 1e3)
    return delays


def _slow_command() -> list[str]:
    return ["MGET", *["key:__rand_int__"] * MGET_KEYS]


def _delays(host: Host, slow: bool, calls: int) -> dict[str, list[float]]:
    port, cores = host.server.port, host.load_cores
    with contextlib.ExitStack() as loads:
        loads.enter_context(loadgen.endless(port, ["-t", "set"], PIPELINE, KEYS, cores))
        if slow:
            slowly = loadgen.endless(port, _slow_command(), 1, KEYS, cores, SLOW_CLIENTS)
            loads.enter_context(slowly)
        time.sleep(0.5)  # the loads connect
        return {
            "get": _paced_us(host.server.get, calls),
            "an empty call": _paced_us(callable, calls),
        }


def _delay_row(load: str, call: str, delays: Sequence[float]) -> list[str]:
    return [load, call, *(number(percentile(delays, p)) for p in (50, 99, 99.9, 100))]


def _delay_report(host: Host, options: Options, section: Section) -> None:
    calls = PACED_CALLS // (10 if options.quick else 1)
    rows = []
    for load, slow in (("SET P=64", False), (f"SET P=64 and MGET of {MGET_KEYS:,}", True)):
        delays = _delays(host, slow, calls)
        ours, control = (percentile(delays[name], 99) for name in ("get", "an empty call"))
        beside = f"an empty call {number(control)} µs"
        what = f"one get per 100 µs beside {load}: p99"
        section.figures.append(Figure(what, ours, "µs", PACED_GOAL_US, beside=beside))
        rows += [_delay_row(load, name, values) for name, values in delays.items()]
    headers = ("load", "call", "p50", "p99", "p99.9", "longest")
    section.tables.append(Table("Microseconds of a call while the wire is busy", headers, rows))


# What a caller in a tight loop costs the wire


@contextlib.contextmanager
def _calling(call: Get | None) -> Iterator[None]:
    """A thread that does nothing but call, for as long as the block lasts."""
    ended = threading.Event()
    key = KEY_FORMAT.format(0).encode()

    def loop() -> None:
        while not ended.is_set():
            for _ in range(TIGHT_BURST):
                call(key)

    if call is None:
        yield
        return
    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@dataclass(frozen=True)
class WireRun:
    """What the wire did while a caller called: requests per second, the shard's CPU per command."""

    caller: str
    rps: float
    shard_ns: float


def _wire_beside(host: Host, caller: str, call: Get | None, requests: int) -> WireRun:
    with _calling(call):
        before = host.shard_cpu_ns()
        load = loadgen.run(host.server.port, "set", PIPELINE, requests, KEYS, host.load_cores)
        return WireRun(caller, load.rps, (host.shard_cpu_ns() - before) / requests)


def _tight_report(host: Host, options: Options, section: Section) -> None:
    requests = TIGHT_REQUESTS // (10 if options.quick else 1)
    requests = loadgen.whole_batches(requests, PIPELINE)
    callers = {"no caller": None, "an empty call": callable, "get": host.server.get}
    seen: dict[str, list[WireRun]] = {name: [] for name in callers}
    for _ in range(options.rounds):
        for name, call in callers.items():
            seen[name].append(_wire_beside(host, name, call, requests))
    for field, what, goal, at_least in (
        ("rps", "throughput", TIGHT_THROUGHPUT_GOAL, True),
        ("shard_ns", "shard CPU per command", TIGHT_CPU_GOAL, False),
    ):
        values = {name: [getattr(run, field) for run in runs] for name, runs in seen.items()}
        ratio = paired_ratio(values["get"], values["an empty call"])
        alone = paired_ratio(values["get"], values["no caller"])
        name = f"the wire's {what} beside a tight loop of get, against one of empty calls"
        beside = f"against no caller {number(alone)}"
        section.figures.append(Figure(name, ratio, "", goal, at_least, beside))
    rows = [
        [name, number(median([r.rps for r in runs])), number(median([r.shard_ns for r in runs]))]
        for name, runs in seen.items()
    ]
    headers = ("caller in a tight loop", "SET P=64 requests/s", "shard CPU ns")
    section.tables.append(Table("The wire beside a tight loop", headers, rows))
    section.raw += [vars(run) for runs in seen.values() for run in runs]


# The report


def calls(options: Options) -> Section:
    with find_kevyrt().Server() as server:
        prices = _prices(server, options)
    raw = [{"what": what, "loop": p.loop, **p.calls} for what, p in prices.items()]
    title = "In process, the server idle"
    return Section(title, _price_figures(prices), [_price_table(prices)], [], raw)


def under_load(options: Options) -> Section:
    ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)  # sleep to the slot, not 50 us past it
    section = Section("In process, the wire busy")
    with _hosted() as host:
        section.notes.append(host.where)
        _delay_report(host, options, section)
        _tight_report(host, options, section)
    return section


if __name__ == "__main__":
    main(__doc__, calls, under_load)
