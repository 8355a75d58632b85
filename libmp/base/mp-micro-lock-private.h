/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <glib.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdint.h>

G_BEGIN_DECLS

/* A lock in shared memory that is freed by the kernel when its holder dies.
 *
 * The word holds the thread id of the holder. While a thread wants or holds a
 * lock, the address is in the list_op_pending entry of its robust list: at the
 * thread's death the kernel treats that entry like a listed robust futex, so
 * FUTEX_OWNER_DIED is set if the word holds the thread's id, and a waiter is
 * woken if it died between release and wake. Nothing but the word is ever
 * stored in the shared memory, so a hostile peer can stall us and no more.
 *
 * There is one such entry per thread: these locks never nest, and nothing that
 * could take a robust mutex of the C library runs while one is held. Peers must be in one process
 * id namespace. All zeroes is an unlocked lock. */
typedef _Atomic uint32_t MpMicroLock;

typedef enum
{
  MP_MICRO_LOCK_ACQUIRED,
  MP_MICRO_LOCK_OWNER_DIED, /* acquired; the one who had it died in the middle of things */
  MP_MICRO_LOCK_TIMED_OUT,
  MP_MICRO_LOCK_INTERRUPTED /* a signal handler ran in this thread */
} MpMicroLockResult;

typedef struct
{
  uint32_t tid; /* 0: to be set up */
  struct robust_list_head *list;
} MpMicroLockThread;

extern _Thread_local MpMicroLockThread mp_micro_lock_thread
  __attribute__ ((tls_model ("initial-exec"), visibility ("hidden")));

void mp_micro_lock_setup_thread (void);
/* Before memory with such locks is used: MP_ERROR_NOT_SUPPORTED where the kernel
 * does not do its part, as under an emulator of user programs. */
gboolean mp_micro_lock_check (GError **error);
MpMicroLockResult mp_micro_lock_acquire_slow (MpMicroLock *lock, gint64 deadline);
void mp_micro_lock_wake (MpMicroLock *lock);

/* Spinning only helps when the other side can run meanwhile. */
gboolean mp_micro_lock_may_spin (void);

static inline void
mp_micro_lock_relax (void)
{
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause ();
#elif defined(__aarch64__) || defined(__arm__)
  __asm__ volatile("yield" ::: "memory");
#else
  __asm__ volatile("" ::: "memory");
#endif
}

/* As mp_micro_lock_try(), for who has read the record of this thread, set up, already. */
static inline gboolean
mp_micro_lock_try_as (MpMicroLock *lock, const MpMicroLockThread *self)
{
  uint32_t expected = 0;

  self->list->list_op_pending = (gpointer) ((char *) lock - self->list->futex_offset);
  atomic_signal_fence (memory_order_seq_cst);
  return atomic_compare_exchange_strong_explicit (lock,
                                                  &expected,
                                                  self->tid,
                                                  memory_order_acquire,
                                                  memory_order_relaxed);
}

/* Takes @lock if it is free. If not, mp_micro_lock_acquire_slow() or
 * mp_micro_lock_forget() must follow. */
static inline gboolean
mp_micro_lock_try (MpMicroLock *lock)
{
  if (G_UNLIKELY (mp_micro_lock_thread.tid == 0))
    mp_micro_lock_setup_thread ();
  return mp_micro_lock_try_as (lock, &mp_micro_lock_thread);
}

/* This thread does not have and does not want the lock. */
static inline void
mp_micro_lock_forget_as (const MpMicroLockThread *self)
{
  atomic_signal_fence (memory_order_seq_cst);
  self->list->list_op_pending = NULL;
}

static inline void
mp_micro_lock_forget (void)
{
  mp_micro_lock_forget_as (&mp_micro_lock_thread);
}

/* @deadline: see mp-clock-private.h. MP_DEADLINE_NOW still gives a running
 * holder a moment, so that it fails only if the holder is stopped. */
static inline MpMicroLockResult
mp_micro_lock_acquire (MpMicroLock *lock, gint64 deadline)
{
  if (G_LIKELY (mp_micro_lock_try (lock)))
    return MP_MICRO_LOCK_ACQUIRED;
  return mp_micro_lock_acquire_slow (lock, deadline);
}

/* The first half of a release: TRUE if mp_micro_lock_wake() is due before
 * mp_micro_lock_forget(), which must follow. */
static inline gboolean
mp_micro_lock_let_go (MpMicroLock *lock)
{
  return (atomic_exchange_explicit (lock, 0, memory_order_seq_cst) & FUTEX_WAITERS) != 0;
}

static inline void
mp_micro_lock_release (MpMicroLock *lock)
{
  if (G_UNLIKELY (mp_micro_lock_let_go (lock)))
    mp_micro_lock_wake (lock);
  mp_micro_lock_forget ();
}

/* Between a release and a look at what must not be older than it. */
static inline void
mp_micro_lock_fence_after_release (void)
{
#if defined(__x86_64__) || defined(__i386__)
  /* The exchange was one. */
  atomic_signal_fence (memory_order_seq_cst);
#else
  atomic_thread_fence (memory_order_seq_cst);
#endif
}

G_END_DECLS
