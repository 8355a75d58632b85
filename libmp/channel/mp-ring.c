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
 * is checked at its arrival, in mp-ring-handle.c.
 *
 * Nothing read from shared memory is believed: it is read once and checked, so
 * that the worst a hostile peer can do is to stall us or to feed us messages. */

#include "mp-ring-quick-private.h"

#include <errno.h>
#include <string.h>

#include "../base/mp-clock-private.h"
#include "../base/mp-error.h"

/* Who has waited for so long for room claims it. */
#define CLAIM_AFTER_US 5000
/* A process that was stopped with the lock holds nobody up for longer. */
#define DRAIN_US G_USEC_PER_SEC

/* What did not fit the last time, for the error message. */
static _Thread_local guint64 refused_bytes;
static _Thread_local guint64 refused_items;

static MpRingStatus
status_of_lock (MpMicroLockResult result)
{
  switch (result)
    {
    case MP_MICRO_LOCK_TIMED_OUT:
      return MP_RING_TIMED_OUT;
    case MP_MICRO_LOCK_INTERRUPTED:
      return MP_RING_INTERRUPTED;
    case MP_MICRO_LOCK_ACQUIRED:
    case MP_MICRO_LOCK_OWNER_DIED:
    default:
      return MP_RING_DONE;
    }
}

/* Putting */

static inline guint64
record_length (const MpRecord *record)
{
  guint64 length = 0;

  for (guint i = 0; i < record->n_parts; i++)
    length += record->parts[i].size;
  return length;
}

gboolean
mp_ring_measure (const MpRecord *records, gsize n_records, MpRingNeed *need)
{
  guint64 units = 0;

  for (gsize i = 0; i < n_records; i++)
    {
      guint64 length = record_length (&records[i]);

      if (length > G_MAXUINT32)
        return FALSE;
      units += mp_ring_units_for (length);
    }
  if (units > MP_RING_MAX_CLASS_UNITS || n_records > G_MAXUINT32)
    return FALSE;
  *need =
    (MpRingNeed){ .condition = G_IO_OUT, .units = (guint32) units, .items = (guint32) n_records };
  return TRUE;
}

