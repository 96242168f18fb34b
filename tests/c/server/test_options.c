/* The command line and configuration files, through kevyrt_options_parse. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/config.h"
#include "server/kevyrt.h"

enum { WORDS_MAX = 200, FILES_MAX = 8 };

/* A folder of configuration files, and what the last parse gave. */
struct world {
    char folder[64];
    char paths[FILES_MAX][128];
    unsigned files;
    const char *input;
    enum kevyrt_status status;
    struct kevyrt_setting *settings;
    size_t count;
    struct kevyrt_error error;
};

static int open_world(void **state) {
    struct world *world = calloc(1, sizeof *world);
    strcpy(world->folder, "/tmp/krt-XXXXXX");
    assert_non_null(mkdtemp(world->folder));
    *state = world;
    return 0;
}

static int close_world(void **state) {
    struct world *world = *state;
    kevyrt_options_free(world->settings, world->count);
    for (unsigned i = 0; i < world->files; i++) unlink(world->paths[i]);
    assert_int_equal(rmdir(world->folder), 0);
    free(world);
    return 0;
}

/* Writes a file; %s in the text is the folder. */
static const char *put(struct world *world, const char *name, const char *text) {
    assert_true(world->files < FILES_MAX);
    char *path = world->paths[world->files++];
    strcpy(path, world->folder);
    strcat(path, "/");
    strcat(path, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (; *text; text++) {
        if (text[0] == '%' && text[1] == 's') {
            fputs(world->folder, file);
            text++;
        } else {
            fputc(*text, file);
        }
    }
    assert_int_equal(fclose(file), 0);
    return path;
}

static void parse_words(struct world *world, const char *const *words, int count) {
    kevyrt_options_free(world->settings, world->count);
    world->error = (struct kevyrt_error){0};
    world->status = kevyrt_options_parse(count, words, world->input, &world->settings,
                                         &world->count, &world->error);
    if (world->status != KEVYRT_OK) {
        assert_int_equal(world->count, 0);
        assert_null(world->settings);
        assert_true(strlen(world->error.text) > 0);
        assert_null(strchr(world->error.text, '\n'));
    }
}

#define PARSE(...)                                         \
    parse_words(world, (const char *const[]){__VA_ARGS__}, \
                (int)(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)))

static const char *value_of(struct world *world, const char *name) {
    if (world->status != KEVYRT_OK) fail_msg("%s", world->error.text);
    for (size_t i = 0; i < world->count; i++)
        if (strcmp(world->settings[i].name, name) == 0) return world->settings[i].value;
    fail_msg("no value of %s", name);
    return NULL;
}

static void assert_refused(const struct world *world, const char *why) {
    assert_int_equal(world->status, KEVYRT_BAD_CONFIG);
    assert_string_equal(world->error.text, why);
}

/* ---- The command line ------------------------------------------------------------------------ */

static void test_options(void **state) {
    struct world *world = *state;
    PARSE("--port", "7000", "--REQUIREPASS", "two words", "--appendonly", "no");
    assert_int_equal(world->count, 3);
    assert_string_equal(value_of(world, "port"), "7000");
    assert_string_equal(value_of(world, "requirepass"), "two words");
    parse_words(world, NULL, 0);
    assert_int_equal(world->status, KEVYRT_OK);
    assert_int_equal(world->count, 0);
}

static void test_several_values(void **state) {
    struct world *world = *state;
    PARSE("--save", "900", "1", "300", "10", "--bind", "127.0.0.1", "-::1",
          "--client-output-buffer-limit", "pubsub", "1mb", "0", "0", "--port", "0");
    assert_string_equal(value_of(world, "save"), "900 1 300 10");
    assert_string_equal(value_of(world, "bind"), "127.0.0.1 -::1");
    assert_string_equal(value_of(world, "client-output-buffer-limit"), "pubsub 1mb 0 0");
    assert_string_equal(value_of(world, "port"), "0");
}

static void test_the_last_one_wins(void **state) {
    struct world *world = *state;
    PARSE("--port", "1", "--bind", "a", "b", "--port", "2", "--slave-priority", "3",
          "--replica-priority", "4", "--bind", "c");
    assert_int_equal(world->count, 3);
    assert_string_equal(value_of(world, "port"), "2");
    assert_string_equal(value_of(world, "bind"), "c");
    assert_string_equal(value_of(world, "replica-priority"), "4");
}

static void test_save_adds_up(void **state) {
    struct world *world = *state;
    PARSE("--save", "900", "1", "--save", "300 10");
    assert_string_equal(value_of(world, "save"), "900 1 300 10");
    PARSE("--save", "900", "1", "--save", "", "--save", "60", "5");
    assert_string_equal(value_of(world, "save"), "60 5");
    PARSE("--save", "900", "1", "--save");
    assert_string_equal(value_of(world, "save"), "");
    PARSE("--save", "--port", "5");
    assert_string_equal(value_of(world, "save"), "");
    assert_string_equal(value_of(world, "port"), "5");
}

