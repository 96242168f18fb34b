"""Rounds of load, SIGKILL and restart, each judged: nothing answered is lost, and what is there is
a prefix of some order of the calls.

    ./test --long crash --minutes 30 --configurations epoll-3-never --seed 7
    ./test --long crash --rounds 200

    ./test --long crash --configurations power,sync,full,short      # a disk that fails and forgets

Connections, sessions in the process, transactions over shards, clients that block, deadlines;
kills that meet rewrites, snapshots and loading: see tests/harness/crash_rounds.py. A failure shows
what is wrong and its seed; the same seed makes the same calls, but how they overlap, and what the
kill meets, is decided anew.
"""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from functools import cache
from itertools import count

import pytest
from harness.crash_rounds import KINDS, Kind, Life, disk_kinds, play_rounds
from harness.process import C_SERVER, REPOSITORY

ROUNDS_EACH = 5


@pytest.mark.timeout(0)
def test_crashes(pytestconfig: pytest.Config, duration_s: float, seed: int) -> None:
    kinds = _chosen(pytestconfig.getoption("--configurations"))
    wanted = pytestconfig.getoption("--rounds")
    deadline = time.monotonic() + duration_s
    seen: Counter[str] = Counter()
    for turn in count():
        for kind in kinds:
            if seen["rounds"] >= wanted if wanted else time.monotonic() > deadline:
                print(f"nothing wrong: {dict(seen)}")
                return
            program = [_c_server()] if kind.disk else None
            with Life(kind, f"{seed} {turn}", program=program) as life:
                play_rounds(life, ROUNDS_EACH)
            seen += life.seen


def _chosen(names: str) -> list[Kind]:
    wanted = set(filter(None, names.split(",")))
    known = [*KINDS, *disk_kinds()]
    kinds = [k for k in known if not wanted or wanted & {k.name, k.configuration.name, k.disk}]
    assert kinds, f"there are {', '.join(kind.name for kind in known)}"
    return kinds


@cache
def _c_server() -> str:
    """The plain C program, which can have a disk that fails."""
    if C_SERVER:
        return C_SERVER
    subprocess.run(["make", "--silent", "serve", "BUILD=build/c"], cwd=REPOSITORY, check=True)
    return str(REPOSITORY / "build" / "c" / "kevyrt-serve")
