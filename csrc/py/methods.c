/* Methods of commands: a table (methods.def) and its interpreter.
 *
 * The table's text is compiled once per process into parameters and words. A call binds Python's arguments to the
 * parameters, turns the words into bytes, and hands them to its face with what the reply is to become. Each row has a C function
 * of its own, so that CPython calls it as it calls any method in C, without a tuple or a dict.
 *
 * Threads: the table is written once, by the first import, and constant afterwards.
 */
#include <ctype.h>
#include <string.h>

#include "base/assert.h"
#include "py/face.h"

enum { PARAMETERS_MAX = 16, WORDS_MAX = 28, NAME_MAX_BYTES = 24 };

/* How a parameter becomes words. */
enum parameter_kind {
    PARAMETER_WORD,
    PARAMETER_FLAG,
    PARAMETER_BIT,
    PARAMETER_SECONDS,
    PARAMETER_MILLISECONDS,
    PARAMETER_UNIX_SECONDS,
    PARAMETER_UNIX_MILLISECONDS,
    PARAMETER_REST,    /* any number of arguments */
    PARAMETER_KEYS,    /* one word, or an iterable of words */
    PARAMETER_MAPPING, /* key, value, key, value, ... */
    PARAMETER_SCORES,  /* value, key, value, key, ... */
    PARAMETER_CAST,    /* no word: what makes scores */
};

struct parameter {
    char name[NAME_MAX_BYTES];
    char by_default[NAME_MAX_BYTES]; /* the word sent if it is not given; "": none */
    uint8_t kind;
    bool optional;
    bool default_true; /* of a flag */
    bool quoted;       /* the default is a str */
};

enum word_kind {
    WORD_LITERAL,
    WORD_PARAMETER, /* `text` if it is None */
    WORD_FLAG,      /* `text` if it is true */
    WORD_NO_FLAG,   /* `text` if it is false */
    WORD_COUNT,     /* how many words it has, and these */
    WORD_VALUES,    /* `text` and the values, if it is a mapping */
    WORD_GROUP,     /* the next `parameter` words: all, or none if their parameters are None */
};

struct word {
    uint8_t kind, parameter;
    char text[NAME_MAX_BYTES];
};

struct method {
    const char *name, *signature, *template;
    enum result_kind result;
    int parameter_count, word_count;
    int positional; /* parameters before the one that takes the rest */
    int cast;       /* which one makes scores; or -1 */
    bool has_rest;
    const struct kevyrt_command *command;
    struct parameter parameters[PARAMETERS_MAX];
    struct word words[WORDS_MAX];
    char doc[1536];
};

static struct method methods[] = {
#define METHOD(name, parameters, words, type, result) \
    {#name, parameters, words, RESULT_##result, .doc = ""},
#include "py/methods.def"
#undef METHOD
};

enum { METHOD_COUNT = sizeof methods / sizeof *methods };

/* ---- The table: parameters ---------------------------------------------------------------------- */

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

/* ---- The table: words --------------------------------------------------------------------------- */

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

static void compile_words(struct method *method) {
    for (const char *at = method->template; *at; at += strspn(at, " ")) {
        size_t len = strcspn(at, " ");
        if (memchr(at, ':', len)) compile_group(method, at, len);
        else compile_word(method, at, len);
        at += len;
    }
    find_command(method);
}

/* ---- Arguments --------------------------------------------------------------------------------- */

struct bound {
    PyObject *values[PARAMETERS_MAX]; /* borrowed; NULL: not given */
    PyObject *const *rest;
    Py_ssize_t rest_count;
};

static int bind_keyword(const struct method *method, PyObject *name, PyObject *value,
                        struct bound *bound) {
    for (int i = 0; i < method->parameter_count; i++) {
        const struct parameter *parameter = &method->parameters[i];
        if (parameter->kind == PARAMETER_REST ||
            PyUnicode_CompareWithASCIIString(name, parameter->name) != 0)
            continue;
        if (!bound->values[i]) {
            bound->values[i] = value;
            return 0;
        }
        PyErr_Format(PyExc_TypeError, "%s() got multiple values for argument '%U'", method->name,
                     name);
        return -1;
    }
    PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'", method->name,
                 name);
    return -1;
}

static int require_arguments(const struct method *method, const struct bound *bound) {
    for (int i = 0; i < method->parameter_count; i++) {
        if (bound->values[i] || method->parameters[i].optional) continue;
        PyErr_Format(PyExc_TypeError, "%s() missing the required argument '%s'", method->name,
                     method->parameters[i].name);
        return -1;
    }
    return 0;
}

