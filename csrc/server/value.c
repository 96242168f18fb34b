/* Values of settings: one small parser for each kind. */
#include "server/value.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>

enum { LIST_WORDS_MAX = 128, SCORE_MAX = 2000 };

static bool refuse(struct value *out, const char *words) {
    snprintf(out->error, sizeof out->error, "%s", words);
    return false;
}

static void set_text(struct value *out, struct bytes text) {
    KRT_ASSERT(text.len <= CONFIG_VALUE_MAX);
    memcpy(out->text, text.at, text.len);
    out->text[text.len] = 0;
}

static bool set_number(struct value *out, int64_t number, const char *text) {
    out->number = number;
    set_text(out, bytes_of(text, strlen(text)));
    return true;
}

static bool set_decimal(struct value *out, int64_t number) {
    out->number = number;
    out->text[bytes_from_int64(out->text, number)] = 0;
    return true;
}

/* ---- Words ----------------------------------------------------------------------------------- */

struct words {
    struct bytes at[LIST_WORDS_MAX];
    uint32_t count;
};

static bool next_word(const char **text, struct bytes *word) {
    *text += strspn(*text, " ");
    *word = bytes_of(*text, strcspn(*text, " "));
    *text += word->len;
    return word->len > 0;
}

static bool split(const char *text, struct words *out) {
    struct bytes word;
    out->count = 0;
    while (next_word(&text, &word)) {
        if (out->count == LIST_WORDS_MAX) return false;
        out->at[out->count++] = word;
    }
    return true;
}

/* The words with one blank between them: never longer than the text they were cut from. */
static void join(struct value *out, const struct words *words) {
    size_t len = 0;
    for (uint32_t i = 0; i < words->count; i++) {
        if (i > 0) out->text[len++] = ' ';
        memcpy(out->text + len, words->at[i].at, words->at[i].len);
        len += words->at[i].len;
    }
    out->text[len] = 0;
}

static bool word_equal(struct bytes given, struct bytes known) {
    char lower[64];
    if (given.len != known.len || known.len >= sizeof lower) return false;
    memcpy(lower, known.at, known.len);
    lower[known.len] = 0;
    return bytes_is(given, lower);
}

/* Which of the known words, or -1; *word is the known one. */
static int word_position(const char *known, struct bytes given, struct bytes *word) {
    for (int i = 0; next_word(&known, word); i++)
        if (word_equal(given, *word)) return i;
    return -1;
}

static bool refuse_words(struct value *out, const char *known) {
    struct bytes word;
    int len = snprintf(out->error, sizeof out->error, "argument(s) must be one of the following: ");
    for (bool first = true; next_word(&known, &word); first = false)
        if (len < (int)sizeof out->error)
            len += snprintf(out->error + len, sizeof out->error - (size_t)len, "%s%.*s",
                            first ? "" : ", ", (int)word.len, word.at);
    return false;
}

static bool parse_enum(const struct setting *setting, struct bytes given, struct value *out) {
    struct bytes word;
    out->number = word_position(setting->words, given, &word);
    if (out->number < 0) return refuse_words(out, setting->words);
    set_text(out, word);
    return true;
}

/* The first of the known words stands for none of the others. */
static void set_flags(const char *known, int64_t bits, struct value *out) {
    struct bytes word;
    struct words chosen = {.count = 0};
    for (unsigned i = 0; next_word(&known, &word); i++)
        if (i == 0 ? bits <= 1 : bits >> i & 1) chosen.at[chosen.count++] = word;
    out->number = bits & ~INT64_C(1);
    join(out, &chosen);
}

static bool says_both(const char *known, int64_t bits, const char *one, const char *other) {
    struct bytes word;
    int first = word_position(known, bytes_of(one, strlen(one)), &word);
    int second = word_position(known, bytes_of(other, strlen(other)), &word);
    return first >= 0 && second >= 0 && (bits >> first & 1) && (bits >> second & 1);
}

static bool parse_flags(const struct setting *setting, const char *given, struct value *out) {
    struct words words;
    struct bytes known;
    int64_t bits = 0;
    if (!split(given, &words) || words.count == 0) return refuse_words(out, setting->words);
    for (uint32_t i = 0; i < words.count; i++) {
        int position = word_position(setting->words, words.at[i], &known);
        if (position < 0) return refuse_words(out, setting->words);
        bits |= INT64_C(1) << position;
    }
    if (says_both(setting->words, bits, "save", "nosave"))
        return refuse(out, "shutdown options SAVE and NOSAVE can't be used simultaneously");
    set_flags(setting->words, bits, out);
    return true;
}

static bool parse_bool(struct bytes given, struct value *out) {
    if (bytes_is(given, "yes")) return set_number(out, 1, "yes");
    if (bytes_is(given, "no")) return set_number(out, 0, "no");
    return refuse(out, "argument must be 'yes' or 'no'");
}

