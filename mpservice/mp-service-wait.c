/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-service-wait.h"

#include <gio/gunixfdlist.h>
#include <libmp.h>

#include "mp-service-error.h"
#include "mp-service-names.h"
#include "mp-service-request.h"

/* Safely below the 25 seconds that clients wait for an answer by default. */
#define TIMEOUT_DEFAULT 20.0

struct _MpServiceWait
{
  GObject parent_instance;

  MpService *service; /* outlives every wait; NULL while not counted there */
  GDBusMethodInvocation *invocation;
  gpointer target;
  char *sender;
  double timeout;
  GCancellable *cancellable;
  MpServiceRequest *request; /* NULL without a handle-token */
  guint timer;
  MpServiceStop stop;
};

G_DEFINE_FINAL_TYPE (MpServiceWait, mp_service_wait, G_TYPE_OBJECT)

static gboolean
time_is_over (gpointer user_data)
{
  MpServiceWait *self = MP_SERVICE_WAIT (user_data);

  self->timer = 0;
  mp_service_wait_stop (self, MP_SERVICE_STOP_TIMED_OUT);
  return G_SOURCE_REMOVE;
}

static void
request_cancelled (MpServiceRequest *request, gpointer user_data)
{
  mp_service_wait_stop (MP_SERVICE_WAIT (user_data), MP_SERVICE_STOP_CANCELLED);
}

/* In seconds when it is long, so that it may be coarse and cannot overflow. */
static void
start_timer (MpServiceWait *self)
{
  if (self->timeout < 0.0)
    return;
  if (self->timeout < 1000.0)
    self->timer = g_timeout_add ((guint) (self->timeout * 1000.0), time_is_over, self);
  else
    self->timer =
      g_timeout_add_seconds ((guint) MIN (self->timeout, (double) G_MAXINT), time_is_over, self);
}

static gboolean
export_request (MpServiceWait *self, const char *token, GError **error)
{
  self->request = mp_service_request_new (self->service, self->sender, token, error);
  if (self->request == NULL)
    return FALSE;
  g_signal_connect_object (self->request,
                           "cancel-requested",
                           G_CALLBACK (request_cancelled),
                           self,
                           0);
  return TRUE;
}

MpServiceWait *
mp_service_wait_new (MpService *service,
                     GDBusMethodInvocation *invocation,
                     gpointer target,
                     GVariantDict *options,
                     GError **error)
{
  g_autoptr (MpServiceWait) self = g_object_new (MP_TYPE_SERVICE_WAIT, NULL);
  const char *token = NULL;

  self->sender = g_strdup (g_dbus_method_invocation_get_sender (invocation));
  self->target = target;
  self->timeout = TIMEOUT_DEFAULT;
  g_variant_dict_lookup (options, "timeout", "d", &self->timeout);
  g_variant_dict_lookup (options, "handle-token", "&s", &token);

  if (!mp_service_add_wait (service, self, error))
    return NULL;
  self->service = service;
  if (token != NULL && !export_request (self, token, error))
    return NULL;

  self->invocation = invocation;
  start_timer (self);
  return g_steal_pointer (&self);
}

GCancellable *
mp_service_wait_get_cancellable (MpServiceWait *self)
{
  return self->cancellable;
}

gboolean
mp_service_wait_is_instant (MpServiceWait *self)
{
  return self->timeout == 0.0;
}

const char *
mp_service_wait_get_sender (MpServiceWait *self)
{
  return self->sender;
}

gpointer
mp_service_wait_get_target (MpServiceWait *self)
{
  return self->target;
}

MpServiceStop
mp_service_wait_get_stop (MpServiceWait *self)
{
  return self->stop;
}

void
mp_service_wait_stop (MpServiceWait *self, MpServiceStop stop)
{
  g_autoptr (MpServiceWait) kept = g_object_ref (self);

  if (self->stop != MP_SERVICE_STOP_NONE || self->invocation == NULL)
    return;
  self->stop = stop;
  g_cancellable_cancel (kept->cancellable);
}

/* The call is about to be answered: whoever counts waits need not count it. */
static GDBusMethodInvocation *
finish (MpServiceWait *self)
{
  g_clear_handle_id (&self->timer, g_source_remove);
  if (self->request != NULL)
    mp_service_request_withdraw (self->request);
  g_clear_object (&self->request);
  mp_service_remove_wait (g_steal_pointer (&self->service), self);
  return g_steal_pointer (&self->invocation);
}

void
mp_service_wait_answer (MpServiceWait *self, GVariant *answer, GUnixFDList *fd_list)
{
  g_autoptr (MpServiceWait) kept = g_object_ref (self);
  GDBusMethodInvocation *invocation = finish (kept);

  g_dbus_method_invocation_return_value_with_unix_fd_list (invocation, answer, fd_list);
}

static GError *
dup_stop_error (MpServiceWait *self)
{
  switch (self->stop)
    {
    case MP_SERVICE_STOP_TIMED_OUT:
      return g_error_new (MP_ERROR, MP_ERROR_TIMED_OUT, "nothing in %g seconds", self->timeout);
    case MP_SERVICE_STOP_CANCELLED:
      return g_error_new_literal (G_IO_ERROR, G_IO_ERROR_CANCELLED, "the call was cancelled");
    case MP_SERVICE_STOP_PEER_GONE:
      return g_error_new_literal (G_IO_ERROR, G_IO_ERROR_CANCELLED, "the caller has left the bus");
    case MP_SERVICE_STOP_CLOSED:
      return g_error_new_literal (MP_ERROR, MP_ERROR_CLOSED, "the object was closed");
    case MP_SERVICE_STOP_NONE:
    default:
      return NULL;
    }
}

void
mp_service_wait_fail_with (MpServiceWait *self, const GError *error, const char *other)
{
  g_autoptr (MpServiceWait) kept = g_object_ref (self);
  GDBusMethodInvocation *invocation = finish (kept);

  mp_service_return_error (invocation, error, other);
}

void
mp_service_wait_fail (MpServiceWait *self, const GError *error)
{
  g_autoptr (GError) stopped = dup_stop_error (self);

  mp_service_wait_fail_with (self, stopped != NULL ? stopped : error, "Failed");
}

static void
mp_service_wait_dispose (GObject *object)
{
  MpServiceWait *self = MP_SERVICE_WAIT (object);

  /* Only when it could not be made; otherwise it was answered. */
  if (self->service != NULL)
    mp_service_remove_wait (g_steal_pointer (&self->service), self);
  g_clear_handle_id (&self->timer, g_source_remove);
  g_clear_object (&self->request);
  g_clear_object (&self->cancellable);
  g_clear_pointer (&self->sender, g_free);

  G_OBJECT_CLASS (mp_service_wait_parent_class)->dispose (object);
}

static void
mp_service_wait_class_init (MpServiceWaitClass *klass)
{
  G_OBJECT_CLASS (klass)->dispose = mp_service_wait_dispose;
}

static void
mp_service_wait_init (MpServiceWait *self)
{
  self->cancellable = g_cancellable_new ();
}
