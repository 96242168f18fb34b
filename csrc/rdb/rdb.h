/* Redis's dump format: what its files and the payloads of DUMP are made of.
 *
 * Role: numbers of the format, as Redis 2.6 to 7.4 use them (source: the files themselves, and Redis's documentation of
 * them). Versions: what we write has the lowest version that holds it, RDB_VERSION, which Redis 7.0 reads, or
 * RDB_VERSION_FIELDS, if some field of a hash has a deadline. We read 1 to RDB_VERSION_MAX.
 */
#pragma once

#include <stdint.h>

enum { RDB_VERSION = 10, RDB_VERSION_FIELDS = 12, RDB_VERSION_MAX = 12 };

enum rdb_type {
    RDB_STRING = 0,
    RDB_LIST = 1,
    RDB_SET = 2,
    RDB_ZSET = 3, /* scores as text */
    RDB_HASH = 4,
    RDB_ZSET_2 = 5, /* scores as doubles */
    RDB_MODULE_PRE_GA = 6,
    RDB_MODULE_2 = 7,
    RDB_HASH_ZIPMAP = 9,
    RDB_LIST_ZIPLIST = 10,
    RDB_SET_INTSET = 11,
    RDB_ZSET_ZIPLIST = 12,
    RDB_HASH_ZIPLIST = 13,
    RDB_LIST_QUICKLIST = 14,
    RDB_STREAM_LISTPACKS = 15,
    RDB_HASH_LISTPACK = 16,
    RDB_ZSET_LISTPACK = 17,
    RDB_LIST_QUICKLIST_2 = 18,
    RDB_STREAM_LISTPACKS_2 = 19,
    RDB_SET_LISTPACK = 20,
    RDB_STREAM_LISTPACKS_3 = 21,
    RDB_HASH_FIELDS_PRE_GA = 22, /* fields with deadlines */
    RDB_HASH_LISTPACK_FIELDS_PRE_GA = 23,
    RDB_HASH_FIELDS = 24,
    RDB_HASH_LISTPACK_FIELDS = 25,
};

enum rdb_opcode {
    RDB_OP_SLOT_INFO = 244,
    RDB_OP_FUNCTION_2 = 245,
    RDB_OP_FUNCTION_PRE_GA = 246,
    RDB_OP_MODULE_AUX = 247,
    RDB_OP_IDLE = 248,
    RDB_OP_FREQ = 249,
    RDB_OP_AUX = 250,
    RDB_OP_RESIZE_DB = 251,
    RDB_OP_EXPIRE_MS = 252,
    RDB_OP_EXPIRE = 253,
    RDB_OP_SELECT_DB = 254,
    RDB_OP_EOF = 255,
};
