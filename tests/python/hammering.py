"""Threads that hammer one server: in process, by pipelines, in event loops and over TCP at once.

What must hold meanwhile:

Accounts      transfers under WATCH; their sum is the same at every instant
Counter       INCR gives every number once, to each caller in ascending order
Queue         what is pushed is popped once, what one pushed in its order
Clock         a value that only rises is never seen to fall
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import redis

import kevyrt

ACCOUNTS = [f"account:{number}" for number in range(6)]
EACH = 100
JOIN_S = 60
Execute = Callable[..., Any]


@contextlib.contextmanager
def hectic() -> Iterator[None]:
    """Threads hand the interpreter on as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


class InProcess:
    """A thread's own session, and plain calls."""

    def __init__(self, server: kevyrt.Server) -> None:
        self.execute: Execute = server.execute
        self._session = server.session()

    def transfer(self, source: str, target: str) -> bool:
        run = self._session.execute
        run("WATCH", source, target)
        left, right = int(run("GET", source)), int(run("GET", target))
        run("MULTI")
        run("SET", source, left - 1)
        run("SET", target, right + 1)
        return run("EXEC") is not None

    def close(self) -> None:
        self._session.close()


class ByPipelines:
    """One that watches and is used again and again, and one for every other call."""

    def __init__(self, server: kevyrt.Server) -> None:
        self._server = server
        self._pipe = server.pipeline()
        self._atomic = False

    def execute(self, *words: Any) -> Any:
        if words[0] == "BLPOP":  # there it would not wait
            return self._server.execute(*words)
        self._atomic = not self._atomic
        with self._server.pipeline(self._atomic) as pipe:
            before, reply = pipe.get(ACCOUNTS[0]).execute_command(*words).execute()
        assert before is not None
        return reply

    def transfer(self, source: str, target: str) -> bool:
        pipe = self._pipe
        pipe.watch(source, target)
        left, right = int(pipe.get(source)), int(pipe.get(target))
        pipe.multi()
        try:
            assert pipe.set(source, left - 1).set(target, right + 1).execute() == [True, True]
        except kevyrt.WatchError:
            return False
        return True

    def close(self) -> None:
        self._pipe.close()


class InALoop:
    """A loop of the thread's own, in which transfers cross each other."""

    def __init__(self, server: kevyrt.Server) -> None:
        self._loop = asyncio.new_event_loop()
        self._aio = server.aio

    def execute(self, *words: Any) -> Any:
        if words[0] == "BLPOP":
            return self._loop.run_until_complete(self._pop(*words[1:]))
        return self._loop.run_until_complete(self._aio.execute(*words))

    async def _pop(self, *words: Any) -> Any:
        return await self._aio.blpop(words[:-1], words[-1])

    async def _move(self, source: str, target: str) -> None:
        async def move(pipe: Any) -> None:
            left, right = int(await pipe.get(source)), int(await pipe.get(target))
            await asyncio.sleep(0)
            pipe.multi()
            pipe.set(source, left - 1).set(target, right + 1)

        assert await self._aio.transaction(move, source, target) == [True, True]

    def transfer(self, source: str, target: str) -> bool:
        async def both() -> None:
            await asyncio.gather(self._move(source, target), self._move(target, source))

        self._loop.run_until_complete(both())
        return True

    def close(self) -> None:
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()


class OverTcp:
    """redis-py."""

    def __init__(self, server: kevyrt.Server) -> None:
        self._client = redis.Redis(port=server.port or 0, socket_timeout=JOIN_S)
        self.execute: Execute = self._client.execute_command

    def transfer(self, source: str, target: str) -> bool:
        with self._client.pipeline() as pipe:
            pipe.watch(source, target)
            left, right = int(pipe.get(source) or 0), int(pipe.get(target) or 0)
            pipe.multi()
            pipe.set(source, left - 1)
            pipe.set(target, right + 1)
            try:
                pipe.execute()
            except redis.WatchError:
                return False
        return True

    def close(self) -> None:
        self._client.close()


