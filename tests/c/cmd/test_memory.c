/* Write commands that run out of memory: an error, and everything as it was. Every allocation of a command
 * is refused in turn, general ones and cells of the slabs. */
#include "cmd/cmd_world.h"

#include <stdio.h>
#include <string.h>

enum { ATTEMPTS_MAX = 200 };

struct memory_case {
    const char *given, *line;
    bool allocates; /* must fail at least once, or the test would prove nothing */
};

/* Twenty keys in one MSET: enough to outgrow a bucket on the way. */
#define TWENTY \
    "a 1 b %300 c 1 d &5000 e 1 f 1 g 1 h 1 i 1 j 1 k 1 l 1 m 1 n %600 o 1 p 1 q 1 r 1 s 1 a 2"
#define FORTY \
    "a 1 b 1 c 1 d 1 e 1 f 1 g 1 h 1 i 1 j 1 k 1 l 1 m 1 n 1 o 1 p 1 q 1 r 1 s 1 t 1 " TWENTY

static const struct memory_case cases[] = {
    {"", "SET k v", true},
    {"", "SET k v PX 100", true},
    {"SET k v", "SET k %100", true},
    {"SET k v", "SET k %5000", true},
    {"SET k v", "SET k &5000", true},
    {"SET k %5000", "SET k %6000", true},
    {"SET k &5000", "SET k v", true},
    {"SET k &5000 PX 90", "SET k %6000 GET", true},
    {"SET k %100 PX 90", "SET k %200 GET KEEPTTL", true},
    {"SET k %100", "SET k v GET PX 100", true},
    {"SET k v", "SET k w PX 100", true},
    {"SET k v PX 100", "SET k w", true},
    {"SET k v PX 100", "SET k %100 KEEPTTL", true},
    {"", "SET %600 v", true},
    {"SET %600 v", "SET %600 w EX 1 XX GET", true},
    {"", "3> SET k v NX GET", true},
    {"", "INCR k", true},
    {"SET k 9", "INCR k", false},
    {"SET k 99999999 PX 100", "INCRBY k 1", false},
    {"SET k 1 PX 100", "INCRBY k 1234567890", true},
    {"", "MSET a 1 b 2 a 3", true},
    {"SET a 0", "MSET a 1 b 2", true},
    {"SET a %400 PX 90; SET d &7000; SET s 1", "MSET " TWENTY, true},
    {"SET a %400 PX 90; SET d &7000; SET s 1", "2> MSET " FORTY, true},
    {"", "DECRBY k 7", true},
    {"SET k 1", "DECR k", false},
    {"SET k 1", "INCRBYFLOAT k 1234567890.25", true},
    {"", "INCRBYFLOAT k 1", true},
    {"", "APPEND k v", true},
    {"SET k v", "APPEND k %100", true},
    {"SET k v PX 90", "APPEND k %5000", true},
    {"SET k %5000", "APPEND k %5000", true},
    {"SET k &5000", "APPEND k v", true},
    {"", "SETRANGE k 5 v", true},
    {"SET k v", "SETRANGE k 500 v", true},
    {"SET k %5000", "SETRANGE k 9000 v", true},
    {"", "SETRANGE k 1100000 v", true},
    {"SET k v PX 90", "SETRANGE k 1100000 v", true},
    {"SET k v; SETRANGE k 1100000 v", "APPEND k %9000", true},
    {"SET k v; SETRANGE k 1100000 v", "GET k", true},
    {"SET k v; SETRANGE k 1100000 v", "GETRANGE k 0 9", true},
    {"", "PFADD k a b", true},
    {"PFADD k a", "PFADD k b c d e f g", true},
    {"PFADD k a; PFDEBUG TODENSE k", "PFADD k b c", false},
    {"PFADD k a; PFDEBUG TODENSE k; COPY k j", "PFADD k b c", true},
    {"PFADD k a", "PFCOUNT k", false},
    {"PFADD k a; PFDEBUG TODENSE k; COPY k j", "PFCOUNT k", true},
    {"", "PFMERGE k", true},
    {"PFADD k a; PFADD j b; PFDEBUG TODENSE j", "PFMERGE k j", true},
    {"PFADD k a; PFADD j b c d e f g; PEXPIRE k 90", "PFMERGE k j", true},
    {"PFADD k a; PFDEBUG TODENSE k; PFADD j b", "PFMERGE k j", false},
    {"PFADD k a", "PFDEBUG TODENSE k", true},
    {"PFADD k a", "PFDEBUG GETREG k", true},
    {"", "SETBIT k 7 1", true},
    {"SET k v", "SETBIT k 5000 1", true},
    {"SET k v", "SETBIT k 7 1", false},
    {"SET k %5000", "SETBIT k 90000 1", true},
    {"SET k %5000", "SETBIT k 7 0", false},
    {"SET k v", "SETBIT k 9000000 1", true},
    {"SET k v; SETRANGE k 1100000 v", "SETBIT k 70000 1", true},
    {"SET k v; SETRANGE k 1100000 v", "BITCOUNT k", false},
    {"", "BITFIELD k SET u8 0 255 GET u8 0", true},
    {"SETRANGE k 1040000 v", "BITFIELD k SET u8 8310000 255 SET u8 9000000 1", true},
    {"SET k v; SETRANGE k 1100000 v",
     "BITFIELD k SET u8 8 7 SET u8 9000000 7 SET u8 8000000 7 INCRBY i8 9100000 1", true},
    {"SET k %600", "BITFIELD k INCRBY i64 5000 -1 OVERFLOW FAIL SET u8 0 256", true},
    {"SET a v", "BITOP AND k a", true},
    {"SET a %600; SET b %500", "BITOP OR k a b", true},
    {"SET a &5000; SET k %5000", "BITOP XOR k a k", false},
    {"SET a &5000; SET k %5000 PX 90", "BITOP NOT k a", true},
    {"SET a &5000; SET k %400 PX 90", "BITOP AND k a a a a a a a a a a a a a a a a a a a a", true},
    {"SET a v; SETRANGE a 1100000 v; SET k v; SETRANGE k 1100000 w", "BITOP XOR k a k", true},
    {"SET k &5000", "BITOP OR k a b", false},
    {"", "SETNX k v", true},
    {"SET k v", "SETEX k 10 w", true},
    {"SET k v", "PSETEX k 10 %600", true},
    {"SET k &5000 PX 90", "GETSET k %6000", true},
    {"SET k %5000", "GETDEL k", false},
    {"SET k v", "GETEX k EX 10", true},
    {"SET k &5000 PX 90", "GETEX k PERSIST", true},
    {"", "MSETNX " TWENTY, true},
    {"SET k v", "EXPIRE k 10", true},
    {"SET k %5000", "PEXPIRE k 10", true},
    {"SET k %490", "PEXPIRE k 10", true},
    {"SET %600 &5000", "PEXPIRE %600 10", true},
    {"SET k v PX 10", "PEXPIRE k 100", false},
    {"SET k v", "EXPIRE k -1", false},
    {"SET k v", "EXPIREAT k 9999", true},
    {"SET k &5000", "PEXPIREAT k 9999999", true},
    {"SET k v PX 10", "PERSIST k", true},
    {"SET k &5000 PX 10", "PERSIST k", true},
    {"SET k v", "RENAME k j", true},
    {"SET k v PX 10", "RENAME k j", true},
    {"SET k &5000 PX 10", "RENAME k %600", true},
    {"SET %600 &5000", "RENAME %600 k", true},
    {"SET k %400 PX 10; SET j &5000", "RENAME k j", true},
    {"SET k &5000; SET j v PX 10", "RENAME k j", true},
    {"SET k %480", "RENAMENX k %100", true},
    {"3> SET k v", "3> RENAMENX k j", true},
    {"SET k v PX 10", "MOVE k 2", true},
    {"SET k &5000; 2> SET j 1", "MOVE k 2", true},
    {"SET k v", "COPY k j", true},
    {"SET k &5000 PX 10", "COPY k j", true},
    {"SET k %400 PX 10; SET j v", "COPY k j REPLACE", true},
    {"SET k v; 1> SET j &5000 PX 10", "COPY k j DB 1 REPLACE", true},
    {"SET k v; SET j &5000", "UNLINK k j", false},
    {"SET k v; 2> SET j &5000", "SWAPDB 0 2", false},
    {"SET k v; SET j &5000", "DEL k j", false},
    {"SET k v; 1> SET j &5000", "FLUSHALL", false},
    {"SET k v", "FLUSHDB", false},
    /* Hashes: packed, in a tree, on the way from one to the other. */
    {"", "HSET k a 1 b 2", true},
    {"HSET k a 1", "HSET k a 2", false},
    {"HSET k a 1", "HSET k b %100 c 3", true},
    {"HSET k a %300", "HSET k a %200 b %200 c %200", true},
    {"HSET k a &5000 b 2", "HSET k a &6000 b &7000 c %5000", true},
    {"HSET k a %600 b 2", "HSET k c 3", false},
    {"HSET k %900 %900", "HMSET k %800 %800 %700 %700", true},
    {"HSET %490 a 1", "HSET %490 b 2 c %100", true},
    {"", "HSETNX k a %2000", true},
    {"HSET k a 1 b %600", "HDEL k a", false},
    {"HSET k a %200 b %200", "HDEL k b", false},
    {"HSET k a &5000", "HDEL k a", false},
    {"HSET k a 1", "HINCRBY k a 1000000", true},
    {"", "HINCRBYFLOAT k a 0.5", true},
    {"HSET k a %300 b %300", "COPY k j", true},
    {"HSET k a &3000 b %300", "RENAME k j", true},
    {"HSET k a %300 b %300", "EXPIRE k 10", true},
    /* Deadlines of fields: the first one needs a place in a table. */
    {"HSET k a 1 b 2", "HEXPIRE k 10 FIELDS 2 a b", true},
    {"HSET k a 1 b 2; HEXPIRE k 9 FIELDS 1 a", "HPEXPIRE k 10000 FIELDS 3 x b a", true},
    {"HSET k a 1; HEXPIRE k 9 FIELDS 1 a", "HEXPIREAT k 9999 GT FIELDS 1 a", true},
    {"HSET k a %300 b %600 c 3", "HPEXPIRE k 10 FIELDS 2 a c", true},
    {"HSET k a %300 b &5000 c 3", "HPEXPIREAT k 9999999 NX FIELDS 4 b b c b", true},
    {"HSET k a %180 b %180; HEXPIRE k 9 FIELDS 1 a", "HEXPIRE k 10 FIELDS 2 a b", true},
    {"HSET k a 1 b %200; HEXPIRE k 9 FIELDS 1 a", "HSET k c %300", true},
    {"HSET k a %300 b %600 c 3; HEXPIRE k 9 FIELDS 2 a b", "HSET k a 1", false},
    {"HSET k a 1; HEXPIRE k 9 FIELDS 1 a", "HSET k a %100", true},
    {"HSET k a %300 b %600 c 3; HEXPIRE k 9 FIELDS 2 a b", "HEXPIREAT k 1 FIELDS 2 a b", false},
    {"HSET k a 1 b 2; HEXPIRE k 9 FIELDS 1 a", "HEXPIREAT k 1 FIELDS 2 a b", false},
    {"HSET k a 1 b 2; HEXPIRE k 9 FIELDS 1 a", "HPERSIST k FIELDS 2 a b", true},
    {"HSET k a 1 b &5000; HEXPIRE k 9 FIELDS 2 a b", "HPERSIST k FIELDS 2 a b", true},
    {"HSET k a 1 b %600; HEXPIRE k 9 FIELDS 2 a b", "HDEL k a b", false},
    {"HSET k a 1; HEXPIRE k 9 FIELDS 1 a", "HINCRBYFLOAT k a 1000000", true},
    {"HSET k a 1 b 2; HEXPIRE k 9 FIELDS 1 a; SET j v", "COPY k j REPLACE", true},
    {"HSET k a 1 b %600; HEXPIRE k 9 FIELDS 1 a", "COPY k j", true},
    {"HSET k a 1 b %600; HEXPIRE k 9 FIELDS 1 a", "RENAME k j", true},
    {"HSET k a 1; HEXPIRE k 9 FIELDS 1 a", "MOVE k 2", true},
    {"HSET k a 1; HEXPIRE k 9 FIELDS 1 a", "EXPIRE k 10", true},
    {"HSET k a 1; HEXPIRE k 9 FIELDS 1 a", "SET k %600", true},
    /* Lists */
    {"", "LPUSH k a b", true},
    {"", "RPUSH k %200 %300 %999 %1001 &5000", true},
    {"RPUSH k %200", "RPUSH k %200 %200", true},
    {"RPUSH k %400 %400", "RPUSH k a", false},
    {"RPUSH k a", "LPUSHX k %100", true},
    {"RPUSH k a", "RPUSHX k %2000", true},
    {"RPUSH k a %100", "LPOP k", false},
    {"RPUSH k a %100", "BLPOP j k 0", false},
    {"RPUSH k %900 a", "BRPOP k 0", false},
    {"RPUSH k %500 %500 %500", "RPOP k 2", false},
    {"RPUSH k %500 %500 a", "LSET k 2 %999", false},
    {"RPUSH k a b", "LSET k 0 %100", true},
    {"RPUSH k a b", "LINSERT k BEFORE b %100", true},
    {"RPUSH k %500 %500 b", "LINSERT k AFTER b &5000", true},
    {"RPUSH k a b c", "LTRIM k 1 1", false},
    {"RPUSH k %500 a %500 a", "LREM k 0 a", false},
    {"RPUSH k a b", "LMOVE k j LEFT LEFT", true},
    {"RPUSH k %500 %1500; RPUSH j a", "LMOVE k j RIGHT LEFT", true},
    {"RPUSH k a %1500", "LMOVE k k RIGHT LEFT", true},
    {"RPUSH k a b", "RPOPLPUSH k k", false},
    {"RPUSH k %900 b c", "LMPOP 1 k LEFT COUNT 2", false},
    {"RPUSH k a b", "BLMOVE k j LEFT LEFT 0", true},
    {"RPUSH k a %1500", "BRPOPLPUSH k j 0", true},
    {"RPUSH k %900 b c", "BLMPOP 0 1 k LEFT COUNT 2", false},
    /* Sets */
    {"", "SADD k a b", true},
    {"SADD k a", "SADD k %300 %200 %1500 &5000", true},
    {"SADD k %200 %300", "SADD k a b c d e f", false},
    {"SADD k a b", "SREM k a", false},
    {"SADD k %500 %600 a", "SREM k %500 a", false},
    {"SADD k a b; SADD j c", "SMOVE k j a", false},
    {"SADD k a %1500", "SMOVE k j %1500", true},
    {"SADD k a", "SPOP k", false},
    {"SADD k %500", "SPOP k 3", false},
    {"SADD a x y %300; SADD b x y %300", "SINTERSTORE k a b", true},
    {"SADD a x %400; SADD b y %500; SET k v", "SUNIONSTORE k a b", true},
    {"SADD a x %1500; SADD b x; SADD k %900", "SDIFFSTORE k a b", true},
    /* Sorted sets */
    {"", "ZADD k 1 a 2 b", true},
    {"ZADD k 1 a", "ZADD k 5 a", false},
    {"ZADD k 1 a", "ZADD k 5 %200 6 %300 7 %1500", true},
    {"ZADD k 1 %200 2 %300", "ZADD k 3 %200 1 a 2 b", false},
    {"ZADD k 1 %1500 2 %300 3 %400", "ZADD k 9 %1500", true},
    {"", "ZINCRBY k 1 a", true},
    {"ZADD k 1 a 2 b", "ZREM k a", false},
    {"ZADD k 1 %500 2 %600 3 %1500", "ZREM k %600 %1500", false},
    {"ZADD k 1 a 2 b", "ZPOPMIN k", false},
    {"ZADD k 1 %500 2 %600", "ZPOPMAX k 5", false},
    {"ZADD k 1 %500 2 %600", "ZMPOP 1 k MIN", false},
    {"ZADD k 1 a 2 b", "BZPOPMIN k 0", false},
    {"ZADD k 1 %500 2 %600", "BZPOPMAX k 0", false},
    {"ZADD k 1 %500 2 %600", "BZMPOP 0 1 k MIN COUNT 2", false},
    {"ZADD k 1 a 2 %500 3 %1500", "ZRANGESTORE j k 0 -1", true},
    {"ZADD k 1 a 2 %500 3 %1500", "ZREMRANGEBYRANK k 0 1", false},
    {"ZADD k 1 a 2 %500 3 %1500", "ZREMRANGEBYSCORE k 2 5", false},
    {"ZADD k 1 a 1 b", "ZREMRANGEBYLEX k - (b", false},
    {"ZADD a 1 x 2 %300; SADD b %300 y; SET k v", "ZUNIONSTORE k 2 a b", true},
    {"ZADD a 1 x 2 %300; SADD b %300 y x", "ZINTERSTORE k 2 a b", true},
    {"ZADD a 1 x 2 %1500; SADD b y", "ZDIFFSTORE k 2 a b", true},
    /* Positions, SORT */
    {"", "GEOADD k 1 1 a", true},
    {"GEOADD k 1 1 a 2 2 b", "GEOSEARCHSTORE j k FROMMEMBER a BYRADIUS 900 km", true},
    {"GEOADD k 1 1 a 2 2 %600", "GEORADIUS k 1 1 900 km STOREDIST k", true},
    {"GEOADD k 1 1 a", "GEORADIUSBYMEMBER k a 5 km STORE j", true},
    {"RPUSH k 3 1 2; SET w1 %1500", "SORT k GET w* GET # STORE j", true},
    /* Streams */
    {"", "XADD k 1-1 a 1", true},
    {"XADD k 1-1 a 1", "XADD k 1-2 a 1", false},
    {"XADD k 1-1 a 1", "XADD k 1-2 a 1 b 2", true},
    {"XADD k 1-1 a 1", "XADD k 1-2 a %1500", true},
    {"XADD k 1-1 a 1; XADD k 1-2 %1500 &5000", "XADD k MAXLEN 1 * %1400 %1100", true},
    {"XADD k 1-1 a 1; XADD k 1-2 a 1; XADD k 1-3 a 1",
     "XADD k MAXLEN ~ 1 * a 1 b 2 c 3 d 4 e 5 f 6 g 7 h 8", true},
    {"XADD k 1-1 a 1; XADD k 1-2 a %1500", "XDEL k 1-1 1-2", false},
    {"XADD k 1-1 a 1; XADD k 1-2 a %1500", "XTRIM k MAXLEN 1", false},
    {"XADD k 1-1 a 1; XADD k 1-2 a 1; XADD k 1-3 a 1; XADD k 2-1 a 1; XADD k 3-1 a 1",
     "XDEL k 1-2 3-1", false},
    {"XADD k 1-1 a 1", "XSETID k 5-5", false},
    {"XADD k 1-1 a 1; XADD k 1-2 %300 %1500", "COPY k j", true},
    {"XADD k 1-1 a 1; XADD k 1-2 %300 %1500", "RENAME k j", true},
    {"XADD k 1-1 a 1; XADD k 1-2 %300 %1500", "MOVE k 2", true},
    /* Consumer groups */
    {"XADD k 1-1 a 1", "XGROUP CREATE k g 0", true},
    {"", "XGROUP CREATE k g 0 MKSTREAM", true},
    {"XGROUP CREATE k g 0 MKSTREAM", "XGROUP SETID k g 5", false},
    {"XADD k 1-1 a 1; XGROUP CREATE k g 0; XREADGROUP GROUP g c STREAMS k >", "XGROUP DESTROY k g",
     false},
    {"XGROUP CREATE k g 0 MKSTREAM", "XGROUP CREATECONSUMER k g c", true},
    {"XGROUP CREATE k g 0 MKSTREAM; XGROUP CREATECONSUMER k g c", "XGROUP CREATECONSUMER k g %600",
     true},
    {"XADD k 1-1 a 1; XGROUP CREATE k g 0; XREADGROUP GROUP g c STREAMS k >",
     "XGROUP DELCONSUMER k g c", false},
    {"XADD k 1-1 a 1; XADD k 1-2 %600 %600; XGROUP CREATE k g 0",
     "XREADGROUP GROUP g c STREAMS k >", true},
    {"XADD k 1-1 a 1; XGROUP CREATE k g 0; XGROUP CREATECONSUMER k g c",
     "XREADGROUP GROUP g c STREAMS k >", true},
    {"XADD k 1-1 a 1; XADD j 1-1 a 1; XADD i 1-1 a 1; XGROUP CREATE k g 0; XGROUP CREATE j g 0; "
     "XGROUP CREATE i g 0",
     "XREADGROUP GROUP g c STREAMS k j i k > > > 0", true},
    {"XADD k 1-1 a 1; XADD j 1-1 a 1; XGROUP CREATE k g 0; XGROUP CREATE j g 0",
     "XREADGROUP GROUP g c STREAMS k j k j k j k j k j > > > > > > > > > >", true},
    {"XADD k 1-1 a 1; XGROUP CREATE k g 0; XREADGROUP GROUP g c STREAMS k >",
     "XREADGROUP GROUP g c STREAMS k 0", false},
    {"XADD k 1-1 a 1; XGROUP CREATE k g 0; XREADGROUP GROUP g c STREAMS k >", "XACK k g 1-1",
     false},
    {"XADD k 1-1 a 1; XGROUP CREATE k g 0; XREADGROUP GROUP g c STREAMS k >",
     "XACK k g 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 1-1", true},
    {"XADD k 1-1 a 1; XGROUP CREATE k g 0; XREADGROUP GROUP g b STREAMS k >",
     "XCLAIM k g c 0 1-1 1-1 LASTID 5", true},
    {"XADD k 1-1 a 1; XGROUP CREATE k g 0", "XCLAIM k g c 0 1-1 FORCE JUSTID", true},
    {"XADD k 1-1 a 1; XADD k 1-2 a 1; XGROUP CREATE k g 0; XREADGROUP GROUP g b STREAMS k >; XDEL "
     "k 1-1",
     "XAUTOCLAIM k g c 0 0", true},
    {"XADD k 1-1 a 1; XADD k 1-2 a 1; XGROUP CREATE k g 0; XREADGROUP GROUP g b STREAMS k >",
     "COPY k j", true},
    {"XADD k 1-1 a 1; XADD k 1-2 a 1; XGROUP CREATE k g 0; XREADGROUP GROUP g b STREAMS k >",
     "RENAME k j", true},
    {"", "RESTORE k 0 ^v", true},
    {"", "RESTORE k 100 ^30", true},
    {"SET k &5000 PX 90", "RESTORE k 0 ^60 REPLACE", true},
    {"SADD k a b c", "RESTORE k 100 ^30 REPLACE", true},
    {"SET k v", "RESTORE k 5 ^60 REPLACE ABSTTL", true},
};