static int bind(const struct method *method, PyObject *const *values, Py_ssize_t count,
                PyObject *names, struct bound *bound) {
    Py_ssize_t direct = count < method->positional ? count : method->positional;
    memset(bound->values, 0, (size_t)method->parameter_count * sizeof *bound->values);
    for (Py_ssize_t i = 0; i < direct; i++) bound->values[i] = values[i];
    bound->rest = values + direct;
    bound->rest_count = count - direct;
    if (bound->rest_count && !method->has_rest) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most %d positional arguments, not %zd",
                     method->name, method->positional, count);
        return -1;
    }
    for (Py_ssize_t i = 0; names && i < PyTuple_GET_SIZE(names); i++)
        if (bind_keyword(method, PyTuple_GET_ITEM(names, i), values[count + i], bound) < 0)
            return -1;
    return require_arguments(method, bound);
}

/* ---- Words ------------------------------------------------------------------------------------- */

/* One word, or those of an iterable that is no word itself. */
static int add_keys(struct arguments *arguments, PyObject *keys) {
    if (PyUnicode_Check(keys) || PyObject_CheckBuffer(keys) || PyLong_Check(keys) ||
        PyFloat_Check(keys))
        return arguments_add(arguments, keys);
    return arguments_extend(arguments, keys);
}

static int add_bit(struct arguments *arguments, PyObject *value) {
    int truth = PyObject_IsTrue(value);
    return truth < 0 ? -1 : arguments_add_text(arguments, truth ? "1" : "0");
}

static int add_value(struct arguments *arguments, const struct parameter *parameter,
                     PyObject *value) {
    switch ((enum parameter_kind)parameter->kind) {
    case PARAMETER_BIT:
        return add_bit(arguments, value);
    case PARAMETER_SECONDS:
        return arguments_add_duration(arguments, value, 1);
    case PARAMETER_MILLISECONDS:
        return arguments_add_duration(arguments, value, 1000);
    case PARAMETER_UNIX_SECONDS:
        return arguments_add_time(arguments, value, 1);
    case PARAMETER_UNIX_MILLISECONDS:
        return arguments_add_time(arguments, value, 1000);
    case PARAMETER_KEYS:
        return add_keys(arguments, value);
    case PARAMETER_MAPPING:
        return arguments_add_mapping(arguments, value, false);
    case PARAMETER_SCORES:
        return arguments_add_mapping(arguments, value, true);
    case PARAMETER_WORD:
    case PARAMETER_FLAG:
    case PARAMETER_REST:
    case PARAMETER_CAST:
        break;
    }
    return arguments_add(arguments, value);
}

static bool is_given(PyObject *value) {
    return value && value != Py_None;
}

/* `fallback` is what is sent instead of None. */
static int add_parameter(struct arguments *arguments, const struct method *method, int index,
                         const char *fallback, const struct bound *bound) {
    const struct parameter *parameter = &method->parameters[index];
    PyObject *value = bound->values[index];
    if (parameter->kind == PARAMETER_REST) {
        for (Py_ssize_t i = 0; i < bound->rest_count; i++)
            if (arguments_add(arguments, bound->rest[i]) < 0) return -1;
        return 0;
    }
    if (!parameter->optional || is_given(value)) return add_value(arguments, parameter, value);
    if (!*fallback) fallback = parameter->by_default;
    return *fallback ? arguments_add_text(arguments, fallback) : 0;
}

static int add_flag(struct arguments *arguments, const struct method *method,
                    const struct word *word, const struct bound *bound) {
    PyObject *value = bound->values[word->parameter];
    int truth = value ? PyObject_IsTrue(value) : method->parameters[word->parameter].default_true;
    if (truth < 0) return -1;
    if (truth != (word->kind == WORD_FLAG)) return 0;
    return arguments_add_text(arguments, word->text);
}

/* How many words a parameter has is known once they are there: the number goes in front of them. */
static int add_count(struct arguments *arguments, const struct method *method, int index,
                     const struct bound *bound) {
    uint32_t place = arguments->count;
    if (arguments_add_text(arguments, "") < 0 ||
        add_parameter(arguments, method, index, "", bound) < 0)
        return -1;
    PyObject *number = PyLong_FromUnsignedLong(arguments->count - place - 1);
    int result = number ? arguments_set(arguments, place, number) : -1;
    Py_XDECREF(number);
    return result;
}

/* Of a list, which has no values, nothing. */
static int add_values(struct arguments *arguments, const struct word *word, PyObject *mapping) {
    if (!mapping || !PyMapping_Check(mapping) || PySequence_Check(mapping) > PyDict_Check(mapping))
        return 0;
    PyObject *values = PyMapping_Values(mapping);
    if (!values) return -1;
    int result = *word->text ? arguments_add_text(arguments, word->text) : 0;
    if (result == 0) result = arguments_extend(arguments, values);
    Py_DECREF(values);
    return result;
}

