/* Channels: who is subscribed to what, what a message becomes, and letterboxes that nobody empties. Two shards without
 * threads; the test is both of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "shard/board/monitor.h"
#include "shard/board/publish.h"
#include "shard/shard.h"

enum { SHARDS = 2, CLIENTS = 12, NAMES = 40 };

struct world {
    struct fabric fabric;
    struct shard *shards[SHARDS];
    struct connection clients[CLIENTS]; /* of shard index % SHARDS */
    struct card cards[CLIENTS];
};

static void *pages(size_t size) {
    void *at = mem_pages_alloc(NULL, size, 4096);
    assert_non_null(at);
    return at;
}

static struct shard *shard_new(struct world *world, uint32_t index) {
    struct shard *shard = pages(sizeof *shard);
    shard->fabric = &world->fabric;
    shard->index = index;
    shard->own = UINT64_C(1) << index;
    assert_int_equal(inbox_init(&shard->inbox), 0);
    reply_pool_init(&shard->io.pool, &shard->data.keyspace.account, 4);
    reply_init(&shard->io.deferred, &shard->io.pool, 2);
    return shard;
}

static void client_open(struct world *world, uint32_t index) {
    struct connection *connection = &world->clients[index];
    connection->client.fabric = &world->fabric;
    connection->client.card = &world->cards[index];
    connection->client.proto = index % 4 < 2 ? 2 : 3;
    world->cards[index].id = index + 1;
    world->cards[index].shard = index % SHARDS;
    reply_init(&connection->output, &world->shards[index % SHARDS]->io.pool, 2);
}

static int world_open(void **state) {
    static struct world world;
    memset(&world, 0, sizeof world);
    world.fabric.settings.shard_count = SHARDS;
    world.fabric.board = pages(sizeof *world.fabric.board);
    world.fabric.shards = world.shards;
    board_init(world.fabric.board);
    for (uint32_t i = 0; i < SHARDS; i++) world.shards[i] = shard_new(&world, i);
    for (uint32_t i = 0; i < CLIENTS; i++) client_open(&world, i);
    *state = &world;
    return 0;
}

static struct shard *shard_of(struct world *world, uint32_t client) {
    return world->shards[client % SHARDS];
}

static uint64_t used_bytes(struct world *world) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < SHARDS; i++)
        bytes += atomic_load_relaxed(&world->shards[i]->data.keyspace.account.used_bytes);
    return bytes;
}

static int world_close(void **state) {
    struct world *world = *state;
    for (uint32_t i = 0; i < CLIENTS; i++) {
        audience_end(shard_of(world, i), &world->clients[i]);
        reply_clear(&world->clients[i].output);
    }
    for (uint32_t i = 0; i < SHARDS; i++) {
        board_discard(world->fabric.board, i);
        audience_deinit(&world->shards[i]->io.audience);
        reply_pool_deinit(&world->shards[i]->io.pool);
        inbox_deinit(&world->shards[i]->inbox);
    }
    assert_int_equal(world->fabric.board->channels.clients, 0);
    channels_deinit(&world->fabric.board->channels);
    assert_int_equal(used_bytes(world), 0);
    for (uint32_t i = 0; i < SHARDS; i++)
        mem_pages_free(NULL, world->shards[i], sizeof(struct shard));
    mem_pages_free(NULL, world->fabric.board, sizeof *world->fabric.board);
    return 0;
}

/* ---- Steps ------------------------------------------------------------------------------------------ */

static struct bytes text(const char *at) {
    return bytes_of(at, strlen(at));
}

static bool join(struct world *world, uint32_t client, enum channel_kind kind, const char *name) {
    bool joined;
    assert_true(board_enter(world->fabric.board));
    assert_true(
        audience_join(shard_of(world, client), &world->clients[client], kind, text(name), &joined));
    board_exit(world->fabric.board);
    return joined;
}

static bool leave(struct world *world, uint32_t client, enum channel_kind kind, const char *name) {
    assert_true(board_enter(world->fabric.board));
    bool left = audience_leave(shard_of(world, client), &world->clients[client], kind, text(name));
    board_exit(world->fabric.board);
    return left;
}

static struct channel *find(struct world *world, enum channel_kind kind, const char *name) {
    uint64_t hash = hash_bytes(&world->fabric.domain.hash_seed, name, strlen(name));
    return channels_find(&world->fabric.board->channels, kind, hash, text(name));
}

