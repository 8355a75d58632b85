/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#if !defined(MP_INSIDE) && !defined(MP_COMPILATION)
#error "Only <libmp.h> can be included directly."
#endif

#include <gio/gio.h>
#include <gio/gunixfdlist.h>

#include "../base/mp-enums.h"
#include "../base/mp-waitable.h"
#include "../memory/mp-shareable.h"
#include "mp-buffer.h"
#include "mp-lease.h"

G_BEGIN_DECLS

#define MP_TYPE_QUEUE (mp_queue_get_type ())

MP_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (MpQueue, mp_queue, MP, QUEUE, GObject)

/**
 * MpQueueFunc:
 * @queue: the queue that is watched
 * @user_data: data given with the function
 *
 * Called when a queue may have a message, or is closed.
 *
 * Returns: whether to go on watching
 *
 * Since: 0.1
 */
typedef gboolean (*MpQueueFunc) (MpQueue *queue, gpointer user_data);

MP_AVAILABLE_IN_ALL
MpQueue *mp_queue_new (guint max_items,
                       guint64 max_bytes,
                       GError **error) G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
MpQueue *mp_queue_new_full (guint max_items,
                            guint64 max_bytes,
                            guint max_deliveries,
                            MpQueue *dead_letters,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;

MP_AVAILABLE_IN_ALL
gboolean mp_queue_put (MpQueue *self,
                       GVariant *value,
                       gint64 timeout_us,
                       GCancellable *cancellable,
                       GError **error);
MP_AVAILABLE_IN_ALL
void mp_queue_put_async (MpQueue *self,
                         GVariant *value,
                         GCancellable *cancellable,
                         GAsyncReadyCallback callback,
                         gpointer user_data);
MP_AVAILABLE_IN_ALL
gboolean mp_queue_put_finish (MpQueue *self, GAsyncResult *result, GError **error);
MP_AVAILABLE_IN_ALL
GVariant *mp_queue_get (MpQueue *self, gint64 timeout_us, GCancellable *cancellable, GError **error)
  G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
void mp_queue_get_async (MpQueue *self,
                         GCancellable *cancellable,
                         GAsyncReadyCallback callback,
                         gpointer user_data);
MP_AVAILABLE_IN_ALL
GVariant *mp_queue_get_finish (MpQueue *self,
                               GAsyncResult *result,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;

MP_AVAILABLE_IN_ALL
gboolean mp_queue_put_many (MpQueue *self,
                            GVariant **values,
                            gsize n_values,
                            gint64 timeout_us,
                            GCancellable *cancellable,
                            GError **error);
MP_AVAILABLE_IN_ALL
GVariant **mp_queue_get_many (MpQueue *self,
                              guint max_items,
                              gint64 timeout_us,
                              gsize *n_values,
                              GCancellable *cancellable,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Bytes with a codec: for bindings and for programs with an encoding of their own. */
MP_AVAILABLE_IN_ALL
gboolean mp_queue_put_payload (MpQueue *self,
                               const guint8 *data,
                               gsize length,
                               MpCodec codec,
                               gint64 timeout_us,
                               GCancellable *cancellable,
                               GError **error);
MP_AVAILABLE_IN_ALL
const guint8 *mp_queue_get_payload (MpQueue *self,
                                    gint64 timeout_us,
                                    gsize *length,
                                    guint *codec,
                                    GCancellable *cancellable,
                                    GError **error);
MP_AVAILABLE_IN_ALL
const guint8 *mp_queue_try_get_payload (MpQueue *self, gsize *length, int *codec);
MP_AVAILABLE_IN_ALL
GBytes *mp_queue_get_bytes (MpQueue *self,
                            gint64 timeout_us,
                            guint *codec,
                            GCancellable *cancellable,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
gboolean mp_queue_put_packed (MpQueue *self,
                              const guint8 *data,
                              gsize length,
                              const guint8 *lengths,
                              gsize n_lengths,
                              MpCodec codec,
                              gint64 timeout_us,
                              GCancellable *cancellable,
                              GError **error);
MP_AVAILABLE_IN_ALL
const guint8 *mp_queue_get_packed (MpQueue *self,
                                   guint max_items,
                                   gint64 timeout_us,
                                   gsize *length,
                                   GCancellable *cancellable,
                                   GError **error);
MP_AVAILABLE_IN_ALL
gboolean mp_queue_wait_ready (MpQueue *self, GIOCondition condition, gint64 timeout_us);

MP_AVAILABLE_IN_ALL
void mp_queue_close (MpQueue *self);
MP_AVAILABLE_IN_ALL
void mp_queue_close_sides (MpQueue *self, MpQueueSides sides);
MP_AVAILABLE_IN_ALL
guint mp_queue_drain (MpQueue *self);
MP_AVAILABLE_IN_ALL
gboolean mp_queue_peek_length (MpQueue *self, gsize *length, GError **error);

MP_AVAILABLE_IN_ALL
gboolean mp_queue_task_done (MpQueue *self, GError **error);
MP_AVAILABLE_IN_ALL
gboolean mp_queue_join (MpQueue *self,
                        gint64 timeout_us,
                        GCancellable *cancellable,
                        GError **error);
MP_AVAILABLE_IN_ALL
void mp_queue_join_async (MpQueue *self,
                          GCancellable *cancellable,
                          GAsyncReadyCallback callback,
                          gpointer user_data);
MP_AVAILABLE_IN_ALL
gboolean mp_queue_join_finish (MpQueue *self, GAsyncResult *result, GError **error);
MP_AVAILABLE_IN_ALL
gboolean mp_queue_wait_joined (MpQueue *self, gint64 timeout_us);
MP_AVAILABLE_IN_ALL
guint mp_queue_get_unfinished (MpQueue *self);

MP_AVAILABLE_IN_ALL
void mp_queue_poke (MpQueue *self);

MP_AVAILABLE_IN_ALL
gboolean mp_queue_get_closed (MpQueue *self);
MP_AVAILABLE_IN_ALL
guint mp_queue_get_length (MpQueue *self);
MP_AVAILABLE_IN_ALL
guint mp_queue_get_max_items (MpQueue *self);
MP_AVAILABLE_IN_ALL
guint64 mp_queue_get_max_bytes (MpQueue *self);

MP_AVAILABLE_IN_ALL
int mp_queue_get_fd (MpQueue *self, GIOCondition condition);
MP_AVAILABLE_IN_ALL
gboolean mp_queue_wait_room (MpQueue *self,
                             gsize length,
                             guint n_items,
                             gboolean with_fds,
                             gint64 timeout_us);

MP_AVAILABLE_IN_ALL
gboolean mp_queue_claim (MpQueue *self, gsize length);

MP_AVAILABLE_IN_ALL
void mp_queue_unclaim (MpQueue *self);

MP_AVAILABLE_IN_ALL
gboolean mp_queue_arm (MpQueue *self, GIOCondition condition);
MP_AVAILABLE_IN_ALL
GSource *mp_queue_create_source (MpQueue *self,
                                 GCancellable *cancellable) G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
guint mp_queue_add_watch (MpQueue *self,
                          MpQueueFunc callback,
                          gpointer user_data,
                          GDestroyNotify destroy);

MP_AVAILABLE_IN_ALL
MpBuffer *mp_queue_loan (MpQueue *self, gsize length, GError **error) G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
gboolean mp_queue_put_buffer (MpQueue *self,
                              MpBuffer *buffer,
                              MpCodec codec,
                              gint64 timeout_us,
                              GCancellable *cancellable,
                              GError **error);
MP_AVAILABLE_IN_ALL
gboolean mp_queue_put_vectors (MpQueue *self,
                               const GOutputVector *vectors,
                               gsize n_vectors,
                               MpCodec codec,
                               gint64 timeout_us,
                               GCancellable *cancellable,
                               GError **error);
MP_AVAILABLE_IN_ALL
MpBuffer *mp_queue_get_buffer (MpQueue *self,
                               gint64 timeout_us,
                               GCancellable *cancellable,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;

MP_AVAILABLE_IN_ALL
MpLease *mp_queue_get_leased (MpQueue *self,
                              gint64 timeout_us,
                              GCancellable *cancellable,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
void mp_queue_get_leased_async (MpQueue *self,
                                GCancellable *cancellable,
                                GAsyncReadyCallback callback,
                                gpointer user_data);
MP_AVAILABLE_IN_ALL
MpLease *mp_queue_get_leased_finish (MpQueue *self,
                                     GAsyncResult *result,
                                     GError **error) G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
guint mp_queue_get_n_leased (MpQueue *self);
MP_AVAILABLE_IN_ALL
guint mp_queue_get_max_deliveries (MpQueue *self);
MP_AVAILABLE_IN_ALL
MpQueue *mp_queue_get_dead_letters (MpQueue *self);

MP_AVAILABLE_IN_ALL
MpQueue *mp_queue_new_carrying_fds (guint max_items,
                                    guint64 max_bytes,
                                    GError **error) G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
gboolean mp_queue_get_carries_fds (MpQueue *self);
MP_AVAILABLE_IN_ALL
gboolean mp_queue_put_with_fds (MpQueue *self,
                                GVariant *value,
                                GUnixFDList *fd_list,
                                gint64 timeout_us,
                                GCancellable *cancellable,
                                GError **error);
MP_AVAILABLE_IN_ALL
void mp_queue_put_with_fds_async (MpQueue *self,
                                  GVariant *value,
                                  GUnixFDList *fd_list,
                                  GCancellable *cancellable,
                                  GAsyncReadyCallback callback,
                                  gpointer user_data);
MP_AVAILABLE_IN_ALL
gboolean mp_queue_put_with_fds_finish (MpQueue *self, GAsyncResult *result, GError **error);
MP_AVAILABLE_IN_ALL
GVariant *mp_queue_get_with_fds (MpQueue *self,
                                 gint64 timeout_us,
                                 GUnixFDList **fd_list,
                                 GCancellable *cancellable,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
void mp_queue_get_with_fds_async (MpQueue *self,
                                  GCancellable *cancellable,
                                  GAsyncReadyCallback callback,
                                  gpointer user_data);
MP_AVAILABLE_IN_ALL
GVariant *mp_queue_get_with_fds_finish (MpQueue *self,
                                        GAsyncResult *result,
                                        GUnixFDList **fd_list,
                                        GError **error) G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
gboolean mp_queue_put_payload_with_fds (MpQueue *self,
                                        const guint8 *data,
                                        gsize length,
                                        MpCodec codec,
                                        GUnixFDList *fd_list,
                                        gint64 timeout_us,
                                        GCancellable *cancellable,
                                        GError **error);
MP_AVAILABLE_IN_ALL
GBytes *mp_queue_get_bytes_with_fds (MpQueue *self,
                                     gint64 timeout_us,
                                     guint *codec,
                                     GUnixFDList **fd_list,
                                     GCancellable *cancellable,
                                     GError **error) G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
gboolean mp_queue_put_shareable (MpQueue *self,
                                 MpShareable *shareable,
                                 gint64 timeout_us,
                                 GCancellable *cancellable,
                                 GError **error);
MP_AVAILABLE_IN_ALL
void mp_queue_put_shareable_async (MpQueue *self,
                                   MpShareable *shareable,
                                   GCancellable *cancellable,
                                   GAsyncReadyCallback callback,
                                   gpointer user_data);
MP_AVAILABLE_IN_ALL
gboolean mp_queue_put_shareable_finish (MpQueue *self, GAsyncResult *result, GError **error);
MP_AVAILABLE_IN_ALL
MpShareable *mp_queue_get_shareable (MpQueue *self,
                                     gint64 timeout_us,
                                     GCancellable *cancellable,
                                     GError **error) G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
void mp_queue_get_shareable_async (MpQueue *self,
                                   GCancellable *cancellable,
                                   GAsyncReadyCallback callback,
                                   gpointer user_data);
MP_AVAILABLE_IN_ALL
MpShareable *mp_queue_get_shareable_finish (MpQueue *self,
                                            GAsyncResult *result,
                                            GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
