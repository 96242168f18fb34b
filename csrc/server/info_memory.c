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
    if (to > 0)
        info_line(info, "%s_ratio:%.2f", name, (double)of / (double)to);
    info_line(info, "%s_bytes:%lld", name, (long long)(of - to));
}

static void peak(struct info *info, uint64_t used) {
    uint64_t highest = fabric_note_used(info->fabric, used);
    info_size(info, "used_memory_peak", highest);
    if (highest > 0)
        info_line(info, "used_memory_peak_perc:%.2f%%", 100.0 * (double)used / (double)highest);
}

void info_memory(struct info *info) {
    const struct config *config = &info->server->config;
    uint64_t used = 0, held = 0, resident = process_resident_bytes();
    for (uint32_t i = 0; i < info->fabric->settings.shard_count; i++) {
        used += keyspace_used_bytes(info->fabric->keyspaces[i]);
        held += keyspace_held_bytes(info->fabric->keyspaces[i]);
    }
    info_size(info, "used_memory", used);
    info_size(info, "used_memory_rss", resident);
    peak(info, used);
    info_number(info, "allocator_allocated", used);
    info_number(info, "allocator_active", held);
    info_number(info, "allocator_resident", held);
    info_size(info, "total_system_memory", process_system_bytes());
    info_size(info, "maxmemory", (uint64_t)config_number(config, SETTING_MAXMEMORY));
    info_line(info, "maxmemory_policy:%s", config_text(config, SETTING_MAXMEMORY_POLICY));
    ratio(info, "allocator_frag", held, used);
    ratio(info, "rss_overhead", resident, held);
    ratio(info, "mem_fragmentation", resident, used);
    info_number(info, "mem_clients_slaves", 0);
    info_line(info, "mem_allocator:kevyrt-%s", KEVYRT_VERSION);
    info_number(info, "active_defrag_running", 0);
    info_number(info, "lazyfree_pending_objects", atomic_load_relaxed(&info->server->keeper.waiting));
}
