/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* The room of a ring: segments of doubling size, the classes, each at its own
 * fixed place in the one file, so that all that travels through shared memory
 * is the number of a class.
 *
 * Usually everything happens in one segment, which is a ring of its own:
 * positions are counted from its start, modulo its size. When a producer finds no room in it
 * there (and no bound forbids more), it opens a class that is not in use, and
 * closes the current one: the place where its messages end, and which class
 * comes next, are written down, and then put_class follows. A consumer that
 * comes to the end of a closed segment gives its memory back and then lets
 * get_class follow. The classes from get_class to put_class are in use, all
 * others are free. A drained ring goes back to class 0, see mp_ring_trim().
 *
 * None of this changes what has been committed, and each step can be done
 * again: whoever gets the lock after a death in the middle carries on.
 *
 * Memory is taken ahead of writing, so that there is an error instead of
 * SIGBUS when there is none. */

#include "mp-ring-layout-private.h"

#include <errno.h>
#include <sys/mman.h>

#include "../base/mp-clock-private.h"

/* Memory is taken in pieces of an eighth of the segment within these bounds. */
#define MIN_STEP_UNITS (64u * 1024 / MP_RING_UNIT)
#define MAX_STEP_UNITS (2u * 1024 * 1024 / MP_RING_UNIT)

/* A drained ring gives memory back at most this often, unless it is much. */
#define TRIM_INTERVAL_US (100 * 1000)

/* NULL with errno set, which is EFAULT if the file is not as long as it should be. */
guint8 *
mp_ring_map_class (MpRing *self, guint32 class_)
{
  gsize length = (gsize) mp_ring_class_units (self, class_) * MP_RING_UNIT;
  guint8 *expected = NULL;
  guint8 *memory;

  if (length > G_MAXSIZE / 2)
    {
      errno = ENOMEM;
      return NULL;
    }
  memory = mp_segment_map_twice (&self->segment, mp_ring_class_offset (self, class_), length);
  if (memory == NULL)
    return NULL;
  /* Two threads may have had the same idea. */
  if (atomic_compare_exchange_strong (&self->maps[class_], &expected, memory))
    return memory;
  munmap (memory, 2 * length);
  return expected;
}

/* Whether class @wanted is between get_class and put_class; also if that cannot be told. */
static gboolean
is_in_use (MpRing *self, guint32 wanted)
{
  MpRingShared *shared = self->shared;
  guint32 last = atomic_load_explicit (&shared->put_class, memory_order_relaxed);
  guint32 class_ = atomic_load_explicit (&shared->get_class, memory_order_acquire);

  for (guint32 i = 0; i < self->n_classes && class_ < self->n_classes; i++)
    {
      if (class_ == wanted)
        return TRUE;
      if (class_ == last)
        return FALSE;
      class_ = atomic_load_explicit (&shared->classes[class_].next, memory_order_relaxed);
    }
  return TRUE;
}

/* Under put_lock: a free class for @need units after @current is full; n_classes if there is none.
 */
static guint32
choose_class (MpRing *self, guint32 current, guint32 need)
{
  guint64 wanted = 2 * (guint64) mp_ring_class_units (self, current);

  if (need > mp_ring_class_units (self, current) / 4)
    wanted = MAX (wanted, 4 * (guint64) need);
  for (guint32 i = 0; i < self->n_classes; i++)
    {
      if (mp_ring_class_units (self, i) >= wanted && !is_in_use (self, i))
        return i;
    }
  for (guint32 i = self->n_classes; i > 0; i--)
    {
      if (mp_ring_class_units (self, i - 1) >= need && !is_in_use (self, i - 1))
        return i - 1;
    }
  return self->n_classes;
}

/* Under put_lock: ends the segment @current at @position, and goes on in @next. */
static MpRingStatus
open_class (MpRing *self, guint32 current, guint32 next, guint32 position)
{
  MpRingShared *shared = self->shared;
  guint64 end =
    mp_ring_class_offset (self, next) + (guint64) mp_ring_class_units (self, next) * MP_RING_UNIT;

  if (!mp_segment_grow (&self->segment, end) || mp_ring_get_memory (self, next) == NULL)
    return mp_ring_status_of_errno ();
  /* What is kept about put_class only saves looking: forget it first. */
  mp_ring_forget_room (self);
  atomic_store_explicit (&shared->put_single, 0, memory_order_relaxed);
  atomic_store_explicit (&shared->put_backed, 0, memory_order_relaxed);
  atomic_store_explicit (&shared->classes[next].closed, 0, memory_order_relaxed);
  atomic_store_explicit (&shared->classes[next].start, position, memory_order_relaxed);
  atomic_store_explicit (&shared->classes[current].end, position, memory_order_relaxed);
  atomic_store_explicit (&shared->classes[current].next, next, memory_order_relaxed);
  atomic_store_explicit (&shared->classes[current].closed, 1, memory_order_release);
  atomic_store_explicit (&shared->put_class, next, memory_order_release);
  return MP_RING_DONE;
}

