/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-process-types-private.h"

#include "mp-pidfd-private.h"
#include "mp-process-start-private.h"
#include "mp-pump-private.h"
#include "mp-sweep-private.h"
#include "mp-wait-private.h"
#include "../base/mp-clock-private.h"
#include "../base/mp-error.h"
#include "../base/mp-fd-private.h"

/* The life of a process: its start, its end, and those who wait for either. */

/* How long an ended process waits for the report of how it ended. */
#define SETTLE_LIMIT_US G_USEC_PER_SEC

/* One mp_process_join_async(). */
typedef struct
{
  GTask *task;
  GSource *cancel_source;
} Join;

/* --- The end ------------------------------------------------------------ */

static gboolean
emit_exited_cb (gpointer user_data)
{
  GWeakRef *weak = user_data;
  g_autoptr (MpProcess) self = g_weak_ref_get (weak);

  if (self != NULL)
    mp_process_emit_exited (self);
  return G_SOURCE_REMOVE;
}

static gboolean
emit_exited_held_cb (gpointer user_data)
{
  GWeakRef weak;

  g_weak_ref_init (&weak, user_data);
  emit_exited_cb (&weak);
  g_weak_ref_clear (&weak);
  return G_SOURCE_REMOVE;
}

static void
weak_ref_free (gpointer data)
{
  g_weak_ref_clear (data);
  g_free (data);
}

/* Somebody who listens keeps the process until he has heard. Otherwise the
 * emission must not keep it, nor outlive it: in a program that never turns a
 * main loop they would pile up. */
static void
post_exited (MpProcess *self)
{
  g_autoptr (GSource) source = NULL;

  if (self->main_context == NULL)
    return;
  source = g_idle_source_new ();
  g_source_set_priority (source, G_PRIORITY_DEFAULT);
  g_source_set_static_name (source, "MpProcess::exited");
  if (mp_process_has_listeners (self))
    {
      g_source_set_callback (source, emit_exited_held_cb, g_object_ref (self), g_object_unref);
    }
  else
    {
      GWeakRef *weak = g_new0 (GWeakRef, 1);

      g_weak_ref_init (weak, self);
      g_source_set_callback (source, emit_exited_cb, weak, weak_ref_free);
      self->exited_source = g_source_ref (source);
    }
  g_source_attach (source, self->main_context);
}

static void
join_free (Join *join)
{
  if (join->cancel_source != NULL)
    g_source_destroy (join->cancel_source);
  g_clear_pointer (&join->cancel_source, g_source_unref);
  g_object_unref (join->task);
  g_free (join);
}

static void
exited_cb (gpointer owner, guint64 id, int exit_code, int pidfd)
{
  MpProcess *self = owner;
  GQueue joins = G_QUEUE_INIT;
  MpProcessExitFunc exit_func;
  gpointer exit_data;
  Join *join;

  g_mutex_lock (&self->mutex);
  if (self->id != id || self->state != PROCESS_RUNNING)
    {
      g_mutex_unlock (&self->mutex);
      mp_fd_close (pidfd);
      return;
    }
  self->state = PROCESS_ENDED;
  self->pidfd = pidfd;
  self->exit_code = exit_code;
  mp_process_note_limit (self, exit_code);
  exit_func = self->exit_func;
  exit_data = self->exit_data;
  joins = self->joins;
  g_queue_init (&self->joins);
  g_mutex_unlock (&self->mutex);

  mp_wait_word_bump (&self->changes);
  mp_sweep_soon ();
  mp_process_streams_drain (self);
  post_exited (self);
  while ((join = g_queue_pop_head (&joins)) != NULL)
    {
      g_task_return_boolean (join->task, TRUE);
      join_free (join);
    }
  if (exit_func != NULL)
    exit_func (self, exit_data);
}

/* --- The start ---------------------------------------------------------- */

static void
started_cb (gpointer owner, guint64 id, int pid, int pidfd)
{
  MpProcess *self = owner;
  g_autoptr (GUnixFDList) fd_list = NULL;
  g_autoptr (GBytes) data = NULL;
  MpProcessStartFunc start_func;

  g_mutex_lock (&self->mutex);
  if (self->id != id || self->state != PROCESS_STARTING)
    {
      g_mutex_unlock (&self->mutex);
      return;
    }
  self->state = PROCESS_RUNNING;
  self->pid = pid;
  self->pidfd = pidfd;
  /* The process has its own now: whoever waits for the end of a pipe must not
   * wait for us. */
  fd_list = g_steal_pointer (&self->fd_list);
  data = g_steal_pointer (&self->data);
  start_func = g_steal_pointer (&self->start_func);
  mp_process_streams_begin (self);
  g_mutex_unlock (&self->mutex);

  mp_process_watch_limits (self);
  mp_wait_word_bump (&self->changes);
  if (start_func != NULL)
    start_func (self, NULL, self->start_data);
}

