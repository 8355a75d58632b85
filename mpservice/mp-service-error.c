/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-service-error.h"

#include <libmp.h>

#include "mp-service-names.h"

char *
mp_service_error_dup_name (const GError *error, const char *other)
{
  if (error->domain == MP_ERROR || error->domain == G_DBUS_ERROR)
    return g_dbus_error_encode_gerror (error);
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    return g_strdup (MP_SERVICE_ERROR_PREFIX "Cancelled");
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT))
    return g_strdup (MP_SERVICE_ERROR_PREFIX "TimedOut");
  return g_strconcat (MP_SERVICE_ERROR_PREFIX, other, NULL);
}

void
mp_service_return_error (GDBusMethodInvocation *invocation, const GError *error, const char *other)
{
  g_autofree char *name = mp_service_error_dup_name (error, other);
  g_autofree char *message = g_utf8_make_valid (error->message, -1);

  g_dbus_method_invocation_return_dbus_error (invocation, name, message);
}
