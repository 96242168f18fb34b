/* The thread that begins what is due.
 *
 * It sleeps on its bell until the next moment at which something may be due. Of save points that is when the seconds of one of them are
 * over since the last save; if nothing has changed by then it asks the shards to ring at the next change (shard_data.quiet_changes),
 * and sleeps without end.
 *
 * An end with a save: writes are stopped (as CLIENT PAUSE WRITE does) under the same batons under which the snapshot is cut, so that what is
 * saved is what was answered for. Then the keeper stops the server; or the save has failed, writes go on, and the waiter is told.
 */
#include "server/persistence/persistence.h"

#include <errno.h>
#include <stdlib.h>

#include "plat/clock.h"
#include "plat/futex.h"
#include "plat/thread.h"
#include "server/server.h"
#include "shard/caller.h"
#include "shard/shard.h"

#define AGAIN_NS UINT64_C(2000000) /* to look whether another snapshot has ended */
#define SECOND_NS UINT64_C(1000000000)

enum { RETRY_AFTER_FAILURE_S = 5 }; /* CONFIG_BGSAVE_RETRY_DELAY of Redis */

void persistence_lock(struct kevyrt_server *server) {
    pthread_mutex_lock(&server->persistence.lock);
}

void persistence_unlock(struct kevyrt_server *server) {
    pthread_mutex_unlock(&server->persistence.lock);
}

int64_t persistence_now_s(void) {
    return clock_wall_ms() / 1000;
}

void persistence_ring(struct kevyrt_server *server) {
    atomic_add_seq_cst(&server->persistence.bell, 1);
    futex_wake(&server->persistence.bell, 1);
}

static void ring_context(void *context) {
    persistence_ring(context);
}

/* With save points, what is saved is not to have what is flushed: as in Redis a save that runs is given up for a new one. */
static void note_emptied(void *context) {
    struct kevyrt_server *server = context;
    persistence_lock(server);
    bool saves = server->persistence.point_count != 0;
    saves &= !(server->fabric.domain.gates & GATE_LOADING);
    if (saves) server->persistence.saving.scheduled = true;
    persistence_unlock(server);
    if (!saves) return;
    if (!server->persistence.saving.in_front) save_abort(server);
    persistence_ring(server);
}

/* ---- Changes ---------------------------------------------------------------------------------------------- */

bool persistence_changes(struct kevyrt_server *server, uint64_t *changes, bool call) {
    struct fabric *fabric = &server->fabric;
    *changes = 0;
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++) {
        struct shard *shard = fabric->shards[i];
        if (baton_set_take(&fabric->set, shard->own, FUTEX_NO_DEADLINE) != BATON_TAKEN)
            return false;
        *changes += shard->data.effects.dirty;
        shard->data.quiet_changes = call ? shard->data.effects.dirty : SHARD_NOT_QUIET;
        baton_set_drop(&fabric->set, shard->own);
    }
    return true;
}

/* ---- Save points ------------------------------------------------------------------------------------------ */

/* The text is canonical: pairs of seconds and changes. */
static uint32_t parse_points(const char *text, struct save_point points[SAVE_POINTS_MAX]) {
    uint32_t count = 0;
    for (char *end; count < SAVE_POINTS_MAX; count++, text = end) {
        struct save_point point = {.seconds = strtoll(text, &end, 10)};
        if (end == text) break;
        point.changes = strtoull(end, &end, 10);
        points[count] = point;
    }
    return count;
}

void persistence_apply(struct kevyrt_server *server) {
    struct save_point points[SAVE_POINTS_MAX];
    struct persistence *persistence = &server->persistence;
    uint32_t count = parse_points(config_text(&server->config, SETTING_SAVE), points);
    persistence_lock(server);
    memcpy(persistence->points, points, count * sizeof *points);
    persistence->point_count = count;
    persistence_unlock(server);
    persistence_ring(server);
}

/* What the points say of so many changes since the last save. */
struct due {
    int64_t in_s;    /* 0: now; INT64_MAX: not with these changes */
    bool wants_more; /* with more changes perhaps sooner */
};

/* As in Redis: behind more than so many seconds. */
static struct due due(const struct persistence *persistence, uint64_t changes, int64_t now_s) {
    const struct saving *saving = &persistence->saving;
    struct due due = {.in_s = INT64_MAX};
    for (uint32_t i = 0; i < persistence->point_count; i++) {
        const struct save_point *point = &persistence->points[i];
        int64_t left = saving->saved_s + point->seconds + 1 - now_s;
        if (changes < point->changes) due.wants_more = true;
        else if (left < due.in_s) due.in_s = left > 0 ? left : 0;
    }
    int64_t rest = saving->tried_s + RETRY_AFTER_FAILURE_S + 1 - now_s;
    if (saving->last_failed && due.in_s < rest) due.in_s = rest;
    return due;
}

