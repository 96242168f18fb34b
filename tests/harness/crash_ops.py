"""What clients do before a crash: calls that leave a mark of their own in the data.

Every call that writes has a *token*, `<client>.<number>`, and what it does to the data is a few
*effects*: the token is put into a key (a list, a stream, a hash ...), or taken from one. So the
data that is there after the crash says of every call whether it is there (`crash_check.py`).

Calls are made from a seed, without regard to answers, so that a process that dies need only have
noted which calls it began, and what was answered.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, NamedTuple

from harness.model import Command
from harness.resp import Reply

CONTAINERS = 3
# What a call that blocks may wait, in seconds.
PATIENCE = "0.03"
SHORT_MS = 3
FAR_MS = 4_000_000_000_000
TAIL = 12

# Kinds of calls, by how their effects are known.
PUT = "put"  # from the call itself
MOVE = "move"  # the answer is the token that went from a queue to its end
POP = "pop"  # the answer has the token that was taken from a queue
COUNT = "count"  # the answer is the token
CLAIM = "claim"  # a put, unless the answer is null
READ = "read"  # the answer has tokens that are there, the latest last
OTHER = "other"  # nothing that is asked for later


class Effect(NamedTuple):
    """A token is in one of `keys`, or in none if it is `gone`."""

    keys: tuple[str, ...]
    token: str
    gone: bool = False


class Op(NamedTuple):
    """One step that nothing else divides; several commands are a transaction."""

    kind: str
    commands: tuple[Command, ...]
    effects: tuple[Effect, ...] = ()
    keys: tuple[str, ...] = ()


# What puts a token into a container, by the container's kind. Lists, streams and strings keep the
# order of what was put in.
PUTS = {
    "list": lambda key, token: ("RPUSH", key, token),
    "stream": lambda key, token: ("XADD", key, "*", token, ""),
    "text": lambda key, token: ("APPEND", key, f"{token},"),
    "hash": lambda key, token: ("HSET", key, token, "1"),
    "set": lambda key, token: ("SADD", key, token),
    "zset": lambda key, token: ("ZADD", key, token.rpartition(".")[2], token),
}
READS = {
    "list": lambda key: ("LRANGE", key, -TAIL, -1),
    "stream": lambda key: ("XREVRANGE", key, "+", "-", "COUNT", TAIL),
    "text": lambda key: ("GETRANGE", key, -200, -1),
}
ORDERED = {*READS, "queue", "count"}


class Ops:
    """An endless sequence of calls of one client; `name` begins every key."""

    def __init__(self, name: str, client: str, seed: str) -> None:
        self._name = name
        self._client = client
        self._choose = random.Random(f"{seed} {name} {client}")
        self._number = 0
        self._claims: list[str] = []

    def __iter__(self) -> Iterator[Op]:
        makers = {
            self._put: 6,
            self._both: 3,
            self._mset: 2,
            self._job: 3,
            self._rename: 2,
            self._push: 4,
            self._move: 2,
            self._pop: 2,
            self._count: 2,
            self._claim: 2,
            self._dated: 1,
            self._read: 3,
        }
        while True:
            maker = self._choose.choices(list(makers), list(makers.values()))[0]
            yield from maker()

    def _token(self) -> str:
        self._number += 1
        return f"{self._client}.{self._number}"

    def _key(self, kind: str, which: object = None) -> str:
        return (
            f"{self._name}:{kind}:{self._choose.randrange(CONTAINERS) if which is None else which}"
        )

    def _put(self) -> Iterator[Op]:
        yield self._put_into(self._choose.choice(list(PUTS)))

    def _put_into(self, *kinds: str) -> Op:
        token = self._token()
        keys = [self._key(kind) for kind in kinds]
        commands = tuple(PUTS[kind](key, token) for kind, key in zip(kinds, keys, strict=True))
        return Op(PUT, commands, tuple(Effect((key,), token) for key in keys))

    def _both(self) -> Iterator[Op]:
        """A transaction over shards."""
        yield self._put_into(*self._choose.sample(list(PUTS), self._choose.randint(2, 4)))

    def _mset(self) -> Iterator[Op]:
        token = self._token()
        keys = [self._key("one", f"{token}.{i}") for i in range(3)]
        words = [word for key in keys for word in (key, token)]
        yield Op(PUT, (("MSET", *words),), tuple(Effect((key,), token) for key in keys))

    def _job(self) -> Iterator[Op]:
        """The cause, and behind it the effect on another shard, usually in one write."""
        yield self._put_into("hash")
        yield self._put_into("list")

    def _rename(self) -> Iterator[Op]:
        token = self._token()
        first, second = (self._key("one", f"{token}.{end}") for end in "ab")
        yield Op(PUT, (("SET", first, token),), (Effect((first, second), token),))
        yield Op(
            PUT,
            (("RENAME", first, second),),
            (Effect((second,), token),),
        )

    def _push(self) -> Iterator[Op]:
        token = self._token()
        key = self._key("queue", self._choose.choice(["moved", "popped"]))
        keys = (key, key.replace(":queue:", ":done:"))
        yield Op(PUT, (("RPUSH", key, token),), (Effect(keys, token),))

    def _move(self) -> Iterator[Op]:
        key = self._key("queue", "moved")
        done = self._key("done", "moved")
        words = ("BLMOVE", key, done, "LEFT", "RIGHT", PATIENCE)
        if self._choose.random() < 0.4:
            words = ("LMOVE", *words[1:-1])
        yield Op(MOVE, (words,), keys=(key, done))

    def _pop(self) -> Iterator[Op]:
        key = self._key("queue", "popped")
        yield Op(POP, (("BLPOP", key, PATIENCE),), keys=(key,))

    def _count(self) -> Iterator[Op]:
        key = self._key("count")
        yield Op(COUNT, (("INCR", key),), keys=(key,))

    def _claim(self) -> Iterator[Op]:
        """What expires makes room for what is to stay, of which a late deletion would be seen."""
        token = self._token()
        key = self._key("one", token)
        yield Op(OTHER, (("SET", key, "short", "PX", SHORT_MS),))
        self._claims.append(key)
        while len(self._claims) > 2:
            key = self._claims.pop(0)
            token = key.rpartition(":")[2]
            yield Op(CLAIM, (("SET", key, token, "NX"),), (Effect((key,), token),))

    def _dated(self) -> Iterator[Op]:
        """A deadline far away: which one it is says the token."""
        token = self._token()
        key = self._key("dated", token)
        moment = FAR_MS + int(token.rpartition(".")[2])
        form = self._choose.randrange(3)
        sets: list[tuple[Command, ...]] = [
            (("SET", key, token, "PXAT", moment),),
            (("SET", key, token), ("PEXPIREAT", key, moment)),
            (("HSET", key, token, "1"), ("PEXPIREAT", key, moment)),
        ]
        yield Op(PUT, sets[form], (Effect((key,), token),))

    def _read(self) -> Iterator[Op]:
        kind = self._choose.choice(list(READS))
        key = self._key(kind)
        yield Op(READ, (READS[kind](key),), keys=(key,))


def kind_of(key: str) -> str:
    return key.split(":")[1]


def tokens_of_read(key: str, value: Any) -> list[str]:
    """The tokens that a read has seen, oldest first; `value` as `plain` or a session has it."""
    if value is None:
        return []
    kind = kind_of(key)
    if kind == "text":
        # What stands before the first comma may be half a token.
        whole = value.decode()
        words = whole.split(",")[:-1]
        return words[1:] if len(whole) >= 200 else words
    if kind == "stream":
        return [fields[0].decode() for _, fields in reversed(value)]
    return [item.decode() for item in value]


# ---- What is there -------------------------------------------------------------------------------


class Value(NamedTuple):
    """What a key holds: tokens, in their order if the kind has one, and its deadline or -1."""

    tokens: tuple[str, ...]
    deadline: int


_DUMPS = {
    b"string": lambda key: ("GET", key),
    b"list": lambda key: ("LRANGE", key, 0, -1),
    b"stream": lambda key: ("XRANGE", key, "-", "+"),
    b"hash": lambda key: ("HKEYS", key),
    b"set": lambda key: ("SMEMBERS", key),
    b"zset": lambda key: ("ZRANGE", key, 0, -1),
}


def dump(connection: Any) -> dict[str, Value]:
    """Everything that a server holds, read over a connection."""
    keys: set[str] = set()
    cursor = b"0"
    while True:
        reply = connection.do("SCAN", cursor, "COUNT", 1000)
        cursor = reply.value[0].value
        keys |= {item.value.decode() for item in reply.value[1].value}
        if cursor == b"0":
            break
    found: dict[str, Value] = {}
    names = sorted(keys)
    for first in range(0, len(names), 500):
        some = names[first : first + 500]
        asked = [(word, key) for key in some for word in ("TYPE", "PEXPIRETIME")]
        replies = [reply.value for reply in connection.pipeline(asked)]
        types, deadlines = replies[::2], replies[1::2]
        # What has expired between the replies has no type.
        here = [(k, t, d) for k, t, d in zip(some, types, deadlines, strict=True) if t != b"none"]
        values = connection.pipeline([_DUMPS[kind](key) for key, kind, _ in here])
        for (key, _, deadline), reply in zip(here, values, strict=True):
            if reply.value is not None:
                found[key] = Value(_tokens(kind_of(key), reply), deadline)
    return found


def _tokens(kind: str, reply: Reply) -> tuple[str, ...]:
    if not isinstance(reply.value, tuple):
        text = reply.value.decode()
        if kind == "text":
            return tuple(text.split(",")[:-1])
        return tuple(map(str, range(1, int(text) + 1))) if kind == "count" else (text,)
    if kind == "stream":
        return tuple(entry.value[1].value[0].value.decode() for entry in reply.value)
    tokens = [item.value.decode() for item in reply.value]
    return tuple(tokens if kind in ("list", "queue", "done") else sorted(tokens))
