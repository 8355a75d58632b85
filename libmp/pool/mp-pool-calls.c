/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-pool.h"

#include "../base/mp-error.h"
#include "mp-pool-private.h"

#include <string.h>

/* What a pool is asked to do. */

typedef struct
{
  const guint8 *function;
  gsize function_length;
  MpTaskFlags flags;
  MpCodec codec;
  gboolean ordered;
  gboolean more;
  gboolean single;
  gboolean iterated;
  const MpJobOptions *options;
} MpPoolCall;

#define MP_POOL_READ_AHEAD 1024

static gboolean
mp_pool_call_check_options (MpPoolCore *core, const MpJobOptions *options, GError **error)
{
  const MpJobOptionsValues *values = mp_job_options_get_values (options);

  for (guint i = 0; values->after != NULL && i < values->after->len; i++)
    {
      MpJobCore *job = mp_job_get_core (g_ptr_array_index (values->after, i));

      if (job != NULL && job->pool == core)
        continue;
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_INVALID_ARGUMENT,
                   "options: job %" G_GUINT64_FORMAT ", to come after, is not of this pool",
                   job != NULL ? job->id : 0);
      return FALSE;
    }
  return TRUE;
}

/* With the lock. Takes over @batch. */
static MpJobCore *
mp_pool_call_make_job (MpPoolCore *core, const MpPoolCall *call, MpBatch *batch)
{
  MpJobCore *job = mp_job_core_new (core,
                                    call->function,
                                    call->function_length,
                                    call->flags,
                                    call->ordered,
                                    call->more,
                                    call->options);

  job->codec = call->codec;
  job->single = call->single;
  job->iterated = call->iterated;
  if (call->iterated && job->read_ahead == 0)
    job->read_ahead = MP_POOL_READ_AHEAD;
  mp_job_core_await (job, call->options);
  mp_job_core_add_batch (job, batch);
  mp_job_core_maybe_finish (job);
  mp_pool_core_preempt (core, job);
  mp_pool_core_feed (core);
  return job;
}

/* Takes over @batch, which may be NULL with the error set. */
static MpJobCore *
mp_pool_call_submit (MpPool *self, const MpPoolCall *call, MpBatch *batch, GError **error)
{
  g_autoptr (MpBatch) own = batch;
  MpPoolCore *core = mp_pool_get_core (self);
  MpJobCore *job = NULL;

  if (own == NULL)
    return NULL;
  if (call->function_length > G_MAXINT32)
    {
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_LIMIT,
                   "function: %" G_GSIZE_FORMAT " bytes are too many",
                   call->function_length);
      return NULL;
    }
  if (!mp_pool_core_check_ours (core, error))
    return NULL;

  mp_pool_core_lock (core);
  if (mp_pool_core_check_open (core, error) &&
      mp_pool_call_check_options (core, call->options, error))
    job = mp_pool_call_make_job (core, call, g_steal_pointer (&own));
  mp_pool_core_unlock (core);
  return job;
}

static MpJobCore *
mp_pool_call_single (MpPool *self,
                     const char *function,
                     GVariant *argument,
                     const MpJobOptions *options,
                     GError **error)
{
  const MpPoolCall call = {
    .function = (const guint8 *) function,
    .function_length = strlen (function),
    .codec = MP_CODEC_GVARIANT,
    .ordered = TRUE,
    .single = TRUE,
    .options = options,
  };

  return mp_pool_call_submit (self, &call, mp_batch_new_single (argument), error);
}

/* As in Python's multiprocessing: about four chunks for each worker. */
static guint
mp_pool_choose_chunk_size (MpPool *self, gsize n_items)
{
  gsize n = (gsize) mp_pool_get_n_workers (self) * 4;

  return (guint) MAX (1, (n_items + n - 1) / n);
}

static MpJobCore *
mp_pool_call_map (MpPool *self,
                  const char *function,
                  GVariant *items,
                  guint chunk_size,
                  MpTaskFlags flags,
                  gboolean ordered,
                  gboolean iterated,
                  const MpJobOptions *options,
                  GError **error)
{
  g_autoptr (GVariant) normal = mp_batch_normalize_items (items, error);
  MpPoolCall call = {
    .function = (const guint8 *) function,
    .function_length = strlen (function),
    .codec = MP_CODEC_GVARIANT,
    .flags = flags,
    .ordered = ordered,
    .iterated = iterated,
    .options = options,
  };
  gsize n;

  if (normal == NULL)
    return NULL;
  n = g_variant_n_children (normal);
  if (n > G_MAXUINT32)
    {
      g_set_error (error, MP_ERROR, MP_ERROR_LIMIT, "items: %" G_GSIZE_FORMAT " are too many", n);
      return NULL;
    }
  if (chunk_size == 0)
    chunk_size = mp_pool_choose_chunk_size (self, n);
  if (chunk_size > 1)
    call.flags |= MP_TASK_CHUNK;
  return mp_pool_call_submit (self, &call, mp_batch_new_items (normal, chunk_size), error);
}

