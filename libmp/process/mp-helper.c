/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include <libmp.h>

#include <stdio.h>

/* The zygote for commands and for interpreters that are executed afresh: what
 * is needed where the program itself is not to be run again. */
int
main (int argc, char **argv)
{
  mp_bootstrap (&argc, &argv);
  fprintf (stderr, "%s: libmp runs this program itself, there is no use in calling it.\n", argv[0]);
  return 2;
}
