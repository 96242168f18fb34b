"""What a server holds, key by key: two servers, or one before and after, can be compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.client import Connection
from harness.resp import OK, Reply, render

SHOWN = 10
# By database and key: the digest of the value, the deadline, and what the digest leaves out.
Contents = dict[tuple[int, bytes], tuple[str, ...]]

# What XINFO says of the process or of the moment, not of the data.
_VOLATILE = {b"radix-tree-keys", b"radix-tree-nodes", b"seen-time", b"active-time"}


def databases(connection: Connection) -> list[int]:
    """The databases that have keys."""
    text = connection.do("INFO", "keyspace").value.decode()
    return [int(line[2:].partition(":")[0]) for line in text.splitlines() if line[:2] == "db"]


def contents(connection: Connection, *, fields: bool) -> Contents:
    """Everything; with `fields` the deadlines of hash fields too, which Redis 7.0 does not know."""
    found: Contents = {}
    for number in databases(connection):
        assert connection.do("SELECT", number) == OK
        names = [name.value for name in connection.do("KEYS", "*").value]
        asked = [
            words
            for key in names
            for words in (("DEBUG", "DIGEST-VALUE", key), ("PEXPIRETIME", key), ("TYPE", key))
        ]
        replies = iter(connection.pipeline(asked))
        for key, digest, deadline, kind in zip(names, replies, replies, replies, strict=True):
            known = [render(digest), str(deadline.value)]
            if kind.value == b"stream":
                full = connection.do("XINFO", "STREAM", key, "FULL", "COUNT", 0)
                known.append(repr(_stable(full)))
            elif kind.value == b"hash" and fields:
                known.append(_field_deadlines(connection, key))
            found[number, key] = tuple(known)
    assert connection.do("SELECT", 0) == OK
    return found


def is_all(connection: Connection, found: Contents) -> bool:
    """Is nothing left beside it whose time is over? That is in digests until it is deleted."""
    text = connection.do("INFO", "keyspace").value.decode()
    lines = [line for line in text.splitlines() if line[:2] == "db"]
    keys = sum(int(line.partition("keys=")[2].partition(",")[0]) for line in lines)
    return keys == len(found) and all(
        connection.do("SELECT", number) == OK
        and connection.do("HLEN", key).value == len(known[2].split())
        for (number, key), known in found.items()
        if len(known) > 2 and not known[2].startswith("[")
    )


def _field_deadlines(connection: Connection, key: bytes) -> str:
    names = sorted(item.value for item in connection.do("HKEYS", key).value)
    reply = connection.do("HPEXPIRETIME", key, "FIELDS", len(names), *names)
    # Its last field may have had its time between the two.
    return " ".join(str(item.value) for item in reply.value) if names else ""


def _stable(reply: Reply) -> Any:
    if not isinstance(reply.value, tuple):
        return reply.value
    items = [_stable(item) for item in reply.value]
    if len(items) % 2 == 0 and {b"length", b"name"} & set(filter(_is_name, items[::2])):
        pairs = zip(items[::2], items[1::2], strict=True)
        return [pair for pair in pairs if pair[0] not in _VOLATILE]
    return items


def _is_name(item: Any) -> bool:
    return isinstance(item, bytes)


def deadlines(known: tuple[str, ...]) -> list[int]:
    """The deadlines of a key and of its fields."""
    _, own, *more = known
    words = more[0].split() if more and not more[0].startswith("[") else []
    return [int(word) for word in (own, *words)]


def _around(one: str, other: str) -> list[str]:
    """Both texts where they begin to differ."""
    pairs = enumerate(zip(one, other, strict=False))
    at = next((at for at, (a, b) in pairs if a != b), 0)
    return [f"  ...{text[max(0, at - 200) : at + 300]}" for text in (one, other)]


def assert_same(
    before: Contents,
    after: Contents,
    what: str,
    named: Callable[[int], object] = lambda number: "",
) -> None:
    """`named` says what a database is about."""
    wrong = [key for key in before.keys() | after.keys() if before.get(key) != after.get(key)]
    lines = [f"{what}: {len(wrong)} of {len(before)} keys differ"]
    for number, key in sorted(wrong)[:SHOWN]:
        lines.append(f"{key[:100]!r} in {number} {named(number)}")
        lines += _around(*(str(side.get((number, key))) for side in (before, after)))
    assert not wrong, "\n".join(lines)
