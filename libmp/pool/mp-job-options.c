/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-job-options-private.h"

/**
 * MpJobOptions:
 *
 * How a pool treats a job: what is more urgent, how long it may take, how often it
 * is tried, what it has to wait for.
 *
 * ```c
 * g_autoptr (MpJobOptions) options =
 *   g_object_new (MP_TYPE_JOB_OPTIONS, "priority", 10, "timeout", (gint64) 500000, NULL);
 * g_autoptr (MpJob) job = mp_pool_submit (pool, "render", frame, options, &error);
 * ```
 *
 * Options are read when a job is submitted, and can be used for any number of jobs.
 *
 * # Threads
 *
 * Options are used by one thread at a time.
 *
 * Since: 0.1
 */
struct _MpJobOptions
{
  GObject parent_instance;

  MpJobOptionsValues values;
};

G_DEFINE_FINAL_TYPE (MpJobOptions, mp_job_options, G_TYPE_OBJECT)

enum
{
  PROP_0,
  PROP_PRIORITY,
  PROP_TIMEOUT,
  PROP_MAX_ATTEMPTS,
  PROP_RETRY_DELAY,
  PROP_RETRY_FAILED,
  PROP_READ_AHEAD,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

static void
mp_job_options_finalize (GObject *object)
{
  MpJobOptions *self = MP_JOB_OPTIONS (object);

  g_clear_pointer (&self->values.after, g_ptr_array_unref);

  G_OBJECT_CLASS (mp_job_options_parent_class)->finalize (object);
}

static void
mp_job_options_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  const MpJobOptionsValues *values = &MP_JOB_OPTIONS (object)->values;

