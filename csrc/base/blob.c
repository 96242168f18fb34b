/* Birth and death of counted byte strings. */
#include "base/blob.h"

#include "base/assert.h"

struct blob *blob_new(struct mem_account *account, uint32_t len) {
    struct blob *blob = mem_alloc(account, sizeof *blob + len);
    if (blob == NULL) {
        return NULL;
    }
    atomic_store_relaxed(&blob->references, 1);
    blob->len = len;
    blob->account = account;
    return blob;
}

struct blob *blob_copy(struct mem_account *account, struct bytes from) {
    struct blob *blob = blob_new(account, from.len);
    if (blob != NULL && from.len > 0) {
        memcpy(blob->data, from.at, from.len);
    }
    return blob;
}

struct blob *blob_resize(struct blob *blob, uint32_t len) {
    KRT_DCHECK(atomic_load_relaxed(&blob->references) == 1);
    struct blob *resized = mem_realloc(blob->account, blob, sizeof *blob + len);
    if (resized != NULL) {
        resized->len = len;
    }
    return resized;
}

/* Acquire and release: whoever frees sees the last read of everybody who dropped before. */
void blob_put(struct blob *blob) {
    uint32_t before = atomic_sub_acq_rel(&blob->references, 1);
    KRT_DCHECK(before > 0);
    if (before == 1) {
        mem_free(blob->account, blob);
    }
}
