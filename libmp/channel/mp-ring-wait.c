/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Sleeping and waking. Each side, getters and putters and those who join, has
 *
 * - a count of sleepers in futexes, and the word they sleep on. A sleeper counts
 *   itself, looks once more, and sleeps; who commits looks at the count after
 *   the commit, changes the word and wakes, and takes those off that it woke.
 *   A sleeper that was killed leaves the count too high, which costs system
 *   calls only; after some that woke nobody, the count starts afresh in a new
 *   epoch, and everybody is woken to be counted again.
 *
 * - an eventfd for main loops. It is readable while there may be something to
 *   do. A loop that finds nothing empties it, sets the armed flag, and looks
 *   again; if there is something now, it makes it readable again, because other
 *   loops may sleep on it. Who commits makes it readable if the flag was set.
 *   So no loop sleeps while there is something that no busy one attends to.
 *
 * A wake is for one sleeper. While it comes, nobody else is woken for what is put
 * meanwhile: who wakes it says so before. It takes that back when it has arrived,
 * then looks, takes what it finds, and wakes the next one if there is more. Who
 * spins does the same; and who woke nobody takes it back, and looks again. Whoever
 * finds something and leaves it, because of a signal, of its deadline, or because
 * it cannot read the message, passes it on.
 * Putters are woken seldom enough without that.
 *
 * Who commits with MP_RING_PUT_QUIETLY wakes nobody with that: somebody looks, or
 * the one who commits calls mp_ring_pass_on() a little later.
 *
 * Both look for themselves after at most a second, because somebody may have
 * been killed or stopped between a commit and its wake, while it came, between
 * emptying and arming, or between a new epoch and the wake that goes with it.
 * tests/model/ring.pml checks that there is no other way to sleep beside a message. */

#include "mp-ring-quick-private.h"

#include <errno.h>
#include <limits.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "../base/mp-clock-private.h"
#include "../base/mp-futex-private.h"

#define SLICE_US (G_USEC_PER_SEC)
/* A putter first waits that the ring is half empty, since a wake and a switch
 * for each message would be dear, but not longer than this. */
#define LAZY_US 1000
#define MAX_IDLE_WAKES 16
/* A getter lets messages come together for so long, in two halves. */
#define LINGER_US 4
/* Between two looks at the clock. */
#define LINGER_ROUNDS 16
/* If fewer came in one of the halves, it was no stream, and so many getters take what they find at
 * once: so many at first, and twice as many each time. */
#define LINGER_ITEMS 2
#define LINGER_MIN_NAPS 16
#define LINGER_MAX_NAPS 1024
/* Who looks has taken what was put after so many looks, about a microsecond; not more often, since
 * each takes a line of memory from it. */
#define TAKING_ROUNDS 16
#define TAKING_PAUSE 4
/* Who was to come, and has not for so long, was killed or stopped. */
#define COMING_MS 10

MpRingNeed
mp_ring_need (GIOCondition condition)
{
  return (MpRingNeed){ .condition = condition, .units = 2, .items = 1 };
}

/* Out of the way of those who spin. */
static G_GNUC_NO_INLINE gboolean
is_room_beside_claim (MpRing *self, const MpRingNeed *need, guint64 head, guint64 tail)
{
  MpRingNeed both = *need;

  mp_ring_is_claimed (self, need, &both);
  return mp_ring_has_room (self, head, tail, &both);
}

/* What is lent, and may come back, keeps even a closed ring from its end. */
static G_GNUC_NO_INLINE gboolean
is_over (MpRing *self)
{
  MpRingShared *shared = self->shared;

  return (atomic_load (&shared->closed) & MP_QUEUE_SIDES_GET) != 0 ||
         atomic_load (&shared->returned) != 0 || !mp_ring_is_lent (self);
}

