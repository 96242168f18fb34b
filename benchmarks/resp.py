"""A blocking RESP2 client, small enough to be no part of what is measured."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any

TIMEOUT_S = 60.0


class ReplyError(Exception):
    """An error reply, in the server's words."""


def encode(*args: str | bytes | int) -> bytes:
    parts = [b"*%d\r\n" % len(args)]
    for arg in args:
        data = arg if isinstance(arg, bytes) else str(arg).encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
    return b"".join(parts)


class Wire:
    """One connection to a server on the loopback."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._input = self._socket.makefile("rb")

    def call(self, *args: str | bytes | int) -> Any:
        """One command's reply; an error reply is raised."""
        return self.pipeline([args])[0]

    def pipeline(self, commands: Sequence[Sequence[str | bytes | int]]) -> list[Any]:
        self._socket.sendall(b"".join(encode(*command) for command in commands))
        return [self._reply() for _ in commands]

    def info(self, section: str) -> dict[str, str]:
        text = self.call("INFO", section).decode()
        return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)

    def _reply(self) -> Any:
        line = self._input.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the server closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            raise ReplyError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self._input.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [self._reply() for _ in range(int(rest))]
        raise ConnectionError(f"not a RESP2 reply: {line[:80]!r}")

    def close(self) -> None:
        self._input.close()
        self._socket.close()

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
