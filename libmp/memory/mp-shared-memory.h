/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#if !defined(MP_INSIDE) && !defined(MP_COMPILATION)
#error "Only <libmp.h> can be included directly."
#endif

#include <gio/gio.h>

#include "../base/mp-version-macros.h"

G_BEGIN_DECLS

#define MP_TYPE_SHARED_MEMORY (mp_shared_memory_get_type ())

MP_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (MpSharedMemory, mp_shared_memory, MP, SHARED_MEMORY, GObject)

MP_AVAILABLE_IN_ALL
MpSharedMemory *mp_shared_memory_new (gsize size, GError **error) G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
MpSharedMemory *mp_shared_memory_new_named (const char *name,
                                            gsize size,
                                            GError **error) G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
MpSharedMemory *mp_shared_memory_open (const char *name, GError **error) G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
MpSharedMemory *mp_shared_memory_new_view (MpSharedMemory *self,
                                           GError **error) G_GNUC_WARN_UNUSED_RESULT;

MP_AVAILABLE_IN_ALL
GBytes *mp_shared_memory_get_bytes (MpSharedMemory *self) G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
gsize mp_shared_memory_get_address (MpSharedMemory *self);

MP_AVAILABLE_IN_ALL
gboolean mp_shared_memory_unlink (MpSharedMemory *self, GError **error);
MP_AVAILABLE_IN_ALL
void mp_shared_memory_keep (MpSharedMemory *self);

MP_AVAILABLE_IN_ALL
const char *mp_shared_memory_get_name (MpSharedMemory *self);
MP_AVAILABLE_IN_ALL
gsize mp_shared_memory_get_size (MpSharedMemory *self);
MP_AVAILABLE_IN_ALL
gboolean mp_shared_memory_get_read_only (MpSharedMemory *self);

G_END_DECLS