static void test_a_value_may_look_like_a_name(void **state) {
    struct world *world = *state;
    PARSE("--requirepass", "--secret", "--port", "5");
    assert_string_equal(value_of(world, "requirepass"), "--secret");
    assert_string_equal(value_of(world, "port"), "5");
}

static void test_name_and_value_in_one_word(void **state) {
    struct world *world = *state;
    PARSE("--port 7001", "--requirepass \"a b\\n\"", "--save 900", "1");
    assert_string_equal(value_of(world, "port"), "7001");
    assert_string_equal(value_of(world, "requirepass"), "a b\n");
    assert_string_equal(value_of(world, "save"), "900 1");
}

static void test_bad_options(void **state) {
    struct world *world = *state;
    PARSE("--port");
    assert_refused(world, "'port': wrong number of arguments");
    PARSE("--daemonize", "--port", "0");
    assert_refused(world, "'daemonize': wrong number of arguments");
    PARSE("--appendonly", "maybe");
    assert_refused(world, "invalid value 'maybe' for 'appendonly': argument must be 'yes' or 'no'");
    PARSE("--nosuch", "1");
    assert_refused(world, "unknown setting 'nosuch'");
    PARSE("--loadmodule", "x.so");
    assert_refused(world, "loadmodule is not supported");
    PARSE("--port", "1", "2");
    assert_refused(world, "'port': wrong number of arguments");
    PARSE("--bind");
    assert_refused(world, "'bind': wrong number of arguments");
    PARSE("-p", "1");
    assert_refused(world, "'-p' is not an option: options are --name value");
    PARSE("--", "1");
    assert_int_equal(world->status, KEVYRT_BAD_CONFIG);
    PARSE("--save", "900");
    assert_refused(world, "invalid value '900' for 'save': Invalid save parameters");
    PARSE("--requirepass \"a");
    assert_refused(world, "'--requirepass \"a': Unbalanced quotes in configuration line");
}

static void test_too_much(void **state) {
    struct world *world = *state;
    char *long_value = malloc(CONFIG_VALUE_MAX + 2);
    const char *words[WORDS_MAX] = {"--bind"};
    memset(long_value, 'x', CONFIG_VALUE_MAX + 1);
    long_value[CONFIG_VALUE_MAX + 1] = 0;
    PARSE("--requirepass", long_value);
    assert_refused(world, "'requirepass': the value is too long");
    PARSE("--requirepass", long_value + 1);
    assert_int_equal(strlen(value_of(world, "requirepass")), CONFIG_VALUE_MAX);
    for (int i = 1; i < WORDS_MAX; i++) words[i] = "a";
    parse_words(world, words, WORDS_MAX);
    assert_refused(world, "'--bind': too many words");
    free(long_value);
}

/* ---- Files ----------------------------------------------------------------------------------- */

static void test_quotes(void **state) {
    struct world *world = *state;
    PARSE(put(world, "a.conf", "port 1\nunixsocket 'it''s'\n"));
    assert_int_equal(world->status, KEVYRT_BAD_CONFIG);
    assert_non_null(strstr(world->error.text, "line 2, 'unixsocket 'it''s'': Unbalanced quotes"));
    PARSE(put(world, "b.conf", "requirepass 'a \"b\" \\n'\nunixsocket pre\"fix a\"\n"));
    assert_string_equal(value_of(world, "requirepass"), "a \"b\" \\n");
    assert_string_equal(value_of(world, "unixsocket"), "prefix a");
}

static void test_file_and_options(void **state) {
    struct world *world = *state;
    const char *path = put(world, "a.conf",
                           "# a comment\n"
                           "\n"
                           "  port 7002 \r\n"
                           "requirepass \"quoted \\x41\\\"\" \n"
                           "unixsocket 'it\\'s'\n"
                           "save 900 1\n"
                           "\tSAVE 300 10\n"
                           "client-output-buffer-limit normal 1 2 3\n"
                           "client-output-buffer-limit pubsub 4 5 6\n"
                           "tcp-backlog 100\n"
                           "syslog-ident end");
    PARSE(path, "--tcp-backlog", "200", "--save", "60", "5");
    assert_int_equal(world->count, 8);
    assert_string_equal(value_of(world, "config-file"), path);
    assert_string_equal(value_of(world, "port"), "7002");
    assert_string_equal(value_of(world, "requirepass"), "quoted A\"");
    assert_string_equal(value_of(world, "unixsocket"), "it's");
    assert_string_equal(value_of(world, "save"), "900 1 300 10 60 5");
    assert_string_equal(value_of(world, "client-output-buffer-limit"), "normal 1 2 3 pubsub 4 5 6");
    assert_string_equal(value_of(world, "tcp-backlog"), "200");
    assert_string_equal(value_of(world, "syslog-ident"), "end");
}

