"""Many threads, signals at any moment, finalizers: what was promised holds, and nothing hangs."""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import os
import signal
import socket
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hammering import Hammer, InProcess, hectic
from programs import Program

import kevyrt


def start(**settings: Any) -> kevyrt.Server:
    try:
        return kevyrt.Server(**settings).start()
    except OSError as error:
        pytest.skip(str(error))


# ---- Threads -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"io": "io_uring", "threads": 3},
        {"io": "epoll", "threads": 1},
        {"io": "epoll", "threads": 3, "debug_borrow": "never"},
        {"threads": 2, "appendonly": True, "appendfsync": "always"},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())),
)
def test_threads_hammer_one_server(settings: dict[str, Any], tmp_path: Any) -> None:
    turns = 200
    if "appendonly" in settings:
        settings = settings | {"dir": str(tmp_path)}
        turns = 60  # each waits for the disk
    with start(**settings) as server, hectic():
        Hammer(server, turns, seed=len(settings)).play()


# ---- Signals -------------------------------------------------------------------------------------


class Raised(Exception):
    pass


@contextlib.contextmanager
def alarms(handler: Callable[[], object], every_s: float) -> Iterator[list[int]]:
    """Calls the handler again and again, in whatever this thread is doing."""
    heard = [0]

    def run(*_: object) -> None:
        heard[0] += 1
        handler()

    before = signal.signal(signal.SIGALRM, run)
    signal.setitimer(signal.ITIMER_REAL, every_s, every_s)
    try:
        yield heard
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_storm_of_signals() -> None:
    """Handlers that use the server themselves, between any two steps of a call."""
    with kevyrt.Server(threads=2) as server:

        def handle() -> None:
            server.execute("INCR", "handled")
            server.set("last", "x" * 3000)
            server.execute("MGET", "last", "total", "handled")

        with alarms(handle, 0.0005) as heard:
            while heard[0] < 300:
                server.execute("INCR", "total")
                server.set("large", "y" * 5000)
                assert server.get("large") == b"y" * 5000
                server.execute("BLPOP", "nobody", "none", 0.002)
                server.execute("MSET", *range(40))
                server.stats()
                server.wait(0.001)
        assert int(server.get("handled") or 0) == heard[0]


class Interrupter:
    """A handler that raises at most once per attempt, so never behind it."""

    def __init__(self) -> None:
        self._armed = False
        self.raised = 0

    def __call__(self) -> None:
        if self._armed:
            self._armed = False
            raise Raised

    def attempt(self, call: Callable[[], object]) -> bool:
        """Did it come to its end?"""
        try:
            self._armed = True
            call()
            self._armed = False
        except Raised:
            self.raised += 1
            return False
        return True


def test_a_storm_of_exceptions() -> None:
    """Whatever a handler interrupts has happened, or has not: half a call is never seen."""
    with kevyrt.Server(threads=3) as server:
        interrupter = Interrupter()
        number = 0

        def write() -> None:
            server.execute("MSET", "a", number, "b", number, "c", number)
            server.execute("BLPOP", "nobody", "none", 0.001)
            server.wait(0.0005)
            server.snapshot()
            with server.session() as session:
                session.execute("MULTI")
                session.execute("SET", "d", number)
                session.execute("SET", "e", number)
                session.execute("EXEC")

        with alarms(interrupter, 0.0011):
            while interrupter.raised < 200:
                number += 1
                interrupter.attempt(write)
                for keys in ("abc", "de"):
                    values = server.execute("MGET", *keys)
                    assert len(set(values)) == 1, values
        assert "blocked_clients:0" in str(server.execute("INFO", "clients"))


def long_calls(server: kevyrt.Server, folder: str) -> dict[str, Callable[[], object]]:
    """Calls that take a while, each of a kind of waiting of its own."""
    session = server.session()
    data = server.snapshot()
    return {
        "data": lambda: server.execute("BLPOP", "nobody", "none", 0),
        "data-of-a-session": lambda: session.execute("XREAD", "BLOCK", 0, "STREAMS", "none", "$"),
        "wait": lambda: server.wait(),
        "save": lambda: server.save(f"{folder}/dump.rdb"),
        "snapshot": lambda: server.snapshot(),
        "restore": lambda: server.restore(data),
        "rewrite": lambda: server.rewrite_aof(),
        "log": lambda: server.execute("INCR", "logged"),
        "waitaof": lambda: server.execute("WAITAOF", 1, 0, 0),
    }


KINDS = (
    *("data", "data-of-a-session", "wait", "save", "snapshot", "restore", "rewrite"),
    *("log", "waitaof"),
)


@pytest.fixture(scope="module")
def durable() -> Iterator[kevyrt.Server]:
    """With as many keys as make a copy take longer than an alarm."""
    with tempfile.TemporaryDirectory() as folder:
        settings: dict[str, Any] = {"appendonly": True, "appendfsync": "always", "dir": folder}
        with kevyrt.Server(threads=2, enable_debug_command=True, **settings) as server:
            server.execute("DEBUG", "POPULATE", 30_000, "key", 100)
            yield server


