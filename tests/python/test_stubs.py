"""The typed surface: stubs and signatures say what the module does."""

from __future__ import annotations

import importlib.resources
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import kevyrt
from kevyrt import _core

REPOSITORY = Path(__file__).resolve().parents[2]


def run(*words: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", *words], cwd=REPOSITORY, capture_output=True, text=True, timeout=100
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_stubs_match_the_module() -> None:
    run("mypy.stubtest", "kevyrt")


def test_what_is_generated_is_what_is_committed() -> None:
    """Otherwise: `python scripts/generate_stubs.py`."""
    script = str(REPOSITORY / "scripts" / "generate_stubs.py")
    result = subprocess.run([sys.executable, script, "--check"], cwd=REPOSITORY, timeout=100)
    assert result.returncode == 0


def test_types_of_the_package() -> None:
    run("mypy")


TYPED_USE = """
from collections.abc import Coroutine
from datetime import datetime, timedelta
from typing import Any, assert_type

import kevyrt


def call(server: kevyrt.Server, database: kevyrt.Database, session: kevyrt.Session) -> None:
    assert_type(server.get("k"), bytes | None)
    assert_type(database.smembers("k"), set[bytes])
    assert_type(session.hgetall("k"), dict[bytes, bytes])
    assert_type(server.zpopmin("k"), list[tuple[bytes, float]])
    assert_type(server.info("memory"), dict[str, Any])
    scores: dict[str, int] = {"a": 1}
    server.zadd("k", scores, nx=True)
    server.mset(scores)
    server.expire("k", timedelta(hours=1), gt=True)
    server.expireat("k", datetime.now())
    server.lmpop(2, "a", "b", direction="LEFT", count=3)
    for key in server.scan_iter("a*"):
        assert_type(key, bytes)
    server.expire("k", "soon")  # type: ignore[arg-type]
    server.strlen(None)  # type: ignore[arg-type]
    server.zadd("k", nix=True)  # type: ignore[call-arg]


def queue(server: kevyrt.Server) -> None:
    with server.pipeline() as pipe:
        assert_type(pipe.zadd("k", {"a": 1}).get("k").info().execute(), Any)
        assert_type(pipe.execute(), list[Any])
        pipe.strlen(None)  # type: ignore[arg-type]


async def wait(server: kevyrt.Server) -> None:
    assert_type(await server.aio.get("k"), bytes | None)
    assert_type(await server.aio.xpending("x", "g"), dict[str, Any])
    length: Coroutine[Any, Any, int] = server.aio.strlen("k")
    assert_type(await length, int)
    async for member in server.aio.sscan_iter("s"):
        assert_type(member, bytes)
    await server.aio.expire("k", "soon")  # type: ignore[arg-type]
"""


@pytest.mark.skipif(sys.version_info < (3, 11), reason="typing has assert_type since 3.11")
def test_types_for_users(tmp_path: Path) -> None:
    path = tmp_path / "use.py"
    path.write_text(TYPED_USE)
    run("mypy", "--strict", "--python-version", "3.11", str(path))


def test_the_package_says_that_it_is_typed() -> None:
    package = importlib.resources.files("kevyrt")
    assert (package / "py.typed").is_file() and (package / "_core.pyi").is_file()


def test_everything_exported_is_there() -> None:
    assert sorted(kevyrt.__all__) == kevyrt.__all__
    public = {name for name, value in vars(kevyrt).items() if not inspect.ismodule(value)}
    assert set(kevyrt.__all__) == {name for name in public if name[0] != "_"} | {"__version__"}


@pytest.mark.parametrize(
    ("function", "signature"),
    [
        (kevyrt.Server.get, "(self, /, name)"),
        (kevyrt.Server.execute, "(self, /, *args, db=0)"),
        (kevyrt.Server.delete, "(self, /, *names)"),
        (kevyrt.Server.adopt, "(self, fd, /)"),
        (kevyrt.Session.execute, "(self, /, *args)"),
    ],
)
def test_signatures(function: object, signature: str) -> None:
    assert str(inspect.signature(function)) == signature  # type: ignore[arg-type]


def test_parameters_of_server() -> None:
    parameters = inspect.signature(kevyrt.Server).parameters.values()
    assert [(p.name, p.default) for p in parameters if p.kind is p.KEYWORD_ONLY] == [
        ("port", 0),
        ("bind", "127.0.0.1"),
        ("unixsocket", None),
        ("threads", 1),
        ("io", "auto"),
        ("decode_responses", False),
        ("load", None),
        ("name", None),
    ]
    assert [p.name for p in parameters if p.kind is p.VAR_KEYWORD] == ["config"]


def test_every_public_name_has_a_docstring() -> None:
    for owner in (
        *(kevyrt.Server, kevyrt.Session, kevyrt.Snapshot),
        *(kevyrt.Stats, kevyrt.ShardStats, kevyrt.PersistenceStats),
    ):
        assert owner.__doc__
        for name in dir(owner):
            member = inspect.getattr_static(owner, name)
            if name[0] != "_" and (callable(member) or isinstance(member, property)):
                assert member.__doc__, f"{owner.__name__}.{name}"


def test_the_stub_names_every_exception() -> None:
    stub = (REPOSITORY / "kevyrt" / "_core.pyi").read_text()
    named = set(re.findall(r"^class (\w+)\((?!_|Coroutine)", stub, re.MULTILINE))
    made = {
        name
        for name, value in vars(_core).items()
        if isinstance(value, type) and issubclass(value, kevyrt.Error)
    }
    assert named == made
