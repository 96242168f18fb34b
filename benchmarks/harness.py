"""What every benchmark shares: tools, servers as subprocesses, CPU and memory, statistics.

CPU is the run time the scheduler accounts to a process's threads, in nanoseconds
(`/proc/PID/task/*/schedstat`): the ticks of `/proc/PID/stat` are 10 ms and too coarse here.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import random
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from resp import ReplyError, Wire

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
BUILD = ROOT / "build" / "benchmarks"
START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 10.0
CFLAGS = ("-std=gnu11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra")
KEY_FORMAT = "key:{:012d}"
VALUE_BYTES = 64
PORTS = range(20_000, 32_000)


class Unavailable(Exception):
    """A subject or a tool that this machine cannot run; the reason is the message."""


class WrongData(Exception):
    """What was read back is not what the benchmark wrote: no figure may be reported."""


# Tools


def _compile(name: str, sources: Sequence[Path], *flags: str) -> Path:
    """Builds build/benchmarks/NAME unless it is newer than all its sources."""
    target = BUILD / name
    inputs = [path for source in sources for path in source.parent.glob("*.[ch]")]
    if target.exists() and target.stat().st_mtime > max(path.stat().st_mtime for path in inputs):
        return target
    compiler = os.environ.get("CC") or shutil.which("cc") or "gcc"
    BUILD.mkdir(parents=True, exist_ok=True)
    command = [compiler, *CFLAGS, *map(str, sources), "-o", str(target), *flags]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise Unavailable(f"{name} does not build: {done.stderr.strip()}")
    return target


def floor_server() -> Path:
    sources = sorted((HERE / "floor").glob("*.c"))
    if Path("/usr/include/liburing.h").exists():
        return _compile("floor", sources, "-DFLOOR_HAVE_URING", "-luring")
    return _compile("floor", sources)


def tool(name: str) -> Path:
    return _compile(name, [HERE / "tools" / f"{name}.c"])


def plain_server() -> Path:
    """The server of these sources, driven by a plain C main."""
    build = BUILD / "serve"
    command = ["make", "-s", "serve", f"BUILD={build}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        raise Unavailable(f"make serve: {done.stderr.strip()[-300:]}")
    return build / "kevyrt-serve"


def raise_descriptors(wanted: int) -> int:
    """As many descriptors as are allowed, of `wanted`, for this process and those it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, allowed), hard))
    return allowed


