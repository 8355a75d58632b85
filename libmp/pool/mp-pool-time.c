/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-pool-private.h"

#include "../base/mp-clock-private.h"
#include "../base/mp-error.h"
#include "../base/mp-memory-use-private.h"
#include "../process/mp-pump-private.h"

#include <signal.h>

/* What a pool does because time passed: ends tasks that take too long, stops
 * workers step by step, feeds what waited for its next attempt, looks at the memory
 * that workers use, and lets those go that nobody needs.
 *
 * There is one alarm, a source of the pump's, set to the earliest of all the times
 * that anybody asked for; whoever is still waiting then asks again. Everything here
 * is called with the core's lock held. */

#define MP_POOL_LEAST_WAIT 1000
#define MP_POOL_MEMORY_PERIOD (50 * 1000)

static void mp_pool_core_ring_alarm (MpPoolCore *self, gint64 now);

static gboolean
mp_pool_alarm_dispatch (GSource *source, GSourceFunc callback, gpointer user_data)
{
  return callback (user_data);
}

static gboolean
mp_pool_alarm_cb (gpointer user_data)
{
  MpPoolCore *self = user_data;

  mp_pool_core_lock (self);
  if (!self->ended)
    {
      self->alarm_at = 0;
      g_source_set_ready_time (self->alarm, -1);
      mp_pool_core_ring_alarm (self, g_get_monotonic_time ());
    }
  mp_pool_core_unlock (self);
  return G_SOURCE_CONTINUE;
}

void
mp_pool_core_request_alarm (MpPoolCore *self, gint64 when)
{
  static GSourceFuncs funcs = { .dispatch = mp_pool_alarm_dispatch };

  if (self->ended || when == MP_DEADLINE_NEVER)
    return;
  if (self->alarm == NULL)
    {
      self->alarm = g_source_new (&funcs, sizeof (GSource));
      g_source_set_static_name (self->alarm, "mp_pool_alarm");
      g_source_set_callback (self->alarm,
                             mp_pool_alarm_cb,
                             mp_pool_core_ref (self),
                             (GDestroyNotify) mp_pool_core_unref);
      mp_pump_attach (self->alarm);
    }
  if (self->alarm_at != 0 && self->alarm_at <= when)
    return;
  self->alarm_at = when;
  g_source_set_ready_time (self->alarm, when);
}

static void
mp_pool_worker_end_stop (MpPoolWorker *self)
{
  self->stop = MP_STOP_NONE;
  self->stop_at = MP_DEADLINE_NEVER;
  self->stop_job_id = 0;
  g_clear_pointer (&self->stop_function, g_free);
  self->core->n_stopping--;
}

static void
mp_pool_worker_kill (MpPoolWorker *self)
{
  self->stop = MP_STOP_KILLED;
  self->stop_at = MP_DEADLINE_NEVER;
  mp_pool_core_kill_worker (self->core, self->index);
}

static void
mp_pool_worker_terminate (MpPoolWorker *self)
{
  self->stop = MP_STOP_TERMINATED;
  self->stop_at = mp_deadline_new (self->core->settings.kill_grace);
  if (self->stop_at == MP_DEADLINE_NOW || !mp_process_send_signal (self->process, SIGTERM, NULL))
    mp_pool_worker_kill (self);
}

static void
mp_pool_worker_take_step (MpPoolWorker *self)
{
  if (self->stop != MP_STOP_ASKED)
    mp_pool_worker_kill (self);
  else if (mp_claims_doom (self->core->claims, self->stop_slot, self->index))
    mp_pool_worker_terminate (self);
  else
    mp_pool_worker_end_stop (self);
}

static void
mp_pool_worker_stop (MpPoolWorker *self, guint slot, gint64 grace)
{
  MpPoolCore *core = self->core;
  const MpSlot *stopped = &core->slots[slot];

  if (self->stop == MP_STOP_NONE)
    core->n_stopping++;
  self->stop = MP_STOP_ASKED;
  self->stop_slot = slot;
  self->stop_at = mp_deadline_new (grace);
  g_clear_pointer (&self->stop_function, g_free);
  if (stopped->job != NULL)
    {
      self->stop_job_id = stopped->job->id;
      self->stop_function = g_strdup (stopped->job->name);
    }
  if (self->stop_at == MP_DEADLINE_NOW)
    mp_pool_worker_take_step (self);
  else
    mp_pool_core_request_alarm (core, self->stop_at);
}

