"""A wire case: steps on one or more connections, played on the oracle and on each of our
configurations.

A step is
- a string: a command on connection 0, split like a shell line, `$0` to `$9` being keys on
  different shards;
- a tuple: a command whose arguments may be bytes, integers or `Key(n)`;
- one of the step objects below, for anything else.

What is compared is the transcript: per step, the replies that were read.
"""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from harness.client import Connection
from harness.process import Server
from harness.resp import Argument, Reply, encode, render

Mask = Callable[[Reply], Reply]

SPREAD_KEYS = 10
CONTROL = -1  # the connection that steps look at the server with
BEGIN_DEADLINE_S = 10.0
_KEY = re.compile(r"\$([0-9])")


class Key(int):
    """Stands for the n-th of the case's keys, whose neighbours lie on different shards."""


Command = str | Sequence[Argument | Key]


@dataclass(frozen=True)
class Do:
    """Sends a command and reads one reply."""

    command: Command
    on: int = 0
    mask: Mask | None = None

    @property
    def label(self) -> str:
        command = self.command
        return command if isinstance(command, str) else " ".join(_show(a) for a in command)


@dataclass(frozen=True)
class Send:
    """Writes raw bytes, in pieces of `piece` bytes if given, and reads nothing."""

    data: bytes
    on: int = 0
    piece: int | None = None

    @property
    def label(self) -> str:
        return f"send {self.data[:60]!r}"


@dataclass(frozen=True)
class Ask:
    """Sends a command and reads nothing: its reply is left for a `Read`."""

    command: Command
    on: int = 0

    @property
    def label(self) -> str:
        return f"ask {self.command}"


@dataclass(frozen=True)
class Blocked:
    """Waits until so many clients of the server wait in commands that block."""

    count: int = 1
    deadline_s: float = 10.0

    @property
    def label(self) -> str:
        return f"blocked {self.count}"


@dataclass(frozen=True)
class Pipe:
    """Sends commands in one write and reads all their replies, or `replies` if some have none."""

    commands: Sequence[Command]
    on: int = 0
    replies: int | None = None

    @property
    def label(self) -> str:
        return f"pipe of {len(self.commands)}"


@dataclass(frozen=True)
class Read:
    """Reads that many replies, or up to the end of the stream when `count` is None."""

    count: int | None = 1
    on: int = 0
    mask: Mask | None = None

    @property
    def label(self) -> str:
        return "read to the end" if self.count is None else f"read {self.count}"


@dataclass(frozen=True)
class Until:
    """Repeats a command until it answers `expected`, within `deadline_s`."""

    command: Command
    expected: Reply
    deadline_s: float = 10.0
    on: int = 0

    @property
    def label(self) -> str:
        return f"until {self.command}"


@dataclass(frozen=True)
class Sleep:
    seconds: float

    @property
    def label(self) -> str:
        return f"sleep {self.seconds}"


@dataclass(frozen=True)
class Shutdown:
    """Half-closes: nothing more will be written."""

    on: int = 0
    label: str = "shutdown"


@dataclass(frozen=True)
class Silent:
    """Nothing may arrive for that long."""

    seconds: float = 0.03
    on: int = 0
    label: str = "silent"


@dataclass(frozen=True)
class Begin:
    """Sends a command that waits, and goes on once the server says that its client does."""

    command: Command
    on: int

    @property
    def label(self) -> str:
        return f"begin {Do(self.command).label}"


Step = Do | Ask | Begin | Blocked | Send | Pipe | Read | Until | Sleep | Shutdown | Silent


@dataclass(frozen=True)
class Case:
    name: str
    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        if not any(isinstance(step, (Do, Pipe, Read, Until)) for step in self.steps):
            raise ValueError(f"the case {self.name} reads nothing, so it could not fail")


@dataclass
class Entry:
    """What one step of a transcript read."""

    label: str
    replies: list[Reply] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.label} -> {'; '.join(render(r) for r in self.replies[:6])}"


