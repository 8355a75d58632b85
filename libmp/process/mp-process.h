/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#if !defined(MP_INSIDE) && !defined(MP_COMPILATION)
#error "Only <libmp.h> can be included directly."
#endif

#include <gio/gio.h>

#include "../base/mp-waitable.h"
#include <gio/gunixfdlist.h>

#include "mp-context.h"

G_BEGIN_DECLS

#define MP_TYPE_PROCESS (mp_process_get_type ())

MP_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (MpProcess, mp_process, MP, PROCESS, GObject)

MP_AVAILABLE_IN_ALL
MpProcess *mp_process_new (MpContext *context, const char *const *argv);
MP_AVAILABLE_IN_ALL
MpProcess *mp_process_new_task (MpContext *context, const char *task, GVariant *argument);
MP_AVAILABLE_IN_ALL
MpProcess *mp_process_new_data (MpContext *context,
                                const char *task,
                                const guint8 *data,
                                gsize length,
                                MpCodec codec);

MP_AVAILABLE_IN_ALL
void mp_process_set_fd_list (MpProcess *self, GUnixFDList *fd_list);

MP_AVAILABLE_IN_ALL
void mp_process_set_stdio (MpProcess *self, guint stream, MpStdio how);
MP_AVAILABLE_IN_ALL
void mp_process_set_stdio_file (MpProcess *self, guint stream, const char *path, gboolean append);
MP_AVAILABLE_IN_ALL
gboolean mp_process_set_stdio_fd (MpProcess *self, guint stream, int fd, GError **error);
MP_AVAILABLE_IN_ALL
GOutputStream *mp_process_get_stdin_stream (MpProcess *self);
MP_AVAILABLE_IN_ALL
GInputStream *mp_process_get_stdout_stream (MpProcess *self);
MP_AVAILABLE_IN_ALL
GInputStream *mp_process_get_stderr_stream (MpProcess *self);

MP_AVAILABLE_IN_ALL
gboolean mp_process_start (MpProcess *self, GCancellable *cancellable, GError **error);
MP_AVAILABLE_IN_ALL
gboolean mp_process_join (MpProcess *self,
                          gint64 timeout_us,
                          GCancellable *cancellable,
                          GError **error);
MP_AVAILABLE_IN_ALL
void mp_process_join_async (MpProcess *self,
                            GCancellable *cancellable,
                            GAsyncReadyCallback callback,
                            gpointer user_data);
MP_AVAILABLE_IN_ALL
gboolean mp_process_join_finish (MpProcess *self, GAsyncResult *result, GError **error);
MP_AVAILABLE_IN_ALL
gboolean mp_process_wait_ready (MpProcess *self, gint64 timeout_us);

MP_AVAILABLE_IN_ALL
gboolean mp_process_terminate (MpProcess *self, GError **error);
MP_AVAILABLE_IN_ALL
gboolean mp_process_kill (MpProcess *self, GError **error);
MP_AVAILABLE_IN_ALL
gboolean mp_process_interrupt (MpProcess *self, GError **error);
MP_AVAILABLE_IN_ALL
gboolean mp_process_send_signal (MpProcess *self, int signal_number, GError **error);

MP_AVAILABLE_IN_ALL
gboolean mp_process_get_started (MpProcess *self);
MP_AVAILABLE_IN_ALL
gboolean mp_process_get_alive (MpProcess *self);
MP_AVAILABLE_IN_ALL
int mp_process_get_exit_code (MpProcess *self);
MP_AVAILABLE_IN_ALL
MpLimit mp_process_get_limit_hit (MpProcess *self);
MP_AVAILABLE_IN_ALL
gboolean mp_process_check_exit (MpProcess *self, GError **error);
MP_AVAILABLE_IN_ALL
gboolean mp_process_measure_memory (MpProcess *self,
                                    guint64 *resident,
                                    guint64 *proportional,
                                    guint64 *unshared,
                                    GError **error);
MP_AVAILABLE_IN_ALL
int mp_process_get_pid (MpProcess *self);
MP_AVAILABLE_IN_ALL
int mp_process_get_sentinel (MpProcess *self);
MP_AVAILABLE_IN_ALL
MpContext *mp_process_get_context (MpProcess *self);
MP_AVAILABLE_IN_ALL
const char *const *mp_process_get_argv (MpProcess *self);
MP_AVAILABLE_IN_ALL
const char *mp_process_get_task_name (MpProcess *self);

G_END_DECLS
