/* The record of a hash's field: its length twice over (a bit says that there is a deadline), the field, the
 * deadline (8 bytes, wall milliseconds), the value.
 */
#pragma once

#include "base/bytes.h"
#include "base/varint.h"

struct hash_field {
    struct bytes name, value;
    int64_t deadline_ms; /* 0: none */
};

static inline struct hash_field hash_field_read(struct bytes record) {
    struct hash_field field = {0};
    const char *at = record.at, *end = record.at + record.len;
    uint64_t head = varint_read(&at);
    field.name = bytes_of(at, head >> 1);
    at += field.name.len;
    if (head & 1) {
        memcpy(&field.deadline_ms, at, sizeof field.deadline_ms);
        at += sizeof field.deadline_ms;
    }
    field.value = bytes_of(at, (size_t)(end - at));
    return field;
}

static inline size_t hash_field_bytes(const struct hash_field *field) {
    char head[VARINT_BYTES_MAX];
    return varint_write(head, (uint64_t)field->name.len << 1) + field->name.len +
           (field->deadline_ms != 0 ? sizeof field->deadline_ms : 0) + field->value.len;
}

/* Into room for hash_field_bytes. */
static inline void hash_field_write(char *to, const struct hash_field *field) {
    bool expires = field->deadline_ms != 0;
    to += varint_write(to, (uint64_t)field->name.len << 1 | expires);
    bytes_copy(to, field->name.at, field->name.len);
    to += field->name.len;
    if (expires) {
        memcpy(to, &field->deadline_ms, sizeof field->deadline_ms);
        to += sizeof field->deadline_ms;
    }
    bytes_copy(to, field->value.at, field->value.len);
}
