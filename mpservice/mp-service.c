/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-service.h"

#include <string.h>

#include <libmp.h>

#include "mp-service-names.h"
#include "mp-service-object.h"
#include "mp-service-wait.h"

struct _MpService
{
  GObject parent_instance;

  GDBusConnection *connection;
  GDBusObjectManagerServer *named; /* exports the named objects and lists them */
  MpServiceIdle *idle;
  MpServicePeers *peers;
  MpServiceLimits limits;

  GHashTable *paths;   /* set of the paths that are taken */
  GHashTable *objects; /* path → MpServiceObject, owned */
  GHashTable *waits;   /* set of MpServiceWait, owned by who will answer them */
  guint n_objects;     /* also those that are being made */
  guint n_processes;
  guint64 serial;
  gboolean shut_down;
};

const MpServiceLimits mp_service_limits_default = {
  .objects_max = 512,
  .objects_per_peer_max = 128,
  .processes_max = 256,
  .waits_max = 1024,
  .waits_per_peer_max = 128,
};

G_DEFINE_FINAL_TYPE (MpService, mp_service, G_TYPE_OBJECT)

GDBusConnection *
mp_service_get_connection (MpService *self)
{
  return self->connection;
}

MpServiceIdle *
mp_service_get_idle (MpService *self)
{
  return self->idle;
}

MpServicePeers *
mp_service_get_peers (MpService *self)
{
  return self->peers;
}

const MpServiceLimits *
mp_service_get_limits (MpService *self)
{
  return &self->limits;
}

guint
mp_service_get_n_objects (MpService *self)
{
  return self->n_objects;
}

guint
mp_service_get_n_processes (MpService *self)
{
  return self->n_processes;
}

guint
mp_service_get_n_waits (MpService *self)
{
  return g_hash_table_size (self->waits);
}

guint64
mp_service_take_serial (MpService *self)
{
  return ++self->serial;
}

gboolean
mp_service_reserve_path (MpService *self, const char *path)
{
  if (g_hash_table_contains (self->paths, path))
    return FALSE;
  return g_hash_table_add (self->paths, g_strdup (path));
}

void
mp_service_release_path (MpService *self, const char *path)
{
  g_hash_table_remove (self->paths, path);
}

static gboolean
refuse_over (guint n, guint more, guint max, const char *what, GError **error)
{
  if (n <= max && more <= max - n)
    return FALSE;

  g_set_error (error,
               MP_ERROR,
               MP_ERROR_LIMIT,
               "the service can have %u %s, and has %u",
               max,
               what,
               n);
  return TRUE;
}

static gboolean
refuse_shut_down (MpService *self, GError **error)
{
  if (!self->shut_down)
    return FALSE;

  g_set_error_literal (error, MP_ERROR, MP_ERROR_CLOSED, "the service is ending");
  return TRUE;
}

gboolean
mp_service_charge_object (MpService *self, const char *owner, GError **error)
{
  if (refuse_shut_down (self, error) ||
      refuse_over (self->n_objects, 1, self->limits.objects_max, "objects", error) ||
      !mp_service_peers_charge (self->peers,
                                owner,
                                MP_SERVICE_CHARGE_OBJECT,
                                self->limits.objects_per_peer_max,
                                "objects",
                                error))
    return FALSE;

  self->n_objects++;
  mp_service_idle_hold (self->idle, "object");
  return TRUE;
}

void
mp_service_discharge_object (MpService *self, const char *owner)
{
  mp_service_peers_discharge (self->peers, owner, MP_SERVICE_CHARGE_OBJECT);
  self->n_objects--;
  mp_service_idle_release (self->idle, "object");
}

gboolean
mp_service_charge_processes (MpService *self, guint n_processes, GError **error)
{
  if (refuse_over (self->n_processes,
                   n_processes,
                   self->limits.processes_max,
                   "worker processes",
                   error))
    return FALSE;

  self->n_processes += n_processes;
  return TRUE;
}

void
mp_service_discharge_processes (MpService *self, guint n_processes)
{
  self->n_processes -= n_processes;
}

gboolean
mp_service_add_wait (MpService *self, MpServiceWait *wait, GError **error)
{
  if (refuse_shut_down (self, error) ||
      refuse_over (mp_service_get_n_waits (self),
                   1,
                   self->limits.waits_max,
                   "waiting calls",
                   error) ||
      !mp_service_peers_charge (self->peers,
                                mp_service_wait_get_sender (wait),
                                MP_SERVICE_CHARGE_WAIT,
                                self->limits.waits_per_peer_max,
                                "waiting calls",
                                error))
    return FALSE;

  g_hash_table_add (self->waits, wait);
  mp_service_idle_hold (self->idle, "waiting call");
  return TRUE;
}

void
mp_service_remove_wait (MpService *self, MpServiceWait *wait)
{
  g_hash_table_remove (self->waits, wait);
  mp_service_peers_discharge (self->peers,
                              mp_service_wait_get_sender (wait),
                              MP_SERVICE_CHARGE_WAIT);
  mp_service_idle_release (self->idle, "waiting call");
}

/* Stopping a wait may answer it and others at once, hence the copy. NULL
 * matches everything. */
static void
stop_waits (MpService *self, gpointer target, const char *sender, MpServiceStop stop)
{
  g_autoptr (GPtrArray) stopped = g_ptr_array_new_with_free_func (g_object_unref);
  GHashTableIter iter;
  gpointer key;

  g_hash_table_iter_init (&iter, self->waits);
  while (g_hash_table_iter_next (&iter, &key, NULL))
    {
      if (target != NULL && mp_service_wait_get_target (key) != target)
        continue;
      if (sender != NULL && !g_str_equal (mp_service_wait_get_sender (key), sender))
        continue;
      g_ptr_array_add (stopped, g_object_ref (key));
    }
  for (guint i = 0; i < stopped->len; i++)
    mp_service_wait_stop (stopped->pdata[i], stop);
}

