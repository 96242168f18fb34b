/* The id of a stream's entry: milliseconds and a number within them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct stream_id {
    uint64_t ms, seq;
};

#define STREAM_ID_MAX ((struct stream_id){UINT64_MAX, UINT64_MAX})

static inline int stream_id_compare(struct stream_id a, struct stream_id b) {
    int by_ms = (a.ms > b.ms) - (a.ms < b.ms);
    return by_ms != 0 ? by_ms : (a.seq > b.seq) - (a.seq < b.seq);
}

static inline bool stream_id_is_zero(struct stream_id id) {
    return (id.ms | id.seq) == 0;
}

/* The one behind it; false at the end of all ids, and *id stays. */
static inline bool stream_id_increase(struct stream_id *id) {
    if (id->seq == UINT64_MAX && id->ms == UINT64_MAX) {
        return false;
    }
    id->ms += ++id->seq == 0;
    return true;
}

/* The one before it; false at 0-0. */
static inline bool stream_id_decrease(struct stream_id *id) {
    if (stream_id_is_zero(*id)) {
        return false;
    }
    id->ms -= id->seq-- == 0;
    return true;
}
