"""Histories of a server that breaks its promises have no order, and those of one that does not
have one: players and checker together find what is planted in a running server."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from harness.blockers import hurry
from harness.broken import Broken
from harness.histories import KEYS_EACH, PROFILES, Tally, history
from harness.matrix import REDIS
from harness.process import Server

HISTORIES = 12
pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def redis() -> Iterator[Server]:
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    with Server(REDIS) as server:
        hurry(server)
        yield server


def _rejected(server: Server, defect: str, profile: str) -> int:
    """How many histories have no order."""
    proxy = Broken(server, defect)
    spread = proxy.spread(HISTORIES * KEYS_EACH)
    rejected = 0
    try:
        for number in range(HISTORIES):
            keys = spread[number * KEYS_EACH : (number + 1) * KEYS_EACH]
            seed = f"broken {profile} {number}"
            calls = history(proxy, PROFILES[profile], keys, seed, clients=4, victims=False)
            try:
                Tally().check(calls, seed, again=False)
            except AssertionError as failure:
                assert "no order explains" in str(failure)
                rejected += 1
    finally:
        proxy.close()
    return rejected


@pytest.mark.parametrize("profile", PROFILES)
def test_nothing_is_found_where_nothing_is_wrong(redis: Server, profile: str) -> None:
    assert _rejected(redis, "none", profile) == 0


@pytest.mark.parametrize(
    ("defect", "profile"),
    [
        ("steps", "transactions"),
        ("steps", "lists"),
        ("forgets", "transactions"),
        ("overtaken", "lists"),
        ("twice", "lists"),
    ],
)
def test_planted_defect_is_found(redis: Server, defect: str, profile: str) -> None:
    assert _rejected(redis, defect, profile) >= 1
