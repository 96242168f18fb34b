/* The table of settings and the values in force. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/assert.h"
#include "server/config.h"
#include "server/value.h"

static struct config config;
static char logged[512];

static void keep_line(void *context, enum log_level level, const char *text) {
    (void)context;
    assert_int_equal(level, LOG_WARNING);
    snprintf(logged, sizeof logged, "%s", text);
}

static int open_config(void **state) {
    (void)state;
    log_hook_set(keep_line, NULL);
    logged[0] = 0;
    config_init(&config);
    return 0;
}

static int close_config(void **state) {
    (void)state;
    config_deinit(&config);
    return 0;
}

static void set(const char *name, const char *value) {
    struct kevyrt_error error;
    if (config_set(&config, name, value, &error) != KEVYRT_OK) fail_msg("%s", error.text);
}

static void assert_shown(const char *name, const char *value) {
    char shown[CONFIG_VALUE_MAX + 1];
    assert_true(config_get(&config, name, shown, sizeof shown));
    assert_string_equal(shown, value);
}

static void assert_refused(const char *name, const char *value, const char *why) {
    struct kevyrt_error error;
    char before[CONFIG_VALUE_MAX + 1] = "";
    bool known = config_get(&config, name, before, sizeof before);
    assert_int_equal(config_check(name, value, &error), KEVYRT_BAD_CONFIG);
    assert_int_equal(config_set(&config, name, value, &error), KEVYRT_BAD_CONFIG);
    if (!strstr(error.text, why)) fail_msg("'%s' does not say '%s'", error.text, why);
    if (known) assert_shown(name, before);
    assert_int_equal(config_set(&config, name, value, NULL), KEVYRT_BAD_CONFIG);
}

/* ---- The table ------------------------------------------------------------------------------- */

/* C1: what is shown is taken again and shown again, the defaults first of all. */
static void test_defaults_are_canonical(void **state) {
    (void)state;
    for (enum setting_id id = 0; id < SETTING_COUNT; id++) {
        struct value value;
        const struct setting *setting = config_setting(id);
        if (!value_parse(setting, setting->initial, &value))
            fail_msg("%s: %s", setting->name, value.error);
        assert_string_equal(value.text, setting->initial);
        assert_int_equal(config_number(&config, id), value.number);
        assert_string_equal(config_text(&config, id), setting->initial);
        set(setting->name, setting->initial);
    }
    assert_string_equal(logged, "");
}

static void test_names_are_unique(void **state) {
    (void)state;
    for (uint32_t i = 0; i < CONFIG_NAMES; i++) {
        const char *name = config_name(i);
        if (name) assert_int_equal(config_find(name), config_name_setting(i));
    }
    assert_int_equal(config_find("TimeOut"), SETTING_TIMEOUT);
    assert_int_equal(config_find("nosuch"), SETTING_COUNT);
    assert_int_equal(config_find(""), SETTING_COUNT);
}

static void test_aliases_are_the_same_setting(void **state) {
    (void)state;
    set("SLAVE-priority", "7");
    assert_shown("replica-priority", "7");
    assert_shown("slave-priority", "7");
}

/* ---- Effects --------------------------------------------------------------------------------- */

static void test_what_is_ignored_is_said(void **state) {
    (void)state;
    set("socket-mark-id", "5");
    assert_shown("socket-mark-id", "0");
    assert_non_null(strstr(logged, "socket-mark-id 5"));
    logged[0] = 0;
    set("socket-mark-id", "0");
    assert_string_equal(logged, "");
    assert_refused("socket-mark-id", "x", "couldn't be parsed");
    assert_string_equal(logged, "");
}

static void test_what_is_refused(void **state) {
    (void)state;
    assert_refused("daemonize", "yes", "daemonize yes is not supported yet");
    set("daemonize", "no");
    assert_refused("loadmodule", "a.so", "loadmodule is not supported");
    assert_refused("nosuch", "1", "unknown setting 'nosuch'");
}

/* ---- Values ---------------------------------------------------------------------------------- */