KINDS = (InProcess, ByPipelines, InALoop, OverTcp)


class Hammer:
    """Everything that hammers one server; a failure of any thread is the test's."""

    def __init__(self, server: kevyrt.Server, turns: int, seed: int) -> None:
        self._server = server
        self._turns = turns
        self._seed = seed
        self._failures: list[BaseException] = []
        self._threads: list[threading.Thread] = []
        self._over = threading.Event()
        self._lock = threading.Lock()
        self.transfers = 0
        self.numbers: list[int] = []
        self.popped: list[bytes] = []
        self.looks = 0

    def _start(self, work: Callable[[Any, random.Random], None], kind: Any) -> threading.Thread:
        chance = random.Random(self._seed + len(self._threads))

        def run() -> None:
            try:
                client = kind(self._server)
                with contextlib.closing(client):
                    work(client, chance)
            except BaseException as error:
                self._failures.append(error)
                self._over.set()

        thread = threading.Thread(target=run, daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def _transfer(self, client: Any, chance: random.Random) -> None:
        for _ in range(self._turns):
            source, target = chance.sample(ACCOUNTS, 2)
            if client.transfer(source, target):
                with self._lock:
                    self.transfers += 1

    def _look(self, client: Any, chance: random.Random) -> None:
        last = 0
        while not self._over.is_set():
            sum_of = sum(map(int, client.execute("MGET", *ACCOUNTS)))
            assert sum_of == EACH * len(ACCOUNTS), sum_of
            tick = int(client.execute("GET", "clock") or 0)
            assert tick >= last, (tick, last)
            last = tick
            self.looks += 1

    def _count(self, client: Any, chance: random.Random) -> None:
        mine = [int(client.execute("INCR", "counter")) for _ in range(self._turns)]
        assert mine == sorted(mine)
        with self._lock:
            self.numbers += mine

    def _tick(self, client: Any, chance: random.Random) -> None:
        for number in range(1, self._turns + 1):
            client.execute("SET", "clock", number)

    def _push(self, client: Any, chance: random.Random) -> None:
        name = type(client).__name__
        for number in range(self._turns):
            client.execute("RPUSH", "queue", f"{name}:{number}")

    def _pop(self, client: Any, chance: random.Random) -> None:
        mine = []
        while (reply := client.execute("BLPOP", "nobody", "queue", 0))[1] != b"end":
            mine.append(reply[1])
        pushers: dict[bytes, int] = {}
        for item in mine:
            pusher, _, number = item.partition(b":")
            assert int(number) > pushers.get(pusher, -1), mine
            pushers[pusher] = int(number)
        with self._lock:
            self.popped += mine

    def play(self) -> None:
        self._server.execute("MSET", *(word for name in ACCOUNTS for word in (name, EACH)))
        lookers = [self._start(self._look, kind) for kind in KINDS]
        poppers = [self._start(self._pop, kind) for kind in KINDS]
        workers = [
            self._start(work, kind)
            for work in (self._transfer, self._count, self._push)
            for kind in KINDS
        ]
        workers.append(self._start(self._tick, InProcess))
        self._join(workers)
        self._server.execute("RPUSH", "queue", *["end"] * len(poppers))
        self._join(poppers)
        self._over.set()
        self._join(lookers)
        self._check()

    def _join(self, threads: list[threading.Thread]) -> None:
        for thread in threads:
            thread.join(JOIN_S)
            assert not thread.is_alive() or self._failures, "a thread hangs"
        if self._failures:
            raise self._failures[0]

    def _check(self) -> None:
        count = len(KINDS) * self._turns
        assert sorted(self.numbers) == list(range(1, count + 1))
        assert len(self.popped) == len(set(self.popped)) == count
        assert self._server.execute("LLEN", "queue") == 0
        assert int(self._server.execute("GET", "clock")) == self._turns
        assert self.transfers > 0 and self.looks > 0
