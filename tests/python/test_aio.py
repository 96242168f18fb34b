"""server.aio: the server's methods as awaitables, which call at once, and wait in the loop."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import warnings
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from programs import Program

import kevyrt

Test = Callable[[kevyrt.Server], Coroutine[Any, Any, None]]


def run(server: kevyrt.Server, test: Test) -> None:
    async def limited() -> None:
        await asyncio.wait_for(test(server), 60)

    asyncio.run(limited(), debug=False)


# ---- Results and errors --------------------------------------------------------------------------


def test_results_are_those_of_the_server(server: kevyrt.Server) -> None:
    async def test(server: kevyrt.Server) -> None:
        aio = server.aio
        assert await aio.set("k", "v") is True
        assert await aio.get("k") == b"v"
        assert await aio.get("nobody") is None
        assert await aio.set("k", "w", nx=True) is None
        assert await aio.set("k", "w", get=True) == b"v"
        assert await aio.mget("k", "nobody") == [b"w", None]
        assert await aio.zadd("z", {"a": 1, "b": 2}) == 2  # type: ignore[misc]
        assert await aio.execute("ZRANGE", "z", 0, -1) == [b"a", b"b"]
        assert await aio.execute("PING") == "PONG"
        assert await aio.ping() == server.ping()
        assert await aio.get("k" * 5000) is None
        large = "x" * 100_000
        assert await aio.set("large", large) and await aio.get("large") == large.encode()

    run(server, test)


def test_a_database_has_one(server: kevyrt.Server) -> None:
    async def test(server: kevyrt.Server) -> None:
        assert await server.database(3).aio.set("k", "three")
        assert await server.aio.get("k") is None
        assert server.database(3).get("k") == b"three"

    run(server, test)


def test_it_decodes_as_its_server_does() -> None:
    async def test(server: kevyrt.Server) -> None:
        await server.aio.set("k", "v")
        assert await server.aio.get("k") == "v"  # type: ignore[comparison-overlap]
        assert await server.aio.mget("k") == ["v"]  # type: ignore[comparison-overlap]

    with kevyrt.Server(decode_responses=True) as server:
        run(server, test)


def test_errors_are_raised_where_it_is_awaited(server: kevyrt.Server) -> None:
    async def test(server: kevyrt.Server) -> None:
        await server.aio.set("k", "word")
        wrong = server.aio.execute("LPUSH", "k", "x")
        with pytest.raises(kevyrt.WrongTypeError):
            await wrong
        server.execute("LPUSH", "list", 1)
        results = await asyncio.gather(
            server.aio.get("list"), server.aio.get("k"), return_exceptions=True
        )
        assert isinstance(results[0], kevyrt.WrongTypeError) and results[1] == b"word"

    run(server, test)


def test_wrong_arguments_are_raised_at_once(server: kevyrt.Server) -> None:
    async def test(server: kevyrt.Server) -> None:
        with pytest.raises(TypeError):
            server.aio.get(None)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            server.aio.get()  # type: ignore[call-arg]
        with pytest.raises(TypeError):
            server.aio.execute()

    run(server, test)


def test_a_number_of_a_database_that_is_too_high(server: kevyrt.Server) -> None:
    async def test(server: kevyrt.Server) -> None:
        for call in (server.database(99).aio.get("k"), server.database(99).aio.execute("PING")):
            with pytest.raises(ValueError, match="out of range"):
                await call

    run(server, test)


def test_a_server_that_does_not_run() -> None:
    async def test(server: kevyrt.Server) -> None:
        for call in (server.aio.get("k"), server.aio.set("k", 1), server.aio.execute("PING")):
            with pytest.raises(kevyrt.ServerStopped):
                await call

    run(kevyrt.Server(), test)


# ---- When it takes effect ------------------------------------------------------------------------


def test_the_call_is_made_when_the_method_is_called(server: kevyrt.Server) -> None:
    async def test(server: kevyrt.Server) -> None:
        unawaited = server.aio.set("k", 1)
        assert server.get("k") == b"1"
        del unawaited
        assert await asyncio.gather(server.aio.set("k", 2), server.aio.get("k")) == [True, b"2"]

    run(server, test)


def test_it_is_awaited_once(server: kevyrt.Server) -> None:
    async def test(server: kevyrt.Server) -> None:
        call = server.aio.get("k")
        await call
        with pytest.raises(RuntimeError, match="already"):
            await call

    run(server, test)


def test_tasks_take_it(server: kevyrt.Server) -> None:
    async def test(server: kevyrt.Server) -> None:
        server.set("k", "v")
        task = asyncio.create_task(server.aio.get("k"))
        assert await task == b"v"
        assert await asyncio.wait_for(server.aio.get("k"), 10) == b"v"
        assert await asyncio.shield(server.aio.get("k")) == b"v"
        assert asyncio.iscoroutine(server.aio.get("k"))

    run(server, test)


def test_no_loop_is_needed_for_what_is_done(server: kevyrt.Server) -> None:
    call = server.aio.set("k", "v")
    with pytest.raises(StopIteration) as stop:
        call.send(None)
    assert stop.value.value is True


def test_coroutine_methods(server: kevyrt.Server) -> None:
    server.set("k", "v")
    call = server.aio.get("k")
    call.close()
    with pytest.raises(RuntimeError):
        call.send(None)
    with pytest.raises(ZeroDivisionError):
        server.aio.get("k").throw(ZeroDivisionError())
    with pytest.raises(StopIteration) as stop:  # it was called already
        server.aio.get("k").throw(asyncio.CancelledError())
    assert stop.value.value == b"v"


@pytest.mark.parametrize(
    "intrude",
    [
        lambda call: call.close(),
        lambda call: call.send(None),
        lambda call: call.throw(ZeroDivisionError()),
    ],
    ids=["close", "send", "throw"],
)
def test_who_comes_while_it_runs_is_refused(
    server: kevyrt.Server, intrude: Callable[[Any], Any]
) -> None:
    async def test(server: kevyrt.Server) -> None:
        loop: Any = asyncio.get_running_loop()
        call = server.aio.blpop("jobs")
        refused: list[BaseException] = []
        create_future = loop.create_future

        def from_within() -> asyncio.Future[None]:
            loop.create_future = create_future
            with pytest.raises(ValueError) as error:
                intrude(call)
            refused.append(error.value)
            gc.collect()
            future: asyncio.Future[None] = create_future()
            return future

        loop.create_future = from_within
        loop.call_later(0, server.rpush, "jobs", "first")
        assert await call == (b"jobs", b"first")
        assert [str(error) for error in refused] == ["it is being awaited already"]

    run(server, test)


def test_errors_that_nobody_awaits_are_reported(server: kevyrt.Server) -> None:
    reports: list[Any] = []
    before, sys.unraisablehook = sys.unraisablehook, reports.append
    try:
        server.aio.execute("NONSENSE")
    finally:
        sys.unraisablehook = before
    assert [type(report.exc_value) for report in reports] == [kevyrt.ResponseError]


def test_waits_that_nobody_awaits_are_reported(server: kevyrt.Server) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        server.aio.blpop("jobs")
        gc.collect()
    assert [warning.category for warning in caught] == [RuntimeWarning]
    assert server.execute("RPUSH", "jobs", 1) == 1, "it waits on"


# ---- Waiting -------------------------------------------------------------------------------------


def test_a_command_waits_in_the_loop(server: kevyrt.Server) -> None:
    async def test(server: kevyrt.Server) -> None:
        async def push() -> None:
            await asyncio.sleep(0)
            await server.aio.execute("RPUSH", "jobs", "first")

        popped, _ = await asyncio.gather(server.aio.blpop("jobs"), push())
        assert popped == (b"jobs", b"first")

    run(server, test)


def test_any_thread_wakes_it(server: kevyrt.Server) -> None:
    async def test(server: kevyrt.Server) -> None:
        pops = [asyncio.create_task(server.aio.blpop("jobs")) for _ in range(50)]
        await asyncio.sleep(0)
        for i in range(50):
            await asyncio.to_thread(server.execute, "RPUSH", "jobs", i)
        assert await asyncio.gather(*pops) == [(b"jobs", b"%d" % i) for i in range(50)]

    run(server, test)


def test_streams_and_wait(server: kevyrt.Server) -> None:
    async def test(server: kevyrt.Server) -> None:
        read = asyncio.create_task(
            server.aio.execute("XREAD", "BLOCK", 0, "STREAMS", "events", "$")
        )
        await asyncio.sleep(0)
        await server.aio.execute("XADD", "events", "1-1", "f", "v")
        assert await read == {b"events": [[b"1-1", [b"f", b"v"]]]}
        assert await server.aio.execute("WAIT", 0, 0) == 0

    run(server, test)


def test_a_pause_does_not_stop_the_loop(server: kevyrt.Server) -> None:
    async def test(server: kevyrt.Server) -> None:
        server.execute("CLIENT", "PAUSE", 10_000_000, "WRITE")
        paused = asyncio.create_task(server.aio.set("k", 1))
        for _ in range(100):
            await asyncio.sleep(0)
        assert not paused.done() and await server.aio.get("k") is None
        await server.aio.execute("CLIENT", "UNPAUSE")
        assert await paused is True

    run(server, test)


def test_a_paused_call_can_be_cancelled(server: kevyrt.Server) -> None:
    async def test(server: kevyrt.Server) -> None:
        server.execute("CLIENT", "PAUSE", 10_000_000, "WRITE")
        paused = asyncio.create_task(server.aio.set("k", 1))
        await asyncio.sleep(0.01)
        paused.cancel()
        with pytest.raises(asyncio.CancelledError):
            await paused
        server.execute("CLIENT", "UNPAUSE")
        assert await server.aio.get("k") is None

    run(server, test)


def test_a_stop_ends_all_waits(server: kevyrt.Server) -> None:
    async def test(server: kevyrt.Server) -> None:
        waits = [asyncio.create_task(server.aio.blpop(f"jobs{i}")) for i in range(20)]
        await asyncio.sleep(0)
        await asyncio.to_thread(server.stop)
        for wait in waits:
            with pytest.raises(kevyrt.ServerStopped):
                await wait

    run(server, test)


# ---- The log -------------------------------------------------------------------------------------


@pytest.mark.parametrize("fsync", ["always", "everysec", "no"])
def test_results_wait_for_the_log(tmp_path: Path, fsync: str) -> None:
    async def test(server: kevyrt.Server) -> None:
        aio = server.aio
        sets = [aio.set(f"k{i}", i) for i in range(200)]
        assert await asyncio.gather(*sets) == [True] * 200
        assert await aio.get("k7") == b"7"
        pops = [asyncio.create_task(aio.blpop("jobs")) for _ in range(100)]
        await asyncio.sleep(0)
        assert await aio.execute("RPUSH", "jobs", *range(100)) == 100
        assert await asyncio.gather(*pops) == [(b"jobs", b"%d" % i) for i in range(100)]
        if fsync != "no":
            assert await aio.execute("WAITAOF", 1, 0, 0) == [1, 0]
        with pytest.raises(kevyrt.WrongTypeError):
            await aio.execute("LPUSH", "k1", 1)

    with kevyrt.Server(appendonly=True, appendfsync=fsync, dir=str(tmp_path)) as server:
        run(server, test)


def test_what_the_log_loses_is_told_to_nobody(tmp_path: Path) -> None:
    async def test(server: kevyrt.Server) -> None:
        waits = [asyncio.create_task(server.aio.set(f"k{i}", i)) for i in range(100)]
        await asyncio.to_thread(server.stop)
        for wait in waits:  # everything that was called is on the disk after a stop
            assert await wait is True

    with kevyrt.Server(appendonly=True, appendfsync="always", dir=str(tmp_path)) as server:
        run(server, test)


# ---- The object ----------------------------------------------------------------------------------


def test_it_keeps_the_server() -> None:
    async def test() -> None:
        aio = kevyrt.Server().start().aio
        gc.collect()
        await aio.set("k", 1)
        assert await aio.get("k") == b"1"

    asyncio.run(test())


def test_it_is_no_cycle() -> None:
    server = kevyrt.Server().start()
    aio = server.aio
    assert isinstance(aio, kevyrt.Aio)
    gc.disable()
    try:
        count = sys.getrefcount(server)
        del aio
        assert sys.getrefcount(server) == count - 1
    finally:
        gc.enable()
        server.stop()


def test_asyncio_is_imported_when_it_is_asked_for() -> None:
    source = "import kevyrt, sys; assert 'asyncio' not in sys.modules, 'imported'"
    subprocess.run([sys.executable, "-c", source], check=True, timeout=60)


def test_in_a_forked_child(program: Program) -> None:
    output = program(
        """
import asyncio, os, kevyrt
server = kevyrt.Server().start()
aio = server.aio
async def main():
    wait = asyncio.create_task(aio.blpop("jobs"))
    await asyncio.sleep(0)
    pid = os.fork()
    if pid == 0:
        try:
            await aio.get("k")
        except kevyrt.ForkedError:
            os._exit(7)
        os._exit(1)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    await aio.execute("RPUSH", "jobs", 1)
    print(await wait)
asyncio.run(main())
"""
    )
    assert output == "7\n(b'jobs', b'1')\n"


def test_time_outs_follow_the_servers_clock(server: kevyrt.Server) -> None:
    async def test(server: kevyrt.Server) -> None:
        server.clock.freeze()
        waits = [asyncio.create_task(server.aio.blpop("jobs", 1000 + i)) for i in range(3)]
        for _ in range(100):
            await asyncio.sleep(0)
        assert not any(wait.done() for wait in waits)
        server.clock.advance(1001.5)
        assert await waits[0] is None and await waits[1] is None
        assert not waits[2].done()
        server.rpush("jobs", 1)
        assert await waits[2] == (b"jobs", b"1")
        server.clock.resume()
        assert await server.aio.blpop("jobs", 0.01) is None

    run(server, test)
