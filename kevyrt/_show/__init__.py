"""How a server, statistics and a watch show themselves: as a line, as text, as a page."""

from kevyrt._show.page import server_html, server_text, stats_html, watch_html
from kevyrt._show.text import (
    interval_line,
    part,
    stats_line,
    stats_text,
    watch_line,
    watch_text,
)

__all__ = [
    "interval_line",
    "part",
    "server_html",
    "server_text",
    "stats_html",
    "stats_line",
    "stats_text",
    "watch_html",
    "watch_line",
    "watch_text",
]