static uint64_t publish(struct world *world, enum channel_kind kind, const char *channel,
                        struct bytes body) {
    uint64_t count = publish_message(world->shards[0], kind, text(channel), body);
    board_leave(world->shards[0]);
    return count;
}

static void drain(struct world *world) {
    for (uint32_t i = 0; i < SHARDS; i++) board_drain(world->shards[i]);
}

static void assert_told(struct world *world, uint32_t client, const char *expected) {
    struct reply *output = &world->clients[client].output;
    struct iovec iov[64];
    char got[1024];
    size_t len = 0;
    int count = reply_iovecs(output, iov, 64);
    for (int i = 0; i < count; i++) {
        assert_true(len + iov[i].iov_len < sizeof got);
        memcpy(got + len, iov[i].iov_base, iov[i].iov_len);
        len += iov[i].iov_len;
    }
    got[len] = 0;
    assert_string_equal(got, expected);
    reply_clear(output);
}

/* ---- Tables ----------------------------------------------------------------------------------------- */

static void test_one_of_each(void **state) {
    struct world *world = *state;
    assert_true(join(world, 0, CHANNEL_PLAIN, "a"));
    assert_false(join(world, 0, CHANNEL_PLAIN, "a"));
    assert_true(join(world, 0, CHANNEL_PATTERN, "a"));
    assert_true(join(world, 0, CHANNEL_SHARD, "a"));
    assert_true(join(world, 1, CHANNEL_PLAIN, "a"));
    assert_true(join(world, 2, CHANNEL_PLAIN, "a"));
    assert_int_equal(find(world, CHANNEL_PLAIN, "a")->count, 3);
    assert_int_equal(find(world, CHANNEL_PLAIN, "a")->mask, 3);
    assert_int_equal(find(world, CHANNEL_PATTERN, "a")->count, 1);
    assert_int_equal(find(world, CHANNEL_PATTERN, "a")->mask, 1);
    assert_int_equal(world->fabric.board->channels.clients, 3);
    assert_int_equal(atomic_load_relaxed(&world->fabric.board->channels.subscriptions), 5);
    assert_true(leave(world, 1, CHANNEL_PLAIN, "a"));
    assert_false(leave(world, 1, CHANNEL_PLAIN, "a"));
    assert_int_equal(find(world, CHANNEL_PLAIN, "a")->mask, 1);
    assert_int_equal(world->clients[1].client.listens, 0);
    assert_int_equal(world->clients[0].client.listens, LISTENS_CHANNELS);
    audience_end(shard_of(world, 0), &world->clients[0]);
    assert_null(find(world, CHANNEL_PATTERN, "a"));
    assert_null(find(world, CHANNEL_SHARD, "a"));
    assert_int_equal(find(world, CHANNEL_PLAIN, "a")->count, 1);
}

/* Any allocation of a subscription may be refused: nothing changes. */
static void test_refused_subscription(void **state) {
    struct world *world = *state;
    join(world, 1, CHANNEL_PLAIN, "other");
    for (uint32_t refused = 0, at = 1;; at++, refused++) {
        bool joined;
        uint64_t before = used_bytes(world);
        mem_fail_after(at);
        bool done = audience_join(shard_of(world, 0), &world->clients[0], CHANNEL_PATTERN,
                                  text("pattern"), &joined);
        mem_fail_after(0);
        if (done) {
            assert_true(joined && refused >= 4);
            break;
        }
        assert_int_equal(used_bytes(world), before);
        assert_null(find(world, CHANNEL_PATTERN, "pattern"));
        assert_int_equal(world->clients[0].client.listens, 0);
        assert_int_equal(world->fabric.board->channels.clients, 1);
    }
}

/* Against a table of what each client is subscribed to. */
struct model {
    bool has[CLIENTS][CHANNEL_KINDS][NAMES];
};

static void assert_model(struct world *world, const struct model *model) {
    for (uint32_t kind = 0; kind < CHANNEL_KINDS; kind++)
        for (uint32_t n = 0; n < NAMES; n++) {
            char name[16];
            uint64_t count = 0, mask = 0;
            snprintf(name, sizeof name, "n%u", n);
            for (uint32_t c = 0; c < CLIENTS; c++) {
                count += model->has[c][kind][n];
                if (model->has[c][kind][n]) mask |= UINT64_C(1) << c % SHARDS;
            }
            const struct channel *channel = find(world, (enum channel_kind)kind, name);
            assert_int_equal(channel ? channel->count : 0, count);
            assert_int_equal(channel ? channel->mask : 0, mask);
        }
}

