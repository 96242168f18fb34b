"""What goes wrong on purpose: errors, late answers, connections that end before, behind and in the
middle of an answer; on the wire, in process, and through redis-py."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis
from harness.client import Connection
from harness.resp import CLOSED, encode, encode_all
from programs import Program
from redis.backoff import NoBackoff
from redis.retry import Retry

import kevyrt

PATIENCE_S = 20.0
VARIANTS = [
    ("io_uring", 1, "auto"),
    ("epoll", 1, "auto"),
    ("io_uring", 3, "auto"),
    ("epoll", 3, "never"),
]
KEYS = [f"key:{i}" for i in range(12)]  # of all shards


@pytest.fixture(params=VARIANTS, ids=lambda variant: "-".join(map(str, variant)))
def server(request: pytest.FixtureRequest) -> Iterator[kevyrt.Server]:
    io, threads, borrow = request.param
    with kevyrt.Server(
        io=io, threads=threads, debug_borrow=borrow, enable_debug_command="yes"
    ) as running:
        yield running


@pytest.fixture
def wire(server: kevyrt.Server) -> Iterator[Connection]:
    with open_wire(server) as connection:
        yield connection


def open_wire(server: kevyrt.Server) -> Connection:
    return Connection(("127.0.0.1", server.port))


class Call(threading.Thread):
    """In a thread of its own."""

    def __init__(self, call: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self._call = call
        self.result: object = None
        self.start()

    def run(self) -> None:
        try:
            self.result = self._call()
        except BaseException as error:
            self.result = error

    def done(self) -> Any:
        self.join(PATIENCE_S)
        assert not self.is_alive(), "it waits on"
        return self.result


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def blocked(server: kevyrt.Server) -> int:
    text = server.execute("INFO", "clients").decode()
    return int(text.partition("blocked_clients:")[2].split()[0])


def received(connection: Connection) -> bytes:
    """All that comes, to the end of the stream."""
    connection.sock.settimeout(PATIENCE_S)
    data = b""
    while more := connection.sock.recv(1 << 16):
        data += more
    return data


# ---- Errors -------------------------------------------------------------------------------------


def test_an_error_instead_of_an_effect(server: kevyrt.Server, wire: Connection) -> None:
    fault = server.faults.add("incr", error="LOADING soon")
    for key in KEYS:
        assert wire.do("INCR", key).value == b"LOADING soon"
        with pytest.raises(kevyrt.LoadingError, match="LOADING soon"):
            server.execute("INCR", key)
    assert wire.do("INCRBY", KEYS[0], "1").value == 1
    assert fault.hits == 24
    fault.remove()
    assert wire.do("INCR", KEYS[0]).value == 2
    assert server.execute("DBSIZE") == 1
    assert fault.hits == 24


def test_fast_calls_in_process(server: kevyrt.Server) -> None:
    server.faults.add("GET", key="key:1*", error="ERR no")
    server.faults.add("SET", key="key:2", error="OOM no")
    for call in (server.get, lambda key: server.execute("GET", key)):
        for key in ("key:1", "key:10"):
            with pytest.raises(kevyrt.ResponseError, match="no"):
                call(key)
        assert call("key:2") is None
    with pytest.raises(kevyrt.OutOfMemoryError):
        server.set("key:2", "v")
    assert server.set("key:1", "v") is True
    server.faults.clear()
    assert server.get("key:1") == b"v"


def test_any_of_the_keys(server: kevyrt.Server, wire: Connection) -> None:
    server.faults.add(key="user:[0-9]", error="ERR no")
    assert wire.do("MSET", "a", "1", "user:5", "2", "b", "3").value == b"ERR no"
    assert wire.do("EXISTS", "a", "b").value == 0
    assert wire.do("MGET", "a", "user:", "user:x").value is not None
    assert wire.do("BLPOP", "a", "user:7", "0").value == b"ERR no"
    assert wire.do("PING").value == b"PONG"
    server.faults.add(key=b"\xff*", error="ERR bytes")
    assert wire.do("GET", b"\xff\x00").value == b"ERR bytes"


def test_whose_commands(server: kevyrt.Server, wire: Connection) -> None:
    with open_wire(server) as other, server.session() as session:
        wire.do("CLIENT", "SETNAME", "worker-1")
        session.execute("CLIENT", "SETNAME", "worker-2")
        server.faults.add("ECHO", client="worker-*", error="ERR named")
        server.faults.add("ECHO", client=other.do("CLIENT", "ID").value, error="ERR numbered")
        assert wire.do("ECHO", "x").value == b"ERR named"
        with pytest.raises(kevyrt.ResponseError, match="named"):
            session.execute("ECHO", "x")
        assert other.do("ECHO", "x").value == b"ERR numbered"
        assert server.execute("ECHO", "x") == b"x"
        session.execute("CLIENT", "SETNAME", "")
        assert session.execute("ECHO", "x") == b"x"


def test_containers(server: kevyrt.Server, wire: Connection) -> None:
    one = server.faults.add("Client List", error="ERR one", times=1)
    every = server.faults.add("client", error="ERR every")
    assert wire.do("CLIENT", "LIST").value == b"ERR one"
    assert wire.do("CLIENT", "LIST").value == b"ERR every"
    assert wire.do("CLIENT", "GETNAME").value == b"ERR every"
    assert (one.hits, every.hits) == (1, 2)
    assert not one.active
    assert every.active
    assert list(server.faults) == [every]
    assert len(server.faults) == 1


def test_what_fails_anyway_meets_none(server: kevyrt.Server, wire: Connection) -> None:
    fault = server.faults.add(error="ERR fault")
    assert "unknown command" in str(wire.do("NOSUCH").value)
    assert "wrong number" in str(wire.do("GET").value)
    assert fault.hits == 0
    assert wire.do("HELLO", "3").value == b"ERR fault"


def test_transactions(server: kevyrt.Server, wire: Connection) -> None:
    fault = server.faults.add("SET", error="ERR queued")
    replies = wire.pipeline([("MULTI",), ("INCR", KEYS[0]), ("SET", KEYS[1], "1"), ("EXEC",)])
    assert [reply.value for reply in replies[:3]] == [b"OK", b"QUEUED", b"ERR queued"]
    assert replies[3].value.startswith(b"EXECABORT")
    assert wire.do("EXISTS", *KEYS[:2]).value == 0
    fault.remove()
    exec_fault = server.faults.add("EXEC", error="TRYAGAIN later")
    replies = wire.pipeline([("MULTI",), ("INCR", KEYS[0]), ("EXEC",), ("PING",)])
    assert replies[2].value.startswith(b"EXECABORT")
    assert wire.do("EXISTS", KEYS[0]).value == 0
    assert exec_fault.hits == 1


def test_what_was_queued_before_runs(server: kevyrt.Server, wire: Connection) -> None:
    wire.pipeline([("MULTI",), ("INCR", KEYS[0]), ("INCR", KEYS[1])])
    fault = server.faults.add("INCR", error="ERR no")
    assert [reply.value for reply in wire.do("EXEC").value] == [1, 1]
    assert fault.hits == 0


# ---- Ends of connections ------------------------------------------------------------------------


def test_drop_before_and_after(server: kevyrt.Server) -> None:
    for key in KEYS:
        for drop, count in (("before", b"1"), ("after", b"2")):
            server.set(key, 1)
            fault = server.faults.add("INCR", key=key, drop=drop, times=1)
            with open_wire(server) as connection:
                connection.send(
                    encode_all([("PING",), ("GET", key), ("INCR", key), ("SET", "behind", "x")])
                )
                assert received(connection) == b"+PONG\r\n$1\r\n1\r\n"
            assert fault.hits == 1
            assert server.get(key) == count
            assert server.get("behind") is None


def test_calls_in_process_have_no_connection(server: kevyrt.Server) -> None:
    before = server.faults.add("INCR", drop="before")
    torn = server.faults.add("INCR", after_bytes=1)
    assert server.execute("INCR", "k") == 1
    with server.session() as session:
        assert session.execute("INCR", "k") == 2
    assert (before.hits, torn.hits) == (0, 0)


@pytest.mark.parametrize("size", [10, 5000, 300_000, 2_000_000])
def test_torn_answers(server: kevyrt.Server, size: int) -> None:
    value = bytes(range(256)) * (size // 256 + 1)
    server.set("k", value)
    whole = b"$%d\r\n%s\r\n" % (len(value), value)
    for count in (0, 1, 4, len(whole) // 2, len(whole) - 1, len(whole), len(whole) + 10):
        server.faults.add("GET", after_bytes=count, times=1)
        with open_wire(server) as connection:
            connection.send(encode_all([("PING",), ("GET", "k"), ("PING",)]))
            assert received(connection) == b"+PONG\r\n" + whole[:count]


def test_torn_arrays(server: kevyrt.Server) -> None:
    for key in KEYS:
        server.set(key, "v")
    server.faults.add("MGET", after_bytes=11)
    with open_wire(server) as connection:
        connection.send(encode("MGET", *KEYS))
        assert received(connection) == b"*12\r\n$1\r\nv\r"


def test_the_end_of_a_transaction(server: kevyrt.Server) -> None:
    server.faults.add("EXEC", drop="after")
    with open_wire(server) as connection:
        connection.send(encode_all([("MULTI",), ("SET", "k", "v"), ("EXEC",)]))
        assert received(connection) == b"+OK\r\n+QUEUED\r\n"
    assert server.get("k") == b"v"


def test_who_hears_nothing_anyway(server: kevyrt.Server) -> None:
    server.faults.add("SET", drop="after")
    with open_wire(server) as connection:
        connection.send(encode_all([("CLIENT", "REPLY", "OFF"), ("SET", "k", "v"), ("PING",)]))
        assert received(connection) == b""
    assert server.get("k") == b"v"


def test_subscribers(server: kevyrt.Server) -> None:
    """Their commands meet faults; what they are told does not."""
    server.faults.add("SUBSCRIBE", after_bytes=5, key=None, client="torn")
    with open_wire(server) as whole, open_wire(server) as torn:
        whole.do("SUBSCRIBE", "c")
        torn.do("CLIENT", "SETNAME", "torn")
        torn.send(encode("SUBSCRIBE", "c"))
        assert len(received(torn)) == 5
        eventually(lambda: server.execute("PUBLISH", "c", "hello") == 1)
        assert whole.read().value[2].value == b"hello"


# ---- Late answers -------------------------------------------------------------------------------


def test_commands_behind_it_wait(server: kevyrt.Server, wire: Connection) -> None:
    server.clock.freeze()
    fault = server.faults.add("INCR", delay=10)
    for key in KEYS[:4]:
        wire.send(encode_all([("ECHO", "a"), ("INCR", key), ("INCR", key), ("ECHO", "b")]))
        assert wire.read().value == b"a"
        with open_wire(server) as other:
            eventually(lambda key=key: server.get(key) == b"1")
            assert other.do("GET", key).value == b"1"
        server.clock.advance(9.999)
        assert wire.silent_for(0.01)
        server.clock.advance(0.001)
        assert wire.read().value == 1
        eventually(lambda key=key: server.get(key) == b"2")
        server.clock.advance(timedelta(seconds=10))
        assert [reply.value for reply in wire.read_many(2)] == [2, b"b"]
    assert fault.hits == 8


def test_real_time(server: kevyrt.Server, wire: Connection) -> None:
    server.faults.add("PING", delay=0.05)
    for call in (lambda: wire.do("PING").value, lambda: server.execute("PING")):
        begun = time.monotonic()
        assert call() in (b"PONG", "PONG")
        assert time.monotonic() - begun >= 0.05


METHODS: list[tuple[str, tuple[Any, ...], Any]] = [
    ("set", ("k", 1), True),
    ("get", ("k",), b"1"),
    ("incr", ("k",), 2),
    ("exists", ("k", "none"), 1),
    ("expire", ("k", 100), True),
    ("ttl", ("k",), 100),
    ("mset", ({"a": 1, "b": 2},), True),
    ("mget", (["a", "b"],), [b"1", b"2"]),
    ("hset", ("h", "f", "v"), 1),
    ("hget", ("h", "f"), b"v"),
    ("lpush", ("l", "x", "y"), 2),
    ("rpop", ("l",), b"x"),
    ("sadd", ("s", "m"), 1),
    ("zadd", ("z", {"m": 1}), 1),
    ("delete", ("k", "a"), 2),
]


def test_every_way_in_process(server: kevyrt.Server) -> None:
    """Whatever is quick as a rule can be late, and an error."""
    late = server.faults.add(delay=0.002)
    for method, arguments, result in METHODS:
        assert getattr(server, method)(*arguments) == result
    server["k"] = "v" * 10_000
    assert server["k"] == b"v" * 10_000
    assert "k" in server
    view = server.get_view("k")
    assert view is not None
    assert len(view) == 10_000
    assert server.database(1).get("k") is None
    with server.session() as session:
        assert session.get("k") == b"v" * 10_000
    assert late.hits >= len(METHODS) + 5
    server.flushall()
    assert asyncio.run(every_method_of(server.aio)) == [result for _, _, result in METHODS]
    server.faults.clear()
    server.faults.add(error="ERR no")
    for method, arguments, _ in METHODS:
        with pytest.raises(kevyrt.ResponseError, match="no"):
            getattr(server, method)(*arguments)


async def every_method_of(aio: Any) -> list[object]:
    return [await getattr(aio, method)(*arguments) for method, arguments, _ in METHODS]


def test_late_in_process(server: kevyrt.Server) -> None:
    server.clock.freeze()
    server.faults.add("GET", delay=5)
    server.faults.add("INCR", delay=10)
    server.set("k", 7)
    with server.session() as session:
        calls = [
            Call(lambda: server.get("k")),
            Call(lambda: server.execute("INCR", "n")),
            Call(lambda: session.execute("GET", "k")),
        ]
        eventually(lambda: server.execute("EXISTS", "n") == 1)
        server.clock.advance(4)
        assert all(call.is_alive() for call in calls)
        eventually(lambda: server.execute("EXISTS", "n") == 1)
        time.sleep(0.01)
        server.clock.advance(2)
        server.clock.advance(10)
        assert [call.done() for call in calls] == [b"7", 1, b"7"]


def test_other_faults_come_late(server: kevyrt.Server) -> None:
    server.clock.freeze()
    server.faults.add("GET", delay=5, error="ERR late")
    server.faults.add("SET", delay=5, drop="before")
    server.faults.add("INCR", delay=5, after_bytes=2)
    call = Call(lambda: server.get("k"))
    connections = [open_wire(server) for _ in range(3)]
    for connection, words in zip(
        connections, [("GET", "k"), ("SET", "k", "v"), ("INCR", "n")], strict=True
    ):
        connection.send(encode(*words))
    # None of them waits: they have their answers.
    eventually(lambda: sum(fault.hits for fault in server.faults) == 4)
    assert connections[1].silent_for(0.01)
    server.clock.advance(5)
    assert isinstance(call.done(), kevyrt.ResponseError)
    assert connections[0].read().value == b"ERR late"
    assert received(connections[1]) == b""
    assert received(connections[2]) == b":1"
    assert server.execute("EXISTS", "k", "n") == 1
    for connection in connections:
        connection.close()


def test_late_in_a_transaction(server: kevyrt.Server, wire: Connection) -> None:
    server.clock.freeze()
    server.faults.add("SET", delay=1)
    server.faults.add("EXEC", delay=1)
    wire.send(encode_all([("MULTI",), ("SET", "k", "v"), ("EXEC",), ("PING",)]))
    assert wire.read().value == b"OK"
    assert wire.silent_for(0.01)
    assert server.execute("EXISTS", "k") == 0
    server.clock.advance(1)
    assert wire.read().value == b"QUEUED"
    eventually(lambda: server.execute("EXISTS", "k") == 1)
    assert wire.silent_for(0.01)
    server.clock.advance(1)
    assert [reply.value for reply in wire.read().value] == [b"OK"]
    assert wire.read().value == b"PONG"


def test_late_is_told_to_no_one_who_left(server: kevyrt.Server) -> None:
    server.clock.freeze()
    fault = server.faults.add("INCR", delay=3600)
    connections = [open_wire(server) for _ in range(10)]
    for connection in connections:
        connection.send(encode("INCR", "n"))
    eventually(lambda: fault.hits == 10)
    for connection in connections[:5]:
        connection.close()
    assert server.execute("CLIENT", "KILL", "TYPE", "normal") >= 5
    for connection in connections[5:]:
        assert connection.read() is CLOSED
        connection.close()
    server.clock.advance(3600)
    assert server.get("n") == b"10"


def test_unblock_leaves_late_answers_alone(server: kevyrt.Server, wire: Connection) -> None:
    server.clock.freeze()
    number = wire.do("CLIENT", "ID").value
    fault = server.faults.add("GET", delay=1)
    wire.send(encode("GET", "k"))
    eventually(lambda: fault.hits == 1)
    assert server.execute("CLIENT", "UNBLOCK", number) == 0
    server.clock.advance(1)
    assert wire.read().value is None


def test_the_stop_gives_late_answers() -> None:
    server = kevyrt.Server().start()
    server.clock.freeze()
    fault = server.faults.add("INCR", delay=1)
    with open_wire(server) as wire:
        wire.send(encode("INCR", "n"))
        call = Call(lambda: server.execute("INCR", "m"))
        eventually(lambda: fault.hits == 2)
        server.stop()
        assert call.done() == 1
        assert wire.read() is CLOSED


# ---- Who waits for data -------------------------------------------------------------------------


def test_late_answers_of_who_waited(server: kevyrt.Server, wire: Connection) -> None:
    server.clock.freeze()
    server.faults.add("BLPOP", delay=5)
    wire.send(encode_all([("BLPOP", "q", "60"), ("PING",)]))
    eventually(lambda: blocked(server) == 1)
    call = Call(lambda: server.execute("BLPOP", "r", 60))
    eventually(lambda: blocked(server) == 2)
    server.execute("RPUSH", "q", "x")
    server.execute("RPUSH", "r", "y")
    assert blocked(server) == 0
    assert server.execute("EXISTS", "q", "r") == 0
    server.clock.advance(4)
    assert wire.silent_for(0.01)
    assert call.is_alive()
    time.sleep(0.01)
    server.clock.advance(5)
    assert wire.read().value[1].value == b"x"
    assert wire.read().value == b"PONG"
    assert call.done() == [b"r", b"y"]


def test_late_time_outs(server: kevyrt.Server, wire: Connection) -> None:
    server.clock.freeze()
    server.faults.add("BLPOP", delay=5)
    wire.send(encode("BLPOP", "q", "60"))
    call = Call(lambda: server.execute("BLPOP", "q", 60))
    eventually(lambda: blocked(server) == 2)
    server.clock.advance(60)
    eventually(lambda: blocked(server) == 0)
    assert wire.silent_for(0.01)
    assert call.is_alive()
    server.clock.advance(5)
    assert wire.read().value is None
    assert call.done() is None


def test_ends_of_who_waited(server: kevyrt.Server) -> None:
    for i, fault in enumerate(({"drop": "after"}, {"after_bytes": 7}, {"drop": "before"})):
        server.faults.add("BLPOP", **fault, times=1)
        with open_wire(server) as connection:
            connection.send(encode("BLPOP", "q", "0"))
            if i < 2:
                eventually(lambda: blocked(server) == 1)
                server.execute("RPUSH", "q", "x")
            assert received(connection) == (b"", b"*2\r\n$1\r", b"")[i]
        assert server.execute("EXISTS", "q") == 0
    server.execute("RPUSH", "q", "x")
    server.faults.add("BLPOP", drop="before", times=1)
    with open_wire(server) as connection:
        connection.send(encode("BLPOP", "q", "0"))
        assert received(connection) == b""
    assert server.execute("LLEN", "q") == 1


# ---- The list -----------------------------------------------------------------------------------


def test_times(server: kevyrt.Server, wire: Connection) -> None:
    fault = server.faults.add("PING", error="ERR no", times=3)
    answers = [reply.value for reply in wire.pipeline([("PING",)] * 5)]
    assert answers == [b"ERR no"] * 3 + [b"PONG"] * 2
    assert fault.hits == 3
    assert not fault.active
    assert list(server.faults) == []


def test_times_of_many_threads(server: kevyrt.Server) -> None:
    fault = server.faults.add("INCR", error="ERR no", times=500)

    def count() -> int:
        failed = 0
        for i in range(400):
            try:
                server.execute("INCR", KEYS[i % len(KEYS)])
            except kevyrt.ResponseError:
                failed += 1
        return failed

    calls = [Call(count) for _ in range(3)]
    assert sum(call.done() for call in calls) == 500
    assert fault.hits == 500
    assert sum(int(server.get(key) or 0) for key in KEYS) == 700


def test_the_first_is_met(server: kevyrt.Server) -> None:
    first = server.faults.add("GET", error="ERR first")
    second = server.faults.add(error="ERR second")
    with pytest.raises(kevyrt.ResponseError, match="first"):
        server.get("k")
    first.remove()
    first.remove()
    assert not first.active
    with pytest.raises(kevyrt.ResponseError, match="second"):
        server.get("k")
    server.faults.clear()
    assert server.get("k") is None
    assert not second.active
    assert (first.hits, second.hits) == (1, 1)


def test_before_the_start_and_over_a_stop() -> None:
    server = kevyrt.Server()
    fault = server.faults.add("GET", error="ERR no")
    for _ in range(2):
        with server, open_wire(server) as wire:
            with pytest.raises(kevyrt.ResponseError):
                server.get("k")
            assert wire.do("GET", "k").value == b"ERR no"
    assert fault.hits == 4
    fault.remove()
    with server:
        assert server.get("k") is None


def test_a_fault_does_not_keep_the_server() -> None:
    server = kevyrt.Server()
    fault = server.faults.add("GET", error="ERR no")
    del server
    assert fault.hits == 0
    fault.remove()


def test_renamed_commands() -> None:
    with kevyrt.Server(rename_command="GET FETCH") as server:
        with pytest.raises(ValueError, match="no command 'GET'"):
            server.faults.add("GET", error="ERR no")
        server.faults.add("FETCH", error="ERR no")
        with pytest.raises(kevyrt.ResponseError, match="no"):
            server.execute("FETCH", "k")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "does something"),
        ({"command": "GET"}, "does something"),
        ({"command": "GET", "times": 3}, "does something"),
        ({"delay": 0}, "does something"),
        ({"command": "NOSUCH", "error": "ERR"}, "no command 'NOSUCH'"),
        ({"command": "CLIENT NOSUCH", "error": "ERR"}, "no command"),
        ({"command": "", "error": "ERR"}, "no command"),
        ({"error": ""}, "code in capitals"),
        ({"error": "no code"}, "code in capitals"),
        ({"error": "ERR two\r\nlines"}, "code in capitals"),
        ({"error": "ERR no", "drop": "before"}, "either drop or error"),
        ({"drop": "after", "after_bytes": 3}, "either drop or after_bytes"),
        ({"drop": "later"}, "'before' or 'after'"),
        ({"drop": True}, "'before' or 'after'"),
        ({"after_bytes": -1}, "at least 0"),
        ({"error": "ERR", "times": 0}, "at least 1"),
        ({"error": "ERR", "client": -5}, "at least 1"),
        ({"delay": -1}, "negative"),
        ({"delay": float("nan")}, "number"),
    ],
)
def test_impossible_faults(arguments: dict[str, Any], message: str) -> None:
    server = kevyrt.Server()
    with pytest.raises(ValueError, match=message):
        server.faults.add(**arguments)
    assert len(server.faults) == 0


@pytest.mark.parametrize(
    "arguments",
    [
        {"command": b"GET"},
        {"key": 3},
        {"client": 1.5},
        {"client": True},
        {"delay": "1"},
        {"error": b"ERR"},
        {"after_bytes": 1.0},
        {"times": True},
    ],
)
def test_wrong_types(arguments: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        kevyrt.Server().faults.add(**{"drop": "before"} | arguments)


def test_in_a_child(program: Program) -> None:
    program(
        """
