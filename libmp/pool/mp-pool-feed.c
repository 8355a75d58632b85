/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-pool-private.h"

#include "../base/mp-clock-private.h"
#include "../base/mp-error.h"

/* Tasks on their way into the task ring. The window: as many tasks as there are
 * slots, and a mebibyte, but always one more than there are workers, however big
 * they are. Everything here is called with the core's lock held. */

#define MP_FEED_TASKS 64
#define MP_FEED_PARTS 4
#define MP_FEED_WINDOW (1024 * 1024)

/* Tasks that go into the ring by one commit. */
typedef struct
{
  MpTaskHeader headers[MP_FEED_TASKS];
  GOutputVector parts[MP_FEED_TASKS * MP_FEED_PARTS];
  MpRecord records[MP_FEED_TASKS];
  guint slots[MP_FEED_TASKS];
  guint n;
  GPtrArray *scratch;
} MpFeed;

MpSlot *
mp_pool_core_get_slot (MpPoolCore *self, guint32 slot, guint64 task_id)
{
  MpSlot *found;

  if (slot >= self->n_slots)
    return NULL;
  found = &self->slots[slot];
  return found->used && found->task_id == task_id ? found : NULL;
}

void
mp_pool_core_free_slot (MpPoolCore *self, guint32 index)
{
  MpSlot *slot = &self->slots[index];

  if (slot->job != NULL)
    {
      slot->job->n_in_flight--;
      slot->job->progress_in_flight -= slot->progress * slot->n_items;
    }
  g_clear_pointer (&slot->batch, mp_batch_unref);
  self->bytes_in_flight -= slot->bytes;
  slot->job = NULL;
  slot->used = FALSE;
  self->free_slots[self->n_free_slots++] = index;
}

void
mp_pool_core_add_feedable (MpPoolCore *self, MpJobCore *job)
{
  if (job->feeding)
    return;
  job->feeding = TRUE;
  g_queue_push_tail_link (&self->feedable, &job->feed_link);
}

void
mp_pool_core_remove_feedable (MpPoolCore *self, MpJobCore *job)
{
  if (!job->feeding)
    return;
  job->feeding = FALSE;
  g_queue_unlink (&self->feedable, &job->feed_link);
}

static void
mp_retry_free (MpRetry *retry)
{
  retry->job->n_retries--;
  mp_batch_unref (retry->batch);
  g_free (retry);
}

/* The task of @slot, which the caller frees, will be fed again, before others. */
void
mp_pool_core_retry (MpPoolCore *self, MpSlot *slot, guint attempt)
{
  MpRetry *retry = g_new (MpRetry, 1);

  retry->job = slot->job;
  retry->batch = mp_batch_ref (slot->batch);
  retry->index = slot->index;
  retry->attempt = attempt;
  retry->task_id = slot->task_id;
  retry->job->n_retries++;
  g_queue_push_head (&self->retries, retry);
}

void
mp_pool_core_drop_retries (MpPoolCore *self, MpJobCore *job)
{
  GList *link = self->retries.head;

  while (link != NULL && job->n_retries > 0)
    {
      GList *next = link->next;
      MpRetry *retry = link->data;

      if (retry->job == job)
        {
          g_queue_delete_link (&self->retries, link);
          mp_retry_free (retry);
        }
      link = next;
    }
}

/* What would be fed next; the reference of the batch is the queue's. */
static gboolean
mp_feed_peek (MpPoolCore *self, MpRetry *next)
{
  MpRetry *retry = g_queue_peek_head (&self->retries);
  MpJobCore *job;

  if (retry != NULL)
    {
      *next = *retry;
      return TRUE;
    }
  job = g_queue_peek_head (&self->feedable);
  if (job == NULL)
    return FALSE;
  next->job = job;
  next->batch = g_queue_peek_head (&job->batches);
  next->index = job->next_index;
  next->attempt = 0;
  next->task_id = self->last_task_id + 1;
  return TRUE;
}

/* It is fed: the queues forget it. */
static void
mp_feed_advance (MpPoolCore *self)
{
  MpRetry *retry = g_queue_pop_head (&self->retries);
  MpJobCore *job;

  if (retry != NULL)
    {
      mp_retry_free (retry);
      return;
    }
  job = g_queue_peek_head (&self->feedable);
  self->last_task_id++;
  self->n_unfed--;
  if (++job->next_index < mp_batch_get_n_tasks (g_queue_peek_head (&job->batches)))
    return;
  job->next_index = 0;
  mp_batch_unref (g_queue_pop_head (&job->batches));
  if (g_queue_is_empty (&job->batches))
    mp_pool_core_remove_feedable (self, job);
}

static gboolean
mp_feed_has_room (MpPoolCore *self, gsize bytes)
{
  guint in_flight = self->n_slots - self->n_free_slots;

  if (self->n_free_slots == 0)
    return FALSE;
  return in_flight <= self->n_workers || self->bytes_in_flight + bytes <= MP_FEED_WINDOW;
}

