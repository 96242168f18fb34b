"""save(), snapshot() and restore(): of one instant, whole, and as it was after an error."""

from __future__ import annotations

import gc
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import redis
from programs import Program

import kevyrt

pytestmark = pytest.mark.timeout(60)

SHARDS = [1, 3]
BIG = {f"member:{i}": f"{i}" for i in range(3000)}


def fill(server: kevyrt.Server) -> None:
    """Something of every type, in several databases, small and large."""
    for db in (0, 3):
        for i in range(200):
            server.database(db).set(f"string:{i}", f"value {i}")
        server.database(db).set("long", b"x" * 100_000)
        server.database(db).set("timed", "soon", ex=1000)
        server.execute("RPUSH", "list", *range(500), db=db)
        server.execute("SADD", "set", "a", "b", "c", db=db)
        server.execute("HSET", "hash", *[word for pair in BIG.items() for word in pair], db=db)
        server.execute("ZADD", "zset", 1, "one", 2.5, "more", db=db)
        server.execute("XADD", "stream", "1-1", "field", "value", db=db)


def digest(server: kevyrt.Server) -> Any:
    return server.execute("DEBUG", "DIGEST")


def running(threads: int = 1, **settings: Any) -> kevyrt.Server:
    return kevyrt.Server(threads=threads, enable_debug_command=True, **settings).start()


# ---- There and back ------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", SHARDS)
def test_the_ways_of_data(threads: int, tmp_path: Path) -> None:
    path = tmp_path / "data.rdb"
    with running(threads) as server, running(4 - threads) as other:
        fill(server)
        was = digest(server)
        snapshot = server.snapshot()
        server.save(path)
        snapshot.save(str(tmp_path / "again.rdb"))
        server.execute("FLUSHALL")
        server.set("only", "now")
        for source in (snapshot, snapshot.to_bytes(), bytearray(snapshot.to_bytes()), path):
            other.set("old", "data")
            other.restore(source)
            assert digest(other) == was
            assert other.get("old") is None
            assert 990 < other.execute("TTL", "timed", db=3) <= 1000
        other.execute("FLUSHALL")
        other.restore(str(tmp_path / "again.rdb"))
        assert digest(other) == was
        assert server.get("only") == b"now"
    assert snapshot.to_bytes()[:5] == b"REDIS"
    assert len(snapshot) == len(snapshot.to_bytes())
    assert repr(snapshot) == f"<kevyrt.Snapshot of {len(snapshot)} bytes>"
    assert sorted(os.listdir(tmp_path)) == ["again.rdb", "data.rdb"]


def test_an_empty_server_and_back() -> None:
    with running() as server:
        empty = server.snapshot()
        fill(server)
        server.restore(empty)
        assert server.execute("INFO", "keyspace") in ("# Keyspace\r\n", b"# Keyspace\r\n")
        assert server.execute("DBSIZE") == 0


def test_several_snapshots_live_side_by_side() -> None:
    with running() as server:
        taken = []
        for i in range(5):
            server.set("k", f"{i}")
            taken.append(server.snapshot())
        server.execute("FLUSHALL")
    with running(2) as other:
        for i in (3, 0, 4):
            other.restore(taken[i])
            assert other.get("k") == f"{i}".encode()


def test_the_memory_of_a_snapshot_is_the_hosts() -> None:
    with running() as server:
        for i in range(100):
            server.set(f"k{i}", b"x" * 50_000)
        before = server.stats().total.used_bytes
        taken = [server.snapshot() for _ in range(3)]
        assert sum(map(len, taken)) > 0
        assert server.stats().total.used_bytes < before + 2_000_000


def test_expired_keys_are_left_out() -> None:
    with running() as server:
        server.set("short", "lived", px=30)
        server.set("long", "lived", ex=100)
        snapshot = server.snapshot()
        time.sleep(0.04)
        server.restore(snapshot)
        assert server.execute("DBSIZE") == 1


