/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-ring-layout-private.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "../base/mp-fd-private.h"

/* Somebody may have died before it could wake us. */
#define FALLBACK_MS 1000
/* Who waits while there is room for others leaves the eventfd to those, and watches it for
 * changes. So many do in this process, and others look by themselves: it is enough that some
 * are attentive, and descriptors are few. */
#define MAX_WATCHING 64
#define LOOK_MS 5

typedef struct
{
  GSource source;
  MpRing *ring;
  MpRingNeed need;
  GPollFD poll;
  gint64 claim_at;    /* if it has a token */
  MpFd changes;       /* readable when the eventfd was made so again */
  GPollFD watching;   /* that one */
  guint32 counted_in; /* the process; 0 if it is not counted */
} RingSource;

/* The process in the upper half: what was counted before a fork is the parent's. */
static _Atomic uint64_t n_watching;

static gboolean
count_watching (void)
{
  const uint64_t none = (uint64_t) getpid () << 32;
  uint64_t seen = atomic_load (&n_watching), next;

  do
    {
      next = (seen >> 32 == none >> 32 ? seen : none) + 1;
      if ((guint32) next > MAX_WATCHING)
        return FALSE;
    }
  while (!atomic_compare_exchange_weak (&n_watching, &seen, next));
  return TRUE;
}

static void
discount_watching (guint32 process)
{
  uint64_t seen = atomic_load (&n_watching);

  while (process != 0 && seen >> 32 == process &&
         !atomic_compare_exchange_weak (&n_watching, &seen, seen - 1))
    ;
}

/* From now on this source never empties the eventfd, which stays readable for others. It is
 * written again all the same, if somebody says to be waiting. */
static gboolean
ring_source_watch_changes (RingSource *self)
{
  g_auto (MpFd) fd = -1;
  struct epoll_event interest = { .events = EPOLLIN | EPOLLET };

  /* Who waits for room for descriptors has as many of them anyway. */
  if (!self->need.fds && !count_watching ())
    return FALSE;
  self->counted_in = self->need.fds ? 0 : (guint32) getpid ();
  fd = epoll_create1 (EPOLL_CLOEXEC);
  if (fd < 0 || epoll_ctl (fd, EPOLL_CTL_ADD, self->poll.fd, &interest) != 0)
    {
      discount_watching (self->counted_in);
      return FALSE;
    }
  self->changes = g_steal_fd (&fd);
  self->poll.events = 0;
  self->watching = (GPollFD){ .fd = self->changes, .events = G_IO_IN };
  g_source_add_poll (&self->source, &self->watching);
  return TRUE;
}

static gboolean
ring_source_look_again (RingSource *self)
{
  struct epoll_event event;

  if (mp_ring_is_ready (self->ring, &self->need))
    return TRUE;
  while (epoll_wait (self->changes, &event, 1, 0) < 0 && errno == EINTR)
    ;
  atomic_store (&mp_ring_get_side (self->ring, self->need.condition)->armed, 1);
  mp_ring_fence (self->ring);
  return mp_ring_is_ready (self->ring, &self->need);
}

static gboolean
ring_source_look (RingSource *self, gboolean signalled)
{
  MpRingSide *side = mp_ring_get_side (self->ring, self->need.condition);

  if (self->changes >= 0)
    return ring_source_look_again (self);
  self->poll.events = G_IO_IN;
  if (mp_ring_is_ready (self->ring, &self->need))
    return TRUE;
  if (self->need.fds ||
      ((self->need.condition & G_IO_OUT) != 0 && mp_ring_is_for_another (self->ring, &self->need)))
    {
      self->poll.events = 0;
      return ring_source_watch_changes (self) && ring_source_look_again (self);
    }
  if (!signalled && atomic_load_explicit (&side->armed, memory_order_relaxed) != 0)
    return FALSE;
  return mp_ring_arm (self->ring, &self->need);
}

/* How many milliseconds from now it has to be done again. */
static int
ring_source_claim (RingSource *self)
{
  gint64 now = g_get_monotonic_time ();

  if (now >= self->claim_at)
    self->claim_at = now + mp_ring_claim_again (self->ring, &self->need);
  return (int) ((self->claim_at - now + 999) / 1000);
}

static gboolean
ring_source_prepare (GSource *source, int *timeout)
{
  RingSource *self = (RingSource *) source;
  gboolean ready;
  int claim_in;

  mp_ring_tend (self->ring, FALSE);
  claim_in = self->need.token != 0 ? ring_source_claim (self) : FALLBACK_MS;
  ready = ring_source_look (self, FALSE);
  if (self->poll.events == 0 && self->changes < 0)
    *timeout = LOOK_MS;
  else
    *timeout = mp_ring_is_held_up (self->ring, self->need.condition)
                 ? MP_RING_CLAIM_REFRESH_US / 1000
                 : FALLBACK_MS;
  *timeout = MIN (*timeout, claim_in);
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

  if (self->changes >= 0)
    discount_watching (self->counted_in);
  mp_clear_fd (&self->changes);
  mp_ring_unclaim (self->ring, &self->need);
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
  ring_source->poll.fd = mp_ring_get_event (self, need->condition);
  ring_source->poll.events = G_IO_IN;
  ring_source->changes = -1;
  /* Not g_source_add_unix_fd(): that dispatches whenever the descriptor is
   * readable, and here it only says that it is worth to look. */
  g_source_add_poll (source, &ring_source->poll);
  g_source_set_static_name (source, "MpRing");
  /* Where there is room in the ring, and none for descriptors. */
  if (need->fds)
    ring_source_watch_changes (ring_source);
  return source;
}

GSource *
mp_ring_source_new (MpRing *self, GIOCondition condition)
{
  MpRingNeed need = mp_ring_need (condition);

  return mp_ring_source_new_full (self, &need);
}

GSource *
mp_ring_source_new_for_put (MpRing *self, const MpRecord *records, gsize n_records, guint32 token)
{
  MpRingNeed need = mp_ring_need (G_IO_OUT);
  GSource *source;

  mp_ring_measure (records, n_records, &need);
  /* Where there is no bound, it waits only for descriptors, which nobody claims. */
  need.token = self->bounded ? token : 0;
  source = mp_ring_source_new_full (self, &need);
  ((RingSource *) source)->claim_at = g_get_monotonic_time () + MP_RING_CLAIM_AFTER_US;
  return source;
}
