"""All families of methods, for each sort of face."""

from __future__ import annotations

from kevyrt.commands.bitmaps import BitmapCommands
from kevyrt.commands.clients import ClientCommands
from kevyrt.commands.hashes import HashCommands
from kevyrt.commands.iterators import AsyncIterators, Iterators
from kevyrt.commands.keys import KeyCommands
from kevyrt.commands.server import ServerCommands
from kevyrt.commands.streams import StreamCommands


class QueuedCommands(
    BitmapCommands, ClientCommands, HashCommands, KeyCommands, ServerCommands, StreamCommands
):
    """Of faces that queue: each method returns the face."""

    __slots__ = ()


class Commands(QueuedCommands, Iterators):
    """Of faces that call."""

    __slots__ = ()


class AwaitedCommands(QueuedCommands, AsyncIterators):
    """Of faces that await: each method gives an awaitable."""

    __slots__ = ()
