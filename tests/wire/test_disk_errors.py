"""Writes are refused while what is written cannot be made durable, and reads go on."""

from __future__ import annotations

import time
from collections.abc import Callable

from harness.client import Connection
from harness.process import Server
from harness.resp import OK, Reply, bulk, integer

Start = Callable[..., Server]

SNAPSHOT = (
    b"MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to "
    b"disk. Commands that may modify the data set are disabled, because this instance is "
    b"configured to report errors during writes if RDB snapshotting fails "
    b"(stop-writes-on-bgsave-error option). Please check the Redis logs for details about the RDB "
    b"error."
)


def _until(client: Connection, expected: Reply, *command: str) -> None:
    deadline = time.monotonic() + 20
    while (reply := client.do(*command)) != expected:
        assert time.monotonic() < deadline, reply
        time.sleep(0.01)


def test_a_snapshot_that_fails_stops_writes(own: Start) -> None:
    refused = Reply("error", SNAPSHOT)
    server = own("--save", "3600 1")
    obstacle = server.folder / "dump.rdb"
    obstacle.mkdir()
    (obstacle / "something").touch()
    with server.connect() as client:
        assert client.do("SET", "k", "v", "PX", 200) == OK
        assert client.do("BGSAVE").kind == "simple"
        _until(client, refused, "SET", "other", "v")
        assert client.do("PING") == refused
        assert client.do("GET", "other").value in (b"v", None)
        assert client.pipeline([("MULTI",), ("GET", "k"), ("DEL", "k"), ("EXEC",)])[2:] == [
            refused,
            Reply("error", b"EXECABORT Transaction discarded because of previous errors."),
        ]
        _until(client, integer(0), "EXISTS", "k")  # what expires goes on expiring
        assert client.do("CONFIG", "SET", "stop-writes-on-bgsave-error", "no") == OK
        assert client.do("SET", "k", "v") == OK
        assert client.do("CONFIG", "SET", "stop-writes-on-bgsave-error", "yes") == OK
        assert client.do("SET", "k", "v") == refused
        assert client.do("CONFIG", "SET", "save", "") == OK
        assert client.do("SET", "k", "w") == OK
        assert client.do("CONFIG", "SET", "save", "3600 1") == OK
        (obstacle / "something").unlink()
        obstacle.rmdir()
        assert client.do("BGSAVE").kind == "simple"
        _until(client, OK, "SET", "k", "x")
        assert client.do("GET", "k") == bulk("x")
