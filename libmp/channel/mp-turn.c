/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-turn-private.h"

#include <pthread.h>

#include "../base/mp-clock-private.h"

/* The word of a turn: one of these, and above it the generation of the process that
 * wrote it. One of another generation is free. */
#define FREE 0U
#define TAKEN 1U
#define AWAITED 2U /* taken, and there may be somebody in the line */
#define STATE_BITS 2

/* That of users: whether it is to end, how many there are, the generation. */
#define ENDING G_GUINT64_CONSTANT (1)
#define ONE_USER G_GUINT64_CONSTANT (2)
#define USERS_MASK G_GUINT64_CONSTANT (0xfffffffe)

/* All lines: they are short, and rare. One lock, so that it can rest during a fork. */
static pthread_mutex_t lines_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t lines_moved;
static uint32_t generation = 1;

void
mp_turn_lock (void)
{
  pthread_mutex_lock (&lines_lock);
}

void
mp_turn_unlock (void)
{
  pthread_mutex_unlock (&lines_lock);
}

static void
init_cond (void)
{
  pthread_condattr_t attributes;

  pthread_condattr_init (&attributes);
  pthread_condattr_setclock (&attributes, CLOCK_MONOTONIC);
  pthread_cond_init (&lines_moved, &attributes);
  pthread_condattr_destroy (&attributes);
}

static void
after_fork_in_child (void)
{
  generation++;
  /* Those who slept on it are not here. */
  init_cond ();
  pthread_mutex_unlock (&lines_lock);
}

__attribute__ ((constructor)) static void
prepare_for_forks (void)
{
  init_cond ();
  pthread_atfork (mp_turn_lock, mp_turn_unlock, after_fork_in_child);
}

uint32_t
mp_turn_get_generation (void)
{
  return generation;
}

static inline uint32_t
word_of (uint32_t state)
{
  return generation << STATE_BITS | state;
}

static inline gboolean
is_free (uint32_t word)
{
  return word >> STATE_BITS != (generation << STATE_BITS) >> STATE_BITS ||
         (word & ((1U << STATE_BITS) - 1)) == FREE;
}

gboolean
mp_turn_try (MpTurn *self)
{
  uint32_t word = atomic_load_explicit (&self->word, memory_order_relaxed);

  return is_free (word) && atomic_compare_exchange_strong_explicit (&self->word,
                                                                    &word,
                                                                    word_of (TAKEN),
                                                                    memory_order_acquire,
                                                                    memory_order_relaxed);
}

static void
wake (MpTurnWaiter *waiter)
{
  if (waiter->source != NULL)
    g_source_set_ready_time (waiter->source, 0);
  else
    pthread_cond_broadcast (&lines_moved);
}

void
mp_turn_release (MpTurn *self)
{
  uint32_t word = word_of (TAKEN);
  MpTurnWaiter *next;

  if (atomic_compare_exchange_strong_explicit (&self->word,
                                               &word,
                                               word_of (FREE),
                                               memory_order_release,
                                               memory_order_relaxed))
    return;
  /* In a child of the process that took it, nobody has it. */
  if (is_free (word))
    return;
  pthread_mutex_lock (&lines_lock);
  next = self->first;
  if (next == NULL)
    atomic_store_explicit (&self->word, word_of (FREE), memory_order_release);
  else
    {
      self->first = next->next;
      if (self->first == NULL)
        self->last = NULL;
      next->queued = FALSE;
      next->granted = TRUE;
      wake (next);
    }
  pthread_mutex_unlock (&lines_lock);
}

static gboolean
enqueue (MpTurn *self, MpTurnWaiter *waiter)
{
  uint32_t word = atomic_load_explicit (&self->word, memory_order_relaxed);

  waiter->next = NULL;
  waiter->queued = waiter->granted = FALSE;
  if (is_free (word))
    self->first = self->last = NULL;
  /* Whoever has it sees at its end that somebody waits. */
  if (is_free (atomic_exchange_explicit (&self->word, word_of (AWAITED), memory_order_acquire)))
    return TRUE;
  if (self->last != NULL)
    self->last->next = waiter;
  else
    self->first = waiter;
  self->last = waiter;
  waiter->queued = TRUE;
  return FALSE;
}

gboolean
mp_turn_enqueue (MpTurn *self, MpTurnWaiter *waiter)
{
  gboolean taken;

  if (mp_turn_try (self))
    return TRUE;
  pthread_mutex_lock (&lines_lock);
  taken = enqueue (self, waiter);
  pthread_mutex_unlock (&lines_lock);
  return taken;
}

