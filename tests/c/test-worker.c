/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "pool-tasks.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The worker's end of a pool, as a binding uses it: the pools of this program
 * run the loop below in the place of the library's. The pool's worker-data says
 * how it behaves. */

static void
worker_answer (MpWorker *worker, const char *text)
{
  g_assert_true (
    mp_worker_succeed (worker, (const guint8 *) text, strlen (text), MP_CODEC_RAW, NULL));
}

/* "exit": the worker goes. "fail": an error with everything. "number": its id. "hold": until it is
 * cancelled.
 * Else the task comes back. */
static const guint8 *
worker_handle (MpWorker *worker, const guint8 *data, gsize *length)
{
  guint32 head[4];
  g_autofree char *function = NULL;
  const guint8 *payload;
  gsize n;

  memcpy (head, data, sizeof head);
  function = g_strndup ((const char *) data + sizeof head, head[2]);
  payload = data + sizeof head + (head[2] + 7) / 8 * 8;
  n = *length - (gsize) (payload - data);
  g_assert_cmpuint (head[0], ==, MP_CODEC_PICKLE);
  g_assert_cmpuint (head[1], ==, 0);
  g_assert_cmpuint (head[3], ==, mp_worker_get_attempt (worker));
  g_assert_null (mp_worker_next (worker, length, NULL));

  if (strcmp (function, "exit") == 0)
    exit (3);
  while (strcmp (function, "hold") == 0 && !mp_worker_get_cancelled (worker))
    g_thread_yield ();
  if (strcmp (function, "fail") == 0)
    g_assert_true (mp_worker_fail (worker,
                                   "some-domain",
                                   42,
                                   "It went wrong",
                                   "line 1\nline 2",
                                   (const guint8 *) "pickle",
                                   6,
                                   NULL));
  else if (strcmp (function, "number") == 0)
    worker_answer (worker, mp_worker_get_task_id (worker) > 0 ? "yes" : "no");
  else
    return mp_worker_succeed_and_next (worker, payload, n, MP_CODEC_PICKLE, length, NULL);
  g_assert_cmpuint (mp_worker_get_task_id (worker), ==, 0);
  return mp_worker_next (worker, length, NULL);
}

static GVariant *
worker_main (MpTask *task, GVariant *argument, gpointer user_data, GError **error)
{
  g_autoptr (MpWorker) worker =
    mp_worker_new_from_handle (argument, mp_task_get_fd_list (task), error);
  GBytes *start = worker != NULL ? mp_worker_get_start_data (worker) : NULL;
  const char *mode = start != NULL ? g_bytes_get_data (start, NULL) : "";
  const guint8 *data;
  gsize length;

  if (worker == NULL)
    return NULL;
  if (g_str_equal (mode, "exit"))
    exit (7);
  if (g_str_equal (mode, "cannot"))
    {
      g_assert_true (mp_worker_fail (worker, NULL, 0, "No licence", NULL, NULL, 0, NULL));
      exit (1);
    }
  mp_worker_report_progress (worker, 0.5);
  data = mp_worker_next (worker, &length, error);
  while (data != NULL)
    data = worker_handle (worker, data, &length);
  g_assert_cmpuint (length, ==, 0);
  return NULL;
}

static MpPool *
make_pool (guint n_workers, const char *mode)
{
  g_autoptr (MpContext) context = mp_context_new (MP_START_METHOD_FORKSERVER, MP_RUNTIME_NATIVE);
  g_autoptr (GBytes) data = g_bytes_new (mode, strlen (mode) + 1);
  g_autoptr (GError) error = NULL;
  MpPool *pool = g_initable_new (MP_TYPE_POOL,
                                 NULL,
                                 &error,
                                 "context",
                                 context,
                                 "n-workers",
                                 n_workers,
                                 "worker-data",
                                 data,
                                 NULL);

  g_assert_no_error (error);
  g_assert_true (mp_pool_get_worker_data (pool) == data);
  return pool;
}

typedef struct
{
  guint32 n;
  const guint32 *heads;
  const guint8 *bytes;
} Packed;

static gboolean
take (MpJob *job, guint max, Packed *packed)
{
  gsize length;
  const guint8 *data;
  gsize total;

  while (!mp_job_wait_result (job, -1))
    ;
  data = mp_job_take_packed (job, max, &length);
  if (length == 0)
    return FALSE;
  memcpy (&packed->n, data, sizeof packed->n);
  packed->heads = (const guint32 *) (gpointer) data + 1;
  packed->bytes = data + 4 + 16 * (gsize) packed->n;
  total = 4 + 16 * (gsize) packed->n;
  for (guint32 i = 0; i < packed->n; i++)
    total += packed->heads[4 * i + 3];
  g_assert_cmpuint (total, ==, length);
  g_assert_true (max == 0 || packed->n <= max);
  return TRUE;
}

