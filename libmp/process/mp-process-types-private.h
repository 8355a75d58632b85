/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include "mp-process-private.h"
#include "mp-process-stdio-private.h"
#include "mp-surroundings-private.h"
#include "mp-zygote-link-private.h"

#include <stdint.h>

/* For mp-process.c (the object) and mp-process-life.c (start and end) only. */

G_BEGIN_DECLS

struct _MpProcess
{
  GObject parent_instance;

  /* Fixed before the start. */
  MpContext *context;
  char **argv;
  char *task;
  GBytes *data;
  MpCodec codec;
  GUnixFDList *fd_list;
  MpProcessStream streams[MP_N_STREAMS];
  MpProcessExitFunc exit_func;
  gpointer exit_data;
  MpProcessLineFunc line_func;
  gpointer line_data;

  GMutex mutex;
  _Atomic uint32_t changes; /* bumped at each change of what follows */
  enum
  {
    PROCESS_NEW,
    PROCESS_STARTING,
    PROCESS_RUNNING,
    PROCESS_ENDED
  } state;
  int starter;        /* pid of who started it */
  MpZygoteLink *link; /* NULL: forked from here */
  guint64 id;
  int pid;
  int pidfd; /* the link's while it runs */
  int exit_code;
  gint64 limits[MP_LIMIT_LAST + 1]; /* from the start on */
  MpLimit limit_hit;
  GError *start_error;
  MpProcessStartFunc start_func;
  gpointer start_data;

  GMainContext *main_context; /* where signals go; NULL: nowhere */
  GSource *exited_source;     /* the emission that is under way */
  GQueue joins;               /* Join */
};

/* Property notifications and signals; without the mutex. */
void mp_process_notify_started (MpProcess *self);
void mp_process_emit_exited (MpProcess *self);
gboolean mp_process_has_listeners (MpProcess *self);
void mp_process_emit_line (MpProcess *self, guint stream, const char *text);
gboolean mp_process_has_line_listeners (MpProcess *self);

/* On the pump: of a process that runs, and of one that ended. */
void mp_process_watch_limits (MpProcess *self);
void mp_process_note_limit (MpProcess *self, int exit_code);

/* The sentinel may be seen before the report of the end: waits for that, so that
 * whoever saw that the process ended is not told that it runs, or that nobody
 * knows how it ended. */
void mp_process_settle (MpProcess *self);

G_END_DECLS
