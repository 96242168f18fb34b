"""What Server.stats() returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class ShardStats:
    """Counters of one shard since the start, or of all of them together.

    Attributes:
        commands: commands executed, those of in-process calls included.
        keys: keys in all databases now.
        keyspace_hits, keyspace_misses: look-ups of keys by reading commands.
        expired_keys, evicted_keys: keys that went by their deadline, or for lack of memory.
        connections: connections served now.
        used_bytes: memory handed out for data and buffers.
        held_bytes: memory taken from the system for data.
        baton_waits: how often a thread had to wait for the shard's data.
        baton_wait_ns: for how long all of them together.
        loops: turns of the shard's event loop.
        loop_gap_max_ns: the longest time between two looks at its sockets while it was busy.
        loop_gaps_over_1ms: how many such times were longer than a millisecond.
        borrowed_runs: runs of commands for this shard's connections on other shards' data.
        forwarded_requests: commands handed to the thread of another shard.
    """

    commands: int
    keys: int
    keyspace_hits: int
    keyspace_misses: int
    expired_keys: int
    evicted_keys: int
    connections: int
    used_bytes: int
    held_bytes: int
    baton_waits: int
    baton_wait_ns: int
    loops: int
    loop_gap_max_ns: int
    loop_gaps_over_1ms: int
    borrowed_runs: int
    forwarded_requests: int


@dataclass(frozen=True)
class Stats:
    """The server at one instant: no command is half done in it.

    Attributes:
        backend: what serves the sockets, "io_uring" or "epoll".
        backend_reason: why it is this one.
        uptime_ms: time since the start.
        connections_received: connections accepted since the start.
        connections_rejected: those of them that were sent away.
        total: over all shards: sums, and the longest `loop_gap_max_ns`.
        shards: each shard.
    """

    backend: str
    backend_reason: str
    uptime_ms: int
    connections_received: int
    connections_rejected: int
    total: ShardStats
    shards: tuple[ShardStats, ...]


def _total(shards: tuple[ShardStats, ...]) -> ShardStats:
    values = {
        field.name: sum(getattr(shard, field.name) for shard in shards)
        for field in fields(ShardStats)
    }
    values["loop_gap_max_ns"] = max(shard.loop_gap_max_ns for shard in shards)
    return ShardStats(**values)


def from_core(found: Mapping[str, Any]) -> Stats:
    shards = tuple(ShardStats(**shard) for shard in found["shards"])
    rest = {name: value for name, value in found.items() if name != "shards"}
    return Stats(**rest, total=_total(shards), shards=shards)
