"""Pipelines for asyncio: `server.aio.pipeline()`."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from kevyrt import _awaiting, _core
from kevyrt.commands import QueuedCommands

if TYPE_CHECKING:
    from kevyrt.aio import Aio

_AioPipeline = TypeVar("_AioPipeline", bound="AioPipeline")


class _Rest:
    """An execution that goes on in a thread. Until something of it has run a cancel undoes it."""

    def __init__(self, pipeline: AioPipeline, raise_on_error: bool) -> None:
        self._pipeline = pipeline
        self._raise_on_error = raise_on_error

    def run(self) -> _core.Awaitable | None:
        return self._pipeline._end_execute(self._raise_on_error)

    def cancel(self) -> None:
        self._pipeline._cancel_execute()

    def __await__(self) -> Generator[Any, Any, Any]:
        return _awaiting.finish_parked(self)


async def _close(session: _core.Session | None) -> None:
    """In a thread, as its end waits for places; that goes on, if who waits is cancelled."""
    if session is not None:
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, session.close))


class AioPipeline(_core.Pipeline, QueuedCommands):
    """Commands that are queued and run together: `server.aio.pipeline()`.

    As kevyrt.Pipeline, with `await pipe.execute()`, `async with` and `await pipe.watch()`. Methods
    queue, and need not be awaited; behind watch() and before multi() they give awaitables for
    their results, as those of `server.aio`, one at a time: RuntimeError while another call is on
    its way. A cancel of execute() undoes it, unless a part has run.

    >>> import asyncio
    >>> async def count():
    ...     async with server.aio.pipeline() as pipe:
    ...         return await pipe.set("a", 1).incr("a").execute()
    >>> asyncio.run(count())
    [True, 2]
    """

    async def execute(self, raise_on_error: bool = True) -> list[Any]:  # type: ignore[override]
        """Runs what is queued; see Pipeline.execute()."""
        outcome = self._begin_execute(bool(raise_on_error))
        if outcome is None:
            return await _Rest(self, bool(raise_on_error))  # type: ignore[no-any-return]
        return await outcome  # type: ignore[no-any-return]

    async def watch(self, *names: Any) -> Literal[True]:  # type: ignore[override]
        """Watches keys; see Pipeline.watch()."""
        await self._begin_watch(*names)
        self._end_watch()
        return True

    async def unwatch(self) -> Any:
        """Ends the watching; see Pipeline.unwatch()."""
        session = self._take_session(False)
        result = super().unwatch()
        await _close(session)
        return result

    async def reset(self) -> None:  # type: ignore[override]
        """Forgets what is queued and watched."""
        session = self._take_session(True)
        super().reset()
        await _close(session)

    async def aclose(self) -> None:
        """Forgets what is queued and watched."""
        await self.reset()

    close = aclose  # type: ignore[assignment]

    def __await__(self: _AioPipeline) -> Generator[Any, Any, _AioPipeline]:
        return self
        yield

    async def __aenter__(self: _AioPipeline) -> _AioPipeline:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.reset()

    def __repr__(self) -> str:
        return f"<kevyrt.{type(self).__name__} of {len(self)} commands>"


async def transaction(
    aio: Aio,
    func: Callable[[AioPipeline], Any],
    watches: tuple[Any, ...],
    value_from_callable: bool,
    watch_delay: float | None,
) -> Any:
    """Aio.transaction()."""
    async with AioPipeline(aio) as pipe:
        while True:
            try:
                if watches:
                    await pipe.watch(*watches)
                value = func(pipe)
                if inspect.isawaitable(value) and value is not pipe:
                    value = await value
                results = await pipe.execute()
                return value if value_from_callable else results
            except _core.WatchError:
                if watch_delay is not None and watch_delay > 0:
                    await asyncio.sleep(watch_delay)
