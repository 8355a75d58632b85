/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#if !defined(MP_INSIDE) && !defined(MP_COMPILATION)
#error "Only <libmp.h> can be included directly."
#endif

#include <gio/gio.h>

#include "../base/mp-enums.h"

G_BEGIN_DECLS

#define MP_TYPE_SEMAPHORE (mp_semaphore_get_type ())

/**
 * MP_SEMAPHORE_MAX_VALUE:
 *
 * The greatest number of units that a semaphore can have.
 *
 * Since: 0.1
 */
#define MP_SEMAPHORE_MAX_VALUE 2147483647

MP_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (MpSemaphore, mp_semaphore, MP, SEMAPHORE, GObject)

MP_AVAILABLE_IN_ALL
MpSemaphore *mp_semaphore_new (guint value,
                               MpSemaphoreFlags flags,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;

MP_AVAILABLE_IN_ALL
gboolean mp_semaphore_acquire (MpSemaphore *self,
                               gint64 timeout_us,
                               GCancellable *cancellable,
                               GError **error);
MP_AVAILABLE_IN_ALL
int mp_semaphore_acquire_interruptible (MpSemaphore *self, gint64 timeout_us);
MP_AVAILABLE_IN_ALL
gboolean mp_semaphore_try_acquire (MpSemaphore *self);
MP_AVAILABLE_IN_ALL
void mp_semaphore_acquire_async (MpSemaphore *self,
                                 GCancellable *cancellable,
                                 GAsyncReadyCallback callback,
                                 gpointer user_data);
MP_AVAILABLE_IN_ALL
gboolean mp_semaphore_acquire_finish (MpSemaphore *self, GAsyncResult *result, GError **error);
MP_AVAILABLE_IN_ALL
gboolean mp_semaphore_release (MpSemaphore *self, guint n, GError **error);

MP_AVAILABLE_IN_ALL
guint mp_semaphore_get_value (MpSemaphore *self);
MP_AVAILABLE_IN_ALL
guint mp_semaphore_get_initial_value (MpSemaphore *self);
MP_AVAILABLE_IN_ALL
MpSemaphoreFlags mp_semaphore_get_flags (MpSemaphore *self);
MP_AVAILABLE_IN_ALL
guint mp_semaphore_get_n_waiters (MpSemaphore *self);

G_END_DECLS
