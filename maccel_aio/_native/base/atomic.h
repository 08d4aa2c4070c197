/* atomic.h - the only place that names memory orders.
 *
 * The order is in the name. `seq` is used where a store must be seen before a later load of another
 * word (the sleeper and waker of a Dekker pair); everything else is acquire, release or relaxed. */
#ifndef MX_ATOMIC_H
#define MX_ATOMIC_H

#include <stdatomic.h>
#include <stdint.h>

typedef _Atomic uint32_t mx_atomic32;
typedef _Atomic uint64_t mx_atomic64;

#define mx_load_relaxed(p) atomic_load_explicit((p), memory_order_relaxed)
#define mx_load_acquire(p) atomic_load_explicit((p), memory_order_acquire)
#define mx_load_seq(p) atomic_load_explicit((p), memory_order_seq_cst)

#define mx_store_relaxed(p, v) atomic_store_explicit((p), (v), memory_order_relaxed)
#define mx_store_release(p, v) atomic_store_explicit((p), (v), memory_order_release)
#define mx_store_seq(p, v) atomic_store_explicit((p), (v), memory_order_seq_cst)

#define mx_exchange_seq(p, v) atomic_exchange_explicit((p), (v), memory_order_seq_cst)
#define mx_add_relaxed(p, v) atomic_fetch_add_explicit((p), (v), memory_order_relaxed)
#define mx_sub_relaxed(p, v) atomic_fetch_sub_explicit((p), (v), memory_order_relaxed)
#define mx_add_seq(p, v) atomic_fetch_add_explicit((p), (v), memory_order_seq_cst)
#define mx_sub_seq(p, v) atomic_fetch_sub_explicit((p), (v), memory_order_seq_cst)
/* A reference count: the last holder sees what all others did. */
#define mx_sub_acq_rel(p, v) atomic_fetch_sub_explicit((p), (v), memory_order_acq_rel)

/* Success is acquire + release, failure acquire; *expected is updated. */
#define mx_cas(p, expected, v) \
  atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_acq_rel, memory_order_acquire)
#define mx_cas_seq(p, expected, v) \
  atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_seq_cst, memory_order_seq_cst)

#endif
