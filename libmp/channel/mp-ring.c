/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* The ring: many producers and consumers, in many processes, any of which may
 * be killed at any instruction.
 *
 * There are two micro-locks, one for producers and one for consumers, and two
 * words, head and tail, each of which counts messages and units of eight bytes
 * since the beginning. A producer writes its messages behind head, where no
 * consumer looks, and then stores head: that one store is the commit of all of
 * them. A consumer copies messages out and then stores tail: that is the commit
 * of the get. Since number and place are in one word there is no instant at
 * which they disagree, and whoever takes over a lock from a dead process has
 * nothing to repair.
 *
 * A message is {length:32 | codec:32}, its bytes, and padding to a whole unit.
 *
 * The room is a chain of segments in one growable file, see
 * mp-ring-segments.c; the short way of one message is in mp-ring-quick.c;
 * sleeping and waking are in mp-ring-wait.c, and how a ring is made, travels and
 * is checked at its arrival, in mp-ring-handle.c. Descriptors that belong to
 * messages are in mp-ring-fds.c.
 *
 * Nothing read from shared memory is believed: it is read once and checked, so
 * that the worst a hostile peer can do is to stall us or to feed us messages. */

#include "mp-ring-quick-private.h"

#include <errno.h>
#include <string.h>

#include "../base/mp-clock-private.h"
#include "../base/mp-copy-private.h"
#include "../base/mp-error.h"

/* What did not fit the last time, for the error message. */
static _Thread_local guint64 refused_bytes;
static _Thread_local guint64 refused_items;

/* Putting */

static inline guint64
record_length (const MpRecord *record)
{
  guint64 length = record->n_fds > 0 ? sizeof (MpFdTicket) : 0;

  if (G_UNLIKELY (record->block != NULL))
    return length + sizeof *record->block;
  for (guint i = 0; i < record->n_parts; i++)
    length += record->parts[i].size;
  return length;
}

gboolean
mp_ring_measure (const MpRecord *records, gsize n_records, MpRingNeed *need)
{
  gboolean blocks = FALSE, fds = FALSE;
  guint64 units = 0;

  for (gsize i = 0; i < n_records; i++)
    {
      guint64 length = record_length (&records[i]);

      blocks |= records[i].block != NULL;
      fds |= records[i].n_fds > 0;
      if (length > G_MAXUINT32)
        return FALSE;
      units += mp_ring_units_for (length);
    }
  if (units > MP_RING_MAX_CLASS_UNITS || n_records > G_MAXUINT32)
    return FALSE;
  *need = (MpRingNeed){ .condition = G_IO_OUT,
                        .units = (guint32) units,
                        .items = (guint32) n_records,
                        .blocks = blocks,
                        .fds = fds };
  return TRUE;
}

static void
write_records (guint8 *place, const MpRecord *records, gsize n_records, const MpFdTicket *ticket)
{
  for (gsize i = 0; i < n_records; i++)
    {
      const MpRecord *record = &records[i];
      guint64 length = 0;
      guint32 codec = (guint32) record->codec;

      if (G_UNLIKELY (record->n_fds > 0))
        {
          length = sizeof *ticket;
          codec |= MP_RING_WITH_FDS;
          memcpy (place + sizeof (MpRingMessage), ticket, length);
        }
      if (record->block != NULL)
        {
          memcpy (place + sizeof (MpRingMessage) + length, record->block, sizeof *record->block);
          length += sizeof *record->block;
          codec |= MP_RING_IN_BLOCK;
        }
      for (guint part = 0; part < record->n_parts && record->block == NULL; part++)
        {
          if (record->parts[part].size == 0)
            continue;
          mp_copy (place + sizeof (MpRingMessage) + length,
                   record->parts[part].buffer,
                   record->parts[part].size);
          length += record->parts[part].size;
        }
      *(MpRingMessage *) (gpointer) place =
        (MpRingMessage){ .length = (uint32_t) length, .codec = codec };
      place += mp_ring_units_for (length) * MP_RING_UNIT;
    }
}

