/* A shard: its two rooms, and the functions that files of shard/ share.
 *
 * Threads: `data` belongs to whoever holds the baton; `io` to the shard thread, always and only.
 * Everything else is constant after start. The files, in the order of a command's way:
 *     loop.c        the phases of the shard thread, on one screen
 *     accept.c      new connections and who gets them
 *     connection.c  receiving, output, the one teardown
 *     turn.c        taking, lending and dropping batons; what must happen before a drop (B6)
 *     plan.c        a run of requests: which command, which keys, which shards
 *     run.c         in place, or forwarded, or waiting: program order
 *     run_fetch.c   the memory of what a run is about, ahead
 *     forward.c     batches to other shards and home again
 *     execute.c     one command: checks, handler, statistics
 *     pause.c       CLIENT PAUSE: what may not run yet
 *     faults.c      what a test lets go wrong
 *     limits.c      what clients may hold
 *     budget.c      maxmemory: is there room, and who must go
 *     caller.c      the same for in-process callers
 *     outcomes.c    what a call brings about beside its reply
 *     departures.c  what clients leave behind in data rooms
 * journal/ joins the shards to the log, and holds back what is not safe yet; transactions/ has MULTI, EXEC and WATCH; blocking/ who waits for keys and how they are served; board/ what is sent to
 * those who did not ask; snapshot/ what is kept as it was; clients/ what a client is and the commands about clients; observation/ what is counted and timed.
 */
#pragma once

#include "aof/chunk.h"
#include "base/map.h"
#include "cmd/call.h"
#include "io/reactor.h"
#include "resp/parser.h"
#include "ring/stream.h"
#include "shard/blocking/await.h"
#include "shard/blocking/in_process.h"
#include "shard/blocking/timers.h"
#include "shard/blocking/waiter.h"
#include "shard/blocking/waiting.h"
#include "shard/board/board.h"
#include "shard/board/tracking.h"
#include "shard/clients/client.h"
#include "shard/departures.h"
#include "shard/fabric.h"
#include "shard/journal/held.h"
#include "shard/message.h"
#include "shard/observation/statistics.h"
#include "shard/outcomes.h"
#include "shard/pause.h"
#include "shard/slots.h"
#include "shard/snapshot/snapshot.h"

struct connection {
    struct io_socket socket; /* first: events name the socket, which is the connection */
    struct client client;
    struct parser parser;
    struct reply output;
    struct slots slots;
    struct connection *next_input, *next_ready, *next_keep, *next_closed; /* of the loop's lists */
    struct connection *next_paused;
    struct connection *next_monitor;
    uint32_t index, generation;
    uint64_t counted_bytes, soft_since_ns; /* see limits.c */
    uint32_t
        outstanding_at; /* the shard at which its forwarded requests are, while slots are pending */
    bool in_input, in_ready, in_keep, suspended, paused, ended_input, closing;
    bool sending;
    bool choked;  /* its socket is not read from (connection_receive) */
    bool drowned; /* something was not told to it, or it has got too much: the next flush ends it */
    struct held_output held;
    struct iovec iov[16];
};

struct shard_counters { /* holder of the baton */
    uint64_t commands, forwarded, borrowed_runs;
    uint64_t input_before,
        output_before; /* bytes that statistics no longer count (CONFIG RESETSTAT) */
};

#define SHARD_NOT_QUIET UINT64_MAX

struct shard_data {
    struct keyspace keyspace;
    struct effects effects;
    struct map watched;            /* its keys that are (transactions/watch.h) */
    struct outcomes outcomes;      /* of calls that this shard is the home of */
    struct aof_tail aof;           /* what they leave for the log (journal/journal.h) */
    struct waiting waiting;        /* for its keys */
    struct tracking_table tracked; /* keys that clients cache */
    struct shard_counters counters;
    struct statistics statistics;
    struct budget_share share;
    struct stream *streams; /* producer ends: streams[t] goes to shard t */
    uint64_t pushed;        /* streams that were pushed to and not yet woken in this turn */
    uint64_t backlogged;    /* streams with messages behind their ring */
    bool expiry_armed;      /* the shard thread knows that there are deadlines */
    uint64_t
        quiet_changes; /* somebody wants to know when effects.dirty is no longer this; or SHARD_NOT_QUIET */
    /* When the last command ended that this shard is the home of: the next one behind it begins then. 0: something
     * else was done since, or the place was dropped. */
    uint64_t ended_ticks;
};

