"""Bitmaps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from kevyrt import _core
from kevyrt.commands.base import Face, Key, Value

_BitField = TypeVar("_BitField", bound="BitField")


class BitField:
    """Operations on integers in a string, collected for one BITFIELD: `server.bitfield(key)`.

    Each method but execute() returns the object. A format is `u8`, `i16` and so on; an offset is a
    number of bits, or `#n`: n times the width of the format.

    >>> server.bitfield("flags").set("u8", 0, 200).incrby("u8", 0, 100, "SAT").execute()
    [0, 255]
    """

    __slots__ = ("_default", "_face", "_key", "_operations", "_overflow")

    def __init__(self, face: Face, key: Key, default_overflow: str | None = None) -> None:
        self._face = face
        self._key = key
        self._default = default_overflow
        self.reset()

    def reset(self) -> None:
        """Forgets what was collected."""
        self._operations: list[Value] = []
        self._overflow = "WRAP"
        self.overflow(self._default or "WRAP")

    def overflow(self: _BitField, overflow: str) -> _BitField:
        """What the increments that follow do with an overflow: `WRAP`, `SAT` or `FAIL`."""
        if overflow.upper() != self._overflow:
            self._overflow = overflow.upper()
            self._operations += ("OVERFLOW", self._overflow)
        return self

    def get(self: _BitField, fmt: str, offset: int | str) -> _BitField:
        """Reads an integer."""
        self._operations += ("GET", fmt, offset)
        return self

    def set(self: _BitField, fmt: str, offset: int | str, value: int) -> _BitField:
        """Writes an integer; the result is the one before."""
        self._operations += ("SET", fmt, offset, value)
        return self

    def incrby(
        self: _BitField, fmt: str, offset: int | str, increment: int, overflow: str | None = None
    ) -> _BitField:
        """Adds to an integer; the result is the new one, None if it overflows under `FAIL`."""
        if overflow is not None:
            self.overflow(overflow)
        self._operations += ("INCRBY", fmt, offset, increment)
        return self

    @property
    def command(self) -> list[Value]:
        """The words of the command."""
        return ["BITFIELD", self._key, *self._operations]

    def execute(self) -> Any:
        """Runs the command and forgets what was collected.

        Returns:
            A list with a result for each get(), set() and incrby(), as the face's methods return
            theirs.

        Raises:
            ResponseError: a format or an offset that is none.
            WrongTypeError: the key holds no string.
        """
        words = self.command
        self.reset()
        return self._face._run(_core.PLAIN, *words)


class BitmapCommands(Face):
    __slots__ = ()

    def bitfield(self, key: Key, default_overflow: str | None = None) -> BitField:
        """Collects operations on integers inside of a string; see BitField.

        Args:
            key: the key.
            default_overflow: `WRAP` (the default), `SAT` or `FAIL`.

        >>> server.bitfield("flags").set("u8", 0, 200).get("u8", 0).execute()
        [0, 200]
        """
        return BitField(self, key, default_overflow)

    def bitfield_ro(
        self,
        key: Key,
        encoding: str,
        offset: int | str,
        items: Iterable[tuple[str, int | str]] | None = None,
    ) -> list[int]:
        """Reads integers inside of a string.

        Args:
            key: the key.
            encoding: the format of the first, as `u8` or `i16`.
            offset: where it is, in bits, or `#n`: n times its width.
            items: (format, offset) of others.

        Raises:
            ResponseError: a format or an offset that is none.
            WrongTypeError: the key holds no string.
        """
        words: list[Value] = ["BITFIELD_RO", key, "GET", encoding, offset]
        for one, place in items or ():
            words += ("GET", one, place)
        return self._run(_core.PLAIN, *words)  # type: ignore[no-any-return]

    def bitpos(
        self,
        key: Key,
        bit: int,
        start: int | None = None,
        end: int | None = None,
        mode: str | None = None,
    ) -> int:
        """Where the first bit of a value is, in bits from the beginning; -1 if there is none.

        Args:
            key: the key.
            bit: 0 or 1.
            start, end: the range, both inclusive; negative from the end.
            mode: what they count: `BYTE` (the default) or `BIT`.

        Raises:
            ValueError: an end without a start.
            ResponseError: the bit is neither 0 nor 1.
            WrongTypeError: the key holds no string.
        """
        if start is None and end is not None:
            raise ValueError("bitpos() needs 'start' as well")
        words = [word for word in (start, end, mode) if word is not None]
        return self._run(_core.PLAIN, "BITPOS", key, bit, *words)  # type: ignore[no-any-return]
