"""kevyrt.Pipeline, and how it is made."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from kevyrt import _core
from kevyrt.commands import QueuedCommands

if TYPE_CHECKING:
    from kevyrt.database import Database
    from kevyrt.server import Server
    from kevyrt.session import Session


class Pipeline(_core.Pipeline, QueuedCommands):
    """Commands that are queued and run together: `server.pipeline()`.

    It has a method for every command, which queues it and returns the pipeline; `execute()` crosses
    into the server once, runs all of them, and returns the list of results. As a rule they are a
    transaction: nobody sees a part of it, or comes in between. With `transaction=False` others may.
    Either way every command runs, whatever another one answers.

    It is empty after execute() and reset(), and at the end of a `with` block, and can be used
    again. len() is the number of queued commands, and iterating gives their words. One thread at a
    time: RuntimeError while another one is inside.

    >>> server.pipeline().set("a", 1).incr("a").execute()
    [True, 2]
    """

    def __repr__(self) -> str:
        return f"<kevyrt.{type(self).__name__} of {len(self)} commands>"


class Pipelines:
    """What has pipelines: a server, a database, a session."""

    def pipeline(self, transaction: bool = True, shard_hint: object = None) -> Pipeline:
        """A Pipeline: commands that are queued, and run with one call.

        Args:
            transaction: run them as one transaction, MULTI and EXEC.
            shard_hint: has no meaning; redis-py has it.

        Raises:
            ForkedError: the server belongs to the parent process.
            RuntimeError: the session is closed.

        >>> server.pipeline().set("a", 1).incr("a").execute()
        [True, 2]
        """
        return Pipeline(cast("Server | Database | Session", self), transaction)

    def transaction(
        self,
        func: Callable[[Pipeline], Any],
        *watches: str | bytes | bytearray | memoryview | int | float,
        shard_hint: object = None,
        value_from_callable: bool = False,
        watch_delay: float | None = None,
    ) -> Any:
        """Calls `func` with a pipeline that watches keys and executes it, until none has changed.

        Args:
            func: reads what it needs of the pipeline, calls its multi(), and queues.
            watches: the keys.
            shard_hint: has no meaning; redis-py has it.
            value_from_callable: return what `func` returned, and not the results.
            watch_delay: seconds to sleep before it is called again; None: none.

        Returns:
            The list of results of the commands behind multi().

        Raises:
            What `func` and Pipeline.execute raise, but for WatchError.

        >>> def double(pipe):
        ...     seen = int(pipe.get("a") or 1)
        ...     pipe.multi()
        ...     pipe.set("a", seen * 2)
        >>> server.transaction(double, "a")
        [True]
        """
        with self.pipeline(True, shard_hint) as pipe:
            while True:
                try:
                    if watches:
                        pipe.watch(*watches)
                    value = func(pipe)
                    results = pipe.execute()
                    return value if value_from_callable else results
                except _core.WatchError:
                    if watch_delay is not None and watch_delay > 0:
                        time.sleep(watch_delay)
