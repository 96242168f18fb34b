/* The command table: what is known about every command before it runs.
 *
 * Role: metadata from commands.def, look-up by name, key positions of a command line, and the place
 * where each layer binds its handlers. The table answers questions; it dispatches nothing and
 * counts nothing (statistics live per shard, in arrays indexed by `id`).
 * Threads: everything but `handler` is fixed when the library is loaded. `handler` is written by
 * command_bind before the first shard thread starts; binding the same handler again writes nothing,
 * so that a further server may start while others run. All other functions: any thread.
 * Ownership: rows live as long as the library. Nothing is allocated but by key_refs_init.
 * Invariants:
 *   T1 `id` is dense in [0, command_count()) and is the row's position in commands.def.
 *   T2 the subcommands of a container are the `subcommand_count` rows that follow it.
 *   T3 `acl` holds the categories that the flags imply.
 * Errors: none; an unknown command is NULL.
 * Bounds: names are at most COMMAND_NAME_MAX bytes; longer arguments are unknown commands.
 */
#pragma once

#include "base/bytes.h"

struct call;
struct domain;
struct key_list; /* private to table.c */

#define COMMAND_NAME_MAX 24 /* bytes of a name or of a subcommand's own name */

/* Flags in the order in which COMMAND INFO lists them; a NULL name is never listed. */
#define COMMAND_FLAGS(X)                      \
    X(WRITE, "write")                         \
    X(READONLY, "readonly")                   \
    X(DENYOOM, "denyoom")                     \
    X(ADMIN, "admin")                         \
    X(PUBSUB, "pubsub")                       \
    X(NOSCRIPT, "noscript")                   \
    X(BLOCKING, "blocking")                   \
    X(LOADING, "loading")                     \
    X(STALE, "stale")                         \
    X(SKIP_MONITOR, "skip_monitor")           \
    X(SKIP_SLOWLOG, "skip_slowlog")           \
    X(ASKING, "asking")                       \
    X(FAST, "fast")                           \
    X(NO_AUTH, "no_auth")                     \
    X(NO_MANDATORY_KEYS, "no_mandatory_keys") \
    X(NO_ASYNC_LOADING, "no_async_loading")   \
    X(NO_MULTI, "no_multi")                   \
    X(MOVABLE_KEYS, "movablekeys")            \
    X(ALLOW_BUSY, "allow_busy")               \
    X(MAY_REPLICATE, NULL)                    \
    X(SENTINEL, NULL)                         \
    X(PROTECTED, NULL)                        \
    X(TOUCHES_ARBITRARY_KEYS, NULL)

/* ACL categories, likewise in the order of COMMAND INFO. */
#define COMMAND_ACL(X)            \
    X(KEYSPACE, "keyspace")       \
    X(READ, "read")               \
    X(WRITE, "write")             \
    X(SET, "set")                 \
    X(SORTEDSET, "sortedset")     \
    X(LIST, "list")               \
    X(HASH, "hash")               \
    X(STRING, "string")           \
    X(BITMAP, "bitmap")           \
    X(HYPERLOGLOG, "hyperloglog") \
    X(GEO, "geo")                 \
    X(STREAM, "stream")           \
    X(PUBSUB, "pubsub")           \
    X(ADMIN, "admin")             \
    X(FAST, "fast")               \
    X(SLOW, "slow")               \
    X(BLOCKING, "blocking")       \
    X(DANGEROUS, "dangerous")     \
    X(CONNECTION, "connection")   \
    X(TRANSACTION, "transaction") \
    X(SCRIPTING, "scripting")

/* What a command does to the keys that a spec finds: one of RO, RW, OW (overwrites), RM, then what
 * it does to the value; NOT_KEY marks names that are routed like keys but are none. */
#define COMMAND_KEY_FLAGS(X)    \
    X(RO, "RO")                 \
    X(RW, "RW")                 \
    X(OW, "OW")                 \
    X(RM, "RM")                 \
    X(ACCESS, "access")         \
    X(UPDATE, "update")         \
    X(INSERT, "insert")         \
    X(DELETE, "delete")         \
    X(NOT_KEY, "not_key")       \
    X(INCOMPLETE, "incomplete") \
    X(VARIABLE_FLAGS, "variable_flags")

