/* Jobs: what kevyrt.h begins, and waits for.
 *
 *   WAITING ──begin, when no other snapshot is made──▶ RUNNING ──▶ DONE
 *      └────────────────cancelled, stopped──────────────────────────▲
 *
 * A save and a snapshot are sinks: the snapshot's thread fills them, and ends the job. Two cannot be made at once, so one waits for its
 * turn, which its owner looks for while it waits. A restore has a thread of its own. Whoever ends a job writes how, then DONE, and
 * does not touch it again.
 */
#include <errno.h>

#include "base/mem.h"
#include "plat/clock.h"
#include "plat/errors.h"
#include "plat/futex.h"
#include "plat/thread.h"
#include "server/persistence/restoring/restore.h"
#include "server/persistence/saving/dump_file.h"
#include "server/persistence/saving/memory.h"
#include "server/server.h"
#include "shard/caller.h"
#include "shard/snapshot/snapshot.h"

/* How often the owner of a waiting job looks whether its turn has come. */
#define TURN_NS UINT64_C(2000000)

enum job_state { JOB_WAITING, JOB_RUNNING, JOB_DONE };

enum job_kind { JOB_SAVE, JOB_SNAPSHOT, JOB_RESTORE, JOB_REWRITE };

struct kevyrt_job {
    struct snapshot_sink sink;    /* first: a sink is its job */
    struct kevyrt_server *server; /* counted */
    enum job_kind kind;
    atomic_u32
        state; /* futex, enum job_state: the owner until it runs, then who ends it; seq_cst */
    atomic_u32 cancelled;      /* the owner; who works, relaxed */
    enum kevyrt_status status; /* of the end; DONE orders it and what follows */
    struct kevyrt_error error;
    int write_error;                  /* of the sink */
    const char *path;                 /* of a save: that of `file`; else NULL */
    struct dump_file file;            /* of a save */
    struct kevyrt_snapshot *snapshot; /* of a snapshot; a reference */
    struct kevyrt_source source;      /* of a restore */
    uint32_t rewrites_ended;          /* of a rewrite, when it began */
    pthread_t thread;
    bool has_thread;
};

static struct kevyrt_job *job_new(struct kevyrt_server *server, enum job_kind kind) {
    struct kevyrt_job *job = mem_calloc(NULL, sizeof *job);
    if (!job) return NULL;
    kevyrt_server_get(server);
    job->server = server;
    job->kind = kind;
    job->file.fd = -1;
    return job;
}

static void job_free(struct kevyrt_job *job) {
    if (job->has_thread) thread_join(job->thread);
    kevyrt_snapshot_put(job->snapshot);
    kevyrt_server_put(job->server);
    mem_free(NULL, job);
}

static uint32_t state_of(struct kevyrt_job *job) {
    return atomic_load_seq_cst(&job->state);
}

static bool is_cancelled(struct kevyrt_job *job) {
    return atomic_load_relaxed(&job->cancelled);
}

static void end(struct kevyrt_job *job, enum kevyrt_status status) {
    job->status = status;
    atomic_store_seq_cst(&job->state, JOB_DONE);
    futex_wake(&job->state, INT32_MAX);
}

/* ---- Sinks: on the snapshot's thread --------------------------------------------------------------- */

static bool sink_write(struct snapshot_sink *sink, const void *at, size_t len) {
    struct kevyrt_job *job = (struct kevyrt_job *)sink;
    if (is_cancelled(job)) return false;
    if (job->snapshot) return memory_snapshot_add(job->snapshot, at, len);
    job->write_error = dump_file_write(&job->file, at, len);
    return job->write_error == 0;
}

static enum kevyrt_status fail_memory(struct kevyrt_job *job) {
    return server_fail(&job->error, KEVYRT_NO_MEMORY, ENOMEM, "out of memory");
}

static enum kevyrt_status result_of(struct kevyrt_job *job, enum snapshot_result result) {
    if (result != SNAPSHOT_DONE && is_cancelled(job)) return KEVYRT_CANCELLED;
    if (job->write_error) return server_fail_file(&job->error, job->write_error, job->path);
    if (result == SNAPSHOT_ABORTED) return KEVYRT_STOPPED;
    return result == SNAPSHOT_DONE ? KEVYRT_OK : fail_memory(job);
}

static void sink_done(struct snapshot_sink *sink, enum snapshot_result result) {
    struct kevyrt_job *job = (struct kevyrt_job *)sink;
    if (job->path) {
        int closed = dump_file_close(&job->file, result == SNAPSHOT_DONE);
        if (job->write_error == 0) job->write_error = closed;
    } else {
        memory_snapshot_end(job->snapshot);
    }
    end(job, result_of(job, result));
}

/* With all batons. 0, -EBUSY: its turn has not come, or another negative errno value. */
static int cut(struct kevyrt_job *job) {
    const struct config *config = &job->server->config;
    struct snapshot_options options = {
        .compress = config_number(config, SETTING_RDBCOMPRESSION),
        .checksum = config_number(config, SETTING_RDBCHECKSUM),
    };
    if (job->server->fabric.domain.gates & GATE_LOADING) return -EBUSY;
    atomic_store_seq_cst(&job->state, JOB_RUNNING); /* it may be done before we know */
    int result = snapshot_begin(&job->server->fabric, &job->sink, &options);
    if (result < 0) atomic_store_seq_cst(&job->state, JOB_WAITING);
    return result;
}

