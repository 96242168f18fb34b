"""kevyrt-server: options, log, pid file, limits, signals."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from programs import environment

import kevyrt
from kevyrt import cli

DEADLINE_S = 20
Process = subprocess.Popen[str]
Start = Callable[..., Process]


def command(*options: str) -> list[str]:
    return [sys.executable, "-m", "kevyrt", *options]


def run(*options: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """For what ends by itself."""
    return subprocess.run(
        command(*options),
        cwd=cwd,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )


@pytest.fixture
def start(socket_path: str, tmp_path: Path) -> Iterator[Start]:
    """Starts servers that answer on the Unix socket, and ends them."""
    running: list[Process] = []

    def launch(*options: str, first: tuple[str, ...] = (), **more: object) -> Process:
        with (tmp_path / "output").open("w") as output:
            process = subprocess.Popen(  # type: ignore[call-overload]
                command(*first, "--port", "0", "--unixsocket", socket_path, *options),
                cwd=tmp_path,
                env=environment(),
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                **more,
            )
        running.append(process)
        deadline = time.monotonic() + DEADLINE_S
        while not answers(socket_path):
            assert process.poll() is None, (tmp_path / "output").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return process

    yield launch
    for process in running:
        process.kill()
        process.wait()


def do(path: str, *words: str) -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(DEADLINE_S)
        client.connect(path)
        client.sendall(" ".join(words).encode() + b"\r\n")
        return client.recv(1000)


def answers(path: str) -> bool:
    with contextlib.suppress(OSError):
        return do(path, "PING") == b"+PONG\r\n"
    return False


def await_text(path: Path, wanted: str) -> str:
    """The file's text, as soon as it has what is wanted."""
    deadline = time.monotonic() + DEADLINE_S
    while wanted not in (text := path.read_text()):
        assert time.monotonic() < deadline, text
        time.sleep(0.01)
    return text


# ---- Questions -----------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["--version", "-v"])
def test_version(option: str) -> None:
    result = run(option)
    assert result.returncode == 0
    # What looks for a version takes the first that it finds, and compares it with Redis's.
    match = re.search(r"\d+(?:\.\d+)+", result.stdout)
    assert match and match[0] == "7.4.0"
    assert f"kevyrt={kevyrt.__version__}" in result.stdout
    assert result.stdout.count("\n") == 1


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help(option: str) -> None:
    result = run(option)
    assert result.returncode == 0
    for word in ("--port", "--threads", "--io", "--logfile", "--version"):
        assert word in result.stdout


def test_the_program_is_installed() -> None:
    program = shutil.which("kevyrt-server", path=str(Path(sys.executable).parent))
    assert program is not None
    result = subprocess.run([program, "-v"], capture_output=True, text=True, timeout=DEADLINE_S)
    assert result.returncode == 0


# ---- What it says, and where ---------------------------------------------------------------------


def test_it_says_what_it_is(start: Start, tmp_path: Path, socket_path: str) -> None:
    process = start("--threads", "2", "--io", "epoll")
    output = await_text(tmp_path / "output", "connect with")
    (line,) = [line for line in output.splitlines() if "Ready to" in line]
    assert re.match(rf"{process.pid}:M \d\d \w+ \d{{4}} \d\d:\d\d:\d\d\.\d{{3}} \* Ready", line)
    for part in (
        f"kevyrt {kevyrt.__version__}",
        f"pid {process.pid}",
        "no TCP",
        "2 shards",
        "epoll (epoll was asked for)",
        f"redis-cli -s {socket_path}",
    ):
        assert part in line


