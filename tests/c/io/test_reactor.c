/* The same suite on both reactors, with room and with eight entries and buffers. */
#define _GNU_SOURCE
#include "io_world.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "plat/clock.h"
#include "plat/socket.h"

#define MS 1000000u

static const struct variant variants[] = {
    {"epoll", REACTOR_EPOLL, 256, 64, 4096},
    {"epoll, tiny", REACTOR_EPOLL, 8, 8, 64},
    {"io_uring", REACTOR_URING, 256, 64, 4096},
    {"io_uring, tiny", REACTOR_URING, 8, 8, 64},
};

static int setup(void **state) {
    const struct variant *variant = *state;
    char reason[200];
    struct world *world = calloc(1, sizeof *world);
    *state = NULL;
    if (variant->kind == REACTOR_URING && reactor_uring_probe(reason, sizeof reason) < 0) {
        print_message("[  NOTE    ] %s: %s\n", variant->name, reason);
        free(world);
        return 0;
    }
    *state = world;
    return world_open(world, variant);
}

static int teardown(void **state) {
    if (*state != NULL) {
        world_close(*state);
        free(*state);
    }
    return 0;
}

static struct world *world_of(void **state) {
    if (*state == NULL) {
        skip();
    }
    return *state;
}

/* --- helpers --------------------------------------------------------------------------------- */

static int connect_to(uint16_t port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    set_blocking(fd, false);
    return fd;
}

/* A connected pair over loopback: fds[0] for the reactor. */
static void tcp_pair_open(int fds[2]) {
    uint16_t port;
    int listener = socket_listen_tcp("127.0.0.1", 0, 8, &port);
    assert_true(listener >= 0);
    fds[1] = connect_to(port);
    fds[0] = socket_accept(listener);
    assert_true(fds[0] >= 0);
    close(listener);
}

static void open_some_pair(int fds[2], bool tcp) {
    if (tcp) {
        tcp_pair_open(fds);
    } else {
        pair_open(fds);
    }
}

static void small_buffers(int fd) {
    int size = 4096;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
}

struct exchange {
    uint64_t total, written, read;
};

/* The peer's turn: writes what fits of the pattern, reads and checks what is there. */
static void exchange_step(struct exchange *x, int fd, size_t chunk) {
    static char buffer[65536];
    size_t want = x->total - x->written < chunk ? x->total - x->written : chunk;
    for (size_t i = 0; i < want; i++) {
        buffer[i] = pattern_byte(x->written + i);
    }
    ssize_t sent = want ? send(fd, buffer, want, MSG_NOSIGNAL) : 0;
    x->written += sent > 0 ? (uint64_t)sent : 0;
    ssize_t got = recv(fd, buffer, chunk, 0);
    for (ssize_t i = 0; i < got; i++) {
        if (buffer[i] != pattern_byte(x->read + (uint64_t)i)) {
            fail_msg("echoed byte %llu differs", (unsigned long long)x->read + (uint64_t)i);
        }
    }
    x->read += got > 0 ? (uint64_t)got : 0;
}

static void echo_all(struct world *world, int peer, uint64_t total, size_t chunk) {
    struct exchange x = {.total = total};
    uint64_t give_up = clock_monotonic_ns() + 30000ull * MS;
    while (x.read < total) {
        /* Bounded distance: an echoing connection keeps what it could not send yet. */
        size_t step = x.written - x.read < 400000 ? chunk : 0;
        uint64_t before = x.written;
        if (step) {
            exchange_step(&x, peer, step);
        } else {
            struct exchange reading = {.total = x.written, .written = x.written, .read = x.read};
            exchange_step(&reading, peer, 65536);
            x.read = reading.read;
        }
        world_turn(world, x.written == before ? MS : 0);
        assert_true(clock_monotonic_ns() < give_up);
    }
    assert_int_equal(x.read, total);
}

static void remove_and_free(struct world *world, struct conn *conn) {
    uint64_t wanted = world->closed + 1;
    if (!conn->closed) {
        reactor_remove(world->reactor, &conn->socket);
        reactor_remove(world->reactor, &conn->socket); /* idempotent */
        world_until(world, &world->closed, wanted);
    }
    conn_free(conn);
}

