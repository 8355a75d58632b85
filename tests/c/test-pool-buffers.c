/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "pool-tasks.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../libmp/channel/mp-ring-layout-private.h"
#include "../../libmp/pool/mp-pool-private.h"

/* Tasks and results that lie in shared memory, with a loop in the place of the library's, as a
 * binding has one. */

#define LONG (1024 * 1024)

/* What one task kept. */
static MpBuffer *kept;

/* "echo": the task comes back. "kill": it is written over, and the worker dies unless it is the
 * third attempt; then it comes back. "keep": the task stays here. "kept": that comes back. */
static const guint8 *
worker_handle (MpWorker *worker, const guint8 *data, gsize *length)
{
  g_autoptr (MpBuffer) buffer = mp_worker_take_argument (worker);
  g_autofree char *function = NULL;
  GOutputVector parts[2] = { 0 };
  guint8 *payload;
  guint32 head[4];
  gsize size;

  memcpy (head, data, sizeof head);
  function = g_strndup ((const char *) data + sizeof head, head[2]);
  g_assert_cmpint (buffer != NULL, ==, (head[1] & 8) != 0);
  g_assert_null (mp_worker_take_argument (worker));
  payload = (guint8 *) data + sizeof head + (head[2] + 7) / 8 * 8;
  size = *length - (gsize) (payload - data);
  if (buffer != NULL)
    {
      g_assert_cmpuint (size, ==, 0);
      g_assert_cmpint (mp_buffer_get_codec (buffer), ==, (int) head[0]);
      payload = mp_buffer_get_memory (buffer, &size);
    }
  if (g_str_has_prefix (function, "kill") && head[3] < 2)
    {
      memset (payload, 0xff, size);
      kill (getpid (), SIGKILL);
    }
  if (g_str_equal (function, "keep"))
    {
      kept = g_steal_pointer (&buffer);
      return mp_worker_succeed_and_next (worker, NULL, 0, MP_CODEC_PICKLE, length, NULL);
    }
  if (g_str_equal (function, "kept"))
    payload = mp_buffer_get_memory (kept, &size);
  parts[0].buffer = payload;
  parts[0].size = size / 2;
  parts[1].buffer = payload + size / 2;
  parts[1].size = size - size / 2;
  g_assert_true (mp_worker_succeed_vectors (worker, parts, 2, MP_CODEC_PICKLE, NULL));
  g_clear_pointer (&buffer, mp_buffer_unref);
  return mp_worker_next (worker, length, NULL);
}

static GVariant *
worker_main (MpTask *task, GVariant *argument, gpointer user_data, GError **error)
{
  g_autoptr (MpWorker) worker =
    mp_worker_new_from_handle (argument, mp_task_get_fd_list (task), error);
  const guint8 *data;
  gsize length;

  if (worker == NULL)
    return NULL;
  data = mp_worker_next (worker, &length, error);
  while (data != NULL)
    data = worker_handle (worker, data, &length);
  return NULL;
}

static MpJob *
submit (MpPool *pool, const char *function, MpJobOptions *options)
{
  g_autoptr (GError) error = NULL;
  MpJob *job = mp_pool_submit_packed (pool,
                                      (const guint8 *) function,
                                      strlen (function),
                                      NULL,
                                      0,
                                      NULL,
                                      0,
                                      MP_CODEC_PICKLE,
                                      TRUE,
                                      TRUE,
                                      options,
                                      &error);

  g_assert_no_error (error);
  return job;
}

static void
push (MpJob *job, gsize length, guint8 value)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (MpBuffer) buffer = mp_job_loan (job, length, &error);
  gsize size;

  g_assert_no_error (error);
  g_assert_true (mp_buffer_get_shared (buffer));
  memset (mp_buffer_get_memory (buffer, &size), value, length);
  g_assert_cmpuint (size, ==, length);
  g_assert_true (mp_job_push_buffer (job, buffer, MP_CODEC_PICKLE, &error));
  g_assert_no_error (error);
}

/* The only result that is there. */
static void
take (MpJob *job, guint32 *head)
{
  const guint8 *data;
  gsize length;

  while (!mp_job_wait_result (job, -1))
    ;
  data = mp_job_take_packed (job, 1, &length);
  g_assert_cmpuint (length, >=, 20);
  memcpy (head, data + 4, 4 * sizeof *head);
}

