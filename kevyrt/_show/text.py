"""As text: a line for reprs, tables for print."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kevyrt._show import units

if TYPE_CHECKING:
    from kevyrt._stats import Stats, StatsInterval
    from kevyrt._watch import StatsWatch

# Rows of a table; the objects have all of them.
_ROWS = 8
_KEY_WIDTH = 40


def part(of: float, rest: float) -> float | None:
    """`of` as a part of both, or None if there is nothing."""
    return of / (of + rest) if of + rest else None


# ---- Lines ---------------------------------------------------------------------------------------


def shards(number: int) -> str:
    return units.many(number, "shard")


def stats_line(stats: Stats) -> str:
    words = (
        shards(len(stats.shards)),
        f"{stats.total.keys:,} {'key' if stats.total.keys == 1 else 'keys'}",
        f"{units.size(stats.total.used_bytes)} used",
        f"{units.count(stats.commands_per_s)} commands/s",
    )
    return f"<kevyrt.Stats {', '.join(words)}>"


def interval_line(interval: StatsInterval) -> str:
    words = (
        units.span(interval.seconds),
        f"{interval.total.commands:,} commands",
        f"{units.count(interval.commands_per_s)} commands/s",
        f"p99 {units.time_ns(interval.latency.p99_ns)}",
    )
    return f"<kevyrt.StatsInterval {', '.join(words)}>"


def watch_line(watch: StatsWatch) -> str:
    state = watch.state
    return f"<kevyrt.StatsWatch {state}, {len(watch)} samples, every {watch.seconds:g} s>"


# ---- Tables --------------------------------------------------------------------------------------


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns side by side: the first one to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        first = cells[0].ljust(widths[0])
        rest = (cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
        return "  ".join((first, *rest)).rstrip()

    return [line(head), *map(line, rows)]


def _head(stats: Stats) -> list[str]:
    memory, latency = stats.memory, stats.latency
    connections = units.many(stats.total.connections, "connection")
    limit = units.size(memory.maxmemory_bytes) if memory.maxmemory_bytes else "none"
    return [
        f"kevyrt   {stats.backend}, {shards(len(stats.shards))}, "
        f"up {units.span(stats.uptime_ms / 1000)}",
        f"commands {units.count(stats.commands_per_s)}/s now, {stats.total.commands:,} in all, "
        f"hits {units.percent(stats.hit_rate)}, {connections}",
        f"latency  p50 {units.time_ns(latency.p50_ns)}, p99 {units.time_ns(latency.p99_ns)}, "
        f"p99.9 {units.time_ns(latency.p999_ns)}",
        f"memory   {units.size(memory.used_bytes)} used, {units.size(memory.peak_bytes)} at most, "
        f"limit {limit}",
    ]


def _commands(stats: Stats) -> list[str]:
    rows = [
        (
            command.name,
            f"{command.calls:,}",
            units.time_ns(command.time_ns),
            units.time_ns(command.latency.p50_ns),
            units.time_ns(command.latency.p99_ns),
            units.time_ns(command.latency.p999_ns),
            f"{command.failed + command.rejected:,}",
        )
        for command in stats.commands[:_ROWS]
    ]
    return table(("command", "calls", "time", "p50", "p99", "p99.9", "errors"), rows)


def source(stats: Stats, found: str = "estimated from") -> str:
    """What is known of types and big keys, and from how many keys."""
    if stats.keys == 1:
        return "from 1 key"
    if stats.keys_seen == stats.keys:
        return f"from all {stats.keys:,} keys"
    return f"{found} {stats.keys_seen:,} of {stats.keys:,} keys"


def _types(stats: Stats) -> list[str]:
    rows = [
        (
            kind.type,
            f"{kind.keys:,}",
            units.size(kind.bytes),
            units.size(kind.bytes / kind.keys) if kind.keys else units.NONE,
        )
        for kind in stats.types
        if kind.keys
    ]
    return [*table(("type", "keys", "memory", "per key"), rows), f"({source(stats)})"]


def _big_keys(stats: Stats) -> list[str]:
    rows = [
        (
            units.key(key.name, key.name_len, _KEY_WIDTH),
            str(key.db),
            key.type,
            units.size(key.bytes),
        )
        for key in stats.big_keys[:_ROWS]
    ]
    return table(("big key", "db", "type", "memory"), rows)


def _hot_keys(stats: Stats) -> list[str]:
    if stats.hot_kind == "frequency":
        rows = [
            (units.key(key.name, key.name_len, _KEY_WIDTH), str(key.db), str(key.frequency))
            for key in stats.hot_keys[:_ROWS]
        ]
        return table(("hot key", "db", "LFU counter"), rows)
    rows = [
        (
            units.key(key.name, key.name_len, _KEY_WIDTH),
            str(key.db),
            units.percent(key.share),
        )
        for key in stats.hot_keys[:_ROWS]
    ]
    return table(("hot key", "db", "accesses"), rows) if rows else []


def _shards(stats: Stats) -> list[str]:
    rows = [
        (
            str(number),
            f"{shard.keys:,}",
            f"{shard.commands:,}",
            units.size(shard.used_bytes),
            units.time_ns(shard.busy_ns),
            f"{shard.connections:,}",
        )
        for number, shard in enumerate(stats.shards)
    ]
    return table(("shard", "keys", "commands", "memory", "busy", "connections"), rows)


def stats_text(stats: Stats) -> str:
    parts = [_head(stats)]
    if stats.commands:
        parts.append(_commands(stats))
    if any(kind.keys for kind in stats.types):
        parts.append(_types(stats))
    if stats.big_keys:
        parts.append(_big_keys(stats))
    if hot := _hot_keys(stats):
        parts.append(hot)
    parts.append(_shards(stats))
    return "\n\n".join("\n".join(lines) for lines in parts).replace("\u2009", " ")


def watch_text(watch: StatsWatch) -> str:
    rows = [
        (
            f"{sample.seconds:.1f}",
            units.rate(sample.commands_per_s),
            units.time_ns(sample.p50_ns),
            units.time_ns(sample.p99_ns),
            units.time_ns(sample.p999_ns),
            f"{sample.keys:,}",
            units.size(sample.used_bytes),
        )
        for sample in watch.samples[-_ROWS:]
    ]
    head = ("seconds", "commands", "p50", "p99", "p99.9", "keys", "memory")
    return "\n".join([watch_line(watch), *table(head, rows)]).replace("\u2009", " ")
