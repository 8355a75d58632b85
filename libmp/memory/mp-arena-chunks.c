/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* The chunks of an arena: where they are in the file, in this process, and
 * where they have memory.
 *
 * Each chunk begins with what is known about its slots, and behind that, page
 * aligned, lie the slots' memory. A chunk has about twice as many slots as the
 * one of its class before, so that there are never many; what is not used of it has no
 * memory. Memory is taken before it is written to, so that there is an error
 * instead of SIGBUS when there is none.
 *
 * Whatever is done with the descriptor is done after a look whether it still
 * is that of the arena: the program may have closed it, and the number be that of
 * a file of its own. */

#include "mp-arena-layout-private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../base/mp-fd-private.h"
#include "mp-available-private.h"

#define MIN_CHUNK_BYTES 65536u
/* Big enough for any block, small enough for the address space; a chunk has at
 * least one slot. */
#define MAX_CHUNK_SHIFT 36
/* Memory of small blocks, and what is known about slots, is taken in such pieces. */
#define STEP_BYTES 65536u
#define SLOTS_STEP 128u
#define HOLDS_STEP 512u

static gsize
metadata_size (guint32 class_)
{
  return class_ == MP_ARENA_CLASS_HOLDS ? sizeof (MpArenaHold) : sizeof (MpArenaSlot);
}

/* How long a chunk is, and where in it the memory of its slots begins. */
static gsize
measure_chunk (guint32 class_, guint32 n_slots, gsize *objects)
{
  gsize length = mp_arena_round_up (n_slots * metadata_size (class_), mp_segment_get_page_size ());

  *objects = length;
  if (class_ != MP_ARENA_CLASS_HOLDS)
    length += (gsize) n_slots << mp_arena_class_shift (class_);
  return mp_arena_round_up (length, MP_ARENA_UNIT);
}

static guint64
first_chunk (MpArena *self)
{
  return self->segment.header.size;
}

static gboolean
has_fd (MpArena *self)
{
  if (mp_fd_is_file (self->segment.fd, self->device, self->inode))
    return TRUE;
  errno = EBADF;
  return FALSE;
}

MpArenaChunk *
mp_arena_map_chunk (MpArena *self, guint32 number)
{
  guint32 class_, n_slots, offset;
  MpArenaChunkEntry *entry;
  MpArenaChunk *chunk;
  gsize objects = 0;

  errno = EINVAL;
  if (number == 0 || number >= MP_ARENA_N_CHUNKS)
    return NULL;
  chunk = &self->chunks[number];
  entry = &self->shared->chunks[number];
  class_ = mp_arena_load (&entry->class_);
  n_slots = mp_arena_load (&entry->n_slots);
  offset = mp_arena_load (&entry->offset);
  if (class_ >= MP_ARENA_N_CLASSES || n_slots == 0 || n_slots > MP_ARENA_MAX_SLOTS ||
      (class_ < MP_ARENA_CLASS_HOLDS && n_slots > 1 &&
       (guint64) n_slots << mp_arena_class_shift (class_) > G_GUINT64_CONSTANT (1)
                                                              << MAX_CHUNK_SHIFT))
    return NULL;
  if (!has_fd (self))
    return NULL;
  chunk->length = measure_chunk (class_, n_slots, &objects);
  chunk->map = mp_segment_map (&self->segment,
                               first_chunk (self) + (guint64) offset * MP_ARENA_UNIT,
                               chunk->length);
  if (chunk->map == NULL)
    {
      /* Beyond the end of the file is nonsense, anything else a lack of room. */
      if (errno != EFAULT)
        errno = ENOMEM;
      return NULL;
    }
  chunk->objects = chunk->map + objects;
  chunk->metadata_length = n_slots * metadata_size (class_);
  chunk->class_ = class_;
  chunk->n_slots = n_slots;
  return chunk;
}

void
mp_arena_unmap_chunks (MpArena *self)
{
  for (guint32 i = 0; i < MP_ARENA_N_CHUNKS; i++)
    {
      if (self->chunks[i].map != NULL)
        munmap (self->chunks[i].map, self->chunks[i].length);
      g_free (self->chunks[i].locals);
    }
}

static guint32
choose_n_slots (MpArena *self, guint32 class_)
{
  guint32 last = mp_arena_load (&self->shared->current[class_]);
  guint shift = class_ == MP_ARENA_CLASS_HOLDS ? 3 : mp_arena_class_shift (class_);
  guint64 n = MAX ((guint64) MIN_CHUNK_BYTES >> shift, 1u);
  guint64 most = MAX_CHUNK_SHIFT > shift ? G_GUINT64_CONSTANT (1) << (MAX_CHUNK_SHIFT - shift) : 1;

  if (last != 0 && last < MP_ARENA_N_CHUNKS)
    n = MAX (n, 2 * (guint64) mp_arena_load (&self->shared->chunks[last].n_slots));
  return (guint32) MIN (n, MIN (most, MP_ARENA_MAX_SLOTS));
}

