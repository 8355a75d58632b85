/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-process-types-private.h"

#include "mp-memory-private.h"
#include "mp-pidfd-private.h"
#include "mp-pump-private.h"
#include "../base/mp-error.h"

#include <signal.h>

/* What a process has and may have of memory and time, and how its end is to be
 * understood. */

/* How often the memory of a process with a limit is looked at: when it has more
 * than half of it, and before. */
#define WATCH_CLOSELY_MS 10
#define WATCH_MS 50

static gboolean watch_cb (gpointer user_data);

static void
watch_again (MpProcess *self, guint interval_ms)
{
  g_autoptr (GSource) source = g_timeout_source_new (interval_ms);

  g_source_set_callback (source, watch_cb, g_object_ref (self), g_object_unref);
  g_source_set_static_name (source, "MpProcess memory limit");
  mp_pump_attach (source);
}

static gboolean
watch_cb (gpointer user_data)
{
  MpProcess *self = user_data;
  gint64 limit = self->limits[MP_LIMIT_MEMORY];
  guint64 used = mp_memory_get_anonymous (self->pid, self->argv != NULL);
  gboolean hit;

  g_mutex_lock (&self->mutex);
  /* Its number is its own as long as it has not ended. */
  hit =
    self->state == PROCESS_RUNNING && !mp_pidfd_has_ended (self->pidfd) && used > (guint64) limit;
  if (hit)
    self->limit_hit = MP_LIMIT_MEMORY;
  if (!hit && self->state == PROCESS_RUNNING)
    watch_again (self, used > (guint64) limit / 2 ? WATCH_CLOSELY_MS : WATCH_MS);
  g_mutex_unlock (&self->mutex);
  if (hit)
    mp_process_kill (self, NULL);
  return G_SOURCE_REMOVE;
}

void
mp_process_watch_limits (MpProcess *self)
{
  if (self->limits[MP_LIMIT_MEMORY] >= 0)
    watch_again (self, WATCH_CLOSELY_MS);
}

void
mp_process_note_limit (MpProcess *self, int exit_code)
{
  if (exit_code == -SIGXCPU && self->limits[MP_LIMIT_CPU_TIME] >= 0)
    self->limit_hit = MP_LIMIT_CPU_TIME;
  else if (exit_code == -SIGXFSZ && self->limits[MP_LIMIT_FILE_SIZE] >= 0)
    self->limit_hit = MP_LIMIT_FILE_SIZE;
}

/**
 * mp_process_get_limit_hit: (get-property limit-hit)
 * @self: a process
 *
 * Which limit of its context has ended the process: that on memory, on processor
 * time, or on the size of files. For the others the kernel does not tell.
 *
 * Returns: the limit; %MP_LIMIT_NONE if none has
 *
 * Since: 0.1
 */
MpLimit
mp_process_get_limit_hit (MpProcess *self)
{
  MpLimit limit;

  g_return_val_if_fail (MP_IS_PROCESS (self), MP_LIMIT_NONE);

  mp_process_settle (self);
  g_mutex_lock (&self->mutex);
  limit = self->state == PROCESS_ENDED ? self->limit_hit : MP_LIMIT_NONE;
  g_mutex_unlock (&self->mutex);
  return limit;
}

static void
set_limit_error (MpProcess *self, GError **error)
{
  switch (self->limit_hit)
    {
    case MP_LIMIT_MEMORY:
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_LIMIT,
                   "The process had more memory than its limit of %" G_GINT64_FORMAT " bytes",
                   self->limits[MP_LIMIT_MEMORY]);
      break;
    case MP_LIMIT_CPU_TIME:
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_LIMIT,
                   "The process used more processor time than its limit of %" G_GINT64_FORMAT
                   " seconds",
                   self->limits[MP_LIMIT_CPU_TIME]);
      break;
    case MP_LIMIT_FILE_SIZE:
    case MP_LIMIT_NONE:
    case MP_LIMIT_ADDRESS_SPACE:
    case MP_LIMIT_FILES:
    case MP_LIMIT_PROCESSES:
    case MP_LIMIT_CORE:
    case MP_LIMIT_STACK:
    default:
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_LIMIT,
                   "The process wrote a file beyond its limit of %" G_GINT64_FORMAT " bytes",
                   self->limits[MP_LIMIT_FILE_SIZE]);
    }
}