/* Under put_lock: MP_RING_TIMED_OUT if the bounds leave no room now. */
static MpRingStatus
check_bounds (MpRing *self, guint64 head, const MpRingNeed *need)
{
  MpRingShared *shared = self->shared;
  MpRingNeed together;
  guint64 tail;

  if (mp_ring_is_claimed (self, need, &together))
    need = &together;
  if (!self->bounded ||
      mp_ring_has_room (self,
                        head,
                        atomic_load_explicit (&shared->tail_cache, memory_order_relaxed),
                        need))
    return MP_RING_DONE;
  tail = atomic_load_explicit (&shared->tail, memory_order_acquire);
  atomic_store_explicit (&shared->tail_cache, tail, memory_order_relaxed);
  if (mp_ring_has_room (self, head, tail, need))
    return MP_RING_DONE;
  /* Each message has at least one unit. */
  return mp_ring_items (head) - mp_ring_items (tail) >
             mp_ring_position (head) - mp_ring_position (tail)
           ? MP_RING_CORRUPT
           : MP_RING_TIMED_OUT;
}

static MpRingStatus
put_once (MpRing *self,
          const MpRecord *records,
          gsize n_records,
          const MpRingNeed *need,
          MpRingPutFlags flags,
          gint64 deadline)
{
  MpRingShared *shared = self->shared;
  MpRingStatus status = mp_ring_lock_put (self, deadline);
  guint64 head;
  MpFdTicket ticket = { .number = 0 };
  guint32 room = 0, closed;
  guint8 *place = NULL;

  if (G_UNLIKELY (status != MP_RING_DONE))
    return status;
  head = atomic_load_explicit (&shared->head, memory_order_relaxed);
  closed = atomic_load_explicit (&shared->closed, memory_order_relaxed);
  if (G_UNLIKELY ((flags & MP_RING_PUT_FORCE) != 0))
    status = (closed & MP_QUEUE_SIDES_GET) != 0 ? MP_RING_CLOSED : MP_RING_DONE;
  else if (G_UNLIKELY (closed != 0))
    status = MP_RING_CLOSED;
  else
    status = check_bounds (self, head, need);
  if (G_LIKELY (status == MP_RING_DONE))
    {
      place = mp_ring_find_place (self, head, need->units, &room);
      if (place == NULL)
        status = mp_ring_make_room (self, head, need->units, &place);
      mp_ring_settle_claim (self, need);
      mp_ring_note_room (self, head, room);
    }
  if (G_UNLIKELY (status == MP_RING_DONE && need->fds))
    status = mp_ring_send_fds (self, records, &ticket);
  if (G_UNLIKELY (status == MP_RING_DONE && need->blocks) &&
      !mp_ring_queue_blocks (self, records, n_records, head))
    status = MP_RING_CORRUPT;
  if (G_LIKELY (status == MP_RING_DONE))
    {
      write_records (place, records, n_records, &ticket);
      mp_ring_commit_put (shared, head, need->items, need->units);
      if (G_UNLIKELY (need->blocks))
        mp_ring_settle_queued (self, records, n_records);
    }
  mp_micro_lock_release (&shared->put_lock);
  return status;
}

static MpRingStatus
refuse (const MpRecord *records, gsize n_records)
{
  refused_bytes = 0;
  refused_items = n_records;
  for (gsize i = 0; i < n_records; i++)
    refused_bytes += record_length (&records[i]);
  return MP_RING_TOO_BIG;
}

/* Waits for room, and claims it when that takes long: from *@claim_at on, which is 0
 * the first time. MP_RING_DONE: it is worth to try again. */
static MpRingStatus
wait_for_room (MpRing *self,
               MpRingNeed *need,
               gint64 *claim_at,
               gint64 deadline,
               GCancellable *cancellable)
{
  gint64 now = g_get_monotonic_time (), look;
  MpRingStatus status;

  /* There may seem to be room all the time. */
  if (g_cancellable_is_cancelled (cancellable))
    return MP_RING_INTERRUPTED;
  if (*claim_at == 0)
    *claim_at = now + MP_RING_CLAIM_AFTER_US;
  look = now < *claim_at ? *claim_at : now + mp_ring_claim_again (self, need);
  if (deadline != MP_DEADLINE_NEVER)
    look = MIN (look, deadline);
  status = mp_ring_wait_for (self, need, look, cancellable);
  /* Whether time is over is seen by the next try. */
  return status == MP_RING_TIMED_OUT ? MP_RING_DONE : status;
}