static uint64_t in_seconds(int64_t seconds) {
    return seconds > INT32_MAX ? FUTEX_NO_DEADLINE
                               : clock_monotonic_ns() + (uint64_t)seconds * SECOND_NS;
}

static bool begin_save(struct kevyrt_server *server) {
    if (!caller_take_all(&server->fabric)) return false;
    persistence_lock(server);
    bool may = !server->persistence.saving.running && !server->persistence.rewriting.running;
    persistence_unlock(server);
    if (may) save_begin(server, SAVE_BEHIND, NULL);
    caller_drop_all(&server->fabric);
    return may;
}

/* While changes come it looks once a second what they bring about. */
static uint64_t look_again(struct kevyrt_server *server, const struct due *due, uint64_t changes) {
    struct persistence *persistence = &server->persistence;
    bool still = changes == persistence->seen_changes;
    uint64_t now;
    persistence->seen_changes = changes;
    if (!due->wants_more) return in_seconds(due->in_s);
    if (!still) return in_seconds(1);
    /* One that has come since is not rung for. */
    if (persistence_changes(server, &now, true) && now != changes) return 0;
    return in_seconds(due->in_s);
}

static bool begin_rewrite(struct kevyrt_server *server) {
    if (!caller_take_all(&server->fabric)) return false;
    bool begun = persistence_rewrite_begin(server) == 0;
    caller_drop_all(&server->fabric);
    return begun;
}

/* What is to be asked of the server, with a baton. */
struct look {
    bool loads;     /* its data is not there yet */
    bool automatic; /* the log is to be looked at, */
    bool due;       /* and has grown enough, or has a gap */
    bool has_gap;
};

static struct look look_at(struct kevyrt_server *server) {
    struct fabric *fabric = &server->fabric;
    struct look look = {.loads = true};
    uint64_t own = fabric->shards[0]->own;
    if (baton_set_take(&fabric->set, own, FUTEX_NO_DEADLINE) != BATON_TAKEN) return look;
    look.loads = fabric->domain.gates & GATE_LOADING;
    look.automatic = rewrite_is_automatic(server);
    look.has_gap = rewrite_is_needed(server);
    look.due = !look.loads && rewrite_is_due(server);
    baton_set_drop(&fabric->set, own);
    return look;
}

static uint64_t begin_points(struct kevyrt_server *server, uint64_t since, int64_t past_s) {
    log_line(LOG_NOTICE, "%llu changes in %lld seconds. Saving...", (unsigned long long)since,
             (long long)past_s);
    (void)begin_save(server);
    return FUTEX_NO_DEADLINE;
}

/* What changes bring about: save points, a log that grows. When to look again. */
static uint64_t tend_changes(struct kevyrt_server *server) {
    struct persistence *persistence = &server->persistence;
    uint64_t changes;
    int64_t now_s = persistence_now_s();
    persistence_lock(server);
    bool busy = persistence->saving.running || persistence->rewriting.running;
    bool points = persistence->point_count != 0;
    persistence_unlock(server);
    if (busy) return FUTEX_NO_DEADLINE; /* rung at its end */
    struct look look = look_at(server);
    if (look.due && begin_rewrite(server)) return 0;
    if (look.loads || look.has_gap) return in_seconds(1);
    if (!points && !look.automatic) return FUTEX_NO_DEADLINE;
    if (!persistence_changes(server, &changes, false)) return FUTEX_NO_DEADLINE;
    persistence_lock(server);
    uint64_t since = changes - persistence->saving.saved_changes;
    int64_t past_s = now_s - persistence->saving.saved_s;
    struct due when = due(persistence, since, now_s);
    persistence_unlock(server);
    if (when.in_s == 0) return begin_points(server, since, past_s);
    when.wants_more |= look.automatic;
    return look_again(server, &when, changes);
}

/* ---- What was put off ---------------------------------------------------------------------------------------- */

static uint64_t again(int result) {
    return result == -EBUSY ? clock_monotonic_ns() + AGAIN_NS : 0;
}

/* One that waits for another snapshot. */
static uint64_t try_again(struct kevyrt_server *server) {
    struct persistence *persistence = &server->persistence;
    int result = 0;
    if (!caller_take_all(&server->fabric)) return FUTEX_NO_DEADLINE;
    persistence_lock(server);
    bool save = persistence->saving.running && !persistence->saving.begun;
    bool rewrite = persistence->rewriting.running && !persistence->rewriting.begun;
    persistence_unlock(server);
    if (save) result = save_try(server);
    else if (rewrite) result = rewrite_try(server);
    caller_drop_all(&server->fabric);
    return again(result);
}

