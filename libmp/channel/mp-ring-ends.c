/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* How a ring ends: closing, and waiting until all of it is dealt with.
 *
 * What was put is counted by head already. Next to it stands the number of those
 * that are done: one word, changed by compare-and-exchange, so that there is no
 * instant at which the two disagree, whoever dies. Beside it stands a token of the
 * one that was counted last, where that is more than one word: a block that is
 * acknowledged, or what was drained. Who counts next first settles what it stands
 * for. Between the last one and the wake of those who wait for it somebody may
 * die: they look by themselves after a second. */

#include "mp-ring-layout-private.h"

#include "../base/mp-clock-private.h"

/* The tokens of what is drained: no block has such an index. */
#define DRAIN_TOKEN ((1u << MP_STORE_TOKEN_INDEX_BITS) - 1)
#define DRAIN_TOKEN_STEP (1u << MP_STORE_TOKEN_INDEX_BITS)

void
mp_ring_close (MpRing *self, MpQueueSides sides)
{
  MpRingShared *shared = self->shared;
  gint64 deadline = mp_deadline_new (G_USEC_PER_SEC);
  MpRingStatus status;
  guint32 n;

  if ((sides & MP_QUEUE_SIDES_GET) != 0)
    sides |= MP_QUEUE_SIDES_PUT;
  /* With the producers' lock, so that nothing is committed after it. If a
   * stopped process holds the lock, closing is more urgent than that. */
  do
    status = mp_ring_lock_put (self, deadline);
  while (status == MP_RING_INTERRUPTED);
  atomic_fetch_or (&shared->closed, sides);
  if (status == MP_RING_DONE)
    mp_micro_lock_release (&shared->put_lock);
  /* Should we die here, whoever waits does it. */
  if ((sides & MP_QUEUE_SIDES_GET) != 0)
    {
      mp_ring_drop_returned (self);
      mp_ring_drain (self, G_MAXUINT32, &n);
    }
  mp_ring_poke (self);
}

gboolean
mp_ring_is_closed (MpRing *self)
{
  return atomic_load_explicit (&self->shared->closed, memory_order_acquire) != 0;
}

static gboolean
look_at_length (gpointer user_data,
                guint32 seq,
                guint32 n_ready,
                MpCodec codec,
                const guint8 *data,
                gsize length)
{
  gsize *result = user_data;

  *result = length;
  return FALSE;
}

MpRingStatus
mp_ring_peek_length (MpRing *self, gsize *length)
{
  MpRingGetting getting = { .max_items = 1,
                            .without_data = TRUE,
                            .skip_fds = TRUE,
                            .take = look_at_length,
                            .user_data = length };
  MpRingStatus status = mp_ring_take_as (self, &getting, MP_DEADLINE_NOW, NULL);

  return status == MP_RING_REFUSED ? MP_RING_DONE : status;
}

guint32
mp_ring_get_unfinished (MpRing *self)
{
  uint64_t done = atomic_load (&self->shared->done);

  return mp_ring_items (atomic_load (&self->shared->head)) - (guint32) done;
}

static gboolean
is_drain_token (guint32 token)
{
  return (token & DRAIN_TOKEN) == DRAIN_TOKEN;
}

/* The one that was counted last may not know it yet. */
static void
settle_last (MpRing *self, guint64 done)
{
  guint32 token = (guint32) (done >> 32);
  uint64_t drained = atomic_load (&self->shared->drained);
  MpStore *store;

  if (token == 0)
    return;
  if (is_drain_token (token))
    {
      if (drained >> 32 == token)
        atomic_compare_exchange_strong (&self->shared->drained, &drained, (uint64_t) token << 32);
      return;
    }
  store = mp_ring_get_store (self, FALSE);
  if (store != NULL)
    mp_store_settle_token (store, token);
}

