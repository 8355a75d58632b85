/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include "mp-service-object.h"

G_BEGIN_DECLS

#define MP_TYPE_SERVICE_QUEUE (mp_service_queue_get_type ())

G_DECLARE_FINAL_TYPE (MpServiceQueue, mp_service_queue, MP, SERVICE_QUEUE, MpDBusQueueSkeleton)

extern const MpServiceOption mp_service_queue_options[];

/* A queue and its object on the bus, from options of that table; the caller
 * adds it to the service. Consumes @identity, also on failure. */
MpServiceObject *mp_service_queue_create (MpServiceIdentity *identity,
                                          GVariantDict *options,
                                          GError **error);

G_END_DECLS
