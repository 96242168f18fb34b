"""Subscriptions in process: kevyrt.PubSub. That for asyncio is in kevyrt/aio_pubsub.py.

Both have the methods of redis-py's PubSub and give its messages, without a connection: whoever
publishes puts a message into the subscriber's queue.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

from kevyrt import _core

if TYPE_CHECKING:
    from kevyrt.aio import Aio
    from kevyrt.database import Database
    from kevyrt.server import Server

Name: TypeAlias = str | bytes | bytearray | memoryview | int | float
Message: TypeAlias = dict[str, Any]
Handler: TypeAlias = Callable[[Message], Any]
_PubSub = TypeVar("_PubSub", bound="PubSub")

CHANNELS, PATTERNS, SHARD_CHANNELS = range(3)
_ENDS = {"unsubscribe": CHANNELS, "punsubscribe": PATTERNS, "sunsubscribe": SHARD_CHANNELS}
_MESSAGES = {"message": CHANNELS, "pmessage": PATTERNS, "smessage": SHARD_CHANNELS}


class Subscriptions:
    """What both sorts have in common."""

    def __init__(
        self, face: Server | Database | Aio, ignore_subscribe_messages: bool = False
    ) -> None:
        self._subscriber = _core.Subscriber(face)
        self._handlers: tuple[dict[Any, Any], dict[Any, Any], dict[Any, Any]] = ({}, {}, {})
        self.ignore_subscribe_messages = ignore_subscribe_messages

    @property
    def subscribed(self) -> bool:
        """Is there a subscription whose end has not been told yet?"""
        return any(self._handlers)

    @property
    def channels(self) -> dict[Any, Any]:
        """What it is subscribed to: names to their handlers, or None."""
        return self._handlers[CHANNELS]

    @property
    def patterns(self) -> dict[Any, Any]:
        """The same of patterns."""
        return self._handlers[PATTERNS]

    @property
    def shard_channels(self) -> dict[Any, Any]:
        """The same of shard channels."""
        return self._handlers[SHARD_CHANNELS]

    def _known(self, name: Name) -> Any:
        """As it comes in messages."""
        raw = name if isinstance(name, (bytes, bytearray, memoryview)) else str(name).encode()
        return bytes(raw).decode() if self._subscriber.decodes else bytes(raw)

    def _begin(self, kind: int, names: tuple[Any, ...], handlers: dict[str, Handler]) -> None:
        flat: list[Any] = []
        for name in names:
            flat += name if isinstance(name, (list, tuple)) else (name,)
        wanted = {self._known(name): None for name in flat}
        wanted |= {self._known(name): handler for name, handler in handlers.items()}
        if not wanted:
            raise TypeError("there is nothing to subscribe to")
        before = dict(self._handlers[kind])
        self._handlers[kind].update(wanted)
        try:
            self._subscriber.subscribe(kind, *wanted)
        except BaseException:
            self._handlers[kind].clear()
            self._handlers[kind].update(before)
            raise

    def _end(self, kind: int, names: tuple[Any, ...]) -> None:
        flat: list[Any] = []
        for name in names:
            flat += name if isinstance(name, (list, tuple)) else (name,)
        self._subscriber.unsubscribe(kind, *flat)

    def _understand(self, response: list[Any]) -> tuple[str, Message, Any]:
        """The sort of a message, the message, and its handler."""
        kind = response[0].decode() if isinstance(response[0], bytes) else str(response[0])
        message: Message = {"type": kind, "pattern": None}
        if kind == "pmessage":
            message["pattern"] = response[1]
        message["channel"], message["data"] = response[-2:]
        if kind in _ENDS:
            self._handlers[_ENDS[kind]].pop(response[1], None)
        if kind not in _MESSAGES:
            return kind, message, None
        key = message["pattern"] if kind == "pmessage" else message["channel"]
        return kind, message, self._handlers[_MESSAGES[kind]].get(key)

    def _ignores(self, kind: str, ignore: bool) -> bool:
        return kind not in _MESSAGES and (ignore or self.ignore_subscribe_messages)


class PubSub(Subscriptions):
    """Subscriptions of this process: `server.pubsub()`.

    Messages wait in a queue until they are asked for; subscriptions are live when subscribe()
    returns. One thread at a time asks for messages; any thread may subscribe. The queue is bounded
    as a connection's output is (`client-output-buffer-limit`): a subscriber that does not keep up
    is ended, and gets SubscriptionLost behind the last message that it was told.

    >>> with server.pubsub(ignore_subscribe_messages=True) as pubsub:
    ...     pubsub.subscribe("news")
    ...     server.publish("news", "hello")
    ...     pubsub.get_message(timeout=10)
    1
    {'type': 'message', 'pattern': None, 'channel': b'news', 'data': b'hello'}
    """

    def subscribe(self, *args: Any, **kwargs: Handler) -> None:
        """Subscribes to channels; those given by keyword have a handler.

        Args:
            args: names, or lists of names.
            kwargs: names to handlers, each called with its messages, which get_message() and
                listen() then do not return.

        Raises:
            ServerStopped: it does not run.
        """
        self._begin(CHANNELS, args, kwargs)

    def psubscribe(self, *args: Any, **kwargs: Handler) -> None:
        """Subscribes to patterns; see subscribe()."""
        self._begin(PATTERNS, args, kwargs)

    def ssubscribe(self, *args: Any, **kwargs: Handler) -> None:
        """Subscribes to shard channels; see subscribe()."""
        self._begin(SHARD_CHANNELS, args, kwargs)

    def unsubscribe(self, *args: Any) -> None:
        """Ends subscriptions to channels, or to all of them."""
        self._end(CHANNELS, args)

    def punsubscribe(self, *args: Any) -> None:
        """Ends subscriptions to patterns, or to all of them."""
        self._end(PATTERNS, args)

    def sunsubscribe(self, *args: Any) -> None:
        """Ends subscriptions to shard channels, or to all of them."""
        self._end(SHARD_CHANNELS, args)

    def get_message(
        self, ignore_subscribe_messages: bool = False, timeout: float | None = 0.0
    ) -> Message | None:
        """The next message, or None if there is none, or if a handler has got it.

        Args:
            ignore_subscribe_messages: None in place of what confirms subscriptions.
            timeout: how many seconds to wait; None: for ever.

        Raises:
            SubscriptionLost: it did not keep up.
            ServerStopped: the server has stopped.
            ForkedError: it belongs to the parent process.
        """
        response = self._subscriber.get(timeout)
        return None if response is None else self._handle(response, ignore_subscribe_messages)

    get_sharded_message = get_message

    def listen(self) -> Iterator[Message]:
        """Messages for as long as there is a subscription; see get_message()."""
        while self.subscribed:
            message = self.get_message(timeout=None)
            if message is not None:
                yield message

    def _handle(self, response: list[Any], ignore: bool) -> Message | None:
        kind, message, handler = self._understand(response)
        if handler is not None:
            handler(message)
            return None
        return None if self._ignores(kind, ignore) else message

    def run_in_thread(
        self,
        sleep_time: float = 0.0,
        daemon: bool = False,
        exception_handler: Callable[[BaseException, PubSub, PubSubThread], Any] | None = None,
    ) -> PubSubThread:
        """A thread that hands messages to their handlers, until its stop() is called.

        Args:
            sleep_time: has no meaning; redis-py has it.
            daemon: is it one?
            exception_handler: called with the exception, this object and the thread.
        """
        for handlers in self._handlers:
            for name, handler in handlers.items():
                if handler is None:
                    raise ValueError(f"{name!r} has no handler")
        thread = PubSubThread(self, daemon, exception_handler)
        thread.start()
        return thread

    def close(self) -> None:
        """Ends all subscriptions. Does nothing if it is closed."""
        self._subscriber.close()
        for handlers in self._handlers:
            handlers.clear()

    reset = close

    def __enter__(self: _PubSub) -> _PubSub:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class PubSubThread(threading.Thread):
    """Hands messages to their handlers: PubSub.run_in_thread()."""

    def __init__(
        self,
        pubsub: PubSub,
        daemon: bool,
        exception_handler: Callable[[BaseException, PubSub, PubSubThread], Any] | None,
    ) -> None:
        super().__init__(name="kevyrt-pubsub", daemon=daemon)
        self._pubsub = pubsub
        self._exception_handler = exception_handler
        self._running = True

    def run(self) -> None:
        while self._running:
            try:
                self._pubsub.get_message(ignore_subscribe_messages=True, timeout=None)
            except BaseException as error:
                if self._exception_handler is None:
                    self._pubsub.close()
                    raise
                self._exception_handler(error, self._pubsub, self)
        self._pubsub.close()

    def stop(self) -> None:
        """Ends it soon."""
        self._running = False
        self._pubsub.unsubscribe()  # there is something to wake up for


class PubSubs:
    """What has subscriptions: a server and a database, which all have the same channels."""

    __slots__ = ()

    def pubsub(self, shard_hint: object = None, ignore_subscribe_messages: bool = False) -> PubSub:
        """A PubSub: subscriptions to channels, without a connection.

        Args:
            shard_hint: has no meaning; redis-py has it.
            ignore_subscribe_messages: what confirms subscriptions is not among the messages.

        Raises:
            ServerStopped: it does not run.
            ForkedError: it belongs to the parent process.

        >>> with server.pubsub() as pubsub:
        ...     pubsub.subscribe("news")
        ...     pubsub.get_message()
        {'type': 'subscribe', 'pattern': None, 'channel': b'news', 'data': 1}
        """
        return PubSub(cast("Server | Database", self), ignore_subscribe_messages)
