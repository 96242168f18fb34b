"""CLIENT PAUSE and UNPAUSE: what waits, for how long, and that nothing slips through anywhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from harness.cases import Case, case
from harness.client import Connection, connections
from harness.compare import Oracle
from harness.process import Server

Start = Callable[..., Server]

CASES = [
    case(
        "client-pause-errors",
        "CLIENT PAUSE",
        "CLIENT PAUSE x",
        "CLIENT PAUSE -1",
        "CLIENT PAUSE 1.5",
        "CLIENT PAUSE x FOO",
        "CLIENT PAUSE 1 FOO",
        "CLIENT PAUSE 99999999999999999999",
        "CLIENT PAUSE 0",
        "CLIENT PAUSE 0 write",
        "CLIENT UNPAUSE x",
        "CLIENT UNPAUSE",
        "CLIENT UNPAUSE",
        "SET $0 v",
    ),
    case(
        "client-pause-writes",
        "MSET $0 a $1 b",
        "CLIENT PAUSE 100000 WRITE",
        "MGET $0 $1",
        "GET",
        "SET $0",
        "FOO",
        "PING",
        "CLIENT UNPAUSE",
        "SET $0 c",
        "MGET $0 $1",
    ),
    case(
        "client-pause-all", "CLIENT PAUSE 30", "GET $0", "CLIENT PAUSE 30 ALL", "PING", "SET $0 v"
    ),
]


@pytest.mark.parametrize("a_case", CASES, ids=lambda c: c.name)
def test_pause(a_case: Case, subject: Server, oracle: Oracle) -> None:
    oracle.check(a_case, subject)


def _pause(connection: Connection, ms: int, mode: str = "ALL") -> float:
    """When it was answered."""
    assert connection.do("CLIENT", "PAUSE", ms, mode).kind == "simple"
    return time.monotonic()


def test_writes_wait_until_they_may_run(subject: Server) -> None:
    keys = subject.spread(4)
    with connections(subject.address, 5) as (control, *writers):
        for key, writer in zip(keys, writers, strict=True):
            writer.do("SET", key, "0")
        start = _pause(control, 250, "WRITE")
        for key, writer in zip(keys, writers, strict=True):
            writer.send(b"INCR %s\r\nGET %s\r\n" % (key.encode(), key.encode()))
        assert all(writer.silent_for(0.02) for writer in writers)
        assert [control.do("GET", key).value for key in keys] == [b"0"] * 4
        replies = [writer.read_many(2) for writer in writers]
        assert time.monotonic() - start > 0.24
        assert [(a.value, b.value) for a, b in replies] == [(1, b"1")] * 4


def test_unpause_lets_them_go_at_once(subject: Server) -> None:
    keys = subject.spread(4)
    with connections(subject.address, 5) as (control, *writers):
        _pause(control, 100_000, "WRITE")
        for key, writer in zip(keys, writers, strict=True):
            writer.send(b"SET %s 1\r\n" % key.encode() + b"INCR %s\r\n" % key.encode() * 50)
        assert all(writer.silent_for(0.01) for writer in writers)
        assert control.do("CLIENT", "UNPAUSE").kind == "simple"
        for writer in writers:
            assert [reply.value for reply in writer.read_many(51)] == [b"OK", *range(2, 52)]


def test_a_pause_of_all_stops_everything(subject: Server) -> None:
    with connections(subject.address, 4) as crowd:
        start = _pause(crowd[0], 150)
        for connection in crowd:
            connection.send(b"PING\r\nCLIENT ID\r\n")
        assert all(connection.silent_for(0.02) for connection in crowd)
        assert [connection.read().value for connection in crowd] == [b"PONG"] * 4
        assert time.monotonic() - start > 0.14
        assert [connection.read().kind for connection in crowd] == ["integer"] * 4


def test_the_later_end_and_the_stricter_kind_hold(subject: Server) -> None:
    with connections(subject.address, 2) as (control, other):
        _pause(control, 100_000, "WRITE")
        start = _pause(control, 120, "WRITE")
        assert control.do("CLIENT", "UNPAUSE").kind == "simple"
        other.do("SET", "key", "v")
        assert time.monotonic() - start < 0.1
        _pause(control, 120, "WRITE")
        start = _pause(control, 1, "WRITE")
        other.do("SET", "key", "v")
        assert time.monotonic() - start > 0.1


def test_keys_do_not_expire_meanwhile(subject: Server) -> None:
    keys = subject.spread(4)
    with connections(subject.address, 2) as (control, other):
        control.pipeline([("SET", key, "v", "PX", 30) for key in keys])
        _pause(control, 120, "WRITE")
        time.sleep(0.05)
        assert [other.do("GET", key).value for key in keys] == [None] * 4
        assert other.do("DBSIZE").value == 4
        other.do("SET", "done", "v")
        assert [other.do("GET", key).value for key in keys] == [None] * 4
        assert other.do("DBSIZE").value == 1


def test_a_connection_that_leaves_takes_its_requests_along(subject: Server) -> None:
    key = subject.spread(1)[0]
    with subject.connect() as control:
        _pause(control, 100, "WRITE")
        with subject.connect() as leaving:
            leaving.send(b"SET %s v\r\n" % key.encode())
            assert leaving.silent_for(0.02)
        time.sleep(0.03)
        control.do("SET", "other", "v")
        assert control.do("GET", key).value is None


def test_killed_while_it_waits(subject: Server) -> None:
    with connections(subject.address, 2) as (control, victim):
        number = victim.do("CLIENT", "ID").value
        _pause(control, 100, "WRITE")
        victim.send(b"SET a_key v\r\n")
        assert victim.silent_for(0.02)
        assert control.do("CLIENT", "KILL", "ID", number).value == 1
        assert victim.read_until_closed() == []
        control.do("SET", "other", "v")
        assert control.do("GET", "a_key").value is None


def test_exact_over_all_shards(subject: Server) -> None:
    """Whoever has read OK of PAUSE sees no value change, on any shard, until the pause ends."""
    keys = subject.spread(6)
    stop = threading.Event()

    def write(connection: Connection, key: str) -> None:
        while not stop.is_set():
            connection.pipeline([("INCR", key)] * 7 + [("INCR", keys[0])])

    with connections(subject.address, 7) as (control, *writers):
        threads = [
            threading.Thread(target=write, args=pair) for pair in zip(writers, keys, strict=True)
        ]
        for thread in threads:
            thread.start()
        try:
            for _ in range(8):
                time.sleep(0.005)
                _pause(control, 100_000, "WRITE")
                before = control.do("MGET", *keys)
                for _ in range(5):
                    time.sleep(0.002)
                    assert control.do("MGET", *keys) == before
                assert control.do("CLIENT", "UNPAUSE").kind == "simple"
        finally:
            stop.set()
            control.do("CLIENT", "UNPAUSE")
            for thread in threads:
                thread.join()


def test_stops_in_the_middle_of_a_pause(own: Start) -> None:
    server = own()
    with connections(server.address, 3) as (control, *writers):
        _pause(control, 100_000, "WRITE")
        for writer in writers:
            writer.send(b"SET a v\r\nSET b v\r\n")
            assert writer.silent_for(0.01)
        server.stop()
