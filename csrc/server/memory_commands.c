/* MEMORY: what keys occupy, and what the server says of its memory.
 *
 * The figures are the store's own (store/keyspace.h): by usable size, buffers of connections not among them.
 */
#include <stdio.h>

#include "plat/process.h"
#include "server/admin.h"
#include "server/info.h"

/* ---- Sums ------------------------------------------------------------------------------------- */

struct memory {
    uint64_t used, held, resident, peak, keys, tables; /* bytes, but for `keys` */
};

static struct memory measure(struct fabric *fabric) {
    struct memory sum = {.resident = process_resident_bytes()};
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++) {
        const struct keyspace *keyspace = fabric->keyspaces[i];
        sum.used += keyspace_used_bytes(keyspace);
        sum.held += keyspace_held_bytes(keyspace);
        sum.tables += keyspace_used_bytes(keyspace) - keyspace_entry_bytes(keyspace);
        for (uint32_t db = 0; db < keyspace->database_count; db++)
            sum.keys += keyspace_count(keyspace, db);
    }
    sum.peak = fabric_note_used(fabric, sum.used);
    return sum;
}

static double ratio(uint64_t of, uint64_t to) {
    return to ? (double)of / (double)to : 1;
}

/* ---- USAGE ------------------------------------------------------------------------------------ */

/* The samples are for values of many elements. */
static bool parse_samples(struct call *call) {
    int64_t samples;
    for (uint32_t i = 3; i < call->argc; i += 2) {
        if (!bytes_is(call->argv[i], "samples") || i + 1 == call->argc) {
            call_error_syntax(call);
            return false;
        }
        if (!call_integer(call, i + 1, &samples)) return false;
        if (samples < 0) {
            call_error_syntax(call);
            return false;
        }
    }
    return true;
}

static void usage_command(struct call *call) {
    if (!parse_samples(call)) return;
    struct key_place place = keyspace_for(call, 2);
    struct entry *entry = keyspace_find(place.keyspace, place.db, place.hash, place.key);
    if (entry) /* also what has expired, as long as it is there */
        reply_integer(call->reply, (int64_t)(entry_bytes(entry) + KEYSPACE_SLOT_BYTES));
    else reply_null(call->reply);
}

/* ---- STATS ------------------------------------------------------------------------------------ */

static void field(struct reply *reply, const char *name, uint64_t value) {
    reply_bulk_text(reply, name);
    reply_integer(reply, (int64_t)value);
}

static void field_double(struct reply *reply, const char *name, double value) {
    reply_bulk_text(reply, name);
    reply_double(reply, (double)(uint64_t)(value * 1e4 + 0.5) / 1e4); /* more places tell nothing */
}

static void reply_allocator(struct reply *reply, const struct memory *memory) {
    field(reply, "allocator.allocated", memory->used);
    field(reply, "allocator.active", memory->held);
    field(reply, "allocator.resident", memory->held);
    field_double(reply, "allocator-fragmentation.ratio", ratio(memory->held, memory->used));
    field(reply, "allocator-fragmentation.bytes", memory->held - memory->used);
    field_double(reply, "rss-overhead.ratio", ratio(memory->resident, memory->held));
    field(reply, "rss-overhead.bytes", memory->resident - memory->held);
    field_double(reply, "fragmentation", ratio(memory->resident, memory->used));
    field(reply, "fragmentation.bytes", memory->resident - memory->used);
}

static void stats_command(struct call *call) {
    struct memory memory = measure(&call_server(call)->fabric);
    struct reply *reply = call->reply;
    uint64_t startup = atomic_load_relaxed(&call_server(call)->fabric.startup_bytes);
    uint64_t overhead = startup + memory.tables;
    uint64_t data = memory.used > overhead ? memory.used - overhead : 0;
    reply_map(reply, 18);
    field(reply, "peak.allocated", memory.peak);
    field(reply, "total.allocated", memory.used);
    field(reply, "startup.allocated", startup);
    field(reply, "overhead.total", overhead);
    field(reply, "keys.count", memory.keys);
    field(reply, "keys.bytes-per-key", memory.keys ? memory.used / memory.keys : 0);
    field(reply, "dataset.bytes", data);
    field_double(reply, "dataset.percentage",
                 100 * ratio(data, memory.used > startup ? memory.used - startup : 0));
    field_double(reply, "peak.percentage", 100 * ratio(memory.used, memory.peak));
    reply_allocator(reply, &memory);
}

