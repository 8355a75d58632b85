/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#if !defined(MP_INSIDE) && !defined(MP_COMPILATION)
#error "Only <libmp.h> can be included directly."
#endif

#include <gio/gio.h>
#include <gio/gunixfdlist.h>

#include "../process/mp-context.h"
#include "mp-job-list.h"
#include "mp-job-options.h"
#include "mp-job.h"

G_BEGIN_DECLS

#define MP_TYPE_POOL (mp_pool_get_type ())

MP_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (MpPool, mp_pool, MP, POOL, GObject)

MP_AVAILABLE_IN_ALL
MpPool *mp_pool_new (MpContext *context, guint n_workers, GError **error) G_GNUC_WARN_UNUSED_RESULT;

MP_AVAILABLE_IN_ALL
MpContext *mp_pool_get_context (MpPool *self);
MP_AVAILABLE_IN_ALL
guint mp_pool_get_n_workers (MpPool *self);
MP_AVAILABLE_IN_ALL
gboolean mp_pool_resize (MpPool *self, guint n_workers, GError **error);
MP_AVAILABLE_IN_ALL
guint mp_pool_get_min_workers (MpPool *self);
MP_AVAILABLE_IN_ALL
gint64 mp_pool_get_idle_timeout (MpPool *self);
MP_AVAILABLE_IN_ALL
gint64 mp_pool_get_max_worker_age (MpPool *self);
MP_AVAILABLE_IN_ALL
guint64 mp_pool_get_max_worker_memory (MpPool *self);
MP_AVAILABLE_IN_ALL
guint64 mp_pool_get_worker_memory_limit (MpPool *self);
MP_AVAILABLE_IN_ALL
gint64 mp_pool_get_task_timeout (MpPool *self);
MP_AVAILABLE_IN_ALL
gint64 mp_pool_get_retry_delay (MpPool *self);
MP_AVAILABLE_IN_ALL
gint64 mp_pool_get_cancel_grace (MpPool *self);
MP_AVAILABLE_IN_ALL
gint64 mp_pool_get_kill_grace (MpPool *self);
MP_AVAILABLE_IN_ALL
guint mp_pool_get_max_tasks_per_worker (MpPool *self);
MP_AVAILABLE_IN_ALL
guint mp_pool_get_max_attempts (MpPool *self);
MP_AVAILABLE_IN_ALL
gboolean mp_pool_get_capture_output (MpPool *self);
MP_AVAILABLE_IN_ALL
GBytes *mp_pool_get_worker_data (MpPool *self);
MP_AVAILABLE_IN_ALL
GUnixFDList *mp_pool_get_worker_fd_list (MpPool *self);
MP_AVAILABLE_IN_ALL
guint mp_pool_get_n_pending (MpPool *self);
MP_AVAILABLE_IN_ALL
guint mp_pool_get_n_busy (MpPool *self);
MP_AVAILABLE_IN_ALL
gboolean mp_pool_get_closed (MpPool *self);
MP_AVAILABLE_IN_ALL
gboolean mp_pool_get_broken (MpPool *self);
MP_AVAILABLE_IN_ALL
char *mp_pool_dup_broken_reason (MpPool *self) G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
int *mp_pool_get_worker_pids (MpPool *self, gsize *n_pids) G_GNUC_WARN_UNUSED_RESULT;

MP_AVAILABLE_IN_ALL
MpJobList *mp_pool_get_jobs (MpPool *self);

MP_AVAILABLE_IN_ALL
MpJob *mp_pool_submit (MpPool *self,
                       const char *function,
                       GVariant *argument,
                       MpJobOptions *options,
                       GError **error) G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
MpJob *mp_pool_submit_map (MpPool *self,
                           const char *function,
                           GVariant *items,
                           guint chunk_size,
                           MpJobOptions *options,
                           GError **error) G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
MpJob *mp_pool_submit_starmap (MpPool *self,
                               const char *function,
                               GVariant *items,
                               guint chunk_size,
                               MpJobOptions *options,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
MpJob *mp_pool_submit_packed (MpPool *self,
                              const guint8 *function,
                              gsize function_length,
                              const guint8 *data,
                              gsize length,
                              const guint8 *lengths,
                              gsize n_lengths,
                              MpCodec codec,
                              gboolean ordered,
                              gboolean more,
                              MpJobOptions *options,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;

MP_AVAILABLE_IN_ALL
GVariant *mp_pool_apply (MpPool *self,
                         const char *function,
                         GVariant *argument,
                         gint64 timeout_us,
                         GCancellable *cancellable,
                         GError **error) G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
void mp_pool_apply_async (MpPool *self,
                          const char *function,
                          GVariant *argument,
                          GCancellable *cancellable,
                          GAsyncReadyCallback callback,
                          gpointer user_data);
MP_AVAILABLE_IN_ALL
GVariant *mp_pool_apply_finish (MpPool *self,
                                GAsyncResult *result,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;

MP_AVAILABLE_IN_ALL
GVariant *mp_pool_map (MpPool *self,
                       const char *function,
                       GVariant *items,
                       guint chunk_size,
                       gint64 timeout_us,
                       GCancellable *cancellable,
                       GError **error) G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
void mp_pool_map_async (MpPool *self,
                        const char *function,
                        GVariant *items,
                        guint chunk_size,
                        GCancellable *cancellable,
                        GAsyncReadyCallback callback,
                        gpointer user_data);
MP_AVAILABLE_IN_ALL
GVariant *mp_pool_map_finish (MpPool *self,
                              GAsyncResult *result,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
GVariant *mp_pool_starmap (MpPool *self,
                           const char *function,
                           GVariant *items,
                           guint chunk_size,
                           gint64 timeout_us,
                           GCancellable *cancellable,
                           GError **error) G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
MpJob *mp_pool_imap (MpPool *self,
                     const char *function,
                     GVariant *items,
                     guint chunk_size,
                     MpJobOptions *options,
                     GError **error) G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
MpJob *mp_pool_imap_unordered (MpPool *self,
                               const char *function,
                               GVariant *items,
                               guint chunk_size,
                               MpJobOptions *options,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;

MP_AVAILABLE_IN_ALL
void mp_pool_close (MpPool *self);
MP_AVAILABLE_IN_ALL
void mp_pool_terminate (MpPool *self);
MP_AVAILABLE_IN_ALL
void mp_pool_kill (MpPool *self);
MP_AVAILABLE_IN_ALL
gboolean mp_pool_join (MpPool *self, gint64 timeout_us, GCancellable *cancellable, GError **error);
MP_AVAILABLE_IN_ALL
void mp_pool_join_async (MpPool *self,
                         GCancellable *cancellable,
                         GAsyncReadyCallback callback,
                         gpointer user_data);
MP_AVAILABLE_IN_ALL
gboolean mp_pool_join_finish (MpPool *self, GAsyncResult *result, GError **error);
MP_AVAILABLE_IN_ALL
gboolean mp_pool_wait_ready (MpPool *self, gint64 timeout_us);

/* For bindings: the next finished job that has mp_job_set_notify() on. */
MP_AVAILABLE_IN_ALL
MpJob *mp_pool_take_finished (MpPool *self, gint64 timeout_us) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
