/* What a keyspace needs to go back to what it was at one instant, in time proportional to what has changed since.
 *
 * Role: a second mark (ENTRY_CHECK) says, as that of snapshots does, whether an entry is still what it was at the checkpoint. An entry
 * that is not marked yet is kept before its first change (database_keep, database.h); a key that is new is listed. What a
 * whole database loses at once (FLUSHALL, a restore) is not looked at: the database is *held* instead of let go of, and
 * put back as it is. Going back puts what was kept in its place, and deletes what is new.
 *
 *   begin ──▶ changes ──prepare──▶ prepared ──commit──▶ begin again
 *                │                    └──abandon──▶ changes
 *                ├──renew──▶ begin again, with what is there now
 *                └──end──▶ no part
 *
 * Threads: the holder of the baton; begin, prepare to commit, renew and end under all batons, with nothing aside (keyspace.h).
 * Ownership: the part is the keyspace's from begin to end, or to keyspace_deinit.
 * Invariants
 *   C1  Without a part every entry has the keyspace's ENTRY_CHECK. With one, entries of its databases have the other exactly
 *       if they have not changed since; entries of others have the keyspace's.
 *   C2  An entry of its databases that has changed is kept once, as it was, unless the part has failed.
 *   C3  A key of its databases that was not there is listed, unless the part `walks`.
 *   C4  Between prepare and commit nothing else happens; commit cannot fail.
 * Errors: without memory to keep an entry, or to list a key, the part has `failed` or `walks`: a command never fails for it. Who has
 * failed cannot go back.
 * Bounds: at most CHECKPOINT_CREATED_MAX new keys are listed; beyond, all entries are looked at to find them. A collection is copied
 * when it is kept. What is kept is no part of used memory.
 */
#pragma once

#include "store/collection.h"

enum { CHECKPOINT_CREATED_MAX = 1 << 16 };

struct checkpoint_buffer;
struct checkpoint_part;

/* NULL: no memory. Nothing is marked before checkpoint_begin. */
struct checkpoint_part *checkpoint_new(struct keyspace *keyspace);
/* Of one that did not begin. */
void checkpoint_free(struct checkpoint_part *part);
/* O(databases). */
void checkpoint_begin(struct checkpoint_part *part);
/* What is there now is what is gone back to. */
void checkpoint_renew(struct checkpoint_part *part, struct garbage_taker *taker);
void checkpoint_end(struct checkpoint_part *part, struct garbage_taker *taker);

/* Nothing to go back from, nothing to make new. */
bool checkpoint_is_clean(const struct checkpoint_part *part);
bool checkpoint_has_failed(const struct checkpoint_part *part);
/* Has database `db` another than it had, or none? */
bool checkpoint_is_replaced(const struct checkpoint_part *part, uint32_t db);
/* Keys kept and listed. */
uint64_t checkpoint_changes(const struct checkpoint_part *part);

/* Everything that needs memory. False: there is none, nothing has happened. */
bool checkpoint_prepare(struct checkpoint_part *part);
void checkpoint_abandon(struct checkpoint_part *part);
/* What database `db` will be lies aside of it for a look (keyspace_find with database_count + db), or is taken from there. */
void checkpoint_show(struct checkpoint_part *part, uint32_t db, bool shown);
/* Goes back. What was kept stays until checkpoint_clear. */
void checkpoint_commit(struct checkpoint_part *part, struct garbage_taker *taker);
/* Each key that has changed, behind commit; `type` is what it holds now, or -1. */
typedef void checkpoint_visit(void *context, uint32_t db, uint64_t hash, struct bytes key,
                              int type);
void checkpoint_walk(const struct checkpoint_part *part, checkpoint_visit *visit, void *context);
void checkpoint_clear(struct checkpoint_part *part);

/* ---- For store/ --------------------------------------------------------------------------------- */

/* An entry that is not marked yet is about to change. */
void checkpoint_keep(struct checkpoint_part *part, struct database *database, struct entry *entry);
/* A key of a database of the checkpoint is new. */
void checkpoint_note_created(struct keyspace *keyspace, struct database *database, uint64_t hash,
                             struct bytes key);
/* With the keyspace. */
void checkpoint_deinit(struct checkpoint_part *part);
/* Of the checkpoint, and not in its place any more; NULL: none. */
struct database *checkpoint_held(const struct checkpoint_part *part, uint32_t db);
