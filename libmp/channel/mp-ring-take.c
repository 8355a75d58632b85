/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Taking messages out of a ring: one commit for as many as are wanted and there.
 * What of it lies in blocks is in mp-ring-lend.c. */

#include "mp-ring-quick-private.h"

#include <errno.h>
#include <string.h>

#include "../base/mp-clock-private.h"

/* A process that was stopped with the lock holds nobody up for longer. */
#define DRAIN_US G_USEC_PER_SEC
/* Between two looks at the clock, since somebody may lie about how many there are. */
#define DRAIN_ITEMS 65536

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

/* A message as it stands in the ring. */
typedef struct
{
  guint32 codec;
  gsize length;
  const guint8 *data;
} Found;

static inline guint64
length_of_message (const Found *found)
{
  MpBlockRef ref = { .length = found->length };

  if (G_UNLIKELY ((found->codec & MP_RING_IN_BLOCK) != 0 && found->length == sizeof ref))
    memcpy (&ref, found->data, sizeof ref);
  return ref.length;
}

/* FALSE if it cannot be one. */
static inline gboolean
open_message (MpRingGetting *getting, Found *found)
{
  if (G_UNLIKELY ((found->codec & MP_RING_WITH_FDS) != 0))
    {
      if (found->length < sizeof getting->ticket)
        return FALSE;
      memcpy (&getting->ticket, found->data, sizeof getting->ticket);
      found->data += sizeof getting->ticket;
      found->length -= sizeof getting->ticket;
    }
  return (found->codec & ~(MP_RING_IN_BLOCK | MP_RING_WITH_FDS)) <= MP_CODEC_LAST;
}

static inline MpRingStatus
take_bytes (MpRing *self, MpRingGetting *getting, guint32 seq, guint32 n_ready, const Found *found)
{
  if (G_UNLIKELY ((found->codec & MP_RING_IN_BLOCK) != 0 || getting->lease))
    return mp_ring_take_block (self,
                               getting,
                               seq,
                               n_ready,
                               found->codec,
                               found->data,
                               found->length);
  return getting->take (getting->user_data,
                        seq,
                        n_ready,
                        (MpCodec) found->codec,
                        found->data,
                        found->length)
           ? MP_RING_DONE
           : MP_RING_REFUSED;
}

static G_GNUC_NO_INLINE MpRingStatus
take_with_fds (MpRing *self, MpRingGetting *getting, guint32 seq, guint32 n_ready, Found *found)
{
  MpRingStatus status;

  found->codec &= ~MP_RING_WITH_FDS;
  if (getting->skip_fds)
    return take_bytes (self, getting, seq, n_ready, found);
  if (getting->fds == NULL)
    return MP_RING_HAS_FDS;
  status = mp_ring_peek_fds (self, &getting->ticket, getting->fds);
  if (status == MP_RING_DONE)
    status = take_bytes (self, getting, seq, n_ready, found);
  if (status != MP_RING_DONE)
    mp_ring_close_fds (getting->fds);
  return status;
}

static inline MpRingStatus
take_message (MpRing *self, MpRingGetting *getting, guint32 seq, guint32 n_ready, Found *found)
{
  return G_UNLIKELY ((found->codec & MP_RING_WITH_FDS) != 0)
           ? take_with_fds (self, getting, seq, n_ready, found)
           : take_bytes (self, getting, seq, n_ready, found);
}

/* Hands messages of the segment @class_ over, from @tail on; MP_RING_DONE at
 * the end of the segment, too. */
static MpRingStatus
take_from_class (MpRing *self, guint32 class_, guint64 *tail, guint64 head, MpRingGetting *getting)
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
      Found found = { .length = atomic_load_explicit (&header[0], memory_order_relaxed),
                      .codec = atomic_load_explicit (&header[1], memory_order_relaxed),
                      .data = (const guint8 *) &header[2] };
      guint64 units = mp_ring_units_for (found.length);
      MpRingStatus status;

      if (taken > 0 && atomic_load_explicit (&segment->closed, memory_order_acquire) &&
          position == atomic_load_explicit (&segment->end, memory_order_relaxed))
        return MP_RING_DONE;
      if (units > left || units > capacity || !open_message (getting, &found))
        return MP_RING_CORRUPT;
      if (getting->taken > 0 && getting->max_bytes != 0 &&
          getting->bytes + length_of_message (&found) > getting->max_bytes)
        return MP_RING_DONE;
      status = take_message (self, getting, mp_ring_items (*tail), available - taken, &found);
      if (status != MP_RING_DONE)
        return status;
      *tail = mp_ring_word (mp_ring_items (*tail) + 1, position + (guint32) units);
      getting->bytes += length_of_message (&found);
      getting->last_units = (guint32) units;
      getting->taken++;
      taken++;
    }
  return MP_RING_DONE;
}

