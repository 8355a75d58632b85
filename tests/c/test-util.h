/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <glib.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

G_BEGIN_DECLS

/* How many descriptors this process has open. */
static inline guint
test_count_fds (void)
{
  g_autoptr (GDir) dir = g_dir_open ("/proc/self/fd", 0, NULL);
  guint n = 0;

  while (g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

/* How long what happens at once may take. Valgrind runs one thread at a time, and slowly. */
static inline gint64
test_soon (void)
{
  return g_getenv ("MP_TEST_SLOW") != NULL ? 10 * G_USEC_PER_SEC : G_USEC_PER_SEC / 2;
}

/* Runs @body in a forked process that ends with what it returns as its code,
 * and dies with this one. */
static G_GNUC_UNUSED G_GNUC_NO_INLINE GPid
test_fork (int (*body) (gpointer data), gpointer data)
{
  GPid parent = getpid (), pid;

  /* Saves the registers on the stack, so that in the child, too, valgrind finds
   * what the callers hold. */
  __builtin_unwind_init ();
  pid = fork ();
  if (pid == 0)
    {
      prctl (PR_SET_PDEATHSIG, SIGKILL);
      _exit (getppid () == parent ? body (data) : 1);
    }
  g_assert_cmpint (pid, >, 0);
  return pid;
}

/* Waits for @pid; its exit code, or its signal, negative. */
static inline int
test_join (GPid pid)
{
  int status = 0;

  while (waitpid (pid, &status, 0) != pid)
    ;
  return WIFEXITED (status) ? WEXITSTATUS (status) : -WTERMSIG (status);
}

static inline void
test_kill (GPid pid)
{
  g_assert_no_errno (kill (pid, SIGKILL));
  g_assert_cmpint (test_join (pid), ==, -SIGKILL);
}

/* Waits until the process stands still: 'S' asleep, 'T' stopped. */
static inline void
test_wait_state (GPid pid, char state)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/stat", pid);
  gint64 end = g_get_monotonic_time () + 20 * G_USEC_PER_SEC;

  for (;;)
    {
      g_autofree char *text = NULL;
      const char *after = NULL;

      if (g_file_get_contents (path, &text, NULL, NULL))
        after = g_strrstr (text, ") ");
      if (after != NULL && after[2] == state)
        return;
      g_assert_cmpint (g_get_monotonic_time (), <, end);
      g_thread_yield ();
    }
}

/* Removes a folder of a test, with all that is in it. */
static G_GNUC_UNUSED void
test_remove_tree (const char *path)
{
  g_autoptr (GDir) dir =
    g_file_test (path, G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open (path, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *inner = g_build_filename (path, name, NULL);

      test_remove_tree (inner);
    }
  g_remove (path);
}

G_END_DECLS