/* ---- Numbers --------------------------------------------------------------------------------- */

static bool in_range(const struct setting *setting, int64_t number, struct value *out) {
    const char *form = setting->kind == KIND_OCTAL
                           ? "argument must be between %" PRIo64 " and %" PRIo64 " inclusive"
                           : "argument must be between %" PRId64 " and %" PRId64 " inclusive";
    if (number >= setting->least && number <= setting->most) return true;
    snprintf(out->error, sizeof out->error, form, setting->least, setting->most);
    return false;
}

static bool parse_integer(const struct setting *setting, struct bytes given, struct value *out) {
    int64_t number;
    if (!bytes_to_int64(given, &number))
        return refuse(out, "argument couldn't be parsed into an integer");
    return in_range(setting, number, out) && set_decimal(out, number);
}

static bool parse_port(const struct setting *setting, struct bytes given, struct value *out) {
    if (bytes_is(given, "any")) return set_number(out, -1, "any");
    return parse_integer(setting, given, out);
}

static bool parse_octal(const struct setting *setting, struct bytes given, struct value *out) {
    int64_t number = 0;
    bool digits = given.len > 0 && given.len <= 20;
    for (uint32_t i = 0; digits && i < given.len; i++) {
        digits = given.at[i] >= '0' && given.at[i] <= '7';
        number = number * 8 + (given.at[i] - '0');
    }
    if (!digits) return refuse(out, "argument couldn't be parsed as an octal number");
    if (!in_range(setting, number, out)) return false;
    snprintf(out->text, sizeof out->text, "%" PRIo64, number);
    out->number = number;
    return true;
}

static bool unit_factor(struct bytes unit, int64_t *factor) {
    static const struct {
        const char *unit;
        int64_t factor;
    } known[] = {{"", 1},        {"b", 1},        {"k", 1000},       {"kb", 1024},
                 {"m", 1000000}, {"mb", 1 << 20}, {"g", 1000000000}, {"gb", 1 << 30}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (!bytes_is(unit, known[i].unit)) continue;
        *factor = known[i].factor;
        return true;
    }
    return false;
}

bool value_parse_memory(struct bytes text, int64_t *out) {
    uint32_t digits = 0;
    int64_t number = 0, factor;
    for (; digits < text.len && text.at[digits] >= '0' && text.at[digits] <= '9'; digits++)
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, text.at[digits] - '0', &number))
            return false;
    return unit_factor(bytes_of(text.at + digits, text.len - digits), &factor) &&
           !__builtin_mul_overflow(number, factor, out);
}

static bool parse_memory(const struct setting *setting, struct bytes given, struct value *out) {
    int64_t number;
    if (!value_parse_memory(given, &number))
        return refuse(out, setting->kind == KIND_MEMORY
                               ? "argument must be a memory value"
                               : "argument must be a memory or percent value");
    return in_range(setting, number, out) && set_decimal(out, number);
}

static bool parse_memory_or_percent(const struct setting *setting, struct bytes given,
                                    struct value *out) {
    int64_t percent;
    if (given.len == 0 || given.at[given.len - 1] != '%') return parse_memory(setting, given, out);
    if (!bytes_to_int64(bytes_of(given.at, given.len - 1), &percent) || percent < 0)
        return refuse(out, "argument must be a memory or percent value");
    if (percent > 100) return refuse(out, "percentage argument must be less or equal to 100");
    out->number = -percent;
    snprintf(out->text, sizeof out->text, "%" PRId64 "%%", percent);
    return true;
}

/* ---- Lists ----------------------------------------------------------------------------------- */

static bool parse_bind(const char *given, struct value *out) {
    struct words words;
    if (!split(given, &words) || words.count > CONFIG_ADDRESSES_MAX)
        return refuse(out, "Too many bind addresses specified.");
    join(out, &words);
    return true;
}

static bool parse_save(const char *given, struct value *out) {
    struct words words;
    bool good = split(given, &words) && words.count % 2 == 0;
    for (uint32_t i = 0; good && i < words.count; i++) {
        int64_t number;
        good = bytes_to_int64(words.at[i], &number) && number >= (i % 2 == 0) && number <= INT_MAX;
    }
    if (!good) return refuse(out, "Invalid save parameters");
    join(out, &words);
    return true;
}