static void
check_long (MpJob *job, guint32 index, gsize length, guint8 value)
{
  g_autoptr (MpBuffer) buffer = NULL;
  const guint8 *memory;
  guint32 head[4];
  gsize size;

  take (job, head);
  g_assert_cmpuint (head[0], ==, index);
  g_assert_cmpuint (head[1], ==, 2);
  g_assert_cmpuint (head[2], ==, MP_CODEC_PICKLE);
  g_assert_cmpuint (head[3], ==, 0);
  g_assert_null (mp_job_take_buffer (job, index + 1));
  buffer = mp_job_take_buffer (job, index);
  g_assert_nonnull (buffer);
  g_assert_null (mp_job_take_buffer (job, index));
  memory = mp_buffer_get_memory (buffer, &size);
  g_assert_cmpuint ((guintptr) memory % 64, ==, 0);
  g_assert_cmpuint (size, ==, length);
  for (gsize i = 0; i < size; i++)
    if (memory[i] != value)
      g_error ("byte %zu is %u, not %u", i, memory[i], value);
}

/* What the blocks of the pool have, in bytes, and how many are somebody's. */
static guint64
count_memory (MpPool *pool, guint *n_used)
{
  MpPoolCore *core = mp_pool_get_core (pool);
  MpRing *rings[] = { core->tasks, core->results };
  guint64 memory = 0;

  *n_used = 0;
  for (guint i = 0; i < G_N_ELEMENTS (rings); i++)
    {
      MpStore *store = mp_ring_get_store (rings[i], TRUE);

      mp_ring_tend (rings[i], TRUE);
      memory += mp_store_get_memory (store);
      for (guint state = MP_BLOCK_OWNED; state <= MP_BLOCK_ACKING; state++)
        *n_used += mp_store_count (store, state, FALSE) + mp_store_count (store, state, TRUE);
    }
  return memory;
}

/* Until nobody has any block; the worker may just be about to give the last one back. */
static void
wait_until_free (MpPool *pool)
{
  gint64 end = g_get_monotonic_time () + 30 * G_USEC_PER_SEC;
  guint n_used;

  for (count_memory (pool, &n_used); n_used > 0; count_memory (pool, &n_used))
    {
      g_assert_cmpint (g_get_monotonic_time (), <, end);
      g_usleep (1000);
    }
}

static void
test_there_and_back (void)
{
  const gsize lengths[] = { 32768, 32769, 100001, LONG, 9 * LONG };
  MpPool *pool = pool_new (2);
  g_autoptr (MpJob) job = submit (pool, "echo", NULL);
  g_autoptr (GError) error = NULL;

  g_test_summary ("Long tasks and results go without a copy, among short ones");
  for (guint i = 0; i < G_N_ELEMENTS (lengths); i++)
    push (job, lengths[i], (guint8) i);
  for (guint i = 0; i < G_N_ELEMENTS (lengths); i++)
    check_long (job, i, lengths[i], (guint8) i);
  push (job, 7, 7);
  mp_job_end_input (job);
  {
    guint32 head[4];

    take (job, head);
    g_assert_cmpuint (head[0], ==, G_N_ELEMENTS (lengths));
    g_assert_cmpuint (head[1], ==, 0);
    g_assert_cmpuint (head[3], ==, 7);
  }
  g_assert_true (mp_job_wait (job, -1, NULL, &error));
  wait_until_free (pool);
  pool_close (pool);
}

