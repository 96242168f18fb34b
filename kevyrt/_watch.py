"""Server.watch_stats(): a thread that looks at the statistics from time to time.

The thread sleeps between two looks, and ends by itself: at stop(), with the server however that
ends, when nobody has the watch any more, at the end of the interpreter. It holds neither server
nor watch while it sleeps.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, fields
from types import TracebackType
from typing import TYPE_CHECKING, Any

from kevyrt import _core, _frames, _show

if TYPE_CHECKING:
    from kevyrt._stats import Stats
    from kevyrt.server import Server

# A stop waits so long for a look that is under way.
_JOIN_S = 5.0


@dataclass(frozen=True)
class WatchSample:
    """What a watch notes of the time since the sample before.

    Attributes:
        time: when it was taken, in seconds since 1970.
        seconds: how long the time is that it tells of.
        commands_per_s: commands per second.
        p50_ns, p99_ns, p999_ns: percentiles of how long the commands took, in nanoseconds; None if
            there was none.
        hit_rate: the part of look-ups that found a key, 0 to 1; None if there was none.
        keys: keys at its end.
        connections: connections at its end.
        used_bytes: memory used for data and buffers at its end, in bytes.
        resident_bytes: memory of the whole process at its end, in bytes.
        input_bytes_per_s, output_bytes_per_s: what went through sockets, in bytes per second.
        expired_keys, evicted_keys: keys that went by their deadline, or for lack of memory.
    """

    time: float
    seconds: float
    commands_per_s: float
    p50_ns: int | None
    p99_ns: int | None
    p999_ns: int | None
    hit_rate: float | None
    keys: int
    connections: int
    used_bytes: int
    resident_bytes: int
    input_bytes_per_s: float
    output_bytes_per_s: float
    expired_keys: int
    evicted_keys: int


def _sample(before: Stats, now: Stats) -> WatchSample:
    since = now - before
    seconds = since.seconds or 1e-9
    return WatchSample(
        time=now.time,
        seconds=since.seconds,
        commands_per_s=since.commands_per_s,
        p50_ns=since.latency.p50_ns,
        p99_ns=since.latency.p99_ns,
        p999_ns=since.latency.p999_ns,
        hit_rate=since.hit_rate,
        keys=now.total.keys,
        connections=now.total.connections,
        used_bytes=now.total.used_bytes,
        resident_bytes=now.memory.resident_bytes,
        input_bytes_per_s=since.input_bytes / seconds,
        output_bytes_per_s=since.output_bytes / seconds,
        expired_keys=since.total.expired_keys,
        evicted_keys=since.total.evicted_keys,
    )


class _Bell:
    """What ends the thread's sleep, once and for all.

    Finalizers ring it, in whatever thread and wherever that is: in this thread too, as it goes to
    sleep. A threading.Event would wait there for a lock that the same thread holds.
    """

    def __init__(self) -> None:
        self._silence = threading.Lock()
        self._silence.acquire()

    def ring(self) -> None:
        with contextlib.suppress(RuntimeError):  # it has been rung already
            self._silence.release()

    def wait(self, seconds: float) -> bool:
        """True: it was rung. Nobody waits for it again then."""
        return self._silence.acquire(timeout=seconds)


class _Sampler:
    """What the thread has: everything but the watch and, while it sleeps, the server."""

    def __init__(self, server: Server, seconds: float, keep: int, sample: int | None) -> None:
        self.seconds, self.sample = seconds, sample
        self.samples: deque[WatchSample] = deque(maxlen=keep)
        self.state = "running"
        self.latest = server.stats(sample)
        self.bell = _Bell()
        self.lock = threading.Lock()
        bell = self.bell
        self.server = weakref.ref(server, lambda _: bell.ring())
        self.thread: threading.Thread | None = threading.Thread(
            target=self._run, name="kevyrt-watch", daemon=True
        )
        _samplers.add(self)
        self.thread.start()

    def look(self) -> bool:
        """Takes a sample. False: the server is not there, or does not run."""
        server = self.server()
        if server is None:
            return False
        try:
            stats = server.stats(self.sample)
        except MemoryError:
            return True
        except _core.Error:
            return False
        except Exception as error:
            self.state = f"failed: {type(error).__name__}: {error}"
            return False
        sample = _sample(self.latest, stats)
        with self.lock:
            self.samples.append(sample)
            self.latest = stats
        return True

    def _run(self) -> None:
        # Signals are the host's, and belong to its own threads.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        due = time.monotonic() + self.seconds
        while not self.bell.wait(max(due - time.monotonic(), 0)):
            if not self.look():
                break
            # What is late, because nobody could look for long, is not made up for.
            due += self.seconds
            if due < time.monotonic() + self.seconds / 2:
                due = time.monotonic() + self.seconds
        if self.state == "running":
            self.state = "the server has stopped"

    def end(self, state: str) -> None:
        if self.state == "running":
            self.state = state
        self.bell.ring()

    def join(self) -> None:
        thread = self.thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_JOIN_S)

    def forget(self) -> None:
        """In a forked child: the thread is the parent's, and may have held anything."""
        self.bell, self.lock, self.thread = _Bell(), threading.Lock(), None
        self.end("left behind by a fork")


