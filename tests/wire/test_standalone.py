"""What a server answers about clusters, replicas and modules; TIME, ROLE and LOLWUT."""

from __future__ import annotations

import time

import pytest
from harness.cases import Case, Do, case
from harness.compare import Oracle
from harness.process import Server
from harness.resp import Reply, bulk

NO_REPLICATION = Reply("error", b"ERR This instance has replication support disabled")


def _mask_text(reply: Reply) -> Reply:
    """Redis's version, which is its own business."""
    if reply.kind not in ("bulk", "verbatim"):
        return reply
    text = reply.value if isinstance(reply.value, bytes) else b""
    return Reply(reply.kind, text.rpartition(b" ")[0])


CASES = [
    case(
        "cluster",
        "CLUSTER",
        "CLUSTER INFO",
        "CLUSTER info x",
        "CLUSTER HELP",
        "CLUSTER SLOTS",
        "CLUSTER KEYSLOT a",
        "CLUSTER KEYSLOT",
        "CLUSTER NOSUCH",
        "ASKING",
        "ASKING x",
        "READONLY",
        "READWRITE",
    ),
    case(
        "module",
        "MODULE",
        "MODULE LIST",
        "MODULE LIST x",
        "MODULE LOAD x",
        "MODULE LOAD",
        "MODULE LOADEX x CONFIG a b",
        "MODULE UNLOAD x",
        "MODULE NOSUCH",
    ),
    case("module-help", "MODULE HELP"),
    case("failover", "FAILOVER", "FAILOVER TO localhost 1"),
    case(
        "replicaof",
        "REPLICAOF NO ONE",
        "slaveof no one",
        "REPLICAOF x 70000",
        "REPLICAOF x -1",
        "REPLICAOF x y",
        "REPLICAOF x",
        "SLAVEOF x 1 2",
    ),
    case("role", "ROLE", "ROLE x"),
    case(
        "lolwut",
        Do("LOLWUT", mask=_mask_text),
        Do("LOLWUT VERSION", mask=_mask_text),
        Do("LOLWUT VERSION 1", mask=_mask_text),
        Do("LOLWUT x y z", mask=_mask_text),
        "LOLWUT VERSION x",
    ),
    case("time-arity", "TIME x"),
]


@pytest.mark.parametrize("a_case", CASES, ids=lambda c: c.name)
def test_standalone(a_case: Case, subject: Server, oracle: Oracle) -> None:
    oracle.check(a_case, subject)


def test_replication_is_refused(ours: Server) -> None:
    with ours.connect() as connection:
        for command in ("SYNC", "PSYNC ? -1", "REPLCONF", "REPLCONF capa eof"):
            assert connection.do(*command.split()) == NO_REPLICATION
        assert connection.do("REPLICAOF", "127.0.0.1", "6379") == NO_REPLICATION
        assert connection.do("ROLE").value[0] == bulk("master")


def test_time_goes_on(subject: Server) -> None:
    with subject.connect() as connection:
        before = time.time()
        seen = [connection.do("TIME").value for _ in range(100)]
        after = time.time()
    times = [int(seconds.value) + int(rest.value) / 1e6 for seconds, rest in seen]
    assert times == sorted(times) and len(set(times)) > 10
    assert before - 0.001 <= times[0] and times[-1] <= after + 0.001
    assert all(int(rest.value) < 1_000_000 for _, rest in seen)
