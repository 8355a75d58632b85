/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-pool-private.h"

#include "../base/mp-error.h"
#include "../process/mp-pump-private.h"

#include <signal.h>
#include <string.h>

/* The processes of a pool: started, watched, and when one dies, what it had is
 * found out and it is replaced. */

#define MP_POOL_PYTHON_TASK "multiprocessing_gi._worker:main"
#define MP_POOL_MAX_FAILED_STARTS 5
#define MP_POOL_RETRY_START_MS 100
#define MP_POOL_EARLY_DEATH_MS 5
#define MP_POOL_EARLY_DEATH_MAX_MS 1000

static GVariant *
mp_pool_worker_build_handle (MpPoolCore *core, guint index, GUnixFDList *fd_list, GError **error)
{
  g_autoptr (GVariant) tasks = NULL;
  g_autoptr (GVariant) results = NULL;
  GVariantBuilder layout;
  GVariantBuilder fds;
  int claims;

  tasks = mp_ring_to_handle (core->tasks, fd_list, error);
  if (tasks == NULL)
    return NULL;
  results = mp_ring_to_handle (core->results, fd_list, error);
  if (results == NULL)
    return NULL;
  claims = g_unix_fd_list_append (fd_list, mp_claims_get_fd (core->claims), error);
  if (claims < 0)
    return NULL;

  g_variant_builder_init (&layout, G_VARIANT_TYPE ("a{sv}"));
  g_variant_builder_add (&layout, "{sv}", "tasks", tasks);
  g_variant_builder_add (&layout, "{sv}", "results", results);
  g_variant_builder_add (&layout, "{sv}", "worker", g_variant_new_uint32 (index));
  g_variant_builder_add (&layout,
                         "{sv}",
                         "max-tasks",
                         g_variant_new_uint32 (core->max_tasks_per_worker));
  if (core->worker_data != NULL)
    g_variant_builder_add (&layout,
                           "{sv}",
                           "data",
                           g_variant_new_from_bytes (G_VARIANT_TYPE_BYTESTRING,
                                                     core->worker_data,
                                                     TRUE));
  g_variant_builder_init (&fds, G_VARIANT_TYPE ("ah"));
  g_variant_builder_add (&fds, "h", claims);
  return g_variant_ref_sink (g_variant_new ("(sua{sv}ah)", MP_POOL_HANDLE_KIND, 1, &layout, &fds));
}

static GUnixFDList *
mp_pool_copy_fd_list (GUnixFDList *original, GError **error)
{
  g_autoptr (GUnixFDList) copy = g_unix_fd_list_new ();
  const int *fds;
  int n_fds = 0;

  if (original == NULL)
    return g_steal_pointer (&copy);
  fds = g_unix_fd_list_peek_fds (original, &n_fds);
  for (int i = 0; i < n_fds; i++)
    if (g_unix_fd_list_append (copy, fds[i], error) < 0)
      return NULL;
  return g_steal_pointer (&copy);
}

