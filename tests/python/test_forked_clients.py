"""Clients in forked children reach the server of the parent."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from programs import Program, environment
from redis.backoff import NoBackoff
from redis.cache import CacheConfig
from redis.retry import Retry
from test_fork import in_child

import kevyrt
import kevyrt.redis
from kevyrt import _doors

PATIENCE_S = 20
PATH_MAX = 107


@pytest.fixture(autouse=True)
def _no_warning() -> Iterator[None]:
    """From 3.12 on Python warns about any fork of a process with threads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


@pytest.fixture
def hidden() -> Iterator[kevyrt.Server]:
    """A server that listens nowhere."""
    with kevyrt.Server(port=None, threads=2) as running:
        yield running


def at_once() -> Retry:
    return Retry(NoBackoff(), 0)


def door_of(server: kevyrt.Server) -> Path | None:
    """Where the door is, if there is one."""
    return Path(server._way.path) if server._way and server._way.path else None


# ---- What reaches the parent ---------------------------------------------------------------------


def test_clients_of_the_parent(hidden: kevyrt.Server) -> None:
    """Those that are connected, and those that are not."""
    used, unused = hidden.client(), hidden.client(db=1, decode_responses=True)
    caching = hidden.client(protocol=3, cache_config=CacheConfig())
    pool = kevyrt.redis.BlockingConnectionPool(server=hidden, max_connections=2)
    used.set("k", "parent")
    assert caching.get("k") == b"parent"

    def work() -> None:
        assert used.get("k") == caching.get("k") == b"parent"
        assert redis.Redis(connection_pool=pool).get("k") == b"parent"
        assert unused.set("k", "child") and unused.get("k") == "child"
        assert used.blpop("list", PATIENCE_S) == (b"list", b"element")
        with pytest.raises(kevyrt.ForkedError):
            hidden.get("k")

    hidden.execute("RPUSH", "list", "element")
    in_child(work)
    assert hidden.execute("GET", "k", db=1) == b"child"
    assert used.get("k") == b"parent"


def test_clients_of_the_child(hidden: kevyrt.Server) -> None:
    """Made in it: of a server that has a name, or a client."""
    hidden.client().close()
    hidden.set("k", "hidden")
    with kevyrt.Server(port=None, name="cache") as named:
        named.set("k", "named")

        def work() -> None:
            with kevyrt.from_url("kevyrt://cache") as client:
                assert client.get("k") == b"named"
            with hidden.client() as client:
                assert client.get("k") == b"hidden"
            with pytest.raises(kevyrt.ForkedError):
                named.start()
            with kevyrt.from_url("kevyrt://cache") as client:
                assert client.get("k") == b"named"
            # A server of the child's own may take the name.
            with kevyrt.Server(port=None, name="cache") as own:
                own.set("k", "own")
                with kevyrt.from_url("kevyrt://cache") as client:
                    assert client.get("k") == b"own"

        in_child(work)
        with kevyrt.from_url("kevyrt://cache") as client:
            assert client.get("k") == b"named"


def test_asyncio_clients(hidden: kevyrt.Server) -> None:
    """Also one whose pool has connections of the parent's."""
    client = hidden.async_client()

    async def ask() -> Any:
        return await client.get("k")

    loop = asyncio.new_event_loop()
    hidden.set("k", "v")
    assert loop.run_until_complete(ask()) == b"v"

    def work() -> None:
        assert asyncio.run(ask()) == b"v"

        async def ask_anew() -> None:
            async with hidden.async_client() as own:
                assert await own.get("k") == b"v"

        asyncio.run(ask_anew())

    in_child(work)
    assert loop.run_until_complete(ask()) == b"v"
    loop.run_until_complete(client.aclose())
    loop.close()


