"""The pytest plugin: fixtures, factories, options, and what "back" means."""

from __future__ import annotations

from pathlib import Path

import pytest
from programs import PYTEST_OPTIONS

import kevyrt

pytest_plugins = ["pytester"]


def check(pytester: pytest.Pytester, *options: str, passed: int, **others: int) -> None:
    """Runs the tests that have been written, in this process."""
    result = run(pytester, *options)
    result.assert_outcomes(passed=passed, **others)


def run(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    return pytester.runpytest_inprocess(*arguments(), *options)


def run_apart(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    """In a process of its own, which finds the package that this one has."""
    pytester.syspathinsert(Path(kevyrt.__file__).parents[1])
    return pytester.runpytest_subprocess(*arguments(), *options)


def arguments() -> list[str]:
    return [*PYTEST_OPTIONS, "-o", "timeout=60"]


# ---- Fixtures ------------------------------------------------------------------------------------


def test_each_test_finds_what_set_up_has_left(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("""
import pytest


@pytest.fixture(scope="session")
def kevyrt_setup(kevyrt_server):
    for i in range(100):
        kevyrt_server.set(f"key:{i}", i)
    kevyrt_server.execute("RPUSH", "list", 1, 2, 3, db=3)
""")
    pytester.makepyfile("""
import pytest

import kevyrt as package


@pytest.mark.parametrize("round", range(3))
@pytest.mark.parametrize(
    "change",
    [("SET", "key:1", 2), ("DEL", "key:1"), ("FLUSHALL",), ("SWAPDB", 0, 3), ("SET", "new", 1)],
)
def test_it(kevyrt, kevyrt_server, change, round):
    assert isinstance(kevyrt, package.Server) and kevyrt is kevyrt_server
    assert kevyrt.execute("DBSIZE") == 100
    assert kevyrt.get("key:1") == b"1"
    assert kevyrt.execute("LRANGE", "list", 0, -1, db=3) == [b"1", b"2", b"3"]
    kevyrt.execute(*change)


def test_failing(kevyrt):
    kevyrt.execute("FLUSHALL")
    raise ValueError


def test_after_a_failure(kevyrt):
    assert kevyrt.execute("DBSIZE") == 100
""")
    check(pytester, passed=16, failed=1)


def test_set_up_of_any_scope(pytester: pytest.Pytester) -> None:
    """What fixtures of a longer life do is there for as long as they like."""
    pytester.makepyfile("""
import pytest


@pytest.fixture(scope="class")
def loaded(kevyrt_server):
    kevyrt_server.set("of the class", 1)
    yield
    kevyrt_server.delete("of the class")


def test_before(kevyrt):
    kevyrt.set("before", 1)


@pytest.mark.usefixtures("loaded")
class TestClass:
    def test_one(self, kevyrt):
        assert kevyrt.execute("KEYS", "*") == [b"of the class"]
        kevyrt.execute("FLUSHALL")

    def test_two(self, kevyrt):
        assert kevyrt.execute("KEYS", "*") == [b"of the class"]


def test_behind(kevyrt):
    assert kevyrt.execute("DBSIZE") == 0


def test_without(kevyrt_server):
    kevyrt_server.set("stays", 1)


def test_stays(kevyrt):
    assert kevyrt.get("stays") == b"1"
""")
    check(pytester, passed=6)


def test_more_than_data_comes_back(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
import socket
import threading
import time

import pytest
import redis

import kevyrt as package

held = {}


def test_settings(kevyrt):
    kevyrt.execute("CONFIG", "SET", "maxmemory", "100mb", "maxmemory-policy", "allkeys-lru")
    kevyrt.execute("CONFIG", "SET", "requirepass", "secret")


def test_settings_are_back(kevyrt):
    found = kevyrt.execute("CONFIG", "GET", "maxmemory*", "requirepass")
    assert found[b"maxmemory"] == b"0" and found[b"maxmemory-policy"] == b"noeviction"
    assert found[b"requirepass"] == b""


def test_clock(kevyrt):
    kevyrt.clock.freeze()
    kevyrt.clock.advance(1000)


def test_clock_is_back(kevyrt):
    assert not kevyrt.clock.frozen and kevyrt.clock.offset == 0


@pytest.fixture(scope="module")
def failing(kevyrt_server):
    with_set_up = kevyrt_server.faults.add("LLEN", error="ERR of set-up")
    yield
    with_set_up.remove()


def test_faults(kevyrt, failing):
    kevyrt.faults.add("GET", error="ERR of the test")
    kevyrt.faults.add(drop="before")


def test_faults_are_gone(kevyrt, kevyrt_client):
    assert kevyrt.get("key") is None and kevyrt_client.get("key") is None
    with pytest.raises(package.ResponseError, match="of set-up"):
        kevyrt.llen("list")


def test_pause(kevyrt):
    kevyrt.execute("CLIENT", "PAUSE", 1000000)


def test_pause_is_over(kevyrt):
    kevyrt.set("key", 1)


@pytest.fixture(scope="session")
def early(kevyrt_server):
    client = redis.Redis.from_url(kevyrt_server.url)
    client.ping()
    return client


def test_clients(kevyrt, early):
    client = held["client"] = redis.Redis.from_url(kevyrt.url, db=2)
    client.ping()
    held["early"] = early.client_id()
    held["pubsub"] = client.pubsub()
    held["pubsub"].subscribe("channel")
    held["pubsub"].get_message(timeout=30)
    held["inside"] = kevyrt.client()
    held["inside"].set("key", 1)


def test_clients_are_gone(kevyrt, early):
    assert early.client_id() == held["early"]
    assert kevyrt.execute("PUBSUB", "CHANNELS") == []
    # redis-py connects again, by itself.
    assert held["client"].ping()
    assert held["inside"].get("key") is None


def test_who_waits(kevyrt):
    def wait():
        try:
            held["answer"] = session.execute("BLPOP", "list", 0)
        except Exception as error:
            held["answer"] = error

    session = kevyrt.session()
    held["thread"] = threading.Thread(target=wait)
    held["thread"].start()
    while "blocked_clients:1" not in str(kevyrt.execute("INFO", "clients")):
        time.sleep(0.001)


def test_who_waits_waits_no_more(kevyrt):
    held["thread"].join(30)
    assert held["answer"] is None


def test_log(kevyrt, tmp_path):
    kevyrt.set("key", 1)
    kevyrt.execute("CONFIG", "SET", "appendonly", "yes")


def test_log_is_off(kevyrt):
    assert kevyrt.execute("CONFIG", "GET", "appendonly") == {b"appendonly": b"no"}
    assert kevyrt.execute("DBSIZE") == 0
""")
    check(pytester, passed=14)


def test_clients_may_be_kept(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
import redis

held = {}


def test_one(kevyrt):
    held["client"] = redis.Redis.from_url(kevyrt.url)
    held["id"] = held["client"].client_id()


def test_two(kevyrt):
    assert held["client"].client_id() == held["id"]
""")
    check(pytester, "--kevyrt-clients", "keep", passed=2)
    check(pytester, "--kevyrt-clients", "close", passed=1, failed=1)


def test_a_test_that_stops_the_server(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
import pytest


def test_stop(kevyrt):
    kevyrt.stop()


def test_start(kevyrt):
    kevyrt.stop()
    kevyrt.start()
    kevyrt.set("key", 1)


def test_runs(kevyrt, kevyrt_server):
    assert kevyrt.running and kevyrt.execute("DBSIZE") == 0


def test_data(kevyrt_server):
    kevyrt_server.set("key", 1)


def test_stop_with_data(kevyrt):
    kevyrt.stop()


def test_runs_again(kevyrt):
    assert kevyrt.execute("DBSIZE") == 0
""")
    result = run(pytester)
    result.assert_outcomes(passed=6, errors=1)
    result.stdout.fnmatch_lines(["*what it held before the test is gone*"])


def test_a_server_with_a_log(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
def test_set_up(kevyrt_server):
    kevyrt_server.set("key", 1)


def test_change(kevyrt):
    assert kevyrt.execute("CONFIG", "GET", "appendonly") == {b"appendonly": b"yes"}
    kevyrt.execute("FLUSHALL")


def test_is_back(kevyrt):
    assert kevyrt.get("key") == b"1"
""")
    check(pytester, "--kevyrt-setting", "appendonly=yes", passed=3)


# ---- Factories -----------------------------------------------------------------------------------


def test_factories(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("""
from kevyrt.pytest_plugin import factories

other_server = factories.kevyrt_proc(threads=3, io="epoll", databases=4, decode=True)
other = factories.kevyrt("other_server")
third = factories.kevyrt("other_server", dbnum=3, decode=False)
other_client = factories.kevyrt_client("other_server", dbnum=2, decode=True)
""")
    pytester.makepyfile("""
import pytest

import kevyrt as package


@pytest.mark.parametrize("round", range(2))
def test_all(kevyrt, other, third, other_client, kevyrt_client, round):
    assert kevyrt is not other and isinstance(third, package.Database)
    assert other.execute("CONFIG", "GET", "databases") == {"databases": "4"}
    assert len(other.stats().shards) == 3 and len(kevyrt.stats().shards) == 1
    for face in (kevyrt, other, third, other_client):
        assert face.get("key") is None
        face.set("key", 1)
    assert other.get("key") == "1" and third.get("key") == b"1"
    assert other_client.get("key") == "1" and kevyrt_client.get("key") == b"1"
    assert other.execute("INFO", "keyspace").count("keys=1") == 3
""")
    check(pytester, passed=2)


def test_load(pytester: pytest.Pytester) -> None:
    folder = pytester.mkdir("data")
    with kevyrt.Server() as server:
        server.set("key", "loaded")
        server.save(folder / "dump.rdb")
    pytester.makeconftest("""
import kevyrt
from kevyrt.pytest_plugin import factories

with kevyrt.Server() as server:
    server.set("key", "from a snapshot")
    snapshot = server.snapshot()

of_bytes = factories.kevyrt_proc(load=snapshot.to_bytes())
of_snapshot = factories.kevyrt_proc(load=snapshot)
of_folder = factories.kevyrt_proc(load="data")
of_file = factories.kevyrt_proc(load="data/dump.rdb")
""")
    pytester.makepyfile("""
def test_it(of_bytes, of_snapshot, of_folder, of_file, kevyrt):
    assert of_bytes.get("key") == of_snapshot.get("key") == b"from a snapshot"
    assert of_folder.get("key") == of_file.get("key") == b"loaded"
    assert kevyrt.get("key") == b"loaded"
    kevyrt.delete("key")


def test_again(kevyrt):
    assert kevyrt.get("key") == b"loaded"
    kevyrt.stop()


def test_loads_again(kevyrt):
    assert kevyrt.get("key") == b"loaded"
""")
    result = run(pytester, "--kevyrt-load", "data")
    result.assert_outcomes(passed=3, errors=1)  # the stop


# ---- Options -------------------------------------------------------------------------------------


def test_which_option_counts(pytester: pytest.Pytester) -> None:
    """The factory's, then the command line's, then the ini file's."""
    pytester.makeini("""
[pytest]
kevyrt_threads = 2
kevyrt_io = epoll
kevyrt_decode = yes
kevyrt_settings =
    maxclients=77
    databases=5
""")
    pytester.makeconftest("""
from kevyrt.pytest_plugin import factories

own_server = factories.kevyrt_proc(threads=4, databases=7)
""")
    pytester.makepyfile("""
def settings(server):
    found = server.execute("CONFIG", "GET", "*")
    return tuple(found[name] for name in ("threads", "io", "maxclients", "databases"))


def test_ini(kevyrt):
    assert settings(kevyrt) == ("2", "epoll", "77", "5")


def test_line(kevyrt):
    assert settings(kevyrt) == ("3", "epoll", "78", "5")


def test_own(own_server):
    assert settings(own_server)[0] == "4" and settings(own_server)[3] == "7"
""")
    check(pytester, "-k", "ini or own", passed=2)
    check(
        pytester,
        *("--kevyrt-threads", "3", "--kevyrt-setting", "maxclients=78", "-k", "line or own"),
        passed=2,
    )


def test_a_port(pytester: pytest.Pytester) -> None:
    with kevyrt.Server() as server:
        port = server.port
    pytester.makepyfile(f"""
def test_it(kevyrt):
    assert kevyrt.port == {port}
""")
    check(pytester, "--kevyrt-port", str(port), passed=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-o", "kevyrt_io=none"], "*kevyrt_io is one of auto, io_uring, epoll, not none*"),
        (["-o", "kevyrt_threads=many"], "*kevyrt_threads is a number, not many*"),
        (["--kevyrt-setting", "maxclients"], "*a setting is NAME=VALUE, not maxclients*"),
        (["--kevyrt-setting", "nonesuch=1"], "*nonesuch*"),
        (["--kevyrt-setting", "port=1"], "*port is no setting of kevyrt_settings but an option*"),
    ],
    ids=["choice", "number", "pair", "unknown", "own"],
)
def test_bad_options(pytester: pytest.Pytester, options: list[str], message: str) -> None:
    pytester.makepyfile("""
def test_it(kevyrt):
    pass
""")
    result = run(pytester, *options)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([message])


def test_help(pytester: pytest.Pytester) -> None:
    run(pytester, "--help").stdout.fnmatch_lines(["*--kevyrt-port*", "*kevyrt_settings*"])
    run(pytester, "--fixtures").stdout.fnmatch_lines(["*kevyrt_setup*"])


def test_a_server_of_somebody_else(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("""
import pytest

import kevyrt
from kevyrt.pytest_plugin import factories


@pytest.fixture(scope="module")
def mine():
    with kevyrt.Server(name="mine") as server:
        yield server


@pytest.fixture
def nobody():
    return 1


my_keys = factories.kevyrt("mine")
no_keys = factories.kevyrt("nobody")
""")
    pytester.makepyfile("""
import pytest


@pytest.mark.parametrize("round", range(2))
def test_it(my_keys, round):
    assert my_keys.execute("DBSIZE") == 0
    my_keys.set("key", 1)


def test_nobody(no_keys):
    pass
""")
    result = run(pytester)
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*the fixture nobody gives no kevyrt.Server but int*"])


# ---- Others' plugins -----------------------------------------------------------------------------


def test_each_worker_has_its_own(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
import os
import time

import pytest


@pytest.mark.parametrize("round", range(8))
def test_it(kevyrt, worker_id, tmp_path_factory, round):
    assert kevyrt.execute("DBSIZE") == 0
    kevyrt.set("key", worker_id)
    time.sleep(0.05)
    assert kevyrt.get("key") == worker_id.encode()
    folder = tmp_path_factory.getbasetemp().parent
    (folder / f"{worker_id}-{kevyrt.port}-{os.getpid()}").touch()


def test_last(kevyrt, worker_id):
    pass
""")
    temporary = pytester.path / "temporary"
    result = run_apart(pytester, "-n", "2", "--dist", "load", "--basetemp", str(temporary))
    result.assert_outcomes(passed=9)
    names = {path.name for path in temporary.glob("gw*-*-*")}
    ports = {name.split("-")[1] for name in names}
    assert len(names) == len(ports) == len({name.split("-")[0] for name in names}) <= 2


ASYNCHRONOUS = """
third = factories.kevyrt_async(dbnum=3, decode=True)


@{mark}
async def test_one(kevyrt_async, third, kevyrt):
    for face in (kevyrt_async, third):
        assert await face.get("key") is None
        await face.set("key", 1)
    assert kevyrt.get("key") == b"1" and await third.get("key") == "1"


@{mark}
async def test_two(kevyrt_async):
    assert await kevyrt_async.get("key") is None
"""


@pytest.mark.parametrize(
    ("plugin", "mark"),
    [("anyio", "pytest.mark.anyio"), ("pytest_asyncio", "pytest.mark.asyncio")],
)
def test_event_loops(pytester: pytest.Pytester, plugin: str, mark: str) -> None:
    pytest.importorskip(plugin)
    pytester.makepyfile(f"""
import pytest

from kevyrt.pytest_plugin import factories


@pytest.fixture
def anyio_backend():
    return "asyncio"

{ASYNCHRONOUS.format(mark=mark)}
""")
    result = run_apart(pytester)
    result.assert_outcomes(passed=2)
