"""redis-cli's modes that ask a server about its data and its health."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from harness.process import Server

KEYS = 2_000

pytestmark = pytest.mark.skipif(
    shutil.which("redis-cli") is None, reason="redis-cli is not installed"
)


def _cli(server: Server, *arguments: str, lines: int | None = None) -> str:
    """What redis-cli prints; with `lines` its first ones, as some modes go on for ever."""
    command = ["redis-cli", "-p", str(server.port), *arguments]
    if lines is None:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        return done.stdout
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        text = "".join(process.stdout.readline() for _ in range(lines))
        process.terminate()
    return text


@pytest.fixture
def filled(subject: Server) -> Server:
    with subject.connect() as connection:
        connection.pipeline([("SET", f"key:{i}", b"v" * (i % 50)) for i in range(KEYS)])
        connection.do("SET", "big", b"v" * 5_000)
    return subject


def test_bigkeys(filled: Server) -> None:
    text = _cli(filled, "--bigkeys")
    assert """Biggest string found '"big"' has 5000 bytes""" in text
    assert f"Sampled {KEYS + 1} keys in the keyspace" in text


def test_memkeys(filled: Server) -> None:
    text = _cli(filled, "--memkeys")
    assert re.search(r"""Biggest string found '"big"' has [5-9]\d\d\d bytes""", text)


def test_scan(filled: Server) -> None:
    assert len(set(_cli(filled, "--scan").split())) == KEYS + 1
    assert _cli(filled, "--scan", "--pattern", "b?g").split() == ["big"]


def test_stat(filled: Server) -> None:
    text = _cli(filled, "--stat", "-i", "0.01", lines=4)
    assert str(KEYS + 1) in text and "keys" in text


def test_latency(filled: Server) -> None:
    least, most, mean, count = _cli(filled, "--latency", "--raw", "-i", "1").split()[:4]
    assert 0 <= float(least) <= float(mean) <= float(most) < 1_000
    assert int(count) > 10
