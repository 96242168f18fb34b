"""The C units: each tests/c/<folder>/test_<thing>.c is a cmocka program, run under sanitizers."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
SOURCES = sorted(
    path for path in (REPOSITORY / "tests" / "c").glob("*/test_*.c") if path.parent.name != "fuzz"
)
THREADED_FOLDERS = {"ring", "shard"}
BUILDS = {"address,undefined": "build/asan", "thread": "build/tsan"}
# The first program of a build waits for all of csrc to be compiled.
BUILD_TIMEOUT_S = 600
RUN_TIMEOUT_S = 120

pytestmark = pytest.mark.timeout(BUILD_TIMEOUT_S + RUN_TIMEOUT_S)


def programs() -> list[tuple[Path, str]]:
    """Each unit with each sanitizer that it is run under."""
    return [
        (source, sanitizer)
        for sanitizer in BUILDS
        for source in SOURCES
        if sanitizer != "thread" or source.parent.name in THREADED_FOLDERS
    ]


def name_of(program: tuple[Path, str]) -> str:
    source, sanitizer = program
    return f"{source.parent.name}/{source.stem.removeprefix('test_')}-{sanitizer.partition(',')[0]}"


def build(source: Path, sanitizer: str) -> Path:
    folder = BUILDS[sanitizer]
    target = f"{folder}/test_{source.parent.name}_{source.stem.removeprefix('test_')}"
    command = ["make", "--silent", f"-j{len(os.sched_getaffinity(0))}", target]
    made = subprocess.run(
        [*command, f"BUILD={folder}", f"SANITIZE={sanitizer}", "DEBUG=1"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_S,
    )
    assert made.returncode == 0, f"{target} does not build:\n{made.stdout}{made.stderr}"
    return REPOSITORY / target


def run(program: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    # ThreadSanitizer's fixed memory layout collides with much address randomization.
    fixed = ["setarch", platform.machine(), "-R"] if shutil.which("setarch") else []
    options = {
        "ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=1",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
        "CMOCKA_MESSAGE_OUTPUT": "STDOUT",
    }
    return subprocess.run(
        [*fixed, str(program)],
        cwd=folder,
        env=os.environ | options,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=RUN_TIMEOUT_S,
    )


def test_there_are_units() -> None:
    assert SOURCES, "no tests/c/<folder>/test_<thing>.c found"
    assert {source.parent.name for source in SOURCES} >= {"ring"}


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_units_mirror_the_source(source: Path) -> None:
    assert (REPOSITORY / "csrc" / source.parent.name).is_dir()


@pytest.mark.parametrize("program", programs(), ids=name_of)
def test_unit(program: tuple[Path, str], tmp_path: Path) -> None:
    result = run(build(*program), tmp_path)
    output = f"exit code {result.returncode}\n{result.stdout}{result.stderr}"
    assert result.returncode == 0, output
    passed = re.findall(r"^\[ +OK \] ", result.stdout, re.MULTILINE)
    assert passed, f"it ran no test: {output}"
