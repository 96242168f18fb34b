"""Keys of every type."""

from __future__ import annotations

from typing import Any

from kevyrt import _core
from kevyrt.commands import results
from kevyrt.commands.base import Face, Key, Keys, Result, Value


def _as_list(keys: Keys) -> list[Key]:
    if isinstance(keys, (str, bytes, bytearray, memoryview, int, float)):
        return [keys]
    return list(keys)


def _sort_words(
    by: Value | None,
    start: int | None,
    num: int | None,
    get: Keys | None,
    desc: bool,
    alpha: bool,
) -> list[Value]:
    if (start is None) != (num is None):
        raise ValueError("'start' and 'num' go together")
    words: list[Value] = [] if by is None else ["BY", by]
    if start is not None and num is not None:
        words += ("LIMIT", start, num)
    for pattern in [] if get is None else _as_list(get):
        words += ("GET", pattern)
    return words + ["DESC"] * desc + ["ALPHA"] * alpha


class KeyCommands(Face):
    __slots__ = ()

    def sort(
        self,
        name: Key,
        start: int | None = None,
        num: int | None = None,
        by: Value | None = None,
        get: Keys | None = None,
        desc: bool = False,
        alpha: bool = False,
        store: Key | None = None,
        groups: bool = False,
    ) -> list[Any] | int:
        """The elements of a list, set or sorted set, in order.

        Args:
            name: the key.
            start, num: skips `start` of them and returns `num`.
            by: a pattern of the keys whose values are the weights: `weight_*`, `object_*->field`.
            get: a pattern, or several, of the keys whose values are returned instead; `#` is the
                element.
            desc: from the greatest down.
            alpha: compares text, not numbers.
            store: a key that becomes a list of the result; then the length is returned.
            groups: what `get` gives for one element as a tuple.

        Raises:
            ValueError: `start` without `num` or the reverse; `groups` without several patterns.
            ResponseError: an element or a weight that is no number.
            WrongTypeError: the key holds something else.

        >>> server.rpush("numbers", 3, 1, 2)
        3
        >>> server.sort("numbers", desc=True)
        [b'3', b'2', b'1']
        """
        words = ["SORT", name, *_sort_words(by, start, num, get, desc, alpha)]
        if store is not None:
            words += ("STORE", store)
        result: Result = _core.PLAIN
        if groups:
            patterns = [] if get is None else _as_list(get)
            if len(patterns) < 2:
                raise ValueError("'groups' needs several patterns in 'get'")
            result = results.group_by(len(patterns))
        return self._run(result, *words)  # type: ignore[no-any-return]

    def sort_ro(
        self,
        key: Key,
        start: int | None = None,
        num: int | None = None,
        by: Value | None = None,
        get: Keys | None = None,
        desc: bool = False,
        alpha: bool = False,
    ) -> list[Any]:
        """sort() that stores nothing. Its parameters and errors are the same."""
        words = _sort_words(by, start, num, get, desc, alpha)
        return self._run(_core.PLAIN, "SORT_RO", key, *words)  # type: ignore[no-any-return]

    def migrate(
        self,
        host: str,
        port: int,
        keys: Keys,
        destination_db: int,
        timeout: int,
        copy: bool = False,
        replace: bool = False,
        auth: Value | None = None,
    ) -> bytes:
        """Moves keys to another server.

        Args:
            host, port: where it listens.
            keys: one or several.
            destination_db: the database there.
            timeout: how long each step may take, in milliseconds.
            copy: keeps the keys here.
            replace: replaces what is there.
            auth: the other server's password.

        Returns:
            `OK`, or `NOKEY` if none of them is there.

        Raises:
            ValueError: there is no key.
            ResponseError: the other server cannot be reached, or refuses.
        """
        names = _as_list(keys)
        if not names:
            raise ValueError("migrate() needs a key")
        words: list[Value] = [*["COPY"] * copy, *["REPLACE"] * replace]
        if auth:
            words += ("AUTH", auth)
        words += ("KEYS", *names)
        return self._run(  # type: ignore[no-any-return]
            _core.PLAIN, "MIGRATE", host, port, "", destination_db, timeout, *words
        )

    def debug_object(self, key: Key) -> dict[str, Any]:
        """What DEBUG OBJECT says of a key: `encoding`, `serializedlength` (bytes) and others.

        Raises:
            ResponseError: there is no such key; DEBUG is not enabled (`enable_debug_command`).
        """
        return self._run(results.debug_object, "DEBUG", "OBJECT", key)  # type: ignore[no-any-return]
