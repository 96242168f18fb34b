"""Figures beside their goals, tables, the machine, and where they stand in docs/BENCHMARKS.md."""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harness import ROOT, Unavailable, WrongData

DOCUMENT = ROOT / "docs" / "BENCHMARKS.md"
BEGIN = "<!-- figures: begin (written by benchmarks/run.py) -->"
END = "<!-- figures: end -->"


@dataclass(frozen=True)
class Figure:
    """One measured value and, where there is one, its goal: at most `goal`, or at least."""

    what: str
    value: float | None
    unit: str
    goal: float | None = None
    at_least: bool = False
    beside: str = ""

    @property
    def verdict(self) -> str:
        if self.value is None:
            return "not measured"
        if self.goal is None:
            return ""
        met = self.value >= self.goal if self.at_least else self.value <= self.goal
        return "pass" if met else "falls short"

    @property
    def goal_text(self) -> str:
        if self.goal is None:
            return ""
        return f"{'≥' if self.at_least else '≤'} {number(self.goal)} {self.unit}".strip()


@dataclass(frozen=True)
class Table:
    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass
class Section:
    """What one benchmark reports. `raw` holds every observation, for `--json`."""

    title: str
    figures: list[Figure] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    raw: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Options:
    quick: bool
    rounds: int
    before: Path | None = None


def number(value: float | None) -> str:
    """Three significant digits, without an exponent."""
    if value is None:
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


# Text


def markdown(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _figure_row(figure: Figure) -> list[str]:
    unit = "" if figure.value is None else figure.unit
    value = f"{number(figure.value)} {unit}".strip()
    return [figure.what, figure.goal_text, value, figure.verdict, figure.beside]


def section_text(section: Section) -> str:
    parts = [f"### {section.title}"]
    if section.figures:
        headers = ("figure", "goal", "measured", "verdict", "beside it")
        parts.append(markdown(headers, [_figure_row(figure) for figure in section.figures]))
    for table in section.tables:
        parts += [f"**{table.title}**", markdown(table.headers, table.rows)]
    if section.notes:
        parts.append("\n".join(f"- {note}" for note in section.notes))
    return "\n\n".join(parts)


# The machine


def _first_line(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except OSError:
        return "none"
    return (done.stdout or done.stderr).strip().splitlines()[0]


def _processor() -> tuple[str, bool]:
    """The model's name, and whether a hypervisor stands between."""
    text = Path("/proc/cpuinfo").read_text()
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    names = {key.strip(): value.strip() for key, value in fields.items()}
    return names.get("model name", platform.machine()), "hypervisor" in names.get("flags", "")


def machine_text() -> str:
    processor, virtual = _processor()
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    lines = [
        f"{processor}, {len(os.sched_getaffinity(0))} usable cores, {memory_gib:.0f} GiB"
        + (", a virtual machine" if virtual else ""),
        f"Linux {platform.release().split('-')[0]}, {platform.machine()}",
        f"{platform.python_implementation()} {platform.python_version()}",
        _first_line("redis-server", "--version").split(" sha=")[0],
        _first_line(os.environ.get("CC", "cc"), "--version"),
    ]
    return "\n".join(f"- {line}" for line in lines)


# Where it goes


def write_document(sections: Sequence[Section], command: str) -> None:
    """Puts the sections between the two markers; all else in the document stays."""
    text = DOCUMENT.read_text()
    before, found, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not found or not ended:
        raise SystemExit(f"{DOCUMENT.name} lacks its two markers")
    body = [f"Taken with `{command}` on:", machine_text(), *map(section_text, sections)]
    DOCUMENT.write_text(before + BEGIN + "\n\n" + "\n\n".join(body) + "\n\n" + END + after)


def write_json(sections: Sequence[Section], path: Path) -> None:
    path.write_text(json.dumps([asdict(section) for section in sections], indent=1))


def parser(description: str | None) -> argparse.ArgumentParser:
    """The options of every benchmark. SIGTERM becomes an exception, so that servers are ended."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    arguments = argparse.ArgumentParser(description=(description or "").split("\n\n")[0])
    arguments.add_argument("--quick", action="store_true", help="small counts: tries the harness")
    arguments.add_argument("--rounds", type=int, default=5, help="interleaved rounds (default 5)")
    arguments.add_argument(
        "--before", type=Path, help="kevyrt-serve of an earlier commit, to compare with"
    )
    arguments.add_argument("--json", type=Path, help="every observation, into this file")
    return arguments


def options_of(parsed: argparse.Namespace) -> Options:
    return Options(parsed.quick, 1 if parsed.quick else parsed.rounds, parsed.before)


def guarded(measure: Callable[[Options], Section], options: Options) -> Section:
    """Runs one benchmark; wrong data ends the program, since no figure of it may stand."""
    try:
        return measure(options)
    except WrongData as error:
        raise SystemExit(f"read back: {error}") from None
    except Unavailable as error:
        return Section(measure.__name__.replace("_", " "), notes=[f"not measured: {error}"])


def main(description: str | None, *measures: Callable[[Options], Section]) -> None:
    """The command line of a single benchmark."""
    parsed = parser(description).parse_args()
    sections = []
    for measure in measures:
        sections.append(guarded(measure, options_of(parsed)))
        print(section_text(sections[-1]), end="\n\n", flush=True)
    if parsed.json:
        write_json(sections, parsed.json)
    sys.exit(any(f.verdict == "falls short" for section in sections for f in section.figures))
