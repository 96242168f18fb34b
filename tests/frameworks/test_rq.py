"""RQ's queue in the server; its workers fork a process for each job."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PROGRAM = """
import warnings
import kevyrt
import jobs
from rq import Queue, Worker

warnings.simplefilter("ignore")
server = kevyrt.Server(port=None, name="queue").start()
client = CLIENT
queue = Queue(connection=client)
added = [queue.enqueue(jobs.add, number, 1) for number in range(3)]
failing = queue.enqueue(jobs.fail)
Worker([queue], connection=client).work(burst=True, logging_level="CRITICAL")
print([job.return_value() for job in added], failing.get_status())
print(server.get("done"), b"on purpose" in failing.latest_result().exc_string.encode())
"""
JOBS = """
import kevyrt

def add(a, b):
    with kevyrt.from_url("kevyrt://queue") as client:
        client.incr("done")
    return a + b

def fail():
    raise ValueError("on purpose")
"""


@pytest.mark.parametrize("client", ["server.client()", 'kevyrt.from_url("kevyrt://queue")'])
def test_jobs(tmp_path: Path, client: str) -> None:
    (tmp_path / "jobs.py").write_text(JOBS)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("CLIENT", client)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{REPOSITORY}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "[1, 2, 3] JobStatus.FAILED\nb'3' True\n", done.stderr[-4000:]