def test_a_grandchild(hidden: kevyrt.Server) -> None:
    client = hidden.client()
    hidden.set("k", "grandparent")

    def child() -> None:
        with kevyrt.Server(port=None, name="own") as own:
            own.set("k", "parent")

            def grandchild() -> None:
                assert client.get("k") == b"grandparent"
                with kevyrt.from_url("kevyrt://own") as found:
                    assert found.get("k") == b"parent"

            in_child(grandchild)
        assert client.get("k") == b"grandparent"

    in_child(child)
    assert client.get("k") == b"grandparent"


def test_several_servers() -> None:
    servers = [kevyrt.Server(port=None, name=f"server-{n}").start() for n in range(3)]
    for number, server in enumerate(servers):
        server.set("k", number)

    def work() -> None:
        for number in range(3):
            with kevyrt.from_url(f"kevyrt://server-{number}") as client:
                assert client.get("k") == str(number).encode()

    in_child(work)
    assert len({door_of(server) for server in servers}) == 3
    for server in servers:
        server.stop()


def test_the_password_of_the_fork() -> None:
    with kevyrt.Server(port=None, requirepass="before", name="cache") as server:
        client = server.client()
        server.set("k", "v")

        def work() -> None:
            assert client.get("k") == b"v"
            with kevyrt.from_url("kevyrt://cache", protocol=2) as other:
                assert other.get("k") == b"v"

        in_child(work)
        server.execute("CONFIG", "SET", "requirepass", "behind")
        in_child(work)


# ---- The door ------------------------------------------------------------------------------------


def test_the_door_is_there_from_a_fork_to_the_stop(hidden: kevyrt.Server) -> None:
    in_child(lambda: None)
    assert door_of(hidden) is None, "nobody can want it"
    hidden.client().close()
    assert door_of(hidden) is None, "nothing was forked"
    in_child(lambda: None)
    door = door_of(hidden)
    assert door is not None and stat.S_ISSOCK(door.stat().st_mode)
    assert stat.S_IMODE(door.stat().st_mode) == 0o600
    assert stat.S_IMODE(door.parent.stat().st_mode) == 0o700
    assert len(str(door)) <= PATH_MAX
    in_child(lambda: None)
    assert door_of(hidden) == door, "there is one"
    hidden.stop()
    assert not door.parent.exists()
    with hidden:
        in_child(lambda: None)
        assert door_of(hidden) != door


def test_a_program_that_is_started_opens_none(hidden: kevyrt.Server) -> None:
    hidden.client().close()
    subprocess.run([sys.executable, "-c", ""], check=True, timeout=60)
    assert hidden._way is None


def test_the_socket_that_there_is_is_taken(socket_path: str) -> None:
    with kevyrt.Server(port=None, unixsocket=socket_path) as server:
        client = server.client()
        server.set("k", "v")

        def work() -> None:
            assert client.get("k") == b"v"

        in_child(work)
        assert door_of(server) == Path(socket_path)


