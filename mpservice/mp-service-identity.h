/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include "mp-service-access.h"
#include "mp-service-options.h"
#include "mp-service.h"

G_BEGIN_DECLS

/* Who an object is, and its place among the others: made before the object,
 * so that nobody else can take the path and the caps hold while the object is
 * being made; the place is given back when it leaves, at the latest with the
 * identity. */
typedef struct
{
  MpService *service;
  const char *kind;
  char *name; /* NULL for an anonymous object */
  char *owner;
  char *path;
  MpServiceSharing sharing;
  gboolean settled; /* has its place */
} MpServiceIdentity;

/* In front of the options of every method that makes a top-level object. */
#define MP_SERVICE_OPTIONS_IDENTITY                                                                \
  { "name", "s", mp_service_options_check_name },                                                  \
    { "lifetime", "s", mp_service_identity_check_lifetime }, MP_SERVICE_OPTION_TOKEN

gboolean mp_service_identity_check_lifetime (const char *key, GVariant *value, GError **error);

/* @kind is a literal. MP_ERROR_EXISTS, MP_ERROR_LIMIT, MP_ERROR_INVALID_ARGUMENT. */
MpServiceIdentity *mp_service_identity_new (MpService *service,
                                            const char *kind,
                                            const char *sender,
                                            GVariantDict *options,
                                            GError **error);

/* That of a job below @pool. */
MpServiceIdentity *mp_service_identity_new_job (const MpServiceIdentity *pool,
                                                const char *sender,
                                                GVariantDict *options,
                                                GError **error);

void mp_service_identity_leave (MpServiceIdentity *self);
void mp_service_identity_free (MpServiceIdentity *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (MpServiceIdentity, mp_service_identity_free)

G_END_DECLS
