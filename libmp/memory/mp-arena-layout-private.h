/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

/* What the files mp-arena*.c and mp-block.c share. The design is described in mp-arena.c. */

#include <pthread.h>
#include <sys/types.h>

#include "../base/mp-micro-lock-private.h"
#include "mp-arena-private.h"
#include "mp-segment-private.h"

G_BEGIN_DECLS

#define MP_ARENA_KIND MP_SEGMENT_KIND ('a', 'r', 'e', 'n')
#define MP_ARENA_VERSION 1
/* In the segment's header: the name of the arena, a random number of 128 bits. */
#define MP_ARENA_PARAMETER_ID 0

/* Classes of blocks: 16 bytes, 32 bytes, … 2^40 bytes; and one for the holds
 * that do not fit in their slot, which have no memory but themselves. */
#define MP_ARENA_MIN_SHIFT 4
#define MP_ARENA_MAX_SHIFT 40
#define MP_ARENA_CLASS_HOLDS (MP_ARENA_MAX_SHIFT - MP_ARENA_MIN_SHIFT + 1)
#define MP_ARENA_N_CLASSES (MP_ARENA_CLASS_HOLDS + 1)

/* A slot's number is that of its chunk and its index in there. There is no
 * chunk 0, so that 0 names no slot. */
#define MP_ARENA_INDEX_BITS 21
#define MP_ARENA_MAX_SLOTS (1u << MP_ARENA_INDEX_BITS)
#define MP_ARENA_N_CHUNKS 2048u

/* Chunks begin and end at multiples of this. */
#define MP_ARENA_UNIT 65536u

#define MP_ARENA_LINE 64

/* One place for a block. What the two first words say together:
 * odd generation: in use, by @holder and those in the chain;
 * even, no holder: free;
 * even, with holder: that one is giving the memory back, then it is free. */
typedef struct
{
  _Atomic uint32_t generation;
  _Atomic uint32_t holder;
  _Atomic uint32_t next; /* in use: the first of the other holds; free: the next free slot */
  _Atomic uint32_t kind;
  _Atomic uint64_t size;
} MpArenaSlot;

/* That one more process holds a block. */
typedef struct
{
  _Atomic uint32_t holder; /* free: 0 */
  _Atomic uint32_t next;   /* in use: of the same block; free: the next free one */
} MpArenaHold;

typedef struct
{
  _Atomic uint32_t offset; /* in units, behind the first chunk's */
  _Atomic uint32_t class_;
  _Atomic uint32_t n_slots;
  _Atomic uint32_t used;   /* slots below this have been in use */
  _Atomic uint32_t backed; /* slots below this have memory; a hint that may be too small */
} MpArenaChunkEntry;

/* A word that is to be changed. */
typedef struct
{
  _Atomic uint32_t chunk;  /* 0: in MpArenaShared */
  _Atomic uint32_t offset; /* in its metadata */
  _Atomic uint32_t value;
} MpArenaChange;

#define MP_ARENA_MAX_CHANGES 12

/* The begin of the file. The table of participants, that of waits, and the
 * chunks follow. */
typedef struct
{
  MpSegmentHeader header;

  _Alignas(MP_ARENA_LINE) MpMicroLock lock;
  _Atomic uint32_t n_redone; /* how often somebody died in the middle; for those who are curious */
  _Atomic uint32_t n_changes;
  MpArenaChange changes[MP_ARENA_MAX_CHANGES];

  /* From here to the last chunk, all is changed by changes only, but for @backed. */
  _Alignas(MP_ARENA_LINE) _Atomic uint32_t n_blocks;
  _Atomic uint32_t n_chunks; /* the highest number of a chunk */
  _Atomic uint32_t end;      /* where the next chunk goes, in units */
  _Atomic uint32_t free[MP_ARENA_N_CLASSES];
  _Atomic uint32_t current[MP_ARENA_N_CLASSES]; /* the chunk that was never full */
  MpArenaChunkEntry chunks[MP_ARENA_N_CHUNKS];

  _Alignas(MP_ARENA_LINE) _Atomic uint32_t doorbell;
  _Alignas(MP_ARENA_LINE) _Atomic int64_t swept_at; /* monotonic microseconds */
} MpArenaShared;

G_STATIC_ASSERT (sizeof (MpArenaSlot) == 24);
G_STATIC_ASSERT (ATOMIC_LLONG_LOCK_FREE == 2);

/* What this process has of a block. */
typedef struct
{
  guint32 generation;
  guint32 n_uses;  /* MpBlocks, and the two flags */
  guint32 n_forks; /* of the process, when it came */
  guint32 linger;  /* the number of its place in the list of those that linger; 0: none */
} MpArenaLocal;

#define MP_ARENA_USES_MASK 0x3fffffffu
#define MP_ARENA_EXPORTED 0x40000000u
#define MP_ARENA_UNHELD 0x80000000u /* a forked child could not take it over */

