/* Streams: order, backlog, back-pressure, and wake-ups with threads that really park. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "plat/futex.h"
#include "plat/socket.h"
#include "ring/baton.h"
#include "ring/crew.h"
#include "ring/stream.h"

enum { SOURCES = 3, MESSAGES = 20000 };

static void *message_of(uint64_t number) {
    return (void *)(uintptr_t)(number + 1); /* never NULL */
}

static uint64_t number_of(void *message) {
    return (uint64_t)(uintptr_t)message - 1;
}

/* ---- One thread ---------------------------------------------------------------------------------- */

struct pair {
    struct inbox inbox;
    struct stream stream;
};

static void pair_init(struct pair *pair, uint32_t entries) {
    assert_int_equal(inbox_init(&pair->inbox), 0);
    assert_int_equal(stream_init(&pair->stream, &pair->inbox, 5, entries), 0);
}

static void pair_deinit(struct pair *pair) {
    stream_deinit(&pair->stream);
    assert_int_equal(atomic_load_relaxed(&pair->stream.account.used_bytes), 0);
    inbox_deinit(&pair->inbox);
}

static void expect(struct pair *pair, uint64_t from, uint64_t to) {
    for (; from < to; from++) {
        void *message = stream_pop(&pair->stream);
        assert_non_null(message);
        assert_int_equal(number_of(message), from);
    }
}

static void test_messages_leave_in_order_through_the_backlog(void **state) {
    (void)state;
    struct pair pair;
    pair_init(&pair, 2);
    for (uint64_t i = 0; i < 50; i++) assert_true(stream_push(&pair.stream, message_of(i)));
    assert_int_equal(pair.stream.backlog_count, 48);
    assert_int_equal(inbox_collect(&pair.inbox), UINT64_C(1) << 5);
    expect(&pair, 0, 1);
    assert_true(stream_push(&pair.stream, message_of(50))); /* room in the ring, but not for it */
    uint64_t next = 1;
    while (next < 51) {
        expect(&pair, next, next + 1);
        next++;
        stream_advance(&pair.stream);
    }
    assert_null(stream_pop(&pair.stream));
    assert_int_equal(pair.stream.backlog_count, 0);
    pair_deinit(&pair);
}

static void test_a_backlog_left_behind_is_announced_once(void **state) {
    (void)state;
    struct pair pair;
    pair_init(&pair, 2);
    for (uint64_t i = 0; i < 2; i++) assert_true(stream_push(&pair.stream, message_of(i)));
    assert_false(stream_backed_up(&pair.stream));
    assert_true(stream_push(&pair.stream, message_of(2)));
    expect(&pair, 0, 2);
    assert_null(stream_pop(&pair.stream));
    assert_true(stream_backed_up(&pair.stream));
    assert_false(stream_backed_up(&pair.stream));
    inbox_collect(&pair.inbox);
    stream_advance(&pair.stream);
    assert_int_equal(inbox_dirty(&pair.inbox), UINT64_C(1) << 5);
    assert_false(stream_backed_up(&pair.stream));
    expect(&pair, 2, 3);
    pair_deinit(&pair);
}

static void test_a_full_backlog_refuses_and_keeps_nothing(void **state) {
    (void)state;
    struct pair pair;
    pair_init(&pair, 8);
    uint64_t pushed = 0;
    while (stream_push(&pair.stream, message_of(pushed))) pushed++;
    assert_int_equal(pushed, 8 + STREAM_BACKLOG_MAX);
    for (uint64_t i = 0; i < pushed; i += 8) {
        expect(&pair, i, i + 8);
        stream_advance(&pair.stream);
    }
    assert_null(stream_pop(&pair.stream));
    pair_deinit(&pair);
}

