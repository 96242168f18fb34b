"""A raw client: one socket, bytes out, typed replies in.

It hides nothing. `send` is one `sendall`, `read` is one reply or CLOSED; nothing reconnects,
nothing is negotiated at connect. Every wait has a deadline.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Iterable, Iterator

from harness.resp import CLOSED, Argument, Parser, Reply, encode, encode_all

Address = tuple[str, int] | str

IP_BIND_ADDRESS_NO_PORT = 24  # of linux/in.h; Python names it from 3.13 on

# Counts replies in this process, so that a test which read none can be told from one that passed.
replies_read = 0


class Connection:
    def __init__(
        self, address: Address, timeout_s: float = 20.0, source: str | None = None
    ) -> None:
        self._parser = Parser()
        self.timeout_s = timeout_s
        self.sock = _connect(address, timeout_s, source)

    def send(self, data: bytes) -> None:
        """Writes all of `data`. A peer that has closed is no error here: the next read shows it."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.sock.sendall(data)

    def read(self) -> Reply:
        """The next reply, or CLOSED at the end of the stream."""
        global replies_read
        deadline = time.monotonic() + self.timeout_s
        while (reply := self._parser.take()) is None:
            data = self._receive(deadline)
            if not data:
                rest = self._parser.rest()
                assert not rest, f"the stream ends inside a reply: {rest[:200]!r}"
                return CLOSED
            self._parser.feed(data)
        replies_read += 1
        return reply

    def read_many(self, count: int) -> list[Reply]:
        return [self.read() for _ in range(count)]

    def read_until_closed(self) -> list[Reply]:
        """All replies up to the end of the stream."""
        return list(iter(self.read, CLOSED))

    def do(self, *args: Argument) -> Reply:
        self.send(encode(*args))
        return self.read()

    def pipeline(
        self, commands: Iterable[Iterable[Argument]], replies: int | None = None
    ) -> list[Reply]:
        """All commands in one write, then all their replies, or so many if some have none."""
        commands = [tuple(command) for command in commands]
        self.send(encode_all(commands))
        return self.read_many(len(commands) if replies is None else replies)

    def silent_for(self, seconds: float) -> bool:
        """True if nothing arrives for that long: no reply, no end of stream."""
        reply = self._parser.take()
        assert reply is None, f"unread: {reply}"
        self.sock.settimeout(seconds)
        try:
            data = self.sock.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            return True
        return data is None

    def shutdown_write(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Closes with a reset instead of an orderly end."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self) -> None:
        self.sock.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _receive(self, deadline: float) -> bytes:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"no whole reply; so far {self._parser.rest()[:200]!r}")
        self.sock.settimeout(left)
        try:
            return self.sock.recv(1 << 18)
        except ConnectionResetError:
            return b""
        except TimeoutError:
            raise TimeoutError(f"no whole reply; so far {self._parser.rest()[:200]!r}") from None


def _connect(address: Address, timeout_s: float, source: str | None) -> socket.socket:
    if isinstance(address, str):
        sock = socket.socket(socket.AF_UNIX)
    else:
        sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if source is not None:
            # The port is chosen with the connect: those of other servers' old connections are free.
            sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            sock.bind((source, 0))
    sock.settimeout(timeout_s)
    try:
        _connect_patiently(sock, address, time.monotonic() + timeout_s)
    except BaseException:
        sock.close()
        raise
    return sock


def _connect_patiently(sock: socket.socket, address: Address, deadline: float) -> None:
    """A Unix socket whose backlog is full refuses at once instead of waiting as TCP does."""
    while True:
        try:
            return sock.connect(address)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.001)


@contextlib.contextmanager
def connections(address: Address, count: int) -> Iterator[list[Connection]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Connection(address)) for _ in range(count)]
