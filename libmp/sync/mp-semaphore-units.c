/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* A semaphore is a word with the number of free units. Who finds none sets WAITERS
 * in it and sleeps on it; who adds units takes WAITERS away and wakes as many; who
 * was woken sets it again with what it takes, since others may still sleep.
 *
 * One that recovers has a ledger, too: how many units which participant has. It
 * and all changes of the number are under a micro-lock. The ledger and the total
 * are the truth, and the number of free units is their difference, computed anew
 * when somebody died in the middle of a change. Whoever finds no unit looks for
 * participants that have died and takes theirs back.
 *
 * Who is killed between adding units and waking leaves sleepers that see it after
 * a slice. */

#include "mp-semaphore-units-private.h"

#include <limits.h>

#include "mp-sync-waiter-private.h"
#include "mp-waits-private.h"

#include "../base/mp-clock-private.h"
#include "../base/mp-error.h"
#include "../base/mp-futex-private.h"

#define HANDLE_VERSION 1
#define ALL_FLAGS (MP_SEMAPHORE_BOUNDED | MP_SEMAPHORE_RECOVER)

/* A participant's index plus one stands in these bits of its word. */
#define INDEX_MASK 0xfffu
/* How many dead ones are dealt with in one go. */
#define N_DEAD 16

static void
wake (MpUnits *self, guint n)
{
  mp_futex_wake (&self->shared->units, (int) MIN (n, INT_MAX), TRUE);
  if (atomic_load (&self->shared->armed) != 0 && atomic_exchange (&self->shared->armed, 0) != 0)
    mp_sync_ring (self->block.arena);
}

/* The ledger, with the lock held */

static guint32
entry_owner (guint64 entry)
{
  return (guint32) (entry >> 32);
}

static guint32
entry_units (guint64 entry)
{
  return (guint32) entry;
}

/* Makes @n the number of free units; returns whether somebody waits, who is to be
 * woken then if @adding. Only whoever has the lock changes the word, also to wait. */
static gboolean
set_free (MpUnits *self, guint64 n, gboolean adding, uint32_t mark)
{
  uint32_t seen = atomic_load_explicit (&self->shared->units, memory_order_relaxed);
  uint32_t count = (uint32_t) MIN (n, MP_UNITS_MAX);

  if (!adding)
    mark |= seen & MP_UNITS_WAITERS;
  atomic_store_explicit (&self->shared->units, count | mark, memory_order_release);
  return (seen & MP_UNITS_WAITERS) != 0;
}

static guint64
get_entry (const _Atomic uint64_t *entry)
{
  return atomic_load_explicit (entry, memory_order_relaxed);
}

/* What was written before is seen before it, by whomever comes after a death. */
static void
set_entry (_Atomic uint64_t *entry, guint32 owner, guint32 units)
{
  atomic_store_explicit (entry, (guint64) owner << 32 | units, memory_order_release);
}

/* What ledger and total say. Neither is trusted. */
static guint64
compute_free (MpUnits *self)
{
  guint64 total = atomic_load (&self->shared->total);

  for (guint i = 0; i < MP_ARENA_MAX_PARTICIPANTS; i++)
    {
      guint32 units = entry_units (get_entry (&self->shared->ledger[i]));

      if (units > total)
        return 0;
      total -= units;
    }
  return total;
}

/* The place of @me, cleared of what a dead one with the same index left. */
static _Atomic uint64_t *
find_entry (MpUnits *self, guint32 me)
{
  guint index = (me & INDEX_MASK) - 1;
  _Atomic uint64_t *entry;
  guint64 seen;

  if (index >= MP_ARENA_MAX_PARTICIPANTS)
    return NULL;
  entry = &self->shared->ledger[index];
  seen = get_entry (entry);
  if (G_UNLIKELY (entry_owner (seen) != me))
    {
      set_entry (entry, me, 0);
      if (entry_units (seen) > 0)
        set_free (self, compute_free (self), FALSE, 0);
    }
  return entry;
}

static void
unlock (MpUnits *self)
{
  mp_micro_lock_release (&self->shared->lock);
}

