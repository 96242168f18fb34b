/* In-process calls and sessions: kevyrt.h over shard/caller.h. */
#include <stdio.h>

#include "base/mem.h"
#include "plat/clock.h"
#include "plat/futex.h"
#include "server/calls.h"
#include "server/server.h"
#include "shard/shard.h"
#include "shard/transactions/watch.h"

enum kevyrt_status calls_status_of(enum caller_result result) {
    switch (result) {
    case CALLER_DONE:
        return KEVYRT_OK;
    case CALLER_WOULD_WAIT:
        return KEVYRT_WOULD_WAIT;
    case CALLER_STOPPED:
        return KEVYRT_STOPPED;
    case CALLER_NO_MEMORY:
        return KEVYRT_NO_MEMORY;
    case CALLER_WAITING:
        return KEVYRT_BLOCKED;
    case CALLER_PAUSED:
        return KEVYRT_PAUSED;
    case CALLER_GATED:
        return KEVYRT_GATED;
    }
    return KEVYRT_STOPPED;
}

/* ---- Sessions -------------------------------------------------------------------------------- */

struct kevyrt_session *kevyrt_session_new(struct kevyrt_server *server) {
    struct kevyrt_session *session = mem_calloc(NULL, sizeof *session);
    if (!session) return NULL;
    if (!client_init(&session->client, &server->fabric, -1, UINT32_MAX)) {
        mem_free(NULL, session);
        return NULL;
    }
    kevyrt_server_get(server);
    session->server = server;
    return session;
}

void kevyrt_session_put(struct kevyrt_session *session) {
    if (!kevyrt_server_usable(session->server)) return; /* a child's copy; see kevyrt_server_put */
    if (server_enter(session->server)) {
        watch_end_session(&session->client);
        server_leave(session->server);
    }
    client_deinit(&session->client);
    kevyrt_server_put(session->server);
    mem_free(NULL, session);
}

bool kevyrt_session_select(struct kevyrt_session *session, uint32_t db) {
    if (db >= session->server->fabric.domain.database_count) return false;
    calls_select(&session->client, db);
    return true;
}

/* ---- The log ----------------------------------------------------------------------------------- */

static enum kevyrt_status settle(struct kevyrt_server *server, uint64_t ticket,
                                 uint64_t deadline_ns) {
    switch (journal_wait(&server->fabric, ticket, deadline_ns)) {
    case JOURNAL_SAFE:
        return KEVYRT_OK;
    case JOURNAL_LATE:
        return KEVYRT_TIMEOUT;
    case JOURNAL_LOST:
        break;
    }
    return KEVYRT_STOPPED;
}

enum kevyrt_status kevyrt_settle(struct kevyrt_server *server, uint64_t ticket,
                                 uint64_t deadline_ns) {
    bool running = server_enter(server);
    /* A stop tells at its end whether it is. */
    enum kevyrt_status status = settle(server, ticket, running ? deadline_ns : 0);
    if (running) server_leave(server);
    return status == KEVYRT_TIMEOUT && !running ? KEVYRT_STOPPED : status;
}

/* Nobody is told of what is done before the log is safe so far. With nothing held. */
enum kevyrt_status calls_await_log(struct kevyrt_server *server, uint64_t ticket,
                                   enum kevyrt_wait wait) {
    if (journal_is_safe(&server->fabric.journal, ticket)) return KEVYRT_OK;
    return wait == KEVYRT_WAIT ? settle(server, ticket, FUTEX_NO_DEADLINE) : KEVYRT_UNSAFE;
}

/* ---- Any command ----------------------------------------------------------------------------- */

void calls_gather(struct reply *from, char *to, size_t len) {
    for (size_t done = 0; done < len;) {
        struct iovec iov[16];
        size_t before = done;
        int count = reply_iovecs(from, iov, 16);
        for (int i = 0; i < count; done += iov[i++].iov_len)
            memcpy(to + done, iov[i].iov_base, iov[i].iov_len);
        reply_consume(from, done - before);
    }
}

static bool gather_into(struct reply *from, struct kevyrt_reply *to, bool fits) {
    to->len = reply_pending_bytes(from);
    to->owned = fits ? NULL : mem_alloc(NULL, to->len + 1);
    to->at = fits ? to->room : to->owned;
    if (!to->at) return false;
    calls_gather(from, to->at, to->len);
    return true;
}

static bool gather(struct reply *from, struct kevyrt_reply *to) {
    return gather_into(from, to, reply_pending_bytes(from) <= sizeof to->room);
}

