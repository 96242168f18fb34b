"""Writes docs/SETTINGS.md from csrc/server/settings.def.

python scripts/settings_page.py            writes the page
python scripts/settings_page.py --check    fails if the page is not what it would write
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DEFINITIONS = ROOT / "csrc" / "server" / "settings.def"
PAGE = ROOT / "docs" / "SETTINGS.md"

HEAD = """\
# Settings

Written by `scripts/settings_page.py` from `csrc/server/settings.def`; do not edit.

Settings have Redis 7.4's names and forms. They are options of `kevyrt-server` (`--maxclients 100`),
lines of its configuration file, and arguments of `kevyrt.Server` with `_` for `-`
(`maxclients=100`). `CONFIG GET` shows them, and `CONFIG SET` changes those that say so while the
server runs: several at once, all of them or none. Where it says protected,
`enable-protected-configs` must allow it.

- **ours**: takes effect.
- **accepted**: kept and shown; nothing here depends on it.
- **ignored**: a value other than the default is checked, and dropped with a warning in the log.
- **refused**: a value other than the default is an error.

An unknown setting and an impossible value are errors that name the setting.
"""

FORMS = {
    "BIND": "addresses",
    "BOOL": "yes or no",
    "BUFFER_LIMITS": "class, hard, soft, seconds …",
    "RENAMES": "command, new name …",
    "EVENTS": "letters of event classes",
    "MEMORY_OR_PERCENT": "bytes or percent",
    "PERCENTILES": "numbers from 0 to 100",
    "REPLICA": "host and port",
    "SAVE": "seconds and changes …",
    "SCORES": "three integers",
    "STRING": "text",
    "PORT": "0 to 65535, or any",
    "OCTAL": "octal",
}
# Beyond these a bound is the machine's, and says nothing to a reader.
NO_BOUND = {"INT_MIN", "INT_MAX", "UINT_MAX", "LONG_MAX", "LLONG_MAX"}


@dataclass(frozen=True)
class Setting:
    group: str
    name: str
    alias: str
    kind: str
    arguments: tuple[str, ...]
    default: str
    effect: str
    when: str
    note: str


def _text(token: str) -> str:
    return "" if token == "NULL" else token.strip('"').replace('\\"', '"')


_STRING = r'"(?:[^"\\]|\\.)*"'
_ITEM = re.compile(
    r"/\* (?P<group>[A-Z]\w*) \*/|"
    rf"SETTING\(\s*\w+,\s*(?P<name>{_STRING}),\s*(?P<alias>NULL|{_STRING}),\s*"
    rf"(?P<kind>\w+)(?:\((?P<arguments>[^)]*)\))?,\s*(?P<default>{_STRING}),\s*"
    rf"(?P<effect>\w+),\s*(?P<when>\w+),\s*(?P<note>{_STRING})\)"
)


def settings() -> Iterator[Setting]:
    """The rows of settings.def, in its order."""
    group = ""
    for match in _ITEM.finditer(DEFINITIONS.read_text()):
        if match["group"]:
            group = match["group"]
            continue
        arguments = match["arguments"] or ""
        yield Setting(
            group=group,
            name=_text(match["name"]),
            alias=_text(match["alias"]),
            kind=match["kind"],
            arguments=tuple(part.strip() for part in arguments.split(",") if part),
            default=_text(match["default"]),
            effect=match["effect"].lower(),
            when=match["when"].lower(),
            note=_text(match["note"]),
        )


def _form(setting: Setting) -> str:
    if setting.kind in ("ENUM", "FLAGS"):
        words = _text(setting.arguments[0]).split()
        return ("some of " if setting.kind == "FLAGS" else "") + ", ".join(words)
    if setting.kind not in ("INTEGER", "MEMORY"):
        return FORMS[setting.kind]
    low, high = setting.arguments
    unit = "bytes" if setting.kind == "MEMORY" else "integer"
    if low in NO_BOUND:
        return unit
    return f"{unit}, at least {low}" if high in NO_BOUND else f"{unit}, {low} to {high}"


def _row(setting: Setting) -> str:
    name = f"`{setting.name}`" + (f" (`{setting.alias}`)" if setting.alias else "")
    default = f"`{setting.default}`" if setting.default else ""
    at_run_time = {"run": "yes", "start": "", "protected": "protected"}[setting.when]
    cells = (name, _form(setting), default, setting.effect, at_run_time, setting.note)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def page() -> str:
    text = HEAD
    group = ""
    for setting in settings():
        if setting.group != group:
            group = setting.group
            text += f"\n## {group}\n\n| setting | form | default | effect | CONFIG SET | |\n"
            text += "| --- | --- | --- | --- | --- | --- |\n"
        text += _row(setting)
    return text


def main(words: list[str]) -> int:
    if words == ["--check"]:
        current = PAGE.exists() and PAGE.read_text() == page()
        if not current:
            print("docs/SETTINGS.md is stale: run python scripts/settings_page.py")
        return 0 if current else 1
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
