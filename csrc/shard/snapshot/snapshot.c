/* The life of a snapshot.
 *
 *   IDLE ──begin, all batons──▶ RUNNING ──walks through, all encoded──▶ thaw, shard 0 with all batons ──▶ IDLE, done(DONE)
 *                                  │                                        ▲
 *                                  └── abort, refused memory, the sink ──▶ done(ABORTED, FAILED); OVER: the walks go on dry
 *
 * A shard hands over what it keeps in buffers, onto a stack that the thread takes whole: order among them means nothing, since
 * every key is in one of them. The last thing that a shard does is to count itself out of `walking`; who then finds the stack empty
 * has seen everything, as nothing is kept behind the walk.
 *
 * The thread is made for the first snapshot and stays until the server stops. So one may begin while the `done` of the last goes on
 * (a file is synced): its walk has begun then, and its buffers wait.
 *
 * The thread may share a core with a shard thread, so it lets others run every half a millisecond (thread_yield). It does not while more
 * waits than a walk would leave there: what is kept before changes is memory, and others that are always ready to run leave
 * it little time.
 *
 * The stop comes when no shard thread runs any more and no baton can be had: the thread tells the sink and ends, and the stop drops
 * what is left of the walks.
 */
#include "shard/snapshot/snapshot.h"

#include <errno.h>

#include "base/mem.h"
#include "plat/clock.h"
#include "plat/futex.h"
#include "plat/thread.h"
#include "shard/shard.h"
#include "shard/snapshot/encode.h"
#include "store/snapshot.h"

enum thaw_state { THAW_NONE, THAW_WANTED, THAW_DONE };
enum snapshot_state { SNAPSHOT_IDLE, SNAPSHOT_RUNNING, SNAPSHOT_OVER };

enum {
    SLICE_ENTRIES = 64, /* between two looks at the clock */
    WALK_SLICE_NS = 30000,
    BEHIND_NS = 500000, /* to look again whether the thread has caught up */
    REST_ITEMS = 64,    /* between two looks at the clock */
    REST_NS = 400000,
    REST_QUEUE_BYTES = SNAPSHOT_QUEUE_BYTES + (2 << 20),
};

struct snapshot {
    struct kept_taker taker; /* first */
    struct fabric *fabric;
    struct snapshot_sink *sink;      /* written at the cut; the thread */
    struct snapshot_options options; /* the same */
    struct snapshot_part *parts;     /* of the shards; from the cut to the thaw, with all batons */
    uint32_t version;
    uint64_t used_bytes;

    atomic_u32
        state; /* enum snapshot_state; from IDLE with all batons, to it by the thread; acquire-release */
    atomic_u32 jobs;   /* cuts so far; who cuts (release), the thread (acquire) */
    atomic_u32 ending; /* the stop sets; the thread; acquire-release */
    atomic_u32 bell;   /* futex: rung for every change; seq_cst */
    atomic_ptr
        queue; /* newest first; holders of batons push (release), the thread swaps (acquire) */
    atomic_u64 queued_bytes; /* in it; relaxed */
    atomic_u32 walking;      /* shards whose walk goes on; shard threads, acquire-release */
    atomic_u64 keys, keys_done, bytes_written; /* figures; relaxed */
    atomic_u32 pace_entries, pace_us;          /* DEBUG; relaxed */
    bool has_thread;                           /* with all batons */
    atomic_u32 thaw; /* enum thaw_state: the thread wants, shard 0 does, with all batons; seq_cst */
    struct snapshot_part *melted; /* from shard 0 to the thread: orders `thaw` */
    struct garbage *waited;       /* the same */
    uint32_t jobs_done;           /* the thread */
    uint64_t rested_ns;           /* the thread: when it let others run */
    pthread_t thread;
};

static void ring(struct snapshot *snapshot) {
    atomic_add_seq_cst(&snapshot->bell, 1);
    futex_wake(&snapshot->bell, 1);
}

