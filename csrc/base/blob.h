/* Blobs: counted immutable byte strings, for values too large to copy into every reply.
 *
 * Ownership: a blob is born with one reference; `blob_get` adds one, `blob_put` drops one and frees
 * at zero. Counts are atomic: a reply in flight on an I/O thread keeps the value alive after the
 * key is gone. The payload may be written between `blob_new` and its first publication, and when the
 * writer has the only reference (blob_is_own). A large blob is freed by its account's taker, not by
 * whoever drops the last reference: unmapping megabytes stops a thread for longer than many commands.
 */
#pragma once

#include "base/bytes.h"
#include "base/mem.h"

enum { BLOB_LARGE_BYTES = 1 << 20 };

struct blob {
    atomic_u32 references; /* any thread; get relaxed, put acq_rel pairs with itself */
    uint32_t len;
    struct mem_account *account;
    char data[];
};

struct blob *blob_new(struct mem_account *account, uint32_t len);
/* Memory from mem_alloc without an account becomes one: its first sizeof(struct blob) bytes are free, the payload of
 * `len` bytes is behind them. */
void blob_adopt(struct blob *memory, uint32_t len);
struct blob *blob_copy(struct mem_account *account, struct bytes from);
/* Before publication only: the same bytes with another length, perhaps elsewhere. NULL leaves the
 * blob as it was. */
struct blob *blob_resize(struct blob *blob, uint32_t len);
/* Of a blob that only the caller has: the same bytes with another length, perhaps elsewhere; what is new
 * is zero. Grown step by step it takes constant time per byte, with as much spare room as Redis keeps. NULL leaves the
 * blob as it was. */
struct blob *blob_grow(struct blob *blob, uint32_t len);
/* A copy that begins with `from` and goes on with zeros. */
struct blob *blob_copy_grown(struct mem_account *account, struct bytes from, uint32_t len);
/* Has nobody else a reference? The answer stays true while the caller gives none out. */
static inline bool blob_is_own(const struct blob *blob) {
    return atomic_load_acquire(&blob->references) == 1;
}
void blob_put(struct blob *blob);
/* The same where the account has gone or is another's by now: what is freed is not counted. */
void blob_put_uncounted(struct blob *blob);
/* Charges another account, if the caller's reference is the only one; else the charge stays. */
void blob_recharge(struct blob *blob, struct mem_account *account);

static inline struct blob *blob_get(struct blob *blob) {
    atomic_add_relaxed(&blob->references, 1);
    return blob;
}

/* The blob whose payload a BYTES_BLOB run points to. */
static inline struct blob *blob_of(struct bytes run) {
    return (struct blob *)(void *)(run.at - offsetof(struct blob, data));
}

static inline struct bytes blob_bytes(const struct blob *blob) {
    return (struct bytes){.at = blob->data, .len = blob->len, .flags = BYTES_BLOB};
}