struct shard_io {
    struct reactor *reactor;
    struct connection **connections; /* by index; NULL is free */
    uint32_t *generations;
    uint32_t connection_capacity;
    uint32_t connection_count, next_free;
    struct connection *input_first,
        *input_last;                /* have bytes to parse, or replies that came home */
    struct connection *ready_first; /* have output, or a close, to be looked at after the turn */
    struct connection *keep_first;  /* have been fed from buffers that go back after the turn */
    struct reply_pool pool;
    struct connection *closed_first; /* to be freed at the end of the loop */
    struct run *runs;
    struct batch *open[SHARDS_MAX]; /* batches being filled in this turn */
    struct batch *spare_batches;
    uint32_t spare_count;
    int *accepted; /* accepted in this loop, to be dealt in the turn */
    uint32_t accepted_count, accepted_capacity;
    bool called; /* woken by another thread: a turn is due even without a message */
    struct connection *paused_first; /* may not run yet (pause.c) */
    struct batch *paused_batches;    /* by age */
    struct audience audience;        /* who is subscribed here */
    /* What is pushed to the connection whose transaction runs goes behind the transaction's reply. */
    struct connection *deferring; /* NULL: none */
    struct reply deferred;
    struct timers timers;                       /* of its connections that wait */
    struct batch *held_up_first, *held_up_last; /* wait for batons of others (forward.c); by age */
    uint64_t held_up_ns; /* when to try again; FUTEX_NO_DEADLINE: there are none */
    uint64_t
        put_off_ns; /* when to try again to serve what was put off; FUTEX_NO_DEADLINE: nothing was tried */
    struct departure *departures;
    struct monitor_room monitors;
    uint64_t departures_ns;      /* when to tend to them; FUTEX_NO_DEADLINE: there are none */
    struct client_limits limits; /* as of the last turn */
    uint32_t soft_exceeded;      /* connections beyond a soft limit of output */
    atomic_u64 client_bytes;     /* held for its connections; writer shard thread, relaxed */
    uint64_t pause_end_us; /* to look after them, in waiting time; WAITING_NEVER: nothing waits */
    uint64_t alarms_again_ns; /* somebody in process was just tried: to look again; 0: nobody */
    uint64_t ticket;  /* the highest position of what the thread has seen (journal/held.h) */
    uint64_t awaited; /* the lowest one that output waits for; UINT64_MAX: none */
    bool has_log;     /* there is a position, or was */
    bool has_choked;  /* some connection is */
    bool failing;     /* journal.failing, as it was when those that wait were last looked at */
    struct connection *held_first;
    uint64_t next_cron_ns; /* FUTEX_NO_DEADLINE: nothing periodic to do */
    uint64_t
        snapshot_ns; /* when to go on with the walk of a snapshot; FUTEX_NO_DEADLINE: there is none */
    uint64_t woke_ns;        /* when this loop began */
    uint64_t slice_ns;       /* when this slice began */
    uint32_t slice_commands; /* executed in it */
    atomic_u64
        used_bytes; /* of its data, at the last sample; writer shard thread, relaxed; statistics */
    atomic_u64 input_bytes, output_bytes; /* of sockets; writer shard thread, relaxed; statistics */
    atomic_u64 reads, writes;             /* the same, counted */
    /* The most that one connection held, of input and of output, in this period and in the one before. */
    atomic_u64 recent_input[2], recent_output[2]; /* writer shard thread, relaxed */
    uint64_t recent_ns;                           /* when the period began */
    atomic_u64 loops, gap_max_ns, gaps_over_1ms;  /* writer shard thread, relaxed; statistics */
};

struct shard {
    struct fabric *fabric;
    struct baton *baton;
    uint32_t index;
    uint64_t own; /* the bit of its baton */
    uint64_t
        held; /* batons held by the shard thread in this turn, often its own; the thread only */
    atomic_u32
        has_doomed; /* some connection is to be ended; any thread sets, the thread clears, relaxed */
    atomic_u32
        busy; /* somebody else has the place for long; writer the thread, readers other shard threads, relaxed */
    atomic_u64
        awaited; /* what output waits for here; UINT64_MAX: nothing. Writer the thread, reader the log's; seq_cst */
    struct call_reach reach; /* of the thread */
    bool has_ticket;         /* its call's set is open; the thread only */
    int64_t now_ms;          /* the clock of this slice, 0: not read yet; the thread only */
    struct inbox inbox;
    struct shard_data data;
    struct shard_io io;
    pthread_t thread;
    atomic_u32
        connections; /* dealt to it and not yet gone; relaxed: the dealer adds, the thread subtracts */
    int start_result;
    atomic_u32 started; /* futex: 0, then 1 when start_result is valid */
};

