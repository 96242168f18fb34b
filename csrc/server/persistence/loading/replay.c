/* How it is spread over shards.
 *
 * A block is a batch of the reader with what is known of it: a plan per command, and *units*, which are commands, or transactions,
 * with the shards they need. Each shard has the list of its units in the order of the log. Blocks are in a ring; each is published to
 * all workers at once, and is free when all of them are through with it.
 *
 * A unit of one shard is run by its worker, with others of the same shard around it under one holding of the baton. A unit of several is in
 * the list of each of them. Each of their workers, when it comes to it, has done all that is in front of it, and says so; the last
 * one to come runs it, with all their batons, and the others wait until it is done. Nobody waits with a baton, and all lists have
 * such units in the same order, so they do not wait for each other.
 */
#include "server/persistence/loading/replay.h"

#include <stdio.h>

#include "plat/clock.h"
#include "plat/errors.h"
#include "plat/futex.h"
#include "plat/thread.h"
#include "shard/shard.h"

enum { BLOCKS = 8, SLICE_UNITS = 64, FETCHED = 16, ASK_NS = 50000000 };

struct step {
    struct plan plan; /* command NULL: there is nothing to be done */
    uint32_t db;
};

struct unit {
    uint32_t first, count; /* commands */
    uint64_t mask;
    atomic_u32 arrived; /* workers that have come to it; of several shards; seq_cst */
    atomic_u32 done;    /* futex: it was run; seq_cst */
};

struct replay_block {
    struct aof_batch batch;
    struct step *steps;
    struct unit *units;
    uint32_t step_capacity, unit_count, unit_capacity;
    uint32_t *order; /* units shard by shard */
    uint32_t order_capacity;
    uint32_t starts[SHARDS_MAX + 1];
    atomic_u32 left; /* futex: workers that are not through with it; seq_cst */
};

struct replay_worker {
    struct replay *replay;
    struct shard *shard;
    struct reply_pool pool;
    struct reply reply; /* takes nothing in: its error is looked at */
    pthread_t thread;
};

/* ---- Failures ------------------------------------------------------------------------------------ */

static bool is_over(struct replay *replay) {
    return atomic_load_relaxed(&replay->failure.state) || atomic_load_relaxed(&replay->stopped);
}

/* The first one counts. */
static void fail(struct replay *replay, bool no_memory, uint64_t offset, const char *text) {
    struct replay_failure *failure = &replay->failure;
    uint32_t nothing = 0;
    if (!atomic_cas_seq_cst(&failure->state, &nothing, 1)) return;
    failure->no_memory = no_memory;
    failure->offset = offset;
    (void)snprintf(failure->text, sizeof failure->text, "%s", text);
    atomic_store_seq_cst(&failure->state, 2);
}

static void fail_command(struct replay *replay, const char *what, struct bytes name,
                         uint64_t offset) {
    char text[sizeof replay->failure.text];
    int len = name.len < 64 ? (int)name.len : 64;
    (void)snprintf(text, sizeof text, "%s '%.*s'", what, len, name.at);
    fail(replay, false, offset, text);
}

/* Is the caller still to go on? Asks at most every now and then. */
static bool goes_on(struct replay *replay) {
    uint64_t now = clock_monotonic_ns();
    if (atomic_load_relaxed(&replay->stopped)) return false;
    if (now - replay->asked_ns < ASK_NS) return true;
    replay->asked_ns = now;
    bool stops = replay->keep_on && !replay->keep_on(replay->context);
    atomic_store_relaxed(&replay->stopped, stops);
    return !stops;
}

/* ---- Plans --------------------------------------------------------------------------------------- */

static bool reserve(void **at, uint32_t *capacity, uint32_t wanted, size_t each) {
    if (wanted <= *capacity) return true;
    void *larger = mem_realloc(NULL, *at, (size_t)wanted * 2 * each);
    if (!larger) return false;
    *at = larger;
    *capacity = wanted * 2;
    return true;
}

