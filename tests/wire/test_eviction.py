"""maxmemory: what is refused, who goes, and that all shards have one budget."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from harness.cases import Case, case
from harness.client import Connection
from harness.compare import Oracle
from harness.process import Server

Start = Callable[..., Server]

MEGABYTE = 1 << 20
POLICIES = [
    *("allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-lru", "volatile-lfu"),
    *("volatile-random", "volatile-ttl"),
]
VALUE = b"x" * 1000
KEY_BYTES = 1072  # with a deadline and its value
BUFFERS = 64 * 1024  # of connections, and what shards have not noted yet

CASES = [
    case(
        "maxmemory-nothing-may-go",
        "MSET $0 a $1 b",
        "CONFIG SET maxmemory 1",
        "SET $0 v",
        "MSET $0 v $1 w",
        "INCR $2",
        "SETRANGE $0 5 x",
        "GET $0",
        "MGET $0 $1",
        "EXPIRE $0 1000",
        "COPY $0 $2",
        "RENAME $0 $2",
        "DEL $2",
        "SET",
        "SET $0 v XX FOO",
        "CONFIG SET maxmemory 0",
        "MGET $0 $1 $2",
    ),
    case(
        "maxmemory-volatile-keys-go",
        "MSET $0 a $1 b $2 c",
        "EXPIRE $1 1000",
        "CONFIG SET maxmemory-policy volatile-lru maxmemory 1",
        "SET $3 v",
        "MGET $0 $1 $2 $3",
        "CONFIG SET maxmemory-policy noeviction maxmemory 0",
    ),
    case(
        "maxmemory-all-keys-go",
        "MSET $0 a $1 b $2 c",
        "EXPIRE $1 1000",
        "CONFIG SET maxmemory 1 maxmemory-policy allkeys-lfu",
        "SET $3 v",
        "MGET $0 $1 $2 $3",
        "DBSIZE",
        "CONFIG SET maxmemory-policy noeviction maxmemory 0",
    ),
    case(
        "maxmemory-value",
        "CONFIG SET maxmemory ''",
        "CONFIG GET maxmemory",
        "CONFIG SET maxmemory 100mb",
        "CONFIG GET maxmemory",
        "CONFIG SET maxmemory -1",
        "CONFIG SET maxmemory 0 maxmemory-samples 0",
        "CONFIG SET maxmemory-eviction-tenacity 101",
        "CONFIG GET maxmemory",
        "CONFIG SET maxmemory 0",
    ),
]


@pytest.mark.parametrize("a_case", CASES, ids=lambda c: c.name)
def test_maxmemory(a_case: Case, own: Start, oracle: Oracle) -> None:
    oracle.check(a_case, own("--enable-debug-command", "yes"))


def _stat(connection: Connection, field: str) -> int:
    text = connection.do("INFO").value.decode()
    return int(
        next(line for line in text.splitlines() if line.startswith(f"{field}:")).split(":")[1]
    )


def _fill(connection: Connection, count: int, *options: str) -> int:
    """SETs `count` keys; how many were refused."""
    refused = 0
    for first in range(0, count, 100):
        names = [f"key:{i}" for i in range(first, min(first + 100, count))]
        replies = connection.pipeline([("SET", name, VALUE, *options) for name in names])
        refused += sum(reply.kind == "error" for reply in replies)
    return refused


@pytest.mark.parametrize("policy", POLICIES)
def test_the_budget_holds(own: Start, policy: str) -> None:
    server = own("--maxmemory-policy", policy)
    with server.connect() as connection:
        limit = _stat(connection, "used_memory") + 2 * MEGABYTE
        connection.do("CONFIG", "SET", "maxmemory", str(limit))
        options = ("EX", "1000") if policy.startswith("volatile") else ()
        assert _fill(connection, 6000, *options) == 0
        used = _stat(connection, "used_memory")
        kept = connection.do("DBSIZE").value
        evicted = _stat(connection, "evicted_keys")  # Redis evicts for any command, INFO too
        assert 0 <= evicted - (6000 - kept) < 100
    assert 1000 < kept < 2200
    assert limit - 400_000 < used < limit + 200_000


def test_refused_once_there_is_no_candidate(own: Start) -> None:
    server = own("--maxmemory-policy", "volatile-lru")
    with server.connect() as connection:
        assert _fill(connection, 500, "EX", "1000") == 0
        limit = _stat(connection, "used_memory") + 2 * MEGABYTE
        connection.do("CONFIG", "SET", "maxmemory", str(limit))
        for i in range(5000):
            if connection.do("SET", f"lasting:{i}", VALUE).kind == "error":
                break
        reply = connection.do("SET", "lasting", VALUE)
        assert reply.value == b"OOM command not allowed when used memory > 'maxmemory'."
        assert connection.do("DBSIZE").value == i
        assert connection.do("GET", "lasting:0").value == VALUE
        assert connection.do("DEL", *[f"lasting:{n}" for n in range(300)]).value == 300
        assert connection.do("SET", "lasting", VALUE).kind == "simple"


def test_a_lower_limit_is_reached_without_a_write(own: Start) -> None:
    server = own("--maxmemory-policy", "allkeys-random")
    with server.connect() as connection:
        empty = _stat(connection, "used_memory")
        _fill(connection, 8000)
        limit = empty + 2 * MEGABYTE
        connection.do("CONFIG", "SET", "maxmemory", str(limit))
        for _ in range(200):
            if _stat(connection, "used_memory") <= limit + 100_000:
                break
        assert _stat(connection, "used_memory") <= limit + 100_000
        assert 1000 < connection.do("DBSIZE").value < 2200


def _squeeze(server: Server, connection: Connection) -> list[float]:
    """Makes a large key take the room of small ones; which part of them each shard still has.

    Exactly as much goes as has to. A request in flight counts, as in Redis, beside the value that
    it replaces: it may leave that much free.
    """
    large = b"y" * (MEGABYTE // 2)
    needed = len(large) - 100_000
    connection.do("CONFIG", "SET", "maxmemory", "0")
    connection.do("FLUSHALL")
    connection.do("CONFIG", "RESETSTAT")
    _fill(connection, 2000, "EX", "1000")
    limit = _stat(connection, "used_memory") + len(large) - needed
    connection.do("CONFIG", "SET", "maxmemory", str(limit))
    for i in range(3):
        assert connection.do("SET", "large", large[i:]).kind == "simple"
    for _ in range(50):  # a command evicts for a while and then runs
        if _stat(connection, "used_memory") <= limit:
            break
    used = _stat(connection, "used_memory")
    connection.do("CONFIG", "SET", "maxmemory", "0")
    evicted = _stat(connection, "evicted_keys")
    assert limit - len(large) - BUFFERS < used < limit + BUFFERS
    assert needed < evicted * KEY_BYTES < needed + len(large) + 2 * BUFFERS
    left: dict[int, list[int]] = {}
    names = [f"key:{i}" for i in range(2000)]
    for name, reply in zip(names, connection.pipeline([("EXISTS", n) for n in names]), strict=True):
        left.setdefault(server.shard_of(name), []).append(reply.value)
    assert sum(map(sum, left.values())) == 2000 - evicted
    return [sum(flags) / len(flags) for flags in left.values()]


def test_one_budget_for_all_shards(own: Start) -> None:
    """What one shard needs, all make room for, by what they have.

    Who cannot be entered just now gives nothing, and the system may take the processor from a
    thread that holds its shard: five attempts, then it is a fault.
    """
    server = own("--maxmemory-policy", "volatile-random")
    if server.is_redis:
        pytest.skip("Redis has no shards")
    with server.connect() as connection:
        for _ in range(5):
            shares = _squeeze(server, connection)
            if max(shares) - min(shares) < 0.2:
                return
    raise AssertionError(f"what the shards have left: {shares}")
