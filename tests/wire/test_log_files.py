"""The files of a log go from ours to redis-server and back, as a kill leaves them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from harness.client import Connection
from harness.matrix import REDIS, Configuration
from harness.process import Server
from harness.resp import OK, Reply

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not there"),
    pytest.mark.skipif(shutil.which("redis-check-aof") is None, reason="nor is its checker"),
]
OURS = Configuration("io_uring-3-auto", "io_uring", 3)
LOG = ("--appendonly", "yes", "--aof-timestamp-enabled", "yes")


def _write(client: Connection, name: str) -> None:
    """Chunks of many lengths, several effects of a call, several databases."""
    for i in range(60):
        assert client.do("SELECT", i // 10 % 3) == OK
        assert client.do("SET", f"{name}:{i}", "v" * (i * i)) == OK
        client.do("MSET", f"{name}:a{i}", 1, f"{name}:b{i}", 2, f"{name}:c{i}", 3)
        client.do("MULTI")
        client.do("INCR", f"{name}:n")
        client.do("RPUSH", f"{name}:l", i)
        client.do("SELECT", 4)
        client.do("INCR", f"{name}:n")
        assert client.do("EXEC").kind == "array"
        client.do("SPOP", f"{name}:none")
    assert client.do("SELECT", 0) == OK


def _folder(server: Server) -> Path:
    return server.folder / "appendonlydir"


def _check(server: Server) -> None:
    """redis-check-aof finds nothing wrong."""
    path = _folder(server) / "appendonly.aof.manifest"
    found = subprocess.run(
        ["redis-check-aof", path], capture_output=True, text=True, timeout=60, check=False
    )
    assert found.returncode == 0, found.stdout[-2000:]
    assert "All AOF files and manifest are valid" in found.stdout


def _last_line(server: Server) -> bytes:
    return (_folder(server) / "appendonly.aof.1.incr.aof").read_bytes()[-64:]


def _digest(server: Server) -> Reply:
    return server.control().do("DEBUG", "DIGEST")


def test_to_redis_and_back_at_every_kill(tmp_path: Path) -> None:
    """Written ahead or not, the checker and redis-server take it; what they append, we take."""
    expected = None
    with Server(OURS, (*LOG, "--appendfsync", "always")) as ours:
        for turn in range(2):
            if expected is not None:
                assert _digest(ours) == expected, "what redis-server wrote"
            _write(ours.control(), f"always{turn}")
            expected = _digest(ours)
            ours.crash()
            assert _last_line(ours).startswith(b"#- "), "nothing is written ahead"
            _check(ours)
            taken = tmp_path / str(turn)
            shutil.copytree(_folder(ours), taken / "appendonlydir")
            with Server(REDIS, LOG, files=taken) as redis:
                assert _digest(redis) == expected, "what we wrote"
                _write(redis.control(), f"redis{turn}")
                expected = _digest(redis)
                shutil.rmtree(_folder(ours))
                shutil.copytree(_folder(redis), _folder(ours))
            ours.restart("--appendfsync", "everysec")
            _write(ours.control(), f"everysec{turn}")
            expected = _digest(ours)
            ours.restart("--appendfsync", "always")  # an end in good order
            assert not _last_line(ours).startswith(b"#- ")
            _check(ours)
