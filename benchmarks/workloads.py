"""What benchmarks/commands.py plays: a line of every command that works, and what it is held to."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from harness import KEY_FORMAT, ROOT, VALUE_BYTES

Command = tuple[Any, ...]

KEYS = 100_000
MANY = 200_000  # commands of a turn
ONE_THIRD, ONE_HALF = 1 / 3, 1 / 2
LATER = 4_000_000_000  # seconds since 1970
SECONDS = 500_000
VALUE = b"v" * VALUE_BYTES
OTHER = b"w" * VALUE_BYTES


def key(number: int) -> str:
    return KEY_FORMAT.format(number)


@dataclass(frozen=True)
class Workload:
    """A command, and how it is played.

    `line` makes the command from numbers of keys, `takes` at a time. `once`: no number comes twice.
    `writes`: it must leave the sampled keys other than they were, and both servers alike; what does
    not write must leave them as they were. `exact`: the replies of both servers have as many bytes.
    `look` asks for what a key holds.
    """

    name: str
    goal: float
    line: Callable[..., Command]
    setup: str = "strings"  # one of SETUPS
    writes: bool = False
    count: int = MANY
    takes: int = 1
    once: bool = False
    exact: bool = True
    look: Callable[[int], Command] = lambda number: ("GET", key(number))


# What is there before

SETUPS: dict[str, Callable[[int], Command] | None] = {
    "nothing": None,
    "strings": lambda number: ("SET", key(number), VALUE),
    "numbers": lambda number: ("SET", key(number), 1_000_000),
    "texts": lambda number: ("SET", key(number), hashlib.sha256(b"%d" % number).hexdigest()),
    "deadlines": lambda number: ("SET", key(number), VALUE, "EX", SECONDS),
    "hyperloglogs": lambda number: ("PFADD", key(number), *range(number, number + 20)),
    "streams": lambda number: ("XADD", key(number), "1-1", "first", VALUE, "second", number),
    "groups": lambda number: ("XADD", key(number), "1-1", "first", VALUE, "second", number),
}
# What follows of each key: one group has read its entry, another has not.
AFTERWARDS: dict[str, tuple[Callable[[int], Command], ...]] = {
    "groups": (
        lambda number: ("XGROUP", "CREATE", key(number), "g", 0),
        lambda number: ("XGROUP", "CREATE", key(number), "new", 0),
        lambda number: ("XREADGROUP", "GROUP", "g", "c", "STREAMS", key(number), ">"),
    ),
}


# One key, read

_READS: dict[str, Command] = {
    "GET": (),
    "GETRANGE": (8, 40),
    "SUBSTR": (8, 40),
    "STRLEN": (),
    "GETBIT": (100,),
    "BITCOUNT": (),
    "BITPOS": (0, 10),
    "BITFIELD_RO": ("GET", "i11", 85),
    "EXISTS": (),
    "TYPE": (),
    "TOUCH": (),
    "GETEX": (),
    "TTL": (),
    "PTTL": (),
    "EXPIRETIME": (),
    "PEXPIRETIME": (),
}
_WITH_DEADLINES = {"TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME"}

# One key, written: setup and arguments

_WRITES: dict[str, tuple[str, Command]] = {
    "SET": ("strings", (OTHER,)),
    "SETEX": ("strings", (SECONDS, OTHER)),
    "PSETEX": ("strings", (SECONDS * 1000, OTHER)),
    "GETSET": ("strings", (OTHER,)),
    "APPEND": ("strings", (b"xy",)),
    "SETRANGE": ("strings", (8, b"abcdef")),
    "SETBIT": ("strings", (96, 1)),
    "BITFIELD": ("strings", ("INCRBY", "i11", 85, 1)),
    "INCR": ("numbers", ()),
    "DECR": ("numbers", ()),
    "INCRBY": ("numbers", (7,)),
    "DECRBY": ("numbers", (7,)),
    "EXPIRE": ("strings", (SECONDS,)),
    "PEXPIRE": ("strings", (SECONDS * 1000,)),
    "EXPIREAT": ("strings", (LATER,)),
    "PEXPIREAT": ("strings", (LATER * 1000,)),
}
_WRITES_ONCE: dict[str, tuple[str, Command]] = {
    "SETNX": ("nothing", (OTHER,)),
    "PERSIST": ("deadlines", ()),
    "DEL": ("strings", ()),
    "UNLINK": ("strings", ()),
    "GETDEL": ("strings", ()),
}


def _of_one_key(name: str, arguments: Command) -> Callable[[int], Command]:
    return lambda number: (name, key(number), *arguments)


def _single_keys() -> Iterator[Workload]:
    for name, arguments in _READS.items():
        setup = "deadlines" if name in _WITH_DEADLINES else "strings"
        yield Workload(name, ONE_THIRD, _of_one_key(name, arguments), setup)
    for name, (setup, arguments) in _WRITES.items():
        yield Workload(name, ONE_THIRD, _of_one_key(name, arguments), setup, writes=True)
    for name, (setup, arguments) in _WRITES_ONCE.items():
        line = _of_one_key(name, arguments)
        yield Workload(name, ONE_THIRD, line, setup, writes=True, count=KEYS, once=True)


# Several keys, and sums


def _pairs(name: str) -> Callable[..., Command]:
    return lambda *numbers: (name, *(word for n in numbers for word in (key(n), OTHER)))


def _several_keys() -> Iterator[Workload]:
    sum_of = _of_one_key("INCRBYFLOAT", (0.25,))
    yield Workload("INCRBYFLOAT", ONE_HALF, sum_of, "numbers", writes=True)
    mget = lambda *numbers: ("MGET", *map(key, numbers))  # noqa: E731
    yield Workload("MGET", ONE_HALF, mget, count=MANY // 4, takes=10)
    yield Workload("MSET", ONE_HALF, _pairs("MSET"), writes=True, count=MANY // 4, takes=10)
    msetnx = _pairs("MSETNX")
    yield Workload("MSETNX", ONE_HALF, msetnx, "nothing", True, KEYS // 10, takes=10, once=True)
    for name in ("RENAME", "RENAMENX"):
        rename = lambda number, name=name: (name, key(number), f"new:{number}")  # noqa: E731
        yield Workload(name, ONE_HALF, rename, writes=True, count=KEYS, once=True)
    copy = lambda number: ("COPY", key(number), f"new:{number}", "REPLACE")  # noqa: E731
    yield Workload("COPY", ONE_HALF, copy, writes=True)
    move = _of_one_key("MOVE", (1,))
    yield Workload("MOVE", ONE_HALF, move, writes=True, count=KEYS, once=True)
    bitop = lambda a, b: ("BITOP", "XOR", f"new:{a}", key(a), key(b))  # noqa: E731
    yield Workload("BITOP", ONE_HALF, bitop, "texts", writes=True, takes=2)
    lcs = lambda a, b: ("LCS", key(a), key(b))  # noqa: E731
    yield Workload("LCS", ONE_HALF, lcs, "texts", count=MANY // 20, takes=2)
    for name in ("ENCODING", "REFCOUNT", "IDLETIME"):
        look = lambda number, name=name: ("OBJECT", name, key(number))  # noqa: E731
        yield Workload(f"OBJECT {name}", ONE_HALF, look, exact=name != "IDLETIME")
    usage = lambda number: ("MEMORY", "USAGE", key(number))  # noqa: E731
    yield Workload("MEMORY USAGE", ONE_HALF, usage, exact=False)


# HyperLogLogs, sparse as most are: dense ones of all keys would take a gigabyte


def _hyperloglogs() -> Iterator[Workload]:
    setup = "hyperloglogs"
    yield Workload("PFADD", ONE_HALF, _of_one_key("PFADD", ("another",)), setup, writes=True)
    yield Workload("PFCOUNT", ONE_HALF, _of_one_key("PFCOUNT", ()), setup, writes=True)
    two = lambda a, b: ("PFCOUNT", key(a), key(b))  # noqa: E731
    yield Workload("PFCOUNT of two", ONE_HALF, two, setup, count=MANY // 20, takes=2)
    merge = lambda a, b: ("PFMERGE", key(a), key(b))  # noqa: E731
    yield Workload("PFMERGE", ONE_HALF, merge, setup, True, MANY // 20, takes=2)
    encoding = lambda number: ("PFDEBUG", "ENCODING", key(number))  # noqa: E731
    yield Workload("PFDEBUG", ONE_HALF, encoding, setup)


# Streams

_STREAM_READS: dict[str, Command] = {
    "XLEN": (),
    "XRANGE": ("-", "+"),
    "XREVRANGE": ("+", "-", "COUNT", 5),
}
_STREAM_WRITES: dict[str, tuple[bool, Command]] = {
    "XADD": (False, ("1-*", "first", OTHER, "second", 7)),
    "XADD MAXLEN": (False, ("MAXLEN", "~", 2, "1-*", "first", OTHER, "second", 7)),
    "XDEL": (True, ("1-1", "1-5")),
    "XTRIM": (True, ("MAXLEN", 0)),
}


def _streams() -> Iterator[Workload]:
    entries = lambda number: ("XRANGE", key(number), "-", "+")  # noqa: E731
    for name, arguments in _STREAM_READS.items():
        yield Workload(name, ONE_HALF, _of_one_key(name, arguments), "streams", look=entries)
    for name, (once, arguments) in _STREAM_WRITES.items():
        line = _of_one_key(name.split()[0], arguments)
        count = KEYS if once else MANY
        yield Workload(name, ONE_HALF, line, "streams", True, count, once=once, look=entries)
    set_id = _of_one_key("XSETID", ("9-9",))
    yield Workload("XSETID", ONE_HALF, set_id, "streams", look=entries)
    read = lambda number: ("XREAD", "COUNT", 5, "STREAMS", key(number), 0)  # noqa: E731
    yield Workload("XREAD", ONE_HALF, read, "streams", look=entries)
    info = lambda number: ("XINFO", "STREAM", key(number))  # noqa: E731
    yield Workload("XINFO STREAM", ONE_HALF, info, "streams", count=MANY // 4, look=entries)


# Consumer groups: the words before the key and those behind it

_GROUP_READS: dict[str, tuple[Command, Command, bool]] = {
    "XPENDING": (("XPENDING",), ("g",), True),
    "XPENDING of a range": (("XPENDING",), ("g", "-", "+", 10), False),
    "XREADGROUP of history": (("XREADGROUP", "GROUP", "g", "c", "STREAMS"), (0,), True),
    "XINFO GROUPS": (("XINFO", "GROUPS"), (), True),
    "XINFO CONSUMERS": (("XINFO", "CONSUMERS"), ("g",), False),
    "XINFO STREAM FULL": (("XINFO", "STREAM"), ("FULL",), False),
}
_GROUP_WRITES: dict[str, tuple[Command, Command]] = {
    "XCLAIM": (("XCLAIM",), ("g", "d", 0, "1-1")),
    "XAUTOCLAIM": (("XAUTOCLAIM",), ("g", "d", 0, 0)),
    "XGROUP SETID": (("XGROUP", "SETID"), ("g", "1-0")),
    "XGROUP CREATECONSUMER": (("XGROUP", "CREATECONSUMER"), ("g", "d")),
}
_GROUP_WRITES_ONCE: dict[str, tuple[Command, Command]] = {
    "XREADGROUP": (("XREADGROUP", "GROUP", "new", "c", "STREAMS"), (">",)),
    "XACK": (("XACK",), ("g", "1-1")),
    "XGROUP CREATE": (("XGROUP", "CREATE"), ("h", 0)),
    "XGROUP DELCONSUMER": (("XGROUP", "DELCONSUMER"), ("g", "c")),
    "XGROUP DESTROY": (("XGROUP", "DESTROY"), ("g",)),
}


def _around_a_key(before: Command, behind: Command) -> Callable[[int], Command]:
    return lambda number: (*before, key(number), *behind)


def _groups() -> Iterator[Workload]:
    held = _around_a_key(("XINFO", "GROUPS"), ())
    for name, (before, behind, exact) in _GROUP_READS.items():
        line = _around_a_key(before, behind)
        yield Workload(name, ONE_HALF, line, "groups", count=MANY // 2, exact=exact, look=held)
    for name, words in _GROUP_WRITES.items():
        yield Workload(name, ONE_HALF, _around_a_key(*words), "groups", True, look=held)
    for name, words in _GROUP_WRITES_ONCE.items():
        line = _around_a_key(*words)
        yield Workload(name, ONE_HALF, line, "groups", True, KEYS, once=True, look=held)


# No keys: the line, how many of them, and whether both answer with as many bytes

_LINES: list[tuple[str, int, bool]] = [
    ("PING", MANY, True),
    ("ECHO hello", MANY, True),
    ("TIME", MANY, False),
    ("SELECT 0", MANY, True),
    ("DBSIZE", MANY, True),
    ("RANDOMKEY", MANY, True),
    ("SWAPDB 2 3", MANY, True),
    ("FLUSHDB", MANY // 4, True),
    ("FLUSHALL", MANY // 10, True),
    ("SCAN 0 COUNT 10", MANY // 10, False),
    ("KEYS nosuch*", 64, True),
    ("ROLE", MANY, True),
    ("REPLICAOF NO ONE", MANY, True),
    ("SLAVEOF NO ONE", MANY, True),
    ("LOLWUT", MANY, False),
    ("MODULE LIST", MANY, True),
    ("MODULE HELP", MANY // 4, False),
    ("ACL CAT", MANY // 4, True),
    ("ACL CAT string", MANY // 10, True),
    ("ACL GENPASS", MANY, True),
    ("ACL WHOAMI", MANY, True),
    ("ACL HELP", MANY // 4, False),
    ("HELLO 2", MANY // 4, False),
    ("CLIENT GETNAME", MANY, True),
    ("CLIENT SETNAME me", MANY, True),
    ("CLIENT ID", MANY, False),
    ("CLIENT INFO", MANY // 10, False),
    ("CLIENT LIST", MANY // 50, False),
    ("CLIENT NO-EVICT off", MANY, True),
    ("CLIENT HELP", MANY // 10, False),
    ("COMMAND", 640, False),
    ("COMMAND COUNT", MANY, True),
    ("COMMAND DOCS GET", MANY // 10, False),
    ("COMMAND GETKEYS SET a b", MANY // 4, True),
    ("COMMAND GETKEYSANDFLAGS SET a b", MANY // 4, True),
    ("COMMAND HELP", MANY // 4, False),
    ("COMMAND INFO GET", MANY // 4, True),
    ("COMMAND LIST", MANY // 50, False),
    ("CONFIG GET maxmemory", MANY // 10, True),
    ("CONFIG HELP", MANY // 4, False),
    ("CONFIG RESETSTAT", MANY // 10, True),
    ("CONFIG SET maxmemory-samples 5", MANY // 10, True),
    ("INFO", MANY // 50, False),
    ("MEMORY DOCTOR", MANY // 10, False),
    ("MEMORY HELP", MANY // 4, False),
    ("MEMORY STATS", MANY // 50, False),
    ("OBJECT HELP", MANY // 4, False),
    ("XGROUP HELP", MANY // 4, False),
    ("XINFO HELP", MANY // 4, False),
]
_WITHOUT_KEYS = {"SWAPDB 2 3", "FLUSHDB", "FLUSHALL"}

# Works, and is not played
UNPLAYED = {
    "AUTH": "asks for a password that the servers do not have",
    "CLIENT SETINFO": "Redis 7.0 does not have it",
    "CLIENT NO-TOUCH": "Redis 7.0 does not have it",
    "CLIENT KILL": "ends the load",
    "CLIENT PAUSE": "stops the load",
    "CLIENT REPLY": "silences the load",
    "CONFIG REWRITE": "the servers have no file",
    "DEBUG": "not allowed by default",
    "MEMORY MALLOC-STATS": "what the allocator has to say is not alike",
    "MEMORY PURGE": "the work of the allocator",
    "OBJECT FREQ": "asks for another policy",
    "PFSELFTEST": "tests as much as it likes",
    "QUIT": "ends the load",
    "SHUTDOWN": "ends the server",
    **dict.fromkeys(
        (
            *("HEXPIRE", "HEXPIREAT", "HEXPIRETIME", "HPERSIST", "HPEXPIRE", "HPEXPIREAT"),
            *("HPEXPIRETIME", "HPTTL", "HTTL"),
        ),
        "Redis 7.0 does not have it",
    ),
}


def _without_keys() -> Iterator[Workload]:
    for text, count, exact in _LINES:
        words = tuple(text.split())
        setup = "nothing" if text in _WITHOUT_KEYS else "strings"
        line = lambda number, words=words: words  # noqa: E731
        yield Workload(text, ONE_HALF, line, setup, count=count, exact=exact)


def _working() -> list[str]:
    page = (ROOT / "docs" / "COMPATIBILITY.md").read_text()
    return re.findall(r"^\| ([A-Z][A-Z_ -]*) \| [0-9.]+ \| works \|$", page, re.MULTILINE)


def _plays(workload: Workload, name: str) -> bool:
    return f"{workload.name} ".startswith(f"{name} ")


def workloads() -> list[Workload]:
    """Those of commands that work."""
    working = _working()
    known = [
        *_single_keys(),
        *_several_keys(),
        *_hyperloglogs(),
        *_streams(),
        *_groups(),
        *_without_keys(),
    ]
    return [workload for workload in known if any(_plays(workload, name) for name in working)]


def unplayed(played: Sequence[Workload]) -> dict[str, str]:
    """What works and is not played, with the reason."""
    missing = [name for name in _working() if not any(_plays(w, name) for w in played)]
    return {name: UNPLAYED.get(name, "no line in benchmarks/workloads.py") for name in missing}