gboolean
mp_ring_is_ready (MpRing *self, const MpRingNeed *need)
{
  MpRingShared *shared = self->shared;
  guint64 tail = atomic_load_explicit (&shared->tail, memory_order_acquire);
  guint64 head = atomic_load_explicit (&shared->head, memory_order_acquire);
  guint32 units = mp_ring_position (head) - mp_ring_position (tail);
  guint32 items = mp_ring_items (head) - mp_ring_items (tail);

  if (G_UNLIKELY ((need->condition & G_IO_PRI) != 0))
    return mp_ring_get_unfinished (self) == 0;
  if (G_UNLIKELY (atomic_load_explicit (&shared->closed, memory_order_acquire) != 0))
    return (need->condition & G_IO_OUT) != 0 || items != 0 || is_over (self);
  if ((need->condition & G_IO_OUT) == 0)
    return items != 0 || atomic_load_explicit (&shared->returned, memory_order_relaxed) != 0;
  if (G_UNLIKELY (need->fds) && !mp_ring_has_fd_room (self))
    return FALSE;
  if (!self->bounded)
    return TRUE;
  if (G_UNLIKELY (mp_ring_has_claim (self)))
    return is_room_beside_claim (self, need, head, tail);
  return ((guint64) units + MIN (need->units, self->max_units) <= self->max_units &&
          (guint64) items + need->items <= self->max_items);
}

/* Sleepers */

static guint32
enter (MpRingSide *side)
{
  return (guint32) (atomic_fetch_add (&side->waiters, 1) >> 32);
}

/* Takes @n sleepers of @epoch off the count. */
static void
leave (MpRingSide *side, guint32 epoch, guint32 n)
{
  uint64_t seen = atomic_load (&side->waiters);
  uint64_t count;

  do
    {
      count = MIN ((guint32) seen, n);
      if ((guint32) (seen >> 32) != epoch || count == 0)
        return;
    }
  while (!atomic_compare_exchange_weak (&side->waiters, &seen, seen - count));
}

/* FALSE if there was none. */
static gboolean
wake_sleepers (MpRingSide *side, guint32 n)
{
  uint64_t seen = atomic_load (&side->waiters);
  guint32 epoch = (guint32) (seen >> 32);
  int woken;

  if ((guint32) seen == 0)
    return FALSE;
  atomic_fetch_add (&side->sequence, 1);
  woken = mp_futex_wake (&side->sequence, (int) MIN (n, INT_MAX), TRUE);
  if (woken > 0)
    {
      leave (side, epoch, (guint32) woken);
      atomic_store_explicit (&side->idle_wakes, 0, memory_order_relaxed);
      return TRUE;
    }
  if (atomic_fetch_add (&side->idle_wakes, 1) < MAX_IDLE_WAKES)
    return FALSE;
  atomic_store (&side->idle_wakes, 0);
  if (atomic_compare_exchange_strong (&side->waiters, &seen, ((uint64_t) epoch + 1) << 32))
    {
      atomic_fetch_add (&side->sequence, 1);
      mp_futex_wake (&side->sequence, INT_MAX, TRUE);
    }
  return FALSE;
}

/* Who comes */

/* Never 0. What the kernel last wrote down is good enough, and cheaper. */
static guint32
get_milliseconds (void)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC_COARSE, &now);
  return (guint32) (now.tv_sec * 1000 + now.tv_nsec / 1000000) | 1;
}

static gboolean
is_coming (MpRingSide *side)
{
  guint32 coming = atomic_load_explicit (&side->coming, memory_order_relaxed);

  return coming != 0 && get_milliseconds () - coming <= COMING_MS;
}

/* Before somebody is woken: who was has seen it when it looks whether it is expected. */
static void
announce (MpRingSide *side)
{
  atomic_store_explicit (&side->coming, get_milliseconds (), memory_order_relaxed);
}

/* Before this one looks, and takes or passes on what it finds. What nobody has said need not
 * be taken back: to write there takes as long as much of the rest. */
static void
arrive (MpRingSide *side)
{
  if (atomic_load_explicit (&side->coming, memory_order_relaxed) != 0)
    atomic_exchange (&side->coming, 0);
}

/* Main loops */

int
mp_ring_get_event (MpRing *self, GIOCondition condition)
{
  if ((condition & G_IO_PRI) != 0)
    return self->join_event;
  return (condition & G_IO_OUT) != 0 ? self->put_event : self->get_event;
}

