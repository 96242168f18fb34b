"""Dump files of every form that a version of Redis wrote, read at the start by it and by ours."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.client import Connection
from harness.compare import Oracle
from harness.process import Server, StartFailed
from harness.rdb_files import OLD_VALUES, OldValue, dump_file, length, number, payload, text
from harness.resp import OK

Start = Callable[..., Server]

FAR = 4_000_000_000_000
KNOWN_TO_7_0 = {name: value for name, value in OLD_VALUES.items() if value.since <= (7, 0)}


def _before() -> bytes:
    """What stands before keys, and four keys of its own."""
    parts = b"\xfa" + text(b"redis-ver") + text(b"2.8.24")
    parts += b"\xfa" + text(b"ctime") + number(1_600_000_000)
    parts += b"\xfa" + text(b"unheard-of") + text(b"value")
    for db, key, deadline in (
        (3, b"seconds", b"\xfd" + struct.pack("<i", 2_000_000_000)),
        (3, b"milliseconds", b"\xfc" + struct.pack("<q", FAR)),
        (3, b"past", b"\xfc" + struct.pack("<q", 1_000_000_000_000)),
        (0, b"idle", b"\xf8" + length(5000)),
    ):
        parts += b"\xfe" + length(db) + b"\xfb" + length(3) + length(1)
        parts += deadline + b"\x00" + text(key) + text(b"value")
    return parts


def _file(folder: Path, values: dict[str, OldValue], version: int) -> Path:
    items = [(name.encode(), value) for name, value in values.items()]
    (folder / "dump.rdb").write_bytes(dump_file(items, version, _before()))
    return folder


def _check(server: Server, redis: Connection, values: dict[str, OldValue]) -> None:
    """Each is what RESTORE makes of it, there or, if 7.0 knows it, in redis-server."""
    control = server.control()
    assert control.do("DBSIZE").value == len(values) + 1
    for name, value in values.items():
        known = value.since <= (7, 0)
        other = redis if known else control
        assert other.do("RESTORE", "other", 0, payload(value)) == OK
        digests = [s.do("DEBUG", "DIGEST-VALUE", k) for s, k in ((control, name), (other, "other"))]
        assert digests[0] == digests[1], name
        other.do("DEL", "other")
    assert control.do("OBJECT", "IDLETIME", "idle").value // 100 == 50
    with server.connect() as third:
        third.do("SELECT", 3)
        assert third.do("DBSIZE").value == 2
        assert third.do("PEXPIRETIME", "seconds").value == 2_000_000_000_000
        assert third.do("PEXPIRETIME", "milliseconds").value == FAR


def test_what_redis_reads(own: Start, tmp_path: Path, oracle: Oracle) -> None:
    server = own(files=_file(tmp_path, KNOWN_TO_7_0, 10))
    with oracle.server.connect() as redis:
        _check(server, redis, KNOWN_TO_7_0)


def test_what_later_versions_write(own: Start, tmp_path: Path, oracle: Oracle) -> None:
    files = _file(tmp_path, OLD_VALUES, 12)
    try:
        server = own(files=files)
    except StartFailed as failure:
        assert "Can't handle RDB format version 12" in failure.output
        return
    with oracle.server.connect() as redis:
        _check(server, redis, OLD_VALUES)


@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_damaged(damage: str, own: Start, tmp_path: Path) -> None:
    """It does not start, and says where; redis-server neither."""
    path = _file(tmp_path, KNOWN_TO_7_0, 10) / "dump.rdb"
    content = bytearray(path.read_bytes())
    if damage == "cut":
        del content[-100:]
    else:
        content[len(content) // 2] ^= 0x40
    path.write_bytes(content)
    with pytest.raises(StartFailed) as failure:
        own(files=tmp_path)
    assert "dump.rdb" in failure.value.output or "RDB" in failure.value.output
    assert path.read_bytes() == bytes(content)
