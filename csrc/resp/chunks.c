/* The chain of output chunks: growth, taking out, moving between replies.
 *
 * A chain holds no empty chunk except, for a moment, its tail. Bytes of a chunk that was handed out
 * as an iovec never move while they are pending, because a send may be in flight: appends go behind
 * them.
 */
#include "resp/reply_internal.h"

/* Below this, copying is cheaper than a chain of nearly empty chunks. */
enum { COPY_MAX_BYTES = 1024 };

void reply_pool_init(struct reply_pool *pool, struct mem_account *account, uint32_t limit) {
    *pool = (struct reply_pool){.limit = limit, .account = account};
}

void reply_pool_limit(struct reply_pool *pool, uint32_t limit) {
    pool->limit = limit;
    for (; pool->count > limit; pool->count--) {
        struct reply_chunk *chunk = pool->spare;
        pool->spare = chunk->next;
        mem_free(chunk->account, chunk);
    }
}

void reply_pool_deinit(struct reply_pool *pool) {
    reply_pool_limit(pool, 0);
    KRT_ASSERT(pool->spare == NULL);
}

/* ---- Chunks ---------------------------------------------------------------------------------- */

static struct reply_chunk *chunk_new(struct reply_pool *pool, uint32_t capacity) {
    struct reply_chunk *chunk = pool->spare;
    if (chunk != NULL && capacity == REPLY_CHUNK_BYTES) {
        pool->spare = chunk->next;
        pool->count--;
    } else {
        chunk = mem_alloc(pool->account, sizeof *chunk + capacity);
        if (chunk != NULL) chunk->account = pool->account;
    }
    if (chunk != NULL) {
        chunk->next = NULL;
        chunk->blob = NULL;
        chunk->start = chunk->end = 0;
        chunk->capacity = capacity;
        chunk->lent = false;
    }
    return chunk;
}

static void chunk_free(struct reply_pool *pool, struct reply_chunk *chunk) {
    if (chunk->lent) {
        return;
    }
    if (chunk->capacity == REPLY_CHUNK_BYTES && pool->count < pool->limit) {
        chunk->next = pool->spare;
        pool->spare = chunk;
        pool->count++;
        return;
    }
    if (chunk->blob != NULL) {
        blob_put(chunk->blob);
    }
    mem_free(chunk->account, chunk);
}

static uint32_t chunk_pending(const struct reply_chunk *chunk) {
    return chunk->end - chunk->start;
}

static char *chunk_at(struct reply_chunk *chunk) {
    return (chunk->blob != NULL ? chunk->blob->data : chunk->data) + chunk->start;
}

/* ---- The chain ------------------------------------------------------------------------------- */

void reply_init(struct reply *reply, struct reply_pool *pool, uint8_t proto) {
    KRT_ASSERT(proto == 2 || proto == 3);
    *reply = (struct reply){.pool = pool, .proto = proto};
}

void reply_lend(struct reply *reply, void *room, uint32_t bytes) {
    struct reply_chunk *chunk = room;
    uint32_t capacity = bytes - (uint32_t)offsetof(struct reply_chunk, data);
    KRT_DCHECK(reply->head == NULL);
    *chunk = (struct reply_chunk){.capacity = capacity, .lent = true};
    reply->head = reply->tail = chunk;
    reply->at = chunk->data;
    reply->limit = chunk->data + capacity;
}

/* The tail learns how far it was written. */
static void sync_tail(struct reply *reply) {
    if (reply->at != NULL) {
        reply->tail->end = (uint32_t)(reply->at - reply->tail->data);
    }
}

static void forget_chain(struct reply *reply) {
    reply->head = reply->tail = NULL;
    reply->at = reply->limit = NULL;
    reply->sealed_bytes = 0;
}

void reply_clear(struct reply *reply) {
    struct reply_chunk *chunk = reply->head;
    while (chunk != NULL) {
        struct reply_chunk *next = chunk->next;
        chunk_free(reply->pool, chunk);
        chunk = next;
    }
    forget_chain(reply);
    reply->failed = false;
}

uint64_t reply_pending_bytes(const struct reply *reply) {
    if (reply->tail == NULL) {
        return 0;
    }
    uint32_t end = reply->at != NULL ? (uint32_t)(reply->at - reply->tail->data) : reply->tail->end;
    return reply->sealed_bytes + (end - reply->tail->start);
}

void reply_fail(struct reply *reply) {
    sync_tail(reply);
    reply->at = reply->limit = NULL;
    reply->failed = true;
}

/* What ends in `last` becomes the chain's end; only the tail's bytes are outside sealed_bytes. */
static void link_behind(struct reply *reply, struct reply_chunk *first, struct reply_chunk *last) {
    sync_tail(reply);
    if (reply->tail != NULL) {
        reply->sealed_bytes += chunk_pending(reply->tail);
        reply->tail->next = first;
    } else {
        reply->head = first;
    }
    reply->tail = last;
    reply->at = reply->limit = NULL;
}

