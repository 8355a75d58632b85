/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* The state is one word, the lower half of which is the futex of those who wait:
 *
 *   bit 0       BROKEN
 *   bit 1       SLEEPERS: who changes the state has to wake
 *   bit 2       RESETTING: broken by a reset, which whoever comes next completes
 *   bits 3-31   the number of the cycle
 *   bits 32-63  how often it was reset
 *
 * A cycle ends in one of two ways, and one compare-and-exchange decides which: the
 * next one begins because all have come, or it is BROKEN. Broken it stays until it is
 * reset: the cycle is put down as one that was broken, and then the next one begins. A
 * reset that breaks it says so in the same step: who was waiting may be back before the
 * next cycle has begun, and must find no broken barrier. So
 * whoever wakes late can see how its own cycle ended, whatever happened since, and
 * nobody has to wait until all have gone.
 *
 * Arriving is one compare-and-exchange, too: of the first place that is not filled in
 * this cycle, with the participant's word. The places are filled in order, so that
 * the place is the index, and who has the last one knows that all others are filled.
 * Nobody is ever there without being known, so that those who sleep can look, after a
 * slice, whether one is among them that has died.
 *
 * Even and odd cycles have places of their own. When a party has seen that it was let
 * go it marks its place with LEFT. One that died before it could is found by those
 * who already wait in the next cycle, in which it will be missed, and breaks that. */

#include "mp-barrier-cycle-private.h"

#include <limits.h>

#include "mp-error.h"
#include "mp-waits-private.h"

#include "../base/mp-clock-private.h"
#include "../base/mp-futex-private.h"

#define BROKEN 1u
#define SLEEPERS 2u
#define RESETTING 4u
#define CYCLE_MASK 0x1fffffffu
#define LEFT 0x80000000u

/* Of two times so many places each sleeper asks after each slice. */
#define N_PROBES 16
/* Who comes when all places are taken, and has no time, waits so long for the last
 * one, which may only not be scheduled, before it breaks what is not its own. */
#define GRACE_US (20 * 1000)

G_STATIC_ASSERT ((MP_PARTICIPANT_MASK & LEFT) == 0);
G_STATIC_ASSERT (sizeof (MpBarrierShared) % 64 == 0);

typedef enum
{
  RUNNING,
  OVER, /* all came, and were let go */
  WAS_BROKEN
} Outcome;

static gsize
get_size (guint parties)
{
  return sizeof (MpBarrierShared) + (gsize) 2 * parties * sizeof (uint64_t);
}

static uint32_t
get_cycle (uint64_t state)
{
  return (uint32_t) state >> MP_BARRIER_CYCLE_SHIFT;
}

static uint32_t
get_n_resets (uint64_t state)
{
  return (uint32_t) (state >> 32);
}

static uint64_t
make_state (uint32_t n_resets, uint32_t cycle)
{
  return (uint64_t) n_resets << 32 | (cycle & CYCLE_MASK) << MP_BARRIER_CYCLE_SHIFT;
}

/* Where the cycle is put down that the reset with that number ended. */
static _Atomic uint32_t *
get_broken (MpBarrierSite *self, uint32_t n_resets)
{
  return &self->shared->broken[n_resets % MP_BARRIER_N_BROKEN];
}

/* Whether @cycle, which is over when the state is @state, was broken. */
static gboolean
was_broken (MpBarrierSite *self, uint32_t cycle, uint64_t state)
{
  uint32_t n_resets = get_n_resets (state);
  uint32_t n = MIN (n_resets, MP_BARRIER_N_BROKEN);

  /* The last one first. */
  for (uint32_t i = 1; i <= n; i++)
    {
      uint32_t n_since = (atomic_load (get_broken (self, n_resets - i)) - cycle) & CYCLE_MASK;

      if (n_since == 0)
        return TRUE;
      if (n_since > CYCLE_MASK / 2)
        return FALSE;
    }
  /* All that are remembered are later: then it is better not to go on. */
  return n_resets > MP_BARRIER_N_BROKEN;
}