@pytest.mark.parametrize("kind", KINDS)
def test_a_handler_ends_every_kind_of_waiting(
    kind: str, durable: kevyrt.Server, tmp_path: Any
) -> None:
    call = long_calls(durable, str(tmp_path))[kind]
    endless = kind in ("data", "data-of-a-session", "wait")

    interrupter = Interrupter()

    def work() -> None:
        call()
        assert not endless
        time.sleep(0.02)

    for turn in range(20):
        begun = time.monotonic()
        with alarms(interrupter, 0.0003 * (1 + turn)):
            interrupter.attempt(work)
        assert time.monotonic() - begun < 10
        if endless and interrupter.raised >= 3:
            break
    assert interrupter.raised > 0
    assert durable.execute("PING")
    assert "blocked_clients:0" in str(durable.execute("INFO", "clients"))
    assert durable.execute("DBSIZE") >= 30_000
    assert [name for name in os.listdir(tmp_path) if name != "dump.rdb"] == []


def test_the_wakeup_descriptor(server: kevyrt.Server) -> None:
    """What tells an event loop of a signal is written while the thread is inside a call."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        ours.settimeout(10)
        heard: list[float] = []
        handler = signal.signal(signal.SIGALRM, lambda *_: heard.append(time.monotonic()))
        before = signal.set_wakeup_fd(theirs.fileno())
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            assert server.execute("BLPOP", "nobody", 0.2) is None
        finally:
            signal.set_wakeup_fd(before)
            signal.signal(signal.SIGALRM, handler)
        assert ours.recv(10) == bytes([signal.SIGALRM])
        assert len(heard) == 1


def test_faulthandler_dumps_while_threads_are_inside_calls(server: kevyrt.Server) -> None:
    inside = threading.Thread(target=lambda: server.execute("BLPOP", "q", 0))
    inside.start()
    try:
        with tempfile.TemporaryFile() as file:
            faulthandler.dump_traceback_later(0.02, file=file, exit=False)
            server.execute("BLPOP", "nobody", 0.2)
            faulthandler.cancel_dump_traceback_later()
            faulthandler.register(signal.SIGUSR1, file=file, all_threads=True)
            os.kill(os.getpid(), signal.SIGUSR1)
            server.execute("BLPOP", "nobody", 0.02)
            faulthandler.unregister(signal.SIGUSR1)
            file.seek(0)
            text = file.read().decode()
        assert text.count("test_faulthandler_dumps") >= 2, text
    finally:
        server.execute("RPUSH", "q", "x")
        inside.join(10)
    assert not inside.is_alive()


# ---- Finalizers ----------------------------------------------------------------------------------


def test_finalizers_inside_every_kind_of_call(program: Program) -> None:
    """A collection may run in any allocation of a call; what it finds calls the server again."""
    program("""
        import gc, threading
        import kevyrt

        class Garbage:
            def __init__(self, server):
                self.server, self.me = server, self
            def __del__(self):
                try:
                    self.server.execute("INCR", "finalized")
                    self.server.execute("BLPOP", "nobody", 0.0001)
                    self.server.execute("LRANGE", "list", 0, -1)
                    self.server.snapshot()
                except kevyrt.ServerStopped:
                    pass

        class Holder:
            def __init__(self, server):
                self.session, self.me = server.session(), self
                self.session.execute("WATCH", "list")
                self.snapshot = server.snapshot()

        def work(server):
            for turn in range(25):
                Garbage(server)
                Holder(server)
                server.execute("LRANGE", "list", 0, -1)
                server.execute("CONFIG", "GET", "*")
                server.execute("COMMAND", "INFO", "get", "set")
                server.snapshot().to_bytes()
                with server.session() as session:
                    session.execute("MULTI")
                    session.execute("LRANGE", "list", 0, -1)
                    session.execute("EXEC")
                server.stats()
                try:
                    server.execute("GET", "list")
                except kevyrt.WrongTypeError:
                    pass

        gc.set_threshold(1)
        with kevyrt.Server(port=None, threads=2) as server:
            server.execute("RPUSH", "list", *range(300))
            threads = [threading.Thread(target=work, args=(server,)) for n in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            gc.collect()
            assert int(server.get("finalized")) == 75, server.get("finalized")
            left = Garbage(server)
            del left
        gc.collect()
    """)


def test_the_server_goes_while_a_call_is_inside() -> None:
    """The call holds it: it is stopped when the call is over, by whichever thread that is."""
    server = kevyrt.Server(threads=2).start()
    reference = weakref.ref(server)
    results: list[object] = []

    def call(execute: Callable[..., object]) -> None:
        for _ in range(3):
            results.append(execute("BLPOP", "nobody", "none", 0.05))

    threads = [threading.Thread(target=call, args=(server.execute,)) for _ in range(3)]
    session = server.session()
    threads.append(threading.Thread(target=call, args=(session.execute,)))
    for thread in threads:
        thread.start()
    del server, session
    gc.collect()
    while threads:
        threads.pop().join(10)
    assert results == [None] * 12
    gc.collect()
    assert reference() is None


def test_a_session_closed_by_another_thread(server: kevyrt.Server) -> None:
    """It is refused while a call is inside, and possible at once afterwards."""
    with server.session() as session:
        inside = threading.Thread(target=lambda: session.execute("BLPOP", "q", 0))
        inside.start()
        while "blocked_clients:1" not in str(server.execute("INFO", "clients")):
            time.sleep(0.001)
        for use in (session.close, lambda: session.execute("PING")):
            with pytest.raises(RuntimeError, match="another thread"):
                use()
        server.execute("RPUSH", "q", "x")
        inside.join(10)
        assert not inside.is_alive()
        assert session.execute("PING")


def test_in_process_clients_are_closed_with_their_server() -> None:
    server = kevyrt.Server().start()
    client = InProcess(server)
    server.stop()
    with pytest.raises(kevyrt.ServerStopped):
        client.execute("PING")
    client.close()
