/* Consumer groups beside plain arrays: changed at random, copied, frozen, with and without memory. */
#include "store/stream_groups.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/hash.h"
#include "store/stream_pending.h"

enum { GROUPS = 4, CONSUMERS = 8, IDS = 6000 };

struct model_pending {
    uint8_t owner; /* 0: it is not pending; else the consumer's index and one */
    int64_t delivered_ms;
    uint64_t deliveries;
};

struct model_group {
    bool is_there, has[CONSUMERS];
    struct stream_id last_id;
    int64_t entries_read;
    struct model_pending pending[IDS];
};

struct model {
    struct node_heap heap;
    struct mem_account account;
    atomic_u64 leaving_bytes;
    struct stream_groups groups;
    struct random_state random;
    struct model_group group[GROUPS];
};

static struct model *model_new(uint64_t seed) {
    struct model *model = calloc(1, sizeof *model);
    node_heap_init(&model->heap, &model->account, &model->leaving_bytes);
    stream_groups_init(&model->groups);
    random_seed(&model->random, seed);
    return model;
}

static void model_free(struct model *model) {
    stream_groups_free(&model->groups, &model->account);
    node_heap_deinit(&model->heap);
    assert_int_equal(atomic_load_relaxed(&model->account.used_bytes), 0);
    assert_int_equal(atomic_load_relaxed(&model->leaving_bytes), 0);
    free(model);
}

static uint32_t below(struct model *model, uint32_t bound) {
    return (uint32_t)random_below(&model->random, bound);
}

/* ---- Names and ids ------------------------------------------------------------------------------ */

/* In the order of their indexes; one is the beginning of the next. */
static struct bytes name_at(uint32_t index) {
    static const char *const names[CONSUMERS] = {"", "A", "a", "aa", "aab", "b", "b\xff", "\xff"};
    return bytes_of(names[index], strlen(names[index]));
}

/* In the order of their indexes, of many lengths. */
static struct stream_id id_at(uint32_t index) {
    struct stream_id id = {index / 5, index % 5 * (UINT64_C(1) << (index % 5 * 15))};
    if (index > IDS / 2) id.ms = UINT64_C(1700000000000) + index / 5;
    return id;
}

static struct stream_group *group_at(const struct model *model, uint32_t index) {
    return stream_group_find(&model->groups, name_at(index));
}

static struct stream_consumer *consumer_at(const struct stream_group *group, uint32_t index) {
    return stream_consumer_find(group, name_at(index));
}

/* ---- Comparing ---------------------------------------------------------------------------------- */

static void assert_pending(const struct stream_group *group, const struct model_group *model) {
    struct stream_pending_walk walk;
    bool found = stream_pending_seek(&walk, &group->pending, (struct stream_id){0});
    for (uint32_t i = 0; i < IDS; i++) {
        const struct model_pending *pending = &model->pending[i];
        if (!pending->owner) continue;
        assert_true(found);
        assert_int_equal(stream_id_compare(walk.pending.id, id_at(i)), 0);
        assert_int_equal(walk.pending.delivered_ms, pending->delivered_ms);
        assert_int_equal(walk.pending.deliveries, pending->deliveries);
        struct bytes name = group->numbered[walk.pending.consumer]->named.name;
        assert_true(bytes_equal(name, name_at(pending->owner - 1u)));
        found = stream_pending_next(&walk);
    }
    assert_false(found);
}

static void assert_owned(const struct tree *tree, const struct model_group *model,
                         uint32_t consumer) {
    struct stream_pending_walk walk;
    bool found = stream_pending_seek(&walk, tree, (struct stream_id){0});
    for (uint32_t i = 0; i < IDS; i++) {
        if (model->pending[i].owner != consumer + 1) continue;
        assert_true(found);
        assert_int_equal(stream_id_compare(walk.pending.id, id_at(i)), 0);
        found = stream_pending_next(&walk);
    }
    assert_false(found);
}

