/* Surveys: what it takes a walk to know of the data and of the commands.
 *
 * A survey goes from place to place. In each it holds the baton for a slice: SURVEY_KEYS entries or SLICE_NS, or the
 * distributions of SURVEY_COMMANDS commands; then it drops and takes again, so nobody waits for longer than that.
 *
 * Which keys: a table's cursor counts from its highest bit down (store/table_walk.c), so read backwards it is a number
 * that grows from 0 to the end of the table. *Marks* are such numbers, as parts of 2^64: the same mark is the same
 * part of the way through every table, whatever its size. A survey of a part p of the keys goes in each database of each
 * place from the mark where the last survey ended as far as p, so that some surveys together have seen everything. As keys
 * lie where their hashes say, this is a sample that does not depend on what they hold; and what was seen in a database
 * stands for all that it has.
 *
 * Big keys: the biggest are remembered by their names, and the next survey that does not see everything looks at them first. So
 * what was once found is shown as long as it is big. They stand for themselves alone: what is estimated is the rest.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "server/server.h"
#include "shard/caller.h"
#include "shard/shard.h"

enum {
    SURVEY_KEYS = 64,
    SURVEY_COMMANDS = 4,
    SURVEY_DATABASES = 256,
    FETCH_POSITIONS = 4,
    WHOLE_KEYS = 32, /* a database of so many keys or fewer is gone through */
};

struct known_keys { /* that were remembered and are there */
    uint32_t count, shards[KEVYRT_KEYS_NAMED];
    struct kevyrt_key_stats at[KEVYRT_KEYS_NAMED];
    uint64_t least_bytes;
};

struct tally { /* of one database, without those */
    uint64_t seen, keys[KEVYRT_TYPES], bytes[KEVYRT_TYPES];
};

struct surveyor {
    struct kevyrt_survey *survey;
    struct kevyrt_server *server;
    struct kevyrt_command_stats *commands; /* by id */
    struct hot_keys hot;                   /* of all places */
    struct survey_memory *memory;          /* that is in use by this survey, or NULL */
    bool by_frequency;                     /* entries count their accesses */
    bool whole;                            /* all keys are looked at */
    uint64_t from, way; /* marks: where it begins, and how far it goes, in each database */
    /* The database that is gone through, from the cursor on: all of it, or so far on its way. */
    uint32_t db;
    bool begun, begun_whole, ended;
    uint64_t cursor, done;
    struct tally tally;
    struct known_keys known;
};

/* ---- Commands ------------------------------------------------------------------------------------ */

static void add_latency(struct kevyrt_command_stats *sum, const struct latency *own) {
    if (!sum->latency) sum->latency = mem_calloc(NULL, sizeof *own);
    for (uint32_t i = 0; sum->latency && i < LATENCY_BUCKETS; i++)
        sum->latency[i] += own->counts[i];
}

/* Of the commands from *id on; returns whether there is more. */
static bool add_commands(struct surveyor *surveyor, struct shard *shard, size_t *id) {
    uint32_t distributions = 0;
    for (; *id < command_count() && distributions < SURVEY_COMMANDS; ++*id) {
        const struct command_statistics *own = &shard->data.statistics.commands[*id];
        struct kevyrt_command_stats *sum = &surveyor->commands[*id];
        uint64_t ns = statistics_time_ns(own);
        sum->calls += own->calls;
        sum->ns += ns;
        sum->failed += own->failed;
        sum->rejected += own->rejected;
        surveyor->survey->busy_ns[shard->index] += ns;
        if (!own->latency) continue;
        add_latency(sum, own->latency);
        distributions++;
    }
    return *id < command_count();
}

static void add_hot_keys(struct surveyor *surveyor, struct shard *shard) {
    const struct hot_keys *own =
        hot_keys_look(&shard->data.statistics.hot, clock_ticks_to_ns(clock_ticks()));
    if (own) hot_keys_add(&surveyor->hot, own);
}

/* ---- Keys ---------------------------------------------------------------------------------------- */

