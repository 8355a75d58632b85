/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <gio/gio.h>

#include <libmp.h>

G_BEGIN_DECLS

/* How many bytes of values one answer carries; what D-Bus allows for an array. */
#define MP_SERVICE_VALUE_MAX ((gsize) 64 * 1024 * 1024)

/* Whether a message that holds @value would be accepted by the bus, which
 * disconnects whoever sends one that is not. MP_ERROR_TYPE or MP_ERROR_LIMIT. */
gboolean mp_service_value_check (GVariant *value, GError **error);

/* The same value, in normal form and known to be. GVariant checks each access to
 * bytes that it does not trust, which takes the square of the time that it takes
 * to look at all items of an array. */
GVariant *mp_service_value_trust (GVariant *value);

/* MP_ERROR_NOT_SUPPORTED when file descriptors came with a call whose values
 * are only values. */
gboolean mp_service_value_refuse_fds (GDBusMethodInvocation *invocation, GError **error);

/* The value in a message of a queue, which need not come from this service, or
 * an error: never unpickles. */
GVariant *mp_service_value_from_payload (GBytes *bytes, guint codec, GError **error);

G_END_DECLS
