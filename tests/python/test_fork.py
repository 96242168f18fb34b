"""fork(): the child's copies raise ForkedError and own nothing; the parent does not notice."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import multiprocessing
import os
import socket
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from programs import Program

import kevyrt

CHILD_TIMEOUT_S = 20


@pytest.fixture(autouse=True)
def _no_warning() -> Iterator[None]:
    """From 3.12 on Python warns about any fork of a process with threads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def in_child(work: Callable[[], None]) -> None:
    """Runs it in a forked child, which must end soon and well."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(reading)
            work()
            code = 0
        except BaseException:
            os.write(writing, traceback.format_exc().encode()[-4000:])
        finally:
            os._exit(code)
    os.close(writing)
    deadline = time.monotonic() + CHILD_TIMEOUT_S
    with open(reading) as pipe:
        while (ended := os.waitpid(pid, os.WNOHANG)) == (0, 0):
            if time.monotonic() > deadline:
                os.kill(pid, 9)
                os.waitpid(pid, 0)
                raise AssertionError("the child hangs")
            time.sleep(0.002)
        assert ended[1] == 0, pipe.read() or f"status {ended[1]}"


def all_calls(server: kevyrt.Server) -> list[Callable[[], Any]]:
    return [
        lambda: server.get("k"),
        lambda: server.database(99).get("k"),
        lambda: server.set("k", "child"),
        lambda: server.set("k", "child", nx=True),
        lambda: server.delete("k"),
        lambda: server.delete(),
        lambda: server.execute("PING"),
        lambda: server.execute("NOSUCH"),
        lambda: server.adopt(0),
        lambda: server.wait(0),
        lambda: server.port,
        lambda: server.url,
        server.session,
        server.stats,
        server.start,
        server.stop,
    ]


def check_forked(server: kevyrt.Server) -> None:
    for number, call in enumerate(all_calls(server)):
        try:
            call()
        except kevyrt.ForkedError:
            continue
        raise AssertionError(f"call {number} raises nothing")
    assert not server.running


def check_own(threads: int = 2) -> None:
    """A server of the child's own works."""
    with kevyrt.Server(threads=threads) as own:
        own.set("k", "own")
        assert own.get("k") == b"own"
        with socket.create_connection(("127.0.0.1", own.port), timeout=10) as client:
            client.sendall(b"GET k\r\n")
            assert client.recv(100) == b"$3\r\nown\r\n"


def test_before_the_start() -> None:
    server = kevyrt.Server()
    in_child(lambda: check_forked(server))
    with server:
        assert server.execute("PING") == "PONG"


@pytest.mark.parametrize("io", ["io_uring", "epoll"])
def test_running(io: Any) -> None:
    try:
        server = kevyrt.Server(threads=3, io=io).start()
    except OSError as error:
        pytest.skip(str(error))
    with server, socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        server.set("k", "parent")

        def work() -> None:
            check_forked(server)
            check_own()
            check_forked(server)

        in_child(work)
        assert server.get("k") == b"parent"
        client.sendall(b"GET k\r\n")
        assert client.recv(100) == b"$6\r\nparent\r\n"


def test_stopped() -> None:
    server = kevyrt.Server().start()
    server.stop()
    in_child(lambda: check_forked(server))
    with server:
        pass


def test_sessions() -> None:
    with kevyrt.Server() as server, server.session() as session:

        def work() -> None:
            with pytest.raises(kevyrt.ForkedError):
                session.execute("PING")

        in_child(work)
        assert session.execute("PING") == "PONG"


def test_the_child_drops_its_copies() -> None:
    servers = [kevyrt.Server().start(), kevyrt.Server()]
    sessions = [servers[0].session()]

    def work() -> None:
        sessions.clear()
        servers.clear()
        check_own()

    in_child(work)
    assert servers[0].execute("PING") == "PONG"
    servers[0].stop()


