/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <sys/ptrace.h>

#include "test-util.h"

G_BEGIN_DECLS

/* Processes that are killed after a number of instructions. */

/* What the one does that is killed. */
typedef struct
{
  void (*prepare) (gpointer object);
  void (*act) (gpointer object);
  gpointer object;
} Deed;

/* Steps take the square of the time, and the sanitizer makes several of one. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define STRIDE 307
#endif
#endif
#ifndef STRIDE
#define STRIDE 7
#endif

static guint stride = STRIDE;

static inline int
be_traced (gpointer data)
{
  const Deed *deed = data;

  if (deed->prepare != NULL)
    deed->prepare (deed->object);
  if (ptrace (PTRACE_TRACEME, 0, NULL, NULL) != 0)
    return 1;
  raise (SIGSTOP);
  deed->act (deed->object);
  return 0;
}

/* FALSE if it came to its end. */
static inline gboolean
kill_after (const Deed *deed, guint n_steps)
{
  GPid pid = test_fork (be_traced, (gpointer) deed);
  int status;

  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_true (WIFSTOPPED (status));
  for (guint i = 0; i < n_steps; i++)
    {
      g_assert_no_errno ((int) ptrace (PTRACE_SINGLESTEP, pid, NULL, NULL));
      g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
      if (WIFEXITED (status))
        {
          g_assert_cmpint (WEXITSTATUS (status), ==, 0);
          return FALSE;
        }
    }
  test_kill (pid);
  return TRUE;
}

static inline guint
get_first (void)
{
  return stride == 1 ? 0 : (guint) g_test_rand_int_range (0, (gint32) stride);
}

static inline void
steps_init (void)
{
  if (g_strcmp0 (g_getenv ("MP_CHAOS"), "full") == 0)
    stride = 1;
}

G_END_DECLS
