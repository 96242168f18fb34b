/* Streams: everything that goes from shard s to shard t, in order (DESIGN B4).
 *
 * Role: a bounded lock-free single-producer single-consumer ring of pointers with an ordered backlog
 * behind it. Producer: whoever holds s's baton. Consumer: t's shard thread. The backlog belongs to
 * the producer. A message is a pointer whose ownership passes at the push.
 *
 * The inbox is what a consumer shares with all its producers: a mask of dirty sources, the
 * announcement that its thread is parked, and the eventfd that wakes it. An idle peer costs the
 * consumer one load (`inbox_dirty`).
 *
 * Invariants
 *   S1  Messages leave in the order of their pushes; nothing is in the ring behind something in the backlog.
 *   S2  A message in a ring implies that its source's bit is set, or that the consumer is draining it,
 *       or that the producer is inside stream_push or stream_advance.
 *   S3  Lost wake-ups do not exist: push, mark dirty, read `parked` pairs with announce, read `dirty`;
 *       all sequentially consistent.
 *   S4  A backlog does not wait for ever: leave it, set `backed_up`, read `head` pairs with advance
 *       `head`, read `backed_up`; all sequentially consistent. The consumer learns it from
 *       stream_backed_up and makes the producer's thread come round.
 *
 * Errors: a push never fails for want of room in the ring; with the backlog at its bound, or without
 * memory for it, stream_push returns false, keeps nothing, and the caller applies back-pressure at
 * its source.
 * Bounds: ring entries a power of two of at least 2; backlog STREAM_BACKLOG_MAX messages.
 */
#pragma once

#include <stddef.h>

#include "base/atomic.h"
#include "base/mem.h"

enum { STREAM_BACKLOG_MAX = 65536, STREAM_SOURCES_MAX = 64 };

struct inbox {
    /* Bit s: stream s->t may have messages. Producers set, the consumer swaps; seq_cst. */
    atomic_u64 dirty;
    /* 1: the thread sleeps or is about to. The consumer stores, a producer swaps to 0; seq_cst. */
    atomic_u32 parked;
    /* 1: inbox_wake has signalled, and the thread has not answered. Any thread sets, the consumer clears; seq_cst. */
    atomic_u32 rung;
    int wake_fd; /* constant after inbox_init */
} KRT_CACHE_ALIGNED;

struct stream {
    /* the consumer's line */
    atomic_u64 head KRT_CACHE_ALIGNED; /* next to read; writer consumer, reader producer */
    uint64_t tail_seen;                /* consumer only */
    /* the producer's line */
    atomic_u64 tail KRT_CACHE_ALIGNED; /* next to write; writer producer, reader consumer */
    uint64_t head_seen;                /* producer only */
    void **backlog; /* producer only: a ring of what did not fit; NULL until needed */
    uint32_t backlog_head, backlog_count, backlog_capacity;
    /* constant after stream_init, but for backed_up, which is written when a backlog stays behind */
    uint32_t source KRT_CACHE_ALIGNED; /* the bit in the inbox */
    atomic_u32 backed_up; /* 1: a backlog waits for room; producer sets, either clears */
    struct inbox *inbox;  /* the consumer's */
    uint64_t mask;        /* entries - 1 */
    void **entries;
    struct mem_account account; /* of entries and backlog */
};

int inbox_init(struct inbox *inbox); /* 0 or a negative errno value (no descriptor to be had) */
void inbox_deinit(struct inbox *inbox);

static inline uint64_t inbox_dirty(struct inbox *inbox) {
    return atomic_load_acquire(&inbox->dirty);
}

/* Consumer: announce, then look once more. True: nothing is there, the thread may sleep on wake_fd.
 * False: something is there, and the announcement is withdrawn. */
bool inbox_park(struct inbox *inbox);
/* Consumer: awake again (withdraws the announcement). */
void inbox_unpark(struct inbox *inbox);
/* Anybody: makes the consumer's thread come round even without a message, whether it is parked or about
 * to look for something else to do: the event stays readable until the thread clears it. */
void inbox_wake(struct inbox *inbox);
/* Anybody who has put something where the consumer looks when bit `source` is set: marks it dirty. */
void inbox_mark(struct inbox *inbox, uint32_t source);
/* Behind that: wakes the consumer's thread if it announced a park. */
void inbox_rouse(struct inbox *inbox);
/* The consumer: it has the wake-up. */
void inbox_answer(struct inbox *inbox);

/* The stream's memory is aligned to a cache line. 0, or -ENOMEM. */
int stream_init(struct stream *stream, struct inbox *consumer, uint32_t source, uint32_t entries);
/* The streams must be empty: who stops them advances and pops what is left. */
void stream_deinit(struct stream *stream);

/* Producer. Marks the source dirty; waking is apart (`stream_wake`), once per turn. */
bool stream_push(struct stream *stream, void *message);
/* Producer, at the end of a turn: moves backlog into the ring where there is room. What stays behind
 * is announced to the consumer (stream_backed_up). */
void stream_advance(struct stream *stream);
/* Producer, after its pushes of this turn: wakes the consumer's thread if it announced a park. */
void stream_wake(struct stream *stream);

/* Consumer: takes the dirty mask (each bit's stream must then be popped until NULL). */
uint64_t inbox_collect(struct inbox *inbox);
/* Consumer: the next message, or NULL. */
void *stream_pop(struct stream *stream);
/* Consumer, after popping until NULL: did the producer leave a backlog behind? True once for each
 * announcement; then the source's thread must come round (inbox_wake of its inbox) to advance it. */
bool stream_backed_up(struct stream *stream);
