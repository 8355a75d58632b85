/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-job.h"

#include "../base/mp-clock-private.h"
#include "../base/mp-error.h"
#include "mp-pool-private.h"

/**
 * MpJob:
 *
 * Work that was given to an [class@Mp.Pool]: one task, or the many tasks of a map.
 *
 * A job is made by [method@Mp.Pool.submit] and its kin. Wait for it with
 * [method@Mp.Job.wait] and fetch what came out with [method@Mp.Job.get_result],
 * or take the results of a map one by one with [method@Mp.Job.next].
 *
 * A job that is dropped goes on, and what comes of it is thrown away. Keep a
 * reference to be told when it ends. But one whose results are taken one by one,
 * of [method@Mp.Pool.imap] and [method@Mp.Pool.imap_unordered], is fed only as its
 * results are taken, until somebody waits for all of it or closes the pool, and no
 * more when it is dropped.
 *
 * # How a job ends
 *
 * Every job ends in exactly one way, which is its [property@Mp.Job:state]:
 * succeeded; failed, with the error that its function reported; cancelled; timed
 * out, because a task took too long; worker died, with a task of it; limit, because
 * a task took more memory or processor time than it may. The first of its tasks
 * that does not succeed decides; the others are done nevertheless.
 *
 * # Threads
 *
 * A job can be used from any thread. Its signals and property notifications are
 * emitted in the main context that was the thread's default where it was
 * submitted; everything else works without any main loop.
 *
 * Since: 0.1
 */
struct _MpJob
{
  GObject parent_instance;

  /* NULL only in an object that was not made by a pool. */
  MpJobCore *core;
  MpAnnouncer *announcer;
};

G_DEFINE_FINAL_TYPE (MpJob, mp_job, G_TYPE_OBJECT)

enum
{
  PROP_0,
  PROP_ID,
  PROP_FUNCTION,
  PROP_STATE,
  PROP_PROGRESS,
  PROP_N_DONE,
  PROP_N_TOTAL,
  N_PROPS
};

enum
{
  SIGNAL_COMPLETED,
  N_SIGNALS
};

static GParamSpec *properties[N_PROPS];
static guint signals[N_SIGNALS];

static void
mp_job_dispose (GObject *object)
{
  MpJob *self = MP_JOB (object);

  /* What is another process's stays as it is. */
  if (self->core != NULL && !mp_pool_core_is_ours (self->core->pool))
    {
      self->announcer = NULL;
      self->core = NULL;
    }
  if (self->core != NULL)
    {
      MpJobCore *core = self->core;

      mp_pool_core_lock (core->pool);
      mp_announcer_forget_job (core);
      if (core->iterated)
        mp_job_core_stop_feeding (core);
      /* Nobody is left who could take results or give input. */
      core->wanted = FALSE;
      mp_results_clear (&core->results);
      core->more = FALSE;
      mp_job_core_maybe_finish (core);
      mp_pool_core_unlock (core->pool);
      g_clear_pointer (&self->announcer, mp_announcer_release);
      g_clear_pointer (&self->core, mp_job_core_unref);
    }

  G_OBJECT_CLASS (mp_job_parent_class)->dispose (object);
}

