/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-worker-watch-private.h"

#include "../base/mp-clock-private.h"
#include "../base/mp-futex-private.h"

#include <signal.h>

struct _MpWorkerWatch
{
  MpClaims *claims;
  _Atomic uint32_t *word;
  GThread *thread;

  GMutex lock;
  GCancellable *cancellable;
  guint slot;
  gboolean ended;
};

static GCancellable *
mp_worker_watch_look (MpWorkerWatch *self, gboolean *ended)
{
  GCancellable *cancellable = NULL;

  g_mutex_lock (&self->lock);
  *ended = self->ended;
  if (self->cancellable != NULL && mp_claims_is_asked (self->claims, self->slot))
    cancellable = g_steal_pointer (&self->cancellable);
  g_mutex_unlock (&self->lock);
  return cancellable;
}

static gpointer
mp_worker_watch_main (gpointer data)
{
  MpWorkerWatch *self = data;

  while (TRUE)
    {
      uint32_t seen = atomic_load (self->word);
      gboolean ended;
      g_autoptr (GCancellable) cancellable = mp_worker_watch_look (self, &ended);

      if (ended)
        return NULL;
      if (cancellable != NULL)
        g_cancellable_cancel (cancellable);
      else
        mp_futex_wait (self->word, seen, MP_DEADLINE_NEVER, TRUE);
    }
}

MpWorkerWatch *
mp_worker_watch_new (MpClaims *claims, guint worker)
{
  MpWorkerWatch *self = g_new0 (MpWorkerWatch, 1);
  sigset_t all;
  sigset_t old;

  self->claims = claims;
  self->word = mp_claims_get_asked_word (claims, worker);
  g_mutex_init (&self->lock);
  /* Signals are for the threads of the program. */
  sigfillset (&all);
  pthread_sigmask (SIG_SETMASK, &all, &old);
  self->thread = g_thread_new ("mp-watch", mp_worker_watch_main, self);
  pthread_sigmask (SIG_SETMASK, &old, NULL);
  return self;
}

static void
mp_worker_watch_wake (MpWorkerWatch *self)
{
  atomic_fetch_add (self->word, 1);
  mp_futex_wake (self->word, G_MAXINT, TRUE);
}

void
mp_worker_watch_free (MpWorkerWatch *self)
{
  g_mutex_lock (&self->lock);
  self->ended = TRUE;
  g_mutex_unlock (&self->lock);
  mp_worker_watch_wake (self);
  g_thread_join (self->thread);
  g_clear_object (&self->cancellable);
  g_mutex_clear (&self->lock);
  g_free (self);
}

void
mp_worker_watch_set (MpWorkerWatch *self, guint slot, GCancellable *cancellable)
{
  g_mutex_lock (&self->lock);
  g_set_object (&self->cancellable, cancellable);
  self->slot = slot;
  g_mutex_unlock (&self->lock);
  /* It may have been asked to end before. */
  if (cancellable != NULL && mp_claims_is_asked (self->claims, slot))
    mp_worker_watch_wake (self);
}
