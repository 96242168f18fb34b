"""DUMP: what we write is read by redis-server, and is the same value there."""

from __future__ import annotations

import pytest
from harness.cases import Case, case
from harness.client import Connection
from harness.compare import Oracle
from harness.process import Server
from harness.resp import OK, Reply, render
from harness.values import VALUES

TIMES = {b"seen-time", b"active-time", b"inactive", b"idle"}
LAID_OUT = {b"radix-tree-keys", b"radix-tree-nodes"}


def _without_times(reply: Reply) -> Reply:
    """XINFO STREAM FULL without clocks, and without the nodes, in which deleted entries stay."""
    if reply.kind != "array":
        return reply
    items = [_without_times(item) for item in reply.value]
    for at, item in enumerate(items[:-1]):
        if item.kind == "bulk" and item.value in TIMES | LAID_OUT:
            items[at + 1] = Reply("integer", 0)
    pending = len(items) == 4 and [i.kind for i in items] == ["bulk", "bulk", "integer", "integer"]
    own = len(items) == 3 and [i.kind for i in items] == ["bulk", "integer", "integer"]
    if pending:
        items[2] = Reply("integer", 0)
    if own:
        items[1] = Reply("integer", 0)
    return Reply("array", tuple(items))


def _make(connection: Connection, name: str, key: str) -> None:
    for reply in connection.pipeline(VALUES[name](key)):
        assert reply.kind != "error", render(reply)


def _shown(redis: Connection, key: str) -> list[str]:
    """All that can be told of a value."""
    replies = [redis.do("DEBUG", "DIGEST-VALUE", key), redis.do("TYPE", key), redis.do("PTTL", key)]
    if replies[1].value == b"stream":
        replies.append(_without_times(redis.do("XINFO", "STREAM", key, "FULL", "COUNT", 0)))
        replies.append(redis.do("XINFO", "GROUPS", key))
    return [render(reply) for reply in replies]


def _check(few: Server, redis: Connection, names: list[str]) -> None:
    for name in names:
        key = f"value:{name}"
        with few.connect() as connection:
            _make(connection, name, key)
            assert connection.do("PEXPIRE", key, 1_000_000).value == 1
            payload = connection.do("DUMP", key)
            assert payload.kind == "bulk", render(payload)
            again = connection.do("DUMP", key)
        assert again == payload
        assert redis.do("RESTORE", "restored", 0, payload.value, "REPLACE") == OK, name
        assert redis.do("DEL", key)
        _make(redis, name, key)
        assert _shown(redis, "restored") == _shown(redis, key), name


@pytest.mark.parametrize("kind", ["string", "list", "set", "sorted", "hash", "stream"])
def test_redis_restores(kind: str, few: Server, oracle: Oracle) -> None:
    oracle.server.flush()
    with oracle.server.connect() as redis:
        _check(few, redis, [name for name in VALUES if name.startswith(kind)])


def test_as_it_is_without_compression(few: Server, oracle: Oracle) -> None:
    control = few.control()
    assert control.do("CONFIG", "SET", "rdbcompression", "no") == OK
    try:
        oracle.server.flush()
        with oracle.server.connect() as redis:
            _check(few, redis, ["string-letters", "string-paged", "stream-large", "hash-large"])
        assert len(control.do("DUMP", "value:string-letters").value) > 300_000
    finally:
        assert control.do("CONFIG", "SET", "rdbcompression", "yes") == OK
    assert len(control.do("DUMP", "value:string-letters").value) < 200_000


CASES = [
    case(
        "dump-bytes",
        "DUMP $0",
        "DUMP",
        "DUMP $0 $1",
        *(
            step
            for value in ("''", "5", "-129", "70000", "text")
            for step in (f"SET $0 {value}", "DUMP $0")
        ),
        "SET $0 abc PX 100000",
        "DUMP $0",
        "INCRBYFLOAT $0 1",
        "SET $0 1",
        "INCRBYFLOAT $0 1",
        "DUMP $0",
        "MULTI",
        "DUMP $0",
        "DUMP $1",
        "EXEC",
    ),
]


@pytest.mark.parametrize("a_case", CASES, ids=lambda c: c.name)
def test_dump(a_case: Case, subject: Server, oracle: Oracle) -> None:
    oracle.check(a_case, subject)
