"""Many connections, no descriptors left, addresses of every kind, clients that are not let in."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import stat
import time
from collections.abc import Callable, Iterator

import pytest
from harness.client import Connection, connections
from harness.process import Server, StartFailed
from harness.resp import CLOSED, OK, Reply, bulk, encode

PONG = Reply("simple", b"PONG")
IDLE_NORMAL, IDLE_LONG = 2_000, 10_000
FILES_LEFT = 20

Start = Callable[..., Server]


@contextlib.contextmanager
def _files_for(count: int) -> Iterator[None]:
    """This process may open that many descriptors more, or the test is skipped."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + 500
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"the limit of open files, {hard}, is too low for {count} connections")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.timeout(120)
def test_thousands_of_idle_connections(subject: Server, long_run: bool) -> None:
    """Among thousands that say nothing, one that speaks is served, and each can still speak."""
    count = (IDLE_LONG if long_run else IDLE_NORMAL) - 100
    with _files_for(count), contextlib.ExitStack() as stack:
        idle = [stack.enter_context(Connection(subject.unix_path)) for _ in range(count // 2)]
        for i in range(count - len(idle)):
            source = f"127.0.0.{2 + i // 4000}"
            idle.append(stack.enter_context(Connection(subject.address, source=source)))
        with subject.connect() as speaker:
            if not subject.is_redis:
                assert idle[-1].do("PING") == PONG
                _assert_idle(subject)
            assert speaker.pipeline([("SET", f"k{i}", i) for i in range(500)]) == [OK] * 500
        for connection in idle:
            connection.send(encode("PING"))
        assert [connection.read() for connection in idle] == [PONG] * count
    _await_clients(subject, 5)


def _assert_idle(server: Server) -> None:
    before = server.cpu_seconds()
    time.sleep(0.3)
    assert server.cpu_seconds() - before <= 0.03, "idle connections cost CPU"


def _await_clients(server: Server, most: int) -> None:
    """Until the server has noticed that others are gone; its control connection counts too."""
    deadline = time.monotonic() + 10
    while True:
        info = server.control().do("INFO", "clients").value.decode()
        clients = next(line for line in info.split("\r\n") if line.startswith("connected_clients:"))
        if int(clients.partition(":")[2]) <= most:
            return
        assert time.monotonic() < deadline, clients
        time.sleep(0.02)


def _leave_files(server: Server, count: int) -> None:
    """From now on the server may open that many descriptors more."""
    if server.configuration.io == "io_uring":
        pytest.skip("io_uring notes the limit when the accept is armed; tests/c/io has this case")
    used = {int(name) for name in os.listdir(f"/proc/{server.pid}/fd")}
    free = [number for number in range(len(used) + count) if number not in used]
    limit = free[count - 1] + 1
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (limit, limit))


def test_no_descriptor_left_for_accept(own: Start) -> None:
    """With no descriptor left the server neither spins nor dies, and accepts again when it can."""
    server = own()
    with server.connect() as first:
        assert first.do("PING") == PONG
        _leave_files(server, FILES_LEFT)
        crowd = [_half_connected(server) for _ in range(3 * FILES_LEFT)]
        time.sleep(0.2)
        assert first.do("SET", "k", "v") == OK
        before = server.cpu_seconds()
        time.sleep(0.5)
        if not server.is_redis:
            assert server.cpu_seconds() - before < 0.15, "the server spins on accept"
        assert first.do("GET", "k") == bulk("v")
        for sock in crowd:
            sock.close()
        _await_accepted(server)
        assert first.do("GET", "k") == bulk("v")


def test_crowd_at_the_limit_is_let_in_as_others_leave(own: Start) -> None:
    """Who waits in the backlog is served as soon as a descriptor is free, without a new connect."""
    server = own()
    _await_clients(server, 1)
    _leave_files(server, 1)
    with server.connect() as first, server.connect() as waiting:
        assert first.do("PING") == PONG
        waiting.send(encode("PING"))
        assert waiting.silent_for(0.2)
        first.close()
        assert waiting.read() == PONG


def _half_connected(server: Server) -> socket.socket:
    sock = socket.create_connection(server.address, timeout=10)
    sock.setblocking(False)
    return sock


def _await_accepted(server: Server) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), server.connect(timeout_s=1.0) as connection:
            if connection.do("PING") == PONG:
                return
        time.sleep(0.02)
    raise AssertionError("the server does not accept again")


