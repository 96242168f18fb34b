/* The table of methods, compiled.
 *
 * Role: what methods.def says of a method, as methods.c interprets it at each call. The mini-language is described at the head of
 * methods.def.
 * Threads: written once, by the first import, and constant afterwards.
 * Errors: a row that does not fit is an assertion, which the first import shows.
 */
#pragma once

#include "py/faces/face.h"

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
    const char *name, *signature, *template, *type;
    enum result_kind result;
    int parameter_count, word_count;
    int positional; /* parameters before the one that takes the rest */
    int cast;       /* which one makes scores; or -1 */
    int required;   /* positional ones that must be given */
    int straight;   /* words in front of those of parameters; 0: it is not as simple */
    bool has_rest;
    const struct kevyrt_command *command;
    struct parameter parameters[PARAMETERS_MAX];
    struct word words[WORDS_MAX];
    char doc[1536];
};

/* Compiles the row's texts into the rest of it. */
void method_compile(struct method *method);
