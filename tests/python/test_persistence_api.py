"""A log in process, data at the start, rewrites, and what the statistics say of them."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from programs import Program

import kevyrt

pytestmark = pytest.mark.timeout(60)


def durable(folder: Path, **settings: Any) -> kevyrt.Server:
    return kevyrt.Server(appendonly=True, dir=folder, enable_debug_command=True, **settings)


def digest(server: kevyrt.Server) -> Any:
    return server.execute("DEBUG", "DIGEST")


def log_files(folder: Path) -> list[str]:
    return sorted(os.listdir(folder / "appendonlydir"))


def dump(**values: str) -> bytes:
    with kevyrt.Server() as server:
        for key, value in values.items():
            server.set(key, value)
        return server.snapshot().to_bytes()


# ---- A log ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("fsync", ["always", "everysec", "no"])
def test_what_was_answered_is_there_again(fsync: str, tmp_path: Path) -> None:
    server = durable(tmp_path, appendfsync=fsync, threads=2)
    with server:
        for i in range(200):
            server.set(f"k{i}", i)
        server.execute("LPUSH", "queue", "job", db=2)
        with server.session() as session:
            session.execute("MULTI")
            session.execute("INCR", "a")
            session.execute("INCR", "b")
            session.execute("EXEC")
        was = digest(server)
    with server:  # the same one again,
        assert digest(server) == was
    with durable(tmp_path) as other:  # and another one, with another number of shards
        assert digest(other) == was
        assert other.get("k7") == b"7" and other.execute("LLEN", "queue", db=2) == 1


def test_nothing_is_kept_that_was_not_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dump.rdb").write_bytes(dump(old="data"))
    with kevyrt.Server() as server:
        assert server.execute("DBSIZE") == 0
        server.set("k", "v")
    assert os.listdir(tmp_path) == ["dump.rdb"]


def test_restored_data_is_in_the_log(tmp_path: Path) -> None:
    restored = dump(k="restored", other="1")
    with durable(tmp_path, threads=2, appendfsync="always") as server:
        server.set("k", "old")
        server.set("gone", "1")
        server.restore(restored)
        assert len(log_files(tmp_path)) == 3
        server.set("later", "1")
        with pytest.raises(kevyrt.DamagedError):
            server.restore(restored[:-9])
        was = digest(server)
    with durable(tmp_path) as server:
        assert digest(server) == was
        assert server.get("k") == b"restored" and server.get("later") == b"1"
        assert server.get("gone") is None


def test_restores_under_load_and_a_restart(tmp_path: Path) -> None:
    """What the log has is one order of writes and restores: that of the data."""
    generations = [dump(g=str(i)) for i in range(2)]
    with durable(tmp_path, threads=3) as server:
        stop = threading.Event()

        def write(number: int) -> None:
            i = 0
            while not stop.is_set():
                server.execute("INCR", f"count:{number}:{i % 50}")
                server.execute("APPEND", "all", "x")
                i += 1

        writers = [threading.Thread(target=write, args=(i,)) for i in range(2)]
        for writer in writers:
            writer.start()
        try:
            for i in range(15):
                server.restore(generations[i % 2])
                if i % 5 == 0:
                    server.rewrite_aof(timeout=30)
        finally:
            stop.set()
            for writer in writers:
                writer.join(20)
        was = digest(server)
    with durable(tmp_path) as server:
        assert digest(server) == was


def test_expired_keys_of_a_restore_do_not_come_back(tmp_path: Path) -> None:
    with kevyrt.Server() as source:
        source.set("count", 100, px=40)
        snapshot = source.snapshot()
    time.sleep(0.05)
    with durable(tmp_path) as server:
        server.restore(snapshot)
        assert server.execute("INCR", "count") == 1
    with durable(tmp_path) as server:
        assert server.get("count") == b"1"


# ---- Data at the start ---------------------------------------------------------------------------


def test_loaded_at_each_start(tmp_path: Path) -> None:
    path = tmp_path / "data.rdb"
    path.write_bytes(dump(k="v"))
    for load in (path, str(path), path.read_bytes(), memoryview(path.read_bytes())):
        server = kevyrt.Server(load=load)
        for _ in range(2):
            with server:
                assert server.get("k") == b"v"
                server.set("k", "changed")
    path.unlink()
    with pytest.raises(FileNotFoundError) as error:
        kevyrt.Server(load=path).start()
    assert error.value.filename == str(path)


def test_loaded_data_begins_the_log(tmp_path: Path) -> None:
    server = durable(tmp_path, load=dump(k="v"))
    with server:
        assert server.get("k") == b"v"
        server.set("more", "1")
        assert len(log_files(tmp_path)) == 3
    with server:  # its own log, not once more the dump
        assert server.get("more") == b"1"
    with durable(tmp_path) as other:
        assert other.get("k") == b"v" and other.get("more") == b"1"


def test_no_data_beside_a_log(tmp_path: Path) -> None:
    with durable(tmp_path) as server:
        server.set("k", "v")
    before = {
        name: (tmp_path / "appendonlydir" / name).read_bytes() for name in log_files(tmp_path)
    }
    refused = durable(tmp_path, load=dump(k="other"))
    for _ in range(2):
        with pytest.raises(ValueError, match="appendonlydir already: start without"):
            refused.start()
    assert not refused.running
    after = {name: (tmp_path / "appendonlydir" / name).read_bytes() for name in log_files(tmp_path)}
    assert after == before


@pytest.mark.parametrize("settings", [{}, {"appendonly": True}])
def test_damaged_data_at_the_start(settings: dict[str, Any], tmp_path: Path) -> None:
    good = dump(k="v")
    path = tmp_path / "data.rdb"
    for bad in (b"", b"nonsense", good[:-1], good + b"x"):
        path.write_bytes(bad)
        for load in (bad, path):
            server = kevyrt.Server(load=load, dir=tmp_path, **settings)
            with pytest.raises(kevyrt.DamagedError) as error:
                server.start()
            assert error.value.filename == (str(path) if load is path else None)
            assert not server.running
    with kevyrt.Server(load=good, dir=tmp_path, **settings) as server:
        assert server.get("k") == b"v"


def test_a_damaged_log(tmp_path: Path) -> None:
    with durable(tmp_path, aof_load_truncated=False) as server:
        for i in range(1000):
            server.set(f"k{i}", "v" * 50)
    path = tmp_path / "appendonlydir" / "appendonly.aof.1.incr.aof"
    text = bytearray(path.read_bytes())
    text[len(text) // 2] ^= 0xFF
    path.write_bytes(text)
    with pytest.raises(kevyrt.DamagedError, match="damaged at offset") as error:
        durable(tmp_path, aof_load_truncated=False).start()
    assert error.value.filename is not None and error.value.filename.endswith("incr.aof")
    assert 0 < error.value.offset < len(text)
    assert path.read_bytes() == text


# ---- Rewrites ------------------------------------------------------------------------------------


def test_rewrite(tmp_path: Path) -> None:
    with durable(tmp_path, threads=2) as server:
        for i in range(1000):
            server.set("k", f"{i}")
        before = server.stats().persistence
        server.rewrite_aof()
        server.rewrite_aof(timeout=30)
        server.rewrite_aof(True, 30)
        after = server.stats().persistence
        assert after.rewrites == before.rewrites + 3 and after.rewrite_ok
        assert not after.rewrite_running
        assert after.aof_bytes < before.aof_bytes
        assert log_files(tmp_path)[0] == "appendonly.aof.4.base.rdb"
        server.set("later", "1")
        was = digest(server)
    with durable(tmp_path) as server:
        assert digest(server) == was


def test_rewrites_that_are_refused_or_late(tmp_path: Path) -> None:
    with kevyrt.Server() as server:
        for wait in (True, False):
            with pytest.raises(kevyrt.PersistenceError, match="appendonly is off"):
                server.rewrite_aof(wait)
        with pytest.raises(ValueError, match="not a number"):
            server.rewrite_aof(timeout=float("nan"))
    with pytest.raises(kevyrt.ServerStopped):
        server.rewrite_aof()
    with durable(tmp_path) as server:
        for i in range(20_000):
            server.set(f"k{i}", "v" * 100)
        with pytest.raises(TimeoutError):
            server.rewrite_aof(timeout=0)
        with pytest.raises(kevyrt.PersistenceError, match="being rewritten already"):
            server.rewrite_aof(wait=False)
        server.rewrite_aof(timeout=30)  # waits for the one that goes on
        server.rewrite_aof(wait=False)
        while server.stats().persistence.rewrite_running:
            time.sleep(0.005)
        assert server.stats().persistence.rewrites == 3


def test_a_rewrite_that_fails(tmp_path: Path) -> None:
    with durable(tmp_path) as server:
        server.set("k", "v")
        blocked = tmp_path / "appendonlydir"
        away = tmp_path / "away"
        blocked.rename(away)
        blocked.write_text("in the way")
        with pytest.raises(kevyrt.PersistenceError, match="could not be rewritten"):
            server.rewrite_aof(timeout=30)
        assert not server.stats().persistence.rewrite_ok
        blocked.unlink()
        away.rename(blocked)
        server.rewrite_aof(timeout=30)
        assert server.stats().persistence.rewrite_ok


# ---- Forks, ends, signals ------------------------------------------------------------------------

FORKED = """
import os
import kevyrt

