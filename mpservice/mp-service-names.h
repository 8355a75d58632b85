/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define MP_SERVICE_BUS_NAME "org.libmp.Mp1"
#define MP_SERVICE_PATH "/org/libmp/Mp1"
#define MP_SERVICE_ERROR_PREFIX "org.libmp.Mp1.Error."

/* A name or token is 1 to 255 of A-Z a-z 0-9 _ . - ; the error says that @what is not. */
gboolean mp_service_names_check (const char *text, const char *what, GError **error);

/* @text as one element of an object path: every byte but ASCII letters and
 * digits, and a digit in front, becomes _xx. Different texts stay different. */
char *mp_service_names_escape (const char *text);

char *mp_service_names_named_path (const char *kind, const char *name);

/* Without @token, @serial stands at the end: as plain digits, which an escaped
 * token never begins with. */
char *mp_service_names_anonymous_path (const char *kind,
                                       const char *sender,
                                       const char *token,
                                       guint64 serial);
char *mp_service_names_job_path (const char *pool_path, const char *token, guint64 serial);

char *mp_service_names_request_path (const char *sender, const char *token);

G_END_DECLS
