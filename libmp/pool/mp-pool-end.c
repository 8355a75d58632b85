/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-pool.h"

#include "../base/mp-clock-private.h"
#include "../base/mp-error.h"
#include "mp-pool-private.h"

/* How a pool ends, and how its end and that of its jobs are waited for. */

/**
 * mp_pool_close:
 * @self: a pool
 *
 * Takes no more jobs. The workers leave when all is done, see
 * [method@Mp.Pool.join]. To close a closed pool does nothing.
 *
 * Since: 0.1
 */
void
mp_pool_close (MpPool *self)
{
  MpPoolCore *core;
  g_return_if_fail (MP_IS_POOL (self) && mp_pool_get_core (self) != NULL);
  core = mp_pool_get_core (self);
  if (!mp_pool_core_is_ours (core))
    return;

  mp_pool_core_lock (core);
  mp_pool_core_close (core);
  mp_pool_core_unlock (core);
}

/**
 * mp_pool_terminate:
 * @self: a pool
 *
 * Ends the pool now: every job that is not finished is cancelled, and the
 * workers get `SIGTERM`; those that are still there after
 * [property@Mp.Pool:kill-grace] are killed. Does not wait for them, see
 * [method@Mp.Pool.join].
 *
 * Since: 0.1
 */
void
mp_pool_terminate (MpPool *self)
{
  MpPoolCore *core;
  g_return_if_fail (MP_IS_POOL (self) && mp_pool_get_core (self) != NULL);
  core = mp_pool_get_core (self);
  if (!mp_pool_core_is_ours (core))
    return;

  mp_pool_core_lock (core);
  mp_pool_core_terminate (core);
  mp_pool_core_unlock (core);
}

/**
 * mp_pool_kill:
 * @self: a pool
 *
 * Ends the pool as [method@Mp.Pool.terminate] does, but the workers get
 * `SIGKILL` at once.
 *
 * Since: 0.1
 */
void
mp_pool_kill (MpPool *self)
{
  MpPoolCore *core;
  g_return_if_fail (MP_IS_POOL (self) && mp_pool_get_core (self) != NULL);
  core = mp_pool_get_core (self);
  if (!mp_pool_core_is_ours (core))
    return;

  mp_pool_core_lock (core);
  /* First, or a handler of SIGTERM might begin. */
  mp_pool_core_kill_workers (core);
  mp_pool_core_terminate (core);
  mp_pool_core_unlock (core);
}

static gboolean
mp_pool_has_ended (gpointer user_data)
{
  return ((MpPoolCore *) user_data)->ended;
}

static gboolean
mp_pool_check_join (MpPool *self, GError **error)
{
  if (!mp_pool_core_check_ours (mp_pool_get_core (self), error))
    return FALSE;
  if (mp_pool_get_closed (self))
    return TRUE;
  g_set_error_literal (error,
                       MP_ERROR,
                       MP_ERROR_BUSY,
                       "The pool still takes jobs: close or terminate it first");
  return FALSE;
}

/**
 * mp_pool_join:
 * @self: a pool that was closed or terminated
 * @timeout_us: how long, in microseconds; 0 to only look, -1 for ever
 * @cancellable: (nullable): ends the wait
 * @error: return location for an error
 *
 * Waits until the pool's work is done and its workers are gone.
 *
 * Of a pool that still takes jobs it is %MP_ERROR_BUSY, and when it does not
 * end in time, %MP_ERROR_TIMED_OUT. In a process that the program forked it is
 * %MP_ERROR_NOT_OWNER.
 *
 * Returns: %TRUE if the pool has ended
 *
 * Since: 0.1
 */
