"""What the families of methods stand on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

# What a command takes: str is sent as UTF-8; anything else that has a buffer works as well.
Key: TypeAlias = str | bytes | bytearray | memoryview | int | float
Value: TypeAlias = Key
# One, or several.
Keys: TypeAlias = Key | Iterable[Key]
# A constant of kevyrt._core (PLAIN, OK, BOOL, ...), or what makes the result of the decoded reply.
Result: TypeAlias = int | Callable[[Any], Any]


class Face:
    """An object with a method for every command."""

    __slots__ = ()

    def _run(self, result: Result, /, *words: Value) -> Any:
        """Does with a command what the face does."""
        raise NotImplementedError


def scan_words(
    cursor: Value, match: Value | None, count: int | None, kind: str | None = None
) -> list[Value]:
    """What the commands that scan have in common."""
    words = [cursor]
    for option, value in (("MATCH", match), ("COUNT", count), ("TYPE", kind)):
        if value is not None:
            words += (option, value)
    return words
