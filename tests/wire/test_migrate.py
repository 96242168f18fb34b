"""MIGRATE: keys go to a redis-server, or stay."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from harness.cases import Case, case
from harness.client import Connection
from harness.compare import Oracle
from harness.process import Server, free_port
from harness.resp import OK, Reply, integer, render
from harness.values import VALUES

HOST = "127.0.0.1"
NOBODY = "127.0.0.1 x"  # port 0: refused at once
NO_KEY = Reply("simple", b"NOKEY")
READING = Reply("error", b"IOERR error or timeout reading to target instance")

CASES = [
    case(
        "migrate-words",
        "SET $0 v",
        f"MIGRATE {NOBODY} $0 x 1000",
        f"MIGRATE {NOBODY} $0 0 x",
        f"MIGRATE {NOBODY} $0 0",
        f"MIGRATE {NOBODY} $0 0 1000 BOO",
        f"MIGRATE {NOBODY} $0 0 x BOO",
        f"MIGRATE {NOBODY} $0 0 1000 AUTH",
        f"MIGRATE {NOBODY} $0 0 1000 AUTH2 a",
        f"MIGRATE {NOBODY} $0 0 1000 KEYS $0",
        f"MIGRATE {NOBODY} '' 0 1000 KEYS",
        f"MIGRATE {NOBODY} '' 0 1000 copy replace auth2 a b keys $1 $2",
        f"MIGRATE {NOBODY} $1 0 1000",
        f"MIGRATE {NOBODY} $0 0 1000",
        f"MIGRATE {NOBODY} '' 0 1000 AUTH a KEYS $0 $1",
        "MIGRATE nobody.invalid 1 $0 0 1000",
        "GET $0",
    ),
    case(
        "migrate-in-multi",
        "SET $0 v",
        "MULTI",
        f"MIGRATE {NOBODY} $1 0 1000",
        f"MIGRATE {NOBODY} $0 0 1000",
        "EXEC",
        "GET $0",
    ),
]


@pytest.mark.parametrize("a_case", CASES, ids=lambda c: c.name)
def test_migrate(a_case: Case, subject: Server, oracle: Oracle) -> None:
    oracle.check(a_case, subject)


def _migrate(connection: Connection, port: int | None, *words: str | int) -> Reply:
    return connection.do("MIGRATE", HOST, port or 0, *words)


def test_values_of_all_types(few: Server, oracle: Oracle) -> None:
    oracle.server.flush()
    keys = {name: f"value:{name}" for name in VALUES}
    with few.connect() as source, oracle.server.connect() as target:
        for name, key in keys.items():
            assert all(reply.kind != "error" for reply in source.pipeline(VALUES[name](key)))
        source.do("PEXPIRE", keys["list-small"], 1_000_000)
        before = source.do("DEBUG", "DIGEST-VALUE", *keys.values())
        some = [key for name, key in keys.items() if name.startswith("string")]
        for key in keys.values():
            if key not in some:
                assert _migrate(source, oracle.server.port, key, 0, 5000) == OK, key
        words = ["", 0, 5000, "KEYS", *some, "nothing"]
        assert _migrate(source, oracle.server.port, *words) == OK
        assert target.do("DEBUG", "DIGEST-VALUE", *keys.values()) == before
        assert 0 < target.do("PTTL", keys["list-small"]).value <= 1_000_000
        assert source.do("DBSIZE") == integer(0)
        assert _migrate(source, oracle.server.port, "", 0, 5000, "KEYS", *some) == NO_KEY


def test_what_the_target_says(few: Server, oracle: Oracle) -> None:
    oracle.server.flush()
    port = oracle.server.port
    error = "ERR Target instance replied with error: "
    with few.connect() as source, oracle.server.connect() as target:
        source.pipeline([("MSET", *(w for key in "abcd" for w in (key, "v")))])
        assert _migrate(source, port, "a", 0, 1000, "COPY") == OK
        busy = _migrate(source, port, "", 0, 1000, "KEYS", "a", "b", "b")
        assert render(busy).startswith(f'error "{error}BUSYKEY')
        assert source.do("MGET", "a", "b").value[1].value is None
        assert _migrate(source, port, "", 3, 1000, "REPLACE", "KEYS", "a", "c", "c") == OK
        assert source.do("MGET", "a", "c", "d").value[2].value == b"v"
        assert render(_migrate(source, port, "d", 99, 1000)).startswith(f'error "{error}ERR DB')
        auth = _migrate(source, port, "d", 0, 1000, "AUTH", "password")
        assert render(auth).startswith(f'error "{error}ERR AUTH')
        assert source.do("DEL", "d") == integer(1)
        assert target.do("MGET", "a", "b", "c").value[2].value is None
        target.do("SELECT", 3)
        assert [reply.value for reply in target.do("MGET", "a", "c").value] == [b"v", b"v"]


def test_effects(few: Server, oracle: Oracle) -> None:
    """Watchers, listeners and caches are told of what has left; of a copy nobody is."""
    oracle.server.flush()
    classes = few.control().do("CONFIG", "GET", "notify-keyspace-events").value[1].value
    few.control().do("CONFIG", "SET", "notify-keyspace-events", "KEA")
    with few.connect() as source, few.connect() as watcher, few.connect() as listener:
        source.do("SET", "a", "v")
        watcher.do("HELLO", 3)
        watcher.do("CLIENT", "TRACKING", "ON")
        for words, changed in [(["COPY"], False), (["REPLACE"], True)]:
            watcher.do("WATCH", "a")
            watcher.do("GET", "a")
            if changed:
                listener.do("SUBSCRIBE", "__keyspace@0__:a")
            assert _migrate(source, oracle.server.port, "a", 0, 5000, *words) == OK
            if changed:
                assert listener.read().value[2].value == b"del"
                assert watcher.read().value[1].value[0].value == b"a"
            watcher.do("MULTI")
            watcher.do("PING")
            assert (watcher.do("EXEC").value is None) == changed
    few.control().do("CONFIG", "SET", "notify-keyspace-events", classes)


# ---- A target of the test's own ------------------------------------------------------------------


class Target:
    """Listens, and answers when it is told to."""

    def __init__(self) -> None:
        self._listener = socket.create_server((HOST, 0))
        self._listener.settimeout(20)
        self.port: int = self._listener.getsockname()[1]

    def accept(self) -> socket.socket:
        peer, _ = self._listener.accept()
        peer.settimeout(20)
        return peer

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def target() -> Iterator[Target]:
    with contextlib.closing(Target()) as found:
        yield found


def _hear(peer: socket.socket, end: bytes) -> bytes:
    heard = b""
    while not heard.endswith(end):
        part = peer.recv(65536)
        assert part, f"the end comes behind {heard[-200:]!r}"
        heard += part
    return heard


class Call:
    """A command whose reply is awaited by a thread."""

    def __init__(self, server: Server, *words: str | int) -> None:
        self._connection = server.connect(timeout_s=20)
        self._connection.do("PING")
        self._replies: list[Reply] = []
        self._thread = threading.Thread(target=self._run, args=words, daemon=True)
        self._thread.start()

    def _run(self, *words: str | int) -> None:
        self._replies.append(self._connection.do(*words))

    def reply(self) -> Reply:
        self._thread.join(20)
        self._connection.close()
        return self._replies[0]


def _is_ours(server: Server) -> bool:
    """Redis stands still while it waits for the target."""
    if server.is_redis:
        assert server.control().do("PING").value == b"PONG"
    return not server.is_redis


def test_silent_target(few: Server, target: Target) -> None:
    with few.connect() as other:
        other.do("SET", "a", "v")
        call = Call(few, "MIGRATE", HOST, target.port, "a", 0, 300)
        with contextlib.closing(target.accept()):
            if _is_ours(few):
                begin = time.monotonic()
                assert other.do("SET", "b", "w") == OK
                assert other.do("GET", "a").value == b"v"
                assert time.monotonic() - begin < 0.25
            assert call.reply() == READING
        assert other.do("GET", "a").value == b"v"


def test_target_that_hangs_up(few: Server, target: Target) -> None:
    """It is asked a second time."""
    with few.connect() as other:
        other.do("SET", "a", "v")
        call = Call(few, "MIGRATE", HOST, target.port, "a", -1, 5000)
        first = target.accept()
        said = _hear(first, b"\r\n")
        first.close()
        with contextlib.closing(target.accept()) as second:
            assert _hear(second, b"\r\n") == said
        assert call.reply() == READING
        assert other.do("GET", "a").value == b"v"


def test_key_that_changes_meanwhile(few: Server, target: Target) -> None:
    """What arrived is not what is there: it is sent again, and nothing is lost."""
    if not _is_ours(few):
        return
    with few.connect() as other:
        for change, again in [
            (("SET", "a", "changed"), b"REPLACE\r\n"),
            (("SET", "a", "before", "PX", 100_000), b"REPLACE\r\n"),
            (("DEL", "a"), b"*2\r\n$3\r\nDEL\r\n$1\r\na\r\n"),
        ]:
            other.do("SET", "a", "before")
            call = Call(few, "MIGRATE", HOST, target.port, "a", -1, 5000)
            with contextlib.closing(target.accept()) as first:
                said = _hear(first, b"\r\n")
                assert b"before" in said and b"REPLACE" not in said
                other.do(*change)
                first.sendall(b"+OK\r\n")
                with contextlib.closing(target.accept()) as second:
                    said = _hear(second, again)
                    assert (b"changed" in said) == ("changed" in change)
                    second.sendall(b"+OK\r\n" if b"RESTORE" in said else b":1\r\n")
                    assert call.reply() == OK
            assert other.do("EXISTS", "a") == integer(0)


def test_pause_meanwhile(few: Server, target: Target) -> None:
    """Nothing is deleted while nothing may be written."""
    if not _is_ours(few):
        return
    with few.connect() as other:
        other.do("SET", "a", "v")
        call = Call(few, "MIGRATE", HOST, target.port, "a", -1, 5000)
        with contextlib.closing(target.accept()) as peer:
            _hear(peer, b"\r\n")
            other.do("CLIENT", "PAUSE", 100_000, "WRITE")
            peer.sendall(b"+OK\r\n")
            time.sleep(0.05)
            assert other.do("EXISTS", "a") == integer(1)
            other.do("CLIENT", "UNPAUSE")
            assert call.reply() == OK
        assert other.do("EXISTS", "a") == integer(0)


def test_key_that_never_rests(few: Server, target: Target) -> None:
    if not _is_ours(few):
        return
    with few.connect() as other:
        other.do("SET", "a", 0)
        call = Call(few, "MIGRATE", HOST, target.port, "a", -1, 5000)
        for round in range(10):
            with contextlib.closing(target.accept()) as peer:
                _hear(peer, b"REPLACE\r\n" if round > 0 else b"\r\n")
                other.do("INCR", "a")
                peer.sendall(b"+OK\r\n")
                peer.recv(1)
        assert b"stays" in call.reply().value
        assert other.do("GET", "a").value == b"10"


def test_no_count_is_lost(few: Server, oracle: Oracle) -> None:
    """Counted on one side, moved to the other again and again: the sum is what was counted."""
    if not _is_ours(few):
        return
    counts = 300
    oracle.server.flush()

    def count() -> None:
        with few.connect() as connection:
            for _ in range(counts):
                connection.do("INCR", "count")
                time.sleep(0.0003)

    threads = [threading.Thread(target=count) for _ in range(2)]
    moved = 0
    with few.connect() as source, oracle.server.connect() as redis:
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            reply = _migrate(source, oracle.server.port, "count", 0, 5000)
            if reply == OK:
                moved += int(redis.do("GETDEL", "count").value)
            else:
                redis.do("DEL", "count")
        for thread in threads:
            thread.join(20)
        left = int(source.do("GET", "count").value or 0)
    assert moved > 0
    assert moved + left == 2 * counts


def test_to_itself(few: Server) -> None:
    with few.connect() as connection:
        connection.do("SET", "a", "v")
        reply = connection.do("MIGRATE", HOST, few.port, "a", 0, 200, "REPLACE")
        assert reply == READING
        assert connection.do("GET", "a").value == b"v"


def test_ends_meanwhile(own: Callable[..., Server], target: Target) -> None:
    """Neither a client that leaves nor a server that stops waits for a target."""
    server = own()
    if not _is_ours(server):
        return
    with server.connect() as leaving, server.connect() as other:
        other.do("MSET", "a", 1, "b", 2)
        for at, connection in enumerate([leaving, other]):
            connection.send(f"MIGRATE {HOST} {target.port} {'ab'[at]} -1 60000\r\n".encode())
            if at == 0:
                peer = target.accept()
                leaving.close()
        with contextlib.closing(peer):
            _hear(peer, b"\r\n")
            begin = time.monotonic()
            server.stop()
            assert time.monotonic() - begin < 5


def test_secrets_are_not_shown(few: Server) -> None:
    with few.connect() as connection:
        connection.do("CONFIG", "SET", "slowlog-log-slower-than", 0)
        connection.do("SET", "a", "v")
        words = ["a", 0, 100, "AUTH2", "user", "secret", "COPY"]
        connection.do("MIGRATE", HOST, free_port(), *words)
        connection.do("CONFIG", "SET", "slowlog-log-slower-than", 10_000)
        shown = render(connection.do("SLOWLOG", "GET", 3))
        connection.do("SLOWLOG", "RESET")
    assert "COPY" in shown and "secret" not in shown