/* --- data ------------------------------------------------------------------------------------ */

static void echo_on(struct world *world, bool tcp, uint64_t total, size_t chunk) {
    int fds[2];
    open_some_pair(fds, tcp);
    struct conn *conn = conn_new(world, fds[0]);
    world->check = true;
    echo_all(world, fds[1], total, chunk);
    close(fds[1]);
    world_until(world, &world->ended, world->ended + 1);
    remove_and_free(world, conn);
}

static void test_echo(void **state) {
    struct world *world = world_of(state);
    echo_on(world, false, 300000, 5000);
    echo_on(world, true, 300000, 5000);
}

static void test_single_byte_writes(void **state) {
    echo_on(world_of(state), true, 2000, 1);
}

static void test_partial_sends(void **state) {
    struct world *world = world_of(state);
    int fds[2];
    pair_open(fds);
    small_buffers(fds[0]);
    small_buffers(fds[1]);
    struct conn *conn = conn_new(world, fds[0]);
    echo_all(world, fds[1], 500000, 20000);
    remove_and_free(world, conn);
    close(fds[1]);
}

static void test_big_receive(void **state) {
    struct world *world = world_of(state);
    uint64_t total = world_is_tiny(world) ? 4u << 20 : 50u << 20;
    int fds[2];
    tcp_pair_open(fds);
    struct conn *conn = conn_new(world, fds[0]);
    world->echo = false;
    world->check = true;
    struct exchange x = {.total = total};
    while (conn->received < total) {
        exchange_step(&x, fds[1], 65536);
        world_turn(world, x.written == total ? MS : 0);
    }
    assert_int_equal(conn->received, total);
    remove_and_free(world, conn);
    close(fds[1]);
}

static void test_big_send(void **state) {
    struct world *world = world_of(state);
    uint64_t total = world_is_tiny(world) ? 4u << 20 : 50u << 20;
    int fds[2];
    tcp_pair_open(fds);
    struct conn *conn = conn_new(world, fds[0]);
    char *all = malloc(total);
    for (uint64_t i = 0; i < total; i++) {
        all[i] = pattern_byte(i);
    }
    conn_queue(conn, all, total);
    free(all);
    struct exchange x = {.total = 0};
    while (x.read < total) {
        uint64_t before = x.read;
        exchange_step(&x, fds[1], 65536);
        world_turn(world, x.read == before ? MS : 0);
    }
    remove_and_free(world, conn);
    close(fds[1]);
}

static void many_sockets(struct world *world, bool tcp) {
    enum { COUNT = 500, ROUNDS = 3 };
    static struct conn *conns[COUNT];
    static int peers[COUNT];
    uint64_t wanted_end = world->ended + COUNT, wanted_closed = world->closed + COUNT;
    for (int i = 0; i < COUNT; i++) {
        int fds[2];
        open_some_pair(fds, tcp);
        conns[i] = conn_new(world, fds[0]);
        peers[i] = fds[1];
    }
    for (int round = 0; round < ROUNDS; round++) {
        char message[200], reply[200];
        for (int i = 0; i < COUNT; i++) {
            memset(message, 'a' + (i + round) % 26, sizeof message);
            assert_int_equal(send(peers[i], message, sizeof message, MSG_NOSIGNAL), sizeof message);
        }
        for (int i = 0; i < COUNT; i++) {
            memset(message, 'a' + (i + round) % 26, sizeof message);
            uint64_t give_up = clock_monotonic_ns() + 10000ull * MS;
            for (size_t got = 0; got < sizeof reply;) {
                ssize_t n = recv(peers[i], reply + got, sizeof reply - got, 0);
                got += n > 0 ? (size_t)n : 0;
                if (n < 0) {
                    world_turn(world, 10 * MS);
                    assert_true(clock_monotonic_ns() < give_up);
                }
            }
            assert_memory_equal(message, reply, sizeof reply);
        }
    }
    for (int i = 0; i < COUNT; i++) {
        close(peers[i]);
    }
    world_until(world, &world->ended, wanted_end);
    world_until(world, &world->closed, wanted_closed);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(conns[i]->end_result, 0);
        conn_free(conns[i]);
    }
}

