"""redis-py to a server in the process, over a socket pair, beside redis-py to redis-server.

redis-server is reached by a Unix socket. Both ends may use all cores: a client and its server take
turns, and where the kernel lets them do so is part of what a call costs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import (
    KEY_FORMAT,
    VALUE_BYTES,
    ServerProcess,
    Subject,
    Unavailable,
    WrongData,
    find_kevyrt,
    median,
    paired_ratio,
    thread_cpu_ns,
)
from report import Figure, Options, Section, Table, main, number

KEYS = 1_000
CALLS = 2_000
QUICK_CALLS = 200
REPEATS = 5  # turns of each subject in a round
PIPELINE = 100
GOAL = 1.0
OURS, THEIRS = "kevyrt", "redis-server"
IOS = ("io_uring", "epoll")
WORK = ("get", "set", f"pipeline of {PIPELINE} gets, each", "asyncio get")


def _value(index: int) -> bytes:
    return f"{index:0{VALUE_BYTES}d}".encode()


@dataclass
class Subjects:
    """The clients of a server, and the processes that work for them."""

    name: str
    client: Any
    async_client: Callable[[], Any]
    pids: tuple[int, ...]
    time_us: dict[str, list[float]] = field(default_factory=dict)
    cpu_us: dict[str, list[float]] = field(default_factory=dict)

    def note(self, work: str, calls: int, run: Callable[[], None]) -> None:
        cpu = self._cpu_ns()
        began = time.perf_counter_ns()
        run()
        elapsed = time.perf_counter_ns() - began
        spent = self._cpu_ns() - cpu
        self.time_us.setdefault(work, []).append(elapsed / calls / 1e3)
        self.cpu_us.setdefault(work, []).append(spent / calls / 1e3)

    def _cpu_ns(self) -> int:
        return sum(sum(thread_cpu_ns(pid).values()) for pid in self.pids)


def _import_redis() -> Any:
    try:
        import redis
        import redis.asyncio
    except ImportError as error:
        raise Unavailable(f"redis-py does not import in {sys.executable}: {error}") from None
    return redis


@contextlib.contextmanager
def _subjects() -> Iterator[list[Subjects]]:
    """One of each reactor in this process, and redis-server; idle but for their turns."""
    redis, kevyrt, own = _import_redis(), find_kevyrt(), os.getpid()
    cores = sorted(os.sched_getaffinity(0))
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="krt-"))
        path = str(Path(folder) / "s")
        process = ServerProcess(Subject("redis", options=("--unixsocket", path)), cores)
        stack.enter_context(process)
        found = []
        for io in IOS:
            try:
                server = stack.enter_context(kevyrt.Server(port=None, io=io))
            except OSError:
                continue
            found.append(Subjects(f"{OURS} {io}", server.client(), server.async_client, (own,)))
        found.append(
            Subjects(
                THEIRS,
                redis.Redis(unix_socket_path=path),
                lambda: redis.asyncio.Redis(unix_socket_path=path),
                (own, process.pid),
            )
        )
        yield found
        for subject in found:
            subject.client.close()


def _gets(client: Any, keys: list[str]) -> None:
    for key in keys:
        client.get(key)


def _sets(client: Any, keys: list[str], values: list[bytes]) -> None:
    for key, value in zip(keys, values, strict=True):
        client.set(key, value)


def _pipelines(client: Any, keys: list[str]) -> None:
    for first in range(0, len(keys), PIPELINE):
        with client.pipeline(transaction=False) as pipe:
            for key in keys[first : first + PIPELINE]:
                pipe.get(key)
            pipe.execute()


async def _async_gets(subject: Subjects, keys: list[str]) -> None:
    """Connects first, which is not timed."""
    async with subject.async_client() as client:
        await client.get(keys[0])
        cpu, began = subject._cpu_ns(), time.perf_counter_ns()
        for key in keys:
            await client.get(key)
        elapsed, spent = time.perf_counter_ns() - began, subject._cpu_ns() - cpu
    subject.time_us.setdefault(WORK[3], []).append(elapsed / len(keys) / 1e3)
    subject.cpu_us.setdefault(WORK[3], []).append(spent / len(keys) / 1e3)


def _turn(subject: Subjects, keys: list[str], values: list[bytes]) -> None:
    client, calls = subject.client, len(keys)
    subject.note(WORK[0], calls, lambda: _gets(client, keys))
    subject.note(WORK[1], calls, lambda: _sets(client, keys, values))
    subject.note(WORK[2], calls, lambda: _pipelines(client, keys))
    asyncio.run(_async_gets(subject, keys))


def _require_data(subject: Subjects, expected: dict[str, bytes]) -> None:
    client = subject.client
    if client.dbsize() != len(expected):
        raise WrongData(f"{subject.name} has {client.dbsize()} keys, not {len(expected)}")
    wrong = [key for key, value in expected.items() if client.get(key) != value]
    if wrong:
        raise WrongData(f"{subject.name}: {wrong[0]} has another value")


def _measure(subjects: list[Subjects], options: Options) -> None:
    names = [KEY_FORMAT.format(index) for index in range(KEYS)]
    calls = QUICK_CALLS if options.quick else CALLS
    keys = [names[7 * call % KEYS] for call in range(calls)]
    expected = dict.fromkeys(names, b"before")
    for subject in subjects:
        subject.client.mset(expected)
    for turn in range(options.rounds * REPEATS):
        values = [_value(call + turn) for call in range(calls)]
        for subject in subjects:
            _turn(subject, keys, values)
        expected.update(zip(keys, values, strict=True))
    for subject in subjects:
        _require_data(subject, expected)


def _cell(values: list[float]) -> str:
    return f"{number(median(values))} µs"


def _table(subjects: list[Subjects]) -> Table:
    headers = ("", *(f"{s.name}, time / CPU" for s in subjects))
    rows = []
    for work in WORK:
        cells = [f"{_cell(s.time_us[work])} / {_cell(s.cpu_us[work])}" for s in subjects]
        rows.append([work, *cells])
    return Table("a call, medians; CPU is of both ends", headers, rows)


def _figures(subjects: list[Subjects]) -> list[Figure]:
    *ours, theirs = subjects
    beside = f"{_cell(theirs.time_us['get'])} to redis-server by a Unix socket"
    figures = []
    for subject in ours:
        for what, mine, other in (
            ("time", subject.time_us, theirs.time_us),
            ("CPU of both ends", subject.cpu_us, theirs.cpu_us),
        ):
            ratio = paired_ratio(mine["get"], other["get"])
            what = f"{subject.name}: `client().get(k)`, {what} against redis-server"
            text = f"{_cell(mine['get'])}, {beside}" if mine is subject.time_us else ""
            figures.append(Figure(what, ratio, "", GOAL, beside=text))
    return figures


def client(options: Options) -> Section:
    section = Section("redis-py without a network")
    with _subjects() as subjects:
        _measure(subjects, options)
    section.figures = _figures(subjects)
    section.tables = [_table(subjects)]
    section.raw = [{"subject": s.name, "time_us": s.time_us, "cpu_us": s.cpu_us} for s in subjects]
    return section


if __name__ == "__main__":
    main(__doc__, client)
