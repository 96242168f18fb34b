"""kevyrt.Session."""

from __future__ import annotations

from kevyrt import _core
from kevyrt.commands import Commands
from kevyrt.pipeline import Pipelines


class Session(_core.Session, Commands, Pipelines):
    """An in-process client with connection state of its own: `server.session()`.

    Its state is its database, its name, what it watches, and what it has queued behind MULTI. It
    is closed by close(), at the end of a `with` block, or when it is collected. One thread at a
    time: RuntimeError if another thread is inside it, or if it is closed.

    >>> with server.session() as session:
    ...     session.execute("SELECT", 3)
    'OK'
    """
