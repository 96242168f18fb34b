"""OBJECT: encodings, reference counts, help."""

from __future__ import annotations

import pytest
from harness.cases import Case, Do, Sleep, case, mask_field
from harness.compare import Oracle
from harness.process import Server
from harness.resp import Reply


def _about_now(reply: Reply) -> Reply:
    """Idle for no second, or for one if the clock's second has just ended."""
    return Reply("integer", 0) if reply == Reply("integer", 1) else reply


VALUES = (
    *("0", "1", "9999", "10000", "-1", "012", "+1", "1.5", "''", "text"),
    *("9223372036854775807", "9223372036854775808", "-9223372036854775808"),
    *("x" * 44, "x" * 45, "x" * 5000, "1" * 20, "1" * 44, "1" * 45),
)

CASES = [
    *(
        case(f"object-of-{at}", f"SET $0 {value}", "OBJECT ENCODING $0", "OBJECT REFCOUNT $0")
        for at, value in enumerate(VALUES)
    ),
    case(
        "object-after-changes",
        "SET $0 5",
        "APPEND $0 6",
        "OBJECT ENCODING $0",
        "OBJECT REFCOUNT $0",
        "EXPIRE $0 1000",
        "OBJECT ENCODING $0",
        "COPY $0 $1",
        "OBJECT ENCODING $1",
        "RENAME $1 $2",
        "OBJECT ENCODING $2",
        "MOVE $2 1",
        "INCR $0",
        "OBJECT ENCODING $0",
        "OBJECT REFCOUNT $0",
        "SETRANGE $0 0 1",
        "OBJECT ENCODING $0",
        "SET $0 v",
        "OBJECT ENCODING $0",
        "SELECT 1",
        "OBJECT ENCODING $2",
    ),
    case(
        "object-of-a-float",
        "INCRBYFLOAT $0 5",
        "OBJECT ENCODING $0",
        "EXPIRE $0 1000",
        "RENAME $0 $1",
        "COPY $1 $0",
        "OBJECT ENCODING $0",
        "OBJECT ENCODING $1",
        "INCR $0",
        "OBJECT ENCODING $0",
        "INCRBYFLOAT $1 0.5",
        "OBJECT ENCODING $1",
        "APPEND $1 5",
        "OBJECT ENCODING $1",
        "SET $1 5",
        "OBJECT ENCODING $1",
    ),
    case(
        "object-missing",
        "OBJECT ENCODING $0",
        "OBJECT REFCOUNT $0",
        "SET $0 v PX 15",
        Sleep(0.02),
        "OBJECT ENCODING $0",
        Do("HELLO 3", mask=mask_field(b"id")),
        "OBJECT ENCODING $0",
        "OBJECT REFCOUNT $0",
    ),
    case(
        "object-arity",
        "OBJECT",
        "OBJECT ENCODING",
        "OBJECT ENCODING a b",
        "OBJECT REFCOUNT",
        "OBJECT HELP a",
        "OBJECT WHAT",
        "OBJECT WHAT a",
        "object encoding $0",
    ),
    case(
        "object-access",
        "SET $0 v",
        Do("OBJECT IDLETIME $0", mask=_about_now),
        "OBJECT FREQ $0",
        "OBJECT IDLETIME $1",
        "OBJECT FREQ $1",
        "OBJECT IDLETIME",
        "OBJECT FREQ $0 $1",
        "CONFIG SET lfu-log-factor 0 maxmemory-policy volatile-lfu",
        "SET $2 v",
        "OBJECT FREQ $2",
        "GET $2",
        "TOUCH $2 $2",
        "EXISTS $2",
        "SET $2 w",
        "OBJECT FREQ $2",
        Do("OBJECT IDLETIME $2", mask=_about_now),
        "OBJECT IDLETIME $3",
        "OBJECT FREQ $3",
        "CONFIG SET lfu-log-factor 10 maxmemory-policy noeviction",
        "SET $2 w",
        Do("OBJECT IDLETIME $2", mask=_about_now),
    ),
    case("object-help", "OBJECT HELP", "object help"),
]


@pytest.mark.parametrize("a_case", CASES, ids=lambda c: c.name)
def test_object(a_case: Case, subject: Server, oracle: Oracle) -> None:
    oracle.check(a_case, subject)
