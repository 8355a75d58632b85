/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* How several words of shared memory change at once.
 *
 * Under the lock, what is to be changed is written down: which words, and their
 * new values. The store of how many there are is the commit. Then they are
 * changed, and the number is set to zero. Whoever takes the lock and finds a
 * number there has the lock of somebody who died in between, and changes
 * those words, again: as the values are written down, it does no harm if some of them
 * have been changed already. */

#include "mp-arena-layout-private.h"

#include <errno.h>

#include "../base/mp-clock-private.h"

#define STATE_BEGIN G_STRUCT_OFFSET (MpArenaShared, n_blocks)
#define STATE_END                                                                                  \
  (G_STRUCT_OFFSET (MpArenaShared, chunks) + sizeof ((MpArenaShared *) NULL)->chunks)

void
mp_arena_commit (MpArena *self, MpArenaChanges *changes)
{
  atomic_store_explicit (&self->shared->n_changes, changes->n, memory_order_release);
  /* Nothing is changed before that, and nothing after the next store. */
  atomic_thread_fence (memory_order_release);
  for (guint i = 0; i < changes->n; i++)
    atomic_store_explicit (changes->targets[i], changes->values[i], memory_order_relaxed);
  atomic_store_explicit (&self->shared->n_changes, 0, memory_order_release);
}

/* Where a change of somebody else's goes. NULL with errno set. */
static _Atomic uint32_t *
find_target (MpArena *self, MpArenaChange *change)
{
  guint32 number = mp_arena_load (&change->chunk);
  guint32 offset = mp_arena_load (&change->offset);
  guint8 *base = (guint8 *) self->shared;
  gsize begin = STATE_BEGIN, end = STATE_END;

  if (number != 0)
    {
      MpArenaChunk *chunk = mp_arena_get_chunk (self, number);

      if (chunk == NULL)
        return NULL;
      base = chunk->map;
      begin = 0;
      end = chunk->metadata_length;
    }
  errno = EINVAL;
  if (offset % sizeof (uint32_t) != 0 || offset < begin || offset + sizeof (uint32_t) > end)
    return NULL;
  return (_Atomic uint32_t *) (gpointer) (base + offset);
}

static MpArenaStatus
redo (MpArena *self, guint32 n)
{
  _Atomic uint32_t *targets[MP_ARENA_MAX_CHANGES];

  atomic_thread_fence (memory_order_acquire);
  if (n > MP_ARENA_MAX_CHANGES)
    return MP_ARENA_CORRUPT;
  for (guint32 i = 0; i < n; i++)
    {
      targets[i] = find_target (self, &self->shared->changes[i]);
      if (targets[i] == NULL)
        return mp_arena_status_of_errno (errno);
    }
  for (guint32 i = 0; i < n; i++)
    atomic_store_explicit (targets[i],
                           mp_arena_load (&self->shared->changes[i].value),
                           memory_order_relaxed);
  atomic_store_explicit (&self->shared->n_changes, 0, memory_order_release);
  atomic_fetch_add_explicit (&self->shared->n_redone, 1, memory_order_relaxed);
  return MP_ARENA_DONE;
}

MpArenaStatus
mp_arena_lock (MpArena *self)
{
  return mp_arena_lock_until (self, MP_DEADLINE_NEVER);
}

MpArenaStatus
mp_arena_lock_until (MpArena *self, gint64 deadline)
{
  MpMicroLockResult result;
  MpArenaStatus status;
  guint32 n;

  do
    result = mp_micro_lock_acquire (&self->shared->lock, deadline);
  while (G_UNLIKELY (result == MP_MICRO_LOCK_INTERRUPTED));
  if (G_UNLIKELY (result == MP_MICRO_LOCK_TIMED_OUT))
    return MP_ARENA_BUSY;
  n = mp_arena_load (&self->shared->n_changes);
  if (G_LIKELY (n == 0))
    return MP_ARENA_DONE;
  status = redo (self, n);
  if (status != MP_ARENA_DONE)
    mp_arena_unlock (self);
  return status;
}

void
mp_arena_unlock (MpArena *self)
{
  int saved = errno;

  mp_micro_lock_release (&self->shared->lock);
  errno = saved;
}
