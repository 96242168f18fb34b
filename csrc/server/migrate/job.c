/* One migration, from its keys to its answer.
 *
 *   add     the value is dumped as it is: SENDS                      the batons of the command
 *   talk    it is sent, and acknowledged: ARRIVED                    no baton
 *   settle  it is dumped again. The same bytes, the same deadline:   the batons of what has arrived
 *           it is deleted, FINISHED. Otherwise it has changed: SENDS, and the talk begins again, with REPLACE
 *   answer  once the log has the deletions                           no baton
 *
 * Redis stands still from the dump to the deletion. Here the key is open to everybody meanwhile, and what counts is the moment of
 * the deletion: the value that is deleted is the one that has arrived, so it is as if all of it happened then. That
 * the key was written to in between and is the same again does not matter.
 *
 * A key that has changed is sent again in the place of what arrived before, which is ours; one that was deleted is
 * deleted there. A key that changes all the time stays here, and the command says so. With COPY nothing is deleted, and what
 * arrived is what was there once, while the command ran.
 *
 * What arrives here by this very connection, a key that is migrated to itself, would be deleted as well. Redis, which stands
 * still, hears no answer of itself and says that; so do we.
 */
#include <stdio.h>

#include "plat/dial.h"
#include "plat/futex.h"
#include "server/migrate/migrate.h"
#include "shard/blocking/await.h"
#include "shard/caller.h"
#include "shard/pause.h"
#include "shard/shard.h"

/* ---- Life ------------------------------------------------------------------------------------ */

static size_t bytes_of_words(const struct call *call) {
    size_t bytes = 0;
    for (uint32_t i = 0; i < call->argc; i++) bytes += call->argv[i].len;
    return bytes;
}

static struct bytes keep(char **at, struct bytes word) {
    if (!word.at) return word;
    char *kept = *at;
    if (word.len > 0) memcpy(kept, word.at, word.len);
    *at += word.len;
    return bytes_of(kept, word.len);
}

struct migration *migration_new(struct call *call, const struct migrate_options *options) {
    size_t keys = options->key_count * sizeof(struct migrating);
    struct migration *job = mem_alloc(NULL, sizeof *job + keys + bytes_of_words(call));
    if (!job) return NULL;
    char *words = (char *)job + sizeof *job + keys;
    *job = (struct migration){.fabric = fabric_of(call),
                              .options = *options,
                              .db = call->db,
                              .compress = call->domain->compresses_dumps};
    job->options.host = keep(&words, options->host);
    job->options.username = keep(&words, options->username);
    job->options.password = keep(&words, options->password);
    for (uint32_t i = 0; i < options->key_count; i++)
        job->keys[i] = (struct migrating){.key = keep(&words, call->argv[options->first_key + i])};
    return job;
}

void migration_free(struct migration *job) {
    for (uint32_t i = 0; i < job->options.key_count; i++) rdb_buffer_deinit(&job->keys[i].payload);
    mem_free(NULL, job);
}

void migration_fail(struct migration *job, const char *what, const char *how) {
    if (job->error[0] == '\0') (void)snprintf(job->error, sizeof job->error, "%s%s", what, how);
}

static bool dump(const struct migration *job, const struct entry *entry, struct rdb_buffer *to) {
    struct rdb_value value = rdb_value_of(entry);
    *to = (struct rdb_buffer){.compress = job->compress};
    rdb_write_dump(to, &value);
    return !to->failed;
}

/* Those that are there come first. */
bool migration_add(struct migration *job, uint32_t index, const struct entry *entry) {
    struct migrating *key = &job->keys[job->count++];
    key->key = job->keys[index].key;
    key->deadline_ms = entry_deadline(entry);
    return dump(job, entry, &key->payload);
}

/* ---- Settling -------------------------------------------------------------------------------- */

static bool is_same(const struct migrating *key, const struct entry *entry,
                    const struct rdb_buffer *now) {
    return entry && key->deadline_ms == entry_deadline(entry) && key->payload.len == now->len &&
           memcmp(key->payload.at, now->at, now->len) == 0;
}

/* As it is now, in the place of what was sent; `now` is what is to be freed then. */
static void send_again(struct migrating *key, const struct entry *entry, struct rdb_buffer *now) {
    struct rdb_buffer before = key->payload;
    key->state = MIGRATING_SENDS;
    key->deadline_ms = entry ? entry_deadline(entry) : 0;
    key->payload = *now;
    *now = before;
}

static struct entry *entry_of(struct call *call, const struct migration *job,
                              const struct migrating *key, struct key_place *place) {
    *place = keyspace_for_bytes(call, key->key, job->db);
    return keyspace_find(place->keyspace, place->db, place->hash, place->key);
}

/* What becomes of a key that has arrived. */
static void judge(struct call *call, struct migration *job, struct migrating *key) {
    struct key_place place;
    struct rdb_buffer now = {0};
    const struct entry *entry = entry_of(call, job, key, &place);
    bool was_gone = key->payload.len == 0;
    key->state = MIGRATING_FINISHED;
    if (entry && !dump(job, entry, &now))
        migration_fail(job, "OOM out of memory while a key was moved", "");
    else if (is_same(key, entry, &now)) key->state = MIGRATING_LEAVES;
    else if (entry || !was_gone) send_again(key, entry, &now);
    rdb_buffer_deinit(&now);
}