class StatsWatch:
    """Statistics over time, taken in the background: what `Server.watch_stats()` returns.

    A notebook shows it as charts, `print` its latest samples. It has a length and can be iterated:
    over its samples, the oldest first. It is a context manager that stops it.

    Attributes:
        seconds: how far apart the samples are.
        keep: how many of them are kept, the latest ones.
    """

    seconds: float
    keep: int

    def __init__(self, server: Server, seconds: float, keep: int, sample: int | None) -> None:
        if not 0 < seconds < threading.TIMEOUT_MAX:
            raise ValueError("seconds must be positive")
        if keep < 1:
            raise ValueError("keep must be positive")
        self.seconds, self.keep = float(seconds), keep
        self._sampler = _Sampler(server, self.seconds, keep, sample)
        weakref.finalize(self, self._sampler.end, "forgotten").atexit = False

    @property
    def samples(self) -> tuple[WatchSample, ...]:
        """What was noted so far, the oldest first; at most `keep`."""
        with self._sampler.lock:
            return tuple(self._sampler.samples)

    @property
    def stats(self) -> Stats:
        """The statistics at the latest sample, or at the begin of the watch."""
        return self._sampler.latest

    @property
    def running(self) -> bool:
        """Are samples taken? False after stop(), and when the server has stopped."""
        return self._sampler.state == "running"

    @property
    def state(self) -> str:
        """ "running", or why it is not."""
        return self._sampler.state

    def stop(self) -> None:
        """Takes no more samples; what was noted stays. Does nothing if it is stopped."""
        self._sampler.end("stopped")
        self._sampler.join()

    def __enter__(self) -> StatsWatch:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def __len__(self) -> int:
        return len(self._sampler.samples)

    def __iter__(self) -> Iterator[WatchSample]:
        return iter(self.samples)

    def __bool__(self) -> bool:
        return True

    def to_dict(self) -> dict[str, list[Any]]:
        """The fields of WatchSample, each with a list of its values, the oldest first."""
        samples = self.samples
        return {
            field.name: [getattr(sample, field.name) for sample in samples]
            for field in fields(WatchSample)
        }

    def to_pandas(self) -> Any:
        """A DataFrame of pandas with a row per sample, indexed by `time` in UTC.

        Raises:
            ImportError: pandas is not installed.
        """
        pandas = _frames.pandas()
        frame = pandas.DataFrame(self.to_dict())
        frame["time"] = pandas.to_datetime(frame["time"], unit="s", utc=True)
        return frame.set_index("time")

    def __repr__(self) -> str:
        return _show.watch_line(self)

    def __str__(self) -> str:
        return _show.watch_text(self)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))

    def _repr_html_(self) -> str:
        return _show.watch_html(self)


# ---- Ends ----------------------------------------------------------------------------------------

_samplers: weakref.WeakSet[_Sampler] = weakref.WeakSet()


def end(server: Server) -> list[_Sampler]:
    """Those of a server that stops. They are to be joined when it has."""
    ending = [sampler for sampler in list(_samplers) if sampler.server() is server]
    for sampler in ending:
        sampler.end("the server has stopped")
    return ending


def _end_all() -> None:
    samplers = list(_samplers)
    for sampler in samplers:
        sampler.end("the interpreter ends")
    for sampler in samplers:
        sampler.join()


def _forget_in_child() -> None:
    for sampler in list(_samplers):
        sampler.forget()


atexit.register(_end_all)
os.register_at_fork(after_in_child=_forget_in_child)