  switch (prop_id)
    {
    case PROP_PRIORITY:
      g_value_set_int (value, values->priority);
      break;
    case PROP_TIMEOUT:
      g_value_set_int64 (value, values->timeout);
      break;
    case PROP_MAX_ATTEMPTS:
      g_value_set_uint (value, values->max_attempts);
      break;
    case PROP_RETRY_DELAY:
      g_value_set_int64 (value, values->retry_delay);
      break;
    case PROP_RETRY_FAILED:
      g_value_set_boolean (value, values->retry_failed);
      break;
    case PROP_READ_AHEAD:
      g_value_set_uint (value, values->read_ahead);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
mp_job_options_set_property (GObject *object, guint prop_id, const GValue *value, GParamSpec *pspec)
{
  MpJobOptionsValues *values = &MP_JOB_OPTIONS (object)->values;

  switch (prop_id)
    {
    case PROP_PRIORITY:
      values->priority = g_value_get_int (value);
      break;
    case PROP_TIMEOUT:
      values->timeout = g_value_get_int64 (value);
      break;
    case PROP_MAX_ATTEMPTS:
      values->max_attempts = g_value_get_uint (value);
      break;
    case PROP_RETRY_DELAY:
      values->retry_delay = g_value_get_int64 (value);
      break;
    case PROP_RETRY_FAILED:
      values->retry_failed = g_value_get_boolean (value);
      break;
    case PROP_READ_AHEAD:
      values->read_ahead = g_value_get_uint (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
mp_job_options_install_properties (GObjectClass *object_class)
{
  const GParamFlags flags = G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS;

  /**
   * MpJobOptions:priority: (getter get_priority)
   *
   * What is fed to the workers first: the tasks of the job with the greater
   * number, and of two that are equal, those that were submitted first. What runs
   * already is not stopped.
   *
   * Since: 0.1
   */
  properties[PROP_PRIORITY] =
    g_param_spec_int ("priority", NULL, NULL, G_MININT, G_MAXINT, 0, flags);

  /**
   * MpJobOptions:timeout: (getter get_timeout)
   *
   * How long each attempt at a task of the job may run, in microseconds from
   * when a worker takes it; 0 for as long as the pool says, see
   * [property@Mp.Pool:task-timeout], -1 for ever. A task that takes longer ends
   * with %MP_ERROR_TIMED_OUT, and its worker is stopped, see
   * [method@Mp.Job.cancel].
   *
   * Since: 0.1
   */
  properties[PROP_TIMEOUT] = g_param_spec_int64 ("timeout", NULL, NULL, -1, G_MAXINT64, 0, flags);

  /**
   * MpJobOptions:max-attempts: (getter get_max_attempts)
   *
   * How often a task is started at most, when the workers that run it die; 0 for
   * as often as the pool says, see [property@Mp.Pool:max-attempts].
   *
   * Since: 0.1
   */
  properties[PROP_MAX_ATTEMPTS] =
    g_param_spec_uint ("max-attempts", NULL, NULL, 0, G_MAXUINT, 0, flags);

  /**
   * MpJobOptions:retry-delay: (getter get_retry_delay)
   *
   * How long a task waits before its second attempt, in microseconds; before
   * each further one it waits twice as long, but never more than a minute or
   * what is given here, if that is more. -1 for as long as the pool says, see
   * [property@Mp.Pool:retry-delay].
   *
   * Since: 0.1
   */
  properties[PROP_RETRY_DELAY] =
    g_param_spec_int64 ("retry-delay", NULL, NULL, -1, G_MAXINT64, -1, flags);

  /**
   * MpJobOptions:retry-failed: (getter get_retry_failed)
   *
   * Whether a task is also tried again when its function failed, took too long,
   * or hit a limit.
   *
   * Since: 0.1
   */
  properties[PROP_RETRY_FAILED] = g_param_spec_boolean ("retry-failed", NULL, NULL, FALSE, flags);

  /**
   * MpJobOptions:read-ahead: (getter get_read_ahead)
   *
   * How many tasks may be fed to the workers before the results of those before
   * them are taken; 0 for no bound, except for [method@Mp.Pool.imap] and
   * [method@Mp.Pool.imap_unordered], where it is 1024.
   *
   * Since: 0.1
   */
  properties[PROP_READ_AHEAD] =
    g_param_spec_uint ("read-ahead", NULL, NULL, 0, G_MAXUINT, 0, flags);

  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
mp_job_options_class_init (MpJobOptionsClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->finalize = mp_job_options_finalize;
  object_class->get_property = mp_job_options_get_property;
  object_class->set_property = mp_job_options_set_property;
  mp_job_options_install_properties (object_class);
}

static void
mp_job_options_init (MpJobOptions *self)
{
  self->values.retry_delay = -1;
}

/**
 * mp_job_options_new:
 *
 * Makes options that change nothing.
 *
 * Returns: (transfer full): new options
 *
 * Since: 0.1
 */
MpJobOptions *
mp_job_options_new (void)
{
  return g_object_new (MP_TYPE_JOB_OPTIONS, NULL);
}

/**
 * mp_job_options_add_after:
 * @self: options
 * @job: a job of the pool that the options will be used with
 *
 * Has a job wait until @job has succeeded. If @job ends in any other way, the one
 * that waits for it never runs: it is cancelled if @job was, else it fails with
 * %MP_ERROR_FAILED, naming @job and its error.
 *
 * A job of another pool is %MP_ERROR_INVALID_ARGUMENT when the options are used.
 *
 * Since: 0.1
 */
void
mp_job_options_add_after (MpJobOptions *self, MpJob *job)
{
  g_return_if_fail (MP_IS_JOB_OPTIONS (self));
  g_return_if_fail (MP_IS_JOB (job));

  if (self->values.after == NULL)
    self->values.after = g_ptr_array_new_with_free_func (g_object_unref);
  g_ptr_array_add (self->values.after, g_object_ref (job));
}

const MpJobOptionsValues *
mp_job_options_get_values (const MpJobOptions *self)
{
  static const MpJobOptionsValues defaults = { .retry_delay = -1 };

  return self != NULL ? &self->values : &defaults;
}

/**
 * mp_job_options_get_priority: (get-property priority)
 * @self: options
 *
 * How urgent a job is. See [property@Mp.JobOptions:priority].
 *
 * Returns: the priority
 *
 * Since: 0.1
 */
int
mp_job_options_get_priority (MpJobOptions *self)
{
  g_return_val_if_fail (MP_IS_JOB_OPTIONS (self), 0);

  return self->values.priority;
}

/**
 * mp_job_options_get_timeout: (get-property timeout)
 * @self: options
 *
 * How long an attempt at a task may take. See [property@Mp.JobOptions:timeout].
 *
 * Returns: microseconds; 0 for what the pool says, -1 for ever
 *
 * Since: 0.1
 */
gint64
mp_job_options_get_timeout (MpJobOptions *self)
{
  g_return_val_if_fail (MP_IS_JOB_OPTIONS (self), -1);

  return self->values.timeout;
}

/**
 * mp_job_options_get_max_attempts: (get-property max-attempts)
 * @self: options
 *
 * How often a task is started at most. See [property@Mp.JobOptions:max-attempts].
 *
 * Returns: the number; 0 for what the pool says
 *
 * Since: 0.1
 */
guint
mp_job_options_get_max_attempts (MpJobOptions *self)
{
  g_return_val_if_fail (MP_IS_JOB_OPTIONS (self), 0);

  return self->values.max_attempts;
}

/**
 * mp_job_options_get_retry_delay: (get-property retry-delay)
 * @self: options
 *
 * How long a task waits before its second attempt. See [property@Mp.JobOptions:retry-delay].
 *
 * Returns: microseconds; -1 for what the pool says
 *
 * Since: 0.1
 */
gint64
mp_job_options_get_retry_delay (MpJobOptions *self)
{
  g_return_val_if_fail (MP_IS_JOB_OPTIONS (self), -1);

  return self->values.retry_delay;
}

/**
 * mp_job_options_get_retry_failed: (get-property retry-failed)
 * @self: options
 *
 * Whether a task that failed is tried again. See [property@Mp.JobOptions:retry-failed].
 *
 * Returns: %TRUE if it is
 *
 * Since: 0.1
 */
gboolean
mp_job_options_get_retry_failed (MpJobOptions *self)
{
  g_return_val_if_fail (MP_IS_JOB_OPTIONS (self), FALSE);

  return self->values.retry_failed;
}

/**
 * mp_job_options_get_read_ahead: (get-property read-ahead)
 * @self: options
 *
 * How many tasks are fed before the results of those before them are taken. See
 * [property@Mp.JobOptions:read-ahead].
 *
 * Returns: the number; 0 for the default
 *
 * Since: 0.1
 */
guint
mp_job_options_get_read_ahead (MpJobOptions *self)
{
  g_return_val_if_fail (MP_IS_JOB_OPTIONS (self), 0);

  return self->values.read_ahead;
}
