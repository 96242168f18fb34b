"""Keyspace notifications: which events, in which channels, in which order.

One connection subscribes to all of them; what it is told while another plays commands is compared
with the oracle's.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator

import pytest
from harness.cases import case
from harness.client import Connection, connections
from harness.compare import Oracle
from harness.process import Server
from harness.resp import Reply, encode_all

Start = Callable[..., Server]
END = b"the end"

# Each line is played on an empty server; commands are separated by semicolons.
SCRIPTS = {
    "strings": """
SET $0 v; SET $0 w; GET $0; SETNX $0 x; SETNX $1 x; SETEX $2 100 v; PSETEX $2 100000 v
SET $0 v EX 100; SET $0 v KEEPTTL; SET $0 v PX 100000 GET; SET $0 v NX; SET $1 v XX
GETSET $0 a; GETSET $0 b; GETDEL $0; GETDEL $0; GET $0
SET $0 v; GETEX $0; GETEX $0 EX 100; GETEX $0 PERSIST; GETEX $0 PERSIST; GETEX $0 EXAT 1
APPEND $0 a; APPEND $0 b; SETRANGE $1 5 x; SETRANGE $1 0 y; SETRANGE $2 0 ''; STRLEN $0
INCR $0; INCR $0; INCRBY $1 5; DECR $2; DECRBY $2 5; INCRBYFLOAT $3 1.5; INCRBYFLOAT $3 1
MSET $0 a $1 b $2 c; MSET $0 a $0 b; MSETNX $0 a $3 b; MSETNX $3 a $4 b
SETBIT $0 7 1; SETBIT $0 7 0; BITOP AND $1 $0 $0; BITOP OR $1 $2 $3; BITOP OR $1 $2 $3
BITFIELD $0 SET u8 0 5; BITFIELD $0 INCRBY u8 0 5; BITFIELD $0 GET u8 0
PFADD $0 a b; PFADD $0 a; PFCOUNT $0 $1; PFMERGE $1 $0; PFADD $2
    """,
    "keys": """
SET $0 v; DEL $0; DEL $0; SET $0 v; UNLINK $0 $1; MSET $0 a $1 b $2 c; DEL $2 $9 $0 $1
SET $0 v; EXPIRE $0 100; EXPIRE $0 100 NX; PERSIST $0; PERSIST $0; PEXPIRE $0 100000
SET $0 v; EXPIRE $0 -1; SET $0 v; EXPIREAT $0 1; SET $0 v; PEXPIREAT $0 1; EXPIRE $0 1
SET $0 v; RENAME $0 $1; RENAME $1 $1; SET $0 w; RENAME $0 $1; RENAMENX $1 $2; SET $0 a
SET $0 v; SET $1 w; RENAMENX $0 $1; COPY $0 $2; COPY $0 $1; COPY $0 $1 REPLACE
SET $0 v; COPY $0 $1 DB 3; MOVE $0 3; MOVE $0 2; SELECT 3; DEL $1; SELECT 2; GET $0; DEL $0
SET $0 v; TOUCH $0 $1; EXISTS $0 $1; TYPE $0; TYPE $1; TTL $1; OBJECT ENCODING $1; OBJECT FREQ $1
SET $0 v; FLUSHDB; SET $0 v; FLUSHALL; SET $0 v; SWAPDB 0 1; SWAPDB 0 1; DBSIZE; RANDOMKEY
RPUSH $0 3 1 2; SORT $0 STORE $1; SORT $0; SORT $9 STORE $1; SORT $9 STORE $1
    """,
    "lists": """
LPUSH $0 a b; RPUSH $0 c; LPUSHX $0 d; RPUSHX $1 x; LPUSHX $1 x; LINSERT $0 BEFORE a z
RPUSH $0 a b c; LPOP $0; RPOP $0; LPOP $0; LPOP $0; RPOP $0; LPOP $0 2; RPOP $0 0
RPUSH $0 a b c d; LPOP $0 2; RPOP $0 5; RPUSH $0 a; LSET $0 0 b; LREM $0 0 x; LREM $0 0 b
RPUSH $0 a b c; LTRIM $0 0 1; LTRIM $0 5 9; LTRIM $0 0 1; RPUSH $0 a; LTRIM $0 0 9
RPUSH $0 a b; RPOPLPUSH $0 $1; RPOPLPUSH $0 $1; RPOPLPUSH $0 $1; RPOPLPUSH $1 $1
RPUSH $0 a b; LMOVE $0 $1 LEFT RIGHT; LMOVE $0 $1 RIGHT LEFT; LMOVE $1 $1 LEFT RIGHT
RPUSH $0 a b c; LMPOP 2 $1 $0 LEFT; LMPOP 2 $1 $0 RIGHT COUNT 5; LMPOP 2 $1 $0 LEFT
LLEN $0; LRANGE $0 0 -1; LINDEX $0 0; LPOS $0 a; RPUSH $0 a; LINSERT $0 AFTER x y
    """,
    "sets": """
