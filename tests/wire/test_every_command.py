"""Every row of the command table: what works has its test; the rest is unknown or refused."""

from __future__ import annotations

import csv
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from harness.definitions import parse_definitions
from harness.process import Server

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT.parent / "shared" / "compat" / "commands.tsv"


def _load_script() -> ModuleType:
    path = ROOT / "scripts" / "compatibility_page.py"
    spec = importlib.util.spec_from_file_location("compatibility_page", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


compatibility_page = _load_script()
STATES = {name: state for name, _, _, state in compatibility_page.rows()}
ARITIES = {row.name: row.arity for row in parse_definitions()}


def _too_many_or_few(name: str) -> list[str] | None:
    """A call with a wrong number of arguments; None where every number is right."""
    words, arity = name.split(), ARITIES[name]
    if arity > 0:
        return words + ["x"] * (arity - len(words) + 1)
    return words + ["x"] * (-arity - 1 - len(words)) if -arity > len(words) else None


def _enough(name: str) -> list[str]:
    words = name.split()
    return words + ["1"] * (abs(ARITIES[name]) - len(words))


def test_the_page_is_what_the_table_says() -> None:
    page = compatibility_page.PAGE.read_text()
    assert page == compatibility_page.page(), "python scripts/compatibility_page.py"


def test_known_and_unknown(ours: Server) -> None:
    with ours.connect() as connection:
        for name, state in STATES.items():
            if state == "not yet":
                error = connection.do(*_enough(name)).value.decode()
                assert re.match(r"ERR unknown (sub)?command", error), name
            elif call := _too_many_or_few(name):
                error = connection.do(*call).value.decode()
                full_name = name.lower().replace(" ", "|")
                prefix = "EXECABORT Transaction discarded because of:" if name == "EXEC" else "ERR"
                assert error == f"{prefix} wrong number of arguments for '{full_name}' command"


def test_refused_rows_reply_one_error(ours: Server) -> None:
    refused = [name for name, state in STATES.items() if state == "refused"]
    assert len(refused) > 30
    with ours.connect() as connection:
        for name in refused:
            reply = connection.do(*_enough(name))
            assert reply.kind == "error" and b"unknown" not in reply.value, name


def test_every_command_that_works_has_a_test() -> None:
    sources = (ROOT / "tests").rglob("test_*.py")
    text = " ".join(
        re.sub(r"[^A-Z0-9_-]+", " ", source.read_text().upper())
        for source in sources
        if source.name != Path(__file__).name
    )
    untested = [name for name, state in STATES.items() if state == "works" and name not in text]
    assert not untested


# Skipped before there is a server, of which every test has to read something.
@pytest.mark.skipif(
    not REFERENCE.exists(), reason="the reference list of commands is not beside this checkout"
)
def test_absent_commands_are_unknown(ours: Server) -> None:
    with REFERENCE.open(newline="") as lines:
        absent = [
            (row["command"].split(), abs(int(row["arity"])))
            for row in csv.DictReader(lines, delimiter="\t")
            if row["owner"] == "absent"
        ]
    assert len(absent) > 20
    with ours.connect() as connection:
        for words, count in absent:
            error = connection.do(*words, *["x"] * (count - len(words))).value
            assert error.startswith((b"ERR unknown command", b"ERR unknown subcommand")), words
