"""maxmemory in process: callers have the same budget as connections."""

from __future__ import annotations

import pytest

import kevyrt


def test_the_fast_path_keeps_the_budget() -> None:
    with kevyrt.Server(maxmemory="4mb", maxmemory_policy="allkeys-lru") as server:
        for i in range(10_000):
            assert server.set(f"key:{i}", b"x" * 1000) is True
        (shard,) = server.stats().shards
        assert shard.used_bytes < (4 << 20) + 100_000
        assert shard.evicted_keys == 10_000 - shard.keys > 5_000
        assert server.get(f"key:{9_999}") == b"x" * 1000
        assert server.get("key:0") is None


def test_writes_are_refused_and_reads_are_not() -> None:
    with kevyrt.Server(maxmemory="4mb") as server:
        with pytest.raises(kevyrt.ResponseError, match="OOM command not allowed"):
            for i in range(10_000):
                server.set(f"key:{i}", b"x" * 1000)
        assert server.get("key:0") == b"x" * 1000
        assert server.execute("DEL", *(f"key:{n}" for n in range(500))) == 500
        assert server.set("key:0", b"y") is True


def test_idle_time_follows_calls_in_process(server: kevyrt.Server) -> None:
    server.set("key", "value")
    assert server.execute("OBJECT", "IDLETIME", "key") in (0, 1)
    server.execute("CONFIG", "SET", "maxmemory-policy", "allkeys-lfu")
    server.set("other", "value")
    for _ in range(3):
        server.get("other")
    assert server.execute("OBJECT", "FREQ", "other") > 5
