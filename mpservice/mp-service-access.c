/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-service-access.h"

#define IFACE(x) "org.libmp.Mp1." x

typedef enum
{
  ACCESS_ANY,   /* whoever may use the object */
  ACCESS_OWNER, /* whoever may end the object */
} Access;

typedef struct
{
  const char *interface;
  const char *method;
  Access access;
} Rule;

/* What is not here is refused. */
static const Rule rules[] = {
  { IFACE ("Manager"), "CreatePool", ACCESS_ANY }, { IFACE ("Manager"), "CreateQueue", ACCESS_ANY },
  { IFACE ("Manager"), "Lookup", ACCESS_ANY },     { IFACE ("Manager"), "ListNames", ACCESS_ANY },
  { IFACE ("Object"), "Ref", ACCESS_ANY },         { IFACE ("Object"), "Unref", ACCESS_ANY },
  { IFACE ("Object"), "Unlink", ACCESS_OWNER },    { IFACE ("Object"), "Close", ACCESS_OWNER },
  { IFACE ("Request"), "Cancel", ACCESS_OWNER },   { IFACE ("Pool"), "Apply", ACCESS_ANY },
  { IFACE ("Pool"), "ApplyAsync", ACCESS_ANY },    { IFACE ("Pool"), "Map", ACCESS_ANY },
  { IFACE ("Pool"), "Run", ACCESS_ANY },           { IFACE ("Pool"), "CloseIntake", ACCESS_OWNER },
  { IFACE ("Pool"), "Terminate", ACCESS_OWNER },   { IFACE ("Pool"), "Join", ACCESS_ANY },
  { IFACE ("Job"), "Wait", ACCESS_ANY },           { IFACE ("Job"), "GetResult", ACCESS_ANY },
  { IFACE ("Job"), "Cancel", ACCESS_ANY },         { IFACE ("Queue"), "Put", ACCESS_ANY },
  { IFACE ("Queue"), "Get", ACCESS_ANY },          { IFACE ("Queue"), "PutMany", ACCESS_ANY },
  { IFACE ("Queue"), "GetMany", ACCESS_ANY },      { IFACE ("Queue"), "CloseIntake", ACCESS_OWNER },
  { IFACE ("Queue"), "Open", ACCESS_ANY },
};

typedef struct
{
  MpServiceIdle *idle;
  char *owner;
  MpServiceSharing sharing;
} Guard;

static G_DEFINE_QUARK (mp - service - guard, guard)

  static void guard_free (gpointer data)
{
  Guard *guard = data;

  g_object_unref (guard->idle);
  g_free (guard->owner);
  g_free (guard);
}

static const Rule *
find_rule (const char *interface, const char *method)
{
  for (gsize i = 0; i < G_N_ELEMENTS (rules); i++)
    {
      if (g_str_equal (rules[i].interface, interface) && g_str_equal (rules[i].method, method))
        return &rules[i];
    }
  return NULL;
}

gboolean
mp_service_access_check (const char *interface,
                         const char *method,
                         const char *sender,
                         const char *owner,
                         MpServiceSharing sharing)
{
  const Rule *rule = find_rule (interface, method);

  if (rule == NULL)
    return FALSE;

  switch (sharing)
    {
    case MP_SERVICE_SHARING_PUBLIC:
    case MP_SERVICE_SHARING_NAMED:
      return TRUE;
    case MP_SERVICE_SHARING_OWNED:
      return rule->access == ACCESS_ANY || g_strcmp0 (sender, owner) == 0;
    case MP_SERVICE_SHARING_PRIVATE:
    default:
      return g_strcmp0 (sender, owner) == 0;
    }
}

/* The guarded twin of what gdbus-codegen makes: GDBusInterfaceSkeleton's own
 * g-authorize-method would run every call in a thread of its own. */
static void
guarded_method_call (GDBusConnection *connection,
                     const char *sender,
                     const char *path,
                     const char *interface,
                     const char *method,
                     GVariant *parameters,
                     GDBusMethodInvocation *invocation,
                     gpointer user_data)
{
  GDBusInterfaceSkeleton *skeleton = G_DBUS_INTERFACE_SKELETON (user_data);
  const Guard *guard = g_object_get_qdata (G_OBJECT (skeleton), guard_quark ());
  GDBusInterfaceSkeletonClass *generated = g_type_class_peek_parent (G_OBJECT_GET_CLASS (skeleton));

  if (guard == NULL ||
      !mp_service_access_check (interface, method, sender, guard->owner, guard->sharing))
    {
      g_debug ("Refused %s to call %s.%s of %s", sender, interface, method, path);
      g_dbus_method_invocation_return_error (invocation,
                                             G_DBUS_ERROR,
                                             G_DBUS_ERROR_ACCESS_DENIED,
                                             "%s.%s of %s is for its owner only",
                                             interface,
                                             method,
                                             path);
      return;
    }
  mp_service_idle_touch (guard->idle);
  generated->get_vtable (skeleton)
    ->method_call (connection, sender, path, interface, method, parameters, invocation, skeleton);
}

/* Properties are not touched by GDBus through this table: it asks the skeleton's
 * get_properties and get_vtable()->get_property, which stay the generated ones. */
static GDBusInterfaceVTable *
get_guarded_vtable (GDBusInterfaceSkeleton *skeleton)
{
  GDBusInterfaceSkeletonClass *klass = G_DBUS_INTERFACE_SKELETON_GET_CLASS (skeleton);
  GDBusInterfaceSkeletonClass *generated = g_type_class_peek_parent (klass);
  GDBusInterfaceVTable *vtable = g_object_get_data (G_OBJECT (skeleton), "mp-service-vtable");

  if (vtable == NULL)
    {
      vtable = g_memdup2 (generated->get_vtable (skeleton), sizeof *vtable);
      vtable->method_call = guarded_method_call;
      g_object_set_data_full (G_OBJECT (skeleton), "mp-service-vtable", vtable, g_free);
    }
  return vtable;
}

void
mp_service_access_install (GDBusInterfaceSkeletonClass *klass)
{
  klass->get_vtable = get_guarded_vtable;
}

void
mp_service_access_guard (GDBusInterfaceSkeleton *skeleton,
                         MpServiceIdle *idle,
                         const char *owner,
                         MpServiceSharing sharing)
{
  Guard *guard = g_new0 (Guard, 1);

  guard->idle = g_object_ref (idle);
  guard->owner = g_strdup (owner);
  guard->sharing = sharing;
  g_object_set_qdata_full (G_OBJECT (skeleton), guard_quark (), guard, guard_free);
}

void
mp_service_access_refuse_to_set (GObject *object,
                                 guint prop_id,
                                 const GValue *value,
                                 GParamSpec *pspec)
{
  G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
}
