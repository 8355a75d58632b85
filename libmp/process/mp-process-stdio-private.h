/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <gio/gio.h>

#include "../base/mp-enums.h"

G_BEGIN_DECLS

#define MP_N_STREAMS 3

/* One of the three standard streams of a process. */
typedef struct
{
  MpStdio how;
  int given;  /* -1: none */
  char *path; /* NULL: no file */
  gboolean append;

  int theirs; /* while it is started; -1: as MpProcess has it without this */
  int ours;   /* our end of a pipe; -1: none */
  GObject *stream;
  GSource *source;
  GString *line; /* what has come of the next one */
} MpProcessStream;

/* Opens what is to be opened for a start. */
gboolean mp_process_streams_open (MpProcessStream *streams, GError **error);
/* The process has its own now. */
void mp_process_streams_close_theirs (MpProcessStream *streams);
void mp_process_streams_clear (MpProcessStream *streams);

/* For lines, on the pump: reads them from now on. */
void mp_process_streams_begin (MpProcess *self);
/* What has been written until now. */
void mp_process_streams_drain (MpProcess *self);

/* Posts them, or hands them to the line function. */
void mp_process_take_lines (MpProcess *self, guint stream, GPtrArray *lines);

G_END_DECLS
