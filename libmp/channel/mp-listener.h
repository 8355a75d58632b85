/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#if !defined(MP_INSIDE) && !defined(MP_COMPILATION)
#error "Only <libmp.h> can be included directly."
#endif

#include "mp-connection.h"

G_BEGIN_DECLS

#define MP_TYPE_LISTENER (mp_listener_get_type ())

MP_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (MpListener, mp_listener, MP, LISTENER, GObject)

MP_AVAILABLE_IN_ALL
MpListener *mp_listener_new (const char *address,
                             GBytes *authkey,
                             GError **error) G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
MpListener *mp_listener_new_tls (const char *address,
                                 GBytes *authkey,
                                 GTlsCertificate *certificate,
                                 GTlsDatabase *client_database,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;

MP_AVAILABLE_IN_ALL
MpConnection *mp_listener_accept (MpListener *self,
                                  gint64 timeout_us,
                                  GCancellable *cancellable,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
void mp_listener_accept_async (MpListener *self,
                               GCancellable *cancellable,
                               GAsyncReadyCallback callback,
                               gpointer user_data);
MP_AVAILABLE_IN_ALL
MpConnection *mp_listener_accept_finish (MpListener *self,
                                         GAsyncResult *result,
                                         GError **error) G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
void mp_listener_close (MpListener *self);

MP_AVAILABLE_IN_ALL
const char *mp_listener_get_address (MpListener *self);
MP_AVAILABLE_IN_ALL
gboolean mp_listener_get_closed (MpListener *self);
MP_AVAILABLE_IN_ALL
guint mp_listener_get_backlog (MpListener *self);
MP_AVAILABLE_IN_ALL
gint64 mp_listener_get_handshake_timeout (MpListener *self);
MP_AVAILABLE_IN_ALL
void mp_listener_set_handshake_timeout (MpListener *self, gint64 timeout_us);

G_END_DECLS
