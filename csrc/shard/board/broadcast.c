/* Broadcasts: clients that are told of every change of a key that begins with one of their prefixes.
 *
 * A change is compared with the prefixes, of which there are few, and its key kept if one fits. At the end of
 * the call the keys are sorted, each once, and each prefix's part of them is written once, for all that are
 * interested: one push for each prefix and client, with the keys in the order of their bytes. A client that does not
 * want to hear of its own changes gets a list without those.
 */
#include "shard/board/tracking_internal.h"

enum { NUMBER_BYTES = 20, RUNS = 40 };

/* ---- Prefixes ------------------------------------------------------------------------------------- */

static struct prefix **find_prefix(struct tracking *tracking, struct bytes bytes, bool *found) {
    struct prefix **link = &tracking->prefixes;
    int order = -1;
    while (*link && (order = bytes_compare(prefix_bytes(*link), bytes)) < 0) link = &(*link)->next;
    *found = *link && order == 0;
    return link;
}

static struct prefix *prefix_new(struct bytes bytes) {
    struct prefix *prefix = mem_alloc(NULL, sizeof *prefix + bytes.len);
    if (!prefix) return NULL;
    *prefix = (struct prefix){.len = bytes.len};
    bytes_copy(prefix->bytes, bytes.at, bytes.len);
    return prefix;
}

static void update_wanted(struct fabric *fabric) {
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++)
        outcomes_update_wanted(fabric->shards[i]);
}

void broadcast_prune(struct fabric *fabric) {
    struct prefix **link = &fabric->tracking.prefixes;
    for (struct prefix *prefix; (prefix = *link);) {
        if (prefix->first) {
            link = &prefix->next;
        } else {
            *link = prefix->next;
            mem_free(NULL, prefix);
        }
    }
    update_wanted(fabric);
}

/* ---- Interest ---------------------------------------------------------------------------------------- */

static struct interest **find_own(struct tracker *tracker, struct bytes bytes, bool *found) {
    struct interest **link = &tracker->first;
    int order = -1;
    while (*link && (order = bytes_compare(prefix_bytes((*link)->prefix), bytes)) < 0)
        link = &(*link)->next;
    *found = *link && order == 0;
    return link;
}

static void enter(struct tracking *tracking, struct interest *interest) {
    struct prefix *prefix = interest->prefix;
    interest->previous_of = NULL;
    interest->next_of = prefix->first;
    if (prefix->first) prefix->first->previous_of = interest;
    else atomic_add_relaxed(&tracking->interests, 1);
    prefix->first = interest;
}

static void leave(struct tracking *tracking, struct interest *interest) {
    struct prefix *prefix = interest->prefix;
    if (interest->next_of) interest->next_of->previous_of = interest->previous_of;
    if (interest->previous_of) interest->previous_of->next_of = interest->next_of;
    else prefix->first = interest->next_of;
    if (!prefix->first) atomic_sub_relaxed(&tracking->interests, 1);
}

/* One that is there already serves. A prefix without a member is pruned when the call is refused after all. */
static bool subscribe(struct tracking *tracking, struct tracker *tracker, struct bytes bytes) {
    bool found;
    struct interest **own = find_own(tracker, bytes, &found);
    if (found) return true;
    struct prefix **link = find_prefix(tracking, bytes, &found);
    struct interest *interest = mem_calloc(NULL, sizeof *interest);
    struct prefix *prefix = found ? *link : prefix_new(bytes);
    if (!interest || !prefix) {
        mem_free(NULL, interest);
        if (!found) mem_free(NULL, prefix);
        return false;
    }
    if (!found) {
        prefix->next = *link;
        *link = prefix;
    }
    *interest =
        (struct interest){.prefix = prefix, .tracker = tracker, .next = *own, .is_new = true};
    *own = interest;
    enter(tracking, interest);
    return true;
}

static void unsubscribe(struct tracking *tracking, struct interest **own) {
    struct interest *interest = *own;
    *own = interest->next;
    if (tracking) leave(tracking, interest);
    mem_free(NULL, interest);
}

