"""Logs that are read at the start: Redis's of several versions, torn, damaged, and our own."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from harness.client import Connection
from harness.matrix import REDIS
from harness.process import Server, StartFailed
from harness.rdb_files import OLD_VALUES, dump_file
from harness.resp import OK, Argument, encode_all

Start = Callable[..., Server]
Commands = Iterable[Iterable[Argument]]

LOG = ("--appendonly", "yes")
FOLDER, NAME = "appendonlydir", "appendonly.aof"
FAR = 4_000_000_000_000
STRING = next(iter(name for name, value in OLD_VALUES.items() if value.type == 0))
DUMP = dump_file([(b"of-the-dump", OLD_VALUES[STRING])], 9)


def commands(*lines: str) -> bytes:
    return encode_all(line.split() for line in lines)


def write_log(at: Path, base: bytes, *parts: bytes) -> Path:
    """A manifest, a base and incremental files behind it; the path of the last one."""
    folder = at / FOLDER
    folder.mkdir()
    kind = "rdb" if base.startswith(b"REDIS") else "aof"
    files = [(f"{NAME}.1.base.{kind}", 1, "b", base)]
    files += [(f"{NAME}.{i}.incr.aof", i, "i", part) for i, part in enumerate(parts, 1)]
    lines = [f"file {name} seq {number} type {letter}\n" for name, number, letter, _ in files]
    (folder / f"{NAME}.manifest").write_text("".join(lines))
    for name, _, _, content in files:
        (folder / name).write_bytes(content)
    return folder / files[-1][0]


def values(connection: Connection, *keys: str) -> list[bytes | None]:
    return [connection.do("GET", key).value for key in keys]


# ---- Forms of Redis ------------------------------------------------------------------------------

ANNOTATED = (
    b"#TS:1700000000\r\n"
    + commands("SELECT 0", "SET a 1", "MULTI", "INCR a")
    + b"#TS:1700000001\r\n"
    + commands("INCR b", "EXEC", "SELECT 3", "SET in-three 1", "select 0")
    + b"#an annotation of some later version\r\n"
)
# Relative times count from now, past ones are kept until the data is there.
OLD_COMMANDS = commands(
    *("SETEX soon 1000 v", f"PEXPIREAT b {FAR}", "SET past v PXAT 1000", "SADD s one"),
    *("SPOP s", "LPUSH l a b c", "BLPOP l 0", "PFADD h x", "PFCOUNT h", "HSET f g 1", "PING"),
)


def _check_all(server: Server) -> None:
    with server.connect() as c:
        assert values(c, "a", "b", "past", "s") == [b"2", b"1", None, None]
        assert 990 < c.do("TTL", "soon").value <= 1000
        assert c.do("PEXPIRETIME", "b").value == FAR
        assert c.do("LLEN", "l").value == 2
        assert c.do("PFCOUNT", "h").value == 1
        assert c.do("SELECT", 3) == OK
        assert values(c, "in-three") == [b"1"]


def test_base_is_a_dump(own: Start, tmp_path: Path) -> None:
    write_log(tmp_path, DUMP, ANNOTATED, OLD_COMMANDS)
    server = own(*LOG, files=tmp_path)
    _check_all(server)
    assert server.control().do("EXISTS", "of-the-dump").value == 1


def test_base_is_a_log(own: Start, tmp_path: Path) -> None:
    write_log(tmp_path, ANNOTATED, OLD_COMMANDS)
    _check_all(own(*LOG, files=tmp_path))


@pytest.mark.parametrize("preamble", [b"", DUMP], ids=["plain", "preamble"])
def test_single_file(preamble: bytes, own: Start, tmp_path: Path) -> None:
    """It becomes the base of a folder."""
    (tmp_path / NAME).write_bytes(preamble + ANNOTATED + OLD_COMMANDS)
    server = own(*LOG, files=tmp_path)
    _check_all(server)
    assert (server.folder / FOLDER / NAME).exists()
    assert not (server.folder / NAME).exists()
    assert server.control().do("INCR", "a").value == 3
    server.restart()
    assert values(server.control(), "a") == [b"3"]


# ---- Torn and damaged ----------------------------------------------------------------------------


@pytest.mark.parametrize("cut", ["in-a-command", "in-a-transaction"])
def test_torn_end(cut: str, own: Start, tmp_path: Path) -> None:
    whole = commands("SET a 1", "SET b 1")
    torn = commands("MULTI", "SET a 2", "SET b 2") if "trans" in cut else commands("INCR a")[:-3]
    write_log(tmp_path, b"", whole + torn)
    server = own(*LOG, files=tmp_path)
    assert values(server.control(), "a", "b") == [b"1", b"1"]
    assert server.control().do("INCR", "a").value == 2
    server.restart()
    assert values(server.control(), "a", "b") == [b"2", b"1"]


def _refused(own: Start, files: Path, *options: str) -> str:
    """What it says; no file has changed."""
    before = {path: path.read_bytes() for path in files.rglob("*") if path.is_file()}
    with pytest.raises(StartFailed) as failure:
        own(*LOG, *options, files=files)
    assert {path: path.read_bytes() for path in before} == before
    return failure.value.output


def test_torn_end_that_is_refused(own: Start, tmp_path: Path) -> None:
    write_log(tmp_path, b"", commands("SET a 1") + b"*2\r\n$4\r\nIN")
    said = _refused(own, tmp_path, "--aof-load-truncated", "no")
    assert "Unexpected end of file reading the append only file" in said


def test_torn_file_that_is_not_the_last(own: Start, tmp_path: Path) -> None:
    write_log(tmp_path, b"", commands("SET a 1")[:-2], commands("SET b 1"))
    assert "appendonly.aof.1.incr.aof" in _refused(own, tmp_path)


def test_damage_in_the_middle(own: Start, tmp_path: Path) -> None:
    before = commands("SET a 1")
    path = write_log(tmp_path, b"", before + b"?1\r\n" + commands("SET b 1"))
    said = _refused(own, tmp_path)
    assert "Bad file format reading the append only file" in said
    if "kevyrt" in said or "damaged" in said:
        assert f"{path.name} is damaged at offset {len(before)}" in said


def test_unknown_command(own: Start, tmp_path: Path) -> None:
    before = commands("SET a 1")
    write_log(tmp_path, b"", before + commands("NONESUCH a", "SET b 1"))
    said = _refused(own, tmp_path)
    assert "nknown command 'NONESUCH'" in said
    assert "Unknown command" in said or f"offset {len(before)}" in said


def test_missing_file(own: Start, tmp_path: Path) -> None:
    write_log(tmp_path, b"", commands("SET a 1")).unlink()
    assert "appendonly.aof.1.incr.aof" in _refused(own, tmp_path)


# ---- While it loads ------------------------------------------------------------------------------

LOADING = b"LOADING Redis is loading the dataset in memory"


def _slow_start(server: Server) -> Connection:
    server.start_unready("--key-load-delay", "3000")
    deadline = time.monotonic() + 10
    while True:
        try:
            return server.connect()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.005)


def test_who_asks_while_it_loads(own: Start, tmp_path: Path) -> None:
    """What needs no data is answered; nothing of the data is shown before it is whole."""
    server = own(*LOG)
    if server.is_redis:
        pytest.skip("it answers between blocks of commands only, which are not so many")
    server.crash()
    shutil.rmtree(server.folder / FOLDER, ignore_errors=True)
    write_log(server.folder, b"", commands(*(f"SET key:{i} {i}" for i in range(8000))))
    with _slow_start(server) as c:
        for line in ("GET key:1", "SET a 1", "PING", "DBSIZE", "MGET key:1 key:2 key:3", "SCAN 0"):
            assert c.do(*line.split()).value == LOADING, line
        assert c.do("MULTI") == OK
        assert c.do("GET", "key:1").value == LOADING
        assert c.do("EXEC").value.startswith(b"EXECABORT")
        assert c.do("NONESUCH").value.startswith(b"ERR unknown command")
        assert c.do("SELECT", 1) == OK
        info = c.do("INFO", "persistence").value.decode()
        assert "loading:1\r\n" in info
        assert "loading_loaded_perc:" in info
        c.do("SHUTDOWN", "NOSAVE")
        assert server.wait() == 0
    server.restart()
    assert server.control().do("DBSIZE").value == 8000


# ---- Ours and theirs -----------------------------------------------------------------------------

ALL_TYPES = (
    *(
        "SET string v",
        "SET number 5",
        f"SET timed v PXAT {FAR}",
        "RPUSH list a b c",
        "SADD set a b",
    ),
    *("SADD ints 1 2 3", "ZADD zset 1.5 a 2 b", "HSET hash f v g w", "XADD stream 5-1 f v"),
    *("XGROUP CREATE stream group 0", "XREADGROUP GROUP group c COUNT 1 STREAMS stream >"),
    *("PFADD hll a b c", "GEOADD geo 13.3 38.1 Palermo", "MSET x 1 y 2 z 3", "INCRBYFLOAT x 0.5"),
    *("LMOVE list other LEFT RIGHT", "SPOP ints", "RENAME y why", "COPY z zet DB 2", "MOVE z 1"),
    *("SETRANGE string 3 abc", "BITOP NOT bits string", "SORT list ALPHA STORE sorted"),
    *("ZUNIONSTORE union 2 zset geo", "SETEX relative 100000 v", "HINCRBYFLOAT hash n 0.1"),
)


def _digest(server: Server) -> bytes:
    return server.control().do("DEBUG", "DIGEST").value


def _copy(server: Server, to: Path) -> Path:
    """The log as a kill would leave it."""
    shutil.copytree(server.folder / FOLDER, to / FOLDER)
    return to


def test_files_go_to_and_fro(own: Start, tmp_path: Path) -> None:
    """What ours wrote redis-server reads and goes on with, and back."""
    server = own(*LOG)
    for line in ALL_TYPES:
        assert server.control().do(*line.split()).kind != "error", line
    with Server(REDIS, LOG, files=_copy(server, tmp_path / "ours")) as redis:
        assert _digest(redis) == _digest(server)
        redis.control().send(commands("MULTI", "INCR number", "DEL set", "EXEC"))
        assert redis.control().read_many(4)[0] == OK
        again = own(*LOG, files=_copy(redis, tmp_path / "theirs"))
        assert _digest(again) == _digest(redis)
    again.control().do("APPEND", "string", "more")
    after = _digest(again)
    again.restart()
    assert _digest(again) == after


# ---- DEBUG RELOAD and LOADAOF --------------------------------------------------------------------


def test_debug_reload_and_loadaof(own: Start) -> None:
    server = own(*LOG)
    c = server.control()
    for line in ALL_TYPES:
        assert c.do(*line.split()).kind != "error", line
    before = _digest(server)
    with server.connect() as watcher:
        assert watcher.do("WATCH", "string", "not-there") == OK
        assert c.do("DEBUG", "RELOAD") == OK
        assert watcher.do("MULTI") == OK
        watcher.do("PING")
        assert watcher.do("EXEC").value is None
    assert _digest(server) == before
    assert c.do("DEBUG", "LOADAOF") == OK
    assert _digest(server) == before
    assert c.do("SET", "number", 6) == OK
    assert c.do("DEBUG", "RELOAD", "NOSAVE", "NOFLUSH", "MERGE") == OK
    assert values(c, "number") == [b"5"]
    assert c.do("SET", "new", 1) == OK
    assert c.do("DEBUG", "RELOAD", "NOSAVE") == OK
    assert values(c, "number", "new") == [b"5", None]
    assert c.do("DEBUG", "LOADAOF") == OK
    assert values(c, "number", "new") == [b"6", b"1"]
    wrong = b"ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options."
    assert c.do("DEBUG", "RELOAD", "ELSE").value == wrong


def test_debug_reload_while_others_write(own: Start) -> None:
    """What was answered for is there afterwards; nobody sees half of it."""
    server = own(*LOG)
    if server.is_redis:
        pytest.skip("it answers nobody meanwhile")
    for key in ("DEBUG POPULATE 20000", "DEBUG POPULATE 100 x 100000"):
        assert server.control().do(*key.split()) == OK
    with server.connect() as writer:
        written = 0
        for command in ("RELOAD", "LOADAOF", "RELOAD"):
            server.control().send(commands(f"DEBUG {command}"))
            for _ in range(300):
                reply = writer.do("INCR", "counter")
                assert reply.kind == "integer" or reply.value == LOADING
                written += reply.kind == "integer"
            assert server.control().read() == OK
        assert writer.do("GET", "counter").value == b"%d" % written