bool snapshot_is_running(const struct fabric *fabric) {
    return atomic_load_acquire(&fabric->snapshot->state) != SNAPSHOT_IDLE;
}

void snapshot_abort(struct fabric *fabric) {
    if (atomic_load_acquire(&fabric->snapshot->state) != SNAPSHOT_RUNNING) return;
    atomic_store_relaxed(&fabric->snapshot->taker.over, KEPT_OVER_ABORTED);
    ring(fabric->snapshot);
}

void snapshot_progress_get(const struct fabric *fabric, struct snapshot_progress *out) {
    const struct snapshot *snapshot = fabric->snapshot;
    *out = (struct snapshot_progress){
        .keys = atomic_load_relaxed(&snapshot->keys),
        .keys_done = atomic_load_relaxed(&snapshot->keys_done),
        .bytes_written = atomic_load_relaxed(&snapshot->bytes_written),
    };
}

void snapshot_set_pace(struct fabric *fabric, uint32_t entries, uint32_t pause_us) {
    atomic_store_relaxed(&fabric->snapshot->pace_entries, entries);
    atomic_store_relaxed(&fabric->snapshot->pace_us, pause_us);
}

/* ---- The shard threads ----------------------------------------------------------------------------- */

static void take(struct kept_taker *taker, struct kept_buffer *buffer) {
    struct snapshot *snapshot = (struct snapshot *)taker;
    void *head = atomic_load_relaxed(&snapshot->queue);
    atomic_add_relaxed(&snapshot->queued_bytes, buffer->len);
    do {
        buffer->next = head;
    } while (!atomic_cas_acq_rel(&snapshot->queue, &head, buffer));
    ring(snapshot);
}

static bool is_behind(const struct snapshot *snapshot) {
    return atomic_load_relaxed(&snapshot->queued_bytes) > SNAPSHOT_QUEUE_BYTES;
}

/* True: it is through. */
static bool walk_slice(struct shard *shard, struct snapshot_part *part, uint32_t entries) {
    uint64_t begin = clock_monotonic_ns();
    if (entries) return snapshot_part_walk(part, entries);
    do {
        if (snapshot_part_walk(part, SLICE_ENTRIES)) return true;
    } while (!turn_is_wanted(shard) && clock_monotonic_ns() - begin < WALK_SLICE_NS);
    return false;
}

/* The thread is in no hurry, and must not hold the places, nor be waited for by who wants them. */
static void melt(struct shard *shard) {
    struct fabric *fabric = shard->fabric;
    struct snapshot *snapshot = fabric->snapshot;
    shard->io.snapshot_ns = shard->io.woke_ns + BEHIND_NS;
    if (!turn_coordinate(shard, fabric_all(fabric))) return;
    shard->io.snapshot_ns = FUTEX_NO_DEADLINE;
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++)
        keyspace_thaw(fabric->keyspaces[i], &snapshot->waited);
    snapshot->melted = snapshot->parts;
    snapshot->parts = NULL;
    atomic_store_release(&snapshot->state, SNAPSHOT_IDLE);
    atomic_store_seq_cst(&snapshot->thaw, THAW_DONE);
    ring(snapshot);
}

void snapshot_tend(struct shard *shard) {
    struct snapshot *snapshot = shard->fabric->snapshot;
    if (shard->index == 0 && atomic_load_seq_cst(&snapshot->thaw) == THAW_WANTED) {
        melt(shard);
        return;
    }
    struct snapshot_part *part = shard->data.keyspace.part;
    uint32_t pace_us = atomic_load_relaxed(&snapshot->pace_us);
    bool waits = shard->io.snapshot_ns != FUTEX_NO_DEADLINE;
    if (part->walked || (waits && shard->io.woke_ns < shard->io.snapshot_ns)) return;
    bool dry = atomic_load_relaxed(&snapshot->taker.over);
    shard->io.snapshot_ns = 0;
    if (is_behind(snapshot) && !dry) {
        shard->io.snapshot_ns = shard->io.woke_ns + BEHIND_NS;
        return;
    }
    if (walk_slice(shard, part, dry ? 0 : atomic_load_relaxed(&snapshot->pace_entries))) {
        part->walked = true;
        shard->io.snapshot_ns = FUTEX_NO_DEADLINE;
        if (atomic_sub_acq_rel(&snapshot->walking, 1) == 1) ring(snapshot);
    } else if (pace_us && !dry) {
        shard->io.snapshot_ns = shard->io.woke_ns + (uint64_t)pace_us * 1000;
    }
}

