/* Clients that wait for keys, against a whole server: batons that are not to be had, refused memory, stops, and every end at
 * once. */
#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "kevyrt/servers.h"
#include "plat/futex.h"
#include "server/server.h"
#include "shard/shard.h"

enum { PATIENCE_MS = 20000 };

static void sleep_ms(long ms) {
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&pause, NULL);
}

static void await_waiters(struct kevyrt_server *server, uint32_t count) {
    for (int ms = 0; atomic_load_relaxed(&server->fabric.waiters) != count; ms++) {
        if (ms == PATIENCE_MS)
            fail_msg("%u wait, not %u", atomic_load_relaxed(&server->fabric.waiters), count);
        sleep_ms(1);
    }
}

/* Departures take place a little later than the end. */
static void await_empty_tables(struct kevyrt_server *server) {
    char text[REPLY_MAX];
    for (int ms = 0;; ms++) {
        assert_int_equal(call(server, "INFO clients", text), KEVYRT_OK);
        if (strstr(text, "total_blocking_keys:0") && strstr(text, "clients_in_timeout_table:0") &&
            atomic_load_relaxed(&server->fabric.domain.reaching) == 0)
            return;
        if (ms == PATIENCE_MS) fail_msg("%s", text);
        sleep_ms(1);
    }
}

static bool is_silent(int fd, int ms) {
    struct pollfd poller = {.fd = fd, .events = POLLIN};
    return poll(&poller, 1, ms) == 0;
}

static uint32_t shard_of_key(const struct kevyrt_server *server, const char *key) {
    const struct fabric *fabric = &server->fabric;
    return hash_shard(hash_bytes(&fabric->domain.hash_seed, key, strlen(key)),
                      fabric->settings.shard_count);
}

/* Some key of the shard. */
static void key_of_shard(const struct kevyrt_server *server, uint32_t shard, const char *prefix,
                         char out[32]) {
    for (int i = 0;; i++) {
        (void)snprintf(out, 32, "%s%d", prefix, i);
        if (shard_of_key(server, out) == shard) return;
    }
}

/* ---- Batons that are not to be had ---------------------------------------------------------------- */

static uint32_t shard_of_wire(struct kevyrt_server *server, int fd) {
    char reply[16];
    wire_say(fd, "CLIENT ID\r\n");
    assert_true(wire_receive(fd, reply, 4));
    assert_int_equal(reply[0], ':');
    struct registry *registry = &server->fabric.registry;
    pthread_mutex_lock(&registry->lock);
    uint32_t shard = registry_find(registry, (uint64_t)(reply[1] - '0'))->shard;
    pthread_mutex_unlock(&registry->lock);
    return shard;
}

/* A wire of each shard; all but 4 are closed again. */
static void wires_of_shards(struct kevyrt_server *server, int fds[4]) {
    for (int i = 0; i < 4; i++) {
        int fd = wire_open(server);
        fds[shard_of_wire(server, fd)] = fd;
    }
}

static void say_with_key(int fd, const char *format, const char *key) {
    char line[128];
    (void)snprintf(line, sizeof line, format, key);
    wire_say(fd, line);
}

static void assert_receives(int fd, const char *format, const char *key) {
    char expected[128], reply[128];
    (void)snprintf(expected, sizeof expected, format, key);
    assert_true(wire_receive(fd, reply, strlen(expected)));
    assert_memory_equal(reply, expected, strlen(expected));
}

/* A push is forwarded to shard 0; who waits there needs shard 3 as well, which somebody keeps. It is held up, and whatever
 * comes to shard 0 behind it. */