static void assert_group(const struct stream_group *group, const struct model_group *model) {
    uint32_t count = 0;
    assert_int_equal(stream_id_compare(group->last_id, model->last_id), 0);
    assert_int_equal(group->entries_read, model->entries_read);
    for (uint32_t i = 0; i < CONSUMERS; i++) {
        const struct stream_consumer *consumer = consumer_at(group, i);
        assert_int_equal(consumer != NULL, model->has[i]);
        if (!consumer) continue;
        assert_ptr_equal(stream_consumer_at(group, count++), consumer);
        assert_owned(&consumer->pending, model, i);
    }
    assert_int_equal(group->consumers.count, count);
    assert_pending(group, model);
}

static void assert_same(const struct stream_groups *groups, const struct model_group *models) {
    uint32_t count = 0;
    stream_groups_check(groups);
    for (uint32_t i = 0; i < GROUPS; i++) {
        const struct stream_group *group = stream_group_find(groups, name_at(i));
        assert_int_equal(group != NULL, models[i].is_there);
        if (!group) continue;
        assert_ptr_equal(stream_group_at(groups, count++), group);
        assert_group(group, &models[i]);
    }
    assert_int_equal(groups->names.count, count);
}

/* ---- Changing both ------------------------------------------------------------------------------ */

static void add_group(struct model *model, uint32_t index) {
    struct model_group *plain = &model->group[index];
    bool fails = below(model, 5) == 0;
    mem_fail_after(fails ? 1 + (int)below(model, 2) : 0);
    struct stream_group *group = stream_group_add(&model->groups, &model->heap, name_at(index));
    mem_fail_after(0);
    if (!group) {
        assert_true(fails);
        return;
    }
    *plain = (struct model_group){.is_there = true, .last_id = id_at(below(model, IDS))};
    plain->entries_read = below(model, 3) ? (int64_t)below(model, 1000) : STREAM_READ_UNKNOWN;
    assert_int_equal(group->entries_read, STREAM_READ_UNKNOWN);
    group->last_id = plain->last_id;
    group->entries_read = plain->entries_read;
}

static void delete_group(struct model *model, uint32_t index) {
    stream_group_delete(group_at(model, index), &model->heap);
    model->group[index] = (struct model_group){0};
}

static void add_consumer(struct model *model, uint32_t group, uint32_t index) {
    bool fails = below(model, 5) == 0;
    mem_fail_after(fails ? 1 + (int)below(model, 3) : 0);
    struct stream_consumer *consumer =
        stream_consumer_add(group_at(model, group), &model->heap, name_at(index), 17);
    mem_fail_after(0);
    assert_true(consumer || fails);
    model->group[group].has[index] = consumer != NULL;
}

/* A failing reservation changes nothing; within one that did not fail no memory is needed. */
static void reserve(struct model *model, const struct stream_group *group,
                    const struct stream_consumer *to, uint64_t changes) {
    mem_fail_after(below(model, 8) == 0);
    (void)stream_pending_reserve(group, &model->heap, to, changes);
    mem_fail_after(0);
    assert_true(stream_pending_reserve(group, &model->heap, to, changes));
    mem_fail_after(below(model, 4) == 0);
}

static void end_change(struct model *model) {
    mem_fail_after(0);
    node_unreserve(&model->heap);
}

static void delete_consumer(struct model *model, uint32_t index, uint32_t number) {
    struct model_group *plain = &model->group[index];
    struct stream_group *group = group_at(model, index);
    struct stream_consumer *consumer = consumer_at(group, number);
    reserve(model, group, NULL, consumer->pending.count);
    stream_pending_erase_all(group, &model->heap, consumer);
    end_change(model);
    stream_consumer_delete(group, &model->heap, consumer);
    plain->has[number] = false;
    for (uint32_t i = 0; i < IDS; i++)
        if (plain->pending[i].owner == number + 1) plain->pending[i].owner = 0;
}

