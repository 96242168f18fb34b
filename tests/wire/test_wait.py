"""WAIT: without replicas it answers 0, at once or after its time."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from harness.cases import Case, Do, Pipe, Read, Send, case, in_both_protocols
from harness.client import Connection, connections
from harness.compare import Oracle
from harness.process import Server
from harness.resp import Reply

Start = Callable[..., Server]

CASES = [
    *in_both_protocols(
        "wait-at-once",
        "WAIT",
        "WAIT 0",
        "WAIT 0 0 0",
        "WAIT x 0",
        "WAIT 1.5 0",
        "WAIT 0 x",
        "WAIT 0 1.5",
        "WAIT 1 -1",
        "WAIT 0 -1",
        "WAIT x -1",
        "WAIT 99999999999999999999 0",
        "WAIT 0 99999999999999999999",
        "WAIT 0 0",
        "WAIT 0 1000",
        "WAIT -1 0",
        "WAIT -5 1000",
        "SET $0 v",
        "GET $0",
    ),
    *in_both_protocols(
        "wait-its-time",
        "WAIT 1 30",
        "WAIT 9223372036854775807 1",
        Pipe(["SET $0 v", "WAIT 2 20", "GET $0", "WAIT 1 1", "DEL $0"]),
    ),
    case("wait-then", "PING", Send(b"WAIT 1 40\r\nPING\r\n"), Do("PING", on=1), Read(2)),
    case(
        "wait-silent",
        Send(b"CLIENT REPLY OFF\r\nWAIT 1 20\r\nCLIENT REPLY ON\r\nPING\r\n"),
        Read(2),
    ),
    case("wait-multi", "MULTI", "WAIT 1 0", "WAIT 0 5", "SET $0 v", "EXEC"),
]


@pytest.mark.parametrize("a_case", CASES, ids=lambda c: c.name)
def test_wait(a_case: Case, subject: Server, oracle: Oracle) -> None:
    oracle.check(a_case, subject)


def _id(connection: Connection) -> int:
    return connection.do("CLIENT", "ID").value


def _flags(connection: Connection, client_id: int) -> bytes:
    return connection.do("CLIENT", "LIST", "ID", client_id).value.split(b" flags=")[1].split()[0]


def _waits(control: Connection, client_id: int) -> None:
    deadline = time.monotonic() + 10
    while b"b" not in _flags(control, client_id) and time.monotonic() < deadline:
        time.sleep(0.005)


@pytest.mark.parametrize(
    ("how", "answer"),
    [
        ("TIMEOUT", Reply("integer", 0)),
        ("ERROR", Reply("error", b"UNBLOCKED client unblocked via CLIENT UNBLOCK")),
    ],
)
def test_unblock(subject: Server, how: str, answer: Reply) -> None:
    with connections(subject.address, 2) as (waiter, control):
        client_id = _id(waiter)
        waiter.send(b"WAIT 1 0\r\nPING\r\n")
        _waits(control, client_id)
        assert waiter.silent_for(0.05)
        assert control.do("CLIENT", "UNBLOCK", client_id, how).value == 1
        assert waiter.read() == answer
        assert waiter.read().value == b"PONG"
        assert control.do("CLIENT", "UNBLOCK", client_id).value == 0


def test_it_takes_its_time(subject: Server) -> None:
    with connections(subject.address, 1) as (waiter,):
        start = time.monotonic()
        assert waiter.do("WAIT", 1, 200).value == 0
        assert 0.19 < time.monotonic() - start < 5


def test_killed_or_gone(subject: Server) -> None:
    for _ in range(5):
        with connections(subject.address, 3) as (killed, gone, control):
            killed_id, gone_id = _id(killed), _id(gone)
            killed.send(b"WAIT 1 0\r\n")
            gone.send(b"WAIT 1 100000\r\n")
            _waits(control, killed_id)
            _waits(control, gone_id)
            assert control.do("CLIENT", "KILL", "ID", killed_id).value == 1
            assert killed.read_until_closed() == []
            gone.close()
    with connections(subject.address, 1) as (control,):
        deadline = time.monotonic() + 10
        while b"blocked_clients:0" not in control.do("INFO", "clients").value:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_times_that_cannot_be(ours: Server) -> None:
    """Redis 7.0 does not look at the end of the time."""
    with connections(ours.address, 1) as (control,):
        assert control.do("WAIT", 1, 9223372036854775807).value == b"ERR timeout is out of range"
