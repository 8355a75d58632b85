/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-ring-layout-private.h"

/* Somebody may have died before it could wake us. */
#define FALLBACK_MS 1000
/* Who needs more room than there is leaves the eventfd to those who need less,
 * and looks by itself. */
#define LOOK_MS 5

typedef struct
{
  GSource source;
  MpRing *ring;
  MpRingNeed need;
  GPollFD poll;
} RingSource;

static gboolean
ring_source_look (RingSource *self, gboolean signalled)
{
  MpRingSide *side = mp_ring_get_side (self->ring, self->need.condition);
  MpRingNeed small = mp_ring_need (self->need.condition);

  self->poll.events = G_IO_IN;
  if (mp_ring_is_ready (self->ring, &self->need))
    return TRUE;
  if ((self->need.condition & G_IO_OUT) != 0 && mp_ring_is_ready (self->ring, &small))
    {
      self->poll.events = 0;
      return FALSE;
    }
  if (!signalled && atomic_load_explicit (&side->armed, memory_order_relaxed) != 0)
    return FALSE;
  return mp_ring_arm (self->ring, &small) && mp_ring_is_ready (self->ring, &self->need);
}

static gboolean
ring_source_prepare (GSource *source, int *timeout)
{
  RingSource *self = (RingSource *) source;
  gboolean ready = ring_source_look (self, FALSE);

  if (self->poll.events == 0)
    *timeout = LOOK_MS;
  else
    *timeout = mp_ring_has_claim (self->ring) ? MP_RING_CLAIM_REFRESH_US / 1000 : FALLBACK_MS;
  return ready;
}

static gboolean
ring_source_check (GSource *source)
{
  RingSource *self = (RingSource *) source;

  return ring_source_look (self, self->poll.revents != 0);
}

static gboolean
ring_source_dispatch (GSource *source, GSourceFunc callback, gpointer user_data)
{
  return callback != NULL ? callback (user_data) : G_SOURCE_REMOVE;
}

/* Without it, g_source_set_dummy_callback() does not work, which keeps this
 * source alive as the child of another. */
static gboolean
ring_source_closure (gpointer user_data)
{
  return G_SOURCE_CONTINUE;
}

static void
ring_source_finalize (GSource *source)
{
  RingSource *self = (RingSource *) source;

  mp_ring_unref (self->ring);
}

static GSourceFuncs ring_source_funcs = {
  .prepare = ring_source_prepare,
  .check = ring_source_check,
  .dispatch = ring_source_dispatch,
  .finalize = ring_source_finalize,
  .closure_callback = ring_source_closure,
};

GSource *
mp_ring_source_new_full (MpRing *self, const MpRingNeed *need)
{
  GSource *source = g_source_new (&ring_source_funcs, sizeof (RingSource));
  RingSource *ring_source = (RingSource *) source;

  ring_source->ring = mp_ring_ref (self);
  ring_source->need = *need;
  ring_source->poll.fd = (need->condition & G_IO_OUT) != 0 ? self->put_event : self->get_event;
  ring_source->poll.events = G_IO_IN;
  /* Not g_source_add_unix_fd(): that dispatches whenever the descriptor is
   * readable, and here it only says that it is worth to look. */
  g_source_add_poll (source, &ring_source->poll);
  g_source_set_static_name (source, "MpRing");
  return source;
}

GSource *
mp_ring_source_new (MpRing *self, GIOCondition condition)
{
  MpRingNeed need = mp_ring_need (condition);

  return mp_ring_source_new_full (self, &need);
}

GSource *
mp_ring_source_new_for_put (MpRing *self, const MpRecord *records, gsize n_records)
{
  MpRingNeed need = mp_ring_need (G_IO_OUT);

  mp_ring_measure (records, n_records, &need);
  return mp_ring_source_new_full (self, &need);
}
