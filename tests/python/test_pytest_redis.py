"""pytest-redis runs kevyrt-server as it runs redis-server: only the path is another."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from programs import environment

TIMEOUT_S = 60

TESTS = """
import pytest
import redis
from pytest_redis import factories

other_proc = factories.redis_proc(password="secret")
other = factories.redisdb("other_proc")


def test_writes(redisdb):
    assert redisdb.set("k", "v")
    assert redisdb.get("k") == b"v"
    assert redisdb.dbsize() == 1


def test_the_database_is_clean_again(redisdb):
    assert redisdb.dbsize() == 0


def test_process(redis_proc, redisdb):
    assert redis_proc.running()
    assert str(redis_proc.version) == "7.4.0"
    with redis.Redis(port=redis_proc.port, decode_responses=True) as client:
        assert client.config_get("databases") == {"databases": "8"}
        assert client.config_get("port") == {"port": str(redis_proc.port)}


def test_password(other):
    assert other.set("k", "v")
"""


@pytest.fixture
def executable() -> Path:
    path = Path(sys.executable).parent / "kevyrt-server"
    assert path.is_file()
    return path


def test_unchanged_defaults(executable: Path, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TESTS)
    with tempfile.TemporaryDirectory(prefix="krt-") as folder:
        # Short, since it has the path of a Unix socket.
        _run(["--redis-exec", str(executable), "--basetemp", f"{folder}/t"], tmp_path)


def _run(options: list[str], tmp_path: Path) -> None:
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            *options,
            "-q",
            "-ra",
            "test_it.py",
        ],
        cwd=tmp_path,
        env=environment() | {"PYTEST_ADDOPTS": "", "TMPDIR": os.environ.get("TMPDIR", "/tmp")},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "4 passed" in result.stdout
