/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include "mp-process.h"

G_BEGIN_DECLS

typedef void (*MpProcessExitFunc) (MpProcess *process, gpointer user_data);

/* Called once, on the pump thread, after the exit code is known; also when the
 * process ended before the call. Set before mp_process_start(). */
void mp_process_set_exit_func (MpProcess *self, MpProcessExitFunc func, gpointer user_data);

/* Called on the pump thread with each line of the streams that are %MP_STDIO_LINES; then
 * no signal tells of them. Set before the start. */
typedef void (*MpProcessLineFunc) (MpProcess *process,
                                   guint stream,
                                   const char *text,
                                   gpointer user_data);

void mp_process_set_line_func (MpProcess *self, MpProcessLineFunc func, gpointer user_data);

/* Starts without waiting, for callers on the pump thread, where
 * mp_process_start() must not be called. @func is called once, on the pump
 * thread, never from within this call: with no error when the process runs
 * (its exit function follows when it ends), else with why it does not (and no
 * exit function is called). No signals are emitted for such a process. */
typedef void (*MpProcessStartFunc) (MpProcess *process, const GError *error, gpointer user_data);

void mp_process_start_begin (MpProcess *self, MpProcessStartFunc func, gpointer user_data);

/* The two halves of mp_process_start(), so that many starts can be on their way at once. The
 * second must follow when the first has succeeded. */
gboolean mp_process_start_request (MpProcess *self, GError **error);
gboolean mp_process_start_wait (MpProcess *self, GCancellable *cancellable, GError **error);

G_END_DECLS
