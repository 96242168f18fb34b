/* COMMAND: the table about itself, in Redis's form.
 *
 * Every set is as long as its bits, so nothing is counted twice and no length is filled in later.
 */
#include "base/glob.h"
#include "base/mem.h"
#include "cmd/families.h"

/* ---- Sets of names --------------------------------------------------------------------------- */

static void reply_flags(struct reply *reply, uint64_t flags) {
    flags &= ~(uint64_t)CMD_UNLISTED;
    reply_set(reply, (uint64_t)__builtin_popcountll(flags));
    for (; flags; flags &= flags - 1)
        reply_simple(reply, command_flag_name((enum command_flag_bit)__builtin_ctzll(flags)));
}

static void reply_categories(struct reply *reply, uint32_t acl) {
#define X(name, text) "@" text,
    static const char *const names[] = {COMMAND_ACL(X)};
#undef X
    reply_set(reply, (uint64_t)__builtin_popcount(acl));
    for (; acl; acl &= acl - 1) reply_simple(reply, names[__builtin_ctz(acl)]);
}

static void reply_tips(struct reply *reply, const char *const *tips) {
    uint64_t count = 0;
    while (tips && tips[count]) count++;
    reply_set(reply, count);
    for (uint64_t i = 0; i < count; i++) reply_bulk_text(reply, tips[i]);
}

/* ---- Key specs ------------------------------------------------------------------------------- */

static void reply_key_flags(struct reply *reply, uint32_t flags) {
    reply_set(reply, (uint64_t)__builtin_popcount(flags));
    for (; flags; flags &= flags - 1)
        reply_simple(reply, command_key_flag_name((enum key_flag_bit)__builtin_ctz(flags)));
}

/* A step of a spec: its type, and `pairs` fields, which the caller appends. */
static void reply_step(struct reply *reply, const char *step, const char *type, uint64_t pairs) {
    reply_bulk_text(reply, step);
    reply_map(reply, 2);
    reply_bulk_text(reply, "type");
    reply_bulk_text(reply, type);
    reply_bulk_text(reply, "spec");
    reply_map(reply, pairs);
}

static void reply_field(struct reply *reply, const char *name, int64_t value) {
    reply_bulk_text(reply, name);
    reply_integer(reply, value);
}

static void reply_begin(struct reply *reply, const struct key_spec *spec) {
    switch ((enum key_begin)spec->begin.type) {
    case KEY_BEGIN_INDEX:
        reply_step(reply, "begin_search", "index", 1);
        reply_field(reply, "index", spec->begin.position);
        break;
    case KEY_BEGIN_KEYWORD:
        reply_step(reply, "begin_search", "keyword", 2);
        reply_bulk_text(reply, "keyword");
        reply_bulk_text(reply, spec->begin.word);
        reply_field(reply, "startfrom", spec->begin.position);
        break;
    case KEY_BEGIN_UNKNOWN:
        reply_step(reply, "begin_search", "unknown", 0);
        break;
    }
}

static void reply_find(struct reply *reply, const struct key_spec *spec) {
    switch ((enum key_find)spec->find.type) {
    case KEY_FIND_RANGE:
        reply_step(reply, "find_keys", "range", 3);
        reply_field(reply, "lastkey", spec->find.last);
        reply_field(reply, "keystep", spec->find.step);
        reply_field(reply, "limit", spec->find.limit);
        break;
    case KEY_FIND_KEYNUM:
        reply_step(reply, "find_keys", "keynum", 3);
        reply_field(reply, "keynumidx", spec->find.count);
        reply_field(reply, "firstkey", spec->find.first);
        reply_field(reply, "keystep", spec->find.step);
        break;
    case KEY_FIND_UNKNOWN:
        reply_step(reply, "find_keys", "unknown", 0);
        break;
    }
}

static void reply_spec(struct reply *reply, const struct key_spec *spec) {
    reply_map(reply, spec->note ? 4 : 3);
    if (spec->note) {
        reply_bulk_text(reply, "notes");
        reply_bulk_text(reply, spec->note);
    }
    reply_bulk_text(reply, "flags");
    reply_key_flags(reply, spec->flags);
    reply_begin(reply, spec);
    reply_find(reply, spec);
}

