"""Every command that writes outlives a restart, however it came to be executed.

The examples are those of the C units' tables of effects (tests/harness/write_examples.py), and the
command table says which commands there are, so that a new one cannot be forgotten. Each runs
directly, in EXEC, and in the process; pops and reads that block are served; with three shards most
of it is forwarded. One restart is for all of them: each has databases of its own.
"""

from __future__ import annotations

import contextlib
import importlib
import re
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from harness.blockers import BLOCKERS, await_blocked
from harness.client import Connection
from harness.contents import Contents, assert_same, contents, deadlines, is_all
from harness.matrix import REDIS
from harness.process import C_SERVER, Server
from harness.resp import OK, Argument, Reply, encode
from harness.write_examples import (
    DATABASES,
    DATABASES_EACH,
    ELSEWHERE,
    EXAMPLES,
    WRITES,
    Example,
    command_of,
    database_of,
    name_of,
)
from test_every_command import STATES

Do = Callable[[int, Sequence[Argument]], Reply]


def _of_fields(example: Example) -> bool:
    return any(
        re.match(r"(\d> )?HP?(EXPIRE|PERSIST)", line) for line in (*example.given, example.line)
    )


WORKING = {name for name in WRITES if STATES.get(name) == "works"} - ELSEWHERE
# Those whose deadlines belong to fields come last, in databases of their own.
PLAIN = [e for e in EXAMPLES if not _of_fields(e)]
FIELDS = [e for e in EXAMPLES if _of_fields(e)]
OF_FIELDS = len(PLAIN) * DATABASES_EACH
ALL_DATABASES = 2 * DATABASES + 2 * len(BLOCKERS)
OPTIONS = ("--appendonly", "yes", "--databases", str(ALL_DATABASES))
# Longer than any ~ of the examples.
PASSING_S = 0.07
# What expires so soon may do so while the test looks.
SOON_MS = 60_000
SWEEPING = ("FLUSHALL",)
pytestmark = pytest.mark.timeout(120)


def test_every_command_that_writes_has_an_example() -> None:
    known = {name_of(example.words) for example in EXAMPLES} | set(SWEEPING)
    missing = WORKING - known
    assert not missing, f"rows of tests/c/cmd/test_effects.c are missing: {sorted(missing)}"


# ---- Playing the examples ------------------------------------------------------------------------


def play(do: Do, first: int, examples: Sequence[Example]) -> set[str]:
    """Plays all examples beside each other; returns the commands that have worked."""
    worked: set[str] = set()
    bases = {example: first + at * DATABASES_EACH for at, example in enumerate(examples)}
    dumps: dict[Example, dict[str, bytes]] = defaultdict(dict)
    for phase in range(max(len(example.phases) for example in examples)):
        if phase > 0:
            time.sleep(PASSING_S)
        for example, base in bases.items():
            if phase < len(example.phases):
                for line in example.phases[phase]:
                    _note_dump(do, base, line, dumps[example])
                    words = command_of(base, line, int(time.time() * 1000), dumps[example])
                    reply = do(database_of(base, line), words)
                    if reply.kind != "error":
                        worked.add(name_of([str(word) for word in words[:2]]))
    return worked


def _note_dump(do: Do, base: int, line: str, dumps: dict[str, bytes]) -> None:
    for word in line.split():
        if word.startswith("@"):
            dumps[word[1:]] = do(base, ("DUMP", word[1:])).value or b""


class Directly:
    """One command after the other, on connections to several shards."""

    def __init__(self, server: Place, stack: contextlib.ExitStack) -> None:
        self._connections = [stack.enter_context(server.connect()) for _ in range(3)]
        self._databases = [0] * 3

    def __call__(self, database: int, words: Sequence[Argument]) -> Reply:
        return self._select(database).do(*words)

    def _select(self, database: int) -> Connection:
        at = database // DATABASES_EACH % 3
        if self._databases[at] != database:
            assert self._connections[at].do("SELECT", database) == OK
            self._databases[at] = database
        return self._connections[at]


class InExec(Directly):
    """Each command in a transaction of its own, behind another."""

    def __call__(self, database: int, words: Sequence[Argument]) -> Reply:
        connection = self._select(database)
        requests = [("MULTI",), ("SET", "beside", "v"), words, ("EXEC",)]
        *_, done = connection.pipeline(requests)
        return done if done.kind == "error" else done.value[1]


