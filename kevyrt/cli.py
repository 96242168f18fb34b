"""kevyrt-server: redis-server's command line."""

import os
import signal
import sys

from kevyrt import _core
from kevyrt.server import Server


def _settings(words: list[str]) -> dict[str, object]:
    settings: dict[str, object] = {
        "port": "6379",
        "bind": "* -::*",
        "threads": str(len(os.sched_getaffinity(0))),
    }
    settings.update((name.replace("-", "_"), value) for name, value in _core.parse_options(words))
    settings["threads"] = int(str(settings["threads"]))
    settings["port"] = None if settings["port"] == "0" else settings["port"]
    return settings


def main(words: list[str] | None = None) -> int:
    """Runs the server until SIGTERM, SIGINT or SHUTDOWN; returns the exit code."""
    words = sys.argv[1:] if words is None else words
    if words in (["--version"], ["-v"]):
        print(f"Redis server v={_core.redis_version} kevyrt={_core.__version__}")
        return 0
    try:
        server = Server(**_settings(words))
        server.start()
    except (ValueError, OSError) as error:
        print(f"kevyrt-server: {error}", file=sys.stderr)
        return 1
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop())
    print("Ready to accept connections", flush=True)
    server.wait(None)
    server.stop()
    return 0
