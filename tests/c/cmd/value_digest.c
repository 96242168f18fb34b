#include "cmd/value_digest.h"

#include <stdlib.h>

#include "store/paged.h"
#include "store/stream.h"

static const struct hash_seed seed = {.a = 11, .b = 13};

uint64_t digest_mix(uint64_t digest, const void *at, size_t len) {
    return (digest ^ hash_bytes(&seed, at, len)) * UINT64_C(0x9e3779b97f4a7c15);
}

static uint64_t mix_record(uint64_t digest, const struct tree_path *path) {
    struct bytes record = tree_record(path);
    struct record_key key = tree_key(path);
    return digest_mix(digest_mix(digest, record.at, record.len), &key, sizeof key);
}

/* There and back, and some records by rank. */
static uint64_t digest_of_tree(const struct tree *tree) {
    struct tree_path path;
    uint64_t digest = tree->count, count = 0;
    if (!tree->root) return 0;
    for (bool more = tree_seek(tree, 0, &path); more; more = tree_next(&path), count++)
        digest = mix_record(digest, &path);
    digest ^= count;
    (void)tree_seek(tree, tree->count, &path);
    while (tree_prev(&path)) digest = mix_record(digest, &path);
    for (uint64_t rank = 0; rank < tree->count; rank += 1 + tree->count / 16)
        if (tree_seek(tree, rank, &path))
            digest = digest_mix(mix_record(digest, &path), &rank, sizeof rank);
    return digest;
}

static uint64_t digest_of_pages(const struct collection *paged) {
    uint32_t len = paged_len(paged);
    char *bytes = malloc(len);
    paged_read(paged, (struct string_part){0, len}, bytes);
    uint64_t digest = digest_mix(len, bytes, len);
    free(bytes);
    return digest;
}

/* What the shapes of its entries say, and what it is beside them. */
static uint64_t digest_of_fields(const struct collection *collection) {
    const struct stream *stream = stream_of(collection);
    struct stream_view view = stream_view_of(collection);
    struct stream_field field;
    struct stream_walk walk;
    uint64_t digest = digest_mix(stream->entries_added, &stream->last_id, sizeof stream->last_id);
    digest = digest_mix(digest, &stream->max_deleted_id, sizeof stream->max_deleted_id);
    for (bool found = stream_seek_first(&walk, &view); found; found = stream_next(&walk))
        while (stream_next_field(&walk, &field))
            digest = digest_mix(digest_mix(digest, field.name.at, field.name.len), field.value.at,
                                field.value.len);
    return digest;
}

static uint64_t digest_of_group(const struct stream_group *group) {
    uint64_t digest =
        digest_mix(digest_of_tree(&group->pending), &group->last_id, sizeof group->last_id);
    digest = digest_mix(digest, group->named.name.at, group->named.name.len);
    for (uint32_t i = 0; i < group->consumers.count; i++) {
        const struct stream_consumer *consumer = stream_consumer_at(group, i);
        digest = digest_mix(digest, consumer->named.name.at, consumer->named.name.len);
        digest = digest * 31 + digest_of_tree(&consumer->pending) + consumer->number;
    }
    return digest ^ (uint64_t)group->entries_read;
}

static uint64_t digest_of_groups(const struct stream_groups *groups) {
    uint64_t digest = groups->names.count;
    for (uint32_t i = 0; i < groups->names.count; i++)
        digest = digest * 31 + digest_of_group(stream_group_at(groups, i));
    return digest;
}

static uint64_t digest_of_stream(const struct collection *collection) {
    return digest_of_fields(collection) * 31 + digest_of_groups(&stream_of(collection)->groups);
}

uint64_t digest_of_collection(const struct collection *collection, uint8_t type) {
    uint64_t digest = type;
    for (uint32_t i = 0; i < collection->tree_count; i++)
        digest = digest * 31 + digest_of_tree(&collection->trees[i]);
    return type == VALUE_STRING   ? digest ^ digest_of_pages(collection)
           : type == VALUE_STREAM ? digest ^ digest_of_stream(collection)
                                  : digest;
}

/* A string is the same whether it is paged or not. */
uint64_t digest_of_content(uint8_t type, const struct collection *collection, struct bytes bytes) {
    uint8_t plain = type & FORM_TYPE_MASK;
    if (plain == VALUE_STRING)
        return collection ? digest_of_pages(collection)
                          : digest_mix(bytes.len, bytes.at, bytes.len);
    uint64_t form = type & (FORM_TYPE_MASK | FORM_EXPIRES);
    if (collection) return digest_of_collection(collection, plain) ^ form << 32;
    return digest_mix(form, bytes.at, bytes.len);
}