static void
mp_job_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  MpJob *self = MP_JOB (object);

  switch (prop_id)
    {
    case PROP_ID:
      g_value_set_uint64 (value, mp_job_get_id (self));
      break;
    case PROP_FUNCTION:
      g_value_set_string (value, mp_job_get_function (self));
      break;
    case PROP_STATE:
      g_value_set_enum (value, mp_job_get_state (self));
      break;
    case PROP_PROGRESS:
      g_value_set_double (value, mp_job_get_progress (self));
      break;
    case PROP_N_DONE:
      g_value_set_uint64 (value, mp_job_get_n_done (self));
      break;
    case PROP_N_TOTAL:
      g_value_set_uint64 (value, mp_job_get_n_total (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
mp_job_install_properties (GObjectClass *object_class)
{
  const GParamFlags flags = G_PARAM_READABLE | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY;

  /**
   * MpJob:id: (getter get_id)
   *
   * A number that no other job of this process has.
   *
   * Since: 0.1
   */
  properties[PROP_ID] = g_param_spec_uint64 ("id", NULL, NULL, 0, G_MAXUINT64, 0, flags);

  /**
   * MpJob:function: (getter get_function)
   *
   * The function that its tasks run.
   *
   * Since: 0.1
   */
  properties[PROP_FUNCTION] = g_param_spec_string ("function", NULL, NULL, NULL, flags);

  /**
   * MpJob:state: (getter get_state)
   *
   * How far it is. Notified when the job is finished; that it runs is seen by looking.
   *
   * Since: 0.1
   */
  properties[PROP_STATE] =
    g_param_spec_enum ("state", NULL, NULL, MP_TYPE_JOB_STATE, MP_JOB_STATE_QUEUED, flags);

  /**
   * MpJob:progress: (getter get_progress)
   *
   * How much is done, from 0 to 1. Notified as results and reports come in,
   * several at a time when there are many.
   *
   * Since: 0.1
   */
  properties[PROP_PROGRESS] = g_param_spec_double ("progress", NULL, NULL, 0, 1, 0, flags);

  /**
   * MpJob:n-done: (getter get_n_done)
   *
   * How many items are done. Notified together with [property@Mp.Job:progress].
   *
   * Since: 0.1
   */
  properties[PROP_N_DONE] = g_param_spec_uint64 ("n-done", NULL, NULL, 0, G_MAXUINT64, 0, flags);

  /**
   * MpJob:n-total: (getter get_n_total)
   *
   * How many items there are, as far as is known.
   *
   * Since: 0.1
   */
  properties[PROP_N_TOTAL] = g_param_spec_uint64 ("n-total", NULL, NULL, 0, G_MAXUINT64, 0, flags);

  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
mp_job_class_init (MpJobClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->dispose = mp_job_dispose;
  object_class->get_property = mp_job_get_property;
  mp_job_install_properties (object_class);

  /**
   * MpJob::completed:
   * @self: the job
   *
   * The job is finished, in whatever way. Emitted once, in the main context
   * that was the default of the thread that submitted the job.
   *
   * Since: 0.1
   */
  signals[SIGNAL_COMPLETED] = g_signal_new ("completed",
                                            G_TYPE_FROM_CLASS (klass),
                                            G_SIGNAL_RUN_LAST,
                                            0,
                                            NULL,
                                            NULL,
                                            NULL,
                                            G_TYPE_NONE,
                                            0);
}

static void
mp_job_init (MpJob *self)
{
}

MpJobCore *
mp_job_get_core (MpJob *self)
{
  return self->core;
}

MpJob *
mp_job_new_for_core (MpJobCore *core)
{
  MpJob *self = g_object_new (MP_TYPE_JOB, NULL);
  g_autoptr (GMainContext) context = g_main_context_ref_thread_default ();

  self->core = core;
  g_weak_ref_set (&core->object, self);
  mp_pool_core_lock (core->pool);
  self->announcer = mp_announcer_acquire (core->pool, context);
  core->announcer = self->announcer;
  if (core->pool->listed)
    mp_announcer_list_job (core->pool, self);
  /* It may have finished already. */
  if (!core->unfinished)
    mp_announcer_add_job (core, MP_ANNOUNCE_PROGRESS | MP_ANNOUNCE_COMPLETED);
  mp_pool_core_unlock (core->pool);
  return self;
}

void
mp_job_announce (MpJob *self, guint flags)
{
  if ((flags & MP_ANNOUNCE_PROGRESS) != 0)
    {
      g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_PROGRESS]);
      g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_N_DONE]);
    }
  if ((flags & MP_ANNOUNCE_COMPLETED) != 0)
    {
      g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_STATE]);
      g_signal_emit (self, signals[SIGNAL_COMPLETED], 0);
    }
}

static gboolean
mp_job_core_is_running (MpJobCore *core)
{
  MpPoolCore *pool = core->pool;
  MpClaim claim;

  if (core->n_resolved > 0)
    return TRUE;
  for (guint i = 0; core->n_in_flight > 0 && i < pool->n_places; i++)
    if (mp_claims_read (pool->claims, i, &claim))
      {
        MpSlot *slot = mp_pool_core_get_slot (pool, claim.slot, claim.task_id);

        if (slot != NULL && slot->job == core && mp_claims_is_running (pool->claims, claim.slot))
          return TRUE;
      }
  return FALSE;
}

/**
 * mp_job_get_state: (get-property state)
 * @self: a job
 *
 * How far the job is.
 *
 * Returns: its state now
 *
 * Since: 0.1
 */
MpJobState
mp_job_get_state (MpJob *self)
{
  MpJobState state;

  g_return_val_if_fail (MP_IS_JOB (self) && self->core != NULL, MP_JOB_STATE_QUEUED);

  mp_pool_core_lock (self->core->pool);
  state = self->core->state;
  if (self->core->unfinished && mp_job_core_is_running (self->core))
    state = MP_JOB_STATE_RUNNING;
  mp_pool_core_unlock (self->core->pool);
  return state;
}

