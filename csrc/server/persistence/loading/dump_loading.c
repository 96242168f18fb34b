#include "server/persistence/loading/dump_loading.h"

#include <errno.h>
#include <stdio.h>

#include "plat/clock.h"
#include "plat/errors.h"
#include "plat/futex.h"
#include "rdb/reader.h"
#include "server/server.h"
#include "shard/shard.h"

enum { PIECE_BYTES = 256 << 10 };

struct dump {
    struct rdb_input input; /* first: an input is its dump */
    struct rdb_target target;
    struct kevyrt_server *server;
    const struct disk *disk;
    int fd, number; /* the error of a read */
    bool no_memory, stopped;
    uint64_t next; /* what is read next */
    uint64_t before;
    char *buffer;
    size_t capacity;
};

/* ---- Bytes -------------------------------------------------------------------------------------- */

/* Room behind what is left, which goes to the front. */
static bool make_room(struct dump *dump, size_t left) {
    if (left + PIECE_BYTES <= dump->capacity) {
        if (left) memmove(dump->buffer, dump->input.at, left);
        return true;
    }
    size_t capacity = 2 * left + 2 * PIECE_BYTES;
    char *larger = mem_alloc(NULL, capacity);
    if (!larger) return false;
    if (left) memcpy(larger, dump->input.at, left);
    mem_free(NULL, dump->buffer);
    dump->buffer = larger;
    dump->capacity = capacity;
    return true;
}

static int refill(struct rdb_input *input) {
    struct dump *dump = (struct dump *)input;
    size_t left = (size_t)(input->end - input->at);
    dump->stopped = !server_is_wanted(dump->server);
    dump->no_memory = !dump->stopped && !make_room(dump, left);
    if (dump->stopped || dump->no_memory) return -ECANCELED;
    int64_t got = dump->disk->read(dump->disk, dump->fd, dump->buffer + left, dump->capacity - left,
                                   dump->next);
    input->at = dump->buffer;
    input->end = dump->buffer + left;
    if (got < 0) return dump->number = (int)got;
    input->end += got;
    dump->next += (uint64_t)got;
    atomic_store_relaxed(&dump->server->loading.loaded_bytes, dump->before + dump->next);
    return got > 0;
}

/* ---- Shards ------------------------------------------------------------------------------------- */

static struct keyspace *enter(void *context, uint64_t hash) {
    struct dump *dump = context;
    struct fabric *fabric = &dump->server->fabric;
    struct shard *shard = fabric->shards[hash_shard(hash, fabric->settings.shard_count)];
    int64_t delay_us = config_number(&dump->server->config, SETTING_KEY_LOAD_DELAY);
    if (KRT_UNLIKELY(delay_us > 0)) clock_sleep_ns((uint64_t)delay_us * 1000);
    if (!baton_try(shard->baton) &&
        baton_set_take(&fabric->set, shard->own, FUTEX_NO_DEADLINE) != BATON_TAKEN)
        return NULL;
    shard->data.outcomes.held = shard->own;
    domain_keep_time(&fabric->domain);
    return &shard->data.keyspace;
}

static void leave(void *context, struct keyspace *keyspace) {
    struct dump *dump = context;
    struct fabric *fabric = &dump->server->fabric;
    struct shard *shard = fabric->shards[keyspace->index];
    (void)turn_seal_one(shard);
    baton_drop(shard->baton);
}

void dump_note_used(atomic_u64 *used_bytes, struct bytes name, struct bytes value) {
    int64_t used;
    if (bytes_is(name, "used-mem") && bytes_to_int64(value, &used))
        atomic_store_relaxed(used_bytes, (uint64_t)used);
}

static void aux(void *context, struct bytes name, struct bytes value) {
    const struct dump *dump = context;
    dump_note_used(&dump->server->loading.dump_used_bytes, name, value);
}

static struct rdb_target target_of(struct dump *dump) {
    const struct domain *domain = &dump->server->fabric.domain;
    return (struct rdb_target){
        .context = dump,
        .hash_seed = &domain->hash_seed,
        .small = domain->small,
        .database_count = domain->database_count,
        .shard_count = domain->shard_count,
        .enter = enter,
        .leave = leave,
        .aux = aux,
    };
}

/* ---- Errors ------------------------------------------------------------------------------------- */

static enum kevyrt_status fail(const struct dump *dump, enum rdb_status status, const char *path,
                               struct kevyrt_error *error) {
    if (dump->stopped)
        return server_fail(error, KEVYRT_STOPPED, 0, "the server was stopped while it loaded");
    if (error) (void)snprintf(error->file, sizeof error->file, "%.500s", path);
    if (dump->no_memory || status == RDB_NO_MEMORY)
        return server_fail(error, KEVYRT_NO_MEMORY, ENOMEM, "out of memory while loading %.300s",
                           path);
    if (dump->number < 0)
        return server_fail(error, KEVYRT_SYSTEM, dump->number, "cannot read %.300s: %s", path,
                           system_error_text(dump->number));
    if (error) error->offset = dump->input.offset;
    log_line(LOG_WARNING, "Bad file format reading the dump %s at offset %llu: %s", path,
             (unsigned long long)dump->input.offset, dump->input.text);
    return server_fail(error, KEVYRT_DAMAGED, 0, "%.300s is damaged at offset %llu: %s", path,
                       (unsigned long long)dump->input.offset, dump->input.text);
}

enum kevyrt_status dump_load(struct kevyrt_server *server, const struct disk *disk,
                             const char *path, uint64_t before, int64_t drop_before_ms,
                             bool replace, uint64_t *len, struct kevyrt_error *error) {
    struct dump dump = {.server = server, .disk = disk, .before = before};
    dump.fd = disk->open(disk, path, DISK_READ);
    if (dump.fd < 0) dump.number = dump.fd;
    if (dump.fd < 0) return fail(&dump, RDB_STOPPED, path, error);
    dump.input.refill = refill;
    dump.input.skip_checksum = !config_number(&server->config, SETTING_RDBCHECKSUM);
    dump.target = target_of(&dump);
    dump.target.drop_before_ms = drop_before_ms;
    dump.target.replace = replace;
    enum rdb_status status = rdb_load(&dump.input, &dump.target);
    disk->close(disk, dump.fd);
    mem_free(NULL, dump.buffer);
    *len = dump.input.offset;
    if (status != RDB_OK) return fail(&dump, status, path, error);
    loading_note(&server->loaded, dump.target.dropped, dump.target.keys);
    log_line(LOG_NOTICE, "Done loading RDB, keys loaded: %llu, keys expired: %llu.",
             (unsigned long long)dump.target.keys, (unsigned long long)dump.target.dropped);
    return KEVYRT_OK;
}
