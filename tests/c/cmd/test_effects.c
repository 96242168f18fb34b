/* What every handler declares: to the log, to watchers, to notifications. Event names, classes and their
 * order are Redis's. */
#include "cmd/cmd_world.h"
#include "cmd/world_cut.h"

#include <stdio.h>
#include <string.h>

struct effect_case {
    const char *given; /* lines that run before */
    const char *line;
    const char *reply;    /* NULL: of no interest here */
    const char *recorded; /* of `line` alone */
};

/* ---- Writes ------------------------------------------------------------------------------------- */

/* The clock stands at 1000000 when a world begins. */
static const struct effect_case writes[] = {
    /* SET: relative expiries become points in time, conditions and GET leave no trace. */
    {"", "SET k v", "+OK", "log:SET k v; n:new k; touch:k; $:set k"},
    {"SET k 1", "set k v", "+OK", "log:SET k v; touch:k; $:set k"},
    {"", "3> SET k v", "+OK", "log/3:SET k v; n:new k in 3; touch:k in 3; $:set k in 3"},
    {"", "SET k %5000", "+OK", "log:SET k %5000; n:new k; touch:k; $:set k"},
    {"", "SET k &5000", "+OK", "log:SET k %5000; n:new k; touch:k; $:set k"},
    {"", "SET %600 v", "+OK", "log:SET %600 v; n:new %600; touch:%600; $:set %600"},
    {"", "SET k v EX 100", "+OK",
     "log:SET k v PXAT 1100000; n:new k; touch:k; $:set k; g:expire k"},
    {"", "SET k v PX 100", "+OK",
     "log:SET k v PXAT 1000100; n:new k; touch:k; $:set k; g:expire k"},
    {"", "SET k v EXAT 2000", "+OK",
     "log:SET k v PXAT 2000000; n:new k; touch:k; $:set k; g:expire k"},
    {"", "SET k v pxat 1000001", "+OK",
     "log:SET k v PXAT 1000001; n:new k; touch:k; $:set k; g:expire k"},
    {"", "SET k v PXAT 1", "+OK", "log:SET k v PXAT 1; n:new k; touch:k; $:set k; g:expire k"},
    {"SET k 1", "SET k v EXAT 1", "+OK", "log:SET k v PXAT 1000; touch:k; $:set k; g:expire k"},
    {"SET k 1 PX 50", "SET k v", "+OK", "log:SET k v; touch:k; $:set k"},
    {"SET k 1 PX 50", "SET k v KEEPTTL", "+OK", "log:SET k v KEEPTTL; touch:k; $:set k"},
    {"", "SET k v KEEPTTL", "+OK", "log:SET k v KEEPTTL; n:new k; touch:k; $:set k"},
    {"", "SET k v NX", "+OK", "log:SET k v; n:new k; touch:k; $:set k"},
    {"SET k 1", "SET k v XX", "+OK", "log:SET k v; touch:k; $:set k"},
    {"SET k 1", "SET k v GET", "$1 1", "log:SET k v; touch:k; $:set k"},
    {"", "SET k v GET", "$-1", "m:keymiss k; log:SET k v; n:new k; touch:k; $:set k"},
    {"", "SET k v NX GET", "$-1", "m:keymiss k; log:SET k v; n:new k; touch:k; $:set k"},
    {"SET k 1", "SET k v XX GET PX 100", "$1 1",
     "log:SET k v PXAT 1000100; touch:k; $:set k; g:expire k"},
    /* A key whose time has come is deleted first, by whatever finds it. */
    {"SET k 1 PX 50; ~50", "SET k v", "+OK",
     "log:DEL k; touch:k; x:expired k; log:SET k v; n:new k; touch:k; $:set k"},
    {"SET k 1 PX 50; ~50", "SET k v KEEPTTL", "+OK",
     "log:DEL k; touch:k; x:expired k; log:SET k v KEEPTTL; n:new k; touch:k; $:set k"},
    {"SET k 1 PX 50; ~50", "SET k v XX", "$-1", "log:DEL k; touch:k; x:expired k"},
    {"SET k 1 PX 50; ~50", "SET k v GET", "$-1",
     "log:DEL k; touch:k; x:expired k; m:keymiss k; log:SET k v; n:new k; touch:k; $:set k"},
    /* MSET */
    {"", "MSET a 1 b 2", "+OK",
     "n:new a; touch:a; $:set a; n:new b; touch:b; $:set b; log:MSET a 1 b 2"},
    {"SET a 0 PX 50", "MSET a 1 b 2 a 3", "+OK",
     "touch:a; $:set a; n:new b; touch:b; $:set b; touch:a; $:set a; log:MSET a 1 b 2 a 3"},
    {"", "MSET a 1 a 2", "+OK", "n:new a; touch:a; $:set a; touch:a; $:set a; log:MSET a 1 a 2"},
    {"", "2> MSET a &5000", "+OK", "n:new a in 2; touch:a in 2; $:set a in 2; log/2:MSET a %5000"},
    {"SET a 0 PX 50; ~50", "MSET a 1", "+OK",
     "log:DEL a; touch:a; x:expired a; n:new a; touch:a; $:set a; log:MSET a 1"},
    /* INCR */
    {"", "INCR k", ":1", "log:INCR k; n:new k; touch:k; $:incrby k"},
    {"SET k 5 PX 100", "INCR k", ":6", "log:INCR k; touch:k; $:incrby k"},
    {"SET k 5 PX 50; ~50", "INCR k", ":1",
     "log:DEL k; touch:k; x:expired k; log:INCR k; n:new k; touch:k; $:incrby k"},
    {"", "INCRBY k -5", ":-5", "log:INCRBY k -5; n:new k; touch:k; $:incrby k"},
    {"SET k 5", "INCRBY k 37", ":42", "log:INCRBY k 37; touch:k; $:incrby k"},
    {"SET k 5", "INCRBY k 0", ":5", "log:INCRBY k 0; touch:k; $:incrby k"},
    {"SET k 5", "DECR k", ":4", "log:DECR k; touch:k; $:incrby k"},
    {"", "DECRBY k 5", ":-5", "log:DECRBY k 5; n:new k; touch:k; $:incrby k"},
    {"SET k 10.5 PX 100", "INCRBYFLOAT k 0.1", "$4 10.6",
     "log:SET k 10.6 KEEPTTL; touch:k; $:incrbyfloat k"},
    {"", "INCRBYFLOAT k 3.0e3", "$4 3000",
     "log:SET k 3000 KEEPTTL; n:new k; touch:k; $:incrbyfloat k"},
    /* Parts */
    {"", "APPEND k ab", ":2", "log:APPEND k ab; n:new k; touch:k; $:append k"},
    {"SET k 1 PX 100", "APPEND k %600", ":601", "log:APPEND k %600; touch:k; $:append k"},
    {"SET k &5000", "APPEND k x", ":5001", "log:APPEND k x; touch:k; $:append k"},
    {"", "SETRANGE k 3 ab", ":5", "log:SETRANGE k 3 ab; n:new k; touch:k; $:setrange k"},
    {"SET k hello", "SETRANGE k 1 a", ":5", "log:SETRANGE k 1 a; touch:k; $:setrange k"},
    {"SET k %600", "SETRANGE k 700 a", ":701", "log:SETRANGE k 700 a; touch:k; $:setrange k"},
    /* HyperLogLogs */
    {"", "PFADD k a b", ":1", "log:PFADD k a b; n:new k; touch:k; $:pfadd k"},
    {"", "3> PFADD k", ":1", "log/3:PFADD k; n:new k in 3; touch:k in 3; $:pfadd k in 3"},
    {"PFADD k a; EXPIREAT k 9999999", "PFADD k b", ":1", "log:PFADD k b; touch:k; $:pfadd k"},
    {"PFADD k a; PFDEBUG TODENSE k", "PFADD k a b", ":1", "log:PFADD k a b; touch:k; $:pfadd k"},
    {"PFADD k a b", "PFCOUNT k", ":2", "log:PFCOUNT k; touch:k"},
    {"PFADD k a; PFDEBUG TODENSE k; COPY k j", "PFCOUNT k", ":1", "log:PFCOUNT k; touch:k"},
    {"PFADD k a; PFADD j b", "PFMERGE k j i", "+OK",
     "m:keymiss i; log:PFMERGE k j i; touch:k; $:pfadd k"},
    {"PFADD k a; PFADD j b; PFDEBUG TODENSE j; EXPIREAT k 9999999", "PFMERGE k j j", "+OK",
     "log:PFMERGE k j j; touch:k; $:pfadd k"},
    {"", "PFMERGE k", "+OK", "m:keymiss k; log:PFMERGE k; n:new k; touch:k; $:pfadd k"},
    {"PFADD k a; PEXPIRE k 50; ~50", "PFMERGE k k", "+OK",
     "log:DEL k; touch:k; x:expired k; m:keymiss k; m:keymiss k; log:PFMERGE k k; n:new k; "
     "touch:k; $:pfadd k"},
    {"PFADD k a", "PFDEBUG TODENSE k", ":1", "log:PFDEBUG TODENSE k"},
    {"PFADD k a", "PFDEBUG GETREG k", NULL, "log:PFDEBUG GETREG k"},
    /* Bits */
    {"", "SETBIT k 7 1", ":0", "log:SETBIT k 7 1; n:new k; touch:k; $:setbit k"},
    {"", "SETBIT k 7 0", ":0", "log:SETBIT k 7 0; n:new k; touch:k; $:setbit k"},
    {"SET k a PX 100", "SETBIT k 0 1", ":0", "log:SETBIT k 0 1; touch:k; $:setbit k"},
    {"SET k a", "SETBIT k 15 0", ":0", "log:SETBIT k 15 0; touch:k; $:setbit k"},
    {"SET k &5000", "SETBIT k 50000 1", ":0", "log:SETBIT k 50000 1; touch:k; $:setbit k"},
    {"SET k a PX 50; ~50", "SETBIT k 1 1", ":0",
     "log:DEL k; touch:k; x:expired k; log:SETBIT k 1 1; n:new k; touch:k; $:setbit k"},
    {"", "BITFIELD k SET u8 0 97 GET u8 0 INCRBY u8 #1000 5", "*3 :0 :97 :5",
     "log:BITFIELD k SET u8 0 97 GET u8 0 INCRBY u8 #1000 5; n:new k; touch:k; $:setbit k"},
    {"SET k a", "BITFIELD k INCRBY u8 0 1 OVERFLOW FAIL INCRBY u8 0 200", "*2 :98 $-1",
     "log:BITFIELD k INCRBY u8 0 1 OVERFLOW FAIL INCRBY u8 0 200; touch:k; $:setbit k"},
    {"", "BITFIELD k OVERFLOW FAIL SET u8 0 256", "*1 $-1",
     "log:BITFIELD k OVERFLOW FAIL SET u8 0 256; n:new k; touch:k"},
    {"SET k a", "BITFIELD k OVERFLOW FAIL SET u8 8 256", "*1 $-1",
     "log:BITFIELD k OVERFLOW FAIL SET u8 8 256; touch:k"},
    {"SET a abc; SET b xyz", "BITOP AND k a b", ":3",
     "log:BITOP AND k a b; n:new k; touch:k; $:set k"},
    {"SET a abc; SET k v PX 100", "BITOP NOT k a", ":3", "log:BITOP NOT k a; touch:k; $:set k"},
    {"SET a &5000; SET k &5000", "BITOP XOR k a k", ":5000",
     "log:BITOP XOR k a k; touch:k; $:set k"},
    {"SET a %600; RPUSH k x", "BITOP OR k a j", ":600",
     "m:keymiss j; log:BITOP OR k a j; touch:k; $:set k"},
    {"SET k v", "BITOP AND k a b", ":0", "m:keymiss a; m:keymiss b; log:DEL k; touch:k; g:del k"},
    {"SET a abc PX 50; SET k v; ~50", "BITOP OR k a k", ":1",
     "log:DEL a; touch:a; x:expired a; m:keymiss a; log:BITOP OR k a k; touch:k; $:set k"},
    /* SET under other names */
    {"", "SETNX k v", ":1", "log:SET k v; n:new k; touch:k; $:set k"},
    {"", "SETEX k 100 v", "+OK", "log:SET k v PXAT 1100000; n:new k; touch:k; $:set k; g:expire k"},
    {"SET k 1", "PSETEX k 100 v", "+OK", "log:SET k v PXAT 1000100; touch:k; $:set k; g:expire k"},
    {"SET k 1 PX 100", "GETSET k v", "$1 1", "log:SET k v; touch:k; $:set k"},
    {"", "GETSET k v", "$-1", "m:keymiss k; log:SET k v; n:new k; touch:k; $:set k"},
    {"SET k 1", "GETDEL k", "$1 1", "log:DEL k; touch:k; g:del k"},
    {"", "MSETNX a 1 b 2", ":1",
     "n:new a; touch:a; $:set a; n:new b; touch:b; $:set b; log:MSETNX a 1 b 2"},
    /* GETEX */
    {"SET k 1", "GETEX k EX 100", "$1 1", "log:PEXPIREAT k 1100000; touch:k; g:expire k"},
    {"SET k 1 PX 50", "GETEX k PXAT 2000000", "$1 1",
     "log:PEXPIREAT k 2000000; touch:k; g:expire k"},
    {"SET k 1 PX 50", "GETEX k PERSIST", "$1 1", "log:PERSIST k; touch:k; g:persist k"},
    {"SET k 1", "GETEX k EXAT 1", "$1 1", "log:DEL k; touch:k; g:del k"},
    /* DEL */
    {"SET k 1", "DEL k", ":1", "touch:k; g:del k; log:DEL k"},
    {"SET k 1; SET j &9000", "DEL k i j k", ":2",
     "touch:k; g:del k; touch:j; g:del j; log:DEL k i j k"},
    {"SET k 1 PX 50; SET j 1; ~50", "DEL k j", ":1",
     "log:DEL k; touch:k; x:expired k; touch:j; g:del j; log:DEL k j"},
    {"SET k 1 PX 50; ~50", "DEL k", ":0", "log:DEL k; touch:k; x:expired k"},
    /* EXPIRE: the log gets the point in time, and no condition. */
    {"SET k 1", "EXPIRE k 100", ":1", "log:PEXPIREAT k 1100000; touch:k; g:expire k"},
    {"SET k 1", "PEXPIRE k 100", ":1", "log:PEXPIREAT k 1000100; touch:k; g:expire k"},
    {"SET k 1 EX 5", "EXPIRE k 100 XX GT", ":1", "log:PEXPIREAT k 1100000; touch:k; g:expire k"},
    {"SET k 1", "PEXPIRE k 100 NX", ":1", "log:PEXPIREAT k 1000100; touch:k; g:expire k"},
    {"SET k &5000", "PEXPIRE k 100 LT", ":1", "log:PEXPIREAT k 1000100; touch:k; g:expire k"},
    {"SET k 1", "EXPIRE k 0", ":1", "log:DEL k; touch:k; g:del k"},
    {"SET k 1 EX 5", "PEXPIRE k -1000000", ":1", "log:DEL k; touch:k; g:del k"},
    {"SET k 1 PX 50; ~50", "EXPIRE k 100", ":0", "log:DEL k; touch:k; x:expired k"},
    {"SET k 1", "EXPIREAT k 2000", ":1", "log:PEXPIREAT k 2000000; touch:k; g:expire k"},
    {"SET k 1 EX 5", "EXPIREAT k 2000 XX GT", ":1", "log:PEXPIREAT k 2000000; touch:k; g:expire k"},
    {"SET k 1", "EXPIREAT k 1000", ":1", "log:DEL k; touch:k; g:del k"},
    {"SET k 1", "PEXPIREAT k 1000001", ":1", "log:PEXPIREAT k 1000001; touch:k; g:expire k"},
    {"SET k 1", "PEXPIREAT k -5", ":1", "log:DEL k; touch:k; g:del k"},
    {"SET k 1 EX 5", "PERSIST k", ":1", "log:PERSIST k; touch:k; g:persist k"},
    {"SET k &5000 EX 5", "PERSIST k", ":1", "log:PERSIST k; touch:k; g:persist k"},
    /* UNLINK is DEL by another name. */
    {"SET k 1; SET j &9000", "UNLINK k i j k", ":2",
     "touch:k; g:del k; touch:j; g:del j; log:UNLINK k i j k"},
    /* RENAME: what was there before leaves without a word, as in Redis. */
    {"SET k 1", "RENAME k j", "+OK",
     "log:RENAME k j; ready:j; n:new j; touch:k; g:rename_from k; touch:j; g:rename_to j"},
    {"SET k 1 PX 50; SET j &5000 PX 60", "RENAME k j", "+OK",
     "log:RENAME k j; ready:j; n:new j; touch:k; g:rename_from k; touch:j; g:rename_to j"},
    {"SET k 1; SET j 2 PX 50; ~50", "RENAME k j", "+OK",
     "log:DEL j; touch:j; x:expired j; log:RENAME k j; ready:j; n:new j; touch:k; "
     "g:rename_from k; touch:j; g:rename_to j"},
    {"3> SET k &5000", "3> RENAME k %600", "+OK",
     "log/3:RENAME k %600; ready:%600 in 3; n:new %600 in 3; touch:k in 3; g:rename_from k in 3; "
     "touch:%600 in 3; g:rename_to %600 in 3"},
    {"SET %600 &5000 PX 50", "RENAME %600 k", "+OK",
     "log:RENAME %600 k; ready:k; n:new k; touch:%600; g:rename_from %600; touch:k; g:rename_to k"},
    {"SET k 1", "RENAMENX k j", ":1",
     "log:RENAMENX k j; ready:j; n:new j; touch:k; g:rename_from k; touch:j; g:rename_to j"},
    {"SET k 1; SET j 2 PX 50; ~50", "RENAMENX k j", ":1",
     "log:DEL j; touch:j; x:expired j; log:RENAMENX k j; ready:j; n:new j; touch:k; "
     "g:rename_from k; touch:j; g:rename_to j"},
    /* MOVE */
    {"SET k 1 PX 90", "MOVE k 2", ":1",
     "log:MOVE k 2; ready:k in 2; n:new k in 2; touch:k; g:move_from k; touch:k in 2; "
     "g:move_to k in 2"},
    {"1> SET k &5000", "1> MOVE k 0", ":1",
     "log/1:MOVE k 0; ready:k; n:new k; touch:k in 1; g:move_from k in 1; touch:k; g:move_to k"},
    {"SET k 1; 2> SET k 2 PX 50; ~50", "MOVE k 2", ":1",
     "log/2:DEL k; touch:k in 2; x:expired k in 2; log:MOVE k 2; ready:k in 2; n:new k in 2; "
     "touch:k; g:move_from k; touch:k in 2; g:move_to k in 2"},
    /* COPY */
    {"SET k 1", "COPY k j", ":1", "log:COPY k j; ready:j; n:new j; touch:j; g:copy_to j"},
    {"SET k &5000 PX 90", "COPY k j DB 3", ":1",
     "log:COPY k j DB 3; ready:j in 3; n:new j in 3; touch:j in 3; g:copy_to j in 3"},
    {"SET k 1", "COPY k k DB 1", ":1",
     "log:COPY k k DB 1; ready:k in 1; n:new k in 1; touch:k in 1; g:copy_to k in 1"},
    {"SET k 1; SET j &5000 PX 90", "COPY k j REPLACE", ":1",
     "log:COPY k j REPLACE; ready:j; n:new j; touch:j; g:copy_to j"},
    {"SET k 1; SET j 2 PX 50; ~50", "COPY k j", ":1",
     "log:DEL j; touch:j; x:expired j; log:COPY k j; ready:j; n:new j; touch:j; g:copy_to j"},
    /* RESTORE: the time that is left becomes a point in time; what comes late deletes what it replaces. */
    {"", "RESTORE k 0 ^v", "+OK", "log:RESTORE k 0 ^v; ready:k; n:new k; touch:k; g:restore k"},
    {"", "2> RESTORE k 0 ^30", "+OK",
     "log/2:RESTORE k 0 ^30; ready:k in 2; n:new k in 2; touch:k in 2; g:restore k in 2"},
    {"", "restore-asking k 100 ^v", "+OK",
     "log:restore-asking k 1000100 ^v ABSTTL; ready:k; n:new k; touch:k; g:restore k"},
    {"SET k &5000 PX 90", "RESTORE k 1000100 ^60 IDLETIME 5 absttl REPLACE", "+OK",
     "log:RESTORE k 1000100 ^60 REPLACE ABSTTL IDLETIME 5; ready:k; n:new k; touch:k; g:restore k"},
    {"SADD k a; PEXPIRE k 50; ~50", "RESTORE k 0 ^v replace FREQ 9", "+OK",
     "log:RESTORE k 0 ^v REPLACE FREQ 9; ready:k; n:new k; touch:k; g:restore k"},
    {"SADD k a; PEXPIRE k 50; ~50", "RESTORE k 0 ^v", "+OK",
     "log:DEL k; touch:k; x:expired k; log:RESTORE k 0 ^v; ready:k; n:new k; touch:k; g:restore k"},
    {"SET k v", "RESTORE k 5 ^v REPLACE ABSTTL", "+OK", "log:DEL k; touch:k; g:del k"},
    /* SWAPDB: every key of both may have changed, which is told while they are still there. */
    {"SET k 1; SET j &5000; 2> SET k 3 PX 90", "SWAPDB 0 2", "+OK",
     "touch-all:0; touch-all:2; log:SWAPDB 0 2; ready-all:0; ready-all:2"},
    {"1> SET k 1", "3> SWAPDB 2 1", "+OK",
     "touch-all:2; touch-all:1; log/3:SWAPDB 2 1; ready-all:2; ready-all:1"},
    {"SET k 1", "SWAPDB 0 0", "+OK", "log:SWAPDB 0 0"},
    /* Whole databases: one entry in the log, whatever was in them. */
    {"SET k 1; 1> SET j 1", "FLUSHDB", "+OK", "touch-all:0; log:FLUSHDB"},
    {"", "FLUSHDB ASYNC", "+OK", "touch-all:0; log:FLUSHDB ASYNC"},
    {"1> SET j 1", "1> FLUSHDB SYNC", "+OK", "touch-all:1; log/1:FLUSHDB SYNC"},
    {"SET k 1; 1> SET j 1", "FLUSHALL", "+OK", "touch-all:*; log:FLUSHALL"},
#include "cmd/element_writes.def"
};