/* One commit. @emptied: nothing was left. */
static MpRingStatus
take_once (MpRing *self, MpRingGetting *getting, gint64 deadline, gboolean *emptied)
{
  MpRingShared *shared = self->shared;
  guint32 before = getting->taken;
  guint32 class_ = 0, closed;
  guint64 tail, head = 0;
  MpRingStatus status;

  /* Closed is read first: who closes has the producers' lock, so nothing comes after it. */
  closed = atomic_load_explicit (&shared->closed, memory_order_acquire);
  if (G_UNLIKELY (closed != 0) && ((mp_ring_get_length (self) == 0 && !mp_ring_is_lent (self)) ||
                                   ((closed & MP_QUEUE_SIDES_GET) != 0 && !getting->draining)))
    return MP_RING_CLOSED;
  if (mp_ring_items (atomic_load_explicit (&shared->tail, memory_order_relaxed)) ==
      mp_ring_items (atomic_load_explicit (&shared->head, memory_order_relaxed)))
    return MP_RING_TIMED_OUT;
  status = mp_ring_lock_get (self, deadline);
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
      if (G_UNLIKELY (getting->draining))
        mp_ring_begin_drain (self, getting->taken - before, mp_ring_items (tail));
      atomic_store_explicit (&shared->tail, tail, memory_order_release);
      if (G_UNLIKELY (getting->draining))
        mp_ring_count_drained (self);
      if (G_UNLIKELY (getting->fds != NULL && getting->fds->len > 0))
        mp_ring_consume_fds (self, &getting->ticket);
      *emptied = mp_ring_items (tail) == mp_ring_items (head);
      if (G_UNLIKELY (getting->blocks != NULL))
        mp_ring_settle_taken (self, getting);
    }
  mp_micro_lock_release (&shared->get_lock);
  return status;
}

static gboolean
wants_more (const MpRingGetting *getting)
{
  return getting->taken < getting->max_items &&
         (getting->max_bytes == 0 || getting->taken == 0 || getting->bytes < getting->max_bytes);
}

/* As much as there is now; several commits if it lies in several segments. */
static MpRingStatus
take_all (MpRing *self, MpRingGetting *getting, gint64 deadline)
{
  gboolean emptied = FALSE;
  MpRingStatus status = MP_RING_DONE;
  guint32 before = G_MAXUINT32;

  if (G_UNLIKELY (atomic_load_explicit (&self->shared->returned, memory_order_relaxed) != 0) &&
      !getting->draining && (atomic_load (&self->shared->closed) & MP_QUEUE_SIDES_GET) == 0)
    {
      status = mp_ring_take_returned (self, getting);
      if (status != MP_RING_DONE && getting->taken == 0)
        return status;
    }
  while (status == MP_RING_DONE && getting->taken != before && wants_more (getting))
    {
      before = getting->taken;
      status = take_once (self, getting, deadline, &emptied);
    }
  if (getting->taken == 0)
    return status;
  if (G_UNLIKELY (getting->blocks != NULL))
    mp_ring_free_taken (self, getting, emptied);
  mp_ring_wake_putters (self, getting->taken);
  if (G_UNLIKELY (emptied))
    mp_ring_trim (self, getting->last_units);
  return MP_RING_DONE;
}

MpRingStatus
mp_ring_take_as (MpRing *self, MpRingGetting *getting, gint64 deadline, GCancellable *cancellable)
{
  const MpRingNeed need = { .condition = G_IO_IN };
  gboolean waited = FALSE;
  MpRingStatus status;

  for (;;)
    {
      status = take_all (self, getting, deadline);
      if (status != MP_RING_TIMED_OUT)
        break;
      if (mp_deadline_left (deadline) == 0)
        {
          /* Who never waits looks after the dead here. */
          if (mp_ring_tend (self, FALSE))
            status = take_all (self, getting, deadline);
          break;
        }
      status = mp_ring_wait_for (self, &need, deadline, cancellable);
      if (status != MP_RING_DONE)
        break;
      waited = TRUE;
    }
  if (waited)
    mp_ring_pass_on (self, G_IO_IN);
  return status;
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
  MpRingGetting getting = { .max_items = MIN (max_items, G_MAXUINT32),
                            .max_bytes = max_bytes,
                            .take = take,
                            .user_data = user_data };
  MpRingStatus status = mp_ring_take_as (self, &getting, deadline, cancellable);

  if (n_taken != NULL)
    *n_taken = getting.taken;
  return status;
}

MpRingStatus
mp_ring_take_with_fds (MpRing *self,
                       MpRingTake take,
                       gpointer user_data,
                       GArray *fds,
                       gint64 deadline,
                       GCancellable *cancellable)
{
  MpRingGetting getting = { .max_items = 1, .take = take, .user_data = user_data, .fds = fds };
  MpRingStatus status = mp_ring_take_as (self, &getting, deadline, cancellable);

  if (fds->len > 0)
    mp_ring_wake_fd_putters (self);
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
mp_ring_drain (MpRing *self, guint32 n_rounds, guint32 *n_taken)
{
  MpRingGetting getting = { .take = take_away,
                            .draining = TRUE,
                            .without_data = TRUE,
                            .skip_fds = TRUE };
  gint64 deadline = mp_deadline_new (DRAIN_US);
  MpRingStatus status;

  *n_taken = atomic_load (&self->shared->returned) != 0 ? mp_ring_drain_returned (self) : 0;
  do
    {
      getting.max_items = (gsize) getting.taken + DRAIN_ITEMS;
      status = take_all (self, &getting, deadline);
    }
  while (status == MP_RING_INTERRUPTED || (getting.taken == getting.max_items && --n_rounds > 0 &&
                                           mp_deadline_left (deadline) != 0));
  *n_taken += getting.taken;
  mp_ring_drop_stale_fds (self, deadline);
  return *n_taken != 0 ? MP_RING_DONE : status;
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