static void
failed_cb (gpointer owner, guint64 id, const GError *error)
{
  MpProcess *self = owner;
  MpProcessStartFunc start_func;

  g_mutex_lock (&self->mutex);
  if (self->id != id || self->state != PROCESS_STARTING)
    {
      g_mutex_unlock (&self->mutex);
      return;
    }
  self->state = PROCESS_NEW;
  self->start_error = g_error_copy (error);
  start_func = g_steal_pointer (&self->start_func);
  g_mutex_unlock (&self->mutex);

  mp_wait_word_bump (&self->changes);
  if (start_func != NULL)
    start_func (self, error, self->start_data);
}

static const MpZygoteCallbacks callbacks = { started_cb, failed_cb, exited_cb };

/* With the mutex held, so that no callback comes before the number is known. */
static gboolean
ask_locked (MpProcess *self, GError **error)
{
  MpProcessStart what = {
    .argv = self->argv,
    .task = self->task,
    .data = self->data,
    .codec = self->codec,
    .fd_list = self->fd_list,
    .std_fds = { -1, -1, -1 },
  };
  gboolean asked;

  if (self->state != PROCESS_NEW)
    {
      g_set_error_literal (error, MP_ERROR, MP_ERROR_BUSY, "The process was started before");
      return FALSE;
    }
  g_clear_error (&self->start_error);
  g_clear_pointer (&self->link, mp_zygote_link_unref);
  asked = mp_process_streams_open (self->streams, error);
  for (guint i = 0; i < MP_N_STREAMS; i++)
    what.std_fds[i] = self->streams[i].theirs;
  for (guint i = MP_LIMIT_NONE + 1; i <= MP_LIMIT_LAST; i++)
    self->limits[i] = mp_context_get_limit (self->context, i);
  asked = asked && mp_process_start_ask (self->context,
                                         &what,
                                         &callbacks,
                                         G_OBJECT (self),
                                         &self->link,
                                         &self->id,
                                         error);
  mp_process_streams_close_theirs (self->streams);
  if (!asked)
    return FALSE;
  self->state = PROCESS_STARTING;
  self->starter = getpid ();
  return TRUE;
}

static gboolean
start_is_decided (gpointer data)
{
  MpProcess *self = data;
  gboolean decided;

  g_mutex_lock (&self->mutex);
  decided = self->state != PROCESS_STARTING;
  g_mutex_unlock (&self->mutex);
  return decided;
}

/* TRUE if it was not too late. */
static gboolean
abandon_start (MpProcess *self)
{
  g_autoptr (MpZygoteLink) link = NULL;
  gboolean abandoned;

  g_mutex_lock (&self->mutex);
  abandoned = self->state == PROCESS_STARTING && self->link != NULL;
  if (abandoned)
    {
      self->state = PROCESS_NEW;
      link = mp_zygote_link_ref (self->link);
    }
  g_mutex_unlock (&self->mutex);
  if (abandoned)
    mp_zygote_link_abandon (link, self->id);
  return abandoned;
}

/**
 * mp_process_start:
 * @self: a process that was not started
 * @cancellable: (nullable): to give up
 * @error: return location for an error
 *
 * Starts the process and waits until it exists. The first start of a context
 * also starts its zygote, see [method@Mp.Context.warm_up].
 *
 * Cancelled means that nothing was started; then, and after an error, the
 * process can be started again.
 *
 * Returns: TRUE when the process runs; FALSE with %MP_ERROR_NOT_FOUND when the
 *   command, the task, the interpreter or the working directory does not exist,
 *   %MP_ERROR_NOT_BOOTSTRAPPED, %MP_ERROR_UNSAFE_FORK, which names the threads,
 *   %MP_ERROR_BUSY when it was started before, another error of that domain, or
 *   %G_IO_ERROR_CANCELLED
 *
 * Since: 0.1
 */
gboolean
mp_process_start (MpProcess *self, GCancellable *cancellable, GError **error)
{
  g_return_val_if_fail (MP_IS_PROCESS (self), FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);
  g_return_val_if_fail (self->argv != NULL || self->task != NULL, FALSE);
  g_return_val_if_fail (!mp_pump_is_current_thread (), FALSE);

  return !g_cancellable_set_error_if_cancelled (cancellable, error) &&
         mp_process_start_request (self, error) && mp_process_start_wait (self, cancellable, error);
}

