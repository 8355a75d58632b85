/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* The D-Bus name of @error; what no part of libmp made is @other, such as "Failed". */
char *mp_service_error_dup_name (const GError *error, const char *other);

/* Answers @invocation (consumed) with @error. */
void mp_service_return_error (GDBusMethodInvocation *invocation,
                              const GError *error,
                              const char *other);

G_END_DECLS
