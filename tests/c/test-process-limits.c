/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "process-tasks.h"

#include <glib-unix.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define MIB ((gint64) 1024 * 1024)

static const struct
{
  const char *name;
  MpStartMethod start_method;
  MpRuntime runtime;
} ways[] = {
  { "forkserver", MP_START_METHOD_FORKSERVER, MP_RUNTIME_NATIVE },
  { "spawn", MP_START_METHOD_SPAWN, MP_RUNTIME_NATIVE },
};

static MpContext *
new_context (gconstpointer way)
{
  return mp_context_new (ways[GPOINTER_TO_INT (way)].start_method,
                         ways[GPOINTER_TO_INT (way)].runtime);
}

static void
test_properties (void)
{
  g_autoptr (MpContext) context = mp_context_new (MP_START_METHOD_SPAWN, MP_RUNTIME_NATIVE);
  const guint cpus[] = { 0, 3 };
  g_autofree guint *got = NULL;
  gboolean outlive;
  gsize n;

  g_test_summary ("what is set is what is got");

  g_assert_cmpint (mp_context_get_umask (context), ==, -1);
  g_assert_cmpint (mp_context_get_nice (context), ==, 0);
  g_assert_null (mp_context_get_cpus (context, &n));
  g_assert_cmpuint (n, ==, 0);
  g_assert_cmpint (mp_context_get_limit (context, MP_LIMIT_MEMORY), ==, -1);
  g_object_set (context, "umask", 022, "nice", 3, "outlive-parent", TRUE, NULL);
  g_object_get (context, "outlive-parent", &outlive, NULL);
  g_assert_true (outlive);
  g_assert_cmpint (mp_context_get_umask (context), ==, 022);
  g_assert_cmpint (mp_context_get_nice (context), ==, 3);
  mp_context_set_cpus (context, cpus, 2);
  got = mp_context_get_cpus (context, &n);
  g_assert_cmpmem (got, n * sizeof *got, cpus, sizeof cpus);
  mp_context_set_limit (context, MP_LIMIT_STACK, MIB);
  g_assert_cmpint (mp_context_get_limit (context, MP_LIMIT_STACK), ==, MIB);
  mp_context_set_limit (context, MP_LIMIT_STACK, -1);
  g_assert_cmpint (mp_context_get_limit (context, MP_LIMIT_STACK), ==, -1);
}

static char *
report (MpContext *context)
{
  g_autoptr (MpProcess) process = NULL;
  char *line;
  int fd;

  process = test_start_with_pipe (context, "report", g_variant_new_string ("surroundings"), &fd);
  line = test_read_line (fd);
  g_assert_cmpint (test_join (process), ==, 0);
  close (fd);
  return line;
}

static void
test_surroundings (gconstpointer way)
{
  g_autoptr (MpContext) context = new_context (way);
  g_autofree char *before = report (context);
  g_autofree char *line = NULL;
  g_autofree char *after = NULL;
  g_autofree char *expected = NULL;
  const guint cpu = 0;
  struct rlimit old;

  g_test_summary ("mask, niceness, processors and limits are the process's, and nobody else's");

  mp_context_set_umask (context, 037);
  mp_context_set_nice (context, 2);
  mp_context_set_cpus (context, &cpu, 1);
  mp_context_set_limit (context, MP_LIMIT_FILES, 77);
  line = report (context);
  expected = g_strdup_printf ("037 %d 77 1 1", getpriority (PRIO_PROCESS, 0) + 2);
  g_assert_cmpstr (line, ==, expected);

  mp_context_set_umask (context, -1);
  mp_context_set_nice (context, 0);
  mp_context_set_cpus (context, NULL, 0);
  mp_context_set_limit (context, MP_LIMIT_FILES, -1);
  after = report (context);
  g_assert_cmpstr (after, ==, before);
  g_assert_no_errno (getrlimit (RLIMIT_NOFILE, &old));
  g_assert_cmpint ((int) old.rlim_cur, !=, 77);
}