/* Keys beside those of the case, so that it meets full buckets and tables about to grow. */
static void fill(struct world *world, int count) {
    char line[64];
    for (int i = 0; i < count; i++) {
        (void)snprintf(line, sizeof line, "SET filler:%d v%s", i, i % 3 ? "" : " EX 50");
        world_run(world, line);
        assert_false(world->failed);
    }
}

struct outcome {
    bool failed_once;
    uint64_t dirty;
};

/* A look that found nothing may be notified. */
static bool declares_a_change(const struct world *world) {
    return strstr(world->recorded.at, "log") || strstr(world->recorded.at, "touch");
}

/* Runs the line with ever more memory until it succeeds. */
static struct outcome run_until_it_succeeds(struct world *world, const char *line) {
    static struct world_text before, after;
    struct outcome outcome = {0};
    uint64_t dirty = world->effects.dirty;
    world_dump(world, &before);
    for (long attempt = 1; attempt < ATTEMPTS_MAX; attempt++) {
        world->fail_after = attempt;
        world_run(world, line);
        world->fail_after = 0;
        world_check(world);
        if (!world->failed) {
            outcome.dirty = world->effects.dirty - dirty;
            return outcome;
        }
        outcome.failed_once = true;
        world_dump(world, &after);
        assert_string_equal(world->reply.at, "-OOM out of memory: the command was not executed");
        assert_string_equal(before.at, after.at);
        assert_false(declares_a_change(world));
        assert_int_equal(world->effects.dirty, dirty);
    }
    fail_msg("%s never succeeds", line);
    return outcome;
}

