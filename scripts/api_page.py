"""Writes docs/API.md from the docstrings, the signatures and the table of methods.

python scripts/api_page.py            writes the page
python scripts/api_page.py --check    fails if the page is not what it would write
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import kevyrt  # noqa: E402
from kevyrt import pytest_plugin  # noqa: E402

PAGE = ROOT / "docs" / "API.md"
STUB = ROOT / "kevyrt" / "_core.pyi"
TABLE = ROOT / "csrc" / "py" / "faces" / "methods.def"

HEAD = """\
# API reference

Written by `scripts/api_page.py` from docstrings, signatures and the table of methods; do not edit.
Pages by use: [Python](PYTHON.md), [cache](CACHE.md), [tests](TESTS.md), [server](SERVER.md),
[notebook](NOTEBOOK.md).

`Key` and `Value` are `str` (sent as UTF-8), `bytes`, `int`, `float`, or anything with a buffer;
`Keys` are one of them or any iterable of them. A `Duration` is an `int` or a `timedelta`, a `Time`
an `int` or a `datetime`; `help()` has their units (`Seconds`, `Milliseconds`, `UnixSeconds`,
`UnixMilliseconds`). Where a result says `bytes`, it is `str` with `decode_responses=True`.
"""

COMMANDS = """\
## Commands