static MpRingStatus
put_records (MpRing *self,
             const MpRecord *records,
             gsize n_records,
             guint32 token,
             MpRingPutFlags flags,
             gint64 deadline,
             GCancellable *cancellable)
{
  gint64 claim_at = 0;
  MpRingNeed need;
  MpRingStatus status;

  if (!mp_ring_measure (records, n_records, &need) ||
      ((flags & MP_RING_PUT_FORCE) == 0 &&
       (need.units > self->max_units || need.items > self->max_items)))
    return refuse (records, n_records);
  need.token = token != 0 ? token : mp_ring_thread_token ();
  for (;;)
    {
      status = put_once (self, records, n_records, &need, flags, deadline);
      if (G_LIKELY (status == MP_RING_DONE))
        break;
      if (status != MP_RING_TIMED_OUT || mp_deadline_left (deadline) == 0)
        break;
      status = wait_for_room (self, &need, &claim_at, deadline, cancellable);
      if (status != MP_RING_DONE)
        break;
    }
  if (status == MP_RING_DONE && (flags & MP_RING_PUT_QUIETLY) == 0)
    mp_ring_wake_getters (self, need.items);
  if (claim_at != 0)
    {
      mp_ring_unclaim (self, &need);
      if (status != MP_RING_DONE)
        mp_ring_pass_on (self, G_IO_OUT);
    }
  return status;
}

static gboolean
wants_blocks (MpRing *self, const MpRecord *records, gsize n_records)
{
  for (gsize i = 0; i < n_records; i++)
    {
      if (mp_ring_wants_block (self, record_length (&records[i])))
        return TRUE;
    }
  return FALSE;
}

/* Copies what is long before the lock is taken. */
static G_GNUC_NO_INLINE MpRingStatus
put_long (MpRing *self,
          const MpRecord *records,
          gsize n_records,
          guint32 token,
          MpRingPutFlags flags,
          gint64 deadline,
          GCancellable *cancellable)
{
  g_autofree MpRecord *big = NULL;
  g_autofree MpBlockRef *blocks = NULL;
  MpRingNeed room = mp_ring_need (G_IO_OUT);
  MpRingStatus status;

  room.token = token != 0 ? token : mp_ring_thread_token ();
  /* Not in vain. */
  if ((flags & MP_RING_PUT_FORCE) == 0 && mp_deadline_left (deadline) == 0 &&
      !mp_ring_is_ready (self, &room))
    return MP_RING_TIMED_OUT;
  big = g_new (MpRecord, n_records);
  blocks = g_new (MpBlockRef, n_records);
  status = mp_ring_put_in_blocks (self, records, n_records, big, blocks);
  if (status != MP_RING_DONE)
    return status;
  status = put_records (self, big, n_records, token, flags, deadline, cancellable);
  if (status != MP_RING_DONE)
    mp_ring_give_up_blocks (self, big, n_records);
  return status;
}

static MpRingStatus
put_any (MpRing *self,
         const MpRecord *records,
         gsize n_records,
         guint32 token,
         MpRingPutFlags flags,
         gint64 deadline,
         GCancellable *cancellable)
{
  if (n_records == 0)
    return mp_ring_is_closed (self) ? MP_RING_CLOSED : MP_RING_DONE;
  if (G_UNLIKELY (wants_blocks (self, records, n_records)))
    return put_long (self, records, n_records, token, flags, deadline, cancellable);
  return put_records (self, records, n_records, token, flags, deadline, cancellable);
}

MpRingStatus
mp_ring_put_full (MpRing *self,
                  const MpRecord *records,
                  gsize n_records,
                  MpRingPutFlags flags,
                  gint64 deadline,
                  GCancellable *cancellable)
{
  return put_any (self, records, n_records, 0, flags, deadline, cancellable);
}

MpRingStatus
mp_ring_put_claimed (MpRing *self, const MpRecord *records, gsize n_records, guint32 token)
{
  return put_any (self, records, n_records, token, 0, MP_DEADLINE_NOW, NULL);
}

MpRingStatus
mp_ring_put (MpRing *self,
             const MpRecord *records,
             gsize n_records,
             MpRingPutFlags flags,
             gint64 deadline)
{
  return mp_ring_put_full (self, records, n_records, flags, deadline, NULL);
}

/* Looking */

guint32
mp_ring_get_length (MpRing *self)
{
  MpRingShared *shared = self->shared;
  guint64 head, tail, again = atomic_load_explicit (&shared->tail, memory_order_acquire);

  /* The two words of one moment; whoever moves tail that fast that we give up
   * has a length that changes all the time. */
  for (int tries = 0; tries < 8; tries++)
    {
      tail = again;
      head = atomic_load_explicit (&shared->head, memory_order_acquire);
      again = atomic_load_explicit (&shared->tail, memory_order_acquire);
      if (again == tail)
        break;
    }
  return mp_ring_items (head) - mp_ring_items (tail);
}

