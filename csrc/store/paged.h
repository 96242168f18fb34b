/* Strings of over a megabyte that were changed in place.
 *
 * Role: a *base*, which is never written, with pages over it. The byte at an offset is in the page
 * there if there is one, else in the base, else zero. So the first change of a large string costs a page, not a
 * copy of it; a change costs the pages that it touches; and a frozen one (store/node.h) stays as it was for the
 * price of the pages that are written meanwhile. Who wants the whole string joins it again (entry_join_string),
 * which costs what reading all of it costs.
 * Form: a collection (store/collection.h) of type VALUE_STRING. trees[0] has the pages: blobs of PAGE_BYTES, each
 * under its number; `more` is the rest.
 * Threads, ownership: store/collection.h.
 * Invariants
 *   P1  A page is PAGE_BYTES long and begins before the end of the string; what is behind the end is zero.
 *   P2  The base is not longer than the string, and some of its pages are uncovered; else there is none.
 *   P3  Only a page that nobody else refers to, in a leaf that is not frozen, is written.
 * Errors: NULL or false for refused memory; the string is as it was.
 * Bounds: UINT32_MAX bytes.
 */
#pragma once

#include "store/collection.h"

enum {
    PAGED_BYTES_MIN = 1 << 20, /* a string that is not longer is changed where it is */
    PAGE_BYTES = NODE_BYTES_MAX - sizeof(struct blob),
};

/* Takes a count of the base, which may be NULL. */
struct collection *paged_new(struct node_heap *heap, struct blob *base, uint32_t len);
/* Makes it `len` bytes long, not shorter than it is, and the part of it ready for paged_write. */
bool paged_open(struct collection *paged, struct node_heap *heap, struct string_part part,
                uint32_t len);
uint32_t paged_len(const struct collection *paged);
void paged_read(const struct collection *paged, struct string_part part, char *to);
/* The bytes from `offset` on, before the end, as far as they lie together: in a page, in the base, or nowhere, where they
 * are zero and `at` is NULL. Valid until the string changes. */
struct bytes paged_run(const struct collection *paged, uint32_t offset);
/* Within the part that was opened. */
void paged_write(struct collection *paged, uint32_t offset, struct bytes bytes);
/* All of it, in a blob of its own. */
struct blob *paged_join(const struct collection *paged, struct mem_account *account);

/* ---- Of any string: in the entry, in a blob, or paged ------------------------------------------ */

static inline uint32_t string_len(const struct entry *entry) {
    return KRT_UNLIKELY(entry_is_tree(entry)) ? paged_len(entry_collection(entry))
                                              : entry_string(entry).len;
}

static inline struct bytes string_run(const struct entry *entry, uint32_t offset) {
    if (KRT_UNLIKELY(entry_is_tree(entry))) {
        return paged_run(entry_collection(entry), offset);
    }
    struct bytes value = entry_string(entry);
    return bytes_of(value.at + offset, value.len - offset);
}

void string_read(const struct entry *entry, struct string_part part, char *to);
/* Within the part that keyspace_open_string has just made ready. */
void string_write(struct entry *entry, uint32_t offset, struct bytes bytes);
