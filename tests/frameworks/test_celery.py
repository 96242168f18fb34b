"""Celery's result backend in the server, with a worker in a thread of this process.

With kombu 5.7 Celery's Redis broker and chords of its Redis backend are in Lua.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery, chain, chord, group
from celery.contrib.testing.worker import start_worker
from celery.exceptions import TimeoutError as NotYet
from celery.result import AsyncResult, GroupResult

import kevyrt

PATIENCE_S = 30


def make(broker: str, backend: str) -> Celery:
    app = Celery("tests", broker=broker, backend=backend, set_as_current=False)
    app.conf.update(
        broker_connection_retry_on_startup=False,
        broker_transport_options={"polling_interval": 0.02},
        result_expires=100,
        task_track_started=True,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
    )

    @app.task(name="add")
    def add(a: int, b: int) -> int:
        return a + b

    @app.task(name="total")
    def total(numbers: list[int]) -> int:
        return sum(numbers)

    @app.task(name="fail")
    def fail() -> None:
        raise ValueError("on purpose")

    @app.task(name="again", bind=True, max_retries=3)
    def again(self: Any) -> int:
        if self.request.retries < 2:
            raise self.retry(countdown=0)
        return int(self.request.retries)

    @app.task(name="progress", bind=True)
    def progress(self: Any, client_url: str) -> str:
        self.update_state(state="PROGRESS", meta={"done": 1})
        with kevyrt.from_url(client_url) as client:
            client.blpop("go on", PATIENCE_S)
        return "done"

    return app


@pytest.fixture(scope="module")
def app(shared: kevyrt.Server) -> Iterator[Celery]:
    """Its worker takes seconds to end."""
    app = make("memory://", str(shared.url))
    with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=PATIENCE_S):
        yield app
    app.close()


def run(app: Celery, name: str, *args: Any) -> AsyncResult:
    return app.tasks[name].delay(*args)


pytestmark = [
    pytest.mark.usefixtures("server"),
    pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning"),
]


def test_results(app: Celery, server: kevyrt.Server) -> None:
    result = run(app, "add", 1, 2)
    assert result.get(timeout=PATIENCE_S) == 3
    assert result.successful() and result.state == "SUCCESS"
    assert app.AsyncResult(result.id).result == 3
    key = f"celery-task-meta-{result.id}"
    assert 90 <= server.execute("TTL", key) <= 100
    result.forget()
    assert server.execute("EXISTS", key) == 0
    assert app.AsyncResult(result.id).state == "PENDING"


def test_failures_and_retries(app: Celery) -> None:
    failed = run(app, "fail")
    with pytest.raises(ValueError, match="on purpose"):
        failed.get(timeout=PATIENCE_S)
    assert failed.failed() and "on purpose" in failed.traceback
    assert run(app, "again").get(timeout=PATIENCE_S) == 2


def test_states(app: Celery, server: kevyrt.Server) -> None:
    """A waiter is told by a channel of each change."""
    states: list[str] = []
    result = run(app, "progress", f"kevyrt://{server.name}")

    def note(meta: dict[str, Any]) -> None:
        states.append(meta["status"])
        if meta["status"] == "PROGRESS":
            assert meta["result"] == {"done": 1}
            server.execute("RPUSH", "go on", "now")

    assert result.get(timeout=PATIENCE_S, on_message=note) == "done"
    assert states[-2:] == ["PROGRESS", "SUCCESS"]


def test_who_waits_for_nothing(app: Celery) -> None:
    with pytest.raises(NotYet):
        app.AsyncResult("no such task").get(timeout=0.05)


def test_groups_and_chains(app: Celery) -> None:
    add = app.tasks["add"]
    together = group(add.s(n, n) for n in range(10)).apply_async()
    assert together.get(timeout=PATIENCE_S) == [2 * n for n in range(10)]
    together.save()
    assert GroupResult.restore(together.id, app=app).get(timeout=PATIENCE_S)[3] == 6
    assert chain(add.s(1, 2), add.s(3), add.s(4))().get(timeout=PATIENCE_S) == 10


def test_many_results_at_once(app: Celery) -> None:
    results = [run(app, "add", n, 1) for n in range(100)]
    assert [result.get(timeout=PATIENCE_S) for result in results] == list(range(1, 101))


@pytest.mark.usefixtures("scripts")
def test_chords(app: Celery) -> None:
    add, total = app.tasks["add"], app.tasks["total"]
    assert chord([add.s(n, n) for n in range(5)], total.s())().get(timeout=PATIENCE_S) == 20


@pytest.mark.usefixtures("scripts")
def test_broker(server: kevyrt.Server) -> None:
    app = make(str(server.url), str(server.url))
    with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=PATIENCE_S):
        results = [run(app, "add", n, 1) for n in range(20)]
        assert [result.get(timeout=PATIENCE_S) for result in results] == list(range(1, 21))
    app.close()
