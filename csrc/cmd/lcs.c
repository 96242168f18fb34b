/* LCS: the longest common subsequence of two strings.
 *
 * The classical table holds the lengths for all beginnings of both strings, and is walked back from its end: where the
 * bytes are equal one belongs to the subsequence, else the walk goes where the longer rest is. Along a row neighbours
 * differ by one at most, so a row is kept as a bit for each column, clear where the length grows, and a
 * word of columns is made at once by an addition whose carry is the growth that moves on
 * (Hyyrö 2004, Bit-parallel LCS-length computation revisited). The same bits tell the walk where to go.
 * With IDX runs of common bytes are reported on the way, so from the end to the beginning.
 */
#include "base/mem.h"
#include "cmd/families.h"

enum { WORD_BITS = 64, BYTE_VALUES = 256 };

struct lcs {
    struct call *call;
    struct bytes a, b;
    uint32_t words;                /* of a row, which has a bit for each byte of b */
    uint64_t *rows;                /* for 0 to a.len bytes of a */
    uint64_t *masks;               /* where b has a byte: a row for each that is in a */
    uint16_t mask_of[BYTE_VALUES]; /* number of a byte's mask, from 1 on; 0: none */
    uint32_t mask_count;
    bool wants_len, wants_matches, with_match_len;
    int64_t min_match_len;
};

static uint64_t *row_at(const struct lcs *lcs, uint32_t i) {
    return &lcs->rows[(size_t)i * lcs->words];
}

/* ---- Arguments ---------------------------------------------------------------------------------- */

static bool parse_options(struct lcs *lcs) {
    struct call *call = lcs->call;
    for (uint32_t i = 3; i < call->argc; i++) {
        struct bytes word = call->argv[i];
        if (bytes_is(word, "idx")) {
            lcs->wants_matches = true;
        } else if (bytes_is(word, "len")) {
            lcs->wants_len = true;
        } else if (bytes_is(word, "withmatchlen")) {
            lcs->with_match_len = true;
        } else if (bytes_is(word, "minmatchlen") && i + 1 < call->argc) {
            if (!call_integer(call, ++i, &lcs->min_match_len)) return false;
            if (lcs->min_match_len < 0) lcs->min_match_len = 0;
        } else {
            call_error_syntax(call);
            return false;
        }
    }
    if (!lcs->wants_matches || !lcs->wants_len) return true;
    call_error(call, "ERR If you want both the length and indexes, please just use IDX.");
    return false;
}

static bool is_string_or_missing(const struct entry *entry) {
    return !entry || entry_type(entry) == VALUE_STRING;
}

static bool read_strings(struct lcs *lcs) {
    struct key_place places[KEY_GROUP];
    (void)keyspace_for_group(lcs->call, 1, 1, places);
    struct entry *a = call_read(lcs->call, &places[0]), *b = call_read(lcs->call, &places[1]);
    if (!is_string_or_missing(a) || !is_string_or_missing(b)) {
        call_error(lcs->call, "ERR The specified keys must contain string values");
        return false;
    }
    if ((a && !call_join(lcs->call, &places[0], a)) || (b && !call_join(lcs->call, &places[1], b)))
        return false;
    lcs->a = a ? entry_string(a) : (struct bytes){.at = ""};
    lcs->b = b ? entry_string(b) : (struct bytes){.at = ""};
    return true;
}

/* ---- The table ---------------------------------------------------------------------------------- */

static void number_masks(struct lcs *lcs) {
    for (uint32_t i = 0; i < lcs->a.len; i++) {
        uint16_t *mask = &lcs->mask_of[(uint8_t)lcs->a.at[i]];
        if (*mask == 0) *mask = (uint16_t)++lcs->mask_count;
    }
}

/* The limit is Redis's, for a table of four bytes a cell. */
static bool allocate(struct lcs *lcs) {
    uint64_t cells = ((uint64_t)lcs->a.len + 1) * ((uint64_t)lcs->b.len + 1);
    if (cells > lcs->call->domain->string_bytes_max / sizeof(uint32_t)) {
        call_error(lcs->call, "ERR Insufficient memory, transient memory for LCS exceeds "
                              "proto-max-bulk-len");
        return false;
    }
    lcs->words = lcs->b.len / WORD_BITS + 1;
    number_masks(lcs);
    size_t rows = ((size_t)lcs->a.len + 1) * lcs->words,
           masks = (size_t)lcs->mask_count * lcs->words;
    lcs->rows = mem_alloc(NULL, (rows + masks) * sizeof *lcs->rows);
    if (!lcs->rows) {
        call_error(lcs->call,
                   "ERR Insufficient memory, failed allocating transient memory for LCS");
        return false;
    }
    lcs->masks = lcs->rows + rows;
    return true;
}

static uint64_t *mask_of(const struct lcs *lcs, char byte) {
    return &lcs->masks[(size_t)(lcs->mask_of[(uint8_t)byte] - 1) * lcs->words];
}

