"""pytest-redis runs kevyrt-server as it runs redis-server: only the path is another."""

from __future__ import annotations

import os
import subprocess
import sys
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
    options = ["--redis-exec", str(executable), "--basetemp", str(tmp_path / "t"), "-q", "-ra"]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, "test_it.py"],
        cwd=tmp_path,
        env=environment() | {"PYTEST_ADDOPTS": "", "TMPDIR": os.environ.get("TMPDIR", "/tmp")},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "4 passed" in result.stdout