static Outcome
get_outcome (MpBarrierSite *self, uint64_t state, uint32_t cycle)
{
  for (;;)
    {
      uint64_t before = state;
      gboolean broken;

      if (get_cycle (state) == cycle)
        return (state & BROKEN) != 0 ? WAS_BROKEN : RUNNING;
      if (get_n_resets (state) == 0)
        return OVER;
      broken = was_broken (self, cycle, state);
      state = atomic_load (&self->shared->state);
      /* What was put down is only overwritten by later resets. */
      if (get_n_resets (state) == get_n_resets (before))
        return broken ? WAS_BROKEN : OVER;
    }
}

static _Atomic uint32_t *
get_futex (MpBarrierSite *self)
{
  return (_Atomic uint32_t *) (gpointer) &self->shared->state +
         (G_BYTE_ORDER == G_BIG_ENDIAN ? 1 : 0);
}

/* The exchange that ends a cycle, or breaks it. */
static gboolean
change_state (MpBarrierSite *self, uint64_t *seen, uint64_t state)
{
  if (!atomic_compare_exchange_strong (&self->shared->state, seen, state))
    return FALSE;
  if ((*seen & SLEEPERS) != 0)
    mp_futex_wake (get_futex (self), INT_MAX, TRUE);
  return TRUE;
}

/* Places */

static _Atomic uint64_t *
get_places (MpBarrierSite *self, uint32_t cycle)
{
  return &self->shared->places[(cycle & 1) != 0 ? self->parties : 0];
}

static uint64_t
make_place (uint32_t cycle, uint32_t participant)
{
  return (uint64_t) cycle << 32 | participant;
}

static gboolean
is_filled (uint64_t place, uint32_t cycle)
{
  return (uint32_t) (place >> 32) == cycle && (uint32_t) place != MP_PARTICIPANT_NONE;
}

/* Filled since, in a cycle after @cycle. */
static gboolean
is_newer (uint64_t place, uint32_t cycle)
{
  uint32_t n_since = ((uint32_t) (place >> 32) - cycle) & CYCLE_MASK;

  return n_since != 0 && n_since <= CYCLE_MASK / 2 && (uint32_t) place != MP_PARTICIPANT_NONE;
}

/* How many places are filled: these are the first ones. */
static guint
count_filled (MpBarrierSite *self, uint32_t cycle)
{
  _Atomic uint64_t *places = get_places (self, cycle);
  guint low = 0, high = self->parties;

  while (low < high)
    {
      guint middle = (low + high) / 2;

      if (is_filled (atomic_load_explicit (&places[middle], memory_order_acquire), cycle))
        low = middle + 1;
      else
        high = middle;
    }
  return low;
}

/* Fills the first free place. FALSE if there is none, or the cycle is over. */
static gboolean
take_place (MpBarrierSite *self, MpBarrierArrival *arrival)
{
  uint32_t cycle = arrival->cycle;
  _Atomic uint64_t *places = get_places (self, cycle);
  guint index = count_filled (self, cycle);

  while (index < self->parties)
    {
      uint64_t place = atomic_load (&places[index]);

      if (is_filled (place, cycle))
        {
          index++;
          continue;
        }
      /* What is newer in a cycle that still runs is garbage. */
      if (is_newer (place, cycle) && get_cycle (atomic_load (&self->shared->state)) != cycle)
        break;
      if (atomic_compare_exchange_strong (&places[index], &place, make_place (cycle, arrival->me)))
        {
          arrival->index = index;
          arrival->next_probe = index + 1;
          return TRUE;
        }
    }
  return FALSE;
}

/* Looking for the dead */