import os
import kevyrt
server = kevyrt.Server().start()
fault = server.faults.add("GET", error="ERR no")
child = os.fork()
if not child:
    for use in (server.faults.clear, fault.remove, lambda: server.faults.add("GET", error="ERR")):
        try:
            use()
        except kevyrt.ForkedError:
            continue
        os._exit(1)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
server.stop()
"""
    )


# ---- Pipelines in process -----------------------------------------------------------------------


def test_pipelines(server: kevyrt.Server) -> None:
    server.clock.freeze()
    server.faults.add("GET", key=KEYS[3], error="ERR no")
    server.faults.add("SET", delay=2)
    with server.pipeline(transaction=False) as pipeline:
        for key in KEYS[:5]:
            pipeline.set(key, "v")
            pipeline.get(key)
        call = Call(lambda: pipeline.execute(raise_on_error=False))
        eventually(lambda: server.execute("EXISTS", *KEYS[:5]) == 5)
        time.sleep(0.01)
        server.clock.advance(9)
        time.sleep(0.01)
        assert call.is_alive()
        server.clock.advance(10)
        result = call.done()
    assert isinstance(result.pop(7), kevyrt.ResponseError)
    assert result == [True, b"v"] * 3 + [True, True, b"v"]


def test_late_transactions(server: kevyrt.Server) -> None:
    server.clock.freeze()
    server.faults.add("SET", delay=2)
    server.faults.add("EXEC", delay=1)
    with server.pipeline() as transaction:
        call = Call(transaction.set(KEYS[0], "v").set(KEYS[1], "v").execute)
        eventually(lambda: server.execute("EXISTS", *KEYS[:2]) == 2)
        time.sleep(0.01)
        server.clock.advance(4)
        time.sleep(0.01)
        assert call.is_alive()
        server.clock.advance(5)
        assert call.done() == [True, True]


def test_atomic_pipelines(server: kevyrt.Server) -> None:
    server.faults.add("GET", key=KEYS[3], error="ERR queued")
    with server.pipeline() as transaction, pytest.raises(kevyrt.ResponseError, match="queued"):
        transaction.set(KEYS[0], "v")
        transaction.get(KEYS[3])
        transaction.execute()
    assert server.execute("EXISTS", KEYS[0]) == 0


# ---- asyncio ------------------------------------------------------------------------------------


async def soon(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)


def test_tasks(server: kevyrt.Server) -> None:
    """Late answers are futures, by the server's clock, and other tasks run meanwhile."""

    async def run() -> None:
        server.clock.freeze()
        late = server.faults.add("GET", delay=5)
        server.faults.add("DEL", error="ERR no")
        server.set("k", "v")
        tasks = [asyncio.ensure_future(server.aio.get("k")) for _ in range(3)]
        tasks.append(asyncio.ensure_future(server.aio.blpop("q", 5)))
        await soon(lambda: late.hits == 3 and blocked(server) == 1)
        with pytest.raises(kevyrt.ResponseError, match="no"):
            await server.aio.delete("k")
        server.clock.advance(4.999)
        await asyncio.sleep(0.01)
        assert not any(task.done() for task in tasks)
        server.clock.advance(0.001)
        assert await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE_S) == [b"v"] * 3 + [None]

    asyncio.run(run())


