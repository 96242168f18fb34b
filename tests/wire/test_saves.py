"""SAVE, BGSAVE, LASTSAVE: what they answer, and the files that redis-server then loads."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from harness.cases import Case, case, in_both_protocols
from harness.client import Connection
from harness.compare import Oracle
from harness.process import Server
from harness.resp import OK, encode, render

PATIENCE_S = 20.0

CASES = [
    *in_both_protocols(
        "save-words",
        "SAVE now",
        "BGSAVE now",
        "BGSAVE SCHEDULE now",
        "LASTSAVE now",
        "BGREWRITEAOF now",
    ),
    case("save-multi", "MULTI", "SAVE", "EXEC"),
]


@pytest.mark.parametrize("a_case", CASES, ids=lambda c: c.name)
def test_words(a_case: Case, subject: Server, oracle: Oracle) -> None:
    oracle.check(a_case, subject)


def info(connection: Connection, name: str) -> int:
    text = connection.do("INFO", "persistence").value.decode()
    return int(text.split(name + ":")[1].split("\r\n")[0])


def await_saved(connection: Connection) -> None:
    end = time.monotonic() + PATIENCE_S
    while info(connection, "rdb_bgsave_in_progress"):
        assert time.monotonic() < end
        time.sleep(0.002)


def test_save_in_front_and_behind(subject: Server) -> None:
    with subject.connect() as connection:
        before = connection.do("LASTSAVE").value
        assert connection.do("SET", "k", "v") == OK
        assert info(connection, "rdb_changes_since_last_save") > 0
        reply = connection.do("SAVE")
        assert reply == OK, render(reply)
        assert info(connection, "rdb_changes_since_last_save") == 0
        dump = subject.folder / "dump.rdb"
        assert dump.read_bytes()[:5] == b"REDIS"
        dump.unlink()
        assert connection.do("BGSAVE").value == b"Background saving started"
        await_saved(connection)
        assert dump.read_bytes()[:5] == b"REDIS"
        assert before <= connection.do("LASTSAVE").value <= time.time()
        connection.do("MULTI")
        connection.do("BGSAVE")
        reply = connection.do("EXEC")
        assert [part.value for part in reply.value] == [b"Background saving scheduled"]
        await_saved(connection)


Start = Callable[..., Server]


def test_the_end_saves(own: Start) -> None:
    """With save points SHUTDOWN and SIGTERM save, NOSAVE does not."""
    server = own("--save", "3600 1")
    dump = server.folder / "dump.rdb"
    for value, words in (("one", []), ("two", ["SAVE"]), ("three", None), ("lost", ["NOSAVE"])):
        with server.connect() as connection:
            assert connection.do("SET", "k", value) == OK
            if words is not None:
                connection.send(encode("SHUTDOWN", *words))
                assert connection.read_until_closed() == []
                assert server.wait() == 0
        server.restart()
        expected = b"three" if value == "lost" else value.encode()
        assert server.control().do("GET", "k").value == expected
        assert dump.exists()


def test_saves_that_fail(own: Start) -> None:
    """Nothing is lost, and who writes is told."""
    server = own("--save", "3600 1")
    dump = server.folder / "dump.rdb"
    dump.mkdir()
    (dump / "in the way").touch()
    with server.connect() as connection:
        assert connection.do("SET", "k", "v") == OK
        assert connection.do("SAVE").value == b"ERR"
        assert connection.do("SHUTDOWN").value == b"ERR Errors trying to SHUTDOWN. Check logs."
        assert connection.do("SET", "k", "w") == OK
        assert connection.do("BGSAVE").value == b"Background saving started"
        await_saved(connection)
        end = time.monotonic() + PATIENCE_S
        while (refused := connection.do("SET", "k", "x")) == OK:
            assert time.monotonic() < end
        assert refused.value.startswith(b"MISCONF Redis is configured to save RDB snapshots")
        assert connection.do("GET", "k").kind == "bulk"
        assert connection.do("CONFIG", "SET", "stop-writes-on-bgsave-error", "no") == OK
        assert connection.do("SET", "k", "y") == OK
        connection.send(encode("SHUTDOWN", "FORCE"))
        assert connection.read_until_closed() == []
    assert server.wait() == 0
    (dump / "in the way").unlink()
    dump.rmdir()


def test_flushall_saves(own: Start) -> None:
    """Where there are save points: what was flushed does not come back."""
    server = own("--save", "3600 1000000")
    with server.connect() as connection:
        assert connection.do("SET", "k", "v") == OK
        assert connection.do("SAVE") == OK
        size = (server.folder / "dump.rdb").stat().st_size
        assert connection.do("FLUSHALL") == OK
        end = time.monotonic() + PATIENCE_S
        while (server.folder / "dump.rdb").stat().st_size >= size:
            assert time.monotonic() < end
            time.sleep(0.002)
