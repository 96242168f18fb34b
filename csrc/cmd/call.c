#include "cmd/call.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/decimal.h"
#include "plat/clock.h"

enum { ERROR_TEXT_MAX = 512, UNKNOWN_ECHO_MAX = 128 };

int64_t domain_now(struct domain *domain) {
    int64_t now = domain->clock_ms(domain->clock_context);
    int64_t last = (int64_t)atomic_load_relaxed(&domain->last_now_ms);
    if (KRT_LIKELY(now == last)) return now;
    /* The wall clock may be set back while we run; no call sees that. */
    if (now < last) return last;
    atomic_store_relaxed(&domain->last_now_ms, (uint64_t)now);
    atomic_store_relaxed(&domain->access.seconds, (uint32_t)(now / 1000));
    return now;
}

/* Of a virtual clock the hook tells; that it may have moved is worth a question a second. */
void domain_keep_time(struct domain *domain) {
    uint32_t now = clock_wall_seconds();
    if (KRT_LIKELY(now == atomic_load_relaxed(&domain->checked_seconds))) return;
    atomic_store_relaxed(&domain->checked_seconds, now);
    (void)domain_now(domain);
}

/* The hook tells milliseconds; what is finer is the clock's, if the two agree. They are read again if
 * a millisecond ended between them. */
int64_t domain_now_us(struct domain *domain) {
    for (int tries = 0; tries < 3; tries++) {
        int64_t ms = domain_now(domain), us = virtual_clock_wall_us(&domain->clock);
        if (us / 1000 == ms) return us;
    }
    return domain_now(domain) * 1000;
}

/* While it holds one of the set nobody can close the others. */
void call_reach_extend(struct call_reach *reach, uint64_t mask) {
    uint64_t left = mask & ~*reach->held;
    if (left && reach->let_go) reach->let_go(reach);
    for (; left; left &= left - 1) {
        enum baton_result result = baton_ticket_extend(reach->set, (uint32_t)__builtin_ctzll(left));
        KRT_ASSERT(result == BATON_TAKEN);
        *reach->held |= left & -left;
    }
}

static inline struct keyspace *place_of(struct call *call, uint64_t hash) {
    uint32_t shard = hash_shard(hash, call->domain->shard_count);
    if (KRT_UNLIKELY(call->reach)) call_reach_extend(call->reach, UINT64_C(1) << shard);
    return call->domain->keyspaces[shard];
}

struct key_place keyspace_for(struct call *call, uint32_t index) {
    uint64_t hash = call_hash(call, index);
    return (struct key_place){
        .key = call->argv[index],
        .hash = hash,
        .keyspace = place_of(call, hash),
        .db = call->db,
    };
}

uint32_t keyspace_for_group(struct call *call, uint32_t index, uint32_t step,
                            struct key_place places[KEY_GROUP]) {
    uint32_t count = 0;
    for (; count < KEY_GROUP && index < call->argc; index += step, count++) {
        /* Member by member: a place that is returned and then copied waits for its own stores. */
        struct key_place *place = &places[count];
        place->key = call->argv[index];
        place->hash = call_hash(call, index);
        place->keyspace = place_of(call, place->hash);
        place->db = call->db;
        keyspace_prefetch_bucket(place->keyspace, call->db, place->hash);
    }
    for (uint32_t i = 0; i < count; i++)
        keyspace_prefetch_entry(places[i].keyspace, call->db, places[i].hash);
    return count;
}

struct key_place keyspace_for_bytes(struct call *call, struct bytes key, uint32_t db) {
    uint64_t hash = hash_bytes(&call->domain->hash_seed, key.at, key.len);
    return (struct key_place){
        .key = key,
        .hash = hash,
        .keyspace = place_of(call, hash),
        .db = db,
    };
}

bool call_wait(struct call *call, const struct call_wait *wait) {
    if (!call->wait) return false;
    call->waits = call->wait(call, wait);
    return true;
}

/* An entry whose deadline has passed is gone for every reader; its deletion is an effect like any other. */
static struct entry *call_expire(struct call *call, const struct key_place *place,
                                 struct entry *entry) {
    if (!entry_is_expired(entry, call_due(call))) return entry;
    if (KRT_UNLIKELY(call->flags & CALL_PAUSED)) return NULL;
    place->keyspace->stats.expired++;
    call->flags |= CALL_EXPIRES;
    call_delete(call, place, entry, NOTIFY_EXPIRED, "expired");
    call->flags &= ~(uint32_t)CALL_EXPIRES;
    return NULL;
}

static inline struct entry *find(struct call *call, const struct key_place *place) {
    struct entry *entry = keyspace_find(place->keyspace, place->db, place->hash, place->key);
    if (KRT_LIKELY(!entry || entry_deadline(entry) == 0)) return entry;
    return call_expire(call, place, entry);
}

static inline void touch(const struct call *call, const struct key_place *place,
                         struct entry *entry) {
    if (KRT_LIKELY(!(call->flags & CALL_NO_TOUCH)))
        access_touch(&call->domain->access, &place->keyspace->random, entry);
}

