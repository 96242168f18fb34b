"""redis-benchmark as the load: one measured run, or one that goes on until it is ended."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness import VALUE_BYTES, Unavailable, installed, pinned

CLIENTS = 50
ENDLESS = 2_000_000_000
_THROUGHPUT = re.compile(r"throughput summary: ([\d.]+)")
_SUMMARY = re.compile(r"avg\s+min\s+p50\s+p95\s+p99\s+max\s+([\d. ]+)")
_PERCENTILE = re.compile(r"^([\d.]+)% <= ([\d.]+) milliseconds \(cumulative count", re.MULTILINE)


@dataclass(frozen=True)
class Load:
    """What redis-benchmark saw, and the CPU it spent itself."""

    requests: int
    rps: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    client_cpu_ns: float


def whole_batches(requests: int, pipeline: int, clients: int = CLIENTS) -> int:
    """The largest number of requests not above that all clients share in whole pipelines."""
    batch = clients * pipeline
    return max(requests // batch, 1) * batch


def _command(
    port: int,
    pipeline: int,
    requests: int,
    keys: int,
    what: Sequence[str],
    clients: int = CLIENTS,
) -> list[str]:
    options = {"-p": port, "-c": clients, "-d": VALUE_BYTES, "-r": keys, "-n": requests}
    options |= {"-P": pipeline, "--precision": 3}
    words = [str(word) for pair in options.items() for word in pair]
    return [installed("redis-benchmark"), "-h", "127.0.0.1", *words, *what]


def _parse(text: str, requests: int, client_cpu_ns: float) -> Load:
    throughput = _THROUGHPUT.search(text)
    summary = _SUMMARY.search(text)
    steps = [(float(a), float(b)) for a, b in _PERCENTILE.findall(text)]
    p999 = next((value for percent, value in steps if percent >= 99.9), None)
    if throughput is None or summary is None or p999 is None:
        raise Unavailable(f"redis-benchmark said: {text[-300:]!r}")
    _, _, p50, _, p99, _ = map(float, summary[1].split())
    return Load(requests, float(throughput[1]), p50, p99, p999, client_cpu_ns)


def run(
    port: int,
    test: str,
    pipeline: int,
    requests: int,
    keys: int,
    cores: Sequence[int],
    clients: int = CLIENTS,
) -> Load:
    """One run of `set` or `get`; its CPU is the child's own, as accounted at its end."""
    arguments = _command(port, pipeline, requests, keys, ["-t", test], clients)
    command = pinned(arguments, cores)
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().replace("\r", "\n")
    if process.returncode != 0:
        raise Unavailable(f"redis-benchmark failed: {text[-300:]!r}")
    return _parse(text, requests, (usage.ru_utime + usage.ru_stime) * 1e9)


@contextlib.contextmanager
def endless(
    port: int,
    what: Sequence[str],
    pipeline: int,
    keys: int,
    cores: Sequence[int],
    clients: int = CLIENTS,
) -> Iterator[subprocess.Popen[bytes]]:
    """A load for as long as the block lasts; `what` is `-t get`, or a command of its own."""
    arguments = _command(port, pipeline, ENDLESS, keys, what, clients)
    command = pinned(arguments, cores)
    silent = subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=silent, stdout=silent, stderr=silent)
    try:
        yield process
        if process.poll() is not None:
            raise Unavailable(f"the load ended early: {' '.join(what)[:60]}")
    finally:
        process.kill()
        process.wait()