/* Of a reply to which the room of `to` is lent: a short one lies there already, and what is longer cannot go there. */
static bool gather_lent(struct reply *from, struct kevyrt_reply *to) {
    char *piece = reply_piece(from);
    bool is_there = piece >= to->room && piece < to->room + sizeof to->room;
    if (KRT_UNLIKELY(!is_there)) return gather_into(from, to, false);
    to->at = piece;
    to->len = reply_pending_bytes(from);
    to->owned = NULL;
    return true;
}

/* The waiter is the handle; it keeps the server. */
static struct kevyrt_waiting *waiting_new(struct kevyrt_server *server, struct waiter *waiter) {
    kevyrt_server_get(server);
    return (struct kevyrt_waiting *)waiter;
}

const struct kevyrt_command *kevyrt_command_find(const struct bytes *argv, uint32_t argc) {
    const struct command *command = command_find(argv, argc);
    if (command && command->subcommand_count) return NULL;
    return (const struct kevyrt_command *)command;
}

enum kevyrt_status kevyrt_call(struct kevyrt_server *server, struct kevyrt_session *session,
                               uint32_t db, const struct bytes *argv, uint32_t argc,
                               enum kevyrt_wait wait, struct kevyrt_reply *out) {
    return kevyrt_call_known(server, session, db, NULL, argv, argc, wait, out);
}

enum kevyrt_status kevyrt_call_known(struct kevyrt_server *server, struct kevyrt_session *session,
                                     uint32_t db, const struct kevyrt_command *command,
                                     const struct bytes *argv, uint32_t argc, enum kevyrt_wait wait,
                                     struct kevyrt_reply *out) {
    struct reply reply;
    struct reply_pool pool;
    struct waiter *waiter = NULL;
    struct client *client = session ? &session->client : NULL;
    if (db >= server->fabric.domain.database_count) return KEVYRT_BAD_CONFIG;
    if (!calls_begin(server, wait)) return KEVYRT_STOPPED;
    if (client) atomic_store_relaxed(&client->card->seen_ns, clock_monotonic_ns());
    reply_pool_init(&pool, NULL, 0);
    reply_init(&reply, &pool, 3);
    reply_lend(&reply, out->room, sizeof out->room);
    enum kevyrt_status status;
    do {
        status = calls_status_of(caller_run(&server->fabric, client, db,
                                            (const struct command *)command, argv, argc,
                                            calls_patience(wait), &reply, &waiter, &out->ticket));
    } while (status == KEVYRT_PAUSED && wait == KEVYRT_WAIT);
    if (status == KEVYRT_BLOCKED) out->waiting = waiting_new(server, waiter);
    if (status == KEVYRT_OK) status = calls_position_status(server, out->ticket, wait);
    calls_end(server, wait);
    if ((status == KEVYRT_OK || status == KEVYRT_UNSAFE) && !gather_lent(&reply, out))
        status = KEVYRT_NO_MEMORY;
    reply_clear(&reply);
    return status;
}

void kevyrt_reply_free(struct kevyrt_reply *reply) {
    if (reply->owned) mem_free(NULL, reply->owned);
}

/* ---- Waiting for data -------------------------------------------------------------------------- */

static struct waiter *waiter_of(struct kevyrt_waiting *waiting) {
    return (struct waiter *)waiting;
}

static struct kevyrt_server *server_of(const struct waiter *waiter) {
    return (struct kevyrt_server *)((char *)waiter->fabric -
                                    offsetof(struct kevyrt_server, fabric));
}

static enum kevyrt_status answered(struct waiter *waiter, enum in_process_answer how,
                                   struct kevyrt_reply *out) {
    switch (how) {
    case IN_PROCESS_ANSWERED:
        if (waiter->reply.failed) return KEVYRT_NO_MEMORY;
        return gather(&waiter->reply, out) ? KEVYRT_OK : KEVYRT_NO_MEMORY;
    case IN_PROCESS_STOPPED:
        return KEVYRT_STOPPED;
    case IN_PROCESS_CANCELLED:
        return KEVYRT_CANCELLED;
    case IN_PROCESS_LATE:
        return KEVYRT_TIMEOUT;
    case IN_PROCESS_NOT_YET:
    case IN_PROCESS_TELLING:
        break;
    }
    return KEVYRT_BLOCKED;
}

enum kevyrt_status kevyrt_waiting_wait(struct kevyrt_waiting *waiting, uint64_t deadline_ns,
                                       struct kevyrt_reply *reply) {
    struct waiter *waiter = waiter_of(waiting);
    if (!kevyrt_server_usable(server_of(waiter))) return KEVYRT_STOPPED;
    return answered(waiter, in_process_wait(waiter, deadline_ns), reply);
}