void
mp_service_close_waits (MpService *self, gpointer target)
{
  stop_waits (self, target, NULL, MP_SERVICE_STOP_CLOSED);
}

gboolean
mp_service_add_object (MpService *self, MpServiceObject *object, GError **error)
{
  if (refuse_shut_down (self, error) || !mp_service_object_export (object, self->named, error))
    return FALSE;

  g_hash_table_insert (self->objects,
                       g_strdup (mp_service_object_get_path (object)),
                       g_object_ref (object));
  return TRUE;
}

void
mp_service_remove_object (MpService *self, MpServiceObject *object)
{
  g_hash_table_remove (self->objects, mp_service_object_get_path (object));
}

MpServiceObject *
mp_service_find_named (MpService *self, const char *kind, const char *name)
{
  g_autofree char *path = mp_service_names_named_path (kind, name);
  MpServiceObject *object = g_hash_table_lookup (self->objects, path);

  return object != NULL && mp_service_object_get_linked (object) ? object : NULL;
}

static int
compare_paths (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

GVariant *
mp_service_list_named (MpService *self, const char *kind)
{
  g_autofree gpointer *paths = g_hash_table_get_keys_as_array (self->objects, NULL);
  guint n_paths = g_hash_table_size (self->objects);
  GVariantBuilder builder;

  qsort (paths, n_paths, sizeof *paths, compare_paths);
  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a(so)"));
  for (guint i = 0; i < n_paths; i++)
    {
      MpServiceObject *object = g_hash_table_lookup (self->objects, paths[i]);

      if (!mp_service_object_get_linked (object))
        continue;
      if (kind[0] == '\0' || g_str_equal (mp_service_object_get_kind (object), kind))
        g_variant_builder_add (&builder, "(so)", mp_service_object_get_name (object), paths[i]);
    }
  return g_variant_builder_end (&builder);
}

/* Ending one object may end others, hence a copy here, too. */
static GPtrArray *
copy_objects (MpService *self, const char *prefix)
{
  GPtrArray *objects = g_ptr_array_new_with_free_func (g_object_unref);
  GHashTableIter iter;
  gpointer path, object;

  g_hash_table_iter_init (&iter, self->objects);
  while (g_hash_table_iter_next (&iter, &path, &object))
    {
      if (g_str_has_prefix (path, prefix))
        g_ptr_array_add (objects, g_object_ref (object));
    }
  return objects;
}

static void
end_objects (MpService *self, const char *prefix, const char *reason)
{
  g_autoptr (GPtrArray) objects = copy_objects (self, prefix);

  for (guint i = 0; i < objects->len; i++)
    mp_service_object_end (objects->pdata[i], reason);
}

void
mp_service_end_children (MpService *self, const char *path, const char *reason)
{
  g_autofree char *prefix = g_strconcat (path, "/", NULL);

  end_objects (self, prefix, reason);
}

void
mp_service_shut_down (MpService *self)
{
  self->shut_down = TRUE;
  end_objects (self, "", "shutdown");
  stop_waits (self, NULL, NULL, MP_SERVICE_STOP_CLOSED);
}

static void
peer_gone (MpServicePeers *peers, const char *name, gpointer user_data)
{
  MpService *self = MP_SERVICE (user_data);
  g_autoptr (GPtrArray) objects = NULL;

  /* First its waits, so that nothing is consumed for it. */
  stop_waits (self, NULL, name, MP_SERVICE_STOP_PEER_GONE);

  objects = copy_objects (self, "");
  for (guint i = 0; i < objects->len; i++)
    mp_service_object_forget_peer (objects->pdata[i], name);
}

static void
mp_service_finalize (GObject *object)
{
  MpService *self = MP_SERVICE (object);

  g_clear_object (&self->named);
  g_clear_object (&self->peers);
  g_clear_object (&self->idle);
  g_clear_object (&self->connection);
  g_clear_pointer (&self->objects, g_hash_table_unref);
  g_clear_pointer (&self->waits, g_hash_table_unref);
  g_clear_pointer (&self->paths, g_hash_table_unref);

  G_OBJECT_CLASS (mp_service_parent_class)->finalize (object);
}

static void
mp_service_class_init (MpServiceClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = mp_service_finalize;
}

static void
mp_service_init (MpService *self)
{
  self->paths = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  self->objects = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_object_unref);
  self->waits = g_hash_table_new (NULL, NULL);
}

MpService *
mp_service_new (GDBusConnection *connection,
                const MpServiceLimits *limits,
                MpServiceIdle *idle,
                GError **error)
{
  g_autoptr (MpService) self = g_object_new (MP_TYPE_SERVICE, NULL);

  /* Registers the names of libmp's errors before the first call can come. */
  (void) MP_ERROR;

  self->connection = g_object_ref (connection);
  self->limits = *limits;
  self->idle = g_object_ref (idle);
  self->peers = mp_service_peers_new (connection);
  g_signal_connect_object (self->peers, "peer-gone", G_CALLBACK (peer_gone), self, 0);
  self->named = g_dbus_object_manager_server_new (MP_SERVICE_PATH);
  g_dbus_object_manager_server_set_connection (self->named, connection);
  return g_steal_pointer (&self);
}
