/* What clients write of streams: ids, and the options of several commands. */
#include "cmd/stream.h"

/* ---- Ids ---------------------------------------------------------------------------------------- */

enum { ID_TEXT_MAX = 127 };

static struct bytes skip_blanks(struct bytes text) {
    while (text.len > 0 && (*text.at == ' ' || (*text.at >= '\t' && *text.at <= '\r')))
        text = bytes_of(text.at + 1, text.len - 1);
    return text;
}

static bool read_digits(struct bytes text, uint64_t *number) {
    if (text.len == 0) return false;
    *number = 0;
    for (uint32_t i = 0; i < text.len; i++) {
        uint64_t digit = (uint64_t)((unsigned char)text.at[i] - '0');
        if (digit > 9 || __builtin_mul_overflow(*number, (uint64_t)10, number) ||
            __builtin_add_overflow(*number, digit, number))
            return false;
    }
    return true;
}

/* A number as Redis takes it here: a negative one is refused if it is written as usual, but what else strtoull
 * reads is let through, blanks and a sign in front, and a negative number counts from the end. */
static bool read_part(struct bytes text, uint64_t *number) {
    int64_t usual;
    if (bytes_to_int64(text, &usual)) {
        *number = (uint64_t)usual;
        return usual >= 0;
    }
    text = skip_blanks(text);
    bool sign = text.len > 0 && (*text.at == '+' || *text.at == '-');
    bool negative = sign && *text.at == '-';
    if (!read_digits(bytes_of(text.at + sign, text.len - sign), number)) return false;
    if (negative) *number = 0 - *number;
    return true;
}

static bool is_character(struct bytes text, char c) {
    return text.len == 1 && *text.at == c;
}

bool stream_id_read(struct bytes text, uint64_t missing_seq, struct stream_id *id, bool *any_seq) {
    if (text.len == 0 || text.len > ID_TEXT_MAX) return false;
    text.len = (uint32_t)strnlen(text.at, text.len);
    const char *dash = memchr(text.at, '-', text.len);
    if (any_seq) *any_seq = false;
    if (!dash) {
        id->seq = missing_seq;
        return read_part(text, &id->ms);
    }
    struct bytes seq = bytes_of(dash + 1, (size_t)(text.at + text.len - dash - 1));
    if (!read_part(bytes_of(text.at, (size_t)(dash - text.at)), &id->ms)) return false;
    if (any_seq && is_character(seq, '*')) {
        *any_seq = true;
        id->seq = 0;
        return true;
    }
    return read_part(seq, &id->seq);
}

static bool refuse_id(struct call *call) {
    call_error(call, "ERR Invalid stream ID specified as stream command argument");
    return false;
}

bool stream_parse_id(struct call *call, uint32_t index, uint64_t missing_seq,
                     struct stream_id *id) {
    return stream_id_read(call->argv[index], missing_seq, id, NULL) || refuse_id(call);
}

/* One end; *exclusive: the id itself is not meant. */
static bool parse_bound(struct call *call, uint32_t index, uint64_t missing_seq,
                        struct stream_id *id, bool *exclusive) {
    struct bytes text = call->argv[index];
    *exclusive = text.len > 1 && *text.at == '(';
    if (*exclusive)
        return stream_id_read(bytes_of(text.at + 1, text.len - 1), missing_seq, id, NULL) ||
               refuse_id(call);
    *id = is_character(text, '+') ? STREAM_ID_MAX : (struct stream_id){0, 0};
    if (is_character(text, '+') || is_character(text, '-')) return true;
    return stream_id_read(text, missing_seq, id, NULL) || refuse_id(call);
}

bool stream_parse_start(struct call *call, uint32_t index, struct stream_id *start) {
    bool exclusive;
    if (!parse_bound(call, index, 0, start, &exclusive)) return false;
    if (!exclusive || stream_id_increase(start)) return true;
    call_error(call, "ERR invalid start ID for the interval");
    return false;
}

static bool parse_end(struct call *call, uint32_t index, struct stream_id *end) {
    bool exclusive;
    if (!parse_bound(call, index, UINT64_MAX, end, &exclusive)) return false;
    if (!exclusive || stream_id_decrease(end)) return true;
    call_error(call, "ERR invalid end ID for the interval");
    return false;
}

bool stream_parse_interval(struct call *call, uint32_t first, uint32_t last,
                           struct stream_id *start, struct stream_id *end) {
    return stream_parse_start(call, first, start) && parse_end(call, last, end);
}

struct stream_id *stream_parse_ids(struct call *call, uint32_t first,
                                   struct stream_id few[STREAM_IDS_FEW]) {
    uint32_t count = call->argc - first;
    struct stream_id *ids = few;
    if (count > STREAM_IDS_FEW) ids = mem_alloc(NULL, count * sizeof *ids);
    if (!ids) {
        call_error_memory(call);
        return NULL;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (stream_parse_id(call, first + i, 0, &ids[i])) continue;
        stream_ids_free(ids, few);
        return NULL;
    }
    return ids;
}

void stream_ids_free(struct stream_id *ids, const struct stream_id few[STREAM_IDS_FEW]) {
    if (ids != few) mem_free(NULL, ids);
}

