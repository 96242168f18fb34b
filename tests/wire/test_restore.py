"""RESTORE: values from payloads of redis-server's, of ours, of old versions, and of nobody's."""

from __future__ import annotations

import random

import pytest
from harness.cases import Case, Do, Key, Sleep, case, mask_remaining
from harness.client import Connection
from harness.compare import Oracle
from harness.process import Server
from harness.rdb_files import OLD_VALUES, OldValue, footer, length, payload, text
from harness.resp import OK, Reply, encode, render
from harness.values import VALUES

SOON = mask_remaining(1000)
VALUE = payload(OLD_VALUES["string"])
LIST = payload(OLD_VALUES["list"])
TIMES = {b"seen-time", b"active-time", b"inactive", b"idle"}
LAID_OUT = {b"radix-tree-keys", b"radix-tree-nodes"}
BAD_FORMAT = "ERR Bad data format"


def _without_times(reply: Reply) -> Reply:
    """XINFO STREAM FULL without clocks, and without what 7.4 has beside 7.0."""
    if reply.kind != "array":
        return reply
    items = [_without_times(item) for item in reply.value]
    for at, item in enumerate(items[:-1]):
        if item.kind == "bulk" and item.value in TIMES | LAID_OUT:
            items[at + 1] = Reply("integer", 0)
    names = [
        at for at, item in enumerate(items) if item.kind == "bulk" and item.value == b"active-time"
    ]
    for at in names:
        del items[at : at + 2]
    return Reply("array", tuple(items))


def _shown(server: Connection, key: str) -> list[str]:
    """All that can be told of a value, but for how it is kept."""
    replies = [server.do("DEBUG", "DIGEST-VALUE", key), server.do("TYPE", key)]
    if replies[1].value == b"stream":
        replies.append(_without_times(server.do("XINFO", "STREAM", key, "FULL", "COUNT", 0)))
        replies.append(server.do("XINFO", "GROUPS", key))
    return [render(reply) for reply in replies]


def _deadlines(server: Connection, key: str) -> list[Reply]:
    """Of a hash's fields."""
    names = [b"stays", b"early", b"late", b"same"]
    is_timed = (
        server.do("TYPE", key).value == b"hash" and not server.do("HEXISTS", key, b"name").value
    )
    return [server.do("HPEXPIRETIME", key, "FIELDS", 4, *names)] if is_timed else []


def _make(connection: Connection, name: str, key: str) -> None:
    for reply in connection.pipeline(VALUES[name](key)):
        assert reply.kind != "error", render(reply)


# ---- Of redis-server's ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["string", "list", "set", "sorted", "hash", "stream"])
def test_of_redis(kind: str, few: Server, oracle: Oracle) -> None:
    oracle.server.flush()
    names = [name for name in VALUES if name.startswith(kind)]
    with oracle.server.connect() as redis, few.connect() as connection:
        for name in names:
            key = f"value:{name}"
            _make(redis, name, key)
            dumped = redis.do("DUMP", key).value
            assert connection.do("RESTORE", key, 0, dumped) == OK, name
            assert _shown(connection, key) == _shown(redis, key), name
            _make(connection, name, "made")
            encodings = [connection.do("OBJECT", "ENCODING", k).value for k in (key, "made")]
            assert encodings[0] == encodings[1], name
            again = connection.do("DUMP", key).value
            assert redis.do("RESTORE", "again", 0, again, "REPLACE") == OK, name
            assert _shown(redis, "again") == _shown(redis, key), name
            connection.do("DEL", "made")


# ---- Of old versions -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", OLD_VALUES)
def test_of_old_versions(name: str, few: Server, oracle: Oracle) -> None:
    value = OLD_VALUES[name]
    oracle.server.flush()
    with oracle.server.connect() as redis, few.connect() as connection:
        if few.is_redis and value.since > (7, 0):
            assert connection.do("RESTORE", "key", 0, payload(value)).value == BAD_FORMAT.encode()
            return
        assert connection.do("RESTORE", "key", 0, payload(value)) == OK
        shown = _shown(connection, "key")
        if value.since <= (7, 0):
            assert redis.do("RESTORE", "key", 0, payload(value)) == OK
            assert shown == _shown(redis, "key")
        if connection.do("TYPE", "key").value != b"stream":
            for reply in connection.pipeline(value.commands_for("made")):
                assert reply.kind != "error", render(reply)
            assert shown == _shown(connection, "made")
            assert _deadlines(connection, "key") == _deadlines(connection, "made")
            encodings = [connection.do("OBJECT", "ENCODING", k).value for k in ("key", "made")]
            assert encodings[0] == encodings[1]


