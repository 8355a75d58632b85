/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <libmp.h>

#include "mp-service-object.h"

G_BEGIN_DECLS

#define MP_TYPE_SERVICE_JOB (mp_service_job_get_type ())

G_DECLARE_FINAL_TYPE (MpServiceJob, mp_service_job, MP, SERVICE_JOB, MpDBusJobSkeleton)

#define MP_SERVICE_JOB_LINGER_DEFAULT 60.0

/* For the option "linger": 0.0 to 3600.0. */
gboolean mp_service_job_check_linger (const char *key, GVariant *value, GError **error);

/* Whether the value of a job is the array that the library gives, or what is in
 * it: arguments that are to be spread come as a map over one item. */
typedef enum
{
  MP_SERVICE_RESULT_WHOLE,
  MP_SERVICE_RESULT_ONLY_ITEM,
} MpServiceResult;

/* The value of a finished job, fit for the bus, or its error. */
GVariant *mp_service_job_dup_value (MpJob *job, MpServiceResult result, GError **error);

/* A job and its object on the bus; the caller adds it to the service. Consumes
 * @identity. @options know "linger". */
MpServiceObject *mp_service_job_create (MpServiceIdentity *identity,
                                        MpJob *job,
                                        MpServiceResult result,
                                        const char *operation,
                                        GVariantDict *options);

G_END_DECLS
