"""The library's lines on their way to the logger `kevyrt`.

The shard threads never log: they leave lines in a bounded queue. One thread of Python's takes them
out. It is there while a server runs, sleeps without the GIL, and ends by itself with the last
server, in whatever way that ends: stop(), SHUTDOWN, garbage collection, the end of the interpreter.
"""

from __future__ import annotations

import logging
import os
import signal
import threading

from kevyrt import _core

LOGGER = logging.getLogger("kevyrt")

# Redis's levels: debug, verbose, notice, warning.
LEVELS = (logging.DEBUG, logging.DEBUG, logging.INFO, logging.WARNING)

# A handler that waits for whoever stops the server must not make that wait for ever.
_JOIN_S = 5.0

_thread: threading.Thread | None = None
# Reentrant: a finalizer may start a server inside start().
_lock = threading.RLock()


def emit(level: int, text: str) -> None:
    LOGGER.log(LEVELS[level], "%s", text)


def _ended() -> bool:
    """Under the lock, so that no server can start between the look and the end of the thread."""
    global _thread
    with _lock:
        if _core.log_wanted():
            return False
        _thread = None
        return True


def _run() -> None:
    # Signals are the host's, and belong to its own threads.
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    while True:
        line = _core.log_next()
        if line is not None:
            emit(*line)
        elif _ended():
            return


def start() -> None:
    """Sees to the thread. Called after a server has started, or failed to: there may be lines."""
    global _thread
    with _lock:
        if (_thread is not None and _thread.is_alive()) or not _core.log_wanted():
            return
        thread = threading.Thread(target=_run, name="kevyrt-log", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads: the interpreter is ending
            return
        _thread = thread


def finish() -> None:
    """Waits until the lines of the last server are out. Called when no server runs any more."""
    thread = _thread
    if thread is not None and thread is not threading.current_thread():
        thread.join(_JOIN_S)


def _forget_in_child() -> None:
    """The thread and whoever held the lock are the parent's."""
    global _thread, _lock
    _thread = None
    _lock = threading.RLock()


os.register_at_fork(after_in_child=_forget_in_child)