def test_a_cancel_of_what_is_late(server: kevyrt.Server) -> None:
    """It has happened already: the cancel loses, as for what was popped."""

    async def run() -> None:
        server.clock.freeze()
        late = server.faults.add("LPUSH", delay=5)
        task = asyncio.ensure_future(server.aio.lpush("k", "v"))
        await soon(lambda: late.hits == 1)
        await asyncio.sleep(0.01)
        task.cancel()
        assert await task == 1

    asyncio.run(run())
    assert server.execute("LLEN", "k") == 1


# ---- redis-py -----------------------------------------------------------------------------------


@pytest.fixture
def client(server: kevyrt.Server) -> Iterator[redis.Redis]:
    with redis.Redis(port=server.port, retry=Retry(NoBackoff(), 0)) as connected:
        yield connected


def test_redis_py_raises(server: kevyrt.Server, client: redis.Redis) -> None:
    client.set("k", "v" * 100)
    server.faults.add("GET", drop="before", times=1)
    with pytest.raises(redis.ConnectionError):
        client.get("k")
    server.faults.add("GET", after_bytes=50, times=1)
    with pytest.raises(redis.ConnectionError):
        client.get("k")
    server.faults.add("GET", error="LOADING Redis is loading the dataset in memory", times=1)
    with pytest.raises(redis.BusyLoadingError):
        client.get("k")
    server.faults.add("GET", error="READONLY no", times=1)
    with pytest.raises(redis.ReadOnlyError):
        client.get("k")
    assert client.get("k") == b"v" * 100


