/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Freeing what only dead processes hold, and looking at all blocks. */

#include "mp-arena-layout-private.h"

#include <string.h>
#include <time.h>

#include "../base/mp-clock-private.h"

/* So many slots are looked at before others get the lock. */
#define STEP 256u
/* How often somebody who looks for memory sweeps. */
#define INTERVAL_US (100 * 1000)
/* How long one who only looks waits for those who change something. */
#define PATIENCE_US (500 * 1000)

/* Where a sweep is, and what it knows of who is alive. */
typedef struct
{
  MpArena *arena;
  guint32 self_word;
  guint32 chunk;
  guint32 index;
  guint n_freed;
  /* By index, both: the last word that was probed, and what came out. */
  guint32 words[MP_ARENA_MAX_PARTICIPANTS];
  guint8 dead[MP_ARENA_MAX_PARTICIPANTS];
} Sweep;

static gboolean
is_dead (guint32 word, gpointer user_data)
{
  Sweep *sweep = user_data;
  guint place = word % MP_ARENA_MAX_PARTICIPANTS;

  if (sweep->words[place] != word)
    {
      sweep->dead[place] = !mp_participants_is_alive (sweep->arena->participants, word);
      sweep->words[place] = word;
    }
  return sweep->dead[place] != 0;
}

/* Under the shared lock: takes the dead holders from one slot. DYING: the caller has it now. */
static MpArenaStatus
sweep_slot (Sweep *sweep, guint32 slot, MpArenaSlot *held)
{
  guint32 generation = mp_arena_load (&held->generation);
  guint32 holder = mp_arena_load (&held->holder);
  guint32 word;

  if ((generation & 1) == 0)
    return holder != 0 && is_dead (holder, sweep)
             ? mp_arena_inherit (sweep->arena, slot, sweep->self_word)
             : MP_ARENA_DONE;
  while ((word = mp_arena_find_hold (sweep->arena, held, is_dead, sweep)) != 0)
    {
      MpArenaStatus status =
        mp_arena_drop_hold (sweep->arena, slot, generation, word, sweep->self_word);

      if (mp_arena_load (&held->generation) != generation)
        sweep->n_freed++;
      if (status != MP_ARENA_DONE || mp_arena_load (&held->generation) != generation)
        return status;
    }
  return MP_ARENA_DONE;
}

/* Under the shared lock: some slots of one chunk. Big ones whose memory is to
 * be given back are written to @dying. */
static guint
sweep_slots (Sweep *sweep, MpArenaChunk *chunk, guint32 end, guint32 *dying)
{
  guint n = 0;

  for (; sweep->index < end; sweep->index++)
    {
      guint32 slot = mp_arena_slot_number (sweep->chunk, sweep->index);
      MpArenaSlot *held = &mp_arena_slots (chunk)[sweep->index];

      if (mp_arena_load (&held->holder) != 0 && sweep_slot (sweep, slot, held) == MP_ARENA_DYING)
        dying[n++] = slot;
    }
  return n;
}

/* Under the mutex. FALSE at the end. */
static gboolean
sweep_step (Sweep *sweep)
{
  MpArena *self = sweep->arena;
  guint32 dying[STEP], used;
  MpArenaChunk *chunk;
  guint n = 0;

  if (mp_arena_lock (self) != MP_ARENA_DONE)
    return FALSE;
  if (sweep->chunk > MIN (mp_arena_load (&self->shared->n_chunks), MP_ARENA_N_CHUNKS - 1))
    {
      mp_arena_unlock (self);
      return FALSE;
    }
  chunk = mp_arena_get_chunk (self, sweep->chunk);
  used = chunk != NULL && chunk->class_ != MP_ARENA_CLASS_HOLDS
           ? mp_arena_get_used (self, sweep->chunk)
           : 0;
  n = sweep_slots (sweep, chunk, MIN (used, sweep->index + STEP), dying);
  mp_arena_unlock (self);
  for (guint i = 0; i < n; i++)
    {
      mp_arena_punch_block (self, dying[i]);
      mp_arena_bury (self, dying[i], sweep->self_word);
    }
  if (sweep->index >= used)
    {
      sweep->chunk++;
      sweep->index = 0;
    }
  return TRUE;
}

static gboolean
sweep_begin (Sweep *sweep, MpArena *self)
{
  memset (sweep, 0, sizeof *sweep);
  sweep->arena = self;
  sweep->chunk = 1;
  sweep->self_word = mp_participants_get_self_word (self->participants);
  /* Nobody does it in nobody's name. */
  return sweep->self_word != MP_PARTICIPANT_NONE;
}

