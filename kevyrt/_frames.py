"""Statistics as plain values, and as DataFrames if pandas is there."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from kevyrt._latency import Latency

if TYPE_CHECKING:
    from kevyrt._stats import Stats


def plain(value: Any) -> Any:
    """What JSON can hold."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if is_dataclass(value):
        return plain_dict(value)
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    return value


def plain_dict(value: Any) -> dict[str, Any]:
    return {field.name: plain(getattr(value, field.name)) for field in fields(value)}


def pandas() -> Any:
    try:
        return importlib.import_module("pandas")
    except ImportError as error:
        raise ImportError(
            'to_pandas() needs pandas, which is not installed: "pip install pandas"'
        ) from error


def _row(item: Any) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for field in fields(item):
        value = getattr(item, field.name)
        if isinstance(value, Latency):
            row.update(p50_ns=value.p50_ns, p99_ns=value.p99_ns, p999_ns=value.p999_ns)
        else:
            row[field.name] = value
    return row


def frame(items: Iterable[Any], kind: type[Any]) -> Any:
    """A row per item. Without any it has the columns that it would have."""
    rows = [_row(item) for item in items]
    if rows:
        return pandas().DataFrame(rows)
    names = [field.name for field in fields(kind) if field.name != "latency"]
    if len(names) < len(fields(kind)):
        names += ["p50_ns", "p99_ns", "p999_ns"]
    return pandas().DataFrame({name: [] for name in names})


def stats_frames(stats: Stats) -> dict[str, Any]:
    from kevyrt._stats import BigKey, CommandStats, HotKey, ShardStats, TypeStats

    return {
        "shards": frame(stats.shards, ShardStats),
        "commands": frame(stats.commands, CommandStats),
        "types": frame(stats.types, TypeStats),
        "big_keys": frame(stats.big_keys, BigKey),
        "hot_keys": frame(stats.hot_keys, HotKey),
    }