guint64
mp_ring_get_used_bytes (MpRing *self)
{
  guint64 tail = atomic_load_explicit (&self->shared->tail, memory_order_acquire);
  guint64 head = atomic_load_explicit (&self->shared->head, memory_order_acquire);

  return (guint64) (mp_ring_position (head) - mp_ring_position (tail)) * MP_RING_UNIT;
}

guint32
mp_ring_get_taken (MpRing *self)
{
  return mp_ring_items (atomic_load_explicit (&self->shared->tail, memory_order_acquire));
}

guint32
mp_ring_get_max_items (MpRing *self)
{
  return (guint32) self->segment.header.parameters[MP_RING_PARAMETER_MAX_ITEMS];
}

guint64
mp_ring_get_max_bytes (MpRing *self)
{
  return self->max_bytes;
}

guint32
mp_ring_get_max_deliveries (MpRing *self)
{
  return self->max_deliveries;
}

void
mp_ring_set_dead_letters (MpRing *self, MpRing *dead_letters)
{
  g_clear_pointer (&self->dead_letters, mp_ring_unref);
  self->dead_letters = mp_ring_ref (dead_letters);
}

MpRing *
mp_ring_get_dead_letters (MpRing *self)
{
  return self->dead_letters;
}

void
mp_ring_poke (MpRing *self)
{
  mp_ring_tend (self, TRUE);
  mp_ring_wake_side (self, G_IO_IN);
  mp_ring_wake_side (self, G_IO_OUT);
  mp_ring_wake_side (self, G_IO_PRI);
}

static void
set_error_too_big (GError **error, MpRing *self)
{
  guint64 max_bytes = self->max_bytes != 0 ? self->max_bytes : MP_RING_MAX_MAX_BYTES;

  if (refused_items > self->max_items)
    g_set_error (error,
                 MP_ERROR,
                 MP_ERROR_LIMIT,
                 "%" G_GUINT64_FORMAT
                 " messages can never fit a queue that is bounded to %u messages",
                 refused_items,
                 self->max_items);
  else
    g_set_error (error,
                 MP_ERROR,
                 MP_ERROR_LIMIT,
                 "%" G_GUINT64_FORMAT " bytes can never fit a queue that is bounded to "
                 "%" G_GUINT64_FORMAT " bytes",
                 refused_bytes,
                 max_bytes);
}

gboolean
mp_ring_set_error (GError **error, MpRing *self, MpRingStatus status, gboolean putting)
{
  switch (status)
    {
    case MP_RING_TIMED_OUT:
      if (putting)
        g_set_error_literal (error, MP_ERROR, MP_ERROR_FULL, "The queue has no room");
      else
        g_set_error_literal (error, MP_ERROR, MP_ERROR_EMPTY, "The queue is empty");
      break;
    case MP_RING_INTERRUPTED:
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_CANCELLED, "The operation was cancelled");
      break;
    case MP_RING_CLOSED:
      g_set_error_literal (error, MP_ERROR, MP_ERROR_CLOSED, "The queue is closed");
      break;
    case MP_RING_TOO_BIG:
      set_error_too_big (error, self);
      break;
    case MP_RING_NO_MEMORY:
      g_set_error_literal (error, MP_ERROR, MP_ERROR_LIMIT, "There is not enough memory");
      break;
    case MP_RING_NO_BLOCKS:
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_LIMIT,
                   "There is no block of the queue: all %u are in use, too many processes use "
                   "them, or this one has too many descriptors open",
                   MP_STORE_MAX_BLOCKS);
      break;
    case MP_RING_REFUSED:
      g_set_error_literal (error,
                           MP_ERROR,
                           MP_ERROR_NOT_SUPPORTED,
                           "The next message is not readable here");
      break;
    case MP_RING_HAS_FDS:
    case MP_RING_NO_FDS:
    case MP_RING_FDS_MISSING:
    case MP_RING_FDS_REFUSED:
      mp_ring_set_fd_error (error, status);
      break;
    case MP_RING_CORRUPT:
    case MP_RING_DONE:
    default:
      g_set_error_literal (error,
                           MP_ERROR,
                           MP_ERROR_CORRUPT,
                           "The shared memory of a queue is corrupt");
      break;
    }
  return FALSE;
}
