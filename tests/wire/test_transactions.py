"""MULTI, EXEC, DISCARD, WATCH, UNWATCH: the queue, what runs, and what a watched key notices."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from harness.cases import (
    Ask,
    Blocked,
    Case,
    Do,
    Pipe,
    Read,
    Send,
    Shutdown,
    Sleep,
    case,
    mask_field,
)
from harness.client import Connection, connections
from harness.compare import Oracle
from harness.process import Server, StartFailed
from harness.resp import Reply, encode

Start = Callable[..., Server]

QUEUE_CASES = [
    case("multi-empty", "MULTI", "EXEC", "MULTI", "DISCARD", "EXEC", "DISCARD"),
    case(
        "multi-one-shard",
        "MULTI",
        "SET $0 a",
        "GET $0",
        "APPEND $0 b",
        "GET $0",
        "EXEC",
        "GET $0",
    ),
    case(
        "multi-shards",
        *("MULTI", "SET $0 a", "SET $1 b", "MSET $2 c $3 d", "MGET $0 $1 $2 $3 $4", "DEL $0 $3"),
        *("EXEC", "MGET $0 $1 $2 $3"),
    ),
    case(
        "multi-pipelined",
        Pipe(["MULTI", "SET $0 a", "INCR $1", "GET $0", "EXEC", "GET $1"]),
        Pipe(["GET $0", "GET $1", "MULTI", "INCR $1", "EXEC", "GET $1", "MULTI", "GET $2"]),
        Pipe(["GET $3", "EXEC", "GET $0"]),
    ),
    case(
        "multi-many-pipelined",
        Pipe([c for n in range(30) for c in ("MULTI", f"INCR ${n % 5}", "INCR $0", "EXEC")]),
        Pipe(["MULTI", *(f"INCR ${n % 5}" for n in range(200)), "EXEC", "MGET $0 $1 $2 $3 $4"]),
    ),
    case(
        "multi-nested",
        *("MULTI", "MULTI", "SET $0 a", "MULTI", "EXEC", "EXEC", "MULTI", "WATCH $0"),
        *("WATCH $1 $2", "WATCH", "EXEC"),
    ),
    case(
        "multi-discard",
        *("SET $0 a", "MULTI", "SET $0 b", "DISCARD", "GET $0", "EXEC", "MULTI", "GET $0", "EXEC"),
    ),
    case("multi-errors", "MULTI x", "EXEC", "DISCARD", "EXEC x", "DISCARD x", "WATCH", "UNWATCH x"),
    case(
        "multi-refused",
        *("MULTI", "FOO", "EXEC", "EXEC"),
        *("MULTI", "GET", "SET $0 a", "EXEC", "GET $0"),
        *("MULTI", "CLIENT FOO", "EXEC", "MULTI", "CLIENT", "EXEC", "MULTI", "CONFIG GET", "EXEC"),
        *("MULTI", "SHUTDOWN", "EXEC", "MULTI", "FOO", "DISCARD", "MULTI", "GET $0", "EXEC"),
        *("MULTI", "MULTI x", "EXEC", "MULTI", "DISCARD x", "EXEC", "MULTI", "EXEC x", "EXEC"),
        *("MULTI", "GET $0", "FOO", "EXEC x", "EXEC", "MULTI", "RESET x", "EXEC"),
    ),
    case(
        "multi-errors-inside",
        *("SET $0 a", "MULTI", "SET $1 1", "INCR $0", "LPUSH $0 x", "INCR $1", "EXEC"),
        *("MULTI", "SET $0 b XX FOO", "OBJECT FOO $0", "EXPIRE $0 x", "GET $0", "EXEC"),
        *("MGET $0 $1",),
    ),
    case(
        "multi-types",
        *("MULTI", "RPUSH $0 a b c", "SADD $1 x", "HSET $2 f v", "ZADD $3 1 m", "LRANGE $0 0 -1"),
        *("SMEMBERS $1", "HGETALL $2", "ZRANGE $3 0 -1 WITHSCORES", "TYPE $0", "EXEC"),
    ),
    case(
        "multi-resp3",
        Do("HELLO 3", mask=mask_field(b"id")),
        *("MULTI", "HSET $0 f v", "HGETALL $0", "SADD $1 x", "SMEMBERS $1", "GET $2", "EXEC"),
        *("WATCH $0", "HSET $0 f w", "MULTI", "GET $2", "EXEC", "EXEC", "MULTI", "FOO", "EXEC"),
    ),
    case(
        "multi-select",
        *("SET $0 zero", "MULTI", "GET $0", "SELECT 1", "SET $0 one", "GET $0", "SELECT 0"),
        *("GET $0", "SELECT 2", "EXEC", "GET $0", "SELECT 1", "GET $0", "MULTI", "SELECT 99"),
        *("GET $0", "EXEC"),
    ),
    case(
        "multi-hello",
        *("HSET $0 f v", "MULTI", "HGETALL $0"),
        "HELLO 3",
        *("HGETALL $0", "GET $1", "HELLO 2", "HGETALL $0", "HELLO 9"),
        "AUTH x",
        "DISCARD",
    ),
    case(
        "multi-hello-exec",
        *("HSET $0 f v", "MULTI", "HGETALL $0", "CLIENT SETNAME me", "CLIENT GETNAME", "EXEC"),
        *("MULTI", "AUTH x", "AUTH default x", "EXEC"),
    ),
    case(
        "multi-unwatch",
        *("WATCH $0", "MULTI", "UNWATCH", "SET $0 a", "UNWATCH", "EXEC", "GET $0"),
    ),
    case("multi-publish", "MULTI", "PUBLISH channel x", "PUBSUB NUMSUB channel", "EXEC"),
    case(
        "multi-subscribe",
        *("MULTI", "SUBSCRIBE channel", "PING", "GET $0", "EXEC", "PING", "GET $0", "MULTI"),
        *("EXEC", "UNSUBSCRIBE channel", "MULTI", "GET $0", "EXEC"),
    ),
    case("multi-quit", Pipe(["MULTI", "SET $0 a", "QUIT"]), Read(None), Do("GET $0", on=1)),
    case(
        "multi-end",
        Pipe(["MULTI", "SET $0 a"]),
        Shutdown(),
        Read(None),
        Do("GET $0", on=1),
    ),
    case(
        "multi-malformed",
        Pipe(["MULTI", "SET $0 a"]),
        Send(b"*1\r\n$x\r\n"),
        Read(None),
        Do("GET $0", on=1),
    ),
    case(
        "multi-reset",
        *("SET $0 a", "WATCH $0", "MULTI", "GET $0", "RESET", "EXEC", "SET $0 b", "MULTI"),
        *("GET $0", "EXEC"),
    ),
    case(
        "multi-large",
        ("MULTI",),
        ("SET", "large", b"x" * 100_000),
        ("SET", "larger", b"y" * 1_000_000),
        ("APPEND", "large", b"z" * 40_000),
        ("STRLEN", "large"),
        ("GETRANGE", "larger", 0, 10),
        ("EXEC",),
        ("MULTI",),
        ("SET", "large", b"x" * 100_000),
        ("DISCARD",),
        ("MULTI",),
        ("GET", "larger"),
        ("DEL", "larger", "large"),
        ("EXEC",),
    ),
    case("multi-wide", "MULTI", ("MSET", *(f"k{n}" for n in range(2000))), "MGET k0 k998", "EXEC"),
    case(
        "multi-everything",
        *("MSET $0 a $1 b $2 c", "MULTI", "DBSIZE", "FLUSHALL", "DBSIZE", "SET $1 x", "DBSIZE"),
        *("KEYS *", "EXEC", "MGET $0 $1"),
    ),
    case(
        "multi-reply-off",
        Pipe(["MULTI", "CLIENT REPLY OFF", "GET $0", "SET $0 a", "EXEC", "GET $0"], replies=4),
        Pipe(["CLIENT REPLY ON", "GET $0", "PING"], replies=1),  # what EXEC announced
    ),
    case(
        "multi-reply-on",
        Pipe(
            [
                *("CLIENT REPLY OFF", "MULTI", "SET $0 a", "CLIENT REPLY ON", "PING", "EXEC"),
                *("GET $0",),
            ],
            replies=3,
        ),
        Pipe(
            [
                *("CLIENT REPLY SKIP", "MULTI", "GET $0", "CLIENT REPLY SKIP", "EXEC", "PING"),
                "PING",
            ],
            replies=3,
        ),
    ),
    case(
        "multi-expiry",
        *("SET $0 a PX 1", "MULTI", "GET $0", "SET $1 b PX 100000", "PERSIST $1", "TTL $1"),
        Sleep(0.02),
        *("EXEC", "GET $0"),
    ),
    case("multi-scan", "SET $0 a", "MULTI", "DBSIZE", "RANDOMKEY", "FLUSHDB", "EXEC", "DBSIZE"),
    case(
        "multi-stores",
        *("MULTI", "SADD $0 a b", "SADD $1 b c", "SUNIONSTORE $2 $0 $1", "SMOVE $0 $1 a"),
        *("SMEMBERS $0", "SCARD $1", "SCARD $2", "RENAME $2 $3", "COPY $3 $4", "EXEC", "SCARD $4"),
    ),
]

WATCHED = [
    ("set", "SET $0 b"),
    ("same-value", "SET $0 a"),
    ("append", "APPEND $0 b"),
    ("del", "DEL $0"),
    ("del-of-several", "DEL $1 $0"),
    ("expire", "EXPIRE $0 100"),
    ("persist-nothing", "PERSIST $0"),
    ("get", "GET $0"),
    ("other-key", "SET $1 b"),
    ("nothing-deleted", "DEL $2"),
    ("mset", "MSET $1 x $0 y"),
    ("rename-away", "RENAME $0 $1"),
    ("rename-here", "RENAME $3 $0"),
    ("copy-here", "COPY $3 $0 REPLACE"),
    ("copy-away", "COPY $0 $1"),
    ("flushall", "FLUSHALL"),
    ("flushdb", "FLUSHDB ASYNC"),
    ("swapdb", "SWAPDB 0 1"),
    ("swapdb-self", "SWAPDB 0 0"),
    ("swapdb-others", "SWAPDB 2 3"),
    ("move", "MOVE $0 1"),
    ("touch", "TOUCH $0"),
    ("setnx", "SETNX $0 b"),
    ("error", "LPUSH $0 b"),
    ("getset", "GETSET $0 b"),
    ("getex", "GETEX $0 EX 100"),
    ("getdel", "GETDEL $0"),
    ("setbit", "SETBIT $0 1 1"),
    ("sort-store", "SORT $4 STORE $0"),
    ("unlink", "UNLINK $0"),
    ("transaction", "EXEC"),
]


def _watched(name: str, change: str, setup: tuple[str, ...], watch: str, on: int) -> Case:
    return case(
        name,
        *setup,
        watch,
        Do(change, on=on),
        *("MULTI", "SET $5 done", "EXEC", "GET $5", "MULTI", "GET $0", "EXEC"),
    )


def _watch_cases() -> Iterator[Case]:
    setup = ("SET $0 a", "SET $3 c", "RPUSH $4 3 1 2")
    for name, change in WATCHED:
        for on in (0, 1):
            yield _watched(f"watch-{name}-{on}", change, setup, "WATCH $0", on)
            yield _watched(f"watch-missing-{name}-{on}", change, setup[1:], "WATCH $0 $6", on)
        yield _watched(f"watch-both-{name}", change, setup, "WATCH $6 $0 $3", 1)


WATCH_CASES = [
    *_watch_cases(),
    case(
        "watch-after-change",
        *("SET $0 a", "WATCH $0", "SET $0 b", "WATCH $1", "MULTI", "GET $0", "EXEC"),
        *("WATCH $1", "MULTI", "GET $0", "EXEC"),
    ),
    case("unwatch", "SET $0 a", "WATCH $0 $1", "SET $0 b", "UNWATCH", "MULTI", "GET $0", "EXEC"),
    case("watch-twice", "WATCH $0 $0 $1", "WATCH $0", "SET $1 x", "MULTI", "GET $0", "EXEC"),
    case(
        "watch-is-over-behind-exec",
        *("WATCH $0", "MULTI", "GET $0", "EXEC", "SET $0 b", "MULTI", "GET $0", "EXEC"),
    ),
    case(
        "watch-is-over-behind-discard",
        *("WATCH $0", "MULTI", "GET $0", "DISCARD", "SET $0 b", "MULTI", "GET $0", "EXEC"),
    ),
    case(
        "watch-and-errors",
        *("SET $0 a", "WATCH $0", "SET $0 b", "MULTI", "FOO", "EXEC"),
        *("WATCH $0", "SET $0 c", "MULTI", "FOO", "GET", "DISCARD", "MULTI", "GET $0", "EXEC"),
    ),
    case(
        "watch-own-change-inside",
        *("WATCH $0", "MULTI", "SET $0 a", "SET $0 b", "EXEC", "GET $0"),
    ),
    case(
        "watch-database",
        *("SET $0 a", "WATCH $0", "SELECT 1", "SET $0 b", "MULTI", "GET $0", "EXEC"),
        *("WATCH $0", "SELECT 0", "SET $0 c", "MULTI", "GET $0", "EXEC"),
        *("SELECT 1", "WATCH $0", "FLUSHDB", "SELECT 0", "MULTI", "GET $0", "EXEC"),
    ),
    case(
        "watch-expires",
        *("SET $0 a PX 30", "WATCH $0"),
        Sleep(0.06),
        *("MULTI", "SET $1 x", "EXEC", "GET $1"),
    ),
    case(
        "watch-expires-lazily",
        *("SET $0 a PX 30", "WATCH $0"),
        Sleep(0.06),
        Do("GET $0", on=1),
        *("MULTI", "SET $1 x", "EXEC", "GET $1"),
    ),
    case(
        "watch-expires-actively",
        *("SET $0 a PX 30", "WATCH $0"),
        Sleep(0.4),
        *("MULTI", "SET $1 x", "EXEC", "GET $1"),
    ),
    case(
        "watch-expired-before",
        "DEBUG SET-ACTIVE-EXPIRE 0",
        "SET $0 a PX 10",
        Sleep(0.03),
        "WATCH $0",
        *("MULTI", "SET $1 x", "EXEC", "GET $1"),
        "SET $0 a PX 10",
        Sleep(0.03),
        "WATCH $0",
        Do("GET $0", on=1),
        *("MULTI", "SET $2 x", "EXEC", "GET $2"),
        "SET $0 a PX 10",
        Sleep(0.03),
        "WATCH $0",
        Do("SET $0 new", on=1),
        *("MULTI", "SET $3 x", "EXEC", "GET $3"),
        "SET $0 a PX 10",
        Sleep(0.03),
        "WATCH $0",
        Do("FLUSHALL", on=1),
        *("MULTI", "SET $4 x", "EXEC", "GET $4"),
        "DEBUG SET-ACTIVE-EXPIRE 1",
    ),
    case(
        "watch-swapdb-appears",
        "SELECT 1",
        "SET $0 a",
        "SELECT 0",
        "WATCH $0",
        Do("SWAPDB 0 1", on=1),
        *("MULTI", "GET $0", "EXEC"),
        "WATCH $1",
        Do("SWAPDB 0 1", on=1),
        *("MULTI", "GET $0", "EXEC"),
    ),
    case(
        "watch-hash-fields",
        *("HSET $0 f v", "WATCH $0", "HSET $0 f v", "MULTI", "GET $1", "EXEC"),
        *("WATCH $0", "HDEL $0 g", "MULTI", "GET $1", "EXEC"),
        *("WATCH $0", "HDEL $0 f", "MULTI", "GET $1", "EXEC"),
    ),
    case(
        "watch-pipelined",
        Pipe(["WATCH $0", "GET $0", "MULTI", "SET $0 a", "SET $1 b", "EXEC", "MGET $0 $1"]),
        Pipe(["WATCH $0 $1", "SET $1 c", "MULTI", "SET $0 x", "EXEC", "GET $0", "UNWATCH"]),
        Pipe(["GET $0", "WATCH $0", "UNWATCH", "SET $0 y", "MULTI", "GET $0", "EXEC"]),
    ),
    case(
        "watch-many",
        ("WATCH", *(f"w{n}" for n in range(500))),
        "SET w499 x",
        *("MULTI", "GET w499", "EXEC"),
        ("WATCH", *(f"w{n}" for n in range(500))),
        *("MULTI", "GET w499", "EXEC"),
    ),
]


HELLO = Do("HELLO 3", mask=mask_field(b"id"))
IN_RESP3 = [Case(f"{c.name}-in-resp3", (HELLO, *c.steps)) for c in QUEUE_CASES]


@pytest.mark.parametrize("a_case", QUEUE_CASES + IN_RESP3, ids=lambda c: c.name)
def test_queue(a_case: Case, subject: Server, oracle: Oracle) -> None:
    oracle.check(a_case, subject)


@pytest.mark.parametrize("a_case", WATCH_CASES, ids=lambda c: c.name)
def test_watch(a_case: Case, subject: Server, oracle: Oracle) -> None:
    oracle.check(a_case, subject)


@pytest.fixture
def ours_ordered(order_subject: Server) -> Server:
    """One of ours, however it reaches other shards."""
    if order_subject.is_redis:
        order_subject.flush()
        pytest.skip("redis-server has one shard")
    return order_subject


@pytest.fixture
def own_ordered(own: Start) -> Server:
    """`pipeline-order shard`; redis-server has one order anyway."""
    try:
        return own("--pipeline-order", "shard")
    except StartFailed:
        return own()


@pytest.mark.parametrize("a_case", QUEUE_CASES[:6], ids=lambda c: c.name)
def test_order_of_shards(a_case: Case, own_ordered: Server, oracle: Oracle) -> None:
    oracle.check(a_case, own_ordered)


# ---- What clients are told ---------------------------------------------------------------------


def _me(connection: Connection) -> dict[str, str]:
    line = connection.do("CLIENT", "INFO").value.decode().strip()
    return dict(field.split("=", 1) for field in line.split(" "))


def _row(control: Connection, number: int) -> dict[str, str]:
    line = control.do("CLIENT", "LIST", "ID", number).value.decode().strip()
    return dict(field.split("=", 1) for field in line.split(" "))


def _info(connection: Connection, section: str) -> dict[str, str]:
    text = connection.do("INFO", section).value.decode()
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def _text(reply: Reply) -> str:
    return reply.value.decode()


def test_client_list(ours: Server) -> None:
    key, other = ours.spread(2)
    with ours.connect() as control, ours.connect() as client:
        number = client.do("CLIENT", "ID").value
        before = _row(control, number)
        assert (before["multi"], before["watch"], before["flags"]) == ("-1", "0", "N")
        client.do("WATCH", key, other)
        assert _row(control, number)["watch"] == "2"
        client.do("MULTI")
        row = _row(control, number)
        assert (row["multi"], row["flags"], row["cmd"]) == ("0", "x", "multi")
        client.do("SET", key, "x" * 1000)
        client.do("CLIENT", "INFO")
        row = _row(control, number)
        assert (row["multi"], row["flags"]) == ("2", "x")
        assert int(row["multi-mem"]) > 1000
        assert int(row["tot-mem"]) > int(before["tot-mem"]) + 1000
        control.do("SET", other, "changed")
        row = _row(control, number)
        assert (row["watch"], row["flags"]) == ("0", "xd")
        client.do("GET", key)
        assert _row(control, number)["multi"] == "2"  # in vain, so it is not queued
        client.do("EXEC")
        row = _row(control, number)
        assert (row["multi"], row["watch"], row["flags"]) == ("-1", "0", "N")
        assert row["multi-mem"] == "0"


def test_client_info_inside(subject: Server) -> None:
    with subject.connect() as client:
        client.do("MULTI")
        client.do("CLIENT", "INFO")
        (line,) = client.do("EXEC").value
        row = dict(field.split("=", 1) for field in line.value.decode().strip().split(" "))
        assert (row["multi"], row["flags"], row["cmd"]) == ("1", "x", "exec")


def test_info_of_watching(ours: Server) -> None:
    keys = ours.spread(4)
    with connections(ours.address, 3) as (control, one, two):
        base = _info(control, "clients")
        assert (base["watching_clients"], base["total_watched_keys"]) == ("0", "0")
        one.do("WATCH", *keys[:3])
        two.do("WATCH", *keys[1:])
        info = _info(control, "clients")
        assert (info["watching_clients"], info["total_watched_keys"]) == ("2", "4")
        control.do("SET", keys[0], "x")
        assert _info(control, "clients")["watching_clients"] == "1"
        one.do("UNWATCH")
        assert _info(control, "clients")["total_watched_keys"] == "3"
        two.close()
        deadline = time.monotonic() + 5
        while _info(control, "clients")["total_watched_keys"] != "0":
            assert time.monotonic() < deadline
        assert _info(control, "clients")["watching_clients"] == "0"


def test_statistics(own: Start) -> None:
    """Commands count when they run; EXEC does not fail with them."""
    server = own()
    with server.connect() as client:
        client.do("CONFIG", "RESETSTAT")
        for command in (["MULTI"], ["SET", "a", "x"], ["INCR", "a"], ["GET", "a"], ["EXEC"]):
            client.do(*command)
        for command in (["MULTI"], ["GET"], ["SET", "a", "y"], ["EXEC"], ["EXEC"]):
            client.do(*command)
        stats = _info(client, "commandstats")
        calls = {
            name: [stats[f"cmdstat_{name}"].split(",")[i].split("=")[1] for i in (0, 3, 4)]
            for name in ("multi", "set", "incr", "get", "exec")
        }
        assert calls == {
            "multi": ["2", "0", "0"],
            "set": ["1", "0", "0"],
            "incr": ["1", "0", "1"],
            "get": ["1", "1", "0"],
            "exec": ["3", "0", "2"],
        }
        errors = _info(client, "errorstats")
        assert errors == {"errorstat_ERR": "count=3", "errorstat_EXECABORT": "count=1"}


# ---- Limits, passwords, pauses, kills ----------------------------------------------------------


def test_queue_counts_as_query_buffer(own: Start) -> None:
    """As from 7.2 on."""
    server = own()
    if server.is_redis:
        pytest.skip("7.0 does not count the queue")
    with server.connect() as control, server.connect() as client:
        control.do("CONFIG", "SET", "client-query-buffer-limit", 1 << 20)
        client.do("MULTI")
        reply = Reply("simple", b"QUEUED")
        sent = 0
        while reply == Reply("simple", b"QUEUED") and sent < 5 << 20:
            reply = client.do("SET", "k", b"x" * 20_000)
            sent += 20_000
        assert (1 << 20) - 40_000 < sent < 2 << 20
        assert control.do("GET", "k").value is None


def test_password(own: Start, oracle: Oracle) -> None:
    server = own("--requirepass", "secret", password="secret")
    with server.connect() as client:
        for command in ("EXEC", "MULTI", "WATCH", "DISCARD", "UNWATCH"):
            words = (command, "k") if command == "WATCH" else (command,)
            expected = "NOAUTH Authentication required."
            if command == "EXEC":
                expected = f"EXECABORT Transaction discarded because of: {expected}"
            assert _text(client.do(*words)) == expected
        client.do("AUTH", "secret")
        replies = client.pipeline([["MULTI"], ["AUTH", "wrong"], ["SET", "k", "v"], ["EXEC"]])
        assert [r.kind for r in replies[3].value] == ["error", "simple"]
        client.pipeline([["MULTI"], ["SET", "k", "w"], ["RESET"]])
        assert _text(client.do("GET", "k")) == "NOAUTH Authentication required."


def test_maxmemory(own: Start) -> None:
    server = own()
    with server.connect() as control, server.connect() as client:
        keys = server.spread(3)
        client.do("MULTI")
        client.do("SET", keys[0], "a")
        client.do("GET", keys[1])
        control.do("CONFIG", "SET", "maxmemory", 1)
        expected = "OOM command not allowed when used memory > 'maxmemory'."
        reply = client.do("EXEC")
        assert _text(reply) == f"EXECABORT Transaction discarded because of: {expected}"
        assert client.do("EXEC").kind == "error"
        replies = client.pipeline([["MULTI"], ["GET", keys[1]], ["WATCH", keys[0]], ["EXEC"]])
        assert _text(replies[1]) == _text(replies[2]) == expected  # a queue takes memory as well
        assert _text(replies[3]) == "EXECABORT Transaction discarded because of previous errors."
        assert client.pipeline([["MULTI"], ["EXEC"]])[1].value == ()
        control.do("CONFIG", "SET", "maxmemory", 0)
        client.pipeline([["MULTI"], ["DEL", keys[0]], ["GET", keys[1]]])
        control.do("CONFIG", "SET", "maxmemory", 1)
        assert client.do("EXEC").kind == "array"
        control.do("CONFIG", "SET", "maxmemory", 0)


def test_eviction_is_a_change(own: Start) -> None:
    server = own()
    with server.connect() as control, server.connect() as client:
        keys = server.spread(4)
        control.do("MSET", *(word for key in keys for word in (key, "v")))
        client.do("WATCH", *keys)
        control.do("CONFIG", "SET", "maxmemory", 1, "maxmemory-policy", "allkeys-random")
        control.do("SET", "more", "v")
        control.do("CONFIG", "SET", "maxmemory", 0)
        client.do("MULTI")
        client.do("PING")
        assert client.do("EXEC").value is None


def test_pause(subject: Server) -> None:
    """A write waits to be queued, and EXEC waits if there is one in the queue."""
    keys = subject.spread(2)
    with connections(subject.address, 4) as (control, queued, reads, late):
        queued.pipeline([["MULTI"], ["SET", keys[0], "x"]])
        reads.pipeline([["MULTI"], ["GET", keys[0]]])
        late.do("MULTI")
        control.do("CLIENT", "PAUSE", 10_000, "WRITE")
        queued.send(b"EXEC\r\n")
        late.send(b"SET %s late\r\n" % keys[1].encode())
        assert reads.do("EXEC").kind == "array"
        assert queued.silent_for(0.05) and late.silent_for(0.01)
        control.do("CLIENT", "UNPAUSE")
        assert queued.read().kind == "array"
        assert late.read().value == b"QUEUED"
        assert late.do("EXEC").kind == "array"


def test_killed_client_executes_nothing(subject: Server) -> None:
    keys = subject.spread(4)
    with subject.connect() as control, subject.connect() as victim:
        number = victim.do("CLIENT", "ID").value
        victim.pipeline([["WATCH", *keys], ["MULTI"], *(["INCR", key] for key in keys)])
        control.do("CLIENT", "KILL", "ID", number)
        victim.send(b"EXEC\r\n")
        assert victim.read_until_closed() == []
        assert [value.value for value in control.do("MGET", *keys).value] == [None] * 4


def test_busy_shards(own: Start) -> None:
    """What is answered without the place keeps its meaning."""
    server = own("--busy-reply-threshold", "30", "--enable-debug-command", "yes")
    key = server.spread(1)[0]
    with connections(server.address, 4) as (sleeper, queueing, watching, plain):
        queueing.do("MULTI")
        watching.do("WATCH", key)
        sleeper.send(b"DEBUG SLEEP 0.6\r\n")
        time.sleep(0.25)
        if server.is_redis:
            pytest.skip("redis-server has one thread")
        reply = queueing.do("SET", key, "x")
        if reply.value == b"QUEUED":
            pytest.skip("the place was not lost")
        assert _text(reply).startswith("BUSY ")
        assert watching.do("UNWATCH").kind == "simple"
        assert plain.do("MULTI").kind == "simple"
        assert plain.do("DISCARD").kind == "simple"
        assert _text(queueing.do("EXEC")).startswith("EXECABORT ")
        assert sleeper.read().kind == "simple"
        assert queueing.do("EXEC").kind == "error"


# ---- Isolation ---------------------------------------------------------------------------------


def _increment(server: Server, key: str, times: int, done: list[int]) -> None:
    """Optimistic increments: whoever loses tries again."""
    with server.connect() as client:
        tries = 0
        for _ in range(times):
            while True:
                tries += 1
                client.do("WATCH", key)
                value = int(client.do("GET", key).value or 0)
                replies = client.pipeline([["MULTI"], ["SET", key, str(value + 1)], ["EXEC"]])
                if replies[2].value is not None:
                    break
        done.append(tries)


def test_no_update_is_lost(subject: Server) -> None:
    (key,) = subject.spread(1)
    done: list[int] = []
    threads = [threading.Thread(target=_increment, args=(subject, key, 40, done)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with subject.connect() as client:
        assert client.do("GET", key).value == b"160"
    assert len(done) == 4


def _transfer(server: Server, keys: list[str], times: int, failures: list[str]) -> None:
    with server.connect() as client:
        for n in range(times):
            one, two = keys[n % len(keys)], keys[(n + 1) % len(keys)]
            reply = client.pipeline([["MULTI"], ["DECR", one], ["INCR", two], ["EXEC"]])[3]
            if reply.kind != "array":
                failures.append(str(reply))


def _observe(server: Server, keys: list[str], stop: threading.Event, failures: list[str]) -> None:
    with server.connect() as client:
        while not stop.is_set():
            total = sum(int(value.value) for value in client.do("MGET", *keys).value)
            replies = client.pipeline([["MULTI"], *(["GET", key] for key in keys), ["EXEC"]])
            again = sum(int(value.value) for value in replies[-1].value)
            if (total, again) != (0, 0):
                failures.append(f"{total} {again}")


def test_transactions_are_seen_as_a_whole(subject: Server) -> None:
    keys = subject.spread(5)
    failures: list[str] = []
    stop = threading.Event()
    with subject.connect() as client:
        client.do("MSET", *(word for key in keys for word in (key, "0")))
    watchers = [
        threading.Thread(target=_observe, args=(subject, keys, stop, failures)) for _ in range(2)
    ]
    workers = [
        threading.Thread(target=_transfer, args=(subject, keys[n:] + keys[:n], 300, failures))
        for n in range(3)
    ]
    for thread in watchers + workers:
        thread.start()
    for thread in workers:
        thread.join()
    stop.set()
    for thread in watchers:
        thread.join()
    assert failures == []


# ---- Calls that come to their keys one by one ----------------------------------------------------

REACH = ("DEBUG", "KEVYRT-REACH")


def test_reach(ours: Server) -> None:
    keys = ours.spread(5)
    with ours.connect() as client:
        assert client.do(*REACH, *keys, "SET", "v").kind == "simple"
        assert [r.value for r in client.do(*REACH, *reversed(keys)).value] == [b"v"] * 5
        replies = client.pipeline(
            [
                ["SET", keys[0], "w"],
                ["MULTI"],
                ["GET", keys[0]],
                [*REACH, *keys],
                ["SET", keys[3], "x"],
                [*REACH, keys[3], keys[1], "SET", "y"],
                ["MGET", keys[1], keys[3]],
                ["EXEC"],
                ["MGET", *keys],
            ]
        )
        values = [b"w", b"v", b"v", b"v", b"v"]
        get, reach, _, _, mget = replies[7].value
        assert get.value == b"w"
        assert [r.value for r in reach.value] == values
        assert [r.value for r in mget.value] == [b"y", b"y"]
        assert [r.value for r in replies[8].value] == [b"w", b"y", b"v", b"y", b"v"]


def test_reach_and_watch(ours: Server) -> None:
    keys = ours.spread(3)
    with ours.connect() as client, ours.connect() as other:
        client.do("WATCH", *keys)
        other.do(*REACH, keys[2], "SET", "v")
        client.pipeline([["MULTI"], [*REACH, *keys]])
        assert client.do("EXEC").value is None
        client.do("WATCH", keys[1])
        client.pipeline([["MULTI"], [*REACH, *keys]])
        assert [r.value for r in client.do("EXEC").value[0].value] == [None, None, b"v"]


def _write_all(server: Server, write: list[list[str]], times: int, failures: list[str]) -> None:
    """`write` is one command, or those of a transaction; `?` is a value that is new each time."""
    with server.connect() as client:
        for n in range(times):
            commands = [[word.replace("?", f"{write[0][0]}{n}") for word in c] for c in write]
            reply = client.pipeline(commands)[-1]
            if reply.kind not in ("simple", "array"):
                failures.append(str(reply))


def _see_one_value(
    server: Server, read: list[list[str]], stop: threading.Event, failures: list[str]
) -> None:
    with server.connect() as client:
        while not stop.is_set():
            reply = client.pipeline(read)[-1]
            values = reply.value[0].value if len(read) > 1 else reply.value
            if len({value.value for value in values}) != 1:
                failures.append(str(reply))


def test_reaching_calls_are_seen_as_a_whole(ours_ordered: Server) -> None:
    """Two in opposite orders at once, beside MSETs of all the keys: no deadlock, no torn view."""
    keys = ours_ordered.spread(6)
    mset = [word for key in keys for word in (key, "?")]
    writes = [
        [["MULTI"], [*REACH, *keys, "SET", "?"], ["EXEC"]],
        [["MULTI"], ["GET", keys[2]], [*REACH, *reversed(keys), "SET", "?b"], ["EXEC"]],
        [[*REACH, *keys[3:], *keys[:3], "SET", "?c"]],
        [["MSET", *mset]],
    ]
    reads = [
        [["MGET", *keys]],
        [[*REACH, *keys[1:], keys[0]]],
        [["MULTI"], [*REACH, *reversed(keys)], ["EXEC"]],
    ]
    failures: list[str] = []
    stop = threading.Event()
    with ours_ordered.connect() as client:
        client.do("MSET", *mset)
    readers = [
        threading.Thread(target=_see_one_value, args=(ours_ordered, read, stop, failures))
        for read in reads
    ]
    writers = [
        threading.Thread(target=_write_all, args=(ours_ordered, write, 200, failures))
        for write in writes
    ]
    for thread in readers + writers:
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in readers:
        thread.join()
    assert failures == []


# ---- With clients that wait ----------------------------------------------------------------------

BLOCKING_CASES = [
    case(
        "multi-blocking-inside",
        *("RPUSH $0 a", "MULTI", "BLPOP $0 $1 0", "BLPOP $1 $0 0", "EXEC"),
    ),
    case(
        "multi-serves-behind",
        Ask("BLPOP $0 $1 0", on=1),
        Blocked(1),
        *("MULTI", "RPUSH $0 a b", "LLEN $0", "LPOP $0", "EXEC"),
        Read(on=1),
        "LLEN $0",
    ),
    case(
        "multi-serves-not-what-is-gone",
        Ask("BLPOP $0 $1 0", on=1),
        Blocked(1),
        *("MULTI", "RPUSH $0 a", "DEL $0", "EXEC", "RPUSH $1 b"),
        Read(on=1),
    ),
    case(
        "multi-serves-several",
        Ask("BLPOP $0 $1 $2 0", on=1),
        Blocked(1),
        Ask("BLPOP $3 $0 0", on=2),
        Blocked(2),
        *("MULTI", "RPUSH $3 x", "RPUSH $0 a b", "RPUSH $2 c", "EXEC"),
        Read(on=1),
        Read(on=2),
        *("LRANGE $0 0 -1", "LRANGE $2 0 -1", "LRANGE $3 0 -1"),
    ),
    case(
        "watch-is-broken-by-who-is-served",
        Do("RPUSH $0 old"),
        Ask("BLPOP $1 $2 0", on=1),
        Blocked(1),
        Do("WATCH $2", on=2),
        Pipe(["MULTI", "RPUSH $2 a", "EXEC"]),
        Read(on=1),
        Do("MULTI", on=2),
        Do("EXEC", on=2),
    ),
    case(
        "watch-by-name-of-the-waiting",
        Do("WATCH $0", on=2),
        Ask("BLPOP $0 $1 0", on=1),
        Blocked(1),
        Do("MULTI", on=2),
        Do("EXEC", on=2),
        "RPUSH $1 a",
        Read(on=1),
    ),
]


@pytest.mark.parametrize("a_case", BLOCKING_CASES, ids=lambda c: c.name)
def test_waiting(a_case: Case, subject: Server, oracle: Oracle) -> None:
    oracle.check(a_case, subject)


def test_an_open_transaction_serves_across_shards(ours_ordered: Server) -> None:
    """What its waiters need is taken though nobody knew of it before."""
    keys = ours_ordered.spread(4)
    for _ in range(20):
        with connections(ours_ordered.address, 3) as (client, one, two):
            one.send(encode("BLPOP", keys[0], keys[1], keys[2], 0))
            two.send(encode("BLPOP", keys[3], keys[0], 0))
            while _info(client, "clients")["blocked_clients"] != "2":
                time.sleep(0.001)
            queue = [[*REACH, *keys[1:]], ["RPUSH", keys[0], "a", "b"], ["LLEN", keys[0]]]
            reply = client.pipeline([["MULTI"], *queue, ["EXEC"]])[-1]
            assert reply.value[2].value == 2
            assert {one.read().value[1].value, two.read().value[1].value} == {b"a", b"b"}
            assert client.do("EXISTS", keys[0]).value == 0
