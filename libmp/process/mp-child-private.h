/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <sys/types.h>

#include "mp-zygote-protocol-private.h"

G_BEGIN_DECLS

/* What a forked child needs to become the process that was asked for. No
 * descriptor below 3 is among them. */
typedef struct
{
  pid_t parent; /* with whom it dies */
  MpZygoteKind kind;
  guint64 fingerprint;
  const MpStart *start;
  int body_fd;
  int cwd_fd;     /* -1: stays */
  int std_fds[3]; /* -1: stays */
  const int *fds;
  guint n_fds;
  int link_fd;   /* -1: none */
  int status_fd; /* -1: none; gets the errno of a failed exec */
} MpChild;

/* In the forked child; does what MpStart says. */
G_NORETURN void mp_child_main (const MpChild *child);

/* In a program that was executed afresh for a task: what MP_START says. */
G_NORETURN void mp_child_main_executed (MpZygoteKind kind, int body_fd, int link_fd, GArray *fds);

G_END_DECLS
