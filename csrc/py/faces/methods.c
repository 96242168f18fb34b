/* Methods of commands: the interpreter of the table (methods.def).
 *
 * The table's text is compiled once per process into parameters and words (method_table.c). A call binds Python's arguments to the
 * parameters, turns the words into bytes, and hands them to its face with what the reply is to become. Each row has a C function
 * of its own, so that CPython calls it as it calls any method in C, without a tuple or a dict.
 *
 * Threads: the table is written once, by the first import, and constant afterwards.
 */
#include <string.h>

#include "base/assert.h"
#include "py/faces/methods.h"

static struct method methods[] = {
#define METHOD(name, parameters, words, type, result) \
    {#name, parameters, words, type, RESULT_##result, .doc = ""},
#include "py/faces/methods.def"
#undef METHOD
};

enum { METHOD_COUNT = sizeof methods / sizeof *methods };

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
    if (parameter->kind == PARAMETER_REST)
        return arguments_add_all(arguments, bound->rest, bound->rest_count);
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

/* Of a list, which has no values, nothing. What has keys() is a mapping, as it is to dict(). */
static int add_values(struct arguments *arguments, const struct word *word, PyObject *mapping) {
    if (!mapping || !PyObject_HasAttrString(mapping, "keys")) return 0;
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

static PyObject *method_call_bound(struct face *self, const struct method *method,
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

/* Most calls of most methods: positional arguments, which are sent as they are. Asked before any is looked at closely: an iterator gives what it
 * has only once. */
static bool goes_straight(const struct method *method, PyObject *const *values, Py_ssize_t count) {
    if (count < method->required || (count > method->positional && !method->has_rest)) return false;
    for (int i = 0; i < method->positional && i < count; i++) {
        uint8_t kind = method->parameters[i].kind;
        if (values[i] == Py_None || kind == PARAMETER_FLAG) return false;
        if (kind == PARAMETER_SECONDS && !PyLong_CheckExact(values[i])) return false;
    }
    return true;
}

/* What is not given sends its default, if it has one; a flag nothing. */
static int add_straight_word(struct arguments *arguments, const struct method *method, int index,
                             PyObject *const *values, Py_ssize_t count) {
    const struct parameter *parameter = &method->parameters[index];
    if (parameter->kind == PARAMETER_REST)
        return arguments_add_all(arguments, values + method->positional,
                                 count - method->positional);
    if (index < count) return add_value(arguments, parameter, values[index]);
    return *parameter->by_default ? arguments_add_text(arguments, parameter->by_default) : 0;
}

static int add_straight(struct arguments *arguments, const struct method *method,
                        PyObject *const *values, Py_ssize_t count) {
    int result = arguments_reserve(arguments, method->straight + count);
    for (int i = 0; i < method->straight && result == 0; i++)
        result = arguments_add_text(arguments, method->words[i].text);
    for (int i = method->straight; i < method->word_count && result == 0; i++)
        result = add_straight_word(arguments, method, method->words[i].parameter, values, count);
    return result;
}

static PyObject *call_straight(struct face *self, const struct method *method,
                               PyObject *const *values, Py_ssize_t count) {
    struct arguments arguments;
    PyObject *object = NULL;
    arguments_init(&arguments);
    arguments.command = method->command;
    if (add_straight(&arguments, method, values, count) == 0 && face_check_usable(self) == 0)
        object = self->kind->run(self, &arguments, (struct result){method->result, NULL});
    arguments_deinit(&arguments);
    return object;
}

static PyObject *method_call(struct face *self, const struct method *method,
                             PyObject *const *values, Py_ssize_t count, PyObject *names) {
    if (KRT_LIKELY(method->straight && !names && goes_straight(method, values, count)))
        return call_straight(self, method, values, count);
    return method_call_bound(self, method, values, count, names);
}

/* ---- Python's side ----------------------------------------------------------------------------- */

enum {
#define METHOD(name, parameters, words, type, result) METHOD_##name,
#include "py/faces/methods.def"
#undef METHOD
};

#define METHOD(name, parameters, words, type, result)                                          \
    static PyObject *call_##name(struct face *self, PyObject *const *values, Py_ssize_t count, \
                                 PyObject *names) {                                            \
        return method_call(self, &methods[METHOD_##name], values, count, names);               \
    }
#include "py/faces/methods.def"
#undef METHOD

static PyMethodDef definitions[] = {
#define METHOD(name, parameters, words, type, result)                        \
    {#name, (PyCFunction)(void *)call_##name, METH_FASTCALL | METH_KEYWORDS, \
     methods[METHOD_##name].doc},
#include "py/faces/methods.def"
#undef METHOD
    {NULL, NULL, 0, NULL},
};

/* Once: the first method has a parameter when it is compiled. */
PyMethodDef *methods_definitions(void) {
    if (methods[0].parameter_count) return definitions;
    for (int i = 0; i < METHOD_COUNT; i++) method_compile(&methods[i]);
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