/* ---- What changes nothing ----------------------------------------------------------------------- */

static const struct effect_case refused[] = {
    {"", "SET k v XX", "$-1", ""},
    {"SET k 1", "SET k v NX", "$-1", ""},
    {"SET k 1", "SET k v NX GET", "$1 1", ""},
    {"", "SET k v NX XX", NULL, ""},
    {"", "SET k v EX", NULL, ""},
    {"", "SET k v EX 0", NULL, ""},
    {"", "SET k v EX x", NULL, ""},
    {"", "SET k v EX 9223372036854775807", NULL, ""},
    {"", "SET k v PX 9223372036854775807", NULL, ""},
    {"SET k 1", "SET k v EX 1 KEEPTTL", NULL, ""},
    {"", "MSET a 1 b", "-ERR wrong number of arguments for 'mset' command", ""},
    {"SET k x", "INCR k", "-ERR value is not an integer or out of range", ""},
    {"SET k 9223372036854775807", "INCR k", "-ERR increment or decrement would overflow", ""},
    {"SET k 1", "INCRBY k x", "-ERR value is not an integer or out of range", ""},
    {"", "INCRBY k x", "-ERR value is not an integer or out of range", ""},
    {"SET k -5", "INCRBY k -9223372036854775808", "-ERR increment or decrement would overflow", ""},
    {"", "DECRBY k -9223372036854775808", "-ERR decrement would overflow", ""},
    {"SET k x", "INCRBYFLOAT k 1", "-ERR value is not a valid float", ""},
    {"SET k 1", "INCRBYFLOAT k inf", "-ERR increment would produce NaN or Infinity", ""},
    {"SET k x", "DECR k", "-ERR value is not an integer or out of range", ""},
    {"SETRANGE k 2097151 a", "APPEND k b",
     "-ERR string exceeds maximum allowed size (proto-max-bulk-len)", ""},
    {"", "SETRANGE k 0 %0", ":0", ""},
    {"SET k 1", "SETRANGE k -1 a", "-ERR offset is out of range", ""},
    {"SET k 1", "SETRANGE k 536870912 a",
     "-ERR string exceeds maximum allowed size (proto-max-bulk-len)", ""},
    {"SET k v", "PFADD k a", "-WRONGTYPE Key is not a valid HyperLogLog string value.", ""},
    {"PFADD k a", "PFADD k a", ":0", ""},
    {"PFADD k a", "PFADD k", ":0", ""},
    {"PFADD k a; PFDEBUG TODENSE k", "PFADD k a", ":0", ""},
    {"PFADD k a; APPEND k x", "PFCOUNT k", "-INVALIDOBJ Corrupted HLL object detected", ""},
    {"PFADD k a; APPEND k x", "PFCOUNT j k", "-INVALIDOBJ Corrupted HLL object detected",
     "m:keymiss j"},
    {"PFADD k a; APPEND k x", "PFMERGE j k", "-INVALIDOBJ Corrupted HLL object detected",
     "m:keymiss j"},
    {"PFADD k a; SET j v", "PFMERGE k j", "-WRONGTYPE Key is not a valid HyperLogLog string value.",
     ""},
    {"RPUSH k a", "PFMERGE j k",
     "-WRONGTYPE Operation against a key holding the wrong kind of value", "m:keymiss j"},
    {"PFADD k a; APPEND k x", "PFDEBUG TODENSE k", "-INVALIDOBJ Corrupted HLL object detected", ""},
    {"", "PFDEBUG TODENSE k", "-ERR The specified key does not exist", ""},
    {"PFADD k a", "PFDEBUG FOO k", "-ERR Unknown PFDEBUG subcommand 'FOO'", ""},
    {"PFADD k a; PFDEBUG TODENSE k", "PFDEBUG TODENSE k", ":0", ""},
    {"SET k a", "SETBIT k 1 1", ":1", ""},
    {"RPUSH k a", "SETBIT k 1 1",
     "-WRONGTYPE Operation against a key holding the wrong kind of value", ""},
    {"", "SETBIT k 16777216 1", "-ERR bit offset is not an integer or out of range", ""},
    {"", "SETBIT k 1 2", "-ERR bit is not an integer or out of range", ""},
    {"SET k a", "BITFIELD k SET u8 0 97", "*1 :97", ""},
    {"SET k a", "BITFIELD k OVERFLOW FAIL INCRBY u8 0 200", "*1 $-1", ""},
    {"", "BITFIELD k GET u8 0", "*1 :0", "m:keymiss k"},
    {"", "BITFIELD k", "*0", "m:keymiss k"},
    {"", "BITFIELD k SET u8 0 1 GET u64 0",
     "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but "
     "i64 is.",
     ""},
    {"RPUSH k a", "BITFIELD k SET u8 0 1",
     "-WRONGTYPE Operation against a key holding the wrong kind of value", ""},
    /* A product beyond 64 bits is not a small number. */
    {"", "BITFIELD k SET u8 #2305843009213693952 7",
     "-ERR bit offset is not an integer or out of range", ""},
    {"SET a abc; RPUSH b x", "BITOP AND k a b",
     "-WRONGTYPE Operation against a key holding the wrong kind of value", ""},
    {"SET k v", "BITOP NOT k k k", "-ERR BITOP NOT must be called with a single source key.", ""},
    {"", "BITOP OR k a", ":0", "m:keymiss a"},
    {"SET k 1", "SETNX k v", ":0", ""},
    {"SET k 1", "SETEX k 0 v", "-ERR invalid expire time in 'setex' command", ""},
    {"SET k 1", "PSETEX k x v", "-ERR value is not an integer or out of range", ""},
    {"SET b 1", "MSETNX a 1 b 2", ":0", ""},
    {"", "GETDEL k", "$-1", "m:keymiss k"},
    {"", "GETEX k EX 10", "$-1", "m:keymiss k"},
    {"SET k 1", "GETEX k", "$1 1", ""},
    {"SET k 1", "GETEX k PERSIST", "$1 1", ""},
    {"SET k 1 PX 50", "GETEX k EX 0", "-ERR invalid expire time in 'getex' command", ""},
    {"SET k 1", "GETEX k NX", "-ERR syntax error", ""},
    {"", "DEL k j", ":0", ""},
    {"", "EXPIRE k 100", ":0", ""},
    {"SET k 1", "EXPIRE k x", "-ERR value is not an integer or out of range", ""},
    {"SET k 1", "EXPIRE k 9223372036854775807", "-ERR invalid expire time in 'expire' command", ""},
    {"SET k 1", "EXPIRE k 1 NX XX",
     "-ERR NX and XX, GT or LT options at the same time are not compatible", ""},
    {"SET k 1", "EXPIRE k 1 GT LT", "-ERR GT and LT options at the same time are not compatible",
     ""},
    {"SET k 1", "EXPIRE k 1 SOON", "-ERR Unsupported option SOON", ""},
    {"SET k 1", "PEXPIRE k 100 XX", ":0", ""},
    {"", "EXPIREAT k 5000", ":0", ""},
    {"SET k 1", "EXPIREAT k 9223372036854775807", "-ERR invalid expire time in 'expireat' command",
     ""},
    {"SET k 1", "PEXPIREAT k 2000000 XX", ":0", ""},
    {"SET k 1 PX 90", "PEXPIREAT k 1000090 GT", ":0", ""},
    {"SET k 1", "PERSIST k", ":0", ""},
    {"", "PERSIST k", ":0", ""},
    {"", "UNLINK k j", ":0", ""},
    {"", "RENAME k j", "-ERR no such key", ""},
    {"SET j 1", "RENAME k k", "-ERR no such key", ""},
    {"SET k 1", "RENAME k k", "+OK", ""},
    {"SET k 1; SET j 1", "RENAMENX k j", ":0", ""},
    {"SET k 1", "RENAMENX k k", ":0", ""},
    {"", "RENAMENX k j", "-ERR no such key", ""},
    {"", "MOVE k 1", ":0", ""},
    {"SET k 1; 1> SET k 2", "MOVE k 1", ":0", ""},
    {"SET k 1", "MOVE k 0", "-ERR source and destination objects are the same", ""},
    {"SET k 1", "MOVE k 4", "-ERR DB index is out of range", ""},
    {"SET k 1", "MOVE k -1", "-ERR DB index is out of range", ""},
    {"SET k 1", "MOVE k x", "-ERR value is not an integer or out of range", ""},
    {"SET k 1; SET j 2", "COPY k j", ":0", ""},
    {"", "COPY k j", ":0", "m:keymiss k"},
    {"SET k 1", "COPY k k", "-ERR source and destination objects are the same", ""},
    {"SET k 1", "COPY k j DB", "-ERR syntax error", ""},
    {"SET k 1", "COPY k j DB 4", "-ERR DB index is out of range", ""},
    {"SET k 1", "SWAPDB 0 4", "-ERR DB index is out of range", ""},
    {"SET k 1", "SWAPDB x 1", "-ERR invalid first DB index", ""},
    {"SET k 1", "SWAPDB 1 99999999999", "-ERR invalid second DB index", ""},
    {"SET k 1 EX 5", "PEXPIRE k 100 NX", ":0", ""},
    {"SET k 1 EX 5", "PEXPIRE k 100 GT", ":0", ""},
    {"SET k 1", "PEXPIRE k 100 GT", ":0", ""},
    {"SET k 1 PX 100", "PEXPIRE k 100 LT", ":0", ""},
    {"SET k 1", "FLUSHDB NOW", "-ERR syntax error", ""},
    {"SET k 1", "FLUSHALL ASYNC SYNC", "-ERR syntax error", ""},
#include "cmd/element_refused.def"
};