/* Groups as COMMAND DOCS names them. */
#define COMMAND_GROUPS(X)           \
    X(STRING, "string")             \
    X(BITMAP, "bitmap")             \
    X(HYPERLOGLOG, "hyperloglog")   \
    X(LIST, "list")                 \
    X(SET, "set")                   \
    X(SORTED_SET, "sorted-set")     \
    X(HASH, "hash")                 \
    X(GEO, "geo")                   \
    X(STREAM, "stream")             \
    X(GENERIC, "generic")           \
    X(CONNECTION, "connection")     \
    X(PUBSUB, "pubsub")             \
    X(TRANSACTIONS, "transactions") \
    X(SCRIPTING, "scripting")       \
    X(SERVER, "server")             \
    X(CLUSTER, "cluster")

#define COMMAND_BIT(prefix, name) prefix##name = 1u << prefix##BIT_##name

#define X(name, text) CMD_BIT_##name,
enum command_flag_bit { COMMAND_FLAGS(X) CMD_BIT_COUNT };
#undef X
#define X(name, text) COMMAND_BIT(CMD_, name),
enum command_flags { CMD_NONE = 0, COMMAND_FLAGS(X) };
#undef X
/* Those without a name. */
#define CMD_UNLISTED (CMD_MAY_REPLICATE | CMD_SENTINEL | CMD_PROTECTED | CMD_TOUCHES_ARBITRARY_KEYS)

#define X(name, text) ACL_BIT_##name,
enum command_acl_bit { COMMAND_ACL(X) ACL_BIT_COUNT };
#undef X
#define X(name, text) COMMAND_BIT(ACL_, name),
enum command_acl { ACL_IMPLIED = 0, COMMAND_ACL(X) };
#undef X

#define X(name, text) KEY_BIT_##name,
enum key_flag_bit { COMMAND_KEY_FLAGS(X) KEY_BIT_COUNT };
#undef X
#define X(name, text) COMMAND_BIT(KEY_, name),
enum key_flags { COMMAND_KEY_FLAGS(X) };
#undef X

#define X(name, text) GROUP_##name,
enum command_group { COMMAND_GROUPS(X) GROUP_COUNT };
#undef X

/* The part of the server that answers a command. */
enum command_owner {
    OWNER_CORE,     /* the runtime and the first strings */
    OWNER_COMMANDS, /* strings, keys, connection and inspection */
    OWNER_TYPES,    /* the other value types */
    OWNER_ATOMIC,   /* transactions, blocking, channels, tracking */
    OWNER_LOG,      /* persistence */
    OWNER_SCRIPTS,  /* scripts and functions */
    OWNER_REFUSED,  /* known, and always an error: cluster, replication, modules */
};

enum key_begin { KEY_BEGIN_INDEX, KEY_BEGIN_KEYWORD, KEY_BEGIN_UNKNOWN };
enum key_find { KEY_FIND_RANGE, KEY_FIND_KEYNUM, KEY_FIND_UNKNOWN };

/* Where keys are in a command line: first find where to begin, from there the keys. */
struct key_spec {
    uint16_t flags; /* enum key_flags */
    struct {
        uint8_t type;     /* enum key_begin */
        int16_t position; /* INDEX: of the first key; KEYWORD: search from here on; if it is
                             negative: backwards, from so many before the end */
        const char *word; /* KEYWORD: in upper case; the keys begin behind it */
    } begin;
    struct {
        uint8_t type;  /* enum key_find */
        int16_t last;  /* RANGE: relative to begin; negative: from the end of argv */
        int16_t limit; /* RANGE: with last -1, only the first 1/limit of what follows are keys */
        int16_t count; /* KEYNUM: position of the number of keys, relative to begin */
        int16_t first; /* KEYNUM: position of the first key, relative to begin */
        int16_t step;
    } find;
    const char *note; /* for people; NULL if there is none */
};

