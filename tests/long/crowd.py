"""A hundred thousand clients that wait, and ten thousand channels.

    ./test --long crowd --configurations io_uring-3-auto,redis

With a lower limit on descriptors (`ulimit -Hn`), as many clients as it allows. In process a command
that waits takes no descriptor: there it is a hundred thousand of them on any machine
(tests/c/kevyrt/test_waiting_crowd.c).
"""

from __future__ import annotations

from pathlib import Path

import pytest
from harness.crowd import OTHER_DESCRIPTORS, Scale, most_clients, play_crowd
from harness.matrix import ORDER_MATRIX
from harness.process import Server
from test_c_units import BUILD_TIMEOUT_S, BUILDS, REPOSITORY, build, run, wrapped

CLIENTS = 100_000
LISTS = 1000
CHANNELS = 10_000
DEFAULT = {"io_uring-3-auto", "io_uring-3-never", "epoll-3-auto", "epoll-1"}
IN_PROCESS = REPOSITORY / "tests" / "c" / "kevyrt" / "test_waiting_crowd.c"
IN_PROCESS_S = 600


@pytest.mark.timeout(0)
def test_crowd(pytestconfig: pytest.Config) -> None:
    wanted = set(filter(None, pytestconfig.getoption("--configurations").split(","))) or DEFAULT
    clients = most_clients(CLIENTS) // LISTS * LISTS
    scale = Scale(clients, LISTS, CHANNELS, channels_each=5, idle_s=2.0)
    played = 0
    for configuration in ORDER_MATRIX:
        if configuration.name in wanted:
            with Server(
                configuration, ("--maxclients", str(clients + OTHER_DESCRIPTORS))
            ) as server:
                print(configuration.name, clients, "clients", play_crowd(server, scale))
            played += 1
    assert played == len(wanted), f"unknown configurations among {wanted}"


@pytest.mark.timeout(BUILD_TIMEOUT_S + IN_PROCESS_S)
@pytest.mark.parametrize("sanitizer", BUILDS, ids=lambda name: name.partition(",")[0])
def test_crowd_in_process(sanitizer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEVYRT_CROWD", str(CLIENTS))
    result = run(wrapped(build(IN_PROCESS, sanitizer)), tmp_path, IN_PROCESS_S)
    output = f"exit code {result.returncode}\n{result.stdout}{result.stderr}"
    assert result.returncode == 0, output
    assert f"{CLIENTS} wait for " in output, output
    print(output)