def test_the_child_leaves_the_with_block() -> None:
    with kevyrt.Server() as server:

        def work() -> None:
            server.__exit__(None, None, None)

        in_child(work)
        assert server.execute("PING") == "PONG"


@pytest.mark.parametrize("io", ["io_uring", "epoll"])
def test_the_child_holds_neither_port_nor_connections(io: Any) -> None:
    """Of sockets a child inherits nothing: a stop of the parent's is whole while it lives."""
    try:
        server = kevyrt.Server(io=io).start()
    except OSError as error:
        pytest.skip(str(error))
    port = server.port
    client = socket.create_connection(("127.0.0.1", port), timeout=10)
    client.sendall(b"PING\r\n")
    assert client.recv(100) == b"+PONG\r\n"
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writing)
        os.read(reading, 1)
        os._exit(0)
    os.close(reading)
    try:
        server.stop()
        assert client.recv(1) == b""
        with kevyrt.Server(port=port):
            pass
    finally:
        client.close()
        os.close(writing)
        assert os.waitpid(pid, 0)[1] == 0


def test_while_other_threads_are_in_calls() -> None:
    with kevyrt.Server(threads=3) as server:
        end = threading.Event()

        def call() -> None:
            while not end.is_set():
                server.set("k", "v" * 3000)
                server.execute("MSET", "a", 1, "b", 2, "c", 3)
                server.stats()
                with server.session() as session:
                    session.execute("CLIENT", "SETNAME", "x")

        callers = [threading.Thread(target=call) for _ in range(4)]
        for caller in callers:
            caller.start()

        def work() -> None:
            check_forked(server)
            check_own()

        try:
            for _ in range(15):
                in_child(work)
        finally:
            end.set()
            for caller in callers:
                caller.join(10)
        assert server.get("a") == b"1"


def test_while_other_threads_start_and_stop() -> None:
    end = threading.Event()

    def turn() -> None:
        server = kevyrt.Server(threads=2)
        while not end.is_set():
            with server:
                server.set("k", "v")

    workers = [threading.Thread(target=turn) for _ in range(2)]
    for worker in workers:
        worker.start()
    try:
        for _ in range(15):
            in_child(check_own)
    finally:
        end.set()
        for worker in workers:
            worker.join(20)


def test_a_grandchild() -> None:
    with kevyrt.Server() as server:

        def child() -> None:
            with kevyrt.Server() as own:

                def grandchild() -> None:
                    check_forked(server)
                    check_forked(own)
                    check_own()

                in_child(grandchild)
                assert own.execute("PING") == "PONG"

        in_child(child)
        assert server.execute("PING") == "PONG"


def _in_process(server: kevyrt.Server) -> str:
    try:
        server.get("k")
    except kevyrt.ForkedError:
        check_own()
        return "forked"
    return "not forked"


def test_multiprocessing() -> None:
    context = multiprocessing.get_context("fork")
    with kevyrt.Server() as server:
        global _inherited
        _inherited = server
        with context.Pool(2) as pool:
            assert pool.map(_of_inherited, range(4)) == ["forked"] * 4
        assert server.execute("PING") == "PONG"


_inherited: kevyrt.Server


def _of_inherited(number: int) -> str:
    return _in_process(_inherited)


def test_a_child_that_exits_in_earnest(program: Program) -> None:
    """Exit handlers, finalizers and all."""
    output = program("""
        import os, sys, threading, warnings
        import kevyrt

        warnings.simplefilter("ignore")
        server = kevyrt.Server(threads=2).start()
        session = server.session()
        pid = os.fork()
        if pid == 0:
            with kevyrt.Server() as own:
                own.set("k", "v")
            other = kevyrt.Server().start()
            sys.exit(3)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), server.execute("PING"))
    """)
    assert output == "3 PONG\n"