guint
mp_arena_sweep_locked (MpArena *self)
{
  Sweep sweep;

  if (!sweep_begin (&sweep, self))
    return 0;
  while (sweep_step (&sweep))
    ;
  atomic_store_explicit (&self->shared->swept_at, g_get_monotonic_time (), memory_order_relaxed);
  return sweep.n_freed;
}

void
mp_arena_sweep_if_due (MpArena *self)
{
  gint64 now = g_get_monotonic_time ();
  gint64 last = atomic_load_explicit (&self->shared->swept_at, memory_order_relaxed);

  if (now - last >= INTERVAL_US || last > now)
    mp_arena_sweep_locked (self);
}

guint
mp_arena_sweep (MpArena *self)
{
  gboolean more;
  Sweep sweep;

  pthread_mutex_lock (&self->mutex);
  mp_arena_work_off_lingers (self);
  more = sweep_begin (&sweep, self);
  while (more && sweep_step (&sweep))
    {
      /* Others of this process want something, too. */
      pthread_mutex_unlock (&self->mutex);
      pthread_mutex_lock (&self->mutex);
    }
  pthread_mutex_unlock (&self->mutex);
  return more ? sweep.n_freed : 0;
}

static void
sweep_cb (MpArena *arena, gpointer user_data)
{
  mp_arena_sweep (arena);
}

void
mp_arena_sweep_all (void)
{
  mp_arena_foreach (sweep_cb, NULL);
}

/* What the caller of mp_arena_foreach_block() is told. */
typedef struct
{
  guint32 kind;
  guint32 slot;
  guint32 generation;
  gpointer memory;
  gsize size;
} Seen;

/* Copies what is in use of the slots from @index on; returns how many there are. */
static guint
copy_seen (MpArena *self, guint32 number, guint32 *index, guint32 used, Seen *seen)
{
  MpArenaChunk *chunk = &self->chunks[number];
  guint32 end = MIN (used, *index + STEP);
  guint n = 0;

  for (; *index < end; (*index)++)
    {
      MpArenaSlot *slot = &mp_arena_slots (chunk)[*index];
      guint64 size = atomic_load_explicit (&slot->size, memory_order_relaxed);
      guint32 generation = mp_arena_load (&slot->generation);

      if ((generation & 1) == 0 || size > (guint64) 1 << mp_arena_class_shift (chunk->class_))
        continue;
      seen[n++] = (Seen){ .kind = mp_arena_load (&slot->kind),
                          .slot = mp_arena_slot_number (number, *index),
                          .generation = generation,
                          .memory = mp_arena_memory (chunk, *index),
                          .size = (gsize) size };
    }
  return n;
}

/* FALSE at the end, or if somebody has a lock and does not go on. */
static gboolean
look_at_some (MpArena *self, guint32 *number, guint32 *index, Seen *seen, guint *n)
{
  gint64 deadline = mp_deadline_new (PATIENCE_US);
  struct timespec until = { .tv_sec = deadline / G_USEC_PER_SEC,
                            .tv_nsec = (deadline % G_USEC_PER_SEC) * 1000 };
  gboolean more;

  *n = 0;
  if (pthread_mutex_clocklock (&self->mutex, CLOCK_MONOTONIC, &until) != 0)
    return FALSE;
  more = mp_arena_lock_until (self, deadline) == MP_ARENA_DONE;
  if (more)
    {
      more = *number <= MIN (mp_arena_load (&self->shared->n_chunks), MP_ARENA_N_CHUNKS - 1);
      if (more)
        {
          MpArenaChunk *chunk = mp_arena_get_chunk (self, *number);
          guint32 used = 0;

          if (chunk != NULL && chunk->class_ != MP_ARENA_CLASS_HOLDS)
            used = mp_arena_get_used (self, *number);
          *n = copy_seen (self, *number, index, used, seen);
          if (*index >= used)
            {
              (*number)++;
              *index = 0;
            }
        }
      mp_arena_unlock (self);
    }
  pthread_mutex_unlock (&self->mutex);
  return more;
}

void
mp_arena_foreach_block (MpArena *self, MpBlockFunc func, gpointer user_data)
{
  g_autofree Seen *seen = g_new (Seen, STEP);
  guint32 number = 1, index = 0;
  guint n = 0;

  while (look_at_some (self, &number, &index, seen, &n))
    {
      for (guint i = 0; i < n; i++)
        func (seen[i].kind,
              seen[i].slot,
              seen[i].generation,
              seen[i].memory,
              seen[i].size,
              user_data);
    }
}
