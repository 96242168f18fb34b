"""Programs in processes of their own."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Protocol

REPOSITORY = Path(__file__).resolve().parents[2]
PROGRAM_TIMEOUT_S = 30
# From 3.12 on Python warns about any fork of a process with threads, whatever they do.
ABOUT_FORK = "ignore:This process:DeprecationWarning"
# Of a pytest inside of a test. The plugin comes by its entry point, where kevyrt is installed with
# it; Hypothesis would be loaded anew for each run.
_POINTS = [point.name for point in importlib.metadata.entry_points(group="pytest11")]
PYTEST_OPTIONS = [
    *("-p", "no:cacheprovider", "-p", "no:hypothesispytest"),
    *("-o", "asyncio_default_fixture_loop_scope=function"),
    *(() if "kevyrt" in _POINTS else ("-p", "kevyrt.pytest_plugin")),
]


class Program(Protocol):
    """The fixture `program`."""

    def __call__(self, source: str, *, expect: int = 0) -> str: ...


def environment() -> dict[str, str]:
    """This process's, with the package of this tree within reach."""
    paths = [os.environ.get("PYTHONPATH", ""), str(REPOSITORY)]
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


def run_program(source: str, folder: Path, expect: int) -> str:
    """Runs Python source; returns what it printed.

    It must end by itself, with the exit code expected, and write nothing to standard error.
    """
    path = folder / "program.py"
    path.write_text(textwrap.dedent(source))
    result = subprocess.run(
        [sys.executable, "-W", ABOUT_FORK, "-X", "faulthandler", str(path)],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PROGRAM_TIMEOUT_S,
    )
    shown = f"exit code {result.returncode}\n{result.stdout}\n{result.stderr}"
    assert result.returncode == expect, shown
    assert result.stderr == "", shown
    return result.stdout
