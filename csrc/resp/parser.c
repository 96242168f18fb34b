/* Runs of requests: the fast path over what lies complete in one piece, and the query buffer.
 *
 * The unparsed input is one stream, query buffer then window (P4). Usually the query buffer is
 * empty and requests are read in place from the window. The request that a receive cut in two is
 * gathered in the query buffer (gather.c), from where it is delivered as the first of a run that
 * goes on in the window. Requests that nobody could execute yet (parser_rewind, then parser_keep)
 * wait in the query buffer and are parsed from there.
 */
#include "resp/parser_internal.h"

enum { QUERY_FIRST_BYTES = 512 };

void parser_init(struct parser *parser, const struct parser_limits *limits,
                 struct mem_account *account) {
    *parser = (struct parser){.limits = limits, .account = account};
}

/* ---- The query buffer ------------------------------------------------------------------------ */

static void query_free(struct parser *parser) {
    mem_free(parser->account, parser->query);
    parser->query = NULL;
    parser->query_len = parser->query_capacity = 0;
}

static bool query_reserve(struct parser *parser, size_t more) {
    size_t needed = parser->query_len + more;
    if (needed <= parser->query_capacity) {
        return true;
    }
    size_t capacity = parser->query_capacity > 0 ? parser->query_capacity * 2 : QUERY_FIRST_BYTES;
    capacity = capacity < needed ? needed : capacity;
    if (needed > PARSER_QUERY_MAX) {
        return false;
    }
    char *query = mem_realloc(parser->account, parser->query, capacity);
    if (query == NULL) {
        return false;
    }
    parser->query = query;
    parser->query_capacity = capacity;
    return true;
}

bool query_pull(struct parser *parser, size_t len) {
    KRT_DCHECK(len <= parser->window_len);
    if (!query_reserve(parser, len)) {
        return false;
    }
    memcpy(parser->query + parser->query_len, parser->window, len);
    parser->query_len += len;
    parser->window += len;
    parser->window_len -= len;
    return true;
}

/* Room for what came in a burst and lies in a blob by now; the rest stays where it is if memory is refused. */
void query_trim(struct parser *parser) {
    if (parser->query_capacity < PARSER_BIG_BULK || parser->query_len == 0 ||
        parser->query_len > parser->query_capacity / 4) {
        return;
    }
    char *query = mem_realloc(parser->account, parser->query, parser->query_len);
    if (query != NULL) {
        parser->query = query;
        parser->query_capacity = parser->query_len;
    }
}

/* Executed requests leave the front. Only when they are at least half: moving costs no more than
 * what was parsed, however long a backlog waits (P1). */
static void query_compact(struct parser *parser) {
    size_t done = parser->position;
    if (done == 0 || done < parser->query_len / 2) {
        return;
    }
    memmove(parser->query, parser->query + done, parser->query_len - done);
    parser->query_len -= done;
    parser->position = 0;
    if (parser->partial != NULL) {
        partial_shift(parser, done);
    }
}

/* With the query buffer done, the stream begins in the window. */
static void query_skip(struct parser *parser) {
    size_t skipped = parser->position - parser->query_len;
    parser->window += skipped;
    parser->window_len -= skipped;
    parser->query_len = 0;
    parser->position = 0;
}

static bool is_delivered(const struct parser *parser) {
    return parser->partial != NULL && parser->position != partial_start(parser);
}

/* The last run is over: what it borrowed from a partial request goes. */
static void release_delivered(struct parser *parser) {
    if (is_delivered(parser)) {
        partial_drop(parser);
    }
}

static void drop_everything(struct parser *parser) {
    partial_drop(parser);
    query_free(parser);
    parser->window = NULL;
    parser->window_len = parser->position = 0;
}

void parser_deinit(struct parser *parser) {
    drop_everything(parser);
}

bool parser_keep(struct parser *parser) {
    if (parser->error != NULL) {
        drop_everything(parser);
        return true;
    }
    release_delivered(parser);
    if (parser->position >= parser->query_len) {
        query_skip(parser);
    } else {
        query_compact(parser);
    }
    if (parser->window_len > 0) {
        return query_pull(parser, parser->window_len);
    }
    if (parser->query_len == 0) {
        query_free(parser);
    }
    return true;
}

