/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-futex-private.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "mp-clock-private.h"

MpFutexResult
mp_futex_wait (_Atomic uint32_t *word, uint32_t expected, gint64 deadline, gboolean shared)
{
  /* The bitset form takes an absolute time of CLOCK_MONOTONIC, which is
   * g_get_monotonic_time()'s clock: nothing to recompute, nothing drifts. */
  int op = FUTEX_WAIT_BITSET | (shared ? 0 : FUTEX_PRIVATE_FLAG);
  struct timespec until = { .tv_sec = deadline / G_USEC_PER_SEC,
                            .tv_nsec = (deadline % G_USEC_PER_SEC) * 1000 };

  if (deadline == MP_DEADLINE_NOW)
    return MP_FUTEX_TIMED_OUT;
  if (syscall (SYS_futex,
               word,
               op,
               expected,
               deadline == MP_DEADLINE_NEVER ? NULL : &until,
               NULL,
               FUTEX_BITSET_MATCH_ANY) == 0)
    return MP_FUTEX_WOKEN;
  switch (errno)
    {
    case EAGAIN:
    /* Somebody gave the page back (with FALLOC_FL_PUNCH_HOLE) in just this moment.
     * There is another one now. */
    case EFAULT:
      return MP_FUTEX_CHANGED;
    case ETIMEDOUT:
      return MP_FUTEX_TIMED_OUT;
    case EINTR:
      return MP_FUTEX_INTERRUPTED;
    default:
      g_error ("futex wait on %p: %s", (void *) word, g_strerror (errno));
    }
}

int
mp_futex_wake (_Atomic uint32_t *word, int n, gboolean shared)
{
  int op = FUTEX_WAKE | (shared ? 0 : FUTEX_PRIVATE_FLAG);
  long woken = syscall (SYS_futex, word, op, n, NULL, NULL, 0);

  return woken < 0 ? 0 : (int) woken;
}
