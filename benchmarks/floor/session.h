/* session.h: one client connection of the floor server: framing of requests, queueing of replies.
 *
 * Role       Turns received bytes into reply bytes. Nothing is stored and nothing is looked up: a
 *            command is framed by its lengths, and the first letter of its name chooses between two
 *            replies of the size Redis would send: +OK (5 bytes), or a 64-byte bulk (71 bytes) for
 *            a name in G.
 * Threads    The loop's only thread.
 * Ownership  A session owns its descriptor and its output buffer; `session_close` gives both back.
 * Invariants S1  0 <= sent <= filled <= SESSION_OUT_BYTES; the bytes between are queued or in
 *                flight.
 *            S2  Queued bytes never move while a send is in flight: the kernel reads them in place.
 * Errors     `session_feed` returns false on bytes that are not RESP, or when a client does not
 *            read its replies until the buffer is full. The caller closes the connection.
 * Bounds     SESSION_OUT_BYTES of unread replies per connection, SESSION_MAX descriptors. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SESSION_MAX = 4096, SESSION_OUT_BYTES = 256 * 1024, SESSION_READ_BYTES = 16 * 1024 };

enum session_state { AT_ARRAY, AT_BULK, IN_BODY };

struct session {
    int fd;
    uint8_t state;   /* enum session_state */
    bool named;      /* the command's first argument has begun: `bulk` is known */
    bool bulk;       /* this command is answered by the 64-byte bulk */
    bool enrolled;   /* is in the loop's ready list */
    bool sending;    /* a send is in flight (io_uring) or waits for room (epoll) */
    bool ended;      /* the peer is gone; close when nothing is in flight */
    uint32_t args;   /* arguments of this command still to come */
    uint64_t number; /* the length being read */
    uint64_t need;   /* bytes of this argument still to come, its CRLF included */
    size_t sent;
    size_t filled;
    char *out;
};

/* The session of an accepted descriptor; NULL and closed when it is too high or memory lacks. */
struct session *session_open(int fd);
struct session *session_of(int fd);
void session_close(struct session *s);

/* Consumes n bytes and queues a reply for each command that they complete. */
bool session_feed(struct session *s, const char *data, size_t n);

/* Notes that n queued bytes have left. */
void session_sent(struct session *s, size_t n);

static inline size_t session_pending(const struct session *s) {
    return s->filled - s->sent;
}
