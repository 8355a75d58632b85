/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-pool-private.h"

#include "../base/mp-clock-private.h"
#include "../base/mp-error.h"
#include "../channel/mp-queue-private.h"
#include "../process/mp-pump-private.h"

#include <string.h>
#include <unistd.h>

/* How a pool advances.
 *
 * A caller's thread that submits puts tasks straight into the task ring, as far
 * as the window allows (mp-pool-feed.c); the rest waits in the memory of this
 * process. Workers take a task each, run it, and put the result into the result
 * ring. The pump drains that one, hands the results to their jobs, and feeds.
 *
 * Everything is decided under the core's one lock and acted on after it, by
 * mp_pool_core_unlock(): sleeping threads are woken, GTasks are posted to their
 * main contexts.
 *
 * With much to do the pump is not woken for each result: after a turn that found
 * many, and as long as the workers have enough to go on with, it looks again
 * after a millisecond and not before. Where each of those who wait waits for a
 * whole job, it does that after few as well, and takes longer, the longer that
 * goes on without a worker that runs out of tasks. */

#define MP_POOL_SLOTS 16384
#define MP_POOL_DRAIN_ITEMS 512
#define MP_POOL_DRAIN_BYTES (1024 * 1024)
#define MP_POOL_LATE_RESULTS 32
/* A pause has this part of the time that those who wait have done so, and is at most so long. */
#define MP_POOL_PATIENCE 16
#define MP_POOL_MAX_PAUSE_US 16000

static void
mp_pool_exit_clear (gpointer data)
{
  g_clear_pointer (&((MpPoolExit *) data)->function, g_free);
}

GArray *
mp_pool_exits_new (void)
{
  GArray *exits = g_array_new (FALSE, FALSE, sizeof (MpPoolExit));

  g_array_set_clear_func (exits, mp_pool_exit_clear);
  return exits;
}

MpPoolCore *
mp_pool_core_new (MpContext *context, const MpPoolSettings *settings, GError **error)
{
  g_autoptr (MpPoolCore) self = g_new0 (MpPoolCore, 1);
  guint n_workers = settings->n_workers;

  g_atomic_ref_count_init (&self->ref_count);
  g_mutex_init (&self->lock);
  g_weak_ref_init (&self->object, NULL);
  self->spins[0].trial = MP_POOL_TRIAL_US;
  self->spins[1].penalty = MP_SPIN_YIELD_PENALTY;
  self->generation = mp_pump_get_generation ();
  self->owner = getpid ();
  self->context = g_object_ref (context);
  mp_pool_settings_copy (&self->settings, settings);
  self->announcers = g_ptr_array_new ();
  self->exits = mp_pool_exits_new ();
  self->outputs = mp_pool_outputs_new ();
  self->lanes = g_array_new (FALSE, FALSE, sizeof (MpLane *));
  self->least_urgent = G_MAXINT;
  self->n_workers = n_workers;
  self->n_places = n_workers;
  self->workers = g_new0 (MpPoolWorker *, n_workers);
  /* Twice the workers: what each runs, and what each finds next. */
  self->n_slots = MAX (MP_POOL_SLOTS, 2 * n_workers);
  self->slots = g_new0 (MpSlot, self->n_slots);
  self->free_slots = g_new (guint, self->n_slots);
  self->n_free_slots = self->n_slots;
  for (guint i = 0; i < self->n_slots; i++)
    self->free_slots[i] = self->n_slots - 1 - i;

  self->tasks = mp_ring_new (0, 0, error);
  if (self->tasks == NULL)
    return NULL;
  self->results = mp_ring_new (0, 0, error);
  if (self->results == NULL)
    return NULL;
  self->claims = mp_claims_new (n_workers, MP_POOL_MAX_WORKERS, self->n_slots, error);
  if (self->claims == NULL)
    return NULL;
  return g_steal_pointer (&self);
}

