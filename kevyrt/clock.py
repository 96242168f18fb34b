"""kevyrt.Clock: the time of a server, for tests."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import TypeAlias

from kevyrt import _core

Seconds: TypeAlias = float | timedelta
Moment: TypeAlias = float | datetime

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)
_PER_SECOND = 1_000_000


def _from_number(value: object, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{what}, not {type(value).__name__}")
    if not math.isfinite(value):
        raise ValueError(f"{what}, not {value}")
    return round(value * _PER_SECOND)


def duration_us(seconds: Seconds, what: str = "seconds are a number or a timedelta") -> int:
    us = seconds // _MICROSECOND if isinstance(seconds, timedelta) else _from_number(seconds, what)
    if us < 0:
        raise ValueError("time does not go back by itself: the seconds are negative")
    return us


def _moment_us(moment: Moment) -> int:
    if isinstance(moment, datetime):
        return (moment.astimezone(timezone.utc) - _EPOCH) // _MICROSECOND
    return _from_number(moment, "a moment is a datetime or seconds since 1970")


class Clock:
    """The clock of a server: `server.clock`. It is the real one until a test changes it.

    By it go the deadlines of keys and fields, TIME, ids of streams, the idle times of keys, and the
    time-outs of everything that waits for the server: BLPOP and its kin (of connections, of threads
    and of tasks), WAIT, CLIENT PAUSE, the delays of faults. What the server measures of itself
    stays real: durations, uptime, ages of connections, time stamps of the slow log and of saves.

    Every client of the server sees the same clock. Other servers have their own, and so has
    Python: `time.time()` says what it always says. It may be changed before the server starts,
    and stays as it is when the server stops. Any thread may change it.

    When a method returns, every command sees the new time: what has expired by it is gone, and
    its notifications are on their way; who has waited long enough is answered.

    >>> server.set("greeting", "hello", ex=3600)
    True
    >>> with server.clock.frozen_at():
    ...     server.clock.advance(3599)
    ...     server.execute("TTL", "greeting")
    ...     server.clock.advance(1)
    ...     server.get("greeting")
    1
    """

    __slots__ = ("_server",)

    def __init__(self, server: _core.Server) -> None:
        self._server = server

    def freeze(self) -> None:
        """Lets the clock stand still. Does nothing if it stands.

        Nothing expires and no time-out is over until somebody moves it: a command that waits in the
        thread that would move it waits for ever.

        Raises:
            ForkedError: the server belongs to the parent process.

        >>> server.clock.freeze()
        >>> server.execute("TIME") == server.execute("TIME")
        True
        """
        self._server._clock_change(_core.CLOCK_FREEZE, 0)

    def advance(self, seconds: Seconds) -> None:
        """Moves the clock forward, whether it stands or runs.

        Args:
            seconds: how far, as a number or a timedelta; not negative.

        Raises:
            ValueError: negative, or beyond the year 9999.
            TypeError: neither a number nor a timedelta.
            ForkedError: the server belongs to the parent process.

        >>> from datetime import timedelta
        >>> server.clock.advance(timedelta(days=30))
        """
        self._server._clock_change(_core.CLOCK_ADVANCE, duration_us(seconds))

    def set(self, moment: Moment) -> None:
        """Sets the clock to a moment, whether it stands or runs: there it stands, or goes on.

        Forward is as if time had passed. Back, deadlines of data are further away, and who waits
        still waits for as long as was left of his time.

        Args:
            moment: seconds since 1970, or a datetime; one without a zone is local time, as
                `datetime.timestamp()` takes it.

        Raises:
            ValueError: not between 1970 and 9999.
            TypeError: neither a number nor a datetime.
            ForkedError: the server belongs to the parent process.

        >>> from datetime import datetime, timezone
        >>> server.clock.set(datetime(2030, 1, 1, tzinfo=timezone.utc))
        """
        self._server._clock_change(_core.CLOCK_SET, _moment_us(moment))

    def resume(self) -> None:
        """Lets the clock go on from where it stands, at the speed of the real one.

        So it stays ahead of, or behind, the real one by what it was moved and by how long it
        stood; `reset` makes it the real one. Does nothing if it runs.

        Raises:
            ForkedError: the server belongs to the parent process.
        """
        self._server._clock_change(_core.CLOCK_RESUME, 0)

    def reset(self) -> None:
        """Makes it the real clock again, which may be a step back, or forward, as by `set`.

        Raises:
            ForkedError: the server belongs to the parent process.

        >>> server.clock.reset()
        >>> server.clock.offset
        0.0
        """
        self._server._clock_change(_core.CLOCK_RESET, 0)

    @contextmanager
    def frozen_at(self, moment: Moment | None = None) -> Iterator[Clock]:
        """A `with` block in which the clock stands still; behind it, it is as it was before.

        Args:
            moment: where it stands, as `set` takes it; None: where it is.

        Raises:
            ValueError, TypeError, ForkedError: as `set` does.

        >>> with server.clock.frozen_at(1893456000) as clock:
        ...     clock.advance(0.5)
        ...     clock.now()
        1893456000.5
        """
        us = None if moment is None else _moment_us(moment)
        before, ahead, frozen = self._server._clock_read()
        self.freeze()
        try:
            if us is not None:
                self._server._clock_change(_core.CLOCK_SET, us)
            yield self
        finally:
            self._restore(before, ahead, frozen)

    def _restore(self, us: int, ahead: int, frozen: bool) -> None:
        if frozen:
            self.freeze()
            self._server._clock_change(_core.CLOCK_SET, us)
        elif ahead == 0:
            self.reset()
        else:
            self.resume()
            now, ahead_now, _ = self._server._clock_read()
            self._server._clock_change(_core.CLOCK_SET, now - ahead_now + ahead)

    def now(self) -> float:
        """What the clock says: seconds since 1970.

        Raises:
            ForkedError: the server belongs to the parent process.
        """
        return self._server._clock_read()[0] / _PER_SECOND

    @property
    def offset(self) -> float:
        """How many seconds the clock is ahead of the real one; negative: behind it.

        Raises:
            ForkedError: the server belongs to the parent process.
        """
        return self._server._clock_read()[1] / _PER_SECOND

    @property
    def frozen(self) -> bool:
        """Does the clock stand still?

        Raises:
            ForkedError: the server belongs to the parent process.
        """
        return self._server._clock_read()[2]

    def __repr__(self) -> str:
        moment = _EPOCH + timedelta(microseconds=self._server._clock_read()[0])
        state = "stands" if self.frozen else "runs"
        return f"<kevyrt.Clock {state} at {moment.isoformat()}>"
