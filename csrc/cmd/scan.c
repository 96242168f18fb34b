/* SCAN and KEYS.
 *
 * A cursor is a shard and a cursor of its table: shard << 40 | position, 0 at the beginning and at the end.
 * The position has K3's guarantee (store/keyspace.h), and a key never changes its shard, so the guarantee
 * holds for the whole. A call works on one shard, with that baton alone, and gives the next shard's first
 * cursor when it has come to the end. The first call holds all: a small database is then answered for in one
 * go, as in Redis.
 *
 * The cursor stands before the keys in the reply. So a call goes over the buckets twice: first it measures
 * how far its budget reaches, reading buckets only; then it visits the entries, whose memory it fetches some
 * positions ahead.
 */
#include "cmd/scan.h"
#include "base/glob.h"
#include "cmd/expire.h"
#include "cmd/families.h"

enum {
    POSITION_BITS = 40,
    POSITIONS_PER_COUNT = 10, /* so many, and no more, when most of them are empty */
    FETCH_POSITIONS = 16,
    EXPIRED_MAX = 64, /* deleted by one call; more are hidden only */
    SHARDS_MAX = 64,  /* a mask of them is a word */
};

/* ---- What is looked for ------------------------------------------------------------------------- */

void scan_pattern_set(struct scan_pattern *pattern, struct bytes text) {
    pattern->text = text;
    pattern->prefix_len = 0;
    while (pattern->prefix_len < text.len && !memchr("*?[\\", text.at[pattern->prefix_len], 4))
        pattern->prefix_len++;
    pattern->is_set = text.len != 1 || *text.at != '*';
}

bool scan_pattern_takes(const struct scan_pattern *pattern, struct bytes text) {
    return !pattern->is_set || (text.len >= pattern->prefix_len &&
                                bytes_same(text.at, pattern->text.at, pattern->prefix_len) &&
                                glob_match(pattern->text, text));
}

static bool takes(const struct scan_options *filter, const struct entry *entry) {
    if (filter->has_type && !(filter->knows_type && entry_type(entry) == filter->type))
        return false;
    return scan_pattern_takes(&filter->pattern, entry_key(entry));
}

/* ---- Visiting ----------------------------------------------------------------------------------- */

struct walk {
    struct call *call;
    const struct scan_options *filter;
    uint64_t shown;
    uint32_t expired_count;
    struct entry *expired[EXPIRED_MAX];
};

static void walk_visit(void *context, struct entry *entry) {
    struct walk *walk = context;
    if (!takes(walk->filter, entry)) return;
    if (entry_deadline(entry) != 0 && entry_is_expired(entry, call_due(walk->call))) {
        if (walk->expired_count < EXPIRED_MAX) walk->expired[walk->expired_count++] = entry;
        return;
    }
    reply_bulk(walk->call->reply, entry_key(entry));
    walk->shown++;
}

/* So many positions, or to the end. */
static void walk_positions(struct walk *walk, struct keyspace *keyspace, uint64_t cursor,
                           uint64_t positions) {
    uint32_t db = walk->call->db;
    for (uint64_t ahead; positions > 0; positions -= ahead) {
        ahead = positions < FETCH_POSITIONS ? positions : FETCH_POSITIONS;
        keyspace_scan_fetch(keyspace, db, cursor, ahead);
        for (uint64_t i = 0; i < ahead; i++)
            if ((cursor = keyspace_scan(keyspace, db, cursor, walk_visit, walk)) == 0) return;
    }
}

/* ---- SCAN --------------------------------------------------------------------------------------- */

struct stretch { /* of one shard */
    uint64_t cursor, positions;
};

struct scan {
    struct scan_options options;
    uint32_t first, last;                 /* shards, of which the batons are held */
    struct stretch stretches[SHARDS_MAX]; /* from `first` on */
};

static uint32_t cursor_shard(const struct domain *domain, uint64_t cursor) {
    return (uint32_t)((cursor >> POSITION_BITS) % domain->shard_count);
}

static uint64_t cursor_at(uint32_t shard, uint64_t position) {
    return (uint64_t)shard << POSITION_BITS | position;
}

/* Blanks and a plus in front of a number beyond int64 are Redis's way of reading it; a byte of 0 ends it. */
static bool cursor_parse_long(struct bytes text, uint64_t *cursor) {
    const char *at = text.at, *end = at + text.len;
    uint64_t value = 0;
    bool negative = false, overflow = false;
    while (at < end && (*at == ' ' || (*at >= '\t' && *at <= '\r'))) at++;
    if (at < end && (*at == '+' || *at == '-')) negative = *at++ == '-';
    const char *digits = at;
    for (; at < end && *at >= '0' && *at <= '9'; at++)
        overflow |= __builtin_mul_overflow(value, 10, &value) ||
                    __builtin_add_overflow(value, (uint64_t)(*at - '0'), &value);
    *cursor = negative ? -value : value;
    return at == end && at > digits && !overflow;
}

static bool cursor_parse(struct bytes text, uint64_t *cursor) {
    int64_t number;
    const char *nul = text.len ? memchr(text.at, 0, text.len) : NULL;
    if (nul) text.len = (uint32_t)(nul - text.at);
    if (!bytes_to_int64(text, &number)) return cursor_parse_long(text, cursor);
    *cursor = (uint64_t)number;
    return number >= 0;
}