static void
write_records (guint8 *place, const MpRecord *records, gsize n_records)
{
  for (gsize i = 0; i < n_records; i++)
    {
      const MpRecord *record = &records[i];
      guint64 length = 0;

      for (guint part = 0; part < record->n_parts; part++)
        {
          if (record->parts[part].size == 0)
            continue;
          memcpy (place + sizeof (MpRingMessage) + length,
                  record->parts[part].buffer,
                  record->parts[part].size);
          length += record->parts[part].size;
        }
      *(MpRingMessage *) (gpointer) place =
        (MpRingMessage){ .length = (uint32_t) length, .codec = (uint32_t) record->codec };
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
  MpRingStatus status = status_of_lock (mp_micro_lock_acquire (&shared->put_lock, deadline));
  guint64 head;
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
  if (G_LIKELY (status == MP_RING_DONE))
    {
      write_records (place, records, n_records);
      mp_ring_commit_put (shared, head, need->items, need->units);
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

  if (*claim_at == 0)
    {
      need->token = mp_ring_claim_token ();
      *claim_at = now + CLAIM_AFTER_US;
    }
  look = now < *claim_at              ? *claim_at
         : mp_ring_claim (self, need) ? now + MP_RING_CLAIM_REFRESH_US
                                      : now + CLAIM_AFTER_US;
  if (deadline != MP_DEADLINE_NEVER)
    look = MIN (look, deadline);
  status = mp_ring_wait_for (self, need, look, cancellable);
  /* Whether time is over is seen by the next try. */
  return status == MP_RING_TIMED_OUT ? MP_RING_DONE : status;
}

MpRingStatus
mp_ring_put_full (MpRing *self,
                  const MpRecord *records,
                  gsize n_records,
                  MpRingPutFlags flags,
                  gint64 deadline,
                  GCancellable *cancellable)
{
  gint64 claim_at = 0;
  MpRingNeed need;
  MpRingStatus status;

  if (n_records == 0)
    return mp_ring_is_closed (self) ? MP_RING_CLOSED : MP_RING_DONE;
  if (!mp_ring_measure (records, n_records, &need) ||
      ((flags & MP_RING_PUT_FORCE) == 0 &&
       (need.units > self->max_units || need.items > self->max_items)))
    return refuse (records, n_records);
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
  if (status == MP_RING_DONE)
    mp_ring_wake_getters (self, need.items);
  if (claim_at != 0)
    {
      mp_ring_unclaim (self, &need);
      if (status != MP_RING_DONE)
        mp_ring_pass_on (self, G_IO_OUT);
    }
  return status;
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

/* Taking */

/* One get in the making, under get_lock. */
typedef struct
{
  gsize max_items;
  gsize max_bytes;
  MpRingTake take;
  gpointer user_data;
  gboolean draining; /* nobody else may take */

  guint32 taken;
  guint64 bytes;
  guint32 last_units; /* of the last one taken */
} Getting;

/* The words between which the messages are; refreshed if more are wanted than
 * the consumers know of. MP_RING_TIMED_OUT if there are none. */
static MpRingStatus
find_messages (MpRing *self, guint64 tail, gsize wanted, guint64 *head)
{
  MpRingShared *shared = self->shared;
  guint32 items;

  *head = atomic_load_explicit (&shared->head_cache, memory_order_relaxed);
  items = mp_ring_items (*head) - mp_ring_items (tail);
  if (items == 0 || items < wanted || items > mp_ring_position (*head) - mp_ring_position (tail))
    {
      *head = atomic_load_explicit (&shared->head, memory_order_acquire);
      atomic_store_explicit (&shared->head_cache, *head, memory_order_release);
      items = mp_ring_items (*head) - mp_ring_items (tail);
    }
  if (items > mp_ring_position (*head) - mp_ring_position (tail))
    return MP_RING_CORRUPT;
  return items != 0 ? MP_RING_DONE : MP_RING_TIMED_OUT;
}

/* Hands messages of the segment @class_ over, from @tail on; MP_RING_DONE at
 * the end of the segment, too. */
static MpRingStatus
take_from_class (MpRing *self, guint32 class_, guint64 *tail, guint64 head, Getting *getting)
{
  MpRingClass *segment = &self->shared->classes[class_];
  guint32 capacity = mp_ring_class_units (self, class_);
  guint32 available = mp_ring_items (head) - mp_ring_items (*tail);
  guint8 *memory = mp_ring_get_memory (self, class_);
  guint32 taken = 0;

  if (G_UNLIKELY (memory == NULL))
    return errno == EFAULT ? MP_RING_CORRUPT : MP_RING_NO_MEMORY;
  while (taken < available && getting->taken < getting->max_items)
    {
      guint32 position = mp_ring_position (*tail);
      guint32 left = mp_ring_position (head) - position;
      gsize offset = (gsize) mp_ring_offset (self, class_, position) * MP_RING_UNIT;
      _Atomic uint32_t *header = (_Atomic uint32_t *) (gpointer) (memory + offset);
      uint32_t length = atomic_load_explicit (&header[0], memory_order_relaxed);
      uint32_t codec = atomic_load_explicit (&header[1], memory_order_relaxed);
      guint64 units = mp_ring_units_for (length);

      if (taken > 0 && atomic_load_explicit (&segment->closed, memory_order_acquire) &&
          position == atomic_load_explicit (&segment->end, memory_order_relaxed))
        return MP_RING_DONE;
      if (units > left || units > capacity || codec > MP_CODEC_JSON)
        return MP_RING_CORRUPT;
      if (getting->taken > 0 && getting->max_bytes != 0 &&
          getting->bytes + length > getting->max_bytes)
        return MP_RING_DONE;
      if (!getting->take (getting->user_data,
                          mp_ring_items (*tail),
                          available - taken,
                          (MpCodec) codec,
                          (const guint8 *) &header[2],
                          length))
        return MP_RING_REFUSED;
      *tail = mp_ring_word (mp_ring_items (*tail) + 1, position + (guint32) units);
      getting->bytes += length;
      getting->last_units = (guint32) units;
      getting->taken++;
      taken++;
    }
  return MP_RING_DONE;
}

/* One commit. @emptied: nothing was left. */
static MpRingStatus
take_once (MpRing *self, Getting *getting, gint64 deadline, gboolean *emptied)
{
  MpRingShared *shared = self->shared;
  guint32 before = getting->taken;
  guint32 class_ = 0, closed;
  guint64 tail, head = 0;
  MpRingStatus status;

  /* Closed is read first: who closes has the producers' lock, so nothing comes after it. */
  closed = atomic_load_explicit (&shared->closed, memory_order_acquire);
  if (G_UNLIKELY (closed != 0) && (mp_ring_get_length (self) == 0 ||
                                   ((closed & MP_QUEUE_SIDES_GET) != 0 && !getting->draining)))
    return MP_RING_CLOSED;
  if (mp_ring_items (atomic_load_explicit (&shared->tail, memory_order_relaxed)) ==
      mp_ring_items (atomic_load_explicit (&shared->head, memory_order_relaxed)))
    return MP_RING_TIMED_OUT;
  status = status_of_lock (mp_micro_lock_acquire (&shared->get_lock, deadline));
  if (G_UNLIKELY (status != MP_RING_DONE))
    return status;
  tail = atomic_load_explicit (&shared->tail, memory_order_relaxed);
  status = find_messages (self, tail, getting->max_items - getting->taken, &head);
  if (status == MP_RING_DONE)
    status = mp_ring_advance (self, mp_ring_position (tail), &class_);
  if (status == MP_RING_DONE)
    status = take_from_class (self, class_, &tail, head, getting);
  if (getting->taken > before)
    {
      atomic_store_explicit (&shared->tail, tail, memory_order_release);
      *emptied = mp_ring_items (tail) == mp_ring_items (head);
    }
  mp_micro_lock_release (&shared->get_lock);
  return status;
}

/* As much as there is now; several commits if it lies in several segments. */
static MpRingStatus
take_all (MpRing *self, Getting *getting, gint64 deadline)
{
  gboolean emptied = FALSE;
  MpRingStatus status;
  guint32 before;

  do
    {
      before = getting->taken;
      status = take_once (self, getting, deadline, &emptied);
    }
  while (status == MP_RING_DONE && getting->taken > before && getting->taken < getting->max_items &&
         (getting->max_bytes == 0 || getting->bytes < getting->max_bytes));
  if (getting->taken == 0)
    return status;
  mp_ring_wake_putters (self, getting->taken);
  if (G_UNLIKELY (emptied))
    mp_ring_trim (self, getting->last_units);
  return MP_RING_DONE;
}

MpRingStatus
mp_ring_take (MpRing *self,
              gsize max_items,
              gsize max_bytes,
              MpRingTake take,
              gpointer user_data,
              gint64 deadline,
              GCancellable *cancellable,
              gsize *n_taken)
{
  const MpRingNeed need = { .condition = G_IO_IN };
  Getting getting = { .max_items = MIN (max_items, G_MAXUINT32),
                      .max_bytes = max_bytes,
                      .take = take,
                      .user_data = user_data };
  gboolean waited = FALSE;
  MpRingStatus status;

  if (n_taken != NULL)
    *n_taken = 0;
  for (;;)
    {
      status = take_all (self, &getting, deadline);
      if (status != MP_RING_TIMED_OUT || mp_deadline_left (deadline) == 0)
        break;
      status = mp_ring_wait_for (self, &need, deadline, cancellable);
      if (status != MP_RING_DONE)
        break;
      waited = TRUE;
    }
  if (waited && getting.taken == 0)
    mp_ring_pass_on (self, G_IO_IN);
  if (n_taken != NULL)
    *n_taken = getting.taken;
  return status;
}

static gboolean
take_away (gpointer user_data,
           guint32 seq,
           guint32 n_ready,
           MpCodec codec,
           const guint8 *data,
           gsize length)
{
  return TRUE;
}

MpRingStatus
mp_ring_drain (MpRing *self, guint32 *n_taken)
{
  Getting getting = { .max_items = G_MAXUINT32, .take = take_away, .draining = TRUE };
  gint64 deadline = mp_deadline_new (DRAIN_US);
  MpRingStatus status;

  do
    status = take_all (self, &getting, deadline);
  while (status == MP_RING_INTERRUPTED);
  *n_taken = getting.taken;
  return status;
}

typedef struct
{
  MpRingSink sink;
  gpointer user_data;
} Sinking;

static gboolean
take_into_sink (gpointer user_data,
                guint32 seq,
                guint32 n_ready,
                MpCodec codec,
                const guint8 *data,
                gsize length)
{
  Sinking *sinking = user_data;

  sinking->sink (sinking->user_data, seq, codec, data, length);
  return TRUE;
}

MpRingStatus
mp_ring_get (MpRing *self,
             gsize max_items,
             gsize max_bytes,
             MpRingSink sink,
             gpointer user_data,
             gint64 deadline,
             gsize *n_taken)
{
  Sinking sinking = { .sink = sink, .user_data = user_data };

  return mp_ring_take (self,
                       max_items,
                       max_bytes,
                       take_into_sink,
                       &sinking,
                       deadline,
                       NULL,
                       n_taken);
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

void
mp_ring_poke (MpRing *self)
{
  mp_ring_wake_side (self, G_IO_IN);
  mp_ring_wake_side (self, G_IO_OUT);
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
    case MP_RING_REFUSED:
      g_set_error_literal (error,
                           MP_ERROR,
                           MP_ERROR_NOT_SUPPORTED,
                           "The next message is not readable here");
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
