/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-pool.h"

#include "../base/mp-error.h"
#include "mp-pool-private.h"

/**
 * MpPool:
 *
 * Worker processes that apply functions to data, in parallel.
 *
 * ```c
 * g_autoptr (MpPool) pool = mp_pool_new (context, 4, &error);
 * g_autoptr (GVariant) squares =
 *   mp_pool_map (pool, "square", numbers, 0, -1, NULL, &error);
 * ```
 *
 * What a function is depends on the runtime of the pool's [class@Mp.Context]. In a
 * native pool it is the name under which it was registered with
 * [func@Mp.task_register], in a Python pool `package.module:function`, in one of
 * GJS `file.js:function`, with modules `libfoo.so:symbol`, and in a
 * pool of commands `mp.command`, applied to an argument vector of type `as` or to
 * `(asa{sv})` with options `cwd` (`s` or `ay`) and `env` (`as`); its result is
 * `(iayay)`: exit code, or minus the signal that killed it, standard output, and
 * standard error.
 *
 * A worker that dies takes nothing with it but the one task that it had: that one
 * is tried again, up to [property@Mp.Pool:max-attempts] times, or fails with
 * %MP_ERROR_PROCESS_DIED. The worker is replaced.
 *
 * A pool that is closed ends when its work is done, and one that is terminated
 * ends at once. To drop the last reference of a pool terminates it.
 *
 * # Threads
 *
 * A pool can be used from any thread, and advances without any main loop. Its
 * signals and property notifications are emitted in the main context that was the
 * default of the thread that made it.
 *
 * Since: 0.1
 */
struct _MpPool
{
  GObject parent_instance;

  MpContext *context;
  MpPoolSettings settings;

  /* NULL unless the pool was initialised. */
  MpPoolCore *core;
  MpAnnouncer *announcer;
  MpJobList *jobs; /* NULL: nobody asked for it */
};

