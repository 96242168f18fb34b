/* Pipelines in process: results, which batons they take, who comes between, and what refused memory and stops leave. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "kevyrt/servers.h"
#include "plat/futex.h"
#include "server/server.h"
#include "shard/shard.h"

enum { LINES_MAX = 400, PIPED_WORDS = 4 * LINES_MAX, TEXT_MAX = 16384, REFUSALS_MAX = 60 };

/* Commands in one text: words separated by blanks, lines by '|'. */
struct script {
    char text[TEXT_MAX];
    struct bytes words[PIPED_WORDS];
    struct kevyrt_line lines[LINES_MAX];
    uint32_t count;
};

static void script_make(struct script *script, const char *text) {
    char *rest_of_lines, *rest;
    uint32_t words = 0;
    script->count = 0;
    (void)snprintf(script->text, sizeof script->text, "%s", text);
    for (char *line = strtok_r(script->text, "|", &rest_of_lines); line;
         line = strtok_r(NULL, "|", &rest_of_lines)) {
        uint32_t first = words;
        for (char *word = strtok_r(line, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
            assert_true(words < PIPED_WORDS);
            script->words[words++] = bytes_of(word, strlen(word));
        }
        assert_true(script->count < LINES_MAX);
        bool known = script->count % 2; /* either way */
        script->lines[script->count++] = (struct kevyrt_line){
            known ? kevyrt_command_find(&script->words[first], words - first) : NULL,
            words - first};
    }
}

static struct kevyrt_pipeline *open_in(struct kevyrt_server *server, struct kevyrt_session *session,
                                       const struct script *script, bool atomic) {
    struct kevyrt_pipeline *pipeline;
    assert_int_equal(kevyrt_pipeline_new(server, session, 0, script->words, script->lines,
                                         script->count, atomic, &pipeline),
                     KEVYRT_OK);
    return pipeline;
}

static void assert_answers_are(struct kevyrt_pipeline *pipeline, const char *expected) {
    struct kevyrt_answers answers;
    assert_true(kevyrt_pipeline_answers(pipeline, &answers));
    if (answers.len != strlen(expected) || memcmp(answers.at, expected, answers.len) != 0)
        fail_msg("\n%.*s is not\n%s", (int)answers.len, answers.at, expected);
}

static uint32_t refused_of(struct kevyrt_pipeline *pipeline) {
    struct kevyrt_answers answers;
    assert_true(kevyrt_pipeline_answers(pipeline, &answers));
    return answers.refused;
}

static void assert_piped_in(struct kevyrt_server *server, struct kevyrt_session *session,
                            const char *text, bool atomic, const char *expected) {
    static struct script script;
    script_make(&script, text);
    struct kevyrt_pipeline *pipeline = open_in(server, session, &script, atomic);
    assert_int_equal(kevyrt_pipeline_run(pipeline, KEVYRT_WAIT), KEVYRT_OK);
    assert_answers_are(pipeline, expected);
    kevyrt_pipeline_put(pipeline);
}

static void assert_piped(struct kevyrt_server *server, const char *text, bool atomic,
                         const char *expected) {
    assert_piped_in(server, NULL, text, atomic, expected);
}

/* ---- Results ------------------------------------------------------------------------------------ */

static void answer_plainly(struct kevyrt_server *server) {
    assert_piped(server, "SET a 1|INCR a|GET a|NONSENSE|GET|LPUSH a x|BLPOP none 0|MGET a b", false,
                 "+OK\r\n:2\r\n$1\r\n2\r\n"
                 "-ERR unknown command 'NONSENSE', with args beginning with: \r\n"
                 "-ERR wrong number of arguments for 'get' command\r\n"
                 "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
                 "_\r\n*2\r\n$1\r\n2\r\n_\r\n");
    assert_piped(server, "MULTI|SELECT 1|SORT l BY w_*|PING", false,
                 "-ERR 'multi' needs a connection: use a session\r\n"
                 "-ERR 'select' needs a connection: use a session\r\n*0\r\n+PONG\r\n");
}

static void answer_at_once(struct kevyrt_server *server) {
    assert_piped(server, "SET a 1|INCR a|GET a|LPUSH a x|BLPOP none 0|SELECT 1|GET a|SORT l BY w_*",
                 true,
                 "*8\r\n+OK\r\n:2\r\n$1\r\n2\r\n"
                 "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
                 "_\r\n+OK\r\n_\r\n*0\r\n");
    assert_call(server, "GET a", "$1\r\n2\r\n");
}

/* The first one that could not be queued is told, and nothing runs. */
static void refuse_to_queue(struct kevyrt_server *server) {
    static const struct {
        const char *text, *reply;
    } cases[] = {
        {"SET b 1|GET|NONSENSE", "-ERR wrong number of arguments for 'get' command\r\n"},
        {"SET b 1|NONSENSE x|GET",
         "-ERR unknown command 'NONSENSE', with args beginning with: 'x' \r\n"},
        {"SET b 1|EXEC|SET b 2", "-ERR Command not allowed inside a transaction\r\n"},
        {"SET b 1|WATCH b", "-ERR Command not allowed inside a transaction\r\n"},
        {"SET b 1|RESET", "-ERR Command not allowed inside a transaction\r\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        static struct script script;
        script_make(&script, cases[i].text);
        struct kevyrt_pipeline *pipeline = open_in(server, NULL, &script, true);
        assert_int_equal(kevyrt_pipeline_run(pipeline, KEVYRT_WAIT), KEVYRT_OK);
        assert_answers_are(pipeline, cases[i].reply);
        assert_int_equal(refused_of(pipeline), 1);
        kevyrt_pipeline_put(pipeline);
        assert_call(server, "EXISTS b", ":0\r\n");
    }
}

static void test_results(void **state) {
    (void)state;
    for_each_variant(answer_plainly);
    for_each_variant(answer_at_once);
    for_each_variant(refuse_to_queue);
}

/* More than one slice, on every shard. */
static void pipe_many(struct kevyrt_server *server, bool atomic) {
    char text[TEXT_MAX] = "", expected[TEXT_MAX] = "";
    size_t at = 0, end = 0;
    if (atomic) end += (size_t)sprintf(expected, "*300\r\n");
    for (int i = 0; i < 150; i++) {
        at += (size_t)sprintf(text + at, "SET key:%d %d|STRLEN key:%d|", i, i, i / 2);
        end += (size_t)sprintf(expected + end, "+OK\r\n:%d\r\n", i / 2 < 10 ? 1 : 2);
    }
    assert_piped(server, text, atomic, expected);
}

static void pipe_many_either_way(struct kevyrt_server *server) {
    pipe_many(server, false);
    pipe_many(server, true);
    assert_call(server, "DBSIZE", ":150\r\n");
}

static void test_many_commands(void **state) {
    (void)state;
    for_each_variant(pipe_many_either_way);
}

/* ---- Sessions ----------------------------------------------------------------------------------- */

static void share_a_session(struct kevyrt_server *server) {
    struct kevyrt_session *session = kevyrt_session_new(server);
    assert_piped_in(server, session, "SELECT 3|SET k three", false, "+OK\r\n+OK\r\n");
    assert_piped_in(server, session, "GET k|SELECT 0", true, "*2\r\n$5\r\nthree\r\n+OK\r\n");
    assert_piped_in(server, session, "GET k|WATCH w", false, "_\r\n+OK\r\n");
    assert_call(server, "SET w 1", "+OK\r\n");
    assert_piped_in(server, session, "SET k x", true, "_\r\n");
    assert_piped_in(server, session, "SET k x", true, "*1\r\n+OK\r\n");
    assert_piped_in(server, session, "MULTI|GET k|EXEC|GET k|MULTI|GET k", false,
                    "+OK\r\n+QUEUED\r\n*1\r\n$1\r\nx\r\n$1\r\nx\r\n+OK\r\n+QUEUED\r\n");
    assert_piped_in(server, session, "SET k y", true, "-ERR MULTI calls can not be nested\r\n");
    assert_piped_in(server, session, "EXEC", false, "*1\r\n$1\r\nx\r\n");
    kevyrt_session_put(session);
}

static void select_a_database(struct kevyrt_server *server) {
    struct kevyrt_session *session = kevyrt_session_new(server);
    assert_true(kevyrt_session_select(session, 3));
    assert_false(kevyrt_session_select(session, 99));
    assert_piped_in(server, session, "SET selected 3", true, "*1\r\n+OK\r\n");
    assert_call(server, "EXISTS selected", ":0\r\n");
    assert_true(kevyrt_session_select(session, 0));
    assert_piped_in(server, session, "EXISTS selected|SELECT 3|GET selected", false,
                    ":0\r\n+OK\r\n$1\r\n3\r\n");
    kevyrt_session_put(session);
}

static void test_sessions(void **state) {
    (void)state;
    for_each_variant(share_a_session);
    for_each_variant(select_a_database);
}

/* ---- Batons ------------------------------------------------------------------------------------- */

static uint64_t bit_of(struct kevyrt_server *server, const char *key) {
    uint64_t hash = hash_bytes(&server->fabric.domain.hash_seed, key, strlen(key));
    return UINT64_C(1) << hash_shard(hash, server->fabric.settings.shard_count);
}

static void find_key_on(struct kevyrt_server *server, uint32_t shard, char key[16]) {
    int n = 0;
    do (void)snprintf(key, 16, "key:%d", n++);
    while (bit_of(server, key) != UINT64_C(1) << shard);
}

static void occupy(struct kevyrt_server *server, uint64_t mask) {
    assert_int_equal(baton_set_take(&server->fabric.set, mask, FUTEX_NO_DEADLINE), BATON_TAKEN);
}

static void vacate(struct kevyrt_server *server, uint64_t mask) {
    baton_set_drop(&server->fabric.set, mask);
}

/* 64 commands on one shard, then one on another, which is occupied: it goes on from there. */
static void stop_and_go_on(struct kevyrt_server *server, bool atomic) {
    char text[TEXT_MAX] = "", mine[16], other[16];
    static struct script script;
    if (server->fabric.settings.shard_count == 1) return;
    assert_call(server, "FLUSHALL", "+OK\r\n");
    find_key_on(server, 0, mine);
    find_key_on(server, 1, other);
    for (int i = 0; i < SLICE_COMMANDS; i++) (void)sprintf(text + strlen(text), "INCR %s|", mine);
    (void)sprintf(text + strlen(text), "INCR %s", other);
    script_make(&script, text);
    occupy(server, 2);
    struct kevyrt_pipeline *pipeline = open_in(server, NULL, &script, atomic);
    enum kevyrt_status status;
    for (int i = 0; i < 3; i++) { /* shard 0's own thread may be there as well */
        status = kevyrt_pipeline_run(pipeline, KEVYRT_TRY);
        assert_int_equal(status, KEVYRT_WOULD_WAIT);
        if (atomic) assert_false(kevyrt_pipeline_has_begun(pipeline));
    }
    vacate(server, 2);
    assert_int_equal(kevyrt_pipeline_run(pipeline, KEVYRT_WAIT_BATONS), KEVYRT_OK);
    assert_true(kevyrt_pipeline_has_begun(pipeline));
    struct kevyrt_answers answers;
    assert_true(kevyrt_pipeline_answers(pipeline, &answers));
    assert_memory_equal(answers.at + answers.len - 9, ":64\r\n:1\r\n", 9);
    kevyrt_pipeline_put(pipeline);
    (void)snprintf(text, sizeof text, "MGET %s %s", mine, other);
    assert_call(server, text, "*2\r\n$2\r\n64\r\n$1\r\n1\r\n");
}

static void stop_and_go_on_either_way(struct kevyrt_server *server) {
    stop_and_go_on(server, false);
    stop_and_go_on(server, true);
}

/* Nothing of an atomic one has happened; its session is as before. */
static void give_up(struct kevyrt_server *server) {
    static struct script script;
    struct kevyrt_session *session = kevyrt_session_new(server);
    uint64_t all = fabric_all(&server->fabric);
    script_make(&script, "SET a 1|SET b 1|SET c 1");
    for (int i = 0; i < 2; i++) {
        occupy(server, i == 0 ? all : bit_of(server, "a"));
        struct kevyrt_pipeline *pipeline = open_in(server, i ? session : NULL, &script, true);
        assert_int_equal(kevyrt_pipeline_run(pipeline, KEVYRT_TRY), KEVYRT_WOULD_WAIT);
        assert_false(kevyrt_pipeline_has_begun(pipeline));
        kevyrt_pipeline_put(pipeline);
        vacate(server, i == 0 ? all : bit_of(server, "a"));
    }
    assert_piped_in(server, session, "EXISTS a b c", false, ":0\r\n");
    assert_piped_in(server, session, "EXEC", false, "-ERR EXEC without MULTI\r\n");
    kevyrt_session_put(session);
}

static void test_who_may_not_wait(void **state) {
    (void)state;
    for_each_variant(stop_and_go_on_either_way);
    for_each_variant(give_up);
}

/* ---- Who waits ---------------------------------------------------------------------------------- */

static struct kevyrt_waiting *block(struct kevyrt_server *server, const char *key,
                                    const char *target) {
    struct kevyrt_reply reply;
    struct bytes argv[] = {
        BYTES_LITERAL("BLMOVE"), bytes_of(key, strlen(key)), bytes_of(target, strlen(target)),
        BYTES_LITERAL("LEFT"),   BYTES_LITERAL("LEFT"),      BYTES_LITERAL("0")};
    assert_int_equal(kevyrt_call(server, NULL, 0, argv, 6, KEVYRT_WAIT, &reply), KEVYRT_BLOCKED);
    return reply.waiting;
}

/* From shard to shard: who pushes needs more than his keys. */
static void serve(struct kevyrt_server *server, bool atomic) {
    struct kevyrt_waiting *waiting[3];
    struct kevyrt_reply reply;
    assert_call(server, "FLUSHALL", "+OK\r\n");
    waiting[0] = block(server, "w1", "w2");
    waiting[1] = block(server, "w2", "w3");
    waiting[2] = block(server, "w3", "w4");
    assert_piped(server, "SET x 1|RPUSH w1 e f|LLEN w1|LRANGE w4 0 -1|LLEN w3", atomic,
                 atomic ? "*5\r\n+OK\r\n:2\r\n:2\r\n*0\r\n:0\r\n"
                        : "+OK\r\n:2\r\n:1\r\n*1\r\n$1\r\ne\r\n:0\r\n");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(kevyrt_waiting_wait(waiting[i], UINT64_MAX, &reply), KEVYRT_OK);
        assert_int_equal(reply.len, 7);
        kevyrt_reply_free(&reply);
        kevyrt_waiting_put(waiting[i]);
    }
    assert_call(server, "LRANGE w4 0 -1", "*1\r\n$1\r\ne\r\n");
}

static void serve_either_way(struct kevyrt_server *server) {
    serve(server, false);
    serve(server, true);
}

static void test_who_waits_is_served(void **state) {
    (void)state;
    for_each_variant(serve_either_way);
}

/* ---- Between others ----------------------------------------------------------------------------- */

enum { WRITERS = 3, ROUNDS = 200 };

struct crowd {
    struct kevyrt_server *server;
    bool atomic;
    atomic_u32 torn, stopped;
};

/* Writes the same number to keys of several shards, and reads them. */
static void *write_together(void *context) {
    struct crowd *crowd = context;
    struct script *script = mem_alloc(NULL, sizeof *script);
    for (int round = 0; round < ROUNDS; round++) {
        char text[200];
        (void)snprintf(text, sizeof text,
                       "MSET t:1 %d t:2 %d|SET t:3 %d|SET t:4 %d|MGET t:1 t:2 t:3 t:4", round,
                       round, round, round);
        script_make(script, text);
        struct kevyrt_pipeline *pipeline = open_in(crowd->server, NULL, script, crowd->atomic);
        enum kevyrt_status status = kevyrt_pipeline_run(pipeline, KEVYRT_WAIT);
        struct kevyrt_answers answers;
        char expected[100];
        int len = snprintf(expected, sizeof expected, "%d\r\n", round);
        if (status == KEVYRT_OK) {
            assert_true(kevyrt_pipeline_answers(pipeline, &answers));
            const char *last = answers.at + answers.len - len;
            if (crowd->atomic && memcmp(last, expected, (size_t)len) != 0)
                atomic_add_relaxed(&crowd->torn, 1);
        } else {
            assert_int_equal(status, KEVYRT_STOPPED);
            atomic_add_relaxed(&crowd->stopped, 1);
        }
        kevyrt_pipeline_put(pipeline);
    }
    mem_free(NULL, script);
    return NULL;
}

static void crowd_in(struct kevyrt_server *server, bool atomic, bool stops) {
    struct crowd crowd = {.server = server, .atomic = atomic};
    pthread_t threads[WRITERS];
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_together, &crowd), 0);
    if (stops) kevyrt_server_stop(server);
    for (int i = 0; i < WRITERS; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(atomic_load_relaxed(&crowd.torn), 0);
    if (!stops) assert_int_equal(atomic_load_relaxed(&crowd.stopped), 0);
}

