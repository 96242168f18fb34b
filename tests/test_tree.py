"""The rules that the tree keeps: layers, sizes, header contracts, words, links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
CSRC = REPOSITORY / "csrc"

# A file includes its own folder and lower numbers; equal numbers do not see each other.
LAYERS = {
    "base": 0,
    "plat": 1,
    "ring": 1,
    "resp": 1,
    "store": 1,
    "io": 2,
    "aof": 2,
    "rdb": 2,
    "cmd": 3,
    "shard": 4,
    "script": 5,
    "server": 6,
    "py": 7,
}
# What the numbers alone would allow: handlers do no I/O and write no log.
UNSEEN = {"cmd": {"io", "aof"}}
# What the numbers alone would forbid: the baton sleeps on plat's futex and reads its clock. (resp/
# and store/ are pure and see no platform, so plat/ keeps their number.)
SEEN_BESIDE = {"ring": {"plat"}}
# The server has one C interface.
SEEN_BY_PY = ("server/kevyrt.h", "base/", "py/")

MAX_FUNCTION_LINES = 70
MAX_FILE_LINES = 900
MIN_CONTRACT_CHARACTERS = 30
# Longer than the limit, each with the reason: one switch whose cases are a table.
LONG_FUNCTIONS: dict[str, str] = {}

PLATFORM = re.compile(
    r"\b(?:__linux__|__linux|linux|__unix__|__x86_64__|__i386__|__aarch64__|__arm\w*__|__APPLE__"
    r"|__MACH__|_WIN32|__FreeBSD__|__ANDROID__|__SSE\d?\w*__|__AVX\w*__|__ARM_\w+)\b"
)
FORBIDDEN = {
    "an unfinished thing": re.compile(r"\b(?:TODO|FIXME|XXX)\b"),
    "a work item": re.compile(
        r"\b(?:issue|work item|milestone)s?\s+#?\d|(?<![\w&/])#\d{1,3}\b(?!\w)", re.IGNORECASE
    ),
    "a path of one machine": re.compile(r"(?<![\w.$}])/(?:work|root|home)/\w|(?<![\w.])/tmp/k\b"),
}
TEXT_SUFFIXES = {".c", ".h", ".inc", ".py", ".pyi", ".md", ".toml", ".sh", ".in", ".txt", ".cfg"}
TEXT_NAMES = {"Makefile", "run", "test"}
NOT_OURS = {".git", ".venv", "build", "dist", "corpus", "__pycache__", ".hypothesis"}


class Include(NamedTuple):
    file: Path
    line: int
    target: str
    quoted: bool

    def __str__(self) -> str:
        return f"{self.file.relative_to(REPOSITORY)}:{self.line} includes {self.target}"


class Function(NamedTuple):
    file: Path
    name: str
    lines: int


def c_files() -> list[Path]:
    return sorted([*CSRC.rglob("*.c"), *CSRC.rglob("*.h")])


def text_files() -> Iterator[Path]:
    """What somebody wrote, this file excepted, which has to name what it forbids."""
    for path in sorted(REPOSITORY.rglob("*")):
        inside = path.relative_to(REPOSITORY)
        if NOT_OURS & set(inside.parts) or not path.is_file() or path == Path(__file__).resolve():
            continue
        if path.suffix in TEXT_SUFFIXES or inside.as_posix() in TEXT_NAMES:
            yield path


def folder_of(path: Path) -> str:
    return path.relative_to(CSRC).parts[0]


def includes() -> list[Include]:
    pattern = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]')
    found = []
    for path in c_files():
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if match := pattern.match(line):
                found.append(Include(path, number, match[2], match[1] == '"'))
    return found


def without_comments(text: str) -> str:
    """C with comments and the insides of literals blanked; every line stays where it is."""
    token = re.compile(r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.DOTALL)

    def blank(match: re.Match[str]) -> str:
        kept = re.sub(r"[^\n]", " ", match[0])
        return kept if match[0][0] == "/" else f'"{kept[2:]}"'

    return token.sub(blank, text)


def without_directives(text: str) -> str:
    directive = re.compile(r"^[ \t]*#(?:[^\n\\]|\\.|\\\n)*", re.MULTILINE | re.DOTALL)
    return directive.sub(lambda match: "\n" * match[0].count("\n"), text)


def functions_of(path: Path) -> Iterator[Function]:
    """Definitions at file scope: a `{` behind a `)`, from the declaration's start to its `}`."""
    text = without_directives(without_comments(path.read_text()))
    depth = 0
    start = 0
    name = ""
    for match in re.finditer(r"[{};]", text):
        if match[0] == "{":
            head = text[start : match.start()].strip()
            if depth == 0 and head.endswith(")"):
                called = re.match(r"[^(]*?(\w+)\s*\(", head, re.DOTALL)
                name = called[1] if called else head
            depth += 1
        elif match[0] == "}":
            depth -= 1
        if depth == 0 and match[0] != "{":
            if name:
                body = text[start : match.end()].strip()
                yield Function(path, name, body.count("\n") + 1)
            start, name = match.end(), ""


