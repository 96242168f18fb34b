"""Calls of the methods about places, streams, messages, connections and the server."""

from __future__ import annotations

from calls import call, given, in_any_order, keys_of, kind, kinds

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
