/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-pool-settings-private.h"

#include "../base/mp-error.h"
#include "mp-pool-private.h"

/* The properties that a pool is made with. */

void
mp_pool_settings_copy (MpPoolSettings *self, const MpPoolSettings *original)
{
  *self = *original;
  if (self->worker_data != NULL)
    g_bytes_ref (self->worker_data);
  if (self->worker_fd_list != NULL)
    g_object_ref (self->worker_fd_list);
}

void
mp_pool_settings_clear (MpPoolSettings *self)
{
  g_clear_pointer (&self->worker_data, g_bytes_unref);
  g_clear_object (&self->worker_fd_list);
}

static void
mp_pool_settings_install_sizes (GParamSpec **properties)
{
  const GParamFlags flags = G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS;

  /**
   * MpPool:n-workers: (getter get_n_workers)
   *
   * How many worker processes there are at most, from 1 to 4096. Changed, and
   * notified, by [method@Mp.Pool.resize].
   *
   * Since: 0.1
   */
  properties[MP_POOL_PROP_N_WORKERS] =
    g_param_spec_uint ("n-workers", NULL, NULL, 0, G_MAXUINT, 1, flags);

  /**
   * MpPool:min-workers: (getter get_min_workers)
   *
   * How many workers stay when there is nothing to do, see
   * [property@Mp.Pool:idle-timeout].
   *
   * Since: 0.1
   */
  properties[MP_POOL_PROP_MIN_WORKERS] =
    g_param_spec_uint ("min-workers", NULL, NULL, 0, G_MAXUINT, 0, flags);

  /**
   * MpPool:idle-timeout: (getter get_idle_timeout)
   *
   * Workers that were not needed for so long, in microseconds, leave, until there
   * are [property@Mp.Pool:min-workers]; they come back when they are needed. -1:
   * they stay.
   *
   * Since: 0.1
   */
  properties[MP_POOL_PROP_IDLE_TIMEOUT] =
    g_param_spec_int64 ("idle-timeout", NULL, NULL, -1, G_MAXINT64, -1, flags);
}

static void
mp_pool_settings_install_recycling (GParamSpec **properties)
{
  const GParamFlags flags = G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS;

  /**
   * MpPool:max-tasks-per-worker: (getter get_max_tasks_per_worker)
   *
   * After how many tasks a worker leaves and is replaced; 0 for never. A chunk
   * of a map is one task.
   *
   * Since: 0.1
   */
  properties[MP_POOL_PROP_MAX_TASKS_PER_WORKER] =
    g_param_spec_uint ("max-tasks-per-worker", NULL, NULL, 0, G_MAXUINT, 0, flags);

  /**
   * MpPool:max-worker-age: (getter get_max_worker_age)
   *
   * A worker that is older, in microseconds, leaves after the task that it has,
   * or the next that it gets, and is replaced; -1: it stays.
   *
   * Since: 0.1
   */
  properties[MP_POOL_PROP_MAX_WORKER_AGE] =
    g_param_spec_int64 ("max-worker-age", NULL, NULL, -1, G_MAXINT64, -1, flags);

  /**
   * MpPool:max-worker-memory: (getter get_max_worker_memory)
   *
   * A worker that has more memory of its own in use, in bytes, leaves after the
   * task that it has, and is replaced; 0: it stays. Looked at a hundred times a
   * second at most.
   *
   * Since: 0.1
   */
  properties[MP_POOL_PROP_MAX_WORKER_MEMORY] =
    g_param_spec_uint64 ("max-worker-memory", NULL, NULL, 0, G_MAXUINT64, 0, flags);

  /**
   * MpPool:worker-memory-limit: (getter get_worker_memory_limit)
   *
   * How many bytes of memory of its own a worker may have in use; 0 for any number.
   * The task of one that has more ends with %MP_ERROR_LIMIT, and the worker is
   * killed. Looked at twenty times a second: what takes much memory quickly has it
   * for a moment.
   *
   * Since: 0.1
   */
  properties[MP_POOL_PROP_WORKER_MEMORY_LIMIT] =
    g_param_spec_uint64 ("worker-memory-limit", NULL, NULL, 0, G_MAXUINT64, 0, flags);
}