static void model_forget(struct model *model, uint32_t client) {
    memset(model->has[client], 0, sizeof model->has[client]);
}

static void churn_step(struct world *world, struct model *model, struct random_state *random) {
    uint32_t client = (uint32_t)random_below(random, CLIENTS);
    uint32_t kind = (uint32_t)random_below(random, CHANNEL_KINDS);
    uint32_t n = (uint32_t)random_below(random, NAMES);
    bool *has = &model->has[client][kind][n];
    char name[16];
    snprintf(name, sizeof name, "n%u", n);
    switch (random_below(random, 100) / 49) {
    case 0:
        assert_int_equal(join(world, client, (enum channel_kind)kind, name), !*has);
        *has = true;
        break;
    case 1:
        assert_int_equal(leave(world, client, (enum channel_kind)kind, name), *has);
        *has = false;
        break;
    default:
        audience_end(shard_of(world, client), &world->clients[client]);
        model_forget(model, client);
    }
}

static void test_churn(void **state) {
    struct world *world = *state;
    static struct model model;
    struct random_state random;
    random_seed(&random, 7);
    for (int step = 0; step < 40000; step++) {
        churn_step(world, &model, &random);
        if (step % 500 == 0) assert_model(world, &model);
    }
}

static void test_many_channels_of_one_client(void **state) {
    struct world *world = *state;
    char name[16];
    for (int i = 0; i < 20000; i++) {
        snprintf(name, sizeof name, "n%d", i);
        assert_true(join(world, 0, CHANNEL_PLAIN, name));
        if (i % 2) assert_true(join(world, 1, CHANNEL_PLAIN, name));
    }
    assert_int_equal(atomic_load_relaxed(&world->cards[0].subscriptions[CHANNEL_PLAIN]), 20000);
    for (int i = 0; i < 20000; i += 3) {
        snprintf(name, sizeof name, "n%d", i);
        assert_true(leave(world, 0, CHANNEL_PLAIN, name));
    }
    audience_end(shard_of(world, 0), &world->clients[0]);
    assert_int_equal(world->fabric.board->channels.kinds[CHANNEL_PLAIN].count, 10000);
}

/* Killed clients count no more, though their shard has not ended them yet; others may join meanwhile. */
static void test_killed(void **state) {
    struct world *world = *state;
    struct channels *channels = &world->fabric.board->channels;
    for (uint32_t i = 0; i < 4; i++) join(world, i, CHANNEL_PLAIN, "a");
    join(world, 0, CHANNEL_PATTERN, "a*");
    channels_uncount(channels, &world->clients[0].client);
    channels_uncount(channels, &world->clients[0].client);
    assert_int_equal(find(world, CHANNEL_PLAIN, "a")->count, 3);
    assert_null(find(world, CHANNEL_PATTERN, "a*"));
    for (uint32_t i = 1; i < 4; i++) channels_uncount(channels, &world->clients[i].client);
    assert_null(find(world, CHANNEL_PLAIN, "a"));
    assert_int_equal(channels->clients, 0);
    assert_int_equal(publish(world, CHANNEL_PLAIN, "a", text("m")), 0);
    join(world, 5, CHANNEL_PLAIN, "a"); /* on shard 1, then on shard 0 */
    join(world, 4, CHANNEL_PLAIN, "a");
    join(world, 6, CHANNEL_PATTERN, "a*");
    assert_int_equal(find(world, CHANNEL_PLAIN, "a")->count, 2);
    assert_int_equal(find(world, CHANNEL_PLAIN, "a")->mask, 3);
    for (uint32_t i = 0; i < 4; i++) audience_end(shard_of(world, i), &world->clients[i]);
    assert_int_equal(find(world, CHANNEL_PLAIN, "a")->mask, 3);
    assert_int_equal(publish(world, CHANNEL_PLAIN, "a", text("m")), 3);
    drain(world);
    assert_told(world, 4, "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nm\r\n");
    assert_null(channels->unheard);
}

/* The board closes before the shards have ended who was killed. */
static void test_killed_at_the_end(void **state) {
    struct world *world = *state;
    for (uint32_t i = 0; i < 6; i++) join(world, i, CHANNEL_SHARD, i < 4 ? "a" : "b");
    for (uint32_t i = 0; i < 4; i++)
        channels_uncount(&world->fabric.board->channels, &world->clients[i].client);
    assert_true(board_enter(world->fabric.board));
    baton_close(&world->fabric.board->baton);
    for (uint32_t i = 0; i < 6; i++) audience_end(shard_of(world, i), &world->clients[i]);
    channels_deinit(&world->fabric.board->channels);
    board_init(world->fabric.board);
}

