/* The fabric: all shards of one server, what joins them, and the settings they run by.
 *
 * Role: made by server/ from the configuration, run by the shard threads, entered by in-process callers
 * (shard/caller.h). Its shells (batons, shards, seed) live as long as the server, so that a caller that comes
 * during a stop finds a CLOSED baton and nothing freed; what is in the shards lives from start to stop.
 * Threads: members are constant after start but for those marked. Settings change only under all batons.
 * Ownership: shards own their keyspaces and connections.
 */
#pragma once

#include "cmd/call.h"
#include "io/reactor.h"
#include "resp/parser.h"
#include "ring/baton.h"
#include "shard/blocking/alarms.h"
#include "shard/board/tracking.h"
#include "shard/budget.h"
#include "shard/clients/registry.h"
#include "shard/faults.h"
#include "shard/journal/journal.h"
#include "shard/limits.h"
#include "shard/observation/latency_events.h"
#include "shard/observation/slowlog.h"

/* A slice ends sooner than a waiter's spin (BATON_SPIN_NS), so that most waits end without a sleep. */
enum { SHARDS_MAX = 64, SLICE_COMMANDS = 64, SLICE_NS = 12000 };

/* In-process calls of one key do less than this by far. Their fast path is not timed unless shorter times than this are
 * asked for. */
enum { SLOW_US_OF_FAST_CALLS = 1000 };

/* How a shard thread reaches the data of another shard. */
enum borrow_mode {
    BORROW_AUTO,   /* take its baton if that is quick, else forward */
    BORROW_ALWAYS, /* wait for its baton */
    BORROW_NEVER,  /* forward what one other shard can do alone */
};

struct fabric_settings {
    uint32_t shard_count, database_count;
    enum reactor_kind reactor;
    enum borrow_mode borrow;
    bool order_by_shard; /* a connection's commands keep their order per shard only */
    uint32_t ring_entries, buffer_count, buffer_bytes, stream_entries;
    uint32_t max_clients;
    uint32_t idle_timeout_s; /* 0: never */
    uint64_t
        busy_ms; /* how long a shard thread waits for its place before it answers -BUSY; 0: for ever */
    uint32_t tcp_keepalive_s; /* 0: off */
    const char *password;     /* "": none; read under the registry's lock */
    bool latency_tracking;    /* the time of commands is counted by its length too */
    int64_t slow_us;          /* what takes that long is in the slow log; -1: nothing */
    uint64_t slow_entries;    /* of the slow log */
    uint64_t latency_ms;      /* what takes that long is a latency event; 0: nothing */
    bool protected_mode; /* refuses remote peers while there is no password and no explicit bind */
    struct parser_limits parser, parser_unauthenticated;
    struct budget_settings budget;
    struct client_limits limits;
    uint32_t notify_classes; /* enum notify_class: what is published of effects */
    struct small_limits small;
    uint64_t hll_sparse_bytes; /* up to where a HyperLogLog is sparse */
    bool compresses_dumps;     /* rdbcompression, of DUMP */
    uint64_t tracking_keys;    /* that clients may cache; 0: any number */
};

struct board;
struct shard;
struct snapshot;

/* Who wants to know that the data changes again (shard_data.quiet_changes). */
struct change_bell {
    void (*ring)(void *context); /* with a baton held, or NULL */
    void (*emptied)(
        void *context); /* all of it will be gone (FLUSHALL); with all batons, or NULL */
    void *context;
};

