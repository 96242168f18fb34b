"""Clients that cache: redirection, INFO and CLIENT LIST, the limit of the table, and that no
answer contradicts what a client may believe."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

import pytest
from harness.client import Connection, connections
from harness.process import Server
from harness.resp import Reply

Start = Callable[..., Server]


def bulk(text: str | bytes) -> Reply:
    return Reply("bulk", text.encode() if isinstance(text, str) else text)


def changed(*keys: str) -> Reply:
    return Reply("push", (bulk("invalidate"), Reply("array", tuple(map(bulk, keys)))))


def everything(null: Reply) -> Reply:
    return Reply("push", (bulk("invalidate"), null))


NULL = Reply("null", None)
PONG = Reply("simple", b"PONG")


def resp3(connection: Connection) -> int:
    """The client's id."""
    connection.do("HELLO", "3")
    return connection.do("CLIENT", "ID").value


def ask(connection: Connection, *commands: str) -> None:
    for command in commands:
        reply = connection.do(*command.split())
        assert reply.kind != "error", reply


def heard(connection: Connection) -> list[Reply]:
    """What has come since, behind which a PING is answered."""
    connection.send(b"PING\r\n")
    replies: list[Reply] = []
    while not replies or replies[-1] != PONG:
        replies.append(connection.read())
    return replies[:-1]


def listed(connection: Connection, number: int) -> dict[str, str]:
    line = connection.do("CLIENT", "LIST", "ID", str(number)).value.decode()
    return dict(field.split("=", 1) for field in line.removeprefix("txt:").split())


def test_redirection(subject: Server) -> None:
    """Another client is told, also one on another shard that runs commands of its own."""
    keys = subject.spread(6)
    with connections(subject.address, 7) as (writer, *clients):
        numbers = [resp3(client) for client in clients]
        for at, client in enumerate(clients):
            listener = (at + 1) % len(clients)
            ask(client, f"CLIENT TRACKING ON REDIRECT {numbers[listener]}")
            ask(client, f"GET {keys[at]}")
            assert client.do("CLIENT", "GETREDIR").value == numbers[listener]
            assert listed(writer, numbers[at])["redir"] == str(numbers[listener])
        for _ in range(30):
            for at, client in enumerate(clients):
                ask(writer, f"SET {keys[at]} x")
                listener = clients[(at + 1) % len(clients)]
                assert heard(listener) == [changed(keys[at])]
                assert heard(client) == []
                ask(client, f"GET {keys[at]}")
        for client in clients:
            ask(client, "CLIENT TRACKING OFF")


def test_redirected_flush(subject: Server) -> None:
    """The null is written in the protocol of the client that caches."""
    with connections(subject.address, 4) as (writer, first, second, listener):
        number = resp3(listener)
        resp3(first)
        ask(first, f"CLIENT TRACKING ON REDIRECT {number}")
        ask(writer, "FLUSHALL")
        assert heard(listener) == [everything(NULL)]
        ask(first, "CLIENT TRACKING OFF")
        ask(second, f"CLIENT TRACKING ON BCAST PREFIX a REDIRECT {number}")
        ask(writer, "FLUSHALL", "MSET a2 x a1 y b z")
        assert heard(listener) == [everything(Reply("null-bulk", None)), changed("a1", "a2")]
        assert heard(second) == []


def message(*keys: str | None) -> Reply:
    names = Reply("array", tuple(map(bulk, keys))) if keys else Reply("null-bulk", None)
    return Reply("array", (bulk("message"), bulk("__redis__:invalidate"), names))


