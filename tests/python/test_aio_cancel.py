"""Cancels of what waits in a loop: whatever is popped is received, or still in the list."""

from __future__ import annotations

import asyncio
import random
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

import kevyrt

needs_uncancel = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="before 3.11 no task knows whether it is being cancelled"
)


@pytest.fixture(params=["no log", "log"])
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[kevyrt.Server]:
    config: dict[str, Any] = {"threads": 2}
    if request.param == "log":
        config |= {"appendonly": True, "appendfsync": "always", "dir": str(tmp_path)}
    with kevyrt.Server(**config) as server:
        yield server


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 100))


async def give_way(times: int) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


# ---- One cancel ---------------------------------------------------------------------------------


def test_a_cancel_in_time_pops_nothing(served: kevyrt.Server) -> None:
    async def test() -> None:
        pop = asyncio.create_task(served.aio.blpop("jobs"))
        await give_way(1)
        pop.cancel("enough")
        with pytest.raises(asyncio.CancelledError):
            await pop
        assert pop.cancelled() and served.rpush("jobs", "x") == 1

    run(test)


def test_a_cancel_that_is_late_gives_the_element(served: kevyrt.Server) -> None:
    async def test() -> None:
        pop = asyncio.create_task(served.aio.blpop("jobs"))
        await give_way(1)
        served.rpush("jobs", "x")  # the loop has not heard of it
        assert pop.cancel()
        assert await pop == (b"jobs", b"x")
        assert not pop.cancelled() and served.llen("jobs") == 0

    run(test)


def test_a_cancel_between_the_answer_and_its_task(served: kevyrt.Server) -> None:
    """The future is done, and its task not woken: a plain future would lose the result."""

    async def test() -> None:
        pop = asyncio.create_task(served.aio.blpop("jobs"))
        await give_way(1)
        served.rpush("jobs", "x")
        loop, wakes = asyncio.get_running_loop(), 0
        while wakes < 1000 and not pop.done():
            wakes += 1
            future = getattr(pop, "_fut_waiter", None)
            if future is not None and future.done():
                break
            await asyncio.sleep(0)
        pop.cancel()
        assert await pop == (b"jobs", b"x")
        assert loop.is_running()

    run(test)


def test_a_cancel_before_the_task_begins(served: kevyrt.Server) -> None:
    async def test() -> None:
        served.rpush("jobs", "x")
        pop = asyncio.create_task(served.aio.blpop("jobs"))
        waits = asyncio.create_task(served.aio.blpop("others"))
        pop.cancel()
        waits.cancel()
        assert await pop == (b"jobs", b"x")
        with pytest.raises(asyncio.CancelledError):
            await waits
        assert served.rpush("others", "x") == 1

    run(test)


@needs_uncancel
def test_a_late_cancel_comes_at_the_next_await(served: kevyrt.Server) -> None:
    got: list[object] = []

    async def work() -> None:
        while True:
            got.append(await served.aio.blpop("jobs"))
            await asyncio.sleep(60)  # here

    async def test() -> None:
        worker = asyncio.create_task(work())
        await give_way(2)
        served.rpush("jobs", "x")
        worker.cancel("enough")
        with pytest.raises(asyncio.CancelledError):
            await worker
        assert got == [(b"jobs", b"x")]

    run(test)


@needs_uncancel
def test_a_loop_of_pops_can_be_cancelled(served: kevyrt.Server) -> None:
    """Every pop is served at once, so every cancel comes too late for one."""

    async def work() -> None:
        while True:
            await served.aio.blpop("jobs")

    async def test() -> None:
        worker = asyncio.create_task(work())
        for i in range(1000):
            await give_way(1)
            served.rpush("jobs", i)
            worker.cancel()
            await give_way(20)
            if worker.done():
                break
        with pytest.raises(asyncio.CancelledError):
            await worker

    run(test)


@needs_uncancel
def test_a_time_out_that_is_late_is_none(served: kevyrt.Server) -> None:
    async def test() -> None:
        async with asyncio.timeout(60) as limit:  # type: ignore[attr-defined,unused-ignore]
            pop = served.aio.blpop("jobs")
            loop = asyncio.get_running_loop()

            def late() -> None:
                served.rpush("jobs", "x")
                limit.reschedule(loop.time())

            loop.call_soon(late)
            assert await pop == (b"jobs", b"x")
        await asyncio.sleep(0.01)  # nothing comes afterwards
        task: Any = asyncio.current_task()
        assert task.cancelling() == 0

    run(test)