static void name_key(struct kevyrt_key_stats *out, uint32_t db, struct bytes name) {
    out->db = db;
    out->len = name.len;
    bytes_copy(out->name, name.at, name.len < KEVYRT_KEY_BYTES ? name.len : KEVYRT_KEY_BYTES);
}

/* Room in a list of keys that is sorted, for one that comes behind `rank` others; NULL: the list has enough before it. */
static struct kevyrt_key_stats *make_room(struct kevyrt_key_stats *list, uint32_t *count,
                                          uint32_t rank) {
    if (rank == KEVYRT_KEYS_NAMED) return NULL;
    if (*count < KEVYRT_KEYS_NAMED) ++*count;
    memmove(&list[rank + 1], &list[rank], (*count - rank - 1) * sizeof *list);
    return &list[rank];
}

static struct bytes kept_name(const struct kevyrt_key_stats *key) {
    return bytes_of(key->name, key->len < KEVYRT_KEY_BYTES ? key->len : KEVYRT_KEY_BYTES);
}

static bool is_named(const struct kevyrt_key_stats *key, uint32_t db, struct bytes name) {
    struct bytes kept = kept_name(key);
    return key->db == db && key->len == name.len && memcmp(kept.at, name.at, kept.len) == 0;
}

static void note_big(struct surveyor *surveyor, uint32_t db, const struct entry *entry,
                     uint64_t bytes) {
    struct kevyrt_survey *survey = surveyor->survey;
    uint32_t rank = survey->big_count;
    while (rank > 0 && survey->big[rank - 1].bytes < bytes) rank--;
    if (rank == KEVYRT_KEYS_NAMED) return;
    for (uint32_t i = 0; i < survey->big_count; i++) /* it was remembered, and is met again */
        if (is_named(&survey->big[i], db, entry_key(entry))) return;
    struct kevyrt_key_stats *key = make_room(survey->big, &survey->big_count, rank);
    *key = (struct kevyrt_key_stats){.type = value_type_name(entry_type(entry)), .bytes = bytes};
    name_key(key, db, entry_key(entry));
}

static void note_frequent(struct surveyor *surveyor, const struct entry *entry, uint64_t bytes) {
    struct kevyrt_survey *survey = surveyor->survey;
    double count = access_frequency(&surveyor->server->fabric.domain.access, entry);
    uint32_t rank = survey->hot_count;
    while (rank > 0 && survey->hot[rank - 1].count < count) rank--;
    struct kevyrt_key_stats *key = make_room(survey->hot, &survey->hot_count, rank);
    if (!key) return;
    *key = (struct kevyrt_key_stats){
        .type = value_type_name(entry_type(entry)), .bytes = bytes, .count = count};
    name_key(key, surveyor->db, entry_key(entry));
}

static bool is_known(const struct known_keys *known, uint32_t db, const struct entry *entry) {
    for (uint32_t i = 0; i < known->count; i++)
        if (is_named(&known->at[i], db, entry_key(entry))) return true;
    return false;
}

static void visit(void *context, struct entry *entry) {
    struct surveyor *surveyor = context;
    enum value_type type = entry_type(entry);
    uint64_t bytes = entry_bytes(entry) + KEYSPACE_SLOT_BYTES;
    if (surveyor->by_frequency) note_frequent(surveyor, entry, bytes);
    if (bytes >= surveyor->known.least_bytes && is_known(&surveyor->known, surveyor->db, entry))
        return;
    surveyor->tally.seen++;
    surveyor->tally.keys[type]++;
    surveyor->tally.bytes[type] += bytes;
    note_big(surveyor, surveyor->db, entry, bytes);
}

/* ---- Marks --------------------------------------------------------------------------------------- */

static uint64_t reverse_bits(uint64_t word) {
    word = (word >> 1 & UINT64_C(0x5555555555555555)) | (word & UINT64_C(0x5555555555555555)) << 1;
    word = (word >> 2 & UINT64_C(0x3333333333333333)) | (word & UINT64_C(0x3333333333333333)) << 2;
    word = (word >> 4 & UINT64_C(0x0f0f0f0f0f0f0f0f)) | (word & UINT64_C(0x0f0f0f0f0f0f0f0f)) << 4;
    return __builtin_bswap64(word);
}

