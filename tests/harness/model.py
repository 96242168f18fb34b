"""What a server answers, in a few lines of Python: the sequential truth.

Commands are tuples of text and bytes; answers are the plain values of replies (`plain`). Errors
are the exception class itself, so that a model can say *an error* without its text.

Beside data the model knows what lasts longer than a call: who watches what, who waits for which
lists, who listens to which channels. `execute` takes one call of one client as a step that nothing
else divides; it answers WAITING where the client blocks, and `served` names those whom the step
has let go, with their answers. Some calls are not commands of one request:

    ("EXEC", command, ...)   MULTI, the commands and EXEC: None when a watched key has changed
    ("RECEIVE", client)      the next message that this client has been sent, or NOTHING
    ("DRAINED", client)      whether it has received every message
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable
from typing import Any

from harness.resp import Reply, to_bytes

Command = tuple[Any, ...]
Value = bytes | tuple[bytes, ...]

LIMIT = 1 << 63
ENDS = (b"LEFT", b"RIGHT")


class AnError:
    """Stands for any error reply."""


class _Waiting:
    def __repr__(self) -> str:
        return "waiting"


class _Nothing:
    def __repr__(self) -> str:
        return "nothing"


WAITING = _Waiting()
NOTHING = _Nothing()


class _WrongType(Exception):
    """A command met a value of another type; the answer is an error and nothing has changed."""


class Model:
    """One database, its watchers, waiters and listeners.

    A waiter that can be served runs its command `again`, so the first of its keys that has an
    element counts, as from Redis 7.2 on; with `again=False` it is served from the key that became
    ready, as before that.
    """

    def __init__(self, data: dict[bytes, Value] | None = None, *, again: bool = True) -> None:
        self.data = dict(data or {})
        self.again = again
        self.waiters: tuple[tuple[Hashable, Command], ...] = ()
        self.watches: dict[Hashable, tuple[frozenset[bytes], bool]] = {}
        self.channels: dict[Hashable, frozenset[bytes]] = {}
        self.inboxes: dict[Hashable, tuple[tuple[bytes, bytes], ...]] = {}
        self.served: list[tuple[Hashable, Any]] = []
        self._ready: list[bytes] = []
        self._client: Hashable = 0

    def copy(self) -> Model:
        other = Model(self.data, again=self.again)
        other.waiters = self.waiters
        other.watches = dict(self.watches)
        other.channels = dict(self.channels)
        other.inboxes = dict(self.inboxes)
        return other

    def frozen(self) -> Hashable:
        return (
            frozenset(self.data.items()),
            self.waiters,
            frozenset(self.watches.items()),
            frozenset(self.channels.items()),
            frozenset(self.inboxes.items()),
        )

    def execute(self, command: Command, client: Hashable = 0) -> Any:
        self.served = []
        self._ready = []
        answer = self._answer(command, client)
        if answer is WAITING:
            self.waiters += ((client, command),)
        self._serve()
        return answer

    def waits(self, client: Hashable) -> bool:
        return any(waiter == client for waiter, _ in self.waiters)

    def time_out(self, client: Hashable) -> None:
        """The client waits no longer; its answer is None."""
        self.waiters = tuple(waiter for waiter in self.waiters if waiter[0] != client)

    def leave(self, client: Hashable) -> None:
        """The connection is gone. What it has been sent can still be received."""
        self.time_out(client)
        self.watches.pop(client, None)
        self.channels.pop(client, None)

    def _answer(self, command: Command, client: Hashable) -> Any:
        self._client = client
        name, *words = command
        handler: Callable[..., Any] = getattr(self, f"_{name.lower()}")
        if name not in ("EXEC", "RECEIVE", "DRAINED"):
            words = map(to_bytes, words)
        try:
            return handler(*words)
        except _WrongType:
            return AnError

    # ---- Values ----

    def _string(self, key: bytes) -> bytes | None:
        value = self.data.get(key)
        if isinstance(value, tuple):
            raise _WrongType
        return value

    def _list(self, key: bytes) -> tuple[bytes, ...]:
        value = self.data.get(key, ())
        if not isinstance(value, tuple):
            raise _WrongType
        return value

    def _write(self, key: bytes, value: Value | None) -> None:
        """The key has this value now, or none; whoever watches it is told."""
        if value is None or value == ():
            self.data.pop(key, None)
        else:
            self.data[key] = value
        if isinstance(value, tuple) and key not in self._ready:
            self._ready.append(key)
        for client, (keys, _) in self.watches.items():
            if key in keys:
                self.watches[client] = (keys, True)

    def _set(self, key: bytes, value: bytes) -> bytes:
        self._write(key, value)
        return b"OK"

    def _get(self, key: bytes) -> bytes | None:
        return self._string(key)

    def _incr(self, key: bytes) -> int | type[AnError]:
        text = self._string(key) or b"0"
        try:
            number = int(text)
        except ValueError:
            return AnError
        if str(number).encode() != text or not -LIMIT <= number < LIMIT - 1:
            return AnError
        self._write(key, b"%d" % (number + 1))
        return number + 1

    def _del(self, *keys: bytes) -> int:
        count = 0
        for key in keys:
            if key in self.data:
                count += 1
                self._write(key, None)
        return count

    def _exists(self, *keys: bytes) -> int:
        return sum(key in self.data for key in keys)

    def _mset(self, *pairs: bytes) -> bytes:
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            self._write(key, value)
        return b"OK"

    def _mget(self, *keys: bytes) -> tuple[bytes | None, ...]:
        values = [self.data.get(key) for key in keys]
        return tuple(None if isinstance(value, tuple) else value for value in values)

    def _rename(self, source: bytes, target: bytes) -> bytes | type[AnError]:
        if source not in self.data:
            return AnError
        if source != target:
            value = self.data[source]
            self._write(source, None)
            self._write(target, value)
        return b"OK"

    def _copy(self, source: bytes, target: bytes, *replace: bytes) -> int | type[AnError]:
        if source == target:
            return AnError
        if source not in self.data or (target in self.data and not replace):
            return 0
        self._write(target, self.data[source])
        return 1

    # ---- Lists ----

    def _lpush(self, key: bytes, *elements: bytes) -> int:
        self._write(key, elements[::-1] + self._list(key))
        return len(self.data[key])

    def _rpush(self, key: bytes, *elements: bytes) -> int:
        self._write(key, self._list(key) + elements)
        return len(self.data[key])

    def _lpop(self, key: bytes) -> bytes | None:
        return self._pop(key, b"LEFT") if self._list(key) else None

    def _rpop(self, key: bytes) -> bytes | None:
        return self._pop(key, b"RIGHT") if self._list(key) else None

    def _llen(self, key: bytes) -> int:
        return len(self._list(key))

    def _lrange(self, key: bytes, start: bytes, stop: bytes) -> tuple[bytes, ...]:
        assert (start, stop) == (b"0", b"-1"), "the model knows whole lists only"
        return self._list(key)

    def _lmove(self, source: bytes, target: bytes, whence: bytes, where: bytes) -> bytes | None:
        if not self._list(source):
            return None
        self._list(target)
        element = self._pop(source, whence)
        (self._lpush if where == b"LEFT" else self._rpush)(target, element)
        return element

    def _blpop(self, *words: bytes) -> Any:
        return self._pop_first(words[:-1], b"LEFT")

    def _brpop(self, *words: bytes) -> Any:
        return self._pop_first(words[:-1], b"RIGHT")

    def _blmove(self, *words: bytes) -> Any:
        answer = self._lmove(*words[:-1])
        return WAITING if answer is None else answer

    def _pop_first(self, keys: tuple[bytes, ...], whence: bytes) -> Any:
        for key in keys:
            if self._list(key):
                return (key, self._pop(key, whence))
        return WAITING

    def _pop(self, key: bytes, whence: bytes) -> bytes:
        elements = self._list(key)
        left, element = (
            (elements[1:], elements[0]) if whence == b"LEFT" else (elements[:-1], elements[-1])
        )
        self._write(key, left)
        return element

    def _serve(self) -> None:
        """Lets go who can be served: by the order in which keys became ready, then by waiting."""
        while self._ready and self.waiters:
            ready, self._ready = self._ready, []
            for key in ready:
                for client, command in [w for w in self.waiters if key in _keys_waited_for(w[1])]:
                    if isinstance(self.data.get(key), tuple):
                        self._serve_one(client, command, key)

    def _serve_one(self, client: Hashable, command: Command, key: bytes) -> None:
        if not self.again and command[0] != "BLMOVE":
            command = (command[0], key, 0)
        answer = self._answer(command, client)
        if answer is not WAITING:
            self.time_out(client)
            self.served.append((client, answer))

    # ---- Transactions ----

    def _watch(self, *keys: bytes) -> bytes:
        before, changed = self.watches.get(self._client, (frozenset(), False))
        self.watches[self._client] = (before | set(keys), changed)
        return b"OK"

    def _unwatch(self) -> bytes:
        self.watches.pop(self._client, None)
        return b"OK"

    def _exec(self, *commands: Command) -> tuple | None:
        _, changed = self.watches.pop(self._client, (None, False))
        if changed:
            return None
        answers = [self._answer(command, self._client) for command in commands]
        return tuple(None if answer is WAITING else answer for answer in answers)

    # ---- Messages ----

    def _subscribe(self, channel: bytes) -> bytes:
        self.channels[self._client] = self.channels.get(self._client, frozenset()) | {channel}
        return b"OK"

    def _unsubscribe(self, channel: bytes) -> bytes:
        left = self.channels.get(self._client, frozenset()) - {channel}
        if left:
            self.channels[self._client] = left
        else:
            self.channels.pop(self._client, None)
        return b"OK"

    def _publish(self, channel: bytes, message: bytes) -> int:
        listeners = [client for client, channels in self.channels.items() if channel in channels]
        for client in listeners:
            self.inboxes[client] = (*self.inboxes.get(client, ()), (channel, message))
        return len(listeners)

    def _receive(self, client: Hashable) -> tuple[bytes, bytes] | _Nothing:
        messages = self.inboxes.get(client, ())
        if not messages:
            return NOTHING
        if messages[1:]:
            self.inboxes[client] = messages[1:]
        else:
            del self.inboxes[client]
        return messages[0]

    def _drained(self, client: Hashable) -> bool:
        return client not in self.inboxes


def _keys_waited_for(command: Command) -> tuple[bytes, ...]:
    words = command[1:2] if command[0] == "BLMOVE" else command[1:-1]
    return tuple(map(to_bytes, words))


def plain(reply: Reply) -> Any:
    """The value that the model speaks of."""
    if reply.kind == "error":
        return AnError
    if isinstance(reply.value, tuple):
        return tuple(plain(item) for item in reply.value)
    return reply.value


def random_command(choose: random.Random, keys: list[str], stamp: str) -> Command:
    """One command on some of the keys; every value written is unlike any other."""
    kind = choose.choice(["SET", "GET", "GET", "INCR", "INCR", "DEL", "EXISTS", "MSET", "MGET"])
    some = choose.choices(keys, k=choose.randint(1, min(5, len(keys))))
    if kind == "SET":
        return ("SET", some[0], _value(choose, stamp))
    if kind in ("GET", "INCR"):
        return (kind, some[0])
    if kind == "MSET":
        return ("MSET", *(part for key in some for part in (key, _value(choose, stamp))))
    return (kind, *some)


def _value(choose: random.Random, stamp: str) -> str:
    size = choose.choice([0, 0, 0, 0, 40, 300, 5000])
    return stamp + "." * size if choose.random() < 0.6 else str(choose.randrange(10**6))
