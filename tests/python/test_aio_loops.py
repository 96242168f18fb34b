"""server.aio on several loops: in threads, one after another, uvloop's, in debug mode, closed."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import pytest
import uvloop
from programs import Program

import kevyrt

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Runs a coroutine on a new loop, which is closed afterwards."""

    def run(test: Coroutine[Any, Any, Any]) -> Any:
        loop = LOOPS[request.param]()
        try:
            return loop.run_until_complete(asyncio.wait_for(test, 60))
        finally:
            loop.close()

    return run


def left_behind(server: kevyrt.Server) -> tuple[int, int]:
    gc.collect()
    return len(os.listdir("/proc/self/fd")), sys.getrefcount(server)


async def exchange(server: kevyrt.Server, key: str, count: int) -> None:
    """Two tasks, of which each waits for the other."""

    async def pass_on(source: str, target: str) -> None:
        for _ in range(count):
            _, value = await server.aio.blpop(source)  # type: ignore[misc]
            await server.aio.rpush(target, value)

    await server.aio.rpush(f"{key}:a", "ball")
    await asyncio.gather(pass_on(f"{key}:a", f"{key}:b"), pass_on(f"{key}:b", f"{key}:a"))
    assert await server.aio.lpop(f"{key}:a") == b"ball"


def test_one_loop(server: kevyrt.Server, run: Callable[..., Any]) -> None:
    run(exchange(server, "k", 500))


def test_one_loop_after_another(server: kevyrt.Server, run: Callable[..., Any]) -> None:
    aio = server.aio
    run(exchange(server, "k", 3))
    before = left_behind(server)
    for i in range(50):
        run(exchange(server, f"k{i}", 3))
    assert left_behind(server) == before
    assert aio is not None