def test_did_my_increment_count(server: kevyrt.Server) -> None:
    """The client tries again. Whether the first attempt had its effect it cannot know."""
    with redis.Redis(port=server.port, retry=Retry(NoBackoff(), 3)) as client:
        server.faults.add("INCRBY", drop="before", times=2)
        assert client.incr("n") == 1
        server.faults.add("INCRBY", drop="after", times=2)
        assert client.incr("n") == 4


def test_redis_py_times_out(server: kevyrt.Server) -> None:
    server.clock.freeze()
    server.faults.add("INCRBY", delay=1, times=1)
    with redis.Redis(port=server.port, retry=Retry(NoBackoff(), 0), socket_timeout=0.05) as client:
        with pytest.raises(redis.TimeoutError):
            client.incr("n")
        assert client.incr("n") == 2


def test_redis_py_transactions(server: kevyrt.Server, client: redis.Redis) -> None:
    server.faults.add("SET", error="ERR no")
    with client.pipeline(transaction=True) as pipeline, pytest.raises(redis.ResponseError):
        pipeline.incr("n").set("k", "v").execute()
    assert client.exists("n", "k") == 0
    with client.pipeline(transaction=False) as pipeline:
        n, k = pipeline.incr("n").set("k", "v").execute(raise_on_error=False)
        assert n == 1
        assert isinstance(k, redis.ResponseError)


def test_redis_py_without_a_network(server: kevyrt.Server) -> None:
    server.faults.add("GET", after_bytes=1, times=1)
    with server.client(retry=Retry(NoBackoff(), 0)) as client:
        with pytest.raises(redis.ConnectionError):
            client.get("k")
        assert client.get("k") is None
