"""Calls of every method, as data: what is there before, which method, which arguments.

test_three_ways.py makes each of them in every way there is, and test_signatures.py finds out of it
that no method is forgotten.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

FAR = 4_102_444_800  # 2100-01-01, in seconds
FAR_DATE = datetime.datetime.fromtimestamp(FAR)


@dataclass(frozen=True)
class Call:
    method: str
    args: tuple[Any, ...]
    options: dict[str, Any]
    before: tuple[str, ...] = ()  # commands, their words divided by spaces
    view: Callable[[Any], Any] | None = None  # what of the result is compared
    session: bool = False  # what it is about is a connection
    since: tuple[int, int] = (0, 0)  # the Redis that has it
    oracle: bool = True  # does redis-server give the same?

    def __str__(self) -> str:
        words = [repr(value) for value in self.args]
        words += [f"{name}={value!r}" for name, value in self.options.items()]
        return f"{self.method}({', '.join(words)})"


CALLS: list[Call] = []


def call(method: str, *args: Any, **options: Any) -> None:
    CALLS.append(Call(method, args, options, *_context))


_context: tuple[Any, ...] = ((),)


class given:
    """The context of the calls in a `with` block."""

    def __init__(
        self,
        *before: str,
        view: Callable[[Any], Any] | None = None,
        session: bool = False,
        since: tuple[int, int] = (0, 0),
        oracle: bool = True,
    ) -> None:
        self.context = (before, view, session, since, oracle)

    def __enter__(self) -> None:
        global _context
        _context = self.context

    def __exit__(self, *_: object) -> None:
        global _context
        _context = ((),)


# ---- Views of results that cannot be the same ----------------------------------------------------


def kinds(value: Any) -> Any:
    """Types instead of values; keys stay."""
    if isinstance(value, dict):
        return {key: kinds(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return type(value), [kinds(item) for item in value]
    return type(value)


def kind(value: Any) -> Any:
    return type(value)


def in_any_order(value: Any) -> Any:
    if isinstance(value, list):
        return ["in any order", *sorted(map(in_any_order, value), key=repr)]
    if isinstance(value, tuple):
        return tuple(map(in_any_order, value))
    return value


def nearly(value: Any) -> Any:
    """Times: what is left of a thousand seconds or more is as good as all of it."""
    if isinstance(value, list):
        return [nearly(item) for item in value]
    return round(value, -1 if value < 100_000 else -5) if isinstance(value, int) else value


def keys_of(value: Any) -> Any:
    return type(value), sorted(value)


def length(value: Any) -> Any:
    return type(value), len(value)


# ---- Strings -------------------------------------------------------------------------------------

with given("SET k hello", "SET n 10", "LPUSH l x"):
    call("append", "k", " world")
    call("append", "new", b"v")
    call("append", "l", "v")
    call("decr", "n")
    call("decr", "n", 3)
    call("decr", "k")
    call("decrby", "n", 4)
    call("decrby", "n", amount=4)
    call("get", "k")
    call("get", "no")
    call("get", "l")
    call("get", 5)
    call("get", 1.5)
    call("getdel", "k")
    call("getdel", "no")
    call("getex", "k")
    call("getex", "no", ex=5)
    call("getex", "k", ex=5)
    call("getex", "k", px=datetime.timedelta(seconds=5))
    call("getex", "k", exat=FAR_DATE)
    call("getex", "k", pxat=FAR * 1000)
    call("getex", "k", persist=True)
    call("getex", "k", ex=5, px=5)
    call("getrange", "k", 1, 3)
    call("getrange", "k", -3, -1)
    call("getrange", "no", 0, -1)
    call("getset", "k", "new")
    call("getset", "no", "new")
    call("getset", "l", "new")
    call("incr", "n")
    call("incr", "n", amount=5)
    call("incr", "k")
    call("incrby", "n", 5)
    call("incrby", "n")
    call("incrby", "n", 2**63)
    call("incrbyfloat", "n")
    call("incrbyfloat", "n", 0.25)
    call("incrbyfloat", "k", 1)
    call("mget", "k", "no", "l", "n")
    call("mget", ["k", "no"], "n")
    call("mget", ("n",))
    call("mset", {"a": 1, "b": 2.5, "c": b"x"})
    call("mset", {})
    call("msetnx", {"a": 1, "b": 2})
    call("msetnx", {"a": 1, "k": 2})
    call("psetex", "k", 5000, "v")
    call("psetex", "k", datetime.timedelta(seconds=5), "v")
    call("psetex", "k", 0, "v")
    call("set", "k", "v")
    call("set", "k", "v", ex=10)
    call("set", "k", "v", ex=datetime.timedelta(minutes=1))
    call("set", "k", "v", px=10_000)
    call("set", "k", "v", exat=FAR)
    call("set", "k", "v", exat=FAR_DATE)
    call("set", "k", "v", pxat=FAR_DATE)
    call("set", "k", "v", nx=True)
    call("set", "no", "v", nx=True)
    call("set", "k", "v", xx=True)
    call("set", "no", "v", xx=True)
    call("set", "k", "v", keepttl=True)
    call("set", "k", "v", get=True)
    call("set", "no", "v", get=True)
    call("set", "k", "v", nx=True, get=True)
    call("set", "l", "v", get=True)
    call("set", "k", "v", nx=True, xx=True)
    call("set", "k", "v", ex=1, px=1)
    call("set", "k", "v", ex=0)
    call("set", "k", None)
    call("set", "k", True)
    call("set", "k", ["v"])
    call("set", "k", 3)
    call("set", "k", "v", 5, None, False, True)
    call("setex", "k", 10, "v")
    call("setex", "k", datetime.timedelta(seconds=10), "v")
    call("setex", "k", -1, "v")
    call("setnx", "k", "v")
    call("setnx", "no", "v")
    call("setrange", "k", 2, "XX")
    call("setrange", "k", -1, "XX")
    call("strlen", "k")
    call("strlen", "no")
    call("strlen", "l")
    call("substr", "k", 1)
    call("substr", "k", 1, 2)

with given(oracle=False):
    call("mget", [])

with given("SET a ohmytext", "SET b mynewtext"):
    call("lcs", "a", "b")
    call("lcs", "a", "b", len=True)
    call("lcs", "a", "b", idx=True)
    call("lcs", "a", "b", idx=True, minmatchlen=4, withmatchlen=True)
    call("lcs", "a", "b", len=True, idx=True)
    call("lcs", "a", "no")

# ---- Bitmaps and HyperLogLogs --------------------------------------------------------------------

with given("SET k foobar", "SETBIT bits 7 1", "LPUSH l x"):
    call("bitcount", "k")
    call("bitcount", "k", 1, 1)
    call("bitcount", "k", 5, 30, "BIT")
    call("bitcount", "k", 5)
    call("bitcount", "k", end=5)
    call("bitcount", "l")
    call("bitfield_ro", "k", "u8", 0)
    call("bitfield_ro", "k", "u8", "#1", items=[("i4", 0), ("u2", "#3")])
    call("bitfield_ro", "k", "x8", 0)
    call("bitop", "AND", "dest", "k", "bits")
    call("bitop", "NOT", "dest", "k")
    call("bitop", "NOT", "dest", "k", "bits")
    call("bitpos", "k", 1)
    call("bitpos", "k", 0, 1)
    call("bitpos", "k", 1, 2, 4)
    call("bitpos", "k", 1, 7, 15, "BIT")
    call("bitpos", "k", 1, end=5)
    call("bitpos", "k", 2)
    call("getbit", "bits", 7)
    call("getbit", "bits", 100)
    call("setbit", "bits", 7, 0)
    call("setbit", "bits", 8, True)
    call("setbit", "bits", 8, "yes")
    call("setbit", "bits", -1, 1)

with given("PFADD h a b c", "PFADD g c d", "SET s x"):
    call("pfadd", "h", "a", "z")
    call("pfadd", "h", "a")
    call("pfadd", "new")
    call("pfadd", "s", "a")
    call("pfcount", "h")
    call("pfcount", "h", "g")
    call("pfcount", "no")
    call("pfmerge", "dest", "h", "g")
    call("pfmerge", "dest")
    call("pfmerge", "dest", "s")

# ---- Keys ----------------------------------------------------------------------------------------

with given("SET k v", "SET other w", "RPUSH l a b", "SET t v EX 1000"):
    call("copy", "k", "k2")
    call("copy", "k", "other")
    call("copy", "k", "other", replace=True)
    call("copy", "k", "k", destination_db=1, replace=True)
    call("copy", "k", "k")
    call("copy", "k", "k", destination_db=99)
    call("delete", "k")
    call("delete", "k", "l", "no")
    call("delete")
    call("exists", "k", "no", "k")
    call("exists", "no")
    call("exists")
    call("expire", "k", 1000)
    call("expire", "no", 1000)
    call("expire", "k", datetime.timedelta(hours=1))
    call("expire", "k", -1)
    call("expire", "k", 10, nx=True)
    call("expire", "k", 10, xx=True)
    call("expire", "t", 10, gt=True)
    call("expire", "t", 10, lt=True)
    call("expire", "t", 10, nx=True, gt=True)
    call("expireat", "k", FAR)
    call("expireat", "k", FAR_DATE)
    call("expireat", "k", 1)
    call("expireat", "k", FAR, xx=True)
    call("keys", "o*")
    call("keys", pattern="no*")
    call("move", "k", 1)
    call("move", "no", 1)
    call("move", "k", 0)
    call("object", "encoding", "k")
    call("object", "refcount", "k")
    call("object", "idletime", "k")
    call("object", "encoding", "no")
    call("object", "nonsense", "k")
    call("persist", "t")
    call("persist", "k")
    call("pexpire", "k", 100_000)
    call("pexpire", "k", datetime.timedelta(seconds=1.5))
    call("pexpire", "k", 100_000, xx=True)
    call("pexpireat", "k", FAR * 1000)
    call("pexpireat", "k", FAR_DATE, nx=True)
    call("rename", "k", "k2")
    call("rename", "no", "k2")
    call("renamenx", "k", "k2")
    call("renamenx", "k", "other")
    call("renamenx", "no", "other")
    call("touch", "k", "no", "l")
    call("ttl", "k")
    call("ttl", "no")
    call("pttl", "k")
    call("pttl", "no")
    call("type", "k")
    call("type", "l")
    call("type", "no")
    call("unlink", "k", "no")
    call("sort", "no")

with given("RPUSH l a b", since=(7, 2)):
    call("waitaof", 0, 0, 1)
    call("object", "ENCODING", "l")

with given("SET k v", "RPUSH l a b", view=in_any_order):
    call("keys")
    call("keys", "*")
    call("scan")
    call("scan", 0)
    call("scan", 0, match="k*", count=1000)
    call("scan", 0, _type="LIST")
    call("scan", "nonsense")

with given("SET k v EX 1000", view=nearly):
    call("ttl", "k")
    call("pttl", "k")

with given("SET k v EXAT 4102444800", since=(7, 0)):
    call("expiretime", "k")
    call("pexpiretime", "k")
    call("expiretime", "no")
    call("randomkey")
    call("randomkey")

call("randomkey")
with given("SET k v", view=kind):
    call("dump", "k")
    call("dump", "no")
    call("memory_usage", "k")
    call("memory_usage", "k", samples=0)
    call("memory_usage", "no")

with given("RPUSH l 3 1 2", "SET w1 9", "SET w2 5", "SET w3 1", "RPUSH t b a C"):
    call("sort", "l")
    call("sort", "l", start=1, num=1)
    call("sort", "l", desc=True)
    call("sort", "t", alpha=True)
    call("sort", "t")
    call("sort", "l", by="w*")
    call("sort", "l", by="w*", get="w*")
    call("sort", "l", get=["#", "w*", "no*"])
    call("sort", "l", get=["#", "w*"], groups=True)
    call("sort", "l", store="dest")
    call("sort", "l", start=1)
    call("sort", "l", get="#", groups=True)
    call("sort_ro", "l")
    call("sort_ro", "l", start=0, num=2, by="w*", get=["#"], desc=True, alpha=True)

with given("SET k v"):
    call("migrate", "127.0.0.1", 1, "no", 0, 100)
    call("migrate", "127.0.0.1", 1, ["no", "none"], 0, 100, copy=True, replace=True, auth="x")
    call("migrate", "127.0.0.1", 1, [], 0, 100)

# ---- Lists ---------------------------------------------------------------------------------------

with given("RPUSH l a b c a", "RPUSH m x", "SET s v"):
    call("blmove", "l", "m", 1)
    call("blmove", "l", "m", 1, "RIGHT", "LEFT")
    call("blmove", "l", "m", 1, src="RIGHT", dest="NOWHERE")
    call("blmpop", 1, 2, "no", "l", direction="LEFT")
    call("blmpop", 1, 2, "no", "l", direction="RIGHT", count=2)
    call("blmpop", 0.01, 1, "no", direction="LEFT")
    call("blpop", "l")
    call("blpop", ["no", "l"], 1)
    call("blpop", "no", timeout=0.01)
    call("blpop", "l", None)
    call("blpop", "s", 1)
    call("brpop", ("l", "m"), timeout=1)
    call("brpop", "no", 0.01)
    call("brpoplpush", "l", "m")
    call("brpoplpush", "l", "m", 1)
    call("brpoplpush", "no", "m", timeout=0.01)
    call("lindex", "l", 0)
    call("lindex", "l", -1)
    call("lindex", "l", 10)
    call("linsert", "l", "BEFORE", "b", "new")
    call("linsert", "l", "after", "b", "new")
    call("linsert", "l", "before", "z", "new")
    call("linsert", "l", "between", "b", "new")
    call("llen", "l")
    call("llen", "no")
    call("llen", "s")
    call("lmove", "l", "m")
    call("lmove", "l", "m", "RIGHT", "LEFT")
    call("lmove", "no", "m")
    call("lmpop", 2, "no", "l", direction="LEFT")
    call("lmpop", 1, "l", direction="RIGHT", count=3)
    call("lmpop", 1, "no", direction="LEFT")
    call("lmpop", 5, "no", direction="LEFT")
    call("lpop", "l")
    call("lpop", "l", 2)
    call("lpop", "l", 0)
    call("lpop", "no")
    call("lpop", "no", 2)
    call("lpop", "l", -1)
    call("lpos", "l", "a")
    call("lpos", "l", "a", rank=2)
    call("lpos", "l", "a", count=0)
    call("lpos", "l", "a", rank=-1, count=1, maxlen=2)
    call("lpos", "l", "z")
    call("lpos", "l", "a", rank=0)
    call("lpush", "l", 1, 2)
    call("lpush", "new", b"x")
    call("lpush", "s", "x")
    call("lpush", "l")
    call("lpushx", "l", 1, 2)
    call("lpushx", "no", 1)
    call("lrange", "l", 0, -1)
    call("lrange", "l", 1, 2)
    call("lrange", "no", 0, -1)
    call("lrem", "l", 0, "a")
    call("lrem", "l", -1, "a")
    call("lset", "l", 0, "new")
    call("lset", "l", 9, "new")
    call("lset", "no", 0, "new")
    call("ltrim", "l", 1, 2)
    call("ltrim", "no", 1, 2)
    call("rpop", "l")
    call("rpop", "l", 2)
    call("rpop", "no")
    call("rpoplpush", "l", "m")
    call("rpoplpush", "no", "m")
    call("rpush", "l", 1, 2)
    call("rpushx", "l", 1)
    call("rpushx", "no", 1)

# ---- Sets ----------------------------------------------------------------------------------------

with given("SADD a 1 2 3", "SADD b 3 4", "SET s v"):
    call("sadd", "a", 3, 4, "x")
    call("sadd", "s", 1)
    call("sadd", "a")
    call("scard", "a")
    call("scard", "no")
    call("sdiff", "a", "b")
    call("sdiff", ["a", "b"], "no")
    call("sdiff", "no")
    call("sdiffstore", "dest", "a", "b")
    call("sdiffstore", "dest", ["a", "b"])
    call("sinter", "a", "b")
    call("sinter", ["a", "no"])
    call("sinter", "a", "s")
    call("sintercard", 2, ["a", "b"])
    call("sintercard", 2, ["a", "a"], limit=1)
    call("sintercard", 0, ["a"])
    call("sinterstore", "dest", ["a"], "b")
    call("sismember", "a", 1)
    call("sismember", "a", "z")
    call("sismember", "no", "z")
    call("smembers", "a")
    call("smembers", "no")
    call("smembers", "s")
    call("smismember", "a", 1, 9)
    call("smismember", "a", [1, 9], 2)
    call("smove", "a", "b", 1)
    call("smove", "a", "b", 9)
    call("spop", "no")
    call("spop", "no", 3)
    call("srandmember", "no")
    call("srandmember", "no", 2)
    call("srem", "a", 1, 9)
    call("sunion", "a", "b")
    call("sunion", ["a"])
    call("sunionstore", "dest", "a", "b")

with given("SADD a 1 2 3", view=in_any_order):
    call("spop", "a", 5)
    call("srandmember", "a", 5)
    call("sscan", "a")
    call("sscan", "a", 0, "1*", 100)
    call("sscan", "no")

with given("SADD a 1", view=None):
    call("spop", "a")
    call("srandmember", "a")
    call("srandmember", "a", number=-2)

# ---- Sorted sets ---------------------------------------------------------------------------------

with given("ZADD z 1 a 2.5 b 3 c", "ZADD y 10 b 20 d", "ZADD inf inf up -inf down", "SET s v"):
    call("bzmpop", 1, 2, ["no", "z"], min=True)
    call("bzmpop", 1, 1, ["z"], max=True, count=2)
    call("bzmpop", 0.01, 1, ["no"], min=True)
    call("bzmpop", 1, 1, ["z"])
    call("bzpopmax", "z", 1)
    call("bzpopmax", ["no", "z"])
    call("bzpopmax", "no", 0.01)
    call("bzpopmin", "z", 1)
    call("bzpopmin", "no", timeout=0.01)
    call("zadd", "z", {"a": 5, "new": 1.5})
    call("zadd", "z", {"a": 5, "new": 1.5}, nx=True)
    call("zadd", "z", {"a": 5, "new": 1.5}, xx=True)
    call("zadd", "z", {"a": 5, "new": 1.5}, ch=True)
    call("zadd", "z", {"a": 5}, incr=True)
    call("zadd", "z", {"a": 5}, incr=True, nx=True)
    call("zadd", "z", {"a": 0}, gt=True, ch=True)
    call("zadd", "z", {"a": 0}, lt=True, ch=True)
    call("zadd", "z", {"a": "inf"})
    call("zadd", "z", {"a": "x"})
    call("zadd", "z", {})
    call("zadd", "z", {"a": 1}, nx=True, xx=True)
    call("zadd", "z", {"a": 1}, gt=True, lt=True)
    call("zadd", "z", {"a": 1, "b": 2}, incr=True)
    call("zadd", "s", {"a": 1})
    call("zcard", "z")
    call("zcount", "z", 1, 2.5)
    call("zcount", "z", "(1", "+inf")
    call("zcount", "z", "x", 1)
    call("zdiff", ["z", "y"])
    call("zdiff", ["z", "y"], withscores=True)
    call("zdiff", ["no"], withscores=True)
    call("zdiffstore", "dest", ["z", "y"])
    call("zincrby", "z", 2, "a")
    call("zincrby", "z", 0.25, "new")
    call("zincrby", "s", 1, "a")
    call("zinter", ["z", "y"])
    call("zinter", ["z", "y"], withscores=True)
    call("zinter", {"z": 2, "y": 0.5}, "MAX", True)
    call("zinter", ["z", "y"], aggregate="nonsense")
    call("zintercard", 2, ["z", "y"])
    call("zintercard", 2, ["z", "z"], 1)
    call("zinterstore", "dest", ["z", "y"])
    call("zinterstore", "dest", {"z": 2, "y": 3}, aggregate="MIN")
    call("zlexcount", "z", "-", "+")
    call("zlexcount", "z", "[a", "(c")
    call("zmpop", 2, ["no", "z"], min=True)
    call("zmpop", 1, ["z"], max=True, count=2)
    call("zmpop", 1, ["no"], min=True)
    call("zmpop", 1, ["z"])
    call("zmpop", 1, ["z"], min=True, max=True)
    call("zmscore", "z", ["a", "no", "b"])
    call("zmscore", "z", [])
    call("zpopmax", "z")
    call("zpopmax", "z", 2)
    call("zpopmax", "no")
    call("zpopmin", "z")
    call("zpopmin", "z", count=9)
    call("zpopmin", "inf")
    call("zrandmember", "no")
    call("zrandmember", "no", 2, withscores=True)
    call("zrange", "z", 0, -1)
    call("zrange", "z", 0, -1, withscores=True)
    call("zrange", "z", 0, 1, desc=True, withscores=True)
    call("zrange", "z", 0, -1, withscores=True, score_cast_func=str)
    call("zrange", "z", 0, -1, withscores=True, score_cast_func=lambda text: text)
    call("zrange", "z", 0, -1, withscores=True, score_cast_func=int)
    call("zrange", "inf", 0, -1, withscores=True, score_cast_func=float)
    call("zrange", "z", 1, 3, byscore=True)
    call("zrange", "z", "-inf", "+inf", byscore=True, offset=1, num=1)
    call("zrange", "z", 3, 1, byscore=True, desc=True, withscores=True)
    call("zrange", "z", "-", "+", bylex=True)
    call("zrange", "z", 0, -1, offset=1)
    call("zrange", "z", 0, -1, byscore=True, bylex=True)
    call("zrange", "s", 0, -1)
    call("zrangebylex", "z", "-", "+")
    call("zrangebylex", "z", "[a", "[b", start=0, num=1)
    call("zrangebylex", "z", "[a", "[b", start=0)
    call("zrangebyscore", "z", 1, 3)
    call("zrangebyscore", "z", 1, 3, 1, 1, True)
    call("zrangebyscore", "z", "-inf", "inf", withscores=True, score_cast_func=int)
    call("zrangebyscore", "z", 1, 3, num=1)
    call("zrangestore", "dest", "z", 0, -1)
    call("zrangestore", "dest", "z", 3, 1, byscore=True, desc=True, offset=0, num=1)
    call("zrank", "z", "b")
    call("zrank", "z", "no")
    call("zrem", "z", "a", "no")
    call("zremrangebylex", "z", "[a", "[b")
    call("zremrangebyrank", "z", 0, 0)
    call("zremrangebyscore", "z", "-inf", 2.5)
    call("zrevrange", "z", 0, -1)
    call("zrevrange", "z", 0, -1, True)
    call("zrevrange", "z", 0, -1, withscores=True, score_cast_func=str)
    call("zrevrangebylex", "z", "+", "-")
    call("zrevrangebylex", "z", "+", "-", start=1, num=1)
    call("zrevrangebyscore", "z", 3, 1)
    call("zrevrangebyscore", "z", "inf", "-inf", start=0, num=2, withscores=True)
    call("zrevrank", "z", "b")
    call("zscan", "z")
    call("zscan", "z", 0, match="a*", count=10, score_cast_func=str)
    call("zscan", "no")
    call("zscore", "z", "b")
    call("zscore", "inf", "up")
    call("zscore", "z", "no")
    call("zscore", "no", "a")
    call("zunion", ["z", "y"])
    call("zunion", {"z": 1, "y": 2}, withscores=True)
    call("zunion", ["z", "y"], aggregate="MIN", withscores=True, score_cast_func=int)
    call("zunion", ("z",), withscores=True)
    call("zunionstore", "dest", ["z", "y"])
    call("zunionstore", "dest", {"z": 1, "y": 2}, aggregate="SUM")

with given("ZADD z 2.5 b", since=(7, 2)):
    call("zrank", "z", "b", withscore=True)
    call("zrank", "z", "no", withscore=True)
    call("zrank", "z", "b", withscore=True, score_cast_func=str)
    call("zrevrank", "z", "b", withscore=True)

with given("ZADD z 2.5 b"):
    call("zrandmember", "z")
    call("zrandmember", "z", 2)
    call("zrandmember", "z", -2, withscores=True)

# ---- Hashes --------------------------------------------------------------------------------------

with given("HSET h a 1 b two c 3.5", "SET s v"):
    call("hdel", "h", "a", "no")
    call("hdel", "s", "a")
    call("hexists", "h", "a")
    call("hexists", "h", "no")
    call("hget", "h", "a")
    call("hget", "h", "no")
    call("hget", "no", "no")
    call("hget", "s", "a")
    call("hgetall", "h")
    call("hgetall", "no")
    call("hgetall", "s")
    call("hincrby", "h", "a")
    call("hincrby", "h", "a", 5)
    call("hincrby", "h", "b")
    call("hincrbyfloat", "h", "c")
    call("hincrbyfloat", "h", "a", 0.5)
    call("hincrbyfloat", "h", "b", 0.5)
    call("hkeys", "h")
    call("hkeys", "no")
    call("hlen", "h")
    call("hmget", "h", "a", "no")
    call("hmget", "h", ["a", "no"], "b")
    call("hmget", "no", ["a"])
    call("hmset", "h", {"x": 1, "y": 2})
    call("hmset", "h", {})
    call("hrandfield", "no")
    call("hrandfield", "no", 2, withvalues=True)
    call("hscan", "h")
    call("hscan", "h", 0, match="a*", count=10)
    call("hscan", "no")
    call("hset", "h", "a", 5)
    call("hset", "h", "new", 5)
    call("hset", "h", mapping={"a": 1, "new": b"x", 3: 4.5})
    call("hset", "h", "k", "v", mapping={"a": 1})
    call("hset", "h", items=["x", 1, "y", 2])
    call("hset", "h", "k", "v", {"a": 1}, ["x", 1])
    call("hset", "h")
    call("hset", "h", "k")
    call("hset", "h", mapping={})
    call("hset", "s", "a", 1)
    call("hsetnx", "h", "a", 5)
    call("hsetnx", "h", "new", 5)
    call("hstrlen", "h", "b")
    call("hvals", "h")
    call("hvals", "no")

with given("HSET h a 1"):
    call("hrandfield", "h")
    call("hrandfield", "h", 2)
    call("hrandfield", "h", -2, withvalues=True)

with given("HSET h a 1 b 2", "HEXPIREAT h 4102444800 FIELDS 1 b", "SET s v", since=(7, 4)):
    call("hscan", "h", no_values=True)
    call("hexpire", "h", 1000, "a", "no")
    call("hexpire", "h", datetime.timedelta(hours=1), "a")
    call("hexpire", "h", 10, "a", "b", nx=True)
    call("hexpire", "h", 10, "b", gt=True)
    call("hexpire", "h", 10, "b", lt=True)
    call("hexpire", "h", 10, "b", xx=True)
    call("hexpire", "h", 10, "b", nx=True, xx=True)
    call("hexpire", "no", 10, "b")
    call("hexpire", "h", 10)
    call("hexpire", "s", 10, "a")
    call("hexpireat", "h", FAR, "a")
    call("hexpireat", "h", FAR_DATE, "a", nx=True)
    call("hexpireat", "h", 1, "a")
    call("hexpiretime", "h", "a", "b", "no")
    call("hpersist", "h", "a", "b", "no")
    call("hpexpire", "h", 100_000, "a")
    call("hpexpire", "h", datetime.timedelta(seconds=100), "a", nx=True)
    call("hpexpireat", "h", FAR * 1000, "a")
    call("hpexpireat", "h", FAR_DATE, "b", gt=True)
    call("hpexpiretime", "h", "a", "b")
    call("httl", "h", "a", "no")
    call("hpttl", "h", "a", "no")
    call("httl", "no", "a")

with given("HSET h a 1", "HEXPIRE h 1000 FIELDS 1 a", view=nearly, since=(7, 4)):
    call("httl", "h", "a")
    call("hpttl", "h", "a")

# ---- Places --------------------------------------------------------------------------------------

with given(
    "GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania",
    "GEOADD g 13.583333 37.316667 Agrigento",
    "SET s v",
):
    call("geoadd", "g", [2.35, 48.85, "Paris", 13.4, 52.5, "Berlin"])
    call("geoadd", "g", (2.35, 48.85, "Palermo"), nx=True)
    call("geoadd", "g", (2.35, 48.85, "Palermo"), xx=True, ch=True)
    call("geoadd", "g", (2.35, 48.85, "Palermo"), xx=True, nx=True)
    call("geoadd", "g", (2.35, 48.85))
    call("geoadd", "g", (200, 100, "nowhere"))
    call("geodist", "g", "Palermo", "Catania")
    call("geodist", "g", "Palermo", "Catania", "km")
    call("geodist", "g", "Palermo", "no", unit="mi")
    call("geodist", "g", "Palermo", "Catania", unit="parsec")
    call("geohash", "g", "Palermo", "no")
    call("geohash", "no", "Palermo")
    call("geopos", "g", "Palermo", "no")
    call("geopos", "no", "Palermo")
    call("georadius", "g", 15, 37, 200, unit="km", sort="ASC")
    call("georadius", "g", 15, 37, 200_000, sort="DESC", count=2)
    call("georadius", "g", 15, 37, 200, "km", True, True, True, sort="ASC")
    call("georadius", "g", 15, 37, 200, "km", withdist=True, sort="ASC")
    call("georadius", "g", 15, 37, 200, "km", count=1, any=True)
    call("georadius", "g", 15, 37, 200, "km", any=True)
    call("georadius", "g", 15, 37, 200, "km", store="dest")
    call("georadius", "g", 15, 37, 200, "km", store_dist="dest")
    call("georadius", "no", 15, 37, 200, "km", withdist=True)
    call("georadius", "s", 15, 37, 200)
    call("georadiusbymember", "g", "Palermo", 200, "km", sort="ASC")
    call("georadiusbymember", "g", "Palermo", 200, "km", withcoord=True, withhash=True, sort="ASC")
    call("georadiusbymember", "g", "no", 200, "km")
    call("georadiusbymember", "g", "Palermo", 200, "km", store="dest")
    call("geosearch", "g", member="Palermo", radius=200, unit="km", sort="ASC")
    call("geosearch", "g", longitude=15, latitude=37, radius=200_000, sort="DESC")
    call("geosearch", "g", longitude=15, latitude=37, width=400, height=400, unit="km", sort="asc")
    call("geosearch", "g", member="Palermo", radius=200, unit="km", count=1, sort="ASC")
    call("geosearch", "g", member="Palermo", radius=200, unit="km", count=1, any=True)
    call(
        *("geosearch", "g"),
        **{"member": "Palermo", "radius": 200, "unit": "km", "sort": "ASC"},
        **{"withcoord": True, "withdist": True, "withhash": True},
    )
    call("geosearch", "g", member="Palermo", radius=200, unit="km", sort="ASC", withcoord=True)
    call("geosearch", "g", member="Palermo")
    call("geosearch", "g", radius=5)
    call("geosearch", "g", longitude=15, radius=5)
    call("geosearch", "g", member="Palermo", radius=5, any=True)
    call("geosearch", "no", longitude=15, latitude=37, radius=5, withdist=True)
    call("geosearchstore", "dest", "g", member="Palermo", radius=200, unit="km")
    call("geosearchstore", "dest", "g", longitude=15, latitude=37, radius=9, storedist=True)

# ---- Streams -------------------------------------------------------------------------------------

STREAM = (
    "XADD x 1-1 a 1",
    "XADD x 1-2 b 2 c 3",
    "XADD x 2-0 d 4",
    "XGROUP CREATE x g 0",
    "XREADGROUP GROUP g ann COUNT 2 STREAMS x >",
)

with given(*STREAM, "SET s v"):
    call("xack", "x", "g", "1-1", "9-9")
    call("xack", "no", "g", "1-1")
    call("xadd", "x", {"a": 1}, id="3-0")
    call("xadd", "x", {"a": 1, "b": 2.5}, "3-*")
    call("xadd", "x", {"a": 1}, id="1-1")
    call("xadd", "x", {"a": 1}, id="3-0", maxlen=2, approximate=False)
    call("xadd", "x", {"a": 1}, id="3-0", maxlen=100, limit=10)
    call("xadd", "x", {"a": 1}, id="3-0", minid="2-0", approximate=False)
    call("xadd", "no", {"a": 1}, nomkstream=True)
    call("xadd", "x", {}, id="3-0")
    call("xadd", "s", {"a": 1})
    call("xadd", "x", {"a": 1}, maxlen=1, minid=1)
    call("xdel", "x", "1-1", "9-9")
    call("xgroup_create", "x", "new")
    call("xgroup_create", "x", "g")
    call("xgroup_create", "no", "g")
    call("xgroup_create", "no", "g", mkstream=True)
    call("xgroup_create", "x", "new", id="0", entries_read=2)
    call("xgroup_createconsumer", "x", "g", "bob")
    call("xgroup_createconsumer", "x", "g", "ann")
    call("xgroup_delconsumer", "x", "g", "ann")
    call("xgroup_destroy", "x", "g")
    call("xgroup_destroy", "x", "no")
    call("xgroup_setid", "x", "g", "0")
    call("xgroup_setid", "x", "g", "0", entries_read=1)
    call("xgroup_setid", "x", "no", "0")
    call("xlen", "x")
    call("xlen", "no")
    call("xpending", "x", "g")
    call("xpending", "x", "no")
    call("xrange", "x")
    call("xrange", "x", "1-2", "+", 1)
    call("xrange", "x", min="(1-1", max="2")
    call("xrange", "no")
    call("xrange", "s")
    call("xrevrange", "x")
    call("xrevrange", "x", "2-0", "1-2", count=5)
    call("xread", {"x": "1-1"})
    call("xread", {"x": 0, "no": 0}, count=1)
    call("xread", {"x": "$"}, block=5)
    call("xread", {"no": 0})
    call("xread", {})
    call("xread", {"s": 0})
    call("xreadgroup", "g", "bob", {"x": ">"})
    call("xreadgroup", "g", "bob", {"x": ">"}, count=1, noack=True)
    call("xreadgroup", "g", "ann", {"x": 0})
    call("xreadgroup", "g", "ann", {"x": "2-0"}, block=5)
    call("xreadgroup", "no", "ann", {"x": ">"})
    call("xtrim", "x", 1, approximate=False)
    call("xtrim", "x", maxlen=100)
    call("xtrim", "x", minid="2-0", approximate=False)
    call("xtrim", "x", maxlen=100, limit=5)
    call("xtrim", "x")
    call("xinfo_stream", "x")
    call("xinfo_groups", "x")
    call("xinfo_groups", "no")
    call("xinfo_consumers", "x", "no")
    call("xinfo_stream", "no")
    call("xautoclaim", "x", "g", "bob", 0)
    call("xautoclaim", "x", "g", "bob", 0, start_id="1-2", count=1)
    call("xautoclaim", "x", "g", "bob", 0, justid=True)
    call("xautoclaim", "x", "no", "bob", 0)
    call("xclaim", "x", "g", "bob", 0, ["1-1", "9-9"])
    call("xclaim", "x", "g", "bob", 0, ("1-1",), idle=5, retrycount=3)
    call("xclaim", "x", "g", "bob", 0, ["1-1"], time=1000, force=True, justid=True)
    call("xclaim", "x", "g", "bob", 100_000, ["1-1"])
    call("xclaim", "x", "g", "bob", 0, [])
    call("xpending_range", "x", "g", "-", "+", 10, consumername="no")
    call("xpending_range", "x", "g", "-", "+", 10, idle=100_000)
    call("xpending_range", "x", "no", "-", "+", 10)
    call("xpending_range", "x", "g", None, None, None)
    call("xpending_range", "x", "g", "-", None, None)

with given(*STREAM, view=kinds):
    call("xpending_range", "x", "g", "-", "+", 10)
    call("xpending_range", "x", "g", "-", "+", 10, "ann", 0)
    call("xadd", "x", {"a": 1})
    call("xadd", "new", {"a": 1}, "*", 10, False)

with given(*STREAM, view=kinds, since=(7, 2)):
    call("xinfo_consumers", "x", "g")
    call("xinfo_stream", "x", full=True)

with given("XADD x 1-1 a 1", "XDEL x 1-1"):
    call("xinfo_stream", "x")
    call("xinfo_stream", "x", True)
    call("xrange", "x")
    call("xautoclaim", "x", "g", "bob", 0)

with given("XADD x 1-1 a 1", "XGROUP CREATE x g 0"):
    call("xpending", "x", "g")
    call("xinfo_consumers", "x", "g")
    call("xautoclaim", "x", "g", "bob", 0)

# ---- Messages ------------------------------------------------------------------------------------

call("publish", "channel", "message")
call("spublish", "channel", "message")
call("pubsub_channels")
call("pubsub_channels", "c*")
call("pubsub_numpat")
call("pubsub_numsub", "a", "b")
call("pubsub_numsub")
call("pubsub_shardchannels")
call("pubsub_shardchannels", pattern="c*")
call("pubsub_shardnumsub", "a")

# ---- Connections ---------------------------------------------------------------------------------

call("echo", "hello")
call("ping")
with given(session=True):
    call("auth", "wrong")
    call("auth", "wrong", "nobody")
    call("client_getname")
    call("client_setname", "me")
    call("client_setname", "not so")
    call("client_getredir")
    call("client_no_evict", "ON")
    call("client_no_evict", "nonsense")
    call("client_trackinginfo")
    call("select", 1)
    call("select", 99)
with given(session=True, since=(7, 2)):
    call("client_no_touch", "ON")
    call("client_setinfo", "LIB-VER", "1.0")
    call("client_setinfo", "LIB-NAME", "mine")
    call("client_setinfo", "nonsense", "mine")
with given(session=True, view=kinds):
    call("client_id")
with given(session=True, view=keys_of, oracle=False):
    call("client_info")
call("client_kill", "127.0.0.1:1")
call("client_kill_filter", addr="127.0.0.1:1")
call("client_kill_filter", _id=10**9, skipme=True)
call("client_kill_filter", _type="pubsub", skipme=False)
call("client_kill_filter", laddr="127.0.0.1:1")
call("client_kill_filter", user="nobody")
call("client_kill_filter", _type="nonsense")
call("client_kill_filter")
with given(since=(7, 4)):
    call("client_kill_filter", maxage=10**6)
with given(view=kind):
    call("client_list")
    call("client_list", "normal")
    call("client_list", _type="nonsense")
call("client_list", client_id=[10**9])
call("client_pause", 1, all=False)
call("client_unblock", 10**9)
call("client_unblock", 10**9, error=True)
call("client_unpause")

# ---- The server ----------------------------------------------------------------------------------

with given(view=in_any_order):
    call("acl_cat", "scripting")
    call("acl_cat", "nonsense")
with given(view=keys_of, oracle=False):
    call("acl_cat")
    call("command")
    call("info")
    call("info", "server")
    call("info", "keyspace", "clients")
    call("config_get")
with given(view=kind):
    call("acl_genpass")
    call("acl_genpass", 16)
    call("acl_genpass", 0)
    call("acl_help")
    call("command_list")
    call("command_list", category="read")
    call("command_count")
    call("latency_latest")
    call("lolwut")
    call("lolwut", 5, 10, 10, 10)
    call("memory_malloc_stats")
    call("lastsave")
    call("dbsize")
    call("slowlog_len")
call("acl_whoami")
with given(view=in_any_order):
    call("command_list", pattern="xi*")
call("command_list", module="none")
call("command_getkeys", "MSET", "a", 1, "b", 2)
with given(since=(7, 2)):
    call("command_getkeys", "PING")
call("command_getkeysandflags", "GET", "a")
call("config_get", "maxmemory")
call("config_get", "maxmemory", "databases")
call("config_get", "no-such")
call("config_set", "maxmemory-samples", 5)
call("config_set", "maxmemory-samples", 5, "maxmemory", "0")
call("config_set", "no-such", 5)
call("config_resetstat")
call("config_rewrite")
call("debug_object", "no")
with given("SET k v", view=keys_of, oracle=False):
    call("debug_object", "k")
    call("memory_stats")
with given("SET k v", "SET l w"):
    call("dbsize")
    call("flushall")
    call("flushall", asynchronous=True)
    call("flushdb")
    call("flushdb", True)
call("latency_history", "command")
call("latency_reset")
call("latency_reset", "command")
call("memory_purge")
call("module_list")
call("replicaof", "NO", "ONE")
call("role")
call("slaveof")
call("slowlog_reset")
with given("CONFIG SET slowlog-log-slower-than 0", "GET k", view=kinds):
    call("slowlog_get", 1)
with given("SLOWLOG RESET"):
    call("slowlog_get", 0)
call("swapdb", 0, 1)
call("swapdb", 0, 99)
with given(view=kinds):
    call("time")