bool parser_feed(struct parser *parser, const char *at, size_t len) {
    KRT_ASSERT(len <= PARSER_FEED_MAX);
    if (parser->window_len > 0 && !parser_keep(parser)) {
        return false;
    }
    parser->window = at;
    parser->window_len = len;
    return true;
}

/* ---- The fast path --------------------------------------------------------------------------- */

/* Lengths of one and two digits are read here; everything else, and every error, in lines.c. */
static inline bool read_short(struct cursor *cursor, char marker, int64_t *value) {
    const char *at = cursor->at;
    if (KRT_UNLIKELY(cursor->end - at < 5 || at[0] != marker)) {
        return false;
    }
    unsigned first = (unsigned char)at[1] - (unsigned)'0';
    unsigned second = (unsigned char)at[2] - (unsigned)'0';
    if (first <= 9 && at[2] == '\r') {
        *value = first;
        cursor->at = at + 4;
        return true;
    }
    if (first - 1 <= 8 && second <= 9 && at[3] == '\r') {
        *value = first * 10 + second;
        cursor->at = at + 5;
        return true;
    }
    return false;
}

static inline enum step read_argument(struct parser *parser, struct cursor *cursor,
                                      struct bytes *arg) {
    int64_t len;
    if (KRT_UNLIKELY(!read_short(cursor, '$', &len))) {
        cursor->scanned = 0;
        enum step step = header_read_length(parser, cursor, &len);
        if (step != STEP_OK) {
            return step;
        }
    }
    if (KRT_UNLIKELY(cursor->end - cursor->at < len + 2)) {
        return STEP_MORE;
    }
    *arg = bytes_of(cursor->at, (size_t)len);
    cursor->at += len + 2; /* the two bytes behind a body may be anything, as in Redis */
    return STEP_OK;
}

/* What the fast path found at the cursor. */
enum found {
    FOUND_END, /* of this piece of the stream */
    FOUND_REQUEST,
    FOUND_NOTHING, /* an empty request, skipped */
    FOUND_PART,    /* incomplete here: gather.c, if it is the first of a run */
    FOUND_LARGE,   /* not for this run: gather.c, if it is the first of a run */
    FOUND_ERROR,
};

static enum found found_of(enum step step) {
    return step == STEP_MORE ? FOUND_PART : FOUND_ERROR;
}

static inline enum found read_multibulk(struct parser *parser, struct cursor *cursor,
                                        const struct request_run *run, struct bytes *args,
                                        uint32_t *argc) {
    int64_t count;
    if (KRT_UNLIKELY(parser->limits->unauthenticated || !read_short(cursor, '*', &count))) {
        cursor->scanned = 0;
        enum step step = header_read_count(parser, cursor, &count);
        if (step != STEP_OK) {
            return found_of(step);
        }
    }
    if (KRT_UNLIKELY(count <= 0)) {
        return FOUND_NOTHING;
    }
    if (KRT_UNLIKELY(count > RUN_ARGS - run->arg_count)) {
        return FOUND_LARGE;
    }
    for (int64_t i = 0; i < count; i++) {
        enum step step = read_argument(parser, cursor, args + i);
        if (KRT_UNLIKELY(step != STEP_OK)) {
            return found_of(step);
        }
    }
    *argc = (uint32_t)count;
    return FOUND_REQUEST;
}

static enum found read_inline(struct parser *parser, struct cursor *cursor,
                              const struct request_run *run, struct bytes *args, uint32_t *argc) {
    struct bytes line, word;
    cursor->scanned = 0;
    enum step step = line_read(parser, cursor, &line);
    if (step != STEP_OK) {
        return found_of(step);
    }
    if (words_are_quoted(line)) {
        return FOUND_LARGE; /* unquoting needs memory */
    }
    uint32_t count = 0;
    while (words_next_plain(&line, &word)) {
        if (count == RUN_ARGS - run->arg_count) {
            return FOUND_LARGE;
        }
        args[count++] = word;
    }
    *argc = count;
    return count > 0 ? FOUND_REQUEST : FOUND_NOTHING;
}

static inline void add_request(struct request_run *run, const struct bytes *argv, uint32_t argc,
                               size_t position) {
    run->requests[run->count++] =
        (struct request){.argv = argv, .argc = argc, .position = (uint32_t)position};
}

