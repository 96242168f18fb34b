"""kevyrt.redis: redis-py's clients and pools, over socket pairs."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
import redis.asyncio
from programs import Program
from redis.backoff import NoBackoff
from redis.cache import CacheConfig
from redis.retry import Retry
from test_docs import run_examples

import kevyrt
import kevyrt.redis

PATIENCE_S = 20


def at_once() -> Retry:
    """Redis-py's clients try for some seconds otherwise."""
    return Retry(NoBackoff(), 0)


@pytest.fixture(params=[1, 3], ids=["1-shard", "3-shards"])
def hidden(request: pytest.FixtureRequest) -> Iterator[kevyrt.Server]:
    """A server that listens nowhere."""
    with kevyrt.Server(port=None, threads=request.param, save=[]) as running:
        yield running


# ---- Clients -------------------------------------------------------------------------------------


def test_a_client_is_an_ordinary_one(hidden: kevyrt.Server) -> None:
    assert hidden.url is None
    with hidden.client() as client:
        assert type(client) is redis.Redis
        assert client.set("k", "v") is True
        assert hidden.get("k") == b"v"
        hidden.set("other", 5)
        assert client.incr("other") == 6
        with client.pipeline() as pipe:
            assert pipe.get("k").incr("other").execute() == [b"v", 7]
        assert client.info("server")["redis_version"].startswith("7.4")


def test_options_are_those_of_redis_py(hidden: kevyrt.Server) -> None:
    hidden.execute("SET", "k", "three", db=3)
    for protocol in (2, 3):
        with hidden.client(
            db=3, decode_responses=True, protocol=protocol, client_name="me", max_connections=2
        ) as client:
            assert client.get("k") == "three"
            assert client.client_getname() == "me"
            assert client.client_info()["resp"] == str(protocol)
            assert client.connection_pool.max_connections == 2
    with pytest.raises(TypeError, match="no_such_option"):
        hidden.client(no_such_option=1)


@pytest.mark.parametrize("name", ["host", "port", "unix_socket_path", "ssl", "connection_pool"])
def test_where_the_server_is_cannot_be_said(hidden: kevyrt.Server, name: str) -> None:
    for make in (hidden.client, hidden.async_client):
        with pytest.raises(TypeError, match=name):
            make(**{name: "somewhere"})


def test_a_connection_of_ones_own(hidden: kevyrt.Server) -> None:
    client = hidden.client(single_connection_client=True)
    assert client.connection is not None
    number = client.client_id()
    assert client.client_id() == number
    client.close()
    with hidden.client() as other:
        assert other.client_id() != number


def test_a_connection_has_what_redis_py_and_others_look_at(hidden: kevyrt.Server) -> None:
    """kombu polls the descriptor of a connection and reads its answer later."""
    with hidden.client() as client:
        connection = client.connection_pool.get_connection()
        assert isinstance(connection, redis.Connection)
        assert (connection.host, connection.port) == ("127.0.0.1", 0)
        connection.send_command("BRPOP", "list", 0)
        poller = select.epoll()
        poller.register(connection._sock.fileno(), select.EPOLLIN)
        assert poller.poll(0.01) == []
        hidden.execute("LPUSH", "list", "element")
        assert poller.poll(PATIENCE_S)
        assert connection.read_response() == [b"list", b"element"]
        poller.close()
        client.connection_pool.release(connection)


def test_a_time_out_is_kept(hidden: kevyrt.Server) -> None:
    hasty = hidden.client(socket_timeout=0.05, retry=at_once())
    with hasty, pytest.raises(redis.TimeoutError):
        hasty.blpop("nothing", 60)


def test_without_a_time_out_a_client_waits(hidden: kevyrt.Server) -> None:
    """Commands that wait are not cut short by redis-py's five seconds."""
    for pool in (hidden.client().connection_pool, kevyrt.redis.pool(hidden)):
        connection = pool.get_connection()
        assert connection._sock.gettimeout() is None
        pool.release(connection)
        pool.disconnect()
    for pool in (hidden.client(socket_timeout=9).connection_pool,):
        connection = pool.get_connection()
        assert connection._sock.gettimeout() == 9
        pool.release(connection)
        pool.disconnect()
    assert hidden.async_client().connection_pool.connection_kwargs["socket_timeout"] is None