static int cut_held(struct kevyrt_job *job) {
    struct fabric *fabric = &job->server->fabric;
    if (!caller_take_all(fabric)) return -ESHUTDOWN;
    int result = cut(job);
    caller_drop_all(fabric);
    return result;
}

/* The file is there only while it is written, and is opened before the batons are taken. */
static int cut_into_file(struct kevyrt_job *job) {
    if (!job->path) return cut_held(job);
    int result = job->write_error = dump_file_open(&job->file, disk_default, job->path);
    if (result == 0) result = cut_held(job);
    if (result < 0 && job->write_error == 0) (void)dump_file_close(&job->file, false);
    return result;
}

static int try_cut(struct kevyrt_job *job) {
    if (!server_enter(job->server)) return -ESHUTDOWN;
    int result = snapshot_is_running(&job->server->fabric) ? -EBUSY : cut_into_file(job);
    server_leave(job->server);
    return result;
}

/* With all batons. */
static int begin_rewrite(struct kevyrt_job *job) {
    struct kevyrt_server *server = job->server;
    if (!aof_owner_log(server)) return -ENODATA;
    job->rewrites_ended = atomic_load_seq_cst(&server->persistence.rewriting.ended);
    int result = persistence_rewrite_begin(server);
    if (result == 0) atomic_store_seq_cst(&job->state, JOB_RUNNING);
    return result;
}

static int try_rewrite(struct kevyrt_job *job) {
    struct kevyrt_server *server = job->server;
    int result = -ESHUTDOWN;
    if (!server_enter(server)) return result;
    if (caller_take_all(&server->fabric)) {
        result = begin_rewrite(job);
        caller_drop_all(&server->fabric);
    }
    server_leave(server);
    return result;
}

static int try_kind(struct kevyrt_job *job) {
    return job->kind == JOB_REWRITE ? try_rewrite(job) : try_cut(job);
}

static void try_to_begin(struct kevyrt_job *job) {
    int result = is_cancelled(job) ? -ECANCELED : try_kind(job);
    if (result == 0 || result == -EBUSY) return;
    enum kevyrt_status status = KEVYRT_SYSTEM;
    if (job->write_error) server_fail_file(&job->error, result, job->path);
    else if (result == -ESHUTDOWN) status = KEVYRT_STOPPED;
    else if (result == -ECANCELED) status = KEVYRT_CANCELLED;
    else if (result == -ENOMEM) status = fail_memory(job);
    else if (result == -ENODATA)
        status = server_fail(&job->error, KEVYRT_REFUSED, 0,
                             "there is no append-only log to rewrite: appendonly is off");
    else server_fail(&job->error, status, result, "%s", system_error_text(result));
    end(job, status);
}

static void begin_sink(struct kevyrt_job *job, struct kevyrt_job **out) {
    job->sink = (struct snapshot_sink){.write = sink_write, .done = sink_done};
    try_to_begin(job);
    *out = job;
}

enum kevyrt_status kevyrt_save(struct kevyrt_server *server, const char *path,
                               struct kevyrt_job **out, struct kevyrt_error *error) {
    if (!kevyrt_server_running(server)) return KEVYRT_STOPPED;
    struct kevyrt_job *job = job_new(server, JOB_SAVE);
    if (!job) return server_fail(error, KEVYRT_NO_MEMORY, ENOMEM, "out of memory");
    job->path = path;
    begin_sink(job, out);
    return KEVYRT_OK;
}

enum kevyrt_status kevyrt_snapshot_take(struct kevyrt_server *server, struct kevyrt_job **out,
                                        struct kevyrt_error *error) {
    if (!kevyrt_server_running(server)) return KEVYRT_STOPPED;
    struct kevyrt_job *job = job_new(server, JOB_SNAPSHOT);
    if (job) job->snapshot = memory_snapshot_new();
    if (job && job->snapshot) {
        begin_sink(job, out);
        return KEVYRT_OK;
    }
    if (job) job_free(job);
    return server_fail(error, KEVYRT_NO_MEMORY, ENOMEM, "out of memory");
}

struct kevyrt_snapshot *kevyrt_job_snapshot(struct kevyrt_job *job) {
    KRT_ASSERT(state_of(job) == JOB_DONE && job->status == KEVYRT_OK);
    kevyrt_snapshot_get(job->snapshot);
    return job->snapshot;
}

enum kevyrt_status kevyrt_snapshot_save(const struct kevyrt_snapshot *snapshot, const char *path,
                                        struct kevyrt_error *error) {
    struct dump_file file;
    const char *at;
    int result = dump_file_open(&file, disk_default, path);
    if (result < 0) return server_fail_file(error, result, path);
    for (size_t done = 0, len; result == 0 && done < snapshot->len; done += len) {
        len = kevyrt_snapshot_read(snapshot, done, &at);
        result = dump_file_write(&file, at, len);
    }
    int closed = dump_file_close(&file, result == 0);
    if (result == 0) result = closed;
    return result == 0 ? KEVYRT_OK : server_fail_file(error, result, path);
}