static gboolean
is_dead (MpBarrierSite *self, uint32_t cycle, guint index, uint32_t *known)
{
  uint64_t place = atomic_load (&get_places (self, cycle)[index]);
  uint32_t participant = (uint32_t) place;

  if (!is_filled (place, cycle) || (participant & LEFT) != 0 || participant == *known)
    return FALSE;
  if (!mp_participants_is_alive (mp_arena_get_participants (self->block.arena), participant))
    return TRUE;
  *known = participant;
  return FALSE;
}

/* Whether the cycle of @state misses one of those that are asked after this time. */
static gboolean
has_lost (MpBarrierSite *self, uint64_t state, MpBarrierArrival *arrival)
{
  uint32_t cycle = get_cycle (state), before = (cycle - 1) & CYCLE_MASK;
  gboolean broke_before = was_broken (self, before, state);
  uint32_t known = arrival->me; /* to live */
  guint n = MIN (self->parties, N_PROBES);

  for (guint i = 0; i < n; i++)
    {
      guint index = (arrival->next_probe + i) % self->parties;

      if (is_dead (self, cycle, index, &known) ||
          (!broke_before && is_dead (self, before, index, &known)))
        return TRUE;
    }
  arrival->next_probe = (arrival->next_probe + n) % self->parties;
  return FALSE;
}

/* Breaking */

static gboolean
break_cycle (MpBarrierSite *self, uint32_t cycle)
{
  uint64_t seen = atomic_load (&self->shared->state);

  while (get_outcome (self, seen, cycle) == RUNNING)
    {
      if (change_state (self, &seen, (seen | BROKEN) & ~(uint64_t) SLEEPERS))
        return TRUE;
    }
  return FALSE;
}

gboolean
mp_barrier_site_break (MpBarrierSite *self, const MpBarrierArrival *arrival)
{
  return break_cycle (self, arrival->cycle);
}

/* Begins the next cycle after the broken one of the state @seen, unless somebody else
 * has done so meanwhile. */
static void
complete_reset (MpBarrierSite *self, uint64_t seen)
{
  uint32_t n_resets = get_n_resets (seen), cycle = get_cycle (seen);
  _Atomic uint32_t *broken = get_broken (self, n_resets);
  uint32_t old = atomic_load (broken);

  /* Is the one that was read still to be replaced by this one? */
  if (atomic_load (&self->shared->state) != seen)
    return;
  atomic_compare_exchange_strong (broken, &old, cycle);
  change_state (self, &seen, make_state (n_resets + 1, cycle + 1));
}

void
mp_barrier_site_abort (MpBarrierSite *self)
{
  uint64_t seen = atomic_load (&self->shared->state);

  for (;;)
    {
      if ((seen & RESETTING) != 0)
        complete_reset (self, seen);
      else if ((seen & BROKEN) != 0 ||
               change_state (self, &seen, (seen | BROKEN) & ~(uint64_t) SLEEPERS))
        return;
      seen = atomic_load (&self->shared->state);
    }
}

void
mp_barrier_site_reset (MpBarrierSite *self)
{
  uint64_t seen = atomic_load (&self->shared->state);
  uint32_t n_resets = get_n_resets (seen);

  /* Somebody else's reset at the same time is as good. */
  while (get_n_resets (seen) == n_resets)
    {
      if ((seen & BROKEN) != 0)
        complete_reset (self, seen);
      else if (count_filled (self, get_cycle (seen)) == 0)
        return;
      else
        change_state (self, &seen, (seen | BROKEN | RESETTING) & ~(uint64_t) SLEEPERS);
      seen = atomic_load (&self->shared->state);
    }
}

gboolean
mp_barrier_site_is_broken (MpBarrierSite *self)
{
  return (atomic_load (&self->shared->state) & (BROKEN | RESETTING)) == BROKEN;
}

guint
mp_barrier_site_count (MpBarrierSite *self)
{
  uint64_t state = atomic_load (&self->shared->state);

  return (state & BROKEN) != 0 ? 0 : count_filled (self, get_cycle (state));
}

/* Waiting */