/* MP_WAIT_RESULT_DONE: the lock is held, and the number of free units is right. */
static MpWaitResult
lock (MpUnits *self, gint64 deadline, GCancellable *cancellable, gboolean interruptible)
{
  for (;;)
    {
      gint64 end = deadline;

      if (!mp_micro_lock_try (&self->shared->lock))
        {
          if (deadline != MP_DEADLINE_NOW)
            end = g_get_monotonic_time () + MP_WAITS_SLICE_US;
          if (deadline > 0)
            end = MIN (end, deadline);
          switch (mp_micro_lock_acquire_slow (&self->shared->lock, end))
            {
            case MP_MICRO_LOCK_OWNER_DIED:
              set_free (self, compute_free (self), FALSE, 0);
              break;
            case MP_MICRO_LOCK_TIMED_OUT:
              if (mp_deadline_left (deadline) == 0)
                return MP_WAIT_RESULT_TIMED_OUT;
              if (interruptible || g_cancellable_is_cancelled (cancellable))
                return MP_WAIT_RESULT_INTERRUPTED;
              continue;
            case MP_MICRO_LOCK_INTERRUPTED:
              if (interruptible)
                return MP_WAIT_RESULT_INTERRUPTED;
              continue;
            case MP_MICRO_LOCK_ACQUIRED:
            default:
              break;
            }
        }
      return MP_WAIT_RESULT_DONE;
    }
}

/* Takes one. MP_WAIT_RESULT_BROKEN: there is none. */
static MpWaitResult
take_listed (MpUnits *self,
             uint32_t mark,
             gint64 deadline,
             GCancellable *cancellable,
             gboolean interruptible)
{
  guint32 me = mp_participants_get_self_word (self->participants);
  MpWaitResult result;
  _Atomic uint64_t *entry;
  guint32 count, mine;

  if (G_UNLIKELY (me == MP_PARTICIPANT_NONE))
    return MP_WAIT_RESULT_FAILED;
  result = lock (self, deadline, cancellable, interruptible);
  if (result != MP_WAIT_RESULT_DONE)
    return result;
  entry = find_entry (self, me);
  count = atomic_load_explicit (&self->shared->units, memory_order_relaxed) & MP_UNITS_MAX;
  mine = entry != NULL ? entry_units (get_entry (entry)) : 0;
  if (entry == NULL)
    result = MP_WAIT_RESULT_FAILED;
  else if (count == 0)
    result = MP_WAIT_RESULT_BROKEN;
  /* Nobody has so many, but somebody may have written it. */
  else if (mine == G_MAXUINT32)
    result = MP_WAIT_RESULT_FAILED;
  else
    {
      /* The first is what counts. */
      set_entry (entry, me, mine + 1);
      set_free (self, count - 1, FALSE, mark);
    }
  unlock (self);
  return result;
}

gboolean
mp_units_take_quickly (MpUnits *self)
{
  guint32 me = mp_participants_get_self_word (self->participants);
  guint index = (me & INDEX_MASK) - 1;
  guint64 entry;
  uint32_t units;
  gboolean taken = FALSE;

  if (index >= MP_ARENA_MAX_PARTICIPANTS)
    return FALSE;
  if (!mp_micro_lock_try (&self->shared->lock))
    {
      mp_micro_lock_forget ();
      return FALSE;
    }
  units = atomic_load_explicit (&self->shared->units, memory_order_relaxed);
  entry = get_entry (&self->shared->ledger[index]);
  if ((units & MP_UNITS_MAX) > 0 && entry_owner (entry) == me && entry_units (entry) < MP_UNITS_MAX)
    {
      set_entry (&self->shared->ledger[index], me, entry_units (entry) + 1);
      atomic_store_explicit (&self->shared->units, units - 1, memory_order_release);
      taken = TRUE;
    }
  unlock (self);
  return taken;
}

/* Gives back what those have who died; returns whether there was anything. */
static gboolean
collect_from_dead (MpUnits *self, gboolean again)
{
  guint32 me = mp_participants_get_self_word (self->participants);
  guint64 dead[N_DEAD], n_free = 0;
  guint places[N_DEAD], n_dead = 0;
  gboolean found = FALSE, waiters = FALSE;

  for (guint i = 0; i < MP_ARENA_MAX_PARTICIPANTS && n_dead < N_DEAD; i++)
    {
      guint64 entry = get_entry (&self->shared->ledger[i]);

      if (entry_units (entry) == 0 || entry_owner (entry) == me ||
          !mp_waits_has_died (self->block.arena, entry_owner (entry), again))
        continue;
      places[n_dead] = i;
      dead[n_dead++] = entry;
    }
  if (n_dead == 0 || lock (self, MP_DEADLINE_NOW, NULL, FALSE) != MP_WAIT_RESULT_DONE)
    return FALSE;
  for (guint i = 0; i < n_dead; i++)
    {
      if (atomic_compare_exchange_strong (&self->shared->ledger[places[i]], &dead[i], 0))
        found = TRUE;
    }
  if (found)
    {
      n_free = compute_free (self);
      waiters = set_free (self, n_free, TRUE, 0);
    }
  unlock (self);
  if (waiters)
    wake (self, (guint) CLAMP (n_free, 1, MP_UNITS_MAX));
  return found;
}