/* 1: send the group; 0: do not; -1: it is given by half. */
static int group_is_wanted(const struct method *method, const struct word *group,
                           const struct bound *bound) {
    int asked = 0, given = 0;
    const char *missing = NULL;
    for (int i = 1; i <= group->parameter; i++) {
        const struct parameter *parameter = &method->parameters[group[i].parameter];
        if (group[i].kind != WORD_PARAMETER || !parameter->optional || *parameter->by_default)
            continue;
        asked++;
        if (is_given(bound->values[group[i].parameter])) given++;
        else missing = parameter->name;
    }
    if (given == asked) return 1;
    if (given == 0) return 0;
    PyErr_Format(PyExc_ValueError, "%s() needs '%s' as well", method->name, missing);
    return -1;
}

static int add_word(struct arguments *arguments, const struct method *method,
                    const struct word *word, const struct bound *bound) {
    switch ((enum word_kind)word->kind) {
    case WORD_LITERAL:
        return arguments_add_text(arguments, word->text);
    case WORD_PARAMETER:
        return add_parameter(arguments, method, word->parameter, word->text, bound);
    case WORD_FLAG:
    case WORD_NO_FLAG:
        return add_flag(arguments, method, word, bound);
    case WORD_COUNT:
        return add_count(arguments, method, word->parameter, bound);
    case WORD_VALUES:
        return add_values(arguments, word, bound->values[word->parameter]);
    case WORD_GROUP:
        break;
    }
    return 0;
}

static int add_words(struct arguments *arguments, const struct method *method,
                     const struct bound *bound) {
    for (int i = 0; i < method->word_count; i++) {
        const struct word *word = &method->words[i];
        if (word->kind == WORD_GROUP) {
            int wanted = group_is_wanted(method, word, bound);
            if (wanted < 0) return -1;
            if (!wanted) i += word->parameter;
        } else if (add_word(arguments, method, word, bound) < 0) {
            return -1;
        }
    }
    return 0;
}

/* float makes nothing else of a score than what it is. */
static struct result result_of(const struct method *method, const struct bound *bound) {
    PyObject *cast = method->cast < 0 ? NULL : bound->values[method->cast];
    if (cast == Py_None || cast == (PyObject *)&PyFloat_Type) cast = NULL;
    return (struct result){method->result, cast};
}

static PyObject *method_call(struct face *self, const struct method *method,
                             PyObject *const *values, Py_ssize_t count, PyObject *names) {
    struct bound bound;
    struct arguments arguments;
    PyObject *object = NULL;
    if (bind(method, values, count, names, &bound) < 0) return NULL;
    arguments_init(&arguments);
    arguments.command = method->command;
    if (add_words(&arguments, method, &bound) == 0 && face_check_usable(self) == 0)
        object = self->kind->run(self, &arguments, result_of(method, &bound));
    arguments_deinit(&arguments);
    return object;
}

/* ---- Python's side ----------------------------------------------------------------------------- */

enum {
#define METHOD(name, parameters, words, type, result) METHOD_##name,
#include "py/methods.def"
#undef METHOD
};

#define METHOD(name, parameters, words, type, result)                                          \
    static PyObject *call_##name(struct face *self, PyObject *const *values, Py_ssize_t count, \
                                 PyObject *names) {                                            \
        return method_call(self, &methods[METHOD_##name], values, count, names);               \
    }
#include "py/methods.def"
#undef METHOD

static PyMethodDef definitions[] = {
#define METHOD(name, parameters, words, type, result)                        \
    {#name, (PyCFunction)(void *)call_##name, METH_FASTCALL | METH_KEYWORDS, \
     methods[METHOD_##name].doc},
#include "py/methods.def"
#undef METHOD
    {NULL, NULL, 0, NULL},
};

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
    int len = snprintf(at, (size_t)(end - at), "%s\n\nRedis %s; %s", description.summary,
                       description.since,
                       description.complexity ? description.complexity : "no complexity is told");
    KRT_ASSERT(len < end - at);
}

/* Once: the first method has a parameter when it is compiled. */
PyMethodDef *methods_definitions(void) {
    if (methods[0].parameter_count) return definitions;
    for (int i = 0; i < METHOD_COUNT; i++) {
        compile_parameters(&methods[i]);
        compile_words(&methods[i]);
        make_doc(&methods[i]);
    }
    return definitions;
}

const char *methods_doc(const char *name) {
    PyMethodDef *definition = methods_definitions();
    while (strcmp(definition->ml_name, name) != 0) definition++;
    return definition->ml_doc;
}

PyObject *method_get(struct face *self, PyObject *const *values, Py_ssize_t count,
                     PyObject *names) {
    return call_get(self, values, count, names);
}

PyObject *method_set(struct face *self, PyObject *const *values, Py_ssize_t count,
                     PyObject *names) {
    return call_set(self, values, count, names);
}
