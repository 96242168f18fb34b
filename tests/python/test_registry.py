"""Names of servers, and the URLs that have them."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry

import kevyrt
import kevyrt.redis
from kevyrt import _registry


def names() -> list[str]:
    return [name for name in _registry._entries if _registry._owner(name)]


def test_a_name_is_there_while_the_server_runs() -> None:
    server = kevyrt.Server(name="cache")
    assert server.name == "cache"
    assert names() == []
    with server:
        assert names() == ["cache"]
        with kevyrt.from_url("kevyrt://cache") as client:
            assert type(client) is redis.Redis
            client.set("k", "v")
        assert server.get("k") == b"v"
    assert names() == []
    assert kevyrt.Server().name is None


def test_two_servers_of_one_name() -> None:
    with kevyrt.Server(name="cache") as first:
        second = kevyrt.Server(name="cache")
        with pytest.raises(ValueError, match="named 'cache' already"):
            second.start()
        assert not second.running
        assert first.start() is first
        with kevyrt.Server(name="other"):
            assert sorted(names()) == ["cache", "other"]
        first.stop()
        with second:
            assert _registry.find("cache") is second
            with pytest.raises(ValueError, match="already"):
                first.start()


def test_a_name_is_free_again() -> None:
    """After every kind of end."""
    kevyrt.Server(name="cache").start()  # forgotten
    server = kevyrt.Server(name="cache").start()
    server.execute("SHUTDOWN", "NOSAVE")
    assert server.wait(20)
    assert names() == []
    with kevyrt.Server() as taken:
        with pytest.raises(OSError, match="in use"):
            kevyrt.Server(name="cache", port=taken.port).start()
        assert names() == []
        with kevyrt.Server(name="cache"):
            assert names() == ["cache"]


def test_many_who_want_one_name() -> None:
    servers = [kevyrt.Server(name="cache", port=None) for _ in range(8)]
    outcomes: list[str] = []

    def start(server: kevyrt.Server) -> None:
        try:
            server.start()
            outcomes.append("started")
        except ValueError:
            outcomes.append("refused")

    threads = [threading.Thread(target=start, args=(server,)) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(outcomes) == ["refused"] * 7 + ["started"]
    for server in servers:
        server.stop()


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a:1", "a@b", "-a", "é", "a?"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be a name"):
        kevyrt.Server(name=name)


def test_a_name_is_a_str() -> None:
    with pytest.raises(TypeError, match="name must be str, not int"):
        kevyrt.Server(name=5)  # type: ignore[arg-type]


def test_case_counts() -> None:
    with kevyrt.Server(name="Cache") as server:
        assert _registry.find("Cache") is server
        with pytest.raises(LookupError):
            kevyrt.from_url("kevyrt://cache")


# ---- URLs ----------------------------------------------------------------------------------------


def test_what_is_behind_the_name() -> None:
    with kevyrt.Server(name="cache") as server:
        server.execute("SET", "k", "three", db=3)
        for url, options, answer in [
            ("kevyrt://cache/3", {}, b"three"),
            ("kevyrt://cache/3?decode_responses=True", {}, "three"),
            ("kevyrt://cache?db=3", {}, b"three"),
            ("kevyrt://cache", {"db": 3}, b"three"),
            ("kevyrt://cache/3", {"db": 4}, b"three"),
            ("kevyrt://cache/", {}, None),
        ]:
            with kevyrt.from_url(url, **options) as client:
                assert client.get("k") == answer, url
        with kevyrt.from_url("kevyrt://cache?socket_timeout=2.5&protocol=2") as client:
            assert client.get_connection_kwargs()["socket_timeout"] == 2.5
            assert client.client_info()["resp"] == "2"


def test_urls_of_asyncio() -> None:
    async def work() -> Any:
        client = kevyrt.async_from_url("kevyrt://cache/3?decode_responses=True")
        assert type(client) is redis.asyncio.Redis
        answer = await client.get("k")
        await client.aclose()
        return answer

    with kevyrt.Server(name="cache") as server:
        server.execute("SET", "k", "three", db=3)
        assert asyncio.run(work()) == "three"


def test_urls_of_redis_py(server: kevyrt.Server) -> None:
    """A setting may have either."""

    async def work() -> None:
        client = kevyrt.async_from_url(str(server.url))
        assert await client.get("k") == b"v"
        await client.aclose()

    server.set("k", "v")
    with kevyrt.from_url(str(server.url), decode_responses=True) as client:
        assert client.get("k") == "v"
    asyncio.run(work())
    for kind in (kevyrt.redis.ConnectionPool, kevyrt.redis.BlockingConnectionPool):
        pool = kind.from_url(str(server.url))
        assert redis.Redis(connection_pool=pool).get("k") == b"v"
        pool.disconnect()


@pytest.mark.parametrize("kind", [kevyrt.redis.ConnectionPool, kevyrt.redis.BlockingConnectionPool])
def test_pools_of_urls(kind: Any) -> None:
    with kevyrt.Server(name="cache") as server:
        pool = kind.from_url("kevyrt://cache/1?max_connections=3", decode_responses=True, db=5)
        assert isinstance(pool, kind) and pool.max_connections == 3
        client = redis.Redis(connection_pool=pool)
        assert client.set("k", "v") and client.get("k") == "v"
        assert server.execute("GET", "k", db=1) == b"v"
        pool.disconnect()
        with pytest.raises(LookupError):
            kind.from_url("kevyrt://other")


def test_a_name_that_nobody_has() -> None:
    with pytest.raises(LookupError, match=r"no server named 'cache' .*none has a name"):
        kevyrt.from_url("kevyrt://cache")
    with kevyrt.Server(name="other"), pytest.raises(LookupError, match=r"there are 'other'"):
        kevyrt.from_url("kevyrt://cache")
    with pytest.raises(LookupError, match=r"server\.url"):
        kevyrt.redis.pool("cache")
    with pytest.raises(LookupError):
        kevyrt.async_from_url("kevyrt://cache")


@pytest.mark.parametrize(
    "url",
    ["kevyrt://", "kevyrt:///0", "kevyrt://a/x", "kevyrt://a:6379", "kevyrt://a/1/2", "http://a"],
)
def test_what_is_no_url(url: str) -> None:
    with kevyrt.Server(name="a"), pytest.raises(ValueError):
        kevyrt.from_url(url)


def test_a_client_finds_the_next_server_of_its_name() -> None:
    with kevyrt.Server(name="cache"):
        client = kevyrt.from_url("kevyrt://cache", retry=Retry(NoBackoff(), 0))
        client.set("k", "first")
    for _ in range(2):  # the connection that there was, and a new one
        with pytest.raises(redis.ConnectionError):
            client.get("k")
    with kevyrt.Server(name="cache") as second:
        second.set("k", "second")
        assert client.get("k") == b"second"
    client.close()