/* ---- XADD, XTRIM -------------------------------------------------------------------------------- */

/* Goes through the words from argv[2] on. */
struct option_parser {
    struct call *call;
    struct stream_options *options;
    uint32_t at;
    bool limited;
};

static uint32_t words_behind(const struct option_parser *parser) {
    return parser->call->argc - 1 - parser->at;
}

static bool parse_threshold(struct option_parser *parser, struct stream_trim *trim) {
    struct call *call = parser->call;
    int64_t length;
    if (trim->by == STREAM_TRIM_BY_ID) return stream_parse_id(call, parser->at, 0, &trim->min_id);
    if (!call_integer(call, parser->at, &length)) return false;
    trim->length = (uint64_t)length;
    if (length >= 0) return true;
    call_error(call, "ERR The MAXLEN argument must be >= 0.");
    return false;
}

/* MAXLEN or MINID, [= or ~], threshold. */
static bool parse_trim(struct option_parser *parser, enum stream_trim_by by) {
    struct stream_trim *trim = &parser->options->trim;
    struct bytes next = parser->call->argv[parser->at + 1];
    if (trim->by != STREAM_TRIM_NONE) {
        call_error(parser->call, "ERR syntax error, MAXLEN and MINID options at the same time "
                                 "are not compatible");
        return false;
    }
    trim->by = (uint8_t)by;
    trim->approximate = words_behind(parser) >= 2 && is_character(next, '~');
    if (words_behind(parser) >= 2 && (trim->approximate || is_character(next, '='))) parser->at++;
    parser->at++;
    return parse_threshold(parser, trim);
}

static bool parse_limit(struct option_parser *parser) {
    int64_t limit;
    if (!call_integer(parser->call, ++parser->at, &limit)) return false;
    if (limit < 0) {
        call_error(parser->call, "ERR The LIMIT argument must be >= 0.");
        return false;
    }
    parser->options->trim.limit = (uint64_t)limit;
    parser->limited = true;
    return true;
}

static bool parse_new_id(struct option_parser *parser) {
    struct stream_options *options = parser->options;
    options->id_index = parser->at;
    return stream_id_read(parser->call->argv[parser->at], 0, &options->id, &options->any_seq) ||
           refuse_id(parser->call);
}

/* One option, or the id of XADD. False after the error reply. */
static bool parse_option(struct option_parser *parser, bool of_xadd) {
    struct bytes word = parser->call->argv[parser->at];
    bool followed = words_behind(parser) > 0;
    if (of_xadd && is_character(word, '*')) {
        parser->options->any_id = true;
        parser->options->id_index = parser->at;
        return true;
    }
    if (followed && bytes_is(word, "maxlen")) return parse_trim(parser, STREAM_TRIM_BY_LENGTH);
    if (followed && bytes_is(word, "minid")) return parse_trim(parser, STREAM_TRIM_BY_ID);
    if (followed && bytes_is(word, "limit")) return parse_limit(parser);
    if (of_xadd && bytes_is(word, "nomkstream")) return parser->options->no_make = true;
    if (of_xadd) return parse_new_id(parser);
    call_error_syntax(parser->call);
    return false;
}

/* A hundred nodes at once if nothing is said; what is no number of entries by then is another one. */
static uint64_t usual_limit(const struct call *call) {
    enum { NODES = 100, OTHERWISE = 10000, LIMIT_MAX = 1000000 };
    int64_t limit = (int64_t)((uint64_t)call->domain->small.stream_entries * NODES);
    if (limit <= 0) return OTHERWISE;
    return limit < LIMIT_MAX ? (uint64_t)limit : LIMIT_MAX;
}

static bool check_limit(const struct option_parser *parser, bool of_xadd) {
    struct stream_trim *trim = &parser->options->trim;
    const char *error = NULL;
    if (trim->limit > 0 && trim->by == STREAM_TRIM_NONE)
        error = "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy";
    else if (!of_xadd && trim->by == STREAM_TRIM_NONE)
        error = "ERR syntax error, XTRIM must be called with a trimming strategy";
    else if (parser->limited && !trim->approximate)
        error = "ERR syntax error, LIMIT cannot be used without the special ~ option";
    if (error) call_error(parser->call, error);
    else if (trim->approximate && !parser->limited) trim->limit = usual_limit(parser->call);
    return !error;
}

bool stream_parse_options(struct call *call, bool of_xadd, struct stream_options *options) {
    struct option_parser parser = {.call = call, .options = options, .at = 2};
    *options = (struct stream_options){.id_index = call->argc};
    for (; parser.at < call->argc && options->id_index == call->argc; parser.at++)
        if (!parse_option(&parser, of_xadd)) return false;
    return check_limit(&parser, of_xadd);
}

/* ---- XREAD, XREADGROUP -------------------------------------------------------------------------- */

static bool parse_timeout(struct call *call, uint32_t index, int64_t *block_ms) {
    const char *error = NULL;
    if (!bytes_to_int64(call->argv[index], block_ms))
        error = "ERR timeout is not an integer or out of range";
    else if (*block_ms < 0) error = "ERR timeout is negative";
    else if (*block_ms > INT64_MAX - call_now(call)) error = "ERR timeout is out of range";
    if (error) call_error(call, error);
    return !error;
}

