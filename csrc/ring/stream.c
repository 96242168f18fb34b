/* Streams and inboxes.
 *
 * Each of the three questions "is there a message?", "does the thread sleep?" and "is there room?" is
 * asked and answered by two threads at once, in the same pattern: each side first stores its own
 * news, then loads the other's. In the total order of sequentially consistent operations one of the
 * two stores comes first, and the other side's load sees it:
 *
 *     producer                          consumer
 *     store tail; load dirty            swap dirty; load tail          message and mark
 *     mark dirty; load parked           store parked; load dirty       mark and park
 *     set backed_up; load head          store head; load backed_up     backlog and room
 *
 * The operations themselves are sequentially consistent; there are no fences, which race detectors do
 * not understand and which cost the same.
 */
#include "ring/stream.h"

#include <errno.h>

#include "base/assert.h"
#include "plat/socket.h"

enum { BACKLOG_FIRST = 16 };

/* ---- Inbox --------------------------------------------------------------------------------------- */

int inbox_init(struct inbox *inbox) {
    *inbox = (struct inbox){.wake_fd = event_open()};
    return inbox->wake_fd < 0 ? inbox->wake_fd : 0;
}

void inbox_deinit(struct inbox *inbox) {
    socket_close(inbox->wake_fd);
    inbox->wake_fd = -1;
}

bool inbox_park(struct inbox *inbox) {
    atomic_store_seq_cst(&inbox->parked, 1);
    if (atomic_load_seq_cst(&inbox->dirty) == 0) return true;
    inbox_unpark(inbox);
    return false;
}

/* A producer that saw the announcement before may still signal: one wake-up for nothing. */
void inbox_unpark(struct inbox *inbox) {
    atomic_store_relaxed(&inbox->parked, 0);
}

/* Whoever finds it rung is heard with the one who rang: the thread clears first and looks then. */
void inbox_wake(struct inbox *inbox) {
    if (atomic_exchange_explicit(&inbox->rung, 1, memory_order_seq_cst) == 0)
        event_signal(inbox->wake_fd);
}

void inbox_answer(struct inbox *inbox) {
    atomic_store_seq_cst(&inbox->rung, 0);
}

uint64_t inbox_collect(struct inbox *inbox) {
    return atomic_exchange_explicit(&inbox->dirty, 0, memory_order_seq_cst);
}

void inbox_mark(struct inbox *inbox, uint32_t source) {
    uint64_t bit = UINT64_C(1) << source;
    if (!(atomic_load_seq_cst(&inbox->dirty) & bit)) atomic_or_seq_cst(&inbox->dirty, bit);
}

/* Of all producers that see the announcement one pays for the system call. */
void inbox_rouse(struct inbox *inbox) {
    if (KRT_LIKELY(atomic_load_seq_cst(&inbox->parked) == 0)) return;
    if (atomic_swap_acq_rel(&inbox->parked, 0)) event_signal(inbox->wake_fd);
}

static void mark_dirty(struct stream *stream) {
    inbox_mark(stream->inbox, stream->source);
}

void stream_wake(struct stream *stream) {
    inbox_rouse(stream->inbox);
}

/* ---- Life ---------------------------------------------------------------------------------------- */

int stream_init(struct stream *stream, struct inbox *consumer, uint32_t source, uint32_t entries) {
    KRT_ASSERT(source < STREAM_SOURCES_MAX);
    KRT_ASSERT(entries >= 2 && (entries & (entries - 1)) == 0);
    *stream = (struct stream){.source = source, .inbox = consumer, .mask = entries - 1};
    stream->entries = mem_alloc(&stream->account, entries * sizeof *stream->entries);
    return stream->entries ? 0 : -ENOMEM;
}

void stream_deinit(struct stream *stream) {
    KRT_ASSERT(atomic_load_relaxed(&stream->head) == atomic_load_relaxed(&stream->tail));
    KRT_ASSERT(stream->backlog_count == 0);
    mem_free(&stream->account, stream->backlog);
    mem_free(&stream->account, stream->entries);
    stream->backlog = stream->entries = NULL;
}

