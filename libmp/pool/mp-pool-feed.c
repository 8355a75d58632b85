/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-pool-private.h"

#include "../base/mp-clock-private.h"
#include "../base/mp-error.h"

#include <string.h>

/* Tasks on their way into the task ring. The window: as many tasks as there are
 * slots, and a mebibyte, but always one more than there are workers, however big
 * they are. Everything here is called with the core's lock held. */

#define MP_FEED_TASKS 64
#define MP_FEED_PARTS 4
#define MP_FEED_WINDOW (1024 * 1024)
#define MP_FEED_MAX_RETRY_DELAY (60 * G_USEC_PER_SEC)

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
mp_pool_core_detach_slot (MpPoolCore *self, MpSlot *slot)
{
  if (slot->job == NULL)
    return;
  slot->job->n_in_flight--;
  slot->job->progress_in_flight -= slot->progress * slot->n_items;
  slot->job = NULL;
  g_clear_pointer (&slot->batch, mp_batch_unref);
  if (slot->timeout > 0)
    {
      slot->timeout = 0;
      self->n_timed--;
    }
}

void
mp_pool_core_free_slot (MpPoolCore *self, guint32 index)
{
  MpSlot *slot = &self->slots[index];

  mp_pool_core_detach_slot (self, slot);
  self->bytes_in_flight -= slot->bytes;
  slot->used = FALSE;
  self->free_slots[self->n_free_slots++] = index;
}

/* Where the lane of @priority is, or has to be. */
static guint
mp_pool_core_find_lane (MpPoolCore *self, int priority)
{
  guint low = 0;
  guint high = self->lanes->len;

  while (low < high)
    {
      guint middle = (low + high) / 2;

      if (g_array_index (self->lanes, MpLane *, middle)->priority < priority)
        low = middle + 1;
      else
        high = middle;
    }
  return low;
}

void
mp_pool_core_add_feedable (MpPoolCore *self, MpJobCore *job)
{
  MpLane *lane;
  guint at;

  if (job->feeding || !mp_job_core_can_feed (job))
    return;
  at = mp_pool_core_find_lane (self, job->priority);
  lane = at < self->lanes->len ? g_array_index (self->lanes, MpLane *, at) : NULL;
  if (lane == NULL || lane->priority != job->priority)
    {
      lane = g_new0 (MpLane, 1);
      lane->priority = job->priority;
      g_array_insert_val (self->lanes, at, lane);
    }
  job->feeding = TRUE;
  g_queue_push_tail_link (&lane->jobs, &job->feed_link);
}

void
mp_pool_core_remove_feedable (MpPoolCore *self, MpJobCore *job)
{
  MpLane *lane;
  guint at;

  if (!job->feeding)
    return;
  job->feeding = FALSE;
  at = mp_pool_core_find_lane (self, job->priority);
  lane = g_array_index (self->lanes, MpLane *, at);
  g_queue_unlink (&lane->jobs, &job->feed_link);
  if (g_queue_is_empty (&lane->jobs))
    {
      g_array_remove_index (self->lanes, at);
      g_free (lane);
    }
}

static void
mp_retry_free (MpRetry *retry)
{
  retry->job->n_retries--;
  mp_batch_unref (retry->batch);
  g_free (retry);
}

static int
mp_retry_compare (const MpRetry *a, const MpRetry *b)
{
  if (a->job->priority != b->job->priority)
    return a->job->priority > b->job->priority ? -1 : 1;
  return a->task_id < b->task_id ? -1 : a->task_id > b->task_id;
}

static int
mp_retry_compare_times (gconstpointer a, gconstpointer b, gpointer user_data)
{
  const MpRetry *x = a;
  const MpRetry *y = b;

  return x->when < y->when ? -1 : x->when > y->when;
}

