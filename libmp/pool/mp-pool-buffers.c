/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Long tasks and results, which are made and read where they lie: in blocks of the rings.
 *
 * What a task is applied to stays with the pool, which may have to withdraw the task, until the
 * worker begins: that takes it over, and has it for itself. If there may be another attempt,
 * the worker gets a copy. A result goes through the ring, and belongs to whoever takes it. */

#include "mp-job.h"

#include "../base/mp-error.h"
#include "mp-pool-private.h"

/* NULL once the pool has ended. */
static MpRing *
mp_job_ref_tasks (MpJob *self)
{
  MpPoolCore *core = mp_job_get_core (self)->pool;
  MpRing *ring = NULL;

  mp_pool_core_lock (core);
  if (core->tasks != NULL)
    ring = mp_ring_ref (core->tasks);
  mp_pool_core_unlock (core);
  return ring;
}

/**
 * mp_job_loan:
 * @self: a job that was submitted with `more`
 * @length: how many bytes the task will have
 * @error: return location for an error
 *
 * Memory for what a task is applied to, to be filled and then given to this job, or another one
 * of its pool, with [method@Mp.Job.push_buffer], without a copy. What is in it at first is
 * undefined. For bindings.
 *
 * Returns: (transfer full) (nullable): a buffer, or %NULL with @error set:
 *   %MP_ERROR_LIMIT if there is no memory
 *
 * Since: 0.1
 */
MpBuffer *
mp_job_loan (MpJob *self, gsize length, GError **error)
{
  g_autoptr (MpRing) ring = NULL;

  g_return_val_if_fail (MP_IS_JOB (self) && mp_job_get_core (self) != NULL, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  if (!mp_pool_core_check_ours (mp_job_get_core (self)->pool, error))
    return NULL;
  ring = mp_job_ref_tasks (self);
  return mp_buffer_new_loan (ring, length, error);
}

/**
 * mp_job_push_buffer:
 * @self: a job that was submitted with `more`
 * @buffer: a filled buffer of [method@Mp.Job.loan]; once pushed, it must not be used any more
 * @codec: what its bytes are
 * @error: return location for an error
 *
 * Adds a task to a job without copying what it is applied to, see [method@Mp.Job.push_packed].
 * Never blocks. For bindings.
 *
 * Any other buffer is copied when the task is given to a worker, and so is each attempt but the
 * last, if there may be several.
 *
 * Returns: %TRUE if it was added; if not, the buffer is as it was, and @error is set as by
 *   [method@Mp.Job.push_packed], or to %MP_ERROR_INVALID_ARGUMENT if @buffer was given
 *   away already
 *
 * Since: 0.1
 */
gboolean
mp_job_push_buffer (MpJob *self, MpBuffer *buffer, MpCodec codec, GError **error)
{
  MpJobCore *core;
  MpPoolCore *pool;
  MpBatch *batch = NULL;

  g_return_val_if_fail (MP_IS_JOB (self) && mp_job_get_core (self) != NULL, FALSE);
  g_return_val_if_fail (buffer != NULL && codec <= MP_CODEC_LAST, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  core = mp_job_get_core (self);
  pool = core->pool;
  if (!mp_pool_core_check_ours (pool, error))
    return FALSE;
  mp_pool_core_lock (pool);
  if (core->more && core->n_tasks < G_MAXUINT32)
    batch = mp_batch_new_buffer (buffer, pool->tasks, codec, core->max_attempts > 1, error);
  else
    g_set_error_literal (error, MP_ERROR, MP_ERROR_CLOSED, "The job takes no more tasks");
  if (batch != NULL)
    {
      mp_job_core_add_batch (core, batch);
      mp_pool_core_preempt (pool, core);
      mp_pool_core_feed (pool);
    }
  mp_pool_core_unlock (pool);
  return batch != NULL;
}

/**
 * mp_job_push_vectors: (skip)
 * @self: a job that was submitted with `more`
 * @vectors: (array length=n_vectors): where the parts of the task are
 * @n_vectors: how many parts it has
 * @codec: what they are together
 * @error: return location for an error
 *
 * Adds a task that is gathered from several places, with one copy, see
 * [method@Mp.Job.push_buffer].
 *
 * Returns: %TRUE if it was added; if not, @error is set as by [method@Mp.Job.push_packed], or
 *   to %MP_ERROR_LIMIT if there is no memory
 *
 * Since: 0.1
 */
gboolean
mp_job_push_vectors (MpJob *self,
                     const GOutputVector *vectors,
                     gsize n_vectors,
                     MpCodec codec,
                     GError **error)
{
  g_autoptr (MpRing) ring = NULL;
  g_autoptr (MpBuffer) buffer = NULL;

  g_return_val_if_fail (MP_IS_JOB (self) && mp_job_get_core (self) != NULL, FALSE);
  g_return_val_if_fail (vectors != NULL || n_vectors == 0, FALSE);
  g_return_val_if_fail (n_vectors <= G_MAXUINT && codec <= MP_CODEC_LAST, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!mp_pool_core_check_ours (mp_job_get_core (self)->pool, error))
    return FALSE;
  ring = mp_job_ref_tasks (self);
  buffer = mp_buffer_new_filled (ring, vectors, n_vectors, error);
  return buffer != NULL && mp_job_push_buffer (self, buffer, codec, error);
}

/**
 * mp_job_take_buffer:
 * @self: a job
 * @index: the index of a task whose long result is among those that
 *   [method@Mp.Job.take_packed] gave
 *
 * Takes a long result where it is. It is this process's alone, can be written, and stays as long
 * as the buffer does. For bindings.
 *
 * Returns: (transfer full) (nullable): the result; %NULL if there is no such one, or
 *   it was taken already
 *
 * Since: 0.1
 */
MpBuffer *
mp_job_take_buffer (MpJob *self, guint index)
{
  MpJobCore *core;
  MpBuffer *buffer;

  g_return_val_if_fail (MP_IS_JOB (self) && mp_job_get_core (self) != NULL, NULL);

  core = mp_job_get_core (self);
  mp_pool_core_lock (core->pool);
  buffer = mp_results_take_buffer (&core->results, index);
  mp_pool_core_unlock (core->pool);
  return buffer;
}
