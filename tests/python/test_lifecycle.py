"""Start, stop, wait, garbage collection, signals and the end of the interpreter."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import threading
import time
import weakref
from collections.abc import Callable

import pytest
import redis
from programs import Program

import kevyrt
from kevyrt import _core

BACKENDS = ["io_uring", "epoll"]


def our_threads() -> list[str]:
    """Names of this process's threads that are kevyrt's, C and Python."""
    names = []
    for task in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{task}/comm") as file:
                names.append(file.read().strip())
        except FileNotFoundError:
            continue
    return [name for name in names if name.startswith("kevyrt")]


def make(**settings: object) -> kevyrt.Server:
    """A started server; skips where io_uring cannot be had."""
    try:
        return kevyrt.Server(**settings).start()  # type: ignore[arg-type]
    except OSError as error:
        if settings.get("io") != "io_uring":
            raise
        pytest.skip(str(error))


def quiet_port() -> int:
    """A free port that the kernel gives to nobody who does not ask for it."""
    for port in range(20_000 + os.getpid() % 10_000, 32_000):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no free port")


# ---- Start and stop ------------------------------------------------------------------------------


def test_start_and_stop_are_idempotent() -> None:
    server = kevyrt.Server()
    server.stop()
    assert server.start() is server and server.running
    server.set("k", "v")
    port = server.port
    assert server.start() is server and server.port == port
    assert server.get("k") == b"v"
    server.stop()
    server.stop()
    assert not server.running
    with pytest.raises(kevyrt.ServerStopped):
        server.get("k")


def test_starts_again_empty() -> None:
    server = kevyrt.Server()
    for _ in range(3):
        with server:
            assert server.get("k") is None
            server.set("k", "v")


def test_init_twice() -> None:
    server = kevyrt.Server()
    with pytest.raises(RuntimeError):
        server.__init__()  # type: ignore[misc]


def test_subclass_that_forgets_to_initialise() -> None:
    class Forgetful(kevyrt.Server):
        def __init__(self) -> None:
            pass

    server = Forgetful()
    assert not server.running
    for call in (lambda: server.get("k"), lambda: server.set("k", 1), server.start, server.stop):
        with pytest.raises(RuntimeError, match="__init__"):
            call()


@pytest.mark.parametrize("io", BACKENDS)
@pytest.mark.parametrize("threads", [1, 3])
def test_a_hundred_times_on_the_same_port(io: str, threads: int) -> None:
    port = quiet_port()
    server = make(io=io, threads=threads, port=port)
    server.stop()
    gc.collect()  # so that no descriptor of an earlier test goes meanwhile
    files = len(os.listdir("/proc/self/fd"))
    for number in range(100):
        with server, socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            client.sendall(b"PING\r\n")
            assert client.recv(100) == b"+PONG\r\n"
            server.set("k", number)
    assert our_threads() == []
    assert len(os.listdir("/proc/self/fd")) == files


@pytest.mark.parametrize("io", BACKENDS)
def test_stop_ends_clients(io: str) -> None:
    server = make(io=io, threads=2)
    clients = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(20)]
    for client in clients:
        client.sendall(b"PING\r\n")
        assert client.recv(100) == b"+PONG\r\n"
    server.stop()
    for client in clients:
        with client, contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""


def hammer(server: kevyrt.Server, calls: list[int], number: int) -> None:
    """Calls until the server has stopped; counts the calls."""
    try:
        while True:
            server.set(f"k{number}", "v")
            server.get(f"k{number}")
            server.execute("MSET", "a", number, "b", number, "c", number)
            one, two, three = server.execute("MGET", "a", "b", "c")
            assert one == two == three
            server.stats()
            calls[number] += 1
    except kevyrt.ServerStopped:
        return


@pytest.mark.parametrize("threads", [1, 4])
def test_stop_and_restart_under_callers(threads: int) -> None:
    """Callers that wait for a baton at the stop are through before the next start."""
    server = kevyrt.Server(port=None, threads=threads)
    for _ in range(15):
        server.start()
        calls = [0] * 6
        callers = [
            threading.Thread(target=hammer, args=(server, calls, number)) for number in range(6)
        ]
        for caller in callers:
            caller.start()
        time.sleep(0.02)
        server.stop()
        server.start()
        server.stop()
        for caller in callers:
            caller.join(10)
            assert not caller.is_alive()
        assert any(calls)


def test_start_and_stop_from_many_threads() -> None:
    server = kevyrt.Server(port=None)

    def work() -> None:
        for _ in range(10):
            server.start()
            server.stop()

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
        assert not worker.is_alive()
    server.stop()
    assert our_threads() == []


# ---- SHUTDOWN ------------------------------------------------------------------------------------


def shutdown_by_wire(server: kevyrt.Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(b"SHUTDOWN NOSAVE\r\n")
        assert client.recv(100) == b""


def shutdown_by_call(server: kevyrt.Server) -> None:
    assert server.execute("SHUTDOWN", "NOSAVE") is None


@pytest.mark.parametrize("shutdown", [shutdown_by_wire, shutdown_by_call])
def test_shutdown_stops_the_server_and_not_the_process(
    shutdown: Callable[[kevyrt.Server], None],
) -> None:
    with kevyrt.Server() as server, kevyrt.Server() as other:
        shutdown(server)
        assert server.wait(10)
        assert not server.running
        with pytest.raises(kevyrt.ServerStopped):
            server.get("k")
        assert other.execute("PING") == "PONG"
        # The port is free, and the server can be started again.
        with kevyrt.Server(port=server.port):
            pass
        server.start()
        assert server.execute("PING") == "PONG"


# ---- wait ----------------------------------------------------------------------------------------


def test_wait_ends_with_stop(server: kevyrt.Server) -> None:
    assert server.wait(0) is False
    assert server.wait(timeout=0.05) is False
    threading.Timer(0.05, server.stop).start()
    assert server.wait() is True


@pytest.mark.parametrize("timeout", [float("nan"), "1", object()])
def test_wait_for_nonsense(server: kevyrt.Server, timeout: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        server.wait(timeout)  # type: ignore[arg-type]


def test_wait_for_negative_and_endless_times(server: kevyrt.Server) -> None:
    assert server.wait(-1) is False
    threading.Timer(0.05, server.stop).start()
    assert server.wait(float("inf")) is True


def test_ctrl_c_ends_wait(server: kevyrt.Server) -> None:
    # What runs in the background of a shell has the signal ignored.
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
    began = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            server.wait()
    finally:
        signal.signal(signal.SIGINT, previous)
    assert time.monotonic() - began < 5
    assert server.execute("PING") == "PONG"


def test_handlers_run_during_wait(server: kevyrt.Server) -> None:
    """A handler that does not raise may stop the server, or let the wait go on."""
    seen = []
    previous = signal.signal(signal.SIGUSR1, lambda *_: seen.append(server.get("k")))
    try:
        server.set("k", "v")
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        assert server.wait(0.3) is False
        signal.signal(signal.SIGUSR1, lambda *_: server.stop())
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        assert server.wait(10) is True
    finally:
        signal.signal(signal.SIGUSR1, previous)
    assert seen == [b"v"]


def test_signals_do_not_reach_our_threads(server: kevyrt.Server) -> None:
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{task}/status") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        if status["Name"].startswith("kevyrt"):
            blocked = int(status["SigBlk"], 16)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGALRM):
                assert blocked >> (number - 1) & 1, (status["Name"], number)


def test_an_idle_server_costs_nothing() -> None:
    with kevyrt.Server(threads=4) as server:
        server.set("k", "v")
        with redis.Redis.from_url(server.url) as client:
            client.ping()
        time.sleep(0.1)
        before = time.process_time()
        time.sleep(1)
        assert time.process_time() - before < 0.005


# ---- Garbage collection --------------------------------------------------------------------------


def test_a_running_server_is_collected() -> None:
    server = kevyrt.Server().start()
    port = server.port
    reference = weakref.ref(server)
    del server
    assert reference() is None
    assert our_threads() in ([], ["kevyrt-log"])
    with kevyrt.Server(port=port):
        pass


def test_a_server_in_a_cycle_with_its_session_is_collected() -> None:
    server = kevyrt.Server(port=None).start()
    server.session_of_mine = server.session()  # type: ignore[attr-defined]
    reference = weakref.ref(server)
    del server
    gc.collect()
    assert reference() is None


def test_a_session_keeps_its_server() -> None:
    session = kevyrt.Server(port=None).start().session()
    gc.collect()
    assert session.execute("PING") == "PONG"


def test_finalizers_that_call_the_server(program: Program) -> None:
    """A collection can run in every allocation; no finalizer may meet a baton of its own thread."""
    program("""
        import gc, threading
        import kevyrt

        class Garbage:
            def __init__(self, server):
                self.server, self.me = server, self
            def __del__(self):
                self.server.set("finalized", "x" * 2000)
                assert self.server.get("finalized") == b"x" * 2000
                self.server.execute("MGET", "finalized", "nobody")
                self.server.execute("INFO")
                with self.server.session() as session:
                    session.execute("CLIENT", "ID")

        def work(server, number):
            for turn in range(60):
                Garbage(server)
                server.set(f"k{number}", bytearray(b"v" * 1500))
                server.get(f"k{number}")
                server.execute("MSET", *(f"key:{i}" for i in range(20)))
                server.execute("MGET", *(f"key:{i}" for i in range(20)))
                server.execute("CONFIG", "GET", "*")
                server.stats()
                server.delete(*(f"key:{i}" for i in range(20)))
                try:
                    server.execute("INCR", f"k{number}")
                except kevyrt.ResponseError:
                    pass

        gc.set_threshold(1)
        with kevyrt.Server(port=None, threads=3) as server:
            threads = [threading.Thread(target=work, args=(server, n)) for n in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            gc.collect()
            assert server.get("finalized") is not None
    """)


def test_a_finalizer_may_start_and_stop_servers(program: Program) -> None:
    program("""
        import gc
        import kevyrt

        class Garbage:
            def __init__(self):
                self.me = self
            def __del__(self):
                with kevyrt.Server(port=None) as server:
                    server.set("k", "v")

        gc.set_threshold(1)
        for turn in range(20):
            Garbage()
            with kevyrt.Server(port=None) as server:
                server.execute("INFO")
    """)


# ---- The end of the interpreter ------------------------------------------------------------------


def test_exit_with_a_running_server(program: Program) -> None:
    program("""
        import kevyrt
        server = kevyrt.Server(threads=2).start()
        server.set("k", "v")
        session = server.session()
    """)


def test_exit_while_threads_are_inside_calls(program: Program) -> None:
    program("""
        import threading, time
        import kevyrt

        def work(server, number):
            try:
                while True:
                    server.set("k", "v" * 5000)
                    server.get("k")
                    server.execute("MSET", *(f"key:{i}" for i in range(200)))
                    server.execute("MGET", *(f"key:{i}" for i in range(200)))
                    server.execute("INFO")
                    server.stats()
            except kevyrt.ServerStopped:
                pass

        server = kevyrt.Server(threads=2).start()
        for number in range(6):
            threading.Thread(target=work, args=(server, number), daemon=True).start()
        threading.Thread(target=server.wait, daemon=True).start()
        time.sleep(0.3)
    """)


def test_exit_by_an_exception_and_in_the_middle(program: Program) -> None:
    program(
        """
        import os, sys
        import kevyrt
        servers = [kevyrt.Server().start() for _ in range(3)]
        sys.exit(7)
        """,
        expect=7,
    )
    program("import os, kevyrt; server = kevyrt.Server().start(); os._exit(5)", expect=5)


def test_exit_handlers_may_use_a_server(program: Program) -> None:
    output = program("""
        import atexit
        import kevyrt

        def last():
            print(server.get("k"), server.running)

        server = kevyrt.Server().start()
        server.set("k", "v")
        atexit.register(last)
    """)
    assert output == "b'v' True\n"


def test_a_server_that_starts_after_the_others_were_stopped(program: Program) -> None:
    """An exit handler that is older than the library runs after its own."""
    output = program("""
        import atexit

        def last():
            with kevyrt.Server() as server:
                server.set("k", "v")
                print(server.get("k"))

        atexit.register(last)
        import kevyrt
    """)
    assert output == "b'v'\n"


def test_a_server_is_finalized_late(program: Program) -> None:
    program("""
        import sys
        import kevyrt

        class Keeper:
            def __init__(self):
                self.server = kevyrt.Server().start()
            def __del__(self):
                try:
                    self.server.get("k")
                except kevyrt.ServerStopped:
                    pass

        sys.keeper = Keeper()
        cycle = [Keeper()]
        cycle.append(cycle)
    """)


@pytest.mark.parametrize(
    "kind", [value for value in vars(_core).values() if isinstance(value, type)]
)
def test_what_was_never_initialised_does_nothing(kind: type) -> None:
    """None of its methods and properties ends the process, whatever it is given."""
    try:
        empty = kind.__new__(kind)
    except TypeError:
        return  # nobody can make one
    if isinstance(empty, BaseException):
        return
    names = [name for name in dir(kind) if not name.startswith("__")]
    for name in [*names, "__len__", "__iter__", "__enter__", "__exit__", "__getitem__"]:
        for given in ((), (1,), (1, 2)):
            with contextlib.suppress(Exception):
                getattr(empty, name)(*given)
