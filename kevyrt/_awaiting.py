"""How asyncio waits for what the core has not answered yet.

A loop has a *waker* while something of it waits: a bell whose descriptor the loop reads. Whoever
answers rings it, and the loop gives the futures their results. Nothing is looked at periodically.

A cancel is a compare-and-swap in the core. If it comes too late, because something has been popped
already, the awaitable gives that, and the cancel is told to the task at its next await.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any, Protocol, TypeAlias

from kevyrt import _core

_ATTRIBUTE = "_kevyrt_waker"
_Armed: TypeAlias = _core.Waiting | _core.Subscriber


class _Parked(Protocol):
    """What a thread of the executor is to do."""

    def run(self) -> _core.Awaitable | None: ...
    def cancel(self) -> None: ...


class _Waker:
    """What of one loop waits, and the bell that wakes it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._bell: _core.Bell | None = None
        self._waiting: set[_Armed] = set()  # what the loop keeps alive, as it does a socket
        self._rests = False

    def arm(self, waiting: _Armed) -> asyncio.Future[None]:
        """A future for the moment at which there is something to take."""
        if self._bell is None:
            bell = _core.Bell()
            self._loop.add_reader(bell.fileno(), self._wake, bell)
            self._bell = bell
        future: asyncio.Future[None] = self._loop.create_future()
        self._waiting.add(waiting)
        if not waiting.arm(self._bell, future):
            future.set_result(None)
        return future

    def disarm(self, waiting: _Armed) -> None:
        """It waits no more."""
        waiting.end()
        self._waiting.discard(waiting)
        if not self._waiting and not self._rests and not self._loop.is_closed():
            # What waits again at once finds the bell in its place.
            self._rests = True
            self._loop.call_soon(self._rest)

    def _wake(self, bell: _core.Bell) -> None:
        for future in bell.take():
            if not future.done():
                future.set_result(None)

    def _rest(self) -> None:
        self._rests = False
        bell = self._bell
        if not self._waiting and bell is not None:
            self._loop.remove_reader(bell.fileno())
            self._bell = None


def waker_of_loop() -> _Waker:
    loop = asyncio.get_running_loop()
    waker: _Waker | None = getattr(loop, _ATTRIBUTE, None)
    if waker is None:
        waker = _Waker(loop)
        setattr(loop, _ATTRIBUTE, waker)
    return waker


def _cancel_later(message: tuple[Any, ...]) -> None:
    """The cancel was too late for a command; it holds for the task, at its next await.

    Unless whoever asked for it has taken it back by then, as asyncio.timeout() does at its end.
    Before Python 3.11 nobody can tell: there the command has used it up.
    """
    loop = asyncio.get_running_loop()
    task: Any = asyncio.current_task(loop)
    if not hasattr(task, "cancelling"):
        return

    def cancel() -> None:
        if not task.done() and task.cancelling():
            task.cancel(*message)
            task.uncancel()

    loop.call_soon(cancel)


def finish(waiting: _core.Waiting) -> Generator[Any, Any, Any]:
    """The result of what waits; not to be lost to a cancel."""
    waker = waker_of_loop()
    late: asyncio.CancelledError | None = None
    outcome: _core.Awaitable | bool | None = None
    try:
        while outcome is None:
            try:
                yield from waker.arm(waiting)
                outcome = waiting.take()
            except asyncio.CancelledError as error:
                outcome = waiting.cancel()
                if outcome is True:
                    raise
                late = error
    finally:
        waker.disarm(waiting)
    if late is not None:
        _cancel_later(late.args)
    return (yield from outcome)  # type: ignore[misc]


def finish_parked(parked: _Parked) -> Generator[Any, Any, Any]:
    """The result of a call that a thread of the loop's executor makes."""
    loop = asyncio.get_running_loop()
    late: asyncio.CancelledError | None = None
    job = loop.run_in_executor(None, parked.run)
    while not job.done():
        try:
            yield from asyncio.shield(job)
        except asyncio.CancelledError as error:
            parked.cancel()
            late = error
    outcome = job.result()
    if outcome is None:
        assert late is not None
        raise late
    if late is not None:
        _cancel_later(late.args)
    return (yield from outcome)
