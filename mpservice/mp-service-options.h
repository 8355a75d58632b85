/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Sets an error that names @key unless @value, which has the right type, makes sense. */
typedef gboolean (*MpServiceOptionCheck) (const char *key, GVariant *value, GError **error);

typedef struct
{
  const char *key;
  const char *type;
  MpServiceOptionCheck check; /* may be NULL */
} MpServiceOption;

/* The options among @options (a{sv}) that are in @table, which ends with a NULL
 * key. Unknown keys are left out, so that newer clients can talk to this
 * service; a known key of the wrong type or with a bad value is
 * MP_ERROR_INVALID_ARGUMENT. */
GVariantDict *mp_service_options_filter (GVariant *options,
                                         const MpServiceOption *table,
                                         GError **error);

gboolean mp_service_options_check_name (const char *key, GVariant *value, GError **error);
gboolean mp_service_options_check_timeout (const char *key, GVariant *value, GError **error);
gboolean mp_service_options_check_folder (const char *key, GVariant *value, GError **error);
gboolean mp_service_options_check_folders (const char *key, GVariant *value, GError **error);
gboolean mp_service_options_check_environment (const char *key, GVariant *value, GError **error);

/* One of @choices, which end with NULL. */
gboolean mp_service_options_check_choice (const char *key,
                                          GVariant *value,
                                          const char *const *choices,
                                          GError **error);

/* What every waiting method knows; also put in front of the tables of others. */
#define MP_SERVICE_OPTION_TIMEOUT                                                                  \
  {                                                                                                \
    "timeout", "d", mp_service_options_check_timeout                                               \
  }
#define MP_SERVICE_OPTION_TOKEN                                                                    \
  {                                                                                                \
    "handle-token", "s", mp_service_options_check_name                                             \
  }

extern const MpServiceOption mp_service_options_none[];
extern const MpServiceOption mp_service_options_wait[];

G_END_DECLS
