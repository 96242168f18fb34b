"""Prometheus's exporter for Redis scrapes the server."""

from __future__ import annotations

import shutil
import subprocess
import time
import urllib.error
import urllib.request

import pytest
from harness.process import Server, free_port

EXPORTER = "prometheus-redis-exporter"

pytestmark = pytest.mark.skipif(
    shutil.which(EXPORTER) is None, reason=f"{EXPORTER} is not installed"
)


def _scrape(url: str) -> dict[str, float]:
    """Samples by name and labels."""
    deadline = time.monotonic() + 20
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10) as response:
                lines = response.read().decode().splitlines()
            return {
                name: float(value)
                for name, _, value in (line.rpartition(" ") for line in lines)
                if name.startswith("redis_")
            }
        except urllib.error.URLError:
            assert time.monotonic() < deadline, "the exporter does not answer"
            time.sleep(0.02)


def test_exporter_scrapes(subject: Server) -> None:
    with subject.connect() as connection:
        connection.do("CONFIG", "RESETSTAT")
        connection.pipeline([("SET", key, "v") for key in subject.spread(10)])
        connection.do("GET", "nosuch")
    listen = f"127.0.0.1:{free_port()}"
    command = [EXPORTER, "-redis.addr", f"redis://{subject.host}:{subject.port}"]
    with subprocess.Popen([*command, "-web.listen-address", listen]) as process:
        try:
            samples = _scrape(f"http://{listen}/metrics")
        finally:
            process.terminate()
    assert samples["redis_up"] == 1
    assert samples['redis_exporter_last_scrape_error{err=""}'] == 0
    assert samples['redis_db_keys{db="db0"}'] == 10
    assert samples['redis_commands_total{cmd="set"}'] == 10
    assert samples['redis_commands_duration_seconds_total{cmd="set"}'] > 0
    assert samples["redis_keyspace_misses_total"] == 1
    assert samples["redis_memory_used_bytes"] > 0
    assert samples["redis_memory_used_rss_bytes"] > 0
    assert samples["redis_memory_used_peak_bytes"] > 0
    assert samples["redis_connected_clients"] >= 1
    assert samples["redis_net_input_bytes_total"] > 0
    assert samples["redis_config_maxclients"] > 0
