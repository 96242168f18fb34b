"""The public cases of Redis compatibility, of which nothing is in this repository.

A case is commands and what redis-py returns for each. Those that need no more than data and its
commands run, up to the version that is the target; which these are follows from what the command
table says of every command of a case. The counts are asserted, so that no case gets lost.
"""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
from harness.definitions import Row, parse_definitions
from harness.process import Server

FILE = Path(__file__).resolve().parents[3] / "shared" / "compat" / "cts.json"
TARGET = (7, 4)
GROUPS_BESIDE_DATA = {"scripting": "scripts"}

pytestmark = pytest.mark.skipif(
    not FILE.exists(), reason="the public cases are not beside the clone (shared/compat/cts.json)"
)


@dataclass(frozen=True)
class PublicCase:
    name: str
    commands: list[list[str | bytes]]
    results: list[Any]
    since: tuple[int, ...]
    tags: str
    is_skipped: bool
    is_sorted: bool

    def __str__(self) -> str:
        return self.name.replace(" ", "-")


def version_of(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def _split(text: str, is_binary: bool) -> list[str | bytes]:
    """As a shell splits, but for the backslash, which stands for itself or begins a byte."""
    words = shlex.shlex(text, posix=True, punctuation_chars=False)
    words.whitespace_split = True
    words.escape = words.commenters = ""
    if not is_binary:
        return list(words)
    return [word.encode().decode("unicode_escape").encode("latin-1") for word in words]


def _case(fields: dict[str, Any]) -> PublicCase:
    is_binary = fields.get("command_binary", False)
    return PublicCase(
        name=fields["name"],
        commands=[_split(text, is_binary) for text in fields["command"]],
        results=fields["result"],
        since=version_of(fields["since"]),
        tags=fields.get("tags", ""),
        is_skipped=fields.get("skipped", False),
        is_sorted=fields.get("sort_result", False),
    )


ALL = [_case(fields) for fields in json.loads(FILE.read_text())] if FILE.exists() else []
OF_ONE_SERVER = [case for case in ALL if case.tags != "cluster" and not case.is_skipped]
ROWS = {row.name: row for row in parse_definitions()}


def _text(word: str | bytes) -> str:
    return (word.decode("latin-1") if isinstance(word, bytes) else word).upper()


def _row(words: list[str]) -> Row:
    return ROWS.get(" ".join(words[:2])) or ROWS[words[0]]


def _need(command: list[str | bytes]) -> str | None:
    """What the command needs beside data."""
    words = [_text(word) for word in command]
    row = _row(words)
    return GROUPS_BESIDE_DATA.get(row.group)


def needs(case: PublicCase) -> set[str]:
    return {need for need in map(_need, case.commands) if need is not None}


CHOSEN = [case for case in OF_ONE_SERVER if case.since <= TARGET and not needs(case)]


def test_no_case_is_lost(capsys: pytest.CaptureFixture[str]) -> None:
    left_out = Counter(" and ".join(sorted(needs(case))) for case in OF_ONE_SERVER if needs(case))
    with capsys.disabled():
        print(f"\n{len(ALL)} public cases, {len(OF_ONE_SERVER)} of one server, {len(CHOSEN)} run;")
        print("left out:", ", ".join(f"{count} {need}" for need, count in left_out.most_common()))
    assert (len(ALL), len(OF_ONE_SERVER), len(CHOSEN)) == (416, 352, 333)
    assert len(CHOSEN) + left_out.total() == len(OF_ONE_SERVER)
    assert all(len(case.results) >= len(case.commands) > 0 for case in CHOSEN)


@pytest.fixture
def client(subject: Server) -> Iterator[redis.Redis]:
    """Replies as they come: the cases were noted without redis-py's conversions."""
    client = redis.Redis(host=subject.host, port=subject.port, protocol=2, decode_responses=True)
    client.response_callbacks.clear()
    with client:
        yield client
    assert subject.control().do("PING").value == b"PONG"


def _version(server: Server) -> tuple[int, ...]:
    text = server.control().do("INFO", "server").value.decode()
    return version_of(text.partition("redis_version:")[2].split()[0])


def _in_order(reply: Any) -> Any:
    return sorted(map(_in_order, reply), key=repr) if isinstance(reply, list) else reply


@pytest.mark.parametrize("case", CHOSEN, ids=[f"{i}-{case}" for i, case in enumerate(CHOSEN)])
def test_public_case(case: PublicCase, subject: Server, client: redis.Redis) -> None:
    if subject.is_redis and case.since > _version(subject):
        pytest.skip("newer than the redis-server that is installed")
    for command, wanted in zip(case.commands, case.results, strict=False):
        reply = client.execute_command(*command)
        if case.is_sorted:
            reply, wanted = _in_order(reply), _in_order(wanted)
        assert reply == wanted, shlex.join(map(str, command))
