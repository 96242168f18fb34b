"""Programs in processes of their own."""

from __future__ import annotations

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