static const struct effect_case reads[] = {
    {"SET k 1", "GET k", "$1 1", ""},
    {"", "GET k", "$-1", "m:keymiss k"},
    {"SET k 1; SET j 2", "MGET k j k", "*3 $1 1 $1 2 $1 1", ""},
    {"SET k 1", "MGET k j", "*2 $1 1 $-1", "m:keymiss j"},
    {"SET k hello", "GETRANGE k 1 -2", "$3 ell", ""},
    {"", "GETRANGE k 0 -1", "$0 ", "m:keymiss k"},
    {"SET k hello", "SUBSTR k 0 0", "$1 h", ""},
    {"SET k hello", "STRLEN k", ":5", ""},
    {"", "STRLEN k", ":0", "m:keymiss k"},
    {"SET k abc; SET j bcd", "LCS k j", "$2 bc", ""},
    {"PFADD k a; PFCOUNT k", "PFCOUNT k", ":1", ""},
    {"", "PFCOUNT k", ":0", "m:keymiss k"},
    {"PFADD k a; PFADD j b", "PFCOUNT k j i", ":2", "m:keymiss i"},
    {"PFADD k a", "PFDEBUG ENCODING k", "+sparse", ""},
    {"PFADD k b", "PFDEBUG DECODE k", "$19 Z:15780 v:1,1 Z:603", ""},
    {"", "PFSELFTEST", "+OK", ""},
    {"SET k a", "GETBIT k 1", ":1", ""},
    {"", "GETBIT k 1", ":0", "m:keymiss k"},
    {"SET k a", "BITCOUNT k", ":3", ""},
    {"SET k a", "BITPOS k 1", ":1", ""},
    {"SET k a", "BITFIELD_RO k GET u8 0", "*1 :97", ""},
    {"", "BITFIELD_RO k SET u8 0 1", "-ERR BITFIELD_RO only supports the GET subcommand", ""},
    {"SET k 1", "EXISTS k k", ":2", ""},
    {"", "EXISTS k", ":0", "m:keymiss k"},
    {"SET k 1 EX 5", "TTL k", ":5", ""},
    {"", "TTL k", ":-2", "m:keymiss k"},
    {"SET k 1 EX 5", "PTTL k", ":5000", ""},
    {"SET k 1", "PTTL k", ":-1", ""},
    {"SET k 1; 1> SET j 1", "DBSIZE", ":1", ""},
    {"", "PING", "+PONG", ""},
    {"", "PING hello", "$5 hello", ""},
    {"", "ECHO hello", "$5 hello", ""},
    {"", "COMMAND COUNT", NULL, ""},
    /* A reader is who finds that a key's time has come. */
    {"SET k 1 PX 50; ~49", "GET k", "$1 1", ""},
    {"SET k 1 PX 50; ~50", "GET k", "$-1", "log:DEL k; touch:k; x:expired k; m:keymiss k"},
    {"3> SET k 1 PX 50; ~50", "3> MGET k", "*1 $-1",
     "log/3:DEL k; touch:k in 3; x:expired k in 3; m:keymiss k in 3"},
    {"SET k 1 PX 50; ~50", "EXISTS k", ":0", "log:DEL k; touch:k; x:expired k; m:keymiss k"},
    {"SET k 1", "TYPE k", "+string", ""},
    {"", "TYPE k", "+none", "m:keymiss k"},
    {"SET k 1", "TOUCH k j k", ":2", "m:keymiss j"},
    {"SET k 1 PX 1500", "EXPIRETIME k", ":1002", ""},
    {"SET k 1", "EXPIRETIME k", ":-1", ""},
    {"SET k 1 PX 1500", "PEXPIRETIME k", ":1001500", ""},
    {"", "PEXPIRETIME k", ":-2", "m:keymiss k"},
    {"SET k 1", "OBJECT ENCODING k", "$3 int", ""},
    {"", "OBJECT ENCODING k", "$-1", ""},
    {"SET k &5000", "OBJECT REFCOUNT k", ":1", ""},
    {"SET k 1", "OBJECT IDLETIME k", ":0", ""},
    {"", "OBJECT FREQ k", "$-1", ""},
    {"SET k 1 PX 50; ~50", "OBJECT REFCOUNT k", "$-1", "log:DEL k; touch:k; x:expired k"},
    {"SET k 1", "MEMORY USAGE k", NULL, ""},
    {"SET k 1", "RANDOMKEY", "$1 k", ""},
    {"1> SET k 1", "RANDOMKEY", "$-1", ""},
    {"SET k 1 PX 50; ~50", "RANDOMKEY", "$-1", "log:DEL k; touch:k; x:expired k"},
    {"SET %600 1 PX 50; SET j 1; ~50", "KEYS *", "*1 $1 j", ""},
    {"SET kilo 1; SET j 1", "KEYS k*o", "*1 $4 kilo", ""},
    {"SET k 1; 1> SET j 1", "SCAN 0", "*2 $1 0 *1 $1 k", ""},
    {"SET k 1", "SCAN 0 TYPE hash", "*2 $1 0 *0", ""},
    {"SET k 1", "SCAN 0 TYPE what", "*2 $1 0 *0", ""},
    {"SET k 1; SET j 1", "SCAN 0 TYPE STRING MATCH j", "*2 $1 0 *1 $1 j", ""},
    {"SET k 1; SET j 1", "SCAN x", "-ERR invalid cursor", ""},
    {"SET %600 1 PX 50; SET j 1; ~50", "SCAN 0", "*2 $1 0 *1 $1 j",
     "log:DEL %600; touch:%600; x:expired %600"},
    {"SET k 1 PX 50; SET j 1; ~50", "SCAN 0 MATCH j", "*2 $1 0 *1 $1 j", ""},
    {"SET k 1 PX 50; ~50", "TTL k", ":-2", "log:DEL k; touch:k; x:expired k; m:keymiss k"},
#include "cmd/element_reads.def"
};