static void test_many_sockets(void **state) {
    struct world *world = world_of(state);
    many_sockets(world, false);
    many_sockets(world, true);
}

/* Sockets that always have more to read must not starve one that has a little. */
static void test_fairness(void **state) {
    enum { GREEDY = 40 };
    struct world *world = world_of(state);
    static char flood[65536];
    struct conn *conns[GREEDY + 1];
    int peers[GREEDY + 1];
    world->echo = false;
    for (int i = 0; i <= GREEDY; i++) {
        int fds[2];
        pair_open(fds);
        conns[i] = conn_new(world, fds[0]);
        peers[i] = fds[1];
    }
    for (int turn = 0; turn < 400 && conns[GREEDY]->received == 0; turn++) {
        for (int i = 0; i < GREEDY; i++) {
            (void)send(peers[i], flood, sizeof flood, MSG_NOSIGNAL);
        }
        if (turn == 5) {
            assert_int_equal(send(peers[GREEDY], "x", 1, MSG_NOSIGNAL), 1);
        }
        world_turn(world, 0);
    }
    assert_int_equal(conns[GREEDY]->received, 1);
    for (int i = 0; i <= GREEDY; i++) {
        remove_and_free(world, conns[i]);
        close(peers[i]);
    }
}

/* --- back-pressure --------------------------------------------------------------------------- */

static void test_pause_and_resume(void **state) {
    struct world *world = world_of(state);
    int fds[2];
    tcp_pair_open(fds);
    struct conn *conn = conn_new(world, fds[0]);
    world->echo = false;
    world->check = true;
    reactor_pause(world->reactor, &conn->socket);
    for (int i = 0; i < 5; i++) {
        world_turn(world, 2 * MS);
    }
    struct exchange x = {.total = 100000};
    exchange_step(&x, fds[1], 50000);
    for (int i = 0; i < 10; i++) {
        world_turn(world, 2 * MS);
    }
    assert_int_equal(conn->received, 0);
    reactor_resume(world->reactor, &conn->socket);
    for (int i = 0; i < 3000 && (conn->received < x.total || x.written < x.total); i++) {
        exchange_step(&x, fds[1], 50000);
        /* Toggling within a turn and over turns must lose nothing. */
        reactor_pause(world->reactor, &conn->socket);
        if (i % 2) {
            world_turn(world, 0);
        }
        reactor_resume(world->reactor, &conn->socket);
        world_turn(world, MS);
    }
    assert_int_equal(conn->received, x.total);
    remove_and_free(world, conn);
    close(fds[1]);
}

static void reset_peer(int fd) {
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close(fd);
}

static void test_reset_while_paused(void **state) {
    struct world *world = world_of(state);
    int fds[2];
    tcp_pair_open(fds);
    struct conn *conn = conn_new(world, fds[0]);
    world_turn(world, MS);
    reactor_pause(world->reactor, &conn->socket);
    world_turn(world, MS);
    reset_peer(fds[1]);
    world_until(world, &world->ended, 1);
    assert_int_equal(conn->end_result, -ECONNRESET);
    world_until(world, &world->closed, 1);
    conn_free(conn);
}

/* Data in front of a hang-up survives the pause, and the hang-up does not make the loop spin. */
static void test_hang_up_while_paused(void **state) {
    struct world *world = world_of(state);
    int fds[2];
    pair_open(fds);
    struct conn *conn = conn_new(world, fds[0]);
    world->echo = false;
    reactor_pause(world->reactor, &conn->socket);
    world_turn(world, MS);
    world_turn(world, MS);
    assert_int_equal(send(fds[1], "hello", 5, 0), 5);
    close(fds[1]);
    world_turn(world, MS);
    world_turn(world, MS);
    uint64_t started = clock_monotonic_ns();
    world_turn(world, 20 * MS);
    world_turn(world, 20 * MS);
    assert_true(clock_monotonic_ns() - started >= 20 * MS);
    assert_int_equal(conn->received, 0);
    assert_false(conn->ended);
    reactor_resume(world->reactor, &conn->socket);
    world_until(world, &world->closed, 1);
    assert_int_equal(conn->received, 5);
    assert_int_equal(conn->end_result, 0);
    conn_free(conn);
}

