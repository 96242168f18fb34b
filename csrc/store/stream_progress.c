/* Counting what a group has read. */
#include "store/stream_progress.h"

/* Is something gone behind the first entry, at the id or behind it? Of what was deleted the largest id is known. */
static bool has_gaps_from(const struct collection *stream, struct stream_id id) {
    struct stream_id deleted = stream_of(stream)->max_deleted_id;
    return stream_count(stream) > 0 && !stream_id_is_zero(deleted) &&
           stream_id_compare(id, deleted) <= 0 &&
           stream_id_compare(stream_first_id(stream), deleted) <= 0;
}

/* Of an id before the last one added, in a stream with entries. */
static int64_t count_before_last(const struct collection *stream, struct stream_id id) {
    struct stream_id deleted = stream_of(stream)->max_deleted_id, first = stream_first_id(stream);
    int64_t gone = (int64_t)(stream_of(stream)->entries_added - stream_count(stream));
    int beside_first = stream_id_compare(id, first);
    if (!stream_id_is_zero(deleted) && stream_id_compare(deleted, first) >= 0) {
        return STREAM_READ_UNKNOWN;
    }
    return beside_first > 0 ? STREAM_READ_UNKNOWN : gone + (beside_first == 0);
}

int64_t stream_entries_up_to(const struct collection *stream, struct stream_id id) {
    const struct stream *state = stream_of(stream);
    int beside_last = stream_id_compare(id, state->last_id);
    if (state->entries_added == 0) {
        return 0;
    }
    if (stream_count(stream) == 0 && beside_last <= 0) {
        return (int64_t)state->entries_added;
    }
    if (beside_last >= 0) {
        return beside_last == 0 ? (int64_t)state->entries_added : STREAM_READ_UNKNOWN;
    }
    return count_before_last(stream, id);
}

bool stream_group_lag(const struct collection *stream, const struct stream_group *group,
                      int64_t *lag) {
    int64_t added = (int64_t)stream_of(stream)->entries_added, read = group->entries_read;
    if (added == 0) {
        *lag = 0;
        return true;
    }
    if (read == STREAM_READ_UNKNOWN || has_gaps_from(stream, group->last_id)) {
        read = stream_entries_up_to(stream, group->last_id);
        if (read == STREAM_READ_UNKNOWN) {
            return false;
        }
    }
    *lag = (int64_t)((uint64_t)added - (uint64_t)read);
    return true;
}

void stream_group_advance(const struct collection *stream, struct stream_group *group,
                          struct stream_id id) {
    if (group->entries_read != STREAM_READ_UNKNOWN && !has_gaps_from(stream, id)) {
        group->entries_read = (int64_t)((uint64_t)group->entries_read + 1);
    } else if (stream_of(stream)->entries_added > 0) {
        group->entries_read = stream_entries_up_to(stream, id);
    }
    group->last_id = id;
}