typedef struct
{
  MpBarrierSite *site;
  uint32_t cycle;
} Watch;

static gboolean
is_over (gpointer data)
{
  const Watch *watch = data;
  uint64_t state = atomic_load_explicit (&watch->site->shared->state, memory_order_relaxed);

  return get_outcome (watch->site, state, watch->cycle) != RUNNING;
}

/* Whether to sleep while the state is *@seen, which has SLEEPERS then. */
static gboolean
announce (MpBarrierSite *self, uint64_t *seen)
{
  if ((*seen & SLEEPERS) != 0)
    return TRUE;
  if (!atomic_compare_exchange_strong (&self->shared->state, seen, *seen | SLEEPERS))
    return FALSE;
  *seen |= SLEEPERS;
  return TRUE;
}

/* DONE if the cycle is not RUNNING any more. */
static MpWaitResult
sleep_until_over (MpBarrierSite *self, MpBarrierArrival *arrival, MpSyncSleep *sleep)
{
  MpWaitResult result = MP_WAIT_RESULT_DONE;
  gboolean in_vain = FALSE;

  for (;;)
    {
      uint64_t seen = atomic_load (&self->shared->state);

      if (get_outcome (self, seen, arrival->cycle) != RUNNING)
        return MP_WAIT_RESULT_DONE;
      if (result != MP_WAIT_RESULT_DONE)
        return result;
      if (in_vain && has_lost (self, seen, arrival))
        break_cycle (self, arrival->cycle);
      else if (sleep->deadline == MP_DEADLINE_NOW)
        result = MP_WAIT_RESULT_TIMED_OUT;
      else if (announce (self, &seen))
        {
          result = mp_sync_sleep (sleep, (uint32_t) seen);
          in_vain = sleep->idle;
        }
    }
}

MpWaitResult
mp_barrier_site_wait (MpBarrierSite *self,
                      MpBarrierArrival *arrival,
                      const MpBarrierPatience *patience)
{
  MpSyncSleep sleep = { .block = &self->block,
                        .word = get_futex (self),
                        .deadline = patience->deadline,
                        .cancellable = patience->cancellable,
                        .interruptible = patience->interruptible,
                        .brief = TRUE };
  Watch watch = { .site = self, .cycle = arrival->cycle };
  MpWaitResult result;

  if (patience->deadline != MP_DEADLINE_NOW &&
      (self->crowded ? mp_spin_yielding : mp_spin) (&self->spin, is_over, &watch))
    result = MP_WAIT_RESULT_DONE;
  else
    result = sleep_until_over (self, arrival, &sleep);
  mp_sync_sleep_end (&sleep);
  if (result == MP_WAIT_RESULT_INTERRUPTED && patience->interruptible)
    return result;
  if (result != MP_WAIT_RESULT_DONE && break_cycle (self, arrival->cycle))
    return result;
  return get_outcome (self, atomic_load (&self->shared->state), arrival->cycle) == OVER
           ? MP_WAIT_RESULT_DONE
           : MP_WAIT_RESULT_BROKEN;
}

MpWaitResult
mp_barrier_site_arrive (MpBarrierSite *self,
                        MpBarrierArrival *arrival,
                        const MpBarrierPatience *patience)
{
  MpBarrierPatience longer = *patience;

  *arrival = (MpBarrierArrival){ .index = G_MAXUINT };
  arrival->me = mp_participants_get_self (mp_arena_get_participants (self->block.arena), NULL);
  if (arrival->me == MP_PARTICIPANT_NONE)
    return MP_WAIT_RESULT_FAILED;
  for (;;)
    {
      uint64_t state = atomic_load (&self->shared->state);
      MpWaitResult result;

      if ((state & RESETTING) != 0)
        {
          complete_reset (self, state);
          continue;
        }
      if ((state & BROKEN) != 0)
        return MP_WAIT_RESULT_BROKEN;
      arrival->cycle = get_cycle (state);
      if (take_place (self, arrival))
        return MP_WAIT_RESULT_DONE;
      if (longer.deadline != MP_DEADLINE_NEVER)
        longer.deadline = MAX (longer.deadline, g_get_monotonic_time () + GRACE_US);
      result = mp_barrier_site_wait (self, arrival, &longer);
      if (result == MP_WAIT_RESULT_TIMED_OUT || result == MP_WAIT_RESULT_INTERRUPTED)
        return result;
    }
}