static void put_some(struct model *model, uint32_t index, uint32_t number, uint32_t count) {
    struct model_group *plain = &model->group[index];
    struct stream_group *group = group_at(model, index);
    struct stream_consumer *consumer = consumer_at(group, number);
    uint32_t from = below(model, IDS);
    reserve(model, group, consumer, count);
    for (uint32_t i = from; i < from + count && i < IDS; i++) {
        struct stream_pending pending = {id_at(i), consumer->number, below(model, 1 << 30),
                                         below(model, 4) ? 1 : random_next(&model->random)};
        stream_pending_put(group, &model->heap, &pending);
        plain->pending[i] =
            (struct model_pending){(uint8_t)(number + 1), pending.delivered_ms, pending.deliveries};
    }
    end_change(model);
}

static void erase_some(struct model *model, uint32_t index, uint32_t count) {
    struct model_group *plain = &model->group[index];
    struct stream_group *group = group_at(model, index);
    uint32_t from = below(model, IDS);
    reserve(model, group, NULL, count);
    for (uint32_t i = from; i < from + count && i < IDS; i++) {
        bool erased = stream_pending_erase(group, &model->heap, id_at(i));
        assert_int_equal(erased, plain->pending[i].owner != 0);
        plain->pending[i].owner = 0;
    }
    end_change(model);
}

/* About nine of ten steps put, which makes lists grow, or erase, which makes them shrink. */
static void change(struct model *model, bool grow) {
    uint32_t index = below(model, GROUPS), number = below(model, CONSUMERS);
    uint32_t dice = below(model, 100), some = 1 + below(model, below(model, 8) ? 8 : 200);
    if (!model->group[index].is_there) {
        add_group(model, index);
    } else if (dice < 1 && below(model, 4) == 0) {
        delete_group(model, index);
    } else if (!model->group[index].has[number]) {
        add_consumer(model, index, number);
    } else if (dice < 2) {
        delete_consumer(model, index, number);
    } else if (dice < (grow ? 80 : 20)) {
        put_some(model, index, number, some);
    } else {
        erase_some(model, index, some);
    }
}

/* ---- Tests -------------------------------------------------------------------------------------- */

static void test_beside_arrays(void **state) {
    (void)state;
    struct model *model = model_new(11);
    for (uint32_t step = 0; step < 6000; step++) {
        change(model, step / 1500 % 2 == 0);
        if (step % 50 == 0) assert_same(&model->groups, model->group);
    }
    for (uint32_t i = 0; i < GROUPS; i++)
        if (model->group[i].is_there) delete_group(model, i);
    assert_int_equal(model->groups.names.count, 0);
    stream_groups_check(&model->groups);
    model_free(model);
}

static void test_searching(void **state) {
    (void)state;
    struct model *model = model_new(12);
    while (!group_at(model, 0) || !group_at(model, 0)->pending.count) change(model, true);
    for (uint32_t step = 0; step < 500; step++) change(model, true);
    uint32_t index = 0;
    while (!model->group[index].is_there) index++;
    const struct stream_group *group = group_at(model, index);
    for (uint32_t step = 0; step < 2000; step++) {
        struct stream_pending pending;
        struct stream_pending_walk walk;
        uint32_t at = below(model, IDS), first = at;
        const struct model_pending *plain = model->group[index].pending;
        bool found = stream_pending_find(&group->pending, id_at(at), &pending);
        assert_int_equal(found, plain[at].owner != 0);
        if (found) assert_int_equal(pending.deliveries, plain[at].deliveries);
        while (first < IDS && !plain[first].owner) first++;
        assert_int_equal(stream_pending_seek(&walk, &group->pending, id_at(at)), first < IDS);
        if (first < IDS) assert_int_equal(stream_id_compare(walk.pending.id, id_at(first)), 0);
        for (first = IDS; first > 0 && !plain[first - 1].owner;) first--;
        assert_int_equal(stream_pending_last(&walk, &group->pending), first > 0);
        if (first) assert_int_equal(stream_id_compare(walk.pending.id, id_at(first - 1)), 0);
    }
    model_free(model);
}