def test_stream_that_another_version_wrote(few: Server) -> None:
    """What all three forms have is the same; of the first, what was added is not known."""
    newest = 2 if few.is_redis else 3
    with few.connect() as connection:
        seen = []
        for form in range(1, newest + 1):
            key = f"stream:{form}"
            assert connection.do("RESTORE", key, 0, payload(OLD_VALUES[f"stream-{form}"])) == OK
            pending = connection.do("XPENDING", key, "first", "-", "+", 10).value
            owners = [(p.value[0].value, p.value[1].value, p.value[3].value) for p in pending]
            entries = connection.do("XRANGE", key, "-", "+")
            added = connection.do("XADD", key, "300-*", "f", "v").value
            seen.append((owners, render(entries), added))
        assert seen[0][0] == [(b"100-1", b"bob", 1), (b"101-0", b"alice", 9)]
        assert seen[0][2] == b"300-8"
        assert seen == [seen[0]] * newest


# ---- Of nobody's ---------------------------------------------------------------------------------


def _broken(value: OldValue, rng: random.Random) -> bytes:
    """With another checksum, so that it is looked at."""
    body = bytearray(bytes([value.type]) + value.body)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        if not body or rng.random() < 0.2:
            body.insert(rng.randrange(len(body) + 1), rng.randrange(256))
        elif rng.random() < 0.2:
            del body[rng.randrange(len(body)) :]
        else:
            body[rng.randrange(len(body))] = rng.choice((0, 255, 254, 127, rng.randrange(256)))
    return footer(bytes(body), 10)


@pytest.mark.parametrize("name", [n for n in OLD_VALUES if n != "set-intset-large"])
def test_broken(name: str, few: Server) -> None:
    """Refused, or some value: whatever is there can be used. redis-server is not made for it."""
    rng = random.Random(name)
    with few.connect() as connection:
        if few.is_redis:
            assert connection.do("RESTORE", "k", 0, b"").kind == "error"
            return
        payloads = [_broken(OLD_VALUES[name], rng) for _ in range(60)]
        replies = connection.pipeline([("RESTORE", "k", 0, p, "REPLACE") for p in payloads])
        refused = sum(reply.value == BAD_FORMAT.encode() for reply in replies)
        assert refused + sum(reply == OK for reply in replies) == len(payloads)
        assert refused > 3
        connection.pipeline([("DEBUG", "DIGEST-VALUE", "k"), ("DUMP", "k")])
        assert connection.do("PING").value == b"PONG"


def _refused(name: str, *bodies: bytes) -> Case:
    steps = [("RESTORE", Key(0), "0", footer(body, 10)) for body in bodies]
    return case(name, *steps, "EXISTS $0")


def _twice(kind: int, element: bytes) -> bytes:
    return bytes([kind]) + length(2) + element + element


