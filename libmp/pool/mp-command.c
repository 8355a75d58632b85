/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "../base/mp-error-private.h"
#include "../base/mp-fd-private.h"
#include "../process/mp-pidfd-private.h"
#include "../process/mp-process.h"
#include "../process/mp-task-private.h"
#include "mp-pool-private.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

/* The library's own task "mp.command": runs a program and gives back how it
 * ended and what it wrote.
 *
 * The program is a process of the worker's zygote. It leads a process group of
 * its own, which the zygote kills whole when the worker dies; what it leaves
 * behind in the group when it ends is killed then. */

#define MP_COMMAND_READ (64 * 1024)

typedef struct
{
  char **argv;
  MpContext *context;
  MpFd output[2]; /* of standard output and standard error, our ends */
  GByteArray *text[2];
} MpCommand;

static void
mp_command_clear (MpCommand *self)
{
  g_clear_pointer (&self->argv, g_strfreev);
  g_clear_object (&self->context);
  for (guint i = 0; i < 2; i++)
    {
      mp_clear_fd (&self->output[i]);
      g_clear_pointer (&self->text[i], g_byte_array_unref);
    }
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (MpCommand, mp_command_clear)

static gboolean
mp_command_parse_options (MpCommand *self, GVariant *options, GError **error)
{
  g_autoptr (GVariant) cwd = g_variant_lookup_value (options, "cwd", NULL);
  g_autoptr (GVariant) env = g_variant_lookup_value (options, "env", NULL);

  if (cwd != NULL && g_variant_is_of_type (cwd, G_VARIANT_TYPE_STRING))
    mp_context_set_working_directory (self->context, g_variant_get_string (cwd, NULL));
  else if (cwd != NULL && g_variant_is_of_type (cwd, G_VARIANT_TYPE_BYTESTRING))
    mp_context_set_working_directory (self->context, g_variant_get_bytestring (cwd));
  else if (cwd != NULL)
    {
      g_set_error_literal (error,
                           MP_ERROR,
                           MP_ERROR_TYPE,
                           "cwd: a path is needed, of type s or ay");
      return FALSE;
    }

  if (env != NULL)
    {
      g_auto (GStrv) environment = g_get_environ ();
      g_autofree const char **entries = NULL;

      if (!g_variant_is_of_type (env, G_VARIANT_TYPE_STRING_ARRAY))
        {
          g_set_error_literal (error,
                               MP_ERROR,
                               MP_ERROR_TYPE,
                               "env: NAME=value is needed, of type as");
          return FALSE;
        }
      entries = g_variant_get_strv (env, NULL);
      for (guint i = 0; entries[i] != NULL; i++)
        {
          g_auto (GStrv) pair = g_strsplit (entries[i], "=", 2);

          if (g_strv_length (pair) == 2)
            environment = g_environ_setenv (g_steal_pointer (&environment), pair[0], pair[1], TRUE);
        }
      mp_context_set_environment (self->context, (const char *const *) environment);
    }
  return TRUE;
}

static gboolean
mp_command_parse (MpCommand *self, GVariant *argument, GError **error)
{
  self->context = mp_context_new (MP_START_METHOD_FORKSERVER, MP_RUNTIME_COMMAND);
  if (argument != NULL && g_variant_is_of_type (argument, G_VARIANT_TYPE_STRING_ARRAY))
    self->argv = g_variant_dup_strv (argument, NULL);
  else if (argument != NULL && g_variant_is_of_type (argument, G_VARIANT_TYPE ("(asa{sv})")))
    {
      g_autoptr (GVariant) options = g_variant_get_child_value (argument, 1);

      g_variant_get_child (argument, 0, "^as", &self->argv);
      if (!mp_command_parse_options (self, options, error))
        return FALSE;
    }
  else
    {
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_TYPE,
                   "A command is an argument vector of type as, or (asa{sv}) with options, not %s",
                   argument != NULL ? g_variant_get_type_string (argument) : "nothing");
      return FALSE;
    }
  if (self->argv[0] == NULL)
    {
      g_set_error_literal (error, MP_ERROR, MP_ERROR_INVALID_ARGUMENT, "The command has no name");
      return FALSE;
    }
  return TRUE;
}

/* A process is started with the standard output and error that its starter has
 * at that moment, so ours are exchanged for that moment. */