static void test_copies(void **state) {
    (void)state;
    struct stream_groups copy;
    struct model *model = model_new(13);
    for (uint32_t step = 0; step < 1500; step++) change(model, true);
    for (int failing = 1; failing < 40; failing++) {
        mem_fail_after(failing);
        bool copied = stream_groups_copy(&model->groups, &model->heap, &copy);
        mem_fail_after(0);
        assert_false(copied);
        assert_int_equal(copy.names.count, 0);
        assert_int_equal(stream_groups_bytes(&copy), 0);
    }
    assert_true(stream_groups_copy(&model->groups, &model->heap, &copy));
    struct model_group *before = malloc(sizeof model->group);
    memcpy(before, model->group, sizeof model->group);
    for (uint32_t step = 0; step < 500; step++) change(model, false);
    assert_same(&copy, before);
    struct mem_account other = {0};
    stream_groups_recharge(&copy, &model->account, &other);
    stream_groups_free(&copy, &other);
    assert_int_equal(atomic_load_relaxed(&other.used_bytes), 0);
    free(before);
    model_free(model);
}

static void test_bytes_are_what_the_account_has(void **state) {
    (void)state;
    struct model *model = model_new(14);
    for (uint32_t step = 0; step < 3000; step++) {
        change(model, step < 1500);
        assert_int_equal(stream_groups_bytes(&model->groups),
                         atomic_load_relaxed(&model->account.used_bytes) -
                             atomic_load_relaxed(&model->leaving_bytes));
    }
    model_free(model);
}

/* A new consumer takes a number that is free, and no other's. */
static void test_numbers(void **state) {
    (void)state;
    struct model *model = model_new(15);
    struct stream_group *group = stream_group_add(&model->groups, &model->heap, BYTES_LITERAL("g"));
    char name[16];
    for (int i = 0; i < 1000; i++) {
        int len = snprintf(name, sizeof name, "%d", i * 7919 % 1000);
        struct bytes bytes = bytes_of(name, (size_t)len);
        assert_non_null(stream_consumer_add(group, &model->heap, bytes, 5));
    }
    for (int i = 0; i < 1000; i += 3) {
        int len = snprintf(name, sizeof name, "%d", i);
        struct stream_consumer *consumer = stream_consumer_find(group, bytes_of(name, (size_t)len));
        stream_consumer_delete(group, &model->heap, consumer);
    }
    stream_groups_check(&model->groups);
    for (int i = 0; i < 1000; i += 3) {
        int len = snprintf(name, sizeof name, "%d", i);
        struct bytes bytes = bytes_of(name, (size_t)len);
        struct stream_consumer *consumer = stream_consumer_add(group, &model->heap, bytes, 5);
        assert_in_range(consumer->number, 0, 999);
        assert_int_equal(consumer->seen_ms, 5);
        assert_int_equal(consumer->active_ms, -1);
    }
    stream_groups_check(&model->groups);
    model_free(model);
}

struct taker {
    struct garbage_taker taker;
    struct garbage *taken;
};

static void take(struct garbage_taker *taker, struct garbage *garbage) {
    assert_null(((struct taker *)taker)->taken);
    ((struct taker *)taker)->taken = garbage;
}

/* A large group is for somebody else to free; a small one is gone at once. */
static void test_large_groups_are_left_to_the_taker(void **state) {
    (void)state;
    struct model *model = model_new(18);
    struct taker taker = {.taker.take = take};
    model->account.taker = &taker.taker;
    for (uint32_t large = 0; large < 2; large++) {
        struct stream_group *group =
            stream_group_add(&model->groups, &model->heap, BYTES_LITERAL("g"));
        struct stream_consumer *consumer =
            stream_consumer_add(group, &model->heap, BYTES_LITERAL("c"), 1);
        for (uint32_t i = 0; i < (large ? IDS : 100u); i++) {
            struct stream_pending pending = {id_at(i), consumer->number, 1, 1};
            assert_true(stream_pending_reserve(group, &model->heap, consumer, 1));
            stream_pending_put(group, &model->heap, &pending);
        }
        uint64_t used = atomic_load_relaxed(&model->account.used_bytes);
        stream_group_delete(group, &model->heap);
        stream_groups_check(&model->groups);
        assert_int_equal(taker.taken != NULL, large);
        assert_int_equal(atomic_load_relaxed(&model->account.used_bytes) == used, large);
        assert_int_equal(atomic_load_relaxed(&model->account.used_bytes) -
                             atomic_load_relaxed(&model->leaving_bytes),
                         stream_groups_bytes(&model->groups));
    }
    taker.taken->free(taker.taken);
    model_free(model);
}