/* PFCOUNT writes down what it has counted. */
static bool may_change(const struct command *command) {
    bool notes = (command->flags & CMD_MAY_REPLICATE) && !(command->flags & CMD_PUBSUB);
    return (command->flags & CMD_WRITE) || notes || command->group == GROUP_SCRIPTING;
}

/* A log changes data, and names databases. What else somebody wrote into it is passed over, unless nobody knows what it
 * is. False: it cannot be run. */
static bool is_data(struct replay *replay, const struct plan *plan, struct bytes name,
                    uint64_t offset, bool *runs) {
    const struct command *command = plan->command;
    *runs = command && may_change(command);
    if (!command || (*runs && plan->arity_ok && !command->handler)) {
        fail_command(replay, "unknown command", name, offset);
        return false;
    }
    if (plan->arity_ok) return true;
    fail_command(replay, "wrong number of arguments for", name, offset);
    return false;
}

static bool select_database(struct replay *replay, const struct request *request, uint64_t offset) {
    int64_t db;
    if (request->argc == 2 && bytes_to_int64(request->argv[1], &db) && db >= 0 &&
        db < replay->fabric->settings.database_count) {
        replay->db = (uint32_t)db;
        return true;
    }
    fail_command(replay, "there is no database",
                 request->argc == 2 ? request->argv[1] : (struct bytes){0}, offset);
    return false;
}

static uint64_t shards_of(const struct fabric *fabric, const struct plan *plan) {
    if (plan->command->open) return fabric_all(fabric);
    return plan->mask ? plan->mask : 1;
}

static bool plan_step(struct replay *replay, struct replay_block *block, uint32_t i,
                      struct plan_hint *hint) {
    const struct aof_command *command = &block->batch.commands[i];
    struct step *step = &block->steps[i];
    struct request request = {.argv = &block->batch.args[command->first], .argc = command->argc};
    bool runs;
    if (KRT_UNLIKELY(bytes_is(request.argv[0], "select"))) {
        step->plan.command = NULL;
        return select_database(replay, &request, command->offset);
    }
    plan_request(replay->fabric, &request, hint, &step->plan);
    step->db = replay->db;
    if (!is_data(replay, &step->plan, request.argv[0], command->offset, &runs)) return false;
    if (!runs) step->plan.command = NULL;
    return true;
}

/* Commands that belong together are one unit. False: no memory, or one that cannot be run. */
static bool plan_block(struct replay *replay, struct replay_block *block) {
    uint32_t count = block->batch.count;
    struct plan_hint hint = {0};
    struct unit *unit = NULL;
    block->unit_count = 0;
    if (!reserve((void **)&block->steps, &block->step_capacity, count, sizeof *block->steps) ||
        !reserve((void **)&block->units, &block->unit_capacity, count, sizeof *block->units)) {
        fail(replay, true, block->batch.commands[0].offset, "out of memory");
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct step *step = &block->steps[i];
        if (!block->batch.commands[i].joined) unit = NULL;
        if (!plan_step(replay, block, i, &hint)) return false;
        if (!step->plan.command) continue;
        uint64_t mask = shards_of(replay->fabric, &step->plan);
        if (unit) {
            unit->mask |= mask;
            unit->count = i + 1 - unit->first;
        } else {
            unit = &block->units[block->unit_count++];
            *unit = (struct unit){.first = i, .count = 1, .mask = mask};
        }
    }
    return true;
}