# ---- Layers --------------------------------------------------------------------------------------


def test_every_folder_has_a_layer() -> None:
    assert {folder_of(path) for path in c_files()} <= set(LAYERS)


def test_includes_are_written_from_csrc() -> None:
    unresolved = [str(i) for i in includes() if i.quoted and not (CSRC / i.target).is_file()]
    assert not unresolved, "\n".join(unresolved)


def layer_error(include: Include) -> bool:
    own, target = folder_of(include.file), include.target.partition("/")[0]
    if own == target or target in SEEN_BESIDE.get(own, ()):
        return False
    if own == "py":
        return not include.target.startswith(SEEN_BY_PY)
    return target in UNSEEN.get(own, ()) or LAYERS[target] >= LAYERS[own]


def test_layers() -> None:
    ours = [i for i in includes() if i.quoted]
    assert ours, "no include found"
    wrong = [str(i) for i in ours if i.target.partition("/")[0] in LAYERS and layer_error(i)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("file", "target", "wrong"),
    [
        ("base/bytes.c", "plat/clock.h", True),
        ("store/table.c", "base/hash.h", False),
        ("store/table.c", "ring/baton.h", True),
        ("store/table.c", "plat/clock.h", True),
        ("ring/baton.c", "plat/futex.h", False),
        ("plat/futex.c", "ring/baton.h", True),
        ("cmd/strings.c", "store/table.h", False),
        ("cmd/strings.c", "io/reactor.h", True),
        ("cmd/strings.c", "aof/chunk.h", True),
        ("shard/loop.c", "cmd/table.h", False),
        ("py/module.c", "server/kevyrt.h", False),
        ("py/module.c", "server/config.h", True),
        ("py/module.c", "shard/shard.h", True),
    ],
)
def test_the_layer_rule_itself(file: str, target: str, wrong: bool) -> None:
    assert layer_error(Include(CSRC / file, 1, target, quoted=True)) is wrong


def test_python_is_seen_in_py_only() -> None:
    headers = ("Python.h", "structmember.h", "cpython/")
    elsewhere = [i for i in includes() if folder_of(i.file) != "py"]
    wrong = [str(i) for i in elsewhere if i.target.startswith(headers)]
    assert not wrong, "\n".join(wrong)


def test_liburing_is_seen_in_io_only() -> None:
    wrong = [str(i) for i in includes() if "liburing" in i.target and folder_of(i.file) != "io"]
    assert not wrong, "\n".join(wrong)


def test_platform_conditions_are_in_plat_only() -> None:
    condition = re.compile(r"^\s*#\s*(?:if|ifdef|ifndef|elif)\b(.*)")
    wrong = []
    for path in c_files():
        for number, line in enumerate(without_comments(path.read_text()).splitlines(), 1):
            match = condition.match(line)
            if not match:
                continue
            platform = PLATFORM.search(match[1]) and folder_of(path) != "plat"
            uring = "KRT_HAVE_URING" in match[1] and folder_of(path) != "io"
            if platform or uring:
                wrong.append(f"{path.relative_to(REPOSITORY)}:{number}: {line.strip()}")
    assert not wrong, "\n".join(wrong)


