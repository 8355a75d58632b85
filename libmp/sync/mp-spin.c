/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-spin-private.h"

#include <sched.h>

#include "../base/mp-micro-lock-private.h"

/* Rounds of looking: some microseconds. */
#define MAX_ROUNDS 400
#define MIN_ROUNDS 16
/* How often one that no longer pays is tried again. */
#define AGAIN 32

/* Times that the processor is given away, and how long that may take. If it takes
 * longer, others use it than those for whom one waits, and it is better to sleep: that
 * is what the next ones do, so many at first, and twice as many each time. */
#define MAX_YIELDS 16
#define YIELDS_US 200
#define MIN_NAPS 32
#define MAX_NAPS 4096

gboolean
mp_spin (MpSpin *self, MpSpinFunc is_over, gpointer data)
{
  uint32_t budget = MAX (atomic_load_explicit (&self->budget, memory_order_relaxed), MIN_ROUNDS);
  uint32_t limit = budget;

  if (!mp_micro_lock_may_spin ())
    return FALSE;
  if (budget == MIN_ROUNDS &&
      atomic_fetch_add_explicit (&self->naps, 1, memory_order_relaxed) % AGAIN == 0)
    limit = MAX_ROUNDS;
  for (uint32_t i = 0; i < limit; i++)
    {
      mp_micro_lock_relax ();
      if (is_over (data))
        {
          atomic_store_explicit (&self->budget,
                                 MIN (MAX (budget, 2 * i) + MIN_ROUNDS, MAX_ROUNDS),
                                 memory_order_relaxed);
          return TRUE;
        }
    }
  atomic_store_explicit (&self->budget,
                         MAX (budget - budget / 4, MIN_ROUNDS),
                         memory_order_relaxed);
  return FALSE;
}

gboolean
mp_spin_yielding (MpSpin *self, MpSpinFunc is_over, gpointer data)
{
  /* Here the budget is how many still sleep. */
  uint32_t left = atomic_load_explicit (&self->budget, memory_order_relaxed);
  uint32_t naps = atomic_load_explicit (&self->naps, memory_order_relaxed);
  gboolean over = FALSE, in_time;
  gint64 end;

  if (left > 0)
    {
      atomic_store_explicit (&self->budget, left - 1, memory_order_relaxed);
      return FALSE;
    }
  end = g_get_monotonic_time () + YIELDS_US;
  for (int i = 0; i < MAX_YIELDS && !over && g_get_monotonic_time () < end; i++)
    {
      sched_yield ();
      over = is_over (data);
    }
  in_time = over && g_get_monotonic_time () < end;
  naps = in_time ? naps / 2 : CLAMP (2 * naps, MIN_NAPS, MAX_NAPS);
  atomic_store_explicit (&self->naps, naps, memory_order_relaxed);
  if (!in_time)
    atomic_store_explicit (&self->budget, naps, memory_order_relaxed);
  return over;
}
