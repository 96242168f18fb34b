"""As a page: HTML with one drawing, without scripts, style sheets or anything from elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from kevyrt import _core
from kevyrt._show import panels, series, svg, text, units
from kevyrt._show.svg import Canvas

if TYPE_CHECKING:
    from kevyrt._stats import Stats
    from kevyrt._watch import StatsWatch
    from kevyrt.server import Server

# How many keys a server looks at to show itself: it takes some milliseconds.
_SERVER_SAMPLE = 200_000


def _page(picture: str) -> str:
    return f'<div style="max-width:{svg.number(panels.WIDTH)}px;overflow-x:auto">{picture}</div>'


def _title(canvas: Canvas, name: str, words: str, moment: float | None = None) -> None:
    y, x = canvas.bottom + 20, panels.MARGIN
    canvas.text(x, y, name, size=16, bold=True)
    canvas.text(x + 10 + 9.2 * len(name), y, words, size=12, opacity=svg.SOFT)
    if moment is not None:
        told = time.strftime("%H:%M:%S", time.localtime(moment))
        canvas.text(panels.WIDTH - x, y, told, anchor="end", size=12, opacity=svg.SOFT)
    canvas.line(x, y + 10, panels.WIDTH - x, y + 10, opacity=svg.FAINT)
    canvas.bottom = y + 24


def stats_html(stats: Stats, state: str = "", url: str | None = None) -> str:
    """`state` and `url`: of the server, if it is the server that is shown."""
    words = [
        *filter(None, (state, url)),
        stats.backend,
        text.shards(len(stats.shards)),
        f"up {units.span(stats.uptime_ms / 1000)}",
        units.many(stats.total.connections, "connection"),
    ]
    canvas = Canvas(panels.WIDTH)
    _title(canvas, "kevyrt", " · ".join(words), stats.time)
    panels.figures(canvas, stats)
    panels.latencies(canvas, stats)
    panels.pair(canvas, panels.types, panels.big_keys, stats)
    panels.pair(canvas, panels.hot_keys, panels.balance, stats)
    return _page(canvas.whole("Statistics of a kevyrt server"))


def _why_not(error: Exception) -> str:
    if isinstance(error, _core.ForkedError):
        return "belongs to the parent of this process"
    if isinstance(error, _core.ServerStopped):
        return "not running"
    return f"cannot be shown: {type(error).__name__}: {error}"


def server_html(server: Server) -> str:
    """Whatever state it is in: showing an object never fails."""
    try:
        return stats_html(server.stats(_SERVER_SAMPLE), "running", server.url)
    except Exception as error:
        return closed_html(_why_not(error))


def server_text(server: Server) -> str:
    try:
        return f"{server!r}\n{server.stats(_SERVER_SAMPLE)}"
    except Exception as error:
        return f"<kevyrt.{type(server).__name__} {_why_not(error)}>"


def closed_html(why: str) -> str:
    """Of a server that has nothing to show."""
    canvas = Canvas(panels.WIDTH)
    _title(canvas, "kevyrt", why)
    return _page(canvas.whole(f"A kevyrt server: {why}"))


def watch_html(watch: StatsWatch) -> str:
    samples = watch.samples
    canvas = Canvas(panels.WIDTH)
    words = f"watch, {watch.state}, {len(samples):,} samples, every {watch.seconds:g}\u2009s"
    _title(canvas, "kevyrt", words, samples[-1].time if samples else None)
    if samples:
        series.charts(canvas, samples)
    else:
        canvas.bottom = panels.nothing(canvas, panels.MARGIN, canvas.bottom, "no samples yet")
    return _page(canvas.whole("Throughput, latency and memory of a kevyrt server over time"))