SADD $0 a b; SADD $0 a; SADD $0 c; SREM $0 x; SREM $0 a; SREM $0 b c; SREM $0 a
SADD $0 a; SPOP $0; SPOP $0; SADD $0 a b c; SPOP $0 2; SPOP $0 5; SPOP $0 5; SADD $0 a; SPOP $0 0
SADD $0 a b; SMOVE $0 $1 a; SMOVE $0 $1 x; SMOVE $0 $1 b; SMOVE $1 $1 a; SADD $0 a; SMOVE $0 $1 a
SADD $0 a b; SADD $1 b c; SINTERSTORE $2 $0 $1; SUNIONSTORE $3 $0 $1; SDIFFSTORE $4 $0 $1
SADD $0 a; SINTERSTORE $0 $8 $9; SUNIONSTORE $0 $8 $9; SDIFFSTORE $0 $8 $9; SADD $0 a
SINTER $0 $1; SUNION $0 $1; SDIFF $0 $1; SINTERCARD 2 $0 $1; SISMEMBER $0 a; SMISMEMBER $0 a b
SCARD $0; SMEMBERS $0; SRANDMEMBER $0; SRANDMEMBER $0 3; SSCAN $0 0
    """,
    "hashes": """
HSET $0 f v; HSET $0 f v g w; HSETNX $0 f x; HSETNX $0 h x; HMSET $0 a b; HGET $0 f; HGET $1 f
HSET $0 f v; HDEL $0 x; HDEL $0 f; HDEL $0 f; HSET $0 a b c d; HDEL $0 a c
HINCRBY $0 f 5; HINCRBY $0 f 5; HINCRBYFLOAT $0 g 1.5; HINCRBYFLOAT $1 g 1.5
HGETALL $0; HKEYS $0; HVALS $0; HLEN $0; HMGET $0 f; HEXISTS $0 f; HSTRLEN $0 f; HSCAN $0 0
HRANDFIELD $0; HRANDFIELD $0 3
    """,
    "sorted-sets": """
