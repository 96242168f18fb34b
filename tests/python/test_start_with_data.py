"""A Server that reads its log at the start: what is wrong is raised, and signals come through."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import pytest
from test_lifecycle import our_threads

import kevyrt


def _write_log(folder: Path, content: bytes) -> Path:
    """The single file of an old Redis."""
    path = folder / "appendonly.aof"
    path.write_bytes(content)
    return path


def _command(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


def _server(folder: Path, **settings: object) -> kevyrt.Server:
    return kevyrt.Server(dir=folder, appendonly=True, threads=2, **settings)  # type: ignore[arg-type]


def test_data_outlives_the_server(tmp_path: Path) -> None:
    with _server(tmp_path) as server:
        server.set("k", "v")
        server.execute("RPUSH", "l", "a", "b", db=3)
    with _server(tmp_path) as server:
        assert server.get("k") == b"v"
        assert server.execute("LRANGE", "l", 0, -1, db=3) == [b"a", b"b"]


def test_damage_is_raised_and_leaves_nothing(tmp_path: Path) -> None:
    good = _command(b"SET", b"k", b"v")
    _write_log(tmp_path, good)
    with _server(tmp_path) as server:
        server.set("k", "w")
    path = next((tmp_path / "appendonlydir").glob("*.incr.aof"))
    content = path.read_bytes()
    # An end inside of a chunk would be torn: what follows is no chunk, and no command either.
    path.write_bytes(content + _command(b"SET", b"k", b"x") + b"?")
    server = _server(tmp_path, port=0)
    with pytest.raises(kevyrt.DamagedError) as raised:
        server.start()
    assert raised.value.filename == str(path)
    assert raised.value.offset == len(content) + len(_command(b"SET", b"k", b"x"))
    assert str(raised.value.offset) in str(raised.value)
    assert not server.running
    assert [name for name in our_threads() if name != "kevyrt-log"] == []
    path.write_bytes(content)
    with server:
        assert server.get("k") == b"w"


def test_a_handler_that_raises_ends_the_loading(tmp_path: Path) -> None:
    _write_log(tmp_path, b"".join(_command(b"SET", b"k%d" % i, b"v") for i in range(5000)))
    server = _server(tmp_path, key_load_delay=10_000)

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(KeyboardInterrupt):
            server.start()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert not server.running


def test_stop_ends_the_loading(tmp_path: Path) -> None:
    """Of another thread, and of a handler of a signal on the thread that loads."""
    _write_log(tmp_path, b"".join(_command(b"SET", b"k%d" % i, b"v") for i in range(5000)))
    server = _server(tmp_path, key_load_delay=10_000)
    before = signal.signal(signal.SIGALRM, lambda number, frame: server.stop())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(kevyrt.ServerStopped):
            server.start()
    finally:
        signal.signal(signal.SIGALRM, before)
    stopper = threading.Thread(target=lambda: (time.sleep(0.2), server.stop()))
    stopper.start()
    with pytest.raises(kevyrt.ServerStopped):
        server.start()
    stopper.join(10)
    assert not stopper.is_alive()
