"""Fixtures of the wire tests: servers that live for the session, the oracle, and limits in time."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import client
from harness.compare import Oracle
from harness.matrix import FEW, MATRIX, ORDER_MATRIX, OWN_SERVERS, REDIS, Configuration
from harness.process import Pool, Server

WIRE_FOLDERS = {"wire", "differential", "clients", "compat"}
WIRE_TIMEOUT_S = 60
# The longest file, which compiles on all cores while others wait, so it must not be the last.
FIRST = "test_c_units.py"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="the long versions of tests that have one")
    parser.addoption(
        "--configurations",
        default="",
        help="comma-separated configurations to test (redis, epoll-1, ...); default: all",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if _in_wire(item.path) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(WIRE_TIMEOUT_S))
    items.sort(key=lambda item: item.path.name != FIRST)


def _in_wire(path: Path) -> bool:
    return path.parent.name in WIRE_FOLDERS


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`subject`, `ours`, `few`, `own` and others run on their part of the matrix."""
    if not _in_wire(metafunc.definition.path):
        return
    matrices = {
        "subject": MATRIX,
        "ours": [c for c in MATRIX if not c.is_redis],
        "few": FEW,
        "order_subject": ORDER_MATRIX,
        "own": OWN_SERVERS,
        "guarded": OWN_SERVERS,
        "durable": [c for c in FEW if not c.is_redis],
    }
    chosen = set(filter(None, metafunc.config.getoption("--configurations").split(",")))
    for name, matrix in matrices.items():
        if name in metafunc.fixturenames:
            wanted = [c for c in matrix if not chosen or c.name in chosen]
            metafunc.parametrize(name, wanted, ids=[c.name for c in wanted], indirect=True)


@pytest.fixture(scope="session")
def long_run(pytestconfig: pytest.Config) -> bool:
    return pytestconfig.getoption("--long")


@pytest.fixture(scope="session")
def pool() -> Iterator[Pool]:
    servers = Pool()
    yield servers
    servers.stop()


@pytest.fixture(scope="session")
def oracle() -> Iterator[Oracle]:
    """A redis-server of its own, beside the one that is a subject."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed, so there is no oracle")
    with Server(REDIS) as server:
        yield Oracle(server)


@pytest.fixture
def subject(request: pytest.FixtureRequest, pool: Pool) -> Iterator[Server]:
    """A flushed server of one configuration; the test must have read replies from it."""
    yield from _shared(request.param, pool)


@pytest.fixture
def ours(request: pytest.FixtureRequest, pool: Pool) -> Iterator[Server]:
    """As `subject`, for what redis-server does not have or promise."""
    yield from _shared(request.param, pool)


@pytest.fixture
def few(request: pytest.FixtureRequest, pool: Pool) -> Iterator[Server]:
    yield from _shared(request.param, pool)


@pytest.fixture
def order_subject(request: pytest.FixtureRequest, pool: Pool) -> Iterator[Server]:
    yield from _shared(request.param, pool)


def _shared(configuration: Configuration, pool: Pool) -> Iterator[Server]:
    server = _get(configuration, pool)
    before = client.replies_read
    yield server
    read = client.replies_read - before
    pool.check(server)
    assert read > 0, "this test read no reply, so it could not fail"


def _get(configuration: Configuration, pool: Pool) -> Server:
    if configuration.is_redis and shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    return pool.get(configuration)


@pytest.fixture
def own(request: pytest.FixtureRequest) -> Iterator[Callable[..., Server]]:
    """Starts servers of one configuration with options of the test's own, and ends them."""
    yield from _started(request)


@pytest.fixture
def durable(request: pytest.FixtureRequest) -> Iterator[Callable[..., Server]]:
    """As `own`, for what must be tested however a shard is reached, since a log tells of it."""
    yield from _started(request)


def _started(request: pytest.FixtureRequest) -> Iterator[Callable[..., Server]]:
    with contextlib.ExitStack() as stack:

        def start(*extra: str, **options: Any) -> Server:
            return stack.enter_context(Server(request.param, extra, **options))

        yield start
