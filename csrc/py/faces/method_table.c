/* The compiler of the table of methods: texts of methods.def become parameters, words and documentation. */
#include <ctype.h>
#include <string.h>

#include "base/assert.h"
#include "py/faces/methods.h"

/* ---- Parameters -------------------------------------------------------------------------------- */

/* The table is ours: what does not fit is a mistake in it, which the import shows. */
static void copy_text(char *to, const char *from, size_t len) {
    KRT_ASSERT(len < NAME_MAX_BYTES);
    memcpy(to, from, len);
    to[len] = 0;
}

static bool begins(const char *text, const char *with) {
    return strncmp(text, with, strlen(with)) == 0;
}

static uint8_t kind_of_type(const char *type) {
    static const struct {
        const char *type;
        enum parameter_kind kind;
    } kinds[] = {{"bool", PARAMETER_FLAG},
                 {"Bit", PARAMETER_BIT},
                 {"Seconds", PARAMETER_SECONDS},
                 {"Milliseconds", PARAMETER_MILLISECONDS},
                 {"UnixSeconds", PARAMETER_UNIX_SECONDS},
                 {"UnixMilliseconds", PARAMETER_UNIX_MILLISECONDS},
                 {"Keys", PARAMETER_KEYS},
                 {"Streams", PARAMETER_KEYS},
                 {"Mapping", PARAMETER_MAPPING},
                 {"Scores", PARAMETER_SCORES},
                 {"Cast", PARAMETER_CAST}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (begins(type, kinds[i].type)) return (uint8_t)kinds[i].kind;
    return PARAMETER_WORD;
}

static void compile_default(struct parameter *out, const char *text, size_t len) {
    if (out->kind == PARAMETER_FLAG) {
        out->default_true = begins(text, "True");
        return;
    }
    if (begins(text, "None")) return;
    out->quoted = *text == '\'';
    copy_text(out->by_default, text + out->quoted, len - 2 * out->quoted);
}

/* `[*]name: type[ = default]`, up to `len` bytes. */
static void compile_parameter(struct parameter *out, const char *text, size_t len) {
    bool rest = *text == '*';
    const char *name = text + rest, *colon = memchr(text, ':', len);
    const char *equals = memchr(text, '=', len);
    copy_text(out->name, name, (size_t)(colon - name));
    out->kind = rest ? PARAMETER_REST : kind_of_type(colon + 2);
    out->optional = equals || rest;
    if (equals) compile_default(out, equals + 2, (size_t)(text + len - equals - 2));
}

/* Up to a comma that is in no brackets. */
static size_t parameter_len(const char *text) {
    int depth = 0;
    size_t len = 0;
    for (; text[len] && (text[len] != ',' || depth > 0); len++)
        depth += (text[len] == '[') - (text[len] == ']');
    return len;
}

static void compile_parameters(struct method *method) {
    const char *at = method->signature;
    method->cast = -1;
    while (*at) {
        size_t len = parameter_len(at);
        KRT_ASSERT(method->parameter_count < PARAMETERS_MAX);
        struct parameter *parameter = &method->parameters[method->parameter_count++];
        compile_parameter(parameter, at, len);
        if (parameter->kind == PARAMETER_CAST) method->cast = method->parameter_count - 1;
        method->has_rest |= parameter->kind == PARAMETER_REST;
        method->positional += !method->has_rest;
        at += len;
        at += strspn(at, ", ");
    }
}

/* ---- Words ------------------------------------------------------------------------------------- */

static uint8_t parameter_index(const struct method *method, const char *name, size_t len) {
    int i = 0;
    while (strlen(method->parameters[i].name) != len || !begins(name, method->parameters[i].name)) {
        i++;
        KRT_ASSERT(i < method->parameter_count);
    }
    return (uint8_t)i;
}

static struct word *add_compiled(struct method *method, enum word_kind kind) {
    KRT_ASSERT(method->word_count < WORDS_MAX);
    struct word *word = &method->words[method->word_count++];
    word->kind = (uint8_t)kind;
    return word;
}

/* A parameter alone: a flag sends its name in capitals; what is behind `|` is sent if it is None. */
static void compile_name(struct method *method, const char *text, size_t len) {
    const char *bar = memchr(text, '|', len);
    struct word *word = add_compiled(method, WORD_PARAMETER);
    word->parameter = parameter_index(method, text, bar ? (size_t)(bar - text) : len);
    if (bar) copy_text(word->text, bar + 1, (size_t)(text + len - bar - 1));
    if (method->parameters[word->parameter].kind != PARAMETER_FLAG) return;
    word->kind = WORD_FLAG;
    copy_text(word->text, text, len);
    for (char *at = word->text; *at; at++) *at = (char)toupper((unsigned char)*at);
}

/* One word without a colon. */
static void compile_word(struct method *method, const char *text, size_t len) {
    static const struct {
        char mark;
        enum word_kind kind;
    } marks[] = {{'#', WORD_COUNT}, {'?', WORD_FLAG}, {'!', WORD_NO_FLAG}, {'=', WORD_VALUES}};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        const char *mark = memchr(text, marks[i].mark, len);
        if (!mark) continue;
        struct word *word = add_compiled(method, marks[i].kind);
        copy_text(word->text, text, (size_t)(mark - text));
        word->parameter = parameter_index(method, mark + 1, (size_t)(text + len - mark - 1));
        return;
    }
    if (islower((unsigned char)*text) || *text == '_') compile_name(method, text, len);
    else copy_text(add_compiled(method, WORD_LITERAL)->text, text, len);
}