static uint32_t event_class(char letter) {
    static const struct {
        char letter;
        uint32_t classes;
    } known[] = {{'A', NOTIFY_ALL},      {'g', NOTIFY_GENERIC},  {'$', NOTIFY_STRING},
                 {'l', NOTIFY_LIST},     {'s', NOTIFY_SET},      {'h', NOTIFY_HASH},
                 {'z', NOTIFY_ZSET},     {'x', NOTIFY_EXPIRED},  {'e', NOTIFY_EVICTED},
                 {'t', NOTIFY_STREAM},   {'d', NOTIFY_MODULE},   {'n', NOTIFY_NEW},
                 {'m', NOTIFY_KEY_MISS}, {'K', NOTIFY_KEYSPACE}, {'E', NOTIFY_KEYEVENT}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].letter == letter) return known[i].classes;
    return 0;
}

/* A stands for the classes before it in this order, and hides n, which is in force all the same; the letters come out in this
 * order. */
static bool parse_events(const char *given, struct value *out) {
    static const char classes[] = "g$lshzxetd", ordered[] = "Ag$lshzxetdnKEm";
    bool all = strchr(given, 'A') || strspn(classes, given) == strlen(classes);
    size_t len = 0;
    if (given[strspn(given, ordered)] != 0)
        return refuse(out, "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.");
    for (const char *letter = ordered; *letter; letter++) {
        bool hidden = all && *letter != 'A' && (*letter == 'n' || strchr(classes, *letter));
        bool chosen = *letter == 'A' ? all : !hidden && strchr(given, *letter);
        if (chosen) out->text[len++] = *letter;
    }
    out->text[len] = 0;
    for (const char *letter = given; *letter; letter++) out->number |= event_class(*letter);
    return true;
}

static bool parse_scores(const char *given, struct value *out) {
    struct words words;
    if (!split(given, &words) || words.count != 3) return refuse(out, "wrong number of arguments");
    for (uint32_t i = 0; i < words.count; i++) {
        int64_t number;
        if (!bytes_to_int64(words.at[i], &number) || number < -SCORE_MAX || number > SCORE_MAX)
            return refuse(out,
                          "Invalid oom-score-adj-values, elements must be between -2000 and 2000.");
    }
    join(out, &words);
    return true;
}

static bool is_negative(struct bytes text) {
    return text.len > 0 && text.at[0] == '-';
}

/* Digits with at most one point between them; the locale has no say. */
static bool is_decimal(struct bytes text) {
    bool point = false;
    if (is_negative(text)) text = bytes_of(text.at + 1, text.len - 1);
    for (uint32_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        if (c == '.' && !point && i > 0) point = true;
        else if (c < '0' || c > '9') return false;
    }
    return text.len > 0;
}

static bool is_percentage(struct bytes decimal) {
    unsigned whole = 0;
    bool point = false, fraction = false;
    if (is_negative(decimal)) return false;
    for (uint32_t i = 0; i < decimal.len && whole <= 100; i++) {
        char c = decimal.at[i];
        if (c == '.') point = true;
        else if (point) fraction |= c != '0';
        else whole = whole * 10 + (unsigned)(c - '0');
    }
    return whole < 100 || (whole == 100 && !fraction);
}

/* Without the zeros that say nothing. */
static struct bytes shortest(struct bytes decimal) {
    bool point = memchr(decimal.at, '.', decimal.len);
    while (decimal.len > 1 && decimal.at[0] == '0' && decimal.at[1] != '.')
        decimal = bytes_of(decimal.at + 1, decimal.len - 1);
    while (point && decimal.at[decimal.len - 1] == '0') decimal.len--;
    if (decimal.at[decimal.len - 1] == '.') decimal.len--;
    return decimal;
}

static bool parse_percentiles(const char *given, struct value *out) {
    struct words words;
    bool good = split(given, &words);
    for (uint32_t i = 0; good && i < words.count; i++) good = is_decimal(words.at[i]);
    if (!good) return refuse(out, "Invalid latency-tracking-info-percentiles parameters");
    for (uint32_t i = 0; i < words.count; i++) {
        if (!is_percentage(words.at[i]))
            return refuse(out, "latency-tracking-info-percentiles parameters should sit between "
                               "[0.0,100.0]");
        words.at[i] = shortest(words.at[i]);
    }
    join(out, &words);
    return true;
}

static bool parse_replica(const char *given, struct value *out) {
    struct words words;
    int64_t port;
    if (!split(given, &words) || (words.count != 0 && words.count != 2))
        return refuse(out, "wrong number of arguments");
    if (words.count == 2 && bytes_is(words.at[0], "no") && bytes_is(words.at[1], "one"))
        words.count = 0;
    if (words.count == 2 && (!bytes_to_int64(words.at[1], &port) || port < 0 || port > 65535))
        return refuse(out, "Invalid master port");
    join(out, &words);
    return true;
}

/* ---- client-output-buffer-limit -------------------------------------------------------------- */

struct buffer_limit {
    const char *name;
    int64_t hard, soft, seconds;
};

