/* Bytes of a dump, one thing after the other: lengths, strings, numbers; with their checksum.
 *
 * Role: the only reader of struct rdb_input. What it reads is never believed: no more memory is taken than a small multiple of
 * what has come, whatever a length says.
 * Threads: one. Ownership: a string that was read lies in one of the slots, until the slot is read into again.
 * Errors: false, and the first failure is kept in `status`, with a text in the input; everything fails behind it.
 * Bounds: SOURCE_STRING_MAX for a string.
 */
#pragma once

#include "rdb/reader.h"

enum source_slot { SOURCE_KEY, SOURCE_FIRST, SOURCE_SECOND, SOURCE_PACKED, SOURCE_SLOTS };

#define SOURCE_STRING_MAX (UINT64_C(0xffffffff) - 4096)

struct source {
    struct rdb_input *input;
    const char *mark; /* up to here it is counted and summed */
    uint64_t checksum;
    bool sums;
    enum rdb_status status;
    struct {
        char *at;
        size_t capacity;
    } slots[SOURCE_SLOTS];
};

void source_init(struct source *source, struct rdb_input *input);
/* Frees the slots, and says in the input how far it was read. */
void source_deinit(struct source *source);
/* Counts and sums up to where it has read. */
void source_settle(struct source *source);

/* Always false. The first one is kept. */
bool source_fail(struct source *source, enum rdb_status status, const char *text);
bool source_damaged(struct source *source, const char *text);

bool source_bytes(struct source *source, void *to, size_t len);
bool source_u8(struct source *source, uint8_t *value);
bool source_u64(struct source *source, uint64_t *value); /* little-endian */
/* A number. */
bool source_length(struct source *source, uint64_t *value);
/* A string of any of its forms. */
bool source_string(struct source *source, enum source_slot slot, struct bytes *string);
/* The same in a blob of its own, with one count, if it is longer than `limit`; else *blob is NULL and it is in the slot. */
bool source_blob(struct source *source, struct mem_account *account, uint32_t limit,
                 enum source_slot slot, struct bytes *string, struct blob **blob);

/* Bytes that LZF made shorter, into exactly `len`. False: they say something else. (https://oldhome.schmorp.de/marc/liblzf.html) */
bool source_expand(const char *at, size_t packed_len, char *to, size_t len);
