"""The names of the servers of this process: what `kevyrt://name` means.

A name belongs to the server that was started under it, until that stops. A forked child inherits
the names with the servers, and may give them anew to servers of its own.
"""

from __future__ import annotations

import os
import re
import threading
import weakref
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import redis
    import redis.asyncio

    from kevyrt.server import Server

SCHEME = "kevyrt://"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class _Entry(NamedTuple):
    server: weakref.ref[Server]
    pid: int


_entries: dict[str, _Entry] = {}
# Reentrant: a finalizer may stop a server anywhere.
_lock = threading.RLock()
# Names whose servers are about to run.
_starting: set[str] = set()


def check(name: object) -> str:
    """The name, if it can be one."""
    if not isinstance(name, str):
        raise TypeError(f"name must be str, not {type(name).__name__}")
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot be a name: it has letters, digits, '.', '_' and '-'")
    return name


def _owner(name: str) -> Server | None:
    """Who has the name now: a server that runs here, or one that is the parent process's."""
    entry = _entries.get(name)
    server = entry.server() if entry else None
    if entry is None or server is None:
        return None
    return server if entry.pid != os.getpid() or server.running else None


def enter(name: str, server: Server) -> None:
    """Before a start: nobody else can take the name from now on, whatever comes of the start."""
    if server._pid != os.getpid():  # the start of a parent's server will fail
        return
    with _lock:
        entry = _entries.get(name)
        owner = _owner(name)
        own = entry is not None and entry.server() is server
        taken = name in _starting and not own
        if taken or (owner and owner is not server and owner.running):
            raise ValueError(f"there is a server named {name!r} already; names are for one each")
        _entries[name] = _Entry(weakref.ref(server), os.getpid())
        _starting.add(name)


def entered(name: str) -> None:
    """Behind a start, whether it has succeeded or not."""
    with _lock:
        _starting.discard(name)


def leave(name: str, server: Server) -> None:
    """Behind a stop."""
    with _lock:
        entry = _entries.get(name)
        if entry and entry.server() is server:
            del _entries[name]


def find(name: str) -> Server:
    """The server of a name.

    Raises:
        LookupError: there is none.
    """
    with _lock:
        server = _owner(name)
        others = sorted(other for other in _entries if _owner(other))
    if server is not None:
        return server
    there = f"there are {', '.join(map(repr, others))}" if others else "none has a name"
    raise LookupError(
        f"no server named {name!r} runs in this process ({there}); start one with"
        f" kevyrt.Server(name={name!r}), and reach those of other processes by their server.url"
    )


def split(url: str) -> tuple[str, str]:
    """The name in a `kevyrt://` URL, and what is behind it: `/0?decode_responses=True`.

    Raises:
        ValueError: it is no such URL.
    """
    found = re.fullmatch(rf"{SCHEME}([^/?#]*)((?:/\d*)?(?:\?[^#]*)?)", url)
    if not found:
        raise ValueError(
            f"{url!r} is not kevyrt://name, kevyrt://name/0 or kevyrt://name/0?option=x"
        )
    return check(found[1]), found[2]


def from_url(url: str, **options: Any) -> redis.Redis:
    """A redis-py client of a server of this process, by its name: `kevyrt://cache/0`.

    What is behind the name is as in redis-py's URLs: the database, then options. In a forked
    child it reaches the server of the parent. URLs of redis-py's (`redis://`, `unix://`, ...) give
    redis-py's clients, so a setting may have either.

    Args:
        url: `kevyrt://name`, `kevyrt://name/database?option=value&...`, or one of redis-py's.
        options: what `redis.Redis()` takes. What is in the URL comes first.

    Raises:
        LookupError: no server of that name runs in this process.
        ValueError: it is no URL.
        ImportError: there is no redis-py: `pip install kevyrt[redis]`.

    >>> import kevyrt
    >>> with Server(name="cache"):
    ...     client = kevyrt.from_url("kevyrt://cache/1?decode_responses=True")
    ...     client.set("greeting", "hello")
    ...     client.get("greeting")
    True
    'hello'
    """
    from kevyrt import redis as clients

    return clients.from_url(url, **options)


def async_from_url(url: str, **options: Any) -> redis.asyncio.Redis:
    """As `from_url`, a `redis.asyncio.Redis`."""
    from kevyrt import redis as clients

    return clients.async_from_url(url, **options)


def _renew_lock() -> None:
    """Whoever held it is the parent's."""
    global _lock
    _lock = threading.RLock()
    _starting.clear()


os.register_at_fork(after_in_child=_renew_lock)
