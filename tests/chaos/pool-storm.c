/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "pool-tasks.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Jobs of every kind, while workers are killed and stopped, the zygote is killed,
 * descriptors, processes, memory and room for files in memory run out, and the pool is
 * resized: each job comes to exactly one end, which is what its results say, and then the
 * pool works as ever. */

#define N_WORKERS 4
#define N_MAP 40
#define WINDOW 24
#define GIVE_UP (60 * G_USEC_PER_SEC)
#define NOBODY 65534

/* What becomes of a job depends on what it is and what is done to it. */
typedef enum
{
  KIND_SQUARE,
  KIND_MAP,
  KIND_FLAKY,
  KIND_HANG,
  KIND_CANCEL,
  KIND_DIE,
  KIND_EXIT,
  KIND_GRAB,
  KIND_AFTER,
  N_KINDS
} Kind;

typedef struct
{
  Kind kind;
  MpJob *job;
} Entry;

typedef struct
{
  MpPool *pool;
  MpContext *context;
  GHashTable *pids; /* all that were ever seen */
  guint n_kills;    /* of workers */
  guint n_zygotes;  /* killed */
  guint n_wanted;   /* kills of workers */
  guint n_zygotes_wanted;
  gint done;
} Storm;

static int
pick_worker (Storm *self, GRand *rand)
{
  gsize n_pids;
  g_autofree int *pids = mp_pool_get_worker_pids (self->pool, &n_pids);

  for (gsize i = 0; i < n_pids; i++)
    g_hash_table_add (self->pids, GINT_TO_POINTER (pids[i]));
  return n_pids > 0 ? pids[g_rand_int_range (rand, 0, (gint32) n_pids)] : 0;
}

static void
kill_zygote (Storm *self)
{
  int pid = mp_context_get_zygote_pid (self->context);

  if (pid > 0 && kill (pid, SIGKILL) == 0)
    self->n_zygotes++;
}

/* For a moment. */
static void
stop_worker (Storm *self, GRand *rand)
{
  int pid = pick_worker (self, rand);

  if (pid == 0 || kill (pid, SIGSTOP) != 0)
    return;
  g_usleep ((gulong) g_rand_int_range (rand, 1000, 40000));
  kill (pid, SIGCONT);
}

static void
squeeze (GRand *rand, int pid, __rlimit_resource_t resource, rlim_t least)
{
  struct rlimit old;
  struct rlimit tight;

  if (prlimit (pid, resource, NULL, &old) != 0)
    return;
  tight.rlim_cur = MIN (least, old.rlim_cur);
  tight.rlim_max = old.rlim_max;
  if (prlimit (pid, resource, &tight, NULL) != 0)
    return;
  g_usleep ((gulong) g_rand_int_range (rand, 1000, 30000));
  prlimit (pid, resource, &old, NULL);
}

/* There is none left, but a hole or two among them. */
static void
squeeze_descriptors (GRand *rand, int pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/fd", pid);
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  guint n = 0;

  while (dir != NULL && g_dir_read_name (dir) != NULL)
    n++;
  g_clear_pointer (&dir, g_dir_close);
  if (n > 0)
    squeeze (rand, pid, RLIMIT_NOFILE, n);
}

static void
strike (Storm *self, GRand *rand)
{
  int pid;

  switch (g_rand_int_range (rand, 0, 50))
    {
    case 0:
      if (self->n_zygotes < self->n_zygotes_wanted)
        kill_zygote (self);
      break;
    case 1:
    case 2:
      stop_worker (self, rand);
      break;
    case 3:
      squeeze_descriptors (rand, getpid ());
      break;
    case 4:
      pid = mp_context_get_zygote_pid (self->context);
      if (pid > 0)
        squeeze_descriptors (rand, pid);
      break;
    case 5:
      pid = mp_context_get_zygote_pid (self->context);
      if (pid > 0)
        squeeze (rand, pid, RLIMIT_NPROC, 0);
      break;
    case 6:
      pid = pick_worker (self, rand);
      if (pid > 0)
        squeeze (rand, pid, RLIMIT_AS, 1024 * 1024);
      break;
    case 7:
      mp_pool_resize (self->pool, (guint) g_rand_int_range (rand, 1, 2 * N_WORKERS), NULL);
      break;
    case 8:
      /* As if /dev/shm were full, for those that have no name there. */
      squeeze (rand, getpid (), RLIMIT_FSIZE, 0);
      break;
    case 9:
      pid = mp_context_get_zygote_pid (self->context);
      if (pid > 0)
        squeeze (rand, pid, RLIMIT_AS, 1024 * 1024);
      break;
    case 10:
      pid = pick_worker (self, rand);
      if (pid > 0)
        squeeze_descriptors (rand, pid);
      break;
    default:
      pid = pick_worker (self, rand);
      if (pid > 0 && kill (pid, SIGKILL) == 0)
        self->n_kills++;
    }
}

