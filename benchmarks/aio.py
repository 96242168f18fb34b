"""server.aio: awaits of what is there, and an element handed from one task to another.

Beside it redis.asyncio to redis-server over a Unix socket, and, as the price of an await itself, a
coroutine that reads a dict.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import (
    VALUE_BYTES,
    ServerProcess,
    Subject,
    Unavailable,
    WrongData,
    find_kevyrt,
    median,
)
from report import Figure, Options, Section, Table, main, number

GOAL_NS = 400.0
GETS = 100_000
GATHERED = 100
GATHERS = 300
HANDED = 10_000
SLOWER = 50  # so much fewer over a socket
KEY, VALUE = "memtier-42", b"a" * VALUE_BYTES
WORK = ("get", f"get, gather of {GATHERED}, each", "blpop, from task to task")


@dataclass
class Caller:
    name: str
    share: int  # of the counts is done
    get: Callable[[], Awaitable[Any]]
    push: Callable[[str], Awaitable[Any]] | None = None
    pop: Callable[[], Awaitable[Any]] | None = None
    ns: dict[str, list[float]] = field(default_factory=dict)

    def note(self, work: str, count: int, began_ns: int) -> None:
        elapsed = time.perf_counter_ns() - began_ns
        self.ns.setdefault(work, []).append(elapsed / count)


async def _gets(caller: Caller, count: int) -> None:
    get = caller.get
    if await get() != VALUE:
        raise WrongData(f"{caller.name}: a wrong value")
    began = time.perf_counter_ns()
    for _ in range(count):
        await get()
    caller.note(WORK[0], count, began)


async def _gathers(caller: Caller, count: int) -> None:
    get = caller.get
    began = time.perf_counter_ns()
    for _ in range(count):
        values = await asyncio.gather(*[get() for _ in range(GATHERED)])
    caller.note(WORK[1], count * GATHERED, began)
    if values != [VALUE] * GATHERED:
        raise WrongData(f"{caller.name}: wrong values")


async def _hand_over(caller: Caller, count: int) -> None:
    """The one that pops waits each time, and is woken by the push."""
    push, pop = caller.push, caller.pop
    if push is None or pop is None:
        return

    async def receive() -> int:
        return sum([int((await pop())[1]) for _ in range(count)])

    receives = asyncio.ensure_future(receive())
    await asyncio.sleep(0.01)
    began = time.perf_counter_ns()
    for i in range(count):
        await push(str(i))
        await asyncio.sleep(0)
    total = await receives
    caller.note(WORK[2], count, began)
    if total != count * (count - 1) // 2:
        raise WrongData(f"{caller.name}: elements were lost")


def _in_process(server: Any, name: str) -> Caller:
    aio = server.aio
    return Caller(
        name,
        1,
        lambda: aio.get(KEY),
        lambda word: aio.rpush("jobs", word),
        lambda: aio.blpop("jobs"),
    )


def _dict() -> Caller:
    values = {KEY: VALUE}

    async def get() -> bytes | None:
        return values.get(KEY)

    return Caller("a coroutine and a dict", 1, get)


def _over_socket(path: str) -> tuple[Caller, Any]:
    try:
        import redis.asyncio
    except ImportError as error:
        raise Unavailable(f"redis-py does not import: {error}") from None
    client = redis.asyncio.Redis(unix_socket_path=path)
    other = redis.asyncio.Redis(unix_socket_path=path)
    caller = Caller(
        "redis.asyncio to redis-server",
        SLOWER,
        lambda: client.get(KEY),
        lambda word: client.rpush("jobs", word),
        lambda: other.blpop("jobs"),
    )
    return caller, (client, other)


@contextlib.contextmanager
def _redis() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="krt-") as folder:
        path = str(Path(folder) / "s")
        cores = sorted(os.sched_getaffinity(0))
        with ServerProcess(Subject("redis", options=("--unixsocket", path)), cores):
            yield path


async def _turn(caller: Caller, share: int) -> None:
    share *= caller.share
    await _gets(caller, GETS // share)
    await _gathers(caller, max(1, GATHERS // share))
    await _hand_over(caller, HANDED // share)


async def _turn_of_redis(path: str, share: int, seen: dict[str, list[float]]) -> str:
    caller, clients = _over_socket(path)
    caller.ns = seen
    await clients[0].set(KEY, VALUE)
    await _turn(caller, share)
    for client in clients:
        await client.aclose()
    return caller.name


def aio(options: Options) -> Section:
    share = 10 if options.quick else 1
    redis_ns: dict[str, list[float]] = {}
    with find_kevyrt().Server() as server, _redis() as path:
        server.set(KEY, VALUE)
        callers = [_in_process(server, "server.aio"), _dict()]
        redis_name = ""
        for _ in range(options.rounds):
            for caller in callers:
                asyncio.run(_turn(caller, share))
            redis_name = asyncio.run(_turn_of_redis(path, share, redis_ns))
    found = {caller.name: caller.ns for caller in callers} | {redis_name: redis_ns}
    medians = {
        name: {work: median(times.get(work, [])) for work in WORK if times.get(work)}
        for name, times in found.items()
    }
    ours, theirs = medians["server.aio"], medians[redis_name]
    figures = [
        Figure("await server.aio.get(k)", ours[WORK[0]], "ns", GOAL_NS),
        Figure(WORK[1], ours[WORK[1]], "ns", beside=f"redis.asyncio {number(theirs[WORK[1]])} ns"),
        Figure(WORK[2], ours[WORK[2]], "ns", beside=f"redis.asyncio {number(theirs[WORK[2]])} ns"),
    ]
    rows = [
        [name, *(number(times[work]) if work in times else "" for work in WORK)]
        for name, times in medians.items()
    ]
    table = Table("Nanoseconds for a call in a loop", ("caller", *WORK), rows)
    return Section("asyncio", figures, [table], [], [found])


if __name__ == "__main__":
    main(__doc__, aio)
