/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-pool-private.h"

#include "../base/mp-clock-private.h"
#include "../base/mp-error.h"
#include "../base/mp-payload-private.h"

#include <string.h>

/* What a job is to its pool. Everything but the reference count is under the
 * pool's lock. */

static guint64
mp_job_core_next_id (void)
{
  static _Atomic uint64_t last;

  return atomic_fetch_add (&last, 1) + 1;
}

/* Called with the lock; the pool has a reference until the job is finished. */
MpJobCore *
mp_job_core_new (MpPoolCore *pool,
                 const guint8 *function,
                 gsize function_length,
                 MpTaskFlags flags,
                 gboolean ordered,
                 gboolean more)
{
  MpJobCore *self = g_new0 (MpJobCore, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->pool = mp_pool_core_ref (pool);
  self->id = mp_job_core_next_id ();
  if (g_utf8_validate ((const char *) function, (gssize) function_length, NULL))
    self->name = g_strndup ((const char *) function, function_length);
  self->function = g_malloc0 (MP_FRAMING_ALIGN (function_length) + 1);
  memcpy (self->function, function, function_length);
  self->function_length = (guint32) function_length;
  self->flags = flags;
  self->more = more;
  self->wanted = TRUE;
  mp_results_init (&self->results, ordered);
  g_weak_ref_init (&self->object, NULL);
  self->jobs_link.data = self;
  self->feed_link.data = self;
  self->finished_link.data = self;

  self->unfinished = TRUE;
  g_queue_push_tail_link (&pool->jobs, &self->jobs_link);
  return mp_job_core_ref (self);
}

MpJobCore *
mp_job_core_ref (MpJobCore *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
mp_job_item_clear (MpJobItem *item)
{
  g_clear_pointer (&item->value, g_variant_unref);
  g_clear_error (&item->error);
}

static void
mp_job_item_free (gpointer data)
{
  mp_job_item_clear (data);
  g_free (data);
}

void
mp_job_core_unref (MpJobCore *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  g_assert_true (!self->unfinished && self->kept == NULL);
  g_queue_clear_full (&self->returned, mp_job_item_free);
  mp_results_clear (&self->results);
  g_clear_pointer (&self->chunk, g_variant_unref);
  g_clear_pointer (&self->function, g_free);
  g_clear_pointer (&self->name, g_free);
  g_clear_pointer (&self->traceback, g_free);
  g_clear_error (&self->error);
  g_weak_ref_clear (&self->object);
  g_clear_pointer (&self->pool, mp_pool_core_unref);
  g_free (self);
}

/* Takes over @batch. */
void
mp_job_core_add_batch (MpJobCore *self, MpBatch *batch)
{
  guint n_tasks = mp_batch_get_n_tasks (batch);

  if (n_tasks == 0)
    {
      mp_batch_unref (batch);
      return;
    }
  mp_batch_set_first (batch, self->n_tasks);
  self->n_tasks += n_tasks;
  self->n_items += mp_batch_get_n_items (batch);
  self->pool->n_unfed += n_tasks;
  g_queue_push_tail (&self->batches, batch);
  mp_pool_core_add_feedable (self->pool, self);
}

/* Threads and tasks that wait for results look again. */
static void
mp_job_core_wake_result (MpJobCore *self)
{
  if (mp_sleep_word_bump (&self->result_word))
    mp_pool_core_touch (self->pool, self);
  mp_waiter_move_all (&self->result_waiters, &self->pool->ready);
}

static void
mp_job_core_finish (MpJobCore *self, MpJobState state)
{
  MpPoolCore *pool = self->pool;

  self->state = state;
  self->unfinished = FALSE;
  self->more = FALSE;
  g_queue_unlink (&pool->jobs, &self->jobs_link);
  if (mp_sleep_word_bump (&self->finished_word))
    mp_pool_core_touch (pool, self);
  mp_job_core_wake_result (self);
  mp_waiter_move_all (&self->finished_waiters, &pool->ready);
  if (self->notify)
    {
      g_queue_push_tail_link (&pool->finished, &self->finished_link);
      if (mp_sleep_word_bump (&pool->finished_word))
        pool->wake_finished = TRUE;
    }
  mp_announcer_add_job (self, MP_ANNOUNCE_PROGRESS | MP_ANNOUNCE_COMPLETED);
  if (pool->closed && g_queue_is_empty (&pool->jobs))
    mp_pool_core_request_tick (pool);
  /* The pool's reference. */
  mp_job_core_unref (self);
}

static MpJobState
mp_job_core_get_end (MpJobCore *self)
{
  if (self->error == NULL)
    return MP_JOB_STATE_SUCCEEDED;
  if (g_error_matches (self->error, MP_ERROR, MP_ERROR_PROCESS_DIED))
    return MP_JOB_STATE_WORKER_DIED;
  return MP_JOB_STATE_FAILED;
}

void
mp_job_core_maybe_finish (MpJobCore *self)
{
  if (self->unfinished && !self->more && self->n_resolved == self->n_tasks)
    mp_job_core_finish (self, mp_job_core_get_end (self));
}

/* The task at @index has its result. */
void
mp_job_core_resolve (MpJobCore *self,
                     guint64 index,
                     guint n_items,
                     MpResultStatus status,
                     MpCodec codec,
                     const guint8 *data,
                     gsize length)
{
  if (!self->unfinished)
    return;
  self->n_resolved++;
  self->n_items_done += n_items;
  if (status == MP_RESULT_ERROR && self->error == NULL)
    self->error = mp_error_payload_parse (data, length, &self->traceback);
  if (self->wanted)
    {
      mp_results_add (&self->results, index, status, codec, data, length);
      mp_job_core_wake_result (self);
    }
  if (!self->more && self->n_resolved == self->n_tasks)
    mp_job_core_finish (self, mp_job_core_get_end (self));
  else
    mp_announcer_add_job (self, MP_ANNOUNCE_PROGRESS);
}

void
mp_job_core_resolve_error (MpJobCore *self, guint64 index, guint n_items, const GError *error)
{
  g_autoptr (GVariant) payload = mp_error_payload_new_from_error (error);
  g_autoptr (GBytes) bytes = mp_payload_from_variant (payload);
  gsize length;
  const guint8 *data = g_bytes_get_data (bytes, &length);

  mp_job_core_resolve (self, index, n_items, MP_RESULT_ERROR, MP_CODEC_GVARIANT, data, length);
}

/* What is in the ring is cancelled there, what runs is killed; nobody wants
 * their results any more. */
static void
mp_job_core_drop_in_flight (MpJobCore *self)
{
  MpPoolCore *pool = self->pool;

  for (guint i = 0; i < pool->n_slots && self->n_in_flight > 0; i++)
    {
      MpSlot *slot = &pool->slots[i];
      guint worker;

      if (!slot->used || slot->job != self)
        continue;
      if (mp_claims_cancel (pool->claims, i, &worker) == MP_CLAIMS_CANCEL_DOOMED)
        mp_pool_core_kill_worker (pool, worker);
      g_clear_pointer (&slot->batch, mp_batch_unref);
      slot->job = NULL;
      self->n_in_flight--;
    }
  self->progress_in_flight = 0;
}

void
mp_job_core_abort (MpJobCore *self, MpJobState state, const GError *reason)
{
  MpPoolCore *pool = self->pool;
  MpBatch *batch;

  if (!self->unfinished)
    return;
  mp_pool_core_remove_feedable (pool, self);
  while ((batch = g_queue_pop_head (&self->batches)) != NULL)
    {
      pool->n_unfed -= mp_batch_get_n_tasks (batch) - self->next_index;
      self->next_index = 0;
      mp_batch_unref (batch);
    }
  mp_pool_core_drop_retries (pool, self);
  mp_job_core_drop_in_flight (self);
  g_clear_error (&self->error);
  self->error = g_error_copy (reason);
  self->aborted = TRUE;
  mp_job_core_finish (self, state);
}

gboolean
mp_job_core_has_result (MpJobCore *self)
{
  return !g_queue_is_empty (&self->returned) || self->chunk != NULL ||
         mp_results_is_ready (&self->results);
}

/* One element of the chunk that is being handed out. */
static void
mp_job_core_take_from_chunk (MpJobCore *self, MpJobItem *item)
{
  g_autoptr (GVariant) boxed = g_variant_get_child_value (self->chunk, self->chunk_position++);

  item->value = g_variant_get_variant (boxed);
  if (self->chunk_position == g_variant_n_children (self->chunk))
    g_clear_pointer (&self->chunk, g_variant_unref);
}

/* FALSE if there is none yet, or none any more. */
gboolean
mp_job_core_take_item (MpJobCore *self, MpJobItem *item)
{
  g_autofree MpJobItem *returned = g_queue_pop_head (&self->returned);
  MpResult result;

  memset (item, 0, sizeof *item);
  self->taken = TRUE;
  if (returned != NULL)
    {
      *item = *returned;
      return TRUE;
    }
  while (self->chunk == NULL)
    {
      if (!mp_results_take (&self->results, &result))
        return FALSE;
      if (result.status == MP_RESULT_ERROR)
        item->error = mp_error_payload_parse (result.data, result.length, NULL);
      else
        item->value =
          mp_payload_to_variant (result.data, result.length, result.codec, &item->error);
      mp_result_clear (&result);
      if (item->value == NULL || (self->flags & MP_TASK_CHUNK) == 0)
        return TRUE;
      /* Seen to be normal once, it is read in constant time. */
      if (!g_variant_is_of_type (item->value, G_VARIANT_TYPE ("av")) ||
          !g_variant_is_normal_form (item->value))
        {
          g_clear_pointer (&item->value, g_variant_unref);
          g_set_error_literal (&item->error,
                               MP_ERROR,
                               MP_ERROR_TYPE,
                               "The worker's result for a chunk is not an array of variants");
          return TRUE;
        }
      if (g_variant_n_children (item->value) > 0)
        {
          self->chunk = g_steal_pointer (&item->value);
          self->chunk_position = 0;
        }
      g_clear_pointer (&item->value, g_variant_unref);
    }
  mp_job_core_take_from_chunk (self, item);
  return TRUE;
}

static GVariant *
mp_job_core_get_single (MpJobCore *self, GError **error)
{
  const MpResult *result = &g_array_index (self->results.entries, MpResult, self->results.head);

  return mp_payload_to_variant (result->data, result->length, result->codec, error);
}

GVariant *
mp_job_core_get_result (MpJobCore *self, GError **error)
{
  if (self->unfinished)
    g_set_error_literal (error, MP_ERROR, MP_ERROR_BUSY, "The job is not finished");
  else if (self->state != MP_JOB_STATE_SUCCEEDED)
    g_propagate_error (error, g_error_copy (self->error));
  else if (self->taken)
    g_set_error_literal (error,
                         MP_ERROR,
                         MP_ERROR_NOT_FOUND,
                         "The results of the job were taken one by one");
  else if (self->single)
    return mp_job_core_get_single (self, error);
  else
    return mp_results_build (&self->results, (self->flags & MP_TASK_CHUNK) != 0, error);
  return NULL;
}

static gboolean
mp_job_core_is_finished (gpointer user_data)
{
  return !((MpJobCore *) user_data)->unfinished;
}

gboolean
mp_job_core_wait (MpJobCore *self, gint64 timeout_us, GCancellable *cancellable, GError **error)
{
  gint64 deadline = mp_deadline_new (timeout_us);
  MpSleepResult result;

  if (!mp_pool_core_check_ours (self->pool, error))
    return FALSE;

  do
    result = mp_sleep_word_sleep (&self->finished_word,
                                  &self->pool->lock,
                                  mp_job_core_is_finished,
                                  self,
                                  deadline,
                                  cancellable);
  while (result == MP_SLEEP_INTERRUPTED);
  if (result != MP_SLEEP_READY)
    return mp_sleep_set_error (error, result, cancellable, "The job did not finish");
  mp_pool_core_unlock (self->pool);
  return TRUE;
}