def case(name: str, *steps: Step | Command) -> Case:
    return Case(name, tuple(s if isinstance(s, Step) else Do(s) for s in steps))


def play(a_case: Case, server: Server) -> list[Entry]:
    """Plays a case on fresh connections and returns its transcript."""
    player = _Player(server)
    try:
        return [Entry(step.label, player.play(step)) for step in a_case.steps]
    finally:
        player.close()


class _Player:
    def __init__(self, server: Server) -> None:
        self._server = server
        self._keys = server.spread(SPREAD_KEYS)
        self._key_names: dict[bytes, bytes] = {}  # of those that commands have named
        self._connections: dict[int, Connection] = {}

    def play(self, step: Step) -> list[Reply]:
        if isinstance(step, Sleep):
            time.sleep(step.seconds)
            return []
        if isinstance(step, Blocked):
            self._await_blocked(step)
            return []
        connection = self._connection(step.on)
        if isinstance(step, Do):
            reply = connection.do(*self._arguments(step.command))
            return self._masked(step.mask, [self._with_key_names(reply)])
        if isinstance(step, Read):
            replies = map(self._with_key_names, _read(connection, step.count))
            return self._masked(step.mask, list(replies))
        if isinstance(step, Pipe):
            commands = (self._arguments(command) for command in step.commands)
            return list(map(self._with_key_names, connection.pipeline(commands, step.replies)))
        if isinstance(step, Until):
            return [self._until(connection, step)]
        if isinstance(step, Begin):
            self._begin(connection, step)
        else:
            self._act(connection, step)
        return []

    def _begin(self, connection: Connection, step: Begin) -> None:
        number = connection.do("CLIENT", "ID").value
        connection.send(encode(*self._arguments(step.command)))
        deadline = time.monotonic() + BEGIN_DEADLINE_S
        asker = self._connection(CONTROL)
        while b"b" not in _flags(asker.do("CLIENT", "LIST", "ID", number)):
            assert time.monotonic() < deadline, f"{step.label}: its client does not wait"
            time.sleep(0.001)

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()

    def _act(self, connection: Connection, step: Ask | Send | Shutdown | Silent) -> None:
        if isinstance(step, Shutdown):
            connection.shutdown_write()
        elif isinstance(step, Silent):
            assert connection.silent_for(step.seconds), "something arrived in a silence"
        elif isinstance(step, Ask):
            connection.send(encode(*self._arguments(step.command)))
        elif step.piece is None:
            connection.send(step.data)
        else:
            for at in range(0, len(step.data), step.piece):
                connection.send(step.data[at : at + step.piece])

    def _await_blocked(self, step: Blocked) -> None:
        expected = b"blocked_clients:%d\r\n" % step.count
        deadline = time.monotonic() + step.deadline_s
        control = self._connection(CONTROL)
        while expected not in control.do("INFO", "clients").value:
            assert time.monotonic() < deadline, step.label
            time.sleep(0.002)

    def _until(self, connection: Connection, step: Until) -> Reply:
        deadline = time.monotonic() + step.deadline_s
        while True:
            reply = connection.do(*self._arguments(step.command))
            if reply == step.expected or time.monotonic() > deadline:
                return reply
            time.sleep(0.01)

    def _connection(self, index: int) -> Connection:
        if index not in self._connections:
            self._connections[index] = self._server.connect()
        return self._connections[index]

    def _arguments(self, command: Command) -> list[Argument]:
        if isinstance(command, str):
            return [self._token(token) for token in shlex.split(command)]
        return [self._key(int(arg)) if isinstance(arg, Key) else arg for arg in command]

    def _token(self, token: str) -> str:
        match = _KEY.fullmatch(token)
        return self._key(int(match[1])) if match else token

    def _key(self, index: int) -> str:
        key = self._keys[index]
        self._key_names[key.encode()] = b"$%d" % index
        return key

    def _with_key_names(self, reply: Reply) -> Reply:
        """A reply in which the case's keys read as in its commands: every server has others."""
        if reply.kind == "bulk":
            return Reply("bulk", self._key_names.get(reply.value, reply.value))
        if reply.kind == "error":
            return Reply("error", self._with_key_names_inside(reply.value))
        if not isinstance(reply.value, tuple):
            return reply
        if reply.kind in ("map", "attribute"):
            named = ((self._with_key_names(k), self._with_key_names(v)) for k, v in reply.value)
            return Reply(reply.kind, tuple(named))
        return Reply(reply.kind, tuple(map(self._with_key_names, reply.value)))

    def _with_key_names_inside(self, text: bytes) -> bytes:
        for key in sorted(self._key_names, key=len, reverse=True):
            text = text.replace(b"'%s'" % key, b"'%s'" % self._key_names[key])
        return text

    @staticmethod
    def _masked(mask: Mask | None, replies: list[Reply]) -> list[Reply]:
        return [mask(reply) for reply in replies] if mask else replies