static struct buffer_limit *buffer_limit_find(struct buffer_limit *limits, struct bytes name) {
    if (bytes_is(name, "replica")) name = BYTES_LITERAL("slave");
    for (int i = 0; i < 3; i++)
        if (bytes_is(name, limits[i].name)) return &limits[i];
    return NULL;
}

static bool parse_buffer_limit(const struct bytes *words, struct buffer_limit *limits,
                               struct value *out) {
    struct buffer_limit *limit = buffer_limit_find(limits, words[0]);
    if (!limit) return refuse(out, "Invalid client class specified in buffer limit configuration.");
    if (!value_parse_memory(words[1], &limit->hard) ||
        !value_parse_memory(words[2], &limit->soft) || !bytes_to_int64(words[3], &limit->seconds) ||
        limit->seconds < 0)
        return refuse(out, "Error in hard, soft or soft_seconds setting in buffer limit "
                           "configuration.");
    return true;
}

static bool parse_buffer_limits(const char *given, struct value *out) {
    struct buffer_limit limits[] = {
        {.name = "normal"}, {"slave", 256 << 20, 64 << 20, 60}, {"pubsub", 32 << 20, 8 << 20, 60}};
    struct words words;
    size_t len = 0;
    if (!split(given, &words) || words.count % 4 != 0)
        return refuse(out, "Wrong number of arguments in buffer limit configuration.");
    for (uint32_t i = 0; i < words.count; i += 4)
        if (!parse_buffer_limit(&words.at[i], limits, out)) return false;
    for (int i = 0; i < 3; i++)
        len += (size_t)snprintf(out->text + len, sizeof out->text - len,
                                "%s%s %" PRId64 " %" PRId64 " %" PRId64, i ? " " : "",
                                limits[i].name, limits[i].hard, limits[i].soft, limits[i].seconds);
    return true;
}

static struct bytes unquoted(struct bytes word) {
    return bytes_equal(word, BYTES_LITERAL("\"\"")) ? bytes_of(word.at, 0) : word;
}

bool value_renames(const char *text, struct command_names *names, const char **why) {
    struct words words;
    *why = "wrong number of arguments";
    if (!split(text, &words) || words.count % 2 != 0) return false;
    for (uint32_t i = 0; i < words.count; i += 2)
        if (!command_names_add(names, words.at[i], unquoted(words.at[i + 1]), why)) return false;
    return true;
}

static bool parse_renames(const char *given, struct value *out) {
    struct command_names names = {.count = 0};
    struct words words;
    const char *why;
    if (!value_renames(given, &names, &why)) return refuse(out, why);
    (void)split(given, &words);
    join(out, &words);
    return true;
}

/* ---- Names ----------------------------------------------------------------------------------- */

/* What lies in a folder has no path of its own. */
static bool is_file_name(const char *setting, struct value *out) {
    if (!strchr(out->text, '/')) return true;
    if (strcmp(setting, "dbfilename") == 0)
        return refuse(out, "dbfilename can't be a path, just a filename");
    if (strcmp(setting, "appendfilename") == 0)
        return refuse(out, "appendfilename can't be a path, just a filename");
    if (strcmp(setting, "appenddirname") == 0)
        return refuse(out, "appenddirname can't be a path, just a dirname");
    return true;
}

/* ---- Any kind -------------------------------------------------------------------------------- */

bool value_parse(const struct setting *setting, const char *given, struct value *out) {
    struct bytes text = bytes_of(given, strlen(given));
    out->number = 0;
    if (text.len > CONFIG_VALUE_MAX) return refuse(out, "the value is too long");
    switch (setting->kind) {
    case KIND_INTEGER:
        return parse_integer(setting, text, out);
    case KIND_MEMORY:
        return parse_memory(setting, text, out);
    case KIND_MEMORY_OR_PERCENT:
        return parse_memory_or_percent(setting, text, out);
    case KIND_OCTAL:
        return parse_octal(setting, text, out);
    case KIND_BOOL:
        return parse_bool(text, out);
    case KIND_ENUM:
        return parse_enum(setting, text, out);
    case KIND_FLAGS:
        return parse_flags(setting, given, out);
    case KIND_PORT:
        return parse_port(setting, text, out);
    case KIND_BIND:
        return parse_bind(given, out);
    case KIND_SAVE:
        return parse_save(given, out);
    case KIND_BUFFER_LIMITS:
        return parse_buffer_limits(given, out);
    case KIND_RENAMES:
        return parse_renames(given, out);
    case KIND_EVENTS:
        return parse_events(given, out);
    case KIND_SCORES:
        return parse_scores(given, out);
    case KIND_PERCENTILES:
        return parse_percentiles(given, out);
    case KIND_REPLICA:
        return parse_replica(given, out);
    case KIND_STRING:
        set_text(out, text);
        return is_file_name(setting->name, out);
    }
    return refuse(out, "unknown kind of setting");
}
