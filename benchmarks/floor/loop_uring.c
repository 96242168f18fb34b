/* loop_uring.c: one ring; multishot accept and receive with provided buffers, one enter per loop.
 *
 * A descriptor is closed only after its receive has ended and its send has completed, so no
 * completion can belong to an earlier owner of the same number: `user_data` needs no generation. */
#include "loop.h"
#include "session.h"

#include <stdio.h>

#ifndef FLOOR_HAVE_URING

int loop_uring_run(int listener) {
    (void)listener;
    fprintf(stderr, "floor: built without liburing\n");
    return 1;
}

#else

#include <errno.h>
#include <liburing.h>
#include <sys/mman.h>

enum { RING_ENTRIES = 2048, CQ_ENTRIES = 8192, BUFFERS = 1024, BUFFER_GROUP = 1 };
enum operation { OP_ACCEPT, OP_RECEIVE, OP_SEND };

static struct io_uring ring;
static struct io_uring_buf_ring *buffer_ring;
static char *buffers;
static int returned; /* buffers given back in this loop, not yet published to the kernel */
static int ready[SESSION_MAX];
static int ready_count;

static struct io_uring_sqe *take_sqe(enum operation operation, int fd) {
    struct io_uring_sqe *sqe;
    while ((sqe = io_uring_get_sqe(&ring)) == NULL) io_uring_submit(&ring);
    io_uring_sqe_set_data64(sqe, (uint64_t)operation << 32 | (uint32_t)fd);
    return sqe;
}

static void arm_accept(int listener) {
    struct io_uring_sqe *sqe = take_sqe(OP_ACCEPT, listener);
    io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, SOCK_CLOEXEC);
}

static void arm_receive(int fd) {
    struct io_uring_sqe *sqe = take_sqe(OP_RECEIVE, fd);
    io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = BUFFER_GROUP;
}

static void arm_send(struct session *s) {
    struct io_uring_sqe *sqe = take_sqe(OP_SEND, s->fd);
    const int flags = MSG_NOSIGNAL | MSG_WAITALL;
    io_uring_prep_send(sqe, s->fd, s->out + s->sent, session_pending(s), flags);
    s->sending = true;
}

static char *buffer_at(unsigned id) {
    return buffers + (size_t)id * SESSION_READ_BYTES;
}

static void give_back(unsigned id) {
    int mask = io_uring_buf_ring_mask(BUFFERS);
    io_uring_buf_ring_add(buffer_ring, buffer_at(id), SESSION_READ_BYTES, (unsigned short)id, mask,
                          returned++);
}

static void enrol(struct session *s) {
    if (s->enrolled) return;
    s->enrolled = true;
    ready[ready_count++] = s->fd;
}

static void on_accept(int listener, const struct io_uring_cqe *cqe) {
    if (cqe->res >= 0 && session_open(cqe->res) != NULL) arm_receive(cqe->res);
    if (!(cqe->flags & IORING_CQE_F_MORE)) arm_accept(listener);
}

static void on_receive(struct session *s, const struct io_uring_cqe *cqe) {
    bool more = cqe->flags & IORING_CQE_F_MORE;
    if (cqe->flags & IORING_CQE_F_BUFFER) {
        unsigned id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        if (cqe->res > 0 && !session_feed(s, buffer_at(id), (size_t)cqe->res))
            shutdown(s->fd, SHUT_RDWR);
        give_back(id);
    }
    s->ended |= !more && cqe->res <= 0 && cqe->res != -ENOBUFS;
    if (!more && !s->ended) arm_receive(s->fd);
    enrol(s);
}

static void on_send(struct session *s, const struct io_uring_cqe *cqe) {
    s->sending = false;
    session_sent(s, cqe->res > 0 ? (size_t)cqe->res : session_pending(s));
    enrol(s);
}

static void on_completion(int listener, const struct io_uring_cqe *cqe) {
    int fd = (int)(uint32_t)cqe->user_data;
    switch ((enum operation)(cqe->user_data >> 32)) {
    case OP_ACCEPT:
        on_accept(listener, cqe);
        break;
    case OP_RECEIVE:
        on_receive(session_of(fd), cqe);
        break;
    case OP_SEND:
        on_send(session_of(fd), cqe);
        break;
    }
}

static void reap(int listener) {
    struct io_uring_cqe *cqe;
    unsigned head;
    unsigned seen = 0;
    io_uring_for_each_cqe(&ring, head, cqe) {
        seen++;
        on_completion(listener, cqe);
    }
    io_uring_buf_ring_advance(buffer_ring, returned);
    returned = 0;
    io_uring_cq_advance(&ring, seen);
}

static void send_or_close(struct session *s) {
    s->enrolled = false;
    if (s->sending) return;
    if (s->ended) session_close(s);
    else if (session_pending(s) > 0) arm_send(s);
}

static void serve_ready(void) {
    for (int i = 0; i < ready_count; i++) send_or_close(session_of(ready[i]));
    ready_count = 0;
}

static void *map_pages(size_t bytes) {
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

static int open_buffers(void) {
    buffers = map_pages((size_t)BUFFERS * SESSION_READ_BYTES);
    buffer_ring = map_pages(BUFFERS * sizeof(struct io_uring_buf));
    if (buffers == NULL || buffer_ring == NULL) return -ENOMEM;
    struct io_uring_buf_reg registration = {
        .ring_addr = (uintptr_t)buffer_ring, .ring_entries = BUFFERS, .bgid = BUFFER_GROUP};
    int rc = io_uring_register_buf_ring(&ring, &registration, 0);
    if (rc < 0) return rc;
    io_uring_buf_ring_init(buffer_ring);
    for (unsigned id = 0; id < BUFFERS; id++) give_back(id);
    return 0;
}

static int open_ring(void) {
    struct io_uring_params params = {.flags = IORING_SETUP_SINGLE_ISSUER |
                                              IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE,
                                     .cq_entries = CQ_ENTRIES};
    int rc = io_uring_queue_init_params(RING_ENTRIES, &ring, &params);
    if (rc < 0) return rc;
    io_uring_register_ring_fd(&ring);
    return open_buffers();
}

int loop_uring_run(int listener) {
    int rc = open_ring();
    if (rc == 0) arm_accept(listener);
    while (rc >= 0 || rc == -EINTR) {
        reap(listener);
        serve_ready();
        rc = io_uring_submit_and_wait(&ring, 1);
    }
    fprintf(stderr, "floor: io_uring: error %d\n", -rc);
    return 1;
}

#endif