def _flags(client_list: Reply) -> bytes:
    match = re.search(rb" flags=([A-Za-z]+) ", client_list.value)
    return match[1] if match else b""


def _read(connection: Connection, count: int | None) -> list[Reply]:
    return connection.read_until_closed() if count is None else connection.read_many(count)


def _show(arg: Argument | Key) -> str:
    if isinstance(arg, Key):
        return f"${int(arg)}"
    if isinstance(arg, bytes):
        return repr(arg[:40])
    return str(arg)


# Maskers, for what differs by nature.

MASKED = Reply("masked", None)


def mask_number(reply: Reply) -> Reply:
    """Any positive integer."""
    return MASKED if reply.kind == "integer" and reply.value > 0 else reply


def mask_field(name: bytes) -> Mask:
    """The value of a field in a map, or in an array of alternating names and values."""

    def mask(reply: Reply) -> Reply:
        if reply.kind == "map":
            pairs = tuple((k, MASKED if k.value == name else v) for k, v in reply.value)
            return Reply("map", pairs)
        if reply.kind == "array":
            items = list(reply.value)
            for at in range(0, len(items) - 1, 2):
                if items[at].value == name:
                    items[at + 1] = MASKED
            return Reply("array", tuple(items))
        return reply

    return mask


_TIMES = {b"idle", b"inactive", b"seen-time", b"active-time"}
_ACTIVITY = {b"inactive", b"active-time"}
_NODES = {b"radix-tree-keys", b"radix-tree-nodes"}
_COARSE_MS = 50_000


def mask_stream(reply: Reply) -> Reply:
    """What a stream tells of clocks, coarsely, and of its tree, at any depth of a reply; without
    the activity of consumers, of which the oracle knows nothing."""
    return _mask_stream(reply, hidden=_ACTIVITY)


def mask_stream_activity(reply: Reply) -> Reply:
    """As `mask_stream`, with the activity of consumers."""
    return _mask_stream(reply, hidden=set())


def _mask_stream(reply: Reply, hidden: set[bytes]) -> Reply:
    if reply.kind == "map":
        pairs = ((k, _mask_named(k, _mask_stream(v, hidden))) for k, v in reply.value)
        return Reply("map", tuple((k, v) for k, v in pairs if k.value not in hidden))
    if not isinstance(reply.value, tuple):
        return reply
    items: list[Reply] = []
    for at, item in enumerate(reply.value):
        before = reply.value[at - 1].value if at > 0 else None
        if (item.value in hidden and item.kind == "bulk") or before in hidden:
            continue
        items.append(_mask_item(reply.value, at, _mask_stream(item, hidden)))
    return Reply(reply.kind, tuple(items))


def _mask_item(items: tuple[Reply, ...], at: int, item: Reply) -> Reply:
    """Times of deliveries have no names: they stand before the number of deliveries."""
    if at > 0 and items[at - 1].kind == "bulk" and items[at - 1].value in _TIMES | _NODES:
        return _mask_named(items[at - 1], item)
    last_two = at > 0 and at == len(items) - 2
    return _coarse(item) if last_two and items[at + 1].kind == "integer" else item