/* --- ends ------------------------------------------------------------------------------------ */

/* A half-closed peer still gets its reply, and the ended socket does not make the loop spin. */
static void test_half_close(void **state) {
    struct world *world = world_of(state);
    int fds[2];
    char reply[32];
    tcp_pair_open(fds);
    struct conn *conn = conn_new(world, fds[0]);
    world->keep_open = true;
    assert_int_equal(send(fds[1], "last words", 10, 0), 10);
    shutdown(fds[1], SHUT_WR);
    world_until(world, &world->ended, 1);
    uint64_t before = world->waits, started = clock_monotonic_ns();
    while (clock_monotonic_ns() - started < 30 * MS) {
        world_turn(world, 10 * MS);
    }
    assert_true(world->waits - before <= 8);
    conn_queue(conn, "!", 1);
    world_turn(world, MS);
    set_blocking(fds[1], true);
    assert_int_equal(recv(fds[1], reply, 11, MSG_WAITALL), 11);
    assert_memory_equal(reply, "last words!", 11);
    remove_and_free(world, conn);
    close(fds[1]);
}

/* More than the socket buffers take, for a peer that has said its last word and reads late. */
static void test_half_close_with_a_late_reader(void **state) {
    enum { BYTES = 8 << 20 };
    struct world *world = world_of(state);
    static char bytes[BYTES];
    int fds[2];
    size_t received = 0;
    tcp_pair_open(fds);
    struct conn *conn = conn_new(world, fds[0]);
    world->keep_open = true;
    shutdown(fds[1], SHUT_WR);
    world_until(world, &world->ended, 1);
    conn_queue(conn, bytes, BYTES);
    for (int i = 0; i < 20; i++) {
        world_turn(world, MS);
    }
    for (int i = 0; i < 20000 && received < BYTES; i++) {
        ssize_t n = recv(fds[1], bytes, 1 << 16, MSG_DONTWAIT);
        received += n > 0 ? (size_t)n : 0;
        assert_int_not_equal(n, 0);
        world_turn(world, n > 0 ? 0 : MS);
    }
    assert_int_equal(received, BYTES);
    assert_int_equal(conn->sent_error, 0);
    remove_and_free(world, conn);
    close(fds[1]);
}

static void test_vanishing_peers(void **state) {
    struct world *world = world_of(state);
    static char flood[200000];
    for (int i = 0; i < 60; i++) {
        int fds[2];
        open_some_pair(fds, i % 2);
        struct conn *conn = conn_new(world, fds[0]);
        uint64_t wanted = world->closed + 1;
        (void)send(fds[1], flood, sizeof flood, MSG_NOSIGNAL);
        for (int turns = i % 4; turns > 0; turns--) {
            world_turn(world, 0);
        }
        if (i % 3 == 0) {
            reset_peer(fds[1]);
        } else {
            close(fds[1]);
        }
        world_until(world, &world->closed, wanted);
        assert_true(conn->ended || conn->sent_error);
        conn_free(conn);
    }
}

static void test_remove_in_flight(void **state) {
    struct world *world = world_of(state);
    static char flood[400000];
    for (int i = 0; i < 60; i++) {
        int fds[2];
        open_some_pair(fds, i % 2);
        struct conn *conn = conn_new(world, fds[0]);
        if (i % 3) {
            conn_queue(conn, flood, sizeof flood); /* the peer does not read: stays in flight */
        }
        (void)send(fds[1], flood, 1000, MSG_NOSIGNAL);
        for (int turns = i % 5; turns > 0; turns--) {
            world_turn(world, 0);
        }
        int fd = conn->socket.fd;
        remove_and_free(world, conn);
        assert_int_equal(fcntl(fd, F_GETFD), -1);
        close(fds[1]);
    }
}

