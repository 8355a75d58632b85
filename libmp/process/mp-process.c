/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-process-types-private.h"

#include "mp-pidfd-private.h"
#include "../base/mp-error-private.h"
#include "../base/mp-fd-private.h"
#include "../base/mp-payload-private.h"

#include <signal.h>
#include <sys/pidfd.h>

/**
 * MpProcess:
 *
 * A process: a command, or a task of this program or of an interpreter.
 *
 * ```c
 * const char *argv[] = { "sort", "words", NULL };
 * g_autoptr (MpProcess) process = mp_process_new (NULL, argv);
 *
 * if (mp_process_start (process, NULL, &error) && mp_process_join (process, -1, NULL, &error))
 *   g_print ("exit code %d\n", mp_process_get_exit_code (process));
 * ```
 *
 * A process writes to the standard output and error of the process that starts
 * it unless [method@Mp.Process.set_stdio] says otherwise, has its working directory,
 * environment and limits unless the context does, and gets no descriptors but those of
 * [method@Mp.Process.set_fd_list]. Commands also read its standard input; tasks
 * read `/dev/null`. Signal handlers and blocked signals are not inherited.
 *
 * It is bound to the process that started it: when that ends, in whatever way,
 * it is killed, unless [property@Mp.Context:outlive-parent] is set. A command leads a process group
 * of its own, and signals go to all of that group. An object that is let go lets its process run.
 *
 * The exit code is that of the process, or minus the number of the signal that
 * killed it, or 255 when nobody can tell, because its zygote was killed, too,
 * and the kernel does not keep it. A native task ends with 0, or with 1 after
 * an error, which it writes to the standard error, or with what it gives to
 * `exit()`.
 *
 * # Threads
 *
 * A process can be used from any thread. Signals are emitted in the
 * thread-default main context of the call of [method@Mp.Process.start].
 *
 * Since: 0.1
 */
