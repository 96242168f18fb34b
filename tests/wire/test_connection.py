"""Connection commands, names of commands, unknown commands, databases."""

from __future__ import annotations

import pytest
from harness.cases import Case, Do, Pipe, Read, Send, case, mask_field, mask_number
from harness.compare import Oracle
from harness.process import Server
from harness.resp import encode, integer

ID = mask_field(b"id")

RESP3_CASES = [
    case(
        "resp3-replies",
        Do("HELLO 3", mask=ID),
        "GET $0",
        "SET $0 v GET",
        "SET $0 v NX",
        "MGET $0 $1 $0",
        "INCR $0",
        "EXISTS $0 $1",
        "PING",
        "PING text",
        "ECHO text",
        "CLIENT GETNAME",
        "NOPE",
        "COMMAND INFO nosuch",
        "CONFIG GET databases",
    ),
    case("resp3-and-back", Do("HELLO 3", mask=ID), "GET $0", Do("HELLO 2", mask=ID), "GET $0"),
    case("resp3-plain-hello-keeps", Do("HELLO 3", mask=ID), Do("HELLO", mask=ID), "GET $0"),
    case(
        "resp3-in-a-pipeline",
        Pipe(["GET $0", "SET $1 v"]),
        Send(
            encode("GET", "a")
            + encode("HELLO", "3")
            + encode("GET", "a")
            + encode("MGET", "a", "b")
        ),
        Read(1),
        Read(1, mask=ID),
        Read(2),
    ),
    case("resp3-error-keeps-two", "HELLO 4", "GET $0", "HELLO 3 NOPE", "GET $0"),
]

UNKNOWN_CASES = [
    case("unknown-plain", "NOPE", "nope", "NoPe a", "NOPE a b c", ("NOPE", b"")),
    case("unknown-long-name", ("x" * 200, "a"), ("x" * 1000,)),
    case(
        "unknown-long-arguments", ("NOPE", "a" * 200, "b"), ("NOPE", *("c" * 50 for _ in range(10)))
    ),
    case(
        "unknown-many-arguments",
        ("NOPE", *range(200)),
    ),
    case(
        "unknown-bytes",
        ("NO\r\nPE", "a\r\nb"),
        ("NOPE", b"\x00\x01\xff"),
        (b"", b"a"),
        (b"\xff\xfe",),
    ),
    case("unknown-quotes", ("NO'PE", "it's", '"q"')),
    case("unknown-with-nul", (b"NOSUCH\x00", b"a"), (b"G\x00ET",)),
    case(
        "unknown-subcommand",
        "CLIENT NOPE",
        "CLIENT nope a b",
        "CONFIG NOPE",
        "COMMAND NOPE",
        ("CLIENT", b""),
    ),
    case("unknown-subcommand-long", ("CLIENT", "x" * 300), ("CLIENT", b"a\r\nb")),
    case("name-prefix", "GE", "GETT", "SE", "PIN", "PINGG"),
    case("container-alone", "CLIENT", "CONFIG", "client", "config"),
]

