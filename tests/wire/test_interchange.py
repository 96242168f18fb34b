"""Random data of all types goes from ours to redis-server and back: as an RDB file, as a log with
what it begins with, and as payloads of DUMP. It is the same on the other side."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest
from harness.client import Connection
from harness.contents import assert_same, contents, databases
from harness.matrix import REDIS
from harness.process import Server
from harness.random_data import RandomData
from harness.resp import OK
from test_restart_verbs import rewrite

Start = Callable[..., Server]

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(
        shutil.which("redis-server") is None, reason="redis-server is not installed"
    ),
]
# Forms that Redis's settings choose, and whether strings are compressed.
REDIS_FORMS = {
    "usual": (),
    "compressed-nodes": ("--list-compress-depth", "1", "--stream-node-max-entries", "3"),
    "plain": ("--rdbcompression", "no", "--rdbchecksum", "no", "--list-max-listpack-size", "4"),
    "large": ("--hash-max-listpack-entries", "0", "--zset-max-listpack-entries", "0"),
}
BATCH = 200


def fill(connection: Connection, seed: str) -> None:
    commands = RandomData(seed).commands()
    while batch := list(islice(commands, BATCH)):
        for words, reply in zip(batch, connection.pipeline(batch), strict=True):
            assert reply.kind != "error", (words[:3], reply)
    assert connection.do("SELECT", 0) == OK


def compare(one: Server, other: Server, what: str) -> None:
    before, after = (contents(side.control(), fields=False) for side in (one, other))
    assert len(before) > 100
    assert_same(before, after, what)
    assert one.control().do("DEBUG", "DIGEST") == other.control().do("DEBUG", "DIGEST")


def moved(server: Server, name: str) -> Iterator[Path]:
    """A copy of one file, or folder, of a server's."""
    with tempfile.TemporaryDirectory(prefix="krt-") as folder:
        path = server.folder / name
        if path.is_dir():
            shutil.copytree(path, Path(folder) / name)
        else:
            shutil.copy(path, folder)
        yield Path(folder)


def check_file(one: Server, start: Callable[[Path], Server], what: str) -> None:
    assert one.control().do("SAVE") == OK
    for folder in moved(one, "dump.rdb"):
        with start(folder) as other:
            compare(one, other, what)


def check_log(one: Server, start: Callable[[Path], Server], what: str) -> None:
    for folder in moved(one, "appendonlydir"):
        with start(folder) as other:
            compare(one, other, what)


def check_log_of_redis(one: Server, start: Callable[[Path], Server], what: str) -> None:
    """With what Redis itself makes of its log: it does not log all that it knows of a group."""
    for folder in moved(one, "appendonlydir"):
        with start_redis("--appendonly", "yes")(folder) as again:
            check_log(again, start, what)


def start_redis(*options: str) -> Callable[[Path], Server]:
    return lambda folder: Server(REDIS, options, files=folder)


@pytest.mark.parametrize("form", REDIS_FORMS)
def test_from_redis(durable: Start, form: str) -> None:
    def start(folder: Path) -> Server:
        return durable("--appendonly", "yes", files=folder)

    with Server(REDIS, ("--appendonly", "yes", *REDIS_FORMS[form])) as redis:
        fill(redis.control(), f"from redis {form}")
        check_file(redis, lambda folder: durable(files=folder), "dump.rdb")
        if form == "usual":
            check_log_of_redis(redis, start, "log")
            rewrite(redis)
            fill(redis.control(), "from redis, more")
        else:
            rewrite(redis)
        check_log_of_redis(redis, start, "base")


@pytest.mark.parametrize("compression", ["yes", "no"])
def test_to_redis(durable: Start, compression: str) -> None:
    base = "yes" if compression == "yes" else "no"
    options = ("--rdbcompression", compression, "--rdbchecksum", compression)
    ours = durable("--appendonly", "yes", "--aof-use-rdb-preamble", base, *options)
    fill(ours.control(), f"to redis {compression}")
    log = start_redis("--appendonly", "yes")
    check_file(ours, start_redis(), "dump.rdb")
    check_log(ours, log, "log")
    rewrite(ours)
    check_log(ours, log, "base")
    fill(ours.control(), f"to redis {compression}, more")
    check_log(ours, log, "base and log")


def copy_by_payload(one: Server, other: Server) -> None:
    source, target = one.control(), other.control()
    for number in databases(source):
        assert source.do("SELECT", number) == target.do("SELECT", number) == OK
        for name in source.do("KEYS", "*").value:
            key = name.value
            payload, deadline = source.pipeline([("DUMP", key), ("PEXPIRETIME", key)])
            moment = max(deadline.value, 0)
            reply = target.do("RESTORE", key, moment, payload.value, "ABSTTL", "REPLACE")
            assert reply == OK, (key, reply)
    assert source.do("SELECT", 0) == target.do("SELECT", 0) == OK


@pytest.mark.parametrize("form", REDIS_FORMS)
def test_payloads(durable: Start, form: str) -> None:
    with Server(REDIS, REDIS_FORMS[form]) as redis:
        fill(redis.control(), f"payloads {form}")
        ours = durable()
        copy_by_payload(redis, ours)
        compare(redis, ours, "to ours")
        redis.flush()
        copy_by_payload(ours, redis)
        compare(ours, redis, "and back")


def test_a_file_is_the_same_for_the_same_data(durable: Start) -> None:
    """What Redis loads and writes again, we load again."""
    ours = durable()
    fill(ours.control(), f"round {random.Random(1).random()}")
    assert ours.control().do("SAVE") == OK
    for folder in moved(ours, "dump.rdb"):
        with Server(REDIS, files=folder) as redis:
            check_file(redis, lambda again: durable(files=again), "back again")
            compare(ours, redis, "there")
