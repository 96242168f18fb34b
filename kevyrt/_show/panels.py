"""The panels of the page about one Stats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from kevyrt._show import svg, text, units
from kevyrt._show.svg import Canvas, Scale

if TYPE_CHECKING:
    from kevyrt._stats import ShardStats, Stats

WIDTH, MARGIN, GAP = 880.0, 12.0, 28.0
HALF = (WIDTH - 2 * MARGIN - GAP) / 2

_ROW = 22.0
_ROWS = 8
_PERCENTILES = (("p50", svg.BLUE), ("p99", svg.AMBER), ("p99.9", svg.RED))
_TYPE_COLOURS = {
    "string": svg.BLUE,
    "list": svg.AMBER,
    "set": svg.GREEN,
    "zset": svg.VIOLET,
    "hash": svg.RED,
    "stream": svg.TEAL,
}


def heading(canvas: Canvas, x: float, y: float, title: str, about: str = "") -> float:
    """Returns where the panel goes on."""
    canvas.text(x, y + 14, title, size=14, bold=True)
    if about:
        canvas.text(x, y + 30, about, size=11, opacity=svg.SOFT)
    return y + (40 if about else 24)


def nothing(canvas: Canvas, x: float, y: float, why: str) -> float:
    canvas.text(x, y + 14, why, size=12, opacity=svg.SOFT)
    return y + 24


# ---- Figures -------------------------------------------------------------------------------------


def _memory_limit(stats: Stats) -> str:
    memory = stats.memory
    if not memory.maxmemory_bytes:
        return f"{units.size(memory.peak_bytes)} at most, no limit"
    return f"of {units.size(memory.maxmemory_bytes)} ({memory.maxmemory_policy})"


def _figures(stats: Stats) -> list[tuple[str, str, str]]:
    total, latency = stats.total, stats.latency
    return [
        ("Throughput", units.rate(stats.commands_per_s), units.many(total.commands, "command")),
        (
            "Latency, median",
            units.time_ns(latency.p50_ns),
            f"p99 {units.time_ns(latency.p99_ns)}, p99.9 {units.time_ns(latency.p999_ns)}",
        ),
        (
            "Keys",
            units.count(total.keys),
            f"{units.count(total.expired_keys)} expired, {units.count(total.evicted_keys)} evicted",
        ),
        ("Memory used", units.size(stats.memory.used_bytes), _memory_limit(stats)),
        (
            "Hit rate",
            units.percent(stats.hit_rate),
            units.many(total.keyspace_misses, "miss", "misses"),
        ),
    ]


# How wide each of the figures is: their second lines are not equally long.
_FIGURE_WIDTHS = (142.0, 190.0, 160.0, 222.0, 130.0)


def figures(canvas: Canvas, stats: Stats) -> None:
    x, y = MARGIN, canvas.bottom
    for (name, value, about), width in zip(_figures(stats), _FIGURE_WIDTHS, strict=True):
        canvas.text(x, y + 12, name, size=12, opacity=svg.SOFT)
        canvas.text(x, y + 38, value, size=22, bold=True)
        canvas.text(x, y + 56, about, size=11, opacity=svg.SOFT)
        x += width
    canvas.bottom = y + 72


# ---- Latency -------------------------------------------------------------------------------------

_AXIS = (326.0, 640.0)
_NUMBERS = (716.0, 792.0, 868.0)
_CALLS_X, _TIME_X = 238.0, 302.0


def _latency_head(canvas: Canvas, y: float) -> None:
    for x, word in ((_CALLS_X, "calls"), (_TIME_X, "of time")):
        canvas.text(x, y, word, anchor="end", size=11, opacity=svg.SOFT)
    for x, (name, colour) in zip(_NUMBERS, _PERCENTILES, strict=True):
        canvas.text(x, y, name, anchor="end", size=11, opacity=svg.SOFT)
        canvas.dot(x - 44, y - 4, colour)


def _latency_axis(
    canvas: Canvas, ticks: Sequence[float], scale: Scale, y: float, end: float
) -> None:
    for tick in ticks:
        x = scale.at(tick)
        canvas.line(x, y, x, end, opacity=svg.FAINT)
        canvas.text(
            x, end + 14, units.tick(tick, units.time_ns), anchor="middle", size=11, opacity=svg.SOFT
        )


def latencies(canvas: Canvas, stats: Stats) -> None:
    y = heading(
        canvas,
        MARGIN,
        canvas.bottom,
        "Latency of commands",
        "of the command alone, without sockets; those that took most time in all",
    )
    y += 16
    shown = [command for command in stats.commands if command.latency.counts][:_ROWS]
    if not shown:
        canvas.bottom = nothing(canvas, MARGIN, y, "no command was measured yet") + 12
        return
    of_all = sum(command.time_ns for command in stats.commands) or 1
    times = [[c.latency.p50_ns or 0, c.latency.p99_ns or 0, c.latency.p999_ns or 0] for c in shown]
    ticks = svg.decades(time for row in times for time in row)
    scale = Scale(ticks[0], ticks[-1], *_AXIS, logarithmic=True)
    _latency_head(canvas, y - 4)
    _latency_axis(canvas, ticks, scale, y, y + _ROW * len(shown) + 4)
    for command, row in zip(shown, times, strict=True):
        middle = y + _ROW / 2 + 2
        canvas.text(MARGIN, middle + 4, command.name)
        canvas.text(_CALLS_X, middle + 4, units.count(command.calls), anchor="end")
        canvas.text(_TIME_X, middle + 4, units.percent(command.time_ns / of_all), anchor="end")
        canvas.line(scale.at(row[0]), middle, scale.at(row[2]), middle, width=2, opacity=0.35)
        for place, time, (name, colour) in zip(_NUMBERS, row, _PERCENTILES, strict=True):
            told = units.time_ns(time)
            canvas.dot(scale.at(time), middle, colour, title=f"{command.name} {name} {told}")
            canvas.text(place, middle + 4, told, anchor="end")
        y += _ROW
    canvas.bottom = y + 4 + 14 + 18


# ---- Bars ----------------------------------------------------------------------------------------


def _bars(
    canvas: Canvas,
    x: float,
    y: float,
    rows: Sequence[tuple[str, str, float, str, str]],
    names: float,
) -> float:
    """Rows of name, its title, a value for the bar, its colour, and what is told of it."""
    most = max((row[2] for row in rows), default=0) or 1
    told = max((len(row[4]) for row in rows), default=0) * 6.3 + 10
    room = HALF - names - told
    for name, title, value, colour, about in rows:
        canvas.text(x, y + 15, name, title=title)
        canvas.rect(x + names, y + 4, max(room * value / most, 1.5), 14, colour, radius=2)
        canvas.text(x + HALF, y + 15, about, anchor="end")
        y += _ROW
    return y


def types(canvas: Canvas, x: float, y: float, stats: Stats) -> float:
    known = [kind for kind in stats.types if kind.keys]
    about = text.source(stats) if stats.keys else ""
    y = heading(canvas, x, y, "Memory by type", about)
    if not known:
        return nothing(canvas, x, y, "no keys" if not stats.total.keys else "not looked at")
    known.sort(key=lambda kind: -kind.bytes)
    rows = [
        (
            kind.type,
            f"{kind.keys:,} keys, {kind.bytes:,} bytes",
            float(kind.bytes),
            _TYPE_COLOURS[kind.type],
            f"{units.size(kind.bytes)}, {units.many(kind.keys, 'key')}",
        )
        for kind in known
    ]
    return _bars(canvas, x, y, rows, 60)


_NAME_LETTERS, _NAME_WIDTH = 22, 178.0


def _name(name: bytes, length: int, db: int) -> tuple[str, str]:
    where = f" (database {db})" if db else ""
    return units.key(name, length, _NAME_LETTERS), units.key(name, length, 96) + where


def big_keys(canvas: Canvas, x: float, y: float, stats: Stats) -> float:
    about = text.source(stats, "found in") if stats.keys else ""
    y = heading(canvas, x, y, "Big keys", about)
    if not stats.big_keys:
        return nothing(canvas, x, y, "no keys" if not stats.total.keys else "not looked at")
    rows = [
        (
            *_name(key.name, key.name_len, key.db),
            float(key.bytes),
            _TYPE_COLOURS[key.type],
            units.size(key.bytes),
        )
        for key in stats.big_keys[:_ROWS]
    ]
    return _bars(canvas, x, y, rows, _NAME_WIDTH)


def hot_keys(canvas: Canvas, x: float, y: float, stats: Stats) -> float:
    if stats.hot_kind == "frequency":
        y = heading(canvas, x, y, "Hot keys", f"LFU counters, {text.source(stats, 'found in')}")
        rows = [
            (*_name(k.name, k.name_len, k.db), float(k.frequency or 0), svg.BLUE, str(k.frequency))
            for k in stats.hot_keys[:_ROWS]
        ]
        return _bars(canvas, x, y, rows, _NAME_WIDTH)
    y = heading(canvas, x, y, "Hot keys", "parts of the accesses of the last 10 to 20 seconds")
    if not stats.hot_keys:
        noted = stats.hot_kind == "accesses"
        why = "no key stands out" if noted else "accesses are noted from now on: look again"
        return nothing(canvas, x, y, why)
    rows = [
        (*_name(k.name, k.name_len, k.db), k.share or 0.0, svg.BLUE, units.percent(k.share))
        for k in stats.hot_keys[:_ROWS]
    ]
    return _bars(canvas, x, y, rows, _NAME_WIDTH)


# ---- Shards --------------------------------------------------------------------------------------

_BALANCE: tuple[tuple[str, Callable[[ShardStats], int], Callable[[float], str]], ...] = (
    ("keys", lambda shard: shard.keys, units.count),
    ("commands", lambda shard: shard.commands, units.count),
    ("memory", lambda shard: shard.used_bytes, units.size),
    ("time busy", lambda shard: shard.busy_ns, units.time_ns),
)
# What is above so many times the mean is no balance.
_TOO_MUCH = 1.5
_BALANCE_HEIGHT = 40.0


def _balance(canvas: Canvas, x: float, y: float, row: int, shards: Sequence[ShardStats]) -> None:
    name, value_of, written = _BALANCE[row]
    values = [value_of(shard) for shard in shards]
    most, mean = max(values) or 1, sum(values) / len(values)
    left, right, height = x + 76, x + HALF - 118, _BALANCE_HEIGHT - 8
    step = (right - left) / len(values)
    bar = min(step * 0.8, 40)
    canvas.text(x, y + height - 2, name)
    for number, value in enumerate(values):
        tall = height * value / most
        middle = left + step * (number + 0.5)
        title = f"shard {number}: {written(value)}"
        colour = svg.AMBER if value > _TOO_MUCH * mean else svg.BLUE
        canvas.rect(middle - bar / 2, y + height - tall, bar, tall, colour, title=title)
    level = y + height * (1 - mean / most)
    canvas.line(left, level, right, level, opacity=svg.SOFT, dash="3 3")
    canvas.line(left, y + height, right, y + height, opacity=svg.FAINT)
    canvas.text(x + HALF, y + height - 15, f"mean {written(mean)}", anchor="end", size=11)
    most_text = f"most {max(values) / mean:.2f} \u00d7 mean" if mean else "nothing yet"
    canvas.text(x + HALF, y + height - 1, most_text, anchor="end", size=11, opacity=svg.SOFT)


def balance(canvas: Canvas, x: float, y: float, stats: Stats) -> float:
    about = "a bar per shard; dashed: the mean; amber: 1.5 times that"
    if len(stats.shards) == 1:
        about = "it has everything"
    y = heading(canvas, x, y, f"Balance of {text.shards(len(stats.shards))}", about)
    for row in range(len(_BALANCE)):
        _balance(canvas, x, y, row, stats.shards)
        y += _BALANCE_HEIGHT + 6
    return y


def pair(
    canvas: Canvas,
    left: Callable[[Canvas, float, float, Stats], float],
    right: Callable[[Canvas, float, float, Stats], float],
    stats: Stats,
) -> None:
    """Two panels side by side."""
    y = canvas.bottom
    ends = left(canvas, MARGIN, y, stats), right(canvas, MARGIN + HALF + GAP, y, stats)
    canvas.bottom = max(ends) + 18
