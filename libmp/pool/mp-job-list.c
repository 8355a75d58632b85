/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-job-list.h"

#include "mp-pool-private.h"

/**
 * MpJobList:
 *
 * The jobs of an [class@Mp.Pool], in the order of their submission, as a
 * [iface@Gio.ListModel] of [class@Mp.Job] that a list in a user interface can show.
 * See [method@Mp.Pool.get_jobs].
 *
 * It has the jobs that were submitted by [method@Mp.Pool.submit] and its kin and are
 * not finished, and the last few that are, see
 * [property@Mp.JobList:max-finished].
 *
 * # Threads
 *
 * The list changes in the main context of its pool, and is for the thread that turns
 * that one.
 *
 * Since: 0.1
 */
struct _MpJobList
{
  GObject parent_instance;

  GSequence *jobs;   /* of MpJob */
  GHashTable *iters; /* of MpJobCore to its GSequenceIter, without a reference */
  GQueue finished;   /* of GSequenceIter */
  guint max_finished;
};

static void mp_job_list_model_iface_init (GListModelInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (MpJobList,
                               mp_job_list,
                               G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (G_TYPE_LIST_MODEL,
                                                      mp_job_list_model_iface_init))

enum
{
  PROP_0,
  PROP_MAX_FINISHED,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

static void
mp_job_list_finalize (GObject *object)
{
  MpJobList *self = MP_JOB_LIST (object);

  g_clear_pointer (&self->iters, g_hash_table_unref);
  g_queue_clear (&self->finished);
  g_clear_pointer (&self->jobs, g_sequence_free);

  G_OBJECT_CLASS (mp_job_list_parent_class)->finalize (object);
}

static void
mp_job_list_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  switch (prop_id)
    {
    case PROP_MAX_FINISHED:
      g_value_set_uint (value, mp_job_list_get_max_finished (MP_JOB_LIST (object)));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
mp_job_list_set_property (GObject *object, guint prop_id, const GValue *value, GParamSpec *pspec)
{
  switch (prop_id)
    {
    case PROP_MAX_FINISHED:
      mp_job_list_set_max_finished (MP_JOB_LIST (object), g_value_get_uint (value));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
mp_job_list_class_init (MpJobListClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->finalize = mp_job_list_finalize;
  object_class->get_property = mp_job_list_get_property;
  object_class->set_property = mp_job_list_set_property;

  /**
   * MpJobList:max-finished: (getter get_max_finished) (setter set_max_finished)
   *
   * How many jobs that are finished stay in the list; the first that finished leave
   * it first.
   *
   * Since: 0.1
   */
  properties[PROP_MAX_FINISHED] =
    g_param_spec_uint ("max-finished",
                       NULL,
                       NULL,
                       0,
                       G_MAXUINT,
                       0,
                       G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY);
  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
mp_job_list_init (MpJobList *self)
{
  self->jobs = g_sequence_new (g_object_unref);
  self->iters = g_hash_table_new (NULL, NULL);
}

static GType
mp_job_list_get_item_type (GListModel *model)
{
  return MP_TYPE_JOB;
}

static guint
mp_job_list_get_n_items (GListModel *model)
{
  return (guint) g_sequence_get_length (MP_JOB_LIST (model)->jobs);
}

static gpointer
mp_job_list_get_item (GListModel *model, guint position)
{
  MpJobList *self = MP_JOB_LIST (model);

  if (position >= mp_job_list_get_n_items (model))
    return NULL;
  return g_object_ref (g_sequence_get (g_sequence_get_iter_at_pos (self->jobs, (int) position)));
}

static void
mp_job_list_model_iface_init (GListModelInterface *iface)
{
  iface->get_item_type = mp_job_list_get_item_type;
  iface->get_n_items = mp_job_list_get_n_items;
  iface->get_item = mp_job_list_get_item;
}

static void
mp_job_list_trim (MpJobList *self)
{
  while (g_queue_get_length (&self->finished) > self->max_finished)
    {
      GSequenceIter *iter = g_queue_pop_head (&self->finished);
      guint position = (guint) g_sequence_iter_get_position (iter);
      MpJob *job = g_object_ref (g_sequence_get (iter));

      g_sequence_remove (iter);
      g_list_model_items_changed (G_LIST_MODEL (self), position, 1, 0);
      g_object_unref (job);
    }
}

void
mp_job_list_add (MpJobList *self, MpJob *job)
{
  GSequenceIter *iter;

  /* It came and went before anybody could see it. */
  if (self->max_finished == 0 && mp_job_get_finished (job))
    return;
  iter = g_sequence_append (self->jobs, g_object_ref (job));
  g_hash_table_insert (self->iters, mp_job_get_core (job), iter);
  g_list_model_items_changed (G_LIST_MODEL (self),
                              (guint) g_sequence_iter_get_position (iter),
                              0,
                              1);
}

void
mp_job_list_finish (MpJobList *self, MpJobCore *job)
{
  GSequenceIter *iter = NULL;

  if (!g_hash_table_steal_extended (self->iters, job, NULL, (gpointer *) &iter))
    return;
  g_queue_push_tail (&self->finished, iter);
  mp_job_list_trim (self);
}

/**
 * mp_job_list_get_max_finished: (get-property max-finished)
 * @self: a list of jobs
 *
 * How many jobs that are finished stay in the list.
 *
 * Returns: the number
 *
 * Since: 0.1
 */
guint
mp_job_list_get_max_finished (MpJobList *self)
{
  g_return_val_if_fail (MP_IS_JOB_LIST (self), 0);

  return self->max_finished;
}

/**
 * mp_job_list_set_max_finished: (set-property max-finished)
 * @self: a list of jobs
 * @max_finished: how many
 *
 * Sets how many jobs that are finished stay in the list; what is too many leaves it
 * at once.
 *
 * Since: 0.1
 */
void
mp_job_list_set_max_finished (MpJobList *self, guint max_finished)
{
  g_return_if_fail (MP_IS_JOB_LIST (self));

  if (max_finished == self->max_finished)
    return;
  self->max_finished = max_finished;
  mp_job_list_trim (self);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_MAX_FINISHED]);
}
