/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <string.h>

#include "mp-ring-layout-private.h"

G_BEGIN_DECLS

/* The usual case of a put and of a get of one message: the lock is free, and
 * there is surely room for it, or it is there. For small messages it is inlined
 * into the public calls, and calls nothing itself, so that most of what it takes
 * are the locked instructions. mp-ring-quick.c and mp-ring.c have all other cases. */

/* Longer messages take so long that the short ways do not count. */
#define MP_RING_QUICK_LENGTH 65536
/* Up to here they are copied without a call. */
#define MP_RING_SMALL_LENGTH 128

typedef struct
{
  uint32_t length;
  uint32_t codec;
} MpRingMessage;

G_STATIC_ASSERT (sizeof (MpRingMessage) == MP_RING_UNIT);

typedef enum
{
  MP_RING_QUICK_DONE,
  MP_RING_QUICK_UNTRIED,    /* nothing happened */
  MP_RING_QUICK_UNFIT,      /* nothing happened: the message is too long for this */
  MP_RING_QUICK_HELD,       /* nothing happened, but this thread has the lock of its side */
  MP_RING_QUICK_AWAITED,    /* done, but somebody is to be woken, or memory given back */
  MP_RING_QUICK_LOCK_WANTED /* done, but somebody waits for the lock, and this thread still has it
                               in its robust list */
} MpRingQuick;

static inline guint64
mp_ring_units_for (guint64 length)
{
  return 1 + (length + MP_RING_UNIT - 1) / MP_RING_UNIT;
}

/* Of a length that has been looked at. */
static inline guint32
mp_ring_units_for_quick (gsize length)
{
  return 1 + ((guint32) length + MP_RING_UNIT - 1) / MP_RING_UNIT;
}

/* Where a position of a segment lies; NULL if that is not known. At least a page
 * of the segment lies behind it, so that small messages are inside whatever the
 * shared memory has. */
static inline guint8 *
mp_ring_get_place (MpRing *self, guint32 class_, guint64 word)
{
  guint8 *memory;

  if (G_UNLIKELY (class_ >= self->n_classes))
    return NULL;
  memory = atomic_load_explicit (&self->maps[class_], memory_order_acquire);
  if (G_UNLIKELY (memory == NULL))
    return NULL;
  return memory + (gsize) mp_ring_offset (self, class_, mp_ring_position (word)) * MP_RING_UNIT;
}

/* Under put_lock: where @units, no more than any segment has, can surely be
 * written at @head. NULL if it is not sure. */
static inline guint8 *
mp_ring_get_sure_place (MpRing *self, guint64 head, guint32 units)
{
  MpRingShared *shared = self->shared;
  guint32 class_ = atomic_load_explicit (&shared->put_class, memory_order_relaxed);
  guint32 limit = atomic_load_explicit (&shared->put_limit, memory_order_relaxed);

  if (G_UNLIKELY (atomic_load_explicit (&shared->closed, memory_order_relaxed) != 0 ||
                  (gint32) (limit - mp_ring_position (head)) < (gint32) units))
    return NULL;
  return mp_ring_get_place (self, class_, head);
}

/* Up to MP_RING_SMALL_LENGTH bytes. The two halves of what is copied overlap. */
__attribute__ ((always_inline)) static inline void
mp_ring_copy_small (guint8 *to, const guint8 *from, gsize length)
{
  if (G_LIKELY (length >= 16))
    {
      if (length > 64)
        {
          memcpy (to + 32, from + 32, 32);
          memcpy (to + length - 64, from + length - 64, 32);
        }
      if (length > 32)
        {
          memcpy (to + 16, from + 16, 16);
          memcpy (to + length - 32, from + length - 32, 16);
        }
      memcpy (to, from, 16);
      memcpy (to + length - 16, from + length - 16, 16);
    }
  else if (length >= 8)
    {
      memcpy (to, from, 8);
      memcpy (to + length - 8, from + length - 8, 8);
    }
  else if (length >= 4)
    {
      memcpy (to, from, 4);
      memcpy (to + length - 4, from + length - 4, 4);
    }
  else if (length > 0)
    {
      to[0] = from[0];
      to[length / 2] = from[length / 2];
      to[length - 1] = from[length - 1];
    }
}