/* ---- Rows ------------------------------------------------------------------------------------ */

static void reply_row(struct reply *reply, const struct command *command) {
    reply_array(reply, 10);
    reply_bulk_text(reply, command->full_name);
    reply_integer(reply, command->arity);
    reply_flags(reply, command->flags);
    reply_integer(reply, command->first_key);
    reply_integer(reply, command->last_key);
    reply_integer(reply, command->key_step);
    reply_categories(reply, command->acl);
    reply_tips(reply, command->tips);
    reply_set(reply, command->spec_count);
    for (uint32_t i = 0; i < command->spec_count; i++) reply_spec(reply, &command->specs[i]);
    /* In RESP3 no subcommands are an empty set, and some are an array: so Redis does. */
    if (command->subcommand_count) reply_array(reply, command->subcommand_count);
    else reply_set(reply, 0);
    for (uint32_t i = 0; i < command->subcommand_count; i++)
        reply_row(reply, &command->subcommands[i]);
}

static void all_command(struct call *call) {
    reply_array(call->reply, command_count_top_level());
    for (size_t id = 0; id < command_count(); id++)
        if (!command_at(id)->container) reply_row(call->reply, command_at(id));
}

static void info_command(struct call *call) {
    if (call->argc == 2) {
        all_command(call);
        return;
    }
    reply_array(call->reply, call->argc - 2);
    for (uint32_t i = 2; i < call->argc; i++) {
        const struct command *command = command_names_find_full(call->domain->names, call->argv[i]);
        if (command) reply_row(call->reply, command);
        else reply_null(call->reply);
    }
}

static void count_command(struct call *call) {
    reply_integer(call->reply, (int64_t)command_names_count(call->domain->names));
}

/* ---- LIST ------------------------------------------------------------------------------------ */

struct filter {
    bool (*accepts)(const struct command *, struct bytes argument); /* NULL: everything */
    struct bytes argument;
};

/* There are no modules. */
static bool is_of_module(const struct command *command, struct bytes module) {
    (void)command;
    (void)module;
    return false;
}

static bool is_of_category(const struct command *command, struct bytes category) {
    for (uint32_t acl = command->acl; acl; acl &= acl - 1)
        if (bytes_is(category, command_acl_name((enum command_acl_bit)__builtin_ctz(acl))))
            return true;
    return false;
}

static bool is_like(const struct command *command, struct bytes pattern) {
    return glob_match_nocase(pattern, bytes_of(command->full_name, strlen(command->full_name)));
}

static bool parse_filter(struct call *call, struct filter *filter) {
    if (call->argc == 2) return true;
    if (call->argc != 5 || !bytes_is(call->argv[2], "filterby")) return false;
    filter->argument = call->argv[4];
    if (bytes_is(call->argv[3], "module")) filter->accepts = is_of_module;
    else if (bytes_is(call->argv[3], "aclcat")) filter->accepts = is_of_category;
    else if (bytes_is(call->argv[3], "pattern")) filter->accepts = is_like;
    return filter->accepts;
}

static bool is_listed(const struct filter *filter, const struct command *command) {
    return !filter->accepts || filter->accepts(command, filter->argument);
}

static void list_command(struct call *call) {
    struct filter filter = {0};
    uint64_t count = 0;
    if (!parse_filter(call, &filter)) {
        call_error_syntax(call);
        return;
    }
    for (size_t id = 0; id < command_count(); id++) count += is_listed(&filter, command_at(id));
    reply_array(call->reply, count);
    for (size_t id = 0; id < command_count(); id++)
        if (is_listed(&filter, command_at(id)))
            reply_bulk_text(call->reply, command_at(id)->full_name);
}

/* ---- GETKEYS --------------------------------------------------------------------------------- */

/* The command line that is asked about. */
struct line {
    const struct command *command;
    const struct bytes *argv;
    uint32_t argc;
};