/* Memory and descriptors are used again at once: nothing of an earlier life may reach the next. */
static void test_reuse(void **state) {
    struct world *world = world_of(state);
    struct conn *conn = calloc(1, sizeof *conn);
    for (int i = 0; i < 300; i++) {
        int fds[2];
        char reply[8];
        open_some_pair(fds, i % 2);
        conn_open(world, conn, fds[0]);
        set_blocking(fds[1], true);
        assert_int_equal(send(fds[1], "ping", 4, 0), 4);
        uint64_t give_up = clock_monotonic_ns() + 5000ull * MS;
        while (recv(fds[1], reply, 4, MSG_DONTWAIT) != 4) {
            world_turn(world, MS);
            assert_true(clock_monotonic_ns() < give_up);
        }
        assert_int_equal(send(fds[1], "late", 4, 0), 4);
        reactor_remove(world->reactor, &conn->socket);
        world_until(world, &world->closed, (uint64_t)i + 1);
        memset(&conn->socket, 0xa5, sizeof conn->socket);
        close(fds[1]);
    }
    conn_free(conn);
}

/* --- listening ------------------------------------------------------------------------------- */

static void test_accept_burst(void **state) {
    enum { COUNT = 200 };
    struct world *world = world_of(state);
    struct conn *conns[COUNT];
    int peers[COUNT];
    uint16_t port;
    int listener = socket_listen_tcp("127.0.0.1", 0, 511, &port);
    world->adopt = conns;
    world->adopt_capacity = COUNT;
    assert_int_equal(reactor_listen(world->reactor, listener), 0);
    for (int i = 0; i < COUNT; i++) {
        peers[i] = connect_to(port);
        assert_int_equal(send(peers[i], "x", 1, 0), 1);
    }
    world_until(world, &world->accepted, COUNT);
    for (int i = 0; i < COUNT; i++) {
        char reply;
        while (recv(peers[i], &reply, 1, MSG_DONTWAIT) != 1) {
            world_turn(world, 10 * MS);
        }
        assert_true(fcntl(conns[i]->socket.fd, F_GETFL) & O_NONBLOCK);
        assert_true(fcntl(conns[i]->socket.fd, F_GETFD) & FD_CLOEXEC);
        close(peers[i]);
    }
    world_until(world, &world->closed, COUNT);
    reactor_unlisten(world->reactor, listener);
    close(listener);
    for (int i = 0; i < COUNT; i++) {
        conn_free(conns[i]);
    }
}

static void test_accept_without_descriptors(void **state) {
    struct world *world = world_of(state);
    uint16_t port;
    int listener = socket_listen_tcp("127.0.0.1", 0, 16, &port);
    int peer = connect_to(port);
    struct rlimit before, tight;
    getrlimit(RLIMIT_NOFILE, &before);
    tight = before;
    tight.rlim_cur = (rlim_t)peer + 1;
    /* Every number below the limit is in use, so accept has none. */
    int fillers[64], filled = 0;
    setrlimit(RLIMIT_NOFILE, &tight);
    while (filled < 64 && (fillers[filled] = dup(peer)) >= 0) {
        filled++;
    }
    /* io_uring looks at the limit when the accept is submitted. */
    assert_int_equal(reactor_listen(world->reactor, listener), 0);
    world_until(world, &world->accept_failed, 1);
    uint64_t waits = world->waits, started = clock_monotonic_ns();
    while (clock_monotonic_ns() - started < 150 * MS) {
        world_turn(world, 1000ull * MS);
    }
    assert_true(world->waits - waits < 20);
    setrlimit(RLIMIT_NOFILE, &before);
    while (filled > 0) {
        close(fillers[--filled]);
    }
    world_until(world, &world->accepted, 1);
    reactor_unlisten(world->reactor, listener);
    close(listener);
    close(peer);
}

static void test_unlisten_frees_the_port(void **state) {
    struct world *world = world_of(state);
    int fds[2];
    pair_open(fds);
    struct conn *conn = conn_new(world, fds[0]);
    uint16_t port = 0;
    for (int i = 0; i < 50; i++) {
        int listener = socket_listen_tcp("127.0.0.1", port, 16, &port);
        if (listener < 0) {
            fail_msg("bind %d: %s", i, strerror(-listener));
        }
        assert_int_equal(reactor_listen(world->reactor, listener), 0);
        if (i % 5) {
            world_turn(world, 0);
        }
        if (i % 7 == 0) {
            assert_int_equal(send(fds[1], "x", 1, 0), 1); /* completes while unlisten reaps */
        }
        reactor_unlisten(world->reactor, listener);
        close(listener);
    }
    world_turn(world, MS);
    world_turn(world, MS);
    assert_int_equal(conn->received, 8);
    remove_and_free(world, conn);
    close(fds[1]);
}

