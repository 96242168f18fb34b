/* Series of latency events, and what is hidden of command lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shard/clients/secrets.h"
#include "shard/shard.h"

static struct fabric fabric;

static void start(uint64_t threshold_ms) {
    memset(&fabric, 0, sizeof fabric);
    latency_events_init(&fabric.latency);
    fabric.settings.latency_ms = threshold_ms;
}

static void only_what_takes_long_is_noted(void **state) {
    (void)state;
    struct latency_series series;
    start(0);
    latency_note_event(&fabric, LATENCY_COMMAND, UINT64_C(5000000000));
    assert_false(latency_events_look(&fabric.latency, LATENCY_COMMAND, &series));
    start(10);
    latency_note_event(&fabric, LATENCY_COMMAND, 9999999);
    assert_false(latency_events_look(&fabric.latency, LATENCY_COMMAND, &series));
    latency_note_event(&fabric, LATENCY_COMMAND, 10000000);
    assert_true(latency_events_look(&fabric.latency, LATENCY_COMMAND, &series));
    assert_false(latency_events_look(&fabric.latency, LATENCY_FAST_COMMAND, &series));
    assert_true(latency_events_reset(&fabric.latency, LATENCY_COMMAND));
    assert_false(latency_events_reset(&fabric.latency, LATENCY_COMMAND));
    latency_events_deinit(&fabric.latency);
}

static void the_worst_of_a_second_stands_for_it(void **state) {
    (void)state;
    struct latency_series series;
    uint64_t sum = 0;
    start(1);
    for (uint64_t ms = 1; ms <= 300; ms++)
        latency_note_event(&fabric, LATENCY_EXPIRE_CYCLE, ms * 1000000);
    assert_true(latency_events_look(&fabric.latency, LATENCY_EXPIRE_CYCLE, &series));
    for (uint32_t i = 0; i < LATENCY_SAMPLES; i++) sum += latency_sample_at(&series, i).at_s != 0;
    assert_in_range(sum, 1, 3); /* the loop may meet the end of a second */
    assert_int_equal(latency_sample_at(&series, LATENCY_SAMPLES - 1).ms, 300);
    assert_int_equal(series.most_ms, 300);
    latency_events_deinit(&fabric.latency);
}

static void kinds_have_names(void **state) {
    (void)state;
    enum latency_event found;
    for (enum latency_event event = 0; event < LATENCY_EVENTS; event++) {
        const char *name = latency_event_name(event);
        assert_true(latency_event_find(bytes_of(name, strlen(name)), &found));
        assert_int_equal(found, event);
    }
    assert_false(latency_event_find(BYTES_LITERAL("COMMAND"), &found));
    assert_false(latency_event_find(BYTES_LITERAL(""), &found));
}

/* ---- Secrets ------------------------------------------------------------------------------------ */

/* The words of `line` with those that are hidden as `*`. */
static void assert_shown(const char *line, const char *shown) {
    char copy[256], out[256] = "";
    struct bytes argv[16];
    uint32_t argc = 0;
    (void)snprintf(copy, sizeof copy, "%s", line);
    for (char *at = strtok(copy, " "); at; at = strtok(NULL, " "))
        argv[argc++] = bytes_of(at, strlen(at));
    const struct command *command = command_find(argv, argc);
    assert_non_null(command);
    for (uint32_t i = 0; i < argc; i++) {
        bool hidden = secret_at(command, argv, argc, i);
        size_t len = strlen(out);
        (void)snprintf(out + len, sizeof out - len, "%s%.*s", i ? " " : "",
                       hidden ? 1 : (int)argv[i].len, hidden ? "*" : argv[i].at);
    }
    assert_string_equal(out, shown);
}

static void secrets_are_hidden(void **state) {
    (void)state;
    assert_shown("AUTH a", "AUTH *");
    assert_shown("AUTH a b", "AUTH * *");
    assert_shown("AUTH a b c", "AUTH a b c");
    assert_shown("HELLO", "HELLO");
    assert_shown("HELLO 3 AUTH a b", "HELLO 3 AUTH * *");
    assert_shown("HELLO 3 SETNAME AUTH AUTH a b", "HELLO 3 SETNAME AUTH AUTH * *");
    assert_shown("HELLO 3 AUTH a b auth c d", "HELLO 3 AUTH * * auth * *");
    assert_shown("HELLO 3 AUTH a", "HELLO 3 AUTH a");
    assert_shown("HELLO 3 FOO AUTH a b", "HELLO 3 FOO AUTH a b");
    assert_shown("HELLO 9 AUTH a b", "HELLO 9 AUTH a b");
    assert_shown("CONFIG SET requirepass a", "CONFIG SET requirepass *");
    assert_shown("CONFIG SET port 1 MASTERAUTH a dir b", "CONFIG SET port 1 MASTERAUTH * dir b");
    assert_shown("CONFIG GET requirepass", "CONFIG GET requirepass");
    assert_shown("SET requirepass a", "SET requirepass a");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_takes_long_is_noted),
        cmocka_unit_test(the_worst_of_a_second_stands_for_it),
        cmocka_unit_test(kinds_have_names),
        cmocka_unit_test(secrets_are_hidden),
    };
    return cmocka_run_group_tests_name("latency events", tests, NULL, NULL);
}