/**
 * mp_process_check_exit:
 * @self: a process that has ended
 * @error: return location for an error
 *
 * Makes an error of an end that is not a success.
 *
 * Returns: TRUE when the process ended with exit code 0; FALSE with %MP_ERROR_LIMIT
 *   when a limit ended it, see [property@Mp.Process:limit-hit],
 *   %MP_ERROR_PROCESS_DIED when another signal killed it, or nobody can tell,
 *   %MP_ERROR_FAILED with any other exit code, or %MP_ERROR_INVALID_ARGUMENT when it
 *   has not ended
 *
 * Since: 0.1
 */
gboolean
mp_process_check_exit (MpProcess *self, GError **error)
{
  int exit_code;

  g_return_val_if_fail (MP_IS_PROCESS (self), FALSE);

  exit_code = mp_process_get_exit_code (self);
  if (exit_code == 0)
    return TRUE;
  if (exit_code == MP_EXIT_CODE_NONE)
    g_set_error_literal (error, MP_ERROR, MP_ERROR_INVALID_ARGUMENT, "The process has not ended");
  else if (mp_process_get_limit_hit (self) != MP_LIMIT_NONE)
    set_limit_error (self, error);
  else if (exit_code < 0)
    g_set_error (error,
                 MP_ERROR,
                 MP_ERROR_PROCESS_DIED,
                 "The process was killed by signal %d (%s)",
                 -exit_code,
                 g_strsignal (-exit_code));
  else if (exit_code == MP_EXIT_CODE_UNKNOWN)
    g_set_error_literal (error,
                         MP_ERROR,
                         MP_ERROR_PROCESS_DIED,
                         "The process ended with exit code 255, or nobody can tell how");
  else
    g_set_error (error,
                 MP_ERROR,
                 MP_ERROR_FAILED,
                 "The process ended with exit code %d",
                 exit_code);
  return FALSE;
}

/**
 * mp_process_measure_memory:
 * @self: a process that runs
 * @resident: (out) (optional): bytes of it that are in memory
 * @proportional: (out) (optional): the same, but of pages that several processes have
 *   only its share: these sum up to what a group of processes takes
 * @unshared: (out) (optional): bytes that no other process has: what its end would free
 * @error: return location for an error
 *
 * Measures the memory of the process. The kernel looks at every page for this, which takes
 * milliseconds for a big one.
 *
 * Returns: TRUE if it was measured; FALSE with %MP_ERROR_NOT_FOUND when the process
 *   does not run, or may not be looked at
 *
 * Since: 0.1
 */
gboolean
mp_process_measure_memory (MpProcess *self,
                           guint64 *resident,
                           guint64 *proportional,
                           guint64 *unshared,
                           GError **error)
{
  MpMemoryUse use = { 0 };

  g_return_val_if_fail (MP_IS_PROCESS (self), FALSE);

  if (mp_process_get_pid (self) == 0)
    {
      g_set_error_literal (error, MP_ERROR, MP_ERROR_NOT_FOUND, "The process was not started");
      return FALSE;
    }
  if (!mp_memory_measure (mp_process_get_pid (self), &use, error))
    return FALSE;
  /* Else it may have been another one of the same number. */
  if (!mp_process_get_alive (self))
    {
      g_set_error_literal (error, MP_ERROR, MP_ERROR_NOT_FOUND, "The process has ended");
      return FALSE;
    }
  if (resident != NULL)
    *resident = use.resident;
  if (proportional != NULL)
    *proportional = use.proportional;
  if (unshared != NULL)
    *unshared = use.unshared;
  return TRUE;
}
