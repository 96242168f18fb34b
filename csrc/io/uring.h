/* The io_uring reactor's parts, private to its files.
 *
 *     reactor_uring.c   opening, closing, waiting; the reactor's interface
 *     uring_submit.c    what a socket and a listener want of the kernel becomes submissions
 *     uring_complete.c  completions become events
 *
 * Threads: the shard thread that opened the ring. Ownership: reactor_uring.c makes and frees it.
 */
#pragma once

#ifdef KRT_HAVE_URING
#include <sys/socket.h>

#include "base/assert.h"
#include "io/bodies.h"
#include "io/listeners.h"
#include "io/uring_backlog.h"
#include "io/uring_buffers.h"
#include "io/uring_setup.h"

enum armed { ARMED_RECEIVE = 1, ARMED_SEND = 2, ARMED_WATCH = 4 };

struct uring {
    struct reactor base;
    struct mem_account *account;
    struct io_uring ring;
    uint32_t cq_tail; /* completions before it were seen to be there */
    bool wake_armed;
    bool refused; /* the kernel did not take a submission: try again without sleeping */
    int wake_fd;
    uint64_t wake_count; /* the kernel reads the eventfd into it */
    struct uring_buffers buffers;
    uint32_t starved_left; /* starved sockets that may still be armed in this wait */
    struct msghdr
        *messages; /* of the submission with the same number: copied by the kernel at submission */
    struct io_table table;
    struct io_listeners listeners;
    struct socket_list changed; /* may want something of the kernel */
    struct socket_list closed;  /* EVENT_CLOSED is due */
    struct uring_backlog backlog;
};

/* ---- uring_submit.c -------------------------------------------------------------------------- */
/* The socket may want something of the kernel: the next wait looks at it. */
void uring_enrol(struct uring *u, struct io_socket *s);
/* Of a closing socket without operations: closes it, and EVENT_CLOSED is due. */
void uring_finish(struct uring *u, struct io_socket *s);
/* Brings every enrolled socket and the kernel together. */
void uring_submit_changed(struct uring *u);
void uring_submit_due_listeners(struct uring *u);
void uring_submit_wake(struct uring *u);
/* False: the kernel takes nothing now. */
bool uring_submit_cancel(struct uring *u, uint64_t token);

/* ---- uring_complete.c ------------------------------------------------------------------------ */
bool uring_ring_has_completions(struct uring *u);
/* The oldest completion in the ring itself, past those that were set aside. */
bool uring_take_from_ring(struct uring *u, struct completion *out);
/* The next event; false: there is none. */
bool uring_next_event(struct uring *u, struct reactor_event *event);
#endif
