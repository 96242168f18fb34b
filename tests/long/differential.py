"""Compares random command sequences with redis-server for as long as one likes.

    python tests/long/differential.py --minutes 30 --configurations epoll-3-never --seed 7

The seed is printed, and the same seed plays the same sequences. A difference is reduced to a
short sequence and ends the run with exit code 1.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.matrix import MATRIX, REDIS, Configuration
from harness.process import Server
from harness.sequences import Sequence, first_difference, play_sequence, sequences
from hypothesis import HealthCheck, Phase, given, seed, settings

EXAMPLES_PER_ROUND = 200


def main() -> int:
    options = _options()
    base = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 32)
    print(f"seed {base}", flush=True)
    deadline = time.monotonic() + options.minutes * 60
    with contextlib.ExitStack() as stack:
        oracle = stack.enter_context(Server(REDIS))
        subjects = [stack.enter_context(Server(c)) for c in _chosen(options.configurations)]
        played, turn = 0, 0
        while time.monotonic() < deadline:
            for subject in subjects:
                for protocol in (2, 3):
                    played += _round(subject, oracle, protocol, base + turn)
            turn += 1
            print(f"{turn} rounds, {played} commands, no difference", flush=True)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--configurations", default="", help="comma-separated; default: all")
    return parser.parse_args()


def _chosen(names: str) -> list[Configuration]:
    wanted = set(filter(None, names.split(",")))
    unknown = wanted - {c.name for c in MATRIX}
    if unknown:
        raise SystemExit(f"unknown configurations: {', '.join(sorted(unknown))}")
    return [c for c in MATRIX if c.name in wanted or (not wanted and not c.is_redis)]


def _round(subject: Server, oracle: Server, protocol: int, number: int) -> int:
    """Plays one round of sequences and returns the number of commands compared."""
    played = 0
    with subject.connect() as ours, oracle.connect() as theirs:

        @seed(number)
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


if __name__ == "__main__":
    sys.exit(main())
