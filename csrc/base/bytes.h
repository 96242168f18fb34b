/* A borrowed run of bytes: the argument, key and value type that every layer shares.
 *
 * Threads: plain data, no owner. A `struct bytes` never frees what it points to; how long it stays
 * valid is said by whoever hands it out (an argument: until the call that received it returns).
 * Bounds: a run is at most UINT32_MAX bytes; the protocol refuses longer bulk strings.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum bytes_flags {
    BYTES_BLOB =
        1, /* `at` is the payload of a struct blob (base/blob.h): may be kept by blob_get */
};

struct bytes {
    const char *at;
    uint32_t len;
    uint32_t flags;
};

#define BYTES_LITERAL(text) ((struct bytes){.at = (text), .len = sizeof(text) - 1})

static inline struct bytes bytes_of(const char *at, size_t len) {
    return (struct bytes){.at = at, .len = (uint32_t)len};
}

enum { BYTES_COPY_SHORT = 128 };

/* memcpy for keys and values, most of which are short: gcc writes memcpy of a length that it knows
 * to be moderate as `rep movs`, which starts at the price of a whole command. */
static inline void bytes_copy(char *to, const char *from, size_t len) {
    if (len < 16) {
        for (size_t i = 0; i < (len & 7); i++) to[i] = from[i];
        if (len >= 8) memcpy(to + (len & 7), from + (len & 7), 8);
    } else if (len <= BYTES_COPY_SHORT) {
        for (size_t i = 0; i < len - 16; i += 16) memcpy(to + i, from + i, 16);
        memcpy(to + len - 16, from + len - 16, 16); /* overlaps what is there already */
    } else {
        memcpy(to, from, len);
    }
}

enum { BYTES_COMPARE_SHORT = 32 };

static inline uint64_t bytes_load8(const char *at) {
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* memcmp for keys and names: a call costs more than what it does for them. */
static inline bool bytes_same(const char *a, const char *b, size_t len) {
    if (len > BYTES_COMPARE_SHORT) return memcmp(a, b, len) == 0;
    if (len < 8) {
        for (size_t i = 0; i < len; i++)
            if (a[i] != b[i]) return false;
        return true;
    }
    uint64_t difference = bytes_load8(a + len - 8) ^ bytes_load8(b + len - 8); /* overlaps */
    for (size_t i = 0; i + 8 < len; i += 8) difference |= bytes_load8(a + i) ^ bytes_load8(b + i);
    return difference == 0;
}

static inline bool bytes_equal(struct bytes a, struct bytes b) {
    return a.len == b.len && bytes_same(a.at, b.at, a.len);
}

/* As memcmp, and what is longer comes behind what it begins with. */
static inline int bytes_compare(struct bytes a, struct bytes b) {
    uint32_t len = a.len < b.len ? a.len : b.len;
    int difference = len > 0 ? memcmp(a.at, b.at, len) : 0;
    return difference != 0 ? difference : (a.len > b.len) - (a.len < b.len);
}

/* ASCII letters compare equal regardless of case; `lower` is a lower-case literal. */
bool bytes_is(struct bytes a, const char *lower);

/* The number that Redis accepts as an integer: optional minus, no leading zeros, no blanks, no plus,
 * within int64. Returns false for anything else and leaves *out alone. */
bool bytes_to_int64(struct bytes text, int64_t *out);

/* Writes the decimal form into `out` (at least 20 bytes) and returns its length; no terminator. */
size_t bytes_from_int64(char *out, int64_t value);
size_t bytes_from_uint64(char *out, uint64_t value);
