"""Tests of the Python face against an extension that is built with AddressSanitizer and UBSan.

    ./test --long extension

The interpreter is not instrumented, so the run-time is preloaded; what CPython leaves allocated at
its end is its own business (detect_leaks=0): leaks are looked for by tests/long/soak.py. With
PYTHONMALLOC=malloc every object is an allocation of its own, which finds what is used too long.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
HOME = REPOSITORY / "build" / "sanitized"
BUILD_TIMEOUT_S = 1200
TESTS_TIMEOUT_S = 3000
# Not among them: what measures memory, what starts programs of the environment, what is C alone.
FILES = (
    *("test_api", "test_blocking_calls", "test_endings", "test_errors", "test_fork"),
    *("test_lifecycle", "test_logged_calls", "test_paused_calls", "test_persistence_api"),
    *("test_robustness", "test_session_transactions", "test_snapshots_api", "test_interpreters"),
    *("test_aio", "test_pipelines_in_process", "test_mapping", "test_clock", "test_faults"),
    *("test_checkpoint", "test_fast_paths", "test_methods", "test_redis_module", "test_registry"),
    *("test_forked_clients", "test_watch_stats", "test_aio_pipelines", "test_aio_cancel"),
)
# These measure time or memory closely, or what the sanitizer changes.
UNSUITABLE = "not costs_nothing and not time_outs_are_exact and not rss and not memory and not leak"


@pytest.fixture(scope="module")
def sanitized() -> Path:
    """The package with the sanitized extension, in a folder of its own."""
    HOME.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--build-lib", str(HOME)]
    variables = {"KEVYRT_SANITIZE": "address,undefined"}
    result = subprocess.run(
        command, cwd=REPOSITORY, env=os.environ | variables, timeout=BUILD_TIMEOUT_S
    )
    assert result.returncode == 0
    package = HOME / "kevyrt"
    for path in (REPOSITORY / "kevyrt").rglob("*.py*"):
        if path.suffix in (".py", ".pyi") or path.name == "py.typed":
            target = package / path.relative_to(REPOSITORY / "kevyrt")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    return HOME


def runtime(name: str) -> str:
    found = subprocess.check_output(["gcc", f"-print-file-name={name}"], text=True).strip()
    if not os.path.isabs(found):
        pytest.skip(f"gcc has no {name}")
    return found


@pytest.mark.timeout(BUILD_TIMEOUT_S + TESTS_TIMEOUT_S)
@pytest.mark.parametrize("name", FILES)
def test_extension(name: str, sanitized: Path, tmp_path: Path) -> None:
    path = REPOSITORY / "tests" / "python" / f"{name}.py"
    if not path.exists():
        pytest.skip("there is no such file")
    variables = {
        "LD_PRELOAD": f"{runtime('libasan.so')}:{runtime('libubsan.so')}",
        "PYTHONPATH": str(sanitized),
        "PYTHONMALLOC": "malloc",
        "ASAN_OPTIONS": f"detect_leaks=0:log_path={tmp_path}/asan:abort_on_error=1",
        "UBSAN_OPTIONS": f"print_stacktrace=1:halt_on_error=1:log_path={tmp_path}/ubsan",
    }
    pytest_program = Path(sys.executable).parent / "pytest"  # -m would put this tree first
    command = [str(pytest_program), "-q", "-p", "no:cacheprovider", "-k", UNSUITABLE, str(path)]
    result = subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TESTS_TIMEOUT_S,
    )
    reports = "".join(file.read_text() for file in tmp_path.glob("*san.*"))
    assert not reports, reports
    assert result.returncode == 0, result.stdout
    print(result.stdout.splitlines()[-1])
