/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-service-peers.h"

#include <libmp.h>

typedef struct
{
  guint n_charges[MP_SERVICE_N_CHARGES];
} Peer;

struct _MpServicePeers
{
  GObject parent_instance;

  GDBusConnection *connection;
  guint subscription;
  GHashTable *peers; /* unique name → Peer, while it has something */
};

typedef struct
{
  MpServicePeersVerified callback;
  gpointer user_data;
} Verification;

enum
{
  SIGNAL_PEER_GONE,
  N_SIGNALS
};

static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE (MpServicePeers, mp_service_peers, G_TYPE_OBJECT)

/* One subscription to everybody's coming and going costs one match rule,
 * however many connections use the service. */
static void
name_owner_changed (GDBusConnection *connection,
                    const char *sender,
                    const char *path,
                    const char *interface,
                    const char *signal,
                    GVariant *parameters,
                    gpointer user_data)
{
  MpServicePeers *self = MP_SERVICE_PEERS (user_data);
  const char *name, *new_owner;

  g_variant_get (parameters, "(&s&s&s)", &name, NULL, &new_owner);
  if (name[0] != ':' || new_owner[0] != '\0')
    return;
  if (!g_hash_table_remove (self->peers, name))
    return;
  g_debug ("Peer %s has left", name);
  g_signal_emit (self, signals[SIGNAL_PEER_GONE], 0, name);
}

gboolean
mp_service_peers_charge (MpServicePeers *self,
                         const char *name,
                         MpServiceCharge charge,
                         guint max,
                         const char *what,
                         GError **error)
{
  Peer *peer = g_hash_table_lookup (self->peers, name);

  if (peer != NULL && peer->n_charges[charge] >= max)
    {
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_LIMIT,
                   "one connection can have %u %s, and %s has them",
                   max,
                   what,
                   name);
      return FALSE;
    }
  if (peer == NULL)
    {
      peer = g_new0 (Peer, 1);
      g_hash_table_insert (self->peers, g_strdup (name), peer);
    }
  peer->n_charges[charge]++;
  return TRUE;
}

void
mp_service_peers_discharge (MpServicePeers *self, const char *name, MpServiceCharge charge)
{
  Peer *peer = g_hash_table_lookup (self->peers, name);
  guint n_left = 0;

  /* It has left, and was forgotten with all it had. */
  if (peer == NULL)
    return;

  g_return_if_fail (peer->n_charges[charge] > 0);
  peer->n_charges[charge]--;
  for (guint i = 0; i < MP_SERVICE_N_CHARGES; i++)
    n_left += peer->n_charges[i];
  if (n_left == 0)
    g_hash_table_remove (self->peers, name);
}

gboolean
mp_service_peers_is_present (MpServicePeers *self, const char *name)
{
  return g_hash_table_contains (self->peers, name);
}

static void
has_owner_answered (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autofree Verification *verification = user_data;
  g_autoptr (GVariant) answer = NULL;
  gboolean present = FALSE;

  answer = g_dbus_connection_call_finish (G_DBUS_CONNECTION (source), result, NULL);
  if (answer != NULL)
    g_variant_get (answer, "(b)", &present);
  verification->callback (present, verification->user_data);
}

void
mp_service_peers_verify (MpServicePeers *self,
                         const char *name,
                         MpServicePeersVerified callback,
                         gpointer user_data)
{
  Verification *verification = g_new0 (Verification, 1);

  verification->callback = callback;
  verification->user_data = user_data;
  g_dbus_connection_call (self->connection,
                          "org.freedesktop.DBus",
                          "/org/freedesktop/DBus",
                          "org.freedesktop.DBus",
                          "NameHasOwner",
                          g_variant_new ("(s)", name),
                          G_VARIANT_TYPE ("(b)"),
                          G_DBUS_CALL_FLAGS_NONE,
                          -1,
                          NULL,
                          has_owner_answered,
                          verification);
}

static void
mp_service_peers_finalize (GObject *object)
{
  MpServicePeers *self = MP_SERVICE_PEERS (object);

  g_dbus_connection_signal_unsubscribe (self->connection, self->subscription);
  g_clear_object (&self->connection);
  g_clear_pointer (&self->peers, g_hash_table_unref);

  G_OBJECT_CLASS (mp_service_peers_parent_class)->finalize (object);
}

static void
mp_service_peers_class_init (MpServicePeersClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = mp_service_peers_finalize;

  signals[SIGNAL_PEER_GONE] = g_signal_new ("peer-gone",
                                            G_TYPE_FROM_CLASS (klass),
                                            G_SIGNAL_RUN_LAST,
                                            0,
                                            NULL,
                                            NULL,
                                            NULL,
                                            G_TYPE_NONE,
                                            1,
                                            G_TYPE_STRING);
}

static void
mp_service_peers_init (MpServicePeers *self)
{
  self->peers = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
}

MpServicePeers *
mp_service_peers_new (GDBusConnection *connection)
{
  MpServicePeers *self = g_object_new (MP_TYPE_SERVICE_PEERS, NULL);

  self->connection = g_object_ref (connection);
  self->subscription = g_dbus_connection_signal_subscribe (connection,
                                                           "org.freedesktop.DBus",
                                                           "org.freedesktop.DBus",
                                                           "NameOwnerChanged",
                                                           "/org/freedesktop/DBus",
                                                           NULL,
                                                           G_DBUS_SIGNAL_FLAGS_NONE,
                                                           name_owner_changed,
                                                           self,
                                                           NULL);
  return self;
}