static void crowd_either_way(struct kevyrt_server *server) {
    crowd_in(server, true, false);
    crowd_in(server, false, false);
}

static void stop_a_crowd(struct kevyrt_server *server) {
    crowd_in(server, true, true);
    server_start(server);
    crowd_in(server, false, true);
    server_start(server);
}

static void test_threads(void **state) {
    (void)state;
    for_each_variant(crowd_either_way);
}

static void test_stops(void **state) {
    (void)state;
    for_each_variant(stop_a_crowd);
}

/* ---- Refused memory ----------------------------------------------------------------------------- */

/* All of it, or, if it is atomic, nothing; the error says so. True: nothing was refused. */
static bool refuse(struct kevyrt_server *server, bool atomic, long allocations) {
    static struct script script;
    char reply[REPLY_MAX];
    struct kevyrt_answers answers;
    assert_call(server, "FLUSHALL", "+OK\r\n");
    script_make(&script, "SET a 1|RPUSH b 1 2 3|SET c 1|HSET d f v|GET a");
    mem_fail_after(allocations);
    struct kevyrt_pipeline *pipeline = NULL;
    enum kevyrt_status status = kevyrt_pipeline_new(server, NULL, 0, script.words, script.lines,
                                                    script.count, atomic, &pipeline);
    if (status == KEVYRT_OK) status = kevyrt_pipeline_run(pipeline, KEVYRT_WAIT);
    bool told = status == KEVYRT_OK && kevyrt_pipeline_answers(pipeline, &answers);
    mem_fail_after(0);
    const char *whole = atomic ? "*5\r\n+OK\r\n:3\r\n+OK\r\n:1\r\n$1\r\n1\r\n"
                               : "+OK\r\n:3\r\n+OK\r\n:1\r\n$1\r\n1\r\n";
    bool done = told && answers.len == strlen(whole) && memcmp(answers.at, whole, answers.len) == 0;
    bool refused = told && (memmem(answers.at, answers.len, "-OOM", 4) ||
                            memmem(answers.at, answers.len, "-EXECABORT", 10));
    assert_true(done || refused || status == KEVYRT_NO_MEMORY || (status == KEVYRT_OK && !told));
    bool aborted = told && atomic && *answers.at == '-';
    if (pipeline) kevyrt_pipeline_put(pipeline);
    assert_int_equal(call(server, "EXISTS a b c d", reply), KEVYRT_OK);
    if (done) assert_string_equal(reply, ":4\r\n");
    if (aborted) assert_string_equal(reply, ":0\r\n");
    return done;
}

static void refuse_one_by_one(struct kevyrt_server *server) {
    for (int atomic = 0; atomic < 2; atomic++) {
        long allocations = 1;
        while (!refuse(server, atomic, allocations)) assert_true(++allocations < REFUSALS_MAX);
        assert_true(allocations > 3);
    }
}

static void test_refused_memory(void **state) {
    (void)state;
    for_each_variant(refuse_one_by_one);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_results),
        cmocka_unit_test(test_many_commands),
        cmocka_unit_test(test_sessions),
        cmocka_unit_test(test_who_may_not_wait),
        cmocka_unit_test(test_who_waits_is_served),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_stops),
        cmocka_unit_test(test_refused_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
