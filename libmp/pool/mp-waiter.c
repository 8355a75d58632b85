/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-waiter-private.h"

#include "../base/mp-clock-private.h"
#include "../base/mp-error.h"

struct _MpWaiter
{
  GTask *task;
  MpWaiterFunc func;
  GSource *cancel_source;

  /* Both NULL once it is taken out. */
  GMutex *lock;
  GQueue *queue;
  GList link;
};

gboolean
mp_sleep_word_bump (MpSleepWord *self)
{
  atomic_fetch_add (&self->seq, 1);
  return atomic_load (&self->asleep) > 0;
}

void
mp_sleep_word_wake (MpSleepWord *self)
{
  mp_futex_wake (&self->seq, G_MAXINT, FALSE);
}

static void
mp_sleep_word_cancelled_cb (GCancellable *cancellable, gpointer user_data)
{
  MpSleepWord *self = user_data;

  mp_sleep_word_bump (self);
  mp_sleep_word_wake (self);
}

static MpSleepResult
mp_sleep_word_loop (MpSleepWord *self,
                    GMutex *lock,
                    MpSleepPredicate predicate,
                    gpointer user_data,
                    gint64 deadline,
                    GCancellable *cancellable)
{
  while (TRUE)
    {
      uint32_t seq = atomic_load (&self->seq);
      MpFutexResult slept;

      if (g_cancellable_is_cancelled (cancellable))
        return MP_SLEEP_CANCELLED;
      g_mutex_lock (lock);
      if (predicate (user_data))
        return MP_SLEEP_READY;
      g_mutex_unlock (lock);
      if (deadline == MP_DEADLINE_NOW)
        return MP_SLEEP_TIMED_OUT;

      atomic_fetch_add (&self->asleep, 1);
      slept = mp_futex_wait (&self->seq, seq, deadline, FALSE);
      atomic_fetch_sub (&self->asleep, 1);
      if (slept == MP_FUTEX_INTERRUPTED)
        return MP_SLEEP_INTERRUPTED;
      /* Looked at once more: what came at the last moment counts. */
      if (slept == MP_FUTEX_TIMED_OUT)
        deadline = MP_DEADLINE_NOW;
    }
}

MpSleepResult
mp_sleep_word_sleep (MpSleepWord *self,
                     GMutex *lock,
                     MpSleepPredicate predicate,
                     gpointer user_data,
                     gint64 deadline,
                     GCancellable *cancellable)
{
  gulong handler = 0;
  MpSleepResult result;

  if (cancellable != NULL)
    handler =
      g_cancellable_connect (cancellable, G_CALLBACK (mp_sleep_word_cancelled_cb), self, NULL);
  result = mp_sleep_word_loop (self, lock, predicate, user_data, deadline, cancellable);
  if (handler != 0)
    {
      /* Waits for a running handler, which takes no lock of ours. */
      g_cancellable_disconnect (cancellable, handler);
    }
  return result;
}

gboolean
mp_sleep_set_error (GError **error,
                    MpSleepResult result,
                    GCancellable *cancellable,
                    const char *what)
{
  if (result == MP_SLEEP_CANCELLED)
    g_cancellable_set_error_if_cancelled (cancellable, error);
  else
    g_set_error (error, MP_ERROR, MP_ERROR_TIMED_OUT, "%s in time", what);
  return FALSE;
}

MpWaiter *
mp_waiter_new (GTask *task, MpWaiterFunc func)
{
  MpWaiter *self = g_new0 (MpWaiter, 1);

  self->task = task;
  self->func = func;
  self->link.data = self;
  return self;
}

static void
mp_waiter_free (MpWaiter *self)
{
  if (self->cancel_source != NULL)
    {
      g_source_destroy (self->cancel_source);
      g_clear_pointer (&self->cancel_source, g_source_unref);
    }
  g_clear_object (&self->task);
  g_free (self);
}

/* In the task's context, as the completion is, so the two cannot meet. */
static gboolean
mp_waiter_cancelled_cb (GCancellable *cancellable, gpointer user_data)
{
  MpWaiter *self = user_data;
  GMutex *lock = self->lock;
  gboolean mine;

  g_mutex_lock (lock);
  mine = self->queue != NULL;
  if (mine)
    g_queue_unlink (g_steal_pointer (&self->queue), &self->link);
  g_mutex_unlock (lock);

  if (mine)
    {
      g_task_return_error_if_cancelled (self->task);
      mp_waiter_free (self);
    }
  return G_SOURCE_REMOVE;
}

