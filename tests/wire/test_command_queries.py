"""COMMAND LIST, GETKEYS, GETKEYSANDFLAGS and HELP: what the table says of names and keys."""

from __future__ import annotations

import pytest
from harness.cases import Case, Do, case, unordered, unordered_flags
from harness.compare import Oracle
from harness.process import Server

LINES = [
    "GET a",
    "SET a b",
    "SET a b GET",
    "SET a b EX 10 get",
    "MSET a b c d",
    "MGET a b c",
    "BITFIELD a GET u4 0",
    "BITFIELD a GET u4 0 SET u4 0 1",
    "BITFIELD a INCRBY u4 0 1",
    "BITOP AND d a b",
    "ZUNIONSTORE d 2 a b",
    "ZUNION 2 a b",
    "ZUNION 20 a b",
    "ZUNIONSTORE d 20 a b",
    "ZMPOP 1 a MIN",
    "BLPOP a b 0",
    "XREAD STREAMS a b 0 0",
    "XREADGROUP GROUP g c COUNT 2 STREAMS a b 0 0",
    "SORT a",
    "SORT a BY x STORE c",
    "SORT_RO a",
    "MIGRATE h 1 x 0 1",
    "EVAL x 0",
    "EVAL x 2 a b c",
    "EVAL x 100 a",
    "FCALL f 1 a",
    "GEORADIUS a 1 2 3 m STORE d",
    "LCS a b",
    "COPY a b",
    "RENAME a b",
    "OBJECT ENCODING a",
    "MEMORY USAGE k",
    "XGROUP CREATE a g 0",
    "LMPOP 2 a b LEFT",
    "SINTERCARD 2 a b LIMIT 1",
    "PFCOUNT a b",
    "DEL a b c",
    "SMOVE a b c",
]

CASES = [
    *(case(f"getkeys-{line.replace(' ', '-')}", f"COMMAND GETKEYS {line}") for line in LINES),
    *(
        case(
            f"getkeysandflags-{line.replace(' ', '-')}",
            Do(f"COMMAND GETKEYSANDFLAGS {line}", mask=unordered_flags),
        )
        for line in LINES
    ),
    case(
        "getkeys-errors",
        "COMMAND GETKEYS",
        "COMMAND GETKEYS GET a b",
        "COMMAND GETKEYS CLIENT INFO",
        "COMMAND GETKEYS NOSUCH a b",
        "COMMAND GETKEYS CLIENT NOSUCH",
        "COMMAND GETKEYS OBJECT ENCODING",
        "COMMAND GETKEYS PING a",
        "COMMAND GETKEYS PUBLISH a b",
        "COMMAND GETKEYSANDFLAGS",
        "COMMAND GETKEYSANDFLAGS PING a",
    ),
    case(
        "list-errors",
        "COMMAND LIST x",
        "COMMAND LIST FILTERBY",
        "COMMAND LIST FILTERBY PATTERN",
        "COMMAND LIST FILTERBY PATTERN a b",
        "COMMAND LIST FILTERBY NOSUCH x",
        "COMMAND NOSUCH",
    ),
    case(
        "list-filtered",
        "COMMAND LIST FILTERBY MODULE x",
        "COMMAND LIST FILTERBY ACLCAT nosuch",
        "COMMAND LIST FILTERBY PATTERN nosuch",
        Do("COMMAND LIST FILTERBY PATTERN xa*", mask=unordered),
        Do("COMMAND LIST filterby pattern X?CK", mask=unordered),
        Do("COMMAND LIST FILTERBY PATTERN object|*", mask=unordered),
        Do("COMMAND LIST FILTERBY ACLCAT bitmap", mask=unordered),
        Do("COMMAND LIST FILTERBY ACLCAT STRING", mask=unordered),
        Do("COMMAND LIST FILTERBY ACLCAT transaction", mask=unordered),
    ),
    case("command-help", "COMMAND HELP", "COMMAND HELP x"),
]


@pytest.mark.parametrize("a_case", CASES, ids=lambda c: c.name)
def test_queries(a_case: Case, subject: Server, oracle: Oracle) -> None:
    oracle.check(a_case, subject)


def test_list_names_every_row(subject: Server) -> None:
    with subject.connect() as connection:
        listed = {name.value for name in connection.do("COMMAND", "LIST").value}
        rows = connection.do("COMMAND").value
    top = {row.value[0].value for row in rows}
    nested = {sub.value[0].value for row in rows for sub in row.value[9].value}
    assert listed == top | nested
