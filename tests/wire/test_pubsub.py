"""Channels: subscribing, publishing, the subscribers' mode of RESP2, and who is told what in which
order."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable

import pytest
from harness.cases import (
    Case,
    Do,
    Pipe,
    Read,
    Silent,
    case,
    in_both_protocols,
    mask_field,
    unordered,
)
from harness.client import Connection, connections
from harness.compare import Oracle
from harness.process import Server
from harness.resp import Reply, bulk, encode_all, integer

Start = Callable[..., Server]
ID = mask_field(b"id")
HELLO3 = Do("HELLO 3", mask=ID)

NOTHING = [
    "PUBLISH c m",
    "SPUBLISH c m",
    ("PUBLISH", b"", b""),
    "PUBLISH c",
    "PUBLISH c m x",
    "SPUBLISH c",
    "SUBSCRIBE",
    "PSUBSCRIBE",
    "SSUBSCRIBE",
    "PUBSUB",
    "PUBSUB NOPE",
    "PUBSUB HELP x",
    "PUBSUB CHANNELS",
    "PUBSUB CHANNELS a b",
    "PUBSUB NUMSUB",
    "PUBSUB NUMSUB a b a",
    "PUBSUB NUMPAT",
    "PUBSUB NUMPAT x",
    "PUBSUB SHARDCHANNELS",
    "PUBSUB SHARDCHANNELS a b",
    "PUBSUB SHARDNUMSUB",
    "PUBSUB SHARDNUMSUB a b",
]

REFUSED = [
    "GET $0",
    "SET $0 v",
    "NOPE",
    "GET",
    "PUBLISH c m",
    "CLIENT ID",
    "CLIENT NOPE",
    "CONFIG GET x",
    "COMMAND COUNT",
    "HELLO 3",
    "ECHO x",
    "SPUBLISH c m",
    "PUBSUB CHANNELS",
]

CASES = [
    case("pubsub-help", "PUBSUB HELP"),
    *in_both_protocols("channels-nothing", *NOTHING),
    *in_both_protocols(
        "channels-unsubscribe-nothing",
        "UNSUBSCRIBE",
        "PUNSUBSCRIBE",
        "SUNSUBSCRIBE",
        "UNSUBSCRIBE a",
        "PUNSUBSCRIBE a*",
        "SUNSUBSCRIBE a",
        Pipe(["UNSUBSCRIBE a b a"], replies=3),
        "GET $0",
    ),
    *in_both_protocols(
        "channels-counts",
        Pipe(["SUBSCRIBE a b a", "PSUBSCRIBE a* b", "SSUBSCRIBE a b", "SUBSCRIBE a c"], replies=9),
        Pipe(["UNSUBSCRIBE b nope b", "PUNSUBSCRIBE b", "SUNSUBSCRIBE a"], replies=5),
        Do("PUBSUB CHANNELS", on=1, mask=unordered),
        Do("PUBSUB CHANNELS *c*", on=1),
        Do(("PUBSUB", "CHANNELS", b""), on=1),
        Do("PUBSUB NUMSUB a b c", on=1),
        Do("PUBSUB NUMPAT", on=1),
        Do("PUBSUB SHARDCHANNELS", on=1),
        Do("PUBSUB SHARDCHANNELS x", on=1),
        Do("PUBSUB SHARDNUMSUB a b", on=1),
        Do("PSUBSCRIBE a*", on=2),
        Do("PSUBSCRIBE c*", on=2),
        Do("PUBSUB NUMPAT", on=1),
        "UNSUBSCRIBE a",
        "UNSUBSCRIBE",
        "PUNSUBSCRIBE",
        "SUNSUBSCRIBE",
        "UNSUBSCRIBE",
        "GET $0",
        Do("PUBSUB CHANNELS", on=1),
        Do("PUBSUB SHARDCHANNELS", on=1),
        Do("PUBSUB NUMPAT", on=1),
    ),
    *in_both_protocols(
        "channels-messages",
        Pipe(["SUBSCRIBE a b", "PSUBSCRIBE a*", "SSUBSCRIBE a"], replies=4),
        Do("PUBLISH a one", on=1),
        Read(2),
        Do("PUBLISH b two", on=1),
        Read(1),
        Do("PUBLISH abc three", on=1),
        Read(1),
        Do("SPUBLISH a four", on=1),
        Read(1),
        Do("SPUBLISH b five", on=1),
        Do("PUBLISH x six", on=1),
        Do(("PUBLISH", "a", b""), on=1),
        Read(2),
        Do(("PUBLISH", "a", b"\r\n\x00\xff"), on=1),
        Read(2),
        Silent(),
        "PING",
        "PING text",
    ),
    *in_both_protocols(
        "channels-long-messages",
        "SUBSCRIBE a",
        "PSUBSCRIBE a*",
        *(
            step
            for size in (100, 1000, 4000, 4095, 4096, 8192, 8193, 16320, 20000, 100_000, 3_000_000)
            for step in (Do(("PUBLISH", "a", b"x" * size), on=1), Read(2))
        ),
        Pipe([("PUBLISH", "a", b"y" * 10_000)] * 30, on=1),
        Read(60),
    ),
    *in_both_protocols(
        "channels-long-names",
        ("SUBSCRIBE", b"n" * 10_000),
        ("PSUBSCRIBE", b"n" * 100 + b"*"),
        Do(("PUBLISH", b"n" * 10_000, "m"), on=1),
        Read(2),
        ("SUBSCRIBE", b""),
        Do(("PUBLISH", b"", "m"), on=1),
        Read(1),
    ),
    *in_both_protocols(
        "channels-globs",
        Pipe(["PSUBSCRIBE h?llo", "PSUBSCRIBE h[ae]llo", ("PSUBSCRIBE", b"h\\*", b"")], replies=4),
        Do("PUBLISH hbllo 1", on=1),
        Read(1),
        Do("PUBLISH heello 2", on=1),
        Do(("PUBLISH", "h*", "3"), on=1),
        Read(1),
        Do(("PUBLISH", "", "4"), on=1),
        Read(1),
    ),
    case(
        "channels-refused", "SUBSCRIBE a", *REFUSED, "PING", "PING x", "PING x y", "PSUBSCRIBE b*"
    ),
    case("channels-refused-pattern", "PSUBSCRIBE a", *REFUSED),
    case("channels-refused-shard", "SSUBSCRIBE a", *REFUSED),
    case(
        "channels-refused-and-allowed", "SUBSCRIBE a", "GET $0", "UNSUBSCRIBE a", "GET $0", "PING"
    ),
    case("channels-refused-quit", "SUBSCRIBE a", "QUIT", Read(None)),
    case(
        "channels-resp3-is-free",
        HELLO3,
        "SUBSCRIBE a",
        "SET $0 v",
        "GET $0",
        "PING",
        "CLIENT GETNAME",
    ),
    case(
        "channels-reset",
        Pipe(["SUBSCRIBE a b", "PSUBSCRIBE c*", "SSUBSCRIBE d"], replies=4),
        "RESET",
        "GET $0",
        Do("PUBSUB CHANNELS", on=1),
        Do("PUBSUB NUMPAT", on=1),
        Do("PUBSUB SHARDCHANNELS", on=1),
        Do("PUBLISH a m", on=1),
        Silent(),
    ),
    case(
        "channels-reset-resp3",
        HELLO3,
        Pipe(["SUBSCRIBE a b", "PSUBSCRIBE c*", "SSUBSCRIBE d"], replies=4),
        "RESET",
        "SUBSCRIBE a",
        "GET $0",
        Do("PUBLISH a m", on=1),
        Read(1),
    ),
    case(
        "channels-hello-while-subscribed",
        HELLO3,
        "SUBSCRIBE a",
        Do("PUBLISH a 1", on=1),
        Read(1),
        Do("HELLO 2", mask=ID),
        Do("PUBLISH a 2", on=1),
        Read(1),
        "GET $0",
        "HELLO 3",
        "PING",
    ),
    *in_both_protocols(
        "channels-silence",
        Pipe(["CLIENT REPLY OFF", "SUBSCRIBE a", "PSUBSCRIBE b", "UNSUBSCRIBE x"], replies=3),
        Do("PUBLISH a m", on=1),
        Read(1),
        Pipe(["UNSUBSCRIBE", "PUNSUBSCRIBE", "PING", "CLIENT REPLY ON", "PING"], replies=4),
    ),
    *in_both_protocols(
        "channels-skipped",
        Pipe(["CLIENT REPLY SKIP", "SUBSCRIBE a", "SUBSCRIBE b"], replies=2),
        Do("PUBLISH a m", on=1),
        Read(1),
    ),
    *in_both_protocols(
        "channels-transaction",
        Do("SUBSCRIBE a b", on=1),
        Read(1, on=1),
        Pipe(
            [
                "MULTI",
                "PUBLISH a 1",
                "SET $0 v",
                "SPUBLISH a x",
                "PUBLISH b 2",
                "PUBLISH a 3",
                "EXEC",
            ]
        ),
        Read(3, on=1),
        Pipe(["MULTI", "PUBLISH a 1", "DISCARD"]),
        Pipe(["MULTI", "PUBLISH a", "PUBLISH a 1", "EXEC"]),
        Silent(on=1),
        Pipe(["MULTI", "SUBSCRIBE c", "PING", "PSUBSCRIBE d", "UNSUBSCRIBE x", "EXEC"]),
        Do("PUBLISH c m", on=2),
        Read(1),
        Pipe(["UNSUBSCRIBE", "PUNSUBSCRIBE"]),
        Pipe(["MULTI", "SUBSCRIBE e f", "EXEC"], replies=4),
        "PING",
    ),
    *in_both_protocols(
        "channels-transaction-silence",
        Pipe(
            ["CLIENT REPLY OFF", "MULTI", "SUBSCRIBE a", "GET $0", "SUBSCRIBE b", "EXEC"], replies=2
        ),
        Do("PUBLISH a m", on=1),
        Read(1),
    ),
    case(
        "channels-transaction-refused",
        "SUBSCRIBE a",
        "MULTI",
        "EXEC",
        "UNSUBSCRIBE",
        Pipe(["MULTI", "SUBSCRIBE a", "GET $0", "EXEC"]),
        "GET $0",
        Pipe(["UNSUBSCRIBE", "MULTI", "SUBSCRIBE a", "EXEC"]),
        "EXEC",
    ),
    *in_both_protocols(
        "channels-disconnected",
        Do("SUBSCRIBE a", on=2),
        Do("PSUBSCRIBE a", on=2),
        Do("QUIT", on=2),
        Read(None, on=2),
        "PUBLISH a m",
        "PUBSUB CHANNELS",
        "PUBSUB NUMPAT",
    ),
    *in_both_protocols(
        "channels-many-subscribers",
        *(Do("SUBSCRIBE a", on=i) for i in range(1, 9)),
        *(Do("PSUBSCRIBE *", on=i) for i in range(5, 12)),
        "PUBLISH a m",
        *(Read(1, on=i) for i in range(1, 5)),
        *(Read(2, on=i) for i in range(5, 9)),
        *(Read(1, on=i) for i in range(9, 12)),
        "PUBLISH b m",
        *(Read(1, on=i) for i in range(5, 12)),
        "PUBSUB NUMSUB a",
        "PUBSUB NUMPAT",
    ),
]


def _await_the_end_of_subscribers(server: Server) -> None:
    """Those of the case before have closed their connections, which the server may not know yet."""
    until = time.monotonic() + 10
    while (
        server.control().do("CLIENT", "LIST", "TYPE", "pubsub").value and time.monotonic() < until
    ):
        time.sleep(0.005)


@pytest.mark.parametrize("a_case", CASES, ids=lambda c: c.name)
def test_pubsub(a_case: Case, subject: Server, oracle: Oracle) -> None:
    _await_the_end_of_subscribers(subject)
    _await_the_end_of_subscribers(oracle.server)
    oracle.check(a_case, subject)


def _push(*items: str | int) -> Reply:
    made = (integer(item) if isinstance(item, int) else bulk(item.encode()) for item in items)
    return Reply("push", tuple(made))


def test_own_messages_come_behind_the_reply(subject: Server) -> None:
    """As in Redis 7.2 and later (redis/redis#12326); 7.0 puts them before the reply."""
    _await_the_end_of_subscribers(subject)
    with subject.connect() as client:
        client.do("HELLO", 3)
        assert client.do("SUBSCRIBE", "a") == _push("subscribe", "a", 1)
        assert client.do("PSUBSCRIBE", "a*") == _push("psubscribe", "a*", 2)
        client.send(encode_all([("PUBLISH", "a", f"{i}") for i in range(3)] + [("PING",)]))
        for i in range(3):
            reply = integer(2)
            messages = [_push("message", "a", f"{i}"), _push("pmessage", "a*", "a", f"{i}")]
            expected = [*messages, reply] if subject.is_redis else [reply, *messages]
            assert client.read_many(3) == expected
        assert client.read().value == b"PONG"


def test_own_messages_come_behind_the_transaction(ours: Server) -> None:
    """As in Redis 7.2 and later (redis/redis#12326); 7.0 puts them into the reply."""
    _await_the_end_of_subscribers(ours)
    with ours.connect() as client:
        client.do("HELLO", 3)
        words = ["MULTI", "PING", "SUBSCRIBE a", "PUBLISH a 1", "UNSUBSCRIBE a", "PUBLISH a 2"]
        words += ["PSUBSCRIBE a*", "PUBLISH a 3", "PING", "EXEC"]
        *_, reply = client.pipeline(word.split() for word in words)
        pong = Reply("simple", b"PONG")
        assert reply.value == (
            pong,
            _push("subscribe", "a", 1),
            integer(1),
            _push("unsubscribe", "a", 0),
            integer(0),
            _push("psubscribe", "a*", 1),
            integer(1),
            pong,
        )
        assert client.read() == _push("message", "a", "1")
        assert client.read() == _push("pmessage", "a*", "a", "3")
        assert client.do("PING") == pong


def test_a_transaction_that_listens_in_between(ours: Server) -> None:
    """What it was told meanwhile comes behind its reply, to it and to nobody else."""
    _await_the_end_of_subscribers(ours)
    with connections(ours.address, 8) as clients:
        for client in clients:
            client.do("HELLO", 3)
            client.do("SUBSCRIBE", "other")
            client.do("UNSUBSCRIBE")
        words = ["MULTI", "SUBSCRIBE a", "PUBLISH a 1", "UNSUBSCRIBE a", "EXEC", "PING"]
        for client in clients:
            client.send(encode_all([tuple(word.split()) for word in words]))
            client.read_many(4)
            assert [reply.kind for reply in client.read().value] == ["push", "integer", "push"]
            assert client.read() == _push("message", "a", "1")
            assert client.read().value == b"PONG"
        for client in clients:
            client.do("SUBSCRIBE", "other")
            assert client.do("PING").value == b"PONG"


def test_what_comes_before_a_transaction_is_told_before(ours: Server) -> None:
    """A message for a channel that a transaction leaves is told before its reply or not counted."""
    _await_the_end_of_subscribers(ours)
    with connections(ours.address, 2) as (client, publisher):
        client.do("HELLO", 3)
        for _ in range(100):
            client.do("SUBSCRIBE", "a")
            publisher.send(encode_all([("PUBLISH", "a", "m")] * 30))
            client.send(encode_all([("MULTI",), ("UNSUBSCRIBE", "a"), ("EXEC",)]))
            told = sum(reply.value for reply in publisher.read_many(30))
            heard = 0
            while (reply := client.read()).kind != "array":
                heard += reply.kind == "push"
            assert heard == told
            assert client.do("PING").value == b"PONG"


# ---- Order and counts, with many at once --------------------------------------------------------


def _messages(connection: Connection, end: bytes) -> list[tuple[bytes, bytes]]:
    """Channel and body of all messages up to the one that says `end`."""
    heard = []
    while True:
        items = connection.read().value
        if items[0].value in (b"subscribe", b"unsubscribe", b"psubscribe", b"punsubscribe"):
            continue
        channel, body = (item.value for item in items[-2:])
        if body == end:
            return heard
        heard.append((channel, body))


def test_all_hear_one_order(subject: Server) -> None:
    """Of all channels together, whoever publishes where, through channels or patterns."""
    _await_the_end_of_subscribers(subject)
    with connections(subject.address, 5) as listeners, connections(subject.address, 4) as writers:
        channels = [f"c{i}" for i in range(6)]
        for at, listener in enumerate(listeners):
            listener.send(
                encode_all(
                    [("SUBSCRIBE", *channels, "end")]
                    if at % 2
                    else [("PSUBSCRIBE", "c*"), ("SUBSCRIBE", "end")]
                )
            )
            listener.read_many(7 if at % 2 else 2)
        for turn in range(20):
            for at, writer in enumerate(writers):
                writer.send(
                    encode_all(
                        [("PUBLISH", channels[i % 6], f"{at}:{turn}:{i}") for i in range(30)]
                    )
                )
        for writer in writers:
            assert set(writer.read_many(20 * 30)) == {integer(5)}
        writers[0].do("PUBLISH", "end", "end")
        heard = [_messages(listener, b"end") for listener in listeners]
    assert len(heard[0]) == 20 * 30 * 4
    assert all(other == heard[0] for other in heard[1:])
    for at in range(4):
        own = [body for _, body in heard[0] if body.startswith(b"%d:" % at)]
        assert own == [b"%d:%d:%d" % (at, t, i) for t in range(20) for i in range(30)]


def test_a_message_comes_behind_the_effects_before_it(subject: Server) -> None:
    """Who hears of a write sees it, on whichever shards writer, key, listener and reader are."""
    keys = subject.spread(6)
    with connections(subject.address, 4) as (writer, listener, reader, other):
        listener.do("SUBSCRIBE", "done")
        other.do("HELLO", 3)
        other.do("SUBSCRIBE", "done")
        for turn in range(150):
            key = keys[turn % 6]
            writer.send(encode_all([("SET", key, turn), ("PUBLISH", "done", turn)]))
            assert listener.read().value[2].value == b"%d" % turn
            assert reader.do("GET", key).value == b"%d" % turn
            other.read()
            assert other.do("GET", key).value == b"%d" % turn
            writer.read_many(2)


def _churn(subject: Server, seed: int, stop: threading.Event, totals: list[int]) -> None:
    """Subscribes and unsubscribes; counts the messages, and checks that none comes unasked for."""
    choose = random.Random(seed)
    heard, mine = 0, set()
    with subject.connect() as client:
        while not stop.is_set():
            channel = b"c%d" % choose.randrange(4)
            word = choose.choice([b"subscribe", b"unsubscribe"])
            client.send(encode_all([(word, channel)]))
            while True:
                items = client.read().value
                if items[0].value == word:
                    break
                assert items[1].value in mine
                heard += 1
            (mine.add if word == b"subscribe" else mine.discard)(channel)
            if choose.random() < 0.05:
                client.send(encode_all([("UNSUBSCRIBE",)]))
                for _ in range(max(len(mine), 1)):
                    while client.read().value[0].value != b"unsubscribe":
                        heard += 1
                mine.clear()
        client.send(encode_all([("UNSUBSCRIBE",), ("PING",)]))
        for _ in range(max(len(mine), 1)):
            while client.read().value[0].value != b"unsubscribe":
                heard += 1
    totals.append(heard)


def test_counts_are_exact_while_others_come_and_go(subject: Server) -> None:
    _await_the_end_of_subscribers(subject)
    stop, totals, told = threading.Event(), [], 0
    churners = [
        threading.Thread(target=_churn, args=(subject, seed, stop, totals)) for seed in range(4)
    ]
    for churner in churners:
        churner.start()
    with connections(subject.address, 2) as writers:
        deadline = time.monotonic() + 0.8
        while time.monotonic() < deadline:
            for writer in writers:
                writer.send(encode_all([("PUBLISH", f"c{i % 4}", "m") for i in range(20)]))
            for writer in writers:
                told += sum(reply.value for reply in writer.read_many(20))
    stop.set()
    for churner in churners:
        churner.join(20)
    assert len(totals) == 4
    assert sum(totals) == told > 0
    with subject.connect() as client:
        assert client.do("PUBSUB", "CHANNELS").value == ()


def test_ten_thousand_channels(subject: Server) -> None:
    names = [f"channel:{i}" for i in range(10_000)]
    with connections(subject.address, 2) as (listener, client):
        started = time.monotonic()
        listener.send(encode_all([("SUBSCRIBE", *names), ("PSUBSCRIBE", *names)]))
        assert listener.read_many(20_000)[-1].value[2].value == 20_000
        assert client.do("PUBSUB", "NUMPAT") == integer(10_000)
        listener.send(encode_all([("UNSUBSCRIBE", name) for name in names[::2]]))
        assert listener.read_many(5000)[-1].value[2].value == 15_000
        assert len(client.do("PUBSUB", "CHANNELS").value) == 5000
        listener.close()
        until = time.monotonic() + 10
        while client.do("PUBSUB", "CHANNELS").value and time.monotonic() < until:
            time.sleep(0.01)
        assert client.do("PUBSUB", "CHANNELS").value == ()
        assert time.monotonic() - started < 10


# ---- Subscribers as clients ------------------------------------------------------------------


def _row(client: Connection, number: int) -> dict[str, str]:
    line = client.do("CLIENT", "LIST", "ID", number).value.decode()
    return dict(field.split("=", 1) for field in line.split())


def test_client_list_tells_of_subscriptions(subject: Server) -> None:
    _await_the_end_of_subscribers(subject)
    with connections(subject.address, 2) as (listener, client):
        number = listener.do("CLIENT", "ID").value
        before = _row(client, number)
        assert (before["flags"], before["sub"], before["psub"], before["ssub"]) == ("N", *"000")
        listener.send(
            encode_all([("SUBSCRIBE", "a", "b"), ("PSUBSCRIBE", "c*"), ("SSUBSCRIBE", *"def")])
        )
        listener.read_many(6)
        row = _row(client, number)
        assert (row["flags"], row["sub"], row["psub"], row["ssub"]) == ("P", *"213")
        assert row["cmd"] == "ssubscribe"
        assert int(row["tot-mem"]) > int(before["tot-mem"])
        assert [r["id"] for r in _rows(client, "pubsub")] == [str(number)]
        assert str(number) not in [r["id"] for r in _rows(client, "normal")]
        listener.send(encode_all([("UNSUBSCRIBE",), ("PUNSUBSCRIBE",), ("SUNSUBSCRIBE",)]))
        listener.read_many(6)
        assert _row(client, number)["flags"] == "N"
        assert _rows(client, "pubsub") == []


def _rows(client: Connection, kind: str) -> list[dict[str, str]]:
    lines = client.do("CLIENT", "LIST", "TYPE", kind).value.decode().splitlines()
    return [dict(field.split("=", 1) for field in line.split()) for line in lines]


def test_kill_by_type(own: Start) -> None:
    subject = own()
    with connections(subject.address, 4) as (listener, other, client, normal):
        listener.do("SUBSCRIBE", "a")
        other.do("SSUBSCRIBE", "a")
        assert client.do("CLIENT", "KILL", "TYPE", "pubsub") == integer(2)
        assert client.do("PUBLISH", "a", "m") == integer(0)
        assert client.do("PUBSUB", "CHANNELS").value == ()
        assert listener.read_until_closed() == other.read_until_closed() == []
        listener = subject.connect()
        listener.do("SUBSCRIBE", "a")
        assert client.do("CLIENT", "KILL", "TYPE", "normal").value >= 1
        assert normal.read_until_closed() == []
        assert client.do("PUBLISH", "a", "m") == integer(1)
        listener.close()


def _info(client: Connection, section: str) -> dict[str, str]:
    lines = client.do("INFO", section).value.decode().split("\r\n")
    return dict(line.split(":", 1) for line in lines if ":" in line)


def test_info_counts_channels(ours: Server) -> None:
    _await_the_end_of_subscribers(ours)
    with connections(ours.address, 4) as (one, two, three, client):
        one.send(encode_all([("SUBSCRIBE", "a", "b"), ("PSUBSCRIBE", "c*")]))
        one.read_many(3)
        two.send(encode_all([("SUBSCRIBE", "a"), ("PSUBSCRIBE", "c*", "d*")]))
        two.read_many(3)
        three.do("SSUBSCRIBE", "a")
        stats = _info(client, "stats")
        assert stats["pubsub_channels"] == stats["pubsub_patterns"] == "2"
        assert stats["pubsubshard_channels"] == "1"
        assert _info(client, "clients")["pubsub_clients"] == "3"


def test_idle_subscribers_stay(own: Start) -> None:
    server = own("--timeout", "2")
    with connections(server.address, 4) as (listener, pattern, shard, client):
        listener.do("SUBSCRIBE", "a")
        pattern.do("PSUBSCRIBE", "a*")
        shard.do("SSUBSCRIBE", "a")
        assert client.read_until_closed() == []
        with server.connect() as publisher:
            assert publisher.do("PUBLISH", "a", "m") == integer(2)
        assert listener.read().value[2].value == pattern.read().value[3].value == b"m"
        listener.do("UNSUBSCRIBE")
        assert listener.read_until_closed() == []


@pytest.mark.parametrize("limit", ["pubsub 1mb 0 0", "pubsub 0 100kb 1"])
def test_slow_subscribers_are_dropped_and_nobody_else(own: Start, limit: str) -> None:
    server = own("--client-output-buffer-limit", limit)
    with connections(server.address, 3) as (slow, quick, publisher):
        slow.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for listener in (slow, quick):
            listener.do("SUBSCRIBE", "a")
        until, sent, counts = time.monotonic() + 20, 0, []
        while time.monotonic() < until and counts[-1:] != [1]:
            counts.append(publisher.do("PUBLISH", "a", b"x" * 100_000).value)
            sent += 1
            assert len(quick.read().value[2].value) == 100_000
            time.sleep(0.01)
        assert counts[-1] == 1
        assert publisher.do("PUBLISH", "a", "last") == integer(1)
        assert quick.read().value[2].value == b"last"


def test_normal_clients_have_their_own_limit(own: Start) -> None:
    server = own("--client-output-buffer-limit", "normal 1mb 0 0 pubsub 0 0 0")
    with connections(server.address, 2) as (listener, publisher):
        listener.do("SUBSCRIBE", "a")
        publisher.send(encode_all([("PUBLISH", "a", b"x" * 100_000)] * 100))
        assert publisher.read_many(100) == [integer(1)] * 100
        assert len(listener.read_many(100)) == 100
