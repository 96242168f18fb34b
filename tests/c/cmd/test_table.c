/* The command table: look-up, binding, arity and key positions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cmd/table.h"

#define MAX_WORDS 32
#define WORDS(text) words_of((text), (struct bytes[MAX_WORDS]){{0}})

struct line {
    const struct bytes *argv;
    size_t argc;
};

/* Splits at single blanks; two blanks in a row make an empty argument. */
static struct line words_of(const char *text, struct bytes *argv) {
    size_t argc = 0;
    for (;;) {
        size_t len = strcspn(text, " ");
        assert_true(argc < MAX_WORDS);
        argv[argc++] = bytes_of(text, len);
        if (text[len] == '\0') return (struct line){.argv = argv, .argc = argc};
        text += len + 1;
    }
}

static const struct command *find(const char *text) {
    struct line line = WORDS(text);
    return command_find(line.argv, line.argc);
}

static const char *name_of(const char *text) {
    const struct command *command = find(text);
    return command ? command->full_name : "(unknown)";
}

static void test_finds_names_in_any_case(void **state) {
    (void)state;
    assert_string_equal(name_of("get k"), "get");
    assert_string_equal(name_of("GET k"), "get");
    assert_string_equal(name_of("gEt k"), "get");
    assert_string_equal(name_of("GEORADIUSBYMEMBER_RO k"), "georadiusbymember_ro");
    assert_string_equal(name_of("Restore-Asking k"), "restore-asking");
    assert_string_equal(name_of("hpexpiretime k"), "hpexpiretime");
}

static void test_finds_subcommands(void **state) {
    (void)state;
    assert_string_equal(name_of("client"), "client");
    assert_string_equal(name_of("Client SetName me"), "client|setname");
    assert_string_equal(name_of("CLUSTER count-failure-reports x"),
                        "cluster|count-failure-reports");
    assert_string_equal(name_of("command"), "command");
    assert_string_equal(name_of("command count"), "command|count");
    assert_string_equal(find("client setname")->name, "setname");
    assert_ptr_equal(find("client setname")->container, find("client"));
    assert_null(find("client help me")->subcommands);
    assert_ptr_not_equal(find("script help"), find("client help"));
}

static void test_unknown_is_null(void **state) {
    (void)state;
    assert_null(find("nosuch"));
    assert_null(find("ge"));
    assert_null(find("gett"));
    assert_null(find(""));
    assert_null(find("client nosuch"));
    assert_null(find("client "));
    assert_null(find("client get"));
    assert_null(find("setname"));
    assert_null(find("client|setname"));
    assert_null(find("sentinel masters"));
    assert_null(find("acl setuser x"));
    assert_null(find("a-name-that-is-longer-than-any-command-of-redis"));
    assert_null(command_find(NULL, 0));
}

/* Folding pads with zero bytes and sets bit 5 of letters only: neighbours must not alias. */
static void test_look_alikes_are_unknown(void **state) {
    (void)state;
    struct bytes zero_tail = bytes_of("get\0", 4);
    assert_null(command_find(&zero_tail, 1));
    struct bytes empty_long = bytes_of("\0\0\0", 3);
    assert_null(command_find(&empty_long, 1));
    assert_null(find("\xc7"
                     "ET"));
    assert_null(find("EVAL\x7fRO")); /* '_' and DEL differ in bit 5 */
    assert_null(find("restore\rasking"));
}

/* Every row is found under its own name, by every casing rule of a client, at its own place. */
static void test_every_row_is_found(void **state) {
    (void)state;
    assert_true(command_count() > 350);
    for (size_t id = 0; id < command_count(); id++) {
        const struct command *row = command_at(id);
        char upper[64];
        size_t len = strlen(row->full_name);
        assert_true(len < sizeof(upper));
        for (size_t i = 0; i < len; i++) {
            char c = row->full_name[i];
            upper[i] = c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
        }
        assert_int_equal(row->id, id);
        assert_ptr_equal(command_find_name(bytes_of(row->full_name, len)), row);
        assert_ptr_equal(command_find_name(bytes_of(upper, len)), row);
    }
}

static void test_subcommands_follow_their_container(void **state) {
    (void)state;
    size_t subcommands = 0;
    for (size_t id = 0; id < command_count(); id++) {
        const struct command *row = command_at(id);
        for (size_t i = 0; i < row->subcommand_count; i++) {
            assert_ptr_equal(row->subcommands[i].container, row);
            assert_int_equal(row->subcommands[i].id, id + 1 + i);
            subcommands++;
        }
    }
    assert_true(subcommands > 100);
}

static void test_full_names(void **state) {
    (void)state;
    assert_ptr_equal(command_find_name(BYTES_LITERAL("CLIENT|SetName")), find("client setname x"));
    assert_ptr_equal(command_find_name(BYTES_LITERAL("client")), find("client"));
    assert_null(command_find_name(BYTES_LITERAL("client|")));
    assert_null(command_find_name(BYTES_LITERAL("|setname")));
    assert_null(command_find_name(BYTES_LITERAL("get|set")));
    assert_null(command_find_name(BYTES_LITERAL("client|setname|x")));
    assert_null(command_find_name(BYTES_LITERAL("")));
}

