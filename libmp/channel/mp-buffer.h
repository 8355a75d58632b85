/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#if !defined(MP_INSIDE) && !defined(MP_COMPILATION)
#error "Only <libmp.h> can be included directly."
#endif

#include <glib-object.h>

#include "../base/mp-enums.h"

G_BEGIN_DECLS

#define MP_TYPE_BUFFER (mp_buffer_get_type ())

typedef struct _MpBuffer MpBuffer;

MP_AVAILABLE_IN_ALL
GType mp_buffer_get_type (void);
MP_AVAILABLE_IN_ALL
MpBuffer *mp_buffer_ref (MpBuffer *self);
MP_AVAILABLE_IN_ALL
void mp_buffer_unref (MpBuffer *self);
MP_AVAILABLE_IN_ALL
guint8 *mp_buffer_get_memory (MpBuffer *self, gsize *length);
MP_AVAILABLE_IN_ALL
guint64 mp_buffer_get_address (MpBuffer *self);
MP_AVAILABLE_IN_ALL
gsize mp_buffer_get_size (MpBuffer *self);
MP_AVAILABLE_IN_ALL
MpCodec mp_buffer_get_codec (MpBuffer *self);
MP_AVAILABLE_IN_ALL
gboolean mp_buffer_get_shared (MpBuffer *self);
MP_AVAILABLE_IN_ALL
GBytes *mp_buffer_get_bytes (MpBuffer *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (MpBuffer, mp_buffer_unref)

G_END_DECLS
