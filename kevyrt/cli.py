"""kevyrt-server: redis-server's command line."""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from types import FrameType

from kevyrt import _core, _log
from kevyrt.server import Server

USAGE = """\
Usage: kevyrt-server [file | -] [--option value ...]

A Redis-compatible data server. The options are Redis's settings, the file is in the form of
redis.conf, and - reads it from standard input.

  --port N           TCP port; 0: no TCP (default 6379)
  --bind ADDRESS...  addresses to listen on (default: all)
  --unixsocket PATH  listen on a Unix socket as well
  --requirepass WORD ask clients for a password
  --threads N        shards, 1 to 64 (default: one per usable core)
  --io KIND          auto, io_uring or epoll (default auto)
  --logfile PATH     append the log to a file (default: standard output)
  --loglevel LEVEL   debug, verbose, notice, warning or nothing
  --dir PATH         change to this folder first
  --version, -v      print the version
  --help, -h         print this

SIGTERM, SIGINT and the command SHUTDOWN end it.
"""

# Beside those of clients: listeners, the log, and what each shard needs.
_DESCRIPTORS_RESERVED = 32
_DESCRIPTORS_PER_SHARD = 4

_LEVELS = {
    "debug": logging.DEBUG,
    "verbose": logging.DEBUG,
    "notice": logging.INFO,
    "warning": logging.WARNING,
    "nothing": logging.CRITICAL + 1,
}
_MARKS = {logging.DEBUG: "-", logging.INFO: "*", logging.WARNING: "#"}


class _Failure(Exception):
    """The server cannot be started; the text says why."""


class _ConfiguredServer(Server):
    """A server whose settings are text already."""

    def __init__(self, settings: list[tuple[str, str]]) -> None:
        self._init(settings)

    def setting(self, name: str) -> str:
        return self._setting(name)


# ---- Settings ------------------------------------------------------------------------------------


def _usable_cores() -> int:
    return min(len(os.sched_getaffinity(0)), _core.SHARDS_MAX)


def _parse(words: list[str]) -> list[tuple[str, str]]:
    asked = "-" in (words[0], words[-1]) if words else False
    standard_input = sys.stdin.read() if asked else None
    ours = [("threads", str(_usable_cores())), ("load-dump", "yes")]
    return [*ours, *_core.parse_options(words, standard_input)]


def _configure(settings: list[tuple[str, str]]) -> _ConfiguredServer:
    """The server, when the folder, the log and the limit of open files are as it wants them."""
    server = _ConfiguredServer(settings)
    if folder := server.setting("dir"):
        os.chdir(folder)
        settings = [*settings, ("dir", os.getcwd())]
        server = _ConfiguredServer(settings)
    _set_up_log(server)
    wanted = int(server.setting("maxclients"))
    allowed = _allowed_clients(wanted, int(server.setting("threads")))
    if allowed == wanted:
        return server
    return _ConfiguredServer([*settings, ("maxclients", str(allowed))])


def _allowed_clients(wanted: int, threads: int) -> int:
    """Raises the limit of open files for so many clients; how many it then allows."""
    reserved = _DESCRIPTORS_RESERVED + threads * _DESCRIPTORS_PER_SHARD
    limit = _raise_descriptor_limit(wanted + reserved)
    if limit >= wanted + reserved:
        return wanted
    if limit <= reserved:
        raise _Failure(f"the limit of open files ({limit}) is too low: raise ulimit -n")
    allowed = limit - reserved
    _log.LOGGER.warning(
        "maxclients is %d instead of %d: the limit of open files is %d; raise ulimit -n",
        *(allowed, wanted, limit),
    )
    return allowed


def _raise_descriptor_limit(wanted: int) -> int:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    if soft >= wanted:
        return soft
    high = wanted if hard == resource.RLIM_INFINITY else max(hard, wanted)
    # Who may raises the hard limit too; everybody may go up to it.
    for limits in ((wanted, high), (hard, hard)):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            break
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


# ---- Folder, log, pid file -----------------------------------------------------------------------


class _Formatter(logging.Formatter):
    """Lines as redis-server writes them: pid, role, time, mark, text."""

    def format(self, record: logging.LogRecord) -> str:
        when = time.strftime("%d %b %Y %H:%M:%S", time.localtime(record.created))
        mark = _MARKS.get(record.levelno, "#")
        return f"{os.getpid()}:M {when}.{int(record.msecs):03d} {mark} {record.getMessage()}"


def _set_up_log(server: _ConfiguredServer) -> None:
    logfile = server.setting("logfile")
    handler = logging.FileHandler(logfile) if logfile else logging.StreamHandler(sys.stdout)
    handler.setFormatter(_Formatter())
    # Asked for each line, since CONFIG SET may change it.
    handler.addFilter(lambda record: record.levelno >= _LEVELS[server.setting("loglevel")])
    _log.LOGGER.handlers[:] = [handler]
    _log.LOGGER.setLevel(min(_LEVELS.values()))
    _log.LOGGER.propagate = False


