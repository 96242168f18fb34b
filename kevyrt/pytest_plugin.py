"""The pytest plugin: a server for the tests, which each test finds as the one before found it.

| fixture | scope | what it is |
| --- | --- | --- |
| `kevyrt_server` | session | a `Server` that runs; of pytest-xdist's workers each has its own |
| `kevyrt_setup` | session | nothing; a test suite overrides it to put data into `kevyrt_server` |
| `kevyrt` | function | the server, put back at the end of the test to how it was found |
| `kevyrt_async` | function | its asyncio face, `server.aio`, likewise |
| `kevyrt_client` | function | a redis-py client of it without a network, likewise |

`factories` makes more of them. Options are taken from the factory's arguments, then from the
command line (`--kevyrt-threads 3`), then from the ini file (`kevyrt_threads = 3`).
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import pytest

from kevyrt import _core, _settings
from kevyrt.database import Database
from kevyrt.server import Server

if TYPE_CHECKING:
    import redis

    from kevyrt.aio import Aio

__all__ = ["factories"]

_Load: TypeAlias = _core.Snapshot | bytes | bytearray | memoryview | str | os.PathLike[str]

# How long a log that was switched on by a test may take to end, and how often to look.
_LOG_ENDS_S = 30.0
_LOG_LOOK_S = 0.001

# ---- Options -------------------------------------------------------------------------------------


class _Option(NamedTuple):
    name: str
    default: str
    help: str
    choices: tuple[str, ...] = ()


_OPTIONS = (
    _Option(
        "port", "0", "the TCP port (0: any; worker n of pytest-xdist takes the n-th behind it)"
    ),
    _Option("threads", "1", "the number of shards, 1 to 64"),
    _Option("io", "auto", "the reactor", ("auto", "io_uring", "epoll")),
    _Option("load", "", "an RDB file, or a folder with a dump.rdb, that it begins with"),
    _Option("decode", "no", "whether strings come back as str instead of bytes", ("yes", "no")),
    _Option(
        "clients",
        "close",
        "what is done with clients that have come during a test",
        ("close", "keep"),
    ),
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Called by pytest: adds the options of the command line and of the ini file."""
    group = parser.getgroup("kevyrt", "servers of kevyrt")
    for option in _OPTIONS:
        flag = f"--kevyrt-{option.name}"
        text = f"{option.help} (default: {option.default or 'none'})"
        group.addoption(
            flag, dest=f"kevyrt_{option.name}", choices=option.choices or None, help=text
        )
        parser.addini(f"kevyrt_{option.name}", text)
    text = "a setting by Redis's name, NAME=VALUE; any number of them"
    group.addoption("--kevyrt-setting", dest="kevyrt_settings", action="append", help=text)
    parser.addini(
        "kevyrt_settings", "settings by Redis's names, a line each: NAME=VALUE", "linelist"
    )


def _option(config: pytest.Config, name: str, argument: object) -> str:
    """The factory's argument, else the command line's, else the ini file's, else the default."""
    if argument is not None:
        return _settings.text_of(name, argument)
    option = next(option for option in _OPTIONS if option.name == name)
    for found in (config.getoption(f"kevyrt_{name}"), config.getini(f"kevyrt_{name}")):
        if found:
            return _checked(option, str(found))
    return option.default


def _checked(option: _Option, value: str) -> str:
    if option.choices and value not in option.choices:
        raise pytest.UsageError(
            f"kevyrt_{option.name} is one of {', '.join(option.choices)}, not {value}"
        )
    return value