def test_redirection_in_resp2(subject: Server) -> None:
    """To a client that is subscribed, to whatever channel; else nobody is told."""
    keys = subject.spread(3)
    with connections(subject.address, 3) as (writer, client, listener):
        number = listener.do("CLIENT", "ID").value
        ask(client, f"CLIENT TRACKING ON REDIRECT {number}", f"MGET {' '.join(keys)}")
        ask(writer, f"SET {keys[0]} x")
        assert heard(listener) == []
        listener.do("SUBSCRIBE", "__redis__:invalidate")
        ask(writer, f"SET {keys[0]} x", f"MSET {keys[2]} x {keys[1]} x")
        assert listener.read_many(2) == [message(keys[2]), message(keys[1])]
        ask(client, f"GET {keys[0]}")
        ask(client, f"SET {keys[0]} y")
        assert listener.read() == message(keys[0])
        ask(writer, "FLUSHALL")
        assert listener.read() == message()
        listener.do("SUBSCRIBE", "other")
        listener.do("UNSUBSCRIBE", "__redis__:invalidate")
        ask(client, f"GET {keys[0]}", "CLIENT TRACKING OFF")
        ask(client, f"CLIENT TRACKING ON BCAST REDIRECT {number}")
        ask(writer, "MSET b x a y")
        assert listener.read() == message("a", "b")
        listener.do("UNSUBSCRIBE", "other")
        ask(writer, "SET a x")
        assert heard(listener) == []
        assert heard(client) == []


def test_redirection_from_resp3_to_resp2(subject: Server) -> None:
    """The null is that of the other protocol: Redis writes it so."""
    with connections(subject.address, 3) as (writer, client, listener):
        number = listener.do("CLIENT", "ID").value
        listener.do("PSUBSCRIBE", "nothing*")
        resp3(client)
        ask(client, f"CLIENT TRACKING ON REDIRECT {number}", "GET k")
        ask(writer, "SET k v", "FLUSHALL")
        names = (bulk("message"), bulk("__redis__:invalidate"))
        assert listener.read_many(2) == [message("k"), Reply("array", (*names, NULL))]


def test_listeners_of_channels_and_of_keys(subject: Server) -> None:
    """Messages and invalidations of one client keep the order in which they happened."""
    with connections(subject.address, 2) as (writer, client):
        resp3(client)
        client.do("SUBSCRIBE", "c")
        ask(client, "CLIENT TRACKING ON")
        for _ in range(50):
            ask(client, "MGET a b")
            ask(writer, "PUBLISH c 1", "SET a x", "PUBLISH c 2", "SET b x", "PUBLISH c 3")
            kinds = [push.value[0].value for push in heard(client)]
            assert kinds == [b"message", b"invalidate", b"message", b"invalidate", b"message"]


def test_redirection_to_itself(subject: Server) -> None:
    with connections(subject.address, 2) as (writer, client):
        number = resp3(client)
        ask(client, f"CLIENT TRACKING ON REDIRECT {number}", "GET k")
        ask(writer, "SET k v")
        assert heard(client) == [changed("k")]
        ask(client, "GET k")
        client.send(b"SET k v\r\n")
        assert client.read_many(2) == [Reply("simple", b"OK"), changed("k")]


@pytest.mark.parametrize("mode", ["", "BCAST"])
def test_broken_redirection(subject: Server, mode: str) -> None:
    """The client that caches is told each time that nobody is."""
    with connections(subject.address, 3) as (writer, client, silent):
        number = resp3(client)
        with subject.connect() as listener:
            gone = resp3(listener)
            ask(client, f"CLIENT TRACKING ON {mode} REDIRECT {gone}", "MGET a b")
            ask(silent, f"CLIENT TRACKING ON {mode} REDIRECT {gone}", "MGET a b")
            assert listed(writer, number)["flags"] == ("tB" if mode else "t")
            ask(writer, f"CLIENT KILL ID {gone}")
        broken = Reply("push", (bulk("tracking-redir-broken"), Reply("integer", gone)))
        assert heard(client) == []
        ask(writer, "SET a 1")
        assert listed(writer, number)["flags"] == ("tRB" if mode else "tR")
        assert heard(client) == [broken]
        assert heard(silent) == []
        info = client.do("CLIENT", "TRACKINGINFO").value
        assert bulk("broken_redirect") in info[0][1].value
        assert info[1] == (bulk("redirect"), Reply("integer", gone))
        ask(writer, "FLUSHALL")
        assert heard(client) == [broken]
        refused = client.do(*f"CLIENT TRACKING ON {mode} REDIRECT {gone}".split())
        assert refused.value == b"ERR The client ID you want redirect to does not exist"
        ask(client, f"CLIENT TRACKING ON {mode}", "GET b")
        assert listed(writer, number)["flags"] == ("tB" if mode else "t")
        ask(writer, "SET b 1")
        assert heard(client) == [changed("b")]


