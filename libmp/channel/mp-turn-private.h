/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <gio/gio.h>
#include <stdatomic.h>
#include <stdint.h>

G_BEGIN_DECLS

/* One thing that the threads of a process do one after the other: first come, first
 * served. It is held across a main loop, too, so that it belongs to no thread. In a
 * child of fork() it is free: what the parent does is none of its business. */
typedef struct
{
  _Atomic uint32_t word;
  struct MpTurnWaiter *first, *last;
} MpTurn;

/* Who waits: with a source, that is woken, else in mp_turn_wait(). */
typedef struct MpTurnWaiter
{
  struct MpTurnWaiter *next;
  GSource *source;
  gboolean queued;
  gboolean granted;
} MpTurnWaiter;

/* Whether it was free, and is the caller's now. */
gboolean mp_turn_try (MpTurn *self);
void mp_turn_release (MpTurn *self);

/* The same, or @waiter stands in the line, and its source is made ready once it
 * has the turn. */
gboolean mp_turn_enqueue (MpTurn *self, MpTurnWaiter *waiter);
gboolean mp_turn_is_granted (MpTurn *self, MpTurnWaiter *waiter);
/* Leaves the line, or releases what was granted. */
void mp_turn_dequeue (MpTurn *self, MpTurnWaiter *waiter);

typedef gboolean (*MpTurnFunc) (gpointer data);

/* Waits for it. FALSE at the deadline, when it is cancelled, or when @is_over is
 * TRUE, which is asked whenever mp_turn_wake_all() is called. */
gboolean mp_turn_wait (MpTurn *self,
                       gint64 deadline,
                       GCancellable *cancellable,
                       MpTurnFunc is_over,
                       gpointer data);
void mp_turn_wake_all (void);

/* The lock under which the lines of all turns are: for what is as rare, and as short. */
void mp_turn_lock (void);
void mp_turn_unlock (void);

/* How often this process is a child of fork(), as the above see it. */
uint32_t mp_turn_get_generation (void);

/* How many use something, and whether it is to end: when nobody does, it can. */
typedef struct
{
  _Atomic uint64_t word;
} MpUsers;

/* FALSE if it is to end. */
gboolean mp_users_enter (MpUsers *self);
/* TRUE for the one that has to end it. */
gboolean mp_users_leave (MpUsers *self) G_GNUC_WARN_UNUSED_RESULT;
gboolean mp_users_end (MpUsers *self) G_GNUC_WARN_UNUSED_RESULT;

static inline gboolean
mp_users_is_ending (MpUsers *self)
{
  return (atomic_load (&self->word) & 1) != 0;
}

G_END_DECLS
