/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-pool-private.h"

#include "../base/mp-clock-private.h"
#include "../base/mp-error.h"
#include "../process/mp-context-private.h"
#include "../process/mp-pump-private.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

/* The processes of a pool: started, watched, and when one dies, what it had is
 * found out and it is replaced. */

#define MP_POOL_PYTHON_TASK "multiprocessing_gi._worker:main"
/* How many first workers are asked for before one is known to run. */
#define MP_POOL_STARTS_AHEAD 8
#define MP_POOL_MAX_FAILED_STARTS 5
#define MP_POOL_RETRY_START_MS 100
#define MP_POOL_FAILING_TIME G_USEC_PER_SEC
#define MP_POOL_EARLY_DEATH_MS 5
#define MP_POOL_EARLY_DEATH_MAX_MS 1000

/* What all workers are handed alike. Those that are started together share its descriptors
 * until each has its own. */
typedef struct
{
  GUnixFDList *fd_list;
  GVariant *layout;
  int claims;
} MpPoolHandle;

static void
mp_pool_handle_clear (MpPoolHandle *self)
{
  g_clear_object (&self->fd_list);
  g_clear_pointer (&self->layout, g_variant_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (MpPoolHandle, mp_pool_handle_clear)

static GVariant *
mp_pool_handle_build_layout (MpPoolCore *core, GVariant *tasks, GVariant *results)
{
  const MpPoolSettings *settings = &core->settings;
  g_auto (GVariantDict) layout = G_VARIANT_DICT_INIT (NULL);

  g_variant_dict_insert_value (&layout, "tasks", tasks);
  g_variant_dict_insert_value (&layout, "results", results);
  g_variant_dict_insert (&layout, "max-tasks", "u", settings->max_tasks_per_worker);
  g_variant_dict_insert (&layout, "max-age", "x", settings->max_worker_age);
  g_variant_dict_insert (&layout, "max-memory", "t", settings->max_worker_memory);
  g_variant_dict_insert (&layout, "capture", "b", settings->capture_output);
  if (settings->worker_data != NULL)
    g_variant_dict_insert_value (&layout,
                                 "data",
                                 g_variant_new_from_bytes (G_VARIANT_TYPE_BYTESTRING,
                                                           settings->worker_data,
                                                           TRUE));
  return g_variant_ref_sink (g_variant_dict_end (&layout));
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

static gboolean
mp_pool_handle_init (MpPoolHandle *self, MpPoolCore *core, GError **error)
{
  g_autoptr (GUnixFDList) fd_list = mp_pool_copy_fd_list (core->settings.worker_fd_list, error);
  g_autoptr (GVariant) tasks = NULL;
  g_autoptr (GVariant) results = NULL;

  if (fd_list == NULL)
    return FALSE;
  tasks = mp_ring_to_handle (core->tasks, fd_list, error);
  if (tasks == NULL)
    return FALSE;
  results = mp_ring_to_handle (core->results, fd_list, error);
  if (results == NULL)
    return FALSE;
  self->claims = g_unix_fd_list_append (fd_list, mp_claims_get_fd (core->claims), error);
  if (self->claims < 0)
    return FALSE;
  self->fd_list = g_steal_pointer (&fd_list);
  self->layout = mp_pool_handle_build_layout (core, tasks, results);
  return TRUE;
}

static GVariant *
mp_pool_handle_build (const MpPoolHandle *self, guint index)
{
  g_auto (GVariantDict) layout = G_VARIANT_DICT_INIT (self->layout);
  GVariantBuilder fds;

  g_variant_dict_insert (&layout, "worker", "u", index);
  g_variant_builder_init (&fds, G_VARIANT_TYPE ("ah"));
  g_variant_builder_add (&fds, "h", self->claims);
  return g_variant_ref_sink (
    g_variant_new ("(su@a{sv}ah)", MP_POOL_HANDLE_KIND, 1, g_variant_dict_end (&layout), &fds));
}

static void
mp_pool_worker_free (MpPoolWorker *self)
{
  /* What it has left behind may go on writing. */
  if (self->process != NULL)
    mp_process_set_line_func (self->process, NULL, NULL);
  g_clear_object (&self->process);
  g_clear_pointer (&self->stop_function, g_free);
  g_clear_pointer (&self->core, mp_pool_core_unref);
  g_free (self);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (MpPoolWorker, mp_pool_worker_free)

static void mp_pool_worker_exited_cb (MpProcess *process, gpointer user_data);

/* The whole number of the job behind the low half that came; 0 for none. */
static guint64
mp_pool_core_find_job_id (MpPoolCore *self, guint32 low)
{
  guint64 id = (self->last_job_id & ~(guint64) G_MAXUINT32) | low;

  return low == 0 ? 0 : id > self->last_job_id ? id - ((guint64) 1 << 32) : id;
}

/* On the pump. */
static void
mp_pool_worker_line_cb (MpProcess *process, guint stream, const char *text, gpointer user_data)
{
  MpPoolWorker *worker = user_data;
  MpPoolCore *core = worker->core;
  g_autofree char *line = g_strdup (text);
  guint32 *job = &worker->output_jobs[stream];
  guint32 next = *job;
  gboolean rest = TRUE;

  mp_pool_output_parse (line, &next, &rest);
  if (rest)
    {
      MpPoolOutput output = { .pid = mp_process_get_pid (process), .stream = stream };

      mp_pool_core_lock (core);
      output.job_id = mp_pool_core_find_job_id (core, *job);
      output.text = g_steal_pointer (&line);
      g_array_append_val (core->outputs, output);
      mp_announcer_add_pool (core, 0);
      mp_pool_core_unlock (core);
    }
  *job = next;
}

static MpPoolWorker *
mp_pool_worker_new (MpPoolCore *core, const MpPoolHandle *pool_handle, guint index)
{
  g_autoptr (GVariant) handle = mp_pool_handle_build (pool_handle, index);
  MpPoolWorker *self;

  self = g_new0 (MpPoolWorker, 1);
  self->core = mp_pool_core_ref (core);
  self->index = index;
  self->stop_at = MP_DEADLINE_NEVER;
  self->process = mp_process_new_task (core->context,
                                       mp_context_get_runtime (core->context) == MP_RUNTIME_PYTHON
                                         ? MP_POOL_PYTHON_TASK
                                         : MP_POOL_WORKER_TASK,
                                       handle);
  mp_process_set_fd_list (self->process, pool_handle->fd_list);
  mp_process_set_exit_func (self->process, mp_pool_worker_exited_cb, self);
  if (core->settings.capture_output)
    {
      mp_process_set_stdio (self->process, STDOUT_FILENO, MP_STDIO_LINES);
      mp_process_set_stdio (self->process, STDERR_FILENO, MP_STDIO_LINES);
      mp_process_set_line_func (self->process, mp_pool_worker_line_cb, self);
    }
  return self;
}

/* @worker has not been started. */
static void
mp_pool_core_give_up_worker (MpPoolCore *self, MpPoolWorker *worker)
{
  mp_pool_core_lock (self);
  self->workers[worker->index] = NULL;
  self->n_processes--;
  mp_pool_core_unlock (self);
  mp_pool_worker_free (worker);
}

static MpPoolWorker *
mp_pool_core_ask_for_worker (MpPoolCore *self,
                             const MpPoolHandle *handle,
                             guint index,
                             GError **error)
{
  MpPoolWorker *worker = mp_pool_worker_new (self, handle, index);

  mp_pool_core_lock (self);
  self->workers[index] = worker;
  self->n_processes++;
  mp_pool_core_unlock (self);
  if (mp_process_start_request (worker->process, error))
    return worker;
  mp_pool_core_give_up_worker (self, worker);
  return NULL;
}

/* @process is that of @worker, which belongs to the exit function once it runs, and may
 * be gone then. */
static gboolean
mp_pool_core_await_worker (MpPoolCore *self,
                           MpPoolWorker *worker,
                           MpProcess *process,
                           guint index,
                           GCancellable *cancellable,
                           GError **error)
{
  if (!mp_process_start_wait (process, cancellable, error))
    {
      mp_pool_core_give_up_worker (self, worker);
      return FALSE;
    }
  mp_pool_core_lock (self);
  if (self->workers[index] != NULL && self->workers[index]->process == process)
    self->workers[index]->pid = mp_process_get_pid (process);
  mp_pool_core_unlock (self);
  return TRUE;
}

/* Descriptors were short, but each of the many that were asked for at once holds some:
 * one after the other may do. */
static gboolean
mp_pool_core_start_failed_ones (MpPoolCore *self,
                                const MpPoolHandle *handle,
                                const GArray *indices,
                                GCancellable *cancellable,
                                GError **error)
{
  for (guint i = 0; i < indices->len; i++)
    {
      guint index = g_array_index (indices, guint, i);
      MpPoolWorker *worker = mp_pool_core_ask_for_worker (self, handle, index, error);
      g_autoptr (MpProcess) process = worker != NULL ? g_object_ref (worker->process) : NULL;

      if (worker == NULL ||
          !mp_pool_core_await_worker (self, worker, process, index, cancellable, error))
        return FALSE;
    }
  return TRUE;
}

/* Asks for workers up to @n, and notes them and their processes; FALSE if there is none
 * on its way. */
static gboolean
mp_pool_core_ask_ahead (MpPoolCore *self,
                        const MpPoolHandle *handle,
                        guint awaited,
                        guint n,
                        MpPoolWorker **workers,
                        GPtrArray *processes,
                        GError **error)
{
  while (processes->len < n)
    {
      guint next = processes->len;

      workers[next] =
        mp_pool_core_ask_for_worker (self, handle, next, next == awaited ? error : NULL);
      if (workers[next] == NULL)
        break;
      g_ptr_array_add (processes, g_object_ref (workers[next]->process));
    }
  return awaited < processes->len;
}

static gboolean
mp_pool_core_start_all (MpPoolCore *self,
                        const MpPoolHandle *handle,
                        GCancellable *cancellable,
                        GError **error)
{
  g_autofree MpPoolWorker **workers = g_new (MpPoolWorker *, self->n_workers);
  g_autoptr (GPtrArray) processes = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr (GArray) short_ones = g_array_new (FALSE, FALSE, sizeof (guint));
  guint ahead = MP_POOL_STARTS_AHEAD;
  gboolean good = TRUE;

  for (guint i = 0; good ? i < self->n_workers : i < processes->len; i++)
    {
      g_autoptr (GError) failure = NULL;
      guint n_wanted = MIN (self->n_workers, i + ahead);

      if (good)
        good = mp_pool_core_ask_ahead (self, handle, i, n_wanted, workers, processes, error);
      if (i >= processes->len)
        break;
      if (mp_pool_core_await_worker (self,
                                     workers[i],
                                     g_ptr_array_index (processes, i),
                                     i,
                                     cancellable,
                                     &failure))
        continue;
      if (good && g_error_matches (failure, MP_ERROR, MP_ERROR_LIMIT))
        {
          ahead = 1;
          g_array_append_val (short_ones, i);
        }
      else if (good)
        {
          good = FALSE;
          g_propagate_error (error, g_steal_pointer (&failure));
        }
    }
  return good && mp_pool_core_start_failed_ones (self, handle, short_ones, cancellable, error);
}

/* For the first ones: waits until each runs, so that what keeps them from it is
 * reported to whoever makes the pool. None is replaced before. Some are asked for
 * ahead, so that the zygote does not wait for this thread. Without the lock. */
gboolean
mp_pool_core_start_workers (MpPoolCore *self, GCancellable *cancellable, GError **error)
{
  g_auto (MpPoolHandle) handle = { 0 };

  if (g_cancellable_set_error_if_cancelled (cancellable, error) ||
      !mp_pool_handle_init (&handle, self, error) ||
      !mp_pool_core_start_all (self, &handle, cancellable, error))
    return FALSE;
  mp_pool_core_lock (self);
  mp_pool_core_staff_fully (self);
  mp_pool_core_unlock (self);
  return TRUE;
}

static gboolean
mp_pool_respawn_cb (gpointer user_data)
{
  MpPoolCore *core = user_data;

  mp_pool_core_lock (core);
  core->n_scheduled--;
  mp_pool_core_staff (core);
  mp_pool_core_unlock (core);
  return G_SOURCE_REMOVE;
}

static void
mp_pool_core_respawn_later (MpPoolCore *self, guint milliseconds)
{
  g_autoptr (GSource) source = g_timeout_source_new (milliseconds);

  self->n_scheduled++;
  g_source_set_callback (source,
                         mp_pool_respawn_cb,
                         mp_pool_core_ref (self),
                         (GDestroyNotify) mp_pool_core_unref);
  mp_pump_attach (source);
}

static gboolean
mp_pool_core_needs_workers (MpPoolCore *self)
{
  return !self->ended && !self->terminated && self->broken == NULL &&
         !(self->closed && g_queue_is_empty (&self->jobs));
}

static void
mp_pool_core_start_failed (MpPoolCore *self, const GError *error)
{
  if (!mp_pool_core_needs_workers (self))
    return;
  if (self->n_failed_starts++ == 0)
    self->failing_since = g_get_monotonic_time ();
  /* As long as one works, it is only slow; and what is missing may come back. */
  if (self->n_failed_starts >= MP_POOL_MAX_FAILED_STARTS && self->n_processes == 0 &&
      g_get_monotonic_time () - self->failing_since >= MP_POOL_FAILING_TIME)
    {
      mp_pool_core_break (self, error);
      return;
    }
  mp_pool_core_respawn_later (self, MP_POOL_RETRY_START_MS);
}

static void mp_pool_core_clear_failed_place (MpPoolCore *self, MpPoolWorker *worker);

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
      if (worker->doomed || core->broken != NULL)
        mp_pool_core_kill_worker (core, worker->index);
      else if (core->terminated)
        mp_pool_worker_make_end (worker);
      mp_pool_core_unlock (core);
      return;
    }

  mp_pool_core_lock (core);
  core->workers[worker->index] = NULL;
  core->n_processes--;
  mp_pool_core_clear_failed_place (core, worker);
  mp_pool_core_start_failed (core, error);
  mp_pool_core_maybe_end (core);
  mp_pool_core_unlock (core);
  mp_pool_worker_free (worker);
}

/* On the pump, with the lock held. */
static void
mp_pool_core_respawn (MpPoolCore *self, guint index)
{
  g_auto (MpPoolHandle) handle = { 0 };
  g_autoptr (GError) error = NULL;
  MpPoolWorker *worker;

  if (!mp_pool_handle_init (&handle, self, &error))
    {
      mp_pool_core_start_failed (self, error);
      return;
    }
  worker = mp_pool_worker_new (self, &handle, index);
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
  for (guint i = 0; i < self->n_places; i++)
    if (i != index && mp_claims_read (self->claims, i, &other) && other.seq == claim->seq &&
        other.task_id == claim->task_id)
      return FALSE;
  return TRUE;
}

char *
mp_pool_worker_describe_task (MpJobCore *job)
{
  /* A function that is bytes, such as a pickle, has no name. */
  return job->name != NULL ? g_strdup_printf ("the task “%s”", job->name) : g_strdup ("a task");
}

/* The processor time that a process may use is the kernel's to watch, and may be a limit
 * of this whole program. */
static MpLimit
mp_pool_worker_get_limit (MpPoolWorker *self, int exit_code)
{
  return exit_code == -SIGXCPU ? MP_LIMIT_CPU_TIME : mp_process_get_limit_hit (self->process);
}

static GError *
mp_pool_worker_explain_end (MpPoolWorker *self, MpJobCore *job, int exit_code)
{
  g_autofree char *task = mp_pool_worker_describe_task (job);
  g_autofree char *end = mp_pool_worker_describe_end (self, exit_code);

  switch (mp_pool_worker_get_limit (self, exit_code))
    {
    case MP_LIMIT_CPU_TIME:
      return g_error_new (MP_ERROR,
                          MP_ERROR_LIMIT,
                          "Worker %d used all the processor time that it may, while it had %s",
                          self->pid,
                          task);
    case MP_LIMIT_MEMORY:
      return g_error_new (MP_ERROR,
                          MP_ERROR_LIMIT,
                          "Worker %d had more memory than it may, while it had %s",
                          self->pid,
                          task);
    case MP_LIMIT_FILE_SIZE:
      return g_error_new (MP_ERROR,
                          MP_ERROR_LIMIT,
                          "Worker %d wrote a bigger file than it may, while it had %s",
                          self->pid,
                          task);
    case MP_LIMIT_NONE:
    case MP_LIMIT_ADDRESS_SPACE:
    case MP_LIMIT_FILES:
    case MP_LIMIT_PROCESSES:
    case MP_LIMIT_CORE:
    case MP_LIMIT_STACK:
    default:
      break;
    }
  return g_error_new (MP_ERROR, MP_ERROR_PROCESS_DIED, "%s while it had %s", end, task);
}

/* The task that died with its worker. */
static void
mp_pool_core_lose_task (MpPoolCore *self, MpPoolWorker *worker, const MpClaim *claim, int exit_code)
{
  MpSlot *slot = mp_pool_core_get_slot (self, claim->slot, claim->task_id);
  MpJobState fate = mp_pool_worker_get_limit (worker, exit_code) != MP_LIMIT_NONE
                      ? MP_JOB_STATE_LIMIT
                      : MP_JOB_STATE_WORKER_DIED;

  /* Its result came, or it was cancelled. */
  if (slot == NULL)
    return;
  if (slot->job != NULL)
    {
      if (slot->job->worker_pid == 0)
        {
          slot->job->worker_pid = worker->pid;
          slot->job->worker_exit_code = exit_code;
        }
      mp_pool_core_lose_attempt (self,
                                 slot,
                                 fate,
                                 mp_pool_worker_explain_end (worker, slot->job, exit_code));
    }
  mp_pool_core_free_slot (self, claim->slot);
}

/* Whether one has asked for a task. */
static gboolean
mp_pool_core_has_begun (MpPoolCore *self)
{
  for (guint i = 0; i < self->n_places; i++)
    if (self->workers[i] != NULL && mp_claims_get_attached (self->claims, i) != 0)
      return TRUE;
  return FALSE;
}

/* What may be too little for a worker to begin. */
static char *
mp_pool_core_describe_limits (MpPoolCore *self)
{
  g_auto (MpContextConfig) config = { 0 };

  mp_context_get_config (self->context, &config);
  return mp_surroundings_describe_limits (&config.surroundings);
}

/* A worker that ends before it asked for a task will end so again: replaced
 * ever more slowly, and, unless another one works, not for ever. */
static void
mp_pool_core_replace (MpPoolCore *self, MpPoolWorker *worker, gboolean early, int exit_code)
{
  guint delay;

  if (!early)
    {
      self->n_early_deaths = 0;
      self->n_early_exits = 0;
      mp_pool_core_staff (self);
      return;
    }

  self->n_early_deaths++;
  /* Whoever kills workers may well kill young ones. */
  if (mp_pool_core_has_begun (self))
    self->n_early_exits = 0;
  else if (exit_code != -SIGKILL && exit_code != -SIGTERM)
    self->n_early_exits++;
  if (self->n_early_exits >= self->n_workers + 3)
    {
      g_autofree char *end = mp_pool_worker_describe_end (worker, exit_code);
      g_autofree char *limits = mp_pool_core_describe_limits (self);
      g_autoptr (GError) error = g_error_new (MP_ERROR,
                                              MP_ERROR_PROCESS_DIED,
                                              "Workers%s end before they take a task: %s",
                                              limits,
                                              end);

      mp_pool_core_break (self, error);
      return;
    }
  delay = MP_POOL_EARLY_DEATH_MS << MIN (self->n_early_deaths, 8);
  mp_pool_core_respawn_later (self, MIN (delay, MP_POOL_EARLY_DEATH_MAX_MS));
}

/* @claim: (nullable): what it had */
static void
mp_pool_core_note_exit (MpPoolCore *self, MpPoolWorker *worker, const MpClaim *claim, int exit_code)
{
  MpPoolExit exit = { .pid = worker->pid, .exit_code = exit_code, .limit = worker->limit };
  MpSlot *slot = claim != NULL ? mp_pool_core_get_slot (self, claim->slot, claim->task_id) : NULL;

  exit.job_id = worker->stop_job_id;
  exit.function = g_strdup (worker->stop_function);
  if (slot != NULL && slot->job != NULL)
    {
      exit.job_id = slot->job->id;
      g_free (exit.function);
      exit.function = g_strdup (slot->job->name);
    }
  if (mp_pool_worker_get_limit (worker, exit_code) == MP_LIMIT_CPU_TIME)
    exit.limit = "time";
  else if (mp_pool_worker_get_limit (worker, exit_code) == MP_LIMIT_MEMORY)
    exit.limit = "memory";
  g_array_append_val (self->exits, exit);
  mp_announcer_add_pool (self, 0);
}

/* What whoever had the place leaves behind. TRUE if nobody came so far as to ask for
 * a task. */
static gboolean
mp_pool_core_clear_place (MpPoolCore *self, MpPoolWorker *worker, int exit_code)
{
  gboolean early = mp_claims_get_attached (self->claims, worker->index) == 0;
  gboolean had_task;
  MpClaim claim;

  /* It may have died between a commit and the wake that belongs to it. */
  mp_ring_poke (self->tasks);
  mp_ring_poke (self->results);
  /* Looked at before the drain: a worker that took the message after the dead
   * one shows either its claim now or its result then. */
  had_task = mp_pool_core_check_claim (self, worker->index, &claim);
  mp_pool_core_drain (self);
  mp_pool_core_note_exit (self, worker, had_task ? &claim : NULL, exit_code);
  if (had_task)
    mp_pool_core_lose_task (self, worker, &claim, exit_code);
  mp_claims_reset (self->claims, worker->index);
  return early;
}

/* It was not started, as far as is known here; but it may have been, and killed. */
static void
mp_pool_core_clear_failed_place (MpPoolCore *self, MpPoolWorker *worker)
{
  guint32 pid = self->ended ? 0 : mp_claims_get_attached (self->claims, worker->index);

  if (pid == 0)
    return;
  worker->pid = (int) pid;
  mp_pool_core_clear_place (self, worker, -SIGKILL);
  mp_pool_core_feed (self);
}

static void
mp_pool_core_bury (MpPoolCore *self, MpPoolWorker *worker, int exit_code)
{
  gboolean early;

  self->workers[worker->index] = NULL;
  self->n_processes--;
  if (worker->stop != MP_STOP_NONE)
    self->n_stopping--;
  if (self->ended)
    {
      mp_pool_core_note_exit (self, worker, NULL, exit_code);
      return;
    }

  early = mp_pool_core_clear_place (self, worker, exit_code);
  if (self->n_processes <= self->n_wanted)
    mp_claims_dismiss (self->claims, 0);

  if (mp_pool_core_needs_workers (self) && self->n_processes < self->n_wanted)
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
  for (guint i = 0; i < self->n_places; i++)
    mp_pool_core_kill_worker (self, i);
}

MpSlot *
mp_pool_core_get_worker_slot (MpPoolCore *self, guint worker, MpClaim *claim)
{
  MpSlot *slot;

  if (self->workers[worker] == NULL || !mp_claims_read (self->claims, worker, claim))
    return NULL;
  slot = mp_pool_core_get_slot (self, claim->slot, claim->task_id);
  return slot != NULL && slot->job != NULL && mp_claims_is_running (self->claims, claim->slot)
           ? slot
           : NULL;
}

void
mp_pool_core_staff (MpPoolCore *self)
{
  for (guint i = 0; i < self->n_places && mp_pool_core_needs_workers (self) &&
                    self->n_processes + self->n_scheduled < self->n_wanted;
       i++)
    if (self->workers[i] == NULL)
      mp_pool_core_respawn (self, i);
}

/* How many there are to be from now on; whoever calls this asks for a turn. */
void
mp_pool_core_want (MpPoolCore *self, guint n_workers)
{
  guint too_many = self->n_processes > n_workers ? self->n_processes - n_workers : 0;

  self->n_wanted = n_workers;
  mp_claims_dismiss (self->claims, too_many);
  self->n_nudges = too_many;
}

static gboolean
mp_pool_core_make_places (MpPoolCore *self, guint n, GError **error)
{
  if (n <= self->n_places)
    return TRUE;
  if (!mp_claims_allocate (self->claims, n, error))
    return FALSE;
  self->workers = g_renew (MpPoolWorker *, self->workers, n);
  memset (self->workers + self->n_places, 0, (n - self->n_places) * sizeof *self->workers);
  self->n_places = n;
  return TRUE;
}

gboolean
mp_pool_core_resize (MpPoolCore *self, guint n_workers, GError **error)
{
  if (!mp_pool_core_check_open (self, error) || !mp_pool_core_make_places (self, n_workers, error))
    return FALSE;
  if (n_workers == self->n_workers)
    return TRUE;
  self->n_workers = n_workers;
  mp_pool_core_staff_fully (self);
  mp_announcer_add_pool (self, MP_ANNOUNCE_RESIZED);
  return TRUE;
}
