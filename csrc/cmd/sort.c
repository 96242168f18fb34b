/* SORT and SORT_RO.
 *
 * Elements of a list, set or sorted set are put in order by themselves or by what keys hold whose names they are
 * part of, and are replied, or what other such keys hold (GET). Which keys these are is known only when the
 * elements are, so a call with such a pattern holds every shard.
 */
#define _GNU_SOURCE /* qsort_r */
#include <ctype.h>
#include <stdlib.h>

#include "base/decimal.h"
#include "cmd/families.h"
#include "cmd/hash.h"
#include "cmd/list.h"

enum { PATTERN_NAME_MAX = 512 };

struct sort {
    struct call *call;
    bool alpha, back, unsorted;
    struct bytes by; /* at NULL: by the elements themselves */
    int64_t start, limit;
    uint32_t store; /* argument: the target's key; 0: none */
    uint32_t gets;  /* how many GET there are */
    struct collection_view view;
};

struct sorted {
    struct bytes element;
    double score;
    struct bytes text; /* what it is compared by, at NULL: nothing was found */
};

struct sorted_all {
    struct sorted *at;
    uint64_t count, first, shown; /* of the range that LIMIT leaves */
};

/* ---- Arguments ---------------------------------------------------------------------------------- */

static bool has_star(struct bytes text) {
    return text.len > 0 && memchr(text.at, '*', text.len);
}

/* Patterns are told by their star wherever they stand: a key too much is never wrong. */
static uint64_t sort_places(const struct domain *domain, const struct bytes *argv, uint32_t argc) {
    uint64_t all = UINT64_MAX >> (64 - domain->shard_count), mask = 0;
    for (uint32_t i = 1; i < argc; i++) {
        if (i > 1 && has_star(argv[i])) return all;
        if (i > 1 && !bytes_is(argv[i - 1], "store")) continue;
        uint64_t hash = hash_bytes(&domain->hash_seed, argv[i].at, argv[i].len);
        mask |= UINT64_C(1) << hash_shard(hash, domain->shard_count);
    }
    return mask;
}

static bool parse_limit(struct sort *sort, uint32_t i) {
    return call_integer(sort->call, i + 1, &sort->start) &&
           call_integer(sort->call, i + 2, &sort->limit);
}

/* The option at argv[i]. Returns how many words it has; 0 after the error reply. */
static uint32_t parse_option(struct sort *sort, bool may_store, uint32_t i) {
    struct call *call = sort->call;
    struct bytes word = call->argv[i];
    uint32_t left = call->argc - i - 1;
    if (bytes_is(word, "asc") || bytes_is(word, "desc")) {
        sort->back = bytes_is(word, "desc");
        return 1;
    }
    if (bytes_is(word, "alpha")) {
        sort->alpha = true;
        return 1;
    }
    if (bytes_is(word, "limit") && left >= 2) return parse_limit(sort, i) ? 3 : 0;
    if (may_store && bytes_is(word, "store") && left >= 1) {
        sort->store = i + 1;
        return 2;
    }
    if (bytes_is(word, "by") && left >= 1) {
        sort->by = call->argv[i + 1];
        sort->unsorted = !has_star(sort->by);
        return 2;
    }
    if (bytes_is(word, "get") && left >= 1) {
        sort->gets++;
        return 2;
    }
    call_error_syntax(call);
    return 0;
}

static bool parse(struct sort *sort, bool may_store) {
    for (uint32_t i = 2, words; i < sort->call->argc; i += words)
        if ((words = parse_option(sort, may_store, i)) == 0) return false;
    return true;
}

/* Options may stand anywhere, so the GETs are gone over again. Returns the pattern's argument. */
static uint32_t next_get(const struct sort *sort, uint32_t i) {
    for (;; i++) {
        struct bytes word = sort->call->argv[i];
        if (bytes_is(word, "get")) return i + 1;
        if (bytes_is(word, "by") || bytes_is(word, "store")) i++;
        else if (bytes_is(word, "limit")) i += 2;
    }
}

/* ---- What a pattern names ----------------------------------------------------------------------- */

/* False: no memory. */
static bool find_named(const struct sort *sort, struct bytes key, struct bytes field,
                       struct bytes *out) {
    struct hash_field found;
    struct key_place place = keyspace_for_bytes(sort->call, key, sort->call->db);
    struct entry *entry = call_read(sort->call, &place);
    if (entry && field.len == 0 && entry_type(entry) == VALUE_STRING) {
        if (!keyspace_join_string(place.keyspace, place.db, entry)) return false;
        *out = entry_string(entry);
    } else if (entry && field.len > 0 && entry_type(entry) == VALUE_HASH) {
        struct collection_view view = view_of(entry);
        if (hash_find(sort->call, &view, field, &found)) *out = found.value;
    }
    return true;
}

