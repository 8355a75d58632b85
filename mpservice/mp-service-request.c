/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-service-request.h"

#include <libmp.h>

#include "mp-service-access.h"
#include "mp-service-names.h"

struct _MpServiceRequest
{
  MpDBusRequestSkeleton parent_instance;

  MpService *service;
  char *path;
};

enum
{
  SIGNAL_CANCEL_REQUESTED,
  N_SIGNALS
};

static guint signals[N_SIGNALS];

static void mp_service_request_iface_init (MpDBusRequestIface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (MpServiceRequest,
                               mp_service_request,
                               MP_DBUS_TYPE_REQUEST_SKELETON,
                               G_IMPLEMENT_INTERFACE (MP_DBUS_TYPE_REQUEST,
                                                      mp_service_request_iface_init))

static gboolean
handle_cancel (MpDBusRequest *request, GDBusMethodInvocation *invocation)
{
  g_autoptr (MpServiceRequest) self = g_object_ref (MP_SERVICE_REQUEST (request));

  mp_dbus_request_complete_cancel (request, invocation);
  g_signal_emit (self, signals[SIGNAL_CANCEL_REQUESTED], 0);
  return G_DBUS_METHOD_INVOCATION_HANDLED;
}

static void
mp_service_request_finalize (GObject *object)
{
  MpServiceRequest *self = MP_SERVICE_REQUEST (object);

  g_clear_pointer (&self->path, g_free);

  G_OBJECT_CLASS (mp_service_request_parent_class)->finalize (object);
}

static void
mp_service_request_class_init (MpServiceRequestClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = mp_service_request_finalize;
  mp_service_access_install (G_DBUS_INTERFACE_SKELETON_CLASS (klass));

  signals[SIGNAL_CANCEL_REQUESTED] = g_signal_new ("cancel-requested",
                                                   G_TYPE_FROM_CLASS (klass),
                                                   G_SIGNAL_RUN_LAST,
                                                   0,
                                                   NULL,
                                                   NULL,
                                                   NULL,
                                                   G_TYPE_NONE,
                                                   0);
}

static void
mp_service_request_init (MpServiceRequest *self)
{
}

static void
mp_service_request_iface_init (MpDBusRequestIface *iface)
{
  iface->handle_cancel = handle_cancel;
}

MpServiceRequest *
mp_service_request_new (MpService *service, const char *sender, const char *token, GError **error)
{
  g_autoptr (MpServiceRequest) self = g_object_new (MP_TYPE_SERVICE_REQUEST, NULL);
  g_autofree char *path = mp_service_names_request_path (sender, token);

  if (!mp_service_reserve_path (service, path))
    {
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_EXISTS,
                   "a call with the handle-token \"%s\" is waiting already",
                   token);
      return NULL;
    }
  self->service = service;
  self->path = g_steal_pointer (&path);
  mp_service_access_guard (G_DBUS_INTERFACE_SKELETON (self),
                           mp_service_get_idle (service),
                           sender,
                           MP_SERVICE_SHARING_PRIVATE);
  if (g_dbus_interface_skeleton_export (G_DBUS_INTERFACE_SKELETON (self),
                                        mp_service_get_connection (service),
                                        self->path,
                                        error))
    return g_steal_pointer (&self);

  mp_service_release_path (service, self->path);
  return NULL;
}

void
mp_service_request_withdraw (MpServiceRequest *self)
{
  g_dbus_interface_skeleton_unexport (G_DBUS_INTERFACE_SKELETON (self));
  mp_service_release_path (self->service, self->path);
}
