"""kevyrt.Server's calls: arguments, replies, settings, addresses, statistics."""

from __future__ import annotations

import dataclasses
import errno
import os
import socket
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis

import kevyrt

# ---- Strings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("text", b"text"),
        ("ünï", "ünï".encode()),
        (b"\x00\xff", b"\x00\xff"),
        (7, b"7"),
        (-(2**70), str(-(2**70)).encode()),
        (0.1, b"0.1"),
        (bytearray(b"buffer"), b"buffer"),
        (memoryview(b"abcdef")[::2], b"ace"),
        (b"", b""),
    ],
)
def test_arguments(server: kevyrt.Server, given: Any, stored: bytes) -> None:
    assert server.set("k", given) is True
    assert server.get("k") == stored
    assert server.execute("SET", given, "by name") == "OK"
    assert server.get(stored) == b"by name"
    assert server.delete(given) == 1


@pytest.mark.parametrize("given", [None, True, object(), ["list"], {}, 1j])
def test_what_is_no_argument(server: kevyrt.Server, given: Any) -> None:
    for call in (
        lambda: server.set("k", given),
        lambda: server.get(given),
        lambda: server.execute("GET", given),
        lambda: server.delete("k", given),
    ):
        with pytest.raises(TypeError):
            call()


@pytest.mark.parametrize("size", [0, 1, 255, 256, 1023, 1024, 1025, 70_000, 3_000_000])
def test_values_of_every_size(server: kevyrt.Server, size: int) -> None:
    value = os.urandom(size)
    server.set("k", value)
    assert server.get("k") == value
    assert server.execute("GET", "k") == value
    assert server.execute("MGET", "k", "k") == [value, value]


def test_missing_key(server: kevyrt.Server) -> None:
    assert server.get("nobody") is None
    assert server.execute("GET", "nobody") is None
    assert server.delete("nobody") == 0
    with pytest.raises(kevyrt.ResponseError, match="wrong number of arguments"):
        server.delete()


def test_keywords(server: kevyrt.Server) -> None:
    server.database(2).set(name="k", value="v")
    assert server.database(2).get(name="k") == b"v"
    assert server.get("k") is None


@pytest.mark.parametrize(
    "call",
    [
        lambda s: s.get(),
        lambda s: s.get("a", "b"),
        lambda s: s.get("a", key="a"),
        lambda s: s.get("a", name=1),
        lambda s: s.set("a"),
        lambda s: s.set("a", "b", "c"),
        lambda s: s.set("a", "b", exx=1),
        lambda s: s.set("a", "b", ex=1.5),
        lambda s: s.set("a", "b", ex="1"),
        lambda s: s.execute(),
        lambda s: s.execute("PING", timeout=1),
        lambda s: s.delete("a", nx=True),
        lambda s: s.session().execute(),
    ],
)
def test_wrong_calls(server: kevyrt.Server, call: Callable[[kevyrt.Server], Any]) -> None:
    with pytest.raises(TypeError):
        call(server)


# ---- SET's options -------------------------------------------------------------------------------


def test_set_nx_and_xx(server: kevyrt.Server) -> None:
    assert server.set("k", "1", xx=True) is None
    assert server.set("k", "1", nx=True) is True
    assert server.set("k", "2", nx=True) is None
    assert server.set("k", "2", xx=True) is True
    assert server.get("k") == b"2"


def test_set_get(server: kevyrt.Server) -> None:
    assert server.set("k", "1", get=True) is None
    assert server.set("k", "2", get=True) == b"1"
    assert server.get("k") == b"2"


@pytest.mark.parametrize(
    ("options", "ms"),
    [
        ({"ex": 100}, 100_000),
        ({"px": 70_000}, 70_000),
        ({"ex": timedelta(minutes=2)}, 120_000),
        ({"px": timedelta(seconds=1.5)}, 1_500),
        ({"ex": None, "px": None}, -1),
    ],
)
def test_set_with_deadline(server: kevyrt.Server, options: dict[str, Any], ms: int) -> None:
    server.set("k", "v", **options)
    left = server.execute("PTTL", "k")
    assert left == -1 if ms < 0 else ms - 1_000 < left <= ms


def test_set_keepttl(server: kevyrt.Server) -> None:
    server.set("k", "1", ex=100)
    server.set("k", "2", keepttl=True)
    assert server.execute("TTL", "k") > 90
    server.set("k", "3")
    assert server.execute("TTL", "k") == -1


