/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "bench-rounds.h"

#include <sched.h>
#include <stdint.h>
#include <time.h>

/* Rounds that may be made anew, for each that is wanted. */
#define SPARE 4
/* What is slower than this beside the best is not calm. */
#define SLOWEST 1.15
#define N_LOOPS 40000
#define N_LOOKS 3

static double best = 0;

/* Much that could be done at once: this is slow when another thread has a part of the core. */
static double
time_loop (void)
{
  static volatile uint64_t sink G_GNUC_UNUSED;
  uint64_t lanes[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
  struct timespec start, end;

  clock_gettime (CLOCK_MONOTONIC, &start);
  for (guint i = 0; i < N_LOOPS; i++)
    for (guint lane = 0; lane < G_N_ELEMENTS (lanes); lane++)
      lanes[lane] = (lanes[lane] ^ (lanes[lane] >> 7)) + (lanes[lane] << 3) + i;
  clock_gettime (CLOCK_MONOTONIC, &end);
  for (guint lane = 0; lane < G_N_ELEMENTS (lanes); lane++)
    sink ^= lanes[lane];
  return (double) (end.tv_sec - start.tv_sec) * 1e9 + (double) (end.tv_nsec - start.tv_nsec);
}

/* The slowest of the processors. */
static double
time_processors (const cpu_set_t *all)
{
  double slowest = 0;

  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
    {
      double quickest = G_MAXDOUBLE;
      cpu_set_t one;

      if (!CPU_ISSET (cpu, all))
        continue;
      CPU_ZERO (&one);
      CPU_SET (cpu, &one);
      if (sched_setaffinity (0, sizeof one, &one) != 0)
        continue;
      for (guint i = 0; i < N_LOOKS; i++)
        quickest = MIN (quickest, time_loop ());
      slowest = MAX (slowest, quickest);
      best = best == 0 ? quickest : MIN (best, quickest);
    }
  return slowest;
}

static gboolean
is_calm (void)
{
  cpu_set_t all;
  double slowest;

  if (sched_getaffinity (0, sizeof all, &all) != 0)
    return TRUE;
  slowest = time_processors (&all);
  sched_setaffinity (0, sizeof all, &all);
  return slowest <= SLOWEST * best;
}

BenchRounds
bench_rounds (guint n)
{
  return (BenchRounds){ .n = n, .n_spare = SPARE * n };
}

gboolean
bench_rounds_next (BenchRounds *self)
{
  gboolean before = self->calm;

  self->calm = is_calm ();
  if (!self->started)
    {
      self->started = TRUE;
      return self->n > 0;
    }
  if ((before && self->calm) || self->n_spare == 0)
    self->index++;
  else
    self->n_spare--;
  return self->index < self->n;
}
