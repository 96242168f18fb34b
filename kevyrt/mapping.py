"""A server, or one of its databases, as a mapping of the keys that hold strings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kevyrt import _core
from kevyrt.commands.base import Face, Key, Value

_MISSING = object()


class MappingMethods(Face):
    """What `d[k]`, `d[k] = v`, `del d[k]`, `k in d` and `len(d)` leave to be done.

    Keys come back as bytes, or as str with `decode_responses`.
    """

    __slots__ = ()

    def __getitem__(self, name: Key, /) -> Any:
        raise NotImplementedError

    def __setitem__(self, name: Key, value: Value, /) -> None:
        raise NotImplementedError

    def __iter__(self) -> Iterator[Any]:
        """Every key, as SCAN finds them: one that is there all the time exactly once."""
        for keys in self._pages():
            yield from keys

    def _pages(self) -> Iterator[list[Any]]:
        """Keys, none of them twice."""
        seen: set[Any] = set()
        cursor: Any = 0
        while True:
            cursor, keys = self._run(_core.PLAIN, "SCAN", cursor, "COUNT", 1000)
            fresh = [key for key in keys if key not in seen]
            seen.update(fresh)
            if fresh:
                yield fresh
            if int(cursor) == 0:
                return

    def items(self) -> Iterator[tuple[Any, Any]]:
        """Keys and values of those keys that hold strings, as SCAN finds them.

        >>> server.set("greeting", "hello")
        True
        >>> (b"greeting", b"hello") in server.items()
        True
        """
        for keys in self._pages():
            values = self._run(_core.PLAIN, "MGET", *keys)
            pairs = zip(keys, values, strict=True)
            yield from ((key, value) for key, value in pairs if value is not None)

    def values(self) -> Iterator[Any]:
        """Values of those keys that hold strings; see items()."""
        return (value for _, value in self.items())

    def pop(self, name: Key, default: Any = _MISSING, /) -> Any:
        """Takes a key away, at one instant, and returns its value.

        Args:
            name: the key.
            default: what is returned if there is none.

        Raises:
            KeyError: there is none, and no default.
            WrongTypeError: it holds no string.

        >>> server.set("once", "only")
        True
        >>> server.pop("once"), server.pop("once", None)
        (b'only', None)
        """
        value = self._run(_core.PLAIN, "GETDEL", name)
        if value is not None:
            return value
        if default is _MISSING:
            raise KeyError(name)
        return default

    def setdefault(self, name: Key, default: Value, /) -> Any:
        """The value of a key, which gets `default` if it has none, at one instant.

        Raises:
            WrongTypeError: it holds no string.

        >>> server.delete("name")
        0
        >>> server.setdefault("name", "ann"), server.setdefault("name", "bob")
        (b'ann', b'ann')
        """
        value = self._run(_core.PLAIN, "SET", name, default, "NX", "GET")
        return self[name] if value is None else value

    def update(self, mapping: Mapping[Key, Value], /) -> None:
        """Sets many keys at one instant, as mset() does; none is all right.

        >>> server.update({"one": 1, "two": 2})
        >>> server["two"]
        b'2'
        """
        if mapping:
            words = [word for pair in mapping.items() for word in pair]
            self._run(_core.OK, "MSET", *words)

    def clear(self) -> None:
        """Deletes every key of the database, as flushdb() does.

        >>> server.clear()
        >>> len(server)
        0
        """
        self._run(_core.OK, "FLUSHDB")