/* Those that the call has added, which are the ones that are there and were not. */
static void take_back(struct fabric *fabric, struct tracker *tracker, const struct bytes *added,
                      uint32_t count) {
    bool found;
    for (uint32_t i = 0; i < count; i++) {
        struct interest **own = find_own(tracker, added[i], &found);
        if (found && (*own)->is_new) unsubscribe(&fabric->tracking, own);
    }
    broadcast_prune(fabric);
}

bool broadcast_subscribe(struct fabric *fabric, struct tracker *tracker,
                         const struct bytes *prefixes, uint32_t count) {
    static const struct bytes all = {.at = ""};
    if (count == 0) {
        prefixes = &all;
        count = 1;
    }
    for (struct interest *at = tracker->first; at; at = at->next) at->is_new = false;
    for (uint32_t i = 0; i < count; i++) {
        if (subscribe(&fabric->tracking, tracker, prefixes[i])) continue;
        take_back(fabric, tracker, prefixes, i);
        return false;
    }
    update_wanted(fabric);
    return true;
}

void broadcast_unsubscribe(struct tracking *tracking, struct tracker *tracker) {
    while (tracker->first) unsubscribe(tracking, &tracker->first);
}

/* ---- Changes ------------------------------------------------------------------------------------------- */

static bool begins_with(struct bytes key, const struct prefix *prefix) {
    return prefix->len <= key.len && bytes_same(key.at, prefix->bytes, prefix->len);
}

static bool is_of_interest(const struct tracking *tracking, struct bytes key) {
    for (const struct prefix *prefix = tracking->prefixes; prefix; prefix = prefix->next)
        if (begins_with(key, prefix)) return true;
    return false;
}

/* What a deadline has done is nobody's own change. */
static const struct tracker *changed_by(const struct call *call) {
    return call->client && !(call->flags & CALL_EXPIRES) ? call->client->tracker : NULL;
}

void broadcast_touch(struct call *call, const struct key_place *place) {
    struct shard *home = call_home(call);
    struct tracking_outcome *outcome = &home->data.outcomes.tracking;
    struct bytes key = place->key;
    if (!is_of_interest(&home->fabric->tracking, key)) return;
    struct touched_key *touched = mem_alloc(NULL, sizeof *touched + key.len);
    home->data.outcomes.pending = true;
    if (!touched) {
        outcome->keys_lost = true;
        return;
    }
    *touched = (struct touched_key){outcome->keys, changed_by(call), key.len};
    bytes_copy(touched->bytes, key.at, key.len);
    outcome->keys = touched;
}

/* ---- The keys of a call, in order ---------------------------------------------------------------------- */

static struct bytes touched_bytes(const struct touched_key *touched) {
    return bytes_of(touched->bytes, touched->len);
}

/* Of equal keys the one of `a`, which is the newer, stays first. */
static struct touched_key *merge(struct touched_key *a, struct touched_key *b) {
    struct touched_key *first = NULL, **link = &first;
    while (a && b) {
        struct touched_key **from =
            bytes_compare(touched_bytes(a), touched_bytes(b)) <= 0 ? &a : &b;
        *link = *from;
        link = &(*link)->next;
        *from = *link;
    }
    *link = a ? a : b;
    return first;
}

/* Runs of 1, 2, 4 ... keys; what is in a longer one is newer. */
static struct touched_key *sort(struct touched_key *keys) {
    struct touched_key *runs[RUNS] = {0}, *sorted = NULL;
    for (struct touched_key *next; keys; keys = next) {
        struct touched_key *run = keys;
        size_t i = 0;
        next = keys->next;
        run->next = NULL;
        for (; runs[i]; i++) {
            run = merge(runs[i], run);
            runs[i] = NULL;
        }
        runs[i] = run;
    }
    for (size_t i = 0; i < RUNS; i++) sorted = merge(runs[i], sorted);
    return sorted;
}

/* Of each key the last change counts. */
static void drop_repeated(struct touched_key *key) {
    for (struct touched_key *next; key; key = next) {
        while ((next = key->next) && bytes_equal(touched_bytes(key), touched_bytes(next))) {
            key->next = next->next;
            mem_free(NULL, next);
        }
    }
}

