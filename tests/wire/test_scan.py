"""SCAN: its options and errors, and its guarantee while the table grows and shrinks."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from harness.cases import Case, Do, Sleep, case, mask_field, unordered
from harness.client import Connection
from harness.compare import Oracle
from harness.process import Server
from harness.resp import Argument, Reply


def page(reply: Reply) -> Reply:
    """A cursor and keys, in whatever order the server walks."""
    if reply.kind != "array" or len(reply.value) != 2:
        return reply
    cursor, keys = reply.value
    return Reply("array", (cursor, unordered(keys)))


def scan(options: str = "") -> Do:
    return Do(f"SCAN 0 {options}".strip(), mask=page)


SOME = "MSET key:1 a key:2 b other c '' d"

CASES = [
    case("scan-empty", scan(), scan("COUNT 1"), scan("MATCH *"), "SCAN", "scan 0"),
    case("scan-small", SOME, scan(), scan("COUNT 1000"), scan("count 99")),
    case(
        "scan-match",
        SOME,
        scan("COUNT 100 MATCH *"),
        scan("COUNT 100 MATCH key:*"),
        scan("MATCH key:* COUNT 100"),
        scan("COUNT 100 match ?ther"),
        scan("COUNT 100 MATCH ''"),
        scan("COUNT 100 MATCH nothing"),
        scan("COUNT 100 MATCH nothing MATCH *1"),
    ),
    case(
        "scan-type",
        SOME,
        scan("COUNT 100 TYPE string"),
        scan("COUNT 100 TYPE STRING MATCH key:*"),
        *(scan(f"COUNT 100 TYPE {name}") for name in ("list", "set", "zset", "hash", "stream")),
        scan("COUNT 100 TYPE nosuchtype"),
        scan("COUNT 100 TYPE ''"),
        scan("COUNT 100 TYPE list TYPE string"),
    ),
    case(
        "scan-options",
        *(
            f"SCAN 0 {options}"
            for options in (
                *("COUNT", "COUNT 0", "COUNT -1", "COUNT x", "COUNT 1.5", "COUNT ''"),
                *("COUNT 9223372036854775808", "MATCH", "TYPE", "FOO", "FOO 1", "COUNT 10 FOO"),
                *("COUNT 10 COUNT", "TYPE nosuchtype FOO", "COUNT x FOO", "FOO COUNT x", "''"),
            )
        ),
        scan("COUNT 9223372036854775807"),
        scan("COUNT 5 COUNT 100"),
    ),
    case("scan-novalues", "SCAN 0 NOVALUES", "SCAN 0 COUNT 0 NOVALUES", "SCAN x NOVALUES"),
    case(
        "scan-cursor",
        *(("SCAN", c) for c in ("x", "1x", "0x1", "1.5", "18446744073709551616", "- 1")),
        "SCAN x FOO",
        "SCAN x COUNT 0",
        Do(("SCAN", "00"), mask=page),
        Do(("SCAN", "+0"), mask=page),
        Do(("SCAN", b"0\x00junk"), mask=page),
    ),
    case("scan-cursor-empty", ("SCAN", ""), "SCAN ''"),
    case("scan-cursor-negative", "SCAN -1", "SCAN -0"),
    case(
        "scan-expired",
        "SET gone:1 v PX 15",
        "SET gone:2 v PX 15",
        "MSET key:1 a key:2 b",
        Sleep(0.02),
        scan("COUNT 100"),
        "DBSIZE",
    ),
    case(
        "scan-database-and-protocol",
        SOME,
        "SELECT 3",
        scan(),
        "SET only v",
        scan(),
        Do("HELLO 3", mask=mask_field(b"id")),
        scan(),
        "SELECT 0",
        scan(),
        "SELECT 4",
        scan(),
    ),
]


@pytest.mark.parametrize("a_case", CASES, ids=lambda c: c.name)
def test_scan(a_case: Case, subject: Server, oracle: Oracle) -> None:
    oracle.check(a_case, subject)


CALLS_MAX = 100_000


def pages(connection: Connection, *options: Argument) -> Iterator[list[bytes]]:
    """One scan from the beginning to the end, call by call."""
    cursor = b"0"
    for _ in range(CALLS_MAX):
        reply = connection.do("SCAN", cursor, *options).value
        cursor = reply[0].value
        assert 0 <= int(cursor) < 2**63 and cursor == b"%d" % int(cursor)
        yield [key.value for key in reply[1].value]
        if cursor == b"0":
            return
    pytest.fail("the scan does not end")


def fill(connection: Connection, prefix: str, numbers: range) -> set[bytes]:
    names = {f"{prefix}:{i}".encode() for i in numbers}
    connection.do("MSET", *(word for name in names for word in (name, "v")))
    return names


@pytest.mark.parametrize("count", [1, 7, 100, 5000])
def test_a_table_at_rest_is_seen_once(subject: Server, count: int) -> None:
    with subject.connect() as connection:
        names = fill(connection, "rest", range(700))
        seen = [key for keys in pages(connection, "COUNT", count) for key in keys]
        assert set(seen) == names
        # Redis may still be rehashing, and shows then some of its keys twice.
        assert len(seen) == len(names) or subject.configuration.is_redis


def test_a_call_is_as_long_as_its_count(ours: Server) -> None:
    """About COUNT keys, a bucket or two more; only the call that ends a shard is shorter."""
    with ours.connect() as connection:
        fill(connection, "long", range(3000))
        lengths = [len(keys) for keys in pages(connection, "COUNT", 50)]
        short = [length for length in lengths if length < 50]
        assert len(short) <= 3 and max(lengths) < 110, lengths


def test_a_call_on_an_emptied_table_is_bounded(subject: Server) -> None:
    """MATCH that takes nothing makes calls with no keys, not one endless call."""
    with subject.connect() as connection:
        fill(connection, "many", range(3000))
        got = list(pages(connection, "MATCH", "none:*", "COUNT", 10))
        assert len(got) > 50 and not any(got)


@pytest.mark.parametrize("turns", ["grow", "shrink", "both"])
def test_what_stays_is_seen_while_the_table_changes(subject: Server, turns: str) -> None:
    """Keys that are there from the first call to the last are all reported, whatever comes and goes
    between the calls; keys that were gone before the first call are not."""
    choice = random.Random(turns)
    with subject.connect() as connection:
        stays = fill(connection, "stay", range(400))
        others = fill(connection, "other", range(0 if turns == "grow" else 6000))
        fill(connection, "before", range(200))
        connection.do("UNLINK", *(f"before:{i}" for i in range(200)))
        seen: set[bytes] = set()
        for at, keys in enumerate(pages(connection, "COUNT", 20)):
            seen.update(keys)
            grows = turns == "grow" or (turns == "both" and at // 10 % 2 == 1)
            if grows and len(others) < 12000:
                others |= fill(connection, "other", range(at * 1000, at * 1000 + 300))
            elif not grows and others:
                victims = choice.sample(sorted(others), min(300, len(others)))
                others.difference_update(victims)
                connection.do("UNLINK", *victims)
        assert stays <= seen
        assert not any(key.startswith(b"before:") for key in seen)