/* Of a client that is no session. */
static inline struct connection *client_connection(struct client *client) {
    return (struct connection *)((char *)client - offsetof(struct connection, client));
}

static inline struct shard *client_shard(const struct client *client) {
    return client->fabric->shards[client->card->shard];
}

/* Where a key lives. */
static inline struct shard *place_shard(const struct call *call, const struct key_place *place) {
    return fabric_of(call)->shards[place->keyspace->index];
}

/* The shard whose effects serve for the call. */
static inline struct shard *call_home(const struct call *call) {
    return (struct shard *)((char *)call->effects - offsetof(struct shard, data.effects));
}

/* ---- turn.c ------------------------------------------------------------------------------------- */
/* A turn loses its place, and holds nothing, when the server stops or when somebody else keeps a baton for
 * longer than the settings' busy_ms (B2); shard->busy tells which. */

/* Begins a turn with the own baton. False: the place is lost. */
bool turn_begin(struct shard *shard);
/* Holds `mask` when it returns true, without waiting long, and its own baton only if that is in `mask` or
 * nothing had to be taken. False: not to be had quickly; what is held then is the own baton alone, or
 * nothing because the place is lost. Drops before it takes, after sealing. */
bool turn_borrow(struct shard *shard, uint64_t mask);
/* The same, but waits, as long as a busy shard may be waited for. */
bool turn_coordinate(struct shard *shard, uint64_t mask);
/* For a call whose set is open: as turn_coordinate, and with the ticket, which is waited for as long. The call may take
 * more. What is held then, and the ticket, go at turn_close, which leaves the own baton alone; false: the place is lost. */
bool turn_open(struct shard *shard, uint64_t mask);
void turn_extend(struct shard *shard, uint64_t mask);
bool turn_close(struct shard *shard);
/* Back to the own baton alone. False: the place is lost. */
bool turn_return(struct shard *shard);
/* The place whose counters and effects serve for what runs now. */
static inline struct shard *turn_home(struct shard *shard) {
    if (KRT_LIKELY(shard->held & shard->own)) return shard;
    return shard->fabric->shards[__builtin_ctzll(shard->held)];
}
/* Between slices: lets waiters in. False: the place is lost. */
bool turn_pause(struct shard *shard);
/* Is the slice used up? Asked between runs. */
bool turn_slice_is_over(struct shard *shard);
/* Does somebody wait for what is held, and has for a slice? Asked between commands, as one may be slow. */
bool turn_is_overdue(const struct shard *shard);
static inline bool turn_is_wanted(const struct shard *shard) {
    bool calm = shard->held == shard->own && !baton_wanted(shard->baton);
    return KRT_UNLIKELY(!calm) && turn_is_overdue(shard);
}
/* Ends the turn: seals, then drops everything. */
void turn_end(struct shard *shard);
/* What must precede every drop (B6), of borrowers and callers too: what the calls of `home` have left is done, the log has
 * what they did, and the messages of the places in `mask` are on their way. `held` is all that is held, of which `mask` drops. Returns
 * the position in the log of what was seen, which must be safe before anybody is told of it; 0: any time. */
uint64_t turn_seal(struct shard *home, uint64_t held, uint64_t mask);
/* The same of one place that is all that is held. */
uint64_t turn_seal_one(struct shard *shard);

/* ---- plan.c ------------------------------------------------------------------------------------- */
struct plan {
    const struct command *command; /* NULL: unknown */
    uint64_t mask;                 /* shards of its keys; 0 for none */
    uint64_t hash;                 /* of the first key */
    uint32_t hash_index;           /* 0: no key */
    bool arity_ok;
    const struct command_names *names; /* of the server */
};
/* The name that was looked up last: a pipeline mostly repeats it. */
struct plan_hint {
    const struct command
        *known; /* who calls knows what the words name, if it is not renamed; or NULL */
    struct bytes name;
    const struct command *command; /* NULL: nothing, or a container, whose row depends on more */
};
/* The hint's name must still be there; a new one is all zero. */
void plan_request(struct fabric *fabric, const struct request *request, struct plan_hint *hint,
                  struct plan *plan);

