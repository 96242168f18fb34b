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

enum { PARAMETERS_MAX = 16, WORDS_MAX = 20, NAME_MAX_BYTES = 24 };

/* How a parameter becomes words. */
enum parameter_kind {
    PARAMETER_WORD,
    PARAMETER_FLAG,
    PARAMETER_SECONDS,
    PARAMETER_MILLISECONDS,
    PARAMETER_REST,    /* any number of arguments */
    PARAMETER_KEYS,    /* one word, or an iterable of words */
    PARAMETER_MAPPING, /* key, value, key, value, ... */
    PARAMETER_SCORES,  /* value, key, value, key, ... */
};

struct parameter {
    char name[NAME_MAX_BYTES];
    char capitals[NAME_MAX_BYTES];   /* what a flag sends */
    char by_default[NAME_MAX_BYTES]; /* the word sent if it is not given; "": none */
    uint8_t kind;
    bool optional;
};

enum word_kind { WORD_LITERAL, WORD_PARAMETER, WORD_OPTION, WORD_COUNT };

struct word {
    uint8_t kind, parameter;
    char text[NAME_MAX_BYTES]; /* of a literal and an option */
};

struct method {
    const char *name, *signature, *template;
    enum result_kind result;
    int parameter_count, word_count;
    int positional; /* parameters before the one that takes the rest */
    bool has_rest;
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

/* ---- The table -------------------------------------------------------------------------------- */

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
    } kinds[] = {{"bool", PARAMETER_FLAG},       {"Seconds", PARAMETER_SECONDS},
                 {"Keys", PARAMETER_KEYS},       {"Milliseconds", PARAMETER_MILLISECONDS},
                 {"Mapping", PARAMETER_MAPPING}, {"Scores", PARAMETER_SCORES}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (begins(type, kinds[i].type)) return (uint8_t)kinds[i].kind;
    return PARAMETER_WORD;
}

/* `[*]name: type[ = default]`, up to `len` bytes. */
static void compile_parameter(struct parameter *out, const char *text, size_t len) {
    bool rest = *text == '*';
    const char *name = text + rest, *colon = memchr(text, ':', len);
    const char *equals = memchr(text, '=', len);
    copy_text(out->name, name, (size_t)(colon - name));
    for (size_t i = 0; out->name[i]; i++)
        out->capitals[i] = (char)toupper((unsigned char)out->name[i]);
    out->kind = rest ? PARAMETER_REST : kind_of_type(colon + 2);
    out->optional = equals || rest;
    if (!equals || out->kind == PARAMETER_FLAG || begins(equals, "= None")) return;
    copy_text(out->by_default, equals + 2, (size_t)(text + len - equals - 2));
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
    while (*at) {
        size_t len = parameter_len(at);
        KRT_ASSERT(method->parameter_count < PARAMETERS_MAX);
        struct parameter *parameter = &method->parameters[method->parameter_count++];
        compile_parameter(parameter, at, len);
        method->has_rest |= parameter->kind == PARAMETER_REST;
        method->positional += !method->has_rest;
        at += len;
        at += strspn(at, ", ");
    }
}

static uint8_t parameter_index(const struct method *method, const char *name, size_t len) {
    int i = 0;
    while (strlen(method->parameters[i].name) != len || !begins(name, method->parameters[i].name)) {
        i++;
        KRT_ASSERT(i < method->parameter_count);
    }
    return (uint8_t)i;
}

static void compile_word(struct method *method, const char *text, size_t len) {
    struct word *word = &method->words[method->word_count++];
    const char *colon = memchr(text, ':', len);
    if (colon) {
        word->kind = WORD_OPTION;
        copy_text(word->text, text, (size_t)(colon - text));
        word->parameter = parameter_index(method, colon + 1, (size_t)(text + len - colon - 1));
    } else if (*text == '#') {
        word->kind = WORD_COUNT;
        word->parameter = parameter_index(method, text + 1, len - 1);
    } else if (islower((unsigned char)*text)) {
        word->kind = WORD_PARAMETER;
        word->parameter = parameter_index(method, text, len);
    } else {
        copy_text(word->text, text, len);
    }
}

