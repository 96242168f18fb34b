"""How a server ends: SHUTDOWN, SIGTERM, SIGINT, with clients in every state."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest
from harness.client import connections
from harness.process import Server
from harness.resp import CLOSED, encode

Start = Callable[..., Server]


@pytest.mark.parametrize("command", ["SHUTDOWN", "SHUTDOWN NOSAVE", "shutdown nosave now force"])
def test_shutdown_closes_and_ends(own: Start, command: str) -> None:
    server = own()
    with connections(server.address, 3) as (first, second, _third):
        assert first.do("SET", "k", "v").value == b"OK"
        second.send(encode(*command.split()))
        assert second.read() == CLOSED
        assert first.read() == CLOSED
        assert server.wait() == 0


def test_shutdown_behind_a_pipeline(own: Start) -> None:
    server = own()
    with server.connect() as connection:
        connection.send(encode("INCR", "k") * 100 + encode("SHUTDOWN", "NOSAVE") + encode("PING"))
        replies = connection.read_until_closed()
        assert [reply.value for reply in replies] == list(range(1, 101))[: len(replies)]
        assert server.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_signal_ends_it(own: Start, number: signal.Signals) -> None:
    server = own()
    with connections(server.address, 20) as clients:
        for client in clients:
            assert client.do("PING").value == b"PONG"
        clients[0].send(encode("SET", "half", "x" * 1000)[:-500])
        os.kill(server.pid, number)
        assert server.wait() == 0
        assert [client.read() for client in clients] == [CLOSED] * 20


def test_ends_with_output_that_nobody_reads(own: Start) -> None:
    server = own()
    with server.connect() as lazy, server.connect() as other:
        assert lazy.do("SET", "big", b"x" * (1 << 20)).value == b"OK"
        lazy.send(encode("GET", "big") * 30)
        assert other.do("PING").value == b"PONG"
        os.kill(server.pid, signal.SIGTERM)
        assert server.wait() == 0


def test_immediate_restart_on_the_same_port(own: Start) -> None:
    server = own()
    port = server.port
    with connections(server.address, 10) as clients:
        for client in clients:
            assert client.do("PING").value == b"PONG"
        os.kill(server.pid, signal.SIGTERM)
    assert server.wait() == 0
    again = own(port=port)
    assert again.control().do("DBSIZE").value == 0