def installed(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise Unavailable(f"{program} is not installed")
    return path


def find_kevyrt() -> ModuleType:
    """The installed package; the benchmarks never measure sources that were not built."""
    try:
        return importlib.import_module("kevyrt")
    except ImportError as error:
        raise Unavailable(f"kevyrt does not import in {sys.executable}: {error}") from None


# Cores


@dataclass(frozen=True)
class Placement:
    """Which cores the server and the load run on."""

    server: tuple[int, ...]
    client: tuple[int, ...]

    def __str__(self) -> str:
        return f"server on core {_cores(self.server)}, load on core {_cores(self.client)}"


def _cores(cores: tuple[int, ...]) -> str:
    return " and ".join(map(str, cores))


def apart() -> Placement:
    """A core for a server of one thread, another for its load."""
    usable = sorted(os.sched_getaffinity(0))
    return Placement((usable[0],), (usable[1 % len(usable)],))


def for_two_threads() -> Placement:
    """Two cores for the server; the load has the remaining ones, or shares when there are none."""
    usable = sorted(os.sched_getaffinity(0))
    return Placement(tuple(usable[:2]), tuple(usable[2:3] or usable))


def pinned(command: Sequence[str], cores: Sequence[int]) -> list[str]:
    return [installed("taskset"), "-c", ",".join(map(str, cores)), *command]


# Servers


@dataclass(frozen=True)
class Subject:
    """A server to measure: `redis`, `kevyrt` or `floor`, with its reactor and number of threads.

    With a `program`, what `make serve` has built at some commit, and `kind` is a name for it.
    """

    kind: str
    io: str = ""
    threads: int = 1
    options: tuple[str, ...] = ()
    program: Path | None = None

    @property
    def name(self) -> str:
        words = [self.kind, self.io.replace("_", "-")]
        if self.threads > 1:
            words.append(str(self.threads))
        return "-".join(filter(None, words))

    @property
    def stores(self) -> bool:
        return self.kind != "floor"

    def command(self, port: int) -> list[str]:
        if self.kind == "floor":
            return [str(floor_server()), str(port), *(["--epoll"] if self.io == "epoll" else [])]
        unsaved = ["--port", str(port), "--save", "", "--appendonly", "no", *self.options]
        if self.kind == "redis":
            return [installed("redis-server"), *unsaved, "--io-threads", "1"]
        unsaved += ["--threads", str(self.threads), *(["--io", self.io] if self.io else [])]
        if self.program is not None:
            return [str(self.program), *unsaved]
        find_kevyrt()
        return [sys.executable, "-m", "kevyrt", *unsaved]


REDIS = Subject("redis")
KEVYRT_URING = Subject("kevyrt", "io_uring")
KEVYRT_EPOLL = Subject("kevyrt", "epoll")
FLOOR_URING = Subject("floor", "io_uring")
FLOOR_EPOLL = Subject("floor", "epoll")
REACTORS = ((KEVYRT_URING, FLOOR_URING), (KEVYRT_EPOLL, FLOOR_EPOLL))


def free_port() -> int:
    """A free port below those that outgoing connections get, so that no load can take it."""
    for port in random.sample(PORTS, len(PORTS)):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise Unavailable(f"no port from {PORTS.start} to {PORTS.stop - 1} is free")


class ServerProcess:
    """A subject that runs, pinned, in a folder of its own; `stop` ends it by its own handle.

    With a `folder` its files are there, and stay. It is ready when it has read them.
    """

    def __init__(
        self,
        subject: Subject,
        cores: Sequence[int],
        folder: Path | None = None,
        timeout_s: float = START_TIMEOUT_S,
    ) -> None:
        self.subject = subject
        self.port = free_port()
        self._timeout_s = timeout_s
        command = pinned(subject.command(self.port), cores)
        self._folder = tempfile.TemporaryDirectory(prefix="kevyrt-benchmark-")
        self._log = Path(self._folder.name) / "log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=folder or self._folder.name,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            self._await_ready()
        except BaseException:
            self.stop()
            raise

    def _await_ready(self) -> None:
        deadline = time.monotonic() + self._timeout_s
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                last = self._log.read_text(errors="replace").strip().splitlines()[-1:]
                raise Unavailable(f"{self.subject.name} ended at start: {' '.join(last)}")
            with contextlib.suppress(OSError, ReplyError), self.connect() as wire:
                wire.call("PING")
                return
            time.sleep(0.001)
        raise Unavailable(f"{self.subject.name} did not answer within {self._timeout_s:.0f} s")

    @property
    def pid(self) -> int:
        return self._process.pid

    def connect(self) -> Wire:
        return Wire(self.port)

    def cpu_ns(self) -> int:
        return sum(thread_cpu_ns(self.pid).values())

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


@contextlib.contextmanager
def running(
    subjects: Sequence[Subject], cores: Sequence[int]
) -> Iterator[tuple[dict[Subject, ServerProcess], list[str]]]:
    """Starts what can be started; the reasons of what cannot come beside."""
    servers: dict[Subject, ServerProcess] = {}
    missing: list[str] = []
    with contextlib.ExitStack() as stack:
        for subject in subjects:
            try:
                servers[subject] = stack.enter_context(ServerProcess(subject, cores))
            except Unavailable as reason:
                missing.append(f"{subject.name}: {reason}")
        yield servers, missing


# CPU and memory


def thread_cpu_ns(pid: int) -> dict[int, int]:
    """Run time of each living thread of a process, by thread id."""
    times: dict[int, int] = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            times[int(task.name)] = int((task / "schedstat").read_text().split()[0])
    return times


def context_switches(pid: int) -> int:
    """How often the threads of a process have gone to sleep and were woken."""
    count = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        status = (task / "status").read_text()
        count += int(status.split("\nvoluntary_ctxt_switches:")[1].split()[0])
    return count


def memory_bytes(pid: int, field: str) -> int:
    """`VmRSS` (resident now) or `VmHWM` (its highest since `forget_peak`) of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise Unavailable(f"/proc/{pid}/status has no {field}")


def forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


# Filling and reading back


def fill_command(port: int, first: int, count: int, letter: str) -> list[str]:
    return [str(tool("fill")), str(port), str(first), str(count), letter]


def fill(server: ServerProcess, first: int, count: int, cores: Sequence[int], letter: str) -> None:
    command = pinned(fill_command(server.port, first, count, letter), cores)
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise WrongData(f"{server.subject.name}: {done.stderr.strip()}")


def require_key_count(server: ServerProcess, wire: Wire, expected: int) -> None:
    found = wire.call("DBSIZE")
    if found != expected:
        raise WrongData(f"{server.subject.name}: DBSIZE is {found}, written were {expected} keys")


def read_values(server: ServerProcess, wire: Wire, numbers: Sequence[int]) -> list[bytes]:
    """The values of these keys, each checked to be there and to have the right size."""
    values = wire.pipeline([("GET", KEY_FORMAT.format(number)) for number in numbers])
    for number, value in zip(numbers, values, strict=True):
        if not isinstance(value, bytes) or len(value) != VALUE_BYTES:
            key = KEY_FORMAT.format(number)
            raise WrongData(f"{server.subject.name}: {key} holds {value!r:.80}")
    return values


# Statistics


def median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` of all do not exceed."""
    ordered = sorted(values)
    index = -int(-len(ordered) * percent // 100) - 1
    return ordered[max(index, 0)]


def paired_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float | None:
    """The median over rounds of ours against theirs in the same round; None without either."""
    if not ours or not theirs:
        return None
    return median([a / b for a, b in zip(ours, theirs, strict=True)])
