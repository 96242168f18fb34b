"""BGREWRITEAOF: the files that it leaves say what the server holds, to us and to redis-server."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.client import Connection
from harness.matrix import REDIS
from harness.process import Server
from harness.resp import OK, render

Start = Callable[..., Server]

PATIENCE_S = 20.0
SCHEDULED = b"Background append only file rewriting scheduled"
STARTED = b"Background append only file rewriting started"

# Of every type, small and large; field deadlines are not for Redis 7.0.
COMMANDS = [
    *("SET s v", "SET e v PX 10000000", "SETRANGE big 1100000 x", "APPEND s w"),
    *("RPUSH l a b c", "SADD set a b", "SADD numbers 1 2 3", "HSET h f v g w"),
    *(
        "ZADD z 1.5 a -inf b 3e300 c 0.1 d",
        "XADD x 1-1 f v",
        "XADD x 1-2 f w g u",
        "XADD x 5-5 f v",
    ),
    *("XDEL x 1-1", "XGROUP CREATE x g 0", "XREADGROUP GROUP g c COUNT 1 STREAMS x >"),
    *("XGROUP CREATECONSUMER x g idle", "XGROUP CREATE empty g $ MKSTREAM"),
    *("XADD gone 7-7 f v", "XTRIM gone MAXLEN 0", "SELECT 3", "SET other v", "SELECT 0"),
]


def fill(connection: Connection) -> None:
    for command in COMMANDS:
        reply = connection.do(*command.split())
        assert reply.kind != "error", render(reply)
    for key, add, width in (("ll", "RPUSH", 1), ("ls", "SADD", 1), ("lh", "HSET", 2)):
        connection.do(add, key, *(f"element:{i}" for i in range(1000 * width)))
    connection.do("ZADD", "lz", *(word for i in range(1000) for word in (i / 7, f"m:{i}")))


def await_rewritten(connection: Connection) -> None:
    end = time.monotonic() + PATIENCE_S
    pending = re.compile(rb"aof_rewrite_(in_progress|scheduled):1")
    while pending.search(connection.do("INFO", "persistence").value):
        assert time.monotonic() < end
        time.sleep(0.005)


def bases(server: Server) -> list[Path]:
    return sorted((server.folder / "appendonlydir").glob("*.base.*"))


@pytest.mark.parametrize("preamble", ["yes", "no"])
def test_rewritten(own: Start, preamble: str, tmp_path: Path) -> None:
    server = own("--appendonly", "yes", "--aof-use-rdb-preamble", preamble)
    with server.connect() as connection:
        fill(connection)
        connection.do("MULTI")
        connection.do("BGREWRITEAOF")
        assert connection.do("EXEC").value[0].value == SCHEDULED
        await_rewritten(connection)
        first = bases(server)
        connection.do("DEBUG", "KEVYRT-SNAPSHOT", 1, 2000)
        assert connection.do("BGREWRITEAOF").value == STARTED
        connection.do("SET", "s", "changed")
        connection.do("DEL", "ll")
        connection.do("DEBUG", "KEVYRT-SNAPSHOT", 0, 0)
        await_rewritten(connection)
        digest = connection.do("DEBUG", "DIGEST").value
    assert len(bases(server)) == 1 and bases(server) != first
    assert bases(server)[0].suffix == (".rdb" if preamble == "yes" else ".aof")
    server.restart()
    assert server.control().do("DEBUG", "DIGEST").value == digest
    with own_redis(server, tmp_path) as redis:
        assert redis.control().do("DEBUG", "DIGEST").value == digest


def own_redis(server: Server, files: Path) -> Server:
    """A redis-server that begins with the log of another server."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    shutil.copytree(server.folder / "appendonlydir", files / "appendonlydir")
    return Server(REDIS, ["--appendonly", "yes"], files=files)


def test_automatic(own: Start) -> None:
    options = ("--auto-aof-rewrite-percentage", "100", "--auto-aof-rewrite-min-size", "20000")
    server = own("--appendonly", "yes", *options)
    with server.connect() as connection:
        before = bases(server)
        for _ in range(30):
            assert connection.do("SET", "k", "v" * 1000) == OK
        end = time.monotonic() + PATIENCE_S
        while bases(server) == before:
            assert time.monotonic() < end
            time.sleep(0.01)


def test_without_a_log(own: Start) -> None:
    server = own()
    with server.connect() as connection:
        connection.do("SET", "k", "v")
        assert connection.do("BGREWRITEAOF").value == STARTED
        end = time.monotonic() + PATIENCE_S
        while not bases(server):
            assert time.monotonic() < end
            time.sleep(0.005)
        await_rewritten(connection)
