/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#if !defined(MP_INSIDE) && !defined(MP_COMPILATION)
#error "Only <libmp.h> can be included directly."
#endif

#include <gio/gio.h>
#include <gio/gunixfdlist.h>

#include "../base/mp-enums.h"

G_BEGIN_DECLS

#define MP_TYPE_TASK (mp_task_get_type ())

MP_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (MpTask, mp_task, MP, TASK, GObject)

/**
 * MpTaskFunc:
 * @task: the running task
 * @argument: (nullable): what the task is applied to
 * @user_data: what was given to mp_task_register()
 * @error: return location for an error
 *
 * A function that processes and pools can run in a worker process.
 *
 * Returns: (transfer full) (nullable): the result; a floating reference is
 *   sunk; %NULL only with @error set, or for a process that has no result
 *
 * Since: 0.1
 */
typedef GVariant *(*MpTaskFunc) (MpTask *task,
                                 GVariant *argument,
                                 gpointer user_data,
                                 GError **error);

MP_AVAILABLE_IN_ALL
void mp_task_register (const char *name,
                       MpTaskFunc func,
                       gpointer user_data,
                       GDestroyNotify destroy);

MP_AVAILABLE_IN_ALL
const char *mp_task_get_name (MpTask *self);
MP_AVAILABLE_IN_ALL
guint64 mp_task_get_id (MpTask *self);
MP_AVAILABLE_IN_ALL
guint mp_task_get_attempt (MpTask *self);
MP_AVAILABLE_IN_ALL
GCancellable *mp_task_get_cancellable (MpTask *self);
MP_AVAILABLE_IN_ALL
GUnixFDList *mp_task_get_fd_list (MpTask *self);
MP_AVAILABLE_IN_ALL
void mp_task_report_progress (MpTask *self, double fraction);

G_END_DECLS