def test_a_folder_whose_path_is_too_long(
    hidden: kevyrt.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    client = hidden.client()

    def work() -> None:
        assert client.ping()

    in_child(work)
    door = door_of(hidden)
    assert door is not None and len(str(door)) <= PATH_MAX and deep not in door.parents
    assert list(deep.iterdir()) == []


def test_without_any_folder(hidden: kevyrt.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """TCP is what is left; without that, the child is told why."""
    monkeypatch.setattr(_doors, "_bases", lambda: ["/proc/no/such"])

    def work() -> None:
        with pytest.raises(redis.ConnectionError, match="cannot open a door in /proc/no/such"):
            hidden.client(retry=at_once()).ping()
        with listening.client() as client:
            assert client.ping()

    hidden.client().close()
    with kevyrt.Server() as listening:
        listening.client().close()
        in_child(work)
        assert door_of(listening) is None


def test_what_cannot_be_reached(hidden: kevyrt.Server) -> None:
    later = kevyrt.Server(port=None)

    def work() -> None:
        with pytest.raises(redis.ConnectionError, match="asked for no client before the fork"):
            hidden.client(retry=at_once()).ping()
        with pytest.raises(redis.ConnectionError, match="did not run when"):
            later.client(retry=at_once()).ping()

    in_child(work)


@pytest.mark.parametrize("how", ["stop", "SHUTDOWN"])
def test_the_parent_stops_its_server(how: str) -> None:
    server = kevyrt.Server(port=None, name="cache").start()
    client = server.client(retry=at_once())
    reading, writing = os.pipe()

    def work() -> None:
        assert client.ping()
        os.write(writing, b"x")
        with pytest.raises(redis.ConnectionError):
            client.blpop("nothing", 0)  # ended by the stop
        for found in (client, kevyrt.from_url("kevyrt://cache", retry=at_once())):
            with pytest.raises(redis.ConnectionError, match="of the parent process is stopped"):
                found.ping()

    def stop() -> None:
        os.read(reading, 1)
        while server.stats().total.connections == 0:
            time.sleep(0.001)
        if how == "stop":
            server.stop()
        else:
            server.execute("SHUTDOWN", "NOSAVE")
            server.wait(PATIENCE_S)

    stopper = threading.Thread(target=stop)
    stopper.start()
    in_child(work)
    stopper.join(PATIENCE_S)
    assert not server.running
    os.close(reading)
    os.close(writing)


def test_a_child_removes_nothing(program: Program) -> None:
    """Not even when it exits in earnest; the parent does."""
    output = program("""
        import os, sys
        from pathlib import Path
        import kevyrt

        server = kevyrt.Server(port=None, name="cache").start()
        client = server.client()
        pid = os.fork()
        if pid == 0:
            client.set("k", "child")
            sys.exit(3)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), client.get("k"))
        door = Path(server._way.path)
        print(door.exists())
        print(door.parent)
    """)
    lines = output.splitlines()
    assert lines[:2] == ["3 b'child'", "True"]
    assert not Path(lines[2]).exists()


# ---- Under load ----------------------------------------------------------------------------------


def test_forks_while_threads_use_the_clients(hidden: kevyrt.Server) -> None:
    """In every state of a connection; and nobody's reply is another's."""
    client, end = hidden.client(), threading.Event()
    failures: list[BaseException] = []

    def use(number: int) -> None:
        try:
            own = hidden.client()
            count = 0
            while not end.is_set():
                count += 1
                value = f"{number}-{count}".encode()
                assert client.set(f"k{number}", value)
                assert client.get(f"k{number}") == value
                if count % 10 == 0:
                    own.close()  # connects anew
                assert own.get(f"k{number}") == value
        except BaseException as failure:
            failures.append(failure)

    def work() -> None:
        assert client.set("child", os.getpid())
        assert client.get("child") == str(os.getpid()).encode()
        assert hidden.client().ping()

    users = [threading.Thread(target=use, args=(n,)) for n in range(4)]
    for user in users:
        user.start()
    try:
        for _ in range(12):
            in_child(work)
    finally:
        end.set()
        for user in users:
            user.join(PATIENCE_S)
    assert failures == []


def test_forks_of_several_threads(hidden: kevyrt.Server) -> None:
    client = hidden.client()
    failures: list[BaseException] = []

    def fork() -> None:
        try:
            for _ in range(4):
                in_child(lambda: client.incr("count") and None)
        except BaseException as failure:
            failures.append(failure)

    forkers = [threading.Thread(target=fork) for _ in range(3)]
    for forker in forkers:
        forker.start()
    for forker in forkers:
        forker.join(60)
    assert failures == []
    assert client.get("count") == b"12"


def test_a_fork_waits_for_no_command() -> None:
    """Not even for one that has all of the server for a long time."""
    with kevyrt.Server(port=None, enable_debug_command=True) as server:
        client = server.client(socket_timeout=60)
        client.ping()
        sleeper = threading.Thread(target=server.execute, args=("DEBUG", "SLEEP", "1"))
        sleeper.start()
        time.sleep(0.1)
        in_child(lambda: client.ping() and None)
        sleeper.join(PATIENCE_S)


def test_a_fork_while_servers_start_and_stop() -> None:
    end = threading.Event()

    def turn(name: str) -> None:
        server = kevyrt.Server(port=None, name=name)
        while not end.is_set():
            with server:
                server.set("k", "v")

    def work() -> None:
        with kevyrt.from_url("kevyrt://steady") as client:
            assert client.ping()
        with kevyrt.Server(port=None, name="turn-0") as own:
            own.set("k", "own")
            with kevyrt.from_url("kevyrt://turn-0") as client:
                assert client.get("k") == b"own"

    workers = [threading.Thread(target=turn, args=(f"turn-{n}",)) for n in range(2)]
    with kevyrt.Server(port=None, name="steady"):
        for worker in workers:
            worker.start()
        try:
            for _ in range(12):
                in_child(work)
        finally:
            end.set()
            for worker in workers:
                worker.join(PATIENCE_S)


# ---- multiprocessing -----------------------------------------------------------------------------

_client: redis.Redis


def _of_inherited(number: int) -> int:
    return int(_client.incrby("sum", number))


def _of_name(_: int) -> str:
    try:
        kevyrt.from_url("kevyrt://cache")
    except LookupError as error:
        return str(error)
    return "found"


def _of_url(url: str) -> bytes | None:
    with kevyrt.from_url(url) as client:
        found: bytes | None = client.get("k")
        return found


def test_multiprocessing_fork(hidden: kevyrt.Server) -> None:
    global _client
    _client = hidden.client()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        pool.map(_of_inherited, range(20))
    assert hidden.get("sum") == b"190"


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_multiprocessing_without_a_fork(method: str) -> None:
    """What has nothing of this process does not know its names. It is for the URL to lead there."""
    with kevyrt.Server(name="cache") as server:
        server.set("k", "v")
        with multiprocessing.get_context(method).Pool(1) as pool:
            assert "no server named 'cache'" in pool.apply(_of_name, (0,))
            assert pool.apply(_of_url, (server.url,)) == b"v"


# ---- gunicorn ------------------------------------------------------------------------------------

APPLICATION = """
import os
import kevyrt

server = kevyrt.Server(port=None, name="cache").start()
visits = server.client(decode_responses=True)
visits.set("visits", 0)


def application(environ, start_response):
    count = visits.incr("visits")
    with kevyrt.from_url("kevyrt://cache/1", decode_responses=True) as other:
        other.sadd("workers", os.getpid())
        workers = other.scard("workers")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{count} {workers} {server._way.path}".encode()]
"""


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _ask(port: int) -> list[str]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=PATIENCE_S) as answer:
        return answer.read().decode().split()


def _await_answer(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 2 * PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            time.sleep(0.02)
    raise AssertionError("gunicorn does not answer")


def test_gunicorn_preload(tmp_path: Path) -> None:
    """Two workers that are forked off the process which has the server, and serve requests."""
    (tmp_path / "visits.py").write_text(APPLICATION)
    port = _free_port()
    options = ["--preload", "--workers=2", "--worker-class=gthread", "--threads=4"]
    process = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", *options, f"--bind=127.0.0.1:{port}", "visits"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=(tmp_path / "log").open("wb"),
    )
    try:
        _await_answer(port, process)
        answers = _many_answers(port)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_S)
    assert sorted(int(count) for count, _, _ in answers) == list(range(1, len(answers) + 1))
    assert max(int(workers) for _, workers, _ in answers) == 2
    (door,) = {door for _, _, door in answers}
    assert not Path(door).parent.exists()
    assert b"Traceback" not in (tmp_path / "log").read_bytes()


def _many_answers(port: int) -> list[list[str]]:
    """Until both workers have answered, and some more."""
    answers: list[list[str]] = []
    lock = threading.Lock()

    def ask() -> None:
        for _ in range(10):
            answer = _ask(port)
            with lock:
                answers.append(answer)

    for _ in range(20):
        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(2 * PATIENCE_S)
        if any(workers == "2" for _, workers, _ in answers):
            break
    return answers
