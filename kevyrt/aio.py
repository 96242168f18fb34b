"""kevyrt.Aio."""

from __future__ import annotations

from typing import Any

from kevyrt import _core
from kevyrt.commands import AwaitedCommands


class Aio(_core.Aio, AwaitedCommands):
    """A server's or database's methods for asyncio: `server.aio`.

    Each makes its call at once, when it is called, and gives an awaitable for the result. Commands
    that wait for data wait in the loop, without a thread.

    >>> import asyncio
    >>> async def greet():
    ...     await server.aio.set("greeting", "hello")
    ...     return await server.aio.get("greeting")
    >>> asyncio.run(greet())
    b'hello'
    """

    __slots__ = ()


def _load() -> tuple[Any, ...]:
    """What C needs of Python; asyncio is imported when somebody asks for an Aio, and not before."""
    from asyncio import CancelledError

    from kevyrt import _awaiting

    return Aio, CancelledError, _awaiting.finish, _awaiting.finish_parked
