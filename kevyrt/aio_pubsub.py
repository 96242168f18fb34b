"""Subscriptions in process for asyncio: `server.aio.pubsub()`."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, TypeVar

from kevyrt import _awaiting
from kevyrt.pubsub import CHANNELS, PATTERNS, SHARD_CHANNELS, Handler, Message, Subscriptions

_AioPubSub = TypeVar("_AioPubSub", bound="AioPubSub")


class AioPubSub(Subscriptions):
    """Subscriptions of this process for asyncio: `server.aio.pubsub()`.

    As PubSub, with coroutines for methods and `async for` over its messages. A cancel loses no
    message: one that was not returned is still in the queue. It belongs to one loop at a time.

    >>> async def hear():
    ...     async with server.aio.pubsub(ignore_subscribe_messages=True) as pubsub:
    ...         await pubsub.subscribe("news")
    ...         await server.aio.publish("news", "hello")
    ...         async for message in pubsub.listen():
    ...             return message["data"]
    >>> import asyncio
    >>> asyncio.run(hear())
    b'hello'
    """

    _future: asyncio.Future[None] | None = None

    async def subscribe(self, *args: Any, **kwargs: Handler) -> None:
        """Subscribes to channels; see PubSub.subscribe(). Handlers may be coroutine functions."""
        self._begin(CHANNELS, args, kwargs)

    async def psubscribe(self, *args: Any, **kwargs: Handler) -> None:
        """Subscribes to patterns; see subscribe()."""
        self._begin(PATTERNS, args, kwargs)

    async def ssubscribe(self, *args: Any, **kwargs: Handler) -> None:
        """Subscribes to shard channels; see subscribe()."""
        self._begin(SHARD_CHANNELS, args, kwargs)

    async def unsubscribe(self, *args: Any) -> None:
        """Ends subscriptions to channels, or to all of them."""
        self._end(CHANNELS, args)

    async def punsubscribe(self, *args: Any) -> None:
        """Ends subscriptions to patterns, or to all of them."""
        self._end(PATTERNS, args)

    async def sunsubscribe(self, *args: Any) -> None:
        """Ends subscriptions to shard channels, or to all of them."""
        self._end(SHARD_CHANNELS, args)

    async def get_message(
        self, ignore_subscribe_messages: bool = False, timeout: float | None = 0.0
    ) -> Message | None:
        """The next message, or None; see PubSub.get_message()."""
        response = await self._next(timeout)
        if response is None:
            return None
        kind, message, handler = self._understand(response)
        if handler is not None:
            result = handler(message)
            if inspect.isawaitable(result):
                await result
            return None
        return None if self._ignores(kind, ignore_subscribe_messages) else message

    async def listen(self) -> AsyncIterator[Message]:
        """Messages for as long as there is a subscription."""
        while self.subscribed:
            message = await self.get_message(timeout=None)
            if message is not None:
                yield message

    def __aiter__(self) -> AsyncIterator[Message]:
        return self.listen()

    async def run(
        self,
        *,
        exception_handler: Callable[[BaseException, AioPubSub], Any] | None = None,
        poll_timeout: float = 1.0,
    ) -> None:
        """Hands messages to their handlers until it is cancelled.

        Args:
            exception_handler: called with the exception and this object, and awaited if it gives
                something to await; None: an exception ends it.
            poll_timeout: has no meaning; redis-py has it.
        """
        while True:
            try:
                await self.get_message(ignore_subscribe_messages=True, timeout=None)
            except asyncio.CancelledError:
                raise
            except BaseException as error:
                if exception_handler is None:
                    raise
                result = exception_handler(error, self)
                if inspect.isawaitable(result):
                    await result

    async def _next(self, timeout: float | None) -> list[Any] | None:
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            taken = self._subscriber.take()
            if isinstance(taken, list):
                return taken
            if taken is not None:
                await taken  # the log
                continue
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                return None
            waker = _awaiting.waker_of_loop()
            try:
                self._future = waker.arm(self._subscriber)
                await asyncio.wait((self._future,), timeout=left)
            finally:
                waker.disarm(self._subscriber)

    async def aclose(self) -> None:
        """Ends all subscriptions. Does nothing if it is closed."""
        self._subscriber.close()
        for handlers in self._handlers:
            handlers.clear()
        if self._future is not None and not self._future.done():
            self._future.set_result(None)  # who waits learns that it is closed

    close = aclose
    reset = aclose

    async def __aenter__(self: _AioPubSub) -> _AioPubSub:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()
