"""kevyrt.Database."""

from __future__ import annotations

from kevyrt import _core
from kevyrt.commands import Commands
from kevyrt.mapping import MappingMethods
from kevyrt.pipeline import Pipelines
from kevyrt.pubsub import PubSubs


class Database(_core.Database, Commands, MappingMethods, Pipelines, PubSubs):
    """One of a server's databases, called in process: `server.database(3)`.

    It has a method for every command, as the server has for its database 0, and keeps the server.
    Any thread may call it.

    >>> other = server.database(1)
    >>> other.set("greeting", "hello")
    True
    """
