/* The command families of cmd/: each binds its handlers with the table at start.
 *
 * Threads: before the first shard thread starts; binding again is harmless.
 */
#pragma once

#include "cmd/call.h"

void strings_bind(void);
void numbers_bind(void);
void ranges_bind(void);
void lcs_bind(void);
void hyperloglog_bind(void);
void hyperloglog_debug_bind(void);
void bitmaps_bind(void);
void bitop_bind(void);
void bitfield_bind(void);
void keys_bind(void);
void deadlines_bind(void);
void databases_bind(void);
void scan_bind(void);
void object_bind(void);
void dump_bind(void);
void restore_bind(void);
void echo_bind(void);
void command_commands_bind(void);
void docs_bind(void);
/* What COMMAND DOCS says of a command. */
struct docs_texts {
    const char *summary, *complexity; /* complexity: NULL if none is known */
};
struct docs_texts docs_of(const struct command *command);
void lolwut_bind(void);
void sets_bind(void);
void set_algebra_bind(void);
void lists_bind(void);
void list_moves_bind(void);
void list_blocking_bind(void);
void zsets_bind(void);
void zset_ranges_bind(void);
void zset_pops_bind(void);
void zset_algebra_bind(void);
void hashes_bind(void);
void hash_random_bind(void);
void hash_deadlines_bind(void);
void hash_ttl_bind(void);
void geo_bind(void);
void geo_search_bind(void);
void sort_bind(void);
void streams_bind(void);
void stream_ranges_bind(void);
void stream_info_bind(void);
void stream_groups_bind(void);
void stream_reading_bind(void);
void stream_claims_bind(void);
void stream_pending_bind(void);
void stream_group_info_bind(void);
