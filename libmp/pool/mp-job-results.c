/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-job.h"

#include "../base/mp-clock-private.h"
#include "../base/mp-error.h"
#include "mp-pool-private.h"

/* The results of a job one by one, and its tasks and results as bytes. */

/* The bytes that mp_job_take_packed() lends to the calling thread. */
static GPrivate packed_key = G_PRIVATE_INIT ((GDestroyNotify) g_byte_array_unref);

/* A result, or the end. */
static gboolean
mp_job_can_take (gpointer user_data)
{
  MpJobCore *core = user_data;

  return !core->unfinished || mp_job_core_has_result (core);
}

/* With the lock; when mp_job_can_take(). Neither value nor error is the end. */
static void
mp_job_take (MpJobCore *core, MpJobItem *item)
{
  if (!mp_job_core_take_item (core, item) && core->aborted)
    item->error = g_error_copy (core->error);
}

/**
 * mp_job_next:
 * @self: a job
 * @timeout_us: how long, in microseconds; 0 to only look, -1 for ever
 * @cancellable: (nullable): ends the wait, not the job
 * @error: return location for an error
 *
 * Takes the next result of a map: in the order of the items, or for
 * [method@Mp.Pool.imap_unordered] in the order of completion.
 *
 * An item whose function failed gives its error in its place; the next call goes
 * on behind it. In a map with chunks, a failing item ends its chunk, which gives
 * one error instead of its results. After the last result it returns %NULL
 * without an error; after the last one of a job that was cancelled, or whose pool
 * was terminated or broke, that error.
 *
 * Nothing in time is %MP_ERROR_TIMED_OUT. Timed out or cancelled, nothing was taken. In a child
 * of `fork()`, whose pool is its parent's, it is %MP_ERROR_NOT_OWNER.
 *
 * Returns: (transfer full) (nullable): the result, or %NULL at the end
 *
 * Since: 0.1
 */
GVariant *
mp_job_next (MpJob *self, gint64 timeout_us, GCancellable *cancellable, GError **error)
{
  MpJobCore *core;
  MpJobItem item = { NULL, NULL };
  gint64 deadline;
  MpSleepResult result;

  g_return_val_if_fail (MP_IS_JOB (self) && mp_job_get_core (self) != NULL, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  core = mp_job_get_core (self);
  if (!mp_pool_core_check_ours (core->pool, error))
    return NULL;

  deadline = mp_deadline_new (timeout_us);
  mp_pool_core_lock (core->pool);
  mp_job_core_wait_for_next (core);
  mp_pool_core_unlock (core->pool);
  do
    result = mp_sleep_word_sleep (&core->result_word,
                                  &core->pool->lock,
                                  mp_job_can_take,
                                  core,
                                  deadline,
                                  cancellable);
  while (result == MP_SLEEP_INTERRUPTED);
  if (result != MP_SLEEP_READY)
    {
      mp_sleep_set_error (error, result, cancellable, "No result came");
      return NULL;
    }
  mp_job_take (core, &item);
  mp_pool_core_unlock (core->pool);
  if (item.error != NULL)
    g_propagate_error (error, item.error);
  return item.value;
}

/* A result on its way to mp_job_next_finish(): goes back if nobody fetches it. */
typedef struct
{
  MpJobCore *core;
  MpJobItem item;
} MpJobParcel;

static void
mp_job_parcel_free (gpointer data)
{
  MpJobParcel *self = data;

  if (self->item.value != NULL || (self->item.error != NULL && !self->core->aborted))
    {
      MpJobItem *item = g_new (MpJobItem, 1);

      *item = self->item;
      mp_pool_core_lock (self->core->pool);
      g_queue_push_head (&self->core->returned, item);
      if (mp_sleep_word_bump (&self->core->result_word))
        mp_pool_core_touch (self->core->pool, self->core);
      mp_waiter_move_all (&self->core->result_waiters, &self->core->pool->ready);
      mp_pool_core_unlock (self->core->pool);
    }
  else
    mp_job_item_clear (&self->item);
  mp_job_core_unref (self->core);
  g_free (self);
}

static void mp_job_enqueue_next (MpJob *self, GTask *task);

static void
mp_job_next_ready (GTask *task)
{
  MpJob *self = g_task_get_source_object (task);
  MpJobCore *core = mp_job_get_core (self);
  MpJobParcel *parcel = NULL;

  if (g_task_return_error_if_cancelled (task))
    return;
  mp_pool_core_lock (core->pool);
  if (mp_job_can_take (core))
    {
      parcel = g_new0 (MpJobParcel, 1);
      parcel->core = mp_job_core_ref (core);
      mp_job_take (core, &parcel->item);
    }
  mp_pool_core_unlock (core->pool);

  if (parcel != NULL)
    g_task_return_pointer (task, parcel, mp_job_parcel_free);
  else
    /* Another one was faster. */
    mp_job_enqueue_next (self, g_object_ref (task));
}

/* Takes over @task. */
static void
mp_job_enqueue_next (MpJob *self, GTask *task)
{
  MpJobCore *core = mp_job_get_core (self);
  MpWaiter *waiter = mp_waiter_new (task, mp_job_next_ready);

  mp_pool_core_lock (core->pool);
  mp_job_core_wait_for_next (core);
  mp_waiter_enqueue (waiter, &core->pool->lock, &core->result_waiters);
  if (mp_job_can_take (core))
    mp_waiter_move_all (&core->result_waiters, &core->pool->ready);
  mp_pool_core_unlock (core->pool);
}

/**
 * mp_job_next_async:
 * @self: a job
 * @cancellable: (nullable): ends the wait, not the job
 * @callback: (scope async): called when there is a result, or the end
 * @user_data: passed to @callback
 *
 * Takes the next result without blocking, see [method@Mp.Job.next]. A result
 * that is not fetched with [method@Mp.Job.next_finish] goes back to the job.
 *
 * Since: 0.1
 */
void
mp_job_next_async (MpJob *self,
                   GCancellable *cancellable,
                   GAsyncReadyCallback callback,
                   gpointer user_data)
{
  g_autoptr (GTask) task = NULL;

  g_return_if_fail (MP_IS_JOB (self) && mp_job_get_core (self) != NULL);

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, mp_job_next_async);
  g_task_set_check_cancellable (task, FALSE);
  mp_job_enqueue_next (self, g_steal_pointer (&task));
}