static void
mp_pool_worker_free (MpPoolWorker *self)
{
  g_clear_object (&self->process);
  g_clear_pointer (&self->core, mp_pool_core_unref);
  g_free (self);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (MpPoolWorker, mp_pool_worker_free)

static void mp_pool_worker_exited_cb (MpProcess *process, gpointer user_data);

static MpPoolWorker *
mp_pool_worker_new (MpPoolCore *core, guint index, GError **error)
{
  g_autoptr (GUnixFDList) fd_list = mp_pool_copy_fd_list (core->worker_fd_list, error);
  g_autoptr (GVariant) handle = NULL;
  MpPoolWorker *self;

  if (fd_list == NULL)
    return NULL;
  handle = mp_pool_worker_build_handle (core, index, fd_list, error);
  if (handle == NULL)
    return NULL;
  self = g_new0 (MpPoolWorker, 1);
  self->core = mp_pool_core_ref (core);
  self->index = index;
  self->process = mp_process_new_task (core->context,
                                       mp_context_get_runtime (core->context) == MP_RUNTIME_PYTHON
                                         ? MP_POOL_PYTHON_TASK
                                         : MP_POOL_WORKER_TASK,
                                       handle);
  mp_process_set_fd_list (self->process, fd_list);
  mp_process_set_exit_func (self->process, mp_pool_worker_exited_cb, self);
  return self;
}

/* For the first ones: waits until each runs, so that what keeps them from it is
 * reported to whoever makes the pool. Without the lock. */
gboolean
mp_pool_core_start_workers (MpPoolCore *self, GCancellable *cancellable, GError **error)
{
  for (guint i = 0; i < self->n_workers; i++)
    {
      g_autoptr (MpPoolWorker) worker = mp_pool_worker_new (self, i, error);
      g_autoptr (MpProcess) process = NULL;

      if (worker == NULL)
        return FALSE;
      mp_pool_core_lock (self);
      self->workers[i] = worker;
      self->n_processes++;
      mp_pool_core_unlock (self);

      process = g_object_ref (worker->process);
      if (!mp_process_start (process, cancellable, error))
        {
          mp_pool_core_lock (self);
          self->workers[i] = NULL;
          self->n_processes--;
          mp_pool_core_unlock (self);
          return FALSE;
        }
      /* From here on it is the exit function's, which may have run. */
      g_steal_pointer (&worker);
      mp_pool_core_lock (self);
      if (self->workers[i] != NULL && self->workers[i]->process == process)
        self->workers[i]->pid = mp_process_get_pid (process);
      mp_pool_core_unlock (self);
    }
  return TRUE;
}

static void mp_pool_core_respawn (MpPoolCore *self, guint index);

typedef struct
{
  MpPoolCore *core;
  guint index;
} MpPoolRespawn;

static void
mp_pool_respawn_free (gpointer data)
{
  MpPoolRespawn *self = data;

  mp_pool_core_unref (self->core);
  g_free (self);
}

static gboolean
mp_pool_respawn_cb (gpointer user_data)
{
  MpPoolRespawn *respawn = user_data;

  mp_pool_core_lock (respawn->core);
  mp_pool_core_respawn (respawn->core, respawn->index);
  mp_pool_core_unlock (respawn->core);
  return G_SOURCE_REMOVE;
}

static void
mp_pool_core_respawn_later (MpPoolCore *self, guint index, guint milliseconds)
{
  g_autoptr (GSource) source = g_timeout_source_new (milliseconds);
  MpPoolRespawn *respawn = g_new (MpPoolRespawn, 1);

  respawn->core = mp_pool_core_ref (self);
  respawn->index = index;
  g_source_set_callback (source, mp_pool_respawn_cb, respawn, mp_pool_respawn_free);
  g_source_attach (source, mp_pump_get_context ());
}

static gboolean
mp_pool_core_needs_workers (MpPoolCore *self)
{
  return !self->ended && !self->terminated && self->broken == NULL &&
         !(self->closed && g_queue_is_empty (&self->jobs));
}

static void
mp_pool_core_start_failed (MpPoolCore *self, guint index, const GError *error)
{
  if (!mp_pool_core_needs_workers (self))
    return;
  if (++self->n_failed_starts < MP_POOL_MAX_FAILED_STARTS)
    {
      mp_pool_core_respawn_later (self, index, MP_POOL_RETRY_START_MS);
      return;
    }
  mp_pool_core_break (self, error);
}

/* On the pump. */
static void
mp_pool_worker_started_cb (MpProcess *process, const GError *error, gpointer user_data)
{
  MpPoolWorker *worker = user_data;
  MpPoolCore *core = worker->core;

  if (error == NULL)
    {
      mp_pool_core_lock (core);
      worker->pid = mp_process_get_pid (process);
      core->n_failed_starts = 0;
      if (worker->doomed || !mp_pool_core_needs_workers (core))
        mp_pool_core_kill_worker (core, worker->index);
      mp_pool_core_unlock (core);
      return;
    }

  mp_pool_core_lock (core);
  core->workers[worker->index] = NULL;
  core->n_processes--;
  mp_pool_core_start_failed (core, worker->index, error);
  mp_pool_core_maybe_end (core);
  mp_pool_core_unlock (core);
  mp_pool_worker_free (worker);
}

/* On the pump, with the lock held. */
static void
mp_pool_core_respawn (MpPoolCore *self, guint index)
{
  g_autoptr (GError) error = NULL;
  MpPoolWorker *worker;

  if (!mp_pool_core_needs_workers (self) || self->workers[index] != NULL)
    return;
  worker = mp_pool_worker_new (self, index, &error);
  if (worker == NULL)
    {
      mp_pool_core_start_failed (self, index, error);
      return;
    }
  self->workers[index] = worker;
  self->n_processes++;
  mp_process_start_begin (worker->process, mp_pool_worker_started_cb, worker);
}

/* How it ended, for people. */
static char *
mp_pool_worker_describe_end (MpPoolWorker *self, int exit_code)
{
  if (exit_code < 0)
    return g_strdup_printf ("Worker %d was killed by signal %d (%s)",
                            self->pid,
                            -exit_code,
                            g_strsignal (-exit_code));
  return g_strdup_printf ("Worker %d exited with code %d", self->pid, exit_code);
}

/* Whether the dead worker had the task it claims: see mp-claims.c. */
static gboolean
mp_pool_core_check_claim (MpPoolCore *self, guint index, MpClaim *claim)
{
  MpClaim other;

  if (!mp_claims_read (self->claims, index, claim))
    return FALSE;
  if ((gint32) (mp_ring_get_taken (self->tasks) - claim->seq) <= 0)
    return FALSE;
  for (guint i = 0; i < self->n_workers; i++)
    if (i != index && mp_claims_read (self->claims, i, &other) && other.seq == claim->seq &&
        other.task_id == claim->task_id)
      return FALSE;
  return TRUE;
}

/* The task that died with its worker. */
static void
mp_pool_core_lose_task (MpPoolCore *self, MpPoolWorker *worker, const MpClaim *claim, int exit_code)
{
  MpSlot *slot = mp_pool_core_get_slot (self, claim->slot, claim->task_id);
  g_autoptr (MpJobCore) job = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *end = NULL;
  guint64 index;
  guint n_items;

  /* Its result came, or it was cancelled. */
  if (slot == NULL)
    return;
  if (slot->job == NULL || (slot->batch != NULL && slot->attempt + 1 < self->max_attempts))
    {
      if (slot->job != NULL)
        mp_pool_core_retry (self, slot, slot->attempt + 1);
      mp_pool_core_free_slot (self, claim->slot);
      return;
    }

  job = mp_job_core_ref (slot->job);
  index = slot->job_index;
  n_items = slot->n_items;
  mp_pool_core_free_slot (self, claim->slot);
  end = mp_pool_worker_describe_end (worker, exit_code);
  /* A function that is bytes, such as a pickle, has no name. */
  if (job->name != NULL)
    g_set_error (&error,
                 MP_ERROR,
                 MP_ERROR_PROCESS_DIED,
                 "%s while it had the task “%s”",
                 end,
                 job->name);
  else
    g_set_error (&error, MP_ERROR, MP_ERROR_PROCESS_DIED, "%s while it had a task", end);
  mp_job_core_resolve_error (job, index, n_items, error);
}

/* A worker that ends before it asked for a task will end so again: replaced
 * ever more slowly, and not for ever. */
static void
mp_pool_core_replace (MpPoolCore *self, MpPoolWorker *worker, gboolean early, int exit_code)
{
  guint delay;

  if (!early)
    {
      self->n_early_deaths = 0;
      mp_pool_core_respawn (self, worker->index);
      return;
    }

  self->n_early_deaths++;
  /* Whoever kills workers may well kill young ones. */
  if (exit_code != -SIGKILL && exit_code != -SIGTERM && self->n_early_deaths >= self->n_workers + 3)
    {
      g_autofree char *end = mp_pool_worker_describe_end (worker, exit_code);
      g_autoptr (GError) error = g_error_new (MP_ERROR,
                                              MP_ERROR_PROCESS_DIED,
                                              "Workers end before they take a task: %s",
                                              end);

      mp_pool_core_break (self, error);
      return;
    }
  delay = MP_POOL_EARLY_DEATH_MS << MIN (self->n_early_deaths, 8);
  mp_pool_core_respawn_later (self, worker->index, MIN (delay, MP_POOL_EARLY_DEATH_MAX_MS));
}

static void
mp_pool_core_bury (MpPoolCore *self, MpPoolWorker *worker, int exit_code)
{
  MpPoolExit exit = { worker->pid, exit_code };
  gboolean early;
  MpClaim claim;

  self->workers[worker->index] = NULL;
  self->n_processes--;
  g_array_append_val (self->exits, exit);
  mp_announcer_add_pool (self, 0);
  if (self->ended)
    return;

  early = !mp_claims_is_attached (self->claims, worker->index);
  /* It may have died between a commit and the wake that belongs to it. */
  mp_ring_poke (self->tasks);
  mp_ring_poke (self->results);
  /* Looked at before the drain: a worker that took the message after the dead
   * one shows either its claim now or its result then. */
  if (mp_pool_core_check_claim (self, worker->index, &claim))
    {
      mp_pool_core_drain (self);
      mp_pool_core_lose_task (self, worker, &claim, exit_code);
    }
  else
    mp_pool_core_drain (self);
  mp_claims_reset (self->claims, worker->index);

  if (mp_pool_core_needs_workers (self))
    mp_pool_core_replace (self, worker, early, exit_code);
  mp_pool_core_feed (self);
  mp_pool_core_maybe_end (self);
}

/* On the pump. */
static void
mp_pool_worker_exited_cb (MpProcess *process, gpointer user_data)
{
  g_autoptr (MpPoolWorker) worker = user_data;
  g_autoptr (MpPoolCore) core = mp_pool_core_ref (worker->core);

  worker->pid = mp_process_get_pid (process);
  mp_pool_core_lock (core);
  mp_pool_core_bury (core, worker, mp_process_get_exit_code (process));
  mp_pool_core_unlock (core);
}

void
mp_pool_core_kill_worker (MpPoolCore *self, guint index)
{
  MpPoolWorker *worker = self->workers[index];

  /* Fails only for one that does not run: not any more, or not yet as far as
   * this process knows. Then it may still have a task already, at whose end it
   * stands still until it is killed. */
  if (worker != NULL && !mp_process_kill (worker->process, NULL))
    worker->doomed = TRUE;
}

void
mp_pool_core_kill_workers (MpPoolCore *self)
{
  for (guint i = 0; i < self->n_workers; i++)
    mp_pool_core_kill_worker (self, i);
}
