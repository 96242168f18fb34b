"""A hundred thousand clients that wait, and ten thousand channels.

    ./test --long crowd --configurations io_uring-3-auto,redis

With a lower limit on descriptors (`ulimit -Hn`), as many clients as it allows.
"""

from __future__ import annotations

import pytest
from harness.crowd import OTHER_DESCRIPTORS, Scale, most_clients, play_crowd
from harness.matrix import MATRIX
from harness.process import Server

CLIENTS = 100_000
LISTS = 1000
CHANNELS = 10_000
DEFAULT = {"io_uring-3-auto", "io_uring-3-never", "epoll-3-auto", "epoll-1"}


@pytest.mark.timeout(0)
def test_crowd(pytestconfig: pytest.Config) -> None:
    wanted = set(filter(None, pytestconfig.getoption("--configurations").split(","))) or DEFAULT
    clients = most_clients(CLIENTS) // LISTS * LISTS
    scale = Scale(clients, LISTS, CHANNELS, channels_each=5, idle_s=2.0)
    played = 0
    for configuration in MATRIX:
        if configuration.name in wanted:
            with Server(
                configuration, ("--maxclients", str(clients + OTHER_DESCRIPTORS))
            ) as server:
                print(configuration.name, clients, "clients", play_crowd(server, scale))
            played += 1
    assert played == len(wanted), f"unknown configurations among {wanted}"
