/* Tables of what clients cache: what is remembered is told once, and nothing is lost where memory is refused.
 *
 * The tables, trackers and prefixes of a fabric of a few shards that has no threads: the test holds all batons, is every client,
 * and finds in the letterboxes what would be delivered.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shard/board/tracking_internal.h"

enum { SHARDS = 3, CLIENTS = 4, FAILURES_MAX = 60 };

struct world {
    struct fabric fabric;
    struct shard shards[SHARDS];
    struct shard *shard_list[SHARDS];
    struct keyspace *keyspaces[SHARDS];
    struct baton batons[SHARDS];
    struct board board;
    struct connection clients[CLIENTS];
    struct effect_sink sink;
    struct mem_account account;
    struct reply_pool pool; /* has a chunk, so that answers need no memory */
    char told[1 << 16];     /* by the posts that were in the letterboxes */
};

static struct world *world;

static int64_t standing_clock(void *context) {
    (void)context;
    return 1000000;
}

static void init_shard(uint32_t index) {
    struct shard *shard = &world->shards[index];
    shard->fabric = &world->fabric;
    shard->index = index;
    shard->own = UINT64_C(1) << index;
    shard->baton = &world->batons[index];
    shard->data.effects.sink = &world->sink;
    shard->inbox.wake_fd = -1;
    assert_int_equal(inbox_init(&shard->inbox), 0);
    assert_true(keyspace_init(&shard->data.keyspace, index, 16, index + 1,
                              &world->fabric.domain.hash_seed));
    world->shard_list[index] = shard;
    world->keyspaces[index] = &shard->data.keyspace;
}

static void init_client(uint32_t index) {
    struct client *client = &world->clients[index].client;
    client->fabric = &world->fabric;
    client->card = calloc(1, sizeof *client->card);
    client->proto = 3;
    client->card->shard = index % SHARDS;
    client->card->fd = (int)index;
    world->clients[index].index = index;
    world->clients[index].generation = 1;
    atomic_store_relaxed(&client->card->references, 1);
    atomic_store_relaxed(&client->card->proto, 3);
    registry_add(&world->fabric.registry, client->card);
    client_place(client, index, 1);
}

static void fill_pool(void) {
    struct reply reply;
    reply_pool_init(&world->pool, &world->account, 4);
    reply_init(&reply, &world->pool, 3);
    reply_ok(&reply);
    reply_clear(&reply);
    assert_int_equal(world->pool.count, 1);
}

static int setup(void **state) {
    (void)state;
    world = calloc(1, sizeof *world);
    struct fabric *fabric = &world->fabric;
    fabric->settings.shard_count = fabric->domain.shard_count = SHARDS;
    fabric->settings.database_count = fabric->domain.database_count = 16;
    fabric->domain.hash_seed = (struct hash_seed){.a = 1, .b = 2};
    fabric->domain.clock_ms = standing_clock;
    fabric->domain.keyspaces = fabric->keyspaces = world->keyspaces;
    fabric->shards = world->shard_list;
    fabric->batons = world->batons;
    fabric->board = &world->board;
    board_init(&world->board);
    registry_init(&fabric->registry);
    world->sink = outcomes_sink();
    fill_pool();
    for (uint32_t i = 0; i < SHARDS; i++) init_shard(i);
    for (uint32_t i = 0; i < CLIENTS; i++) init_client(i);
    return 0;
}

static void drop_letters(void) {
    for (uint32_t i = 0; i < SHARDS; i++) board_discard(&world->board, i);
}

static int teardown(void **state) {
    (void)state;
    for (uint32_t i = 0; i < CLIENTS; i++) {
        struct client *client = &world->clients[i].client;
        tracking_off(client, NULL);
        client_deinit(client);
    }
    drop_letters();
    for (uint32_t i = 0; i < SHARDS; i++) departures_end(&world->shards[i]);
    tracking_deinit(&world->fabric);
    for (uint32_t i = 0; i < SHARDS; i++) {
        keyspace_deinit(&world->shards[i].data.keyspace);
        inbox_deinit(&world->shards[i].inbox);
    }
    registry_deinit(&world->fabric.registry);
    reply_pool_deinit(&world->pool);
    free(world);
    return 0;
}

/* ---- Calls --------------------------------------------------------------------------------------- */

enum { WORDS_MAX = 32 };

struct line {
    char text[1024];
    struct bytes argv[WORDS_MAX];
    struct reply reply;
    struct call call;
};

static struct shard *home_of(int client) {
    return &world->shards[client < 0 ? 0 : client % SHARDS];
}

