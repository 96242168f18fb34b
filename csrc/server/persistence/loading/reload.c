#include "server/persistence/loading/reload.h"

#include <stdio.h>

#include "plat/clock.h"
#include "plat/futex.h"
#include "plat/thread.h"
#include "server/server.h"
#include "shard/blocking/await.h"
#include "shard/caller.h"
#include "shard/shard.h"

#define LOOK_NS UINT64_C(1000000)
enum { SAVES_MAX = 100 }; /* before others have left it alone for once */

static bool is_ended(struct reload *reload) {
    return atomic_load_relaxed(&reload->ended);
}

/* ---- The save ----------------------------------------------------------------------------------- */

/* With all batons. */
static void close_gate(struct reload *reload) {
    loading_show(&reload->server->loading);
    reload->server->fabric.domain.gates |= GATE_LOADING;
}

static bool save_once(struct reload *reload) {
    struct save_status status;
    struct kevyrt_server *server = reload->server;
    do {
        if (!caller_take_all(&server->fabric)) return false;
        save_status_get(server, &status);
        if (!status.running) save_begin(server, SAVE_IN_FRONT, NULL);
        caller_drop_all(&server->fabric);
        if (status.running) clock_sleep_ns(LOOK_NS);
    } while (status.running && !is_ended(reload));
    do {
        clock_sleep_ns(LOOK_NS);
        save_status_get(server, &status);
    } while (status.running && !is_ended(reload));
    return !status.running && !status.last_failed;
}

/* Everything is saved, and the gate is closed before anything else is written. */
static bool save_and_close(struct reload *reload) {
    struct save_status status;
    struct kevyrt_server *server = reload->server;
    for (int i = 0; i < SAVES_MAX && save_once(reload); i++) {
        if (!caller_take_all(&server->fabric)) return false;
        save_status_get(server, &status);
        bool is_same = status.saved_changes == save_changes_now(&server->fabric);
        if (is_same) close_gate(reload);
        caller_drop_all(&server->fabric);
        if (is_same) return true;
    }
    return false;
}

static bool begin(struct reload *reload) {
    if (reload->saves) return save_and_close(reload);
    if (!caller_take_all(&reload->server->fabric)) return false;
    close_gate(reload);
    caller_drop_all(&reload->server->fabric);
    return true;
}

/* ---- The load ----------------------------------------------------------------------------------- */

/* FLUSHALL, of which no log hears. Those who watch, cache or wait are told that the data is another one. */
static bool flush(struct reload *reload) {
    struct fabric *fabric = &reload->server->fabric;
    struct shard *home = fabric->shards[0];
    struct bytes word = BYTES_LITERAL("FLUSHALL");
    struct plan plan = {.command = command_find_name(word), .mask = fabric_all(fabric)};
    struct request request = {.argv = &word, .argc = 1};
    struct call call = {.domain = &fabric->domain, .effects = &home->data.effects};
    struct reply_pool pool;
    struct reply reply;
    int64_t now_ms = 0;
    if (!caller_take_all(fabric)) return false;
    uint64_t dirty = home->data.effects.dirty;
    reply_pool_init(&pool, NULL, 1);
    reply_init(&reply, &pool, 3);
    effect_replace_begin(&call, 0);
    bool done = execute_logged(home, &request, &plan, 0, &reply, &now_ms);
    home->data.effects.dirty = dirty;
    reply_clear(&reply);
    reply_pool_deinit(&pool);
    caller_drop_all(fabric);
    return done;
}

/* What was answered is in the files. */
static void await_log(struct reload *reload) {
    struct kevyrt_server *server = reload->server;
    pthread_mutex_lock(&server->log.lock); /* nobody closes it meanwhile */
    struct aof *aof = aof_owner_log(server);
    while (aof && !is_ended(reload) &&
           !aof_wait(aof, aof_ticket(aof), false, clock_monotonic_ns() + LOOK_NS))
        continue;
    pthread_mutex_unlock(&server->log.lock);
}

static enum kevyrt_status load(struct reload *reload, struct kevyrt_error *error) {
    struct kevyrt_server *server = reload->server;
    if (reload->of_log) await_log(reload);
    if (reload->flushes && !flush(reload)) return KEVYRT_NO_MEMORY;
    return loading_again(server, reload->of_log, reload->merges, error);
}

