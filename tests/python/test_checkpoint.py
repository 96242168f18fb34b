"""Checkpoints: whatever was done to the data, it comes back, and all concerned learn of it."""

from __future__ import annotations

import gc
import random
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness.families import families
from harness.ordered_sequences import Family
from harness.random_data import RandomData
from harness.sequences import Sequence
from hypothesis import HealthCheck, given, settings
from programs import Program

import kevyrt

CONFIGURATIONS = [(io, threads) for io in ("epoll", "io_uring") for threads in (1, 3)]
EXAMPLES = 3
LONG_EXAMPLES = 300
PATIENCE_S = 30
# Each family on both reactors, with one shard on one of them and with three on the other.
PAIRS = [
    pytest.param(configuration, family, id=f"{configuration[0]}-{configuration[1]}-{family.name}")
    for number, family in enumerate(families())
    for configuration in (CONFIGURATIONS[number % 2], CONFIGURATIONS[3 - number % 2])
]
SEED = "checkpoints"
DATABASES = 16


@pytest.fixture(params=CONFIGURATIONS, ids=lambda pair: f"{pair[0]}-{pair[1]}")
def each(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[kevyrt.Server]:
    io, threads = request.param
    folder = str(tmp_path)
    with kevyrt.Server(io=io, threads=threads, enable_debug_command=True, dir=folder) as running:
        yield running


def contents(server: kevyrt.Server) -> dict[tuple[int, bytes], tuple[Any, ...]]:
    """All there is to know of all keys."""
    found = {}
    for database in range(DATABASES):
        for key in server.execute("KEYS", "*", db=database):
            found[database, key] = tuple(
                server.execute(*words, key, db=database)
                for words in (("DUMP",), ("PEXPIRETIME",), ("OBJECT", "ENCODING"), ("TYPE",))
            )
    return found


def digest(server: kevyrt.Server) -> Any:
    return server.execute("DEBUG", "DIGEST")


def fill(server: kevyrt.Server) -> None:
    with server.session() as session:
        for words in RandomData(SEED).commands():
            session.execute(*words)


def play(server: kevyrt.Server, sequence: Sequence) -> int:
    played = 0
    with server.session() as session:
        for _, batch in sequence:
            for words in batch:
                try:
                    session.execute(*words)
                except (kevyrt.ResponseError, ValueError):
                    continue
                played += 1
    return played


def be_whole(server: kevyrt.Server, choose: random.Random, snapshot: kevyrt.Snapshot) -> None:
    """Now and then something that concerns databases."""
    database = choose.choice((0, 1, 9, 15, 4))
    kind = choose.randrange(12)
    if kind == 0:
        server.execute("FLUSHALL")
    elif kind == 1:
        server.execute("FLUSHDB", db=database)
    elif kind in (2, 3):
        server.execute("SWAPDB", database, choose.choice((0, 1, 9, 15, 4)))
    elif kind == 4:
        server.restore(snapshot)
    elif kind == 5:
        server.execute("DEBUG", "RELOAD")
    elif kind == 6:
        server.snapshot()


@pytest.mark.parametrize(("each", "family"), PAIRS, indirect=["each"])
@pytest.mark.timeout(600)
def test_sequences(each: kevyrt.Server, family: Family, long_run: bool) -> None:
    examples = LONG_EXAMPLES if long_run else EXAMPLES
    # What is due stays until somebody asks for it, which is what a sequence does, or does not.
    each.execute("DEBUG", "SET-ACTIVE-EXPIRE", 0)
    fill(each)
    snapshot = each.snapshot()
    choose = random.Random(SEED + family.name)
    played = 0

    @settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(family.sequences, family.sequences)
    def compare(first: Sequence, second: Sequence) -> None:
        nonlocal played
        play(each, first)
        checkpoint.renew()
        before = contents(each), digest(each)
        for part in (second, first):
            be_whole(each, choose, snapshot)
            played += play(each, part)
        checkpoint.rewind()
        assert (contents(each), digest(each)) == before
        played += play(each, second)
        checkpoint.rewind()
        assert (contents(each), digest(each)) == before

    with each.checkpoint() as checkpoint:
        compare()
    assert played > examples


def test_every_kind_of_data(each: kevyrt.Server) -> None:
    """Each key is changed a little, replaced, deleted."""
    fill(each)
    before = contents(each), digest(each)
    checkpoint = each.checkpoint()
    changes: dict[bytes, tuple[Any, ...]] = {
        b"string": ("APPEND", "more"),
        b"list": ("LPUSH", "more"),
        b"set": ("SADD", "more"),
        b"zset": ("ZADD", 1, "more"),
        b"hash": ("HSET", "more", 1),
        b"stream": ("XADD", "*", "more", 1),
    }
    for how in ("change", "persist", "expire", "replace", "delete", "rename"):
        for database, key in before[0]:
            kind = each.execute("TYPE", key, db=database)
            kind = kind.encode() if isinstance(kind, str) else kind
            words: tuple[Any, ...] = {
                "change": (changes[kind][0], key, *changes[kind][1:]),
                "persist": ("PERSIST", key),
                "expire": ("PEXPIRE", key, 1),
                "replace": ("SET", key, "another"),
                "delete": ("DEL", key),
                "rename": ("RENAME", key, "one key"),
            }[how]
            each.execute(*words, db=database)
        assert digest(each) != before[1]
        checkpoint.rewind()
        assert (contents(each), digest(each)) == before


def test_deadlines_come_back_as_they_were(server: kevyrt.Server) -> None:
    server.execute("SET", "far", 1, "PXAT", 9_999_999_999_999)
    server.execute("SET", "soon", 1, "PX", 30)
    server.execute("HSET", "hash", "f", 1)
    server.execute("HPEXPIREAT", "hash", 9_999_999_999_999, "FIELDS", 1, "f")
    with server.checkpoint() as checkpoint:
        server.execute("PERSIST", "far")
        server.execute("HPERSIST", "hash", "FIELDS", 1, "f")
        time.sleep(0.05)
        assert server.execute("EXISTS", "soon") == 0
        checkpoint.rewind()
        assert server.execute("PEXPIRETIME", "far") == 9_999_999_999_999
        assert server.execute("HPEXPIRETIME", "hash", "FIELDS", 1, "f") == [9_999_999_999_999]
        assert server.execute("EXISTS", "soon") == 0
        # Active expiry sees to it as well.
        deadline = time.monotonic() + PATIENCE_S
        while server.execute("DBSIZE") != 2:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_access_comes_back(server: kevyrt.Server) -> None:
    server.execute("CONFIG", "SET", "maxmemory-policy", "allkeys-lfu")
    server.set("key", 1)
    for _ in range(300):
        server.get("key")
    before = server.execute("OBJECT", "FREQ", "key")
    with server.checkpoint():
        server.delete("key")
        server.set("key", 2)
    assert server.execute("OBJECT", "FREQ", "key") == before


def test_memory_of_what_is_kept_is_not_the_servers(server: kevyrt.Server) -> None:
    for i in range(1000):
        server.set(f"key:{i}", "x" * 1000)
    server.execute("RPUSH", "list", *range(100_000))

    def used() -> int:
        lines = server.execute("INFO", "memory")
        text = lines.decode() if isinstance(lines, bytes) else lines
        return int(text.split("used_memory:")[1].split()[0])

    full = used()
    with server.checkpoint() as checkpoint:
        server.execute("RPUSH", "list", 1)
        assert used() < full + 100_000
        server.execute("FLUSHALL")
        assert used() < full / 2
        checkpoint.rewind()
        assert abs(used() - full) < full / 10
    server.execute("FLUSHALL")
    assert used() < full / 2


def test_who_watches(server: kevyrt.Server) -> None:
    server.set("key", 1)
    server.set("other", 1)
    for change, broken in [
        (("SET", "key", 2), True),
        (("SET", "other", 2), False),
        (("FLUSHALL",), True),
        (("SWAPDB", 0, 1), True),
    ]:
        with server.checkpoint() as checkpoint, server.session() as session:
            server.execute(*change)
            session.execute("WATCH", "key")
            checkpoint.rewind()
            session.execute("MULTI")
            session.execute("PING")
            assert (session.execute("EXEC") is None) == broken, change


def test_who_waits_is_served(each: kevyrt.Server) -> None:
    each.execute("RPUSH", "list", "element")
    checkpoint = each.checkpoint()
    for change in [("DEL", "list"), ("FLUSHALL",), ("LPOP", "list"), ("SET", "list", 1)]:
        each.execute(*change)
        if change[0] == "SET":
            each.delete("list")
        results: list[Any] = []
        thread = threading.Thread(
            target=lambda results=results: results.append(each.execute("BLPOP", "list", PATIENCE_S))
        )
        thread.start()
        deadline = time.monotonic() + PATIENCE_S
        while b"blocked_clients:1" not in _bytes(each.execute("INFO", "clients")):
            assert time.monotonic() < deadline
            time.sleep(0.002)
        checkpoint.rewind()
        thread.join(PATIENCE_S)
        assert results == [[b"list", b"element"]], change
        assert each.execute("EXISTS", "list") == 0
        checkpoint.rewind()
        assert each.execute("EXISTS", "list") == 1


def _bytes(text: Any) -> bytes:
    return text if isinstance(text, bytes) else str(text).encode()


def test_who_caches_is_told(server: kevyrt.Server) -> None:
    redis = pytest.importorskip("redis")
    server.set("key", "one")
    with redis.Redis.from_url(server.url, protocol=3) as client:
        connection = client.connection_pool.get_connection()
        told: list[Any] = []
        connection.send_command("CLIENT", "TRACKING", "ON")
        connection.read_response()
        connection._parser.set_invalidation_push_handler(lambda message: told.append(message[1]))
        with server.checkpoint() as checkpoint:
            for change, expected in [(("SET", "key", "two"), [b"key"]), (("FLUSHALL",), None)]:
                server.execute(*change)
                connection.send_command("GET", "key")
                connection.read_response()
                told.clear()
                checkpoint.rewind()
                connection.send_command("GET", "key")
                assert connection.read_response() == b"one"
                assert told == [expected]
        client.connection_pool.release(connection)


def test_nobody_is_notified(server: kevyrt.Server) -> None:
    redis = pytest.importorskip("redis")
    server.execute("CONFIG", "SET", "notify-keyspace-events", "KEA")
    with redis.Redis.from_url(server.url) as client, server.checkpoint() as checkpoint:
        server.set("key", 1)
        with client.pubsub() as pubsub:
            pubsub.psubscribe("__key*")
            assert pubsub.get_message(timeout=PATIENCE_S)["type"] == "psubscribe"
            checkpoint.rewind()
            server.set("last", 1)
            message = pubsub.get_message(timeout=PATIENCE_S)
            assert message["data"] in (b"set", b"last")
    assert server.execute("DBSIZE") == 0


def test_one_at_a_time(server: kevyrt.Server) -> None:
    first = server.checkpoint()
    with pytest.raises(kevyrt.PersistenceError, match="there is a checkpoint already"):
        server.checkpoint()
    first.close()
    first.close()
    for call in (first.rewind, first.renew):
        with pytest.raises(RuntimeError, match="the checkpoint is closed"):
            call()
    second = server.checkpoint()
    del second
    gc.collect()
    server.set("key", 1)
    with server.checkpoint() as third:
        server.set("key", 2)
        third.renew()
        server.set("key", 3)
    assert server.get("key") == b"2"


def test_a_stop_ends_it() -> None:
    server = kevyrt.Server()
    with pytest.raises(kevyrt.ServerStopped):
        server.checkpoint()
    with server, server.checkpoint() as checkpoint:
        server.set("key", 1)
        server.stop()
    with server:
        other = server.checkpoint()
        with pytest.raises(RuntimeError, match="closed"):
            checkpoint.rewind()
        server.stop()
        with pytest.raises(kevyrt.ServerStopped):
            other.rewind()
        server.start()
        with pytest.raises(kevyrt.PersistenceError, match="the server was stopped"):
            other.rewind()


def test_it_holds_its_server() -> None:
    checkpoint = kevyrt.Server().start().checkpoint()
    gc.collect()
    checkpoint.rewind()
    checkpoint.close()


def poll(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def is_refused(call: Callable[[], object]) -> bool:
    try:
        call()
    except kevyrt.PersistenceError as error:
        assert "appendonly" in str(error)
        return True
    return False


def test_a_server_that_holds_its_own_is_collected() -> None:
    server: Any = kevyrt.Server().start()
    server.own = server.checkpoint()
    gone = weakref.ref(server)
    del server
    gc.collect()
    assert gone() is None


def test_a_log_refuses(tmp_path: Path) -> None:
    """It begins when its base does, and ends in the background."""
    with kevyrt.Server(appendonly=True, dir=str(tmp_path)) as server:
        assert is_refused(server.checkpoint)
        server.execute("CONFIG", "SET", "appendonly", "no")
        found: list[kevyrt.Checkpoint] = []
        poll(lambda: not is_refused(lambda: found.append(server.checkpoint())))
        with found[0] as checkpoint:
            server.set("key", 1)
            server.execute("CONFIG", "SET", "appendonly", "yes")
            poll(lambda: is_refused(checkpoint.rewind))
            server.execute("CONFIG", "SET", "appendonly", "no")
            poll(lambda: not is_refused(checkpoint.rewind))
            server.set("key", 1)
        assert server.get("key") is None


def test_more_new_keys_than_are_listed(each: kevyrt.Server) -> None:
    each.execute("MSET", "one", 1, "two", 2)
    with each.checkpoint() as checkpoint, each.session() as session:
        session.execute("WATCH", "new")
        each.execute("DEBUG", "POPULATE", 250_000, "new")
        each.execute("SET", "one", 2)
        each.execute("DEL", "two")
        checkpoint.rewind()
        assert each.execute("DBSIZE") == 2
        assert each.execute("MGET", "one", "two") == [b"1", b"2"]
        each.execute("SET", "new", 1)
        checkpoint.rewind()
        assert each.execute("DBSIZE") == 2


def test_eviction_is_a_change(server: kevyrt.Server) -> None:
    for i in range(2000):
        server.set(f"key:{i}", "x" * 100)
    with server.checkpoint():
        server.execute("CONFIG", "SET", "maxmemory-policy", "allkeys-random")
        server.execute("CONFIG", "SET", "maxmemory", "400kb")
        server.set("one", "more")
        assert server.execute("DBSIZE") < 2000
        server.execute("CONFIG", "SET", "maxmemory", "0")
    assert server.execute("DBSIZE") == 2000


def test_inside_a_forked_child(program: Program) -> None:
    assert (
        program("""
import os
import kevyrt

server = kevyrt.Server().start()
checkpoint = server.checkpoint()
child = os.fork()
if child == 0:
    try:
        checkpoint.rewind()
    except kevyrt.ForkedError:
        checkpoint.close()
        os._exit(0)
    os._exit(1)
assert os.waitpid(child, 0)[1] == 0
server.set("key", 1)
checkpoint.rewind()
print(server.execute("DBSIZE"))
server.stop()
""").strip()
        == "0"
    )


def test_threads_use_one_checkpoint(server: kevyrt.Server) -> None:
    server.set("key", 0)
    checkpoint = server.checkpoint()
    failures: list[Exception] = []

    def work(number: int) -> None:
        try:
            for _ in range(300):
                server.set("key", number)
                server.set(f"new:{number}", number)
                checkpoint.rewind()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert not failures
    checkpoint.rewind()
    assert server.execute("KEYS", "*") == [b"key"]
    assert server.get("key") == b"0"


def test_a_block_that_cannot_go_back_closes_its_checkpoint(tmp_path: Path) -> None:
    with kevyrt.Server(port=None, dir=tmp_path) as server:
        with pytest.raises(kevyrt.PersistenceError, match="appendonly"), server.checkpoint() as one:
            server.config_set("appendonly", "yes")
            deadline = time.monotonic() + 60
            while server.info("persistence")["aof_enabled"] != 1:
                assert time.monotonic() < deadline
                time.sleep(0.01)
        with pytest.raises(RuntimeError, match="closed"):
            one.rewind()
