/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* In bytes. */
typedef struct
{
  guint64 resident;     /* what it has in memory */
  guint64 proportional; /* the same, of shared pages only its share */
  guint64 unshared;     /* pages that no other process has */
} MpMemoryUse;

/* All that the kernel counts: looks at every page, milliseconds for a gibibyte. */
gboolean mp_memory_measure (int pid, MpMemoryUse *use, GError **error);

/* What is in memory besides files and shared memory: some microseconds. Pages that a fork
 * shares count. @tree: with what it has started. 0 when it is gone. */
guint64 mp_memory_get_anonymous (int pid, gboolean tree);

G_END_DECLS
