"""RESP2 and RESP3 as typed trees.

A reply keeps every distinction that the wire makes: the five kinds of null, bulk and simple
strings, arrays and sets are all different, so that comparing two trees compares what a client
can see.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

Argument = str | bytes | int | float


class Reply(NamedTuple):
    """One reply. `value` is bytes, an integer, None or a tuple of replies (of pairs for a map)."""

    kind: str
    value: Any


CLOSED = Reply("closed", None)
OK = Reply("simple", b"OK")
NULLS = {Reply("null-bulk", None), Reply("null-array", None), Reply("null", None)}

_LINES = {
    ord("+"): "simple",
    ord("-"): "error",
    ord(","): "double",
    ord("("): "bignumber",
}
_BLOBS = {ord("$"): "bulk", ord("="): "verbatim", ord("!"): "bulk-error"}
_SEQUENCES = {ord("*"): "array", ord("~"): "set", ord(">"): "push"}
_PAIRS = {ord("%"): "map", ord("|"): "attribute"}


class Incomplete(Exception):
    """The buffer ends inside a reply."""


class Malformed(Exception):
    """The server sent what is not RESP."""


def encode(*args: Argument) -> bytes:
    """A command as a multibulk request."""
    parts = [b"*%d\r\n" % len(args)]
    for arg in args:
        blob = to_bytes(arg)
        parts.append(b"$%d\r\n" % len(blob))
        parts.append(blob)
        parts.append(b"\r\n")
    return b"".join(parts)


def encode_all(commands: Iterable[Iterable[Argument]]) -> bytes:
    return b"".join(encode(*command) for command in commands)


def to_bytes(arg: Argument) -> bytes:
    if isinstance(arg, bytes):
        return arg
    return str(arg).encode()


class Parser:
    """Turns a growing buffer into replies: `feed` bytes, then `take` until it returns None."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._start = 0

    def feed(self, data: bytes) -> None:
        if self._start > 1 << 16:
            del self._buffer[: self._start]
            self._start = 0
        self._buffer += data

    def take(self) -> Reply | None:
        try:
            reply, end = self._parse(self._start)
        except Incomplete:
            return None
        self._start = end
        return reply

    def rest(self) -> bytes:
        """What has been fed and belongs to no whole reply."""
        return bytes(self._buffer[self._start :])

    def _line(self, at: int) -> tuple[bytes, int]:
        end = self._buffer.find(b"\r\n", at)
        if end < 0:
            raise Incomplete
        return bytes(self._buffer[at:end]), end + 2

    def _parse(self, at: int) -> tuple[Reply, int]:
        if at >= len(self._buffer):
            raise Incomplete
        mark = self._buffer[at]
        line, end = self._line(at + 1)
        if mark in _LINES:
            return Reply(_LINES[mark], line), end
        if mark == ord("_"):
            return Reply("null", None), end
        if mark == ord("#"):
            return Reply("boolean", line), end
        if mark == ord(":"):
            return Reply("integer", _number(line)), end
        if mark in _BLOBS:
            return self._blob(_BLOBS[mark], _number(line), end)
        if mark in _SEQUENCES:
            return self._sequence(_SEQUENCES[mark], _number(line), end)
        if mark in _PAIRS:
            return self._map(_PAIRS[mark], _number(line), end)
        raise Malformed(f"no reply begins with {bytes(self._buffer[at : at + 40])!r}")

    def _blob(self, kind: str, size: int, at: int) -> tuple[Reply, int]:
        if size == -1 and kind == "bulk":
            return Reply("null-bulk", None), at
        end = at + size
        if len(self._buffer) < end + 2:
            raise Incomplete
        if self._buffer[end : end + 2] != b"\r\n":
            raise Malformed(f"a {kind} of {size} bytes does not end where it says")
        return Reply(kind, bytes(self._buffer[at:end])), end + 2

    def _sequence(self, kind: str, count: int, at: int) -> tuple[Reply, int]:
        if count == -1 and kind == "array":
            return Reply("null-array", None), at
        items = []
        for _ in range(count):
            item, at = self._parse(at)
            items.append(item)
        return Reply(kind, tuple(items)), at

    def _map(self, kind: str, count: int, at: int) -> tuple[Reply, int]:
        pairs = []
        for _ in range(count):
            key, at = self._parse(at)
            value, at = self._parse(at)
            pairs.append((key, value))
        return Reply(kind, tuple(pairs)), at


def _number(line: bytes) -> int:
    digits = line[1:] if line[:1] == b"-" else line
    if not digits.isdigit():
        raise Malformed(f"{line!r} is not a number")
    return int(line)


def render(reply: Reply) -> str:
    """A reply as one line of text, the form in which `differences.toml` writes replies."""
    kind, value = reply
    if value is None:
        return kind
    if kind in ("map", "attribute"):
        inner = ", ".join(f"{render(k)}: {render(v)}" for k, v in value)
        return f"{kind} {{{inner}}}"
    if isinstance(value, tuple):
        return f"{kind} [{', '.join(render(item) for item in value)}]"
    if isinstance(value, bytes):
        return f"{kind} {_quote(value)}"
    return f"{kind} {value}"


def _quote(data: bytes, limit: int = 2000) -> str:
    text = "".join(
        chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\x{b:02x}" for b in data[:limit]
    )
    return f'"{text}"' if len(data) <= limit else f'"{text}"... ({len(data)} bytes)'


def bulk(value: Argument) -> Reply:
    return Reply("bulk", to_bytes(value))


def integer(value: int) -> Reply:
    return Reply("integer", value)


def array(*items: Reply) -> Reply:
    return Reply("array", tuple(items))


def text_of(reply: Reply) -> str:
    """The text of a bulk, verbatim (without its format), simple or error reply."""
    if reply.kind == "verbatim":
        return reply.value[4:].decode()
    assert isinstance(reply.value, bytes), f"no text in {render(reply)}"
    return reply.value.decode()