/* The lists of the shards. */
static bool sort_units(struct replay *replay, struct replay_block *block) {
    uint32_t counts[SHARDS_MAX] = {0}, total = 0;
    for (uint32_t i = 0; i < block->unit_count; i++)
        for (uint64_t left = block->units[i].mask; left; left &= left - 1)
            counts[__builtin_ctzll(left)]++;
    for (uint32_t s = 0; s < replay->worker_count; s++) {
        block->starts[s] = total;
        total += counts[s];
        counts[s] = block->starts[s];
    }
    block->starts[replay->worker_count] = total;
    if (!reserve((void **)&block->order, &block->order_capacity, total, sizeof *block->order)) {
        fail(replay, true, block->batch.commands[0].offset, "out of memory");
        return false;
    }
    for (uint32_t i = 0; i < block->unit_count; i++)
        for (uint64_t left = block->units[i].mask; left; left &= left - 1)
            block->order[counts[__builtin_ctzll(left)]++] = i;
    return true;
}

/* ---- Running ------------------------------------------------------------------------------------- */

static void note_error(struct replay_worker *worker, uint64_t offset) {
    struct replay *replay = worker->replay;
    if (strcmp(worker->reply.error_code, "OOM") == 0) fail(replay, true, offset, "out of memory");
    if (atomic_add_relaxed(&replay->errors, 1) == 0)
        atomic_store_relaxed(&replay->error_offset, offset);
}

static void delay(const struct replay *replay) {
    if (replay->delay_us > 0) clock_sleep_ns((uint64_t)replay->delay_us * 1000);
}

/* With the batons of the unit. */
static void run_unit(struct replay_worker *worker, struct replay_block *block,
                     const struct unit *unit, int64_t *now_ms) {
    struct replay *replay = worker->replay;
    struct shard *home = replay->fabric->shards[__builtin_ctzll(unit->mask)];
    for (uint32_t i = unit->first; i < unit->first + unit->count; i++) {
        const struct aof_command *command = &block->batch.commands[i];
        const struct step *step = &block->steps[i];
        struct request request = {.argv = &block->batch.args[command->first],
                                  .argc = command->argc};
        if (KRT_UNLIKELY(!step->plan.command)) continue;
        if (KRT_UNLIKELY(is_over(replay))) return;
        if (KRT_UNLIKELY(replay->delay_us)) delay(replay);
        if (KRT_UNLIKELY(
                !execute_logged(home, &request, &step->plan, step->db, &worker->reply, now_ms)))
            note_error(worker, command->offset);
    }
}

static bool take(struct replay *replay, uint64_t mask) {
    struct fabric *fabric = replay->fabric;
    if (!baton_set_try(&fabric->set, mask) &&
        baton_set_take(&fabric->set, mask, FUTEX_NO_DEADLINE) != BATON_TAKEN) {
        fail(replay, false, 0, "the server was stopped");
        return false;
    }
    fabric->shards[__builtin_ctzll(mask)]->data.outcomes.held = mask;
    return true;
}

static void drop(struct fabric *fabric, uint64_t mask) {
    (void)turn_seal(fabric->shards[__builtin_ctzll(mask)], mask, mask);
    baton_set_drop(&fabric->set, mask);
}

/* The last one to come runs it. */
static void run_joint(struct replay_worker *worker, struct replay_block *block, struct unit *unit) {
    struct replay *replay = worker->replay;
    uint32_t shards = (uint32_t)__builtin_popcountll(unit->mask);
    int64_t now_ms = 0;
    if (atomic_add_seq_cst(&unit->arrived, 1) + 1 < shards) {
        while (!atomic_load_seq_cst(&unit->done)) futex_wait(&unit->done, 0, FUTEX_NO_DEADLINE);
        return;
    }
    if (!is_over(replay) && take(replay, unit->mask)) {
        run_unit(worker, block, unit, &now_ms);
        drop(replay->fabric, unit->mask);
    }
    atomic_store_seq_cst(&unit->done, 1);
    futex_wake(&unit->done, INT32_MAX);
}

static const struct unit *unit_at(const struct replay_block *block, uint32_t at) {
    return &block->units[block->order ? block->order[at] : at];
}

