/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

#define MP_TYPE_SERVICE_PEERS (mp_service_peers_get_type ())

G_DECLARE_FINAL_TYPE (MpServicePeers, mp_service_peers, MP, SERVICE_PEERS, GObject)

/* What one connection has of the service's, counted against its caps. */
typedef enum
{
  MP_SERVICE_CHARGE_OBJECT,
  MP_SERVICE_CHARGE_WAIT,
  MP_SERVICE_CHARGE_REFERENCE,
  MP_SERVICE_N_CHARGES
} MpServiceCharge;

typedef void (*MpServicePeersVerified) (gboolean present, gpointer user_data);

/* Emits the signal "peer-gone" (unique name) when a connection that has
 * something leaves the bus. */
MpServicePeers *mp_service_peers_new (GDBusConnection *connection);

/* MP_ERROR_LIMIT, naming @what, when @name has @max already. */
gboolean mp_service_peers_charge (MpServicePeers *self,
                                  const char *name,
                                  MpServiceCharge charge,
                                  guint max,
                                  const char *what,
                                  GError **error);
void mp_service_peers_discharge (MpServicePeers *self, const char *name, MpServiceCharge charge);

/* Whether @name, which was charged with something, has not left since. */
gboolean mp_service_peers_is_present (MpServicePeers *self, const char *name);

/* Asks the bus whether @name is there at this moment. */
void mp_service_peers_verify (MpServicePeers *self,
                              const char *name,
                              MpServicePeersVerified callback,
                              gpointer user_data);

G_END_DECLS