/* The piece of the stream in which `position` lies. */
static struct cursor piece(const struct parser *parser) {
    if (parser->position < parser->query_len) {
        return (struct cursor){parser->query + parser->position, parser->query + parser->query_len,
                               0};
    }
    size_t done = parser->position - parser->query_len;
    return (struct cursor){parser->window + done, parser->window + parser->window_len, 0};
}

static enum found read_piece(struct parser *parser, struct request_run *run) {
    struct cursor cursor = piece(parser);
    uint32_t bound = parser->limits->unauthenticated ? 1 : RUN_REQUESTS;
    while (cursor.at < cursor.end) {
        if (run->count == bound) {
            return FOUND_LARGE;
        }
        const char *start = cursor.at;
        struct bytes *args = run->args + run->arg_count;
        uint32_t argc = 0;
        enum found found = KRT_LIKELY(*start == '*')
                               ? read_multibulk(parser, &cursor, run, args, &argc)
                               : read_inline(parser, &cursor, run, args, &argc);
        if (KRT_LIKELY(found == FOUND_REQUEST)) {
            add_request(run, args, argc, parser->position);
            run->arg_count += argc;
        } else if (found != FOUND_NOTHING) {
            return found;
        }
        parser->position += (size_t)(cursor.at - start);
    }
    return FOUND_END;
}

/* ---- Runs ------------------------------------------------------------------------------------ */

static bool is_in_query(const struct parser *parser) {
    return parser->position < parser->query_len;
}

static enum found read_in_place(struct parser *parser, struct request_run *run) {
    bool was_in_query = is_in_query(parser);
    enum found found = read_piece(parser, run);
    if (found == FOUND_END && was_in_query) {
        found = read_piece(parser, run);
    }
    return found;
}

static enum parse_result result_of(enum step step) {
    switch (step) {
    case STEP_MORE:
        return PARSE_MORE;
    case STEP_ERROR:
        return PARSE_ERROR;
    default:
        return PARSE_NO_MEMORY;
    }
}

/* The first request of a run, where it cannot be read in place. STEP_OK: it is in the run, or it
 * was empty and is skipped. */
static enum step gather_first(struct parser *parser, struct request_run *run) {
    if (parser->partial == NULL && !is_in_query(parser)) {
        query_skip(parser);
    }
    enum step step = partial_advance(parser);
    if (step != STEP_OK) {
        return step;
    }
    uint32_t argc = partial_argc(parser);
    size_t start = parser->position;
    parser->position = partial_end(parser);
    if (argc == 0) {
        partial_drop(parser);
        return STEP_OK;
    }
    const struct bytes *argv = partial_argv(parser, run->args);
    if (argv == NULL) {
        return STEP_NO_MEMORY;
    }
    add_request(run, argv, argc, start);
    run->arg_count = argc;
    return STEP_OK;
}

enum parse_result parser_run(struct parser *parser, struct request_run *run) {
    run->count = run->arg_count = 0;
    release_delivered(parser);
    while (parser->error == NULL) {
        bool must_gather = parser->partial != NULL && !is_delivered(parser);
        enum found found = must_gather ? FOUND_PART : read_in_place(parser, run);
        if (found == FOUND_END) {
            return PARSE_MORE;
        }
        if (found == FOUND_ERROR) {
            break;
        }
        if (run->count > 0) {
            bool is_tail = found == FOUND_PART && (!is_in_query(parser) || parser->window_len == 0);
            return is_tail ? PARSE_MORE : PARSE_FULL;
        }
        enum step step = gather_first(parser, run);
        if (step != STEP_OK) {
            return result_of(step);
        }
        if (run->arg_count > RUN_ARGS) {
            return PARSE_FULL;
        }
    }
    return PARSE_ERROR;
}

void parser_rewind(struct parser *parser, const struct request_run *run, uint32_t index) {
    KRT_ASSERT(index <= run->count);
    if (index < run->count) {
        parser->position = run->requests[index].position;
        parser->error = NULL; /* met again behind the requests that come again */
    }
}

bool parser_has_input(const struct parser *parser) {
    return parser->error == NULL && parser->position < parser->query_len + parser->window_len;
}

size_t parser_kept_bytes(const struct parser *parser) {
    return parser->query_len + partial_held_bytes(parser);
}

size_t parser_held_bytes(const struct parser *parser) {
    return parser->query_capacity + partial_held_bytes(parser);
}