struct entry *call_find(struct call *call, const struct key_place *place) {
    struct entry *entry = find(call, place);
    if (entry) touch(call, place, entry);
    return entry;
}

static void count_miss(struct call *call, const struct key_place *place) {
    place->keyspace->stats.misses++;
    effect_notify(call, place, NOTIFY_KEY_MISS, "keymiss");
}

struct entry *call_read(struct call *call, const struct key_place *place) {
    struct entry *entry = find(call, place);
    if (KRT_LIKELY(entry)) {
        place->keyspace->stats.hits++;
        touch(call, place, entry);
    } else {
        count_miss(call, place);
    }
    return entry;
}

struct entry *call_look(struct call *call, const struct key_place *place) {
    struct entry *entry = find(call, place);
    if (entry) place->keyspace->stats.hits++;
    else count_miss(call, place);
    return entry;
}

struct entry *call_inspect(struct call *call, const struct key_place *place) {
    struct entry *entry = find(call, place);
    uint64_t *count = entry ? &place->keyspace->stats.hits : &place->keyspace->stats.misses;
    ++*count;
    return entry;
}

static bool is_string(struct call *call, const struct entry *entry) {
    if (!entry || KRT_LIKELY(entry_type(entry) == VALUE_STRING)) return true;
    call_error_type(call);
    return false;
}

bool call_join(struct call *call, const struct key_place *place, struct entry *entry) {
    if (KRT_LIKELY(!entry_is_tree(entry)) ||
        keyspace_join_string(place->keyspace, place->db, entry))
        return true;
    call_error_memory(call);
    return false;
}

bool call_read_parts(struct call *call, const struct key_place *place, struct entry **entry) {
    return is_string(call, *entry = call_read(call, place));
}

bool call_find_parts(struct call *call, const struct key_place *place, struct entry **entry) {
    return is_string(call, *entry = call_find(call, place));
}

bool call_read_string(struct call *call, const struct key_place *place, struct entry **entry) {
    if (!call_read_parts(call, place, entry)) return false;
    return !*entry || call_join(call, place, *entry);
}

bool call_find_string(struct call *call, const struct key_place *place, struct entry **entry) {
    if (!call_find_parts(call, place, entry)) return false;
    return !*entry || call_join(call, place, *entry);
}

void call_delete(struct call *call, const struct key_place *place, struct entry *entry,
                 enum notify_class class, const char *event) {
    struct bytes log[] = {BYTES_LITERAL("DEL"), place->key};
    keyspace_delete(place->keyspace, place->db, place->hash, entry);
    effect_log(call, place->db, log, 2);
    effect_change(call, place, class, event);
}

bool key_name_init(struct key_name *name, const struct entry *entry) {
    struct bytes key = entry_key(entry);
    name->blob = NULL;
    if (key.len <= sizeof name->copy) {
        bytes_copy(name->copy, key.at, key.len);
        name->key = bytes_of(name->copy, key.len);
        return true;
    }
    name->blob = blob_copy(NULL, key);
    if (name->blob) name->key = bytes_of(name->blob->data, name->blob->len);
    return name->blob;
}

void key_name_deinit(struct key_name *name) {
    if (name->blob) blob_put(name->blob);
}

struct keyspace *call_delete_entry(struct call *call, uint32_t db, struct entry *entry,
                                   enum notify_class class, const char *event) {
    struct key_name name;
    if (!key_name_init(&name, entry)) return NULL;
    struct key_place place = keyspace_for_bytes(call, name.key, db);
    call_delete(call, &place, entry, class, event);
    key_name_deinit(&name);
    return place.keyspace;
}

/* ---- Errors ------------------------------------------------------------------------------------- */

void call_error(struct call *call, const char *text) {
    call->failed = true;
    reply_error(call->reply, text);
}

/* A name may be longer than what is kept ready; without memory for it the end is cut off. */
static void error_long(struct call *call, const char *format, va_list arguments, char *text,
                       size_t len) {
    char *whole = mem_alloc(NULL, len + 1);
    if (whole) (void)vsnprintf(whole, len + 1, format, arguments);
    call_error(call, whole ? whole : text);
    mem_free(NULL, whole);
}

void call_error_format(struct call *call, const char *format, ...) {
    char text[ERROR_TEXT_MAX];
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int len = vsnprintf(text, sizeof text, format, arguments);
    if (KRT_LIKELY(len < (int)sizeof text)) call_error(call, text);
    else error_long(call, format, again, text, (size_t)len);
    va_end(again);
    va_end(arguments);
}

void call_error_syntax(struct call *call) {
    call_error(call, "ERR syntax error");
}

void call_error_type(struct call *call) {
    call_error(call, "WRONGTYPE Operation against a key holding the wrong kind of value");
}

void call_error_integer(struct call *call) {
    call_error(call, "ERR value is not an integer or out of range");
}

