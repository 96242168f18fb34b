"""Pipelines and transactions in process: one crossing into C, redis-py's behaviour."""

from __future__ import annotations

import gc
import re
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

import kevyrt


@pytest.fixture(params=["1-auto", "3-auto", "3-never", "3-always"])
def server(request: pytest.FixtureRequest) -> Iterator[kevyrt.Server]:
    threads, borrow = request.param.split("-")
    settings = {"debug_borrow": borrow, "enable_debug_command": "yes"}
    with kevyrt.Server(threads=int(threads), **settings) as running:
        yield running


@pytest.fixture(params=[True, False], ids=["atomic", "plain"])
def atomic(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_results_are_those_of_the_methods(server: kevyrt.Server, atomic: bool) -> None:
    pipe = server.pipeline(atomic)
    assert len(pipe) == 0 and pipe and pipe.execute() == []
    assert pipe.set("a", 1) is pipe
    pipe.incrby("a").get("a").mget(["a", "b"]).expire("a", 100).sinter("s")
    assert len(pipe) == 6
    assert list(pipe)[:2] == [(b"SET", b"a", b"1"), (b"INCRBY", b"a", b"1")]
    assert pipe.execute() == [True, 2, b"2", [b"2", None], True, set()]
    assert len(pipe) == 0
    assert pipe.zadd("z", {"x": 1}).execute() == [1]


def test_many_commands(server: kevyrt.Server, atomic: bool) -> None:
    count = 3000
    with server.pipeline(atomic) as pipe:
        for i in range(count):
            pipe.set(f"key:{i}", f"value {i}" * (i % 7))
        assert pipe.execute() == [True] * count
        for i in range(count):
            pipe.get(f"key:{i}")
        assert pipe.execute() == [b"value %d" % i * (i % 7) for i in range(count)]


def test_errors(server: kevyrt.Server, atomic: bool) -> None:
    pipe = server.pipeline(atomic)
    pipe.set("a", "x").incrby("a").get("a")
    with pytest.raises(kevyrt.ResponseError) as raised:
        pipe.execute()
    assert str(raised.value) == (
        "Command # 2 (INCRBY a 1) of pipeline caused error: value is not an integer or out of range"
    )
    assert len(pipe) == 0 and server.get("a") == b"x"
    pipe.incrby("a").get("a").lpop("a")
    error, value, wrong = pipe.execute(raise_on_error=False)
    assert str(error) == "value is not an integer or out of range" and value == b"x"
    assert isinstance(wrong, kevyrt.WrongTypeError)


def test_what_cannot_be_queued(server: kevyrt.Server) -> None:
    pipe = server.pipeline()
    pipe.set("a", 1).execute_command("NONSENSE", "x").execute_command("GET")
    with pytest.raises(kevyrt.ResponseError, match=r"Command # 2 \(NONSENSE x\) of pipeline"):
        pipe.execute()
    assert server.get("a") is None
    with pytest.raises(kevyrt.ResponseError, match="not allowed inside a transaction"):
        pipe.set("a", 1).execute_command("EXEC").execute()
    assert server.get("a") is None
    plain = server.pipeline(transaction=False)
    plain.set("a", 1).execute_command("NONSENSE").execute_command("GET").get("a")
    ok, unknown, arity, value = plain.execute(raise_on_error=False)
    assert (ok, value) == (True, b"1")
    assert "unknown command" in str(unknown) and "wrong number" in str(arity)


def test_watch(server: kevyrt.Server) -> None:
    with server.pipeline() as pipe:
        assert pipe.watch("a") is True
        assert pipe.get("a") is None and pipe.set("b", 1) is True
        pipe.multi()
        assert pipe.set("a", 2) is pipe and pipe.execute() == [True]
        pipe.watch("a")
        server.set("a", 3)
        pipe.multi()
        pipe.set("a", 4)
        with pytest.raises(kevyrt.WatchError, match="Watched variable changed"):
            pipe.execute()
        assert server.get("a") == b"3" and len(pipe) == 0
        pipe.watch("a")
        server.set("a", 5)
        assert pipe.unwatch() is True
        assert pipe.set("a", 6).execute() == [True]


def test_transaction(server: kevyrt.Server) -> None:
    tries = []

    def double(pipe: kevyrt.Pipeline) -> str:
        seen = int(pipe.get("n") or 1)
        tries.append(seen)
        if len(tries) < 3:
            server.set("n", seen + 10)
        pipe.multi()
        pipe.set("n", seen * 2)
        return "done"

    assert server.transaction(double, "n") == [True]
    assert tries == [1, 11, 21] and server.get("n") == b"42"
    assert server.transaction(double, "n", value_from_callable=True, watch_delay=0.001) == "done"


def test_of_a_database_that_is_not_there(server: kevyrt.Server, atomic: bool) -> None:
    pipe = server.database(99).pipeline(atomic)
    with pytest.raises(ValueError, match="db is out of range"):
        pipe.set("k", "v").execute()
    with pytest.raises(ValueError, match="db is out of range"):
        pipe.watch("k")
    assert server.dbsize() == 0


def test_of_databases_and_sessions(server: kevyrt.Server, atomic: bool) -> None:
    other = server.database(3)
    assert other.pipeline(atomic).set("k", "three").get("k").execute() == [True, b"three"]
    assert server.get("k") is None
    with other.pipeline() as pipe:
        pipe.watch("k")
        assert pipe.get("k") == b"three"
    with server.session() as session:
        session.execute("SELECT", 3)
        assert session.pipeline(atomic).get("k").execute() == [b"three"]
        session.execute("MULTI")
        with pytest.raises(kevyrt.ResponseError, match="MULTI calls can not be nested"):
            session.pipeline().get("k").execute()
        assert session.execute("EXEC") == []
    with pytest.raises(RuntimeError, match="closed"):
        session.pipeline()


def test_threads_that_share_a_pipeline(server: kevyrt.Server) -> None:
    """Whoever comes while another thread is inside gets a RuntimeError; nothing is torn."""
    pipe = server.pipeline()
    seen: list[str] = []
    barrier = threading.Barrier(3)

    def hammer(number: int) -> None:
        barrier.wait()
        for i in range(300):
            try:
                pipe.set(f"t:{number}", i).get(f"t:{number}")
                if i % 5 == 0:
                    for result in pipe.execute():
                        assert result is True or isinstance(result, bytes)
                if i % 50 == 0:
                    pipe.watch("w")
                    pipe.multi()
                if i % 70 == 0:
                    pipe.reset()
            except (RuntimeError, kevyrt.Error) as error:
                seen.append(str(error))

    threads = [threading.Thread(target=hammer, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    allowed = ("another thread is inside", "MULTI", "WATCH", "already been issued")
    assert all(any(word in text for word in allowed) for text in seen), set(seen)
    pipe.reset()
    assert pipe.set("last", 1).execute() == [True]


def test_threads_with_pipelines_of_their_own(server: kevyrt.Server, atomic: bool) -> None:
    wrong: list[object] = []

    def count() -> None:
        pipe = server.pipeline(atomic)
        for _ in range(100):
            pipe.incr("all").incr("both")
            first, second = pipe.execute()
            if atomic and first != second:
                wrong.append((first, second))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == [] and server.mget("all", "both") == [b"400", b"400"]


def test_a_stop_while_it_executes(server: kevyrt.Server, atomic: bool) -> None:
    ended: list[BaseException] = []

    def run() -> None:
        pipe = server.pipeline(atomic)
        try:
            while True:
                for i in range(200):
                    pipe.set(f"k{i}", i)
                assert pipe.execute() == [True] * 200
        except BaseException as error:
            ended.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    while server.dbsize() < 200:
        time.sleep(0.001)
    server.stop()
    for thread in threads:
        thread.join()
    assert [type(error) for error in ended] == [kevyrt.ServerStopped] * 2


def test_waiters_are_served(server: kevyrt.Server, atomic: bool) -> None:
    popped: list[object] = []
    waiter = threading.Thread(target=lambda: popped.append(server.blpop(["a", "b"], timeout=20)))
    waiter.start()
    time.sleep(0.02)  # it waits as a rule; if it comes later, the result is the same
    pushed = server.pipeline(atomic).rpush("b", "x").llen("b").execute()
    waiter.join()
    assert popped == [(b"b", b"x")] and pushed[0] == 1


def test_what_it_keeps(server: kevyrt.Server) -> None:
    class Maker:
        def __call__(self, reply: object) -> tuple[str, object]:
            return ("made", reply)

    made = Maker()
    alive = weakref.ref(made)
    pipe = server.pipeline()
    pipe._run(made, "ECHO", "x")
    del made
    gc.collect()
    assert alive() is not None
    assert pipe.execute() == [("made", b"x")]
    gc.collect()
    assert alive() is None


def test_a_result_that_raises(server: kevyrt.Server, atomic: bool) -> None:
    def fail(reply: object) -> object:
        raise LookupError(reply)

    pipe = server.pipeline(atomic)
    pipe.set("a", 1)
    pipe._run(fail, "GET", "a")
    with pytest.raises(LookupError):
        pipe.execute()
    assert len(pipe) == 0 and pipe.get("a").execute() == [b"1"]


def test_decoded_responses() -> None:
    with kevyrt.Server(port=None, decode_responses=True) as server:
        pipe = server.pipeline(transaction=False)
        pipe.set("a", "ü").get("a").hset("h", "f", "v").hgetall("h").mget("a", "b")
        assert pipe.execute() == [True, "ü", 1, {"f": "v"}, ["ü", None]]


def test_how_the_server_sees_a_transaction(server: kevyrt.Server) -> None:
    server.config_resetstat()
    server.pipeline().set("a", 1).get("a").execute()
    statistics = server.info("commandstats")
    calls = {name: fields["calls"] for name, fields in statistics.items()}
    assert calls["cmdstat_multi"] == calls["cmdstat_exec"] == calls["cmdstat_set"] == 1


def test_writes_beyond_the_limit_are_refused_when_queued() -> None:
    with kevyrt.Server(port=None) as server:
        server.set("big", b"x" * 2_000_000)
        server.config_set("maxmemory", "1mb")
        pipe = server.pipeline().get("none").set("a", 1)
        with pytest.raises(kevyrt.OutOfMemoryError, match=r"Command # \d \(.*\) of pipeline"):
            pipe.execute()
        assert server.exists("a") == 0
        plain = server.pipeline(transaction=False).get("none").set("a", 1)
        none, refused = plain.execute(raise_on_error=False)
        assert none is None and isinstance(refused, kevyrt.OutOfMemoryError)


def test_with_a_log(tmp_path: Path, atomic: bool) -> None:
    """What is answered is on disk, and a transaction is one group there."""
    settings = {"appendonly": True, "dir": str(tmp_path), "appendfsync": "always"}
    with kevyrt.Server(port=None, threads=3, **settings) as server:
        for i in range(5):
            pipe = server.pipeline(atomic).set(f"a{i}", i).incr(f"b{i}").get(f"a{i}")
            assert pipe.execute() == [True, 1, b"%d" % i]
        with server.pipeline(atomic) as pipe:
            pipe.watch("a0")
            pipe.multi()
            assert pipe.get("a0").execute() == [b"0"]
    logged = b"".join(path.read_bytes() for path in tmp_path.rglob("*.incr.aof"))
    assert logged.count(b"\r\nMULTI\r\n") == logged.count(b"\r\nEXEC\r\n") == (5 if atomic else 0)
    with kevyrt.Server(port=None, **settings) as again:
        assert again.mget("a4", "b4") == [b"4", b"1"]


def test_what_monitors_see(server: kevyrt.Server) -> None:
    with redis.Redis(port=server.port, socket_timeout=20) as client, client.monitor() as monitor:
        server.pipeline().set("a", 1).get("a").execute()
        server.pipeline(transaction=False).get("a").execute()
        server.execute("PING")
        seen: list[bytes] = []
        while not seen or seen[-1] != b"PING":
            line = monitor.connection.read_response()
            seen.append(b" ".join(re.findall(rb'"([^"]*)"', line)))
        assert seen == [b"MULTI", b"SET a 1", b"GET a", b"EXEC", b"GET a", b"PING"]


def test_an_end_that_queues_again(server: kevyrt.Server) -> None:
    pipe = server.pipeline()

    class Maker:
        def __call__(self, reply: object) -> object:
            return reply

        def __del__(self) -> None:
            for number in range(40):
                pipe.echo(number)

    for _ in range(3):
        pipe._run(Maker(), "ECHO", "first")
    assert pipe.execute() == [b"first"] * 3
    assert pipe.execute() == [b"%d" % number for number in range(40)] * 3