struct fabric {
    struct fabric_settings settings;
    struct domain domain;
    struct baton *batons;
    struct baton_set set;
    struct shard **shards;
    struct keyspace **keyspaces; /* domain.keyspaces */
    struct board *board;
    struct snapshot *snapshot; /* snapshot/snapshot.h */
    struct change_bell change_bell;
    struct registry registry;
    struct budget budget;
    struct tracking tracking;
    struct client_eviction eviction;
    struct slowlog slowlog;
    struct journal journal;
    struct latency_events latency;
    struct alarms alarms; /* of who waits in process */
    struct faults faults;
    uint64_t
        slow_ticks; /* somebody wants to know of commands that take so long; UINT64_MAX: nobody.
                            Written at the start and under all batons */
    bool times_all; /* the same of commands that take less than SLOW_US_OF_FAST_CALLS */
    struct effect_sink sink; /* what effects go to; `wanted` changes under all batons */
    const struct command *get_command, *set_command; /* rows of the in-process fast path */
    const struct command *ping_command;              /* of a failing disk it tells */
    atomic_u64 startup_bytes; /* used before there were any keys; the start writes, relaxed */
    atomic_u32
        passed_over; /* somebody was not served for a pause; any holder, relaxed; cleared with all batons */
    atomic_u32 waiters,
        waiters_timed;   /* who wait, and those with a time-out; who begins or ends, relaxed */
    uint32_t kills;      /* how often clients were killed; with all batons */
    bool expiry_is_lazy; /* no active expiry (DEBUG); written with all batons */
    int *listeners;      /* listening fds, accepted on shard 0; with its baton */
    uint32_t listener_count;
    atomic_u32
        door_offered; /* a listening fd + 1, which shard 0 shall accept on, too; who opens it, shard 0 swaps; acq_rel */
    uint32_t door;           /* the same, once it is shard 0's thread's; 0: none */
    atomic_u64 busy_ms;      /* as in the settings, for who takes a baton */
    atomic_u64 pause_end_us; /* as domain.pause, for those who sleep without a baton */
    atomic_u32 pause_bell;   /* futex: rung when a pause begins, ends or changes, and at the stop */
    atomic_u64
        used_peak; /* any holder, by compare-and-swap: the most bytes that were ever seen used */
    atomic_u64 watching_clients; /* that watch something which has not changed; any, relaxed */
    atomic_u64 connections_received, connections_rejected; /* writer shard 0, relaxed; statistics */
};

/* Allocates the shells; every baton is CLOSED. 0 or a negative errno value (then nothing is left). */
int fabric_init(struct fabric *fabric, const struct fabric_settings *settings);
/* Fills the shards and starts their threads; returns when every shard has its reactor and the listeners accept.
 * The listeners are the fabric's if it succeeds. 0 or a negative errno value. */
int fabric_start(struct fabric *fabric, const int *listeners, uint32_t listener_count);
/* Takes all batons, closes them, ends and joins every thread, closes the listeners, empties the shards. */
void fabric_stop(struct fabric *fabric);
void fabric_deinit(struct fabric *fabric);
/* In a forked child. */
void fabric_close_in_child(struct fabric *fabric);

/* Passes a connected fd to the shard with the fewest connections. 0 or a negative errno value. */
int fabric_adopt(struct fabric *fabric, int fd);

/* One more listening fd, once from start to stop, which CONFIG SET does not touch. The fabric's from then on. Waits for
 * nothing: what connects before shard 0 comes round waits in the kernel. Not while the fabric starts or stops. */
void fabric_open_door(struct fabric *fabric, int fd);

/* CONFIG SET, with all batons held: what `settings` says of things that may change at run time. */
void fabric_apply_settings(struct fabric *fabric, const struct fabric_settings *settings);
/* With all batons held: from the next turn of shard 0 on these are the listeners, and those that are not among
 * them are closed. The new ones are the fabric's if it succeeds. False: no memory. */
bool fabric_change_listeners(struct fabric *fabric, const int *listeners, uint32_t count);
/* With all batons held, or while it does not run: domain.clock says something else. */
void fabric_apply_clock(struct fabric *fabric);
/* Notes that so many bytes are used; returns the most that ever were. Any thread. */
uint64_t fabric_note_used(struct fabric *fabric, uint64_t used);
/* The connection of the card is closed by its shard; with the registry's lock. Any thread. */
void fabric_doom(struct fabric *fabric, struct card *card);
bool fabric_has_password(struct fabric *fabric);
/* The password in force, cut to `capacity`; "": none. Any thread. */
void fabric_copy_password(struct fabric *fabric, char *out, size_t capacity);
/* Of the server that the call is made to. */
static inline struct fabric *fabric_of(const struct call *call) {
    return (struct fabric *)((char *)call->domain - offsetof(struct fabric, domain));
}

static inline uint64_t fabric_all(const struct fabric *fabric) {
    return fabric->settings.shard_count == 64 ? UINT64_MAX
                                              : (UINT64_C(1) << fabric->settings.shard_count) - 1;
}
