/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Slots: who holds which block, and what is free. */

#include "mp-arena-layout-private.h"

#include <errno.h>

/* More holders than can be: a chain that leads nowhere. */
#define MAX_CHAIN (4 * MP_ARENA_MAX_PARTICIPANTS)

/* A free slot, and the change that takes it. */
typedef struct
{
  guint32 slot;
  MpArenaChunk *chunk;
  gboolean fresh;
  guint32 generation;       /* of the block that will be there */
  _Atomic uint32_t *target; /* in MpArenaShared */
  uint32_t value;
} Place;

guint32
mp_arena_get_used (MpArena *self, guint32 number)
{
  return MIN (mp_arena_load (&self->shared->chunks[number].used), self->chunks[number].n_slots);
}

/* What slot or hold @slot is; errno if not DONE. */
static MpArenaStatus
resolve (MpArena *self, guint32 slot, MpArenaChunk **chunk)
{
  *chunk = mp_arena_get_chunk (self, mp_arena_chunk_of (slot));
  if (*chunk == NULL)
    return mp_arena_status_of_errno (errno);
  if (mp_arena_index_of (slot) >= mp_arena_get_used (self, mp_arena_chunk_of (slot)))
    return MP_ARENA_CORRUPT;
  return MP_ARENA_DONE;
}

static MpArenaStatus
resolve_hold (MpArena *self, guint32 link, MpArenaHold **hold)
{
  MpArenaChunk *chunk = NULL;
  MpArenaStatus status = resolve (self, link, &chunk);

  if (status != MP_ARENA_DONE)
    return status;
  if (chunk->class_ != MP_ARENA_CLASS_HOLDS)
    return MP_ARENA_CORRUPT;
  *hold = &mp_arena_holds (chunk)[mp_arena_index_of (link)];
  return MP_ARENA_DONE;
}

/* The first of the free ones, which were in use before. */
static MpArenaStatus
find_freed (MpArena *self, guint32 class_, guint32 slot, Place *place)
{
  MpArenaStatus status = resolve (self, slot, &place->chunk);
  guint32 index = mp_arena_index_of (slot);
  MpArenaSlot *freed;

  if (status != MP_ARENA_DONE)
    return status;
  if (place->chunk->class_ != class_)
    return MP_ARENA_CORRUPT;
  place->slot = slot;
  place->fresh = FALSE;
  place->target = &self->shared->free[class_];
  if (class_ == MP_ARENA_CLASS_HOLDS)
    {
      MpArenaHold *hold = &mp_arena_holds (place->chunk)[index];

      place->value = mp_arena_load (&hold->next);
      return mp_arena_load (&hold->holder) == 0 ? MP_ARENA_DONE : MP_ARENA_CORRUPT;
    }
  freed = &mp_arena_slots (place->chunk)[index];
  place->value = mp_arena_load (&freed->next);
  place->generation = mp_arena_load (&freed->generation) + 1;
  return (place->generation & 1) != 0 && mp_arena_load (&freed->holder) == 0 ? MP_ARENA_DONE
                                                                             : MP_ARENA_CORRUPT;
}

/* One that never was in use. */
static MpArenaStatus
find_fresh (MpArena *self, guint32 class_, Place *place)
{
  guint32 number = mp_arena_load (&self->shared->current[class_]);
  MpArenaStatus status;
  guint32 used;

  if (number == 0)
    return MP_ARENA_FULL;
  place->chunk = mp_arena_get_chunk (self, number);
  if (place->chunk == NULL)
    return mp_arena_status_of_errno (errno);
  if (place->chunk->class_ != class_)
    return MP_ARENA_CORRUPT;
  used = mp_arena_load (&self->shared->chunks[number].used);
  if (used >= place->chunk->n_slots)
    return MP_ARENA_FULL;
  place->slot = mp_arena_slot_number (number, used);
  place->fresh = TRUE;
  place->target = &self->shared->chunks[number].used;
  place->value = used + 1;
  /* Whatever is there: it should be zero. */
  status = mp_arena_back_slot (self, number, used);
  if (status == MP_ARENA_DONE && class_ != MP_ARENA_CLASS_HOLDS)
    place->generation = (mp_arena_load (&mp_arena_slots (place->chunk)[used].generation) + 1) | 1;
  return status;
}