def test_what_expires_goes_by_itself() -> None:
    with running() as server:
        server.set("short", "lived", px=300)
        server.set("long", "lived")
        snapshot = server.snapshot()
        server.execute("FLUSHALL")
        server.restore(snapshot)
        assert server.execute("DBSIZE") == 2
        end = time.monotonic() + 20
        while server.execute("DBSIZE") > 1 and time.monotonic() < end:
            time.sleep(0.02)
        assert server.get("long") == b"lived" and server.stats().total.expired_keys == 1


def test_nothing_is_evicted_for_what_is_aside() -> None:
    with running(maxmemory="20mb", maxmemory_policy="allkeys-lru") as server:
        for i in range(12_000):
            server.set(f"k{i}", b"x" * 1000)
        snapshot = server.snapshot()
        stop = threading.Event()

        def write() -> None:
            while not stop.is_set():
                server.set("k0", b"y" * 1000)

        writer = threading.Thread(target=write)
        writer.start()
        for _ in range(3):
            server.restore(snapshot)
        stop.set()
        writer.join(10)
        assert server.stats().total.evicted_keys == 0
        assert server.execute("DBSIZE") == 12_000


def test_a_restore_waits_for_the_end_of_a_pause() -> None:
    with running() as server:
        server.set("k", "old")
        snapshot = server.snapshot()
        server.set("k", "new")
        server.execute("CLIENT", "PAUSE", 150, "WRITE")
        begun = time.monotonic()
        server.restore(snapshot)
        assert time.monotonic() - begun > 0.1
        assert server.get("k") == b"old"


# ---- Nobody sees a half --------------------------------------------------------------------------


@pytest.mark.parametrize("threads", SHARDS)
def test_readers_and_writers_see_whole_generations(threads: int) -> None:
    keys = [f"g{i}" for i in range(200)]
    with running(threads) as server:
        generations = []
        for number in range(2):
            server.execute("MSET", *[word for key in keys for word in (key, number)])
            generations.append(server.snapshot())
        stop = threading.Event()
        mixed: list[Any] = []

        def read() -> None:
            while not stop.is_set():
                found = set(server.execute("MGET", *keys))
                if len(found) != 1:
                    mixed.append(found)

        def read_by_wire() -> None:
            with redis.Redis.from_url(server.url) as client:
                while not stop.is_set():
                    found = set(client.mget(keys))
                    if len(found) != 1:
                        mixed.append(found)

        def write() -> None:
            number = 100
            while not stop.is_set():
                number += 1
                server.execute("MSET", *[word for key in keys for word in (key, number)])
                server.set("beside", number)

        others = [threading.Thread(target=work) for work in (read, read_by_wire, write)]
        for thread in others:
            thread.start()
        try:
            for i in range(60):
                server.restore(generations[i % 2])
        finally:
            stop.set()
            for thread in others:
                thread.join(10)
        assert not mixed


@pytest.mark.parametrize("threads", SHARDS)
def test_a_snapshot_is_of_one_instant(threads: int) -> None:
    """Money goes from account to account over shards; each snapshot has all of it."""
    accounts = [f"account:{i}" for i in range(50)]
    with running(threads) as server, running() as other:
        server.execute("MSET", *[word for name in accounts for word in (name, 100)])
        stop = threading.Event()

        def move() -> None:
            with server.session() as session:
                for i in range(10**9):
                    if stop.is_set():
                        return
                    session.execute("MULTI")
                    session.execute("DECRBY", accounts[i % 50], 7)
                    session.execute("INCRBY", accounts[(i * 7 + 3) % 50], 7)
                    session.execute("EXEC")

        mover = threading.Thread(target=move)
        mover.start()
        try:
            taken = [server.snapshot() for _ in range(20)]
        finally:
            stop.set()
            mover.join(10)
        for snapshot in taken:
            other.restore(snapshot)
            assert sum(map(int, other.execute("MGET", *accounts))) == 5000