/* ---- DOCTOR, MALLOC-STATS, PURGE -------------------------------------------------------------- */

enum { SMALL_BYTES = 5 << 20, MUCH_FREE_BYTES = 10 << 20, REPORT_MAX = 1024 };

static size_t add_finding(char *report, size_t len, const char *finding) {
    int more = snprintf(report + len, REPORT_MAX - len, "* %s\n", finding);
    return len + (more > 0 ? (size_t)more : 0);
}

static size_t find_problems(char *report, const struct memory *memory, uint64_t limit) {
    size_t len = 0;
    if (memory->used < memory->peak / 3 * 2)
        len = add_finding(report, len,
                          "Peak: there was half as much again at some time, and the "
                          "process may still hold the room for it.");
    if (memory->held > memory->used + MUCH_FREE_BYTES && ratio(memory->held, memory->used) > 1.4)
        len = add_finding(report, len,
                          "Fragmentation: over a quarter of what the allocator holds "
                          "is free, but in pieces among data.");
    if (limit && memory->used > limit / 10 * 9)
        len = add_finding(report, len, "Budget: over nine tenths of maxmemory are used.");
    return len;
}

static void doctor_command(struct call *call) {
    struct kevyrt_server *server = call_server(call);
    struct memory memory = measure(&server->fabric);
    uint64_t limit = (uint64_t)config_number(&server->config, SETTING_MAXMEMORY);
    char report[REPORT_MAX];
    size_t len;
    if (memory.used < SMALL_BYTES && !limit)
        len = add_finding(report, 0, "There is too little data to say anything about it.");
    else len = find_problems(report, &memory, limit);
    if (len == 0) len = add_finding(report, 0, "Nothing is wrong with the memory.");
    reply_verbatim(call->reply, "txt", bytes_of(report, len));
}

static void malloc_stats_command(struct call *call) {
    struct fabric *fabric = &call_server(call)->fabric;
    struct info text = {.server = call_server(call), .fabric = fabric};
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++)
        info_line(&text, "shard%u: used %llu, held %llu", i,
                  (unsigned long long)keyspace_used_bytes(fabric->keyspaces[i]),
                  (unsigned long long)keyspace_held_bytes(fabric->keyspaces[i]));
    if (text.failed) call_error_memory(call);
    else reply_verbatim(call->reply, "txt", bytes_of(text.text, text.len));
    mem_free(NULL, text.text);
}

/* Slabs go back to the kernel as they become empty; what the process's malloc keeps is asked for here. */
static void purge_command(struct call *call) {
    process_trim_memory();
    reply_ok(call->reply);
}

static void help_command(struct call *call) {
    static const char *const lines[] = {
        "DOCTOR",
        "    Return memory problems reports.",
        "MALLOC-STATS",
        "    Return internal statistics report from the memory allocator.",
        "PURGE",
        "    Attempt to purge dirty pages for reclamation by the allocator.",
        "STATS",
        "    Return information about the memory usage of the server.",
        "USAGE <key> [SAMPLES <count>]",
        "    Return memory in bytes used by <key> and its value. Nested values are",
        "    sampled up to <count> times (default: 5, 0 means sample all).",
        NULL,
    };
    call_reply_help(call, lines);
}

void memory_commands_bind(void) {
    command_bind("memory|usage", usage_command);
    command_bind("memory|help", help_command);
    command_bind("memory|purge", purge_command);
    command_bind_all_shards("memory|stats", stats_command);
    command_bind_all_shards("memory|doctor", doctor_command);
    command_bind_all_shards("memory|malloc-stats", malloc_stats_command);
}