static MpArenaStatus
find_place (MpArena *self, guint32 class_, gboolean grow, Place *place)
{
  guint32 slot = mp_arena_load (&self->shared->free[class_]);
  MpArenaStatus status;

  if (slot != 0)
    return find_freed (self, class_, slot, place);
  status = find_fresh (self, class_, place);
  if (status != MP_ARENA_FULL || !grow)
    return status;
  status = mp_arena_add_chunk (self, class_);
  return status == MP_ARENA_DONE ? find_fresh (self, class_, place) : status;
}

/* Under the shared lock. */
static void
take_place (MpArena *self, const Place *place, guint32 kind, gsize size, guint32 word)
{
  MpArenaChanges changes;
  _Atomic uint32_t *n_blocks = &self->shared->n_blocks;
  guint32 number = mp_arena_chunk_of (place->slot);
  MpArenaSlot *slot = &mp_arena_slots (place->chunk)[mp_arena_index_of (place->slot)];

  /* Of a free slot nobody reads these two. */
  atomic_store_explicit (&slot->kind, kind, memory_order_relaxed);
  atomic_store_explicit (&slot->size, size, memory_order_relaxed);
  mp_arena_begin_changes (&changes);
  mp_arena_change (self, &changes, 0, place->target, place->value);
  mp_arena_change (self, &changes, number, &slot->generation, place->generation);
  mp_arena_change (self, &changes, number, &slot->holder, word);
  mp_arena_change (self, &changes, number, &slot->next, 0);
  mp_arena_change (self, &changes, 0, n_blocks, mp_arena_load (n_blocks) + 1);
  mp_arena_commit (self, &changes);
}

MpArenaStatus
mp_arena_take (MpArena *self,
               guint32 class_,
               guint32 kind,
               gsize size,
               guint32 word,
               gboolean grow,
               MpArenaTaken *taken)
{
  MpArenaStatus status = mp_arena_lock (self);
  Place place;

  if (status != MP_ARENA_DONE)
    return status;
  status = find_place (self, class_, grow, &place);
  if (status == MP_ARENA_DONE)
    {
      take_place (self, &place, kind, size, word);
      *taken =
        (MpArenaTaken){ .slot = place.slot, .generation = place.generation, .fresh = place.fresh };
    }
  mp_arena_unlock (self);
  return status;
}

MpArenaStatus
mp_arena_find (MpArena *self, guint32 slot, guint32 generation, MpArenaChunk **chunk)
{
  MpArenaStatus status = resolve (self, slot, chunk);

  if (status != MP_ARENA_DONE)
    return status;
  if ((*chunk)->class_ == MP_ARENA_CLASS_HOLDS)
    return MP_ARENA_CORRUPT;
  if ((generation & 1) == 0 ||
      mp_arena_load (&mp_arena_slots (*chunk)[mp_arena_index_of (slot)].generation) != generation)
    return MP_ARENA_GONE;
  return MP_ARENA_DONE;
}

