"""Many keys with one call in process: MGET, MSET and pipelines; and the other commands one by one.

What a hundred of them take is divided by a hundred. A pipeline's figure has everything in it: the
Python loop, the method that queues, and execute().
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness import KEY_FORMAT, VALUE_BYTES, WrongData, find_kevyrt, median
from report import Figure, Options, Section, Table, main, number

COUNT = 100  # commands of a batch
BATCHES = 400  # of a timed loop
CALLS = 40_000  # the same of single calls
REPEATS = 3
GOAL_NS = 40.0
VALUE = b"b" * VALUE_BYTES

Run = Callable[[], Any]


@dataclass(frozen=True)
class Work:
    """What is timed, how many commands it is, and what its result has to be."""

    name: str
    run: Run
    commands: int
    expected: Any


def _pipelined(pipe: Any, method: str, calls: list[tuple[Any, ...]]) -> Run:
    def run() -> Any:
        queue = getattr(pipe, method)
        for words in calls:
            queue(*words)
        return pipe.execute()

    return run


def _batches(server: Any, keys: list[bytes]) -> list[Work]:
    plain = dict.fromkeys(keys, VALUE)
    gets, sets = [(key,) for key in keys], [(key, VALUE) for key in keys]
    values, done = [VALUE] * COUNT, [True] * COUNT
    atomic, loose = server.pipeline(), server.pipeline(transaction=False)
    return [
        Work("mget", lambda: server.mget(keys), COUNT, values),
        Work("mset", lambda: server.mset(plain), COUNT, True),
        Work("pipeline of get", _pipelined(loose, "get", gets), COUNT, values),
        Work("pipeline of set", _pipelined(loose, "set", sets), COUNT, done),
        Work("transaction of get", _pipelined(atomic, "get", gets), COUNT, values),
        Work("transaction of set", _pipelined(atomic, "set", sets), COUNT, done),
        Work("get, one by one", lambda: [server.get(key) for key in keys], COUNT, values),
        Work("dict, one by one", lambda: [plain.get(key) for key in keys], COUNT, values),
    ]


def _cached(keys: list[bytes]) -> list[Work]:
    try:
        import cachetools
    except ImportError:
        return []
    cache = cachetools.TTLCache(2 * COUNT, 3600)
    cache.update(dict.fromkeys(keys, VALUE))
    read = lambda: [cache[key] for key in keys]  # noqa: E731
    return [Work("cachetools TTLCache, one by one", read, COUNT, [VALUE] * COUNT)]


def _singles(server: Any) -> list[Work]:
    server.set("n", 0)
    server.hset("h", "f", VALUE)
    server.sadd("s", "m")
    server.zadd("z", {"m": 1})
    server.rpush("l", *[VALUE] * 10)
    calls: list[tuple[str, Run, Any]] = [
        ("get", lambda: server.get("n"), None),
        ("set", lambda: server.set("k", VALUE), True),
        ("set with ex", lambda: server.set("k", VALUE, ex=100), True),
        ("delete, no such key", lambda: server.delete("none"), 0),
        ("exists", lambda: server.exists("n"), 1),
        ("incr", lambda: server.incr("n"), None),
        ("hget", lambda: server.hget("h", "f"), VALUE),
        ("hset", lambda: server.hset("h", "f", VALUE), 0),
        ("expire", lambda: server.expire("h", 1000), True),
        ("ttl", lambda: server.ttl("n"), -1),
        ("lpush and rpop", lambda: (server.lpush("l", VALUE), server.rpop("l"))[1], VALUE),
        ("sadd", lambda: server.sadd("s", "m"), 0),
        ("zadd", lambda: server.zadd("z", {"m": 1}), 0),
        ("a call of nothing", lambda: None, None),
    ]
    return [Work(name, run, 1, expected) for name, run, expected in calls]


def _time(work: Work, times: int) -> float:
    run = work.run
    began = time.perf_counter_ns()
    for _ in range(times):
        run()
    return (time.perf_counter_ns() - began) / times / work.commands


def _measure(works: list[Work], times: int, rounds: int) -> dict[str, float]:
    """Interleaves them and takes the medians; each one's result is looked at as well."""
    seen: dict[str, list[float]] = {work.name: [] for work in works}
    for _ in range(rounds * REPEATS):
        for work in works:
            result = work.run()
            if work.expected is not None and result != work.expected:
                raise WrongData(f"{work.name}: {result!r}, not {work.expected!r}")
            seen[work.name].append(_time(work, times))
    return {name: median(values) for name, values in seen.items()}


def batches(options: Options) -> Section:
    share = 10 if options.quick else 1
    keys = [KEY_FORMAT.format(i).encode() for i in range(COUNT)]
    with find_kevyrt().Server() as server:
        for key in keys:
            server.set(key, VALUE)
        many = _measure([*_batches(server, keys), *_cached(keys)], BATCHES // share, options.rounds)
        single = _measure(_singles(server), CALLS // share, options.rounds)
        if server.mget(keys) != [VALUE] * COUNT:
            raise WrongData("kevyrt: a key does not hold the value that was set")
    beside = f"dict {number(many['dict, one by one'])} ns"
    figures = [
        Figure(f"mget of {COUNT}, each", many["mget"], "ns", GOAL_NS, beside=beside),
        Figure(f"pipeline of {COUNT} gets, each", many["pipeline of get"], "ns", GOAL_NS),
    ]
    tables = [
        Table(f"Nanoseconds for each of {COUNT}", ("way", "ns"), _rows(many)),
        Table("Nanoseconds for a call, with that of a lambda", ("call", "ns"), _rows(single)),
    ]
    return Section("In process, many keys", figures, tables, [], [many, single])


def _rows(times: dict[str, float]) -> list[list[str]]:
    return [[name, number(value)] for name, value in times.items()]


if __name__ == "__main__":
    main(__doc__, batches)
