/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Messages that lie in blocks, on their way out of the ring, and those that are
 * lent and came back. */

#include "mp-ring-quick-private.h"

#include <errno.h>
#include <string.h>

#include "../base/mp-clock-private.h"

static void
note_block (MpRingGetting *getting, const MpBlockRef *ref)
{
  if (getting->blocks == NULL)
    getting->blocks = g_array_new (FALSE, FALSE, sizeof (MpBlockRef));
  g_array_append_vals (getting->blocks, ref, 1);
}

/* Maps it for who wants the bytes. FALSE with errno set if they are not there. */
static gboolean
look_at_block (MpStore *store, MpRingGetting *getting, const MpBlockRef *ref, MpStoreMap **map)
{
  if (!getting->without_data)
    *map = mp_store_map (store, ref, TRUE);
  return getting->without_data ? !getting->keep || mp_store_check_filled (store, ref)
                               : *map != NULL;
}

static MpRingStatus
take_from_block (MpRing *self,
                 MpRingGetting *getting,
                 guint32 seq,
                 guint32 n_ready,
                 MpCodec codec,
                 const MpBlockRef *ref)
{
  const MpBlockMessage message = { .codec = codec, .deliveries = 1 };
  MpBlockState state = getting->lease ? MP_BLOCK_LEASING : MP_BLOCK_TAKING;
  MpStore *store = mp_ring_get_store (self, FALSE);
  MpStoreMap *map = NULL;
  gboolean there, wanted;

  if (store == NULL)
    return mp_ring_status_of_errno ();
  if (!mp_store_is_joined (store))
    return MP_RING_NO_BLOCKS;
  if (ref->index >= MP_STORE_MAX_BLOCKS || ref->length > MP_STORE_MAX_LENGTH)
    return MP_RING_CORRUPT;
  mp_store_set_message (store, ref, &message, FALSE);
  mp_store_set_seq (store, ref, seq);
  if (!mp_store_take_queued (store, ref, state))
    return MP_RING_CORRUPT;
  there = look_at_block (store, getting, ref, &map);
  if (!there)
    {
      MpRingStatus status = mp_ring_status_of_errno ();

      mp_store_change (store, ref, state, MP_BLOCK_QUEUED);
      return status;
    }
  wanted = getting->take (getting->user_data,
                          seq,
                          n_ready,
                          codec,
                          map != NULL ? map->data : NULL,
                          ref->length);
  if (map != NULL)
    mp_store_give_map (store, ref, map);
  if (!wanted)
    {
      mp_store_change (store, ref, state, MP_BLOCK_QUEUED);
      return MP_RING_REFUSED;
    }
  note_block (getting, ref);
  mp_ring_note_long (&self->get_spins[0], ref->length);
  return MP_RING_DONE;
}

/* What is lent has to survive who borrows it. */
static MpRingStatus
lend_copy (MpRing *self,
           MpRingGetting *getting,
           guint32 seq,
           MpCodec codec,
           const guint8 *data,
           gsize length)
{
  const MpBlockMessage message = { .codec = codec, .deliveries = 1 };
  const GOutputVector part = { .buffer = data, .size = length };
  MpRingStatus status;

  getting->spare.length = length;
  status = mp_store_fill (self->store, &getting->spare, &part, 1);
  if (status != MP_RING_DONE)
    return status;
  mp_store_set_message (self->store, &getting->spare, &message, TRUE);
  mp_store_set_seq (self->store, &getting->spare, seq);
  if (!mp_store_change (self->store, &getting->spare, MP_BLOCK_OWNED, MP_BLOCK_LEASING))
    return MP_RING_CORRUPT;
  getting->take (getting->user_data, seq, 1, codec, NULL, length);
  note_block (getting, &getting->spare);
  return MP_RING_DONE;
}

MpRingStatus
mp_ring_take_block (MpRing *self,
                    MpRingGetting *getting,
                    guint32 seq,
                    guint32 n_ready,
                    guint32 codec,
                    const guint8 *data,
                    gsize length)
{
  MpBlockRef ref;

  if ((codec & MP_RING_IN_BLOCK) == 0)
    return lend_copy (self, getting, seq, (MpCodec) codec, data, length);
  if (length != sizeof ref)
    return MP_RING_CORRUPT;
  memcpy (&ref, data, sizeof ref);
  return take_from_block (self, getting, seq, n_ready, (MpCodec) (codec & ~MP_RING_IN_BLOCK), &ref);
}

void
mp_ring_settle_taken (MpRing *self, MpRingGetting *getting)
{
  for (guint i = 0; i < getting->blocks->len; i++)
    {
      const MpBlockRef *ref = &g_array_index (getting->blocks, MpBlockRef, i);

      if (!mp_store_change (self->store, ref, MP_BLOCK_TAKING, MP_BLOCK_TAKEN))
        mp_store_change (self->store, ref, MP_BLOCK_LEASING, MP_BLOCK_LEASED);
    }
}

void
mp_ring_free_taken (MpRing *self, MpRingGetting *getting, gboolean emptied)
{
  guint64 last = 0;

  if (getting->keep)
    return;
  for (guint i = 0; i < getting->blocks->len; i++)
    {
      const MpBlockRef *ref = &g_array_index (getting->blocks, MpBlockRef, i);

      last = ref->length;
      mp_store_give_free (self->store, ref);
    }
  if (emptied)
    mp_store_trim_emptied (self->store, last);
  g_clear_pointer (&getting->blocks, g_array_unref);
}

/* Returned */

