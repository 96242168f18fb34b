"""A cache for a web view: pages are rendered once a minute, however many ask; WSGI, any server.

python examples/web_cache.py          asks itself a few times
python examples/web_cache.py 8000     serves http://127.0.0.1:8000/
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.simple_server import make_server

import kevyrt

# One bound for everything; the pages that nobody asks for go first.
cache = kevyrt.Server(port=None, maxmemory="64mb", maxmemory_policy="allkeys-lru")
TTL_S = 60


def render(path: str) -> bytes:
    """What takes its time."""
    time.sleep(0.05)
    return f"<h1>{path}</h1>rendered at {time.time():.3f}\n".encode()


def page(path: str) -> tuple[bytes, bool]:
    """The page, and whether it was there. One caller renders it; the others wait for that."""
    key = f"page:{path}"
    while (found := cache.get(key)) is None:
        if cache.set(f"rendering:{path}", 1, nx=True, px=5000):
            rendered = render(path)
            with cache.pipeline() as pipe:
                pipe.set(key, rendered, ex=TTL_S).delete(f"rendering:{path}")
                pipe.rpush(f"ready:{path}", 1).expire(f"ready:{path}", 1).execute()
            return rendered, False
        cache.blpop(f"ready:{path}", timeout=0.1)
    return found, True


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    body, hit = page(environ["PATH_INFO"])
    cache.hincrby("hits" if hit else "misses", environ["PATH_INFO"], 1)
    start_response("200 OK", [("Content-Type", "text/html"), ("X-Cache", "hit" if hit else "miss")])
    return [body]


def main() -> None:
    with cache:
        if len(sys.argv) > 1:
            make_server("127.0.0.1", int(sys.argv[1]), application).serve_forever()
        for path in ("/", "/about", "/", "/", "/about"):
            _, hit = page(path)
            print(path, "hit" if hit else "miss")


if __name__ == "__main__":
    main()
