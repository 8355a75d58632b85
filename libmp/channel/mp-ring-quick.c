/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* One message into a ring and out of it, when there is nothing to wait for. Most
 * of it is inlined, see mp-ring-quick-private.h; what is here is called when that
 * does not know enough.
 *
 * The producers keep put_limit: up to this position there is room in put_class,
 * it has memory, and no bound is passed. Who puts by any other way sets it anew
 * before the commit, and who changes put_class takes it back before, so that it
 * may be believed at whatever instruction somebody dies. */

#include "mp-ring-quick-private.h"

guint8 *
mp_ring_find_place (MpRing *self, guint64 head, guint32 need, guint32 *room)
{
  MpRingShared *shared = self->shared;
  guint32 class_ = atomic_load_explicit (&shared->put_class, memory_order_relaxed);
  guint32 position = mp_ring_position (head), first, backed, capacity, offset;
  guint8 *memory;

  if (G_UNLIKELY (class_ >= self->n_classes ||
                  atomic_load_explicit (&shared->classes[class_].closed, memory_order_relaxed)))
    return NULL;
  backed = atomic_load_explicit (&shared->put_backed, memory_order_relaxed);
  memory = atomic_load_explicit (&self->maps[class_], memory_order_acquire);
  /* Until it is known that the consumers are here too, nothing here is free again. */
  if (atomic_load_explicit (&shared->put_single, memory_order_relaxed) == 1)
    first = mp_ring_position (atomic_load_explicit (&shared->tail_cache, memory_order_relaxed));
  else
    first = atomic_load_explicit (&shared->classes[class_].start, memory_order_relaxed);
  capacity = mp_ring_class_units (self, class_);
  offset = mp_ring_offset (self, class_, position);
  if (G_UNLIKELY ((guint64) (position - first) + need > capacity || memory == NULL ||
                  (backed != capacity && (guint64) offset + need > backed)))
    return NULL;
  *room = capacity - (position - first);
  if (backed != capacity)
    *room = MIN (*room, backed - offset);
  return memory + (gsize) offset * MP_RING_UNIT;
}

/* It stays so until put_class changes, since consumers only make it more. Each message
 * has at least one unit, so that a bound on messages is one on units. */
void
mp_ring_note_room (MpRing *self, guint64 head, guint32 room)
{
  MpRingShared *shared = self->shared;
  guint32 position = mp_ring_position (head);

  if (mp_ring_has_claim (self))
    room = 0;
  else if (self->bounded)
    {
      guint64 tail = atomic_load_explicit (&shared->tail_cache, memory_order_relaxed);
      guint32 units = position - mp_ring_position (tail);
      guint32 items = mp_ring_items (head) - mp_ring_items (tail);

      room = MIN (room, units < self->max_units ? self->max_units - units : 0);
      room = MIN (room, items < self->max_items ? self->max_items - items : 0);
    }
  /* Not around the end of the numbers; and the difference to a position is signed. */
  room = MIN (room, MIN (G_MAXUINT32 - position, (guint32) G_MAXINT32));
  atomic_store_explicit (&shared->put_limit, position + room, memory_order_relaxed);
}

/* Under put_lock: where one message can be written; NULL if the ring is closed, may be full, or
 * needs more than a look, or somebody has claimed room. */
static guint8 *
find_place_for_one (MpRing *self, guint64 head, guint32 units)
{
  MpRingShared *shared = self->shared;
  const MpRingNeed need = { .units = units, .items = 1 };
  guint32 room = 0;
  guint8 *place;

  if (atomic_load_explicit (&shared->closed, memory_order_relaxed) != 0 ||
      mp_ring_has_claim (self) ||
      (self->bounded &&
       !mp_ring_has_room (self,
                          head,
                          atomic_load_explicit (&shared->tail_cache, memory_order_relaxed),
                          &need)))
    return NULL;
  place = mp_ring_find_place (self, head, units, &room);
  if (place != NULL)
    mp_ring_note_room (self, head, room);
  return place;
}

gboolean
mp_ring_put_held (MpRing *self, const guint8 *data, gsize length, MpCodec codec)
{
  MpRingShared *shared = self->shared;
  guint32 units = mp_ring_units_for_quick (length);
  guint64 head = atomic_load_explicit (&shared->head, memory_order_relaxed);
  guint8 *place = find_place_for_one (self, head, units);

  if (G_LIKELY (place != NULL))
    {
      *(MpRingMessage *) (gpointer) place =
        (MpRingMessage){ .length = (uint32_t) length, .codec = (uint32_t) codec };
      if (length > 0)
        memcpy (place + sizeof (MpRingMessage), data, length);
      mp_ring_commit_put (shared, head, 1, units);
    }
  mp_micro_lock_release (&shared->put_lock);
  if (G_LIKELY (place != NULL))
    mp_ring_wake_getters (self, 1);
  return place != NULL;
}

