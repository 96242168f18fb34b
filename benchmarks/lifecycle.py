"""`Server()` to the first PING, `stop()`, and what four idle shards cost, beside redis-server."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass

from harness import REDIS, ServerProcess, Unavailable, apart, find_kevyrt, median, thread_cpu_ns
from report import Figure, Options, Section, main, number

TURNS = 50
QUICK_TURNS = 10
IDLE_S = 5.0
QUICK_IDLE_S = 1.0
IDLE_SHARDS = 4
START_GOAL_MS = 5.0
STOP_GOAL_MS = 5.0
IDLE_GOAL_PERCENT = 0.05  # rounds to 0.0 %
PING = b"*1\r\n$4\r\nPING\r\n"
PONG = b"+PONG\r\n"


@dataclass(frozen=True)
class Turn:
    start_ms: float
    stop_ms: float


def _ping(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.sendall(PING)
        reply = connection.recv(len(PONG), socket.MSG_WAITALL)
    if reply != PONG:
        raise Unavailable(f"the server answered PING with {reply!r}")


def _turn(io: str) -> Turn:
    kevyrt = find_kevyrt()
    began = time.perf_counter()
    server = kevyrt.Server(io=io)
    server.start()
    _ping(server.port)
    answered = time.perf_counter()
    server.stop()
    stopped = time.perf_counter()
    return Turn((answered - began) * 1e3, (stopped - answered) * 1e3)


def _redis_turn() -> Turn:
    began = time.perf_counter()
    server = ServerProcess(REDIS, sorted(os.sched_getaffinity(0)))
    answered = time.perf_counter()
    server.stop()
    return Turn((answered - began) * 1e3, (time.perf_counter() - answered) * 1e3)


def _idle_percent(pid: int, seconds: float) -> float:
    """Run time of all threads of a process while nobody asks it for anything."""
    before = sum(thread_cpu_ns(pid).values())
    began = time.perf_counter()
    time.sleep(seconds)
    elapsed = time.perf_counter() - began
    return (sum(thread_cpu_ns(pid).values()) - before) / elapsed / 1e9 * 100


def _idle_shards_percent(io: str, seconds: float) -> float:
    kevyrt = find_kevyrt()
    with kevyrt.Server(threads=IDLE_SHARDS, io=io) as server:
        _ping(server.port)
        return _idle_percent(os.getpid(), seconds)


def _redis_idle_percent(seconds: float) -> float:
    with ServerProcess(REDIS, apart().server) as server:
        return _idle_percent(server.pid, seconds)


def _beside(value: float | None, unit: str) -> str:
    return "" if value is None else f"redis-server {number(value)} {unit}"


def _figures(io: str, turns: list[Turn], idle: float | None, redis: tuple) -> list[Figure]:
    start = median([turn.start_ms for turn in turns])
    stop = median([turn.stop_ms for turn in turns])
    redis_start, redis_stop, redis_idle = redis
    idle_name = f"{io}: idle CPU with {IDLE_SHARDS} shards"
    return [
        Figure(
            f"{io}: Server() to first PING",
            start,
            "ms",
            START_GOAL_MS,
            beside=_beside(redis_start, "ms"),
        ),
        Figure(f"{io}: stop()", stop, "ms", STOP_GOAL_MS, beside=_beside(redis_stop, "ms")),
        Figure(idle_name, idle, "%", IDLE_GOAL_PERCENT, beside=_beside(redis_idle, "%")),
    ]


def _redis(turns: int, idle_s: float) -> tuple[float | None, float | None, float | None]:
    try:
        done = [_redis_turn() for _ in range(turns)]
        return (
            median([turn.start_ms for turn in done]),
            median([turn.stop_ms for turn in done]),
            _redis_idle_percent(idle_s),
        )
    except Unavailable:
        return None, None, None


def lifecycle(options: Options) -> Section:
    turns = QUICK_TURNS if options.quick else TURNS
    idle_s = QUICK_IDLE_S if options.quick else IDLE_S
    section = Section("Starting, stopping, idling", notes=[f"medians of {turns} turns."])
    redis = _redis(max(turns // 5, 1), idle_s)
    for io in ("io_uring", "epoll"):
        try:
            done = [_turn(io) for _ in range(turns)]
            idle = _idle_shards_percent(io, idle_s)
        except (Unavailable, OSError) as reason:
            section.notes.append(f"not measured: {io}: {reason}")
            done, idle = [], None
        section.figures += _figures(io, done, idle, redis)
        section.raw += [{"io": io, **vars(turn)} for turn in done]
    return section


if __name__ == "__main__":
    main(__doc__, lifecycle)
