/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* What workers write to their standard output and error goes through pipes to the pool,
 * line by line. Before the lines of a task a worker writes whose they are, and behind them
 * that they are nobody's: this, with the low half of the job's number, in a line of its own or at
 * the end of one that the task left unfinished. */
#define MP_OUTPUT_MARK "\x1e\x02mp:"
#define MP_OUTPUT_MARK_END "\x03"

/* A line that a worker wrote. */
typedef struct
{
  guint64 job_id; /* 0: nobody's */
  int pid;
  guint stream;
  char *text;
} MpPoolOutput;

/* Of MpPoolOutput. */
GArray *mp_pool_outputs_new (void);

/* In a worker: what is written from now on belongs to the job. */
void mp_pool_output_mark (guint32 job);

/* Cuts a mark off a line. FALSE if there is none. @rest: whether anything is left. */
gboolean mp_pool_output_parse (char *text, guint32 *job, gboolean *rest);

G_END_DECLS