/* ---- Running the cases -------------------------------------------------------------------------- */

#define COUNT(cases) (sizeof(cases) / sizeof(cases)[0])

static void check_case(const struct effect_case *c, uint32_t shards, bool route) {
    struct world *world = world_new(shards);
    world->route = route;
    world_run_all(world, c->given);
    world_run(world, c->line);
    if (strcmp(world->recorded.at, c->recorded) != 0 ||
        (c->reply && strcmp(world->reply.at, c->reply) != 0))
        print_message("given \"%s\", \"%s\" on %u shards\n", c->given, c->line, shards);
    assert_string_equal(world->recorded.at, c->recorded);
    if (c->reply) assert_string_equal(world->reply.at, c->reply);
    world_free(world);
}

static void check_cases(const struct effect_case *cases, size_t count) {
    for (size_t i = 0; i < count; i++) {
        check_case(&cases[i], 1, true);
        check_case(&cases[i], 3, true);
        check_case(&cases[i], 4, false);
    }
}

static void test_writes(void **state) {
    (void)state;
    check_cases(writes, COUNT(writes));
}

/* A write between a snapshot's cut and its walk: what is kept is what was there before. */
static void test_writes_during_a_snapshot(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(writes); i++) {
        struct world_cut cut;
        struct world *world = world_new(3);
        world_run_all(world, writes[i].given);
        world_cut_begin(&cut, world);
        world_run(world, writes[i].line);
        world_cut_end(&cut);
        world_free(world);
    }
}