static void hold_up_a_batch(struct kevyrt_server *server) {
    struct fabric *fabric = &server->fabric;
    if (fabric->settings.shard_count < 4) return;
    int fds[4];
    char here[32], there[32], other[32], line[128];
    wires_of_shards(server, fds);
    atomic_store_relaxed(&fabric->busy_ms, 30);
    key_of_shard(server, 0, "here", here);
    key_of_shard(server, 3, "there", there);
    key_of_shard(server, 0, "other", other);
    (void)snprintf(line, sizeof line, "BLPOP %s %s 0\r\n", there, here);
    wire_say(fds[1], line);
    await_waiters(server, 1);
    assert_int_equal(baton_take(&fabric->batons[3], FUTEX_NO_DEADLINE), BATON_TAKEN);
    say_with_key(fds[2], "RPUSH %s a b\r\n", here);
    sleep_ms(5);
    say_with_key(fds[1], "PING %s\r\n", "behind");
    if (fabric->settings.borrow == BORROW_NEVER) {
        assert_true(is_silent(fds[2], 100));
        say_with_key(fds[2], "LLEN %s\r\n", here);
        say_with_key(fds[0], "PING %s\r\n", "home"); /* who needs no data of others goes on */
        assert_receives(fds[0], "$4\r\n%s\r\n", "home");
        assert_true(is_silent(fds[2], 50));
        assert_true(is_silent(fds[1], 1));
        baton_drop(&fabric->batons[3]);
        assert_receives(fds[2], ":2\r\n:1\r\n%s", "");
    } else { /* in place, and refused like any command that needs a busy place */
        char busy[4];
        assert_true(wire_receive(fds[2], busy, 4));
        baton_drop(&fabric->batons[3]);
        if (memcmp(busy, "-BUS", 4) == 0) {
            char rest[256];
            (void)recv(fds[2], rest, sizeof rest, 0);
            say_with_key(fds[2], "RPUSH %s a b\r\n", here);
            assert_receives(fds[2], ":2\r\n%s", "");
        }
    }
    (void)snprintf(line, sizeof line, "*2\r\n$%zu\r\n%s\r\n$1\r\na\r\n", strlen(here), here);
    assert_receives(fds[1], line, "");
    assert_receives(fds[1], "$6\r\n%s\r\n", "behind");
    for (int i = 0; i < 4; i++) close(fds[i]);
    await_empty_tables(server);
}

static void test_a_batch_is_held_up(void **state) {
    (void)state;
    for_each_variant(hold_up_a_batch);
}

/* A push that did not know of its waiters' other shards: the thread of the key's shard serves them. */
static void push_unprepared(struct kevyrt_server *server, const char *key) {
    struct fabric *fabric = &server->fabric;
    struct shard *shard = fabric->shards[shard_of_key(server, key)];
    struct bytes argv[] = {BYTES_LITERAL("RPUSH"), bytes_of(key, strlen(key)), BYTES_LITERAL("a")};
    struct request request = {.argv = argv, .argc = 3};
    struct plan plan;
    struct reply_pool pool;
    struct reply reply;
    int64_t now_ms = 0;
    struct origin origin = {.reply = &reply, .now_ms = &now_ms};
    reply_pool_init(&pool, NULL, 0);
    reply_init(&reply, &pool, 2);
    plan_request(fabric, &request, &(struct plan_hint){0}, &plan);
    assert_int_equal(baton_take(shard->baton, FUTEX_NO_DEADLINE), BATON_TAKEN);
    shard->data.outcomes.held = shard->own;
    assert_int_equal(execute_command(shard, &origin, &request, &plan), EXECUTE_DONE);
    (void)turn_seal_one(shard);
    baton_drop(shard->baton);
    reply_clear(&reply);
}

static void put_off_a_queue(struct kevyrt_server *server) {
    if (server->fabric.settings.shard_count < 4) return;
    char here[32], there[32], line[128];
    int fd = wire_open(server);
    for (uint32_t i = 0; i < 4; i++) {
        key_of_shard(server, i, "here", here);
        key_of_shard(server, (i + 1) % 4, "there", there);
        (void)snprintf(line, sizeof line, "BLPOP %s %s 0\r\n", there, here);
        wire_say(fd, line);
        await_waiters(server, 1);
        push_unprepared(server, here);
        (void)snprintf(line, sizeof line, "*2\r\n$%zu\r\n%s\r\n$1\r\na\r\n", strlen(here), here);
        assert_receives(fd, line, "");
    }
    close(fd);
    await_empty_tables(server);
}

static void test_what_is_put_off_is_served(void **state) {
    (void)state;
    for_each_variant(put_off_a_queue);
}

/* ---- Memory ---------------------------------------------------------------------------------------- */

