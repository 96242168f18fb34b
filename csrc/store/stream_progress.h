/* How far a group has read its stream.
 *
 * Role: counts entries as Redis does, by what was added and deleted, and not at all where that does not tell.
 * Threads: holder of the baton.
 */
#pragma once

#include "store/stream.h"

/* How many entries were added up to the one with this id, or STREAM_READ_UNKNOWN. */
int64_t stream_entries_up_to(const struct collection *stream, struct stream_id id);
/* How many entries the group has not read yet. False: nobody knows. */
bool stream_group_lag(const struct collection *stream, const struct stream_group *group,
                      int64_t *lag);
/* The group is given the entry with this id, which is behind all that it was given. */
void stream_group_advance(const struct collection *stream, struct stream_group *group,
                          struct stream_id id);
