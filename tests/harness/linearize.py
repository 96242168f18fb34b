"""Is a history of overlapping calls explained by some order of single steps?

The search of Wing and Gong: take any call that may have come first (no other returned before it
was invoked), apply it to the model, compare the answer, go on with the rest, and go back where
no call fits. What has been tried is remembered as (calls done, state), without which the search
is hopeless. Histories are small: at most `LIMIT` calls.

- *One client's calls* take effect in the order in which they stand in the history, also where they
  overlap because they were sent at once.
- *A call that got no answer* may have taken effect at any time after its invocation, or never; if
  it did, so did those before it.
- *A call that blocks* has two steps: it begins to wait, and is served by another's step or, where
  it answered None, times out. Its client's later calls come after both.
- *The end of a client* is a call named GONE. Without an answer it may come at any time, or never;
  with one it has come when it returns, and nothing of the client is done behind it.

A step whose answer is the one seen and says that it changed nothing for anybody else is taken at
once and never taken back: if any order explains the history, so does one in which it comes now.
(That the state is the same behind it does not suffice: a SET of the value that is there would
undo other writes later.)
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any

from harness.model import WAITING, AnError, Command, Model

LIMIT = 64
MAX_STATES = 400_000
GONE: Command = ("GONE",)
ABORTS, COMMITS, UNKNOWN = "aborts", "commits", "unknown"
BLOCKING = {"BLPOP", "BRPOP", "BLMOVE"}
FREE = {"GET", "MGET", "EXISTS", "LLEN", "LRANGE", "UNWATCH", "RECEIVE", "DRAINED"}
FREE_WHEN_EMPTY = {"DEL", "COPY", "LPOP", "RPOP", "LMOVE"}


class _NoAnswer:
    def __repr__(self) -> str:
        return "no answer"


NO_ANSWER = _NoAnswer()


class Undecided(Exception):
    """The search has met too many states: the history is too wide to be judged."""


@dataclass(frozen=True)
class Call:
    """One call of one client, with times of a clock common to all."""

    client: Hashable
    command: Command
    invoked: float
    returned: float
    answer: Any


@dataclass
class Recorder:
    """Collects calls of several threads with their times."""

    calls: list[Call] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, client: Hashable, command: Command, execute: Callable[[Command], Any]) -> Any:
        invoked = time.perf_counter()
        answer = execute(command)
        self.add(client, command, invoked, time.perf_counter(), answer)
        return answer

    def add(
        self, client: Hashable, command: Command, invoked: float, returned: float, answer: Any
    ) -> None:
        with self._lock:
            self.calls.append(Call(client, command, invoked, returned, answer))


def order_of(
    calls: Iterable[Call],
    initial: dict[bytes, bytes] | None = None,
    model: Model | None = None,
) -> list[Call] | None:
    """An order of the calls that explains every answer, or None if there is none."""
    history = sorted(calls, key=lambda call: call.invoked)
    if not 0 < len(history) <= LIMIT:
        raise ValueError(f"a history of {len(history)} calls is not between 1 and {LIMIT}")
    return _Search(history).run(model or Model(initial))


class _Search:
    """`at[i]` is how many calls of client i are done; one that waits is not done."""

    def __init__(self, history: list[Call]) -> None:
        by_client: dict[Hashable, list[Call]] = {}
        for call in sorted(history, key=lambda call: call.command == GONE):
            by_client.setdefault(call.client, []).append(call)
        self._index = {client: i for i, client in enumerate(by_client)}
        self._calls = list(by_client.values())
        self._returns = [_earliest_returns(calls) for calls in self._calls]
        self._fates = [_fates(calls) for calls in self._calls]
        self._tried: set[tuple[tuple[int, ...], Hashable]] = set()

    def run(self, model: Model) -> list[Call] | None:
        order: list[Call] = []
        return order if self._extend((0,) * len(self._calls), model, order) else None

    def _extend(self, at: tuple[int, ...], model: Model, order: list[Call]) -> bool:
        """Whether the calls that are not done can follow; `order` grows to them."""
        bound = min(self._returns[i][done] for i, done in enumerate(at))
        if bound == float("inf"):
            return True
        state = (at, model.frozen())
        if state in self._tried:
            return False
        if len(self._tried) >= MAX_STATES:
            raise Undecided(f"more than {MAX_STATES} states")
        self._tried.add(state)
        steps = []
        for i, done in enumerate(at):
            for call, after, then in self._steps_of(i, at, model, bound):
                if then[i] > done and self._is_free(call, i, done):
                    return self._take(call, after, then, order)
                steps.append((call, after, then))
        steps.sort(key=lambda step: step[0].returned)
        return any(self._take(call, after, then, order) for call, after, then in steps)

    def _take(self, call: Call, after: Model, then: tuple[int, ...], order: list[Call]) -> bool:
        order.append(call)
        if self._extend(then, after, order):
            return True
        order.pop()
        return False

    def _steps_of(
        self, i: int, at: tuple[int, ...], model: Model, bound: float
    ) -> Iterable[tuple[Call, Model, tuple[int, ...]]]:
        """What client i may do next: the call, the model and the calls done after it."""
        if at[i] == len(self._calls[i]):
            return
        call = self._calls[i][at[i]]
        if model.waits(call.client):
            if call.answer is None or call.answer is NO_ANSWER:
                after = model.copy()
                after.time_out(call.client)
                yield call, after, _advanced(at, i)
        elif call.command != GONE and call.invoked <= bound:
            after = model.copy()
            then = self._after(call, after.execute(call.command, call.client), after, at, i)
            if then is not None:
                yield call, after, then
        gone = self._calls[i][-1]
        if gone.command == GONE and gone.invoked <= bound and self._unanswered_from(i, at[i]):
            after = model.copy()
            after.leave(gone.client)
            yield gone, after, _advanced(at, i, len(self._calls[i]) - at[i])

    def _after(
        self, call: Call, answer: Any, after: Model, at: tuple[int, ...], i: int
    ) -> tuple[int, ...] | None:
        """The calls done after a step, or None if an answer of the step is not what was seen."""
        answers = list(after.served)
        if answer is not WAITING:
            answers.append((call.client, answer))
        for client, given in answers:
            j = self._index[client]
            seen = self._calls[j][at[j]].answer
            if seen is not NO_ANSWER and seen != given:
                return None
            at = _advanced(at, j)
        return None if self._spoils(after, at) else at

    def _is_free(self, call: Call, i: int, done: int) -> bool:
        """Whether the answer says that the step changed nothing that another client can see."""
        name, answer = call.command[0], call.answer
        if name in FREE:
            return True
        if name == "WATCH":
            return self._fates[i][done] in (None, ABORTS)
        if name == "EXEC":
            return answer is None
        if name in FREE_WHEN_EMPTY:
            return answer is None or answer == 0 or answer is AnError
        return name not in BLOCKING and answer is AnError

    def _spoils(self, model: Model, at: tuple[int, ...]) -> bool:
        """Whether a key has changed that a transaction watches which is known to succeed."""
        return any(
            changed and self._fates[self._index[client]][at[self._index[client]]] == COMMITS
            for client, (_, changed) in model.watches.items()
        )

    def _unanswered_from(self, i: int, done: int) -> bool:
        return all(call.answer is NO_ANSWER for call in self._calls[i][done:-1])


def _advanced(at: tuple[int, ...], i: int, by: int = 1) -> tuple[int, ...]:
    return (*at[:i], at[i] + by, *at[i + 1 :])


def _earliest_returns(calls: list[Call]) -> list[float]:
    """For every number of calls done, when the first of the others that was answered returned."""
    earliest = [float("inf")]
    for call in reversed(calls):
        answered = call.answer is not NO_ANSWER
        earliest.append(min(earliest[-1], call.returned) if answered else earliest[-1])
    return earliest[::-1]


def _fates(calls: list[Call]) -> list[str | None]:
    """For every number of calls done, what becomes of the keys watched then."""
    fates: list[str | None] = [None]
    for call in reversed(calls):
        name = call.command[0]
        if name == "EXEC" and call.answer is not NO_ANSWER:
            fates.append(ABORTS if call.answer is None else COMMITS)
        elif name == "EXEC":
            fates.append(UNKNOWN)
        else:
            fates.append(None if name == "UNWATCH" else fates[-1])
    return fates[::-1]


def explain(calls: Iterable[Call]) -> str:
    """A history as text, for the message of a failed test."""
    history = sorted(calls, key=lambda call: call.invoked)
    start = history[0].invoked
    return "\n".join(
        f"{(c.invoked - start) * 1e6:9.1f} to {(c.returned - start) * 1e6:9.1f} us  "
        f"client {c.client}  {' '.join(map(str, c.command))} -> {c.answer!r}"
        for c in history
    )
