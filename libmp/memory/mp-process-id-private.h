/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* What names a process to those that cannot hold a descriptor of it: a number
 * alone may have passed to another one. */
typedef struct
{
  guint64 namespace; /* the inode of its process id namespace; 0: cannot be told */
  guint64 pid;
  guint64 start; /* when it began, in the kernel's ticks since the system did */
} MpProcessId;

typedef enum
{
  MP_PROCESS_GONE,
  MP_PROCESS_ALIVE,
  MP_PROCESS_HIDDEN, /* of another namespace or user: cannot be told, cannot be asked */
  MP_PROCESS_UNKNOWN /* no look was to be had, with errno set */
} MpProcessState;

/* What /proc says of a process. */
typedef struct
{
  char state;
  guint n_threads;
  guint64 start;
} MpProcessStatus;

/* @pid: 0 for this process. FALSE with errno set. May be called by a fork handler. */
gboolean mp_process_status_read (guint64 pid, MpProcessStatus *status);

/* This process, also in a child of fork(). May be called by a fork handler. */
MpProcessId mp_process_id_get_self (void);

/* A zombie is gone. */
MpProcessState mp_process_id_get_state (const MpProcessId *self);

static inline gboolean
mp_process_id_equal (const MpProcessId *a, const MpProcessId *b)
{
  return a->namespace == b->namespace && a->pid == b->pid && a->start == b->start;
}

G_END_DECLS