static void
wake_joiners (MpRing *self)
{
  MpRingSide *side = &self->shared->joiners;

  if (mp_ring_get_unfinished (self) == 0 &&
      ((guint32) atomic_load (&side->waiters) | atomic_load (&side->armed)) != 0)
    mp_ring_wake_side (self, G_IO_PRI);
}

/* @token: of the block whose message is counted, or 0. */
static gboolean
count (MpRing *self, guint32 n, guint32 token)
{
  MpRingShared *shared = self->shared;
  uint64_t done = atomic_load (&shared->done);

  /* What is done was put before: head, read after, is never behind. */
  do
    {
      if (mp_ring_items (atomic_load (&shared->head)) - (guint32) done < n)
        return FALSE;
      settle_last (self, done);
    }
  while (!atomic_compare_exchange_weak (&shared->done,
                                        &done,
                                        (uint64_t) token << 32 | (guint32) (done + n)));
  wake_joiners (self);
  return TRUE;
}

gboolean
mp_ring_count_done (MpRing *self, guint32 n)
{
  return count (self, n, 0);
}

void
mp_ring_count_acked (MpRing *self, const MpBlockRef *ref)
{
  guint32 token = mp_store_get_token (ref);
  guint64 done = atomic_load (&self->shared->done);
  gboolean ours;

  /* If somebody else has begun this it may have been counted, and then it stands there, or
   * whoever counted next has settled it. */
  if (done >> 32 != token && mp_store_get_state (self->store, ref, &ours) == MP_BLOCK_ACKING)
    count (self, 1, token);
  mp_store_settle_token (self->store, token);
}

/* Draining */

void
mp_ring_begin_drain (MpRing *self, guint32 n, guint32 taken)
{
  MpRingShared *shared = self->shared;
  guint32 token =
    ((guint32) (atomic_load (&shared->drained) >> 32) | DRAIN_TOKEN) + DRAIN_TOKEN_STEP;

  atomic_store (&shared->drained_until, taken);
  atomic_store (&shared->drained, (uint64_t) token << 32 | n);
}

void
mp_ring_count_drained (MpRing *self)
{
  MpRingShared *shared = self->shared;
  /* Before that which is settled once it was counted and others are counted after it. */
  uint64_t done = atomic_load (&shared->done), drained = atomic_load (&shared->drained);
  guint32 token = (guint32) (drained >> 32), n = (guint32) drained, left;

  if (n == 0)
    return;
  if (mp_ring_get_taken (self) == atomic_load (&shared->drained_until))
    {
      /* Somebody may have said already that some of it is done. */
      while (done >> 32 != token)
        {
          left = mp_ring_items (atomic_load (&shared->head)) - (guint32) done;
          settle_last (self, done);
          if (atomic_compare_exchange_weak (&shared->done,
                                            &done,
                                            (uint64_t) token << 32 |
                                              (guint32) (done + MIN (n, left))))
            break;
        }
    }
  atomic_compare_exchange_strong (&shared->drained, &drained, (uint64_t) token << 32);
  wake_joiners (self);
}

void
mp_ring_finish_draining (MpRing *self)
{
  MpRingShared *shared = self->shared;
  guint32 n;

  if (G_UNLIKELY ((guint32) atomic_load (&shared->drained) != 0) &&
      mp_ring_lock_get (self, MP_DEADLINE_NOW) == MP_RING_DONE)
    mp_micro_lock_release (&shared->get_lock);
  if (G_UNLIKELY ((atomic_load (&shared->closed) & MP_QUEUE_SIDES_GET) != 0) &&
      mp_ring_get_length (self) != 0)
    mp_ring_drain (self, 1, &n);
}

MpRingStatus
mp_ring_join (MpRing *self, gint64 deadline, GCancellable *cancellable)
{
  const MpRingNeed need = { .condition = G_IO_PRI };

  /* Nobody but us may be left to count what the dead have done. */
  if (mp_ring_get_unfinished (self) != 0)
    mp_ring_tend (self, FALSE);
  return mp_ring_wait_for (self, &need, deadline, cancellable);
}
