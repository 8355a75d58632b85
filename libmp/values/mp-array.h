/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#if !defined(MP_INSIDE) && !defined(MP_COMPILATION)
#error "Only <libmp.h> can be included directly."
#endif

#include <gio/gio.h>

#include "../base/mp-value-type.h"
#include "../sync/mp-rlock.h"

G_BEGIN_DECLS

#define MP_TYPE_ARRAY (mp_array_get_type ())

MP_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (MpArray, mp_array, MP, ARRAY, GObject)

MP_AVAILABLE_IN_ALL
MpArray *mp_array_new (MpValueType type, gsize length, gboolean with_lock, GError **error)
  G_GNUC_WARN_UNUSED_RESULT;

/* Many at once. */
MP_AVAILABLE_IN_ALL
GVariant *mp_array_read (MpArray *self, gsize start, gsize n_items, GError **error)
  G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
gboolean mp_array_write (MpArray *self, gsize start, GVariant *values, GError **error);
MP_AVAILABLE_IN_ALL
GBytes *mp_array_get_bytes (MpArray *self, gsize start, gsize n_items, GError **error)
  G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
gboolean mp_array_set_bytes (MpArray *self, gsize start, GBytes *bytes, GError **error);

/* One item. */
MP_AVAILABLE_IN_ALL
GVariant *mp_array_get_item (MpArray *self, gsize index, GError **error) G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
gboolean mp_array_set_item (MpArray *self, gsize index, GVariant *value, GError **error);
MP_AVAILABLE_IN_ALL
gdouble mp_array_get_double (MpArray *self, gsize index, GError **error);
MP_AVAILABLE_IN_ALL
gboolean mp_array_set_double (MpArray *self, gsize index, gdouble value, GError **error);

/* One item that is an integer: in one atomic step. */
MP_AVAILABLE_IN_ALL
gint64 mp_array_get_int (MpArray *self, gsize index, GError **error);
MP_AVAILABLE_IN_ALL
gboolean mp_array_set_int (MpArray *self, gsize index, gint64 value, GError **error);
MP_AVAILABLE_IN_ALL
gint64 mp_array_add (MpArray *self, gsize index, gint64 delta, GError **error);
MP_AVAILABLE_IN_ALL
gint64 mp_array_exchange (MpArray *self, gsize index, gint64 value, GError **error);
MP_AVAILABLE_IN_ALL
gboolean mp_array_compare_exchange (MpArray *self,
                                    gsize index,
                                    gint64 expected,
                                    gint64 desired,
                                    gint64 *found,
                                    GError **error);
MP_AVAILABLE_IN_ALL
gint64 mp_array_fetch_and (MpArray *self, gsize index, gint64 mask, GError **error);
MP_AVAILABLE_IN_ALL
gint64 mp_array_fetch_or (MpArray *self, gsize index, gint64 mask, GError **error);
MP_AVAILABLE_IN_ALL
gint64 mp_array_fetch_xor (MpArray *self, gsize index, gint64 mask, GError **error);

MP_AVAILABLE_IN_ALL
MpValueType mp_array_get_value_type (MpArray *self);
MP_AVAILABLE_IN_ALL
gsize mp_array_get_length (MpArray *self);
MP_AVAILABLE_IN_ALL
MpRLock *mp_array_get_lock (MpArray *self);
MP_AVAILABLE_IN_ALL
gsize mp_array_get_address (MpArray *self);

G_END_DECLS
