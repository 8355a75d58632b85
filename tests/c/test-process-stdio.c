/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "process-tasks.h"

#include <fcntl.h>
#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static MpProcess *
new_shell (const char *script)
{
  const char *const argv[] = { "sh", "-c", script, NULL };

  return mp_process_new (NULL, argv);
}

static void
start (MpProcess *process)
{
  g_autoptr (GError) error = NULL;

  mp_process_start (process, NULL, &error);
  g_assert_no_error (error);
}

static char *
read_all (GInputStream *stream)
{
  g_autoptr (GOutputStream) memory = g_memory_output_stream_new_resizable ();
  g_autoptr (GError) error = NULL;

  g_output_stream_splice (memory, stream, G_OUTPUT_STREAM_SPLICE_CLOSE_TARGET, NULL, &error);
  g_assert_no_error (error);
  return g_strndup (g_memory_output_stream_get_data (G_MEMORY_OUTPUT_STREAM (memory)),
                    g_memory_output_stream_get_data_size (G_MEMORY_OUTPUT_STREAM (memory)));
}

static void
test_pipes (void)
{
  g_autoptr (MpProcess) process = new_shell ("cat; echo problem >&2");
  g_autofree char *out = NULL;
  g_autofree char *err = NULL;
  GOutputStream *input;

  g_test_summary ("pipes to and from a command");

  for (guint i = 0; i < 3; i++)
    mp_process_set_stdio (process, i, MP_STDIO_PIPE);
  g_assert_null (mp_process_get_stdout_stream (process));
  start (process);
  input = mp_process_get_stdin_stream (process);
  g_assert_true (g_output_stream_write_all (input, "some text", 9, NULL, NULL, NULL));
  g_assert_true (g_output_stream_close (input, NULL, NULL));
  out = read_all (mp_process_get_stdout_stream (process));
  err = read_all (mp_process_get_stderr_stream (process));
  g_assert_cmpstr (out, ==, "some text");
  g_assert_cmpstr (err, ==, "problem\n");
  g_assert_cmpint (test_join (process), ==, 0);
  g_assert_true (mp_process_get_stdout_stream (process) != NULL);
}

static void
test_task (gconstpointer data)
{
  g_autoptr (MpContext) context = mp_context_new (GPOINTER_TO_INT (data), MP_RUNTIME_NATIVE);
  g_autoptr (MpProcess) process =
    mp_process_new_task (context, "report", g_variant_new_string ("out"));
  g_autoptr (GUnixFDList) fd_list = NULL;
  g_autofree char *out = NULL;
  g_autofree char *line = NULL;
  int pipe_fds[2];

  g_test_summary ("pipes to and from a task, its errors among the output");

  g_assert_true (g_unix_open_pipe (pipe_fds, FD_CLOEXEC, NULL));
  fd_list = g_unix_fd_list_new_from_array (&pipe_fds[1], 1);
  mp_process_set_fd_list (process, fd_list);
  mp_process_set_stdio (process, 0, MP_STDIO_PIPE);
  mp_process_set_stdio (process, 1, MP_STDIO_PIPE);
  mp_process_set_stdio (process, 2, MP_STDIO_STDOUT);
  start (process);
  g_assert_true (g_output_stream_write_all (mp_process_get_stdin_stream (process),
                                            "input",
                                            5,
                                            NULL,
                                            NULL,
                                            NULL));
  line = test_read_line (pipe_fds[0]);
  g_assert_cmpstr (line, ==, "input");
  out = read_all (mp_process_get_stdout_stream (process));
  g_assert_nonnull (strstr (out, "to the output\n"));
  g_assert_nonnull (strstr (out, "to the errors\n"));
  g_assert_cmpint (test_join (process), ==, 0);
  close (pipe_fds[0]);
}

static char *
run_into (const char *script, const char *path, gboolean append)
{
  g_autoptr (MpProcess) process = new_shell (script);
  char *text = NULL;

  mp_process_set_stdio_file (process, 1, path, append);
  start (process);
  g_assert_cmpint (test_join (process), ==, 0);
  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  return text;
}

