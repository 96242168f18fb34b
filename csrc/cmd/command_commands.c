/* COMMAND: the table about itself, in Redis's form.
 *
 * Every set is as long as its bits, so nothing is counted twice and no length is filled in later.
 */
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
    for (; acl; acl &= acl - 1)
        reply_simple(reply, names[__builtin_ctz(acl)]);
}

static void reply_tips(struct reply *reply, const char *const *tips) {
    uint64_t count = 0;
    while (tips && tips[count])
        count++;
    reply_set(reply, count);
    for (uint64_t i = 0; i < count; i++)
        reply_bulk_text(reply, tips[i]);
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
    for (uint32_t i = 0; i < command->spec_count; i++)
        reply_spec(reply, &command->specs[i]);
    /* In RESP3 no subcommands are an empty set, and some are an array: so Redis does. */
    if (command->subcommand_count)
        reply_array(reply, command->subcommand_count);
    else
        reply_set(reply, 0);
    for (uint32_t i = 0; i < command->subcommand_count; i++)
        reply_row(reply, &command->subcommands[i]);
}

static uint64_t count_top_level(void) {
    uint64_t count = 0;
    for (size_t id = 0; id < command_count(); id++)
        count += !command_at(id)->container;
    return count;
}

static void all_command(struct call *call) {
    reply_array(call->reply, count_top_level());
    for (size_t id = 0; id < command_count(); id++)
        if (!command_at(id)->container)
            reply_row(call->reply, command_at(id));
}

static void info_command(struct call *call) {
    if (call->argc == 2) {
        all_command(call);
        return;
    }
    reply_array(call->reply, call->argc - 2);
    for (uint32_t i = 2; i < call->argc; i++) {
        const struct command *command = command_find_name(call->argv[i]);
        if (command)
            reply_row(call->reply, command);
        else
            reply_null(call->reply);
    }
}

static void count_command(struct call *call) {
    reply_integer(call->reply, (int64_t)count_top_level());
}

void command_commands_bind(void) {
    command_bind("command", all_command);
    command_bind("command|count", count_command);
    command_bind("command|info", info_command);
}