static void test_numbers(void **state) {
    (void)state;
    set("maxclients", "20");
    assert_shown("maxclients", "20");
    assert_int_equal(config_number(&config, SETTING_MAXCLIENTS), 20);
    assert_refused("maxclients", "0", "argument must be between 1 and 4294967295 inclusive");
    assert_refused("maxclients", "1.5", "argument couldn't be parsed into an integer");
    assert_refused("maxclients", "", "argument couldn't be parsed into an integer");
    set("unixsocketperm", "0770");
    assert_shown("unixsocketperm", "770");
    assert_int_equal(config_unixsocketperm(&config), 0770);
    assert_refused("unixsocketperm", "8", "octal");
    assert_refused("unixsocketperm", "1000", "argument must be between 0 and 777 inclusive");
    assert_refused("threads", "65", "argument must be between 1 and 64 inclusive");
}

static void test_port(void **state) {
    (void)state;
    set("port", "any");
    assert_int_equal(config_port(&config), -1);
    set("port", "0");
    assert_int_equal(config_port(&config), 0);
    assert_refused("port", "65536", "argument must be between 0 and 65535 inclusive");
    assert_refused("port", "-1", "argument must be between 0 and 65535 inclusive");
}

static void test_memory(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t bytes;
    } rows[] = {{"0", 0},         {"12", 12},         {"12b", 12},
                {"1k", 1000},     {"1Kb", 1024},      {"3m", 3000000},
                {"3MB", 3 << 20}, {"2g", 2000000000}, {"2gB", 2LL << 30}};
    int64_t bytes;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_true(value_parse_memory(bytes_of(rows[i].text, strlen(rows[i].text)), &bytes));
        assert_int_equal(bytes, rows[i].bytes);
    }
    static const char *const bad[] = {"-1",
                                      "1.5gb",
                                      "1 k",
                                      "1kbb",
                                      "+1",
                                      "0x1",
                                      "1t",
                                      "9223372036854775808",
                                      "9223372036854775807kb"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(value_parse_memory(bytes_of(bad[i], strlen(bad[i])), &bytes));
    set("maxmemory", ""); /* no digits are a 0, with any unit, as in Redis */
    assert_shown("maxmemory", "0");
    set("repl-backlog-size", "2mb");
    assert_shown("repl-backlog-size", "2097152");
    assert_refused("maxmemory", "-1", "argument must be a memory value");
    assert_refused("maxmemory-clients", "101%", "percentage argument must be less or equal to 100");
    assert_refused("maxmemory-clients", "1.5%", "argument must be a memory or percent value");
}

static void test_words(void **state) {
    (void)state;
    set("loglevel", "WARNING");
    assert_shown("loglevel", "warning");
    assert_refused("io", "kqueue",
                   "argument(s) must be one of the following: auto, io_uring, epoll");
    assert_refused("protected-mode", "true", "argument must be 'yes' or 'no'");
    set("protected-mode", "NO");
    assert_shown("protected-mode", "no");
    assert_refused("shutdown-on-sigterm", "", "argument(s) must be one of the following: default");
    assert_refused("shutdown-on-sigterm", "now never", "must be one of the following");
    assert_refused("shutdown-on-sigterm", "nosave save", "SAVE and NOSAVE can't be used");
}

static void test_lists(void **state) {
    (void)state;
    set("bind", " 127.0.0.1   -::1 ");
    assert_shown("bind", "127.0.0.1 -::1");
    assert_refused("bind", "a a a a a a a a a a a a a a a a a", "Too many bind addresses");
    assert_refused("save", "900", "Invalid save parameters");
    assert_refused("save", "0 1", "Invalid save parameters");
    assert_refused("notify-keyspace-events", "Q", "Invalid event class character");
    assert_refused("oom-score-adj-values", "1 2", "wrong number of arguments");
    assert_refused("oom-score-adj-values", "1 2 2001", "elements must be between -2000 and 2000");
    set("latency-tracking-info-percentiles", "0  50.5 100.0");
    assert_shown("latency-tracking-info-percentiles", "0 50.5 100");
    set("latency-tracking-info-percentiles", "0.0 007.250 0.001 100");
    assert_shown("latency-tracking-info-percentiles", "0 7.25 0.001 100");
    assert_refused("latency-tracking-info-percentiles", "100.1", "should sit between [0.0,100.0]");
    assert_refused("latency-tracking-info-percentiles", "99999999999999999999", "sit between");
    assert_refused("latency-tracking-info-percentiles", ".5", "Invalid latency-tracking");
    assert_refused("replicaof", "host", "wrong number of arguments");
    assert_refused("replicaof", "host 6379", "not supported yet");
    set("replicaof", "no one");
    assert_shown("replicaof", "");
}