static void test_errors_say_where(void **state) {
    struct world *world = *state;
    const char *path = put(world, "b.conf", "port 1\n\nmaxclients many\n");
    char wanted[256];
    PARSE(path);
    snprintf(wanted, sizeof wanted,
             "%s, line 3, 'maxclients many': invalid value 'many' for 'maxclients': argument "
             "couldn't be parsed into an integer",
             path);
    assert_refused(world, wanted);
    path = put(world, "c.conf", "daemonize\n");
    PARSE(path);
    snprintf(wanted, sizeof wanted,
             "%s, line 1, 'daemonize': 'daemonize': wrong number of arguments", path);
    assert_refused(world, wanted);
    path = put(world, "d.conf", "requirepass \"a\\x00b\"\n");
    PARSE(path);
    assert_non_null(strstr(world->error.text, "a zero byte cannot be part of a value"));
}

static void test_standard_input(void **state) {
    struct world *world = *state;
    const char *path = put(world, "a.conf", "port 1\ntcp-backlog 1\ntimeout 1\n");
    world->input = "tcp-backlog 2\ntimeout 2\n";
    PARSE(path, "--timeout", "3", "-");
    assert_string_equal(value_of(world, "port"), "1");
    assert_string_equal(value_of(world, "tcp-backlog"), "2");
    assert_string_equal(value_of(world, "timeout"), "3");
    PARSE("-", "--timeout", "4");
    assert_string_equal(value_of(world, "timeout"), "4");
    world->input = "timeout x";
    PARSE("-");
    assert_non_null(strstr(world->error.text, "standard input, line 1, 'timeout x': "));
    world->input = NULL;
    PARSE("-");
    assert_refused(world, "no standard input");
}

static void test_include(void **state) {
    struct world *world = *state;
    put(world, "1.inc", "port 11\ntimeout 11\n");
    put(world, "2.inc", "port 22\n");
    const char *path =
        put(world, "a.conf", "port 1\ninclude %s/?.inc\ninclude %s/none*\ntcp-backlog 3\n");
    PARSE(path);
    assert_string_equal(value_of(world, "port"), "22");
    assert_string_equal(value_of(world, "timeout"), "11");
    assert_string_equal(value_of(world, "tcp-backlog"), "3");
    PARSE("--port", "5", "--include", world->paths[0]);
    assert_string_equal(value_of(world, "port"), "11");
    path = put(world, "b.conf", "include\n");
    PARSE(path);
    assert_non_null(strstr(world->error.text, "'include': wrong number of arguments"));
}

static void test_files_that_cannot_be_read(void **state) {
    struct world *world = *state;
    char path[128];
    snprintf(path, sizeof path, "%s/none", world->folder);
    PARSE(path);
    assert_int_equal(world->status, KEVYRT_SYSTEM);
    assert_int_equal(world->error.number, ENOENT);
    assert_non_null(strstr(world->error.text, path));
    const char *outer = put(world, "a.conf", "port 1\ninclude %s/none\n");
    PARSE(outer);
    assert_int_equal(world->status, KEVYRT_SYSTEM);
    assert_non_null(strstr(world->error.text, "line 2, 'include "));
    PARSE(world->folder);
    assert_int_equal(world->status, KEVYRT_SYSTEM);
}

static void test_includes_are_bounded(void **state) {
    struct world *world = *state;
    const char *self = put(world, "self", "include %s/self\n");
    PARSE(self);
    assert_int_equal(world->status, KEVYRT_BAD_CONFIG);
    assert_non_null(strstr(world->error.text, "files are included 16 deep"));
    const char *leaf = put(world, "leaf", "timeout 5\n");
    FILE *wide = fopen(put(world, "wide", ""), "w");
    assert_non_null(wide);
    for (int i = 0; i < 300; i++) fprintf(wide, "include %s\n", leaf);
    assert_int_equal(fclose(wide), 0);
    PARSE(world->paths[2]);
    assert_non_null(strstr(world->error.text, "more than 256 files are included"));
}

int main(void) {
#define IN_A_WORLD(test) cmocka_unit_test_setup_teardown(test, open_world, close_world)
    const struct CMUnitTest tests[] = {
        IN_A_WORLD(test_options),
        IN_A_WORLD(test_several_values),
        IN_A_WORLD(test_the_last_one_wins),
        IN_A_WORLD(test_save_adds_up),
        IN_A_WORLD(test_a_value_may_look_like_a_name),
        IN_A_WORLD(test_name_and_value_in_one_word),
        IN_A_WORLD(test_bad_options),
        IN_A_WORLD(test_too_much),
        IN_A_WORLD(test_quotes),
        IN_A_WORLD(test_file_and_options),
        IN_A_WORLD(test_errors_say_where),
        IN_A_WORLD(test_standard_input),
        IN_A_WORLD(test_include),
        IN_A_WORLD(test_files_that_cannot_be_read),
        IN_A_WORLD(test_includes_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
