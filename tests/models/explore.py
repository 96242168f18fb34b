"""Exhaustive exploration of small concurrent programs.

A model is a start state, `steps(state)` (every single atomic step that any agent can make now, as
pairs of label and next state), `finished(state)` and `broken(state)` (a sentence about a violated
invariant, or None). All interleavings are walked, so a property that holds here holds for that many
agents and operations.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field

State = Hashable
Step = tuple[str, State]


@dataclass
class Outcome:
    """What was found. `trace` leads to the first finding."""

    states: int = 0
    violation: str | None = None
    trace: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        return self.violation is None


def _trace(parents: dict[State, tuple[State, str] | None], state: State) -> list[str]:
    labels: list[str] = []
    while (parent := parents[state]) is not None:
        state, label = parent
        labels.append(label)
    return labels[::-1]


def _unable_to_finish(
    backward: dict[State, list[State]], all_states: Iterable[State], ends: list[State]
) -> State | None:
    alive, queue = set(ends), deque(ends)
    while queue:
        for before in backward.get(queue.popleft(), ()):
            if before not in alive:
                alive.add(before)
                queue.append(before)
    return next((state for state in all_states if state not in alive), None)


def explore(
    start: State,
    steps: Callable[[State], Iterable[Step]],
    finished: Callable[[State], bool],
    broken: Callable[[State], str | None] = lambda _state: None,
    bound: int = 2_000_000,
) -> Outcome:
    """Walks every reachable state; stops at the first violation.

    Stuck is any state from which no state in which all have finished can be reached: that covers
    deadlocks, lost wake-ups and groups that keep each other busy for ever.
    """
    parents: dict[State, tuple[State, str] | None] = {start: None}
    backward: dict[State, list[State]] = {}
    ends: list[State] = []
    queue = deque([start])
    while queue:
        state = queue.popleft()
        if (what := broken(state)) is not None:
            return Outcome(len(parents), what, _trace(parents, state))
        if finished(state):
            ends.append(state)
        for label, after in steps(state):
            backward.setdefault(after, []).append(state)
            if after not in parents:
                parents[after] = (state, label)
                queue.append(after)
        if len(parents) > bound:
            raise RuntimeError(f"more than {bound} states: the model is too large to be exhaustive")
    stuck = _unable_to_finish(backward, parents, ends)
    if stuck is not None:
        return Outcome(len(parents), "stuck", _trace(parents, stuck))
    return Outcome(len(parents))