gboolean
mp_process_start_request (MpProcess *self, GError **error)
{
  gboolean asked;

  g_mutex_lock (&self->mutex);
  asked = ask_locked (self, error);
  if (asked && self->main_context == NULL)
    self->main_context = g_main_context_ref_thread_default ();
  g_mutex_unlock (&self->mutex);
  return asked;
}

gboolean
mp_process_start_wait (MpProcess *self, GCancellable *cancellable, GError **error)
{
  while (
    mp_wait_word (&self->changes, start_is_decided, self, MP_DEADLINE_NEVER, FALSE, cancellable) ==
    MP_WAIT_CANCELLED)
    if (abandon_start (self))
      {
        g_cancellable_set_error_if_cancelled (cancellable, error);
        return FALSE;
      }
    else
      {
        cancellable = NULL;
      }
  if (self->start_error != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&self->start_error));
      return FALSE;
    }
  mp_process_notify_started (self);
  return TRUE;
}

/* So that a start that fails at once is told like one that fails later. */
typedef struct
{
  MpProcess *process;
  MpProcessStartFunc func;
  gpointer user_data;
  GError *error;
} FailedStart;

static gboolean
failed_start_cb (gpointer user_data)
{
  FailedStart *failed = user_data;

  if (failed->func != NULL)
    failed->func (failed->process, failed->error, failed->user_data);
  g_object_unref (failed->process);
  g_error_free (failed->error);
  g_free (failed);
  return G_SOURCE_REMOVE;
}

void
mp_process_start_begin (MpProcess *self, MpProcessStartFunc func, gpointer user_data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GSource) source = NULL;
  FailedStart *failed;
  gboolean asked;

  g_mutex_lock (&self->mutex);
  asked = ask_locked (self, &error);
  if (asked)
    {
      self->start_func = func;
      self->start_data = user_data;
    }
  g_mutex_unlock (&self->mutex);
  if (asked)
    return;

  failed = g_new (FailedStart, 1);
  failed->process = g_object_ref (self);
  failed->func = func;
  failed->user_data = user_data;
  failed->error = g_steal_pointer (&error);
  source = g_idle_source_new ();
  g_source_set_priority (source, G_PRIORITY_DEFAULT);
  g_source_set_callback (source, failed_start_cb, failed, NULL);
  mp_pump_attach (source);
}

/* --- Waiting for it ----------------------------------------------------- */

static gboolean
has_ended (gpointer data)
{
  MpProcess *self = data;
  gboolean ended;

  g_mutex_lock (&self->mutex);
  ended = self->state == PROCESS_ENDED;
  g_mutex_unlock (&self->mutex);
  return ended;
}

/* Only who started a process is told of its end. */
static gboolean
check_joinable (MpProcess *self, GError **error)
{
  gboolean started;
  int starter;

  g_mutex_lock (&self->mutex);
  started = self->state >= PROCESS_RUNNING;
  starter = self->starter;
  g_mutex_unlock (&self->mutex);
  if (!started)
    g_set_error_literal (error, MP_ERROR, MP_ERROR_INVALID_ARGUMENT, "The process was not started");
  else if (starter != getpid ())
    g_set_error (error,
                 MP_ERROR,
                 MP_ERROR_NOT_OWNER,
                 "The process was started by another process, %d",
                 starter);
  return started && starter == getpid ();
}

void
mp_process_settle (MpProcess *self)
{
  int pidfd;

  g_mutex_lock (&self->mutex);
  pidfd = self->state == PROCESS_RUNNING && self->starter == getpid () ? self->pidfd : -1;
  g_mutex_unlock (&self->mutex);
  if (pidfd >= 0 && !mp_pump_is_current_thread () && mp_pidfd_has_ended (pidfd))
    mp_wait_word (&self->changes, has_ended, self, mp_deadline_new (SETTLE_LIMIT_US), FALSE, NULL);
}

/**
 * mp_process_join:
 * @self: a process that was started
 * @timeout_us: how long to wait in microseconds; −1 for ever, 0 not at all
 * @cancellable: (nullable): to stop waiting
 * @error: return location for an error
 *
 * Waits until the process has ended. It can be called more than once and from
 * several threads.
 *
 * Returns: TRUE when it has ended; FALSE with %MP_ERROR_TIMED_OUT,
 *   %G_IO_ERROR_CANCELLED, %MP_ERROR_INVALID_ARGUMENT when it was not started,
 *   or %MP_ERROR_NOT_OWNER in a process that did not start it
 *
 * Since: 0.1
 */
