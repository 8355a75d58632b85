/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include <libmp.h>

#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* Start and end of a process, in the ways there are, from a small and from a big
 * program. The ways take turns, so that what else the machine does hits all: but not
 * GSubprocess, which copies the big program's page tables. What comes next would pay for that. */

static const char *const command[] = { "true", NULL };

static GVariant *
nothing (MpTask *task, GVariant *argument, gpointer user_data, GError **error)
{
  return NULL;
}

static void
start_and_join (MpProcess *process)
{
  g_autoptr (GError) error = NULL;

  if (!mp_process_start (process, NULL, &error) || !mp_process_join (process, -1, NULL, &error))
    g_error ("%s", error->message);
  g_assert_cmpint (mp_process_get_exit_code (process), ==, 0);
  g_object_unref (process);
}

static void
run_task (void)
{
  start_and_join (mp_process_new_task (NULL, "nothing", NULL));
}

static void
run_command (void)
{
  start_and_join (mp_process_new (NULL, command));
}

static void
run_subprocess (void)
{
  g_autoptr (GSubprocess) process = g_subprocess_newv (command, G_SUBPROCESS_FLAGS_NONE, NULL);

  g_assert_true (g_subprocess_wait (process, NULL, NULL));
}

static void
run_posix_spawn (void)
{
  pid_t pid;

  g_assert_cmpint (posix_spawnp (&pid, command[0], NULL, NULL, (char *const *) command, environ),
                   ==,
                   0);
  g_assert_cmpint (waitpid (pid, NULL, 0), ==, pid);
}

static const struct
{
  const char *name;
  void (*run) (void);
} ways[] = {
  { "task", run_task },
  { "command", run_command },
  { "posix_spawn", run_posix_spawn },
  { "GSubprocess", run_subprocess },
};
#define GSUBPROCESS 3

static int
compare (gconstpointer a, gconstpointer b)
{
  double left = *(const double *) a;
  double right = *(const double *) b;

  return left < right ? -1 : left > right;
}

/* Gives the median of each, in milliseconds. */
static void
take_turns (guint first, guint n_ways, guint n, double *medians)
{
  g_autofree double *times = g_new (double, n *n_ways);

  for (guint i = 0; i < n; i++)
    for (guint way = 0; way < n_ways; way++)
      {
        gint64 begin = g_get_monotonic_time ();

        ways[first + way].run ();
        times[way * n + i] = (g_get_monotonic_time () - begin) / 1000.0;
      }
  for (guint way = 0; way < n_ways; way++)
    {
      qsort (times + way * n, n, sizeof *times, compare);
      medians[first + way] = times[way * n + n / 2];
    }
}

static void
measure (const char *parent, guint n)
{
  double medians[G_N_ELEMENTS (ways)];

  take_turns (0, GSUBPROCESS, n, medians);
  take_turns (GSUBPROCESS, 1, n / 10, medians);
  for (guint way = 0; way < 2; way++)
    for (guint peer = 2; peer < G_N_ELEMENTS (ways); peer++)
      printf ("{\"name\": \"MpProcess, start and join of a %s, %s parent, beside %s\", "
              "\"value\": %.3f, \"unit\": \"ms\", \"peer\": \"%s of true\", \"peer_value\": "
              "%.3f}\n",
              ways[way].name,
              parent,
              ways[peer].name,
              medians[way],
              ways[peer].name,
              medians[peer]);
  fflush (stdout);
}

int
main (int argc, char **argv)
{
  const gsize size = (gsize) 1 << 30;
  gboolean quick;
  guint n;
  void *big;

  mp_task_register ("nothing", nothing, NULL, NULL);
  mp_bootstrap (&argc, &argv);
  quick = argc > 1 && strcmp (argv[1], "--quick") == 0;
  n = quick ? 50 : 1000;

  for (guint i = 0; i < 3; i++)
    for (guint way = 0; way < G_N_ELEMENTS (ways); way++)
      ways[way].run ();
  measure ("small", n);

  big = mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  g_assert_true (big != MAP_FAILED);
  /* Small pages, as a heap that grew has them. */
  madvise (big, size, MADV_NOHUGEPAGE);
  for (gsize i = 0; i < size; i += 4096)
    ((volatile char *) big)[i] = 1;
  measure ("1 GiB", n);
  munmap (big, size);
  return 0;
}