/* "->" behind the star begins the name of a field, if there is something behind it. */
static struct bytes split_field(struct bytes *pattern, const char *star) {
    const char *end = pattern->at + pattern->len;
    for (const char *at = star + 1; at + 2 < end; at++) {
        if (at[0] != '-' || at[1] != '>') continue;
        pattern->len = (uint32_t)(at - pattern->at);
        return bytes_of(at + 2, (size_t)(end - at - 2));
    }
    return (struct bytes){0};
}

/* What the pattern leads to for an element; at NULL: nothing. False: no memory. */
static bool look_up(const struct sort *sort, struct bytes pattern, struct bytes element,
                    struct bytes *out) {
    char small[PATTERN_NAME_MAX];
    const char *star = pattern.len > 0 ? memchr(pattern.at, '*', pattern.len) : NULL;
    *out = element;
    if (pattern.len == 1 && pattern.at[0] == '#') return true;
    *out = (struct bytes){0};
    if (!star) return true;
    struct bytes field = split_field(&pattern, star);
    size_t before = (size_t)(star - pattern.at), behind = pattern.len - before - 1;
    size_t len = before + element.len + behind;
    char *name = len <= sizeof small ? small : mem_alloc(NULL, len);
    if (!name) return false;
    memcpy(name, pattern.at, before);
    bytes_copy(name + before, element.at, element.len);
    memcpy(name + before + element.len, star + 1, behind);
    bool done = find_named(sort, bytes_of(name, len), field, out);
    if (name != small) mem_free(NULL, name);
    return done;
}

/* ---- Loading ------------------------------------------------------------------------------------ */

/* LIMIT as Redis reads it. */
static void limit_range(const struct sort *sort, struct sorted_all *all) {
    int64_t count = (int64_t)all->count, start = sort->start < 0 ? 0 : sort->start, end;
    if (sort->limit < 0 || __builtin_add_overflow(start, sort->limit - 1, &end)) end = count - 1;
    if (start >= count) {
        start = count - 1;
        end = count - 2;
    }
    if (end >= count) end = count - 1;
    all->first = start < 0 ? 0 : (uint64_t)start;
    all->shown = end >= start && start >= 0 ? (uint64_t)(end - start) + 1 : 0;
}

static bool load(const struct sort *sort, struct sorted_all *all) {
    struct walk walk;
    uint64_t count = view_count(&sort->view), i = 0;
    bool back = sort->unsorted && sort->back && view_type(&sort->view) != VALUE_SET;
    all->at = mem_calloc(NULL, (count + 1) * sizeof *all->at);
    if (!all->at) {
        call_error_memory(sort->call);
        return false;
    }
    bool more = walk_seek(&walk, &sort->view, back ? count - 1 : 0);
    for (; more && i < count; more = back ? walk_prev(&walk) : walk_next(&walk))
        all->at[i++].element = walk.record;
    all->count = i;
    limit_range(sort, all);
    return true;
}

/* Blanks may be in front, and nothing is 0. */
static bool read_score(struct bytes text, double *score) {
    *score = 0;
    if (text.len == 0) return true;
    while (text.len > 0 && isspace((unsigned char)*text.at)) text.at++, text.len--;
    return decimal_to_double(text, score);
}

/* What an element is compared by. False after the error reply. */
static bool weigh(const struct sort *sort, struct sorted *sorted) {
    sorted->text = sorted->element;
    if (sort->by.at && !look_up(sort, sort->by, sorted->element, &sorted->text)) {
        call_error_memory(sort->call);
        return false;
    }
    if (sort->alpha || !sorted->text.at) return true;
    if (read_score(sorted->text, &sorted->score)) return true;
    call_error(sort->call, "ERR One or more scores can't be converted into double");
    return false;
}

/* ---- Order -------------------------------------------------------------------------------------- */

static struct bytes before_nul(struct bytes text) {
    const char *nul = text.len > 0 ? memchr(text.at, 0, text.len) : NULL;
    return nul ? bytes_of(text.at, (size_t)(nul - text.at)) : text;
}

/* As Redis collates what it only shows: a byte of 0 ends a text. */
static int compare_shown(struct bytes a, struct bytes b) {
    return bytes_compare(before_nul(a), before_nul(b));
}

static int compare(const void *a, const void *b, void *context) {
    const struct sort *sort = context;
    const struct sorted *first = a, *second = b;
    int order;
    int (*texts)(struct bytes, struct bytes) = sort->store ? bytes_compare : compare_shown;
    if (!sort->alpha) {
        order = (first->score > second->score) - (first->score < second->score);
        if (order == 0) order = bytes_compare(first->element, second->element);
    } else if (first->text.at && second->text.at) {
        order = texts(first->text, second->text);
    } else {
        order = (first->text.at != NULL) - (second->text.at != NULL);
    }
    return sort->back ? -order : order;
}

