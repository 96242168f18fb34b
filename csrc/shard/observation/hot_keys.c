#include "shard/observation/hot_keys.h"

#include <stdlib.h>

#include "base/mem.h"

enum { HALVINGS_MAX = 64 };

static const uint64_t DB_MARK = UINT64_C(0x9e3779b97f4a7c15);

/* ---- The table ---------------------------------------------------------------------------------- */

/* The loop without a way out is what compilers make wide comparisons of. */
static uint32_t find(const struct hot_keys *keys, uint64_t mark) {
    uint32_t found = HOT_KEYS;
    for (uint32_t i = 0; i < HOT_KEYS; i++) found = keys->marks[i] == mark ? i : found;
    return found < keys->count ? found : HOT_KEYS;
}

static uint32_t rarest(const struct hot_keys *keys) {
    uint32_t rarest = 0;
    for (uint32_t i = 1; i < HOT_KEYS; i++)
        if (keys->at[i].count < keys->at[rarest].count) rarest = i;
    return rarest;
}

/* A place for a name that is not in the table, with the count that it takes over. */
static struct hot_key *make_place(struct hot_keys *keys, uint64_t mark) {
    uint32_t i = keys->count < HOT_KEYS ? keys->count++ : rarest(keys);
    struct hot_key *key = &keys->at[i];
    keys->marks[i] = mark;
    key->doubt = key->count;
    return key;
}

void hot_keys_note(struct hot_keys *keys, uint64_t hash, uint32_t db, struct bytes name,
                   double weight) {
    uint64_t mark = hash + db * DB_MARK;
    uint32_t i = find(keys, mark);
    keys->total += weight;
    if (i < HOT_KEYS) {
        keys->at[i].count += weight;
        return;
    }
    struct hot_key *key = make_place(keys, mark);
    key->count += weight;
    key->db = db;
    key->len = name.len;
    bytes_copy(key->name, name.at, name.len < HOT_KEY_BYTES ? name.len : HOT_KEY_BYTES);
}

uint32_t hot_keys_draw(struct hot_keys *keys, uint32_t most) {
    keys->draw = keys->draw * 1664525u + 1013904223u;
    return (uint32_t)((uint64_t)keys->draw * (most + 1) >> 32);
}

/* ---- Time --------------------------------------------------------------------------------------- */

static void scale(struct hot_keys *keys, double by) {
    keys->total *= by;
    for (uint32_t i = 0; i < keys->count; i++) {
        keys->at[i].count *= by;
        keys->at[i].doubt *= by;
    }
}

static void fade(struct hot_keys *keys, uint64_t now_ns) {
    if (now_ns < keys->halved_ns + HOT_HALF_LIFE_NS) return;
    uint64_t times = (now_ns - keys->halved_ns) / HOT_HALF_LIFE_NS;
    keys->halved_ns += times * HOT_HALF_LIFE_NS;
    scale(keys, 1.0 / (double)(UINT64_C(1) << (times < HALVINGS_MAX ? times : HALVINGS_MAX - 1)));
}

struct hot_keys *hot_keys_look(struct hot_keys **slot, uint64_t now_ns) {
    if (!*slot) {
        *slot = mem_calloc(NULL, sizeof **slot);
        if (!*slot) return NULL;
        (*slot)->halved_ns = now_ns;
        (*slot)->draw = (uint32_t)now_ns;
    }
    fade(*slot, now_ns);
    (*slot)->end_ns = now_ns + HOT_LEASE_NS;
    return *slot;
}

/* ---- Calls -------------------------------------------------------------------------------------- */

static void note_argument(struct hot_keys *keys, const struct call *call, uint32_t index,
                          double weight) {
    if (index < call->argc)
        hot_keys_note(keys, call_hash(call, index), call->db, call->argv[index], weight);
}

/* A part of many keys, as far apart as they can be, from a random one of the first on. */
static void note_keys(struct hot_keys *keys, const struct call *call, double weight) {
    struct key_refs refs;
    if (!key_refs_init(&refs, call->command, call->argv, call->argc)) return;
    uint32_t count = refs.count > 0 ? (uint32_t)refs.count : 0;
    uint32_t step = (count + HOT_KEYS_PER_CALL - 1) / HOT_KEYS_PER_CALL;
    for (uint32_t i = step > 1 ? hot_keys_draw(keys, step - 1) : 0; i < count; i += step)
        note_argument(keys, call, refs.at[i].index, weight * step);
    key_refs_deinit(&refs);
}

void hot_keys_note_call(struct hot_keys **slot, const struct call *call, uint32_t weight,
                        uint64_t now_ns) {
    if (now_ns > (*slot)->end_ns) {
        mem_free(NULL, *slot);
        *slot = NULL;
        return;
    }
    fade(*slot, now_ns);
    note_keys(*slot, call, weight);
}

/* ---- Several places ------------------------------------------------------------------------------ */

/* Where a name of so many counts goes; HOT_KEYS: it is too rare. */
static uint32_t place_for(struct hot_keys *sum, uint64_t mark, double count) {
    uint32_t i = find(sum, mark);
    if (i < HOT_KEYS) return i;
    if (sum->count < HOT_KEYS) i = sum->count++;
    else if (sum->at[i = rarest(sum)].count >= count) return HOT_KEYS;
    sum->marks[i] = mark;
    sum->at[i].count = sum->at[i].doubt = 0;
    return i;
}

void hot_keys_add(struct hot_keys *sum, const struct hot_keys *more) {
    for (uint32_t from = 0; from < more->count; from++) {
        const struct hot_key *key = &more->at[from];
        uint32_t to = place_for(sum, more->marks[from], key->count);
        if (to == HOT_KEYS) continue;
        struct hot_key before = sum->at[to];
        sum->at[to] = *key;
        sum->at[to].count += before.count;
        sum->at[to].doubt += before.doubt;
    }
    sum->total += more->total;
}

static int by_count(const void *a, const void *b) {
    double x = ((const struct hot_key *)a)->count, y = ((const struct hot_key *)b)->count;
    return (x < y) - (x > y);
}

void hot_keys_sort(struct hot_keys *keys) {
    qsort(keys->at, keys->count, sizeof *keys->at, by_count);
}