def _number(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise pytest.UsageError(f"kevyrt_{name} is a number, not {text}") from None


def _is_yes(text: str) -> bool:
    return text == "yes"


# Parameters of Server() that are no settings, or have an option.
_OWN = ("port", "threads", "io", "load", "decode_responses")


def _settings_of(config: pytest.Config, own: dict[str, _settings.Value]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for line in [*config.getini("kevyrt_settings"), *(config.getoption("kevyrt_settings") or ())]:
        name, equals, value = line.partition("=")
        if not equals:
            raise pytest.UsageError(f"a setting is NAME=VALUE, not {line}")
        name = name.strip().replace("-", "_")
        if name in _OWN:
            raise pytest.UsageError(f"{name} is no setting of kevyrt_settings but an option")
        found[name] = value.strip()
    found.update((name.replace("-", "_"), value) for name, value in own.items())
    return found


def _worker(config: pytest.Config) -> int:
    """The number of a worker of pytest-xdist; 0 without it."""
    found = re.fullmatch(r"gw(\d+)", str(getattr(config, "workerinput", {}).get("workerid", "")))
    return int(found[1]) if found else 0


def _port_of(config: pytest.Config, argument: int | None) -> int:
    port = _number("port", _option(config, "port", argument))
    return port + _worker(config) if port else 0


def _source(config: pytest.Config, argument: _Load | None) -> _Load | None:
    if argument is not None and not isinstance(argument, (str, os.PathLike)):
        return argument
    path = _option(config, "load", argument)
    if not path:
        return None
    found = config.rootpath / path
    return found / "dump.rdb" if found.is_dir() else found


# ---- The way back --------------------------------------------------------------------------------


def _words(reply: Any) -> dict[str, str]:
    """CONFIG GET's answer."""
    return {_text(name): _text(value) for name, value in reply.items()}


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return str(value)


class _WayBack:
    """A server as a test finds it, from `__init__` to `go`."""

    def __init__(self, server: Server, closes: bool) -> None:
        self._server = server
        self._closes = closes
        self._settings_mark, self._clients_mark = server._marks()
        self._settings = _words(server.execute("CONFIG", "GET", "*"))
        self._clock = server._clock_read()
        self._faults = list(server.faults)
        self._checkpoint: _core.Checkpoint | None = None
        self._snapshot: _core.Snapshot | None = None
        if self._settings["appendonly"] == "yes":
            self._snapshot = server.snapshot()
        else:
            self._checkpoint = server.checkpoint()
        self._keys = self._count()

    def go(self) -> None:
        """Back. What was done first is what could be in the way of the rest."""
        for fault in self._server.faults:
            if fault not in self._faults:
                fault.remove()
        if self._server.running:
            self._go_running()
        else:
            self._start_again()

    def _go_running(self) -> None:
        """Each step, whatever comes of the others; the last one first."""
        settings, clients = self._server._marks()
        with contextlib.ExitStack() as steps:
            steps.callback(self._put_back_data)
            if self._closes and clients != self._clients_mark:
                steps.callback(self._end_clients)
            if settings != self._settings_mark:
                steps.callback(self._put_back_settings)
            steps.callback(self._server._unpause)
            steps.callback(self._put_back_clock)

    def _put_back_clock(self) -> None:
        if self._server._clock_read()[1:] != self._clock[1:] or self._clock[2]:
            self._server.clock._restore(*self._clock)

    def _put_back_settings(self) -> None:
        now = _words(self._server.execute("CONFIG", "GET", "*"))
        for name, value in self._settings.items():
            if now.get(name) != value:
                self._server.execute("CONFIG", "SET", name, value)

    def _end_clients(self) -> None:
        """Of those that came since. A session in this process only ceases to wait."""
        for line in _text(self._server.execute("CLIENT", "LIST")).splitlines():
            number = int(line.partition(" ")[0].partition("=")[2])
            if number >= self._clients_mark:
                is_session = " fd=-1 " in line
                self._server.execute(
                    "CLIENT", *(("UNBLOCK", number) if is_session else ("KILL", "ID", number))
                )

    def _put_back_data(self) -> None:
        if self._snapshot is not None:
            self._server.restore(self._snapshot)
        elif self._checkpoint is not None:
            self._rewind(self._checkpoint)
            self._checkpoint.close()

    def _rewind(self, checkpoint: _core.Checkpoint) -> None:
        """A log that the test has switched on ends in the background."""
        deadline = time.monotonic() + _LOG_ENDS_S
        while True:
            try:
                return checkpoint.rewind()
            except _core.PersistenceError as error:
                if "appendonly" not in str(error) or time.monotonic() > deadline:
                    return self._begin_again(error)
                time.sleep(_LOG_LOOK_S)

    # ---- A test that stops the server ----

    def _count(self) -> int:
        text = _text(self._server.execute("INFO", "keyspace"))
        return sum(map(int, re.findall(r"keys=(\d+)", text)))

    def _start_again(self) -> None:
        self._server.start()
        self._put_back_clock()
        self._begin_again(None)

    def _begin_again(self, error: Exception | None) -> None:
        """It was stopped, so it holds what it loads at its start, and what the test has written."""
        if self._checkpoint is not None:
            self._checkpoint.close()
        if self._snapshot is not None:
            self._server.restore(self._snapshot)
        elif self._keys:
            raise RuntimeError(
                "the test has stopped the server, and what it held before the test is gone"
            ) from error
        else:
            self._server.execute("FLUSHALL")


@pytest.fixture
def _kevyrt_keep(pytestconfig: pytest.Config) -> Iterator[Callable[[Server, str], None]]:
    """Whose way back begins at the call; each server's once, however many fixtures ask."""
    kept: dict[int, _WayBack] = {}

    def keep(server: Server, clients: str) -> None:
        if id(server) not in kept:
            kept[id(server)] = _WayBack(server, clients == "close")

    yield keep
    errors = []
    for way_back in reversed(kept.values()):
        try:
            way_back.go()
        except Exception as error:
            errors.append(error)
    if errors:
        raise errors[0]


# ---- Factories -----------------------------------------------------------------------------------


class factories:
    """Makes fixtures, which a test suite names as it likes.

    >>> from kevyrt.pytest_plugin import factories
    >>> big_server = factories.kevyrt_proc(threads=4, maxmemory="100mb")
    >>> big = factories.kevyrt("big_server")
    >>> big_client = factories.kevyrt_client("big_server", dbnum=1, decode=True)
    """

    @staticmethod
    def kevyrt_proc(
        port: int | None = None,
        threads: int | None = None,
        io: str | None = None,
        load: _Load | None = None,
        decode: bool | None = None,
        **settings: _settings.Value,
    ) -> Any:
        """A fixture of a server, which runs in the process of the tests until the session ends.

        What is None is taken from the command line, then from the ini file.

        Args:
            port: the TCP port; 0 takes any free one. Worker n of pytest-xdist adds n to another.
            threads: the number of shards, 1 to 64.
            io: "auto", "io_uring" or "epoll".
            load: what it begins with: a Snapshot, the bytes of an RDB file, or the path of one or
                of a folder with a dump.rdb in it, relative to pytest's root folder.
            decode: strings come back as str instead of bytes.
            settings: others by Redis's names, with `_` for `-`; before those of `--kevyrt-setting`
                and of `kevyrt_settings`. `dir` is a temporary folder, if nobody says another.

        Raises, when a test asks for it:
            pytest.UsageError: an option that is none.
            ValueError, OSError, DamagedError: as `Server()` and `Server.start()` do.
        """

        @pytest.fixture(scope="session")
        def kevyrt_process(
            pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
        ) -> Iterator[Server]:
            found = _settings_of(pytestconfig, settings)
            found.setdefault("dir", tmp_path_factory.mktemp("kevyrt"))
            with Server(
                port=_port_of(pytestconfig, port),
                threads=_number("threads", _option(pytestconfig, "threads", threads)),
                io=_option(pytestconfig, "io", io),  # type: ignore[arg-type]
                decode_responses=_is_yes(_option(pytestconfig, "decode", decode)),
                load=_source(pytestconfig, load),
                **found,
            ) as server:
                yield server

        return kevyrt_process

    @staticmethod
    def kevyrt(
        process_fixture_name: str = "kevyrt_server",
        dbnum: int = 0,
        decode: bool | None = None,
        clients: str | None = None,
        setup_fixture_name: str | None = None,
    ) -> Any:
        """A fixture of a function: the server, or one of its databases, put back behind the test.

        Args:
            process_fixture_name: the fixture that gives the `Server`.
            dbnum: the database. 0, without `decode`, gives the `Server` itself, anything else a
                `Database`. All databases are put back, whichever it is.
            decode: strings come back as str, or as bytes; None: as the server has it.
            clients: "close" or "keep": what is done with connections that were made in the test.
            setup_fixture_name: a fixture that puts into the server what is to be there.
        """

        @pytest.fixture
        def kevyrt_function(
            request: pytest.FixtureRequest,
            _kevyrt_keep: Callable[[Server, str], None],
        ) -> Server | Database:
            server = _found(request, process_fixture_name, setup_fixture_name)
            _kevyrt_keep(server, _option(request.config, "clients", clients))
            return _face(server, dbnum, decode)

        return kevyrt_function

    @staticmethod
    def kevyrt_async(
        process_fixture_name: str = "kevyrt_server",
        dbnum: int = 0,
        decode: bool | None = None,
        clients: str | None = None,
        setup_fixture_name: str | None = None,
    ) -> Any:
        """A fixture of a function: `server.aio`, put back behind the test. For any event loop.

        Args: as `kevyrt()` has them.
        """

        @pytest.fixture
        def kevyrt_async_function(
            request: pytest.FixtureRequest,
            _kevyrt_keep: Callable[[Server, str], None],
        ) -> Aio:
            server = _found(request, process_fixture_name, setup_fixture_name)
            _kevyrt_keep(server, _option(request.config, "clients", clients))
            return _face(server, dbnum, decode).aio

        return kevyrt_async_function

    @staticmethod
    def kevyrt_client(
        process_fixture_name: str = "kevyrt_server",
        dbnum: int = 0,
        decode: bool | None = None,
        clients: str | None = None,
        setup_fixture_name: str | None = None,
        **options: Any,
    ) -> Any:
        """A fixture of a function: a redis-py client without a network; the server is put back.

        Args: as `kevyrt()` has them; `options` are those of `Server.client()`.
        """

        @pytest.fixture
        def kevyrt_client_function(
            request: pytest.FixtureRequest,
            _kevyrt_keep: Callable[[Server, str], None],
        ) -> Iterator[redis.Redis]:
            server = _found(request, process_fixture_name, setup_fixture_name)
            _kevyrt_keep(server, _option(request.config, "clients", clients))
            decodes = _is_yes(_option(request.config, "decode", decode))
            with server.client(db=dbnum, decode_responses=decodes, **options) as client:
                yield client

        return kevyrt_client_function


def _face(server: Server, dbnum: int, decode: bool | None) -> Server | Database:
    return server if dbnum == 0 and decode is None else server.database(dbnum, decode)


def _found(request: pytest.FixtureRequest, name: str, setup: str | None) -> Server:
    server = request.getfixturevalue(name)
    if not isinstance(server, Server):
        raise TypeError(f"the fixture {name} gives no kevyrt.Server but {type(server).__name__}")
    if setup is not None:
        request.getfixturevalue(setup)
    return server


# ---- Fixtures ------------------------------------------------------------------------------------

kevyrt_server = factories.kevyrt_proc()


@pytest.fixture(scope="session")
def kevyrt_setup() -> None:
    """Does nothing. Override it to put into `kevyrt_server` what all tests are to find."""


kevyrt = factories.kevyrt(setup_fixture_name="kevyrt_setup")
kevyrt_async = factories.kevyrt_async(setup_fixture_name="kevyrt_setup")
kevyrt_client = factories.kevyrt_client(setup_fixture_name="kevyrt_setup")