/**
 * mp_job_get_finished:
 * @self: a job
 *
 * Whether the job has come to its end: succeeded, failed, or given up.
 *
 * Returns: %TRUE if its state is final
 *
 * Since: 0.1
 */
gboolean
mp_job_get_finished (MpJob *self)
{
  gboolean finished;

  g_return_val_if_fail (MP_IS_JOB (self) && self->core != NULL, FALSE);

  mp_pool_core_lock (self->core->pool);
  finished = !self->core->unfinished;
  mp_pool_core_unlock (self->core->pool);
  return finished;
}

/**
 * mp_job_get_progress: (get-property progress)
 * @self: a job
 *
 * How much is done: the items that are, and of those that run what their
 * functions reported, see [method@Mp.Task.report_progress].
 *
 * Returns: from 0 to 1
 *
 * Since: 0.1
 */
double
mp_job_get_progress (MpJob *self)
{
  double progress = 0.0;

  g_return_val_if_fail (MP_IS_JOB (self) && self->core != NULL, 0.0);

  mp_pool_core_lock (self->core->pool);
  if (self->core->n_items > 0)
    progress = ((double) self->core->n_items_done + self->core->progress_in_flight) /
               (double) self->core->n_items;
  else if (!self->core->unfinished)
    progress = 1.0;
  mp_pool_core_unlock (self->core->pool);
  return CLAMP (progress, 0.0, 1.0);
}

/**
 * mp_job_get_n_done: (get-property n-done)
 * @self: a job
 *
 * How many items of the job have their result, or an error.
 *
 * Returns: the number
 *
 * Since: 0.1
 */
guint64
mp_job_get_n_done (MpJob *self)
{
  guint64 n;

  g_return_val_if_fail (MP_IS_JOB (self) && self->core != NULL, 0);

  mp_pool_core_lock (self->core->pool);
  n = self->core->n_items_done;
  mp_pool_core_unlock (self->core->pool);
  return n;
}

/**
 * mp_job_get_n_total: (get-property n-total)
 * @self: a job
 *
 * How many items the job has: 1 for a single task, the length of the array for
 * a map, what was pushed so far while input may follow.
 *
 * Returns: the number
 *
 * Since: 0.1
 */
guint64
mp_job_get_n_total (MpJob *self)
{
  guint64 n;

  g_return_val_if_fail (MP_IS_JOB (self) && self->core != NULL, 0);

  mp_pool_core_lock (self->core->pool);
  n = self->core->n_items;
  mp_pool_core_unlock (self->core->pool);
  return n;
}

/**
 * mp_job_get_function: (get-property function)
 * @self: a job
 *
 * The function that the tasks run, as it was given.
 *
 * Returns: (transfer none) (nullable): its name; %NULL if what was given is no
 *   text, as a binding may do
 *
 * Since: 0.1
 */
const char *
mp_job_get_function (MpJob *self)
{
  g_return_val_if_fail (MP_IS_JOB (self) && self->core != NULL, NULL);

  return self->core->name;
}

/**
 * mp_job_get_id: (get-property id)
 * @self: a job
 *
 * A number that no other job of this process has.
 *
 * Returns: the number, counted from 1
 *
 * Since: 0.1
 */
guint64
mp_job_get_id (MpJob *self)
{
  g_return_val_if_fail (MP_IS_JOB (self) && self->core != NULL, 0);

  return self->core->id;
}

/**
 * mp_job_get_priority:
 * @self: a job
 *
 * How urgent the job is, see [property@Mp.JobOptions:priority].
 *
 * Returns: its priority
 *
 * Since: 0.1
 */
int
mp_job_get_priority (MpJob *self)
{
  g_return_val_if_fail (MP_IS_JOB (self) && self->core != NULL, 0);

  return self->core->priority;
}

/**
 * mp_job_get_attempts:
 * @self: a job
 *
 * How many attempts the task of the job had, or that one of its tasks that had the
 * most.
 *
 * Returns: the number; 0 while no task of it was given to the workers
 *
 * Since: 0.1
 */
guint
mp_job_get_attempts (MpJob *self)
{
  guint n;

  g_return_val_if_fail (MP_IS_JOB (self) && self->core != NULL, 0);

  mp_pool_core_lock (self->core->pool);
  n = self->core->attempts;
  mp_pool_core_unlock (self->core->pool);
  return n;
}

/**
 * mp_job_get_worker_end:
 * @self: a job
 * @pid: (out) (optional): the process
 * @exit_code: (out) (optional): its exit code; below 0, minus the signal that
 *   killed it
 *
 * Which worker died first while it had a task of the job, and how.
 *
 * Returns: %TRUE if one did
 *
 * Since: 0.1
 */