def opened():
    names = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            names.append(os.readlink(f"/proc/self/fd/{fd}"))
        except OSError:
            pass
    return [name for name in names if "appendonlydir" in name]

with kevyrt.Server(appendonly=True, dir=".") as server:
    server.set("k", "parent")
    assert opened()
    size = os.path.getsize("appendonlydir/appendonly.aof.1.incr.aof")
    if os.fork() == 0:
        assert not opened()
        try:
            server.set("k", "child")
        except kevyrt.ForkedError:
            pass
        try:
            server.rewrite_aof()
        except kevyrt.ForkedError:
            raise SystemExit(0)  # with all that Python does at its end
        os._exit(1)
    print(os.waitstatus_to_exitcode(os.wait()[1]))
    assert os.path.getsize("appendonlydir/appendonly.aof.1.incr.aof") == size
    server.set("later", "1")
with kevyrt.Server(appendonly=True, dir=".") as server:
    print(server.get("k"), server.get("later"))
"""


def test_a_child_leaves_the_log_alone(program: Program) -> None:
    assert program(FORKED) == "0\nb'parent' b'1'\n"


ENDED = """
import logging, threading
import kevyrt

logging.getLogger("kevyrt").addHandler(logging.NullHandler())  # a rewrite that is given up is told

server = kevyrt.Server(appendonly=True, dir=".", appendfsync="FSYNC").start()
for i in range(20000):
    server.set(f"k{i}", "v" * 100)

