"""MEMORY: the size of keys, and the server's own figures."""

from __future__ import annotations

import re

import pytest
from harness.cases import Case, Do, case, mask_number
from harness.compare import Oracle
from harness.process import Server

CASES = [
    case(
        "memory-usage",
        "MEMORY USAGE $0",
        "SET $0 v",
        Do("MEMORY USAGE $0", mask=mask_number),
        Do("MEMORY USAGE $0 SAMPLES 0", mask=mask_number),
        Do("memory usage $0 samples 5 SAMPLES 1", mask=mask_number),
        "MEMORY USAGE $0 SAMPLES",
        "MEMORY USAGE $0 SAMPLES x",
        "MEMORY USAGE $0 SAMPLES -1",
        "MEMORY USAGE $0 FOO 1",
        "MEMORY USAGE $0 FOO",
        "MEMORY USAGE",
        "MEMORY USAGE $1 SAMPLES -1",
        "PEXPIRE $0 1",
        "MEMORY",
        "MEMORY NOSUCH",
        "MEMORY PURGE",
        "MEMORY PURGE x",
        "MEMORY STATS x",
        "MEMORY DOCTOR x",
        "MEMORY MALLOC-STATS x",
    ),
    case("memory-help", "MEMORY HELP"),
]


@pytest.mark.parametrize("a_case", CASES, ids=lambda c: c.name)
def test_memory(a_case: Case, subject: Server, oracle: Oracle) -> None:
    oracle.check(a_case, subject)


def test_usage_follows_the_size(subject: Server) -> None:
    with subject.connect() as connection:
        for key in subject.spread(3):
            connection.do("SET", key, b"x")
            small = connection.do("MEMORY", "USAGE", key).value
            connection.do("SET", key, b"x" * 100_000)
            large = connection.do("MEMORY", "USAGE", key).value
            assert 20 <= small <= 120
            assert 100_000 <= large - small <= 140_000


@pytest.mark.parametrize("protocol", [2, 3])
def test_stats(ours: Server, protocol: int) -> None:
    with ours.connect() as connection:
        connection.do("HELLO", protocol)
        keys = ours.spread(50)
        connection.pipeline([("SET", key, b"v" * 1000) for key in keys])
        reply = connection.do("MEMORY", "STATS")
    pairs = reply.value if protocol == 3 else zip(reply.value[::2], reply.value[1::2], strict=True)
    stats = {name.value.decode(): value.value for name, value in pairs}
    assert stats["keys.count"] == 50
    assert 50_000 < stats["dataset.bytes"] < stats["total.allocated"] <= stats["peak.allocated"]
    assert stats["overhead.total"] == stats["total.allocated"] - stats["dataset.bytes"]
    assert stats["keys.bytes-per-key"] == stats["total.allocated"] // 50
    assert 0 < float(stats["dataset.percentage"]) <= 100
    assert float(stats["allocator-fragmentation.ratio"]) >= 1


def test_reports(ours: Server) -> None:
    with ours.connect() as connection:
        assert b"too little data" in connection.do("MEMORY", "DOCTOR").value
        keys = ours.spread(60)
        connection.pipeline([("SET", key, b"x" * 500_000) for key in keys])
        assert b"Peak: " not in connection.do("MEMORY", "DOCTOR").value
        connection.pipeline([("DEL", key) for key in keys[:40]])
        assert b"Peak: " in connection.do("MEMORY", "DOCTOR").value
        lines = connection.do("MEMORY", "MALLOC-STATS").value.decode().split("\r\n")
        assert all(line.startswith("shard") for line in lines if line)
        connection.do("HELLO", 3)
        assert connection.do("MEMORY", "DOCTOR").kind == "verbatim"


def test_every_shard_has_its_own_account(ours: Server) -> None:
    """Replies that come home from other shards are paid by those, and given back to them."""
    with ours.connect() as connection:
        for _ in range(20):
            connection.pipeline([("SET", key, b"x" * 9000) for key in ours.spread(100)])
            connection.pipeline([("GET", key) for key in ours.spread(100)])
        connection.do("FLUSHALL")
        lines = connection.do("MEMORY", "MALLOC-STATS").value.decode().split("\r\n")
    used = [int(re.search(r"used (\d+)", line)[1]) for line in lines if line]
    assert used and all(bytes_used < 1 << 32 for bytes_used in used)