static void mp_process_waitable_iface_init (MpWaitableInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (MpProcess,
                               mp_process,
                               G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (MP_TYPE_WAITABLE,
                                                      mp_process_waitable_iface_init))

enum
{
  PROP_0,
  PROP_CONTEXT,
  PROP_ARGV,
  PROP_TASK_NAME,
  PROP_PID,
  PROP_EXIT_CODE,
  PROP_SENTINEL,
  PROP_ALIVE,
  PROP_LIMIT_HIT,
  N_PROPS
};

enum
{
  SIGNAL_EXITED,
  SIGNAL_LINE,
  N_SIGNALS
};

static GParamSpec *properties[N_PROPS];
static guint signals[N_SIGNALS];

static void
mp_process_constructed (GObject *object)
{
  MpProcess *self = MP_PROCESS (object);

  if (self->context == NULL)
    self->context = g_object_ref (mp_context_get_default ());

  G_OBJECT_CLASS (mp_process_parent_class)->constructed (object);
}

static void
mp_process_finalize (GObject *object)
{
  MpProcess *self = MP_PROCESS (object);

  if (self->exited_source != NULL)
    g_source_destroy (self->exited_source);
  g_clear_pointer (&self->exited_source, g_source_unref);
  g_clear_pointer (&self->main_context, g_main_context_unref);
  g_clear_pointer (&self->link, mp_zygote_link_unref);
  g_clear_object (&self->context);
  g_clear_object (&self->fd_list);
  g_clear_pointer (&self->argv, g_strfreev);
  g_clear_pointer (&self->task, g_free);
  g_clear_pointer (&self->data, g_bytes_unref);
  g_clear_error (&self->start_error);
  mp_process_streams_clear (self->streams);
  if (self->state == PROCESS_ENDED)
    mp_clear_fd (&self->pidfd);
  g_mutex_clear (&self->mutex);

  G_OBJECT_CLASS (mp_process_parent_class)->finalize (object);
}

static void
mp_process_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  MpProcess *self = MP_PROCESS (object);

  switch (prop_id)
    {
    case PROP_CONTEXT:
      g_value_set_object (value, mp_process_get_context (self));
      break;
    case PROP_ARGV:
      g_value_set_boxed (value, mp_process_get_argv (self));
      break;
    case PROP_TASK_NAME:
      g_value_set_string (value, mp_process_get_task_name (self));
      break;
    case PROP_PID:
      g_value_set_int (value, mp_process_get_pid (self));
      break;
    case PROP_EXIT_CODE:
      g_value_set_int (value, mp_process_get_exit_code (self));
      break;
    case PROP_SENTINEL:
      g_value_set_int (value, mp_process_get_sentinel (self));
      break;
    case PROP_ALIVE:
      g_value_set_boolean (value, mp_process_get_alive (self));
      break;
    case PROP_LIMIT_HIT:
      g_value_set_enum (value, mp_process_get_limit_hit (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
mp_process_set_property (GObject *object, guint prop_id, const GValue *value, GParamSpec *pspec)
{
  MpProcess *self = MP_PROCESS (object);

  switch (prop_id)
    {
    case PROP_CONTEXT:
      self->context = g_value_dup_object (value);
      break;
    case PROP_ARGV:
      self->argv = g_value_dup_boxed (value);
      break;
    case PROP_TASK_NAME:
      self->task = g_value_dup_string (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
mp_process_install_properties (GObjectClass *object_class)
{
  const GParamFlags common = G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY;
  const GParamFlags construct = G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | common;
  const GParamFlags readable = G_PARAM_READABLE | common;

  /**
   * MpProcess:context: (getter get_context)
   *
   * How the process is started.
   *
   * Since: 0.1
   */
  properties[PROP_CONTEXT] =
    g_param_spec_object ("context", NULL, NULL, MP_TYPE_CONTEXT, construct);

  /**
   * MpProcess:argv: (getter get_argv)
   *
   * The command, %NULL for a task.
   *
   * Since: 0.1
   */
  properties[PROP_ARGV] = g_param_spec_boxed ("argv", NULL, NULL, G_TYPE_STRV, construct);

  /**
   * MpProcess:task-name: (getter get_task_name)
   *
   * The name of the task, %NULL for a command.
   *
   * Since: 0.1
   */
  properties[PROP_TASK_NAME] = g_param_spec_string ("task-name", NULL, NULL, NULL, construct);

  /**
   * MpProcess:pid: (getter get_pid)
   *
   * The number of the process, 0 before the start.
   *
   * Since: 0.1
   */
  properties[PROP_PID] = g_param_spec_int ("pid", NULL, NULL, 0, G_MAXINT, 0, readable);

  /**
   * MpProcess:exit-code: (getter get_exit_code)
   *
   * How the process ended, %G_MININT until then.
   *
   * Since: 0.1
   */
  properties[PROP_EXIT_CODE] =
    g_param_spec_int ("exit-code", NULL, NULL, G_MININT, G_MAXINT, MP_EXIT_CODE_NONE, readable);

  /**
   * MpProcess:sentinel: (getter get_sentinel)
   *
   * A descriptor that gets readable when the process ends, −1 before the start.
   *
   * Since: 0.1
   */
  properties[PROP_SENTINEL] = g_param_spec_int ("sentinel", NULL, NULL, -1, G_MAXINT, -1, readable);

  /**
   * MpProcess:alive: (getter get_alive)
   *
   * Whether the process runs.
   *
   * Since: 0.1
   */
  properties[PROP_ALIVE] = g_param_spec_boolean ("alive", NULL, NULL, FALSE, readable);

  /**
   * MpProcess:limit-hit: (getter get_limit_hit)
   *
   * Which limit of its context has ended the process; does not notify.
   *
   * Since: 0.1
   */
  properties[PROP_LIMIT_HIT] =
    g_param_spec_enum ("limit-hit", NULL, NULL, MP_TYPE_LIMIT, MP_LIMIT_NONE, readable);

  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
mp_process_class_init (MpProcessClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->constructed = mp_process_constructed;
  object_class->finalize = mp_process_finalize;
  object_class->get_property = mp_process_get_property;
  object_class->set_property = mp_process_set_property;
  mp_process_install_properties (object_class);

  /**
   * MpProcess::exited:
   * @self: the process
   * @exit_code: how it ended, as [property@Mp.Process:exit-code]
   *
   * The process ended. Emitted once, in the thread-default main context of the
   * call of [method@Mp.Process.start], if somebody holds the process until then.
   *
   * Since: 0.1
   */
  signals[SIGNAL_EXITED] = g_signal_new ("exited",
                                         MP_TYPE_PROCESS,
                                         G_SIGNAL_RUN_LAST,
                                         0,
                                         NULL,
                                         NULL,
                                         NULL,
                                         G_TYPE_NONE,
                                         1,
                                         G_TYPE_INT);

  /**
   * MpProcess::line:
   * @self: the process
   * @stream: 1 for its standard output, 2 for error messages
   * @text: the line, without its end; what is not UTF-8 is replaced
   *
   * The process has written a line to a stream that is %MP_STDIO_LINES. Emitted in the
   * thread-default main context of the call of [method@Mp.Process.start], for whoever
   * has connected before; what it writes before its end comes before
   * [signal@Mp.Process::exited]. A line of more than 64 KiB comes in pieces.
   *
   * Since: 0.1
   */
  signals[SIGNAL_LINE] = g_signal_new ("line",
                                       MP_TYPE_PROCESS,
                                       G_SIGNAL_RUN_LAST,
                                       0,
                                       NULL,
                                       NULL,
                                       NULL,
                                       G_TYPE_NONE,
                                       2,
                                       G_TYPE_UINT,
                                       G_TYPE_STRING);
}

/* One that was not started has no descriptor, which is polled for nothing. */
static gboolean
mp_process_prepare (MpWaitable *waitable, GPollFD *poll)
{
  GPollFD now = { .fd = mp_process_get_sentinel (MP_PROCESS (waitable)), .events = G_IO_IN };

  *poll = now;
  return now.fd >= 0 && g_poll (&now, 1, 0) > 0;
}

static void
mp_process_waitable_iface_init (MpWaitableInterface *iface)
{
  iface->prepare = mp_process_prepare;
}

static void
mp_process_init (MpProcess *self)
{
  g_mutex_init (&self->mutex);
  g_queue_init (&self->joins);
  self->pidfd = -1;
  self->exit_code = MP_EXIT_CODE_NONE;
  for (guint i = 0; i < MP_N_STREAMS; i++)
    self->streams[i].given = self->streams[i].theirs = self->streams[i].ours = -1;
}

/**
 * mp_process_new:
 * @context: (nullable): how it is started; %NULL for the default context
 * @argv: (array zero-terminated=1): the command, which is searched in `PATH`,
 *   and its arguments
 *
 * Makes a process that runs a command. Nothing is started yet.
 *
 * Of @context only the environment and the working directory matter.
 *
 * Returns: (transfer full): a new process
 *
 * Since: 0.1
 */
MpProcess *
mp_process_new (MpContext *context, const char *const *argv)
{
  g_return_val_if_fail (context == NULL || MP_IS_CONTEXT (context), NULL);
  g_return_val_if_fail (argv != NULL && argv[0] != NULL, NULL);

  return g_object_new (MP_TYPE_PROCESS, "context", context, "argv", argv, NULL);
}

/**
 * mp_process_new_task:
 * @context: (nullable): how it is started; %NULL for the default context
 * @task: with the runtime %MP_RUNTIME_NATIVE a name given to
 *   [func@Mp.task_register], with %MP_RUNTIME_PYTHON `package.module:function`,
 *   with %MP_RUNTIME_GJS `file.js:function`, with %MP_RUNTIME_MODULE
 *   `libfoo.so:symbol`, where the symbol is a [callback@Mp.TaskFunc]
 * @argument: (nullable): what the task is applied to; consumed if floating
 *
 * Makes a process that runs a task. Nothing is started yet.
 *
 * What the task returns is lost: use [class@Mp.Pool] to get results.
 *
 * Returns: (transfer full): a new process
 *
 * Since: 0.1
 */
MpProcess *
mp_process_new_task (MpContext *context, const char *task, GVariant *argument)
{
  MpProcess *self;

  g_return_val_if_fail (context == NULL || MP_IS_CONTEXT (context), NULL);
  g_return_val_if_fail (task != NULL, NULL);

  self = g_object_new (MP_TYPE_PROCESS, "context", context, "task-name", task, NULL);
  if (argument != NULL)
    self->data = mp_payload_from_variant (argument);
  self->codec = MP_CODEC_GVARIANT;
  return self;
}

/**
 * mp_process_new_data:
 * @context: (nullable): how it is started; %NULL for the default context
 * @task: see [ctor@Mp.Process.new_task]
 * @data: (array length=length): what the task is applied to; copied
 * @length: how many bytes @data has
 * @codec: how they are to be read
 *
 * Makes a process that runs a task with an argument that is serialised
 * already. Nothing is started yet.
 *
 * Returns: (transfer full): a new process
 *
 * Since: 0.1
 */
MpProcess *
mp_process_new_data (MpContext *context,
                     const char *task,
                     const guint8 *data,
                     gsize length,
                     MpCodec codec)
{
  MpProcess *self;

  g_return_val_if_fail (context == NULL || MP_IS_CONTEXT (context), NULL);
  g_return_val_if_fail (task != NULL, NULL);
  g_return_val_if_fail (data != NULL || length == 0, NULL);

  self = g_object_new (MP_TYPE_PROCESS, "context", context, "task-name", task, NULL);
  /* Empty data is data all the same. */
  self->data = g_bytes_new (length > 0 ? (gconstpointer) data : "", length);
  self->codec = codec;
  return self;
}

/**
 * mp_process_set_fd_list:
 * @self: a process that was not started
 * @fd_list: (nullable): descriptors that the process gets
 *
 * Gives descriptors along. A task finds them, in this order, in
 * [method@Mp.Task.get_fd_list]; a command has them as 3, 4, 5 and so on. Once it
 * runs, @self lets go of @fd_list.
 *
 * Since: 0.1
 */
void
mp_process_set_fd_list (MpProcess *self, GUnixFDList *fd_list)
{
  g_return_if_fail (MP_IS_PROCESS (self));
  g_return_if_fail (fd_list == NULL || G_IS_UNIX_FD_LIST (fd_list));
  g_return_if_fail (!mp_process_get_started (self));

  g_set_object (&self->fd_list, fd_list);
}

void
mp_process_set_exit_func (MpProcess *self, MpProcessExitFunc func, gpointer user_data)
{
  g_mutex_lock (&self->mutex);
  self->exit_func = func;
  self->exit_data = user_data;
  g_mutex_unlock (&self->mutex);
}

void
mp_process_set_line_func (MpProcess *self, MpProcessLineFunc func, gpointer user_data)
{
  self->line_func = func;
  self->line_data = user_data;
}

/* --- Telling ------------------------------------------------------------- */

void
mp_process_notify_started (MpProcess *self)
{
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_PID]);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_SENTINEL]);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_ALIVE]);
}

void
mp_process_emit_exited (MpProcess *self)
{
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_ALIVE]);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_EXIT_CODE]);
  g_signal_emit (self, signals[SIGNAL_EXITED], 0, self->exit_code);
}

