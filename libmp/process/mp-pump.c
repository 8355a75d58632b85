/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-pump-private.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

/* All of it is forgotten in a forked child, where the thread does not exist:
 * the next call starts another one. */
static GMutex pump_mutex;
static GMainContext *pump_context;
static GThread *pump_thread;
static int pump_thread_id;
static guint pump_generation;

/* The two sides of mp_pump_park(). */
static GCond pump_parked_cond;
static gboolean pump_parked;
static gboolean pump_release;

static void
mp_pump_before_fork (void)
{
  g_mutex_lock (&pump_mutex);
}

static void
mp_pump_after_fork_parent (void)
{
  g_mutex_unlock (&pump_mutex);
}

static void
mp_pump_after_fork_child (void)
{
  /* The forking thread holds the lock, so the state is whole. The old context
   * is not freed: its sources belong to objects that may still be reachable. */
  pump_context = NULL;
  pump_thread = NULL;
  pump_thread_id = 0;
  pump_parked = FALSE;
  pump_release = FALSE;
  pump_generation++;
  g_cond_init (&pump_parked_cond);
  g_mutex_init (&pump_mutex);
}

static gpointer
mp_pump_main (gpointer data)
{
  GMainContext *context = data;

  g_main_context_push_thread_default (context);
  g_atomic_int_set (&pump_thread_id, gettid ());
  while (TRUE)
    g_main_context_iteration (context, TRUE);
  return NULL;
}

/* With the mutex held. */
static void
mp_pump_start_locked (void)
{
  static gsize atfork = 0;
  sigset_t all;
  sigset_t old;

  if (g_once_init_enter (&atfork))
    {
      pthread_atfork (mp_pump_before_fork, mp_pump_after_fork_parent, mp_pump_after_fork_child);
      g_once_init_leave (&atfork, 1);
    }

  pump_context = g_main_context_new ();
  /* A new thread inherits the mask of its creator: no signal of the program is
   * ever delivered on the pump. */
  sigfillset (&all);
  pthread_sigmask (SIG_SETMASK, &all, &old);
  pump_thread = g_thread_new ("mp-pump", mp_pump_main, pump_context);
  pthread_sigmask (SIG_SETMASK, &old, NULL);
}

GMainContext *
mp_pump_get_context (void)
{
  GMainContext *context;

  g_mutex_lock (&pump_mutex);
  if (pump_context == NULL)
    mp_pump_start_locked ();
  context = pump_context;
  g_mutex_unlock (&pump_mutex);
  return context;
}

void
mp_pump_attach (GSource *source)
{
  /* Nothing turns the pump's loop from within. But what may not recurse has its descriptors
   * taken out of the poll for each dispatch, and the loop is woken for that. */
  g_source_set_can_recurse (source, TRUE);
  g_source_attach (source, mp_pump_get_context ());
}

void
mp_pump_invoke (GSourceFunc func, gpointer user_data, GDestroyNotify destroy)
{
  if (mp_pump_is_current_thread ())
    {
      while (func (user_data) == G_SOURCE_CONTINUE)
        ;
      if (destroy != NULL)
        destroy (user_data);
    }
  else
    {
      g_autoptr (GSource) source = g_idle_source_new ();

      g_source_set_priority (source, G_PRIORITY_DEFAULT);
      g_source_set_callback (source, func, user_data, destroy);
      g_source_set_static_name (source, "mp_pump_invoke");
      mp_pump_attach (source);
    }
}

gboolean
mp_pump_is_current_thread (void)
{
  GThread *thread;

  g_mutex_lock (&pump_mutex);
  thread = pump_thread;
  g_mutex_unlock (&pump_mutex);
  return thread != NULL && thread == g_thread_self ();
}

guint
mp_pump_get_generation (void)
{
  return pump_generation;
}

int
mp_pump_get_thread_id (void)
{
  gboolean there;

  g_mutex_lock (&pump_mutex);
  there = pump_context != NULL;
  g_mutex_unlock (&pump_mutex);
  /* It may have been made, and not have said so yet. */
  while (there && g_atomic_int_get (&pump_thread_id) == 0)
    g_thread_yield ();
  return g_atomic_int_get (&pump_thread_id);
}

static gboolean
mp_pump_park_cb (gpointer user_data)
{
  g_mutex_lock (&pump_mutex);
  pump_parked = TRUE;
  g_cond_broadcast (&pump_parked_cond);
  while (!pump_release)
    g_cond_wait (&pump_parked_cond, &pump_mutex);
  pump_parked = FALSE;
  g_cond_broadcast (&pump_parked_cond);
  g_mutex_unlock (&pump_mutex);
  return G_SOURCE_REMOVE;
}

void
mp_pump_park (void)
{
  g_mutex_lock (&pump_mutex);
  if (pump_context == NULL)
    {
      g_mutex_unlock (&pump_mutex);
      return;
    }
  pump_release = FALSE;
  g_mutex_unlock (&pump_mutex);

  mp_pump_invoke (mp_pump_park_cb, NULL, NULL);

  g_mutex_lock (&pump_mutex);
  while (!pump_parked)
    g_cond_wait (&pump_parked_cond, &pump_mutex);
  g_mutex_unlock (&pump_mutex);
}

void
mp_pump_unpark (void)
{
  g_mutex_lock (&pump_mutex);
  pump_release = TRUE;
  g_cond_broadcast (&pump_parked_cond);
  while (pump_parked)
    g_cond_wait (&pump_parked_cond, &pump_mutex);
  g_mutex_unlock (&pump_mutex);
}