MpPoolCore *
mp_pool_core_ref (MpPoolCore *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

static void
mp_pool_core_release_memory (MpPoolCore *self)
{
  g_clear_pointer (&self->tasks, mp_ring_unref);
  g_clear_pointer (&self->results, mp_ring_unref);
  g_clear_pointer (&self->claims, mp_claims_free);
  if (self->slots != NULL)
    for (guint i = 0; i < self->n_slots; i++)
      g_clear_pointer (&self->slots[i].batch, mp_batch_unref);
  g_clear_pointer (&self->slots, g_free);
  g_clear_pointer (&self->free_slots, g_free);
}

void
mp_pool_core_unref (MpPoolCore *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  g_assert_true (g_queue_is_empty (&self->jobs));
  g_assert_true (self->source == NULL && self->timer == NULL && self->alarm == NULL);
  mp_pool_core_release_memory (self);
  g_clear_pointer (&self->workers, g_free);
  g_clear_pointer (&self->announcers, g_ptr_array_unref);
  g_clear_pointer (&self->exits, g_array_unref);
  g_clear_pointer (&self->outputs, g_array_unref);
  g_clear_pointer (&self->lanes, g_array_unref);
  mp_pool_settings_clear (&self->settings);
  g_clear_pointer (&self->touched, g_ptr_array_unref);
  g_clear_object (&self->context);
  g_clear_error (&self->broken);
  g_weak_ref_clear (&self->object);
  g_mutex_clear (&self->lock);
  g_free (self);
}

gboolean
mp_pool_core_is_ours (MpPoolCore *self)
{
  return self->generation == mp_pump_get_generation ();
}

gboolean
mp_pool_core_check_ours (MpPoolCore *self, GError **error)
{
  if (mp_pool_core_is_ours (self))
    return TRUE;
  g_set_error (error,
               MP_ERROR,
               MP_ERROR_NOT_OWNER,
               "The pool belongs to another process, %d",
               self->owner);
  return FALSE;
}

void
mp_pool_core_lock (MpPoolCore *self)
{
  g_mutex_lock (&self->lock);
}

static void mp_pool_core_turn (MpPoolCore *self);

static gboolean
mp_pool_core_tick_cb (gpointer user_data)
{
  MpPoolCore *self = user_data;

  mp_pool_core_lock (self);
  self->tick_scheduled = FALSE;
  mp_pool_core_turn (self);
  mp_pool_core_unlock (self);
  return G_SOURCE_REMOVE;
}

/* Not at once even on the pump, where the caller is in the middle of something. */
static void
mp_pool_core_attach_tick (MpPoolCore *self)
{
  g_autoptr (GSource) source = g_idle_source_new ();

  g_source_set_priority (source, G_PRIORITY_DEFAULT);
  g_source_set_callback (source,
                         mp_pool_core_tick_cb,
                         mp_pool_core_ref (self),
                         (GDestroyNotify) mp_pool_core_unref);
  mp_pump_attach (source);
}

void
mp_pool_core_unlock (MpPoolCore *self)
{
  g_autoptr (GPtrArray) touched = g_steal_pointer (&self->touched);
  GQueue ready = self->ready;
  gboolean wake_finished = self->wake_finished;
  gboolean wake_ended = self->wake_ended;
  gboolean tick = self->tick && !self->tick_scheduled && !self->ended;

  g_queue_init (&self->ready);
  self->wake_finished = FALSE;
  self->wake_ended = FALSE;
  self->tick = FALSE;
  if (tick)
    self->tick_scheduled = TRUE;
  for (guint i = 0; touched != NULL && i < touched->len; i++)
    ((MpJobCore *) g_ptr_array_index (touched, i))->touched = FALSE;
  g_mutex_unlock (&self->lock);

  for (guint i = 0; touched != NULL && i < touched->len; i++)
    {
      MpJobCore *job = g_ptr_array_index (touched, i);

      mp_sleep_word_wake (&job->finished_word);
      mp_sleep_word_wake (&job->result_word);
    }
  if (wake_finished)
    mp_sleep_word_wake (&self->finished_word);
  if (wake_ended)
    mp_sleep_word_wake (&self->ended_word);
  mp_waiter_post_all (&ready);
  if (tick)
    mp_pool_core_attach_tick (self);
}

void
mp_pool_core_request_tick (MpPoolCore *self)
{
  /* In a child of fork(), a pump would take the parent's results. */
  self->tick = mp_pool_core_is_ours (self);
}

/* Somebody sleeps on one of the words of @job. */
void
mp_pool_core_touch (MpPoolCore *self, MpJobCore *job)
{
  if (job->touched)
    return;
  job->touched = TRUE;
  if (self->touched == NULL)
    self->touched = g_ptr_array_new_with_free_func ((GDestroyNotify) mp_job_core_unref);
  g_ptr_array_add (self->touched, mp_job_core_ref (job));
}

typedef struct
{
  MpPoolCore *core;
  GError *broken;
} MpPoolDrain;

static void
mp_pool_core_handle_progress (MpSlot *slot, const guint8 *data, gsize length)
{
  double fraction;

  if (length != sizeof fraction || slot->job == NULL)
    return;
  memcpy (&fraction, data, sizeof fraction);
  /* Not a number is neither. */
  fraction = fraction > 0.0 ? MIN (fraction, 1.0) : 0.0;
  slot->job->progress_in_flight += (fraction - slot->progress) * slot->n_items;
  slot->progress = fraction;
  mp_announcer_add_job (slot->job, MP_ANNOUNCE_PROGRESS);
}

/* @block: nullable; where the payload lies, and can stay if it is for Python. Anything else is
 * copied before it is looked at. */
static void
mp_pool_core_resolve_slot (MpPoolCore *self,
                           const MpReplyHeader *header,
                           MpCodec codec,
                           const guint8 *data,
                           gsize length,
                           MpRingBlock *block)
{
  MpSlot *slot = &self->slots[header->slot];
  g_autoptr (MpJobCore) job = slot->job != NULL ? mp_job_core_ref (slot->job) : NULL;
  guint64 index = slot->job_index;
  guint n_items = slot->n_items;

  mp_pool_core_free_slot (self, header->slot);
  if (job == NULL)
    return;
  if (header->status == MP_REPLY_OK && block != NULL && !mp_queue_is_readable (codec))
    {
      MpBuffer *buffer = mp_buffer_new_for_block (mp_ring_block_ref (block));

      buffer->offset = (gsize) (data - mp_ring_block_get_data (block));
      mp_job_core_resolve_buffer (job, index, n_items, buffer);
    }
  else if (length > G_MAXINT32)
    {
      g_autoptr (GError) error = g_error_new (MP_ERROR,
                                              MP_ERROR_LIMIT,
                                              "The result has %" G_GSIZE_FORMAT
                                              " bytes, and there is no memory to share them",
                                              length);

      mp_job_core_resolve_error (job, index, n_items, MP_JOB_STATE_FAILED, error);
    }
  else
    mp_job_core_resolve (job,
                         index,
                         n_items,
                         header->status == MP_REPLY_OK ? MP_RESULT_OK : MP_RESULT_ERROR,
                         codec,
                         data,
                         length);
}

static void
mp_pool_core_handle_reply (MpPoolDrain *drain,
                           MpCodec codec,
                           const guint8 *data,
                           gsize length,
                           MpRingBlock *block)
{
  MpPoolCore *self = drain->core;
  MpReplyHeader header;
  MpSlot *slot;

  if (length < sizeof header)
    return;
  memcpy (&header, data, sizeof header);
  data += sizeof header;
  length -= sizeof header;
  if (header.padding > length)
    return;
  data += header.padding;
  length -= header.padding;
  if (header.status == MP_REPLY_INIT_FAILED)
    {
      if (drain->broken == NULL)
        drain->broken = mp_error_payload_parse (data, length, NULL);
      return;
    }
  slot = mp_pool_core_get_slot (self, header.slot, header.task_id);
  if (slot == NULL)
    return;
  if (header.status == MP_REPLY_PROGRESS)
    mp_pool_core_handle_progress (slot, data, length);
  else if (header.status == MP_REPLY_ERROR && mp_pool_core_may_retry (slot, MP_JOB_STATE_FAILED))
    {
      mp_pool_core_lose_attempt (self, slot, MP_JOB_STATE_FAILED, NULL);
      mp_pool_core_free_slot (self, header.slot);
    }
  else
    mp_pool_core_resolve_slot (self, &header, codec, data, length, block);
}

/* Under the lock of the result ring too; what lies in a block comes after it. */
static gboolean
mp_pool_core_take_reply (gpointer user_data,
                         guint32 seq,
                         guint32 n_ready,
                         MpCodec codec,
                         const guint8 *data,
                         gsize length)
{
  if (data != NULL)
    mp_pool_core_handle_reply (user_data, codec, data, length, NULL);
  return TRUE;
}

static MpRingStatus
mp_pool_core_take_replies (MpPoolDrain *drain, gsize *n)
{
  g_autoptr (GPtrArray) blocks =
    g_ptr_array_new_with_free_func ((GDestroyNotify) mp_ring_block_unref);
  MpRingStatus status = mp_ring_take_keeping (drain->core->results,
                                              MP_POOL_DRAIN_ITEMS,
                                              MP_POOL_DRAIN_BYTES,
                                              mp_pool_core_take_reply,
                                              drain,
                                              MP_DEADLINE_NOW,
                                              blocks,
                                              n);

  for (guint i = 0; i < blocks->len; i++)
    {
      MpRingBlock *block = g_ptr_array_index (blocks, i);

      mp_pool_core_handle_reply (drain,
                                 mp_ring_block_get_codec (block),
                                 mp_ring_block_get_data (block),
                                 mp_ring_block_get_length (block),
                                 block);
    }
  return status;
}

/* On the pump, or by who waits for a single task. */
void
mp_pool_core_drain (MpPoolCore *self)
{
  MpPoolDrain drain = { self, NULL };
  MpRingStatus status = MP_RING_DONE;
  gsize left;

  if (self->results == NULL)
    return;
  /* All that is there now, and not what comes meanwhile. */
  left = mp_ring_get_length (self->results);
  /* Workers have run out of tasks, or were about to: the last pause was too long, because they
   * have become faster. What was learnt holds no more. */
  if (left + self->n_workers >= self->n_slots - self->n_free_slots)
    self->steady_since = 0;
  while (left > 0)
    {
      gsize n = 0;

      status = mp_pool_core_take_replies (&drain, &n);
      if (status != MP_RING_DONE)
        break;
      self->n_drained += (guint) n;
      left -= MIN (left, n);
      mp_pool_core_feed (self);
    }
  /* Nobody closes this ring but a worker that writes where it must not. */
  if (status == MP_RING_DONE && mp_ring_is_closed (self->results))
    status = MP_RING_CORRUPT;
  if (status == MP_RING_CORRUPT)
    self->corrupt = TRUE;
  if (status == MP_RING_CORRUPT && drain.broken == NULL)
    mp_ring_set_error (&drain.broken, self->results, status, FALSE);
  if (drain.broken != NULL)
    {
      mp_pool_core_break (self, drain.broken);
      g_error_free (drain.broken);
    }
}

static gboolean
mp_pool_core_source_cb (gpointer user_data)
{
  MpPoolCore *self = user_data;

  mp_pool_core_lock (self);
  mp_pool_core_turn (self);
  mp_pool_core_unlock (self);
  return G_SOURCE_CONTINUE;
}

static GSource *
mp_pool_core_attach (MpPoolCore *self, GSource *source)
{
  g_source_set_callback (source,
                         mp_pool_core_source_cb,
                         mp_pool_core_ref (self),
                         (GDestroyNotify) mp_pool_core_unref);
  mp_pump_attach (source);
  return source;
}

static void
mp_pool_core_clear_source (GSource **source)
{
  if (*source == NULL)
    return;
  g_source_destroy (*source);
  g_clear_pointer (source, g_source_unref);
}

void
mp_pool_core_hurry (MpPoolCore *self)
{
  self->steady_since = 0;
  if (self->timer != NULL && self->timer_pause > 1)
    mp_pool_core_request_tick (self);
}

/* In milliseconds; 0 unless all who wait are patient, and the workers have enough to go on with:
 * if they go on as they have done, half of it is left afterwards. */
static guint
mp_pool_core_choose_long_pause (MpPoolCore *self, guint in_flight)
{
  gint64 now, age, enough;

  if (self->n_patient == 0 || self->n_patient < self->jobs.length)
    {
      self->steady_since = 0;
      return 0;
    }
  now = g_get_monotonic_time ();
  if (self->steady_since == 0)
    {
      self->steady_since = now;
      self->n_since = 0;
    }
  self->n_since += self->n_drained;
  age = now - self->steady_since;
  if (in_flight / 2 <= self->n_workers)
    return 0;
  enough = (in_flight / 2 - self->n_workers) * age / (gint64) MAX (self->n_since, 1);
  return (guint) (MIN (MIN (age / MP_POOL_PATIENCE, MP_POOL_MAX_PAUSE_US), enough) / 1000);
}

/* For how many milliseconds the pump lets results come together; 0: it is woken for the next. */
static guint
mp_pool_core_choose_pause (MpPoolCore *self)
{
  guint in_flight = self->n_slots - self->n_free_slots;
  gboolean more = self->n_unfed > 0 || !g_queue_is_empty (&self->retries);
  guint pause = mp_pool_core_choose_long_pause (self, in_flight);

  if (pause == 0 && self->n_drained >= MP_POOL_LATE_RESULTS &&
      (more ? in_flight > 2 * self->n_drained : in_flight > 0))
    pause = 1;
  self->n_drained = 0;
  return pause;
}

/* Either the ring wakes the pump, or a timer does. */
static void
mp_pool_core_arm (MpPoolCore *self)
{
  guint pause = mp_pool_core_choose_pause (self);

  /* It would be ready for ever; what is left to do comes with the workers' ends. */
  if (self->corrupt)
    {
      mp_pool_core_clear_source (&self->source);
      mp_pool_core_clear_source (&self->timer);
    }
  else if (pause > 0)
    {
      mp_pool_core_clear_source (&self->source);
      if (self->timer_pause != pause)
        mp_pool_core_clear_source (&self->timer);
      if (self->timer == NULL)
        self->timer = mp_pool_core_attach (self, g_timeout_source_new (pause));
      self->timer_pause = pause;
    }
  else
    {
      mp_pool_core_clear_source (&self->timer);
      if (self->source == NULL)
        self->source = mp_pool_core_attach (self, mp_ring_source_new (self->results, G_IO_IN));
    }
}

static void
mp_pool_core_turn (MpPoolCore *self)
{
  if (self->ended)
    return;
  mp_pool_core_drain (self);
  mp_pool_core_staff (self);
  mp_pool_core_feed (self);
  mp_pool_core_maybe_end (self);
  if (!self->ended)
    mp_pool_core_arm (self);
}

void
mp_pool_core_maybe_end (MpPoolCore *self)
{
  if (self->ended || !self->closed || !g_queue_is_empty (&self->jobs))
    return;
  if (!self->tasks_closed)
    {
      /* The workers leave when it is empty. */
      self->tasks_closed = TRUE;
      mp_ring_close (self->tasks, MP_QUEUE_SIDES_PUT);
    }
  if (self->n_processes > 0)
    return;

  self->ended = TRUE;
  mp_pool_core_clear_source (&self->alarm);
  mp_pool_core_clear_source (&self->source);
  mp_pool_core_clear_source (&self->timer);
  mp_pool_core_release_memory (self);
  self->wake_ended = mp_sleep_word_bump (&self->ended_word);
  self->wake_finished = mp_sleep_word_bump (&self->finished_word);
  mp_waiter_move_all (&self->ended_waiters, &self->ready);
}

gboolean
mp_pool_core_check_open (MpPoolCore *self, GError **error)
{
  if (self->broken != NULL)
    {
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_FAILED,
                   "The pool is broken: %s",
                   self->broken->message);
      return FALSE;
    }
  if (self->closed)
    {
      g_set_error_literal (error, MP_ERROR, MP_ERROR_CLOSED, "The pool is closed");
      return FALSE;
    }
  return TRUE;
}

