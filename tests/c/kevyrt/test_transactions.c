/* Transactions: which batons they take, and what refused memory leaves. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "kevyrt/servers.h"
#include "plat/futex.h"
#include "server/server.h"
#include "shard/shard.h"
#include "shard/transactions/watch.h"

enum { WORDS_MAX = 16, SESSION_TRIES = 2000, REFUSALS_MAX = 40, TEXT_MAX = 512 };

/* ---- Keys and batons ---------------------------------------------------------------------------- */

static uint32_t shard_count(const struct kevyrt_server *server) {
    return server->fabric.settings.shard_count;
}

static uint32_t shard_of(struct kevyrt_server *server, const char *key) {
    uint64_t hash = hash_bytes(&server->fabric.domain.hash_seed, key, strlen(key));
    return hash_shard(hash, shard_count(server));
}

/* A key of a shard. */
static void find_key(struct kevyrt_server *server, uint32_t shard, char key[16]) {
    int n = 0;
    do (void)snprintf(key, 16, "key:%d", n++);
    while (shard_of(server, key) != shard);
}

/* The shard of the only connection. */
static uint32_t home_of_connection(struct kevyrt_server *server) {
    struct registry *registry = &server->fabric.registry;
    pthread_mutex_lock(&registry->lock);
    uint32_t shard = registry->first->shard;
    pthread_mutex_unlock(&registry->lock);
    return shard;
}

/* Somebody else is in all these places. */
static void occupy(struct kevyrt_server *server, uint64_t mask) {
    assert_int_equal(baton_set_take(&server->fabric.set, mask, FUTEX_NO_DEADLINE), BATON_TAKEN);
}

static void vacate(struct kevyrt_server *server, uint64_t mask) {
    baton_set_drop(&server->fabric.set, mask);
}

/* ---- Exactly the batons that are needed ---------------------------------------------------------- */

static void transact_on(struct kevyrt_server *server, int fd, uint32_t home, uint32_t shard) {
    char key[16], request[TEXT_MAX];
    uint64_t others = fabric_all(&server->fabric) & ~(UINT64_C(1) << home | UINT64_C(1) << shard);
    find_key(server, shard, key);
    occupy(server, others);
    (void)snprintf(request, sizeof request,
                   "WATCH %s\r\nMULTI\r\nSET %s 1\r\nINCR %s\r\nGET %s\r\nEXEC\r\n", key, key, key,
                   key);
    assert_answers(fd, request,
                   "+OK\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n+OK\r\n:2\r\n$1\r\n2\r\n");
    (void)snprintf(request, sizeof request, "WATCH %s\r\nUNWATCH\r\nMULTI\r\nDEL %s\r\nDISCARD\r\n",
                   key, key);
    assert_answers(fd, request, "+OK\r\n+OK\r\n+OK\r\n+QUEUED\r\n+OK\r\n");
    vacate(server, others);
}

static void transact_on_each(struct kevyrt_server *server) {
    int fd = wire_open(server);
    assert_answers(fd, "PING\r\n", "+PONG\r\n");
    uint32_t home = home_of_connection(server);
    for (uint32_t shard = 0; shard < shard_count(server); shard++)
        transact_on(server, fd, home, shard);
    close(fd);
    server_await_connections(server, 0);
}

static void test_others_are_left_alone(void **state) {
    (void)state;
    for_each_variant(transact_on_each);
}

/* With a place of its own and the keys of another occupied, commands are queued all the same. */
static void queue_for_an_occupied_shard(struct kevyrt_server *server) {
    char key[16], request[TEXT_MAX];
    int fd = wire_open(server);
    assert_answers(fd, "MULTI\r\n", "+OK\r\n");
    uint32_t home = home_of_connection(server);
    uint64_t others = fabric_all(&server->fabric) & ~(UINT64_C(1) << home);
    find_key(server, (home + 1) % shard_count(server), key);
    occupy(server, others);
    (void)snprintf(request, sizeof request, "SET %s 1\r\nGET %s\r\n", key, key);
    assert_answers(fd, request, "+QUEUED\r\n+QUEUED\r\n");
    vacate(server, others);
    assert_answers(fd, "EXEC\r\n", "*2\r\n+OK\r\n$1\r\n1\r\n");
    close(fd);
    server_await_connections(server, 0);
}

