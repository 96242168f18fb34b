/* The keeper: garbage is freed once, on its thread while it runs, and in place before and after. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "base/blob.h"
#include "server/keeper.h"

enum { PIECES = 2000, THREADS = 4 };

static atomic_u32 freed_elsewhere, freed_here, held;
static pthread_t test_thread;
static pthread_mutex_t hold = PTHREAD_MUTEX_INITIALIZER;

static void count_free(struct garbage *garbage) {
    bool here = pthread_equal(pthread_self(), test_thread);
    atomic_add_relaxed(here ? &freed_here : &freed_elsewhere, 1);
    free(garbage);
}

/* Keeps the keeper busy until the test lets go. */
static void wait_free(struct garbage *garbage) {
    atomic_store_release(&held, 1);
    pthread_mutex_lock(&hold);
    pthread_mutex_unlock(&hold);
    count_free(garbage);
}

static void give(struct keeper *keeper, void (*body)(struct garbage *)) {
    struct garbage *garbage = malloc(sizeof *garbage);
    assert_non_null(garbage);
    *garbage = (struct garbage){.free = body};
    garbage_give(&keeper->taker, garbage);
}

/* The keeper holds this piece, and nothing that comes after it, when this returns. */
static void give_and_wait_taken(struct keeper *keeper) {
    atomic_store_relaxed(&held, 0);
    give(keeper, wait_free);
    while (!atomic_load_acquire(&held)) (void)sched_yield();
}

static int begin(void **state) {
    static struct keeper keeper;
    *state = &keeper;
    test_thread = pthread_self();
    atomic_store_relaxed(&freed_elsewhere, 0);
    atomic_store_relaxed(&freed_here, 0);
    keeper_init(&keeper);
    return 0;
}

static void test_without_a_thread_it_is_freed_in_place(void **state) {
    struct keeper *keeper = *state;
    give(keeper, count_free);
    assert_int_equal(freed_here, 1);
    assert_int_equal(keeper_start(keeper, NULL, NULL), 0);
    keeper_stop(keeper);
    give(keeper, count_free);
    assert_int_equal(freed_here, 2);
    keeper_deinit(keeper);
}

static void *give_many(void *keeper) {
    for (int i = 0; i < PIECES; i++) give(keeper, count_free);
    return NULL;
}

/* Also of what comes while it ends, and over several starts. */
static void test_every_piece_is_freed_once(void **state) {
    struct keeper *keeper = *state;
    for (uint32_t round = 1; round <= 3; round++) {
        pthread_t threads[THREADS];
        assert_int_equal(keeper_start(keeper, NULL, NULL), 0);
        for (int i = 0; i < THREADS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, give_many, keeper), 0);
        if (round == 2) keeper_stop(keeper);
        for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
        if (round != 2) keeper_stop(keeper);
        assert_int_equal(freed_elsewhere + freed_here, round * THREADS * PIECES);
    }
    keeper_deinit(keeper);
}

static void test_beyond_the_bound_it_is_freed_in_place(void **state) {
    struct keeper *keeper = *state;
    assert_int_equal(keeper_start(keeper, NULL, NULL), 0);
    pthread_mutex_lock(&hold);
    give_and_wait_taken(keeper);
    for (int i = 1; i < KEEPER_WAITING_MAX; i++) give(keeper, count_free);
    assert_int_equal(freed_here, 0);
    give(keeper, count_free);
    assert_int_equal(freed_here, 1);
    pthread_mutex_unlock(&hold);
    keeper_stop(keeper);
    assert_int_equal(freed_elsewhere, KEEPER_WAITING_MAX);
    keeper_deinit(keeper);
}

/* A large blob leaves its account at once, whoever frees it then; a small one is freed by who drops it. */
static void test_large_blobs_are_garbage(void **state) {
    struct keeper *keeper = *state;
    struct mem_account account = {.taker = &keeper->taker};
    assert_int_equal(keeper_start(keeper, NULL, NULL), 0);
    pthread_mutex_lock(&hold);
    give_and_wait_taken(keeper);
    struct blob *small = blob_new(&account, BLOB_LARGE_BYTES - 1);
    struct blob *large = blob_new(&account, BLOB_LARGE_BYTES);
    blob_put(small);
    assert_true(account.used_bytes >= BLOB_LARGE_BYTES);
    blob_get(large);
    blob_put(large);
    assert_true(account.used_bytes >= BLOB_LARGE_BYTES);
    uint32_t waiting = keeper->waiting;
    blob_put(large);
    assert_int_equal(account.used_bytes, 0);
    assert_int_equal(keeper->waiting, waiting + 1);
    pthread_mutex_unlock(&hold);
    keeper_stop(keeper);
    assert_int_equal(keeper->waiting, 0);
    keeper_deinit(keeper);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_without_a_thread_it_is_freed_in_place, begin),
        cmocka_unit_test_setup(test_every_piece_is_freed_once, begin),
        cmocka_unit_test_setup(test_beyond_the_bound_it_is_freed_in_place, begin),
        cmocka_unit_test_setup(test_large_blobs_are_garbage, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
