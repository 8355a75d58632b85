/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "libmp.h"

#include "bench-rounds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Pools of C functions: no-op tasks through a map, one item a task, of many sizes
 * and with many workers; the time of a single call; how a main loop fares with many
 * jobs. The peer is a pool of threads, which shares its memory. */

#define MAX_TRIES 7

static GVariant *
task_noop (MpTask *task, GVariant *argument, gpointer user_data, GError **error)
{
  return g_variant_ref (argument);
}

static int
compare_doubles (gconstpointer a, gconstpointer b)
{
  const double x = *(const double *) a;
  const double y = *(const double *) b;

  return x < y ? -1 : x > y;
}

static double
take_median (double *values, guint n)
{
  qsort (values, n, sizeof *values, compare_doubles);
  return values[n / 2];
}

static GVariant *
make_items (guint n)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("av"));
  for (guint i = 0; i < n; i++)
    g_variant_builder_add (&builder, "v", g_variant_new_int32 ((gint32) i));
  return g_variant_ref_sink (g_variant_builder_end (&builder));
}

static MpPool *
make_pool (guint n_workers)
{
  g_autoptr (MpContext) context = mp_context_new (MP_START_METHOD_FORKSERVER, MP_RUNTIME_NATIVE);
  g_autoptr (GError) error = NULL;
  MpPool *pool = mp_pool_new (context, n_workers, &error);

  if (pool == NULL)
    g_error ("No pool: %s", error->message);
  return pool;
}

static double
measure_map (MpPool *pool, GVariant *items, guint n)
{
  gint64 start = g_get_monotonic_time ();
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) results = mp_pool_map (pool, "noop", items, 1, -1, NULL, &error);

  if (results == NULL || g_variant_n_children (results) != n)
    g_error ("The map failed: %s", error != NULL ? error->message : "results are missing");
  return n * 1e6 / (double) (g_get_monotonic_time () - start);
}

static void
thread_task (gpointer data, gpointer user_data)
{
  g_variant_unref (g_variant_ref (data));
}

static double
measure_threads (guint n_threads, GVariant *item, guint n)
{
  gint64 start = g_get_monotonic_time ();
  GThreadPool *pool = g_thread_pool_new (thread_task, NULL, (int) n_threads, TRUE, NULL);

  for (guint i = 0; i < n; i++)
    g_thread_pool_push (pool, item, NULL);
  g_thread_pool_free (pool, FALSE, TRUE);
  return n * 1e6 / (double) (g_get_monotonic_time () - start);
}

static void
bench_map (guint n_workers, guint n, guint tries)
{
  MpPool *pool = make_pool (n_workers);
  g_autoptr (GVariant) items = make_items (n);
  double ours[MAX_TRIES];
  double threads[MAX_TRIES];

  measure_map (pool, items, n);
  BENCH_ROUNDS (i, tries)
    {
      ours[i] = measure_map (pool, items, n);
      threads[i] = measure_threads (n_workers, items, n);
    }
  printf ("{\"name\": \"mp_pool_map, no-op tasks, one item a task, %u worker%s\", \"value\": %.0f, "
          "\"unit\": \"tasks/s\", \"peer\": \"GThreadPool\", \"peer_value\": %.0f}\n",
          n_workers,
          n_workers > 1 ? "s" : "",
          take_median (ours, tries),
          take_median (threads, tries));
  if (n_workers == 2)
    printf ("{\"name\": \"mp_pool_map, no-op tasks, 2 workers, goal\", \"value\": %.0f, "
            "\"unit\": \"tasks/s\", \"target\": 1200000}\n",
            take_median (ours, tries));
  fflush (stdout);
  g_object_unref (pool);
}

/* The least of a few: of the machine's other work in it there is little. */
static double
measure_cost (MpPool *pool, guint n)
{
  g_autoptr (GVariant) items = make_items (n);
  double best = G_MAXDOUBLE;

  for (guint i = 0; i < 3; i++)
    best = MIN (best, 1e9 / measure_map (pool, items, n));
  return best;
}

static void
bench_sizes (gboolean quick)
{
  MpPool *pool = make_pool (2);
  const guint most = quick ? 100000 : 1000000;
  double first = 0;
  double last = 0;

  for (guint n = 10000; n <= most; n *= 10)
    {
      last = measure_cost (pool, n);
      if (n == 10000)
        first = last;
      printf ("{\"name\": \"mp_pool_map, 2 workers, a task of %u\", \"value\": %.0f, "
              "\"unit\": \"ns\"}\n",
              n,
              last);
    }
  printf ("{\"name\": \"mp_pool_map, a task of %u beside one of 10000\", \"value\": %.2f, "
          "\"unit\": \"times\"}\n",
          most,
          last / first);
  fflush (stdout);
  g_object_unref (pool);
}

static void
bench_crowd (guint n)
{
  MpPool *few = make_pool (2);
  MpPool *many = make_pool (64);
  double ours[3];

  measure_cost (few, n);
  measure_cost (many, n);
  BENCH_ROUNDS (i, G_N_ELEMENTS (ours))
    {
      double cost = measure_cost (many, n);

      ours[i] = cost / measure_cost (few, n);
    }
  printf ("{\"name\": \"mp_pool_map, a task with 64 workers beside one with 2\", \"value\": %.2f, "
          "\"unit\": \"times\"}\n",
          take_median (ours, G_N_ELEMENTS (ours)));
  fflush (stdout);
  g_object_unref (few);
  g_object_unref (many);
}