MpArenaStatus
mp_arena_add_chunk (MpArena *self, guint32 class_)
{
  MpArenaChanges changes;
  MpArenaShared *shared = self->shared;
  guint32 number = mp_arena_load (&shared->n_chunks) + 1;
  guint32 n_slots = choose_n_slots (self, class_);
  guint32 offset = mp_arena_load (&shared->end);
  MpArenaChunkEntry *entry;
  gsize objects, length;
  guint64 end;

  errno = ENOSPC;
  if (number >= MP_ARENA_N_CHUNKS)
    return MP_ARENA_NO_MEMORY;
  length = measure_chunk (class_, n_slots, &objects);
  end = (guint64) offset * MP_ARENA_UNIT + length;
  if (end / MP_ARENA_UNIT > G_MAXUINT32)
    return MP_ARENA_NO_MEMORY;
  if (!has_fd (self) || !mp_segment_grow (&self->segment, first_chunk (self) + end))
    return MP_ARENA_NO_MEMORY;
  entry = &shared->chunks[number];
  mp_arena_begin_changes (&changes);
  mp_arena_change (self, &changes, 0, &entry->offset, offset);
  mp_arena_change (self, &changes, 0, &entry->class_, class_);
  mp_arena_change (self, &changes, 0, &entry->n_slots, n_slots);
  mp_arena_change (self, &changes, 0, &entry->used, 0);
  mp_arena_change (self, &changes, 0, &entry->backed, 0);
  mp_arena_change (self, &changes, 0, &shared->n_chunks, number);
  mp_arena_change (self, &changes, 0, &shared->end, (guint32) (end / MP_ARENA_UNIT));
  mp_arena_change (self, &changes, 0, &shared->current[class_], number);
  mp_arena_commit (self, &changes);
  return MP_ARENA_DONE;
}

/* A range of the chunk @number, made longer to whole pages. */
static gboolean
back_range (MpArena *self, guint32 number, gsize begin, gsize end)
{
  gsize page = mp_segment_get_page_size ();
  guint64 offset = mp_arena_load (&self->shared->chunks[number].offset);

  begin = begin / page * page;
  end = MIN (mp_arena_round_up (end, page), self->chunks[number].length);
  return has_fd (self) && mp_segment_allocate (&self->segment,
                                               first_chunk (self) + offset * MP_ARENA_UNIT + begin,
                                               end - begin);
}

MpArenaStatus
mp_arena_back_slot (MpArena *self, guint32 number, guint32 index)
{
  MpArenaChunk *chunk = &self->chunks[number];
  _Atomic uint32_t *backed = &self->shared->chunks[number].backed;
  gboolean big = mp_arena_is_big (self, chunk->class_);
  gsize unit = metadata_size (chunk->class_);
  guint32 step = SLOTS_STEP, end;

  if (G_LIKELY (index < mp_arena_load (backed)))
    return MP_ARENA_DONE;
  if (chunk->class_ == MP_ARENA_CLASS_HOLDS)
    step = HOLDS_STEP;
  else if (!big)
    step = MAX (STEP_BYTES >> mp_arena_class_shift (chunk->class_), 1u);
  end = MIN (chunk->n_slots, index + step);
  if (!back_range (self, number, index * unit, end * unit))
    return MP_ARENA_NO_MEMORY;
  if (chunk->class_ != MP_ARENA_CLASS_HOLDS && !big)
    {
      gsize begin = (gsize) (chunk->objects - chunk->map);
      guint shift = mp_arena_class_shift (chunk->class_);

      if (!back_range (self,
                       number,
                       begin + ((gsize) index << shift),
                       begin + ((gsize) end << shift)))
        return MP_ARENA_NO_MEMORY;
    }
  atomic_store_explicit (backed, end, memory_order_relaxed);
  return MP_ARENA_DONE;
}

gboolean
mp_arena_back_block (MpArena *self, guint32 slot, gsize size)
{
  MpArenaChunk *chunk = &self->chunks[mp_arena_chunk_of (slot)];
  gsize begin = (gsize) ((guint8 *) mp_arena_memory (chunk, mp_arena_index_of (slot)) - chunk->map);

  /* Where the system would rather kill a process than say no. */
  if (!mp_available_is_enough (size))
    {
      errno = ENOSPC;
      return FALSE;
    }
  return back_range (self, mp_arena_chunk_of (slot), begin, begin + size);
}

void
mp_arena_punch_block (MpArena *self, guint32 slot)
{
  MpArenaChunk *chunk = &self->chunks[mp_arena_chunk_of (slot)];
  guint8 *memory = mp_arena_memory (chunk, mp_arena_index_of (slot));
  gsize size = (gsize) 1 << mp_arena_class_shift (chunk->class_);

  /* By address, which needs no descriptor; but not if the memory is locked. */
  if (madvise (memory, size, MADV_REMOVE) == 0)
    return;
  if (has_fd (self))
    {
      guint64 offset = mp_arena_load (&self->shared->chunks[mp_arena_chunk_of (slot)].offset);

      mp_segment_punch (&self->segment,
                        first_chunk (self) + offset * MP_ARENA_UNIT +
                          (guint64) (memory - chunk->map),
                        size);
    }
  else
    memset (memory, 0, size);
}
