"""DEBUG DIGEST: what redis-server says of the same data."""

from __future__ import annotations

import pytest
from harness.cases import Case, case
from harness.compare import Oracle
from harness.process import Server
from harness.resp import render
from harness.values import VALUES

CASES = [
    case(
        "digest-of-databases",
        "DEBUG DIGEST",
        "SET k0 a",
        "DEBUG DIGEST",
        "SET k1 12",
        "SELECT 3",
        "DEBUG DIGEST",
        "RPUSH k2 1 2 3",
        "SADD k3 a b 3",
        "DEBUG DIGEST",
        "SWAPDB 3 4",
        "DEBUG DIGEST",
        "SWAPDB 4 0",
        "DEBUG DIGEST",
        "FLUSHDB",
        "DEBUG DIGEST",
        "FLUSHALL",
        "DEBUG DIGEST",
    ),
    case(
        "digest-of-deadlines",
        "SET k0 a PX 100000",
        "SET k1 a",
        "DEBUG DIGEST-VALUE k0 k1 k2",
        "PEXPIRE k0 5000000",
        "DEBUG DIGEST-VALUE k0",
        "DEBUG DIGEST",
        "PERSIST k0",
        "DEBUG DIGEST",
        "DEBUG DIGEST-VALUE k0",
        "DEBUG DIGEST-VALUE",
        "DEBUG DIGEST k0",
        "MULTI",
        "SET k2 b",
        "DEBUG DIGEST",
        "EXEC",
    ),
    case(
        "digest-of-scores",
        "ZADD k0 0.1 a 1e300 b -5e-324 c 1234567.891 d inf e -inf f 3 g -0 h",
        "DEBUG DIGEST-VALUE k0",
    ),
]


@pytest.mark.parametrize("a_case", CASES, ids=lambda c: c.name)
def test_digest(a_case: Case, subject: Server, oracle: Oracle) -> None:
    oracle.check(a_case, subject)


def _digests(server: Server) -> list[str]:
    """Of each value by itself, and of all of them together, in several databases."""
    server.flush()
    replies = []
    with server.connect() as connection:
        for at, (name, make) in enumerate(VALUES.items()):
            key = f"value:{name}"
            connection.do("SELECT", at % 5)
            made = connection.pipeline(make(key))
            assert all(reply.kind != "error" for reply in made), name
            replies.append(connection.do("DEBUG", "DIGEST-VALUE", key))
            if at % 3 == 0:
                connection.do("EXPIRE", key, 10_000)
        replies.append(connection.do("DEBUG", "DIGEST"))
    return [render(reply) for reply in replies]


def test_digest_of_all_types(few: Server, oracle: Oracle) -> None:
    assert _digests(few) == _digests(oracle.server)