static void
mp_feed_add_record (MpFeed *feed, MpJobCore *job, const MpBatchTask *task)
{
  GOutputVector *parts = &feed->parts[feed->n * MP_FEED_PARTS];
  MpRecord *record = &feed->records[feed->n];
  guint n = 0;

  parts[n].buffer = &feed->headers[feed->n];
  parts[n++].size = sizeof (MpTaskHeader);
  if (job->function_length > 0)
    {
      parts[n].buffer = job->function;
      parts[n++].size = MP_FRAMING_ALIGN (job->function_length);
    }
  for (guint i = 0; i < task->n_parts; i++)
    parts[n++] = task->parts[i];
  record->parts = parts;
  record->n_parts = n;
  record->codec = MP_CODEC_RAW;
}

static void
mp_feed_add (MpPoolCore *self, MpFeed *feed, const MpRetry *next, const MpBatchTask *task)
{
  MpJobCore *job = next->job;
  guint index = self->free_slots[--self->n_free_slots];
  MpSlot *slot = &self->slots[index];
  MpTaskHeader *header = &feed->headers[feed->n];

  slot->job = job;
  slot->batch = mp_batch_ref (next->batch);
  slot->index = next->index;
  slot->task_id = next->task_id;
  slot->job_index = mp_batch_get_first (next->batch) + next->index;
  slot->bytes = sizeof *header + job->function_length + task->length;
  slot->n_items = task->n_items;
  slot->attempt = next->attempt;
  slot->progress = 0;
  slot->used = TRUE;
  self->bytes_in_flight += slot->bytes;
  job->n_in_flight++;
  mp_claims_queue (self->claims, index);

  header->task_id = slot->task_id;
  header->slot = index;
  header->reserved = 0;
  header->codec = task->codec;
  header->flags = job->flags;
  header->function_length = job->function_length;
  header->attempt = slot->attempt;
  mp_feed_add_record (feed, job, task);
  feed->slots[feed->n++] = index;
}

static void
mp_feed_fill (MpPoolCore *self, MpFeed *feed, guint limit)
{
  MpRetry next;

  while (feed->n < limit && self->n_free_slots > 0 && mp_feed_peek (self, &next))
    {
      MpBatchTask task;

      mp_batch_get_task (next.batch, next.index, feed->scratch, &task);
      if (!mp_feed_has_room (self, sizeof (MpTaskHeader) + next.job->function_length + task.length))
        break;
      mp_feed_add (self, feed, &next, &task);
      mp_feed_advance (self);
    }
}

static void
mp_feed_commit (MpPoolCore *self, MpFeed *feed)
{
  /* What is tried once only is not needed any more. */
  if (self->max_attempts > 1)
    return;
  for (guint i = 0; i < feed->n; i++)
    g_clear_pointer (&self->slots[feed->slots[i]].batch, mp_batch_unref);
}

static void
mp_feed_undo (MpPoolCore *self, MpFeed *feed)
{
  for (guint i = feed->n; i > 0; i--)
    {
      MpSlot *slot = &self->slots[feed->slots[i - 1]];

      mp_pool_core_retry (self, slot, slot->attempt);
      mp_pool_core_free_slot (self, feed->slots[i - 1]);
    }
}

/* The one task that was just undone can never be fed. */
static void
mp_feed_fail_first (MpPoolCore *self, MpRingStatus status)
{
  MpRetry *retry = g_queue_pop_head (&self->retries);
  g_autoptr (MpJobCore) job = mp_job_core_ref (retry->job);
  g_autoptr (GPtrArray) scratch = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GError) error = NULL;
  guint64 index = mp_batch_get_first (retry->batch) + retry->index;
  MpBatchTask task;

  mp_batch_get_task (retry->batch, retry->index, scratch, &task);
  mp_retry_free (retry);
  mp_ring_set_error (&error, self->tasks, status, TRUE);
  mp_job_core_resolve_error (job, index, task.n_items, error);
}

/* FALSE when there is nothing more to do now. */
static gboolean
mp_feed_put (MpPoolCore *self, MpFeed *feed, guint *limit)
{
  MpRingStatus status =
    mp_ring_put (self->tasks, feed->records, feed->n, MP_RING_PUT_NONE, MP_DEADLINE_NOW);

  if (status == MP_RING_DONE)
    {
      mp_feed_commit (self, feed);
      *limit = MP_FEED_TASKS;
      return TRUE;
    }
  mp_feed_undo (self, feed);
  if (status == MP_RING_CORRUPT)
    {
      g_autoptr (GError) error = NULL;

      mp_ring_set_error (&error, self->tasks, status, TRUE);
      mp_pool_core_break (self, error);
      return FALSE;
    }
  if (feed->n > 1)
    {
      /* One by one, to find the one that is too big. */
      *limit = 1;
      return TRUE;
    }
  if (status == MP_RING_TOO_BIG || self->n_free_slots == self->n_slots)
    {
      mp_feed_fail_first (self, status);
      return TRUE;
    }
  return FALSE;
}

void
mp_pool_core_feed (MpPoolCore *self)
{
  guint limit = MP_FEED_TASKS;
  gboolean more = TRUE;

  while (more && self->broken == NULL && !self->tasks_closed && !self->ended &&
         (!g_queue_is_empty (&self->retries) || !g_queue_is_empty (&self->feedable)))
    {
      g_autoptr (GPtrArray) scratch = g_ptr_array_new_with_free_func (g_free);
      MpFeed feed;

      feed.n = 0;
      feed.scratch = scratch;
      mp_feed_fill (self, &feed, limit);
      more = feed.n > 0 && mp_feed_put (self, &feed, &limit);
    }
}