CASES = [
    *RESP3_CASES,
    *UNKNOWN_CASES,
    case(
        "ping",
        "PING",
        "ping",
        "PiNg",
        "PING text",
        ("PING", b""),
        "PING a b",
        ("PING", b"\x00\r\n"),
    ),
    case("echo", "ECHO text", ("ECHO", b""), ("ECHO", b"\r\n\x00\xff"), "ECHO", "ECHO a b"),
    case(
        "case-of-names",
        "set $0 v",
        "Get $0",
        "gEt $0",
        "mSeT $0 a $1 b",
        "client getname",
        "Client GetName",
    ),
    case("hello-plain", Do("HELLO", mask=ID)),
    case("hello-2", Do("HELLO 2", mask=ID)),
    case("hello-3", Do("HELLO 3", mask=ID)),
    case("hello-lower-case", Do("hello 3", mask=ID)),
    case(
        "hello-bad-version",
        "HELLO 1",
        "HELLO 4",
        "HELLO 0",
        "HELLO -1",
        "HELLO abc",
        "HELLO 3.0",
        ("HELLO", b""),
    ),
    case("hello-huge-version", "HELLO 9223372036854775807", "HELLO 9223372036854775808"),
    case(
        "hello-setname",
        Do("HELLO 3 SETNAME me", mask=ID),
        "CLIENT GETNAME",
        Do("HELLO 2 setname you", mask=ID),
        "CLIENT GETNAME",
    ),
    case("hello-setname-bad", ("HELLO", 3, "SETNAME", "a b"), "HELLO 3 SETNAME", "CLIENT GETNAME"),
    case(
        "hello-options-bad",
        "HELLO 3 FOO",
        "HELLO 3 AUTH",
        "HELLO 3 AUTH u",
        "HELLO 3 SETNAME a FOO",
        "HELLO AUTH a b",
    ),
    case("hello-auth-default", Do("HELLO 3 AUTH default anything", mask=ID), "GET $0"),
    case("hello-auth-wrong-user", "HELLO 3 AUTH nobody pass", "GET $0"),
    case("hello-auth-and-name", Do("HELLO 3 AUTH default x SETNAME me", mask=ID), "CLIENT GETNAME"),
    case("hello-twice-same-option", Do("HELLO 3 SETNAME a SETNAME b", mask=ID), "CLIENT GETNAME"),
    case(
        "client-name",
        "CLIENT GETNAME",
        "CLIENT SETNAME me",
        "CLIENT GETNAME",
        ("CLIENT", "SETNAME", b""),
        "CLIENT GETNAME",
    ),
    case(
        "client-name-bad",
        ("CLIENT", "SETNAME", "a b"),
        ("CLIENT", "SETNAME", "a\nb"),
        ("CLIENT", "SETNAME", b"a\x00"),
        ("CLIENT", "SETNAME", b"\xc3\xa4"),
        ("CLIENT", "SETNAME", b"a\x7f"),
        ("CLIENT", "SETNAME", "!~"),
        "CLIENT GETNAME",
    ),
    case(
        "client-name-arity",
        "CLIENT SETNAME",
        "CLIENT SETNAME a b",
        "CLIENT GETNAME a",
        "CLIENT ID a",
        "client setname",
    ),
    case(
        "client-name-is-per-connection",
        "CLIENT SETNAME me",
        Do("CLIENT GETNAME", on=1),
        "CLIENT GETNAME",
    ),
    case("client-id", Do("CLIENT ID", mask=mask_number), Do("client id", mask=mask_number)),
    case("client-setinfo", "CLIENT SETINFO LIB-NAME redis-py", "CLIENT SETINFO lib-ver 1.2.3"),
    case("client-setinfo-empty", ("CLIENT", "SETINFO", "LIB-NAME", b"")),
    case("client-setinfo-bad-name", ("CLIENT", "SETINFO", "lib-name", "a b")),
    case("client-setinfo-bad-version", ("CLIENT", "SETINFO", "LIB-VER", "a\nb")),
    case("client-setinfo-unknown", "CLIENT SETINFO FOO bar"),
    case("client-setinfo-short", "CLIENT SETINFO LIB-NAME"),
    case("client-unknown-is-error", "CLIENT MAINT_NOTIFICATIONS ON", "PING"),
    case(
        "select-all",
        *(step for n in range(16) for step in (f"SELECT {n}", f"SET $0 {n}", "DBSIZE")),
        "SELECT 3",
        "GET $0",
    ),
    case(
        "select-bad",
        "SELECT 16",
        "SELECT -1",
        "SELECT abc",
        ("SELECT", b""),
        "SELECT 1.0",
        "SELECT 99999999999999999999",
        "SELECT 2147483648",
        "SELECT 4294967296",
        "SELECT 01",
        "SELECT",
        "SELECT 1 2",
        "SET $0 v",
        "DBSIZE",
    ),
    case(
        "select-is-per-connection",
        "SELECT 5",
        "SET $0 v",
        Do("GET $0", on=1),
        Do("SELECT 5", on=1),
        Do("GET $0", on=1),
    ),
    case(
        "select-in-a-pipeline",
        Pipe(
            [
                "SET $0 zero",
                "SELECT 1",
                "SET $0 one",
                "SET $1 x",
                "SELECT 0",
                "GET $0",
                "GET $1",
                "SELECT 1",
                "MGET $0 $1",
                "DEL $0",
                "SELECT 0",
                "DBSIZE",
            ]
        ),
    ),
    case(
        "databases-and-multi-keys",
        "SELECT 9",
        "MSET $0 a $1 b $2 c",
        "SELECT 0",
        "MGET $0 $1 $2",
        "DEL $0 $1",
        "SELECT 9",
        "EXISTS $0 $1 $2",
    ),
    case(
        "databases-and-expiry",
        "SELECT 2",
        "SET $0 v EX 100",
        "SELECT 0",
        "TTL $0",
        "SET $0 w",
        "SELECT 2",
        "EXPIRE $0 0",
        "DBSIZE",
        "SELECT 0",
        "GET $0",
    ),
    case("quit", "SET $0 v", "QUIT", Read(None)),
    case("quit-lower-case-inline", Send(b"quit\r\n"), Read(None)),
    case("quit-with-arguments", "QUIT a b", Read(None)),
    case(
        "quit-with-commands-behind",
        Send(encode("SET", "q", "1") + encode("QUIT") + encode("SET", "q", "2") * 50),
        Read(None),
        Do("GET q", on=1),
    ),
    case(
        "quit-behind-shards",
        Send(
            b"".join(encode("SET", f"q{i}", i) for i in range(64))
            + encode("MGET", *(f"q{i}" for i in range(64)))
            + encode("QUIT")
            + encode("FLUSHALL")
        ),
        Read(None),
        Do("DBSIZE", on=1),
    ),
]


@pytest.mark.parametrize("a_case", CASES, ids=lambda c: c.name)
def test_connection(a_case: Case, subject: Server, oracle: Oracle) -> None:
    oracle.check(a_case, subject)


def test_client_ids_rise_and_differ(subject: Server) -> None:
    ids = []
    for _ in range(20):
        with subject.connect() as connection:
            reply = connection.do("CLIENT", "ID")
            assert reply == connection.do("CLIENT", "ID"), "the id of a connection stays"
            ids.append(reply)
    values = [reply.value for reply in ids]
    assert all(reply == integer(reply.value) for reply in ids)
    assert values == sorted(set(values)), f"ids do not rise: {values}"


def test_hello_id_is_client_id(subject: Server) -> None:
    with subject.connect() as connection:
        fields = {k.value: v for k, v in connection.do("HELLO", 3).value}
        assert fields[b"id"] == connection.do("CLIENT", "ID")