/* NULL if no worker has it. */
static MpPoolWorker *
mp_pool_core_ask_to_end (MpPoolCore *self, guint slot)
{
  guint worker;

  if (mp_claims_cancel (self->claims, slot, &worker) != MP_CLAIMS_CANCEL_ASKED ||
      worker >= self->n_places || self->workers[worker] == NULL)
    return NULL;
  mp_claims_tell_asked (self->claims, worker);
  return self->workers[worker];
}

void
mp_pool_core_stop_task (MpPoolCore *self, guint slot)
{
  MpPoolWorker *worker = mp_pool_core_ask_to_end (self, slot);

  if (worker != NULL)
    mp_pool_worker_stop (worker, slot, self->settings.cancel_grace);
}

void
mp_pool_core_kill_task (MpPoolCore *self, guint slot)
{
  MpPoolWorker *worker = mp_pool_core_ask_to_end (self, slot);

  if (worker == NULL)
    return;
  mp_pool_worker_stop (worker, slot, 0);
  if (worker->stop == MP_STOP_TERMINATED)
    mp_pool_worker_take_step (worker);
}

void
mp_pool_worker_make_end (MpPoolWorker *self)
{
  if (self->stop >= MP_STOP_TERMINATED)
    return;
  if (self->stop == MP_STOP_NONE)
    self->core->n_stopping++;
  mp_pool_worker_terminate (self);
  mp_pool_core_request_alarm (self->core, self->stop_at);
}

void
mp_pool_core_stop_workers (MpPoolCore *self)
{
  for (guint i = 0; i < self->n_places; i++)
    {
      MpPoolWorker *worker = self->workers[i];

      if (worker != NULL && worker->pid != 0)
        mp_pool_worker_make_end (worker);
    }
}

static void
mp_pool_core_check_stops (MpPoolCore *self, gint64 now)
{
  for (guint i = 0; self->n_stopping > 0 && i < self->n_places; i++)
    {
      MpPoolWorker *worker = self->workers[i];

      if (worker == NULL || worker->stop == MP_STOP_NONE)
        continue;
      if (worker->stop_at != MP_DEADLINE_NEVER && worker->stop_at <= now)
        mp_pool_worker_take_step (worker);
      mp_pool_core_request_alarm (self, worker->stop_at);
    }
}

static void
mp_pool_core_time_out (MpPoolCore *self, guint index)
{
  MpSlot *slot = &self->slots[index];
  g_autofree char *task = mp_pool_worker_describe_task (slot->job);
  GError *error = g_error_new (MP_ERROR,
                               MP_ERROR_TIMED_OUT,
                               "It took longer than %g s: %s",
                               (double) slot->timeout / G_USEC_PER_SEC,
                               task);

  mp_pool_core_stop_task (self, index);
  mp_pool_core_lose_attempt (self, slot, MP_JOB_STATE_TIMED_OUT, error);
}

/* A worker notes when it takes a task, so it is known for all that run; what does
 * not run yet cannot be over before the least timeout from now. */
static void
mp_pool_core_check_timeouts (MpPoolCore *self, gint64 now)
{
  gint64 next = now + self->least_timeout;

  if (self->n_timed == 0)
    return;
  for (guint i = 0; i < self->n_places; i++)
    {
      MpClaim claim;
      MpSlot *slot = mp_pool_core_get_worker_slot (self, i, &claim);
      gint64 left;

      if (slot == NULL || slot->timeout == 0)
        continue;
      /* What a worker writes is not believed to lie in the future. */
      left = slot->timeout - (now - MIN (claim.began, now));
      if (left <= 0)
        mp_pool_core_time_out (self, claim.slot);
      else
        next = MIN (next, now + left);
    }
  mp_pool_core_request_alarm (self, MAX (next, now + MP_POOL_LEAST_WAIT));
}