void
mp_ring_finish_put (MpRing *self, MpRingQuick quick)
{
  if (quick == MP_RING_QUICK_LOCK_WANTED)
    {
      mp_micro_lock_wake (&self->shared->put_lock);
      mp_micro_lock_forget ();
    }
  mp_ring_wake_getters (self, 1);
}

gboolean
mp_ring_put_quickly (MpRing *self, const guint8 *data, gsize length, MpCodec codec)
{
  MpRingQuick quick = MP_RING_QUICK_UNFIT;

  if (!mp_ring_wants_block (self, length))
    quick = mp_ring_put_usual (self, data, length, codec, MP_RING_QUICK_LENGTH);
  if (G_LIKELY (quick == MP_RING_QUICK_DONE))
    return TRUE;
  if (quick == MP_RING_QUICK_HELD)
    return mp_ring_put_held (self, data, length, codec);
  if (quick == MP_RING_QUICK_UNFIT || quick == MP_RING_QUICK_UNTRIED)
    return FALSE;
  mp_ring_finish_put (self, quick);
  return TRUE;
}

gboolean
mp_ring_get_held (MpRing *self, guint8 *buffer, gsize size, gsize *length, guint *codec)
{
  MpRingShared *shared = self->shared;
  guint64 tail = atomic_load_explicit (&shared->tail, memory_order_relaxed);
  guint64 head = atomic_load_explicit (&shared->head_cache, memory_order_relaxed);
  guint32 class_ = atomic_load_explicit (&shared->get_class, memory_order_relaxed);
  const _Atomic uint32_t *words = NULL;
  MpRingMessage message;
  guint32 items, units = 0;

  if (mp_ring_items (tail) == mp_ring_items (head))
    {
      head = atomic_load_explicit (&shared->head, memory_order_acquire);
      atomic_store_explicit (&shared->head_cache, head, memory_order_release);
    }
  items = mp_ring_items (head) - mp_ring_items (tail);
  if (G_LIKELY (items != 0 && items <= mp_ring_position (head) - mp_ring_position (tail)))
    words = mp_ring_get_first (self, class_, tail);
  if (G_LIKELY (words != NULL))
    {
      message.length = atomic_load_explicit (&words[0], memory_order_relaxed);
      message.codec = atomic_load_explicit (&words[1], memory_order_relaxed);
      units = (guint32) mp_ring_units_for (message.length);
      if (message.length > size || message.codec > MP_CODEC_LAST ||
          units > mp_ring_position (head) - mp_ring_position (tail) ||
          units > mp_ring_class_units (self, class_))
        words = NULL;
    }
  if (G_LIKELY (words != NULL))
    {
      memcpy (buffer, (const guint8 *) &words[2], message.length);
      atomic_store_explicit (&shared->tail,
                             mp_ring_word (mp_ring_items (tail) + 1,
                                           mp_ring_position (tail) + units),
                             memory_order_release);
    }
  mp_micro_lock_release (&shared->get_lock);
  if (G_UNLIKELY (words == NULL))
    return FALSE;
  *length = message.length;
  if (codec != NULL)
    *codec = message.codec;
  mp_ring_wake_putters (self, 1);
  if (items == 1)
    mp_ring_trim (self, units);
  return TRUE;
}

void
mp_ring_finish_get (MpRing *self, MpRingQuick quick)
{
  if (quick == MP_RING_QUICK_LOCK_WANTED)
    {
      mp_micro_lock_wake (&self->shared->get_lock);
      mp_micro_lock_forget ();
    }
  mp_ring_wake_putters (self, 1);
  if (mp_ring_get_length (self) == 0)
    mp_ring_trim (self, mp_ring_units_for_quick (MP_RING_SMALL_LENGTH));
}

gboolean
mp_ring_get_quickly (MpRing *self, guint8 *buffer, gsize size, gsize *length, guint *codec)
{
  MpRingQuick quick = MP_RING_QUICK_UNTRIED;

  if (G_LIKELY (size >= MP_RING_SMALL_LENGTH))
    quick = mp_ring_get_small (self, buffer, length, codec);
  if (G_LIKELY (quick == MP_RING_QUICK_DONE))
    return TRUE;
  if (quick == MP_RING_QUICK_HELD)
    return mp_ring_get_held (self, buffer, size, length, codec);
  if (quick == MP_RING_QUICK_UNTRIED)
    return FALSE;
  mp_ring_finish_get (self, quick);
  return TRUE;
}
