"""Tests of code that uses Redis, with the fixtures that kevyrt brings to pytest.

pytest examples/test_with_plugin.py
"""

from __future__ import annotations

import pytest
import redis

import kevyrt


def sign_up(client: redis.Redis, name: str) -> int:
    """The code under test: a number for each name, and a token that is good for an hour."""
    if not client.hsetnx("users", name, client.incr("next-user")):
        raise ValueError(f"{name} is taken")
    client.set(f"token:{name}", "secret", ex=3600)
    return int(client.hget("users", name) or 0)


@pytest.fixture
def client(kevyrt: kevyrt.Server) -> redis.Redis:
    """redis-py without a network; each test finds an empty server."""
    return kevyrt.client(decode_responses=True)


def test_numbers_go_up(client: redis.Redis) -> None:
    assert [sign_up(client, "ada"), sign_up(client, "bob")] == [1, 2]


def test_names_are_taken_once(client: redis.Redis) -> None:
    assert sign_up(client, "ada") == 1
    with pytest.raises(ValueError, match="taken"):
        sign_up(client, "ada")


def test_tokens_end_after_an_hour(client: redis.Redis, kevyrt: kevyrt.Server) -> None:
    sign_up(client, "ada")
    kevyrt.clock.advance(3599)
    assert client.get("token:ada") == "secret"
    kevyrt.clock.advance(2)
    assert client.get("token:ada") is None


def test_a_failing_server(client: redis.Redis, kevyrt: kevyrt.Server) -> None:
    kevyrt.faults.add(command="HSETNX", error="OOM not today", times=1)
    with pytest.raises(redis.ResponseError, match="not today"):
        sign_up(client, "ada")
    assert sign_up(client, "ada") == 2