static void test_arity(void **state) {
    (void)state;
    assert_true(command_arity_ok(find("get"), 2));
    assert_false(command_arity_ok(find("get"), 1));
    assert_false(command_arity_ok(find("get"), 3));
    assert_false(command_arity_ok(find("mset"), 2));
    assert_true(command_arity_ok(find("mset"), 3));
    assert_true(command_arity_ok(find("mset"), 1000));
    assert_true(command_arity_ok(find("client setname"), 3));
    assert_false(command_arity_ok(find("client setname"), 2));
}

static void test_acl_holds_what_flags_imply(void **state) {
    (void)state;
    assert_int_equal(find("get")->acl, ACL_READ | ACL_STRING | ACL_FAST);
    assert_int_equal(find("config set")->acl, ACL_ADMIN | ACL_SLOW | ACL_DANGEROUS);
    assert_int_equal(find("publish")->acl, ACL_PUBSUB | ACL_FAST);
    assert_int_equal(find("eval_ro")->acl, ACL_SLOW | ACL_SCRIPTING);
    assert_int_equal(find("blpop")->acl, ACL_WRITE | ACL_LIST | ACL_SLOW | ACL_BLOCKING);
}

static void test_names(void **state) {
    (void)state;
    assert_string_equal(command_flag_name(CMD_BIT_MOVABLE_KEYS), "movablekeys");
    assert_null(command_flag_name(CMD_BIT_SENTINEL));
    assert_string_equal(command_acl_name(ACL_BIT_SCRIPTING), "scripting");
    assert_string_equal(command_key_flag_name(KEY_BIT_NOT_KEY), "not_key");
    assert_string_equal(command_group_name(find("zadd")->group), "sorted-set");
}

static void handler_a(struct call *call) {
    (void)call;
}

static void test_binding_twice_keeps_the_handler(void **state) {
    (void)state;
    assert_null(find("pfselftest")->handler);
    command_bind("pfselftest", handler_a);
    command_bind("pfselftest", handler_a);
    assert_ptr_equal(find("pfselftest")->handler, handler_a);
    command_bind("client|getredir", handler_a);
    assert_ptr_equal(find("client getredir")->handler, handler_a);
    assert_null(find("client")->handler);
}

/* The keys of a command line as "key key ", "-" for none, "!" for arguments that do not say. */
static const char *keys_of(const char *text) {
    static char out[256];
    struct line line = WORDS(text);
    const struct command *command = command_find(line.argv, line.argc);
    assert_non_null(command);
    assert_true(command_arity_ok(command, line.argc));
    struct key_ref keys[MAX_WORDS];
    int count = command_keys(command, line.argv, line.argc, keys, MAX_WORDS);
    if (count <= 0) return count == 0 ? "-" : "!";
    size_t used = 0;
    for (int i = 0; i < count; i++) {
        assert_true(keys[i].index < line.argc);
        struct bytes key = line.argv[keys[i].index];
        used += (size_t)snprintf(out + used, sizeof(out) - used, "%.*s ", (int)key.len, key.at);
    }
    return out;
}

static void test_keys_at_fixed_places(void **state) {
    (void)state;
    assert_string_equal(keys_of("get a"), "a ");
    assert_string_equal(keys_of("set a 1 EX 10"), "a ");
    assert_string_equal(keys_of("mget a b c"), "a b c ");
    assert_string_equal(keys_of("mset a 1 b 2"), "a b ");
    assert_string_equal(keys_of("mset a 1 b"), "a b ");
    assert_string_equal(keys_of("rename a b"), "a b ");
    assert_string_equal(keys_of("bitop and d a b"), "d a b ");
    assert_string_equal(keys_of("blpop a b 0"), "a b ");
    assert_string_equal(keys_of("object encoding a"), "a ");
    assert_string_equal(keys_of("memory usage a samples 5"), "a ");
    assert_string_equal(keys_of("xgroup create a g $"), "a ");
    assert_string_equal(keys_of("geosearchstore d a frommember m byradius 1 m"), "d a ");
    assert_string_equal(keys_of("ping"), "-");
    assert_string_equal(keys_of("config get maxmemory"), "-");
    assert_string_equal(keys_of("spublish a b"), "-");
}

