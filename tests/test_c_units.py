"""What is C without Python, under sanitizers: units, fuzz corpora, and the server on the wire.

Each tests/c/<folder>/test_<thing>.c is a cmocka program. The wire runs here are a choice of tests;
all of them with all builds are a campaign, tests/long/sanitizers.py.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from harness.crash_rounds import Kind, Life, disk_kinds, play_rounds

REPOSITORY = Path(__file__).resolve().parents[1]
SOURCES = sorted(
    path for path in (REPOSITORY / "tests" / "c").glob("*/test_*.c") if path.parent.name != "fuzz"
)
THREADED_FOLDERS = {"aof", "ring", "shard", "kevyrt"}
THREADED_UNITS = {"cmd/test_freeze.c"}
# What is tested through kevyrt.h alone mirrors that header, not a folder.
INTERFACES = {"kevyrt": "server/kevyrt.h"}
BUILDS = {"address,undefined": "build/asan", "thread": "build/tsan"}
# The first program of a build waits for all of csrc to be compiled.
BUILD_TIMEOUT_S = 600
RUN_TIMEOUT_S = 120
# With handle_abort a failed assertion of the library shows its stack.
SANITIZER_OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=1:handle_abort=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1:handle_abort=1",
}
WIRE_CHOICE = ("tests/wire/test_protocol.py", "tests/wire/test_pipelines.py")
WIRE_TIMEOUT_S = 1800
FUZZ_SOURCES = sorted((REPOSITORY / "tests" / "c" / "fuzz").glob("fuzz_*.c"))
MAX_CORPUS_FILES = 200

pytestmark = pytest.mark.timeout(BUILD_TIMEOUT_S + RUN_TIMEOUT_S)


def is_threaded(source: Path) -> bool:
    folder = source.parent.name
    return folder in THREADED_FOLDERS or f"{folder}/{source.name}" in THREADED_UNITS


def programs() -> list[tuple[Path, str]]:
    """Each unit with each sanitizer that it is run under."""
    return [
        (source, sanitizer)
        for sanitizer in BUILDS
        for source in SOURCES
        if sanitizer != "thread" or is_threaded(source)
    ]


def name_of(program: tuple[Path, str]) -> str:
    source, sanitizer = program
    return f"{source.parent.name}/{source.stem.removeprefix('test_')}-{sanitizer.partition(',')[0]}"


def make(target: str, sanitizer: str) -> Path:
    folder = BUILDS[sanitizer]
    return _make(f"{folder}/{target}", f"BUILD={folder}", f"SANITIZE={sanitizer}", "DEBUG=1")


def _make(target: str, *settings: str) -> Path:
    made = subprocess.run(
        ["make", "--silent", f"-j{len(os.sched_getaffinity(0))}", target, *settings],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_S,
    )
    assert made.returncode == 0, f"{target} does not build:\n{made.stdout}{made.stderr}"
    return REPOSITORY / target


def build(source: Path, sanitizer: str) -> Path:
    name = f"test_{source.parent.name}_{source.stem.removeprefix('test_')}"
    return make(name, sanitizer)


def wrapped(program: Path) -> list[str]:
    """ThreadSanitizer's fixed memory layout collides with much address randomization."""
    fixed = ["setarch", platform.machine(), "-R"] if shutil.which("setarch") else []
    return [*fixed, str(program)]


def run(
    command: list[str], folder: Path, timeout_s: float = RUN_TIMEOUT_S
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env=os.environ | SANITIZER_OPTIONS | {"CMOCKA_MESSAGE_OUTPUT": "STDOUT"},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout_s,
    )


def test_there_are_units() -> None:
    assert SOURCES, "no tests/c/<folder>/test_<thing>.c found"
    assert {source.parent.name for source in SOURCES} >= {"ring"}


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_units_mirror_the_source(source: Path) -> None:
    folder = source.parent.name
    assert (REPOSITORY / "csrc" / INTERFACES.get(folder, folder)).exists()


@pytest.mark.parametrize("program", programs(), ids=name_of)
def test_unit(program: tuple[Path, str], tmp_path: Path) -> None:
    result = run(wrapped(build(*program)), tmp_path)
    output = f"exit code {result.returncode}\n{result.stdout}{result.stderr}"
    assert result.returncode == 0, output
    passed = re.findall(r"^\[ +OK \] ", result.stdout, re.MULTILINE)
    assert passed, f"it ran no test: {output}"


