/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-service-object.h"

#include <libmp.h>

#include "mp-service-error.h"

#define REFERENCES_PER_PEER_MAX 1024

struct _MpServiceObject
{
  MpDBusObjectSkeleton parent_instance;

  MpServiceIdentity *identity;
  GDBusInterfaceSkeleton *face;
  GDBusObjectManagerServer *named; /* where it is listed, NULL if it is not */
  GHashTable *references;          /* unique name → how many, never 0 */
  gboolean linked;
  gboolean exported;
  gboolean ended;
};

enum
{
  SIGNAL_ENDED,
  N_SIGNALS
};

static guint signals[N_SIGNALS];

static void mp_service_object_iface_init (MpDBusObjectIface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (MpServiceObject,
                               mp_service_object,
                               MP_DBUS_TYPE_OBJECT_SKELETON,
                               G_IMPLEMENT_INTERFACE (MP_DBUS_TYPE_OBJECT,
                                                      mp_service_object_iface_init))

const MpServiceIdentity *
mp_service_object_get_identity (MpServiceObject *self)
{
  return self->identity;
}

const char *
mp_service_object_get_path (MpServiceObject *self)
{
  return self->identity->path;
}

const char *
mp_service_object_get_kind (MpServiceObject *self)
{
  return self->identity->kind;
}

const char *
mp_service_object_get_name (MpServiceObject *self)
{
  return self->identity->name;
}

gboolean
mp_service_object_get_linked (MpServiceObject *self)
{
  return self->linked && !self->ended;
}

gboolean
mp_service_object_get_ended (MpServiceObject *self)
{
  return self->ended;
}

static void
tell_peer (MpServiceObject *self,
           const char *peer,
           const char *interface,
           const char *signal,
           GVariant *parameters)
{
  g_dbus_connection_emit_signal (mp_service_get_connection (self->identity->service),
                                 peer,
                                 self->identity->path,
                                 interface,
                                 signal,
                                 parameters,
                                 NULL);
}

void
mp_service_object_tell (MpServiceObject *self,
                        const char *interface,
                        const char *signal,
                        GVariant *parameters)
{
  g_autoptr (GVariant) owned = g_variant_ref_sink (parameters);
  GHashTableIter iter;
  gpointer peer;

  if (!g_hash_table_contains (self->references, self->identity->owner))
    tell_peer (self, self->identity->owner, interface, signal, owned);
  g_hash_table_iter_init (&iter, self->references);
  while (g_hash_table_iter_next (&iter, &peer, NULL))
    tell_peer (self, peer, interface, signal, owned);
}

static gboolean
export_named (MpServiceObject *self, GDBusObjectManagerServer *named)
{
  g_autoptr (GDBusObjectSkeleton) entry = g_dbus_object_skeleton_new (self->identity->path);

  g_dbus_object_skeleton_add_interface (entry, G_DBUS_INTERFACE_SKELETON (self));
  g_dbus_object_skeleton_add_interface (entry, self->face);
  g_dbus_object_manager_server_export (named, entry);
  self->named = g_object_ref (named);
  return TRUE;
}

gboolean
mp_service_object_export (MpServiceObject *self, GDBusObjectManagerServer *named, GError **error)
{
  GDBusConnection *connection = mp_service_get_connection (self->identity->service);

  if (self->identity->name != NULL)
    self->exported = export_named (self, named);
  else if (g_dbus_interface_skeleton_export (G_DBUS_INTERFACE_SKELETON (self),
                                             connection,
                                             self->identity->path,
                                             error))
    {
      self->exported =
        g_dbus_interface_skeleton_export (self->face, connection, self->identity->path, error);
      if (!self->exported)
        g_dbus_interface_skeleton_unexport (G_DBUS_INTERFACE_SKELETON (self));
    }
  return self->exported;
}

static void
unexport (MpServiceObject *self)
{
  if (!self->exported)
    return;
  self->exported = FALSE;

  if (self->named != NULL)
    {
      g_dbus_object_manager_server_unexport (self->named, self->identity->path);
      return;
    }
  g_dbus_interface_skeleton_unexport (self->face);
  g_dbus_interface_skeleton_unexport (G_DBUS_INTERFACE_SKELETON (self));
}

static void
drop_references (MpServiceObject *self)
{
  MpServicePeers *peers = mp_service_get_peers (self->identity->service);
  GHashTableIter iter;
  gpointer peer, n_references;

  g_hash_table_iter_init (&iter, self->references);
  while (g_hash_table_iter_next (&iter, &peer, &n_references))
    {
      for (guint i = 0; i < GPOINTER_TO_UINT (n_references); i++)
        mp_service_peers_discharge (peers, peer, MP_SERVICE_CHARGE_REFERENCE);
    }
  g_hash_table_remove_all (self->references);
}

void
mp_service_object_end (MpServiceObject *self, const char *reason)
{
  g_autoptr (MpServiceObject) kept = g_object_ref (self);

  if (self->ended)
    return;
  self->ended = TRUE;

  g_debug ("Ending %s: %s", self->identity->path, reason);
  mp_service_object_tell (self, "org.libmp.Mp1.Object", "Closed", g_variant_new ("(s)", reason));
  mp_service_close_waits (self->identity->service, self);
  g_signal_emit (kept, signals[SIGNAL_ENDED], 0, reason);
  mp_service_end_children (self->identity->service, self->identity->path, "pool-closed");
  unexport (self);
  drop_references (self);
  mp_service_remove_object (self->identity->service, self);
  mp_service_identity_leave (self->identity);
  g_clear_object (&self->face);
}

static void
end_if_unheld (MpServiceObject *self)
{
  if (!self->linked && self->identity->name != NULL && g_hash_table_size (self->references) == 0)
    mp_service_object_end (self, "unlinked");
}

void
mp_service_object_forget_peer (MpServiceObject *self, const char *peer)
{
  gboolean is_owner = g_str_equal (peer, self->identity->owner);

  if (self->ended)
    return;

  if (is_owner && self->identity->sharing != MP_SERVICE_SHARING_NAMED)
    mp_service_object_end (self, "owner-left");
  else if (g_hash_table_remove (self->references, peer))
    end_if_unheld (self);
}

static gboolean
refuse_nameless (MpServiceObject *self, GDBusMethodInvocation *invocation)
{
  if (self->identity->name != NULL)
    return FALSE;

  g_dbus_method_invocation_return_error_literal (invocation,
                                                 MP_ERROR,
                                                 MP_ERROR_NOT_SUPPORTED,
                                                 "the object has no name");
  return TRUE;
}

static gboolean
handle_ref (MpDBusObject *object, GDBusMethodInvocation *invocation)
{
  MpServiceObject *self = MP_SERVICE_OBJECT (object);
  const char *sender = g_dbus_method_invocation_get_sender (invocation);
  guint n_references = GPOINTER_TO_UINT (g_hash_table_lookup (self->references, sender));
  g_autoptr (GError) error = NULL;

  if (refuse_nameless (self, invocation))
    return G_DBUS_METHOD_INVOCATION_HANDLED;

  if (!mp_service_peers_charge (mp_service_get_peers (self->identity->service),
                                sender,
                                MP_SERVICE_CHARGE_REFERENCE,
                                REFERENCES_PER_PEER_MAX,
                                "references",
                                &error))
    {
      mp_service_return_error (invocation, error, "Failed");
      return G_DBUS_METHOD_INVOCATION_HANDLED;
    }
  g_hash_table_insert (self->references, g_strdup (sender), GUINT_TO_POINTER (n_references + 1));
  mp_dbus_object_complete_ref (object, invocation);
  return G_DBUS_METHOD_INVOCATION_HANDLED;
}

static gboolean
handle_unref (MpDBusObject *object, GDBusMethodInvocation *invocation)
{
  MpServiceObject *self = MP_SERVICE_OBJECT (object);
  const char *sender = g_dbus_method_invocation_get_sender (invocation);
  guint n_references = GPOINTER_TO_UINT (g_hash_table_lookup (self->references, sender));

  if (n_references == 0)
    {
      g_dbus_method_invocation_return_error (invocation,
                                             MP_ERROR,
                                             MP_ERROR_NOT_OWNER,
                                             "%s holds no reference",
                                             sender);
      return G_DBUS_METHOD_INVOCATION_HANDLED;
    }
  mp_service_peers_discharge (mp_service_get_peers (self->identity->service),
                              sender,
                              MP_SERVICE_CHARGE_REFERENCE);
  if (n_references > 1)
    g_hash_table_insert (self->references, g_strdup (sender), GUINT_TO_POINTER (n_references - 1));
  else
    g_hash_table_remove (self->references, sender);
  end_if_unheld (self);
  mp_dbus_object_complete_unref (object, invocation);
  return G_DBUS_METHOD_INVOCATION_HANDLED;
}

static gboolean
handle_unlink (MpDBusObject *object, GDBusMethodInvocation *invocation)
{
  MpServiceObject *self = MP_SERVICE_OBJECT (object);

  if (refuse_nameless (self, invocation))
    return G_DBUS_METHOD_INVOCATION_HANDLED;

  if (!self->linked)
    {
      g_dbus_method_invocation_return_error (invocation,
                                             MP_ERROR,
                                             MP_ERROR_NOT_FOUND,
                                             "the name \"%s\" was unlinked before",
                                             self->identity->name);
      return G_DBUS_METHOD_INVOCATION_HANDLED;
    }
  self->linked = FALSE;
  end_if_unheld (self);
  mp_dbus_object_complete_unlink (object, invocation);
  return G_DBUS_METHOD_INVOCATION_HANDLED;
}

static gboolean
handle_close (MpDBusObject *object, GDBusMethodInvocation *invocation, GVariant *options)
{
  mp_service_object_end (MP_SERVICE_OBJECT (object), "closed");
  mp_dbus_object_complete_close (object, invocation);
  return G_DBUS_METHOD_INVOCATION_HANDLED;
}

static void
mp_service_object_finalize (GObject *object)
{
  MpServiceObject *self = MP_SERVICE_OBJECT (object);

  g_clear_object (&self->face);
  g_clear_object (&self->named);
  g_clear_pointer (&self->references, g_hash_table_unref);
  g_clear_pointer (&self->identity, mp_service_identity_free);

  G_OBJECT_CLASS (mp_service_object_parent_class)->finalize (object);
}

static void
mp_service_object_class_init (MpServiceObjectClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = mp_service_object_finalize;
  mp_service_access_install (G_DBUS_INTERFACE_SKELETON_CLASS (klass));

  signals[SIGNAL_ENDED] = g_signal_new ("ended",
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
mp_service_object_init (MpServiceObject *self)
{
  self->references = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
}

static void
mp_service_object_iface_init (MpDBusObjectIface *iface)
{
  iface->handle_ref = handle_ref;
  iface->handle_unref = handle_unref;
  iface->handle_unlink = handle_unlink;
  iface->handle_close = handle_close;
}

MpServiceObject *
mp_service_object_new (MpServiceIdentity *identity, GDBusInterfaceSkeleton *face)
{
  MpServiceObject *self = g_object_new (MP_TYPE_SERVICE_OBJECT,
                                        "kind",
                                        identity->kind,
                                        "name",
                                        identity->name != NULL ? identity->name : "",
                                        "owner",
                                        identity->owner,
                                        "created",
                                        (guint64) g_get_real_time (),
                                        NULL);
  MpServiceIdle *idle = mp_service_get_idle (identity->service);

  self->identity = identity;
  self->face = g_object_ref (face);
  self->linked = identity->name != NULL;
  mp_service_access_guard (G_DBUS_INTERFACE_SKELETON (self),
                           idle,
                           identity->owner,
                           identity->sharing);
  mp_service_access_guard (face, idle, identity->owner, identity->sharing);
  return self;
}
