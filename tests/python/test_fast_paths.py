"""Each fast way of a call gives what the general way gives: two servers, the same calls."""

from __future__ import annotations

import enum
import random
import tempfile
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

import kevyrt


class Color(str, enum.Enum):
    RED = "red"


class Number(enum.IntEnum):
    SEVEN = 7


class Text(str):
    """Says something else than it holds."""

    def __str__(self) -> str:
        return "wrong"


class Octets(bytes):
    pass


class Whole(int):
    def __repr__(self) -> str:
        return "wrong"


# What the general way gets: the words as Redis's clients send them.
WORDS: list[tuple[Any, bytes]] = [
    ("a", b"a"),
    ("b" * 300, b"b" * 300),
    ("größer", "größer".encode()),
    (b"\x00\xff\r\n", b"\x00\xff\r\n"),
    (b"", b""),
    (bytearray(b"array"), b"array"),
    (memoryview(b"view of it")[5:], b"of it"),
    (7, b"7"),
    (-(2**63), b"-9223372036854775808"),
    (2**64, b"18446744073709551616"),
    (10**40, b"1" + b"0" * 40),
    (0.1, b"0.1"),
    (1e300, b"1e+300"),
    (float("-inf"), b"-inf"),
    (Color.RED, b"red"),
    (Number.SEVEN, b"7"),
    (Text("text"), b"text"),
    (Octets(b"octets"), b"octets"),
    (Whole(5), b"5"),
]

# Of a method: its arguments made of words, and the command that it is.
Maker = Callable[[Callable[[], tuple[Any, bytes]]], tuple[tuple[Any, ...], tuple[bytes, ...]]]


def words(command: str, least: int, most: int) -> tuple[str, Maker]:
    def make(word: Callable[[], tuple[Any, bytes]]) -> Any:
        drawn = [word() for _ in range(random.randint(least, most))]
        return tuple(w for w, _ in drawn), (command.encode(), *(b for _, b in drawn))

    return command, make


def numbered(command: str, number: int) -> tuple[str, Maker]:
    def make(word: Callable[[], tuple[Any, bytes]]) -> Any:
        (key, text), amount = word(), random.choice([0, 1, -5, 10**6, 2**62, number])
        return (key, amount), (command.encode(), text, b"%d" % amount)

    return command, make


def pairs(command: str, key_first: bool) -> tuple[str, Maker]:
    def make(word: Callable[[], tuple[Any, bytes]]) -> Any:
        mapping: dict[Any, Any] = {}
        sent: list[bytes] = []
        for _ in range(random.randint(1, 20)):
            (key, text), (value, value_text) = word(), word()
            if not isinstance(key, (bytearray, memoryview)) and key not in mapping:
                mapping[key] = value
                sent += (text, value_text)
        if not mapping:
            mapping, sent = {"k": 1}, [b"k", b"1"]
        return (mapping,), (command.encode(), *sent)

    return command, make


def keys(command: str) -> tuple[str, Maker]:
    def make(word: Callable[[], tuple[Any, bytes]]) -> Any:
        drawn = [word() for _ in range(random.randint(1, 40))]
        listed = random.choice([list, tuple, iter])([w for w, _ in drawn])
        return (listed,), (command.encode(), *(b for _, b in drawn))

    return command, make


def scores(word: Callable[[], tuple[Any, bytes]]) -> Any:
    (key, text), (member, member_text) = word(), word()
    if isinstance(member, (bytearray, memoryview)):
        member, member_text = "m", b"m"
    return (key, {member: 1.5, "other": 2}), (b"ZADD", text, b"1.5", member_text, b"2", b"other")


METHODS: dict[str, tuple[str, Maker]] = {
    "get": words("GET", 1, 1),
    "set": words("SET", 2, 2),
    "delete": words("DEL", 1, 5),
    "exists": words("EXISTS", 1, 5),
    "incr": numbered("INCRBY", 3),
    "mget": keys("MGET"),
    "mset": pairs("MSET", True),
    "hget": words("HGET", 2, 2),
    "hset": words("HSET", 3, 3),
    "expire": numbered("EXPIRE", 5000),
    "ttl": words("TTL", 1, 1),
    "lpush": words("LPUSH", 2, 9),
    "rpop": words("RPOP", 1, 1),
    "sadd": words("SADD", 2, 9),
    "zadd": ("ZADD", scores),
    "strlen": words("STRLEN", 1, 1),
    "append": words("APPEND", 2, 2),
}


