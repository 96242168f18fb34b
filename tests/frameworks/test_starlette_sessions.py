"""Starlette's sessions in the server, by starsessions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from http.cookies import SimpleCookie
from typing import Any

import pytest
import redis.asyncio
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starsessions import SessionAutoloadMiddleware, SessionMiddleware, regenerate_session_id
from starsessions.stores.redis import RedisStore

import kevyrt

PATIENCE_S = 30


async def visit(request: Request) -> JSONResponse:
    request.session["visits"] = request.session.get("visits", 0) + 1
    return JSONResponse(request.session["visits"])


async def sign_in(request: Request) -> JSONResponse:
    request.session["user"] = {"name": "☃"}
    regenerate_session_id(request)
    return JSONResponse("welcome")


async def who(request: Request) -> JSONResponse:
    return JSONResponse(request.session.get("user"))


async def leave(request: Request) -> JSONResponse:
    request.session.clear()
    return JSONResponse("left")


class Browser:
    """Asks an application, and has cookies."""

    def __init__(self, app: Starlette) -> None:
        self.app, self.cookies = app, SimpleCookie()

    async def get(self, path: str) -> Any:
        cookies = "; ".join(f"{name}={kept.value}" for name, kept in self.cookies.items())
        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "query_string": b"",
            "headers": [(b"cookie", cookies.encode())],
        }
        body = b""

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b""}

        async def send(message: Any) -> None:
            nonlocal body
            for name, value in message.get("headers", ()):
                if name == b"set-cookie":
                    self.cookies.load(value.decode())
            body += message.get("body", b"")

        await self.app(scope, receive, send)
        return json.loads(body)


def client_of(server: kevyrt.Server, way: str) -> redis.asyncio.Redis:
    """What a project has in its settings."""
    if way == "url":
        return redis.asyncio.from_url(str(server.url))
    if way == "client":
        return server.async_client()
    return kevyrt.async_from_url(f"kevyrt://{server.name}")


Work = Callable[[Starlette], Awaitable[None]]


@pytest.fixture(params=["url", "client", "name"])
def run(request: pytest.FixtureRequest, server: kevyrt.Server) -> Callable[[Work], None]:
    """Runs what asks an application."""

    async def with_app(work: Work) -> None:
        client = client_of(server, request.param)
        store = RedisStore(connection=client, prefix="session:", gc_ttl=1000)
        sessions = Middleware(
            SessionMiddleware,
            store=store,
            lifetime=timedelta(seconds=100),
            cookie_https_only=False,
        )
        routes = [Route(f"/{view.__name__}", view) for view in (visit, sign_in, who, leave)]
        middleware = [sessions, Middleware(SessionAutoloadMiddleware)]
        await work(Starlette(routes=routes, middleware=middleware))
        await client.aclose()

    return lambda work: asyncio.run(asyncio.wait_for(with_app(work), PATIENCE_S))


def keys(server: kevyrt.Server) -> set[bytes]:
    return set(server.execute("KEYS", "session:*"))


def test_a_session_is_kept(run: Callable[[Work], None], server: kevyrt.Server) -> None:
    async def work(app: Starlette) -> None:
        browser = Browser(app)
        assert [await browser.get("/visit") for _ in range(3)] == [1, 2, 3]

    run(work)
    (key,) = keys(server)
    assert 95 <= server.execute("TTL", key) <= 100


def test_sessions_are_apart(run: Callable[[Work], None]) -> None:
    async def work(app: Starlette) -> None:
        first, second = Browser(app), Browser(app)
        assert await first.get("/sign_in") == "welcome"
        assert await second.get("/who") is None
        assert await first.get("/who") == {"name": "☃"}

    run(work)


def test_a_session_gets_another_id(run: Callable[[Work], None], server: kevyrt.Server) -> None:
    async def work(app: Starlette) -> None:
        browser = Browser(app)
        await browser.get("/visit")
        before = keys(server)
        await browser.get("/sign_in")
        assert len(keys(server) - before) == 1
        assert await browser.get("/visit") == 2

    run(work)


def test_the_end_of_a_session(run: Callable[[Work], None], server: kevyrt.Server) -> None:
    async def work(app: Starlette) -> None:
        browser = Browser(app)
        await browser.get("/visit")
        await browser.get("/leave")
        assert keys(server) == set()
        assert await browser.get("/visit") == 1

    run(work)
