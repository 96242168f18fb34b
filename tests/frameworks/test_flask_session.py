"""Flask-Session's Redis sessions in the server."""

from __future__ import annotations

from datetime import timedelta

import pytest
import redis
from flask import Flask, session
from flask_session import Session

import kevyrt


@pytest.fixture(params=["url", "client", "name"])
def client(request: pytest.FixtureRequest, server: kevyrt.Server) -> redis.Redis:
    """What a project has in its settings."""
    if request.param == "url":
        return redis.Redis.from_url(str(server.url))
    return server.client() if request.param == "client" else kevyrt.from_url("kevyrt://frameworks")


@pytest.fixture
def app(client: redis.Redis) -> Flask:
    app = Flask("tests")
    app.config.update(
        SESSION_TYPE="redis",
        SESSION_REDIS=client,
        PERMANENT_SESSION_LIFETIME=timedelta(seconds=100),
        SECRET_KEY="tests",
    )
    Session(app)

    @app.get("/visit")
    def visit() -> str:
        session["visits"] = session.get("visits", 0) + 1
        return str(session["visits"])

    @app.get("/keep/<value>")
    def keep(value: str) -> str:
        session["kept"] = {"value": value, "list": [1, "☃", None]}
        return "kept"

    @app.get("/kept")
    def kept() -> dict[str, object]:
        return {"kept": session.get("kept")}

    @app.get("/leave")
    def leave() -> str:
        session.clear()
        return "left"

    return app


def test_a_session_is_kept(app: Flask, server: kevyrt.Server) -> None:
    with app.test_client() as browser:
        assert [browser.get("/visit").text for _ in range(3)] == ["1", "2", "3"]
        (key,) = server.execute("KEYS", "session:*")
        assert 95 <= server.execute("TTL", key) <= 100


def test_sessions_are_apart(app: Flask) -> None:
    first, second = app.test_client(), app.test_client()
    assert first.get("/keep/one").text == "kept"
    assert second.get("/kept").json == {"kept": None}
    assert second.get("/keep/two").text == "kept"
    assert first.get("/kept").json == {"kept": {"value": "one", "list": [1, "☃", None]}}


def test_the_end_of_a_session(app: Flask, server: kevyrt.Server) -> None:
    with app.test_client() as browser:
        browser.get("/visit")
        assert browser.get("/leave").text == "left"
        assert server.execute("KEYS", "session:*") == []
        assert browser.get("/visit").text == "1"


def test_a_session_that_is_over(app: Flask, server: kevyrt.Server) -> None:
    with app.test_client() as browser:
        browser.get("/visit")
        (key,) = server.execute("KEYS", "session:*")
        server.execute("PEXPIRE", key, 1)
        while server.execute("EXISTS", key):
            pass
        assert browser.get("/visit").text == "1"