/**
 * mp_job_next_finish:
 * @self: a job
 * @result: what the callback got
 * @error: return location for an error
 *
 * Finishes [method@Mp.Job.next_async].
 *
 * Returns: (transfer full) (nullable): the result, or %NULL without an error
 *   at the end
 *
 * Since: 0.1
 */
GVariant *
mp_job_next_finish (MpJob *self, GAsyncResult *result, GError **error)
{
  MpJobParcel *parcel;
  MpJobItem item;

  g_return_val_if_fail (g_task_is_valid (result, self), NULL);

  parcel = g_task_propagate_pointer (G_TASK (result), error);
  if (parcel == NULL)
    return NULL;
  item = parcel->item;
  parcel->item.value = NULL;
  parcel->item.error = NULL;
  mp_job_parcel_free (parcel);
  if (item.error != NULL)
    g_propagate_error (error, item.error);
  return item.value;
}

/**
 * mp_job_push_packed:
 * @self: a job that was submitted with `more`
 * @data: (array length=length) (element-type guint8): the tasks, back to back
 * @length: how many bytes
 * @lengths: (array length=n_lengths) (element-type guint8): the length of each
 *   task as a 32-bit number in native byte order
 * @n_lengths: how many bytes @lengths has: four for each task
 * @error: return location for an error
 *
 * Adds tasks to a job whose input has not ended, see
 * [method@Mp.Pool.submit_packed]. Never blocks. For bindings.
 *
 * A job that is finished, because it was cancelled or its pool was terminated,
 * takes nothing: %MP_ERROR_CLOSED. Neither does one in a child of `fork()`, whose
 * pool is its parent's: %MP_ERROR_NOT_OWNER.
 *
 * Returns: %TRUE if they were added
 *
 * Since: 0.1
 */
