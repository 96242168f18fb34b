"""Tries an installed kevyrt out, with nothing but the standard library.

    python installed.py FOLDER [BACKEND]

The package must come from below FOLDER (the environment that it was installed into); BACKEND is
what `io="auto"` must have led to, if that is known. Prints one line about what it ran on.
"""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from importlib import metadata
from pathlib import Path

import kevyrt
from kevyrt import _core

TIMEOUT_S = 20


def check_files(folder: str) -> None:
    """Everything that the package is of, and nothing from a tree of sources."""
    package = Path(kevyrt.__file__).resolve().parent
    assert package.is_relative_to(Path(folder).resolve()), package
    assert Path(_core.__file__).resolve().parent == package, _core.__file__
    for name in ("py.typed", "_core.pyi", "server.py", "commands/__init__.py"):
        assert (package / name).is_file(), name
    assert not list(package.rglob("*.c")) and not (package.parent / "tests").exists()
    assert metadata.version("kevyrt") == kevyrt.__version__
    assert metadata.metadata("kevyrt")["License-Expression"] == "Apache-2.0 AND MIT"
    files = map(str, metadata.files("kevyrt") or ())
    licences = {Path(path).name for path in files if "licenses" in path}
    assert {"LICENSE", "liburing.txt"} <= licences, licences


def exchange(address: tuple[str, int] | str, request: bytes, until: bytes) -> bytes:
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as client:
        client.settimeout(TIMEOUT_S)
        client.connect(address)
        client.sendall(request)
        received = b""
        while not received.endswith(until):
            received += client.recv(65536)
    return received


def check_in_process(server: kevyrt.Server) -> None:
    assert server.set("greeting", "hello") is True and server.get("greeting") == b"hello"
    assert server.execute("INCRBYFLOAT", "n", "1.5") == b"1.5"
    with server.session() as session:
        session.execute("MULTI")
        session.execute("ZADD", "z", 1, "a", 2, "b")
        session.execute("ZRANGE", "z", 0, -1)
        assert session.execute("EXEC") == [2, [b"a", b"b"]]
    timer = threading.Timer(0.05, server.execute, ("RPUSH", "queue", "job"))
    timer.start()
    assert server.execute("BLPOP", "queue", TIMEOUT_S) == [b"queue", b"job"]
    timer.join()
    try:
        server.execute("LPUSH", "greeting", 1)
    except kevyrt.WrongTypeError:
        pass
    else:
        raise AssertionError("no WrongTypeError")
    before = server.snapshot()
    server.execute("FLUSHALL")
    server.restore(before)
    assert server.get("greeting") == b"hello"
    assert server.stats().total.keys == 3


def check_wire(server: kevyrt.Server, path: str) -> None:
    pipeline = b"SET wire yes\r\nGET wire\r\n" + b"PING\r\n" * 500 + b"ECHO end\r\n"
    expected = b"+OK\r\n$3\r\nyes\r\n" + b"+PONG\r\n" * 500 + b"$3\r\nend\r\n"
    for address in (("127.0.0.1", server.port or 0), path):
        assert exchange(address, pipeline, b"end\r\n") == expected
    hello = exchange(path, b"HELLO 3\r\n", b"modules\r\n*0\r\n")
    assert hello.startswith(b"%7\r\n")
    large = b"x" * (1 << 20)
    request = b"*3\r\n$3\r\nSET\r\n$5\r\nlarge\r\n$%d\r\n%s\r\n" % (len(large), large)
    assert exchange(path, request, b"\r\n") == b"+OK\r\n"
    assert server.get("large") == large


async def check_asyncio(server: kevyrt.Server) -> None:
    if not hasattr(server, "aio"):
        return
    assert await server.aio.set("aio", "v") and await server.aio.get("aio") == b"v"
    waiting = asyncio.ensure_future(server.aio.blpop("jobs", timeout=TIMEOUT_S))
    await asyncio.sleep(0.02)
    server.execute("RPUSH", "jobs", "one")
    assert list(await waiting) == [b"jobs", b"one"]


def check_fork(server: kevyrt.Server) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            with kevyrt.Server(port=None) as own:
                own.set("k", "v")
            server.get("greeting")
        except kevyrt.ForkedError:
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7


def check_log(folder: str) -> None:
    for turn in range(2):
        with kevyrt.Server(port=None, appendonly=True, dir=folder) as server:
            assert server.execute("INCR", "starts") == turn + 1


def end(process: subprocess.Popen[bytes]) -> None:
    """How signals are heeded is tested elsewhere: here one may be asked for again."""
    for _ in range(3):
        process.send_signal(signal.SIGTERM)
        try:
            assert process.wait(TIMEOUT_S / 3) == 0
            return
        except subprocess.TimeoutExpired:
            continue
    process.kill()
    raise AssertionError("kevyrt-server does not end")


def check_programs(folder: str) -> None:
    """The commands that come with the package."""
    scripts = Path(sys.executable).parent
    assert "v=7.4" in subprocess.check_output([scripts / "kevyrt-server", "--version"], text=True)
    path = f"{folder}/program"
    command = [scripts / "kevyrt-server", "--port", "0", "--unixsocket", path, "--threads", "2"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=folder) as process:
        deadline = time.monotonic() + TIMEOUT_S
        while not os.path.exists(path):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.01)
        assert exchange(path, b"PING\r\n", b"\r\n") == b"+PONG\r\n"
        end(process)


def main(folder: str, backend: str | None = None) -> None:
    check_files(folder)
    scratch = tempfile.mkdtemp(prefix="krt-")
    try:
        with kevyrt.Server(threads=2, unixsocket=f"{scratch}/s") as server:
            found = server.stats().backend
            assert backend in (None, found), server.stats().backend_reason
            check_in_process(server)
            check_wire(server, f"{scratch}/s")
            asyncio.run(check_asyncio(server))
            check_fork(server)
        check_log(scratch)
        check_programs(scratch)
    finally:
        shutil.rmtree(scratch)
    print(f"kevyrt {kevyrt.__version__} on CPython {platform.python_version()}: {found}")


if __name__ == "__main__":
    main(*sys.argv[1:])
