/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Turns for those who wait for room. Where there is a bound, small messages would
 * take whatever room comes, and a big one, or many that are put together, would
 * wait for ever. Who has waited for a moment therefore claims the room it needs:
 * others then put only what leaves so much. There is one claim at a time.
 *
 * A claim is void when it was not refreshed for a while, so that one who was
 * killed or stopped holds nobody up for longer than that; those who wait look
 * again by then. It is written under the producers' lock, and its four words are
 * set so that units, which says whether there is one, comes last. Who reads it
 * without the lock only takes a hint. */

#include "mp-ring-quick-private.h"

#include "../base/mp-clock-private.h"

#define VOID_US (3 * MP_RING_CLAIM_REFRESH_US)
/* Longer than this only a process keeps the lock that was stopped with it: then a
 * claim is not worth that a timeout is missed. */
#define LOCK_US (10 * 1000)
#define TOKEN_BITS 22 /* of a thread's id */
#define MAX_COUNTER ((1u << (32 - TOKEN_BITS)) - 1)

guint32
mp_ring_thread_token (void)
{
  if (G_UNLIKELY (mp_micro_lock_thread.tid == 0))
    mp_micro_lock_setup_thread ();
  return mp_micro_lock_thread.tid;
}

guint32
mp_ring_claim_token (void)
{
  static _Atomic uint32_t counter;

  return mp_ring_thread_token () | (atomic_fetch_add (&counter, 1) % MAX_COUNTER + 1) << TOKEN_BITS;
}

/* Nobody refreshes into the far future: such a time is nonsense. */
static gboolean
is_void (MpRing *self)
{
  gint64 left = atomic_load_explicit (&self->shared->claim_until, memory_order_relaxed) -
                g_get_monotonic_time ();

  return left <= 0 || left > 2 * VOID_US;
}

gboolean
mp_ring_is_claimed_slow (MpRing *self, const MpRingNeed *need, MpRingNeed *together)
{
  MpRingShared *shared = self->shared;
  guint32 units = atomic_load_explicit (&shared->claim_units, memory_order_acquire);
  guint32 items = atomic_load_explicit (&shared->claim_items, memory_order_relaxed);
  guint32 token = atomic_load_explicit (&shared->claim_token, memory_order_relaxed);

  if (units == 0 || token == need->token || is_void (self))
    return FALSE;
  *together = *need;
  together->units = (guint32) MIN ((guint64) need->units + units, G_MAXUINT32);
  together->items = (guint32) MIN ((guint64) need->items + items, G_MAXUINT32);
  return TRUE;
}

gboolean
mp_ring_is_held_up (MpRing *self, GIOCondition condition)
{
  return (condition & G_IO_OUT) != 0 && mp_ring_has_claim (self) && !is_void (self);
}

gboolean
mp_ring_is_for_another (MpRing *self, const MpRingNeed *need)
{
  MpRingShared *shared = self->shared;
  guint64 tail = atomic_load_explicit (&shared->tail, memory_order_acquire);
  guint64 head = atomic_load_explicit (&shared->head, memory_order_acquire);
  MpRingNeed other = mp_ring_need (G_IO_OUT);

  if (mp_ring_has_claim (self) && !is_void (self))
    {
      if (atomic_load_explicit (&shared->claim_token, memory_order_relaxed) == need->token)
        return FALSE;
      other.units = atomic_load_explicit (&shared->claim_units, memory_order_relaxed);
      other.items = atomic_load_explicit (&shared->claim_items, memory_order_relaxed);
    }
  else
    other.units = MIN (other.units, self->max_units);
  return mp_ring_has_room (self, head, tail, &other);
}

void
mp_ring_settle_claim_slow (MpRing *self, const MpRingNeed *need)
{
  MpRingShared *shared = self->shared;

  if (atomic_load_explicit (&shared->claim_token, memory_order_relaxed) == need->token ||
      is_void (self))
    atomic_store_explicit (&shared->claim_units, 0, memory_order_relaxed);
}

gboolean
mp_ring_claim (MpRing *self, const MpRingNeed *need)
{
  MpRingShared *shared = self->shared;
  gboolean ours;

  /* Room for descriptors is nobody's to claim, and who waits for that holds nobody up meanwhile. */
  if (need->fds && !mp_ring_has_fd_room (self))
    {
      if (mp_ring_has_claim (self))
        mp_ring_unclaim (self, need);
      return FALSE;
    }
  if (mp_ring_lock_put (self, mp_deadline_new (LOCK_US)) != MP_RING_DONE)
    return FALSE;
  ours = atomic_load_explicit (&shared->claim_units, memory_order_relaxed) == 0 ||
         atomic_load_explicit (&shared->claim_token, memory_order_relaxed) == need->token ||
         is_void (self);
  if (ours)
    {
      mp_ring_forget_room (self);
      atomic_store_explicit (&shared->claim_token, need->token, memory_order_relaxed);
      atomic_store_explicit (&shared->claim_items, need->items, memory_order_relaxed);
      atomic_store_explicit (&shared->claim_until,
                             g_get_monotonic_time () + VOID_US,
                             memory_order_relaxed);
      atomic_store_explicit (&shared->claim_units, need->units, memory_order_release);
    }
  mp_micro_lock_release (&shared->put_lock);
  return ours;
}

void
mp_ring_unclaim (MpRing *self, const MpRingNeed *need)
{
  MpRingShared *shared = self->shared;
  MpRingStatus status;

  if (need->token == 0 ||
      atomic_load_explicit (&shared->claim_token, memory_order_relaxed) != need->token)
    return;
  do
    status = mp_ring_lock_put (self, mp_deadline_new (LOCK_US));
  while (status == MP_RING_INTERRUPTED);
  /* Else it becomes void by itself. */
  if (status != MP_RING_DONE)
    return;
  if (atomic_load_explicit (&shared->claim_token, memory_order_relaxed) == need->token)
    atomic_store_explicit (&shared->claim_units, 0, memory_order_relaxed);
  mp_micro_lock_release (&shared->put_lock);
  /* Those who waited for this claim to go. */
  mp_ring_wake_side (self, G_IO_OUT);
}
