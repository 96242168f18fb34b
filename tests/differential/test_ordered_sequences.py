"""Random sequences of every family of commands answer as on redis-server, on every configuration,
in both protocols."""

from __future__ import annotations

import pytest
from harness.compare import Oracle
from harness.families import families
from harness.ordered_sequences import Family
from harness.process import Server
from harness.sequences import Sequence, first_difference, play_sequence
from hypothesis import HealthCheck, given, settings

EXAMPLES = 20
LONG_EXAMPLES = 2000


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("family", families(), ids=lambda family: family.name)
@pytest.mark.timeout(600)
def test_ordered_sequences(
    subject: Server, oracle: Oracle, family: Family, protocol: int, long_run: bool
) -> None:
    examples = LONG_EXAMPLES if long_run else EXAMPLES
    played = 0
    with subject.connect() as ours, oracle.server.connect() as theirs:

        @settings(
            max_examples=examples,
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(family.sequences)
        def compare(sequence: Sequence) -> None:
            nonlocal played
            mine = play_sequence(ours, sequence, protocol, family.mask)
            expected = play_sequence(theirs, sequence, protocol, family.mask)
            played += len(mine)
            difference = first_difference(mine, expected)
            assert difference is None, difference

        try:
            compare()
        finally:
            for connection in (ours, theirs):
                connection.pipeline(family.after)
    assert played >= examples