/* Goes one position on. The way is over when it is as long as it should be, or once around. */
static void step(struct surveyor *surveyor, struct keyspace *keyspace) {
    uint64_t before = reverse_bits(surveyor->cursor);
    surveyor->cursor = keyspace_scan(keyspace, surveyor->db, surveyor->cursor, visit, surveyor);
    uint64_t passed = reverse_bits(surveyor->cursor) - before;
    bool around = passed == 0 || passed > UINT64_MAX - surveyor->done;
    surveyor->done += passed;
    surveyor->ended =
        surveyor->begun_whole ? surveyor->cursor == 0 : around || surveyor->done >= surveyor->way;
}

/* ---- A place ------------------------------------------------------------------------------------- */

static uint32_t count_known(const struct known_keys *known, uint32_t shard, uint32_t db) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < known->count; i++)
        count += known->shards[i] == shard && known->at[i].db == db;
    return count;
}

/* What was seen of the database stands for all of it. */
static void end_database(struct surveyor *surveyor, const struct keyspace *keyspace) {
    const struct tally *tally = &surveyor->tally;
    uint64_t count = keyspace_count(keyspace, surveyor->db);
    uint64_t known = count_known(&surveyor->known, keyspace->index, surveyor->db);
    double rest = count > known ? (double)(count - known) : 0;
    double by = tally->seen && !surveyor->begun_whole ? rest / (double)tally->seen : 1;
    for (uint32_t type = 0; type < KEVYRT_TYPES; type++) {
        struct kevyrt_type_stats *sum = &surveyor->survey->types[type];
        sum->seen += tally->keys[type];
        sum->keys += (double)tally->keys[type] * by;
        sum->bytes += (double)tally->bytes[type] * by;
    }
    surveyor->survey->keys += count;
    surveyor->survey->seen += tally->seen;
    surveyor->begun = false;
    surveyor->db++;
}

static void begin_database(struct surveyor *surveyor, const struct keyspace *keyspace) {
    uint64_t count = keyspace_count(keyspace, surveyor->db);
    surveyor->begun = true;
    surveyor->begun_whole = surveyor->whole || count <= WHOLE_KEYS;
    surveyor->cursor = surveyor->begun_whole ? 0 : reverse_bits(surveyor->from);
    surveyor->done = 0;
    surveyor->ended = count == 0;
    surveyor->tally = (struct tally){0};
}

/* A slice: returns whether there is more in this place. */
static bool look_at_keys(struct surveyor *surveyor, struct keyspace *keyspace, uint64_t start_ns) {
    uint64_t seen = 0;
    for (uint32_t databases = 0; databases < SURVEY_DATABASES; databases++) {
        if (surveyor->db == keyspace->database_count) return false;
        if (!surveyor->begun) begin_database(surveyor, keyspace);
        for (uint32_t steps = 0; !surveyor->ended; steps++) {
            uint64_t before = surveyor->tally.seen;
            if (steps % FETCH_POSITIONS == 0)
                keyspace_scan_fetch(keyspace, surveyor->db, surveyor->cursor, FETCH_POSITIONS);
            step(surveyor, keyspace);
            seen += surveyor->tally.seen - before + 1;
            if (seen >= SURVEY_KEYS || clock_monotonic_ns() - start_ns > SLICE_NS) return true;
        }
        end_database(surveyor, keyspace);
    }
    return true;
}

/* False: the server stops. */
static bool go_through_commands(struct surveyor *surveyor, struct shard *shard) {
    size_t id = 0;
    for (bool more = true; more;) {
        if (!caller_take(shard->fabric, shard->own)) return false;
        if (id == 0) add_hot_keys(surveyor, shard);
        more = add_commands(surveyor, shard, &id);
        (void)caller_drop(shard->fabric, shard->own);
    }
    return true;
}

static bool go_through_keys(struct surveyor *surveyor, struct shard *shard) {
    surveyor->db = 0;
    surveyor->begun = false;
    for (bool more = true; more;) {
        if (!caller_take(shard->fabric, shard->own)) return false;
        more = look_at_keys(surveyor, &shard->data.keyspace, clock_monotonic_ns());
        (void)caller_drop(shard->fabric, shard->own);
    }
    return true;
}

