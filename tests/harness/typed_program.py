"""A user's program, typed strictly: mypy accepts it against the installed package, and it runs."""

from __future__ import annotations

import asyncio

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


async def awaited(server: kevyrt.Server) -> bytes | None:
    number: int = await server.aio.incr("n")
    assert number == 2
    return await server.aio.get("n")


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
        fields: int = server.hset("h", mapping={"a": 1})
        members: dict[bytes, bytes] = server.hgetall("h")
        score: float | None = (server.zadd("z", {"m": 1.5}), server.zscore("z", "m"))[1]
        assert fields == 1 and members == {b"a": b"1"} and score == 1.5
        with server.pipeline() as pipe:
            results = pipe.incr("n").get("n").execute()
        assert results == [1, b"1"]
        assert asyncio.run(awaited(server)) == b"2"
        try:
            server.execute("NOSUCH")
        except kevyrt.ResponseError as error:
            code: str = error.code
            assert code == "ERR"


if __name__ == "__main__":
    main()