void
mp_waiter_enqueue (MpWaiter *self, GMutex *lock, GQueue *queue)
{
  GCancellable *cancellable = g_task_get_cancellable (self->task);

  self->lock = lock;
  self->queue = queue;
  g_queue_push_tail_link (queue, &self->link);
  if (cancellable != NULL)
    {
      self->cancel_source = g_cancellable_source_new (cancellable);
      g_source_set_callback (self->cancel_source,
                             G_SOURCE_FUNC (mp_waiter_cancelled_cb),
                             self,
                             NULL);
      g_source_attach (self->cancel_source, g_task_get_context (self->task));
    }
}

void
mp_waiter_move_one (GQueue *queue, GQueue *ready)
{
  GList *link = g_queue_pop_head_link (queue);

  if (link == NULL)
    return;
  ((MpWaiter *) link->data)->queue = NULL;
  g_queue_push_tail_link (ready, link);
}

void
mp_waiter_move_all (GQueue *queue, GQueue *ready)
{
  while (!g_queue_is_empty (queue))
    mp_waiter_move_one (queue, ready);
}

static gboolean
mp_waiter_complete_cb (gpointer user_data)
{
  MpWaiter *self = user_data;

  self->func (self->task);
  return G_SOURCE_REMOVE;
}

static void
mp_waiter_post_alone (MpWaiter *self)
{
  g_autoptr (GSource) source = g_idle_source_new ();

  g_source_set_priority (source, g_task_get_priority (self->task));
  g_source_set_callback (source, mp_waiter_complete_cb, self, (GDestroyNotify) mp_waiter_free);
  g_source_set_static_name (source, "mp_waiter_post");
  g_source_attach (source, g_task_get_context (self->task));
}

/* A main context dispatches all that is ready before it looks at its timers again.
 * A hundred thousand sources would keep it for as long as all their callbacks take;
 * so there is one for all, which stops after a moment and goes on in the next turn. */
typedef struct
{
  GMainContext *context;
  GQueue waiters;
} MpWaiterPort;

static GMutex ports_lock;
static GHashTable *ports; /* GMainContext to MpWaiterPort, while it has waiters */

static MpWaiter *
mp_waiter_port_take (MpWaiterPort *self)
{
  GList *link;

  g_mutex_lock (&ports_lock);
  link = g_queue_pop_head_link (&self->waiters);
  if (link == NULL && g_hash_table_lookup (ports, self->context) == self)
    g_hash_table_remove (ports, self->context);
  g_mutex_unlock (&ports_lock);
  return link != NULL ? link->data : NULL;
}

static gboolean
mp_waiter_port_dispatch (gpointer user_data)
{
  MpWaiterPort *self = user_data;
  gint64 limit = g_get_monotonic_time () + MP_DISPATCH_TIME;

  do
    {
      MpWaiter *waiter = mp_waiter_port_take (self);

      if (waiter == NULL)
        return G_SOURCE_REMOVE;
      waiter->func (waiter->task);
      mp_waiter_free (waiter);
    }
  while (g_get_monotonic_time () < limit);
  return G_SOURCE_CONTINUE;
}

/* Also when the context goes with waiters in it: their tasks are dropped. */
static void
mp_waiter_port_free (gpointer data)
{
  MpWaiterPort *self = data;
  MpWaiter *waiter;

  while ((waiter = mp_waiter_port_take (self)) != NULL)
    mp_waiter_free (waiter);
  g_free (self);
}

static void
mp_waiter_port_attach (MpWaiterPort *self)
{
  g_autoptr (GSource) source = g_idle_source_new ();

  g_source_set_priority (source, G_PRIORITY_DEFAULT);
  /* A callback that turns the context waits for others, perhaps. */
  g_source_set_can_recurse (source, TRUE);
  g_source_set_callback (source, mp_waiter_port_dispatch, self, mp_waiter_port_free);
  g_source_set_static_name (source, "mp_waiter_port");
  g_source_attach (source, self->context);
}

void
mp_waiter_post (MpWaiter *self)
{
  GMainContext *context = g_task_get_context (self->task);
  MpWaiterPort *port;
  gboolean fresh;

  if (g_task_get_priority (self->task) != G_PRIORITY_DEFAULT)
    {
      mp_waiter_post_alone (self);
      return;
    }
  g_mutex_lock (&ports_lock);
  if (ports == NULL)
    ports = g_hash_table_new (NULL, NULL);
  port = g_hash_table_lookup (ports, context);
  fresh = port == NULL;
  if (fresh)
    {
      port = g_new0 (MpWaiterPort, 1);
      port->context = context;
      g_hash_table_insert (ports, context, port);
    }
  g_queue_push_tail_link (&port->waiters, &self->link);
  g_mutex_unlock (&ports_lock);
  if (fresh)
    mp_waiter_port_attach (port);
}

void
mp_waiter_post_all (GQueue *ready)
{
  GList *link;

  while ((link = g_queue_pop_head_link (ready)) != NULL)
    mp_waiter_post (link->data);
}