__attribute__ ((always_inline)) static inline void
mp_ring_copy (guint8 *to, const guint8 *from, gsize length, gsize max_length)
{
  if (max_length <= MP_RING_SMALL_LENGTH)
    mp_ring_copy_small (to, from, length);
  else if (length > 0)
    memcpy (to, from, length);
}

/* @max_length: a constant, MP_RING_SMALL_LENGTH or MP_RING_QUICK_LENGTH. */
__attribute__ ((always_inline)) static inline MpRingQuick
mp_ring_put_usual (MpRing *self, const guint8 *data, gsize length, MpCodec codec, gsize max_length)
{
  const MpMicroLockThread thread = mp_micro_lock_thread;
  MpRingShared *shared = self->shared;
  guint32 units;
  guint64 head;
  guint8 *place;

  if (length > max_length)
    return MP_RING_QUICK_UNFIT;
  if (G_UNLIKELY (thread.tid == 0))
    return MP_RING_QUICK_UNTRIED;
  units = mp_ring_units_for_quick (length);
  if (max_length > MP_RING_SMALL_LENGTH && G_UNLIKELY (units > self->base_units))
    return MP_RING_QUICK_UNFIT;
  if (G_UNLIKELY (!mp_micro_lock_try_as (&shared->put_lock, &thread)))
    {
      mp_micro_lock_forget_as (&thread);
      return MP_RING_QUICK_UNTRIED;
    }
  head = atomic_load_explicit (&shared->head, memory_order_relaxed);
  place = mp_ring_get_sure_place (self, head, units);
  if (G_UNLIKELY (place == NULL))
    return MP_RING_QUICK_HELD;
  *(MpRingMessage *) (gpointer) place =
    (MpRingMessage){ .length = (uint32_t) length, .codec = (uint32_t) codec };
  mp_ring_copy (place + sizeof (MpRingMessage), data, length, max_length);
  /* put_limit is never behind the end of the numbers. */
  atomic_store_explicit (&shared->head, head + mp_ring_word (1, units), memory_order_release);
  if (G_UNLIKELY (mp_micro_lock_let_go (&shared->put_lock)))
    return MP_RING_QUICK_LOCK_WANTED;
  mp_micro_lock_forget_as (&thread);
  mp_ring_fence_after_release (self);
  return G_LIKELY (!mp_ring_is_awaited (&shared->getters)) ? MP_RING_QUICK_DONE
                                                           : MP_RING_QUICK_AWAITED;
}

/* Under get_lock: where the message at @tail lies, in the segment @class_ where
 * the consumers are; NULL if they have to go on to another one. */
static inline const _Atomic uint32_t *
mp_ring_get_first (MpRing *self, guint32 class_, guint64 tail)
{
  const guint8 *place = mp_ring_get_place (self, class_, tail);
  MpRingClass *segment;

  if (G_UNLIKELY (place == NULL))
    return NULL;
  segment = &self->shared->classes[class_];
  if (G_UNLIKELY (atomic_load_explicit (&segment->closed, memory_order_acquire) != 0 &&
                  mp_ring_position (tail) ==
                    atomic_load_explicit (&segment->end, memory_order_relaxed)))
    return NULL;
  return (const _Atomic uint32_t *) (gconstpointer) place;
}

