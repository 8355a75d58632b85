/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Messages over a connection beside those over a Pipe of Python's standard library, in
 * turns: there and back between two processes, and through a pipe of one process, where
 * nobody has to be woken. */

#include "libmp.h"

#include "bench-rounds.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_ROUNDS 7

static guint n_rounds = 5;
static double seconds_per_try = 0.1;

/* Its arguments: processes, size, number. Prints the seconds. */
static const char peer[] = "import os, sys, time\n"
                           "from multiprocessing import Pipe\n"
                           "processes, size, n = map(int, sys.argv[1:])\n"
                           "a, b = Pipe()\n"
                           "data = bytes(size)\n"
                           "if processes == 2 and os.fork() == 0:\n"
                           "    for _ in range(n + 10):\n"
                           "        b.send_bytes(b.recv_bytes())\n"
                           "    os._exit(0)\n"
                           "for i in range(n + 10):\n"
                           "    if i == 10:\n"
                           "        start = time.monotonic()\n"
                           "    a.send_bytes(data)\n"
                           "    (a if processes == 2 else b).recv_bytes()\n"
                           "print(time.monotonic() - start)\n";

static double
time_peer (guint processes, gsize size, guint n)
{
  g_autofree char *processes_text = g_strdup_printf ("%u", processes);
  g_autofree char *size_text = g_strdup_printf ("%zu", size);
  g_autofree char *n_text = g_strdup_printf ("%u", n);
  const char *python = g_getenv ("MP_BENCH_PYTHON");
  const char *argv[] = {
    python != NULL ? python : "python3", "-c", peer, processes_text, size_text, n_text, NULL
  };
  g_autofree char *out = NULL;
  g_autoptr (GError) error = NULL;

  if (!g_spawn_sync (NULL,
                     (char **) argv,
                     NULL,
                     G_SPAWN_SEARCH_PATH,
                     NULL,
                     NULL,
                     &out,
                     NULL,
                     NULL,
                     &error))
    g_error ("%s", error->message);
  return g_ascii_strtod (out, NULL);
}

/* What is long is left where it is. */
static void
receive (MpConnection *from, guint8 *data, gsize size)
{
  g_autoptr (GBytes) bytes = NULL;
  gsize length;

  if (size > 262144)
    bytes = mp_connection_recv_bytes (from, -1, NULL, NULL);
  else if (mp_connection_recv_bytes_into (from, data, size, &length, -1, NULL, NULL))
    return;
  if (bytes == NULL)
    g_error ("A message was lost");
}

static void
pass_on (MpConnection *from, MpConnection *to, guint8 *data, gsize size)
{
  receive (from, data, size);
  if (!mp_connection_send_data (to, data, size, -1, NULL, NULL))
    g_error ("A message was lost");
}

static double
time_own (guint processes, gsize size, guint n)
{
  g_autoptr (MpConnection) a = NULL;
  g_autoptr (MpConnection) b = NULL;
  g_autofree guint8 *data = g_malloc0 (size);
  gint64 start = 0;
  pid_t pid = 0;

  if (!mp_pipe_new (TRUE, &a, &b, NULL))
    g_error ("No pipe");
  if (processes == 2 && (pid = fork ()) == 0)
    {
      prctl (PR_SET_PDEATHSIG, SIGKILL);
      for (guint i = 0; i < n + 10; i++)
        pass_on (b, b, data, size);
      _exit (0);
    }
  for (guint i = 0; i < n + 10; i++)
    {
      if (i == 10)
        start = g_get_monotonic_time ();
      if (!mp_connection_send_data (a, data, size, -1, NULL, NULL))
        g_error ("A message was lost");
      receive (processes == 2 ? a : b, data, size);
    }
  start = g_get_monotonic_time () - start;
  if (pid > 0)
    waitpid (pid, NULL, 0);
  return (double) start / G_USEC_PER_SEC;
}

static int
compare_doubles (gconstpointer a, gconstpointer b)
{
  const double x = *(const double *) a, y = *(const double *) b;

  return x < y ? -1 : x > y;
}

static double
take_median (double *values)
{
  qsort (values, n_rounds, sizeof *values, compare_doubles);
  return values[n_rounds / 2];
}

static void
bench (guint processes, gsize size, double target)
{
  double own[MAX_ROUNDS], others[MAX_ROUNDS], ratios[MAX_ROUNDS];
  guint n = (guint) (seconds_per_try / (processes == 2 ? 20e-6 : 6e-6));

  if (size > 16384)
    n /= 10;
  if (size > 262144)
    n /= 10;
  BENCH_ROUNDS (round, n_rounds)
    {
      own[round] = time_own (processes, size, n) / n * 1e6;
      others[round] = time_peer (processes, size, n) / n * 1e6;
      ratios[round] = others[round] / own[round];
    }
  printf ("{\"name\": \"connection, %zu B, %s\", \"value\": %.4g, \"unit\": \"us\", "
          "\"peer\": \"stdlib Pipe\", \"peer_value\": %.4g, \"ratio\": %.3g",
          size,
          processes == 2 ? "there and back" : "send and receive",
          take_median (own),
          take_median (others),
          take_median (ratios));
  if (target > 0)
    printf (", \"target_ratio\": %g", target);
  printf ("}\n");
  fflush (stdout);
}

int
main (int argc, char **argv)
{
  static const gsize sizes[] = { 16, 1024, 65536, 1048576 };

  if (argc > 1 && g_str_equal (argv[1], "--quick"))
    {
      n_rounds = 3;
      seconds_per_try = 0.03;
    }
  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
    for (guint processes = sizes[i] > 262144 ? 2 : 1; processes <= 2; processes++)
      bench (processes, sizes[i], sizes[i] <= 1024 && processes == 2 ? 3 : 0);
  return 0;
}
