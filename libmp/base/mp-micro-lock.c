/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-micro-lock-private.h"

#include <errno.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "mp-clock-private.h"
#include "mp-error.h"
#include "mp-futex-private.h"

#define SPINS 100
/* A woken waiter may be killed before it sets FUTEX_WAITERS again, after
 * somebody else barged in: nobody would wake the next one, so it looks itself. */
#define SLICE_US (50 * 1000)
/* What MP_DEADLINE_NOW grants to a holder that is merely not scheduled. */
#define GRACE_US (20 * 1000)

_Thread_local MpMicroLockThread mp_micro_lock_thread;

/* For threads that no C library set up. */
static _Thread_local struct robust_list_head own_list __attribute__ ((tls_model ("initial-exec")));

static void
forget_thread (void)
{
  mp_micro_lock_thread.tid = 0;
}

__attribute__ ((constructor)) static void
watch_forks (void)
{
  pthread_atfork (NULL, NULL, forget_thread);
}

static gboolean
setup_thread (void)
{
  struct robust_list_head *list = NULL;
  size_t size = 0;

  if (syscall (SYS_get_robust_list, 0, &list, &size) != 0 || list == NULL)
    {
      own_list.list.next = &own_list.list;
      if (syscall (SYS_set_robust_list, &own_list, sizeof own_list) != 0)
        return FALSE;
      list = &own_list;
    }
  mp_micro_lock_thread.list = list;
  mp_micro_lock_thread.tid = (uint32_t) syscall (SYS_gettid);
  return TRUE;
}

void
mp_micro_lock_setup_thread (void)
{
  /* Who shares something has asked before. */
  if (!setup_thread ())
    g_error ("The kernel has no robust futexes");
}

gboolean
mp_micro_lock_check (GError **error)
{
  if (G_LIKELY (mp_micro_lock_thread.tid != 0) || setup_thread ())
    return TRUE;
  g_set_error_literal (error,
                       MP_ERROR,
                       MP_ERROR_NOT_SUPPORTED,
                       "The kernel, or what stands in its place, has no robust futexes: nothing "
                       "that several processes change can be shared");
  return FALSE;
}

gboolean
mp_micro_lock_may_spin (void)
{
  static _Atomic int answer = 0;
  int known = atomic_load_explicit (&answer, memory_order_relaxed);

  if (known == 0)
    {
      known = g_get_num_processors () > 1 ? 1 : -1;
      atomic_store_explicit (&answer, known, memory_order_relaxed);
    }
  return known > 0;
}

static gboolean
acquire_by_spinning (MpMicroLock *lock)
{
  for (int i = 0; i < SPINS; i++)
    {
      uint32_t seen = atomic_load_explicit (lock, memory_order_relaxed);

      if (seen == 0 && atomic_compare_exchange_weak_explicit (lock,
                                                              &seen,
                                                              mp_micro_lock_thread.tid,
                                                              memory_order_acquire,
                                                              memory_order_relaxed))
        return TRUE;
      if ((seen & FUTEX_OWNER_DIED) != 0)
        return FALSE;
      mp_micro_lock_relax ();
    }
  return FALSE;
}

/* At a thread's death the kernel changes the word before the id is free. So if
 * there is no such thread, or it is this one, somebody has written nonsense. */
static void
free_from_nobody (MpMicroLock *lock, uint32_t seen)
{
  uint32_t tid = seen & FUTEX_TID_MASK;

  if (tid == mp_micro_lock_thread.tid || (syscall (SYS_tkill, tid, 0) != 0 && errno == ESRCH))
    atomic_compare_exchange_strong (lock, &seen, FUTEX_OWNER_DIED | FUTEX_WAITERS);
}

/* Sleeps while @seen, with its FUTEX_WAITERS bit, stays. */
static MpFutexResult
sleep_on (MpMicroLock *lock, uint32_t seen, gint64 deadline)
{
  gint64 slice = g_get_monotonic_time () + SLICE_US;
  gboolean last = deadline != MP_DEADLINE_NEVER && deadline <= slice;
  MpFutexResult result = mp_futex_wait (lock, seen, last ? deadline : slice, TRUE);

  if (result == MP_FUTEX_TIMED_OUT)
    free_from_nobody (lock, seen);
  return result == MP_FUTEX_TIMED_OUT && !last ? MP_FUTEX_CHANGED : result;
}

static MpMicroLockResult
give_up (MpMicroLockResult result)
{
  mp_micro_lock_forget ();
  return result;
}

MpMicroLockResult
mp_micro_lock_acquire_slow (MpMicroLock *lock, gint64 deadline)
{
  uint32_t mine = mp_micro_lock_thread.tid;

  if (mp_micro_lock_may_spin () && acquire_by_spinning (lock))
    return MP_MICRO_LOCK_ACQUIRED;
  if (deadline != MP_DEADLINE_NEVER)
    deadline = MAX (deadline, g_get_monotonic_time () + GRACE_US);
  for (;;)
    {
      uint32_t seen = atomic_load_explicit (lock, memory_order_relaxed);

      if ((seen & FUTEX_TID_MASK) == 0)
        {
          if (atomic_compare_exchange_strong_explicit (lock,
                                                       &seen,
                                                       mine | (seen & FUTEX_WAITERS),
                                                       memory_order_acquire,
                                                       memory_order_relaxed))
            return (seen & FUTEX_OWNER_DIED) != 0 ? MP_MICRO_LOCK_OWNER_DIED
                                                  : MP_MICRO_LOCK_ACQUIRED;
          continue;
        }
      if ((seen & FUTEX_WAITERS) == 0 &&
          !atomic_compare_exchange_strong_explicit (lock,
                                                    &seen,
                                                    seen | FUTEX_WAITERS,
                                                    memory_order_relaxed,
                                                    memory_order_relaxed))
        continue;
      switch (sleep_on (lock, seen | FUTEX_WAITERS, deadline))
        {
        case MP_FUTEX_TIMED_OUT:
          return give_up (MP_MICRO_LOCK_TIMED_OUT);
        case MP_FUTEX_INTERRUPTED:
          return give_up (MP_MICRO_LOCK_INTERRUPTED);
        case MP_FUTEX_WOKEN:
        case MP_FUTEX_CHANGED:
        default:
          break;
        }
      /* Others may sleep as well, and only this thread knows. */
      mine = mp_micro_lock_thread.tid | FUTEX_WAITERS;
    }
}

void
mp_micro_lock_wake (MpMicroLock *lock)
{
  mp_futex_wake (lock, 1, TRUE);
}
