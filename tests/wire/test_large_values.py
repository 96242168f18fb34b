"""Values of many elements in a heap that others have left holes in."""

from __future__ import annotations

from collections.abc import Callable

from harness.client import Connection
from harness.process import Server

Start = Callable[..., Server]

HOLES = 100
ELEMENTS = 2000


def _leave_holes(connection: Connection, size: int) -> None:
    """Free memory of about this size between what is in use."""
    keys = [f"hole:{i}" for i in range(2 * HOLES)]
    connection.pipeline([("SET", key, b"x" * size) for key in keys])
    connection.do("DEL", *keys[::2])


def test_copies_are_the_same_whatever_the_allocator_gives(own: Start) -> None:
    with own().connect() as connection:
        # A node is 4088 bytes; into a hole that is a little larger it goes with what is over.
        for size in range(4060, 4096, 4):
            _leave_holes(connection, size)
            connection.pipeline(
                [("RPUSH", "list", b"v" * (90 + i % 23)) for i in range(ELEMENTS)]
                + [
                    ("XADD", "stream", f"{i}-1", "f", b"v" * (90 + i % 23))
                    for i in range(1, ELEMENTS)
                ]
            )
            connection.do("COPY", "list", "list:copy")
            connection.do("COPY", "stream", "stream:copy")
            for key, line in (("list", ("0", "-1")), ("stream", ("-", "+"))):
                command = "LRANGE" if key == "list" else "XRANGE"
                same = [connection.do(command, name, *line) for name in (key, f"{key}:copy")]
                assert same[0] == same[1], (key, size)
            connection.do("FLUSHALL")