@contextlib.contextmanager
def _pid_file(path: str) -> Iterator[None]:
    """Holds our pid while the server runs. Like redis-server we run on without one."""
    written = False
    if path:
        try:
            with open(path, "w") as file:
                file.write(f"{os.getpid()}\n")
            written = True
        except OSError as error:
            _log.LOGGER.warning("cannot write the pid file %s: %s", path, error.strerror)
    try:
        yield
    finally:
        if written:
            with contextlib.suppress(OSError):
                os.unlink(path)


# ---- Signals -------------------------------------------------------------------------------------


class _Signalled(Exception):
    """A signal asks for the end while the main thread waits for it."""


class _Ends:
    """SIGTERM and SIGINT. A handler may run anywhere, so only a waiting thread is interrupted."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._waiting = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        if self._waiting:
            raise _Signalled

    def start(self, server: Server) -> bool:
        """False: while it loaded, or before, it was told to end; then it does not run.

        Only the loading is interrupted: what Server.start() does beside it is done in any case.
        """
        try:
            self._waiting = True
            if self.signal is None:
                server._start()
            self._waiting = False
        except (_Signalled, _core.ServerStopped):  # or somebody has sent SHUTDOWN
            self._waiting = False
        finally:
            _log.start()
        if not server.running:
            server.stop()
        return server.running

    def wait(self, server: Server) -> None:
        """Until a signal has come, before this call too, or the server has stopped."""
        try:
            self._waiting = True
            if self.signal is None:
                server.wait()
            self._waiting = False
        except _Signalled:
            self._waiting = False


# ---- The server ----------------------------------------------------------------------------------


def _how_to_connect(server: _ConfiguredServer) -> str:
    if server.port is None:
        return f"redis-cli -s {server.setting('unixsocket')}"
    host = server._host
    anywhere = host in ("127.0.0.1", "0.0.0.0", "localhost")
    return f"redis-cli -p {server.port}" if anywhere else f"redis-cli -h {host} -p {server.port}"


def _announce(server: _ConfiguredServer) -> None:
    stats = server.stats()
    port = "no TCP" if server.port is None else f"port {server.port}"
    _log.LOGGER.info(
        "Ready to accept connections: kevyrt %s, pid %d, %s, %d shards, %s (%s); connect with: %s",
        *(_core.__version__, os.getpid(), port, len(stats.shards)),
        *(stats.backend, stats.backend_reason, _how_to_connect(server)),
    )


def _ended(server: _ConfiguredServer, number: signal.Signals) -> bool:
    """Ends it as SHUTDOWN does, with the words of the signal's setting.

    False: its data could not be saved, and it goes on.
    """
    words = server.setting(f"shutdown-on-{number.name.lower()}").split()
    _log.LOGGER.info("Received %s, shutting down", number.name)
    try:
        server.execute("SHUTDOWN", *(word for word in words if word != "default"))
    except _core.ServerStopped:
        return True
    except _core.Error as error:
        if "Errors trying to SHUTDOWN" in str(error):
            _log.LOGGER.warning("The data could not be saved: the server goes on")
            return False
    return True


def _serve(server: _ConfiguredServer, ends: _Ends) -> None:
    if not ends.start(server):
        return
    with contextlib.ExitStack() as stack:
        stack.callback(server.stop)  # no second start: SHUTDOWN may have been quick
        if server.url is None and server.running:
            raise _Failure("neither a port nor a Unix socket to listen on")
        with _pid_file(server.setting("pidfile")):
            with contextlib.suppress(_core.ServerStopped):  # somebody was quick with SHUTDOWN
                _announce(server)
            ends.wait(server)
            while ends.signal is not None and not _ended(server, signal.Signals(ends.signal)):
                ends.signal = None
                ends.wait(server)


def _run(words: list[str]) -> None:
    ends = _Ends()
    _serve(_configure(_parse(words)), ends)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error)


def main(words: list[str] | None = None) -> int:
    """Runs the server until a signal or SHUTDOWN ends it; returns the exit code."""
    words = sys.argv[1:] if words is None else words
    if words in (["--version"], ["-v"]):
        print(f"Redis server v={_core.redis_version} kevyrt={_core.__version__}")
        return 0
    if words in (["--help"], ["-h"]):
        print(USAGE, end="")
        return 0
    try:
        _run(words)
    except (ValueError, OSError, _core.Error, _Failure) as error:
        print(f"kevyrt-server: {_reason(error)}", file=sys.stderr)
        return 1
    return 0