static bool parse_count(struct call *call, uint32_t index, uint64_t *count) {
    int64_t number;
    if (!call_integer(call, index, &number)) return false;
    *count = number > 0 ? (uint64_t)number : 0;
    return true;
}

/* What is only XREADGROUP's. */
static bool refuse_for_xread(struct call *call, const char *option) {
    call_error_format(
        call, "ERR The %s option is only supported by XREADGROUP. You called XREAD instead.",
        option);
    return false;
}

/* The keys and ids from *at on, which are all that is left. */
static bool parse_streams(struct call *call, bool of_group, uint32_t at,
                          struct stream_reading *reading) {
    uint32_t count = call->argc - at;
    if (count % 2) {
        call_error_format(call,
                          "ERR Unbalanced '%s' list of streams: for each stream key an ID or '%c' "
                          "must be specified.",
                          call->command->full_name, of_group ? '>' : '$');
        return false;
    }
    reading->first = at;
    reading->keys = count / 2;
    return true;
}

/* One option, at *at, which moves on to its last word. */
static bool parse_reading_option(struct call *call, bool of_group, uint32_t *at,
                                 struct stream_reading *reading) {
    struct bytes word = call->argv[*at];
    uint32_t behind = call->argc - 1 - *at;
    if (behind > 0 && bytes_is(word, "block"))
        return parse_timeout(call, ++*at, &reading->block_ms);
    if (behind > 0 && bytes_is(word, "count")) return parse_count(call, ++*at, &reading->count);
    if (behind > 0 && bytes_is(word, "streams"))
        return parse_streams(call, of_group, *at + 1, reading);
    if (behind >= 2 && bytes_is(word, "group")) {
        reading->group = *at + 1;
        *at += 2;
        return of_group || refuse_for_xread(call, "GROUP");
    }
    if (bytes_is(word, "noack")) {
        reading->no_ack = true;
        return of_group || refuse_for_xread(call, "NOACK");
    }
    call_error_syntax(call);
    return false;
}

bool stream_parse_reading(struct call *call, bool of_group, struct stream_reading *reading) {
    *reading = (struct stream_reading){.block_ms = -1};
    for (uint32_t at = 1; at < call->argc && reading->first == 0; at++)
        if (!parse_reading_option(call, of_group, &at, reading)) return false;
    if (reading->first == 0) {
        call_error_syntax(call);
        return false;
    }
    if (!of_group || reading->group != 0) return true;
    call_error(call, "ERR Missing GROUP option for XREADGROUP");
    return false;
}

/* Reads on where the words are no options, so that no name of a group is taken for one. */
bool stream_may_wait(const struct bytes *argv, uint32_t argc) {
    for (uint32_t i = 1; i < argc; i++) {
        if (bytes_is(argv[i], "block")) return true;
        if (bytes_is(argv[i], "streams")) return false;
        if (bytes_is(argv[i], "count")) i++;
        else if (bytes_is(argv[i], "group")) i += 2;
    }
    return false;
}

static bool has_last(const struct call *call, const struct stream_reading *reading) {
    bool found = false;
    for (uint32_t i = reading->first + reading->keys; i < call->argc && !found; i++)
        found = is_character(call->argv[i], '$');
    return found;
}

/* The command's words with an id in the place of each `$`, whose texts lie behind them. */
static struct bytes *words_to_wait_with(struct call *call, const struct stream_reading *reading,
                                        const struct stream_id *ids) {
    struct bytes *words =
        mem_alloc(NULL, call->argc * sizeof *words + reading->keys * STREAM_ID_TEXT_MAX);
    if (!words) return NULL;
    char *texts = (char *)(words + call->argc);
    for (uint32_t i = 0; i < call->argc; i++) words[i] = call->argv[i];
    for (uint32_t i = 0; i < reading->keys; i++) {
        struct bytes *word = &words[reading->first + reading->keys + i];
        if (is_character(*word, '$'))
            *word = stream_id_text(ids[i], texts + i * STREAM_ID_TEXT_MAX);
    }
    return words;
}

static bool wait_for(struct call *call, const struct stream_reading *reading,
                     const struct stream_id *ids) {
    struct bytes *words = NULL;
    struct call_wait wait = {.first = reading->first,
                             .count = reading->keys,
                             .type = VALUE_STREAM,
                             .of_group = !ids,
                             .timeout_ms = reading->block_ms};
    if (!call->wait) return false;
    if (ids && has_last(call, reading)) {
        wait.argv = words = words_to_wait_with(call, reading, ids);
        if (!words) {
            call_error_memory(call);
            return true;
        }
    }
    bool waits = call_wait(call, &wait);
    mem_free(NULL, words);
    return waits;
}

void stream_wait_or_reply_nothing(struct call *call, const struct stream_reading *reading,
                                  const struct stream_id *ids) {
    if (reading->block_ms >= 0 && wait_for(call, reading, ids)) return;
    reply_null_array(call->reply);
}
