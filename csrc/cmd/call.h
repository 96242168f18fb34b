/* A call: one command in execution, and everything its handler may touch.
 *
 * Role: a handler is a function of a call. It reads its arguments, asks `keyspace_for` where a key lives,
 * writes its reply and declares what it changed (cmd/effects.h). It does no I/O, reads no clock but the
 * call's, never blocks, and cannot tell whether it runs on a shard thread, for another shard, or on
 * a Python thread.
 * Threads: whoever holds the batons of all shards of the call's keys.
 * Ownership: the arguments are borrowed for the duration of the call; the reply belongs to the caller.
 */
#pragma once

#include "base/hash.h"
#include "cmd/effects.h"
#include "cmd/names.h"
#include "cmd/table.h"
#include "cmd/virtual_clock.h"
#include "resp/reply.h"
#include "ring/baton.h"
#include "store/keyspace.h"
#include "store/small.h"

struct client; /* shard/clients/client.h: state of a connection or session; opaque to cmd/ */
struct waiter; /* shard/blocking/waiter.h: a command that waits; the same */
struct await_kind;

/* What a command has to pass before it runs, besides its own checks. */
enum domain_gate {
    GATE_PAUSE = 1,   /* CLIENT PAUSE is in force */
    GATE_MEMORY = 2,  /* there is a budget of memory */
    GATE_MONITOR = 4, /* somebody is shown every command */
    GATE_LOADING = 8, /* the data is being read: nobody sees it before it is whole */
    GATE_DISK = 16,   /* what is written could not be made durable: nothing more is */
    GATE_FAULTS = 32, /* a test lets things go wrong (shard/faults.h) */
};

enum call_flags {
    CALL_NO_TOUCH = 1,  /* leaves the access time of keys as it is */
    CALL_MAY_PAUSE = 2, /* comes again if it is unfinished */
    CALL_SILENT = 4,    /* CLIENT REPLY OFF: nobody is told what it answers */
    CALL_SKIPPED = 8,   /* the same, of this one alone */
    CALL_PAUSED = 32,   /* runs during a pause of writes: it may not even delete what has expired */
    CALL_NESTED = 64,   /* runs inside another call, which completes what it brings about */
    CALL_SUBSCRIBED =
        128,             /* its client is subscribed to channels: in RESP2 few commands are left */
    CALL_MAY_WAIT = 256, /* who asks can wait for what is not there yet */
    CALL_QUEUES = 512,   /* its client is in MULTI: commands are queued */
    CALL_TRACKS = 1024,  /* its client caches what it reads */
    CALL_EXPIRES = 2048, /* what it changes just now is a deadline's doing */
    CALL_RESUMED = 4096, /* a part of its work was done before, which took time */
    CALL_LOADING = 8192, /* repeats what is in a log: nothing is expired, whatever the time */
    CALL_SPARED = 16384, /* it has met its fault */
    CALL_ALOUD = 16,     /* set by a command that ends the silence: its own answer is heard */
};

/* Why (GATE_DISK). */
enum disk_trouble {
    DISK_TROUBLE_LOG = 1, /* the append-only log cannot be written */
    DISK_TROUBLE_SNAPSHOT =
        2, /* the last snapshot for a save point failed, and that stops writes */
};

struct domain_pause {
    uint64_t end_us; /* in waiting time; 0: there was none */
    bool all;        /* stops every command, not only those that write */
};

/* What all calls of a server share. Written at start and under all batons; read after a take. */
struct domain {
    atomic_u64 last_now_ms;     /* any holder, relaxed: the latest time any call has seen (B7) */
    struct access_clock access; /* for all keyspaces */
    atomic_u32
        checked_seconds; /* any holder, relaxed: when the access clock was last looked after */
    struct hash_seed hash_seed;
    struct keyspace **keyspaces; /* one per shard */
    uint32_t shard_count;
    uint32_t database_count;
    struct small_limits small;
    uint64_t string_bytes_max; /* proto-max-bulk-len: what a command may make of a string */
    uint64_t hll_sparse_bytes; /* hll-sparse-max-bytes: a longer HyperLogLog is dense */
    bool compresses_dumps;     /* rdbcompression */
    uint32_t gates;            /* enum domain_gate; 0 as a rule */
    /* Who wait and need more than the shard of a key that they wait for; any holder of the batons of their keys,
     * relaxed: who holds one of them sees those that wait there. */
    atomic_u32 reaching;
    struct domain_pause pause;          /* with GATE_PAUSE */
    uint32_t disk_trouble;              /* enum disk_trouble, with GATE_DISK */
    const char *disk_why;               /* of the log: what the system says; static */
    struct virtual_clock clock;         /* time-outs go by it, and clock_ms unless it is real */
    int64_t (*clock_ms)(void *context); /* real or virtual wall time */
    void *clock_context;
    const struct command_names *names; /* of commands; NULL: their own */
    struct garbage_taker *taker; /* of what is to be freed off the shard threads; NULL in tests */
    void *server_context;        /* the struct server, for handlers of server/ */
};