def test_errno_is_read_in_plat_only() -> None:
    """Above plat/ an operating error is a return value; the names of its values are no secret."""
    wrong = []
    for path in c_files():
        text = without_directives(without_comments(path.read_text()))
        for number, line in enumerate(text.splitlines(), 1):
            if re.search(r"\berrno\b", line) and folder_of(path) != "plat":
                wrong.append(f"{path.relative_to(REPOSITORY)}:{number}: {line.strip()}")
    assert not wrong, "\n".join(wrong)


# ---- Sizes and contracts -------------------------------------------------------------------------


def test_no_function_is_too_long() -> None:
    functions = [function for path in c_files() for function in functions_of(path)]
    assert functions, "no function found"
    long = {f.name: f for f in functions if f.lines > MAX_FUNCTION_LINES}
    wrong = [
        f"{f.file.relative_to(REPOSITORY)}: {f.name} has {f.lines} lines" for f in long.values()
    ]
    assert set(long) == set(LONG_FUNCTIONS), "\n".join(wrong)


def test_functions_are_found(tmp_path: Path) -> None:
    source = tmp_path / "x.c"
    source.write_text(
        "#define BODY(x) \\\n    do { x; } while (0)\n"
        "struct s { int a; };\n"
        "static const int table[] = {1, 2};\n"
        "/* a { in a comment */\n"
        "static int one(int a,\n               int b) {\n"
        "    if (a) { return '{'; }\n    return b;\n}\n"
        'void two(void) {\n    puts("}");\n}\n'
    )
    found = [(function.name, function.lines) for function in functions_of(source)]
    assert found == [("one", 5), ("two", 3)]


def test_no_file_is_too_long() -> None:
    files = [*c_files(), *(p for p in text_files() if p.suffix == ".py")]
    assert files
    sizes = {path: len(path.read_text().splitlines()) for path in files}
    long = {str(path): lines for path, lines in sizes.items() if lines > MAX_FILE_LINES}
    assert not long


def test_every_header_starts_with_its_contract() -> None:
    headers = sorted(CSRC.rglob("*.h"))
    assert headers
    wrong = []
    for path in headers:
        contract = re.match(r"/\*(.*?)\*/", path.read_text(), re.DOTALL)
        if not contract or len(contract[1].strip()) < MIN_CONTRACT_CHARACTERS:
            wrong.append(str(path.relative_to(REPOSITORY)))
    assert not wrong, f"without a contract: {wrong}"


def test_every_header_is_included_once() -> None:
    wrong = [str(p) for p in CSRC.rglob("*.h") if "\n#pragma once\n" not in p.read_text()]
    assert not wrong


# ---- Words and links -----------------------------------------------------------------------------


def test_forbidden_words() -> None:
    files = list(text_files())
    assert files
    wrong = []
    for path in files:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            for what, pattern in FORBIDDEN.items():
                if pattern.search(line):
                    wrong.append(f"{path.relative_to(REPOSITORY)}:{number}: {what}: {line.strip()}")
    assert not wrong, "\n".join(wrong)


def pages() -> list[Path]:
    return [path for path in text_files() if path.suffix == ".md"]


def links_of(page: Path) -> list[Path]:
    """Where the relative links of a page lead, without their fragments."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    local = [target.partition("#")[0] for target in targets if not re.match(r"\w+:", target)]
    return [(page.parent / target).resolve() for target in local if target]


def test_relative_links_resolve() -> None:
    assert pages()
    wrong = [
        f"{page.relative_to(REPOSITORY)} -> {target}"
        for page in pages()
        for target in links_of(page)
        if not target.exists()
    ]
    assert not wrong, "\n".join(wrong)


def test_every_page_of_docs_is_linked() -> None:
    linked = {target for page in pages() for target in links_of(page) if target != page}
    docs = sorted((REPOSITORY / "docs").rglob("*.md"))
    assert docs
    assert [str(page.relative_to(REPOSITORY)) for page in docs if page not in linked] == []