static MpJob *
submit (MpPool *pool,
        const char *function,
        guint32 from,
        guint32 n,
        gboolean ordered,
        gboolean more)
{
  g_autofree guint32 *data = g_new (guint32, n);
  g_autofree guint32 *lengths = g_new (guint32, n);
  g_autoptr (GError) error = NULL;
  MpJob *job;

  for (guint32 i = 0; i < n; i++)
    {
      data[i] = from + i;
      lengths[i] = sizeof *data;
    }
  job = mp_pool_submit_packed (pool,
                               (const guint8 *) function,
                               strlen (function),
                               (const guint8 *) data,
                               n * sizeof *data,
                               (const guint8 *) lengths,
                               n * sizeof *lengths,
                               MP_CODEC_PICKLE,
                               ordered,
                               more,
                               NULL,
                               &error);
  g_assert_no_error (error);
  return job;
}

static void
push (MpJob *job, guint32 value)
{
  const guint32 length = sizeof value;
  g_autoptr (GError) error = NULL;

  g_assert_true (mp_job_push_packed (job,
                                     (const guint8 *) &value,
                                     sizeof value,
                                     (const guint8 *) &length,
                                     sizeof length,
                                     &error));
  g_assert_no_error (error);
}

static void
test_packed (void)
{
  MpPool *pool = make_pool (2, "");

  g_test_summary ("Packed tasks come back as packed results, in order or not, each once.");
  for (guint ordered = 0; ordered < 2; ordered++)
    {
      const guint n = 5000;
      g_autoptr (MpJob) job = submit (pool, "echo", 0, n, ordered, FALSE);
      g_autofree guint8 *seen = g_new0 (guint8, n);
      guint at = 0;
      Packed packed;

      while (take (job, ordered ? 100 : 0, &packed))
        for (guint32 i = 0; i < packed.n; i++, at++)
          {
            guint32 value;

            memcpy (&value, packed.bytes + 4 * (gsize) i, sizeof value);
            g_assert_cmpuint (packed.heads[4 * i], ==, value);
            g_assert_cmpuint (packed.heads[4 * i + 1], ==, 0);
            g_assert_cmpuint (packed.heads[4 * i + 2], ==, MP_CODEC_PICKLE);
            g_assert_true (!ordered || value == at);
            g_assert_cmpuint (seen[value]++, ==, 0);
          }
      g_assert_cmpuint (at, ==, n);
      g_assert_true (mp_job_get_finished (job));
    }
  pool_close (pool);
}