def test_a_value_expires(server: kevyrt.Server) -> None:
    server.set("k", "v", px=30)
    assert server.get("k") == b"v"
    time.sleep(0.05)
    assert server.get("k") is None


@pytest.mark.parametrize("options", [{"nx": True, "xx": True}, {"ex": 1, "px": 1}, {"ex": 0}])
def test_impossible_options(server: kevyrt.Server, options: dict[str, Any]) -> None:
    server.set("k", "before")
    with pytest.raises(kevyrt.ResponseError):
        server.set("k", "after", **options)
    assert server.get("k") == b"before"


# ---- Replies -------------------------------------------------------------------------------------


def test_types_of_replies(server: kevyrt.Server) -> None:
    with server.session() as session:
        hello = session.execute("HELLO", 3)
    assert isinstance(hello, dict) and hello[b"server"] == b"redis" and hello[b"modules"] == []
    assert server.execute("PING") == "PONG"
    assert server.execute("ECHO", "x") == b"x"
    assert server.execute("INCR", "n") == 1
    assert server.execute("MGET", "n", "nobody") == [b"1", None]
    assert server.execute("CONFIG", "GET", "databases") == {b"databases": b"16"}
    (row,) = server.execute("COMMAND", "INFO", "get")
    assert row[0] == b"get" and isinstance(row[2], set) and "readonly" in row[2]
    info = server.execute("INFO")
    assert isinstance(info, bytes) and info.startswith(b"# Server\r\n")


# ---- Databases and sessions ----------------------------------------------------------------------


def test_databases(server: kevyrt.Server) -> None:
    for db in range(16):
        server.database(db).set("k", db)
    assert [server.database(db).get("k") for db in range(16)] == [b"%d" % db for db in range(16)]
    assert server.execute("DEL", "k", db=7) == server.database(8).delete("k") == 1
    assert server.execute("DBSIZE", db=7) == 0 and server.execute("DBSIZE", db=9) == 1


@pytest.mark.parametrize("db", [-1, 16, 2**31])
def test_no_such_database(server: kevyrt.Server, db: int) -> None:
    for call in (
        lambda: server.database(db).get("k"),
        lambda: server.database(db).set("k", "v"),
        lambda: server.database(db).delete("k"),
        lambda: server.execute("GET", "k", db=db),
    ):
        with pytest.raises(ValueError, match="db is out of range"):
            call()


def test_sessions_have_state_of_their_own(server: kevyrt.Server) -> None:
    with server.session() as one, server.session() as other:
        assert one.execute("SELECT", 3) == "OK"
        assert one.execute("CLIENT", "SETNAME", "one") == "OK"
        assert one.execute("SET", "k", "v") == "OK"
        assert other.execute("GET", "k") is None
        assert server.database(3).get("k") == b"v"
        assert one.execute("CLIENT", "GETNAME") == b"one"
        assert other.execute("CLIENT", "GETNAME") is None
        assert one.execute("CLIENT", "ID") != other.execute("CLIENT", "ID")


def test_closed_session(server: kevyrt.Server) -> None:
    session = server.session()
    session.close()
    session.close()
    with pytest.raises(RuntimeError, match="closed"):
        session.execute("PING")
    with pytest.raises(TypeError):
        kevyrt.Session()


def test_commands_that_need_a_connection(server: kevyrt.Server) -> None:
    with pytest.raises(kevyrt.ResponseError, match="session"):
        server.execute("SELECT", 1)


