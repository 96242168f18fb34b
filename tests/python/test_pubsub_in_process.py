"""Subscriptions in process, by threads and by loops: redis-py's methods and messages."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from programs import Program

import kevyrt


@pytest.fixture(params=["no log", "log"])
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[kevyrt.Server]:
    config: dict[str, Any] = {"threads": 2, "notify_keyspace_events": "KEA"}
    if request.param == "log":
        config |= {"appendonly": True, "appendfsync": "always", "dir": str(tmp_path)}
    with kevyrt.Server(**config) as server:
        yield server


def messages(pubsub: Any) -> list[Any]:
    """What it has got, with patience for the log."""
    found = []
    while True:
        message = pubsub.get_message(timeout=0.1)
        if message is None:
            return found
        found.append(message)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 60))


# ---- As redis-py's ------------------------------------------------------------------------------


def exercise(pubsub: Any, server: kevyrt.Server) -> list[Any]:
    """The same calls for both; what is told."""
    heard: list[Any] = []
    pubsub.subscribe("a", "b", "a")
    heard += messages(pubsub)
    pubsub.psubscribe(**{"a*": heard.append})
    pubsub.ssubscribe("a")
    heard += messages(pubsub)
    heard.append(server.publish("a", "plain"))
    heard += messages(pubsub)
    heard.append(server.publish("b", b"\xff\x00"))
    heard.append(server.execute("SPUBLISH", "a", "of a shard"))
    heard.append(server.publish("nobody", "hears"))
    heard += messages(pubsub)
    heard += [dict(pubsub.channels), list(pubsub.patterns), pubsub.subscribed]
    pubsub.unsubscribe("b", "never")
    heard += messages(pubsub)
    pubsub.punsubscribe()
    pubsub.sunsubscribe()
    heard += messages(pubsub)
    pubsub.unsubscribe()
    heard += messages(pubsub)
    heard += [pubsub.subscribed, server.publish("a", "again")]
    return heard


def test_messages_are_those_of_a_connection(served: kevyrt.Server) -> None:
    with served.pubsub() as pubsub:
        ours = exercise(pubsub, served)
    with redis.Redis(port=served.port) as client, client.pubsub() as theirs:
        assert ours == exercise(theirs, served)


def test_everything_else_is_told_as_well(served: kevyrt.Server) -> None:
    with served.pubsub() as pubsub:
        pubsub.psubscribe("__key*@0__:*")
        served.set("k", "v")
        served.delete("k")
        channels = [(message["channel"], message["data"]) for message in messages(pubsub)]
    assert [pair for pair in channels if b"keyspace" in pair[0]] == [
        (b"__keyspace@0__:k", b"set"),
        (b"__keyspace@0__:k", b"del"),
    ]


def test_it_counts_as_a_subscriber(served: kevyrt.Server) -> None:
    with served.pubsub() as pubsub, served.pubsub() as other:
        pubsub.subscribe("a")
        other.subscribe("a")
        other.psubscribe("x*", "y*")
        assert served.execute("PUBSUB", "NUMSUB", "a", "b") == [b"a", 2, b"b", 0]
        assert served.execute("PUBSUB", "NUMPAT") == 2
        assert served.execute("PUBSUB", "CHANNELS") == [b"a"]
        other.close()
        assert served.execute("PUBSUB", "NUMSUB", "a") == [b"a", 1]
    assert served.execute("PUBSUB", "CHANNELS") == []
    assert served.publish("a", 1) == 0


def test_texts_if_the_server_decodes() -> None:
    with kevyrt.Server(decode_responses=True) as server, server.pubsub() as pubsub:
        pubsub.subscribe(b"\xc3\xa9")
        server.publish("é", "ü")
        pubsub.get_message()
        assert pubsub.get_message() == {
            "type": "message",
            "pattern": None,
            "channel": "é",
            "data": "ü",
        }
        assert list(pubsub.channels) == ["é"]


# ---- Order --------------------------------------------------------------------------------------


def test_one_order_for_all(served: kevyrt.Server) -> None:
    """Publishers in threads; subscribers in process, and one on a connection."""
    client = redis.Redis(port=served.port)
    wire = client.pubsub()
    hear = [served.pubsub() for _ in range(3)]
    for pubsub in (wire, *hear):
        pubsub.subscribe("a")
        pubsub.psubscribe("b*")
        for _ in range(2):
            assert pubsub.get_message(timeout=10)

    def publish(number: int) -> None:
        for i in range(300):
            served.publish("a" if i % 2 else "bb", f"{number}:{i}")

    threads = [threading.Thread(target=publish, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    heard: list[list[Any]] = []
    for pubsub in (*hear, wire):
        got: list[Any] = []
        while len(got) < 1200:
            message: Any = pubsub.get_message(timeout=10)
            got.append(message["data"])
        heard.append(got)
    for thread in threads:
        thread.join()
    assert heard[1] == heard[0] and heard[2] == heard[0] and heard[3] == heard[0]
    client.close()


def test_what_is_published_before_is_not_heard(served: kevyrt.Server) -> None:
    stop = threading.Event()

    def publish() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            served.publish("a", number)

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        for _ in range(20):
            with served.pubsub(ignore_subscribe_messages=True) as pubsub:
                pubsub.subscribe("a")
                got = []
                while len(got) < 5:
                    message = pubsub.get_message(timeout=10)
                    if message:
                        got.append(int(message["data"]))
                assert got == list(range(got[0], got[0] + 5))
    finally:
        stop.set()
        thread.join()


def test_a_transaction_is_told_in_one_piece(served: kevyrt.Server) -> None:
    with served.pubsub() as pubsub:
        pubsub.subscribe("a")
        with served.session() as session:
            session.execute("MULTI")
            for i in range(3):
                session.execute("PUBLISH", "a", i)
            assert served.publish("a", "between") == 1
            assert session.execute("EXEC") == [1, 1, 1]
        data = [message["data"] for message in messages(pubsub)[1:]]
    assert data == [b"between", b"0", b"1", b"2"]


# ---- Ends ---------------------------------------------------------------------------------------


def test_who_does_not_keep_up(served: kevyrt.Server) -> None:
    served.execute("CONFIG", "SET", "client-output-buffer-limit", "pubsub 100000 0 0")
    with served.pubsub() as pubsub, served.pubsub() as other:
        pubsub.subscribe("a")
        other.subscribe("b")
        for _ in range(200):
            served.publish("a", "x" * 1000)
        count = 0
        with pytest.raises(kevyrt.SubscriptionLost, match="client-output-buffer-limit"):
            while pubsub.get_message(timeout=10):
                count += 1
        assert 50 < count < 100
        with pytest.raises(kevyrt.SubscriptionLost):
            pubsub.get_message()
        served.publish("b", "still")
        assert [message["type"] for message in messages(other)] == ["subscribe", "message"]


def test_a_stop_ends_it(served: kevyrt.Server) -> None:
    pubsub = served.pubsub()
    pubsub.subscribe("a")
    pubsub.get_message(timeout=1)
    timer = threading.Timer(0.02, served.stop)
    timer.start()
    with pytest.raises(kevyrt.ServerStopped):
        pubsub.get_message(timeout=None)
    timer.join()
    with pytest.raises(kevyrt.ServerStopped):
        pubsub.subscribe("b")
    with served:
        with pytest.raises(kevyrt.ServerStopped):  # it does not come back with the server
            pubsub.get_message()
        assert served.publish("a", 1) == 0
    pubsub.close()
    with pytest.raises(kevyrt.ServerStopped):
        served.pubsub()


def test_a_closed_one(served: kevyrt.Server) -> None:
    pubsub = served.pubsub()
    pubsub.subscribe("a")
    pubsub.close()
    pubsub.close()
    with pytest.raises(RuntimeError, match="closed"):
        pubsub.get_message()
    assert served.publish("a", 1) == 0


def test_a_forgotten_one(served: kevyrt.Server) -> None:
    served.pubsub().subscribe("a")
    gc.collect()
    assert served.publish("a", 1) == 0


def test_a_thread_with_handlers(served: kevyrt.Server) -> None:
    heard: list[Any] = []
    pubsub = served.pubsub()
    pubsub.subscribe(a=heard.append)
    thread = pubsub.run_in_thread(daemon=True)
    for i in range(3):
        served.publish("a", i)
    deadline = time.monotonic() + 10
    while len(heard) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    thread.stop()
    thread.join(10)
    assert not thread.is_alive()
    assert [message["data"] for message in heard] == [b"0", b"1", b"2"]


def test_in_a_forked_child(program: Program) -> None:
    output = program(
        """
