/* Partial requests: what does not lie complete in one receive, has more than RUN_ARGS arguments, or
 * has quoted inline words.
 *
 * A partial request lives at `position` in the query buffer and draws bytes from the window as it
 * needs them. Each finished argument is noted as a span relative to the request's start, so the
 * buffer may move. The steps, each resumable at any byte:
 *
 *   transition                       function           leaves
 *   start    -> line or headers      gather_type
 *   line     -> complete             gather_line        spans into `text`
 *   start    -> `*<count>` read      gather_count       argc
 *   header   -> body                 gather_length      bulk_len
 *   body     -> header or complete   gather_body        a span into the query buffer, or a blob
 *
 * A long body that is not there yet takes no room in the query buffer: its bytes go into a blob,
 * and the stream continues behind its header with what follows the body. The blob grows by doubling
 * up to the announced length. (Reserving all of it at the first byte would cost no pages, but it
 * would count: a client that announces 512 MiB and sends one byte could make maxmemory evict
 * everything. The allocator grows large blocks by remapping, so doubling copies little.)
 *
 * What was drawn from the window behind the end of the request is given back, so that the requests
 * behind it are again parsed in place.
 */
#include "resp/parser_internal.h"

enum {
    NO_BULK = -1,
    PULL_MIN_BYTES = 256, /* what is drawn at least, given back if it was too much */
    SPANS_FIRST = 16,
    BLOB_FIRST_BYTES = 2 * PARSER_BIG_BULK,
};

struct span {
    struct blob *blob;    /* or NULL: bytes of the query buffer or of `text` */
    uint32_t offset, len; /* from the request's start */
};

struct parser_partial {
    size_t start;     /* its position */
    uint32_t parsed;  /* bytes from the start that are understood */
    uint32_t scanned; /* bytes behind them without a line end */
    bool is_complete;
    char *text; /* unquoted words of an inline request */
    uint32_t argc;
    uint32_t span_count, span_capacity;
    struct span *spans;
    struct bytes *argv; /* more than RUN_ARGS resolved arguments, for the run that has them */
    int64_t bulk_len;   /* of the argument whose body comes next, or NO_BULK */
    bool is_apart;      /* its body goes into `blob` */
    struct blob *blob;  /* blob->len is the room it has; NULL before the first byte */
    uint32_t blob_filled;
    size_t blob_bytes; /* of all blobs */
};

static size_t available(const struct parser *parser) {
    const struct parser_partial *partial = parser->partial;
    return parser->query_len - partial->start - partial->parsed;
}

static struct cursor cursor_of(const struct parser *parser) {
    const struct parser_partial *partial = parser->partial;
    const char *at = parser->query + partial->start + partial->parsed;
    return (struct cursor){at, parser->query + parser->query_len, partial->scanned};
}

static enum step cursor_store(struct parser *parser, const struct cursor *cursor, enum step step) {
    struct parser_partial *partial = parser->partial;
    partial->parsed = (uint32_t)(cursor->at - (parser->query + partial->start));
    partial->scanned = cursor->scanned;
    return step;
}

/* ---- Spans ----------------------------------------------------------------------------------- */

static bool reserve_span(struct parser *parser) {
    struct parser_partial *partial = parser->partial;
    if (partial->span_count < partial->span_capacity) {
        return true;
    }
    uint32_t capacity = partial->span_capacity ? partial->span_capacity * 2 : SPANS_FIRST;
    struct span *spans =
        mem_realloc(parser->account, partial->spans, capacity * sizeof *partial->spans);
    if (spans == NULL) {
        return false;
    }
    partial->spans = spans;
    partial->span_capacity = capacity;
    return true;
}

static bool add_span(struct parser *parser, struct span span) {
    if (!reserve_span(parser)) {
        return false;
    }
    struct parser_partial *partial = parser->partial;
    partial->spans[partial->span_count++] = span;
    return true;
}

/* ---- Inline requests ------------------------------------------------------------------------- */

static enum step split_words(struct parser *parser, struct bytes line) {
    struct parser_partial *partial = parser->partial;
    partial->text = mem_alloc(parser->account, line.len + 1);
    if (partial->text == NULL) {
        return STEP_NO_MEMORY;
    }
    uint32_t offset = 0, len = 0;
    int found;
    while ((found = words_next_quoted(&line, partial->text + offset, &len)) > 0) {
        if (!add_span(parser, (struct span){.offset = offset, .len = len})) {
            return STEP_NO_MEMORY;
        }
        offset += len;
    }
    if (found < 0) {
        parser->error = "Protocol error: unbalanced quotes in request";
        return STEP_ERROR;
    }
    partial->argc = partial->span_count;
    partial->is_complete = true;
    return STEP_OK;
}