def test_maxclients(own: Start) -> None:
    server = own("--maxclients", "5")
    _await_clients(server, 1)
    with connections(server.address, 4) as clients:
        assert [client.do("PING") for client in clients] == [PONG] * 4
        for _ in range(3):
            with server.connect() as extra:
                assert extra.read() == Reply("error", b"ERR max number of clients reached")
                assert extra.read() == CLOSED
        assert [client.do("PING") for client in clients] == [PONG] * 4
        clients[0].close()
        _await_accepted(server)


def test_timeout_closes_idle_clients(own: Start) -> None:
    server = own("--timeout", "1")
    with connections(server.address, 2) as (idle, busy):
        assert idle.do("PING") == PONG
        deadline = time.monotonic() + 6
        while time.monotonic() < deadline:
            assert busy.do("PING") == PONG
            if not idle.silent_for(0.1):
                break
        assert idle.read() == CLOSED
        assert busy.do("PING") == PONG


def test_ipv6(own: Start) -> None:
    if not socket.has_ipv6 or not _has_loopback_6():
        pytest.skip("no IPv6 loopback here")
    server = own(host="::1")
    with server.connect() as connection:
        assert connection.sock.family == socket.AF_INET6
        assert connection.do("SET", "k", "v") == OK
        assert connection.do("GET", "k") == bulk("v")


def _has_loopback_6() -> bool:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


def test_several_addresses(own: Start) -> None:
    server = own("--bind", "127.0.0.1", "127.0.0.2")
    for host in ("127.0.0.1", "127.0.0.2"):
        with Connection((host, server.port)) as connection:
            assert connection.do("INCR", "visits").kind == "integer"
    with pytest.raises(ConnectionRefusedError):
        Connection(("127.0.0.3", server.port))


def _own_address() -> str | None:
    """The address by which others reach this machine. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        address = probe.getsockname()[0]
    return None if address.startswith("127.") else address


def test_protected_mode_sends_strangers_away(own: Start) -> None:
    """A stranger is who comes from no loopback address and no Unix socket."""
    address = _own_address()
    if address is None:
        pytest.skip("this machine has no address but loopback ones")
    server = own("--protected-mode", "yes", "--bind", f"127.0.0.1 {address}")
    with Connection((address, server.port)) as stranger:
        reply = stranger.read()
        assert reply.kind == "error" and reply.value.startswith(b"DENIED ")
        assert stranger.read() == CLOSED
    with server.connect() as friend, Connection(server.unix_path) as unix:
        assert friend.do("PING") == PONG
        assert unix.do("PING") == PONG


@pytest.mark.parametrize("mode", ["700", "755", "777"])
def test_unix_socket(own: Start, mode: str) -> None:
    server = own("--unixsocketperm", mode)
    assert stat.S_IMODE(os.stat(server.unix_path).st_mode) == int(mode, 8)
    with Connection(server.unix_path) as unix, server.connect() as tcp:
        assert unix.do("SET", "k", "v") == OK
        assert tcp.do("GET", "k") == bulk("v")


def _open_files(pid: int) -> Iterator[str]:
    """What the descriptors of a process stand for; one may be closed meanwhile."""
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            yield os.readlink(f"/proc/{pid}/fd/{fd}")


def test_port_0_means_no_tcp(own: Start) -> None:
    server = own(tcp=False)
    with server.connect() as connection:
        assert connection.sock.family == socket.AF_UNIX
        assert connection.do("CONFIG", "GET", "port").value[1] == bulk("0")
    sockets = {
        target.removeprefix("socket:[").removesuffix("]")
        for target in _open_files(server.pid)
        if target.startswith("socket:")
    }
    with open("/proc/net/tcp") as tcp4, open("/proc/net/tcp6") as tcp6:
        inodes = {line.split()[9] for line in [*tcp4, *tcp6]}
    assert not sockets & inodes, "a TCP socket is open"


def test_unix_socket_is_gone_after_the_end(own: Start) -> None:
    server = own()
    assert server.control().do("PING") == PONG
    os.kill(server.pid, signal.SIGTERM)
    assert server.wait() == 0
    assert not os.path.exists(server.unix_path)


def test_port_in_use_is_said(own: Start) -> None:
    first = own()
    assert first.control().do("PING") == PONG
    with pytest.raises(StartFailed) as failure:
        own(port=first.port)
    assert failure.value.returncode not in (0, None)
    assert "in use" in failure.value.output and str(first.port) in failure.value.output
    assert first.control().do("PING") == PONG


def test_client_that_says_nothing_and_vanishes(subject: Server) -> None:
    for i in range(100):
        sock = socket.create_connection(subject.address, timeout=10)
        if i % 3 == 1:
            sock.sendall(b"*3\r\n$3\r\nSET")
        sock.close()
    with subject.connect() as connection:
        assert connection.do("PING") == PONG
        assert connection.do("DBSIZE").value == 0
