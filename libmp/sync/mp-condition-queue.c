/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Each waiter has a slot and sleeps on the word in it. The word names the
 * participant, so that a dead one is known for what it is:
 *
 *   0 --> ASIDE --> WAITING --> NOTIFIED --> 0
 *                      `-------------------> 0      out of time, or cancelled
 *
 * Whoever notifies takes those with the lowest tickets from WAITING to NOTIFIED by
 * compare-and-exchange, and the same decides whether somebody who gives up was
 * notified in that moment. The dead are passed over, and their slots freed.
 * Nobody waits for anybody else.
 *
 * Entering and notifying is done under the user's lock. Nothing breaks where that
 * is not so, as when somebody else released it: then only the order is not exact.
 *
 * A slot stays NOTIFIED until its waiter has the lock again. If it is killed before,
 * its notification would be lost although there were others who could have used it:
 * so they look, when a slice of their sleep is over, and the first that waited
 * already at that time gets it. To do that, the finder takes over the dead one's
 * slot; if it is killed, too, there is again a dead one with a notification. */

#include "mp-condition-queue-private.h"

#include <stdlib.h>

#include "mp-error.h"
#include "mp-waits-private.h"

#include "../base/mp-clock-private.h"
#include "../base/mp-futex-private.h"

#define WAITING 0x40000000u
#define NOTIFIED 0x80000000u
#define ASIDE (WAITING | NOTIFIED)

G_STATIC_ASSERT ((MP_PARTICIPANT_MASK & ASIDE) == 0);

static MpConditionShared *
get_shared (const MpBlock *block)
{
  return block->memory;
}

static gboolean
is_alive (const MpBlock *block, uint32_t state)
{
  return mp_participants_is_alive (mp_arena_get_participants (block->arena),
                                   state & MP_PARTICIPANT_MASK);
}

static guint
get_n_used (MpConditionShared *shared)
{
  return MIN (atomic_load (&shared->n_used), MP_CONDITION_MAX_WAITERS);
}

/* Takes @slot from @state to nobody. */
static gboolean
free_slot (MpConditionSlot *slot, uint32_t state)
{
  return atomic_compare_exchange_strong (&slot->state, &state, 0);
}

/* Entering */

/* Whether nobody has it, or one who died when it had just claimed it. */
static gboolean
is_free (const MpBlock *block, uint32_t state)
{
  return state == 0 || ((state & ASIDE) == ASIDE && !is_alive (block, state));
}

static MpConditionSlot *
claim_slot (const MpBlock *block, uint32_t me)
{
  MpConditionShared *shared = get_shared (block);
  guint n_used = get_n_used (shared);

  for (guint i = 0; i < MP_CONDITION_MAX_WAITERS; i++)
    {
      MpConditionSlot *slot = &shared->slots[i];
      uint32_t state;

      /* Before the slot is in use, so that whoever notifies looks at it. */
      while (n_used <= i && !atomic_compare_exchange_weak (&shared->n_used, &n_used, i + 1))
        ;
      state = atomic_load (&slot->state);
      if (is_free (block, state) &&
          atomic_compare_exchange_strong (&slot->state, &state, me | ASIDE))
        return slot;
    }
  return NULL;
}

static void
free_dead_slots (const MpBlock *block)
{
  MpConditionShared *shared = get_shared (block);
  guint n_used = get_n_used (shared);

  for (guint i = 0; i < n_used; i++)
    {
      uint32_t state = atomic_load (&shared->slots[i].state);

      /* A notification of theirs goes with them: there is no other way to have room. */
      if (state != 0 && !is_alive (block, state))
        free_slot (&shared->slots[i], state);
    }
}

gboolean
mp_condition_queue_enter (const MpBlock *block, MpConditionWaiter *waiter, GError **error)
{
  MpConditionShared *shared = get_shared (block);
  uint32_t me = mp_participants_get_self (mp_arena_get_participants (block->arena), error);

  if (me == MP_PARTICIPANT_NONE)
    return FALSE;
  *waiter = (MpConditionWaiter){ .block = block, .me = me };
  waiter->slot = claim_slot (block, me);
  if (waiter->slot == NULL)
    {
      free_dead_slots (block);
      waiter->slot = claim_slot (block, me);
    }
  if (waiter->slot == NULL)
    {
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_LIMIT,
                   "More than %d cannot wait for one condition",
                   MP_CONDITION_MAX_WAITERS);
      return FALSE;
    }
  atomic_store_explicit (&waiter->slot->ticket,
                         atomic_fetch_add (&shared->next_ticket, 1),
                         memory_order_relaxed);
  atomic_store (&waiter->slot->state, me | WAITING);
  return TRUE;
}

/* Notifying */

typedef struct
{
  MpConditionSlot *slot;
  uint32_t state;
  uint32_t age; /* how many came since */
} Candidate;

/* FALSE if it is no longer what it was. */
static gboolean
notify_slot (const MpBlock *block, const Candidate *candidate, uint32_t limit)
{
  uint32_t state = candidate->state;

  if (!is_alive (block, state))
    {
      free_slot (candidate->slot, state);
      return FALSE;
    }
  /* Is of no meaning if the exchange fails. */
  atomic_store (&candidate->slot->limit, limit);
  if (!atomic_compare_exchange_strong (&candidate->slot->state,
                                       &state,
                                       (state & MP_PARTICIPANT_MASK) | NOTIFIED))
    return FALSE;
  mp_futex_wake (&candidate->slot->state, 1, TRUE);
  return TRUE;
}

/* Whether slot @i is of one that waits, and came before @limit. */
static gboolean
read_candidate (MpConditionShared *shared, guint i, uint32_t limit, Candidate *candidate)
{
  uint32_t state = atomic_load (&shared->slots[i].state);
  uint32_t age;

  if ((state & ASIDE) != WAITING)
    return FALSE;
  /* Half of all numbers is before a limit, and half after. */
  age = limit - 1 - atomic_load_explicit (&shared->slots[i].ticket, memory_order_relaxed);
  if (age > G_MAXINT32)
    return FALSE;
  *candidate = (Candidate){ .slot = &shared->slots[i], .state = state, .age = age };
  return TRUE;
}

static void
notify_one (const MpBlock *block, uint32_t limit)
{
  MpConditionShared *shared = get_shared (block);
  Candidate oldest, candidate;

  do
    {
      guint n_used = get_n_used (shared);

      oldest.slot = NULL;
      for (guint i = 0; i < n_used; i++)
        {
          if (read_candidate (shared, i, limit, &candidate) &&
              (oldest.slot == NULL || candidate.age > oldest.age))
            oldest = candidate;
        }
    }
  while (oldest.slot != NULL && !notify_slot (block, &oldest, limit));
}

static int
compare_candidates (gconstpointer a, gconstpointer b)
{
  const Candidate *x = a, *y = b;

  return x->age > y->age ? -1 : x->age < y->age;
}

/* Returns how many of at most @n were notified. */
static guint
notify_many (const MpBlock *block, guint n, uint32_t limit)
{
  MpConditionShared *shared = get_shared (block);
  Candidate candidates[MP_CONDITION_MAX_WAITERS];
  guint n_used = get_n_used (shared), n_candidates = 0, n_done = 0;

  for (guint i = 0; i < n_used; i++)
    {
      if (read_candidate (shared, i, limit, &candidates[n_candidates]))
        n_candidates++;
    }
  qsort (candidates, n_candidates, sizeof *candidates, compare_candidates);
  for (guint i = 0; i < n_candidates && n_done < n; i++)
    n_done += notify_slot (block, &candidates[i], limit);
  return n_done;
}

void
mp_condition_queue_notify (const MpBlock *block, guint n)
{
  uint32_t limit = atomic_load (&get_shared (block)->next_ticket);

  if (n == 1)
    notify_one (block, limit);
  else if (n > 1)
    notify_many (block, n, limit);
}

/* Gives the notifications of those who died before they had the lock to others. */
static void
hand_on (const MpBlock *block, uint32_t me)
{
  MpConditionShared *shared = get_shared (block);
  guint n_used = get_n_used (shared);
  uint32_t known = me; /* to live */

  for (guint i = 0; i < n_used; i++)
    {
      MpConditionSlot *slot = &shared->slots[i];
      uint32_t state = atomic_load (&slot->state);

      if ((state & ASIDE) != NOTIFIED || (state & MP_PARTICIPANT_MASK) == known)
        continue;
      if (is_alive (block, state))
        known = state & MP_PARTICIPANT_MASK;
      else if (atomic_compare_exchange_strong (&slot->state, &state, me | NOTIFIED))
        {
          notify_one (block, atomic_load (&slot->limit));
          free_slot (slot, me | NOTIFIED);
        }
    }
}

/* Sleeping */

/* How it ended for one who gives up. */
MpWaitResult
mp_condition_queue_give_up (MpConditionWaiter *waiter, MpWaitResult result)
{
  return free_slot (waiter->slot, waiter->me | WAITING) ? result : MP_WAIT_RESULT_DONE;
}

MpWaitResult
mp_condition_queue_sleep (MpConditionWaiter *waiter,
                          gint64 deadline,
                          GCancellable *cancellable,
                          gboolean interruptible)
{
  uint32_t waiting = waiter->me | WAITING;
  MpWaitResult result = MP_WAIT_RESULT_DONE;
  MpSyncSleep sleep = { .block = waiter->block,
                        .word = &waiter->slot->state,
                        .deadline = deadline,
                        .cancellable = cancellable,
                        .interruptible = interruptible };

  while (result == MP_WAIT_RESULT_DONE && atomic_load (&waiter->slot->state) == waiting)
    {
      if (sleep.idle)
        hand_on (waiter->block, waiter->me);
      result = mp_sync_sleep (&sleep, waiting);
    }
  mp_sync_sleep_end (&sleep);
  if (result == MP_WAIT_RESULT_DONE || (interruptible && result == MP_WAIT_RESULT_INTERRUPTED))
    return result;
  return mp_condition_queue_give_up (waiter, result);
}

void
mp_condition_queue_leave (MpConditionWaiter *waiter)
{
  free_slot (waiter->slot, waiter->me | NOTIFIED);
}

guint
mp_condition_queue_count (const MpBlock *block)
{
  MpConditionShared *shared = get_shared (block);
  guint n_used = get_n_used (shared), n = 0;

  for (guint i = 0; i < n_used; i++)
    {
      uint32_t state = atomic_load (&shared->slots[i].state);

      if ((state & ASIDE) != WAITING)
        continue;
      if (is_alive (block, state))
        n++;
      else
        free_slot (&shared->slots[i], state);
    }
  return n;
}
