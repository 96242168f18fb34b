"""Wheels for every CPython that is found, made portable, and tried out in clean environments.

    ./test --long wheels

Twice: with the compiler that is there, and with one that builds for an old glibc. The tools come
from the package index (scripts/wheels.py says which).
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
# manylinux_2_34 is Debian 12's: it has symbols of glibc 2.34.
NEWEST_GLIBC = {"cc": (2, 36), "zig": (2, 28)}


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("compiler", NEWEST_GLIBC)
def test_wheels(compiler: str, tmp_path: Path) -> None:
    command = [sys.executable, REPOSITORY / "scripts" / "wheels.py", "--compiler", compiler]
    output = subprocess.run(
        [*command, "--out", tmp_path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    print(output.stdout)
    assert output.returncode == 0, output.stdout
    tags = re.findall(r"manylinux_(\d+)_(\d+)_\w+?\.(?:\w+\.)?whl", output.stdout)
    assert tags
    assert all((int(major), int(minor)) <= NEWEST_GLIBC[compiler] for major, minor in tags)
    assert len(list(tmp_path.glob("kevyrt-*.whl"))) == len(tags)