def rewrite():
    try:
        while True:
            server.rewrite_aof()
    except kevyrt.Error:
        pass

if REWRITE:
    threading.Thread(target=rewrite, daemon=True).start()
print(server.set("last", "1"))
"""


@pytest.mark.parametrize(("fsync", "rewrites"), [("everysec", False), ("no", True)])
def test_the_interpreter_ends_without_a_stop(
    fsync: str, rewrites: bool, program: Program, tmp_path: Path
) -> None:
    source = ENDED.replace("FSYNC", fsync).replace("REWRITE", str(rewrites))
    assert program(source) == "True\n"
    with durable(tmp_path) as server:
        assert server.execute("DBSIZE") == 20_001
        assert server.get("last") == b"1"
    assert not [name for name in log_files(tmp_path) if name.startswith("temp")]


def test_killed(program: Program, tmp_path: Path) -> None:
    """What was answered outlives SIGKILL, also without a sync."""
    program(
        """
        import os, signal
        import kevyrt

        server = kevyrt.Server(appendonly=True, dir=".", threads=2).start()
        for i in range(1000):
            server.set(f"k{i}", i)
        server.restore(server.snapshot())
        server.set("last", "1")
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        expect=-signal.SIGKILL,
    )
    with durable(tmp_path) as server:
        assert server.execute("DBSIZE") == 1001


