"""DEBUG: what clients and test suites ask of a server under test."""

from __future__ import annotations

import re
import time

import pytest
from harness.cases import Case, Do, case, mask_field
from harness.compare import Oracle
from harness.process import Server
from harness.resp import Reply, text_of

TYPES = [
    "string",
    "integer",
    "double",
    "bignum",
    "null",
    "array",
    "set",
    "map",
    "attrib",
    "push",
    "verbatim",
    "true",
    "false",
]


def _mask_address(reply: Reply) -> Reply:
    """DEBUG OBJECT without where the value is and when it was asked for."""
    if reply.kind != "simple":
        return reply
    text = re.sub(r"at:0x[0-9a-f]+", "at:0x", reply.value.decode())
    return Reply("simple", re.sub(r"lru:\d+ lru_seconds_idle:\d+$", "lru", text).encode())


VALUES = ["5", "-1", "127", "128", "-128", "-129", "300", "-32769", "70000", "2147483647"]
VALUES += ["2147483648", "12345678901", "01", "''", "hello", "0.5", "qwertzuiopasdfghjkly"]

CASES = [
    case(
        "debug-object",
        *(
            step
            for value in VALUES
            for step in (f"SET $0 {value}", Do("DEBUG OBJECT $0", mask=_mask_address))
        ),
        "APPEND $0 x",
        Do("debug object $0", mask=_mask_address),
        "DEBUG OBJECT $1",
        "DEBUG OBJECT",
        "DEBUG OBJECT $0 $1",
    ),
    case(
        "debug-populate",
        "SET key:1 mine",
        "DEBUG POPULATE 3",
        "MGET key:0 key:1 key:2 key:3",
        "DEBUG POPULATE 2 foo",
        "MGET foo:0 foo:1 foo:2",
        "DEBUG POPULATE 12 bar 10",
        "MGET bar:0 bar:11",
        "DEBUG POPULATE 1 short 3",
        "GET short:0",
        "DEBUG POPULATE 1 zero 0",
        "GET zero:0",
        "DEBUG POPULATE 1 ''",
        "GET :0",
        "DEBUG POPULATE 0 none",
        "DBSIZE",
        "DEBUG POPULATE x",
        "DEBUG POPULATE -1",
        "DEBUG POPULATE 1 neg -5",
        "DEBUG POPULATE 1 nan x",
        "DEBUG POPULATE",
        "DEBUG POPULATE 1 a 1 b",
        "DBSIZE",
        "SELECT 3",
        "DEBUG POPULATE 1000",
        "DBSIZE",
        "GET key:999",
    ),
    case(
        "debug-accepted",
        "DEBUG SET-DISABLE-DENY-SCRIPTS 1",
        "DEBUG SET-DISABLE-DENY-SCRIPTS 0",
        "DEBUG SET-DISABLE-DENY-SCRIPTS",
        "DEBUG QUICKLIST-PACKED-THRESHOLD 100",
        "DEBUG QUICKLIST-PACKED-THRESHOLD 100b",
        "DEBUG QUICKLIST-PACKED-THRESHOLD 1gb",
        "DEBUG QUICKLIST-PACKED-THRESHOLD 4293918720",
        "DEBUG QUICKLIST-PACKED-THRESHOLD 4293918721",
        "DEBUG QUICKLIST-PACKED-THRESHOLD 0",
        "DEBUG QUICKLIST-PACKED-THRESHOLD x",
        "DEBUG QUICKLIST-PACKED-THRESHOLD -1",
        "DEBUG QUICKLIST-PACKED-THRESHOLD 5g",
        "DEBUG QUICKLIST-PACKED-THRESHOLD",
        "DEBUG SET-SKIP-CHECKSUM-VALIDATION 1",
        "DEBUG SET-SKIP-CHECKSUM-VALIDATION 0",
        "DEBUG REPLYBUFFER PEAK-RESET-TIME never",
        "DEBUG replybuffer peak-reset-time 100",
        "DEBUG REPLYBUFFER peak-reset-time x",
        "DEBUG REPLYBUFFER peak-reset-time RESET",
        "DEBUG REPLYBUFFER RESIZING 0",
        "DEBUG REPLYBUFFER RESIZING 1",
        "DEBUG REPLYBUFFER nosuch 1",
        "DEBUG REPLYBUFFER RESIZING",
    ),
    case("debug-dict-resizing", "DEBUG DICT-RESIZING 1", "DEBUG DICT-RESIZING"),
    case(
        "debug-not-so-kept",
        "SET $0 hello",
        "DEBUG LISTPACK $0",
        "DEBUG LISTPACK $1",
        "DEBUG LISTPACK",
        "DEBUG QUICKLIST $0",
        "DEBUG QUICKLIST $0 1",
        "DEBUG QUICKLIST $1",
        "DEBUG QUICKLIST $0 1 2",
        "DEBUG ZIPLIST $0",
    ),
    case(
        "debug-words-without-an-allocator",
        "DEBUG JMAP",
        "DEBUG JEMALLOC INFO",
        "DEBUG STRINGMATCH-LEN 10 a*",
        ("DEBUG", b"x" * 200),
    ),
    case("debug-change-repl-id", "DEBUG CHANGE-REPL-ID", "DEBUG CHANGE-REPL-ID x"),
    case(
        "debug-protocol-2",
        *(f"DEBUG PROTOCOL {name}" for name in TYPES if name != "attrib"),
        "DEBUG PROTOCOL nosuch",
        "debug protocol STRING",
    ),
    case(
        "debug-protocol-3",
        Do("HELLO 3", mask=mask_field(b"id")),
        *(f"DEBUG PROTOCOL {name}" for name in TYPES if name not in ("attrib", "push")),
    ),
    case(
        "debug-errors",
        "DEBUG",
        "DEBUG NOSUCH",
        "DEBUG PROTOCOL",
        "DEBUG ERROR",
        "DEBUG ERROR 'SOME text'",
        "DEBUG ERROR 'a\\r\\nb'",
        "DEBUG LOG",
        "DEBUG LOG hello",
        "DEBUG SLEEP",
        "DEBUG SLEEP x",
        "DEBUG SLEEP 0.001",
        "DEBUG SET-ACTIVE-EXPIRE",
        "DEBUG SET-ACTIVE-EXPIRE 1",
    ),
]


