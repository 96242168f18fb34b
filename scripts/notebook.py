"""Makes docs/notebook.ipynb from docs/notebook.py: its cells are run, and their output is kept.

    python scripts/notebook.py

Cells begin with a line `# %%`, those of text with `# %% [markdown]`. nbclient and ipykernel are
needed, and pandas, which the notebook shows.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from traitlets.config import Config

REPOSITORY = Path(__file__).resolve().parent.parent
SOURCE = REPOSITORY / "docs" / "notebook.py"
NOTEBOOK = REPOSITORY / "docs" / "notebook.ipynb"

TIMEOUT_S = 120


def cells(text: str) -> list[Any]:
    """Of a source, without output. Their ids are their numbers: nothing changes by itself."""
    found = []
    for number, part in enumerate(re.split(r"^# %%", text, flags=re.M)[1:]):
        head, _, body = part.partition("\n")
        if head.strip() == "[markdown]":
            lines = (line.removeprefix("#").removeprefix(" ") for line in body.strip().split("\n"))
            cell = nbformat.v4.new_markdown_cell("\n".join(lines))
        else:
            cell = nbformat.v4.new_code_cell(body.strip())
        cell.id = f"cell-{number}"
        found.append(cell)
    return found


def new(text: str) -> Any:
    """A notebook that was not run."""
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return nbformat.v4.new_notebook(cells=cells(text), metadata=metadata)


def run(notebook: Any, folder: str) -> None:
    """Runs it in a kernel of this interpreter, with this tree's package and nobody's settings."""
    paths = [str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
    own = dict.fromkeys(("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"), folder)
    os.environ.update(own, PYTHONPATH=os.pathsep.join(paths))
    # Sockets that are files, so that nobody else can come near.
    sockets = {"transport": "ipc", "ip": f"{folder}/kernel"}
    NotebookClient(
        notebook,
        config=Config(KernelManager=sockets),
        timeout=TIMEOUT_S,
        kernel_name="python3",
        resources={"metadata": {"path": folder}},
        record_timing=False,
    ).execute()
    notebook.metadata.language_info = {"name": "python"}


def main() -> int:
    notebook = new(SOURCE.read_text())
    with tempfile.TemporaryDirectory() as folder:
        run(notebook, folder)
    nbformat.validate(notebook)
    nbformat.write(notebook, NOTEBOOK)
    return 0


if __name__ == "__main__":
    sys.exit(main())
