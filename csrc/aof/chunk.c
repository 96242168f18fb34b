/* Encoding effects, and the pools of chunks.
 *
 * The first effect of a call is bare. The second makes room for MULTI in front of both and for EXEC behind what there is, so that the
 * end of a call needs no memory: a call is either in the chunk whole, or the tail is broken.
 */
#include "aof/chunk.h"

#include "base/assert.h"
#include "base/mem.h"

enum { FIRST_CAPACITY = AOF_CHUNK_BYTES + 4096 - (int)sizeof(struct aof_chunk) - AOF_CHUNK_ROOM };
enum { NUMBER_MAX = 24 }; /* `*`, digits, and the end of the line */

static const char multi_text[] = "*1\r\n$5\r\nMULTI\r\n";
static const char exec_text[] = "*1\r\n$4\r\nEXEC\r\n";
enum { MULTI_LEN = sizeof multi_text - 1, EXEC_LEN = sizeof exec_text - 1 };

/* ---- Pools -------------------------------------------------------------------------------------- */

struct aof_chunk *aof_chunk_new(size_t capacity) {
    struct aof_chunk *chunk = mem_alloc(NULL, sizeof *chunk + AOF_CHUNK_ROOM + capacity);
    if (!chunk) return NULL;
    *chunk = (struct aof_chunk){
        .capacity = AOF_CHUNK_ROOM + capacity,
        .at = (char *)(chunk + 1),
    };
    return chunk;
}

static bool is_pooled(const struct aof_chunk *chunk) {
    return chunk->home && chunk->capacity == AOF_CHUNK_ROOM + FIRST_CAPACITY &&
           atomic_load_relaxed(&chunk->home->pooled) < AOF_TAIL_POOL;
}

/* A push of a stack that is only ever taken whole: nobody can see a chunk come back. */
void aof_chunk_put(struct aof_chunk *chunk) {
    if (!is_pooled(chunk)) {
        mem_free(NULL, chunk);
        return;
    }
    struct aof_tail *home = chunk->home;
    atomic_add_relaxed(&home->pooled, 1);
    void *head = atomic_load_relaxed(&home->returned);
    do chunk->next = head;
    while (!atomic_cas_acq_rel(&home->returned, &head, chunk));
}

static struct aof_chunk *pool_take(struct aof_tail *tail) {
    if (!tail->free && atomic_load_relaxed(&tail->returned))
        tail->free = atomic_swap_acq_rel(&tail->returned, NULL);
    struct aof_chunk *chunk = tail->free;
    if (!chunk) return NULL;
    tail->free = chunk->next;
    atomic_sub_relaxed(&tail->pooled, 1);
    return chunk;
}

static bool chunk_begin(struct aof_tail *tail, uint32_t db) {
    struct aof_chunk *chunk = pool_take(tail);
    if (!chunk) chunk = aof_chunk_new(FIRST_CAPACITY);
    if (!chunk) return false;
    chunk->next = NULL;
    chunk->mark = NULL;
    chunk->home = tail;
    chunk->first_db = chunk->last_db = db;
    chunk->start = chunk->len = AOF_CHUNK_ROOM;
    tail->chunk = chunk;
    tail->call_start = chunk->len;
    return true;
}

void aof_tail_deinit(struct aof_tail *tail) {
    struct aof_chunk *chunk;
    while ((chunk = pool_take(tail))) mem_free(NULL, chunk);
    mem_free(NULL, tail->chunk);
    *tail = (struct aof_tail){0};
}

/* ---- Encoding ----------------------------------------------------------------------------------- */

static bool reserve(struct aof_tail *tail, size_t more) {
    struct aof_chunk *chunk = tail->chunk;
    if (chunk->capacity - chunk->len >= more) return true;
    size_t capacity = chunk->capacity * 2;
    if (capacity - chunk->len < more) capacity = chunk->len + more;
    struct aof_chunk *grown = mem_realloc(NULL, chunk, sizeof *chunk + capacity);
    if (!grown) return false;
    grown->capacity = capacity;
    grown->at = (char *)(grown + 1);
    tail->chunk = grown;
    return true;
}

static inline char *write_number(char *at, char kind, uint32_t value) {
    *at++ = kind;
    if (value < 10) *at++ = (char)('0' + value);
    else if (value < 100) {
        *at++ = (char)('0' + value / 10);
        *at++ = (char)('0' + value % 10);
    } else at += bytes_from_uint64(at, value);
    at[0] = '\r';
    at[1] = '\n';
    return at + 2;
}

static inline char *write_word(char *at, struct bytes word) {
    at = write_number(at, '$', word.len);
    bytes_copy(at, word.at, word.len);
    at += word.len;
    at[0] = '\r';
    at[1] = '\n';
    return at + 2;
}

size_t aof_select_encode(char *out, uint32_t db) {
    static const char select_text[] = "*2\r\n$6\r\nSELECT\r\n";
    char digits[20];
    size_t len = bytes_from_uint64(digits, db);
    memcpy(out, select_text, sizeof select_text - 1);
    char *at = write_number(out + sizeof select_text - 1, '$', (uint32_t)len);
    memcpy(at, digits, len);
    memcpy(at + len, "\r\n", 2);
    return (size_t)(at + len + 2 - out);
}

static void insert_multi(struct aof_tail *tail) {
    struct aof_chunk *chunk = tail->chunk;
    char *call = chunk->at + tail->call_start;
    memmove(call + MULTI_LEN, call, chunk->len - tail->call_start);
    memcpy(call, multi_text, MULTI_LEN);
    chunk->len += MULTI_LEN;
}

static size_t size_of(const struct bytes *argv, uint32_t argc) {
    size_t size = NUMBER_MAX;
    for (uint32_t i = 0; i < argc; i++) size += NUMBER_MAX + (size_t)argv[i].len;
    return size;
}

void aof_tail_append(struct aof_tail *tail, uint32_t db, const struct bytes *argv, uint32_t argc) {
    size_t room = size_of(argv, argc) + AOF_SELECT_MAX + MULTI_LEN + EXEC_LEN;
    if (tail->broken) return;
    if (KRT_UNLIKELY((!tail->chunk && !chunk_begin(tail, db)) || !reserve(tail, room))) {
        tail->broken = true;
        return;
    }
    struct aof_chunk *chunk = tail->chunk;
    if (tail->call_effects == 0) tail->call_start = chunk->len;
    else if (tail->call_effects == 1) insert_multi(tail);
    tail->call_effects++;
    if (KRT_UNLIKELY(chunk->last_db != db)) {
        chunk->len += aof_select_encode(chunk->at + chunk->len, db);
        chunk->last_db = db;
    }
    char *at = write_number(chunk->at + chunk->len, '*', argc);
    for (uint32_t i = 0; i < argc; i++) at = write_word(at, argv[i]);
    chunk->len = (size_t)(at - chunk->at);
}

void aof_tail_end_call(struct aof_tail *tail) {
    if (tail->call_effects > 1 && !tail->broken) {
        struct aof_chunk *chunk = tail->chunk;
        memcpy(chunk->at + chunk->len, exec_text, EXEC_LEN);
        chunk->len += EXEC_LEN;
    }
    tail->call_effects = 0;
}
