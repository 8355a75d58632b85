/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "pool-tasks.h"

#include <fcntl.h>
#include <glib-unix.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Pools of commands. */

static MpPool *
make_pool (guint n_workers)
{
  g_autoptr (MpContext) context = mp_context_new (MP_START_METHOD_FORKSERVER, MP_RUNTIME_COMMAND);
  g_autoptr (GError) error = NULL;
  MpPool *pool = mp_pool_new (context, n_workers, &error);

  g_assert_no_error (error);
  return pool;
}

static GVariant *
shell (const char *script)
{
  const char *const argv[] = { "/bin/sh", "-c", script, NULL };

  return g_variant_new_strv (argv, -1);
}

static void
assert_ends (GVariant *result, int code, const char *out, const char *err)
{
  g_autoptr (GVariant) out_bytes = NULL;
  g_autoptr (GVariant) err_bytes = NULL;
  int got;

  g_assert_nonnull (result);
  g_variant_get (result, "(i@ay@ay)", &got, &out_bytes, &err_bytes);
  g_assert_cmpint (got, ==, code);
  g_assert_cmpmem (g_variant_get_data (out_bytes),
                   g_variant_get_size (out_bytes),
                   out,
                   strlen (out));
  g_assert_cmpmem (g_variant_get_data (err_bytes),
                   g_variant_get_size (err_bytes),
                   err,
                   strlen (err));
}

static void
test_run (void)
{
  static const struct
  {
    const char *script;
    int code;
    const char *out;
    const char *err;
  } cases[] = {
    { "echo out; echo err >&2; exit 3", 3, "out\n", "err\n" },
    { "kill -TERM $$", -SIGTERM, "", "" },
    { "cat", 0, "", "" },
    { ":", 0, "", "" },
  };
  MpPool *pool = make_pool (2);

  g_test_summary ("How a command ended and what it wrote; its input is empty.");
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) result =
        mp_pool_apply (pool, "mp.command", shell (cases[i].script), -1, NULL, &error);

      g_assert_no_error (error);
      assert_ends (result, cases[i].code, cases[i].out, cases[i].err);
    }
  pool_close (pool);
}

static void
test_output (void)
{
  MpPool *pool = make_pool (1);
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GVariant) out = NULL;
  g_autoptr (GVariant) err = NULL;

  g_test_summary ("Much output on both sides at once.");
  result = mp_pool_apply (pool,
                          "mp.command",
                          shell ("head -c 3000000 /dev/zero & head -c 2000000 /dev/zero >&2; wait"),
                          -1,
                          NULL,
                          &error);
  g_assert_no_error (error);
  out = g_variant_get_child_value (result, 1);
  err = g_variant_get_child_value (result, 2);
  g_assert_cmpuint (g_variant_get_size (out), ==, 3000000);
  g_assert_cmpuint (g_variant_get_size (err), ==, 2000000);
  pool_close (pool);
}

static void
test_options (void)
{
  MpPool *pool = make_pool (1);
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GVariant) bytes = NULL;

  g_test_summary ("A working directory, and variables on top of the environment.");
  result = mp_pool_apply (pool,
                          "mp.command",
                          g_variant_new_parsed (
                            "(['/bin/sh', '-c', 'pwd; echo $MP_X; test -n \"$PATH\"'], "
                            "{'cwd': <'/'>, 'env': <['MP_X=y z']>})"),
                          -1,
                          NULL,
                          &error);
  g_assert_no_error (error);
  assert_ends (result, 0, "/\ny z\n", "");
  bytes = mp_pool_apply (pool,
                         "mp.command",
                         g_variant_new_parsed ("(['pwd'], {'cwd': <b'/usr'>})"),
                         -1,
                         NULL,
                         &error);
  g_assert_no_error (error);
  assert_ends (bytes, 0, "/usr\n", "");
  pool_close (pool);
}

