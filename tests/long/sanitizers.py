"""The wire tests and random sequences against sanitizer builds of the plain C server.

    ./test --long sanitizers

Each test of this file is a run of pytest over tests/wire and tests/differential, so over whatever
is added there too, with one build and one configuration.
A report on a server's standard error fails the test that stopped it (tests/harness/process.py).
Further arguments choose runs as usual: ./test --long sanitizers -k "thread and io_uring"
"""

from __future__ import annotations

from pathlib import Path

import pytest
from test_c_units import BUILDS, WIRE_TIMEOUT_S, run_wire

CONFIGURATIONS = ("epoll-1", "epoll-3-never", "io_uring-1", "io_uring-3-auto", "io_uring-3-tiny")


@pytest.mark.timeout(WIRE_TIMEOUT_S + 600)
@pytest.mark.parametrize("configuration", CONFIGURATIONS)
@pytest.mark.parametrize("sanitizer", BUILDS, ids=lambda name: name.partition(",")[0])
def test_wire_everywhere(sanitizer: str, configuration: str, tmp_path: Path) -> None:
    run_wire(sanitizer, configuration, tmp_path, "tests/wire", "tests/differential")