static void test_no_memory_for_the_backlog_refuses(void **state) {
    (void)state;
    struct pair pair;
    pair_init(&pair, 2);
    for (uint64_t i = 0; i < 2; i++) assert_true(stream_push(&pair.stream, message_of(i)));
    mem_fail_after(1);
    assert_false(stream_push(&pair.stream, message_of(2)));
    struct stream other;
    assert_int_equal(stream_init(&other, &pair.inbox, 0, 2), -ENOMEM);
    mem_fail_after(0);
    expect(&pair, 0, 2);
    assert_null(stream_pop(&pair.stream));
    pair_deinit(&pair);
}

static bool is_signalled(struct inbox *inbox) {
    struct pollfd poll_fd = {.fd = inbox->wake_fd, .events = POLLIN};
    return poll(&poll_fd, 1, 0) == 1;
}

static void test_only_an_announced_park_is_woken_and_only_once(void **state) {
    (void)state;
    struct pair pair;
    pair_init(&pair, 8);
    assert_true(stream_push(&pair.stream, message_of(0)));
    stream_wake(&pair.stream);
    assert_false(is_signalled(&pair.inbox));
    assert_false(inbox_park(&pair.inbox)); /* something is there */
    assert_int_equal(atomic_load_relaxed(&pair.inbox.parked), 0);
    inbox_collect(&pair.inbox);
    expect(&pair, 0, 1);
    assert_true(inbox_park(&pair.inbox));
    for (uint64_t i = 1; i < 3; i++) {
        assert_true(stream_push(&pair.stream, message_of(i)));
        stream_wake(&pair.stream);
        assert_int_equal(is_signalled(&pair.inbox), i == 1);
        event_clear(pair.inbox.wake_fd);
        inbox_answer(&pair.inbox);
    }
    inbox_unpark(&pair.inbox);
    expect(&pair, 1, 3);
    inbox_wake(&pair.inbox);
    assert_true(is_signalled(&pair.inbox)); /* parked or not */
    pair_deinit(&pair);
}

/* ---- Threads ------------------------------------------------------------------------------------- */

/* Several sources send to one consumer; who holds a source's baton pushes for it. */
struct fabric {
    struct inbox inbox; /* the consumer's */
    struct baton batons[SOURCES];
    struct stream streams[SOURCES];
    uint64_t pushed[SOURCES];      /* under the baton */
    struct inbox sources[SOURCES]; /* of the sources' own threads */
    uint64_t popped[SOURCES];      /* consumer only */
    uint64_t sleeps;               /* consumer only */
};

static void sleep_on(struct inbox *inbox) {
    struct pollfd poll_fd = {.fd = inbox->wake_fd, .events = POLLIN};
    while (poll(&poll_fd, 1, -1) != 1)
        ;
    event_clear(inbox->wake_fd);
    inbox_answer(inbox);
}

static void drain(struct fabric *fabric, uint32_t source) {
    struct stream *stream = &fabric->streams[source];
    for (void *message; (message = stream_pop(stream));) {
        assert_int_equal(number_of(message), fabric->popped[source]);
        fabric->popped[source]++;
    }
    if (stream_backed_up(stream)) inbox_wake(&fabric->sources[source]);
}

static bool all_popped(const struct fabric *fabric) {
    uint64_t sum = 0;
    for (int s = 0; s < SOURCES; s++) sum += fabric->popped[s];
    return sum == SOURCES * MESSAGES;
}

static void consume(struct crew_member *member) {
    struct fabric *fabric = member->world;
    while (!all_popped(fabric)) {
        if (inbox_park(&fabric->inbox)) {
            fabric->sleeps++;
            sleep_on(&fabric->inbox);
        }
        inbox_unpark(&fabric->inbox);
        for (uint64_t dirty = inbox_collect(&fabric->inbox); dirty; dirty &= dirty - 1)
            drain(fabric, (uint32_t)__builtin_ctzll(dirty));
    }
}

enum left { LEFT_NOTHING, LEFT_BACKLOG, LEFT_MESSAGES };

