/* The text of INFO, and who writes its sections.
 *
 * Threads: holder of all batons, so that the shards are summed at one instant.
 * Errors: without memory the text is marked failed, and what follows is dropped.
 */
#pragma once

#include "server/server.h"
#include "shard/board/pubsub.h"
#include "shard/shard.h"

struct info {
    struct kevyrt_server *server;
    struct fabric *fabric;
    struct pubsub_counts pubsub;
    char *text;
    size_t len, capacity;
    bool failed;
};

/* A line of at most 1000 bytes, without its end. */
void info_line(struct info *info, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A name and a value, as most lines are; the text has at most 500 bytes. */
void info_text(struct info *info, const char *name, const char *text);
void info_number(struct info *info, const char *name, uint64_t value);
void info_signed(struct info *info, const char *name, int64_t value);
/* Two places, then the unit. */
void info_hundredths(struct info *info, const char *name, double value, const char *unit);
/* A number of bytes, and again for people. */
void info_size(struct info *info, const char *name, uint64_t bytes);

/* ---- info_memory.c ------------------------------------------------------------------------------ */
void info_memory(struct info *info);

/* ---- info_persistence.c -------------------------------------------------------------------------- */
void info_persistence(struct info *info);

/* ---- info_statistics.c --------------------------------------------------------------------------- */
void info_stats(struct info *info);
void info_commandstats(struct info *info);
void info_errorstats(struct info *info);
void info_latencystats(struct info *info);
