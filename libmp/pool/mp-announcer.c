/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-pool-private.h"

/* Tells the objects of one main context what happened to their cores, by one
 * source however much happened. A context that is never iterated costs nothing
 * for long: what waits to be told is forgotten with the object it is for, and
 * the source goes with the last of them. */

/* Ended workers that wait to be told; older ones are dropped, for a context
 * that does not turn. */
#define MP_ANNOUNCER_MAX_EXITS 1024

struct _MpAnnouncer
{
  gatomicrefcount ref_count;
  MpPoolCore *core;
  GMainContext *context;

  /* Under the core's lock. */
  guint n_users;
  GSource *pending;
  GQueue jobs; /* of MpJobCore */
};

static void
mp_announcer_unref (MpAnnouncer *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  g_main_context_unref (self->context);
  mp_pool_core_unref (self->core);
  g_free (self);
}

MpAnnouncer *
mp_announcer_acquire (MpPoolCore *core, GMainContext *context)
{
  MpAnnouncer *self;

  for (guint i = 0; i < core->announcers->len; i++)
    {
      self = g_ptr_array_index (core->announcers, i);
      if (self->context == context)
        {
          self->n_users++;
          return self;
        }
    }
  self = g_new0 (MpAnnouncer, 1);
  g_atomic_ref_count_init (&self->ref_count);
  self->core = mp_pool_core_ref (core);
  self->context = g_main_context_ref (context);
  self->n_users = 1;
  g_ptr_array_add (core->announcers, self);
  return self;
}

void
mp_announcer_release (MpAnnouncer *self)
{
  g_autoptr (MpPoolCore) core = mp_pool_core_ref (self->core);
  g_autoptr (GSource) pending = NULL;
  gboolean last;

  mp_pool_core_lock (core);
  last = --self->n_users == 0;
  if (last)
    {
      g_ptr_array_remove_fast (core->announcers, self);
      pending = g_steal_pointer (&self->pending);
    }
  mp_pool_core_unlock (core);

  /* Its callback data, a reference of ours, goes without the lock. */
  if (pending != NULL)
    g_source_destroy (pending);
  if (last)
    mp_announcer_unref (self);
}

static void
mp_announcer_announce_jobs (MpAnnouncer *self, GQueue *jobs)
{
  MpJobCore *job;

  while ((job = g_queue_pop_head (jobs)) != NULL)
    {
      g_autoptr (MpJob) object = g_weak_ref_get (&job->object);
      guint flags;

      mp_pool_core_lock (self->core);
      flags = job->announce;
      job->announce = 0;
      mp_pool_core_unlock (self->core);
      if (object != NULL)
        mp_job_announce (object, flags);
      mp_job_core_unref (job);
    }
}

static void
mp_announcer_announce_pool (MpAnnouncer *self)
{
  MpPoolCore *core = self->core;
  g_autoptr (MpPool) object = g_weak_ref_get (&core->object);
  g_autoptr (GArray) exits = NULL;
  guint flags;

  if (object == NULL)
    return;
  mp_pool_core_lock (core);
  flags = core->announce;
  core->announce = 0;
  exits = core->exits;
  core->exits = g_array_new (FALSE, FALSE, sizeof (MpPoolExit));
  mp_pool_core_unlock (core);
  mp_pool_announce (object, flags, (const MpPoolExit *) (gpointer) exits->data, exits->len);
}

/* In the context. */
static gboolean
mp_announcer_dispatch (gpointer user_data)
{
  MpAnnouncer *self = user_data;
  g_autoptr (GSource) pending = NULL;
  GQueue jobs = G_QUEUE_INIT;
  GList *link;
  gboolean pool;

  mp_pool_core_lock (self->core);
  pending = g_steal_pointer (&self->pending);
  while ((link = g_queue_pop_head_link (&self->jobs)) != NULL)
    {
      MpJobCore *job = link->data;

      /* With its reference. Something new may now put the job in again; its
       * flags are read when it is told. */
      link->data = NULL;
      g_queue_push_tail (&jobs, job);
    }
  pool = self->core->announcer == self;
  mp_pool_core_unlock (self->core);

  mp_announcer_announce_jobs (self, &jobs);
  if (pool)
    mp_announcer_announce_pool (self);
  return G_SOURCE_REMOVE;
}

static void
mp_announcer_schedule (MpAnnouncer *self)
{
  if (self->pending != NULL)
    return;
  g_atomic_ref_count_inc (&self->ref_count);
  self->pending = g_idle_source_new ();
  g_source_set_priority (self->pending, G_PRIORITY_DEFAULT);
  g_source_set_callback (self->pending,
                         mp_announcer_dispatch,
                         self,
                         (GDestroyNotify) mp_announcer_unref);
  g_source_set_static_name (self->pending, "mp_announcer");
  g_source_attach (self->pending, self->context);
}

void
mp_announcer_add_job (MpJobCore *job, guint flags)
{
  MpAnnouncer *self = job->announcer;

  if (self == NULL)
    return;
  job->announce |= flags;
  if (job->announce_link.data != NULL)
    return;
  job->announce_link.data = mp_job_core_ref (job);
  g_queue_push_tail_link (&self->jobs, &job->announce_link);
  mp_announcer_schedule (self);
}

/* Its object goes. */
void
mp_announcer_forget_job (MpJobCore *job)
{
  MpAnnouncer *self = g_steal_pointer (&job->announcer);

  if (self == NULL || job->announce_link.data == NULL)
    return;
  g_queue_unlink (&self->jobs, &job->announce_link);
  job->announce_link.data = NULL;
  /* Never the last: the object has one. */
  mp_job_core_unref (job);
}

void
mp_announcer_add_pool (MpPoolCore *core, guint flags)
{
  if (core->announcer == NULL)
    {
      g_array_set_size (core->exits, 0);
      return;
    }
  core->announce |= flags;
  if (core->exits->len > MP_ANNOUNCER_MAX_EXITS)
    g_array_remove_range (core->exits, 0, core->exits->len - MP_ANNOUNCER_MAX_EXITS);
  mp_announcer_schedule (core->announcer);
}