/* Frozen, a command needs more: copies of what it changes. */
static struct outcome check_case(const struct memory_case *c, int filler, bool slabs, bool frozen) {
    static struct world_text with_failures, without;
    struct world *world = world_new(2), *rich = world_new(2);
    fill(world, filler);
    fill(rich, filler);
    world_run_all(world, c->given);
    world_run_all(rich, c->given);
    uint64_t dirty = rich->effects.dirty;
    world->fail_slabs = slabs;
    if (frozen) world_freeze(world);
    struct outcome outcome = run_until_it_succeeds(world, c->line);
    world_run(rich, c->line);
    world_dump(world, &with_failures);
    world_dump(rich, &without);
    assert_string_equal(with_failures.at, without.at);
    if (!world->lost) assert_string_equal(world->reply.at, rich->reply.at);
    assert_int_equal(outcome.dirty, rich->effects.dirty - dirty);
    assert_string_equal(world->recorded.at, rich->recorded.at);
    if (frozen) world_thaw(world);
    world_free(world);
    world_free(rich);
    return outcome;
}

static void test_refused_memory_changes_nothing(void **state) {
    static const int fillers[] = {0, 9, 40, 160};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool failed = false;
        for (size_t f = 0; f < sizeof fillers / sizeof *fillers; f++) {
            failed |= check_case(&cases[i], fillers[f], false, false).failed_once;
            failed |= check_case(&cases[i], fillers[f], true, false).failed_once;
        }
        if (failed != cases[i].allocates)
            fail_msg("\"%s\", then \"%s\" %s", cases[i].given, cases[i].line,
                     failed ? "needs memory" : "was never refused any");
    }
}