def outcome(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except kevyrt.ResponseError as error:
        return type(error), str(error)


def same(method: str, result: Any, reply: Any) -> bool:
    if method in ("set", "mset") and reply == "OK":
        return result is True
    if method == "expire" and isinstance(reply, int):
        return result is bool(reply)
    if method == "ttl" and isinstance(reply, int):
        return abs(int(result) - reply) <= 1
    return bool(result == reply)


def settings(kind: str, folder: str) -> dict[str, Any]:
    if kind == "log":
        return {"appendonly": True, "dir": folder, "appendfsync": "always"}
    if kind == "memory":
        return {"maxmemory": "300kb", "maxmemory_policy": "noeviction"}
    return {"threads": 3} if kind == "threads" else {}


@pytest.fixture(params=["plain", "threads", "decoding", "memory", "log"])
def two(request: pytest.FixtureRequest) -> Iterator[tuple[kevyrt.Server, kevyrt.Server]]:
    decodes = request.param == "decoding"
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        made = [
            kevyrt.Server(port=None, decode_responses=decodes, **settings(request.param, folder))
            for folder in (first, second)
        ]
        with made[0], made[1]:
            yield made[0], made[1]


def compare(mine: Any, its: Any, name: str, maker: Maker, usable: list[tuple[Any, bytes]]) -> None:
    arguments, sent = maker(lambda: random.choice(usable))
    again = (list(arguments[0]),) if name == "mget" else arguments
    result = outcome(lambda: getattr(mine, name)(*again))
    reply = outcome(lambda: its.execute(*sent))
    if isinstance(reply, tuple):
        assert result == reply, (name, arguments)
    else:
        assert same(name, result, reply), (name, arguments, result, reply)


def test_the_same_as_execute(two: tuple[kevyrt.Server, kevyrt.Server]) -> None:
    fast, plain = two
    random.seed(5)
    decodes = isinstance(fast.execute("ECHO", "x"), str)
    usable = [word for word in WORDS if not (decodes and b"\xff" in word[1])]
    with fast.session() as mine, plain.session() as its:
        faces: list[tuple[Any, Any]] = [(fast, plain), (mine, its)]
        faces.append((fast.database(3), plain.database(3)))
        for step in range(1500):
            name = random.choice(list(METHODS))
            compare(*faces[step % 3], name, METHODS[name][1], usable[: 4 + step % 16])
    assert fast.dbsize() == plain.execute("DBSIZE")


def test_options_of_all_kinds(server: kevyrt.Server) -> None:
    assert server.set("k", "v", ex=timedelta(seconds=50)) is True and 40 < server.ttl("k") <= 50
    assert server.set("k", "w", nx=True) is None and server.set("k", "w", get=True) == b"v"
    assert server.set("k", "w", px=50_000, xx=True) is True
    assert server.set("k", "x", keepttl=True) is True and server.ttl("k") > 0
    assert server.set(name="k", value="y") is True and server.get(name="k") == b"y"
    assert server.expire("k", timedelta(seconds=30)) is True
    assert server.expire("k", 10, gt=True) is False and server.expire("k", 10, lt=True) is True
    assert server.hset("h", "f", 1) == 1 and server.hset("h", mapping={"g": 2, "f": 3}) == 1
    assert server.hset("h", items=["i", 4, "j", 5]) == 2 and server.hget("h", "g") == b"2"
    assert server.zadd("z", {"a": 1}, nx=True) == 1 and server.zadd("z", {"a": 2}, incr=True) == 3.0
    assert server.zadd("z", {"a": 9, "b": 1}, ch=True, gt=True) == 2
    assert server.incr("n") == 1 and server.incr("n", amount=4) == 5
    assert server.lpush("l", 1, 2, 3) == 3 and server.rpop("l", 2) == [b"1", b"2"]
    assert server.rpop("l", count=None) == b"3" and server.rpop("l") is None
    assert server.mget("k", "none") == [b"y", None] and server.mget(["k"], "none") == [b"y", None]


def test_iterators_are_asked_once(server: kevyrt.Server) -> None:
    server.rpush("l", "x", "y")
    assert server.blpop(iter(["none", "l"]), None) == (b"l", b"x")
    assert server.blpop(iter(["none", "l"]), 1) == (b"l", b"y")
    assert server.mget(iter(["a", "b"])) == [None, None]
    assert server.mset(dict.fromkeys("ab", 1)) is True and server.mget(iter("ab")) == [b"1"] * 2


@pytest.mark.parametrize("wrong", [None, True, object(), ["x"], {"x": 1}, 1j])
def test_arguments_of_other_types(server: kevyrt.Server, wrong: object) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: server.get(wrong),  # type: ignore[arg-type]
        lambda: server.set("k", wrong),  # type: ignore[arg-type]
        lambda: server.delete("k", wrong),  # type: ignore[arg-type]
        lambda: server.lpush("l", wrong),  # type: ignore[arg-type]
        lambda: server.mget(["k", wrong]),  # type: ignore[list-item]
        lambda: server.mset({"k": wrong}),  # type: ignore[dict-item]
        lambda: server.pipeline().sadd("k", wrong),  # type: ignore[arg-type]
    ]
    for call in calls:
        with pytest.raises(TypeError):
            call()
    assert server.dbsize() == 0