/* ---- Telling --------------------------------------------------------------------------------------------- */

/* Keys from `first` on, as far as they begin with the prefix; without those that `but` has changed. */
struct share {
    const struct touched_key *first;
    const struct prefix *prefix;
    const struct tracker *but; /* NULL: of all */
};

static const struct touched_key *share_from(const struct share *share,
                                            const struct touched_key *key) {
    while (key && share->but && key->by == share->but) key = key->next;
    return key && begins_with(touched_bytes(key), share->prefix) ? key : NULL;
}

static uint64_t share_count(const struct share *share, uint64_t *bytes) {
    const struct touched_key *key = share_from(share, share->first);
    uint64_t count = 0;
    *bytes = NUMBER_BYTES + 3;
    for (; key; key = share_from(share, key->next), count++) *bytes += NUMBER_BYTES + 5 + key->len;
    return count;
}

static char *put_number(char *at, char kind, uint64_t number) {
    *at++ = kind;
    at += bytes_from_uint64(at, number);
    *at++ = '\r';
    *at++ = '\n';
    return at;
}

/* The array of the keys; NULL: no memory. */
static struct blob *share_write(const struct share *share, uint64_t count, uint64_t bytes) {
    struct blob *text = bytes < UINT32_MAX ? blob_new(NULL, (uint32_t)bytes) : NULL;
    if (!text) return NULL;
    char *at = put_number(text->data, '*', count);
    const struct touched_key *key = share_from(share, share->first);
    for (; key; key = share_from(share, key->next)) {
        at = put_number(at, '$', key->len);
        memcpy(at, key->bytes, key->len);
        at = memcpy(at + key->len, "\r\n", 2);
        at += 2;
    }
    text->len = (uint32_t)(at - text->data);
    return text;
}

static void tell(struct shard *home, const struct share *share, struct tracker *tracker) {
    uint64_t bytes, count = share_count(share, &bytes);
    if (count == 0) return;
    struct blob *text = share_write(share, count, bytes);
    if (!text) {
        invalidations_close(home, tracker);
        return;
    }
    invalidations_post(home, tracker, text);
    blob_put(text);
}

static void tell_interested(struct shard *home, const struct prefix *prefix,
                            const struct touched_key *first) {
    struct share share = {.first = first, .prefix = prefix};
    uint64_t bytes, count = share_count(&share, &bytes);
    struct blob *text = share_write(&share, count, bytes);
    for (struct interest *at = prefix->first; at; at = at->next_of) {
        struct share own = {first, prefix, at->tracker};
        if (at->tracker->flags & TRACKER_NOLOOP) tell(home, &own, at->tracker);
        else if (text) invalidations_post(home, at->tracker, text);
        else invalidations_close(home, at->tracker);
    }
    if (text) blob_put(text);
}

static const struct touched_key *first_of(const struct touched_key *key,
                                          const struct prefix *prefix) {
    while (key && !begins_with(touched_bytes(key), prefix)) key = key->next;
    return key;
}

static void close_interested(struct shard *home) {
    struct tracker *tracker = home->fabric->tracking.first;
    for (; tracker; tracker = tracker->next)
        if (tracker->flags & TRACKER_BROADCAST) invalidations_close(home, tracker);
}

void broadcast_finish(struct shard *home) {
    struct tracking_outcome *outcome = &home->data.outcomes.tracking;
    struct touched_key *keys = sort(outcome->keys);
    drop_repeated(keys);
    outcome->keys = keys;
    if (outcome->keys_lost) close_interested(home);
    const struct prefix *prefix = keys ? home->fabric->tracking.prefixes : NULL;
    for (; prefix; prefix = prefix->next) {
        const struct touched_key *first = prefix->first ? first_of(keys, prefix) : NULL;
        if (first) tell_interested(home, prefix, first);
    }
    broadcast_forget(outcome);
}

void broadcast_forget(struct tracking_outcome *outcome) {
    for (struct touched_key *key = outcome->keys, *next; key; key = next) {
        next = key->next;
        mem_free(NULL, key);
    }
    outcome->keys = NULL;
}
