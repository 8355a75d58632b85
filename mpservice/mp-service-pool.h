/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include "mp-service-object.h"

G_BEGIN_DECLS

#define MP_TYPE_SERVICE_POOL (mp_service_pool_get_type ())

G_DECLARE_FINAL_TYPE (MpServicePool, mp_service_pool, MP, SERVICE_POOL, MpDBusPoolSkeleton)

extern const MpServiceOption mp_service_pool_options[];

/* A pool and its object on the bus, from options of that table; the caller
 * adds it to the service. Consumes @identity, also on failure. */
MpServiceObject *mp_service_pool_create (MpServiceIdentity *identity,
                                         guint n_workers,
                                         GVariantDict *options,
                                         GError **error);

G_END_DECLS
