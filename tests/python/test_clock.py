"""The virtual clock: what follows it, on the wire and in process, and that nobody sleeps for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from harness.client import Connection
from programs import Program

import kevyrt

NEW_YEAR = 1893456000  # 2030-01-01
PATIENCE_S = 20.0
VARIANTS = [(io, threads) for io in ("io_uring", "epoll") for threads in (1, 3)]


@pytest.fixture(params=VARIANTS, ids=lambda variant: f"{variant[0]}-{variant[1]}")
def server(request: pytest.FixtureRequest) -> Iterator[kevyrt.Server]:
    io, threads = request.param
    with kevyrt.Server(io=io, threads=threads, enable_debug_command="yes") as running:
        running.clock.freeze()
        yield running


@pytest.fixture
def wire(server: kevyrt.Server) -> Iterator[Connection]:
    with open_wire(server) as connection:
        yield connection


def open_wire(server: kevyrt.Server) -> Connection:
    return Connection(("127.0.0.1", server.port))


class Call(threading.Thread):
    """In a thread of its own."""

    def __init__(self, call: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self._call = call
        self.result: object = None
        self.start()

    def run(self) -> None:
        try:
            self.result = self._call()
        except BaseException as error:
            self.result = error

    def done(self) -> object:
        self.join(PATIENCE_S)
        assert not self.is_alive(), "it waits on"
        return self.result


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def blocked(server: kevyrt.Server) -> int:
    text = server.execute("INFO", "clients").decode()
    return int(text.partition("blocked_clients:")[2].split()[0])


def await_blocked(server: kevyrt.Server, count: int) -> None:
    eventually(lambda: blocked(server) == count)


# ---- Data ---------------------------------------------------------------------------------------


def test_it_stands(server: kevyrt.Server, wire: Connection) -> None:
    assert server.clock.frozen
    before, now = wire.do("TIME"), server.clock.now()
    time.sleep(0.003)
    assert wire.do("TIME") == before
    assert server.clock.now() == now
    seconds, micros = (int(part.value) for part in before.value)
    assert seconds + micros / 1e6 == pytest.approx(now, abs=1e-6)


def test_keys_expire_when_it_moves(server: kevyrt.Server, wire: Connection) -> None:
    server.execute("SET", "k", "v", "EX", 60)
    server.execute("SET", "other", "v", "PX", 60001)
    server.clock.advance(59.999)
    assert server.execute("PTTL", "k") == 1
    assert wire.do("GET", "k").value == b"v"
    server.clock.advance(timedelta(milliseconds=1))
    assert server.execute("DBSIZE") == 1
    assert wire.do("GET", "k").value is None
    assert wire.do("PTTL", "other").value == 1


def test_fields_expire_when_it_moves(server: kevyrt.Server) -> None:
    for i in range(300):
        server.execute("HSET", f"h{i}", "stays", 1, "goes", 2)
        server.execute("HEXPIRE", f"h{i}", 10, "FIELDS", 1, "goes")
        server.execute("HSET", f"gone{i}", "goes", 2)
        server.execute("HEXPIRE", f"gone{i}", 10, "FIELDS", 1, "goes")
    server.clock.advance(10)
    assert server.execute("DBSIZE") == 300
    assert all(server.execute("HLEN", f"h{i}") == 1 for i in range(300))


def test_all_that_is_due_goes_at_once(server: kevyrt.Server) -> None:
    for i in range(5000):
        server.execute("SET", f"k{i}", "v", "EX", 100 + i % 2 * 100, db=i % 3)
    server.clock.advance(150)
    assert [server.execute("DBSIZE", db=db) for db in range(3)] == [833, 834, 833]
    server.clock.advance(50)
    assert [server.execute("DBSIZE", db=db) for db in range(3)] == [0, 0, 0]


def test_notifications_come_without_a_look(server: kevyrt.Server, wire: Connection) -> None:
    server.execute("CONFIG", "SET", "notify-keyspace-events", "Ex")
    wire.do("SUBSCRIBE", "__keyevent@0__:expired")
    for i in range(20):
        server.execute("SET", f"k{i}", "v", "EX", 5)
    server.clock.advance(5)
    told = {wire.read().value[2].value for _ in range(20)}
    assert told == {f"k{i}".encode() for i in range(20)}


def test_set_goes_both_ways(server: kevyrt.Server, wire: Connection) -> None:
    server.clock.set(NEW_YEAR)
    assert [int(part.value) for part in wire.do("TIME").value] == [NEW_YEAR, 0]
    server.execute("SET", "k", "v", "EX", 100)
    server.clock.set(NEW_YEAR - 50)
    assert server.execute("TTL", "k") == 150
    assert server.clock.now() == NEW_YEAR - 50
    server.clock.set(datetime(2030, 1, 1, 0, 1, 40, tzinfo=timezone.utc))
    assert server.execute("EXISTS", "k") == 0
    assert wire.do("XADD", "s", "*", "f", "v").value == b"%d-0" % ((NEW_YEAR + 100) * 1000)


def test_microseconds(server: kevyrt.Server, wire: Connection) -> None:
    server.clock.set(NEW_YEAR + 0.123456)
    assert [int(part.value) for part in wire.do("TIME").value] == [NEW_YEAR, 123456]
    server.clock.advance(0.000001)
    assert [int(part.value) for part in wire.do("TIME").value] == [NEW_YEAR, 123457]


def test_idle_times(server: kevyrt.Server) -> None:
    server.execute("SET", "k", "v")
    server.clock.advance(1000)
    assert server.execute("OBJECT", "IDLETIME", "k") == 1000


def test_ids_of_streams_stay_ahead(server: kevyrt.Server) -> None:
    server.clock.set(NEW_YEAR)
    server.execute("XADD", "s", "*", "f", "v")
    server.clock.set(NEW_YEAR - 1000)
    assert server.execute("XADD", "s", "*", "f", "v") == b"%d-1" % (NEW_YEAR * 1000)


def test_a_transaction_has_one_time(server: kevyrt.Server) -> None:
    with server.session() as session:
        session.execute("MULTI")
        session.execute("TIME")
        session.execute("TIME")
        first, second = session.execute("EXEC")
        assert first == second


# ---- Who waits ----------------------------------------------------------------------------------

WAITING = [
    ("BLPOP", "a", "b", "30"),
    ("BLMOVE", "a", "b", "LEFT", "LEFT", "30"),
    ("BZPOPMIN", "z", "30"),
    ("XREAD", "BLOCK", "30000", "STREAMS", "s", "$"),
    ("WAIT", "1", "30000"),
]


@pytest.mark.parametrize("command", WAITING, ids=lambda command: command[0])
def test_time_outs_of_connections(
    server: kevyrt.Server, wire: Connection, command: tuple[str, ...]
) -> None:
    wire.send(b"".join((wire_words(*command), wire_words("PING"))))
    await_blocked(server, 1)
    server.clock.advance(29.999999)
    assert blocked(server) == 1
    server.clock.advance(0.000001)
    assert wire.read().value in (None, 0)
    assert wire.read().value == b"PONG"
    assert blocked(server) == 0


def wire_words(*words: str) -> bytes:
    return f"*{len(words)}\r\n".encode() + b"".join(
        f"${len(word)}\r\n{word}\r\n".encode() for word in words
    )


@pytest.mark.parametrize("command", WAITING, ids=lambda command: command[0])
def test_time_outs_in_process(server: kevyrt.Server, command: tuple[str, ...]) -> None:
    call = Call(lambda: server.execute(*command))
    await_blocked(server, 1)
    server.clock.advance(29.999999)
    assert blocked(server) == 1
    server.clock.advance(0.000001)
    assert call.done() in (None, 0)
    assert blocked(server) == 0


def test_who_has_no_more_time_is_not_served(server: kevyrt.Server, wire: Connection) -> None:
    for _ in range(20):
        wire.send(wire_words("BLPOP", "q", "5"))
        await_blocked(server, 1)
        server.clock.advance(5)
        assert server.execute("RPUSH", "q", "x") == 1
        assert wire.read().value is None
        assert server.execute("LPOP", "q") == b"x"


def test_back_leaves_who_waits_his_time(server: kevyrt.Server, wire: Connection) -> None:
    wire.send(wire_words("BLPOP", "q", "30"))
    call = Call(lambda: server.execute("BLPOP", "q", 30))
    await_blocked(server, 2)
    server.clock.advance(20)
    server.clock.set(NEW_YEAR - 10**9)
    server.clock.advance(9)
    assert blocked(server) == 2
    server.clock.advance(1)
    assert wire.read().value is None
    assert call.done() is None


def test_a_real_clock_again_ends_waiting(server: kevyrt.Server, wire: Connection) -> None:
    """What time passed while it stood has not passed for who waits; what is left passes now."""
    wire.send(wire_words("BLPOP", "q", "0.05"))
    call = Call(lambda: server.execute("BLPOP", "q", 0.05))
    await_blocked(server, 2)
    time.sleep(0.1)
    assert blocked(server) == 2
    server.clock.resume()
    assert wire.read().value is None
    assert call.done() is None
    assert server.clock.offset < 0
    server.clock.reset()
    assert server.clock.offset == 0


def test_many_time_outs(server: kevyrt.Server) -> None:
    connections = [open_wire(server) for _ in range(50)]
    for i, connection in enumerate(connections):
        connection.send(wire_words("BLPOP", f"q{i}", str(i % 10 + 1)))
    calls = [Call(lambda i=i: server.execute("BLPOP", f"q{i}", i % 10 + 1)) for i in range(20)]
    await_blocked(server, 70)
    for i in range(10):
        server.clock.advance(1)
        await_blocked(server, 63 - 7 * i)
    assert [connection.read().value for connection in connections] == [None] * 50
    assert [call.done() for call in calls] == [None] * 20
    for connection in connections:
        connection.close()


def test_a_pause_ends(server: kevyrt.Server, wire: Connection) -> None:
    assert wire.do("CLIENT", "PAUSE", "60000", "WRITE").value == b"OK"
    wire.send(wire_words("SET", "a", "1"))
    call = Call(lambda: server.execute("SET", "b", "2"))
    server.clock.advance(59)
    assert wire.silent_for(0.05)
    assert call.is_alive()
    server.clock.advance(1)
    assert wire.read().value == b"OK"
    assert call.done() == "OK"


def test_waiting_for_the_log(server: kevyrt.Server, wire: Connection) -> None:
    wire.send(wire_words("WAITAOF", "0", "1", "30000"))
    call = Call(lambda: server.execute("WAITAOF", 0, 1, 30000))
    await_blocked(server, 2)
    server.clock.advance(30)
    assert [part.value for part in wire.read().value] == [0, 0]
    assert call.done() == [0, 0]


def test_nobody_looks_at_intervals(server: kevyrt.Server, wire: Connection) -> None:
    server.clock.advance(1000)
    server.clock.resume()
    server.clock.freeze()
    server.execute("SET", "k", "v", "PX", 10)
    wire.send(wire_words("BLPOP", "q", "0.01"))
    call = Call(lambda: server.execute("BLPOP", "q", 0.01))
    await_blocked(server, 2)
    time.sleep(0.15)  # what was under way
    before = [shard.loops for shard in server.stats().shards]
    time.sleep(0.2)
    assert [shard.loops for shard in server.stats().shards] == before
    server.clock.advance(0.01)
    assert wire.read().value is None
    assert call.done() is None
    assert server.execute("DBSIZE") == 0
    server.execute("SET", "k", "v", "PX", 10)
    server.clock.resume()
    eventually(lambda: server.execute("DBSIZE") == 0)


def test_unblock_and_pushes_while_it_stands(server: kevyrt.Server, wire: Connection) -> None:
    number = wire.do("CLIENT", "ID").value
    wire.send(wire_words("BLPOP", "q", "5"))
    await_blocked(server, 1)
    assert server.execute("CLIENT", "UNBLOCK", number) == 1
    assert wire.read().value is None
    wire.send(wire_words("BLPOP", "q", "5"))
    await_blocked(server, 1)
    server.execute("RPUSH", "q", "x")
    assert wire.read().value[1].value == b"x"


def test_the_stop_tells_who_waits_for_nothing() -> None:
    """Also those who are in no queue, and have no time-out."""
    server = kevyrt.Server().start()
    calls = [
        Call(lambda: server.execute("WAIT", 1, 0)),
        Call(lambda: server.execute("WAIT", 1, 99000)),
    ]
    await_blocked(server, 2)
    server.stop()
    for call in calls:
        assert isinstance(call.done(), kevyrt.ServerStopped)


# ---- The clock itself ---------------------------------------------------------------------------


def test_it_runs_on_from_where_it_stands(server: kevyrt.Server) -> None:
    server.clock.set(NEW_YEAR)
    server.clock.resume()
    assert not server.clock.frozen
    eventually(lambda: server.clock.now() > NEW_YEAR + 0.01)
    assert server.clock.now() < NEW_YEAR + PATIENCE_S
    assert int(server.execute("TIME")[0]) >= NEW_YEAR
    server.clock.advance(1000)
    assert server.clock.now() >= NEW_YEAR + 1000


def test_deadlines_pass_behind_an_offset(server: kevyrt.Server, wire: Connection) -> None:
    server.clock.set(NEW_YEAR)
    server.clock.resume()
    server.execute("SET", "k", "v", "PX", 30)
    assert wire.do("BLPOP", "q", "0.02").value is None
    assert server.execute("BLPOP", "q", 0.02) is None
    eventually(lambda: server.execute("EXISTS", "k") == 0)


def test_it_stays_over_a_stop(tmp_path: Path) -> None:
    server = kevyrt.Server(appendonly=True, dir=tmp_path)
    server.clock.freeze()
    server.clock.set(NEW_YEAR)
    with server:
        assert int(server.execute("TIME")[0]) == NEW_YEAR
        server.execute("SET", "k", "v", "EX", 100)
        server.execute("SET", "short", "v", "EX", 50)
    server.clock.advance(60)
    with server:
        assert server.execute("TTL", "k") == 40
        assert server.execute("EXISTS", "short") == 0
        server.clock.set(NEW_YEAR - 86400)
    server.stop()
    assert server.clock.now() == NEW_YEAR - 86400


def test_snapshots_go_by_it() -> None:
    with kevyrt.Server() as server, server.clock.frozen_at(NEW_YEAR):
        server.execute("SET", "k", "v", "EX", 100)
        before = server.snapshot()
        server.clock.set(NEW_YEAR + 50)
        server.restore(before)
        assert server.execute("TTL", "k") == 50
        server.clock.set(NEW_YEAR + 200)
        server.restore(before)
        assert server.execute("DBSIZE") == 0
        server.clock.set(NEW_YEAR)
        server.restore(before)
        assert server.execute("TTL", "k") == 100


def test_blocks_restore_it() -> None:
    with kevyrt.Server() as server:
        with server.clock.frozen_at(NEW_YEAR) as clock:
            assert clock.now() == NEW_YEAR
            with clock.frozen_at(NEW_YEAR + 1):
                assert clock.now() == NEW_YEAR + 1
            assert clock.frozen
            assert clock.now() == NEW_YEAR
            clock.resume()
        assert not server.clock.frozen
        assert server.clock.offset == 0
        server.clock.advance(1000)
        with pytest.raises(ZeroDivisionError), server.clock.frozen_at(datetime(2031, 1, 1)):
            assert server.clock.now() == datetime(2031, 1, 1).timestamp()
            _ = 1 / 0
        assert server.clock.offset == pytest.approx(1000)
        assert not server.clock.frozen


@pytest.mark.parametrize("seconds", [-1, -0.001, float("nan"), float("inf"), 1e12, timedelta(-1)])
def test_impossible_durations(seconds: float | timedelta) -> None:
    server = kevyrt.Server()
    before = server.clock.offset
    with pytest.raises(ValueError, match=r"negative|number|1970"):
        server.clock.advance(seconds)
    assert server.clock.offset == before


@pytest.mark.parametrize("moment", [-1, 253402300800, float("nan"), float("-inf")])
def test_impossible_moments(moment: float) -> None:
    server = kevyrt.Server()
    with pytest.raises(ValueError, match="1970"):
        server.clock.set(moment)
    with pytest.raises(ValueError, match="1970"), server.clock.frozen_at(moment):
        pass
    assert not server.clock.frozen


def test_wrong_types() -> None:
    clock = kevyrt.Server().clock
    for value in (True, "1", None, b"1"):
        with pytest.raises(TypeError, match="number"):
            clock.advance(value)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="datetime"):
            clock.set(value)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        clock.advance(datetime(2030, 1, 1))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        clock.set(timedelta(1))  # type: ignore[arg-type]


def test_all_of_the_time_that_there_is() -> None:
    with kevyrt.Server() as server:
        server.clock.freeze()
        for moment in (0, 1, 253402300799, 0, 253402300799.5):
            server.clock.set(moment)
            server.execute("SET", "k", "v", "PX", 1)
            assert server.clock.now() == moment
            assert server.execute("PTTL", "k") in (1, -2)
        with pytest.raises(ValueError, match="9999"):
            server.clock.advance(0.5)


def test_under_load(server: kevyrt.Server) -> None:
    """Threads call and wait while another moves the clock: every time-out comes, and no call sees
    time go back."""
    over = threading.Event()

    def wait() -> int:
        rounds = 0
        while not over.is_set():
            assert server.execute("BLPOP", "nothing", 1) is None
            rounds += 1
        return rounds

    def look() -> int:
        last = 0.0
        while not over.is_set():
            seconds, micros = server.execute("TIME")
            now = int(seconds) + int(micros) / 1e6
            assert now >= last
            last = now
        return 1

    calls = [Call(wait), Call(wait), Call(look)]
    for _ in range(300):
        server.clock.advance(1)
    over.set()
    server.clock.advance(1)
    server.clock.resume()
    assert all(isinstance(call.done(), int) for call in calls), [call.result for call in calls]


def test_in_a_child(program: Program) -> None:
    program(
        """
import os
import kevyrt
server = kevyrt.Server().start()
server.clock.freeze()
child = os.fork()
if not child:
    for use in (server.clock.freeze, server.clock.now, lambda: server.clock.frozen):
        try:
            use()
        except kevyrt.ForkedError:
            continue
        os._exit(1)
    with kevyrt.Server() as own:
        own.clock.advance(5)
        assert own.clock.offset == 5
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
server.stop()
"""
    )