/* False after the error reply. */
static bool put_in_order(struct sort *sort, struct sorted_all *all) {
    if (sort->unsorted) return true;
    for (uint64_t i = 0; i < all->count; i++)
        if (!weigh(sort, &all->at[i])) return false;
    qsort_r(all->at, all->count, sizeof *all->at, compare, sort);
    return true;
}

/* ---- The result --------------------------------------------------------------------------------- */

/* What becomes of each value; at NULL: nothing was found. False: no memory. */
typedef bool take_value(void *context, struct bytes value);

static bool give_element(const struct sort *sort, struct bytes element, take_value *take,
                         void *context) {
    struct bytes value;
    uint32_t i = 2;
    if (sort->gets == 0) return take(context, element);
    for (uint32_t at = 0; at < sort->gets; at++, i++) {
        i = next_get(sort, i);
        if (!look_up(sort, sort->call->argv[i], element, &value) || !take(context, value))
            return false;
    }
    return true;
}

static bool give(const struct sort *sort, const struct sorted_all *all, take_value *take,
                 void *context) {
    for (uint64_t i = 0; i < all->shown; i++)
        if (!give_element(sort, all->at[all->first + i].element, take, context)) return false;
    return true;
}

static bool reply_value(void *context, struct bytes value) {
    struct reply *reply = context;
    if (value.at) reply_bulk(reply, value);
    else reply_null(reply);
    return true;
}

/* Into a reply of its own, which is given up when there is no memory for what a GET asks for. */
static void reply_all(const struct sort *sort, const struct sorted_all *all) {
    struct call *call = sort->call;
    struct reply values, *reply = call->reply;
    reply_init(&values, reply->pool, reply->proto);
    reply_array(&values, all->shown * (sort->gets ? sort->gets : 1));
    if (give(sort, all, reply_value, &values)) reply_append(reply, &values);
    else call_error_memory(call);
    reply_clear(&values);
}

struct stored {
    struct call *call;
    struct edit *edit;
};

static bool store_value(void *context, struct bytes value) {
    struct stored *stored = context;
    if (!value.at) value = (struct bytes){.at = ""};
    if (!edit_keep_copy(stored->edit, value)) return false;
    list_grows(stored->call, stored->edit, 1, value.len);
    if (!edit_reserve(stored->edit, 1, value.len)) return false;
    list_push(stored->edit, LIST_TAIL, value);
    return true;
}

static void store_all(const struct sort *sort, const struct sorted_all *all) {
    struct edit edit;
    struct call *call = sort->call;
    struct stored stored = {call, &edit};
    struct key_place place = keyspace_for(call, sort->store);
    elements_open_anew(&place, call_find(call, &place), VALUE_LIST, &edit);
    if (give(sort, all, store_value, &stored)) {
        elements_store_result(call, &place, &edit, NOTIFY_LIST, "sortstore");
    } else {
        edit_close(&edit);
        call_error_memory(call);
    }
}

/* ---- Commands ----------------------------------------------------------------------------------- */

static bool is_sortable(const struct entry *entry) {
    enum value_type type = entry_type(entry);
    return type == VALUE_LIST || type == VALUE_SET || type == VALUE_ZSET;
}

/* A set has no order of its own that a result could be stored in. */
static void order_stored_set(struct sort *sort) {
    if (!sort->unsorted || !sort->store || view_type(&sort->view) != VALUE_SET) return;
    sort->unsorted = false;
    sort->alpha = true;
    sort->by = (struct bytes){0};
}

static void sort_generic(struct call *call, bool may_store) {
    struct sorted_all all = {0};
    struct sort sort = {.call = call, .limit = -1};
    struct key_place place = keyspace_for(call, 1);
    if (!parse(&sort, may_store)) return;
    struct entry *entry = call_read(call, &place);
    if (entry && !is_sortable(entry)) {
        call_error_type(call);
        return;
    }
    sort.view = view_of(entry);
    order_stored_set(&sort);
    if (load(&sort, &all) && put_in_order(&sort, &all)) {
        if (sort.store) store_all(&sort, &all);
        else reply_all(&sort, &all);
    }
    mem_free(NULL, all.at);
}

static void sort_command(struct call *call) {
    sort_generic(call, true);
}

static void sort_ro_command(struct call *call) {
    sort_generic(call, false);
}

void sort_bind(void) {
    command_bind_placed("sort", sort_command, sort_places);
    command_bind_placed("sort_ro", sort_ro_command, sort_places);
}
