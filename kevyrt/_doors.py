"""How clients in this process, and in forked children of it, come to a server.

Here a connection is one end of a socket pair. A forked child cannot reach into the server: it
connects to a Unix socket of the parent's. That is the one of the setting `unixsocket`, or else a
*door*, which the server opens before the first fork behind which somebody may want it: if it has a
name, or has been asked for a client. Without a fork there is no door, and no file.

A fork waits for nothing that a server does. What the child must know is noted before it (`_Way`):
afterwards there is nobody to ask.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import tempfile
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from kevyrt import _core

if TYPE_CHECKING:
    from kevyrt.server import Server

# Where the door's folder may be; the first in which its path is short enough for a socket's.
_BASES = ("/tmp", "/dev/shm", "/var/tmp")


class Way(NamedTuple):
    """How a forked child reaches the server as it was when it was forked."""

    path: str | None  # a Unix socket
    address: tuple[str, int] | None  # TCP; taken if there is no path
    password: bytes
    trouble: str  # why there is no door, if there should be one


def want(server: Server) -> None:
    """From the next fork on children shall be able to reach it."""
    server._wants_door = True


def _bases() -> list[str]:
    bases = [os.environ.get("XDG_RUNTIME_DIR", ""), *_BASES]
    with contextlib.suppress(OSError):  # there is none that can be written to
        bases.insert(0, tempfile.gettempdir())
    return [base for base in dict.fromkeys(bases) if os.path.isabs(base)]


def _open_door(server: Server) -> tuple[str | None, str]:
    """The path of its socket, or None and why there is none."""
    trouble = ""
    for base in _bases():
        try:
            return server._open_door(base), ""
        except OSError as error:
            trouble = trouble or str(error.strerror)
        except _core.Error as error:
            return None, str(error)
    return None, trouble or "there is no folder for temporary files"


def _look(server: Server) -> Way:
    trouble = ""
    path = os.path.abspath(server._unixsocket) if server._unixsocket else None
    if path is None and server._wants_door:
        path, trouble = _open_door(server)
    address = server._address()
    return Way(path, address, server._password(), trouble)


def before_fork(servers: Iterable[Server]) -> None:
    """Notes of each how a child reaches it; of those that do not run, nothing."""
    for server in servers:
        # A child's copy of a server keeps what its parent has noted.
        if server._pid != os.getpid():
            continue
        try:
            server._way = _look(server) if server.running else None
        except _core.Error:  # it stops just now
            server._way = None


def _way(server: Server) -> Way:
    way = server._way
    if way is None:
        raise ConnectionRefusedError(
            errno.ECONNREFUSED, "the server did not run when this process was forked"
        )
    if way.path is None and way.address is None:
        reason = way.trouble or "it has no name, and was asked for no client before the fork"
        raise ConnectionRefusedError(
            errno.ECONNREFUSED, f"the server of the parent process cannot be reached: {reason}"
        )
    return way


def password(server: Server) -> bytes:
    """What clients must know (`requirepass`): by now, or in a child when it was forked."""
    try:
        return server._password()
    except _core.ForkedError:
        return server._way.password if server._way else b""


def _connect_to(way: Way, timeout: float | None) -> socket.socket:
    if way.path is None:
        assert way.address is not None
        return socket.create_connection(way.address, timeout)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        connection.connect(way.path)
    except BaseException:
        connection.close()
        raise
    return connection


def connect(server: Server, timeout: float | None) -> socket.socket:
    """A connection to the server, or, in a forked child, to that of the parent.

    Args:
        timeout: how many seconds it may take in a child; None: any time.

    Raises:
        ConnectionRefusedError: the server does not run, or a child cannot reach it.
        OSError: another reason.
    """
    try:
        return socket.socket(fileno=server._connect())
    except _core.ServerStopped as error:
        raise ConnectionRefusedError(errno.ECONNREFUSED, str(error)) from None
    except _core.ForkedError:
        pass
    way = _way(server)
    try:
        return _connect_to(way, timeout)
    except (FileNotFoundError, ConnectionRefusedError):
        raise ConnectionRefusedError(
            errno.ECONNREFUSED, "the server of the parent process is stopped"
        ) from None