/* ---- Producer ------------------------------------------------------------------------------------ */

/* The consumer's line is read only when what was seen of it last leaves no room. */
static bool has_room(struct stream *stream, uint64_t tail) {
    if (KRT_LIKELY(tail - stream->head_seen <= stream->mask)) return true;
    stream->head_seen = atomic_load_seq_cst(&stream->head);
    return tail - stream->head_seen <= stream->mask;
}

static bool put_in_ring(struct stream *stream, void *message) {
    uint64_t tail = atomic_load_relaxed(&stream->tail);
    if (!has_room(stream, tail)) return false;
    stream->entries[tail & stream->mask] = message;
    atomic_store_seq_cst(&stream->tail, tail + 1);
    return true;
}

static uint32_t backlog_place(const struct stream *stream, uint32_t nth) {
    return (stream->backlog_head + nth) & (stream->backlog_capacity - 1);
}

static bool grow_backlog(struct stream *stream) {
    uint32_t capacity = stream->backlog_capacity ? stream->backlog_capacity * 2 : BACKLOG_FIRST;
    if (capacity > STREAM_BACKLOG_MAX) return false;
    void **larger = mem_alloc(&stream->account, capacity * sizeof *larger);
    if (!larger) return false;
    for (uint32_t i = 0; i < stream->backlog_count; i++)
        larger[i] = stream->backlog[backlog_place(stream, i)];
    mem_free(&stream->account, stream->backlog);
    stream->backlog = larger;
    stream->backlog_head = 0;
    stream->backlog_capacity = capacity;
    return true;
}

static bool put_in_backlog(struct stream *stream, void *message) {
    if (stream->backlog_count == stream->backlog_capacity && !grow_backlog(stream)) return false;
    stream->backlog[backlog_place(stream, stream->backlog_count)] = message;
    stream->backlog_count++;
    return true;
}

static bool move_backlog(struct stream *stream) {
    bool moved = false;
    while (stream->backlog_count && put_in_ring(stream, stream->backlog[stream->backlog_head])) {
        stream->backlog_head = backlog_place(stream, 1);
        stream->backlog_count--;
        moved = true;
    }
    return moved;
}

/* Announce what stays behind, then look once more for room that was made meanwhile. */
void stream_advance(struct stream *stream) {
    bool moved = move_backlog(stream);
    if (stream->backlog_count) {
        atomic_store_seq_cst(&stream->backed_up, 1);
        stream->head_seen = atomic_load_seq_cst(&stream->head);
        moved |= move_backlog(stream);
    }
    if (stream->backlog_count == 0 && atomic_load_relaxed(&stream->backed_up))
        atomic_store_relaxed(&stream->backed_up, 0);
    if (moved) mark_dirty(stream);
}

bool stream_push(struct stream *stream, void *message) {
    KRT_DCHECK(message != NULL); /* NULL is how a pop says empty */
    if (KRT_LIKELY(stream->backlog_count == 0) && put_in_ring(stream, message)) {
        mark_dirty(stream);
        return true;
    }
    if (!put_in_backlog(stream, message)) return false;
    stream_advance(stream); /* S1: through the backlog, S4: announced */
    return true;
}

/* ---- Consumer ------------------------------------------------------------------------------------ */

void *stream_pop(struct stream *stream) {
    uint64_t head = atomic_load_relaxed(&stream->head);
    if (head == stream->tail_seen) {
        stream->tail_seen = atomic_load_seq_cst(&stream->tail);
        if (head == stream->tail_seen) return NULL;
    }
    void *message = stream->entries[head & stream->mask];
    atomic_store_release(&stream->head, head + 1);
    return message;
}

/* The head is stored once more to put it into the total order before the load: a pop does not pay for that. */
bool stream_backed_up(struct stream *stream) {
    atomic_store_seq_cst(&stream->head, atomic_load_relaxed(&stream->head));
    if (KRT_LIKELY(!atomic_load_seq_cst(&stream->backed_up))) return false;
    return atomic_swap_acq_rel(&stream->backed_up, 0);
}
