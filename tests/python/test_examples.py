"""The examples run, and print what they say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from programs import PYTEST_OPTIONS, environment

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
TIMEOUT_S = 60
PRINTED = {
    "web_cache": r"/ miss\n/about miss\n/ hit\n/ hit\n/about hit\n",
    "worker_queue": r"19 done\njob 13 failed 3 times\n",
    "rate_limiter": r"\[(?:True, ){5}False, False\]\nanother user: True\n",
    "notebook_stats": (
        r"(?s)\d+ keys, [1-9]\d* hits, \d+ misses\n[1-9]\d* commands, True samples\n.*"
    ),
}


def run(*words: str) -> str:
    result = subprocess.run(
        [sys.executable, *words],
        cwd=EXAMPLES,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stderr == ""
    return result.stdout


@pytest.mark.parametrize("name", PRINTED)
def test_programs(name: str) -> None:
    output = run(f"{name}.py")
    assert re.fullmatch(PRINTED[name], output), output


def test_tests() -> None:
    assert "4 passed" in run("-m", "pytest", "-q", *PYTEST_OPTIONS, "test_with_plugin.py")


def test_every_example_is_run() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {*PRINTED, "test_with_plugin"}
