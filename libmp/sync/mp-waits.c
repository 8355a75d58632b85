/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-waits-private.h"

#include <limits.h>

#include "../base/mp-clock-private.h"
#include "../base/mp-error.h"
#include "../base/mp-futex-private.h"
#include "../base/mp-micro-lock-private.h"

/* Where asynchronous operations of many objects stop, so that there is always
 * room for sleeping threads. */
#define N_ASYNC (MP_ARENA_N_WAITS / 2)
/* How many entries are looked at for one that a dead process left. */
#define N_PROBES 16
/* For how long who was seen alive counts as alive, and of how many that is known. */
#define SEEN_US (10 * 1000)
#define N_SEEN 8

/* Who is sleeping */

/* An entry is whole when its generation, which is never 0, is set: last when it
 * is made, and taken away first. */
static void
fill (MpArenaWait *wait, const MpBlock *block, uint32_t thread)
{
  atomic_store_explicit (&wait->thread, thread, memory_order_relaxed);
  atomic_store_explicit (&wait->slot, block->slot, memory_order_relaxed);
  atomic_store_explicit (&wait->since, g_get_monotonic_time (), memory_order_relaxed);
  atomic_store_explicit (&wait->generation, block->generation, memory_order_release);
}

static gboolean
claim (MpArenaWait *wait, uint32_t expected, uint32_t me)
{
  return atomic_load_explicit (&wait->participant, memory_order_relaxed) == expected &&
         atomic_compare_exchange_strong (&wait->participant, &expected, me);
}

static MpArenaWait *
claim_of_dead (MpArena *arena, guint start, guint limit, uint32_t me)
{
  MpParticipants *participants = mp_arena_get_participants (arena);
  MpArenaWait *waits = mp_arena_get_waits (arena);

  for (guint i = 0; i < N_PROBES; i++)
    {
      MpArenaWait *wait = &waits[(start + i) % limit];
      uint32_t owner = atomic_load_explicit (&wait->participant, memory_order_relaxed);

      if (owner != MP_PARTICIPANT_NONE && !mp_participants_is_alive (participants, owner) &&
          claim (wait, owner, me))
        {
          atomic_store_explicit (&wait->generation, 0, memory_order_relaxed);
          return wait;
        }
    }
  return NULL;
}

static MpArenaWait *
enter (const MpBlock *block, uint32_t thread, guint start, guint limit)
{
  MpArenaWait *waits = mp_arena_get_waits (block->arena);
  MpArenaWait *wait;
  uint32_t me = mp_participants_get_self_word (mp_arena_get_participants (block->arena));

  if (me == MP_PARTICIPANT_NONE)
    return NULL;
  for (guint i = 0; i < limit; i++)
    {
      wait = &waits[(start + i) % limit];
      if (claim (wait, 0, me))
        {
          fill (wait, block, thread);
          return wait;
        }
    }
  wait = claim_of_dead (block->arena, start, limit, me);
  if (wait != NULL)
    fill (wait, block, thread);
  return wait;
}

MpArenaWait *
mp_waits_enter (const MpBlock *block)
{
  if (G_UNLIKELY (mp_micro_lock_thread.tid == 0))
    mp_micro_lock_setup_thread ();
  return enter (block,
                mp_micro_lock_thread.tid,
                mp_micro_lock_thread.tid % MP_ARENA_N_WAITS,
                MP_ARENA_N_WAITS);
}

MpArenaWait *
mp_waits_enter_async (const MpBlock *block)
{
  return enter (block, MP_WAITS_ASYNC, block->slot % N_ASYNC, N_ASYNC);
}

void
mp_waits_set_async (MpArenaWait *wait, guint n)
{
  if (wait != NULL)
    atomic_store_explicit (&wait->thread, MP_WAITS_ASYNC | n, memory_order_relaxed);
}

void
mp_waits_leave (MpArenaWait *wait)
{
  if (wait == NULL)
    return;
  atomic_store_explicit (&wait->generation, 0, memory_order_relaxed);
  atomic_store_explicit (&wait->participant, MP_PARTICIPANT_NONE, memory_order_release);
}

guint
mp_waits_count (const MpBlock *block, guint n_async)
{
  MpParticipants *participants = mp_arena_get_participants (block->arena);
  MpArenaWait *waits = mp_arena_get_waits (block->arena);
  uint32_t me = mp_participants_get_self_word (participants), asked = MP_PARTICIPANT_NONE;
  gboolean alive = FALSE;
  guint64 n = n_async;

  for (guint i = 0; i < MP_ARENA_N_WAITS; i++)
    {
      uint32_t owner = atomic_load_explicit (&waits[i].participant, memory_order_relaxed);
      uint32_t thread = atomic_load_explicit (&waits[i].thread, memory_order_relaxed);
      gboolean async = (thread & MP_WAITS_ASYNC) != 0;

      if (owner == MP_PARTICIPANT_NONE || (async && owner == me) ||
          atomic_load_explicit (&waits[i].generation, memory_order_acquire) != block->generation ||
          atomic_load_explicit (&waits[i].slot, memory_order_relaxed) != block->slot)
        continue;
      if (owner != asked)
        alive = mp_participants_is_alive (participants, owner);
      asked = owner;
      if (alive)
        n += async ? thread & ~MP_WAITS_ASYNC : 1;
    }
  return (guint) MIN (n, G_MAXUINT);
}

