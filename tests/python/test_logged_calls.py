"""Calls in process of a server with a log: what they did is in the file when they return."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.aof_files import effects

import kevyrt

THREADS = 4


@pytest.fixture(params=["always", "everysec"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[kevyrt.Server]:
    options = {"appendonly": True, "appendfsync": request.param, "dir": str(tmp_path)}
    with kevyrt.Server(port=0, threads=3, **options) as server:
        yield server


def _words(folder: Path) -> list[tuple[bytes, ...]]:
    return [effect.words for effect in effects(folder)]


def test_every_call(server: kevyrt.Server, tmp_path: Path) -> None:
    assert server.set("plain", "1")
    assert _words(tmp_path)[-1] == (b"SET", b"plain", b"1")
    assert server.set("timed", "2", ex=100)
    assert _words(tmp_path)[-1][:3] == (b"SET", b"timed", b"2")
    assert server.execute("LPUSH", "list", "a", "b") == 2
    assert _words(tmp_path)[-1] == (b"LPUSH", b"list", b"a", b"b")
    assert server.delete("plain", "timed") == 2
    assert {words[1:] for words in _words(tmp_path)[-2:]} >= {(b"plain",)} or (
        _words(tmp_path)[-1] == (b"DEL", b"plain", b"timed")
    )
    assert server.get("plain") is None
    assert server.execute("WAITAOF", 1, 0, 0) == [1, 0]


def test_a_transaction_of_a_session(server: kevyrt.Server, tmp_path: Path) -> None:
    with server.session() as session:
        session.execute("MULTI")
        for i in range(6):
            session.execute("SET", f"key:{i}", i)
        assert session.execute("EXEC") == ["OK"] * 6
        found = effects(tmp_path)
        assert [effect.words[2] for effect in found] == [b"%d" % i for i in range(6)]
        assert len({effect.transaction for effect in found}) == 1
        assert session.execute("WAITAOF", 1, 0, 0) == [1, 0]


def test_whoever_sees_a_value_finds_it_in_the_file(server: kevyrt.Server, tmp_path: Path) -> None:
    failures: list[object] = []
    stop = threading.Event()

    def write(worker: int) -> None:
        for i in range(40):
            server.set(f"key:{worker}", f"{worker}:{i}")

    def read() -> None:
        seen = {}
        while not stop.is_set():
            for worker in range(THREADS):
                value = server.get(f"key:{worker}")
                if value is None or seen.get(worker) == value:
                    continue
                seen[worker] = value
                if value not in {words[2] for words in _words(tmp_path)}:
                    failures.append(value)

    reader = threading.Thread(target=read)
    reader.start()
    writers = [threading.Thread(target=write, args=(n,)) for n in range(THREADS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    stop.set()
    reader.join()
    assert not failures
    assert len(effects(tmp_path)) == 40 * THREADS


def test_who_waited_gets_what_is_logged_as_a_pop(server: kevyrt.Server, tmp_path: Path) -> None:
    results: list[object] = []
    waiter = threading.Thread(target=lambda: results.append(server.execute("BLPOP", "q", 0)))
    waiter.start()
    while "blocked_clients:0" in str(server.execute("INFO", "clients")):
        pass
    assert server.execute("RPUSH", "q", "x") == 1
    waiter.join()
    assert results == [[b"q", b"x"]]
    assert [words[0].upper() for words in _words(tmp_path)] == [b"RPUSH", b"LPOP"]


def test_the_end_keeps_everything(tmp_path: Path) -> None:
    server = kevyrt.Server(port=0, threads=3, appendonly=True, dir=str(tmp_path))
    server.start()
    for i in range(50):
        server.set(f"key:{i}", i)
    server.stop()
    server.start()
    assert [server.get(f"key:{i}") for i in range(50)] == [b"%d" % i for i in range(50)]
    server.stop()