static gpointer
storm_main (gpointer data)
{
  Storm *self = data;
  g_autoptr (GRand) rand = g_rand_new_with_seed (g_test_rand_int ());

  while (!g_atomic_int_get (&self->done) &&
         (self->n_kills < self->n_wanted || self->n_zygotes < self->n_zygotes_wanted))
    {
      strike (self, rand);
      g_usleep ((gulong) g_rand_int_range (rand, 100, 6000));
    }
  g_atomic_int_set (&self->done, TRUE);
  return NULL;
}

static GVariant *
make_argument (Kind kind, GRand *rand)
{
  switch (kind)
    {
    case KIND_MAP:
      return pool_numbers (N_MAP);
    case KIND_FLAKY:
      return g_variant_new_uint32 ((guint32) g_rand_int_range (rand, 0, 4));
    case KIND_HANG:
    case KIND_CANCEL:
      return NULL;
    case KIND_DIE:
      return g_variant_new_int32 (g_rand_boolean (rand) ? SIGSEGV : SIGTERM);
    case KIND_EXIT:
      return g_variant_new_int32 (g_rand_int_range (rand, 0, 4));
    case KIND_GRAB:
      return g_variant_new ("(ub)", 96, TRUE);
    case KIND_SQUARE:
    case KIND_AFTER:
    case N_KINDS:
    default:
      return g_variant_new_int64 (12);
    }
}

static MpJob *
submit (Storm *self, Kind kind, MpJob *before, GRand *rand)
{
  static const char *const functions[N_KINDS] = { "square", "square", "flaky", "hang",  "hang",
                                                  "die",    "exit",   "grab",  "square" };
  g_autoptr (MpJobOptions) options = mp_job_options_new ();
  g_autoptr (GError) error = NULL;
  MpJob *job;

  g_object_set (options,
                "priority",
                g_rand_int_range (rand, -2, 3),
                "max-attempts",
                (guint) g_rand_int_range (rand, 1, 4),
                "retry-failed",
                kind == KIND_FLAKY,
                "retry-delay",
                (gint64) g_rand_int_range (rand, 0, 5000),
                "timeout",
                kind == KIND_HANG ? (gint64) g_rand_int_range (rand, 1000, 40000) : (gint64) 0,
                NULL);
  if (kind == KIND_AFTER && before != NULL)
    mp_job_options_add_after (options, before);
  if (kind == KIND_MAP)
    job = mp_pool_submit_map (self->pool,
                              functions[kind],
                              make_argument (kind, rand),
                              (guint) g_rand_int_range (rand, 1, 8),
                              options,
                              &error);
  else
    job = mp_pool_submit (self->pool, functions[kind], make_argument (kind, rand), options, &error);
  g_assert_no_error (error);
  return job;
}

static void
check_result (const Entry *entry, GVariant *result)
{
  switch (entry->kind)
    {
    case KIND_MAP:
      pool_assert_squares (result, N_MAP);
      break;
    case KIND_SQUARE:
    case KIND_AFTER:
      g_assert_cmpint (g_variant_get_int64 (result), ==, 144);
      break;
    case KIND_FLAKY:
      break;
    case KIND_HANG:
    case KIND_CANCEL:
    case KIND_DIE:
    case KIND_EXIT:
    case KIND_GRAB:
    case N_KINDS:
    default:
      g_assert_not_reached ();
    }
}

