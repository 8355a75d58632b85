/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#if !defined(MP_INSIDE) && !defined(MP_COMPILATION)
#error "Only <libmp.h> can be included directly."
#endif

#include <glib-object.h>

#include "../base/mp-enums.h"

G_BEGIN_DECLS

#define MP_TYPE_LEASE (mp_lease_get_type ())

MP_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (MpLease, mp_lease, MP, LEASE, GObject)

MP_AVAILABLE_IN_ALL
gboolean mp_lease_ack (MpLease *self, GError **error);
MP_AVAILABLE_IN_ALL
gboolean mp_lease_nack (MpLease *self, GError **error);
MP_AVAILABLE_IN_ALL
GVariant *mp_lease_get_value (MpLease *self, GError **error);
MP_AVAILABLE_IN_ALL
GBytes *mp_lease_get_bytes (MpLease *self);
MP_AVAILABLE_IN_ALL
MpCodec mp_lease_get_codec (MpLease *self);
MP_AVAILABLE_IN_ALL
guint mp_lease_get_deliveries (MpLease *self);

G_END_DECLS
