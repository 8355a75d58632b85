/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-spawn-private.h"

#include "../base/mp-error-private.h"
#include "../base/mp-fd-private.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>

#define ZYGOTE_SOCKET 3

/* A new interpreter finds its task by itself. */
static const char *const python_task_options[] = {
  "-c",
  "from multiprocessing_gi._child import spawn_main; spawn_main()",
  NULL,
};

static const char *
get_from_environment (const char *name, const char *fallback)
{
  const char *value = g_getenv (name);

  return value != NULL && *value != '\0' ? value : fallback;
}

char **
mp_spawn_get_default_interpreter (MpRuntime runtime)
{
  const char *const argv[] = { runtime == MP_RUNTIME_GJS
                                 ? get_from_environment ("MP_GJS", "gjs")
                                 : get_from_environment ("MP_PYTHON", MP_PYTHON),
                               NULL };

  return g_strdupv ((char **) argv);
}

gboolean
mp_spawn_check_interpreter (MpRuntime runtime, const char *const *interpreter, GError **error)
{
  g_autofree char *path = NULL;

  if (runtime != MP_RUNTIME_PYTHON && runtime != MP_RUNTIME_GJS)
    return TRUE;
  path = g_find_program_in_path (interpreter[0]);
  if (path != NULL)
    return TRUE;
  g_set_error (error,
               MP_ERROR,
               MP_ERROR_NOT_FOUND,
               "“%s”, which runs %s, was not found: install the package %s",
               interpreter[0],
               runtime == MP_RUNTIME_GJS ? "JavaScript" : "Python",
               runtime == MP_RUNTIME_GJS ? "gjs" : "python3");
  return FALSE;
}

/* The path where the program lies; the link in /proc still works when the file
 * was replaced or removed since, but names the process "exe". */
static char *
get_own_path (void)
{
  g_autofree char *path = g_file_read_link ("/proc/self/exe", NULL);

  if (path != NULL && access (path, X_OK) == 0)
    return g_steal_pointer (&path);
  return g_strdup ("/proc/self/exe");
}

static char *
get_helper_path (const char *name)
{
  return g_build_filename (get_from_environment ("MP_LIBEXECDIR", MP_LIBEXECDIR), name, NULL);
}

char **
mp_spawn_get_task_argv (MpRuntime runtime,
                        const char *const *interpreter,
                        const char *const *preload)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  g_autofree char *path = NULL;

  switch (runtime)
    {
    case MP_RUNTIME_NATIVE:
      path = get_own_path ();
      g_strv_builder_add (builder, path);
      break;
    case MP_RUNTIME_PYTHON:
      g_strv_builder_addv (builder, (const char **) interpreter);
      g_strv_builder_addv (builder, (const char **) python_task_options);
      break;
    case MP_RUNTIME_GJS:
      path = get_helper_path ("mp-gjs.js");
      g_strv_builder_addv (builder, (const char **) interpreter);
      g_strv_builder_add_many (builder, "-m", path, NULL);
      if (preload != NULL)
        g_strv_builder_addv (builder, (const char **) preload);
      break;
    case MP_RUNTIME_COMMAND:
    case MP_RUNTIME_MODULE:
    default:
      path = get_helper_path ("mp-helper");
      g_strv_builder_add (builder, path);
    }
  return g_strv_builder_end (builder);
}

char **
mp_spawn_get_argv (MpZygoteKind kind, const char *const *interpreter, const char *const *preload)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  g_autofree char *path = NULL;
  g_auto (GStrv) task_argv = NULL;

  switch (kind)
    {
    case MP_ZYGOTE_SELF:
      path = get_own_path ();
      g_strv_builder_add (builder, path);
      break;
    case MP_ZYGOTE_PYTHON:
      g_strv_builder_addv (builder, (const char **) interpreter);
      g_strv_builder_add_many (builder, "-m", "multiprocessing_gi._zygote", NULL);
      break;
    case MP_ZYGOTE_GJS:
      task_argv = mp_spawn_get_task_argv (MP_RUNTIME_GJS, interpreter, preload);
      path = get_helper_path ("mp-helper");
      g_strv_builder_add (builder, path);
      g_strv_builder_addv (builder, (const char **) task_argv);
      break;
    case MP_ZYGOTE_HELPER:
    case MP_ZYGOTE_N_KINDS:
    default:
      path = get_helper_path ("mp-helper");
      g_strv_builder_add (builder, path);
    }
  return g_strv_builder_end (builder);
}

int
mp_spawn_get_std_fd (int fd)
{
  int flags = fcntl (fd, F_GETFD);

  /* In a program that closed it, another file may have taken the number; what
   * is closed at exec is surely not meant for children. */
  return flags < 0 || (flags & FD_CLOEXEC) ? -1 : fd;
}

static void
init_file_actions (posix_spawn_file_actions_t *actions, int socket_fd)
{
  posix_spawn_file_actions_init (actions);
  posix_spawn_file_actions_addopen (actions, 0, "/dev/null", O_RDONLY, 0);
  for (int fd = 1; fd < 3; fd++)
    if (mp_spawn_get_std_fd (fd) < 0)
      posix_spawn_file_actions_addopen (actions, fd, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_adddup2 (actions, socket_fd, ZYGOTE_SOCKET);
  posix_spawn_file_actions_addclosefrom_np (actions, ZYGOTE_SOCKET + 1);
}

static void
init_attributes (posix_spawnattr_t *attributes)
{
  sigset_t set;

  posix_spawnattr_init (attributes);
  sigemptyset (&set);
  posix_spawnattr_setsigmask (attributes, &set);
  sigfillset (&set);
  posix_spawnattr_setsigdefault (attributes, &set);
  posix_spawnattr_setpgroup (attributes, 0);
  posix_spawnattr_setflags (attributes,
                            POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
}

pid_t
mp_spawn_zygote (MpZygoteKind kind,
                 const char *const *argv,
                 const char *const *env,
                 int socket_fd,
                 GError **error)
{
  g_autofree char *marker = g_strdup_printf ("%d:%d:%d", kind, ZYGOTE_SOCKET, getpid ());
  g_auto (GStrv) own_env =
    g_environ_setenv (g_strdupv ((char **) env), MP_ENV_ZYGOTE, marker, TRUE);
  g_auto (MpFd) high_fd = -1;
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  pid_t pid = -1;
  int err;

  /* The number 3 itself is fine: dup2 on it only keeps it open. */
  if (socket_fd < ZYGOTE_SOCKET)
    socket_fd = high_fd = fcntl (socket_fd, F_DUPFD_CLOEXEC, ZYGOTE_SOCKET);

  init_file_actions (&actions, socket_fd);
  init_attributes (&attributes);
  err = posix_spawnp (&pid, argv[0], &actions, &attributes, (char *const *) argv, own_env);
  posix_spawnattr_destroy (&attributes);
  posix_spawn_file_actions_destroy (&actions);

  if (err == 0)
    return pid;
  g_set_error (error,
               MP_ERROR,
               mp_error_from_errno (err),
               "Cannot run “%s”: %s",
               argv[0],
               g_strerror (err));
  return -1;
}
