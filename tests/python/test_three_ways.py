"""The same calls through redis-py over TCP, redis-py over a socket pair, and in process give the
same results, type and all; and so does redis-py over TCP to a redis-server.

The calls are in method_calls.py. What redis-py refuses before it sends anything (DataError) is
refused here too: by a ValueError or TypeError, or by the server.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.backoff
import redis.retry
from method_calls import CALLS, Call

import kevyrt

# What redis-py takes for a broken connection, a refused password among them, is not tried again.
AT_ONCE = redis.retry.Retry(redis.backoff.NoBackoff(), 0)

# Where redis-py and kevyrt go apart: the call, and why.
DIFFERENT = {
    "mget([])": "redis-py makes an empty list of the server's refusal",
}


# ---- Results -------------------------------------------------------------------------------------


def exactly(value: Any) -> Any:
    """Equal if and only if the values are, with the types of everything in them."""
    name = type(value).__name__
    if isinstance(value, dict):
        pairs = ((exactly(key), exactly(item)) for key, item in value.items())
        return (name, sorted(pairs, key=repr))
    if isinstance(value, (set, frozenset)):
        return (name, sorted(map(exactly, value), key=repr))
    if isinstance(value, (list, tuple)):
        return (name, *map(exactly, value))
    if isinstance(value, (kevyrt.ResponseError, redis.ResponseError)):
        return ("error", text_of(value))
    return (name, repr(value))


def text_of(error: Exception) -> str:
    """Without the code, which redis-py keeps or not, and without what pipelines put in front."""
    text = re.sub(r"^Command # 1 \(.*\) of pipeline caused error: ", "", str(error))
    return re.sub("^[A-Z]+ ", "", text)


REFUSED = ("error", "refused")


def outcome(call: Call, make: Callable[[], Any]) -> Any:
    try:
        result = make()
    except (redis.DataError, ValueError, TypeError, AttributeError):
        return REFUSED
    except (kevyrt.ResponseError, redis.ResponseError, redis.AuthenticationError) as error:
        return ("error", text_of(error))
    return exactly(call.view(result) if call.view else result)


# ---- Ways ----------------------------------------------------------------------------------------


class Ways:
    """A server and everything through which it can be called."""

    def __init__(self, decode_responses: bool) -> None:
        self.server = kevyrt.Server(
            decode_responses=decode_responses, enable_debug_command=True
        ).start()
        options: dict[str, Any] = {"decode_responses": decode_responses, "retry": AT_ONCE}
        self.tcp = redis.Redis.from_url(str(self.server.url), **options)
        self.pair = self.server.client(**options)
        self.session = self.server.session()
        self.loop = asyncio.new_event_loop()

    def close(self) -> None:
        self.loop.close()
        self.tcp.close()
        self.pair.close()
        self.session.close()
        self.server.stop()

    def forget(self, call: Call) -> None:
        """What connections remember."""
        if not call.session:
            return
        self.tcp.close()
        self.pair.close()
        self.session.close()
        self.session = self.server.session()

    def faces(self, call: Call) -> dict[str, Callable[[], Any]]:
        name, args, options = call.method, call.args, call.options
        ways: dict[str, Any] = {"redis-py over a socket pair": self.pair}
        if not call.session:
            ways |= {"Server": self.server, "Database": self.server.database(0)}
        ways["Session"] = self.session
        makes = {way: method_call(face, name, args, options) for way, face in ways.items()}
        if not call.session:
            makes["Aio"] = lambda: self.awaited(call)
            makes["Pipeline"] = lambda: self.queued(call, False)
            makes["Pipeline, a transaction"] = lambda: self.queued(call, True)
        return makes

    def awaited(self, call: Call) -> Any:
        async def make() -> Any:
            return await getattr(self.server.aio, call.method)(*call.args, **call.options)

        return self.loop.run_until_complete(make())

    def queued(self, call: Call, transaction: bool) -> Any:
        with self.server.pipeline(transaction) as pipe:
            getattr(pipe, call.method)(*call.args, **call.options)
            (result,) = pipe.execute(raise_on_error=False)
        if isinstance(result, Exception):
            raise result
        return result


def method_call(
    face: Any, name: str, args: tuple[Any, ...], options: dict[str, Any]
) -> Callable[[], Any]:
    return lambda: getattr(face, name)(*args, **options)


@pytest.fixture(scope="module", params=[False, True], ids=["bytes", "str"])
def ways(request: pytest.FixtureRequest) -> Iterator[Ways]:
    everything = Ways(request.param)
    yield everything
    everything.close()


@pytest.fixture(scope="module")
def ways_with_bytes() -> Iterator[Ways]:
    everything = Ways(False)
    yield everything
    everything.close()


def prepare(execute: Callable[..., Any], call: Call) -> None:
    execute("FLUSHALL")
    execute("CONFIG", "SET", "slowlog-log-slower-than", "10000")
    for line in call.before:
        execute(*line.split())


@pytest.mark.parametrize("call", CALLS, ids=[f"{n}-{call}" for n, call in enumerate(CALLS)])
def test_all_ways(ways: Ways, call: Call) -> None:
    prepare(ways.server.execute, call)
    ways.forget(call)
    expected = outcome(call, method_call(ways.tcp, call.method, call.args, call.options))
    found = {}
    for way, make in ways.faces(call).items():
        prepare(ways.server.execute, call)
        found[way] = outcome(call, make)
    wrong = {way: result for way, result in found.items() if not is_same(expected, result)}
    shown = "\n".join(f"  {way}: {result}" for way, result in wrong.items())
    assert bool(wrong) == (str(call) in DIFFERENT), (
        f"{call}\n  redis-py over TCP: {expected}\n{shown}"
    )


def is_same(expected: Any, found: Any) -> bool:
    """What redis-py refuses itself may be refused by the server."""
    return found == expected or (expected == REFUSED and found[0] == "error")


# ---- redis-server --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.Redis]:
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed, so there is no oracle")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder: Path = tmp_path_factory.mktemp("oracle")
    words = ["--port", str(port), "--dir", str(folder), "--enable-debug-command", "yes"]
    process = subprocess.Popen(
        ["redis-server", *words, "--save", ""], stdout=subprocess.DEVNULL, cwd=folder
    )
    client = redis.Redis(port=port, retry=AT_ONCE)
    try:
        wait_until_it_answers(client)
        yield client
    finally:
        client.close()
        process.terminate()
        process.wait(10)


def wait_until_it_answers(client: redis.Redis) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            client.ping()
        except redis.ConnectionError:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        else:
            return


ORACLE_CALLS = [call for call in CALLS if call.oracle]


@pytest.mark.parametrize(
    "call", ORACLE_CALLS, ids=[f"{n}-{call}" for n, call in enumerate(ORACLE_CALLS)]
)
def test_as_redis_server(oracle: redis.Redis, ways_with_bytes: Ways, call: Call) -> None:
    version = tuple(int(part) for part in oracle.info("server")["redis_version"].split("."))
    if version < call.since:
        pytest.skip("newer than the redis-server that is installed")
    ways = ways_with_bytes
    prepare(oracle.execute_command, call)
    ways.forget(call)
    expected = outcome(call, method_call(oracle, call.method, call.args, call.options))
    if call.session:
        oracle.close()
    prepare(ways.server.execute, call)
    face = ways.session if call.session else ways.server
    found = outcome(call, method_call(face, call.method, call.args, call.options))
    assert is_same(expected, found), f"{call}\n  redis-server: {expected}\n  here: {found}"