static void
test_command (void)
{
  g_autoptr (MpContext) context = mp_context_new (MP_START_METHOD_FORKSERVER, MP_RUNTIME_COMMAND);
  g_autoptr (MpProcess) process = NULL;

  g_test_summary ("commands have them, too");

  mp_context_set_umask (context, 07);
  mp_context_set_limit (context, MP_LIMIT_FILES, 55);
  process = test_start_command (context, "test $(ulimit -n) = 55 && test $(umask) = 0007");
  g_assert_cmpint (test_join (process), ==, 0);
}

static void
assert_refused (MpContext *context, const char *text)
{
  g_autoptr (MpProcess) process = mp_process_new_task (context, "succeed", NULL);
  g_autoptr (GError) error = NULL;

  g_assert_false (mp_process_start (process, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_LIMIT);
  g_test_message ("%s", error->message);
  g_assert_nonnull (strstr (error->message, text));
}

static void
test_refused (void)
{
  g_autoptr (MpContext) files = mp_context_new (MP_START_METHOD_FORKSERVER, MP_RUNTIME_NATIVE);
  g_autoptr (MpContext) cpus = mp_context_new (MP_START_METHOD_FORKSERVER, MP_RUNTIME_NATIVE);
  const guint none[] = { 1023 };
  cpu_set_t old, now;
  struct rlimit before, after;

  g_test_summary ("what the system refuses is named, and costs the caller nothing");

  g_assert_no_errno (getrlimit (RLIMIT_NOFILE, &before));
  /* More than fs.nr_open can be, for whomever. */
  mp_context_set_limit (files, MP_LIMIT_FILES, G_MAXINT64 / 2);
  assert_refused (files, "open files");
  g_assert_no_errno (getrlimit (RLIMIT_NOFILE, &after));
  g_assert_cmpmem (&before, sizeof before, &after, sizeof after);

  g_assert_no_errno (sched_getaffinity (0, sizeof old, &old));
  mp_context_set_cpus (cpus, none, 1);
  assert_refused (cpus, "1023");
  g_assert_no_errno (sched_getaffinity (0, sizeof now, &now));
  g_assert_true (CPU_EQUAL (&old, &now));
}

static void
assert_limit_hit (MpProcess *process, MpLimit limit, const char *text)
{
  g_autoptr (GError) error = NULL;

  test_join (process);
  g_assert_cmpint (mp_process_get_limit_hit (process), ==, limit);
  g_assert_false (mp_process_check_exit (process, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_LIMIT);
  g_test_message ("%s", error->message);
  g_assert_nonnull (strstr (error->message, text));
}

static void
test_memory (gconstpointer way)
{
  g_autoptr (MpContext) context = new_context (way);
  g_autoptr (MpProcess) modest = NULL;
  g_autoptr (MpProcess) greedy = NULL;
  g_autoptr (GError) error = NULL;
  int fd;

  g_test_summary ("a process that has more memory than it may ends by its limit");

  mp_context_set_limit (context, MP_LIMIT_MEMORY, 128 * MIB);
  modest = test_start_with_pipe (context, "eat", g_variant_new_int64 (64 * MIB), &fd);
  greedy = mp_process_new_task (context, "eat", g_variant_new_int64 (1024 * 1024 * MIB));
  g_assert_true (mp_process_start (greedy, NULL, NULL));
  assert_limit_hit (greedy, MP_LIMIT_MEMORY, "memory");
  g_assert_cmpint (mp_process_get_exit_code (greedy), ==, -SIGKILL);

  test_read_pid (fd);
  g_assert_true (mp_process_get_alive (modest));
  g_assert_false (mp_process_check_exit (modest, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_INVALID_ARGUMENT);
  g_clear_error (&error);
  g_assert_true (mp_process_kill (modest, NULL));
  test_join (modest);
  g_assert_cmpint (mp_process_get_limit_hit (modest), ==, MP_LIMIT_NONE);
  g_assert_false (mp_process_check_exit (modest, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_PROCESS_DIED);
  close (fd);
}

static void
test_memory_command (void)
{
  g_autoptr (MpContext) context = mp_context_new (MP_START_METHOD_FORKSERVER, MP_RUNTIME_COMMAND);
  g_autoptr (MpProcess) process = NULL;

  g_test_summary ("of a command, what it starts counts, too");

  mp_context_set_limit (context, MP_LIMIT_MEMORY, 64 * MIB);
  process = test_start_command (context, "head -c 600M /dev/zero | (tail; true) >/dev/null; true");
  assert_limit_hit (process, MP_LIMIT_MEMORY, "memory");
}

static void
test_other_limits (void)
{
  g_autoptr (MpContext) cpu = mp_context_new (MP_START_METHOD_FORKSERVER, MP_RUNTIME_NATIVE);
  g_autoptr (MpContext) space = mp_context_new (MP_START_METHOD_FORKSERVER, MP_RUNTIME_NATIVE);
  g_autoptr (MpContext) size = mp_context_new (MP_START_METHOD_FORKSERVER, MP_RUNTIME_COMMAND);
  g_autofree char *directory = g_dir_make_tmp ("mp-test-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (directory, "file", NULL);
  const char *argv[] = { "dd", "if=/dev/zero", "bs=1M", "count=2", NULL };
  g_autoptr (MpProcess) spinning = mp_process_new_task (cpu, "spin", NULL);
  g_autoptr (MpProcess) eating =
    mp_process_new_task (space, "eat", g_variant_new_int64 (1024 * 1024 * MIB));
  g_autoptr (MpProcess) writing = NULL;
  g_autoptr (GError) error = NULL;

  g_test_summary ("limits on processor time, on address space and on the size of files");

  mp_context_set_limit (cpu, MP_LIMIT_CPU_TIME, 1);
  g_assert_true (mp_process_start (spinning, NULL, NULL));
  mp_context_set_limit (space, MP_LIMIT_ADDRESS_SPACE, 1024 * MIB);
  g_assert_true (mp_process_start (eating, NULL, NULL));
  /* 3, but a sanitizer has its own way to be without memory. */
  g_assert_cmpint (test_join (eating), >, 0);
  g_assert_false (mp_process_check_exit (eating, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_FAILED);

  mp_context_set_limit (size, MP_LIMIT_FILE_SIZE, MIB);
  writing = mp_process_new (size, argv);
  mp_process_set_stdio_file (writing, 1, path, FALSE);
  mp_process_set_stdio (writing, 2, MP_STDIO_NULL);
  g_assert_true (mp_process_start (writing, NULL, NULL));
  assert_limit_hit (writing, MP_LIMIT_FILE_SIZE, "1048576");
  assert_limit_hit (spinning, MP_LIMIT_CPU_TIME, "1 seconds");
  unlink (path);
  rmdir (directory);
}

static void
test_measure (void)
{
  g_autoptr (MpContext) context = mp_context_new (MP_START_METHOD_FORKSERVER, MP_RUNTIME_NATIVE);
  g_autoptr (MpProcess) process = mp_process_new_task (context, "succeed", NULL);
  g_autoptr (GError) error = NULL;
  guint64 resident = 0;
  guint64 proportional = 0;
  guint64 unshared = 0;
  int fd;

  g_test_summary ("the memory of a process, with and without what it shares");

  g_assert_false (mp_process_measure_memory (process, NULL, NULL, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_NOT_FOUND);
  g_clear_error (&error);
  g_clear_object (&process);
  process = test_start_with_pipe (context, "eat", g_variant_new_int64 (32 * MIB), &fd);
  test_read_pid (fd);
  g_assert_true (mp_process_measure_memory (process, &resident, &proportional, &unshared, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (unshared, >=, 32 * MIB);
  g_assert_cmpuint (proportional, >, unshared);
  g_assert_cmpuint (resident, >, proportional);
  g_assert_cmpuint (resident, <, 256 * MIB);
  g_assert_true (mp_process_kill (process, NULL));
  test_join (process);
  g_assert_false (mp_process_measure_memory (process, &resident, NULL, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_NOT_FOUND);
  close (fd);
}

/* --- Outliving ------------------------------------------------------------ */

static G_NORETURN void
act_parent (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (ways); i++)
    {
      g_autoptr (MpContext) context = new_context (GINT_TO_POINTER (i));
      g_autoptr (MpProcess) process = NULL;
      g_autoptr (MpProcess) command = NULL;
      int fd;

      mp_context_set_outlive_parent (context, TRUE);
      process = test_start_with_pipe (context, "pause", NULL, &fd);
      command = test_start_command (context, "exec sleep 1000");
      printf ("%d\n%d\n%d\n",
              mp_context_get_zygote_pid (context),
              test_read_pid (fd),
              mp_process_get_pid (command));
    }
  fflush (stdout);
  while (TRUE)
    pause ();
}

static void
test_outlive_parent (void)
{
  g_autoptr (GSubprocessLauncher) launcher = g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_NONE);
  g_autofree char *path = g_file_read_link ("/proc/self/exe", NULL);
  g_autoptr (GSubprocess) actor = NULL;
  g_autoptr (GError) error = NULL;
  int pids[3 * G_N_ELEMENTS (ways)];
  int pipe_fds[2];

  g_test_summary ("processes that are to outlive their parent do, the zygote does not");

  g_assert_true (g_unix_open_pipe (pipe_fds, FD_CLOEXEC, NULL));
  g_subprocess_launcher_take_fd (launcher, pipe_fds[1], 1);
  actor = g_subprocess_launcher_spawn (launcher, &error, path, "--act", NULL);
  g_assert_no_error (error);
  g_subprocess_launcher_close (launcher);
  for (gsize i = 0; i < G_N_ELEMENTS (pids); i++)
    pids[i] = test_read_pid (pipe_fds[0]);
  g_subprocess_force_exit (actor);
  g_assert_true (g_subprocess_wait (actor, NULL, NULL));
  for (gsize i = 0; i < G_N_ELEMENTS (pids); i += 3)
    test_wait_for_end (pids[i]);
  for (gsize i = 0; i < G_N_ELEMENTS (pids); i++)
    if (i % 3 != 0)
      {
        g_assert_cmpint (kill (pids[i], 0), ==, 0);
        g_assert_cmpint (kill (pids[i], SIGKILL), ==, 0);
        test_wait_for_end (pids[i]);
      }
  close (pipe_fds[0]);
}

static void
test_outlive_zygote (void)
{
  g_autoptr (MpContext) context = mp_context_new (MP_START_METHOD_FORKSERVER, MP_RUNTIME_NATIVE);
  g_autoptr (MpProcess) process = NULL;
  int fd;
  int pid;

  g_test_summary ("nor does the death of the zygote end it, and its end is told");

  mp_context_set_outlive_parent (context, TRUE);
  process = test_start_with_pipe (context, "pause", NULL, &fd);
  pid = test_read_pid (fd);
  kill (mp_context_get_zygote_pid (context), SIGKILL);
  test_wait_for_end (mp_context_get_zygote_pid (context) > 0 ? mp_context_get_zygote_pid (context)
                                                             : G_MAXINT);
  g_assert_cmpint (kill (pid, 0), ==, 0);
  g_assert_false (mp_process_join (process, 20000, NULL, NULL));
  g_assert_true (mp_process_kill (process, NULL));
  test_join (process);
  close (fd);
}

int
main (int argc, char **argv)
{
  test_tasks_register ();
  mp_bootstrap (&argc, &argv);
  if (argc == 2 && g_str_equal (argv[1], "--act"))
    act_parent ();
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/mp/process/limits/properties", test_properties);
  for (gsize i = 0; i < G_N_ELEMENTS (ways); i++)
    {
      g_autofree char *surroundings =
        g_strconcat ("/mp/process/limits/surroundings/", ways[i].name, NULL);
      g_autofree char *memory = g_strconcat ("/mp/process/limits/memory/", ways[i].name, NULL);

      g_test_add_data_func (surroundings, GINT_TO_POINTER (i), test_surroundings);
      g_test_add_data_func (memory, GINT_TO_POINTER (i), test_memory);
    }
  g_test_add_func ("/mp/process/limits/command", test_command);
  g_test_add_func ("/mp/process/limits/refused", test_refused);
  g_test_add_func ("/mp/process/limits/memory/command", test_memory_command);
  g_test_add_func ("/mp/process/limits/others", test_other_limits);
  g_test_add_func ("/mp/process/limits/measure", test_measure);
  g_test_add_func ("/mp/process/limits/outlive-parent", test_outlive_parent);
  g_test_add_func ("/mp/process/limits/outlive-zygote", test_outlive_zygote);
  return g_test_run ();
}
