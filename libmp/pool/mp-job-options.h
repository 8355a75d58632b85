/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#if !defined(MP_INSIDE) && !defined(MP_COMPILATION)
#error "Only <libmp.h> can be included directly."
#endif

#include "mp-job.h"

G_BEGIN_DECLS

#define MP_TYPE_JOB_OPTIONS (mp_job_options_get_type ())

MP_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (MpJobOptions, mp_job_options, MP, JOB_OPTIONS, GObject)

MP_AVAILABLE_IN_ALL
MpJobOptions *mp_job_options_new (void) G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
void mp_job_options_add_after (MpJobOptions *self, MpJob *job);
MP_AVAILABLE_IN_ALL
int mp_job_options_get_priority (MpJobOptions *self);
MP_AVAILABLE_IN_ALL
gint64 mp_job_options_get_timeout (MpJobOptions *self);
MP_AVAILABLE_IN_ALL
guint mp_job_options_get_max_attempts (MpJobOptions *self);
MP_AVAILABLE_IN_ALL
gint64 mp_job_options_get_retry_delay (MpJobOptions *self);
MP_AVAILABLE_IN_ALL
gboolean mp_job_options_get_retry_failed (MpJobOptions *self);
MP_AVAILABLE_IN_ALL
guint mp_job_options_get_read_ahead (MpJobOptions *self);

G_END_DECLS
