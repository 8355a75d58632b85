/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-service-manager.h"

#include <libmp.h>

#include "mp-service-context.h"
#include "mp-service-error.h"
#include "mp-service-names.h"
#include "mp-service-pool.h"
#include "mp-service-queue.h"

#define API_VERSION 1

struct _MpServiceManager
{
  MpDBusManagerSkeleton parent_instance;

  MpService *service;
};

enum
{
  PROP_0,
  PROP_N_OBJECTS,
  PROP_N_PROCESSES,
  PROP_N_WAITS,
};

static const char *const features[] = { "pool",
                                        "queue",
                                        "runtime-python",
                                        "runtime-command",
                                        NULL };

static void mp_service_manager_iface_init (MpDBusManagerIface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (MpServiceManager,
                               mp_service_manager,
                               MP_DBUS_TYPE_MANAGER_SKELETON,
                               G_IMPLEMENT_INTERFACE (MP_DBUS_TYPE_MANAGER,
                                                      mp_service_manager_iface_init))

/* Answers with the path of @object, which may be NULL with @error set. */
static gboolean
answer_with_object (MpServiceManager *self,
                    GDBusMethodInvocation *invocation,
                    MpServiceObject *object,
                    GError **error)
{
  if (object != NULL && mp_service_add_object (self->service, object, error))
    {
      g_dbus_method_invocation_return_value (invocation,
                                             g_variant_new ("(o)",
                                                            mp_service_object_get_path (object)));
      return G_DBUS_METHOD_INVOCATION_HANDLED;
    }
  if (object != NULL)
    mp_service_object_end (object, "closed");
  mp_service_return_error (invocation, *error, "Failed");
  return G_DBUS_METHOD_INVOCATION_HANDLED;
}

static gboolean
handle_create_pool (MpDBusManager *manager,
                    GDBusMethodInvocation *invocation,
                    guint n_workers,
                    GVariant *arg_options)
{
  MpServiceManager *self = MP_SERVICE_MANAGER (manager);
  const char *sender = g_dbus_method_invocation_get_sender (invocation);
  g_autoptr (GVariantDict) options = NULL;
  g_autoptr (MpServiceObject) object = NULL;
  g_autoptr (GError) error = NULL;
  MpServiceIdentity *identity = NULL;

  options = mp_service_options_filter (arg_options, mp_service_pool_options, &error);
  if (options != NULL && n_workers == 0)
    g_set_error_literal (&error, MP_ERROR, MP_ERROR_INVALID_ARGUMENT, "workers must be at least 1");
  else if (options != NULL)
    identity = mp_service_identity_new (self->service, "pool", sender, options, &error);
  if (identity != NULL)
    object = mp_service_pool_create (identity, n_workers, options, &error);
  return answer_with_object (self, invocation, object, &error);
}

static gboolean
handle_create_queue (MpDBusManager *manager,
                     GDBusMethodInvocation *invocation,
                     GVariant *arg_options)
{
  MpServiceManager *self = MP_SERVICE_MANAGER (manager);
  const char *sender = g_dbus_method_invocation_get_sender (invocation);
  g_autoptr (GVariantDict) options = NULL;
  g_autoptr (MpServiceObject) object = NULL;
  g_autoptr (GError) error = NULL;
  MpServiceIdentity *identity = NULL;

  options = mp_service_options_filter (arg_options, mp_service_queue_options, &error);
  if (options != NULL)
    identity = mp_service_identity_new (self->service, "queue", sender, options, &error);
  if (identity != NULL)
    object = mp_service_queue_create (identity, options, &error);
  return answer_with_object (self, invocation, object, &error);
}

static gboolean
handle_lookup (MpDBusManager *manager,
               GDBusMethodInvocation *invocation,
               const char *kind,
               const char *name)
{
  MpServiceManager *self = MP_SERVICE_MANAGER (manager);
  MpServiceObject *object = mp_service_find_named (self->service, kind, name);

  if (object != NULL)
    mp_dbus_manager_complete_lookup (manager, invocation, mp_service_object_get_path (object));
  else
    g_dbus_method_invocation_return_error (invocation,
                                           MP_ERROR,
                                           MP_ERROR_NOT_FOUND,
                                           "there is no %s named \"%s\"",
                                           kind,
                                           name);
  return G_DBUS_METHOD_INVOCATION_HANDLED;
}

static gboolean
handle_list_names (MpDBusManager *manager, GDBusMethodInvocation *invocation, const char *kind)
{
  MpServiceManager *self = MP_SERVICE_MANAGER (manager);

  mp_dbus_manager_complete_list_names (manager,
                                       invocation,
                                       mp_service_list_named (self->service, kind));
  return G_DBUS_METHOD_INVOCATION_HANDLED;
}

static void
mp_service_manager_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  MpServiceManager *self = MP_SERVICE_MANAGER (object);

  switch (prop_id)
    {
    case PROP_N_OBJECTS:
      g_value_set_uint (value, mp_service_get_n_objects (self->service));
      break;
    case PROP_N_PROCESSES:
      g_value_set_uint (value, mp_service_get_n_processes (self->service));
      break;
    case PROP_N_WAITS:
      g_value_set_uint (value, mp_service_get_n_waits (self->service));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
      break;
    }
}