/* A board that is closed leaves what is there to the end. */
static void test_closed_board(void **state) {
    struct world *world = *state;
    for (uint32_t i = 0; i < CLIENTS; i++) join(world, i, CHANNEL_PLAIN, "a");
    assert_true(board_enter(world->fabric.board));
    baton_close(&world->fabric.board->baton);
    for (uint32_t i = 0; i < CLIENTS; i++) audience_end(shard_of(world, i), &world->clients[i]);
    assert_int_equal(find(world, CHANNEL_PLAIN, "a")->count, CLIENTS);
    channels_deinit(&world->fabric.board->channels);
    board_init(world->fabric.board);
}

/* ---- Messages --------------------------------------------------------------------------------------- */

static void test_message(void **state) {
    struct world *world = *state;
    join(world, 0, CHANNEL_PLAIN, "chan");
    join(world, 1, CHANNEL_PATTERN, "c*");
    join(world, 2, CHANNEL_PATTERN, "c*");
    join(world, 2, CHANNEL_PLAIN, "chan");
    join(world, 3, CHANNEL_SHARD, "chan");
    assert_int_equal(publish(world, CHANNEL_PLAIN, "chan", text("body")), 4);
    drain(world);
    assert_told(world, 0, "*3\r\n$7\r\nmessage\r\n$4\r\nchan\r\n$4\r\nbody\r\n");
    assert_told(world, 1, "*4\r\n$8\r\npmessage\r\n$2\r\nc*\r\n$4\r\nchan\r\n$4\r\nbody\r\n");
    assert_told(world, 2,
                ">3\r\n$7\r\nmessage\r\n$4\r\nchan\r\n$4\r\nbody\r\n"
                ">4\r\n$8\r\npmessage\r\n$2\r\nc*\r\n$4\r\nchan\r\n$4\r\nbody\r\n");
    assert_told(world, 3, "");
    assert_int_equal(publish(world, CHANNEL_SHARD, "chan", text("")), 1);
    drain(world);
    assert_told(world, 3, ">3\r\n$8\r\nsmessage\r\n$4\r\nchan\r\n$0\r\n\r\n");
    assert_int_equal(publish(world, CHANNEL_PLAIN, "other", text("body")), 0);
    assert_int_equal(publish(world, CHANNEL_SHARD, "other", text("body")), 0);
    drain(world);
    for (uint32_t i = 0; i < CLIENTS; i++) assert_told(world, i, "");
}

static void test_many_patterns(void **state) {
    struct world *world = *state;
    char name[16];
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "%.*s*%d", i % 3, "cha", i);
        join(world, (uint32_t)i % CLIENTS, CHANNEL_PATTERN, name);
        memcpy(name, "*", 2);
        join(world, (uint32_t)i % CLIENTS, CHANNEL_PATTERN, name);
    }
    assert_int_equal(publish(world, CHANNEL_PLAIN, "channel7", text("x")), CLIENTS + 1);
    drain(world);
}

/* Small and large bodies, each allocation refused in turn: an error, and nothing leaves. */
static void test_refused_message(void **state) {
    struct world *world = *state;
    static char large[100000];
    join(world, 0, CHANNEL_PLAIN, "chan");
    for (uint32_t i = 1; i < CLIENTS; i++) join(world, i, CHANNEL_PATTERN, "c*");
    for (uint32_t size = 4; size <= sizeof large; size += sizeof large - 4) {
        for (uint32_t at = 1;; at++) {
            mem_fail_after(at);
            uint64_t count = publish(world, CHANNEL_PLAIN, "chan", bytes_of(large, size));
            mem_fail_after(0);
            if (count == CLIENTS) break;
            assert_true(count == PUBLISH_NO_MEMORY);
            for (uint32_t i = 0; i < SHARDS; i++)
                assert_false(board_has_posts(&world->fabric.board->boxes[i]));
        }
        drain(world);
    }
    assert_true(reply_pending_bytes(&world->clients[1].output) > sizeof large);
}

