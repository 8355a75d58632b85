/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* A number for the process id namespace of this process: the micro-locks name
 * threads by their ids, which mean something only within one. 0: cannot be told. */
guint64 mp_get_pid_namespace (void);

G_END_DECLS
