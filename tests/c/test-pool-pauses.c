/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "pool-tasks.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* When results of short tasks may come together, and when each of them is handed on at once.
 *
 * What is measured is what all threads of this process do. A busy machine can spoil a try, and
 * what would be wrong spoils all of them. */

#define MAX_TRIES 5
/* So many tasks of a millisecond take a second with two workers. */
#define N_NAPS 2000
/* After these the pauses are as long as they get. */
#define N_PATIENT 700
#define N_ASKED 5

static void
until_it_holds (gboolean (*attempt) (MpPool *pool))
{
  guint n_tries = 1;
  MpPool *pool = pool_new (2);

  while (!attempt (pool))
    g_assert_cmpuint (n_tries++, <, MAX_TRIES);
  pool_close (pool);
}

static glong
count_sleeps (void)
{
  struct rusage usage;

  g_assert_no_errno (getrusage (RUSAGE_SELF, &usage));
  return usage.ru_nvcsw;
}

static gboolean
wakes_seldom (MpPool *pool)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) results = NULL;
  glong before = count_sleeps ();
  glong n;

  results = mp_pool_map (pool, "nap", pool_numbers (N_NAPS), 1, -1, NULL, &error);
  n = count_sleeps () - before;
  g_assert_no_error (error);
  g_assert_cmpuint (g_variant_n_children (results), ==, N_NAPS);
  g_test_message ("%ld sleeps for %d results", n, N_NAPS);
  return n < N_NAPS / 4;
}

static void
test_whole_job (void)
{
  g_test_summary ("Who waits for a whole job is not woken, nor is the pump, for each result.");
  until_it_holds (wakes_seldom);
}

static void
waited (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GError) error = NULL;

  mp_job_wait_finish (MP_JOB (source), result, &error);
  g_assert_no_error (error);
  *(gboolean *) user_data = TRUE;
}

/* @done: NULL: nobody waits for it, so there are no pauses */
static MpJob *
submit_naps (MpPool *pool, guint n, gboolean *done)
{
  g_autoptr (GError) error = NULL;
  MpJob *job = mp_pool_submit_map (pool, "nap", pool_numbers (n), 1, NULL, &error);

  g_assert_no_error (error);
  if (done != NULL)
    {
      *done = FALSE;
      mp_job_wait_async (job, NULL, waited, done);
    }
  return job;
}

/* In microseconds. */
static gint64
ask_once (MpPool *pool)
{
  g_autoptr (MpJobOptions) urgent = g_object_new (MP_TYPE_JOB_OPTIONS, "priority", 1, NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (MpJob) job = NULL;
  gint64 start = g_get_monotonic_time ();

  job = mp_pool_submit (pool, "square", g_variant_new_int64 (3), urgent, &error);
  g_assert_no_error (error);
  mp_job_wait (job, -1, NULL, &error);
  g_assert_no_error (error);
  return g_get_monotonic_time () - start;
}

/* What is to be measured beside a job for which somebody waits takes about as long as beside one
 * for which nobody does: the more there is to do on this machine, the longer are both. */
static void
end_naps (MpJob *naps, const gboolean *done)
{
  mp_job_cancel (naps);
  while (done != NULL && !*done)
    g_main_context_iteration (NULL, TRUE);
}

static gint64
ask_beside (MpPool *pool, gboolean *done)
{
  g_autoptr (MpJob) naps = submit_naps (pool, (N_ASKED + 1) * N_PATIENT, done);
  gint64 total = 0;

  for (guint i = 1; i <= N_ASKED; i++)
    {
      while (mp_job_get_n_done (naps) < i * N_PATIENT)
        g_usleep (1000);
      total += ask_once (pool);
    }
  end_naps (naps, done);
  return total / N_ASKED;
}

static gboolean
answers_at_once (MpPool *pool)
{
  gboolean done;
  gint64 with = ask_beside (pool, &done);
  gint64 without = ask_beside (pool, NULL);

  g_test_message ("an answer takes %" G_GINT64_FORMAT " us, and %" G_GINT64_FORMAT, with, without);
  /* Half a pause would be 8 ms. */
  return with < without + 2000;
}

static void
test_beside_a_whole_job (void)
{
  g_test_summary ("Who comes while others wait patiently has his result at once.");
  until_it_holds (answers_at_once);
}

static gboolean
comes_one_by_one (MpPool *pool)
{
  gboolean done;
  g_autoptr (MpJob) naps = submit_naps (pool, N_NAPS, &done);
  gint64 start = g_get_monotonic_time ();
  gint64 last = start, in_gaps = 0;

  for (guint i = 0; i < N_NAPS; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) result = mp_job_next (naps, -1, NULL, &error);
      gint64 now = g_get_monotonic_time ();

      g_assert_no_error (error);
      g_assert_nonnull (result);
      if (now - last > 4000)
        in_gaps += now - last;
      last = now;
    }
  while (!done)
    g_main_context_iteration (NULL, TRUE);
  g_test_message ("%" G_GINT64_FORMAT " of %" G_GINT64_FORMAT " us between bunches",
                  in_gaps,
                  last - start);
  return in_gaps < (last - start) / 2;
}

static void
test_one_by_one (void)
{
  g_test_summary ("Who takes result by result has each as it comes, whoever waits for all.");
  until_it_holds (comes_one_by_one);
}

/* Of so many bytes, few tasks are under way at a time. */
#define LONG_ARGUMENT 16384
#define N_SLOW 80
#define N_FAST 3000

