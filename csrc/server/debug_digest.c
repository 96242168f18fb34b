/* A digest is twenty bytes. What is *mixed* into one counts in its place; what is *added* counts wherever it comes.
 *
 *   add(d, x)   d = d xor sha1(x)
 *   mix(d, x)   d = sha1(d xor sha1(x))
 *
 * Of all data: for each database that is not empty its number is mixed in, then the digest of each of its keys with its value
 * is added. Whether there is a deadline counts, and not which; the same of fields.
 */
#include "server/debug_digest.h"

#include "base/decimal.h"
#include "base/sha1.h"
#include "cmd/call.h"
#include "store/hash_field.h"
#include "store/paged.h"
#include "store/stream.h"

struct digest {
    uint8_t at[SHA1_BYTES];
};

static void combine(struct digest *digest, const uint8_t other[SHA1_BYTES]) {
    for (unsigned i = 0; i < SHA1_BYTES; i++) digest->at[i] ^= other[i];
}

static void add(struct digest *digest, struct bytes bytes) {
    uint8_t hash[SHA1_BYTES];
    sha1_of(bytes.at, bytes.len, hash);
    combine(digest, hash);
}

static void add_digest(struct digest *digest, const struct digest *other) {
    add(digest, bytes_of((const char *)other->at, SHA1_BYTES));
}

static void mix_hash(struct digest *digest, const uint8_t hash[SHA1_BYTES]) {
    combine(digest, hash);
    sha1_of(digest->at, SHA1_BYTES, digest->at);
}

static void mix(struct digest *digest, struct bytes bytes) {
    uint8_t hash[SHA1_BYTES];
    sha1_of(bytes.at, bytes.len, hash);
    mix_hash(digest, hash);
}

static void mix_number(struct digest *digest, uint32_t number) {
    char big[] = {(char)(number >> 24), (char)(number >> 16), (char)(number >> 8), (char)number};
    mix(digest, bytes_of(big, sizeof big));
}

/* ---- Values ---------------------------------------------------------------------------------- */

static void mix_string(struct digest *digest, const struct entry *entry) {
    static const char zeros[PAGE_BYTES];
    struct sha1 sha1;
    uint8_t hash[SHA1_BYTES];
    sha1_init(&sha1);
    for (uint32_t at = 0, len = string_len(entry); at < len;) {
        struct bytes run = string_run(entry, at);
        if (!run.at) run = bytes_of(zeros, run.len < PAGE_BYTES ? run.len : PAGE_BYTES);
        sha1_add(&sha1, run.at, run.len);
        at += run.len;
    }
    sha1_end(&sha1, hash);
    mix_hash(digest, hash);
}

static void add_scored(struct digest *digest, const struct walk *walk) {
    char text[DECIMAL_DOUBLE_MAX];
    struct digest element = {{0}};
    mix(&element, walk->record);
    mix(&element, bytes_of(text, decimal_from_double(text, tree_score(walk->key.order))));
    add_digest(digest, &element);
}

static void add_field(struct digest *digest, const struct walk *walk) {
    struct digest element = {{0}};
    struct hash_field field = hash_field_read(walk->record);
    mix(&element, field.name);
    mix(&element, field.value);
    if (field.deadline_ms != 0) add(&element, BYTES_LITERAL("!!hexpire!!"));
    add_digest(digest, &element);
}

static void digest_elements(struct digest *digest, const struct entry *entry) {
    struct walk walk;
    struct collection_view view = view_of(entry);
    for (bool found = walk_seek(&walk, &view, 0); found; found = walk_next(&walk)) {
        if (entry_type(entry) == VALUE_LIST) mix(digest, walk.record);
        else if (entry_type(entry) == VALUE_SET) add(digest, walk.record);
        else if (entry_type(entry) == VALUE_ZSET) add_scored(digest, &walk);
        else add_field(digest, &walk);
    }
}

static void mix_id(struct digest *digest, struct stream_id id) {
    char text[48];
    size_t len = bytes_from_uint64(text, id.ms);
    text[len++] = '.';
    len += bytes_from_uint64(text + len, id.seq);
    mix(digest, bytes_of(text, len));
}

/* Entries alone: groups do not count. */
static void digest_stream(struct digest *digest, const struct entry *entry) {
    struct stream_walk walk;
    struct stream_field field;
    struct stream_view view = stream_view_of(entry_collection(entry));
    for (bool found = stream_seek_first(&walk, &view); found; found = stream_next(&walk)) {
        mix_id(digest, walk.id);
        while (stream_next_field(&walk, &field)) {
            mix(digest, field.name);
            mix(digest, field.value);
        }
    }
}

static void digest_value(struct digest *digest, const struct entry *entry) {
    static const uint8_t numbers[] = {0, 1, 2, 3, 4, 6}; /* Redis's, of types */
    mix_number(digest, numbers[entry_type(entry)]);
    if (entry_type(entry) == VALUE_STRING) mix_string(digest, entry);
    else if (entry_type(entry) == VALUE_STREAM) digest_stream(digest, entry);
    else digest_elements(digest, entry);
    if (entry_has_deadline(entry)) add(digest, BYTES_LITERAL("!!expire!!"));
}

/* ---- Data ------------------------------------------------------------------------------------ */

static void digest_key(void *digest, struct entry *entry) {
    struct digest of_key = {{0}};
    mix(&of_key, entry_key(entry));
    digest_value(&of_key, entry);
    add_digest(digest, &of_key);
}

static void digest_database(struct digest *digest, const struct domain *domain, uint32_t db) {
    uint64_t count = 0;
    for (uint32_t i = 0; i < domain->shard_count; i++)
        count += keyspace_count(domain->keyspaces[i], db);
    if (count == 0) return;
    mix_number(digest, db);
    for (uint32_t i = 0; i < domain->shard_count; i++)
        keyspace_walk(domain->keyspaces[i], db, digest_key, digest);
}

static void reply_digest(struct reply *reply, const struct digest *digest) {
    char text[SHA1_TEXT_BYTES + 1] = "";
    sha1_text(digest->at, text);
    reply_simple(reply, text);
}

void debug_digest(struct call *call) {
    struct digest digest = {{0}};
    for (uint32_t db = 0; db < call->domain->database_count; db++)
        digest_database(&digest, call->domain, db);
    reply_digest(call->reply, &digest);
}

/* Of what is there, even if its time has come. */
void debug_digest_value(struct call *call) {
    reply_array(call->reply, call->argc - 2);
    for (uint32_t i = 2; i < call->argc; i++) {
        struct digest digest = {{0}};
        struct key_place place = keyspace_for(call, i);
        const struct entry *entry = keyspace_find(place.keyspace, place.db, place.hash, place.key);
        if (entry) digest_value(&digest, entry);
        reply_digest(call->reply, &digest);
    }
}
