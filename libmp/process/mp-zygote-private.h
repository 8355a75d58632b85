/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <sys/types.h>

#include "mp-zygote-protocol-private.h"

G_BEGIN_DECLS

/* The life of a native zygote: serves the process @requester on @socket_fd, and
 * the processes it forked for it, until @requester goes. @spare_argv: (nullable): is
 * executed ahead of each start of a task. */
G_NORETURN void mp_zygote_run (MpZygoteKind kind,
                               int socket_fd,
                               pid_t requester,
                               char **spare_argv);

G_END_DECLS
