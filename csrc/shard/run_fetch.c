/* The memory of the keys of commands that run one behind the other, fetched ahead.
 *
 * Two dependent cache misses are longer than a command: the buckets of a whole run are fetched, then group by
 * group the entries they point to, while the commands of the group before run. Values of many elements lie a
 * few misses further. These are taken when the group begins, each for all commands of it: the collections,
 * the roots of their trees, leaves, records.
 */
#include "shard/shard.h"
#include "store/collection.h"

enum { CACHE_BYTES = 4 << 20 }; /* of a value that stays in the cache while it is used alone */

static struct keyspace *place_of(const struct fetch *fetch, uint64_t hash) {
    return fetch->fabric->keyspaces[hash_shard(hash, fetch->fabric->settings.shard_count)];
}

/* Only what is held may be looked at, the pointers to it included. */
static bool is_fetchable(const struct fetch *fetch, const struct plan *plan) {
    return plan->hash_index && (plan->mask & ~fetch->held) == 0;
}

/* The key of the request before is on its way already. */
static bool is_another(const struct fetch *fetch, const struct plan *plan) {
    return plan == fetch->plans || plan->hash != plan[-1].hash;
}

/* Who makes a key looks for those that wait for it: where there are many, that is two misses as well. */
static const struct map *queues_of(const struct fetch *fetch, const struct plan *plan) {
    uint32_t index = hash_shard(plan->hash, fetch->fabric->settings.shard_count);
    const struct map *queues = &fetch->fabric->shards[index]->data.waiting.queues;
    bool may_make = plan->command->flags & CMD_WRITE;
    return KRT_UNLIKELY(queues->count) && may_make ? queues : NULL;
}

void run_fetch_buckets(const struct fetch *fetch, uint32_t from, uint32_t to) {
    uint32_t db = fetch->db;
    for (const struct plan *plan = fetch->plans + from; plan < fetch->plans + to; plan++) {
        if (!is_another(fetch, plan) || !is_fetchable(fetch, plan)) continue;
        keyspace_prefetch_bucket(place_of(fetch, plan->hash), db, plan->hash);
        const struct map *queues = queues_of(fetch, plan);
        if (queues) __builtin_prefetch(map_bucket(queues, plan->hash));
    }
}

void run_fetch_entries(const struct fetch *fetch, uint32_t from, uint32_t to) {
    uint32_t db = fetch->db;
    for (const struct plan *plan = fetch->plans + from; plan < fetch->plans + to; plan++) {
        if (!is_another(fetch, plan) || !is_fetchable(fetch, plan)) continue;
        keyspace_prefetch_entry(place_of(fetch, plan->hash), db, plan->hash);
        const struct map *queues = queues_of(fetch, plan);
        if (queues) __builtin_prefetch(*map_bucket(queues, plan->hash));
    }
}

static bool has_elements(const struct command *command) {
    return command && command->group >= GROUP_LIST && command->group <= GROUP_STREAM;
}

/* The hash of the member or field that a command is likely to be about. */
static uint32_t likely_hash(const struct fetch *fetch, uint32_t i) {
    const struct request *request = &fetch->requests[i];
    enum command_group group = (enum command_group)fetch->plans[i].command->group;
    bool is_last = group == GROUP_SORTED_SET || group == GROUP_GEO || request->argc < 3;
    return element_hash(&fetch->fabric->domain.hash_seed,
                        request->argv[is_last ? request->argc - 1 : 2]);
}

/* Is the value likely to be out of the cache? Not if it is small and the request before was about it too. */
static bool is_cold(const struct collection *const *values, uint32_t i, const struct tree *tree) {
    return i == 0 || values[i] != values[i - 1] || tree->bytes > CACHE_BYTES;
}

/* The leaves that members are in, then, once these are there, their records. */
static void fetch_members(const struct fetch *fetch, uint32_t from,
                          const struct collection *const *values, uint32_t count) {
    struct {
        const struct leaf *leaf;
        uint32_t hash;
    } fetched[RUN_GROUP];
    uint32_t leaves = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct tree *tree = values[i] ? collection_tree_by_hash(values[i]) : NULL;
        if (!tree || !is_cold(values, i, tree)) continue;
        fetched[leaves].hash = likely_hash(fetch, from + i);
        fetched[leaves].leaf = tree_prefetch_leaf(tree, fetched[leaves].hash);
        leaves++;
    }
    for (uint32_t i = 0; i < leaves; i++) tree_prefetch_record(fetched[i].leaf, fetched[i].hash);
}

static bool have_elements(const struct plan *plans, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        if (has_elements(plans[i].command)) return true;
    return false;
}

/* What entries lead to: of a value that was not there for the request before where a search begins, and the leaf
 * and the record of the likely member. */
void run_fetch_values(const struct fetch *fetch, uint32_t from, uint32_t to) {
    const struct collection *found[RUN_GROUP], *value = NULL;
    uint32_t db = fetch->db, count = to - from;
    uint64_t last = 0;
    if (!have_elements(fetch->plans + from, count)) return;
    for (uint32_t i = 0; i < count; i++) {
        const struct plan *plan = &fetch->plans[from + i];
        found[i] = NULL;
        if (!has_elements(plan->command) || !is_fetchable(fetch, plan)) continue;
        if (plan->hash != last)
            value = keyspace_prefetch_value(place_of(fetch, plan->hash), db, plan->hash);
        last = plan->hash;
        found[i] = value;
    }
    for (uint32_t i = 0; i < count; i++)
        if (found[i] && (i == 0 || found[i] != found[i - 1])) collection_prefetch(found[i]);
    fetch_members(fetch, from, found, count);
}