/* @buffer: of at least MP_RING_SMALL_LENGTH. */
__attribute__ ((always_inline)) static inline MpRingQuick
mp_ring_get_small (MpRing *self, guint8 *buffer, gsize *length, guint *codec)
{
  const MpMicroLockThread thread = mp_micro_lock_thread;
  MpRingShared *shared = self->shared;
  /* What a consumer knows of head it writes before tail. */
  guint64 tail = atomic_load_explicit (&shared->tail, memory_order_acquire);
  guint64 head = atomic_load_explicit (&shared->head_cache, memory_order_acquire);
  const _Atomic uint32_t *words = NULL;
  MpRingMessage message;
  guint32 class_, units;

  if (tail == head)
    head = atomic_load_explicit (&shared->head, memory_order_acquire);
  if (tail == head ||
      G_UNLIKELY (thread.tid == 0 ||
                  atomic_load_explicit (&shared->returned, memory_order_relaxed) != 0))
    return MP_RING_QUICK_UNTRIED;
  if (G_UNLIKELY (!mp_micro_lock_try_as (&shared->get_lock, &thread)))
    {
      mp_micro_lock_forget_as (&thread);
      return MP_RING_QUICK_UNTRIED;
    }
  class_ = atomic_load_explicit (&shared->get_class, memory_order_relaxed);
  /* If nobody took anything since, what is before head is still there. */
  if (G_LIKELY (tail == atomic_load_explicit (&shared->tail, memory_order_relaxed) &&
                mp_ring_items (head - tail) != 0))
    words = mp_ring_get_first (self, class_, tail);
  if (G_UNLIKELY (words == NULL))
    return MP_RING_QUICK_HELD;
  message.length = atomic_load_explicit (&words[0], memory_order_relaxed);
  message.codec = atomic_load_explicit (&words[1], memory_order_relaxed);
  units = mp_ring_units_for_quick (message.length);
  /* Nor do the numbers begin anew between here and head. */
  if (message.length > MP_RING_SMALL_LENGTH ||
      G_UNLIKELY (message.codec > MP_CODEC_LAST ||
                  (guint64) mp_ring_position (tail) + units > mp_ring_position (head)))
    return MP_RING_QUICK_HELD;
  *length = message.length;
  if (codec != NULL)
    *codec = message.codec;
  mp_ring_copy_small (buffer, (const guint8 *) &words[2], message.length);
  tail += mp_ring_word (1, units);
  atomic_store_explicit (&shared->head_cache, head, memory_order_release);
  atomic_store_explicit (&shared->tail, tail, memory_order_release);
  if (G_UNLIKELY (mp_micro_lock_let_go (&shared->get_lock)))
    return MP_RING_QUICK_LOCK_WANTED;
  mp_micro_lock_forget_as (&thread);
  if (class_ != 0 && tail == head)
    return MP_RING_QUICK_AWAITED;
  if (!self->bounded)
    return MP_RING_QUICK_DONE;
  mp_ring_fence_after_release (self);
  return G_LIKELY (!mp_ring_is_awaited (&shared->putters)) ? MP_RING_QUICK_DONE
                                                           : MP_RING_QUICK_AWAITED;
}

/* mp-ring-quick.c */

/* What has to follow, by the answer. The two for MP_RING_QUICK_HELD give the
 * lock back, whether they could do it or not. */
gboolean mp_ring_put_held (MpRing *self, const guint8 *data, gsize length, MpCodec codec);
gboolean mp_ring_get_held (MpRing *self, guint8 *buffer, gsize size, gsize *length, guint *codec);
void mp_ring_finish_put (MpRing *self, MpRingQuick quick);
void mp_ring_finish_get (MpRing *self, MpRingQuick quick);

/* Under put_lock: the usual case of mp_ring_make_room(), where everything that
 * is needed lies in the producers' own cache lines. @room: how much there is
 * surely at the place; NULL if it is another case. */
guint8 *mp_ring_find_place (MpRing *self, guint64 head, guint32 need, guint32 *room);
/* Under put_lock, before a put at @head: so much room is surely there. */
void mp_ring_note_room (MpRing *self, guint64 head, guint32 room);

static inline gboolean
mp_ring_has_room (MpRing *self, guint64 head, guint64 tail, const MpRingNeed *need)
{
  guint32 units = mp_ring_position (head) - mp_ring_position (tail);
  guint32 items = mp_ring_items (head) - mp_ring_items (tail);

  return (guint64) units + need->units <= self->max_units &&
         (guint64) items + need->items <= self->max_items;
}

/* Under put_lock. */
static inline void
mp_ring_commit_put (MpRingShared *shared, guint64 head, guint32 items, guint32 units)
{
  atomic_store_explicit (&shared->head,
                         mp_ring_word (mp_ring_items (head) + items,
                                       mp_ring_position (head) + units),
                         memory_order_release);
}

G_END_DECLS