/* Takes @n from whoever has some: what a semaphore with a bound needs when they
 * are released by somebody else. */
static void
take_off (MpUnits *self, guint32 n)
{
  for (guint i = 0; i < MP_ARENA_MAX_PARTICIPANTS && n > 0; i++)
    {
      guint64 entry = get_entry (&self->shared->ledger[i]);
      guint32 part = MIN (entry_units (entry), n);

      if (part > 0)
        set_entry (&self->shared->ledger[i], entry_owner (entry), entry_units (entry) - part);
      n -= part;
    }
}

/* Acquiring */

static MpWaitResult
take (MpUnits *self, uint32_t mark, const MpSyncSleep *sleep)
{
  MpWaitResult result;

  if ((self->flags & MP_SEMAPHORE_RECOVER) == 0)
    return mp_units_take_counted (self, mark) ? MP_WAIT_RESULT_DONE : MP_WAIT_RESULT_BROKEN;
  do
    result = take_listed (self, mark, sleep->deadline, sleep->cancellable, sleep->interruptible);
  while (result == MP_WAIT_RESULT_BROKEN && collect_from_dead (self, sleep->idle));
  return result;
}

/* Sees to it that whoever adds units wakes. FALSE: there are some, or it was too late
 * or too early to say. */
static gboolean
announce (MpUnits *self, const MpSyncSleep *sleep)
{
  gboolean listed = (self->flags & MP_SEMAPHORE_RECOVER) != 0, announced;
  uint32_t seen = 0;

  if (listed &&
      lock (self, sleep->deadline, sleep->cancellable, sleep->interruptible) != MP_WAIT_RESULT_DONE)
    return FALSE;
  announced = atomic_compare_exchange_strong (&self->shared->units, &seen, MP_UNITS_WAITERS) ||
              seen == MP_UNITS_WAITERS;
  if (listed)
    unlock (self);
  return announced;
}

MpWaitResult
mp_units_acquire_slow (MpUnits *self,
                       gint64 deadline,
                       GCancellable *cancellable,
                       gboolean interruptible)
{
  MpSyncSleep sleep = { .block = &self->block,
                        .word = &self->shared->units,
                        .deadline = deadline,
                        .cancellable = cancellable,
                        .interruptible = interruptible };
  MpWaitResult slept = MP_WAIT_RESULT_DONE, result;
  uint32_t mark = 0;

  /* In a forked child for which there was no place it looks for one. */
  mp_participants_get_self (self->participants, NULL);
  for (;;)
    {
      result = take (self, mark, &sleep);
      if (result != MP_WAIT_RESULT_BROKEN)
        break;
      result = slept;
      if (slept != MP_WAIT_RESULT_DONE)
        break;
      result = MP_WAIT_RESULT_TIMED_OUT;
      if (deadline == MP_DEADLINE_NOW)
        break;
      if (!announce (self, &sleep))
        continue;
      slept = mp_sync_sleep (&sleep, MP_UNITS_WAITERS);
      result = slept;
      if (slept == MP_WAIT_RESULT_INTERRUPTED)
        break;
      mark = MP_UNITS_WAITERS;
    }
  mp_sync_sleep_end (&sleep);
  return result;
}

MpWaitResult
mp_units_try_or_arm (MpUnits *self)
{
  static const MpSyncSleep now = { .deadline = MP_DEADLINE_NOW };

  for (;;)
    {
      MpWaitResult result;

      /* Before WAITERS, which makes whoever adds units look at it. */
      atomic_store (&self->shared->armed, 1);
      result = take (self, 0, &now);
      if (result != MP_WAIT_RESULT_BROKEN)
        return result;
      if (announce (self, &now))
        return MP_WAIT_RESULT_TIMED_OUT;
    }
}

guint
mp_units_get_free (MpUnits *self)
{
  if ((self->flags & MP_SEMAPHORE_RECOVER) != 0)
    {
      while (collect_from_dead (self, TRUE))
        ;
    }
  return atomic_load (&self->shared->units) & MP_UNITS_MAX;
}

/* Releasing */

static gboolean
fits (MpUnits *self, guint32 count, guint n, GError **error)
{
  gboolean bounded = (self->flags & MP_SEMAPHORE_BOUNDED) != 0;
  guint32 bound = bounded ? self->initial : MP_UNITS_MAX;

  if (count <= bound && n <= bound - count)
    return TRUE;
  g_set_error (error,
               MP_ERROR,
               MP_ERROR_LIMIT,
               bounded ? "The semaphore has %u units, and its bound is %u: %u more are too many"
                       : "The semaphore has %u units, and the most is %u: %u more are too many",
               count,
               bound,
               n);
  return FALSE;
}

