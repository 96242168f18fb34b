"""docs/notebook.ipynb: it is what its source says, it runs, and its output is fit to be seen."""

from __future__ import annotations

import getpass
import importlib.util
import platform
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("notebook_script", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


script = load(REPOSITORY / "scripts" / "notebook.py")


@pytest.fixture(scope="module")
def committed() -> Any:
    return nbformat.read(script.NOTEBOOK, as_version=4)


def shape(notebook: Any) -> list[tuple[str, list[tuple[str, ...]]]]:
    """Each cell's source and the kinds of its output, which no run changes."""
    return [
        (
            cell.source,
            [(o.output_type, *sorted(o.get("data", {}))) for o in cell.get("outputs", [])],
        )
        for cell in notebook.cells
    ]


def pages(notebook: Any) -> list[str]:
    """The output that is ours: pandas' tables are not."""
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", []))
    found = (output.get("data", {}).get("text/html", "") for output in outputs)
    return [page for page in found if "<svg" in page]


def test_it_has_the_cells_of_its_source(committed: Any) -> None:
    made = script.new(script.SOURCE.read_text())
    assert [(c.cell_type, c.source, c.id) for c in committed.cells] == [
        (c.cell_type, c.source, c.id) for c in made.cells
    ], "run scripts/notebook.py"
    nbformat.validate(committed)


def test_it_runs(committed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "PYTHONPATH"):
        monkeypatch.setenv(name, "")
    notebook = script.new(script.SOURCE.read_text())
    script.run(notebook, str(tmp_path))
    assert shape(notebook) == shape(committed), "run scripts/notebook.py"
    assert all(
        output.output_type != "error" for c in notebook.cells for output in c.get("outputs", [])
    )
    assert len(pages(notebook)) == 4
    hot = [page for page in pages(notebook) if "product:4711" in page]
    assert hot, "the key of the front page is hot"


def test_its_output_is_of_no_machine(committed: Any) -> None:
    text = script.NOTEBOOK.read_text()
    assert not re.search(r"(?<![\w.])/(?:root|home|tmp|work|usr|opt|var)/", text)
    for name in {platform.node(), getpass.getuser(), str(REPOSITORY)} - {"", "root"}:
        assert name not in text
    assert "execution" not in str(committed.metadata)
    assert len(text) < 150_000


def test_its_pages_are_drawings(committed: Any) -> None:
    found = pages(committed)
    assert len(found) == 4
    for page in found:
        assert ElementTree.fromstring(page).tag == "div"
        assert len(page) < 60_000