static void
test_errors (void)
{
  static const struct
  {
    const char *argument;
    MpError code;
  } cases[] = {
    { "['/no/such/program']", MP_ERROR_NOT_FOUND },
    { "@as []", MP_ERROR_INVALID_ARGUMENT },
    { "'ls'", MP_ERROR_TYPE },
    { "(['ls'], {'cwd': <5>})", MP_ERROR_TYPE },
    { "(['ls'], {'env': <5>})", MP_ERROR_TYPE },
    { "(['ls'], {'cwd': <'/no/such/place'>})", MP_ERROR_NOT_FOUND },
  };
  MpPool *pool = make_pool (1);

  g_test_summary ("What cannot be run is an error that says so.");
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (mp_pool_apply (pool,
                                    "mp.command",
                                    g_variant_new_parsed (cases[i].argument),
                                    -1,
                                    NULL,
                                    &error));
      g_assert_error (error, MP_ERROR, (int) cases[i].code);
    }
  pool_close (pool);
}

/* Waits until @pid, a number that a shell wrote, is gone. */
static void
wait_until_gone (int pid)
{
  gint64 limit = g_get_monotonic_time () + 10 * G_USEC_PER_SEC;

  while (pool_process_exists (pid))
    {
      g_assert_cmpint (g_get_monotonic_time (), <, limit);
      g_thread_yield ();
    }
}

/* One line of a pipe. */
static int
read_pid (int fd)
{
  g_autoptr (GString) text = g_string_new (NULL);
  char byte;

  while (read (fd, &byte, 1) == 1 && byte != '\n')
    g_string_append_c (text, byte);
  return atoi (text->str);
}

static void
test_leftovers (void)
{
  MpPool *pool = make_pool (1);
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GVariant) out = NULL;
  g_autofree char *text = NULL;

  g_test_summary ("What a command leaves behind ends with it, and holds nobody up.");
  result = mp_pool_apply (pool, "mp.command", shell ("sleep 1000 & echo $!"), -1, NULL, &error);
  g_assert_no_error (error);
  out = g_variant_get_child_value (result, 1);
  text = g_strndup (g_variant_get_data (out), g_variant_get_size (out));
  wait_until_gone (atoi (text));
  pool_close (pool);
}

static void
run_and_end (gboolean cancel)
{
  MpPool *pool = make_pool (1);
  g_autoptr (GError) error = NULL;
  g_autofree char *script = NULL;
  g_autoptr (MpJob) job = NULL;
  g_autoptr (GVariant) after = NULL;
  g_autofree int *pids = NULL;
  gsize n_pids;
  int ends[2];
  int command;
  int child;

  g_assert_true (g_unix_open_pipe (ends, FD_CLOEXEC, &error));
  script =
    g_strdup_printf ("exec 9>/proc/%d/fd/%d; echo $$ >&9; sh -c 'echo $$ >&9; sleep 1000'; :",
                     getpid (),
                     ends[1]);
  job = mp_pool_submit (pool, "mp.command", shell (script), NULL, &error);
  g_assert_no_error (error);
  command = read_pid (ends[0]);
  child = read_pid (ends[0]);
  if (cancel)
    g_assert_true (mp_job_cancel (job));
  else
    {
      pids = mp_pool_get_worker_pids (pool, &n_pids);
      kill (pids[0], SIGKILL);
      g_assert_true (mp_job_wait (job, -1, NULL, &error));
      g_assert_cmpint (mp_job_get_state (job), ==, MP_JOB_STATE_WORKER_DIED);
    }
  wait_until_gone (command);
  wait_until_gone (child);
  after = mp_pool_apply (pool, "mp.command", shell ("echo again"), -1, NULL, &error);
  g_assert_no_error (error);
  assert_ends (after, 0, "again\n", "");
  close (ends[0]);
  close (ends[1]);
  pool_close (pool);
}

static void
test_cancel (void)
{
  g_test_summary ("A cancelled command ends with all that it started.");
  run_and_end (TRUE);
}

static void
test_killed (void)
{
  g_test_summary ("A command ends with its worker, and with all that it started.");
  run_and_end (FALSE);
}

int
main (int argc, char **argv)
{
  pool_tasks_init (&argc, &argv);
  g_test_add_func ("/mp/pool-command/run", test_run);
  g_test_add_func ("/mp/pool-command/output", test_output);
  g_test_add_func ("/mp/pool-command/options", test_options);
  g_test_add_func ("/mp/pool-command/errors", test_errors);
  g_test_add_func ("/mp/pool-command/leftovers", test_leftovers);
  g_test_add_func ("/mp/pool-command/cancel", test_cancel);
  g_test_add_func ("/mp/pool-command/killed", test_killed);
  return g_test_run ();
}