/* FALSE if it can be tried again. */
static gboolean
put_into_dead_letters (MpRing *self, const MpBlockRef *ref, MpCodec codec, MpRingStatus *status)
{
  MpStoreMap *map;

  *status = MP_RING_CLOSED;
  if (self->dead_letters == NULL)
    return TRUE;
  map = mp_store_map (self->store, ref, TRUE);
  if (map == NULL)
    *status = mp_ring_status_of_errno ();
  else
    {
      const GOutputVector part = { .buffer = map->data, .size = ref->length };
      const MpRecord record = { .parts = &part, .n_parts = 1, .codec = codec };

      /* Whoever is stopped with their lock does not hold up those who get from here. */
      *status = mp_ring_put (self->dead_letters, &record, 1, MP_RING_PUT_FORCE, MP_DEADLINE_NOW);
      mp_store_give_map (self->store, ref, map);
    }
  return *status != MP_RING_TIMED_OUT && *status != MP_RING_INTERRUPTED &&
         *status != MP_RING_NO_MEMORY;
}

/* It was lent too often, now to us: it goes to the dead letters, or away, or back. */
static MpRingStatus
bury (MpRing *self, const MpBlockRef *ref, const MpBlockMessage *message)
{
  MpRingStatus status;

  if (!put_into_dead_letters (self, ref, message->codec, &status))
    {
      mp_store_give_back (self->store, ref);
      return status;
    }
  if (status != MP_RING_DONE)
    g_warning ("A message of %" G_GUINT64_FORMAT
               " bytes was delivered %u times and never acknowledged: it is dropped",
               ref->length,
               message->deliveries - 1);
  if (mp_store_change (self->store, ref, MP_BLOCK_LEASED, MP_BLOCK_ACKING))
    mp_ring_count_acked (self, ref);
  mp_store_give_free (self->store, ref);
  return MP_RING_DONE;
}

/* One that is not to be buried is lent to us. MP_RING_TIMED_OUT: there is none now. */
static MpRingStatus
adopt (MpRing *self, MpBlockRef *ref, MpBlockMessage *message)
{
  while (mp_store_take_returned (self->store, MP_BLOCK_LEASED, ref))
    {
      MpRingStatus status;

      mp_store_get_message (self->store, ref, message);
      if (ref->length > MP_STORE_MAX_LENGTH || message->codec > MP_CODEC_LAST)
        {
          /* Nonsense. */
          mp_store_give_free (self->store, ref);
          continue;
        }
      if (self->max_deliveries == 0 || message->deliveries <= self->max_deliveries)
        return MP_RING_DONE;
      status = bury (self, ref, message);
      if (status != MP_RING_DONE)
        return status;
    }
  return MP_RING_TIMED_OUT;
}

/* Until it was taken it is lent, so that it comes back again if we die. */
static MpRingStatus
hand_over (MpRing *self,
           MpRingGetting *getting,
           const MpBlockRef *ref,
           const MpBlockMessage *message)
{
  MpStoreMap *map = NULL;
  gboolean there = look_at_block (self->store, getting, ref, &map);
  const guint8 *data = map != NULL ? map->data : NULL;
  MpRingStatus status = MP_RING_DONE;

  if (!there)
    status = mp_ring_status_of_errno ();
  else if (!getting->take (getting->user_data, 0, 1, message->codec, data, ref->length))
    status = MP_RING_REFUSED;
  if (map != NULL)
    mp_store_give_map (self->store, ref, map);
  if (status != MP_RING_DONE)
    {
      mp_store_give_back (self->store, ref);
      return status;
    }
  if (!getting->lease)
    mp_store_change (self->store, ref, MP_BLOCK_LEASED, MP_BLOCK_TAKEN);
  note_block (getting, ref);
  getting->taken++;
  getting->bytes += ref->length;
  return MP_RING_DONE;
}

void
mp_ring_drop_returned (MpRing *self)
{
  MpStore *store = mp_ring_get_store (self, FALSE);
  MpBlockRef ref;

  while (store != NULL && mp_store_take_returned (store, MP_BLOCK_ACKING, &ref))
    {
      mp_ring_count_acked (self, &ref);
      mp_store_give_free (store, &ref);
    }
}

static void
look_for_more_returned (MpRing *self)
{
  if (mp_store_count (self->store, MP_BLOCK_LEASED, TRUE) == 0)
    return;
  atomic_store (&self->shared->returned, 1);
  mp_ring_wake_getters (self, 1);
}

guint32
mp_ring_drain_returned (MpRing *self)
{
  MpStore *store = mp_ring_get_store (self, FALSE);
  MpBlockMessage message;
  MpBlockRef ref;
  guint32 n = 0;

  if (store == NULL)
    return 0;
  /* First: who returns one from now on says so again. */
  atomic_exchange (&self->shared->returned, 0);
  while (adopt (self, &ref, &message) == MP_RING_DONE)
    {
      if (mp_store_change (store, &ref, MP_BLOCK_LEASED, MP_BLOCK_ACKING))
        mp_ring_count_acked (self, &ref);
      mp_store_give_free (store, &ref);
      n++;
    }
  look_for_more_returned (self);
  return n;
}

MpRingStatus
mp_ring_take_returned (MpRing *self, MpRingGetting *getting)
{
  MpStore *store = mp_ring_get_store (self, FALSE);
  MpRingStatus status = MP_RING_DONE;
  MpBlockMessage message;
  MpBlockRef ref;

  if (store == NULL)
    return mp_ring_status_of_errno ();
  /* First: who returns one from now on says so again. */
  atomic_exchange (&self->shared->returned, 0);
  while (status == MP_RING_DONE && getting->taken < getting->max_items)
    {
      status = adopt (self, &ref, &message);
      if (status == MP_RING_DONE)
        status = hand_over (self, getting, &ref, &message);
    }
  look_for_more_returned (self);
  /* What is in the ring can be had all the same. */
  return status == MP_RING_TIMED_OUT || status == MP_RING_INTERRUPTED ? MP_RING_DONE : status;
}