MpWaitResult
mp_barrier_site_release (MpBarrierSite *self, const MpBarrierArrival *arrival)
{
  uint64_t seen = atomic_load (&self->shared->state);

  while (get_outcome (self, seen, arrival->cycle) == RUNNING)
    {
      if (change_state (self, &seen, make_state (get_n_resets (seen), arrival->cycle + 1)))
        return MP_WAIT_RESULT_DONE;
    }
  /* Nobody else lets them go. */
  return MP_WAIT_RESULT_BROKEN;
}

void
mp_barrier_site_leave (MpBarrierSite *self, const MpBarrierArrival *arrival)
{
  uint64_t place = make_place (arrival->cycle, arrival->me);

  /* Fails if the cycle after the next is already there. */
  atomic_compare_exchange_strong (&get_places (self, arrival->cycle)[arrival->index],
                                  &place,
                                  place | LEFT);
}

void
mp_barrier_shared_describe (gpointer memory, gsize size, GString *text)
{
  MpBarrierShared *shared = memory;
  MpBarrierSite site = { .shared = shared, .parties = atomic_load (&shared->parties) };

  if (site.parties > MP_BARRIER_MAX_PARTIES || size < get_size (site.parties))
    g_string_append (text, "corrupt");
  else if (mp_barrier_site_is_broken (&site))
    g_string_append (text, "broken");
  else
    g_string_append_printf (text,
                            "%u of %u have come",
                            mp_barrier_site_count (&site),
                            site.parties);
}

/* Beginning and end */

static void
set_up (MpBarrierSite *self, guint parties)
{
  self->shared = self->block.memory;
  self->parties = parties;
  self->crowded = parties > g_get_num_processors ();
}

gboolean
mp_barrier_site_init (MpBarrierSite *self, guint parties, GError **error)
{
  g_autoptr (MpArena) arena = NULL;

  if (parties == 0 || parties > MP_BARRIER_MAX_PARTIES)
    {
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_INVALID_ARGUMENT,
                   "A barrier is for 1 to %u parties, not for %u",
                   MP_BARRIER_MAX_PARTIES,
                   parties);
      return FALSE;
    }
  arena = mp_arena_ref_default (error);
  if (arena == NULL ||
      !mp_block_new (&self->block, arena, MP_BARRIER_KIND, get_size (parties), error))
    return FALSE;
  set_up (self, parties);
  atomic_store (&self->shared->parties, parties);
  return TRUE;
}

gboolean
mp_barrier_site_import (MpBarrierSite *self,
                        const char *name,
                        guint32 version,
                        GVariant *handle,
                        GUnixFDList *fd_list,
                        GError **error)
{
  guint parties;

  if (!mp_block_from_handle (&self->block,
                             name,
                             version,
                             MP_BARRIER_KIND,
                             sizeof (MpBarrierShared),
                             handle,
                             fd_list,
                             error))
    return FALSE;
  parties = atomic_load (&((MpBarrierShared *) self->block.memory)->parties);
  if (parties == 0 || parties > MP_BARRIER_MAX_PARTIES || self->block.size < get_size (parties))
    {
      g_set_error_literal (error, MP_ERROR, MP_ERROR_CORRUPT, "A barrier is corrupt");
      return FALSE;
    }
  set_up (self, parties);
  return TRUE;
}

void
mp_barrier_site_clear (MpBarrierSite *self)
{
  self->shared = NULL;
  mp_block_clear (&self->block);
}