gboolean
mp_job_get_worker_end (MpJob *self, int *pid, int *exit_code)
{
  int which;

  g_return_val_if_fail (MP_IS_JOB (self) && self->core != NULL, FALSE);

  mp_pool_core_lock (self->core->pool);
  which = self->core->worker_pid;
  if (pid != NULL)
    *pid = which;
  if (exit_code != NULL)
    *exit_code = self->core->worker_exit_code;
  mp_pool_core_unlock (self->core->pool);
  return which != 0;
}

/**
 * mp_job_wait:
 * @self: a job
 * @timeout_us: how long, in microseconds; 0 to only look, -1 for ever
 * @cancellable: (nullable): ends the wait, not the job
 * @error: return location for an error
 *
 * Waits until the job is finished, whether it succeeded or not.
 *
 * Nothing in time is %MP_ERROR_TIMED_OUT. The job goes on in any case.
 *
 * Returns: %TRUE if it is finished
 *
 * Since: 0.1
 */
gboolean
mp_job_wait (MpJob *self, gint64 timeout_us, GCancellable *cancellable, GError **error)
{
  g_return_val_if_fail (MP_IS_JOB (self) && self->core != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return mp_job_core_wait (self->core, timeout_us, cancellable, error);
}

static void
mp_job_waited (GTask *task)
{
  g_task_return_boolean (task, TRUE);
}

/**
 * mp_job_wait_async:
 * @self: a job
 * @cancellable: (nullable): ends the wait, not the job
 * @callback: (scope async): called when the job is finished
 * @user_data: passed to @callback
 *
 * Waits without blocking until the job is finished, see [method@Mp.Job.wait].
 *
 * Since: 0.1
 */
void
mp_job_wait_async (MpJob *self,
                   GCancellable *cancellable,
                   GAsyncReadyCallback callback,
                   gpointer user_data)
{
  g_autoptr (GTask) task = NULL;
  MpWaiter *waiter;

  g_return_if_fail (MP_IS_JOB (self) && self->core != NULL);

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, mp_job_wait_async);
  if (g_task_return_error_if_cancelled (task))
    return;
  waiter = mp_waiter_new (g_steal_pointer (&task), mp_job_waited);
  mp_pool_core_lock (self->core->pool);
  mp_job_core_wait_for_all (self->core);
  mp_waiter_enqueue (waiter, &self->core->pool->lock, &self->core->finished_waiters);
  if (!self->core->unfinished)
    mp_waiter_move_all (&self->core->finished_waiters, &self->core->pool->ready);
  mp_pool_core_unlock (self->core->pool);
}

/**
 * mp_job_wait_finish:
 * @self: a job
 * @result: what the callback got
 * @error: return location for an error
 *
 * Finishes [method@Mp.Job.wait_async].
 *
 * Returns: %TRUE if the job is finished
 *
 * Since: 0.1
 */
