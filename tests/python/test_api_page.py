"""docs/API.md is what the docstrings say, and says something about everything public."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

import kevyrt

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = REPOSITORY / "scripts" / "api_page.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("kevyrt_api_page", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="signatures are shown as 3.11 does")
def test_the_page_is_current(script: ModuleType) -> None:
    assert (REPOSITORY / "docs" / "API.md").read_text() == script.page(), (
        "run python scripts/api_page.py"
    )


def test_everything_public_is_on_it() -> None:
    text = (REPOSITORY / "docs" / "API.md").read_text()
    missing = [n for n in kevyrt.__all__ if n[0] != "_" and not re.search(rf"\b{n}\b", text)]
    assert not missing
    methods = [name for name in dir(kevyrt.Server) if name[0] != "_"]
    assert len(methods) > 200
    assert not [name for name in methods if not re.search(rf"\b{name}\b", text)]


def test_every_command_has_a_family(script: ModuleType) -> None:
    families = script.command_families()
    assert set(families) <= set(script.FAMILIES)
    assert sum(map(len, families.values())) > 180
    for group, name in (("STRING", "get"), ("SORTED_SET", "zadd"), ("HASH", "hscan_iter")):
        assert name in families[group]


def test_nothing_of_this_process_is_on_it(script: ModuleType) -> None:
    assert not re.search(r"0x[0-9a-f]{6,}|/site-packages/", script.page())
