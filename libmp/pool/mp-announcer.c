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
/* The same of lines that workers wrote. */
#define MP_ANNOUNCER_MAX_OUTPUTS (64 * 1024)

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

void
mp_job_news_free (gpointer data)
{
  MpJobNews *self = data;

  g_clear_object (&self->added);
  g_clear_pointer (&self->finished, mp_job_core_unref);
  g_free (self);
}

static gboolean
mp_announcer_has_pool_news (MpAnnouncer *self)
{
  MpPoolCore *core = self->core;

  return core->announcer == self && (core->announce != 0 || core->exits->len > 0 ||
                                     core->outputs->len > 0 || !g_queue_is_empty (&core->news));
}

/* With a reference; NULL if there is none, and if there is nothing else, the source
 * goes. */
static MpJobCore *
mp_announcer_take_job (MpAnnouncer *self, guint *flags)
{
  g_autoptr (GSource) pending = NULL;
  MpJobCore *job = NULL;
  GList *link;

  mp_pool_core_lock (self->core);
  link = g_queue_pop_head_link (&self->jobs);
  if (link != NULL)
    {
      job = g_steal_pointer (&link->data);
      *flags = job->announce;
      job->announce = 0;
    }
  else if (!mp_announcer_has_pool_news (self))
    pending = g_steal_pointer (&self->pending);
  mp_pool_core_unlock (self->core);
  /* Whatever comes now makes another one. */
  if (pending != NULL)
    g_source_destroy (pending);
  return job;
}

/* Until there is no news, or the time is over. */
static void
mp_announcer_update_list (MpAnnouncer *self, MpJobList *list, gint64 limit)
{
  MpJobNews *news;

  do
    {
      mp_pool_core_lock (self->core);
      news = g_queue_pop_head (&self->core->news);
      mp_pool_core_unlock (self->core);
      if (news == NULL)
        return;
      if (news->added != NULL)
        mp_job_list_add (list, news->added);
      else
        mp_job_list_finish (list, news->finished);
      mp_job_news_free (news);
    }
  while (g_get_monotonic_time () < limit);
}

static void
mp_announcer_announce_pool (MpAnnouncer *self, gint64 limit)
{
  MpPoolCore *core = self->core;
  g_autoptr (MpPool) object = g_weak_ref_get (&core->object);
  g_autoptr (GArray) exits = NULL;
  g_autoptr (GArray) outputs = NULL;
  guint flags;

  if (object == NULL)
    return;
  mp_pool_core_lock (core);
  flags = core->announce;
  core->announce = 0;
  exits = core->exits;
  core->exits = mp_pool_exits_new ();
  outputs = core->outputs;
  core->outputs = mp_pool_outputs_new ();
  mp_pool_core_unlock (core);
  for (guint i = 0; i < outputs->len; i++)
    mp_pool_announce_output (object, &g_array_index (outputs, MpPoolOutput, i));
  mp_pool_announce (object, flags, (const MpPoolExit *) (gpointer) exits->data, exits->len);
  if (mp_pool_peek_jobs (object) != NULL)
    mp_announcer_update_list (self, mp_pool_peek_jobs (object), limit);
}

/* In the context; for a moment only, see mp_waiter_port_dispatch(). */
static gboolean
mp_announcer_dispatch (gpointer user_data)
{
  MpAnnouncer *self = user_data;
  gint64 limit = g_get_monotonic_time () + MP_DISPATCH_TIME;
  gboolean of_pool;

  mp_pool_core_lock (self->core);
  of_pool = self->core->announcer == self;
  mp_pool_core_unlock (self->core);
  if (of_pool)
    mp_announcer_announce_pool (self, limit);

  do
    {
      guint flags = 0;
      g_autoptr (MpJobCore) job = mp_announcer_take_job (self, &flags);
      g_autoptr (MpJob) object = NULL;

      if (job == NULL)
        return G_SOURCE_CONTINUE;
      object = g_weak_ref_get (&job->object);
      if (object != NULL)
        mp_job_announce (object, flags);
    }
  while (g_get_monotonic_time () < limit);
  return G_SOURCE_CONTINUE;
}

static void
mp_announcer_schedule (MpAnnouncer *self)
{
  if (self->pending != NULL)
    return;
  g_atomic_ref_count_inc (&self->ref_count);
  self->pending = g_idle_source_new ();
  g_source_set_priority (self->pending, G_PRIORITY_DEFAULT);
  g_source_set_can_recurse (self->pending, TRUE);
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
      g_array_set_size (core->outputs, 0);
      return;
    }
  core->announce |= flags;
  if (core->exits->len > MP_ANNOUNCER_MAX_EXITS)
    g_array_remove_range (core->exits, 0, core->exits->len - MP_ANNOUNCER_MAX_EXITS);
  if (core->outputs->len > MP_ANNOUNCER_MAX_OUTPUTS)
    g_array_remove_range (core->outputs, 0, core->outputs->len - MP_ANNOUNCER_MAX_OUTPUTS);
  mp_announcer_schedule (core->announcer);
}

/* From now on the list has it. */
void
mp_announcer_list_job (MpPoolCore *core, MpJob *job)
{
  MpJobCore *job_core = mp_job_get_core (job);
  MpJobNews *news;

  if (core->announcer == NULL || job_core->in_list)
    return;
  news = g_new0 (MpJobNews, 1);
  news->added = g_object_ref (job);
  g_queue_push_tail (&core->news, news);
  job_core->in_list = TRUE;
  if (!job_core->unfinished)
    mp_announcer_unlist_job (job_core);
  mp_announcer_add_pool (core, 0);
}

void
mp_announcer_unlist_job (MpJobCore *job)
{
  MpPoolCore *core = job->pool;
  MpJobNews *news;

  if (!job->in_list || core->announcer == NULL)
    return;
  news = g_new0 (MpJobNews, 1);
  news->finished = mp_job_core_ref (job);
  g_queue_push_tail (&core->news, news);
  mp_announcer_add_pool (core, 0);
}
