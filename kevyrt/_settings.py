"""Keyword arguments become settings in Redis's names and text."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from kevyrt import _core

Word: TypeAlias = str | int | float | os.PathLike[str]
Value: TypeAlias = Word | Sequence[Word]

_WORD_TYPES = "str, bool, int, float, a path, or a sequence of these"


def text_of(name: str, value: object) -> str:
    """The text of a setting: True is yes, and the items of a sequence stand beside each other."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (str, int, float)):
        return str(value)
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
        return " ".join(text_of(name, item) for item in value)
    raise TypeError(f"{name} must be {_WORD_TYPES}, not {type(value).__name__}")


def _number(name: str, value: object, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be int, not {type(value).__name__}")
    if not least <= value <= most:
        raise ValueError(f"{name} must be from {least} to {most}, not {value}")
    return value


def _port_text(port: int | None) -> str:
    """For Redis 0 is no TCP; here that is None, and 0 is any free port, as everywhere in Python."""
    if port is None:
        return "0"
    return str(_number("port", port, 0, 65535) or "any")


def from_keywords(
    port: int | None,
    bind: str | Sequence[str],
    unixsocket: str | os.PathLike[str] | None,
    threads: int,
    io: str,
    config: Mapping[str, Value],
) -> list[tuple[str, str]]:
    """What ``Server(...)`` was given, as settings in the order in which they are set."""
    settings = [
        ("port", _port_text(port)),
        ("bind", text_of("bind", bind)),
        ("threads", str(_number("threads", threads, 1, _core.SHARDS_MAX))),
        ("io", text_of("io", io)),
    ]
    if unixsocket is not None:
        settings.append(("unixsocket", text_of("unixsocket", unixsocket)))
    settings.extend(
        (name.replace("_", "-"), text_of(name, value)) for name, value in config.items()
    )
    return settings