static void
bench_submit (guint n)
{
  MpPool *pool = make_pool (1);
  g_autofree double *times = g_new (double, n);

  for (guint i = 0; i < n; i++)
    {
      gint64 start = g_get_monotonic_time ();
      g_autoptr (MpJob) job = mp_pool_submit (pool, "noop", g_variant_new_int32 (1), NULL, NULL);
      g_autoptr (GVariant) result = NULL;

      if (mp_job_wait (job, -1, NULL, NULL))
        result = mp_job_get_result (job, NULL);
      if (result == NULL)
        g_error ("A job failed");
      times[i] = (double) (g_get_monotonic_time () - start);
    }
  printf ("{\"name\": \"mp_pool_submit to the result\", \"value\": %.1f, "
          "\"unit\": \"us\", \"target\": 20}\n",
          take_median (times, n));
  fflush (stdout);
  g_object_unref (pool);
}

/* A loop that ticks every 16 ms, and has as many jobs on their way as it can. */
#define TICK_MS 16
#define TICK_JOBS 100000
#define TICK_WINDOW 4000

typedef struct
{
  MpPool *pool;
  guint n_submitted;
  guint n_done;
  gint64 last;
  GArray *gaps; /* of double, ms */
} Ticker;

static void
ticker_job_done (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Ticker *self = user_data;

  if (!mp_job_wait_finish (MP_JOB (source), result, NULL))
    g_error ("A job failed");
  self->n_done++;
}

static gboolean
ticker_tick (gpointer user_data)
{
  Ticker *self = user_data;
  gint64 now = g_get_monotonic_time ();
  double gap = (double) (now - self->last) / 1000;

  self->last = now;
  g_array_append_val (self->gaps, gap);
  return G_SOURCE_CONTINUE;
}

/* As a program that reads its input would: some at a time. */
static gboolean
ticker_submit (gpointer user_data)
{
  Ticker *self = user_data;

  for (guint i = 0;
       i < 200 && self->n_submitted < TICK_JOBS && self->n_submitted < self->n_done + TICK_WINDOW;
       i++)
    {
      g_autoptr (MpJob) job =
        mp_pool_submit (self->pool, "noop", g_variant_new_int32 (1), NULL, NULL);

      mp_job_wait_async (job, NULL, ticker_job_done, self);
      self->n_submitted++;
    }
  return self->n_submitted < TICK_JOBS;
}

static void
bench_ticks (void)
{
  Ticker ticker = { 0 };
  guint n_late = 0;
  double most = 0;
  guint timer;

  ticker.pool = make_pool (2);
  ticker.gaps = g_array_new (FALSE, FALSE, sizeof (double));
  ticker.last = g_get_monotonic_time ();
  timer = g_timeout_add (TICK_MS, ticker_tick, &ticker);
  g_idle_add (ticker_submit, &ticker);
  while (ticker.n_done < TICK_JOBS)
    g_main_context_iteration (NULL, TRUE);
  g_source_remove (timer);
  for (guint i = 0; i < ticker.gaps->len; i++)
    {
      double gap = g_array_index (ticker.gaps, double, i);

      n_late += gap > 20;
      most = MAX (most, gap);
    }
  printf ("{\"name\": \"a 16 ms tick beside %d jobs, longest gap\", \"value\": %.1f, "
          "\"unit\": \"ms\", \"target\": 100}\n"
          "{\"name\": \"a 16 ms tick beside %d jobs, gaps up to 20 ms\", \"value\": %.2f, "
          "\"unit\": \"%%\", \"target\": 99.9}\n",
          TICK_JOBS,
          most,
          TICK_JOBS,
          100.0 - 100.0 * n_late / MAX (ticker.gaps->len, 1));
  fflush (stdout);
  g_array_unref (ticker.gaps);
  g_object_unref (ticker.pool);
}

static void
bench_apply (guint n)
{
  MpPool *pool = make_pool (1);
  g_autofree double *times = g_new (double, n);

  for (guint i = 0; i < n; i++)
    {
      gint64 start = g_get_monotonic_time ();
      g_autoptr (GVariant) result =
        mp_pool_apply (pool, "noop", g_variant_new_int32 (1), -1, NULL, NULL);

      if (result == NULL)
        g_error ("A call failed");
      times[i] = (double) (g_get_monotonic_time () - start);
    }
  printf ("{\"name\": \"mp_pool_apply, there and back\", \"value\": %.1f, \"unit\": \"us\"}\n",
          take_median (times, n));
  fflush (stdout);
  g_object_unref (pool);
}

static void
bench_pools (guint n)
{
  g_autofree double *times = g_new (double, n);

  for (guint i = 0; i < n; i++)
    {
      gint64 start = g_get_monotonic_time ();
      MpPool *pool = make_pool (2);

      mp_pool_close (pool);
      mp_pool_join (pool, -1, NULL, NULL);
      g_object_unref (pool);
      times[i] = (double) (g_get_monotonic_time () - start) / 1000;
    }
  printf ("{\"name\": \"a pool of 2 made and joined\", \"value\": %.2f, \"unit\": \"ms\"}\n",
          take_median (times, n));
  fflush (stdout);
}

int
main (int argc, char **argv)
{
  gboolean quick;
  guint n;
  guint tries;

  mp_task_register ("noop", task_noop, NULL, NULL);
  mp_bootstrap (&argc, &argv);
  quick = argc > 1 && strcmp (argv[1], "--quick") == 0;
  n = quick ? 100000 : 300000;
  tries = quick ? 3 : MAX_TRIES;

  bench_map (1, n, tries);
  bench_map (2, n, tries);
  bench_map (4, n, tries);
  bench_sizes (quick);
  bench_crowd (quick ? 50000 : 200000);
  bench_apply (quick ? 500 : 5000);
  bench_submit (quick ? 500 : 5000);
  bench_ticks ();
  bench_pools (quick ? 10 : 100);
  return 0;
}
