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

#define MP_TYPE_VALUE (mp_value_get_type ())

MP_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (MpValue, mp_value, MP, VALUE, GObject)

MP_AVAILABLE_IN_ALL
MpValue *mp_value_new (MpValueType type, GVariant *initial, gboolean with_lock, GError **error)
  G_GNUC_WARN_UNUSED_RESULT;

MP_AVAILABLE_IN_ALL
GVariant *mp_value_get (MpValue *self) G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
gboolean mp_value_set (MpValue *self, GVariant *value, GError **error);
MP_AVAILABLE_IN_ALL
gdouble mp_value_get_double (MpValue *self, GError **error);
MP_AVAILABLE_IN_ALL
gboolean mp_value_set_double (MpValue *self, gdouble value, GError **error);

/* Integers: in one atomic step. */
MP_AVAILABLE_IN_ALL
gint64 mp_value_get_int (MpValue *self, GError **error);
MP_AVAILABLE_IN_ALL
gboolean mp_value_set_int (MpValue *self, gint64 value, GError **error);
MP_AVAILABLE_IN_ALL
gint64 mp_value_add (MpValue *self, gint64 delta, GError **error);
MP_AVAILABLE_IN_ALL
gint64 mp_value_exchange (MpValue *self, gint64 value, GError **error);
MP_AVAILABLE_IN_ALL
gboolean mp_value_compare_exchange (MpValue *self,
                                    gint64 expected,
                                    gint64 desired,
                                    gint64 *found,
                                    GError **error);
MP_AVAILABLE_IN_ALL
gint64 mp_value_fetch_and (MpValue *self, gint64 mask, GError **error);
MP_AVAILABLE_IN_ALL
gint64 mp_value_fetch_or (MpValue *self, gint64 mask, GError **error);
MP_AVAILABLE_IN_ALL
gint64 mp_value_fetch_xor (MpValue *self, gint64 mask, GError **error);

MP_AVAILABLE_IN_ALL
MpValueType mp_value_get_value_type (MpValue *self);
MP_AVAILABLE_IN_ALL
MpRLock *mp_value_get_lock (MpValue *self);
MP_AVAILABLE_IN_ALL
gsize mp_value_get_address (MpValue *self);

G_END_DECLS
