/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* A lock is a word: 0 when it is free, or else the holder's participant word with
 * two flags. Taking it is a compare-and-exchange from 0, freeing it an exchange
 * with 0, by whomever.
 *
 * Who finds it taken spins for as long as that has paid lately in this process.
 * Then it sets WAITERS and sleeps on the word. Whoever frees a word with WAITERS
 * wakes one sleeper, which takes it with WAITERS set, since it does not know who
 * else sleeps; it may find that somebody barged in, and sleeps again. Asynchronous
 * operations set the armed flag, then WAITERS; with WAITERS the one who frees it
 * looks at that flag, too.
 *
 * A sleeper looks at the holder before it sleeps and after each slice. If the
 * holder has died it exchanges precisely that word for its own with ABANDONED, in
 * which exactly one succeeds; the generation in the word makes that safe against a
 * word that has come back. Sleepers whose waker was killed, or who was woken and
 * killed before it could set WAITERS again, see it after a slice as well. */

#include "mp-lock-word-private.h"

#include <limits.h>

#include "mp-sync-waiter-private.h"
#include "mp-waits-private.h"

#include "../base/mp-clock-private.h"

#define HANDLE_VERSION 1

#define FLAGS (MP_LOCK_WORD_ABANDONED | MP_LOCK_WORD_WAITERS)
/* Spinning: pauses of the processor, of which the most are what this time has. */
#define SPIN_US 5
#define MIN_SPINS 4
#define MAX_PAUSE 64
/* How often a process in which spinning does not pay tries again. */
#define SPIN_AGAIN 32

static _Atomic uint32_t spins;
static _Atomic uint32_t naps;

/* How many pauses are SPIN_US; measured once, several times, since this thread may
 * be interrupted. */
static uint32_t
get_max_spins (void)
{
  static _Atomic uint32_t known;
  uint32_t max = atomic_load_explicit (&known, memory_order_relaxed);
  gint64 best = 1000;

  if (G_LIKELY (max != 0))
    return max;
  for (int i = 0; i < 3; i++)
    {
      gint64 start = g_get_monotonic_time ();

      for (int j = 0; j < 500; j++)
        mp_micro_lock_relax ();
      best = MIN (best, g_get_monotonic_time () - start);
    }
  max = (uint32_t) (SPIN_US * 500 / MAX (best, 1));
  atomic_store_explicit (&known, max, memory_order_relaxed);
  atomic_store_explicit (&spins, max, memory_order_relaxed);
  return max;
}

/* Looks less and less often, so that the holder's work on the cache line that it
 * shares with us is not slowed down. @mine: as the word is to be. */
static gboolean
spin (_Atomic uint32_t *word, uint32_t mine)
{
  uint32_t max, budget, limit, pause = 1;

  if (!mp_micro_lock_may_spin ())
    return FALSE;
  max = get_max_spins ();
  budget = limit = atomic_load_explicit (&spins, memory_order_relaxed);
  if (budget <= MIN_SPINS &&
      atomic_fetch_add_explicit (&naps, 1, memory_order_relaxed) % SPIN_AGAIN == 0)
    limit = max;
  for (uint32_t spun = 0; spun < limit; spun += pause)
    {
      pause = MIN (2 * pause, MAX_PAUSE);
      for (uint32_t i = 0; i < pause; i++)
        mp_micro_lock_relax ();
      if (atomic_load_explicit (word, memory_order_relaxed) == 0 && mp_lock_word_try (word, mine))
        {
          atomic_store_explicit (&spins,
                                 MIN (MAX (budget, 2 * spun) + MIN_SPINS, max),
                                 memory_order_relaxed);
          return TRUE;
        }
    }
  atomic_store_explicit (&spins, MAX (budget - budget / 8, MIN_SPINS), memory_order_relaxed);
  return FALSE;
}

/* Takes the word if it is free, or if its holder has died. */
static gboolean
take (MpLockSite *self, uint32_t seen, uint32_t mine, gboolean again)
{
  if (mp_lock_word_is_free (seen))
    mine |= seen & MP_LOCK_WORD_WAITERS;
  else if (mp_waits_has_died (self->block.arena, seen & ~FLAGS, again))
    mine |= FLAGS;
  else
    return FALSE;
  return atomic_compare_exchange_strong (&self->shared->word, &seen, mine);
}

/* Sees to it that the one who frees it wakes. FALSE: it is no longer @seen. */
static gboolean
announce (MpLockSite *self, uint32_t seen)
{
  return (seen & MP_LOCK_WORD_WAITERS) != 0 ||
         atomic_compare_exchange_strong (&self->shared->word, &seen, seen | MP_LOCK_WORD_WAITERS);
}

static MpWaitResult
sleep_until_taken (MpLockSite *self, uint32_t mine, MpSyncSleep *sleep)
{
  MpWaitResult result = MP_WAIT_RESULT_DONE;
  gboolean again = FALSE;

  for (;;)
    {
      uint32_t seen = atomic_load (&self->shared->word);

      if (take (self, seen, mine, again))
        return MP_WAIT_RESULT_DONE;
      if (result != MP_WAIT_RESULT_DONE)
        return result;
      if (mp_lock_word_is_free (seen))
        continue;
      if (sleep->deadline == MP_DEADLINE_NOW)
        return MP_WAIT_RESULT_TIMED_OUT;
      if (!announce (self, seen))
        continue;
      /* Who is woken and gives up comes by here first: others will be woken, too. */
      result = mp_sync_sleep (sleep, seen | MP_LOCK_WORD_WAITERS);
      if (result == MP_WAIT_RESULT_INTERRUPTED)
        return result;
      again = sleep->idle;
      mine |= MP_LOCK_WORD_WAITERS;
      if (sleep->woken && spin (&self->shared->word, mine))
        return MP_WAIT_RESULT_DONE;
    }
}