/* A chunk as this process has it: private copies of what never changes. */
typedef struct
{
  guint8 *map; /* NULL: not mapped */
  gsize length;
  guint8 *objects;
  gsize metadata_length; /* without the padding behind it */
  guint32 class_;
  guint32 n_slots;
  MpArenaLocal *locals; /* NULL: never had one */
  guint32 n_locals;     /* there is none at or above this */
} MpArenaChunk;

typedef struct
{
  guint32 slot;
  guint32 generation;
  guint32 number;
  gint64 until;
} MpArenaLinger;

struct _MpArena
{
  _Atomic guint ref_count; /* from and to 0 only under the registry's lock */
  MpArena *next;           /* under the registry's lock */

  MpSegment segment;
  dev_t device;
  ino_t inode;
  MpArenaShared *shared;
  MpArenaWait *waits;
  MpParticipants *participants;
  guint32 first_big_class;

  /* Under @mutex, which is taken before the shared lock, never after it. */
  pthread_mutex_t mutex;
  guint32 n_forks;
  MpArenaLinger *lingers;
  gsize linger_begin;
  gsize linger_end;
  gsize linger_room;
  guint32 linger_number;
  gboolean linger_ref; /* the list has a reference to the arena */
  MpArenaChunk chunks[MP_ARENA_N_CHUNKS];
};

typedef enum
{
  MP_ARENA_DONE,
  MP_ARENA_DYING,    /* the memory has to be given back, then mp_arena_bury() */
  MP_ARENA_GONE,     /* that block is no more */
  MP_ARENA_FULL,     /* only a new chunk would help */
  MP_ARENA_BUSY,     /* the lock was not free in time */
  MP_ARENA_CORRUPT,  /* somebody has written nonsense */
  MP_ARENA_NO_MEMORY /* errno says why */
} MpArenaStatus;

static inline guint32
mp_arena_slot_number (guint32 chunk, guint32 index)
{
  return chunk << MP_ARENA_INDEX_BITS | index;
}

static inline guint32
mp_arena_chunk_of (guint32 slot)
{
  return slot >> MP_ARENA_INDEX_BITS;
}

static inline guint32
mp_arena_index_of (guint32 slot)
{
  return slot & (MP_ARENA_MAX_SLOTS - 1);
}

static inline guint32
mp_arena_load (_Atomic uint32_t *word)
{
  return atomic_load_explicit (word, memory_order_relaxed);
}

static inline gsize
mp_arena_round_up (gsize size, gsize unit)
{
  return (size + unit - 1) / unit * unit;
}

static inline guint
mp_arena_class_shift (guint32 class_)
{
  return class_ + MP_ARENA_MIN_SHIFT;
}

/* Whether memory of such a block is taken and given back one by one: a page or more. */
static inline gboolean
mp_arena_is_big (MpArena *self, guint32 class_)
{
  return class_ >= self->first_big_class && class_ != MP_ARENA_CLASS_HOLDS;
}

static inline MpArenaSlot *
mp_arena_slots (MpArenaChunk *chunk)
{
  return (gpointer) chunk->map;
}

static inline MpArenaHold *
mp_arena_holds (MpArenaChunk *chunk)
{
  return (gpointer) chunk->map;
}

static inline gpointer
mp_arena_memory (MpArenaChunk *chunk, guint32 index)
{
  return chunk->objects + ((gsize) index << mp_arena_class_shift (chunk->class_));
}

/* mp-arena-changes.c: all under @mutex and the shared lock. */

/* Takes the shared lock and finishes what a dead process has begun. If that
 * fails, the lock is not held. */
MpArenaStatus mp_arena_lock (MpArena *self);
/* The same, or MP_ARENA_BUSY when that is over: somebody who has it is stopped. */
MpArenaStatus mp_arena_lock_until (MpArena *self, gint64 deadline);
/* Leaves errno alone. */
void mp_arena_unlock (MpArena *self);

typedef struct
{
  guint n;
  _Atomic uint32_t *targets[MP_ARENA_MAX_CHANGES];
  uint32_t values[MP_ARENA_MAX_CHANGES];
} MpArenaChanges;

static inline void
mp_arena_begin_changes (MpArenaChanges *changes)
{
  /* What is written down next must not come before the end of the change before it:
   * whoever is killed has done what comes first in the program, if the compiler let it. */
  atomic_signal_fence (memory_order_seq_cst);
  changes->n = 0;
}

/* @chunk: where @target is, 0 for MpArenaShared. */
static inline void
mp_arena_change (MpArena *self,
                 MpArenaChanges *changes,
                 guint32 chunk,
                 _Atomic uint32_t *target,
                 uint32_t value)
{
  MpArenaChange *change = &self->shared->changes[changes->n];
  guint8 *base = chunk == 0 ? (guint8 *) self->shared : self->chunks[chunk].map;

  atomic_store_explicit (&change->chunk, chunk, memory_order_relaxed);
  atomic_store_explicit (&change->offset,
                         (uint32_t) ((guint8 *) target - base),
                         memory_order_relaxed);
  atomic_store_explicit (&change->value, value, memory_order_relaxed);
  changes->targets[changes->n] = target;
  changes->values[changes->n] = value;
  changes->n++;
}