/* `WORD:word:word`: a group and its words, the first of which may be missing. */
static void compile_group(struct method *method, const char *text, size_t len) {
    struct word *group = add_compiled(method, WORD_GROUP);
    const char *end = text + len;
    text += *text == ':';
    for (; text < end; group->parameter++) {
        const char *colon = memchr(text, ':', (size_t)(end - text));
        size_t one = (size_t)((colon ? colon : end) - text);
        compile_word(method, text, one);
        text += one + 1;
    }
}

/* By the words that are the same in every call. */
static void find_command(struct method *method) {
    struct bytes words[2];
    uint32_t count = 0;
    while (count < 2 && method->words[count].kind == WORD_LITERAL) {
        const char *text = method->words[count].text;
        words[count++] = bytes_of(text, strlen(text));
    }
    method->command = kevyrt_command_find(words, count);
}

static bool is_straight(const struct method *method, const struct word *word) {
    const struct parameter *parameter = &method->parameters[word->parameter];
    switch ((enum parameter_kind)parameter->kind) {
    case PARAMETER_WORD:
    case PARAMETER_SECONDS:
    case PARAMETER_REST:
    case PARAMETER_KEYS:
    case PARAMETER_MAPPING:
    case PARAMETER_SCORES:
        return word->kind == WORD_PARAMETER && !*word->text;
    case PARAMETER_FLAG:
        return word->kind == WORD_FLAG && !parameter->default_true;
    default:
        return false;
    }
}

/* Are its words the command, then parameters? */
static void find_straight(struct method *method) {
    int literals = 0;
    while (literals < method->word_count && method->words[literals].kind == WORD_LITERAL)
        literals++;
    if (method->cast >= 0) return;
    for (int i = literals; i < method->word_count; i++)
        if (!is_straight(method, &method->words[i])) return;
    for (int i = 0; i < method->positional; i++)
        if (!method->parameters[i].optional) method->required = i + 1;
    method->straight = literals;
}

static void compile_words(struct method *method) {
    for (const char *at = method->template; *at; at += strspn(at, " ")) {
        size_t len = strcspn(at, " ");
        if (memchr(at, ':', len)) compile_group(method, at, len);
        else compile_word(method, at, len);
        at += len;
    }
    find_command(method);
    find_straight(method);
}

/* ---- Documentation ------------------------------------------------------------------------------ */

static char *add_default(char *at, const struct parameter *parameter) {
    const char *text = *parameter->by_default ? parameter->by_default : "None";
    if (parameter->kind == PARAMETER_FLAG) text = parameter->default_true ? "True" : "False";
    return at + sprintf(at, parameter->quoted ? "='%s'" : "=%s", text);
}

/* What inspect.signature reads. */
static char *add_signature(char *at, const struct method *method) {
    at += sprintf(at, "%s($self", method->name);
    for (int i = 0; i < method->parameter_count; i++) {
        const struct parameter *parameter = &method->parameters[i];
        bool rest = parameter->kind == PARAMETER_REST;
        at += sprintf(at, ", %s%s", rest ? "*" : "", parameter->name);
        if (parameter->optional && !rest) at = add_default(at, parameter);
    }
    return at + sprintf(at, ")\n--\n\n");
}

/* What the method calls, by the command table: the first word, and the second if it is a subcommand. */
static struct kevyrt_description describe(const struct method *method) {
    struct kevyrt_description description = {"", "", "", NULL};
    char name[2 * NAME_MAX_BYTES + 1] = "";
    for (int i = 0; i < 2 && i < method->word_count && method->words[i].kind == WORD_LITERAL; i++) {
        if (i) strcat(name, "|");
        strcat(name, method->words[i].text);
        (void)kevyrt_describe(bytes_of(name, strlen(name)), &description);
    }
    return description;
}

static void make_doc(struct method *method) {
    struct kevyrt_description description = describe(method);
    char *at = add_signature(method->doc, method);
    const char *end = method->doc + sizeof method->doc;
    int len = snprintf(at, (size_t)(end - at), "%s\n\nArgs: %s\nReturns: %s\n\nRedis %s; %s",
                       description.summary, *method->signature ? method->signature : "none",
                       method->type, description.since,
                       description.complexity ? description.complexity : "no complexity is told");
    KRT_ASSERT(len < end - at);
}

void method_compile(struct method *method) {
    compile_parameters(method);
    compile_words(method);
    make_doc(method);
}