/* What a handler waits for that finds nothing to do (BLPOP and its kin). When one of the keys is ready the command runs
 * again, which may wait on. */
struct call_wait {
    uint32_t first, count;    /* keys: argv[first] and those behind it */
    enum value_type type;     /* of what it waits for */
    bool of_group;            /* it is to be told as well if what it reads from is gone */
    int64_t timeout_ms;       /* from now on; 0: for ever */
    const struct bytes *argv; /* words to run then, as many as the call has; NULL: the call's own */
    const struct await_kind
        *await; /* no keys: a thread tells (shard/blocking/await.h); NULL: nobody does */
};

/* Of a call whose keys nobody knew before (command_bind_open): its thread has the set's ticket, and takes the place of a
 * key when the call comes to it. */
struct call_reach {
    struct baton_set *set;
    uint64_t *held; /* shards; of who runs the call */
    /* Lets go of what nobody may keep who waits; NULL: there is nothing. */
    void (*let_go)(struct call_reach *reach);
};

struct call {
    const struct command *command;
    const struct bytes *argv;
    uint32_t argc;
    uint32_t db;
    struct reply *reply;
    struct client *client; /* NULL in a plain in-process call and in a forwarded request */
    struct domain *domain;
    struct effects *effects; /* of the turn this call belongs to */
    uint64_t
        first_hash; /* hash of the key at first_hash_index, computed for routing; see call_hash */
    uint32_t first_hash_index; /* 0: none (argv[0] is never a key) */
    int64_t now_ms;            /* 0 until call_now reads it */
    uint32_t flags;            /* enum call_flags */
    bool failed;               /* an error was replied */
    /* Set by a handler that did a part of its work, if call_may_pause: nothing of the reply is written yet, and
     * it is called again with the same arguments once others had their turn. */
    bool unfinished;
    /* How to wait; NULL where nobody may, as inside a transaction. False after the error reply. */
    bool (*wait)(struct call *call, const struct call_wait *wait);
    struct call_reach *reach; /* NULL: everything that it may look at is held */
    bool waits;               /* it does; nothing of the reply is written */
    /* Where a thread that may wait finds what it waits with; NULL: a connection. */
    struct waiter **waiter;
};

struct key_place {
    struct bytes key;
    uint64_t hash;
    struct keyspace *keyspace;
    uint32_t db;
};

/* Can nothing be logged? Then nothing is deleted either, whatever has expired. */
static inline bool domain_log_fails(const struct domain *domain) {
    return KRT_UNLIKELY(domain->gates & GATE_DISK) && (domain->disk_trouble & DISK_TROUBLE_LOG);
}

/* Wall time in milliseconds, real or virtual, that never goes back. */
int64_t domain_now(struct domain *domain);
/* The same in microseconds; full milliseconds where clock_ms goes by another clock. */
int64_t domain_now_us(struct domain *domain);

/* Brings the access clock up to date if a second has passed. Cheaper than reading the time: for once a turn. */
void domain_keep_time(struct domain *domain);

/* Begins to wait. False: it may not, and replies what it has, which is nothing. True: it waits, or an error has been
 * replied. */
bool call_wait(struct call *call, const struct call_wait *wait);

/* The time of the call, read after its last take. */
static inline int64_t call_now(struct call *call) {
    if (call->now_ms == 0) call->now_ms = domain_now(call->domain);
    return call->now_ms;
}

/* Up to when deadlines have passed. What repeats a log finds what it left: whether that is due, it may not decide. */
static inline int64_t call_due(struct call *call) {
    return KRT_UNLIKELY(call->flags & CALL_LOADING) ? INT64_MIN : call_now(call);
}

/* May the handler leave the rest of its work for later? If not, it goes through with it. */
static inline bool call_may_pause(const struct call *call) {
    return call->flags & CALL_MAY_PAUSE;
}

static inline uint64_t call_hash(const struct call *call, uint32_t index) {
    if (KRT_LIKELY(index == call->first_hash_index)) return call->first_hash;
    return hash_bytes(&call->domain->hash_seed, call->argv[index].at, call->argv[index].len);
}

