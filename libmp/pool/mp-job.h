/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#if !defined(MP_INSIDE) && !defined(MP_COMPILATION)
#error "Only <libmp.h> can be included directly."
#endif

#include <gio/gio.h>

#include "../base/mp-enums.h"
#include "../channel/mp-buffer.h"

G_BEGIN_DECLS

#define MP_TYPE_JOB (mp_job_get_type ())

MP_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (MpJob, mp_job, MP, JOB, GObject)

MP_AVAILABLE_IN_ALL
MpJobState mp_job_get_state (MpJob *self);
MP_AVAILABLE_IN_ALL
gboolean mp_job_get_finished (MpJob *self);
MP_AVAILABLE_IN_ALL
double mp_job_get_progress (MpJob *self);
MP_AVAILABLE_IN_ALL
guint64 mp_job_get_n_done (MpJob *self);
MP_AVAILABLE_IN_ALL
guint64 mp_job_get_n_total (MpJob *self);
MP_AVAILABLE_IN_ALL
const char *mp_job_get_function (MpJob *self);
MP_AVAILABLE_IN_ALL
guint64 mp_job_get_id (MpJob *self);
MP_AVAILABLE_IN_ALL
int mp_job_get_priority (MpJob *self);
MP_AVAILABLE_IN_ALL
guint mp_job_get_attempts (MpJob *self);
MP_AVAILABLE_IN_ALL
gboolean mp_job_get_worker_end (MpJob *self, int *pid, int *exit_code);

MP_AVAILABLE_IN_ALL
gboolean mp_job_wait (MpJob *self, gint64 timeout_us, GCancellable *cancellable, GError **error);
MP_AVAILABLE_IN_ALL
void mp_job_wait_async (MpJob *self,
                        GCancellable *cancellable,
                        GAsyncReadyCallback callback,
                        gpointer user_data);
MP_AVAILABLE_IN_ALL
gboolean mp_job_wait_finish (MpJob *self, GAsyncResult *result, GError **error);
MP_AVAILABLE_IN_ALL
gboolean mp_job_wait_ready (MpJob *self, gint64 timeout_us);

MP_AVAILABLE_IN_ALL
GVariant *mp_job_get_result (MpJob *self, GError **error) G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
char *mp_job_dup_traceback (MpJob *self);
MP_AVAILABLE_IN_ALL
gboolean mp_job_cancel (MpJob *self);

/* Results one by one (imap): */
MP_AVAILABLE_IN_ALL
GVariant *mp_job_next (MpJob *self, gint64 timeout_us, GCancellable *cancellable, GError **error)
  G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
void mp_job_next_async (MpJob *self,
                        GCancellable *cancellable,
                        GAsyncReadyCallback callback,
                        gpointer user_data);
MP_AVAILABLE_IN_ALL
GVariant *mp_job_next_finish (MpJob *self,
                              GAsyncResult *result,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* For bindings: finished jobs without a main loop, see mp_pool_take_finished(). */
MP_AVAILABLE_IN_ALL
void mp_job_set_notify (MpJob *self, gboolean notify);

/* For bindings: packed tasks in, packed results out; documented in mp-job.c. */
MP_AVAILABLE_IN_ALL
gboolean mp_job_push_packed (MpJob *self,
                             const guint8 *data,
                             gsize length,
                             const guint8 *lengths,
                             gsize n_lengths,
                             GError **error);
MP_AVAILABLE_IN_ALL
MpBuffer *mp_job_loan (MpJob *self, gsize length, GError **error) G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
gboolean mp_job_push_buffer (MpJob *self, MpBuffer *buffer, MpCodec codec, GError **error);
MP_AVAILABLE_IN_ALL
gboolean mp_job_push_vectors (MpJob *self,
                              const GOutputVector *vectors,
                              gsize n_vectors,
                              MpCodec codec,
                              GError **error);
MP_AVAILABLE_IN_ALL
void mp_job_end_input (MpJob *self);
MP_AVAILABLE_IN_ALL
const guint8 *mp_job_take_packed (MpJob *self, guint max_results, gsize *length);
MP_AVAILABLE_IN_ALL
MpBuffer *mp_job_take_buffer (MpJob *self, guint index) G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
gboolean mp_job_wait_result (MpJob *self, gint64 timeout_us);

G_END_DECLS
