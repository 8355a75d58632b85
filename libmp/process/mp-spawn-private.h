/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <sys/types.h>

#include "mp-zygote-protocol-private.h"

G_BEGIN_DECLS

/* The command line of a zygote of this kind; @interpreter is for Python. */
char **mp_spawn_get_argv (MpZygoteKind kind, const char *const *interpreter);

/* How an interpreter is called when nobody says: $MP_PYTHON, else the one that
 * the library was built with. */
char **mp_spawn_get_default_interpreter (void);

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