static void
mp_pool_settings_install_tasks (GParamSpec **properties)
{
  const GParamFlags flags = G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS;

  /**
   * MpPool:task-timeout: (getter get_task_timeout)
   *
   * How long each attempt at a task may run, in microseconds; -1 for ever. See
   * [property@Mp.JobOptions:timeout].
   *
   * Since: 0.1
   */
  properties[MP_POOL_PROP_TASK_TIMEOUT] =
    g_param_spec_int64 ("task-timeout", NULL, NULL, -1, G_MAXINT64, -1, flags);

  /**
   * MpPool:max-attempts: (getter get_max_attempts)
   *
   * How often a task is started at most, when the workers that run it die.
   *
   * Since: 0.1
   */
  properties[MP_POOL_PROP_MAX_ATTEMPTS] =
    g_param_spec_uint ("max-attempts", NULL, NULL, 0, G_MAXUINT, 1, flags);

  /**
   * MpPool:retry-delay: (getter get_retry_delay)
   *
   * How long a task waits before its second attempt, in microseconds. See
   * [property@Mp.JobOptions:retry-delay].
   *
   * Since: 0.1
   */
  properties[MP_POOL_PROP_RETRY_DELAY] =
    g_param_spec_int64 ("retry-delay", NULL, NULL, 0, G_MAXINT64, 0, flags);

  /**
   * MpPool:cancel-grace: (getter get_cancel_grace)
   *
   * How long a task that was cancelled, or took too long, has to end by itself, in
   * microseconds, before its worker gets `SIGTERM`; -1 for as long as it wants.
   *
   * Since: 0.1
   */
  properties[MP_POOL_PROP_CANCEL_GRACE] =
    g_param_spec_int64 ("cancel-grace", NULL, NULL, -1, G_MAXINT64, 100 * 1000, flags);

  /**
   * MpPool:kill-grace: (getter get_kill_grace)
   *
   * How long a worker has to end after `SIGTERM`, in microseconds, before it gets
   * `SIGKILL`; -1 for as long as it wants.
   *
   * Since: 0.1
   */
  properties[MP_POOL_PROP_KILL_GRACE] =
    g_param_spec_int64 ("kill-grace", NULL, NULL, -1, G_MAXINT64, G_USEC_PER_SEC, flags);
}

static void
mp_pool_settings_install_data (GParamSpec **properties)
{
  const GParamFlags flags = G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS;

  /**
   * MpPool:worker-data: (getter get_worker_data)
   *
   * What each worker gets at its start: opaque to libmp, for the worker of a
   * binding, see [method@Mp.Worker.get_start_data].
   *
   * Since: 0.1
   */
  properties[MP_POOL_PROP_WORKER_DATA] =
    g_param_spec_boxed ("worker-data", NULL, NULL, G_TYPE_BYTES, flags);

  /**
   * MpPool:worker-fd-list: (getter get_worker_fd_list)
   *
   * Descriptors that go with [property@Mp.Pool:worker-data]: each worker has
   * copies of them, with the same indexes, at the front of the list that its
   * task gets, see [method@Mp.Task.get_fd_list].
   *
   * Since: 0.1
   */
  properties[MP_POOL_PROP_WORKER_FD_LIST] =
    g_param_spec_object ("worker-fd-list", NULL, NULL, G_TYPE_UNIX_FD_LIST, flags);

  /**
   * MpPool:capture-output: (getter get_capture_output)
   *
   * Whether what workers write to their standard output and error is told line by line
   * by [signal@Mp.Pool::output]; otherwise it goes where this process's goes.
   *
   * Since: 0.1
   */
  properties[MP_POOL_PROP_CAPTURE_OUTPUT] =
    g_param_spec_boolean ("capture-output", NULL, NULL, FALSE, flags);
}

void
mp_pool_settings_install (GParamSpec **properties)
{
  mp_pool_settings_install_sizes (properties);
  mp_pool_settings_install_recycling (properties);
  mp_pool_settings_install_tasks (properties);
  mp_pool_settings_install_data (properties);
}