/* The end of a job and its error are the same thing. */
static void
check_end (const Entry *entry, guint *n_ends)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) result = NULL;
  MpJobState state;

  mp_job_wait (entry->job, GIVE_UP, NULL, &error);
  g_assert_no_error (error);
  state = mp_job_get_state (entry->job);
  result = mp_job_get_result (entry->job, &error);
  n_ends[state]++;
  switch (state)
    {
    case MP_JOB_STATE_SUCCEEDED:
      g_assert_no_error (error);
      check_result (entry, result);
      break;
    case MP_JOB_STATE_FAILED:
      if (entry->kind != KIND_FLAKY && entry->kind != KIND_AFTER)
        g_error ("A job of kind %d failed: %s", entry->kind, error->message);
      break;
    case MP_JOB_STATE_CANCELLED:
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      g_assert_true (entry->kind == KIND_CANCEL || entry->kind == KIND_AFTER);
      break;
    case MP_JOB_STATE_TIMED_OUT:
      g_assert_error (error, MP_ERROR, MP_ERROR_TIMED_OUT);
      g_assert_true (entry->kind == KIND_HANG);
      break;
    case MP_JOB_STATE_WORKER_DIED:
      g_assert_error (error, MP_ERROR, MP_ERROR_PROCESS_DIED);
      g_assert_true (mp_job_get_worker_end (entry->job, NULL, NULL));
      break;
    case MP_JOB_STATE_LIMIT:
      g_assert_error (error, MP_ERROR, MP_ERROR_LIMIT);
      g_assert_true (entry->kind == KIND_GRAB);
      break;
    case MP_JOB_STATE_QUEUED:
    case MP_JOB_STATE_RUNNING:
    default:
      g_assert_not_reached ();
    }
}

static MpPool *
make_pool (MpContext *context)
{
  return pool_new_with ("context",
                        context,
                        "n-workers",
                        N_WORKERS,
                        "max-tasks-per-worker",
                        200,
                        "cancel-grace",
                        (gint64) 2000,
                        "kill-grace",
                        (gint64) 20000,
                        "worker-memory-limit",
                        (guint64) 64 * 1024 * 1024,
                        NULL);
}

/* Jobs by the dozen until the storm is over; how many there were. */
static guint
work (Storm *storm, GRand *rand, guint *n_ends)
{
  guint n_jobs = 0;

  while (!g_atomic_int_get (&storm->done))
    {
      Entry entries[WINDOW];

      for (guint i = 0; i < WINDOW; i++)
        {
          entries[i].kind =
            g_rand_boolean (rand) ? (Kind) g_rand_int_range (rand, 0, N_KINDS) : KIND_MAP;
          entries[i].job = submit (storm, entries[i].kind, i > 0 ? entries[i - 1].job : NULL, rand);
        }
      for (guint i = 0; i < WINDOW; i++)
        if (entries[i].kind == KIND_CANCEL)
          mp_job_cancel (entries[i].job);
      for (guint i = 0; i < WINDOW; i++)
        {
          check_end (&entries[i], n_ends);
          g_object_unref (entries[i].job);
        }
      n_jobs += WINDOW;
    }
  return n_jobs;
}

/* Those whose zygote was killed are reaped by whoever reaps orphans, some time. */
static gboolean
is_alive (int pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/stat", pid);
  g_autofree char *text = NULL;
  const char *state;

  if (!g_file_get_contents (path, &text, NULL, NULL))
    return FALSE;
  state = strrchr (text, ')');
  return state != NULL && state[1] != '\0' && state[2] != 'Z' && state[2] != 'X';
}

static void
assert_gone (GHashTable *pids)
{
  GHashTableIter iter;
  gpointer pid;

  g_hash_table_iter_init (&iter, pids);
  while (g_hash_table_iter_next (&iter, &pid, NULL))
    g_assert_false (is_alive (GPOINTER_TO_INT (pid)));
}