/* `client` -1: somebody who does not track. */
static struct call *begin(struct line *line, int client, const char *text) {
    uint32_t argc = 0;
    char *rest;
    (void)snprintf(line->text, sizeof line->text, "%s", text);
    for (char *word = strtok_r(line->text, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        line->argv[argc++] = bytes_of(word, strlen(word));
    reply_init(&line->reply, &world->pool, 3);
    line->call = (struct call){
        .command = command_find(line->argv, argc),
        .argv = line->argv,
        .argc = argc,
        .reply = &line->reply,
        .client = client < 0 ? NULL : &world->clients[client].client,
        .domain = &world->fabric.domain,
        .effects = &home_of(client)->data.effects,
    };
    return &line->call;
}

static bool end(struct line *line, int client) {
    bool answered = !line->reply.failed && line->reply.errors == 0;
    if (home_of(client)->data.outcomes.pending) outcomes_finish(home_of(client));
    reply_clear(&line->reply);
    return answered;
}

static bool track(int client, const char *options) {
    struct line line;
    char text[256];
    (void)snprintf(text, sizeof text, "CLIENT TRACKING ON %s", options);
    struct call *call = begin(&line, client, text);
    call->command->handler(call);
    return end(&line, client);
}

static bool look(int client, const char *text) {
    struct line line;
    tracking_remember(begin(&line, client, text), world->clients[client].client.tracker);
    return end(&line, client);
}

/* The keys change in one call. */
static void change(int client, const char *keys) {
    struct line line;
    char text[512];
    (void)snprintf(text, sizeof text, "TOUCH %s", keys);
    struct call *call = begin(&line, client, text);
    for (uint32_t i = 1; i < call->argc; i++) {
        struct key_place place = keyspace_for(call, i);
        if (place.keyspace->wanted & EFFECT_TOUCH) call->effects->sink->touch(call, &place);
    }
    (void)end(&line, client);
}

/* ---- Letters --------------------------------------------------------------------------------------- */

static void note(const char *format, uint32_t client, struct bytes what) {
    size_t used = strlen(world->told);
    (void)snprintf(world->told + used, sizeof world->told - used, format, client, (int)what.len,
                   what.at);
}

struct letter {
    struct invalidation out;
    union {
        struct blob *keys;
        struct {
            struct tracker *tracker;
            struct tracked_key *key;
        } item;
    };
};

/* Items first in the order of their keys, then what is told of prefixes; all of one shard after the other. */
static void read_letter(struct post *post) {
    const struct letter *letter = (const struct letter *)post;
    if (letter->out.broadcast) note("%u<%.*s> ", letter->out.connection, blob_bytes(letter->keys));
    else
        note("%u:%.*s ", letter->out.connection,
             bytes_of(letter->item.key->bytes, letter->item.key->len));
}

static const char *told(void) {
    world->told[0] = 0;
    for (uint32_t i = 0; i < SHARDS; i++) {
        struct post *post = atomic_swap_seq_cst(&world->board.boxes[i].posts, NULL), *oldest = NULL;
        for (struct post *next; post; post = next) {
            next = post->next;
            post->next = oldest;
            oldest = post;
        }
        for (struct post *next; oldest; oldest = next) {
            next = oldest->next;
            read_letter(oldest);
            oldest->discard(oldest);
        }
    }
    return world->told;
}

static void assert_counts(uint64_t keys, uint64_t items) {
    const struct tracking *tracking = &world->fabric.tracking;
    uint64_t in_keys = 0, in_items = 0;
    for (uint32_t i = 0; i < SHARDS; i++) {
        const struct shard *shard = &world->shards[i];
        in_keys += shard->data.tracked.keys.count;
        in_items += shard->data.tracked.items.count;
        bool wanted = shard->data.tracked.keys.count || tracking->prefixes;
        assert_int_equal(shard->data.keyspace.wanted, wanted ? EFFECT_TOUCH : 0);
    }
    assert_int_equal(atomic_load_relaxed(&tracking->keys), keys);
    assert_int_equal(atomic_load_relaxed(&tracking->items), items);
    assert_int_equal(in_keys, keys);
    assert_int_equal(in_items, items);
}

/* ---- Tests ---------------------------------------------------------------------------------------- */

static void keys_are_told_of_once(void **state) {
    (void)state;
    assert_true(track(0, ""));
    assert_true(track(1, "NOLOOP"));
    assert_true(look(0, "MGET a b c a"));
    assert_true(look(0, "GET a"));
    assert_true(look(1, "MGET a d"));
    assert_counts(4, 5);
    change(-1, "a e");
    assert_string_equal(told(), "0:a 1:a ");
    assert_counts(3, 3);
    change(-1, "a");
    assert_string_equal(told(), "");
    change(1, "b d");
    assert_string_equal(told(), "0:b ");
    change(0, "c");
    assert_string_equal(told(), "0:c ");
    assert_counts(0, 0);
}

static void who_has_left_is_not_told(void **state) {
    (void)state;
    assert_true(track(0, ""));
    assert_true(track(1, ""));
    assert_true(look(0, "MGET a b"));
    assert_true(look(1, "MGET a b"));
    tracking_off(&world->clients[0].client, NULL);
    assert_counts(2, 4);
    change(-1, "a");
    assert_string_equal(told(), "1:a ");
    assert_true(track(0, ""));
    change(-1, "b");
    assert_true(strstr(told(), "0:b ") != NULL);
    assert_counts(0, 0);
}

static void the_limit_is_of_all_shards(void **state) {
    (void)state;
    world->fabric.settings.tracking_keys = 20;
    assert_true(track(0, ""));
    uint32_t given_up = 0;
    for (int i = 0; i < 500; i++) {
        char text[32];
        (void)snprintf(text, sizeof text, "GET key:%d", i);
        assert_true(look(0, text));
        for (const char *at = told(); (at = strchr(at, ' ')); at++) given_up++;
        assert_true(atomic_load_relaxed(&world->fabric.tracking.keys) <= 20);
    }
    assert_int_equal(given_up, 480);
    assert_counts(20, 20);
}

static void flushes_empty_the_tables(void **state) {
    (void)state;
    struct line line;
    assert_true(track(0, ""));
    assert_true(look(0, "MGET a b c d e"));
    tracking_flush(begin(&line, -1, "FLUSHALL"));
    (void)end(&line, -1);
    assert_counts(0, 0);
    assert_true(board_has_posts(&world->board.boxes[0]));
    drop_letters();
}

static void prefixes_are_told_in_order(void **state) {
    (void)state;
    assert_true(track(0, "BCAST PREFIX a PREFIX b"));
    assert_true(track(1, "BCAST PREFIX a NOLOOP"));
    change(1, "b2 a3 c a1 b1 a3");
    assert_string_equal(told(),
                        "0<*2\r\n$2\r\na1\r\n$2\r\na3\r\n> 0<*2\r\n$2\r\nb1\r\n$2\r\nb2\r\n> ");
    change(-1, "a1 b");
    assert_string_equal(told(),
                        "0<*1\r\n$2\r\na1\r\n> 0<*1\r\n$1\r\nb\r\n> 1<*1\r\n$2\r\na1\r\n> ");
    assert_int_equal(atomic_load_relaxed(&world->fabric.tracking.interests), 2);
    tracking_off(&world->clients[0].client, NULL);
    assert_int_equal(atomic_load_relaxed(&world->fabric.tracking.interests), 1);
    change(-1, "b1");
    assert_string_equal(told(), "");
    tracking_off(&world->clients[1].client, NULL);
    for (uint32_t i = 0; i < SHARDS; i++) departures_end(&world->shards[i]);
    assert_null(world->fabric.tracking.prefixes);
    assert_counts(0, 0);
}

/* What sorts runs of every length, with repetitions. */
static void many_keys_are_sorted(void **state) {
    (void)state;
    struct random_state random;
    random_seed(&random, 5);
    assert_true(track(0, "BCAST"));
    for (int round = 0; round < 50; round++) {
        char keys[256] = "", expected[1024] = "";
        bool there[10] = {false};
        uint32_t count = 1 + random_next(&random) % 30, different = 0;
        for (uint32_t i = 0; i < count; i++) {
            uint32_t key = random_next(&random) % 10;
            different += !there[key];
            there[key] = true;
            (void)snprintf(keys + strlen(keys), sizeof keys - strlen(keys), "k%u ", key);
        }
        (void)snprintf(expected, sizeof expected, "0<*%u\r\n", different);
        for (uint32_t i = 0; i < 10; i++)
            if (there[i])
                (void)snprintf(expected + strlen(expected), sizeof expected - strlen(expected),
                               "$2\r\nk%u\r\n", i);
        (void)strcat(expected, "> ");
        change(-1, keys);
        assert_string_equal(told(), expected);
    }
}

/* ---- Memory ---------------------------------------------------------------------------------------- */

/* A read that is answered is remembered. */
static void reads_are_refused_or_remembered(void **state) {
    (void)state;
    assert_true(track(0, ""));
    for (long failing = 1;; failing++) {
        assert_true(failing < FAILURES_MAX);
        mem_fail_after(failing);
        bool answered = look(0, "MGET a b c d");
        mem_fail_after(0);
        uint64_t keys = atomic_load_relaxed(&world->fabric.tracking.keys);
        assert_counts(keys, keys);
        if (answered) break;
        assert_true(keys < 4);
    }
    assert_counts(4, 4);
    mem_fail_after(1); /* no memory is needed to tell */
    change(-1, "d c b a");
    mem_fail_after(0);
    const char *text = told();
    assert_int_equal(strlen(text), 16);
    assert_counts(0, 0);
}

/* A second client of keys that are there. */
static void items_are_refused_or_remembered(void **state) {
    (void)state;
    assert_true(track(0, ""));
    assert_true(track(1, ""));
    assert_true(look(0, "GET a"));
    long failing = 1;
    for (;; failing++) {
        mem_fail_after(failing);
        bool answered = look(1, "GET a");
        mem_fail_after(0);
        if (answered) break;
        assert_counts(1, 1);
    }
    assert_true(failing > 1);
    assert_counts(1, 2);
}

static void modes_begin_whole_or_not_at_all(void **state) {
    (void)state;
    assert_true(track(1, "BCAST PREFIX b"));
    const struct tracking *tracking = &world->fabric.tracking;
    long failing = 1;
    for (;; failing++) {
        assert_true(failing < FAILURES_MAX);
        mem_fail_after(failing);
        bool answered = track(0, "BCAST PREFIX a PREFIX b PREFIX c REDIRECT 3");
        mem_fail_after(0);
        if (answered) break;
        const struct tracker *tracker = world->clients[0].client.tracker;
        assert_true(!tracker || (!tracker->flags && !tracker->first && !tracker->redirect));
        assert_int_equal(atomic_load_relaxed(&tracking->interests), 1);
        assert_null(tracking->prefixes->next);
        assert_int_equal(atomic_load_relaxed(&tracking->clients), 1);
    }
    assert_true(failing > 7);
    assert_int_equal(atomic_load_relaxed(&tracking->interests), 3);
    drop_letters(); /* the one that makes the third client listen */
}

static bool is_doomed(int client) {
    return atomic_load_relaxed(&world->clients[client].client.card->doomed);
}

/* Who cannot be told is closed; others are not. */
static void broadcasts_are_told_or_end_the_client(void **state) {
    (void)state;
    assert_true(track(0, "BCAST PREFIX a"));
    assert_true(track(1, "BCAST PREFIX a NOLOOP"));
    assert_true(track(2, ""));
    long failing = 1;
    for (;; failing++) {
        assert_true(failing < FAILURES_MAX);
        mem_fail_after(failing);
        change(-1, "a1 a2");
        mem_fail_after(0);
        const char *text = told();
        bool all = strstr(text, "0<*2") && strstr(text, "1<*2");
        assert_true(all || is_doomed(0) || is_doomed(1));
        assert_true(strstr(text, "0<*2") || is_doomed(0));
        assert_true(strstr(text, "1<*2") || is_doomed(1));
        assert_false(is_doomed(2));
        if (!is_doomed(0) && !is_doomed(1)) break;
        atomic_store_relaxed(&world->clients[0].client.card->doomed, 0);
        atomic_store_relaxed(&world->clients[1].client.card->doomed, 0);
    }
    assert_true(failing > 4);
}

static void flushes_are_told_or_end_the_client(void **state) {
    (void)state;
    assert_true(track(0, ""));
    for (long failing = 1; failing < 8; failing++) {
        struct line line;
        assert_true(look(0, "MGET a b"));
        mem_fail_after(failing);
        tracking_flush(begin(&line, -1, "FLUSHALL"));
        (void)end(&line, -1);
        mem_fail_after(0);
        assert_true(board_has_posts(&world->board.boxes[0]) || is_doomed(0));
        assert_counts(0, 0);
        drop_letters();
        atomic_store_relaxed(&world->clients[0].client.card->doomed, 0);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    client_tracking_bind();
    const struct CMUnitTest tests[] = {
        TEST(keys_are_told_of_once),
        TEST(who_has_left_is_not_told),
        TEST(the_limit_is_of_all_shards),
        TEST(flushes_empty_the_tables),
        TEST(prefixes_are_told_in_order),
        TEST(many_keys_are_sorted),
        TEST(reads_are_refused_or_remembered),
        TEST(items_are_refused_or_remembered),
        TEST(modes_begin_whole_or_not_at_all),
        TEST(broadcasts_are_told_or_end_the_client),
        TEST(flushes_are_told_or_end_the_client),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
