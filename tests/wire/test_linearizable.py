"""Recorded histories of concurrent callers have an order that explains them.

Clients on the wire, each a thread with a connection, and callers in the process, all on the same
few keys, which lie on different shards.
"""

from __future__ import annotations

import contextlib
import importlib
import random
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from harness.client import Connection
from harness.linearize import Recorder, explain, order_of
from harness.model import AnError, Command, plain
from harness.process import C_SERVER, Server

HISTORIES = 25
CALLS_EACH = 8
WIRE_CLIENTS = 5


def _command(choose: random.Random, keys: list[str], stamp: str) -> Command:
    kind = choose.choice(["SET", "GET", "INCR", "MSET", "MGET", "MGET", "DEL"])
    key = choose.choice(keys)
    if kind == "SET":
        return ("SET", key, stamp)
    if kind == "MSET":
        return ("MSET", *(part for k in keys for part in (k, stamp)))
    if kind == "MGET":
        return ("MGET", *keys)
    return (kind, key) if kind != "DEL" else ("DEL", *choose.sample(keys, 2))


def _record(executors: list[Callable[[Command], Any]], keys: list[str], seed: int) -> Recorder:
    """Every executor in a thread of its own, all beginning at once."""
    recorder = Recorder()
    barrier = threading.Barrier(len(executors))
    failures: list[BaseException] = []

    def work(client: int) -> None:
        choose = random.Random(f"{seed}:{client}")
        try:
            barrier.wait(20)
            for number in range(CALLS_EACH):
                command = _command(choose, keys, f"{client}.{number}")
                recorder.run(client, command, executors[client])
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(executors))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not failures, failures
    assert len(recorder.calls) == len(executors) * CALLS_EACH
    return recorder


def _check(recorder: Recorder) -> None:
    assert order_of(recorder.calls) is not None, f"no order explains:\n{explain(recorder.calls)}"


def _wire(connection: Connection) -> Callable[[Command], Any]:
    return lambda command: plain(connection.do(*command))


def test_wire_clients(order_subject: Server) -> None:
    keys = order_subject.spread(3)
    clients = [order_subject.connect() for _ in range(WIRE_CLIENTS)]
    try:
        for seed in range(HISTORIES):
            assert clients[0].do("DEL", *keys).kind == "integer"
            _check(_record([_wire(client) for client in clients], keys, seed))
    finally:
        for client in clients:
            client.close()


@pytest.mark.parametrize("borrow", ["auto", "always", "never"])
@pytest.mark.parametrize("io", ["io_uring", "epoll"])
def test_callers_in_the_process(io: str, borrow: str) -> None:
    """Two connections and three threads that call `execute`, on one server."""
    if C_SERVER:
        pytest.skip("the server under test is a C program")
    kevyrt = importlib.import_module("kevyrt")

    def caller(server: Any) -> Callable[[Command], Any]:
        return lambda command: _in_process(kevyrt, server, command)

    options = {"threads": 3, "io": io, "debug_borrow": borrow, "enable_debug_command": "yes"}
    with kevyrt.Server(**options) as server, _quick_turns():
        address = ("127.0.0.1", server.port)
        keys = _keys_apart(server, 3)
        with Connection(address) as first, Connection(address) as second:
            executors = [_wire(first), _wire(second), *(caller(server) for _ in range(3))]
            for seed in range(HISTORIES):
                server.execute("DEL", *keys)
                _check(_record(executors, keys, seed))


@contextlib.contextmanager
def _quick_turns() -> Iterator[None]:
    """Threads hand the interpreter on so often that short calls overlap."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def _in_process(kevyrt: Any, server: Any, command: Command) -> Any:
    """The reply of `execute` in the words of the model."""
    try:
        reply = server.execute(*command)
    except kevyrt.ResponseError:
        return AnError
    if isinstance(reply, list):
        return tuple(reply)
    return reply.encode() if isinstance(reply, str) else reply


def _keys_apart(server: Any, count: int) -> list[str]:
    """`count` keys on different shards."""
    found: dict[int, str] = {}
    for i in range(1000):
        found.setdefault(server.execute("DEBUG", "KEVYRT-SHARD", f"key:{i}"), f"key:{i}")
        if len(found) == count:
            return list(found.values())
    raise AssertionError(f"1000 keys lie on {len(found)} shards only")
