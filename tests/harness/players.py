"""The clients of a history: each plays its calls in a thread of its own and records the answers.

A connection sends batches of calls in one write; a session in the process makes one call after the
other; a listener takes messages and makes calls between them. Connections may be reset by
themselves or killed from outside with whatever is in flight then: what got no answer is recorded
so, and so is the end of the client.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any, Protocol

from harness.client import Connection
from harness.embedded import execute
from harness.linearize import GONE, NO_ANSWER, Recorder
from harness.model import Command, plain
from harness.resp import CLOSED, Reply, encode_all


class Place(Protocol):
    """Where a history is played: a server process, or a server in this process."""

    def connect(self) -> Connection: ...
    def control(self) -> Connection: ...


class Player:
    """One client of a history. `play` runs in a thread of its own."""

    def __init__(self, name: Any, recorder: Recorder) -> None:
        self.name = name
        self.done = threading.Event()
        self._recorder = recorder

    def play(self, batches: list[list[Command]]) -> None:
        raise NotImplementedError

    def kill(self) -> None:
        """Ends the client from outside, at any moment."""

    def close(self) -> None:
        """Lets go of what the player holds."""


class ConnectedPlayer(Player):
    """A client that has a connection, which can be killed from outside at any moment."""

    def __init__(self, name: Any, recorder: Recorder, place: Place) -> None:
        super().__init__(name, recorder)
        self._place = place
        self._connection = place.connect()
        self._id = self._connection.do("CLIENT", "ID").value

    def kill(self) -> None:
        invoked = time.perf_counter()
        reply = self._place.control().do("CLIENT", "KILL", "ID", self._id)
        if reply.value == 1:
            self._recorder.add(self.name, GONE, invoked, time.perf_counter(), True)

    def close(self) -> None:
        self._connection.close()

    def _unanswered(self, calls: Sequence[Command], invoked: float) -> None:
        for call in calls:
            self._recorder.add(self.name, call, invoked, float("inf"), NO_ANSWER)


class WirePlayer(ConnectedPlayer):
    """Sends each batch of calls in one write; `reset_after` batches it resets its connection."""

    def __init__(
        self, name: Any, recorder: Recorder, place: Place, reset_after: int | None = None
    ) -> None:
        super().__init__(name, recorder, place)
        self._reset_after = reset_after

    def play(self, batches: list[list[Command]]) -> None:
        for number, batch in enumerate(batches):
            invoked = time.perf_counter()
            self._connection.send(encode_all(words for call in batch for words in _request(call)))
            if number == self._reset_after:
                return self._reset(batch, invoked)
            for at, call in enumerate(batch):
                answer = self._answer(call)
                if answer is NO_ANSWER:
                    return self._unanswered(batch[at:], invoked)
                self._recorder.add(self.name, call, invoked, time.perf_counter(), answer)

    def address(self) -> str:
        """What the server calls this client."""
        host, port = self._connection.sock.getsockname()
        return f"{host}:{port}"

    def _answer(self, call: Command) -> Any:
        replies = []
        for _ in _request(call):
            replies.append(self._connection.read())
            if replies[-1] == CLOSED:
                return NO_ANSWER
        _check_queued(call, replies)
        return plain(replies[-1])

    def _reset(self, batch: list[Command], invoked: float) -> None:
        self._recorder.add(self.name, GONE, time.perf_counter(), float("inf"), NO_ANSWER)
        self._connection.reset()
        self._unanswered(batch, invoked)


def _request(call: Command) -> list[Command]:
    """The requests that a call is made of."""
    return [("MULTI",), *call[1:], ("EXEC",)] if call[0] == "EXEC" else [call]


def _check_queued(call: Command, replies: list[Reply]) -> None:
    if call[0] == "EXEC":
        expected = [b"OK", *[b"QUEUED"] * (len(replies) - 2)]
        assert [reply.value for reply in replies[:-1]] == expected, (call, replies)


class SessionPlayer(Player):
    """A caller in the process, with a session of its own; its calls do not overlap."""

    def __init__(self, name: Any, recorder: Recorder, session: Any) -> None:
        super().__init__(name, recorder)
        self._session = session

    def play(self, batches: list[list[Command]]) -> None:
        for batch in batches:
            for call in batch:
                self._recorder.run(self.name, call, self._execute)

    def close(self) -> None:
        self._session.close()

    def _execute(self, call: Command) -> Any:
        return [execute(self._session, request) for request in _request(call)][-1]


class Listener(ConnectedPlayer):
    """Subscribes to channels, and makes a call of its own whenever a message has come, so that what
    was written before the message must be seen. Ends when every publisher has."""

    def __init__(
        self, name: Any, recorder: Recorder, place: Place, channels: Sequence[str]
    ) -> None:
        super().__init__(name, recorder, place)
        self._channels = channels
        self._ended = threading.Event()
        assert self._connection.do("HELLO", 3).kind == "map"
        self._since = time.perf_counter()
        for channel in channels:
            self._call(("SUBSCRIBE", channel))

    def publishers_ended(self) -> None:
        self._ended.set()

    def play(self, batches: list[list[Command]]) -> None:
        calls = [call for batch in batches for call in batch]
        while not self._ended.is_set():
            message = self._poll()
            if message == CLOSED:
                return
            if message is not None:
                self._received(message)
                if calls and not self._call(calls.pop()):
                    return
        if all(self._call(("UNSUBSCRIBE", channel)) for channel in self._channels):
            now = time.perf_counter()
            self._recorder.add(("inbox", self.name), ("DRAINED", self.name), now, now, True)

    def _poll(self) -> Reply | None:
        """A message, if one comes soon."""
        patience, self._connection.timeout_s = self._connection.timeout_s, 0.001
        try:
            return self._connection.read()
        except TimeoutError:
            return None
        finally:
            self._connection.timeout_s = patience

    def _call(self, call: Command) -> bool:
        """Makes a call, unless the connection ends; messages may come before its reply."""
        push = {"SUBSCRIBE": b"subscribe", "UNSUBSCRIBE": b"unsubscribe"}.get(call[0])
        invoked = time.perf_counter()
        self._connection.send(encode_all([call]))
        while (reply := self._connection.read()) != CLOSED:
            if reply.kind != "push" or reply.value[0].value == push:
                answer = b"OK" if push else plain(reply)
                self._recorder.add(self.name, call, invoked, time.perf_counter(), answer)
                return True
            self._received(reply)
        self._unanswered([call], invoked)
        return False

    def _received(self, reply: Reply) -> None:
        kind, channel, message = (part.value for part in reply.value)
        assert kind == b"message", reply
        self._recorder.add(
            ("inbox", self.name),
            ("RECEIVE", self.name),
            self._since,
            time.perf_counter(),
            (channel, message),
        )
