"""SLOWLOG: what is logged, how it is shown, and that nothing slow is missed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from harness.cases import (
    MASKED,
    Begin,
    Case,
    Do,
    Mask,
    Pipe,
    Read,
    case,
    in_both_protocols,
    mask_field,
)
from harness.client import Connection, connections
from harness.compare import Oracle
from harness.process import Server
from harness.resp import Reply

Start = Callable[..., Server]

ON = "CONFIG SET slowlog-log-slower-than 0"
OFF = "CONFIG SET slowlog-log-slower-than 10000 slowlog-max-len 128"


def mask_entries(reply: Reply) -> Reply:
    """Without ids, times and addresses."""
    return _masked(reply, {0, 1, 2, 4})


def _masked(reply: Reply, hidden: set[int]) -> Reply:
    if reply.kind != "array":
        return reply
    entries = []
    for entry in reply.value:
        fields = [MASKED if i in hidden else field for i, field in enumerate(entry.value)]
        entries.append(Reply("array", tuple(fields)))
    return Reply("array", tuple(entries))


def get(count: int | str = "", mask: Mask = mask_entries) -> Do:
    return Do(f"SLOWLOG GET {count}".strip(), mask=mask)


WAITING = {b"BLPOP", b"BLMOVE", b"BZPOPMIN", b"XREAD", b"XREADGROUP", b"WAIT"}


def mask_all_but_waiting(reply: Reply) -> Reply:
    """Commands that may wait, among those of whoever looks whether they do."""
    entries = (e for e in reply.value if e.value[3].value[0].value in WAITING)
    return mask_entries(Reply("array", tuple(entries)))


def get_waiting() -> Do:
    return get(-1, mask=mask_all_but_waiting)


LONG = b"y" * 129
ID = mask_field(b"id")

CASES = [
    case(
        "slowlog-errors",
        "SLOWLOG",
        "SLOWLOG NOPE",
        "SLOWLOG GET x",
        "SLOWLOG GET -2",
        "SLOWLOG GET 1.5",
        "SLOWLOG GET 99999999999999999999",
        "SLOWLOG GET 1 2",
        "SLOWLOG LEN x",
        "SLOWLOG RESET x",
        "SLOWLOG HELP x",
        "SLOWLOG HELP",
        "SLOWLOG RESET",
    ),
    *in_both_protocols(
        "slowlog-entries",
        "SLOWLOG RESET",
        "SLOWLOG LEN",
        ON,
        "SET sk1 v",
        "GET sk1",
        "LPUSH sk1 a",
        "MSET sk1 a sk2 b sk3 c",
        ("SET", "sk2", b"\x00\xff\r\n"),
        ("ECHO", b"x" * 128),
        ("ECHO", LONG),
        ("ECHO", LONG * 10),
        ["MGET", *(f"m{i}" for i in range(31))],
        ["MGET", *(f"m{i}" for i in range(32))],
        ["DEL", *(f"m{i}" for i in range(100))],
        "CLIENT SETNAME me",
        "NOPE",
        "GET",
        "PING",
        get(100),
        "SLOWLOG LEN",
        get(),
        get(3),
        get(0),
        get(-1),
        "CLIENT SETNAME ''",
        OFF,
        "SLOWLOG RESET",
        "SLOWLOG LEN",
    ),
    case(
        "slowlog-secrets",
        "SLOWLOG RESET",
        ON,
        "AUTH secret",
        "AUTH default secret",
        Do("HELLO 2 AUTH default secret SETNAME me", mask=ID),
        "CONFIG SET masterauth secret",
        "CONFIG SET masterauth ''",
        "CLIENT SETNAME ''",
        get(),
        OFF,
    ),
    case(
        "slowlog-length",
        "SLOWLOG RESET",
        ON,
        "CONFIG SET slowlog-max-len 3",
        "PING",
        "PING",
        "PING",
        "SLOWLOG LEN",
        get(),
        "CONFIG SET slowlog-max-len 1",
        "SLOWLOG LEN",
        "CONFIG SET slowlog-log-slower-than -1",
        "CONFIG SET slowlog-max-len 128",
        "SLOWLOG RESET",
        "PING",
        "SLOWLOG LEN",
        OFF,
    ),
    case(
        "slowlog-none",
        "SLOWLOG RESET",
        ON,
        "PING",
        "CONFIG SET slowlog-max-len 0",
        "PING",
        "SLOWLOG LEN",
        OFF,
        "SLOWLOG RESET",
    ),
    case(
        "slowlog-threshold",
        "SLOWLOG RESET",
        OFF,
        "PING",
        "DEBUG SLEEP 0.001",
        "SLOWLOG LEN",
        "DEBUG SLEEP 0.02",
        "SLOWLOG LEN",
        get(),
        "CONFIG SET slowlog-log-slower-than 100000",
        "DEBUG SLEEP 0.02",
        "SLOWLOG LEN",
        OFF,
        "SLOWLOG RESET",
    ),
    case(
        "slowlog-transactions",
        "SLOWLOG RESET",
        ON,
        "MULTI",
        "SET sk1 v",
        "GET sk1",
        "PING",
        "EXEC",
        "MULTI",
        "DISCARD",
        get(),
        OFF,
        "SLOWLOG RESET",
    ),
    case(
        "slowlog-slow-transaction",
        "SLOWLOG RESET",
        OFF,
        "MULTI",
        "PING",
        "DEBUG SLEEP 0.02",
        "PING",
        "EXEC",
        get(),
        "SLOWLOG RESET",
    ),
    case(
        "slowlog-pipeline",
        "SLOWLOG RESET",
        OFF,
        Pipe(["SET sk1 v", *["GET sk1"] * 40, "DEBUG SLEEP 0.02", *["GET sk1"] * 40]),
        get(),
        "SLOWLOG RESET",
    ),
    case(
        "slowlog-served",
        "SLOWLOG RESET",
        ON,
        Begin("BLPOP $0 $1 0", on=1),
        get_waiting(),
        "RPUSH $1 a",
        Read(on=1),
        Begin("BLMOVE $0 $1 LEFT RIGHT 0", on=1),
        "RPUSH $0 a",
        Read(on=1),
        Begin("XREAD COUNT 3 BLOCK 0 STREAMS $2 $3 $4 $ 0 $", on=1),
        "XADD $3 1-1 f v",
        Read(on=1),
        get_waiting(),
        OFF,
        "SLOWLOG RESET",
    ),
    case(
        "slowlog-timed-out",
        "SLOWLOG RESET",
        ON,
        "XGROUP CREATE $5 g $ MKSTREAM",
        "BLPOP $0 $1 0.01",
        "BLMOVE $0 $1 LEFT RIGHT 0.01",
        "BZPOPMIN $2 0.01",
        "XREAD BLOCK 10 STREAMS $2 $3 $ 0",
        "XREADGROUP GROUP g c BLOCK 10 STREAMS $5 >",
        "WAIT 1 10",
        get_waiting(),
        OFF,
        "SLOWLOG RESET",
    ),
]


@pytest.mark.parametrize("a_case", CASES, ids=lambda c: c.name)
def test_slowlog(a_case: Case, subject: Server, oracle: Oracle) -> None:
    oracle.check(a_case, subject)


@contextmanager
def _logging(server: Server, us: int) -> Iterator[Connection]:
    with connections(server.address, 1) as (control,):
        control.do("SLOWLOG", "RESET")
        control.do("CONFIG", "SET", "slowlog-log-slower-than", us)
        yield control
        control.do("CONFIG", "SET", "slowlog-log-slower-than", 10000, "slowlog-max-len", 128)
        control.do("SLOWLOG", "RESET")


def _entries(control: Connection) -> list[tuple]:
    return [tuple(f.value for f in e.value) for e in control.do("SLOWLOG", "GET", -1).value]


def test_ids_rise_and_times_are_told(subject: Server) -> None:
    keys = subject.spread(6)
    with _logging(subject, 0) as control, connections(subject.address, 1) as (other,):
        other.do("CLIENT", "SETNAME", "somebody")
        address = other.do("CLIENT", "INFO").value.split(b" addr=")[1].split(b" ")[0]
        control.do("SLOWLOG", "RESET")
        other.pipeline([("SET", key, "v") for key in keys])
        entries = [e for e in _entries(control) if e[3][0].value == b"SET"]
        assert [e[3][1].value.decode() for e in entries] == keys[::-1]
        ids = [e[0] for e in entries]
        assert ids == sorted(set(ids), reverse=True)
        for entry in entries:
            assert abs(entry[1] - time.time()) < 5
            assert 0 <= entry[2] < 1_000_000
            assert entry[4:] == (address, b"somebody")


def test_who_waits_is_logged_once_and_without_the_waiting(subject: Server) -> None:
    with _logging(subject, 0) as control, connections(subject.address, 1) as (waiter,):
        waiter.do("CLIENT", "SETNAME", "who")
        waiter.send(b"BLPOP sq1 sq2 0\r\n")
        time.sleep(0.1)
        assert not [e for e in _entries(control) if e[3][0].value == b"BLPOP"]
        control.do("RPUSH", "sq2", "a")
        assert waiter.read().kind == "array"
        (entry,) = [e for e in _entries(control) if e[3][0].value == b"BLPOP"]
        assert [word.value for word in entry[3]] == [b"BLPOP", b"sq1", b"sq2", b"0"]
        assert entry[2] < 50_000
        assert entry[5] == b"who"


@pytest.mark.parametrize("reason", ["TIMEOUT", "ERROR"])
def test_who_is_unblocked_is_logged(reason: str, ours: Server) -> None:
    """Redis 7.0 does not log this, 7.4 does."""
    with _logging(ours, 0) as control, connections(ours.address, 1) as (waiter,):
        waiter.do("CLIENT", "SETNAME", "who")
        number = waiter.do("CLIENT", "ID").value
        waiter.send(b"XREAD BLOCK 0 STREAMS sq1 sq2 $ 7\r\n")
        while not control.do("CLIENT", "UNBLOCK", number, reason).value:
            time.sleep(0.01)
        assert waiter.read().kind == ("null-array" if reason == "TIMEOUT" else "error")
        (entry,) = [e for e in _entries(control) if e[3][0].value == b"XREAD"]
        assert b" ".join(w.value for w in entry[3]) == b"XREAD BLOCK 0 STREAMS sq1 sq2 $ 7"
        assert entry[2] < 50_000
        assert entry[5] == b"who"


def test_what_is_slow_is_found_among_what_is_not_measured(subject: Server) -> None:
    """Most of these are short, so that their times are sampled; one of them is not."""
    with _logging(subject, 1000) as control, connections(subject.address, 1) as (other,):
        other.pipeline([("SADD", "large", *range(i, i + 1000)) for i in range(0, 150_000, 1000)])
        other.pipeline([("SADD", f"small{i}", "a", "b") for i in range(10)])
        for round_ in range(8):
            names = [f"small{i % 10}" for i in range(40 + round_)]
            other.pipeline([("SINTERCARD", 2, name, name) for name in [*names, "large", *names]])
        slow = [e for e in _entries(control) if e[3][0].value == b"SINTERCARD"]
        assert [e[3][2].value for e in slow].count(b"large") == 8
        assert all(e[2] >= 1000 for e in slow)
        other.do("DEL", "large")
