"""kevyrt.Server."""

from __future__ import annotations

import atexit
import os
import weakref
from collections.abc import Sequence
from types import TracebackType
from typing import Literal, TypeVar
from urllib.parse import quote

from kevyrt import _core, _log, _settings, _stats

_Server = TypeVar("_Server", bound="Server")

_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class Server(_core.Server):
    """A Redis-compatible data server in this process.

    Args:
        port: the TCP port; 0 takes any free one, None means no TCP.
        bind: the addresses to listen on, one or several; `"*"` is all of IPv4, `"::*"` of IPv6.
        unixsocket: the path of a Unix socket to listen on as well.
        threads: the number of shards, 1 to 64, each with a thread of its own. One is enough for
            in-process calls, which run on their callers' threads.
        io: "io_uring", "epoll", or "auto": io_uring where it can be had.
        config: other settings by Redis's names, with `_` for `-`: `maxclients=100`,
            `enable_debug_command=True`.

    Nothing is started, and no file is touched, before `start()` or the `with` block.

    Raises:
        ValueError: an unknown setting (the message names it), or an impossible value.
        TypeError: a value of the wrong type.

    >>> with Server() as server:
    ...     server.set("greeting", "hello")
    ...     server.get("greeting")
    True
    b'hello'
    """

    def __init__(
        self,
        *,
        port: int | None = 0,
        bind: str | Sequence[str] = "127.0.0.1",
        unixsocket: str | os.PathLike[str] | None = None,
        threads: int = 1,
        io: Literal["auto", "io_uring", "epoll"] = "auto",
        **config: _settings.Value,
    ) -> None:
        self._init(_settings.from_keywords(port, bind, unixsocket, threads, io, config))

    def _init(self, settings: list[tuple[str, str]]) -> None:
        super().__init__(settings)
        self._unixsocket = self._setting("unixsocket")
        _servers.add(self)

    def start(self: _Server) -> _Server:
        """Starts the shards and listens; returns the server. Does nothing if it runs.

        After a stop it starts again, empty.

        Raises:
            OSError: it cannot listen (the message has the address), or `io="io_uring"` cannot be
                had (the message has the reason).
            ForkedError: it belongs to the parent process.
        """
        try:
            self._start()
        finally:
            _log.start()
        return self

    def stop(self) -> None:
        """Ends every connection and thread; the data is gone. Does nothing if it is stopped.

        On return an immediate start on the same port succeeds. Calls that are under way in other
        threads raise ServerStopped. A forgotten server is stopped when it is collected, and at the
        end of the interpreter.

        Raises:
            ForkedError: it belongs to the parent process.
        """
        self._stop()
        if not any(server.running for server in list(_servers)):
            _log.finish()

    def __enter__(self: _Server) -> _Server:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # A forked child leaves the block too, and has nothing to stop.
        if self.running:
            self.stop()

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until the server has stopped, for instance by SHUTDOWN.

        Handlers of signals run meanwhile, so Ctrl-C ends the wait.

        Args:
            timeout: seconds; None: for ever.

        Returns:
            True if the server has stopped, False if the time is over.

        Raises:
            ForkedError: it belongs to the parent process.
        """
        return self._wait(timeout)

    def stats(self) -> _stats.Stats:
        """Counters of the server and of each shard, read at one instant.

        Raises:
            ServerStopped: it does not run.
            ForkedError: it belongs to the parent process.
        """
        return _stats.from_core(self._stats())

    @property
    def url(self) -> str | None:
        """Where clients find the server, as redis-py and others take it; None if they cannot.

        TCP if there is TCP, else the Unix socket. A server that listens on every address is named
        by a loopback address. The password is not in it: pass it to the client.

        Raises:
            ForkedError: it belongs to the parent process.
        """
        port = self.port
        if port is not None:
            host = _EVERY_ADDRESS.get(self._host, self._host)
            return f"redis://[{host}]:{port}/0" if ":" in host else f"redis://{host}:{port}/0"
        if self._unixsocket:
            return f"unix://{quote(os.path.abspath(self._unixsocket))}?db=0"
        return None

    def __repr__(self) -> str:
        state = "running" if self.running else "not running"
        return f"<kevyrt.{type(self).__name__} {state}>"


_servers: weakref.WeakSet[Server] = weakref.WeakSet()


def _stop_all() -> None:
    """Before the interpreter takes itself apart: a thread must not come back into it later."""
    for server in list(_servers):
        server.stop()


def _forget_in_child() -> None:
    """The parent's servers are not ours to stop."""
    global _servers
    _servers = weakref.WeakSet()


atexit.register(_stop_all)
os.register_at_fork(after_in_child=_forget_in_child)
