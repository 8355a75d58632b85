/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include "mp-task.h"

G_BEGIN_DECLS

typedef void (*MpTaskProgressFunc) (double fraction, gpointer user_data);
/* Somebody wants @cancellable to be cancelled when the task should end. */
typedef void (*MpTaskWatchFunc) (GCancellable *cancellable, gpointer user_data);

MpTask *mp_task_new (const char *name,
                     guint64 id,
                     guint attempt,
                     GUnixFDList *fd_list,
                     MpTaskProgressFunc progress,
                     gpointer user_data);

/* Called before the cancellable of each run is handed out for the first time, with
 * the user_data of the progress function. */
void mp_task_set_watch_func (MpTask *self, MpTaskWatchFunc watch);

/* Makes the task of a run into that of the next, of the same function. FALSE if
 * somebody kept it: then it stays as it is, and another one has to be made. */
gboolean mp_task_renew (MpTask *self, guint64 id, guint attempt);

/* Whether it is the name of a module and a symbol of it. */
gboolean mp_task_is_in_module (const char *name);

/* Whether @name is registered. */
gboolean mp_task_is_registered (const char *name);

/* MP_ERROR_NOT_FOUND, naming @name and what is registered. */
void mp_task_set_error_unknown (const char *name, GError **error);

/* Runs the registered function. An unknown name is MP_ERROR_NOT_FOUND, naming
 * it and what is registered; NULL without an error from the function is passed
 * on as NULL (@error unset): callers that need a result treat that as
 * MP_ERROR_CALLBACK_FAILED. The result is not floating. */
GVariant *mp_task_run (MpTask *self, GVariant *argument, GError **error);

G_END_DECLS