/* ---- Restore --------------------------------------------------------------------------------------- */

static void *restore_thread(void *context) {
    struct kevyrt_job *job = context;
    end(job, restore_run(job->server, &job->source, &job->cancelled, &job->error));
    return NULL;
}

enum kevyrt_status kevyrt_restore(struct kevyrt_server *server, const struct kevyrt_source *source,
                                  struct kevyrt_job **out, struct kevyrt_error *error) {
    if (!kevyrt_server_running(server)) return KEVYRT_STOPPED;
    struct kevyrt_job *job = job_new(server, JOB_RESTORE);
    if (!job) return server_fail(error, KEVYRT_NO_MEMORY, ENOMEM, "out of memory");
    job->source = *source;
    atomic_store_seq_cst(&job->state, JOB_RUNNING);
    int result = thread_start(&job->thread, "kevyrt-restore", restore_thread, job);
    job->has_thread = result == 0;
    if (result == 0) {
        *out = job;
        return KEVYRT_OK;
    }
    job_free(job);
    return server_fail(error, KEVYRT_SYSTEM, result, "cannot start a thread: %s",
                       system_error_text(result));
}

/* ---- Rewrite --------------------------------------------------------------------------------------- */

/* Who rewrites counts the ends, and knows of no job. Ours ends first, since there is one at a time. */
static bool await_rewrite(struct kevyrt_job *job, uint64_t deadline_ns) {
    struct rewriting *rewriting = &job->server->persistence.rewriting;
    bool in_time = true;
    if (atomic_load_seq_cst(&rewriting->ended) == job->rewrites_ended)
        in_time = futex_wait(&rewriting->ended, job->rewrites_ended, deadline_ns);
    struct rewrite_status status;
    rewrite_status_get(job->server, &status);
    bool ended = atomic_load_seq_cst(&rewriting->ended) != job->rewrites_ended;
    if (!ended && status.running) return in_time;
    if (ended && !status.last_failed) end(job, KEVYRT_OK);
    else if (!kevyrt_server_running(job->server)) end(job, KEVYRT_STOPPED);
    else
        end(job, server_fail(&job->error, KEVYRT_REFUSED, 0,
                             "the append-only log could not be rewritten, and is as it was; the "
                             "server's log says why"));
    return true;
}

enum kevyrt_status kevyrt_rewrite(struct kevyrt_server *server, bool may_wait,
                                  struct kevyrt_job **out, struct kevyrt_error *error) {
    if (!kevyrt_server_running(server)) return KEVYRT_STOPPED;
    struct kevyrt_job *job = job_new(server, JOB_REWRITE);
    if (!job) return server_fail(error, KEVYRT_NO_MEMORY, ENOMEM, "out of memory");
    try_to_begin(job);
    *out = job;
    if (may_wait || state_of(job) != JOB_WAITING) return KEVYRT_OK;
    job_free(job);
    return server_fail(error, KEVYRT_REFUSED, 0, "the append-only log is being rewritten already");
}

/* ---- Any job --------------------------------------------------------------------------------------- */

static uint64_t sooner(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

enum kevyrt_status kevyrt_job_wait(struct kevyrt_job *job, uint64_t deadline_ns,
                                   struct kevyrt_error *error) {
    if (!kevyrt_server_usable(job->server)) return KEVYRT_STOPPED;
    while (state_of(job) == JOB_WAITING) {
        try_to_begin(job);
        uint64_t now = clock_monotonic_ns();
        if (state_of(job) != JOB_WAITING) break;
        if (now >= deadline_ns) return KEVYRT_TIMEOUT;
        (void)futex_wait(&job->state, JOB_WAITING, sooner(deadline_ns, now + TURN_NS));
    }
    bool late = false;
    if (state_of(job) == JOB_RUNNING)
        late = job->kind == JOB_REWRITE ? !await_rewrite(job, deadline_ns)
                                        : !futex_wait(&job->state, JOB_RUNNING, deadline_ns);
    if (state_of(job) != JOB_DONE) return late ? KEVYRT_TIMEOUT : KEVYRT_BLOCKED;
    if (error) *error = job->error;
    return job->status;
}

void kevyrt_job_cancel(struct kevyrt_job *job) {
    atomic_store_relaxed(&job->cancelled, 1);
}

void kevyrt_job_put(struct kevyrt_job *job) {
    if (!kevyrt_server_usable(job->server)) return; /* a child's copy; see kevyrt_server_put */
    kevyrt_job_cancel(job);
    bool goes_on = job->kind == JOB_REWRITE && state_of(job) == JOB_RUNNING;
    while (!goes_on && state_of(job) != JOB_DONE)
        (void)kevyrt_job_wait(job, FUTEX_NO_DEADLINE, NULL);
    job_free(job);
}