static void test_refused_memory_changes_nothing_frozen(void **state) {
    bool failed = false;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int slabs = 0; slabs < 2; slabs++)
            failed |= check_case(&cases[i], 9, slabs, true).failed_once;
    assert_true(failed);
}

/* A key whose time has come is gone even if what found it then fails: no effect of that is lost. */
static void test_an_expiry_is_kept_when_the_command_fails(void **state) {
    (void)state;
    struct world *world = world_new(1);
    world_run_all(world, "SET k v PX 10; ~10");
    world->fail_slabs = false;
    world->fail_after = 1;
    world_run(world, "SET k %5000");
    assert_true(world->failed);
    assert_string_equal(world->recorded.at, "log:DEL k; touch:k; x:expired k");
    assert_int_equal(world_count(world, 0), 0);
    world_free(world);
}

/* Active expiry that cannot remember a long key's name leaves the key for the next round. */
static void test_active_expiry_without_memory(void **state) {
    (void)state;
    struct world *world = world_new(1);
    world_run_all(world, "SET %200 v PX 10; SET %300 v PX 10; ~10");
    mem_fail_after(2);
    world_expire(world);
    mem_fail_after(0);
    assert_int_equal(world_count(world, 0), 1);
    assert_int_equal(world->keyspaces[0].stats.expired, 1);
    world_expire(world);
    assert_int_equal(world_count(world, 0), 0);
    assert_int_equal(world->keyspaces[0].stats.expired, 2);
    world_free(world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused_memory_changes_nothing),
        cmocka_unit_test(test_refused_memory_changes_nothing_frozen),
        cmocka_unit_test(test_an_expiry_is_kept_when_the_command_fails),
        cmocka_unit_test(test_active_expiry_without_memory),
    };
    return cmocka_run_group_tests(tests, world_bind, NULL);
}