ZADD $0 1 a 2 b; ZADD $0 1 a; ZADD $0 3 a; ZADD $0 XX 5 x; ZADD $0 INCR 2 a; ZADD $0 NX 1 a
ZADD $0 1 a; ZINCRBY $0 5 a; ZINCRBY $0 0 a; ZREM $0 x; ZREM $0 a; ZREM $0 a; ZINCRBY $0 1 a
ZADD $0 1 a 2 b 3 c; ZREMRANGEBYRANK $0 0 0; ZREMRANGEBYSCORE $0 2 2; ZREMRANGEBYLEX $0 - +
ZADD $0 1 a; ZREMRANGEBYRANK $0 5 9; ZREMRANGEBYSCORE $0 5 9; ZREMRANGEBYLEX $0 [x [z
ZADD $0 1 a 2 b 3 c; ZPOPMIN $0; ZPOPMAX $0 5; ZPOPMIN $0; ZPOPMAX $0; ZPOPMIN $0 0
ZADD $0 1 a 2 b; ZMPOP 2 $1 $0 MIN; ZMPOP 2 $1 $0 MAX COUNT 5; ZMPOP 1 $0 MIN
ZADD $0 1 a; ZADD $1 2 b; ZUNIONSTORE $2 2 $0 $1; ZINTERSTORE $2 2 $0 $1; ZINTERSTORE $2 2 $0 $1
ZADD $0 1 a; ZDIFFSTORE $2 1 $0; ZDIFFSTORE $2 2 $1 $0; ZRANGESTORE $3 $0 0 1; ZRANGESTORE $3 $1 0 1
ZRANGE $0 0 -1; ZRANGEBYSCORE $0 0 1; ZSCORE $0 a; ZMSCORE $0 a; ZRANK $0 a; ZCARD $0; ZCOUNT $0 0 1
ZINTER 2 $0 $1; ZUNION 2 $0 $1; ZDIFF 2 $0 $1; ZRANDMEMBER $0; ZLEXCOUNT $0 - +; ZSCAN $0 0
GEOADD $0 1 1 a; GEOADD $0 1 1 a; GEOSEARCHSTORE $1 $0 FROMLONLAT 1 1 BYRADIUS 10 km
GEOSEARCHSTORE $1 $0 FROMLONLAT 1 1 BYRADIUS 10 km; GEOPOS $0 a; GEODIST $0 a b; GEOHASH $0 a
    """,
    "streams": """
XADD $0 1-1 f v; XADD $0 1-2 f v; XADD $0 MAXLEN 1 1-3 f v; XADD $1 NOMKSTREAM 1-1 f v; XLEN $0
XADD $0 1-1 f v; XDEL $0 1-1; XDEL $0 1-1; XADD $0 2-1 f v; XTRIM $0 MAXLEN 0; XTRIM $0 MAXLEN 0
XADD $0 1-1 f v; XSETID $0 5-0; XGROUP CREATE $0 g 0; XGROUP CREATECONSUMER $0 g c; XSETID $0 6-0
XGROUP CREATE $0 g $ MKSTREAM; XGROUP CREATECONSUMER $0 g c; XGROUP CREATECONSUMER $0 g c; XLEN $1
XADD $0 1-1 f v; XGROUP CREATE $0 g 0; XREADGROUP GROUP g c STREAMS $0 >; XACK $0 g 1-1
XADD $0 1-1 f v; XGROUP CREATE $0 g 0; XREADGROUP GROUP g c STREAMS $0 >; XGROUP DELCONSUMER $0 g c
XADD $0 1-1 f v; XGROUP CREATE $0 g 0; XREADGROUP GROUP g c STREAMS $0 >; XCLAIM $0 g d 0 1-1
XADD $0 1-1 f v; XGROUP CREATE $0 g 0; XREADGROUP GROUP g c STREAMS $0 >; XAUTOCLAIM $0 g d 0 0
XADD $0 1-1 f v; XGROUP CREATE $0 g 0; XGROUP DESTROY $0 g; XGROUP DESTROY $0 g; XRANGE $1 - +
XINFO STREAM $1; XREAD STREAMS $1 0; XREVRANGE $1 + -; XPENDING $1 g
    """,
}
LINES = [
    pytest.param(line.strip(), id=f"{name}-{index}")
    for name, script in SCRIPTS.items()
    for index, line in enumerate(script.strip().splitlines())
]
CLASSES = ["KEA", "KEAmn", "Kn", "Em", "K$", "E$gxe", "Kz", "", "K", "A", "lshzt", "KElshzt"]


def _words(server: Server, keys: list[str], command: str) -> list[str]:
    words = shlex.split(command)
    return [keys[int(word[1:])] if re.fullmatch(r"\$[0-9]", word) else word for word in words]


class Listener:
    """Hears of everything, and names keys as scripts do."""

    def __init__(self, server: Server) -> None:
        self.keys = server.spread(10)
        self.connection = server.connect()
        self.connection.do("PSUBSCRIBE", "*")

    def heard(self, publisher: Connection) -> list[tuple[str, str]]:
        """What was published since it was asked last."""
        publisher.do("PUBLISH", "end", END)
        return list(self.until_the_end())

    def until_the_end(self) -> Iterator[tuple[str, str]]:
        while True:
            message: Reply = self.connection.read()
            channel, body = (item.value for item in message.value[2:])
            if body == END:
                return
            yield self._named(channel), self._named(body)

    def _named(self, text: bytes) -> str:
        for key in sorted(self.keys, key=len, reverse=True):
            text = text.replace(key.encode(), b"$%d" % self.keys.index(key))
        return text.decode()


def _play(server: Server, classes: str, commands: str) -> list[tuple[str, str]]:
    server.flush()
    listener = Listener(server)
    with server.connect() as client:
        client.do("CONFIG", "SET", "notify-keyspace-events", classes)
        for command in commands.split(";"):
            client.do(*_words(server, listener.keys, command))
        client.do("CONFIG", "SET", "notify-keyspace-events", "")
        heard = listener.heard(client)
    listener.connection.close()
    return heard


@pytest.mark.parametrize("line", LINES)
def test_events_of_commands(line: str, subject: Server, oracle: Oracle) -> None:
    assert _play(subject, "KEAmn", line) == _play(oracle.server, "KEAmn", line)


@pytest.mark.parametrize("classes", CLASSES)
def test_classes(classes: str, subject: Server, oracle: Oracle) -> None:
    commands = (
        "SET $0 v; GET $9; RPUSH $1 a; SADD $2 a; HSET $3 f v; ZADD $4 1 a; XADD $5 1-1 f v;"
        "DEL $1;"
        "EXPIRE $0 -1; SET $0 v PX 1; DEBUG SLEEP 0.01; GET $0; RENAME $2 $7; LPOP $6"
    )
    assert _play(subject, classes, commands) == _play(oracle.server, classes, commands)


def _listen(server: Server, classes: str) -> Listener:
    server.flush()
    listener = Listener(server)
    with server.connect() as client:
        client.do("CONFIG", "SET", "notify-keyspace-events", classes)
    return listener


def test_what_expires_is_told_without_being_asked_for(own: Start) -> None:
    server = own()
    listener = _listen(server, "KEx")
    with server.connect() as client:
        for key in listener.keys:
            client.do("SET", key, "v", "PX", 20)
    told = {listener.connection.read().value[3].value for _ in range(20)}
    assert told == {b"expired", *(key.encode() for key in listener.keys)}


def test_what_is_evicted_is_told(own: Start) -> None:
    server = own("--maxmemory-policy", "allkeys-random")
    listener = _listen(server, "Ee")
    with server.connect() as client:
        used = int(re.search(rb"used_memory:([0-9]+)", client.do("INFO", "memory").value)[1])
        client.do("CONFIG", "SET", "maxmemory", used + 1_000_000)
        names = {f"k{i}".encode() for i in range(3000)}
        for name in names:
            client.do("SET", name, b"x" * 1000)
        client.do("CONFIG", "SET", "maxmemory", 0)  # redis-server goes on evicting between commands
        stats = client.do("INFO", "stats").value
        evicted = int(re.search(rb"evicted_keys:([0-9]+)", stats)[1])
        heard = listener.heard(client)
    assert evicted > 0
    assert len(heard) == evicted
    assert {channel for channel, _ in heard} == {"__keyevent@0__:evicted"}
    assert {body.encode() for _, body in heard} <= names


def test_a_writer_that_listens_is_told_behind_the_reply(own: Start) -> None:
    """As PUBLISH to oneself: redis/redis#12326."""
    server = own("--notify-keyspace-events", "KEA")
    with server.connect() as client:
        client.do("HELLO", 3)
        client.do("PSUBSCRIBE", "__key*")
        for key in server.spread(10):
            client.send(encode_all([("SET", key, "v"), ("GET", key)]))
            replies = client.read_many(4)
            kinds = [reply.kind for reply in replies]
            behind = ["simple", "push", "push", "bulk"]
            assert kinds == (["push", "push", "simple", "bulk"] if server.is_redis else behind)


def test_events_of_a_key_come_in_the_order_of_its_writes(own: Start) -> None:
    """Writers, keys and listeners on different shards: two listeners hear the same."""
    server = own("--notify-keyspace-events", "KEA")
    listeners = [Listener(server) for _ in range(3)]
    with connections(server.address, 4) as writers:
        for turn in range(50):
            for at, writer in enumerate(writers):
                keys = [*listeners[0].keys[at:], *listeners[0].keys[:at]]
                writer.send(
                    encode_all(
                        [("SET", key, f"{turn}") for key in keys]
                        + [("MSET", *(word for key in keys for word in (key, "v")))]
                    )
                )
            for writer in writers:
                writer.read_many(len(listeners[0].keys) + 1)
        writers[0].do("PUBLISH", "end", END)
    heard = [list(listener.until_the_end()) for listener in listeners]
    assert heard[0] == heard[1] == heard[2]
    assert len(heard[0]) == 50 * 4 * 20 * 2
    assert all(first[0].startswith("__keyspace") for first in heard[0][::2])


FLAGS = [
    "KEA",
    "AmKn",
    "nmEKdtexzhsl$g",
    "KEg$lshzxetd",
    "gggg",
    "Kx",
    "n",
    "An",
    "Q",
    "KE A",
    "m",
    "",
]


@pytest.mark.parametrize("flags", FLAGS)
def test_flags_read_as_redis_writes_them(flags: str, subject: Server, oracle: Oracle) -> None:
    a_case = case(
        f"notify-flags-{flags}",
        ("CONFIG", "SET", "notify-keyspace-events", flags),
        "CONFIG GET notify-keyspace-events",
        ("CONFIG", "SET", "notify-keyspace-events", ""),
    )
    oracle.check(a_case, subject)