static void
signal_event (int fd)
{
  while (eventfd_write (fd, 1) != 0 && errno == EINTR)
    ;
}

static void
disarm (MpRingSide *side, int fd)
{
  if (atomic_load_explicit (&side->armed, memory_order_relaxed) != 0 &&
      atomic_exchange (&side->armed, 0) != 0)
    signal_event (fd);
}

gboolean
mp_ring_arm (MpRing *self, const MpRingNeed *need)
{
  MpRingSide *side = mp_ring_get_side (self, need->condition);
  int fd = mp_ring_get_event (self, need->condition);
  gboolean ready;
  eventfd_t value;

  while (eventfd_read (fd, &value) != 0 && errno == EINTR)
    ;
  atomic_store (&side->armed, 1);
  mp_ring_fence (self);
  ready = mp_ring_is_ready (self, need);
  /* What was read may have been for somebody else, who sleeps on it as well. */
  if (ready || ((need->condition & G_IO_OUT) != 0 && mp_ring_is_for_another (self, need)))
    disarm (side, fd);
  return ready;
}

/* Waking */

/* More than can run at once would only be in each other's way: each that comes wakes the
 * next one if there is more. */
static guint32
limit_wakes (guint32 n)
{
  static _Atomic guint32 n_processors = 0;
  guint32 known = atomic_load_explicit (&n_processors, memory_order_relaxed);

  if (known == 0)
    {
      known = g_get_num_processors ();
      atomic_store_explicit (&n_processors, known, memory_order_relaxed);
    }
  return MIN (n, known);
}

void
mp_ring_wake_getters_slow (MpRing *self, guint32 n_items)
{
  MpRingSide *side = &self->shared->getters;
  guint32 n = limit_wakes (n_items);
  gboolean more = (guint32) atomic_load (&side->waiters) > n;
  const MpRingNeed need = { .condition = G_IO_IN };

  if (is_coming (side))
    return;
  if (more)
    announce (side);
  if (!wake_sleepers (side, n) && more)
    {
      /* Nobody comes; and who has believed it has woken nobody either. */
      arrive (side);
      if (mp_ring_is_ready (self, &need))
        wake_sleepers (side, n);
    }
  disarm (side, self->get_event);
}

void
mp_ring_wake_putters_slow (MpRing *self, guint32 n)
{
  MpRingShared *shared = self->shared;
  MpRingSide *side = &shared->putters;
  guint64 tail = atomic_load_explicit (&shared->tail, memory_order_acquire);
  guint64 head = atomic_load_explicit (&shared->head, memory_order_acquire);
  const MpRingNeed anybody = { .condition = G_IO_OUT };

  /* Who has claimed the room is any of those who sleep. */
  if (G_UNLIKELY (mp_ring_has_claim (self)) && mp_ring_is_for_another (self, &anybody))
    wake_sleepers (side, INT_MAX);
  else if (atomic_load_explicit (&side->eager, memory_order_relaxed) != 0 &&
           atomic_exchange (&side->eager, 0) != 0)
    wake_sleepers (side, INT_MAX);
  else if (mp_ring_position (head) - mp_ring_position (tail) <= self->max_units / 2 &&
           mp_ring_items (head) - mp_ring_items (tail) <= self->max_items / 2)
    wake_sleepers (side, n);
  disarm (side, self->put_event);
}

void
mp_ring_wake_side (MpRing *self, GIOCondition condition)
{
  MpRingSide *side = mp_ring_get_side (self, condition);

  atomic_fetch_add (&side->sequence, 1);
  wake_sleepers (side, INT_MAX);
  atomic_store (&side->armed, 0);
  signal_event (mp_ring_get_event (self, condition));
}

void
mp_ring_pass_on (MpRing *self, GIOCondition condition)
{
  MpRingNeed need = mp_ring_need (condition);

  if (!mp_ring_is_ready (self, &need))
    return;
  if ((condition & G_IO_OUT) != 0)
    mp_ring_wake_putters (self, 1);
  else
    mp_ring_wake_getters (self, 1);
}