def test_a_wait_for_the_disk_is_without_the_gil(tmp_path: Path) -> None:
    with durable(tmp_path, appendfsync="always", threads=2) as server:

        def write(number: int) -> None:
            for i in range(100):
                server.set(f"{number}:{i}", i)
                assert server.get(f"{number}:{i}") == f"{i}".encode()

        threads = [threading.Thread(target=write, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(50)
        stats = server.stats().persistence
        assert server.execute("DBSIZE") == 800
        assert 0 < stats.aof_syncs < 2000  # one sync serves many


# ---- What is told of it --------------------------------------------------------------------------

FIELDS = (
    *("loading", "async_loading", "current_cow_peak", "current_cow_size", "current_cow_size_age"),
    *("current_fork_perc", "current_save_keys_processed", "current_save_keys_total"),
    *("rdb_changes_since_last_save", "rdb_bgsave_in_progress", "rdb_last_save_time"),
    *("rdb_last_bgsave_status", "rdb_last_bgsave_time_sec", "rdb_current_bgsave_time_sec"),
    *("rdb_saves", "rdb_last_cow_size", "rdb_last_load_keys_expired", "rdb_last_load_keys_loaded"),
    *("aof_enabled", "aof_rewrite_in_progress", "aof_rewrite_scheduled"),
    *("aof_last_rewrite_time_sec", "aof_current_rewrite_time_sec", "aof_last_bgrewrite_status"),
    *("aof_rewrites", "aof_rewrites_consecutive_failures", "aof_last_write_status"),
    *("aof_last_cow_size", "module_fork_in_progress", "module_fork_last_cow_size"),
)
LOG_FIELDS = (
    *("aof_current_size", "aof_base_size", "aof_pending_rewrite", "aof_buffer_length"),
    *("aof_pending_bio_fsync", "aof_delayed_fsync"),
)


def info(server: kevyrt.Server) -> dict[str, str]:
    text = server.execute("INFO", "persistence")
    lines = (text if isinstance(text, str) else text.decode()).split("\r\n")
    return dict(line.split(":", 1) for line in lines if ":" in line)


def test_info(tmp_path: Path) -> None:
    with kevyrt.Server(load=dump(k="v")) as server:
        found = info(server)
        assert tuple(found) == FIELDS
        assert found["rdb_last_load_keys_loaded"] == "1"
        assert found["rdb_changes_since_last_save"] == "0"
        server.set("k", "w")
        assert info(server)["rdb_changes_since_last_save"] == "1"
    with durable(tmp_path) as server:
        server.set("k", "v" * 1000)
        server.rewrite_aof()
        server.execute("SAVE")
        found = info(server)
        assert tuple(found) == (*FIELDS, *LOG_FIELDS)
        assert found["aof_enabled"] == "1" and found["aof_rewrites"] == "1"
        assert found["aof_last_write_status"] == "ok" and found["rdb_saves"] == "1"
        assert int(found["aof_current_size"]) >= int(found["aof_base_size"]) > 0


def test_info_while_it_restores(tmp_path: Path) -> None:
    with kevyrt.Server() as server:
        for i in range(100_000):
            server.set(f"k{i}", "v" * 20)
        snapshot = server.snapshot()
        seen: dict[str, str] = {}
        restoring = threading.Thread(target=lambda: server.restore(snapshot))
        restoring.start()
        while restoring.is_alive() and not seen:
            found = info(server)
            if found["async_loading"] == "1" and found["loading_rdb_used_mem"] != "0":
                assert server.stats().persistence.restoring or not restoring.is_alive()
                seen = found
        restoring.join(30)
        if seen:  # as a rule
            assert seen["loading"] == "0"
            assert int(seen["loading_total_bytes"]) == len(snapshot)
            assert int(seen["loading_loaded_bytes"]) <= len(snapshot)
            assert int(seen["loading_rdb_used_mem"]) > 100_000 * 20
        assert "loading_total_bytes" not in info(server)


def test_stats(tmp_path: Path) -> None:
    with kevyrt.Server() as server:
        server.set("k", "v")
        stats = server.stats().persistence
        assert not stats.aof_enabled and stats.aof_ok and stats.save_ok
        assert stats.changes_since_save == 1 and stats.aof_bytes == 0
        assert not stats.loading and not stats.restoring and not stats.save_running
        assert abs(stats.last_save_time - time.time()) < 30
    with durable(tmp_path, appendfsync="always") as server:
        server.set("k", "v")
        stats = server.stats().persistence
        assert stats.aof_enabled and stats.aof_ok
        assert stats.aof_syncs > 0
        assert stats.aof_sync_max_ns >= stats.aof_sync_last_ns > 0
        assert stats.aof_unsynced_bytes == 0 and stats.aof_queued_bytes == 0
        assert stats.aof_bytes > stats.aof_base_bytes > 0
        server.execute("BGSAVE")
        while (stats := server.stats().persistence).save_running:
            time.sleep(0.002)
        assert stats.saves == 1 and stats.save_ok and stats.changes_since_save == 0
