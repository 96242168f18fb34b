"""A snapshot is of one instant, whatever is written while it is made, as redis-server reads it.

Everything that is written carries the number of the transaction that wrote it, so all that a file
holds must show one number. The walk is made slow (DEBUG KEVYRT-SNAPSHOT), so that most of what is
saved is changed before the walk comes by. redis-server ends if a file has a key twice.
"""

from __future__ import annotations

import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from harness.client import Connection
from harness.matrix import REDIS
from harness.process import Pool, Server
from harness.resp import OK, Argument, render

PATIENCE_S = 30.0
Command = tuple[Argument, ...]

LARGE = 1500  # elements: a tree of many nodes
BIG = 1 << 20  # bytes: a string that is changed page by page beyond


def saving(connection: Connection) -> bool:
    return b"rdb_bgsave_in_progress:1" in connection.do("INFO", "persistence").value


def await_saved(connection: Connection) -> None:
    end = time.monotonic() + PATIENCE_S
    while saving(connection):
        assert time.monotonic() < end
        time.sleep(0.002)


def begin(connection: Connection, entries: int, pause_us: int) -> None:
    assert connection.do("DEBUG", "KEVYRT-SNAPSHOT", entries, pause_us) == OK
    reply = connection.do("BGSAVE")
    assert reply.value == b"Background saving started", render(reply)


def end(connection: Connection) -> None:
    assert connection.do("DEBUG", "KEVYRT-SNAPSHOT", 0, 0) == OK
    await_saved(connection)