static void
mp_service_manager_dispose (GObject *object)
{
  MpServiceManager *self = MP_SERVICE_MANAGER (object);

  g_clear_object (&self->service);

  G_OBJECT_CLASS (mp_service_manager_parent_class)->dispose (object);
}

static void
mp_service_manager_class_init (MpServiceManagerClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->get_property = mp_service_manager_get_property;
  object_class->set_property = mp_service_access_refuse_to_set;
  object_class->dispose = mp_service_manager_dispose;
  mp_service_access_install (G_DBUS_INTERFACE_SKELETON_CLASS (klass));

  g_object_class_override_property (object_class, PROP_N_OBJECTS, "nobjects");
  g_object_class_override_property (object_class, PROP_N_PROCESSES, "nprocesses");
  g_object_class_override_property (object_class, PROP_N_WAITS, "nwaits");
}

static void
mp_service_manager_init (MpServiceManager *self)
{
}

static void
mp_service_manager_iface_init (MpDBusManagerIface *iface)
{
  iface->handle_create_pool = handle_create_pool;
  iface->handle_create_queue = handle_create_queue;
  iface->handle_lookup = handle_lookup;
  iface->handle_list_names = handle_list_names;
}

MpServiceManager *
mp_service_manager_new (MpService *service, GError **error)
{
  const MpServiceLimits *limits = mp_service_get_limits (service);
  g_autoptr (MpServiceManager) self = NULL;

  self = g_object_new (MP_TYPE_SERVICE_MANAGER,
                       "version",
                       MP_VERSION_S,
                       "api-version",
                       API_VERSION,
                       "features",
                       features,
                       "start-methods",
                       mp_service_context_start_methods,
                       "objects-max",
                       limits->objects_max,
                       "objects-per-peer-max",
                       limits->objects_per_peer_max,
                       "processes-max",
                       limits->processes_max,
                       "waits-max",
                       limits->waits_max,
                       "waits-per-peer-max",
                       limits->waits_per_peer_max,
                       NULL);
  self->service = g_object_ref (service);
  mp_service_access_guard (G_DBUS_INTERFACE_SKELETON (self),
                           mp_service_get_idle (service),
                           NULL,
                           MP_SERVICE_SHARING_PUBLIC);
  if (!g_dbus_interface_skeleton_export (G_DBUS_INTERFACE_SKELETON (self),
                                         mp_service_get_connection (service),
                                         MP_SERVICE_PATH,
                                         error))
    return NULL;
  return g_steal_pointer (&self);
}
