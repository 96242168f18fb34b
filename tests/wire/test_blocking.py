"""Commands that wait: how long, for whom, in which order, and every way in which waiting ends."""

from __future__ import annotations

import time

import pytest
from harness.cases import (
    Ask,
    Blocked,
    Case,
    Do,
    Pipe,
    Read,
    Shutdown,
    Silent,
    case,
    in_both_protocols,
)
from harness.compare import Oracle
from harness.process import Server

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


@pytest.mark.parametrize("a_case", [*_at_once(), *_served(), *_ends()], ids=lambda c: c.name)
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
