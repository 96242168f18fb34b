"""Servers are killed under load, and have lost nothing when they start again: some rounds of the
campaign, `./test --long crash`. Rounds on a disk that forgets are in tests/test_c_units.py."""

from __future__ import annotations

import pytest
from harness.crash_rounds import KINDS, Kind, Life, play_rounds

ROUNDS = 4
SEED = 58
# Each reactor, promise, base and kind of client, but not all of their combinations.
CHOSEN = (
    "io_uring-1-everysec-rdb",
    "io_uring-3-auto-always-rdb",
    "epoll-3-never-everysec-log",
    "epoll-1-no-rdb",
    "io_uring-3-auto-everysec-rdb-sessions",
    "epoll-3-never-always-log-sessions",
)
MUST_SEE = ("put", "transactions", "move", "count", "claim", "read", "unanswered", "bgrewriteaof")


@pytest.mark.parametrize("kind", [k for k in KINDS if k.name in CHOSEN], ids=lambda k: k.name)
def test_nothing_is_lost(kind: Kind, request: pytest.FixtureRequest) -> None:
    chosen = request.config.getoption("--configurations")
    if chosen and kind.configuration.name not in chosen.split(","):
        pytest.skip("another configuration is asked for")
    with Life(kind, f"{SEED}") as life:
        play_rounds(life, ROUNDS)
    missing = [what for what in MUST_SEE if not life.seen[what]]
    assert not missing, dict(life.seen)