static void
mp_pool_core_hit_limit (MpPoolCore *self, MpPoolWorker *worker, guint index, guint64 used)
{
  MpSlot *slot = &self->slots[index];
  g_autofree char *task = mp_pool_worker_describe_task (slot->job);
  g_autofree char *has = g_format_size_full (used, G_FORMAT_SIZE_IEC_UNITS);
  g_autofree char *may =
    g_format_size_full (self->settings.worker_memory_limit, G_FORMAT_SIZE_IEC_UNITS);
  GError *error = g_error_new (MP_ERROR,
                               MP_ERROR_LIMIT,
                               "Worker %d had %s of memory, of %s that it may have, with %s",
                               worker->pid,
                               has,
                               may,
                               task);

  worker->limit = "memory";
  mp_pool_core_kill_task (self, index);
  mp_pool_core_lose_attempt (self, slot, MP_JOB_STATE_LIMIT, error);
}

static void
mp_pool_core_check_memory (MpPoolCore *self, gint64 now)
{
  const guint64 limit = self->settings.worker_memory_limit;

  if (limit == 0 || self->n_free_slots == self->n_slots)
    return;
  for (guint i = 0; i < self->n_places; i++)
    {
      MpClaim claim;
      guint64 used;

      if (mp_pool_core_get_worker_slot (self, i, &claim) == NULL)
        continue;
      used = mp_memory_use_read (self->workers[i]->pid);
      if (used > limit)
        mp_pool_core_hit_limit (self, self->workers[i], claim.slot, used);
    }
  mp_pool_core_request_alarm (self, now + MP_POOL_MEMORY_PERIOD);
}

/* As many as were needed at most since the last look stay. */
static void
mp_pool_core_check_idle (MpPoolCore *self, gint64 now)
{
  const guint least = MIN (self->settings.min_workers, self->n_workers);

  if (self->settings.idle_timeout < 0 || self->n_wanted <= least)
    return;
  if (now >= self->look_for_idle_at)
    {
      guint needed = CLAMP (self->most_in_flight, least, self->n_workers);

      self->most_in_flight = self->n_slots - self->n_free_slots;
      self->look_for_idle_at = now + MAX (self->settings.idle_timeout, MP_POOL_LEAST_WAIT);
      if (needed < self->n_wanted)
        mp_pool_core_want (self, needed);
    }
  mp_pool_core_request_alarm (self, self->look_for_idle_at);
}

/* The pool has all its workers from now on, until they are found to be idle. */
void
mp_pool_core_staff_fully (MpPoolCore *self)
{
  gint64 now = g_get_monotonic_time ();

  mp_pool_core_want (self, self->n_workers);
  self->look_for_idle_at = now + MAX (self->settings.idle_timeout, MP_POOL_LEAST_WAIT);
  mp_pool_core_check_idle (self, now);
  mp_pool_core_request_tick (self);
}

/* Something was fed, or not. */
void
mp_pool_core_note_in_flight (MpPoolCore *self)
{
  guint in_flight = self->n_slots - self->n_free_slots;

  self->most_in_flight = MAX (self->most_in_flight, in_flight);
  if (in_flight > 0 && self->settings.worker_memory_limit > 0)
    mp_pool_core_request_alarm (self, g_get_monotonic_time () + MP_POOL_MEMORY_PERIOD);
  /* Some have left because they had nothing to do. */
  if (self->n_wanted < self->n_workers && in_flight > self->n_wanted)
    mp_pool_core_staff_fully (self);
}

static void
mp_pool_core_ring_alarm (MpPoolCore *self, gint64 now)
{
  /* What was done in time counts. */
  mp_pool_core_drain (self);
  mp_pool_core_check_timeouts (self, now);
  mp_pool_core_check_memory (self, now);
  mp_pool_core_check_stops (self, now);
  mp_pool_core_check_idle (self, now);
  mp_pool_core_feed_delayed (self, now);
  mp_pool_core_feed (self);
}
