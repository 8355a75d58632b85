/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* How many bytes of memory of its own the process @pid has in use; what it shares
 * through files and shared memory is not counted, what it has from before a fork is.
 * 0 if that cannot be told, as of a process that is gone. */
guint64 mp_memory_use_read (int pid);

G_END_DECLS