static gboolean
mp_command_start (MpCommand *self, MpProcess *process, GError **error)
{
  g_auto (MpFd) saved_out = -1;
  g_auto (MpFd) saved_err = -1;
  g_auto (MpFd) write_out = -1;
  g_auto (MpFd) write_err = -1;
  int out[2];
  int err[2];
  gboolean started;

  if (pipe2 (out, O_CLOEXEC) < 0)
    return mp_set_error_from_errno (error, errno, "Making a pipe");
  self->output[0] = out[0];
  write_out = out[1];
  if (pipe2 (err, O_CLOEXEC) < 0)
    return mp_set_error_from_errno (error, errno, "Making a pipe");
  self->output[1] = err[0];
  write_err = err[1];

  fflush (NULL);
  saved_out = fcntl (STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
  saved_err = fcntl (STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
  dup2 (write_out, STDOUT_FILENO);
  dup2 (write_err, STDERR_FILENO);
  started = mp_process_start (process, NULL, error);
  if (saved_out >= 0)
    dup2 (saved_out, STDOUT_FILENO);
  else
    close (STDOUT_FILENO);
  if (saved_err >= 0)
    dup2 (saved_err, STDERR_FILENO);
  else
    close (STDERR_FILENO);
  return started;
}

/* What is there now; closes at the end. */
static void
mp_command_read (MpCommand *self, guint i)
{
  guint8 buffer[MP_COMMAND_READ];
  gssize n = read (self->output[i], buffer, sizeof buffer);

  if (n > 0)
    g_byte_array_append (self->text[i], buffer, (guint) n);
  else if (n == 0 || (errno != EAGAIN && errno != EINTR))
    mp_clear_fd (&self->output[i]);
}

/* Until the program has ended, and then what is left in the pipes. */
static void
mp_command_collect (MpCommand *self, MpProcess *process)
{
  int sentinel = mp_process_get_sentinel (process);
  gboolean ended = FALSE;

  for (guint i = 0; i < 2; i++)
    {
      g_unix_set_fd_nonblocking (self->output[i], TRUE, NULL);
      self->text[i] = g_byte_array_new ();
    }
  while (!ended || self->output[0] >= 0 || self->output[1] >= 0)
    {
      struct pollfd fds[3] = {
        { .fd = self->output[0], .events = POLLIN },
        { .fd = self->output[1], .events = POLLIN },
        { .fd = ended ? -1 : sentinel, .events = POLLIN },
      };
      int n = poll (fds, G_N_ELEMENTS (fds), ended ? 0 : -1);

      /* Nothing more, though somebody may hold the other end. */
      if (n == 0)
        break;
      for (guint i = 0; n > 0 && i < 2; i++)
        if (fds[i].revents != 0)
          mp_command_read (self, i);
      if (n > 0 && fds[2].revents != 0)
        {
          ended = TRUE;
          mp_pidfd_kill_group (sentinel, mp_process_get_pid (process));
        }
    }
}

static GVariant *
mp_command_take_text (GByteArray **text)
{
  g_autoptr (GBytes) bytes = g_byte_array_free_to_bytes (g_steal_pointer (text));

  return g_variant_new_from_bytes (G_VARIANT_TYPE_BYTESTRING, bytes, TRUE);
}

static GVariant *
mp_command_run (MpTask *task, GVariant *argument, gpointer user_data, GError **error)
{
  g_auto (MpCommand) self = { .output = { -1, -1 } };
  g_autoptr (MpProcess) process = NULL;
  GVariant *parts[3];

  if (!mp_command_parse (&self, argument, error))
    return NULL;
  process = mp_process_new (self.context, (const char *const *) self.argv);
  if (!mp_command_start (&self, process, error))
    return NULL;
  mp_command_collect (&self, process);
  if (!mp_process_join (process, -1, NULL, error))
    return NULL;
  parts[0] = g_variant_new_int32 (mp_process_get_exit_code (process));
  parts[1] = mp_command_take_text (&self.text[0]);
  parts[2] = mp_command_take_text (&self.text[1]);
  return g_variant_new_tuple (parts, G_N_ELEMENTS (parts));
}

__attribute__ ((constructor)) static void
mp_command_register (void)
{
  mp_task_register (MP_POOL_COMMAND_TASK, mp_command_run, NULL, NULL);
}
