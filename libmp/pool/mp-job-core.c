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

static void
mp_job_core_set_options (MpJobCore *self, const MpJobOptionsValues *values)
{
  const MpPoolSettings *settings = &self->pool->settings;
  gint64 timeout = values->timeout != 0 ? values->timeout : settings->task_timeout;

  self->priority = values->priority;
  self->timeout = MAX (timeout, 0);
  if (self->timeout > 0)
    self->flags |= MP_TASK_TIMED;
  self->max_attempts = values->max_attempts > 0 ? values->max_attempts : settings->max_attempts;
  self->retry_delay = values->retry_delay >= 0 ? values->retry_delay : settings->retry_delay;
  self->retry_failed = values->retry_failed;
  self->read_ahead = values->read_ahead;
}

/* Called with the lock; the pool has a reference until the job is finished. */
MpJobCore *
mp_job_core_new (MpPoolCore *pool,
                 const guint8 *function,
                 gsize function_length,
                 MpTaskFlags flags,
                 gboolean ordered,
                 gboolean more,
                 const MpJobOptions *options)
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

  mp_job_core_set_options (self, mp_job_options_get_values (options));

  self->unfinished = TRUE;
  g_queue_push_tail_link (&pool->jobs, &self->jobs_link);
  mp_pool_core_hurry (pool);
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
  g_clear_pointer (&self->dependents, g_ptr_array_unref);
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

  if (n_tasks == 0 || !self->unfinished)
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

gboolean
mp_job_core_can_feed (MpJobCore *self)
{
  return !g_queue_is_empty (&self->batches) && self->n_awaited == 0 &&
         (self->read_ahead == 0 || self->n_fed - self->n_taken < self->read_ahead);
}

static void
mp_job_core_set_patient (MpJobCore *self, gboolean patient)
{
  if (self->patient == patient)
    return;
  self->patient = patient;
  self->pool->n_patient += patient ? 1 : -1;
}

void
mp_job_core_wait_for_all (MpJobCore *self)
{
  if (!self->unfinished)
    return;
  if (!self->single && !self->iterated && !self->hasty)
    mp_job_core_set_patient (self, TRUE);
  if (self->read_ahead == 0)
    return;
  self->read_ahead = 0;
  mp_pool_core_add_feedable (self->pool, self);
  mp_pool_core_request_tick (self->pool);
}

void
mp_job_core_wait_for_next (MpJobCore *self)
{
  if (self->hasty || !self->unfinished)
    return;
  self->hasty = TRUE;
  mp_job_core_set_patient (self, FALSE);
  mp_pool_core_hurry (self->pool);
}