static gboolean
release_counted (MpUnits *self, guint n, GError **error)
{
  uint32_t seen = atomic_load_explicit (&self->shared->units, memory_order_relaxed);

  do
    {
      if (G_UNLIKELY (!fits (self, seen & MP_UNITS_MAX, n, error)))
        return FALSE;
    }
  while (!atomic_compare_exchange_weak (&self->shared->units, &seen, (seen & MP_UNITS_MAX) + n));
  if (G_UNLIKELY ((seen & MP_UNITS_WAITERS) != 0))
    wake (self, n);
  return TRUE;
}

static gboolean
release_listed (MpUnits *self, guint n, GError **error)
{
  guint32 me = mp_participants_get_self (self->participants, error);
  _Atomic uint64_t *entry;
  gboolean waiters = FALSE, fitting;
  guint32 count, mine;

  if (me == MP_PARTICIPANT_NONE)
    return FALSE;
  lock (self, MP_DEADLINE_NEVER, NULL, FALSE);
  entry = find_entry (self, me);
  count = atomic_load (&self->shared->units) & MP_UNITS_MAX;
  fitting = fits (self, count, n, error);
  if (fitting)
    {
      mine = entry != NULL ? MIN (entry_units (get_entry (entry)), n) : 0;
      if (mine > 0)
        set_entry (entry, me, entry_units (get_entry (entry)) - mine);
      if ((self->flags & MP_SEMAPHORE_BOUNDED) != 0)
        take_off (self, n - mine);
      else if (mine < n)
        atomic_fetch_add (&self->shared->total, n - mine);
      waiters = set_free (self, (guint64) count + n, TRUE, 0);
    }
  unlock (self);
  if (waiters)
    wake (self, n);
  return fitting;
}

gboolean
mp_units_release (MpUnits *self, guint n, GError **error)
{
  return (self->flags & MP_SEMAPHORE_RECOVER) != 0 ? release_listed (self, n, error)
                                                   : release_counted (self, n, error);
}

/* Beginning and end */

static gsize
get_size (MpSemaphoreFlags flags)
{
  gsize n = (flags & MP_SEMAPHORE_RECOVER) != 0 ? MP_ARENA_MAX_PARTICIPANTS : 0;

  return sizeof (MpUnitsShared) + n * sizeof (uint64_t);
}

gboolean
mp_units_init (MpUnits *self, guint32 initial, MpSemaphoreFlags flags, GError **error)
{
  g_autoptr (MpArena) arena = mp_arena_ref_default (error);

  if (arena == NULL ||
      !mp_block_new (&self->block, arena, MP_SEMAPHORE_KIND, get_size (flags), error))
    return FALSE;
  self->shared = self->block.memory;
  self->participants = mp_arena_get_participants (arena);
  self->initial = initial;
  self->flags = flags;
  atomic_store (&self->shared->initial, initial);
  atomic_store (&self->shared->flags, flags);
  atomic_store (&self->shared->total, initial);
  atomic_store (&self->shared->units, initial);
  return TRUE;
}

gboolean
mp_units_import (MpUnits *self,
                 const char *name,
                 GVariant *handle,
                 GUnixFDList *fd_list,
                 GError **error)
{
  MpUnitsShared *shared;

  if (!mp_block_from_handle (&self->block,
                             name,
                             HANDLE_VERSION,
                             MP_SEMAPHORE_KIND,
                             sizeof (MpUnitsShared),
                             handle,
                             fd_list,
                             error))
    return FALSE;
  shared = self->block.memory;
  self->initial = atomic_load (&shared->initial);
  self->flags = atomic_load (&shared->flags);
  if (self->initial > MP_UNITS_MAX || (self->flags & ~ALL_FLAGS) != 0 ||
      self->block.size < get_size (self->flags))
    {
      g_set_error_literal (error, MP_ERROR, MP_ERROR_CORRUPT, "A semaphore is corrupt");
      mp_block_clear (&self->block);
      return FALSE;
    }
  self->shared = shared;
  self->participants = mp_arena_get_participants (self->block.arena);
  return TRUE;
}

GVariant *
mp_units_to_handle (MpUnits *self, const char *name, GUnixFDList *fd_list, GError **error)
{
  return mp_block_to_handle (&self->block, name, HANDLE_VERSION, NULL, fd_list, error);
}

void
mp_units_clear (MpUnits *self)
{
  self->shared = NULL;
  mp_block_clear (&self->block);
}