/* ---- What is remembered -------------------------------------------------------------------------- */

static void note_known(struct surveyor *surveyor, uint32_t shard,
                       const struct kevyrt_key_stats *key, const struct entry *entry) {
    struct known_keys *known = &surveyor->known;
    struct kevyrt_type_stats *sum = &surveyor->survey->types[entry_type(entry)];
    uint64_t bytes = entry_bytes(entry) + KEYSPACE_SLOT_BYTES;
    note_big(surveyor, key->db, entry, bytes);
    known->shards[known->count] = shard;
    known->at[known->count++] = *key;
    if (bytes < known->least_bytes) known->least_bytes = bytes;
    surveyor->survey->seen++;
    sum->seen++;
    sum->keys++;
    sum->bytes += (double)bytes;
}

/* A long name was not kept as a whole: then the key has to be met again. */
static bool look_at_remembered(struct surveyor *surveyor, const struct kevyrt_key_stats *key) {
    struct fabric *fabric = &surveyor->server->fabric;
    struct bytes name = kept_name(key);
    uint64_t hash = hash_bytes(&fabric->domain.hash_seed, name.at, name.len);
    uint32_t index = hash_shard(hash, fabric->settings.shard_count);
    if (name.len < key->len || key->db >= fabric->domain.database_count) return true;
    if (!caller_take(fabric, UINT64_C(1) << index)) return false;
    const struct entry *entry = keyspace_find(fabric->keyspaces[index], key->db, hash, name);
    if (entry) note_known(surveyor, index, key, entry);
    (void)caller_drop(fabric, UINT64_C(1) << index);
    return true;
}

/* Another survey may have what is remembered: then this one does without. */
static bool recall(struct surveyor *surveyor) {
    struct survey_memory *memory = &surveyor->server->surveys;
    if (atomic_swap_acq_rel(&memory->is_in_use, 1)) return true;
    surveyor->memory = memory;
    for (uint32_t i = 0; i < memory->big_count && !surveyor->whole; i++)
        if (!look_at_remembered(surveyor, &memory->big[i])) return false;
    return true;
}

static void remember(struct surveyor *surveyor, bool whole) {
    struct survey_memory *memory = surveyor->memory;
    const struct kevyrt_survey *survey = surveyor->survey;
    if (!memory) return;
    if (whole) {
        memory->big_count = survey->big_count;
        memcpy(memory->big, survey->big, sizeof memory->big);
    }
    atomic_store_release(&memory->is_in_use, 0);
}

/* ---- A survey ------------------------------------------------------------------------------------ */

static bool count_keys(struct surveyor *surveyor, uint64_t *keys) {
    struct fabric *fabric = &surveyor->server->fabric;
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++) {
        if (!caller_take(fabric, fabric->shards[i]->own)) return false;
        *keys += keyspace_count_all(fabric->keyspaces[i]);
        (void)caller_drop(fabric, fabric->shards[i]->own);
    }
    return true;
}

static void plan(struct surveyor *surveyor, uint64_t sample, uint64_t keys) {
    struct kevyrt_server *server = surveyor->server;
    surveyor->whole = keys <= sample;
    if (surveyor->whole) return;
    surveyor->from = atomic_load_relaxed(&server->surveys.from);
    surveyor->way = (uint64_t)((double)sample / (double)keys * 0x1p64);
    atomic_store_relaxed(&server->surveys.from, surveyor->from + surveyor->way);
}

static void take_commands(struct surveyor *surveyor) {
    struct kevyrt_survey *survey = surveyor->survey;
    for (size_t id = 0; id < command_count(); id++) {
        struct kevyrt_command_stats *own = &surveyor->commands[id];
        if (!own->calls && !own->rejected) {
            mem_free(NULL, own->latency);
            continue;
        }
        own->name = command_at(id)->full_name;
        survey->commands[survey->command_count++] = *own;
    }
}