void
mp_ring_pass_on_later (MpRing *self)
{
  mp_ring_fence_after_release (self);
  if (!mp_ring_is_awaited (&self->shared->getters))
    return;
  for (int i = 0; i < TAKING_ROUNDS && mp_ring_get_length (self) > 0; i++)
    for (int j = 0; j < TAKING_PAUSE; j++)
      mp_micro_lock_relax ();
  mp_ring_pass_on (self, G_IO_IN);
}

/* Waiting */

typedef struct
{
  MpRing *ring;
  const MpRingNeed *need;
} Looking;

static gboolean
look (gpointer data)
{
  const Looking *looking = data;

  return mp_ring_is_ready (looking->ring, looking->need);
}

/* Whether there came enough meanwhile. */
static gboolean
relax_for (MpRing *self, gint64 duration)
{
  guint32 before = mp_ring_get_length (self);
  gint64 start = g_get_monotonic_time ();

  do
    for (int i = 0; i < LINGER_ROUNDS; i++)
      mp_micro_lock_relax ();
  while (g_get_monotonic_time () - start < duration);
  return (gint32) (mp_ring_get_length (self) - before) >= LINGER_ITEMS;
}

/* A getter that is as fast as those who put takes each message as it comes, and then all of them
 * wait for the same few lines of memory to go to and fro. If it lets some come together, that
 * happens once for them all. Where none come, or only as many as belong together or as there is
 * room for, which it learns by trying, it does not linger. */
static void
linger (MpRing *self)
{
  guint32 left = atomic_load_explicit (&self->linger_left, memory_order_relaxed);
  guint32 naps;

  if (left > 0)
    {
      atomic_store_explicit (&self->linger_left, left - 1, memory_order_relaxed);
      return;
    }
  if (relax_for (self, LINGER_US / 2) && relax_for (self, LINGER_US / 2))
    naps = 0;
  else
    naps = CLAMP (2 * atomic_load_explicit (&self->linger_naps, memory_order_relaxed),
                  LINGER_MIN_NAPS,
                  LINGER_MAX_NAPS);
  atomic_store_explicit (&self->linger_naps, naps, memory_order_relaxed);
  atomic_store_explicit (&self->linger_left, naps, memory_order_relaxed);
}

/* A getter that spins comes, too; one at a time is enough. Where it and those who put have
 * one processor, it gives them that, and looks again: then nobody has to be woken. */
static gboolean
spin (MpRing *self, const MpRingNeed *need)
{
  MpRingSide *side = mp_ring_get_side (self, need->condition);
  Looking looking = { .ring = self, .need = need };
  gboolean spun, found;

  if ((need->condition & G_IO_OUT) != 0)
    return mp_spin (&self->put_spin, look, &looking);
  if (is_coming (side))
    return FALSE;
  announce (side);
  found = mp_spin_or_yield (self->get_spins, look, &looking, &spun);
  arrive (side);
  /* Not while it is expected: were it stopped meanwhile, nobody would be woken. */
  if (spun)
    linger (self);
  return found;
}

void
mp_ring_look (MpRing *self)
{
  MpRingNeed need = mp_ring_need (G_IO_IN);

  if (!mp_ring_is_ready (self, &need))
    spin (self, &need);
}

gboolean
mp_ring_look_before_others (MpRing *self, MpSpin spins[2], MpSpinFunc came, gpointer data)
{
  MpRingSide *side = &self->shared->getters;
  MpRingNeed need = mp_ring_need (G_IO_IN);
  gboolean over, spun;

  announce (side);
  over = mp_spin_or_yield (spins, came, data, &spun);
  arrive (side);
  return over || mp_ring_is_ready (self, &need);
}

gboolean
mp_ring_is_getter_coming (MpRing *self)
{
  return is_coming (&self->shared->getters);
}

void
mp_ring_expect (MpRing *self)
{
  mp_spin_expect (self->get_spins);
}

void
mp_ring_set_trial (MpRing *self, guint32 trial)
{
  self->get_spins[0].trial = trial;
}