static uint64_t tend_waiting(struct kevyrt_server *server) {
    struct persistence *persistence = &server->persistence;
    struct saving *saving = &persistence->saving;
    struct rewriting *rewriting = &persistence->rewriting;
    save_end(server);
    rewrite_refused(server);
    persistence_lock(server);
    bool waits = (saving->running && !saving->begun) || (rewriting->running && !rewriting->begun);
    bool idle = !saving->running && !rewriting->running;
    bool save = idle && saving->scheduled, rewrite = idle && rewriting->scheduled;
    persistence_unlock(server);
    if (rewrite && begin_rewrite(server)) return 0;
    if (save && begin_save(server)) return 0;
    return waits ? try_again(server) : FUTEX_NO_DEADLINE;
}

/* ---- The end with a save ------------------------------------------------------------------------------------- */

bool persistence_must_save(struct kevyrt_server *server, uint32_t flags) {
    if (atomic_load_relaxed(&server->loading.active)) return false; /* half of it, as in Redis */
    persistence_lock(server);
    bool points = server->persistence.point_count != 0;
    persistence_unlock(server);
    return !(flags & SHUTDOWN_NOSAVE) && (points || flags & SHUTDOWN_SAVE);
}

/* With all batons. */
static void stop_writes(struct kevyrt_server *server) {
    struct persistence *persistence = &server->persistence;
    struct domain_pause pause = {.end_us = WAITING_NEVER - 1};
    if (persistence->end_paused) return;
    persistence->end_paused = true;
    persistence->end_pause = (struct domain_pause){0};
    if (pause_is_in_force(&server->fabric.domain))
        persistence->end_pause = server->fabric.domain.pause;
    pause.all = persistence->end_pause.all;
    pause_set(&server->fabric, pause);
}

static void let_write(struct kevyrt_server *server) {
    struct persistence *persistence = &server->persistence;
    if (!persistence->end_paused || !caller_take_all(&server->fabric)) return;
    persistence->end_paused = false;
    pause_set(&server->fabric, persistence->end_pause);
    waiting_resume(server->fabric.shards[0]);
    caller_drop_all(&server->fabric);
}

/* The save of the end takes the place of one that runs. */
static uint64_t begin_end(struct kevyrt_server *server) {
    struct persistence *persistence = &server->persistence;
    uint64_t next = again(-EBUSY);
    save_abort(server);
    if (!caller_take_all(&server->fabric)) return FUTEX_NO_DEADLINE;
    stop_writes(server);
    persistence_lock(server);
    bool may = !persistence->saving.running;
    persistence->end_begun = may;
    persistence_unlock(server);
    if (may) {
        save_begin(server, SAVE_AT_END, NULL);
        next = 0;
    }
    caller_drop_all(&server->fabric);
    return next;
}

void persistence_note_saved(struct kevyrt_server *server, bool good) {
    struct persistence *persistence = &server->persistence;
    if (!persistence->saving.at_end) return;
    persistence->saving.at_end = false;
    persistence->end_saved = true;
    persistence->end_failed = !good;
}

static void write_refusal(struct reply *reply, void *context) {
    (void)context;
    reply_error(reply, "ERR Errors trying to SHUTDOWN. Check logs.");
}

static void write_nothing(struct reply *reply, void *context) {
    (void)reply, (void)context;
}

static void finish_end(struct kevyrt_server *server) {
    struct persistence *persistence = &server->persistence;
    persistence_lock(server);
    bool good = !persistence->end_failed || persistence->end_forced;
    bool from_outside = persistence->end_from_outside;
    struct waiter *waiter = persistence->end_waiter;
    persistence->end_wanted = persistence->end_begun = persistence->end_saved = false;
    persistence->end_claimed = false;
    persistence->end_waiter = NULL;
    persistence_unlock(server);
    if (from_outside) {
        atomic_store_seq_cst(&persistence->end_done, 1);
        futex_wake(&persistence->end_done, INT32_MAX);
    } else if (good) {
        server_request_shutdown(server);
    } else {
        log_line(LOG_WARNING, "Errors trying to shut down the server: the data could not be saved");
        let_write(server);
    }
    if (waiter && !good) await_answer(waiter, write_refusal, NULL);
    else if (waiter) persistence->end_answer = waiter; /* the stop ends it */
}

