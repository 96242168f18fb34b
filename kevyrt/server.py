"""kevyrt.Server."""

from __future__ import annotations

import atexit
import os
import weakref
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar
from urllib.parse import quote

from kevyrt import _core, _doors, _log, _registry, _settings, _show, _stats, _watch
from kevyrt.clock import Clock
from kevyrt.commands import Commands
from kevyrt.database import Database
from kevyrt.faults import Fault, Faults
from kevyrt.mapping import MappingMethods
from kevyrt.pipeline import Pipelines
from kevyrt.pubsub import PubSubs
from kevyrt.session import Session

if TYPE_CHECKING:
    import redis
    import redis.asyncio

_Server = TypeVar("_Server", bound="Server")
# Data: a snapshot, bytes of an RDB file, or the path of one.
_Source: TypeAlias = _core.Snapshot | bytes | bytearray | memoryview | str | os.PathLike[str]

_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class Server(_core.Server, Commands, MappingMethods, Pipelines, PubSubs):
    """A Redis-compatible data server in this process.

    Args:
        port: the TCP port; 0 takes any free one, None means no TCP.
        bind: the addresses to listen on, one or several; `"*"` is all of IPv4, `"::*"` of IPv6.
        unixsocket: the path of a Unix socket to listen on as well.
        threads: the number of shards, 1 to 64, each with a thread of its own. One is enough for
            in-process calls, which run on their callers' threads.
        io: "io_uring", "epoll", or "auto": io_uring where it can be had.
        decode_responses: bulk strings come back as str (UTF-8) instead of bytes.
        load: what it begins with: a Snapshot, the bytes of an RDB file, or the path (str,
            os.PathLike) of one.
        name: a name in this process while it runs, for clients of `kevyrt://name`.
        config: other settings by Redis's names, with `_` for `-`: `maxclients=100`,
            `enable_debug_command=True`.

    Nothing is started, and no file is touched, before `start()` or the `with` block. Nothing is
    kept on disk unless it is asked for: `appendonly=True` logs every change into the folder
    `dir`, and loads it at the next start; `save="60 1"` writes an RDB file there when something
    has changed for a minute.

    Raises:
        ValueError: an unknown setting (the message names it), or an impossible value.
        TypeError: a value of the wrong type.

    >>> with Server() as server:
    ...     server.set("greeting", "hello")
    ...     server.get("greeting")
    True
    b'hello'
    """

    # How forked children reach it: _doors.
    _name: str | None = None
    _wants_door = False
    _way: _doors.Way | None = None
    _pid = 0

    def __init__(
        self,
        *,
        port: int | None = 0,
        bind: str | Sequence[str] = "127.0.0.1",
        unixsocket: str | os.PathLike[str] | None = None,
        threads: int = 1,
        io: Literal["auto", "io_uring", "epoll"] = "auto",
        decode_responses: bool = False,
        load: _Source | None = None,
        name: str | None = None,
        **config: _settings.Value,
    ) -> None:
        self._name = None if name is None else _registry.check(name)
        self._init(
            _settings.from_keywords(port, bind, unixsocket, threads, io, config), decode_responses
        )
        if load is not None:
            self._load(load)

    def _init(self, settings: list[tuple[str, str]], decode_responses: bool = False) -> None:
        super().__init__(settings, decode_responses)
        self._unixsocket = self._setting("unixsocket")
        self._pid = os.getpid()
        self._faults_added: list[Fault] = []
        _servers.add(self)

    def start(self: _Server) -> _Server:
        """Starts the shards and listens; returns the server. Does nothing if it runs.

        Returns when everything is loaded. After a stop it starts again, empty but for what is
        loaded: what `load` was given, or what its log has. The handlers of signals run meanwhile;
        if one raises, nothing runs afterwards.

        Raises:
            OSError: it cannot listen (the message has the address), a file cannot be read or
                written, or `io="io_uring"` cannot be had (the message has the reason).
            DamagedError: what is to be loaded is damaged; it has the name and the offset.
            ValueError: there is a log already, beside which `load` is refused; or another server
                of its name runs.
            ServerStopped: it was stopped while it loaded.
            ForkedError: it belongs to the parent process.
        """
        if self._name is not None:
            _registry.enter(self._name, self)
            _doors.want(self)
        try:
            self._start()
        finally:
            if self._name is not None:
                _registry.entered(self._name)
            _log.start()
        return self

    def stop(self) -> None:
        """Ends every connection and thread. Does nothing if it is stopped.

        With a log everything that was answered is on disk first; without one, and without a save
        that was asked for, the data is gone.

        On return an immediate start on the same port succeeds. Calls that are under way in other
        threads raise ServerStopped. A forgotten server is stopped when it is collected, and at the
        end of the interpreter.

        Raises:
            ForkedError: it belongs to the parent process.
        """
        watching = _watch.end(self)
        self._stop()
        for sampler in watching:
            sampler.join()
        if self._name is not None:
            _registry.leave(self._name, self)
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

    def wait(  # type: ignore[override]
        self, timeout: float | None = None
    ) -> bool:
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

    def database(self, db: int, decode_responses: bool | None = None) -> Database:
        """One of the server's databases, with the same methods.

        Args:
            db: its number, from 0 to one less than the setting `databases` (16).
            decode_responses: bulk strings come back as str (UTF-8) instead of bytes; None: as the
                server has it.

        Raises:
            ForkedError: the server belongs to the parent process. A number that is too high is a
                ValueError of each call.

        >>> server.database(3).set("greeting", "hello from 3")
        True
        """
        return Database(self, db, decode_responses)

    def session(self) -> Session:
        """An in-process client with connection state of its own.

        Raises:
            ServerStopped: it does not run.
            ForkedError: it belongs to the parent process.

        >>> with server.session() as session:
        ...     session.execute("SELECT", 3)
        ...     session.set("greeting", "hello from 3")
        'OK'
        True
        """
        return Session(self)

    def stats(self, sample: int | None = _stats.SAMPLE) -> _stats.Stats:
        """Statistics: counters of the server and its shards, latencies, memory, hot and big keys.

        The counters are of one instant. What types there are and which keys are big is found by
        looking at keys, a few at a time, between which the server serves; the next call goes on
        with others. From the first call on, until nobody asked for a minute, it is noted which
        keys are used most.

        Args:
            sample: how many keys to look at, at most; None: at all of them.

        Raises:
            ServerStopped: it does not run.
            ForkedError: it belongs to the parent process.
            MemoryError: no memory.

        >>> stats = server.stats()
        >>> stats.total.keys, stats.types[0].type, stats.types[0].keys
        (1, 'string', 1)
        >>> (server.stats() - stats).total.keys
        0
        """
        return _stats.read(self, sample)

    def watch_stats(
        self, seconds: float = 1.0, *, keep: int = 3600, sample: int | None = _stats.SAMPLE
    ) -> _watch.StatsWatch:
        """Takes statistics in the background from now on.

        A notebook shows the watch as charts of throughput, latency and memory. It ends at its
        stop(), with the server, or when it is forgotten, and keeps neither the server nor the
        interpreter from ending.

        Args:
            seconds: how far apart the samples are.
            keep: how many samples are kept, the latest ones.
            sample: as of `stats()`, each time.

        Raises:
            ValueError: `seconds` or `keep` is not positive.
            ServerStopped: it does not run.
            ForkedError: it belongs to the parent process.
            MemoryError: no memory.

        >>> with server.watch_stats(0.5) as watch:
        ...     watch.running
        True
        """
        return _watch.StatsWatch(self, seconds, keep, sample)

    def save(self, path: str | os.PathLike[str]) -> None:  # type: ignore[override]
        """Writes all data, as it is at one instant, to an RDB file, which redis-server loads too.

        The server goes on serving meanwhile. The file is there whole or not at all: it is written
        beside its place, synced, and renamed. Ctrl-C ends it and leaves nothing behind. While
        another save or rewrite runs, it waits for its turn.

        Args:
            path: where the file is to be, in a folder that exists.

        Raises:
            OSError: the file cannot be written; it has the name of the file.
            MemoryError: no memory; the data is as it was.
            ServerStopped: it does not run, or was stopped meanwhile.
            ForkedError: it belongs to the parent process.

        >>> server.save("monday.rdb")
        """
        self._save(path)

    def snapshot(self) -> _core.Snapshot:
        """All data as it is at one instant of this call, kept in memory.

        The server goes on serving meanwhile. The snapshot stays when the server changes and stops;
        its memory is not counted as the server's. While another save or rewrite runs, it waits for
        its turn.

        Raises:
            MemoryError: no memory; the data is as it was.
            ServerStopped: it does not run, or was stopped meanwhile.
            ForkedError: it belongs to the parent process.

        >>> before = server.snapshot()
        >>> server.set("greeting", "good bye")
        True
        >>> server.restore(before)
        >>> server.get("greeting")
        b'hello'
        """
        return self._snapshot()

    def checkpoint(self) -> _core.Checkpoint:
        """An instant that all data can go back to, any number of times, fast.

        Going back takes time proportional to what has changed since, some ten microseconds for
        a few keys and under a millisecond for ten thousand, and about nothing if nothing has:
        what a test needs. A snapshot is for keeping: it outlives the server, and takes time
        proportional to all data. What has changed is kept as it was, which costs memory that is
        not counted as the server's, until the checkpoint goes back, is renewed, or is closed.

        There is one checkpoint of a server at a time, and none with `appendonly`. At the end of a
        `with` block it goes back, and is closed.

        Raises:
            PersistenceError: there is one already; a restore is in progress; or `appendonly` is
                on.
            MemoryError: no memory; the data is as it was.
            ServerStopped: it does not run.
            ForkedError: it belongs to the parent process.

        >>> with server.checkpoint():
        ...     server.set("greeting", "good bye")
        True
        >>> server.get("greeting")
        b'hello'
        """
        return self._checkpoint()

    def restore(self, source: _Source) -> None:  # type: ignore[override]
        """Puts the data of a snapshot or an RDB file in the place of all data, at one instant.

        It is read beside the data that is served meanwhile, and nobody ever sees a part of it.
        Transactions that watch a key which is there before or afterwards are broken, clients that
        cache forget everything, and who waits for a key that is there now is served. There are no
        notifications. Keys whose time has come meanwhile are left out. Memory is needed for both
        sets of data.

        Args:
            source: a Snapshot; the bytes of an RDB file; or the path (str, os.PathLike) of one.

        Raises:
            DamagedError: it is no whole RDB file; it has its name and the offset.
            OSError: the file cannot be read; FileNotFoundError: there is none.
            PersistenceError: another restore is in progress.
            MemoryError: no memory.
            ServerStopped: it does not run, or was stopped meanwhile.
            ForkedError: it belongs to the parent process.

        After any of them, and after Ctrl-C, the data is as it was.

        >>> monday = server.snapshot().to_bytes()
        >>> server.delete("greeting")
        1
        >>> server.restore(monday)
        >>> server.get("greeting")
        b'hello'
        """
        self._restore(source)

    def rewrite_aof(self, wait: bool = True, timeout: float | None = None) -> None:
        """Rewrites the append-only log, so that it is as short as the data; the server goes on.

        One that is going on already is waited for first. Ctrl-C and a time-out end the wait; the
        rewrite goes on.

        Args:
            wait: return when it is done. If False, when it has begun.
            timeout: how many seconds to wait at most; None: any time.

        Raises:
            TimeoutError: it is not done yet.
            PersistenceError: `appendonly` is off; it failed, and the log is as it was; or, without
                `wait`, one is going on already.
            ServerStopped: it does not run, or was stopped meanwhile.
            ForkedError: it belongs to the parent process.

        >>> import tempfile
        >>> with Server(appendonly=True, dir=tempfile.mkdtemp()) as durable:
        ...     durable.rewrite_aof(timeout=60)
        """
        self._rewrite_aof(wait, timeout)

    @property
    def clock(self) -> Clock:
        """The clock that deadlines and time-outs go by: real until a test changes it.

        >>> server.clock.frozen
        False
        """
        return Clock(self)

    @property
    def faults(self) -> Faults:
        """What goes wrong on purpose, for tests: late answers, errors, ended connections.

        >>> server.faults.clear()
        """
        return Faults(self, self._faults_added)

    @property
    def url(self) -> str | None:
        """Where clients find the server, as redis-py and others take it; None if they cannot.

        TCP if there is TCP, else the Unix socket. A server that listens on every address is named
        by a loopback address. The password is not in it: pass it to the client.

        Raises:
            ForkedError: it belongs to the parent process.
        """
        address = self._address()
        if address is not None:
            host, port = address
            return f"redis://[{host}]:{port}/0" if ":" in host else f"redis://{host}:{port}/0"
        if self._unixsocket:
            return f"unix://{quote(os.path.abspath(self._unixsocket))}?db=0"
        return None

    def _address(self) -> tuple[str, int] | None:
        """Where it is reached by TCP."""
        port = self.port
        return None if port is None else (_EVERY_ADDRESS.get(self._host, self._host), port)

    @property
    def name(self) -> str | None:
        """Its name in this process, for clients of `kevyrt://name`; None: it has none."""
        return self._name

    def client(self, **options: Any) -> redis.Redis:
        """A redis-py client without a network, of as many threads as you like.

        It is a `redis.Redis` whose connections are socket pairs. It works whatever the server
        listens on, fills in the password (`requirepass`), has no time-out unless one is given
        (`socket_timeout=`), and caches with `cache_config=`. In a forked child it reaches this
        server, the parent's. It keeps the server from being forgotten, and fails with
        `redis.ConnectionError` once that is stopped.

        Args:
            options: what `redis.Redis()` takes, but where the server is: `db=`,
                `decode_responses=`, `protocol=`, `max_connections=`, `cache_config=`, ...

        Raises:
            ImportError: there is no redis-py: `pip install kevyrt[redis]`.
            TypeError: an option that redis-py does not know, or that says where the server is.

        >>> with server.client(decode_responses=True) as client:
        ...     client.get("greeting")
        'hello'
        """
        from kevyrt import redis as clients

        return clients.client(self, **options)

    def async_client(self, **options: Any) -> redis.asyncio.Redis:
        """A redis-py client for asyncio without a network; otherwise as `client()`.

        Args:
            options: what `redis.asyncio.Redis()` takes, but where the server is.

        Raises:
            ImportError: there is no redis-py: `pip install kevyrt[redis]`.
            TypeError: an option that redis-py does not know, or that says where the server is.

        >>> import asyncio
        >>> async def greet():
        ...     async with server.async_client(decode_responses=True) as client:
        ...         return await client.get("greeting")
        >>> asyncio.run(greet())
        'hello'
        """
        from kevyrt import redis as clients

        return clients.async_client(self, **options)

    def __repr__(self) -> str:
        state = "running" if self.running else "not running"
        return f"<kevyrt.{type(self).__name__} {state}>"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(_show.server_text(self))

    def _repr_html_(self) -> str:
        return _show.server_html(self)


_servers: weakref.WeakSet[Server] = weakref.WeakSet()


def _stop_all() -> None:
    """Before the interpreter takes itself apart: a thread must not come back into it later."""
    for server in list(_servers):
        server.stop()


def _forget_in_child() -> None:
    """The parent's servers are not ours to stop."""
    global _servers
    _servers = weakref.WeakSet()


def _note_before_fork() -> None:
    """How a child reaches those that run."""
    while True:
        try:
            servers = list(_servers)
        except RuntimeError:  # another thread makes one just now
            continue
        return _doors.before_fork(servers)


atexit.register(_stop_all)
os.register_at_fork(before=_note_before_fork, after_in_child=_forget_in_child)
