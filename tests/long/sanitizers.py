"""The wire tests against sanitizer builds of the plain C server: ./test --long sanitizers

Each test of this file is a run of pytest over tests/wire with one build and one configuration.
A report on a server's standard error fails the test that stopped it (tests/harness/process.py).
Further arguments choose runs as usual: ./test --long sanitizers -k "thread and io_uring"
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from test_c_units import BUILDS, REPOSITORY, SANITIZER_OPTIONS, make, wrapped

CONFIGURATIONS = ("epoll-1", "epoll-3-never", "io_uring-1", "io_uring-3-auto", "io_uring-3-tiny")
RUN_TIMEOUT_S = 1800


def server_program(sanitizer: str, folder: Path) -> Path:
    """An executable file that starts the sanitizer build as it must be started."""
    program = make("kevyrt-serve", sanitizer)
    script = folder / "serve"
    command = " ".join(wrapped(program))
    script.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    script.chmod(0o755)
    return script


@pytest.mark.timeout(RUN_TIMEOUT_S + 60)
@pytest.mark.parametrize("configuration", CONFIGURATIONS)
@pytest.mark.parametrize("sanitizer", BUILDS, ids=lambda name: name.partition(",")[0])
def test_wire(sanitizer: str, configuration: str, tmp_path: Path) -> None:
    program = server_program(sanitizer, tmp_path)
    selection = ["tests/wire", "--configurations", configuration, "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *selection],
        cwd=REPOSITORY,
        env=os.environ | SANITIZER_OPTIONS | {"KEVYRT_SERVE": str(program)},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=RUN_TIMEOUT_S,
    )
    assert done.returncode == 0, done.stdout[-20000:] + done.stderr[-2000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed and int(passed[1]) > 100, f"hardly a test has run:\n{done.stdout[-2000:]}"
