/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <sys/types.h>

#include "mp-zygote-protocol-private.h"

G_BEGIN_DECLS

/* The command line of a zygote of this kind; the rest is for those of interpreters. */
char **mp_spawn_get_argv (MpZygoteKind kind,
                          const char *const *interpreter,
                          const char *const *preload);

/* The command line of an interpreter that is executed for one task. */
char **mp_spawn_get_task_argv (MpRuntime runtime,
                               const char *const *interpreter,
                               const char *const *preload);

/* How an interpreter is called when nobody says: $MP_PYTHON or $MP_GJS, else what
 * the library was built with. */
char **mp_spawn_get_default_interpreter (MpRuntime runtime);

/* Whether it is there: else MP_ERROR_NOT_FOUND, which names what to install. */
gboolean mp_spawn_check_interpreter (MpRuntime runtime,
                                     const char *const *interpreter,
                                     GError **error);

/* Executes a zygote in a process group of its own, with @socket_fd as its
 * descriptor 3 and no other but the standard ones. Returns its pid, -1 with
 * @error set. The caller's thread must live as long as its process. */
pid_t mp_spawn_zygote (MpZygoteKind kind,
                       const char *const *argv,
                       const char *const *env,
                       int socket_fd,
                       GError **error);

/* Descriptor @fd of the standard ones if it is really one, else -1. */
int mp_spawn_get_std_fd (int fd);

G_END_DECLS