gboolean
mp_pool_settings_get (const MpPoolSettings *self, guint prop_id, GValue *value)
{
  switch (prop_id)
    {
    case MP_POOL_PROP_N_WORKERS:
      g_value_set_uint (value, self->n_workers);
      return TRUE;
    case MP_POOL_PROP_MIN_WORKERS:
      g_value_set_uint (value, self->min_workers);
      return TRUE;
    case MP_POOL_PROP_IDLE_TIMEOUT:
      g_value_set_int64 (value, self->idle_timeout);
      return TRUE;
    case MP_POOL_PROP_MAX_TASKS_PER_WORKER:
      g_value_set_uint (value, self->max_tasks_per_worker);
      return TRUE;
    case MP_POOL_PROP_MAX_WORKER_AGE:
      g_value_set_int64 (value, self->max_worker_age);
      return TRUE;
    case MP_POOL_PROP_MAX_WORKER_MEMORY:
      g_value_set_uint64 (value, self->max_worker_memory);
      return TRUE;
    case MP_POOL_PROP_WORKER_MEMORY_LIMIT:
      g_value_set_uint64 (value, self->worker_memory_limit);
      return TRUE;
    case MP_POOL_PROP_TASK_TIMEOUT:
      g_value_set_int64 (value, self->task_timeout);
      return TRUE;
    case MP_POOL_PROP_MAX_ATTEMPTS:
      g_value_set_uint (value, self->max_attempts);
      return TRUE;
    case MP_POOL_PROP_RETRY_DELAY:
      g_value_set_int64 (value, self->retry_delay);
      return TRUE;
    case MP_POOL_PROP_CANCEL_GRACE:
      g_value_set_int64 (value, self->cancel_grace);
      return TRUE;
    case MP_POOL_PROP_KILL_GRACE:
      g_value_set_int64 (value, self->kill_grace);
      return TRUE;
    case MP_POOL_PROP_CAPTURE_OUTPUT:
      g_value_set_boolean (value, self->capture_output);
      return TRUE;
    case MP_POOL_PROP_WORKER_DATA:
      g_value_set_boxed (value, self->worker_data);
      return TRUE;
    case MP_POOL_PROP_WORKER_FD_LIST:
      g_value_set_object (value, self->worker_fd_list);
      return TRUE;
    default:
      return FALSE;
    }
}

gboolean
mp_pool_settings_set (MpPoolSettings *self, guint prop_id, const GValue *value)
{
  switch (prop_id)
    {
    case MP_POOL_PROP_N_WORKERS:
      self->n_workers = g_value_get_uint (value);
      return TRUE;
    case MP_POOL_PROP_MIN_WORKERS:
      self->min_workers = g_value_get_uint (value);
      return TRUE;
    case MP_POOL_PROP_IDLE_TIMEOUT:
      self->idle_timeout = g_value_get_int64 (value);
      return TRUE;
    case MP_POOL_PROP_MAX_TASKS_PER_WORKER:
      self->max_tasks_per_worker = g_value_get_uint (value);
      return TRUE;
    case MP_POOL_PROP_MAX_WORKER_AGE:
      self->max_worker_age = g_value_get_int64 (value);
      return TRUE;
    case MP_POOL_PROP_MAX_WORKER_MEMORY:
      self->max_worker_memory = g_value_get_uint64 (value);
      return TRUE;
    case MP_POOL_PROP_WORKER_MEMORY_LIMIT:
      self->worker_memory_limit = g_value_get_uint64 (value);
      return TRUE;
    case MP_POOL_PROP_TASK_TIMEOUT:
      self->task_timeout = g_value_get_int64 (value);
      return TRUE;
    case MP_POOL_PROP_MAX_ATTEMPTS:
      self->max_attempts = g_value_get_uint (value);
      return TRUE;
    case MP_POOL_PROP_RETRY_DELAY:
      self->retry_delay = g_value_get_int64 (value);
      return TRUE;
    case MP_POOL_PROP_CANCEL_GRACE:
      self->cancel_grace = g_value_get_int64 (value);
      return TRUE;
    case MP_POOL_PROP_KILL_GRACE:
      self->kill_grace = g_value_get_int64 (value);
      return TRUE;
    case MP_POOL_PROP_CAPTURE_OUTPUT:
      self->capture_output = g_value_get_boolean (value);
      return TRUE;
    case MP_POOL_PROP_WORKER_DATA:
      self->worker_data = g_value_dup_boxed (value);
      return TRUE;
    case MP_POOL_PROP_WORKER_FD_LIST:
      self->worker_fd_list = g_value_dup_object (value);
      return TRUE;
    default:
      return FALSE;
    }
}

