/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#if !defined(MP_INSIDE) && !defined(MP_COMPILATION)
#error "Only <libmp.h> can be included directly."
#endif

#include <gio/gio.h>

#include "../base/mp-enums.h"

G_BEGIN_DECLS

#define MP_TYPE_RLOCK (mp_rlock_get_type ())

MP_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (MpRLock, mp_rlock, MP, RLOCK, GObject)

MP_AVAILABLE_IN_ALL
MpRLock *mp_rlock_new (GError **error) G_GNUC_WARN_UNUSED_RESULT;

MP_AVAILABLE_IN_ALL
gboolean mp_rlock_acquire (MpRLock *self,
                           gint64 timeout_us,
                           GCancellable *cancellable,
                           GError **error);
MP_AVAILABLE_IN_ALL
int mp_rlock_acquire_interruptible (MpRLock *self, gint64 timeout_us);
MP_AVAILABLE_IN_ALL
gboolean mp_rlock_try_acquire (MpRLock *self);
MP_AVAILABLE_IN_ALL
gboolean mp_rlock_release (MpRLock *self, GError **error);

MP_AVAILABLE_IN_ALL
gboolean mp_rlock_get_locked (MpRLock *self);
MP_AVAILABLE_IN_ALL
gboolean mp_rlock_get_abandoned (MpRLock *self);
MP_AVAILABLE_IN_ALL
guint mp_rlock_get_holder_pid (MpRLock *self);
MP_AVAILABLE_IN_ALL
guint mp_rlock_get_holder_thread (MpRLock *self);
MP_AVAILABLE_IN_ALL
guint mp_rlock_get_n_waiters (MpRLock *self);
MP_AVAILABLE_IN_ALL
guint mp_rlock_get_depth (MpRLock *self);
MP_AVAILABLE_IN_ALL
gboolean mp_rlock_get_owned (MpRLock *self);

G_END_DECLS
