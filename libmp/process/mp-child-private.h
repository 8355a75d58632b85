/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <sys/types.h>

#include "mp-zygote-protocol-private.h"

G_BEGIN_DECLS

#define MP_CHILD_STATUS_TEXT 1020

/* Why a program cannot be executed. Goes through a pipe in one piece. */
typedef struct
{
  int code; /* MpError; -1: nothing is known against it */
  char text[MP_CHILD_STATUS_TEXT];
} MpChildStatus;

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
  int link_fd;           /* -1: none */
  int status_fd;         /* -1: none; gets MpChildStatus if the program cannot be executed */
  MpChildStatus *status; /* NULL: none; the same, in the memory of who called vfork() */
} MpChild;

/* In a zygote, once its own signals are set up: its children need not look at the others. */
void mp_child_note_signals (void);

/* In the forked child; does what MpStart says. For a command it may also be a child of
 * vfork(): the parent has environ to put back, and nothing that is allocated on the way to
 * a program that runs is lost. */
G_NORETURN void mp_child_main (const MpChild *child);

/* In a program that was executed afresh for a task: what MP_START says. */
typedef struct
{
  MpZygoteKind kind;
  int body_fd; /* -1: comes through the link */
  int link_fd; /* -1: none */
  GArray *fds; /* of int, the user's */
} MpExecuted;

/* Fills @start, of which parts become parts of the process. Does not return when
 * there was nothing to come. */
gboolean mp_child_take_executed (MpExecuted *executed, MpStart *start, GError **error);
/* Runs the task, and ends. */
G_NORETURN void mp_child_main_executed (MpExecuted *executed);

G_END_DECLS
