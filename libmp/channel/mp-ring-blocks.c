/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Messages that lie in blocks, on their way into the ring, and what the dead leave
 * behind. A block is filled before the producers' lock is taken; in the ring stands
 * only where it is. */

#include "mp-ring-quick-private.h"

#include <errno.h>

#include "../base/mp-clock-private.h"

#define SWEEP_PUT 1u
#define SWEEP_GET 2u
/* How often those who wait look for what the dead had. */
#define TEND_US (G_USEC_PER_SEC / 2)

MpRingStatus
mp_ring_status_of_errno (void)
{
  return errno == EFAULT ? MP_RING_CORRUPT : MP_RING_NO_MEMORY;
}

MpStore *
mp_ring_get_store (MpRing *self, gboolean make)
{
  MpStore *store = atomic_load_explicit (&self->store, memory_order_acquire);
  MpStore *expected = NULL;

  if (G_LIKELY (store != NULL))
    return store;
  store = mp_store_new (&self->segment, &self->shared->blocks_used, make);
  if (store == NULL)
    return NULL;
  /* Two threads may have had the same idea. */
  if (atomic_compare_exchange_strong (&self->store, &expected, store))
    return store;
  mp_store_free (store);
  return expected;
}

/* Under the lock of that side. Until it is known to be done it is due, for the next
 * one as well. */
static MpRingStatus
sweep (MpRing *self, guint32 side)
{
  MpRingShared *shared = self->shared;
  MpStore *store;

  if (side == SWEEP_GET)
    mp_ring_count_drained (self);
  if (atomic_load (&shared->blocks_used) != 0)
    {
      atomic_fetch_or (&shared->sweep_due, side);
      store = mp_ring_get_store (self, FALSE);
      if (store == NULL)
        return mp_ring_status_of_errno ();
      if (side == SWEEP_PUT)
        mp_store_sweep_put (store, mp_ring_items (atomic_load (&shared->head)));
      else
        mp_store_sweep_get (store, mp_ring_items (atomic_load (&shared->tail)));
    }
  atomic_fetch_and (&shared->sweep_due, ~side);
  return MP_RING_DONE;
}

/* Who cannot settle what was begun must not commit anything: it would look as if that had been
 * committed. The short ways are barred until somebody can. */
static MpRingStatus
fail_to_sweep (MpRing *self, MpMicroLock *word, guint32 side, MpRingStatus status)
{
  if (side == SWEEP_PUT)
    mp_ring_forget_room (self);
  else
    atomic_store (&self->shared->returned, 1);
  mp_micro_lock_release (word);
  return status;
}

static MpRingStatus
lock (MpRing *self, MpMicroLock *word, guint32 side, gint64 deadline)
{
  MpMicroLockResult result = mp_micro_lock_acquire (word, deadline);
  MpRingStatus status = MP_RING_DONE;

  if (result == MP_MICRO_LOCK_TIMED_OUT)
    return MP_RING_TIMED_OUT;
  if (result == MP_MICRO_LOCK_INTERRUPTED)
    return MP_RING_INTERRUPTED;
  if (G_UNLIKELY (result == MP_MICRO_LOCK_OWNER_DIED ||
                  (atomic_load_explicit (&self->shared->sweep_due, memory_order_relaxed) & side) !=
                    0))
    status = sweep (self, side);
  return G_LIKELY (status == MP_RING_DONE) ? status : fail_to_sweep (self, word, side, status);
}

MpRingStatus
mp_ring_lock_put (MpRing *self, gint64 deadline)
{
  return lock (self, &self->shared->put_lock, SWEEP_PUT, deadline);
}

MpRingStatus
mp_ring_lock_get (MpRing *self, gint64 deadline)
{
  return lock (self, &self->shared->get_lock, SWEEP_GET, deadline);
}

/* Putting */

static guint64
get_length (const MpRecord *record)
{
  guint64 length = 0;

  for (guint i = 0; i < record->n_parts; i++)
    length += record->parts[i].size;
  return length;
}

MpRingStatus
mp_ring_put_in_blocks (MpRing *self,
                       const MpRecord *records,
                       gsize n_records,
                       MpRecord *big,
                       MpBlockRef *blocks)
{
  MpRingStatus status = MP_RING_DONE;

  /* It may be that nobody ever waits, and blocks of dead receivers would be lost. */
  mp_ring_tend (self, FALSE);
  for (gsize i = 0; i < n_records; i++)
    {
      guint64 length = get_length (&records[i]);
      MpStore *store;

      big[i] = records[i];
      if (status != MP_RING_DONE || records[i].block != NULL || !mp_ring_wants_block (self, length))
        continue;
      /* Where there can be no blocks, the ring itself has to do. */
      store = mp_ring_get_store (self, TRUE);
      if (store == NULL || mp_store_take_free_soon (store, length, &blocks[i]) != MP_RING_DONE)
        continue;
      big[i].block = &blocks[i];
      status = mp_store_fill (store, &blocks[i], records[i].parts, records[i].n_parts);
    }
  if (status != MP_RING_DONE)
    mp_ring_give_up_blocks (self, big, n_records);
  return status;
}