MpArenaStatus
mp_arena_add_hold (MpArena *self, guint32 slot, guint32 generation, guint32 word)
{
  MpArenaChanges changes;
  MpArenaChunk *chunk = NULL;
  MpArenaStatus status = mp_arena_find (self, slot, generation, &chunk);
  MpArenaSlot *held;
  MpArenaHold *hold;
  Place place;

  if (status != MP_ARENA_DONE)
    return status;
  status = find_place (self, MP_ARENA_CLASS_HOLDS, TRUE, &place);
  if (status != MP_ARENA_DONE)
    return status;
  held = &mp_arena_slots (chunk)[mp_arena_index_of (slot)];
  hold = &mp_arena_holds (place.chunk)[mp_arena_index_of (place.slot)];
  mp_arena_begin_changes (&changes);
  mp_arena_change (self, &changes, 0, place.target, place.value);
  mp_arena_change (self, &changes, mp_arena_chunk_of (place.slot), &hold->holder, word);
  mp_arena_change (self,
                   &changes,
                   mp_arena_chunk_of (place.slot),
                   &hold->next,
                   mp_arena_load (&held->next));
  mp_arena_change (self, &changes, mp_arena_chunk_of (slot), &held->next, place.slot);
  mp_arena_commit (self, &changes);
  return MP_ARENA_DONE;
}

/* The hold @link becomes free. */
static void
change_to_free_hold (MpArena *self, MpArenaChanges *changes, guint32 link, MpArenaHold *hold)
{
  _Atomic uint32_t *head = &self->shared->free[MP_ARENA_CLASS_HOLDS];
  guint32 number = mp_arena_chunk_of (link);

  mp_arena_change (self, changes, number, &hold->holder, 0);
  mp_arena_change (self, changes, number, &hold->next, mp_arena_load (head));
  mp_arena_change (self, changes, 0, head, link);
}

static void
change_to_free_slot (MpArena *self,
                     MpArenaChanges *changes,
                     guint32 slot,
                     MpArenaSlot *held,
                     guint32 class_)
{
  guint32 number = mp_arena_chunk_of (slot);
  _Atomic uint32_t *head = &self->shared->free[class_];

  mp_arena_change (self, changes, number, &held->holder, 0);
  mp_arena_change (self, changes, number, &held->next, mp_arena_load (head));
  mp_arena_change (self, changes, 0, head, slot);
}

/* The last holder goes. */
static MpArenaStatus
end_block (MpArena *self, guint32 slot, MpArenaChunk *chunk, guint32 heir)
{
  MpArenaChanges changes;
  MpArenaSlot *held = &mp_arena_slots (chunk)[mp_arena_index_of (slot)];
  _Atomic uint32_t *n_blocks = &self->shared->n_blocks;
  guint32 number = mp_arena_chunk_of (slot);
  gboolean big = mp_arena_is_big (self, chunk->class_);

  mp_arena_begin_changes (&changes);
  mp_arena_change (self,
                   &changes,
                   number,
                   &held->generation,
                   mp_arena_load (&held->generation) + 1);
  mp_arena_change (self, &changes, 0, n_blocks, mp_arena_load (n_blocks) - 1);
  if (big)
    mp_arena_change (self, &changes, number, &held->holder, heir);
  else
    change_to_free_slot (self, &changes, slot, held, chunk->class_);
  mp_arena_commit (self, &changes);
  return big ? MP_ARENA_DYING : MP_ARENA_DONE;
}

/* The first of the other holders takes the place in the slot. */
static MpArenaStatus
promote (MpArena *self, guint32 slot, MpArenaSlot *held)
{
  MpArenaChanges changes;
  guint32 number = mp_arena_chunk_of (slot), link = mp_arena_load (&held->next);
  MpArenaHold *hold = NULL;
  MpArenaStatus status = resolve_hold (self, link, &hold);

  if (status != MP_ARENA_DONE)
    return status;
  mp_arena_begin_changes (&changes);
  mp_arena_change (self, &changes, number, &held->holder, mp_arena_load (&hold->holder));
  mp_arena_change (self, &changes, number, &held->next, mp_arena_load (&hold->next));
  change_to_free_hold (self, &changes, link, hold);
  mp_arena_commit (self, &changes);
  return MP_ARENA_DONE;
}