/* Takes what is missing of the shards. */
void call_reach_extend(struct call_reach *reach, uint64_t mask);

/* Where the key in argv[index] lives, in the call's database. */
struct key_place keyspace_for(struct call *call, uint32_t index);
/* The same for argv[index], argv[index + step] and so on, up to KEY_GROUP of them, with their memory fetched
 * ahead: two dependent cache misses are longer than what most commands do to a key. Returns how many. */
enum { KEY_GROUP = 16 };
uint32_t keyspace_for_group(struct call *call, uint32_t index, uint32_t step,
                            struct key_place places[KEY_GROUP]);
/* The same for a key that is not an argument, or in another database. */
struct key_place keyspace_for_bytes(struct call *call, struct bytes key, uint32_t db);

/* The entry of a key for reading: counts a hit or a miss, notes the access; one whose deadline has passed is
 * deleted with its effects and is not found. NULL if there is none. */
struct entry *call_read(struct call *call, const struct key_place *place);
/* The same for writing: counts nothing. */
struct entry *call_find(struct call *call, const struct key_place *place);
/* As call_read for what is no use of the value (TTL, TYPE): the access is not noted. */
struct entry *call_look(struct call *call, const struct key_place *place);
/* The same for a look at the entry itself, as OBJECT's: a miss is not notified either. */
struct entry *call_inspect(struct call *call, const struct key_place *place);
/* Both, of a string: *entry is NULL if there is no key. False after the error reply for another type. A paged string
 * becomes whole for it (call_join). */
bool call_read_string(struct call *call, const struct key_place *place, struct entry **entry);
bool call_find_string(struct call *call, const struct key_place *place, struct entry **entry);
/* The same for who needs a part: it may stay paged (store/paged.h). */
bool call_read_parts(struct call *call, const struct key_place *place, struct entry **entry);
bool call_find_parts(struct call *call, const struct key_place *place, struct entry **entry);
/* Makes a string that may be paged whole, so that entry_string can be asked. False after the error reply. */
bool call_join(struct call *call, const struct key_place *place, struct entry *entry);

/* Deletes and declares it: DEL in the log, touched, notified as `event` of `class`. */
void call_delete(struct call *call, const struct key_place *place, struct entry *entry,
                 enum notify_class class, const char *event);

/* The same for an entry that was found by walking, whose key goes with it. Returns the keyspace it was in, or
 * NULL: no memory to remember a long key's name by; the entry stays. */
struct keyspace *call_delete_entry(struct call *call, uint32_t db, struct entry *entry,
                                   enum notify_class class, const char *event);

/* A copy of an entry's key, for effects that name the key when its bytes are gone. */
enum { KEY_NAME_SHORT = 128 };
struct key_name {
    struct bytes key;
    struct blob *blob;
    char copy[KEY_NAME_SHORT];
};
/* False: no memory for a long one. */
bool key_name_init(struct key_name *name, const struct entry *entry);
void key_name_deinit(struct key_name *name);

/* The reply to a command that does not exist, or to a subcommand that a container has not. */
void call_reply_unknown(struct reply *reply, const struct command_names *names,
                        const struct bytes *argv, uint32_t argc);

/* Error replies, in Redis's words; all mark the call failed. */
void call_error(struct call *call, const char *text);
void call_error_format(struct call *call, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void call_error_syntax(struct call *call);
void call_error_type(struct call *call);
void call_error_integer(struct call *call);
void call_error_memory(struct call *call);
void call_error_arity(struct call *call);
/* Of a container that looks at the number of arguments itself. */
void call_error_subcommand(struct call *call);

/* HELP of a container: its name, then the lines, then what HELP itself does. `lines` ends with NULL. */
void call_reply_help(struct call *call, const char *const *lines);

/* Parses argv[index] as an integer; replies the error and returns false if it is none. */
bool call_integer(struct call *call, uint32_t index, int64_t *out);
/* The same within an int of C, which is what Redis keeps numbers of databases in. `text` is what to reply
 * instead of Redis's usual errors, or NULL. */
bool call_int(struct call *call, uint32_t index, const char *text, int64_t *out);
/* A time-out of seconds, with a fraction if it likes, in argv[index]; what is left of a millisecond counts as one. 0: for
 * ever. False after the error reply. */
bool call_timeout(struct call *call, uint32_t index, int64_t *ms);
/* The number of keys in argv[index], which follow it. */
bool call_key_count(struct call *call, uint32_t index, const char *text, int64_t *count);
