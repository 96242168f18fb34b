"""Commands that wait for data, in process: without the GIL, as patient as they say, and woken by
signals, pushes and the end of the server. Nothing that was popped is lost on the way.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from itertools import starmap

import pytest
from programs import Program

import kevyrt

LATE_S = 0.2  # what a busy machine may add


class Waiter(threading.Thread):
    """A call in a thread of its own."""

    def __init__(self, call: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self._call = call
        self.result: object = None
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self.result = self._call()
        except BaseException as error:
            self.error = error

    def done(self, timeout: float = 10) -> object:
        self.join(timeout)
        assert not self.is_alive(), "it waits on"
        if self.error:
            raise self.error
        return self.result


def blocked(server: kevyrt.Server) -> int:
    info = server.execute("INFO", "clients")
    text = info.decode() if isinstance(info, bytes) else str(info)
    return int(text.partition("blocked_clients:")[2].split()[0])


def await_blocked(server: kevyrt.Server, count: int) -> None:
    deadline = time.monotonic() + 10
    while blocked(server) != count:
        assert time.monotonic() < deadline, f"{blocked(server)} wait, not {count}"
        time.sleep(0.001)


@pytest.fixture(params=[1, 3])
def server(request: pytest.FixtureRequest) -> Iterator[kevyrt.Server]:
    with kevyrt.Server(threads=request.param) as running:
        yield running


def test_what_is_there_is_taken_at_once(server: kevyrt.Server) -> None:
    server.execute("RPUSH", "q", "a", "b")
    assert server.execute("BLPOP", "none", "q", 0) == [b"q", b"a"]
    assert server.execute("BLMOVE", "q", "r", "LEFT", "RIGHT", 0) == b"b"
    server.execute("ZADD", "z", 1.5, "m")
    assert server.execute("BZPOPMIN", "z", 0) == [b"z", b"m", 1.5]
    server.execute("XADD", "s", "1-1", "f", "v")
    assert server.execute("XREAD", "BLOCK", 0, "STREAMS", "s", 0) == {
        b"s": [[b"1-1", [b"f", b"v"]]]
    }


@pytest.mark.parametrize("timeout", [0.001, 0.05, 0.3])
def test_time_outs(server: kevyrt.Server, timeout: float) -> None:
    with server.session() as session:
        for execute in (server.execute, session.execute):
            start = time.monotonic()
            assert execute("BLPOP", "q", "r", "s", timeout) is None
            assert timeout <= time.monotonic() - start < timeout + LATE_S
    assert blocked(server) == 0


def test_time_outs_are_exact(server: kevyrt.Server) -> None:
    """The best of a few, as others have the processor too."""
    late = []
    for _ in range(20):
        start = time.monotonic()
        server.execute("XREAD", "BLOCK", 20, "STREAMS", "s", "$")
        late.append(time.monotonic() - start - 0.02)
    assert 0 <= min(late) < 0.004


def test_errors_do_not_wait(server: kevyrt.Server) -> None:
    with pytest.raises(kevyrt.ResponseError, match="timeout is negative"):
        server.execute("BLPOP", "q", -1)
    server.execute("SET", "string", "v")
    with pytest.raises(kevyrt.ResponseError, match="WRONGTYPE"):
        server.execute("BLPOP", "string", 0)


def test_a_push_of_another_thread_wakes(server: kevyrt.Server) -> None:
    waiter = Waiter(lambda: server.execute("BLPOP", "q", "r", "s", 0))
    await_blocked(server, 1)
    server.execute("RPUSH", "s", "a", "b")
    assert waiter.done() == [b"s", b"a"]
    assert server.execute("LRANGE", "s", 0, -1) == [b"b"]


def test_a_push_of_a_connection_wakes(server: kevyrt.Server) -> None:
    ours, theirs = socket.socketpair()
    server.adopt(theirs.detach())
    waiters = [Waiter(lambda: server.execute("BLPOP", "q", "r", 0)) for _ in range(2)]
    await_blocked(server, 2)
    ours.sendall(b"RPUSH r a\r\nRPUSH q b\r\n")
    assert sorted(waiter.done() for waiter in waiters) == [[b"q", b"b"], [b"r", b"a"]]
    ours.close()


def test_a_connection_is_served_by_a_call(server: kevyrt.Server) -> None:
    ours, theirs = socket.socketpair()
    ours.settimeout(10)
    server.adopt(theirs.detach())
    ours.sendall(b"BLMOVE q r LEFT RIGHT 0\r\n")
    await_blocked(server, 1)
    waiter = Waiter(lambda: server.execute("BRPOP", "r", 0))
    await_blocked(server, 2)
    assert server.execute("RPUSH", "q", "a") == 1
    assert ours.recv(100) == b"$1\r\na\r\n"
    assert waiter.done() == [b"r", b"a"]
    ours.close()


def test_a_push_of_a_transaction_wakes(server: kevyrt.Server) -> None:
    """At its end, whatever was there in between."""
    first = Waiter(lambda: server.execute("BLPOP", "q", "r", 0))
    await_blocked(server, 1)
    second = Waiter(lambda: server.execute("BLMOVE", "r", "s", "LEFT", "LEFT", 0))
    await_blocked(server, 2)
    with server.session() as session:
        for words in (
            ["MULTI"],
            ["RPUSH", "q", "gone"],
            ["DEL", "q"],
            ["RPUSH", "r", "a", "b"],
            ["LLEN", "r"],
        ):
            session.execute(*words)
        assert session.execute("EXEC") == [1, 1, 2, 2]
        assert first.done() == [b"r", b"a"]
        assert second.done() == b"b"
        assert session.execute("LRANGE", "s", 0, -1) == [b"b"]


def test_nobody_waits_in_a_transaction(server: kevyrt.Server) -> None:
    with server.session() as session:
        session.execute("MULTI")
        assert session.execute("BLPOP", "q", "r", 0) == "QUEUED"
        session.execute("RPUSH", "q", "a")
        session.execute("BLPOP", "q", "r", 0)
        assert session.execute("EXEC") == [None, 1, [b"q", b"a"]]


def test_first_come_first_served(server: kevyrt.Server) -> None:
    waiters = []
    for count in range(1, 9):
        waiters.append(Waiter(lambda: server.execute("BLPOP", "q", "other", 0)))
        await_blocked(server, count)
    server.execute("RPUSH", "q", *range(8))
    assert [waiter.done() for waiter in waiters] == [[b"q", b"%d" % at] for at in range(8)]


def test_many_threads_lose_nothing(server: kevyrt.Server) -> None:
    """Each element goes to one of them, whoever pushes it."""
    keys = ["q", "r", "s"]

    def consume() -> list[bytes]:
        got = []
        while (popped := server.execute("BLPOP", *keys, 0))[1] != b"end":
            got.append(popped[1])
        return got

    consumers = [Waiter(consume) for _ in range(8)]
    producers = [
        Waiter(lambda n=n: [server.execute("RPUSH", keys[i % 3], f"{n}:{i}") for i in range(200)])
        for n in range(3)
    ]
    for producer in producers:
        producer.done(30)
    for _ in consumers:
        server.execute("RPUSH", "s", "end")
    got = [element for consumer in consumers for element in consumer.done(30)]
    assert sorted(got) == sorted(b"%d:%d" % (n, i) for n in range(3) for i in range(200))
    assert server.execute("EXISTS", *keys) == 0


def test_a_session_is_seen_and_unblocked(server: kevyrt.Server) -> None:
    with server.session() as session:
        number = session.execute("CLIENT", "ID")
        session.execute("SELECT", 2)
        waiter = Waiter(lambda: session.execute("BLPOP", "q", 0))
        await_blocked(server, 1)
        with pytest.raises(RuntimeError, match="another thread"):
            session.execute("PING")
        listed = server.execute("CLIENT", "LIST", "ID", number)
        assert " flags=b " in str(listed)
        server.execute("RPUSH", "q", "elsewhere")
        assert server.execute("CLIENT", "UNBLOCK", number) == 1
        assert waiter.done() is None
        waiter = Waiter(lambda: session.execute("BLPOP", "q", 0))
        await_blocked(server, 1)
        assert server.execute("CLIENT", "UNBLOCK", number, "ERROR") == 1
        with pytest.raises(kevyrt.ResponseError, match="UNBLOCKED"):
            waiter.done()
        waiter = Waiter(lambda: session.execute("BLPOP", "q", 0))
        await_blocked(server, 1)
        server.execute("RPUSH", "q", "x", db=2)
        assert waiter.done() == [b"q", b"x"]


def test_a_group_that_goes(server: kevyrt.Server) -> None:
    server.execute("XGROUP", "CREATE", "s", "g", "$", "MKSTREAM")
    waiter = Waiter(
        lambda: server.execute("XREADGROUP", "GROUP", "g", "c", "BLOCK", 0, "STREAMS", "s", ">")
    )
    await_blocked(server, 1)
    server.delete("s")
    with pytest.raises(kevyrt.ResponseError, match="NOGROUP No such key 's'"):
        waiter.done()


def test_the_stop_ends_waiting() -> None:
    server = kevyrt.Server(threads=2)
    server.start()
    session = server.session()
    waiters = [Waiter(lambda: server.execute("BLPOP", "a", "b", "c", 0)) for _ in range(4)]
    waiters.append(Waiter(lambda: session.execute("BZPOPMIN", "a", "b", 100)))
    await_blocked(server, 5)
    server.stop()
    for waiter in waiters:
        with pytest.raises(kevyrt.ServerStopped):
            waiter.done()
    server.start()
    server.execute("RPUSH", "a", "x")
    assert session.execute("BLPOP", "a", 0) == [b"a", b"x"]
    server.stop()


# ---- Signals -------------------------------------------------------------------------------------


def test_handlers_run_while_it_waits(server: kevyrt.Server) -> None:
    """One that does not raise leaves it where it was in the queue."""
    heard: list[float] = []
    before = signal.signal(signal.SIGALRM, lambda *_: heard.append(time.monotonic()))
    start = time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    try:
        assert server.execute("BLPOP", "q", "r", 0.2) is None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(heard) >= 3
    assert heard[0] - start < 0.02 + LATE_S
    assert time.monotonic() - start >= 0.2


class Raised(Exception):
    pass


def _raise(*_: object) -> None:
    raise Raised


def test_a_handler_that_raises_ends_it(server: kevyrt.Server) -> None:
    before = signal.signal(signal.SIGALRM, _raise)
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    try:
        with pytest.raises(Raised) as caught:
            server.execute("BLPOP", "q", "r", 0)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert not hasattr(caught.value, "kevyrt_reply")
    assert blocked(server) == 0
    server.execute("RPUSH", "q", "a")
    assert server.execute("LLEN", "q") == 1


def test_what_came_first_hangs_on_the_exception(server: kevyrt.Server) -> None:
    """The handler pushes what the call waits for, and raises."""

    def push_and_raise(*_: object) -> None:
        server.execute("RPUSH", "r", "a", "b")
        raise Raised

    before = signal.signal(signal.SIGALRM, push_and_raise)
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    try:
        with pytest.raises(Raised) as caught:
            server.execute("BLPOP", "q", "r", 0)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert caught.value.kevyrt_reply == [b"r", b"a"]
    assert server.execute("LRANGE", "r", 0, -1) == [b"b"]


def test_interrupts_lose_nothing(server: kevyrt.Server) -> None:
    """At any moment: what was pushed is returned, hangs on an exception, or is still there."""
    got: list[bytes] = []
    over = threading.Event()

    def push() -> int:
        pushed = 0
        while not over.is_set():
            server.execute("RPUSH", ["q", "r"][pushed % 2], pushed)
            pushed += 1
            time.sleep(0.0002)
        return pushed

    before = signal.signal(signal.SIGALRM, _raise)
    pusher = Waiter(push)
    for _ in range(300):
        popped: list[list[bytes]] = []
        signal.setitimer(signal.ITIMER_REAL, 0.0007)
        try:
            # In one step: between a call and what is done with its result a handler may raise.
            popped.extend(starmap(server.execute, [("BLPOP", "none", "q", "r", 0)]))
            while True:
                time.sleep(1)
        except Raised as raised:
            if hasattr(raised, "kevyrt_reply"):
                popped.append(raised.kevyrt_reply)
        got += [reply[1] for reply in popped if reply]
    signal.signal(signal.SIGALRM, before)
    over.set()
    pushed = pusher.done()
    left = server.execute("LRANGE", "q", 0, -1) + server.execute("LRANGE", "r", 0, -1)
    assert sorted(got + left, key=int) == [b"%d" % at for at in range(pushed)]


def test_ctrl_c(program: Program) -> None:
    assert (
        program(
            """
            import os, signal, threading, time, kevyrt

            server = kevyrt.Server()
            server.start()
            def interrupt():
                time.sleep(0.1)
                os.kill(os.getpid(), signal.SIGINT)
            threading.Thread(target=interrupt).start()
            start = time.monotonic()
            try:
                server.execute("BLPOP", "q", 0)
            except KeyboardInterrupt:
                print("interrupted", time.monotonic() - start < 5)
            server.execute("RPUSH", "q", "a")
            print(server.execute("BLPOP", "q", 0))
            server.stop()
            """
        )
        == "interrupted True\n[b'q', b'a']\n"
    )


# ---- The end of the process ----------------------------------------------------------------------


def test_a_fork_while_others_wait(server: kevyrt.Server) -> None:
    session = server.session()
    waiters = [Waiter(lambda: server.execute("BLPOP", "q", "r", 0))]
    waiters.append(Waiter(lambda: session.execute("BLPOP", "q", "r", 0)))
    await_blocked(server, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        code = 1
        for execute in (server.execute, session.execute):
            try:
                execute("BLPOP", "q", 0)
            except kevyrt.ForkedError:
                code = 0
            except BaseException:
                code = 2
                break
        os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    server.execute("RPUSH", "r", "a", "b")
    assert sorted(waiter.done() for waiter in waiters) == [[b"r", b"a"], [b"r", b"b"]]
    session.close()


def test_a_fork_in_a_handler(program: Program) -> None:
    """The child's copy of the call ends as every call of a child does."""
    assert (
        program(
            """
            import os, signal, sys, threading, kevyrt

            server = kevyrt.Server()
            server.start()
            children = []
            def fork(*_):
                children.append(os.fork())
                if children[-1]:
                    server.execute("RPUSH", "q", "a")
            signal.signal(signal.SIGALRM, fork)
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            try:
                print(server.execute("BLPOP", "q", "r", 0))
            except kevyrt.ForkedError:
                os._exit(7)
            print(os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]))
            server.stop()
            """
        )
        == "[b'q', b'a']\n7\n"
    )


def test_the_interpreter_ends_while_a_thread_waits(program: Program) -> None:
    assert (
        program(
            """
            import contextlib, threading, time, kevyrt

            server = kevyrt.Server()
            server.start()
            def wait():
                with contextlib.suppress(kevyrt.ServerStopped):
                    server.execute("BLPOP", "q", 0)
            threading.Thread(target=wait, daemon=True).start()
            time.sleep(0.05)
            print("end")
            """
        )
        == "end\n"
    )