static MpJob *
mp_pool_take_job (MpJobCore *core)
{
  return core != NULL ? mp_job_new_for_core (core) : NULL;
}

/* Nobody else can have its result. */
static void
mp_pool_give_up (MpJobCore *job)
{
  g_autoptr (GError) reason =
    g_error_new_literal (G_IO_ERROR, G_IO_ERROR_CANCELLED, "The call was given up");

  mp_pool_core_lock (job->pool);
  mp_job_core_abort (job, MP_JOB_STATE_CANCELLED, reason);
  mp_pool_core_feed (job->pool);
  mp_pool_core_unlock (job->pool);
  mp_job_core_unref (job);
}

/* Takes over @job, which may be NULL with the error set. */
static GVariant *
mp_pool_call_wait (MpJobCore *job, gint64 timeout_us, GCancellable *cancellable, GError **error)
{
  GVariant *result = NULL;

  if (job == NULL)
    return NULL;
  if (mp_job_core_wait (job, timeout_us, cancellable, error))
    {
      mp_pool_core_lock (job->pool);
      result = mp_job_core_get_result (job, error);
      mp_pool_core_unlock (job->pool);
    }
  mp_pool_give_up (job);
  return result;
}

static void
mp_pool_call_finished (GTask *task)
{
  MpJobCore *job = g_task_get_task_data (task);
  g_autoptr (GError) error = NULL;
  GVariant *result;

  mp_pool_core_lock (job->pool);
  result = mp_job_core_get_result (job, &error);
  mp_pool_core_unlock (job->pool);
  if (result != NULL)
    g_task_return_pointer (task, result, (GDestroyNotify) g_variant_unref);
  else
    g_task_return_error (task, g_steal_pointer (&error));
}

/* Takes over @task, and @job, which may be NULL with @error; takes over that too. */
static void
mp_pool_call_begin (GTask *task, MpJobCore *job, GError *error)
{
  g_autoptr (GTask) own = task;
  MpWaiter *waiter;

  if (job == NULL)
    {
      g_task_return_error (own, error);
      return;
    }
  g_task_set_task_data (own, job, (GDestroyNotify) mp_pool_give_up);
  waiter = mp_waiter_new (g_steal_pointer (&own), mp_pool_call_finished);
  mp_pool_core_lock (job->pool);
  mp_waiter_enqueue (waiter, &job->pool->lock, &job->finished_waiters);
  if (!job->unfinished)
    mp_waiter_move_all (&job->finished_waiters, &job->pool->ready);
  mp_pool_core_unlock (job->pool);
}

/**
 * mp_pool_submit:
 * @self: a pool
 * @function: what to run, see the description of the class
 * @argument: (nullable): what it is applied to; consumed if floating
 * @options: (nullable): how urgent the job is, how long it may take, and so on
 * @error: return location for an error
 *
 * Gives the pool one task. Never blocks, however much waits already.
 *
 * A closed pool is %MP_ERROR_CLOSED, and a broken one %MP_ERROR_FAILED.
 *
 * Returns: (transfer full): the job
 *
 * Since: 0.1
 */