class Reader:
    """A redis-server that loads what we have saved."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.connection = server.control()

    def load(self, subject: Server) -> Connection:
        shutil.copy(subject.folder / "dump.rdb", self._server.folder / "dump.rdb")
        reply = self.connection.do("DEBUG", "RELOAD", "NOSAVE")
        assert reply == OK, render(reply)
        return self.connection


@pytest.fixture
def reader(pool: Pool) -> Iterator[Reader]:
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    server = pool.get(REDIS)
    yield Reader(server)
    server.flush()
    (server.folder / "dump.rdb").unlink(missing_ok=True)


@pytest.fixture
def several(few: Server) -> Server:
    if few.is_redis:
        few.control().do("PING")
        pytest.skip("its snapshots are what ours are compared with")
    return few


# ---- Generations ---------------------------------------------------------------------------------


class Writer:
    """Transactions that give everything a new number."""

    def __init__(self, server: Server, seed: int) -> None:
        self.random = random.Random(seed)
        self.number = 0
        self.names = server.spread(12)
        self.connection = server.connect()
        self.renamed = 0

    def make(self) -> None:
        elements = [f"element:{i}" for i in range(LARGE)]
        for name in self.names:
            self.do("RPUSH", f"l:{name}", *elements[: self.random.choice((5, LARGE))])
            self.do("SADD", f"set:{name}", *elements[:50])
        self.do("HSET", "large", *(word for e in elements for word in (e, "v")))
        self.do("SET", "big", "x" * (BIG + 1000))
        self.turn()

    def do(self, *words: Argument) -> None:
        reply = self.connection.do(*words)
        assert reply.kind != "error", render(reply)

    def commands(self) -> list[Command]:
        number = self.number
        commands: list[Command] = [
            ("MSET", *(word for name in self.names for word in (f"s:{name}", number))),
            ("HSET", "large", "number", number),
            ("SETRANGE", "big", BIG, f"{number:010}"),
            ("SET", "blob", f"{number:010}" + "y" * 5000),
            ("APPEND", "grown", f"{number:010}"),
        ]
        for name in self.names:
            commands += [
                ("LSET", f"l:{name}", 0, number),
                ("HSET", f"h:{name}", "number", number),
                ("ZADD", f"z:{name}", number, "member"),
                ("XADD", f"x:{name}", "MAXLEN", 3, f"{number}-1", "field", number),
                ("SADD", f"set:{name}", f"number:{number}"),
                ("SREM", f"set:{name}", f"number:{number - 1}"),
            ]
        self.random.shuffle(commands)
        return commands + self.moves()

    def moves(self) -> list[Command]:
        """What goes from place to place: between keys of two shards, and whole databases."""
        number, old, new = self.number, self.renamed % 2, (self.renamed + 1) % 2
        first, second = self.names[:2]
        places = (f"r:{first}", f"r:{second}")
        commands: list[Command] = [("SET", places[old], number)]
        commands.append(("RENAME", places[old], places[new]))
        self.renamed += 1
        commands += [("DEL", f"n:{number - 1}:{i}") for i in range(40)]
        commands += [("SET", f"n:{number}:{i}", number) for i in range(40)]
        commands += [("SET", f"e:{number}", "soon gone", "PX", 3), ("SELECT", 1), ("FLUSHDB",)]
        commands += [("SET", f"flushed:{i}", number) for i in range(20)]
        commands += [("SELECT", 0), ("SWAPDB", 2, 3), ("SELECT", 2), ("SET", "w", number)]
        return [*commands, ("SELECT", 3), ("SET", "w", -number), ("SELECT", 0)]

    def turn(self) -> None:
        self.number += 1
        commands = [("MULTI",), *self.commands(), ("EXEC",)]
        replies = self.connection.pipeline(commands)
        assert replies[-1].kind == "array", render(replies[-1])
        bad = [part for part in replies[-1].value if part.kind == "error"]
        assert not bad, render(bad[0])


def number_of(loaded: Connection, names: list[str]) -> int:
    """The one number that is everywhere."""
    value = loaded.do("GET", f"s:{names[0]}").value
    number, seen = int(value), {}
    for name in names:
        seen[f"s:{name}"] = loaded.do("GET", f"s:{name}").value
        seen[f"l:{name}"] = loaded.do("LINDEX", f"l:{name}", 0).value
        seen[f"h:{name}"] = loaded.do("HGET", f"h:{name}", "number").value
        seen[f"z:{name}"] = loaded.do("ZSCORE", f"z:{name}", "member").value
        newest = loaded.do("XREVRANGE", f"x:{name}", "+", "-", "COUNT", 1).value[0]
        seen[f"x:{name}"] = newest.value[1].value[1].value
        members = [m.value for m in loaded.do("SMEMBERS", f"set:{name}").value]
        seen[f"set:{name}"] = b",".join(m[7:] for m in members if m.startswith(b"number:"))
    renamed = [loaded.do("GET", f"r:{name}").value for name in names[:2]]
    assert renamed.count(None) == 1, renamed
    seen["renamed"] = renamed[0] or renamed[1]
    seen["large"] = loaded.do("HGET", "large", "number").value
    for key in ("big", "blob", "grown"):
        start = {"big": BIG, "blob": 0, "grown": -10}[key]
        last = -1 if key == "grown" else start + 9
        seen[key] = loaded.do("GETRANGE", key, start, last).value.lstrip(b"0")
    news = [key.value for key in loaded.do("KEYS", "n:*").value]
    assert len(news) == 40, len(news)
    seen["new"] = news[0].split(b":")[1]
    for db, keys in ((1, [f"flushed:{i}" for i in range(20)]), (2, ["w"]), (3, ["w"])):
        loaded.do("SELECT", db)
        assert loaded.do("DBSIZE").value == len(keys)
        for key in keys:
            seen[f"{db} {key}"] = loaded.do("GET", key).value.replace(b"-", b"")
    loaded.do("SELECT", 0)
    wrong = {key: value for key, value in seen.items() if value != str(number).encode()}
    assert not wrong, (number, wrong)
    return number


def test_one_instant(several: Server, reader: Reader) -> None:
    writer = Writer(several, 11)
    writer.make()
    with several.connect() as connection:
        for snapshot in range(4):
            before = writer.number
            begin(connection, entries=1 + 3 * (snapshot % 2), pause_us=5000)
            for _ in range(6):
                writer.turn()
            still = saving(connection)
            if snapshot == 2:
                assert connection.do("DEBUG", "KEVYRT-SNAPSHOT", "ABORT") == OK
                await_saved(connection)
                before = writer.number
                begin(connection, entries=1, pause_us=5000)
                writer.turn()
            end(connection)
            assert still, "the walk was through before anything was written"
            number = number_of(reader.load(several), writer.names)
            # One that comes while the walk of another one is given up begins when that is through.
            assert number == before or (snapshot == 2 and number == writer.number)
    writer.connection.close()


# ---- Transfers -----------------------------------------------------------------------------------

ACCOUNTS, BALANCE = 60, 100


def transfer(server: Server, names: list[str], seed: int, stop: threading.Event) -> None:
    numbers = random.Random(seed)
    with server.connect() as connection:
        while not stop.is_set():
            commands: list[Command] = []
            for _ in range(8):
                giver, taker = numbers.sample(names, 2)
                amount = numbers.randrange(30)
                commands += [("MULTI",), ("DECRBY", giver, amount), ("INCRBY", taker, amount)]
                commands.append(("EXEC",))
            connection.pipeline(commands)


def with_threads(count: int, body: Callable[[int, threading.Event], None]) -> Callable[[], None]:
    stop = threading.Event()
    threads = [threading.Thread(target=body, args=(i, stop), daemon=True) for i in range(count)]
    for thread in threads:
        thread.start()

    def finish() -> None:
        stop.set()
        for thread in threads:
            thread.join(PATIENCE_S)

    return finish


def test_transfers(several: Server, reader: Reader) -> None:
    names = [f"account:{i}" for i in range(ACCOUNTS)]
    with several.connect() as connection:
        connection.do("MSET", *(word for name in names for word in (name, BALANCE)))
        finish = with_threads(2, lambda i, stop: transfer(several, names, i, stop))
        try:
            for _ in range(5):
                begin(connection, entries=1, pause_us=2000)
                time.sleep(0.02)
                end(connection)
                loaded = reader.load(several)
                balances = [int(part.value) for part in loaded.do("MGET", *names).value]
                assert sum(balances) == ACCOUNTS * BALANCE
        finally:
            finish()


# ---- Eviction, growth ----------------------------------------------------------------------------


def test_eviction_and_growth(several: Server, reader: Reader) -> None:
    count = 4000
    with several.connect() as connection:
        for i in range(0, count, 500):
            words = (word for k in range(i, i + 500) for word in (f"key:{k}", "v" * 200))
            connection.do("MSET", *words)
        info = connection.do("INFO", "memory").value
        used = int(info.split(b"used_memory:")[1].split(b"\r\n")[0])
        begin(connection, entries=64, pause_us=1000)
        policy = ("maxmemory-policy", "allkeys-random")
        connection.do("CONFIG", "SET", "maxmemory", used - 300_000, *policy)
        for i in range(0, count, 500):
            words = (word for k in range(i, i + 500) for word in (f"new:{k}", "w" * 20))
            connection.do("MSET", *words)
        connection.do("CONFIG", "SET", "maxmemory", 0, "maxmemory-policy", "noeviction")
        assert connection.do("EXISTS", *(f"key:{k}" for k in range(count))).value < count
        end(connection)
        loaded = reader.load(several)
        assert loaded.do("DBSIZE").value == count
        assert loaded.do("EXISTS", *(f"key:{k}" for k in range(count))).value == count
