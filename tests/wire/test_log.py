"""What the append-only log has, and when: before anybody is told, in a possible order."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

import pytest
from harness.aof_files import Effect, Tail, effects, manifest
from harness.client import Connection
from harness.matrix import REDIS, Configuration
from harness.process import Server
from harness.resp import OK, bulk, integer, render

CONFIGURATIONS = [
    REDIS,
    Configuration("io_uring-1", "io_uring", 1),
    Configuration("io_uring-3-tiny", "io_uring", 3, "never", 8),
    Configuration("epoll-3-never", "epoll", 3, "never"),
    Configuration("epoll-3-auto", "epoll", 3),
]
OURS = CONFIGURATIONS[1:]


@pytest.fixture(scope="module", params=CONFIGURATIONS, ids=lambda c: c.name)
def logged(request: pytest.FixtureRequest) -> Iterator[Server]:
    chosen = set(filter(None, request.config.getoption("--configurations").split(",")))
    if chosen and request.param.name not in chosen:
        pytest.skip("not asked for")
    # Redis puts writing off while a sync of a second before goes on.
    sync = "no" if request.param.is_redis else "everysec"
    with Server(request.param, ("--appendonly", "yes", "--appendfsync", sync)) as server:
        yield server


@pytest.fixture
def tail(logged: Server) -> Tail:
    logged.flush()
    return Tail(logged.folder)


@pytest.fixture
def client(logged: Server) -> Iterator[Connection]:
    with logged.connect() as connection:
        yield connection


def _names(found: list[Effect]) -> list[bytes]:
    return [effect.words[0].upper() for effect in found]


def test_a_write_is_there_before_its_reply(logged: Server, tail: Tail, client: Connection) -> None:
    keys = logged.spread(6)
    for i in range(30):
        key = keys[i % 6]
        assert client.do("SET", key, i) == OK
        assert tail.words()[-1] == (b"SET", key.encode(), b"%d" % i)


def test_a_pipeline_of_reads_behind_writes(logged: Server, tail: Tail, client: Connection) -> None:
    keys = logged.spread(6)
    commands = []
    for i in range(200):
        commands += [("SET", keys[i % 6], i), ("GET", keys[i % 6])]
    replies = client.pipeline(commands)
    assert replies == [reply for i in range(200) for reply in (OK, bulk(str(i)))]
    assert tail.words() == [(b"SET", keys[i % 6].encode(), b"%d" % i) for i in range(200)]


def test_a_transaction_is_one_over_all_shards(
    logged: Server, tail: Tail, client: Connection
) -> None:
    a, b, c = logged.spread(3)
    client.pipeline([("MULTI",), ("SET", a, 1), ("INCR", b), ("LPUSH", c, "x"), ("EXEC",)])
    found = tail.new()
    assert _names(found) == [b"SET", b"INCR", b"LPUSH"]
    assert found[0].transaction is not None
    assert len({effect.transaction for effect in found}) == 1
    assert len({effect.chunk for effect in found}) == 1


def test_one_command_over_all_shards(logged: Server, tail: Tail, client: Connection) -> None:
    keys = logged.spread(6)
    assert client.do("MSET", *(word for key in keys for word in (key, "v"))) == OK
    assert client.do("DEL", *keys) == integer(6)
    found = tail.new()
    assert len({effect.chunk for effect in found if effect.words[0].upper() == b"MSET"}) == 1
    assert {word for effect in found for word in effect.words[1:]} >= {k.encode() for k in keys}


def test_databases(logged: Server, tail: Tail, client: Connection) -> None:
    (key,) = logged.spread(1)
    for db in (3, 0, 5, 5):
        client.pipeline([("SELECT", db), ("SET", key, db)])
    assert [(effect.db, effect.words[2]) for effect in tail.new()] == [
        (3, b"3"),
        (0, b"0"),
        (5, b"5"),
        (5, b"5"),
    ]


def test_what_expires_is_deleted(logged: Server, tail: Tail, client: Connection) -> None:
    a, b = logged.spread(2)
    for key in (a, b):
        assert client.do("SET", key, 1, "PX", 30) == OK
    time.sleep(0.05)
    assert client.do("GET", a) == client.do("GET", b)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and len(tail.new()) < 4:
        time.sleep(0.02)
    found = tail.words()
    assert [words[3].upper() for words in found[:2]] == [b"PXAT", b"PXAT"]
    assert {(words[0].upper(), words[1]) for words in found[2:]} == {
        (b"DEL", a.encode()),
        (b"DEL", b.encode()),
    }


def test_what_is_evicted_is_deleted(logged: Server, tail: Tail, client: Connection) -> None:
    client.do("CONFIG", "SET", "maxmemory-policy", "allkeys-random")
    used = int(_info(client, "memory", "used_memory"))
    client.do("CONFIG", "SET", "maxmemory", used + 300_000)
    try:
        for start in range(0, 2000, 100):
            client.pipeline([("SET", f"k{i}", "x" * 500) for i in range(start, start + 100)])
    finally:
        client.do("CONFIG", "SET", "maxmemory", 0)
    assert int(_info(client, "stats", "evicted_keys")) > 0
    present = {key.value for key in client.do("KEYS", "*").value}
    assert _replayed(tail.new()) == present


def _info(client: Connection, section: str, field: str) -> str:
    lines = client.do("INFO", section).value.decode().splitlines()
    return next(line.partition(":")[2] for line in lines if line.startswith(field + ":"))


def _replayed(found: list[Effect]) -> set[bytes]:
    keys: set[bytes] = set()
    for effect in found:
        if effect.words[0].upper() == b"SET":
            keys.add(effect.words[1])
        else:
            assert effect.words[0].upper() in (b"DEL", b"UNLINK"), effect
            keys -= set(effect.words[1:])
    return keys


def test_who_waited_is_logged_as_a_pop(logged: Server, tail: Tail, client: Connection) -> None:
    a, b, c = logged.spread(3)
    with logged.connect() as waiter, logged.connect() as mover:
        waiter.send(b"BLPOP %b %b 0\r\n" % (a.encode(), b.encode()))
        _await_blocked(client, 1)
        mover.send(b"BLMOVE %b %b LEFT RIGHT 0\r\n" % (b.encode(), c.encode()))
        _await_blocked(client, 2)
        assert client.do("RPUSH", b, "x", "y") == integer(2)
        assert waiter.read().value[1] == bulk("x")
        assert mover.read() == bulk("y")
    found = tail.new()
    assert _names(found) == [b"RPUSH", b"LPOP", b"LMOVE"], found
    if not logged.is_redis:
        assert len({effect.transaction for effect in found}) == 1, "it is one step"


def _await_blocked(client: Connection, count: int) -> None:
    deadline = time.monotonic() + 10
    while int(_info(client, "clients", "blocked_clients")) != count:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_no_effect_is_there_without_its_cause(logged: Server, tail: Tail) -> None:
    """A job queue: whoever finds an element in the queue's list finds the job's hash."""
    (queue,) = logged.spread(1)

    def produce(worker: int) -> None:
        with logged.connect() as connection:
            for start in range(0, 60, 15):
                commands = []
                for job in range(start, start + 15):
                    commands += [
                        ("HSET", f"job:{worker}:{job}", "f", "v"),
                        ("GET", queue + "none"),
                        ("LPUSH", queue, f"job:{worker}:{job}"),
                    ]
                replies = connection.pipeline(commands)
                assert all(reply.kind != "error" for reply in replies), render(replies[0])

    workers = [threading.Thread(target=produce, args=(n,)) for n in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    hashes: set[bytes] = set()
    pushed = 0
    for effect in tail.new():
        if effect.words[0].upper() == b"HSET":
            hashes.add(effect.words[1])
        else:
            assert effect.words[2] in hashes, effect
            pushed += 1
    assert pushed == 180


@pytest.mark.parametrize("configuration", OURS[1:3], ids=lambda c: c.name)
def test_whoever_sees_a_write_finds_it_in_the_file(configuration: Configuration) -> None:
    """With `always`: the writer when it is answered, and a reader that has seen the value."""
    with Server(configuration, ("--appendonly", "yes", "--appendfsync", "always")) as server:
        keys = server.spread(3)
        seen: list[tuple[bytes, int]] = []
        stop = threading.Event()

        def read() -> None:
            last = {}
            with server.connect() as connection:
                while not stop.is_set():
                    for key in keys:
                        value = connection.do("GET", key).value
                        if value is not None and last.get(key) != value:
                            last[key] = value
                            logged = {e.words[2] for e in effects(server.folder)}
                            assert value in logged, (key, value)
                            seen.append((value, len(logged)))

        failures: list[BaseException] = []

        def guarded() -> None:
            try:
                read()
            except BaseException as failure:
                failures.append(failure)

        reader = threading.Thread(target=guarded)
        reader.start()
        with server.connect() as writer:
            for i in range(150):
                assert writer.do("SET", keys[i % 3], f"value:{i}") == OK
            assert writer.do("WAITAOF", 1, 0, 0).value == (integer(1), integer(0))
        stop.set()
        reader.join()
        assert not failures, failures[0]
        assert seen


@pytest.mark.parametrize("configuration", OURS[1:3], ids=lambda c: c.name)
def test_the_log_is_turned_on_and_off(configuration: Configuration) -> None:
    with Server(configuration) as server:
        with server.connect() as client:
            keys = server.spread(3)
            assert client.do("SET", keys[0], "before") == OK
            assert client.do("WAITAOF", 0, 0, 0).value == (integer(0), integer(0))
            assert client.do("WAITAOF", 1, 0, 0).kind == "error"
            assert client.do("CONFIG", "SET", "appendonly", "yes") == OK
            _await_base(server, 1)
            assert client.do("SET", keys[1], "behind") == OK
            assert [e.words for e in effects(server.folder)] == [
                (b"SET", keys[1].encode(), b"behind")
            ]
            assert client.do("CONFIG", "SET", "appendonly", "no", "appendfsync", "always") == OK
            assert client.do("SET", keys[2], "unlogged") == OK
            assert client.do("CONFIG", "SET", "appendonly", "yes") == OK
            _await_base(server, 2)
            assert client.do("SET", keys[0], "again") == OK
            assert effects(server.folder)[-1].words == (b"SET", keys[0].encode(), b"again")
        server.restart("--appendonly", "yes")
        with server.connect() as client:
            values = client.pipeline([("GET", key) for key in keys])
            assert values == [bulk("again"), bulk("behind"), bulk("unlogged")]


def _await_base(server: Server, at_least: int) -> None:
    """The rewrite with which the log begins is done."""
    deadline = time.monotonic() + 20
    while True:
        with contextlib.suppress(FileNotFoundError):
            bases = [seq for _, seq, kind in manifest(server.folder) if kind == "b"]
            if bases and bases[0] >= at_least:
                return
        assert time.monotonic() < deadline
        time.sleep(0.005)