void
mp_pool_core_close (MpPoolCore *self)
{
  if (self->closed)
    return;
  self->closed = TRUE;
  /* Whoever closes waits for the end, not for results. */
  for (GList *link = self->jobs.head; link != NULL; link = link->next)
    mp_job_core_wait_for_all (link->data);
  mp_announcer_add_pool (self, MP_ANNOUNCE_CLOSED);
  mp_pool_core_request_tick (self);
}

void
mp_pool_core_abort (MpPoolCore *self, MpJobState state, const GError *reason)
{
  while (!g_queue_is_empty (&self->jobs))
    mp_job_core_abort (g_queue_peek_head (&self->jobs), state, reason);
}

void
mp_pool_core_terminate (MpPoolCore *self)
{
  g_autoptr (GError) reason =
    g_error_new_literal (G_IO_ERROR, G_IO_ERROR_CANCELLED, "The pool was terminated");

  if (self->ended || self->terminated)
    return;
  self->terminated = TRUE;
  mp_pool_core_close (self);
  mp_pool_core_abort (self, MP_JOB_STATE_CANCELLED, reason);
  mp_pool_core_stop_workers (self);
  mp_pool_core_request_tick (self);
}

void
mp_pool_core_break (MpPoolCore *self, const GError *reason)
{
  if (self->broken != NULL || self->terminated || self->ended)
    return;
  self->broken = g_error_copy (reason);
  mp_pool_core_abort (self, MP_JOB_STATE_FAILED, reason);
  mp_pool_core_kill_workers (self);
  mp_announcer_add_pool (self, MP_ANNOUNCE_BROKEN);
  mp_pool_core_request_tick (self);
}

guint
mp_pool_core_count_busy (MpPoolCore *self)
{
  guint n = 0;
  MpClaim claim;

  for (guint i = 0; self->claims != NULL && i < self->n_places; i++)
    if (self->workers[i] != NULL && mp_claims_read (self->claims, i, &claim))
      n++;
  return n;
}