static void take_hot_keys(struct surveyor *surveyor) {
    struct kevyrt_survey *survey = surveyor->survey;
    struct hot_keys *hot = &surveyor->hot;
    if (survey->hot_count) survey->hot_kind = KEVYRT_HOT_FREQUENCY;
    if (hot->total == 0) return;
    hot_keys_sort(hot);
    survey->hot_kind = KEVYRT_HOT_ACCESSES;
    survey->hot_total = hot->total;
    survey->hot_count = hot->count < KEVYRT_KEYS_NAMED ? hot->count : KEVYRT_KEYS_NAMED;
    for (uint32_t i = 0; i < survey->hot_count; i++) {
        const struct hot_key *key = &hot->at[i];
        survey->hot[i] = (struct kevyrt_key_stats){.count = key->count, .doubt = key->doubt};
        name_key(&survey->hot[i], key->db, bytes_of(key->name, key->len));
    }
}

static enum kevyrt_status work(struct surveyor *surveyor, uint64_t sample) {
    struct fabric *fabric = &surveyor->server->fabric;
    uint64_t keys = 0;
    if (sample && !count_keys(surveyor, &keys)) return KEVYRT_STOPPED;
    if (sample) plan(surveyor, sample, keys);
    if (sample && !recall(surveyor)) return KEVYRT_STOPPED;
    surveyor->by_frequency = fabric->domain.access.kind == ACCESS_FREQUENCY;
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++) {
        if (!go_through_commands(surveyor, fabric->shards[i])) return KEVYRT_STOPPED;
        if (sample && !go_through_keys(surveyor, fabric->shards[i])) return KEVYRT_STOPPED;
    }
    return KEVYRT_OK;
}

static void name_types(struct kevyrt_survey *survey) {
    for (uint32_t type = 0; type < KEVYRT_TYPES; type++)
        survey->types[type].name = value_type_name((enum value_type)type);
}

/* With room for all commands: in both, for those that were called are moved. NULL: no memory. */
static struct surveyor *surveyor_new(struct kevyrt_server *server) {
    size_t bytes = command_count() * sizeof(struct kevyrt_command_stats);
    struct surveyor *surveyor = mem_calloc(NULL, sizeof *surveyor);
    struct kevyrt_survey *survey = mem_calloc(NULL, sizeof *survey + bytes);
    struct kevyrt_command_stats *commands = mem_calloc(NULL, bytes);
    if (!surveyor || !survey || !commands) {
        mem_free(NULL, surveyor);
        mem_free(NULL, survey);
        mem_free(NULL, commands);
        return NULL;
    }
    survey->commands = (struct kevyrt_command_stats *)(survey + 1);
    name_types(survey);
    *surveyor = (struct surveyor){.survey = survey,
                                  .server = server,
                                  .commands = commands,
                                  .known = {.least_bytes = UINT64_MAX}};
    return surveyor;
}

enum kevyrt_status kevyrt_survey_make(struct kevyrt_server *server, uint64_t sample,
                                      struct kevyrt_survey **out) {
    *out = NULL;
    if (!server_enter(server)) return KEVYRT_STOPPED;
    struct surveyor *surveyor = surveyor_new(server);
    enum kevyrt_status status = surveyor ? work(surveyor, sample) : KEVYRT_NO_MEMORY;
    if (surveyor) remember(surveyor, status == KEVYRT_OK);
    server_leave(server);
    if (!surveyor) return status;
    take_commands(surveyor);
    take_hot_keys(surveyor);
    if (status == KEVYRT_OK) *out = surveyor->survey;
    else kevyrt_survey_free(surveyor->survey);
    mem_free(NULL, surveyor->commands);
    mem_free(NULL, surveyor);
    return status;
}

void kevyrt_survey_free(struct kevyrt_survey *survey) {
    for (uint32_t i = 0; i < survey->command_count; i++)
        mem_free(NULL, survey->commands[i].latency);
    mem_free(NULL, survey);
}

uint32_t kevyrt_latency_buckets(void) {
    return LATENCY_BUCKETS;
}

uint64_t kevyrt_latency_end_ns(uint32_t bucket) {
    return latency_bucket_end_ns(bucket);
}