gboolean
mp_turn_is_granted (MpTurn *self, MpTurnWaiter *waiter)
{
  gboolean granted;

  pthread_mutex_lock (&lines_lock);
  granted = waiter->granted;
  pthread_mutex_unlock (&lines_lock);
  return granted;
}

static void
remove_from_line (MpTurn *self, MpTurnWaiter *waiter)
{
  MpTurnWaiter *before = NULL;

  for (MpTurnWaiter *each = self->first; each != NULL; before = each, each = each->next)
    {
      if (each != waiter)
        continue;
      if (before != NULL)
        before->next = waiter->next;
      else
        self->first = waiter->next;
      if (self->last == waiter)
        self->last = before;
      break;
    }
  waiter->queued = FALSE;
}

void
mp_turn_dequeue (MpTurn *self, MpTurnWaiter *waiter)
{
  gboolean granted;

  pthread_mutex_lock (&lines_lock);
  granted = waiter->granted;
  waiter->granted = FALSE;
  if (waiter->queued)
    remove_from_line (self, waiter);
  pthread_mutex_unlock (&lines_lock);
  if (granted)
    mp_turn_release (self);
}

static void
on_cancelled (GCancellable *cancellable, gpointer data)
{
  mp_turn_wake_all ();
}

void
mp_turn_wake_all (void)
{
  pthread_mutex_lock (&lines_lock);
  pthread_cond_broadcast (&lines_moved);
  pthread_mutex_unlock (&lines_lock);
}

static void
sleep_until (gint64 deadline)
{
  struct timespec end = { .tv_sec = deadline / G_USEC_PER_SEC,
                          .tv_nsec = deadline % G_USEC_PER_SEC * 1000 };

  if (deadline == MP_DEADLINE_NEVER)
    pthread_cond_wait (&lines_moved, &lines_lock);
  else
    pthread_cond_timedwait (&lines_moved, &lines_lock, &end);
}

gboolean
mp_turn_wait (MpTurn *self,
              gint64 deadline,
              GCancellable *cancellable,
              MpTurnFunc is_over,
              gpointer data)
{
  MpTurnWaiter waiter = { .source = NULL };
  gulong handler = 0;
  gboolean granted;

  if (mp_turn_try (self))
    return TRUE;
  if (cancellable != NULL)
    handler = g_cancellable_connect (cancellable, G_CALLBACK (on_cancelled), NULL, NULL);
  pthread_mutex_lock (&lines_lock);
  waiter.granted = enqueue (self, &waiter);
  while (!waiter.granted && mp_deadline_left (deadline) != 0 &&
         !g_cancellable_is_cancelled (cancellable) && !is_over (data))
    sleep_until (deadline);
  granted = waiter.granted;
  if (!granted)
    remove_from_line (self, &waiter);
  pthread_mutex_unlock (&lines_lock);
  if (cancellable != NULL)
    g_cancellable_disconnect (cancellable, handler);
  return granted;
}

/* Users */

static uint64_t
users_of_now (uint64_t word)
{
  return word >> 32 == generation ? word : (uint64_t) generation << 32 | (word & ENDING);
}

gboolean
mp_users_enter (MpUsers *self)
{
  uint64_t word = atomic_load_explicit (&self->word, memory_order_relaxed), now;

  do
    {
      now = users_of_now (word);
      if ((now & ENDING) != 0)
        return FALSE;
    }
  while (!atomic_compare_exchange_weak_explicit (&self->word,
                                                 &word,
                                                 now + ONE_USER,
                                                 memory_order_acquire,
                                                 memory_order_relaxed));
  return TRUE;
}

gboolean
mp_users_leave (MpUsers *self)
{
  uint64_t before = atomic_fetch_sub_explicit (&self->word, ONE_USER, memory_order_acq_rel);

  return (before & ENDING) != 0 && (before & USERS_MASK) == ONE_USER;
}

gboolean
mp_users_end (MpUsers *self)
{
  uint64_t word = atomic_load_explicit (&self->word, memory_order_relaxed), now;

  do
    {
      now = users_of_now (word);
      if ((now & ENDING) != 0)
        return FALSE;
    }
  while (!atomic_compare_exchange_weak_explicit (&self->word,
                                                 &word,
                                                 now | ENDING,
                                                 memory_order_seq_cst,
                                                 memory_order_relaxed));
  return (now & USERS_MASK) == 0;
}