static uint64_t scan_places(const struct domain *domain, const struct bytes *argv, uint32_t argc) {
    uint64_t cursor, all = UINT64_MAX >> (64 - domain->shard_count);
    if (argc < 2 || !cursor_parse(argv[1], &cursor)) return 0;
    return cursor == 0 ? all : UINT64_C(1) << cursor_shard(domain, cursor);
}

/* The option at argv[i], and what belongs to it. Returns how many words that is; 0: an error is replied. */
static uint32_t parse_option(struct call *call, struct scan_options *options, uint32_t i) {
    struct bytes word = call->argv[i];
    bool has_value = i + 1 < call->argc;
    int64_t count;
    if (bytes_is(word, "count") && has_value) {
        if (!call_integer(call, i + 1, &count)) return 0;
        if (count >= 1) {
            options->count = (uint64_t)count;
            return 2;
        }
    } else if (bytes_is(word, "match") && has_value) {
        scan_pattern_set(&options->pattern, call->argv[i + 1]);
        return 2;
    } else if (bytes_is(word, "type") && has_value && options->of == VALUE_STRING) {
        options->has_type = true;
        options->knows_type = value_type_find(call->argv[i + 1], &options->type);
        return 2;
    } else if (bytes_is(word, "novalues")) {
        if (options->of == VALUE_HASH) {
            options->no_values = true;
            return 1;
        }
        call_error(call, "ERR NOVALUES option can only be used in HSCAN");
        return 0;
    }
    call_error_syntax(call);
    return 0;
}

bool scan_cursor(struct call *call, uint32_t index, uint64_t *cursor) {
    if (cursor_parse(call->argv[index], cursor)) return true;
    call_error(call, "ERR invalid cursor");
    return false;
}

bool scan_options(struct call *call, uint32_t first, struct scan_options *options) {
    options->count = SCAN_COUNT_DEFAULT;
    for (uint32_t i = first, words; i < call->argc; i += words)
        if ((words = parse_option(call, options, i)) == 0) return false;
    return true;
}

/* Where the next call goes on when the shards up to `last` are done: what is empty is passed over while it
 * is held. */
static uint64_t scan_next_shard(const struct call *call, const struct scan *scan, uint32_t shard) {
    do shard++;
    while (shard <= scan->last && keyspace_count(call->domain->keyspaces[shard], call->db) == 0);
    return shard < call->domain->shard_count ? cursor_at(shard, 0) : 0;
}

/* Lays out the stretches that the budget allows; returns the cursor behind them. */
static uint64_t scan_measure(const struct call *call, struct scan *scan, uint64_t cursor) {
    struct scan_budget budget = {.entries = scan->options.count, .positions = UINT64_MAX};
    if (scan->options.count < UINT64_MAX / POSITIONS_PER_COUNT)
        budget.positions = scan->options.count * POSITIONS_PER_COUNT;
    for (uint32_t shard = scan->first;;) {
        uint64_t before = budget.positions;
        uint64_t position = cursor & ((UINT64_C(1) << POSITION_BITS) - 1);
        uint64_t end =
            keyspace_scan_measure(call->domain->keyspaces[shard], call->db, position, &budget);
        scan->stretches[shard - scan->first] =
            (struct stretch){position, before - budget.positions};
        if (end != 0) return cursor_at(shard, end);
        cursor = scan_next_shard(call, scan, shard);
        shard = cursor_shard(call->domain, cursor);
        if (cursor == 0 || shard > scan->last || budget.entries == 0 || budget.positions == 0)
            return cursor;
    }
}

static void scan_reply(struct call *call, const struct scan *scan, uint64_t next) {
    struct walk walk = {.call = call, .filter = &scan->options};
    char number[24];
    reply_array(call->reply, 2);
    reply_bulk(call->reply, bytes_of(number, bytes_from_uint64(number, next)));
    struct reply_mark mark = reply_defer_begin(call->reply);
    for (uint32_t shard = scan->first; shard <= scan->last; shard++) {
        const struct stretch *stretch = &scan->stretches[shard - scan->first];
        walk_positions(&walk, call->domain->keyspaces[shard], stretch->cursor, stretch->positions);
    }
    reply_defer_array(call->reply, mark, walk.shown);
    for (uint32_t i = 0; i < walk.expired_count; i++)
        (void)expire_entry(call, call->db, walk.expired[i]);
}

static void scan_command(struct call *call) {
    struct scan scan;
    uint64_t cursor;
    scan.options = (struct scan_options){0};
    if (!scan_cursor(call, 1, &cursor) || !scan_options(call, 2, &scan.options)) return;
    scan.first = cursor_shard(call->domain, cursor);
    scan.last = cursor == 0 ? call->domain->shard_count - 1 : scan.first;
    memset(scan.stretches, 0, (scan.last - scan.first + 1) * sizeof *scan.stretches);
    uint64_t next = scan_measure(call, &scan, cursor);
    scan_reply(call, &scan, next);
}

/* ---- KEYS --------------------------------------------------------------------------------------- */

static void keys_command(struct call *call) {
    struct scan_options filter = {0};
    struct walk walk = {.call = call, .filter = &filter, .expired_count = EXPIRED_MAX};
    scan_pattern_set(&filter.pattern, call->argv[1]);
    struct reply_mark mark = reply_defer_begin(call->reply);
    for (uint32_t i = 0; i < call->domain->shard_count; i++)
        keyspace_walk(call->domain->keyspaces[i], call->db, walk_visit, &walk);
    reply_defer_array(call->reply, mark, walk.shown);
}

void scan_bind(void) {
    command_bind_placed("scan", scan_command, scan_places);
    command_bind_all_shards("keys", keys_command);
}
