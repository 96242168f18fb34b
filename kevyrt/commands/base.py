"""What the families of methods stand on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

# What a command takes: str is sent as UTF-8; anything else that has a buffer works as well.
Key: TypeAlias = str | bytes | bytearray | memoryview | int | float
Value: TypeAlias = Key
# A constant of kevyrt._core (PLAIN, OK, BOOL, ...), or what makes the result of the decoded reply.
Result: TypeAlias = int | Callable[[Any], Any]


class Face:
    """An object with a method for every command."""

    __slots__ = ()

    def _run(self, result: Result, /, *words: Value) -> Any:
        """Does with a command what the face does."""
        raise NotImplementedError
