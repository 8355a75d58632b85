/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-spin-private.h"

#include <sched.h>

#include "../base/mp-micro-lock-private.h"

/* Who does not see in time what it waits for sleeps at once the next times: so many at
 * first, and twice as many each time. One that sleeps takes so long to wake up that two who
 * answer each other find to spinning only if one of them tries for longer and, as that is no
 * good by itself, goes on for some times, until the other one tries as well. */
#define USUAL_US 10
#define TRIAL_US 30
#define MAX_SLOW 64
#define MIN_NAPS 4
#define MAX_NAPS 512
/* After an expectation that was not met so many further ones are ignored at first, and twice as
 * many each time. */
#define MIN_DOUBTS 4
#define MAX_DOUBTS 64
/* Between two looks at the clock. */
#define ROUNDS 32

/* Times that the processor is given away, and how long that may take. If it takes
 * longer, others use it than those for whom one waits, and it is better to sleep: that
 * is what the next ones do, so many at first, and twice as many each time. */
#define MAX_YIELDS 16
#define YIELDS_US 200
#define MIN_YIELD_NAPS 32
#define MAX_YIELD_NAPS 4096
#define MAX_LATE_US 100000

static gboolean
look_for_a_while (MpSpinFunc is_over, gpointer data)
{
  for (int i = 0; i < ROUNDS; i++)
    {
      mp_micro_lock_relax ();
      if (is_over (data))
        return TRUE;
    }
  return FALSE;
}

/* So many microseconds, or 0 if it was over at once; -1: not in time. */
static gint64
look_until (gint64 limit, MpSpinFunc is_over, gpointer data)
{
  gint64 start, took = 0;

  if (look_for_a_while (is_over, data))
    return 0;
  start = g_get_monotonic_time ();
  while (took < limit)
    {
      if (look_for_a_while (is_over, data))
        return g_get_monotonic_time () - start;
      took = g_get_monotonic_time () - start;
    }
  return -1;
}

static void
expect (MpSpin *self)
{
  uint32_t doubts = atomic_load_explicit (&self->doubts, memory_order_relaxed);

  if (doubts > 0)
    {
      atomic_store_explicit (&self->doubts, doubts - 1, memory_order_relaxed);
      return;
    }
  /* Others kept the processor for long. */
  if (atomic_load_explicit (&self->left, memory_order_relaxed) > MAX_YIELD_NAPS)
    return;
  atomic_store_explicit (&self->left, 0, memory_order_relaxed);
  atomic_store_explicit (&self->expected, 1, memory_order_relaxed);
}

void
mp_spin_expect (MpSpin spins[2])
{
  expect (&spins[0]);
  expect (&spins[1]);
}

static gboolean
was_expected (MpSpin *self)
{
  return atomic_load_explicit (&self->expected, memory_order_relaxed) != 0 &&
         atomic_exchange_explicit (&self->expected, 0, memory_order_relaxed) != 0;
}

/* Whether what was expected came @in_time. */
static void
learn (MpSpin *self, gboolean in_time)
{
  uint32_t doubts = atomic_load_explicit (&self->max_doubts, memory_order_relaxed);

  doubts = in_time ? 0 : CLAMP (2 * doubts, MIN_DOUBTS, MAX_DOUBTS);
  atomic_store_explicit (&self->max_doubts, doubts, memory_order_relaxed);
  atomic_store_explicit (&self->doubts, doubts, memory_order_relaxed);
}

gboolean
mp_spin (MpSpin *self, MpSpinFunc is_over, gpointer data)
{
  uint32_t left = atomic_load_explicit (&self->left, memory_order_relaxed);
  uint32_t naps = atomic_load_explicit (&self->naps, memory_order_relaxed);
  uint32_t slow = atomic_load_explicit (&self->slow, memory_order_relaxed);
  gint64 more = atomic_load_explicit (&self->more, memory_order_relaxed), usual, trial, took;
  gboolean expected;

  if (!mp_micro_lock_may_spin ())
    return FALSE;
  if (left > 0)
    {
      atomic_store_explicit (&self->left, left - 1, memory_order_relaxed);
      return FALSE;
    }
  expected = was_expected (self);
  trial = (self->trial > 0 ? self->trial : TRIAL_US) + more;
  usual = expected ? trial : USUAL_US + more;
  took = look_until (slow > 0 ? trial : usual, is_over, data);
  if (expected)
    learn (self, took >= 0 && took <= usual);
  if (took < 0 && more > 0)
    atomic_store_explicit (&self->more, 0, memory_order_relaxed);
  if (took >= 0 && took <= usual)
    {
      slow = 0;
      naps = naps > 0 ? naps - 1 : 0;
    }
  else if (took > 0 && slow < MAX_SLOW)
    slow++;
  else
    {
      slow = 1;
      naps = CLAMP (2 * naps, MIN_NAPS, MAX_NAPS);
      atomic_store_explicit (&self->left, naps, memory_order_relaxed);
    }
  atomic_store_explicit (&self->slow, slow, memory_order_relaxed);
  atomic_store_explicit (&self->naps, naps, memory_order_relaxed);
  return took >= 0;
}

gboolean
mp_spin_yielding (MpSpin *self, MpSpinFunc is_over, gpointer data)
{
  uint32_t left = atomic_load_explicit (&self->left, memory_order_relaxed);
  uint32_t naps = atomic_load_explicit (&self->naps, memory_order_relaxed);
  gboolean over = FALSE, in_time;
  gint64 end, late;

  if (left > 0)
    {
      atomic_store_explicit (&self->left, left - 1, memory_order_relaxed);
      return FALSE;
    }
  end = g_get_monotonic_time () + YIELDS_US;
  for (int i = 0; i < MAX_YIELDS && !over && g_get_monotonic_time () < end; i++)
    {
      sched_yield ();
      over = is_over (data);
    }
  late = g_get_monotonic_time () - end;
  in_time = over && late < 0;
  if (was_expected (self))
    learn (self, in_time);
  naps = in_time ? naps / 2 : CLAMP (2 * naps, MIN_YIELD_NAPS, MAX_YIELD_NAPS);
  atomic_store_explicit (&self->naps, naps, memory_order_relaxed);
  if (!in_time)
    atomic_store_explicit (&self->left,
                           (uint32_t) MAX (naps, self->penalty * CLAMP (late, 0, MAX_LATE_US)),
                           memory_order_relaxed);
  return over;
}

gboolean
mp_spin_or_yield (MpSpin spins[2], MpSpinFunc is_over, gpointer data, gboolean *spun)
{
  gboolean tries = spins[0].trial > 0 && mp_micro_lock_may_spin () &&
                   atomic_load_explicit (&spins[0].left, memory_order_relaxed) == 0;

  *spun = mp_spin (&spins[0], is_over, data);
  if (*spun)
    return TRUE;
  /* Perhaps they had no processor, because this one looked: they get it now, unless others kept it
   * for long the last time. */
  if (tries && atomic_load_explicit (&spins[1].left, memory_order_relaxed) <= MAX_YIELD_NAPS)
    atomic_store_explicit (&spins[1].left, 0, memory_order_relaxed);
  return mp_spin_yielding (&spins[1], is_over, data);
}