/* ---- The cut ---------------------------------------------------------------------------------------- */

static void drop_parts(struct snapshot *snapshot) {
    for (uint32_t i = 0; snapshot->parts && i < snapshot->fabric->settings.shard_count; i++)
        snapshot_part_deinit(&snapshot->parts[i]);
    mem_free(NULL, snapshot->parts);
    snapshot->parts = NULL;
}

static int make_parts(struct snapshot *snapshot) {
    struct fabric *fabric = snapshot->fabric;
    bool made = (snapshot->parts =
                     mem_calloc(NULL, fabric->settings.shard_count * sizeof *snapshot->parts));
    for (uint32_t i = 0; made && i < fabric->settings.shard_count; i++)
        made = snapshot_part_init(&snapshot->parts[i], fabric->keyspaces[i], &snapshot->taker);
    if (made) return 0;
    drop_parts(snapshot);
    return -ENOMEM;
}

static void cut(struct snapshot *snapshot) {
    struct fabric *fabric = snapshot->fabric;
    uint64_t keys = 0, used = 0, expiring = 0;
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++) {
        keyspace_cut(fabric->keyspaces[i], &snapshot->parts[i]);
        keys += snapshot->parts[i].keys;
        used += keyspace_used_bytes(fabric->keyspaces[i]);
        expiring += fabric->keyspaces[i]->expiring_count;
    }
    snapshot->version = expiring ? RDB_VERSION_FIELDS : RDB_VERSION;
    snapshot->used_bytes = used;
    atomic_store_relaxed(&snapshot->keys, keys);
    atomic_store_relaxed(&snapshot->keys_done, 0);
    atomic_store_relaxed(&snapshot->bytes_written, 0);
}

static void *snapshot_thread(void *argument);

static int start_thread(struct snapshot *snapshot) {
    if (snapshot->has_thread) return 0;
    atomic_store_relaxed(&snapshot->ending, 0);
    int result = thread_start(&snapshot->thread, "kevyrt-snapshot", snapshot_thread, snapshot);
    snapshot->has_thread = result == 0;
    return result;
}

int snapshot_begin(struct fabric *fabric, struct snapshot_sink *sink,
                   const struct snapshot_options *options) {
    struct snapshot *snapshot = fabric->snapshot;
    uint32_t count = fabric->settings.shard_count;
    if (snapshot_is_running(fabric)) return -EBUSY;
    int result = start_thread(snapshot);
    if (result == 0) result = make_parts(snapshot);
    if (result < 0) return result;
    snapshot->sink = sink;
    snapshot->options = *options;
    atomic_store_relaxed(&snapshot->taker.over, 0);
    atomic_store_relaxed(&snapshot->walking, count);
    cut(snapshot);
    atomic_store_release(&snapshot->state, SNAPSHOT_RUNNING);
    atomic_add_seq_cst(&snapshot->jobs, 1);
    ring(snapshot);
    for (uint32_t i = 0; i < count; i++) inbox_wake(&fabric->shards[i]->inbox);
    return 0;
}

/* ---- The thread -------------------------------------------------------------------------------------- */

static bool is_ending(const struct snapshot *snapshot) {
    return atomic_load_acquire(&snapshot->ending);
}

static bool is_over(const struct snapshot *snapshot) {
    return atomic_load_relaxed(&snapshot->taker.over);
}

