"""The commands that block, each with what makes it wait, what serves it and what it answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.model import Command
from harness.process import Server
from harness.resp import OK, Reply, to_bytes

BLOCKED_DEADLINE_S = 10.0


@dataclass(frozen=True)
class Blocker:
    """`block(key, target, seconds)` waits for the key and, of those that move, puts what comes into
    the target. `fill(key, token)` makes it ready. `answer(key, token)` is the reply, as `values`
    has it; a time-out answers None."""

    name: str
    block: Callable[[str, str, float], Command]
    fill: Callable[[str, str], Command]
    answer: Callable[[str, str], Any]
    # Counts what is in the key and has gone to nobody.
    count: Callable[[str], Command]
    prepare: Callable[[str], Command] | None = None


def _push(key: str, token: str) -> Command:
    return ("RPUSH", key, token)


def _zadd(key: str, token: str) -> Command:
    return ("ZADD", key, 1, token)


def _xadd(key: str, token: str) -> Command:
    return ("XADD", key, "1-1", "f", token)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _llen(key: str) -> Command:
    return ("LLEN", key)


def _zcard(key: str) -> Command:
    return ("ZCARD", key)


def _pair(key: str, token: str) -> Any:
    return (to_bytes(key), to_bytes(token))


def _element(_key: str, token: str) -> Any:
    return to_bytes(token)


def _scored(key: str, token: str) -> Any:
    return (to_bytes(key), to_bytes(token), b"1")


def _entry(key: str, token: str) -> Any:
    return ((to_bytes(key), ((b"1-1", (b"f", to_bytes(token))),)),)


BLOCKERS = [
    Blocker("blpop", lambda k, _, s: ("BLPOP", k, s), _push, _pair, _llen),
    Blocker("brpop", lambda k, _, s: ("BRPOP", k, s), _push, _pair, _llen),
    Blocker("blmove", lambda k, t, s: ("BLMOVE", k, t, "LEFT", "RIGHT", s), _push, _element, _llen),
    Blocker("brpoplpush", lambda k, t, s: ("BRPOPLPUSH", k, t, s), _push, _element, _llen),
    Blocker(
        "blmpop",
        lambda k, _, s: ("BLMPOP", s, 1, k, "LEFT", "COUNT", 2),
        _push,
        lambda k, token: (to_bytes(k), (to_bytes(token),)),
        _llen,
    ),
    Blocker("bzpopmin", lambda k, _, s: ("BZPOPMIN", k, s), _zadd, _scored, _zcard),
    Blocker("bzpopmax", lambda k, _, s: ("BZPOPMAX", k, s), _zadd, _scored, _zcard),
    Blocker(
        "bzmpop",
        lambda k, _, s: ("BZMPOP", s, 1, k, "MIN"),
        _zadd,
        lambda k, token: (to_bytes(k), ((to_bytes(token), b"1"),)),
        _zcard,
    ),
    Blocker(
        "xread",
        lambda k, _, s: ("XREAD", "BLOCK", _ms(s), "STREAMS", k, "0"),
        _xadd,
        _entry,
        lambda k: ("XLEN", k),
    ),
    Blocker(
        "xreadgroup",
        lambda k, _, s: ("XREADGROUP", "GROUP", "g", "c", "BLOCK", _ms(s), "STREAMS", k, ">"),
        _xadd,
        _entry,
        lambda k: ("XLEN", k),
        lambda k: ("XGROUP", "CREATE", k, "g", "$", "MKSTREAM"),
    ),
]


def values(reply: Reply) -> Any:
    """A reply's values, which are the same in both protocols; an error is its text."""
    if reply.kind == "map":
        return tuple((values(key), values(value)) for key, value in reply.value)
    if isinstance(reply.value, tuple):
        return tuple(map(values, reply.value))
    return b"-" + reply.value if reply.kind == "error" else reply.value


def blocked_clients(server: Server) -> int:
    text = server.control().do("INFO", "clients").value
    if isinstance(text, tuple):
        text = text[0].value
    for line in text.splitlines():
        if b"blocked_clients:" in line:
            return int(line.partition(b":")[2])
    raise AssertionError(f"INFO does not say how many are blocked: {text!r}")


def await_blocked(server: Server, count: int) -> None:
    """Returns once so many clients wait."""
    deadline = time.monotonic() + BLOCKED_DEADLINE_S
    while (now := blocked_clients(server)) != count:
        assert time.monotonic() < deadline, f"{now} clients are blocked, not {count}"
        time.sleep(0.0005)


def hurry(server: Server) -> None:
    """Makes redis-server look at time-outs often, instead of ten times a second when it is idle."""
    if server.is_redis:
        assert server.control().do("CONFIG", "SET", "hz", 500) == OK
