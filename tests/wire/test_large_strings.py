"""Strings of over a megabyte that are changed in place, by parts, and read as a whole."""

from __future__ import annotations

import pytest
from harness.cases import Case, Key, case, in_both_protocols
from harness.compare import Oracle
from harness.process import Server

MEGABYTE = 1 << 20
VALUE = b"0123456789abcdef" * (MEGABYTE // 16)


def _large(key: int = 0) -> tuple:
    return ("SET", Key(key), VALUE + b"the end")


CASES: list[Case] = [
    *in_both_protocols(
        "large-string-parts",
        *(_large(), "SETRANGE $0 5 xyz", "GETRANGE $0 0 20", "STRLEN $0", "APPEND $0 more"),
        *("GETRANGE $0 -20 -1", f"SETRANGE $0 {3 * MEGABYTE} far", "STRLEN $0"),
        *(f"GETRANGE $0 {2 * MEGABYTE} {2 * MEGABYTE + 5}", f"GETRANGE $0 {MEGABYTE - 3} 1048590"),
        *("GETRANGE $0 -3 -1", "GETRANGE $0 4 4000000", "GET $0", "STRLEN $0", "GETRANGE $0 0 20"),
        *("GETRANGE $0 9 3", "GETRANGE $0 99999999 -1", "OBJECT ENCODING $0", "TYPE $0"),
    ),
    case(
        "large-string-across-pages",
        _large(),
        *(("SETRANGE", Key(0), str(at), b"\x00\xff" * 3000) for at in (4000, 8100, 1040000)),
        *(f"GETRANGE $0 {at} {at + 12000}" for at in (3000, 7000, 8144, 1030000)),
        "GET $0",
    ),
    case(
        "large-string-grown-from-nothing",
        *(f"SETRANGE $0 {2 * MEGABYTE} x", "STRLEN $0", "GETRANGE $0 2097150 -1", "APPEND $0 ''"),
        *("SET $1 short", f"SETRANGE $1 {2 * MEGABYTE} x", "GETRANGE $1 0 10", "GET $1"),
        *("APPEND $2 a", ("APPEND", Key(2), VALUE), ("APPEND", Key(2), VALUE), "GET $2"),
    ),
    case(
        "large-string-commands",
        *(_large(), "APPEND $0 !", "EXPIRE $0 1000", "SETRANGE $0 0 AB", "PERSIST $0"),
        *("COPY $0 $1", "SETRANGE $1 1 zz", "GETRANGE $0 0 5", "GETRANGE $1 0 5", "RENAME $1 $2"),
        *("MGET $0 $2 $3", "APPEND $2 ?", "GETSET $2 small", "GET $2", "APPEND $0 !", "INCR $0"),
        *("APPEND $0 !", "INCRBYFLOAT $0 1", "APPEND $0 !", "SET $0 new GET", "GET $0", "TTL $0"),
        *(_large(), "APPEND $0 !", "GETDEL $0", "EXISTS $0", _large(), "APPEND $0 !", "GETEX $0"),
        *("APPEND $0 !", "LPUSH $0 a", "OBJECT ENCODING $0", "EXPIRE $0 1000", "APPEND $0 !"),
        *("SETNX $0 x", "MSET $0 a $1 b", "GET $0", _large(), "APPEND $0 !", "UNLINK $0"),
        *(_large(), "APPEND $0 !", "MOVE $0 1", "SELECT 1", "GETRANGE $0 -5 -1", "FLUSHDB"),
    ),
    case(
        "large-string-named-by-sort",
        *("SET w_a 1", _large(), "SETRANGE $0 0 key", "RPUSH $1 a b", "SORT $1 BY w_* ALPHA"),
        *(("SET", "w_b", VALUE), "SETRANGE w_b 0 2", "APPEND w_b !"),
        "SORT $1 BY w_* ALPHA GET w_*",
        *("APPEND w_b !", "SORT $1 BY nosuch GET w_* STORE $2", "LRANGE $2 0 -1"),
        "SORT $1 BY w_*",
    ),
]  # fmt: skip


@pytest.mark.parametrize("a_case", CASES, ids=lambda c: c.name)
def test_large_strings(a_case: Case, subject: Server, oracle: Oracle) -> None:
    oracle.check(a_case, subject)


def test_a_gap_takes_no_memory(ours: Server) -> None:
    with ours.connect() as connection:
        (key, *_) = ours.spread(1)
        assert connection.do("SETRANGE", key, str(400 * MEGABYTE), "x").value == 400 * MEGABYTE + 1
        assert connection.do("MEMORY", "USAGE", key).value < 100_000
        assert connection.do("SETRANGE", key, str(511 * MEGABYTE), "y").value == 511 * MEGABYTE + 1
        assert connection.do("GETRANGE", key, "-2", "-1").value == b"\x00y"