def test_it_says_its_port(start: Start, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    start("--port", port, "--bind", "127.0.0.1")
    output = await_text(tmp_path / "output", "connect with")
    assert f"port {port}" in output and f"redis-cli -p {port}" in output


def test_log_file_is_appended_to(start: Start, tmp_path: Path, socket_path: str) -> None:
    (tmp_path / "log").write_text("before\n")
    process = start("--logfile", "log")
    process.terminate()
    assert process.wait(DEADLINE_S) == 0
    text = (tmp_path / "log").read_text()
    assert text.startswith("before\n") and "Received SIGTERM" in text and "Server stopped" in text
    assert (tmp_path / "output").read_text() == ""


def test_log_level(start: Start, tmp_path: Path, socket_path: str) -> None:
    process = start("--loglevel", "warning", "--syslog-enabled", "yes")
    assert do(socket_path, "PING") == b"+PONG\r\n"
    process.terminate()
    assert process.wait(DEADLINE_S) == 0
    (line,) = (tmp_path / "output").read_text().splitlines()
    assert " # " in line and "syslog-enabled" in line


def test_folder(start: Start, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    process = start("--dir", "there", "--logfile", "log", "--pidfile", "pid")
    await_text(tmp_path / "there" / "log", "Ready to accept")
    assert (tmp_path / "there" / "pid").read_text() == f"{process.pid}\n"
    process.terminate()
    assert process.wait(DEADLINE_S) == 0
    assert not (tmp_path / "there" / "pid").exists()


def test_pid_file_that_cannot_be_written(start: Start, tmp_path: Path) -> None:
    start("--pidfile", "no/such/folder/pid")
    await_text(tmp_path / "output", "no/such/folder/pid: No such file or directory")


# ---- Configuration files ------------------------------------------------------------------------


def config_get(path: str, name: str) -> str:
    return do(path, "CONFIG", "GET", name).decode().split("\r\n")[4]


def test_file_and_options(start: Start, tmp_path: Path, socket_path: str) -> None:
    """Options stand above the file, wherever they stand."""
    (tmp_path / "more.conf").write_text("databases 5\n")
    (tmp_path / "it.conf").write_text(
        "# a comment\nport 7\nmaxclients 50\ntimeout 7\ninclude more.conf\n"
    )
    start("--maxclients", "60", first=("it.conf",))
    found = [config_get(socket_path, name) for name in ("maxclients", "timeout", "databases")]
    assert found == ["60", "7", "5"]


def test_standard_input(start: Start, socket_path: str) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"maxclients 33\n")
    os.close(writing)
    with open(reading) as stdin:
        start("-", stdin=stdin)
    assert config_get(socket_path, "maxclients") == "33"


def test_a_dash_may_be_a_value(start: Start, socket_path: str) -> None:
    start("--proc-title-template", "-", "--timeout", "9")
    assert config_get(socket_path, "timeout") == "9"


def test_broken_file(tmp_path: Path) -> None:
    (tmp_path / "it.conf").write_text("port 0\n\nmaxclients many\n")
    result = run("it.conf", cwd=tmp_path)
    assert result.returncode == 1
    assert (
        "it.conf" in result.stderr and "line 3" in result.stderr and "maxclients" in result.stderr
    )
    result = run("nowhere.conf", cwd=tmp_path)
    assert result.returncode == 1
    assert "nowhere.conf" in result.stderr and "No such file" in result.stderr


# ---- What it refuses -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--no-such-thing", "1"], "no-such-thing"),
        (["--maxclients", "many"], "maxclients"),
        (["--daemonize", "yes"], "daemonize"),
        (["--threads", "65"], "threads"),
        (["--threads", "0"], "threads"),
        (["--io", "kqueue"], "io"),
        (["--dir", "/nowhere"], "No such file or directory: /nowhere"),
        (["--logfile", "/nowhere/log"], "/nowhere/log"),
        (["--unixsocket", "/nowhere/socket"], "/nowhere/socket"),
        (["--port"], "port"),
        ([], "neither a port nor a Unix socket"),
    ],
)
def test_refused(options: list[str], said: str) -> None:
    result = run("--port", "0", *options)
    assert result.returncode == 1
    assert result.stderr.startswith("kevyrt-server: ") and result.stderr.count("\n") == 1
    assert said in result.stderr


def test_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = run("--port", port, "--bind", "127.0.0.1")
    assert result.returncode == 1
    assert f"127.0.0.1:{port}" in result.stderr and "in use" in result.stderr


# ---- The end -------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal(start: Start, socket_path: str, number: signal.Signals, tmp_path: Path) -> None:
    process = start()
    assert do(socket_path, "SET", "k", "v") == b"+OK\r\n"
    process.send_signal(number)
    assert process.wait(DEADLINE_S) == 0
    assert not os.path.exists(socket_path)
    assert f"Received {number.name}" in (tmp_path / "output").read_text()


