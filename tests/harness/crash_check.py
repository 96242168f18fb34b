"""Is what is there after a crash what some order of the calls had left at some point?

The calls are nodes of a graph, with an edge from one to another that must come later:

- calls of one client, in the order in which it made them, also those sent at once;
- a call that was answered before another began;
- what a read saw before what its client did later;
- tokens of one list, stream, string, queue or counter in the order in which they lie there, and a
  read of its end between what it saw and what came next.

The data is right if every call is there as a whole or not at all, what must have come before one
that is there is there too, and the graph has no cycle: then the calls that are there are a prefix
of some order of all. Calls that were answered must be there if the server has promised so.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from typing import Any, NamedTuple

from harness.crash_ops import (
    CLAIM,
    COUNT,
    FAR_MS,
    MOVE,
    ORDERED,
    OTHER,
    POP,
    PUT,
    READ,
    Effect,
    Op,
    Value,
    kind_of,
    tokens_of_read,
)
from harness.linearize import NO_ANSWER
from harness.model import AnError

SHOWN = 12
State = Mapping[str, Value]


class Event(NamedTuple):
    """A call that was begun; without an answer it may have been done or not."""

    client: str
    number: int
    op: Op
    invoked: float
    returned: float
    answer: Any

    @property
    def is_answered(self) -> bool:
        return self.answer is not NO_ANSWER

    @property
    def is_refused(self) -> bool:
        return self.answer is AnError

    def __str__(self) -> str:
        words = "; ".join(" ".join(map(str, command)) for command in self.op.commands)
        return f"{self.client} {self.number}: {words} -> {self.answer!r}"


def effects_of(event: Event) -> tuple[Effect, ...] | None:
    """What a call does to the data if it is done; None where only its answer would tell."""
    op, answer = event.op, event.answer
    if op.kind in (PUT, READ, OTHER):
        return op.effects
    if not event.is_answered:
        return None
    if answer is None or event.is_refused:
        return ()
    if op.kind == CLAIM:
        return op.effects
    if op.kind == COUNT:
        return (Effect(op.keys, str(answer)),)
    if op.kind == POP:
        return (Effect(op.keys, answer[1].decode(), gone=True),)
    assert op.kind == MOVE
    return (Effect(op.keys[1:], answer.decode()),)


class Judge:
    """Compares one round's events with the state behind them; `complaints` says what is wrong."""

    def __init__(
        self, events: Iterable[Event], state: State, must_last: Callable[[Event], bool]
    ) -> None:
        self.complaints: list[str] = []
        self.seen: Counter[str] = Counter()
        self._events = sorted(events, key=lambda event: (event.client, event.number))
        self._state = state
        self._where = {
            key: {token: at for at, token in enumerate(value.tokens)}
            for key, value in state.items()
        }
        self._must_last = must_last
        self._popped: set[tuple[str, str]] = set()
        self._unanswered: Counter[tuple[str, str]] = Counter()
        self._writer: dict[tuple[str, str], int] = {}
        self._is_there: list[bool | None] = []
        self._note()
        self._find_what_is_there()
        self._check_tokens()
        self._check_queues()
        self._check_prefix()
        self._check_reads()
        self._check_cycles()

    def _complain(self, kind: str, text: str) -> None:
        self.seen[kind] += 1
        if self.seen[kind] <= SHOWN:
            self.complaints.append(f"{kind}: {text}")

    # ---- What is there ---------------------------------------------------------------------------

    def _note(self) -> None:
        """Who has put, popped and counted what."""
        for at, event in enumerate(self._events):
            if not event.is_answered:
                self.seen["unanswered"] += 1
                for key in event.op.keys:
                    self._unanswered[event.op.kind, key] += 1
                if event.op.kind == CLAIM:
                    for effect in event.op.effects:
                        self._writer.setdefault((effect.keys[0], effect.token), at)
            for effect in effects_of(event) or ():
                if effect.gone:
                    self._popped.add((effect.keys[0], effect.token))
                else:
                    for key in effect.keys if event.op.kind == PUT else effect.keys[:1]:
                        # A moved token lies where its mover has put it.
                        self._writer.setdefault((key, effect.token), at)

    def _find_what_is_there(self) -> None:
        for event in self._events:
            effects = effects_of(event)
            there = {self._is_effect_there(effect) for effect in effects or ()}
            if len(there - {None}) > 1:
                self._complain("half", str(event))
            known = there - {None}
            here = known.pop() if len(known) == 1 and None not in there else None
            if event.is_refused:
                if here:
                    self._complain("refused and done", str(event))
                here = None
            elif here is False and event.is_answered and self._must_last(event):
                self._complain("lost", str(event))
            self._is_there.append(here)
            self.seen[event.op.kind] += here is True
            self.seen["transactions"] += here is True and len(event.op.commands) > 1
            self.seen["not there"] += here is False

    def _is_effect_there(self, effect: Effect) -> bool | None:
        key, token = effect.keys[0], effect.token
        found = any(token in self._where.get(place, ()) for place in effect.keys)
        if effect.gone:
            # What is nowhere may never have been there.
            return False if found else None
        if found or kind_of(key) != "queue":
            return found
        taken = (key, token) in self._popped or self._unanswered[POP, key] > 0
        return None if taken else False

    # ---- Tokens ----------------------------------------------------------------------------------

    def _check_tokens(self) -> None:
        """Nobody else's, none twice, and deadlines as they were set."""
        for key, value in self._state.items():
            kind = kind_of(key)
            if kind == "count":
                known = sum((key, token) in self._writer for token in value.tokens)
                if len(value.tokens) - known > self._unanswered[COUNT, key]:
                    self._complain("invented", f"{key} is {len(value.tokens)}")
                continue
            for token, times in Counter(value.tokens).items():
                if times > 1:
                    self._complain("twice", f"{token} in {key}")
                if token == "short":
                    if value.deadline == -1:
                        self._complain("deadline", f"{key} has lost its own")
                elif (key, token) not in self._writer:
                    self._complain("invented", f"{token} in {key}")
            wanted = -1
            if kind == "dated":
                wanted = FAR_MS + int(key.rpartition(".")[2])
            if value.deadline != wanted and value.tokens != ("short",):
                self._complain("deadline", f"{key}: {value.deadline}, not {wanted}")

    def _check_queues(self) -> None:
        """A token is in one place, and what is missing somebody may have got."""
        missing: Counter[str] = Counter()
        for event, here in zip(self._events, self._is_there, strict=True):
            for effect in event.op.effects if event.op.kind == PUT else ():
                key, token = effect.keys[0], effect.token
                places = [place for place in effect.keys if token in self._where.get(place, ())]
                if len(places) > 1:
                    self._complain("twice", f"{token} in {' and in '.join(places)}")
                is_safe = event.is_answered and not event.is_refused and self._must_last(event)
                if here is None and is_safe and (key, token) not in self._popped:
                    missing[key] += 1
        for key, count in missing.items():
            if kind_of(key) == "queue" and count > self._unanswered[POP, key]:
                self._complain("lost", f"{count} tokens of {key}")

    # ---- A prefix --------------------------------------------------------------------------------

    def _check_prefix(self) -> None:
        """Nothing is there of which an earlier call of its client, or one answered before it, is
        not."""
        pairs = list(zip(self._events, self._is_there, strict=True))
        latest = max((event.invoked for event, here in pairs if here), default=0.0)
        absent: dict[str, Event] = {}
        for event, here in pairs:
            if here is False:
                absent.setdefault(event.client, event)
                if event.is_answered and event.returned < latest:
                    self._complain("no prefix", f"{event} is not there; a later one is")
            elif here and event.client in absent:
                self._complain("no prefix", f"{event} is there without {absent[event.client]}")

    def _check_reads(self) -> None:
        """What was read by who did something later that is there is there itself."""
        pairs = list(zip(self._events, self._is_there, strict=True))
        latest = max((event.invoked for event, here in pairs if here), default=0.0)
        follows: dict[str, bool] = defaultdict(bool)
        for event, here in reversed(pairs):
            if here:
                follows[event.client] = True
            if event.op.kind != READ or not event.is_answered or event.is_refused:
                continue
            if follows[event.client] or event.returned < latest:
                self.seen[READ] += 1
                key = event.op.keys[0]
                for token in tokens_of_read(key, event.answer):
                    if token not in self._where.get(key, ()):
                        self._complain("no prefix", f"{token} of {key}, which {event} saw")

    # ---- Cycles ----------------------------------------------------------------------------------

    def _check_cycles(self) -> None:
        sorter: TopologicalSorter[Any] = TopologicalSorter()
        nodes = [
            at
            for at, event in enumerate(self._events)
            if self._is_there[at] or (event.op.kind == READ and event.is_answered)
        ]
        self._add_clients(sorter, nodes)
        self._add_times(sorter, nodes)
        self._add_orders(sorter)
        self._add_reads(sorter, nodes)
        try:
            sorter.prepare()
        except CycleError as failure:
            steps = [
                str(self._events[node]) if isinstance(node, int) else f"time {node[1]:.6f}"
                for node in failure.args[1]
            ]
            self._complain("cycle", "\n    ".join(steps))

    def _add_clients(self, sorter: TopologicalSorter[Any], nodes: list[int]) -> None:
        before: dict[str, int] = {}
        for at in nodes:
            client = self._events[at].client
            if client in before:
                sorter.add(at, before[client])
            before[client] = at

    def _add_times(self, sorter: TopologicalSorter[Any], nodes: list[int]) -> None:
        """Moments are nodes too, in a chain, so that few edges say who came before whom."""
        moments = []
        for at in nodes:
            event = self._events[at]
            moments.append((event.invoked, 1, at))
            if event.is_answered:
                moments.append((event.returned, 0, at))
        last: tuple[str, float, int] | None = None
        for moment, is_begin, at in sorted(moments):
            if is_begin:
                if last is not None:
                    sorter.add(at, last)
                continue
            this = ("time", moment, at)
            sorter.add(this, at)
            if last is not None:
                sorter.add(this, last)
            last = this

    def _order(self, key: str) -> list[int | None]:
        """Who has put what lies in a key, in the order in which it does."""
        return [self._writer.get((key, token)) for token in self._state[key].tokens]

    def _add_orders(self, sorter: TopologicalSorter[Any]) -> None:
        for key in self._state:
            if kind_of(key) in ORDERED:
                writers = [at for at in self._order(key) if at is not None and self._is_there[at]]
                for first, second in pairwise(writers):
                    sorter.add(second, first)

    def _add_reads(self, sorter: TopologicalSorter[Any], nodes: list[int]) -> None:
        for at in nodes:
            event = self._events[at]
            if event.op.kind != READ or event.is_refused:
                continue
            key = event.op.keys[0]
            seen = tokens_of_read(key, event.answer)
            value = self._state.get(key, Value((), -1)).tokens
            first = self._where.get(key, {}).get(seen[0]) if seen else None
            if first is None:
                end = -1 if seen else 0
            else:
                here = [token for token in seen if token in self._where[key]]
                if list(value[first : first + len(here)]) != here:
                    self._complain("order", f"{event} saw other neighbours in {key}")
                end = first + len(here)
                last = self._writer.get((key, here[-1]))
                if last is not None:
                    sorter.add(at, last)
            if 0 <= end < len(value):
                after = self._writer.get((key, value[end]))
                if after is not None:
                    sorter.add(after, at)
