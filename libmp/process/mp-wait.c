/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-wait-private.h"

#include "../base/mp-clock-private.h"
#include "../base/mp-futex-private.h"

#include <limits.h>

static void
cancelled_cb (GCancellable *cancellable, gpointer user_data)
{
  mp_wait_word_bump (user_data);
}

MpWordWaitResult
mp_wait_word (_Atomic uint32_t *word,
              MpWaitFunc done,
              gpointer data,
              gint64 deadline,
              gboolean interruptible,
              GCancellable *cancellable)
{
  MpWordWaitResult result = MP_WAIT_DONE;
  gulong handler = 0;

  if (done (data))
    return MP_WAIT_DONE;
  if (cancellable != NULL)
    handler = g_cancellable_connect (cancellable, G_CALLBACK (cancelled_cb), word, NULL);
  while (TRUE)
    {
      uint32_t seen = atomic_load_explicit (word, memory_order_acquire);
      MpFutexResult waited;

      if (done (data))
        break;
      if (g_cancellable_is_cancelled (cancellable))
        {
          result = MP_WAIT_CANCELLED;
          break;
        }
      if (mp_deadline_left (deadline) == 0)
        {
          result = MP_WAIT_TIMED_OUT;
          break;
        }
      waited = mp_futex_wait (word, seen, deadline, FALSE);
      if (waited == MP_FUTEX_INTERRUPTED && interruptible)
        {
          result = done (data) ? MP_WAIT_DONE : MP_WAIT_INTERRUPTED;
          break;
        }
    }
  g_cancellable_disconnect (cancellable, handler);
  return result;
}

void
mp_wait_word_bump (_Atomic uint32_t *word)
{
  atomic_fetch_add_explicit (word, 1, memory_order_release);
  mp_futex_wake (word, INT_MAX, FALSE);
}
