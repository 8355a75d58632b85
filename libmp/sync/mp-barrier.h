/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#if !defined(MP_INSIDE) && !defined(MP_COMPILATION)
#error "Only <libmp.h> can be included directly."
#endif

#include <gio/gio.h>

#include "../base/mp-enums.h"

G_BEGIN_DECLS

#define MP_TYPE_BARRIER (mp_barrier_get_type ())

MP_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (MpBarrier, mp_barrier, MP, BARRIER, GObject)

/**
 * MpBarrierFunc:
 * @barrier: the barrier to which all have come
 * @user_data: data given with the function
 *
 * What one party does when all have come, before any of them goes on.
 *
 * Returns: whether it succeeded; if not, the barrier breaks
 *
 * Since: 0.1
 */
typedef gboolean (*MpBarrierFunc) (MpBarrier *barrier, gpointer user_data);

MP_AVAILABLE_IN_ALL
MpBarrier *mp_barrier_new (guint parties, GError **error) G_GNUC_WARN_UNUSED_RESULT;

MP_AVAILABLE_IN_ALL
void mp_barrier_set_action (MpBarrier *self,
                            MpBarrierFunc func,
                            gpointer user_data,
                            GDestroyNotify destroy);
MP_AVAILABLE_IN_ALL
gboolean mp_barrier_wait (MpBarrier *self,
                          gint64 timeout_us,
                          GCancellable *cancellable,
                          guint *index,
                          GError **error);
MP_AVAILABLE_IN_ALL
int mp_barrier_wait_interruptible (MpBarrier *self, gint64 timeout_us, guint *index);
MP_AVAILABLE_IN_ALL
void mp_barrier_abort (MpBarrier *self);
MP_AVAILABLE_IN_ALL
void mp_barrier_reset (MpBarrier *self);

MP_AVAILABLE_IN_ALL
guint mp_barrier_get_parties (MpBarrier *self);
MP_AVAILABLE_IN_ALL
guint mp_barrier_get_n_waiting (MpBarrier *self);
MP_AVAILABLE_IN_ALL
gboolean mp_barrier_get_broken (MpBarrier *self);

G_END_DECLS
