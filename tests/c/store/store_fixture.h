/* What the tests of store/ share: a keyspace with its seed, and calls that hash for themselves. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/database.h"

struct fixture {
    struct keyspace keyspace;
    struct hash_seed seed;
    struct random_state random;
};

static inline void fixture_init(struct fixture *fixture, uint32_t databases) {
    fixture->seed = (struct hash_seed){.a = UINT64_C(0x1234567), .b = UINT64_C(0x89abcdef)};
    random_seed(&fixture->random, 7);
    assert_true(keyspace_init(&fixture->keyspace, 0, databases, 42, &fixture->seed));
}

/* Nothing may be left in either account. */
static inline void fixture_deinit(struct fixture *fixture) {
    keyspace_deinit(&fixture->keyspace);
    assert_int_equal(fixture->keyspace.account.used_bytes, 0);
    assert_int_equal(fixture->keyspace.page_account.used_bytes, 0);
}

static inline uint64_t hash_of(const struct fixture *fixture, struct bytes key) {
    return hash_bytes(&fixture->seed, key.at, key.len);
}

static inline struct entry *find(struct fixture *fixture, uint32_t db, struct bytes key) {
    return keyspace_find(&fixture->keyspace, db, hash_of(fixture, key), key);
}

static inline struct entry *set(struct fixture *fixture, uint32_t db, struct bytes key,
                                struct bytes value, int64_t deadline_ms) {
    return keyspace_set_string(&fixture->keyspace, db, hash_of(fixture, key), key, value,
                               deadline_ms, find(fixture, db, key));
}

static inline bool delete (struct fixture *fixture, uint32_t db, struct bytes key) {
    struct entry *entry = find(fixture, db, key);
    if (entry != NULL) {
        keyspace_delete(&fixture->keyspace, db, hash_of(fixture, key), entry);
    }
    return entry != NULL;
}

/* Sixteen bytes that name a number. */
struct number_key {
    char text[16];
};

static inline struct bytes key_of(struct number_key *key, uint64_t number) {
    memcpy(key->text, "key:000000000000", sizeof key->text);
    for (uint32_t i = sizeof key->text; number > 0; number /= 10) {
        key->text[--i] = (char)('0' + number % 10);
    }
    return bytes_of(key->text, sizeof key->text);
}

static inline uint64_t number_of(struct bytes key) {
    uint64_t number = 0;
    for (uint32_t i = 4; i < key.len; i++) {
        number = number * 10 + (uint64_t)(key.at[i] - '0');
    }
    return number;
}