static void test_refused_commands_declare_nothing(void **state) {
    (void)state;
    check_cases(refused, COUNT(refused));
}

static void test_reads_declare_no_change(void **state) {
    (void)state;
    check_cases(reads, COUNT(reads));
}

/* Refused commands, errors and reads leave everything as it was. */
static void test_what_declares_nothing_changes_nothing(void **state) {
    static struct world_text before, after;
    (void)state;
    for (size_t i = 0; i < COUNT(refused) + COUNT(reads); i++) {
        const struct effect_case *c = i < COUNT(refused) ? &refused[i] : &reads[i - COUNT(refused)];
        if (strstr(c->recorded, "expired")) continue;
        struct world *world = world_new(2);
        world_run_all(world, c->given);
        uint64_t dirty = world->effects.dirty;
        world_dump(world, &before);
        world_run(world, c->line);
        world_dump(world, &after);
        assert_string_equal(before.at, after.at);
        assert_int_equal(world->effects.dirty, dirty);
        world_free(world);
    }
}

/* PEXPIREAT as it is replayed: while a log is loaded nothing is too late. */
static void apply_deadline(struct world *world, uint32_t db, const char *key, int64_t deadline_ms) {
    struct call call = {.domain = &world->domain, .db = db};
    struct key_place place = keyspace_for_bytes(&call, bytes_of(key, strlen(key)), db);
    struct entry *entry = keyspace_find(place.keyspace, db, place.hash, place.key);
    assert_non_null(entry);
    assert_non_null(keyspace_set_deadline(place.keyspace, db, place.hash, entry, deadline_ms));
}