static enum step gather_line(struct parser *parser) {
    struct cursor cursor = cursor_of(parser);
    struct bytes line;
    enum step step = line_read(parser, &cursor, &line);
    (void)cursor_store(parser, &cursor, step);
    return step == STEP_OK ? split_words(parser, line) : step;
}

/* ---- Bulk strings ---------------------------------------------------------------------------- */

static enum step gather_count(struct parser *parser) {
    struct cursor cursor = cursor_of(parser);
    int64_t count = 0;
    enum step step = header_read_count(parser, &cursor, &count);
    if (step == STEP_OK) {
        parser->partial->argc = count > 0 ? (uint32_t)count : 0;
        parser->partial->is_complete = count <= 0;
    }
    return cursor_store(parser, &cursor, step);
}

static enum step gather_length(struct parser *parser) {
    struct cursor cursor = cursor_of(parser);
    int64_t length = NO_BULK;
    enum step step = header_read_length(parser, &cursor, &length);
    if (step == STEP_OK) {
        parser->partial->bulk_len = length;
    }
    return cursor_store(parser, &cursor, step);
}

static bool grow_blob(struct parser *parser) {
    struct parser_partial *partial = parser->partial;
    uint32_t before = partial->blob != NULL ? partial->blob->len : 0;
    uint64_t room = before > 0 ? (uint64_t)before * 2 : BLOB_FIRST_BYTES;
    uint32_t len =
        room < (uint64_t)partial->bulk_len ? (uint32_t)room : (uint32_t)partial->bulk_len;
    struct blob *grown =
        partial->blob != NULL ? blob_resize(partial->blob, len) : blob_new(parser->account, len);
    if (grown == NULL) {
        return false;
    }
    partial->blob_bytes += len - before;
    partial->blob = grown;
    return true;
}

/* Copies up to `len` bytes, never past the announced length; *taken says how many. */
static bool fill_blob(struct parser *parser, const char *at, size_t len, size_t *taken) {
    struct parser_partial *partial = parser->partial;
    size_t missing = (size_t)partial->bulk_len - partial->blob_filled;
    *taken = len < missing ? len : missing;
    for (size_t done = 0; done < *taken;) {
        if ((partial->blob == NULL || partial->blob_filled == partial->blob->len) &&
            !grow_blob(parser)) {
            return false;
        }
        size_t room = partial->blob->len - partial->blob_filled;
        size_t step = *taken - done < room ? *taken - done : room;
        memcpy(partial->blob->data + partial->blob_filled, at + done, step);
        partial->blob_filled += (uint32_t)step;
        done += step;
    }
    return true;
}

/* Worth it only while the end of the body is missing; and nothing is reserved before its first
 * byte. */
static bool belongs_apart(const struct parser *parser) {
    size_t bulk_len = (size_t)parser->partial->bulk_len;
    size_t present = available(parser) + parser->window_len;
    return bulk_len >= PARSER_BIG_BULK && present > 0 && present < bulk_len;
}

/* What is there of the body moves into the blob: first what lies in the query buffer (the beginning of
 * the body, or a feed that was kept before anybody asked for a run), then the window. */
static bool fill_apart(struct parser *parser) {
    size_t taken, present = available(parser);
    char *at = parser->query + parser->query_len - present;
    if (!fill_blob(parser, at, present, &taken)) {
        return false;
    }
    memmove(at, at + taken, present - taken);
    parser->query_len -= taken;
    query_trim(parser);
    if (!fill_blob(parser, parser->window, parser->window_len, &taken)) {
        return false;
    }
    parser->window += taken;
    parser->window_len -= taken;
    return true;
}

static enum step finish_body(struct parser *parser, uint32_t in_query) {
    struct parser_partial *partial = parser->partial;
    struct span span = {partial->blob, partial->parsed, (uint32_t)partial->bulk_len};
    if (!add_span(parser, span)) {
        return STEP_NO_MEMORY;
    }
    partial->parsed += in_query + 2; /* the two bytes behind a body may be anything, as in Redis */
    partial->bulk_len = NO_BULK;
    partial->is_apart = false;
    partial->blob = NULL;
    partial->blob_filled = 0;
    partial->is_complete = partial->span_count == partial->argc;
    return STEP_OK;
}

static enum step gather_body(struct parser *parser, size_t *need) {
    struct parser_partial *partial = parser->partial;
    partial->is_apart = partial->is_apart || belongs_apart(parser);
    if (partial->is_apart && partial->blob_filled < partial->bulk_len) {
        if (!fill_apart(parser)) {
            return STEP_NO_MEMORY;
        }
        if (partial->blob_filled < partial->bulk_len) {
            return STEP_MORE;
        }
    }
    uint32_t in_query = partial->is_apart ? 0 : (uint32_t)partial->bulk_len;
    size_t present = available(parser), wanted = (size_t)in_query + 2;
    if (present < wanted) {
        *need = wanted - present;
        return STEP_MORE;
    }
    return finish_body(parser, in_query);
}