def test_what_is_cached_is_told_of_changes(hidden: kevyrt.Server) -> None:
    hidden.set("k", "old")
    with hidden.client(protocol=3, cache_config=CacheConfig(max_size=100)) as client:
        assert client.get("k") == client.get("k") == b"old"
        cache = client.get_cache()
        assert cache is not None and cache.size == 1
        before = hidden.stats().total.commands
        assert [client.get("k") for _ in range(50)] == [b"old"] * 50
        assert hidden.stats().total.commands == before
        hidden.set("k", "new")
        await_equal(lambda: client.get("k"), b"new")


def test_subscriptions(hidden: kevyrt.Server) -> None:
    with hidden.client(decode_responses=True) as client, client.pubsub() as listener:
        listener.subscribe("news")
        assert listener.get_message(timeout=PATIENCE_S)["type"] == "subscribe"
        client.publish("news", "today")
        assert listener.get_message(timeout=PATIENCE_S)["data"] == "today"


def test_many_threads_share_a_client(hidden: kevyrt.Server) -> None:
    with hidden.client() as client:

        def work() -> None:
            for _ in range(200):
                client.incr("count")

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
    assert hidden.get("count") == b"1600"


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_nothing_is_left_of_connections() -> None:
    with kevyrt.Server(port=None) as server:
        with server.client() as client:
            client.ping()
        await_equal(lambda: server.stats().total.connections, 0)
        before = descriptors()
        for _ in range(50):
            with server.client() as client:
                client.ping()
        await_equal(lambda: server.stats().total.connections, 0)
        await_equal(descriptors, before)


def await_equal(look: Callable[[], object], wanted: object) -> None:
    """What a shard's thread brings about, a moment later."""
    deadline = time.monotonic() + PATIENCE_S
    while (found := look()) != wanted:
        assert time.monotonic() < deadline, f"{found}, not {wanted}"
        time.sleep(0.002)


def test_a_server_lives_as_long_as_its_clients() -> None:
    client = kevyrt.Server(port=None).start().client()
    client.set("k", "v")
    assert client.get("k") == b"v"
    client.close()


def test_a_stopped_server() -> None:
    server = kevyrt.Server(port=None).start()
    client = server.client(retry=at_once())
    client.set("k", "v")
    server.stop()
    with pytest.raises(redis.ConnectionError):  # of the connection that there was
        client.get("k")
    with pytest.raises(redis.ConnectionError, match="not running"):
        client.get("k")
    with server:
        assert client.get("k") is None


# ---- Passwords -----------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [2, 3])
def test_the_password_is_filled_in(protocol: int) -> None:
    with kevyrt.Server(port=None, requirepass="secret") as server:
        with server.client(protocol=protocol) as client:
            assert client.set("k", "v") is True
            assert "secret" not in repr(client)
        server.execute("CONFIG", "SET", "requirepass", "other")
        with server.client(protocol=protocol) as client:
            assert client.get("k") == b"v"
        server.execute("CONFIG", "SET", "requirepass", "")
        with server.client(protocol=protocol) as client:
            assert client.get("k") == b"v"


def test_a_password_that_is_given_is_taken() -> None:
    with kevyrt.Server(port=None, requirepass="secret") as server:
        with server.client(password="secret") as client:
            assert client.ping()
        wrong = server.client(password="wrong", retry=at_once())
        with wrong, pytest.raises(redis.AuthenticationError):
            wrong.ping()


def test_the_password_is_filled_in_for_asyncio() -> None:
    async def work(server: kevyrt.Server) -> None:
        for protocol in (2, 3):
            async with server.async_client(protocol=protocol) as client:
                assert await client.ping()

    with kevyrt.Server(port=None, requirepass="secret") as server:
        asyncio.run(work(server))


# ---- asyncio -------------------------------------------------------------------------------------


def test_an_asyncio_client(hidden: kevyrt.Server) -> None:
    async def work() -> None:
        async with hidden.async_client(decode_responses=True, db=2) as client:
            assert type(client) is redis.asyncio.Redis
            assert await client.set("k", "v") is True
            assert await client.get("k") == "v"
            assert await asyncio.gather(*(client.incr("n") for _ in range(50)))
            assert await client.get("n") == "50"
            async with client.pipeline() as pipe:
                assert await pipe.get("k").get("n").execute() == ["v", "50"]
            waiting = asyncio.create_task(client.blpop(["list"], PATIENCE_S))
            await asyncio.sleep(0.01)
            hidden.execute("RPUSH", "list", "element", db=2)
            assert await waiting == ("list", "element")

    asyncio.run(work())
    assert hidden.execute("GET", "n", db=2) == b"50"


