"""What Server.stats() returns."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from kevyrt import _core, _frames, _show
from kevyrt._latency import Latency

# How many keys stats() looks at unless it is told.
SAMPLE = 10_000


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
        busy_ns: what its commands have taken, in nanoseconds, as `CommandStats.time_ns`.
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
    busy_ns: int


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
class MemoryStats:
    """Memory, in bytes.

    Attributes:
        used_bytes: handed out for data and buffers.
        held_bytes: taken from the system for it.
        peak_bytes: the most that was ever used.
        startup_bytes: used before there were any keys.
        table_bytes: of what is used: tables that keys are found by.
        client_bytes: held for connections.
        resident_bytes: the whole process's, what it does beside serving included.
        maxmemory_bytes: the limit of the setting `maxmemory`; 0: none.
        maxmemory_policy: what goes beyond the limit, by Redis's names.
    """

    used_bytes: int
    held_bytes: int
    peak_bytes: int
    startup_bytes: int
    table_bytes: int
    client_bytes: int
    resident_bytes: int
    maxmemory_bytes: int
    maxmemory_policy: str


@dataclass(frozen=True)
class CommandStats:
    """One command since the start, or since CONFIG RESETSTAT.

    Attributes:
        name: in Redis's form, "config|get" for a subcommand.
        calls: how often it was called, in process included.
        time_ns: what all calls have taken, in nanoseconds, as far as those that were measured tell:
            of short commands one in eight is, which stands for the others.
        failed: calls that replied an error.
        rejected: calls that were refused before they ran.
        latency: how long the calls took.
    """

    name: str
    calls: int
    time_ns: int
    failed: int
    rejected: int
    latency: Latency


@dataclass(frozen=True)
class TypeStats:
    """The keys of one type.

    Attributes:
        type: "string", "list", "set", "zset", "hash" or "stream".
        keys: how many there are, and
        bytes: what they occupy, as MEMORY USAGE tells it: both exact if `Stats.keys_seen` is
            `Stats.keys`, else estimates.
        keys_seen: how many of them were looked at.
    """

    type: str
    keys: int
    bytes: int
    keys_seen: int


@dataclass(frozen=True)
class BigKey:
    """A key that occupies much.

    Attributes:
        name: the key; of a long one the first 96 bytes.
        name_len: its length in bytes.
        db: the number of its database.
        type: as in TypeStats.
        bytes: what it occupies, as MEMORY USAGE tells it.
    """

    name: bytes
    name_len: int
    db: int
    type: str
    bytes: int


@dataclass(frozen=True)
class HotKey:
    """A key that is used much.

    Attributes:
        name: the key; of a long one the first 96 bytes.
        name_len: its length in bytes.
        db: the number of its database.
        share: its part of all accesses to keys lately, 0 to 1; None if `Stats.hot_kind` is
            "frequency".
        least_share: what that is at least; the sample is all that makes it uncertain.
        frequency: the counter of an LFU policy, 0 to 255, if `Stats.hot_kind` is "frequency".
    """

    name: bytes
    name_len: int
    db: int
    share: float | None
    least_share: float | None
    frequency: int | None


@dataclass(frozen=True, repr=False)
class Stats:
    """The server at one instant: no command is half done in the counters.

    What is told of commands, types and keys is read right behind that, in small parts between
    which the server serves, so it may differ from the counters by what was done meanwhile.

    A notebook shows it as a page, `print` as text. `later - earlier` is a StatsInterval.

    Attributes:
        time: when that was, in seconds since 1970.
        read_ns: the same on the monotonic clock, in nanoseconds.
        backend: what serves the sockets, "io_uring" or "epoll".
        backend_reason: why it is this one.
        uptime_ms: time since the start.
        connections_received: connections accepted since the start.
        connections_rejected: those of them that were sent away.
        input_bytes, output_bytes: what went through sockets since the start.
        error_replies: replies that were errors.
        commands_per_s, input_bytes_per_s, output_bytes_per_s: rates over the last one or two
            seconds, or since the last look, or the start, where that is longer ago.
        memory: what is used, by what.
        persistence: the log, and saves.
        total: over all shards: sums, and the longest `loop_gap_max_ns`.
        shards: each shard.
        latency: how long commands took, all of them together.
        commands: each command that was ever called, those that took most time first.
        keys: how many keys there were when they were looked at; 0 with `sample=0`.
        keys_seen: how many of them were looked at. The next stats() goes on with others.
        types: each type of value.
        big_keys: the biggest of the keys that were looked at, 16 at most.
        hot_kind: what is known of hot keys. "accesses": which keys were named by a sample of the
            calls of the last ten to twenty seconds; noted from the first stats() on, until nobody
            asked for a minute. "frequency": none were noted yet, but the policy of `maxmemory`
            is an LFU one, and these are the highest counters of the keys that were looked at.
            "nothing": so far neither.
        hot_keys: the keys that were used most, 16 at most; none if all are used alike.
    """

    time: float
    read_ns: int
    backend: str
    backend_reason: str
    uptime_ms: int
    connections_received: int
    connections_rejected: int
    input_bytes: int
    output_bytes: int
    error_replies: int
    commands_per_s: float
    input_bytes_per_s: float
    output_bytes_per_s: float
    memory: MemoryStats
    persistence: PersistenceStats
    total: ShardStats
    shards: tuple[ShardStats, ...]
    latency: Latency
    commands: tuple[CommandStats, ...]
    keys: int
    keys_seen: int
    types: tuple[TypeStats, ...]
    big_keys: tuple[BigKey, ...]
    hot_kind: Literal["accesses", "frequency", "nothing"]
    hot_keys: tuple[HotKey, ...]

    @property
    def hit_rate(self) -> float | None:
        """The part of look-ups by reading commands that found a key, 0 to 1; None without any."""
        return _show.part(self.total.keyspace_hits, self.total.keyspace_misses)

    def __sub__(self, earlier: Stats) -> StatsInterval:
        """What happened since `earlier`, which is of the same server.

        Raises:
            ValueError: it is later, or has another number of shards.
        """
        return interval(earlier, self)

    def to_dict(self) -> dict[str, Any]:
        """Everything as dicts, lists, strings and numbers, as JSON can hold them.

        Names of keys are text in UTF-8; bytes that are not are written as `\\xff`.
        """
        return _frames.plain_dict(self)

    def to_pandas(self) -> dict[str, Any]:
        """DataFrames of pandas by name: "shards", "commands", "types", "big_keys", "hot_keys".

        Each has a row per shard, command, type or key, and the fields of the objects as columns.

        Raises:
            ImportError: pandas is not installed.
        """
        return _frames.stats_frames(self)

    def __repr__(self) -> str:
        return _show.stats_line(self)

    def __str__(self) -> str:
        return _show.stats_text(self)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))

    def _repr_html_(self) -> str:
        return _show.stats_html(self)


@dataclass(frozen=True, repr=False)
class StatsInterval:
    """What happened between two Stats of a server.

    Attributes:
        start, end: when they were read, in seconds since 1970.
        seconds: how long that is.
        total: over all shards: what was counted meanwhile. Of `keys`, `connections`,
            `used_bytes` and `held_bytes` it is the change, which may be negative.
        shards: the same of each shard.
        latency: how long the commands took that ended meanwhile.
        commands: each command that was called meanwhile, those that took most time first.
        input_bytes, output_bytes: what went through sockets.

    Counters that began anew meanwhile (CONFIG RESETSTAT) count from there.
    """

    start: float
    end: float
    seconds: float
    total: ShardStats
    shards: tuple[ShardStats, ...]
    latency: Latency
    commands: tuple[CommandStats, ...]
    input_bytes: int
    output_bytes: int

    @property
    def commands_per_s(self) -> float:
        """Commands per second."""
        return self.total.commands / self.seconds if self.seconds else 0.0

    @property
    def hit_rate(self) -> float | None:
        """The part of look-ups by reading commands that found a key, 0 to 1; None without any."""
        return _show.part(self.total.keyspace_hits, self.total.keyspace_misses)

    def to_dict(self) -> dict[str, Any]:
        """Everything as dicts, lists, strings and numbers, as JSON can hold them."""
        return _frames.plain_dict(self)

    def __repr__(self) -> str:
        return _show.interval_line(self)


# ---- Reading -------------------------------------------------------------------------------------


def _total(shards: Iterable[ShardStats]) -> ShardStats:
    shards = tuple(shards)
    values = {
        field.name: sum(getattr(shard, field.name) for shard in shards)
        for field in fields(ShardStats)
    }
    values["loop_gap_max_ns"] = max(shard.loop_gap_max_ns for shard in shards)
    return ShardStats(**values)


def _memory(found: dict[str, Any], total: ShardStats) -> MemoryStats:
    names = [field.name for field in fields(MemoryStats) if field.name in found]
    values = {name: found.pop(name) for name in names}
    return MemoryStats(used_bytes=total.used_bytes, held_bytes=total.held_bytes, **values)


def _command(found: Mapping[str, Any]) -> CommandStats:
    return CommandStats(**{**found, "latency": Latency(tuple(found["latency"]))})


def _by_time(commands: Iterable[CommandStats]) -> tuple[CommandStats, ...]:
    return tuple(sorted(commands, key=lambda command: (-command.time_ns, command.name)))


def _type(found: Mapping[str, Any]) -> TypeStats:
    return TypeStats(**{**found, "keys": round(found["keys"]), "bytes": round(found["bytes"])})


def _big_key(found: Mapping[str, Any]) -> BigKey:
    return BigKey(**{field.name: found[field.name] for field in fields(BigKey)})


def _hot_key(found: Mapping[str, Any], kind: str, total: float) -> HotKey:
    accesses = kind == "accesses"
    return HotKey(
        name=found["name"],
        name_len=found["name_len"],
        db=found["db"],
        share=min(found["count"] / total, 1.0) if accesses else None,
        least_share=max(found["count"] - found["doubt"], 0.0) / total if accesses else None,
        frequency=None if accesses else round(found["count"]),
    )


def _stands_out(key: Mapping[str, Any]) -> bool:
    """If all keys are used alike, any are noted, and most of their counts is doubtful."""
    return bool(2 * key["doubt"] <= key["count"])


def from_core(found: Mapping[str, Any], survey: Mapping[str, Any]) -> Stats:
    rest = dict(found)
    busy = survey["busy_ns"]
    shards = tuple(
        ShardStats(**shard, busy_ns=ns) for shard, ns in zip(rest.pop("shards"), busy, strict=False)
    )
    total = _total(shards)
    commands = _by_time(map(_command, survey["commands"]))
    kind, accesses = survey["hot_kind"], survey["hot_total"]
    return Stats(
        time=time.time(),
        memory=_memory(rest, total),
        persistence=PersistenceStats(**rest.pop("persistence")),
        total=total,
        shards=shards,
        latency=Latency.sum(command.latency for command in commands),
        commands=commands,
        keys=survey["keys"],
        keys_seen=survey["keys_seen"],
        types=tuple(map(_type, survey["types"])),
        big_keys=tuple(map(_big_key, survey["big_keys"])),
        hot_kind=kind,
        hot_keys=tuple(
            _hot_key(key, kind, accesses) for key in survey["hot_keys"] if _stands_out(key)
        ),
        **rest,
    )


def read(server: _core.Server, sample: int | None) -> Stats:
    if sample is not None and sample < 0:
        raise ValueError("sample must not be negative")
    found = server._stats()
    return from_core(found, server._survey(2**63 if sample is None else min(sample, 2**63)))


# ---- Intervals -----------------------------------------------------------------------------------

_NOW = ("keys", "connections", "used_bytes", "held_bytes")


def _since(now: int, before: int) -> int:
    """Of a counter, which may have begun anew meanwhile."""
    return now - before if now >= before else now


def _shard_since(now: ShardStats, before: ShardStats) -> ShardStats:
    values = {}
    for field in fields(ShardStats):
        new, old = getattr(now, field.name), getattr(before, field.name)
        values[field.name] = new - old if field.name in _NOW else _since(new, old)
    return ShardStats(**{**values, "loop_gap_max_ns": now.loop_gap_max_ns})


def _command_since(now: CommandStats, before: CommandStats | None) -> CommandStats:
    if before is None or now.calls < before.calls:
        return now
    return replace(
        now,
        calls=now.calls - before.calls,
        time_ns=max(now.time_ns - before.time_ns, 0),
        failed=_since(now.failed, before.failed),
        rejected=_since(now.rejected, before.rejected),
        latency=now.latency - before.latency,
    )


def interval(earlier: Stats, later: Stats) -> StatsInterval:
    if later.read_ns < earlier.read_ns:
        raise ValueError("the first one must be the later one")
    if len(later.shards) != len(earlier.shards):
        raise ValueError("they are not of the same server")
    shards = tuple(map(_shard_since, later.shards, earlier.shards))
    before = {command.name: command for command in earlier.commands}
    commands = [_command_since(command, before.get(command.name)) for command in later.commands]
    commands = [command for command in commands if command.calls or command.rejected]
    return StatsInterval(
        start=earlier.time,
        end=later.time,
        seconds=(later.read_ns - earlier.read_ns) / 1e9,
        total=_total(shards),
        shards=shards,
        latency=Latency.sum(command.latency for command in commands),
        commands=_by_time(commands),
        input_bytes=_since(later.input_bytes, earlier.input_bytes),
        output_bytes=_since(later.output_bytes, earlier.output_bytes),
    )
