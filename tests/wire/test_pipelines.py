"""Deep pipelines, readers that stop, half-open sockets and clients that vanish."""

from __future__ import annotations

import random
import time

import pytest
from harness.client import Connection, connections
from harness.process import C_SERVER, Server
from harness.resp import CLOSED, OK, bulk, encode, encode_all, integer

PONG = b"+PONG\r\n"


def _mixed(keys: list[str], count: int, seed: int) -> tuple[list[tuple], list[object]]:
    """Random commands over all shards, and the values that their replies must carry."""
    choose = random.Random(seed)
    data: dict[str, bytes] = {}
    commands: list[tuple] = []
    expected: list[object] = []
    for i in range(count):
        key = choose.choice(keys)
        kind = choose.randrange(5)
        if kind <= 1:
            data[key] = b"v%d" % i
            commands.append(("SET", key, data[key]))
            expected.append(b"OK")
        elif kind == 2:
            commands.append(("GET", key))
            expected.append(data.get(key))
        elif kind == 3:
            commands.append(("MGET", *keys))
            expected.append([data.get(k) for k in keys])
        else:
            commands.append(("DEL", key))
            expected.append(int(data.pop(key, None) is not None))
    return commands, expected


def _plain(reply) -> object:
    return [item.value for item in reply.value] if reply.kind == "array" else reply.value


@pytest.mark.parametrize("depth", [1, 2, 3, 15, 16, 17, 63, 64, 65, 100, 500, 2000])
def test_pipeline_of_all_shards(subject: Server, depth: int) -> None:
    commands, expected = _mixed(subject.spread(9), depth, depth)
    with subject.connect() as connection:
        assert [_plain(reply) for reply in connection.pipeline(commands)] == expected