/* One turn of whoever holds the baton. */
static enum left produce_turn(struct fabric *fabric, uint32_t source, uint32_t count) {
    struct stream *stream = &fabric->streams[source];
    assert_int_equal(baton_take(&fabric->batons[source], FUTEX_NO_DEADLINE), BATON_TAKEN);
    stream_advance(stream);
    for (; count && fabric->pushed[source] < MESSAGES; count--)
        if (stream_push(stream, message_of(fabric->pushed[source]))) fabric->pushed[source]++;
    enum left left = stream->backlog_count ? LEFT_BACKLOG : LEFT_NOTHING;
    if (fabric->pushed[source] < MESSAGES) left = LEFT_MESSAGES;
    stream_wake(stream);
    baton_drop(&fabric->batons[source]);
    return left;
}

/* The source's own thread; with everything pushed it sleeps until there is room for the backlog. */
static void produce(struct crew_member *member) {
    struct fabric *fabric = member->world;
    uint32_t source = member->index;
    enum left left;
    while ((left = produce_turn(fabric, source, 1 + crew_random(member, 4))) != LEFT_NOTHING) {
        if (crew_random(member, 16) == 0) crew_sleep_us(crew_random(member, 50));
        if (left == LEFT_BACKLOG) sleep_on(&fabric->sources[source]);
    }
}

/* Somebody who borrows every source in turn and pushes for it. What its advance leaves nothing of is never
 * announced, so it tells the source's thread, which counts on a wake-up. */
static void borrow(struct crew_member *member) {
    struct fabric *fabric = member->world;
    for (uint32_t i = 0; i < MESSAGES / 8; i++)
        if (produce_turn(fabric, i % SOURCES, 1) == LEFT_NOTHING)
            inbox_wake(&fabric->sources[i % SOURCES]);
}

static void fabric_init(struct fabric *fabric, uint32_t entries) {
    *fabric = (struct fabric){0};
    assert_int_equal(inbox_init(&fabric->inbox), 0);
    for (uint32_t s = 0; s < SOURCES; s++) {
        baton_init(&fabric->batons[s]);
        assert_int_equal(stream_init(&fabric->streams[s], &fabric->inbox, s, entries), 0);
        assert_int_equal(inbox_init(&fabric->sources[s]), 0);
    }
}

static void fabric_deinit(struct fabric *fabric) {
    for (uint32_t s = 0; s < SOURCES; s++) {
        stream_deinit(&fabric->streams[s]);
        inbox_deinit(&fabric->sources[s]);
    }
    inbox_deinit(&fabric->inbox);
}

static void hammer(uint32_t entries) {
    struct fabric fabric;
    struct crew_member consumer = {0}, borrower = {.index = SOURCES};
    fabric_init(&fabric, entries);
    crew_start(&consumer, consume, &fabric);
    crew_start(&borrower, borrow, &fabric);
    crew_run(SOURCES, produce, &fabric);
    crew_join(&borrower);
    crew_join(&consumer);
    for (uint32_t s = 0; s < SOURCES; s++) assert_int_equal(fabric.popped[s], MESSAGES);
    assert_true(fabric.sleeps > 10); /* or no wake-up was put to the test */
    fabric_deinit(&fabric);
}

static void test_nothing_is_lost_with_rings_of_2(void **state) {
    (void)state;
    hammer(2);
}

static void test_nothing_is_lost_with_rings_of_8(void **state) {
    (void)state;
    hammer(8);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages_leave_in_order_through_the_backlog),
        cmocka_unit_test(test_a_backlog_left_behind_is_announced_once),
        cmocka_unit_test(test_a_full_backlog_refuses_and_keeps_nothing),
        cmocka_unit_test(test_no_memory_for_the_backlog_refuses),
        cmocka_unit_test(test_only_an_announced_park_is_woken_and_only_once),
        cmocka_unit_test(test_nothing_is_lost_with_rings_of_2),
        cmocka_unit_test(test_nothing_is_lost_with_rings_of_8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