def test_a_child_logs_its_own_lines_only(program: Program) -> None:
    output = program("""
        import logging, os, sys, warnings
        import kevyrt

        warnings.simplefilter("ignore")
        logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(process)d %(message)s")
        server = kevyrt.Server().start()
        pid = os.fork()
        if pid == 0:
            with kevyrt.Server():
                pass
            sys.exit(0)
        os.waitpid(pid, 0)
        server.stop()
        print(os.getpid(), "parent")
    """)
    lines = [line.split(" ", 1) for line in output.splitlines()]
    (parent,) = {pid for pid, text in lines if text == "parent"}
    for own in (True, False):
        texts = [text for pid, text in lines if (pid == parent) is own and text != "parent"]
        assert len(texts) == 2
        assert texts[0].startswith("Server started") and texts[1] == "Server stopped"


# ---- While anything goes on ----------------------------------------------------------------------


class Busy:
    """A server with threads inside every kind of call, and copies under way all the time."""

    def __init__(self, folder: str) -> None:
        settings: dict[str, Any] = {"appendonly": True, "appendfsync": "always", "dir": folder}
        self.server = kevyrt.Server(threads=2, enable_debug_command=True, **settings).start()
        self.server.execute("DEBUG", "POPULATE", 5000, "key", 50)
        self._session = self.server.session()
        self._snapshot = self.server.snapshot()
        self._over = threading.Event()
        self._errors: list[BaseException] = []
        self.popped: list[Any] = []
        self.counts = [0] * 8
        server = self.server
        self._threads = [
            self._start(self._pop, server.execute),
            self._start(self._pop, self._session.execute),
            *(
                self._start(self._repeat, number, work)
                for number, work in enumerate(
                    (
                        lambda: server.set("k", "v" * 3000),
                        lambda: server.execute("MSET", *range(40)),
                        lambda: server.execute("INCR", "n"),
                        lambda: server.snapshot().to_bytes(),
                        lambda: server.save(f"{folder}/dump.rdb"),
                        lambda: server.rewrite_aof(),
                        lambda: other.restore(self._snapshot),
                        lambda: server.wait(0.001),
                    )
                )
            ),
        ]
        other = self.other = kevyrt.Server(port=None, threads=2).start()

    def _start(self, work: Callable[..., None], *arguments: Any) -> threading.Thread:
        def run() -> None:
            try:
                work(*arguments)
            except BaseException as error:
                self._errors.append(error)

        return threading.Thread(target=run, daemon=True)

    def _pop(self, execute: Callable[..., Any]) -> None:
        self.popped.append(execute("BLPOP", "queue", "nobody", 0))

    def _repeat(self, number: int, work: Callable[[], object]) -> None:
        while not self._over.is_set():
            work()
            self.counts[number] += 1

    def __enter__(self) -> Busy:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self.server.execute("RPUSH", "queue", "a", "b")
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive()
        self.other.stop()
        assert not self._errors, self._errors
        assert sorted(reply[1] for reply in self.popped) == [b"a", b"b"]


def test_while_threads_are_inside_every_kind_of_call(tmp_path: Path) -> None:
    """The moment of each fork is another one: in a snapshot, a restore, a rewrite, a sync."""
    with Busy(str(tmp_path)) as busy:
        data = busy.server.snapshot()

        def work() -> None:
            check_forked(busy.server)
            check_forked(busy.other)
            for copy in (busy.server.snapshot, lambda: busy.server.save(tmp_path / "child.rdb")):
                with pytest.raises(kevyrt.ForkedError):
                    copy()
            for call in (lambda: busy.server.restore(data), busy.server.rewrite_aof):
                with pytest.raises(kevyrt.ForkedError):
                    call()
            check_own()
            # A snapshot is memory, and belongs to nobody.
            with kevyrt.Server(port=None, load=data) as own:
                assert own.execute("DBSIZE") >= 5000
            own = kevyrt.Server(port=None, appendonly=True, dir=tempfile.mkdtemp(dir=tmp_path))
            with own:
                own.set("k", "own")
                own.save(tmp_path / f"{os.getpid()}.rdb")
                own.rewrite_aof()

        for _ in range(12):
            in_child(work)
        rounds = min(busy.counts)
        busy_until = time.monotonic() + 20
        while min(busy.counts) <= rounds and time.monotonic() < busy_until:
            time.sleep(0.001)
        assert min(busy.counts) > rounds, busy.counts
        number = int(busy.server.get("n") or 0)
    busy.server.stop()
    with kevyrt.Server(port=None, appendonly=True, dir=str(tmp_path)) as again:
        assert int(again.get("n") or 0) >= number
        assert again.execute("DBSIZE") >= 5000


