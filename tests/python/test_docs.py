"""The examples of the pages and of the docstrings are run."""

from __future__ import annotations

import doctest
import re
from pathlib import Path
from typing import Any

import pytest
from programs import PYTEST_OPTIONS, Program

import kevyrt

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = ("README.md", "docs/CACHE.md", "docs/PYTHON.md", "docs/SERVER.md", "docs/TESTS.md")
# What the programs of each page print, in their order.
PRINTED = {
    "README.md": [r"b'hello'\n", r"hello b'hello'\n"],
    "docs/PYTHON.md": [
        "",
        r"child ended with 0\n",
        r"the child\n",
        r"INFO:kevyrt:Server started: port \d+, .*\nINFO:kevyrt:Server stopped\n",
    ],
    "docs/CACHE.md": [r"b'42' b'42'\n"],
    "docs/TESTS.md": [r"(?s).*4 passed.*", r"(?s).*2 passed.*", r"(?s).*1 passed.*"],
    "docs/SERVER.md": [
        r"{'text': 'hello'} 1\n",
        r"visit 2\n",
        r"b'data'\n",
        r"3\n",
        r"3\n",
        "",
    ],
}
RUN_TESTS = f"""
if __name__ == "__main__":
    raise SystemExit(pytest.main(["-q", *{PYTEST_OPTIONS}, __file__]))
"""


def blocks(page: str) -> list[str]:
    found = re.findall(r"^```python\n(.*?)^```$", (REPOSITORY / page).read_text(), re.M | re.S)
    assert found, f"{page} has no example"
    return found


def run_examples(text: str, name: str, names: dict[str, Any]) -> int:
    """Runs the interactive examples of a text; returns how many there were."""
    failures: list[str] = []
    test = doctest.DocTestParser().get_doctest(text, names, name, name, 0)
    flags = doctest.IGNORE_EXCEPTION_DETAIL | doctest.ELLIPSIS
    runner = doctest.DocTestRunner(optionflags=flags)
    runner.run(test, out=failures.append, clear_globs=False)
    assert not failures, "".join(failures)
    return len(test.examples)


INTERACTIVE = ("docs/CACHE.md", "docs/PYTHON.md", "docs/TESTS.md", "docs/NOTEBOOK.md")


@pytest.mark.parametrize("page", INTERACTIVE)
def test_interactive_examples(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    text = "\n".join(block for block in blocks(page) if block.startswith(">>>"))
    assert run_examples(text, page, names) > 10
    for value in names.values():
        if isinstance(value, kevyrt.Server):
            value.stop()


@pytest.mark.parametrize("page", PAGES)
def test_programs(page: str, program: Program) -> None:
    programs = [block for block in blocks(page) if not block.startswith(">>>")]
    assert len(programs) == len(PRINTED[page])
    for text, printed in zip(programs, PRINTED[page], strict=True):
        output = program(text + (RUN_TESTS if "def test_" in text else ""))
        assert re.fullmatch(printed, output), output


def test_the_page_about_python_names_everything() -> None:
    page = (REPOSITORY / "docs" / "PYTHON.md").read_text()
    public = [name for name in vars(kevyrt.Server) if name[0] != "_"]
    commands = set(dir(kevyrt.Database)) - {"execute"}
    inherited = [name for name in vars(kevyrt.Server.__base__) if name[0] != "_"]
    inherited = [name for name in inherited if name not in commands]
    for name in {*public, *inherited}:
        assert re.search(rf"\b{name}\b", page), name


def documented() -> list[tuple[str, str]]:
    """Docstrings that have examples, by name."""
    found = []
    for owner in (
        kevyrt.Server,
        kevyrt.Session,
        kevyrt.Snapshot,
        kevyrt.Checkpoint,
        kevyrt.Clock,
        kevyrt.Fault,
        kevyrt.Faults,
        kevyrt.Latency,
    ):
        for name in ("", *(name for name in dir(owner) if name[0] != "_")):
            text = (getattr(owner, name) if name else owner).__doc__ or ""
            if ">>>" in text:
                found.append((f"{owner.__name__}.{name}", text))
    return found


@pytest.mark.parametrize(("name", "text"), documented(), ids=lambda value: value.split("\n")[0])
def test_docstrings(
    name: str, text: str, server: kevyrt.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    server.set("greeting", "hello")
    with server.session() as session:
        names: dict[str, Any] = {"server": server, "session": session}
        names |= {"Server": kevyrt.Server, "Latency": kevyrt.Latency}
        assert run_examples(text, name, names)


def test_most_methods_have_an_example() -> None:
    assert len(documented()) >= 5
