/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libmp.h"
#include "memory/mp-participants-private.h"
#include "memory/mp-segment-private.h"

static guint
count_fds (void)
{
  g_autoptr (GDir) dir = g_dir_open ("/proc/self/fd", 0, NULL);
  guint n = 0;

  while (g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

/* Runs @body in a child that then waits to be killed; returns what it wrote. */
static guint32
start_child (guint32 (*body) (MpParticipants *), MpParticipants *self, GPid *pid)
{
  guint32 word = 0;
  int fds[2];

  g_assert_no_errno (pipe2 (fds, O_CLOEXEC));
  *pid = fork ();
  if (*pid == 0)
    {
      word = body (self);
      if (write (fds[1], &word, sizeof word) != sizeof word)
        _exit (1);
      for (;;)
        pause ();
    }
  close (fds[1]);
  g_assert_cmpint (read (fds[0], &word, sizeof word), ==, sizeof word);
  close (fds[0]);
  return word;
}

static void
kill_child (GPid pid)
{
  g_assert_no_errno (kill (pid, SIGKILL));
  g_assert_cmpint (waitpid (pid, NULL, 0), ==, pid);
}

static guint32
own_word (MpParticipants *self)
{
  return mp_participants_get_self (self, NULL);
}

static void
test_self (void)
{
  g_autoptr (MpParticipants) self = mp_participants_new (10, NULL);
  guint32 word;

  g_test_summary ("A process is alive for itself; nobody and nonsense are not");
  g_assert_nonnull (self);
  word = mp_participants_get_self (self, NULL);
  g_assert_cmpuint (word, !=, MP_PARTICIPANT_NONE);
  g_assert_true (mp_participants_is_alive (self, word));
  g_assert_true (mp_participants_is_alive (self, word | ~MP_PARTICIPANT_MASK));
  g_assert_false (mp_participants_is_alive (self, MP_PARTICIPANT_NONE));
  g_assert_false (mp_participants_is_alive (self, word + (1 << 12)));
  g_assert_false (mp_participants_is_alive (self, word + 1));
  g_assert_false (mp_participants_is_alive (self, 0xfff));
}

static void
test_killed (void)
{
  g_autoptr (MpParticipants) self = mp_participants_new (10, NULL);
  guint32 mine = mp_participants_get_self (self, NULL);

  g_test_summary (
    "A forked child has a word of its own, which dies with it and is not given again");
  for (int i = 0; i < 30; i++)
    {
      GPid first, second;
      guint32 word = start_child (own_word, self, &first);
      guint32 other = start_child (own_word, self, &second);

      g_assert_cmpuint (word, !=, MP_PARTICIPANT_NONE);
      g_assert_cmpuint (word, !=, mine);
      g_assert_cmpuint (word, !=, other);
      g_assert_true (mp_participants_is_alive (self, word));
      kill_child (first);
      g_assert_false (mp_participants_is_alive (self, word));
      g_assert_true (mp_participants_is_alive (self, other));
      kill_child (second);
      g_assert_false (mp_participants_is_alive (self, other));
    }
  g_assert_true (mp_participants_is_alive (self, mine));
}

/* Waits until it is told that the parent is gone, then tells whether its word is. */
static void G_GNUC_NORETURN
watch_parent (int table_fd, guint32 word, int gone_fd, int answer_fd)
{
  g_autoptr (MpParticipants) self = mp_participants_new_from_fd (table_fd, NULL);
  guint8 answer;

  if (read (gone_fd, &answer, 1) != 1)
    _exit (1);
  answer = self == NULL ? 2 : mp_participants_is_alive (self, word);
  _exit (write (answer_fd, &answer, 1) == 1 ? 0 : 1);
}

static void
test_parent_killed (void)
{
  g_autoptr (MpParticipants) table = mp_participants_new (10, NULL);
  int answer[2], gone[2];
  guint8 byte = 9;
  GPid middle;

  g_test_summary ("A child that outlives its parent does not keep it alive");
  g_assert_no_errno (pipe2 (answer, O_CLOEXEC));
  g_assert_no_errno (pipe2 (gone, O_CLOEXEC));
  middle = fork ();
  if (middle == 0)
    {
      int table_fd = mp_participants_get_fd (table);
      guint32 word = mp_participants_get_self (table, NULL);

      close (gone[1]);
      if (fork () == 0)
        watch_parent (table_fd, word, gone[0], answer[1]);
      kill (getpid (), SIGKILL);
    }
  close (answer[1]);
  close (gone[0]);
  /* A dying process closes one descriptor after the other; this tells that it
   * has closed them all. */
  g_assert_cmpint (waitpid (middle, NULL, 0), ==, middle);
  g_assert_cmpint (write (gone[1], &byte, 1), ==, 1);
  g_assert_cmpint (read (answer[0], &byte, 1), ==, 1);
  g_assert_cmpint (byte, ==, FALSE);
  close (answer[0]);
  close (gone[1]);
}

static void
test_import (void)
{
  g_autoptr (MpParticipants) self = mp_participants_new (10, NULL);
  guint32 word = mp_participants_get_self (self, NULL);
  guint n_fds = count_fds ();

  g_test_summary ("However often it is imported, a process is one participant");
  for (int i = 0; i < 1000; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (MpParticipants) again =
        mp_participants_new_from_fd (mp_participants_get_fd (self), &error);

      g_assert_no_error (error);
      g_assert_cmpuint (mp_participants_get_self (again, NULL), ==, word);
    }
  g_assert_cmpuint (count_fds (), ==, n_fds);
  g_assert_true (mp_participants_is_alive (self, word));
}

static guint32
probe_parent (MpParticipants *self)
{
  /* A duplicate that is closed takes no lock away. */
  close (dup (mp_participants_get_fd (self)));
  return mp_participants_get_self (self, NULL);
}

static void
test_full (void)
{
  g_autoptr (MpParticipants) self = mp_participants_new (2, NULL);
  GPid first, second;
  guint32 word, none;

  g_test_summary ("More processes than places");
  word = start_child (probe_parent, self, &first);
  none = start_child (own_word, self, &second);
  g_assert_cmpuint (none, ==, MP_PARTICIPANT_NONE);
  g_assert_true (mp_participants_is_alive (self, word));
  kill_child (second);
  kill_child (first);
  g_assert_false (mp_participants_is_alive (self, word));
  word = start_child (own_word, self, &first);
  g_assert_true (mp_participants_is_alive (self, word));
  kill_child (first);
}

static void
test_hostile (void)
{
  guint64 parameters[MP_SEGMENT_N_PARAMETERS] = { 4000 };
  g_autoptr (GError) error = NULL;
  g_auto (MpSegment) lying = MP_SEGMENT_INIT;
  int fds[2];

  g_test_summary ("Not a table of participants");
  g_assert_no_errno (pipe2 (fds, O_CLOEXEC));
  g_assert_null (mp_participants_new_from_fd (fds[0], &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_CORRUPT);
  g_clear_error (&error);
  close (fds[0]);
  close (fds[1]);

  /* Says that it has 4,000 places, and has not the room for them. */
  g_assert_true (mp_segment_create (&lying,
                                    "test",
                                    MP_SEGMENT_KIND ('l', 'i', 'v', 'e'),
                                    1,
                                    4096,
                                    FALSE,
                                    parameters,
                                    NULL));
  g_assert_null (mp_participants_new_from_fd (lying.fd, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_CORRUPT);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/mp/participants/self", test_self);
  g_test_add_func ("/mp/participants/killed", test_killed);
  g_test_add_func ("/mp/participants/parent-killed", test_parent_killed);
  g_test_add_func ("/mp/participants/import", test_import);
  g_test_add_func ("/mp/participants/full", test_full);
  g_test_add_func ("/mp/participants/hostile", test_hostile);
  return g_test_run ();
}
