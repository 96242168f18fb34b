/* The reply writer: a chain of output chunks in RESP2 or RESP3. Pure: no I/O, no clock.
 *
 * Role: what a handler answers is appended to a `struct reply`; a connection's output is one, an
 * in-process call and a batch of forwarded requests have their own. Small strings are copied; large
 * ones (REPLY_REFERENCE_MIN and more, in a blob) are referenced and sent from where they lie.
 *
 * Threads: one owner at a time; a whole chain may pass to another thread (chunks come from malloc
 * or from the pool of whoever writes, and go to the pool of whoever frees).
 * Ownership: chunks belong to the chain; a reference chunk owns one count of its blob. The first may be lent: it stays in
 * its reply, and what moves to another one is copied out of it.
 *
 * Errors: when memory is refused `failed` is set, and everything appended from then on is dropped;
 * the owner must close the connection (or raise MemoryError): a reply is never sent with a hole.
 * Bounds: a chunk holds REPLY_CHUNK_BYTES (REPLY_SMALL_BYTES behind a reference, where often only a
 * line end follows); a pool keeps at most its `limit` spare chunks. Pools that exchange chunks have
 * one account.
 */
#pragma once

#include <sys/uio.h>

#include "base/assert.h"
#include "base/blob.h"
#include "base/bytes.h"

enum { REPLY_CHUNK_BYTES = 16384 - 64, REPLY_SMALL_BYTES = 448, REPLY_REFERENCE_MIN = 4096 };
enum { REPLY_CODE_MAX = 31 };

struct reply_chunk {
    struct reply_chunk *next;
    struct blob *blob;           /* of a reference chunk; NULL: the bytes are data[] */
    struct mem_account *account; /* what it was charged to: it may be freed into another pool */
    uint32_t start;              /* bytes already sent or taken */
    uint32_t end;      /* bytes written; of a reference chunk: where its part of the blob ends */
    uint32_t capacity; /* of data[]; none in a reference chunk */
    bool lent;         /* the room is the caller's (reply_lend) */
    char data[];
};

enum { REPLY_ROOM_HEAD = 64 };
_Static_assert(sizeof(struct reply_chunk) <= REPLY_ROOM_HEAD, "a chunk's head is too long");

struct reply_pool {
    struct reply_chunk *spare;
    uint32_t count, limit;
    struct mem_account *account;
};

struct reply {
    /* Free room of the tail chunk, both NULL if it takes nothing more; tail->end is brought up to
     * date when somebody looks at the chain. */
    char *at, *limit;
    struct reply_chunk *head, *tail;
    struct reply_pool *pool;
    uint64_t sealed_bytes; /* bytes in chunks before the tail, less what was taken */
    uint8_t proto;         /* 2 or 3 */
    bool failed;
    uint32_t errors;                     /* error replies written so far */
    char error_code[REPLY_CODE_MAX + 1]; /* of the last one: what is before its first blank */
};

void reply_pool_init(struct reply_pool *pool, struct mem_account *account, uint32_t limit);
void reply_pool_deinit(struct reply_pool *pool);
/* Spare chunks beyond the new limit are freed. */
void reply_pool_limit(struct reply_pool *pool, uint32_t limit);

void reply_init(struct reply *reply, struct reply_pool *pool, uint8_t proto);
/* The first bytes of an empty reply go into `room`, which is the caller's, aligned to 8 bytes, and more than REPLY_ROOM_HEAD long. */
void reply_lend(struct reply *reply, void *room, uint32_t bytes);
void reply_clear(struct reply *reply); /* frees all chunks; usable afterwards */

uint64_t reply_pending_bytes(const struct reply *reply);
static inline bool reply_is_empty(const struct reply *reply) {
    return reply->head == NULL;
}

/* ---- All reply types of RESP2 and RESP3; RESP3-only ones degrade in RESP2 as Redis does ------ */
void reply_raw(struct reply *reply, const char *at, size_t len);
void reply_ok(struct reply *reply);
void reply_simple(struct reply *reply, const char *text);
void reply_integer(struct reply *reply, int64_t value);
void reply_bulk(struct reply *reply, struct bytes value); /* references a large BYTES_BLOB value */
void reply_bulk_text(struct reply *reply, const char *text);
void reply_null(struct reply *reply);       /* $-1 or _ */
void reply_null_array(struct reply *reply); /* *-1 or _ */
void reply_array(struct reply *reply, uint64_t count);
void reply_map(struct reply *reply, uint64_t pairs);  /* RESP2: array of twice as many */
void reply_set(struct reply *reply, uint64_t count);  /* RESP2: array */
void reply_push(struct reply *reply, uint64_t count); /* RESP2: array */
/* A push that was encoded for RESP2, in the protocol `proto`; with `body`, a bulk string's bytes behind the text. */
void reply_encoded_push(struct reply *reply, struct bytes text, struct blob *body, uint8_t proto);
void reply_attribute(struct reply *reply, uint64_t pairs); /* RESP3 only; the caller checks proto */
void reply_double(struct reply *reply, double value); /* RESP2: bulk string; double_format's text */
void reply_bool(struct reply *reply, bool value);     /* RESP2: integer */
void reply_big_number(struct reply *reply, struct bytes digits);                   /* RESP2: bulk */
void reply_verbatim(struct reply *reply, const char format[3], struct bytes text); /* RESP2: bulk */
/* One line; `text` has its code in front: "ERR syntax error". Line breaks become blanks. */
void reply_error(struct reply *reply, const char *text);
void reply_error_format(struct reply *reply, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Arrays whose length is known only afterwards: begin, append, end with the count. Between the two
 * the reply is only appended to; inner ones end before outer ones. */
struct reply_mark {
    struct reply_chunk *chunk;
    uint32_t offset;
};
struct reply_mark reply_defer_begin(struct reply *reply);
void reply_defer_array(struct reply *reply, struct reply_mark mark, uint64_t count);
void reply_defer_set(struct reply *reply, struct reply_mark mark, uint64_t count);
void reply_defer_map(struct reply *reply, struct reply_mark mark, uint64_t pairs);

/* ---- Taking out ------------------------------------------------------------------------------ */
/* Fills at most `capacity` iovecs with what is pending, in order; returns how many. */
int reply_iovecs(struct reply *reply, struct iovec *out, int capacity);
/* All that is pending, if it lies in one piece, or NULL. */
char *reply_piece(struct reply *reply);
/* The first `count` pending bytes have been sent: frees what is done. */
void reply_consume(struct reply *reply, uint64_t count);
/* Moves everything pending of `from` behind what `to` has: relinks chunks or copies small ones. */
void reply_append(struct reply *to, struct reply *from);
/* Moves exactly the first `count` pending bytes of `from` behind what `to` has: copies small runs,
 * shares blobs. */
void reply_transfer(struct reply *to, struct reply *from, uint64_t count);
/* Drops all but the first `count` pending bytes. */
void reply_cut(struct reply *reply, uint64_t count);