/* Mostly near the head: what is tried again was among the first. */
static void
mp_pool_core_add_retry (MpPoolCore *self, MpRetry *retry)
{
  GList *link = self->retries.head;

  while (link != NULL && mp_retry_compare (link->data, retry) < 0)
    link = link->next;
  g_queue_insert_before (&self->retries, link, retry);
}

/* The task of @slot, which the caller detaches, will be fed again, before others
 * that are not more urgent; @when it is time. */
static void
mp_pool_core_retry (MpPoolCore *self, MpSlot *slot, guint attempt, gint64 when)
{
  MpRetry *retry = g_new (MpRetry, 1);

  retry->when = when;
  retry->job = slot->job;
  retry->batch = mp_batch_ref (slot->batch);
  retry->index = slot->index;
  retry->attempt = attempt;
  retry->task_id = slot->task_id;
  retry->job->n_retries++;
  if (when == 0)
    mp_pool_core_add_retry (self, retry);
  else
    {
      g_queue_insert_sorted (&self->delayed, retry, mp_retry_compare_times, NULL);
      mp_pool_core_request_alarm (self, when);
    }
}

void
mp_pool_core_feed_delayed (MpPoolCore *self, gint64 now)
{
  MpRetry *retry;

  while ((retry = g_queue_peek_head (&self->delayed)) != NULL && retry->when <= now)
    mp_pool_core_add_retry (self, g_queue_pop_head (&self->delayed));
  if (retry != NULL)
    mp_pool_core_request_alarm (self, retry->when);
}

static void
mp_retries_drop (GQueue *retries, MpJobCore *job)
{
  GList *link = retries->head;

  while (link != NULL && job->n_retries > 0)
    {
      GList *next = link->next;
      MpRetry *retry = link->data;

      if (retry->job == job)
        {
          g_queue_delete_link (retries, link);
          mp_retry_free (retry);
        }
      link = next;
    }
}

void
mp_pool_core_drop_retries (MpPoolCore *self, MpJobCore *job)
{
  mp_retries_drop (&self->retries, job);
  mp_retries_drop (&self->delayed, job);
}

gboolean
mp_pool_core_may_retry (MpSlot *slot, MpJobState fate)
{
  MpJobCore *job = slot->job;

  return job != NULL && slot->attempt + 1 < job->max_attempts &&
         (fate == MP_JOB_STATE_WORKER_DIED || job->retry_failed);
}

/* Twice as long each time. */
static gint64
mp_retry_compute_delay (MpJobCore *job, guint attempt)
{
  const gint64 most = MAX (job->retry_delay, MP_FEED_MAX_RETRY_DELAY);
  gint64 delay = job->retry_delay;

  while (attempt-- > 0 && delay > 0 && delay < most)
    delay = MIN (delay * 2, most);
  return delay;
}

static gint64
mp_retry_compute_time (gint64 delay)
{
  return delay > 0 ? mp_deadline_new (delay) : 0;
}

void
mp_pool_core_lose_attempt (MpPoolCore *self, MpSlot *slot, MpJobState fate, GError *error)
{
  g_autoptr (GError) own = error;
  g_autoptr (MpJobCore) job = NULL;
  guint64 index = slot->job_index;
  guint n_items = slot->n_items;

  if (slot->job == NULL)
    return;
  if (mp_pool_core_may_retry (slot, fate))
    {
      gint64 delay = mp_retry_compute_delay (slot->job, slot->attempt);

      mp_pool_core_retry (self, slot, slot->attempt + 1, mp_retry_compute_time (delay));
      mp_pool_core_detach_slot (self, slot);
      return;
    }
  job = mp_job_core_ref (slot->job);
  mp_pool_core_detach_slot (self, slot);
  mp_job_core_resolve_error (job, index, n_items, fate, own);
}

static int
mp_slot_compare (gconstpointer a, gconstpointer b, gpointer user_data)
{
  const MpPoolCore *self = user_data;
  guint64 x = self->slots[*(const guint *) a].task_id;
  guint64 y = self->slots[*(const guint *) b].task_id;

  return x > y ? -1 : x < y;
}