@pytest.mark.parametrize("threads", SHARDS)
def test_snapshots_beside_restores(threads: int) -> None:
    """A cut may come before, amid and behind a restore: what it has is of one data set."""
    keys = [f"g{i}" for i in range(1000)]
    generations = []
    with running(threads) as server, running() as other:
        for number in range(3):
            server.execute("FLUSHALL")
            server.execute("MSET", *[word for key in keys for word in (key, number)])
            server.execute("RPUSH", "list", *[number] * 1500)
            server.set("large", f"{number}" * 50_000)
            generations.append(server.snapshot())
        stop = threading.Event()

        def restore() -> None:
            for i in range(10**9):
                if stop.is_set():
                    return
                server.restore(generations[i % 3])

        restorer = threading.Thread(target=restore)
        restorer.start()
        try:
            taken = [server.snapshot() for _ in range(12)]
        finally:
            stop.set()
            restorer.join(20)
        for snapshot in taken:
            other.restore(snapshot)
            (number,) = set(other.execute("MGET", *keys))
            assert other.execute("LRANGE", "list", 0, -1) == [number] * 1500
            assert other.get("large") == number * 50_000
            assert other.execute("DBSIZE") == 1002


# ---- Who watches, waits, caches ------------------------------------------------------------------


@pytest.mark.parametrize("threads", SHARDS)
def test_watches_are_broken(threads: int) -> None:
    with running(threads) as server:
        server.set("there", "1")
        snapshot = server.snapshot()
        with server.session() as session:
            for key, kept in (("there", False), ("nowhere", True)):
                session.execute("WATCH", key)
                server.restore(snapshot)
                session.execute("MULTI")
                session.execute("SET", "mark", "1")
                assert session.execute("EXEC") == (["OK"] if kept else None)
            session.execute("WATCH", "new")
            server.delete("mark")
            server.set("new", "1")
            later = server.snapshot()
            session.execute("UNWATCH")
            server.restore(snapshot)
            session.execute("WATCH", "new")  # missing now, and there afterwards
            server.restore(later)
            session.execute("MULTI")
            assert session.execute("EXEC") is None


@pytest.mark.parametrize("threads", SHARDS)
def test_who_waits_is_served(threads: int) -> None:
    with running(threads) as server:
        server.execute("RPUSH", "queue", "job")
        snapshot = server.snapshot()
        server.execute("FLUSHALL")
        got: list[Any] = []
        waiter = threading.Thread(target=lambda: got.append(server.execute("BLPOP", "queue", 20)))
        waiter.start()
        while b"blocked_clients:1" not in server.execute("INFO", "clients"):
            time.sleep(0.002)
        server.restore(snapshot)
        waiter.join(20)
        assert got == [[b"queue", b"job"]]
        assert server.execute("EXISTS", "queue") == 0


def test_who_caches_forgets_everything() -> None:
    with running() as server:
        server.set("k", "v")
        snapshot = server.snapshot()
        with redis.Redis.from_url(server.url, protocol=3) as client:
            connection = client.connection_pool.get_connection()
            connection.send_command("CLIENT", "TRACKING", "ON")
            connection.read_response()
            connection.send_command("GET", "k")
            connection.read_response()
            server.restore(snapshot)
            connection._sock.settimeout(10)
            found = b""
            while b"invalidate" not in found:
                found += connection._sock.recv(1000)
            assert found.endswith(b"_\r\n")
            client.connection_pool.release(connection)


# ---- Errors leave everything as it was -----------------------------------------------------------


