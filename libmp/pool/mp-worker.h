/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#if !defined(MP_INSIDE) && !defined(MP_COMPILATION)
#error "Only <libmp.h> can be included directly."
#endif

#include <gio/gio.h>
#include <gio/gunixfdlist.h>

#include "../base/mp-enums.h"
#include "../channel/mp-buffer.h"

G_BEGIN_DECLS

#define MP_TYPE_WORKER (mp_worker_get_type ())

MP_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (MpWorker, mp_worker, MP, WORKER, GObject)

MP_AVAILABLE_IN_ALL
MpWorker *mp_worker_new_from_handle (GVariant *handle,
                                     GUnixFDList *fd_list,
                                     GError **error) G_GNUC_WARN_UNUSED_RESULT;

MP_AVAILABLE_IN_ALL
GBytes *mp_worker_get_start_data (MpWorker *self);
MP_AVAILABLE_IN_ALL
gboolean mp_worker_get_captured (MpWorker *self);
MP_AVAILABLE_IN_ALL
guint64 mp_worker_get_task_id (MpWorker *self);
MP_AVAILABLE_IN_ALL
guint mp_worker_get_attempt (MpWorker *self);

MP_AVAILABLE_IN_ALL
const guint8 *mp_worker_next (MpWorker *self, gsize *length, GError **error);
MP_AVAILABLE_IN_ALL
const guint8 *mp_worker_succeed_and_next (MpWorker *self,
                                          const guint8 *result,
                                          gsize result_length,
                                          MpCodec codec,
                                          gsize *length,
                                          GError **error);
MP_AVAILABLE_IN_ALL
gboolean mp_worker_succeed_vectors (MpWorker *self,
                                    const GOutputVector *vectors,
                                    gsize n_vectors,
                                    MpCodec codec,
                                    GError **error);
MP_AVAILABLE_IN_ALL
MpBuffer *mp_worker_take_argument (MpWorker *self) G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
gboolean mp_worker_succeed (MpWorker *self,
                            const guint8 *result,
                            gsize result_length,
                            MpCodec codec,
                            GError **error);
MP_AVAILABLE_IN_ALL
gboolean mp_worker_fail (MpWorker *self,
                         const char *domain,
                         int code,
                         const char *message,
                         const char *traceback,
                         const guint8 *exception,
                         gsize exception_length,
                         GError **error);
MP_AVAILABLE_IN_ALL
gboolean mp_worker_get_cancelled (MpWorker *self);
MP_AVAILABLE_IN_ALL
void mp_worker_report_progress (MpWorker *self, double fraction);

G_END_DECLS
