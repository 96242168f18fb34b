"""Commands that wait: how long, for whom, in which order, and every way in which waiting ends."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from harness.cases import (
    Ask,
    Blocked,
    Case,
    Do,
    Pipe,
    Read,
    Send,
    Shutdown,
    Silent,
    case,
    in_both_protocols,
)
from harness.client import Connection, connections
from harness.compare import Oracle
from harness.process import Server
from harness.resp import CLOSED, encode

Start = Callable[..., Server]

SHORT = [
    "0.001",
    ".01",
    "1e-3",
    "+0.005",
]
BAD = ["", "x", "1x", " 1", "1 ", "-1", "-0.1", "nan", "-inf"]
TOO_LONG = ["inf", "1e400", "1e30", "9223372036854775807", "9223372036854775.807", "1e16"]


def _at_once() -> list[Case]:
    return [
        *in_both_protocols(
            "blocking-pop-at-once",
            "RPUSH $0 a b c d",
            "RPUSH $1 e",
            "BLPOP $0 0",
            "BRPOP $0 0",
            "BLPOP $2 $1 $0 0",
            "BRPOP $2 $1 $0 1.5",
            "LRANGE $0 0 -1",
            "BLPOP $0 $0 0",
            "EXISTS $0 $1",
        ),
        case(
            "blocking-pop-errors",
            "SET $0 v",
            "RPUSH $1 a",
            "BLPOP $0 $1 0",
            "BLPOP $1 $0 0",
            "BRPOP $2 $0 0",
            "BLPOP $0 x",
            "BLPOP",
            "BLPOP $0",
            "BRPOP",
        ),
        *in_both_protocols(
            "blocking-pop-time-out",
            *(Do(("BLPOP", "blocking:none", timeout)) for timeout in SHORT),
            *(Do(("BRPOP", "blocking:none", timeout)) for timeout in BAD),
            "BLPOP $0 $1 $2 $3 0.01",
            "PING",
        ),
    ]


def _served() -> list[Case]:
    return [
        *in_both_protocols(
            "blocking-pop-served",
            Ask("BLPOP $0 $1 $2 0"),
            Blocked(),
            Silent(),
            Do("RPUSH $1 a b", on=1),
            Read(),
            Do("LRANGE $1 0 -1", on=1),
            Ask("BRPOP $0 $1 $2 0"),
            Read(),
            Ask("BRPOP $3 $2 5"),
            Blocked(),
            Do("LPUSH $3 x y z", on=1),
            Read(),
            Do("LRANGE $3 0 -1", on=1),
        ),
        case(
            "blocking-pop-first-come",
            *(step for n in range(4) for step in (Ask("BLPOP $0 $1 0", on=n), Blocked(n + 1))),
            Do("RPUSH $0 a", on=9),
            Read(),
            Do("RPUSH $0 b c", on=9),
            Read(on=1),
            Read(on=2),
            Do("RPUSH $1 d e", on=9),
            Read(on=3),
            Do("LRANGE $1 0 -1", on=9),
        ),
        case(
            "blocking-pop-other-types",
            Ask("BLPOP $0 0"),
            Blocked(),
            Do("SADD $0 a", on=1),
            Do("DEL $0", on=1),
            Do("ZADD $0 1 a", on=1),
            Silent(),
            Do("DEL $0", on=1),
            Do("RPUSH $0 b", on=1),
            Read(),
        ),
        case(
            "blocking-pop-pipeline",
            Pipe(["RPUSH $1 x", "BLPOP $0 0", "RPUSH $1 y", "PING", "LRANGE $1 0 -1"], replies=1),
            Blocked(),
            Silent(),
            Do("LRANGE $1 0 -1", on=1),
            Do("RPUSH $0 a", on=1),
            Read(4),
            Pipe(["BLPOP $0 0.01", "BLPOP $1 0.01", "BLPOP $1 0.01", "BLPOP $1 0.01", "PING"]),
        ),
        case(
            "blocking-pop-quit-behind",
            Pipe(["BLPOP $0 0", "QUIT", "PING"], replies=0),
            Blocked(),
            Do("RPUSH $0 a", on=1),
            Read(None),
        ),
        case(
            "blocking-pop-error-behind",
            Pipe(["BLPOP $0 0", "NOSUCH"], replies=0),
            Blocked(),
            Do("RPUSH $0 a", on=1),
            Read(2),
        ),
        case(
            "blocking-pop-arrivals",
            Ask("BLPOP $0 0"),
            Blocked(),
            Do("RPUSH $5 a b c", on=1),
            Do("RENAME $5 $0", on=1),
            Read(),
            Ask("BLPOP $1 0"),
            Blocked(),
            Do("COPY $0 $1", on=1),
            Read(),
            Ask("BRPOP $2 0"),
            Blocked(),
            Do("SORT $0 ALPHA STORE $2", on=1),
            Read(),
            Ask("BRPOP $3 0"),
            Blocked(),
            Do("LMOVE $0 $3 LEFT LEFT", on=1),
            Read(),
        ),
        case(
            "blocking-pop-database",
            Ask("BLPOP $0 0"),
            Blocked(),
            Do("SELECT 3", on=1),
            Do("RPUSH $0 a", on=1),
            Silent(),
            Do("MOVE $0 0", on=1),
            Read(),
            Do("RPUSH $0 b", on=1),
            Ask("BLPOP $0 0"),
            Blocked(),
            Do("SWAPDB 0 3", on=1),
            Read(),
            Do("DBSIZE", on=1),
        ),
    ]


def _ends() -> list[Case]:
    return [
        case(
            "blocking-unblock-errors",
            "CLIENT UNBLOCK",
            "CLIENT UNBLOCK x",
            "CLIENT UNBLOCK 1 x",
            "CLIENT UNBLOCK x y",
            "CLIENT UNBLOCK 1 TIMEOUT x",
            "CLIENT UNBLOCK 999999999",
            "CLIENT UNBLOCK -1",
            "CLIENT UNBLOCK 0 error",
        ),
        case(
            "blocking-malformed-behind",
            Send(b"PING\r\nBLPOP blocking:malformed 0\r\n*1\r\n$x\r\n"),
            Read(),
            Blocked(),
            Silent(),
            Do("RPUSH blocking:malformed a", on=1),
            Read(None),
        ),
        case(
            "blocking-malformed-next",
            Ask("BLPOP $0 0"),
            Blocked(),
            Send(b"*x\r\n"),
            Silent(),
            Do("RPUSH $0 a", on=1),
            Read(None),
        ),
        case(
            "blocking-turned-into-another-type",
            Ask("BLPOP $0 $1 0"),
            Blocked(),
            Do("SET $0 v", on=1),
            Do("RPUSH $1 a b", on=1),
            Read(),
            Do("LLEN $1", on=1),
        ),
        case(
            "blocking-reply-off",
            "CLIENT REPLY ON",
            Ask("CLIENT REPLY SKIP"),
            Ask("BLPOP $0 0"),
            Blocked(),
            Do("RPUSH $0 a b", on=1),
            "LRANGE $0 0 -1",
            Ask("CLIENT REPLY OFF"),
            Ask("BLPOP $1 $2 0"),
            Blocked(),
            Do("RPUSH $2 a b", on=1),
            Do("LRANGE $2 0 -1", on=1),
            Ask("BLPOP $1 0.01"),
            "CLIENT REPLY ON",
        ),
        case(
            "blocking-shutdown",
            Ask("BLPOP $0 0"),
            Blocked(),
            Shutdown(),
            Read(None),
            Blocked(0),
            Do("RPUSH $0 a", on=1),
            Do("LRANGE $0 0 -1", on=1),
        ),
        case(
            "blocking-shutdown-behind",
            Ask("BLPOP $0 0"),
            Shutdown(),
            Read(None),
            Blocked(0),
            Do("RPUSH $0 a", on=1),
            Do("LRANGE $0 0 -1", on=1),
        ),
    ]


CASES = [*_at_once(), *_served(), *_ends()]


@pytest.mark.parametrize("a_case", CASES, ids=lambda c: c.name)
def test_blocking(a_case: Case, subject: Server, oracle: Oracle) -> None:
    oracle.check(a_case, subject)


def test_time_outs_beyond_the_clock(ours: Server) -> None:
    """As 7.4: 7.0 let them wrap."""
    with ours.connect() as connection:
        for timeout in TOO_LONG:
            error = connection.do("BLPOP", "blocking:none", timeout).value
            assert error == b"ERR timeout is out of range", timeout


def test_a_time_out_is_in_time(ours: Server) -> None:
    """Not early, and what is shorter than a millisecond is not for ever."""
    with ours.connect() as connection:
        for seconds in ("0.0001", "0.003", "0.05"):
            start = time.monotonic()
            assert connection.do("BLPOP", "blocking:none", seconds).value is None
            waited = time.monotonic() - start
            assert max(float(seconds), 0.001) <= waited < float(seconds) + 1


def _await_blocked(connection: Connection, count: int) -> None:
    deadline = time.monotonic() + 10
    while b"blocked_clients:%d\r\n" % count not in connection.do("INFO", "clients").value:
        assert time.monotonic() < deadline
        time.sleep(0.002)


def _await_no_keys(connection: Connection) -> None:
    deadline = time.monotonic() + 10
    while b"total_blocking_keys:0\r\n" not in connection.do("INFO", "clients").value:
        assert time.monotonic() < deadline
        time.sleep(0.002)


def _id(connection: Connection) -> int:
    return connection.do("CLIENT", "ID").value


def _flags(control: Connection, client: int) -> str:
    line = control.do("CLIENT", "LIST", "ID", client).value.decode()
    return dict(word.split("=", 1) for word in line.split())["flags"]


def test_unblock(subject: Server) -> None:
    a, b = subject.spread(2)
    with connections(subject.address, 2) as (control, waiter):
        client = _id(waiter)
        for reason in ((), ("TIMEOUT",), ("error",)):
            assert control.do("CLIENT", "UNBLOCK", client, *reason).value == 0
            waiter.send(encode("BLPOP", a, b, 0) + encode("PING"))
            _await_blocked(control, 1)
            assert _flags(control, client) == "b"
            assert control.do("CLIENT", "UNBLOCK", client, *reason).value == 1
            assert control.do("CLIENT", "UNBLOCK", client, *reason).value == 0
            text = b"UNBLOCKED client unblocked via CLIENT UNBLOCK"
            assert waiter.read().value == (text if reason == ("error",) else None)
            assert waiter.read().value == b"PONG"
            assert _flags(control, client) == "N"
            assert control.do("RPUSH", b, "x").value == 1
            assert control.do("LPOP", b).value == b"x"


def test_kill(subject: Server) -> None:
    a, b = subject.spread(2)
    with connections(subject.address, 3) as (control, waiter, other):
        client = _id(waiter)
        waiter.send(encode("BLPOP", a, b, 0))
        _await_blocked(control, 1)
        other.send(encode("BLPOP", b, 0))
        _await_blocked(control, 2)
        assert control.do("CLIENT", "KILL", "ID", client).value == 1
        assert control.do("RPUSH", b, "x").value == 1
        assert other.read().value[1].value == b"x"
        assert waiter.read() is CLOSED
        _await_blocked(control, 0)


def test_nobody_sees_what_was_served(subject: Server) -> None:
    """An element that somebody waits for on other shards is never in the list."""
    keys = subject.spread(6)
    with connections(subject.address, 3) as (control, pusher, waiter):
        for key in keys * 3:
            waiter.send(encode("BLPOP", *keys, 0))
            _await_blocked(control, 1)
            pusher.send(encode("RPUSH", key, "x") + encode("LLEN", key))
            assert [pusher.read().value, pusher.read().value] == [1, 0]
            assert control.do("EXISTS", *keys).value == 0
            assert [item.value for item in waiter.read().value] == [key.encode(), b"x"]


def test_first_come_first_served(ours: Server) -> None:
    """Of many waiters on many shards the oldest of a key is served."""
    keys = ours.spread(3)
    with connections(ours.address, 13) as (control, *waiters):
        for count, waiter in enumerate(waiters):
            waiter.send(encode("BLPOP", *(keys[(count + i) % 3] for i in range(3)), 0))
            _await_blocked(control, count + 1)
        for count, waiter in enumerate(waiters):
            key = keys[(count * 2) % 3]
            assert control.do("RPUSH", key, count).value == 1
            assert [item.value for item in waiter.read().value] == [key.encode(), b"%d" % count]


def test_many_time_outs_at_once(ours: Server) -> None:
    count, seconds = 600, 0.4
    keys = ours.spread(3)
    with connections(ours.address, count + 1) as (control, *waiters):
        start = time.monotonic()
        for at, waiter in enumerate(waiters):
            left = max(seconds - (time.monotonic() - start), 0.001)
            waiter.send(encode("BLPOP", keys[at % 3], keys[(at + 1) % 3], f"{left:.4f}"))
        for waiter in waiters:
            assert waiter.read().value is None
        assert time.monotonic() - start < seconds + 3
        _await_blocked(control, 0)
        _await_no_keys(control)


def test_commands_that_wait_count_when_they_are_done(ours: Server) -> None:
    with connections(ours.address, 2) as (control, waiter):
        control.do("CONFIG", "RESETSTAT")

        def stats() -> list[str]:
            text = control.do("INFO", "commandstats").value.decode()
            line = next((w for w in text.split() if w.startswith("cmdstat_blpop")), "")
            return re.findall(r"(?:calls|rejected_calls|failed_calls)=\d+", line)

        waiter.send(encode("BLPOP", "counted", 0))
        _await_blocked(control, 1)
        assert stats() == []
        control.do("RPUSH", "counted", "x")
        waiter.read()
        assert stats() == ["calls=1", "rejected_calls=0", "failed_calls=0"]
        assert waiter.do("BLPOP", "counted", "0.01").value is None
        assert stats() == ["calls=2", "rejected_calls=0", "failed_calls=0"]
        client = _id(waiter)
        waiter.send(encode("BLPOP", "counted", 0))
        _await_blocked(control, 1)
        control.do("CLIENT", "UNBLOCK", client, "ERROR")
        waiter.read()
        assert stats() == ["calls=3", "rejected_calls=0", "failed_calls=1"]
        assert b"errorstat_UNBLOCKED:count=1" in control.do("INFO", "errorstats").value
        assert waiter.do("WAIT", 1, 10).value == 0
        assert b"cmdstat_wait:" not in control.do("INFO", "commandstats").value


def test_idle_clients_that_wait_stay(own: Start) -> None:
    server = own("--timeout", "1")
    with connections(server.address, 2) as (idle, waiter):
        waiter.send(encode("BLPOP", "idle", "1.8"))
        assert idle.read() is CLOSED
        assert waiter.read().value is None


def test_nobody_is_served_during_a_pause(ours: Server) -> None:
    keys = ours.spread(3)
    with connections(ours.address, 2) as (control, waiter):
        for end in ("time", "unpause"):
            waiter.send(encode("BLPOP", *keys, 0))
            _await_blocked(control, 1)
            ms = 100 if end == "time" else 100_000
            queue = (("MULTI",), ("CLIENT", "PAUSE", ms, "WRITE"), ("RPUSH", keys[2], "x"))
            control.pipeline((*queue, ("EXEC",)))
            assert waiter.silent_for(0.05)
            assert control.do("LLEN", keys[2]).value == 1
            if end == "unpause":
                control.do("CLIENT", "UNPAUSE")
            assert waiter.read().value[1].value == b"x"
            assert control.do("LLEN", keys[2]).value == 0


def test_a_transaction_serves_the_leftmost(ours: Server) -> None:
    """Keys that become ready in one step are looked at as the waiter's command has them."""
    keys = ours.spread(4)
    with connections(ours.address, 3) as (control, waiter, other):
        for _ in range(10):
            waiter.send(encode("BLPOP", *keys, 0))
            _await_blocked(control, 1)
            pushes = [("RPUSH", key, at) for at, key in enumerate(keys)]
            control.pipeline((("MULTI",), *reversed(pushes), ("EXEC",)))
            assert waiter.read().value[1].value == b"0"
            assert [other.do("LLEN", key).value for key in keys] == [0, 1, 1, 1]
            control.do("DEL", *keys)


def test_order_by_shard(own: Start) -> None:
    server = own()
    if not server.is_redis:
        server = own("--pipeline-order", "shard")
    keys = server.spread(3)
    with connections(server.address, 2) as (control, waiter):
        for key in keys:
            before = [("SET", f"{key}:{at}", at) for at in range(20)]
            behind = [("GET", f"{key}:{at}") for at in range(20)]
            commands = [*before, ("BLPOP", key, 0), *behind]
            waiter.send(b"".join(encode(*command) for command in commands))
            assert all(reply.value == b"OK" for reply in waiter.read_many(20))
            _await_blocked(control, 1)
            assert waiter.silent_for(0.01)
            assert control.do("RPUSH", key, "x").value == 1
            assert waiter.read().value[1].value == b"x"
            assert [reply.value for reply in waiter.read_many(20)] == [b"%d" % n for n in range(20)]