static void test_buffer_limits(void **state) {
    (void)state;
    struct value value;
    const struct setting *setting = config_setting(SETTING_CLIENT_OUTPUT_BUFFER_LIMIT);
    assert_true(value_parse(setting, "replica 1kb 2 3 pubsub 1 1 1 pubsub 0 0 0", &value));
    assert_string_equal(value.text, "normal 0 0 0 slave 1024 2 3 pubsub 0 0 0");
    assert_refused(setting->name, "normal 1 2", "Wrong number of arguments in buffer limit");
    assert_refused(setting->name, "foo 1 2 3", "Invalid client class");
    assert_refused(setting->name, "normal 1 2 -3", "Error in hard, soft or soft_seconds");
}

static void assert_canonical(enum setting_id id, const char *given, const char *wanted) {
    struct value value;
    assert_true(value_parse(config_setting(id), given, &value));
    assert_string_equal(value.text, wanted);
}

static void test_letters_and_flags_are_put_in_order(void **state) {
    (void)state;
    static const char *const events[][2] = {
        {"", ""},     {"KEA", "AKE"}, {"nmEKdtexzhsl$g", "AKEm"}, {"AmKn", "AKm"},
        {"ng", "gn"}, {"gggg", "g"},  {"KEg$lshzxetd", "AKE"},    {"KEg$lshzxet", "g$lshzxetKE"},
        {"m", "m"},   {"Ed", "dE"},
    };
    for (size_t i = 0; i < sizeof events / sizeof *events; i++)
        assert_canonical(SETTING_NOTIFY_KEYSPACE_EVENTS, events[i][0], events[i][1]);
    assert_canonical(SETTING_SHUTDOWN_ON_SIGTERM, "force NOW now save", "save now force");
    assert_canonical(SETTING_SHUTDOWN_ON_SIGTERM, "now default", "now");
    assert_canonical(SETTING_SHUTDOWN_ON_SIGTERM, "default", "default");
}

static void test_the_longest_value(void **state) {
    (void)state;
    char text[CONFIG_VALUE_MAX + 2];
    memset(text, 'x', sizeof text);
    text[CONFIG_VALUE_MAX + 1] = 0;
    assert_refused("requirepass", text, "the value is too long");
    text[CONFIG_VALUE_MAX] = 0;
    set("requirepass", text);
    assert_shown("requirepass", text);
}

/* ---- For the shards -------------------------------------------------------------------------- */

static void test_fabric_settings(void **state) {
    (void)state;
    struct fabric_settings settings;
    set("threads", "3");
    set("databases", "4");
    set("requirepass", "secret");
    set("protected-mode", "no");
    set("debug-borrow", "never");
    set("debug-ring-entries", "8");
    set("proto-max-bulk-len", "1mb");
    config_fabric_settings(&config, &settings);
    assert_int_equal(settings.shard_count, 3);
    assert_int_equal(settings.database_count, 4);
    assert_string_equal(settings.password, "secret");
    assert_false(settings.protected_mode);
    assert_int_equal(settings.borrow, BORROW_NEVER);
    assert_int_equal(settings.ring_entries, 8);
    assert_int_equal(settings.buffer_count, 8);
    assert_int_equal(settings.stream_entries, 8);
    assert_int_equal(settings.parser.max_bulk_bytes, 1 << 20);
    assert_true(settings.parser_unauthenticated.unauthenticated);
}

int main(void) {
#define WITH_CONFIG(test) cmocka_unit_test_setup_teardown(test, open_config, close_config)
    const struct CMUnitTest tests[] = {
        WITH_CONFIG(test_defaults_are_canonical),
        WITH_CONFIG(test_names_are_unique),
        WITH_CONFIG(test_aliases_are_the_same_setting),
        WITH_CONFIG(test_what_is_ignored_is_said),
        WITH_CONFIG(test_what_is_refused),
        WITH_CONFIG(test_numbers),
        WITH_CONFIG(test_port),
        WITH_CONFIG(test_memory),
        WITH_CONFIG(test_words),
        WITH_CONFIG(test_lists),
        WITH_CONFIG(test_buffer_limits),
        WITH_CONFIG(test_letters_and_flags_are_put_in_order),
        WITH_CONFIG(test_the_longest_value),
        WITH_CONFIG(test_fabric_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
