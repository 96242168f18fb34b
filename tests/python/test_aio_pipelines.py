"""Pipelines and transactions of server.aio."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from programs import Program

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
        server.execute("CLIENT", "UNPAUSE")
        assert await executes == [True, b"1"]

    run(test)


def test_an_execution_that_is_cancelled(server: kevyrt.Server) -> None:
    async def execute(transaction: bool) -> None:
        pipe = server.aio.pipeline(transaction)
        executes = asyncio.create_task(pipe.set("a", 1).incr("a").execute())
        await asyncio.sleep(0.01)
        executes.cancel()
        with pytest.raises(asyncio.CancelledError):
            await executes
        assert len(pipe) == 0 and await pipe.get("a").execute() == [None]

    async def test() -> None:
        server.execute("CLIENT", "PAUSE", 10_000_000, "WRITE")
        await asyncio.gather(execute(True), execute(False))

    run(test)


def test_an_execution_that_has_begun_is_not_cancelled(server: kevyrt.Server) -> None:
    """A part of it has run: what ran is told."""

    async def test() -> None:
        server.set("a", 1)
        server.execute("CLIENT", "PAUSE", 10_000_000, "WRITE")
        pipe = server.aio.pipeline(transaction=False).get("a").set("a", 2).get("a")
        executes = asyncio.create_task(pipe.execute())
        await asyncio.sleep(0.01)
        executes.cancel()
        await asyncio.sleep(0.01)
        assert not executes.done()
        server.execute("CLIENT", "UNPAUSE")
        assert await executes == [b"1", True, b"2"]

    run(test)


# ---- What runs at once waits in the loop ---------------------------------------------------------


def pause(server: kevyrt.Server, what: str) -> None:
    server.execute("CLIENT", "PAUSE", 10_000_000, what)


def end_pause(server: kevyrt.Server) -> None:
    """One of ALL holds up its own end; only time gets through."""
    server.clock.advance(10_000)


async def begin(call: Any) -> asyncio.Task[Any]:
    """A task that waits for it."""
    task: asyncio.Task[Any] = asyncio.ensure_future(call)
    await asyncio.sleep(0.01)
    assert not task.done()
    return task


def test_a_pause_while_watching(server: kevyrt.Server) -> None:
    async def test() -> None:
        server.set("a", 1)
        async with server.aio.pipeline() as pipe:
            await pipe.watch("a")
            pause(server, "WRITE")
            assert await pipe.get("a") == b"1"  # nothing is in its way
            writes = await begin(pipe.set("b", 2))
            for use in (lambda: pipe.get("a"), pipe.multi, lambda: pipe._begin_execute(True)):
                with pytest.raises(RuntimeError, match="inside"):
                    use()
            with pytest.raises(RuntimeError, match="inside"):
                await pipe.reset()
            server.execute("CLIENT", "UNPAUSE")
            assert await writes is True
            pipe.multi()
            assert await pipe.set("a", 2).execute() == [True]
        assert server.mget("a", "b") == [b"2", b"2"]

    run(test)


def test_a_cancel_while_watching(server: kevyrt.Server) -> None:
    async def test() -> None:
        server.set("a", 1)
        async with server.aio.pipeline() as pipe:
            await pipe.watch("a")
            pause(server, "WRITE")
            writes = await begin(pipe.set("b", 2))
            writes.cancel()
            with pytest.raises(asyncio.CancelledError):
                await writes
            assert await pipe.get("a") == b"1"
            server.execute("CLIENT", "UNPAUSE")
            server.set("a", 3)  # the watching goes on
            pipe.multi()
            with pytest.raises(kevyrt.WatchError):
                await pipe.set("a", 2).execute()
        assert server.mget("a", "b") == [b"3", None]

    run(test)


def test_a_watch_that_is_cancelled(server: kevyrt.Server) -> None:
    async def test() -> None:
        pipe = server.aio.pipeline()
        pause(server, "ALL")
        watches = await begin(pipe.watch("a"))
        watches.cancel()
        with pytest.raises(asyncio.CancelledError):
            await watches
        await pipe.reset()
        end_pause(server)
        assert len(pipe.get("a")) == 1  # it queues
        assert await pipe.execute() == [None]
        with pytest.raises(kevyrt.ResponseError, match="wrong number"):
            await pipe.watch()
        assert len(pipe.get("a")) == 1

    run(test)


def test_an_end_of_the_watching_heeds_no_pause(server: kevyrt.Server) -> None:
    async def test() -> None:
        for end in ("reset", "unwatch", "aclose"):
            pipe = server.aio.pipeline()
            await pipe.watch("a")
            assert server.info("clients")["watching_clients"] == 1
            pause(server, "ALL")
            await getattr(pipe, end)()
            end_pause(server)
            assert server.info("clients")["watching_clients"] == 0
            assert len(pipe.get("a")) == 1
        async with server.aio.pipeline(transaction=False) as pipe:
            await pipe.watch("a")
            pause(server, "ALL")
            assert await pipe.execute() == []
            end_pause(server)
            assert server.info("clients")["watching_clients"] == 0

    run(test)


def test_what_waits_for_data_while_watching(server: kevyrt.Server) -> None:
    async def test() -> None:
        async with server.aio.pipeline() as pipe:
            await pipe.watch("a")
            pops = await begin(pipe.blpop("jobs"))
            with pytest.raises(RuntimeError, match="inside"):
                pipe.get("a")
            server.rpush("jobs", 1)
            assert await pops == (b"jobs", b"1")
            pops = await begin(pipe.blpop("jobs"))
            pops.cancel()
            with pytest.raises(asyncio.CancelledError):
                await pops
            pops = await begin(pipe.blpop("jobs"))
            server.rpush("jobs", 2)
            pops.cancel()  # too late
            assert await pops == (b"jobs", b"2")
            forgotten = pipe.blpop("jobs")
            with pytest.warns(RuntimeWarning, match="never awaited"):
                del forgotten
            assert await pipe.get("a") is None
        assert server.info("clients")["blocked_clients"] == 0

    run(test)


def test_a_place_that_is_taken_for_long() -> None:
    """The loop goes on, whatever a pipeline waits for, the end of its watching too."""

    async def until_it_waits(call: Callable[[], Any]) -> asyncio.Task[Any]:
        while True:
            task: asyncio.Task[Any] = asyncio.ensure_future(call())
            await asyncio.sleep(0)
            if not task.done():
                return task
            await task

    async def test() -> None:
        async with server.aio.pipeline() as pipe:
            assert await (await until_it_waits(lambda: pipe.watch("a"))) is True
            assert await (await until_it_waits(lambda: pipe.get("a"))) is None
            assert await (await until_it_waits(lambda: pipe.set("b", 1))) is True
            pipe.multi()
            assert await pipe.set("a", 2).execute() == [True]

        async def leave() -> None:
            await pipe.watch("a")
            await pipe.reset()

        await (await until_it_waits(leave))

    with kevyrt.Server(threads=1, enable_debug_command=True) as server:
        over = threading.Event()

        def hold() -> None:  # by the shard's own thread, so without the GIL
            with socket.create_connection(("127.0.0.1", server.port or 0), timeout=20) as client:
                while not over.is_set():
                    client.sendall(b"DEBUG SLEEP 0.03\r\n")
                    assert client.recv(100) == b"+OK\r\n"

        holds = threading.Thread(target=hold)
        holds.start()
        try:
            run(test)
        finally:
            over.set()
            holds.join(20)
        assert server.mget("a", "b") == [b"2", b"1"]
        assert server.info("clients")["watching_clients"] == 0


def test_a_transaction_in_a_pause(server: kevyrt.Server) -> None:
    async def test() -> None:
        server.set("a", 1)

        async def double(pipe: Any) -> None:
            seen = int(await pipe.get("a"))
            await pipe.set("seen", seen)
            pipe.multi()
            pipe.set("a", 2 * seen)

        pause(server, "WRITE")
        cancelled = await begin(server.aio.transaction(double, "a"))
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        doubles = await begin(server.aio.transaction(double, "a"))
        server.execute("CLIENT", "UNPAUSE")
        assert await doubles == [True]
        assert server.mget("a", "seen") == [b"2", b"1"]
        assert server.info("clients")["watching_clients"] == 0

    run(test)


def test_a_database_that_is_not_there(server: kevyrt.Server) -> None:
    async def test() -> None:
        with pytest.raises(ValueError, match="out of range"):
            await server.database(99).aio.pipeline().watch("a")
        async with server.database(3).aio.pipeline() as pipe:
            await pipe.watch("a")
            await pipe.set("b", 1)
        assert server.database(3).get("b") == b"1"

    run(test)
    with pytest.raises(ValueError, match="out of range"):
        server.database(99).pipeline().watch("a")


# ---- The log -------------------------------------------------------------------------------------

STANDING_DISK = """
#include <unistd.h>
int fdatasync(int fd) {
    while (access("stand", F_OK) == 0) usleep(1000);
    return fsync(fd);
}
"""


@pytest.fixture
def standing_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of programs: its syncs stand while there is a file `stand`."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler or not sys.platform.startswith("linux"):
        pytest.skip("needs a compiler, and a loader that preloads")
    (tmp_path / "disk.c").write_text(STANDING_DISK)
    library = tmp_path / "disk.so"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-o", library, tmp_path / "disk.c"], check=True, timeout=60
    )
    before = os.environ.get("LD_PRELOAD")
    monkeypatch.setenv("LD_PRELOAD", f"{before}:{library}" if before else str(library))


def test_a_disk_whose_sync_stands(standing_disk: None, program: Program) -> None:
    program(
        """
        import asyncio, pathlib
        import kevyrt

        stand = pathlib.Path("stand")

        async def begin(call):
            task = asyncio.ensure_future(call)
            await asyncio.sleep(0.01)
            assert not task.done()
            return task

        async def watch():
            async with server.aio.pipeline() as pipe:
                await pipe.watch("a")
                stand.touch()
                writes = await begin(pipe.set("b", 2))
                reads = await begin(pipe.get("b"))  # the session is not inside a call
                cancelled = await begin(pipe.incr("c"))
                cancelled.cancel()
                pipe.multi()
                executes = await begin(pipe.set("a", 3).execute())
                stand.unlink()
                assert await writes is True
                assert await reads == b"2"
                assert await cancelled == 1  # it has taken effect
                assert await executes == [True]

        async def transaction():
            async def double(pipe):
                seen = int(await pipe.get("a"))
                await pipe.set("seen", seen)
                pipe.multi()
                pipe.set("a", 2 * seen)

            stand.touch()
            doubles = await begin(server.aio.transaction(double, "a"))
            stand.unlink()
            assert await doubles == [True]
            assert await server.aio.mget("a", "seen") == [b"6", b"3"]

        async def stay_watching():
            stand.touch()
            pipe = server.aio.pipeline()
            write = server.aio.set("d", 1)
            watches = asyncio.ensure_future(pipe.watch("d"))
            await asyncio.sleep(0.01)
            await pipe.reset()
            stand.unlink()
            await watches
            assert await write and len(pipe.get("d")) == 1

        async def main():
            for part in (watch, transaction, stay_watching):
                await asyncio.wait_for(part(), 60)

        settings = {"appendonly": True, "appendfsync": "always", "dir": "."}
        with kevyrt.Server(port=None, threads=2, **settings) as server:
            asyncio.run(main())
            assert server.mget("a", "b", "c") == [b"6", b"2", b"1"]
        """
    )


def test_a_stopped_server() -> None:
    async def test() -> None:
        with pytest.raises(kevyrt.ServerStopped):
            await kevyrt.Server().aio.pipeline().set("a", 1).execute()

    run(test)
