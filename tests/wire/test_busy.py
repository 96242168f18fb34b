"""A place that somebody keeps for long: the others answer -BUSY instead of nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from harness.client import Connection, connections
from harness.process import Server
from harness.resp import OK, Reply, bulk, encode

BUSY = Reply(
    "error",
    b"BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
)
CLIENTS = 6


def _sleep(connection: Connection, seconds: float) -> threading.Thread:
    """DEBUG SLEEP keeps every place; its own thread answers nobody meanwhile, as in Redis."""
    sleeper = threading.Thread(target=connection.do, args=("DEBUG", "SLEEP", str(seconds)))
    sleeper.start()
    time.sleep(0.1)  # until it has arrived
    return sleeper


def test_others_are_told_and_lose_nothing(own: Callable[..., Server]) -> None:
    server = own("--busy-reply-threshold", "50")
    with server.connect() as holder, connections(server.address, CLIENTS) as clients:
        assert [client.do("SET", f"k{i}", "v") for i, client in enumerate(clients)] == [
            OK
        ] * CLIENTS
        sleeper = _sleep(holder, 0.8)
        for client in clients:
            client.send(encode("INCR", "n") + encode("GET", "k0"))
        answers = [client.read_many(2) for client in clients]
        sleeper.join()
        told = [answer for answer in answers if answer == [BUSY, BUSY]]
        served = [answer for answer in answers if answer not in told]
        # Redis has one thread: whoever asks meanwhile waits.
        assert bool(told) != server.is_redis
        assert sorted(count.value for count, _ in served) == list(range(1, len(served) + 1))
        assert all(value == bulk("v") for _, value in served)
        assert [client.do("GET", "k1") for client in clients] == [bulk("v")] * CLIENTS
        assert clients[0].do("INCR", "n") == Reply("integer", len(served) + 1)


def test_threshold_0_never_tells(own: Callable[..., Server]) -> None:
    server = own("--busy-reply-threshold", "0")
    with server.connect() as holder, connections(server.address, CLIENTS) as clients:
        sleeper = _sleep(holder, 0.3)
        assert [client.do("PING") for client in clients] == [Reply("simple", b"PONG")] * CLIENTS
        sleeper.join()
