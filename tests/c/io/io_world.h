/* A small echoing server around a reactor, for tests: connections that keep what they received and send it
 * back, and counters of everything that was reported. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "io/reactor.h"

struct variant {
    const char *name;
    enum reactor_kind kind;
    uint32_t ring_entries, buffer_count, buffer_bytes;
};

struct world;

struct conn {
    struct io_socket socket; /* first: events name it */
    struct world *world;
    char *out; /* to be sent: out[sent .. used) */
    size_t sent, used, capacity;
    struct iovec iov[2];
    uint64_t received;
    int end_result, sent_error;
    bool ended, closed, open, remove_on_end;
};

struct world {
    struct reactor *reactor;
    struct mem_account account;
    const struct variant *variant;
    int wake_fd;
    bool echo;      /* send back what comes */
    bool check;     /* what comes must be the pattern, from its beginning */
    bool keep_open; /* after the end of a peer */
    uint64_t closed, ended, wakes, accepted, accept_failed, waits, data_events;
    struct conn **adopt; /* accepted connections are put here */
    size_t adopt_capacity;
};

bool world_is_tiny(const struct world *world);
int world_open(struct world *world, const struct variant *variant);
void world_close(struct world *world);

struct conn *conn_new(struct world *world, int fd);
/* Adds again a connection whose memory was given back by EVENT_CLOSED. */
void conn_open(struct world *world, struct conn *conn, int fd);
void conn_free(struct conn *conn);
void conn_queue(struct conn *conn, const void *at, size_t len);

/* One turn: wait until the deadline at the latest, handle all events, recycle. */
void world_turn(struct world *world, uint64_t timeout_ns);
/* Turns until *counter >= wanted; fails the test after ten seconds. */
void world_until(struct world *world, const uint64_t *counter, uint64_t wanted);

void pair_open(int fds[2]);
char pattern_byte(uint64_t offset);
void set_blocking(int fd, bool blocking);