/* @n results left the job. */
void
mp_job_core_count_taken (MpJobCore *self, guint n)
{
  self->n_taken += n;
  if (self->read_ahead == 0 || self->feeding || n == 0 || !mp_job_core_can_feed (self))
    return;
  mp_pool_core_add_feedable (self->pool, self);
  mp_pool_core_feed (self->pool);
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
mp_job_core_fail_dependent (MpJobCore *self, MpJobCore *awaited)
{
  g_autoptr (GError) reason = NULL;
  gboolean cancelled = awaited->state == MP_JOB_STATE_CANCELLED;

  /* What began it is what counts. */
  self->orphaned = TRUE;
  if (awaited->orphaned)
    reason = g_error_copy (awaited->error);
  else
    g_set_error (&reason,
                 cancelled ? G_IO_ERROR : MP_ERROR,
                 cancelled ? (int) G_IO_ERROR_CANCELLED : (int) MP_ERROR_FAILED,
                 "Job %" G_GUINT64_FORMAT ", which this one comes after, did not succeed: %s",
                 awaited->id,
                 awaited->error->message);
  mp_job_core_abort (self, cancelled ? MP_JOB_STATE_CANCELLED : MP_JOB_STATE_FAILED, reason);
}

static void
mp_job_core_release_each (MpJobCore *self, GPtrArray *dependents)
{
  for (guint i = 0; i < dependents->len; i++)
    {
      MpJobCore *dependent = g_ptr_array_index (dependents, i);

      dependent->n_awaited--;
      if (self->state != MP_JOB_STATE_SUCCEEDED)
        mp_job_core_fail_dependent (dependent, self);
      else if (dependent->n_awaited == 0)
        {
          mp_pool_core_add_feedable (self->pool, dependent);
          mp_pool_core_preempt (self->pool, dependent);
          mp_job_core_maybe_finish (dependent);
        }
    }
}

/* In a loop, because what is released may finish at once, and so on. */
static void
mp_job_core_release_dependents (MpJobCore *self)
{
  MpPoolCore *pool = self->pool;
  MpJobCore *job;

  if (self->dependents == NULL)
    return;
  g_queue_push_tail (&pool->released, mp_job_core_ref (self));
  if (pool->releasing)
    return;
  pool->releasing = TRUE;
  while ((job = g_queue_pop_head (&pool->released)) != NULL)
    {
      g_autoptr (GPtrArray) dependents = g_steal_pointer (&job->dependents);

      mp_job_core_release_each (job, dependents);
      mp_job_core_unref (job);
    }
  pool->releasing = FALSE;
  mp_pool_core_hurry (pool);
  mp_pool_core_request_tick (pool);
}

void
mp_job_core_await (MpJobCore *self, const MpJobOptions *options)
{
  GPtrArray *after = mp_job_options_get_values (options)->after;

  for (guint i = 0; self->unfinished && after != NULL && i < after->len; i++)
    {
      MpJobCore *awaited = mp_job_get_core (g_ptr_array_index (after, i));

      if (awaited->unfinished)
        {
          if (awaited->dependents == NULL)
            awaited->dependents =
              g_ptr_array_new_with_free_func ((GDestroyNotify) mp_job_core_unref);
          g_ptr_array_add (awaited->dependents, mp_job_core_ref (self));
          self->n_awaited++;
        }
      else if (awaited->state != MP_JOB_STATE_SUCCEEDED)
        mp_job_core_fail_dependent (self, awaited);
    }
}

static void
mp_job_core_finish (MpJobCore *self, MpJobState state)
{
  MpPoolCore *pool = self->pool;

  self->state = state;
  self->unfinished = FALSE;
  self->more = FALSE;
  mp_job_core_set_patient (self, FALSE);
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
  mp_announcer_unlist_job (self);
  mp_job_core_release_dependents (self);
  if (g_queue_is_empty (&pool->jobs))
    {
      pool->least_urgent = G_MAXINT;
      if (pool->closed)
        mp_pool_core_request_tick (pool);
    }
  /* The pool's reference. */
  mp_job_core_unref (self);
}

static MpJobState
mp_job_core_get_end (MpJobCore *self)
{
  return self->error == NULL ? MP_JOB_STATE_SUCCEEDED : self->fate;
}

void
mp_job_core_maybe_finish (MpJobCore *self)
{
  if (self->unfinished && !self->more && self->n_awaited == 0 && self->n_resolved == self->n_tasks)
    mp_job_core_finish (self, mp_job_core_get_end (self));
}

static void
mp_job_core_count_resolved (MpJobCore *self, guint n_items)
{
  self->n_resolved++;
  self->n_items_done += n_items;
  if (self->wanted)
    mp_job_core_wake_result (self);
  if (!self->more && self->n_resolved == self->n_tasks)
    mp_job_core_finish (self, mp_job_core_get_end (self));
  else
    mp_announcer_add_job (self, MP_ANNOUNCE_PROGRESS);
}

static void
mp_job_core_keep_result (MpJobCore *self,
                         guint64 index,
                         guint n_items,
                         MpResultStatus status,
                         MpCodec codec,
                         const guint8 *data,
                         gsize length)
{
  if (self->wanted)
    mp_results_add (&self->results, index, status, codec, data, length);
  mp_job_core_count_resolved (self, n_items);
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
  if (status == MP_RESULT_ERROR && self->error == NULL)
    {
      self->error = mp_error_payload_parse (data, length, &self->traceback);
      self->fate = MP_JOB_STATE_FAILED;
    }
  mp_job_core_keep_result (self, index, n_items, status, codec, data, length);
}

void
mp_job_core_resolve_buffer (MpJobCore *self, guint64 index, guint n_items, MpBuffer *buffer)
{
  g_autoptr (MpBuffer) own = buffer;

  if (!self->unfinished)
    return;
  if (self->wanted)
    mp_results_add_buffer (&self->results, index, g_steal_pointer (&own));
  mp_job_core_count_resolved (self, n_items);
}

void
mp_job_core_resolve_error (MpJobCore *self,
                           guint64 index,
                           guint n_items,
                           MpJobState fate,
                           const GError *error)
{
  g_autoptr (GVariant) payload = mp_error_payload_new_from_error (error);
  g_autoptr (GBytes) bytes = mp_payload_from_variant (payload);
  gsize length;
  const guint8 *data = g_bytes_get_data (bytes, &length);

  if (!self->unfinished)
    return;
  if (self->error == NULL)
    {
      self->error = g_error_copy (error);
      self->fate = fate;
    }
  mp_job_core_keep_result (self, index, n_items, MP_RESULT_ERROR, MP_CODEC_GVARIANT, data, length);
}

/* What is in the ring is cancelled there, what runs is stopped; nobody wants
 * their results any more. */
static void
mp_job_core_drop_in_flight (MpJobCore *self)
{
  MpPoolCore *pool = self->pool;

  for (guint i = 0; i < pool->n_slots && self->n_in_flight > 0; i++)
    {
      MpSlot *slot = &pool->slots[i];

      if (!slot->used || slot->job != self)
        continue;
      mp_pool_core_stop_task (pool, i);
      mp_pool_core_detach_slot (pool, slot);
    }
}

static void
mp_job_core_drop_unfed (MpJobCore *self)
{
  MpPoolCore *pool = self->pool;
  MpBatch *batch;

  mp_pool_core_remove_feedable (pool, self);
  while ((batch = g_queue_pop_head (&self->batches)) != NULL)
    {
      guint n = mp_batch_get_n_tasks (batch) - self->next_index;

      pool->n_unfed -= n;
      self->n_tasks -= n;
      self->next_index = 0;
      mp_batch_unref (batch);
    }
  self->n_tasks -= self->n_retries;
  mp_pool_core_drop_retries (pool, self);
}

void
mp_job_core_stop_feeding (MpJobCore *self)
{
  MpPoolCore *pool = self->pool;

  if (!self->unfinished)
    return;
  mp_job_core_drop_unfed (self);
  for (guint i = 0; i < pool->n_slots && self->n_in_flight > 0; i++)
    {
      MpSlot *slot = &pool->slots[i];

      if (!slot->used || slot->job != self || !mp_claims_withdraw (pool->claims, i))
        continue;
      mp_pool_core_detach_slot (pool, slot);
      self->n_tasks--;
    }
  g_clear_error (&self->error);
  g_set_error_literal (&self->error,
                       G_IO_ERROR,
                       G_IO_ERROR_CANCELLED,
                       "Nobody takes the results of the job");
  self->fate = MP_JOB_STATE_CANCELLED;
  self->aborted = TRUE;
  self->more = FALSE;
  self->n_awaited = 0;
  mp_job_core_maybe_finish (self);
}

void
mp_job_core_abort (MpJobCore *self, MpJobState state, const GError *reason)
{
  if (!self->unfinished)
    return;
  mp_job_core_drop_unfed (self);
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
      mp_job_core_count_taken (self, 1);
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

typedef struct
{
  MpRing *results;
  MpSleepWord *word;
  uint32_t seq;
} Look;

static gboolean
something_came (gpointer user_data)
{
  Look *look = user_data;

  return mp_ring_get_length (look->results) > 0 || atomic_load (&look->word->seq) != look->seq;
}

/* Who waits for one task only takes the result out himself, if it comes soon: it is there before
 * the pump has been woken for it, and long before the pump has woken anybody. Not if he has less
 * time than a look may take. */
void
mp_job_core_look_for_result (MpJobCore *self, gint64 timeout_us)
{
  MpPoolCore *pool = self->pool;
  Look look = { NULL, &self->finished_word, atomic_load (&self->finished_word.seq) };

  /* Before the lock, which another thread may have had when this process was forked. */
  if ((timeout_us >= 0 && timeout_us <= MP_POOL_TRIAL_US) || !mp_pool_core_is_ours (pool))
    return;
  mp_pool_core_lock (pool);
  if (self->unfinished && self->n_in_flight == 1 && !self->feeding && !self->more &&
      pool->results != NULL)
    {
      look.results = mp_ring_ref (pool->results);
      if (pool->worker_is_coming)
        mp_spin_expect (pool->spins);
    }
  mp_pool_core_unlock (pool);
  if (look.results == NULL)
    return;
  if (mp_ring_look_before_others (look.results, pool->spins, something_came, &look))
    {
      mp_pool_core_lock (pool);
      /* Also when its own result was taken by another: what has come since has woken nobody. */
      mp_pool_core_drain (pool);
      mp_pool_core_unlock (pool);
    }
  mp_ring_unref (look.results);
}

gboolean
mp_job_core_wait (MpJobCore *self, gint64 timeout_us, GCancellable *cancellable, GError **error)
{
  gint64 deadline = mp_deadline_new (timeout_us);
  MpSleepResult result;

  if (!mp_pool_core_check_ours (self->pool, error))
    return FALSE;
  mp_pool_core_lock (self->pool);
  mp_job_core_wait_for_all (self);
  mp_pool_core_unlock (self->pool);

  mp_job_core_look_for_result (self, timeout_us);
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