static void mp_pool_initable_iface_init (GInitableIface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (MpPool,
                               mp_pool,
                               G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (G_TYPE_INITABLE, mp_pool_initable_iface_init))

enum
{
  PROP_CONTEXT = MP_POOL_N_SETTINGS,
  PROP_CLOSED,
  PROP_BROKEN,
  PROP_N_BUSY,
  PROP_N_PENDING,
  N_PROPS
};

enum
{
  SIGNAL_WORKER_EXITED,
  SIGNAL_OUTPUT,
  N_SIGNALS
};

static GParamSpec *properties[N_PROPS];
static guint signals[N_SIGNALS];

/* Ends the pool; jobs that were kept for somebody who can ask no more go. */
static void
mp_pool_abandon (MpPool *self)
{
  MpPoolCore *core = self->core;
  g_autoptr (GPtrArray) kept = g_ptr_array_new_with_free_func (g_object_unref);
  GQueue news;
  GList *link;

  mp_pool_core_lock (core);
  core->abandoned = TRUE;
  core->announcer = NULL;
  core->listed = FALSE;
  news = core->news;
  g_queue_init (&core->news);
  mp_pool_core_terminate (core);
  while ((link = g_queue_pop_head_link (&core->finished)) != NULL)
    g_ptr_array_add (kept, g_steal_pointer (&((MpJobCore *) link->data)->kept));
  mp_pool_core_unlock (core);
  g_queue_clear_full (&news, mp_job_news_free);
}

static void
mp_pool_dispose (GObject *object)
{
  MpPool *self = MP_POOL (object);

  /* In a fork of the program it is the other process's, which goes on with it. */
  if (self->core != NULL && !mp_pool_core_is_ours (self->core))
    {
      self->announcer = NULL;
      self->core = NULL;
    }
  if (self->core != NULL)
    mp_pool_abandon (self);
  g_clear_pointer (&self->announcer, mp_announcer_release);
  g_clear_pointer (&self->core, mp_pool_core_unref);
  g_clear_object (&self->jobs);
  g_clear_object (&self->context);
  mp_pool_settings_clear (&self->settings);

  G_OBJECT_CLASS (mp_pool_parent_class)->dispose (object);
}

static void
mp_pool_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  MpPool *self = MP_POOL (object);

  if (prop_id == MP_POOL_PROP_N_WORKERS && self->core != NULL)
    {
      g_value_set_uint (value, mp_pool_get_n_workers (self));
      return;
    }
  if (mp_pool_settings_get (&self->settings, prop_id, value))
    return;
  switch (prop_id)
    {
    case PROP_CONTEXT:
      g_value_set_object (value, self->context);
      break;
    case PROP_CLOSED:
      g_value_set_boolean (value, self->core != NULL && mp_pool_get_closed (self));
      break;
    case PROP_BROKEN:
      g_value_set_boolean (value, self->core != NULL && mp_pool_get_broken (self));
      break;
    case PROP_N_BUSY:
      g_value_set_uint (value, self->core != NULL ? mp_pool_get_n_busy (self) : 0);
      break;
    case PROP_N_PENDING:
      g_value_set_uint (value, self->core != NULL ? mp_pool_get_n_pending (self) : 0);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
mp_pool_set_property (GObject *object, guint prop_id, const GValue *value, GParamSpec *pspec)
{
  MpPool *self = MP_POOL (object);

  if (mp_pool_settings_set (&self->settings, prop_id, value))
    return;
  switch (prop_id)
    {
    case PROP_CONTEXT:
      self->context = g_value_dup_object (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
mp_pool_install_state_properties (void)
{
  const GParamFlags flags = G_PARAM_READABLE | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY;

  /**
   * MpPool:context: (getter get_context)
   *
   * How the workers are started. Without one it is [func@Mp.Context.get_default].
   *
   * Since: 0.1
   */
  properties[PROP_CONTEXT] =
    g_param_spec_object ("context",
                         NULL,
                         NULL,
                         MP_TYPE_CONTEXT,
                         G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);

  /**
   * MpPool:closed: (getter get_closed)
   *
   * Whether it takes no more jobs.
   *
   * Since: 0.1
   */
  properties[PROP_CLOSED] = g_param_spec_boolean ("closed", NULL, NULL, FALSE, flags);

  /**
   * MpPool:broken: (getter get_broken)
   *
   * Whether its workers turned out to be unable to work.
   *
   * Since: 0.1
   */
  properties[PROP_BROKEN] = g_param_spec_boolean ("broken", NULL, NULL, FALSE, flags);

  /**
   * MpPool:n-busy: (getter get_n_busy)
   *
   * How many workers have a task. Changes too fast to be notified.
   *
   * Since: 0.1
   */
  properties[PROP_N_BUSY] = g_param_spec_uint ("n-busy", NULL, NULL, 0, G_MAXUINT, 0, flags);

  /**
   * MpPool:n-pending: (getter get_n_pending)
   *
   * How many tasks no worker has taken yet. Changes too fast to be notified.
   *
   * Since: 0.1
   */
  properties[PROP_N_PENDING] = g_param_spec_uint ("n-pending", NULL, NULL, 0, G_MAXUINT, 0, flags);
}

static void
mp_pool_class_init (MpPoolClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->dispose = mp_pool_dispose;
  object_class->get_property = mp_pool_get_property;
  object_class->set_property = mp_pool_set_property;
  mp_pool_settings_install (properties);
  mp_pool_install_state_properties ();
  g_object_class_install_properties (object_class, N_PROPS, properties);

  /**
   * MpPool::worker-exited:
   * @self: the pool
   * @pid: the process that ended
   * @exit_code: its exit code; below 0, minus the signal that killed it
   * @limit: (nullable): the limit that it hit: `memory` or `time`
   * @job_id: the [property@Mp.Job:id] of the job whose task it had; 0 if it had none
   * @function: (nullable): the function of that job, if it has a name
   *
   * A worker process ended, whether it was killed, or left because it had done
   * its share or the pool is closed. A main context that does not turn is told
   * only of the last 1,024.
   *
   * Since: 0.1
   */
  signals[SIGNAL_WORKER_EXITED] = g_signal_new ("worker-exited",
                                                G_TYPE_FROM_CLASS (klass),
                                                G_SIGNAL_RUN_LAST,
                                                0,
                                                NULL,
                                                NULL,
                                                NULL,
                                                G_TYPE_NONE,
                                                5,
                                                G_TYPE_INT,
                                                G_TYPE_INT,
                                                G_TYPE_STRING,
                                                G_TYPE_UINT64,
                                                G_TYPE_STRING);

  /**
   * MpPool::output:
   * @self: the pool
   * @job_id: the [property@Mp.Job:id] of the job whose task wrote it; 0 if that was not
   *   during any task
   * @pid: the process that wrote it
   * @stream: 1 for its standard output, 2 for error messages
   * @text: the line, without its end; what is not UTF-8 is replaced
   *
   * A worker of a pool with [property@Mp.Pool:capture-output] wrote a line. What a
   * task leaves running may write between the lines of the next one. A main context that
   * does not turn is told only of the last 65,536.
   *
   * Since: 0.1
   */
  signals[SIGNAL_OUTPUT] = g_signal_new ("output",
                                         G_TYPE_FROM_CLASS (klass),
                                         G_SIGNAL_RUN_LAST,
                                         0,
                                         NULL,
                                         NULL,
                                         NULL,
                                         G_TYPE_NONE,
                                         4,
                                         G_TYPE_UINT64,
                                         G_TYPE_INT,
                                         G_TYPE_UINT,
                                         G_TYPE_STRING);
}

static void
mp_pool_init (MpPool *self)
{
}

static gboolean
mp_pool_initable_init (GInitable *initable, GCancellable *cancellable, GError **error)
{
  MpPool *self = MP_POOL (initable);
  g_autoptr (GMainContext) main_context = NULL;

  if (self->core != NULL)
    return TRUE;
  if (!mp_pool_settings_check (&self->settings, error))
    return FALSE;
  if (self->context == NULL)
    self->context = g_object_ref (mp_context_get_default ());

  self->core = mp_pool_core_new (self->context, &self->settings, error);
  if (self->core == NULL)
    return FALSE;
  main_context = g_main_context_ref_thread_default ();
  g_weak_ref_set (&self->core->object, self);
  mp_pool_core_lock (self->core);
  self->announcer = mp_announcer_acquire (self->core, main_context);
  self->core->announcer = self->announcer;
  /* The first turn attaches the source of the results. */
  mp_pool_core_request_tick (self->core);
  mp_pool_core_unlock (self->core);

  /* What started is ended with the object. */
  return mp_pool_core_start_workers (self->core, cancellable, error);
}

static void
mp_pool_initable_iface_init (GInitableIface *iface)
{
  iface->init = mp_pool_initable_init;
}

/**
 * mp_pool_new:
 * @context: (nullable): how the workers are started; %NULL for
 *   [func@Mp.Context.get_default]
 * @n_workers: how many
 * @error: return location for an error
 *
 * Makes a pool and starts its workers. For the other properties use
 * [ctor@GObject.Object.new] or, in C, g_initable_new().
 *
 * No workers at all, or more than 4096, is %MP_ERROR_INVALID_ARGUMENT. Whatever
 * keeps the workers from being started is reported here.
 *
 * Returns: (transfer full): a new pool
 *
 * Since: 0.1
 */
MpPool *
mp_pool_new (MpContext *context, guint n_workers, GError **error)
{
  g_return_val_if_fail (context == NULL || MP_IS_CONTEXT (context), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return g_initable_new (MP_TYPE_POOL,
                         NULL,
                         error,
                         "context",
                         context,
                         "n-workers",
                         n_workers,
                         NULL);
}

const MpPoolSettings *
mp_pool_get_settings (MpPool *self)
{
  return &self->settings;
}

MpPoolCore *
mp_pool_get_core (MpPool *self)
{
  return self->core;
}

void
mp_pool_announce (MpPool *self, guint flags, const MpPoolExit *exits, guint n_exits)
{
  if ((flags & MP_ANNOUNCE_CLOSED) != 0)
    g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_CLOSED]);
  if ((flags & MP_ANNOUNCE_BROKEN) != 0)
    g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_BROKEN]);
  if ((flags & MP_ANNOUNCE_RESIZED) != 0)
    g_object_notify_by_pspec (G_OBJECT (self), properties[MP_POOL_PROP_N_WORKERS]);
  for (guint i = 0; i < n_exits; i++)
    g_signal_emit (self,
                   signals[SIGNAL_WORKER_EXITED],
                   0,
                   exits[i].pid,
                   exits[i].exit_code,
                   exits[i].limit,
                   exits[i].job_id,
                   exits[i].function);
}

void
mp_pool_announce_output (MpPool *self, const MpPoolOutput *output)
{
  g_signal_emit (self,
                 signals[SIGNAL_OUTPUT],
                 0,
                 output->job_id,
                 output->pid,
                 output->stream,
                 output->text);
}

/**
 * mp_pool_get_context: (get-property context)
 * @self: a pool
 *
 * How the workers are started.
 *
 * Returns: (transfer none): the context
 *
 * Since: 0.1
 */
MpContext *
mp_pool_get_context (MpPool *self)
{
  g_return_val_if_fail (MP_IS_POOL (self), NULL);

  return self->context;
}

/**
 * mp_pool_get_n_workers: (get-property n-workers)
 * @self: a pool
 *
 * How many workers the pool has at most. There are fewer for a moment when one is
 * replaced, and when they are not needed, see [property@Mp.Pool:idle-timeout].
 *
 * Returns: the number
 *
 * Since: 0.1
 */
guint
mp_pool_get_n_workers (MpPool *self)
{
  guint n_workers;

  g_return_val_if_fail (MP_IS_POOL (self) && self->core != NULL, 0);

  mp_pool_core_lock (self->core);
  n_workers = self->core->n_workers;
  mp_pool_core_unlock (self->core);
  return n_workers;
}

/**
 * mp_pool_resize:
 * @self: a pool
 * @n_workers: how many workers there are to be at most, from 1 to 4096
 * @error: return location for an error
 *
 * Changes the number of workers while the pool works. New ones are started at
 * once; those that are too many leave as soon as they have no task. Does not wait
 * for either.
 *
 * Returns: %TRUE if the number was changed
 *
 * Since: 0.1
 */
gboolean
mp_pool_resize (MpPool *self, guint n_workers, GError **error)
{
  gboolean done;

  g_return_val_if_fail (MP_IS_POOL (self) && self->core != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!mp_pool_core_check_ours (self->core, error) ||
      !mp_pool_settings_check_n_workers (n_workers, error))
    return FALSE;
  mp_pool_core_lock (self->core);
  done = mp_pool_core_resize (self->core, n_workers, error);
  mp_pool_core_unlock (self->core);
  return done;
}

/**
 * mp_pool_get_n_pending: (get-property n-pending)
 * @self: a pool
 *
 * How many tasks no worker has taken yet.
 *
 * Returns: the number
 *
 * Since: 0.1
 */
guint
mp_pool_get_n_pending (MpPool *self)
{
  MpPoolCore *core;
  guint64 n;
  guint busy;

  g_return_val_if_fail (MP_IS_POOL (self) && self->core != NULL, 0);

  core = self->core;
  mp_pool_core_lock (core);
  busy = mp_pool_core_count_busy (core);
  n = core->n_unfed + g_queue_get_length (&core->retries) + g_queue_get_length (&core->delayed) +
      core->n_slots - core->n_free_slots;
  mp_pool_core_unlock (core);
  n -= MIN (n, busy);
  return (guint) MIN (n, G_MAXUINT);
}

/**
 * mp_pool_get_n_busy: (get-property n-busy)
 * @self: a pool
 *
 * How many workers have a task.
 *
 * Returns: the number
 *
 * Since: 0.1
 */
guint
mp_pool_get_n_busy (MpPool *self)
{
  guint n;

  g_return_val_if_fail (MP_IS_POOL (self) && self->core != NULL, 0);

  mp_pool_core_lock (self->core);
  n = mp_pool_core_count_busy (self->core);
  mp_pool_core_unlock (self->core);
  return n;
}

/**
 * mp_pool_get_closed: (get-property closed)
 * @self: a pool
 *
 * Whether the pool was closed or terminated.
 *
 * Returns: %TRUE if it takes no more jobs
 *
 * Since: 0.1
 */
gboolean
mp_pool_get_closed (MpPool *self)
{
  gboolean closed;

  g_return_val_if_fail (MP_IS_POOL (self) && self->core != NULL, FALSE);

  mp_pool_core_lock (self->core);
  closed = self->core->closed;
  mp_pool_core_unlock (self->core);
  return closed;
}

/**
 * mp_pool_get_broken: (get-property broken)
 * @self: a pool
 *
 * Whether the pool's workers turned out to be unable to work: a worker
 * reported that it cannot begin, or they end again and again before they take
 * a task, or none can be started any more. Every job of the pool has failed, and a
 * new one is refused with %MP_ERROR_FAILED.
 *
 * Returns: %TRUE if the pool is broken
 *
 * Since: 0.1
 */
gboolean
mp_pool_get_broken (MpPool *self)
{
  gboolean broken;

  g_return_val_if_fail (MP_IS_POOL (self) && self->core != NULL, FALSE);

  mp_pool_core_lock (self->core);
  broken = self->core->broken != NULL;
  mp_pool_core_unlock (self->core);
  return broken;
}

/**
 * mp_pool_dup_broken_reason:
 * @self: a pool
 *
 * Why the pool is broken.
 *
 * Returns: (transfer full) (nullable): a sentence; %NULL if it is not broken
 *
 * Since: 0.1
 */
char *
mp_pool_dup_broken_reason (MpPool *self)
{
  char *reason = NULL;

  g_return_val_if_fail (MP_IS_POOL (self) && self->core != NULL, NULL);

  mp_pool_core_lock (self->core);
  if (self->core->broken != NULL)
    reason = g_strdup (self->core->broken->message);
  mp_pool_core_unlock (self->core);
  return reason;
}

/**
 * mp_pool_get_worker_pids:
 * @self: a pool
 * @n_pids: (out): how many
 *
 * The worker processes there are now. There may be fewer than
 * [property@Mp.Pool:n-workers] while one is replaced or when the pool ends.
 *
 * Returns: (transfer full) (array length=n_pids): their process ids
 *
 * Since: 0.1
 */
int *
mp_pool_get_worker_pids (MpPool *self, gsize *n_pids)
{
  int *pids;
  gsize n = 0;

  g_return_val_if_fail (MP_IS_POOL (self) && self->core != NULL, NULL);
  g_return_val_if_fail (n_pids != NULL, NULL);

  mp_pool_core_lock (self->core);
  pids = g_new0 (int, self->core->n_places);
  for (guint i = 0; i < self->core->n_places; i++)
    if (self->core->workers[i] != NULL && self->core->workers[i]->pid > 0)
      pids[n++] = self->core->workers[i]->pid;
  mp_pool_core_unlock (self->core);
  *n_pids = n;
  return pids;
}

MpJobList *
mp_pool_peek_jobs (MpPool *self)
{
  return self->jobs;
}

/**
 * mp_pool_get_jobs:
 * @self: a pool
 *
 * The jobs of the pool as a list for a user interface. To be called in the main
 * context in which the pool was made, where the list changes; it is filled once that
 * one turns.
 *
 * A job in the list is kept, with its results, until it leaves it. So an imap whose
 * results nobody takes has to be cancelled: to drop it is not enough. The list
 * changes no more when the pool is dropped.
 *
 * Returns: (transfer none): the list, always the same
 *
 * Since: 0.1
 */
MpJobList *
mp_pool_get_jobs (MpPool *self)
{
  MpPoolCore *core;

  g_return_val_if_fail (MP_IS_POOL (self) && self->core != NULL, NULL);

  core = self->core;
  if (self->jobs != NULL)
    return self->jobs;
  self->jobs = g_object_new (MP_TYPE_JOB_LIST, NULL);
  mp_pool_core_lock (core);
  core->listed = TRUE;
  for (GList *link = core->jobs.head; link != NULL; link = link->next)
    {
      MpJob *job = g_weak_ref_get (&((MpJobCore *) link->data)->object);

      if (job != NULL)
        mp_announcer_list_job (core, job);
      /* The news have one. */
      if (job != NULL)
        g_object_unref (job);
    }
  mp_pool_core_unlock (core);
  return self->jobs;
}