# ---- Settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"no_such_thing": 1}, "no-such-thing"),
        ({"maxclients": "many"}, "maxclients"),
        ({"maxclients": 0}, "maxclients"),
        ({"io": "kqueue"}, "io"),
        ({"threads": 0}, "threads"),
        ({"threads": 65}, "threads"),
        ({"threads": 10**30}, "threads"),
        ({"port": -1}, "port"),
        ({"port": 65536}, "port"),
        ({"daemonize": True}, "daemonize"),
    ],
)
def test_impossible_settings(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        kevyrt.Server(**settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"port": "6379"},
        {"port": True},
        {"port": 1.0},
        {"threads": "2"},
        {"threads": None},
        {"bind": None},
        {"bind": b"127.0.0.1"},
        {"unixsocket": 3.5j},
        {"maxclients": None},
        {"maxclients": object()},
        {"save": [object()]},
    ],
)
def test_settings_of_wrong_types(settings: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        kevyrt.Server(**settings)


def test_keywords_only() -> None:
    with pytest.raises(TypeError):
        kevyrt.Server(6379)  # type: ignore[misc]


def test_settings_are_in_force() -> None:
    with kevyrt.Server(
        maxclients=77, enable_debug_command=True, debug_borrow="never", databases=3, save=[]
    ) as server:
        assert server.execute("CONFIG", "GET", "maxclients") == {b"maxclients": b"77"}
        assert server.execute("CONFIG", "GET", "enable-debug-command") == {
            b"enable-debug-command": b"yes"
        }
        assert server.execute("CONFIG", "GET", "debug-borrow") == {b"debug-borrow": b"never"}
        assert server.execute("DEBUG", "kevyrt-shard", "key") == 0
        with pytest.raises(ValueError, match="db"):
            server.database(3).get("k")


@pytest.mark.parametrize("threads", [1, 2, 64])
def test_threads(threads: int) -> None:
    with kevyrt.Server(threads=threads, port=None) as server:
        keys = [f"key:{number}" for number in range(200)]
        assert server.execute("MSET", *(word for key in keys for word in (key, key))) == "OK"
        assert server.execute("MGET", *keys) == [key.encode() for key in keys]
        assert len(server.stats().shards) == threads
        assert server.delete(*keys) == 200


def test_nothing_touches_the_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with kevyrt.Server(dir="elsewhere", logfile="log", pidfile="pid") as server:
        server.set("k", "v")
        with redis.Redis.from_url(server.url) as client:
            assert client.get("k") == b"v"
        assert Path.cwd() == tmp_path
        assert os.listdir(tmp_path) == []
    assert os.listdir(tmp_path) == []


# ---- Addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bind", "host"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.2", "127.0.0.2"),
        ("0.0.0.0", "127.0.0.1"),
        ("*", "127.0.0.1"),
        ("::1", "[::1]"),
        ("::", "[::1]"),
        ("* -::*", "127.0.0.1"),
        (["127.0.0.1", "::1"], "127.0.0.1"),
        (["-192.0.2.77", "127.0.0.1"], "127.0.0.1"),
    ],
)
def test_url_of_tcp(bind: Any, host: str) -> None:
    with kevyrt.Server(bind=bind) as server:
        assert server.url == f"redis://{host}:{server.port}/0"
        with redis.Redis.from_url(server.url) as client:
            assert client.ping()


def test_given_port() -> None:
    with kevyrt.Server() as first:
        port = first.port
    assert port is not None
    with kevyrt.Server(port=port) as server:
        assert server.port == port


def test_port_in_use(server: kevyrt.Server) -> None:
    second = kevyrt.Server(port=server.port)
    with pytest.raises(OSError, match=f"127.0.0.1:{server.port}: Address already in use") as raised:
        second.start()
    assert raised.value.errno == errno.EADDRINUSE
    assert not second.running and second.port is None and second.url is None
    server.stop()
    with second:
        assert second.execute("PING") == "PONG"


def test_unix_socket_alone(socket_path: str) -> None:
    with kevyrt.Server(port=None, unixsocket=Path(socket_path)) as server:
        assert server.port is None
        assert server.url == f"unix://{socket_path}?db=0"
        with redis.Redis.from_url(server.url) as client:
            assert client.set("k", "v") and server.get("k") == b"v"
    assert not os.path.exists(socket_path)


def test_unix_socket_with_a_strange_name(socket_path: str) -> None:
    path = socket_path + " ü%?#"
    with kevyrt.Server(port=None, unixsocket=path) as server, redis.Redis.from_url(server.url) as c:
        assert c.ping()


def test_unix_socket_that_cannot_be() -> None:
    server = kevyrt.Server(unixsocket="/nowhere/at/all")
    with pytest.raises(FileNotFoundError, match="/nowhere/at/all"):
        server.start()
    assert server.port is None  # what was bound before is given up
    with pytest.raises(OSError):
        kevyrt.Server(unixsocket="/tmp/" + "x" * 200).start()