def test_listener_that_leaves_by_itself(subject: Server) -> None:
    with connections(subject.address, 2) as (writer, client):
        resp3(client)
        with subject.connect() as listener:
            gone = resp3(listener)
            ask(client, f"CLIENT TRACKING ON REDIRECT {gone}", "MGET a b")
            ask(listener, "QUIT")
            assert listener.read_until_closed() == []
        time.sleep(0.05)
        ask(writer, "SET a 1")
        assert heard(client)[0].value[0] == bulk("tracking-redir-broken")


def test_info_and_flags(subject: Server) -> None:
    def counts() -> list[int]:
        text = writer.do("INFO", "everything").value.decode()
        fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
        names = ["clients", "total_keys", "total_items", "total_prefixes"]
        return [int(fields[f"tracking_{name}"]) for name in names]

    subject.control().do("FLUSHALL")
    with connections(subject.address, 4) as (writer, *clients):
        numbers = [resp3(client) for client in clients]
        assert counts() == [0, 0, 0, 0]
        ask(clients[0], "CLIENT TRACKING ON", "MGET a b c d e f g h")
        assert counts() == [1, 8, 8, 0]
        ask(clients[1], "CLIENT TRACKING ON OPTOUT", "MGET a b c d", "GET a", "GET i")
        assert counts() == [2, 9, 13, 0]
        ask(clients[2], "CLIENT TRACKING ON BCAST PREFIX x PREFIX y", "GET k")
        assert counts() == [3, 9, 13, 2]
        ask(writer, "MSET a 1 h 1")
        assert counts() == [3, 7, 10, 2]
        assert heard(clients[0]) == [changed("a"), changed("h")]
        assert heard(clients[1]) == [changed("a")]
        ask(clients[1], "CLIENT TRACKING OFF")
        assert counts() == [2, 7, 10, 2]
        flags = [listed(writer, number)["flags"] for number in numbers]
        assert flags == ["t", "N", "tB"]
        assert [listed(writer, number)["redir"] for number in numbers] == ["0", "-1", "0"]
        ask(clients[2], "RESET")
        assert counts() == [1, 7, 10, 0]
        ask(writer, "FLUSHDB")
        assert counts() == [1, 0, 0, 0]


def test_those_who_leave_are_forgotten(subject: Server) -> None:
    """Their keys stay until they change."""
    subject.control().do("FLUSHALL")
    for mode in ("", "BCAST", "BCAST PREFIX a PREFIX b"):
        with connections(subject.address, 5) as clients:
            for client in clients:
                resp3(client)
                ask(client, f"CLIENT TRACKING ON {mode}", "MGET a b c d")
    with connections(subject.address, 2) as (writer, client):
        resp3(client)
        ask(client, "CLIENT TRACKING ON", "GET a")
        ask(writer, "MSET a 1 b 2 c 3")
        assert heard(client) == [changed("a")]


# ---- The limit of the table ----------------------------------------------------------------------


def test_beyond_the_limit_keys_are_given_up(own: Start) -> None:
    """Whoever caches one is told as if it had changed; of those that stay, when they change."""
    server = own("--tracking-table-max-keys", "100")
    with connections(server.address, 2) as (writer, client):
        resp3(client)
        ask(client, "CLIENT TRACKING ON")
        valid: set[str] = set()
        for number in range(2000):
            key = f"key:{number}"
            ask(client, f"GET {key}")
            valid.add(key)
            for push in heard(client):
                valid.remove(push.value[1].value[0].value.decode())
            assert len(valid) <= 101
        assert len(valid) >= 99
        for at in range(0, 2000, 100):
            ask(writer, "MSET " + " ".join(f"key:{n} x" for n in range(at, at + 100)))
        told_of = [push.value[1].value[0].value.decode() for push in heard(client)]
        assert sorted(told_of) == sorted(valid)


