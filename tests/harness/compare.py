"""Compares a transcript of ours with the oracle's.

Equal is right. Where the target version differs from the oracle's, `oracle/differences.toml` has
a row with the reply that is right instead; nothing else excuses a difference. A row must be
needed: if we answer what the oracle answers, the row is wrong or we are.
"""

from __future__ import annotations

import fnmatch
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from harness.cases import Case, Entry, play
from harness.process import Server
from harness.resp import Reply, bulk, render

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DIFFERENCES_PATH = Path(__file__).resolve().parents[1] / "oracle" / "differences.toml"
_REQUIRED = {"command", "what", "source", "case"}
_ONE = {"step", "reply"}
_SEVERAL = {"replies"}
_OPTIONAL = {"field"}


@dataclass(frozen=True)
class Difference:
    """One row: in cases whose name matches `case`, steps whose label matches `step` answer `reply`.

    With `field`, only that field of a reply (a map, or an array of names and values) reads so.
    """

    command: str
    what: str
    source: str
    case: str
    step: str
    reply: str
    field: str | None = None

    def may_cover(self, a_case: Case) -> bool:
        """Whether the names of a case and of one of its steps match."""
        named = _matches(a_case.name, self.case)
        return named and any(_matches(s.label, self.step) for s in a_case.steps)

    def covers(self, case_name: str, expected: Entry) -> bool:
        """Whether the row speaks about this entry of the oracle's."""
        if not _matches(case_name, self.case) or not _matches(expected.label, self.step):
            return False
        return self.field is None or any(map(self._has_field, expected.replies))

    def amend(self, expected: Entry) -> list[str]:
        """What the target answers where the oracle answers `expected`, rendered."""
        if self.field is None:
            return [self.reply]
        return [self._amend_field(reply) for reply in expected.replies]

    def _has_field(self, reply: Reply) -> bool:
        return self._field_text(reply) is not None

    def _amend_field(self, reply: Reply) -> str:
        before = self._field_text(reply)
        text = render(reply)
        if before is None:
            return text
        name = render(bulk(self.field))
        separator = ": " if reply.kind == "map" else ", "
        return text.replace(f"{name}{separator}{before}", f"{name}{separator}{self.reply}", 1)

    def _field_text(self, reply: Reply) -> str | None:
        if reply.kind == "map":
            pairs = reply.value
        elif reply.kind == "array":
            pairs = zip(reply.value[::2], reply.value[1::2])  # noqa: B905 - an odd one has no value
        else:
            return None
        return next((render(v) for k, v in pairs if k == bulk(self.field)), None)


def _matches(name: str, pattern: str) -> bool:
    """fnmatch, which is slow in telling that most patterns have nothing to match."""
    if name == pattern:
        return True
    return any(c in pattern for c in "*?[") and fnmatch.fnmatchcase(name, pattern)


def _expand(row: dict[str, Any]) -> Iterator[Difference]:
    """One difference of a row with `step` and `reply`; one per entry of a row with `replies`."""
    fields = set(row) - _OPTIONAL
    if fields not in (_REQUIRED | _ONE, _REQUIRED | _SEVERAL) or not all(row.values()):
        raise ValueError(f"a row has {sorted(_REQUIRED)}, {_ONE} or {_SEVERAL}, {_OPTIONAL}: {row}")
    replies = row.pop("replies", None) or {row.pop("step"): row.pop("reply")}
    for step, reply in replies.items():
        yield Difference(**row, step=step, reply=reply)


@cache
def differences() -> tuple[Difference, ...]:
    rows = tomllib.loads(DIFFERENCES_PATH.read_text())["difference"]
    return tuple(difference for row in rows for difference in _expand(row))


def check(a_case: Case, ours: list[Entry], theirs: list[Entry]) -> list[str]:
    """The complaints about a transcript of ours; none if it is right."""
    assert len(ours) == len(theirs) == len(a_case.steps)
    complaints = []
    for index, (mine, expected) in enumerate(zip(ours, theirs, strict=True)):
        complaint = _check_entry(a_case.name, mine, expected)
        if complaint:
            complaints.append(f"{a_case.name}, step {index} ({mine.label}): {complaint}")
    return complaints


def _check_entry(case_name: str, mine: Entry, expected: Entry) -> str | None:
    rows = [d for d in differences() if d.covers(case_name, expected)]
    if not rows:
        same = mine.replies == expected.replies
        return None if same else _first_difference(_rendered(mine), _rendered(expected))
    got, oracle = _rendered(mine), _rendered(expected)
    want = rows[0].amend(expected)
    if want == oracle:
        return f"the oracle answers what differences.toml calls different: {rows[0].what}"
    if got == oracle:
        return f"equal to the oracle, though differences.toml says otherwise: {rows[0].what}"
    return None if got == want else _first_difference(got, want)


def _rendered(entry: Entry) -> list[str]:
    return [render(reply) for reply in entry.replies]


def _first_difference(got: Sequence[str], want: Sequence[str]) -> str:
    for at, (g, w) in enumerate(zip(got, want)):  # noqa: B905 - the lengths may differ
        if g != w:
            return f"reply {at}\n  ours:     {g[:3000]}\n  expected: {w[:3000]}"
    return (
        f"{len(got)} replies instead of {len(want)}: {list(got)[-2:]} instead of {list(want)[-2:]}"
    )


class Oracle:
    """Redis's transcripts, each played once. Case names are unique, which a test checks."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._known: dict[str, list[Entry]] = {}

    @property
    def server(self) -> Server:
        return self._server

    def transcript(self, a_case: Case) -> list[Entry]:
        if a_case.name not in self._known:
            self._server.flush()
            self._known[a_case.name] = play(a_case, self._server)
        return self._known[a_case.name]

    def check(self, a_case: Case, subject: Server) -> None:
        """Plays a case on the subject and fails with every complaint."""
        theirs = self.transcript(a_case)
        ours = play(a_case, subject)
        if subject.is_redis:
            complaints = [
                f"{a_case.name}: Redis does not repeat itself: {first} then {second}"
                for first, second in zip(theirs, ours, strict=True)
                if first != second
            ]
        else:
            complaints = check(a_case, ours, theirs)
        assert not complaints, "\n" + "\n".join(complaints)
