"""Very many clients of one server, that wait or listen, and what that costs.

`Crowd` holds connections in one process and reads them through epoll. `play_crowd` blocks all of
them in a known order, sees that nothing happens while they wait, that they cost no time and no one
else pays for them, serves them one by one, lets some time out, makes them listeners, and sees that
the memory comes back.
"""

from __future__ import annotations

import resource
import select
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.blockers import await_blocked
from harness.client import Connection
from harness.process import Server
from harness.resp import Parser, Reply, encode, encode_all, integer

DEADLINE_S = 120.0
# Replies that are due come one after the other, without a break as long as this.
BREAK_S = 10.0
# A source address has about 28,000 ports; each gets fewer connections.
CLIENTS_PER_SOURCE = 20_000
# Descriptors that a process needs beside those of its connections.
OTHER_DESCRIPTORS = 300
IDLE_SHARE = 0.01
# A key that somebody may wait for is looked up, however many wait.
SLOWED_AT_MOST = 1.6
PUSHES = 20_000
MEASUREMENTS = 12
TIMEOUTS_S = (0.1, 0.2, 0.3)
LATE_S = 2.0
EARLY_S = 0.004
# What a server keeps for others who come, whatever their number.
POOLED_BYTES = 4 << 20
# A crowd that comes and goes again leaves no more than the one before it.
GROWTH_PER_CLIENT_BYTES = 16
RESIDENT_GROWTH_PER_CLIENT_BYTES = 400


@dataclass(frozen=True)
class Scale:
    clients: int
    lists: int
    channels: int
    channels_each: int
    idle_s: float

    @property
    def waves(self) -> int:
        return self.clients // self.lists


