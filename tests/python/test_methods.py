"""Methods of commands that are not just a call with a result: iterators, builders, odd replies.

What results are like is test_three_ways.py's; here is what redis-py cannot be compared with.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import UserDict
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import redis

import kevyrt
from kevyrt import _core


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# ---- Iterators -----------------------------------------------------------------------------------

MANY = 500


@pytest.fixture
def full(server: kevyrt.Server) -> kevyrt.Server:
    """With a hash, a set and a sorted set that are too big for one part of a scan."""
    numbers = range(MANY)
    server.hset("hash", mapping={f"field-{number}": number for number in numbers})
    server.sadd("set", *numbers)
    server.zadd("sorted", {f"member-{number}": number + 0.5 for number in numbers})
    for number in numbers:
        server.set(f"key-{number}", number)
    return server


def same(one: Any, other: Any) -> None:
    one, other = list(one), list(other)
    assert len(one) == len(other) >= MANY
    assert sorted(one) == sorted(other)
    assert type(one[0]) is type(other[0])


ITERATORS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("scan_iter", (), {"match": "key-*", "count": 7}),
    ("scan_iter", ("key-*", 100, "string"), {}),
    ("sscan_iter", ("set",), {"count": 7}),
    ("hscan_iter", ("hash",), {"count": 7}),
    ("hscan_iter", ("hash", "field-*"), {}),
    ("zscan_iter", ("sorted",), {"count": 7}),
    ("zscan_iter", ("sorted",), {"score_cast_func": str}),
]


@pytest.mark.parametrize(("method", "args", "options"), ITERATORS)
def test_iterators(
    full: kevyrt.Server, method: str, args: tuple[Any, ...], options: dict[str, Any]
) -> None:
    with redis.Redis.from_url(str(full.url)) as client:
        theirs = list(getattr(client, method)(*args, **options))
    for face in (full, full.database(0), full.session()):
        same(getattr(face, method)(*args, **options), theirs)
    same(asyncio.run(collect(full, method, args, options)), theirs)


async def collect(
    server: kevyrt.Server, method: str, args: tuple[Any, ...], options: dict[str, Any]
) -> list[Any]:
    found: AsyncIterator[Any] = getattr(server.aio, method)(*args, **options)
    return [one async for one in found]


def test_iterators_without_values(full: kevyrt.Server) -> None:
    assert set(full.hscan_iter("hash", no_values=True)) == set(full.hkeys("hash"))
    fields = asyncio.run(collect(full, "hscan_iter", ("hash",), {"no_values": True}))
    assert set(fields) == set(full.hkeys("hash"))


def test_iterators_end_early(full: kevyrt.Server) -> None:
    assert next(full.scan_iter()) is not None
    assert list(full.scan_iter("nothing-*")) == [] == list(full.sscan_iter("no"))
    with pytest.raises(kevyrt.WrongTypeError):
        next(full.hscan_iter("set"))


def test_iterators_decode() -> None:
    with kevyrt.Server(decode_responses=True) as server:
        server.zadd("z", {"a": 1})
        assert list(server.zscan_iter("z", score_cast_func=bytes)) == [("a", b"1")]
        assert list(server.scan_iter()) == ["z"]


# ---- Builders ------------------------------------------------------------------------------------


def test_bitfield(server: kevyrt.Server) -> None:
    with redis.Redis.from_url(str(server.url)) as client:
        for face in (client, server, server.database(0), server.session()):
            server.delete("bits")
            bits = face.bitfield("bits").set("u8", 0, 200).incrby("u8", 0, 100, "SAT")
            assert bits.get("u8", 8).command[:2] == ["BITFIELD", "bits"]
            assert bits.execute() == [0, 255, 0]
            assert bits.get("u8", 0).execute() == [255]
            failing = face.bitfield("bits", default_overflow="FAIL")
            assert failing.incrby("u8", 0, 100).execute() == [None]


def test_bitfield_of_other_faces(server: kevyrt.Server) -> None:
    async def count() -> Any:
        return await server.aio.bitfield("bits").incrby("u8", 0, 1).execute()

    assert asyncio.run(count()) == [1]
    pipe = server.pipeline()
    pipe.bitfield("bits").incrby("u8", 0, 1).execute()
    pipe.get("bits")
    assert pipe.execute() == [[2], b"\x02"]


# ---- Arguments -----------------------------------------------------------------------------------


def test_mappings_of_any_class(server: kevyrt.Server) -> None:
    weights = UserDict({"a": 2, "b": 3})
    server.zadd("a", UserDict({"m": 1}))
    server.zadd("b", {"m": 1})
    assert server.zunion(weights, withscores=True) == [(b"m", 5.0)]
    server.xadd("x", UserDict({"f": "v"}), id="1-1")
    assert server.xread(UserDict({"x": 0})) == [[b"x", [(b"1-1", {b"f": b"v"})]]]
    assert server.mset(UserDict({"k": "v"})) is True


def test_iterables_of_any_class(server: kevyrt.Server) -> None:
    server.mset({"a": 1, "b": 2})
    assert server.mget(name for name in "ab") == [b"1", b"2"]
    assert server.mget({"a": None, "b": None}) == [b"1", b"2"]
    assert server.zmscore("z", (name for name in "ab")) == [None, None]
    with pytest.raises(ZeroDivisionError):
        server.mget(1 // 0 for _ in "a")
    with pytest.raises(TypeError):
        server.mget(None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "call",
    [
        lambda server: server.zrangebyscore("z", 0, 1, start=1),
        lambda server: server.zrange("z", 0, 1, byscore=True, num=1),
        lambda server: server.geosearch("g", longitude=1, radius=1),
        lambda server: server.bitcount("k", end=1),
        lambda server: server.bitpos("k", 1, end=1),
        lambda server: server.sort("l", num=1),
        lambda server: server.sort("l", groups=True),
        lambda server: server.migrate("127.0.0.1", 1, [], 0, 1),
        lambda server: server.xpending_range("x", "g", "-", None, 1),
    ],
)
def test_halves_of_options(server: kevyrt.Server, call: Callable[[kevyrt.Server], Any]) -> None:
    with pytest.raises(ValueError, match=r"as well|go together|needs"):
        call(server)


def test_what_is_no_argument(server: kevyrt.Server) -> None:
    calls: list[Callable[[Any], Any]] = [
        lambda it: it.expire("k", 1.5),
        lambda it: it.expireat("k", "soon"),
        lambda it: it.rpush("l", None),
        lambda it: it.rpush("l", True),
        lambda it: it.rpush("l", ["a"]),
        lambda it: it.strlen(),
        lambda it: it.strlen("a", "b"),
        lambda it: it.strlen(key="a"),
        lambda it: it.strlen("a", name="a"),
        lambda it: it.hexpire("h", 1, "f", nix=True),
        lambda it: it.lmpop(1, "l"),
    ]
    for call in calls:
        with pytest.raises(TypeError):
            call(server)
    assert server.exists("l") == 0


def test_casts_that_fail(server: kevyrt.Server) -> None:
    server.zadd("z", {"a": 1})

    def fail(score: Any) -> Any:
        raise RuntimeError(score)

    with pytest.raises(RuntimeError, match="1"):
        server.zrange("z", 0, -1, withscores=True, score_cast_func=fail)
    with pytest.raises(TypeError):
        server.zpopmin("z", score_cast_func=int)  # type: ignore[call-arg]
    assert server.zcard("z") == 1


# ---- The server ----------------------------------------------------------------------------------


def test_saves_in_the_background(tmp_path: Path) -> None:
    with kevyrt.Server(dir=tmp_path) as server:
        server.set("k", "v")
        assert server.bgsave() is True
        wait_until(lambda: not server.info("persistence")["rdb_bgsave_in_progress"])
        assert (tmp_path / "dump.rdb").exists()
        assert server.bgsave(schedule=False) is True
        wait_until(lambda: not server.info("persistence")["rdb_bgsave_in_progress"])
    with kevyrt.Server(dir=tmp_path, appendonly=True) as server:
        assert server.bgrewriteaof() is True
        wait_until(lambda: not server.info("persistence")["aof_rewrite_in_progress"])


def test_what_redis_py_does_not_implement(server: kevyrt.Server) -> None:
    info = server.command_info("get", "no-such-command")
    assert info.keys() == {"get"} and info["get"]["arity"] == 2
    assert info["get"]["flags"] == ["readonly", "fast"]
    assert server.command_docs("get")[b"get"][b"since"] == b"1.0.0"
    assert b"latency" in server.latency_doctor()
    with pytest.raises(kevyrt.ResponseError):
        server.latency_graph("command")
    server.config_set("latency-tracking", "yes")
    server.set("k", "v")
    assert b"set" in server.latency_histogram("set")
    assert isinstance(server.memory_doctor(), bytes)
    assert server.memory_help()[0].startswith(b"MEMORY")


def test_reset(server: kevyrt.Server) -> None:
    with server.session() as session:
        session.select(3)
        session.client_setname("me")
        assert session.reset() == "RESET"
        assert session.client_getname() is None


def test_shutdown() -> None:
    server = kevyrt.Server(port=None).start()
    assert server.shutdown(nosave=True) is None  # type: ignore[func-returns-value]
    assert server.wait(60)
    with pytest.raises(kevyrt.ServerStopped):
        server.exists("k")


def test_info(server: kevyrt.Server) -> None:
    server.mset({"a": 1, "b": 2})
    info = server.info("keyspace", "server")
    assert info["db0"]["keys"] == 2
    assert info["redis_mode"] == "standalone"
    assert isinstance(info["tcp_port"], int)


def test_client_list_with_spaces_in_paths(tmp_path: Path, socket_path: str) -> None:
    path = socket_path + " s"
    with (
        kevyrt.Server(unixsocket=path) as server,
        redis.Redis(unix_socket_path=path) as client,
    ):
        client.client_setname("me")
        (one,) = server.client_list()
        assert one["name"] == "me" and one["laddr"].startswith(path)


# ---- What Server has under these names is something else ----------------------------------------


def test_dump_and_restore(server: kevyrt.Server) -> None:
    database = server.database(0)
    database.rpush("list", 1, 2)
    dumped = database.dump("list")
    assert database.restore("copy", 0, dumped) == b"OK"
    assert database.restore("timed", 60_000, dumped, replace=True, idletime=5) == b"OK"
    assert database.lrange("copy", 0, -1) == [b"1", b"2"] and database.ttl("timed") in (59, 60)
    with pytest.raises(kevyrt.BusyKeyError):
        database.restore("copy", 0, dumped)
    with server.pipeline() as pipe:
        assert pipe.restore("copy", 0, dumped, replace=True).execute() == [b"OK"]


def test_save(tmp_path: Path) -> None:
    with kevyrt.Server(port=None, dir=str(tmp_path)) as server:
        server["k"] = "v"
        assert server.database(0).save() is True
        with server.session() as session:
            assert session.save() is True
        assert asyncio.run(saved(server)) is True
    with kevyrt.Server(port=None, load=tmp_path / "dump.rdb") as server:
        assert server["k"] == b"v"


async def saved(server: kevyrt.Server) -> Any:
    return await server.aio.save()


def test_wait(server: kevyrt.Server) -> None:
    with server.session() as session:
        assert session.wait(0, 10) == session.wait(1, 1) == 0


# ---- Results -------------------------------------------------------------------------------------

REPLIES = (
    "PING",
    "GET word",
    "EXISTS word",
    "LRANGE one 0 -1",
    "LRANGE three 0 -1",
    "HGETALL hash",
    "ZRANGE zset 0 -1 WITHSCORES",
    "SMEMBERS set",
    "XRANGE stream - +",
    "XREAD STREAMS stream 0",
    "XINFO STREAM stream",
    "SCAN 0",
    "GEOPOS zset a",
    "COMMAND DOCS get",
    "MEMORY STATS",
)


def test_every_sort_of_result_takes_every_reply(server: kevyrt.Server) -> None:
    """What a method does not expect stays, or is an exception."""
    server.set("word", "text")
    server.rpush("one", "a")
    server.rpush("three", "a", "b", "c")
    server.hset("hash", "field", "1.5")
    server.zadd("zset", {"a": 1, "b": 2})
    server.sadd("set", "a")
    server.xadd("stream", {"field": "value"})
    kinds = [
        value
        for name, value in vars(_core).items()
        if isinstance(value, int) and not name.startswith("CLOCK_") and name != "SHARDS_MAX"
    ]
    assert len(kinds) > 20
    for kind in kinds:
        for words in REPLIES:
            with contextlib.suppress(TypeError, ValueError):
                server._run(kind, *words.split())