void
mp_process_emit_line (MpProcess *self, guint stream, const char *text)
{
  g_signal_emit (self, signals[SIGNAL_LINE], 0, stream, text);
}

gboolean
mp_process_has_line_listeners (MpProcess *self)
{
  return g_signal_has_handler_pending (self, signals[SIGNAL_LINE], 0, TRUE);
}

gboolean
mp_process_has_listeners (MpProcess *self)
{
  guint notify = g_signal_lookup ("notify", G_TYPE_OBJECT);

  return g_signal_has_handler_pending (self, signals[SIGNAL_EXITED], 0, TRUE) ||
         g_signal_has_handler_pending (self, notify, 0, TRUE) ||
         g_signal_has_handler_pending (self,
                                       notify,
                                       g_quark_from_static_string ("exit-code"),
                                       TRUE) ||
         g_signal_has_handler_pending (self, notify, g_quark_from_static_string ("alive"), TRUE);
}

/* --- Signals ------------------------------------------------------------- */

/**
 * mp_process_send_signal:
 * @self: a process that was started
 * @signal_number: a signal's number
 * @error: return location for an error
 *
 * Sends a signal to the process, and if it runs a command to all of its process
 * group. When the process has ended already this does nothing and succeeds; it
 * never reaches another process that got the same number.
 *
 * Returns: FALSE with %MP_ERROR_INVALID_ARGUMENT when the process was not
 *   started or there is no such signal, or another error of that domain
 *
 * Since: 0.1
 */
