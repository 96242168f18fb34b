"""MONITOR: what is shown, how it is written, in which order, and how it ends."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable

import pytest
from harness.cases import Case, Do, Pipe, Read, Send, Silent, case, in_both_protocols, mask_field
from harness.client import Connection, connections
from harness.compare import Oracle
from harness.process import Server
from harness.resp import CLOSED, Reply

Start = Callable[..., Server]

PATIENCE_S = 10.0
_HEAD = re.compile(rb"^(\d{10})\.\d{6} \[(\d+) (127\.0\.0\.1:\d+|unix:[^\]]+|lua|local)\] ")
_ADDRESS = re.compile(rb"127\.0\.0\.1:\d+")


def mask_line(reply: Reply) -> Reply:
    """A line without its time and address."""
    if reply.kind != "simple" or not (head := _HEAD.match(reply.value)):
        return reply
    where = _ADDRESS.sub(b"A", head[3])
    return Reply("line", b"[%s %s] %s" % (head[2], where, reply.value[head.end() :]))


def lines(count: int, on: int = 1) -> Read:
    return Read(count, on=on, mask=mask_line)


BINARY = bytes(range(256))
ID = mask_field(b"id")

CASES = [
    case("monitor-arity", "MONITOR x"),
    *in_both_protocols(
        "monitor-lines",
        Do("MONITOR", on=1),
        "PING",
        "set mk1 v",
        "GET mk1",
        "LPUSH mk1 a",
        "MSET mk1 a mk2 b mk3 c mk4 d",
        "MGET mk1 mk2 mk3 mk4",
        ("SET", "mk2", BINARY),
        ("ECHO", b""),
        ("Echo", b"\n\r\t\a\b\\\"'\x00\x7f\xff"),
        lines(9),
        Silent(on=1),
    ),
    case(
        "monitor-databases",
        Do("MONITOR", on=1),
        "SELECT 3",
        "GET mk1",
        "SELECT 99",
        "MOVE mk1 4",
        "SELECT 0",
        "SWAPDB 0 1",
        "SWAPDB 0 1",
        lines(7),
    ),
    case(
        "monitor-refused",
        Do("MONITOR", on=1),
        "NOPE a",
        "GET",
        "OBJECT NOPE",
        "CONFIG GET databases",
        "CLIENT LIST ID 0",
        "SLOWLOG GET 0",
        "DEBUG SLEEP 0",
        "CLIENT GETNAME",
        "INCRBY mk1 x",
        "ECHO x",
        lines(3),
        Silent(on=1),
    ),
    case(
        "monitor-secrets",
        Do("MONITOR", on=1),
        "AUTH secret",
        "AUTH who secret",
        "AUTH a b c",
        "auth",
        Do("HELLO 3 AUTH default secret SETNAME me", mask=ID),
        Do("HELLO 2 setname AUTH AUTH default secret", mask=ID),
        "HELLO 9 AUTH default secret",
        "HELLO x AUTH default secret",
        "HELLO 3 FOO AUTH default secret",
        "HELLO 3 AUTH secret",
        lines(9),
        Silent(on=1),
    ),
    case(
        "monitor-own",
        "MONITOR",
        Do("PING"),
        Read(1, mask=mask_line),
        Do("ECHO hello"),
        Read(1, mask=mask_line),
        "GET mk1",
        "SET mk1 v",
        "PUBLISH c m",
        "TTL mk1",
        "OBJECT HELP x",
        Pipe(["SELECT 2"], replies=1),
        Read(1, mask=mask_line),
        Silent(),
    ),
    case("monitor-again", "MONITOR", Send(b"MONITOR\r\nMONITOR\r\n"), Silent(), Do("PING")),
    case(
        "monitor-reset",
        "MONITOR",
        "RESET",
        Do("PING", on=1),
        Silent(),
        "GET mk1",
        "MONITOR",
        Do("PING", on=1),
        Read(1, mask=mask_line),
    ),
    case(
        "monitor-two",
        Do("MONITOR", on=1),
        Do("MONITOR", on=2),
        "PING",
        lines(1, on=1),
        lines(1, on=2),
        Do("RESET", on=1),
        lines(1, on=2),
        "SET mk1 v",
        lines(1, on=2),
        Silent(on=1),
    ),
    case(
        "monitor-pipeline",
        Do("MONITOR", on=1),
        Pipe([f"INCR mp{i % 7}" for i in range(200)]),
        lines(200),
    ),
    case(
        "monitor-transactions",
        Do("MONITOR", on=1),
        "MULTI",
        "SET mk1 v",
        "SELECT 2",
        "GET mk1",
        "AUTH secret",
        "INCR mk1",
        "CONFIG GET databases",
        "EXEC",
        "SELECT 0",
        "MULTI",
        "GET mk1",
        "NOPE",
        "EXEC",
        "MULTI",
        "GET mk1",
        "DISCARD",
        "WATCH mk1",
        "UNWATCH",
        "EXEC",
        lines(15),
        Silent(on=1),
    ),
    *in_both_protocols("monitor-in-transaction", "MULTI", "MONITOR", "PING", "EXEC", "GET mk1"),
    case(
        "monitor-own-transaction",
        "MONITOR",
        Pipe(["MULTI"], replies=1),
        lines(1, on=0),
        "SET mk1 v",
        "PING",
        Pipe(["EXEC"], replies=1),
        lines(1, on=0),
        Pipe(["MULTI"], replies=1),
        lines(1, on=0),
        Silent(),
    ),
    case(
        "monitor-waiting",
        Do("MONITOR", on=1),
        Send(b"BLPOP mq1 mq2 0\r\n"),
        lines(1),
        Do("RPUSH mq2 a", on=2),
        Read(1),
        lines(1),
        "BLPOP mq1 0.01",
        "WAIT 1 1",
        lines(2),
        Silent(on=1),
    ),
    case(
        "monitor-silent",
        Send(b"CLIENT REPLY OFF\r\nMONITOR\r\n"),
        Do("PING", on=1),
        Silent(),
        Do("CLIENT REPLY ON"),
    ),
]


@pytest.mark.parametrize("a_case", CASES, ids=lambda c: c.name)
def test_monitor(a_case: Case, subject: Server, oracle: Oracle) -> None:
    oracle.check(a_case, subject)


def _flags(connection: Connection, client_id: int) -> bytes:
    line = connection.do("CLIENT", "LIST", "ID", client_id).value
    return re.search(rb" flags=(\w+) ", line)[1]


def test_it_is_in_the_list_of_clients(subject: Server) -> None:
    with connections(subject.address, 2) as (monitor, other):
        client_id = monitor.do("CLIENT", "ID").value
        monitor.do("MONITOR")
        assert _flags(other, client_id) == b"O"
        assert b"id=%d " % client_id in other.do("CLIENT", "LIST", "TYPE", "normal").value
        monitor.do("RESET")
        assert _flags(other, client_id) == b"N"


def test_lines_name_the_client_wherever_it_runs(subject: Server) -> None:
    keys = subject.spread(6)
    with connections(subject.address, 2) as (monitor, other):
        own = other.do("CLIENT", "INFO").value
        address = re.search(rb" addr=(\S+) ", own)[1]
        monitor.do("MONITOR")
        before = int(time.time()) - 1
        other.pipeline([("SET", key, "v") for key in keys])
        for key in keys:
            line = monitor.read().value
            head = _HEAD.match(line)
            assert head[3] == address, line
            assert before <= int(head[1]) <= time.time() + 1
            assert line.endswith(b'] "SET" "%s" "v"' % key.encode())


def test_unix_sockets_are_named_by_their_path(subject: Server) -> None:
    path = str(subject.unix_path)
    with connections(subject.address, 1) as (monitor,), connections(path, 1) as (other,):
        monitor.do("MONITOR")
        other.do("PING")
        assert _HEAD.match(monitor.read().value)[3] == b"unix:" + path.encode()


def _write(address: tuple[str, int] | str, keys: list[str], count: int) -> None:
    with connections(address, 1) as (writer,):
        for i in range(count):
            writer.do("RPUSH", keys[i % len(keys)], i)


def test_all_monitors_see_one_order_which_is_that_of_the_data(subject: Server) -> None:
    """Lines of each key stand in the order in which its list has the elements."""
    keys = subject.spread(4)
    threads, count = 4, 150
    with connections(subject.address, 5) as (first, second, third, *_, check):
        monitors = (first, second, third)
        for monitor in monitors:
            monitor.do("MONITOR")
        writers = [
            threading.Thread(target=_write, args=(subject.address, keys, count))
            for _ in range(threads)
        ]
        for writer in writers:
            writer.start()
        seen = [monitor.read_many(threads * count) for monitor in monitors]
        for writer in writers:
            writer.join()
        assert seen[0] == seen[1] == seen[2]
        words = [line.value.split(b'"') for line in seen[0]]
        for key in keys:
            pushed = [w[5] for w in words if w[3] == key.encode()]
            assert pushed == [item.value for item in check.do("LRANGE", key, 0, -1).value]


def test_it_is_not_idle(own: Start) -> None:
    server = own("--timeout", "1")
    with connections(server.address, 1) as (monitor,):
        monitor.do("MONITOR")
        time.sleep(2.3)
        with connections(server.address, 1) as (other,):
            other.do("PING")
        assert monitor.read().value.endswith(b'"PING"')


def test_one_that_does_not_read_is_closed_at_its_limit(own: Start) -> None:
    server = own("--client-output-buffer-limit", "normal 200000 0 0")
    with connections(server.address, 2) as (monitor, other):
        monitor.do("MONITOR")
        value = b"x" * 100_000
        for _ in range(200):
            other.do("SET", "k", value)
        monitor.timeout_s = 10
        seen = 0
        while True:
            try:
                reply = monitor.read()
            except (AssertionError, ConnectionResetError):
                break
            if reply is CLOSED:
                break
            seen += 1
        assert seen < 200
        assert other.do("PING").value == b"PONG"


def test_nothing_is_left_of_those_that_end(subject: Server) -> None:
    for _ in range(20):
        with connections(subject.address, 3) as (first, second, other):
            first.do("MONITOR")
            second.do("MONITOR")
            other.do("PING")
            first.close()
            other.do("PING")
    with connections(subject.address, 1) as (other,):
        assert other.do("PING").value == b"PONG"
        end = time.monotonic() + PATIENCE_S  # the last ends may not have been seen yet
        while b"flags=O" in other.do("CLIENT", "LIST").value:
            assert time.monotonic() < end
            time.sleep(0.005)