Methods with redis-py's names, parameters and results. `Server` has them (for its database 0), and
so have `Database` and `Session`; those of a `Pipeline` queue, those of `Aio` give awaitables. All
raise `ResponseError` (or the subclass of its code) for an error reply, `ServerStopped`,
`ForkedError`, `TypeError` for arguments that cannot be sent, `MemoryError` (nothing was changed).
"""

# The families in the order of the page: groups of Redis's command table.
FAMILIES = {
    "GENERIC": "Keys",
    "STRING": "Strings",
    "BITMAP": "Bitmaps",
    "HASH": "Hashes",
    "LIST": "Lists",
    "SET": "Sets",
    "SORTED_SET": "Sorted sets",
    "STREAM": "Streams",
    "GEO": "Positions",
    "HYPERLOGLOG": "HyperLogLogs",
    "PUBSUB": "Channels",
    "TRANSACTIONS": "Transactions",
    "CONNECTION": "Connections",
    "SERVER": "Server",
    "SCRIPTING": "Scripts",
    "CLUSTER": "Cluster",
    "SENTINEL": "Sentinel",
}
# Methods of the mixins whose name is not their command's.
ITERATORS = {"scan": "GENERIC", "hscan": "HASH", "sscan": "SET", "zscan": "SORTED_SET"}
MIXINS = {
    "bitmaps": "BITMAP",
    "clients": "CONNECTION",
    "hashes": "HASH",
    "keys": "GENERIC",
    "server": "SERVER",
    "streams": "STREAM",
}
WORDS = {
    "_Arguments": "Keys",
    "_Argument": "Value",
    "_Duration": "Duration",
    "_Time": "Time",
    "_Source": "Snapshot | bytes | path",
    "builtins.": "",
    "collections.abc.": "",
    "typing.": "",
    "datetime.": "",
}


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---- Signatures ----------------------------------------------------------------------------------


def plain(text: str) -> str:
    text = re.sub(r"<object object at \w+>", "...", text)
    text = re.sub(r"\b_(?:core|stats|watch|settings|latency)\.|\b_(?=Server\b)", "", text)
    for word, meaning in WORDS.items():
        text = re.sub(rf"(?<![\w.]){re.escape(word)}", meaning, text)
    return text


def stub_signatures() -> dict[str, str]:
    """Of each method of the table, by name: parameters and result as the stub has them."""
    found: dict[str, str] = {}
    for node in ast.parse(STUB.read_text()).body:
        if isinstance(node, ast.ClassDef) and node.name == "_Methods":
            for item in node.body:
                if isinstance(item, ast.FunctionDef) and item.name not in found:
                    item.args.args = item.args.args[1:]
                    result = ast.unparse(item.returns) if item.returns else "Any"
                    arguments = ast.unparse(item.args)
                    found[item.name] = plain(f"({arguments}) -> {result}")
    return found


def signature(function: Any) -> str:
    """As it is called: without self, without the quotes of annotations."""
    try:
        found = inspect.signature(function)
    except (TypeError, ValueError):
        return "(...)"
    parameters = [p for p in found.parameters.values() if p.name != "self"]
    text = str(found.replace(parameters=parameters)).replace("'", "").replace("(/, ", "(")
    return plain(re.sub(r"\(/\)", "()", text))


# ---- Docstrings ----------------------------------------------------------------------------------


def document(text: str | None) -> str:
    """A docstring in Markdown: sections become lists, examples become code."""
    lines = inspect.cleandoc(text or "").splitlines()
    if lines and re.fullmatch(r"\w+\(.*\)(?: -> .*)?", lines[0]):
        lines = lines[1:]
    out: list[str] = []
    section = example = False
    for line in [*lines, ""]:
        starts = line.startswith((">>> ", "... "))
        if example and not line:
            out += ["```", ""]
            example = False
        elif example:
            out.append(line)
        elif starts:
            out += ["", "```pycon", line]
            example = True
        elif re.fullmatch(r"(?:Args|Returns|Raises|Yields|Attributes):", line):
            out += [f"*{line[:-1]}*", ""]
            section = True
        elif section and re.match(r" {4}\S", line):
            out.append(f"- {item(line.strip())}")
        elif section and line.startswith("        "):
            out.append(f"  {line.strip()}")
        else:
            section = section and not line
            out.append(line)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(out)).strip() + "\n"


def item(text: str) -> str:
    """`name: what it is` with the name as code."""
    found = re.match(r"(\*{0,2}[\w, ]+)(: .*)", text)
    return f"`{found[1]}`{found[2]}" if found else text


def summary(text: str | None) -> str:
    """The first paragraph on one line."""
    lines = inspect.cleandoc(text or "").partition("\n\n")[0]
    return " ".join(lines.split())


# ---- Commands ------------------------------------------------------------------------------------


def table_words() -> dict[str, str]:
    """Of each method of the table, the first word that it sends."""
    row = re.compile(r'^METHOD\((\w+),\s*(?:"[^"]*"\s*)+,\s*"([^ "]+)', re.MULTILINE)
    return {match[1]: match[2].lower() for match in row.finditer(TABLE.read_text())}


def groups() -> dict[str, str]:
    """Of each command, by its first word."""
    found: dict[str, str] = {}
    rows = load(ROOT / "scripts" / "compatibility_page.py")
    for match in rows.ROW.finditer(rows.DEFINITIONS.read_text()):
        name = (match["name"] or match["container"]).lower()
        found.setdefault(name, match["group"].upper())
    return found


def family(name: str, words: dict[str, str], known: dict[str, str]) -> str | None:
    """None: it is no command's method."""
    function = inspect.getattr_static(kevyrt.Server, name)
    if name in words:
        return known.get(words[name], "GENERIC")
    module = getattr(function, "__module__", None) or ""
    if not module.startswith("kevyrt.commands."):
        return None
    if name.endswith("_iter"):
        return ITERATORS[name.removesuffix("_iter")]
    first = name.partition("_")[0]
    return known.get(name) or known.get(first) or MIXINS.get(module.rpartition(".")[2], "GENERIC")


def command_families() -> dict[str, list[str]]:
    words, known = table_words(), groups()
    found: dict[str, list[str]] = {group: [] for group in FAMILIES}
    for name in sorted(name for name in dir(kevyrt.Server) if name[0] != "_"):
        group = family(name, words, known)
        if group is not None:
            found.setdefault(group, []).append(name)
    return found


def commands() -> Iterator[str]:
    signatures = stub_signatures()
    yield COMMANDS
    for group, names in command_families().items():
        if not names:
            continue
        yield f"### {FAMILIES.get(group, group.title())}\n"
        for name in names:
            function = getattr(kevyrt.Server, name)
            shown = signatures.get(name) or signature(function)
            yield f"- `{name}{shown}`<br>{summary(function.__doc__)}"
        yield ""


# ---- Classes -------------------------------------------------------------------------------------


def own_members(owner: type, hidden: set[str]) -> Iterator[tuple[str, Any]]:
    """Of the class and of its base in C, what is public and no command."""
    names: dict[str, Any] = {}
    for kind in owner.__mro__:
        module = kind.__module__
        if module.startswith(("kevyrt", "_core")) and not issubclass(kind, Exception):
            for name, value in vars(kind).items():
                if name[0] != "_" and name not in hidden:
                    names.setdefault(name, value)
    yield from sorted(names.items())