gboolean
mp_pool_join (MpPool *self, gint64 timeout_us, GCancellable *cancellable, GError **error)
{
  MpPoolCore *core;
  gint64 deadline;
  MpSleepResult result;

  g_return_val_if_fail (MP_IS_POOL (self) && mp_pool_get_core (self) != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  core = mp_pool_get_core (self);

  if (!mp_pool_check_join (self, error))
    return FALSE;
  deadline = mp_deadline_new (timeout_us);
  do
    result = mp_sleep_word_sleep (&core->ended_word,
                                  &core->lock,
                                  mp_pool_has_ended,
                                  core,
                                  deadline,
                                  cancellable);
  while (result == MP_SLEEP_INTERRUPTED);
  if (result != MP_SLEEP_READY)
    return mp_sleep_set_error (error, result, cancellable, "The pool did not end");
  mp_pool_core_unlock (core);
  return TRUE;
}

static void
mp_pool_joined (GTask *task)
{
  g_task_return_boolean (task, TRUE);
}

/**
 * mp_pool_join_async:
 * @self: a pool that was closed or terminated
 * @cancellable: (nullable): ends the wait
 * @callback: (scope async): called when the pool has ended
 * @user_data: passed to @callback
 *
 * Waits without blocking, see [method@Mp.Pool.join].
 *
 * Since: 0.1
 */
void
mp_pool_join_async (MpPool *self,
                    GCancellable *cancellable,
                    GAsyncReadyCallback callback,
                    gpointer user_data)
{
  MpPoolCore *core;
  g_autoptr (GTask) task = NULL;
  g_autoptr (GError) error = NULL;
  MpWaiter *waiter;

  g_return_if_fail (MP_IS_POOL (self) && mp_pool_get_core (self) != NULL);
  core = mp_pool_get_core (self);

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, mp_pool_join_async);
  if (g_task_return_error_if_cancelled (task))
    return;
  if (!mp_pool_check_join (self, &error))
    {
      g_task_return_error (task, g_steal_pointer (&error));
      return;
    }
  waiter = mp_waiter_new (g_steal_pointer (&task), mp_pool_joined);
  mp_pool_core_lock (core);
  mp_waiter_enqueue (waiter, &core->lock, &core->ended_waiters);
  if (core->ended)
    mp_waiter_move_all (&core->ended_waiters, &core->ready);
  mp_pool_core_unlock (core);
}

/**
 * mp_pool_join_finish:
 * @self: a pool
 * @result: what the callback got
 * @error: return location for an error
 *
 * Finishes [method@Mp.Pool.join_async].
 *
 * Returns: %TRUE if the pool has ended
 *
 * Since: 0.1
 */
gboolean
mp_pool_join_finish (MpPool *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

/**
 * mp_pool_wait_ready:
 * @self: a pool
 * @timeout_us: how long, in microseconds; 0 to only look, -1 for ever
 *
 * Waits until the pool has ended, or a signal handler ran in this thread: for
 * bindings, whose languages run their handlers between two calls.
 *
 * Returns: %TRUE if the pool has ended; %FALSE if the time is over or a signal
 *   handler ran
 *
 * Since: 0.1
 */
gboolean
mp_pool_wait_ready (MpPool *self, gint64 timeout_us)
{
  MpPoolCore *core;
  g_return_val_if_fail (MP_IS_POOL (self) && mp_pool_get_core (self) != NULL, FALSE);
  core = mp_pool_get_core (self);

  if (mp_sleep_word_sleep (&core->ended_word,
                           &core->lock,
                           mp_pool_has_ended,
                           core,
                           mp_deadline_new (timeout_us),
                           NULL) != MP_SLEEP_READY)
    return FALSE;
  mp_pool_core_unlock (core);
  return TRUE;
}

static gboolean
mp_pool_has_finished (gpointer user_data)
{
  MpPoolCore *core = user_data;

  return core->ended || !g_queue_is_empty (&core->finished);
}

/**
 * mp_pool_take_finished:
 * @self: a pool
 * @timeout_us: how long to wait, in microseconds; 0 to only look, -1 for ever
 *
 * The next job that is finished and has [method@Mp.Job.set_notify] on, in the
 * order in which they finished. Each is handed out once.
 *
 * For bindings that learn of finished jobs without a main loop: a thread of
 * theirs calls this again and again.
 *
 * Returns: (transfer full) (nullable): a finished job; %NULL if the time is
 *   over, or a signal handler ran in this thread, or the pool has ended and
 *   no job is left
 *
 * Since: 0.1
 */
MpJob *
mp_pool_take_finished (MpPool *self, gint64 timeout_us)
{
  MpPoolCore *core;
  GList *link;
  MpJob *job = NULL;

  g_return_val_if_fail (MP_IS_POOL (self) && mp_pool_get_core (self) != NULL, NULL);
  core = mp_pool_get_core (self);

  if (mp_sleep_word_sleep (&core->finished_word,
                           &core->lock,
                           mp_pool_has_finished,
                           core,
                           mp_deadline_new (timeout_us),
                           NULL) != MP_SLEEP_READY)
    return NULL;
  link = g_queue_pop_head_link (&core->finished);
  if (link != NULL)
    job = g_steal_pointer (&((MpJobCore *) link->data)->kept);
  mp_pool_core_unlock (core);
  return job;
}
