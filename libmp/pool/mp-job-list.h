/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#if !defined(MP_INSIDE) && !defined(MP_COMPILATION)
#error "Only <libmp.h> can be included directly."
#endif

#include <gio/gio.h>

#include "../base/mp-enums.h"

G_BEGIN_DECLS

#define MP_TYPE_JOB_LIST (mp_job_list_get_type ())

MP_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (MpJobList, mp_job_list, MP, JOB_LIST, GObject)

MP_AVAILABLE_IN_ALL
guint mp_job_list_get_max_finished (MpJobList *self);
MP_AVAILABLE_IN_ALL
void mp_job_list_set_max_finished (MpJobList *self, guint max_finished);

G_END_DECLS
