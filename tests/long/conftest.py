"""Campaigns: what takes longer than the tests of every day. `./test --long NAME`."""

from __future__ import annotations

import random

import pytest

DEFAULT_MINUTES = 10.0


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--minutes",
        type=float,
        default=DEFAULT_MINUTES,
        help=f"how long a campaign without an end of its own goes on (default {DEFAULT_MINUTES})",
    )
    parser.addoption(
        "--families", default="", help="comma-separated families of sequences; default: all"
    )
    parser.addoption(
        "--rounds", type=int, help="how many rounds a campaign plays, instead of for how long"
    )
    parser.addoption("--seed", type=int, help="of a campaign's random choices; default: drawn")


@pytest.fixture
def seed(pytestconfig: pytest.Config) -> int:
    given = pytestconfig.getoption("--seed")
    chosen = random.SystemRandom().randrange(1 << 32) if given is None else given
    print(f"--seed {chosen}")
    return chosen


@pytest.fixture
def duration_s(pytestconfig: pytest.Config) -> float:
    return pytestconfig.getoption("--minutes") * 60
