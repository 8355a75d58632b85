/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#if !defined(MP_INSIDE) && !defined(MP_COMPILATION)
#error "Only <libmp.h> can be included directly."
#endif

#include <gio/gio.h>

#include "../memory/mp-shareable.h"

G_BEGIN_DECLS

#define MP_TYPE_CONNECTION (mp_connection_get_type ())

MP_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (MpConnection, mp_connection, MP, CONNECTION, GObject)

/**
 * MpConnectionFunc:
 * @connection: the connection
 * @user_data: data given with the function
 *
 * Called when there is something to receive, or the connection is closed.
 *
 * Returns: whether to go on watching
 *
 * Since: 0.1
 */
typedef gboolean (*MpConnectionFunc) (MpConnection *connection, gpointer user_data);

MP_AVAILABLE_IN_ALL
gboolean mp_pipe_new (gboolean duplex, MpConnection **a, MpConnection **b, GError **error);
MP_AVAILABLE_IN_ALL
MpConnection *mp_connection_new_for_fd (int fd,
                                        gboolean readable,
                                        gboolean writable,
                                        GError **error) G_GNUC_WARN_UNUSED_RESULT;

MP_AVAILABLE_IN_ALL
MpConnection *mp_connection_open (const char *address,
                                  GBytes *authkey,
                                  gint64 timeout_us,
                                  GCancellable *cancellable,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
void mp_connection_open_async (const char *address,
                               GBytes *authkey,
                               gint64 timeout_us,
                               GCancellable *cancellable,
                               GAsyncReadyCallback callback,
                               gpointer user_data);
MP_AVAILABLE_IN_ALL
MpConnection *mp_connection_open_finish (GAsyncResult *result,
                                         GError **error) G_GNUC_WARN_UNUSED_RESULT;

MP_AVAILABLE_IN_ALL
MpConnection *mp_connection_open_tls (const char *address,
                                      GBytes *authkey,
                                      GTlsDatabase *database,
                                      GTlsCertificate *certificate,
                                      gint64 timeout_us,
                                      GCancellable *cancellable,
                                      GError **error) G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
void mp_connection_open_tls_async (const char *address,
                                   GBytes *authkey,
                                   GTlsDatabase *database,
                                   GTlsCertificate *certificate,
                                   gint64 timeout_us,
                                   GCancellable *cancellable,
                                   GAsyncReadyCallback callback,
                                   gpointer user_data);
MP_AVAILABLE_IN_ALL
MpConnection *mp_connection_open_tls_finish (GAsyncResult *result,
                                             GError **error) G_GNUC_WARN_UNUSED_RESULT;

MP_AVAILABLE_IN_ALL
gboolean mp_connection_send (MpConnection *self,
                             GVariant *value,
                             gint64 timeout_us,
                             GCancellable *cancellable,
                             GError **error);
MP_AVAILABLE_IN_ALL
void mp_connection_send_async (MpConnection *self,
                               GVariant *value,
                               GCancellable *cancellable,
                               GAsyncReadyCallback callback,
                               gpointer user_data);
MP_AVAILABLE_IN_ALL
gboolean mp_connection_send_finish (MpConnection *self, GAsyncResult *result, GError **error);
MP_AVAILABLE_IN_ALL
GVariant *mp_connection_recv (MpConnection *self,
                              gint64 timeout_us,
                              GCancellable *cancellable,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
void mp_connection_recv_async (MpConnection *self,
                               GCancellable *cancellable,
                               GAsyncReadyCallback callback,
                               gpointer user_data);
MP_AVAILABLE_IN_ALL
GVariant *mp_connection_recv_finish (MpConnection *self,
                                     GAsyncResult *result,
                                     GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Messages that mean nothing to libmp. */
MP_AVAILABLE_IN_ALL
gboolean mp_connection_send_data (MpConnection *self,
                                  const guint8 *data,
                                  gsize length,
                                  gint64 timeout_us,
                                  GCancellable *cancellable,
                                  GError **error);
MP_AVAILABLE_IN_ALL
gboolean mp_connection_send_bytes (MpConnection *self,
                                   GBytes *bytes,
                                   gint64 timeout_us,
                                   GCancellable *cancellable,
                                   GError **error);
MP_AVAILABLE_IN_ALL
void mp_connection_send_bytes_async (MpConnection *self,
                                     GBytes *bytes,
                                     GCancellable *cancellable,
                                     GAsyncReadyCallback callback,
                                     gpointer user_data);
MP_AVAILABLE_IN_ALL
gboolean mp_connection_send_bytes_finish (MpConnection *self, GAsyncResult *result, GError **error);
MP_AVAILABLE_IN_ALL
GBytes *mp_connection_recv_bytes (MpConnection *self,
                                  gint64 timeout_us,
                                  GCancellable *cancellable,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
void mp_connection_recv_bytes_async (MpConnection *self,
                                     GCancellable *cancellable,
                                     GAsyncReadyCallback callback,
                                     gpointer user_data);
MP_AVAILABLE_IN_ALL
GBytes *mp_connection_recv_bytes_finish (MpConnection *self,
                                         GAsyncResult *result,
                                         GError **error) G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
gboolean mp_connection_recv_bytes_into (MpConnection *self,
                                        gpointer buffer,
                                        gsize size,
                                        gsize *length,
                                        gint64 timeout_us,
                                        GCancellable *cancellable,
                                        GError **error);

MP_AVAILABLE_IN_ALL
gssize mp_connection_peek_soon (int fd, gpointer data, gsize length);

MP_AVAILABLE_IN_ALL
gboolean mp_connection_send_fd (MpConnection *self,
                                int fd,
                                gint64 timeout_us,
                                GCancellable *cancellable,
                                GError **error);
MP_AVAILABLE_IN_ALL
int mp_connection_recv_fd (MpConnection *self,
                           gint64 timeout_us,
                           GCancellable *cancellable,
                           GError **error) G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
gboolean mp_connection_send_shareable (MpConnection *self,
                                       MpShareable *shareable,
                                       gint64 timeout_us,
                                       GCancellable *cancellable,
                                       GError **error);
MP_AVAILABLE_IN_ALL
MpShareable *mp_connection_recv_shareable (MpConnection *self,
                                           gint64 timeout_us,
                                           GCancellable *cancellable,
                                           GError **error) G_GNUC_WARN_UNUSED_RESULT;

MP_AVAILABLE_IN_ALL
gboolean mp_connection_poll (MpConnection *self,
                             gint64 timeout_us,
                             GCancellable *cancellable,
                             GError **error);
MP_AVAILABLE_IN_ALL
GSource *mp_connection_create_source (MpConnection *self,
                                      GCancellable *cancellable) G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
void mp_connection_close (MpConnection *self);

MP_AVAILABLE_IN_ALL
gboolean mp_connection_get_closed (MpConnection *self);
MP_AVAILABLE_IN_ALL
gboolean mp_connection_get_readable (MpConnection *self);
MP_AVAILABLE_IN_ALL
gboolean mp_connection_get_writable (MpConnection *self);
MP_AVAILABLE_IN_ALL
guint64 mp_connection_get_max_frame (MpConnection *self);
MP_AVAILABLE_IN_ALL
void mp_connection_set_max_frame (MpConnection *self, guint64 max_frame);
MP_AVAILABLE_IN_ALL
GTlsCertificate *mp_connection_get_peer_certificate (MpConnection *self);
MP_AVAILABLE_IN_ALL
int mp_connection_get_fd (MpConnection *self);

G_END_DECLS