def play_blockers(server: Place, first: int) -> None:
    """Every call that blocks, served by a command alone and by one in EXEC."""
    with contextlib.ExitStack() as stack:
        waiters = []
        for at, blocker in enumerate([*BLOCKERS, *BLOCKERS]):
            waiter = stack.enter_context(server.connect())
            assert waiter.do("SELECT", first + at) == OK
            if blocker.prepare is not None:
                assert waiter.do(*blocker.prepare("k")) == OK
            waiter.send(encode(*blocker.block("k", "j", 0)))
            waiters.append(waiter)
        await_blocked(server, len(waiters))
        control = stack.enter_context(server.connect())
        for at, blocker in enumerate([*BLOCKERS, *BLOCKERS]):
            assert control.do("SELECT", first + at) == OK
            fill = blocker.fill("k", "token")
            if at < len(BLOCKERS):
                control.do(*fill)
            else:
                control.pipeline([("MULTI",), fill, ("SET", "beside", "v"), ("EXEC",)])
            assert waiters[at].read().kind != "error", blocker.name


# ---- Restarts ------------------------------------------------------------------------------------


def remove_what_expires_soon(connection: Connection, *, fields: bool) -> None:
    limit = time.time() * 1000 + SOON_MS
    for (number, key), known in contents(connection, fields=fields).items():
        if any(0 < moment < limit for moment in deadlines(known)):
            assert connection.do("SELECT", number) == OK
            connection.do("DEL", key)
    assert connection.do("SELECT", 0) == OK


def settled_contents(connection: Connection, *, fields: bool) -> Contents:
    """Once what has expired is deleted, which it may have been between two looks."""
    deadline = time.monotonic() + 20
    while not is_all(connection, contents(connection, fields=fields)):
        assert time.monotonic() < deadline, "what has expired is not deleted"
        time.sleep(0.01)
    return contents(connection, fields=fields)


def example_of(number: int) -> object:
    """Which example a database belongs to."""
    at = number % DATABASES // DATABASES_EACH
    return [*PLAIN, *FIELDS][at] if number < 2 * DATABASES else "a call that blocked"


class InProcess:
    """A server in this process, with a folder, in the words of a server process."""

    is_redis = False

    def __init__(self, stack: contextlib.ExitStack) -> None:
        kevyrt = importlib.import_module("kevyrt")
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="krt-")))
        self._server = kevyrt.Server(
            threads=3,
            appendonly=True,
            databases=ALL_DATABASES,
            dir=self.folder,
            enable_debug_command=True,
        )
        self._stack = stack
        stack.enter_context(self._server)
        self._control = stack.enter_context(self.connect())

    def connect(self) -> Connection:
        return Connection(("127.0.0.1", self._server.port))

    def control(self) -> Connection:
        return self._control

    def restart(self) -> None:
        self._control.close()
        self._server.stop()
        self._server.start()
        self._control = self._stack.enter_context(self.connect())

    def session(self) -> Any:
        return self._server.session()


class ByCaller:
    """A session in the process; in EXEC as well, for every other database."""

    def __init__(self, server: InProcess, stack: contextlib.ExitStack) -> None:
        self._session = server.session()
        self._error = importlib.import_module("kevyrt").ResponseError
        stack.callback(self._session.close)

    def __call__(self, database: int, words: Sequence[Argument]) -> Reply:
        try:
            self._session.execute("SELECT", database)
            return Reply("value", self._session.execute(*words))
        except self._error as error:
            return Reply("error", str(error).encode())


class ByCallerInExec(ByCaller):
    def __call__(self, database: int, words: Sequence[Argument]) -> Reply:
        try:
            for command in (("SELECT", database), ("MULTI",), ("SET", "beside", "v"), words):
                self._session.execute(*command)
            reply = self._session.execute("EXEC")[1]
        except self._error as error:
            return Reply("error", str(error).encode())
        return Reply("error" if isinstance(reply, Exception) else "value", reply)


Place = Server | InProcess
How = Callable[[Any, contextlib.ExitStack], Do]


