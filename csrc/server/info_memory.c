/* INFO memory: what the data needs, what the kernel gave for it, and what the whole process holds.
 *
 * The server is a guest: resident memory is the process's, its host's share included, as the fields say of
 * Redis. What the server itself holds is in the allocator's fields.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "plat/process.h"
#include "server/info.h"

static void ratio(struct info *info, const char *name, uint64_t of, uint64_t to) {
    char full[64];
    size_t len = strlen(name);
    KRT_ASSERT(len + sizeof "_ratio" <= sizeof full);
    memcpy(full, name, len);
    memcpy(full + len, "_ratio", sizeof "_ratio");
    if (to > 0) info_hundredths(info, full, (double)of / (double)to, "");
    memcpy(full + len, "_bytes", sizeof "_bytes");
    info_signed(info, full, (int64_t)(of - to));
}

static void peak(struct info *info, uint64_t used) {
    uint64_t highest = fabric_note_used(info->fabric, used);
    info_size(info, "used_memory_peak", highest);
    if (highest > 0)
        info_hundredths(info, "used_memory_peak_perc", 100.0 * (double)used / (double)highest, "%");
}

/* What serves the keys and values, and the rest: they are the data set. */
static void data_set(struct info *info, uint64_t used, uint64_t tables) {
    uint64_t startup = atomic_load_relaxed(&info->fabric->startup_bytes),
             overhead = startup + tables;
    uint64_t data = used > overhead ? used - overhead : 0;
    info_number(info, "used_memory_overhead", overhead);
    info_number(info, "used_memory_startup", startup);
    info_number(info, "used_memory_dataset", data);
    info_hundredths(info, "used_memory_dataset_perc",
                    used > startup ? 100.0 * (double)data / (double)(used - startup) : 0.0, "%");
}

/* There are no scripts and no functions, so they take nothing. */
static void scripts(struct info *info) {
    static const char *const sizes[] = {"used_memory_lua", "used_memory_vm_total",
                                        "used_memory_scripts"};
    static const char *const numbers[] = {"used_memory_vm_eval",      "used_memory_scripts_eval",
                                          "number_of_cached_scripts", "number_of_functions",
                                          "number_of_libraries",      "used_memory_vm_functions",
                                          "used_memory_functions"};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) info_size(info, sizes[i], 0);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) info_number(info, numbers[i], 0);
}

/* Nor replicas, a cluster or a log. */
static void buffers(struct info *info) {
    static const char *const names[] = {"mem_replication_backlog", "mem_total_replication_buffers",
                                        "mem_clients_slaves", "mem_cluster_links",
                                        "mem_aof_buffer"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) info_number(info, names[i], 0);
}

void info_memory(struct info *info) {
    const struct config *config = &info->server->config;
    uint64_t used = 0, held = 0, tables = 0, resident = process_resident_bytes();
    for (uint32_t i = 0; i < info->fabric->settings.shard_count; i++) {
        const struct keyspace *keyspace = info->fabric->keyspaces[i];
        used += keyspace_used_bytes(keyspace);
        held += keyspace_held_bytes(keyspace);
        tables += keyspace_used_bytes(keyspace) - keyspace_entry_bytes(keyspace);
    }
    info_size(info, "used_memory", used);
    info_size(info, "used_memory_rss", resident);
    peak(info, used);
    data_set(info, used, tables);
    info_number(info, "allocator_allocated", used);
    info_number(info, "allocator_active", held);
    info_number(info, "allocator_resident", held);
    info_size(info, "total_system_memory", process_system_bytes());
    info_size(info, "maxmemory", (uint64_t)config_number(config, SETTING_MAXMEMORY));
    info_text(info, "maxmemory_policy", config_text(config, SETTING_MAXMEMORY_POLICY));
    ratio(info, "allocator_frag", held, used);
    ratio(info, "allocator_rss", held, held);
    ratio(info, "rss_overhead", resident, held);
    scripts(info);
    ratio(info, "mem_fragmentation", resident, used);
    info_number(info, "mem_not_counted_for_evict", 0);
    buffers(info);
    info_number(info, "mem_clients_normal", limits_sum(info->fabric));
    info_text(info, "mem_allocator", "kevyrt-" KEVYRT_VERSION);
    info_number(info, "active_defrag_running", 0);
    info_number(info, "lazyfree_pending_objects",
                atomic_load_relaxed(&info->server->keeper.waiting));
}