static void
test_gathered (void)
{
  MpPool *pool = pool_new (1);
  g_autoptr (MpJob) job = submit (pool, "echo", NULL);
  g_autofree guint8 *data = g_malloc (LONG);
  const GOutputVector parts[] = { { data, 1 }, { NULL, 0 }, { data + 1, LONG - 1 } };
  g_autoptr (GError) error = NULL;

  g_test_summary ("A task is gathered from parts, in fresh memory and in memory that was used");
  for (guint i = 0; i < 5; i++)
    {
      memset (data, (int) i, LONG);
      g_assert_true (mp_job_push_vectors (job, parts, 3, MP_CODEC_PICKLE, &error));
      g_assert_no_error (error);
      check_long (job, i, LONG, (guint8) i);
    }
  mp_job_end_input (job);
  g_assert_false (mp_job_push_vectors (job, parts, 3, MP_CODEC_PICKLE, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_CLOSED);
  wait_until_free (pool);
  pool_close (pool);
}

static void
test_misuse (void)
{
  MpPool *pool = pool_new (1);
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);
  g_autoptr (MpJob) job = submit (pool, "echo", NULL);
  g_autoptr (MpJob) other = submit (pool, "echo", NULL);
  g_autoptr (MpBuffer) buffer = mp_job_loan (job, LONG, NULL);
  g_autoptr (MpBuffer) foreign = mp_queue_loan (queue, LONG, NULL);
  g_autoptr (GError) error = NULL;
  gsize size;

  g_test_summary ("A buffer is pushed once; that of something else is copied");
  memset (mp_buffer_get_memory (buffer, &size), 1, LONG);
  memset (mp_buffer_get_memory (foreign, &size), 2, LONG);
  mp_job_end_input (other);
  g_assert_false (mp_job_push_buffer (other, buffer, MP_CODEC_PICKLE, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_CLOSED);
  g_clear_error (&error);
  g_assert_true (mp_job_push_buffer (job, buffer, MP_CODEC_PICKLE, &error));
  g_assert_false (mp_job_push_buffer (job, buffer, MP_CODEC_PICKLE, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_INVALID_ARGUMENT);
  g_clear_error (&error);
  check_long (job, 0, LONG, 1);
  g_assert_true (mp_job_push_buffer (job, foreign, MP_CODEC_PICKLE, &error));
  check_long (job, 1, LONG, 2);
  mp_job_end_input (job);
  g_clear_pointer (&buffer, mp_buffer_unref);
  wait_until_free (pool);
  pool_close (pool);
}

/* Whether the pool said that it is another process's. */
static gboolean
is_refused (gboolean pushed, GError *owned)
{
  g_autoptr (GError) error = owned;

  return !pushed && g_error_matches (error, MP_ERROR, MP_ERROR_NOT_OWNER);
}

static void
test_forked (void)
{
  MpPool *pool = pool_new (1);
  g_autoptr (MpJob) job = submit (pool, "echo", NULL);
  g_autoptr (MpBuffer) buffer = mp_job_loan (job, LONG, NULL);
  const guint32 length = 1;
  gsize size;
  int status;
  pid_t pid;

  g_test_summary ("A child of fork() does not push tasks into its parent's pool");
  memset (mp_buffer_get_memory (buffer, &size), 1, LONG);
  pid = fork ();
  if (pid == 0)
    {
      GError *packed_error = NULL, *buffer_error = NULL;
      gboolean packed = mp_job_push_packed (job,
                                            (const guint8 *) "x",
                                            1,
                                            (const guint8 *) &length,
                                            sizeof length,
                                            &packed_error);
      gboolean pushed = mp_job_push_buffer (job, buffer, MP_CODEC_PICKLE, &buffer_error);

      _exit (is_refused (packed, packed_error) && is_refused (pushed, buffer_error) ? 42 : 1);
    }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_true (WIFEXITED (status) && WEXITSTATUS (status) == 42);
  g_assert_true (mp_job_push_buffer (job, buffer, MP_CODEC_PICKLE, NULL));
  mp_job_end_input (job);
  check_long (job, 0, LONG, 1);
  g_clear_pointer (&buffer, mp_buffer_unref);
  wait_until_free (pool);
  pool_close (pool);
}

static void
test_attempts (void)
{
  MpPool *pool = pool_new_full (2, 0, 3);
  g_autoptr (MpJob) job = submit (pool, "kill", NULL);

  g_test_summary ("Each attempt finds the task as it was, whatever those before did with it");
  push (job, LONG, 42);
  mp_job_end_input (job);
  check_long (job, 0, LONG, 42);
  g_assert_cmpuint (mp_job_get_attempts (job), ==, 3);
  wait_until_free (pool);
  pool_close (pool);
}

static void
test_killed (void)
{
  MpPool *pool = pool_new (2);
  guint n_used;

  g_test_summary ("A killed worker gives back what it had, once");
  for (guint i = 0; i < 20; i++)
    {
      g_autoptr (MpJob) job = submit (pool, i % 2 == 0 ? "kill" : "echo", NULL);
      guint32 head[4];

      push (job, LONG, (guint8) i);
      mp_job_end_input (job);
      if (i % 2 == 0)
        {
          take (job, head);
          g_assert_cmpuint (head[1], ==, 1);
          g_assert_cmpint (mp_job_get_state (job), ==, MP_JOB_STATE_WORKER_DIED);
        }
      else
        check_long (job, 0, LONG, (guint8) i);
    }
  wait_until_free (pool);
  g_assert_cmpuint (count_memory (pool, &n_used), <, 16 * LONG);
  pool_close (pool);
}

static void
test_kept (void)
{
  MpPool *pool = pool_new (1);
  g_autoptr (MpJob) keep = submit (pool, "keep", NULL);
  g_autoptr (MpJob) job = submit (pool, "echo", NULL);
  g_autoptr (MpJob) again = submit (pool, "kept", NULL);
  guint32 head[4];

  g_test_summary ("What a worker keeps is its own");
  push (keep, LONG, 99);
  mp_job_end_input (keep);
  take (keep, head);
  for (guint i = 0; i < 20; i++)
    {
      push (job, LONG, (guint8) i);
      check_long (job, i, LONG, (guint8) i);
    }
  mp_job_end_input (job);
  push (again, LONG, 1);
  mp_job_end_input (again);
  check_long (again, 0, LONG, 99);
  pool_close (pool);
}

static void
test_reuse (void)
{
  MpPool *pool = pool_new (1);
  g_autoptr (MpJob) job = submit (pool, "echo", NULL);
  guint n_used;

  g_test_summary ("The same memory serves one after the other");
  for (guint i = 0; i < 200; i++)
    {
      push (job, LONG, (guint8) i);
      check_long (job, i, LONG, (guint8) i);
    }
  mp_job_end_input (job);
  wait_until_free (pool);
  g_assert_cmpuint (count_memory (pool, &n_used), <, 8 * LONG);
  pool_close (pool);
}

static void
test_withdrawn (void)
{
  MpPool *pool = pool_new (1);
  g_autoptr (MpJobOptions) urgent = mp_job_options_new ();
  MpJob *jobs[40];
  g_autoptr (MpJob) cancelled = submit (pool, "echo", NULL);
  g_autoptr (MpJob) first = NULL;

  g_test_summary ("A task that makes room for a more urgent one keeps its memory; one that is "
                  "cancelled gives it back");
  g_object_set (urgent, "priority", 5, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (jobs); i++)
    {
      jobs[i] = submit (pool, "echo", NULL);
      push (jobs[i], 40000, (guint8) i);
      mp_job_end_input (jobs[i]);
    }
  push (cancelled, LONG, 1);
  first = submit (pool, "echo", urgent);
  push (first, LONG, 77);
  mp_job_end_input (first);
  /* If it was done before, its result goes with it. */
  mp_job_cancel (cancelled);
  g_clear_object (&cancelled);
  check_long (first, 0, LONG, 77);
  for (guint i = 0; i < G_N_ELEMENTS (jobs); i++)
    {
      check_long (jobs[i], 0, 40000, (guint8) i);
      g_object_unref (jobs[i]);
    }
  wait_until_free (pool);
  pool_close (pool);
}

static void
test_terminated (void)
{
  MpPool *pool = pool_new (2);
  g_autoptr (MpJob) job = submit (pool, "echo", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (MpBuffer) buffer = NULL;
  g_autoptr (MpBuffer) loan = NULL;
  const guint8 *memory;
  guint32 head[4];
  gsize size;

  g_test_summary ("Results outlive their pool; what was never taken goes with it");
  for (guint i = 0; i < 50; i++)
    push (job, LONG, 5);
  take (job, head);
  buffer = mp_job_take_buffer (job, head[0]);
  mp_pool_terminate (pool);
  g_assert_true (mp_pool_join (pool, -1, NULL, &error));
  loan = mp_job_loan (job, LONG, &error);
  g_assert_no_error (error);
  g_assert_false (mp_job_push_buffer (job, loan, MP_CODEC_PICKLE, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_CLOSED);
  g_clear_object (&pool);
  memory = mp_buffer_get_memory (buffer, &size);
  g_assert_cmpuint (size, ==, LONG);
  g_assert_cmpuint (memory[0], ==, 5);
  g_assert_cmpuint (memory[LONG - 1], ==, 5);
}

int
main (int argc, char **argv)
{
  mp_task_register ("mp.pool-worker", worker_main, NULL, NULL);
  pool_tasks_init (&argc, &argv);
  g_test_add_func ("/mp/pool-buffers/there-and-back", test_there_and_back);
  g_test_add_func ("/mp/pool-buffers/gathered", test_gathered);
  g_test_add_func ("/mp/pool-buffers/misuse", test_misuse);
  g_test_add_func ("/mp/pool-buffers/forked", test_forked);
  g_test_add_func ("/mp/pool-buffers/attempts", test_attempts);
  g_test_add_func ("/mp/pool-buffers/killed", test_killed);
  g_test_add_func ("/mp/pool-buffers/kept", test_kept);
  g_test_add_func ("/mp/pool-buffers/reuse", test_reuse);
  g_test_add_func ("/mp/pool-buffers/withdrawn", test_withdrawn);
  g_test_add_func ("/mp/pool-buffers/terminated", test_terminated);
  return g_test_run ();
}