/* All of them, or none if we die. */
void mp_arena_commit (MpArena *self, MpArenaChanges *changes);

/* mp-arena-chunks.c: all under @mutex. */

/* @number's, mapped. NULL with errno set: EINVAL for nonsense. Does not allocate. */
MpArenaChunk *mp_arena_map_chunk (MpArena *self, guint32 number);
void mp_arena_unmap_chunks (MpArena *self);
/* Adds a chunk to a class that has no room. Under the shared lock. */
MpArenaStatus mp_arena_add_chunk (MpArena *self, guint32 class_);
/* Takes memory for the slot @index, which was never in use, under the shared lock. */
MpArenaStatus mp_arena_back_slot (MpArena *self, guint32 number, guint32 index);
/* Takes memory for @size bytes of a block of a big class. FALSE with errno set. Under no lock. */
gboolean mp_arena_back_block (MpArena *self, guint32 slot, gsize size);
/* Gives the memory of a block of a big class back. Under no lock. */
void mp_arena_punch_block (MpArena *self, guint32 slot);

static inline MpArenaChunk *
mp_arena_get_chunk (MpArena *self, guint32 number)
{
  if (G_LIKELY (number < MP_ARENA_N_CHUNKS && self->chunks[number].map != NULL))
    return &self->chunks[number];
  return mp_arena_map_chunk (self, number);
}

static inline MpArenaStatus
mp_arena_status_of_errno (int err)
{
  return err == EINVAL || err == EFAULT ? MP_ARENA_CORRUPT : MP_ARENA_NO_MEMORY;
}

/* mp-arena-slots.c: all under @mutex, none allocates. */

/* Slots below this have been in use. */
guint32 mp_arena_get_used (MpArena *self, guint32 number);
/* A new block. */
typedef struct
{
  guint32 slot;
  guint32 generation;
  gboolean fresh; /* its memory was never in use */
} MpArenaTaken;

/* A new block for @word. @grow: make a chunk if there is no room. */
MpArenaStatus mp_arena_take (MpArena *self,
                             guint32 class_,
                             guint32 kind,
                             gsize size,
                             guint32 word,
                             gboolean grow,
                             MpArenaTaken *taken);
/* The block of that generation, for a moment if it is not ours. Under the shared lock. */
MpArenaStatus mp_arena_find (MpArena *self, guint32 slot, guint32 generation, MpArenaChunk **chunk);
/* One more holder. Under the shared lock. */
MpArenaStatus mp_arena_add_hold (MpArena *self, guint32 slot, guint32 generation, guint32 word);
/* One holder less. @heir: who gives the memory back if that was the last.
 * Under the shared lock. */
MpArenaStatus mp_arena_drop_hold (MpArena *self,
                                  guint32 slot,
                                  guint32 generation,
                                  guint32 word,
                                  guint32 heir);
/* The slot is being emptied by a dead process: @heir does it now. Under the shared lock. */
MpArenaStatus mp_arena_inherit (MpArena *self, guint32 slot, guint32 heir);
/* The memory of a dying block was given back by @word: its place is free. */
MpArenaStatus mp_arena_bury (MpArena *self, guint32 slot, guint32 word);
/* The first of the holders for which @func says TRUE; 0 if there is none. Under the shared lock. */
typedef gboolean (*MpArenaHoldFunc) (guint32 word, gpointer user_data);
guint32 mp_arena_find_hold (MpArena *self,
                            MpArenaSlot *slot,
                            MpArenaHoldFunc func,
                            gpointer user_data);

/* mp-arena-sweep.c: under @mutex. */
guint mp_arena_sweep_locked (MpArena *self);
/* The same, unless somebody has just done it. */
void mp_arena_sweep_if_due (MpArena *self);

/* mp-block.c: under @mutex. */

/* The forked child takes over what its parent held. Does not allocate. */
void mp_arena_inherit_blocks (MpArena *self);
/* Really drops what has lingered long enough. Releases the mutex for moments. */
void mp_arena_work_off_lingers (MpArena *self);
void mp_arena_forget_lingers (MpArena *self);
gboolean mp_arena_set_error (MpArenaStatus status, int err, const char *what, GError **error);
/* Makes @block one more use of a block that this process holds: all of @block
 * but the arena and the memory is set. */
void mp_arena_use (MpArena *self, MpBlock *block);
/* The use of it that this process has; NULL if it has none. */
MpArenaLocal *mp_arena_find_local (MpArena *self, guint32 slot, guint32 generation);
/* This process's word; if it had none, it gets one. MP_PARTICIPANT_NONE with @error set. */
guint32 mp_arena_get_word (MpArena *self, GError **error);

/* mp-arena.c */

/* The arena behind a descriptor, a full reference. */
MpArena *mp_arena_attach (int fd, GError **error);
/* The one with that name, if this process has it. */
MpArena *mp_arena_find_by_id (guint64 high, guint64 low);

G_END_DECLS