enum kevyrt_status kevyrt_waiting_cancel(struct kevyrt_waiting *waiting,
                                         struct kevyrt_reply *reply) {
    struct waiter *waiter = waiter_of(waiting);
    if (!kevyrt_server_usable(server_of(waiter))) return KEVYRT_STOPPED;
    return answered(waiter, in_process_cancel(waiter), reply);
}

void kevyrt_waiting_call_back(struct kevyrt_waiting *waiting, void (*wake)(void *context),
                              void *context) {
    in_process_call_back(waiter_of(waiting), wake, context);
}

uint64_t kevyrt_waiting_deadline(const struct kevyrt_waiting *waiting) {
    const struct waiter *waiter = (const struct waiter *)waiting;
    return virtual_clock_real_ns(&waiter->fabric->domain.clock, waiter->deadline_us);
}

enum kevyrt_status kevyrt_waiting_try_cancel(struct kevyrt_waiting *waiting,
                                             struct kevyrt_reply *reply) {
    struct waiter *waiter = waiter_of(waiting);
    if (!kevyrt_server_usable(server_of(waiter))) return KEVYRT_STOPPED;
    return answered(waiter, in_process_try_cancel(waiter), reply);
}

enum kevyrt_status kevyrt_settle_later(struct kevyrt_server *server, uint64_t ticket,
                                       struct kevyrt_waiting **out) {
    enum kevyrt_status status = kevyrt_settle(server, ticket, 0);
    if (status != KEVYRT_TIMEOUT) return status;
    struct waiter *waiter = in_process_settle(&server->fabric, ticket);
    if (!waiter) return KEVYRT_NO_MEMORY;
    *out = waiting_new(server, waiter);
    return KEVYRT_BLOCKED;
}

/* Who has asked of the log alone has nothing to take back. */
static void end_waiting(struct waiter *waiter) {
    if (waiter->command) (void)in_process_cancel(waiter);
    else in_process_withdraw(waiter);
}

/* Whoever is in the queues of a server that is stopping is taken out of them by the stop. */
void kevyrt_waiting_put(struct kevyrt_waiting *waiting) {
    struct waiter *waiter = waiter_of(waiting);
    struct kevyrt_server *server = server_of(waiter);
    if (!kevyrt_server_usable(server)) return; /* a child's copy; see kevyrt_server_put */
    end_waiting(waiter);
    bool running = server_enter(server);
    in_process_end(waiter, running);
    if (running) server_leave(server);
    kevyrt_server_put(server);
}

/* ---- One string key -------------------------------------------------------------------------- */

/* The fast path finds a CLOSED baton by itself; only who may sleep is counted. */
enum kevyrt_status kevyrt_get(struct kevyrt_server *server, uint32_t db, struct bytes key,
                              enum kevyrt_wait wait, struct kevyrt_value *out) {
    struct blob *large = NULL;
    enum caller_found found = CALLER_MISSING;
    if (KRT_UNLIKELY(db >= server->fabric.domain.database_count)) return KEVYRT_BAD_CONFIG;
    if (KRT_UNLIKELY(wait != KEVYRT_TRY && !server_enter(server))) return KEVYRT_STOPPED;
    enum caller_result result =
        caller_get(&server->fabric, db, key, calls_patience(wait), out->small, sizeof out->small,
                   &out->len, &large, &found, &out->ticket);
    enum kevyrt_status status = calls_status_of(result);
    if (KRT_LIKELY(status == KEVYRT_OK)) status = calls_position_status(server, out->ticket, wait);
    calls_end(server, wait);
    out->found = (enum kevyrt_found)found;
    out->counted = large;
    out->at = large ? large->data : out->small;
    if (KRT_UNLIKELY(status == KEVYRT_STOPPED && large)) kevyrt_value_put(out);
    return status;
}

void kevyrt_value_put(struct kevyrt_value *value) {
    if (value->counted) blob_put(value->counted);
    value->counted = NULL;
}

enum kevyrt_status kevyrt_set(struct kevyrt_server *server, uint32_t db, struct bytes key,
                              struct bytes value, enum kevyrt_wait wait, uint64_t *ticket) {
    uint64_t position = 0;
    if (KRT_UNLIKELY(db >= server->fabric.domain.database_count)) return KEVYRT_BAD_CONFIG;
    if (KRT_UNLIKELY(wait != KEVYRT_TRY && !server_enter(server))) return KEVYRT_STOPPED;
    enum kevyrt_status status = calls_status_of(
        caller_set(&server->fabric, db, key, value, calls_patience(wait), &position));
    if (KRT_LIKELY(status == KEVYRT_OK)) status = calls_position_status(server, position, wait);
    if (KRT_UNLIKELY(status == KEVYRT_UNSAFE)) *ticket = position;
    calls_end(server, wait);
    return status;
}
