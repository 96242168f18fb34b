"""kevyrt.Faults: what goes wrong on purpose, for tests."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Literal

from kevyrt import _core
from kevyrt.clock import Seconds, duration_us

_ANY = 2**64 - 1
_DROPS = {None: 0, "before": 1, "after": 2}


def _count(value: int | None, what: str, least: int) -> int:
    if value is None:
        return _ANY
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{what} is an int, not {type(value).__name__}")
    if not least <= value < _ANY:
        raise ValueError(f"{what} is at least {least}, not {value}")
    return value


def _glob(value: str | bytes | None, what: str) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise TypeError(f"{what} is str or bytes, not {type(value).__name__}")
    return value.encode()


def _text(value: str | None, what: str) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{what} is str, not {type(value).__name__}")
    return value


def _delay(value: Seconds | None) -> int:
    return 0 if value is None else duration_us(value, "a delay is a number or a timedelta")


def _drop(value: Literal["before", "after"] | None) -> int:
    if not isinstance(value, str | None) or value not in _DROPS:
        raise ValueError(f"drop is 'before' or 'after', not {value!r}")
    return _DROPS[value]


class Fault:
    """One of a server's faults, as `Faults.add` gives it.

    >>> fault = server.faults.add("GET", error="LOADING soon")
    >>> server.execute("GET", "greeting")
    Traceback (most recent call last):
        ...
    kevyrt.LoadingError: LOADING soon
    >>> fault.hits
    1
    >>> fault.remove()
    """

    __slots__ = ("_handle", "_removed", "_server", "_text")

    def __init__(self, server: _core.Server, handle: _core.FaultHandle, text: str) -> None:
        # The server keeps its faults, so they do not keep it.
        self._server = weakref.ref(server)
        self._handle = handle
        self._removed = False
        self._text = text

    @property
    def hits(self) -> int:
        """How many commands met it."""
        return self._handle.hits

    @property
    def active(self) -> bool:
        """Will another command meet it? Not if it is removed, or used up."""
        return not self._removed and self._handle.left != 0

    def remove(self) -> None:
        """No command meets it any more. Answers that are late already stay late.

        Does nothing if it is removed.

        Raises:
            ForkedError: the server belongs to the parent process.
        """
        server = self._server()
        if server is not None and not self._removed:
            server._fault_remove(self._handle)
        self._removed = True

    def __repr__(self) -> str:
        return f"<kevyrt.Fault {self._text}, {self.hits} hits>"


class Faults:
    """What goes wrong in a server on purpose: `server.faults`. Iterating gives the active ones.

    A command that has passed all checks of its own meets the first fault, in the order of adding,
    that is about it. While there are none they cost nothing.

    >>> with server.session() as session:
    ...     late = server.faults.add("INCR", delay=0.01, times=1)
    ...     session.execute("INCR", "visits")
    1
    >>> late.hits, list(server.faults)
    (1, [])
    """

    __slots__ = ("_added", "_server")

    def __init__(self, server: _core.Server, added: list[Fault]) -> None:
        self._server = server
        self._added = added

    def add(
        self,
        command: str | None = None,
        *,
        key: str | bytes | None = None,
        client: str | bytes | int | None = None,
        delay: Seconds | None = None,
        error: str | None = None,
        drop: Literal["before", "after"] | None = None,
        after_bytes: int | None = None,
        times: int | None = None,
    ) -> Fault:
        """Lets something go wrong from now on.

        Which commands:

        Args:
            command: a name in any case; `"CLIENT LIST"` is one, `"CLIENT"` all that begin so. None:
                every command.
            key: a glob (`"user:*"`) that one of the command's keys must match.
            client: whose commands: a glob for the name that CLIENT SETNAME gave, or a number as of
                CLIENT ID. None: everybody's, calls in process too.

        What goes wrong, one or more:

        Args:
            delay: seconds (a number or a timedelta) by the server's clock: the command takes effect
                at once, and its answer comes that much later. Commands behind it on the connection
                wait; other clients do not.
            error: the command is answered so and has no effect: a code in capitals, and a text, as
                in `"LOADING Redis is loading"`.
            drop: `"before"`: the connection ends, and the command has no effect. `"after"`: it has
                its effect, and the connection ends without an answer.
            after_bytes: the connection ends when so many bytes of the answer are sent.
            times: how many commands meet it, then it is used up. None: all.

        `drop` and `after_bytes` are about connections (`server.client()` has one): calls in process
        pass by them. Inside of MULTI a command meets its fault when it is queued, so an error lets
        EXEC fail.

        Raises:
            ValueError: there is no such command, or a combination that means nothing; the message
                says which.
            TypeError: a value of the wrong type.
            ForkedError: the server belongs to the parent process.

        >>> fault = server.faults.add("SET", key="user:*", error="ERR no", times=2)
        >>> server.set("user:1", "alice")
        Traceback (most recent call last):
            ...
        kevyrt.ResponseError: ERR no
        >>> server.faults.clear()
        """
        words = _text(command, "command")
        name, number = (None, client) if isinstance(client, int) else (client, None)
        handle = self._server._fault_add(
            "|".join(words.split()) if words is not None else None,
            _glob(key, "key"),
            _glob(name, "client"),
            _count(number, "client", 1),
            _delay(delay),
            _text(error, "error"),
            _drop(drop),
            _count(after_bytes, "after_bytes", 0),
            _count(times, "times", 1),
        )
        shown = {"key": key, "client": client, "delay": delay, "error": error, "drop": drop}
        shown |= {"after_bytes": after_bytes, "times": times}
        text = ", ".join(f"{what}={value!r}" for what, value in shown.items() if value is not None)
        fault = Fault(self._server, handle, f"{command or 'every command'}: {text}")
        self._added[:] = [*self, fault]
        return fault

    def clear(self) -> None:
        """Removes all faults. Answers that are late already stay late.

        Raises:
            ForkedError: the server belongs to the parent process.
        """
        self._server._faults_clear()
        for fault in self._added:
            fault._removed = True
        self._added.clear()

    def __iter__(self) -> Iterator[Fault]:
        return iter([fault for fault in self._added if fault.active])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __repr__(self) -> str:
        return f"<kevyrt.Faults {list(self)!r}>"
