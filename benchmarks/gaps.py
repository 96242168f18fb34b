"""Loop gaps while growing to 10 million keys under load, beside an idle control loop.

The server reports its longest gap since the last CONFIG RESETSTAT; it is read and reset every
50 ms, and the control loop at the same moment. The server may not have more slices with a gap over
1 ms than the control has.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import TracebackType

import loadgen
from harness import (
    KEVYRT_EPOLL,
    KEVYRT_URING,
    Placement,
    ServerProcess,
    Subject,
    Unavailable,
    WrongData,
    apart,
    fill_command,
    pinned,
    read_values,
    require_key_count,
    tool,
)
from report import Figure, Options, Section, Table, main, number
from resp import Wire

INFO_SECTION = "kevyrt"
LONGEST_GAP_FIELD = "loop_gap_max_us"
KEYS = 10_000_000
QUICK_KEYS = 1_000_000
SLICE_S = 0.05
LIMIT_US = 1_000
EDGES_US = (1_000, 2_000, 4_000, 8_000, 16_000)
READ_KEYS = 100_000
READ_PIPELINE = 16
LETTER = "g"


@dataclass(frozen=True)
class Slice:
    """The longest gaps of both loops in the same 50 ms."""

    server_us: int
    control_us: int


class Control:
    """The idle control loop: a process of its own on the load's core."""

    def __init__(self, cores: Sequence[int]) -> None:
        self._process = subprocess.Popen(
            pinned([str(tool("control"))], cores),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self.priority = self._process.stdout.readline().strip()

    def longest_us(self) -> int:
        """The longest gap since the last call."""
        self._process.stdin.write("\n")
        return int(self._process.stdout.readline().split()[0])

    def __enter__(self) -> Control:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def longest_us(wire: Wire) -> int:
    """The server's longest gap since the last call; both commands travel in one packet."""
    text, _ = wire.pipeline([("INFO", INFO_SECTION), ("CONFIG", "RESETSTAT")])
    for line in text.decode().splitlines():
        field, _, value = line.partition(":")
        if field == LONGEST_GAP_FIELD:
            return int(value)
    raise Unavailable(f"INFO {INFO_SECTION} has no {LONGEST_GAP_FIELD}")


def _watch(filler: subprocess.Popen[str], wire: Wire, control: Control) -> list[Slice]:
    """A slice every 50 ms until the filler is done, without the first, which began before it."""
    slices = [Slice(longest_us(wire), control.longest_us())]
    while filler.poll() is None:
        time.sleep(SLICE_S)
        slices.append(Slice(longest_us(wire), control.longest_us()))
    return slices[1:]


def _grow(server: ServerProcess, keys: int, at: Placement) -> tuple[list[Slice], str]:
    """Fills while 50 connections read, and watches both loops."""
    command = pinned(fill_command(server.port, 0, keys, LETTER), at.client)
    reads = loadgen.endless(server.port, ["-t", "get"], READ_PIPELINE, READ_KEYS, at.client)
    with server.connect() as wire, Control(at.client) as control, reads:
        longest_us(wire)
        filler = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            slices = _watch(filler, wire, control)
        finally:
            filler.kill()
            _, said = filler.communicate()
        if filler.returncode != 0:
            raise WrongData(f"{server.subject.name}: {said.strip()}")
        require_key_count(server, wire, keys)
        read_values(server, wire, range(0, keys, keys // 1_000))
    return slices, control.priority


def _histogram_row(name: str, gaps_us: Sequence[int]) -> list[str]:
    bounds = [0, *EDGES_US, max([*gaps_us, EDGES_US[-1]]) + 1]
    counts = [sum(low <= gap < high for gap in gaps_us) for low, high in pairwise(bounds)]
    return [name, *map(str, counts), f"{max(gaps_us, default=0):,}"]


def _histogram(rows: Sequence[Sequence[str]]) -> Table:
    milliseconds = [edge // 1_000 for edge in EDGES_US]
    between = [f"{low} to {high} ms" for low, high in pairwise(milliseconds)]
    headers = ("loop", f"under {milliseconds[0]} ms", *between, f"over {milliseconds[-1]} ms")
    return Table("Slices of 50 ms by their longest gap", (*headers, "longest µs"), rows)


def over(gaps_us: Sequence[int]) -> int:
    return sum(gap > LIMIT_US for gap in gaps_us)


def _figure(subject: Subject, slices: Sequence[Slice], keys: int) -> Figure:
    ours = [s.server_us for s in slices]
    control = [s.control_us for s in slices]
    beside = f"longest {number(max(ours))} µs; control: {over(control)}, longest {max(control)} µs"
    what = f"{subject.io}: slices with a gap over 1 ms, growing to {keys:,} keys"
    return Figure(what, over(ours), "", over(control), beside=beside)


def gaps(options: Options) -> Section:
    at = apart()
    keys = QUICK_KEYS if options.quick else KEYS
    section = Section("Loop gaps while growing", notes=[f"{at}; the control beside the load."])
    rows: list[list[str]] = []
    for subject in (KEVYRT_URING, KEVYRT_EPOLL):
        try:
            with ServerProcess(subject, at.server) as server:
                slices, priority = _grow(server, keys, at)
        except Unavailable as reason:
            section.figures.append(Figure(f"{subject.io}: slices with a gap over 1 ms", None, ""))
            section.notes.append(f"not measured: {subject.name}: {reason}")
            continue
        section.figures.append(_figure(subject, slices, keys))
        rows.append(_histogram_row(subject.name, [s.server_us for s in slices]))
        rows.append(_histogram_row(f"control, {priority}", [s.control_us for s in slices]))
        section.raw += [{"subject": subject.name, **vars(s)} for s in slices]
    section.tables.append(_histogram(rows))
    return section


if __name__ == "__main__":
    main(__doc__, gaps)
