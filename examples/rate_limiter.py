"""A rate limiter: at most so many requests in any window of time, per user, for all threads.

python examples/rate_limiter.py
"""

from __future__ import annotations

import itertools
import threading
import time

import kevyrt


class RateLimiter:
    """A sliding window: the times of a user's last requests, in a sorted set."""

    def __init__(self, server: kevyrt.Server, limit: int, window_s: float) -> None:
        self._server = server
        self._limit = limit
        self._window_s = window_s
        self._numbers = itertools.count()

    def allow(self, user: str) -> bool:
        """Counts a request, and says whether it may go on."""
        key, now = f"requests:{user}", time.time()
        request = f"{now}:{threading.get_ident()}:{next(self._numbers)}"
        with self._server.pipeline() as pipe:  # one transaction: nobody comes in between
            pipe.zremrangebyscore(key, "-inf", now - self._window_s)
            pipe.zadd(key, {request: now})
            pipe.zcard(key)
            pipe.pexpire(key, int(self._window_s * 1000))
            count = pipe.execute()[2]
        if count <= self._limit:
            return True
        self._server.zrem(key, request)
        return False


def main() -> None:
    with kevyrt.Server(port=None) as server:
        limiter = RateLimiter(server, limit=5, window_s=30)
        print([limiter.allow("ada") for _ in range(7)])
        print("another user:", limiter.allow("bob"))


if __name__ == "__main__":
    main()