static void compile_words(struct method *method) {
    for (const char *at = method->template; *at; at += strspn(at, " ")) {
        size_t len = strcspn(at, " ");
        KRT_ASSERT(method->word_count < WORDS_MAX);
        compile_word(method, at, len);
        at += len;
    }
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

static int add_flag(struct arguments *arguments, const struct parameter *parameter,
                    PyObject *value) {
    int truth = value ? PyObject_IsTrue(value) : 0;
    return truth > 0 ? arguments_add_text(arguments, parameter->capitals) : truth;
}

/* One word, or those of an iterable that is no word itself. */
static int add_keys(struct arguments *arguments, PyObject *keys) {
    if (PyUnicode_Check(keys) || PyObject_CheckBuffer(keys) || PyLong_Check(keys) ||
        PyFloat_Check(keys))
        return arguments_add(arguments, keys);
    return arguments_extend(arguments, keys);
}

static int add_value(struct arguments *arguments, const struct parameter *parameter,
                     PyObject *value) {
    switch ((enum parameter_kind)parameter->kind) {
    case PARAMETER_FLAG:
        return add_flag(arguments, parameter, value);
    case PARAMETER_SECONDS:
        return arguments_add_duration(arguments, value, 1);
    case PARAMETER_MILLISECONDS:
        return arguments_add_duration(arguments, value, 1000);
    case PARAMETER_KEYS:
        return add_keys(arguments, value);
    case PARAMETER_MAPPING:
        return arguments_add_mapping(arguments, value, false);
    case PARAMETER_SCORES:
        return arguments_add_mapping(arguments, value, true);
    case PARAMETER_WORD:
    case PARAMETER_REST:
        break;
    }
    return arguments_add(arguments, value);
}

static int add_parameter(struct arguments *arguments, const struct method *method, int index,
                         const char *option, const struct bound *bound) {
    const struct parameter *parameter = &method->parameters[index];
    PyObject *value = bound->values[index];
    if (parameter->kind == PARAMETER_REST) {
        for (Py_ssize_t i = 0; i < bound->rest_count; i++)
            if (arguments_add(arguments, bound->rest[i]) < 0) return -1;
        return 0;
    }
    if (parameter->optional && (!value || value == Py_None)) {
        if (!*parameter->by_default) return 0;
        if (option && arguments_add_text(arguments, option) < 0) return -1;
        return arguments_add_text(arguments, parameter->by_default);
    }
    if (option && arguments_add_text(arguments, option) < 0) return -1;
    return add_value(arguments, parameter, value);
}

/* How many words a parameter has is known once they are there: the number goes in front of them. */
static int add_count(struct arguments *arguments, const struct method *method, int index,
                     const struct bound *bound) {
    uint32_t place = arguments->count;
    if (arguments_add_text(arguments, "") < 0 ||
        add_parameter(arguments, method, index, NULL, bound) < 0)
        return -1;
    PyObject *number = PyLong_FromUnsignedLong(arguments->count - place - 1);
    int result = number ? arguments_set(arguments, place, number) : -1;
    Py_XDECREF(number);
    return result;
}

static int add_word(struct arguments *arguments, const struct method *method,
                    const struct word *word, const struct bound *bound) {
    switch ((enum word_kind)word->kind) {
    case WORD_LITERAL:
        return arguments_add_text(arguments, word->text);
    case WORD_PARAMETER:
        return add_parameter(arguments, method, word->parameter, NULL, bound);
    case WORD_OPTION:
        return add_parameter(arguments, method, word->parameter, word->text, bound);
    case WORD_COUNT:
        return add_count(arguments, method, word->parameter, bound);
    }
    return -1;
}

static PyObject *method_call(struct face *self, const struct method *method,
                             PyObject *const *values, Py_ssize_t count, PyObject *names) {
    struct bound bound;
    struct arguments arguments;
    PyObject *object = NULL;
    int result = 0;
    if (bind(method, values, count, names, &bound) < 0) return NULL;
    arguments_init(&arguments);
    for (int i = 0; i < method->word_count && result == 0; i++)
        result = add_word(&arguments, method, &method->words[i], &bound);
    if (result == 0 && face_check_usable(self) == 0)
        object = self->kind->run(self, &arguments, (struct result){method->result, NULL});
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

/* What inspect.signature reads. */
static char *add_signature(char *at, const struct method *method) {
    at += sprintf(at, "%s($self", method->name);
    for (int i = 0; i < method->parameter_count; i++) {
        const struct parameter *parameter = &method->parameters[i];
        const char *by_default = parameter->kind == PARAMETER_FLAG ? "False"
                                 : *parameter->by_default          ? parameter->by_default
                                                                   : "None";
        bool rest = parameter->kind == PARAMETER_REST;
        at += sprintf(at, ", %s%s", rest ? "*" : "", parameter->name);
        if (parameter->optional && !rest) at += sprintf(at, "=%s", by_default);
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