/* ---- Freezing ----------------------------------------------------------------------------------- */

static void freeze(struct model *model, struct stream_groups *frozen) {
    node_heap_freeze(&model->heap);
    for (int failing = 1; failing < 6; failing++) {
        mem_fail_after(failing);
        bool copied = stream_groups_freeze(&model->groups, frozen);
        mem_fail_after(0);
        assert_false(copied);
    }
    assert_true(stream_groups_freeze(&model->groups, frozen));
}

/* What was pending at the freeze is there until the thaw, whatever is acknowledged, claimed and deleted
 * meanwhile. */
static void test_frozen_while_changed(void **state) {
    (void)state;
    struct stream_groups frozen;
    struct model *model = model_new(16);
    struct model_group *before = malloc(sizeof model->group);
    for (uint32_t round = 0; round < 6; round++) {
        for (uint32_t step = 0; step < 600; step++) change(model, round % 3 < 2);
        freeze(model, &frozen);
        memcpy(before, model->group, sizeof model->group);
        for (uint32_t step = 0; step < 600; step++) {
            change(model, round % 2);
            if (step % 60 == 0) assert_same(&frozen, before);
        }
        for (uint32_t i = 0; round % 2 && i < GROUPS; i++)
            if (model->group[i].is_there) delete_group(model, i);
        assert_same(&frozen, before);
        assert_same(&model->groups, model->group);
        node_heap_thaw(&model->heap);
        stream_groups_unfreeze(&frozen);
        assert_same(&model->groups, model->group);
    }
    free(before);
    model_free(model);
}

/* What is claimed from many consumers copies something of each. */
static void test_frozen_of_many_consumers(void **state) {
    (void)state;
    enum { MANY = 500 };
    struct model *model = model_new(17);
    struct stream_group *group = stream_group_add(&model->groups, &model->heap, BYTES_LITERAL("g"));
    for (uint32_t i = 0; i < MANY; i++) {
        struct bytes name = bytes_of((const char *)&i, sizeof i);
        assert_non_null(stream_consumer_add(group, &model->heap, name, 1));
        struct stream_pending pending = {id_at(i), i, 1, 1};
        assert_true(stream_pending_reserve(group, &model->heap, group->numbered[i], 1));
        stream_pending_put(group, &model->heap, &pending);
    }
    struct stream_consumer *to = stream_consumer_add(group, &model->heap, BYTES_LITERAL("to"), 2);
    node_heap_freeze(&model->heap);
    assert_true(stream_pending_reserve(group, &model->heap, to, MANY));
    mem_fail_after(1);
    for (uint32_t i = 0; i < MANY; i++) {
        struct stream_pending pending = {id_at(i), to->number, 2, 2};
        stream_pending_put(group, &model->heap, &pending);
    }
    end_change(model);
    stream_groups_check(&model->groups);
    assert_int_equal(to->pending.count, MANY);
    node_heap_thaw(&model->heap);
    model_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_beside_arrays),
        cmocka_unit_test(test_searching),
        cmocka_unit_test(test_copies),
        cmocka_unit_test(test_bytes_are_what_the_account_has),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_large_groups_are_left_to_the_taker),
        cmocka_unit_test(test_frozen_of_many_consumers),
        cmocka_unit_test(test_frozen_while_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
