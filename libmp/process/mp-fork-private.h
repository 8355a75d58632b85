/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <gio/gunixfdlist.h>

#include "mp-zygote-link-private.h"

G_BEGIN_DECLS

/* Forks the calling process to run the task of @request, if it has no thread but the
 * calling one and libmp's own. Then the callbacks started and exited follow on
 * the pump, with the number @id, else FALSE with MP_ERROR_UNSAFE_FORK, which names the threads. */
gboolean mp_fork_start (const MpZygoteRequest *request,
                        const MpZygoteCallbacks *callbacks,
                        GObject *owner,
                        guint64 id,
                        GError **error);

/* The other threads of this process, each as "name (thread id)", without libmp's own. */
gboolean mp_fork_list_threads (char ***of_glib, char ***others, GError **error);

G_END_DECLS