/* Two dependent misses per key are longer than most commands: they are taken for many keys at once. */
static void fetch(const struct replay_worker *worker, const struct replay_block *block,
                  uint32_t from, uint32_t to) {
    const struct keyspace *keyspace = &worker->shard->data.keyspace;
    for (int stage = 0; stage < 2; stage++) {
        for (uint32_t at = from; at < to; at++) {
            const struct step *step = &block->steps[unit_at(block, at)->first];
            if (!step->plan.hash_index || unit_at(block, at)->mask != worker->shard->own) continue;
            if (stage == 0) keyspace_prefetch_bucket(keyspace, step->db, step->plan.hash);
            else keyspace_prefetch_entry(keyspace, step->db, step->plan.hash);
        }
    }
}

/* Units of the own shard alone, from `at` on, as many as a slice has. Returns the first that was not run. */
static uint32_t run_slice(struct replay_worker *worker, struct replay_block *block, uint32_t at,
                          uint32_t end) {
    struct replay *replay = worker->replay;
    struct shard *shard = worker->shard;
    uint32_t units = replay->delay_us ? 1 : SLICE_UNITS;
    uint32_t last = end - at > units ? at + units : end, fetched = at;
    int64_t now_ms = 0;
    if (!take(replay, shard->own)) { /* what others wait for is still to be come to */
        while (at < last && unit_at(block, at)->mask == shard->own) at++;
        return at;
    }
    domain_keep_time(&replay->fabric->domain);
    for (; at < last && unit_at(block, at)->mask == shard->own; at++) {
        if (at == fetched) {
            fetched = last - at > FETCHED ? at + FETCHED : last;
            fetch(worker, block, at, fetched);
        }
        run_unit(worker, block, unit_at(block, at), &now_ms);
    }
    drop(replay->fabric, shard->own);
    return at;
}

/* What a block has for the worker's shard. */
static void run_block(struct replay_worker *worker, struct replay_block *block, uint32_t at,
                      uint32_t end) {
    while (at < end) {
        const struct unit *unit = unit_at(block, at);
        if (unit->mask == worker->shard->own) at = run_slice(worker, block, at, end);
        else run_joint(worker, block, &block->units[block->order[at++]]);
        if (worker->replay->worker_count == 0) (void)goes_on(worker->replay);
    }
}

static void *worker_thread(void *argument) {
    struct replay_worker *worker = argument;
    struct replay *replay = worker->replay;
    uint32_t index = worker->shard->index;
    for (uint64_t next = 0;;) {
        uint32_t seen = atomic_load_seq_cst(&replay->bell);
        if (next < atomic_load_seq_cst(&replay->published)) {
            struct replay_block *block = &replay->blocks[next++ % BLOCKS];
            run_block(worker, block, block->starts[index], block->starts[index + 1]);
            if (atomic_fetch_sub(&block->left, 1) == 1) futex_wake(&block->left, 1);
            continue;
        }
        if (atomic_load_seq_cst(&replay->ended)) return NULL;
        futex_wait(&replay->bell, seen, FUTEX_NO_DEADLINE);
    }
}

/* ---- The caller's thread ------------------------------------------------------------------------- */

static void ring(struct replay *replay) {
    atomic_add_seq_cst(&replay->bell, 1);
    futex_wake(&replay->bell, INT32_MAX);
}

/* Until nobody works at it any more. The caller is asked meanwhile, but what was begun is finished. */
static void await_block(struct replay *replay, struct replay_block *block) {
    uint32_t left;
    while ((left = atomic_load_seq_cst(&block->left))) {
        futex_wait(&block->left, left, clock_monotonic_ns() + ASK_NS);
        (void)goes_on(replay);
    }
}

static void publish(struct replay *replay, struct replay_block *block) {
    atomic_store_seq_cst(&block->left, replay->worker_count);
    atomic_store_seq_cst(&replay->published, atomic_load_relaxed(&replay->published) + 1);
    ring(replay);
}

static struct replay_block *free_block(struct replay *replay) {
    struct replay_block *block = &replay->blocks[atomic_load_relaxed(&replay->published) % BLOCKS];
    await_block(replay, block);
    return block;
}

