"""What a server does, watched and shown: in a notebook as a page, here as text and as numbers.

python examples/notebook_stats.py
"""

from __future__ import annotations

import random
import time

import kevyrt


def traffic(server: kevyrt.Server, calls: int) -> None:
    for _ in range(calls):
        key = f"page:{min(random.randrange(100), random.randrange(100))}"
        if server.get(key) is None:
            server.set(key, bytes(random.randrange(10, 5000)), ex=60)
    server.rpush("jobs", *range(200))


def main() -> None:
    with kevyrt.Server(threads=2) as server:
        before = server.stats()
        with server.watch_stats(0.05) as watch:
            traffic(server, 5000)
            time.sleep(0.2)
        after = server.stats()
        total = after.total
        print(f"{total.keys} keys, {total.keyspace_hits} hits, {total.keyspace_misses} misses")
        print(f"{total.commands - before.total.commands} commands, {len(watch) > 1} samples")
        print(after)  # in a notebook, `after` alone is a page


if __name__ == "__main__":
    main()
