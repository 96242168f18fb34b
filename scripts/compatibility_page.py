"""Writes docs/COMPATIBILITY.md from the command table, its handlers, and the known differences.

python scripts/compatibility_page.py            writes the page
python scripts/compatibility_page.py --check    fails if the page is not what it would write
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
DEFINITIONS = ROOT / "csrc" / "cmd" / "commands.def"
DIFFERENCES = ROOT / "tests" / "oracle" / "differences.toml"
PAGE = ROOT / "docs" / "COMPATIBILITY.md"

HEAD = """\
# Compatibility

Written by `scripts/compatibility_page.py` from `csrc/cmd/commands.def`, the handlers that are
bound to it, and `tests/oracle/differences.toml`; do not edit.

The target is Redis 7.4. Every command that works is tested against a running redis-server 7.0,
replies compared exactly; where 7.4 answers otherwise than 7.0, the last table says so, and 7.4 is
followed.

- **works**: every option, as Redis.
- **not yet**: an unknown command, for now.
- **refused**: known, and always one error in Redis's words, because a single server has no such
  thing: cluster, replication, modules.

What has no row here (ACL users and rules, Sentinel, modules' own commands) is an unknown command.
"""

ROW = re.compile(
    r'^(?:SUBCOMMAND\("(?P<container>[^"]+)", +"(?P<sub>[^"]+)"|COMMAND\("(?P<name>[^"]+)"),'
    r'\s*(?P<arity>-?\d+),\s*"(?P<since>[^"]+)",\s*(?P<owner>\w+),\s*(?P<group>\w+)',
    re.MULTILINE,
)
BOUND = re.compile(r'command_bind(?:_[a-z]+)*\(\s*"([^"]+)"')


def bound_names() -> set[str]:
    sources = (ROOT / "csrc").rglob("*.c")
    return {name for source in sources for name in BOUND.findall(source.read_text())}


def rows() -> Iterator[tuple[str, str, str, str]]:
    """Name, group, version and state of every command; a container stands with its subcommands."""
    text = DEFINITIONS.read_text()
    containers = {match["container"] for match in ROW.finditer(text)}
    bound = bound_names()
    for match in ROW.finditer(text):
        name = match["name"] or f"{match['container']}|{match['sub']}"
        if name in containers and name not in bound:
            continue
        state = "works" if name in bound else "not yet"
        if match["owner"] == "REFUSED":
            state = "refused"
        group = match["group"].lower().replace("_", "-")
        yield name.replace("|", " ").upper(), group, match["since"], state


def command_tables() -> Iterator[str]:
    groups: dict[str, list[tuple[str, str, str]]] = {}
    for name, group, since, state in rows():
        groups.setdefault(group, []).append((name, since, state))
    for group, commands in groups.items():
        works = sum(state == "works" for _, _, state in commands)
        yield f"\n## {group}: {works} of {len(commands)}\n\n"
        yield "| command | since | |\n| --- | --- | --- |\n"
        for name, since, state in sorted(commands):
            yield f"| {name} | {since} | {state} |\n"


def differences() -> Iterator[str]:
    yield "\n## Where 7.4 differs from 7.0\n\n| command | what | source |\n| --- | --- | --- |\n"
    listed = tomllib.loads(DIFFERENCES.read_text())["difference"]
    for command, what, source in sorted({(d["command"], d["what"], d["source"]) for d in listed}):
        yield f"| {command} | {what} | {source} |\n"


def page() -> str:
    return HEAD + "".join(command_tables()) + "".join(differences())


def main() -> int:
    if sys.argv[1:] == ["--check"]:
        return 0 if PAGE.read_text() == page() else 1
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
