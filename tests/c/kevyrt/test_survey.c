/* Surveys: what they find beside writers, flushes and each other, in the middle of a stop, and where memory is refused. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kevyrt/servers.h"

enum { KEYS = 3000, WRITERS = 2, SURVEYORS = 2, SURVEYS = 60 };

static void fill(struct kevyrt_server *server, int count) {
    char line[128], reply[REPLY_MAX];
    for (int i = 0; i < count; i++) {
        (void)snprintf(line, sizeof line, i % 3 ? "SET k%d value" : "SADD s%d member", i);
        assert_int_equal(call(server, line, reply), KEVYRT_OK);
    }
}

static uint64_t sum_of_types(const struct kevyrt_survey *survey) {
    double keys = 0;
    for (int type = 0; type < KEVYRT_TYPES; type++) keys += survey->types[type].keys;
    return (uint64_t)(keys + 0.5);
}

static void whole(struct kevyrt_server *server) {
    struct kevyrt_survey *survey;
    fill(server, KEYS);
    assert_int_equal(kevyrt_survey_make(server, UINT64_MAX, &survey), KEVYRT_OK);
    assert_int_equal(survey->keys, KEYS);
    assert_int_equal(survey->seen, KEYS);
    assert_int_equal(sum_of_types(survey), KEYS);
    assert_string_equal(survey->types[0].name, "string");
    assert_int_equal(survey->types[0].seen, KEYS / 3 * 2);
    assert_int_equal(survey->big_count, KEVYRT_KEYS_NAMED);
    kevyrt_survey_free(survey);
}

static void test_everything_is_seen_once(void **state) {
    (void)state;
    for_each_variant(whole);
}

/* The parts follow each other, so as many as it takes have seen everything. */
static void parts(struct kevyrt_server *server) {
    struct kevyrt_survey *survey;
    uint64_t seen = 0;
    fill(server, KEYS);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(kevyrt_survey_make(server, KEYS / 10, &survey), KEVYRT_OK);
        assert_int_equal(survey->keys, KEYS);
        assert_int_equal(sum_of_types(survey), KEYS);
        assert_true(survey->seen > KEYS / 40 && survey->seen < KEYS / 4);
        seen += survey->seen;
        kevyrt_survey_free(survey);
    }
    assert_true(seen > KEYS * 8 / 10 && seen < KEYS * 13 / 10);
}

static void test_parts_follow_each_other(void **state) {
    (void)state;
    for_each_variant(parts);
}

/* ---- Beside others ------------------------------------------------------------------------------- */

struct crew {
    struct kevyrt_server *server;
    atomic_bool over;
    atomic_int wrong, number;
};

static void *work(void *argument) {
    static const char *const lines[] = {"SET k%d value", "DEL k%d",      "SADD s%d a b c",
                                        "GET k%d",       "MGET a%d b c", "LPUSH l%d x"};
    struct crew *crew = argument;
    unsigned draw = (unsigned)atomic_fetch_add(&crew->number, 1);
    char line[128], reply[REPLY_MAX];
    while (!atomic_load(&crew->over)) {
        draw = draw * 1664525u + 1013904223u;
        const char *format = draw >> 20 == 7 ? "FLUSHALL" : lines[(draw >> 16) % 6];
        (void)snprintf(line, sizeof line, format, (draw >> 8) % 500);
        enum kevyrt_status status = call(crew->server, line, reply);
        if (status == KEVYRT_STOPPED) break;
        if (status != KEVYRT_OK) atomic_store(&crew->wrong, 1);
    }
    return NULL;
}

static void *look(void *argument) {
    static const uint64_t samples[] = {UINT64_MAX, 50, 0, 700};
    struct crew *crew = argument;
    for (int i = 0; i < SURVEYS && !atomic_load(&crew->over); i++) {
        struct kevyrt_survey *survey = NULL;
        enum kevyrt_status status = kevyrt_survey_make(crew->server, samples[i % 4], &survey);
        if (status == KEVYRT_STOPPED) break;
        if (status != KEVYRT_OK || !survey) atomic_store(&crew->wrong, 1);
        if (survey) kevyrt_survey_free(survey);
    }
    return NULL;
}

static void run_crew(struct kevyrt_server *server, bool stop) {
    struct crew crew = {.server = server};
    pthread_t writers[WRITERS], surveyors[SURVEYORS];
    for (int i = 0; i < WRITERS; i++) pthread_create(&writers[i], NULL, work, &crew);
    for (int i = 0; i < SURVEYORS; i++) pthread_create(&surveyors[i], NULL, look, &crew);
    if (stop) kevyrt_server_stop(server);
    for (int i = 0; i < SURVEYORS; i++) pthread_join(surveyors[i], NULL);
    atomic_store(&crew.over, true);
    for (int i = 0; i < WRITERS; i++) pthread_join(writers[i], NULL);
    assert_int_equal(atomic_load(&crew.wrong), 0);
}

static void beside_writers(struct kevyrt_server *server) {
    run_crew(server, false);
}

static void test_beside_writers_and_each_other(void **state) {
    (void)state;
    for_each_variant(beside_writers);
}

static void in_a_stop(struct kevyrt_server *server) {
    struct kevyrt_survey *survey;
    for (int round = 0; round < 3; round++) {
        run_crew(server, true);
        assert_int_equal(kevyrt_survey_make(server, 100, &survey), KEVYRT_STOPPED);
        server_start(server);
    }
    fill(server, 30);
    assert_int_equal(kevyrt_survey_make(server, 100, &survey), KEVYRT_OK);
    assert_int_equal(survey->seen, 30);
    kevyrt_survey_free(survey);
}

static void test_a_stop_ends_them(void **state) {
    (void)state;
    for_each_variant(in_a_stop);
}

/* ---- Memory -------------------------------------------------------------------------------------- */

/* A distribution or hot keys that there is no memory for are left out; without its own it fails. */
static void refuse_everywhere(struct kevyrt_server *server) {
    enum kevyrt_status status = KEVYRT_NO_MEMORY;
    fill(server, 100);
    for (long n = 1; n < 40; n++) {
        struct kevyrt_survey *survey = NULL;
        mem_fail_after(n);
        status = kevyrt_survey_make(server, 50, &survey);
        mem_fail_after(0);
        assert_true(status == KEVYRT_OK || status == KEVYRT_NO_MEMORY);
        assert_true((status == KEVYRT_OK) == (survey != NULL));
        if (!survey) continue;
        assert_int_equal(survey->keys, 100);
        kevyrt_survey_free(survey);
    }
    assert_int_equal(status, KEVYRT_OK);
}

static void test_refused_memory(void **state) {
    (void)state;
    for_each_variant(refuse_everywhere);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_is_seen_once),
        cmocka_unit_test(test_parts_follow_each_other),
        cmocka_unit_test(test_beside_writers_and_each_other),
        cmocka_unit_test(test_a_stop_ends_them),
        cmocka_unit_test(test_refused_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
