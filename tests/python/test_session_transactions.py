"""Transactions of sessions: as those of connections, beside them and beside plain calls."""

from __future__ import annotations

import threading

import pytest

import kevyrt


@pytest.fixture(params=["auto", "never", "always"])
def spread(request: pytest.FixtureRequest) -> kevyrt.Server:
    settings = {"threads": 3, "debug_borrow": request.param, "enable_debug_command": "yes"}
    with kevyrt.Server(**settings) as server:
        yield server


def test_queue_and_run(server: kevyrt.Server) -> None:
    with server.session() as session:
        assert session.execute("MULTI") == "OK"
        assert session.execute("SET", "k", "v") == "QUEUED"
        assert session.execute("INCR", "k") == "QUEUED"
        assert session.execute("GET", "k") == "QUEUED"
        assert server.get("k") is None
        ok, error, value = session.execute("EXEC")
        assert (ok, value) == ("OK", b"v")
        assert isinstance(error, kevyrt.ResponseError)
        with pytest.raises(kevyrt.ResponseError, match="EXEC without MULTI"):
            session.execute("EXEC")


def test_refused_commands_spoil_it(server: kevyrt.Server) -> None:
    with server.session() as session:
        session.execute("MULTI")
        with pytest.raises(kevyrt.ResponseError, match="unknown command"):
            session.execute("FOO")
        with pytest.raises(kevyrt.ResponseError) as raised:
            session.execute("EXEC")
        assert raised.value.code == "EXECABORT"
        session.execute("WATCH", "k")
        with pytest.raises(kevyrt.ResponseError, match="wrong number of arguments"):
            session.execute("EXEC", "x")
        server.set("k", "changed")
        session.execute("MULTI")
        assert session.execute("EXEC") == []


def test_every_way_to_change_a_key(server: kevyrt.Server) -> None:
    changes = [
        lambda: server.set("k", "v"),
        lambda: server.delete("k"),
        lambda: server.execute("SET", "k", "v"),
        lambda: server.execute("FLUSHALL"),
        lambda: server.set("k", "v", ex=100),
    ]
    with server.session() as session, server.session() as other:
        for change in [*changes, lambda: other.execute("APPEND", "k", "x")]:
            server.set("k", "before")
            session.execute("WATCH", "k")
            change()
            session.execute("MULTI")
            session.execute("SET", "done", "yes")
            assert session.execute("EXEC") is None
        session.execute("WATCH", "k")
        server.set("other", "v")
        session.execute("MULTI")
        assert session.execute("EXEC") == []


def test_ends(server: kevyrt.Server) -> None:
    session = server.session()
    session.execute("WATCH", *range(50))
    session.execute("MULTI")
    session.execute("SET", "k", "x" * 100_000)
    session.close()
    info = server.execute("INFO", "clients")
    assert b"total_watched_keys:0\r\n" in info and b"watching_clients:0\r\n" in info
    assert server.get("k") is None
    session = server.session()
    session.execute("WATCH", "k")
    session.execute("RESET")
    assert b"total_watched_keys:0\r\n" in server.execute("INFO", "clients")


@pytest.mark.parametrize("command", [["MULTI"], ["EXEC"], ["DISCARD"], ["WATCH", "k"], ["UNWATCH"]])
def test_plain_calls_have_none(server: kevyrt.Server, command: list[str]) -> None:
    with pytest.raises(kevyrt.ResponseError, match="needs a connection: use a session"):
        server.execute(*command)


def _run_together(*jobs: object) -> list[BaseException]:
    failures: list[BaseException] = []

    def run(job: object) -> None:
        try:
            job()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in threads), "a deadlock"
    return failures


def test_no_update_is_lost(spread: kevyrt.Server) -> None:
    def increment() -> None:
        with spread.session() as session:
            for _ in range(100):
                done = None
                while done is None:
                    session.execute("WATCH", "n")
                    value = int(session.execute("GET", "n") or 0)
                    session.execute("MULTI")
                    session.execute("SET", "n", value + 1)
                    done = session.execute("EXEC")

    assert _run_together(*[increment] * 4) == []
    assert spread.get("n") == b"400"


def test_reaching_calls_are_seen_as_a_whole(spread: kevyrt.Server) -> None:
    keys = [f"key:{n}" for n in range(8)]
    writing = threading.Event()

    def reach(session: kevyrt.Session, keys: list[str], value: str) -> None:
        session.execute("MULTI")
        session.execute("DEBUG", "KEVYRT-REACH", *keys, "SET", value)
        session.execute("EXEC")

    def write(order: list[str], name: str) -> None:
        with spread.session() as session:
            for n in range(200):
                reach(session, order, f"{name}{n}")

    def write_plainly() -> None:
        for n in range(200):
            spread.execute("MSET", *(word for key in keys for word in (key, f"plain{n}")))
        spread.execute("DEBUG", "KEVYRT-REACH", *keys, "SET", "plain")
        writing.set()

    def read() -> None:
        while not writing.is_set():
            assert len(set(spread.execute("MGET", *keys))) == 1
            assert len(set(spread.execute("DEBUG", "KEVYRT-REACH", *reversed(keys)))) == 1

    jobs = [lambda: write(keys, "a"), lambda: write(keys[::-1], "b"), write_plainly, read, read]
    assert _run_together(*jobs) == []