import os, kevyrt
server = kevyrt.Server().start()
pubsub = server.pubsub()
pubsub.subscribe("a")
pid = os.fork()
if pid == 0:
    try:
        pubsub.get_message()
    except kevyrt.ForkedError:
        os._exit(7)
    os._exit(1)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
print(server.publish("a", 1), pubsub.get_message()["type"], pubsub.get_message()["data"])
"""
    )
    assert output == "7\n1 subscribe b'1'\n"


# ---- asyncio ------------------------------------------------------------------------------------


def test_messages_of_a_loop(served: kevyrt.Server) -> None:
    async def test() -> None:
        async with served.aio.pubsub(ignore_subscribe_messages=True) as pubsub:
            await pubsub.subscribe("a")
            assert await pubsub.get_message(timeout=0.2) is None  # it was ignored

            async def publish() -> None:
                for i in range(100):
                    await served.aio.publish("a", i)
                    await asyncio.sleep(0)

            async def hear() -> list[int]:
                found = []
                async for message in pubsub:
                    found.append(int(message["data"]))
                    if len(found) == 100:
                        await pubsub.unsubscribe()
                return found

            found, _ = await asyncio.gather(hear(), publish())
            assert found == list(range(100)) and not pubsub.subscribed

    run(test)


def test_handlers_of_a_loop(served: kevyrt.Server) -> None:
    async def test() -> None:
        heard: asyncio.Queue[Any] = asyncio.Queue()

        async def slow(message: Any) -> None:
            await asyncio.sleep(0)
            await heard.put(message["data"])

        async with served.aio.pubsub() as pubsub:
            await pubsub.subscribe(a=heard.put_nowait, b=slow)
            runs = asyncio.create_task(pubsub.run())
            served.publish("b", 1)
            assert await heard.get() == b"1"
            served.publish("a", 2)
            assert (await heard.get())["data"] == b"2"
            runs.cancel()
            with pytest.raises(asyncio.CancelledError):
                await runs

    run(test)


def test_cancels_lose_no_message(served: kevyrt.Server) -> None:
    async def test() -> None:
        async with served.aio.pubsub(ignore_subscribe_messages=True) as pubsub:
            await pubsub.subscribe("a")
            heard: list[int] = []

            async def hear() -> None:
                while True:
                    message = await pubsub.get_message(timeout=None)
                    if message is not None:
                        heard.append(int(message["data"]))

            thread = threading.Thread(target=lambda: [served.publish("a", i) for i in range(2000)])
            thread.start()
            while len(heard) < 2000:
                hears = asyncio.create_task(hear())
                await asyncio.sleep(0.0002)
                hears.cancel()
                await asyncio.gather(hears, return_exceptions=True)
            thread.join()
            assert heard == list(range(2000))

    run(test)


def test_a_stop_ends_it_in_a_loop(served: kevyrt.Server) -> None:
    async def test() -> None:
        pubsub = served.aio.pubsub()
        await pubsub.subscribe("a")
        await pubsub.get_message(timeout=1)
        hears = asyncio.create_task(pubsub.get_message(timeout=None))
        await asyncio.sleep(0)
        await asyncio.to_thread(served.stop)
        with pytest.raises(kevyrt.ServerStopped):
            await hears

    run(test)


def test_closing_ends_who_waits(served: kevyrt.Server) -> None:
    async def test() -> None:
        pubsub = served.aio.pubsub()
        await pubsub.subscribe("a")
        await pubsub.get_message(timeout=1)
        hears = asyncio.create_task(pubsub.get_message(timeout=None))
        await asyncio.sleep(0.01)
        await pubsub.aclose()
        with pytest.raises(RuntimeError, match="closed"):
            await hears

    run(test)


def test_one_after_another_in_two_loops(served: kevyrt.Server) -> None:
    pubsub = served.aio.pubsub(ignore_subscribe_messages=True)

    async def test() -> None:
        await pubsub.subscribe("a")
        asyncio.get_running_loop().call_later(0.01, served.publish, "a", 1)
        while await pubsub.get_message(timeout=10) is None:
            pass

    run(test)
    run(test)


def test_nothing_is_left_behind(served: kevyrt.Server) -> None:
    async def use() -> None:
        async with served.aio.pubsub() as pubsub:
            await pubsub.subscribe(*map(str, range(10)))
            asyncio.get_running_loop().call_soon(served.publish, "1", "x")
            for _ in range(11):
                assert await pubsub.get_message(timeout=10)

    def count() -> tuple[int, int]:
        gc.collect()
        return len(os.listdir("/proc/self/fd")), sys.getrefcount(served)

    for _ in range(3):
        run(use)
    before = count()
    for _ in range(50):
        run(use)
        with served.pubsub() as pubsub:
            pubsub.subscribe("a")
    assert count() == before