def _base(place: Place) -> str:
    manifest = place.folder / "appendonlydir" / "appendonly.aof.manifest"
    return next(line for line in manifest.read_text().splitlines() if line.endswith("type b"))


def rewrite(place: Place) -> None:
    """Returns when there is a new base, and no history any more."""
    before = _base(place)
    assert place.control().do("BGREWRITEAOF").kind == "simple"
    deadline = time.monotonic() + 20
    while _base(place) == before or len(list((place.folder / "appendonlydir").iterdir())) != 3:
        assert time.monotonic() < deadline, "the rewrite does not end"
        time.sleep(0.002)


def check_restart(place: Place, what: str) -> None:
    """What is there is there afterwards."""
    fields = not place.is_redis
    remove_what_expires_soon(place.control(), fields=fields)
    before = settled_contents(place.control(), fields=fields)
    digest = place.control().do("DEBUG", "DIGEST")
    assert len(before) > len(EXAMPLES) // 2 and digest.kind != "error"
    place.restart()
    assert_same(before, contents(place.control(), fields=fields), what, example_of)
    assert place.control().do("DEBUG", "DIGEST") == digest


def check_in_redis(place: Place, what: str) -> None:
    """redis-server makes the same of the same files."""
    if place.is_redis or shutil.which("redis-server") is None:
        return
    with tempfile.TemporaryDirectory(prefix="krt-") as name:
        shutil.copytree(place.folder / "appendonlydir", Path(name) / "appendonlydir")
        ours = contents(place.control(), fields=False)
        digest = place.control().do("DEBUG", "DIGEST")
        with Server(REDIS, OPTIONS, files=Path(name)) as other:
            theirs = contents(other.control(), fields=False)
            assert_same(ours, theirs, f"{what} in redis-server", example_of)
            assert other.control().do("DEBUG", "DIGEST") == digest


def play_both(
    place: Place, hows: tuple[How, How], first: int, examples: Sequence[Example]
) -> set[str]:
    """Directly and in EXEC."""
    with contextlib.ExitStack() as stack:
        direct, in_exec = (how(place, stack) for how in hows)
        return play(direct, first, examples) | play(in_exec, DATABASES + first, examples)


def check_all(place: Place, *hows: How) -> None:
    """All examples; the deadlines of fields last, which are newer than the oracle."""
    worked = play_both(place, hows, 0, PLAIN)
    play_blockers(place, 2 * DATABASES)
    check_restart(place, "restart")
    check_in_redis(place, "log")
    worked |= play_both(place, hows, OF_FIELDS, FIELDS)
    check_restart(place, "restart")
    rewrite(place)
    check_restart(place, "rewrite and restart")
    if not place.is_redis:
        assert worked >= WORKING - set(SWEEPING), sorted(WORKING - worked)
        _remove_field_deadlines(place.control())
        rewrite(place)
        check_in_redis(place, "base")


def _remove_field_deadlines(connection: Connection) -> None:
    for number in range(ALL_DATABASES):
        if number % DATABASES >= OF_FIELDS:
            connection.pipeline([("SELECT", number), ("FLUSHDB",)])
    assert connection.do("SELECT", 0) == OK


def test_restart(durable: Callable[..., Server]) -> None:
    check_all(durable(*OPTIONS), Directly, InExec)


@pytest.mark.skipif(C_SERVER is not None, reason="the server under test is a C program")
def test_restart_in_the_process() -> None:
    with contextlib.ExitStack() as stack:
        check_all(InProcess(stack), ByCaller, ByCallerInExec)


@pytest.mark.parametrize("name", SWEEPING)
def test_nothing_is_left(durable: Callable[..., Server], name: str) -> None:
    """What empties everything, and what came behind it."""
    server = durable("--appendonly", "yes")
    with server.connect() as connection:
        connection.pipeline([("SET", "k", "v"), ("SELECT", 3), ("SET", "j", "v"), (name,)])
        connection.pipeline([("SET", "a", "1"), ("MULTI",), ("SET", "b", 1), (name,), ("EXEC",)])
        assert connection.do("SET", "c", "1") == OK
    server.restart()
    found = contents(server.control(), fields=False)
    assert set(found) == {(3, b"c")}