static void refuse_memory(struct kevyrt_server *server) {
    bool waits = false;
    for (long n = 1; n < 40 && !waits; n++) {
        int fd = wire_open(server);
        assert_answers(fd, "PING\r\n", "+PONG\r\n");
        mem_fail_after(n);
        wire_say(fd, "BLPOP memory:1 memory:2 memory:3 memory:4 memory:1 100\r\n");
        waits = is_silent(fd, 20);
        mem_fail_after(0);
        if (waits) {
            await_waiters(server, 1);
            assert_call(server, "RPUSH memory:3 x", ":1\r\n");
            assert_receives(fd, "*2\r\n$8\r\nmemory:3\r\n$1\r\nx\r\n%s", "");
        }
        close(fd);
        await_waiters(server, 0);
        await_empty_tables(server);
    }
    assert_true(waits);
}

static void test_refused_memory(void **state) {
    (void)state;
    for_each_variant(refuse_memory);
}

/* ---- Stops ----------------------------------------------------------------------------------------- */

static void stop_with_waiters(const struct variant *variant) {
    enum { WAITERS = 20 };
    struct kevyrt_server *server = server_open(variant);
    int fds[WAITERS];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < WAITERS; i++) {
            fds[i] = wire_open(server);
            say_with_key(fds[i], i % 2 ? "BLPOP %s stop:2 stop:3 0\r\nPING\r\n" : "BRPOP %s 50\r\n",
                         i % 3 ? "stop:1" : "stop:4");
        }
        await_waiters(server, WAITERS);
        if (round) assert_call(server, "RPUSH stop:2 a b c", ":3\r\n");
        kevyrt_server_stop(server);
        for (int i = 0; i < WAITERS; i++) {
            wire_drain(fds[i]);
            close(fds[i]);
        }
        server_start(server);
        await_empty_tables(server);
        await_waiters(server, 0);
    }
    server_close(server);
}

static void test_stops(void **state) {
    (void)state;
    for_each_setting(stop_with_waiters);
}

/* ---- Every end at once ------------------------------------------------------------------------------ */

enum { CONSUMERS = 6, PRODUCERS = 2, TOKENS = 1500, KEYS = 5 };

struct race {
    struct kevyrt_server *server;
    pthread_t threads[CONSUMERS + PRODUCERS + 2];
    atomic_u32 next_token, done, consumed;
    atomic_u32 seen[TOKENS];
    atomic_u64 ids[CONSUMERS]; /* 0: not known yet */
};

struct racer {
    struct race *race;
    int index;
    const char *trouble;
};

/* One reply: the token, -1 for a time-out, -2 for an unblocking, -3 for anything else. */
static int read_answer(int fd) {
    char line[64];
    int lines = 0, wanted = 1;
    for (size_t len = 0;;) {
        if (!wire_receive(fd, &line[len], 1)) return -3;
        if (line[len++] != '\n') continue;
        line[len] = 0;
        if (lines == 0 && strcmp(line, "*-1\r\n") == 0) return -1;
        if (lines == 0 && line[0] == '-') return strncmp(line, "-UNBLOCKED", 10) ? -3 : -2;
        if (lines == 0 && strcmp(line, "*2\r\n") == 0) wanted = 5;
        if (++lines == wanted) return wanted == 5 ? atoi(line) : -3;
        len = 0;
    }
}

static void say_pop(struct race *race, int fd, unsigned *random) {
    char line[128];
    (void)race;
    int first = (int)(rand_r(random) % KEYS);
    (void)snprintf(line, sizeof line, "BLPOP race:%d race:%d race:%d 0.00%d\r\n", first,
                   (first + 1) % KEYS, (first + 2) % KEYS, 1 + (int)(rand_r(random) % 9));
    wire_say(fd, line);
}

static void *consume(void *argument) {
    struct racer *racer = argument;
    struct race *race = racer->race;
    unsigned random = (unsigned)racer->index;
    int fd = wire_open(race->server), id = 0;
    char reply[32];
    wire_say(fd, "CLIENT ID\r\n");
    for (size_t i = 0; wire_receive(fd, &reply[i], 1) && reply[i] != '\n'; i++)
        if (reply[i] >= '0' && reply[i] <= '9') id = 10 * id + reply[i] - '0';
    atomic_store_relaxed(&race->ids[racer->index], (uint64_t)id);
    while (!racer->trouble && atomic_load_relaxed(&race->consumed) < TOKENS) {
        say_pop(race, fd, &random);
        int token = read_answer(fd);
        if (token == -3 || token >= TOKENS) racer->trouble = "a strange answer";
        if (token < 0) continue;
        atomic_add_relaxed(&race->consumed, 1);
        if (atomic_add_relaxed(&race->seen[token], 1)) racer->trouble = "a token came twice";
    }
    close(fd);
    return NULL;
}

