"""Compares random command sequences with redis-server for as long as one likes.

    ./test --long differential --minutes 30 --configurations epoll-3-never --seed 7
    ./test --long differential --families lists,sets

Strings and keys as such take turns with all families of tests/harness/families.py. The seed is
shown by a failure, and the same seed plays the same sequences, which are other ones on every
configuration. A difference is reduced to a short sequence.
"""

from __future__ import annotations

import contextlib
import time
import zlib
from collections import Counter

import pytest
from harness.families import families
from harness.matrix import ORDER_MATRIX, REDIS, Configuration
from harness.ordered_sequences import Family
from harness.process import Server
from harness.resp import Reply
from harness.sequences import Sequence, first_difference, mask_of_keys, play_sequence, sequences
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as hypothesis_seed

EXAMPLES_PER_ROUND = 60


class Keys(Family):
    """Strings and keys as such."""

    def mask(self, words: tuple, reply: Reply) -> Reply:
        return mask_of_keys(words, reply)


@pytest.mark.timeout(0)
def test_differential(pytestconfig: pytest.Config, duration_s: float, seed: int) -> None:
    deadline = time.monotonic() + duration_s
    turn = 0
    played: Counter[str] = Counter()
    chosen_families = _chosen_families(pytestconfig.getoption("--families"))
    with contextlib.ExitStack() as stack:
        oracle = stack.enter_context(Server(REDIS))
        chosen = _chosen(pytestconfig.getoption("--configurations"))
        subjects = [stack.enter_context(Server(c)) for c in chosen]
        while time.monotonic() < deadline:
            family = chosen_families[turn % len(chosen_families)]
            for subject in subjects:
                for protocol in (2, 3):
                    name = f"{seed} {turn} {subject.configuration.name} {protocol}"
                    number = zlib.crc32(name.encode())
                    played[family.name] += _round(family, subject, oracle, protocol, number)
            turn += 1
    print(f"{turn} rounds without a difference, in commands: {dict(played)}")
    assert all(played.values()) and played


def _chosen(names: str) -> list[Configuration]:
    wanted = set(filter(None, names.split(",")))
    unknown = wanted - {c.name for c in ORDER_MATRIX}
    if unknown:
        pytest.fail(f"unknown configurations: {', '.join(sorted(unknown))}")
    return [c for c in ORDER_MATRIX if c.name in wanted or (not wanted and not c.is_redis)]


def _chosen_families(names: str) -> list[Family]:
    everything = [Keys("keys", sequences), *families()]
    wanted = set(filter(None, names.split(",")))
    unknown = wanted - {family.name for family in everything}
    if unknown:
        pytest.fail(f"unknown families: {', '.join(sorted(unknown))}")
    return [family for family in everything if not wanted or family.name in wanted]


def _round(family: Family, subject: Server, oracle: Server, protocol: int, number: int) -> int:
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
        @given(family.sequences)
        def compare(sequence: Sequence) -> None:
            nonlocal played
            mine = play_sequence(ours, sequence, protocol, family.mask)
            expected = play_sequence(theirs, sequence, protocol, family.mask)
            played += len(mine)
            difference = first_difference(mine, expected)
            name = f"{family.name} on {subject.configuration.name}, protocol {protocol}"
            assert difference is None, f"{name}: {difference}"

        compare()
    return played