static MpArenaStatus
unchain (MpArena *self, guint32 slot, MpArenaSlot *held, guint32 word)
{
  MpArenaChanges changes;
  guint32 number = mp_arena_chunk_of (slot);
  _Atomic uint32_t *target = &held->next;

  for (guint i = 0; i < MAX_CHAIN; i++)
    {
      guint32 link = mp_arena_load (target);
      MpArenaHold *hold = NULL;
      MpArenaStatus status;

      if (link == 0)
        return MP_ARENA_GONE;
      status = resolve_hold (self, link, &hold);
      if (status != MP_ARENA_DONE)
        return status;
      if (mp_arena_load (&hold->holder) == word)
        {
          mp_arena_begin_changes (&changes);
          mp_arena_change (self, &changes, number, target, mp_arena_load (&hold->next));
          change_to_free_hold (self, &changes, link, hold);
          mp_arena_commit (self, &changes);
          return MP_ARENA_DONE;
        }
      number = mp_arena_chunk_of (link);
      target = &hold->next;
    }
  return MP_ARENA_CORRUPT;
}

MpArenaStatus
mp_arena_drop_hold (MpArena *self, guint32 slot, guint32 generation, guint32 word, guint32 heir)
{
  MpArenaChunk *chunk = NULL;
  MpArenaStatus status = mp_arena_find (self, slot, generation, &chunk);
  MpArenaSlot *held;

  if (status != MP_ARENA_DONE)
    return status;
  held = &mp_arena_slots (chunk)[mp_arena_index_of (slot)];
  if (mp_arena_load (&held->holder) != word)
    return unchain (self, slot, held, word);
  if (mp_arena_load (&held->next) != 0)
    return promote (self, slot, held);
  return end_block (self, slot, chunk, heir);
}

MpArenaStatus
mp_arena_inherit (MpArena *self, guint32 slot, guint32 heir)
{
  MpArenaChanges changes;
  MpArenaChunk *chunk = NULL;
  MpArenaStatus status = resolve (self, slot, &chunk);

  if (status != MP_ARENA_DONE)
    return status;
  mp_arena_begin_changes (&changes);
  mp_arena_change (self,
                   &changes,
                   mp_arena_chunk_of (slot),
                   &mp_arena_slots (chunk)[mp_arena_index_of (slot)].holder,
                   heir);
  mp_arena_commit (self, &changes);
  return MP_ARENA_DYING;
}

MpArenaStatus
mp_arena_bury (MpArena *self, guint32 slot, guint32 word)
{
  MpArenaChanges changes;
  MpArenaChunk *chunk = NULL;
  MpArenaStatus status = mp_arena_lock (self);
  MpArenaSlot *held;

  if (status != MP_ARENA_DONE)
    return status;
  status = resolve (self, slot, &chunk);
  if (status == MP_ARENA_DONE)
    {
      held = &mp_arena_slots (chunk)[mp_arena_index_of (slot)];
      if ((mp_arena_load (&held->generation) & 1) == 0 && mp_arena_load (&held->holder) == word)
        {
          mp_arena_begin_changes (&changes);
          change_to_free_slot (self, &changes, slot, held, chunk->class_);
          mp_arena_commit (self, &changes);
        }
    }
  mp_arena_unlock (self);
  return status;
}

guint32
mp_arena_find_hold (MpArena *self, MpArenaSlot *slot, MpArenaHoldFunc func, gpointer user_data)
{
  guint32 word = mp_arena_load (&slot->holder);
  guint32 link = mp_arena_load (&slot->next);

  if (word != 0 && func (word, user_data))
    return word;
  for (guint i = 0; i < MAX_CHAIN && link != 0; i++)
    {
      MpArenaHold *hold = NULL;

      if (resolve_hold (self, link, &hold) != MP_ARENA_DONE)
        return 0;
      word = mp_arena_load (&hold->holder);
      if (word != 0 && func (word, user_data))
        return word;
      link = mp_arena_load (&hold->next);
    }
  return 0;
}