void call_error_memory(struct call *call) {
    call_error(call, "OOM out of memory: the command was not executed");
}

void call_error_arity(struct call *call) {
    call_error_format(call, "ERR wrong number of arguments for '%s' command",
                      call->command->full_name);
}

bool call_integer(struct call *call, uint32_t index, int64_t *out) {
    if (bytes_to_int64(call->argv[index], out)) return true;
    call_error_integer(call);
    return false;
}

bool call_int(struct call *call, uint32_t index, const char *text, int64_t *out) {
    bool is_number = bytes_to_int64(call->argv[index], out);
    if (is_number && *out >= INT32_MIN && *out <= INT32_MAX) return true;
    if (text) call_error(call, text);
    else if (is_number)
        call_error_format(call, "ERR value is out of range, value must between %d and %d",
                          INT32_MIN, INT32_MAX);
    else call_error_integer(call);
    return false;
}

/* The moment it ends at has to be a number too. */
bool call_timeout(struct call *call, uint32_t index, int64_t *ms) {
    long double seconds, rounded;
    const char *error = NULL;
    if (!decimal_to_long_double(call->argv[index], &seconds)) {
        call_error(call, "ERR timeout is not a float or out of range");
        return false;
    }
    rounded = ceill(seconds * 1000.0L);
    if (rounded < 0) error = "ERR timeout is negative";
    else if (rounded > (long double)(INT64_MAX - call_now(call)))
        error = "ERR timeout is out of range";
    if (error) call_error(call, error);
    else *ms = (int64_t)rounded;
    return !error;
}

bool call_key_count(struct call *call, uint32_t index, const char *text, int64_t *count) {
    if (!bytes_to_int64(call->argv[index], count) || *count < 1) {
        call_error(call, text);
        return false;
    }
    if (*count <= (int64_t)(call->argc - index - 1)) return true;
    call_error(call, "ERR Number of keys can't be greater than number of args");
    return false;
}

static void name_to_upper(char upper[COMMAND_NAME_MAX + 1], struct bytes name) {
    uint32_t len = name.len < COMMAND_NAME_MAX ? name.len : COMMAND_NAME_MAX;
    for (uint32_t i = 0; i < len; i++)
        upper[i] = (char)(name.at[i] >= 'a' && name.at[i] <= 'z' ? name.at[i] - 32 : name.at[i]);
    upper[len] = 0;
}

void call_reply_help(struct call *call, const char *const *lines) {
    char name[COMMAND_NAME_MAX + 1], head[2 * COMMAND_NAME_MAX + 64];
    uint64_t count = 3;
    for (const char *const *line = lines; *line; line++) count++;
    name_to_upper(name, call->argv[0]);
    (void)snprintf(head, sizeof head,
                   "%s <subcommand> [<arg> [value] [opt] ...]. Subcommands are:", name);
    reply_array(call->reply, count);
    reply_simple(call->reply, head);
    for (const char *const *line = lines; *line; line++) reply_simple(call->reply, *line);
    reply_simple(call->reply, "HELP");
    reply_simple(call->reply, "    Print this help.");
}

void call_error_subcommand(struct call *call) {
    char name[COMMAND_NAME_MAX + 1];
    struct bytes word = call->argv[1];
    name_to_upper(name, call->argv[0]);
    call_error_format(
        call, "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try %s HELP.",
        word.len < UNKNOWN_ECHO_MAX ? (int)word.len : UNKNOWN_ECHO_MAX, word.at, name);
}

static void reply_unknown_subcommand(struct reply *reply, const struct bytes *argv) {
    char name[COMMAND_NAME_MAX + 1];
    name_to_upper(name, argv[0]);
    reply_error_format(reply, "ERR unknown subcommand '%.*s'. Try %s HELP.",
                       (int)(argv[1].len < UNKNOWN_ECHO_MAX ? argv[1].len : UNKNOWN_ECHO_MAX),
                       argv[1].at, name);
}

void call_reply_unknown(struct reply *reply, const struct command_names *names,
                        const struct bytes *argv, uint32_t argc) {
    char echo[2 * UNKNOWN_ECHO_MAX + 8] = "";
    size_t used = 0;
    const struct command *container = command_names_find(names, argv, 1);
    if (argc >= 2 && container && container->subcommand_count) {
        reply_unknown_subcommand(reply, argv);
        return;
    }
    for (uint32_t i = 1; i < argc && used < UNKNOWN_ECHO_MAX; i++) {
        int room = (int)(UNKNOWN_ECHO_MAX - used);
        int len = argv[i].len < (uint32_t)room ? (int)argv[i].len : room;
        used += (size_t)snprintf(echo + used, sizeof echo - used, "'%.*s' ", len, argv[i].at);
    }
    reply_error_format(reply, "ERR unknown command '%.*s', with args beginning with: %s",
                       (int)(argv[0].len < UNKNOWN_ECHO_MAX ? argv[0].len : UNKNOWN_ECHO_MAX),
                       argv[0].at, echo);
}