static void
test_files (void)
{
  g_autofree char *directory = g_dir_make_tmp ("mp-test-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (directory, "output", NULL);
  g_autofree char *one = run_into ("echo one", path, FALSE);
  g_autofree char *two = run_into ("echo two", path, TRUE);
  g_autofree char *three = run_into ("echo three", path, FALSE);
  g_autoptr (MpProcess) reader = new_shell ("read line; test \"$line\" = three");
  g_autoptr (MpProcess) same = new_shell ("echo four");
  g_autoptr (MpProcess) missing = new_shell ("true");
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;
  int fd;

  g_test_summary ("files, and descriptors; one that cannot be opened is named");

  g_assert_cmpstr (one, ==, "one\n");
  g_assert_cmpstr (two, ==, "one\ntwo\n");
  g_assert_cmpstr (three, ==, "three\n");
  mp_process_set_stdio_file (reader, 0, path, FALSE);
  mp_process_set_stdio (reader, 1, MP_STDIO_NULL);
  start (reader);
  g_assert_cmpint (test_join (reader), ==, 0);

  fd = open (path, O_WRONLY | O_TRUNC | O_CLOEXEC);
  g_assert_true (mp_process_set_stdio_fd (same, 1, fd, &error));
  close (fd);
  start (same);
  g_assert_cmpint (test_join (same), ==, 0);
  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  g_assert_cmpstr (text, ==, "four\n");
  unlink (path);
  rmdir (directory);

  g_assert_false (mp_process_set_stdio_fd (missing, 1, 9999, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_FAILED);
  g_clear_error (&error);
  mp_process_set_stdio_file (missing, 0, "/no/such/file", FALSE);
  g_assert_false (mp_process_start (missing, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_NOT_FOUND);
  g_assert_nonnull (strstr (error->message, "/no/such/file"));
  /* It can be started otherwise. */
  mp_process_set_stdio (missing, 0, MP_STDIO_INHERIT);
  start (missing);
  g_assert_cmpint (test_join (missing), ==, 0);
}

/* --- Lines ---------------------------------------------------------------- */

typedef struct
{
  GString *text;
  gboolean exited;
} Heard;

static void
line_cb (MpProcess *process, guint stream, const char *text, gpointer user_data)
{
  Heard *heard = user_data;

  g_assert_false (heard->exited);
  g_string_append_printf (heard->text, "%u:%s|", stream, text);
}

static void
exited_cb (MpProcess *process, int exit_code, gpointer user_data)
{
  ((Heard *) user_data)->exited = TRUE;
}

static gboolean
has_exited (gpointer data)
{
  return ((Heard *) data)->exited;
}

static char *
hear (MpProcess *process)
{
  Heard heard = { g_string_new (NULL), FALSE };

  mp_process_set_stdio (process, 1, MP_STDIO_LINES);
  g_signal_connect (process, "line", G_CALLBACK (line_cb), &heard);
  g_signal_connect (process, "exited", G_CALLBACK (exited_cb), &heard);
  start (process);
  test_wait_until (has_exited, &heard);
  g_signal_handlers_disconnect_by_data (process, &heard);
  return g_string_free (heard.text, FALSE);
}

static void
test_lines (void)
{
  g_autoptr (MpProcess) process = new_shell ("echo one; echo; printf 'two\\nth'; printf ree");
  g_autoptr (MpProcess) broken = new_shell ("printf 'a\\377b\\n'");
  g_autoptr (MpProcess) both = new_shell ("echo out; echo err >&2");
  g_autofree char *lines = hear (process);
  g_autofree char *valid = hear (broken);
  g_autofree char *of_both = NULL;

  g_test_summary ("lines come one by one, all of them before the end");

  g_assert_cmpstr (lines, ==, "1:one|1:|1:two|1:three|");
  g_assert_cmpstr (valid, ==, "1:a\357\277\275b|");
  mp_process_set_stdio (both, 2, MP_STDIO_LINES);
  of_both = hear (both);
  g_assert_nonnull (strstr (of_both, "1:out|"));
  g_assert_nonnull (strstr (of_both, "2:err|"));
}

static void
test_long_lines (void)
{
  g_autoptr (MpProcess) process = new_shell ("yes | tr -d '\\n' | head -c 200000; echo; "
                                             "yes | head -n 100000");
  g_autofree char *lines = hear (process);

  g_test_summary ("a long line comes in pieces, and many lines are no fewer");

  g_assert_cmpuint (strlen (lines), ==, 200000 + 4 * 3 + 100000 * 4);
}

static void
test_unheard (void)
{
  g_autoptr (MpProcess) process = new_shell ("yes | head -n 1000000");

  g_test_summary ("lines that nobody listens to hold up nobody");

  mp_process_set_stdio (process, 1, MP_STDIO_LINES);
  start (process);
  g_assert_cmpint (test_join (process), ==, 0);
}

static void
test_grandchild (void)
{
  g_autoptr (MpProcess) process = new_shell ("sleep 1000 & echo pid $!");
  g_autofree char *lines = hear (process);
  int pid = 0;

  g_test_summary ("whoever keeps the other end does not delay the end");

  g_assert_cmpint (sscanf (lines, "1:pid %d|", &pid), ==, 1);
  g_assert_cmpint (kill (pid, SIGKILL), ==, 0);
}

static void
test_leaks (void)
{
  gint64 end = g_get_monotonic_time () + TEST_LIMIT_US;
  guint before = test_count_fds ();

  g_test_summary ("streams leave no descriptor behind");

  for (guint i = 0; i < 50; i++)
    {
      g_autoptr (MpProcess) process = new_shell ("echo text; echo text >&2");
      g_autoptr (MpProcess) unstarted = new_shell ("true");

      mp_process_set_stdio_file (unstarted, 0, "/no/such/file", FALSE);
      mp_process_set_stdio (unstarted, 1, MP_STDIO_PIPE);
      g_assert_false (mp_process_start (unstarted, NULL, NULL));
      mp_process_set_stdio (process, 0, MP_STDIO_PIPE);
      mp_process_set_stdio (process, 1, i % 2 != 0 ? MP_STDIO_PIPE : MP_STDIO_LINES);
      mp_process_set_stdio (process, 2, MP_STDIO_NULL);
      start (process);
      if (i % 3 == 0)
        g_assert_nonnull (mp_process_get_stdin_stream (process));
      g_assert_cmpint (test_join (process), ==, 0);
    }
  /* The library's thread may still be at the last ones. */
  while (test_count_fds () > before + 2)
    {
      g_assert_cmpint (g_get_monotonic_time (), <, end);
      g_thread_yield ();
    }
}

int
main (int argc, char **argv)
{
  test_tasks_register ();
  mp_bootstrap (&argc, &argv);
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/mp/process/stdio/pipes", test_pipes);
  g_test_add_data_func ("/mp/process/stdio/task/forkserver",
                        GINT_TO_POINTER (MP_START_METHOD_FORKSERVER),
                        test_task);
  g_test_add_data_func ("/mp/process/stdio/task/spawn",
                        GINT_TO_POINTER (MP_START_METHOD_SPAWN),
                        test_task);
  g_test_add_func ("/mp/process/stdio/files", test_files);
  g_test_add_func ("/mp/process/stdio/lines", test_lines);
  g_test_add_func ("/mp/process/stdio/long-lines", test_long_lines);
  g_test_add_func ("/mp/process/stdio/unheard", test_unheard);
  g_test_add_func ("/mp/process/stdio/grandchild", test_grandchild);
  g_test_add_func ("/mp/process/stdio/leaks", test_leaks);
  return g_test_run ();
}
