"""What the pages under docs/ name is there: files, functions, fields, links."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = sorted([*(REPOSITORY / "docs").glob("*.md"), REPOSITORY / "README.md"])
DESIGN_PAGES = ("ARCHITECTURE", "CONCURRENCY", "HACKING", "STORE")


@cache
def sources() -> str:
    files = [*REPOSITORY.glob("csrc/**/*.[ch]"), *REPOSITORY.glob("csrc/**/*.def")]
    files += [*REPOSITORY.glob("kevyrt/*.py"), *REPOSITORY.glob("tests/harness/*.py")]
    return "\n".join(path.read_text() for path in files)


def code_spans(page: Path) -> list[str]:
    text = re.sub(r"^( *)```.*?^\1```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"`([^`\n]+)`", text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page: Path) -> None:
    folders = "csrc|kevyrt|tests|docs|benchmarks|scripts|examples"
    missing = [
        span
        for span in code_spans(page)
        if re.fullmatch(rf"(?:{folders})/[\w./-]*", span) and not (REPOSITORY / span).exists()
    ]
    assert not missing


@pytest.mark.parametrize("name", DESIGN_PAGES)
def test_names_of_the_code_exist(name: str) -> None:
    """Words with an underscore are names of functions, fields and constants."""
    page = REPOSITORY / "docs" / f"{name}.md"
    names = set()
    for span in code_spans(page):
        if re.fullmatch(r"(?:struct |enum )?[\w.]+(?:\[\])?(?:\(\))?", span):
            names |= {part for part in re.findall(r"\w+", span) if "_" in part}
    assert names, "the page names nothing, so this checks nothing"
    missing = {n for n in names if not re.search(rf"\b{n}\b", sources())}
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_resolve(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#\s]+)[^)]*\)", page.read_text())
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing


def test_every_shared_field_has_a_row() -> None:
    """A field of an atomic type that CONCURRENCY.md does not name: nobody has thought about it."""
    page = (REPOSITORY / "docs" / "CONCURRENCY.md").read_text()
    fields = set()
    for path in REPOSITORY.glob("csrc/**/*.h"):
        if path.name == "atomic.h":
            continue
        fields_of = re.compile(r"^\s+atomic_u(?:8|16|32|64)\s+([^;(]+);", re.MULTILINE)
        for declared in fields_of.findall(path.read_text()):
            fields |= set(re.findall(r"\b[a-z]\w*", re.sub(r"\[.*?\]|KRT_\w+", "", declared)))
    assert len(fields) > 10
    missing = {field for field in fields if not re.search(rf"\b{field}\b", page)}
    assert not missing


def test_every_lock_has_a_row() -> None:
    page = (REPOSITORY / "docs" / "CONCURRENCY.md").read_text()
    locks = set(re.findall(r"pthread_mutex_t\s+(\w+)", sources()))
    assert locks
    assert not {lock for lock in locks if not re.search(rf"\b{lock}\b", page)}
