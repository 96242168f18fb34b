"""Hashes."""

from __future__ import annotations

from typing import Any

from kevyrt import _core
from kevyrt.commands.base import Face, Key, Value, scan_words


class HashCommands(Face):
    __slots__ = ()

    def hscan(
        self,
        name: Key,
        cursor: int = 0,
        match: Value | None = None,
        count: int | None = None,
        no_values: bool | None = None,
    ) -> tuple[int, Any]:
        """A part of a hash, and the cursor of the next one; 0: that was the last.

        Args:
            name: the key.
            cursor: 0 at first, then what the call before returned.
            match: a pattern that fields match.
            count: about how many fields.
            no_values: fields alone, as a list.

        Returns:
            The cursor and a dict.

        Raises:
            WrongTypeError: the key holds no hash.
        """
        words = ["HSCAN", name, *scan_words(cursor, match, count)]
        if no_values is not None:
            words.append("NOVALUES")
        return self._run(_core.SCAN if no_values else _core.SCAN_DICT, *words)  # type: ignore[no-any-return]
