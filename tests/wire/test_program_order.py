"""A connection's commands take effect in the order sent, however the shards are reached.

Several connections at once pipeline random commands over all shards, each on keys of its own, so
the answers are those of a sequential model. The pipelines arrive in pieces, which puts seams
between parse and execute at any place. And what one connection does to two shards in order, no
other may see out of order.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from harness.client import Connection, connections
from harness.model import Model, plain, random_command
from harness.process import Server
from harness.resp import encode, encode_all, integer

Start = Callable[..., Server]
CLIENTS = 4
KEYS_EACH = 6


def _own_keys(server: Server, client: int) -> list[str]:
    keys = server.spread(CLIENTS * KEYS_EACH)
    return keys[client * KEYS_EACH : (client + 1) * KEYS_EACH]


@pytest.mark.parametrize("seed", range(4))
def test_pipelines_equal_the_sequential_result(order_subject: Server, seed: int) -> None:
    choose = random.Random(seed)
    with connections(order_subject.address, CLIENTS) as clients:
        models = [Model() for _ in clients]
        for turn in range(4):
            batches = [
                [
                    random_command(choose, _own_keys(order_subject, at), f"{turn}:{at}:{i}:")
                    for i in range(choose.choice([1, 5, 60, 200, 400]))
                ]
                for at in range(CLIENTS)
            ]
            _write_in_pieces(choose, clients, [encode_all(batch) for batch in batches])
            for client, model, batch in zip(clients, models, batches, strict=True):
                _check(client, model, batch)


def test_order_by_shard_keeps_each_key_s_order_and_the_replies(own: Start) -> None:
    """With `pipeline-order shard` commands on one key, and replies, keep their order."""
    server = own()
    if not server.is_redis:
        server = own("--pipeline-order", "shard", "--threads", "3")
    choose = random.Random(11)
    keys = [f"key:{i}" for i in range(8)]
    with server.connect() as client:
        counts = dict.fromkeys(keys, 0)
        for _ in range(6):
            chosen = [choose.choice(keys) for _ in range(700)]
            everything = [("MGET", *keys), ("ECHO", "last")]
            client.send(encode_all([*(("INCR", key) for key in chosen), *everything]))
            for key in chosen:
                counts[key] += 1
                assert client.read() == integer(counts[key])
            values = client.read().value
            assert [int(value.value or 0) for value in values] == list(counts.values())
            assert client.read().value == b"last"


def _write_in_pieces(choose: random.Random, clients: list[Connection], data: list[bytes]) -> None:
    """All clients' bytes in random pieces, interleaved."""
    left = [memoryview(blob) for blob in data]
    while any(left):
        at = choose.choice([i for i, rest in enumerate(left) if rest])
        size = choose.choice([1, 7, 100, 3000, 20_000, 100_000])
        clients[at].send(bytes(left[at][:size]))
        left[at] = left[at][size:]


def _check(client: Connection, model: Model, batch: list[tuple]) -> None:
    for at, command in enumerate(batch):
        got, expected = plain(client.read()), model.execute(command)
        assert got == expected, f"command {at} of {len(batch)}, {command}: {got} != {expected}"


def test_effects_on_two_shards_are_seen_in_order(order_subject: Server) -> None:
    """The writer sets the first key, then the second; who sees the second must see the first."""
    first, second = order_subject.spread(2)
    rounds = 300
    with connections(order_subject.address, 2) as (writer, reader):
        writer.send(
            encode_all(
                command
                for i in range(rounds)
                for command in (("SET", first, i), ("SET", second, i), ("GET", second))
            )
        )
        reader.send(encode_all([("GET", second), ("GET", first)] * rounds))
        seen = [int(reply.value or -1) for reply in reader.read_many(2 * rounds)]
        pairs = list(zip(seen[::2], seen[1::2], strict=True))
        late = [pair for pair in pairs if pair[0] > pair[1]]
        assert not late, f"the second key was ahead of the first: {late[:5]}"
        assert [r.value for r in writer.read_many(3 * rounds)[2::3]] == [
            b"%d" % i for i in range(rounds)
        ]


def test_multi_key_writes_are_seen_whole(order_subject: Server) -> None:
    """MSET over all shards is atomic to MGET of another connection, also inside pipelines."""
    keys = order_subject.spread(6)
    rounds = 200
    with connections(order_subject.address, 3) as (left, right, reader):
        for name, writer in (("left", left), ("right", right)):
            writer.send(
                encode_all(
                    ("MSET", *(part for key in keys for part in (key, f"{name}{i}")))
                    for i in range(rounds)
                )
            )
        reader.send(encode("MGET", *keys) * rounds)
        for reply in reader.read_many(rounds):
            values = {item.value for item in reply.value}
            assert len(values) == 1, f"a torn write: {values}"
        left.read_many(rounds)
        right.read_many(rounds)


def test_no_increment_is_lost(order_subject: Server) -> None:
    keys = order_subject.spread(3)
    with connections(order_subject.address, 6) as clients:
        for client in clients:
            client.send(encode_all(("INCR", keys[i % 3]) for i in range(300)))
        replies = [client.read_many(300) for client in clients]
        for at in range(3):
            counts = sorted(reply.value for own in replies for reply in own[at::3])
            assert counts == list(range(1, 601)), "an increment was lost or seen twice"
        assert clients[0].do("INCR", keys[0]) == integer(601)


def test_delete_and_set_in_one_pipeline(order_subject: Server) -> None:
    """A multi-key command between single ones takes its place in the order."""
    keys = order_subject.spread(6)
    commands = []
    for i in range(60):
        commands += [("SET", key, i) for key in keys]
        commands += [
            ("DEL", *keys),
            ("EXISTS", *keys),
            ("MSET", *(p for k in keys for p in (k, i))),
        ]
        commands += [("INCR", key) for key in keys]
        commands += [("MGET", *keys)]
    model = Model()
    with order_subject.connect() as client:
        client.send(encode_all(commands))
        _check(client, model, commands)