@pytest.mark.parametrize(
    ("options", "saves"),
    [
        (("--save", "3600 1"), True),
        (("--save", "3600 1", "--shutdown-on-sigterm", "nosave"), False),
        (("--shutdown-on-sigterm", "save"), True),
        ((), False),
    ],
)
def test_signal_and_saves(
    start: Start, socket_path: str, tmp_path: Path, options: tuple[str, ...], saves: bool
) -> None:
    process = start(*options)
    assert do(socket_path, "SET", "k", "v") == b"+OK\r\n"
    process.terminate()
    assert process.wait(DEADLINE_S) == 0
    assert (tmp_path / "dump.rdb").exists() == saves


def test_signal_and_a_save_that_fails(start: Start, socket_path: str, tmp_path: Path) -> None:
    """As Redis it goes on rather than lose what cannot be saved."""
    process = start("--save", "3600 1")
    assert do(socket_path, "SET", "k", "v") == b"+OK\r\n"
    (tmp_path / "dump.rdb" / "in the way").mkdir(parents=True)
    process.terminate()
    await_text(tmp_path / "output", "the server goes on")
    assert do(socket_path, "GET", "k") == b"$1\r\nv\r\n"
    shutil.rmtree(tmp_path / "dump.rdb")
    process.terminate()
    assert process.wait(DEADLINE_S) == 0
    assert (tmp_path / "dump.rdb").exists()


def test_many_signals(start: Start) -> None:
    process = start()
    for _ in range(20):
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
    assert process.wait(DEADLINE_S) == 0


def test_hang_up_is_ignored(start: Start, socket_path: str) -> None:
    process = start()
    process.send_signal(signal.SIGHUP)
    assert do(socket_path, "PING") == b"+PONG\r\n"
    assert process.poll() is None


def test_shutdown(start: Start, socket_path: str) -> None:
    process = start()
    assert do(socket_path, "SHUTDOWN", "NOSAVE") == b""
    assert process.wait(DEADLINE_S) == 0


@pytest.mark.parametrize("after_ms", [0, 20, 40, 60, 80, 100, 120, 150])
def test_signal_during_the_start(socket_path: str, after_ms: int) -> None:
    """Before the handlers are there it kills, afterwards it ends; it is never lost."""
    process = subprocess.Popen(
        command("--port", "0", "--unixsocket", socket_path),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    time.sleep(after_ms / 1000)
    process.terminate()
    with contextlib.closing(process.stdout):
        assert process.wait(DEADLINE_S) in (0, -signal.SIGTERM)


# ---- Open files ----------------------------------------------------------------------------------


def test_the_limit_of_open_files_is_raised(start: Start) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2_100:
        pytest.skip("the hard limit of open files is lower")

    def lower() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))

    process = start("--maxclients", "2000", preexec_fn=lower)
    soft, _ = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    assert soft >= 2_000


class Limit:
    """Stands for the kernel's: the soft limit may be raised up to the hard one."""

    def __init__(self, soft: int, hard: int) -> None:
        self.limits = (soft, hard)

    def get(self, which: int) -> tuple[int, int]:
        return self.limits

    def set(self, which: int, limits: tuple[int, int]) -> None:
        if limits[1] > self.limits[1]:
            raise ValueError("not allowed to raise maximum limit")
        self.limits = limits


@pytest.mark.parametrize(
    ("soft", "hard", "allowed"),
    [(20_000, 20_000, 10_000), (100, 20_000, 10_000), (100, 1_036, 1_000), (500, 136, 100)],
)
def test_maxclients_follow_the_limit(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    soft: int,
    hard: int,
    allowed: int,
) -> None:
    limit = Limit(min(soft, hard), hard)
    monkeypatch.setattr(resource, "getrlimit", limit.get)
    monkeypatch.setattr(resource, "setrlimit", limit.set)
    assert cli._allowed_clients(10_000, threads=1) == allowed
    warned = [record.getMessage() for record in caplog.records]
    assert bool(warned) is (allowed < 10_000)
    if warned:
        assert f"maxclients is {allowed} instead of 10000" in warned[0]


def test_no_files_for_any_client(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = Limit(30, 30)
    monkeypatch.setattr(resource, "getrlimit", limit.get)
    monkeypatch.setattr(resource, "setrlimit", limit.set)
    with pytest.raises(Exception, match="raise ulimit -n"):
        cli._allowed_clients(10_000, threads=1)