static void
mp_pool_core_recall (MpPoolCore *self, int priority)
{
  g_autofree guint *recalled = g_new (guint, self->n_slots);
  guint n = 0;

  for (guint i = 0; i < self->n_slots; i++)
    {
      MpSlot *slot = &self->slots[i];

      if (slot->used && slot->job != NULL && slot->job->priority < priority &&
          mp_claims_withdraw (self->claims, i))
        recalled[n++] = i;
    }
  /* The last first, so that each goes to the front. */
  g_qsort_with_data (recalled, (int) n, sizeof *recalled, mp_slot_compare, self);
  for (guint i = 0; i < n; i++)
    {
      MpSlot *slot = &self->slots[recalled[i]];

      mp_pool_core_retry (self, slot, slot->attempt, 0);
      mp_pool_core_detach_slot (self, slot);
    }
}

void
mp_pool_core_preempt (MpPoolCore *self, MpJobCore *job)
{
  if (job->priority > self->least_urgent && job->feeding)
    mp_pool_core_recall (self, job->priority);
  self->least_urgent = MIN (self->least_urgent, job->priority);
}

/* The job that is fed next, if no retry is. */
static MpJobCore *
mp_feed_peek_job (MpPoolCore *self)
{
  MpLane *lane;

  if (self->lanes->len == 0)
    return NULL;
  lane = g_array_index (self->lanes, MpLane *, self->lanes->len - 1);
  return g_queue_peek_head (&lane->jobs);
}

/* The retry that is fed next, if no job is. */
static MpRetry *
mp_feed_peek_retry (MpPoolCore *self)
{
  MpRetry *retry = g_queue_peek_head (&self->retries);
  MpJobCore *job = mp_feed_peek_job (self);

  return retry != NULL && (job == NULL || retry->job->priority >= job->priority) ? retry : NULL;
}

/* What would be fed next; the reference of the batch is the queue's. */
static gboolean
mp_feed_peek (MpPoolCore *self, MpRetry *next)
{
  MpRetry *retry = mp_feed_peek_retry (self);
  MpJobCore *job = mp_feed_peek_job (self);

  if (retry != NULL)
    {
      *next = *retry;
      return TRUE;
    }
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
mp_feed_advance (MpPoolCore *self, MpJobCore *job)
{
  if (mp_feed_peek_retry (self) != NULL)
    {
      mp_retry_free (g_queue_pop_head (&self->retries));
      return;
    }
  self->last_task_id++;
  self->n_unfed--;
  job->n_fed++;
  if (++job->next_index == mp_batch_get_n_tasks (g_queue_peek_head (&job->batches)))
    {
      job->next_index = 0;
      mp_batch_unref (g_queue_pop_head (&job->batches));
    }
  if (!mp_job_core_can_feed (job))
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
  guint n = 0;

  parts[n].buffer = &feed->headers[feed->n];
  parts[n++].size = sizeof (MpTaskHeader);
  if (job->function_length > 0)
    {
      parts[n].buffer = job->function;
      parts[n++].size = MP_FRAMING_ALIGN (job->function_length);
    }
  if (task->ref != NULL)
    parts[n++] = (GOutputVector){ .buffer = task->ref, .size = sizeof *task->ref };
  for (guint i = 0; task->ref == NULL && i < task->n_parts; i++)
    parts[n++] = task->parts[i];
  feed->records[feed->n] = (MpRecord){ .parts = parts, .n_parts = n, .codec = MP_CODEC_RAW };
}

/* It cannot be over before it begins. */
static void
mp_feed_watch (MpPoolCore *self, MpSlot *slot)
{
  if (self->n_timed++ == 0)
    self->least_timeout = slot->timeout;
  self->least_timeout = MIN (self->least_timeout, slot->timeout);
  mp_pool_core_request_alarm (self, mp_deadline_new (slot->timeout));
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
  slot->timeout = job->timeout;
  slot->progress = 0;
  slot->used = TRUE;
  if (slot->timeout > 0)
    mp_feed_watch (self, slot);
  job->attempts = MAX (job->attempts, slot->attempt + 1);
  self->bytes_in_flight += slot->bytes;
  job->n_in_flight++;
  mp_claims_queue (self->claims, index);

  header->task_id = slot->task_id;
  header->slot = index;
  header->job = (guint32) job->id;
  self->last_job_id = MAX (self->last_job_id, job->id);
  header->codec = task->codec;
  header->flags = job->flags | (task->ref != NULL ? MP_TASK_IN_BLOCK : 0);
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
      /* Further attempts need it as it was: they get copies. */
      if (task.ref != NULL && next.attempt + 1 < next.job->max_attempts)
        task.ref = NULL;
      mp_feed_add (self, feed, &next, &task);
      mp_feed_advance (self, next.job);
    }
}