def most_clients(wanted: int) -> int:
    """As many as the limits on descriptors allow, here and in a server that we start."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return min(wanted, hard - OTHER_DESCRIPTORS)


class Crowd:
    """Connections by number. Whatever arrives is kept until `take` asks for it."""

    def __init__(self, server: Server, count: int) -> None:
        self._poller = select.epoll()
        self.connections: list[Connection] = []
        self._parsers = [Parser() for _ in range(count)]
        self._numbers: dict[int, int] = {}
        for number in range(count):
            source = f"127.0.0.{1 + number // CLIENTS_PER_SOURCE}"
            connection = Connection(server.address, source=source)
            self.connections.append(connection)
            self._numbers[connection.sock.fileno()] = number
            self._poller.register(connection.sock.fileno(), select.EPOLLIN)

    def send(self, number: int, data: bytes) -> None:
        self.connections[number].sock.sendall(data)

    def arrived(self, patience_s: float = 0.0) -> Iterator[tuple[int, Reply]]:
        """What has arrived, as (number, reply); waits so long for the first."""
        for descriptor, _ in self._poller.poll(patience_s, 4096):
            number = self._numbers[descriptor]
            data = self.connections[number].sock.recv(1 << 16)
            assert data, f"the server closed connection {number}"
            parser = self._parsers[number]
            parser.feed(data)
            while (reply := parser.take()) is not None:
                yield number, reply

    def collect(self, count: int) -> dict[int, list[Reply]]:
        """So many replies, by the number of who got them, and no more."""
        replies: dict[int, list[Reply]] = {}
        got = 0
        while got < count:
            before = got
            for number, reply in self.arrived(BREAK_S):
                assert reply.kind != "error", reply
                replies.setdefault(number, []).append(reply)
                got += 1
            assert got > before, f"{got} of {count} replies"
        assert got == count, f"{got} replies instead of {count}"
        self.require_silence()
        return replies

    def require_silence(self) -> None:
        early = list(self.arrived())
        assert not early, f"nobody asked for {early[:3]}"

    def close(self) -> None:
        for connection in self.connections:
            connection.close()
        self._poller.close()


def run_ns(server: Server) -> int:
    """The time that all threads of the server have run."""
    total = 0
    for task in Path(f"/proc/{server.pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total


def used_memory(server: Server) -> int:
    text = server.control().do("INFO", "memory").value
    return int(text.partition(b"used_memory:")[2].split()[0])


def connected_clients(server: Server) -> int:
    text = server.control().do("INFO", "clients").value
    return int(text.partition(b"connected_clients:")[2].split()[0])


def push_cost_ns(server: Server, keys: Sequence[str]) -> float:
    """The server's time per command of one who pushes and pops where nobody waits: the least of
    several measurements."""
    commands = [
        command
        for i in range(200)
        for command in (("RPUSH", keys[i % len(keys)], "x"), ("LPOP", keys[i % len(keys)]))
    ]
    data = encode_all(commands)
    costs = []
    with server.connect() as pusher:
        for _ in range(MEASUREMENTS):
            before = run_ns(server)
            for _ in range(PUSHES // len(commands)):
                pusher.send(data)
                assert pusher.read_many(len(commands))[-1].kind == "bulk"
            costs.append((run_ns(server) - before) / PUSHES)
    return min(costs)


# ---- The play ------------------------------------------------------------------------------------


def play_crowd(server: Server, scale: Scale) -> dict[str, float]:
    """Everything; returns what was measured."""
    measured: dict[str, float] = {}
    keys = server.spread(6)
    server.control().do("PING")
    measured["push ns alone"] = push_cost_ns(server, keys)
    memory, resident = used_memory(server), server.resident_bytes()
    clients = connected_clients(server)
    crowd = Crowd(server, scale.clients)
    try:
        _block_in_waves(server, crowd, scale)
        measured["bytes per waiter"] = (server.resident_bytes() - resident) / scale.clients
        measured["idle share"] = _idle_share(server, scale.idle_s)
        crowd.require_silence()
        measured["push ns beside"] = push_cost_ns(server, keys)
        crowd.require_silence()
        _serve_in_order(server, crowd, scale)
        _time_out(crowd)
        _listen(server, crowd, scale)
    finally:
        crowd.close()
    _await_clients(server, clients)
    measured["bytes left"] = used_memory(server) - memory
    _come_and_go(server, scale, clients)
    memory, resident = used_memory(server), server.resident_bytes()
    _come_and_go(server, scale, clients)
    measured["growth"] = (used_memory(server) - memory) / scale.clients
    measured["resident growth"] = (server.resident_bytes() - resident) / scale.clients
    _judge(server, measured)
    return measured


def _come_and_go(server: Server, scale: Scale, clients: int) -> None:
    """Another crowd, that only waits and is gone."""
    crowd = Crowd(server, scale.clients)
    try:
        for number in range(scale.clients):
            crowd.send(number, encode("BLPOP", _queue(number), "empty", 0))
        await_blocked(server, scale.clients)
    finally:
        crowd.close()
    _await_clients(server, clients)


def _queue(number: int) -> str:
    return f"queue:{number}"


def _block_in_waves(server: Server, crowd: Crowd, scale: Scale) -> None:
    """Client w * lists + k is the w-th that waits for list k. Every third names other lists too,
    which stay empty."""
    for wave in range(scale.waves):
        for k in range(scale.lists):
            others = [f"empty:{k}", f"empty:{wave}"] if k % 3 == 0 else []
            crowd.send(wave * scale.lists + k, encode("BLPOP", *others, _queue(k), 0))
        await_blocked(server, (wave + 1) * scale.lists)
    crowd.require_silence()


def _idle_share(server: Server, seconds: float) -> float:
    """How much of a processor the server uses while all wait."""
    before = run_ns(server)
    time.sleep(seconds)
    return (run_ns(server) - before) / (seconds * 1e9)


def _serve_in_order(server: Server, crowd: Crowd, scale: Scale) -> None:
    """Elements say for whom they are. Half of the waves get theirs one by one, the others with one
    push per list."""
    half = scale.waves // 2
    singles = [
        ("RPUSH", _queue(k), f"{k}:{wave}") for wave in range(half) for k in range(scale.lists)
    ]
    at_once = [
        ("RPUSH", _queue(k), *(f"{k}:{wave}" for wave in range(half, scale.waves)))
        for k in range(scale.lists)
    ]
    with server.connect() as pusher:
        replies = pusher.pipeline([*singles, *at_once])
    # The length is counted before those who wait are served.
    assert [r.value for r in replies] == [1] * len(singles) + [scale.waves - half] * len(at_once)
    answers = crowd.collect(scale.waves * scale.lists)
    for wave in range(scale.waves):
        for k in range(scale.lists):
            got = answers[wave * scale.lists + k]
            assert len(got) == 1
            values = [part.value for part in got[0].value]
            assert values == [_queue(k).encode(), f"{k}:{wave}".encode()], (k, wave, values)
    assert server.control().do("EXISTS", *map(_queue, range(scale.lists))) == integer(0)
    await_blocked(server, 0)


def _time_out(crowd: Crowd) -> None:
    """Every client waits again, with a time-out."""
    started: list[float] = []
    for number in range(len(crowd.connections)):
        timeout = TIMEOUTS_S[number % len(TIMEOUTS_S)]
        started.append(time.monotonic())
        crowd.send(number, encode("BLPOP", f"empty:{number}", "empty", timeout))
    left = len(started)
    while left:
        assert time.monotonic() < max(started) + DEADLINE_S, f"{left} time-outs do not come"
        now_or_later = list(crowd.arrived(1.0))
        now = time.monotonic()
        for number, reply in now_or_later:
            waited = now - started[number] - TIMEOUTS_S[number % len(TIMEOUTS_S)]
            assert reply.kind == "null-array", reply
            assert -EARLY_S <= waited <= LATE_S, f"{waited} s after its time-out"
            left -= 1
    crowd.require_silence()


def _listen(server: Server, crowd: Crowd, scale: Scale) -> None:
    """Listeners of some channels each; each message reaches each of its listeners once, in the
    order of publication."""
    listens = [
        [(number * 7 + i * 131) % scale.channels for i in range(scale.channels_each)]
        for number in range(scale.clients)
    ]
    for number, own in enumerate(listens):
        crowd.send(number, encode("SUBSCRIBE", *map(str, own)))
    crowd.collect(sum(len(own) for own in listens))
    listeners = [0] * scale.channels
    for own in listens:
        for channel in set(own):
            listeners[channel] += 1
    published = list(range(scale.channels)) * 2
    with server.connect() as publisher:
        counts = publisher.pipeline(
            [("PUBLISH", channel, at) for at, channel in enumerate(published)]
        )
    assert [count.value for count in counts] == [listeners[channel] for channel in published]
    got = crowd.collect(sum(listeners[channel] for channel in published))
    for number, own in enumerate(listens):
        expected = sorted(at for c in set(own) for at in (c, c + scale.channels))
        messages = [int(reply.value[2].value) for reply in got.get(number, [])]
        assert messages == expected, (number, messages[:10], expected[:10])


def _await_clients(server: Server, count: int) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while connected_clients(server) > count:
        assert time.monotonic() < deadline, "connections that were closed are still counted"
        time.sleep(0.01)
    await_blocked(server, 0)


def _judge(server: Server, measured: dict[str, float]) -> None:
    if server.is_redis:
        # It looks at its clients ten times a second, and its measurements here mean nothing.
        return
    assert measured["idle share"] < IDLE_SHARE, measured
    slowed = measured["push ns beside"] / measured["push ns alone"]
    assert slowed < SLOWED_AT_MOST, measured
    assert measured["bytes left"] < POOLED_BYTES, measured
    assert measured["growth"] < GROWTH_PER_CLIENT_BYTES, measured
    assert measured["resident growth"] < RESIDENT_GROWTH_PER_CLIENT_BYTES, measured
