/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Blocks as this process has them: how often it uses each one, and those that
 * it does not use any more but still holds for a while. */

#include "mp-arena-layout-private.h"

#include <errno.h>
#include <string.h>

#include "../base/mp-error.h"

/* So many of those that have lingered are dropped by one call. */
#define LINGERS_AT_ONCE 16

gboolean
mp_arena_set_error (MpArenaStatus status, int err, const char *what, GError **error)
{
  switch (status)
    {
    case MP_ARENA_GONE:
      g_set_error (error, MP_ERROR, MP_ERROR_NOT_FOUND, "%s: it is no more", what);
      break;
    case MP_ARENA_NO_MEMORY:
      if (err == EBADF)
        g_set_error (error,
                     MP_ERROR,
                     MP_ERROR_FAILED,
                     "%s: the descriptor of the shared memory was closed by the program",
                     what);
      else
        g_set_error (error,
                     MP_ERROR,
                     MP_ERROR_LIMIT,
                     "%s: there is not enough memory: %s",
                     what,
                     g_strerror (err));
      break;
    case MP_ARENA_DONE:
    case MP_ARENA_DYING:
    case MP_ARENA_FULL:
    case MP_ARENA_BUSY:
    case MP_ARENA_CORRUPT:
    default:
      g_set_error (error, MP_ERROR, MP_ERROR_CORRUPT, "%s: the arena is corrupt", what);
      break;
    }
  return FALSE;
}

/* The class that a block of @size bytes is in. */
static guint32
class_for (gsize size)
{
  guint shift = size > 1 ? g_bit_storage (size - 1) : 0;

  return MAX (shift, MP_ARENA_MIN_SHIFT) - MP_ARENA_MIN_SHIFT;
}

MpArenaLocal *
mp_arena_find_local (MpArena *self, guint32 slot, guint32 generation)
{
  guint32 number = mp_arena_chunk_of (slot), index = mp_arena_index_of (slot);
  MpArenaLocal *local;

  if (number >= MP_ARENA_N_CHUNKS || index >= self->chunks[number].n_locals)
    return NULL;
  local = &self->chunks[number].locals[index];
  return local->generation == generation ? local : NULL;
}

void
mp_arena_use (MpArena *self, MpBlock *block)
{
  guint32 index = mp_arena_index_of (block->slot);
  MpArenaChunk *chunk = &self->chunks[mp_arena_chunk_of (block->slot)];
  MpArenaLocal *local;

  if (chunk->locals == NULL)
    chunk->locals = g_new0 (MpArenaLocal, chunk->n_slots);
  chunk->n_locals = MAX (chunk->n_locals, index + 1);
  local = &chunk->locals[index];
  if (local->generation != block->generation)
    *local = (MpArenaLocal){ .generation = block->generation, .n_forks = self->n_forks };
  local->linger = 0;
  local->n_uses++;
  block->memory = mp_arena_memory (chunk, index);
  block->arena = mp_arena_ref (self);
}

/* Making */

/* Under the mutex. */
static MpArenaStatus
take (MpArena *self, guint32 kind, gsize size, guint32 word, MpArenaTaken *taken)
{
  guint32 class_ = class_for (size);
  MpArenaStatus status = mp_arena_take (self, class_, kind, size, word, FALSE, taken);

  if (G_LIKELY (status != MP_ARENA_FULL))
    return status;
  if (mp_arena_load (&self->shared->current[class_]) != 0)
    mp_arena_sweep_if_due (self);
  return mp_arena_take (self, class_, kind, size, word, TRUE, taken);
}

/* This process holds it no more. Under the mutex, which may be released for a moment. */
static void
drop (MpArena *self, guint32 slot, guint32 generation, guint32 word)
{
  MpArenaStatus status = mp_arena_lock (self);

  if (status != MP_ARENA_DONE)
    return;
  status = mp_arena_drop_hold (self, slot, generation, word, word);
  mp_arena_unlock (self);
  if (status != MP_ARENA_DYING)
    return;
  pthread_mutex_unlock (&self->mutex);
  mp_arena_punch_block (self, slot);
  pthread_mutex_lock (&self->mutex);
  mp_arena_bury (self, slot, word);
}