static void replay_item(struct world *world, const char *item) {
    char line[512], key[64];
    unsigned db = 0;
    long long deadline_ms;
    (void)sscanf(item, "log/%u:", &db);
    item = strchr(item, ':') + 1;
    if (sscanf(item, "PEXPIREAT %63s %lld", key, &deadline_ms) == 2) {
        apply_deadline(world, db, key, deadline_ms);
        return;
    }
    (void)snprintf(line, sizeof line, "%u> %s", db, item);
    world->call_flags |= CALL_LOADING;
    world_run(world, line);
    world->call_flags &= ~(uint32_t)CALL_LOADING;
    assert_false(world->failed);
}

static void replay(struct world *world, const struct world_text *recorded) {
    char items[2048], *rest = items, *end;
    assert_true(recorded->len < sizeof items);
    memcpy(items, recorded->at, recorded->len + 1);
    for (char *item = items; item; item = end ? rest : NULL) {
        end = strstr(item, "; ");
        if (end) {
            *end = '\0';
            rest = end + 2;
        }
        if (strncmp(item, "log", 3) == 0) replay_item(world, item);
    }
}

static bool has_fields_expire(const struct effect_case *c) {
    return strstr(c->given, "HEXPIRE") || strstr(c->given, "HPEXPIRE") ||
           strstr(c->recorded, "HPEXPIREAT");
}

