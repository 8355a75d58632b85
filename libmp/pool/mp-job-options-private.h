/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include "mp-job-options.h"

G_BEGIN_DECLS

typedef struct
{
  int priority;
  gint64 timeout;
  guint max_attempts;
  gint64 retry_delay;
  gboolean retry_failed;
  guint read_ahead;
  GPtrArray *after; /* of MpJob; NULL: none */
} MpJobOptionsValues;

/* @self: (nullable): then the defaults */
const MpJobOptionsValues *mp_job_options_get_values (const MpJobOptions *self);

G_END_DECLS
