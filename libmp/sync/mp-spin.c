/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-spin-private.h"

#include "../base/mp-micro-lock-private.h"

/* Rounds of looking: some microseconds. */
#define MAX_ROUNDS 400
#define MIN_ROUNDS 16
/* How often one that no longer pays is tried again. */
#define AGAIN 32

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
