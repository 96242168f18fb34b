"""The rows of csrc/cmd/commands.def, read as text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DEFINITIONS = Path(__file__).resolve().parents[2] / "csrc" / "cmd" / "commands.def"

ROW_START = re.compile(r"^(SUBCOMMAND|COMMAND)\(", re.MULTILINE)
DERIVED_FLAGS = {"MOVABLE_KEYS"}  # computed from the key specs in Redis, absent from its sources


@dataclass(frozen=True)
class Row:
    name: str
    arity: int
    since: str
    owner: str
    group: str
    flags: frozenset[str]


def _arguments_of(text: str, start: int) -> list[str]:
    """The top-level arguments of the macro call whose first argument begins at `start`."""
    arguments = [""]
    depth = 0
    quoted = False
    for character in text[start:]:
        quoted ^= character == '"'
        if not quoted and character == ")" and depth == 0:
            return [" ".join(argument.split()) for argument in arguments]
        if not quoted and character == "," and depth == 0:
            arguments.append("")
            continue
        if not quoted:
            depth += {"(": 1, ")": -1}.get(character, 0)
        arguments[-1] += character
    raise AssertionError("a row of commands.def does not end")


def _parse_row(kind: str, arguments: list[str]) -> Row:
    name = arguments.pop(0).strip('"')
    if kind == "SUBCOMMAND":
        name += " " + arguments.pop(0).strip('"')
    arity, since, owner, group, flags = arguments[:5]
    return Row(
        name=name.upper(),
        arity=int(arity),
        since=since.strip('"'),
        owner=owner.lower(),
        group=group.lower(),
        flags=frozenset(re.findall(r"CMD_(\w+)", flags)) - {"NONE"} - DERIVED_FLAGS,
    )


def parse_definitions() -> Iterator[Row]:
    text = re.sub(r"/\*.*?\*/", "", DEFINITIONS.read_text(), flags=re.DOTALL)
    for match in ROW_START.finditer(text):
        yield _parse_row(match[1], _arguments_of(text, match.end()))
