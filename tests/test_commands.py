"""The command table against the list of Redis's commands: every row there, and no other."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from harness.definitions import DEFINITIONS, Row, parse_definitions

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT.parent / "shared" / "compat" / "commands.tsv"


def reference_row(fields: dict[str, str]) -> Row:
    return Row(
        name=fields["command"],
        arity=int(fields["arity"]),
        since=fields["since"],
        owner=fields["owner"],
        group=fields["group"],
        flags=frozenset(fields["flags"].split()),
    )


@pytest.fixture(scope="module")
def table() -> dict[str, Row]:
    rows = list(parse_definitions())
    table = {row.name: row for row in rows}
    assert len(table) == len(rows), "a command has two rows"
    return table


@pytest.fixture(scope="module")
def reference() -> dict[str, Row]:
    if not REFERENCE.exists():
        pytest.skip("the reference list of commands is not beside this checkout")
    with REFERENCE.open(newline="") as lines:
        rows = [reference_row(fields) for fields in csv.DictReader(lines, delimiter="\t")]
    assert len(rows) > 350, "the reference list is cut short"
    return {row.name: row for row in rows}


def test_every_known_command_has_its_row(table: dict[str, Row], reference: dict[str, Row]) -> None:
    known = {name: row for name, row in reference.items() if row.owner != "absent"}
    missing = sorted(known.keys() - table.keys())
    assert not missing
    different = [(known[name], table[name]) for name in known if known[name] != table[name]]
    assert not different


def test_no_other_command_has_a_row(table: dict[str, Row], reference: dict[str, Row]) -> None:
    known = {name for name, row in reference.items() if row.owner != "absent"}
    assert not sorted(table.keys() - known)


def test_every_row_of_the_file_is_parsed(table: dict[str, Row]) -> None:
    text = DEFINITIONS.read_text()
    assert len(table) == len(re.findall(r'^(?:SUB)?COMMAND\("', text, flags=re.MULTILINE)) > 350


def test_subcommands_stand_behind_their_container(table: dict[str, Row]) -> None:
    container = ""
    for name in table:
        first, _, subcommand = name.partition(" ")
        if subcommand:
            assert first == container, f"{name} stands under {container}"
        container = first


def test_a_command_does_not_both_read_and_write(table: dict[str, Row]) -> None:
    both = [row.name for row in table.values() if {"READONLY", "WRITE"} <= row.flags]
    assert not both
