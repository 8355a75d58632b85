/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#if !defined(MP_INSIDE) && !defined(MP_COMPILATION)
#error "Only <libmp.h> can be included directly."
#endif

#include <gio/gio.h>

#include "mp-lock.h"
#include "mp-rlock.h"

G_BEGIN_DECLS

#define MP_TYPE_CONDITION (mp_condition_get_type ())

MP_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (MpCondition, mp_condition, MP, CONDITION, GObject)

MP_AVAILABLE_IN_ALL
MpCondition *mp_condition_new (MpLock *lock, GError **error) G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
MpCondition *mp_condition_new_with_rlock (MpRLock *rlock, GError **error) G_GNUC_WARN_UNUSED_RESULT;

MP_AVAILABLE_IN_ALL
gboolean mp_condition_wait (MpCondition *self,
                            gint64 timeout_us,
                            GCancellable *cancellable,
                            GError **error);
MP_AVAILABLE_IN_ALL
int mp_condition_wait_interruptible (MpCondition *self, gint64 timeout_us);
MP_AVAILABLE_IN_ALL
gboolean mp_condition_stop_waiting (MpCondition *self);
MP_AVAILABLE_IN_ALL
gboolean mp_condition_notify_one (MpCondition *self, GError **error);
MP_AVAILABLE_IN_ALL
gboolean mp_condition_notify_many (MpCondition *self, guint n, GError **error);
MP_AVAILABLE_IN_ALL
gboolean mp_condition_notify_all (MpCondition *self, GError **error);

MP_AVAILABLE_IN_ALL
MpLock *mp_condition_get_lock (MpCondition *self);
MP_AVAILABLE_IN_ALL
MpRLock *mp_condition_get_rlock (MpCondition *self);
MP_AVAILABLE_IN_ALL
guint mp_condition_get_n_waiters (MpCondition *self);

G_END_DECLS
