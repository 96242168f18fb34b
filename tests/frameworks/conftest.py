"""A server that frameworks reach by TCP, by a Unix socket, and by its name."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator

import pytest

import kevyrt

NAME = "frameworks"


@pytest.fixture(scope="module")
def shared() -> Iterator[kevyrt.Server]:
    with (
        tempfile.TemporaryDirectory(prefix="krt-") as folder,
        kevyrt.Server(name=NAME, threads=2, unixsocket=f"{folder}/s") as running,
    ):
        yield running


@pytest.fixture
def server(shared: kevyrt.Server) -> kevyrt.Server:
    """Without any data."""
    shared.execute("FLUSHALL")
    return shared


@pytest.fixture(scope="module", autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Frameworks set loggers up for the whole process, which runs other tests as well."""
    root = logging.getLogger()
    loggers = [root, *(logging.getLogger(name) for name in root.manager.loggerDict)]
    before = [(one, one.level, one.disabled, one.propagate, one.handlers[:]) for one in loggers]
    yield
    for one, level, disabled, propagate, handlers in before:
        one.setLevel(level)
        one.disabled, one.propagate, one.handlers[:] = disabled, propagate, handlers


def has_scripts(server: kevyrt.Server) -> bool:
    """Some of what frameworks do is in Lua."""
    try:
        return bool(server.execute("EVAL", "return 1", 0) == 1)
    except kevyrt.ResponseError as error:
        assert "unknown command" in str(error)
        return False


@pytest.fixture
def scripts(server: kevyrt.Server) -> None:
    """For tests of what needs them."""
    if not has_scripts(server):
        pytest.skip("the server has no scripts yet, which the framework needs here")
