/* Atomic operations with the memory order in the name.
 *
 * A field that another thread touches is declared `atomic_u32`, `atomic_u64` or `atomic_ptr` and its
 * comment says writer, readers, order, and what it pairs with; docs/CONCURRENCY.md lists them all.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef _Atomic(uint32_t) atomic_u32;
typedef _Atomic(uint64_t) atomic_u64;
typedef _Atomic(void *) atomic_ptr;

#define KRT_CACHE_LINE 64
#define KRT_CACHE_ALIGNED __attribute__((aligned(KRT_CACHE_LINE)))

#define atomic_load_relaxed(p) atomic_load_explicit((p), memory_order_relaxed)
#define atomic_load_acquire(p) atomic_load_explicit((p), memory_order_acquire)
#define atomic_load_seq_cst(p) atomic_load_explicit((p), memory_order_seq_cst)
#define atomic_store_relaxed(p, v) atomic_store_explicit((p), (v), memory_order_relaxed)
#define atomic_store_release(p, v) atomic_store_explicit((p), (v), memory_order_release)
#define atomic_store_seq_cst(p, v) atomic_store_explicit((p), (v), memory_order_seq_cst)
#define atomic_add_relaxed(p, v) atomic_fetch_add_explicit((p), (v), memory_order_relaxed)
#define atomic_add_acq_rel(p, v) atomic_fetch_add_explicit((p), (v), memory_order_acq_rel)
#define atomic_add_seq_cst(p, v) atomic_fetch_add_explicit((p), (v), memory_order_seq_cst)
#define atomic_sub_relaxed(p, v) atomic_fetch_sub_explicit((p), (v), memory_order_relaxed)
#define atomic_sub_acq_rel(p, v) atomic_fetch_sub_explicit((p), (v), memory_order_acq_rel)
#define atomic_or_release(p, v) atomic_fetch_or_explicit((p), (v), memory_order_release)
#define atomic_or_seq_cst(p, v) atomic_fetch_or_explicit((p), (v), memory_order_seq_cst)
#define atomic_and_release(p, v) atomic_fetch_and_explicit((p), (v), memory_order_release)
#define atomic_and_acq_rel(p, v) atomic_fetch_and_explicit((p), (v), memory_order_acq_rel)
#define atomic_and_seq_cst(p, v) atomic_fetch_and_explicit((p), (v), memory_order_seq_cst)
#define atomic_swap_acquire(p, v) atomic_exchange_explicit((p), (v), memory_order_acquire)
#define atomic_swap_acq_rel(p, v) atomic_exchange_explicit((p), (v), memory_order_acq_rel)
#define atomic_swap_seq_cst(p, v) atomic_exchange_explicit((p), (v), memory_order_seq_cst)

/* On failure *expected holds what was found. */
#define atomic_cas_acquire(p, expected, desired)                                              \
    atomic_compare_exchange_strong_explicit((p), (expected), (desired), memory_order_acquire, \
                                            memory_order_relaxed)
#define atomic_cas_acq_rel(p, expected, desired)                                              \
    atomic_compare_exchange_strong_explicit((p), (expected), (desired), memory_order_acq_rel, \
                                            memory_order_acquire)
#define atomic_cas_seq_cst(p, expected, desired)                                              \
    atomic_compare_exchange_strong_explicit((p), (expected), (desired), memory_order_seq_cst, \
                                            memory_order_seq_cst)
#define atomic_cas_weak_acquire(p, expected, desired)                                       \
    atomic_compare_exchange_weak_explicit((p), (expected), (desired), memory_order_acquire, \
                                          memory_order_relaxed)

/* Full barrier of the park protocol: announce, fence, re-check. */
#define atomic_fence_seq_cst() atomic_thread_fence(memory_order_seq_cst)