static void *produce(void *argument) {
    struct racer *racer = argument;
    struct race *race = racer->race;
    int fd = wire_open(race->server);
    char line[128], reply[8];
    for (;;) {
        uint32_t token = atomic_add_relaxed(&race->next_token, 1);
        if (token >= TOKENS) break;
        (void)snprintf(line, sizeof line, "RPUSH race:%u %u\r\n", token % KEYS, token);
        wire_say(fd, line);
        do racer->trouble = wire_receive(fd, reply, 1) ? NULL : "the producer's connection ended";
        while (!racer->trouble && reply[0] != '\n');
        if (racer->trouble) break;
        if (token % 16 == 0) sleep_ms(1);
    }
    close(fd);
    return NULL;
}

static void *unblock(void *argument) {
    struct racer *racer = argument;
    struct race *race = racer->race;
    char line[64], reply[REPLY_MAX];
    for (int i = 0; !atomic_load_relaxed(&race->done); i++) {
        unsigned id = (unsigned)atomic_load_relaxed(&race->ids[i % CONSUMERS]);
        (void)snprintf(line, sizeof line, "CLIENT UNBLOCK %u %s", id, i % 2 ? "ERROR" : "TIMEOUT");
        if (id && call(race->server, line, reply) != KEVYRT_OK)
            racer->trouble = "the server is gone";
        sleep_ms(1);
    }
    return NULL;
}

/* Waits for keys that nobody pushes to and goes away, in the middle of anything. */
static void *vanish(void *argument) {
    struct racer *racer = argument;
    struct race *race = racer->race;
    for (int i = 0; !atomic_load_relaxed(&race->done); i++) {
        int fd = wire_open(race->server);
        wire_say(fd, i % 2 ? "BLPOP void:1 void:2 void:3 0.002\r\nPING\r\n"
                           : "BLPOP void:1 void:4 0\r\n");
        if (i % 3) sleep_ms(i % 4);
        close(fd);
    }
    return NULL;
}

static void start(struct racer *racer, void *(*body)(void *)) {
    assert_int_equal(pthread_create(&racer->race->threads[racer->index], NULL, body, racer), 0);
}

static void race_to_the_ends(struct kevyrt_server *server) {
    static struct race race;
    struct racer racers[CONSUMERS + PRODUCERS + 2];
    enum { ALL = CONSUMERS + PRODUCERS + 2 };
    memset(&race, 0, sizeof race);
    race.server = server;
    for (int i = 0; i < ALL; i++) racers[i] = (struct racer){&race, i, NULL};
    for (int i = 0; i < CONSUMERS; i++) start(&racers[i], consume);
    for (int i = 0; i < PRODUCERS; i++) start(&racers[CONSUMERS + i], produce);
    start(&racers[ALL - 2], unblock);
    start(&racers[ALL - 1], vanish);
    for (int i = 0; i < ALL; i++) {
        if (i == ALL - 2) atomic_store_relaxed(&race.done, 1);
        assert_int_equal(pthread_join(race.threads[i], NULL), 0);
        if (racers[i].trouble) fail_msg("%d: %s", i, racers[i].trouble);
    }
    for (int i = 0; i < TOKENS; i++) assert_int_equal(atomic_load_relaxed(&race.seen[i]), 1);
    server_await_connections(server, 0);
    await_waiters(server, 0);
    await_empty_tables(server);
}

static void test_every_end(void **state) {
    (void)state;
    for_each_variant(race_to_the_ends);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_batch_is_held_up), cmocka_unit_test(test_what_is_put_off_is_served),
        cmocka_unit_test(test_refused_memory),     cmocka_unit_test(test_stops),
        cmocka_unit_test(test_every_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
