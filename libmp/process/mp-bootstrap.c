/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-bootstrap-private.h"

#include "mp-bootstrap.h"
#include "mp-child-private.h"
#include "mp-task-private.h"
#include "mp-zygote-private.h"
#include "../base/mp-error.h"
#include "../base/mp-payload-private.h"

#include <stdlib.h>
#include <unistd.h>

static int bootstrapped; /* atomic */

gboolean
mp_bootstrap_parse_numbers (const char *text, gint64 *numbers, guint n)
{
  g_auto (GStrv) parts = g_strsplit (text, ":", -1);

  if (g_strv_length (parts) != n)
    return FALSE;
  for (guint i = 0; i < n; i++)
    if (!g_ascii_string_to_signed (parts[i], 10, G_MININT64, G_MAXINT64, &numbers[i], NULL))
      return FALSE;
  return TRUE;
}

/* Markers name the process they are meant for: one that was inherited by some
 * other program down the line means nothing. */
static gboolean
parse_zygote_marker (const char *marker, gint64 *numbers)
{
  return marker != NULL && mp_bootstrap_parse_numbers (marker, numbers, 3) &&
         numbers[2] == getppid ();
}

static gboolean
parse_start_marker (const char *marker, gint64 *numbers, GArray *fds)
{
  g_auto (GStrv) list = NULL;
  g_autofree char *head = NULL;
  const char *last = marker != NULL ? strrchr (marker, ':') : NULL;

  if (last == NULL)
    return FALSE;
  head = g_strndup (marker, last - marker);
  if (!mp_bootstrap_parse_numbers (head, numbers, 4) || numbers[0] != getpid ())
    return FALSE;
  list = g_strsplit (last + 1, ",", -1);
  for (guint i = 0; list[i] != NULL && *list[i] != '\0' && fds != NULL; i++)
    {
      int fd = (int) g_ascii_strtoll (list[i], NULL, 10);

      g_array_append_val (fds, fd);
    }
  return TRUE;
}

gboolean
mp_bootstrap_check (gboolean by_reexecution, GError **error)
{
  gint64 numbers[4];

  if (g_atomic_int_get (&bootstrapped))
    return TRUE;
  if (by_reexecution || parse_zygote_marker (g_getenv (MP_ENV_ZYGOTE), numbers) ||
      parse_start_marker (g_getenv (MP_ENV_START), numbers, NULL))
    {
      g_set_error_literal (error,
                           MP_ERROR,
                           MP_ERROR_NOT_BOOTSTRAPPED,
                           "This program cannot start processes: it has not called mp_bootstrap(), "
                           "which must come first in main(), after mp_task_register()");
      return FALSE;
    }
  return TRUE;
}

static void
executed_clear (MpExecuted *executed)
{
  g_clear_pointer (&executed->fds, g_array_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (MpExecuted, executed_clear)

static gboolean
take_start_marker (MpExecuted *executed)
{
  gint64 numbers[4];

  executed->fds = g_array_new (FALSE, FALSE, sizeof (int));
  if (!parse_start_marker (g_getenv (MP_ENV_START), numbers, executed->fds))
    return FALSE;
  g_unsetenv (MP_ENV_START);
  executed->kind = numbers[1];
  executed->body_fd = numbers[2];
  executed->link_fd = numbers[3];
  return TRUE;
}

/**
 * mp_bootstrap_take_task:
 * @argument: (out) (optional) (nullable) (transfer full): what the task is applied to
 * @error: return location for an error
 *
 * What this process was executed for: for those who write the program that runs
 * tasks in some language. If it was executed ahead, the function waits until there
 * is a task, and ends the process when none will come. The process then has the
 * standard streams, working directory and environment that it is to have.
 *
 * Call it once, before anything else is done with libmp. Programs in C need none
 * of this: they call [func@Mp.bootstrap].
 *
 * Returns: (transfer full): the task; %NULL with %MP_ERROR_NOT_SUPPORTED if libmp
 *   did not execute this process for a task, or another error of that domain
 *
 * Since: 0.1
 */
MpTask *
mp_bootstrap_take_task (GVariant **argument, GError **error)
{
  g_auto (MpExecuted) executed = { 0 };
  g_autoptr (GUnixFDList) fd_list = NULL;
  g_autoptr (GVariant) value = NULL;
  /* Its environment is the process's from now on. */
  static MpStart start;

  if (argument != NULL)
    *argument = NULL;
  if (!take_start_marker (&executed))
    {
      g_set_error_literal (error,
                           MP_ERROR,
                           MP_ERROR_NOT_SUPPORTED,
                           "libmp runs this program itself, there is no use in calling it");
      return NULL;
    }
  if (!mp_child_take_executed (&executed, &start, error))
    return NULL;
  if (start.data != NULL)
    {
      value = mp_payload_to_variant (start.data, start.data_length, start.codec, error);
      if (value == NULL)
        return NULL;
    }
  fd_list =
    g_unix_fd_list_new_from_array ((const int *) (gpointer) executed.fds->data, executed.fds->len);
  if (argument != NULL)
    *argument = g_steal_pointer (&value);
  return mp_task_new (start.task, 0, 0, fd_list, NULL, NULL);
}

/**
 * mp_bootstrap:
 * @argc: (inout) (optional): the address of `main()`'s argument count
 * @argv: (inout) (optional) (array length=argc): the address of `main()`'s arguments
 *
 * Makes it possible to start tasks of this program in other processes.
 *
 * Call it first in `main()`, right after the calls of [func@Mp.task_register]:
 *
 * ```c
 * int
 * main (int argc, char **argv)
 * {
 *   mp_task_register ("square", square, NULL, NULL);
 *   mp_bootstrap (&argc, &argv);
 *   …
 * ```
 *
 * Worker processes are this program, executed again. There the function does
 * not return: it becomes the process that forks the workers, and in a worker
 * it runs the task and ends the process. In an ordinary start it does nothing
 * but take note; the arguments stay as they are. It can be called more than
 * once.
 *
 * A program that never calls it can run commands and Python tasks, but a
 * native task fails with %MP_ERROR_NOT_BOOTSTRAPPED.
 *
 * Since: 0.1
 */
void
mp_bootstrap (int *argc, char ***argv)
{
  g_auto (MpExecuted) executed = { 0 };
  gint64 numbers[4];

  g_atomic_int_set (&bootstrapped, TRUE);
  if (parse_zygote_marker (g_getenv (MP_ENV_ZYGOTE), numbers))
    {
      g_unsetenv (MP_ENV_ZYGOTE);
      mp_zygote_run (numbers[0],
                     numbers[1],
                     numbers[2],
                     numbers[0] == MP_ZYGOTE_GJS && argc != NULL && *argc > 1 ? *argv + 1 : NULL);
    }
  if (take_start_marker (&executed))
    mp_child_main_executed (&executed);
  /* Meant for somebody else. */
  g_unsetenv (MP_ENV_ZYGOTE);
  g_unsetenv (MP_ENV_START);
}
