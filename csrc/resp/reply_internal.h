/* What the writer (reply.c) and the chain of chunks (chunks.c) share. Included by csrc/resp/ alone.
 * */
#pragma once

#include "resp/reply.h"

/* The longest header: a marker, 20 digits, a line end. */
enum { REPLY_HEADER_MAX = 24 };

/* Room for `count` (at most REPLY_HEADER_MAX) bytes in one piece, behind a new chunk if there must
 * be one; NULL once the reply failed. The caller advances reply->at. */
char *reply_room_slow(struct reply *reply);

static inline bool reply_fits(const struct reply *reply, size_t count) {
    return (size_t)(reply->limit - reply->at) >= count;
}

static inline char *reply_room(struct reply *reply, size_t count) {
    return KRT_LIKELY(reply_fits(reply, count)) ? reply->at : reply_room_slow(reply);
}

void reply_reference(struct reply *reply, struct blob *blob, uint32_t start, uint32_t len);
void reply_fail(struct reply *reply);