static GVariant *
make_uneven_items (void)
{
  g_autofree guint8 *bytes = g_malloc0 (LONG_ARGUMENT);
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("av"));
  for (guint i = 0; i < N_SLOW + N_FAST; i++)
    {
      GVariant *parts[] = {
        g_variant_new_uint32 (i < N_SLOW ? 10 * 1000 : 0),
        g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, bytes, LONG_ARGUMENT, 1),
      };

      g_variant_builder_add (&builder, "v", g_variant_new_tuple (parts, 2));
    }
  return g_variant_builder_end (&builder);
}

static gboolean
goes_on_at_once (MpPool *pool)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (MpJob) job = mp_pool_submit_map (pool, "nap", make_uneven_items (), 1, NULL, &error);
  gboolean done = FALSE;
  gint64 took;

  g_assert_no_error (error);
  mp_job_wait_async (job, NULL, waited, &done);
  while (mp_job_get_n_done (job) < N_SLOW)
    g_usleep (1000);
  took = -g_get_monotonic_time ();
  while (!done)
    g_main_context_iteration (NULL, TRUE);
  took += g_get_monotonic_time ();
  g_test_message ("%d short tasks after %d long ones take %" G_GINT64_FORMAT " us",
                  N_FAST,
                  N_SLOW,
                  took);
  return took < 250 * 1000;
}

static void
test_uneven (void)
{
  g_test_summary ("Workers do not wait for a pump that pauses, when tasks become shorter.");
  until_it_holds (goes_on_at_once);
}

#define N_LINKS 40

/* One of @n naps, after @before unless that is NULL. */
static MpJob *
submit_link (MpPool *pool, guint n, MpJob *before, gboolean *done)
{
  g_autoptr (MpJobOptions) options = g_object_new (MP_TYPE_JOB_OPTIONS, "priority", 1, NULL);
  g_autoptr (GError) error = NULL;
  MpJob *job;

  if (before != NULL)
    mp_job_options_add_after (options, before);
  job = mp_pool_submit_map (pool, "nap", pool_numbers (n), 1, options, &error);
  g_assert_no_error (error);
  *done = FALSE;
  mp_job_wait_async (job, NULL, waited, done);
  return job;
}

static gint64
follow_beside (MpPool *pool, gboolean *all_done)
{
  g_autoptr (MpJob) naps = submit_naps (pool, 10 * N_NAPS, all_done);
  g_autoptr (GPtrArray) links = g_ptr_array_new_with_free_func (g_object_unref);
  gboolean done[N_LINKS];
  gint64 took;

  g_ptr_array_add (links, submit_link (pool, N_PATIENT, NULL, &done[0]));
  for (guint i = 1; i < N_LINKS; i++)
    g_ptr_array_add (links, submit_link (pool, 1, g_ptr_array_index (links, i - 1), &done[i]));
  while (!done[0])
    g_main_context_iteration (NULL, TRUE);
  took = -g_get_monotonic_time ();
  while (!done[N_LINKS - 1])
    g_main_context_iteration (NULL, TRUE);
  took += g_get_monotonic_time ();
  end_naps (naps, all_done);
  return took;
}

static gboolean
follows_at_once (MpPool *pool)
{
  gboolean done;
  gint64 with = follow_beside (pool, &done);
  gint64 without = follow_beside (pool, NULL);

  g_test_message ("%d jobs, each after another, take %" G_GINT64_FORMAT
                  " us, and %" G_GINT64_FORMAT,
                  N_LINKS,
                  with,
                  without);
  return with < without + without / 4;
}

static void
test_after (void)
{
  g_test_summary ("A job that comes after another one ends the pauses, too.");
  until_it_holds (follows_at_once);
}

static guint
count_threads (void)
{
  g_autoptr (GDir) threads = g_dir_open ("/proc/self/task", 0, NULL);
  guint n = 0;

  while (g_dir_read_name (threads) != NULL)
    n++;
  return n;
}

static void
test_forked (void)
{
  MpPool *pool = pool_new (2);
  gboolean done;
  g_autoptr (MpJob) naps = submit_naps (pool, N_NAPS, &done);
  int status;
  pid_t pid;

  g_test_summary ("A forked child that asks for a result takes none from its parent.");
  while (mp_job_get_n_done (naps) < N_PATIENT)
    g_usleep (1000);
  pid = fork ();
  g_assert_cmpint (pid, >=, 0);
  if (pid == 0)
    {
      g_autoptr (GError) error = NULL;

      if (mp_job_next (naps, 200 * 1000, NULL, &error) != NULL ||
          !g_error_matches (error, MP_ERROR, MP_ERROR_NOT_OWNER))
        _exit (1);
      mp_job_wait_result (naps, 1000);
      _exit (count_threads () == 1 ? 0 : 2);
    }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_cmpint (status, ==, 0);
  while (!done)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (mp_job_get_n_done (naps), ==, N_NAPS);
  pool_close (pool);
}

int
main (int argc, char **argv)
{
  pool_tasks_init (&argc, &argv);

  g_test_add_func ("/mp/pool-pauses/whole-job", test_whole_job);
  g_test_add_func ("/mp/pool-pauses/beside-a-whole-job", test_beside_a_whole_job);
  g_test_add_func ("/mp/pool-pauses/one-by-one", test_one_by_one);
  g_test_add_func ("/mp/pool-pauses/uneven", test_uneven);
  g_test_add_func ("/mp/pool-pauses/after", test_after);
  g_test_add_func ("/mp/pool-pauses/forked", test_forked);
  return g_test_run ();
}
