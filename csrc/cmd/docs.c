/* COMMAND DOCS: what people and clients want to know of a command, from docs.def.
 *
 * The arguments of a command are kept as the line of syntax that docs.def explains, which is a fraction
 * of what a tree of structures would take, and read when somebody asks. The lines are ours, so what is
 * wrong in one is a programmer's error.
 */
#include "base/assert.h"
#include "cmd/families.h"

struct docs {
    const char *name; /* full */
    const char *summary;
    const char *complexity;       /* NULL: none is known */
    const char *deprecated_since; /* NULL: it is not deprecated */
    const char *replaced_by;      /* of one that is */
    const char *history;          /* lines, each a version and what changed; NULL: none */
    const char *arguments;        /* NULL: none */
    bool is_system;
};

#define SYSTEM .is_system = true
#define DEPRECATED(since, by) .deprecated_since = (since), .replaced_by = (by)
#define HISTORY(text) .history = (text)
#define ARGUMENTS(text) .arguments = (text)
#define DOCS(name_, summary_, complexity_, ...) \
    {.name = (name_), .summary = (summary_), .complexity = (complexity_), ##__VA_ARGS__},

static const struct docs rows[] = {
#include "cmd/docs.def"
};

static void reply_text(struct reply *reply, const char *name, const char *value) {
    if (!value) return;
    reply_bulk_text(reply, name);
    reply_bulk_text(reply, value);
}

/* ---- Arguments ------------------------------------------------------------------------------- */

enum { ARGUMENT_NAME_MAX = 32 };

struct argument {
    struct bytes name, type, display, token, since, deprecated_since; /* `at` is NULL without one */
    int key_spec;                                                     /* -1: none */
    bool is_optional, is_multiple, repeats_token;
    char group; /* what closes the arguments it has; 0 if it has none */
    char lower[ARGUMENT_NAME_MAX];
};

static void reply_arguments(struct reply *reply, const char **at, char close);

static bool read_mark(const char **at, const char *mark) {
    size_t len = strlen(mark);
    if (strncmp(*at, mark, len) != 0) return false;
    *at += len;
    return true;
}

static void expect_mark(const char **at, const char *mark) {
    bool is_there = read_mark(at, mark);
    KRT_ASSERT(is_there);
}

static struct bytes read_run(const char **at, const char *accepted) {
    struct bytes run = bytes_of(*at, strspn(*at, accepted));
    KRT_ASSERT(run.len > 0);
    *at += run.len;
    return run;
}

static struct bytes read_until(const char **at, const char *ends) {
    struct bytes run = bytes_of(*at, strcspn(*at, ends));
    *at += run.len;
    return run;
}

#define DIGITS "0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyz"
#define CAPITALS "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

/* The word in front: 'EX' or 'NX'. One that nothing follows is an argument by itself. */
static void read_token(struct argument *argument, const char **at) {
    if (read_mark(at, "'")) {
        argument->token = read_until(at, "'");
        expect_mark(at, "'");
    } else if (strchr(CAPITALS, **at)) {
        argument->token = read_run(at, CAPITALS DIGITS "_-");
    }
    if (!argument->token.at || read_mark(at, "=")) return;
    KRT_ASSERT(argument->token.len < ARGUMENT_NAME_MAX);
    for (uint32_t i = 0; i < argument->token.len; i++)
        argument->lower[i] = (char)(argument->token.at[i] | 32 * (argument->token.at[i] >= 'A' &&
                                                                  argument->token.at[i] <= 'Z'));
    argument->name = bytes_of(argument->lower, argument->token.len);
    argument->type = BYTES_LITERAL("pure-token");
}

static void read_name(struct argument *argument, const char **at) {
    argument->name = read_run(at, LETTERS DIGITS "_-");
    argument->type = BYTES_LITERAL("string");
    if (!read_mark(at, ":")) return;
    argument->type = read_run(at, LETTERS "-");
    if (bytes_is(argument->type, "token")) argument->type = BYTES_LITERAL("pure-token");
}

static void read_key_spec(struct argument *argument, const char **at) {
    argument->key_spec = -1;
    if (!read_mark(at, "@")) return;
    argument->key_spec = read_run(at, DIGITS).at[0] - '0';
    if (bytes_is(argument->type, "string")) argument->type = BYTES_LITERAL("key");
}

static void read_group(struct argument *argument, const char **at) {
    if (read_mark(at, "{")) {
        argument->group = '}';
        argument->type = BYTES_LITERAL("block");
    } else if (read_mark(at, "(")) {
        argument->group = ')';
        argument->type = BYTES_LITERAL("oneof");
    } else if (!argument->display.at) {
        argument->display = argument->name;
    }
}

/* Everything up to the arguments that it has itself. */
static void read_argument(struct argument *argument, const char **at) {
    argument->is_optional = read_mark(at, "[");
    read_token(argument, at);
    if (!argument->name.at) read_name(argument, at);
    read_key_spec(argument, at);
    if (read_mark(at, "~")) argument->display = read_until(at, " .+^!|)}]");
    argument->repeats_token = read_mark(at, "+...");
    argument->is_multiple = argument->repeats_token || read_mark(at, "...");
    if (read_mark(at, "^")) argument->since = read_run(at, DIGITS ".");
    if (read_mark(at, "!")) argument->deprecated_since = read_run(at, DIGITS ".");
    read_group(argument, at);
}

static void reply_pair(struct reply *reply, const char *name, struct bytes value) {
    if (!value.at) return;
    reply_bulk_text(reply, name);
    reply_bulk(reply, value);
}

static unsigned count_flags(const struct argument *argument) {
    return argument->is_optional + argument->is_multiple + argument->repeats_token;
}

static void reply_argument_flags(struct reply *reply, const struct argument *argument) {
    if (count_flags(argument) == 0) return;
    reply_bulk_text(reply, "flags");
    reply_set(reply, count_flags(argument));
    if (argument->is_optional) reply_simple(reply, "optional");
    if (argument->is_multiple) reply_simple(reply, "multiple");
    if (argument->repeats_token) reply_simple(reply, "multiple_token");
}

static uint64_t count_pairs(const struct argument *argument) {
    return 2u + (argument->display.at != NULL) + (argument->key_spec >= 0) +
           (argument->token.at != NULL) + (argument->since.at != NULL) +
           (argument->deprecated_since.at != NULL) + (count_flags(argument) > 0) +
           (argument->group != 0);
}

static void reply_argument(struct reply *reply, const char **at) {
    struct argument argument = {0};
    read_argument(&argument, at);
    reply_map(reply, count_pairs(&argument));
    reply_pair(reply, "name", argument.name);
    reply_pair(reply, "type", argument.type);
    reply_pair(reply, "display_text", argument.display);
    if (argument.key_spec >= 0) {
        reply_bulk_text(reply, "key_spec_index");
        reply_integer(reply, argument.key_spec);
    }
    reply_pair(reply, "token", argument.token);
    reply_pair(reply, "since", argument.since);
    reply_pair(reply, "deprecated_since", argument.deprecated_since);
    reply_argument_flags(reply, &argument);
    if (argument.group) reply_arguments(reply, at, argument.group);
    if (argument.is_optional) expect_mark(at, "]");
}

/* Those up to `close`, which is read as well. */
static void reply_arguments(struct reply *reply, const char **at, char close) {
    reply_bulk_text(reply, "arguments");
    struct reply_mark mark = reply_defer_begin(reply);
    uint64_t count = 0;
    do {
        reply_argument(reply, at);
        count++;
    } while (read_mark(at, close == ')' ? "|" : " "));
    KRT_ASSERT(**at == close);
    *at += close != 0;
    reply_defer_array(reply, mark, count);
}

/* ---- Commands --------------------------------------------------------------------------------- */

static void reply_flags(struct reply *reply, const struct docs *docs) {
    if (!docs->is_system && !docs->deprecated_since) return;
    reply_bulk_text(reply, "doc_flags");
    reply_set(reply, 1u + (docs->is_system && docs->deprecated_since));
    if (docs->deprecated_since) reply_simple(reply, "deprecated");
    if (docs->is_system) reply_simple(reply, "syscmd");
}

static uint64_t count_lines(const char *text) {
    uint64_t count = 1;
    for (; *text; text++) count += *text == '\n';
    return count;
}

static void reply_history(struct reply *reply, const char *at) {
    if (!at) return;
    reply_bulk_text(reply, "history");
    uint64_t count = count_lines(at);
    reply_set(reply, count);
    for (; count > 0; count--) {
        reply_array(reply, 2);
        reply_bulk(reply, read_run(&at, DIGITS "."));
        expect_mark(&at, " ");
        reply_bulk(reply, read_until(&at, "\n"));
        (void)read_mark(&at, "\n");
    }
}

static void reply_docs(struct reply *reply, const struct command *command) {
    const struct docs *docs = &rows[command->id];
    reply_bulk_text(reply, command->full_name);
    reply_map(reply, 3u + (docs->complexity != NULL) + (docs->is_system || docs->deprecated_since) +
                         2u * (docs->deprecated_since != NULL) + (docs->history != NULL) +
                         (docs->arguments != NULL) + (command->subcommand_count > 0));
    reply_text(reply, "summary", docs->summary);
    reply_text(reply, "since", command->since);
    reply_text(reply, "group", command_group_name((enum command_group)command->group));
    reply_text(reply, "complexity", docs->complexity);
    reply_flags(reply, docs);
    reply_text(reply, "deprecated_since", docs->deprecated_since);
    reply_text(reply, "replaced_by", docs->replaced_by);
    reply_history(reply, docs->history);
    const char *arguments = docs->arguments;
    if (arguments) reply_arguments(reply, &arguments, 0);
    if (command->subcommand_count == 0) return;
    reply_bulk_text(reply, "subcommands");
    reply_map(reply, command->subcommand_count);
    for (uint32_t i = 0; i < command->subcommand_count; i++)
        reply_docs(reply, &command->subcommands[i]);
}

static void docs_command(struct call *call) {
    struct reply_mark mark = reply_defer_begin(call->reply);
    uint64_t count = 0;
    for (size_t id = 0; call->argc == 2 && id < command_count(); id++) {
        if (command_at(id)->container) continue;
        reply_docs(call->reply, command_at(id));
        count++;
    }
    for (uint32_t i = 2; i < call->argc; i++) {
        const struct command *command = command_names_find_full(call->domain->names, call->argv[i]);
        if (!command) continue;
        reply_docs(call->reply, command);
        count++;
    }
    reply_defer_map(call->reply, mark, count);
}

void docs_bind(void) {
    KRT_ASSERT(sizeof rows / sizeof *rows == command_count());
    for (size_t id = 0; id < command_count(); id++)
        KRT_ASSERT(strcmp(rows[id].name, command_at(id)->full_name) == 0);
    command_bind("command|docs", docs_command);
}

struct docs_texts docs_of(const struct command *command) {
    const struct docs *docs = &rows[command->id];
    return (struct docs_texts){docs->summary, docs->complexity};
}