MpWaitResult
mp_lock_site_acquire_slow (MpLockSite *self,
                           gint64 deadline,
                           GCancellable *cancellable,
                           gboolean interruptible)
{
  uint32_t me = mp_participants_get_self (self->participants, NULL);
  MpSyncSleep sleep = { .block = &self->block,
                        .word = &self->shared->word,
                        .deadline = deadline,
                        .cancellable = cancellable,
                        .interruptible = interruptible };
  MpWaitResult result;

  if (G_UNLIKELY (me == MP_PARTICIPANT_NONE))
    return MP_WAIT_RESULT_FAILED;
  if (deadline != MP_DEADLINE_NOW && spin (&self->shared->word, me))
    result = MP_WAIT_RESULT_DONE;
  else
    result = sleep_until_taken (self, me, &sleep);
  if (result == MP_WAIT_RESULT_DONE)
    mp_lock_site_note_thread (self);
  mp_sync_sleep_end (&sleep);
  return result;
}

gboolean
mp_lock_site_is_abandoned (MpLockSite *self)
{
  uint32_t seen = atomic_load_explicit (&self->shared->word, memory_order_relaxed);

  return !mp_lock_word_is_free (seen) && (seen & MP_LOCK_WORD_ABANDONED) != 0;
}

MpWaitResult
mp_lock_site_try_or_arm (MpLockSite *self)
{
  uint32_t me = mp_participants_get_self_word (self->participants);

  if (G_UNLIKELY (me == MP_PARTICIPANT_NONE))
    return MP_WAIT_RESULT_FAILED;
  for (;;)
    {
      uint32_t seen = atomic_load (&self->shared->word);

      if (take (self, seen, me, FALSE))
        {
          /* By no thread. */
          atomic_store_explicit (&self->shared->thread, 0, memory_order_relaxed);
          return MP_WAIT_RESULT_DONE;
        }
      if (mp_lock_word_is_free (seen))
        continue;
      /* Before WAITERS, which makes the one who frees it look at it. If that is there
       * already, this is the look that tells whether the word is still the same: who
       * freed it before armed was set has not rung. */
      atomic_store (&self->shared->armed, 1);
      if (atomic_compare_exchange_strong (&self->shared->word, &seen, seen | MP_LOCK_WORD_WAITERS))
        return MP_WAIT_RESULT_TIMED_OUT;
    }
}

void
mp_lock_site_wake (MpLockSite *self)
{
  mp_futex_wake (&self->shared->word, 1, TRUE);
  if (atomic_load (&self->shared->armed) != 0 && atomic_exchange (&self->shared->armed, 0) != 0)
    mp_sync_ring (self->block.arena);
}

guint
mp_lock_site_get_holder_pid (MpLockSite *self)
{
  uint32_t holder = mp_lock_shared_get_holder (self->shared);

  return holder != MP_PARTICIPANT_NONE ? mp_participants_get_pid (self->participants, holder) : 0;
}

guint
mp_lock_site_get_holder_thread (MpLockSite *self)
{
  guint32 thread;

  return mp_lock_get_holder (self->shared, &thread) != MP_PARTICIPANT_NONE ? thread : 0;
}

void
mp_lock_describe (gpointer memory, gsize size, GString *text)
{
  MpLockShared *shared = memory;
  uint32_t seen = atomic_load_explicit (&shared->word, memory_order_relaxed);

  if (mp_lock_word_is_free (seen))
    g_string_append (text, "free");
  else
    g_string_append (text, (seen & MP_LOCK_WORD_ABANDONED) != 0 ? "held (abandoned)" : "held");
}

guint32
mp_lock_get_holder (gpointer memory, guint32 *thread)
{
  MpLockShared *shared = memory;

  *thread = atomic_load_explicit (&shared->thread, memory_order_relaxed);
  return mp_lock_shared_get_holder (shared);
}

/* Beginning and end */

gboolean
mp_lock_site_init (MpLockSite *self, guint32 kind, GError **error)
{
  g_autoptr (MpArena) arena = mp_arena_ref_default (error);

  if (arena == NULL || !mp_block_new (&self->block, arena, kind, sizeof (MpLockShared), error))
    return FALSE;
  self->shared = self->block.memory;
  self->participants = mp_arena_get_participants (self->block.arena);
  return TRUE;
}

gboolean
mp_lock_site_import (MpLockSite *self,
                     const char *name,
                     guint32 kind,
                     GVariant *handle,
                     GUnixFDList *fd_list,
                     GError **error)
{
  if (!mp_block_from_handle (&self->block,
                             name,
                             HANDLE_VERSION,
                             kind,
                             sizeof (MpLockShared),
                             handle,
                             fd_list,
                             error))
    return FALSE;
  self->shared = self->block.memory;
  self->participants = mp_arena_get_participants (self->block.arena);
  return TRUE;
}

GVariant *
mp_lock_site_to_handle (MpLockSite *self, const char *name, GUnixFDList *fd_list, GError **error)
{
  return mp_block_to_handle (&self->block, name, HANDLE_VERSION, NULL, fd_list, error);
}

void
mp_lock_site_clear (MpLockSite *self)
{
  self->shared = NULL;
  mp_block_clear (&self->block);
}
