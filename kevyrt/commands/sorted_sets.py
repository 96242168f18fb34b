"""Sorted sets."""

from __future__ import annotations

from collections.abc import Mapping

from kevyrt import _core
from kevyrt.commands.base import Face, Key, Value


class SortedSetCommands(Face):
    __slots__ = ()

    def zadd(
        self,
        name: Key,
        mapping: Mapping[Value, float],
        nx: bool = False,
        xx: bool = False,
        ch: bool = False,
        incr: bool = False,
        gt: bool = False,
        lt: bool = False,
    ) -> int | float | None:
        """Adds members with their scores; the number of those that are new.

        Args:
            name: the key.
            mapping: members to scores.
            nx: adds only, changes none.
            xx: changes only, adds none.
            ch: counts those that are changed as well.
            incr: adds to the score of the only member, and returns the new score (None if `nx`,
                `xx`, `gt` or `lt` forbade it).
            gt: changes a score only to a greater one.
            lt: changes a score only to a lower one.

        Raises:
            ResponseError: options that exclude each other; a score that is no number.
            WrongTypeError: the key holds something else.

        >>> server.zadd("ladder", {"ann": 7, "bob": 5})
        2
        """
        words: list[Value] = ["ZADD", name]
        for option, wanted in (("NX", nx), ("XX", xx), ("GT", gt), ("LT", lt), ("CH", ch)):
            if wanted:
                words.append(option)
        if incr:
            words.append("INCR")
        for member, score in mapping.items():
            words += (score, member)
        return self._run(_core.FLOAT if incr else _core.PLAIN, *words)  # type: ignore[no-any-return]