def test_pipeline_one_key_per_shard_in_turn(subject: Server) -> None:
    keys = subject.spread(9)
    commands = [("INCR", keys[i % 9]) for i in range(1800)]
    with subject.connect() as connection:
        replies = connection.pipeline(commands)
    assert [reply.value for reply in replies] == [i // 9 + 1 for i in range(1800)]


def test_deep_pipeline_of_large_values_read_late(subject: Server) -> None:
    depth, size = 512, 64 << 10
    keys = subject.spread(4)
    values = {key: random.Random(key).randbytes(size) for key in keys}
    with subject.connect() as connection:
        sets = [("SET", keys[i % 4], values[keys[i % 4]]) for i in range(depth)]
        assert connection.pipeline(sets) == [OK] * depth
        connection.send(encode_all(("GET", keys[i % 4]) for i in range(depth)))
        time.sleep(0.1)
        for i in range(depth):
            assert connection.read() == bulk(values[keys[i % 4]]), f"reply {i}"


def test_reader_who_stops_and_resumes(subject: Server) -> None:
    """100 MB wait for a client that does not read; others are served meanwhile."""
    size, count = 1 << 20, 100
    first, second = subject.spread(2)
    values = {key: random.Random(key).randbytes(size) for key in (first, second)}
    with connections(subject.address, 2) as (lazy, other):
        for key, value in values.items():
            assert lazy.do("SET", key, value) == OK
        order = [(first, second)[i % 2] for i in range(count)]
        lazy.send(encode_all(("GET", key) for key in order))
        for _ in range(10):
            assert other.do("PING").value == b"PONG"
        for at, key in enumerate(order):
            if at in (5, 50):
                time.sleep(0.05)
                assert other.do("SET", f"beside:{at}", "v") == OK
            assert lazy.read() == bulk(values[key]), f"reply {at}"
        assert lazy.do("PING").value == b"PONG"


def test_reader_who_stops_and_leaves(subject: Server) -> None:
    """Output for a client that has gone is dropped, and its memory with it."""
    key = subject.spread(2)[1]
    with subject.connect() as other:
        assert other.do("SET", key, b"x" * (1 << 20)) == OK
        for end in ("close", "reset"):
            lazy = subject.connect()
            lazy.send(encode("GET", key) * 30)
            time.sleep(0.02)
            getattr(lazy, end)()
        assert other.do("PING").value == b"PONG"


@pytest.mark.skipif(bool(C_SERVER), reason="a sanitizer keeps freed memory")
def test_vanished_readers_leave_no_memory(subject: Server) -> None:
    keys = subject.spread(3)
    with subject.connect() as other:
        assert other.do("MSET", *(p for k in keys for p in (k, b"x" * (1 << 20)))) == OK
        for turn in range(60):
            if turn == 10:
                before = subject.resident_bytes()
            lazy = subject.connect()
            lazy.send(encode_all(("MGET", *keys) for _ in range(10)))
            (lazy.reset if turn % 2 else lazy.close)()
            assert other.do("PING").value == b"PONG"
    assert subject.resident_bytes() - before < 50 << 20, "50 rounds of 30 MB left memory behind"


def test_slow_reader_gets_every_byte(subject: Server) -> None:
    count = 20_000
    with subject.connect() as connection:
        connection.send(encode("PING") * count)
        received = 0
        connection.sock.settimeout(20)
        while received < count * len(PONG):
            data = connection.sock.recv(1777)
            assert data, "the stream ended early"
            assert data == (PONG * 400)[received % len(PONG) :][: len(data)]
            received += len(data)
        assert connection.do("ECHO", "end") == bulk("end")


def test_half_open_after_pipeline(subject: Server) -> None:
    """The end of the client's stream does not cut off what it asked for."""
    commands, expected = _mixed(subject.spread(9), 1000, 7)
    with subject.connect() as connection:
        connection.send(encode_all(commands))
        connection.shutdown_write()
        replies = connection.read_until_closed()
    assert [_plain(reply) for reply in replies] == expected


def test_half_open_with_large_replies(ours: Server) -> None:
    """Redis drops what its socket does not take at once; we send it all."""
    key = ours.spread(2)[1]
    value = random.Random(5).randbytes(1 << 20)
    with ours.connect() as connection:
        assert connection.do("SET", key, value) == OK
        connection.send(encode("GET", key) * 20)
        connection.shutdown_write()
        time.sleep(0.05)
        assert connection.read_many(20) == [bulk(value)] * 20
        assert connection.read() == CLOSED


def test_half_open_inside_a_command(subject: Server) -> None:
    with subject.connect() as connection:
        connection.send(encode("SET", "k", "v") + encode("SET", "k", "never")[:-4])
        connection.shutdown_write()
        assert connection.read_until_closed() == [OK]
    assert subject.control().do("GET", "k") == bulk("v")


def test_reset_in_the_middle_of_pipelines(subject: Server) -> None:
    """Every client vanishes with commands for all shards outstanding; the server stays in order."""
    keys = subject.spread(9)
    for i in range(40):
        connection = subject.connect()
        connection.send(_burst(keys, i)[: 5_000 + 777 * i])
        (connection.reset if i % 2 else connection.close)()
    with subject.connect() as connection:
        commands, expected = _mixed(keys, 300, 3)
        connection.do("FLUSHALL")
        _await_quiet(connection)
        assert [_plain(reply) for reply in connection.pipeline(commands)] == expected


def _burst(keys: list[str], seed: int) -> bytes:
    commands, _ = _mixed(keys, 1000, seed)
    return encode_all(commands)


def _await_quiet(connection: Connection) -> None:
    """Waits until nobody else's commands change the data any more, and empties it."""
    deadline = time.monotonic() + 10
    while True:
        connection.do("FLUSHALL")
        time.sleep(0.02)
        if connection.do("DBSIZE") == integer(0):
            return
        assert time.monotonic() < deadline, "keys keep appearing"


def test_connections_come_and_go(subject: Server) -> None:
    for i in range(300):
        with subject.connect() as connection:
            if i % 3:
                assert connection.do("INCR", "visits").kind == "integer"
    assert subject.control().do("GET", "visits") == bulk(200)


def test_many_clients_at_once(subject: Server) -> None:
    keys = subject.spread(9)
    with connections(subject.address, 60) as clients:
        for turn in range(20):
            for client in clients:
                client.send(encode_all(("INCR", key) for key in keys))
            for client in clients:
                client.read_many(len(keys))
            assert subject.control().do("GET", keys[turn % 9]) == bulk(60 * (turn + 1))


def test_interleaved_writes_in_pieces(subject: Server) -> None:
    """Thirty clients write their commands in pieces, in turns; each gets its own answers."""
    requests = [encode("ECHO", f"client {i}") * 30 for i in range(30)]
    with connections(subject.address, len(requests)) as clients:
        for at in range(0, max(map(len, requests)), 53):
            for client, request in zip(clients, requests, strict=True):
                client.send(request[at : at + 53])
        for i, client in enumerate(clients):
            assert client.read_many(30) == [bulk(f"client {i}")] * 30