static void
mp_feed_undo (MpPoolCore *self, MpFeed *feed)
{
  for (guint i = feed->n; i > 0; i--)
    {
      MpSlot *slot = &self->slots[feed->slots[i - 1]];

      mp_pool_core_retry (self, slot, slot->attempt, 0);
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
  mp_job_core_resolve_error (job, index, task.n_items, MP_JOB_STATE_FAILED, error);
}

/* FALSE when there is nothing more to do now. */
static gboolean
mp_feed_put (MpPoolCore *self, MpFeed *feed, guint *limit)
{
  gboolean coming = mp_ring_is_getter_coming (self->tasks);
  MpRingPutFlags flags = coming && feed->n == 1 ? MP_RING_PUT_QUIETLY : MP_RING_PUT_NONE;
  MpRingStatus status = mp_ring_put (self->tasks, feed->records, feed->n, flags, MP_DEADLINE_NOW);

  self->worker_is_coming = coming;
  if (status == MP_RING_DONE && flags == MP_RING_PUT_QUIETLY)
    mp_ring_pass_on_later (self->tasks);
  if (status == MP_RING_DONE)
    {
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

/* A task that is withdrawn already: whoever takes it looks whether to leave. */
static void
mp_pool_core_feed_nudges (MpPoolCore *self)
{
  while (self->n_nudges > 0 && self->n_free_slots > 0)
    {
      guint index = self->free_slots[--self->n_free_slots];
      MpSlot *slot = &self->slots[index];
      MpTaskHeader header = { .task_id = G_MAXUINT64, .slot = index };
      const GOutputVector part = { &header, sizeof header };
      const MpRecord record = { &part, 1, MP_CODEC_RAW };

      memset (slot, 0, sizeof *slot);
      slot->task_id = header.task_id;
      slot->used = TRUE;
      mp_claims_queue (self->claims, index);
      mp_claims_withdraw (self->claims, index);
      if (mp_ring_put (self->tasks, &record, 1, MP_RING_PUT_NONE, MP_DEADLINE_NOW) != MP_RING_DONE)
        {
          mp_pool_core_free_slot (self, index);
          return;
        }
      self->n_nudges--;
    }
}

void
mp_pool_core_feed (MpPoolCore *self)
{
  guint limit = MP_FEED_TASKS;
  gboolean more = TRUE;

  if (self->n_nudges > 0 && !self->tasks_closed && !self->ended)
    mp_pool_core_feed_nudges (self);
  while (more && self->broken == NULL && !self->tasks_closed && !self->ended &&
         (!g_queue_is_empty (&self->retries) || self->lanes->len > 0))
    {
      g_autoptr (GPtrArray) scratch = g_ptr_array_new_with_free_func (g_free);
      MpFeed feed;

      feed.n = 0;
      feed.scratch = scratch;
      mp_feed_fill (self, &feed, limit);
      more = feed.n > 0 && mp_feed_put (self, &feed, &limit);
    }
  mp_pool_core_note_in_flight (self);
}
