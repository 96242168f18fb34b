"""The launcher notices how a server ends, and the pool replaces one that answers no more."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from harness import process
from harness.matrix import REDIS, Configuration
from harness.process import Pool, Server, StartFailed

pytestmark = pytest.mark.skipif(
    shutil.which("redis-server") is None, reason="redis-server stands in for the servers"
)

OURS = Configuration("epoll-1", "epoll", 1)

# Takes our options, drops what redis-server does not know, and becomes or runs redis-server.
STAND_IN = """#!/bin/sh
for word; do
    shift
    case "$skip$word" in
        @*) skip= ;;
        --threads|--io|--debug-borrow) skip=@ ;;
        *) set -- "$@" "$word" ;;
    esac
done
"""


def _stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    """Makes a shell script with that ending the server under test."""
    script = folder / "server"
    script.write_text(STAND_IN + ending)
    script.chmod(0o755)
    monkeypatch.setattr(process, "C_SERVER", str(script))


def test_clean_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _stand_in(tmp_path, monkeypatch, 'exec redis-server "$@"')
    with Server(OURS) as server:
        assert server.control().do("PING").value == b"PONG"
    assert not server.alive and not server.folder.exists()


def test_sanitizer_report_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = "echo '==1==ERROR: AddressSanitizer: heap-use-after-free' >&2\n"
    _stand_in(tmp_path, monkeypatch, report + 'exec redis-server "$@"')
    server = Server(OURS)
    with pytest.raises(AssertionError, match="heap-use-after-free"):
        server.stop()


def test_exit_code_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ending = (
        'redis-server "$@" & child=$!\ntrap "kill $child" TERM\nwait $child; wait $child\nexit 3'
    )
    _stand_in(tmp_path, monkeypatch, ending)
    server = Server(OURS)
    with pytest.raises(AssertionError, match="exit code 3"):
        server.stop()


def test_failed_start_shows_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _stand_in(tmp_path, monkeypatch, "echo the reason >&2; exit 7")
    with pytest.raises(StartFailed, match="the reason") as failure:
        Server(OURS)
    assert failure.value.returncode == 7


def test_pool_replaces_what_answers_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "ANSWER_DEADLINE_S", 0.3)
    pool = Pool()
    first = pool.get(REDIS)
    pool.check(first)
    os.kill(first.pid, signal.SIGSTOP)
    with pytest.raises(AssertionError, match="answers no more"):
        pool.check(first)
    assert not first.alive
    second = pool.get(REDIS)
    os.kill(second.pid, signal.SIGKILL)
    second.wait()
    with pytest.raises(AssertionError, match="ended with -9"):
        pool.check(second)
    pool.get(REDIS)
    pool.stop()


def test_pool_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "FAILURES_BEFORE_GIVING_UP", 1)
    pool = Pool()
    server = pool.get(REDIS)
    server.kill()
    with pytest.raises(AssertionError, match="ended"):
        pool.check(server)
    with pytest.raises(AssertionError, match="too often"):
        pool.get(REDIS)
