/* Values of many elements, as handlers see them: finding, opening, storing, declaring.
 *
 *   entry = elements_find(...)     the type is checked
 *   edit_open, edit_reserve, ...   store/edit.h
 *   elements_store                 commits, or replies that there is no memory
 *   the log effect
 *   elements_declare               `new`, the family's event, and `del` when nothing is left
 *
 * Threads, ownership: cmd/call.h, store/edit.h.
 */
#pragma once

#include "cmd/call.h"
#include "store/edit.h"

/* The value of a key for reading, empty if there is no key. False after the error reply for another type. */
bool elements_read(struct call *call, const struct key_place *place, enum value_type type,
                   struct collection_view *view);
/* The same for writing: *entry is NULL if there is no key. */
bool elements_find(struct call *call, const struct key_place *place, enum value_type type,
                   struct entry **entry);
/* Replies an error for an entry of another type. */
bool elements_check(struct call *call, const struct entry *entry, enum value_type type);

void elements_open(const struct key_place *place, struct entry *entry, enum value_type type,
                   struct edit *edit);
void elements_open_anew(const struct key_place *place, struct entry *entry, enum value_type type,
                        struct edit *edit);
/* Keeps what is long of argv[first] and all behind it, to become records, and sums their bytes. False after the error
 * reply, the edit is closed. */
bool elements_keep(struct call *call, struct edit *edit, uint32_t first, uint64_t *bytes);
/* edit_reserve; false after the error reply, the edit is closed. */
bool elements_reserve(struct call *call, struct edit *edit, uint64_t changes, uint64_t bytes);
/* The same for changes that only erase, which edit_commit_erasures ends. */
bool elements_reserve_erasures(struct call *call, struct edit *edit, uint64_t changes);
/* edit_commit; false after the error reply. */
bool elements_store(struct call *call, struct edit *edit);
/* What an edit that was stored did to its key; a key without elements is deleted. */
void elements_declare(struct call *call, const struct key_place *place, struct edit *edit,
                      enum notify_class class, const char *event);
/* Puts a result in the place of whatever the key holds: an edit that was opened anew, and what it replaces. An empty
 * result deletes the key. Declares all of it, the log too, and replies the number of elements. */
void elements_store_result(struct call *call, const struct key_place *place, struct edit *edit,
                           enum notify_class class, const char *event);

/* `changes` more than the one that elements_declare counts. */
static inline void elements_count_dirty(struct call *call, uint64_t changes) {
    call->effects->dirty += changes - 1;
}

/* Elements from one index to another, both among them, as Redis reads them: negative ones count from the end. */
struct element_range {
    uint64_t first, count;
};
struct element_range elements_range(int64_t start, int64_t stop, uint64_t count);

/* A count that may not be negative. False after the error reply. */
bool call_count(struct call *call, uint32_t index, int64_t *count);
/* A count that may be negative; `doubled` if each element is replied with something beside it. */
bool elements_signed_count(struct call *call, uint32_t index, bool doubled, int64_t *count);
/* [COUNT count], all that is left of the arguments from argv[first] on; 1 if it is not given. */
bool call_pop_count(struct call *call, uint32_t first, int64_t *count);

/* ---- SSCAN and its kin ------------------------------------------------------------------------- */

/* Replies an element that the pattern lets through; returns how many items that was. */
typedef uint32_t elements_show(struct call *call, const struct walk *walk, bool values);
void elements_scan(struct call *call, enum value_type type, elements_show *show);

/* ---- Random elements ---------------------------------------------------------------------------- */

/* Replies an element, with what stands beside it if `pairs`. */
typedef void elements_reply_one(struct call *call, const struct walk *walk, bool pairs);
/* One, or null if there is none. */
void elements_reply_random(struct call *call, struct random_state *random,
                           const struct collection_view *view, elements_reply_one *reply_one);
/* As SRANDMEMBER and its kin count: so many different ones, or, if it is negative, any. */
void elements_reply_drawn(struct call *call, struct random_state *random,
                          const struct collection_view *view, int64_t count, bool pairs,
                          elements_reply_one *reply_one);
/* [count [word]] from argv[2] on. False after the error reply. */
bool elements_parse_drawing(struct call *call, const char *word, int64_t *count, bool *pairs);
