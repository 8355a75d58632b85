/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-ring-block-private.h"

#include <errno.h>
#include <pthread.h>

#include "../base/mp-clock-private.h"
#include "mp-ring-layout-private.h"

struct _MpRingBlock
{
  gatomicrefcount ref_count;
  MpRing *ring;
  MpBlockRef ref;
  MpBlockMessage message;
  _Atomic (MpStoreMap *) map; /* NULL: nobody here has looked at it yet */
  _Atomic uint32_t spent;     /* 1: whatever becomes of the block, it is not our business */
  _Atomic uint32_t putting;   /* 1: some thread puts it, or has */
  _Atomic uint32_t shown;     /* 1: the program has seen it */
  gboolean private_;          /* what is mapped is not the block any more */
  gboolean kept;              /* nobody else may have the block while this process lives */
  GList link;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static GQueue shown = G_QUEUE_INIT; /* those that are */

static MpRingBlock *
block_new (MpRing *ring, const MpBlockRef *ref, MpStoreMap *map)
{
  MpRingBlock *self = g_new0 (MpRingBlock, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->ring = mp_ring_ref (ring);
  self->ref = *ref;
  self->map = map;
  return self;
}

/* @parts: nullable; else what to fill it with. */
static MpRingBlock *
make_block (MpRing *ring,
            guint64 length,
            const GOutputVector *parts,
            gsize n_parts,
            MpRingStatus *status)
{
  MpStore *store = mp_ring_get_store (ring, TRUE);
  MpStoreMap *map = NULL;
  MpBlockRef ref;

  *status = MP_RING_NO_MEMORY;
  if (store == NULL)
    return NULL;
  mp_ring_tend (ring, FALSE);
  *status = mp_store_take_free (store, length, &ref);
  if (*status != MP_RING_DONE)
    return NULL;
  /* What is filled is mapped when it is looked at, which whoever has filled it seldom does; until
   * then its map is where who has the block next finds it, and need not be made again. */
  if (parts != NULL)
    *status = mp_store_fill (store, &ref, parts, (guint) n_parts);
  else if ((map = mp_store_map (store, &ref, FALSE)) == NULL)
    *status = mp_ring_status_of_errno ();
  if (*status == MP_RING_DONE)
    return block_new (ring, &ref, map);
  mp_store_give_free (store, &ref);
  return NULL;
}

MpRingBlock *
mp_ring_block_new (MpRing *ring, guint64 length, MpRingStatus *status)
{
  return make_block (ring, length, NULL, 0, status);
}

MpRingBlock *
mp_ring_block_new_filled (MpRing *ring,
                          const GOutputVector *parts,
                          gsize n_parts,
                          MpRingStatus *status)
{
  guint64 length = 0;

  for (gsize i = 0; i < n_parts; i++)
    length += parts[i].size;
  return make_block (ring, length, parts, n_parts, status);
}

MpRingBlock *
mp_ring_block_ref (MpRingBlock *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

static void
hide (MpRingBlock *self)
{
  if (atomic_load (&self->shown) == 0)
    return;
  pthread_mutex_lock (&lock);
  g_queue_unlink (&shown, &self->link);
  pthread_mutex_unlock (&lock);
}

void
mp_ring_block_unref (MpRingBlock *self)
{
  MpStoreMap *map;

  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  hide (self);
  /* First, so that who has the block next finds it. */
  map = atomic_load (&self->map);
  if (map != NULL && self->private_)
    mp_store_map_free (map);
  else if (map != NULL)
    mp_store_give_map (self->ring->store, &self->ref, map);
  if (atomic_load (&self->spent) == 0 && !self->kept && !mp_ring_block_nack (self))
    {
      mp_store_give_free (self->ring->store, &self->ref);
      if (mp_ring_get_length (self->ring) == 0)
        mp_store_trim_emptied (self->ring->store, self->ref.length);
    }
  mp_ring_unref (self->ring);
  g_free (self);
}

gboolean
mp_ring_block_is_spent (MpRingBlock *self)
{
  return atomic_load (&self->spent) != 0;
}

gboolean
mp_ring_block_is_ours (MpRingBlock *self)
{
  gboolean ours;

  mp_store_get_state (self->ring->store, &self->ref, &ours);
  return ours;
}

guint8 *
mp_ring_block_get_data (MpRingBlock *self)
{
  MpStoreMap *map = atomic_load (&self->map);
  MpStoreMap *before = NULL;

  if (G_LIKELY (map != NULL))
    return map->data;
  map = mp_store_map (self->ring->store, &self->ref, TRUE);
  if (map == NULL)
    return NULL;
  if (atomic_compare_exchange_strong (&self->map, &before, map))
    return map->data;
  /* Another thread was faster. */
  mp_store_give_map (self->ring->store, &self->ref, map);
  return before->data;
}

guint8 *
mp_ring_block_show_data (MpRingBlock *self)
{
  guint8 *data = mp_ring_block_get_data (self);

  if (data == NULL || atomic_load (&self->shown) != 0)
    return data;
  pthread_mutex_lock (&lock);
  if (atomic_exchange (&self->shown, 1) == 0)
    {
      self->link.data = self;
      g_queue_push_tail_link (&shown, &self->link);
    }
  pthread_mutex_unlock (&lock);
  return data;
}

guint64
mp_ring_block_get_length (MpRingBlock *self)
{
  return self->ref.length;
}

MpCodec
mp_ring_block_get_codec (MpRingBlock *self)
{
  return self->message.codec;
}

guint32
mp_ring_block_get_deliveries (MpRingBlock *self)
{
  return self->message.deliveries;
}

MpRingStatus
mp_ring_put_block (MpRing *ring,
                   MpRingBlock *block,
                   MpCodec codec,
                   gint64 deadline,
                   GCancellable *cancellable)
{
  const GOutputVector part = { .buffer = mp_ring_block_get_data (block),
                               .size = block->ref.length };
  MpRecord record = { .parts = &part, .n_parts = 1, .codec = codec };
  MpRingStatus status;
  gboolean ours;

  /* A bound on bytes is for what the ring itself holds; in a child of fork() it is not ours. */
  if (block->ring == ring && ring->max_bytes == 0 &&
      mp_store_get_state (ring->store, &block->ref, &ours) == MP_BLOCK_OWNED && ours)
    record.block = &block->ref;
  /* Read after the state, which it is set before. */
  if (record.block != NULL ? atomic_exchange (&block->putting, 1) != 0
                           : atomic_load (&block->putting) != 0)
    return MP_RING_REFUSED;
  status = mp_ring_put_full (ring, &record, 1, 0, deadline, cancellable);
  if (record.block == NULL)
    return status;
  if (status == MP_RING_DONE)
    atomic_store (&block->spent, 1);
  else
    atomic_store (&block->putting, 0);
  return status;
}

MpRingStatus
mp_ring_block_pass_on (MpRingBlock *self, MpRing *ring, MpBlockRef *ref)
{
  gboolean ours;

  *ref = self->ref;
  if (self->ring == ring && mp_store_get_state (ring->store, &self->ref, &ours) == MP_BLOCK_OWNED &&
      ours)
    return atomic_exchange (&self->putting, 1) == 0 ? MP_RING_DONE : MP_RING_REFUSED;
  /* Read after the state, which it is set before. */
  return atomic_load (&self->putting) == 0 ? MP_RING_NO_BLOCKS : MP_RING_REFUSED;
}

MpRingBlock *
mp_ring_block_take_over (MpRing *ring, const MpBlockRef *named, MpRingStatus *status)
{
  MpBlockRef ref = *named;
  MpStore *store = mp_ring_get_store (ring, FALSE);
  MpStoreMap *map;

  if (store == NULL)
    *status = mp_ring_status_of_errno ();
  else if (!mp_store_is_joined (store))
    *status = MP_RING_NO_BLOCKS;
  else if (ref.index >= MP_STORE_MAX_BLOCKS || ref.length > MP_STORE_MAX_LENGTH)
    *status = MP_RING_CORRUPT;
  else if (!mp_store_take_over (store, &ref))
    *status = MP_RING_REFUSED;
  else
    {
      map = mp_store_map (store, &ref, TRUE);
      if (map != NULL)
        return block_new (ring, &ref, map);
      *status = mp_ring_status_of_errno ();
      mp_store_give_free (store, &ref);
    }
  return NULL;
}

/* What was taken goes back, as if it had been lent. */
static void
give_back (MpRing *ring, const MpBlockRef *ref, gboolean leased)
{
  if (leased || mp_store_change (ring->store, ref, MP_BLOCK_TAKEN, MP_BLOCK_LEASED))
    mp_store_give_back (ring->store, ref);
  atomic_store (&ring->shared->returned, 1);
  mp_ring_wake_getters (ring, 1);
}

MpRingStatus
mp_ring_take_keeping (MpRing *ring,
                      gsize max_items,
                      gsize max_bytes,
                      MpRingTake take,
                      gpointer user_data,
                      gint64 deadline,
                      GPtrArray *blocks,
                      gsize *n_taken)
{
  MpRingGetting getting = { .max_items = MIN (max_items, G_MAXUINT32),
                            .max_bytes = max_bytes,
                            .take = take,
                            .user_data = user_data,
                            .without_data = TRUE,
                            .keep = TRUE };
  MpRingStatus status = mp_ring_take_as (ring, &getting, deadline, NULL);

  *n_taken = getting.taken;
  for (guint i = 0; getting.blocks != NULL && i < getting.blocks->len; i++)
    {
      const MpBlockRef *ref = &g_array_index (getting.blocks, MpBlockRef, i);
      MpStoreMap *map = mp_store_map (ring->store, ref, TRUE);
      MpRingBlock *block;

      if (map == NULL)
        {
          status = mp_ring_status_of_errno ();
          give_back (ring, ref, FALSE);
          continue;
        }
      block = block_new (ring, ref, map);
      mp_store_get_message (ring->store, ref, &block->message);
      g_ptr_array_add (blocks, block);
    }
  g_clear_pointer (&getting.blocks, g_array_unref);
  return status;
}

static MpRingStatus
take_one (MpRing *ring,
          MpRingGetting *getting,
          gint64 deadline,
          GCancellable *cancellable,
          MpRingBlock **block)
{
  MpRingStatus status;
  MpBlockRef ref;
  MpStoreMap *map;

  *block = NULL;
  status = mp_ring_take_as (ring, getting, deadline, cancellable);
  if (getting->blocks == NULL)
    return status;
  ref = g_array_index (getting->blocks, MpBlockRef, 0);
  g_array_unref (getting->blocks);
  map = mp_store_map (ring->store, &ref, TRUE);
  if (map != NULL)
    {
      *block = block_new (ring, &ref, map);
      mp_store_get_message (ring->store, &ref, &(*block)->message);
      return MP_RING_DONE;
    }
  status = mp_ring_status_of_errno ();
  give_back (ring, &ref, getting->lease);
  return status;
}

MpRingStatus
mp_ring_borrow (MpRing *ring,
                MpRingTake take,
                gpointer user_data,
                gint64 deadline,
                GCancellable *cancellable,
                MpRingBlock **block)
{
  MpRingGetting getting = { .max_items = 1,
                            .take = take,
                            .user_data = user_data,
                            .without_data = TRUE,
                            .keep = TRUE };

  return take_one (ring, &getting, deadline, cancellable, block);
}

static gboolean
take_anything (gpointer user_data,
               guint32 seq,
               guint32 n_ready,
               MpCodec codec,
               const guint8 *data,
               gsize length)
{
  return TRUE;
}

MpRingStatus
mp_ring_lease (MpRing *ring, gint64 deadline, GCancellable *cancellable, MpRingBlock **block)
{
  MpRingGetting getting = { .max_items = 1,
                            .take = take_anything,
                            .without_data = TRUE,
                            .keep = TRUE,
                            .lease = TRUE };
  MpStore *store = mp_ring_get_store (ring, TRUE);
  MpBlockRef spare;
  MpRingStatus status;

  if (store == NULL)
    return MP_RING_NO_MEMORY;
  status = mp_store_take_free (store, 1, &spare);
  if (status != MP_RING_DONE)
    return MP_RING_NO_BLOCKS;
  getting.spare = spare;
  status = take_one (ring, &getting, deadline, cancellable, block);
  if (*block == NULL || (*block)->ref.index != spare.index)
    mp_store_give_free (store, &spare);
  return status;
}

gboolean
mp_ring_block_ack (MpRingBlock *self)
{
  MpRing *ring = self->ring;

  if (!mp_store_change (ring->store, &self->ref, MP_BLOCK_LEASED, MP_BLOCK_ACKING))
    return FALSE;
  mp_ring_count_acked (ring, &self->ref);
  /* Others may wait whether this one comes back. */
  if (mp_ring_is_closed (ring))
    mp_ring_poke (ring);
  return TRUE;
}

gboolean
mp_ring_block_nack (MpRingBlock *self)
{
  MpRing *ring = self->ring;

  if (!mp_store_return (ring->store, &self->ref))
    return FALSE;
  atomic_store (&self->spent, 1);
  if ((atomic_load (&ring->shared->closed) & MP_QUEUE_SIDES_GET) != 0)
    mp_ring_drop_returned (ring);
  atomic_store (&ring->shared->returned, 1);
  mp_ring_wake_getters (ring, 1);
  return TRUE;
}

/* Forking */

static void
copy_taken (MpRingBlock *self)
{
  MpStore *store = self->ring->store;
  gboolean ours;

  if (self->private_ || mp_store_get_state (store, &self->ref, &ours) != MP_BLOCK_TAKEN || !ours ||
      !mp_store_make_private (store, &self->ref, self->map))
    return;
  self->private_ = TRUE;
  self->kept = !mp_store_copy_private (store, &self->ref, self->map);
}

static void
before_fork (void)
{
  pthread_mutex_lock (&lock);
  for (GList *link = shown.head; link != NULL; link = link->next)
    copy_taken (link->data);
}

static void
after_fork_in_parent (void)
{
  pthread_mutex_unlock (&lock);
}

/* What is still shared is the parent's, which may be filling it. */
static void
after_fork_in_child (void)
{
  for (GList *link = shown.head; link != NULL; link = link->next)
    {
      MpRingBlock *self = link->data;

      if (!self->private_)
        self->private_ = mp_store_make_private (self->ring->store, &self->ref, self->map);
    }
  pthread_mutex_unlock (&lock);
}

__attribute__ ((constructor)) static void
watch_forks (void)
{
  pthread_atfork (before_fork, after_fork_in_parent, after_fork_in_child);
}