gboolean
mp_job_push_packed (MpJob *self,
                    const guint8 *data,
                    gsize length,
                    const guint8 *lengths,
                    gsize n_lengths,
                    GError **error)
{
  MpJobCore *core;
  g_autoptr (MpBatch) batch = NULL;
  gboolean open;

  g_return_val_if_fail (MP_IS_JOB (self) && mp_job_get_core (self) != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  core = mp_job_get_core (self);
  if (!mp_pool_core_check_ours (core->pool, error))
    return FALSE;

  batch = mp_batch_new_packed (data, length, lengths, n_lengths, core->codec, error);
  if (batch == NULL)
    return FALSE;
  mp_pool_core_lock (core->pool);
  open = core->more && core->n_tasks + mp_batch_get_n_tasks (batch) <= G_MAXUINT32;
  if (open)
    {
      mp_job_core_add_batch (core, g_steal_pointer (&batch));
      mp_pool_core_preempt (core->pool, core);
      mp_pool_core_feed (core->pool);
    }
  mp_pool_core_unlock (core->pool);
  if (!open)
    g_set_error_literal (error, MP_ERROR, MP_ERROR_CLOSED, "The job takes no more tasks");
  return open;
}

/**
 * mp_job_end_input:
 * @self: a job that was submitted with `more`
 *
 * No more tasks will be pushed: the job is finished when those it has are done.
 * For bindings.
 *
 * Since: 0.1
 */
void
mp_job_end_input (MpJob *self)
{
  MpJobCore *core;
  g_return_if_fail (MP_IS_JOB (self) && mp_job_get_core (self) != NULL);
  core = mp_job_get_core (self);

  mp_pool_core_lock (core->pool);
  core->more = FALSE;
  mp_job_core_maybe_finish (core);
  mp_pool_core_unlock (core->pool);
}

/**
 * mp_job_take_packed:
 * @self: a job
 * @max_results: how many at most; 0 for any number
 * @length: (out): how many bytes
 *
 * Takes results as bytes, without waiting. For bindings. Of many long results it takes some
 * MiB at a time: all were taken when it gives nothing.
 *
 * In native byte order: a 32-bit count n; n times four 32-bit numbers, the index
 * of the task in the job, 0 for a result, 1 for an error or 2 for a long result, the
 * [enum@Mp.Codec] of the payload and its length in bytes; then the payloads back to back. A long
 * result has none here: it is in the buffer that [method@Mp.Job.take_buffer] gives. In
 * order of index if the job is ordered, up to the first that is not there yet;
 * else in order of completion. The payload of an error is a variant of type
 * `(sisa{sv})`: domain, code, message, and details, of which `traceback` (`s`) and
 * `exception` (`ay`) are known.
 *
 * A job that was cancelled, or whose pool was terminated or broke, has no
 * results for the tasks that were not done: [method@Mp.Job.get_result] says why.
 * Do not mix with [method@Mp.Job.next].
 *
 * Returns: (transfer none) (array length=length) (element-type guint8): the
 *   results; empty if there are none now. They belong to the calling thread
 *   until its next call, on whatever job
 *
 * Since: 0.1
 */
const guint8 *
mp_job_take_packed (MpJob *self, guint max_results, gsize *length)
{
  MpJobCore *core;
  GByteArray *bytes = g_private_get (&packed_key);

  g_return_val_if_fail (MP_IS_JOB (self) && mp_job_get_core (self) != NULL, NULL);
  g_return_val_if_fail (length != NULL, NULL);

  core = mp_job_get_core (self);

  /* A big one is not kept. */
  if (bytes == NULL || bytes->len > 1024 * 1024)
    {
      bytes = g_byte_array_new ();
      g_private_replace (&packed_key, bytes);
    }
  g_byte_array_set_size (bytes, 0);
  mp_pool_core_lock (core->pool);
  core->taken = TRUE;
  mp_job_core_count_taken (core, mp_results_pack (&core->results, max_results, bytes));
  mp_pool_core_unlock (core->pool);
  *length = bytes->len;
  return bytes->data;
}

/**
 * mp_job_wait_result:
 * @self: a job
 * @timeout_us: how long, in microseconds; 0 to only look, -1 for ever
 *
 * Waits until [method@Mp.Job.take_packed] would give something, or the job is
 * finished, or a signal handler ran in this thread. For bindings.
 *
 * Returns: %TRUE if there is a result or the job is finished; %FALSE if the
 *   time is over or a signal handler ran
 *
 * Since: 0.1
 */
gboolean
mp_job_wait_result (MpJob *self, gint64 timeout_us)
{
  MpJobCore *core;
  g_return_val_if_fail (MP_IS_JOB (self) && mp_job_get_core (self) != NULL, FALSE);
  core = mp_job_get_core (self);

  mp_pool_core_lock (core->pool);
  mp_job_core_wait_for_next (core);
  mp_pool_core_unlock (core->pool);
  return mp_job_wait_once (self, &core->result_word, mp_job_can_take, timeout_us);
}