char *reply_room_slow(struct reply *reply) {
    if (reply->failed) {
        return NULL;
    }
    bool follows_reference = reply->tail != NULL && reply->tail->blob != NULL;
    uint32_t capacity = follows_reference ? REPLY_SMALL_BYTES : REPLY_CHUNK_BYTES;
    struct reply_chunk *chunk = chunk_new(reply->pool, capacity);
    if (chunk == NULL) {
        reply_fail(reply);
        return NULL;
    }
    link_behind(reply, chunk, chunk);
    reply->at = chunk->data;
    reply->limit = chunk->data + capacity;
    return reply->at;
}

void reply_reference(struct reply *reply, struct blob *blob, uint32_t start, uint32_t len) {
    if (reply->failed) {
        return;
    }
    struct reply_chunk *chunk = chunk_new(reply->pool, 0);
    if (chunk == NULL) {
        reply_fail(reply);
        return;
    }
    chunk->blob = blob_get(blob);
    chunk->start = start;
    chunk->end = start + len;
    link_behind(reply, chunk, chunk);
}

void reply_raw(struct reply *reply, const char *at, size_t len) {
    while (len > 0) {
        if (reply->at == reply->limit && reply_room_slow(reply) == NULL) {
            return;
        }
        size_t room = (size_t)(reply->limit - reply->at);
        size_t step = len < room ? len : room;
        bytes_copy(reply->at, at, step);
        reply->at += step;
        at += step;
        len -= step;
    }
}

/* ---- Taking out ------------------------------------------------------------------------------ */

int reply_iovecs(struct reply *reply, struct iovec *out, int capacity) {
    sync_tail(reply);
    int count = 0;
    for (struct reply_chunk *chunk = reply->head; chunk != NULL && count < capacity;
         chunk = chunk->next) {
        if (chunk_pending(chunk) > 0) {
            out[count++] = (struct iovec){chunk_at(chunk), chunk_pending(chunk)};
        }
    }
    return count;
}

char *reply_piece(struct reply *reply) {
    sync_tail(reply);
    struct reply_chunk *chunk = reply->head;
    while (chunk != NULL && chunk != reply->tail && chunk_pending(chunk) == 0) {
        chunk = chunk->next;
    }
    return chunk != NULL && chunk == reply->tail ? chunk_at(chunk) : NULL;
}

static void drop_head(struct reply *reply) {
    struct reply_chunk *head = reply->head;
    reply->head = head->next;
    if (reply->head == NULL) {
        forget_chain(reply);
    } else if (reply->head == reply->tail) {
        KRT_DCHECK(reply->sealed_bytes == 0);
    }
    chunk_free(reply->pool, head);
}

void reply_consume(struct reply *reply, uint64_t count) {
    KRT_ASSERT(count <= reply_pending_bytes(reply));
    sync_tail(reply);
    while (reply->head != NULL) {
        struct reply_chunk *head = reply->head;
        uint32_t pending = chunk_pending(head);
        uint32_t step = count < pending ? (uint32_t)count : pending;
        head->start += step;
        count -= step;
        if (head != reply->tail) {
            reply->sealed_bytes -= step;
        }
        if (step < pending) {
            break;
        }
        drop_head(reply);
    }
}

/* ---- Moving between replies ------------------------------------------------------------------ */

static bool is_small(const struct reply *reply) {
    return reply->head == reply->tail && reply->tail->blob == NULL &&
           (reply->head->lent || reply_pending_bytes(reply) <= COPY_MAX_BYTES);
}

void reply_append(struct reply *to, struct reply *from) {
    if (from->failed) {
        reply_fail(to);
    }
    if (from->head == NULL || to->failed) {
        reply_clear(from);
        return;
    }
    sync_tail(from);
    if (from->head->lent && from->head != from->tail) {
        uint32_t count = chunk_pending(from->head);
        reply_raw(to, chunk_at(from->head), count);
        from->sealed_bytes -= count;
        drop_head(from);
    }
    if (is_small(from)) {
        reply_raw(to, chunk_at(from->head), chunk_pending(from->head));
        reply_clear(from);
        return;
    }
    link_behind(to, from->head, from->tail);
    to->sealed_bytes += from->sealed_bytes;
    to->at = from->at;
    to->limit = from->limit;
    forget_chain(from);
}

void reply_transfer(struct reply *to, struct reply *from, uint64_t count) {
    uint64_t pending = reply_pending_bytes(from);
    KRT_ASSERT(count <= pending);
    if (count == pending) {
        reply_append(to, from);
        return;
    }
    sync_tail(from);
    while (count > 0) {
        struct reply_chunk *head = from->head;
        uint32_t step = count < chunk_pending(head) ? (uint32_t)count : chunk_pending(head);
        if (head->blob != NULL && step >= REPLY_REFERENCE_MIN) {
            reply_reference(to, head->blob, head->start, step);
        } else {
            reply_raw(to, chunk_at(head), step);
        }
        reply_consume(from, step);
        count -= step;
    }
}

void reply_cut(struct reply *reply, uint64_t count) {
    struct reply front;
    if (count >= reply_pending_bytes(reply)) return;
    reply_init(&front, reply->pool, reply->proto);
    reply_transfer(&front, reply, count);
    reply_clear(reply);
    reply_append(reply, &front);
}