static void test_queueing_needs_no_shard(void **state) {
    (void)state;
    for_each_variant(queue_for_an_occupied_shard);
}

/* How often threads left their places for others. */
static uint64_t count_borrowed(struct kevyrt_server *server) {
    uint64_t count = 0, all = fabric_all(&server->fabric);
    occupy(server, all);
    for (uint32_t i = 0; i < shard_count(server); i++)
        count += server->fabric.shards[i]->data.counters.borrowed_runs;
    vacate(server, all);
    return count;
}

enum { PIPELINED = 8, READS_MAX = 2 };

/* Transactions on one other shard, one behind the other, change places once. */
static void pipeline_transactions(struct kevyrt_server *server) {
    char key[16], request[PIPELINED * TEXT_MAX] = "", reply[PIPELINED * TEXT_MAX] = "";
    int fd = wire_open(server);
    assert_answers(fd, "PING\r\n", "+PONG\r\n");
    find_key(server, (home_of_connection(server) + 1) % shard_count(server), key);
    for (int i = 0; i < PIPELINED; i++) {
        size_t at = strlen(request), end = strlen(reply);
        (void)snprintf(request + at, TEXT_MAX, "MULTI\r\nSET %s 1\r\nINCR %s\r\nEXEC\r\n", key,
                       key);
        (void)snprintf(reply + end, TEXT_MAX, "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n:2\r\n");
    }
    uint64_t before = count_borrowed(server);
    assert_answers(fd, request, reply);
    uint64_t changes = count_borrowed(server) - before;
    if (shard_count(server) > 1) assert_in_range(changes, 1, READS_MAX);
    else assert_int_equal(changes, 0);
    close(fd);
    server_await_connections(server, 0);
}

static void test_places_are_kept_between_transactions(void **state) {
    (void)state;
    for_each_variant(pipeline_transactions);
}

/* ---- Open sets ----------------------------------------------------------------------------------- */

static struct kevyrt_server *impatient_server(void) {
    struct kevyrt_setting settings[] = {
        {"port", "0"},
        {"threads", "3"},
        {"enable-debug-command", "yes"},
        {"busy-reply-threshold", "20"},
    };
    struct kevyrt_error error = {0};
    struct kevyrt_server *server = NULL;
    size_t count = sizeof settings / sizeof *settings;
    assert_int_equal(kevyrt_server_new(settings, count, &server, &error), KEVYRT_OK);
    server_start(server);
    return server;
}

/* Who waits long for the ticket says that the server is busy, and has its place meanwhile. */
static void test_the_ticket_is_not_waited_for_without_end(void **state) {
    static const char busy[] = "-BUSY Redis is busy running a script. You can only call SCRIPT "
                               "KILL or SHUTDOWN NOSAVE.\r\n";
    (void)state;
    struct kevyrt_server *server = impatient_server();
    int fd = wire_open(server);
    struct baton_set *set = &server->fabric.set;
    assert_int_equal(baton_ticket_take(set, FUTEX_NO_DEADLINE), BATON_TAKEN);
    assert_answers(fd, "DEBUG KEVYRT-REACH a b c\r\n", busy);
    assert_answers(fd, "SET a 1\r\nMSET b 1 c 1\r\n", "+OK\r\n+OK\r\n");
    baton_ticket_drop(set);
    assert_answers(fd, "DEBUG KEVYRT-REACH a b\r\n", "*2\r\n$1\r\n1\r\n$1\r\n1\r\n");
    close(fd);
    server_await_connections(server, 0);
    server_close(server);
}

/* ---- Sessions ------------------------------------------------------------------------------------ */