/* Nobody needs the rest. The first reason stays. */
static void give_up(struct snapshot *snapshot) {
    uint32_t none = 0;
    (void)atomic_cas_acq_rel(&snapshot->taker.over, &none, KEPT_OVER_FAILED);
}

static void rest(void *context) {
    struct snapshot *snapshot = context;
    if (atomic_load_relaxed(&snapshot->queued_bytes) > REST_QUEUE_BYTES) return;
    uint64_t now = clock_monotonic_ns();
    if (now - snapshot->rested_ns < REST_NS) return;
    thread_yield();
    snapshot->rested_ns = clock_monotonic_ns();
}

static void encode_buffer(struct snapshot *snapshot, struct encoder *encoder,
                          struct kept_buffer *buffer) {
    size_t offset = 0;
    uint64_t count = 0, len = buffer->len;
    struct kept_item *item;
    while (!is_over(snapshot) && (item = kept_next(buffer, &offset))) {
        if (!encoder_item(encoder, item)) give_up(snapshot);
        kept_release(item);
        if (++count % REST_ITEMS == 0) rest(snapshot);
    }
    kept_buffer_free(buffer, offset);
    atomic_sub_relaxed(&snapshot->queued_bytes, len);
    atomic_add_relaxed(&snapshot->keys_done, count);
    atomic_store_relaxed(&snapshot->bytes_written, encoder->written);
}

/* Encodes, or drops, what comes until all of it has come. False: nothing more comes, since the server stops. */
static bool take_all(struct snapshot *snapshot, struct encoder *encoder) {
    for (;;) {
        uint32_t seen = atomic_load_seq_cst(&snapshot->bell);
        bool walked = atomic_load_acquire(&snapshot->walking) == 0;
        struct kept_buffer *buffer = atomic_swap_acquire(&snapshot->queue, NULL), *next;
        bool came = buffer != NULL;
        for (; buffer; buffer = next) {
            next = buffer->next;
            encode_buffer(snapshot, encoder, buffer);
        }
        if (is_ending(snapshot)) return false;
        if (walked && !came) return true;
        if (encoder->tell && is_over(snapshot)) return true;
        if (!came && !walked) futex_wait(&snapshot->bell, seen, FUTEX_NO_DEADLINE);
    }
}

/* What shard 0 has left of it. */
static void drop_melted(struct snapshot *snapshot) {
    struct garbage *waited = snapshot->waited;
    snapshot->waited = NULL;
    for (uint32_t i = 0; snapshot->melted && i < snapshot->fabric->settings.shard_count; i++)
        snapshot_part_deinit(&snapshot->melted[i]);
    mem_free(NULL, snapshot->melted);
    snapshot->melted = NULL;
    for (struct garbage *next; waited; waited = next) {
        next = waited->next;
        waited->free(waited);
    }
}

/* False: the server stops, which sees to it. */
static bool thaw(struct snapshot *snapshot) {
    atomic_store_seq_cst(&snapshot->thaw, THAW_WANTED);
    inbox_wake(&snapshot->fabric->shards[0]->inbox);
    for (;;) {
        uint32_t seen = atomic_load_seq_cst(&snapshot->bell);
        if (atomic_load_seq_cst(&snapshot->thaw) == THAW_DONE) break;
        if (is_ending(snapshot)) return false;
        futex_wait(&snapshot->bell, seen, FUTEX_NO_DEADLINE);
    }
    atomic_store_seq_cst(&snapshot->thaw, THAW_NONE);
    drop_melted(snapshot);
    return true;
}

static enum snapshot_result result_of(const struct snapshot *snapshot) {
    uint32_t over = atomic_load_relaxed(&snapshot->taker.over);
    if (over == KEPT_OVER_ABORTED) return SNAPSHOT_ABORTED;
    return over ? SNAPSHOT_FAILED : SNAPSHOT_DONE;
}

