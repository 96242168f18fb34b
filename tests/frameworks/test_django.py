"""Django's Redis cache: what its documentation promises, and sessions and pages in it.

`./test --long django_suite` runs Django's own tests of caches.
"""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections.abc import Iterator
from typing import Any
from unittest import mock

import django
import pytest
import redis
from django.conf import settings
from django.core.cache import cache, caches
from django.core.cache.backends.base import InvalidCacheBackendError
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory, override_settings

import kevyrt
import kevyrt.redis

BACKEND = "django.core.cache.backends.redis.RedisCache"
POOLS = ["kevyrt.redis.ConnectionPool", "kevyrt.redis.BlockingConnectionPool"]


@pytest.fixture(scope="module", autouse=True)
def _configured() -> None:
    if not settings.configured:
        settings.configure(
            CACHES={"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}},
            SESSION_ENGINE="django.contrib.sessions.backends.cache",
            SECRET_KEY="tests",
            ALLOWED_HOSTS=["testserver"],
            USE_TZ=True,
        )
        django.setup()


def locations(server: kevyrt.Server) -> dict[str, dict[str, Any]]:
    """What a project has in its settings."""
    by_name = f"kevyrt://{server.name}/1"
    unix = f"unix://{server.execute('CONFIG', 'GET', 'unixsocket')[b'unixsocket'].decode()}?db=2"
    return {
        "url": {"LOCATION": server.url},
        "unix": {"LOCATION": unix},
        "name": {"LOCATION": by_name, "OPTIONS": {"pool_class": POOLS[0]}},
        "blocking": {"LOCATION": by_name, "OPTIONS": {"pool_class": POOLS[1], "timeout": 5}},
        "url-in-our-pool": {"LOCATION": server.url, "OPTIONS": {"pool_class": POOLS[0]}},
    }


@pytest.fixture(params=["url", "unix", "name", "blocking", "url-in-our-pool"])
def location(request: pytest.FixtureRequest, server: kevyrt.Server) -> Iterator[dict[str, Any]]:
    """`cache` is in the server."""
    found = {"BACKEND": BACKEND, **locations(server)[request.param]}
    with override_settings(CACHES={"default": found, "prefixed": {**found, "KEY_PREFIX": "p"}}):
        yield found
        close_all()


def close_all() -> None:
    for alias in caches:
        for pool in caches[alias]._cache._pools.values():
            pool.disconnect()


pytestmark = [
    pytest.mark.usefixtures("location"),
    # Of keys that memcached would not take.
    pytest.mark.filterwarnings("ignore::django.core.cache.backends.base.CacheKeyWarning"),
]


# ---- The cache -----------------------------------------------------------------------------------


def test_values_of_all_kinds() -> None:
    values: list[Any] = [
        "text", "naïve ☃", "", b"\x00\xff", 5, -7, 2**70, 1.5, True, False, None,
        [1, [2]], (1, 2), {"a": {"b": None}}, {1, 2}, frozenset("ab"), 1 + 2j,
    ]  # fmt: skip
    for number, value in enumerate(values):
        cache.set(f"key {number}", value)
        found = cache.get(f"key {number}", "nothing")
        assert found == value and type(found) is type(value)
    assert cache.get("no such key") is None
    assert cache.get("no such key", "default") == "default"


def test_keys_of_all_kinds() -> None:
    keys = ["ascii", "Iñtërnâtiônàlizætiøn", "with spaces and\nlines", "k" * 300, "☃"]
    cache.set_many({key: f"of {key}" for key in keys})
    assert cache.get_many(keys) == {key: f"of {key}" for key in keys}


def test_add_is_for_keys_that_are_not_there() -> None:
    assert cache.add("k", "first") is True
    assert cache.add("k", "second") is False
    assert cache.get("k") == "first"
    assert cache.add("gone", "at once", timeout=0) is True
    assert cache.get("gone") is None


def test_delete() -> None:
    cache.set_many({"a": 1, "b": 2, "c": 3, "d": 4})
    assert cache.delete("a") is True
    assert cache.delete("a") is False
    cache.delete_many(["b", "c", "nothing"])
    cache.delete_many([])
    assert cache.get_many(["a", "b", "c", "d"]) == {"d": 4}
    cache.clear()
    assert cache.get("d") is None


def test_is_it_there() -> None:
    cache.set("k", None)
    assert cache.has_key("k") and "k" in cache
    assert not cache.has_key("other") and "other" not in cache


def test_many_at_once() -> None:
    assert cache.set_many({"a": 1, "b": [2]}) == []
    assert cache.set_many({}) == []
    assert cache.get_many(["a", "b", "c"]) == {"a": 1, "b": [2]}
    assert cache.get_many([]) == {}
    assert cache.get_many(iter(["a"])) == {"a": 1}


def test_counting() -> None:
    cache.set("n", 40)
    assert cache.incr("n") == 41
    assert cache.incr("n", 10) == 51
    assert cache.incr("n", -1) == 50
    assert cache.decr("n") == 49
    assert cache.decr("n", 9) == 40
    assert cache.get("n") == 40
    for count in (cache.incr, cache.decr):
        with pytest.raises(ValueError, match="not found"):
            count("nothing")
    cache.set("word", "text")
    with pytest.raises(redis.ResponseError):
        cache.incr("word")


def test_time_outs(server: kevyrt.Server, location: dict[str, Any]) -> None:
    def left(key: str) -> int:
        client = cache._cache.get_client(None)
        return int(client.ttl(cache.make_and_validate_key(key)))

    cache.set("default", 1)
    cache.set("short", 1, timeout=100)
    cache.set("for ever", 1, timeout=None)
    cache.set("over", 1, timeout=0)
    cache.set("before", 1, timeout=-1)
    cache.set_many({"many": 1}, timeout=50)
    cache.add("added", 1, timeout=70)
    assert 295 <= left("default") <= 300
    assert 95 <= left("short") <= 100
    assert 45 <= left("many") <= 50 and 65 <= left("added") <= 70
    assert left("for ever") == -1
    assert "over" not in cache and "before" not in cache
    assert cache.touch("short", 1000) is True and left("short") > 990
    assert cache.touch("short", None) is True and left("short") == -1
    assert cache.touch("short") is True and 295 <= left("short") <= 300
    assert cache.touch("short", 0) is True and "short" not in cache
    assert cache.touch("nothing", 10) is False
    # Beyond a month a number is no date, as it would be for memcached.
    cache.set("long", 1, timeout=60 * 60 * 24 * 30 + 1)
    assert left("long") > 60 * 60 * 24 * 30 - 5


@pytest.mark.parametrize("location", ["url", "name"], indirect=True)
def test_a_deadline_passes() -> None:
    cache.set("k", "v", timeout=1)
    assert cache.get("k") == "v"
    ended = threading.Event()
    for _ in range(500):
        if cache.get("k") is None:
            break
        ended.wait(0.02)
    assert cache.get("k") is None
    assert cache.add("k", "again") is True


def test_versions() -> None:
    cache.set("k", "one")
    cache.set("k", "two", version=2)
    assert (cache.get("k"), cache.get("k", version=2)) == ("one", "two")
    assert cache.has_key("k", version=2) and not cache.has_key("k", version=3)
    assert cache.incr_version("k", version=2) == 3
    assert (cache.get("k", version=2), cache.get("k", version=3)) == (None, "two")
    assert cache.decr_version("k", version=3) == 2
    assert cache.get("k", version=2) == "two"
    assert cache.delete("k", version=2) and cache.get("k") == "one"
    with pytest.raises(ValueError, match="not found"):
        cache.incr_version("nothing")


def test_prefixes() -> None:
    cache.set("k", "plain")
    assert caches["prefixed"].get("k") is None
    caches["prefixed"].set("k", "prefixed")
    assert cache.get("k") == "plain"
    client = cache._cache.get_client(None)
    assert {key.decode() for key in client.keys("*k")} == {":1:k", "p:1:k"}


def test_get_or_set() -> None:
    calls = []

    def make() -> str:
        calls.append(1)
        return "made"

    assert cache.get_or_set("k", make) == cache.get_or_set("k", make) == "made"
    assert calls == [1]
    assert cache.get_or_set("none", None) is None
    assert cache.get_or_set("plain", "value", version=5) == "value"
    assert cache.get("plain", version=5) == "value"


def test_what_cannot_be_pickled() -> None:
    for store in (cache.set, cache.add):
        with pytest.raises((pickle.PicklingError, TypeError, AttributeError)):
            store("k", threading.Lock())
    assert cache.get("k") is None


def test_asynchronous_methods() -> None:
    async def work() -> None:
        await cache.aset("k", "v")
        assert await cache.aget("k") == "v"
        assert await cache.aadd("k", "other") is False
        await cache.aset_many({"a": 1, "b": 2})
        assert await cache.aget_many(["a", "b"]) == {"a": 1, "b": 2}
        assert await cache.aincr("a") == 2 and await cache.adecr("b") == 1
        assert await cache.ahas_key("k") and await cache.atouch("k", 10)
        assert await cache.aget_or_set("new", "value") == "value"
        assert await cache.adelete("k") is True
        await cache.adelete_many(["a", "b"])
        assert await cache.aget("a") is None
        await cache.aclear()

    asyncio.run(work())


def test_many_threads() -> None:
    cache.set("n", 0)

    def count() -> None:
        for _ in range(100):
            cache.incr("n")

    threads = [threading.Thread(target=count) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert cache.get("n") == 600


def test_close() -> None:
    cache.set("k", "v")
    cache.close()
    assert cache.get("k") == "v"


# ---- Settings ------------------------------------------------------------------------------------


def test_options_reach_the_pool(location: dict[str, Any]) -> None:
    options = {**location.get("OPTIONS", {}), "socket_timeout": 2.5, "client_name": "django"}
    with override_settings(CACHES={"default": {**location, "OPTIONS": options}}):
        client = cache._cache.get_client(None)
        assert client.connection_pool.connection_kwargs["socket_timeout"] == 2.5
        assert client.client_getname() in ("django", b"django")
        close_all()


def test_several_servers(server: kevyrt.Server, location: dict[str, Any]) -> None:
    """Writes go to the first, reads to one of the others."""
    with kevyrt.Server(name="replica") as replica:
        second = replica.url if "pool_class" not in str(location) else "kevyrt://replica/1"
        places = [location["LOCATION"], second]
        with override_settings(CACHES={"default": {**location, "LOCATION": places}}):
            cache.set("k", "v")
            assert cache.get("k") is None
            assert cache._cache.get_client(None, write=True).keys() == [b":1:k"]
            close_all()


@pytest.mark.parametrize("location", ["name", "blocking"], indirect=True)
def test_a_server_that_is_not_there(location: dict[str, Any]) -> None:
    nowhere = {**location, "LOCATION": "kevyrt://nobody"}
    with override_settings(CACHES={"default": nowhere}):
        with pytest.raises(LookupError, match="no server named 'nobody'"):
            cache.get("k")
        close_all()
    with pytest.raises(InvalidCacheBackendError):
        caches["other"].get("k")


# ---- Sessions and pages --------------------------------------------------------------------------


def test_sessions() -> None:
    from django.contrib.sessions.backends.cache import SessionStore

    session = SessionStore()
    session["cart"] = [1, 2]
    session.set_expiry(100)
    session.save()
    again = SessionStore(session_key=session.session_key)
    assert again["cart"] == [1, 2] and again.exists(session.session_key)
    again.cycle_key()
    assert not again.exists(session.session_key)
    assert SessionStore(session_key=again.session_key)["cart"] == [1, 2]
    again.flush()
    assert "cart" not in SessionStore(session_key=again.session_key)


def test_the_middleware_of_sessions() -> None:
    from django.contrib.sessions.middleware import SessionMiddleware

    def visit(request: HttpRequest) -> HttpResponse:
        request.session["visits"] = request.session.get("visits", 0) + 1
        return HttpResponse(str(request.session["visits"]))

    handle, cookies, seen = SessionMiddleware(visit), "", []
    for _ in range(3):
        response = handle(RequestFactory().get("/", HTTP_COOKIE=cookies))
        cookies = f"sessionid={response.cookies['sessionid'].value}"
        seen.append(response.content)
    assert seen == [b"1", b"2", b"3"]


def test_pages() -> None:
    from django.views.decorators.cache import cache_page

    calls = mock.Mock(side_effect=lambda request: HttpResponse(f"page {calls.call_count}"))
    view = cache_page(60)(lambda request: calls(request))
    for path, content in [("/a", 1), ("/a", 1), ("/b", 2), ("/a", 1)]:
        assert view(RequestFactory().get(path)).content == f"page {content}".encode()
    cache.clear()
    assert view(RequestFactory().get("/a")).content == b"page 3"