def test_no_address_at_all() -> None:
    with kevyrt.Server(port=None) as server:
        assert server.port is None and server.url is None
        assert server.set("k", "v") and server.get("k") == b"v"


def test_before_the_start() -> None:
    server = kevyrt.Server()
    ours, theirs = socket.socketpair()
    assert server.port is None and server.url is None and not server.running
    for call in (
        lambda: server.get("k"),
        lambda: server.set("k", "v"),
        lambda: server.set("k", "v", nx=True),
        lambda: server.delete("k"),
        lambda: server.execute("PING"),
        lambda: server.execute("NO SUCH COMMAND"),
        server.stats,
        server.session,
        lambda: server.adopt(theirs.fileno()),
    ):
        with pytest.raises(kevyrt.ServerStopped):
            call()
    ours.close()
    theirs.close()
    assert server.wait(0) is True
    server.stop()


def test_password(socket_path: str) -> None:
    """Whoever is in the process has the data anyway; clients are asked."""
    with kevyrt.Server(requirepass="se cret") as server:
        assert server.execute("PING") == "PONG"
        with server.session() as session:
            assert session.execute("PING") == "PONG"
        assert "se" not in server.url.partition("://")[2]
        with pytest.raises(redis.AuthenticationError):
            redis.Redis.from_url(server.url).ping()
        with redis.Redis.from_url(server.url, password="se cret") as client:
            assert client.ping()


# ---- Adopted sockets -----------------------------------------------------------------------------


def test_adopt(server: kevyrt.Server) -> None:
    ours, theirs = socket.socketpair()
    server.adopt(theirs.detach())
    with ours:
        ours.settimeout(10)
        ours.sendall(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n")
        assert ours.recv(100) == b"+OK\r\n"
        assert server.get("k") == b"v"
        assert server.stats().total.connections == 1


def test_what_cannot_be_adopted(server: kevyrt.Server) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram, socket.socket() as idle:
        for sock in (datagram, idle):
            with pytest.raises(OSError, match=f"descriptor {sock.fileno()}"):
                server.adopt(sock.fileno())
            assert sock.getsockname()  # still open, still ours
        with pytest.raises(TypeError):
            server.adopt(idle)  # type: ignore[arg-type]
    with open(os.devnull) as file, pytest.raises(OSError):
        server.adopt(file.fileno())
    with pytest.raises(OSError):
        server.adopt(10**6)
    with pytest.raises(ValueError):
        server.adopt(-1)


def test_stop_ends_adopted_sockets(server: kevyrt.Server) -> None:
    ours, theirs = socket.socketpair()
    server.adopt(theirs.detach())
    ours.settimeout(10)
    server.stop()
    with ours:
        assert ours.recv(1) == b""


# ---- Statistics ----------------------------------------------------------------------------------


@pytest.mark.parametrize("io", ["io_uring", "epoll"])
def test_stats(io: Any) -> None:
    try:
        server = kevyrt.Server(threads=3, io=io).start()
    except OSError as error:
        pytest.skip(str(error))
    with server, redis.Redis.from_url(server.url) as client:
        for number in range(30):
            client.set(f"k{number}", "v")
        server.get("k0")
        server.get("nobody")
        stats = server.stats()
    assert stats.backend == io and stats.backend_reason
    assert stats.connections_received >= 1 and stats.connections_rejected == 0
    assert len(stats.shards) == 3
    assert stats.total.keys == 30 == sum(shard.keys for shard in stats.shards)
    assert stats.total.commands >= 32
    assert stats.total.keyspace_hits >= 1 and stats.total.keyspace_misses >= 1
    assert stats.total.connections == 1
    assert stats.total.loop_gap_max_ns == max(shard.loop_gap_max_ns for shard in stats.shards)
    assert stats.total.used_bytes > 0
    assert 0 <= stats.uptime_ms < 60_000
    with pytest.raises(dataclasses.FrozenInstanceError):
        stats.backend = "other"  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        stats.total.keys = 0  # type: ignore[misc]


def test_several_servers() -> None:
    with kevyrt.Server() as one, kevyrt.Server(threads=2) as two, kevyrt.Server(port=None) as three:
        for number, server in enumerate((one, two, three)):
            server.set("k", number)
        assert [server.get("k") for server in (one, two, three)] == [b"0", b"1", b"2"]
        assert one.port != two.port
        one.stop()
        assert two.get("k") == b"1"