/* One that is over tells so before its walks are through. */
static void run_job(struct snapshot *snapshot) {
    struct snapshot_sink *sink = snapshot->sink;
    struct encoder encoder;
    encoder_init(&encoder, sink, &snapshot->options, &snapshot->taker.over);
    encoder.rest = rest;
    encoder.rest_context = snapshot;
    if (!encoder_begin(&encoder, snapshot->version, clock_wall_ms() / 1000, snapshot->used_bytes))
        give_up(snapshot);
    encoder.tell = true;
    bool complete = take_all(snapshot, &encoder);
    if (complete && !is_over(snapshot) && !encoder_end(&encoder)) give_up(snapshot);
    enum snapshot_result result = complete ? result_of(snapshot) : SNAPSHOT_ABORTED;
    atomic_store_relaxed(&snapshot->bytes_written, encoder.written);
    if (result != SNAPSHOT_DONE) {
        atomic_store_release(&snapshot->state, SNAPSHOT_OVER);
        sink->done(sink, result);
        encoder.tell = false;
        complete = complete && take_all(snapshot, &encoder);
    }
    encoder_deinit(&encoder);
    if (complete) (void)thaw(snapshot);
    if (result == SNAPSHOT_DONE) sink->done(sink, result);
}

static void *snapshot_thread(void *argument) {
    struct snapshot *snapshot = argument;
    thread_be_modest();
    for (;;) {
        uint32_t seen = atomic_load_seq_cst(&snapshot->bell);
        if (is_ending(snapshot)) return NULL;
        if (atomic_load_seq_cst(&snapshot->jobs) != snapshot->jobs_done) {
            snapshot->jobs_done++;
            run_job(snapshot);
        } else {
            futex_wait(&snapshot->bell, seen, FUTEX_NO_DEADLINE);
        }
    }
}

/* ---- The fabric ---------------------------------------------------------------------------------------- */

struct snapshot *snapshot_new(struct fabric *fabric) {
    struct snapshot *snapshot = mem_calloc(NULL, sizeof *snapshot);
    if (!snapshot) return NULL;
    snapshot->fabric = fabric;
    snapshot->taker.take = take;
    return snapshot;
}

void snapshot_free(struct snapshot *snapshot) {
    mem_free(NULL, snapshot);
}

/* Nobody is left who could go on: what waits for the thaw has nothing more to wait for. */
static void drop_walks(struct snapshot *snapshot) {
    struct garbage *waited = NULL;
    for (uint32_t i = 0; snapshot->parts && i < snapshot->fabric->settings.shard_count; i++) {
        struct snapshot_part *part = &snapshot->parts[i];
        part->at = part->count;
        keyspace_thaw(part->keyspace, &waited);
    }
    for (struct kept_buffer *at = atomic_swap_acquire(&snapshot->queue, NULL), *next; at;
         at = next) {
        next = at->next;
        kept_buffer_free(at, 0);
    }
    atomic_store_relaxed(&snapshot->queued_bytes, 0);
    drop_parts(snapshot);
    for (struct garbage *next; waited; waited = next) {
        next = waited->next;
        waited->free(waited);
    }
}

void snapshot_stop(struct fabric *fabric) {
    struct snapshot *snapshot = fabric->snapshot;
    if (!snapshot->has_thread) return;
    uint32_t none = 0;
    atomic_store_release(&snapshot->ending, 1);
    (void)atomic_cas_acq_rel(&snapshot->taker.over, &none, KEPT_OVER_ABORTED);
    ring(snapshot);
    thread_join(snapshot->thread);
    snapshot->has_thread = false;
    /* One that has begun and that the thread did not come to. */
    if (atomic_load_relaxed(&snapshot->jobs) != snapshot->jobs_done) {
        snapshot->jobs_done++;
        snapshot->sink->done(snapshot->sink, SNAPSHOT_ABORTED);
    }
    drop_melted(snapshot);
    drop_walks(snapshot);
    atomic_store_seq_cst(&snapshot->thaw, THAW_NONE);
    atomic_store_release(&snapshot->state, SNAPSHOT_IDLE);
}