def test_wrong_numbers_of_arguments(server: kevyrt.Server) -> None:
    for call in (
        lambda: server.get(),  # type: ignore[call-arg]
        lambda: server.get("a", "b"),  # type: ignore[call-arg]
        lambda: server.set("a"),  # type: ignore[call-arg]
        lambda: server.hget("a"),  # type: ignore[call-arg]
        lambda: server.ttl("a", "b"),  # type: ignore[call-arg]
        lambda: server.get("a", name="b"),  # type: ignore[call-arg,misc]
        lambda: server.incr("a", 1, 2),  # type: ignore[call-arg]
    ):
        with pytest.raises(TypeError):
            call()


def test_huge_numbers_of_arguments(server: kevyrt.Server) -> None:
    count = 100_000
    assert server.sadd("s", *range(count)) == count
    assert server.lpush("l", *(b"x" for _ in range(count))) == count
    assert server.mset({f"k{i}": i for i in range(count)}) is True
    assert server.mget([f"k{i}" for i in range(count)]) == [b"%d" % i for i in range(count)]
    assert server.exists(*(f"k{i}" for i in range(count))) == count


def test_a_list_that_changes_while_it_is_read(server: kevyrt.Server) -> None:
    words: list[Any] = []

    class Growing:
        """A buffer whose reading changes the list (PEP 688); before that it is a wrong type."""

        def __buffer__(self, flags: int) -> memoryview:
            words.append("more") if len(words) < 40 else words.clear()
            return memoryview(b"grown")

    for _ in range(3):
        words[:] = ["a", Growing(), "b", Growing(), "c"]
        try:
            assert len(server.mget(words)) >= 2
        except TypeError as error:
            assert "Growing" in str(error)


def test_buffers_that_another_thread_changes(server: kevyrt.Server) -> None:
    buffer, done = bytearray(b"x" * 1000), threading.Event()

    def change() -> None:
        while not done.is_set():
            for letter in b"xyz":
                buffer[:] = bytes([letter]) * len(buffer)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(300):
            server.set("k", buffer)
            pipe = server.pipeline().set("p", memoryview(buffer)).get("p")
            value = pipe.execute()[1]
            assert len(set(value)) == 1 and len(set(server["k"])) == 1
    finally:
        done.set()
        thread.join()


def test_during_a_pause(server: kevyrt.Server) -> None:
    server.set("k", 1)
    server.execute("CLIENT", "PAUSE", 300, "WRITE")
    assert server.get("k") == b"1" and server.mget("k") == [b"1"]
    assert server.pipeline(False).get("k").execute() == [b"1"]
    assert server.incr("k") == 2
    server.execute("CLIENT", "PAUSE", 200, "ALL")
    assert server.pipeline(False).incr("k").get("k").execute() == [3, b"3"]
    server.execute("CLIENT", "PAUSE", 200, "ALL")
    assert server.pipeline().incr("k").get("k").execute() == [4, b"4"]