static enum kevyrt_status session_call(struct kevyrt_server *server, struct kevyrt_session *session,
                                       const char *line, enum kevyrt_wait wait, char *out) {
    char text[TEXT_MAX], *rest;
    struct bytes argv[WORDS_MAX];
    struct kevyrt_reply reply;
    uint32_t argc = 0;
    (void)snprintf(text, sizeof text, "%s", line);
    for (char *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        argv[argc++] = bytes_of(word, strlen(word));
    enum kevyrt_status status = kevyrt_call(server, session, 0, argv, argc, wait, &reply);
    if (status != KEVYRT_OK) return status;
    (void)snprintf(out, REPLY_MAX, "%.*s", (int)reply.len, reply.at);
    kevyrt_reply_free(&reply);
    return status;
}

/* The thread of the shard may be looking around in it; those of others would stay. */
static void assert_session(struct kevyrt_server *server, struct kevyrt_session *session,
                           const char *line, const char *expected) {
    char reply[REPLY_MAX];
    struct timespec pause = {.tv_nsec = 100000};
    enum kevyrt_status status = KEVYRT_WOULD_WAIT;
    for (int tries = 0; status == KEVYRT_WOULD_WAIT && tries < SESSION_TRIES; tries++) {
        status = session_call(server, session, line, KEVYRT_TRY, reply);
        if (status == KEVYRT_WOULD_WAIT) (void)nanosleep(&pause, NULL);
    }
    assert_int_equal(status, KEVYRT_OK);
    assert_string_equal(reply, expected);
}

static void transact_in_process(struct kevyrt_server *server, struct kevyrt_session *session,
                                uint32_t shard) {
    char key[16], line[TEXT_MAX];
    uint64_t others = fabric_all(&server->fabric) & ~(UINT64_C(1) << shard);
    find_key(server, shard, key);
    occupy(server, others);
    (void)snprintf(line, sizeof line, "WATCH %s", key);
    assert_session(server, session, line, "+OK\r\n");
    assert_session(server, session, "MULTI", "+OK\r\n");
    (void)snprintf(line, sizeof line, "SET %s 1", key);
    assert_session(server, session, line, "+QUEUED\r\n");
    assert_session(server, session, "EXEC", "*1\r\n+OK\r\n");
    vacate(server, others);
}

static void transact_in_process_on_each(struct kevyrt_server *server) {
    struct kevyrt_session *session = kevyrt_session_new(server);
    for (uint32_t shard = 0; shard < shard_count(server); shard++)
        transact_in_process(server, session, shard);
    kevyrt_session_put(session);
}

static void test_sessions_leave_others_alone(void **state) {
    (void)state;
    for_each_variant(transact_in_process_on_each);
}

static uint64_t watched_keys(struct kevyrt_server *server) {
    uint64_t count = 0, all = fabric_all(&server->fabric);
    occupy(server, all);
    for (uint32_t i = 0; i < shard_count(server); i++) {
        struct shard_data *data = &server->fabric.shards[i]->data;
        assert_int_equal(data->keyspace.wanted, data->watched.count ? EFFECT_TOUCH : 0);
        count += data->watched.count;
    }
    vacate(server, all);
    return count;
}

static void watch_and_leave(struct kevyrt_server *server) {
    struct kevyrt_session *session = kevyrt_session_new(server);
    assert_session(server, session, "WATCH a b c d e f", "+OK\r\n");
    assert_int_equal(watched_keys(server), 6);
    kevyrt_session_put(session);
    assert_int_equal(watched_keys(server), 0);
    assert_int_equal(atomic_load_relaxed(&server->fabric.watching_clients), 0);
}

/* What a session watches is gone with the server's data; it may be put before or behind. */
static void watch_beyond_the_stop(struct kevyrt_server *server) {
    struct kevyrt_session *early = kevyrt_session_new(server), *late = kevyrt_session_new(server);
    assert_session(server, early, "WATCH a b c d", "+OK\r\n");
    assert_session(server, late, "WATCH a b c d", "+OK\r\n");
    kevyrt_server_stop(server);
    kevyrt_session_put(early);
    server_start(server);
    assert_int_equal(watched_keys(server), 0);
    assert_session(server, late, "MULTI", "+OK\r\n");
    assert_session(server, late, "EXEC", "_\r\n");
    assert_session(server, late, "WATCH a", "+OK\r\n");
    kevyrt_server_stop(server);
    kevyrt_session_put(late);
    server_start(server);
}

static void test_sessions_that_watch_and_end(void **state) {
    (void)state;
    for_each_variant(watch_and_leave);
    for_each_variant(watch_beyond_the_stop);
}

/* ---- Refused memory ------------------------------------------------------------------------------ */

static enum kevyrt_status refused_call(struct kevyrt_server *server, struct kevyrt_session *session,
                                       const char *line, long allocations, char *reply) {
    mem_fail_after(allocations);
    enum kevyrt_status status = session_call(server, session, line, KEVYRT_WAIT, reply);
    mem_fail_after(0);
    return status;
}

static bool is_ok(enum kevyrt_status status, const char *reply) {
    return status == KEVYRT_OK && strncmp(reply, "+OK", 3) == 0;
}

/* WATCH adds all keys or none, and what was watched before stays. */
static bool refuse_watch(struct kevyrt_server *server, long allocations) {
    char reply[REPLY_MAX];
    struct kevyrt_session *session = kevyrt_session_new(server);
    assert_session(server, session, "WATCH old", "+OK\r\n");
    enum kevyrt_status status =
        refused_call(server, session, "WATCH a old b c a d", allocations, reply);
    bool done = is_ok(status, reply);
    if (status == KEVYRT_OK) assert_int_equal(watched_keys(server), done ? 5 : 1);
    if (status == KEVYRT_OK) assert_call(server, "SET c x", "+OK\r\n");
    assert_session(server, session, "MULTI", "+OK\r\n");
    if (status == KEVYRT_OK) assert_session(server, session, "EXEC", done ? "_\r\n" : "*0\r\n");
    kevyrt_session_put(session);
    assert_int_equal(watched_keys(server), 0);
    return done;
}

static bool refuse_first_watch(struct kevyrt_server *server, long allocations) {
    char reply[REPLY_MAX];
    struct kevyrt_session *session = kevyrt_session_new(server);
    enum kevyrt_status status = refused_call(server, session, "WATCH a b", allocations, reply);
    bool done = is_ok(status, reply);
    if (status == KEVYRT_OK) assert_int_equal(watched_keys(server), done ? 2 : 0);
    kevyrt_session_put(session);
    assert_int_equal(atomic_load_relaxed(&server->fabric.watching_clients), 0);
    return done;
}

static bool refuse_multi(struct kevyrt_server *server, long allocations) {
    char reply[REPLY_MAX];
    struct kevyrt_session *session = kevyrt_session_new(server);
    enum kevyrt_status status = refused_call(server, session, "MULTI", allocations, reply);
    bool done = is_ok(status, reply);
    if (status == KEVYRT_OK && !done)
        assert_session(server, session, "EXEC", "-ERR EXEC without MULTI\r\n");
    kevyrt_session_put(session);
    return done;
}

/* A command that is not queued spoils the transaction. */
static bool refuse_queueing(struct kevyrt_server *server, long allocations) {
    char reply[REPLY_MAX];
    struct kevyrt_session *session = kevyrt_session_new(server);
    assert_session(server, session, "MULTI", "+OK\r\n");
    enum kevyrt_status status = refused_call(server, session, "SET a x", allocations, reply);
    bool done = status == KEVYRT_OK && strcmp(reply, "+QUEUED\r\n") == 0;
    assert_session(server, session, "PING", "+QUEUED\r\n");
    assert_session(server, session, "EXEC",
                   done ? "*2\r\n+OK\r\n+PONG\r\n"
                        : "-EXECABORT Transaction discarded because of previous errors.\r\n");
    kevyrt_session_put(session);
    return done;
}

static void refuse_one_by_one(struct kevyrt_server *server) {
    bool (*const parts[])(struct kevyrt_server *, long) = {refuse_watch, refuse_first_watch,
                                                           refuse_multi, refuse_queueing};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        long allocations = 1;
        while (!parts[i](server, allocations)) assert_true(++allocations < REFUSALS_MAX);
        assert_true(allocations > 1);
    }
}

static void test_refused_memory(void **state) {
    (void)state;
    for_each_variant(refuse_one_by_one);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_others_are_left_alone),
        cmocka_unit_test(test_queueing_needs_no_shard),
        cmocka_unit_test(test_places_are_kept_between_transactions),
        cmocka_unit_test(test_the_ticket_is_not_waited_for_without_end),
        cmocka_unit_test(test_sessions_leave_others_alone),
        cmocka_unit_test(test_sessions_that_watch_and_end),
        cmocka_unit_test(test_refused_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