gboolean
mp_process_send_signal (MpProcess *self, int signal_number, GError **error)
{
  g_autoptr (MpZygoteLink) link = NULL;
  int pidfd;

  g_return_val_if_fail (MP_IS_PROCESS (self), FALSE);

  if (signal_number < 0 || signal_number >= NSIG)
    {
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_INVALID_ARGUMENT,
                   "There is no signal %d",
                   signal_number);
      return FALSE;
    }
  g_mutex_lock (&self->mutex);
  pidfd = self->pidfd;
  if (self->argv != NULL && self->state == PROCESS_RUNNING && self->starter == getpid ())
    link = mp_zygote_link_ref (self->link);
  g_mutex_unlock (&self->mutex);

  if (pidfd < 0)
    {
      g_set_error_literal (error,
                           MP_ERROR,
                           MP_ERROR_INVALID_ARGUMENT,
                           "The process was not started");
      return FALSE;
    }
  /* Its zygote is the one that knows whether the group still is its own. */
  if (link != NULL)
    mp_zygote_link_signal_group (link, self->id, signal_number);
  else if (pidfd_send_signal (pidfd, signal_number, NULL, 0) < 0 && errno != ESRCH)
    return mp_set_error_from_errno (error, errno, "Cannot send a signal to the process");
  return TRUE;
}