def test_damage(tmp_path: Path) -> None:
    with running(2) as server:
        fill(server)
        good = server.snapshot().to_bytes()
        server.set("mark", "1")
        was = digest(server)
        path = tmp_path / "damaged.rdb"
        for bad in (b"", b"no dump", good[:-1], good[: len(good) // 2], good + b"x"):
            with pytest.raises(kevyrt.DamagedError) as error:
                server.restore(bad)
            assert error.value.filename is None and 0 <= error.value.offset <= len(bad)
            path.write_bytes(bad)
            with pytest.raises(kevyrt.DamagedError, match=r"damaged\.rdb.* offset \d+") as error:
                server.restore(path)
            assert error.value.filename == str(path)
        flipped = bytearray(good)
        flipped[len(good) // 3] ^= 0x40
        with pytest.raises(kevyrt.DamagedError):
            server.restore(flipped)
        assert digest(server) == was
        assert issubclass(kevyrt.DamagedError, kevyrt.PersistenceError)


def test_files_that_are_not_to_be_had(tmp_path: Path) -> None:
    with running() as server:
        server.set("k", "v")
        nowhere = tmp_path / "nowhere" / "data.rdb"
        with pytest.raises(FileNotFoundError) as error:
            server.restore(nowhere)
        assert error.value.filename == str(nowhere)
        with pytest.raises(FileNotFoundError) as error:
            server.save(nowhere)
        assert str(nowhere) in error.value.filename
        with pytest.raises(IsADirectoryError):
            server.restore(tmp_path)
        with pytest.raises(OSError, match="directory"):
            server.save(tmp_path)
        with pytest.raises(FileNotFoundError):
            server.snapshot().save(nowhere)
        assert os.listdir(tmp_path) == []
        assert server.get("k") == b"v"


def test_wrong_types_and_states() -> None:
    server = kevyrt.Server()
    for value in (None, 1, [b"x"]):
        with pytest.raises(TypeError):
            server.restore(value)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            server.save(value)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="null"):
        server.save("a\0b")
    for call in (server.snapshot, lambda: server.restore(b"x"), lambda: server.save("x")):
        with pytest.raises(kevyrt.ServerStopped):
            call()
    with pytest.raises(TypeError):
        kevyrt.Snapshot()


def test_an_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "data.rdb"
    path.write_bytes(b"old")
    with running() as server:
        server.set("k", "v")
        server.save(path)
        assert path.read_bytes()[:5] == b"REDIS"
        assert os.listdir(tmp_path) == ["data.rdb"]


def test_stopped_meanwhile(tmp_path: Path) -> None:
    """Whatever is under way ends, whole or with ServerStopped, and leaves nothing behind."""
    for delay in (0, 0.001, 0.004):
        server = running(2)
        for i in range(20_000):
            server.set(f"k{i}", b"x" * 100)
        snapshot = server.snapshot()
        ends: list[str] = []

        def run(work: Any, ends: list[str] = ends) -> None:
            try:
                for _ in range(100):
                    work()
            except kevyrt.ServerStopped:
                ends.append("stopped")

        path = tmp_path / "data.rdb"
        jobs: list[Any] = [
            lambda server=server, path=path: server.save(path),
            server.snapshot,
            lambda server=server, snapshot=snapshot: server.restore(snapshot),
        ]
        threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
        for thread in threads:
            thread.start()
        time.sleep(delay)
        server.stop()
        for thread in threads:
            thread.join(20)
        assert ends == ["stopped"] * 3
        assert os.listdir(tmp_path) in ([], ["data.rdb"])
        with kevyrt.Server() as other:
            other.restore(snapshot)
            assert other.execute("DBSIZE") == 20_000


def test_one_restore_at_a_time() -> None:
    with running() as server:
        for i in range(50_000):
            server.set(f"k{i}", b"x" * 50)
        snapshot = server.snapshot()
        ends: list[str] = []

        def restore() -> None:
            try:
                for _ in range(3):
                    server.restore(snapshot)
            except kevyrt.PersistenceError as error:
                ends.append(str(error))

        threads = [threading.Thread(target=restore) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert set(ends) <= {"another restore is in progress"}
        assert server.execute("DBSIZE") == 50_000


# ---- Signals, the end, leaks ---------------------------------------------------------------------

INTERRUPTED = """
import os, signal, threading, time
import kevyrt

with kevyrt.Server() as server:
    for i in range(300_000):
        server.set(f"k{i}", b"x" * 100)
    snapshot = server.snapshot()
    works = [lambda: server.save("data.rdb"), server.snapshot, lambda: server.restore(snapshot)]
    for work in works:
        timer = threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        try:
            while True:
                work()
        except KeyboardInterrupt:
            print("interrupted")
        timer.join()
        server.set("k0", "alive")
        assert server.execute("DBSIZE") == 300_000
    print(*(name for name in os.listdir(".") if name not in ("data.rdb", "program.py")))
"""


def test_interrupted(program: Program) -> None:
    assert program(INTERRUPTED) == "interrupted\n" * 3 + "\n"


STARTED = """
import logging, os, signal, threading, time
import kevyrt

logging.getLogger("kevyrt").addHandler(logging.NullHandler())
with kevyrt.Server() as server:
    for i in range(200_000):
        server.set(f"k{i}", b"x" * 100)
    data = server.snapshot().to_bytes()
for delay in (0.001, 0.01, 0.06):
    server = kevyrt.Server(load=data)
    timer = threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT))
    try:
        timer.start()
        server.start()
        time.sleep(10)
    except KeyboardInterrupt:
        server.stop()
with server:
    print(server.execute("DBSIZE"))
"""


def test_a_start_that_loads_is_interrupted(program: Program) -> None:
    assert program(STARTED) == "200000\n"


FORKED = """
import os
import kevyrt

with kevyrt.Server() as server:
    server.set("k", "v")
    snapshot = server.snapshot()
    if os.fork() == 0:
        for call in (server.snapshot, lambda: server.save("x"), lambda: server.restore(snapshot)):
            try:
                call()
            except kevyrt.ForkedError:
                continue
            os._exit(1)
        with kevyrt.Server() as own:
            own.restore(snapshot)
            os._exit(0 if own.get("k") == b"v" else 2)
    print(os.waitstatus_to_exitcode(os.wait()[1]))
"""


def test_forked(program: Program) -> None:
    assert program(FORKED) == "0\n"


ENDED = """
import threading, time
import kevyrt

server = kevyrt.Server().start()
for i in range(100_000):
    server.set(f"k{i}", b"x" * 100)
snapshot = server.snapshot()

def work():
    try:
        while True:
            server.restore(snapshot)
            server.save("data.rdb")
    except kevyrt.ServerStopped:
        pass

for _ in range(2):
    threading.Thread(target=work, daemon=True).start()
time.sleep(0.05)
"""


def test_the_interpreter_ends_meanwhile(program: Program, tmp_path: Path) -> None:
    """Whoever is at it ends with the server, or because two restore at a time."""
    source = ENDED.replace("except kevyrt.ServerStopped", "except kevyrt.Error")
    assert program(source) == ""
    assert set(os.listdir(tmp_path)) <= {"data.rdb", "program.py"}


def resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_nothing_leaks(tmp_path: Path) -> None:
    path = tmp_path / "data.rdb"
    with running(2) as server:
        fill(server)
        damaged = server.snapshot().to_bytes()[:-30]

        def once() -> None:
            snapshot = server.snapshot()
            server.restore(snapshot)
            server.save(path)
            server.restore(path)
            with pytest.raises(kevyrt.DamagedError):
                server.restore(damaged)
            with pytest.raises(OSError, match="No such"):
                server.restore(tmp_path / "nowhere")

        for _ in range(20):
            once()
        gc.collect()
        used, resident = server.stats().total.used_bytes, resident_bytes()
        for _ in range(200):
            once()
        gc.collect()
        time.sleep(0.1)  # what was replaced is freed by another thread
        assert server.stats().total.used_bytes < used + 500_000
        assert resident_bytes() < resident + 20_000_000