static void fill_masks(const struct lcs *lcs) {
    memset(lcs->masks, 0, (size_t)lcs->mask_count * lcs->words * sizeof *lcs->masks);
    for (uint32_t j = 0; j < lcs->b.len; j++)
        if (lcs->mask_of[(uint8_t)lcs->b.at[j]])
            mask_of(lcs, lcs->b.at[j])[j / WORD_BITS] |= UINT64_C(1) << j % WORD_BITS;
}

static uint64_t add(uint64_t a, uint64_t b, bool *carry) {
    uint64_t sum;
    bool over = __builtin_add_overflow(a, b, &sum);
    *carry = __builtin_add_overflow(sum, *carry, &sum) || over;
    return sum;
}

static void fill_row(const struct lcs *lcs, uint32_t i) {
    const uint64_t *above = row_at(lcs, i - 1), *mask = mask_of(lcs, lcs->a.at[i - 1]);
    uint64_t *row = row_at(lcs, i);
    bool carry = false;
    for (uint32_t word = 0; word < lcs->words; word++)
        row[word] =
            add(above[word], above[word] & mask[word], &carry) | (above[word] & ~mask[word]);
}

static void fill(const struct lcs *lcs) {
    fill_masks(lcs);
    memset(lcs->rows, 0xff, lcs->words * sizeof *lcs->rows);
    for (uint32_t i = 1; i <= lcs->a.len; i++) fill_row(lcs, i);
}

static uint32_t length_of(const struct lcs *lcs) {
    const uint64_t *last = row_at(lcs, lcs->a.len);
    uint32_t length = 0;
    for (uint32_t word = 0; word < lcs->words; word++)
        length += (uint32_t)__builtin_popcountll(~last[word]);
    return length;
}

/* Is the length for i and j bytes more than for i and j - 1? */
static bool grows_at(const struct lcs *lcs, uint32_t i, uint32_t j) {
    return !(row_at(lcs, i)[(j - 1) / WORD_BITS] >> (j - 1) % WORD_BITS & 1);
}

/* ---- The way back ------------------------------------------------------------------------------- */

struct walk {
    uint32_t i, j; /* what is left of each string */
};

/* One step. True: the last bytes were equal, and belong to the subsequence. */
static bool step_back(const struct lcs *lcs, struct walk *walk) {
    if (lcs->a.at[walk->i - 1] == lcs->b.at[walk->j - 1]) {
        walk->i--;
        walk->j--;
        return true;
    }
    if (grows_at(lcs, walk->i, walk->j)) walk->i--;
    else walk->j--;
    return false;
}

static void reply_subsequence(const struct lcs *lcs) {
    uint32_t len = length_of(lcs), left = len;
    struct walk walk = {lcs->a.len, lcs->b.len};
    struct blob *text = blob_new(NULL, len);
    if (!text) {
        call_error_memory(lcs->call);
        return;
    }
    while (left)
        if (step_back(lcs, &walk)) text->data[--left] = lcs->a.at[walk.i];
    reply_bulk(lcs->call->reply, blob_bytes(text));
    blob_put(text);
}

static void reply_range(struct reply *reply, uint32_t start, uint32_t len) {
    reply_array(reply, 2);
    reply_integer(reply, start);
    reply_integer(reply, (int64_t)start + len - 1);
}

static bool reply_match(const struct lcs *lcs, const struct walk *start, uint32_t len) {
    struct reply *reply = lcs->call->reply;
    if (len == 0 || len < lcs->min_match_len) return false;
    reply_array(reply, lcs->with_match_len ? 3 : 2);
    reply_range(reply, start->i, len);
    reply_range(reply, start->j, len);
    if (lcs->with_match_len) reply_integer(reply, len);
    return true;
}

/* Runs of bytes that are common and adjacent in both strings, the last one first. */
static uint64_t reply_matches(const struct lcs *lcs) {
    uint64_t matches = 0;
    uint32_t run = 0;
    struct walk walk = {lcs->a.len, lcs->b.len}, start = walk;
    while (walk.i > 0 && walk.j > 0) {
        struct walk before = walk;
        if (step_back(lcs, &walk)) {
            run++;
            start = walk;
            continue;
        }
        matches += reply_match(lcs, &before, run);
        run = 0;
    }
    return matches + reply_match(lcs, &start, run);
}

static void reply_indexes(const struct lcs *lcs) {
    struct reply *reply = lcs->call->reply;
    reply_map(reply, 2);
    reply_bulk_text(reply, "matches");
    struct reply_mark mark = reply_defer_begin(reply);
    reply_defer_array(reply, mark, reply_matches(lcs));
    reply_bulk_text(reply, "len");
    reply_integer(reply, length_of(lcs));
}

static void lcs_command(struct call *call) {
    struct lcs lcs = {.call = call};
    if (!read_strings(&lcs) || !parse_options(&lcs) || !allocate(&lcs)) return;
    fill(&lcs);
    if (lcs.wants_matches) reply_indexes(&lcs);
    else if (lcs.wants_len) reply_integer(call->reply, length_of(&lcs));
    else reply_subsequence(&lcs);
    mem_free(NULL, lcs.rows);
}

void lcs_bind(void) {
    command_bind("lcs", lcs_command);
}