/**
 * mp_process_terminate:
 * @self: a process that was started
 * @error: return location for an error
 *
 * Asks the process to end, with `SIGTERM`; see [method@Mp.Process.send_signal].
 * Does not wait.
 *
 * Returns: FALSE if that failed
 *
 * Since: 0.1
 */
gboolean
mp_process_terminate (MpProcess *self, GError **error)
{
  return mp_process_send_signal (self, SIGTERM, error);
}

/**
 * mp_process_kill:
 * @self: a process that was started
 * @error: return location for an error
 *
 * Kills the process, with `SIGKILL`; see [method@Mp.Process.send_signal]. Does
 * not wait.
 *
 * Returns: FALSE if that failed
 *
 * Since: 0.1
 */
gboolean
mp_process_kill (MpProcess *self, GError **error)
{
  return mp_process_send_signal (self, SIGKILL, error);
}

/**
 * mp_process_interrupt:
 * @self: a process that was started
 * @error: return location for an error
 *
 * Interrupts the process, with `SIGINT`, as Ctrl+C does; see
 * [method@Mp.Process.send_signal]. Does not wait.
 *
 * Returns: FALSE if that failed
 *
 * Since: 0.1
 */
gboolean
mp_process_interrupt (MpProcess *self, GError **error)
{
  return mp_process_send_signal (self, SIGINT, error);
}

/* --- What is known of it -------------------------------------------------- */

/**
 * mp_process_get_started:
 * @self: a process
 *
 * Whether the process was started, with success.
 *
 * Returns: TRUE from the start on, also after the end
 *
 * Since: 0.1
 */