/* If it is still there: it may be twice among the keys. */
static void leave(struct call *call, const struct migration *job, struct migrating *key) {
    struct key_place place;
    struct entry *entry = entry_of(call, job, key, &place);
    if (entry) call_delete(call, &place, entry, NOTIFY_GENERIC, "del");
    key->state = MIGRATING_FINISHED;
}

static uint64_t shards_of_arrived(const struct migration *job) {
    uint64_t mask = 0;
    const struct domain *domain = &job->fabric->domain;
    for (uint32_t i = 0; i < job->count; i++) {
        struct bytes key = job->keys[i].key;
        uint64_t hash = hash_bytes(&domain->hash_seed, key.at, key.len);
        if (job->keys[i].state == MIGRATING_ARRIVED)
            mask |= UINT64_C(1) << hash_shard(hash, domain->shard_count);
    }
    return mask;
}

static void settle_held(struct migration *job, struct shard *home) {
    struct reply reply;
    struct bytes argv[] = {BYTES_LITERAL("DEL")};
    reply_init(&reply, NULL, 3);
    reply.failed = true; /* nobody reads it: what is appended is dropped */
    domain_keep_time(&job->fabric->domain);
    struct call call = {
        .command = command_find_name(BYTES_LITERAL("migrate")),
        .argv = argv,
        .argc = 1,
        .db = job->db,
        .reply = &reply,
        .domain = &job->fabric->domain,
        .effects = &home->data.effects,
    };
    for (uint32_t i = 0; i < job->count; i++)
        if (job->keys[i].state == MIGRATING_ARRIVED) judge(&call, job, &job->keys[i]);
    for (uint32_t i = 0; i < job->count; i++)
        if (job->keys[i].state == MIGRATING_LEAVES) leave(&call, job, &job->keys[i]);
}

/* Takes them when no pause is in the way of what is written. NULL: the server stops. */
static struct shard *take_unpaused(struct fabric *fabric, uint64_t mask) {
    for (;;) {
        uint32_t bell = atomic_load_seq_cst(&fabric->pause_bell);
        struct shard *home = caller_take(fabric, mask);
        if (!home || !pause_is_in_force(&fabric->domain) ||
            !pause_stops(&fabric->domain, CMD_WRITE))
            return home;
        (void)caller_drop(fabric, mask);
        pause_sleep(fabric, bell, FUTEX_NO_DEADLINE);
    }
}

/* False: the server stops. */
static bool settle(struct migration *job) {
    uint64_t mask = shards_of_arrived(job);
    if (mask == 0) return true;
    struct shard *home = take_unpaused(job->fabric, mask);
    if (!home) return false;
    settle_held(job, home);
    job->ticket = caller_drop(job->fabric, mask);
    return true;
}

/* Is the other end of the connection ours, and the place of the keys the one where they are? */
static bool is_to_itself(const struct migration *job, int fd) {
    struct registry *registry = &job->fabric->registry;
    struct socket_address_text own;
    bool found = false;
    if (job->options.target_db != job->db && job->options.target_db != -1) return false;
    socket_local_text(fd, &own);
    pthread_mutex_lock(&registry->lock);
    for (const struct card *card = registry->first; card && !found; card = card->next)
        found = strcmp(card->peer.text, own.text) == 0;
    pthread_mutex_unlock(&registry->lock);
    return found;
}

/* ---- Running --------------------------------------------------------------------------------- */

static bool any_is(const struct migration *job, enum migrating_state state) {
    for (uint32_t i = 0; i < job->count; i++)
        if (job->keys[i].state == state) return true;
    return false;
}

/* False: nothing more is to be done. */
static bool run_round(struct migration *job, int stop) {
    int fd = migrate_talk(job, stop);
    bool goes_on = !job->options.copy;
    if (fd >= 0 && goes_on && any_is(job, MIGRATING_ARRIVED) && is_to_itself(job, fd)) {
        migration_fail(job, "IOERR error or timeout reading to target instance", "");
        goes_on = false;
    }
    if (goes_on) goes_on = settle(job);
    if (fd >= 0) dial_close(fd);
    job->options.replace = true;
    return goes_on && job->error[0] == '\0' && any_is(job, MIGRATING_SENDS);
}

static void write_answer(struct reply *reply, void *context) {
    const struct migration *job = context;
    if (job->error[0] == '\0') reply_ok(reply);
    else reply_error(reply, job->error);
}

void migration_run(struct migration *job, int stop) {
    bool goes_on = true;
    for (int round = 0; round < MIGRATE_ROUNDS_MAX && goes_on; round++)
        goes_on = run_round(job, stop);
    if (goes_on)
        migration_fail(job, "ERR a key was changed again and again while it was sent, and stays",
                       "");
    /* A server that stops tells nobody. */
    (void)journal_wait(job->fabric, job->ticket, FUTEX_NO_DEADLINE);
    await_answer(job->waiter, write_answer, job);
    migration_free(job);
}