static void run_planned(struct replay *replay, struct replay_block *block) {
    if (replay->worker_count == 0) run_block(replay->workers, block, 0, block->unit_count);
    else if (sort_units(replay, block)) publish(replay, block);
}

static enum replay_result result_of(struct replay *replay, enum aof_read read) {
    for (uint32_t i = 0; i < BLOCKS; i++) await_block(replay, &replay->blocks[i]);
    if (atomic_load_seq_cst(&replay->failure.state))
        return replay->failure.no_memory ? REPLAY_NO_MEMORY : REPLAY_REFUSED;
    if (atomic_load_relaxed(&replay->stopped)) return REPLAY_STOPPED;
    if (read == AOF_READ_NO_MEMORY) return REPLAY_NO_MEMORY;
    if (read == AOF_READ_TORN) return REPLAY_TORN;
    return read == AOF_READ_END ? REPLAY_END : REPLAY_READER;
}

enum replay_result replay_file(struct replay *replay, struct aof_reader *reader) {
    enum aof_read read = AOF_READ_END;
    replay->db = 0;
    while (!is_over(replay) && goes_on(replay)) {
        struct replay_block *block = free_block(replay);
        read = aof_reader_next(reader, &block->batch);
        if (read != AOF_READ_SOME) break;
        replay->commands += block->batch.count;
        if (plan_block(replay, block)) run_planned(replay, block);
        if (replay->loaded)
            atomic_store_relaxed(replay->loaded, replay->loaded_before + reader->whole);
    }
    return result_of(replay, read);
}

/* ---- Threads ------------------------------------------------------------------------------------- */

static void worker_init(struct replay_worker *worker, struct replay *replay, uint32_t shard) {
    *worker = (struct replay_worker){.replay = replay, .shard = replay->fabric->shards[shard]};
    reply_pool_init(&worker->pool, NULL, 1);
    reply_init(&worker->reply, &worker->pool, 3);
    worker->reply.failed = true; /* what is appended is dropped */
}

static void end_workers(struct replay *replay, uint32_t count) {
    atomic_store_seq_cst(&replay->ended, 1);
    ring(replay);
    for (uint32_t i = 0; i < count; i++) thread_join(replay->workers[i].thread);
}

static int start_workers(struct replay *replay) {
    for (uint32_t i = 0; i < replay->worker_count; i++) {
        int result = thread_start(&replay->workers[i].thread, "kevyrt-replay", worker_thread,
                                  &replay->workers[i]);
        if (result == 0) continue;
        end_workers(replay, i);
        return result;
    }
    return 0;
}

static void free_memory(struct replay *replay) {
    for (uint32_t i = 0; replay->blocks && i < BLOCKS; i++) {
        struct replay_block *block = &replay->blocks[i];
        aof_batch_deinit(&block->batch);
        mem_free(NULL, block->steps);
        mem_free(NULL, block->units);
        mem_free(NULL, block->order);
    }
    mem_free(NULL, replay->blocks);
    mem_free(NULL, replay->workers);
}

int replay_init(struct replay *replay) {
    uint32_t shards = replay->fabric->settings.shard_count;
    replay->worker_count = shards > 1 ? shards : 0;
    replay->workers = mem_calloc(NULL, shards * sizeof *replay->workers);
    replay->blocks = mem_calloc(NULL, BLOCKS * sizeof *replay->blocks);
    int result = replay->workers && replay->blocks ? 0 : SYSTEM_NO_MEMORY;
    for (uint32_t i = 0; result == 0 && i < shards; i++)
        worker_init(&replay->workers[i], replay, i);
    if (result == 0) result = start_workers(replay);
    if (result < 0) free_memory(replay);
    return result;
}

void replay_deinit(struct replay *replay) {
    if (replay->worker_count) end_workers(replay, replay->worker_count);
    free_memory(replay);
}
