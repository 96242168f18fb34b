"""Compares random command sequences with redis-server for as long as one likes.

    ./test --long differential --minutes 30 --configurations epoll-3-never --seed 7

The seed is shown by a failure, and the same seed plays the same sequences. A difference is reduced
to a short sequence.
"""

from __future__ import annotations

import contextlib
import time

import pytest
from harness.matrix import MATRIX, REDIS, Configuration
from harness.process import Server
from harness.sequences import Sequence, first_difference, play_sequence, sequences
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as hypothesis_seed

EXAMPLES_PER_ROUND = 200


@pytest.mark.timeout(0)
def test_differential(pytestconfig: pytest.Config, duration_s: float, seed: int) -> None:
    deadline = time.monotonic() + duration_s
    played, turn = 0, 0
    with contextlib.ExitStack() as stack:
        oracle = stack.enter_context(Server(REDIS))
        chosen = _chosen(pytestconfig.getoption("--configurations"))
        subjects = [stack.enter_context(Server(c)) for c in chosen]
        while time.monotonic() < deadline:
            for subject in subjects:
                for protocol in (2, 3):
                    played += _round(subject, oracle, protocol, seed + turn)
            turn += 1
    print(f"{turn} rounds, {played} commands, no difference")
    assert played > 0


def _chosen(names: str) -> list[Configuration]:
    wanted = set(filter(None, names.split(",")))
    unknown = wanted - {c.name for c in MATRIX}
    if unknown:
        pytest.fail(f"unknown configurations: {', '.join(sorted(unknown))}")
    return [c for c in MATRIX if c.name in wanted or (not wanted and not c.is_redis)]


def _round(subject: Server, oracle: Server, protocol: int, number: int) -> int:
    """Plays one round of sequences and returns the number of commands compared."""
    played = 0
    with subject.connect() as ours, oracle.connect() as theirs:

        @hypothesis_seed(number)
        @settings(
            max_examples=EXAMPLES_PER_ROUND,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        @given(sequences)
        def compare(sequence: Sequence) -> None:
            nonlocal played
            mine = play_sequence(ours, sequence, protocol)
            played += len(mine)
            difference = first_difference(mine, play_sequence(theirs, sequence, protocol))
            assert difference is None, f"{subject.configuration.name}: {difference}"

        compare()
    return played
