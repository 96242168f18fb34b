"""Random command sequences answer as on redis-server, on every configuration, in both protocols."""

from __future__ import annotations

import pytest
from harness.compare import Oracle
from harness.process import Server
from harness.sequences import Sequence, first_difference, play_sequence, sequences
from hypothesis import HealthCheck, given, settings

EXAMPLES = 120

SETTINGS = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.mark.parametrize("protocol", [2, 3])
def test_sequences(subject: Server, oracle: Oracle, protocol: int) -> None:
    played = 0
    with subject.connect() as ours, oracle.server.connect() as theirs:

        @SETTINGS
        @given(sequences)
        def compare(sequence: Sequence) -> None:
            nonlocal played
            mine = play_sequence(ours, sequence, protocol)
            expected = play_sequence(theirs, sequence, protocol)
            played += len(mine)
            difference = first_difference(mine, expected)
            assert difference is None, difference

        compare()
    assert played >= EXAMPLES