/* What the log got, run on the data of before, makes the data of after, deadlines included: also a day
 * later, when a relative expiry would mean something else. */
static void test_replaying_the_log_gives_the_same_data(void **state) {
    enum { DAY_MS = 86400000 };
    static struct world_text original, replayed;
    (void)state;
    for (size_t i = 0; i < COUNT(writes); i++) {
        struct world *world = world_new(3), *copy = world_new(3);
        world_run_all(world, writes[i].given);
        world_run_all(copy, writes[i].given);
        world_run(world, writes[i].line);
        /* Without deadlines of before nothing expires while the clock jumps. Those of fields would be too
         * late, since nothing loads a log here. */
        if (!strstr(writes[i].given, "X ") && !has_fields_expire(&writes[i]))
            copy->now_ms += DAY_MS;
        replay(copy, &world->recorded);
        world_dump(world, &original);
        world_dump(copy, &replayed);
        assert_string_equal(original.at, replayed.at);
        world_free(world);
        world_free(copy);
    }
}

/* As a server that starts a day later runs it. */
static struct world *later;

static void log_for_later(struct call *call, uint32_t db, const struct bytes *argv, uint32_t argc) {
    static struct reply_pool pool;
    struct reply reply;
    const struct command *command = command_find(argv, argc);
    (void)call;
    assert_non_null(command);
    reply_init(&reply, &pool, 2);
    struct call again = {.command = command,
                         .argv = argv,
                         .argc = argc,
                         .db = db,
                         .reply = &reply,
                         .domain = &later->domain,
                         .effects = &later->effects,
                         .flags = CALL_LOADING};
    command->handler(&again);
    assert_false(again.failed);
    reply_clear(&reply);
    reply_pool_deinit(&pool);
}

static void test_a_log_from_its_beginning_gives_the_same_data(void **state) {
    enum { DAY_MS = 86400000 };
    static struct world_text original, replayed;
    (void)state;
    for (size_t i = 0; i < COUNT(writes); i++) {
        struct world *world = world_new(3);
        later = world_new(3);
        later->now_ms += DAY_MS;
        world->sink.log = log_for_later;
        world_run_all(world, writes[i].given);
        world_run(world, writes[i].line);
        world_dump(world, &original);
        world_dump(later, &replayed);
        assert_string_equal(original.at, replayed.at);
        world_free(world);
        world_free(later);
    }
}

/* With a sink that wants nothing a handler does the same, and the changes are counted all the same. */
static void test_effects_that_nobody_wants(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(writes); i++) {
        static struct world_text heard, unheard;
        struct world *world = world_new(2), *deaf = world_new(2);
        deaf->effects.sink = &effect_sink_none;
        world_run_all(world, writes[i].given);
        world_run_all(deaf, writes[i].given);
        world_run(world, writes[i].line);
        world_run(deaf, writes[i].line);
        world_dump(world, &heard);
        world_dump(deaf, &unheard);
        assert_string_equal(heard.at, unheard.at);
        assert_string_equal(world->reply.at, deaf->reply.at);
        assert_string_equal(deaf->recorded.at, "");
        assert_int_equal(world->effects.dirty, deaf->effects.dirty);
        world_free(world);
        world_free(deaf);
    }
}

