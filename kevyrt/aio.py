"""kevyrt.Aio."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kevyrt import _core
from kevyrt.commands import AwaitedCommands

if TYPE_CHECKING:
    from collections.abc import Callable

    from kevyrt.aio_pipeline import AioPipeline
    from kevyrt.aio_pubsub import AioPubSub


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

    def pubsub(
        self, shard_hint: object = None, ignore_subscribe_messages: bool = False
    ) -> AioPubSub:
        """An AioPubSub: subscriptions to channels, without a connection; see Server.pubsub()."""
        from kevyrt.aio_pubsub import AioPubSub

        return AioPubSub(self, ignore_subscribe_messages)

    def pipeline(self, transaction: bool = True, shard_hint: object = None) -> AioPipeline:
        """An AioPipeline: commands that are queued and run together; see Server.pipeline()."""
        from kevyrt.aio_pipeline import AioPipeline

        return AioPipeline(self, transaction)

    async def transaction(
        self,
        func: Callable[[AioPipeline], Any],
        *watches: str | bytes | bytearray | memoryview | int | float,
        shard_hint: object = None,
        value_from_callable: bool = False,
        watch_delay: float | None = None,
    ) -> Any:
        """Calls `func` with a pipeline that watches keys and executes it, until none has changed.

        `func` may be a coroutine function; otherwise see Server.transaction().
        """
        from kevyrt.aio_pipeline import transaction

        return await transaction(self, func, watches, value_from_callable, watch_delay)


def _load() -> tuple[Any, ...]:
    """What C needs of Python; asyncio is imported when somebody asks for an Aio, and not before."""
    from asyncio import CancelledError

    from kevyrt import _awaiting

    return Aio, CancelledError, _awaiting.finish, _awaiting.finish_parked