/* Under put_lock: the class to put into, after somebody may have died in open_class(). */
static MpRingStatus
settle_put_class (MpRing *self, guint32 *class_)
{
  MpRingShared *shared = self->shared;

  *class_ = atomic_load_explicit (&shared->put_class, memory_order_relaxed);
  for (guint32 i = 0; *class_ < self->n_classes; i++)
    {
      if (atomic_load_explicit (&shared->classes[*class_].closed, memory_order_relaxed) == 0)
        return MP_RING_DONE;
      if (i == self->n_classes)
        break;
      *class_ = atomic_load_explicit (&shared->classes[*class_].next, memory_order_relaxed);
      if (*class_ >= self->n_classes)
        break;
      mp_ring_forget_room (self);
      atomic_store_explicit (&shared->put_single, 0, memory_order_relaxed);
      atomic_store_explicit (&shared->put_backed, 0, memory_order_relaxed);
      atomic_store_explicit (&shared->put_class, *class_, memory_order_release);
    }
  return MP_RING_CORRUPT;
}

/* Under put_lock: the units of put_class that are in use. */
static guint32
get_used_units (MpRing *self, guint32 class_, guint64 head)
{
  MpRingShared *shared = self->shared;

  if (atomic_load_explicit (&shared->get_class, memory_order_acquire) == class_)
    {
      /* Read after get_class, so it is in this segment as well. */
      guint64 tail = atomic_load_explicit (&shared->tail, memory_order_acquire);

      atomic_store_explicit (&shared->tail_cache, tail, memory_order_relaxed);
      atomic_store_explicit (&shared->put_single, 1, memory_order_relaxed);
      return mp_ring_position (head) - mp_ring_position (tail);
    }
  return mp_ring_position (head) -
         atomic_load_explicit (&shared->classes[class_].start, memory_order_relaxed);
}

static gboolean
allocate (MpRing *self, guint32 class_, guint64 from, guint64 to)
{
  return mp_segment_allocate (&self->segment,
                              mp_ring_class_offset (self, class_) + from * MP_RING_UNIT,
                              (to - from) * MP_RING_UNIT);
}

/* A page fault for each page of a queue that grows costs as much as its messages do. If the
 * kernel does not know how to avoid it, they come one by one. */
static void
populate (guint8 *memory, guint64 from, guint64 to)
{
#ifdef MADV_POPULATE_WRITE
  madvise (memory + from * MP_RING_UNIT, (to - from) * MP_RING_UNIT, MADV_POPULATE_WRITE);
#endif
}

/* Under put_lock: takes memory for @need units at @offset. */
static gboolean
back_class (MpRing *self, guint32 class_, guint8 *memory, guint32 offset, guint32 need)
{
  MpRingShared *shared = self->shared;
  const guint32 page = (guint32) mp_segment_get_page_size () / MP_RING_UNIT;
  guint32 capacity = mp_ring_class_units (self, class_);
  guint32 backed = atomic_load_explicit (&shared->put_backed, memory_order_relaxed);
  guint64 wanted = (guint64) offset + need;
  guint32 step = CLAMP (capacity / 8, MIN_STEP_UNITS, MAX_STEP_UNITS);

  if (wanted <= backed || backed == capacity)
    return TRUE;
  /* Somebody died in open_class(), or lies, and then about everything before it, too. What is
   * written around the end is at the beginning. */
  if (backed > capacity || offset > backed)
    return allocate (self, class_, offset, MIN (wanted, capacity)) &&
           (wanted <= capacity || allocate (self, class_, 0, wanted - capacity));
  wanted = MAX (wanted, (guint64) backed + step);
  wanted = MIN ((wanted + page - 1) / page * page, capacity);
  if (!allocate (self, class_, backed, wanted))
    return FALSE;
  populate (memory, backed, wanted);
  atomic_store_explicit (&shared->put_backed, (guint32) wanted, memory_order_relaxed);
  return TRUE;
}

