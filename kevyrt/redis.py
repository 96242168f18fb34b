"""redis-py without a network: clients of servers that run in this process.

`Server.client()` and `Server.async_client()` are the short way. What is here is for frameworks that
want a class of connections or of pools, or a URL, in their settings:

>>> server = Server(name="cache").start()
>>> pool = ConnectionPool.from_url("kevyrt://cache/1")
>>> redis.Redis(connection_pool=pool).set("greeting", "hello")
True
>>> pool.close()
>>> server.stop()

The clients are redis-py's own, and so are their pools: only how a connection is made differs. It
is one end of a socket pair, the other end of which a shard serves, so there is a descriptor for
whoever wants to poll. In a forked child, where redis-py's pools begin anew, connections go to the
server of the parent. The password (`requirepass`) is filled in.
"""

from __future__ import annotations

import asyncio
import errno
import inspect
import os
import socket
import weakref
from collections.abc import Callable
from typing import Any, ClassVar, cast

from kevyrt import _doors, _registry
from kevyrt.server import Server

try:
    import redis
    import redis.asyncio
    from redis.credentials import CredentialProvider
except ImportError as _error:
    raise ImportError("redis-py is needed: pip install kevyrt[redis]") from _error

__all__ = [
    "AsyncBlockingConnectionPool",
    "AsyncConnection",
    "AsyncConnectionPool",
    "BlockingConnectionPool",
    "Connection",
    "ConnectionPool",
    "async_client",
    "async_from_url",
    "client",
    "from_url",
    "pool",
]

# What the server decides, or what there is not without a network.
_FOREIGN = ("connection_pool", "host", "port", "ssl", "unix_socket_path")
# No network can swallow a reply, and a server that stops ends its connections. So whoever does not
# say otherwise waits as long as his command does; redis-py would give up after five seconds, in the
# middle of a BLPOP, and asks the kernel twice for every call to be able to.
_PATIENT = {"socket_timeout": None}
_KNOWN = ("username", "password", "credential_provider")


# Looked up once for each class: signatures are slow.
_notices: dict[type, bool] = {}


def _asks_for_notices(what: type) -> bool:
    if what not in _notices:
        _notices[what] = "maint_notifications_config" in inspect.signature(what).parameters
    return _notices[what]


def _quiet(what: type, arguments: dict[str, Any]) -> dict[str, Any]:
    """Without notices of maintenance, where this redis-py would ask for them: a server in this
    process does not move to another machine."""
    if not _asks_for_notices(what):
        return arguments
    from redis.maint_notifications import MaintNotificationsConfig

    return {"maint_notifications_config": MaintNotificationsConfig(enabled=False), **arguments}


def _find(server: Server | str) -> Server:
    return _registry.find(server) if isinstance(server, str) else server


class _Password(CredentialProvider):
    """What the server asks for when a connection is made; nothing, if it asks for nothing."""

    def __init__(self, server: Server | str) -> None:
        self._server = server

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        password = _doors.password(_find(self._server))
        return cast("tuple[str]", (password,) if password else ())

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        return self.get_credentials()


# ---- Connections ---------------------------------------------------------------------------------