static uint64_t tend_end(struct kevyrt_server *server) {
    struct persistence *persistence = &server->persistence;
    persistence_lock(server);
    bool wanted = persistence->end_wanted, begun = persistence->end_begun;
    bool saved = persistence->end_saved;
    persistence_unlock(server);
    if (!wanted) return FUTEX_NO_DEADLINE;
    if (!begun) return begin_end(server);
    if (saved) finish_end(server);
    return FUTEX_NO_DEADLINE;
}

static void want_end(struct kevyrt_server *server, struct waiter *waiter, uint32_t flags,
                     bool from_outside) {
    struct persistence *persistence = &server->persistence;
    persistence_lock(server);
    if (!persistence->end_wanted) {
        persistence->end_wanted = true;
        persistence->end_begun = persistence->end_saved = false;
        persistence->end_forced = flags & SHUTDOWN_FORCE;
    }
    if (waiter) persistence->end_waiter = waiter;
    persistence->end_from_outside |= from_outside;
    persistence_unlock(server);
    persistence_ring(server);
}

bool persistence_may_end(struct kevyrt_server *server) {
    struct persistence *persistence = &server->persistence;
    persistence_lock(server);
    bool may = !persistence->end_claimed;
    persistence->end_claimed = true;
    persistence_unlock(server);
    return may;
}

void persistence_end_no_more(struct kevyrt_server *server) {
    persistence_lock(server);
    server->persistence.end_claimed = false;
    persistence_unlock(server);
}

void persistence_shutdown(struct kevyrt_server *server, struct waiter *waiter, uint32_t flags) {
    want_end(server, waiter, flags, false);
}

void persistence_save_before_stop(struct kevyrt_server *server) {
    struct persistence *persistence = &server->persistence;
    if (!persistence->has_thread) return;
    atomic_store_seq_cst(&persistence->end_done, 0);
    want_end(server, NULL, SHUTDOWN_FORCE, true);
    while (!atomic_load_seq_cst(&persistence->end_done))
        (void)futex_wait(&persistence->end_done, 0, FUTEX_NO_DEADLINE);
}

/* ---- The thread --------------------------------------------------------------------------------------------------- */

static uint64_t earlier(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static uint64_t tend(struct kevyrt_server *server) {
    uint64_t next = tend_waiting(server);
    next = earlier(next, tend_end(server));
    return next ? earlier(next, tend_changes(server)) : 0;
}

static void *persistence_thread(void *argument) {
    struct kevyrt_server *server = argument;
    struct persistence *persistence = &server->persistence;
    for (;;) {
        uint32_t seen = atomic_load_seq_cst(&persistence->bell);
        if (atomic_load_acquire(&persistence->ending)) return NULL;
        uint64_t next = tend(server);
        if (next) (void)futex_wait(&persistence->bell, seen, next);
    }
}

void persistence_init(struct kevyrt_server *server) {
    server->persistence.server = server;
    pthread_mutex_init(&server->persistence.lock, NULL);
}

void persistence_deinit(struct kevyrt_server *server) {
    pthread_mutex_destroy(&server->persistence.lock);
}

int persistence_start(struct kevyrt_server *server) {
    struct persistence *persistence = &server->persistence;
    save_init(server);
    rewrite_init(server);
    persistence->end_wanted = persistence->end_paused = false;
    persistence->end_from_outside = persistence->end_claimed = false;
    atomic_store_relaxed(&persistence->ending, 0);
    atomic_store_relaxed(&persistence->end_is_asked, 0);
    if (!caller_take_all(&server->fabric)) return -ESHUTDOWN;
    server->fabric.change_bell = (struct change_bell){ring_context, note_emptied, server};
    persistence_apply(server);
    persistence->saving.saved_changes = save_changes_now(&server->fabric);
    caller_drop_all(&server->fabric);
    int result = thread_start(&persistence->thread, "kevyrt-persist", persistence_thread, server);
    persistence->has_thread = result == 0;
    return result;
}

void persistence_stop(struct kevyrt_server *server) {
    struct persistence *persistence = &server->persistence;
    if (!persistence->has_thread) return;
    atomic_store_release(&persistence->ending, 1);
    persistence_ring(server);
    thread_join(persistence->thread);
    persistence->has_thread = false;
    save_stop(server);
    rewrite_refused(server);
    persistence_rewrite_stop(server);
}

/* Who asked for the end is told nothing: the connection ends with it. Batons are closed. */
void persistence_stopped(struct kevyrt_server *server) {
    struct persistence *persistence = &server->persistence;
    save_end(server);
    struct waiter *waiter =
        persistence->end_answer ? persistence->end_answer : persistence->end_waiter;
    persistence->end_answer = persistence->end_waiter = NULL;
    if (waiter) await_answer(waiter, write_nothing, NULL);
}