gboolean
mp_pool_settings_check_n_workers (guint n_workers, GError **error)
{
  if (n_workers >= 1 && n_workers <= MP_POOL_MAX_WORKERS)
    return TRUE;
  g_set_error (error,
               MP_ERROR,
               MP_ERROR_INVALID_ARGUMENT,
               "n-workers: a pool has from 1 to %d workers, not %u",
               MP_POOL_MAX_WORKERS,
               n_workers);
  return FALSE;
}

gboolean
mp_pool_settings_check (const MpPoolSettings *self, GError **error)
{
  if (!mp_pool_settings_check_n_workers (self->n_workers, error))
    return FALSE;
  if (self->max_attempts == 0)
    {
      g_set_error_literal (error,
                           MP_ERROR,
                           MP_ERROR_INVALID_ARGUMENT,
                           "max-attempts: a task has to be tried at least once");
      return FALSE;
    }
  return TRUE;
}

/**
 * mp_pool_get_min_workers: (get-property min-workers)
 * @self: a pool
 *
 * How many workers stay when there is nothing to do. See [property@Mp.Pool:min-workers].
 *
 * Returns: the number
 *
 * Since: 0.1
 */
guint
mp_pool_get_min_workers (MpPool *self)
{
  g_return_val_if_fail (MP_IS_POOL (self), 0);

  return mp_pool_get_settings (self)->min_workers;
}

/**
 * mp_pool_get_idle_timeout: (get-property idle-timeout)
 * @self: a pool
 *
 * How long a worker may be idle before it leaves. See [property@Mp.Pool:idle-timeout].
 *
 * Returns: microseconds; -1 for ever
 *
 * Since: 0.1
 */
gint64
mp_pool_get_idle_timeout (MpPool *self)
{
  g_return_val_if_fail (MP_IS_POOL (self), -1);

  return mp_pool_get_settings (self)->idle_timeout;
}

/**
 * mp_pool_get_max_tasks_per_worker: (get-property max-tasks-per-worker)
 * @self: a pool
 *
 * After how many tasks a worker is replaced. See [property@Mp.Pool:max-tasks-per-worker].
 *
 * Returns: the number; 0 for never
 *
 * Since: 0.1
 */
guint
mp_pool_get_max_tasks_per_worker (MpPool *self)
{
  g_return_val_if_fail (MP_IS_POOL (self), 0);

  return mp_pool_get_settings (self)->max_tasks_per_worker;
}

/**
 * mp_pool_get_max_worker_age: (get-property max-worker-age)
 * @self: a pool
 *
 * How old a worker may get. See [property@Mp.Pool:max-worker-age].
 *
 * Returns: microseconds; -1 for any age
 *
 * Since: 0.1
 */
gint64
mp_pool_get_max_worker_age (MpPool *self)
{
  g_return_val_if_fail (MP_IS_POOL (self), -1);

  return mp_pool_get_settings (self)->max_worker_age;
}

/**
 * mp_pool_get_max_worker_memory: (get-property max-worker-memory)
 * @self: a pool
 *
 * With how much memory in use a worker is replaced. See [property@Mp.Pool:max-worker-memory].
 *
 * Returns: the number of bytes; 0 for never
 *
 * Since: 0.1
 */
guint64
mp_pool_get_max_worker_memory (MpPool *self)
{
  g_return_val_if_fail (MP_IS_POOL (self), 0);

  return mp_pool_get_settings (self)->max_worker_memory;
}

/**
 * mp_pool_get_worker_memory_limit: (get-property worker-memory-limit)
 * @self: a pool
 *
 * How much memory a worker may have in use. See [property@Mp.Pool:worker-memory-limit].
 *
 * Returns: the number of bytes; 0 for any number
 *
 * Since: 0.1
 */