MpRingStatus
mp_ring_make_room (MpRing *self, guint64 head, guint32 need, guint8 **place)
{
  guint32 position = mp_ring_position (head);

  for (guint32 i = 0; i <= self->n_classes; i++)
    {
      guint32 class_ = 0, next, capacity, used;
      MpRingStatus status = settle_put_class (self, &class_);

      if (status != MP_RING_DONE)
        return status;
      capacity = mp_ring_class_units (self, class_);
      used = get_used_units (self, class_, head);
      if (used > capacity)
        return MP_RING_CORRUPT;
      if ((guint64) used + need <= capacity)
        {
          guint32 offset = mp_ring_offset (self, class_, position);
          guint8 *memory = mp_ring_get_memory (self, class_);

          if (memory == NULL)
            return mp_ring_status_of_errno ();
          if (!back_class (self, class_, memory, offset, need))
            return MP_RING_NO_MEMORY;
          *place = memory + (gsize) offset * MP_RING_UNIT;
          return MP_RING_DONE;
        }
      next = choose_class (self, class_, need);
      if (next == self->n_classes)
        return MP_RING_NO_MEMORY;
      status = open_class (self, class_, next, position);
      if (status != MP_RING_DONE)
        return status;
    }
  return MP_RING_CORRUPT;
}

MpRingStatus
mp_ring_advance (MpRing *self, guint32 position, guint32 *class_)
{
  MpRingShared *shared = self->shared;

  *class_ = atomic_load_explicit (&shared->get_class, memory_order_relaxed);
  for (guint32 i = 0; i <= self->n_classes && *class_ < self->n_classes; i++)
    {
      MpRingClass *segment = &shared->classes[*class_];

      if (G_LIKELY (atomic_load_explicit (&segment->closed, memory_order_acquire) == 0 ||
                    position != atomic_load_explicit (&segment->end, memory_order_relaxed)))
        return MP_RING_DONE;
      /* The smallest is kept warm. */
      if (*class_ != 0 || mp_ring_class_units (self, 0) >= MP_RING_BIG_CLASS_UNITS)
        mp_segment_punch (&self->segment,
                          mp_ring_class_offset (self, *class_),
                          (guint64) mp_ring_class_units (self, *class_) * MP_RING_UNIT);
      *class_ = atomic_load_explicit (&segment->next, memory_order_relaxed);
      /* Only now may a producer open it again. */
      atomic_store_explicit (&shared->get_class, *class_, memory_order_release);
    }
  return MP_RING_CORRUPT;
}

static gboolean
should_trim (MpRing *self, guint32 units)
{
  guint32 class_ = atomic_load_explicit (&self->shared->put_class, memory_order_relaxed);
  guint64 now = (guint64) g_get_monotonic_time ();
  guint32 capacity;

  if (class_ == 0 || class_ >= self->n_classes)
    return FALSE;
  /* Fresh memory is dear: whoever sends big messages one by one keeps what
   * they need, but what a backlog left behind goes. */
  capacity = mp_ring_class_units (self, class_);
  return (capacity >= MP_RING_BIG_CLASS_UNITS && units < capacity / 16) ||
         now - atomic_load_explicit (&self->shared->trimmed_at, memory_order_relaxed) >=
           TRIM_INTERVAL_US;
}

void
mp_ring_trim_slow (MpRing *self, guint32 units)
{
  MpRingShared *shared = self->shared;
  guint32 class_ = 0;
  guint64 head;

  if (!should_trim (self, units) || mp_ring_lock_put (self, MP_DEADLINE_NOW) != MP_RING_DONE)
    return;
  head = atomic_load_explicit (&shared->head, memory_order_relaxed);
  if (head == atomic_load_explicit (&shared->tail, memory_order_acquire) &&
      settle_put_class (self, &class_) == MP_RING_DONE && class_ != 0 && !is_in_use (self, 0))
    {
      atomic_store_explicit (&shared->trimmed_at,
                             (guint64) g_get_monotonic_time (),
                             memory_order_relaxed);
      open_class (self, class_, 0, mp_ring_position (head));
    }
  mp_micro_lock_release (&shared->put_lock);

  if (mp_ring_lock_get (self, MP_DEADLINE_NOW) != MP_RING_DONE)
    return;
  mp_ring_advance (self,
                   mp_ring_position (atomic_load_explicit (&shared->tail, memory_order_relaxed)),
                   &class_);
  mp_micro_lock_release (&shared->get_lock);
}
