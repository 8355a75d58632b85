/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "libmp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Pools of C functions: no-op tasks through a map, one item a task; the time of
 * a single call. The peer is a pool of threads, which shares its memory. */

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
  for (guint i = 0; i < tries; i++)
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
            "\"unit\": \"tasks/s\", \"target\": 500000}\n",
            take_median (ours, tries));
  fflush (stdout);
  g_object_unref (pool);
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
  bench_apply (quick ? 500 : 5000);
  bench_pools (quick ? 10 : 100);
  return 0;
}