/* Gives a new block its memory, zeroed. FALSE with errno set. Under the mutex,
 * which may be released for a moment. */
static gboolean
prepare_memory (MpArena *self, const MpArenaTaken *taken, gsize size)
{
  MpArenaChunk *chunk = &self->chunks[mp_arena_chunk_of (taken->slot)];
  gboolean backed;

  if (!mp_arena_is_big (self, chunk->class_))
    {
      if (!taken->fresh)
        memset (mp_arena_memory (chunk, mp_arena_index_of (taken->slot)),
                0,
                (gsize) 1 << mp_arena_class_shift (chunk->class_));
      return TRUE;
    }
  pthread_mutex_unlock (&self->mutex);
  backed = mp_arena_back_block (self, taken->slot, size);
  pthread_mutex_lock (&self->mutex);
  return backed;
}

/* Under the mutex. errno is set for NO_MEMORY. */
static MpArenaStatus
make (MpBlock *self, MpArena *arena, guint32 kind, gsize size, guint32 word)
{
  MpArenaTaken taken = { 0 };
  MpArenaStatus status = take (arena, kind, size, word, &taken);

  if (status != MP_ARENA_DONE)
    return status;
  if (!prepare_memory (arena, &taken, size))
    {
      int saved = errno;

      drop (arena, taken.slot, taken.generation, word);
      errno = saved;
      return MP_ARENA_NO_MEMORY;
    }
  *self =
    (MpBlock){ .size = size, .kind = kind, .slot = taken.slot, .generation = taken.generation };
  mp_arena_use (arena, self);
  return MP_ARENA_DONE;
}

gboolean
mp_block_new (MpBlock *self, MpArena *arena, guint32 kind, gsize size, GError **error)
{
  MpArenaStatus status = MP_ARENA_CORRUPT;
  guint32 word;
  int saved = 0;

  if (size > (guint64) 1 << MP_ARENA_MAX_SHIFT)
    {
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_LIMIT,
                   "A shared object of %" G_GSIZE_FORMAT " bytes is too big",
                   size);
      return FALSE;
    }
  pthread_mutex_lock (&arena->mutex);
  mp_arena_work_off_lingers (arena);
  word = mp_arena_get_word (arena, error);
  if (word != MP_PARTICIPANT_NONE)
    {
      status = make (self, arena, kind, size, word);
      saved = errno;
    }
  pthread_mutex_unlock (&arena->mutex);
  return word != MP_PARTICIPANT_NONE &&
         (status == MP_ARENA_DONE ||
          mp_arena_set_error (status, saved, "Making a shared object", error));
}

/* Dropping */

static void
linger (MpArena *self, guint32 slot, MpArenaLocal *local)
{
  if (self->linger_end == self->linger_room)
    {
      gsize n = self->linger_end - self->linger_begin;

      if (self->linger_begin > self->linger_room / 2)
        memmove (self->lingers, self->lingers + self->linger_begin, n * sizeof (MpArenaLinger));
      else
        {
          MpArenaLinger *old = self->lingers;

          self->linger_room = 2 * n + 64;
          self->lingers = g_new (MpArenaLinger, self->linger_room);
          if (n > 0)
            memcpy (self->lingers, old + self->linger_begin, n * sizeof (MpArenaLinger));
          g_free (old);
        }
      self->linger_begin = 0;
      self->linger_end = n;
    }
  self->linger_number = MAX (self->linger_number + 1, 1);
  local->linger = self->linger_number;
  self->lingers[self->linger_end++] =
    (MpArenaLinger){ .slot = slot,
                     .generation = local->generation,
                     .number = local->linger,
                     .until = g_get_monotonic_time () + MP_ARENA_LINGER_US };
  if (!self->linger_ref)
    mp_arena_ref (self);
  self->linger_ref = TRUE;
}

