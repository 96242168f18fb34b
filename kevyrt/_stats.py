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
class PersistenceStats:
    """What is known of the log and of saves.

    Attributes:
        loading: data is being loaded, and nobody is served.
        restoring: restore() is reading, while the data that was there is served.
        save_running: an RDB file is being written for SAVE, BGSAVE or a save point.
        save_ok: the last one of these was written.
        last_save_time: when that was, or when the server started, in seconds since 1970.
        changes_since_save: changes of the data since then.
        saves: how many were begun since the server was made.
        rewrite_running: the log is being rewritten.
        rewrite_ok: the last rewrite was completed.
        rewrites: how many were begun since the server was made.
        aof_enabled: there is an append-only log.
        aof_ok: it can be written. Otherwise writes are refused.
        aof_queued_bytes: what waits to be written to it.
        aof_unsynced_bytes: what is written and may be lost if the machine loses power.
        aof_bytes: the length of all its files, and
        aof_base_bytes: what it was behind the last rewrite, or at the start.
        aof_syncs: how often it was synced.
        aof_sync_last_ns, aof_sync_max_ns: how long the last sync took, and the longest one.
        aof_syncs_delayed: with `appendfsync="everysec"`, those that were more than a second late.
    """

    loading: bool
    restoring: bool
    save_running: bool
    save_ok: bool
    last_save_time: int
    changes_since_save: int
    saves: int
    rewrite_running: bool
    rewrite_ok: bool
    rewrites: int
    aof_enabled: bool
    aof_ok: bool
    aof_queued_bytes: int
    aof_unsynced_bytes: int
    aof_bytes: int
    aof_base_bytes: int
    aof_syncs: int
    aof_sync_last_ns: int
    aof_sync_max_ns: int
    aof_syncs_delayed: int


@dataclass(frozen=True)
class Stats:
    """The server at one instant: no command is half done in it.

    Attributes:
        backend: what serves the sockets, "io_uring" or "epoll".
        backend_reason: why it is this one.
        uptime_ms: time since the start.
        connections_received: connections accepted since the start.
        connections_rejected: those of them that were sent away.
        persistence: the log, and saves.
        total: over all shards: sums, and the longest `loop_gap_max_ns`.
        shards: each shard.
    """

    backend: str
    backend_reason: str
    uptime_ms: int
    connections_received: int
    connections_rejected: int
    persistence: PersistenceStats
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
    persistence = PersistenceStats(**found["persistence"])
    apart = ("shards", "persistence")
    rest = {name: value for name, value in found.items() if name not in apart}
    return Stats(**rest, persistence=persistence, total=_total(shards), shards=shards)