gboolean
mp_process_get_started (MpProcess *self)
{
  gboolean started;

  g_return_val_if_fail (MP_IS_PROCESS (self), FALSE);

  g_mutex_lock (&self->mutex);
  started = self->state >= PROCESS_RUNNING;
  g_mutex_unlock (&self->mutex);
  return started;
}

/**
 * mp_process_get_alive: (get-property alive)
 * @self: a process
 *
 * Whether the process runs.
 *
 * Returns: TRUE from the start to the end
 *
 * Since: 0.1
 */
gboolean
mp_process_get_alive (MpProcess *self)
{
  gboolean alive;

  g_return_val_if_fail (MP_IS_PROCESS (self), FALSE);

  mp_process_settle (self);
  g_mutex_lock (&self->mutex);
  alive = self->state == PROCESS_RUNNING && !mp_pidfd_has_ended (self->pidfd);
  g_mutex_unlock (&self->mutex);
  return alive;
}

/**
 * mp_process_get_exit_code: (get-property exit-code)
 * @self: a process
 *
 * How the process ended.
 *
 * Returns: its exit code from 0 to 255; minus the number of the signal that
 *   killed it; 255 when nobody can tell; %G_MININT when it has not ended
 *
 * Since: 0.1
 */
int
mp_process_get_exit_code (MpProcess *self)
{
  int exit_code;

  g_return_val_if_fail (MP_IS_PROCESS (self), MP_EXIT_CODE_NONE);

  mp_process_settle (self);
  g_mutex_lock (&self->mutex);
  exit_code = self->exit_code;
  g_mutex_unlock (&self->mutex);
  return exit_code;
}

/**
 * mp_process_get_pid: (get-property pid)
 * @self: a process
 *
 * The number of the process. Use [method@Mp.Process.send_signal] and not
 * `kill()`: when the process has ended, another one can get its number.
 *
 * Returns: the process id, 0 before the start
 *
 * Since: 0.1
 */
int
mp_process_get_pid (MpProcess *self)
{
  int pid;

  g_return_val_if_fail (MP_IS_PROCESS (self), 0);

  g_mutex_lock (&self->mutex);
  pid = self->pid;
  g_mutex_unlock (&self->mutex);
  return pid;
}

/**
 * mp_process_get_sentinel: (get-property sentinel)
 * @self: a process
 *
 * A descriptor that gets readable when the process ends, and stays so: a
 * pidfd, for `poll()` and main loops.
 *
 * Returns: the descriptor, which belongs to @self; −1 before the start
 *
 * Since: 0.1
 */
int
mp_process_get_sentinel (MpProcess *self)
{
  int sentinel;

  g_return_val_if_fail (MP_IS_PROCESS (self), -1);

  g_mutex_lock (&self->mutex);
  sentinel = self->pidfd;
  g_mutex_unlock (&self->mutex);
  return sentinel;
}

/**
 * mp_process_get_context: (get-property context)
 * @self: a process
 *
 * How the process is started.
 *
 * Returns: (transfer none): the context
 *
 * Since: 0.1
 */
MpContext *
mp_process_get_context (MpProcess *self)
{
  g_return_val_if_fail (MP_IS_PROCESS (self), NULL);

  return self->context;
}

/**
 * mp_process_get_argv: (get-property argv)
 * @self: a process
 *
 * The command.
 *
 * Returns: (transfer none) (nullable) (array zero-terminated=1): the command and
 *   its arguments, %NULL for a task
 *
 * Since: 0.1
 */
const char *const *
mp_process_get_argv (MpProcess *self)
{
  g_return_val_if_fail (MP_IS_PROCESS (self), NULL);

  return (const char *const *) self->argv;
}

/**
 * mp_process_get_task_name: (get-property task-name)
 * @self: a process
 *
 * The name of the task.
 *
 * Returns: (transfer none) (nullable): the name, %NULL for a command
 *
 * Since: 0.1
 */
const char *
mp_process_get_task_name (MpProcess *self)
{
  g_return_val_if_fail (MP_IS_PROCESS (self), NULL);

  return self->task;
}
