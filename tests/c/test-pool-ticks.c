/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "pool-tasks.h"

#include <string.h>

/* A main loop goes on ticking, as that of a user interface has to, while a great many jobs
 * pass through its context. */

/* Work is counted, and the sanitizer makes several times of it. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SLOWNESS 4
#endif
#endif
#ifndef SLOWNESS
#define SLOWNESS 1
#endif

#define TICK_MS 16
#define N_JOBS 100000
/* More jobs, where those are too soon done. */
#define MIN_TICKS 20
/* How many of them are done before the loop turns, so that their completions pile up. */
#define N_PILED 80000
#define LATE_US (SLOWNESS * 20 * 1000)
#define TOO_LATE_US (SLOWNESS * 100 * 1000)
/* How many jobs are submitted in one turn. */
#define N_AT_ONCE 100

#define MAX_THREADS 64
#define MAX_TRIES 5

/* A gap is what the clock says, but no more than the busiest thread of this process has worked
 * in it: on a machine that is busy with other things all wait for a processor, or for somebody
 * who does. Such a gap is the machine's; a long one in which somebody has worked is ours. */
typedef struct
{
  gint64 last;
  gint64 last_work[MAX_THREADS];
  gint64 longest;
  guint n;
  guint n_late;
} Ticks;

/* How long each thread has worked. Threads are numbered as they come; none ends meanwhile. */
static guint
get_work (gint64 work[MAX_THREADS])
{
  g_autoptr (GDir) threads = g_dir_open ("/proc/self/task", 0, NULL);
  guint n = 0;
  const char *name;

  while (n < MAX_THREADS && (name = g_dir_read_name (threads)) != NULL)
    {
      g_autofree char *path = g_build_filename ("/proc/self/task", name, "schedstat", NULL);
      g_autofree char *text = NULL;

      g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
      work[n++] = (gint64) (g_ascii_strtoull (text, NULL, 10) / 1000);
    }
  return n;
}

static void
ticks_begin (Ticks *self)
{
  get_work (self->last_work);
  self->last = g_get_monotonic_time ();
}

static gboolean
ticks_note (gpointer user_data)
{
  Ticks *self = user_data;
  gint64 work[MAX_THREADS] = { 0 };
  guint n_threads = get_work (work);
  gint64 now = g_get_monotonic_time ();
  gint64 busiest = 0;
  gint64 gap;

  for (guint i = 0; i < n_threads; i++)
    busiest = MAX (busiest, work[i] - self->last_work[i]);
  gap = MIN (now - self->last, busiest);
  memcpy (self->last_work, work, sizeof work);
  self->last = now;
  self->longest = MAX (self->longest, gap);
  self->n++;
  self->n_late += gap > LATE_US;
  return G_SOURCE_CONTINUE;
}

typedef struct _Load Load;

struct _Load
{
  void (*submit) (Load *self);
  MpPool *pool;
  const Ticks *ticks;
  guint n_submitted;
  guint n_done;
};

static void
waited_for (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Load *self = user_data;

  g_assert_true (mp_job_wait_finish (MP_JOB (source), result, NULL));
  self->n_done++;
}

static MpJob *
submit_one (Load *self)
{
  g_autoptr (GError) error = NULL;
  MpJob *job = mp_pool_submit (self->pool, "square", g_variant_new_int64 (3), NULL, &error);

  g_assert_no_error (error);
  return job;
}

static void
submit_and_wait (Load *self)
{
  g_autoptr (MpJob) job = submit_one (self);

  mp_job_wait_async (job, NULL, waited_for, self);
}

static void
completed (MpJob *job, gpointer user_data)
{
  Load *self = user_data;

  self->n_done++;
  g_object_unref (job);
}

/* By its signal, as a row of a list is told. */
static void
submit_and_listen (Load *self)
{
  MpJob *job = submit_one (self);

  g_signal_connect (job, "completed", G_CALLBACK (completed), self);
}

static void
applied (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Load *self = user_data;
  g_autoptr (GVariant) value = mp_pool_apply_finish (MP_POOL (source), result, NULL);

  g_assert_cmpint (g_variant_get_int64 (value), ==, 9);
  self->n_done++;
}

static void
apply (Load *self)
{
  mp_pool_apply_async (self->pool, "square", g_variant_new_int64 (3), NULL, applied, self);
}

static void
load_submit_some (Load *self, guint n)
{
  for (guint i = 0; i < n; i++)
    self->submit (self);
  self->n_submitted += n;
}

static gboolean
load_submit (gpointer user_data)
{
  Load *self = user_data;

  load_submit_some (self, N_AT_ONCE);
  return self->n_submitted < N_JOBS || self->ticks->n < MIN_TICKS;
}

/* Whether the loop has ticked in time. */
static gboolean
tick_beside (void (*submit) (Load *))
{
  Ticks ticks = { 0 };
  Load load = { .submit = submit, .ticks = &ticks };
  guint timer;

  load.pool = pool_new (2);
  load_submit_some (&load, N_PILED);
  while (mp_pool_get_n_pending (load.pool) > 0)
    g_thread_yield ();
  ticks_begin (&ticks);
  timer = g_timeout_add (TICK_MS, ticks_note, &ticks);
  g_idle_add (load_submit, &load);
  while (load.n_done < N_JOBS || ticks.n < MIN_TICKS || load.n_done < load.n_submitted)
    g_main_context_iteration (NULL, TRUE);
  ticks_note (&ticks);
  g_source_remove (timer);
  pool_close (load.pool);

  g_test_message ("%u ticks, %u late, longest %" G_GINT64_FORMAT " us",
                  ticks.n,
                  ticks.n_late,
                  ticks.longest);
  /* One may be: the first calls of a function, say. */
  return ticks.n_late <= 1 + ticks.n / 1000 && ticks.longest <= TOO_LATE_US;
}

/* A processor that a host takes away, or shares with a busy neighbour, counts as work: such a
 * moment is not there again at each try, a loop that is kept from ticking is. */
static void
test_ticks (gconstpointer data)
{
  guint n_tries = 1;

  g_test_summary ("A main loop ticks while jobs pass through it.");
  if (!g_file_test ("/proc/self/schedstat", G_FILE_TEST_EXISTS))
    {
      g_test_skip ("the kernel does not tell how long threads have worked");
      return;
    }
  while (!tick_beside ((void (*) (Load *)) data))
    g_assert_cmpuint (n_tries++, <, MAX_TRIES);
}

int
main (int argc, char **argv)
{
  pool_tasks_init (&argc, &argv);

  g_test_add_data_func ("/mp/pool-ticks/wait", submit_and_wait, test_ticks);
  g_test_add_data_func ("/mp/pool-ticks/signal", submit_and_listen, test_ticks);
  g_test_add_data_func ("/mp/pool-ticks/apply", apply, test_ticks);
  return g_test_run ();
}
