/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include "mp-transport-private.h"

G_BEGIN_DECLS

/* Where clients go through the handshake of TLS, some at a time: each has a thread, because
 * GLib wants one that waits, and it has few others for that. So nobody should come in who
 * has not begun to speak. No code of the program runs there. */
typedef struct _MpTlsDoor MpTlsDoor;

/* @event_fd is written whenever there is something to take. */
MpTlsDoor *mp_tls_door_new (GTlsCertificate *certificate,
                            GTlsDatabase *client_database,
                            int event_fd);
/* Drops all that are on their way. */
void mp_tls_door_free (MpTlsDoor *self);
/* In a child of fork(), whose threads these are not. */
void mp_tls_door_forget (MpTlsDoor *self);

/* Whether one more can begin. If not, there will be something to take, or @event_fd is
 * written anyhow, once one can: one that has taken too long gives way. */
gboolean mp_tls_door_has_room (MpTlsDoor *self, gint64 now);
/* Takes @fd. */
void mp_tls_door_enter (MpTlsDoor *self, int fd, gint64 now, gint64 deadline);
/* Drops those whose time is over, and says whether others are on their way. */
gboolean mp_tls_door_drop_late (MpTlsDoor *self, gint64 now);
/* The next one that is through; or not, and @error says why. FALSE if there is none. */
gboolean mp_tls_door_take (MpTlsDoor *self, MpTransport *transport, GError **error);

/* Whether TLS can be spoken there; FALSE with @error set. */
gboolean mp_tls_check (GSocketAddress *address, GError **error);

G_END_DECLS
