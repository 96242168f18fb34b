/* The journal: what joins the shards to the append-only log (aof/aof.h).
 *
 * Role: takes the effects of calls into the tail of their home shard, queues what is there before any baton of the calls drops
 * (journal_seal, asked by every place that drops), and knows up to which position the log is safe. Who lets something out of the
 * server asks for that: held.h for connections, journal_wait for callers in process, answers below for those who wait in process.
 * Positions: tickets of this server. They never begin anew, whatever logs come and go: `base` is added to those of a log.
 * Threads: `aof` and `base` change under all batons. What is marked so is read by any thread.
 * Invariants
 *   J1  Of the shards of one holding at most one tail is not empty: that of the home of the calls.
 *   J2  A shard's `aof.ticket` covers all that was ever done to its data, but for what is in a tail of its present holder.
 *   J3  Nothing waits for a position that is safe: who waits publishes what for, then looks at `safe` again; the log's thread
 *       publishes `safe`, then looks who waits. Both sequentially consistent.
 * While the disk fails (GATE_DISK) nothing more is written, and reads are answered from memory, those too that had begun to wait:
 * else one write that cannot be made safe would keep everybody from the data of its shard. What has written waits on.
 * Errors: what could not be made safe before the server stopped is told to nobody.
 */
#pragma once

#include "aof/aof.h"
#include "base/bytes.h"

struct call;
struct fabric;
struct shard;
struct waiter;

struct journal {
    atomic_ptr aof; /* struct aof; NULL: nothing is logged. Under all batons; release */
    uint64_t base;  /* what is added to the tickets of `aof`; under all batons */
    uint64_t last;  /* of all logs before; under all batons */
    /* Writer: the log's thread, or who has closed the log. Readers: any. seq_cst, see J3. */
    atomic_u64 safe, synced;
    atomic_u32 bell;     /* futex: rung for the sleepers; seq_cst */
    atomic_u32 sleepers; /* who may sleep on it; any, seq_cst */
    atomic_u32
        full; /* too much waits to be written; holders set, the log's thread and holders clear; relaxed */
    /* Struct waiter, newest first: answered in process, not yet told. Holders push, who tells takes all; seq_cst. */
    atomic_ptr answers;
    atomic_ptr syncs; /* who waits for a sync (WAITAOF); the same, but that the keeper tells */
    void (*ask)(void *context); /* asks the keeper for journal_work; NULL: there is none */
    atomic_u32
        failing; /* as GATE_DISK, for who has no baton; under all batons, seq_cst as `safe` */
    /* 1: the server has stopped, and no position becomes safe any more. Futex; writer: who stops; seq_cst. */
    atomic_u32 ended;
    /* At the stop, when the batons are closed: writes and syncs what is queued and closes the log, which the journal has let go of.
     * NULL: there is none. */
    bool (*close)(void *context);
    void *context; /* of `ask` and `close` */
};

/* ---- A call, with its batons ------------------------------------------------------------------------ */
/* effect_sink.log */
void journal_log(struct call *call, uint32_t db, const struct bytes *argv, uint32_t argc);
/* The outermost call of `home` is complete. If it has something to tell, its effects are queued before. */
void journal_end_call(struct shard *home);
/* What the call has posted tells of what was seen and queued until now: in the middle of a call, that is without its own effects. */
void journal_stamp(struct shard *home);
/* What an eviction has left, which is no part of the call that needs room, and cannot wait for the end of the turn: the
 * victim's shard is dropped now (`victim` NULL: it is held for longer). */
void journal_end_eviction(struct shard *home, struct shard *victim);
/* Is it in the middle of a call that has left something? Then what is not held cannot be changed. */
bool journal_is_inside(const struct shard *home);

/* With any baton: is the queue still too long? */
void journal_look(struct fabric *fabric);

/* ---- Before a drop ---------------------------------------------------------------------------------- */
uint64_t journal_seal_all(struct fabric *fabric, uint64_t held);
/* Queues what the calls of the holding have left. Returns the position of everything that was seen in it; 0: of no log. `held`: all
 * that is held, whether it is dropped now or not. */
#define journal_seal(fabric, held) \
    (KRT_LIKELY(!atomic_load_relaxed(&(fabric)->journal.aof)) ? 0 : journal_seal_all(fabric, held))

/* ---- Any thread, nothing held ----------------------------------------------------------------------- */
/* In a ticket of callers: nothing was written in it. */
#define JOURNAL_OF_READ (UINT64_C(1) << 63)
static inline bool journal_is_safe(const struct journal *journal, uint64_t ticket) {
    return (ticket & ~JOURNAL_OF_READ) <= atomic_load_acquire(&journal->safe);
}
enum journal_result { JOURNAL_SAFE, JOURNAL_LATE, JOURNAL_LOST };
/* Sleeps until it is safe, the absolute monotonic deadline has passed, or (LOST) it will never be. */
enum journal_result journal_wait(struct fabric *fabric, uint64_t ticket, uint64_t deadline_ns);
/* Tells who waits in process and is answered that he is, once his ticket is safe. */
void journal_answer_later(struct fabric *fabric, struct waiter *waiter);
/* Answers WAITAOF once its ticket is synced. With the teller's count. */
void journal_await_sync(struct fabric *fabric, struct waiter *waiter);

/* ---- Life ------------------------------------------------------------------------------------------- */
/* Under all batons. From here on everything is logged. Returns the base of its tickets. */
uint64_t journal_attach(struct fabric *fabric, struct aof *aof);
/* Under all batons. Everything that was logged is queued, and nothing more is. Returns the last position. */
uint64_t journal_detach(struct fabric *fabric);
/* By the log's thread, or who has closed it: what is safe and synced now. */
void journal_note_safe(struct fabric *fabric, uint64_t safe, uint64_t synced);
/* Under all batons, with GATE_DISK. */
void journal_note_failing(struct fabric *fabric, bool failing);
/* The keeper: tells those who wait for a sync. With no baton held. */
void journal_work(struct fabric *fabric);
/* Too little waits to be called full. Any thread that knows. */
void journal_note_room(struct fabric *fabric);
/* Before the threads of the shards start. */
void journal_start(struct fabric *fabric);
/* The batons are closed, the threads of the shards have not ended. */
void journal_stop(struct fabric *fabric);
