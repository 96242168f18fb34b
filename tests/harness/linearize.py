"""Is a history of overlapping calls explained by some order of single steps?

The search of Wing and Gong: take any call that may have come first (no other returned before it
was invoked), apply it to the model, compare the answer, go on with the rest, and go back where
no call fits. What has been tried is remembered as (calls done, state), without which the search
is hopeless. Histories are small: at most `LIMIT` calls.

A call that got no answer may have taken effect at any time after its invocation, or never.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from harness.model import Command, Model

LIMIT = 64


class _NoAnswer:
    def __repr__(self) -> str:
        return "no answer"


NO_ANSWER = _NoAnswer()


@dataclass(frozen=True)
class Call:
    """One call of one client, with times of a clock common to all."""

    client: int
    command: Command
    invoked: float
    returned: float
    answer: Any


@dataclass
class Recorder:
    """Collects calls of several threads with their times."""

    calls: list[Call] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, client: int, command: Command, execute: Callable[[Command], Any]) -> Any:
        invoked = time.perf_counter()
        answer = execute(command)
        self.add(client, command, invoked, time.perf_counter(), answer)
        return answer

    def add(
        self, client: int, command: Command, invoked: float, returned: float, answer: Any
    ) -> None:
        with self._lock:
            self.calls.append(Call(client, command, invoked, returned, answer))


def order_of(calls: Iterable[Call], initial: dict[bytes, bytes] | None = None) -> list[Call] | None:
    """An order of the calls that explains every answer, or None if there is none."""
    history = sorted(calls, key=lambda call: call.invoked)
    if not 0 < len(history) <= LIMIT:
        raise ValueError(f"a history of {len(history)} calls is not between 1 and {LIMIT}")
    return _Search(history).run(Model(initial))


class _Search:
    def __init__(self, history: list[Call]) -> None:
        self._history = history
        self._tried: set[tuple[int, frozenset]] = set()
        self._answered = sum(1 << i for i, c in enumerate(history) if c.answer is not NO_ANSWER)

    def run(self, model: Model) -> list[Call] | None:
        order: list[Call] = []
        return order if self._extend(0, model, order) else None

    def _extend(self, done: int, model: Model, order: list[Call]) -> bool:
        """Whether the calls outside the bit set `done` can follow; `order` grows to them."""
        if done & self._answered == self._answered:
            return True
        state = (done, model.frozen())
        if state in self._tried:
            return False
        self._tried.add(state)
        for index in self._first_candidates(done):
            call = self._history[index]
            after = Model(model.data)
            answer = after.execute(call.command)
            if call.answer is not NO_ANSWER and answer != call.answer:
                continue
            order.append(call)
            if self._extend(done | 1 << index, after, order):
                return True
            order.pop()
        return False

    def _first_candidates(self, done: int) -> list[int]:
        """Calls that were invoked before any other outstanding call returned."""
        left = [i for i in range(len(self._history)) if not done >> i & 1]
        answered = [i for i in left if self._answered >> i & 1]
        earliest_return = min(self._history[i].returned for i in answered)
        return [i for i in left if self._history[i].invoked <= earliest_return]


def explain(calls: Iterable[Call]) -> str:
    """A history as text, for the message of a failed test."""
    history = sorted(calls, key=lambda call: call.invoked)
    start = history[0].invoked
    return "\n".join(
        f"{(c.invoked - start) * 1e6:9.1f} to {(c.returned - start) * 1e6:9.1f} us  "
        f"client {c.client}  {' '.join(map(str, c.command))} -> {c.answer!r}"
        for c in history
    )
