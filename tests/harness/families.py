"""All families of random sequences: what the modules *_sequences.py have in their FAMILIES.

A new module is played from then on, by the tests of every day and by the campaign.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from harness.ordered_sequences import Family

MODULES = sorted(path.stem for path in Path(__file__).parent.glob("*_sequences.py"))


def families() -> list[Family]:
    found: list[Family] = []
    for name in MODULES:
        found += import_module(f"harness.{name}").FAMILIES
    names = [family.name for family in found]
    assert len(names) == len(set(names)) > 0, names
    return found
