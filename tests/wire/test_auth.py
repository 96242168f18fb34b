"""requirepass: what is refused before AUTH, and how little an unknown client may send."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from harness.cases import Case, Do, Pipe, Read, Send, case, mask_field, play
from harness.compare import Oracle, check
from harness.matrix import REDIS
from harness.process import Server
from harness.resp import encode

PASSWORD = "correct horse"
ID = mask_field(b"id")
END = Read(None)

CASES = [
    case("auth-refused", "GET $0", "SET $0 v", "PING", "ECHO a", "SELECT 1", "CLIENT ID", "INFO"),
    case(
        "auth-refused-multi-key",
        "MGET $0 $1 $2",
        "DEL $0",
        "COMMAND",
        "CONFIG GET port",
        "FLUSHALL",
    ),
    case("auth-unknown-first", "NOPE", "NOPE a b", "GET", "CLIENT NOPE"),
    case("auth-right", ("AUTH", PASSWORD), "SET $0 v", "GET $0"),
    case("auth-user", ("AUTH", "default", PASSWORD), "GET $0"),
    case(
        "auth-wrong",
        "AUTH wrong",
        "GET $0",
        ("AUTH", "default", "wrong"),
        ("AUTH", "nobody", PASSWORD),
        "GET $0",
    ),
    case("auth-wrong-after-right", ("AUTH", PASSWORD), "AUTH wrong", "GET $0"),
    case("auth-arity", "AUTH", "AUTH a b c"),
    case(
        "auth-binary", ("AUTH", b"\x00\xff"), ("AUTH", b""), ("AUTH", PASSWORD + "\x00"), "GET $0"
    ),
    case("auth-per-connection", ("AUTH", PASSWORD), Do("GET $0", on=1)),
    case("auth-hello-refused", "HELLO 3", "HELLO", "HELLO 2 SETNAME a"),
    case("auth-hello", Do(("HELLO", 3, "AUTH", "default", PASSWORD), mask=ID), "GET $0"),
    case("auth-hello-wrong", "HELLO 3 AUTH default wrong", "GET $0", "PING"),
    case("auth-hello-keeps-two", "HELLO 3 AUTH default wrong", ("AUTH", PASSWORD), "GET $0"),
    case("auth-hello-bad-version", ("HELLO", 9, "AUTH", "default", PASSWORD), "GET $0"),
    case("auth-quit", "QUIT", END),
    case(
        "auth-in-a-pipeline", Pipe(["GET $0", ("AUTH", PASSWORD), "SET $0 v", "AUTH x", "GET $0"])
    ),
    case("auth-multibulk-limit", Send(b"*11\r\n"), END),
    case("auth-multibulk-at-limit", ("NOPE", *range(9))),
    case("auth-bulk-limit", Send(b"*2\r\n$4\r\nAUTH\r\n$16385\r\n"), END),
    case("auth-bulk-at-limit", ("AUTH", "x" * 16_384)),
    case(
        "auth-limits-lifted", ("AUTH", PASSWORD), ("SET", "k", "x" * 20_000), ("EXISTS", *range(20))
    ),
    case(
        "auth-limits-behind-auth",
        Send(encode("AUTH", PASSWORD) + encode("EXISTS", *range(20))),
        Read(2),
    ),
    case("auth-malformed", Send(b"*1\r\n:1\r\n"), END),
    case("auth-inline", Send(f"AUTH '{PASSWORD}'\r\nPING\r\n".encode()), Read(2)),
]


@pytest.fixture(scope="module")
def guarded(request: pytest.FixtureRequest) -> Iterator[Server]:
    with Server(request.param, ["--requirepass", PASSWORD], password=PASSWORD) as server:
        yield server


@pytest.fixture(scope="module")
def guarded_oracle() -> Iterator[Server]:
    with Server(REDIS, ["--requirepass", PASSWORD], password=PASSWORD) as server:
        yield server


@pytest.mark.parametrize("a_case", CASES, ids=lambda c: c.name)
def test_auth(a_case: Case, guarded: Server, guarded_oracle: Server) -> None:
    transcripts = []
    for server in (guarded, guarded_oracle):
        server.flush()
        transcripts.append(play(a_case, server))
    ours, theirs = transcripts
    if guarded.is_redis:
        assert ours == theirs
    else:
        assert check(a_case, ours, theirs) == []


NO_PASSWORD_CASES = [
    case(
        "no-password-auth",
        "AUTH x",
        "AUTH default x",
        "AUTH nobody x",
        "AUTH",
        "AUTH a b c",
        "PING",
    ),
]


@pytest.mark.parametrize("a_case", NO_PASSWORD_CASES, ids=lambda c: c.name)
def test_auth_without_password(a_case: Case, subject: Server, oracle: Oracle) -> None:
    oracle.check(a_case, subject)