/* ---- Values of other types ---------------------------------------------------------------------- */

static struct entry *entry_at(struct world *world, const char *key) {
    struct call call = {.domain = &world->domain};
    struct key_place place = keyspace_for_bytes(&call, bytes_of(key, strlen(key)), 0);
    return keyspace_find(place.keyspace, 0, place.hash, place.key);
}

/* The entry wears the type only while the line runs: what is in it stays a string. */
static void check_wrong_type(const char *line, const char *reply) {
    struct world *world = world_new(2);
    world_run_all(world, "SET k 1; SET s 2");
    struct entry *entry = entry_at(world, "k");
    entry->type = VALUE_LIST;
    world_run(world, line);
    entry->type = VALUE_STRING;
    assert_string_equal(world->reply.at, reply);
    assert_string_equal(world->recorded.at, "");
    world_run(world, "GET k");
    assert_string_equal(world->reply.at, "$1 1");
    world_free(world);
}

static void test_wrong_types(void **state) {
    static const char wrong[] =
        "-WRONGTYPE Operation against a key holding the wrong kind of value";
    (void)state;
    check_wrong_type("GET k", wrong);
    check_wrong_type("SET k v GET", wrong);
    check_wrong_type("INCR k", wrong);
    check_wrong_type("INCRBY k 2", wrong);
    check_wrong_type("MGET k s", "*2 $-1 $1 2");
    check_wrong_type("EXISTS k", ":1");
    check_wrong_type("TTL k", ":-1");
}

/* ---- Expiry that nobody asked for --------------------------------------------------------------- */

static void test_active_expiry(void **state) {
    (void)state;
    struct world *world = world_new(1);
    world_run_all(world, "SET k 1 PX 50; 2> SET j &5000 PX 60; SET i 1 PX 70; SET h 1");
    world_expire(world);
    assert_string_equal(world->recorded.at, "");
    world_run_all(world, "~50");
    world_expire(world);
    assert_string_equal(world->recorded.at, "log:DEL k; touch:k; x:expired k");
    world_run_all(world, "~10");
    world_expire(world);
    assert_string_equal(world->recorded.at, "log/2:DEL j; touch:j in 2; x:expired j in 2");
    assert_int_equal(world_count(world, 0), 2);
    assert_int_equal(world_count(world, 2), 0);
    assert_int_equal(world->keyspaces[0].stats.expired, 2);
    world_free(world);
}

static void test_active_expiry_of_many(void **state) {
    enum { MANY = 300 };
    char line[64];
    (void)state;
    struct world *world = world_new(3);
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(line, sizeof line, "SET key:%d 1 PX %d", i, i % 2 ? 10 : 1000);
        world_run(world, line);
    }
    world_run_all(world, "~10");
    world_expire(world);
    assert_int_equal(world_count(world, 0), MANY / 2);
    size_t deletions = 0;
    for (const char *at = world->recorded.at; (at = strstr(at, "log:DEL ")) != NULL; at++)
        deletions++;
    assert_int_equal(deletions, MANY / 2);
    world_check(world);
    world_free(world);
}

/* ---- Nothing is forgotten ----------------------------------------------------------------------- */

static bool logs(const struct effect_case *c) {
    return strstr(c->recorded, "log") != NULL;
}

static bool has_case(const struct command *command, const struct effect_case *cases, size_t count,
                     bool logged) {
    for (size_t i = 0; i < count; i++) {
        char text[256], *words[2] = {NULL, NULL}, *rest;
        (void)snprintf(text, sizeof text, "%s", cases[i].line);
        char *word = strtok_r(text, " ", &rest);
        if (word[strlen(word) - 1] == '>') word = strtok_r(NULL, " ", &rest);
        words[0] = word;
        words[1] = strtok_r(NULL, " ", &rest);
        struct bytes argv[2] = {bytes_of(word, strlen(word))};
        if (words[1]) argv[1] = bytes_of(words[1], strlen(words[1]));
        if (command_find(argv, words[1] ? 2 : 1) == command && logs(&cases[i]) == logged)
            return true;
    }
    return false;
}

/* Only a value of another type stops it, and there are only strings. */
static bool fails_by_type_alone(const struct command *command) {
    return strcmp(command->full_name, "getset") == 0;
}

/* What it changes it changes when another server has answered, on a thread of the server's (tests/wire/test_migrate.py). */
static bool is_done_elsewhere(const struct command *command) {
    return strcmp(command->full_name, "migrate") == 0;
}

/* A new write command without a case here is a failure, and so is one that can only succeed. */
static void test_every_write_command_has_cases(void **state) {
    size_t checked = 0;
    (void)state;
    for (size_t id = 0; id < command_count(); id++) {
        const struct command *command = command_at(id);
        if (!command->handler || !(command->flags & CMD_WRITE)) continue;
        if (is_done_elsewhere(command)) continue;
        if (!has_case(command, writes, COUNT(writes), true))
            fail_msg("no effects are checked of %s", command->full_name);
        if (!fails_by_type_alone(command) && !has_case(command, refused, COUNT(refused), false))
            fail_msg("no failure is checked of %s", command->full_name);
        checked++;
    }
    assert_true(checked >= 9);
}

static void test_every_read_command_has_a_case(void **state) {
    (void)state;
    for (size_t id = 0; id < command_count(); id++) {
        const struct command *command = command_at(id);
        bool reads_data = command->flags & CMD_READONLY && command->spec_count > 0;
        if (command->handler && reads_data && !has_case(command, reads, COUNT(reads), false))
            fail_msg("no case for %s", command->full_name);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_write_command_has_cases),
        cmocka_unit_test(test_every_read_command_has_a_case),
        cmocka_unit_test(test_writes),
        cmocka_unit_test(test_writes_during_a_snapshot),
        cmocka_unit_test(test_refused_commands_declare_nothing),
        cmocka_unit_test(test_reads_declare_no_change),
        cmocka_unit_test(test_what_declares_nothing_changes_nothing),
        cmocka_unit_test(test_replaying_the_log_gives_the_same_data),
        cmocka_unit_test(test_a_log_from_its_beginning_gives_the_same_data),
        cmocka_unit_test(test_effects_that_nobody_wants),
        cmocka_unit_test(test_wrong_types),
        cmocka_unit_test(test_active_expiry),
        cmocka_unit_test(test_active_expiry_of_many),
    };
    return cmocka_run_group_tests(tests, world_bind, NULL);
}