class BusyPipelines:
    """Threads inside executions of pipelines, and loops that wait and transfer."""

    def __init__(self, server: kevyrt.Server) -> None:
        self.server, self.aio = server, server.aio
        self.pipes = [server.pipeline(), server.pipeline(transaction=False), server.pipeline()]
        self.moves: list[Any] = []  # pipelines of transactions in the loop
        self.counts = [0] * 4
        self.popped: list[bytes] = []
        self.pushed = 0
        self._over = threading.Event()
        self._errors: list[BaseException] = []
        works = (
            lambda: self._repeat(0, self._batch),
            lambda: self._repeat(1, self._batch),
            lambda: self._repeat(2, self._transfer),
            lambda: asyncio.run(self._in_a_loop()),
            lambda: asyncio.run(self._wait()),
        )
        self._threads = [threading.Thread(target=self._run, args=(work,)) for work in works]
        self._pusher = threading.Thread(target=self._run, args=(self._push,))

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            self._errors.append(error)
            self._over.set()

    def _repeat(self, number: int, work: Callable[[int], None]) -> None:
        while not self._over.is_set():
            work(number)
            self.counts[number] += 1

    def _batch(self, number: int) -> None:
        pipe = self.pipes[number]
        for key in ("x", "y", "z"):
            pipe.set(key, "v" * 3000)
        assert pipe.incr(f"n{number}").get("x").execute()[3:] == [
            self.counts[number] + 1,
            b"v" * 3000,
        ]

    def _transfer(self, number: int) -> None:
        pipe = self.pipes[number]
        pipe.watch("a", "b")
        left, right = (int(value) for value in pipe.mget("a", "b"))
        pipe.multi()
        pipe.set("a", left - 1).set("b", right + 1)
        with contextlib.suppress(kevyrt.WatchError):
            pipe.execute()

    def _push(self) -> None:
        while not self._over.is_set():
            self.server.rpush("queue", self.pushed)
            self.pushed += 1
            time.sleep(0.001)

    async def _in_a_loop(self) -> None:
        async def pop() -> None:
            while (popped := await self.aio.blpop("queue")) and popped[1] != b"end":
                self.popped.append(popped[1])

        async def double(pipe: Any) -> None:
            self.moves = [pipe]
            left, right = int(await pipe.get("a")), int(await pipe.get("b"))
            await asyncio.sleep(0)
            pipe.multi()
            pipe.set("b", right - 1).set("a", left + 1)

        async def move() -> None:
            while not self._over.is_set():
                assert await self.aio.transaction(double, "a", "b") == [True, True]
                self.counts[3] += 1
                await asyncio.sleep(0)

        await asyncio.gather(pop(), pop(), move())

    async def _wait(self) -> None:
        assert await self.aio.blpop("last") == (b"last", b"word")

    def __enter__(self) -> BusyPipelines:
        self.server.mset({"a": 100, "b": 100})
        for thread in (*self._threads, self._pusher):
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._pusher.join(20)
        self.server.rpush("queue", "end", "end")
        self.server.rpush("last", "word")
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive()
        assert not self._errors, self._errors

    def go_on(self) -> None:
        """Until everybody has come further."""
        before, deadline = list(self.counts), time.monotonic() + 20
        while any(now <= then for now, then in zip(self.counts, before, strict=True)):
            assert time.monotonic() < deadline and not self._errors, (self.counts, self._errors)
            time.sleep(0.001)


