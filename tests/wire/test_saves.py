"""SAVE, BGSAVE, LASTSAVE: what they answer, and the files that redis-server then loads."""

from __future__ import annotations

import time

import pytest
from harness.cases import Case, case, in_both_protocols
from harness.client import Connection
from harness.compare import Oracle
from harness.process import Server
from harness.resp import OK, render

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
