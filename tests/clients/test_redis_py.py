"""redis-py, sync and asyncio, RESP2 and RESP3, as applications use it."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import redis
import redis.asyncio
from harness.process import Server
from redis.cache import CacheConfig

PROTOCOLS = [2, 3]


@pytest.fixture(params=PROTOCOLS, ids=["resp2", "resp3"])
def protocol(request: pytest.FixtureRequest) -> int:
    return request.param


@pytest.fixture
def client(subject: Server, protocol: int) -> Iterator[redis.Redis]:
    with redis.Redis(host=subject.host, port=subject.port, protocol=protocol) as client:
        yield client


@pytest.fixture(autouse=True)
def in_order(subject: Server) -> Iterator[None]:
    """Whatever the client did, the server still answers others."""
    yield
    assert subject.control().do("PING").value == b"PONG"


def test_strings(client: redis.Redis) -> None:
    assert client.ping() is True
    assert client.set("k", "v") is True
    assert client.get("k") == b"v"
    assert client.get("none") is None
    assert client.set("k", "w", nx=True) is None
    assert client.set("k", "w", get=True) == b"v"
    assert client.set("new", "x", xx=True) is None
    assert client.incr("n") == 1
    assert client.mset({"a": "1", "b": b"\x00\xff"}) is True
    assert client.mget("a", "none", "b") == [b"1", None, b"\x00\xff"]
    assert client.exists("a", "b", "none", "a") == 3
    assert client.delete("a", "b", "none") == 2
    assert client.dbsize() == 2


def test_expiry(client: redis.Redis) -> None:
    assert client.set("k", "v", ex=100)
    assert 90 < client.ttl("k") <= 100
    assert client.set("k", "w", keepttl=True)
    assert 90_000 < client.pttl("k") <= 100_000
    assert client.pexpire("k", 50_000) is True
    assert client.expire("k", 10, nx=True) is False
    assert client.expire("none", 10) is False
    assert client.ttl("none") == -2


def test_errors_have_their_classes(client: redis.Redis) -> None:
    client.set("k", "text")
    with pytest.raises(redis.ResponseError, match="not an integer"):
        client.incr("k")
    with pytest.raises(redis.ResponseError, match="unknown command"):
        client.execute_command("NOPE", "a")
    with pytest.raises(redis.ResponseError, match="wrong number of arguments"):
        client.execute_command("GET")
    assert client.get("k") == b"text"


def test_server_commands(client: redis.Redis, subject: Server) -> None:
    info = client.info()
    if not subject.is_redis:
        assert info["redis_version"] == "7.4.0"
    assert info["tcp_port"] == subject.port
    assert client.info("clients")["connected_clients"] >= 1
    assert client.config_get("databases") == {"databases": "16"}
    assert client.command_count() > 100
    assert client.client_id() > 0
    client.set("k", "v")
    assert client.info("keyspace")["db0"]["keys"] == 1
    assert client.flushdb() is True
    assert client.flushall(asynchronous=True) is True
    assert client.dbsize() == 0


def test_pipeline(client: redis.Redis) -> None:
    with client.pipeline(transaction=False) as pipe:
        for i in range(500):
            pipe.set(f"k{i}", i).incr(f"k{i}").get(f"k{i}")
        results = pipe.execute()
    assert results == [x for i in range(500) for x in (True, i + 1, b"%d" % (i + 1))]


def test_pipeline_with_errors(client: redis.Redis) -> None:
    with client.pipeline(transaction=False) as pipe:
        pipe.set("k", "text").incr("k").get("k")
        done, error, value = pipe.execute(raise_on_error=False)
    assert done is True and value == b"text"
    assert isinstance(error, redis.ResponseError)


def test_large_values(client: redis.Redis) -> None:
    values = {f"big{i}": random.Random(i).randbytes(i * 100_000) for i in range(12)}
    client.mset(values)
    assert client.mget(list(values)) == list(values.values())


def test_decode_responses(subject: Server, protocol: int) -> None:
    options = {"protocol": protocol, "decode_responses": True}
    with redis.Redis(host=subject.host, port=subject.port, **options) as client:
        client.set("schlüssel", "wört")
        assert client.get("schlüssel") == "wört"
        assert client.mget("schlüssel", "none") == ["wört", None]
        assert client.config_get("databases") == {"databases": "16"}


def test_names_and_databases(subject: Server, protocol: int) -> None:
    options = {"protocol": protocol, "client_name": "worker-1"}
    with redis.Redis(host=subject.host, port=subject.port, db=3, **options) as client:
        assert client.client_getname() in ("worker-1", b"worker-1")
        client.set("k", "three")
    with redis.Redis(host=subject.host, port=subject.port, protocol=protocol) as client:
        assert client.client_getname() is None
        assert client.get("k") is None


def test_from_url(subject: Server, protocol: int) -> None:
    urls = [
        f"redis://{subject.host}:{subject.port}/5?protocol={protocol}",
        f"unix://{subject.unix_path}?db=5&protocol={protocol}",
    ]
    for url in urls:
        with redis.Redis.from_url(url) as client:
            client.incr("visits")
    with redis.Redis.from_url(urls[0]) as client:
        assert client.get("visits") == b"2"


def test_unix_socket(subject: Server, protocol: int) -> None:
    with redis.Redis(unix_socket_path=subject.unix_path, protocol=protocol) as client:
        assert client.set("k", "v")
        assert client.get("k") == b"v"


def test_pool_shared_by_threads(subject: Server, protocol: int) -> None:
    pool = redis.BlockingConnectionPool(
        host=subject.host, port=subject.port, protocol=protocol, max_connections=4
    )
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            client = redis.Redis(connection_pool=pool)
            for i in range(50):
                client.incr("shared")
                client.set(f"own{number}", i)
                assert client.get(f"own{number}") == b"%d" % i
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not failures, failures
    assert redis.Redis(connection_pool=pool).get("shared") == b"400"
    pool.disconnect()


def test_reconnects_after_quit(client: redis.Redis) -> None:
    assert client.set("k", "v")
    client.execute_command("QUIT")
    assert client.get("k") == b"v"


def test_wrong_database_is_an_error(subject: Server, protocol: int) -> None:
    client = redis.Redis(host=subject.host, port=subject.port, db=99, protocol=protocol)
    with client, pytest.raises(redis.ResponseError, match="DB index is out of range"):
        client.get("k")


@asynccontextmanager
async def _async_client(
    subject: Server, protocol: int, **options: Any
) -> AsyncIterator[redis.asyncio.Redis]:
    client = redis.asyncio.Redis(host=subject.host, port=subject.port, protocol=protocol, **options)
    try:
        yield client
    finally:
        await client.aclose()


def _run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 40))


def test_async_commands(subject: Server, protocol: int) -> None:
    async def body() -> None:
        async with _async_client(subject, protocol, decode_responses=True) as client:
            assert await client.set("k", "v", ex=100)
            assert await client.get("k") == "v"
            assert await client.incr("n") == 1
            assert await client.mset({"a": 1, "b": 2})
            assert await client.mget("a", "b", "none") == ["1", "2", None]
            assert await client.delete("a", "b", "k") == 3
            assert await client.ttl("k") == -2
            with pytest.raises(redis.ResponseError):
                await client.execute_command("NOPE")

    _run(body)


def test_async_pipeline(subject: Server, protocol: int) -> None:
    async def body() -> None:
        async with (
            _async_client(subject, protocol) as client,
            client.pipeline(transaction=False) as pipe,
        ):
            for i in range(300):
                pipe.set(f"k{i}", i).get(f"k{i}")
            results = await pipe.execute()
            assert results == [x for i in range(300) for x in (True, b"%d" % i)]

    _run(body)


def test_async_many_tasks(subject: Server, protocol: int) -> None:
    async def body() -> None:
        async with _async_client(subject, protocol) as client:

            async def task(number: int) -> None:
                for i in range(20):
                    await client.incr("shared")
                    await client.set(f"own{number}", i)
                    assert await client.get(f"own{number}") == b"%d" % i

            await asyncio.gather(*(task(i) for i in range(20)))
            assert await client.get("shared") == b"400"

    _run(body)


def test_async_unix_socket_and_url(subject: Server, protocol: int) -> None:
    async def body() -> None:
        url = f"unix://{subject.unix_path}?protocol={protocol}&client_name=async-1"
        client = redis.asyncio.Redis.from_url(url, decode_responses=True)
        try:
            assert await client.client_getname() == "async-1"
            assert await client.echo("hello") == "hello"
        finally:
            await client.aclose()

    _run(body)


def test_async_cancelled_call_leaves_the_client_usable(subject: Server, protocol: int) -> None:
    async def body() -> None:
        async with _async_client(subject, protocol) as client:
            await client.set("k", "v")
            for _ in range(20):
                task = asyncio.ensure_future(client.get("k"))
                await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                assert await client.get("k") == b"v"

    _run(body)


def _next(listener: redis.client.PubSub, kind: str) -> Any:
    """The next message, which is of that kind."""
    message = None
    while message is None:
        message = listener.get_message(timeout=10)
    assert message["type"] == kind, message
    return message["channel"] if message["data"] is None else message["data"]


def test_channels(client: redis.Redis) -> None:
    with client.pubsub() as listener:
        listener.subscribe("a", "b")
        assert (_next(listener, "subscribe"), _next(listener, "subscribe")) == (1, 2)
        listener.psubscribe("a*")
        assert _next(listener, "psubscribe") == 3
        assert client.publish("a", "text") == 2
        assert (_next(listener, "message"), _next(listener, "pmessage")) == (b"text", b"text")
        assert client.publish("none", "text") == 0
        assert client.pubsub_numsub("a", "none") == [(b"a", 1), (b"none", 0)]
        assert client.pubsub_numpat() == 1
        assert sorted(client.pubsub_channels("*")) == [b"a", b"b"]
        listener.ping("still there")
        assert _next(listener, "pong") == b"still there"
        listener.unsubscribe("a")
        assert _next(listener, "unsubscribe") == 2
        listener.ssubscribe("s")
        assert _next(listener, "ssubscribe") == 1
        assert client.execute_command("SPUBLISH", "s", "text") == 1
        assert _next(listener, "smessage") == b"text"
        listener.punsubscribe()
        assert _next(listener, "punsubscribe") == 1
    deadline = time.monotonic() + 5
    while client.publish("b", "text"):  # the server learns of the connection's end by itself
        assert time.monotonic() < deadline


def test_health_check_while_subscribed(subject: Server, protocol: int) -> None:
    """The client pings by itself, among the messages."""
    options = {"host": subject.host, "port": subject.port, "protocol": protocol}
    with redis.Redis(health_check_interval=0.2, **options) as client, client.pubsub() as listener:
        listener.subscribe("a")
        assert _next(listener, "subscribe") == 1
        for turn in range(3):
            assert client.publish("a", f"{turn}") == 1
            assert _next(listener, "message") == b"%d" % turn
            time.sleep(0.15)
            assert listener.get_message(timeout=0.1) is None


def test_channels_in_a_thread_with_handlers(client: redis.Redis) -> None:
    heard: list[bytes] = []
    arrived = threading.Event()

    def note(message: dict[str, Any]) -> None:
        heard.append(message["data"])
        if len(heard) == 100:
            arrived.set()

    with client.pubsub(ignore_subscribe_messages=True) as listener:
        listener.subscribe(**{"a": note})
        listener.psubscribe(**{"b*": note})
        thread = listener.run_in_thread(sleep_time=0.01)
        while client.pubsub_numpat() == 0:
            time.sleep(0.01)
        for turn in range(50):
            assert client.publish("a", f"a{turn}") == client.publish("bb", f"b{turn}") == 1
        assert arrived.wait(10)
        thread.stop()
        thread.join(10)
    assert heard == [b"%s%d" % (name, turn) for turn in range(50) for name in (b"a", b"b")]


def test_async_channels(subject: Server, protocol: int) -> None:
    async def body() -> None:
        async with _async_client(subject, protocol) as client, client.pubsub() as listener:
            await listener.subscribe("a")
            await listener.psubscribe("a*")
            assert (await listener.get_message(timeout=10))["type"] == "subscribe"
            assert (await listener.get_message(timeout=10))["type"] == "psubscribe"
            for turn in range(20):
                assert await client.publish("a", f"{turn}") == 2
                for kind in ("message", "pmessage"):
                    message = await listener.get_message(timeout=10)
                    assert (message["type"], message["data"]) == (kind, b"%d" % turn)

    _run(body)


def test_keyspace_notifications(client: redis.Redis) -> None:
    client.config_set("notify-keyspace-events", "KEA")
    with client.pubsub() as listener:
        listener.psubscribe("__key*__:*")
        assert _next(listener, "psubscribe") == 1
        client.set("k", "v", ex=100)
        heard = [listener.get_message(timeout=10) for _ in range(4)]
        assert [(m["channel"], m["data"]) for m in heard] == [
            (b"__keyspace@0__:k", b"set"),
            (b"__keyevent@0__:set", b"k"),
            (b"__keyspace@0__:k", b"expire"),
            (b"__keyevent@0__:expire", b"k"),
        ]
    client.config_set("notify-keyspace-events", "")


# ---- Client-side caching -------------------------------------------------------------------------
# redis-py looks at what has come, and cannot wait for what is on its way: a read that begins when a
# write has just been answered to somebody else may come too soon.


def _cached(server: Server, **options: Any) -> redis.Redis:
    if server.is_redis:
        pytest.skip("redis-py caches nothing of a server before 7.4")
    return redis.Redis(
        host=server.host, port=server.port, protocol=3, cache_config=CacheConfig(), **options
    )


def _await(read: Callable[[], Any], expected: Any) -> None:
    deadline = time.monotonic() + 5
    while (got := read()) != expected:
        assert time.monotonic() < deadline, f"{got} instead of {expected}"


def _calls_of(client: redis.Redis, name: str) -> int:
    statistics = client.info("commandstats")
    return statistics.get(f"cmdstat_{name}", {"calls": 0})["calls"]


def test_cached_reads_follow_writes(subject: Server) -> None:
    keys = subject.spread(6)
    with _cached(subject) as cached, redis.Redis(host=subject.host, port=subject.port) as writer:
        cache = cached.get_cache()
        assert cache is not None
        for version in range(30):
            writer.mset(dict.fromkeys(keys, version))
            values = [b"%d" % version] * len(keys)
            _await(lambda: [cached.get(key) for key in keys], values)
            _await(lambda: cached.mget(keys), values)
            calls = _calls_of(writer, "get")
            for _ in range(20):
                assert [cached.get(key) for key in keys] == values
            assert _calls_of(writer, "get") == calls, "reads that are cached ask nobody"
        assert cache.size >= len(keys)


def test_cached_values_of_every_type_follow_writes(subject: Server) -> None:
    with _cached(subject) as cached, redis.Redis(host=subject.host, port=subject.port) as writer:
        for last in range(5):
            writer.hset("h", "f", last)
            writer.rpush("l", last)
            writer.zadd("z", {str(last): last})
            writer.sadd("s", last)
            members = [b"%d" % i for i in range(last + 1)]
            _await(lambda: cached.hgetall("h"), {b"f": b"%d" % last})
            _await(lambda: cached.lrange("l", 0, -1), members)
            _await(lambda: cached.zrange("z", 0, -1), members)
            _await(lambda: cached.smembers("s"), set(members))
        writer.flushall()
        _await(lambda: cached.hgetall("h"), {})
        _await(lambda: cached.lrange("l", 0, -1), [])


def test_cached_reads_of_own_writes(subject: Server) -> None:
    with _cached(subject) as cached:
        for version in range(50):
            cached.set("k", version)
            assert cached.get("k") == b"%d" % version
            assert cached.get("k") == b"%d" % version
        cached.delete("k")
        assert cached.get("k") is None
