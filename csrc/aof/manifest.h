/* The manifest: which files a log consists of, as Redis 7 writes it.
 *
 *     file appendonly.aof.2.base.rdb seq 2 type b
 *     file appendonly.aof.4.incr.aof seq 4 type i
 *
 * Role: the text and its parts; files.h has it on the disk. A line may have further pairs of a name and a value, which Redis ignores. We
 * write one: `size N`, where a disk failed and what is behind N is in the next file as well. Readers stop there.
 * Threads: plain data. Errors: NULL or false without memory; a text that Redis would refuse is refused with its words.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum aof_kind { AOF_BASE = 'b', AOF_HISTORY = 'h', AOF_INCR = 'i' };
#define AOF_WHOLE UINT64_MAX

struct aof_file {
    char *name;
    uint64_t seq;
    uint64_t size; /* of what counts; AOF_WHOLE: all */
    enum aof_kind kind;
};

struct aof_manifest {
    struct aof_file *files; /* at most one base, which is first; incremental ones in their order */
    uint32_t count, capacity;
    uint64_t base_seq, incr_seq; /* the highest there was */
};

void aof_manifest_deinit(struct aof_manifest *manifest);
bool aof_manifest_copy(const struct aof_manifest *manifest, struct aof_manifest *out);
/* The name is copied. A base comes first. */
bool aof_manifest_add(struct aof_manifest *manifest, const char *name, uint64_t seq,
                      enum aof_kind kind);
/* NULL: there is none. */
struct aof_file *aof_manifest_base(const struct aof_manifest *manifest);
struct aof_file *aof_manifest_last_incr(const struct aof_manifest *manifest);
/* The base and the incremental files with a lower number become history. */
void aof_manifest_retire(struct aof_manifest *manifest, uint64_t incr_seq);
void aof_manifest_drop_history(struct aof_manifest *manifest);

/* NULL: it is right. Else what is wrong, with the number of the line; `*out` is empty then. */
#define AOF_MANIFEST_NO_MEMORY "Out of memory" /* it may be right */
const char *aof_manifest_parse(const char *text, size_t len, struct aof_manifest *out,
                               uint32_t *line);
/* In fresh memory (mem_free with a NULL account), or NULL. */
char *aof_manifest_format(const struct aof_manifest *manifest, size_t *len);