/* Who is alive */

typedef struct
{
  MpParticipants *participants;
  uint32_t word;
  gint64 at;
} Seen;

static _Thread_local Seen lately[N_SEEN];

gboolean
mp_waits_has_died (MpArena *arena, uint32_t participant, gboolean again)
{
  MpParticipants *participants = mp_arena_get_participants (arena);
  Seen *seen = &lately[participant % N_SEEN];
  gint64 now = g_get_monotonic_time ();

  if (!again && seen->word == participant && seen->participants == participants &&
      now - seen->at < SEEN_US)
    return FALSE;
  if (!mp_participants_is_alive (participants, participant))
    return TRUE;
  *seen = (Seen){ .participants = participants, .word = participant, .at = now };
  return FALSE;
}

/* Sleeping */

static void
on_cancelled (GCancellable *cancellable, gpointer user_data)
{
  /* The word stays what it is: a thread that is just about to sleep misses this,
   * and sees it after a slice. */
  mp_futex_wake (user_data, INT_MAX, TRUE);
}

static void
begin (MpSyncSleep *self)
{
  self->slept = TRUE;
  self->turn_end = g_get_monotonic_time () + MP_WAITS_TURN_US;
  if (!self->brief)
    self->wait = mp_waits_enter (self->block);
  if (self->cancellable != NULL)
    self->handler = g_cancellable_connect (self->cancellable,
                                           G_CALLBACK (on_cancelled),
                                           (gpointer) self->word,
                                           NULL);
}

MpWaitResult
mp_sync_sleep (MpSyncSleep *self, uint32_t expected)
{
  gint64 now = g_get_monotonic_time ();
  gint64 end = now + MP_WAITS_SLICE_US;
  gboolean last = self->deadline != MP_DEADLINE_NEVER && self->deadline <= end;

  self->woken = FALSE;
  self->idle = FALSE;
  if (g_cancellable_is_cancelled (self->cancellable))
    return MP_WAIT_RESULT_INTERRUPTED;
  if (mp_deadline_left (self->deadline) == 0)
    return MP_WAIT_RESULT_TIMED_OUT;
  if (!self->slept)
    begin (self);
  else if (self->interruptible && now >= self->turn_end)
    return MP_WAIT_RESULT_INTERRUPTED;
  switch (mp_futex_wait (self->word, expected, last ? self->deadline : end, TRUE))
    {
    case MP_FUTEX_WOKEN:
      self->woken = TRUE;
      return MP_WAIT_RESULT_DONE;
    case MP_FUTEX_TIMED_OUT:
      self->idle = TRUE;
      if (self->wait == NULL)
        self->wait = mp_waits_enter (self->block);
      return last ? MP_WAIT_RESULT_TIMED_OUT : MP_WAIT_RESULT_DONE;
    case MP_FUTEX_INTERRUPTED:
      return self->interruptible ? MP_WAIT_RESULT_INTERRUPTED : MP_WAIT_RESULT_DONE;
    case MP_FUTEX_CHANGED:
    default:
      return MP_WAIT_RESULT_DONE;
    }
}

void
mp_sync_sleep_end (MpSyncSleep *self)
{
  if (!self->slept)
    return;
  mp_waits_leave (self->wait);
  g_cancellable_disconnect (self->cancellable, self->handler);
}

gboolean
mp_sync_set_error (GError **error,
                   MpWaitResult result,
                   GCancellable *cancellable,
                   const MpBlock *block,
                   const char *what)
{
  switch (result)
    {
    case MP_WAIT_RESULT_INTERRUPTED:
      g_cancellable_set_error_if_cancelled (cancellable, error);
      break;
    case MP_WAIT_RESULT_TIMED_OUT:
      g_set_error (error, MP_ERROR, MP_ERROR_TIMED_OUT, "%s in time", what);
      break;
    case MP_WAIT_RESULT_DONE:
    case MP_WAIT_RESULT_BROKEN:
    case MP_WAIT_RESULT_FAILED:
    default:
      if (mp_participants_get_self (mp_arena_get_participants (block->arena), error) !=
          MP_PARTICIPANT_NONE)
        g_set_error (error, MP_ERROR, MP_ERROR_FAILED, "%s", what);
      break;
    }
  return FALSE;
}
