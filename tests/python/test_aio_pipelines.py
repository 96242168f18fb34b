"""Pipelines and transactions of server.aio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

import kevyrt


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 60))


@pytest.mark.parametrize("transaction", [True, False])
@pytest.mark.parametrize("log", [False, True])
def test_results(tmp_path: Path, transaction: bool, log: bool) -> None:
    async def test() -> None:
        async with server.aio.pipeline(transaction) as pipe:
            assert await pipe.execute() == []
            pipe.set("a", 1).incr("a")
            await pipe.get("a")
            assert len(pipe) == 3 and await pipe.execute() == [True, 2, b"2"]
            pipe.set("b", "x").incr("b").get("b")
            with pytest.raises(kevyrt.ResponseError, match="INCRBY b 1"):
                await pipe.execute()
            results = await pipe.set("b", "y").incr("b").execute(raise_on_error=False)
            assert results[0] is True and isinstance(results[1], kevyrt.ResponseError)
        assert server.get("b") == b"y"

    with kevyrt.Server(
        threads=2, appendonly=log, appendfsync="always", dir=str(tmp_path)
    ) as server:
        run(test)


def test_of_a_database(server: kevyrt.Server) -> None:
    async def test() -> None:
        assert await server.database(2).aio.pipeline().set("a", 1).execute() == [True]
        assert server.get("a") is None and server.database(2).get("a") == b"1"

    run(test)


def test_watching(server: kevyrt.Server) -> None:
    async def test() -> None:
        server.set("a", 1)
        async with server.aio.pipeline() as pipe:
            await pipe.watch("a")
            assert await pipe.get("a") == b"1"
            server.set("a", 5)
            pipe.multi()
            pipe.set("a", 2)
            with pytest.raises(kevyrt.WatchError):
                await pipe.execute()
        assert server.get("a") == b"5"

    run(test)


def test_transactions(server: kevyrt.Server) -> None:
    async def test() -> None:
        server.set("a", 0)

        async def add(pipe: Any) -> str:
            seen = int(await pipe.get("a"))
            await asyncio.sleep(0)
            pipe.multi()
            pipe.set("a", seen + 1)
            return "done"

        calls = [server.aio.transaction(add, "a") for _ in range(20)]
        assert await asyncio.gather(*calls) == [[True]] * 20
        assert server.get("a") == b"20"
        assert await server.aio.transaction(add, "a", value_from_callable=True) == "done"

    run(test)


def test_a_pause_does_not_stop_the_loop(server: kevyrt.Server) -> None:
    async def test() -> None:
        server.execute("CLIENT", "PAUSE", 10_000_000, "WRITE")
        pipe = server.aio.pipeline().set("a", 1).get("a")
        executes = asyncio.create_task(pipe.execute())
        await asyncio.sleep(0.01)
        assert not executes.done()
        with pytest.raises(RuntimeError, match="inside"):
            pipe.set("b", 1)
        executes.cancel()  # too late: it has begun
        await asyncio.sleep(0.01)
        server.execute("CLIENT", "UNPAUSE")
        assert await executes == [True, b"1"]

    run(test)


def test_a_stopped_server() -> None:
    async def test() -> None:
        with pytest.raises(kevyrt.ServerStopped):
            await kevyrt.Server().aio.pipeline().set("a", 1).execute()

    run(test)