def vars_of_server() -> dict[str, Any]:
    return {
        name: value
        for kind in reversed(kevyrt.Server.__mro__)
        for name, value in vars(kind).items()
    }


def member(name: str, value: Any, owner: type) -> Iterator[str]:
    function = getattr(owner, name, None)
    if isinstance(value, property) or inspect.isdatadescriptor(value):
        if not value.__doc__ or re.match(r"Alias for field", value.__doc__):
            return
        yield f"#### `{owner.__name__}.{name}`\n"
    elif callable(function):
        yield f"#### `{owner.__name__}.{name}{signature(function)}`\n"
    else:
        return
    yield document(value.__doc__ if isinstance(value, property) else function.__doc__)


def fields(owner: Any) -> Iterator[str]:
    """Of a dataclass or a named tuple, with the types."""
    types = {name: str(kind) for name, kind in vars(owner).get("__annotations__", {}).items()}
    if types:
        yield "| field | type |\n| --- | --- |"
        for name, kind in types.items():
            if name[0] != "_":
                kind = plain(kind.strip("'")).replace("|", "\\|")
                yield f"| `{name}` | `{kind}` |"
        yield ""


def classes() -> Iterator[str]:
    hidden = {name for names in command_families().values() for name in names}
    first = ("Server", "Database", "Session", "Pipeline", "Aio", "Clock", "Faults")
    public = [name for name in kevyrt.__all__ if isinstance(getattr(kevyrt, name), type)]
    names = [n for n in public if not issubclass(getattr(kevyrt, n), Exception)]
    yield "## Classes\n"
    for name in [*first, *(name for name in names if name not in first)]:
        owner = getattr(kevyrt, name)
        yield f"### {name}\n"
        yield document(owner.__doc__)
        if owner.__module__ != "kevyrt.server":
            yield from fields(owner)
        shared = []
        for member_name, value in own_members(owner, hidden):
            if owner is not kevyrt.Server and value is vars_of_server().get(member_name):
                shared.append(f"`{member_name}`")
            else:
                yield from member(member_name, value, owner)
        if shared:
            yield f"As `Server` has them: {', '.join(shared)}.\n"


def functions() -> Iterator[str]:
    yield "## Functions\n"
    for name in kevyrt.__all__:
        value = getattr(kevyrt, name)
        if inspect.isfunction(value):
            yield f"### `kevyrt.{name}{signature(value)}`\n"
            yield document(value.__doc__)


def exceptions() -> Iterator[str]:
    yield "## Exceptions\n"
    yield "| exception | base | code | when |\n| --- | --- | --- | --- |"
    for name in kevyrt.__all__:
        value = getattr(kevyrt, name)
        if isinstance(value, type) and issubclass(value, Exception):
            code = vars(value).get("code")
            code = f"`{code}`" if isinstance(code, str) else ""
            bases = ", ".join(f"`{base.__name__}`" for base in value.__bases__)
            yield f"| `{name}` | {bases} | {code} | {summary(value.__doc__)} |"
    yield ""


def plugin() -> Iterator[str]:
    yield "## Fixtures for pytest\n"
    yield document(pytest_plugin.__doc__)
    yield "### Factories\n"
    yield document(pytest_plugin.factories.__doc__)
    for name, value in vars(pytest_plugin.factories).items():
        if name[0] != "_" and isinstance(value, staticmethod):
            yield f"#### `factories.{name}{signature(value.__func__)}`\n"
            yield document(value.__doc__)


def page() -> str:
    parts = [HEAD, *functions(), *classes(), *commands(), *exceptions(), *plugin()]
    text = "\n".join(f"{part}\n" if part.endswith("\n") else part for part in parts)
    text = re.sub(r"(#+ .*)\n(?!\n)", r"\1\n\n", text)
    return re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n"


def main(words: list[str]) -> int:
    if words == ["--check"]:
        current = PAGE.exists() and PAGE.read_text() == page()
        if not current:
            print("docs/API.md is stale: run python scripts/api_page.py")
        return 0 if current else 1
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