void
mp_arena_work_off_lingers (MpArena *self)
{
  gint64 now;

  if (G_LIKELY (!self->linger_ref))
    return;
  now = g_get_monotonic_time ();
  for (guint i = 0; i < LINGERS_AT_ONCE && self->linger_begin < self->linger_end &&
                    self->lingers[self->linger_begin].until <= now;
       i++)
    {
      MpArenaLinger last = self->lingers[self->linger_begin++];
      MpArenaLocal *local = mp_arena_find_local (self, last.slot, last.generation);

      if (local == NULL || local->linger != last.number)
        continue;
      local->generation = 0;
      local->n_uses = 0;
      drop (self, last.slot, last.generation, mp_participants_get_self_word (self->participants));
    }
  /* Another thread may have come to the end while the mutex was released. */
  if (self->linger_ref && self->linger_begin == self->linger_end)
    {
      self->linger_ref = FALSE;
      mp_arena_unref (self); /* The caller has one, too. */
    }
}

/* They are the parent's. */
void
mp_arena_forget_lingers (MpArena *self)
{
  self->linger_begin = self->linger_end;
}

/* Under the mutex. */
static void
stop_using (MpArena *self, guint32 slot, guint32 generation)
{
  MpArenaLocal *local = mp_arena_find_local (self, slot, generation);
  gboolean unheld;

  if (local == NULL || (local->n_uses & MP_ARENA_USES_MASK) == 0 ||
      (--local->n_uses & MP_ARENA_USES_MASK) != 0)
    return;
  unheld = (local->n_uses & MP_ARENA_UNHELD) != 0;
  if (!unheld && ((local->n_uses & MP_ARENA_EXPORTED) != 0 || local->n_forks != self->n_forks))
    {
      linger (self, slot, local);
      return;
    }
  local->generation = 0;
  local->n_uses = 0;
  if (!unheld)
    drop (self, slot, generation, mp_participants_get_self_word (self->participants));
}

void
mp_block_clear (MpBlock *self)
{
  MpArena *arena = g_steal_pointer (&self->arena);

  if (arena == NULL)
    return;
  pthread_mutex_lock (&arena->mutex);
  mp_arena_work_off_lingers (arena);
  stop_using (arena, self->slot, self->generation);
  pthread_mutex_unlock (&arena->mutex);
  *self = (MpBlock) MP_BLOCK_INIT;
  mp_arena_unref (arena);
}

/* Forking */

static void
inherit_block (MpArena *self, guint32 slot, MpArenaLocal *local, guint32 word)
{
  MpArenaStatus status;

  if ((local->n_uses & MP_ARENA_USES_MASK) == 0)
    {
      /* It lingers for the parent, or for nobody. */
      *local = (MpArenaLocal){ .generation = 0 };
      return;
    }
  local->n_uses |= MP_ARENA_UNHELD;
  if (word == MP_PARTICIPANT_NONE)
    return;
  status = mp_arena_lock (self);
  if (status == MP_ARENA_DONE)
    {
      status = mp_arena_add_hold (self, slot, local->generation, word);
      mp_arena_unlock (self);
    }
  if (status == MP_ARENA_DONE)
    local->n_uses &= ~MP_ARENA_UNHELD;
}

static void
inherit_blocks (MpArena *self, guint32 word, gboolean unheld_only)
{
  for (guint32 number = 1; number < MP_ARENA_N_CHUNKS; number++)
    {
      MpArenaChunk *chunk = &self->chunks[number];

      for (guint32 index = 0; index < chunk->n_locals; index++)
        {
          MpArenaLocal *local = &chunk->locals[index];

          if (local->generation != 0 && (!unheld_only || (local->n_uses & MP_ARENA_UNHELD) != 0))
            inherit_block (self, mp_arena_slot_number (number, index), local, word);
        }
    }
}

void
mp_arena_inherit_blocks (MpArena *self)
{
  /* The thread's id is another one, and whoever else learns of the fork may come later. */
  mp_micro_lock_setup_thread ();
  inherit_blocks (self, mp_participants_get_self_word (self->participants), FALSE);
}

guint32
mp_arena_get_word (MpArena *self, GError **error)
{
  guint32 word = mp_participants_get_self_word (self->participants);

  if (G_LIKELY (word != MP_PARTICIPANT_NONE))
    return word;
  word = mp_participants_get_self (self->participants, error);
  if (word != MP_PARTICIPANT_NONE)
    inherit_blocks (self, word, TRUE);
  return word;
}