def _mask_named(name: Reply, value: Reply) -> Reply:
    if name.value in _NODES:
        return mask_number(value)
    return _coarse(value) if name.value in _TIMES else value


def _coarse(time_ms: Reply) -> Reply:
    """A date of today is masked, a duration is rounded down; one that is set stays as it is."""
    if time_ms.kind != "integer" or time_ms.value < 0:
        return time_ms
    if time_ms.value > 1_600_000_000_000:
        return MASKED
    return Reply("duration", time_ms.value // _COARSE_MS * _COARSE_MS)


_DIGITS = re.compile(rb"-?[0-9]+(\.[0-9]+)?(e[-+]?[0-9]+)?")


def shortest_doubles(reply: Reply) -> Reply:
    """Texts that are numbers, at any depth, as the number that they read as: the oracle prints 17
    digits, the target as few as read back."""
    if isinstance(reply.value, tuple) and reply.kind != "map":
        return Reply(reply.kind, tuple(map(shortest_doubles, reply.value)))
    text = reply.value
    if reply.kind not in ("bulk", "double") or not _DIGITS.fullmatch(text):
        return reply
    if len(text) <= 15 and text.lstrip(b"-").isdigit():
        return reply
    return Reply(reply.kind, repr(float(text)).encode())


def mask_id(reply: Reply) -> Reply:
    """The id that XADD has made from the clock."""
    made = reply.kind == "bulk" and re.fullmatch(rb"[0-9]{13}-[0-9]+", reply.value)
    return MASKED if made else reply


class Near:
    """A number that equals those within a distance. Rounding instead would have edges."""

    def __init__(self, value: int, distance: int) -> None:
        self._value = value
        self._distance = distance

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Near) and abs(self._value - other._value) <= self._distance

    def __hash__(self) -> int:
        return hash(self._distance)

    def __repr__(self) -> str:
        return f"{self._value} +- {self._distance}"


def mask_remaining(unit_ms: int) -> Mask:
    """A remaining time to live. The oracle may have been asked minutes ago about a fixed date."""

    def mask(reply: Reply) -> Reply:
        if reply.kind != "integer" or reply.value <= 0:
            return reply
        seconds = reply.value * unit_ms // 1000
        distance_ms = 5_000 if seconds < 1_000_000 else 3_600_000
        return Reply("remaining", Near(reply.value, distance_ms // unit_ms))

    return mask


def in_both_protocols(name: str, *steps: Step | Command) -> list[Case]:
    """The same steps in RESP2 and, as `name`-resp3, in RESP3."""
    hello = Do("HELLO 3", mask=mask_field(b"id"))
    return [case(name, *steps), case(f"{name}-resp3", hello, *steps)]


def unordered(reply: Reply) -> Reply:
    """Items of an array or set, and pairs of a map, in a canonical order: a multiset."""
    if isinstance(reply.value, tuple):
        return Reply(reply.kind, tuple(sorted(reply.value, key=repr)))
    return reply


def unordered_pairs(reply: Reply) -> Reply:
    """Names and values that alternate in an array, as a multiset of pairs; a map likewise."""
    if reply.kind != "array":
        return unordered(reply)
    pairs = sorted(zip(reply.value[::2], reply.value[1::2], strict=True), key=repr)
    return Reply("array", tuple(item for pair in pairs for item in pair))


def unordered_flags(reply: Reply) -> Reply:
    """Nested sets, and the arrays of simple strings that stand for them in RESP2, as multisets."""
    if not isinstance(reply.value, tuple) or reply.kind == "map":
        return reply
    inner = Reply(reply.kind, tuple(unordered_flags(item) for item in reply.value))
    flags = inner.kind == "set" or all(item.kind == "simple" for item in inner.value)
    return unordered(inner) if flags else inner
