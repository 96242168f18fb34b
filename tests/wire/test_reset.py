"""RESET: whatever a connection has been made into, it is as new."""

from __future__ import annotations

import re

import pytest
from harness.cases import Case, Do, Pipe, Silent, case, mask_field
from harness.client import Connection, connections
from harness.compare import Oracle
from harness.process import Server

ID = mask_field(b"id")
HELLO3 = Do("HELLO 3", mask=ID)

CASES = [
    case("reset-arity", "RESET x", "RESET", "RESET"),
    case(
        "reset-transaction",
        "SET $0 v",
        "MULTI",
        "SET $0 w",
        "RESET",
        "EXEC",
        "GET $0",
        "MULTI",
        "NOPE",
        "RESET",
        "MULTI",
        "GET $0",
        "EXEC",
    ),
    case(
        "reset-watch",
        "WATCH $0 $1",
        "RESET",
        Do("SET $0 other", on=1),
        "MULTI",
        "GET $0",
        "EXEC",
        "WATCH $0",
        "MULTI",
        "RESET",
        Do("SET $0 again", on=1),
        "MULTI",
        "GET $0",
        "EXEC",
    ),
    case(
        "reset-channels",
        Pipe(["SUBSCRIBE a b", "PSUBSCRIBE x*", "SSUBSCRIBE s"], replies=4),
        Do("PUBSUB NUMSUB a b", on=1),
        "RESET",
        Do("PUBSUB NUMSUB a b", on=1),
        Do("PUBSUB NUMPAT", on=1),
        Do("PUBSUB SHARDNUMSUB s", on=1),
        Do("PUBLISH a m", on=1),
        Do("PUBLISH xy m", on=1),
        Silent(),
        "GET $0",
        "SUBSCRIBE a",
        Do("PUBLISH a m", on=1),
    ),
    case("reset-database", "SET $0 zero", "SELECT 5", "SET $0 five", "RESET", "GET $0"),
    case(
        "reset-name",
        "CLIENT SETNAME me",
        "RESET",
        "CLIENT GETNAME",
        "CLIENT SETNAME again",
        "CLIENT GETNAME",
    ),
    case("reset-protocol", HELLO3, "GET $0", "RESET", "GET $0", Do("HELLO", mask=ID)),
    case("reset-replies", Pipe(["CLIENT REPLY OFF", "PING", "RESET", "PING"], replies=2)),
    case("reset-skipped", Pipe(["CLIENT REPLY SKIP", "RESET", "PING"], replies=1)),
    case("reset-monitor", "MONITOR", "RESET", Do("PING", on=1), Silent(), "SET $0 v", "GET $0"),
    case(
        "reset-everything",
        HELLO3,
        "SELECT 3",
        "CLIENT SETNAME me",
        "CLIENT NO-EVICT ON",
        "WATCH $0",
        Pipe(["SUBSCRIBE a"], replies=1),
        "MULTI",
        "SET $0 v",
        "RESET",
        Do("PUBLISH a m", on=1),
        "EXEC",
        "CLIENT GETNAME",
        "GET $0",
        "PING x",
        Do("HELLO", mask=ID),
    ),
    case("reset-in-pipeline", Pipe(["SELECT 1", "SET $0 v", "RESET", "GET $0", "PING"])),
]


@pytest.mark.parametrize("a_case", CASES, ids=lambda c: c.name)
def test_reset(a_case: Case, subject: Server, oracle: Oracle) -> None:
    oracle.check(a_case, subject)


def _fields(control: Connection, client_id: int) -> dict[str, str]:
    line = control.do("CLIENT", "LIST", "ID", client_id).value.decode()
    return dict(re.findall(r"([a-z-]+)=(\S*)", line))


def test_the_list_of_clients_shows_a_new_one(subject: Server) -> None:
    with connections(subject.address, 2) as (client, control):
        client_id = client.do("CLIENT", "ID").value
        new = _fields(control, client_id)
        client.do("SELECT", 3)
        client.do("CLIENT", "SETNAME", "me")
        if not subject.is_redis:  # 7.0 leaves it on
            client.do("CLIENT", "NO-EVICT", "ON")
        client.do("HELLO", 3)
        client.do("WATCH", "a", "b")
        client.do("SUBSCRIBE", "c")
        client.do("PSUBSCRIBE", "p*")
        client.do("MULTI")
        client.do("SET", "a", "b")
        changed = _fields(control, client_id)
        names = ("name", "flags", "db", "sub", "psub", "multi", "resp")
        assert all(new[name] != changed[name] for name in names), changed
        assert client.do("RESET").value == b"RESET"
        after = _fields(control, client_id)
        assert [after[name] for name in names] == [new[name] for name in names]
        assert after.get("watch") == new.get("watch")
        client.do("MONITOR")
        assert _fields(control, client_id)["flags"] == "O"
        client.do("RESET")
        assert _fields(control, client_id)["flags"] == new["flags"]
