#include "server/persistence/restoring/aside.h"

#include <stdio.h>

#include "plat/clock.h"
#include "plat/futex.h"
#include "server/persistence/loading/dump_loading.h"
#include "server/server.h"
#include "shard/caller.h"
#include "shard/shard.h"

#define ASK_NS UINT64_C(50000000)

/* ---- Into the shards --------------------------------------------------------------------------- */

static bool is_wanted(struct aside *aside) {
    if (atomic_load_relaxed(aside->source.cancelled)) return false;
    if (!aside->watched) return true;
    uint64_t now = clock_monotonic_ns();
    if (now - aside->asked_ns < ASK_NS) return true;
    aside->asked_ns = now;
    return server_is_wanted(aside->server);
}

static struct keyspace *enter(void *context, uint64_t hash) {
    struct aside *aside = context;
    struct fabric *fabric = &aside->server->fabric;
    struct shard *shard = fabric->shards[hash_shard(hash, fabric->settings.shard_count)];
    if (!is_wanted(aside)) return NULL;
    if (!baton_try(shard->baton) &&
        baton_set_take(&fabric->set, shard->own, FUTEX_NO_DEADLINE) != BATON_TAKEN)
        return NULL;
    return &shard->data.keyspace;
}

/* Nothing that others could see has happened, so there is nothing to be sealed. */
static void leave(void *context, struct keyspace *keyspace) {
    const struct aside *aside = context;
    baton_drop(aside->server->fabric.shards[keyspace->index]->baton);
}

static void aux(void *context, struct bytes name, struct bytes value) {
    const struct aside *aside = context;
    dump_note_used(&aside->server->restoring.dump_used_bytes, name, value);
}

bool aside_begin(struct aside *aside, struct kevyrt_server *server) {
    struct fabric *fabric = &server->fabric;
    const struct domain *domain = &fabric->domain;
    aside->server = server;
    if (!caller_take_all(fabric)) return false;
    atomic_store_relaxed(&server->restoring.dump_used_bytes, 0);
    aside->target = (struct rdb_target){
        .context = aside,
        .hash_seed = &domain->hash_seed,
        .small = domain->small,
        .database_count = domain->database_count,
        .first_db = domain->database_count,
        .shard_count = domain->shard_count,
        .enter = enter,
        .leave = leave,
        .aux = aux,
        .drop_before_ms = domain_now(&fabric->domain),
    };
    aside->source.input.skip_checksum = !config_number(&server->config, SETTING_RDBCHECKSUM);
    caller_drop_all(fabric);
    return true;
}

enum kevyrt_status aside_load(struct aside *aside, struct kevyrt_error *error) {
    struct dump_source *source = &aside->source;
    enum rdb_status status = rdb_load(&source->input, &aside->target);
    if (status != RDB_OK) return dump_source_fail(source, status, error);
    if (dump_source_is_at_end(source)) return KEVYRT_OK;
    if (source->error) return dump_source_fail(source, RDB_STOPPED, error);
    snprintf(source->input.text, sizeof source->input.text,
             "something comes behind the end of the dump");
    return dump_source_fail(source, RDB_DAMAGED, error);
}

/* ---- The end ----------------------------------------------------------------------------------- */

static void give_each(const struct domain *domain,
                      struct garbage *(*take)(struct keyspace *keyspace, uint32_t db)) {
    for (uint32_t i = 0; i < domain->shard_count; i++)
        for (uint32_t db = 0; db < domain->database_count; db++)
            garbage_give(domain->taker, take(domain->keyspaces[i], db));
}

void aside_discard(struct aside *aside) {
    struct fabric *fabric = &aside->server->fabric;
    if (!caller_take_all(fabric)) return;
    give_each(&fabric->domain, keyspace_discard);
    caller_drop_all(fabric);
}

void aside_install(struct aside *aside) {
    give_each(&aside->server->fabric.domain, keyspace_install);
}