typedef struct
{
  MpRing *ring;
  GIOCondition condition;
} Cancelling;

static void
on_cancelled (GCancellable *cancellable, gpointer user_data)
{
  Cancelling *cancelling = user_data;

  mp_ring_wake_side (cancelling->ring, cancelling->condition);
}

/* How long to sleep at most. @lazily: this sleeper can do with less than any room. */
static gint64
get_slice (MpRing *self, GIOCondition condition, gint64 deadline, gboolean lazily)
{
  gint64 length = mp_ring_is_held_up (self, condition) ? MP_RING_CLAIM_REFRESH_US : SLICE_US;
  gint64 slice = g_get_monotonic_time () + (lazily ? LAZY_US : length);

  return deadline != MP_DEADLINE_NEVER && deadline < slice ? deadline : slice;
}

static MpRingStatus
sleep_until_ready (MpRing *self, const MpRingNeed *need, gint64 deadline, GCancellable *cancellable)
{
  MpRingSide *side = mp_ring_get_side (self, need->condition);
  gboolean lazily = (need->condition & G_IO_OUT) != 0;

  for (;;)
    {
      uint32_t sequence = atomic_load (&side->sequence);
      guint32 epoch = enter (side);
      MpFutexResult result;

      if (!lazily)
        atomic_store (&side->eager, 1);
      mp_ring_fence_after_release (self);
      if (mp_ring_is_ready (self, need))
        {
          leave (side, epoch, 1);
          return MP_RING_DONE;
        }
      if (cancellable != NULL && g_cancellable_is_cancelled (cancellable))
        {
          leave (side, epoch, 1);
          return MP_RING_INTERRUPTED;
        }
      result = mp_futex_wait (&side->sequence,
                              sequence,
                              get_slice (self, need->condition, deadline, lazily),
                              TRUE);
      if (result != MP_FUTEX_WOKEN)
        leave (side, epoch, 1);
      arrive (side);
      if (result == MP_FUTEX_TIMED_OUT && !lazily)
        mp_ring_tend (self, FALSE);
      if (mp_ring_is_ready (self, need))
        return MP_RING_DONE;
      if (result == MP_FUTEX_INTERRUPTED ||
          (cancellable != NULL && g_cancellable_is_cancelled (cancellable)))
        return MP_RING_INTERRUPTED;
      if (mp_deadline_left (deadline) == 0)
        return MP_RING_TIMED_OUT;
      lazily = lazily && result == MP_FUTEX_WOKEN;
    }
}

MpRingStatus
mp_ring_wait_for (MpRing *self, const MpRingNeed *need, gint64 deadline, GCancellable *cancellable)
{
  Cancelling cancelling = { .ring = self, .condition = need->condition };
  MpRingStatus status;
  gulong handler = 0;

  if (mp_ring_is_ready (self, need))
    return MP_RING_DONE;
  if (mp_deadline_left (deadline) == 0)
    return MP_RING_TIMED_OUT;
  if ((need->condition & G_IO_PRI) == 0 && spin (self, need))
    return MP_RING_DONE;
  if (cancellable != NULL)
    handler = g_cancellable_connect (cancellable, G_CALLBACK (on_cancelled), &cancelling, NULL);
  status = sleep_until_ready (self, need, deadline, cancellable);
  if (cancellable != NULL)
    g_cancellable_disconnect (cancellable, handler);
  return status;
}

MpRingStatus
mp_ring_wait (MpRing *self, GIOCondition condition, gint64 deadline)
{
  MpRingNeed need = mp_ring_need (condition);
  MpRingStatus status;

  need.token = mp_ring_thread_token ();
  status = mp_ring_wait_for (self, &need, deadline, NULL);
  /* It may never take what it was woken for. */
  if (status == MP_RING_DONE)
    mp_ring_pass_on (self, condition);
  if (status == MP_RING_DONE && mp_ring_is_closed (self) &&
      ((condition & G_IO_OUT) != 0 || mp_ring_get_length (self) == 0))
    return MP_RING_CLOSED;
  return status;
}
