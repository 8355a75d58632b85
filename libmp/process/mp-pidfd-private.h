/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Reported when nobody can tell how a process ended. */
#define MP_EXIT_CODE_UNKNOWN 255
/* Not ended. */
#define MP_EXIT_CODE_NONE G_MININT

/* Whether the process has ended. */
gboolean mp_pidfd_has_ended (int pidfd);

/* To the process and, where the kernel can, to all of its process group. */
void mp_pidfd_kill_group (int pidfd, int pid);

/* How an ended process that is not our child, or was reaped by somebody else,
 * ended: its exit code, or minus the signal. FALSE when the kernel cannot tell,
 * or not yet because nobody has reaped it. */
gboolean mp_pidfd_get_exit_code (int pidfd, int *exit_code);

/* The same from what waitid() gives. */
int mp_exit_code_from_siginfo (int code, int status);

G_END_DECLS