/* The lowest descriptor that is free. */
static int next_descriptor(void) {
    int fd = dup(STDERR_FILENO);
    close(fd);
    return fd;
}

/* What completes while an unlisten reaps is given back by the close: a wake, and what another listener accepted. Nobody
 * waits for it in vain, which would take seconds each time. */
static void test_unlisten_and_close_at_once(void **state) {
    const struct variant *variant = world_of(state)->variant;
    uint64_t started_ns = clock_monotonic_ns();
    int free_fd = next_descriptor();
    for (int i = 0; i < 10; i++) {
        struct world world;
        uint16_t ports[2];
        int listeners[2], peers[2];
        assert_int_equal(world_open(&world, variant), 0);
        for (int j = 0; j < 2; j++) {
            listeners[j] = socket_listen_tcp("127.0.0.1", 0, 16, &ports[j]);
            assert_int_equal(reactor_listen(world.reactor, listeners[j]), 0);
        }
        world_turn(&world, 0);
        event_signal(world.wake_fd);
        for (int j = 0; j < 2; j++) {
            peers[j] = connect_to(ports[j]);
        }
        for (int j = 0; j < 2; j++) {
            reactor_unlisten(world.reactor, listeners[j]);
            close(listeners[j]);
        }
        world_close(&world);
        close(peers[0]);
        close(peers[1]);
        assert_int_equal(next_descriptor(), free_fd);
    }
    assert_true(clock_monotonic_ns() - started_ns < 10000ull * MS);
}

/* --- waking and sleeping --------------------------------------------------------------------- */

struct waker {
    int fd;
    atomic_u32 wanted, done; /* writers: the test and the waker; seq_cst: a turn-taking pair */
};

static void *wake_on_demand(void *argument) {
    struct waker *waker = argument;
    for (uint32_t i = 1; i <= 10000; i++) {
        while (atomic_load_seq_cst(&waker->wanted) < i) {
            sched_yield();
        }
        event_signal(waker->fd);
        atomic_store_seq_cst(&waker->done, i);
    }
    return NULL;
}

/* Each signal must end a wait without deadline: a lost one hangs the test. */
static void test_wakes_are_not_lost(void **state) {
    struct world *world = world_of(state);
    struct waker waker = {.fd = world->wake_fd};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, wake_on_demand, &waker), 0);
    for (uint32_t i = 1; i <= 10000; i++) {
        uint64_t before = world->wakes;
        atomic_store_seq_cst(&waker.wanted, i);
        while (world->wakes == before) {
            world_turn(world, UINT64_MAX);
        }
    }
    pthread_join(thread, NULL);
    assert_int_equal(waker.done, 10000);
    assert_true(world->wakes <= 10000);
}

static void test_deadlines(void **state) {
    struct world *world = world_of(state);
    static const uint64_t timeouts[] = {200000, MS, 5 * MS, 20 * MS};
    world_turn(world, 0);
    for (size_t i = 0; i < sizeof timeouts / sizeof *timeouts; i++) {
        uint64_t started = clock_monotonic_ns();
        world_turn(world, timeouts[i]);
        uint64_t took = clock_monotonic_ns() - started;
        assert_true(took >= timeouts[i]);
        assert_true(took < timeouts[i] + 50 * MS);
    }
}

static void *signal_later(void *argument) {
    nanosleep(&(struct timespec){.tv_nsec = 200 * MS}, NULL);
    event_signal(*(int *)argument);
    return NULL;
}

static uint64_t cpu_ns(void) {
    struct timespec used;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

static void test_idle_costs_nothing(void **state) {
    struct world *world = world_of(state);
    int fds[2];
    pair_open(fds);
    struct conn *conn = conn_new(world, fds[0]);
    world_turn(world, MS);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, signal_later, &world->wake_fd), 0);
    uint64_t waits = world->waits, cpu = cpu_ns();
    while (world->wakes == 0) {
        world_turn(world, UINT64_MAX);
    }
    assert_true(world->waits - waits <= 2);
    assert_true(cpu_ns() - cpu < 5 * MS);
    pthread_join(thread, NULL);
    remove_and_free(world, conn);
    close(fds[1]);
}