MpJob *
mp_pool_submit (MpPool *self,
                const char *function,
                GVariant *argument,
                MpJobOptions *options,
                GError **error)
{
  g_return_val_if_fail (MP_IS_POOL (self) && mp_pool_get_core (self) != NULL, NULL);
  g_return_val_if_fail (function != NULL, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return mp_pool_take_job (mp_pool_call_single (self, function, argument, options, error));
}

/**
 * mp_pool_submit_map:
 * @self: a pool
 * @function: what to run, see the description of the class
 * @items: an array, of type `av` or any other; consumed if floating
 * @chunk_size: how many items make a task; 0 to choose, about four tasks for
 *   each worker
 * @options: (nullable): how urgent the job is, how long it may take, and so on
 * @error: return location for an error
 *
 * Gives the pool a task for each item, or for every @chunk_size of them. Never
 * blocks. See [method@Mp.Pool.map].
 *
 * Returns: (transfer full): the job
 *
 * Since: 0.1
 */
MpJob *
mp_pool_submit_map (MpPool *self,
                    const char *function,
                    GVariant *items,
                    guint chunk_size,
                    MpJobOptions *options,
                    GError **error)
{
  g_return_val_if_fail (MP_IS_POOL (self) && mp_pool_get_core (self) != NULL, NULL);
  g_return_val_if_fail (function != NULL && items != NULL, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return mp_pool_take_job (mp_pool_call_map (self,
                                             function,
                                             items,
                                             chunk_size,
                                             MP_TASK_NONE,
                                             TRUE,
                                             FALSE,
                                             options,
                                             error));
}

/**
 * mp_pool_submit_starmap:
 * @self: a pool
 * @function: what to run, see the description of the class
 * @items: an array of tuples, or of `(ava{sv})`: arguments by position and by name
 * @chunk_size: how many items make a task; 0 to choose
 * @options: (nullable): how urgent the job is, how long it may take, and so on
 * @error: return location for an error
 *
 * As [method@Mp.Pool.submit_map], but the function gets what is in each item as
 * its arguments, where the language of the worker can do that. A function in C
 * gets the item itself.
 *
 * Returns: (transfer full): the job
 *
 * Since: 0.1
 */
MpJob *
mp_pool_submit_starmap (MpPool *self,
                        const char *function,
                        GVariant *items,
                        guint chunk_size,
                        MpJobOptions *options,
                        GError **error)
{
  g_return_val_if_fail (MP_IS_POOL (self) && mp_pool_get_core (self) != NULL, NULL);
  g_return_val_if_fail (function != NULL && items != NULL, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return mp_pool_take_job (mp_pool_call_map (self,
                                             function,
                                             items,
                                             chunk_size,
                                             MP_TASK_STAR,
                                             TRUE,
                                             FALSE,
                                             options,
                                             error));
}

/**
 * mp_pool_submit_packed:
 * @self: a pool
 * @function: (array length=function_length) (element-type guint8): what the
 *   worker gets as the function, whatever it makes of it
 * @function_length: how many bytes
 * @data: (array length=length) (element-type guint8): the tasks, back to back
 * @length: how many bytes
 * @lengths: (array length=n_lengths) (element-type guint8): the length of each
 *   task as a 32-bit number in native byte order
 * @n_lengths: how many bytes @lengths has: four for each task
 * @codec: what the tasks are
 * @ordered: whether results are taken in the order of the tasks
 * @more: whether tasks follow, with [method@Mp.Job.push_packed], until
 *   [method@Mp.Job.end_input]
 * @options: (nullable): how urgent the job is, how long it may take, and so on
 * @error: return location for an error
 *
 * Gives the pool many tasks at once, as bytes. Never blocks. For bindings; the
 * results are best taken with [method@Mp.Job.take_packed].
 *
 * Returns: (transfer full): the job
 *
 * Since: 0.1
 */
MpJob *
mp_pool_submit_packed (MpPool *self,
                       const guint8 *function,
                       gsize function_length,
                       const guint8 *data,
                       gsize length,
                       const guint8 *lengths,
                       gsize n_lengths,
                       MpCodec codec,
                       gboolean ordered,
                       gboolean more,
                       MpJobOptions *options,
                       GError **error)
{
  const MpPoolCall call = {
    .function = function,
    .function_length = function_length,
    .codec = codec,
    .ordered = ordered,
    .more = more,
    .options = options,
  };

  g_return_val_if_fail (MP_IS_POOL (self) && mp_pool_get_core (self) != NULL, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return mp_pool_take_job (
    mp_pool_call_submit (self,
                         &call,
                         mp_batch_new_packed (data, length, lengths, n_lengths, codec, error),
                         error));
}

/**
 * mp_pool_apply:
 * @self: a pool
 * @function: what to run, see the description of the class
 * @argument: (nullable): what it is applied to; consumed if floating
 * @timeout_us: how long to wait, in microseconds; -1 for ever
 * @cancellable: (nullable): gives the call up
 * @error: return location for an error
 *
 * Runs a function in a worker and waits for what it returns.
 *
 * If it takes longer than @timeout_us, it is %MP_ERROR_TIMED_OUT; then, and when
 * @cancellable is cancelled, the task is given up as by [method@Mp.Job.cancel].
 * Other errors are those of [method@Mp.Job.get_result] and
 * [method@Mp.Pool.submit].
 *
 * A call with options, such as a priority or attempts, is [method@Mp.Pool.submit], then
 * [method@Mp.Job.wait] and [method@Mp.Job.get_result].
 *
 * Returns: (transfer full): the result
 *
 * Since: 0.1
 */
GVariant *
mp_pool_apply (MpPool *self,
               const char *function,
               GVariant *argument,
               gint64 timeout_us,
               GCancellable *cancellable,
               GError **error)
{
  g_return_val_if_fail (MP_IS_POOL (self) && mp_pool_get_core (self) != NULL, NULL);
  g_return_val_if_fail (function != NULL, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return mp_pool_call_wait (mp_pool_call_single (self, function, argument, NULL, error),
                            timeout_us,
                            cancellable,
                            error);
}

/**
 * mp_pool_apply_async:
 * @self: a pool
 * @function: what to run, see the description of the class
 * @argument: (nullable): what it is applied to; consumed if floating
 * @cancellable: (nullable): gives the call up
 * @callback: (scope async): called when it is done
 * @user_data: passed to @callback
 *
 * Runs a function in a worker without blocking, see [method@Mp.Pool.apply].
 *
 * Since: 0.1
 */
void
mp_pool_apply_async (MpPool *self,
                     const char *function,
                     GVariant *argument,
                     GCancellable *cancellable,
                     GAsyncReadyCallback callback,
                     gpointer user_data)
{
  g_autoptr (GVariant) own = argument != NULL ? g_variant_ref_sink (argument) : NULL;
  g_autoptr (GTask) task = NULL;
  GError *error = NULL;
  MpJobCore *job;

  g_return_if_fail (MP_IS_POOL (self) && mp_pool_get_core (self) != NULL);
  g_return_if_fail (function != NULL);

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, mp_pool_apply_async);
  g_task_set_check_cancellable (task, FALSE);
  if (g_task_return_error_if_cancelled (task))
    return;
  job = mp_pool_call_single (self, function, own, NULL, &error);
  mp_pool_call_begin (g_steal_pointer (&task), job, error);
}

/**
 * mp_pool_apply_finish:
 * @self: a pool
 * @result: what the callback got
 * @error: return location for an error
 *
 * Finishes [method@Mp.Pool.apply_async].
 *
 * Returns: (transfer full): the result
 *
 * Since: 0.1
 */
GVariant *
mp_pool_apply_finish (MpPool *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

/**
 * mp_pool_map:
 * @self: a pool
 * @function: what to run, see the description of the class
 * @items: an array, of type `av` or any other; consumed if floating
 * @chunk_size: how many items make a task; 0 to choose, about four tasks for
 *   each worker
 * @timeout_us: how long to wait, in microseconds; -1 for ever
 * @cancellable: (nullable): gives the call up
 * @error: return location for an error
 *
 * Applies a function to each item of an array, and waits for all the results.
 *
 * If the function fails for some items, the others are done nevertheless (but for
 * those that follow in the same chunk), and then the error that came first is the
 * error of the map. A map of nothing gives an empty array.
 *
 * If it takes longer than @timeout_us, it is %MP_ERROR_TIMED_OUT; then, and when
 * @cancellable is cancelled, the rest is given up as by [method@Mp.Job.cancel].
 *
 * A map with options is [method@Mp.Pool.submit_map], then [method@Mp.Job.wait] and
 * [method@Mp.Job.get_result].
 *
 * Returns: (transfer full): the results in the order of the items, an `av`
 *
 * Since: 0.1
 */
GVariant *
mp_pool_map (MpPool *self,
             const char *function,
             GVariant *items,
             guint chunk_size,
             gint64 timeout_us,
             GCancellable *cancellable,
             GError **error)
{
  g_return_val_if_fail (MP_IS_POOL (self) && mp_pool_get_core (self) != NULL, NULL);
  g_return_val_if_fail (function != NULL && items != NULL, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return mp_pool_call_wait (mp_pool_call_map (self,
                                              function,
                                              items,
                                              chunk_size,
                                              MP_TASK_NONE,
                                              TRUE,
                                              FALSE,
                                              NULL,
                                              error),
                            timeout_us,
                            cancellable,
                            error);
}

/**
 * mp_pool_map_async:
 * @self: a pool
 * @function: what to run, see the description of the class
 * @items: an array, of type `av` or any other; consumed if floating
 * @chunk_size: how many items make a task; 0 to choose
 * @cancellable: (nullable): gives the call up
 * @callback: (scope async): called when all is done
 * @user_data: passed to @callback
 *
 * Applies a function to each item without blocking, see [method@Mp.Pool.map].
 *
 * Since: 0.1
 */
void
mp_pool_map_async (MpPool *self,
                   const char *function,
                   GVariant *items,
                   guint chunk_size,
                   GCancellable *cancellable,
                   GAsyncReadyCallback callback,
                   gpointer user_data)
{
  g_autoptr (GVariant) own = NULL;
  g_autoptr (GTask) task = NULL;
  GError *error = NULL;
  MpJobCore *job;

  g_return_if_fail (MP_IS_POOL (self) && mp_pool_get_core (self) != NULL);
  g_return_if_fail (function != NULL && items != NULL);

  own = g_variant_ref_sink (items);
  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, mp_pool_map_async);
  g_task_set_check_cancellable (task, FALSE);
  if (g_task_return_error_if_cancelled (task))
    return;
  job = mp_pool_call_map (self, function, own, chunk_size, MP_TASK_NONE, TRUE, FALSE, NULL, &error);
  mp_pool_call_begin (g_steal_pointer (&task), job, error);
}

/**
 * mp_pool_map_finish:
 * @self: a pool
 * @result: what the callback got
 * @error: return location for an error
 *
 * Finishes [method@Mp.Pool.map_async].
 *
 * Returns: (transfer full): the results in the order of the items, an `av`
 *
 * Since: 0.1
 */
GVariant *
mp_pool_map_finish (MpPool *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

/**
 * mp_pool_starmap:
 * @self: a pool
 * @function: what to run, see the description of the class
 * @items: an array of tuples, or of `(ava{sv})`: arguments by position and by name
 * @chunk_size: how many items make a task; 0 to choose
 * @timeout_us: how long to wait, in microseconds; -1 for ever
 * @cancellable: (nullable): gives the call up
 * @error: return location for an error
 *
 * As [method@Mp.Pool.map], with the items as [method@Mp.Pool.submit_starmap]
 * takes them.
 *
 * Returns: (transfer full): the results in the order of the items, an `av`
 *
 * Since: 0.1
 */
GVariant *
mp_pool_starmap (MpPool *self,
                 const char *function,
                 GVariant *items,
                 guint chunk_size,
                 gint64 timeout_us,
                 GCancellable *cancellable,
                 GError **error)
{
  g_return_val_if_fail (MP_IS_POOL (self) && mp_pool_get_core (self) != NULL, NULL);
  g_return_val_if_fail (function != NULL && items != NULL, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return mp_pool_call_wait (mp_pool_call_map (self,
                                              function,
                                              items,
                                              chunk_size,
                                              MP_TASK_STAR,
                                              TRUE,
                                              FALSE,
                                              NULL,
                                              error),
                            timeout_us,
                            cancellable,
                            error);
}

/**
 * mp_pool_imap:
 * @self: a pool
 * @function: what to run, see the description of the class
 * @items: an array, of type `av` or any other; consumed if floating
 * @chunk_size: how many items make a task; 0 for one
 * @options: (nullable): how urgent the job is, how long it may take, and so on
 * @error: return location for an error
 *
 * Applies a function to each item. Take the results one by one as they come, in
 * the order of the items, with [method@Mp.Job.next]. Never blocks.
 *
 * Returns: (transfer full): the job
 *
 * Since: 0.1
 */
MpJob *
mp_pool_imap (MpPool *self,
              const char *function,
              GVariant *items,
              guint chunk_size,
              MpJobOptions *options,
              GError **error)
{
  g_return_val_if_fail (MP_IS_POOL (self) && mp_pool_get_core (self) != NULL, NULL);
  g_return_val_if_fail (function != NULL && items != NULL, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return mp_pool_take_job (mp_pool_call_map (self,
                                             function,
                                             items,
                                             MAX (chunk_size, 1),
                                             MP_TASK_NONE,
                                             TRUE,
                                             TRUE,
                                             options,
                                             error));
}

/**
 * mp_pool_imap_unordered:
 * @self: a pool
 * @function: what to run, see the description of the class
 * @items: an array, of type `av` or any other; consumed if floating
 * @chunk_size: how many items make a task; 0 for one
 * @options: (nullable): how urgent the job is, how long it may take, and so on
 * @error: return location for an error
 *
 * As [method@Mp.Pool.imap], but the results are taken in the order in which they
 * come.
 *
 * Returns: (transfer full): the job
 *
 * Since: 0.1
 */
MpJob *
mp_pool_imap_unordered (MpPool *self,
                        const char *function,
                        GVariant *items,
                        guint chunk_size,
                        MpJobOptions *options,
                        GError **error)
{
  g_return_val_if_fail (MP_IS_POOL (self) && mp_pool_get_core (self) != NULL, NULL);
  g_return_val_if_fail (function != NULL && items != NULL, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return mp_pool_take_job (mp_pool_call_map (self,
                                             function,
                                             items,
                                             MAX (chunk_size, 1),
                                             MP_TASK_NONE,
                                             FALSE,
                                             TRUE,
                                             options,
                                             error));
}
