/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <libmp.h>

#include "mp-service-options.h"

G_BEGIN_DECLS

/* How the workers of a pool start, and what in. */
#define MP_SERVICE_OPTIONS_CONTEXT                                                                 \
  { "runtime", "s", mp_service_context_check_runtime },                                            \
    { "start-method", "s", mp_service_context_check_start_method },                                \
    { "python-path", "as", mp_service_options_check_folders },                                     \
    { "environment", "a{ss}", mp_service_options_check_environment },                              \
  {                                                                                                \
    "working-directory", "s", mp_service_options_check_folder                                      \
  }

extern const char *const mp_service_context_start_methods[];
extern const char *const mp_service_context_runtimes[];

gboolean mp_service_context_check_runtime (const char *key, GVariant *value, GError **error);
gboolean mp_service_context_check_start_method (const char *key, GVariant *value, GError **error);

/* From options that were filtered with these. */
MpContext *mp_service_context_new (GVariantDict *options);
const char *mp_service_context_get_runtime_text (MpContext *context);

G_END_DECLS