CASES = [
    case(
        "restore",
        ("RESTORE", Key(0), "0", VALUE),
        "GET $0",
        "TTL $0",
        ("RESTORE", Key(0), "0", VALUE),
        ("restore", Key(0), "0", LIST, "replace"),
        "LRANGE $0 0 3",
        ("RESTORE", Key(1), "1000000", VALUE),
        Do("TTL $1", mask=SOON),
        ("RESTORE", Key(1), "0", VALUE, "REPLACE"),
        "TTL $1",
        ("RESTORE", Key(1), "4000000000000", VALUE, "REPLACE", "ABSTTL"),
        "PEXPIRETIME $1",
        ("RESTORE-ASKING", Key(2), "0", VALUE),
        "GET $2",
        "MULTI",
        ("RESTORE", Key(0), "0", VALUE, "REPLACE"),
        ("RESTORE", Key(0), "0", VALUE),
        "GET $0",
        "EXEC",
    ),
    case(
        "restore-errors",
        "RESTORE",
        "RESTORE $0 0",
        "RESTORE $0 x x",
        "RESTORE $0 -1 x",
        "RESTORE $0 0 x",
        "RESTORE $0 0 ''",
        "RESTORE $0 0 0123456789",
        "RESTORE $0 x x NONSENSE",
        "RESTORE $0 x x REPLACE NONSENSE",
        "RESTORE $0 x x IDLETIME",
        "RESTORE $0 x x IDLETIME x",
        "RESTORE $0 x x IDLETIME -1",
        "RESTORE $0 x x FREQ",
        "RESTORE $0 x x FREQ x",
        "RESTORE $0 x x FREQ -1",
        "RESTORE $0 x x FREQ 256",
        "RESTORE $0 x x FREQ 5 IDLETIME 5",
        "RESTORE $0 x x IDLETIME 5 FREQ 5",
        "RESTORE $0 x x IDLETIME 5 IDLETIME 6",
        ("RESTORE", Key(0), "0", VALUE[:-1] + b"x"),
        ("RESTORE", Key(0), "0", VALUE[1:]),
        ("RESTORE", Key(0), "0", footer(VALUE[:-10], 99)),
        ("RESTORE", Key(0), "0", VALUE[:-8] + bytes(8)),
        ("RESTORE", Key(0), "9223372036854775808", VALUE),
        "SET $0 v",
        "RESTORE $0 x x",
        "RESTORE $0 x x REPLACE",
        "RESTORE $0 -1 x REPLACE",
        ("RESTORE", Key(0), "-1", VALUE, "REPLACE"),
        ("RESTORE", Key(0), "0", VALUE[:-1] + b"x", "REPLACE"),
        ("RESTORE", Key(0), "0", footer(b"\x63", 10), "REPLACE"),
        "GET $0",
    ),
    case(
        "restore-past",
        ("RESTORE", Key(0), "1", VALUE, "ABSTTL"),
        "EXISTS $0",
        "SET $0 v",
        ("RESTORE", Key(0), "1", VALUE, "ABSTTL"),
        ("RESTORE", Key(0), "1", footer(b"\x00\x7f", 10), "ABSTTL", "REPLACE"),
        "GET $0",
        ("RESTORE", Key(0), "1", VALUE, "ABSTTL", "REPLACE"),
        "EXISTS $0",
        ("RESTORE", Key(0), "9223372036854775807", VALUE),
        "EXISTS $0",
        "SET $1 v PX 10",
        Sleep(0.02),
        ("RESTORE", Key(1), "0", VALUE),
        "SET $2 v PX 10",
        Sleep(0.02),
        ("RESTORE", Key(2), "0", LIST, "REPLACE"),
        "LLEN $2",
    ),
    case(
        "restore-idle",
        ("RESTORE", Key(0), "0", VALUE, "IDLETIME", "1000"),
        Do("OBJECT IDLETIME $0", mask=SOON),
        ("RESTORE", Key(1), "0", LIST, "FREQ", "7"),
        "OBJECT IDLETIME $1",
        "OBJECT FREQ $1",
        ("RESTORE", Key(0), "0", VALUE, "REPLACE"),
        "OBJECT IDLETIME $0",
    ),
    _refused(
        "restore-empty",
        *(bytes([kind]) + length(0) for kind in (1, 2, 3, 4, 5, 14, 18)),
        *(bytes([kind]) + text(b"") for kind in (9, 10, 11, 12, 13, 16, 17)),
        b"",
        b"\x06",
        b"\x07\x00",
        b"\x08",
        b"\xfa",
        b"\xff",
    ),
    _refused(
        "restore-twice",
        _twice(2, text(b"member")),
        _twice(3, text(b"member") + b"\x011"),
        _twice(5, text(b"m") + bytes(8)),
    ),
    _refused(
        "restore-not-a-number",
        bytes([5]) + length(1) + text(b"m") + b"\x00\x00\x00\x00\x00\x00\xf8\x7f",
        bytes([3]) + length(1) + text(b"m") + b"\xfd",
    ),
]


@pytest.mark.parametrize("a_case", CASES, ids=lambda c: c.name)
def test_restore(a_case: Case, subject: Server, oracle: Oracle) -> None:
    oracle.check(a_case, subject)


def test_serves_who_waits(subject: Server) -> None:
    with subject.connect() as waiting, subject.connect() as control:
        waiting.send(encode("BLPOP", "queue", 0))
        while b"blocked_clients:1\r\n" not in control.do("INFO", "clients").value:
            pass
        assert control.do("RESTORE", "queue", 0, LIST) == OK
        reply = waiting.read()
        assert [item.value for item in reply.value] == [b"queue", b"one"]


def test_events(subject: Server) -> None:
    with subject.connect() as listener, subject.connect() as control:
        control.do("CONFIG", "SET", "notify-keyspace-events", "KEA")
        listener.do("PSUBSCRIBE", "__keyevent@*")
        control.do("RESTORE", "key", 0, VALUE)
        control.do("RESTORE", "key", 100000, VALUE, "REPLACE")
        control.do("RESTORE", "key", 1, VALUE, "REPLACE", "ABSTTL")
        events = [listener.read().value[2].value for _ in range(3)]
        control.do("CONFIG", "SET", "notify-keyspace-events", "")
        assert events == [b"__keyevent@0__:restore"] * 2 + [b"__keyevent@0__:del"]