void
mp_ring_give_up_blocks (MpRing *self, const MpRecord *records, gsize n_records)
{
  for (gsize i = 0; i < n_records; i++)
    {
      if (records[i].block != NULL)
        mp_store_give_free (self->store, records[i].block);
    }
}

gboolean
mp_ring_queue_blocks (MpRing *self, const MpRecord *records, gsize n_records, guint64 head)
{
  for (gsize i = 0; i < n_records; i++)
    {
      if (records[i].block == NULL)
        continue;
      mp_store_set_seq (self->store, records[i].block, mp_ring_items (head) + (guint32) i);
      if (mp_store_change (self->store, records[i].block, MP_BLOCK_OWNED, MP_BLOCK_QUEUEING))
        continue;
      while (i-- > 0)
        {
          if (records[i].block != NULL)
            mp_store_change (self->store, records[i].block, MP_BLOCK_QUEUEING, MP_BLOCK_OWNED);
        }
      return FALSE;
    }
  return TRUE;
}

void
mp_ring_settle_queued (MpRing *self, const MpRecord *records, gsize n_records)
{
  for (gsize i = 0; i < n_records; i++)
    {
      /* A consumer may have been faster. */
      if (records[i].block == NULL)
        continue;
      mp_store_change (self->store, records[i].block, MP_BLOCK_QUEUEING, MP_BLOCK_QUEUED);
      mp_ring_note_long (&self->put_spin, records[i].block->length);
    }
}

/* What comes back */

gboolean
mp_ring_is_lent (MpRing *self)
{
  MpStore *store;

  if (atomic_load (&self->shared->blocks_used) == 0)
    return FALSE;
  store = mp_ring_get_store (self, FALSE);
  return store != NULL && (mp_store_count (store, MP_BLOCK_LEASING, FALSE) != 0 ||
                           mp_store_count (store, MP_BLOCK_LEASED, FALSE) != 0 ||
                           mp_store_count (store, MP_BLOCK_LEASED, TRUE) != 0);
}

static void
on_acking (gpointer user_data, const MpBlockRef *ref)
{
  MpRing *self = user_data;

  mp_ring_count_acked (self, ref);
  mp_store_give_free (self->store, ref);
}

/* Nobody else may come to take over the locks with which somebody died. */
static MpStoreFinds
take_over (MpRing *self, MpStore *store, MpStoreFinds finds)
{
  if ((finds & (MP_STORE_PUTTING | MP_STORE_GETTING)) == 0)
    return finds;
  if ((finds & MP_STORE_PUTTING) != 0 && mp_ring_lock_put (self, MP_DEADLINE_NOW) == MP_RING_DONE)
    mp_micro_lock_release (&self->shared->put_lock);
  if ((finds & MP_STORE_GETTING) != 0 && mp_ring_lock_get (self, MP_DEADLINE_NOW) == MP_RING_DONE)
    mp_micro_lock_release (&self->shared->get_lock);
  return mp_store_sweep_dead (store, on_acking, self);
}

gboolean
mp_ring_tend (MpRing *self, gboolean now)
{
  MpRingShared *shared = self->shared;
  MpStoreFinds finds;
  MpStore *store;
  gint64 time, before;

  mp_ring_finish_draining (self);
  mp_ring_drop_stale_fds (self, MP_DEADLINE_NOW);
  /* Whoever emptied it may have done so too soon after the last time. */
  if (mp_ring_get_length (self) == 0)
    mp_ring_trim (self, 0);
  if (atomic_load_explicit (&shared->blocks_used, memory_order_relaxed) == 0)
    return FALSE;
  time = g_get_monotonic_time ();
  before = atomic_load_explicit (&self->tended_at, memory_order_relaxed);
  if ((!now && time - before < TEND_US) ||
      !atomic_compare_exchange_strong (&self->tended_at, &before, time))
    return FALSE;
  store = mp_ring_get_store (self, FALSE);
  if (store == NULL)
    return FALSE;
  finds = take_over (self, store, mp_store_sweep_dead (store, on_acking, self));
  if ((finds & MP_STORE_RETURNED) != 0)
    {
      if ((atomic_load (&shared->closed) & MP_QUEUE_SIDES_GET) != 0)
        mp_ring_drop_returned (self);
      atomic_store (&shared->returned, 1);
      mp_ring_wake_getters (self, 1);
    }
  mp_store_trim (store);
  return (finds & MP_STORE_RETURNED) != 0;
}
