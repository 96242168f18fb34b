/* Birth and death of counted byte strings. */
#include "base/blob.h"

#include <malloc.h>

#include "base/assert.h"
#include "base/garbage.h"

/* Up to here the room doubles, then it grows by as much. */
enum { SPARE_BYTES_MAX = 1 << 20 };

void blob_adopt(struct blob *memory, uint32_t len) {
    atomic_store_relaxed(&memory->references, 1);
    memory->len = len;
    memory->account = NULL;
}

struct blob *blob_new(struct mem_account *account, uint32_t len) {
    struct blob *blob = mem_alloc(account, sizeof *blob + len);
    if (blob == NULL) {
        return NULL;
    }
    blob_adopt(blob, len);
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

static size_t room_of(struct blob *blob) {
    return malloc_usable_size(blob) - sizeof *blob;
}

static struct blob *with_room(struct blob *blob, uint32_t len) {
    size_t spare = len < SPARE_BYTES_MAX ? len : SPARE_BYTES_MAX;
    if (len <= room_of(blob)) return blob;
    return mem_realloc(blob->account, blob, sizeof *blob + len + spare);
}

struct blob *blob_grow(struct blob *blob, uint32_t len) {
    KRT_ASSERT(blob_is_own(blob) && len >= blob->len);
    struct blob *grown = with_room(blob, len);
    if (grown == NULL) {
        return NULL;
    }
    memset(grown->data + grown->len, 0, len - grown->len);
    grown->len = len;
    return grown;
}

struct blob *blob_copy_grown(struct mem_account *account, struct bytes from, uint32_t len) {
    struct blob *blob = blob_new(account, len);
    if (blob != NULL) {
        memcpy(blob->data, from.at, from.len);
        memset(blob->data + from.len, 0, len - from.len);
    }
    return blob;
}

static void free_garbage(struct garbage *garbage) {
    mem_free(NULL, (char *)garbage - offsetof(struct blob, data));
}

/* Nobody reads the payload any more: it holds the link of the taker's list. */
static bool blob_give(struct blob *blob) {
    struct mem_account *account = blob->account;
    if (account == NULL || account->taker == NULL) {
        return false;
    }
    mem_recharge(account, NULL, blob);
    struct garbage *garbage = (struct garbage *)(void *)blob->data;
    *garbage = (struct garbage){.free = free_garbage};
    garbage_give(account->taker, garbage);
    return true;
}

static void blob_free(struct blob *blob) {
    if (KRT_LIKELY(blob->len < BLOB_LARGE_BYTES) || !blob_give(blob)) {
        mem_free(blob->account, blob);
    }
}

/* Acquire and release: whoever frees sees the last read of everybody who dropped before. */
void blob_put(struct blob *blob) {
    uint32_t before = atomic_sub_acq_rel(&blob->references, 1);
    KRT_DCHECK(before > 0);
    if (before == 1) {
        blob_free(blob);
    }
}

void blob_put_uncounted(struct blob *blob) {
    uint32_t before = atomic_sub_acq_rel(&blob->references, 1);
    KRT_DCHECK(before > 0);
    if (before == 1) {
        mem_free(NULL, blob);
    }
}

/* Acquire: who dropped the other references has read the account before. */
void blob_recharge(struct blob *blob, struct mem_account *account) {
    if (blob->account == account || !blob_is_own(blob)) {
        return;
    }
    mem_recharge(blob->account, account, blob);
    blob->account = account;
}
