"""Numbers as people read them, with their units, and names of keys."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

NONE = "–"  # noqa: RUF001
_SPACE = "\u2009"  # narrow: a number and its unit are one word


def _three(value: float) -> str:
    """Three digits, or as many as the number has before its point."""
    if value >= 99.95:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def _scaled(value: float, step: float, names: tuple[str, ...]) -> str:
    at = 0
    while value >= step * 0.9995 and at < len(names) - 1:
        value, at = value / step, at + 1
    number = f"{value:.0f}" if at == 0 else _three(value)
    return f"{number}{_SPACE}{names[at]}".rstrip(_SPACE)


def count(value: float) -> str:
    """1234567 is "1.23 M"; what is shorter than 100,000 is written out."""
    if value < 100_000:
        return f"{value:,.0f}"
    return _scaled(value, 1000, ("", "k", "M", "G", "T"))


def many(value: int, one: str, more: str = "") -> str:
    """1 is "1 key", 2 is "2 keys"."""
    return f"{count(value)} {one if value == 1 else more or one + 's'}"


def rate(value: float) -> str:
    """Per second."""
    if 0 < value < 10:
        return f"{_three(value)}/s"
    return f"{count(value)}/s"


def size(value: float) -> str:
    """Of bytes."""
    return _scaled(value, 1024, ("B", "KiB", "MiB", "GiB", "TiB"))


def time_ns(value: float | None) -> str:
    """Of nanoseconds."""
    if value is None:
        return NONE
    return _scaled(value, 1000, ("ns", "µs", "ms", "s")) if value < 600e9 else span(value / 1e9)


def percent(value: float | None) -> str:
    """Of a part, 0 to 1."""
    if value is None:
        return NONE
    if 0.9995 <= value < 1:
        return f"> 99.9{_SPACE}%"
    return f"{100 * value:.1f}{_SPACE}%" if 0 < value < 1 else f"{100 * value:.0f}{_SPACE}%"


def tick(value: float, written: Callable[[float], str]) -> str:
    """On an axis, where numbers are round: "5 MiB" instead of "5.00 MiB"."""
    return re.sub(r"\.0+(?=\D|$)", "", written(value)) if value else "0"


def span(seconds: float) -> str:
    """A length of time in its two largest units."""
    whole = int(seconds)
    for large, name, small, other in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= large:
            rest = whole % large // small
            return f"{whole // large}{_SPACE}{name} {rest}{_SPACE}{other}"
    return f"{seconds:.1f}{_SPACE}s" if seconds < 10 else f"{whole}{_SPACE}s"


def _width(letter: str) -> int:
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def key(name: bytes, length: int, limit: int) -> str:
    """The name of a key in printable letters, as wide as `limit` usual ones at most."""
    text = "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in name.decode("utf-8", "backslashreplace")
    )
    if length <= len(name) and sum(map(_width, text)) <= limit:
        return text or '""'
    while text and sum(map(_width, text)) > limit - 1:
        text = text[:-1]
    return text + "…"
