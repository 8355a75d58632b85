/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#if !defined(MP_INSIDE) && !defined(MP_COMPILATION)
#error "Only <libmp.h> can be included directly."
#endif

#include <gio/gio.h>

#include "../base/mp-enums.h"

G_BEGIN_DECLS

#define MP_TYPE_LOCK (mp_lock_get_type ())

MP_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (MpLock, mp_lock, MP, LOCK, GObject)

MP_AVAILABLE_IN_ALL
MpLock *mp_lock_new (GError **error) G_GNUC_WARN_UNUSED_RESULT;

MP_AVAILABLE_IN_ALL
gboolean mp_lock_acquire (MpLock *self,
                          gint64 timeout_us,
                          GCancellable *cancellable,
                          GError **error);
MP_AVAILABLE_IN_ALL
int mp_lock_acquire_interruptible (MpLock *self, gint64 timeout_us);
MP_AVAILABLE_IN_ALL
gboolean mp_lock_try_acquire (MpLock *self);
MP_AVAILABLE_IN_ALL
void mp_lock_acquire_async (MpLock *self,
                            GCancellable *cancellable,
                            GAsyncReadyCallback callback,
                            gpointer user_data);
MP_AVAILABLE_IN_ALL
gboolean mp_lock_acquire_finish (MpLock *self, GAsyncResult *result, GError **error);
MP_AVAILABLE_IN_ALL
gboolean mp_lock_release (MpLock *self, GError **error);

MP_AVAILABLE_IN_ALL
gboolean mp_lock_get_locked (MpLock *self);
MP_AVAILABLE_IN_ALL
gboolean mp_lock_get_abandoned (MpLock *self);
MP_AVAILABLE_IN_ALL
guint mp_lock_get_holder_pid (MpLock *self);
MP_AVAILABLE_IN_ALL
guint mp_lock_get_holder_thread (MpLock *self);
MP_AVAILABLE_IN_ALL
guint mp_lock_get_n_waiters (MpLock *self);

G_END_DECLS