def test_time_outs_of_wait_for(served: kevyrt.Server) -> None:
    async def test() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(served.aio.blpop("jobs"), 0.01)
        assert served.rpush("jobs", "x") == 1
        assert await asyncio.wait_for(served.aio.blpop("jobs"), 0.01) == (b"jobs", b"x")

    run(test)


@needs_uncancel
def test_a_group_that_fails(served: kevyrt.Server) -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        served.rpush("jobs", "x")
        raise ZeroDivisionError

    async def test() -> None:
        got: list[object] = []

        async def pop() -> None:
            got.append(await served.aio.blpop("jobs"))

        with pytest.raises(BaseException) as caught:
            async with asyncio.TaskGroup() as group:  # type: ignore[attr-defined,unused-ignore]
                group.create_task(pop())
                group.create_task(fail())
        assert type(caught.value).__name__ == "ExceptionGroup"
        assert len(got) + served.llen("jobs") == 1

    run(test)


# ---- Storms -------------------------------------------------------------------------------------


class Producers:
    """Threads that push numbers until they are stopped: in process, over a connection, and from a
    loop of their own. Now and then they rest, so that the lists are empty as often as not."""

    def __init__(self, server: kevyrt.Server, keys: list[str]) -> None:
        self.server, self.keys = server, keys
        self.pushed: Counter[int] = Counter()
        self.stopped = False
        ways = (self.call, self.send, self.await_)
        self.threads = [
            threading.Thread(target=way, args=(number,)) for number, way in enumerate(ways)
        ]
        for thread in self.threads:
            thread.start()

    def values(self, number: int) -> Iterator[tuple[str, int]]:
        draw = random.Random(number)
        for value in count(number, 3):
            if self.stopped:
                return
            self.pushed[value] += 1
            yield draw.choice(self.keys), value
            if draw.random() < 0.2:
                time.sleep(0.0005)

    def call(self, number: int) -> None:
        for key, value in self.values(number):
            self.server.rpush(key, value)

    def send(self, number: int) -> None:
        port = self.server.port
        assert port
        with socket.create_connection(("127.0.0.1", port)) as sock:
            for key, value in self.values(number):
                sock.sendall(f"RPUSH {key} {value}\r\n".encode())
                sock.recv(100)

    def await_(self, number: int) -> None:
        async def push() -> None:
            for key, value in self.values(number):
                await self.server.aio.rpush(key, value)
                await asyncio.sleep(0)

        asyncio.run(push())

    def stop(self) -> None:
        self.stopped = True
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive()


@pytest.mark.parametrize("loops", [1, 3])
def test_every_element_is_received_or_left(served: kevyrt.Server, loops: int) -> None:
    keys = [f"jobs{i}" for i in range(5)]
    received: Counter[int] = Counter()
    cancels = [0] * loops
    producers = Producers(served, keys)

    async def pop(draw: random.Random) -> None:
        asked = draw.sample(keys, draw.choice((1, 1, 2, 5)))
        how = draw.randrange(3)
        popped = None
        if how == 0:
            popped = await served.aio.blpop(asked, draw.choice((0, 0.001)))
        elif how == 1:
            popped = await served.aio.brpop(asked)
        elif (
            found := await served.aio.execute("BLMPOP", 0, len(asked), *asked, "LEFT")
        ) is not None:
            popped = (found[0], found[1][0])
        if popped is not None:
            received[int(popped[1])] += 1

    async def storm(number: int) -> None:
        draw = random.Random(number)
        while cancels[number] < 2000 // loops or len(received) < 100:
            pops = [asyncio.create_task(pop(draw)) for _ in range(draw.randrange(1, 30))]
            await give_way(draw.randrange(4))
            if draw.random() < 0.3:
                await asyncio.sleep(draw.random() / 500)
            draw.shuffle(pops)
            for task in pops:
                cancels[number] += task.cancel()
                if draw.random() < 0.1:
                    await asyncio.sleep(0)
            ended = await asyncio.gather(*pops, return_exceptions=True)
            assert {type(end) for end in ended} <= {asyncio.CancelledError, type(None)}, ended

    threads = [
        threading.Thread(target=lambda i=i: asyncio.run(storm(i)))  # type: ignore[misc]
        for i in range(loops)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    producers.stop()
    assert not any(thread.is_alive() for thread in threads)
    left: Counter[int] = Counter()
    for key in keys:
        left.update(map(int, served.lrange(key, 0, -1)))
    assert len(received) >= 100
    assert received + left == producers.pushed
    info = served.info("clients")
    assert info["blocked_clients"] == 0
