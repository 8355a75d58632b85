/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#if !defined(MP_INSIDE) && !defined(MP_COMPILATION)
#error "Only <libmp.h> can be included directly."
#endif

#include <gio/gio.h>

#include "../base/mp-enums.h"

G_BEGIN_DECLS

#define MP_TYPE_EVENT (mp_event_get_type ())

MP_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (MpEvent, mp_event, MP, EVENT, GObject)

MP_AVAILABLE_IN_ALL
MpEvent *mp_event_new (GError **error) G_GNUC_WARN_UNUSED_RESULT;

MP_AVAILABLE_IN_ALL
void mp_event_set (MpEvent *self);
MP_AVAILABLE_IN_ALL
void mp_event_clear (MpEvent *self);
MP_AVAILABLE_IN_ALL
gboolean mp_event_wait (MpEvent *self,
                        gint64 timeout_us,
                        GCancellable *cancellable,
                        GError **error);
MP_AVAILABLE_IN_ALL
int mp_event_wait_interruptible (MpEvent *self, gint64 timeout_us);
MP_AVAILABLE_IN_ALL
gboolean mp_event_stop_waiting (MpEvent *self);
MP_AVAILABLE_IN_ALL
void mp_event_wait_async (MpEvent *self,
                          GCancellable *cancellable,
                          GAsyncReadyCallback callback,
                          gpointer user_data);
MP_AVAILABLE_IN_ALL
gboolean mp_event_wait_finish (MpEvent *self, GAsyncResult *result, GError **error);

MP_AVAILABLE_IN_ALL
gboolean mp_event_get_is_set (MpEvent *self);
MP_AVAILABLE_IN_ALL
guint mp_event_get_n_waiters (MpEvent *self);

G_END_DECLS
