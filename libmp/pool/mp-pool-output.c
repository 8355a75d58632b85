/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-pool-output-private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void
mp_pool_output_clear (gpointer data)
{
  g_clear_pointer (&((MpPoolOutput *) data)->text, g_free);
}

GArray *
mp_pool_outputs_new (void)
{
  GArray *outputs = g_array_new (FALSE, FALSE, sizeof (MpPoolOutput));

  g_array_set_clear_func (outputs, mp_pool_output_clear);
  return outputs;
}

void
mp_pool_output_mark (guint32 job)
{
  char mark[32];
  int length =
    g_snprintf (mark, sizeof mark, MP_OUTPUT_MARK "%u" MP_OUTPUT_MARK_END "\n", (guint) job);

  fflush (NULL);
  for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++)
    {
      /* In one piece: it is shorter than what a pipe takes so. */
      gssize written G_GNUC_UNUSED = write (fd, mark, length);
    }
}

gboolean
mp_pool_output_parse (char *text, guint32 *job, gboolean *rest)
{
  char *mark = strstr (text, MP_OUTPUT_MARK);
  char *end = NULL;
  guint64 number;

  if (mark == NULL)
    return FALSE;
  number = g_ascii_strtoull (mark + strlen (MP_OUTPUT_MARK), &end, 10);
  if (strcmp (end, MP_OUTPUT_MARK_END) != 0)
    return FALSE;
  *job = (guint32) number;
  *rest = mark > text;
  *mark = '\0';
  return TRUE;
}
