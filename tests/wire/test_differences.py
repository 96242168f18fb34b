"""The table of differences holds no row that nothing needs, and cases can be told apart by name."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from harness.cases import Case
from harness.compare import Difference, Oracle, differences
from harness.resp import render

FOLDER = Path(__file__).parent


def _all_cases() -> list[Case]:
    modules = [importlib.import_module(path.stem) for path in sorted(FOLDER.glob("test_*.py"))]
    return [a_case for module in modules for a_case in getattr(module, "CASES", [])]


def test_case_names_are_unique() -> None:
    names = [a_case.name for a_case in _all_cases()]
    assert len(names) > 400
    assert len(set(names)) == len(names), sorted({n for n in names if names.count(n) > 1})


@pytest.mark.parametrize("row", differences(), ids=lambda row: f"{row.case}:{row.step}")
def test_row_is_met_and_differs(row: Difference, oracle: Oracle) -> None:
    for a_case in filter(row.may_cover, _all_cases()):
        entries = [e for e in oracle.transcript(a_case) if row.covers(a_case.name, e)]
        if entries:
            assert all(row.amend(e) != [render(r) for r in e.replies] for e in entries)
            return
    pytest.fail("no case meets this row")
