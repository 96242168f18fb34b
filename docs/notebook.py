# %% [markdown]
# # A server in a notebook
#
# A kevyrt `Server` lives in the process of the notebook. It shows itself, its statistics, and a watch that
# records them over time. [NOTEBOOK.md](NOTEBOOK.md) says what each part of the pages means.

# %%
import random
import time

import kevyrt

server = kevyrt.Server(port=None, threads=4).start()
repr(server)

# %% [markdown]
# ## Some data
#
# A small shop: products, sessions of visitors, their carts, a ranking, a queue of mails, and a log of events.
# Every value type is there.

# %%
draw = random.Random(7)

for number in range(20_000):
    server.set(f"product:{number}", "x" * draw.randrange(50, 400))
for number in range(5_000):
    server.hset(f"session:{number}", mapping={"user": number, "seen": 0, "theme": "dark"})
for number in range(800):
    server.sadd(f"cart:{number}", *(draw.randrange(20_000) for _ in range(draw.randrange(1, 30))))
server.zadd("ranking", {f"product:{number}": draw.random() for number in range(20_000)})
server.rpush("mails", *(f"mail {number}" for number in range(10_000)))
for number in range(3_000):
    server.xadd("events", {"kind": "visit", "session": number})

server

# %% [markdown]
# The page tells what takes the memory, which keys are big, and whether the shards are balanced. Hot keys are
# noted from the first look on, so there are none yet.
#
# ## Some work
#
# `watch_stats` takes a sample every 0.2 seconds in the background. Meanwhile visitors come: a few products are seen
# far more often than all others, and one is on the front page. In the middle there is a pause, and then many
# write.

# %%
watch = server.watch_stats(0.2)


def visit(seconds: float, writes: float = 0.05, pause: float = 0.0) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        session = draw.randrange(5_000)
        server.get(f"product:{int(20_000 * draw.random() ** 6)}")
        if draw.random() < 0.4:
            server.get("product:4711")
        server.hincrby(f"session:{session}", "seen", 1)
        if draw.random() < writes:
            server.set(f"note:{session}:{draw.randrange(100)}", "x" * 300)
        if draw.random() < 0.01:
            server.zrevrange("ranking", 0, 50)
            server.get(f"nothing:{session}")
        if pause:
            time.sleep(pause)


visit(2)
visit(1, pause=0.002)
visit(2, writes=0.7)
watch.stop()
watch

# %% [markdown]
# Throughput, how long commands took, and memory. In the pause there are few commands, and they take as long as they do
# on a processor that sleeps in between.
#
# ## What was hot
#
# Now the server knows which keys were used most, and what its commands took.

# %%
server

# %% [markdown]
# The key of the front page is on one shard, whose bar of commands stands out: keys are spread evenly, accesses need not be.
# Where that is a limit, such a key can be kept in several copies.
#
# ## As text, and as values
#
# In a terminal the same is tables.

# %%
before = server.stats()
print(before)

# %% [markdown]
# What happened between two looks is their difference.

# %%
for number in range(10_000):
    server.get(f"product:{number}")

since = server.stats() - before
since.total.commands, since.hit_rate, [command.name for command in since.commands]

# %% [markdown]
# With pandas there are frames of commands, types, keys and shards, and of the samples of a watch.

# %%
server.stats().to_pandas()["commands"][["name", "calls", "time_ns", "p50_ns", "p99_ns"]].head(8)

# %%
watch.to_pandas()[["commands_per_s", "p99_ns", "keys", "used_bytes"]].describe().round()

# %% [markdown]
# A server that was stopped says so.

# %%
server.stop()
server