/* ---- execute.c ---------------------------------------------------------------------------------- */
/* Who asks, and where the answer goes. */
struct origin {
    struct client *client; /* NULL: a plain in-process call, or a request from another shard */
    uint32_t db;
    uint32_t flags; /* enum call_flags */
    struct reply *reply;
    int64_t *now_ms;          /* what the clock said since the last take; 0: not read yet */
    struct call_reach *reach; /* NULL: the set of the call is closed */
    struct card *card; /* of a client that is elsewhere; NULL: that of `client`, if it has one */
    struct waiter **waiter; /* with CALL_MAY_WAIT: the same in struct call; NULL: of a connection */
    uint64_t *
        late_us; /* of a pipeline in process: how much later its faults let it be answered; NULL: of others */
};

static inline const struct card *origin_card(const struct origin *origin) {
    return origin->client ? origin->client->card : origin->card;
}

enum execute_result {
    EXECUTE_DONE,
    EXECUTE_UNFINISHED, /* the same request is to come again; nothing was replied yet */
    EXECUTE_POSTPONED,  /* the same, when the pause is over */
    EXECUTE_WAITING,    /* it waits (blocking/), and nothing was replied */
};

/* Runs one command with all its batons held. `home` is the shard whose counters and effects serve. */
enum execute_result execute_command(struct shard *home, const struct origin *origin,
                                    const struct request *request, const struct plan *plan);
/* Runs the command of a waiter once more, into its reply, with the batons of its mask, inside the call that `home` completes.
 * EXECUTE_DONE or EXECUTE_WAITING. */
enum execute_result execute_again(struct shard *home, struct waiter *waiter);
/* Counts and logs a call that waited and ends without its handler, with what it was replied (NULL: no error); with the baton
 * of `home`, by whoever has ended the waiter. As in Redis a WAIT whose time is over is none of these. */
void execute_count_done(struct shard *home, const struct waiter *waiter, const struct reply *reply);
/* The same for a thread that has lost its place: -BUSY to all but what needs no data and is allowed then. */
void execute_busy(struct client *client, struct reply *reply, const struct request *request,
                  const struct plan *plan, struct fabric *fabric);
/* Repeats a command of a log, with the shards of its plan, or all of them if its set is open. Its handler alone runs: nothing
 * gates, counts or times it, and nobody is told. False: an error was replied. */
bool execute_logged(struct shard *home, const struct request *request, const struct plan *plan,
                    uint32_t db, struct reply *reply, int64_t *now_ms);
/* Counts what execute_refused has replied; with the baton of `home`. */
void execute_count_refused(struct shard *home, const struct reply *reply, const struct plan *plan);
/* Replies an error to a request that is not executed, and spoils the transaction that it was to be part of. */
void execute_reject(struct client *client, struct reply *reply, const struct plan *plan,
                    const char *error);
/* The same of a format with the command's name, without the error's code. */
void execute_reject_format(struct client *client, struct reply *reply, const struct plan *plan,
                           const char *format);
/* Replies why the request cannot run (unknown, arity, authentication) and returns true; false: it may run. */
bool execute_refused(struct client *client, struct reply *reply, const struct request *request,
                     const struct plan *plan);

/* ---- run.c -------------------------------------------------------------------------------------- */
enum { RUNS_AHEAD = 16 }; /* as many keys as a group of commands has */

/* Requests of one connection, on their way from its parser to its output. */
struct run {
    struct shard *shard;
    struct connection *connection;
    enum parse_result result;
    bool unfinished; /* the request that it stopped at is to come again */
    bool postponed;  /* the same, when the pause is over */
    bool waiting;    /* it waits, and what is behind it as well */
    uint64_t
        reach; /* what the request that it stopped at needs for those who wait for its keys; 0: nothing more */
    uint32_t reach_rounds;
    bool fetched;   /* the memory of its keys is on its way */
    bool transacts; /* something of it may be queued, or ends what its client watches */
    uint64_t mask;  /* shards of all its keys */
    struct request_run input;
    struct plan plans[RUN_REQUESTS];
};

enum { RUN_GROUP = 16 }; /* commands whose memory is fetched together */

/* Takes connections off the input list and parses a run of each into io.runs: up to RUNS_AHEAD and about a
 * slice of commands. Returns how many. */
uint32_t run_gather(struct shard *shard);
/* Executes a gathered run; its connection is in the input list again if it has more. Nothing is held behind
 * it if the place was lost: then its requests that did not run come again. */
