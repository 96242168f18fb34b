"""CONFIG SET: all or nothing, Redis's errors, and what takes effect while the server runs."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from harness.cases import Case, Do, case, unordered_pairs
from harness.client import Connection
from harness.compare import Oracle
from harness.process import Server, free_port
from harness.resp import CLOSED, OK, Reply, bulk, encode

Start = Callable[..., Server]

PONG = Reply("simple", b"PONG")

CASES = [
    case(
        "config-set-several",
        "CONFIG SET maxmemory-samples 7 hll-sparse-max-bytes 4000",
        Do("CONFIG GET maxmemory-samples hll-sparse-max-bytes", mask=unordered_pairs),
        "CONFIG SET maxmemory-samples 5 hll-sparse-max-bytes 3000",
    ),
    case(
        "config-set-all-or-nothing",
        "CONFIG SET maxmemory-samples 9 hll-sparse-max-bytes x",
        "CONFIG SET maxmemory-samples 9 nosuch 1",
        "CONFIG SET maxmemory-samples 9 databases 1",
        "CONFIG SET maxmemory-samples 9 maxmemory-samples 10",
        "CONFIG SET maxmemory-samples 9 dir /",
        "CONFIG GET maxmemory-samples",
    ),
    case(
        "config-set-errors",
        "CONFIG SET",
        "CONFIG SET timeout",
        "CONFIG SET timeout 1 hz",
        "CONFIG SET nosuch 1",
        "CONFIG SET nosuch x timeout x",
        "CONFIG SET timeout -1",
        "CONFIG SET timeout 1.5",
        "CONFIG SET timeout ''",
        "CONFIG SET maxmemory-policy nosuch",
        "CONFIG SET appendfsync x",
        "CONFIG SET tcp-backlog 5",
        "CONFIG SET slave-priority -5",
        "CONFIG SET activerehashing maybe",
        "CONFIG SET client-output-buffer-limit 'normal 1'",
        "CONFIG SET client-output-buffer-limit 'nosuch 1 1 1'",
        "CONFIG SET latency-tracking-info-percentiles '101'",
        "config set TimeOut 0",
    ),
    case("config-help", "CONFIG HELP", "CONFIG help", "CONFIG HELP x", "CONFIG NOSUCH"),
    case("config-resetstat", "CONFIG RESETSTAT", "CONFIG RESETSTAT x"),
]


@pytest.mark.parametrize("a_case", CASES, ids=lambda c: c.name)
def test_config(a_case: Case, subject: Server, oracle: Oracle) -> None:
    oracle.check(a_case, subject)


def _port_of(connection: Connection) -> int:
    return int(connection.do("CONFIG", "GET", "port").value[-1].value)


def test_port_changes(own: Start) -> None:
    server = own()
    old = server.address
    control = server.connect()
    new = (old[0], free_port())
    assert control.do("CONFIG", "SET", "port", new[1]) == OK
    with Connection(new) as moved:
        assert moved.do("PING") == PONG
        assert _port_of(moved) == new[1]
    assert control.do("PING") == PONG
    _await_refused(old)
    assert control.do("CONFIG", "SET", "port", old[1]) == OK
    with Connection(old) as back:
        assert back.do("PING") == PONG


def test_a_port_in_use_changes_nothing(own: Start, oracle: Oracle) -> None:
    server = own()
    with server.connect() as control:
        taken = oracle.server.address[1]
        reply = control.do("CONFIG", "SET", "timeout", 77, "port", taken)
        assert reply == Reply(
            "error",
            b"ERR CONFIG SET failed (possibly related to argument 'port') - "
            b"Unable to listen on this port. Check server logs.",
        )
        assert _port_of(control) == server.address[1]
        assert control.do("CONFIG", "GET", "timeout").value[-1] == bulk("0")
        with Connection(server.address) as another:
            assert another.do("PING") == PONG


def test_bind_changes_on_the_same_port(own: Start) -> None:
    server = own()
    with server.connect() as control:
        for addresses in ("127.0.0.1", "127.0.0.1 127.0.0.2", "127.0.0.1"):
            assert control.do("CONFIG", "SET", "bind", addresses) == OK
            with Connection(server.address) as another:
                assert another.do("PING") == PONG
        failed = control.do("CONFIG", "SET", "bind", "192.0.2.1")
        assert failed.kind == "error"
        with Connection(server.address) as another:
            assert another.do("PING") == PONG


def _await_refused(address: tuple[str, int]) -> None:
    deadline = time.monotonic() + 5
    while True:
        try:
            Connection(address).close()
        except ConnectionRefusedError:
            return
        assert time.monotonic() < deadline, "the old port still answers"
        time.sleep(0.005)


def test_password_changes(own: Start) -> None:
    server = own()
    with server.connect() as control:
        assert control.do("CONFIG", "SET", "requirepass", "secret") == OK
        assert control.do("PING") == PONG
        with server.connect() as stranger:
            assert stranger.do("PING").value.startswith(b"NOAUTH")
            assert stranger.do("AUTH", "secret") == OK
            assert stranger.do("CONFIG", "SET", "requirepass", "") == OK
        with server.connect() as anybody:
            assert anybody.do("PING") == PONG


def test_timeout_changes(own: Start) -> None:
    server = own()
    with server.connect() as idle, server.connect() as control:
        assert idle.do("PING") == PONG
        assert control.do("CONFIG", "SET", "timeout", 1) == OK
        assert idle.read() is CLOSED


def test_bulk_limit_changes(own: Start) -> None:
    server = own()
    with server.connect() as connection:
        assert connection.do("CONFIG", "SET", "proto-max-bulk-len", "1mb") == OK
        assert connection.do("SETRANGE", "k", 1048575, "ab").kind == "error"
        assert connection.do("SETRANGE", "k", 1048575, "a").value == 1048576
        connection.send(encode("SET", "k", b"x" * 1048577)[:40])
        assert connection.read().value.startswith(b"ERR Protocol error: invalid bulk length")
        assert connection.read() is CLOSED


def _wait_until_alone(control: Connection) -> None:
    """Others that have just left may still be counted: their shard has to see it first."""
    deadline = time.monotonic() + 10
    while b"connected_clients:1\r" not in control.do("INFO", "clients").value:
        assert time.monotonic() < deadline


def test_maxclients_changes(own: Start) -> None:
    server = own()
    with server.connect() as control:
        _wait_until_alone(control)
        assert control.do("CONFIG", "SET", "maxclients", 2) == OK
        with server.connect() as second:
            assert second.do("PING") == PONG
            with server.connect() as third:
                assert third.read() == Reply("error", b"ERR max number of clients reached")
        if server.is_redis:
            return  # it tries to get memory for so many
        reply = control.do("CONFIG", "SET", "maxclients", 4_000_000_000)
        assert b"The operating system is not able to handle" in reply.value
        assert control.do("CONFIG", "GET", "maxclients").value[-1] == bulk("2")