def _arguments(server: Server | str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Of a connection: it is at an IP, so that nobody looks for a name, and knows the password."""
    if isinstance(server, Server):
        _doors.want(server)
    arguments = {**_PATIENT, **arguments, "host": "127.0.0.1", "port": 0}
    if not any(arguments.get(name) for name in _KNOWN):
        arguments["credential_provider"] = _Password(server)
    return arguments


def _connect_to(server: Server | str, timeout: float | None) -> socket.socket:
    try:
        found = _find(server)
    except LookupError as error:
        raise ConnectionRefusedError(errno.ECONNREFUSED, str(error)) from None
    return _doors.connect(found, timeout)


class Connection(redis.Connection):
    """redis-py's connection, over a socket pair, for `redis.ConnectionPool(connection_class=...)`.

    Args:
        server: the server, or its name, which is looked up whenever a connection is made.
        arguments: what `redis.Connection` takes; `host` and `port` say nothing.
    """

    def __init__(self, *, server: Server | str, **arguments: Any) -> None:
        self.server = server
        super().__init__(**_arguments(server, arguments))  # type: ignore[no-untyped-call]

    def _connect(self) -> socket.socket:
        connection = _connect_to(self.server, self.socket_connect_timeout)
        connection.settimeout(self.socket_timeout)
        return connection


class AsyncConnection(redis.asyncio.Connection):
    """redis-py's asyncio connection, over a socket pair; as `Connection`."""

    def __init__(self, *, server: Server | str, **arguments: Any) -> None:
        self.server = server
        super().__init__(**_arguments(server, arguments))
        _async_connections.add(self)

    async def _connect(self) -> None:
        # Also in a child: a Unix socket on which somebody listens is connected to at once.
        connection = _connect_to(self.server, self.socket_connect_timeout)
        try:
            connection.setblocking(False)
            if connection.family == socket.AF_UNIX:
                streams = await asyncio.open_unix_connection(sock=connection)
            else:
                streams = await asyncio.open_connection(sock=connection)
        except BaseException:
            connection.close()
            raise
        self._reader, self._writer = streams


_async_connections: weakref.WeakSet[AsyncConnection] = weakref.WeakSet()


def _part_in_child() -> None:
    """The pools of redis.asyncio do not see a fork; what is connected is the parent's.

    A writer that is forgotten closes its transport, which would take the descriptor out of the
    poller of the parent's loop: a fork shares that.
    """
    for connection in list(_async_connections):
        if connection._writer is not None:
            connection._writer.close = _do_nothing  # type: ignore[method-assign]
        connection._reader = connection._writer = None


def _do_nothing() -> None:
    pass


os.register_at_fork(after_in_child=_part_in_child)


# ---- Pools ---------------------------------------------------------------------------------------


def _options_of(url: str, parse: Callable[[str], Any]) -> dict[str, Any]:
    """What a `kevyrt://` URL says, as arguments of a pool."""
    name, rest = _registry.split(url)
    options: dict[str, Any] = parse("redis://" + rest)
    _registry.find(name)
    return {**options, "server": name}


class _FromUrl:
    """`from_url()` of pools: of servers in this process by name, or of any that redis-py knows."""

    _plain: ClassVar[Any]
    _parse: ClassVar[Any]

    @classmethod
    def from_url(cls, url: str, **arguments: Any) -> Any:
        """A pool for a URL: `kevyrt://name/database?option=value`, or one of redis-py's.

        Raises:
            LookupError: no server of that name runs in this process.
            ValueError: it is no URL.
        """
        if not url.startswith(_registry.SCHEME):
            return cls._plain.from_url(url, **arguments)
        return cls(**{**arguments, **_options_of(url, cls._parse)})


class ConnectionPool(_FromUrl, redis.ConnectionPool):
    """redis-py's pool, of connections to a server in this process; see `pool`."""

    _plain = redis.ConnectionPool
    _parse: ClassVar[Any] = staticmethod(redis.connection.parse_url)

    def __init__(self, connection_class: Any = Connection, *args: Any, **arguments: Any) -> None:
        super().__init__(connection_class, *args, **_quiet(self._plain, arguments))


class BlockingConnectionPool(_FromUrl, redis.BlockingConnectionPool):
    """redis-py's pool whose users wait for a connection; see `pool`."""

    _plain = redis.BlockingConnectionPool
    _parse: ClassVar[Any] = staticmethod(redis.connection.parse_url)

    def __init__(self, *args: Any, **arguments: Any) -> None:
        arguments = {"connection_class": Connection, **_quiet(self._plain, arguments)}
        super().__init__(*args, **arguments)  # type: ignore[no-untyped-call]


class AsyncConnectionPool(_FromUrl, redis.asyncio.ConnectionPool):
    """The same for `redis.asyncio`."""

    _plain = redis.asyncio.ConnectionPool
    _parse: ClassVar[Any] = staticmethod(redis.asyncio.connection.parse_url)

    def __init__(
        self, connection_class: Any = AsyncConnection, *args: Any, **arguments: Any
    ) -> None:
        super().__init__(connection_class, *args, **_quiet(self._plain, arguments))


class AsyncBlockingConnectionPool(_FromUrl, redis.asyncio.BlockingConnectionPool):
    """The same for `redis.asyncio`."""

    _plain = redis.asyncio.BlockingConnectionPool
    _parse: ClassVar[Any] = staticmethod(redis.asyncio.connection.parse_url)

    def __init__(self, *args: Any, **arguments: Any) -> None:
        arguments = {"connection_class": AsyncConnection, **_quiet(self._plain, arguments)}
        super().__init__(*args, **arguments)


def pool(server: Server | str, **arguments: Any) -> ConnectionPool:
    """A pool of redis-py's, of connections to a server in this process, for whoever asks for one.

    Args:
        server: the server, or its name, which is looked up whenever a connection is made.
        arguments: what `redis.ConnectionPool` takes.

    Raises:
        LookupError: no server of that name runs in this process.

    >>> connections = pool(server, decode_responses=True)
    >>> redis.Redis(connection_pool=connections).get("greeting")
    'hello'
    """
    _find(server)
    return ConnectionPool(server=server, **arguments)


# ---- Clients -------------------------------------------------------------------------------------


def _check_options(options: dict[str, Any]) -> None:
    for name in _FOREIGN:
        if name in options:
            raise TypeError(f"{name}: the server is in this process, where it has no address")


def _lead_to(server: Server | str, connections: Any, connection_class: Any) -> None:
    """Turns a pool that redis-py has made, with its defaults, and that is not connected yet."""
    _doors.want(_find(server))
    connections.connection_class = connection_class
    connections.connection_kwargs["server"] = server


def client(server: Server | str, **options: Any) -> redis.Redis:
    """A `redis.Redis` of a server in this process: `Server.client()`, also by its name.

    Raises:
        LookupError: no server of that name runs in this process.
    """
    _check_options(options)
    single = options.pop("single_connection_client", False)
    made = redis.Redis(**_quiet(redis.Redis, {**_PATIENT, **options}))
    _lead_to(server, made.connection_pool, Connection)
    if not single:
        return made
    # This one connects as it is made.
    made.auto_close_connection_pool = False
    alone = redis.Redis(connection_pool=made.connection_pool, single_connection_client=True)
    alone.auto_close_connection_pool = True
    return alone


def async_client(server: Server | str, **options: Any) -> redis.asyncio.Redis:
    """A `redis.asyncio.Redis` of a server in this process: `Server.async_client()`.

    Raises:
        LookupError: no server of that name runs in this process.
    """
    _check_options(options)
    made = redis.asyncio.Redis(**_quiet(redis.asyncio.Redis, {**_PATIENT, **options}))
    _lead_to(server, made.connection_pool, AsyncConnection)
    return made


def from_url(url: str, **options: Any) -> redis.Redis:
    """`kevyrt.from_url`."""
    if not url.startswith(_registry.SCHEME):
        return redis.Redis.from_url(url, **options)
    found = {**options, **_options_of(url, redis.connection.parse_url)}
    return client(**found)


def async_from_url(url: str, **options: Any) -> redis.asyncio.Redis:
    """`kevyrt.async_from_url`."""
    if not url.startswith(_registry.SCHEME):
        return redis.asyncio.Redis.from_url(url, **options)
    found = {**options, **_options_of(url, redis.asyncio.connection.parse_url)}
    return async_client(**found)