def test_loops_in_threads(server: kevyrt.Server) -> None:
    errors: list[BaseException] = []

    def play(number: int) -> None:
        loop = LOOPS["uvloop" if number % 2 else "asyncio"]()
        try:
            loop.run_until_complete(asyncio.wait_for(exchange(server, f"k{number}", 200), 60))
        except BaseException as error:
            errors.append(error)
        finally:
            loop.close()

    threads = [threading.Thread(target=play, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors and not any(thread.is_alive() for thread in threads)


def test_one_key_for_all_loops(server: kevyrt.Server) -> None:
    """Whoever came first is served first, whichever loop it waits in."""
    got: list[int] = []
    turn = [threading.Event() for _ in range(5)]

    def wait(number: int) -> None:
        async def pop() -> None:
            task = asyncio.ensure_future(server.aio.blpop("jobs"))
            await asyncio.sleep(0)
            turn[number].set()
            popped = await task
            assert popped
            got.append(int(popped[1]))

        asyncio.run(pop())

    threads = []
    for number in range(4):
        threads.append(threading.Thread(target=wait, args=(number,)))
        threads[-1].start()
        assert turn[number].wait(30)
    for i in range(4):
        server.rpush("jobs", i)
        threads[i].join(30)
    assert got == [0, 1, 2, 3]


def test_debug_mode(server: kevyrt.Server) -> None:
    asyncio.run(exchange(server, "k", 50), debug=True)


def test_a_stop_ends_waits_of_all_loops(server: kevyrt.Server, run: Callable[..., Any]) -> None:
    ended: list[int] = []

    async def wait(number: int) -> None:
        with pytest.raises(kevyrt.ServerStopped):
            await server.aio.blpop("nothing")
        ended.append(number)

    threads = [threading.Thread(target=run, args=(wait(number),)) for number in range(4)]
    for thread in threads:
        thread.start()
    while server.info("clients")["blocked_clients"] < 4:
        pass
    server.stop()
    for thread in threads:
        thread.join(30)
    assert sorted(ended) == [0, 1, 2, 3]


def test_a_loop_that_is_closed_while_it_waits(
    server: kevyrt.Server, run: Callable[..., Any]
) -> None:
    async def leave() -> Any:
        task = asyncio.ensure_future(server.aio.blpop("jobs"))
        await asyncio.sleep(0.01)
        task.get_loop().set_exception_handler(lambda *_: None)  # that it was destroyed
        return task

    before = left_behind(server)
    task = run(leave())
    assert server.info("clients")["blocked_clients"] == 1
    del task
    gc.collect()
    assert server.info("clients")["blocked_clients"] == 0
    assert left_behind(server) == before
    run(exchange(server, "k", 3))


def test_a_loop_that_rests_and_goes_on(server: kevyrt.Server) -> None:
    loop = asyncio.new_event_loop()
    task = loop.create_task(server.aio.blpop("jobs"))
    loop.run_until_complete(asyncio.sleep(0))
    server.rpush("jobs", 1)
    assert loop.run_until_complete(task) == (b"jobs", b"1")
    loop.close()


def test_nothing_watches_while_nothing_waits(server: kevyrt.Server) -> None:
    async def test() -> None:
        loop: Any = asyncio.get_running_loop()
        readers = len(loop._selector.get_map())
        task = asyncio.ensure_future(server.aio.blpop("jobs"))
        await asyncio.sleep(0)
        assert len(loop._selector.get_map()) == readers + 1
        await server.aio.rpush("jobs", 1)
        await task
        for _ in range(3):
            await asyncio.sleep(0)
        assert len(loop._selector.get_map()) == readers

    asyncio.run(test())


def test_who_waits_is_not_woken_in_vain(server: kevyrt.Server) -> None:
    """The loop sleeps from one push to the next: it does not look around meanwhile."""

    async def test() -> None:
        loop: Any = asyncio.get_running_loop()
        selects = 0
        select = loop._selector.select

        def counted(timeout: float | None = None) -> Any:
            nonlocal selects
            selects += 1
            return select(timeout)

        waits = [asyncio.ensure_future(server.aio.blpop(f"jobs{i}")) for i in range(20)]
        hears = server.aio.pubsub()
        await hears.subscribe("a")
        await hears.get_message(timeout=1)
        waits.append(asyncio.ensure_future(hears.get_message(timeout=None)))
        await asyncio.sleep(0.01)
        loop._selector.select = counted
        await asyncio.sleep(0.5)
        loop._selector.select = select
        assert selects <= 5
        for i in range(20):
            server.rpush(f"jobs{i}", i)
        server.publish("a", 1)
        await asyncio.gather(*waits)
        await hears.aclose()

    asyncio.run(test())


def test_nothing_is_left_of_many_awaits(server: kevyrt.Server) -> None:
    async def use(rounds: int) -> None:
        aio = server.aio
        server.set("k", "v" * 100)
        server.lpush("list", 1)
        for i in range(rounds):
            await aio.get("k")
            await aio.set("k", i)
            await aio.mget("k", "k")
            await server.aio.get("nobody")
            with pytest.raises(kevyrt.WrongTypeError):
                await aio.get("list")

    async def cancel(rounds: int) -> None:
        for _ in range(rounds):
            task = asyncio.ensure_future(server.aio.blpop("jobs"))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(use(100))
    asyncio.run(cancel(100))
    before = left_behind(server)
    blocks = sys.getallocatedblocks()
    asyncio.run(use(20_000))
    asyncio.run(cancel(10_000))
    assert left_behind(server) == before
    assert sys.getallocatedblocks() - blocks < 2000
    assert server.info("clients")["blocked_clients"] == 0


def test_the_interpreter_ends_while_tasks_wait(program: Program) -> None:
    program(
        """
import asyncio, threading, time, kevyrt
server = kevyrt.Server().start()
def wait():
    try:
        asyncio.run(server.aio.blpop("jobs"))
    except kevyrt.ServerStopped:
        pass
threading.Thread(target=wait, daemon=True).start()
while not server.info("clients")["blocked_clients"]:
    time.sleep(0.001)
"""
    )


# ---- anyio ---------------------------------------------------------------------------------------


@pytest.fixture(params=LOOPS)
def run_anyio(request: pytest.FixtureRequest) -> Callable[[Callable[[], Any]], None]:
    """Runs a coroutine function under anyio's asyncio backend."""

    def run(test: Callable[[], Any]) -> None:
        async def limited() -> None:
            with anyio.fail_after(60):
                await test()

        anyio.run(limited, backend_options={"use_uvloop": request.param == "uvloop"})

    return run


def test_groups_of_anyio(server: kevyrt.Server, run_anyio: Callable[..., None]) -> None:
    got: list[Any] = []

    async def pop() -> None:
        got.append(await server.aio.blpop("jobs"))

    async def test() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(pop)
            await anyio.sleep(0.01)
            await server.aio.rpush("jobs", *range(10))
        assert sorted(int(value) for _, value in got) == list(range(10))
        await exchange(server, "k", 20)

    run_anyio(test)


def test_scopes_of_anyio(server: kevyrt.Server, run_anyio: Callable[..., None]) -> None:
    """A cancel in time pops nothing; one that has lost its race gives the element."""

    async def test() -> None:
        with anyio.move_on_after(0.01) as scope:
            await server.aio.blpop("jobs")
        assert scope.cancelled_caught and server.rpush("jobs", "a") == 1
        with pytest.raises(TimeoutError):
            with anyio.fail_after(0.01):
                await server.aio.blpop("others")
        got: list[Any] = []

        async def pop() -> None:
            while True:
                got.append(await server.aio.blpop("jobs"))

        async with anyio.create_task_group() as group:
            group.start_soon(pop)
            await anyio.sleep(0.01)
            assert got == [(b"jobs", b"a")]
            server.rpush("jobs", "b")  # the loop has not heard of it
            group.cancel_scope.cancel()
        assert got == [(b"jobs", b"a"), (b"jobs", b"b")] and server.llen("jobs") == 0
        for _ in range(3):  # nothing comes afterwards
            await anyio.sleep(0)
        assert await server.aio.ping() and server.info("clients")["blocked_clients"] == 0

    run_anyio(test)


def test_many_scopes_of_anyio_lose_nothing(
    server: kevyrt.Server, run_anyio: Callable[..., None]
) -> None:
    got: list[int] = []

    async def pop() -> None:
        popped = await server.aio.blpop(["jobs", "others"])
        assert popped
        got.append(int(popped[1]))

    async def test() -> None:
        pushed = 0
        for turn in range(300):
            async with anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(pop)
                for _ in range(turn % 4):
                    await anyio.sleep(0)
                for _ in range(turn % 5):
                    server.rpush("jobs" if pushed % 2 else "others", pushed)
                    pushed += 1
                group.cancel_scope.cancel()
        left = [int(value) for key in ("jobs", "others") for value in server.lrange(key, 0, -1)]
        assert sorted(got + left) == list(range(pushed)) and got

    run_anyio(test)


def test_a_pipeline_in_a_scope_of_anyio(
    server: kevyrt.Server, run_anyio: Callable[..., None]
) -> None:
    async def test() -> None:
        async with server.aio.pipeline() as pipe:
            await pipe.watch("a")
            server.execute("CLIENT", "PAUSE", 10_000_000, "WRITE")
            with anyio.move_on_after(0.01) as scope:
                await pipe.set("a", 1)
            server.execute("CLIENT", "UNPAUSE")
            assert scope.cancelled_caught and await pipe.get("a") is None
            pipe.multi()
            assert await pipe.set("a", 2).execute() == [True]

    run_anyio(test)
