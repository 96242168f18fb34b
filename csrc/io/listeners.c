#include "io/listeners.h"

#include <errno.h>

#include "base/assert.h"
#include "plat/clock.h"

struct io_listener *io_listeners_add(struct io_listeners *listeners, int fd) {
    for (struct io_listener *at = listeners->at; at < listeners->at + LISTENERS_MAX; at++) {
        if (!at->used) {
            *at = (struct io_listener){.fd = fd, .generation = at->generation, .used = true};
            listeners->unarmed++;
            return at;
        }
    }
    return NULL;
}

struct io_listener *io_listeners_of_fd(struct io_listeners *listeners, int fd) {
    for (struct io_listener *at = listeners->at; at < listeners->at + LISTENERS_MAX; at++) {
        if (at->used && at->fd == fd) {
            return at;
        }
    }
    return NULL;
}

struct io_listener *io_listeners_of_token(struct io_listeners *listeners, uint64_t token) {
    uint32_t index = io_token_index(token);
    KRT_ASSERT(index < LISTENERS_MAX);
    struct io_listener *at = &listeners->at[index];
    return at->used && at->generation == io_token_generation(token) ? at : NULL;
}

uint64_t io_listeners_token(const struct io_listeners *listeners,
                            const struct io_listener *listener) {
    return io_token_pack(TOKEN_ACCEPT, (uint32_t)(listener - listeners->at), listener->generation);
}

void io_listeners_remove(struct io_listeners *listeners, struct io_listener *listener) {
    KRT_ASSERT(listener->used && !listener->armed);
    listener->used = false;
    listener->generation = (listener->generation + 1) & GENERATION_MASK;
    listeners->unarmed--;
}

void io_listeners_armed(struct io_listeners *listeners, struct io_listener *listener) {
    KRT_ASSERT(!listener->armed);
    listener->armed = true;
    listeners->unarmed--;
}

/* A connection that ended before it was accepted is no failure of ours, nor is an interruption. */
static bool accept_goes_on(int error) {
    switch (-error) {
    case 0:
    case EINTR:
    case EAGAIN:
    case ECANCELED:
    case ECONNABORTED:
    case ECONNRESET:
    case EPROTO:
        return true;
    default:
        return false;
    }
}

bool io_listeners_disarmed(struct io_listeners *listeners, struct io_listener *listener,
                           int error) {
    KRT_ASSERT(listener->armed);
    bool pause = !accept_goes_on(error);
    listener->armed = false;
    listener->retry_ns = pause ? clock_monotonic_ns() + ACCEPT_BACKOFF_NS : 0;
    listeners->unarmed++;
    return pause;
}

struct io_listener *io_listeners_due(struct io_listeners *listeners, uint64_t now_ns) {
    for (struct io_listener *at = listeners->at; at < listeners->at + LISTENERS_MAX; at++) {
        if (at->used && !at->armed && at->retry_ns <= now_ns) {
            return at;
        }
    }
    return NULL;
}

uint64_t io_listeners_next_retry(const struct io_listeners *listeners) {
    uint64_t next = UINT64_MAX;
    for (const struct io_listener *at = listeners->at; at < listeners->at + LISTENERS_MAX; at++) {
        if (at->used && !at->armed && at->retry_ns < next) {
            next = at->retry_ns;
        }
    }
    return next;
}