struct command {
    const char *name;      /* lower case; of a subcommand its own: "setname" */
    const char *full_name; /* "client|setname"; equal to name at the top level */
    const char *since;
    int arity; /* argv[0] included; negative: at least */
    uint16_t id;
    uint8_t owner;                         /* enum command_owner */
    uint8_t group;                         /* enum command_group */
    uint64_t flags;                        /* enum command_flags */
    uint32_t acl;                          /* enum command_acl */
    int16_t first_key, last_key, key_step; /* as old clients read them; all 0: none */
    uint16_t subcommand_count;
    uint8_t spec_count;
    const struct key_spec *specs;
    const char *const *tips;         /* ends with NULL; NULL if there are none */
    const struct command *container; /* NULL at the top level */
    const struct command *subcommands;
    bool (*find_keys)(const struct command *, const struct bytes *argv, size_t argc,
                      struct key_list *); /* private to table.c; NULL if it has no specs */
    /* Written before `handler`: it looks at every shard; or its arguments say at which, if not by keys. */
    bool all_shards;
    bool local;   /* it needs the client behind the call, so it runs on the client's thread alone */
    bool open;    /* its arguments do not tell all shards that it looks at: struct call, `reach` */
    bool at_once; /* runs in MULTI as well, instead of being queued */
    /* With `local`: does this command line need it? NULL: each does. Written before `handler`, like the others. */
    bool (*stays)(const struct bytes *argv, uint32_t argc);
    uint64_t (*places)(const struct domain *, const struct bytes *argv, uint32_t argc);
    void (*handler)(struct call *); /* NULL until bound */
};

/* A key of a command line: argv[index], and what the command does to it (enum key_flags). */
struct key_ref {
    uint32_t index;
    uint32_t flags;
};

/* The row of a command line: by argv[0], and in a container by argv[1] as well. A container without
 * a further argument is found itself. NULL if there is no such command, or no such subcommand
 * (then command_find(argv, 1) is the container). */
const struct command *command_find(const struct bytes *argv, size_t argc);

/* The row of a full name in any case: "get", "CLIENT|setname", "client". */
const struct command *command_find_name(struct bytes full_name);

/* Binds a handler to the row of a full name. The row must exist, and a bound row is never rebound
 * to another handler. */
void command_bind(const char *full_name, void (*handler)(struct call *));
/* The same for a handler that has keys and needs the client that asks: it runs where that is, and is never forwarded. */
void command_bind_local(const char *full_name, void (*handler)(struct call *));
/* The same if it needs the client only where `stays` says so of its arguments. */
void command_bind_local_if(const char *full_name, void (*handler)(struct call *),
                           bool (*stays)(const struct bytes *argv, uint32_t argc));
/* The same for a handler that is about whole databases or the server: it runs with every shard held. */
void command_bind_all_shards(const char *full_name, void (*handler)(struct call *));
/* The same for a handler whose keys do not say which shards it looks at (SCAN has none, SORT's patterns name some):
 * it runs with those of the mask that `places` returns held. */
void command_bind_placed(const char *full_name, void (*handler)(struct call *),
                         uint64_t (*places)(const struct domain *, const struct bytes *argv,
                                            uint32_t argc));

/* The same for a handler that also looks at keys which nobody knows before: a call of it begins with the shards of its
 * keys, or of the mask that `places` returns unless that is NULL, and takes others as it comes to them. */
void command_bind_open(const char *full_name, void (*handler)(struct call *),
                       uint64_t (*places)(const struct domain *, const struct bytes *argv,
                                          uint32_t argc));
/* The command is never queued by MULTI. */
void command_set_at_once(const char *full_name);

/* All rows, subcommands included. */
size_t command_count(void);
/* Those that are no subcommands. */
size_t command_count_top_level(void);
const struct command *command_at(size_t id);

static inline bool command_arity_ok(const struct command *command, size_t argc) {
    return command->arity >= 0 ? argc == (size_t)command->arity : argc >= (size_t)-command->arity;
}

/* The keys of a command line whose arity is right, in the order of the specs. Returns their number,
 * of which at most `capacity` are stored; 0 if it has none; -1 if the arguments do not say (a count
 * that is no number or exceeds the arguments): such a line is a syntax error that the handler
 * reports. The flags of a spec with VARIABLE_FLAGS are the most that the command may do. */
int command_keys(const struct command *command, const struct bytes *argv, size_t argc,
                 struct key_ref *out, size_t capacity);

/* The same, all of them, in `few` or in memory of their own. */
enum { KEY_REFS_FEW = 64 };
struct key_refs {
    struct key_ref *at;
    int count; /* as command_keys returns it */
    struct key_ref few[KEY_REFS_FEW];
};
/* False: no memory; then there is nothing to deinit. */
bool key_refs_init(struct key_refs *refs, const struct command *command, const struct bytes *argv,
                   size_t argc);
void key_refs_deinit(struct key_refs *refs);

/* Names by bit number; NULL for a flag that is not shown to clients. */
const char *command_flag_name(enum command_flag_bit bit);
const char *command_acl_name(enum command_acl_bit bit);
const char *command_key_flag_name(enum key_flag_bit bit);
const char *command_group_name(enum command_group group);
