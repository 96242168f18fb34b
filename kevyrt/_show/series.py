"""Charts over time, of a watch."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kevyrt._show import svg, units
from kevyrt._show.panels import MARGIN, WIDTH, heading, nothing
from kevyrt._show.svg import Canvas, Scale

if TYPE_CHECKING:
    from kevyrt._watch import WatchSample

# What a line of the page can show: samples beyond it are put together.
POINTS_MAX = 240

_LEFT, _RIGHT = MARGIN + 64.0, WIDTH - 122.0
_HEIGHT = 120.0


@dataclass(frozen=True)
class Line:
    name: str
    colour: str
    values: Sequence[float | None]
    width: float = 1.8


@dataclass(frozen=True)
class Chart:
    title: str
    about: str
    lines: tuple[Line, ...]
    written: Callable[[float], str]
    logarithmic: bool = False
    base: float = 10


def bins(samples: Sequence[WatchSample]) -> list[Sequence[WatchSample]]:
    """As many neighbours together as it takes to have no more than POINTS_MAX."""
    each = -(-len(samples) // POINTS_MAX) or 1
    return [samples[i : i + each] for i in range(0, len(samples), each)]


# ---- One chart -----------------------------------------------------------------------------------


def _values(chart: Chart) -> list[float]:
    return [value for line in chart.lines for value in line.values if value is not None]


def _ticks(chart: Chart) -> list[float]:
    values = _values(chart)
    if chart.logarithmic:
        return svg.decades(values)
    most = max(values, default=0) or 1
    step = max(svg.nice_step(most, 4, chart.base), 1e-9)
    count = int(-(-most * 0.999999 // step))
    return [step * i for i in range(count + 1)]


def _segments(
    points: Sequence[tuple[float, float | None]], scale: Scale
) -> list[list[tuple[float, float]]]:
    """The line is interrupted where there is no value."""
    parts: list[list[tuple[float, float]]] = [[]]
    for x, value in points:
        if value is None:
            parts.append([])
        else:
            parts[-1].append((x, scale.at(value)))
    return [part for part in parts if part]


def _draw_line(
    canvas: Canvas, line: Line, places: Sequence[float], scale: Scale, fill: bool
) -> None:
    for part in _segments(list(zip(places, line.values, strict=True)), scale):
        if len(part) == 1:
            canvas.dot(*part[0], line.colour, radius=2)
        else:
            canvas.path(part, line.colour, width=line.width, floor=scale.start if fill else None)


def _label_lines(canvas: Canvas, chart: Chart, scale: Scale) -> None:
    """Each line's name and latest value, at its end."""
    known = [(line, [v for v in line.values if v is not None]) for line in chart.lines]
    known = [(line, values) for line, values in known if values]
    wanted = [scale.at(values[-1]) + 4 for _, values in known]
    places = svg.spread(wanted, 15, scale.end + 4, scale.start + 4)
    for (line, values), y in zip(known, places, strict=True):
        label = f"{line.name} {chart.written(values[-1])}".strip()
        canvas.dot(_RIGHT + 10, y - 4, line.colour, radius=3.5)
        canvas.text(_RIGHT + 18, y, label, size=12)


def draw(canvas: Canvas, chart: Chart, moments: Sequence[float], across: Scale) -> None:
    y = heading(canvas, MARGIN, canvas.bottom, chart.title, chart.about) + 4
    if not _values(chart):
        canvas.bottom = nothing(canvas, MARGIN, y, "nothing was measured yet") + 12
        return
    ticks = _ticks(chart)
    scale = Scale(ticks[0], ticks[-1], y + _HEIGHT, y, chart.logarithmic)
    for tick in ticks:
        level = scale.at(tick)
        canvas.line(_LEFT, level, _RIGHT, level, opacity=svg.FAINT)
        canvas.text(
            _LEFT - 8,
            level + 4,
            units.tick(tick, chart.written),
            anchor="end",
            size=11,
            opacity=svg.SOFT,
        )
    places = [across.at(moment) for moment in moments]
    for line in reversed(chart.lines):
        _draw_line(canvas, line, places, scale, fill=len(chart.lines) == 1)
    _label_lines(canvas, chart, scale)
    canvas.bottom = y + _HEIGHT
    _time_axis(canvas, across)


# ---- Time ----------------------------------------------------------------------------------------

_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)


def _time_axis(canvas: Canvas, across: Scale) -> None:
    span = across.high - across.low
    step = next((step for step in _STEPS if span / step <= 8), _STEPS[-1] * (1 + span // 691200))
    offset = time.localtime(across.low).tm_gmtoff
    moment = -(-(across.low + offset) // step) * step - offset
    form = "%H:%M:%S" if step < 60 else "%H:%M" if step < 43200 else "%d %b %H:%M"
    while moment <= across.high:
        x = across.at(moment)
        canvas.line(x, canvas.bottom, x, canvas.bottom + 4, opacity=0.5)
        canvas.text(
            x,
            canvas.bottom + 17,
            time.strftime(form, time.localtime(moment)),
            anchor="middle",
            size=11,
            opacity=svg.SOFT,
        )
        moment += step
    canvas.bottom += 36


# ---- Those of a watch ----------------------------------------------------------------------------


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _most(values: Sequence[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)


def _charts(groups: Sequence[Sequence[WatchSample]]) -> tuple[Chart, ...]:
    def each(of: Callable[[Sequence[WatchSample]], float | None]) -> list[float | None]:
        return [of(group) for group in groups]

    return (
        Chart(
            "Throughput",
            "commands per second",
            (Line("", svg.BLUE, each(lambda g: _mean([s.commands_per_s for s in g]))),),
            units.rate,
        ),
        Chart(
            "Latency",
            "of commands, without sockets; logarithmic",
            (
                Line("p50", svg.BLUE, each(lambda g: _most([s.p50_ns for s in g]))),
                Line("p99", svg.AMBER, each(lambda g: _most([s.p99_ns for s in g]))),
                Line("p99.9", svg.RED, each(lambda g: _most([s.p999_ns for s in g])), 4.0),
            ),
            units.time_ns,
            logarithmic=True,
        ),
        Chart(
            "Memory",
            "used for data and buffers",
            (Line("", svg.BLUE, each(lambda g: float(g[-1].used_bytes))),),
            units.size,
            base=1024,
        ),
    )


def charts(canvas: Canvas, samples: Sequence[WatchSample]) -> None:
    groups = bins(samples)
    moments = [group[-1].time for group in groups]
    first = samples[0].time - samples[0].seconds
    across = Scale(first, max(moments[-1], first + 1e-3), _LEFT, _RIGHT)
    for chart in _charts(groups):
        draw(canvas, chart, moments, across)
