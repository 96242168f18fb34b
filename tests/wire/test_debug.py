"""DEBUG: what clients and test suites ask of a server under test."""

from __future__ import annotations

import time

import pytest
from harness.cases import Case, Do, case, mask_field
from harness.compare import Oracle
from harness.process import Server

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

CASES = [
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
