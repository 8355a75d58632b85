/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include "mp-service.h"

G_BEGIN_DECLS

#define MP_TYPE_SERVICE_LIFE (mp_service_life_get_type ())

G_DECLARE_FINAL_TYPE (MpServiceLife, mp_service_life, MP, SERVICE_LIFE, GObject)

typedef enum
{
  MP_SERVICE_FATE_ENDED,      /* idle, asked to, or replaced */
  MP_SERVICE_FATE_NAME_TAKEN, /* another one has the bus name */
  MP_SERVICE_FATE_FAILED,     /* could not start */
} MpServiceFate;

typedef struct
{
  gboolean replace;
  guint idle_seconds; /* 0: never */
  MpServiceLimits limits;
} MpServiceLifeOptions;

/* The life of the service on @connection: exports, then owns the name, serves,
 * and ends in an orderly way. */
MpServiceLife *mp_service_life_new (GDBusConnection *connection,
                                    const MpServiceLifeOptions *options);

/* Runs until the end. SIGTERM and SIGINT end it. */
MpServiceFate mp_service_life_run (MpServiceLife *self, GError **error);

G_END_DECLS