static void test_keys_behind_a_count(void **state) {
    (void)state;
    assert_string_equal(keys_of("eval x 2 a b c"), "a b ");
    assert_string_equal(keys_of("eval x 0 a"), "-");
    assert_string_equal(keys_of("eval x 3 a b"), "!");
    assert_string_equal(keys_of("eval x -1 a"), "!");
    assert_string_equal(keys_of("eval x two a b"), "!");
    assert_string_equal(keys_of("eval x 9223372036854775807 a"), "!");
    assert_string_equal(keys_of("eval x 1"), "!");
    assert_string_equal(keys_of("zunionstore d 2 a b weights 1 2"), "d a b ");
    assert_string_equal(keys_of("zunionstore d 9 a b"), "!");
    assert_string_equal(keys_of("zinter 2 a b"), "a b ");
    assert_string_equal(keys_of("blmpop 0 2 a b left"), "a b ");
    assert_string_equal(keys_of("sintercard 1 a limit 1"), "a ");
}

static void test_keys_behind_a_keyword(void **state) {
    (void)state;
    assert_string_equal(keys_of("xread count 2 STREAMS a b 0 0"), "a b ");
    assert_string_equal(keys_of("xread streams a b 0"), "a ");
    assert_string_equal(keys_of("xread count 2 streams"), "-");
    assert_string_equal(keys_of("xreadgroup group streams c Streams a >"), "a ");
    assert_string_equal(keys_of("georadius a 1 2 3 m"), "a ");
    assert_string_equal(keys_of("georadius a 1 2 3 m count 1 store d"), "a d ");
    assert_string_equal(keys_of("georadiusbymember a m 3 m storedist d"), "a d ");
    assert_string_equal(keys_of("georadius a 1 2 3 m store"), "a ");
}

static void test_keys_of_sort(void **state) {
    (void)state;
    assert_string_equal(keys_of("sort a"), "a ");
    assert_string_equal(keys_of("sort a by x get y limit 0 1 store d"), "a d ");
    assert_string_equal(keys_of("sort a get store desc"), "a ");
    assert_string_equal(keys_of("sort a store b store c"), "a c ");
    assert_string_equal(keys_of("sort a store"), "a ");
    assert_string_equal(keys_of("sort_ro a by x"), "a ");
}

static void test_keys_of_migrate(void **state) {
    (void)state;
    assert_string_equal(keys_of("migrate h 1 a 0 5"), "a ");
    assert_string_equal(keys_of("migrate h 1 a 0 5 copy auth keys"), "a ");
    assert_string_equal(keys_of("migrate h 1  0 5 replace keys a b"), "a b ");
    assert_string_equal(keys_of("migrate h 1  0 5 auth2 keys keys keys a"), "a ");
    assert_string_equal(keys_of("migrate h 1 a 0 5 keys b"), "!");
    assert_string_equal(keys_of("migrate h 1  0 5 keys"), "!");
}

static void test_key_flags_and_capacity(void **state) {
    (void)state;
    struct line line = WORDS("zunionstore d 3 a b c");
    struct key_ref keys[3] = {[2] = {.index = 77}};
    assert_int_equal(command_keys(find("zunionstore"), line.argv, line.argc, keys, 2), 4);
    assert_int_equal(keys[0].flags, KEY_OW | KEY_UPDATE);
    assert_int_equal(keys[1].flags, KEY_RO | KEY_ACCESS);
    assert_int_equal(keys[2].index, 77);
    assert_int_equal(command_keys(find("zunionstore"), line.argv, line.argc, NULL, 0), 4);
}

/* What old clients are told about a command with one plain range is what its spec says. */
static void test_legacy_keys_agree_with_specs(void **state) {
    (void)state;
    size_t checked = 0;
    for (size_t id = 0; id < command_count(); id++) {
        const struct command *row = command_at(id);
        assert_int_equal(row->spec_count == 0 && row->first_key != 0, 0);
        if (row->spec_count != 1) continue;
        const struct key_spec *spec = &row->specs[0];
        if (spec->begin.type != KEY_BEGIN_INDEX || spec->find.type != KEY_FIND_RANGE) continue;
        int last = spec->find.last < 0 ? spec->find.last : spec->begin.position + spec->find.last;
        assert_int_equal(row->first_key, spec->begin.position);
        assert_int_equal(row->last_key, last);
        assert_int_equal(row->key_step, spec->find.step);
        checked++;
    }
    assert_true(checked > 150);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds_names_in_any_case),
        cmocka_unit_test(test_finds_subcommands),
        cmocka_unit_test(test_unknown_is_null),
        cmocka_unit_test(test_look_alikes_are_unknown),
        cmocka_unit_test(test_every_row_is_found),
        cmocka_unit_test(test_subcommands_follow_their_container),
        cmocka_unit_test(test_full_names),
        cmocka_unit_test(test_arity),
        cmocka_unit_test(test_acl_holds_what_flags_imply),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_binding_twice_keeps_the_handler),
        cmocka_unit_test(test_keys_at_fixed_places),
        cmocka_unit_test(test_keys_behind_a_count),
        cmocka_unit_test(test_keys_behind_a_keyword),
        cmocka_unit_test(test_keys_of_sort),
        cmocka_unit_test(test_keys_of_migrate),
        cmocka_unit_test(test_key_flags_and_capacity),
        cmocka_unit_test(test_legacy_keys_agree_with_specs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