static void
test_storm (void)
{
  gboolean full = g_strcmp0 (g_getenv ("MP_CHAOS"), "full") == 0;
  g_autoptr (MpContext) context = mp_context_new (MP_START_METHOD_FORKSERVER, MP_RUNTIME_NATIVE);
  g_autoptr (GRand) rand = g_rand_new_with_seed (g_test_rand_int ());
  g_autoptr (GVariant) results = NULL;
  g_autoptr (GError) error = NULL;
  Storm storm = { .context = context };
  guint n_ends[MP_JOB_STATE_LIMIT + 1] = { 0 };
  GThread *thread;
  guint n_fds;
  guint n_memfds;
  guint n_jobs;

  g_test_summary ("Whatever is killed, stopped, or missing: every job has its end.");
  /* The pump stays, and what is made for a context. */
  mp_pool_close (storm.pool = make_pool (context));
  g_assert_true (mp_pool_join (storm.pool, -1, NULL, &error));
  g_object_unref (storm.pool);
  n_fds = pool_count_fds ();
  n_memfds = pool_count_memfds ();

  storm.pool = make_pool (context);
  storm.pids = g_hash_table_new (NULL, NULL);
  storm.n_wanted = full ? 5000 : 120;
  storm.n_zygotes_wanted = full ? 200 : 5;
  thread = g_thread_new ("storm", storm_main, &storm);
  n_jobs = work (&storm, rand, n_ends);
  g_thread_join (thread);

  g_assert_true (mp_pool_resize (storm.pool, N_WORKERS, &error));
  results = mp_pool_map (storm.pool, "square", pool_numbers (1000), 1, GIVE_UP, NULL, &error);
  g_assert_no_error (error);
  pool_assert_squares (results, 1000);
  g_test_message ("%u workers and %u zygotes killed; of %u jobs %u succeeded, %u failed, %u were "
                  "cancelled, %u timed out, %u lost their worker, %u hit a limit",
                  storm.n_kills,
                  storm.n_zygotes,
                  n_jobs,
                  n_ends[MP_JOB_STATE_SUCCEEDED],
                  n_ends[MP_JOB_STATE_FAILED],
                  n_ends[MP_JOB_STATE_CANCELLED],
                  n_ends[MP_JOB_STATE_TIMED_OUT],
                  n_ends[MP_JOB_STATE_WORKER_DIED],
                  n_ends[MP_JOB_STATE_LIMIT]);
  pool_close (storm.pool);
  assert_gone (storm.pids);
  pool_assert_fds (n_fds, n_memfds);
  g_hash_table_unref (storm.pids);
}

/* No limit on processes holds for root. The program must be one that others may execute:
 * that is done again for the zygote. */
static void
become_nobody (void)
{
  struct stat st;

  if (getuid () != 0 || stat ("/proc/self/exe", &st) < 0 || (st.st_mode & 05) != 05)
    return;
  if (chdir ("/") < 0 || setgroups (0, NULL) < 0 || setresgid (NOBODY, NOBODY, NOBODY) < 0 ||
      setresuid (NOBODY, NOBODY, NOBODY) < 0)
    g_error ("Cannot give up the rights of root: %s", g_strerror (errno));
  /* What is in /proc belongs to root otherwise. */
  prctl (PR_SET_DUMPABLE, 1);
}

/* The limits that the storm counts on. */
static void
test_limits (void)
{
  struct rlimit old;
  pid_t pid;

  g_test_summary ("A limit on processes keeps this program from forking.");
  if (getuid () == 0)
    {
      g_test_skip ("nobody but root may execute this program");
      return;
    }
  g_assert_cmpint (getrlimit (RLIMIT_NPROC, &old), ==, 0);
  g_assert_cmpint (setrlimit (RLIMIT_NPROC, &(struct rlimit){ 0, old.rlim_max }), ==, 0);
  pid = fork ();
  if (pid == 0)
    _exit (0);
  if (pid > 0)
    waitpid (pid, NULL, 0);
  g_assert_cmpint (pid, ==, -1);
  g_assert_cmpint (errno, ==, EAGAIN);
  g_assert_cmpint (setrlimit (RLIMIT_NPROC, &old), ==, 0);
}

int
main (int argc, char **argv)
{
  become_nobody ();
  pool_tasks_init (&argc, &argv);
  /* Workers that run out of memory, or are told to crash, leave no dumps. */
  setrlimit (RLIMIT_CORE, &(struct rlimit){ 0, 0 });
  signal (SIGXFSZ, SIG_IGN);
  g_test_add_func ("/mp/pool-storm/limits", test_limits);
  g_test_add_func ("/mp/pool-storm/storm", test_storm);
  return g_test_run ();
}
