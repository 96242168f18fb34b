/* Streams, as their handlers see them: ids as clients write them, replies of entries, options.
 *
 * Threads, ownership: cmd/call.h, store/stream.h.
 */
#pragma once

#include "cmd/elements.h"
#include "store/stream.h"

enum { STREAM_ID_TEXT_MAX = 41, STREAM_IDS_FEW = 16 };

/* ---- Ids ---------------------------------------------------------------------------------------- */

/* <ms>-<seq>, or <ms>, whose other part is `missing_seq`. `any_seq`, if it is not NULL, tells that <ms>-* was given.
 * False: it is no id, and nothing is replied. */
bool stream_id_read(struct bytes text, uint64_t missing_seq, struct stream_id *id, bool *any_seq);
/* The same of argv[index]; false after the error reply. */
bool stream_parse_id(struct call *call, uint32_t index, uint64_t missing_seq, struct stream_id *id);
/* Both ends of a range, in argv[first] and argv[last]: also - and +, and ( before what is left out. */
bool stream_parse_interval(struct call *call, uint32_t first, uint32_t last,
                           struct stream_id *start, struct stream_id *end);
/* The beginning of one. */
bool stream_parse_start(struct call *call, uint32_t index, struct stream_id *start);
/* So many ids from argv[first] on, into `few` or memory that stream_ids_free frees; NULL after the error reply. */
struct stream_id *stream_parse_ids(struct call *call, uint32_t first,
                                   struct stream_id few[STREAM_IDS_FEW]);
void stream_ids_free(struct stream_id *ids, const struct stream_id few[STREAM_IDS_FEW]);

struct bytes stream_id_text(struct stream_id id, char text[STREAM_ID_TEXT_MAX]);

/* ---- Reading ------------------------------------------------------------------------------------ */

/* The stream of a key, NULL if there is none. False after the error reply for another type. */
bool stream_read(struct call *call, const struct key_place *place,
                 const struct collection **collection);

struct stream_range {
    struct stream_id start, end;
    uint64_t count; /* at most; 0: all */
    bool reverse;
};

void stream_reply_id(struct reply *reply, struct stream_id id);
/* The id and the fields of the entry that the walk is at. */
void stream_reply_entry(struct reply *reply, struct stream_walk *walk);
/* An array of entries; returns how many. */
uint64_t stream_reply_range(struct reply *reply, const struct stream_view *view,
                            const struct stream_range *range);

/* ---- XREAD, XREADGROUP -------------------------------------------------------------------------- */

struct stream_reading {
    int64_t block_ms; /* -1: no BLOCK; 0: for ever */
    uint64_t count;   /* 0: all */
    uint32_t first;   /* of the keys in argv; the ids follow them */
    uint32_t keys;
    uint32_t group; /* where GROUP's two words are, 0 if they are not given */
    bool no_ack;
};

/* All options of XREAD, or of XREADGROUP. False after the error reply. */
bool stream_parse_reading(struct call *call, bool of_group, struct stream_reading *reading);
/* May such a command line wait? It is asked before anything else of it is looked at. */
bool stream_may_wait(const struct bytes *argv, uint32_t argc);
/* Nothing is there for whoever reads: with BLOCK it waits for it. `ids` are the positions that XREAD reads from; a `$`
 * stands for the one that it was when the wait began. NULL of XREADGROUP, whose groups know theirs. */
void stream_wait_or_reply_nothing(struct call *call, const struct stream_reading *reading,
                                  const struct stream_id *ids);

/* ---- Trimming ----------------------------------------------------------------------------------- */

struct stream_options { /* of XADD and XTRIM */
    struct stream_trim trim;
    struct stream_id id;
    bool any_id, any_seq; /* *, <ms>-* */
    bool no_make;         /* NOMKSTREAM */
    uint32_t id_index;    /* argc if there is none */
};

/* From argv[2] on. False after the error reply. */
bool stream_parse_options(struct call *call, bool of_xadd, struct stream_options *options);

static inline struct stream_limits stream_limits_of(const struct call *call) {
    const struct small_limits *small = &call->domain->small;
    return (struct stream_limits){small->stream_bytes, small->stream_entries};
}
