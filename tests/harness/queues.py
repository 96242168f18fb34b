"""Producers and consumers on lists of several shards, and the account of every element.

Producers push elements that are unlike all others; consumers wait for them with short time-outs,
and some are reset, killed or unblocked meanwhile. At the end every element that was pushed has been
received, or is in a list, or is one of the few whose reply went to a connection that died: at most
as many as pops were outstanding then. With *reliable* consumers, which move an element to a list of
their own before they work on it, nothing may be lost at all.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.client import Connection
from harness.embedded import Embedded, execute
from harness.model import AnError, Command, plain
from harness.process import Server
from harness.resp import CLOSED, encode_all

PRODUCERS = 2
CONSUMERS = 5
TIMEOUT = "0.01"
JOIN_TIMEOUT_S = 40

Place = Server | Embedded


class Died(Exception):
    """The connection ended; these calls had an answer."""

    def __init__(self, answers: list[Any]) -> None:
        super().__init__(f"after {len(answers)} answers")
        self.answers = answers


# ---- Callers -------------------------------------------------------------------------------------


class WireCaller:
    """A connection that is opened anew when it has died."""

    def __init__(self, place: Place, choose: random.Random, reset_rate: float) -> None:
        self._place, self._choose, self._reset_rate = place, choose, reset_rate
        self._open()

    def do_all(self, commands: Sequence[Command]) -> list[Any]:
        """One write; every answer, or Died."""
        self._connection.send(encode_all(commands))
        answers: list[Any] = []
        if self._choose.random() < self._reset_rate:
            time.sleep(self._choose.choice([0, 0, 0.0005, 0.005]))
            self._connection.reset()
            self._open()
            raise Died(answers)
        for _ in commands:
            reply = self._connection.read()
            if reply == CLOSED:
                self._connection.close()
                self._open()
                raise Died(answers)
            answers.append(plain(reply))
        return answers

    def close(self) -> None:
        self._connection.close()

    def _open(self) -> None:
        self._connection: Connection = self._place.connect()
        self.client_id: int | None = self._connection.do("CLIENT", "ID").value


class SessionCaller:
    """A session in the process, which cannot die."""

    client_id: int | None = None

    def __init__(self, session: Any) -> None:
        self._session = session

    def do_all(self, commands: Sequence[Command]) -> list[Any]:
        return [execute(self._session, command) for command in commands]

    def close(self) -> None:
        self._session.close()


Caller = WireCaller | SessionCaller


# ---- The account ---------------------------------------------------------------------------------


@dataclass
class Account:
    pushed: set[bytes] = field(default_factory=set)
    # Pushes without an answer may have happened.
    perhaps_pushed: set[bytes] = field(default_factory=set)
    received: Counter[bytes] = field(default_factory=Counter)
    # Taken out of a list of work in progress, with an answer that says so.
    finished: set[bytes] = field(default_factory=set)
    # Elements that pops without an answer may have taken.
    outstanding: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def check(self, in_lists: Counter[bytes], *, reliable: bool) -> None:
        everything = self.pushed | self.perhaps_pushed
        found = set(in_lists) | set(self.received)
        assert found <= everything, f"nobody pushed {sorted(found - everything)[:5]}"
        twice = [e for e, count in (in_lists + self.received).items() if count > 1]
        if reliable:
            twice = [e for e, count in in_lists.items() if count > 1]
            twice += [e for e in self.finished if in_lists[e]]
            twice += [e for e, count in self.received.items() if count > 1]
        assert not twice, f"{len(twice)} elements are there twice: {sorted(twice)[:5]}"
        lost = self.pushed - found
        bound = 0 if reliable else self.outstanding
        assert len(lost) <= bound, f"{len(lost)} lost, of at most {bound}: {sorted(lost)[:5]}"

    def require(self, *kinds: str) -> None:
        missing = [kind for kind in kinds if not self.seen[kind]]
        assert not missing, f"nothing of {missing} was seen: {dict(self.seen)}"


# ---- Roles ---------------------------------------------------------------------------------------


class Producer:
    def __init__(
        self, name: str, caller: Caller, lists: Sequence[str], account: Account, seed: str
    ) -> None:
        self._name, self.caller, self._lists, self._account = name, caller, lists, account
        self._choose = random.Random(f"{seed} {name}")
        self._count = 0

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            commands, elements = self._pushes()
            try:
                self.caller.do_all(commands)
            except Died:
                with self._account.lock:
                    self._account.perhaps_pushed.update(elements)
            else:
                with self._account.lock:
                    self._account.pushed.update(elements)
            time.sleep(self._choose.choice([0, 0.0005, 0.002, 0.012]))

    def _pushes(self) -> tuple[list[Command], list[bytes]]:
        elements: list[bytes] = []
        commands: list[Command] = []
        for _ in range(self._choose.choice([1, 1, 2, 4])):
            target = self._choose.randrange(len(self._lists))
            own = [self._element() for _ in range(self._choose.choice([1, 1, 1, 3]))]
            # The first list keeps its order: it is pushed at the right and popped at the left.
            push = "RPUSH" if target == 0 else self._choose.choice(["LPUSH", "RPUSH"])
            commands.append((push, self._lists[target], *own))
            elements += own
        if self._choose.random() < 0.4:
            commands = [("MULTI",), *commands, ("EXEC",)]
        return commands, elements

    def _element(self) -> bytes:
        self._count += 1
        return b"%s:%08d" % (self._name.encode(), self._count)


class Consumer:
    """Takes what comes, in all ways that a list can be waited for."""

    def __init__(
        self, name: str, caller: Caller, lists: Sequence[str], account: Account, seed: str
    ) -> None:
        self.name, self.caller = name, caller
        self._lists, self._account = lists, account
        self._choose = random.Random(f"{seed} {name}")
        self._last: dict[bytes, bytes] = {}

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            commands = [self._wait() for _ in range(self._choose.choice([1, 1, 1, 3]))]
            try:
                answers = self.caller.do_all(commands)
            except Died as death:
                answers = death.answers
                with self._account.lock:
                    self._account.seen["died"] += 1
                    self._account.outstanding += sum(
                        int(c[-1]) if c[0] == "BLMPOP" else c[0] != "BLMOVE"
                        for c in commands[len(answers) :]
                    )
            with self._account.lock:
                for command, answer in zip(commands, answers, strict=False):
                    self._book(command, answer)

    def _wait(self) -> Command:
        kind = self._choose.choice(["BLPOP", "BRPOP", "BLMPOP", "BLMOVE"])
        first, *others = self._lists
        some = self._choose.sample(others, self._choose.randint(1, len(others)))
        if kind == "BLPOP":
            return (kind, *self._choose.choice([[first], some, [*some, first]]), TIMEOUT)
        if kind == "BRPOP":
            return (kind, *some, TIMEOUT)
        if kind == "BLMPOP":
            count = self._choose.randint(1, 3)
            return (kind, TIMEOUT, 2, first, some[0], "LEFT", "COUNT", count)
        ends = self._choose.choices(["LEFT", "RIGHT"], k=2)
        return (kind, *self._choose.choices(others, k=2), *ends, TIMEOUT)

    def _book(self, command: Command, answer: Any) -> None:
        if answer is None or answer is AnError:
            self._account.seen["timed out" if answer is None else "error"] += 1
            return
        self._account.seen[command[0]] += 1
        if command[0] == "BLMOVE":
            return
        key, taken = answer
        elements = taken if isinstance(taken, tuple) else (taken,)
        self._account.received.update(elements)
        if key == self._lists[0].encode():
            for element in elements:
                self._check_order(element)

    def _check_order(self, element: bytes) -> None:
        """What one producer pushed into the list that keeps its order comes in that order."""
        producer = element.partition(b":")[0]
        before = self._last.get(producer, b"")
        assert before < element, f"{self.name} received {element!r} after {before!r}"
        self._last[producer] = element


class ReliableConsumer(Consumer):
    """Moves an element to a list of its own, works on it, and takes it out of there."""

    def __init__(
        self, name: str, caller: Caller, lists: Sequence[str], account: Account, seed: str
    ) -> None:
        *self._sources, self._own, self._done = lists
        super().__init__(name, caller, self._sources, account, seed)

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            source = self._choose.choice(self._sources)
            move = self._choose.choice(
                [
                    ("BLMOVE", source, self._own, "RIGHT", "LEFT", TIMEOUT),
                    ("BRPOPLPUSH", source, self._own, TIMEOUT),
                ]
            )
            try:
                element = self.caller.do_all([move])[0]
            except Died:
                self._account.seen["died"] += 1
                continue
            if element is None or element is AnError:
                with self._account.lock:
                    self._account.seen["timed out" if element is None else "error"] += 1
                continue
            self._finish(move[0], element)

    def _finish(self, kind: str, element: bytes) -> None:
        with self._account.lock:
            self._account.seen[kind] += 1
            self._account.received[element] += 1
            keep = self._choose.random() < 0.2
        remove: Command = ("LREM", self._own, 1, element)
        if keep:
            remove_and_keep = [("MULTI",), remove, ("LPUSH", self._done, element), ("EXEC",)]
        try:
            answer = self.caller.do_all(remove_and_keep if keep else [remove])[-1]
        except Died:
            with self._account.lock:
                self._account.seen["died"] += 1
            return
        removed = answer[0] if keep else answer
        assert removed == 1, f"{element!r} was received and was not in the list it went to"
        if not keep:
            with self._account.lock:
                self._account.finished.add(element)


class Reaper:
    """Kills and unblocks consumers at random."""

    def __init__(
        self, control: Connection, consumers: Sequence[Consumer], account: Account, seed: str
    ) -> None:
        self._control, self._consumers, self._account = control, consumers, account
        self._choose = random.Random(f"{seed} reaper")

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            time.sleep(self._choose.random() * 0.006)
            client_id = self._choose.choice(self._consumers).caller.client_id
            if client_id is None:
                continue
            how = self._choose.choice(["KILL", "TIMEOUT", "ERROR"])
            words = ("KILL", "ID", client_id) if how == "KILL" else ("UNBLOCK", client_id, how)
            reply = self._control.do("CLIENT", *words)
            assert reply.value in (0, 1), reply
            with self._account.lock:
                self._account.seen[f"client {how.lower()}"] += reply.value


# ---- A run ---------------------------------------------------------------------------------------


def run_queues(
    place: Place, keys: Sequence[str], seed: str, seconds: float, *, reliable: bool, sessions: bool
) -> Account:
    """Produces and consumes for so long, and checks the account. The first three keys are queues;
    reliable consumers need one each besides, and one for what is done."""
    account = Account()
    queues, own = list(keys[:3]), list(keys[3:])
    choose = random.Random(seed)

    def caller(number: int, reset_rate: float) -> Caller:
        if sessions and number % 2:
            return SessionCaller(place.session())
        return WireCaller(place, random.Random(f"{seed} {number}"), reset_rate)

    producers = [
        Producer(f"p{i}", caller(i, 0.01), queues, account, seed) for i in range(PRODUCERS)
    ]
    consumers: list[Consumer] = []
    for i in range(CONSUMERS):
        rate = choose.choice([0, 0.02, 0.1])
        if reliable:
            lists = [*queues, own[i], own[CONSUMERS]]
            consumers.append(ReliableConsumer(f"c{i}", caller(i, rate), lists, account, seed))
        else:
            consumers.append(Consumer(f"c{i}", caller(i, rate), queues, account, seed))
    with place.connect() as control:
        reaper = Reaper(control, consumers, account, seed)
        _run_for(seconds, [p.run for p in producers], [*(c.run for c in consumers), reaper.run])
    for role in (*producers, *consumers):
        role.caller.close()
    _settle(place)
    used = queues + (own[: CONSUMERS + 1] if reliable else [])
    in_lists: Counter[bytes] = Counter()
    for reply in place.control().pipeline([("LRANGE", key, 0, -1) for key in used]):
        in_lists.update(item.value for item in reply.value)
    account.check(in_lists, reliable=reliable)
    assert place.control().do("DEL", *used).kind == "integer"
    return account


def _settle(place: Place) -> None:
    """Returns when nobody waits any more: who was reset last may still have been there."""
    deadline = time.monotonic() + JOIN_TIMEOUT_S
    while b"blocked_clients:0\r" not in place.control().do("INFO", "clients").value:
        assert time.monotonic() < deadline, "somebody waits for ever"
        time.sleep(0.001)


def _run_for(
    seconds: float,
    first: Sequence[Callable[[threading.Event], None]],
    last: Sequence[Callable[[threading.Event], None]],
) -> None:
    """Runs all in threads for so long; `first` end before `last` are told to."""
    failures: list[BaseException] = []
    stops = (threading.Event(), threading.Event())

    def guarded(work: Callable[[threading.Event], None], stop: threading.Event) -> None:
        try:
            work(stop)
        except BaseException as failure:
            failures.append(failure)

    groups = [
        [threading.Thread(target=guarded, args=(w, stop), daemon=True) for w in works]
        for works, stop in zip((first, last), stops, strict=True)
    ]
    for thread in groups[0] + groups[1]:
        thread.start()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not failures:
        time.sleep(0.01)
    for group, stop in zip(groups, stops, strict=True):
        stop.set()
        for thread in group:
            thread.join(JOIN_TIMEOUT_S)
            assert not thread.is_alive(), "a producer or consumer hangs"
    if failures:
        raise failures[0]
