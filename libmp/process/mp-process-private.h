/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include "mp-process.h"

G_BEGIN_DECLS

typedef void (*MpProcessExitFunc) (MpProcess *process, gpointer user_data);

/* Called once, on the pump thread, after the exit code is known; also when the
 * process ended before the call. Set before mp_process_start(). */
void mp_process_set_exit_func (MpProcess *self, MpProcessExitFunc func, gpointer user_data);

G_END_DECLS
