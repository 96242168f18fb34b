/* The thread that syncs for `appendfsync everysec`, so that the log's thread writes on meanwhile: what waits, waits for the write only.
 *
 *   IDLE ── aof_syncer_ask ──▶ BUSY ── its thread has synced ──▶ DONE ── aof_syncer_collect ──▶ IDLE
 *
 * It has the descriptor while it is BUSY. What was laid out up to then is sealed off: later chunks come into other segments, so that what
 * the sync covers is released alone. Whoever fails a file, leaves it, or syncs it himself settles first. The thread starts when it
 * is first needed; if it cannot, the log's thread syncs.
 */
#include "aof/internal.h"
#include "plat/clock.h"
#include "plat/futex.h"
#include "plat/thread.h"

static void sync_asked(struct aof *aof) {
    struct aof_syncer *syncer = &aof->syncer;
    const struct disk *disk = aof->log.files.disk;
    syncer->result = disk->sync(disk, syncer->fd);
    syncer->took_ns = clock_monotonic_ns() - syncer->began_ns;
    atomic_store_seq_cst(&syncer->state, SYNCER_DONE);
    futex_wake(&syncer->state, 1);
    aof_queue_ring(aof);
}

static void *syncer_thread(void *argument) {
    struct aof *aof = argument;
    for (;;) {
        uint32_t state = atomic_load_seq_cst(&aof->syncer.state);
        if (state == SYNCER_END) return NULL;
        if (state == SYNCER_BUSY) sync_asked(aof);
        else (void)futex_wait(&aof->syncer.state, state, FUTEX_NO_DEADLINE);
    }
}

static bool is_running(struct aof *aof) {
    struct aof_syncer *syncer = &aof->syncer;
    if (!syncer->started)
        syncer->started = thread_start(&syncer->thread, "kevyrt-sync", syncer_thread, aof) == 0;
    return syncer->started;
}

bool aof_syncer_is_idle(const struct aof *aof) {
    return atomic_load_seq_cst(&aof->syncer.state) == SYNCER_IDLE;
}

bool aof_syncer_ask(struct aof *aof) {
    struct aof_syncer *syncer = &aof->syncer;
    struct aof_log *log = &aof->log;
    if (!is_running(aof)) return false;
    syncer->fd = log->fd;
    syncer->began_ns = clock_monotonic_ns();
    syncer->offset = log->written;
    syncer->position = log->written_position;
    syncer->db = log->db;
    log->sealed = log->last;
    atomic_store_seq_cst(&syncer->state, SYNCER_BUSY);
    futex_wake(&syncer->state, 1);
    return true;
}

void aof_syncer_collect(struct aof *aof) {
    struct aof_syncer *syncer = &aof->syncer;
    struct aof_log *log = &aof->log;
    if (atomic_load_seq_cst(&syncer->state) != SYNCER_DONE) return;
    atomic_store_seq_cst(&syncer->state, SYNCER_IDLE);
    if (syncer->result < 0) {
        aof_fail(aof, syncer->result, true);
        return;
    }
    aof_note_sync(log, syncer->began_ns, syncer->took_ns);
    log->synced = log->clean = syncer->offset;
    log->synced_position = syncer->position;
    if (log->cut <= syncer->offset) log->unsafe_cut = false; /* else more was let go of meanwhile */
    aof_layout_release_sealed(log, syncer->offset, syncer->db);
}

void aof_syncer_settle(struct aof *aof) {
    while (atomic_load_seq_cst(&aof->syncer.state) == SYNCER_BUSY)
        (void)futex_wait(&aof->syncer.state, SYNCER_BUSY, FUTEX_NO_DEADLINE);
    aof_syncer_collect(aof);
}

void aof_syncer_stop(struct aof *aof) {
    if (!aof->syncer.started) return;
    atomic_store_seq_cst(&aof->syncer.state, SYNCER_END);
    futex_wake(&aof->syncer.state, 1);
    thread_join(aof->syncer.thread);
    aof->syncer.started = false;
}
