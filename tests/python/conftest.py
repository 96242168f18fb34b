"""What the tests of the Python face share."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from programs import Program, run_program

import kevyrt


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Runs a program in a process of its own."""

    def run(source: str, *, expect: int = 0) -> str:
        return run_program(source, tmp_path, expect)

    return run


@pytest.fixture
def server() -> Iterator[kevyrt.Server]:
    with kevyrt.Server() as running:
        yield running


@pytest.fixture
def socket_path() -> Iterator[str]:
    """Short: paths of Unix sockets end at 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="krt-") as folder:
        yield f"{folder}/s"
