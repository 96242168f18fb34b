"""A user's program, typed strictly: mypy accepts it against the installed package, and it runs."""

from __future__ import annotations

import kevyrt


def visits(server: kevyrt.Server, page: str) -> int:
    count = server.execute("INCR", f"visits:{page}")
    assert isinstance(count, int)
    return count


def cached(server: kevyrt.Server, key: str) -> bytes:
    value = server.get(key)
    if value is None:
        value = b"computed"
        server.set(key, value, ex=60)
    return value


def main() -> None:
    with kevyrt.Server(threads=2, maxmemory="100mb") as server:
        assert visits(server, "home") == 1
        assert cached(server, "k") == cached(server, "k") == b"computed"
        port: int | None = server.port
        assert port is not None
        keys: int = server.stats().total.keys
        assert keys == 2
        snapshot: kevyrt.Snapshot = server.snapshot()
        length: int = len(snapshot)
        assert length > 0
        try:
            server.execute("NOSUCH")
        except kevyrt.ResponseError as error:
            code: str = error.code
            assert code == "ERR"


if __name__ == "__main__":
    main()