static void
test_pushed (void)
{
  MpPool *pool = make_pool (2, "");
  g_autoptr (GError) error = NULL;
  g_autoptr (MpJob) job = submit (pool, "echo", 0, 0, TRUE, TRUE);
  MpJob *dropped = submit (pool, "echo", 0, 3, TRUE, TRUE);
  Packed packed;

  g_test_summary ("Input can follow, and results are taken before it ends.");
  g_assert_false (mp_job_wait_result (job, 1000));
  for (guint32 i = 0; i < 1000; i++)
    {
      push (job, i);
      g_assert_true (take (job, 0, &packed));
      g_assert_cmpuint (packed.n, ==, 1);
      g_assert_cmpuint (packed.heads[0], ==, i);
    }
  g_assert_false (mp_job_get_finished (job));
  push (job, 1000);
  mp_job_end_input (job);
  g_assert_true (mp_job_wait (job, -1, NULL, &error));
  g_assert_false (mp_job_push_packed (job, NULL, 0, NULL, 0, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_CLOSED);
  /* Nobody can end the input of a job that is gone: that ends it. */
  g_object_unref (dropped);
  pool_close (pool);
}

static void
test_bad_lengths (void)
{
  MpPool *pool = make_pool (1, "");
  const guint32 lengths[] = { 3, 4 };
  g_autoptr (GError) error = NULL;

  g_test_summary ("Lengths that do not fit the bytes are refused.");
  g_assert_null (mp_pool_submit_packed (pool,
                                        (const guint8 *) "f",
                                        1,
                                        (const guint8 *) "12345678",
                                        8,
                                        (const guint8 *) lengths,
                                        sizeof lengths,
                                        MP_CODEC_RAW,
                                        TRUE,
                                        FALSE,
                                        NULL,
                                        &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_INVALID_ARGUMENT);
  g_assert_nonnull (strstr (error->message, "lengths"));
  g_clear_error (&error);
  g_assert_null (mp_pool_submit_packed (pool,
                                        (const guint8 *) "f",
                                        1,
                                        (const guint8 *) "1234567",
                                        7,
                                        (const guint8 *) lengths,
                                        7,
                                        MP_CODEC_RAW,
                                        TRUE,
                                        FALSE,
                                        NULL,
                                        &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_INVALID_ARGUMENT);
  pool_close (pool);
}

static void
test_fail (void)
{
  MpPool *pool = make_pool (1, "");
  g_autoptr (GError) error = NULL;
  g_autoptr (MpJob) job = submit (pool, "fail", 0, 1, TRUE, FALSE);
  g_autoptr (MpJob) number = submit (pool, "number", 0, 1, TRUE, FALSE);
  g_autofree char *traceback = NULL;
  g_autoptr (GVariant) boxed = NULL;
  g_autoptr (GVariant) payload = NULL;
  g_autoptr (GVariant) details = NULL;
  g_autoptr (GVariant) exception = NULL;
  const char *domain;
  const char *message;
  int code;
  Packed packed;

  g_test_summary ("An error arrives with its domain, code, text, traceback and exception.");
  g_assert_true (mp_job_wait (job, -1, NULL, &error));
  g_assert_null (mp_job_get_result (job, &error));
  g_assert_error (error, g_quark_from_string ("some-domain"), 42);
  g_assert_cmpstr (error->message, ==, "It went wrong");
  traceback = mp_job_dup_traceback (job);
  g_assert_cmpstr (traceback, ==, "line 1\nline 2");

  g_assert_true (take (job, 0, &packed));
  g_assert_cmpuint (packed.n, ==, 1);
  g_assert_cmpuint (packed.heads[1], ==, 1);
  boxed = g_variant_ref_sink (g_variant_new_from_data (G_VARIANT_TYPE_VARIANT,
                                                       g_memdup2 (packed.bytes, packed.heads[3]),
                                                       packed.heads[3],
                                                       FALSE,
                                                       NULL,
                                                       NULL));
  g_assert_true (g_variant_is_normal_form (boxed));
  payload = g_variant_get_variant (boxed);
  g_variant_get (payload, "(&si&s@a{sv})", &domain, &code, &message, &details);
  exception = g_variant_lookup_value (details, "exception", G_VARIANT_TYPE_BYTESTRING);
  g_assert_nonnull (exception);
  g_assert_cmpuint (g_variant_get_size (exception), ==, 6);

  g_assert_true (take (number, 0, &packed));
  g_assert_cmpmem (packed.bytes, packed.heads[3], "yes", 3);
  g_free ((gpointer) g_variant_get_data (boxed));
  pool_close (pool);
}

static void
test_died (void)
{
  MpPool *pool = make_pool (1, "");
  g_autoptr (GError) error = NULL;
  g_autoptr (MpJob) job = submit (pool, "exit", 0, 1, TRUE, FALSE);
  Packed packed;

  g_test_summary ("A worker that goes with its task leaves an error in the task's place.");
  g_assert_true (take (job, 0, &packed));
  g_assert_cmpuint (packed.heads[1], ==, 1);
  g_assert_cmpuint (packed.heads[2], ==, MP_CODEC_GVARIANT);
  g_assert_null (mp_job_get_result (job, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_PROCESS_DIED);
  pool_close (pool);
}

static gboolean
is_broken (gpointer pool)
{
  return mp_pool_get_broken (pool);
}

static void
assert_breaks (const char *mode, const char *text)
{
  MpPool *pool = make_pool (2, mode);
  g_autoptr (GError) error = NULL;
  g_autoptr (MpJob) job = mp_pool_submit (pool, "echo", NULL, NULL, &error);
  g_autofree char *reason = NULL;

  if (job != NULL)
    {
      g_assert_true (mp_job_wait (job, 20 * G_USEC_PER_SEC, NULL, &error));
      g_assert_cmpint (mp_job_get_state (job), ==, MP_JOB_STATE_FAILED);
      g_assert_null (mp_job_get_result (job, &error));
      g_assert_nonnull (strstr (error->message, text));
    }
  g_clear_error (&error);
  pool_wait (is_broken, pool);
  reason = mp_pool_dup_broken_reason (pool);
  g_assert_nonnull (strstr (reason, text));
  g_assert_null (mp_pool_submit (pool, "echo", NULL, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_FAILED);
  g_assert_nonnull (strstr (error->message, text));
  pool_close (pool);
}

static void
test_cannot (void)
{
  g_test_summary ("A worker says that it cannot work: the pool breaks with its error.");
  assert_breaks ("cannot", "No licence");
}

static void
test_early (void)
{
  g_test_summary ("Workers that end before they take a task are not replaced for ever.");
  assert_breaks ("exit", "code 7");
}

static void
test_bad_handles (void)
{
  g_autoptr (GUnixFDList) fds = g_unix_fd_list_new ();
  int memfd = memfd_create ("test", MFD_CLOEXEC);
  GVariant *bad[] = {
    g_variant_new_string ("no"),
    g_variant_new_parsed ("('mp', @u 1, @a{sv} {}, @ah [])"),
    g_variant_new_parsed ("('pool-worker', @u 2, @a{sv} {}, @ah [])"),
    g_variant_new_parsed ("('pool-worker', @u 1, {'tasks': <1>, 'results': <1>, 'worker': <@u 0>, "
                          "'max-tasks': <@u 0>}, @ah [])"),
    g_variant_new_parsed ("('pool-worker', @u 1, {'tasks': <1>, 'results': <1>, 'worker': <@u 0>, "
                          "'max-tasks': <@u 0>}, [@h 9])"),
    g_variant_new_parsed ("('pool-worker', @u 1, {'tasks': <1>, 'results': <1>, 'worker': <@u 0>, "
                          "'max-tasks': <@u 0>}, [@h 0])"),
  };

  g_test_summary ("What is no handle of a worker is refused.");
  g_assert_cmpint (g_unix_fd_list_append (fds, memfd, NULL), ==, 0);
  close (memfd);
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (mp_worker_new_from_handle (bad[i], fds, &error));
      g_assert_error (error, MP_ERROR, MP_ERROR_CORRUPT);
    }
}

static void
test_empty (void)
{
  g_autoptr (MpWorker) worker = g_object_new (MP_TYPE_WORKER, NULL);
  g_autoptr (GError) error = NULL;
  gsize length;

  g_test_summary ("A worker that was made of no handle is a mistake, not a crash.");
  g_test_expect_message ("Mp", G_LOG_LEVEL_CRITICAL, "*MP_IS_READY_WORKER*");
  g_assert_null (mp_worker_next (worker, &length, &error));
  g_assert_no_error (error);
  g_test_expect_message ("Mp", G_LOG_LEVEL_CRITICAL, "*MP_IS_READY_WORKER*");
  mp_worker_report_progress (worker, 0.5);
  g_test_assert_expected_messages ();
}

static void
note_time (GObject *object, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (mp_job_wait_finish (MP_JOB (object), result, &error));
  g_assert_no_error (error);
  *(gint64 *) user_data = g_get_monotonic_time ();
}

static void
test_watched (void)
{
  MpPool *pool = make_pool (1, "");

  g_test_summary ("A worker whose results were looked for wakes who waits in another way, too.");
  for (guint i = 0; i < 40; i++)
    {
      g_autoptr (MpJob) job = NULL, next = NULL;
      gint64 start, end = 0;

      for (guint j = 0; j < 100; j++)
        {
          g_autoptr (MpJob) looked_for = submit (pool, "echo", j, 1, FALSE, FALSE);

          g_assert_true (mp_job_wait (looked_for, -1, NULL, NULL));
        }
      start = g_get_monotonic_time ();
      job = submit (pool, "echo", 0, 1, FALSE, FALSE);
      /* Then the worker sleeps, or has the next task. */
      if (i % 2 == 1)
        next = submit (pool, "hold", 0, 1, FALSE, FALSE);
      mp_job_wait_async (job, NULL, note_time, &end);
      while (end == 0)
        g_main_context_iteration (NULL, TRUE);
      /* After a second, or less if they had slept before, those who wait look for themselves: one
       * of many rounds shows it. */
      g_assert_cmpint (end - start, <, 700 * 1000);
      if (next != NULL)
        g_assert_true (mp_job_cancel (next));
    }
  pool_close (pool);
}

int
main (int argc, char **argv)
{
  mp_task_register ("mp.pool-worker", worker_main, NULL, NULL);
  pool_tasks_init (&argc, &argv);
  g_test_add_func ("/mp/worker/packed", test_packed);
  g_test_add_func ("/mp/worker/pushed", test_pushed);
  g_test_add_func ("/mp/worker/bad-lengths", test_bad_lengths);
  g_test_add_func ("/mp/worker/fail", test_fail);
  g_test_add_func ("/mp/worker/died", test_died);
  g_test_add_func ("/mp/worker/cannot", test_cannot);
  g_test_add_func ("/mp/worker/early", test_early);
  g_test_add_func ("/mp/worker/bad-handles", test_bad_handles);
  g_test_add_func ("/mp/worker/empty", test_empty);
  g_test_add_func ("/mp/worker/watched", test_watched);
  return g_test_run ();
}