static bool takes_keys(const struct command *command) {
    for (uint32_t i = 0; i < command->spec_count; i++)
        if (!(command->specs[i].flags & KEY_NOT_KEY)) return true;
    return false;
}

static bool parse_line(struct call *call, struct line *line) {
    const char *error = NULL;
    line->argv = call->argv + 2;
    line->argc = call->argc - 2;
    line->command = command_names_find(call->domain->names, line->argv, line->argc);
    if (!line->command) error = "ERR Invalid command specified";
    else if (!takes_keys(line->command)) error = "ERR The command has no key arguments";
    else if (!command_arity_ok(line->command, line->argc))
        error = "ERR Invalid number of arguments specified for command";
    if (error) call_error(call, error);
    return !error;
}

static bool has_word(const struct line *line, uint32_t from, const char *word) {
    for (uint32_t i = from; i < line->argc; i++)
        if (bytes_is(line->argv[i], word)) return true;
    return false;
}

/* What a command line does to its keys, where the table says the most that the command may do. */
static uint32_t flags_in(const struct line *line, uint32_t flags) {
    uint32_t plain = flags & ~(uint32_t)(KEY_VARIABLE_FLAGS | KEY_INCOMPLETE);
    if (!(flags & KEY_VARIABLE_FLAGS)) return plain;
    if (strcmp(line->command->name, "set") == 0)
        return has_word(line, 3, "get") ? KEY_RW | KEY_ACCESS | KEY_UPDATE : KEY_OW | KEY_UPDATE;
    if (strcmp(line->command->name, "bitfield") == 0 && !has_word(line, 2, "set") &&
        !has_word(line, 2, "incrby"))
        return KEY_RO | KEY_ACCESS;
    return plain;
}

static void reply_keys(struct call *call, const struct line *line, bool with_flags) {
    struct key_ref *keys = mem_alloc(NULL, line->argc * sizeof *keys);
    int count = keys ? command_keys(line->command, line->argv, line->argc, keys, line->argc) : 0;
    if (!keys) {
        call_error_memory(call);
    } else if (count <= 0 && !(line->command->flags & CMD_NO_MANDATORY_KEYS)) {
        call_error(call, "ERR Invalid arguments specified for command");
    } else {
        reply_array(call->reply, count > 0 ? (uint64_t)count : 0);
        for (int i = 0; i < count; i++) {
            if (with_flags) reply_array(call->reply, 2);
            reply_bulk(call->reply, line->argv[keys[i].index]);
            if (with_flags) reply_key_flags(call->reply, flags_in(line, keys[i].flags));
        }
    }
    mem_free(NULL, keys);
}

static void getkeys_command(struct call *call) {
    struct line line;
    if (parse_line(call, &line)) reply_keys(call, &line, false);
}

static void getkeysandflags_command(struct call *call) {
    struct line line;
    if (parse_line(call, &line)) reply_keys(call, &line, true);
}

/* ---- HELP ------------------------------------------------------------------------------------ */

static void help_command(struct call *call) {
    static const char *const lines[] = {
        "(no subcommand)",
        "    Return details about all Redis commands.",
        "COUNT",
        "    Return the total number of commands in this Redis server.",
        "LIST",
        "    Return a list of all commands in this Redis server.",
        "INFO [<command-name> ...]",
        "    Return details about multiple Redis commands.",
        "    If no command names are given, documentation details for all",
        "    commands are returned.",
        "DOCS [<command-name> ...]",
        "    Return documentation details about multiple Redis commands.",
        "    If no command names are given, documentation details for all",
        "    commands are returned.",
        "GETKEYS <full-command>",
        "    Return the keys from a full Redis command.",
        "GETKEYSANDFLAGS <full-command>",
        "    Return the keys and the access flags from a full Redis command.",
        NULL,
    };
    call_reply_help(call, lines);
}

void command_commands_bind(void) {
    command_bind("command", all_command);
    command_bind("command|count", count_command);
    command_bind("command|info", info_command);
    command_bind("command|list", list_command);
    command_bind("command|getkeys", getkeys_command);
    command_bind("command|getkeysandflags", getkeysandflags_command);
    command_bind("command|help", help_command);
}