/* A shard that takes nothing loses those who listen there, and nobody else. */
static void test_full_letterbox(void **state) {
    struct world *world = *state;
    struct shard *stuck = world->shards[1];
    struct connection *connections[3] = {&world->clients[1], &world->clients[3], NULL};
    stuck->io.connections = connections;
    stuck->io.connection_capacity = 3;
    join(world, 0, CHANNEL_PLAIN, "chan");
    join(world, 1, CHANNEL_PLAIN, "chan");
    struct letterbox *box = &world->fabric.board->boxes[1];
    atomic_store_relaxed(&box->waiting, BOARD_POSTS_MAX - 1);
    assert_int_equal(publish(world, CHANNEL_PLAIN, "chan", text("last")), 2);
    assert_int_equal(atomic_load_relaxed(&box->given_up), 0);
    assert_int_equal(publish(world, CHANNEL_PLAIN, "chan", text("lost")), 2);
    assert_int_equal(atomic_load_relaxed(&box->given_up), 1);
    drain(world);
    assert_int_equal(atomic_load_relaxed(&box->given_up), 0);
    assert_true(world->clients[1].drowned);
    assert_false(world->clients[0].drowned || world->clients[3].drowned);
    assert_told(world, 1, "");
    assert_told(world, 0,
                "*3\r\n$7\r\nmessage\r\n$4\r\nchan\r\n$4\r\nlast\r\n"
                "*3\r\n$7\r\nmessage\r\n$4\r\nchan\r\n$4\r\nlost\r\n");
    stuck->io.connections = NULL;
    stuck->io.connection_capacity = 0;
}

/* Who does not read is told no more from its limit on. */
static void test_output_limit(void **state) {
    struct world *world = *state;
    world->shards[0]->io.limits.output[LIMIT_PUBSUB].hard_bytes = 1000;
    join(world, 0, CHANNEL_PLAIN, "chan");
    join(world, 1, CHANNEL_PLAIN, "chan");
    for (int i = 0; i < 100; i++) publish(world, CHANNEL_PLAIN, "chan", text("0123456789"));
    drain(world);
    assert_true(world->clients[0].drowned);
    assert_true(reply_pending_bytes(&world->clients[0].output) < 1100);
    assert_false(world->clients[1].drowned);
    assert_true(reply_pending_bytes(&world->clients[1].output) > 4000);
}

/* What a turn delivers in the middle of a call may end a client: the turn has the board, and nobody waits for it. */
static void test_ends_while_the_turn_has_the_board(void **state) {
    struct world *world = *state;
    struct shard *shard = world->shards[0];
    struct monitors *monitors = &world->fabric.board->monitors;
    join(world, 0, CHANNEL_PLAIN, "chan");
    world->clients[2].client.listens = LISTENS_MONITOR;
    shard->io.monitors.first = &world->clients[2];
    monitors->counts[0] = 1;
    atomic_store_relaxed(&monitors->shards, shard->own);
    shard->held = shard->own;
    board_take(shard);
    audience_end(shard, &world->clients[0]);
    monitor_end(shard, &world->clients[2]);
    assert_true(shard->data.outcomes.has_board);
    board_leave(shard);
    shard->held = 0;
    assert_int_equal(world->fabric.board->channels.clients, 0);
    assert_int_equal(atomic_load_relaxed(&monitors->shards), 0);
    assert_null(shard->io.monitors.first);
    assert_true(baton_try(&world->fabric.board->baton));
    baton_drop(&world->fabric.board->baton);
}

static void test_discarded(void **state) {
    struct world *world = *state;
    for (uint32_t i = 0; i < CLIENTS; i++) join(world, i, CHANNEL_PLAIN, "chan");
    for (int i = 0; i < 10; i++) publish(world, CHANNEL_PLAIN, "chan", text("body"));
    board_drain(world->shards[0]); /* the other letters are the end's */
}

#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, world_open, world_close)

int main(void) {
    const struct CMUnitTest tests[] = {
        WORLD_TEST(test_one_of_each),    WORLD_TEST(test_refused_subscription),
        WORLD_TEST(test_churn),          WORLD_TEST(test_many_channels_of_one_client),
        WORLD_TEST(test_killed),         WORLD_TEST(test_killed_at_the_end),
        WORLD_TEST(test_closed_board),   WORLD_TEST(test_message),
        WORLD_TEST(test_many_patterns),  WORLD_TEST(test_refused_message),
        WORLD_TEST(test_full_letterbox), WORLD_TEST(test_output_limit),
        WORLD_TEST(test_discarded),      WORLD_TEST(test_ends_while_the_turn_has_the_board),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