void run_execute(struct run *run);
/* All requests of a gathered run come again. */
void run_undo(struct run *run);
/* Answers a gathered run without the place. */
void run_busy(struct run *run);

/* ---- run_fetch.c: of requests [from, to), as far as their shards are held ------------------------- */
struct fetch {
    const struct fabric *fabric;
    uint64_t held;
    uint32_t db;
    const struct request *requests;
    const struct plan *plans;
};
void run_fetch_buckets(const struct fetch *fetch, uint32_t from, uint32_t to);
/* Once the buckets are there. */
void run_fetch_entries(const struct fetch *fetch, uint32_t from, uint32_t to);
/* Once the entries are there; at most RUN_GROUP requests. */
void run_fetch_values(const struct fetch *fetch, uint32_t from, uint32_t to);

/* ---- forward.c ---------------------------------------------------------------------------------- */
/* Copies a request into the batch for shard `target`. False: no memory, or no slot to be had now. */
bool forward_request(struct shard *shard, struct connection *connection, uint32_t target,
                     const struct request *request, const struct plan *plan);
/* Pushes the batches filled so far onto their streams. */
void forward_flush(struct shard *shard);
/* Executes what has come in and takes home what has come back. More may be held behind it, or nothing: the place is lost. */
void forward_drain(struct shard *shard);
/* Executes batches that waited for the end of a pause. */
void forward_resume(struct shard *shard);
void forward_deinit(struct shard *shard);
/* Pushes a message from a place whose baton is held to shard `target`. False: back-pressure. */
bool message_push(struct shard *from, uint32_t target, struct message *message);

/* ---- connection.c ------------------------------------------------------------------------------- */
struct connection *connection_open(struct shard *shard, int fd);
void connection_receive(struct shard *shard, struct connection *connection, struct bytes data);
/* The log has room again. */
void connection_unchoke_all(struct shard *shard);
void connection_want_input(struct shard *shard, struct connection *connection);
struct connection *connection_next_input(struct shard *shard);
void connection_want_ready(struct shard *shard, struct connection *connection);
void connection_want_keep(struct shard *shard, struct connection *connection);
/* Sends what is pending, or closes what has nothing more to say. */
void connection_flush(struct shard *shard, struct connection *connection);
void connection_sent(struct shard *shard, struct connection *connection, int result);
void connection_peer_ended(struct shard *shard, struct connection *connection, int result);
/* The one teardown: end of file, error, QUIT, KILL, limits, shutdown. Idempotent. */
void connection_end(struct shard *shard, struct connection *connection);
void connection_free(struct shard *shard, struct connection *connection);
struct connection *connection_find(struct shard *shard, uint32_t index, uint32_t generation);
/* Moves `push`, which the client did not just ask for, behind all that it was answered, also behind answers that are
 * still to come from other shards. */
void connection_push(struct shard *shard, struct connection *connection, struct reply *push);
/* Behind the reply of a command: what was pushed to its client meanwhile. */
void connection_push_deferred(struct shard *shard, struct connection *connection);
/* The next flush ends it, and nothing more is sent. */
void connection_drown(struct shard *shard, struct connection *connection);

/* ---- accept.c ----------------------------------------------------------------------------------- */
/* Shard 0: notes an accepted fd, to be dealt in the turn. */
void accept_note(struct shard *shard, int fd);
/* Deals what was accepted to the shards with the fewest connections; needs the own baton. */
void accept_deal(struct shard *shard);
/* Keeps what was accepted here; needs no baton. */
void accept_keep(struct shard *shard);
/* Shard 0: starts and stops listening until these are the listeners; what is stopped is closed. */
void accept_change_listeners(struct shard *shard, const int *listeners, uint32_t count);
/* Shard 0: listens at the door, if there is a new one. */
void accept_take_door(struct shard *shard);
/* Shard 0, at its end: closes all listeners and the door. */
void accept_end(struct shard *shard);
/* After every thread has ended: closes those that never became the fabric's. */
void accept_discard_listeners(struct fabric *fabric, const int *listeners, uint32_t count);
/* The shard that gets the next connection. */
struct shard *accept_target(struct fabric *fabric);

/* ---- loop.c ------------------------------------------------------------------------------------- */
void *loop_thread(void *shard);
/* May the server itself delete? What it did now would be lost, or would be done for a client that may not. */
bool loop_may_expire(const struct domain *domain);
/* At the end: sends what wants to be sent, and looks what was. */
void loop_send(struct shard *shard, uint64_t deadline_ns);
