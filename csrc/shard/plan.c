/* Plans: what a request needs, worked out before any baton is asked for. */
#include "shard/shard.h"

static uint64_t shard_bit(const struct fabric *fabric, uint64_t hash) {
    return UINT64_C(1) << hash_shard(hash, fabric->settings.shard_count);
}

static uint64_t key_hash(const struct fabric *fabric, struct bytes key) {
    return hash_bytes(&fabric->domain.hash_seed, key.at, key.len);
}

/* Keys whose places only the command's own grammar tells (EVAL's numkeys, STREAMS ...). */
static uint64_t plan_keys_by_spec(const struct fabric *fabric, const struct request *request,
                                  const struct command *command) {
    struct key_refs keys;
    uint64_t mask = 0;
    if (!key_refs_init(&keys, command, request->argv, request->argc))
        return fabric_all(fabric); /* more than needed is never wrong */
    for (int i = 0; i < keys.count; i++)
        mask |= shard_bit(fabric, key_hash(fabric, request->argv[keys.at[i].index]));
    key_refs_deinit(&keys);
    return mask;
}

static uint64_t plan_keys_by_range(const struct fabric *fabric, const struct request *request,
                                   const struct command *command, uint64_t first_hash) {
    uint32_t last = command->last_key < 0 ? request->argc + (uint32_t)command->last_key
                                          : (uint32_t)command->last_key;
    uint64_t mask = shard_bit(fabric, first_hash);
    for (uint32_t i = (uint32_t)command->first_key + (uint32_t)command->key_step;
         i <= last && i < request->argc; i += (uint32_t)command->key_step)
        mask |= shard_bit(fabric, key_hash(fabric, request->argv[i]));
    return mask;
}

static uint64_t plan_mask(const struct fabric *fabric, const struct request *request,
                          const struct plan *plan) {
    const struct command *command = plan->command;
    if (command->all_shards) return fabric_all(fabric);
    if (KRT_UNLIKELY(command->places))
        return command->places(&fabric->domain, request->argv, request->argc);
    if (fabric->settings.shard_count == 1) return 0; /* one's own baton is always held */
    if (plan->hash_index == 0)
        return command->spec_count ? plan_keys_by_spec(fabric, request, command) : 0;
    if (command->flags & CMD_MOVABLE_KEYS) return plan_keys_by_spec(fabric, request, command);
    return plan_keys_by_range(fabric, request, command, plan->hash);
}

static const struct command *find_command(const struct fabric *fabric,
                                          const struct request *request, struct plan_hint *hint) {
    if (hint->known && !fabric->domain.names) return hint->known;
    if (KRT_LIKELY(hint->command && bytes_equal(request->argv[0], hint->name)))
        return hint->command;
    const struct command *command =
        command_names_find(fabric->domain.names, request->argv, request->argc);
    hint->name = request->argv[0];
    hint->command = command && !command->container && !command->subcommand_count ? command : NULL;
    return command;
}

void plan_request(struct fabric *fabric, const struct request *request, struct plan_hint *hint,
                  struct plan *plan) {
    const struct command *command = find_command(fabric, request, hint);
    *plan = (struct plan){.command = command, .names = fabric->domain.names};
    if (KRT_UNLIKELY(!command)) return;
    plan->arity_ok = command_arity_ok(command, request->argc);
    if (KRT_UNLIKELY(!plan->arity_ok)) return;
    if (command->first_key > 0 && (uint32_t)command->first_key < request->argc) {
        plan->hash_index = (uint32_t)command->first_key;
        plan->hash = key_hash(fabric, request->argv[plan->hash_index]);
    }
    plan->mask = plan_mask(fabric, request, plan);
}
