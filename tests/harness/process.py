"""Starts servers as processes and ends them by their own handle.

A server gets an ephemeral port, a Unix socket and a folder of its own. It is ready when it
answers PING. It must end on SIGTERM with exit code 0 and leave no sanitizer report on its
standard error.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from harness.client import Address, Connection
from harness.matrix import Configuration
from harness.resp import OK, Reply, render

START_DEADLINE_S = 20.0
STOP_DEADLINE_S = 20.0
ANSWER_DEADLINE_S = 5.0
FAILURES_BEFORE_GIVING_UP = 4
PORT_ATTEMPTS = 5
LISTENING_PORTS = (10_000, 32_000)
REPORTS = ("Sanitizer", "runtime error:", "Assertion", "assertion")

C_SERVER = os.environ.get("KEVYRT_SERVE")
REPOSITORY = Path(__file__).resolve().parents[2]


class StartFailed(Exception):
    """The server ended before it was ready; the text is what it wrote."""

    def __init__(self, returncode: int | None, output: str) -> None:
        super().__init__(f"exit code {returncode}; it wrote:\n{output}")
        self.returncode = returncode
        self.output = output


class Server:
    """A running server process. `port` is None when it was started without TCP."""

    def __init__(
        self,
        configuration: Configuration,
        extra: Sequence[str] = (),
        *,
        tcp: bool = True,
        port: int | None = None,
        host: str = "127.0.0.1",
        password: str | None = None,
        wrapper: Sequence[str] = (),
        program: Sequence[str] | None = None,
        files: Path | None = None,
    ) -> None:
        """`program` runs in the place of kevyrt-server; the folder begins as a copy of `files`."""
        self.configuration = configuration
        self.host = host
        self.password = password
        # Unix socket paths end at 107 bytes, so the folder's name must be short.
        self.folder = Path(tempfile.mkdtemp(prefix="krt-"))
        self.unix_path = str(self.folder / "s")
        self.port = port
        self._program = program
        self._port_is_given = port is not None
        self._spread: list[str] = []
        self._control: Connection | None = None
        self._starts = 0
        self._launched = (tuple(extra), tcp, tuple(wrapper))
        try:
            if files is not None:
                shutil.copytree(files, self.folder, dirs_exist_ok=True)
            self._launch(*self._launched)
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    @property
    def address(self) -> Address:
        return self.unix_path if self.port is None else (self.host, self.port)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_redis(self) -> bool:
        return self.configuration.is_redis

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def connect(self, **options: float) -> Connection:
        return Connection(self.address, **options)

    def control(self) -> Connection:
        """A connection as long-lived as the server, for what a test does beside its subject."""
        if self._control is None:
            self._control = self.connect()
            if self.password is not None:
                reply = self._control.do("AUTH", self.password)
                assert reply == OK, render(reply)
        return self._control

    def flush(self) -> None:
        reply = self.control().do("FLUSHALL")
        assert reply == OK, render(reply)

    def spread(self, count: int) -> list[str]:
        """`count` keys, neighbours on different shards, as the server itself says."""
        if len(self._spread) < count:
            self._spread = self._find_spread(max(count, 12))
        return self._spread[:count]

    def shard_of(self, key: str | bytes) -> int:
        reply = self.control().do("DEBUG", "KEVYRT-SHARD", key)
        assert reply.kind == "integer", render(reply)
        return reply.value

    def cpu_seconds(self) -> float:
        """User and system time that the process has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_bytes(self) -> int:
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def output(self) -> str:
        with contextlib.suppress(FileNotFoundError):
            return self._output_path.read_text(errors="replace")
        return ""

    def wait(self, timeout_s: float = STOP_DEADLINE_S) -> int:
        return self._process.wait(timeout_s)

    def stop(self) -> None:
        """Ends the process and checks how it ended; a second call does nothing."""
        if not self.folder.exists():
            return
        if self._control is not None:
            self._control.close()
        try:
            returncode = self._terminate()
            output = self.output()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
        assert returncode == 0, (
            f"{self.configuration.name}: exit code {returncode}\n{output[-4000:]}"
        )
        if not self.is_redis:
            found = [line for line in output.splitlines() if any(r in line for r in REPORTS)]
            assert not found, f"{self.configuration.name}:\n{output[-8000:]}"

    def answers_soon(self) -> bool:
        """Whether a new connection gets an answer to PING."""
        try:
            return _answers(self.address, ANSWER_DEADLINE_S)
        except (OSError, AssertionError):
            return False

    def crash(self) -> None:
        """Ends the process with SIGKILL; its folder stays as it is then, for a `restart`."""
        self._forget()
        self._process.kill()
        self._process.wait()

    def restart(self, *extra: str, program: Sequence[str] | None = None) -> None:
        """Starts it again in its folder, after SIGTERM if it runs still, with the same options and
        those given. Raises StartFailed if it does not start; `restart` may then be called again."""
        self._forget()
        if self.alive:
            returncode = self._terminate()
            assert returncode == 0, f"exit code {returncode}\n{self.output()[-4000:]}"
        before, tcp, wrapper = self._launched
        self._program = program or self._program
        self._launch([*before, *extra], tcp, wrapper)

    def start_unready(self, *extra: str) -> None:
        """Starts what has ended again, and does not wait until it is ready."""
        self._forget()
        before, tcp, wrapper = self._launched
        if not self._port_is_given:  # of one that was killed the old one may be taken for a while
            self.port = free_port(self.host) if tcp else None
        self._spawn([*before, *extra], wrapper)

    def crash_while_starting(self, after_s: float) -> None:
        """Starts what has crashed again and ends it with SIGKILL so soon, most likely unready."""
        self._forget()
        extra, _, wrapper = self._launched
        self._spawn(extra, wrapper)
        time.sleep(after_s)
        self._process.kill()
        self._process.wait()

    def _forget(self) -> None:
        """What holds of one process only."""
        self._spread = []
        if self._control is not None:
            self._control.close()
            self._control = None

    def kill(self) -> None:
        """Ends the process without asking how."""
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def _find_spread(self, count: int) -> list[str]:
        if self.is_redis or self.configuration.threads == 1:
            return [f"key:{i}" for i in range(count)]
        shards = self.configuration.threads
        found: list[list[str]] = [[] for _ in range(shards)]
        wanted = -(-count // shards)
        for i in range(count * 200):
            bucket = found[self.shard_of(f"key:{i}")]
            if len(bucket) < wanted:
                bucket.append(f"key:{i}")
            if all(len(b) == wanted for b in found):
                return [found[i % shards][i // shards] for i in range(count)]
        raise AssertionError(f"keys lie on too few shards: {[len(b) for b in found]}")

    def _terminate(self) -> int:
        if self.alive:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"{self.configuration.name}: SIGTERM did not end it") from None

    def _launch(self, extra: Sequence[str], tcp: bool, wrapper: Sequence[str]) -> None:
        for attempt in range(PORT_ATTEMPTS):
            if not self._port_is_given:
                self.port = free_port(self.host) if tcp else None
            self._spawn(extra, wrapper)
            try:
                self._await_ready()
                return
            except StartFailed as failure:
                # Somebody else may have taken the port between the probe and the bind.
                last = self._port_is_given or attempt == PORT_ATTEMPTS - 1
                if last or "in use" not in failure.output:
                    raise

    def _spawn(self, extra: Sequence[str], wrapper: Sequence[str]) -> None:
        self._starts += 1
        self._output_path = self.folder / f"output-{self._starts}"
        command = [*wrapper, *self._command(), *extra]
        with self._output_path.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=_environment(),
            )

    def _command(self) -> list[str]:
        common = [
            *("--port", str(self.port or 0), "--bind", self.host),
            *("--unixsocket", self.unix_path, "--dir", str(self.folder)),
            *("--save", "", "--appendonly", "no", "--enable-debug-command", "yes"),
            # Redis takes a client from 127.0.0.2 for a stranger.
            *("--protected-mode", "no"),
        ]
        if self.is_redis:
            return ["redis-server", *common]
        ours = [C_SERVER] if C_SERVER else [sys.executable, "-m", "kevyrt"]
        return [*(self._program or ours), *common, *self.configuration.options()]

    def _await_ready(self) -> None:
        deadline = time.monotonic() + START_DEADLINE_S
        while time.monotonic() < deadline:
            if not self.alive:
                raise StartFailed(self._process.returncode, self.output())
            with contextlib.suppress(OSError):
                # The Unix socket is this process's for certain; the port may be another's.
                addresses = (self.unix_path, self.address)
                if all(_answers(address, START_DEADLINE_S) for address in addresses):
                    return
            time.sleep(0.005)
        self._process.kill()
        self._process.wait()
        raise StartFailed(None, f"not ready in {START_DEADLINE_S} s\n{self.output()}")


def _answers(address: Address, timeout_s: float) -> bool:
    with Connection(address, timeout_s) as connection:
        reply = connection.do("PING")
    return reply == Reply("simple", b"PONG") or (reply.value or b"").startswith(b"NOAUTH")


def _environment() -> dict[str, str]:
    environment = dict(os.environ)
    paths = [str(REPOSITORY), str(REPOSITORY / "tests"), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    return environment


def free_port(host: str = "127.0.0.1") -> int:
    """A port that was free a moment ago, and that the kernel gives to no outgoing connection."""
    while True:
        port = random.randrange(*LISTENING_PORTS)
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((host, port))
                return port


class Pool:
    """One server per configuration for the whole session, started when first asked for.

    A server that has ended or answers no more is replaced, so that one failure does not become
    hundreds; a configuration that fails again and again is given up.
    """

    def __init__(self) -> None:
        self._servers: dict[str, Server] = {}
        self._failures: Counter[str] = Counter()

    def get(self, configuration: Configuration) -> Server:
        name = configuration.name
        if self._failures[name] >= FAILURES_BEFORE_GIVING_UP:
            raise AssertionError(f"{name} has failed too often; see the first failures")
        if name not in self._servers:
            self._servers[name] = Server(configuration)
        server = self._servers[name]
        server.flush()
        return server

    def check(self, server: Server) -> None:
        """Fails, and forgets the server, unless it is alive and answers."""
        trouble = None
        if not server.alive:
            trouble = f"the server ended with {server.wait()}"
        elif not server.answers_soon():
            trouble = "the server answers no more"
        if trouble is not None:
            output = server.output()[-4000:]
            self._failures[server.configuration.name] += 1
            del self._servers[server.configuration.name]
            server.kill()
            raise AssertionError(f"{trouble}; it wrote:\n{output}")

    def stop(self) -> None:
        failures = []
        for server in self._servers.values():
            try:
                server.stop()
            except AssertionError as failure:
                failures.append(str(failure))
        self._servers.clear()
        assert not failures, "\n".join(failures)