# ---- Fuzzers -------------------------------------------------------------------------------------


def fuzz_corpus(source: Path) -> Path:
    return source.parent / "corpus" / source.stem.removeprefix("fuzz_")


def make_fuzzer(source: Path) -> Path:
    """The program of a fuzz target, which needs clang with its libFuzzer."""
    probe = ["clang", "-fsanitize=fuzzer", "-x", "c", "-", "-o", "/dev/null"]
    text = "int LLVMFuzzerTestOneInput(const char *a, long n) { return a == 0 && n == 1; }"
    if shutil.which("clang") is None:
        pytest.skip("clang is not installed")
    if subprocess.run(probe, input=text, text=True, capture_output=True).returncode != 0:
        pytest.skip("clang has no libFuzzer")
    _make("fuzz", "BUILD=build/fuzz")
    return REPOSITORY / "build" / "fuzz" / source.stem


def test_there_are_fuzzers() -> None:
    assert FUZZ_SOURCES
    for source in FUZZ_SOURCES:
        assert 0 < len(list(fuzz_corpus(source).iterdir())) <= MAX_CORPUS_FILES


@pytest.mark.parametrize("source", FUZZ_SOURCES, ids=lambda path: path.stem)
def test_corpus(source: Path, tmp_path: Path) -> None:
    """What fuzzing has found worth keeping passes still, under the same sanitizers."""
    corpus = sorted(fuzz_corpus(source).iterdir())
    result = run([str(make_fuzzer(source)), *map(str, corpus)], tmp_path)
    assert result.returncode == 0, result.stderr[-20000:]
    executed = re.findall(r"^Executed ", result.stderr, re.MULTILINE)
    assert len(executed) == len(corpus), result.stderr[-2000:]


# ---- The wire ------------------------------------------------------------------------------------


def server_script(sanitizer: str, folder: Path) -> Path:
    """An executable file that starts the plain C server as its build must be started."""
    command = " ".join(wrapped(make("kevyrt-serve", sanitizer)))
    script = folder / "serve"
    script.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    script.chmod(0o755)
    return script


def run_wire(sanitizer: str, configuration: str, folder: Path, *tests: str) -> None:
    """Runs wire tests against one build in one configuration: a run of pytest of its own."""
    selection = [*tests, "--configurations", configuration, "-p", "no:cacheprovider"]
    server = {"KEVYRT_SERVE": str(server_script(sanitizer, folder))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *selection],
        cwd=REPOSITORY,
        env=os.environ | SANITIZER_OPTIONS | server,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=WIRE_TIMEOUT_S,
    )
    assert done.returncode == 0, done.stdout[-20000:] + done.stderr[-2000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed and int(passed[1]) > 20, f"hardly a test has run:\n{done.stdout[-2000:]}"


@pytest.mark.parametrize("configuration", ["epoll-1", "io_uring-3-tiny"])
def test_wire(configuration: str, tmp_path: Path) -> None:
    run_wire("address,undefined", configuration, tmp_path, *WIRE_CHOICE)


# ---- Crashes -------------------------------------------------------------------------------------

# One of each disk, on one shard or several, with each promise now and then.
BAD_DISKS = disk_kinds()[::5]
ROUNDS_ON_A_DISK = 3


@pytest.mark.parametrize("kind", BAD_DISKS, ids=lambda kind: kind.name)
def test_crashes_on_a_bad_disk(kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine stops, and what was not synced is gone; all of it is `./test --long crash`."""
    for name, value in SANITIZER_OPTIONS.items():
        monkeypatch.setenv(name, value)
    program = [str(server_script("address,undefined", tmp_path))]
    with Life(kind, "a disk", program=program) as life:
        play_rounds(life, ROUNDS_ON_A_DISK)


def test_the_bad_disk_forgets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Judged as if everything were synced, what is not is missed."""
    for name, value in SANITIZER_OPTIONS.items():
        monkeypatch.setenv(name, value)
    program = [str(server_script("address,undefined", tmp_path))]
    kind = next(kind for kind in disk_kinds() if kind.fsync == "no" and kind.disk == "power")
    with Life(kind, "forgets", program=program, promises=lambda event, killed: True) as life:
        complaints = [complaint for _ in range(8) for complaint in life.round()]
    assert any(": lost: " in complaint for complaint in complaints), life.seen