gboolean
mp_process_join (MpProcess *self, gint64 timeout_us, GCancellable *cancellable, GError **error)
{
  g_return_val_if_fail (MP_IS_PROCESS (self), FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);
  g_return_val_if_fail (!mp_pump_is_current_thread (), FALSE);

  if (!check_joinable (self, error) || g_cancellable_set_error_if_cancelled (cancellable, error))
    return FALSE;
  mp_process_settle (self);
  switch (mp_wait_word (&self->changes,
                        has_ended,
                        self,
                        mp_deadline_new (timeout_us),
                        FALSE,
                        cancellable))
    {
    case MP_WAIT_DONE:
      return TRUE;
    case MP_WAIT_CANCELLED:
      g_cancellable_set_error_if_cancelled (cancellable, error);
      return FALSE;
    case MP_WAIT_TIMED_OUT:
    case MP_WAIT_INTERRUPTED:
    default:
      g_set_error_literal (error, MP_ERROR, MP_ERROR_TIMED_OUT, "The process did not end in time");
      return FALSE;
    }
}

/**
 * mp_process_wait_ready:
 * @self: a process that was started
 * @timeout_us: how long to wait in microseconds; −1 for ever, 0 not at all
 *
 * Waits until the process has ended, the time is over, or a signal handler ran
 * in the calling thread. For bindings, which have to run their own signal
 * handlers then, and call again.
 *
 * Returns: whether the process has ended
 *
 * Since: 0.1
 */
gboolean
mp_process_wait_ready (MpProcess *self, gint64 timeout_us)
{
  g_return_val_if_fail (MP_IS_PROCESS (self), FALSE);
  g_return_val_if_fail (!mp_pump_is_current_thread (), FALSE);

  if (!check_joinable (self, NULL))
    return FALSE;
  mp_process_settle (self);
  return mp_wait_word (&self->changes, has_ended, self, mp_deadline_new (timeout_us), TRUE, NULL) ==
         MP_WAIT_DONE;
}

static gboolean
join_cancelled_cb (GCancellable *cancellable, gpointer user_data)
{
  g_autoptr (GTask) task = g_object_ref (user_data);
  MpProcess *self = g_task_get_source_object (task);
  Join *found = NULL;

  g_mutex_lock (&self->mutex);
  for (GList *l = self->joins.head; l != NULL; l = l->next)
    if (((Join *) l->data)->task == task)
      {
        found = l->data;
        g_queue_delete_link (&self->joins, l);
        break;
      }
  g_mutex_unlock (&self->mutex);
  if (found != NULL)
    {
      g_task_return_error_if_cancelled (task);
      join_free (found);
    }
  return G_SOURCE_REMOVE;
}

/**
 * mp_process_join_async:
 * @self: a process that was started
 * @cancellable: (nullable): to stop waiting
 * @callback: (scope async) (nullable): called when the process has ended
 * @user_data: passed to @callback
 *
 * Waits until the process has ended, without blocking.
 *
 * Since: 0.1
 */
void
mp_process_join_async (MpProcess *self,
                       GCancellable *cancellable,
                       GAsyncReadyCallback callback,
                       gpointer user_data)
{
  g_autoptr (GTask) task = NULL;
  GError *error = NULL;
  gboolean ended;

  g_return_if_fail (MP_IS_PROCESS (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, mp_process_join_async);
  if (g_task_return_error_if_cancelled (task))
    return;
  if (!check_joinable (self, &error))
    {
      g_task_return_error (task, error);
      return;
    }

  g_mutex_lock (&self->mutex);
  ended = self->state == PROCESS_ENDED;
  if (!ended)
    {
      Join *join = g_new0 (Join, 1);

      join->task = g_object_ref (task);
      if (cancellable != NULL)
        {
          join->cancel_source = g_cancellable_source_new (cancellable);
          g_source_set_callback (join->cancel_source,
                                 G_SOURCE_FUNC (join_cancelled_cb),
                                 g_object_ref (task),
                                 g_object_unref);
          g_source_attach (join->cancel_source, g_task_get_context (task));
        }
      g_queue_push_tail (&self->joins, join);
    }
  g_mutex_unlock (&self->mutex);
  if (ended)
    g_task_return_boolean (task, TRUE);
}

/**
 * mp_process_join_finish:
 * @self: a process
 * @result: what the callback got
 * @error: return location for an error
 *
 * Ends [method@Mp.Process.join_async].
 *
 * Returns: as [method@Mp.Process.join]
 *
 * Since: 0.1
 */
gboolean
mp_process_join_finish (MpProcess *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (MP_IS_PROCESS (self), FALSE);
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}