@pytest.mark.parametrize("a_case", CASES, ids=lambda c: c.name)
def test_debug(a_case: Case, subject: Server, oracle: Oracle) -> None:
    oracle.check(a_case, subject)


def test_attributes_and_pushes(subject: Server) -> None:
    with subject.connect() as connection:
        connection.do("HELLO", 3)
        connection.send(b"DEBUG PROTOCOL attrib\r\nDEBUG PROTOCOL push\r\nPING\r\n")
        wanted = (
            b"|1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n"
            b"$39\r\nSome real reply following the attribute\r\n"
            b">2\r\n$16\r\nserver-cpu-usage\r\n:42\r\n"
            b"$40\r\nSome real reply following the push reply\r\n+PONG\r\n"
        )
        seen = b""
        while len(seen) < len(wanted):
            seen += connection.sock.recv(1000)
    assert seen == wanted


def test_without_active_expiry_keys_stay_until_asked_for(subject: Server) -> None:
    keys = subject.spread(6)
    with subject.connect() as connection:
        connection.do("DEBUG", "SET-ACTIVE-EXPIRE", "0")
        try:
            connection.pipeline([("SET", key, "v", "PX", "1") for key in keys])
            time.sleep(0.25)
            assert connection.do("DBSIZE").value == 6
            assert connection.do("EXISTS", *keys).value == 0
            assert connection.do("DBSIZE").value == 0
            connection.pipeline([("SET", key, "v", "PX", "1") for key in keys])
        finally:
            connection.do("DEBUG", "SET-ACTIVE-EXPIRE", "1")
        deadline = time.monotonic() + 5
        while connection.do("DBSIZE").value:
            assert time.monotonic() < deadline, "active expiry does not come back"
            time.sleep(0.02)


def _replication_id(subject: Server) -> str:
    with subject.connect() as connection:
        info = text_of(connection.do("INFO", "replication"))
    return re.search(r"master_replid:([0-9a-f]{40})\r", info)[1]


def test_the_replication_id_changes(subject: Server) -> None:
    before = _replication_id(subject)
    with subject.connect() as connection:
        assert connection.do("DEBUG", "CHANGE-REPL-ID").value == b"OK"
    assert _replication_id(subject) != before


def test_populate_makes_every_key(subject: Server) -> None:
    """Many keys, on every shard, each found by its own name."""
    with subject.connect() as connection:
        assert connection.do("DEBUG", "POPULATE", 5000, "many", 200).value == b"OK"
        assert connection.do("DBSIZE").value == 5000
        replies = connection.pipeline([("GET", f"many:{i}") for i in range(5000)])
    assert [r.value for r in replies] == [
        b"value:%d" % i + bytes(200 - 6 - len(str(i))) for i in range(5000)
    ]


@pytest.mark.parametrize(
    "words",
    ["SEGFAULT", "PANIC", "ASSERT", "OOM", "RESTART", "RESTART 1", "CRASH-AND-RECOVER", "LEAK x"],
)
def test_the_process_is_not_harmed(ours: Server, words: str) -> None:
    with ours.connect() as connection:
        assert connection.do("DEBUG", *words.split()).kind == "error"
        assert connection.do("PING").value == b"PONG"
