"""Iterators over everything that a scan finds.

Each asks for one part after another, with what the call before returned as cursor. What is there
all the time is found at least once; what comes or goes meanwhile may be or not.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeAlias

from kevyrt import _core
from kevyrt.commands.base import Face, Key, Result, Value, scan_words

ScoreCast: TypeAlias = Callable[[Any], Any]


def _scan_scores(cast: ScoreCast | None) -> Result:
    """(cursor, [(member, score), ...])"""
    if cast is None or cast is float:
        return _core.SCAN_SCORES

    def convert(reply: list[Any]) -> tuple[int, list[tuple[Any, Any]]]:
        flat = reply[1]
        scores = [as_bytes(score) for score in flat[1::2]]
        return int(reply[0]), list(zip(flat[::2], map(cast, scores), strict=True))

    return convert


def as_bytes(score: bytes | str) -> bytes:
    """A cast is given bytes, with decode_responses too."""
    return score.encode() if isinstance(score, str) else score


class Iterators(Face):
    """Of faces that call."""

    __slots__ = ()

    def _scan(self, result: Result, words: tuple[Value, ...], *options: Any) -> Iterator[Any]:
        cursor = 0
        while True:
            cursor, found = self._run(result, *words, *scan_words(cursor, *options))
            yield found
            if cursor == 0:
                return

    def scan_iter(
        self, match: Value | None = None, count: int | None = None, _type: str | None = None
    ) -> Iterator[bytes]:
        """All keys, part by part; see scan().

        Args:
            match: a pattern that keys match.
            count: about how many keys are asked for at a time.
            _type: only keys of this type, as `string` or `hash`.

        >>> server.set("greeting", "hello")
        True
        >>> list(server.scan_iter("greet*"))
        [b'greeting']
        """
        for found in self._scan(_core.SCAN, ("SCAN",), match, count, _type):
            yield from found

    def sscan_iter(
        self, name: Key, match: Value | None = None, count: int | None = None
    ) -> Iterator[bytes]:
        """All members of a set, part by part; see sscan().

        Args:
            name: the key.
            match: a pattern that members match.
            count: about how many members are asked for at a time.
        """
        for found in self._scan(_core.SCAN, ("SSCAN", name), match, count):
            yield from found

    def hscan_iter(
        self,
        name: Key,
        match: Value | None = None,
        count: int | None = None,
        no_values: bool | None = None,
    ) -> Iterator[Any]:
        """All (field, value) of a hash, part by part; see hscan().

        Args:
            name: the key.
            match: a pattern that fields match.
            count: about how many fields are asked for at a time.
            no_values: fields alone.
        """
        for found in self._scan(_core.SCAN_DICT, ("HSCAN", name), match, count):
            yield from found if no_values else found.items()

    def zscan_iter(
        self,
        name: Key,
        match: Value | None = None,
        count: int | None = None,
        score_cast_func: ScoreCast | None = None,
    ) -> Iterator[tuple[bytes, Any]]:
        """All (member, score) of a sorted set, part by part; see zscan().

        Args:
            name: the key.
            match: a pattern that members match.
            count: about how many members are asked for at a time.
            score_cast_func: what makes a score of its text; float by default.
        """
        result = _scan_scores(score_cast_func)
        for found in self._scan(result, ("ZSCAN", name), match, count):
            yield from found


class AsyncIterators(Face):
    """Of faces that await."""

    __slots__ = ()

    async def _scan(
        self, result: Result, words: tuple[Value, ...], *options: Any
    ) -> AsyncIterator[Any]:
        cursor = 0
        while True:
            cursor, found = await self._run(result, *words, *scan_words(cursor, *options))
            for one in found:
                yield one
            if cursor == 0:
                return

    def scan_iter(
        self, match: Value | None = None, count: int | None = None, _type: str | None = None
    ) -> AsyncIterator[bytes]:
        """All keys, part by part, for `async for`; see Server.scan_iter."""
        return self._scan(_core.SCAN, ("SCAN",), match, count, _type)

    def sscan_iter(
        self, name: Key, match: Value | None = None, count: int | None = None
    ) -> AsyncIterator[bytes]:
        """All members of a set, part by part, for `async for`; see Server.sscan_iter."""
        return self._scan(_core.SCAN, ("SSCAN", name), match, count)

    async def hscan_iter(
        self,
        name: Key,
        match: Value | None = None,
        count: int | None = None,
        no_values: bool | None = None,
    ) -> AsyncIterator[Any]:
        """All (field, value) of a hash, part by part, for `async for`; see Server.hscan_iter."""
        words = ("HSCAN", name)
        result = _core.SCAN_DICT if no_values else _items
        async for one in self._scan(result, words, match, count):
            yield one

    def zscan_iter(
        self,
        name: Key,
        match: Value | None = None,
        count: int | None = None,
        score_cast_func: ScoreCast | None = None,
    ) -> AsyncIterator[tuple[bytes, Any]]:
        """All (member, score) of a sorted set, part by part, for `async for`; see
        Server.zscan_iter."""
        return self._scan(_scan_scores(score_cast_func), ("ZSCAN", name), match, count)


def _items(reply: list[Any]) -> tuple[int, Any]:
    """(cursor, the items of a dict)"""
    flat = reply[1]
    return int(reply[0]), list(zip(flat[::2], flat[1::2], strict=True))
