/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#if !defined(MP_INSIDE) && !defined(MP_COMPILATION)
#error "Only <libmp.h> can be included directly."
#endif

#include <gio/gio.h>

#include "../memory/mp-shared-memory.h"

G_BEGIN_DECLS

#define MP_TYPE_SHAREABLE_LIST (mp_shareable_list_get_type ())

MP_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (MpShareableList, mp_shareable_list, MP, SHAREABLE_LIST, GObject)

MP_AVAILABLE_IN_ALL
MpShareableList *mp_shareable_list_new (GVariant *items, GError **error) G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
MpShareableList *mp_shareable_list_new_named (const char *name,
                                              GVariant *items,
                                              GError **error) G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
MpShareableList *mp_shareable_list_open (const char *name,
                                         GError **error) G_GNUC_WARN_UNUSED_RESULT;

MP_AVAILABLE_IN_ALL
GVariant *mp_shareable_list_get_item (MpShareableList *self,
                                      gint64 index,
                                      GError **error) G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
gboolean mp_shareable_list_set_item (MpShareableList *self,
                                     gint64 index,
                                     GVariant *value,
                                     GError **error);
MP_AVAILABLE_IN_ALL
gint64 mp_shareable_list_get_room (MpShareableList *self, gint64 index, GError **error);
MP_AVAILABLE_IN_ALL
gint64 mp_shareable_list_count (MpShareableList *self, GVariant *value, GError **error);
MP_AVAILABLE_IN_ALL
gint64 mp_shareable_list_index (MpShareableList *self, GVariant *value, GError **error);

MP_AVAILABLE_IN_ALL
gint64 mp_shareable_list_get_length (MpShareableList *self);
MP_AVAILABLE_IN_ALL
MpSharedMemory *mp_shareable_list_get_memory (MpShareableList *self);

G_END_DECLS