/* --- limits ---------------------------------------------------------------------------------- */

static void test_too_many_listeners(void **state) {
    struct world *world = world_of(state);
    int fds[33];
    uint16_t port;
    for (int i = 0; i < 33; i++) {
        fds[i] = socket_listen_tcp("127.0.0.1", 0, 4, &port);
        assert_int_equal(reactor_listen(world->reactor, fds[i]), i < 32 ? 0 : -ENOSPC);
    }
    world_turn(world, 0);
    for (int i = 0; i < 33; i++) {
        if (i < 32) {
            reactor_unlisten(world->reactor, fds[i]);
        }
        close(fds[i]);
    }
}

static void test_out_of_memory_on_add(void **state) {
    struct world *world = world_of(state);
    struct io_socket socket = {0};
    int fds[2];
    pair_open(fds);
    mem_fail_after(1);
    assert_int_equal(reactor_add(world->reactor, &socket, fds[0]), -ENOMEM);
    mem_fail_after(0);
    struct conn *conn = conn_new(world, fds[0]);
    remove_and_free(world, conn);
    close(fds[1]);
}

static void test_out_of_memory_on_open(void **state) {
    struct world *world = world_of(state);
    struct mem_account account = {0};
    struct reactor_limits limits = {.ring_entries = 8,
                                    .buffer_count = 8,
                                    .buffer_bytes = 64,
                                    .wake_fd = -1,
                                    .account = &account};
    struct reactor *reactor = NULL;
    int error = -ENOMEM;
    long allowed = 1;
    for (; error == -ENOMEM && allowed < 20; allowed++) {
        mem_fail_after(allowed);
        error = reactor_open(&reactor, world->variant->kind, &limits);
        mem_fail_after(0);
        assert_true(error == 0 || account.used_bytes == 0);
    }
    assert_int_equal(error, 0);
    assert_true(allowed > 3);
    reactor_close(reactor);
    assert_int_equal(account.used_bytes, 0);
}

/* --- the suite ------------------------------------------------------------------------------- */

struct named_test {
    const char *name;
    CMUnitTestFunction function;
};

#define TEST(function) \
    { #function, function }

static const struct named_test tests[] = {
    TEST(test_echo),
    TEST(test_single_byte_writes),
    TEST(test_partial_sends),
    TEST(test_big_receive),
    TEST(test_big_send),
    TEST(test_many_sockets),
    TEST(test_fairness),
    TEST(test_pause_and_resume),
    TEST(test_reset_while_paused),
    TEST(test_hang_up_while_paused),
    TEST(test_half_close),
    TEST(test_half_close_with_a_late_reader),
    TEST(test_vanishing_peers),
    TEST(test_remove_in_flight),
    TEST(test_reuse),
    TEST(test_accept_burst),
    TEST(test_accept_without_descriptors),
    TEST(test_unlisten_frees_the_port),
    TEST(test_unlisten_and_close_at_once),
    TEST(test_wakes_are_not_lost),
    TEST(test_deadlines),
    TEST(test_idle_costs_nothing),
    TEST(test_too_many_listeners),
    TEST(test_out_of_memory_on_add),
    TEST(test_out_of_memory_on_open),
};

enum { TESTS = sizeof tests / sizeof *tests, VARIANTS = sizeof variants / sizeof *variants };

int main(int argc, char **argv) {
    static struct CMUnitTest all[TESTS * VARIANTS];
    static char names[TESTS * VARIANTS][64];
    for (int i = 0; i < TESTS * VARIANTS; i++) {
        const struct variant *variant = &variants[i / TESTS];
        snprintf(names[i], sizeof names[i], "%s (%s)", tests[i % TESTS].name, variant->name);
        all[i] = (struct CMUnitTest){.name = names[i],
                                     .test_func = tests[i % TESTS].function,
                                     .setup_func = setup,
                                     .teardown_func = teardown,
                                     .initial_state = (void *)variant};
    }
    if (argc > 1) {
        cmocka_set_test_filter(argv[1]);
    }
    return cmocka_run_group_tests(all, NULL, NULL);
}