def test_the_limit_can_be_changed(own: Start) -> None:
    server = own()
    with connections(server.address, 2) as (writer, client):
        resp3(client)
        ask(client, "CLIENT TRACKING ON", "MGET " + " ".join(f"key:{n}" for n in range(300)))
        assert heard(client) == []
        ask(writer, "CONFIG SET tracking-table-max-keys 50")
        gone: list[Reply] = []
        for number in range(60):
            ask(client, f"GET more:{number % 9}")
            gone += heard(client)
        assert len(gone) >= 250
        ask(writer, "CONFIG SET tracking-table-max-keys 0")
        ask(client, "MGET " + " ".join(f"key:{n}" for n in range(300)))
        assert heard(client) == []
        ask(writer, "CONFIG SET tracking-table-max-keys 1000000")


# ---- Order ---------------------------------------------------------------------------------------


def test_order_by_shard(own: Start) -> None:
    """With `pipeline-order shard` what is told of a key still comes before an answer that knows."""
    server = own()
    if not server.is_redis:
        server = own("--pipeline-order", "shard")
    keys = server.spread(8)
    with connections(server.address, 2) as (writer, client):
        resp3(client)
        ask(client, "CLIENT TRACKING ON")
        for number in range(50):
            client.send(b"".join(b"GET %s\r\n" % key.encode() for key in keys))
            assert {reply.kind for reply in client.read_many(8)} <= {"bulk", "null"}
            ask(writer, "MSET " + " ".join(f"{key} {number}" for key in keys))
            assert heard(client) == [changed(key) for key in keys]


class Cache:
    """What a client may believe: the versions that it has read and not been told to forget."""

    def __init__(self, connection: Connection, keys: list[str]) -> None:
        self.connection = connection
        self.keys = keys
        self.valid: dict[str, int] = {}
        self.forgotten = 0

    def forget(self, push: Reply) -> None:
        for key in push.value[1].value:
            self.forgotten += self.valid.pop(key.value.decode(), None) is not None

    def read(self, wanted: list[str]) -> None:
        """Pipelines reads. Every answer is checked against what was believed when it came."""
        self.connection.send(b"".join(b"GET %s\r\n" % key.encode() for key in wanted))
        for key in wanted:
            while (reply := self.connection.read()).kind == "push":
                self.forget(reply)
            version = int(reply.value or 0)
            believed = self.valid.get(key)
            assert believed in (None, version), f"{key}: {believed} was believed, it is {version}"
            self.valid[key] = version


def _count_up(server: Server, keys: list[str], end: threading.Event, done: dict[str, int]) -> None:
    """Raises versions, several at once too; `done` is what has been answered."""
    choose = random.Random(keys[0])
    with server.connect() as writer:
        while not end.is_set():
            some = choose.sample(keys, choose.choice([1, 1, 2]))
            writer.send(b"".join(b"INCR %s\r\n" % key.encode() for key in some))
            for key in some:
                done[key] = writer.read().value
            if choose.random() < 0.2:
                time.sleep(0.001)


@pytest.mark.parametrize("mode", ["", "BCAST", "OPTOUT"])
def test_no_answer_contradicts_what_is_cached(order_subject: Server, mode: str) -> None:
    """A key reads as its valid copy says, and a copy is valid no longer than its key is the same:
    what a writer has been answered before is never believed to be older by who asks afterwards."""
    order_subject.control().do("FLUSHALL")
    if order_subject.is_redis and mode == "BCAST":
        pytest.skip("redis-server collects the keys of a turn, behind the answers of that turn")
    keys = order_subject.spread(9)
    end = threading.Event()
    done: list[dict[str, int]] = [{}, {}, {}]
    writers = [
        threading.Thread(target=_count_up, args=(order_subject, keys[i::3], end, done[i]))
        for i in range(3)
    ]
    choose = random.Random(3)
    with order_subject.connect() as connection:
        resp3(connection)
        ask(connection, f"CLIENT TRACKING ON {mode}")
        cache = Cache(connection, keys)
        for writer in writers:
            writer.start()
        try:
            stop_at = time.monotonic() + 0.4
            while time.monotonic() < stop_at or cache.forgotten <= 20:
                cache.read([choose.choice(keys) for _ in range(choose.choice([1, 3, 40]))])
                known = {key: version for part in done for key, version in tuple(part.items())}
                for push in heard(connection):
                    cache.forget(push)
                for key, version in cache.valid.items():
                    assert version >= known.get(key, 0), f"{key} was {known[key]} before we asked"
        finally:
            end.set()
            for writer in writers:
                writer.join(20)