/* Those who wait for keys may have them now. */
static void open_gate(struct reload *reload) {
    struct fabric *fabric = &reload->server->fabric;
    struct call call = {.domain = &fabric->domain, .effects = &fabric->shards[0]->data.effects};
    loading_end(reload->server, false);
    if (!caller_take_all(fabric)) return;
    effect_replace(&call);
    aof_owner_look(reload->server);
    caller_drop_all(fabric);
}

/* ---- The thread --------------------------------------------------------------------------------- */

static void write_ok(struct reply *reply, void *context) {
    (void)context;
    reply_ok(reply);
}

static void write_error(struct reply *reply, void *context) {
    reply_error(reply, context);
}

static const char *run(struct reload *reload, char text[600]) {
    struct kevyrt_error error = {0};
    if (!begin(reload)) return "ERR";
    enum kevyrt_status status = load(reload, &error);
    /* An end of the server must not save what is not whole. */
    if (is_ended(reload)) return "ERR the server was stopped";
    open_gate(reload);
    if (status == KEVYRT_OK) {
        log_line(LOG_NOTICE, reload->of_log ? "Append Only File loaded by DEBUG LOADAOF"
                                            : "DB reloaded by DEBUG RELOAD");
        return NULL;
    }
    (void)snprintf(text, 600, "ERR Error trying to load the %s: %s",
                   reload->of_log ? "append only file" : "RDB dump", error.text);
    return text;
}

static void *reload_thread(void *argument) {
    struct reload *reload = argument;
    char text[600];
    if (reload->has_previous) thread_join(reload->previous);
    while (atomic_load_seq_cst(&reload->running) == RELOAD_READY)
        futex_wait(&reload->running, RELOAD_READY, FUTEX_NO_DEADLINE);
    if (atomic_load_seq_cst(&reload->running) == RELOAD_CANCELLED) {
        atomic_store_seq_cst(&reload->running, RELOAD_NONE);
        return NULL;
    }
    const char *error = run(reload, text);
    struct waiter *waiter = reload->waiter;
    atomic_store_seq_cst(&reload->running, RELOAD_NONE); /* who is answered may ask for the next */
    await_answer(waiter, error ? write_error : write_ok, (void *)error);
    return NULL;
}

void reload_stop(struct kevyrt_server *server) {
    struct reload *reload = &server->reload;
    atomic_store_relaxed(&reload->ended, 1);
    if (reload->has_thread) thread_join(reload->thread);
    reload->has_thread = false;
    atomic_store_relaxed(&reload->ended, 0);
}

/* ---- Commands ----------------------------------------------------------------------------------- */

static void start(struct call *call, struct reload wanted) {
    static const struct await_kind kind = {0};
    struct kevyrt_server *server = call_server(call);
    struct reload *reload = &server->reload;
    if (!await_is_possible(call)) {
        call_error(call, "ERR DEBUG RELOAD and LOADAOF have to wait, which is not possible here");
        return;
    }
    if (atomic_load_seq_cst(&reload->running) != RELOAD_NONE) {
        call_error(call, "ERR the data is being reloaded already");
        return;
    }
    wanted.previous = reload->thread;
    wanted.has_previous = reload->has_thread;
    *reload = wanted;
    reload->server = server;
    atomic_store_seq_cst(&reload->running, RELOAD_READY);
    bool started = thread_start(&reload->thread, "kevyrt-reload", reload_thread, reload) == 0;
    reload->has_thread = started || reload->has_previous;
    if (!started) reload->thread = reload->previous;
    reload->waiter = started ? await_begin(call, &kind, 0, 0) : NULL;
    enum reload_state otherwise = started ? RELOAD_CANCELLED : RELOAD_NONE;
    atomic_store_seq_cst(&reload->running, reload->waiter ? RELOAD_RUNS : otherwise);
    futex_wake(&reload->running, 1);
    if (!started) call_error(call, "ERR cannot start a thread");
}

void debug_reload(struct call *call) {
    struct reload wanted = {.saves = true, .flushes = true};
    for (uint32_t i = 2; i < call->argc; i++) {
        if (bytes_is(call->argv[i], "merge")) wanted.merges = true;
        else if (bytes_is(call->argv[i], "noflush")) wanted.flushes = false;
        else if (bytes_is(call->argv[i], "nosave")) wanted.saves = false;
        else {
            call_error(call,
                       "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.");
            return;
        }
    }
    start(call, wanted);
}

void debug_loadaof(struct call *call) {
    struct kevyrt_server *server = call_server(call);
    if (aof_owner_log(server)) start(call, (struct reload){.of_log = true, .flushes = true});
    else call_error(call, "ERR there is no append-only log: appendonly is no");
}