def check_forked_pipelines(busy: BusyPipelines) -> None:
    server, aio = busy.server, busy.aio
    calls: list[Callable[[], Any]] = [
        server.pipeline,
        lambda: server.transaction(lambda pipe: pipe.get("a"), "a"),
        lambda: server.aio,
    ]
    for pipe in [*busy.pipes, *busy.moves]:
        for name in ("_begin_execute", "_begin_watch", "execute_command", "get"):
            calls.append(partial(getattr(pipe, name), "a"))
    for pipe in busy.pipes:
        calls += [pipe.execute, partial(pipe.watch, "a")]
    for number, call in enumerate(calls):
        with contextlib.suppress(kevyrt.ForkedError):
            call()
            raise AssertionError(f"call {number} raises nothing")

    def queue(pipe: Any) -> None:
        pipe.get("a")

    async def in_a_loop() -> None:
        for call in (
            lambda: aio.get("a"),
            lambda: aio.set("a", 1),
            lambda: aio.blpop("queue", 1),
            lambda: aio.transaction(queue, "a"),
            lambda: aio.pipeline(),
            *(pipe.execute for pipe in busy.moves),
        ):
            with pytest.raises(kevyrt.ForkedError):
                await call()

    asyncio.run(in_a_loop())


async def check_own_loop() -> None:
    with kevyrt.Server(port=None, threads=2) as own:
        popped = asyncio.ensure_future(own.aio.blpop("queue"))
        await asyncio.sleep(0)
        assert await own.aio.pipeline().set("a", 1).rpush("queue", "x").execute() == [True, 1]
        assert await popped == (b"queue", b"x")


@pytest.mark.parametrize("log", [False, True])
def test_while_pipelines_execute_and_loops_wait(tmp_path: Path, log: bool) -> None:
    """With a log every execution waits for the disk, so forks find threads inside of them."""
    settings: dict[str, Any] = {"appendonly": log, "appendfsync": "always", "dir": str(tmp_path)}
    with kevyrt.Server(threads=3, **settings) as server:
        busy = BusyPipelines(server)

        def work() -> None:
            check_forked_pipelines(busy)
            check_forked(server)
            busy.pipes.clear()
            busy.moves.clear()
            gc.collect()
            asyncio.run(check_own_loop())

        with busy:
            busy.go_on()
            for _ in range(8):
                in_child(work)
            busy.go_on()
        assert sum(map(int, server.mget("a", "b"))) == 200  # type: ignore[arg-type]
        assert sorted(map(int, busy.popped)) == list(range(busy.pushed)) and busy.pushed
        assert server.mget("n0", "n1") == [b"%d" % count for count in busy.counts[:2]]
        clients = server.info("clients")
        assert clients["blocked_clients"] == clients["watching_clients"] == 0


def test_a_child_of_a_busy_parent_exits_in_earnest(program: Program) -> None:
    """Exit handlers and teardown, with the stacks of calls that other threads were inside."""
    output = program("""
        import contextlib, os, sys, threading, time
        import kevyrt

        server = kevyrt.Server(threads=2).start()
        session, snapshot = server.session(), server.snapshot()

        def call(work):
            def run():
                with contextlib.suppress(kevyrt.ServerStopped):
                    while True:
                        work()
            threading.Thread(target=run, daemon=True).start()

        call(lambda: server.execute("BLPOP", "nobody", 0))
        call(lambda: session.execute("BLPOP", "nobody", 0))
        call(lambda: server.set("k", "v" * 3000))
        call(lambda: server.snapshot())
        call(lambda: server.execute("MSET", *range(100)))
        call(lambda: server.wait())
        codes = []
        for number in range(6):
            time.sleep(0.01)
            pid = os.fork()
            if pid == 0:
                with kevyrt.Server() as own:
                    own.set("k", "v")
                forgotten = kevyrt.Server().start()
                sys.exit(3)
            codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        print(codes, server.execute("PING"))
    """)
    assert output.startswith("[3, 3, 3, 3, 3, 3] ")
