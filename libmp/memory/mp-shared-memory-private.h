/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include "mp-shared-memory.h"

G_BEGIN_DECLS

/* For types that keep something of their own in a piece of shared memory. */

typedef void (*MpSharedMemoryFill) (guint8 *data, gsize size, gpointer user_data);

/* @name: NULL for none. @kind and @version: what the memory is for. @fill writes
 * what is there from the first moment that others can see it. */
MpSharedMemory *mp_shared_memory_new_for (const char *name,
                                          gsize size,
                                          guint32 kind,
                                          guint32 version,
                                          MpSharedMemoryFill fill,
                                          gpointer user_data,
                                          GError **error);
/* 0 for plain memory. */
guint32 mp_shared_memory_get_kind (MpSharedMemory *self, guint32 *version);

/* @handle_kind: how handles of the type are called. */
GVariant *mp_shared_memory_to_handle_of_kind (MpSharedMemory *self,
                                              const char *handle_kind,
                                              GUnixFDList *fd_list,
                                              GError **error);
MpSharedMemory *mp_shared_memory_import (GVariant *handle, GUnixFDList *fd_list, GError **error);

G_END_DECLS