gboolean
mp_job_wait_finish (MpJob *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

static gboolean
mp_job_is_finished (gpointer user_data)
{
  return !((MpJobCore *) user_data)->unfinished;
}

/* Not retried when a signal handler ran. */
gboolean
mp_job_wait_once (MpJob *self, MpSleepWord *word, MpSleepPredicate predicate, gint64 timeout_us)
{
  if (mp_sleep_word_sleep (word,
                           &self->core->pool->lock,
                           predicate,
                           self->core,
                           mp_deadline_new (timeout_us),
                           NULL) != MP_SLEEP_READY)
    return FALSE;
  mp_pool_core_unlock (self->core->pool);
  return TRUE;
}

/**
 * mp_job_wait_ready:
 * @self: a job
 * @timeout_us: how long, in microseconds; 0 to only look, -1 for ever
 *
 * Waits until the job is finished, or a signal handler ran in this thread:
 * for bindings, whose languages run their handlers between two calls.
 *
 * Returns: %TRUE if the job is finished; %FALSE if the time is over or a
 *   signal handler ran
 *
 * Since: 0.1
 */
gboolean
mp_job_wait_ready (MpJob *self, gint64 timeout_us)
{
  g_return_val_if_fail (MP_IS_JOB (self) && self->core != NULL, FALSE);

  mp_pool_core_lock (self->core->pool);
  mp_job_core_wait_for_all (self->core);
  mp_pool_core_unlock (self->core->pool);
  mp_job_core_look_for_result (self->core, timeout_us);
  return mp_job_wait_once (self, &self->core->finished_word, mp_job_is_finished, timeout_us);
}

/**
 * mp_job_get_result:
 * @self: a job
 * @error: return location for an error
 *
 * The result of a finished job. It can be asked for again and again.
 *
 * A single task gives what its function returned. A map gives an array of type
 * `av`, in the order of its items, or, for [method@Mp.Pool.imap_unordered], in
 * the order of completion.
 *
 * Of a job that is not finished it is %MP_ERROR_BUSY. Of a job that failed it is
 * the error its function reported; if several tasks of a map failed, the error
 * that came first. If a worker died, it is %MP_ERROR_PROCESS_DIED, naming the
 * process and how it ended; if a task took too long, %MP_ERROR_TIMED_OUT; if it took
 * more than it may, %MP_ERROR_LIMIT. Of a cancelled job it is %G_IO_ERROR_CANCELLED. If
 * results were taken one by one, it is %MP_ERROR_NOT_FOUND.
 *
 * Returns: (transfer full): the result
 *
 * Since: 0.1
 */
GVariant *
mp_job_get_result (MpJob *self, GError **error)
{
  GVariant *result;

  g_return_val_if_fail (MP_IS_JOB (self) && self->core != NULL, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  mp_pool_core_lock (self->core->pool);
  result = mp_job_core_get_result (self->core, error);
  mp_pool_core_unlock (self->core->pool);
  return result;
}

/**
 * mp_job_dup_traceback:
 * @self: a job
 *
 * Where in the worker the error of a failed job came from, if the language of
 * the worker tells.
 *
 * Returns: (transfer full) (nullable): text of several lines
 *
 * Since: 0.1
 */
char *
mp_job_dup_traceback (MpJob *self)
{
  char *traceback;

  g_return_val_if_fail (MP_IS_JOB (self) && self->core != NULL, NULL);

  mp_pool_core_lock (self->core->pool);
  traceback = g_strdup (self->core->traceback);
  mp_pool_core_unlock (self->core->pool);
  return traceback;
}

/**
 * mp_job_cancel:
 * @self: a job
 *
 * Ends the job now, with state %MP_JOB_STATE_CANCELLED.
 *
 * Tasks of it that wait will never run. Those that run are asked to end, see
 * [method@Mp.Task.get_cancellable] and [method@Mp.Worker.get_cancelled]; what has not
 * ended after [property@Mp.Pool:cancel-grace] is stopped with its worker, by
 * `SIGTERM`, and after [property@Mp.Pool:kill-grace] by `SIGKILL`. The worker is
 * replaced; no other job loses anything. This does not wait for any of it. Results
 * that came before stay and can be taken with [method@Mp.Job.next].
 *
 * Returns: %TRUE if the job was cancelled; %FALSE if it was finished already
 *
 * Since: 0.1
 */
gboolean
mp_job_cancel (MpJob *self)
{
  g_autoptr (GError) reason = NULL;
  gboolean cancelled;

  g_return_val_if_fail (MP_IS_JOB (self) && self->core != NULL, FALSE);

  if (!mp_pool_core_is_ours (self->core->pool))
    return FALSE;

  reason = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_CANCELLED, "The job was cancelled");
  mp_pool_core_lock (self->core->pool);
  cancelled = self->core->unfinished;
  mp_job_core_abort (self->core, MP_JOB_STATE_CANCELLED, reason);
  mp_pool_core_feed (self->core->pool);
  mp_pool_core_unlock (self->core->pool);
  return cancelled;
}

/**
 * mp_job_set_notify:
 * @self: a job
 * @notify: whether to tell
 *
 * Whether the pool keeps the job, once it is finished, for
 * [method@Mp.Pool.take_finished]; it is kept alive until then. That works also
 * when it is finished already. A job is handed out once.
 *
 * Since: 0.1
 */
void
mp_job_set_notify (MpJob *self, gboolean notify)
{
  MpJobCore *core;
  g_autoptr (MpJob) dropped = NULL;

  g_return_if_fail (MP_IS_JOB (self) && self->core != NULL);

  core = self->core;
  mp_pool_core_lock (core->pool);
  if (notify && !core->notify && !core->pool->abandoned)
    {
      core->notify = TRUE;
      core->kept = g_object_ref (self);
      mp_job_core_wait_for_all (core);
      if (!core->unfinished)
        {
          g_queue_push_tail_link (&core->pool->finished, &core->finished_link);
          if (mp_sleep_word_bump (&core->pool->finished_word))
            core->pool->wake_finished = TRUE;
        }
    }
  else if (!notify && core->notify)
    {
      core->notify = FALSE;
      if (!core->unfinished && core->kept != NULL)
        g_queue_unlink (&core->pool->finished, &core->finished_link);
      dropped = g_steal_pointer (&core->kept);
    }
  mp_pool_core_unlock (core->pool);
}