def test_asyncio_subscriptions(hidden: kevyrt.Server) -> None:
    async def work() -> None:
        async with hidden.async_client() as client, client.pubsub() as listener:
            await listener.subscribe("news")
            while (await client.pubsub_numsub("news"))[0][1] == 0:
                await asyncio.sleep(0.001)
            await client.publish("news", "today")
            async for message in listener.listen():
                if message["type"] == "message":
                    assert message["data"] == b"today"
                    return

    asyncio.run(asyncio.wait_for(work(), PATIENCE_S))


def test_an_asyncio_client_of_a_stopped_server() -> None:
    async def work(server: kevyrt.Server) -> None:
        client = server.async_client(retry=None)
        with pytest.raises(redis.ConnectionError, match="not running"):
            await client.ping()
        await client.aclose()

    asyncio.run(work(kevyrt.Server(port=None)))


# ---- Pools ---------------------------------------------------------------------------------------


def test_a_pool_for_whoever_asks_for_one(hidden: kevyrt.Server) -> None:
    pool = kevyrt.redis.pool(hidden, decode_responses=True, db=4)
    assert isinstance(pool, redis.ConnectionPool)
    assert redis.Redis(connection_pool=pool).set("k", "v")
    assert redis.Redis(connection_pool=pool).get("k") == "v"
    assert hidden.execute("GET", "k", db=4) == b"v"
    pool.close()


def test_a_class_of_connections_for_whoever_asks_for_one(hidden: kevyrt.Server) -> None:
    pool = redis.ConnectionPool(connection_class=kevyrt.redis.Connection, server=hidden)
    with redis.Redis(connection_pool=pool) as client:
        assert client.set("k", "v")
    pool.close()
    assert hidden.get("k") == b"v"


def test_a_blocking_pool(hidden: kevyrt.Server) -> None:
    pool = kevyrt.redis.BlockingConnectionPool(max_connections=1, timeout=0.01, server=hidden)
    client = redis.Redis(connection_pool=pool)
    assert client.ping()
    taken = pool.get_connection()
    with pytest.raises(redis.ConnectionError, match="No connection"):
        client.ping()
    pool.release(taken)
    assert client.ping()
    pool.disconnect()


@pytest.mark.parametrize(
    "kind", [kevyrt.redis.AsyncConnectionPool, kevyrt.redis.AsyncBlockingConnectionPool]
)
def test_asyncio_pools(hidden: kevyrt.Server, kind: Any) -> None:
    async def work() -> None:
        client = redis.asyncio.Redis.from_pool(kind(server=hidden, db=1))
        assert await client.set("k", "v")
        await client.aclose()

    asyncio.run(work())
    assert hidden.execute("GET", "k", db=1) == b"v"


# ---- Descriptors ---------------------------------------------------------------------------------


def test_what_is_adopted_is_not_in_a_program_that_is_started(hidden: kevyrt.Server) -> None:
    connection = socket.socket(fileno=hidden._connect())
    assert not connection.get_inheritable() and connection.getblocking()
    assert connection.family == socket.AF_UNIX
    connection.sendall(b"PING\r\n")
    assert connection.recv(100) == b"+PONG\r\n"
    connection.close()


# ---- Without redis-py ----------------------------------------------------------------------------


def test_without_redis_py(program: Program) -> None:
    output = program("""
        import sys
        sys.modules["redis"] = None
        import kevyrt

        with kevyrt.Server(name="cache") as server:
            for call in (server.client, server.async_client,
                         lambda: kevyrt.from_url("kevyrt://cache")):
                try:
                    call()
                except ImportError as error:
                    print(error)
    """)
    assert output == "redis-py is needed: pip install kevyrt[redis]\n" * 3


def test_redis_py_is_imported_by_who_asks_for_it(program: Program) -> None:
    assert "redis" in sys.modules
    output = program("""
        import sys
        import kevyrt

        print("redis" in sys.modules)
        with kevyrt.Server() as server:
            server.client().close()
        print("redis" in sys.modules)
    """)
    assert output == "False\nTrue\n"


# ---- Documentation -------------------------------------------------------------------------------


@pytest.mark.parametrize("what", [kevyrt.redis, kevyrt.redis.pool, kevyrt.from_url])
def test_examples(what: Any, server: kevyrt.Server) -> None:
    server.set("greeting", "hello")
    names = {**vars(kevyrt.redis), "kevyrt": kevyrt, "server": server}
    assert run_examples(what.__doc__, what.__name__, names) > 1


def test_what_is_public_is_documented() -> None:
    for name in kevyrt.redis.__all__:
        assert getattr(kevyrt.redis, name).__doc__, name
