/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-process-start-private.h"

#include "mp-bootstrap-private.h"
#include "mp-fork-private.h"
#include "mp-pump-private.h"
#include "mp-spawn-private.h"
#include "../base/mp-error-private.h"
#include "../base/mp-fd-private.h"

#include <fcntl.h>

/* As a descriptor, so that it is the caller's even if it is renamed meanwhile,
 * and so that an error is told here. */
static int
open_working_directory (const char *path, GError **error)
{
  int fd = open (path != NULL ? path : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
  g_autofree char *what = NULL;

  if (fd >= 0)
    return fd;
  what = g_strdup_printf ("Cannot use the working directory “%s”", path != NULL ? path : ".");
  mp_set_error_from_errno (error, errno, what);
  return -1;
}

static gboolean
is_executed_afresh (const MpContextConfig *config)
{
  return config->runtime == MP_RUNTIME_GJS ||
         (config->start_method == MP_START_METHOD_SPAWN && config->runtime != MP_RUNTIME_COMMAND);
}

/* @link is NULL for a fork of this process, which has everything already. */
static int
write_request (const MpContextConfig *config,
               MpZygoteKind kind,
               MpZygoteLink *link,
               const MpProcessStart *what,
               GError **error)
{
  MpStart start = { .kind = MP_START_TASK,
                    .task = what->task,
                    .codec = what->codec,
                    .argv = what->argv };
  g_auto (GStrv) exec_argv = NULL;
  g_auto (GStrv) surroundings = mp_surroundings_to_strings (&config->surroundings);
  g_auto (GStrv) current_env =
    config->environment == NULL && link != NULL ? g_get_environ () : NULL;
  char **env = config->environment != NULL ? config->environment : current_env;

  if (what->argv != NULL)
    {
      start.kind = MP_START_COMMAND;
    }
  else if (is_executed_afresh (config))
    {
      start.kind = MP_START_EXEC_TASK;
      start.argv = exec_argv = mp_spawn_get_task_argv (config->runtime,
                                                       (const char *const *) config->interpreter,
                                                       (const char *const *) config->preload);
    }
  if (what->data != NULL)
    start.data = g_bytes_get_data (what->data, &start.data_length);
  if (env != NULL && (link == NULL || mp_zygote_link_needs_env (link, (const char *const *) env)))
    start.env = env;
  if (config->preparation != NULL && what->argv == NULL &&
      (kind != MP_ZYGOTE_PYTHON || mp_zygote_link_needs_preparation (link, config->preparation)))
    start.preparation = g_bytes_get_data (config->preparation, &start.preparation_length);
  start.surroundings = surroundings;
  start.outlives = config->outlive_parent;
  return mp_start_to_memfd (&start, error);
}

static gboolean
start_by_fork (const MpContextConfig *config,
               const MpProcessStart *what,
               MpZygoteRequest *request,
               const MpZygoteCallbacks *callbacks,
               GObject *owner,
               guint64 *id,
               GError **error)
{
  static _Atomic guint64 last_id = 0;

  if (!mp_bootstrap_check (FALSE, error))
    return FALSE;
  if (mp_pump_is_current_thread ())
    {
      g_set_error_literal (error,
                           MP_ERROR,
                           MP_ERROR_NOT_SUPPORTED,
                           "The start method fork cannot be used here");
      return FALSE;
    }
  request->body_fd = write_request (config, MP_ZYGOTE_SELF, NULL, what, error);
  *id = ++last_id;
  return request->body_fd >= 0 && mp_fork_start (request, callbacks, owner, *id, error);
}

static gboolean
check_fd_list (GUnixFDList *fd_list, GError **error)
{
  if (fd_list == NULL || g_unix_fd_list_get_length (fd_list) <= MP_START_MAX_USER_FDS)
    return TRUE;
  g_set_error (error,
               MP_ERROR,
               MP_ERROR_LIMIT,
               "%d descriptors are too many for the start of a process, which takes up to %d",
               g_unix_fd_list_get_length (fd_list),
               MP_START_MAX_USER_FDS);
  return FALSE;
}

static gboolean
copy_std_fds (const MpProcessStart *what, MpZygoteRequest *request, GError **error)
{
  for (int i = 0; i < 3; i++)
    if (what->std_fds[i] >= 0)
      {
        request->std_fds[i] = fcntl (what->std_fds[i], F_DUPFD_CLOEXEC, 3);
        if (request->std_fds[i] < 0)
          return mp_set_error_from_errno (error, errno, "Cannot pass a standard stream on");
      }
  return TRUE;
}

gboolean
mp_process_start_ask (MpContext *context,
                      const MpProcessStart *what,
                      const MpZygoteCallbacks *callbacks,
                      GObject *owner,
                      MpZygoteLink **link,
                      guint64 *id,
                      GError **error)
{
  g_auto (MpContextConfig) config = { 0 };
  g_auto (MpZygoteRequest) request = MP_ZYGOTE_REQUEST_INIT;
  MpZygoteKind kind = MP_ZYGOTE_HELPER;

  *link = NULL;
  mp_context_get_config (context, &config);
  if (!check_fd_list (what->fd_list, error) || !mp_surroundings_check (&config.surroundings, error))
    return FALSE;
  request.cwd_fd = open_working_directory (config.working_directory, error);
  if (request.cwd_fd < 0 || !copy_std_fds (what, &request, error))
    return FALSE;
  g_set_object (&request.fd_list, what->fd_list);
  request.group = what->argv != NULL;
  request.outlives = config.outlive_parent;
  if (what->argv == NULL && config.runtime == MP_RUNTIME_NATIVE &&
      config.start_method == MP_START_METHOD_FORK)
    return start_by_fork (&config, what, &request, callbacks, owner, id, error);

  if (what->argv == NULL && !mp_context_config_get_task_kind (&config, &kind, error))
    return FALSE;
  *link = mp_context_ref_link (context, &config, kind, error);
  if (*link == NULL)
    return FALSE;
  request.body_fd = write_request (&config, kind, *link, what, error);
  if (request.body_fd < 0)
    {
      g_clear_pointer (link, mp_zygote_link_unref);
      return FALSE;
    }
  *id = mp_zygote_link_start (*link, &request, callbacks, owner);
  return TRUE;
}
