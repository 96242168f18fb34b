"""rename-command: other names for commands, or none."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from harness.cases import Case, case
from harness.compare import Oracle
from harness.process import Server, StartFailed

Start = Callable[..., Server]

RENAMES = [
    *("--rename-command", "FLUSHDB", ""),
    *("--rename-command", "GET", "FETCH"),
    *("--rename-command", "SET", "GET"),
    *("--rename-command", "CONFIG", "Settings"),
]

CASES = [
    case(
        "renamed",
        "GET $0 value",
        "FETCH $0",
        "fetch $0",
        "SET a value",
        "FLUSHDB",
        "CONFIG GET maxmemory",
        "SETTINGS GET maxmemory",
        "settings nosuch",
        "settings",
        "FETCH",
        "MGET $0 $1",
        "COMMAND INFO flushdb",
        "COMMAND INFO config|get",
        "COMMAND GETKEYS fetch a",
        "COMMAND GETKEYS set a b",
    ),
]


@pytest.fixture
def renamed_oracle() -> Oracle:
    from harness.matrix import REDIS

    with Server(REDIS, RENAMES) as server:
        yield Oracle(server)


@pytest.mark.parametrize("a_case", CASES, ids=lambda c: c.name)
def test_renamed(a_case: Case, own: Start, renamed_oracle: Oracle) -> None:
    renamed_oracle.check(a_case, own(*RENAMES))


@pytest.mark.parametrize("words", [("nosuch", "x"), ("get", "set"), ("get",)])
def test_bad_renames_are_refused(own: Start, words: tuple[str, ...]) -> None:
    with pytest.raises(StartFailed):
        own("--rename-command", *words)