/* ---- The request as a whole ------------------------------------------------------------------ */

static enum step gather_type(struct parser *parser) {
    bool is_multibulk = parser->query[parser->partial->start] == '*';
    return is_multibulk ? gather_count(parser) : gather_line(parser);
}

/* One step; after STEP_MORE, *need bytes at least are missing in the query buffer. */
static enum step gather_next(struct parser *parser, size_t *need) {
    *need = 1;
    if (parser->partial->bulk_len != NO_BULK) {
        return gather_body(parser, need);
    }
    if (available(parser) == 0) {
        return STEP_MORE;
    }
    return parser->partial->argc > 0 ? gather_length(parser) : gather_type(parser);
}

static enum step draw(struct parser *parser, size_t need, size_t *drawn) {
    if (parser->window_len == 0) {
        return STEP_MORE;
    }
    size_t len = need > PULL_MIN_BYTES ? need : PULL_MIN_BYTES;
    *drawn = len < parser->window_len ? len : parser->window_len;
    return query_pull(parser, *drawn) ? STEP_OK : STEP_NO_MEMORY;
}

/* Before the last draw the request was incomplete: whatever is behind its end was drawn there. */
static void give_back(struct parser *parser, size_t drawn) {
    if (drawn > 0) {
        size_t extra = available(parser);
        KRT_ASSERT(extra < drawn);
        parser->query_len -= extra;
        parser->window -= extra;
        parser->window_len += extra;
    }
}

static bool begin(struct parser *parser) {
    struct parser_partial *partial = mem_calloc(parser->account, sizeof *partial);
    if (partial != NULL) {
        partial->start = parser->position;
        partial->bulk_len = NO_BULK;
        parser->partial = partial;
    }
    return partial != NULL;
}

enum step partial_advance(struct parser *parser) {
    if (parser->partial == NULL && !begin(parser)) {
        return STEP_NO_MEMORY;
    }
    size_t drawn = 0;
    while (!parser->partial->is_complete) {
        size_t need;
        enum step step = gather_next(parser, &need);
        if (step == STEP_MORE) {
            step = draw(parser, need, &drawn);
        }
        if (step != STEP_OK) {
            return step;
        }
    }
    give_back(parser, drawn);
    return STEP_OK;
}

uint32_t partial_argc(const struct parser *parser) {
    return parser->partial->argc;
}

size_t partial_start(const struct parser *parser) {
    return parser->partial->start;
}

size_t partial_end(const struct parser *parser) {
    return parser->partial->start + parser->partial->parsed;
}

void partial_shift(struct parser *parser, size_t removed_before) {
    KRT_DCHECK(parser->partial->start >= removed_before);
    parser->partial->start -= removed_before;
}

static struct bytes resolve(const struct span *span, const char *base) {
    return span->blob != NULL ? blob_bytes(span->blob) : bytes_of(base + span->offset, span->len);
}

const struct bytes *partial_argv(struct parser *parser, struct bytes room[RUN_ARGS]) {
    struct parser_partial *partial = parser->partial;
    KRT_DCHECK(partial->is_complete && partial->span_count == partial->argc);
    struct bytes *argv = room;
    if (partial->argc > RUN_ARGS) {
        if (partial->argv == NULL) {
            partial->argv = mem_alloc(parser->account, partial->argc * sizeof *partial->argv);
        }
        argv = partial->argv;
    }
    if (argv != NULL) {
        const char *base = partial->text != NULL ? partial->text : parser->query + partial->start;
        for (uint32_t i = 0; i < partial->argc; i++) {
            argv[i] = resolve(&partial->spans[i], base);
        }
    }
    return argv;
}

size_t partial_held_bytes(const struct parser *parser) {
    const struct parser_partial *partial = parser->partial;
    if (partial == NULL) {
        return 0;
    }
    size_t argv_bytes = partial->argv != NULL ? partial->argc * sizeof *partial->argv : 0;
    return sizeof *partial + partial->span_capacity * sizeof *partial->spans + argv_bytes +
           partial->blob_bytes;
}

void partial_drop(struct parser *parser) {
    struct parser_partial *partial = parser->partial;
    if (partial == NULL) {
        return;
    }
    for (uint32_t i = 0; i < partial->span_count; i++) {
        if (partial->spans[i].blob != NULL) {
            blob_put(partial->spans[i].blob);
        }
    }
    if (partial->blob != NULL) {
        blob_put(partial->blob);
    }
    mem_free(parser->account, partial->spans);
    mem_free(parser->account, partial->argv);
    mem_free(parser->account, partial->text);
    mem_free(parser->account, partial);
    parser->partial = NULL;
}