guint64
mp_pool_get_worker_memory_limit (MpPool *self)
{
  g_return_val_if_fail (MP_IS_POOL (self), 0);

  return mp_pool_get_settings (self)->worker_memory_limit;
}

/**
 * mp_pool_get_task_timeout: (get-property task-timeout)
 * @self: a pool
 *
 * How long an attempt at a task may take. See [property@Mp.Pool:task-timeout].
 *
 * Returns: microseconds; -1 for ever
 *
 * Since: 0.1
 */
gint64
mp_pool_get_task_timeout (MpPool *self)
{
  g_return_val_if_fail (MP_IS_POOL (self), -1);

  return mp_pool_get_settings (self)->task_timeout;
}

/**
 * mp_pool_get_max_attempts: (get-property max-attempts)
 * @self: a pool
 *
 * How often a task is started at most. See [property@Mp.Pool:max-attempts].
 *
 * Returns: the number
 *
 * Since: 0.1
 */
guint
mp_pool_get_max_attempts (MpPool *self)
{
  g_return_val_if_fail (MP_IS_POOL (self), 0);

  return mp_pool_get_settings (self)->max_attempts;
}

/**
 * mp_pool_get_retry_delay: (get-property retry-delay)
 * @self: a pool
 *
 * How long a task waits before its second attempt. See [property@Mp.Pool:retry-delay].
 *
 * Returns: microseconds
 *
 * Since: 0.1
 */
gint64
mp_pool_get_retry_delay (MpPool *self)
{
  g_return_val_if_fail (MP_IS_POOL (self), 0);

  return mp_pool_get_settings (self)->retry_delay;
}

/**
 * mp_pool_get_cancel_grace: (get-property cancel-grace)
 * @self: a pool
 *
 * How long a task that was cancelled has to end by itself. See [property@Mp.Pool:cancel-grace].
 *
 * Returns: microseconds; -1 for as long as it wants
 *
 * Since: 0.1
 */
gint64
mp_pool_get_cancel_grace (MpPool *self)
{
  g_return_val_if_fail (MP_IS_POOL (self), 0);

  return mp_pool_get_settings (self)->cancel_grace;
}

/**
 * mp_pool_get_kill_grace: (get-property kill-grace)
 * @self: a pool
 *
 * How long a worker has to end after `SIGTERM`. See [property@Mp.Pool:kill-grace].
 *
 * Returns: microseconds; -1 for as long as it wants
 *
 * Since: 0.1
 */
gint64
mp_pool_get_kill_grace (MpPool *self)
{
  g_return_val_if_fail (MP_IS_POOL (self), 0);

  return mp_pool_get_settings (self)->kill_grace;
}

/**
 * mp_pool_get_capture_output: (get-property capture-output)
 * @self: a pool
 *
 * Whether what workers write is told by [signal@Mp.Pool::output].
 *
 * Returns: TRUE if it is
 *
 * Since: 0.1
 */
gboolean
mp_pool_get_capture_output (MpPool *self)
{
  g_return_val_if_fail (MP_IS_POOL (self), FALSE);

  return mp_pool_get_settings (self)->capture_output;
}

/**
 * mp_pool_get_worker_data: (get-property worker-data)
 * @self: a pool
 *
 * What each worker gets at its start. See [property@Mp.Pool:worker-data].
 *
 * Returns: (transfer none) (nullable): the bytes
 *
 * Since: 0.1
 */
GBytes *
mp_pool_get_worker_data (MpPool *self)
{
  g_return_val_if_fail (MP_IS_POOL (self), NULL);

  return mp_pool_get_settings (self)->worker_data;
}

/**
 * mp_pool_get_worker_fd_list: (get-property worker-fd-list)
 * @self: a pool
 *
 * The descriptors that each worker gets at its start. See [property@Mp.Pool:worker-fd-list].
 *
 * Returns: (transfer none) (nullable): the list
 *
 * Since: 0.1
 */
GUnixFDList *
mp_pool_get_worker_fd_list (MpPool *self)
{
  g_return_val_if_fail (MP_IS_POOL (self), NULL);

  return mp_pool_get_settings (self)->worker_fd_list;
}
