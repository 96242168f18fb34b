/* A server's data without a server: keyspaces, a clock that stands, and a sink that writes down every
 * effect. Handlers are driven with a `struct call` of the test's own.
 *
 * Commands are lines of words: `SET k v`. `2> SET k v` runs in database 2, `~500` lets 500 ms pass, a word
 * `%5000` is that many bytes, `&5000` the same in a blob, `^v` what DUMP gives for the string v, `^30` for a set of so many. Replies and effects come as text: replies as
 * RESP2 with blanks for line ends; effects as `new k`-like words in order:
 *     log:SET k v       what the append-only log would get, in another database `log/2:SET k v`
 *     touch:k  touch-all:0  touch-all:*
 *     ready:k  ready-all:0
 *     g:del k           a notification: the class's letter, the event, the key
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cmd/call.h"

enum { WORLD_SHARDS_MAX = 4, WORLD_DATABASES = 4, WORLD_TEXT_MAX = 131072 };

struct world_text {
    char at[WORLD_TEXT_MAX];
    size_t len;
};

struct world {
    struct domain domain;
    struct keyspace keyspaces[WORLD_SHARDS_MAX], *by_shard[WORLD_SHARDS_MAX];
    struct effect_sink sink;
    struct effects effects;
    struct reply_pool pool;
    int64_t now_ms;
    bool route; /* calls bring the hash of their first key, as routing would have computed it */
    uint32_t call_flags; /* enum call_flags of the calls */
    bool unfinished;     /* the last call is to be made again */
    bool failed;         /* the last call replied an error */
    bool lost; /* the last reply has a hole, for want of memory: its connection would be closed */
    long fail_after; /* handlers get that many allocations less one and no more; 0: all they want */
    bool fail_slabs; /* counts cells of the slabs instead of general allocations */
    struct world_text reply, recorded;
};

enum { WORLD_START_MS = 1000000 };

/* A group set-up: binds the handlers that a server binds. */
int world_bind(void **state);

struct world *world_new(uint32_t shard_count);
/* Checks that nothing is left behind. */
void world_free(struct world *world);

/* Runs one line; `reply` and `recorded` are of this line alone. */
void world_run(struct world *world, const char *line);
/* Lines separated by `; `. */
void world_run_all(struct world *world, const char *lines);
/* Active expiry in every shard, with all the time it wants; recorded like a line. */
void world_expire(struct world *world);

/* A cut through all shards: what there is stays as it is for whoever reads it, until the thaw. No node is in
 * reserve, so that the next change asks for memory. */
void world_freeze(struct world *world);
void world_thaw(struct world *world);

/* All keys with their values and deadlines, in an order of their own. */
void world_dump(const struct world *world, struct world_text *out);
uint64_t world_count(const struct world *world, uint32_t db);
void world_check(const struct world *world);
